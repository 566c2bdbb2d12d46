// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>

#include <pleat/codec/blocks.hpp>

#include "nn/nn_nets.hpp"
#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;

namespace {
/// A ReLU that nobody can fuse.
struct lone_relu : nn::relu<float> {
  static constexpr bool fusable = false;
};
/// A layer that can only answer.
struct doubled {
  struct saved {};
  extents shape(extents in) const { return in; }
  nn::step<saved, tensor<float, space>> forward(nn::pass<space> const& p, tensor<float, space> x) const {
    auto y = tensor<float, space>::allocate(*p.where, x.shape());
    compute::scale(p.space(), x.size(), 2.0f, static_cast<float const*>(x.data()), y.data());
    return {std::move(y), {}};
  }
  void for_each_parameter(auto&&) {}
};
static_assert(!nn::detail::fusable_activation<lone_relu> && nn::detail::fusable_activation<nn::relu<>>);
static_assert(nn::detail::masks_input<nn::linear<>> && nn::detail::fuses_activation<nn::conv2d<>>);

template <class Relu> auto two_layers() {
  return nn::sequential(nn::linear("a", 9, 12), Relu(), nn::linear("b", 12, 8), Relu(), nn::linear("c", 8, 5));
}
}  // namespace

TEST_CASE("a fused ReLU has the bits of one that stands alone, forward and backward") {
  context<space> c{make_instance<space>(2)};
  auto const x = random_tensor<float>(c, {11, 9}, 1), dy = random_tensor<float>(c, {11, 5}, 2);
  auto const all = cut(11, 2);
  auto const run = [&](auto net) {
    trained t(c, std::move(net));
    auto const p = t.pass({&all, 1}, 11);
    t.begin();
    auto out = nn::call(p, t.net, x);
    auto const y = to_host(c, out.y);
    auto const dx = to_host(c, nn::call_backward(p, t.net, out.saved, dy));
    return std::tuple(y, dx, t.gradients());
  };
  CHECK(run(two_layers<nn::relu<>>()) == run(two_layers<lone_relu>()));
}

TEST_CASE("a sequence of weights that cannot be trained has the gradient of its input") {
  context<space> c{make_instance<space>(2)};
  auto const x = random_tensor<float>(c, {11, 32}, 1), dy = random_tensor<float>(c, {11, 5}, 2);
  auto const run = [&](auto relu) {
    using form = codec::q8_0<float>;
    using stored = nn::linear<codec::forms<form>, space>;
    auto net = nn::sequential(stored("a", 32, 64, {.bias = false}), relu, stored("b", 64, 5, {.bias = false}));
    nn::for_each_parameter(net, [&](auto& w) {  // the empty biases are dense
      if constexpr (std::remove_cvref_t<decltype(w)>::forms::template contains<form>)
        form::encode(c, w.shape, numbers<float>(w.size(), static_cast<std::uint64_t>(w.shape[0])).data(),
                     w.storage_of(codec::form_tag<form>{}));
    });
    nn::pass<space> p;
    p.where = &c;
    p.training = true;
    auto out = nn::call(p, net, x);
    return to_host(c, nn::call_backward_input(p, net, out.saved, dy));
  };
  auto const fused = run(nn::relu<>());
  CHECK(same_bits(fused, run(lone_relu())));
  CHECK(std::any_of(fused.begin(), fused.end(), [](float d) { return d != 0; }));
}

TEST_CASE("inference never asks for a backward") {
  context<space> c{make_instance<space>(1)};
  auto const net = nn::sequential(nn::relu(), doubled{}, nn::repeat("r", 2, doubled{}), nn::residual(doubled{}),
                                  nn::branch(nn::merge::sum, doubled{}, doubled{}));
  nn::pass<space> p;
  p.where = &c;
  auto const y = to_host(c, nn::call(p, net, from_host<float>(c, {-1, 0.5f}, {1, 2})).y);
  CHECK(y == std::vector<float>{0, 0.5f * 2 * 4 * 3 * 4});
}

TEST_CASE("a sequence runs in any cut of its units, with the same bits") {
  context<space> c{make_instance<space>(2)};
  auto const x = random_tensor<float>(c, {6, 2, 8, 8}, 1), dy = random_tensor<float>(c, {6, 6}, 2);
  auto const all = cut(6, 2);
  trained t(c, image_net<float>());
  REQUIRE(t.net.units() == image_units);
  auto const p = t.pass({&all, 1}, 6);
  t.begin();
  auto out = nn::call(p, t.net, x);
  auto const y = to_host(c, out.y);
  auto const dx = to_host(c, nn::call_backward(p, t.net, out.saved, dy));
  auto const g = t.gradients();
  for (index_t cut_at = 0; cut_at <= image_units; ++cut_at) {
    INFO("cut at unit " << cut_at);
    CHECK(nn::shape_units(t.net, nn::shape_units(t.net, x.shape(), 0, cut_at), cut_at, image_units) == extents{6, 6});
    for (bool const split : {false, true}) {
      trained u(c, image_net<float>());
      u.begin();
      typename decltype(u.net)::saved first, second;  // as on two ranks
      auto middle = nn::forward_units(p, u.net, 0, cut_at, x, first);
      CHECK(middle.shape() == nn::shape_units(u.net, x.shape(), 0, cut_at));
      CHECK(same_bits(y, to_host(c, nn::forward_units(p, u.net, cut_at, image_units, middle, second))));
      middle = {};
      tensor<float, space> d;
      if (split) {
        d = nn::backward_input_units(p, u.net, cut_at, image_units, second, dy);
        d = nn::backward_input_units(p, u.net, 0, cut_at, first, std::move(d));
        nn::backward_weight_units(p, u.net, cut_at, image_units, second);
        nn::backward_weight_units(p, u.net, 0, cut_at, first);
      } else {
        d = nn::backward_units(p, u.net, cut_at, image_units, second, dy);
        d = nn::backward_units(p, u.net, 0, cut_at, first, std::move(d));
      }
      CHECK(same_bits(dx, to_host(c, d)));
      CHECK(same_bits(g, u.gradients()));
    }
  }
}

TEST_CASE("map builds the same tree of other leaves") {
  auto const net = nn::sequential(nn::linear("a", 4, 4), nn::repeat("r", 2, nn::residual(nn::linear("l", 4, 4))),
                                  nn::branch(nn::merge::sum, nn::linear("b", 4, 4), nn::relu()));
  std::vector<std::string> kinds;
  auto const same = nn::map_leaves(net, [&](auto const& l) {
    kinds.push_back(l.kind);
    return l;
  });
  static_assert(std::is_same_v<decltype(same), decltype(net)>);
  CHECK(kinds == std::vector<std::string>{"linear", "linear", "linear", "linear", "relu"});
  CHECK(same.layer<1>().copy(1).body().name() == "r.1.l");
}

namespace {
std::vector<std::string> regions;
void hear_region(char const* name) { regions.emplace_back(name); }
}  // namespace

TEST_CASE("a tool hears every layer by its name, fused with its activation or not") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::sequential(nn::linear("a", 9, 12), nn::relu(), nn::linear("b", 12, 8), lone_relu()));
  auto const all = cut(11, 1);
  auto const p = t.pass({&all, 1}, 11);
  t.begin();
  auto const x = random_tensor<float>(c, {11, 9}, 1), dy = random_tensor<float>(c, {11, 8}, 2);
  auto const before = Kokkos::Tools::Experimental::get_callbacks();
  Kokkos::Tools::Experimental::set_push_region_callback(hear_region);
  auto out = nn::call(p, t.net, x);
  static_cast<void>(nn::call_backward(p, t.net, out.saved, dy));
  Kokkos::Tools::Experimental::set_callbacks(before);
  std::vector<std::string> layers;
  for (auto const& name : regions)
    if (name.find("sequential") == std::string::npos) layers.push_back(name);
  CHECK(layers == std::vector<std::string>{"pleat::nn::forward a", "pleat::nn::forward b", "pleat::nn::forward relu",
                                           "pleat::nn::backward relu", "pleat::nn::backward b",
                                           "pleat::nn::backward a"});
}
