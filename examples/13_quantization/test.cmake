# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The program on the shipped digits: eight bits lose at most one image of the 355 against float, in every way; four trained bits stay close.
find_package(Python3 3.8 COMPONENTS Interpreter QUIET)
add_test(NAME examples/quantization.promise
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/check.py $<TARGET_FILE:quantization> ${CMAKE_CURRENT_BINARY_DIR}/quantization.json)
set_tests_properties(examples/quantization.promise PROPERTIES TIMEOUT 300 LABELS examples ENVIRONMENT "${pleat_test_environment}" PROCESSORS 2)
