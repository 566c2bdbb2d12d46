// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A network that lives somewhere and can be trained and asked, whatever its type: the pieces that training is made of
/// are its members. Compiled once per element type and space.
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

#include <pleat/base/owned_ptr.hpp>
#include <pleat/base/step_trace.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/comm/world.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/clip.hpp>
#include <pleat/nn/loss.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/parallel/agreement.hpp>
#include <pleat/parallel/build_options.hpp>
#include <pleat/parallel/built.hpp>
#include <pleat/parallel/coded_sum.hpp>
#include <pleat/parallel/detail/ends_travel.hpp>
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
#include <pleat/parallel/tensor_recipe.hpp>
#include <pleat/parallel/tensor_sums.hpp>
#include <pleat/parallel/tied.hpp>
#include <pleat/plan/plan.hpp>

namespace pleat::parallel {

/// Which ranks of a pipeline get an answer.
enum class answer_at : std::uint8_t { every_stage, last_stage };

/// Bytes that a rank has allocated for a model, by what they are for. plan::make_ledger foretells them.
struct memory_use {
  index_t parameters = 0, gradients = 0, optimizer_state = 0;
  friend bool operator==(memory_use const&, memory_use const&) = default;
};

/// A move-only value: what every model<Net> is, and all that needs no Net. The ranks of the data axis each hold a
/// replica and a share of each batch; the ranks of the pipeline axis each hold some stages, and the parameters of the
/// others are absent. Made by parallel::build alone.
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
  using typename base::arena_type, typename base::context_type, typename base::execution_space,
      typename base::network_base, typename base::tensor_type, typename base::value_type;
  using master_type = nn::master_t<value_type>;
  using optimizer_type = nn::optimizer_state<value_type, execution_space>;
  using base::all_ranks, base::has_first_stage, base::has_last_stage, base::host_values, base::parts, base::pipeline,
      base::refresh_masks, base::set_host_values;

  any_model(any_model&&) noexcept;
  any_model& operator=(any_model&&) noexcept;
  ~any_model();

  /// The network as it is asked by those who need not know its type: its parameters show values and gradients. Waits
  /// for what travels to both.
  [[nodiscard]] network_base const& any_net() const { return settle(), *network_; }
  [[nodiscard]] network_base& any_net() { return settle(), *network_; }
  /// The flat memory. Waits for what travels to it.
  [[nodiscard]] arena_type& arena() { return settle(), *arena_; }
  [[nodiscard]] arena_type const& arena() const { return settle(), *arena_; }
  /// Waits for all that travels for this model: between reduce and step sums of gradients, after step parameters (state
  /// stages 1 and 2) on their way to the next forward. Whatever shows them waits by itself; whoever kept a pointer into
  /// the model calls this first.
  /// \throws error as reduce and step do
  void settle() const {
    receive_gradients();
    receive_values();
  }

  /// A tensor of this model, whole on every rank of the tensor axis: what a loss of one's own asks for, if scores may
  /// come cut. Collective where it is cut.
  [[nodiscard]] tensor_type whole(tensor_type y) const;

  // --- one step of training
  // -------------------------------------------------------------------------------------------------

  /// Begins a step over `batch` samples in all; decides this rank's share, and tells the other ranks. Collective; waits
  /// for nothing but gradients of a step before that nobody took. Those are thrown away, and with them what the codecs'
  /// residuals had given into them.
  void zero_grad(index_t batch);
  /// This rank's share of the step that zero_grad began. \throws error if none has begun
  [[nodiscard]] parallel::share const& share() const {
    if (!share_) [[unlikely]]
      demand_step();
    return *share_;
  }

  /// All micro-batches forward and backward, as the plan's schedule says. \see parallel/source.hpp
  /// \throws error on every rank alike if the ranks are not at the same step with the same batch and the same
  /// parameters to learn; else on the
  ///         rank that sees it, with the step and what was being done
  template <class Source> void walk(Source&& source) {
    demand_source<std::remove_reference_t<Source>, tensor_type>();
    walk_over(source_ref<tensor_type>(source));
  }

  /// Mean cross entropy over the whole batch: dy, and this micro-batch's part of the loss into the step's sum.
  /// \param labels class of each row; a negative label counts as no sample
  [[nodiscard]] nn::loss_result<value_type, execution_space> cross_entropy(
      tensor_type const& y, tensor<std::int32_t, execution_space> const& labels);
  /// Mean square error over the whole batch.
  [[nodiscard]] nn::loss_result<value_type, execution_space> mean_square(tensor_type const& y,
                                                                         tensor_type const& target);
  /// The loss scale of a network of half, null for others. A loss of one's own multiplies its dy by `loss_factor()`, in
  /// float.
  [[nodiscard]] parallel::loss_scale const* scaling() const noexcept { return scale_ ? &*scale_ : nullptr; }
  [[nodiscard]] parallel::loss_scale* scaling() noexcept { return scale_ ? &*scale_ : nullptr; }
  /// What gradients are multiplied by until step divides them: the loss scale, or 1.
  [[nodiscard]] double loss_factor() const noexcept { return scale_ ? scale_->value() : 1.0; }
  /// Adds losses of a kind of one's own to the step's sum: one number per row, divided by the global batch already.
  void record_loss(tensor<master_type, execution_space> const& rows);

  /// Completes the exchange: slot 0 of the gradients holds the sum over all ranks, divided by the global batch. Where
  /// state is sharded, the sums of this rank's pieces are where arena().owned_gradients says. Over the data axis alone,
  /// and without a loss scale, the last ones may still travel when this returns: step moves what has come, and whatever
  /// else shows gradients waits for them.
  void reduce();

  /// The step's mean loss over the global batch, the same bits on every rank. Valid after reduce.
  [[nodiscard]] double loss() const;

  /// The 2-norm of the step's gradient. Valid after reduce. Collective where state is sharded and over a pipeline; the
  /// same bits however state is sharded and wherever the pipeline is cut.
  [[nodiscard]] double gradient_norm() const;
  /// The factor that brings the norm down to max_norm: nn::clip_factor. Collective as gradient_norm is.
  [[nodiscard]] double clip_scale(double max_norm) const { return nn::clip_factor(gradient_norm(), max_norm); }

  /// Moves the parameters, those first whose gradients have come. `scale` multiplies the gradient (clipping).
  /// Collective where state is sharded: every rank moves its pieces, and at stages 1 and 2 passes each on while it
  /// moves the next; they travel on beside the next forward, each layer of which waits for its own. A network of half
  /// agrees first, over all ranks, whether the gradient is finite; if it is not, no rank moves anything and the loss
  /// scale shrinks. An error may leave some parameters moved and others not.
  /// \returns false for such a step \throws error, and nothing moves, if backward has been and reduce has not
  bool step(optimizer_type& optimizer, double learning_rate_factor = 1, double scale = 1);

  /// What this rank did when, while it is on: trace().start() before a step. Nothing travels where it begins and where
  /// it ends: asking for it settles the model. \see parallel/trace.hpp
  [[nodiscard]] step_trace& trace() { return settle(), *trace_; }
  [[nodiscard]] step_trace const& trace() const noexcept { return *trace_; }

  // --- inference
  // -------------------------------------------------------------------------------------------------------------

  /// Over a pipeline: collective among its ranks; every rank gives x of the same shape, the first stage's is looked at.
  /// At state stage 3: collective among the ranks that share the parameters; a layer that fails is thrown when the
  /// others have what they want of this rank, and layers behind it (and `inputs`) meet zeros until then.
  /// \param at who gets the answer; elsewhere it is an empty tensor
  /// \param inputs hears what the weights of this rank's stages multiply with
  /// \param layers hears when the layers of this rank's stages begin and end
  [[nodiscard]] tensor_type predict(tensor_type x, answer_at at = answer_at::every_stage,
                                    nn::input_listener* inputs = nullptr, nn::layer_listener* layers = nullptr) const;

  /// Diagnosis after a loss that is not finite: walks forward once more, over the samples of one micro-batch.
  /// Collective. \throws error on every rank alike with the first layer whose output is not finite, and the rank that
  /// saw it
  void find_nonfinite(tensor_type x) const;

  /// The same over every micro-batch of the step that was walked last. \param source that step's: its inputs are asked
  /// for once more
  template <class Source>
    requires requires(Source& s, micro_batch const& m) { s.input(m); }
  void find_nonfinite(Source& source) {
    find_nonfinite_among([&](micro_batch const& m) -> tensor_type { return source.input(m); });
  }

  // --- as a value
  // ------------------------------------------------------------------------------------------------------------

  /// The same network with the same values in memory of its own.
  [[nodiscard]] any_model clone() const { return rebuild(network_->clone()); }
  /// A model of another network over the same ranks: parameters of the same name keep their values, forms keep their
  /// content.
  [[nodiscard, gnu::cold]] any_model rebuild(std::unique_ptr<network_base> other) const {
    return made_of(std::move(other));
  }
  /// The same network with the same values under another way of sharding its state: of the plan, state_stage,
  /// state_ranks, state_stride, prefetch and bucket_bytes may differ. Collective. The optimizer's state stays behind (a checkpoint
  /// takes it along).
  /// \throws error if the plan lays the step out otherwise
  [[nodiscard, gnu::cold]] any_model replanned(plan::plan p) const;
  /// The same model with every parameter whole on every rank: what evaluation, compression and model files need.
  /// Collective at stage 3.
  [[nodiscard, gnu::cold]] any_model unsharded() const;

  /// What this rank has not sent yet of its gradients, in the arena's flat order on the host: what codecs keep. Every
  /// rank has its own. A checkpoint takes it along, clones and rebuilt models begin with zeros.
  [[nodiscard]] std::vector<master_type> gradient_residual() const;
  /// What is given to a gradient that does not travel in a codec is added to the next step's. \throws error for another
  /// number of elements
  void set_gradient_residual(std::vector<master_type> flat);
  /// Whether gradient_residual() may be more than zeros.
  [[nodiscard]] bool keeps_gradient_residual() const noexcept {
    return (coding_.error_feedback() && ranks_->size() > 1) ||
           (exchange_ ? exchange_->has_unsent() : !first_residual_.empty());
  }
  /// The codec of gradients in words; nothing where they travel as they are.
  [[nodiscard]] std::string gradient_words() const { return ranks_->size() > 1 ? coding_.words() : std::string(); }

  /// How the gradient of each arena entry travels.
  struct gradient_way {
    bool coded = false,  ///< in the codec
        kept = false;    ///< what the codec leaves out is kept for the next step
  };
  [[nodiscard]] std::vector<gradient_way> gradient_ways() const;
  /// What a gradient codec itself keeps from one step to the next, by parameter; the same on every rank.
  struct codec_memory {
    std::map<std::string, std::vector<master_type>> values{};
    std::uint64_t steps = 0;
  };
  [[nodiscard]] codec_memory gradient_codec_memory() const;
  /// Of parameters that it does not name, and those of other extents, the codec begins anew.
  void set_gradient_codec_memory(codec_memory all);

  [[nodiscard]] memory_use memory() const noexcept {
    return {arena_->value_bytes() + (gather_ ? gather_->bytes() : 0),
            arena_->gradient_bytes() + (exchange_ ? exchange_->bytes() : 0), arena_->state_bytes()};
  }

 protected:
  /// rebuild; with `lent` the values are this model's, in its memory, where that can be.
  [[nodiscard, gnu::cold]] any_model made_of(std::unique_ptr<network_base> other, bool lent = false) const;
  using base::agree_on_plan, base::receive_values, base::tensor_axis, base::ties;
  using base::arena_, base::context_, base::gather_, base::group_, base::groups_, base::layout_, base::moves_,
      base::network_, base::plan_, base::ranks_, base::seed_, base::steps_;

  /// The ranks of the mesh, and which of them holds what.
  struct place_of_model {
    std::shared_ptr<parallel::groups> mesh;
    std::shared_ptr<stages const> layout;
  };
  /// Collective. \param costs of the network's units \throws error on every rank alike
  [[nodiscard, gnu::cold]] static place_of_model laid_out(std::function<std::vector<double>()> const& costs,
                                                          plan::plan const& p, world& w, build_options const& options);
  /// Materialises a network on this rank, on an instance of the execution space. Collective. \see parallel::build
  [[gnu::cold]] any_model(place_of_model at, std::unique_ptr<network_base> net, plan::plan p, world& w,
                          execution_space instance, build_options options);

  [[nodiscard]] nn::pass<execution_space> training_pass() const;
  void demand_one_stage(char const* call) const;
  /// Learns what every other rank is about to, so that ranks that went apart hear of it instead of waiting for each
  /// other. Once per step.
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

  owned_ptr<plan::recompute_choice const> recomputes_;  // what is held between forward and backward points to it

 private:
  using pipeline_type = parallel::pipeline<value_type, execution_space>;
  using exchange_type = gradient_exchange<value_type, execution_space>;
  using hooks_type = step_hooks<value_type, execution_space>;

  any_model(std::unique_ptr<network_base> net, plan::plan p, std::shared_ptr<context_type> where,
            std::shared_ptr<groups> ranks, std::shared_ptr<stages const> layout, std::uint64_t seed);

  /// What reduce has left on its way.
  void receive_gradients() const {
    if (exchange_ && exchange_->arriving()) finish_gradients();
  }
  void finish_gradients() const;
  /// A step that was left after backward: what has set out comes to its end before anything is written where it
  /// travels, or into what the codecs keep.
  void end_left_step() const {
    if (exchange_ && exchange_->is_open()) finish_gradients();
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
  /// A walk of each rank by itself, or of stages that hand on what goes wrong: what one rank throws, all throw. Where
  /// ranks wait for each other inside of layers, it is thrown at once.
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
  [[noreturn]] void demand_step() const;

  gradient_coding coding_;
  std::vector<master_type> first_residual_;  // set before there was an exchange
  codec_memory first_memory_;
  std::unique_ptr<exchange_type> exchange_;
  std::unique_ptr<hooks_type> hooks_;
  std::unique_ptr<pipeline_type> pipeline_;
  std::unique_ptr<hooks_type> walk_hooks_;
  std::optional<tied_sums<value_type, execution_space>> ties_;
  std::optional<double> loss_;  // of the last stage, over a pipeline
  owned_ptr<network_agreement> agreement_;
  step_place place_;
  owned_ptr<step_trace> trace_ = make_owned<step_trace>();  // whoever shows spans in it has a pointer
  std::vector<owned_ptr<parallel::share>> shares_;          // by batch size: a full one, the last one of an epoch
  parallel::share const* share_ = nullptr;
  std::vector<char> moved_;  // of piece_step
  index_t micro_ = 0;
  bool loss_recorded_ = false;
  std::optional<parallel::loss_scale> scale_;  // of half
};

}  // namespace pleat::parallel

#include <pleat/parallel/detail/any_model_answers.hpp>
#include <pleat/parallel/detail/any_model_build.hpp>
#include <pleat/parallel/detail/any_model_codecs.hpp>
#include <pleat/parallel/detail/any_model_step.hpp>
