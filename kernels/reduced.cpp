// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#define PLEAT_KERNEL
#define PLEAT_KERNELS_REDUCED
#include <pleat/compute/instances.hpp>
