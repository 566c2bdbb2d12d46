// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// One code per number by a scalar quantizer of the user's. Needs no Kokkos.
#pragma once

#include <concepts>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/codec/detail/one_tensor.hpp>
#include <pleat/codec/error_norms.hpp>

namespace pleat::codec::detail {

template <class Q>
concept has_code =
    requires { pleat::detail::dtype_of_impl<typename Q::code>::value; } && !std::is_same_v<typename Q::code, bool>;
template <class Q>
concept has_scalar_encode = requires(float w) {
  { Q::encode(w) } -> std::same_as<typename Q::code>;
};
template <class Q>
concept has_scalar_decode = requires(typename Q::code c) {
  { Q::decode(c) } -> std::same_as<float>;
};
template <class Q>
concept has_scalar_bound = requires(float w) {
  { Q::bound(w) } -> std::convertible_to<double>;
};

/// Says in words what a scalar quantizer lacks (law 1).
template <class Q> constexpr void demand_scalar_quantizer() {
  static_assert(
      requires { std::string_view(Q::name); },
      "pleat: a scalar quantizer needs 'static constexpr std::string_view name': what files and reports call its form");
  static_assert(has_code<Q>,
                "pleat: a scalar quantizer needs 'using code = …': the type that stores a number, one that a file "
                "knows, such as std::uint8_t or std::int16_t");
  static_assert(has_scalar_encode<Q>,
                "pleat: a scalar quantizer needs 'static code encode(float)', which must return a 'code'");
  static_assert(has_scalar_decode<Q>,
                "pleat: a scalar quantizer needs 'static float decode(code)', which must return a float; mark it "
                "PLEAT_INLINE, since products call it on the device");
}

template <class Q> struct scalar_logic : one_tensor_logic<scalar_logic<Q>, typename Q::code> {
  using code = typename Q::code;
  static constexpr std::string_view name = Q::name;
  struct options {};

  /// The number that a code stands for.
  [[nodiscard]] static float number(code c) { return Q::decode(c); }
  /// \throws error for NaN and infinity, and for a number whose code stands for one of these
  static std::vector<file_tensor> encode(extents const& shape, std::span<float const> values, options const&) {
    demand_finite(name, shape, values);
    std::vector<code> codes(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      codes[i] = Q::encode(values[i]);
      if (!std::isfinite(number(codes[i])))
        refuse_overflow(name, shape, static_cast<index_t>(i), values[i],
                        "Let encode() return the code of the largest number, or choose a wider code");
    }
    return {part_of("", shape, codes)};
  }
  struct view {
    code const* values = nullptr;
    index_t columns = 0;
    PLEAT_INLINE void decode(index_t row, index_t first, index_t last, float* out) const {
      for (index_t k = first; k < last; ++k) out[k - first] = Q::decode(values[row * columns + k]);
    }
  };
  static error_norms predict(extents const&, std::span<float const> values, std::span<file_tensor const>)
    requires has_scalar_bound<Q>
  {
    error_norms e;
    for (float const w : values) e.add(static_cast<double>(Q::bound(w)));
    return e;
  }
};

}  // namespace pleat::codec::detail
