// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A GGUF file to be: collects metadata and tensors, then writes. Needs no Kokkos.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/io/detail/json.hpp>
#include <pleat/io/detail/shown.hpp>
#include <pleat/io/file.hpp>
#include <pleat/io/ggml_type.hpp>
#include <pleat/io/gguf_value.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::io {

/// A file to be (version 3): collects metadata and views, then writes. The same content gives the same bytes, whatever
/// the order of adding: general.architecture first, then keys and tensors by name.
class gguf_writer {
 public:
  /// \param architecture of the network; the format requires one (llama.cpp runs those that it knows)
  explicit gguf_writer(std::string architecture) { metadata("general.architecture", std::move(architecture)); }

  /// Sets a key; general.alignment (u32, a power of two from 8) is obeyed. \throws error for a key that is empty, above
  /// 65535 bytes or no UTF-8, and a string that is no UTF-8
  PLEAT_ONCE void metadata(std::string key, gguf_value value) {
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
  PLEAT_ONCE void add(gguf_view t) {
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
  PLEAT_ONCE [[nodiscard]] std::string header() const {
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
