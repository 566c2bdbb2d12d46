// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include <pleat/codec/masked.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/clip.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/nn/sequential.hpp>

#include "nn/nn_support.hpp"
#include "nn/own_momentum.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;
using D = codec::forms<codec::dense<double>>;

namespace {
/// Sets the gradients to keyed numbers and returns them.
template <class Net> std::vector<double> draw_gradients(trained<Net>& t, std::uint64_t key) {
  auto const g = numbers<double>(t.memory.size(), key);
  copy_from_host(t.c, g.data(), tensor<double, space>::wrap(t.memory.gradients(), {t.memory.size()}));
  return g;
}
struct reference {  // one parameter, by the papers' formulas in plain double
  double w, m = 0, v = 0, b = 0;
};
}  // namespace

TEST_CASE("names fit patterns") {
  STATIC_CHECK(nn::matches("*", ""));
  STATIC_CHECK(nn::matches("*.bias", "block.3.fc1.bias"));
  STATIC_CHECK_FALSE(nn::matches("*.bias", "block.bias.weight"));
  STATIC_CHECK(nn::matches("fc?.*", "fc1.weight"));
  STATIC_CHECK_FALSE(nn::matches("fc?.*", "fc12.weight"));
  STATIC_CHECK(nn::matches("a*b*c", "a-b-b-c"));
  STATIC_CHECK_FALSE(nn::matches("", "a"));
}

TEST_CASE("sgd with momentum, Nesterov, decay and dampening follows the formula") {
  context<space> c{make_instance<space>(2)};
  for (bool const nesterov : {false, true}) {
    trained t(c, nn::linear<D>("l", 3, 2));
    nn::sgd const o{.learning_rate = 0.1,
                    .momentum = 0.9,
                    .nesterov = nesterov,
                    .weight_decay = 0.02,
                    .dampening = nesterov ? 0.0 : 0.3};
    nn::optimizer_state<double, space> state(c, t.memory, o);
    auto const w0 = t.value("l.weight");
    std::vector<reference> r;
    for (double const w : w0) r.push_back({w});
    for (int step = 0; step < 5; ++step) {
      auto const g = draw_gradients(t, static_cast<std::uint64_t>(step));
      state.apply(c, t.memory, 0.5, 2.0);
      for (std::size_t i = 0; i < r.size(); ++i) {
        double const d = 2 * g[i] + 0.02 * r[i].w;
        r[i].b = step == 0 ? d : 0.9 * r[i].b + (1 - o.dampening) * d;
        r[i].w -= 0.05 * (nesterov ? d + 0.9 * r[i].b : r[i].b);
      }
    }
    auto const w = t.value("l.weight");
    // float settings in the chunk table: the decay 0.02 is stored with a relative error of 2⁻²⁵; 5 steps of
    // 0.05·0.02·|w| ≤ 0.005
    for (std::size_t i = 0; i < r.size(); ++i) CHECK(std::abs(w[i] - r[i].w) < 1e-9);
    CHECK(state.buffers() == 1);
    CHECK(state.steps() == 5);
  }
}

TEST_CASE("adam adds decay to the gradient, adamw takes it from the parameter; vectors do not decay") {
  context<space> c{make_instance<space>(2)};
  for (bool const decoupled : {false, true}) {
    trained t(c, nn::linear<D>("l", 3, 2));
    nn::optimizer o = nn::adam{.learning_rate = 0.01, .weight_decay = 0.125};
    if (decoupled) o = nn::adamw{.learning_rate = 0.01, .weight_decay = 0.125};
    nn::optimizer_state<double, space> state(c, t.memory, o);
    std::vector<reference> r;
    for (double const w : t.value("l.weight")) r.push_back({w});
    auto const bias_at = static_cast<std::size_t>(t.memory.entries()[1].begin);
    for (double const w : t.value("l.bias")) r.push_back({w});
    for (int step = 1; step <= 4; ++step) {
      auto const g = draw_gradients(t, static_cast<std::uint64_t>(step));
      state.apply(c, t.memory);
      for (std::size_t i = 0; i < r.size(); ++i) {
        bool const bias = i >= 6;
        double const decay = bias ? 0 : 0.125,
                     d = (bias ? g[bias_at + i - 6] : g[i]) + (decoupled ? 0 : decay * r[i].w);
        r[i].m = 0.9 * r[i].m + 0.1 * d;
        r[i].v = 0.999 * r[i].v + 0.001 * d * d;
        if (decoupled) r[i].w *= 1 - 0.01 * decay;
        r[i].w -=
            0.01 * (r[i].m / (1 - std::pow(0.9, step))) / (std::sqrt(r[i].v / (1 - std::pow(0.999, step))) + 1e-8);
      }
    }
    auto const w = t.value("l.weight"), b = t.value("l.bias");
    for (std::size_t i = 0; i < 6; ++i) CHECK(std::abs(w[i] - r[i].w) < 1e-14);
    for (std::size_t i = 0; i < 2; ++i) CHECK(std::abs(b[i] - r[6 + i].w) < 1e-14);
    CHECK(state.buffer_name(1) == "second_moment");
  }
}

TEST_CASE("groups by name change rate and decay, and freeze") {
  context<space> c{make_instance<space>(2)};
  auto const net = nn::sequential(nn::linear<D>("fc1", 3, 3), nn::linear<D>("fc2", 3, 3), nn::linear<D>("fc3", 3, 3));
  trained t(c, net);
  nn::optimizer_state<double, space> state(c, t.memory, nn::sgd{.learning_rate = 1, .weight_decay = 0.5},
                                           {{.pattern = "*.bias", .weight_decay = 0.0},
                                            {.pattern = "fc2.*", .learning_rate_scale = 0.25},
                                            {.pattern = "fc3.weight", .frozen = true}});
  auto const before = to_host(c, tensor<double, space>::wrap(t.memory.values(), {t.memory.size()}));
  auto const g = draw_gradients(t, 1);
  state.apply(c, t.memory);
  auto const after = to_host(c, tensor<double, space>::wrap(t.memory.values(), {t.memory.size()}));
  for (auto const& e : t.memory.entries()) {
    if (e.kind == nn::parameter_kind::statistic) continue;
    double const decay = e.shape.rank() == 1 ? 0 : 0.5, rate = e.name == "fc3.weight"      ? 0
                                                               : e.name.starts_with("fc2") ? 0.25
                                                                                           : 1;
    for (auto i = static_cast<std::size_t>(e.begin); i < static_cast<std::size_t>(e.end); ++i)
      CHECK(std::abs(after[i] - (before[i] - rate * (g[i] + decay * before[i]))) < 1e-15);
  }
  CHECK_THROWS_WITH((nn::optimizer_state<double, space>(c, t.memory, nn::sgd{}, {{.pattern = "fc9.*"}})),
                    ContainsSubstring("fc9.*"));
}

TEST_CASE("a parameter that is frozen later stays where it is from then on") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::sequential(nn::linear<D>("fc1", 3, 3), nn::linear<D>("fc2", 3, 3)));
  nn::optimizer_state<double, space> state(c, t.memory, nn::adamw{});
  (void)draw_gradients(t, 1);
  state.apply(c, t.memory);
  nn::freeze(t.net, "fc1.*");
  t.memory.attach(t.net);
  auto const w1 = t.value("fc1.weight"), w2 = t.value("fc2.weight");
  state.apply(c, t.memory);
  CHECK(same_bits(w1, t.value("fc1.weight")));
  CHECK_FALSE(same_bits(w2, t.value("fc2.weight")));
  CHECK_THROWS_WITH(nn::freeze(t.net, "nothing*"), ContainsSubstring("nothing*"));
}

TEST_CASE("an optimizer made for other memory is told so: its moments are not there") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::sequential(nn::linear<D>("fc", 3, 3)));
  // what a load or a rebuild leaves: the same network, memory of its own
  trained again(c, nn::sequential(nn::linear<D>("fc", 3, 3)));
  nn::optimizer_state<double, space> state(c, t.memory, nn::adamw{});
  (void)draw_gradients(again, 1);
  auto const before = again.value("fc.weight");
  CHECK_THROWS_WITH(state.apply(c, again.memory),
                    ContainsSubstring("'adamw' keeps") && ContainsSubstring("Make the optimizer anew"));
  CHECK(same_bits(before, again.value("fc.weight")));
  CHECK(state.steps() == 0);
}

TEST_CASE("a second optimizer begins with nothing, whatever the first one kept") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::sequential(nn::linear<D>("fc", 3, 3))), fresh(c, nn::sequential(nn::linear<D>("fc", 3, 3)), 1, 9);
  for (nn::optimizer const& first : {nn::optimizer(nn::sgd{.momentum = 0.9}), nn::optimizer(nn::adamw{})})
    for (nn::optimizer const& second :
         {nn::optimizer(nn::adam{}), nn::optimizer(nn::sgd{.momentum = 0.5}), nn::optimizer(nn::sgd{})}) {
      nn::optimizer_state<double, space> one(c, t.memory, first);
      (void)draw_gradients(t, 1);
      one.apply(c, t.memory);
      for (auto const* name : {"fc.weight", "fc.bias"}) fresh.set(name, t.value(name));
      nn::optimizer_state<double, space> two(c, t.memory, second), expected(c, fresh.memory, second);
      CHECK(t.memory.states() == two.buffers());
      for (std::uint64_t step = 2; step < 5; ++step) {
        (void)draw_gradients(t, step);
        (void)draw_gradients(fresh, step);
        two.apply(c, t.memory);
        expected.apply(c, fresh.memory);
        CHECK(same_bits(t.value("fc.weight"), fresh.value("fc.weight")));
      }
    }
}

TEST_CASE("an optimizer that is refused leaves the one before it all that it kept, and holds nothing") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::sequential(nn::linear<D>("fc1", 3, 3), nn::linear<D>("fc2", 3, 3)));
  nn::optimizer_state<double, space> const state(c, t.memory, nn::adamw{});
  auto const moments = [&] { return to_host(c, tensor<double, space>::wrap(t.memory.state(0), {t.memory.size()})); };
  auto kept = std::vector<double>(static_cast<std::size_t>(t.memory.size()), 0.25);
  copy_from_host(c, kept.data(), tensor<double, space>::wrap(t.memory.state(0), {t.memory.size()}));
  for (nn::optimizer const& other : {nn::optimizer(nn::adamw{}), nn::optimizer(nn::sgd{})}) {
    CHECK_THROWS_WITH((nn::optimizer_state<double, space>(
                          c, t.memory, other, {{.pattern = "fc1.*", .frozen = true}, {.pattern = "fc9.*"}})),
                      ContainsSubstring("fc9.*"));
    REQUIRE(t.memory.states() == 2);
    CHECK(same_bits(moments(), kept));
    for (auto const& e : t.memory.entries()) CHECK_FALSE(e.held);
  }
}

TEST_CASE("pruned elements stay zero, and so do their moments") {
  context<space> c{make_instance<space>(1)};
  using M = codec::forms<codec::masked<double>>;
  trained t(c, nn::sequential(nn::linear<M>("l", 5, 3), nn::linear<M>("k", 3, 2)));
  t.memory.reserve_gradients(t.net, 1);
  auto w = t.value("l.weight");
  for (std::size_t i = 0; i < w.size(); i += 2) w[i] = 0;
  t.net.for_each_parameter([&](auto& p) {
    if (p.name != "l.weight") return;
    p.visit([&](auto tag, auto& s) {
      auto const dense = from_host(c, w, {15});
      decltype(tag)::type::encode(c, p.shape, static_cast<double const*>(dense.data()), s);
    });
  });
  t.memory.attach(t.net);
  nn::optimizer_state<double, space> state(c, t.memory, nn::adamw{});
  for (std::uint64_t step = 0; step < 3; ++step) {
    (void)draw_gradients(t, step);
    state.apply(c, t.memory);
  }
  auto const after = t.value("l.weight");
  auto const m = to_host(c, tensor<double, space>::wrap(t.memory.state(0), {t.memory.size()}));
  for (std::size_t i = 0; i < after.size(); ++i) {
    CHECK((after[i] == 0) == (i % 2 == 0));
    CHECK((m[i] == 0) == (i % 2 == 0));
  }
}

TEST_CASE("statistics take in the batch's value, whatever the optimizer") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::batch_norm<double>("bn", 3, {.momentum = 0.25}));
  nn::optimizer_state<double, space> state(c, t.memory, nn::sgd{.weight_decay = 0.5});
  auto const g = draw_gradients(t, 1);
  state.apply(c, t.memory, 0.0, 17.0);  // neither the rate nor the clipping factor concerns them
  auto const at =
      static_cast<std::size_t>(t.memory.entries()[static_cast<std::size_t>(t.memory.find("bn.running_var"))].begin);
  auto const v = t.value("bn.running_var");
  for (std::size_t i = 0; i < 3; ++i) CHECK(std::abs(v[i] - (0.75 + 0.25 * g[at + i])) < 1e-15);
}

namespace {
/// Moves what it is given, whatever the gradient; keeps two numbers.
template <class T> struct restless_rule {
  T step;
  PLEAT_INLINE void operator()(compute::update_element<T, 2>& e) const {
    e.value += T(1);
    e.state[0] += e.gradient;
    e.state[1] = step;
  }
};
struct restless {
  static constexpr std::string_view name = "restless";
  static constexpr std::array<std::string_view, 2> buffers{"sum", "step"};
  double learning_rate = 1;
  template <class T> restless_rule<T> rule(nn::update_step s) const { return {static_cast<T>(s.number)}; }
};
}  // namespace

TEST_CASE("an optimizer of one's own that does as sgd does has its bits, with groups, frozen and pruned elements") {
  context<space> c{make_instance<space>(2)};
  using M = codec::forms<codec::masked<double>>;
  std::vector<double> reference;
  nn::own_optimizer changed(own_momentum{.learning_rate = 3, .weight_decay = 1});
  changed.learning_rate = 0.125, changed.weight_decay = 0.0625;
  for (nn::optimizer const& o :
       {nn::optimizer(nn::sgd{.learning_rate = 0.125, .momentum = 0.9, .weight_decay = 0.0625}),
        nn::optimizer(own_momentum{.learning_rate = 0.125, .weight_decay = 0.0625}), nn::optimizer(changed)}) {
    trained t(c, nn::sequential(nn::linear<M>("a", 7, 5), nn::batch_norm<double>("bn", 5), nn::linear<M>("b", 5, 3)));
    t.net.for_each_parameter([&](auto& p) {
      if constexpr (requires { p.prunable(); }) {
        if (p.name != "a.weight") return;
        auto w = t.value("a.weight");
        for (std::size_t i = 0; i < w.size(); i += 3) w[i] = 0;
        p.visit([&](auto tag, auto& s) {
          auto const dense = from_host(c, w, {35});
          decltype(tag)::type::encode(c, p.shape, static_cast<double const*>(dense.data()), s);
        });
      }
    });
    nn::freeze(t.net, "b.bias");
    t.memory.attach(t.net);
    nn::optimizer_state<double, space> state(
        c, t.memory, o,
        {{.pattern = "*", .max_rank = 1, .weight_decay = 0.0}, {.pattern = "a.*", .learning_rate_scale = 0.3}});
    for (std::uint64_t step = 0; step < 4; ++step) {
      (void)draw_gradients(t, step);
      state.apply(c, t.memory, 0.7, 0.5);
    }
    std::vector<double> all;
    for (auto const* name : {"a.weight", "a.bias", "bn.running_var", "b.weight", "b.bias"})
      for (double const x : t.value(name)) all.push_back(x);
    auto const kept = to_host(c, tensor<double, space>::wrap(t.memory.state(0), {t.memory.size()}));
    for (auto const& e : t.memory.entries())
      for (auto i = e.begin; i < e.end; ++i) all.push_back(kept[static_cast<std::size_t>(i)]);
    if (reference.empty()) reference = all;
    CHECK(same_bits(all, reference));
    CHECK(state.buffers() == 1);
    if (state.name() == "own_momentum") CHECK(state.buffer_name(0) == "velocity");
  }
}

TEST_CASE("a rule of one's own is asked for elements only: what lies between parameters stays zero") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::sequential(nn::linear<D>("a", 3, 3), nn::linear<D>("b", 3, 3)));
  nn::optimizer_state<double, space> state(c, t.memory, restless{});
  auto const before = to_host(c, tensor<double, space>::wrap(t.memory.values(), {t.memory.size()}));
  auto const g = draw_gradients(t, 1);
  state.apply(c, t.memory);
  state.apply(c, t.memory, 1, 0.5);
  std::vector<double> after = to_host(c, tensor<double, space>::wrap(t.memory.values(), {t.memory.size()})),
                      sum = to_host(c, tensor<double, space>::wrap(t.memory.state(0), {t.memory.size()})),
                      step = to_host(c, tensor<double, space>::wrap(t.memory.state(1), {t.memory.size()}));
  std::vector<char> used(after.size(), 0);
  for (auto const& e : t.memory.entries())
    for (auto i = static_cast<std::size_t>(e.begin); i < static_cast<std::size_t>(e.end); ++i) {
      used[i] = 1;
      if (e.kind != nn::parameter_kind::trainable) continue;
      CHECK((after[i] == before[i] + 1 + 1 && sum[i] == g[i] + 0.5 * g[i] && step[i] == 2));
    }
  CHECK(std::count(used.begin(), used.end(), 0) > 4);  // 9 + 3 + 9 + 3 elements, each parameter from 64 bytes on
  for (std::size_t i = 0; i < used.size(); ++i)
    if (!used[i]) CHECK((after[i] == before[i] && sum[i] == 0 && step[i] == 0));
}

TEST_CASE("settings that make no sense are refused") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::linear<D>("l", 3, 2));
  using state = nn::optimizer_state<double, space>;
  CHECK_THROWS_WITH(state(c, t.memory, nn::adamw{.learning_rate = -1}), ContainsSubstring("learning rate"));
  CHECK_THROWS_WITH(state(c, t.memory, nn::adam{.beta1 = 1}), ContainsSubstring("beta1"));
  CHECK_THROWS_WITH(state(c, t.memory, nn::sgd{.nesterov = true}), ContainsSubstring("Nesterov"));
  double const inf = std::numeric_limits<double>::infinity(), none = -std::numeric_limits<double>::quiet_NaN();
  for (double const bad : {0.0, 1e-60, 1e39})  // 0/0 wherever no gradient ever was; no step at all
    CHECK_THROWS_WITH(state(c, t.memory, nn::adamw{.epsilon = bad}),
                      ContainsSubstring("epsilon must be above 0, as a float too"));
  for (auto const& [bad, words] : {std::pair{2.0, "2"}, {1.0, "1"}, {-0.1, "-0.1"}, {inf, "inf"}, {none, "nan"}}) {
    auto const found = ContainsSubstring(std::string(", found ") + words + ".");
    CHECK_THROWS_WITH(state(c, t.memory, nn::sgd{.momentum = bad}),
                      ContainsSubstring("the momentum must lie in [0, 1)") && found);
    CHECK_THROWS_WITH(state(c, t.memory, nn::adamw{.beta2 = bad}),
                      ContainsSubstring("beta2 must lie in [0, 1)") && found);
    if (bad >= 0 && bad <= 2) continue;
    CHECK_THROWS_WITH(state(c, t.memory, nn::adam{.epsilon = bad}), ContainsSubstring("epsilon") && found);
    CHECK_THROWS_WITH(state(c, t.memory, nn::sgd{.learning_rate = bad}), ContainsSubstring("learning rate") && found);
    CHECK_THROWS_WITH(state(c, t.memory, nn::sgd{.momentum = 0.9, .dampening = bad}),
                      ContainsSubstring("the dampening must lie in [0, 1]") && found);
  }
  CHECK_THROWS_WITH(state(c, t.memory, own_momentum{.learning_rate = -1}), ContainsSubstring("learning rate"));
  CHECK_THROWS_WITH(state(c, t.memory, own_momentum{.learning_rate = std::numeric_limits<double>::infinity()}),
                    ContainsSubstring("learning rate"));
  CHECK_THROWS_WITH(state(c, t.memory, own_momentum{.learning_rate = 13}), ContainsSubstring("bad luck"));
  double const nan = std::numeric_limits<double>::quiet_NaN();
  for (double const bad : {-1.0, nan, std::numeric_limits<double>::infinity()}) {
    CHECK_THROWS_WITH(state(c, t.memory, nn::sgd{}, {{.pattern = "l.*", .learning_rate_scale = bad}}),
                      ContainsSubstring("group 'l.*': the scale of the learning rate"));
    CHECK_THROWS_WITH(state(c, t.memory, nn::sgd{}, {{.pattern = "l.*", .weight_decay = bad}}),
                      ContainsSubstring("group 'l.*': the weight decay"));
  }
  CHECK_NOTHROW(state(c, t.memory, nn::sgd{}, {{.pattern = "l.*", .learning_rate_scale = 0, .weight_decay = 0.0}}));
}

TEST_CASE("the global norm is that of all gradients that move something, and clipping scales down to it") {
  context<space> c{make_instance<space>(2)};
  trained t(c, nn::sequential(nn::linear<D>("a", 40, 60), nn::batch_norm<double>("bn", 60), nn::linear<D>("b", 60, 3)));
  nn::freeze(t.net, "b.bias");
  t.memory.attach(t.net);
  auto const g = draw_gradients(t, 1);
  double sum = 0;
  for (auto const& e : t.memory.entries())
    if (e.kind == nn::parameter_kind::trainable && e.requires_grad)
      for (auto i = e.begin; i < e.end; ++i) sum += g[static_cast<std::size_t>(i)] * g[static_cast<std::size_t>(i)];
  double const norm = std::sqrt(sum);
  // 2520 additions of positive numbers, in another order
  CHECK(std::abs(nn::gradient_norm(c, t.memory) - norm) < 1e-12 * norm);
  CHECK(nn::clip_scale(c, t.memory, 2 * norm) == 1.0);
  CHECK(std::abs(nn::clip_scale(c, t.memory, norm / 4) - 0.25) < 1e-12);
}

TEST_CASE("the global norm leaves out what a group holds and what is pruned") {
  context<space> c{make_instance<space>(2)};
  using M = codec::forms<codec::masked<double>>;
  trained t(c, nn::sequential(nn::linear<M>("a", 90, 61), nn::linear<M>("b", 61, 3)));  // more than a chunk
  auto w = t.value("a.weight");
  for (std::size_t i = 0; i < w.size(); i += 3) w[i] = 0;
  t.net.for_each_parameter([&](auto& p) {
    if (p.name != "a.weight") return;
    p.visit([&](auto tag, auto& s) {
      auto const dense = from_host(c, w, {90 * 61});
      decltype(tag)::type::encode(c, p.shape, static_cast<double const*>(dense.data()), s);
    });
  });
  t.memory.attach(t.net);
  auto const g = draw_gradients(t, 1);
  auto const norm = [&](bool held) {
    double sum = 0;
    for (auto const& e : t.memory.entries()) {
      if (e.kind != nn::parameter_kind::trainable || (held && e.name.starts_with("b."))) continue;
      for (auto i = e.begin; i < e.end; ++i)
        if (e.name != "a.weight" || (i - e.begin) % 3 != 0)
          sum += g[static_cast<std::size_t>(i)] * g[static_cast<std::size_t>(i)];
    }
    return std::sqrt(sum);
  };
  // 5733 additions of positive numbers, in another order
  CHECK(std::abs(nn::gradient_norm(c, t.memory) - norm(false)) < 1e-12 * norm(false));
  {
    nn::optimizer_state<double, space> const state(c, t.memory, nn::sgd{}, {{.pattern = "b.*", .frozen = true}});
    CHECK(std::abs(nn::gradient_norm(c, t.memory) - norm(true)) < 1e-12 * norm(true));
  }
  nn::optimizer_state<double, space> const other(c, t.memory, nn::sgd{});
  CHECK(std::abs(nn::gradient_norm(c, t.memory) - norm(false)) < 1e-12 * norm(false));
  // Chunks between ranks: their sums are the sum.
  auto const& a = t.memory.entries()[0];
  double chunks[2], whole = 0;
  compute::squared_norm(c.space(), a.end - a.begin, static_cast<double const*>(t.memory.gradients() + a.begin),
                        a.mask_bits, &whole);
  compute::squared_norm_chunks(c.space(), a.end - a.begin, static_cast<double const*>(t.memory.gradients() + a.begin),
                               a.mask_bits, chunks);
  CHECK(compute::fold_chunk_sums(chunks, 2) == whole);
}
