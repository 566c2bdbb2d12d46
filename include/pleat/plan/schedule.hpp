// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A pipeline schedule as data: which rank does what, in which order. Values only; constexpr; needs no Kokkos.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::plan {

/// What a rank can be told to do. Computing first, then messages between stages, then collectives over the data axis.
enum class action_kind : std::uint8_t {
  forward,             ///< the stage's units forward on one micro-batch
  backward,            ///< both halves of backward
  backward_input,      ///< the half that the stage before waits for: the gradient of the stage's input
  backward_weight,     ///< the half that nobody waits for: the gradients of the stage's parameters
  send_activation,     ///< the stage's output, to the stage after it
  receive_activation,  ///< the stage's input, from the stage before it
  send_gradient,       ///< the gradient of the stage's input, to the stage before it
  receive_gradient,    ///< the gradient of the stage's output, from the stage after it
  gather_parameters,   ///< make the stage's sharded parameters whole (state stage 3)
  release_parameters,  ///< let them go again
  reduce_gradients,    ///< sum the stage's gradients over the data axis: its last weight work is done
};

[[nodiscard]] constexpr bool computes(action_kind k) noexcept { return k <= action_kind::backward_weight; }
[[nodiscard]] constexpr bool sends(action_kind k) noexcept {
  return k == action_kind::send_activation || k == action_kind::send_gradient;
}
[[nodiscard]] constexpr bool receives(action_kind k) noexcept {
  return k == action_kind::receive_activation || k == action_kind::receive_gradient;
}
/// The gradient of the stage's input leaves this action.
[[nodiscard]] constexpr bool gives_gradient(action_kind k) noexcept {
  return k == action_kind::backward || k == action_kind::backward_input;
}
/// The stage's parameter gradients are complete for the micro-batch after this action.
[[nodiscard]] constexpr bool does_weights(action_kind k) noexcept {
  return k == action_kind::backward || k == action_kind::backward_weight;
}

/// One thing that one rank does.
struct action {
  action_kind kind = action_kind::forward;
  /// the (virtual) stage that acts: 0 has the network's first unit; which chunk that is on its rank says
  /// schedule::chunk
  std::int32_t stage = 0;
  std::int32_t micro_batch = 0;  ///< -1 where the action is about no micro-batch (gather, release, reduce)
  std::int32_t peer = -1;        ///< messages: the stage at the other end; else -1

  friend constexpr bool operator==(action const&, action const&) = default;
};

/// Lists of actions, one per rank, and where each stage lives. A rank carries its list out strictly in order.
///
/// Lists that only compute are what one designs (schedules.hpp); passes add what follows from them
/// (schedule_passes.hpp).
struct schedule {
  index_t micro_batches = 0;
  std::vector<std::int32_t> rank_of;         ///< per (virtual) stage: the rank that has it
  std::vector<std::vector<action>> actions;  ///< per rank, in order

  [[nodiscard]] constexpr index_t ranks() const noexcept { return static_cast<index_t>(actions.size()); }
  [[nodiscard]] constexpr index_t stages() const noexcept { return static_cast<index_t>(rank_of.size()); }
  /// Stages of one rank, ascending.
  PLEAT_LAZY [[nodiscard]] constexpr std::vector<std::int32_t> stages_of(index_t rank) const {
    std::vector<std::int32_t> mine;
    for (std::size_t s = 0; s < rank_of.size(); ++s)
      if (rank_of[s] == rank) mine.push_back(static_cast<std::int32_t>(s));
    return mine;
  }
  /// The stage's position among its rank's stages.
  PLEAT_LAZY [[nodiscard]] constexpr index_t chunk(index_t stage) const noexcept {
    index_t n = 0;
    for (index_t s = 0; s < stage; ++s)
      n += rank_of[static_cast<std::size_t>(s)] == rank_of[static_cast<std::size_t>(stage)];
    return n;
  }
  /// Whether any rank's list says messages; lists that only compute leave them to be understood.
  PLEAT_LAZY [[nodiscard]] constexpr bool communicates() const noexcept {
    for (auto const& list : actions)
      for (auto const& a : list)
        if (sends(a.kind) || receives(a.kind)) return true;
    return false;
  }
  PLEAT_LAZY [[nodiscard]] constexpr index_t size() const noexcept {
    index_t n = 0;
    for (auto const& list : actions) n += static_cast<index_t>(list.size());
    return n;
  }

  friend constexpr bool operator==(schedule const&, schedule const&) = default;
};

/// Stage s lives on rank s mod ranks: consecutive stages on consecutive ranks, round and round (interleaved schedules;
/// one chunk: the plain pipeline).
PLEAT_LAZY [[nodiscard]] constexpr std::vector<std::int32_t> place_in_loops(index_t ranks, index_t chunks = 1) {
  std::vector<std::int32_t> rank_of;
  for (index_t s = 0; s < ranks * chunks; ++s) rank_of.push_back(static_cast<std::int32_t>(s % ranks));
  return rank_of;
}

/// Two chunks per rank, down the ranks and up again: rank 0 has the first stage and the last (ZB-V, DualPipe-V).
PLEAT_LAZY [[nodiscard]] constexpr std::vector<std::int32_t> place_in_v(index_t ranks) {
  std::vector<std::int32_t> rank_of;
  for (index_t s = 0; s < 2 * ranks; ++s)
    rank_of.push_back(static_cast<std::int32_t>(s < ranks ? s : 2 * ranks - 1 - s));
  return rank_of;
}

/// The action's name in words.
PLEAT_LAZY [[nodiscard]] constexpr std::string_view name(action_kind k) noexcept {
  constexpr std::string_view names[] = {
      "forward",           "backward",           "backward_input",  "backward_weight",
      "send_activation",   "receive_activation", "send_gradient",   "receive_gradient",
      "gather_parameters", "release_parameters", "reduce_gradients"};
  return names[static_cast<std::size_t>(k)];
}

/// The action's letters in a CSV cell: those that PyTorch's schedule files use.
[[nodiscard]] constexpr std::string_view letters(action_kind k) noexcept {
  constexpr std::string_view names[] = {"F",      "B",      "I",       "W",       "SEND_F",     "RECV_F",
                                        "SEND_B", "RECV_B", "UNSHARD", "RESHARD", "REDUCE_GRAD"};
  return names[static_cast<std::size_t>(k)];
}

/// "2F0": stage 2, forward, micro-batch 0. The form of a CSV cell.
PLEAT_ONCE [[nodiscard]] std::string to_string(action const& a) {
  std::string text = std::to_string(a.stage) + std::string(letters(a.kind));
  if (a.micro_batch >= 0) text += std::to_string(a.micro_batch);
  return text;
}
PLEAT_COMPILED_ONCE(std::string to_string(action const& a));

/// "forward of micro-batch 0 on stage 2", "send_activation of micro-batch 0 from stage 2 to stage 3".
PLEAT_ONCE [[nodiscard]] std::string in_words(action const& a) {
  std::string text(name(a.kind));
  if (a.micro_batch >= 0) text += " of micro-batch " + std::to_string(a.micro_batch);
  if (sends(a.kind)) return text + " from stage " + std::to_string(a.stage) + " to stage " + std::to_string(a.peer);
  if (receives(a.kind)) return text + " on stage " + std::to_string(a.stage) + " from stage " + std::to_string(a.peer);
  return text + " on stage " + std::to_string(a.stage);
}
PLEAT_COMPILED_ONCE(std::string in_words(action const& a));

/// The other half of a message: the receive that belongs to a send, the send that belongs to a receive.
PLEAT_LAZY [[nodiscard]] constexpr action counterpart(action const& a) noexcept {
  action other = a;
  switch (a.kind) {
    case action_kind::send_activation:
      other.kind = action_kind::receive_activation;
      break;
    case action_kind::receive_activation:
      other.kind = action_kind::send_activation;
      break;
    case action_kind::send_gradient:
      other.kind = action_kind::receive_gradient;
      break;
    case action_kind::receive_gradient:
      other.kind = action_kind::send_gradient;
      break;
    default:
      return a;
  }
  other.stage = a.peer;
  other.peer = a.stage;
  return other;
}

}  // namespace pleat::plan
