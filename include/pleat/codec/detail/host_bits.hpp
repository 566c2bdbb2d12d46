// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What the bit logic of every form shares: refusing NaN and infinity by place, tensors of a file image from values.
/// Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/codec/detail/bits.hpp>
#include <pleat/codec/detail/int8_codes.hpp>
#include <pleat/codec/detail/parts.hpp>
#include <pleat/codec/file_tensor.hpp>

namespace pleat::codec::detail {

/// "codec::q8_0::encode"
PLEAT_LAZY [[nodiscard]] inline std::string call_of(std::string_view form, char const* function) {
  return "codec::" + std::string(form) + "::" + function;
}

/// \throws error that names the element at `at`, which is not finite
PLEAT_ONCE [[noreturn]] void refuse_element(std::string_view form, extents const& shape, index_t at, float value) {
  index_t const columns = std::max<index_t>(columns_of(shape), 1);
  throw error{call_of(form, "encode"),
              "the element in row " + std::to_string(at / columns) + ", column " + std::to_string(at % columns) +
                  " is " + pleat::detail::number_text(value),
              "Train again with a lower learning rate"};
}

/// \throws error that names the element at `at`, for which the form's numbers are too short
PLEAT_ONCE [[noreturn]] void refuse_overflow(std::string_view form, extents const& shape, index_t at, float value,
                                             char const* what_to_do) {
  index_t const columns = std::max<index_t>(columns_of(shape), 1);
  char found[32];
  std::snprintf(found, sizeof found, "%g", static_cast<double>(value));
  throw error{call_of(form, "encode"),
              "the element in row " + std::to_string(at / columns) + ", column " + std::to_string(at % columns) +
                  " is " + std::string(found) + ", above the largest number of this type",
              what_to_do};
}

/// Refuses NaN and infinity. \throws error with the row and column of the first
PLEAT_ONCE void demand_finite(std::string_view form, extents const& shape, std::span<float const> values) {
  if (static_cast<index_t>(values.size()) != shape.size())
    throw error{call_of(form, "encode"),
                "expected " + std::to_string(shape.size()) + " values, found " + std::to_string(values.size()),
                "Hand over one number for every element of the shape"};
  if (largest_magnitude_bits(values.data(), shape.size()) < 0x7f800000u) return;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i])) refuse_element(form, shape, static_cast<index_t>(i), values[i]);
}
PLEAT_COMPILED_ONCE(void demand_finite(std::string_view form, extents const& shape, std::span<float const> values));

template <class V>
[[nodiscard]] file_tensor part_of(std::string suffix, extents const& shape, std::vector<V> const& values) {
  return {std::move(suffix), dtype_of<V>, shape, bytes_of(std::span<V const>(values))};
}
template <class V> [[nodiscard]] file_tensor part_of(std::string suffix, std::vector<V> const& values) {
  return part_of(std::move(suffix), {static_cast<index_t>(values.size())}, values);
}

/// Bytes [b, e) of a part whose rows have the same length.
PLEAT_ONCE [[nodiscard]] file_tensor part_rows(file_tensor const& p, index_t first, index_t last) {
  auto shape = p.shape;
  std::size_t const row = p.shape[0] ? p.bytes.size() / static_cast<std::size_t>(p.shape[0]) : 0;
  std::vector<index_t> e;
  for (int i = 0; i < shape.rank(); ++i) e.push_back(i == 0 ? last - first : shape[i]);
  return {p.suffix,
          p.type,
          extents(std::span<index_t const>(e)),
          {p.bytes.begin() + static_cast<std::ptrdiff_t>(row) * first,
           p.bytes.begin() + static_cast<std::ptrdiff_t>(row) * last}};
}

/// The parts of a stored weight where a kernel reads them: found by suffix.
struct placed_parts {
  struct piece {
    std::string suffix;
    dtype type;
    extents shape;
    std::size_t offset, bytes;
    bool in_file;
  };
  unsigned char const* base = nullptr;
  std::vector<piece> const* pieces = nullptr;

  /// Null if there is no such part.
  template <class V> [[nodiscard]] V const* find(std::string_view suffix) const noexcept {
    for (auto const& p : *pieces)
      if (p.suffix == suffix) return reinterpret_cast<V const*>(base + p.offset);
    return nullptr;
  }
  PLEAT_LAZY [[nodiscard]] index_t count(std::string_view suffix) const noexcept {
    for (auto const& p : *pieces)
      if (p.suffix == suffix) return p.shape.size();
    return 0;
  }
};

}  // namespace pleat::codec::detail
