// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "every_way.hpp"

void run_lenet_5(pl::extents const& sample, options const& o, pl::world& world) {
  every_way(lenet_5<networks::dense>(sample), o, world);
}
