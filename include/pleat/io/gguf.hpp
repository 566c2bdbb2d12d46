// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// GGUF: typed metadata and named tensors in ggml's element types, the file format of llama.cpp. Needs no Kokkos.
/// Source: the format's description, version 3 (github.com/ggml-org/ggml, docs/gguf.md).
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/io/detail/byte_reader.hpp>
#include <pleat/io/detail/entry_table.hpp>
#include <pleat/io/detail/json.hpp>
#include <pleat/io/detail/shown.hpp>
#include <pleat/io/file.hpp>
#include <pleat/io/ggml_type.hpp>
#include <pleat/io/gguf_value.hpp>
#include <pleat/io/gguf_writer.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::io {

/// A file that has passed every check: known version and types, no key or name twice, the tensors one after the other
/// on the file's alignment without an overlap or a hole. Memory is bounded by a small multiple of the header's length.
/// Versions 2 and 3 are read (they differ in nothing that a little-endian file holds). Move-only.
class gguf_file {
 public:
  /// Maps the file (see mapped_file for what that means; gguf_file(read_file(path), path) reads it instead).
  /// \throws error with the path, the byte, expected and found
  explicit gguf_file(std::string const& path)
      : gguf_file(storage(mapped_file(path)), detail::call_on("gguf_file", path)) {}

  /// Takes a file that is in memory already.
  explicit gguf_file(std::vector<std::byte> bytes, std::string call = "io::gguf_file")
      : gguf_file(storage(std::move(bytes)), std::move(call)) {}

  /// In the order of their data.
  [[nodiscard]] std::span<gguf_entry const> entries() const noexcept { return table_.entries(); }
  /// Without the keys that a reader needs no more: all of them are here, general.alignment too.
  [[nodiscard]] gguf_map const& metadata() const noexcept { return metadata_; }
  [[nodiscard]] std::uint32_t version() const noexcept { return version_; }
  /// Of the data, in bytes.
  [[nodiscard]] std::uint64_t alignment() const noexcept { return alignment_; }

  /// nullptr if there is none.
  [[nodiscard]] gguf_entry const* find(std::string_view name) const noexcept { return table_.find(name); }
  /// \throws error that says what the file does hold
  [[nodiscard]] gguf_entry const& at(std::string_view name) const { return table_.at(name, call_); }
  /// A metadata value of a given type. \throws error if it is not there or of another type
  template <class T> [[nodiscard]] T const& value(std::string_view key) const {
    auto const it = metadata_.find(key);
    if (it == metadata_.end())
      throw error{call_, "there is no metadata key " + detail::shown(key),
                  "metadata() has all the keys that the file has"};
    if (auto const* v = std::get_if<T>(&it->second)) return *v;
    throw error{call_,
                "the metadata key " + detail::shown(key) + " holds " + detail::gguf_type_names[it->second.index()] +
                    ", expected " + detail::gguf_type_names[gguf_value(T{}).index()],
                "Ask for the type that the file has"};
  }

  /// The raw bytes of an entry of this file.
  [[nodiscard]] std::span<std::byte const> bytes(gguf_entry const& e) const noexcept {
    return raw().subspan(static_cast<std::size_t>(data_begin_ + e.begin), static_cast<std::size_t>(e.end - e.begin));
  }
  [[nodiscard]] std::span<std::byte const> bytes(std::string_view name) const { return bytes(at(name)); }
  /// How errors of this file introduce themselves.
  [[nodiscard]] std::string const& call() const noexcept { return call_; }

 private:
  using storage = std::variant<std::vector<std::byte>, mapped_file>;

  gguf_file(storage held, std::string call) : storage_(std::move(held)), call_(std::move(call)) {
    detail::byte_reader in(raw(), call_);
    parse_header(in);
    check_data(in.position());
  }

  [[nodiscard]] std::span<std::byte const> raw() const noexcept {
    if (auto const* v = std::get_if<0>(&storage_)) return *v;
    return std::get_if<1>(&storage_)->bytes();
  }

  PLEAT_ONCE void parse_header(detail::byte_reader& in) {
    if (raw().size() < 4 || std::memcmp(raw().data(), "GGUF", 4) != 0)
      throw error{call_, "the file does not begin with 'GGUF': this is no GGUF file", remedy::copy_again};
    in.skip(4);
    version_ = in.number<std::uint32_t>("the version");
    if (version_ == 1)
      throw error{call_, "the file has version 1 of the format, pleat reads 2 and 3",
                  "Convert it with a current llama.cpp or the Python package gguf"};
    if (version_ != 2 && version_ != 3) {
      bool const swapped = (version_ & 0xffffu) == 0 && version_ >> 24 != 0;
      throw error{call_,
                  swapped ? "the file is big endian, pleat reads little-endian ones"
                          : "the file has version " + std::to_string(version_) +
                                " of the format, this version of pleat reads 2 and 3",
                  swapped ? "Convert it with the Python package gguf (gguf-convert-endian)" : "Take a newer pleat"};
    }
    auto const tensors = in.number<std::uint64_t>("the number of tensors");
    auto const keys = in.number<std::uint64_t>("the number of metadata keys");
    // The shortest tensor description takes 24 bytes, the shortest key and value 13.
    in.demand_room(tensors, 24, "tensors");
    in.demand_room(keys, 13, "metadata keys");
    for (std::uint64_t i = 0; i < keys; ++i) {
      auto key = read_text(in, "a metadata key", 65535);
      auto const type = in.number<std::uint32_t>("the type of a metadata value");
      auto value = read_value(in, key, type);
      if (auto const [it, fresh] = metadata_.emplace(std::move(key), std::move(value)); !fresh)
        throw error{call_, "the metadata key " + detail::shown(it->first) + " appears twice", remedy::copy_again};
    }
    alignment_ = detail::gguf_alignment(metadata_);
    if (alignment_ == 0)
      throw error{call_, "general.alignment is no u32 that is a power of two and at least 8", remedy::copy_again};
    table_.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(tensors, 4096)));
    for (std::uint64_t i = 0; i < tensors; ++i) read_entry(in);
  }

  template <std::size_t At>
  void read_array(detail::byte_reader& in, std::string const& key, std::uint64_t n, gguf_value& out) {
    using list = std::variant_alternative_t<At, gguf_array>;
    if constexpr (std::is_same_v<list, detail::gguf_no_nesting>) {
      throw error{call_,
                  "the metadata key " + detail::shown(key) + " holds an array of arrays, which pleat does not read",
                  remedy::copy_again};
    } else {
      using item = typename list::value_type;
      list v;
      if constexpr (std::is_same_v<item, std::string>) {
        in.demand_room(n, 8, "strings");
        auto const what = "a string of " + detail::shown(key);
        for (std::uint64_t i = 0; i < n; ++i) v.push_back(read_text(in, what));
      } else if constexpr (std::is_same_v<item, bool>) {
        in.demand_room(n, 1, "booleans");
        for (std::uint64_t i = 0; i < n; ++i) v.push_back(read_bool(in, key));
      } else {
        in.demand_room(n, sizeof(item), "numbers");
        v.resize(static_cast<std::size_t>(n));
        in.copy(v.data(), v.size() * sizeof(item));
      }
      out = gguf_array(std::in_place_index<At>, std::move(v));
    }
  }
  /// A string, which the format wants to be UTF-8.
  [[nodiscard]] std::string read_text(detail::byte_reader& in, std::string const& what,
                                      std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) {
    auto const begin = in.position();
    auto s = in.string(what.c_str(), most);
    if (detail::first_not_utf8(s) != std::string_view::npos)
      throw error{call_, what + " at byte " + std::to_string(begin) + " is no UTF-8", remedy::copy_again};
    return s;
  }
  [[nodiscard]] bool read_bool(detail::byte_reader& in, std::string const& key) {
    auto const b = in.number<std::uint8_t>("a boolean");
    if (b > 1)
      throw error{
          call_,
          "the metadata key " + detail::shown(key) + " holds the boolean " + std::to_string(b) + ", expected 0 or 1",
          remedy::copy_again};
    return b == 1;
  }
  template <std::size_t At> void read_one(detail::byte_reader& in, std::string const& key, gguf_value& out) {
    using T = std::variant_alternative_t<At, gguf_value>;
    if constexpr (std::is_same_v<T, std::string>) {
      out.emplace<At>(read_text(in, "the string " + detail::shown(key)));
    } else if constexpr (std::is_same_v<T, bool>) {
      out.emplace<At>(read_bool(in, key));
    } else if constexpr (std::is_same_v<T, gguf_array>) {
      auto const item = in.number<std::uint32_t>("the type of an array's items");
      auto const n = in.number<std::uint64_t>("the length of an array");
      [&]<std::size_t... Is>(std::index_sequence<Is...>) {
        if (!((item == Is ? (read_array<Is>(in, key, n, out), true) : false) || ...)) refuse_type(key, item);
      }(std::make_index_sequence<std::variant_size_v<gguf_array>>{});
    } else {
      out.emplace<At>(in.number<T>("a metadata value"));
    }
  }
  PLEAT_ONCE [[nodiscard]] gguf_value read_value(detail::byte_reader& in, std::string const& key, std::uint32_t type) {
    gguf_value v;
    [&]<std::size_t... Is>(std::index_sequence<Is...>) {
      if (!((type == Is ? (read_one<Is>(in, key, v), true) : false) || ...)) refuse_type(key, type);
    }(std::make_index_sequence<std::variant_size_v<gguf_value>>{});
    return v;
  }
  [[noreturn]] void refuse_type(std::string const& key, std::uint32_t type) const {
    throw error{call_,
                "the metadata key " + detail::shown(key) + " has the value type " + std::to_string(type) +
                    ", the format knows 0 to 12",
                remedy::copy_again};
  }

  PLEAT_ONCE void read_entry(detail::byte_reader& in) {
    auto const begin = in.position();
    gguf_entry e;
    e.name = in.string("a tensor's name", 65535);
    if (e.name.size() > 64 || detail::first_not_utf8(e.name) != std::string_view::npos)
      throw error{call_,
                  "the tensor's name at byte " + std::to_string(begin) + " is " +
                      (e.name.size() > 64 ? std::to_string(e.name.size()) + " bytes long, the format allows 64"
                                          : std::string("no UTF-8")),
                  remedy::copy_again};
    auto const rank = in.number<std::uint32_t>("a rank");
    if (rank > 4)
      throw error{
          call_,
          "tensor " + detail::shown(e.name) + " has " + std::to_string(rank) + " dimensions, the format allows 4",
          remedy::copy_again};
    index_t list[4];
    for (std::uint32_t d = 0; d < rank; ++d) {
      auto const n = in.number<std::uint64_t>("an extent");
      if (n > static_cast<std::uint64_t>(INT64_MAX))
        throw error{call_,
                    "tensor " + detail::shown(e.name) + " has the extent " + std::to_string(n) + ", above 2^63 - 1",
                    remedy::copy_again};
      list[rank - 1 - d] = static_cast<index_t>(n);
    }
    e.shape = extents(std::span<index_t const>(list, rank));
    auto const number = in.number<std::uint32_t>("a tensor's type");
    auto const* type = find_ggml_type(number);
    if (!type)
      throw error{call_,
                  "tensor " + detail::shown(e.name) + " has the ggml type " + std::to_string(number) +
                      ", which this version of pleat does not know",
                  remedy::copy_again};
    e.type = *type;
    e.begin = in.number<std::uint64_t>("a tensor's offset");
    auto const size = detail::gguf_bytes(e.type, e.shape);
    if (!size.problem.empty())
      throw error{call_, "tensor " + detail::shown(e.name) + ": " + size.problem, remedy::copy_again};
    if (__builtin_add_overflow(e.begin, size.bytes, &e.end))
      throw error{call_, "tensor " + detail::shown(e.name) + " ends above 2^64", remedy::copy_again};
    table_.add(std::move(e));
  }

  PLEAT_ONCE void check_data(std::uint64_t header_end) {
    table_.order(call_);
    std::uint64_t const size = raw().size();
    // A file without tensors may end with its header.
    data_begin_ = entries().empty() ? std::min(detail::padded(header_end, alignment_), size)
                                    : detail::padded(header_end, alignment_);
    if (data_begin_ > size)
      throw error{
          call_, "the data begin at byte " + std::to_string(data_begin_) + ", but the file has " + std::to_string(size),
          remedy::copy_again};
    std::uint64_t const have = size - data_begin_;
    std::uint64_t at = 0, last = 0;
    for (auto const& e : entries()) {
      if (e.begin % alignment_ != 0)
        throw error{call_,
                    "tensor " + detail::shown(e.name) + " has the offset " + std::to_string(e.begin) +
                        ", expected a multiple of " + std::to_string(alignment_),
                    remedy::copy_again};
      if (e.begin != at)
        throw error{call_,
                    "tensor " + detail::shown(e.name) + " has the offset " + std::to_string(e.begin) + ", expected " +
                        std::to_string(at) + ": " +
                        (e.begin < at ? "it overlaps the one before" : "there is a hole before it"),
                    remedy::copy_again};
      if (e.end > have)
        throw error{call_,
                    "tensor " + detail::shown(e.name) + " ends at byte " + std::to_string(data_begin_ + e.end) +
                        ", but the file has " + std::to_string(size),
                    remedy::copy_again};
      last = e.end;
      at = detail::padded(e.end, alignment_);
    }
    if (have > detail::padded(last, alignment_))
      throw error{call_, std::to_string(have - last) + " bytes follow the last tensor", remedy::copy_again};
  }

  storage storage_;
  std::string call_;
  std::uint32_t version_ = 0;
  std::uint64_t alignment_ = 32, data_begin_ = 0;
  detail::entry_table<gguf_entry> table_;
  gguf_map metadata_;
};

}  // namespace pleat::io
