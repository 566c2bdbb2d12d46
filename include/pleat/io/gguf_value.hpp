// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What GGUF files are made of: typed values, arrays of them, entries of tensors. Needs no Kokkos.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/io/ggml_type.hpp>
#include <pleat/tensor/detail/array_bytes.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::io {

static_assert(std::endian::native == std::endian::little,
              "GGUF data are little endian here; this machine would need swaps that pleat does not have yet");

namespace detail {
struct gguf_no_nesting {
  friend bool operator==(gguf_no_nesting const&, gguf_no_nesting const&) = default;
};
}  // namespace detail

/// An array of a file's metadata; index() is the number of the items' type. Arrays of arrays are not read (llama.cpp
/// does not read them either).
using gguf_array =
    std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
                 std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>, std::vector<float>,
                 std::vector<bool>, std::vector<std::string>, detail::gguf_no_nesting, std::vector<std::uint64_t>,
                 std::vector<std::int64_t>, std::vector<double>>;

/// A value of a file's metadata; index() is the number of its type: 0 u8, 1 i8, 2 u16, 3 i16, 4 u32, 5 i32, 6 f32,
/// 7 bool, 8 string, 9 array, 10 u64, 11 i64, 12 f64.
using gguf_value = std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t,
                                float, bool, std::string, gguf_array, std::uint64_t, std::int64_t, double>;

/// Metadata by key.
using gguf_map = std::map<std::string, gguf_value, std::less<>>;

/// Number of items of an array.
[[nodiscard]] inline std::size_t size_of(gguf_array const& a) noexcept {
  return std::visit(
      [](auto const& v) -> std::size_t {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, detail::gguf_no_nesting>) return 0;
        else return v.size();
      },
      a);
}

/// One tensor of a file: [begin, end) are byte positions relative to the start of the data. `shape` is outermost first,
/// as everywhere in pleat (the file has the reverse).
struct gguf_entry {
  std::string name;
  ggml_type type;
  extents shape;
  std::uint64_t begin = 0, end = 0;
};

/// A tensor to be written: the bytes stay where they are.
struct gguf_view {
  std::string name;
  ggml_type type;
  extents shape;
  std::span<std::byte const> bytes;
};

namespace detail {

/// Bytes of a tensor, or words that say why there is no such one.
struct gguf_size {
  std::uint64_t bytes = 0;
  std::string problem{};
};
PLEAT_ONCE [[nodiscard]] gguf_size gguf_bytes(ggml_type const& t, extents const& shape) {
  std::uint64_t const row = shape.rank() ? static_cast<std::uint64_t>(shape[shape.rank() - 1]) : 1;
  std::string const what = "the shape " + shape.to_string() + " in the type " + std::string(t.name);
  if (row % t.block != 0)
    return {0, what + " has rows of " + std::to_string(row) + " numbers, expected a multiple of " +
                   std::to_string(t.block)};
  auto const n =
      pleat::detail::array_bytes(shape, static_cast<std::uint64_t>(t.bytes), static_cast<std::uint64_t>(t.block));
  if (!n) return {0, what + " has more bytes than 62 bits can count"};
  return {*n, {}};
}

inline constexpr char const* gguf_type_names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                  "bool", "string", "array", "u64", "i64", "f64"};

/// The alignment that a map asks for; 0 if what it says is none.
[[nodiscard]] inline std::uint64_t gguf_alignment(gguf_map const& m) {
  auto const it = m.find("general.alignment");
  if (it == m.end()) return 32;
  auto const* a = std::get_if<std::uint32_t>(&it->second);
  return a && std::has_single_bit(*a) && *a >= 8 ? *a : 0;
}
[[nodiscard]] constexpr std::uint64_t padded(std::uint64_t at, std::uint64_t alignment) noexcept {
  return (at + alignment - 1) / alignment * alignment;
}

}  // namespace detail

}  // namespace pleat::io
