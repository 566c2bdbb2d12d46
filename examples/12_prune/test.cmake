# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The tables on the shipped digits, alone and on three ranks as threads; and what it refuses.
pleat_check_program(prune PROGRAMS prune CHECKS table bad_input)
