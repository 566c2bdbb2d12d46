# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
add_test(NAME examples/own_layer COMMAND own_layer)
set_tests_properties(examples/own_layer PROPERTIES TIMEOUT 120 LABELS examples ENVIRONMENT "${pleat_test_environment};OMP_NUM_THREADS=1")
if(TARGET pleat::mpi)  # inside a model that several processes train
  foreach(ranks IN ITEMS 2 3)
    pleat_rank_test(examples/own_layer.ranks${ranks} RANKS ${ranks} COMMAND $<TARGET_FILE:own_layer>)
  endforeach()
endif()
# A wrong gradient is seen: the exit status, and what is said.
foreach(how IN ITEMS fails says)
  add_test(NAME examples/own_layer.mistake_${how} COMMAND own_layer --mistake)
  set_tests_properties(examples/own_layer.mistake_${how} PROPERTIES TIMEOUT 120 LABELS examples ENVIRONMENT "${pleat_test_environment};OMP_NUM_THREADS=1")
endforeach()
set_tests_properties(examples/own_layer.mistake_fails PROPERTIES WILL_FAIL TRUE)
add_test(NAME examples/own_layer.left_over COMMAND own_layer --mistakes)
set_tests_properties(examples/own_layer.left_over PROPERTIES TIMEOUT 120 LABELS examples PASS_REGULAR_EXPRESSION "pleat: own_layer: nobody takes the argument '--mistakes'. Say own_layer")
set_tests_properties(examples/own_layer.mistake_says PROPERTIES PASS_REGULAR_EXPRESSION "pleat: own_layer: the gradients are wrong: [^\n]*")
