// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A step's walk over a pipeline of two ranks (threads) beside its bound: two ranks that each do the work of their own
// list of the schedule without talking, and the schedule simulated with the times that those take; both in turn, in one
// run. So the bound has in it what the schedule makes of the work: under gpipe every micro-batch's activations are alive
// at once, and a backward in two halves reads activations and gradients twice (`halves_over_whole` says what that costs:
// the slower rank's list over the same list with whole backwards). `share_of_bound` near 1 means that messages and
// bookkeeping cost nothing: the median over rounds, each of which holds the walk against the bound of its own lists, so
// that both met the same machine. Two ranks need two idle processors. `cpu_share` compares processor time in place of
// time on the clock, likewise: under load it still says what messages and bookkeeping cost, though not how long ranks
// idle.
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

/// What a rank's work takes where nobody makes it wait.
struct own_work {
  seconds all;
  std::vector<double> forward, backward, weight_half;  ///< by stage: the mean of a micro-batch; a backward but for that
};

/// The work of a rank's own list of the schedule, in its order, on its own stages: what would come from another stage is
/// the source's input.
class lonely_rank {
 public:
  lonely_rank(pl::parallel::model<net_type>& m, inputs& source)
      : m_(&m),
        source_(&source),
        cells_(static_cast<std::size_t>(m.layout().count() * m.layout().schedule().micro_batches)) {}

  /// \param whole no halves: what would be the first one is all of a backward
  void walk(own_work& took, bool whole) {
    auto const& s = m_->layout().schedule();
    for (auto* sums : {&took.forward, &took.backward, &took.weight_half})
      sums->assign(static_cast<std::size_t>(s.stages()), 0.0);
    m_->zero_grad(m_->plan().global_batch);
    auto begun = std::chrono::steady_clock::now();
    for (auto const& a : s.actions[static_cast<std::size_t>(m_->pipeline().rank())]) {
      if (!pl::plan::computes(a.kind) || (whole && a.kind == kind::backward_weight)) continue;
      if (a.kind == kind::forward) forward(a);
      else backward(a, whole);
      m_->context().fence();
      auto const now = std::chrono::steady_clock::now();
      auto& sums = a.kind == kind::forward           ? took.forward
                   : a.kind == kind::backward_weight ? took.weight_half
                                                     : took.backward;
      sums[static_cast<std::size_t>(a.stage)] +=
          std::chrono::duration<double>(now - begun).count() / static_cast<double>(s.micro_batches);
      begun = now;
    }
  }

 private:
  using kind = pl::plan::action_kind;
  struct cell {
    pl::parallel::stage_work<net_type> work;
    tensor dy;
  };
  [[nodiscard]] cell& at(pl::plan::action const& a) {
    return cells_[static_cast<std::size_t>(a.stage * m_->layout().schedule().micro_batches + a.micro_batch)];
  }
  [[nodiscard]] auto const& micro(pl::plan::action const& a) const {
    return m_->share().micro_batches()[static_cast<std::size_t>(a.micro_batch)];
  }
  [[nodiscard]] pl::nn::pass<space> pass_of(pl::plan::action const& a) const {
    pl::nn::pass<space> p;
    p.where = &m_->context();
    p.training = true;
    p.input_gradient = a.stage > 0;
    p.first_sample = micro(a).rows.begin;
    p.global_batch = m_->share().batch();
    p.segments = micro(a).segments;
    return p;
  }
  void forward(pl::plan::action const& a) {
    auto const& cuts = m_->layout();
    auto y = at(a).work.forward(pass_of(a), m_->net(), cuts.begin(a.stage), cuts.end(a.stage), m_->plan().recompute,
                                source_->x);
    at(a).dy = a.stage + 1 == cuts.count() ? source_->loss(micro(a), std::move(y)) : source_->x;
  }
  void backward(pl::plan::action const& a, bool whole) {
    auto const begin = m_->layout().begin(a.stage), end = m_->layout().end(a.stage);
    auto& [work, dy] = at(a);
    for (auto& e : m_->arena().entries()) e.use.done = 0;
    if (a.kind == kind::backward_weight) work.backward_weight(pass_of(a), m_->net(), begin, end);
    else if (whole || a.kind == kind::backward) (void)work.backward(pass_of(a), m_->net(), begin, end, std::move(dy));
    else (void)work.backward_input(pass_of(a), m_->net(), begin, end, std::move(dy));
  }

  pl::parallel::model<net_type>* m_;
  inputs* source_;
  std::vector<cell> cells_;
};

/// A round: each rank's list alone, with backward as the list has it and whole, and the pipeline (of the slower rank),
/// in turn.
struct round_of {
  own_work alone[2], whole[2];
  seconds taken;
};

std::vector<round_of> measure(pl::plan::plan const& p, index_t blocks, int repeats) {
  std::vector<round_of> rounds(static_cast<std::size_t>(repeats));
  std::mutex guard;
  pl::comm::run_local(2, [&](pl::comm::communicator c) {
    auto meet = c.duplicate();
    pl::world w(std::move(c), 1);
    auto m = pl::parallel::build(network(blocks), p, w, {.seed = 1});
    inputs source(m);
    lonely_rank lonely(m, source);
    auto const timed = [&](seconds& of, auto const& walk) {
      meet.barrier();
      auto const t = std::chrono::steady_clock::now();
      double const busy = bench::thread_seconds();
      walk();
      double const wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
      double const used = bench::thread_seconds() - busy;
      std::lock_guard const lock(guard);
      of.wall = std::max(of.wall, wall);
      of.processor = std::max(of.processor, used);
    };
    bool const halves = p.schedule.starts_with("zb");
    round_of unseen;
    for (int i = -2; i < repeats; ++i) {
      round_of& r = i < 0 ? unseen : rounds[static_cast<std::size_t>(i)];
      own_work &alone = r.alone[w.rank()], &whole = r.whole[w.rank()];
      timed(alone.all, [&] { lonely.walk(alone, false); });
      if (halves) timed(whole.all, [&] { lonely.walk(whole, true); });
      timed(r.taken, [&] {
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
    rounds = measure(plan_of(schedule, 2, m), blocks, 31);
    std::vector<double> taken;
    for (auto const& r : rounds) taken.push_back(r.taken.wall);
    state.SetIterationTime(*std::min_element(taken.begin(), taken.end()));  // the others were disturbed
  }
  auto const s = pl::plan::make_schedule(pl::plan::parse_schedule_kind(schedule), 2, m);
  std::vector<double> bounds, shares, cpu_shares, idle, halves;
  for (auto const& seen : rounds) {
    pl::plan::stage_costs costs{.forward = {}, .backward_input = {}, .backward_weight = {}};
    for (std::size_t stage = 0; stage < s.rank_of.size(); ++stage) {
      own_work const& own = seen.alone[s.rank_of[stage]];
      costs.forward.push_back(own.forward[stage]);
      costs.backward_input.push_back(own.backward[stage]);  // whole, if it is: the other half costs nothing
      costs.backward_weight.push_back(own.weight_half[stage]);
    }
    auto const slower = [](own_work const(&ranks)[2]) { return std::max(ranks[0].all.wall, ranks[1].all.wall); };
    if (slower(seen.whole) > 0) halves.push_back(slower(seen.alone) / slower(seen.whole));
    auto const simulated = pl::plan::simulate(s, costs);
    bounds.push_back(simulated.result.makespan);
    shares.push_back(bounds.back() / seen.taken.wall);
    cpu_shares.push_back(std::max(seen.alone[0].all.processor, seen.alone[1].all.processor) / seen.taken.processor);
    idle.push_back(simulated.result.idle_share);
  }
  state.counters["bound_ms"] = *std::min_element(bounds.begin(), bounds.end()) * 1e3;
  state.counters["share_of_bound"] = median(shares);
  state.counters["cpu_share"] = median(cpu_shares);
  state.counters["idle_share"] = median(idle);
  if (!halves.empty()) state.counters["halves_over_whole"] = median(halves);
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
