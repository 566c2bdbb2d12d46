// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Text for language models: a vocabulary of characters, and windows of tokens with the token that follows each. Needs
/// no Kokkos.
///
/// A window has a number that depends on the text alone, so io/sampler.hpp deals windows to ranks as it deals images:
/// the order is a function of (seed, epoch), every rank takes its share, and no message is sent.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/io/checksum.hpp>
#include <pleat/io/file.hpp>
#include <pleat/tensor/extents.hpp>
#include <pleat/tensor/token.hpp>

namespace pleat::io {

/// Characters (bytes) and their numbers: the distinct ones of a text in ascending order. A value.
class character_vocabulary {
 public:
  character_vocabulary() { token_.fill(-1); }
  /// The characters that occur in a text.
  PLEAT_ONCE explicit character_vocabulary(std::string_view text);

  /// Tokens are 0 … size() − 1.
  [[nodiscard]] int size() const noexcept { return static_cast<int>(characters_.size()); }
  /// All characters in the order of their tokens: what a checkpoint stores (the constructor takes it back).
  [[nodiscard]] std::string const& characters() const noexcept { return characters_; }
  /// The token of a character, or −1.
  [[nodiscard]] int token(char c) const noexcept { return token_[static_cast<unsigned char>(c)]; }

  /// \throws error for a character that is not in the vocabulary, with its place
  PLEAT_ONCE [[nodiscard]] std::vector<std::uint16_t> encode(std::string_view text) const {
    std::vector<std::uint16_t> tokens(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
      int const t = token(text[i]);
      if (t < 0)
        throw error{"io::character_vocabulary::encode",
                    "byte " + std::to_string(static_cast<unsigned char>(text[i])) + " at offset " + std::to_string(i) +
                        " is none of the " + std::to_string(size()) + " characters of the vocabulary",
                    "Make the vocabulary of all the text that will be read, or leave the character out"};
      tokens[i] = static_cast<std::uint16_t>(t);
    }
    return tokens;
  }
  /// \throws error for a token that is not in the vocabulary, with its place
  PLEAT_ONCE [[nodiscard]] std::string decode(std::span<std::uint16_t const> tokens) const {
    std::string text(tokens.size(), ' ');
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i] >= characters_.size())
        throw error{"io::character_vocabulary::decode",
                    "token " + std::to_string(tokens[i]) + " at place " + std::to_string(i) + ", but there are " +
                        std::to_string(size()),
                    "Decode with the vocabulary that the tokens were made with"};
      text[i] = characters_[tokens[i]];
    }
    return text;
  }
  friend bool operator==(character_vocabulary const& a, character_vocabulary const& b) noexcept {
    return a.characters_ == b.characters_;
  }

 private:
  std::string characters_;
  std::array<int, 256> token_;
};

template <class> character_vocabulary::character_vocabulary(std::string_view text) : character_vocabulary() {
  std::array<bool, 256> seen{};
  for (char const c : text) seen[static_cast<unsigned char>(c)] = true;
  for (std::size_t b = 0; b < seen.size(); ++b)
    if (seen[b]) {
      token_[b] = static_cast<int>(characters_.size());
      characters_.push_back(static_cast<char>(b));
    }
}
PLEAT_COMPILED_ONCE(character_vocabulary::character_vocabulary(std::string_view text));

/// Windows of `context` tokens; window i starts at token i·stride, and the label of each of its positions is the token
/// that follows. stride = context cuts the text into neighbours (to judge by), stride = 1 takes every window there is
/// (to train on).
struct token_dataset {
  std::string name;                   ///< for messages: "input.txt train"
  int vocabulary = 0;                 ///< tokens are 0 … vocabulary−1
  index_t context = 0;                ///< tokens of a window
  index_t stride = 1;                 ///< tokens from one window's start to the next one's
  std::vector<std::uint16_t> tokens;  ///< the text

  /// Number of windows: those whose every position has a successor.
  [[nodiscard]] index_t size() const noexcept {
    index_t const last = static_cast<index_t>(tokens.size()) - context - 1;
    return last < 0 || context < 1 || stride < 1 ? 0 : last / stride + 1;
  }

  /// Row r of the batch becomes window indices[r]: `x` receives indices.size() × context tokens as a network of T takes
  /// them (tensor/token.hpp), `y` (if not null) the tokens that follow. Host memory. \throws error if an index is
  /// outside [0, size())
  template <class T> void gather(std::span<index_t const> indices, T* x, std::int32_t* y) const {
    for (std::size_t r = 0; r < indices.size(); ++r) {
      index_t const i = indices[r];
      demand_window(i);
      std::uint16_t const* const from = tokens.data() + i * stride;
      T* const to = x + static_cast<index_t>(r) * context;
      for (index_t t = 0; t < context; ++t) to[t] = token_value<T>(from[t]);
      if (y) std::copy(from + 1, from + 1 + context, y + static_cast<index_t>(r) * context);
    }
  }

  /// The windows with these numbers, in this order, one behind the other. \throws error if one is outside [0, size())
  PLEAT_ONCE [[nodiscard]] token_dataset pick(std::span<index_t const> indices) const {
    index_t const length = context + 1;  // with the token that follows the last position
    token_dataset some{name, vocabulary, context, length, {}};
    for (index_t const i : indices) {
      demand_window(i);
      auto const from = tokens.begin() + i * stride;
      some.tokens.insert(some.tokens.end(), from, from + length);
    }
    return some;
  }

  /// "1003854 tokens, 0123456789abcdef": length and a checksum of all that training sees (tokens, window, stride). One
  /// pass over the text.
  PLEAT_ONCE [[nodiscard]] std::string fingerprint() const;

 private:
  PLEAT_LAZY void demand_window(index_t i) const {
    if (i < 0 || i >= size())
      throw error{"io::token_dataset::gather",
                  "window " + std::to_string(i) + " of '" + name + "', which has " + std::to_string(size()),
                  "Gather windows from 0 to size() - 1: make the sampler for the size of this data set"};
  }
};

template <class> std::string token_dataset::fingerprint() const {
  checksum c;
  index_t const numbers[] = {vocabulary, context, stride};
  c.add(std::as_bytes(std::span(numbers)));
  c.add(std::as_bytes(std::span(tokens)));
  return std::to_string(tokens.size()) + " tokens, " + checksum::hex(c.value());
}
PLEAT_COMPILED_ONCE(std::string token_dataset::fingerprint() const);

/// What one trains on and what one is judged by.
struct text_split {
  character_vocabulary vocabulary;
  token_dataset train, validation;
};

/// A text in memory: its characters are the vocabulary, its first `train_share` is trained on in windows at every
/// character, the rest is judged by in windows side by side. \throws error if a part is too short for one window
PLEAT_ONCE [[nodiscard]] text_split split_text(std::string_view text, index_t context, double train_share = 0.9,
                                               std::string const& name = "text") {
  if (context < 1)
    throw error{"io::split_text", "a context of " + std::to_string(context) + " tokens, expected 1 or more",
                "Set the context to 1 or more tokens"};
  if (!(train_share > 0 && train_share < 1))
    throw error{"io::split_text",
                "a training share of " + std::to_string(train_share) + ", expected one between 0 and 1",
                "Say 0.9 to train on nine tenths"};
  text_split s;
  s.vocabulary = character_vocabulary(text);
  auto const all = s.vocabulary.encode(text);
  auto const border = static_cast<std::ptrdiff_t>(train_share * static_cast<double>(all.size()));
  s.train = {name + " train", s.vocabulary.size(), context, 1, {all.begin(), all.begin() + border}};
  s.validation = {name + " validation", s.vocabulary.size(), context, context, {all.begin() + border, all.end()}};
  index_t const longest = static_cast<index_t>(std::min(s.train.tokens.size(), s.validation.tokens.size())) - 1;
  for (token_dataset const* part : {&s.train, &s.validation})
    if (part->size() == 0)
      throw error{"io::split_text",
                  "'" + part->name + "' has " + std::to_string(part->tokens.size()) + " characters, a window of " +
                      std::to_string(context) + " and its successor needs " +
                      std::to_string(static_cast<std::uint64_t>(context) + 1),
                  longest < 1 ? "Use a longer text"
                              : "Use context = " + std::to_string(longest) + " or less, or a longer text"};
  return s;
}

/// A text file, such as tiny-shakespeare's input.txt. \throws error that names the file
PLEAT_ONCE [[nodiscard]] text_split read_text(std::string const& path, index_t context, double train_share = 0.9) {
  auto const bytes = read_file(path);
  auto const slash = path.find_last_of('/');
  return split_text({reinterpret_cast<char const*>(bytes.data()), bytes.size()}, context, train_share,
                    slash == std::string::npos ? path : path.substr(slash + 1));
}
PLEAT_COMPILED_ONCE(text_split read_text(std::string const& path, index_t context, double train_share));

}  // namespace pleat::io
