// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The optimizer's part of a step between two sorts of travel: sums of gradients that still come, and values that
/// leave.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <pleat/nn/arena.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/parallel/gradient_exchange.hpp>
#include <pleat/parallel/parameter_gather.hpp>
#include <pleat/parallel/step_words.hpp>

namespace pleat::parallel {

/// Moves every piece of an arena once. Those that forward needs first are moved first; while the first of them has not
/// come, the others are, in the order in which their buckets left. Values are sent in the order of forward on every
/// rank, whatever was moved before. From the first move on whole values are nowhere until they have come: if a step
/// ends on its way, nobody takes what is left for whole ones (at state stages 1 and 2; where every rank has all values,
/// or only its own, some have moved and others have not, and the model refuses further steps).
template <class T, class Space> class piece_step {
 public:
  /// \param exchange null, or what gradients may still come from \param gather null, or what passes values on
  /// \param overlap false: what is sent has come when run returns
  piece_step(context<Space>& where, nn::arena<T, Space>& memory, gradient_exchange<T, Space>* exchange,
             parameter_gather<T, Space>* gather, bool overlap)
      : where_(&where),
        memory_(&memory),
        exchange_(exchange && exchange->arriving() ? exchange : nullptr),
        gather_(gather),
        overlap_(overlap) {}

  /// \param moved memory of its own, kept from step to step: piece → whether it has been moved
  /// \throws error of waiting as one of reduce, else as one of the optimizer's step
  void run(nn::optimizer_state<T, Space>& optimizer, double rate, double scale, std::vector<char>& moved,
           step_place const& at, std::uint64_t step) const {
    auto const reducing = [&](auto&& f) { return in_phase(at, step, "parallel::reduce", "reduce", f); };
    auto const moving = [&](auto&& f) { return in_phase(at, step, "parallel::step", "the optimizer's step", f); };
    bool const sends = memory_->layout().stage() == 1 || memory_->layout().stage() == 2;
    moved.assign(memory_->pieces().size(), char{0});
    bool first = true;
    auto const move = [&](std::size_t b) {
      if (exchange_) reducing([&] { exchange_->wait_for(b); });
      if (std::exchange(first, false) && gather_) moving([&] { sends ? gather_->announce() : gather_->forget(); });
      moving([&] { optimizer.apply_piece(*where_, *memory_, b, rate, scale); });
      moved[b] = 1;
    };
    std::size_t turn = 0;
    for (std::size_t front = moved.size(); front > 0;) {  // pieces are numbered from the back
      if (exchange_ && !moved[front - 1] && !reducing([&] { return exchange_->has_come(front - 1); })) {
        while (moved[static_cast<std::size_t>(exchange_->order()[turn])]) ++turn;
        move(static_cast<std::size_t>(exchange_->order()[turn]));
        continue;
      }
      if (!moved[--front]) move(front);
      if (sends) moving([&] { gather_->send(front), gather_->poll(); });
    }
    if (exchange_) reducing([&] { exchange_->finish(); });
    if (sends && !overlap_) moving([&] { gather_->finish(); });
  }

 private:
  context<Space>* where_;
  nn::arena<T, Space>* memory_;
  gradient_exchange<T, Space>* exchange_;
  parameter_gather<T, Space>* gather_;
  bool overlap_;
};

}  // namespace pleat::parallel
