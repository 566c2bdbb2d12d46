// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// IDX, the array format of MNIST: two zero bytes, an element code, the rank, big-endian 32-bit extents, big-endian
/// data. Needs no Kokkos.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/io/file.hpp>
#include <pleat/io/gzip.hpp>
#include <pleat/tensor/detail/array_bytes.hpp>
#include <pleat/tensor/dtype.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::io {

/// An array as an IDX file holds it, elements in the byte order of this machine, row-major.
struct idx_array {
  dtype type = dtype::u8;        ///< u8, i8, i16, i32, f32 or f64
  extents shape;                 ///< rank 1 to 6
  std::vector<std::byte> bytes;  ///< of all elements

  /// The elements. \throws error if T is not the element type of the file
  template <class T> [[nodiscard]] std::span<T const> values() const {
    if (dtype_of<T> != type)
      throw error{
          "io::idx_array::values",
          "the elements are " + std::string(name_of(type)) + ", asked for as " + std::string(name_of(dtype_of<T>)),
          "Ask for the type that the file holds, values<std::uint8_t>() for U8"};
    return {reinterpret_cast<T const*>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

namespace detail {

/// The element code of the format; -1 for types that it does not have.
PLEAT_LAZY [[nodiscard]] constexpr int idx_code(dtype t) noexcept {
  switch (t) {
    case dtype::u8:
      return 0x08;
    case dtype::i8:
      return 0x09;
    case dtype::i16:
      return 0x0B;
    case dtype::i32:
      return 0x0C;
    case dtype::f32:
      return 0x0D;
    case dtype::f64:
      return 0x0E;
    default:
      return -1;
  }
}

/// The element type of a code. \throws error that lists the known ones
PLEAT_ONCE [[nodiscard]] dtype idx_type(unsigned code, std::string const& call) {
  for (auto t : {dtype::u8, dtype::i8, dtype::i16, dtype::i32, dtype::f32, dtype::f64})
    if (idx_code(t) == static_cast<int>(code)) return t;
  throw error{call,
              "unknown element code " + std::to_string(code) +
                  " at byte 2, expected 8 (u8), 9 (i8), 11 (i16), 12 (i32), 13 (f32) or 14 (f64)",
              remedy::copy_again};
}

/// Between big endian and this machine, both ways.
PLEAT_LAZY inline void idx_swap(std::span<std::byte> bytes, std::size_t element) noexcept {
  if constexpr (std::endian::native == std::endian::big) return;
  if (element == 1) return;
  for (std::size_t i = 0; i + element <= bytes.size(); i += element)
    std::reverse(bytes.data() + i, bytes.data() + i + element);
}

/// One reader for plain and for compressed bytes: `fill(span)` gives the number of bytes that it could deliver.
template <class Fill> [[nodiscard]] idx_array read_idx_from(Fill&& fill, std::uint64_t most, std::string const& call) {
  auto const must = [&](std::span<std::byte> out, std::uint64_t at, char const* what) {
    std::size_t const got = fill(out);
    if (got < out.size())
      throw error{call,
                  std::string("the file ends within ") + what + ": expected " + std::to_string(at + out.size()) +
                      " bytes or more, found " + std::to_string(at + got),
                  remedy::copy_again};
  };
  std::byte magic[4];
  must(magic, 0, "the 4 bytes of its magic number");
  if (magic[0] != std::byte{0} || magic[1] != std::byte{0})
    throw error{call,
                "not an IDX file: expected two zero bytes at byte 0, found " +
                    std::to_string(std::to_integer<int>(magic[0])) + " and " +
                    std::to_string(std::to_integer<int>(magic[1])),
                remedy::copy_again};
  idx_array a;
  a.type = idx_type(std::to_integer<unsigned>(magic[2]), call);
  int const rank = std::to_integer<int>(magic[3]);
  if (rank < 1 || rank > extents::max_rank)
    throw error{call, "rank " + std::to_string(rank) + " at byte 3, expected 1 to " + std::to_string(extents::max_rank),
                remedy::copy_again};

  std::byte raw[4 * extents::max_rank];
  must({raw, static_cast<std::size_t>(4 * rank)}, 4, "its extents");
  std::uint64_t const header = 4 + 4 * static_cast<std::uint64_t>(rank);
  index_t list[extents::max_rank];
  for (int i = 0; i < rank; ++i) {
    std::uint32_t n = 0;
    for (int b = 0; b < 4; ++b) n = n << 8 | std::to_integer<std::uint32_t>(raw[4 * i + b]);
    list[i] = n;
  }
  a.shape = extents(std::span<index_t const>(list, static_cast<std::size_t>(rank)));
  auto const size = pleat::detail::array_bytes(a.shape, size_of(a.type));
  if (!size || *size > most)
    throw error{call,
                "the header announces " + a.shape.to_string() + " elements of " + std::to_string(size_of(a.type)) +
                    " bytes from byte " + std::to_string(header) + " on, more than the file can hold (" +
                    std::to_string(most) + " bytes)",
                "The file is truncated or its header is damaged"};
  a.bytes.resize(static_cast<std::size_t>(*size));
  must(a.bytes, header, "its data");
  std::byte extra{};
  if (fill(std::span<std::byte>(&extra, 1)) != 0)
    throw error{call,
                "the data of " + a.shape.to_string() + " end at byte " + std::to_string(header + *size) +
                    ", but the file goes on",
                remedy::copy_again};
  idx_swap(as_span(a.bytes), size_of(a.type));
  return a;
}

}  // namespace detail

/// An IDX file in memory, plain or gzip (told by its first bytes). Allocates no more than the announced data, and
/// refuses before that an announcement that the input cannot keep. \throws error that names the call, the offset, what
/// was expected and what was found
PLEAT_ONCE [[nodiscard]] idx_array decode_idx(std::span<std::byte const> input,
                                              std::string const& call = "io::decode_idx") {
  if (is_gzip(input)) {
    gzip_reader reader(input, call);
    return detail::read_idx_from([&](std::span<std::byte> out) { return reader.read(out); },
                                 input.size() * gzip_max_ratio, call);
  }
  std::size_t at = 0;
  return detail::read_idx_from(
      [&](std::span<std::byte> out) {
        std::size_t const n = std::min(out.size(), input.size() - at);
        if (n) std::memcpy(out.data(), input.data() + at, n);
        at += n;
        return n;
      },
      input.size(), call);
}

/// An IDX file, plain or gzip. \throws error as decode_idx, with the path
PLEAT_ONCE [[nodiscard]] idx_array read_idx(std::string const& path) {
  mapped_file const file(path);
  return decode_idx(file.bytes(), detail::call_on("read_idx", path));
}

/// The bytes of an IDX file. \throws error for an element type or an extent that the format does not have, or bytes
/// that do not fit the shape
PLEAT_ONCE [[nodiscard]] std::vector<std::byte> encode_idx(idx_array const& a) {
  int const code = detail::idx_code(a.type);
  if (code < 0)
    throw error{"io::encode_idx", "the format has no element type " + std::string(name_of(a.type)),
                "Convert the elements to U8, I8, I16, I32, F32 or F64"};
  if (a.shape.rank() < 1)
    throw error{"io::encode_idx", "the format has no arrays of rank 0", "Give a single number the shape [1]"};
  std::vector<std::byte> out = {std::byte{0}, std::byte{0}, static_cast<std::byte>(code),
                                static_cast<std::byte>(a.shape.rank())};
  for (auto n : a.shape) {
    if (n > 0xffffffff)
      throw error{"io::encode_idx", "extent " + std::to_string(n) + " is above 2^32 - 1",
                  "Cut the array into several files"};
    for (int b = 3; b >= 0; --b) out.push_back(static_cast<std::byte>(n >> (8 * b)));
  }
  if (a.bytes.size() != pleat::detail::array_bytes(a.shape, size_of(a.type)))
    throw error{"io::encode_idx", std::to_string(a.bytes.size()) + " bytes do not fit " + a.shape.to_string(),
                "Give the shape that the elements have, or the elements that the shape has"};
  std::size_t const header = out.size();
  out.insert(out.end(), a.bytes.begin(), a.bytes.end());
  detail::idx_swap(std::span(out).subspan(header), size_of(a.type));
  return out;
}

/// Writes a plain IDX file atomically.
PLEAT_LAZY inline void write_idx(std::string const& path, idx_array const& a) {
  write_file(path, as_span(encode_idx(a)));
}

}  // namespace pleat::io
