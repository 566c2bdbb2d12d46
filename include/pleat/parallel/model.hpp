// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A network that lives somewhere and can be trained and asked: what any_model needs to know of its type.
#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/context.hpp>
#include <pleat/base/error.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/parallel/network.hpp>
#include <pleat/parallel/stage_work.hpp>

namespace pleat::parallel {

namespace detail {
/// \throws error unless there are as many costs as units
PLEAT_ONCE void demand_cost_of_each_unit(std::vector<double> const& costs, index_t units) {
  if (static_cast<index_t>(costs.size()) != units)
    throw error{
        "parallel::build",
        "there are costs of " + std::to_string(costs.size()) + " units, the network has " + std::to_string(units),
        "Give one cost per unit, or none"};
}
PLEAT_COMPILED_ONCE(void demand_cost_of_each_unit(std::vector<double> const& costs, index_t units));
}  // namespace detail

/// A move-only value: the network with its weights materialised on this rank. All that needs no Net, and so nearly
/// everything, is any_model's: `zero_grad`, `walk`, `reduce`, `step`, `predict`.
///
/// Where there is one stage, the walk may be written out:
///
///     for (auto const& micro : model.share().micro_batches()) {    // usually one
///       auto [y, saved] = model.forward(x);                        // x: the samples at share().rows(), cut by micro.rows
///       auto loss = model.cross_entropy(y, labels);                // or any dy of one's own
///       model.backward(saved, loss.dy);
///     }
///
/// Forward-only use never instantiates a backward.
template <class Net> class model : public any_model<nn::value_type_of<Net>, nn::space_of<Net>> {
  static_assert((nn::demand_layer<Net>(), true));
  using base = any_model<nn::value_type_of<Net>, nn::space_of<Net>>;

 public:
  using network_type = Net;
  using any_type = base;
  using typename base::execution_space, typename base::tensor_type, typename base::value_type;
  /// What backward needs of a micro-batch that has gone forward: what its layers save, or less of it where the plan
  /// computes again.
  using saved = stage_work<Net>;

  /// Materialises `net` on this rank. Collective. \see parallel::build
  [[gnu::cold]] model(Net net, plan::plan p, world& w, build_options options = {})
      : model(std::move(net), std::move(p), w, make_instance<execution_space>(w.threads), std::move(options)) {}
  /// The same on an instance of the caller's. \see parallel::build
  [[gnu::cold]] model(Net net, plan::plan p, world& w, execution_space const& instance, build_options options)
      : model(base::laid_out([&] { return costs_of(net, options); }, p, w, options), net, p, w, instance, options) {}

  /// Its weights know where they lie; \see any_model::settle
  [[nodiscard]] Net const& net() const { return static_cast<network_of<Net> const&>(this->any_net()).net; }
  [[nodiscard]] Net& net() { return static_cast<network_of<Net>&>(this->any_net()).net; }

  /// As any_model, once it knows the backward of its network: who trains it as one asks here first. zero_grad does.
  any_type& teachable() noexcept {
    static_assert(nn::has_backward<Net> || nn::has_split_backward<Net>,
                  "pleat: this network cannot be trained: a layer lacks its backward");
    typed().teach();
    return *this;
  }
  /// \copydoc any_model::zero_grad
  void zero_grad(index_t batch) { teachable().zero_grad(batch); }

  /// Forward of the current micro-batch; keeps what the plan's recompute leaves for backward. One stage only.
  [[nodiscard]] nn::step<saved, tensor_type> forward(tensor_type x) const {
    this->demand_one_stage("forward");
    if (this->communicates_at_once()) this->settle_agreement("parallel::forward", "at its beginning");
    return this->in_walk("parallel::forward", "forward", [&] {
      nn::step<saved, tensor_type> out;
      out.y = out.saved.forward(this->training_pass(), typed().net, 0, this->layout().units(), *this->recomputes_,
                                std::move(x));
      return out;
    });
  }
  /// Backward of the current micro-batch, the last of which may send gradients while it runs.
  void backward(saved& s, tensor_type dy) {
    auto const p = this->begin_backward();
    (void)this->in_walk("parallel::backward", "backward",
                        [&] { return s.backward(p, typed().net, 0, this->layout().units(), std::move(dy)); });
    this->end_backward();
  }

  // --- as a value
  // ------------------------------------------------------------------------------------------------------------

  /// \copydoc any_model::clone
  [[nodiscard]] model clone() const { return model(base::clone()); }
  /// \copydoc any_model::replanned
  [[nodiscard]] model replanned(plan::plan p) const { return model(base::replanned(std::move(p))); }
  /// \copydoc any_model::unsharded
  [[nodiscard]] model unsharded() const { return model(base::unsharded()); }
  /// A model of another network over the same ranks: parameters of the same name keep their values, forms keep their
  /// content.
  template <class Other> [[nodiscard]] model<Other> rebuild(Other other) const {
    static_assert((nn::demand_layer<Other>(), true));
    return model<Other>(base::rebuild(std::make_unique<network_of<Other>>(std::move(other))));
  }
  /// The same, to look at: its values are this model's, in its memory (state_stage = 3: copied). Whoever gets it writes
  /// none of them, and rebuilds it before anybody else may.
  template <class Other> [[nodiscard]] model<Other> lent(Other other) const {
    static_assert((nn::demand_layer<Other>(), true));
    return model<Other>(base::made_of(std::make_unique<network_of<Other>>(std::move(other)), true));
  }

 private:
  template <class> friend class model;

  explicit model(base&& any) noexcept : base(std::move(any)) {}
  /// What the layout was made from goes into the model after it: compilers differ in which argument of a call they
  /// compute first.
  [[gnu::cold]] model(typename base::place_of_model at, Net& net, plan::plan& p, world& w,
                      execution_space const& instance, build_options& options)
      : base(std::move(at), std::make_unique<network_of<Net>>(std::move(net)), std::move(p), w, instance,
             std::move(options)) {}

  [[nodiscard]] network_of<Net>& typed() noexcept { return static_cast<network_of<Net>&>(*this->network_); }
  [[nodiscard]] network_of<Net> const& typed() const noexcept {
    return static_cast<network_of<Net> const&>(*this->network_);
  }

  [[nodiscard]] static std::vector<double> costs_of(Net const& net, build_options const& options) {
    if (options.unit_costs.empty()) return unit_costs(net, options.input);
    detail::demand_cost_of_each_unit(options.unit_costs, nn::units_of(net));
    return options.unit_costs;
  }
};

/// Materialises a network on the ranks of a world, as the plan says: the same initial values on every number of ranks.
/// Collective. \throws error, on every rank alike, if the plans differ, do not fit the world, or two parameters share a
/// name
template <class Net>
[[nodiscard]] model<Net> build(Net net, plan::plan const& p, world& w, build_options options = {}) {
  return model<Net>(std::move(net), p, w, std::move(options));
}
/// Without a plan: says in words what is missing (law 1).
template <class Net> model<Net> build(Net net, world& w, build_options options = {}) {
  static_assert(sizeof net == 0,
                "pleat: parallel::build needs a plan between the network and the world: '{.global_batch = 64}', or "
                "'plan::search(net, world, {.global_batch = 64})'");
  return build(std::move(net), plan::plan{}, w, std::move(options));
}
/// The same on an execution-space instance of the caller's, with its threads or its stream, whatever world.threads says:
/// for a guest in a program that computes there already. Ranks that are threads of one process need one each.
/// (measure_units measures with world.threads.)
template <class Net, class Space>
  requires std::same_as<Space, nn::space_of<Net>>
[[nodiscard]] model<Net> build(Net net, plan::plan const& p, world& w, Space const& instance,
                               build_options options = {}) {
  return model<Net>(std::move(net), p, w, instance, std::move(options));
}

}  // namespace pleat::parallel
