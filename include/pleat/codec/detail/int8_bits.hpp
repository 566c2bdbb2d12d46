// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What the files of the forms int8 and masked hold, read and checked: for the forms themselves and for whoever reads
/// without them. Needs no Kokkos.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/codec/detail/bits.hpp>
#include <pleat/codec/detail/parts.hpp>

namespace pleat::codec::detail {

/// Row r of the weight is scales[r] · codes[r, :].
struct int8_image {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  float input_scale = 0;  ///< of static activations; 0: every row has its own
};

/// \throws error for parts that do not fit the shape, a code of −128, a nonzero code that is zero, a scale that is
/// negative, NaN or too large
PLEAT_ONCE [[nodiscard]] int8_image read_int8(extents const& shape, std::span<file_tensor const> parts) {
  constexpr char const* call = "codec::int8::from_file";
  int8_image w;
  if (find_part(parts, ".codes")) {
    demand_only(call, parts, {".codes", ".scale", ".input_scale"});
    w.codes = values_of<std::int8_t>(as_span(demand_part(call, parts, ".codes", dtype::i8, shape).bytes));
  } else {
    demand_only(call, parts, {".mask", ".nonzero", ".scale", ".input_scale"});
    auto const bits =
        values_of<std::uint8_t>(as_span(demand_part(call, parts, ".mask", dtype::u8, {bit_bytes(shape.size())}).bytes));
    auto const nonzero =
        values_of<std::int8_t>(as_span(demand_list(call, parts, ".nonzero", dtype::i8, shape.size()).bytes));
    check_bits(call, as_span(bits), shape.size(), static_cast<index_t>(nonzero.size()));
    for (auto q : nonzero)
      if (q == 0) throw error{call, "one of the stored nonzero codes is zero", remedy::copy_again};
    w.codes = scatter(std::span<std::int8_t const>(nonzero), bits.data(), shape.size());
  }
  for (auto q : w.codes)
    if (q == -128) throw error{call, "a code is -128, outside of the form's range of ±127", remedy::copy_again};
  w.scales = values_of<float>(as_span(demand_part(call, parts, ".scale", dtype::f32, {rows_of(shape)}).bytes));
  for (std::size_t r = 0; r < w.scales.size(); ++r)
    if (!(w.scales[r] >= 0) || !std::isfinite(w.scales[r] * 127.0f))
      throw error{call,
                  "the scale of row " + std::to_string(r) + " is " + pleat::detail::number_text(w.scales[r]) +
                      ", expected a number that is not negative and at most the largest float / 127",
                  remedy::copy_again};
  if (find_part(parts, ".input_scale")) {
    w.input_scale = values_of<float>(as_span(demand_part(call, parts, ".input_scale", dtype::f32, {1}).bytes))[0];
    if (!(w.input_scale > 0) || !std::isfinite(w.input_scale))
      throw error{call,
                  "the scale of the activations is " + pleat::detail::number_text(w.input_scale) +
                      ", expected a positive finite number",
                  remedy::copy_again};
  }
  return w;
}
PLEAT_COMPILED_ONCE(int8_image read_int8(extents const& shape, std::span<file_tensor const> parts));

/// All values, zero where pruned, and the bits of the survivors.
template <class T> struct masked_image {
  std::vector<std::uint8_t> bits;
  std::vector<T> values;
};

/// \throws error for parts that do not fit the shape or each other
template <class T> [[nodiscard]] masked_image<T> read_masked(extents const& shape, std::span<file_tensor const> parts) {
  constexpr char const* call = "codec::masked::from_file";
  demand_only(call, parts, {".mask", ".values"});
  masked_image<T> w;
  w.bits =
      values_of<std::uint8_t>(as_span(demand_part(call, parts, ".mask", dtype::u8, {bit_bytes(shape.size())}).bytes));
  auto const alive = values_of<T>(as_span(demand_list(call, parts, ".values", dtype_of<T>, shape.size()).bytes));
  check_bits(call, w.bits, shape.size(), static_cast<index_t>(alive.size()));
  w.values = scatter(std::span<T const>(alive), w.bits.data(), shape.size());
  return w;
}

}  // namespace pleat::codec::detail
