// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A form from a scalar quantizer of one's own: each number by itself becomes a code.
#pragma once

#include <pleat/codec/detail/apply_decoded.hpp>
#include <pleat/codec/detail/scalar_bits.hpp>
#include <pleat/codec/stored.hpp>

namespace pleat::codec {

namespace detail {
template <class Q> struct scalar_bits : scalar_logic<Q> {
  using kernel = decoded_kernel;
};
}  // namespace detail

/// Weights as the codes of `Quantizer`, a struct without data that provides
///
///     static constexpr std::string_view name;     // of the form; another than every form's of the weight's set
///     using code = std::uint8_t;                  // or another type that a file knows
///     static code encode(float w);                // w is finite
///     PLEAT_INLINE static float decode(code c);   // on the device, too; must be finite for what encode() returns
///     static double bound(float w);               // optional: |w − decode(encode(w))| at most; the ledger adds it up
///
/// That is all: products run from the codes, decoded while they are packed, in float (the same bits as a dense weight
/// that holds the decoded numbers); a file holds "" of the code's type in the weight's shape, and codes that stand for
/// NaN or infinity are refused; the weight may be cut anywhere, and compress::quantize takes it. A number costs
/// sizeof(code) bytes and one call of decode() in every product. For numbers that share something (a scale, a block, a
/// dictionary) see codec::stored.
template <class T, class Quantizer>
  requires(detail::demand_scalar_quantizer<Quantizer>(), true)
using scalar_quantized = stored<T, detail::scalar_bits<Quantizer>>;

}  // namespace pleat::codec
