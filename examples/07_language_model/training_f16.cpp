// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The instance of half: one object file, with all pieces of training in it.
#include "keeping.hpp"
#include "stepping.hpp"
#include "train.hpp"
#include "training.hpp"
#include "validation.hpp"

namespace gpt {

void train_f16(options const& o, pl::world& world) { train_in<pl::half>(o, world); }

}  // namespace gpt
