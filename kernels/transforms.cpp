// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#define PLEAT_TRANSFORMS_HERE
#include <pleat/compute/instances.hpp>
#include <pleat/compress/instances.hpp>
