// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A schedule of one's own: lists of work per rank, checked, completed by passes, compared with 1F1B, drawn.
#include <pleat/plan/schedule_check.hpp>
#include <pleat/plan/schedule_passes.hpp>
#include <pleat/plan/schedule_picture.hpp>
#include <pleat/plan/schedules.hpp>
#include <pleat/plan/simulate.hpp>

#include <cstdio>
#include <exception>

namespace pl = pleat;
namespace plan = pleat::plan;

// [own_schedule]
// 1F1B that puts every weight half off to the end: the input halves, which other ranks wait for, go first.
constexpr plan::schedule weights_last(pl::index_t ranks, pl::index_t micro_batches) {
  using enum plan::action_kind;
  plan::schedule s{micro_batches, plan::place_in_loops(ranks), {}};
  for (int r = 0; r < ranks; ++r) {
    auto& list = s.actions.emplace_back();
    int const warm_up = static_cast<int>(std::min(micro_batches, ranks - r));
    for (int j = 0; j < warm_up; ++j) list.push_back({forward, r, j});
    for (int j = 0; j < micro_batches; ++j) {
      list.push_back({backward_input, r, j});
      if (j + warm_up < micro_batches) list.push_back({forward, r, j + warm_up});
    }
    for (int j = 0; j < micro_batches; ++j) list.push_back({backward_weight, r, j});
  }
  return s;
}
static_assert(!plan::find_fault(plan::with_messages(weights_last(4, 8))));  // the compiler has checked it
// [own_schedule]

int main() try {
  // [use]
  auto const mine = weights_last(4, 8);
  plan::check(plan::with_messages(mine));  // throws what is missing, doubled, too early, or who waits for whom
  auto const step = plan::simulate(mine), known = plan::simulate(plan::one_f_one_b(4, 8));
  std::printf("%s", plan::draw_text(mine, step).c_str());
  std::printf("mine: %g, idle %.1f %%, rank 0 holds %d\n", step.result.makespan, 100 * step.result.idle_share,
              static_cast<int>(step.result.ranks[0].peak_activations));
  std::printf("1f1b: %g, idle %.1f %%, rank 0 holds %d\n", known.result.makespan, 100 * known.result.idle_share,
              static_cast<int>(known.result.ranks[0].peak_activations));

  auto careless = plan::with_messages(mine);
  auto& first = careless.actions[0];
  std::swap(first[0], first[2]);  // rank 0 begins with micro-batch 1: forward, and
  std::swap(first[1], first[3]);  // the message, which rank 1 expects later
  std::printf("%s\n", plan::in_words(plan::find_fault(careless)).c_str());
  // [use]
  return 0;
} catch (std::exception const& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
