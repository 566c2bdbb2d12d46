// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Pieces of work that ranks of one program (threads) do by turns, to be compared with each other. A machine's speed
/// drifts by more than what is looked for, so a piece's time says little and its quotient with its neighbour in time
/// much: a round holds a block of steps of each piece, the quotient is taken within the round, and the figure is the
/// median over rounds.
#pragma once

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

namespace bench {

/// A median, and the interval that holds the true one in 95 of 100 cases if rounds are independent: the order statistics
/// half the number of rounds ± 0.98 of its root, whatever the distribution.
struct estimate {
  double median = 0, low = 0, high = 0;

  /// Counters `name`, `name_low` and `name_high`.
  void tell(benchmark::State& state, std::string const& name) const {
    state.counters[name] = median;
    state.counters[name + "_low"] = low;
    state.counters[name + "_high"] = high;
  }
};

inline estimate median_of(std::vector<double> v) {
  std::erase_if(v, [](double x) { return std::isnan(x); });  // a piece that had no block in a round
  if (v.empty()) return {};
  std::sort(v.begin(), v.end());
  auto const n = static_cast<double>(v.size());
  auto const at = [&](double number) {  // counted from 1
    return v[static_cast<std::size_t>(std::clamp(number, 1.0, n)) - 1];
  };
  double const reach = 0.98 * std::sqrt(n);
  return {(at(std::floor((n + 1) / 2)) + at(std::ceil((n + 1) / 2))) / 2, at(std::floor(n / 2 - reach)),
          at(std::ceil(n / 2 + reach) + 1)};
}

/// One rank's part of a piece of work.
struct piece {
  std::function<void()> step;             ///< none: the rank sleeps until the others are done
  int steps = 1;                          ///< timed, of a block; all ranks begin each of them together
  std::function<void()> begin = nullptr;  ///< before a block, untimed: it may bring the piece's memory into the caches
  std::function<void()> end = nullptr;    ///< after a block, untimed
  int every = 1;                          ///< in how many rounds there is one block
};

class turns {
  using clock = std::chrono::steady_clock;

 public:
  explicit turns(int ranks) : rest_(ranks), ranks_(static_cast<std::size_t>(ranks)) {}

  /// Every rank calls it with its pieces, as many and with as many steps on each. The first two change places from round
  /// to round, the others follow them. Two rounds are not looked at: they take memory from the system.
  /// \param window seconds after which no round begins, if there have been `least`
  void take(int rank, std::vector<piece> const& pieces, double window, int least) {
    if (rank == 0) seconds_.assign(pieces.size(), {});
    clock::time_point begun;
    for (int round = -2;; ++round) {
      if (rank == 0) {
        if (round == 0) begun = clock::now();
        over_ = round >= least && std::chrono::duration<double>(clock::now() - begun).count() > window;
      }
      rest_.arrive_and_wait();
      if (over_) return;
      for (std::size_t k = 0; k < pieces.size(); ++k) {
        std::size_t const which = k < 2 && pieces.size() > 1 ? (k + static_cast<std::size_t>(round & 1)) % 2 : k;
        bool const due = round < 0 || round % pieces[which].every == 0;
        double const s = due ? block(static_cast<std::size_t>(rank), pieces[which]) : std::nan("");
        if (rank == 0 && round >= 0) seconds_[which].push_back(s);
      }
    }
  }

  /// Seconds of a step of piece k, until the last rank was done.
  [[nodiscard]] estimate median(std::size_t k) const { return median_of(seconds_[k]); }
  /// f(a, b) of the seconds of a step of two pieces, round by round.
  template <class F> [[nodiscard]] estimate median(std::size_t a, std::size_t b, F const& f) const {
    std::vector<double> v;
    for (std::size_t i = 0; i < seconds_[a].size(); ++i) v.push_back(f(seconds_[a][i], seconds_[b][i]));
    return median_of(std::move(v));
  }
  [[nodiscard]] estimate quotient(std::size_t a, std::size_t b) const {
    return median(a, b, [](double x, double y) { return x / y; });
  }
  [[nodiscard]] int rounds() const { return static_cast<int>(seconds_.front().size()); }

 private:
  struct of_rank {
    alignas(64) clock::time_point begin;
    clock::time_point end;
  };

  double block(std::size_t rank, piece const& p) {
    if (p.begin) p.begin();
    double sum = 0;
    for (int i = 0; i < p.steps; ++i) {
      rest_.arrive_and_wait();
      meet();
      ranks_[rank].begin = clock::now();
      if (p.step) p.step();
      ranks_[rank].end = clock::now();
      rest_.arrive_and_wait();  // a rank that has nothing to do sleeps here and disturbs nobody
      auto begin = ranks_.front().begin, end = ranks_.front().end;
      for (of_rank const& r : ranks_) begin = std::min(begin, r.begin), end = std::max(end, r.end);
      sum += std::chrono::duration<double>(end - begin).count();
    }
    if (p.end) p.end();
    return sum / p.steps;
  }

  /// Who was asleep comes late: all are awake when they leave this.
  void meet() {
    auto const met = met_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<int>(ranks_.size())) {
      arrived_.store(0, std::memory_order_relaxed);
      met_.store(met + 1, std::memory_order_release);
      return;
    }
    for (int i = 0; met_.load(std::memory_order_acquire) == met; ++i)
      if (i > 10000) std::this_thread::yield();
  }

  std::barrier<> rest_;
  std::vector<of_rank> ranks_;
  alignas(64) std::atomic<int> arrived_{0};
  std::atomic<unsigned> met_{0};
  bool over_ = false;
  std::vector<std::vector<double>> seconds_;
};

}  // namespace bench
