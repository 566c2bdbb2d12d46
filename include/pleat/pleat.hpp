// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The umbrella: every room, without the doors that need Thrust, JSON or a command line. MPI comes with the CMake target pleat::mpi
/// (or pleat::pleat, where MPI was found), or by including <pleat/comm/mpi.hpp>.
#pragma once

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
