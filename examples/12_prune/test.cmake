# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The whole table on the shipped digits, alone and on three ranks as threads; and what it refuses.
foreach(ranks IN ITEMS 1 3)
  add_test(NAME examples/prune.table${ranks} COMMAND prune --epochs 3 --subset 64 --threads 1 --thread-ranks ${ranks})
  set_tests_properties(examples/prune.table${ranks} PROPERTIES TIMEOUT 300 LABELS examples ENVIRONMENT "${pleat_test_environment}"
    PASS_REGULAR_EXPRESSION "fc1.weight .* 0.[0-9]+\n.*fc3.weight .* 0.[0-9]+\n.*at once +0.98.*a quarter, by Taylor")
endforeach()
add_test(NAME examples/prune.bad_input COMMAND prune --data /nowhere)
set_tests_properties(examples/prune.bad_input PROPERTIES LABELS examples ENVIRONMENT "${pleat_test_environment}" PASS_REGULAR_EXPRESSION "/nowhere")
