// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The convolution's tiles for every instruction set; included where they are compiled (PLEAT_HAS_VECTORS).
#pragma once

#include <pleat/base/isa.hpp>
#include <pleat/compute/detail/conv_tile.hpp>
#include <pleat/compute/detail/conv_tile_avx2.hpp>
#include <pleat/compute/detail/conv_tile_avx512.hpp>
#include <pleat/compute/detail/conv_tile_scalar.hpp>

namespace pleat::compute::detail {

template <class T> [[nodiscard]] conv_kernels<T> const& conv_kernels_of(isa::level level) noexcept {
#if defined(__x86_64__)
  if (level == isa::level::avx512) return conv_avx512::kernels<T>;
  if (level == isa::level::avx2) return conv_avx2::kernels<T>;
#endif
  static_cast<void>(level);
  return conv_scalar::kernels<T>;
}

}  // namespace pleat::compute::detail
