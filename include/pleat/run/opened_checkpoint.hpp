// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// One checkpoint folder as every rank has opened it: its manifest, its files, and what its state says in words and
/// numbers.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/io/checkpoint.hpp>
#include <pleat/io/checkpoint_manifest.hpp>
#include <pleat/io/checksum.hpp>
#include <pleat/io/file.hpp>
#include <pleat/io/safetensors.hpp>
#include <pleat/parallel/loss_scale.hpp>

namespace pleat::run::detail {

inline std::string as_text(std::uint64_t n) { return std::to_string(n); }

/// Reads back as the same number, whatever the locale.
PLEAT_ONCE std::string as_text(double x) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, x, std::chars_format::general, 17).ptr};
}

/// What the manifest's state holds of a program's own words is called so; and of weights in encoded forms: form, and
/// suffix of each tensor, a line each.
inline constexpr char const *own_words = "program.", *form_words = "form.";

/// One checkpoint folder as every rank has opened it.
struct opened_checkpoint {
  io::detail::checkpoint_manifest manifest;
  std::string call;
  std::vector<io::safetensors_file> files;  // as manifest.parts

  PLEAT_ONCE [[nodiscard]] std::string const& value(std::string const& key) const {
    if (auto const it = manifest.state.find(key); it != manifest.state.end()) return it->second;
    throw error{call, "there is no state '" + key + "' in it", "It was written by another version or another program"};
  }
  PLEAT_ONCE [[nodiscard]] std::uint64_t number(std::string const& key) const {
    auto const& text = value(key);
    std::int64_t n = -1;
    auto const read = std::from_chars(text.data(), text.data() + text.size(), n);
    if (read.ec != std::errc{} || read.ptr != text.data() + text.size() || n < 0)
      throw error{call, "the state '" + key + "' is '" + text + "', expected a whole number below 2^63",
                  "It was written by another program"};
    return static_cast<std::uint64_t>(n);
  }
  /// \throws error for what is no finite number from smallest to largest
  PLEAT_ONCE [[nodiscard]] double real(std::string const& key, double smallest, double largest,
                                       std::string const& remedy) const {
    auto const& text = value(key);
    double x = 0;
    auto const read = std::from_chars(text.data(), text.data() + text.size(), x);
    if (read.ec != std::errc{} || read.ptr != text.data() + text.size() || !std::isfinite(x) || x < smallest ||
        x > largest)
      throw error{call,
                  "the state '" + key + "' is '" + text + "', expected a number from " + as_text(smallest) + " to " +
                      as_text(largest),
                  remedy};
    return x;
  }

  /// A loss scale and its counts.
  struct scale_state {
    double value = 0;
    std::int64_t good_steps = 0, skipped = 0;
  };
  /// Nothing if none was saved. \throws error for one that the rule of this run could not have
  PLEAT_ONCE [[nodiscard]] std::optional<scale_state> scale(parallel::loss_scale_options const& rule) const {
    if (!manifest.state.contains("loss_scale")) return std::nullopt;
    return scale_state{real("loss_scale", rule.smallest, rule.largest,
                            "Go on with the bounds of the loss scale (loss_scale_options) that it was saved under"),
                       static_cast<std::int64_t>(number("loss_scale_good_steps")),
                       static_cast<std::int64_t>(number("loss_scale_skipped"))};
  }
  /// Empty if there is none.
  PLEAT_LAZY [[nodiscard]] std::string words(std::string const& key) const {
    auto const it = manifest.state.find(key);
    return it == manifest.state.end() ? std::string() : it->second;
  }
  /// The form that a weight was saved in, and its tensors' suffixes; nothing for one that is not in an encoded form.
  struct saved_form {
    std::string form;
    std::vector<std::string> suffixes;
  };
  PLEAT_ONCE [[nodiscard]] std::optional<saved_form> form_of(std::string const& name) const {
    auto const it = manifest.state.find(form_words + name);
    if (it == manifest.state.end()) return std::nullopt;
    std::vector<std::string> lines{""};
    for (char const c : it->second)
      if (c == '\n') lines.emplace_back();
      else lines.back() += c;
    saved_form f{lines.front(), {lines.begin() + 1, lines.end()}};
    return f;
  }
  /// Null if there is none.
  PLEAT_LAZY [[nodiscard]] io::safetensors_file const* group(std::string const& name) const noexcept {
    for (std::size_t i = 0; i < files.size(); ++i)
      if (manifest.parts[i].name.size() == name.size() + io::detail::part_suffix.size() &&
          manifest.parts[i].name.starts_with(name))
        return &files[i];
    return nullptr;
  }
  /// \throws error that names the folder and the group
  PLEAT_ONCE [[nodiscard]] io::safetensors_file const& demand_group(std::string const& name) const {
    if (auto const* f = group(name)) return *f;
    throw error{call, "there is no group of tensors '" + name + "' in it",
                "It was written by another version or another program"};
  }

  /// Opens and verifies all that can be without reading the data. \param whole read and verify the data too, where only
  /// that can be done
  PLEAT_ONCE void open(std::string const& folder, std::string const& text, bool whole) {
    call = "run::load_checkpoint('" + folder + "')";
    manifest = io::detail::checkpoint_manifest::parse(
        text, io::detail::call_on("load_checkpoint", io::detail::join(folder, "manifest")));
    for (auto const& part : manifest.parts) {
      auto const path = io::detail::path_of_part(folder, part);
      auto const where = io::detail::call_on("load_checkpoint", path);
      if (manifest.version == 1 && whole)
        if (auto const sum = io::checksum::hex(io::checksum_of(as_span(io::read_file(path, part.size))));
            sum != part.sum)
          throw error{where,
                      "the checksum of bytes 0 to " + std::to_string(part.size) + " is " + sum +
                          ", the manifest says " + part.sum + ": it is damaged",
                      io::detail::damaged_part};
      files.emplace_back(path);
      if (manifest.version > 1) io::detail::verify_header(part, files.back(), where);
    }
  }
};

}  // namespace pleat::run::detail
