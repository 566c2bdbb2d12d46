// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Which codes a quantizer has, and which those of a form are. Needs no Kokkos.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <pleat/codec/file_tensor.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec {

/// Which codes a quantizer has: integers from low to high times a step; one step per row (group = 0) or per `group`
/// columns; a step may have to be a 16-bit float.
struct code_grid {
  std::int32_t low = -127, high = 127;
  index_t group = 0;
  bool half_steps = false;
  friend bool operator==(code_grid const&, code_grid const&) = default;

  [[nodiscard]] index_t columns_per_step(extents const& shape) const noexcept {
    return group > 0 ? group : columns_of(shape);
  }
  [[nodiscard]] index_t steps(extents const& shape) const noexcept {
    return group > 0 ? shape.size() / group : rows_of(shape);
  }
  /// "from -7 to 7, a step for every 32 columns"
  [[nodiscard]] std::string words() const {
    return "from " + std::to_string(low) + " to " + std::to_string(high) + ", a step for every " +
           (group > 0 ? std::to_string(group) + " columns" : std::string("row"));
  }
};

/// Whether a form stores codes times steps, so that codes can be trained for it.
template <class F> [[nodiscard]] consteval bool has_grid() {
  if constexpr (requires { typename F::bits::format; })
    return !F::bits::format::has_base && !F::bits::format::multipliers;
  else return F::name == std::string_view("int8");
}

/// The grid of a form that stores codes times steps (has_grid): int8, int4<G>, q8_0, q4_0, q5_0.
template <class F> [[nodiscard]] constexpr code_grid grid_of() {
  if constexpr (requires { typename F::bits::format; }) {
    using format = typename F::bits::format;
    static_assert(!format::has_base && !format::multipliers,
                  "pleat: quantization-aware training is for forms that store a code times one step per row or block: "
                  "int8, int4, q8_0, q4_0, q5_0");
    int const high = format::most - format::offset;
    bool const lopsided = format::name == std::string_view("q4_0") || format::name == std::string_view("q5_0");
    return {lopsided ? -format::offset : -high, high, format::block, true};
  } else {
    static_assert(F::name == std::string_view("int8"),
                  "pleat: quantization-aware training is for forms that store a code times one step per row or block: "
                  "int8, int4, q8_0, q4_0, q5_0");
    return {};
  }
}
/// Whether F stores the numbers that codes of Trained stand for as they are: the same grid, or floats.
template <class F, class Trained> [[nodiscard]] consteval bool stores_codes_of() {
  if constexpr (has_grid<F>() && has_grid<Trained>()) return grid_of<F>() == grid_of<Trained>();
  else return F::trainable;
}

}  // namespace pleat::codec
