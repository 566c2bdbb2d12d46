# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The program on the shipped digits: what it leaves, the same bytes on any number of ranks, bad input.
pleat_check_program(deep_compression PROGRAMS deep_compression CHECKS promise same_bytes bad_input)
