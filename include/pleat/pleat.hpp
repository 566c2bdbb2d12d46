// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The umbrella: what a program needs that trains, shrinks, saves, loads and serves. Further forms, file formats,
/// pictures, traces and the doors that need Thrust are included by their own names (a room's page says which), so that
/// nobody else compiles them. MPI comes with the CMake target pleat::mpi (or pleat::pleat, where MPI was found), or by
/// including <pleat/comm/mpi.hpp>.
#pragma once

#ifdef PLEAT_ONCE_ELSEWHERE  // pleat::kernels is linked; first, so that forms hear of it
#include <pleat/compute/instances.hpp>
#endif

#include <pleat/base.hpp>
#include <pleat/tensor.hpp>
#include <pleat/comm.hpp>
#include <pleat/compute.hpp>
#include <pleat/codec.hpp>
#include <pleat/nn.hpp>
#include <pleat/plan.hpp>
#include <pleat/io.hpp>
#include <pleat/parallel.hpp>
#include <pleat/run.hpp>
#include <pleat/compress.hpp>

#ifdef PLEAT_ONCE_ELSEWHERE
#include <pleat/compress/instances.hpp>
#endif
