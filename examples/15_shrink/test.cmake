# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The program on a file that distill writes, by several recipes; what it refuses.
find_package(Python3 3.8 COMPONENTS Interpreter QUIET)
foreach(what IN ITEMS recipes same_bytes refusals)
  add_test(NAME examples/shrink.${what}
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/check.py ${what} $<TARGET_FILE:shrink> $<TARGET_FILE:distill> ${CMAKE_CURRENT_BINARY_DIR}/check_${what})
  set_tests_properties(examples/shrink.${what} PROPERTIES TIMEOUT 300 LABELS examples ENVIRONMENT "${pleat_test_environment}" PROCESSORS 2)
endforeach()
