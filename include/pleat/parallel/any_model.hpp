// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A network that lives somewhere and can be trained and asked, whatever its type: the pieces that training is made of are its members. Compiled
/// once per element type and space.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/step_trace.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/comm/world.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/clip.hpp>
#include <pleat/nn/loss.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/parallel/agreement.hpp>
#include <pleat/parallel/built.hpp>
#include <pleat/parallel/coded_sum.hpp>
#include <pleat/parallel/forward_chain.hpp>
#include <pleat/parallel/gradient_exchange.hpp>
#include <pleat/parallel/groups.hpp>
#include <pleat/parallel/loss_scale.hpp>
#include <pleat/parallel/mesh_norm.hpp>
#include <pleat/parallel/move_report.hpp>
#include <pleat/parallel/network.hpp>
#include <pleat/parallel/nonfinite.hpp>
#include <pleat/parallel/parameter_gather.hpp>
#include <pleat/parallel/piece_step.hpp>
#include <pleat/parallel/pipeline.hpp>
#include <pleat/parallel/replica.hpp>
#include <pleat/parallel/shard_group.hpp>
#include <pleat/parallel/share.hpp>
#include <pleat/parallel/sharded_norm.hpp>
#include <pleat/parallel/source.hpp>
#include <pleat/parallel/stages.hpp>
#include <pleat/parallel/step_hooks.hpp>
#include <pleat/parallel/step_words.hpp>
#include <pleat/parallel/tensor_sums.hpp>
#include <pleat/parallel/tied.hpp>
#include <pleat/plan/plan.hpp>

namespace pleat::parallel {

/// What a network becomes a model with, apart from the plan.
struct build_options {
  std::uint64_t seed = 0;  ///< of initial values, dropout and everything else that is drawn
  extents input{};         ///< of a batch; where a pipeline is cut by cost, the cost is flops then, else the number of parameters
  std::vector<double> unit_costs{};          ///< what each unit costs, where a pipeline is cut by cost: measured (parallel::measure_units) or one's own; empty: as `input` says
  std::optional<plan::schedule> schedule{};  ///< of one's own: the one that the plan names (parallel::name_of)
  loss_scale_options loss_scale{};           ///< of precision = f16; others have none
  gradient_coding gradients{};               ///< what gradients travel in: parallel::coded(codec) of parallel/coded_exchange.hpp; empty: as they are
};

/// Which ranks of a pipeline get an answer.
enum class answer_at : std::uint8_t { every_stage, last_stage };

/// Bytes that a rank has allocated for a model, by what they are for. plan::make_ledger foretells them.
struct memory_use {
  index_t parameters = 0, gradients = 0, optimizer_state = 0;
  friend bool operator==(memory_use const&, memory_use const&) = default;
};

namespace detail {
/// The first base of what is assigned to: what travels to memory that is about to go ends first.
template <class Model> struct ends_travel {
  ends_travel() = default;
  ends_travel(ends_travel&&) noexcept {}
  ends_travel& operator=(ends_travel&& from) noexcept {
    if (this != &from) static_cast<Model*>(this)->end_travel();
    return *this;
  }
};
}  // namespace detail

/// A move-only value: what every model<Net> is, and all that needs no Net. The ranks of the data axis each hold a replica and a share of each
/// batch; the ranks of the pipeline axis each hold some stages, and the parameters of the others are absent. Made by parallel::build alone.
///
/// One step of training under any plan, as `run::fit` writes it:
///
///     model.zero_grad(batch_size);    // begins a step of so many samples, over all ranks
///     model.walk(source);             // all micro-batches forward and backward, as the plan's schedule says (parallel/source.hpp)
///     model.reduce();                 // the sum of the gradients of all ranks
///     model.step(optimizer);
template <class T, class Space> class any_model : detail::ends_travel<any_model<T, Space>>, public replica<T, Space> {
  using base = replica<T, Space>;
  /// \cond
  friend detail::ends_travel<any_model<T, Space>>;
  /// \endcond

 public:
  using typename base::arena_type, typename base::context_type, typename base::execution_space, typename base::network_base, typename base::tensor_type, typename base::value_type;
  using master_type = nn::master_t<value_type>;
  using optimizer_type = nn::optimizer_state<value_type, execution_space>;
  using base::all_ranks, base::has_first_stage, base::has_last_stage, base::host_values, base::parts, base::pipeline, base::refresh_masks, base::set_host_values;

  any_model(any_model&&) noexcept;
  any_model& operator=(any_model&&) noexcept;
  ~any_model();

  /// The network as it is asked by those who need not know its type: its parameters show values and gradients. Waits for what travels to both.
  [[nodiscard]] network_base const& any_net() const { return settle(), *network_; }
  [[nodiscard]] network_base& any_net() { return settle(), *network_; }
  /// The flat memory. Waits for what travels to it.
  [[nodiscard]] arena_type& arena() { return settle(), *arena_; }
  [[nodiscard]] arena_type const& arena() const { return settle(), *arena_; }
  /// Waits for all that travels for this model: between reduce and step sums of gradients, after step parameters (state stages 1 and 2) on
  /// their way to the next forward. Whatever shows them waits by itself; whoever kept a pointer into the model calls this first.
  /// \throws error as reduce and step do
  void settle() const {
    receive_gradients();
    receive_values();
  }

  /// A tensor of this model, whole on every rank of the tensor axis: what a loss of one's own asks for, if scores may come cut. Collective
  /// where it is cut.
  [[nodiscard]] tensor_type whole(tensor_type y) const;

  // --- one step of training -------------------------------------------------------------------------------------------------

  /// Begins a step over `batch` samples in all; decides this rank's share, and tells the other ranks. Collective; waits for nothing but
  /// gradients of a step before that nobody took.
  void zero_grad(index_t batch);
  /// This rank's share of the step that zero_grad began.
  [[nodiscard]] parallel::share const& share() const noexcept { return *share_; }

  /// All micro-batches forward and backward, as the plan's schedule says. \see parallel/source.hpp
  /// \throws error on every rank alike if the ranks are not at the same step with the same batch and the same parameters to learn; else on the
  ///         rank that sees it, with the step and what was being done
  template <class Source> void walk(Source&& source) {
    demand_source<std::remove_reference_t<Source>, tensor_type>();
    walk_over(source_ref<tensor_type>(source));
  }

  /// Mean cross entropy over the whole batch: dy, and this micro-batch's part of the loss into the step's sum.
  /// \param labels class of each row; a negative label counts as no sample
  [[nodiscard]] nn::loss_result<value_type, execution_space> cross_entropy(tensor_type const& y, tensor<std::int32_t, execution_space> const& labels);
  /// Mean square error over the whole batch.
  [[nodiscard]] nn::loss_result<value_type, execution_space> mean_square(tensor_type const& y, tensor_type const& target);
  /// The loss scale of a network of half, null for others. A loss of one's own multiplies its dy by `loss_factor()`, in float.
  [[nodiscard]] parallel::loss_scale const* scaling() const noexcept { return scale_ ? &*scale_ : nullptr; }
  [[nodiscard]] parallel::loss_scale* scaling() noexcept { return scale_ ? &*scale_ : nullptr; }
  /// What gradients are multiplied by until step divides them: the loss scale, or 1.
  [[nodiscard]] double loss_factor() const noexcept { return scale_ ? scale_->value() : 1.0; }
  /// Adds losses of a kind of one's own to the step's sum: one number per row, divided by the global batch already.
  void record_loss(tensor<master_type, execution_space> const& rows);

  /// Completes the exchange: slot 0 of the gradients holds the sum over all ranks, divided by the global batch. Where state is sharded, the
  /// sums of this rank's pieces are where arena().owned_gradients says. Over the data axis alone, and without a loss scale, the last ones may
  /// still travel when this returns: step moves what has come, and whatever else shows gradients waits for them.
  void reduce();

  /// The step's mean loss over the global batch, the same bits on every rank. Valid after reduce.
  [[nodiscard]] double loss() const;

  /// The 2-norm of the step's gradient. Valid after reduce. Collective where state is sharded and over a pipeline; the same bits however
  /// state is sharded and wherever the pipeline is cut.
  [[nodiscard]] double gradient_norm() const;
  /// The factor that brings the norm down to max_norm: nn::clip_factor. Collective as gradient_norm is.
  [[nodiscard]] double clip_scale(double max_norm) const { return nn::clip_factor(gradient_norm(), max_norm); }

  /// Moves the parameters, those first whose gradients have come. `scale` multiplies the gradient (clipping). Collective where state is
  /// sharded: every rank moves its pieces, and at stages 1 and 2 passes each on while it moves the next; they travel on beside the next
  /// forward, each layer of which waits for its own. A network of half agrees first, over all ranks, whether the gradient is finite; if it is
  /// not, no rank moves anything and the loss scale shrinks. An error may leave some parameters moved and others not.
  /// \returns false for such a step
  bool step(optimizer_type& optimizer, double learning_rate_factor = 1, double scale = 1);

  /// What this rank did when, while it is on: trace().start() before a step. Nothing travels where it begins and where it ends: asking for it
  /// settles the model. \see parallel/trace.hpp
  [[nodiscard]] step_trace& trace() { return settle(), *trace_; }
  [[nodiscard]] step_trace const& trace() const noexcept { return *trace_; }

  // --- inference -------------------------------------------------------------------------------------------------------------

  /// Over a pipeline: collective among its ranks; every rank gives x of the same shape, the first stage's is looked at.
  /// \param at who gets the answer; elsewhere it is an empty tensor
  /// \param inputs hears what the weights of this rank's stages multiply with
  [[nodiscard]] tensor_type predict(tensor_type x, answer_at at = answer_at::every_stage, nn::input_listener* inputs = nullptr) const;

  /// Diagnosis after a loss that is not finite: walks forward once more, over the samples of one micro-batch. Collective. \throws error on every
  /// rank alike with the first layer whose output is not finite, and the rank that saw it
  void find_nonfinite(tensor_type x) const;

  /// The same over every micro-batch of the step that was walked last. \param source that step's: its inputs are asked for once more
  template <class Source> requires requires(Source& s, micro_batch const& m) { s.input(m); }
  void find_nonfinite(Source& source) {
    find_nonfinite_among([&](micro_batch const& m) -> tensor_type { return source.input(m); });
  }

  // --- as a value ------------------------------------------------------------------------------------------------------------

  /// The same network with the same values in memory of its own.
  [[nodiscard]] any_model clone() const { return rebuilt(this->network_->clone()); }
  /// The same network with the same values under another way of sharding its state: of the plan, state_stage, state_ranks, prefetch and
  /// bucket_bytes may differ. Collective. The optimizer's state stays behind (a checkpoint takes it along).
  /// \throws error if the plan lays the step out otherwise
  [[nodiscard, gnu::cold]] any_model replanned(plan::plan p) const;
  /// The same model with every parameter whole on every rank: what evaluation, compression and model files need. Collective at stage 3.
  [[nodiscard, gnu::cold]] any_model unsharded() const;

  /// What this rank has not sent yet of its gradients, in the arena's flat order on the host: what codecs keep. Every rank has its own. A
  /// checkpoint takes it along, clones and rebuilt models begin with zeros.
  [[nodiscard]] std::vector<master_type> gradient_residual() const;
  /// What is given to a gradient that does not travel in a codec is added to the next step's. \throws error for another number of elements
  void set_gradient_residual(std::vector<master_type> flat);
  /// Whether gradient_residual() may be more than zeros.
  [[nodiscard]] bool keeps_gradient_residual() const noexcept {
    return (coding_.error_feedback() && ranks_->size() > 1) || (exchange_ ? exchange_->has_unsent() : !first_residual_.empty());
  }
  /// The codec of gradients in words; nothing where they travel as they are.
  [[nodiscard]] std::string gradient_words() const { return ranks_->size() > 1 ? coding_.words() : std::string(); }

  /// What a gradient codec itself keeps from one step to the next, by parameter; the same on every rank.
  struct codec_memory {
    std::map<std::string, std::vector<master_type>> values{};
    std::uint64_t steps = 0;
  };
  [[nodiscard]] codec_memory gradient_codec_memory() const;
  /// Of parameters that it does not name, and those of other extents, the codec begins anew.
  void set_gradient_codec_memory(codec_memory all);

  [[nodiscard]] memory_use memory() const noexcept {
    return {arena_->value_bytes() + (gather_ ? gather_->bytes() : 0), arena_->gradient_bytes() + (exchange_ ? exchange_->bytes() : 0), arena_->state_bytes()};
  }

 protected:
  using base::agree_on_plan, base::receive_values, base::tensor_axis, base::ties;
  using base::arena_, base::context_, base::gather_, base::group_, base::groups_, base::layout_, base::moves_, base::network_, base::plan_, base::ranks_, base::seed_, base::steps_;

  /// The ranks of the mesh, and which of them holds what.
  struct place_of_model {
    std::shared_ptr<parallel::groups> mesh;
    std::shared_ptr<stages const> layout;
  };
  /// Collective. \param costs of the network's units \throws error on every rank alike
  [[nodiscard, gnu::cold]] static place_of_model laid_out(std::function<std::vector<double>()> const& costs, plan::plan const& p, world& w, build_options const& options);
  /// Materialises a network on this rank. Collective. \see parallel::build
  [[gnu::cold]] any_model(place_of_model at, std::unique_ptr<network_base> net, plan::plan p, world& w, build_options options);
  /// A model of another network over the same ranks: parameters of the same name keep their values, forms keep their content.
  [[nodiscard, gnu::cold]] any_model rebuilt(std::unique_ptr<network_base> other) const;

  [[nodiscard]] nn::pass<execution_space> training_pass() const;
  void demand_one_stage(char const* call) const;
  /// Learns what every other rank is about to, so that ranks that went apart hear of it instead of waiting for each other. Once per step.
  extents settle_agreement() const;
  /// The same, before a phase of the step.
  void settle_agreement(char const* call, char const* phase) const;
  /// Forward communicates: nothing may before all agree.
  [[nodiscard]] bool communicates_at_once() const noexcept { return tensor_axis() || group_->stage == 3; }
  [[nodiscard]] step_trace* tracing() const noexcept { return trace_->on() ? trace_.get() : nullptr; }
  /// Of a loop that is written out: before and after the current micro-batch goes backward. \returns the pass
  [[nodiscard]] nn::pass<execution_space> begin_backward();
  void end_backward();
  /// A walk of a written-out loop as errors and the trace show it: the work, not its launch.
  template <class F> [[nodiscard]] auto in_walk(char const* call, char const* what, F&& f) const {
    return in_phase(place_, steps_, call, what, [&] {
      scoped_span const span(tracing(), what, "compute", 0, micro_);
      auto result = f();
      if (trace_->on()) context_->fence();
      return result;
    });
  }

  std::unique_ptr<plan::recompute_choice const> recomputes_;  // what is held between forward and backward points to it

 private:
  using pipeline_type = parallel::pipeline<value_type, execution_space>;
  using exchange_type = gradient_exchange<value_type, execution_space>;
  using hooks_type = step_hooks<value_type, execution_space>;

  any_model(std::unique_ptr<network_base> net, plan::plan p, std::shared_ptr<context_type> where, std::shared_ptr<groups> ranks, std::shared_ptr<stages const> layout, std::uint64_t seed);

  /// What reduce has left on its way.
  void receive_gradients() const {
    if (exchange_ && exchange_->arriving()) in_phase(place_, steps_, "parallel::reduce", "reduce", [&] { exchange_->finish(); });
  }
  void end_travel() noexcept {
    agreement_.reset();
    pipeline_.reset();
    exchange_.reset();
    gather_.reset();
  }

  void walk_over(source_ref<tensor_type> source);
  void find_nonfinite_among(std::function<tensor_type(micro_batch const&)> const& input);
  [[nodiscard]] double own_loss() const;

  /// The user's source, asked with the micro-batch known to the model: cross_entropy and its like belong to it.
  struct step_source {
    any_model* self;
    source_ref<tensor_type> source;
    [[nodiscard]] tensor_type input(micro_batch const& m) { return source.input(m); }
    [[nodiscard]] tensor_type loss(micro_batch const& m, tensor_type y);
  };

  /// One walk forward as the step made it. Collective where ranks share layers.
  [[nodiscard]] nn::nonfinite_note look_for_nonfinite(tensor_type x) const;
  /// A walk of each rank by itself, or of stages that hand on what goes wrong: what one rank throws, all throw. Where ranks wait for each other
  /// inside of layers, it is thrown at once.
  template <class Walk> [[nodiscard]] nn::nonfinite_note seen_by_all(Walk&& walk) const {
    nn::nonfinite_note note;
    comm::attempts one(parts().size() > 1 || group_->stage == 3);
    one([&] { note = walk(); });
    one.meet(all_ranks());
    return note;
  }
  /// x of the first stage's rank, there; a tensor of the same shape on the other stages. Collective over the pipeline.
  [[nodiscard]] tensor_type everywhere_shaped(tensor_type x) const;

  /// Says what this rank is about to contribute to the step.
  void open_agreement(extents const& sample = {});
  /// Over a pipeline: the first micro-batch is asked for before, since the other stages' buffers follow from its shape.
  template <class First> [[nodiscard]] extents agree_on_input(First&& first);

  /// Second halves of coded gradients may not take turns with first ones: which comes first differs between ranks.
  void open_second_halves();
  void make_gather();
  /// What a pass tells about itself: to the exchange, if there is one now, and to whoever gathers parameters.
  [[nodiscard]] nn::pass_hooks* hooks(exchange_type* exchange) const;
  [[nodiscard]] parallel::share const& share_for(index_t batch);

  gradient_coding coding_;
  std::vector<master_type> first_residual_;  // set before there was an exchange
  codec_memory first_memory_;
  std::unique_ptr<exchange_type> exchange_;
  std::unique_ptr<hooks_type> hooks_;
  std::unique_ptr<pipeline_type> pipeline_;
  std::unique_ptr<hooks_type> walk_hooks_;
  std::optional<tied_sums<value_type, execution_space>> ties_;
  std::optional<double> loss_;  // of the last stage, over a pipeline
  std::unique_ptr<network_agreement> agreement_;
  step_place place_;
  std::unique_ptr<step_trace> trace_ = std::make_unique<step_trace>();  // whoever shows spans in it has a pointer
  std::vector<std::unique_ptr<parallel::share>> shares_;  // by batch size: a full one, the last one of an epoch
  parallel::share const* share_ = nullptr;
  std::vector<char> moved_;  // of piece_step
  index_t micro_ = 0;
  bool loss_recorded_ = false;
  std::optional<parallel::loss_scale> scale_;  // of half
};

// --- making one ----------------------------------------------------------------------------------------------------------------

template <class T, class Space> any_model<T, Space>::any_model(any_model&&) noexcept = default;
template <class T, class Space> any_model<T, Space>& any_model<T, Space>::operator=(any_model&&) noexcept = default;
template <class T, class Space> any_model<T, Space>::~any_model() = default;

template <class T, class Space> auto any_model<T, Space>::laid_out(std::function<std::vector<double>()> const& costs, plan::plan const& p, world& w, build_options const& options) -> place_of_model {
  place_of_model at{groups::make(p, w.comm), {}};
  comm::all_or_none(w.comm, [&] { at.layout = std::make_shared<stages const>(p, costs(), options.schedule); });  // costs and schedules are each rank's own
  return at;
}

template <class T, class Space>
any_model<T, Space>::any_model(std::unique_ptr<network_base> net, plan::plan p, std::shared_ptr<context_type> where, std::shared_ptr<groups> ranks, std::shared_ptr<stages const> layout, std::uint64_t seed)
    : base(std::move(net), std::move(p), std::move(where), std::move(ranks), std::move(layout), seed) {
  demand_precision(plan_, dtype_of<value_type>);
  if (plan_.precision == plan::compute_precision::f16) scale_.emplace();
  layout_->mark_absent(*network_, pipeline().rank());
  network_->cut(*context_, parts().rank(), parts().size());
  place_ = {all_ranks().size() > 1, groups_->hybrid(), all_ranks().rank()};
  recomputes_ = std::make_unique<plan::recompute_choice const>(plan_.recomputes());
}

template <class T, class Space>
any_model<T, Space>::any_model(place_of_model at, std::unique_ptr<network_base> net, plan::plan p, world& w, build_options options)
    : any_model(std::move(net), std::move(p), std::make_shared<context_type>(make_instance<execution_space>(w.threads)), std::move(at.mesh), std::move(at.layout), options.seed) {
  if (scale_) scale_.emplace(options.loss_scale);
  else if (!(options.loss_scale == loss_scale_options{}))
    throw error{"parallel::build", "a rule for the loss scale is given, but precision = " + std::string(plan::name_of(plan_.precision)) + " has none: only f16 scales its loss",
                "Leave .loss_scale out, or use precision = f16"};
  coding_ = std::move(options.gradients);
  agree_on_plan((coding_ ? random::hash(coding_.words()) : 0) ^ (options.unit_costs.empty() ? 0 : random::hash(layout_->to_string())));
  demand_codable(plan_, coding_);
  if (tensor_axis()) moves_ = std::make_shared<move_report>(w.voice());
  group_ = std::make_shared<shard_group>(plan_, ranks_);
  arena_ = std::make_unique<arena_type>(*context_, *network_, seed_, group_->over(plan_), ties());
  make_gather();
  open_second_halves();
  if (auto const words = words_of_bypass(*arena_, coding_, ranks_->size()); !words.empty())
    if (auto const voice = w.voice()) voice(words);
}

template <class T, class Space> auto any_model<T, Space>::replanned(plan::plan p) const -> any_model {
  auto same = p;
  same.state_stage = plan_.state_stage, same.state_ranks = plan_.state_ranks, same.prefetch = plan_.prefetch, same.bucket_bytes = plan_.bucket_bytes;
  if (!(same == plan_)) throw error{"parallel::model::replanned", "the plans differ in more than how state is sharded:\n" + same.difference(plan_), "Save a checkpoint and build anew"};
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
  p.state_stage = 0, p.state_ranks = 0;
  return replanned(std::move(p));
}

template <class T, class Space> auto any_model<T, Space>::rebuilt(std::unique_ptr<network_base> other) const -> any_model {
  auto layout = std::make_shared<stages const>(layout_->of_other_units(other->units()));
  any_model m(std::move(other), plan_, context_, groups_, std::move(layout), seed_);
  m.steps_ = steps_;
  m.scale_ = scale_;
  m.group_ = group_;
  m.coding_ = coding_;
  m.moves_ = moves_;
  m.arena_ = std::make_unique<arena_type>(arena_type::uninitialised(*m.network_, group_->over(plan_), m.ties()));
  m.make_gather();
  m.take_named(*this);
  m.refresh_masks();
  return m;
}

template <class T, class Space> void any_model<T, Space>::open_second_halves() {
  if (coding_.two_halves() && ranks_->size() > 1) group_->second_halves = std::make_shared<comm::communicator>(ranks_->duplicate());
}

template <class T, class Space> void any_model<T, Space>::make_gather() {
  if (group_->stage == 0) return;
  gather_ = std::make_unique<parameter_gather<value_type, execution_space>>(*context_, *group_, *arena_, plan_.prefetch, network_->buckets_of_a_layer(*arena_), place_.hybrid, trace_.get());
  hooks_ = std::make_unique<hooks_type>();
  hooks_->gather = gather_.get();
}

// --- a step --------------------------------------------------------------------------------------------------------------------

template <class T, class Space> auto any_model<T, Space>::whole(tensor_type y) const -> tensor_type { return nn::redistribute(training_pass(), std::move(y), {}); }

template <class T, class Space> void any_model<T, Space>::zero_grad(index_t batch) {
  receive_gradients();
  share_ = &share_for(batch);
  micro_ = 0;
  if (!exchange_) {
    arena_->reserve_gradients(*network_, share_->slots(), plan::whole_gradients(plan_));
    exchange_ = std::make_unique<exchange_type>(*context_, *group_, *arena_, plan_, place_.hybrid, coding_, trace_.get());
    if (!first_residual_.empty()) exchange_->set_residual(std::exchange(first_residual_, {}));
    if (!first_memory_.values.empty()) set_gradient_codec_memory(std::exchange(first_memory_, {}));
  }
  if (pipeline().size() == 1) open_agreement();
}

template <class T, class Space> void any_model<T, Space>::walk_over(source_ref<tensor_type> source) {
  region r("pleat::parallel::walk");
  if (!pipeline_) pipeline_ = std::make_unique<pipeline_type>(*context_, pipeline(), *network_, layout_, *recomputes_, place_);
  step_source asked{this, source};
  micro_ = 0;
  extents input;
  if (pipeline().size() > 1) input = in_phase(place_, steps_, "parallel::walk", "the first input", [&] { return agree_on_input([&] { return asked.input(share_->micro_batches().front()); }); });
  else if (communicates_at_once()) settle_agreement("parallel::walk", "at its beginning");
  bool const each = exchange_->every_micro_batch() && plan_.micro_batches > 1;
  if (!each) exchange_->begin(*share_);
  if (!walk_hooks_) walk_hooks_ = std::make_unique<hooks_type>();
  walk_hooks_->exchange = exchange_.get();
  walk_hooks_->gather = gather_.get();
  pipeline_->run(training_pass(), *share_, input, source_ref<tensor_type>(asked), *exchange_, *walk_hooks_, group_->stage == 3 ? gather_.get() : nullptr, *arena_, tracing());
  micro_ = plan_.micro_batches;
}

template <class T, class Space> auto any_model<T, Space>::step_source::loss(micro_batch const& m, tensor_type y) -> tensor_type {
  self->micro_ = m.index;
  if (m.index == 0) (void)self->settle_agreement();  // it has travelled beside the first forward; gradients have not been sent yet
  tensor_type dy = source.loss(m, std::move(y));
  if (m.index + 1 < self->plan_.micro_batches) return dy;
  if (!std::exchange(self->loss_recorded_, false))
    for (int s = 0; s < self->share_->slots(); ++s) compute::fill(self->context_->space(), 1, master_type(0), self->arena_->loss(s));
  if (!self->exchange_->every_micro_batch() || self->plan_.micro_batches == 1) self->exchange_->entry_ready(static_cast<int>(self->arena_->entries().size()) - 1);
  return dy;
}

template <class T, class Space> auto any_model<T, Space>::cross_entropy(tensor_type const& y, tensor<std::int32_t, execution_space> const& labels) -> nn::loss_result<value_type, execution_space> {
  auto r = nn::cross_entropy{}(training_pass(), y, labels);
  record_loss(r.rows);
  return r;
}
template <class T, class Space> auto any_model<T, Space>::mean_square(tensor_type const& y, tensor_type const& target) -> nn::loss_result<value_type, execution_space> {
  auto r = nn::mean_square{}(training_pass(), y, target);
  record_loss(r.rows);
  return r;
}
template <class T, class Space> void any_model<T, Space>::record_loss(tensor<master_type, execution_space> const& rows) {
  auto const p = training_pass();
  for (auto const& s : p.segments) {
    auto lanes = s.lanes;
    if (exchange_->every_micro_batch() && micro_ > 0) lanes.accumulate = true;  // sums of gradients leave with every micro-batch, this one stays
    compute::column_sum(p.space(), 1, static_cast<master_type const*>(rows.data()), 1, arena_->loss(s.slot), lanes);
  }
  loss_recorded_ = true;
}

template <class T, class Space> auto any_model<T, Space>::begin_backward() -> nn::pass<execution_space> {
  demand_one_stage("backward");
  settle_agreement("parallel::backward", "backward");
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
  return p;
}
template <class T, class Space> void any_model<T, Space>::end_backward() {
  bool const last = micro_ + 1 == static_cast<index_t>(share_->micro_batches().size());
  if (exchange_->every_micro_batch() && !last) in_phase(place_, steps_, "parallel::backward", "backward", [&] { exchange_->finish(); });
  ++micro_;
}

template <class T, class Space> void any_model<T, Space>::reduce() {
  region r("pleat::parallel::reduce");
  scoped_span const span(tracing(), "reduce", "communication");
  if (!share_ || micro_ != static_cast<index_t>(share_->micro_batches().size()))
    throw error{"parallel::reduce", "in step " + std::to_string(steps_) + " " + std::to_string(micro_) + " of " + std::to_string(plan_.micro_batches) + " micro-batches have gone backward",
                "Call backward for each of share().micro_batches(), or walk(source)", place_.rank};
  in_phase(place_, steps_, "parallel::reduce", "reduce", [&] {
    exchange_->close();
    if (!ties_) ties_.emplace(*network_, *layout_, *arena_);
    bool const tied = !ties_->empty() && ties() == nn::tied_gradients::apart;
    if (plan_.overlap && ranks_->size() > 1 && exchange_->agreed() && !exchange_->in_two_halves() && parts().size() == 1 && pipeline().size() == 1 && !tied && !scale_) return;
    exchange_->finish();
    {
      scoped_span const addends(parts().size() > 1 ? tracing() : nullptr, "all_reduce", "communication");
      sum_addends(*context_, parts(), plan_.deterministic, *arena_);
    }
    if (tied) {
      scoped_span const sums(pipeline().size() > 1 ? tracing() : nullptr, "tied weights", "communication");
      ties_->sum(*context_, pipeline(), *group_, *arena_);
    }
    if (pipeline().size() > 1) {
      scoped_span const loss(tracing(), "wait for the loss", "waiting");
      loss_ = pipeline().broadcast_value(own_loss(), layout_->last_rank());
    }
  });
}

template <class T, class Space> double any_model<T, Space>::loss() const {
  if (loss_) return *loss_;
  if (exchange_ && exchange_->arriving()) in_phase(place_, steps_, "parallel::reduce", "reduce", [&] { exchange_->wait_for(static_cast<std::size_t>(arena_->layout().owner().back())); });
  return own_loss();
}

template <class T, class Space> double any_model<T, Space>::gradient_norm() const {
  return in_phase(place_, steps_, "parallel::gradient_norm", "the norm of the gradient", [&] {
    scoped_span const span(tracing(), "gradient norm", "compute");
    return parallel::gradient_norm(*context_, *groups_, *group_, *arena_, exchange_.get()) / loss_factor();
  });
}

template <class T, class Space> bool any_model<T, Space>::step(optimizer_type& optimizer, double learning_rate_factor, double scale) {
  region r("pleat::parallel::step");
  scoped_span const span(tracing(), "optimizer", "compute");
  scale /= loss_factor();
  if (exchange_) in_phase(place_, steps_, "parallel::reduce", "reduce", [&] { exchange_->demand_whole(); });
  receive_values();  // of layers that no forward has asked for
  bool const moves = in_phase(place_, steps_, "parallel::step", "the optimizer's step", [&] {
    if (scale_ && !scale_->update(found_nonfinite(*context_, *arena_), all_ranks())) return false;
    optimizer.begin_step(*context_, *arena_);
    return true;
  });
  if (moves) piece_step<value_type, execution_space>(*context_, *arena_, exchange_.get(), gather_.get(), plan_.overlap).run(optimizer, learning_rate_factor, scale, moved_, place_, steps_);
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
  auto const& all = share_->micro_batches();
  auto const& m = all[std::min(static_cast<std::size_t>(micro_), all.size() - 1)];
  nn::pass<execution_space> p;
  p.where = context_.get();
  p.training = true;
  p.seed = seed_;
  p.step = steps_;
  p.first_sample = share_->rows().begin + m.rows.begin;
  p.global_batch = share_->batch();
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
  shares_.push_back(std::make_unique<parallel::share>(plan_, batch, ranks_->rank(), arena_->tied()));
  return *shares_.back();
}

template <class T, class Space> void any_model<T, Space>::demand_one_stage(char const* call) const {
  if (layout_->count() > 1) throw error{std::string("parallel::model::") + call, "this model has " + std::to_string(layout_->count()) + " stages", "Use model.walk(source)"};
}

// --- agreements ----------------------------------------------------------------------------------------------------------------

template <class T, class Space> void any_model<T, Space>::open_agreement(extents const& sample) {
  if (all_ranks().size() == 1) return;
  if (!agreement_) agreement_ = std::make_unique<network_agreement>(groups_->agreement);
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

// --- answers -------------------------------------------------------------------------------------------------------------------

template <class T, class Space> auto any_model<T, Space>::predict(tensor_type x, answer_at at, nn::input_listener* inputs) const -> tensor_type {
  nn::pass<execution_space> p;
  p.where = context_.get();
  p.seed = seed_;
  p.step = steps_;
  p.hooks = hooks(nullptr);
  p.tensor = tensor_axis();
  p.moves = moves_.get();
  p.inputs = inputs;
  p.deterministic = plan_.deterministic;
  if (layout_->count() == 1) return nn::redistribute(p, network_->answer(p, std::move(x)), {});
  return forward_chain(p, *network_, *layout_, pipeline(), std::move(x), at == answer_at::every_stage);
}

template <class T, class Space> void any_model<T, Space>::find_nonfinite(tensor_type x) const { demand_finite(seen_by_all([&] { return look_for_nonfinite(std::move(x)); }), all_ranks()); }

template <class T, class Space> void any_model<T, Space>::find_nonfinite_among(std::function<tensor_type(micro_batch const&)> const& input) {
  nn::nonfinite_note first;
  for (auto const& micro : share_->micro_batches()) {
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
  return tensor_type::allocate(*context_, extents(std::span<index_t const>(said.data() + 1, static_cast<std::size_t>(said[0]))));
}

// --- what codecs of gradients keep ---------------------------------------------------------------------------------------------

template <class T, class Space> auto any_model<T, Space>::gradient_residual() const -> std::vector<master_type> {
  receive_gradients();
  if (exchange_) return exchange_->residual();
  return first_residual_.empty() ? std::vector<master_type>(static_cast<std::size_t>(arena_->size())) : first_residual_;
}
template <class T, class Space> void any_model<T, Space>::set_gradient_residual(std::vector<master_type> flat) {
  if (static_cast<index_t>(flat.size()) != arena_->size())
    throw error{"parallel::set_gradient_residual", "expected " + std::to_string(arena_->size()) + " numbers, as gradient_residual() gives, found " + std::to_string(flat.size()), "", place_.rank};
  receive_gradients();
  if (exchange_) exchange_->set_residual(flat);
  else first_residual_ = std::move(flat);
}
template <class T, class Space> auto any_model<T, Space>::gradient_codec_memory() const -> codec_memory {
  if (!exchange_) return first_memory_;
  receive_gradients();
  codec_memory all{{}, exchange_->codec_steps()};
  exchange_->for_each_codec_memory([&](nn::arena_entry const& e, auto const& v) { all.values[e.name].assign(v.begin(), v.end()); });
  return all;
}
template <class T, class Space> void any_model<T, Space>::set_gradient_codec_memory(codec_memory all) {
  if (!exchange_) {
    first_memory_ = std::move(all);
    return;
  }
  receive_gradients();
  exchange_->begin_codecs_anew();
  exchange_->set_codec_steps(all.steps);
  exchange_->for_each_codec_memory([&](nn::arena_entry const& e, auto const& v) {
    if (auto const at = all.values.find(e.name); at != all.values.end() && at->second.size() == v.size()) std::copy(at->second.begin(), at->second.end(), v.begin());
  });
}

}  // namespace pleat::parallel
