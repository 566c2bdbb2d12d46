# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
add_test(NAME examples/guest COMMAND guest)
set_tests_properties(examples/guest PROPERTIES TIMEOUT 120 LABELS examples ENVIRONMENT "${pleat_test_environment};OMP_NUM_THREADS=1")
add_test(NAME examples/guest.left_over COMMAND guest nonsense)
set_tests_properties(examples/guest.left_over PROPERTIES TIMEOUT 120 LABELS examples ENVIRONMENT "${pleat_test_environment};OMP_NUM_THREADS=1" PASS_REGULAR_EXPRESSION "guest: nobody takes the argument 'nonsense'")
foreach(ranks IN ITEMS 2 3)
  pleat_rank_test(examples/guest.ranks${ranks} RANKS ${ranks} COMMAND $<TARGET_FILE:guest>)
endforeach()
