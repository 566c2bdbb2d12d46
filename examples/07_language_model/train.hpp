// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <pleat/comm/world.hpp>

#include "options.hpp"

namespace gpt {

/// Trains as the options say, on every rank of the world, with layers of this type. Collective.
void train_f32(options const& o, pleat::world& world);
void train_bf16(options const& o, pleat::world& world);
void train_f16(options const& o, pleat::world& world);

}  // namespace gpt
