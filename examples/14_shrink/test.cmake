# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The program on a file that distill writes, by several recipes; what it refuses.
pleat_check_program(shrink PROGRAMS shrink distill CHECKS recipes arguments convolutions same_bytes refusals)
