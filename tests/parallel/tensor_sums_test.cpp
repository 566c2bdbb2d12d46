// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/tensor_sums.hpp>

#include "parallel/transformer_training.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace transformer_training;

namespace {

/// One step of plain descent, clipped, away from the same values. A gradient differs from the serial one by B·‖g‖ at
/// the most, B = 4·1.03^L·eps for L parameters, times 2·√ranks because so many partial sums are made of every product
/// (parity tests of the field; tensor_support.hpp). The norm by B of itself, and so does the factor that clips. Then w
/// − rate·factor·g differs by 2·B of its move, and by one rounding of w. A parameter is at least as large as its move
/// here (biases begin at zero and are the move). The loss has gone through forward only: 64·eps, as the answers of
/// tensor_recipe_test.cpp.
void close(outcome const& a, outcome const& serial, pl::index_t ranks) {
  double const eps = 0x1p-23, bound = 4 * std::pow(1.03, static_cast<double>(serial.values.size())) * eps * 2 *
                                      std::sqrt(static_cast<double>(ranks));
  REQUIRE(a.values.size() == serial.values.size());
  for (auto const& [name, v] : serial.values) {
    INFO(name);
    CHECK(distance(a.values.at(name), v) < 2 * bound + eps);
  }
  CHECK(std::abs(a.losses[0] - serial.losses[0]) < 64 * eps * serial.losses[0]);
  CHECK(std::abs(a.norms[0] - serial.norms[0]) < bound * serial.norms[0]);
}
/// Trains `net` under a plan and compares.
template <class Net> void check_close(Net const& net, pl::plan::plan const& p, outcome const& serial) {
  close(train_on(net, p), serial, p.ranks());
}

}  // namespace

TEST_CASE("data times tensor trains as one rank does, clipping by the norm of whole gradients") {
  auto const serial = train_on(gpt(), {.global_batch = 8});
  for (bool sequence : {false, true})
    for (auto const& [data, tensor] : {std::pair{1, 2}, {2, 2}, {1, 3}, {2, 4}, {3, 2}}) {
      INFO("data " << data << ", tensor " << tensor << ", sequence " << sequence);
      check_close(par::megatron(gpt(), {.sequence = sequence}),
                  {.global_batch = 8, .data_ranks = data, .tensor_ranks = tensor}, serial);
    }
}

TEST_CASE("after the second step the pools of a model over the tensor axis take nothing") {
  for (bool sequence : {false, true})
    for (bool deterministic : {false, true})
      CHECK(train_on(par::megatron(gpt(), {.sequence = sequence}),
                     {.global_batch = 8, .tensor_ranks = 3, .deterministic = deterministic}, {.steps = 5})
                .taken_later == 0);
}

TEST_CASE(
    "in deterministic mode a fixed tensor extent gives the same bits on any number of data ranks and micro-batches") {
  for (bool sequence : {false, true}) {
    auto const net = par::megatron(gpt(), {.sequence = sequence});
    pl::plan::plan p{.global_batch = 8, .tensor_ranks = 2, .deterministic = true};
    auto const reference = train_on(net, p, {.steps = 3});
    for (int data : {2, 4})
      for (int micro : {1, 2}) {
        auto q = p;
        q.data_ranks = data;
        q.micro_batches = micro;
        auto const r = train_on(net, q, {.steps = 3});
        INFO("data " << data << ", micro-batches " << micro << ", sequence " << sequence);
        CHECK(r.values == reference.values);
        CHECK(r.losses == reference.losses);
        CHECK(r.norms == reference.norms);
      }
  }
}

TEST_CASE("tensor times pipeline and tensor times sharded state train as one rank does") {
  auto const serial = train_on(gpt(), {.global_batch = 8});
  for (bool sequence : {false, true}) {
    auto const net = par::megatron(gpt(), {.sequence = sequence});
    INFO("sequence " << sequence);
    check_close(net, {.global_batch = 8, .tensor_ranks = 2, .pipeline_ranks = 2, .micro_batches = 4}, serial);
    check_close(net, {.global_batch = 8, .data_ranks = 2, .tensor_ranks = 2, .pipeline_ranks = 2, .micro_batches = 2},
                serial);
    for (int stage : {1, 2, 3}) {
      INFO("stage " << stage);
      // uneven parts
      check_close(net, {.global_batch = 8, .data_ranks = 2, .tensor_ranks = 3, .state_stage = stage}, serial);
    }
  }
}
