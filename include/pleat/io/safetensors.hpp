// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// safetensors: named arrays in one file, readable by PyTorch, JAX and others. 8 bytes length, a JSON header, the data.
/// Needs no Kokkos. Source: the format's description and reference implementation (github.com/huggingface/safetensors).
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/io/detail/entry_table.hpp>
#include <pleat/io/detail/json.hpp>
#include <pleat/io/detail/shown.hpp>
#include <pleat/io/file.hpp>
#include <pleat/tensor/detail/array_bytes.hpp>
#include <pleat/tensor/dtype.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::io {

static_assert(std::endian::native == std::endian::little,
              "safetensors data are little endian; this machine would need swaps that pleat does not have yet");

/// One array of a file: [begin, end) are byte positions relative to the start of the data.
struct tensor_entry {
  std::string name;
  dtype type = dtype::f32;
  extents shape;
  std::uint64_t begin = 0, end = 0;
};

/// An array to be written: the bytes stay where they are.
struct tensor_view {
  std::string name;
  dtype type = dtype::f32;
  extents shape;
  std::span<std::byte const> bytes;
};

/// A view of typed values.
template <class T>
[[nodiscard]] tensor_view view_of(std::string name, extents const& shape, std::span<T const> values) {
  return {std::move(name), dtype_of<T>, shape, std::as_bytes(values)};
}

/// What a file says about itself: text by name.
using metadata_map = std::map<std::string, std::string>;

/// The format's own limit.
inline constexpr std::uint64_t safetensors_max_header = 100'000'000;

/// A file that has passed every check: the entries cover the data without a hole or an overlap, and end where the file
/// ends. Memory is bounded by a small multiple of the header's length. Move-only.
class safetensors_file {
 public:
  /// Maps the file (see mapped_file for what that means). \throws error with the path, the byte, expected and found
  PLEAT_ONCE explicit safetensors_file(std::string const& path);

  /// Takes a file that is in memory already.
  /// \param bytes the whole file
  /// \param call  how errors introduce themselves
  PLEAT_LAZY explicit safetensors_file(std::vector<std::byte> bytes, std::string call = "io::safetensors_file")
      : safetensors_file(std::move(bytes), mapped_file(), std::move(call)) {}

  /// In the order of their data.
  PLEAT_LAZY [[nodiscard]] std::span<tensor_entry const> entries() const noexcept { return table_.entries(); }
  /// The file's `__metadata__`; empty if it has none.
  [[nodiscard]] metadata_map const& metadata() const noexcept { return metadata_; }

  /// nullptr if there is none.
  PLEAT_LAZY [[nodiscard]] tensor_entry const* find(std::string_view name) const noexcept { return table_.find(name); }
  /// \throws error that says what the file does hold
  PLEAT_ONCE [[nodiscard]] tensor_entry const& at(std::string_view name) const;

  /// The raw bytes of an entry of this file. Aligned to the element only in files that were written so (all of pleat's
  /// are).
  [[nodiscard]] std::span<std::byte const> bytes(tensor_entry const& e) const noexcept {
    return data().subspan(static_cast<std::size_t>(e.begin), static_cast<std::size_t>(e.end - e.begin));
  }
  /// The same by name. \throws error as at()
  PLEAT_LAZY [[nodiscard]] std::span<std::byte const> bytes(std::string_view name) const { return bytes(at(name)); }

  /// Copies the values out. \throws error if name, element type or count differ
  template <class T> void copy(std::string_view name, std::span<T> out) const {
    auto const& e = at(name);
    if (e.type != dtype_of<T> || e.shape.size() != static_cast<index_t>(out.size()))
      throw error{call_,
                  "tensor " + detail::shown(e.name) + " holds " + std::string(name_of(e.type)) + " " +
                      e.shape.to_string() + ", expected " + std::to_string(out.size()) + " of " +
                      std::string(name_of(dtype_of<T>)),
                  "Ask for the type and the number of elements that the file holds"};
    if (!out.empty()) std::memcpy(out.data(), bytes(e).data(), out.size_bytes());
  }

  /// Length and header: all that is not data.
  PLEAT_LAZY [[nodiscard]] std::span<std::byte const> header() const noexcept { return raw().first(data_begin_); }
  /// All data, without the header.
  PLEAT_LAZY [[nodiscard]] std::span<std::byte const> data() const noexcept { return raw().subspan(data_begin_); }

 private:
  PLEAT_LAZY safetensors_file(std::vector<std::byte> held, mapped_file mapped, std::string call)
      : held_(std::move(held)), mapped_(std::move(mapped)), call_(std::move(call)) {
    parse_header();
    check_data();
  }

  PLEAT_LAZY [[nodiscard]] std::span<std::byte const> raw() const noexcept {
    return held_.empty() ? mapped_.bytes() : as_span(held_);
  }

  PLEAT_ONCE void parse_header() {
    auto const all = raw();
    auto const size = std::to_string(all.size());
    if (all.size() < 8)
      throw error{call_, "the file has " + size + " bytes, expected 8 for the header's length at byte 0",
                  remedy::copy_again};
    std::uint64_t n = 0;
    std::memcpy(&n, all.data(), 8);
    if (std::memcmp(all.data(), "GGUF", 4) == 0)
      throw error{call_, "this is a GGUF file, expected safetensors",
                  "Open it with io::weight_file; for models include <pleat/run/gguf.hpp>"};
    if (n > safetensors_max_header)
      throw error{call_,
                  "the header's length at byte 0 is " + std::to_string(n) +
                      ", the format allows 100000000: this is no safetensors file",
                  remedy::copy_again};
    if (n > all.size() - 8)
      throw error{call_,
                  "the header's length at byte 0 is " + std::to_string(n) + ", but only " +
                      std::to_string(all.size() - 8) + " bytes follow",
                  remedy::copy_again};
    data_begin_ = static_cast<std::size_t>(8 + n);
    std::string_view const text(reinterpret_cast<char const*>(all.data() + 8), static_cast<std::size_t>(n));
    if (text.empty() || text[0] != '{')
      throw error{call_, "the header at byte 8 does not begin with '{': this is no safetensors file",
                  remedy::copy_again};
    if (auto const bad = detail::first_not_utf8(text); bad != std::string_view::npos)
      throw error{call_, "the header is no UTF-8 at byte " + std::to_string(8 + bad), remedy::copy_again};

    detail::json_scanner scan(text, 8, call_);
    bool seen_metadata = false;
    scan.list('{', '}', "in the header", [&] {
      std::string name = scan.string("a tensor's name");
      scan.expect(':', "after a name");
      if (name == "__metadata__") {
        if (std::exchange(seen_metadata, true)) scan.fail("'__metadata__' appears twice");
        scan.list('{', '}', "in '__metadata__'", [&] {
          std::string key = scan.string("a metadata key");
          scan.expect(':', "after a metadata key");
          std::string value = scan.string("a metadata value");
          if (!metadata_.emplace(std::move(key), std::move(value)).second) scan.fail("a metadata key appears twice");
        });
      } else {
        parse_entry(scan, std::move(name));
      }
    });
    scan.skip_space();
    if (!scan.at_end()) scan.fail("expected nothing but spaces after the header");
  }

  PLEAT_ONCE void parse_entry(detail::json_scanner& scan, std::string name) {
    tensor_entry e;
    e.name = std::move(name);
    bool has_type = false, has_shape = false, has_range = false;
    scan.list('{', '}', "in the description of a tensor", [&] {
      auto const key = scan.string("a key");
      auto const once = [&](bool& seen) {
        if (std::exchange(seen, true))
          scan.fail(detail::shown(key) + " of tensor " + detail::shown(e.name) + " appears twice");
      };
      scan.expect(':', "after a key");
      if (key == "dtype") {
        once(has_type);
        auto const type = scan.string("a dtype");
        bool known = false;
        for (int i = 0; i <= static_cast<int>(dtype::u64); ++i)
          if (name_of(static_cast<dtype>(i)) == type) e.type = static_cast<dtype>(i), known = true;
        if (!known)
          scan.fail("tensor " + detail::shown(e.name) + " has the dtype " + detail::shown(type) +
                        ", which this version of pleat does not know",
                    "Store it as another type, or read it with a newer version");
      } else if (key == "shape") {
        once(has_shape);
        index_t list[extents::max_rank];
        int rank = 0;
        scan.list('[', ']', "in a shape", [&] {
          index_t const extent = scan.natural("an extent");
          if (rank == extents::max_rank)
            scan.fail("tensor " + detail::shown(e.name) + " has more than " + std::to_string(extents::max_rank) +
                      " dimensions");
          list[rank++] = extent;
        });
        e.shape = extents(std::span<index_t const>(list, static_cast<std::size_t>(rank)));
      } else if (key == "data_offsets") {
        once(has_range);
        int count = 0;
        scan.list('[', ']', "in 'data_offsets'", [&] {
          auto const offset = static_cast<std::uint64_t>(scan.natural("an offset"));
          if (count == 2) scan.fail("'data_offsets' of tensor " + detail::shown(e.name) + " has more than two numbers");
          (count++ == 0 ? e.begin : e.end) = offset;
        });
        if (count != 2) scan.fail("'data_offsets' of tensor " + detail::shown(e.name) + " needs two numbers");
      } else {
        scan.fail("tensor " + detail::shown(e.name) + " has the key " + detail::shown(key) +
                  ", the format knows dtype, shape and data_offsets");
      }
    });
    if (!has_type || !has_shape || !has_range)
      scan.fail("tensor " + detail::shown(e.name) + " lacks its " +
                (!has_type    ? "dtype"
                 : !has_shape ? "shape"
                              : "data_offsets"));

    auto const bytes = pleat::detail::array_bytes(e.shape, size_of(e.type));
    if (!bytes)
      scan.fail("the shape " + e.shape.to_string() + " of tensor " + detail::shown(e.name) +
                " has more bytes than 62 bits can count");
    std::uint64_t const need = *bytes;
    if (e.end < e.begin || e.end - e.begin != need)
      scan.fail("tensor " + detail::shown(e.name) + " of shape " + e.shape.to_string() + " and dtype " +
                std::string(name_of(e.type)) + " needs " + std::to_string(need) + " bytes, its data_offsets are [" +
                std::to_string(e.begin) + ", " + std::to_string(e.end) + ")");
    table_.add(std::move(e));
  }

  PLEAT_ONCE void check_data() {
    table_.order(call_);
    std::uint64_t at = 0;
    for (auto const& e : entries()) {
      if (e.begin != at)
        throw error{call_,
                    "tensor " + detail::shown(e.name) + " begins at byte " + std::to_string(data_begin_ + e.begin) +
                        ", expected byte " + std::to_string(data_begin_ + at) + ": " +
                        (e.begin < at ? "it overlaps the one before" : "there is a hole before it"),
                    remedy::copy_again};
      at = e.end;
    }
    if (std::uint64_t const have = raw().size() - data_begin_; at != have)
      throw error{call_,
                  "the tensors end at byte " + std::to_string(data_begin_ + at) + ", but the file ends at byte " +
                      std::to_string(data_begin_ + have),
                  remedy::copy_again};
  }

  std::vector<std::byte> held_;  // empty where the file is mapped
  mapped_file mapped_;
  std::string call_;
  std::size_t data_begin_ = 0;
  detail::entry_table<tensor_entry> table_;
  metadata_map metadata_;
};

template <class>
safetensors_file::safetensors_file(std::string const& path)
    : safetensors_file({}, mapped_file(path), detail::call_on("safetensors_file", path)) {}
PLEAT_COMPILED_ONCE(safetensors_file::safetensors_file(std::string const& path));

template <class> tensor_entry const& safetensors_file::at(std::string_view name) const {
  return table_.at(name, call_);
}
PLEAT_COMPILED_ONCE(tensor_entry const& safetensors_file::at(std::string_view name) const);

/// A file to be: collects views and metadata, then writes. The same content gives the same bytes, whatever the order of
/// adding: tensors by descending element type and then by name (so each is aligned to its element), metadata by key,
/// the header padded to 8 bytes.
class safetensors_writer {
 public:
  /// The bytes must live until the file is written. \throws error: a name that was there already, is reserved or is no
  /// UTF-8; bytes that do not fit
  PLEAT_ONCE void add(tensor_view t) {
    check(t);
    if (need(t) != t.bytes.size())
      throw error{call,
                  "tensor " + detail::shown(t.name) + " of shape " + t.shape.to_string() + " needs " +
                      std::to_string(need(t)) + " bytes, " + std::to_string(t.bytes.size()) + " were given",
                  "Hand over the bytes of all its elements, or another shape"};
    enter(t);
  }
  /// The same for typed values.
  template <class T> void add(std::string name, extents const& shape, std::span<T const> values) {
    add(view_of<T>(std::move(name), shape, values));
  }
  /// Adds an array whose bytes somebody else writes: for header() and entries() only.
  PLEAT_LAZY void describe(std::string name, dtype type, extents const& shape) {
    tensor_view const t{std::move(name), type, shape, {}};
    check(t);
    enter(t);
  }
  /// Sets an entry of `__metadata__`. \throws error for what is no UTF-8
  PLEAT_ONCE void metadata(std::string name, std::string value);

  /// The first part of the file: length and header.
  PLEAT_ONCE [[nodiscard]] std::string header() const;

  /// What the file will hold, in the order of the data.
  PLEAT_ONCE [[nodiscard]] std::vector<tensor_entry> entries() const {
    std::vector<tensor_entry> list;
    std::uint64_t at = 0;
    for (auto const& [k, t] : tensors_) {
      list.push_back({t.name, t.type, t.shape, at, at + need(t)});
      at = list.back().end;
    }
    return list;
  }

  /// The arrays, in the order of the data; they live as long as this object.
  PLEAT_ONCE [[nodiscard]] std::vector<tensor_view const*> views() const {
    std::vector<tensor_view const*> list;
    for (auto const& [k, t] : tensors_) list.push_back(&t);
    return list;
  }

  /// Hands the file to `sink(span of bytes)`, piece by piece, without a copy of the data.
  template <class Sink> void stream(Sink&& sink) const {
    std::string const head = header();
    sink(std::as_bytes(std::span(head.data(), head.size())));
    for (auto const& [k, t] : tensors_) sink(t.bytes);
  }
  /// The whole file in memory.
  PLEAT_ONCE [[nodiscard]] std::vector<std::byte> bytes() const {
    std::vector<std::byte> out;
    stream([&](std::span<std::byte const> piece) { out.insert(out.end(), piece.begin(), piece.end()); });
    return out;
  }
  /// Atomically (atomic_file).
  PLEAT_LAZY void write(std::string const& path) const {
    atomic_file file(path);
    stream([&](std::span<std::byte const> piece) { file.write(piece); });
    file.commit();
  }

 private:
  static constexpr char const* call = "io::safetensors_writer";
  /// Of what check() let through.
  PLEAT_LAZY [[nodiscard]] static std::uint64_t need(tensor_view const& t) {
    return static_cast<std::uint64_t>(t.shape.size()) * size_of(t.type);
  }
  PLEAT_ONCE static void check(tensor_view const& t) {
    if (t.name == "__metadata__")
      throw error{call, "'__metadata__' is no name for a tensor: the format reserves it", "Give it another name"};
    if (detail::first_not_utf8(t.name) != std::string_view::npos)
      throw error{call, "the name of a tensor of shape " + t.shape.to_string() + " is no UTF-8",
                  "Give it a name of letters and digits"};
    if (!pleat::detail::array_bytes(t.shape, size_of(t.type)))
      throw error{call,
                  "the shape " + t.shape.to_string() + " of tensor " + detail::shown(t.name) +
                      " has more bytes than 62 bits can count",
                  "Give it the shape of what there is to write"};
  }
  PLEAT_ONCE void enter(tensor_view const& t) {
    for (int i = 0; i <= static_cast<int>(dtype::u64); ++i)
      if (tensors_.contains(key{-i, t.name}))
        throw error{call, "the name " + detail::shown(t.name) + " was given to two tensors",
                    "Give every tensor a name of its own"};
    tensors_.emplace(key{-static_cast<int>(t.type), t.name}, t);
  }
  using key = std::pair<int, std::string>;  // larger element types first
  std::map<key, tensor_view> tensors_;
  metadata_map metadata_;
};

template <class> void safetensors_writer::metadata(std::string name, std::string value) {
  if (detail::first_not_utf8(name) != std::string_view::npos || detail::first_not_utf8(value) != std::string_view::npos)
    throw error{call, "a metadata entry is no UTF-8", "Write bytes that are no text as hexadecimal digits"};
  metadata_[std::move(name)] = std::move(value);
}
PLEAT_COMPILED_ONCE(void safetensors_writer::metadata(std::string name, std::string value));

template <class> std::string safetensors_writer::header() const {
  std::string json = "{";
  if (!metadata_.empty()) {
    json += "\"__metadata__\":{";
    bool first = true;
    for (auto const& [name, value] : metadata_) {
      if (!std::exchange(first, false)) json += ',';
      detail::append_json_string(json, name);
      json += ':';
      detail::append_json_string(json, value);
    }
    json += '}';
  }
  std::uint64_t at = 0;
  for (auto const& [k, t] : tensors_) {
    if (json.size() > 1) json += ',';
    detail::append_json_string(json, t.name);
    json += ":{\"dtype\":\"" + std::string(name_of(t.type)) + "\",\"shape\":[";
    for (int i = 0; i < t.shape.rank(); ++i) {
      if (i) json += ',';
      json += std::to_string(t.shape[i]);
    }
    json += "],\"data_offsets\":[" + std::to_string(at) + "," + std::to_string(at + need(t)) + "]}";
    at += need(t);
  }
  json += '}';
  json.resize((json.size() + 7) / 8 * 8, ' ');
  if (json.size() > safetensors_max_header)
    throw error{call, "the header would have " + std::to_string(json.size()) + " bytes, the format allows 100000000",
                "Write several files, or shorter metadata"};
  std::string out(8, '\0');
  std::uint64_t const n = json.size();
  std::memcpy(out.data(), &n, 8);
  return out + json;
}
PLEAT_COMPILED_ONCE(std::string safetensors_writer::header() const);

/// A file whose arrays are written one after the other, in any order, so that no more than one of them need be in
/// memory. Appears complete or not at all (atomic_file), with the bytes that the writer would have written. A pipe
/// takes bytes in their order only: arrays that come before their turn are held until then.
class safetensors_stream {
 public:
  /// \param what describes every array of the file \throws error if the folder is missing or not writable
  PLEAT_ONCE safetensors_stream(std::string const& path, safetensors_writer const& what)
      : file_(path), call_(detail::call_on("safetensors_stream", path)) {
    auto const head = what.header();
    in_order_ = !file_.has_places();
    file_.write(std::string_view(head));
    for (auto e : what.entries()) {
      e.begin += head.size(), e.end += head.size();
      auto const name = e.name;
      left_.emplace(name, std::move(e));
    }
  }
  /// Writes an array. \throws error for one that was not described, has other bytes or was written already
  PLEAT_ONCE void write(std::string const& name, std::span<std::byte const> bytes) {
    auto const at = left_.find(name);
    if (at == left_.end())
      throw error{call_, "the array " + detail::shown(name) + " was not described, or was written already",
                  "Add every array to the safetensors_writer that describes the file, and write each once"};
    if (at->second.end - at->second.begin != bytes.size())
      throw error{call_,
                  "the array " + detail::shown(name) + " was described with " +
                      std::to_string(at->second.end - at->second.begin) + " bytes, " + std::to_string(bytes.size()) +
                      " were given",
                  "Write the bytes of the type and shape that it was described with"};
    if (!in_order_) file_.write_at(at->second.begin, bytes);
    else if (at->second.begin == file_.written()) file_.write(bytes);
    else if (!bytes.empty()) held_.emplace(at->second.begin, std::vector<std::byte>(bytes.begin(), bytes.end()));
    left_.erase(at);
    for (auto first = held_.begin(); first != held_.end() && first->first == file_.written();
         first = held_.erase(first))
      file_.write(as_span(first->second));
  }
  /// The moment of change. \throws error if an array is missing
  PLEAT_ONCE void commit() {
    if (!left_.empty())
      throw error{call_,
                  std::to_string(left_.size()) + " arrays are not written, " + detail::shown(left_.begin()->first) +
                      " is one of them",
                  "Write every array that was described before the commit"};
    file_.commit();
  }

 private:
  atomic_file file_;
  std::string call_;
  std::map<std::string, tensor_entry> left_;
  bool in_order_ = false;
  // by where they begin, until the bytes before them are written
  std::map<std::uint64_t, std::vector<std::byte>> held_;
};

}  // namespace pleat::io
