// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Layers of images in 16 bits: what they compute is what the layer of floats computes from the same numbers, rounded
// once.
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <pleat/codec/masked.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/pooling.hpp>

#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;

namespace {

template <class T> std::vector<T> rounded(std::vector<float> const& v) {
  std::vector<T> r;
  for (float const x : v) r.push_back(T(x));
  return r;
}
template <class T> std::vector<float> widened(std::vector<T> const& v) {
  std::vector<float> r;
  for (T const x : v) r.push_back(static_cast<float>(x));
  return r;
}
/// All gradients of a network, which are floats.
template <class Net> std::vector<float> gradients(trained<Net> const& t) {
  return to_host(t.c, tensor<float, space>::wrap(t.memory.gradients(), {t.memory.size()}));
}

/// Forward and backward of one layer in T and in float, from the same numbers; in two segments of lanes.
template <class T, class Narrow, class Wide>
void same_but_for_one_rounding(Narrow narrow, Wide wide, extents const& in, bool relu = false) {
  context<space> c{make_instance<space>(2)};
  trained<Narrow> n(c, std::move(narrow), 2);
  trained<Wide> w(c, std::move(wide), 2);
  for (auto const& e : n.memory.entries()) {
    if (e.begin == e.end || e.name == nn::loss_entry) continue;
    auto const v = rounded<T>(numbers<float>(e.end - e.begin, random::hash(e.name)));
    n.set(e.name, v);
    w.set(e.name, widened(v));
  }
  index_t const m = in[0];
  auto a = cut(m / 2, 2), b = cut(m - m / 2, 1, 1);
  for (auto& r : b.lanes.row) r += m / 2;
  nn::segment const segments[] = {a, b};
  auto const x = rounded<T>(numbers<float>(in.size(), 1));
  for (bool training : {false, true}) {
    auto const pn = n.pass(training ? std::span<nn::segment const>(segments) : std::span<nn::segment const>(), m,
                           training),
               pw = w.pass(pn.segments, m, training);
    auto const forward = [&](auto const& net, auto const& p, auto input) {
      if constexpr (requires { net.forward(p, input, compute::activation::relu); })
        return net.forward(p, std::move(input), relu ? compute::activation::relu : compute::activation::none);
      else return net.forward(p, std::move(input));
    };
    auto made = forward(n.net, pn, from_host(c, x, in));
    auto expected = forward(w.net, pw, from_host(c, widened(x), in));
    CHECK(same_bits(to_host(c, made.y), rounded<T>(to_host(c, expected.y))));
    if (!training) continue;
    n.begin();
    w.begin();
    auto const dy = rounded<T>(numbers<float>(made.y.size(), 2));
    auto const back = [&](auto& net, auto const& p, auto& saved, auto gradient) {
      if constexpr (requires { net.backward(p, saved, gradient); }) {
        return net.backward(p, saved, std::move(gradient));
      } else {
        auto dx = net.backward_input(p, saved, std::move(gradient));
        net.backward_weight(p, saved);
        return dx;
      }
    };
    auto const dx = back(n.net, pn, made.saved, from_host(c, dy, made.y.shape()));
    auto const expected_dx = back(w.net, pw, expected.saved, from_host(c, widened(dy), expected.y.shape()));
    CHECK(same_bits(to_host(c, dx), rounded<T>(to_host(c, expected_dx))));
    for (auto const& e : n.memory.entries()) {
      INFO(e.name);
      auto const& f = w.memory.entries()[static_cast<std::size_t>(w.memory.find(e.name))];
      auto const g = gradients(n), h = gradients(w);
      CHECK(std::equal(g.begin() + e.begin, g.begin() + e.end, h.begin() + f.begin));
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("16 bits: a convolution is one of floats, rounded once", "", bfloat16, half) {
  using N = codec::forms<codec::dense<TestType>, codec::masked<TestType>>;
  using W = codec::forms<codec::dense<float>, codec::masked<float>>;
  for (auto const& o : {nn::conv2d_options{.padding = 1},
                        {.stride = 2, .padding = 1, .bias = false},
                        {.stride = {2, 1}, .dilation = {1, 2}, .groups = 2},
                        {.groups = 4}})
    for (bool const relu : {false, true})
      same_but_for_one_rounding<TestType>(nn::conv2d<N>("c", 4, 8, {3, 2}, o), nn::conv2d<W>("c", 4, 8, {3, 2}, o),
                                          {7, 4, 9, 11}, relu);
  // a rank without samples
  same_but_for_one_rounding<TestType>(nn::conv2d<N>("c", 4, 8, 3, {.padding = 1}),
                                      nn::conv2d<W>("c", 4, 8, 3, {.padding = 1}), {0, 4, 9, 11});
}

TEMPLATE_TEST_CASE("16 bits: pooling is that of floats, rounded once", "", bfloat16, half) {
  for (auto const& in : {extents{5, 3, 8, 10}, extents{2, 7, 13, 40}}) {
    same_but_for_one_rounding<TestType>(nn::max_pool2d<TestType>(2), nn::max_pool2d<float>(2), in);
    same_but_for_one_rounding<TestType>(nn::max_pool2d<TestType>(3, {.stride = {2, 3}, .padding = 1}),
                                        nn::max_pool2d<float>(3, {.stride = {2, 3}, .padding = 1}), in);
    same_but_for_one_rounding<TestType>(
        nn::avg_pool2d<TestType>(3, {.stride = 2, .padding = 1, .count_include_pad = false}),
        nn::avg_pool2d<float>(3, {.stride = 2, .padding = 1, .count_include_pad = false}), in);
  }
}

TEMPLATE_TEST_CASE("16 bits: batch norm has float statistics and is rounded once", "", bfloat16, half) {
  for (auto const s : {nn::statistics::lane, nn::statistics::rank})
    for (auto const& in : {extents{9, 5, 4, 7}, extents{9, 5}})
      same_but_for_one_rounding<TestType>(nn::batch_norm<TestType>("b", 5, {.statistics = s}),
                                          nn::batch_norm<float>("b", 5, {.statistics = s}), in);
}
