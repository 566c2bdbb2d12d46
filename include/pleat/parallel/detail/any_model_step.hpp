// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// One step of training of an any_model.
#pragma once

#include <pleat/parallel/any_model.hpp>

namespace pleat::parallel {

template <class T, class Space> auto any_model<T, Space>::whole(tensor_type y) const -> tensor_type {
  return nn::redistribute(training_pass(), std::move(y), {});
}

template <class T, class Space> void any_model<T, Space>::zero_grad(index_t batch) {
  receive_gradients();
  end_left_step();
  share_ = &share_for(batch);
  micro_ = 0;
  loss_recorded_ = false;
  network_->for_each_parameter([](auto& w) { w.zero_input_gradient(); });
  if (!exchange_) {
    arena_->reserve_gradients(*network_, share_->slots(), plan::whole_gradients(plan_));
    exchange_ = std::make_unique<exchange_type>(*context_, *group_, *arena_, plan_, place_.hybrid, coding_,
                                                trace_.get(), parts().rank());
    if (!first_residual_.empty()) exchange_->set_residual(std::exchange(first_residual_, {}));
    if (!first_memory_.values.empty()) set_gradient_codec_memory(std::exchange(first_memory_, {}));
  }
  if (pipeline().size() == 1) open_agreement();
}

template <class T, class Space> void any_model<T, Space>::demand_step() const {
  throw error{"parallel::model", "no step has begun, so no rank knows its share of the samples",
              "Call zero_grad(batch) first: it begins a step over so many samples of all ranks", all_ranks().rank()};
}

template <class T, class Space> void any_model<T, Space>::walk_over(source_ref<tensor_type> source) {
  (void)share();
  region r("pleat::parallel::walk");
  if (!pipeline_)
    pipeline_ = std::make_unique<pipeline_type>(*context_, pipeline(), *network_, layout_, *recomputes_, place_);
  step_source asked{this, source};
  micro_ = 0;
  extents input;
  if (pipeline().size() > 1)
    input = in_phase(place_, steps_, "parallel::walk", "the first input",
                     [&] { return agree_on_input([&] { return asked.input(share().micro_batches().front()); }); });
  else if (communicates_at_once()) settle_agreement("parallel::walk", "at its beginning");
  bool const each = exchange_->every_micro_batch() && plan_.micro_batches > 1;
  if (!each) {
    exchange_->begin(share());
    // A rank without the last stage adds nothing to the loss. It says so now: in the first step's order the loss comes
    // first, and until it is ready no bucket may leave, each in memory of its own.
    if (!this->has_last_stage()) {
      for (int s = 0; s < share().slots(); ++s) compute::fill(context_->space(), 1, master_type(0), arena_->loss(s));
      exchange_->entry_ready(static_cast<int>(arena_->entries().size()) - 1);
    }
  }
  if (!walk_hooks_) walk_hooks_ = std::make_unique<hooks_type>();
  walk_hooks_->exchange = exchange_.get();
  walk_hooks_->gather = gather_.get();
  pipeline_->run(training_pass(), share(), input, source_ref<tensor_type>(asked), *exchange_, *walk_hooks_,
                 group_->stage == 3 ? gather_.get() : nullptr, *arena_, tracing());
  micro_ = plan_.micro_batches;
}

template <class T, class Space>
auto any_model<T, Space>::step_source::loss(micro_batch const& m, tensor_type y) -> tensor_type {
  self->micro_ = m.index;
  // it has travelled beside the first forward; gradients have not been sent yet
  if (m.index == 0) (void)self->settle_agreement();
  tensor_type dy = source.loss(m, std::move(y));
  if (m.index + 1 < self->plan_.micro_batches) return dy;
  if (!std::exchange(self->loss_recorded_, false))
    for (int s = 0; s < self->share_->slots(); ++s)
      compute::fill(self->context_->space(), 1, master_type(0), self->arena_->loss(s));
  if (!self->exchange_->every_micro_batch() || self->plan_.micro_batches == 1)
    self->exchange_->entry_ready(static_cast<int>(self->arena_->entries().size()) - 1);
  return dy;
}

template <class T, class Space>
auto any_model<T, Space>::cross_entropy(tensor_type const& y, tensor<std::int32_t, execution_space> const& labels)
    -> nn::loss_result<value_type, execution_space> {
  auto r = nn::cross_entropy{}(training_pass(), y, labels);
  record_loss(r.rows);
  return r;
}
template <class T, class Space>
auto any_model<T, Space>::mean_square(tensor_type const& y, tensor_type const& target)
    -> nn::loss_result<value_type, execution_space> {
  auto r = nn::mean_square{}(training_pass(), y, target);
  record_loss(r.rows);
  return r;
}
template <class T, class Space>
void any_model<T, Space>::record_loss(tensor<master_type, execution_space> const& rows) {
  auto const p = training_pass();
  for (auto const& s : p.segments) {
    auto lanes = s.lanes;
    // sums of gradients leave with every micro-batch, this one stays
    if (exchange_->every_micro_batch() && micro_ > 0) lanes.accumulate = true;
    compute::column_sum(p.space(), 1, static_cast<master_type const*>(rows.data()), 1, arena_->loss(s.slot), lanes);
  }
  loss_recorded_ = true;
}

template <class T, class Space> auto any_model<T, Space>::begin_backward() -> nn::pass<execution_space> {
  demand_one_stage("backward");
  settle_agreement("parallel::backward", "backward");
  bool const last = micro_ + 1 == static_cast<index_t>(share().micro_batches().size());
  for (auto& e : arena_->entries()) e.use.done = 0;
  auto p = training_pass();
  p.input_gradient = false;
  bool const every = exchange_->every_micro_batch();
  if (last || every) {
    exchange_->begin(share(), every && micro_ > 0, last);
    p.hooks = hooks(exchange_.get());
    if (last && loss_recorded_) exchange_->entry_ready(static_cast<int>(arena_->entries().size()) - 1);
    if (last) loss_recorded_ = false;
  }
  return p;
}
template <class T, class Space> void any_model<T, Space>::end_backward() {
  bool const last = micro_ + 1 == static_cast<index_t>(share().micro_batches().size());
  if (exchange_->every_micro_batch() && !last)
    in_phase(place_, steps_, "parallel::backward", "backward", [&] { exchange_->finish(); });
  ++micro_;
}

template <class T, class Space> void any_model<T, Space>::finish_gradients() const {
  in_phase(place_, steps_, "parallel::reduce", "reduce", [&] { exchange_->finish(); });
}

template <class T, class Space> void any_model<T, Space>::reduce() {
  region r("pleat::parallel::reduce");
  scoped_span const span(tracing(), "reduce", "communication");
  if (!share_ || micro_ != static_cast<index_t>(share_->micro_batches().size()))
    throw error{"parallel::reduce",
                "in step " + std::to_string(steps_) + " " + std::to_string(micro_) + " of " +
                    std::to_string(plan_.micro_batches) + " micro-batches have gone backward",
                "Call backward for each of share().micro_batches(), or walk(source)", place_.rank};
  in_phase(place_, steps_, "parallel::reduce", "reduce", [&] {
    exchange_->close();
    if (!ties_) ties_.emplace(*network_, *layout_, *arena_);
    bool const tied = !ties_->empty() && ties() == nn::tied_gradients::apart;
    if (plan_.overlap && ranks_->size() > 1 && exchange_->agreed() && !exchange_->in_two_halves() &&
        parts().size() == 1 && pipeline().size() == 1 && !tied && !scale_)
      return;
    exchange_->finish();
    {
      scoped_span const addends(parts().size() > 1 ? tracing() : nullptr, "all_reduce", "communication");
      about_tensor([] { return std::string("the gradients that parts of the tensor axis add up"); }, "tensor",
                   place_.hybrid, [&] { sum_addends(*context_, parts(), plan_.deterministic, *arena_); });
    }
    if (tied) {
      scoped_span const sums(pipeline().size() > 1 ? tracing() : nullptr, "tied weights", "communication");
      ties_->sum(*context_, pipeline(), *group_, *arena_, place_.hybrid);
    }
    if (pipeline().size() > 1) {
      scoped_span const loss(tracing(), "wait for the loss", "waiting");
      loss_ = about_tensor([] { return std::string("the loss of the last stage"); }, "pipeline", place_.hybrid,
                           [&] { return pipeline().broadcast_value(own_loss(), layout_->last_rank()); });
    }
  });
}

template <class T, class Space> double any_model<T, Space>::loss() const {
  if (exchange_ && exchange_->arriving())
    in_phase(place_, steps_, "parallel::reduce", "reduce",
             [&] { exchange_->wait_for(static_cast<std::size_t>(arena_->layout().owner().back())); });
  return loss_ ? *loss_ : own_loss();
}

template <class T, class Space> double any_model<T, Space>::gradient_norm() const {
  return in_phase(place_, steps_, "parallel::gradient_norm", "the norm of the gradient", [&] {
    scoped_span const span(tracing(), "gradient norm", "compute");
    return parallel::gradient_norm(*context_, *groups_, *group_, *arena_, exchange_.get()) / loss_factor();
  });
}

template <class T, class Space>
bool any_model<T, Space>::step(optimizer_type& optimizer, double learning_rate_factor, double scale) {
  region r("pleat::parallel::step");
  scoped_span const span(tracing(), "optimizer", "compute");
  scale /= loss_factor();
  if (exchange_) in_phase(place_, steps_, "parallel::reduce", "reduce", [&] { exchange_->demand_whole(); });
  if (exchange_ && exchange_->is_open())
    throw error{"parallel::step",
                "the gradients of step " + std::to_string(steps_) + " have not been summed over all ranks",
                "Call reduce() before step()", place_.rank};
  receive_values();  // of layers that no forward has asked for
  bool const moves = in_phase(place_, steps_, "parallel::step", "the optimizer's step", [&] {
    if (scale_ && !scale_->update(found_nonfinite(*context_, *arena_), all_ranks())) return false;
    optimizer.begin_step(*context_, *arena_);
    return true;
  });
  if (moves)
    piece_step<value_type, execution_space>(*context_, *arena_, exchange_.get(), gather_.get(), plan_.overlap)
        .run(optimizer, learning_rate_factor, scale, moved_, place_, steps_);
  if (trace_->on()) context_->fence();
  ++steps_;
  return moves;
}

template <class T, class Space> double any_model<T, Space>::own_loss() const {
  master_type v{};
  copy_to_host(*context_, tensor<master_type, execution_space>::wrap(arena_->loss(), extents{1}), &v);
  return static_cast<double>(v);
}

template <class T, class Space> auto any_model<T, Space>::training_pass() const -> nn::pass<execution_space> {
  auto const& all = share().micro_batches();
  auto const& m = all[std::min(static_cast<std::size_t>(micro_), all.size() - 1)];
  nn::pass<execution_space> p;
  p.where = context_.get();
  p.training = true;
  p.seed = seed_;
  p.step = steps_;
  p.first_sample = share().rows().begin + m.rows.begin;
  p.global_batch = share().batch();
  p.loss_scale = loss_factor();
  p.segments = m.segments;
  p.ranks = ranks_.get();
  p.deterministic = plan_.deterministic;
  p.hooks = hooks(nullptr);
  p.tensor = tensor_axis();
  p.moves = moves_.get();
  p.trace = tracing();
  return p;
}

template <class T, class Space> nn::pass_hooks* any_model<T, Space>::hooks(exchange_type* exchange) const {
  if (!hooks_) return exchange;
  hooks_->exchange = exchange;
  return exchange || hooks_->gather ? hooks_.get() : nullptr;
}

template <class T, class Space> parallel::share const& any_model<T, Space>::share_for(index_t batch) {
  for (auto const& s : shares_)
    if (s->batch() == batch) return *s;
  shares_.push_back(make_owned<parallel::share>(plan_, batch, ranks_->rank(), arena_->tied()));
  return *shares_.back();
}

template <class T, class Space> void any_model<T, Space>::demand_one_stage(char const* call) const {
  if (layout_->count() > 1)
    throw error{std::string("parallel::model::") + call,
                "this model has " + std::to_string(layout_->count()) + " stages", "Use model.walk(source)"};
}

// --- agreements
// ----------------------------------------------------------------------------------------------------------------

template <class T, class Space> void any_model<T, Space>::open_agreement(extents const& sample) {
  if (all_ranks().size() == 1) return;
  if (!agreement_) agreement_ = make_owned<network_agreement>(groups_->agreement);
  agreement_->open({steps_, share_->batch(), pipeline().size() > 1 && has_first_stage(), sample}, *network_);
}
template <class T, class Space> extents any_model<T, Space>::settle_agreement() const {
  if (!agreement_) return {};
  scoped_span const span(tracing(), "wait for the agreement", "waiting");
  return agreement_->settle(*network_);
}
template <class T, class Space> void any_model<T, Space>::settle_agreement(char const* call, char const* phase) const {
  in_phase(place_, steps_, call, phase, [&] { (void)settle_agreement(); });
}
template <class T, class Space> template <class First> extents any_model<T, Space>::agree_on_input(First&& first) {
  extents sample;
  if (has_first_stage()) {
    auto x = first();
    sample = x.shape();
    pipeline_->give_first_input(std::move(x));
  }
  open_agreement(sample);
  return settle_agreement();
}

}  // namespace pleat::parallel
