// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Carries lists that only compute out, every action as early as its rank and its inputs allow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <pleat/plan/schedule.hpp>

namespace pleat::plan::detail {

[[nodiscard]] constexpr std::size_t at(index_t i) noexcept { return static_cast<std::size_t>(i); }

/// Ticks are whole numbers: the order that follows from them is the same on every machine and at compile time.
struct replayed {
  std::vector<std::vector<std::int64_t>> start, end;  ///< per rank and action; -1 where it never ran
  bool finished = false;                              ///< every action ran
};

/// \param ticks ticks(action) ≥ 1
template <class Ticks> [[nodiscard]] constexpr replayed replay(schedule const& s, Ticks const& ticks) {
  index_t const ranks = s.ranks(), stages = s.stages(), m = s.micro_batches;
  replayed out;
  out.start.resize(at(ranks));
  out.end.resize(at(ranks));
  std::vector<std::int64_t> forward(at(stages * m), -1), gradient(at(stages * m), -1), now(at(ranks), 0);
  std::vector<std::size_t> next(at(ranks), 0);
  std::vector<char> listed(at(ranks), 1);
  std::vector<std::int32_t> work;
  for (index_t r = ranks; r-- > 0;) {
    work.push_back(static_cast<std::int32_t>(r));
    out.start[at(r)].assign(s.actions[at(r)].size(), -1);
    out.end[at(r)].assign(s.actions[at(r)].size(), -1);
  }
  while (!work.empty()) {
    auto const r = at(work.back());
    work.pop_back();
    listed[r] = 0;
    for (; next[r] < s.actions[r].size(); ++next[r]) {
      action const& a = s.actions[r][next[r]];
      std::int64_t ready = now[r];
      index_t const cell = a.stage * m + a.micro_batch;
      if (a.kind == action_kind::forward && a.stage > 0) {
        auto const t = forward[at(cell - m)];
        if (t < 0) break;
        ready = t > ready ? t : ready;
      } else if (gives_gradient(a.kind)) {
        if (forward[at(cell)] < 0) break;
        if (a.stage + 1 < stages) {
          auto const t = gradient[at(cell + m)];
          if (t < 0) break;
          ready = t > ready ? t : ready;
        }
      } else if (a.kind == action_kind::backward_weight && gradient[at(cell)] < 0) {
        break;
      }
      out.start[r][next[r]] = ready;
      now[r] = out.end[r][next[r]] = ready + ticks(a);
      index_t neighbour = -1;
      if (a.kind == action_kind::forward) {
        forward[at(cell)] = now[r];
        if (a.stage + 1 < stages) neighbour = s.rank_of[at(a.stage + 1)];
      } else if (gives_gradient(a.kind)) {
        gradient[at(cell)] = now[r];
        if (a.stage > 0) neighbour = s.rank_of[at(a.stage - 1)];
      }
      if (neighbour >= 0 && at(neighbour) != r && !listed[at(neighbour)]) {
        listed[at(neighbour)] = 1;
        work.push_back(static_cast<std::int32_t>(neighbour));
      }
    }
  }
  out.finished = true;
  for (index_t r = 0; r < ranks; ++r) out.finished = out.finished && next[at(r)] == s.actions[at(r)].size();
  return out;
}

}  // namespace pleat::plan::detail
