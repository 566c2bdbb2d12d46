// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Law 11: after the first step, a training step and an answer allocate nothing: neither from the memory space (Views
// are, too) nor from the heap.
#include <catch2/catch_test_macros.hpp>

#include "../../examples/07_language_model/network.hpp"
#include "nn/nn_nets.hpp"
#include "nn/nn_support.hpp"
#include "support/count_allocations.hpp"
#include "support/count_views.hpp"

using namespace pleat;
using namespace pleat::test;

namespace {

/// Two steps of training and an answer with `net`, then four whose allocations are counted.
template <class Net>
void allocates_nothing(Net const& net, std::vector<float> const& input, extents const& in,
                       std::vector<std::int32_t> const& labels, extents const& label_shape) {
  context<space> c{make_instance<space>(2)};
  trained t(c, net);
  nn::optimizer_state<float, space> optimizer(c, t.memory, nn::adamw{});
  auto const x = from_host(c, input, in);
  auto const y = from_host(c, labels, label_shape);
  auto const s = cut(8, 4);
  double norm = 0;
  auto const step = [&](std::uint64_t number) {
    auto p = t.pass({&s, 1}, 8);
    p.step = number;
    p.input_gradient = false;
    t.begin();
    auto out = nn::call(p, t.net, x);
    auto loss = nn::cross_entropy{}(p, std::move(out.y), y);
    (void)nn::call_backward(p, t.net, out.saved, std::move(loss.dy));
    norm += nn::gradient_norm(c, t.memory);
    optimizer.apply(c, t.memory);
    p.training = false;
    (void)nn::call(p, t.net, x);
  };
  for (std::uint64_t i = 0; i < 2; ++i) step(i);
  auto const before = c.pool().statistics().allocations, host_before = c.host_pool().statistics().allocations;
  std::uint64_t number = 2;
  auto const steps = [&] {
    for (int i = 0; i < 4; ++i) step(number++);
  };
  CHECK(pleat_test::allocations_in(steps) == 0);
  {
    pleat_test::view_counter const views;  // after the heap: a tool that listens makes Kokkos put names together
    steps();
    CHECK(views.count() == 0);
  }
  CHECK(c.pool().statistics().allocations == before);
  CHECK(c.host_pool().statistics().allocations == host_before);
  CHECK(norm > 0);
}

}  // namespace

TEST_CASE("the counters count: a number, a block on a border of its own, a View") {
  struct alignas(128) wide {
    char bytes[128];
  };
  // an explicit call is never left out
  CHECK(pleat_test::allocations_in([] { ::operator delete(::operator new(1)); }) == 1);
  CHECK(pleat_test::allocations_in([] {
          ::operator delete(::operator new(sizeof(wide), std::align_val_t{alignof(wide)}),
                            std::align_val_t{alignof(wide)});
          ::operator delete[](::operator new[](sizeof(wide), std::align_val_t{alignof(wide)}, std::nothrow),
                              std::align_val_t{alignof(wide)});
        }) == 2);
  pleat_test::view_counter const views;
  Kokkos::View<float*, space> const v("v", 3);
  CHECK(views.count() == 1);
}

TEST_CASE("a steady state allocates nothing") {
  allocates_nothing(image_net<float>(), numbers<float>(8 * 2 * 8 * 8, 1), {8, 2, 8, 8}, {0, 1, 2, 3, 4, 5, 0, 1}, {8});
}

TEST_CASE("a steady state of a GPT allocates nothing") {
  index_t const context_length = 70;  // more than one block of queries
  std::vector<float> tokens;
  std::vector<std::int32_t> next;
  for (index_t i = 0; i < 8 * context_length; ++i) {
    tokens.push_back(static_cast<float>(i * i % 11));
    next.push_back(static_cast<std::int32_t>((i + 1) * (i + 1) % 11));
  }
  // the output layer is not tied: with several lanes in one slot a weight has one use
  using F = dense_forms<float>;
  gpt::sizes const s{
      .vocabulary = 11, .context = context_length, .layers = 2, .width = 16, .heads = 4, .key_value_heads = 2};
  allocates_nothing(nn::sequential(nn::embedding("tokens", 11, 16, {.positions = context_length}),
                                   nn::repeat("block", 2, gpt::block(s)), nn::layer_norm("norm", 16),
                                   nn::linear<F>("output", 16, 11)),
                    tokens, {8, context_length}, next, {8, context_length});
}
