// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <cmath>
#include <thread>

#include <malloc.h>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/attention.hpp>
#include <pleat/nn/check_gradients.hpp>
#include <pleat/nn/describe.hpp>

#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("attention's gradient is its derivative") {
  nn::check_options const o{.elements = 0, .tolerance = 1e-8};
  nn::demand_correct_gradients(nn::attention<double>("a", 2, 4), {2, 5, 24}, o);
  nn::demand_correct_gradients(nn::attention<double>("a", 2, 4, {.causal = false}), {1, 6, 24}, o);
  nn::demand_correct_gradients(nn::attention<double>("a", 4, 2, {.key_value_heads = 2}), {2, 5, 16}, o);
  nn::demand_correct_gradients(nn::attention<double>("a", 2, 4, {.key_value_heads = 1, .rotary = true}), {2, 7, 16}, o);
  nn::demand_correct_gradients(nn::attention<double>("a", 1, 3), {1, 1, 9}, o);
}

TEST_CASE("attention takes any whole number of groups") {
  nn::attention<> const a("a", 6, 8, {.key_value_heads = 3});
  CHECK(nn::attention_width(6, 8, 3) == 96);
  CHECK(nn::attention_width(6, 8) == 144);
  CHECK(a.group_width() == 32);
  CHECK(a.shape({2, 5, 96}) == extents{2, 5, 48});
  CHECK(a.shape({2, 5, 32}) == extents{2, 5, 16});  // one group: a rank's share
}

TEST_CASE("attention says what does not fit") {
  CHECK_THROWS_WITH(nn::attention("block.0.attention", 6, 64, {.key_value_heads = 4}),
                    ContainsSubstring("block.0.attention") && ContainsSubstring("key_value_heads = 4"));
  CHECK_THROWS_WITH(nn::attention("a", 0, 64), ContainsSubstring("heads = 0"));
  CHECK_THROWS_WITH(nn::attention("a", 2, 7, {.rotary = true}), ContainsSubstring("7 elements"));
  CHECK_THROWS_WITH(nn::attention("a", 2, 8).shape({4, 10, 40}),
                    ContainsSubstring("48") && ContainsSubstring("[4, 10, 40]"));
  CHECK_THROWS_WITH(nn::attention("a", 2, 8).shape({40, 48}), ContainsSubstring("[m, positions, 48]"));
}

TEST_CASE("with rotary positions only distances count") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::attention("a", 1, 8, {.rotary = true}));
  // the same token everywhere: every query sees equal values, and scores depend on distance; a shift of both ends
  // changes nothing
  auto const one = numbers<float>(24, 3);
  std::vector<float> x;
  for (int i = 0; i < 12; ++i) x.insert(x.end(), one.begin(), one.end());
  auto s = nn::call(t.pass({}, 1), t.net, from_host(c, x, {1, 12, 24})).saved;
  auto const turned = to_host(c, s.x);
  auto const score = [&](int i, int j) {
    double sum = 0;
    for (int e = 0; e < 8; ++e)
      sum += static_cast<double>(turned[static_cast<std::size_t>(i * 24 + e)]) *
             turned[static_cast<std::size_t>(j * 24 + 8 + e)];
    return sum;
  };
  for (int shift = 1; shift < 5; ++shift)
    // products of numbers below √2, two roundings each
    for (int d = 0; d < 7; ++d) CHECK(std::abs(score(d + shift, shift) - score(d, 0)) < 8 * 4 * 6e-8);
  CHECK(std::abs(score(3, 0) - score(0, 0)) > 1e-3);
}

TEST_CASE("a description of attention counts what a forward keeps") {
  auto const d = nn::describe(nn::attention("a", 2, 8), {3, 10, 48});
  CHECK(d.layers[0].parameters == 0);
  CHECK(d.layers[0].forward_flops == 2 * 2.0 * 3 * 2 * 8 * 55);
  // the output and one number per query; the input is the caller's
  CHECK(d.activation_bytes() == 4 * (3 * 10 * 16 + 3 * 2 * 10));
}

namespace {
/// What one attention forward and backward takes, beside its input and its output's gradient.
struct attention_bytes {
  index_t forward = 0, backward = 0;  ///< that the layer has taken from the pool when it returns, as it asked for them
  /// of the pool, in whole blocks, with input and gradient; and what the five blocks add up to
  index_t peak = 0, expected_peak = 0;
  /// work space of the thread that computed: the layer's own, and the matrix product's
  index_t strips = 0, panels = 0;
};

/// On a thread of its own, whose work space is fresh; one thread computes.
template <class T>
attention_bytes bytes_of_attention(index_t batch, index_t positions, index_t heads, index_t size, bool causal) {
  attention_bytes b;
  std::thread([&] {
    context<space> c{make_instance<space>(1)};
    trained t(c, nn::attention<T, space>("a", heads, size, {.causal = causal}));
    auto p = t.pass({}, batch);
    p.input_gradient = true;
    auto const& pool = c.pool().statistics();
    auto const taken = [&] { return static_cast<index_t>(pool.bytes_requested_in_use); };
    extents const in{batch, positions, 3 * heads * size}, out{batch, positions, heads * size},
        rows{batch, heads, positions};
    auto x = tensor<T, space>::allocate(c, in), dy = tensor<T, space>::allocate(c, out);
    compute::fill(c.space(), x.size(), T(0.25f), x.data());
    compute::fill(c.space(), dy.size(), T(0.5f), dy.data());
    auto const before = taken();
    auto step = nn::call(p, t.net, std::move(x));
    b.forward = taken() - before;
    auto const between = taken();
    auto const dx = nn::call_backward(p, t.net, step.saved, std::move(dy));
    // x and dy are gone
    b.backward = taken() - between + static_cast<index_t>(in.size() + out.size()) * static_cast<index_t>(sizeof(T));
    b.peak = static_cast<index_t>(pool.bytes_peak);
    auto const block = [](index_t bytes) {
      return static_cast<index_t>(
          pleat::pool<space>::size_of_class(pleat::pool<space>::class_of(static_cast<std::size_t>(bytes))));
    };
    auto const element = static_cast<index_t>(sizeof(T)), wide = static_cast<index_t>(sizeof(wide_t<T>));
    // x and dx, y and dy, log sums and delta
    b.expected_peak = 2 * block(in.size() * element) + 2 * block(out.size() * element) + 2 * block(rows.size() * wide);
    if constexpr (compute::is_host_space_v<space>) {
      namespace d = compute::detail;
      b.strips = static_cast<index_t>(malloc_usable_size(d::scratch<d::attention_scratch>(0)));
      b.panels = static_cast<index_t>(malloc_usable_size(d::scratch<d::gemm_scratch>(0)));
    }
  }).join();
  return b;
}
}  // namespace

TEMPLATE_TEST_CASE(
    "attention keeps no matrix of positions by positions: its memory grows as the positions do, by formula", "", float,
    bfloat16) {
  using T = TestType;
  constexpr auto element = static_cast<index_t>(sizeof(T)), wide = static_cast<index_t>(sizeof(wide_t<T>));
  for (bool const causal : {true, false})
    for (index_t const heads : {1, 3}) {
      index_t const batch = 2, size = 8;
      attention_bytes last;
      for (index_t const n : {512, 1024, 2048}) {
        INFO(n << " positions, " << heads << " heads, " << (causal ? "causal" : "not causal"));
        auto const b = bytes_of_attention<T>(batch, n, heads, size, causal);
        // From the pool: the output and a number per query; then dx and another number per query, while the first
        // number goes.
        CHECK(b.forward == batch * n * heads * (size * element + wide));
        CHECK(b.backward == batch * n * heads * (3 * size * element - wide));
        CHECK(b.peak == b.expected_peak);
        // From the thread: in backward two strips of 64 queries by all keys, as floats (rows 16 or 32 longer); of
        // 16-bit numbers keys, values and their gradients as floats beside them, and three blocks of 64 queries. A
        // fourth more, in whole pages (detail/scratch.hpp).
        index_t const strips = 2 * 64 * compute::detail::strip_stride({batch, n, heads, 1, size, causal}) * wide,
                      copies = element < wide ? (4 * n + 3 * 64) * size * wide : 0;
        index_t const asked = (strips + copies) * 5 / 4;
        index_t const unit = asked >= index_t{1} << 21 ? index_t{1} << 21 : 4096;
        if constexpr (compute::is_host_space_v<space>) {
          CHECK(b.strips >= asked);
          CHECK(b.strips < asked + unit + 4096);  // an allocator rounds up again
          CHECK(b.panels > 0);
        }
        // All of it together, panels of the matrix product too, is less than one head's matrix of weights would be.
        index_t const all = batch * n * heads * (size * element + wide) +
                            batch * n * heads * (3 * size * element + wide) + b.strips + b.panels;
        CHECK((all / (batch * heads) < n * n * wide));
        CHECK(b.strips + b.panels < n * n * wide);
        if (last.forward > 0) {
          CHECK(b.forward == 2 * last.forward);
          CHECK(b.backward == 2 * last.backward);
          CHECK(b.strips <= 2 * last.strips + 2 * unit);
          CHECK(b.panels <= 2 * last.panels + 4096);
        }
        last = b;
      }
    }
}
