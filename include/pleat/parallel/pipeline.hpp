// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The executor: carries out this rank's list of a pipeline schedule. One for all schedules; it calls nothing but
/// ranges of units.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/step_trace.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/nn/units.hpp>
#include <pleat/parallel/gradient_exchange.hpp>
#include <pleat/parallel/network.hpp>
#include <pleat/parallel/parameter_gather.hpp>
#include <pleat/parallel/share.hpp>
#include <pleat/parallel/source.hpp>
#include <pleat/parallel/stage_messages.hpp>
#include <pleat/parallel/stage_work.hpp>
#include <pleat/parallel/stages.hpp>
#include <pleat/parallel/step_words.hpp>
#include <pleat/plan/schedule.hpp>

namespace pleat::parallel {

/// One rank's part of a pipeline.
///
/// The list is carried out strictly in order. A send waits for an old one at the most (stage_messages). A receive is
/// posted before the work that stands before it in the list begins, and waited for where its tensor is needed, so
/// messages travel beside the work. That waits for less than the list says, and the list has been checked to come to
/// its end even where every send blocks.
///
/// Where the list says when sharded parameters are gathered and released, and when gradients are reduced, that is when;
/// else parameters are gathered just before a layer needs them, and gradients leave as soon as they are ready.
/// (Gradients in a pool of buffers leave as soon as they are ready whatever the list says: the pool has no room for a
/// whole stage's.)
///
/// Sizes of messages follow from nn::shape_units. Between stages of one rank a tensor is handed over. Where nothing
/// learns below a stage, no gradient leaves it.
template <class T, class Space> class pipeline {
 public:
  using tensor_type = tensor<T, Space>;
  using pass_type = nn::pass<Space>;
  using network_type = network<T, Space>;
  using exchange_type = gradient_exchange<T, Space>;
  using gather_type = parameter_gather<T, Space>;

  /// \param ranks those of the pipeline; must outlive this, as must `where` and `net`
  /// \param place whose step it is, for errors
  pipeline(context<Space>& where, comm::communicator& ranks, network_type& net, std::shared_ptr<stages const> layout,
           plan::recompute_choice recompute, step_place place = {})
      : where_(&where),
        ranks_(&ranks),
        net_(&net),
        layout_(std::move(layout)),
        recompute_(std::move(recompute)),
        place_(place),
        list_(&layout_->schedule().actions[static_cast<std::size_t>(ranks.rank())]),
        messages_(where, ranks, net, layout_, place.hybrid) {
    auto const& s = layout_->schedule();
    auto const cells = static_cast<std::size_t>(s.stages() * s.micro_batches);
    index_.assign(cells, -1);
    std::int32_t mine = 0;
    for (auto const& a : *list_)
      if (a.kind == plan::action_kind::forward) index_[cell_number(a.stage, a.micro_batch)] = mine++;
    cells_.resize(static_cast<std::size_t>(mine));
    for (auto& c : cells_) c.work = net.work();
    for (auto const& a : *list_) {
      lists_parameters_ = lists_parameters_ || a.kind == kind::gather_parameters || a.kind == kind::release_parameters;
      lists_reduction_ = lists_reduction_ || a.kind == kind::reduce_gradients;
    }
    hooks_.ready.resize(lists_reduction_ ? static_cast<std::size_t>(s.stages()) : 0);
    wanted_.resize(static_cast<std::size_t>(s.stages()) + 1);
  }

  /// Walks all micro-batches forward and backward. \param base a pass that lacks what belongs to a micro-batch
  /// \param input extents of a micro-batch of this step's input, whatever its rows
  /// \param gather null where parameters are not sharded
  /// \throws error naming this rank, the step and the action; where it waited for another stage, the tensor too
  void run(pass_type const& base, share const& s, extents const& input, source_ref<tensor_type> const& source,
           exchange_type& exchange, nn::pass_hooks& hooks, gather_type* gather, nn::arena<T, Space>& memory,
           step_trace* trace) {
    memory_ = &memory;
    base_ = &base;
    share_ = &s;
    source_ = &source;
    exchange_ = &exchange;
    gather_ = lists_parameters_ ? gather : nullptr;
    hooks_.inner = &hooks;
    hooks_.ranks = ranks_;
    hooks_.open = nullptr;
    trace_ = trace;
    messages_.begin(trace);
    input_ = input;
    for (index_t stage = 0; stage <= layout_->count(); ++stage)
      wanted_[static_cast<std::size_t>(stage)] =
          nn::learns_units(*net_, 0, stage == layout_->count() ? layout_->units() : layout_->begin(stage));
    for (auto& ready : hooks_.ready) ready.clear();
    listed_parameters const listed(gather_);
    posted_ = 0;
    std::size_t at = 0;
    try {
      struct on_failure {  // while the exception unwinds, so that open requests give up instead of waiting
        pipeline* self;
        ~on_failure() {
          if (self) self->abandon();
        }
      } guard{this};
      for (; at < list_->size(); ++at) {
        post_receives(at);
        messages_.look_for_gone();
        carry_out((*list_)[at]);
      }
      at = list_->size();
      messages_.finish();
      guard.self = nullptr;
    } catch (error const& e) {
      if (!place_.together && ranks_->size() == 1) throw;
      std::string doing = at < list_->size() ? plan::in_words((*list_)[at]) : "the end of its sends";
      if (hooks_.open) doing += ", in the layer of '" + hooks_.open->name + "'";
      throw error{"parallel::walk",
                  "step " + std::to_string(base.step) +
                      (ranks_->size() > 1 ? ", pipeline rank " + std::to_string(ranks_->rank()) : "") + ", at " +
                      doing + ": " + e.call() + ": " + e.problem(),
                  e.remedy(), place_.rank};
    }
  }

  /// What the first stage's first micro-batch begins with, if it was asked for before the walk (its shape is needed
  /// then).
  void give_first_input(tensor_type x) { first_input_ = std::move(x); }

 private:
  using kind = plan::action_kind;
  using messages = stage_messages<T, Space>;

  /// All that is alive of one micro-batch on one stage.
  struct cell {
    std::unique_ptr<unit_work<T, Space>> work;
    stage_message<T, Space> x, dy;  // come in
    tensor_type y, dx;              // go out
  };

  /// For the time of a walk the list says when parameters are gathered.
  struct listed_parameters {
    gather_type* gather;
    explicit listed_parameters(gather_type* g) noexcept : gather(g) {
      if (gather) gather->begin_list();
    }
    listed_parameters(listed_parameters const&) = delete;
    listed_parameters& operator=(listed_parameters const&) = delete;
    ~listed_parameters() {
      if (gather) gather->end_list();
    }
  };

  /// Passes the walk's events on: gradients only when they are complete for the step, and where the list says when not
  /// before. Keeps messages moving.
  struct listener final : nn::pass_hooks {
    nn::pass_hooks* inner = nullptr;
    comm::communicator* ranks = nullptr;
    bool complete = false;
    nn::parameter const* open = nullptr;  // of the layer at work, for errors
    std::vector<int>* later = nullptr;    // entries whose gradients wait for the list
    std::vector<std::vector<int>> ready;  // such, by stage
    void gradient_ready(nn::parameter const& p) override {
      if (!complete) return;
      if (later) later->push_back(p.id);
      else inner->gradient_ready(p);
    }
    void poll() override {
      inner->poll();
      if (ranks->size() > 1) ranks->progress();
    }
    void open_values(nn::parameter& p, bool backward) override {
      if (!open) open = &p;
      inner->open_values(p, backward);
    }
    void close_values(nn::parameter& p) noexcept override {
      if (std::uncaught_exceptions() == 0) open = nullptr;
      inner->close_values(p);
    }
    void open_gradient(nn::parameter& p) override { inner->open_gradient(p); }
  };

  [[nodiscard]] std::size_t cell_number(index_t stage, index_t micro) const noexcept {
    return static_cast<std::size_t>(stage * layout_->schedule().micro_batches + micro);
  }
  [[nodiscard]] cell& at(index_t stage, index_t micro) {
    return cells_[static_cast<std::size_t>(index_[cell_number(stage, micro)])];
  }
  [[nodiscard]] bool here(index_t stage) const noexcept { return layout_->rank_of(stage) == ranks_->rank(); }
  [[nodiscard]] micro_batch const& micro(plan::action const& a) const noexcept {
    return share_->micro_batches()[static_cast<std::size_t>(a.micro_batch)];
  }
  /// Somebody wants the gradient of the stage's input.
  [[nodiscard]] bool wanted(index_t stage) const noexcept { return wanted_[static_cast<std::size_t>(stage)] != 0; }
  [[nodiscard]] extents shape_before(index_t stage, index_t rows) const {
    return nn::shape_units(*net_, input_.with_batch(rows), 0, layout_->begin(stage));
  }

  [[nodiscard]] pass_type pass_of(plan::action const& a) {
    auto const& m = micro(a);
    pass_type p = *base_;
    p.first_sample = share_->rows().begin + m.rows.begin;
    p.segments = m.segments;
    p.input_gradient = wanted(a.stage);
    // Weight work ascends: the last micro-batch completes the sums. Where each is exchanged, there is one stage, and
    // each completes its own.
    hooks_.complete = last(a) || each();
    hooks_.later = lists_reduction_ && !exchange_->every_micro_batch()
                       ? &hooks_.ready[static_cast<std::size_t>(a.stage)]
                       : nullptr;
    p.hooks = &hooks_;
    return p;
  }

  /// Every micro-batch is exchanged by itself: one stage, backward in one piece (plan::whole_gradients).
  [[nodiscard]] bool each() const noexcept {
    return exchange_->every_micro_batch() && layout_->schedule().micro_batches > 1;
  }
  [[nodiscard]] bool last(plan::action const& a) const noexcept {
    return a.micro_batch + 1 == layout_->schedule().micro_batches;
  }

  void carry_out(plan::action const& a) {
    index_t const begin = layout_->begin(a.stage), end = layout_->end(a.stage);
    switch (a.kind) {
      case kind::forward:
        return forward(a, begin, end);
      case kind::backward:
      case kind::backward_input:
      case kind::backward_weight:
        return backward(a, begin, end);
      case kind::send_activation:
        return send(a, at(a.stage, a.micro_batch).y, a.stage + 1);
      case kind::send_gradient:
        if (wanted(a.stage)) send(a, at(a.stage, a.micro_batch).dx, a.stage);
        return;
      case kind::receive_activation:
      case kind::receive_gradient:
        return;  // posted already; waited for where it is needed
      case kind::gather_parameters:
        for (int const b : buckets_of(a.stage)) gather_->hold(static_cast<std::size_t>(b));
        return;
      case kind::release_parameters:
        for (int const b : buckets_of(a.stage)) gather_->let_go(static_cast<std::size_t>(b));
        return;
      case kind::reduce_gradients:
        for (int const entry : hooks_.ready[static_cast<std::size_t>(a.stage)]) exchange_->entry_ready(entry);
    }
  }

  /// The buckets of a stage's sharded parameters, in the order in which forward meets them; none where they are not
  /// sharded.
  [[nodiscard]] std::vector<int> const& buckets_of(index_t stage) {
    if (buckets_.empty()) {
      buckets_.resize(static_cast<std::size_t>(layout_->count()));
      for (index_t s = 0; s < layout_->count(); ++s)
        nn::for_each_parameter_units(*net_, layout_->begin(s), layout_->end(s), [&](nn::parameter const& w) {
          if (!gather_) return;
          auto& mine = buckets_[static_cast<std::size_t>(s)];
          if (int const b = gather_->bucket_of(w); b >= 0 && std::find(mine.begin(), mine.end(), b) == mine.end())
            mine.push_back(b);
        });
    }
    return buckets_[static_cast<std::size_t>(stage)];
  }

  void forward(plan::action const& a, index_t begin, index_t end) {
    cell& c = at(a.stage, a.micro_batch);
    auto const p = pass_of(a);
    tensor_type x;
    if (a.stage == 0) {
      auto const mark = begin_mark();
      x = first_input_.rank() > 0 ? std::exchange(first_input_, tensor_type{}) : source_->input(micro(a));
      end_mark(mark, "input", "input", a.stage, a.micro_batch);
      if (ranks_->size() > 1 && x.shape() != input_.with_batch(x.batch()))
        throw error{"parallel::walk",
                    "the input of micro-batch " + std::to_string(a.micro_batch) + " has shape " +
                        x.shape().to_string() + ", the first one's was " + input_.to_string(),
                    "Every micro-batch of a step has samples of one shape"};
    } else {
      x = messages_.take(c.x, a);
    }
    auto mark = begin_mark();
    // Between stages activations travel whole; what leaves the last one stays where it lives along the tensor axis (a
    // loss may take it cut).
    auto y = along("tensor", [&] {
      auto made = c.work->forward(p, begin, end, recompute_, std::move(x));
      return a.stage + 1 == layout_->count() ? std::move(made) : nn::redistribute(p, std::move(made), {});
    });
    mark = end_mark(mark, "forward", "compute", a.stage, a.micro_batch);
    if (a.stage + 1 == layout_->count()) {
      c.dy.data = source_->loss(micro(a), std::move(y));
      end_mark(mark, "loss", "compute", a.stage, a.micro_batch);
    } else if (here(a.stage + 1)) {
      at(a.stage + 1, a.micro_batch).x.data = std::move(y);
    } else {
      c.y = std::move(y);
    }
  }

  void backward(plan::action const& a, index_t begin, index_t end) {
    cell& c = at(a.stage, a.micro_batch);
    bool const every = each();
    if (every) {
      exchange_->begin(*share_, a.micro_batch > 0, last(a));
      if (last(a) && a.stage + 1 == layout_->count())
        exchange_->entry_ready(static_cast<int>(memory_->entries().size()) - 1);
    }
    if (!wanted(a.stage + 1)) {  // nothing learns here nor below
      c.work->drop();
      c.dy.data = {};
      if (every && !last(a)) exchange_->finish();
      return;
    }
    auto const p = pass_of(a);
    for (auto& e : memory_->entries()) e.use.done = 0;
    if (a.kind == kind::backward_weight) {
      auto const mark = begin_mark();
      along("tensor", [&] { c.work->backward_weight(p, begin, end); });
      end_mark(mark, "backward_weight", "compute", a.stage, a.micro_batch);
      return;
    }
    auto dy = messages_.take(c.dy, a);
    auto const mark = begin_mark();
    bool const whole = a.kind == kind::backward;
    auto dx = along("tensor", [&] {
      return whole ? c.work->backward(p, begin, end, std::move(dy))
                   : c.work->backward_input(p, begin, end, std::move(dy));
    });
    end_mark(mark, whole ? "backward" : "backward_input", "compute", a.stage, a.micro_batch);
    if (every && !last(a)) exchange_->finish();
    if (a.stage == 0 || !wanted(a.stage)) return;
    if (here(a.stage - 1)) at(a.stage - 1, a.micro_batch).dy.data = std::move(dx);
    else c.dx = std::move(dx);
  }

  /// Posts the receives that stand before the work after the next one: they travel beside the next one.
  void post_receives(std::size_t from) {
    std::size_t works = plan::computes((*list_)[from].kind) ? 0 : 1;
    if (posted_ < from) posted_ = from;
    for (std::size_t i = from; i < list_->size(); ++i) {
      auto const& a = (*list_)[i];
      if (plan::computes(a.kind) && ++works > 1) break;
      if (i < posted_) continue;
      posted_ = i + 1;
      if (plan::receives(a.kind)) post(a);
    }
  }

  void post(plan::action const& a) {
    bool const gradient = a.kind == kind::receive_gradient;
    if (gradient && !wanted(a.peer)) return;
    cell& c = at(a.stage, a.micro_batch);
    messages_.post(gradient ? c.dy : c.x, a, shape_before(gradient ? a.stage + 1 : a.stage, micro(a).rows.size()));
  }
  /// \param before what leaves lies before this stage
  void send(plan::action const& a, tensor_type& from, index_t before) {
    messages_.send(a, from, shape_before(before, micro(a).rows.size()));
  }

  /// Communication along an axis: what goes wrong there names ranks of that axis.
  template <class F> decltype(auto) along(char const* axis, F&& f) const {
    try {
      return std::forward<F>(f)();
    } catch (error const& e) {
      throw along_axis(e, axis, place_.hybrid);
    }
  }

  /// After an error: lets go of everything. Requests that are open give up while the exception unwinds.
  void abandon() noexcept {
    try {
      messages_.abandon();
      for (auto& c : cells_) {
        messages::release(c.x);
        messages::release(c.dy);
        c.work->drop();
        c.y = c.dx = {};
      }
      first_input_ = {};
    } catch (...) {  // the first error is the one that counts
    }
  }

  // --- the trace
  // ---------------------------------------------------------------------------------------------------------------

  [[nodiscard]] std::int64_t begin_mark() const { return trace_ ? trace_->now() : 0; }
  std::int64_t end_mark(std::int64_t begun, char const* what, char const* category, index_t stage,
                        index_t micro) const {
    if (!trace_) return 0;
    if (category[0] == 'c') where_->fence();  // the work, not its launch
    auto const now = trace_->now();
    trace_->add({what, category, begun, now, static_cast<std::int32_t>(stage), static_cast<std::int32_t>(micro)});
    return now;
  }

  context<Space>* where_;
  comm::communicator* ranks_;
  network_type* net_;
  std::shared_ptr<stages const> layout_;
  plan::recompute_choice recompute_;
  step_place place_;
  std::vector<plan::action> const* list_;
  std::vector<std::int32_t> index_;  // (stage, micro-batch) → cell, or -1
  std::vector<cell> cells_;
  messages messages_;
  std::vector<std::vector<int>> buckets_;  // per stage, once a list has asked
  bool lists_parameters_ = false, lists_reduction_ = false;
  std::vector<char> wanted_;  // per stage: something learns below its first unit; last: anywhere
  std::size_t posted_ = 0;
  listener hooks_;
  tensor_type first_input_;
  extents input_;
  // for the time of a walk
  pass_type const* base_ = nullptr;
  share const* share_ = nullptr;
  source_ref<tensor_type> const* source_ = nullptr;
  exchange_type* exchange_ = nullptr;
  gather_type* gather_ = nullptr;  // where the list says when
  nn::arena<T, Space>* memory_ = nullptr;
  step_trace* trace_ = nullptr;
};

}  // namespace pleat::parallel
