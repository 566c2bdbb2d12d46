// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The tile kernels of this machine's instruction sets; included where they are compiled (PLEAT_HAS_VECTORS).
#pragma once

#include <pleat/base/isa.hpp>
#include <pleat/compute/detail/gemm_tile.hpp>
#include <pleat/compute/detail/gemm_tile_avx512.hpp>

namespace pleat::compute::detail {

template <class T> [[nodiscard]] tile_kernels<T> const* kernels_at(isa::level level) noexcept {
#if defined(__x86_64__)
  if (level == isa::level::avx512) return &avx512::kernels<T>;
  if (level == isa::level::avx2) return &avx2::kernels<T>;
#endif
  (void)level;
  return nullptr;
}

}  // namespace pleat::compute::detail
