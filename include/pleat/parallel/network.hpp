// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A network whose type is forgotten: what the executor, the step and checkpoints ask of it, one virtual call per range
/// of units. So they are compiled once per element type, and a program compiles its layers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/nn/any_weight.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/nn/units.hpp>
#include <pleat/parallel/stage_work.hpp>
#include <pleat/parallel/step_hooks.hpp>
#include <pleat/plan/plan.hpp>

namespace pleat::parallel {

/// Units of a network at work on one micro-batch: a stage_work and its network.
template <class T, class Space> class unit_work {
 public:
  using tensor_type = tensor<T, Space>;
  using pass_type = nn::pass<Space>;

  unit_work() = default;
  unit_work(unit_work const&) = delete;
  unit_work& operator=(unit_work const&) = delete;
  virtual ~unit_work() = default;

  /// x → y through units [begin, end); keeps what `choice` leaves for backward.
  [[nodiscard]] virtual tensor_type forward(pass_type const& p, index_t begin, index_t end,
                                            plan::recompute_choice const& choice, tensor_type x) = 0;
  /// dy → dx through the units that went forward, weight gradients too; what was kept is gone then.
  [[nodiscard]] virtual tensor_type backward(pass_type const& p, index_t begin, index_t end, tensor_type dy) = 0;
  /// The same in two halves: dx first; what the second half needs stays.
  [[nodiscard]] virtual tensor_type backward_input(pass_type const& p, index_t begin, index_t end, tensor_type dy) = 0;
  virtual void backward_weight(pass_type const& p, index_t begin, index_t end) = 0;
  /// Nobody goes backward: what was kept is gone.
  virtual void drop() = 0;
};

/// A network by what can be asked of any. Has what nn/units.hpp asks of a composite, so that functions over networks
/// take it for one; what it saves is nothing: it goes backward through `work`.
template <class T, class Space> class network {
 public:
  using value_type = T;
  using execution_space = Space;
  using tensor_type = tensor<T, Space>;
  using pass_type = nn::pass<Space>;
  using work_type = unit_work<T, Space>;
  using weight_type = nn::any_weight<T, Space>;
  struct saved {};

  virtual ~network() = default;
  [[nodiscard]] virtual std::unique_ptr<network> clone() const = 0;

  [[nodiscard]] virtual index_t units() const = 0;
  [[nodiscard]] virtual extents shape_units(extents const& in, index_t begin, index_t end) const = 0;
  /// Forward through all of it, as one layer. Keeps nothing.
  [[nodiscard]] virtual tensor_type answer(pass_type const& p, tensor_type x) const = 0;
  /// Forward through a range of units. Keeps nothing.
  [[nodiscard]] virtual tensor_type forward_units(pass_type const& p, index_t begin, index_t end, tensor_type x,
                                                  saved&) const = 0;

  /// Room for one micro-batch, which points into this network. \throws error if nobody has compiled the backward
  [[nodiscard]] std::unique_ptr<work_type> work() {
    if (!work_)
      throw error{"parallel::walk", "the backward of this network was not compiled",
                  "Begin steps with zero_grad of the parallel::model<Net>, or say model.teachable()"};
    return work_(*this);
  }

  template <class F> void for_each_parameter(F&& f) { for_each_parameter_units(all_units, all_units, f); }
  template <class F> void for_each_parameter_units(index_t begin, index_t end, F&& f) {
    // as it came
    visit(
        begin, end, [](void* to, weight_type& w) { (*static_cast<std::remove_reference_t<F>*>(to))(w); },
        const_cast<void*>(static_cast<void const*>(std::addressof(f))));
  }

  /// Its layers as data, for inputs of that shape. \see nn::describe
  [[nodiscard]] virtual nn::description describe(extents const& in) const = 0;
  /// The largest number of buckets that the values of one layer's parameters lie in.
  [[nodiscard]] virtual int buckets_of_a_layer(nn::arena<T, Space> const& memory) = 0;

 protected:
  network() = default;
  network(network const&) = default;
  network& operator=(network const&) = default;

  using visitor = void (*)(void* to, weight_type&);
  static constexpr index_t all_units = -1;
  /// \param begin all_units: every parameter of the network
  virtual void visit(index_t begin, index_t end, visitor f, void* to) = 0;

  std::unique_ptr<work_type> (*work_)(network&) = nullptr;
};

/// A network of the type Net.
template <class Net> class network_of final : public network<nn::value_type_of<Net>, nn::space_of<Net>> {
 public:
  using base = network<nn::value_type_of<Net>, nn::space_of<Net>>;
  using typename base::execution_space, typename base::pass_type, typename base::saved, typename base::tensor_type,
      typename base::value_type;

  explicit network_of(Net n) : net(std::move(n)) {}

  /// Compiles the backward. Who only asks for answers never comes here.
  void teach() noexcept {
    this->work_ = [](base& self) -> std::unique_ptr<unit_work<value_type, execution_space>> {
      return std::make_unique<bound_work>(static_cast<network_of&>(self).net);
    };
  }

  [[nodiscard, gnu::cold]] std::unique_ptr<base> clone() const override { return std::make_unique<network_of>(*this); }
  [[nodiscard]] index_t units() const override { return nn::units_of(net); }
  [[nodiscard]] extents shape_units(extents const& in, index_t begin, index_t end) const override {
    return nn::shape_units(net, in, begin, end);
  }
  [[nodiscard]] tensor_type answer(pass_type const& p, tensor_type x) const override {
    return nn::call(p, net, std::move(x)).y;
  }
  [[nodiscard]] tensor_type forward_units(pass_type const& p, index_t begin, index_t end, tensor_type x,
                                          saved&) const override {
    nn::saved_of<Net> dropped;
    return nn::forward_units(p, net, begin, end, std::move(x), dropped);
  }
  [[nodiscard, gnu::cold]] nn::description describe(extents const& in) const override { return nn::describe(net, in); }
  [[nodiscard, gnu::cold]] int buckets_of_a_layer(nn::arena<value_type, execution_space> const& memory) override {
    return parallel::buckets_of_a_layer(net, memory);
  }

  Net net;

 private:
  class bound_work final : public unit_work<value_type, execution_space> {
   public:
    explicit bound_work(Net& n) : net_(&n) {}
    [[nodiscard]] tensor_type forward(pass_type const& p, index_t begin, index_t end,
                                      plan::recompute_choice const& choice, tensor_type x) override {
      return work_.forward(p, *net_, begin, end, choice, std::move(x));
    }
    [[nodiscard]] tensor_type backward(pass_type const& p, index_t begin, index_t end, tensor_type dy) override {
      return work_.backward(p, *net_, begin, end, std::move(dy));
    }
    [[nodiscard]] tensor_type backward_input(pass_type const& p, index_t begin, index_t end, tensor_type dy) override {
      return work_.backward_input(p, *net_, begin, end, std::move(dy));
    }
    void backward_weight(pass_type const& p, index_t begin, index_t end) override {
      work_.backward_weight(p, *net_, begin, end);
    }
    void drop() override { work_.drop(); }

   private:
    Net* net_;
    stage_work<Net> work_;
  };

  void visit(index_t begin, index_t end, typename base::visitor f, void* to) override {
    auto const each = [&](typename base::weight_type& w) { f(to, w); };
    if (begin == base::all_units) net.for_each_parameter(each);
    else nn::for_each_parameter_units(net, begin, end, each);
  }
};

}  // namespace pleat::parallel
