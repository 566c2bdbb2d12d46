// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What codecs of gradients keep, as values of an any_model.
#pragma once

#include <pleat/parallel/any_model.hpp>

namespace pleat::parallel {

template <class T, class Space> auto any_model<T, Space>::gradient_residual() const -> std::vector<master_type> {
  receive_gradients();
  if (exchange_) return exchange_->residual();
  return first_residual_.empty() ? std::vector<master_type>(static_cast<std::size_t>(arena_->size())) : first_residual_;
}
template <class T, class Space> void any_model<T, Space>::set_gradient_residual(std::vector<master_type> flat) {
  if (static_cast<index_t>(flat.size()) != arena_->size())
    throw error{"parallel::set_gradient_residual",
                "expected " + std::to_string(arena_->size()) + " numbers, as gradient_residual() gives, found " +
                    std::to_string(flat.size()),
                "Give it what that returned on this rank", place_.rank};
  receive_gradients();
  end_left_step();
  if (exchange_) exchange_->set_residual(flat);
  else first_residual_ = std::move(flat);
}
template <class T, class Space> auto any_model<T, Space>::gradient_ways() const -> std::vector<gradient_way> {
  auto const& entries = arena_->entries();
  std::vector<gradient_way> ways(entries.size());
  for (std::size_t b = 0; b < arena_->layout().buckets().size(); ++b)
    for (auto const& p : parts_of_bucket(entries, arena_->layout(), b, coding_, ranks_->size(), plan_.tensor_ranks,
                                         static_cast<index_t>(sizeof(master_type))))
      for (std::size_t i = 0; p.coded && i < entries.size(); ++i)
        if (entries[i].begin == arena_->layout().buckets()[b].begin + p.begin && entries[i].end > entries[i].begin)
          ways[i] = {true, coding_.error_feedback()};
  return ways;
}
template <class T, class Space> auto any_model<T, Space>::gradient_codec_memory() const -> codec_memory {
  if (!exchange_) return first_memory_;
  receive_gradients();
  codec_memory all{{}, exchange_->codec_steps()};
  exchange_->for_each_codec_memory(
      [&](nn::arena_entry const& e, auto const& v) { all.values[e.name].assign(v.begin(), v.end()); });
  return all;
}
template <class T, class Space> void any_model<T, Space>::set_gradient_codec_memory(codec_memory all) {
  if (!exchange_) {
    first_memory_ = std::move(all);
    return;
  }
  receive_gradients();
  end_left_step();
  exchange_->begin_codecs_anew();
  exchange_->set_codec_steps(all.steps);
  exchange_->for_each_codec_memory([&](nn::arena_entry const& e, auto const& v) {
    if (auto const at = all.values.find(e.name); at != all.values.end() && at->second.size() == v.size())
      std::copy(at->second.begin(), at->second.end(), v.begin());
  });
}

}  // namespace pleat::parallel
