// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A step's walk over a pipeline of two ranks (threads) beside its bound: two ranks that each walk their half of the
// layers without talking, and the schedule simulated with the times that those take; both in turn, in one run. (The
// second rank's half gives the gradient of its input, one product of its 24 more than the first one's.)
// `share_of_bound` near 1 means that messages and bookkeeping cost nothing: the median over rounds, each of which holds
// the walk against the bound of its own halves, so that both met the same machine. Two ranks need two idle processors.
// `cpu_share` compares processor time in place of time on the clock, likewise: under load it still says what messages
// and bookkeeping cost, though not how long ranks idle.
#include <pleat/comm/local.hpp>
#include <pleat/plan/simulate.hpp>
#include <pleat/pleat.hpp>
#include <support/clock.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <string>
#include <vector>

namespace {

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;
using tensor = pl::tensor<float, space>;
using pl::index_t;

constexpr index_t width = 256, rows = 64;  // of a micro-batch: 64 KiB per message

auto network(index_t blocks) {
  return pl::nn::repeat(
      "block", blocks,
      pl::nn::sequential(pl::nn::linear("in", width, width), pl::nn::relu(), pl::nn::linear("out", width, width)));
}
using net_type = decltype(network(1));

struct inputs {
  pl::parallel::model<net_type>* m;
  tensor x, target;
  explicit inputs(pl::parallel::model<net_type>& model)
      : m(&model),
        x(tensor::allocate(model.context(), {rows, width})),
        target(tensor::allocate(model.context(), {rows, width})) {
    pl::compute::fill(model.context().space(), x.size(), 0.5f, x.data());
    pl::compute::fill(model.context().space(), x.size(), 0.25f, target.data());
  }
  tensor input(pl::parallel::micro_batch const&) { return x; }
  tensor loss(pl::parallel::micro_batch const&, tensor y) { return m->mean_square(y, target).dy; }
};

pl::plan::plan plan_of(char const* schedule, index_t p, index_t m) {
  pl::plan::plan q;
  q.schedule = schedule;
  q.pipeline_ranks = p;
  q.micro_batches = m;
  q.global_batch = rows * m;
  return q;
}

struct seconds {
  double wall = 0, processor = 0;
};

/// What a rank of the pipeline does to its own layers, with nobody to wait for: under gpipe all forward passes come
/// first, so all their activations are alive at once; the other schedules keep few. \param first nobody wants the
/// gradient of its input
void walk_alone(pl::parallel::model<net_type>& m, inputs& source, bool first, bool forward_first) {
  auto const all = m.plan().recompute;
  auto const& micro = m.share().micro_batches();
  std::vector<pl::parallel::stage_work<net_type>> work(micro.size());
  std::vector<tensor> dy(micro.size());
  auto const pass_of = [&](std::size_t j) {
    pl::nn::pass<space> p;
    p.where = &m.context();
    p.training = true;
    p.input_gradient = !first;
    p.first_sample = micro[j].rows.begin;
    p.global_batch = m.share().batch();
    p.segments = micro[j].segments;
    return p;
  };
  auto const forward = [&](std::size_t j) {
    dy[j] = m.mean_square(work[j].forward(pass_of(j), m.net(), 0, m.layout().units(), all, source.x), source.target).dy;
  };
  auto const backward = [&](std::size_t j) {
    for (auto& e : m.arena().entries()) e.use.done = 0;
    (void)work[j].backward(pass_of(j), m.net(), 0, m.layout().units(), std::move(dy[j]));
  };
  for (std::size_t j = 0; j < micro.size(); ++j) {
    forward(j);
    if (!forward_first) backward(j);
  }
  for (std::size_t j = 0; j < micro.size() && forward_first; ++j) backward(j);
}

/// A round: each rank's half alone, and both halves as a pipeline (of the slower rank), in turn.
struct round_of {
  seconds halves[2], taken;
};

std::vector<round_of> measure(pl::plan::plan const& p, index_t blocks, int repeats) {
  std::vector<round_of> rounds(static_cast<std::size_t>(repeats));
  std::mutex guard;
  pl::comm::run_local(2, [&](pl::comm::communicator c) {
    auto meet = c.duplicate();
    auto alone_plan = p;
    alone_plan.schedule = "1f1b";
    alone_plan.pipeline_ranks = 1;
    pl::world solitude(pl::comm::communicator(pl::comm::self{}), 1), w(std::move(c), 1);
    auto half = pl::parallel::build(network(blocks / 2), alone_plan, solitude, {.seed = 1});
    auto m = pl::parallel::build(network(blocks), p, w, {.seed = 1});
    inputs half_source(half), source(m);
    auto const timed = [&](int round, auto const& of, auto const& walk) {
      meet.barrier();
      auto const t = std::chrono::steady_clock::now();
      double const busy = bench::thread_seconds();
      walk();
      double const wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
      double const used = bench::thread_seconds() - busy;
      if (round < 0) return;
      std::lock_guard const lock(guard);
      seconds& s = of(rounds[static_cast<std::size_t>(round)]);
      s.wall = std::max(s.wall, wall);
      s.processor = std::max(s.processor, used);
    };
    for (int i = -2; i < repeats; ++i) {
      auto const half_of = [&](round_of& r) -> seconds& { return r.halves[w.rank()]; };
      timed(i, half_of, [&] {
        half.zero_grad(p.global_batch);
        walk_alone(half, half_source, w.rank() == 0, p.schedule == "gpipe");
        half.context().fence();
      });
      timed(
          i, [](round_of& r) -> seconds& { return r.taken; },
          [&] {
            m.zero_grad(p.global_batch);
            m.walk(source);
            m.context().fence();
          });
      m.reduce();
    }
  });
  return rounds;
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

void pipeline(benchmark::State& state, char const* schedule, index_t m) {
  constexpr index_t blocks = 8;
  std::vector<round_of> rounds;
  for (auto _ : state) {
    rounds = measure(plan_of(schedule, 2, m), blocks, 21);
    std::vector<double> taken;
    for (auto const& r : rounds) taken.push_back(r.taken.wall);
    state.SetIterationTime(*std::min_element(taken.begin(), taken.end()));  // the others were disturbed
  }
  auto const s = pl::plan::make_schedule(pl::plan::parse_schedule_kind(schedule), 2, m);
  // A half is 8 products forward, 8 for weights, and 8 for inputs, 7 on the first rank. Of zb-v each rank has two
  // stages of half its products.
  std::vector<double> bounds, shares, cpu_shares, idle;
  for (auto const& seen : rounds) {
    pl::plan::stage_costs costs{.forward = {}, .backward_input = {}, .backward_weight = {}};
    for (auto const rank : s.rank_of) {
      double const each = seen.halves[rank].wall / static_cast<double>(m) * static_cast<double>(s.ranks()) /
                          static_cast<double>(s.stages());
      costs.forward.push_back(each * (rank == 0 ? 8 / 23.0 : 8 / 24.0));
      costs.backward_input.push_back(each * (rank == 0 ? 7 / 23.0 : 8 / 24.0));
      costs.backward_weight.push_back(each * (rank == 0 ? 8 / 23.0 : 8 / 24.0));
    }
    auto const simulated = pl::plan::simulate(s, costs);
    bounds.push_back(simulated.result.makespan);
    shares.push_back(bounds.back() / seen.taken.wall);
    cpu_shares.push_back(std::max(seen.halves[0].processor, seen.halves[1].processor) / seen.taken.processor);
    idle.push_back(simulated.result.idle_share);
  }
  state.counters["bound_ms"] = *std::min_element(bounds.begin(), bounds.end()) * 1e3;
  state.counters["share_of_bound"] = median(shares);
  state.counters["cpu_share"] = median(cpu_shares);
  state.counters["idle_share"] = median(idle);
}

void register_all() {
  for (auto const& [schedule, m] :
       {std::pair{"1f1b", 32}, {"gpipe", 32}, {"zb-h1", 32}, {"1f1b", 4}, {"zb-h1", 4}, {"zb-v", 4}})
    benchmark::RegisterBenchmark(
        ("pipeline/" + std::string(schedule) + "/ranks:2/micro_batches:" + std::to_string(m)).c_str(),
        [schedule = schedule, m = m](benchmark::State& s) { pipeline(s, schedule, m); })
        ->UseManualTime()
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
}
[[maybe_unused]] bool const registered = (register_all(), true);

}  // namespace
