// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A guest in a simulation: the host code owns MPI, Kokkos, a communicator and Views. Between two time steps pleat
// trains a surrogate on them without a copy, on the host's execution space, and leaves no state behind.
#include <pleat/pleat.hpp>

#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#ifdef _OPENMP
#include <omp.h>
#endif

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
  using network = decltype(pl::nn::sequential(pl::nn::linear("in", 4, 32), pl::nn::tanh_activation(),
                                              pl::nn::linear("out", 32, 1)));
  pl::world world;
  pl::parallel::model<network> model;
  pl::nn::optimizer_state<float, space> optimizer;

  surrogate(pl::comm::communicator c, pl::index_t batch)
      : world(std::move(c)),
        model(pl::parallel::build(
            pl::nn::sequential(pl::nn::linear("in", 4, 32), pl::nn::tanh_activation(), pl::nn::linear("out", 32, 1)),
            {.global_batch = batch, .data_ranks = world.size()}, world, space())),  // the host's own instance
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

// What the host has that a guest might change, and how many blocks of memory Kokkos has given out.
struct host_state {
  bool kokkos = Kokkos::is_initialized() && !Kokkos::is_finalized();
  int threads = space().concurrency(), openmp = 0, rounding = std::fegetround(), flags = 0;
  MPI_Errhandler errors = MPI_ERRHANDLER_NULL;
  long blocks = given_out;

  inline static long given_out = 0;
  static void take(Kokkos_Profiling_SpaceHandle, char const*, void const*, std::uint64_t) { ++given_out; }
  static void give(Kokkos_Profiling_SpaceHandle, char const*, void const*, std::uint64_t) { --given_out; }

  host_state() {
    MPI_Finalized(&flags);
    MPI_Comm_get_errhandler(MPI_COMM_WORLD, &errors);
#ifdef _OPENMP
    openmp = omp_get_max_threads();
#endif
  }
  friend bool operator==(host_state const&, host_state const&) = default;
};

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  Kokkos::initialize(argc, argv);
  int code = 0, rank = 0, ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (argc > 1) {
    if (rank == 0) std::fprintf(stderr, "guest: nobody takes the argument '%s'. Say guest\n", argv[1]);
    code = 2;
  } else {
    Kokkos::Tools::Experimental::set_allocate_data_callback(host_state::take);
    Kokkos::Tools::Experimental::set_deallocate_data_callback(host_state::give);
    constexpr int cells = 64;  // per rank
    field state("state", cells, 4), response("response", cells, 1);
    host_state const before;
    double first = 0, last = 0;
    {
      surrogate guest(pl::comm::communicator(pl::comm::mpi::duplicate(MPI_COMM_WORLD)), cells * ranks);
      for (int step = 0; step < 300; ++step) {
        Kokkos::parallel_for("advance", Kokkos::RangePolicy<space>(0, cells),
                             advance{state, response, 0.1f * step + rank});
        Kokkos::fence();
        last = guest.learn(state, response);
        if (step == 0) first = last;
      }
    }
    bool const clean = host_state() == before;  // the guest has gone; MPI and Kokkos go on
    if (!clean) std::printf("rank %d: the guest has left something behind\n", rank);
    if (rank == 0)
      std::printf("mean square error of the surrogate: %.4f at the first time step, %.4f at the last\n", first, last);
    code = last < 0.1 * first && clean ? 0 : 1;
  }
  Kokkos::finalize();
  MPI_Finalize();
  return code;
}
