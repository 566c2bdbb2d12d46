// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The tensors of a file: in the order of their data, and found by name. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/io/detail/shown.hpp>

namespace pleat::io::detail {

/// \tparam Entry has name, begin and end
template <class Entry> class entry_table {
 public:
  void add(Entry e) { entries_.push_back(std::move(e)); }
  void reserve(std::size_t n) { entries_.reserve(n); }
  /// Called when all are there. \throws error for a name that appears twice
  void order(std::string const& call) {
    std::sort(entries_.begin(), entries_.end(), [](Entry const& a, Entry const& b) {
      return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });
    by_name_.resize(entries_.size());
    for (std::size_t i = 0; i < by_name_.size(); ++i) by_name_[i] = i;
    std::sort(by_name_.begin(), by_name_.end(),
              [&](std::size_t a, std::size_t b) { return entries_[a].name < entries_[b].name; });
    for (std::size_t i = 1; i < by_name_.size(); ++i)
      if (name(i) == name(i - 1))
        throw error{call, "the name " + shown(name(i)) + " appears twice", remedy::copy_again};
  }

  [[nodiscard]] std::span<Entry const> entries() const noexcept { return entries_; }
  /// nullptr if there is none.
  [[nodiscard]] Entry const* find(std::string_view wanted) const noexcept {
    auto const it = std::lower_bound(by_name_.begin(), by_name_.end(), wanted,
                                     [&](std::size_t i, std::string_view n) { return entries_[i].name < n; });
    return it != by_name_.end() && entries_[*it].name == wanted ? &entries_[*it] : nullptr;
  }
  /// \throws error that names the first eight there are
  [[nodiscard]] Entry const& at(std::string_view wanted, std::string const& call) const {
    if (auto const* e = find(wanted)) return *e;
    std::string have;
    for (std::size_t i = 0; i < std::min<std::size_t>(entries_.size(), 8); ++i)
      have += (i ? ", " : "") + shown(name(i));
    if (entries_.size() > 8) have += ", ...";
    throw error{call,
                "there is no tensor " + shown(wanted) + " among the " + std::to_string(entries_.size()) + ": " + have,
                "Use one of these names"};
  }
  /// The i-th name in alphabetical order.
  [[nodiscard]] std::string const& name(std::size_t i) const noexcept { return entries_[by_name_[i]].name; }

 private:
  std::vector<Entry> entries_;
  std::vector<std::size_t> by_name_;
};

}  // namespace pleat::io::detail
