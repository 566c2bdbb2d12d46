// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The tensor axis on 1 to 4 MPI ranks: the numbers of one rank within the bound of parity tests, the same collectives
// as on threads.
#include <support/collective.hpp>

#include <vector>

#include <parallel/tensor_support.hpp>
#include <pleat/comm/mpi.hpp>
#include <pleat/nn.hpp>

namespace nn = pleat::nn;
namespace par = pleat::parallel;
using pleat::test::walk;

namespace {
auto network() {
  auto const block = nn::sequential(
      nn::residual(nn::sequential(nn::layer_norm("norm1", 24), nn::linear("qkv", 24, nn::attention_width(6, 4, 3)),
                                  nn::attention("attention", 6, 4, {.key_value_heads = 3}),
                                  nn::linear("project", 24, 24), nn::dropout("drop", 0.2))),
      nn::residual(
          nn::sequential(nn::rms_norm("norm2", 24), nn::linear("fc1", 24, 50), nn::gelu(), nn::linear("fc2", 50, 24))));
  return nn::sequential(nn::embedding("tokens", 11, 24, {.positions = 8}), block, nn::layer_norm("norm", 24),
                        nn::linear("output", 24, 11, {.bias = false, .tied_to = "tokens.weight"}));
}
}  // namespace

TEST_CASE("mpi: a transformer over the tensor axis gives the serial run's gradients, by sequence too") {
  auto const serial = walk(network(), nullptr, {3, 7}, 11, 11);
  for (bool sequence : {false, true}) {
    pleat::comm::communicator axis = pleat::comm::mpi::duplicate(MPI_COMM_WORLD);
    auto const r =
        walk(par::megatron(network(), {.sequence = sequence}), axis.size() > 1 ? &axis : nullptr, {3, 7}, 11, 11);
    auto const beyond = pleat::test::beyond_bound(r, serial, pleat_test::world_size());
    INFO("sequence " << sequence << ": " << beyond);
    COLLECTIVE_CHECK(beyond.empty());
    COLLECTIVE_CHECK(pleat::test::distance(r.y, serial.y) <= 64 * 0x1p-23);
    COLLECTIVE_CHECK(r.values == serial.values);
  }
}

TEST_CASE("mpi: a column-then-row pair costs one all-reduce each way") {
  auto const net =
      nn::sequential(nn::linear("in", 8, 8), nn::linear("fc1", 8, 33), nn::gelu(), nn::linear("fc2", 33, 8));
  pleat::comm::communicator axis = pleat::comm::mpi::duplicate(MPI_COMM_WORLD);
  auto const r = walk(par::tensor_parallel(net, {par::column("fc1.*"), par::row("fc2.*")}), &axis, {5, 8}, 0, 0);
  COLLECTIVE_CHECK(r.calls == std::vector<std::uint64_t>{1, 0, 0, 0, 1, 0, 0, 0});
}
