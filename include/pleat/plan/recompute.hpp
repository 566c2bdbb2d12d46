// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What backward computes again, unit by unit, as a value and as text. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/plan/detail/words.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::plan {

/// What backward finds of a unit that forward has left: everything, all but what is cheap to compute again, or the
/// unit's input only.
enum class recompute_mode : std::uint8_t { none, selected, full };

inline constexpr std::array<std::string_view, 3> recompute_names{"none", "selected", "full"};

[[nodiscard]] constexpr std::string_view name_of(recompute_mode r) noexcept {
  return recompute_names[static_cast<std::size_t>(r)];
}

/// A mode for each unit: those that are named have their own, the others one between them.
///
///     plan.recompute = recompute_mode::full;                            // all units
///     plan.recompute = {recompute_mode::selected, {1, 2}};              // these; everything is kept of the others
///     plan.recompute = recompute_choice::parse("0:full,1-3:selected");  // each its own; "selected,0:full": all others, too
class recompute_choice {
 public:
  /// Everything is kept.
  recompute_choice() = default;
  /// The same of all units.
  recompute_choice(recompute_mode all) noexcept : rest_(all) {}  // NOLINT: a mode *is* a choice
  /// Of these units; everything is kept of the others. None named: of all. \throws error for a negative unit
  PLEAT_LAZY recompute_choice(recompute_mode mode, std::vector<index_t> const& units) {
    if (units.empty()) rest_ = mode;
    for (index_t const u : units) set(u, u + 1, mode);
  }

  friend bool operator==(recompute_choice const&, recompute_choice const&) = default;

  [[nodiscard]] recompute_mode of(index_t unit) const noexcept {
    for (auto const& r : named_)
      if (unit < r.end) return unit >= r.begin ? r.mode : rest_;
    return rest_;
  }
  /// Of units that are not named.
  [[nodiscard]] recompute_mode rest() const noexcept { return rest_; }
  /// The last unit that is named; −1: none is.
  [[nodiscard]] index_t last() const noexcept { return named_.empty() ? -1 : named_.back().end - 1; }

  /// From now on units [begin, end) have this mode. \throws error for a negative unit
  PLEAT_ONCE void set(index_t begin, index_t end, recompute_mode mode) {
    if (begin < 0)
      throw error{"plan::recompute_choice", "there is no unit " + std::to_string(begin), "Count units from 0"};
    if (begin >= end) return;
    std::vector<run> next;
    auto const add = [&](run r) {
      if (r.begin >= r.end) return;
      if (!next.empty() && next.back().end == r.begin && next.back().mode == r.mode) next.back().end = r.end;
      else next.push_back(r);
    };
    for (auto const& r : named_) add({r.begin, std::min(r.end, begin), r.mode});
    add({begin, end, mode});
    for (auto const& r : named_) add({std::max(r.begin, end), r.end, r.mode});
    named_ = std::move(next);
  }

  /// "full", "0:full,2-5:selected", "selected,0:full": what parse reads.
  PLEAT_ONCE [[nodiscard]] std::string to_string() const {
    std::string text(rest_ == recompute_mode::none && !named_.empty() ? std::string_view() : name_of(rest_));
    for (auto const& r : named_) {
      if (!text.empty()) text += ',';
      text += std::to_string(r.begin);
      if (r.end - r.begin > 1) text.append(1, '-').append(std::to_string(r.end - 1));
      text.append(1, ':').append(name_of(r.mode));
    }
    return text;
  }

  /// \param prefix what a remedy puts before a text: "recompute = ", "--recompute "
  /// \throws error for a text that is none, a unit that is named twice, with a text that is one
  PLEAT_ONCE [[nodiscard]] static recompute_choice parse(std::string_view text,
                                                         std::string const& prefix = "recompute = ") {
    recompute_choice all;
    auto const refuse = [](std::string problem, std::string remedy) {
      throw error{"plan::recompute_choice", std::move(problem), std::move(remedy)};
    };
    std::string const example = "as in '" + prefix + "0:full,1-3:selected'";
    for (std::size_t begin = 0; begin <= text.size();) {
      auto const end = std::min(text.find(',', begin), text.size());
      auto const piece = text.substr(begin, end - begin);
      auto const colon = piece.find(':');
      auto const word = colon == std::string_view::npos ? piece : piece.substr(colon + 1);
      if (piece.empty() && text.size() > 1)
        refuse("'" + std::string(text.substr(0, 60)) + "' has a comma too many",
               "Use " + prefix + std::string(begin > 0 ? text.substr(0, begin - 1) : std::string_view()) +
                   std::string(text.substr(begin > 0 ? end : end + 1)));
      if (colon == std::string_view::npos && begin > 0 && text.substr(0, text.find(',')).find(':') == text.npos)
        refuse("'" + std::string(text.substr(0, 60)) + "' says two modes for all units that are not named",
               "Say one mode first, and units with the others, " + example);
      if (colon == std::string_view::npos && begin > 0)
        refuse("'" + std::string(word.substr(0, 60)) + "' comes behind units: what holds for all others is said first",
               "Use " + prefix + std::string(detail::nearest(word, recompute_names)) + "," +
                   std::string(text.substr(0, begin - 1)) + std::string(text.substr(end)));
      auto const mode = std::find(recompute_names.begin(), recompute_names.end(), word);
      if (mode == recompute_names.end())
        refuse("there is no '" + std::string(word.substr(0, 60)) + "'; there are " + detail::choices(recompute_names),
               "Use " + prefix + std::string(text.substr(0, begin + piece.size() - word.size())) +
                   std::string(detail::nearest(word, recompute_names)) + std::string(text.substr(end)));
      auto const chosen = static_cast<recompute_mode>(mode - recompute_names.begin());
      if (colon != std::string_view::npos) {
        index_t first = 0, last = 0;
        auto const *at = piece.data(), *const stop = piece.data() + colon;
        auto const number = [&](index_t& n) {
          auto const [behind, failure] = std::from_chars(at, stop, n);
          at = behind;
          return failure == std::errc{} && n >= 0 && n < std::numeric_limits<std::int32_t>::max();
        };
        bool good = number(first);
        last = first;
        if (good && at < stop && *at == '-') ++at, good = number(last);
        if (!good || at != stop)
          refuse(
              "'" + std::string(piece.substr(0, 60)) + "' does not begin with a unit or with units from one to another",
              "Write it " + example);
        if (last < first)
          refuse("'" + std::string(piece) + "' ends before it begins",
                 "Use " + prefix + std::string(text.substr(0, begin)) + std::to_string(last) + "-" +
                     std::to_string(first) + ":" + std::string(word) + std::string(text.substr(end)));
        for (auto const& r : all.named_)
          if (first < r.end && last >= r.begin)
            refuse("unit " + std::to_string(std::max(first, r.begin)) + " is named twice",
                   "Name each unit once, " + example);
        all.set(first, last + 1, chosen);
      } else {
        all.rest_ = chosen;
      }
      begin = end + 1;
    }
    return all;
  }

 private:
  /// Units [begin, end).
  struct run {
    index_t begin, end;
    recompute_mode mode;
    friend bool operator==(run const&, run const&) = default;
  };
  recompute_mode rest_ = recompute_mode::none;
  std::vector<run> named_;  // ascending, apart, neighbours joined; said is said, be it what all others do, too
};

}  // namespace pleat::plan
