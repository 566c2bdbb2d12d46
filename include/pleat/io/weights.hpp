// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How weights in any form lie in files: the one place that knows names of tensors and metadata, and the weights of a
/// safetensors file. Needs no Kokkos.
///
/// A weight "fc1.weight" in the form F is the tensors "fc1.weight" + suffix that F writes (codec/file_tensor.hpp;
/// dense: no suffix). Metadata:
///
///     pleat.form.NAME   F, if it is not dense             pleat.shape.NAME   "[300, 784]", beside pleat.form
///     pleat.error.NAME  "MAX FROBENIUS" of W − Ŵ, if the writer knows it
///     pleat.format      version of these rules ("1"), in files that have a pleat.form
///
/// GGUF: io/weights_gguf.hpp.
#pragma once

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/error_norms.hpp>
#include <pleat/codec/file_tensor.hpp>
#include <pleat/io/safetensors.hpp>

namespace pleat::io {

/// The version of these rules that this pleat writes, and the newest that it reads.
inline constexpr int stored_format = 1;

/// A part of a weight; the bytes stay in the file.
struct weight_part {
  std::string suffix;
  dtype type = dtype::f32;
  extents shape;
  std::span<std::byte const> bytes;
};

/// A weight as a file holds it. Lives no longer than the file.
struct stored_weight {
  std::string name;
  std::string form;  ///< "dense", "csr", "q4_K", …; empty: a ggml type that is no form of pleat (then `type` names it)
  /// of a dense weight's elements, or of a block type: "F32", "BF16", "Q4_K"; empty for forms of several parts
  std::string type;
  extents shape;
  std::vector<weight_part> parts;
  std::optional<codec::error_norms> error{};  ///< against the weight that it was made of, where the file says

  PLEAT_LAZY [[nodiscard]] std::uint64_t bytes() const noexcept {
    std::uint64_t n = 0;
    for (auto const& p : parts) n += p.bytes.size();
    return n;
  }
  /// Stored bits per number; 0 for a weight without numbers.
  PLEAT_LAZY [[nodiscard]] double effective_bits() const noexcept {
    return shape.size() > 0 ? 8.0 * static_cast<double>(bytes()) / static_cast<double>(shape.size()) : 0;
  }
  /// A copy that outlives the file: what a form's from_file takes.
  PLEAT_ONCE [[nodiscard]] std::vector<codec::file_tensor> copy() const {
    std::vector<codec::file_tensor> out;
    for (auto const& p : parts) out.push_back({p.suffix, p.type, p.shape, {p.bytes.begin(), p.bytes.end()}});
    return out;
  }
};

namespace detail {

inline constexpr std::string_view form_key = "pleat.form.", shape_key = "pleat.shape.", error_key = "pleat.error.",
                                  type_key = "pleat.type.", format_key = "pleat.format";

/// \throws error if the file was written by rules that this version does not know
PLEAT_ONCE void check_stored_format(std::string const& call, std::string const* text) {
  if (!text) return;
  int v = 0;
  auto const [end, failed] = std::from_chars(text->data(), text->data() + text->size(), v);
  if (failed != std::errc{} || end != text->data() + text->size() || v < 1)
    throw error{
        call,
        "the metadata entry 'pleat.format' is " + detail::shown(text->substr(0, 40)) + ", expected a version number",
        remedy::copy_again};
  if (v > stored_format)
    throw error{call,
                "the weights are stored by version " + std::to_string(v) + " of pleat's rules, this pleat knows " +
                    std::to_string(stored_format) + " at most",
                "Take a newer pleat to read the file"};
}

/// "[300, 784]" \throws error
PLEAT_ONCE [[nodiscard]] extents shape_of_text(std::string const& call, std::string const& name,
                                               std::string_view text) {
  auto const fail = [&] {
    throw error{call,
                "the shape of " + detail::shown(name) + " in the metadata is " + detail::shown(text.substr(0, 80)) +
                    ", expected e.g. '[300, 784]'",
                remedy::copy_again};
  };
  index_t list[extents::max_rank], size = 1;
  std::size_t rank = 0;
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') fail();
  char const *at = text.data() + 1, *const end = text.data() + text.size() - 1;
  while (at != end) {
    if (rank == extents::max_rank) fail();
    if (rank > 0) {
      if (end - at < 2 || at[0] != ',' || at[1] != ' ') fail();
      at += 2;
    }
    auto const [next, failed] = std::from_chars(at, end, list[rank]);
    if (failed != std::errc{} || list[rank] < 0 ||
        __builtin_mul_overflow(size, list[rank] > 0 ? list[rank] : 1, &size) || size > index_t{1} << 60)
      fail();
    at = next;
    ++rank;
  }
  return extents(std::span<index_t const>(list, rank));
}

PLEAT_ONCE [[nodiscard]] std::string error_text(codec::error_norms const& e) {
  char text[80];
  auto end = std::to_chars(text, text + 40, e.max).ptr;
  *end++ = ' ';
  end = std::to_chars(end, text + sizeof text, e.frobenius).ptr;
  return {text, end};
}
PLEAT_ONCE [[nodiscard]] codec::error_norms error_of_text(std::string const& call, std::string const& name,
                                                          std::string_view text) {
  codec::error_norms e;
  auto const first = std::from_chars(text.data(), text.data() + text.size(), e.max);
  bool good = first.ec == std::errc{} && first.ptr != text.data() + text.size() && *first.ptr == ' ';
  if (good) {
    auto const second = std::from_chars(first.ptr + 1, text.data() + text.size(), e.frobenius);
    good = second.ec == std::errc{} && second.ptr == text.data() + text.size() && std::isfinite(e.max) &&
           std::isfinite(e.frobenius) && e.max >= 0 && e.frobenius >= 0;
  }
  if (!good)
    throw error{call,
                "the error of " + detail::shown(name) + " in the metadata is " + detail::shown(text.substr(0, 80)) +
                    ", expected two numbers",
                remedy::copy_again};
  return e;
}

/// Tensors of a file, in its order, as weights: those that metadata speak of are gathered, every other one is a weight
/// by itself.
PLEAT_ONCE [[nodiscard]] std::vector<stored_weight> gather_weights(std::string const& call,
                                                                   std::vector<stored_weight> plain,
                                                                   metadata_map const& m) {
  auto const find = [&](std::string const& key) -> std::string const* {
    auto const it = m.find(key);
    return it == m.end() ? nullptr : &it->second;
  };
  check_stored_format(call, find(std::string(format_key)));
  std::map<std::string, std::size_t, std::less<>> place;  // of weights with a form
  std::vector<stored_weight> out;
  std::vector<stored_weight> formed;
  for (auto it = m.lower_bound(std::string(form_key)); it != m.end() && it->first.starts_with(form_key); ++it) {
    stored_weight w{it->first.substr(form_key.size()), it->second, {}, {}, {}, {}};
    auto const* shape = find(std::string(shape_key) + w.name);
    if (!shape)
      throw error{call,
                  detail::shown(w.name) + " is stored in the form " + detail::shown(w.form) +
                      "; of its shape the file says nothing (nothing about it in the metadata)",
                  "Write the file anew with run::save, which says the shape of every form"};
    w.shape = shape_of_text(call, w.name, *shape);
    if (auto const* e = find(std::string(error_key) + w.name)) w.error = error_of_text(call, w.name, *e);
    place.emplace(w.name, formed.size());
    formed.push_back(std::move(w));
  }
  for (auto& t : plain) {
    // The longest name with a form that begins the tensor's, at a dot.
    std::size_t owner = formed.size();
    std::string_view prefix = t.name;
    for (;;) {
      if (auto const it = place.find(prefix); it != place.end()) {
        owner = it->second;
        break;
      }
      auto const dot = prefix.rfind('.');
      if (dot == std::string_view::npos) break;
      prefix = prefix.substr(0, dot);
    }
    if (owner == formed.size()) {
      // GGUF: blocks over more than the last extent
      if (auto const* s = find(std::string(shape_key) + t.name); s && t.parts[0].suffix == ".blocks")
        t.shape = shape_of_text(call, t.name, *s);
      if (auto const* e = find(std::string(error_key) + t.name)) t.error = error_of_text(call, t.name, *e);
      out.push_back(std::move(t));
      continue;
    }
    auto& w = formed[owner];
    for (auto& p : t.parts) {
      p.suffix = t.name.substr(w.name.size()) + p.suffix;
      w.parts.push_back(std::move(p));
    }
  }
  for (auto& w : formed) {
    if (w.parts.empty())
      throw error{call,
                  "the metadata say that " + detail::shown(w.name) + " is stored in the form " + detail::shown(w.form) +
                      ", but there is no such tensor",
                  "Copy its tensors along with the metadata, or write the file anew with run::save"};
    if (w.parts.size() == 1 && w.parts[0].suffix.empty()) w.type = std::string(name_of(w.parts[0].type));
    out.push_back(std::move(w));
  }
  std::sort(out.begin(), out.end(), [](stored_weight const& a, stored_weight const& b) { return a.name < b.name; });
  return out;
}

}  // namespace detail

/// The weights of a file, by name. \throws error: rules newer than this version's, metadata that name no tensor or make
/// no sense
PLEAT_ONCE [[nodiscard]] std::vector<stored_weight> weights_of(safetensors_file const& f,
                                                               std::string const& call = "io::weights_of") {
  std::vector<stored_weight> plain;
  for (auto const& e : f.entries())
    plain.push_back({e.name, "dense", std::string(name_of(e.type)), e.shape, {{"", e.type, e.shape, f.bytes(e)}}, {}});
  return detail::gather_weights(call, std::move(plain), f.metadata());
}
PLEAT_COMPILED_ONCE(std::vector<stored_weight> weights_of(safetensors_file const& f, std::string const& call));

namespace detail {
PLEAT_ONCE void add_weight_metadata(safetensors_writer& out, stored_weight const& w) {
  if (w.form != "dense") {
    out.metadata(std::string(detail::format_key), std::to_string(stored_format));
    out.metadata(std::string(detail::form_key) + w.name, w.form);
    out.metadata(std::string(detail::shape_key) + w.name, w.shape.to_string());
  }
  if (w.error) out.metadata(std::string(detail::error_key) + w.name, detail::error_text(*w.error));
}
}  // namespace detail

/// Puts a weight into a file; its bytes must live until the file is written. \throws error as the writer does
PLEAT_ONCE void add_weight(safetensors_writer& out, stored_weight const& w) {
  detail::add_weight_metadata(out, w);
  for (auto const& p : w.parts) out.add({w.name + p.suffix, p.type, p.shape, p.bytes});
}
PLEAT_COMPILED_ONCE(void add_weight(safetensors_writer& out, stored_weight const& w));
/// The same of a weight whose bytes somebody else writes (safetensors_stream). \throws error as the writer does
PLEAT_ONCE void describe_weight(safetensors_writer& out, stored_weight const& w) {
  detail::add_weight_metadata(out, w);
  for (auto const& p : w.parts) out.describe(w.name + p.suffix, p.type, p.shape);
}

}  // namespace pleat::io
