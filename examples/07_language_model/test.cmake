# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The language model under test: it learns, it gives the same bits wherever data and layers are, it survives kill -9, it writes text, it
# refuses in words.
pleat_check_program(language_model PROGRAMS train_gpt sample
  CHECKS learns same_bits meshes precisions kill_and_resume samples traces cuts remarks bad_input stopped_rank shakespeare)
