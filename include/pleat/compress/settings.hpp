// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What ranks compare of a transform before it begins: its settings, as words. Needs no Kokkos.
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/io/detail/json.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compress {

/// Numbers as short as they can be read again: two that differ have different words.
template <class V>
  requires std::is_arithmetic_v<V>
[[nodiscard]] std::string words_of(V v) {
  if constexpr (std::is_same_v<V, bool>) {
    return v ? "true" : "false";
  } else {
    char text[32];
    return {text, std::to_chars(text, text + sizeof text, v).ptr};
  }
}
/// Texts as they are.
[[nodiscard]] inline std::string words_of(std::string v) { return v; }
/// Texts as they are.
[[nodiscard]] inline std::string words_of(char const* v) { return v; }
/// Extents as errors print them.
[[nodiscard]] inline std::string words_of(extents const& v) { return v.to_string(); }
/// "none" where there is nothing.
template <class V> [[nodiscard]] std::string words_of(std::optional<V> const& v) { return v ? words_of(*v) : "none"; }
/// In braces, texts in quotes: lists that differ have different words.
template <class V> [[nodiscard]] std::string words_of(std::vector<V> const& all) {
  std::string words = "{";
  for (auto const& v : all) {
    if (words.size() > 1) words += ", ";
    if constexpr (std::is_same_v<V, std::string>) words += io::detail::json_string(v);
    else words += words_of(v);
  }
  return words + "}";
}

/// Hears the settings of a transform one by one, and writes each on a line of its own, "prune 0.9 .scope = layer": so a
/// difference between ranks is told as the setting that differs. A transform's `settings` names each member that
/// decides what it does; not those that only listen. A type of one's own brings a `words_of` in its namespace.
///
///     void settings(compress::settings_words& say) const { say("bound", bound); }
class settings_words {
 public:
  /// \param step what reports call the transform
  explicit settings_words(std::string step) : step_(std::move(step)), text_(step_ + "\n") {}

  /// A member and its value.
  template <class V> void operator()(std::string_view member, V const& value) { add(member, words_of(value)); }
  /// An enumeration by the names of its values, in order.
  template <class E>
    requires std::is_enum_v<E>
  void operator()(std::string_view member, E value, std::initializer_list<char const*> names) {
    add(member, names.begin()[static_cast<std::size_t>(value)]);
  }
  /// All that has been said, a setting a line.
  [[nodiscard]] std::string const& text() const noexcept { return text_; }

 private:
  void add(std::string_view member, std::string const& value) {
    ((((text_ += step_) += " .") += member) += " = ") += value;
    text_ += '\n';
  }
  std::string step_, text_;
};

/// Whether a transform or a criterion tells its settings. Of one that does not, ranks compare the name alone.
template <class T>
concept tells_settings = requires(T const& t, settings_words& say) { t.settings(say); };

}  // namespace pleat::compress
