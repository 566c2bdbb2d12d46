// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A network that lives somewhere: its memory, its ranks, its plan. The pieces that training is made of are its members.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <pleat/codec/dense.hpp>
#include <pleat/comm/world.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/nn/loss.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/parallel/built.hpp>
#include <pleat/parallel/gradient_exchange.hpp>
#include <pleat/parallel/parameter_gather.hpp>
#include <pleat/parallel/shard_group.hpp>
#include <pleat/parallel/sharded_norm.hpp>
#include <pleat/parallel/share.hpp>
#include <pleat/parallel/step_hooks.hpp>
#include <pleat/plan/plan.hpp>

namespace pleat::parallel {

struct build_options {
  std::uint64_t seed = 0;  ///< of initial values, dropout and everything else that is drawn
};

/// A move-only value: the network with its weights materialised on this rank. Every rank holds a replica and its share of each batch.
///
/// One step of training, as `run::fit` writes it:
///
///     model.zero_grad(batch_size);                                 // begins a step of so many samples, over all ranks
///     for (auto const& micro : model.share().micro_batches()) {    // usually one
///       auto [y, saved] = model.forward(x);                        // x: the samples at share().rows(), cut by micro.rows
///       auto loss = model.cross_entropy(y, labels);                // or any dy of one's own
///       model.backward(saved, loss.dy);
///     }
///     model.reduce();                                              // the sum of the gradients of all ranks
///     model.step(optimizer);
///
/// Forward-only use never instantiates a backward.
template <class Net> class model {
 public:
  using network_type = Net;
  using value_type = nn::value_type_of<Net>;
  using execution_space = nn::space_of<Net>;
  using tensor_type = tensor<value_type, execution_space>;
  using context_type = pleat::context<execution_space>;
  using arena_type = nn::arena<value_type, execution_space>;
  using saved = typename Net::saved;

  /// Materialises `net` on this rank. Collective. \see parallel::build
  model(Net net, plan::plan p, world& w, build_options options = {})
      : model(std::move(net), std::move(p), std::make_shared<context_type>(make_instance<execution_space>(w.threads)),
              std::make_shared<comm::communicator>(w.comm.duplicate()), options.seed) {
    agree_on_plan();
    group_ = std::make_shared<shard_group>(plan_, ranks_);
    arena_ = std::make_unique<arena_type>(*context_, net_, seed_, group_->over(plan_));
    make_gather();
  }

  model(model&&) noexcept = default;
  model& operator=(model&&) noexcept = default;

  [[nodiscard]] Net const& net() const noexcept { return net_; }
  [[nodiscard]] Net& net() noexcept { return net_; }
  [[nodiscard]] plan::plan const& plan() const noexcept { return plan_; }
  [[nodiscard]] arena_type& arena() noexcept { return *arena_; }
  [[nodiscard]] arena_type const& arena() const noexcept { return *arena_; }
  [[nodiscard]] context_type& context() const noexcept { return *context_; }
  /// Those that share the batch.
  [[nodiscard]] comm::communicator& ranks() const noexcept { return *ranks_; }
  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
  /// Optimizer steps done.
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }
  void set_steps(std::uint64_t n) noexcept { steps_ = n; }

  // --- one step of training -------------------------------------------------------------------------------------------------

  /// Begins a step over `batch` samples in all; decides this rank's share.
  void zero_grad(index_t batch) {
    static_assert(nn::has_backward<Net> || nn::has_split_backward<Net>, "pleat: this network cannot be trained: a layer lacks its backward");
    share_ = &share_for(batch);
    micro_ = 0;
    if (!exchange_) {
      arena_->reserve_gradients(net_, share_->slots(), plan::whole_gradients(plan_));
      exchange_ = std::make_unique<gradient_exchange<value_type, execution_space>>(*context_, *group_, *arena_, plan_);
    }
  }
  /// This rank's share of the step that zero_grad began.
  [[nodiscard]] parallel::share const& share() const noexcept { return *share_; }

  /// Forward of the current micro-batch.
  [[nodiscard]] nn::step<saved, tensor_type> forward(tensor_type x) const { return nn::call(training_pass(), net_, std::move(x)); }

  /// Mean cross entropy over the whole batch: dy, and this micro-batch's part of the loss into the step's sum.
  /// \param labels class of each row; a negative label counts as no sample
  [[nodiscard]] nn::loss_result<value_type, execution_space> cross_entropy(tensor_type const& y, tensor<std::int32_t, execution_space> const& labels) {
    auto r = nn::cross_entropy{}(training_pass(), y, labels);
    record_loss(r.rows);
    return r;
  }
  /// Mean square error over the whole batch.
  [[nodiscard]] nn::loss_result<value_type, execution_space> mean_square(tensor_type const& y, tensor_type const& target) {
    auto r = nn::mean_square{}(training_pass(), y, target);
    record_loss(r.rows);
    return r;
  }
  /// Adds losses of a kind of one's own to the step's sum: one number per row, divided by the global batch already.
  void record_loss(tensor_type const& rows) {
    auto const p = training_pass();
    for (auto const& s : p.segments) {
      auto lanes = s.lanes;
      if (exchange_->every_micro_batch() && micro_ > 0) lanes.accumulate = true;  // sums of gradients leave with every micro-batch, this one stays
      compute::column_sum(p.space(), 1, rows.data(), 1, arena_->loss(s.slot), lanes);
    }
    loss_recorded_ = true;
  }

  /// Backward of the current micro-batch, the last of which may send gradients while it runs.
  void backward(saved& s, tensor_type dy) {
    bool const last = micro_ + 1 == static_cast<index_t>(share_->micro_batches().size());
    for (auto& e : arena_->entries()) e.use.done = 0;
    auto p = training_pass();
    p.input_gradient = false;
    bool const every = exchange_->every_micro_batch();
    if (last || every) {
      exchange_->begin(*share_, every && micro_ > 0, last);
      p.hooks = hooks(exchange_.get());
      if (last && loss_recorded_) exchange_->entry_ready(static_cast<int>(arena_->entries().size()) - 1);
      if (last) loss_recorded_ = false;
    }
    (void)nn::call_backward(p, net_, s, std::move(dy));
    if (every && !last) exchange_->finish();
    ++micro_;
  }

  /// Completes the exchange: slot 0 of the gradients holds the sum over all ranks, divided by the global batch. Where state is sharded, the
  /// sums of this rank's pieces are where arena().owned_gradients says.
  void reduce() {
    region r("pleat::parallel::reduce");
    exchange_->finish();
  }

  /// The step's mean loss over the global batch, the same bits on every rank. Valid after reduce.
  [[nodiscard]] double loss() const {
    value_type v{};
    copy_to_host(*context_, tensor_type::wrap(arena_->loss(), extents{1}), &v);
    return static_cast<double>(v);
  }

  /// The 2-norm of the step's gradient. Valid after reduce. Collective where state is sharded; the same bits under every stage.
  [[nodiscard]] double gradient_norm() const { return parallel::gradient_norm(*context_, *group_, *arena_); }
  /// The factor that brings the norm down to max_norm: nn::clip_scale. Collective where state is sharded.
  [[nodiscard]] double clip_scale(double max_norm) const { return parallel::clip_scale(*context_, *group_, *arena_, max_norm); }

  /// Moves the parameters. `scale` multiplies the gradient (clipping). Collective where state is sharded: every rank moves its pieces, and
  /// at stages 1 and 2 passes each on while it moves the next.
  void step(nn::optimizer_state<value_type, execution_space>& optimizer, double learning_rate_factor = 1, double scale = 1) {
    region r("pleat::parallel::step");
    optimizer.begin_step(*context_, *arena_);
    for (std::size_t i = 0; i < arena_->pieces().size(); ++i) {
      optimizer.apply_piece(*context_, *arena_, i, learning_rate_factor, scale);
      if (gather_ && group_->stage < 3) gather_->send(i);
    }
    if (gather_) group_->stage < 3 ? gather_->finish() : gather_->forget();
    ++steps_;
  }

  // --- inference -------------------------------------------------------------------------------------------------------------

  [[nodiscard]] tensor_type predict(tensor_type x) const {
    nn::pass<execution_space> p;
    p.where = context_.get();
    p.seed = seed_;
    p.step = steps_;
    p.hooks = hooks(nullptr);
    return nn::call(p, net_, std::move(x)).y;
  }

  /// Diagnosis after a loss that is not finite (collective at stage 3): walks forward once more and throws with the name of the first layer whose output is not.
  void find_nonfinite(tensor_type x) const {
    auto p = training_pass();
    p.check_finite = true;
    if (group_->stage == 3) {  // a rank that has found something leaves: nobody may wait for it to gather
      auto const whole = unsharded();
      p.hooks = nullptr;
      (void)nn::call(p, whole.net_, std::move(x));
      return;
    }
    (void)nn::call(p, net_, std::move(x));
  }

  // --- as a value ------------------------------------------------------------------------------------------------------------

  /// The same network with the same values in memory of its own.
  [[nodiscard]] model clone() const { return rebuild(net_); }

  /// The same network with the same values under another way of sharding its state: of the plan, state_stage, state_ranks, prefetch and
  /// bucket_bytes may differ. Collective. The optimizer's state stays behind (a checkpoint takes it along).
  /// \throws error if the plan lays the step out otherwise
  [[nodiscard]] model replanned(plan::plan p) const {
    auto same = p;
    same.state_stage = plan_.state_stage, same.state_ranks = plan_.state_ranks, same.prefetch = plan_.prefetch, same.bucket_bytes = plan_.bucket_bytes;
    if (!(same == plan_)) throw error{"parallel::model::replanned", "the plans differ in more than how state is sharded:\n" + same.difference(plan_), "Save a checkpoint and build anew"};
    model m(net_, std::move(p), context_, ranks_, seed_);
    m.steps_ = steps_;
    m.group_ = std::make_shared<shard_group>(m.plan_, ranks_);
    m.arena_ = std::make_unique<arena_type>(arena_type::uninitialised(m.net_, m.group_->over(m.plan_)));
    m.make_gather();
    m.set_host_values(host_values());
    m.refresh_masks();
    return m;
  }
  /// The same model with every parameter whole on every rank: what evaluation, compression and model files need. Collective at stage 3.
  [[nodiscard]] model unsharded() const {
    auto p = plan_;
    p.state_stage = 0;
    return replanned(std::move(p));
  }
  /// \throws error if parameters are sharded, so that no rank can look at whole ones
  void demand_whole_parameters(char const* call) const {
    if (group_->stage == 3)
      throw error{call, "the parameters are sharded (state_stage = 3): no rank holds a whole one", "Give it model.unsharded(); model.replanned(plan) shards again"};
  }

  /// A model of another network over the same ranks: parameters of the same name keep their values, forms keep their content.
  template <class Other> [[nodiscard]] model<Other> rebuild(Other other) const {
    model<Other> m(std::move(other), plan_, context_, ranks_, seed_);
    m.steps_ = steps_;
    m.group_ = group_;
    m.arena_ = std::make_unique<typename model<Other>::arena_type>(model<Other>::arena_type::uninitialised(m.net_, group_->over(plan_)));
    m.make_gather();
    if (group_->stage == 3) {
      auto const from = host_values();
      std::vector<value_type> to(static_cast<std::size_t>(m.arena_->size()));
      for (auto const& e : m.arena_->entries())
        if (int const at = arena_->find(e.name); at >= 0) {
          auto const begin = from.begin() + arena_->entries()[static_cast<std::size_t>(at)].begin;
          std::copy(begin, begin + (e.end - e.begin), to.begin() + e.begin);
        }
      m.set_host_values(to);
      m.refresh_masks();
      return m;
    }
    for (auto const& e : m.arena_->entries()) {
      int const from = arena_->find(e.name);
      if (from >= 0) codec::detail::copy_values(*context_, static_cast<value_type const*>(arena_->values() + arena_->entries()[static_cast<std::size_t>(from)].begin),
                                                m.arena_->values() + e.begin, e.end - e.begin);
    }
    context_->fence();
    m.refresh_masks();
    return m;
  }

  /// Takes the parameter values of another model of this network; the optimizer's state stays.
  void take_values(model const& other) {
    codec::detail::copy_values(*context_, static_cast<value_type const*>(other.arena_->values()), arena_->values(), group_->stage == 3 ? arena_->owned() : arena_->size());
    context_->fence();
    values_changed();
  }

  /// All parameter values in the arena's flat order, on the host. Collective at stage 3.
  [[nodiscard]] std::vector<value_type> host_values() const {
    if (group_->stage == 3) return whole_of<value_type>(*context_, *group_, *arena_, arena_->values());
    std::vector<value_type> flat(static_cast<std::size_t>(arena_->size()));
    copy_to_host(*context_, tensor_type::wrap(arena_->values(), extents{arena_->size()}), flat.data());
    return flat;
  }
  /// Buffer i of the optimizer in the arena's flat order, on the host. Collective where state is sharded.
  [[nodiscard]] std::vector<nn::master_t<value_type>> host_state(int i) const {
    return whole_of<nn::master_t<value_type>>(*context_, *group_, *arena_, arena_->state(i));
  }
  /// Takes values in flat order: the same on every rank.
  void set_host_values(std::vector<value_type> const& flat) {
    if (group_->stage == 3) take_pieces(*context_, *arena_, flat, arena_->values());
    else copy_from_host(*context_, flat.data(), tensor_type::wrap(arena_->values(), extents{arena_->size()}));
    values_changed();
  }
  void set_host_state(int i, std::vector<nn::master_t<value_type>> const& flat) { take_pieces(*context_, *arena_, flat, arena_->state(i)); }

  /// Bytes that this rank has allocated for the model, by what they are for. plan::make_ledger foretells them.
  struct memory_use {
    index_t parameters = 0, gradients = 0, optimizer_state = 0;
    friend bool operator==(memory_use const&, memory_use const&) = default;
  };
  [[nodiscard]] memory_use memory() const noexcept {
    return {arena_->value_bytes() + (gather_ ? gather_->bytes() : 0), arena_->gradient_bytes() + (exchange_ ? exchange_->bytes() : 0), arena_->state_bytes()};
  }

  /// After a weight took another form or mask: tells the arena which elements stay zero.
  void refresh_masks() { arena_->attach(net_); }

  /// 64 bits of all parameter values: equal on all ranks as long as the replicas agree. Collective at stage 3.
  [[nodiscard]] std::uint64_t checksum() const {
    auto const host = host_values();
    return random::hash(std::string_view(reinterpret_cast<char const*>(host.data()), host.size() * sizeof(value_type)));
  }

  /// Collective. \throws error on every rank alike if some rank's parameters differ from rank 0's
  void demand_equal_replicas() const {
    auto const mine = checksum();
    std::vector<std::uint64_t> all(static_cast<std::size_t>(ranks_->size()));
    ranks_->all_gather(std::span<std::uint64_t const>(&mine, 1), std::span<std::uint64_t>(all));
    for (std::size_t r = 1; r < all.size(); ++r)
      if (all[r] != all[0])
        throw error{"parallel::demand_equal_replicas", "after step " + std::to_string(steps_) + " the parameters of rank " + std::to_string(r) +
                                                           " differ from those of rank 0", "Data or code differs between ranks; compare their inputs"};
  }

 private:
  template <class> friend class model;

  model(Net net, plan::plan p, std::shared_ptr<context_type> where, std::shared_ptr<comm::communicator> ranks, std::uint64_t seed)
      : net_(std::move(net)), plan_(std::move(p)), context_(std::move(where)), ranks_(std::move(ranks)), seed_(seed) {
    nn::demand_layer<Net>();
    plan_.check();
    demand_built(plan_);
    if (plan_.data_ranks != ranks_->size())
      throw error{"parallel::build", "the plan is for " + std::to_string(plan_.data_ranks) + " data ranks, the communicator has " + std::to_string(ranks_->size()),
                  "Make a plan for this world: plan::data_parallel(world, …)"};
  }

  void make_gather() {
    if (group_->stage == 0) return;
    gather_ = std::make_unique<parameter_gather<value_type, execution_space>>(*context_, *group_, *arena_, plan_.prefetch, buckets_of_a_layer(net_, arena_->layout().owner()));
    hooks_ = std::make_unique<step_hooks<value_type, execution_space>>();
    if (group_->stage == 3) hooks_->gather = gather_.get();
  }
  /// What a pass tells about itself: to the exchange, if there is one now, and to whoever gathers parameters.
  [[nodiscard]] nn::pass_hooks* hooks(gradient_exchange<value_type, execution_space>* exchange) const {
    if (!hooks_) return exchange;
    hooks_->exchange = exchange;
    return exchange || hooks_->gather ? hooks_.get() : nullptr;
  }
  void values_changed() {
    if (gather_ && group_->stage == 3) gather_->forget();
    arena_->widen(*context_);
  }

  void agree_on_plan() const {
    auto const mine = plan_.hash() ^ (seed_ * 0x9e3779b97f4a7c15u);
    std::vector<std::uint64_t> all(static_cast<std::size_t>(ranks_->size()));
    ranks_->all_gather(std::span<std::uint64_t const>(&mine, 1), std::span<std::uint64_t>(all));
    for (std::size_t r = 1; r < all.size(); ++r)
      if (all[r] != all[0])
        throw error{"parallel::build", "rank " + std::to_string(r) + " has another plan or seed than rank 0 (hash " + std::to_string(all[r]) + ", not " + std::to_string(all[0]) + ")",
                    "Give every rank the same options"}.on_rank(ranks_->rank());
  }

  [[nodiscard]] nn::pass<execution_space> training_pass() const {
    auto const& all = share_->micro_batches();
    auto const& m = all[std::min(static_cast<std::size_t>(micro_), all.size() - 1)];
    nn::pass<execution_space> p;
    p.where = context_.get();
    p.training = true;
    p.seed = seed_;
    p.step = steps_;
    p.first_sample = share_->rows().begin + m.rows.begin;
    p.global_batch = share_->batch();
    p.segments = m.segments;
    p.ranks = ranks_.get();
    p.deterministic = plan_.deterministic;
    p.hooks = hooks(nullptr);
    return p;
  }

  [[nodiscard]] parallel::share const& share_for(index_t batch) {
    for (auto const& s : shares_)
      if (s->batch() == batch) return *s;
    shares_.push_back(std::make_unique<parallel::share>(plan_, batch, ranks_->rank(), arena_->tied()));
    return *shares_.back();
  }

  Net net_;
  plan::plan plan_;
  std::shared_ptr<context_type> context_;
  std::shared_ptr<comm::communicator> ranks_;
  std::unique_ptr<arena_type> arena_;  // of fixed address: the exchange and the parameters point into it
  std::shared_ptr<shard_group> group_;
  std::unique_ptr<gradient_exchange<value_type, execution_space>> exchange_;
  std::unique_ptr<parameter_gather<value_type, execution_space>> gather_;  // null at stage 0
  std::unique_ptr<step_hooks<value_type, execution_space>> hooks_;
  std::vector<std::unique_ptr<parallel::share>> shares_;  // by batch size: a full one, the last one of an epoch
  parallel::share const* share_ = nullptr;
  index_t micro_ = 0;
  bool loss_recorded_ = false;
  std::uint64_t seed_ = 0, steps_ = 0;
};

/// Materialises a network on the ranks of a world, as the plan says: the same initial values on every number of ranks.
/// Collective. \throws error, on every rank alike, if the plans differ, do not fit the world, or two parameters share a name
template <class Net> [[nodiscard]] model<Net> build(Net net, plan::plan const& p, world& w, build_options options = {}) {
  return model<Net>(std::move(net), p, w, options);
}

}  // namespace pleat::parallel
