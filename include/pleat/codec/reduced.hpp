// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Weights of sixteen bits, bfloat16 or IEEE half, multiplied in float.
#pragma once

#include <pleat/codec/detail/apply_decoded.hpp>
#include <pleat/codec/detail/reduced_bits.hpp>
#include <pleat/codec/stored.hpp>

namespace pleat::codec {

namespace detail {
template <class E> struct reduced_bits : reduced_logic<E> {
  using kernel = decoded_kernel;
};
}  // namespace detail

/// The upper half of each float, rounded to nearest even: |w − ŵ| ≤ 2⁻⁸·|w|. Exact on what eight significant bits hold;
/// the range of float. A product decodes while it packs and multiplies in float: the same bits as a dense weight that
/// holds ŵ. A file holds "" BF16.
template <class T> using bf16 = stored<T, detail::reduced_bits<bfloat16>>;

/// IEEE binary16, rounded to nearest even: |w − ŵ| ≤ max(2⁻¹¹·|w|, 2⁻²⁵); values from 65520 on are refused. A file
/// holds "" F16.
template <class T> using f16 = stored<T, detail::reduced_bits<half>>;

#ifdef PLEAT_FORM  // of these pleat::kernels has the code (compute/instances.hpp)
PLEAT_FORM template struct detail::stored_weight<detail::reduced_bits<bfloat16>, Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::reduced_bits<half>, Kokkos::DefaultExecutionSpace>;
#endif

}  // namespace pleat::codec
