# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The program inspect on files that the main job writes, on files made by hand, and on files that are none.
find_package(Python3 3.8 COMPONENTS Interpreter QUIET)
foreach(what IN ITEMS trained by_hand every_form refusals)
  add_test(NAME examples/inspect.${what}
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/check.py ${what} $<TARGET_FILE:inspect> $<TARGET_FILE:train_shrink_run> $<TARGET_FILE:every_form> ${CMAKE_CURRENT_BINARY_DIR}/check_inspect_${what})
  set_tests_properties(examples/inspect.${what} PROPERTIES TIMEOUT 180 LABELS examples ENVIRONMENT "${pleat_test_environment};OMP_NUM_THREADS=1")
endforeach()
