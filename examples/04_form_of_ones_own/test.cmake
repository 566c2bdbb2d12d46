# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
add_test(NAME examples/own_form COMMAND own_form ${CMAKE_CURRENT_BINARY_DIR}/own_form.safetensors)
set_tests_properties(examples/own_form PROPERTIES TIMEOUT 120 LABELS examples ENVIRONMENT "${pleat_test_environment};OMP_NUM_THREADS=1")
add_test(NAME examples/own_form.left_over COMMAND own_form --bogus)
set_tests_properties(examples/own_form.left_over PROPERTIES TIMEOUT 120 LABELS examples ENVIRONMENT "${pleat_test_environment};OMP_NUM_THREADS=1" PASS_REGULAR_EXPRESSION "pleat: own_form: nobody takes the argument '--bogus'. Say own_form")
