# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The main job under test: the promise of the tutorial, equal bytes on any number of ranks, kill and resume, bad input, a full disk.
pleat_check_program(train_shrink_run PROGRAMS train_shrink_run CHECKS promise same_bytes kill_and_resume kill_ranks_and_resume dead_rank bad_input full_disk)
