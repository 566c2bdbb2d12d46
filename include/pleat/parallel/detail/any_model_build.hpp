// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How an any_model is made: on the ranks of a world, or of another one.
#pragma once

#include <pleat/parallel/any_model.hpp>

namespace pleat::parallel {

template <class T, class Space> any_model<T, Space>::any_model(any_model&&) noexcept = default;
template <class T, class Space> any_model<T, Space>& any_model<T, Space>::operator=(any_model&&) noexcept = default;
template <class T, class Space> any_model<T, Space>::~any_model() = default;

template <class T, class Space>
auto any_model<T, Space>::laid_out(std::function<std::vector<double>()> const& costs, plan::plan const& p, world& w,
                                   build_options const& options) -> place_of_model {
  place_of_model at{groups::make(p, w.comm), {}};
  at.mesh->voice = w.voice();
  // costs and schedules are each rank's own
  comm::all_or_none(w.comm, [&] { at.layout = std::make_shared<stages const>(p, costs(), options.schedule); });
  return at;
}

template <class T, class Space>
any_model<T, Space>::any_model(std::unique_ptr<network_base> net, plan::plan p, std::shared_ptr<context_type> where,
                               std::shared_ptr<groups> ranks, std::shared_ptr<stages const> layout, std::uint64_t seed)
    : base(std::move(net), std::move(p), std::move(where), std::move(ranks), std::move(layout), seed) {
  demand_precision(plan_, dtype_of<value_type>);
  if (plan_.precision == plan::compute_precision::f16) scale_.emplace();
  layout_->mark_absent(*network_, pipeline().rank());
  bool uncut = false;  // of a network that is built, on all ranks alike: what one of them cannot cut all hear of
  network_->for_each_parameter([&](auto const& w) { uncut = uncut || w.parts <= 1; });
  if (parts().size() > 1 && uncut)
    comm::all_or_none(all_ranks(), [&] { cut_parameters(*context_, *network_, parts().rank(), parts().size()); });
  place_ = {all_ranks().size() > 1, groups_->hybrid(), all_ranks().rank()};
  recomputes_ = make_owned<plan::recompute_choice const>(plan_.recompute);
}

template <class T, class Space>
any_model<T, Space>::any_model(place_of_model at, std::unique_ptr<network_base> net, plan::plan p, world& w,
                               execution_space instance, build_options options)
    : any_model(std::move(net), std::move(p), std::make_shared<context_type>(std::move(instance)), std::move(at.mesh),
                std::move(at.layout), options.seed) {
  if (scale_) scale_.emplace(options.loss_scale);
  else if (!(options.loss_scale == loss_scale_options{}))
    throw error{"parallel::build",
                "a rule for the loss scale is given, but precision = " + std::string(plan::name_of(plan_.precision)) +
                    " has none: only f16 scales its loss",
                "Leave .loss_scale out, or use precision = f16"};
  coding_ = std::move(options.gradients);
  agree_on_plan((coding_ ? random::hash(coding_.words()) : 0) ^
                (options.unit_costs.empty() ? 0 : random::hash(layout_->to_string())));
  demand_codable(plan_, coding_);
  // Rank 0 has not all layers: of each pipeline rank's the first that holds them speaks.
  if (tensor_axis()) moves_ = std::make_shared<move_report>(w.voice(ranks_->rank() == 0 && parts().rank() == 0));
  group_ = std::make_shared<shard_group>(plan_, ranks_);
  arena_ = std::make_unique<arena_type>(*context_, *network_, seed_, group_->over(plan_), ties());
  make_gather();
  open_second_halves();
  if (auto const words = words_of_bypass(*arena_, coding_, ranks_->size(), plan_.tensor_ranks); !words.empty())
    if (auto const voice = w.voice(ranks_->rank() == 0 && parts().rank() == 0)) voice(words);  // each stage's own
}

template <class T, class Space> auto any_model<T, Space>::replanned(plan::plan p) const -> any_model {
  auto same = p;
  same.state_stage = plan_.state_stage, same.state_ranks = plan_.state_ranks, same.state_stride = plan_.state_stride,
  same.prefetch = plan_.prefetch, same.bucket_bytes = plan_.bucket_bytes;
  if (!(same == plan_))
    throw error{"parallel::model::replanned",
                "the plans differ in more than how state is sharded:\n" + same.difference(plan_),
                "Save a checkpoint and build anew"};
  any_model m(network_->clone(), std::move(p), context_, groups_, layout_, seed_);
  m.steps_ = steps_;
  m.scale_ = scale_;
  demand_codable(m.plan_, m.coding_ = coding_);
  m.group_ = std::make_shared<shard_group>(m.plan_, ranks_);
  m.open_second_halves();
  m.arena_ = std::make_unique<arena_type>(arena_type::uninitialised(*m.network_, m.group_->over(m.plan_), m.ties()));
  m.make_gather();
  m.set_host_values(host_values());
  m.refresh_masks();
  return m;
}

template <class T, class Space> auto any_model<T, Space>::unsharded() const -> any_model {
  auto p = plan_;
  p.state_stage = 0, p.state_ranks = 0, p.state_stride = 1;
  return replanned(std::move(p));
}

template <class T, class Space>
auto any_model<T, Space>::made_of(std::unique_ptr<network_base> other, bool lent) const -> any_model {
  auto layout = std::make_shared<stages const>(layout_->of_other_units(other->units()));
  any_model m(std::move(other), plan_, context_, groups_, std::move(layout), seed_);
  m.steps_ = steps_;
  m.scale_ = scale_;
  m.group_ = group_;
  m.coding_ = coding_;
  m.moves_ = moves_;
  this->receive_values();
  m.arena_ = std::make_unique<arena_type>(lent ? arena_type::over(*m.network_, *arena_, group_->over(plan_), m.ties())
                                               : arena_type::uninitialised(*m.network_, group_->over(plan_), m.ties()));
  m.make_gather();
  if (!m.arena_->shares(*arena_)) m.take_named(*this);
  m.refresh_masks();
  for (auto& e : m.arena_->entries())  // what the optimizer's groups hold they hold on, whatever network it is
    if (int const at = arena_->find(e.name); at >= 0) e.held = arena_->entries()[static_cast<std::size_t>(at)].held;
  return m;
}

template <class T, class Space> void any_model<T, Space>::open_second_halves() {
  if (coding_.two_halves() && ranks_->size() > 1)
    group_->second_halves = std::make_shared<comm::communicator>(ranks_->duplicate());
}

template <class T, class Space> void any_model<T, Space>::make_gather() {
  if (group_->stage == 0) return;
  gather_ = std::make_unique<parameter_gather<value_type, execution_space>>(
      *context_, *group_, *arena_, plan_.prefetch, network_->buckets_of_a_layer(*arena_), place_.hybrid, trace_.get());
  hooks_ = std::make_unique<hooks_type>();
  hooks_->gather = gather_.get();
}

}  // namespace pleat::parallel
