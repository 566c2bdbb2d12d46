// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Says once, on the first rank that has the layer, which activations must move because a layer got them placed
/// otherwise than it needs them, and which results could not be cut as was asked.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/nn/parameter.hpp>
#include <pleat/nn/pass.hpp>
#include <pleat/tensor/redistribution.hpp>

namespace pleat::parallel {

/// Collects the moves of the first step that has any, and hands each to a voice once. A template of nothing: its
/// virtual functions are compiled where one is made.
template <class = void> class move_report_of final : public nn::move_listener {
 public:
  /// One activation that moves, once per forward pass.
  struct entry {
    std::string layer;
    axis_layout from, to;
    index_t bytes = 0;  ///< that one rank sends and receives, forward; backward takes as much again
  };
  using voice = std::function<void(std::string_view)>;

  move_report_of() = default;
  explicit move_report_of(voice v) : voice_(std::move(v)) {}

  void moved(move const& m) override { note(m); }
  void stays_whole(nn::parameter const& w, extents const& result) override { note(w, result); }
  [[nodiscard]] std::vector<entry> const& entries() const noexcept { return entries_; }

 private:
  void note(move const& m) {
    for (auto const& e : entries_)
      if (e.layer == m.layer && e.from.where == m.from.where && e.to.where == m.to.where) return;
    redistribution const way(layout(mesh{{"tensor", m.ranks}}, m.whole, placement(m.from.where)), placement(m.to.where),
                             m.element_bytes);
    auto const wire = way.bytes(m.rank);
    index_t const bytes = wire.sent + wire.received;
    entries_.push_back({std::string(m.layer), m.from, m.to, bytes});
    if (voice_)
      voice_("pleat: '" + std::string(m.layer) + "' gets its input " + m.whole.to_string() + " placed as " +
             m.from.to_string() + " and needs " + m.to.to_string() + ": " +
             (bytes > 0 ? std::to_string(bytes) + " bytes per rank move in every forward, as many in backward"
                        : "a slice forward, a gather backward"));
  }
  void note(nn::parameter const& w, extents const& result) {
    if (!voice_ || std::find(whole_.begin(), whole_.end(), w.name) != whole_.end()) return;
    whole_.push_back(w.name);
    voice_("pleat: '" + w.name + "' was to leave its results cut as " + w.leaves.to_string() + " (by sequence), but " +
           result.to_string() + " has no positions: they stay whole, by an all-reduce instead of a reduce-scatter");
  }
  voice voice_;
  std::vector<entry> entries_;
  std::vector<std::string> whole_;
};

using move_report = move_report_of<>;

}  // namespace pleat::parallel
