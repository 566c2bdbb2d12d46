// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Says once, on rank 0, which activations must move because a layer got them placed otherwise than it needs them.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/nn/pass.hpp>

namespace pleat::parallel {

/// Collects the moves of the first step that has any, and hands each to a voice once.
class move_report final : public nn::move_listener {
 public:
  struct entry {
    std::string layer;
    axis_layout from, to;
    index_t bytes = 0;  ///< that one rank sends and receives, forward; backward takes as much again
  };
  using voice = std::function<void(std::string_view)>;

  move_report() = default;
  explicit move_report(voice v) : voice_(std::move(v)) {}

  void moved(std::string_view layer, extents const& shape, axis_layout const& from, axis_layout const& to, index_t bytes) override {
    for (auto const& e : entries_)
      if (e.layer == layer && e.from.where == from.where && e.to.where == to.where) return;
    entries_.push_back({std::string(layer), from, to, bytes});
    if (voice_)
      voice_("pleat: '" + std::string(layer) + "' gets its input " + shape.to_string() + " placed as " + from.to_string() + " and needs " + to.to_string() + ": " +
             (bytes > 0 ? std::to_string(bytes) + " bytes per rank move in every forward, as many in backward" : "a slice forward, a gather backward"));
  }
  [[nodiscard]] std::vector<entry> const& entries() const noexcept { return entries_; }

 private:
  voice voice_;
  std::vector<entry> entries_;
};

}  // namespace pleat::parallel
