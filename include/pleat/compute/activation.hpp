// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The activations that products and convolutions can apply while they store. Needs no Kokkos.
#pragma once

namespace pleat::compute {

/// relu(v) is 0 where v < 0 and v elsewhere: NaN and the sign of zero stay.
enum class activation : char { none, relu };

}  // namespace pleat::compute
