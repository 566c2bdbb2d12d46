// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Static schedules are refused by the compiler: the words, the rank and the action.
#include <pleat/plan/schedule_passes.hpp>
#include <pleat/plan/schedules.hpp>
#include <pleat/plan/static_schedule.hpp>

#include <utility>

namespace plan = pleat::plan;

constexpr plan::schedule good() { return plan::with_reduction(plan::with_messages(plan::zb_h1(2, 4))); }
static_assert(plan::static_schedule<&good>::good);

#if defined(WRONG_1)
// expect: this schedule misses an action
constexpr plan::schedule wrong() {
  auto s = good();
  s.actions[1].erase(s.actions[1].begin() + 1);
  return s;
}
#elif defined(WRONG_2)
// expect: this schedule has an action twice
constexpr plan::schedule wrong() {
  auto s = good();
  s.actions[0].push_back(s.actions[0].front());
  return s;
}
#elif defined(WRONG_3)
// expect: this schedule deadlocks: ranks wait for each other when sends block
constexpr plan::schedule wrong() {
  auto s = plan::gpipe(2, 2);
  s = plan::with_messages(s);
  std::swap(s.actions[1][0], s.actions[1][2]);  // takes the second micro-batch's activation first
  std::swap(s.actions[1][1], s.actions[1][3]);
  return s;
}
#elif defined(WRONG_4)
// expect: this schedule's weight work does not ascend in micro-batch
constexpr plan::schedule wrong() {
  auto s = plan::gpipe(1, 2);
  std::swap(s.actions[0][2], s.actions[0][3]);
  return s;
}
#elif defined(WRONG_5)
// expect: this schedule has an action before another one of the same rank that it needs
constexpr plan::schedule wrong() {
  auto s = plan::gpipe(1, 2);
  std::swap(s.actions[0][0], s.actions[0][2]);
  return s;
}
#elif defined(WRONG_6)
// expect: this schedule holds more activations than are allowed
constexpr plan::schedule wrong() { return plan::gpipe(2, 4); }
static_assert(plan::static_schedule<&wrong, plan::check_options{.max_activations = 3}>::good);
#endif
#if defined(WRONG_1) || defined(WRONG_2) || defined(WRONG_3) || defined(WRONG_4) || defined(WRONG_5)
static_assert(plan::static_schedule<&wrong>::good);
#endif
