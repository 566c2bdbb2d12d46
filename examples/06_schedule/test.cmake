# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The program's figures, its pictures in the docs, its refusals, and the table that it reads back.
find_package(Python3 3.8 COMPONENTS Interpreter QUIET)
foreach(what IN ITEMS figures round_trip pictures refusals)
  add_test(NAME examples/schedule.${what}
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/check.py ${what} $<TARGET_FILE:schedule> ${CMAKE_CURRENT_BINARY_DIR}/check_schedule_${what})
  set_tests_properties(examples/schedule.${what} PROPERTIES TIMEOUT 120 LABELS examples)
endforeach()
add_test(NAME examples/own_schedule COMMAND own_schedule)
set_tests_properties(examples/own_schedule PROPERTIES TIMEOUT 60 LABELS examples PASS_REGULAR_EXPRESSION "mine: 30, idle 20.0 %.*1f1b: 33, idle 27.3 %.*these ranks wait for each other")
