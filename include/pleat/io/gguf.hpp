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
#include <pleat/io/detail/array_bytes.hpp>
#include <pleat/io/detail/byte_reader.hpp>
#include <pleat/io/detail/entry_table.hpp>
#include <pleat/io/detail/json.hpp>
#include <pleat/io/detail/shown.hpp>
#include <pleat/io/file.hpp>
#include <pleat/io/ggml_type.hpp>
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
PLEAT_ONCE [[nodiscard]] inline gguf_size gguf_bytes(ggml_type const& t, extents const& shape) {
  std::uint64_t const row = shape.rank() ? static_cast<std::uint64_t>(shape[shape.rank() - 1]) : 1;
  std::string const what = "the shape " + shape.to_string() + " in the type " + std::string(t.name);
  if (row % t.block != 0)
    return {0, what + " has rows of " + std::to_string(row) + " numbers, expected a multiple of " +
                   std::to_string(t.block)};
  auto const n = array_bytes(shape, static_cast<std::uint64_t>(t.bytes), static_cast<std::uint64_t>(t.block));
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
  /// \throws error that says how many the file does hold
  [[nodiscard]] gguf_entry const& at(std::string_view name) const {
    if (auto const* e = find(name)) return *e;
    throw error{call_, "there is no tensor " + detail::shown(name) + " among the " + std::to_string(entries().size()),
                "Use one of these names"};
  }
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

  PLEAT_ONCE inline void parse_header(detail::byte_reader& in) {
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
  PLEAT_ONCE [[nodiscard]] inline gguf_value read_value(detail::byte_reader& in, std::string const& key,
                                                        std::uint32_t type) {
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

  PLEAT_ONCE inline void read_entry(detail::byte_reader& in) {
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

  PLEAT_ONCE inline void check_data(std::uint64_t header_end) {
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

/// A file to be (version 3): collects metadata and views, then writes. The same content gives the same bytes, whatever
/// the order of adding: general.architecture first, then keys and tensors by name.
class gguf_writer {
 public:
  /// \param architecture of the network; the format requires one (llama.cpp runs those that it knows)
  explicit gguf_writer(std::string architecture) { metadata("general.architecture", std::move(architecture)); }

  /// Sets a key; general.alignment (u32, a power of two from 8) is obeyed. \throws error for a key that is empty, above
  /// 65535 bytes or no UTF-8, and a string that is no UTF-8
  PLEAT_ONCE inline void metadata(std::string key, gguf_value value) {
    if (key.empty() || key.size() > 65535 || detail::first_not_utf8(key) != std::string_view::npos)
      throw error{call, "a metadata key of " + std::to_string(key.size()) + " bytes is empty, too long or no UTF-8",
                  "Use keys of 1 to 65535 bytes of UTF-8"};
    if (auto const* s = std::get_if<std::string>(&value); s && detail::first_not_utf8(*s) != std::string_view::npos)
      throw error{call, "the value of " + detail::shown(key) + " is no UTF-8", "Write text as UTF-8"};
    if (auto const* a = std::get_if<gguf_array>(&value)) {
      if (a->index() == 9)
        throw error{call, "the value of " + detail::shown(key) + " is an array without a type",
                    "Give the array a first item, or leave the key out"};
      if (auto const* list = std::get_if<std::vector<std::string>>(a))
        for (std::size_t i = 0; i < list->size(); ++i)
          if (detail::first_not_utf8((*list)[i]) != std::string_view::npos)
            throw error{call, "item " + std::to_string(i) + " of " + detail::shown(key) + " is no UTF-8",
                        "Write text as UTF-8"};
    }
    gguf_map const one{{key, value}};
    if (detail::gguf_alignment(one) == 0)
      throw error{call, "general.alignment must be a u32 that is a power of two and at least 8",
                  "Leave it out: 32 is usual"};
    metadata_[std::move(key)] = std::move(value);
  }

  /// The bytes must live until the file is written. \throws error: a name that was there already, is empty, no UTF-8 or
  /// above 63 bytes (what ggml takes); a rank above 4; rows that are no whole blocks; bytes that do not fit
  PLEAT_ONCE inline void add(gguf_view t) {
    if (t.name.empty() || t.name.size() > 63 || detail::first_not_utf8(t.name) != std::string_view::npos)
      throw error{call,
                  "the tensor's name " + detail::shown(t.name) + " has " + std::to_string(t.name.size()) +
                      " bytes, expected 1 to 63 of UTF-8",
                  "Shorten the layers' names, or write safetensors"};
    if (t.shape.rank() > 4)
      throw error{call,
                  "tensor " + detail::shown(t.name) + " has the shape " + t.shape.to_string() +
                      ", the format allows 4 dimensions",
                  "Join dimensions before writing: the numbers stay as they lie"};
    auto const size = detail::gguf_bytes(t.type, t.shape);
    if (!size.problem.empty())
      throw error{call, "tensor " + detail::shown(t.name) + ": " + size.problem,
                  "Choose a type whose blocks divide the last dimension"};
    if (size.bytes != t.bytes.size())
      throw error{call,
                  "tensor " + detail::shown(t.name) + " of shape " + t.shape.to_string() + " and type " +
                      std::string(t.type.name) + " needs " + std::to_string(size.bytes) + " bytes, " +
                      std::to_string(t.bytes.size()) + " were given",
                  "Hand over the bytes of the whole tensor in that type"};
    if (!tensors_.try_emplace(t.name, t).second)
      throw error{call, "the name " + detail::shown(t.name) + " was given to two tensors",
                  "Give every tensor a name of its own"};
  }
  /// The same for typed values. \throws error too for types that ggml does not have
  template <class T> void add(std::string name, extents const& shape, std::span<T const> values) {
    auto const* type = ggml_type_of(dtype_of<T>);
    if (!type)
      throw error{call,
                  "tensor " + detail::shown(name) + ": GGUF has no " + std::string(name_of(dtype_of<T>)) + " elements",
                  "Convert the numbers to float first"};
    add({std::move(name), *type, shape, std::as_bytes(values)});
  }

  /// Everything before the data, padded to the alignment.
  PLEAT_ONCE [[nodiscard]] inline std::string header() const {
    std::string out = "GGUF";
    put(out, std::uint32_t{3});
    put(out, static_cast<std::uint64_t>(tensors_.size()));
    put(out, static_cast<std::uint64_t>(metadata_.size()));
    auto const one = [&](std::string const& key, gguf_value const& v) {
      put_string(out, key);
      put(out, static_cast<std::uint32_t>(v.index()));
      std::visit([&](auto const& x) { put_value(out, x); }, v);
    };
    constexpr std::string_view first = "general.architecture";
    one(std::string(first), metadata_.find(first)->second);
    for (auto const& [key, v] : metadata_)
      if (key != first) one(key, v);
    std::uint64_t at = 0;
    std::uint64_t const alignment = detail::gguf_alignment(metadata_);
    for (auto const& [name, t] : tensors_) {
      put_string(out, name);
      put(out, static_cast<std::uint32_t>(t.shape.rank()));
      for (int d = t.shape.rank(); d-- > 0;) put(out, static_cast<std::uint64_t>(t.shape[d]));
      put(out, t.type.number);
      put(out, at);
      at = detail::padded(at + t.bytes.size(), alignment);
    }
    out.resize(static_cast<std::size_t>(detail::padded(out.size(), alignment)), '\0');
    return out;
  }

  /// Hands the file to `sink(span of bytes)`, piece by piece, without a copy of the data.
  template <class Sink> void stream(Sink&& sink) const {
    std::string const head = header();
    sink(std::as_bytes(std::span(head.data(), head.size())));
    auto const alignment = detail::gguf_alignment(metadata_);
    std::vector<std::byte> const zeros(static_cast<std::size_t>(alignment));
    for (auto const& [name, t] : tensors_) {
      sink(t.bytes);
      if (auto const rest = t.bytes.size() % alignment; rest != 0)
        sink(std::span(zeros).first(static_cast<std::size_t>(alignment - rest)));
    }
  }
  /// The whole file in memory.
  [[nodiscard]] std::vector<std::byte> bytes() const {
    std::vector<std::byte> out;
    stream([&](std::span<std::byte const> piece) { out.insert(out.end(), piece.begin(), piece.end()); });
    return out;
  }
  /// Atomically (atomic_file).
  void write(std::string const& path) const {
    atomic_file file(path);
    stream([&](std::span<std::byte const> piece) { file.write(piece); });
    file.commit();
  }

 private:
  static constexpr char const* call = "io::gguf_writer";

  template <class T> static void put(std::string& out, T v) {
    char b[sizeof v];
    std::memcpy(b, &v, sizeof v);
    out.append(b, sizeof v);
  }
  static void put_string(std::string& out, std::string_view s) {
    put(out, static_cast<std::uint64_t>(s.size()));
    out.append(s);
  }
  template <class T> static void put_value(std::string& out, T const& v) {
    if constexpr (std::is_same_v<T, std::string>) {
      put_string(out, v);
    } else if constexpr (std::is_same_v<T, bool>) {
      put(out, static_cast<std::uint8_t>(v));
    } else if constexpr (std::is_same_v<T, gguf_array>) {
      put(out, static_cast<std::uint32_t>(v.index()));
      put(out, static_cast<std::uint64_t>(size_of(v)));
      std::visit(
          [&](auto const& list) {
            if constexpr (!std::is_same_v<std::decay_t<decltype(list)>, detail::gguf_no_nesting>)
              for (typename std::decay_t<decltype(list)>::value_type const& item : list) put_value(out, item);
          },
          v);
    } else {
      put(out, v);
    }
  }

  std::map<std::string, gguf_view, std::less<>> tensors_;
  gguf_map metadata_;
};

}  // namespace pleat::io
