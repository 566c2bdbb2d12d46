// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What lives on ranks, for Kokkos::Cuda. Compiled and linked, never run.
#pragma once

#include <pleat/parallel.hpp>

template class pleat::parallel::redistribute<float, Kokkos::Cuda>;
template class pleat::parallel::redistribute<double, Kokkos::Cuda>;
template class pleat::parallel::redistribute<pleat::bfloat16, Kokkos::Cuda>;
