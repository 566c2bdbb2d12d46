// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/plan/schedule_passes.hpp>
#include <pleat/plan/schedules.hpp>
#include <pleat/plan/static_schedule.hpp>

#include <catch2/catch_test_macros.hpp>

namespace plan = pleat::plan;

namespace {
constexpr plan::schedule made() { return plan::with_reduction(plan::with_messages(plan::interleaved(3, 6, 2))); }
}  // namespace

TEST_CASE("a schedule that the compiler keeps is the schedule that the program makes") {
  using kept = plan::static_schedule<&made>;
  static_assert(kept::good && kept::ranks == 3 && kept::stages == 6 && kept::micro_batches == 6);
  static_assert(kept::actions[0] == plan::action{plan::action_kind::forward, 0, 0, -1});
  CHECK(kept::value() == made());
  CHECK(kept::size == made().size());
}

TEST_CASE("its demands are those of the check") {
  using allowed =
      plan::static_schedule<[] { return plan::one_f_one_b(4, 8); }, plan::check_options{.max_activations = 4}>;
  STATIC_REQUIRE(allowed::good);
}
