# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
add_test(NAME examples/own_communicator COMMAND own_communicator)
set_tests_properties(examples/own_communicator PROPERTIES TIMEOUT 120 LABELS examples ENVIRONMENT "${pleat_test_environment};OMP_NUM_THREADS=1")
add_test(NAME examples/own_communicator.left_over COMMAND own_communicator nonsense)
set_tests_properties(examples/own_communicator.left_over PROPERTIES TIMEOUT 120 LABELS examples PASS_REGULAR_EXPRESSION "pleat: own_communicator: nobody takes the argument 'nonsense'. Say own_communicator")
