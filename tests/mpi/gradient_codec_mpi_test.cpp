// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gradients that travel in a codec between processes, with whole state and with state stage 1.
#include <support/collective.hpp>

#include <cmath>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include <pleat/comm/local.hpp>
#include <pleat/comm/mpi.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/parallel/coded_exchange.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/run/fit.hpp>

#include "run/digits.hpp"

namespace pl = pleat;
namespace par = pleat::parallel;

namespace {

struct trained {
  std::vector<double> losses;
  std::uint64_t checksum = 0;
};

trained train(pl::comm::communicator c, par::gradient_coding const& coding, int state_stage) {
  static auto const data = test_digits();
  pl::world w(std::move(c), 1);
  w.set_sink({});
  w.comm.set_timeout(60);
  pl::plan::plan p{.global_batch = 48, .data_ranks = w.size()};
  p.bucket_bytes = 4096;  // several buckets
  p.state_stage = state_stage;
  auto const net = pl::nn::sequential(pl::nn::flatten(), pl::nn::linear("fc1", 64, 48), pl::nn::relu(),
                                      pl::nn::linear("fc2", 48, 10));
  auto m = par::build(net, p, w, {.seed = 4, .gradients = coding});
  pl::run::fit_options o;
  o.epochs = 1;
  o.optimizer = pl::nn::sgd{.learning_rate = 0.01, .momentum = 0.9};
  o.progress = false;
  auto const report = pl::run::fit(m, data.train, o);
  m.demand_equal_replicas();
  return {report.epoch_loss, m.checksum()};
}

}  // namespace

TEST_CASE("mpi: coded gradients train processes alike, and two have the bits of two threads") {
  int const ranks = pleat_test::world_size();
  auto all = pl::comm::communicator(pl::comm::mpi::duplicate(MPI_COMM_WORLD));
  par::coding_options const o{.even_if_it_does_not_pay = true};
  for (auto const& coding :
       {par::coded(par::top_k{0.1}, o), par::coded(par::int8_groups{64}, o), par::coded(par::power_sgd{2}, o)})
    for (int const stage : {0, 1}) {
      if (stage > 0 && ranks == 1) continue;  // nothing to shard
      auto const over_processes = train(all.duplicate(), coding, stage);
      trained over_threads;
      std::mutex guard;
      pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
        bool const root = c.rank() == 0;
        auto made = train(std::move(c), coding, stage);
        std::lock_guard const lock(guard);
        if (root) over_threads = std::move(made);
      });
      INFO("state stage " << stage);
      // What stays dense (biases, the loss, PowerSGD's factors) is MPI's sum, and two addends alone have one order; train()
      // has compared the replicas. Guessing has a loss of ln 10.
      COLLECTIVE_CHECK(ranks > 2 || over_processes.checksum == over_threads.checksum);
      COLLECTIVE_CHECK(ranks > 2 || over_processes.losses == over_threads.losses);
      COLLECTIVE_CHECK(over_processes.losses.front() < std::log(10.0));
    }
}
