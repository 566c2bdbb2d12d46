// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Never compiled: what the check of the rooms must refuse.
#include <pleat/nn/linear.hpp>

#include <mpi.h>
