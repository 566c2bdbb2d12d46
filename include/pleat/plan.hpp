// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door of the room plan: the plan, the machine, costs, memory and pipeline schedules. Tables and pictures of
/// schedules, the simulator, constexpr schedules and the measured machine are included by their own names.
#pragma once

#include <pleat/plan/ledger.hpp>
#include <pleat/plan/machine.hpp>
#include <pleat/plan/plan.hpp>
#include <pleat/plan/recompute.hpp>
#include <pleat/plan/schedule.hpp>
#include <pleat/plan/schedule_check.hpp>
#include <pleat/plan/schedule_passes.hpp>
#include <pleat/plan/schedules.hpp>
#include <pleat/plan/search.hpp>
#include <pleat/plan/stages.hpp>
#include <pleat/plan/state_group.hpp>
