// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Answers of an any_model, and the look for the first that is not finite.
#pragma once

#include <exception>

#include <pleat/comm/attempt.hpp>
#include <pleat/parallel/any_model.hpp>

namespace pleat::parallel {

template <class T, class Space>
auto any_model<T, Space>::predict(tensor_type x, answer_at at, nn::input_listener* inputs,
                                  nn::layer_listener* layers) const -> tensor_type {
  nn::pass<execution_space> p;
  p.where = context_.get();
  p.seed = seed_;
  p.step = steps_;
  p.hooks = hooks(nullptr);
  p.tensor = tensor_axis();
  p.moves = moves_.get();
  p.inputs = inputs;
  p.layers = layers;
  p.deterministic = plan_.deterministic;
  // the other ranks of the group wait for this one's pieces of every layer
  nn::failure_note failure;
  if (group_->stage == 3 && !p.tensor) p.failure = &failure;
  if (layout_->count() > 1)
    return forward_chain(p, *network_, *layout_, pipeline(), std::move(x), at == answer_at::every_stage);
  auto y = comm::whole_or_broken_off(p.failure != nullptr,
                                     [&] { return nn::redistribute(p, network_->answer(p, std::move(x)), {}); });
  if (failure.first) std::rethrow_exception(failure.first);
  return y;
}

template <class T, class Space> void any_model<T, Space>::find_nonfinite(tensor_type x) const {
  demand_finite(seen_by_all([&] { return look_for_nonfinite(std::move(x)); }), all_ranks());
}

template <class T, class Space>
void any_model<T, Space>::find_nonfinite_among(std::function<tensor_type(micro_batch const&)> const& input) {
  nn::nonfinite_note first;
  for (auto const& micro : share().micro_batches()) {
    micro_ = micro.index;
    tensor_type x;
    comm::all_or_none(all_ranks(), [&] {  // before anybody walks on and waits for a rank that has no samples
      if (has_first_stage()) x = input(micro);
    });
    auto note = seen_by_all([&] { return look_for_nonfinite(everywhere_shaped(std::move(x))); });
    if (note.at >= 0 && (first.at < 0 || note.at < first.at)) first = std::move(note);
  }
  micro_ = plan_.micro_batches;
  demand_finite(first, all_ranks());
}

template <class T, class Space> nn::nonfinite_note any_model<T, Space>::look_for_nonfinite(tensor_type x) const {
  auto p = training_pass();
  nn::nonfinite_note note;
  p.nonfinite = &note;
  if (layout_->count() == 1) (void)network_->answer(p, std::move(x));
  else (void)forward_chain(p, *network_, *layout_, pipeline(), std::move(x), false);
  return note;
}

template <class T, class Space> auto any_model<T, Space>::everywhere_shaped(tensor_type x) const -> tensor_type {
  if (pipeline().size() == 1) return x;
  std::array<index_t, extents::max_rank + 1> said{x.rank()};
  for (int d = 0; d < x.rank(); ++d) said[static_cast<std::size_t>(d) + 1] = x.extent(d);
  pipeline().broadcast(said, layout_->first_rank());
  if (has_first_stage()) return x;
  return tensor_type::allocate(*context_,
                               extents(std::span<index_t const>(said.data() + 1, static_cast<std::size_t>(said[0]))));
}

}  // namespace pleat::parallel
