// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The manifest of a checkpoint: step, state, what every file must be. A text that ends with its own checksum. Needs no
/// Kokkos.
///
///     pleat checkpoint 2
///     step 1200
///     file parameters.safetensors 1066432 0123456789abcdef     size, XXH64 of the header (bytes 0 to 8 + its length)
///     sums parameters.safetensors 0123456789abcdef …           array_sum of every array, in the order of the data
///     state "seed" "1"
///     end fedcba9876543210                                     XXH64 of the lines above
///
/// Version 1, which is read still, has the XXH64 of the whole file in its `file` lines, and no `sums`.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/io/checksum.hpp>
#include <pleat/io/detail/json.hpp>
#include <pleat/io/file.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::io::detail {

/// Letters, digits, '-' and '_': a name that can be a file and cannot be a path.
PLEAT_LAZY [[nodiscard]] inline bool is_plain_name(std::string_view s) noexcept {
  for (char const c : s)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
      return false;
  return !s.empty() && s.size() <= 100;
}

/// What every part's name ends with.
inline constexpr std::string_view part_suffix = ".safetensors";
/// What to do about a damaged one, where no older one was found.
inline constexpr char const* damaged_part = "Go on from an older step, or copy this one again";

/// What a manifest says.
struct checkpoint_manifest {
  /// One file of the checkpoint.
  struct part {
    std::string name;  ///< "parameters.safetensors"
    std::uint64_t size = 0;
    std::string sum{};                  ///< of the header; in version 1 of the file
    std::vector<std::uint64_t> sums{};  ///< of the arrays; empty in version 1
    /// "parameters"
    PLEAT_ONCE [[nodiscard]] std::string group() const;
  };
  int version = 2;
  index_t step = 0;
  std::map<std::string, std::string> state;
  std::vector<part> parts{};

  /// The file. \throws error for a state that is no UTF-8
  PLEAT_ONCE [[nodiscard]] std::string to_string(std::string const& call) const {
    std::string text = "pleat checkpoint 2\nstep " + std::to_string(step) + "\n";
    for (auto const& p : parts) {
      text += "file " + p.name + " " + std::to_string(p.size) + " " + p.sum + "\nsums " + p.name;
      for (auto const s : p.sums) text += " " + checksum::hex(s);
      text += "\n";
    }
    for (auto const& [key, value] : state) {
      if (first_not_utf8(key) != std::string::npos || first_not_utf8(value) != std::string::npos)
        throw error{call, "a state is no UTF-8", "Write bytes that are no text as hexadecimal digits"};
      text += "state ";
      append_json_string(text, key);
      text += ' ';
      append_json_string(text, value);
      text += '\n';
    }
    return text + "end " + checksum::hex(checksum_of(std::as_bytes(std::span(text.data(), text.size())))) + "\n";
  }

  /// \param call how errors introduce themselves \throws error that names the byte, expected and found
  PLEAT_ONCE [[nodiscard]] static checkpoint_manifest parse(std::string_view text, std::string const& call) {
    constexpr std::string_view first = "pleat checkpoint 1\n", last = "end ";
    if (!text.starts_with("pleat checkpoint "))
      throw error{call, "at byte 0: this is no manifest of a checkpoint", damaged_part};
    constexpr std::size_t tail = last.size() + 17;  // "end <16 digits>\n"
    if (text.size() < first.size() + tail || text.substr(text.size() - tail, last.size()) != last ||
        text.back() != '\n')
      throw error{call,
                  "the manifest ends at byte " + std::to_string(text.size()) + " without its checksum: it is truncated",
                  damaged_part};
    auto const body = text.substr(0, text.size() - tail);
    auto const expected = text.substr(body.size() + last.size(), 16);
    if (auto const sum = checksum::hex(checksum_of(std::as_bytes(std::span(body.data(), body.size()))));
        sum != expected)
      throw error{call,
                  "the checksum at byte " + std::to_string(body.size() + last.size()) + " is " + std::string(expected) +
                      ", the text gives " + sum + ": it is damaged",
                  damaged_part};
    auto const version = text.substr(17, text.find('\n') - 17);
    if (version != "1" && version != "2")
      throw error{call, "at byte 17: version " + std::string(version) + ", this pleat reads versions 1 and 2",
                  "Read it with a newer pleat"};

    // The text is as it was written; what follows finds mistakes of a program, not of a disk.
    checkpoint_manifest m;
    m.version = version == "1" ? 1 : 2;
    bool has_step = false;
    for (std::size_t at = first.size(); at < body.size();) {
      auto const line = body.substr(at, body.find('\n', at) - at);
      auto const kind = line.substr(0, line.find(' '));
      auto const rest = line.substr(std::min(line.size(), kind.size() + 1));
      json_scanner scan(rest, at + line.size() - rest.size(), call);
      if (kind == "step") {
        m.step = scan.natural("the step");
        has_step = true;
      } else if (kind == "state") {
        if (first_not_utf8(rest) != std::string_view::npos) scan.fail("a state that is no UTF-8");
        auto key = scan.string("a key");
        auto value = scan.string("a value");
        if (!m.state.emplace(std::move(key), std::move(value)).second) scan.fail("a state appears twice");
      } else if (kind == "file") {
        auto const name = rest.substr(0, rest.find(' '));
        if (!name.ends_with(part_suffix) || !is_plain_name(name.substr(0, name.size() - part_suffix.size())))
          scan.fail("a file name that pleat does not write");
        json_scanner size(rest.substr(name.size()), at + line.size() - rest.size() + name.size(), call);
        for (auto const& p : m.parts)
          if (p.name == name) scan.fail("the manifest names the file '" + p.name + "' twice");
        m.parts.push_back({std::string(name), static_cast<std::uint64_t>(size.natural("a size")),
                           std::string(rest.substr(rest.rfind(' ') + 1))});
      } else if (kind == "sums" && m.version > 1) {
        auto const name = rest.substr(0, rest.find(' '));
        if (m.parts.empty() || m.parts.back().name != name || !m.parts.back().sums.empty())
          scan.fail("checksums of a file that is not the one before");
        for (auto list = rest.substr(name.size()); !list.empty(); list.remove_prefix(17)) {
          std::uint64_t sum = 0;
          if (list.size() < 17 || list[0] != ' ' ||
              std::from_chars(list.data() + 1, list.data() + 17, sum, 16).ptr != list.data() + 17)
            scan.fail("checksums have 16 hexadecimal digits");
          m.parts.back().sums.push_back(sum);
        }
      } else {
        scan.fail("a line of an unknown kind");
      }
      at += line.size() + 1;
    }
    if (!has_step) throw error{call, "there is no line 'step'", damaged_part};
    return m;
  }
};

template <class> std::string checkpoint_manifest::part::group() const {
  return name.substr(0, name.size() - part_suffix.size());
}
PLEAT_COMPILED_ONCE(std::string checkpoint_manifest::part::group() const);

/// The text of one checkpoint's manifest, as it lies there. \throws error if it cannot be read
PLEAT_ONCE [[nodiscard]] std::string read_manifest_text(std::string const& folder) {
  auto const bytes = read_file(join(folder, "manifest"), 1u << 30);
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}
PLEAT_COMPILED_ONCE(std::string read_manifest_text(std::string const& folder));
/// Reads and verifies the manifest of one checkpoint. \throws error that names the file, the byte, expected and found
PLEAT_ONCE [[nodiscard]] checkpoint_manifest read_manifest(std::string const& folder) {
  return checkpoint_manifest::parse(read_manifest_text(folder), call_on("load_checkpoint", join(folder, "manifest")));
}

}  // namespace pleat::io::detail
