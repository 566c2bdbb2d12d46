# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
add_test(NAME examples/train_gpt
  COMMAND train_gpt --data ${PROJECT_SOURCE_DIR}/LICENSE --layers 2 --width 64 --heads 4 --context 32 --batch 8 --steps 300 --sample 40 --thread-ranks 2 --deterministic)
# Guessing among the licence's characters costs about 4.3; knowing how often each occurs about 3.
set_tests_properties(examples/train_gpt PROPERTIES TIMEOUT 120 LABELS examples ENVIRONMENT "${pleat_test_environment};OMP_NUM_THREADS=1"
  PASS_REGULAR_EXPRESSION "validation loss [0-2]\\.")
