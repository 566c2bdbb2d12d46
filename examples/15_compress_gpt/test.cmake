# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# A small model that train_gpt writes, in every form: what must lie in which order, the same figures on any number of ranks, what is refused.
pleat_check_program(compress_gpt PROGRAMS compress_gpt train_gpt CHECKS table same_figures refusals)
