// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The communicator beside the MPI call that a person would write by hand: run it as `mpirun -n 2 bench_comm`. Each pair
// runs the library's call and the plain one in turn within the same iterations, so that both see the same machine; the
// time of an iteration is the largest over the ranks. On one rank (`mpirun -n 1 bench_comm`): the ns around MPI's call.
#include <benchmark/benchmark.h>

#ifdef PLEAT_HAS_MPI
#include <alloca.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include <pleat/comm/lane_reduce.hpp>
#include <pleat/comm/mpi.hpp>

namespace {

using namespace pleat;

/// Repetitions within one timed iteration: short calls are timed in bulk, as MPI_Wtime resolves a fraction of them
/// only.
index_t bulk(index_t bytes) { return std::clamp<index_t>(index_t{1 << 20} / std::max<index_t>(bytes, 256), 1, 1000); }
index_t iterations(index_t bytes) {
  return bytes <= 65536 ? 60 : bytes <= (1 << 20) ? 40 : bytes <= (16 << 20) ? 10 : 6;
}

enum class what { all_reduce, broadcast, all_gather, reduce_scatter, send_receive };

/// One MPI communicator for both: two of them lie elsewhere in memory, which a short message can feel.
struct one {
  MPI_Comm plain = duplicate();
  comm::communicator c = comm::mpi::borrow(plain);
  std::vector<float> in, out;
  std::size_t part;  // of one rank; divided once, as a division costs what is measured here
  explicit one(index_t bytes)
      : in(static_cast<std::size_t>(bytes / 4), 1.0f),
        out(in.size()),
        part(in.size() / static_cast<std::size_t>(c.size())) {}
  one(one const&) = delete;
  one& operator=(one const&) = delete;
  ~one() { MPI_Comm_free(&plain); }
  static MPI_Comm duplicate() {
    MPI_Comm copy = MPI_COMM_NULL;
    MPI_Comm_dup(MPI_COMM_WORLD, &copy);
    MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN);
    return copy;
  }

  template <what W> void library() {
    if constexpr (W == what::all_reduce) {
      c.all_reduce(in, out);
    } else if constexpr (W == what::broadcast) {
      c.broadcast(in, 0);
    } else if constexpr (W == what::all_gather) {
      c.all_gather(std::span(in).first(part), std::span(out).first(part * static_cast<std::size_t>(c.size())));
    } else if constexpr (W == what::reduce_scatter) {
      c.reduce_scatter(std::span(in).first(part * static_cast<std::size_t>(c.size())), std::span(out).first(part));
    } else {
      if (c.rank() == 0) c.send(in, 1), c.receive(out, 1);
      else if (c.rank() == 1) c.receive(out, 0), c.send(in, 0);
    }
  }
  template <what W> void by_hand() {
    int const n = static_cast<int>(in.size()), p = static_cast<int>(part);
    if constexpr (W == what::all_reduce) {
      MPI_Allreduce(in.data(), out.data(), n, MPI_FLOAT, MPI_SUM, plain);
    } else if constexpr (W == what::broadcast) {
      MPI_Bcast(in.data(), n, MPI_FLOAT, 0, plain);
    } else if constexpr (W == what::all_gather) {
      MPI_Allgather(in.data(), p, MPI_FLOAT, out.data(), p, MPI_FLOAT, plain);
    } else if constexpr (W == what::reduce_scatter) {
      MPI_Reduce_scatter_block(in.data(), out.data(), p, MPI_FLOAT, MPI_SUM, plain);
    } else if (c.rank() == 0) {
      MPI_Send(in.data(), n, MPI_FLOAT, 1, 0, plain);
      MPI_Recv(out.data(), n, MPI_FLOAT, 1, 0, plain, MPI_STATUS_IGNORE);
    } else if (c.rank() == 1) {
      MPI_Recv(out.data(), n, MPI_FLOAT, 0, 0, plain, MPI_STATUS_IGNORE);
      MPI_Send(in.data(), n, MPI_FLOAT, 0, 0, plain);
    }
  }
};

/// Seconds of a call, from n of them in a row, as a program has it: the call stands in a loop. One function for each way,
/// so that neither pays for what the compiler does with the other one beside it.
template <what W> [[gnu::noinline]] double by_library(one& o, index_t n) {
  double const begin = MPI_Wtime();
  for (index_t i = 0; i < n; ++i) o.library<W>();
  return (MPI_Wtime() - begin) / static_cast<double>(n);
}
template <what W> [[gnu::noinline]] double by_hand(one& o, index_t n) {
  double const begin = MPI_Wtime();
  for (index_t i = 0; i < n; ++i) o.by_hand<W>();
  return (MPI_Wtime() - begin) / static_cast<double>(n);
}
struct pair {
  double (*library)(one&, index_t);
  double (*by_hand)(one&, index_t);
};
template <what W> constexpr pair both{by_library<W>, by_hand<W>};

double largest(double seconds) {
  double all = seconds;
  MPI_Allreduce(&seconds, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  return all;
}

void run(benchmark::State& state, pair f, index_t bytes, bool ours) {
  one o(bytes);
  auto const n = bulk(bytes);
  for (int i = 0; i < 3; ++i) f.library(o, 1), f.by_hand(o, 1);
  std::vector<double> seconds;
  for (auto _ : state) {
    double mine = 0;
    for (bool const now : {ours, !ours}) {  // the other one runs too, untimed, so that both find the same caches
      MPI_Barrier(o.plain);
      double const t = largest((now ? f.library : f.by_hand)(o, n));
      if (now == ours) mine = t;
    }
    state.SetIterationTime(mine);
    seconds.push_back(mine);
  }
  std::sort(seconds.begin(), seconds.end());
  state.counters["median_us"] = seconds[seconds.size() / 2] * 1e6;
  state.counters["best_us"] = seconds.front() * 1e6;
}

/// The ratio itself, what the target (<= 1.02) is about: the median over rounds of four turns each - ours, by hand, by
/// hand, ours, or the other way round - so that what disturbs or drifts meets both alike. Rounds go on for `window`
/// seconds, and until there are `least_rounds`. Each pair of rounds has its frames elsewhere in a page, as the calls of
/// a program have: where MPI's own frames lie is felt by a message of a few bytes, in one process as a hundredth of its
/// time for us and in the next one against us. How far from 1 chance alone gets, twice over: `ratio_low` and
/// `ratio_high` are the ranks among the rounds' ratios between which the true median lies in 95 of 100 runs, whatever
/// they are distributed like; `ratio_itself` is one turn by hand over the other of the same round, by the same median
/// (of two turns instead of four: chance moves it further).
void ratio(benchmark::State& state, pair f, index_t bytes) {
  constexpr double window = 0.5;
  constexpr std::size_t least_rounds = 24;
  one o(bytes);
  auto const n = std::min<index_t>(bulk(bytes), 200);  // short turns: most rounds are disturbed by nobody
  std::size_t depth = 0;
  auto const turn = [&] [[gnu::noinline]] (bool ours) {  // what it takes of the stack it gives back
    MPI_Barrier(o.plain);
    auto* volatile const below = static_cast<char*>(alloca(16 + depth));  // the calls' frames begin here
    below[0] = 0;
    return largest((ours ? f.library : f.by_hand)(o, n));
  };
  for (int i = 0; i < 3; ++i) f.library(o, 1), f.by_hand(o, 1);
  std::vector<double> ratios, itself;
  for (auto _ : state) {
    double const begin = MPI_Wtime();
    bool first = false;
    do {
      first = !first;
      depth = ratios.size() / 2 * 592 % 4096;  // every multiple of 16 in turn
      double const a = turn(first), b = turn(!first), c = turn(!first), d = turn(first);
      double const mine = first ? a + d : b + c, hand = first ? b + c : a + d;
      ratios.push_back(mine / hand);
      itself.push_back(first ? b / c : d / a);
    } while (largest(MPI_Wtime() - begin) < window || ratios.size() < least_rounds);
    state.SetIterationTime(largest(MPI_Wtime() - begin));
  }
  std::sort(ratios.begin(), ratios.end());
  std::sort(itself.begin(), itself.end());
  auto const of = [](std::vector<double> const& v, double rank) {
    return v[static_cast<std::size_t>(std::clamp(rank, 0.0, static_cast<double>(v.size() - 1)))];
  };
  double const rounds = static_cast<double>(ratios.size()), half = 1.96 * std::sqrt(rounds) / 2;
  state.counters["rounds"] = rounds;
  state.counters["ratio_median"] = of(ratios, rounds / 2);
  state.counters["ratio_low"] = of(ratios, std::floor(rounds / 2 - half));
  state.counters["ratio_high"] = of(ratios, std::ceil(rounds / 2 + half));
  state.counters["ratio_itself"] = of(itself, rounds / 2);
}

/// What lies around MPI's call, in ns, from the least times by turns: on one rank, whose calls wait for nobody.
void around(benchmark::State& state, pair f) {
  one o(8);
  constexpr int n = 20000;
  double ours = 1e9, plain = 1e9;
  for (auto _ : state) {
    double const mine = f.library(o, n), hand = f.by_hand(o, n);
    ours = std::min(ours, mine), plain = std::min(plain, hand);
    state.SetIterationTime(mine);
  }
  state.counters["ns_around"] = (ours - plain) * 1e9;
}

/// The sum over 8 lanes, one slot per rank, beside the all_reduce that it replaces.
void lanes(benchmark::State& state, index_t bytes) {
  one o(bytes);
  index_t const n = bytes / 4;
  comm::lane_request<float> r(o.c, 8, n);
  std::vector<float> slots(static_cast<std::size_t>(n * r.roots()), 1.0f);
  for (auto _ : state) {
    MPI_Barrier(o.plain);
    double const begin = MPI_Wtime();
    r.start(slots.data(), n, n, o.out.data());
    r.wait();
    state.SetIterationTime(largest(MPI_Wtime() - begin));
  }
}

std::string named(index_t bytes) {
  return bytes >= (1 << 20) ? std::to_string(bytes >> 20) + "MiB"
         : bytes >= 1024    ? std::to_string(bytes >> 10) + "KiB"
                            : std::to_string(bytes) + "B";
}

int register_all() {
  struct entry {
    pair f;
    char const* name;
  };
  constexpr entry entries[] = {{both<what::all_reduce>, "all_reduce"},
                               {both<what::broadcast>, "broadcast"},
                               {both<what::all_gather>, "all_gather"},
                               {both<what::reduce_scatter>, "reduce_scatter"},
                               {both<what::send_receive>, "send_receive"}};
  char const* const ranks =
      std::getenv("OMPI_COMM_WORLD_SIZE") ? std::getenv("OMPI_COMM_WORLD_SIZE") : std::getenv("PMI_SIZE");
  if (!ranks) return 0;
  if (std::string(ranks) == "1") {  // alone there is no message to compare
    for (auto const& e : entries)
      if (e.f.library != both<what::send_receive>.library)
        benchmark::RegisterBenchmark((std::string("comm/around/") + e.name + "/ranks:1").c_str(), around, e.f)
            ->UseManualTime()
            ->Iterations(400);
    return 0;
  }
  std::string const tail = std::string("/ranks:") + ranks;
  for (auto const& e : entries)
    for (index_t const bytes : {index_t{8}, index_t{64}, index_t{512}, index_t{4} << 10, index_t{32} << 10,
                                index_t{256} << 10, index_t{2} << 20, index_t{16} << 20, index_t{64} << 20}) {
      auto const about = std::string("/") + e.name + "/f32/" + named(bytes) + tail;
      auto const n = iterations(bytes);
      benchmark::RegisterBenchmark(("comm" + about).c_str(), run, e.f, bytes, true)->UseManualTime()->Iterations(n);
      benchmark::RegisterBenchmark(("peer/mpi" + about).c_str(), run, e.f, bytes, false)
          ->UseManualTime()
          ->Iterations(n);
      benchmark::RegisterBenchmark(("comm/ratio" + about).c_str(), ratio, e.f, bytes)->UseManualTime()->Iterations(1);
    }
  for (index_t bytes : {index_t{4096}, index_t{1} << 20, index_t{16} << 20})
    benchmark::RegisterBenchmark(("comm/lane_all_reduce/f32/" + named(bytes) + tail).c_str(), lanes, bytes)
        ->UseManualTime()
        ->Iterations(iterations(bytes));
  return 0;
}
[[maybe_unused]] int const registered = register_all();

}  // namespace
#endif
