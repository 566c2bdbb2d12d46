// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What must be known besides the parameters to use the model again: its sizes and its characters. Lies beside the
// checkpoints and in the model file. Needs no Kokkos.
#pragma once

#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include <pleat/io/text.hpp>

#include "sizes.hpp"

namespace gpt {

struct card {
  gpt::sizes sizes;
  pl::io::character_vocabulary vocabulary;

  friend bool operator==(card const&, card const&) = default;

  /// Lines of "key = value"; the characters as hexadecimal bytes, because they need not be UTF-8.
  [[nodiscard]] std::string to_text() const {
    std::string text = "pleat gpt 1\n";
    for (auto const& [key, value] : {std::pair{"layers", sizes.layers},
                                     {"width", sizes.width},
                                     {"heads", sizes.heads},
                                     {"context", sizes.context}})
      text += std::string(key) + " = " + std::to_string(value) + "\n";
    text += "characters = ";
    for (char const c : vocabulary.characters()) {
      constexpr char digits[] = "0123456789abcdef";
      text += digits[static_cast<unsigned char>(c) >> 4];
      text += digits[static_cast<unsigned char>(c) & 15];
    }
    return text + "\n";
  }

  /// \param from for messages. \throws error with the line
  [[nodiscard]] static card parse(std::string_view text, std::string const& from) {
    card c;
    int number = 0;
    auto const refuse = [&](std::string const& what) {
      throw pl::error{"sample('" + from + "')",
                      "line " + std::to_string(number) + " of the model's description: " + what,
                      "Take a file that train_gpt wrote, as it is"};
    };
    auto const next_line = [&] {
      ++number;
      auto const stop = text.find('\n');
      if (stop == std::string_view::npos) refuse("it ends here, it is truncated");
      auto const line = text.substr(0, stop);
      text.remove_prefix(stop + 1);
      return line;
    };
    if (next_line() != "pleat gpt 1") refuse("expected 'pleat gpt 1': this is no language model of train_gpt");
    auto const value_of = [&](std::string const& key) {
      auto const line = next_line();
      if (!line.starts_with(key + " = "))
        refuse("expected '" + key + " = …', found '" + std::string(line.substr(0, 60)) + "'");
      return line.substr(key.size() + 3);
    };
    for (auto const& [key, to] : {std::pair{"layers", &c.sizes.layers},
                                  {"width", &c.sizes.width},
                                  {"heads", &c.sizes.heads},
                                  {"context", &c.sizes.context}}) {
      auto const value = value_of(key);
      auto const [end, failed] = std::from_chars(value.data(), value.data() + value.size(), *to);
      if (failed != std::errc{} || end != value.data() + value.size() || *to < 1 || *to > (pl::index_t{1} << 40))
        refuse(std::string(key) + " is '" + std::string(value.substr(0, 60)) + "'");
    }
    auto const hex = value_of("characters");
    std::string characters;
    for (std::size_t i = 0; i < hex.size(); i += 2) {
      unsigned byte = 0;
      auto const [end, failed] = std::from_chars(hex.data() + i, hex.data() + std::min(i + 2, hex.size()), byte, 16);
      if (failed != std::errc{} || end != hex.data() + i + 2)
        refuse("digit " + std::to_string(i) + " is not hexadecimal");
      characters.push_back(static_cast<char>(byte));
    }
    c.vocabulary = pl::io::character_vocabulary(characters);
    if (c.vocabulary.characters() != characters || characters.empty())
      refuse("the characters are not distinct and ascending");
    c.sizes.vocabulary = c.vocabulary.size();
    check(c.sizes);
    return c;
  }
};

/// Beside the checkpoints of a folder.
inline constexpr char const* card_file = "model";
/// In a model file's metadata.
inline constexpr char const* card_key = "gpt.card";

}  // namespace gpt
