// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Writing protocol buffers: tags, varints, lengths. Needs no Kokkos. Source: the encoding's description
/// (protobuf.dev/programming-guides/encoding).
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace pleat::io::detail {

/// A message to be; fields appear in the order of adding.
class protobuf_message {
 public:
  void integer(int field, std::int64_t v) {
    tag(field, 0);
    varint(static_cast<std::uint64_t>(v));
  }
  void number(int field, float v) {
    tag(field, 5);
    char b[4];
    std::memcpy(b, &v, 4);
    out_.append(b, 4);
  }
  void text(int field, std::string_view v) {
    tag(field, 2);
    varint(v.size());
    out_.append(v);
  }
  void message(int field, protobuf_message const& m) { text(field, m.out_); }
  /// Repeated integers in one field, as version 3 of the language packs them.
  void integers(int field, std::span<std::int64_t const> list) {
    protobuf_message packed;
    for (auto v : list) packed.varint(static_cast<std::uint64_t>(v));
    message(field, packed);
  }
  [[nodiscard]] std::string const& bytes() const noexcept { return out_; }

 private:
  void tag(int field, unsigned wire_type) { varint(static_cast<std::uint64_t>(field) << 3 | wire_type); }
  void varint(std::uint64_t v) {
    for (; v >= 0x80; v >>= 7) out_.push_back(static_cast<char>((v & 0x7f) | 0x80));
    out_.push_back(static_cast<char>(v));
  }
  std::string out_;
};

}  // namespace pleat::io::detail
