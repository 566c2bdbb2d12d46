# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The program on the shipped digits: what it leaves, the same bytes on any number of ranks, bad input.
pleat_check_program(distill PROGRAMS distill CHECKS promise recipe same_bytes same_bytes_of_processes bad_input)
