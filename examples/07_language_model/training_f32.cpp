// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The instance of float, the one that is used most: its pieces are compiled side by side.
#include "train.hpp"
#include "training.hpp"

namespace gpt {

void train_f32(options const& o, pl::world& world) { train_in<float>(o, world); }

}  // namespace gpt
