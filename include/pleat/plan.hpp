// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door of the room plan: the plan, the machine, costs, memory and pipeline schedules.
#pragma once

#include <pleat/plan/ledger.hpp>
#include <pleat/plan/machine.hpp>
#include <pleat/plan/measure.hpp>
#include <pleat/plan/plan.hpp>
#include <pleat/plan/schedule.hpp>
#include <pleat/plan/schedule_check.hpp>
#include <pleat/plan/schedule_csv.hpp>
#include <pleat/plan/schedule_passes.hpp>
#include <pleat/plan/schedule_picture.hpp>
#include <pleat/plan/schedules.hpp>
#include <pleat/plan/search.hpp>
#include <pleat/plan/simulate.hpp>
#include <pleat/plan/stages.hpp>
#include <pleat/plan/static_schedule.hpp>
