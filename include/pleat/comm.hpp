// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door of the room comm: ranks, collectives, the communicators of a mesh, sums that do not depend on the number of
/// ranks. MPI is said by including <pleat/comm/mpi.hpp>.
#pragma once

#include <pleat/comm/communicator.hpp>
#include <pleat/comm/concepts.hpp>
#include <pleat/comm/grid.hpp>
#include <pleat/comm/lane_reduce.hpp>
#include <pleat/comm/local.hpp>
#include <pleat/comm/narrow_sum.hpp>
#include <pleat/comm/request.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/comm/types.hpp>
#include <pleat/comm/world.hpp>
