// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A guest in a simulation: the host code owns MPI, Kokkos, a communicator and Views. Between two time steps pleat trains a surrogate on
// them without a copy, on the host's execution space, and leaves no state behind.
#include <pleat/pleat.hpp>

#include <cmath>
#include <cstdio>

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;
using field = Kokkos::View<float**, Kokkos::LayoutRight, space>;

// One time step of the host's simulation: it fills states and their responses.
struct advance {
  field state, response;
  float time;
  KOKKOS_FUNCTION void operator()(int i) const {
    for (int k = 0; k < 4; ++k) state(i, k) = Kokkos::sin(time + 0.37f * i + 1.1f * k);
    response(i, 0) = state(i, 0) * state(i, 1) + 0.5f * state(i, 2) - state(i, 3);
  }
};

// [guest]
struct surrogate {
  using network = decltype(pl::nn::sequential(pl::nn::linear("in", 4, 32), pl::nn::tanh_activation(), pl::nn::linear("out", 32, 1)));
  pl::world world;
  pl::parallel::model<network> model;
  pl::nn::optimizer_state<float, space> optimizer;

  surrogate(pl::comm::communicator c, pl::index_t batch)
      : world(std::move(c)),
        model(pl::parallel::build(pl::nn::sequential(pl::nn::linear("in", 4, 32), pl::nn::tanh_activation(), pl::nn::linear("out", 32, 1)),
                                  {.global_batch = batch, .data_ranks = world.size()}, world)),
        optimizer(model.context(), model.arena(), pl::nn::adam{.learning_rate = 1e-2}) {}

  double learn(field const& state, field const& response) {  // every rank: the cells that it owns
    model.zero_grad(model.plan().global_batch);
    auto [y, saved] = model.forward(pl::as_tensor<space>(pl::adapt(state)));
    model.backward(saved, model.mean_square(y, pl::as_tensor<space>(pl::adapt(response))).dy);
    model.reduce();
    model.step(optimizer);
    return model.loss();
  }
};
// [guest]

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  Kokkos::initialize(argc, argv);
  int code = 0;
  {
    int rank = 0, ranks = 1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    constexpr int cells = 64;  // per rank
    field state("state", cells, 4), response("response", cells, 1);
    surrogate guest(pl::comm::communicator(pl::comm::mpi::duplicate(MPI_COMM_WORLD)), cells * ranks);
    double first = 0, last = 0;
    for (int step = 0; step < 300; ++step) {
      Kokkos::parallel_for("advance", Kokkos::RangePolicy<space>(0, cells), advance{state, response, 0.1f * step + rank});
      Kokkos::fence();
      last = guest.learn(state, response);
      if (step == 0) first = last;
    }
    if (rank == 0) std::printf("mean square error of the surrogate: %.4f at the first time step, %.4f at the last\n", first, last);
    code = last < 0.1 * first ? 0 : 1;
  }
  Kokkos::finalize();
  MPI_Finalize();
  return code;
}
