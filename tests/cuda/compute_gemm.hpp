// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every matrix product for Kokkos::Cuda. Compiled and linked, never run.
#pragma once

#include <pleat/compute/gemm.hpp>

namespace pleat::compute {

template void gemm(Kokkos::Cuda const&, gemm_arguments<float> const&);
template void gemm(Kokkos::Cuda const&, gemm_arguments<double> const&);
template void gemm_lanes(Kokkos::Cuda const&, index_t, index_t, float const*, index_t, float const*, index_t, float*,
                         index_t, lanes const&);
template void gemm_lanes(Kokkos::Cuda const&, index_t, index_t, double const*, index_t, double const*, index_t, double*,
                         index_t, lanes const&);
template void gemm(Kokkos::Cuda const&, gemm_arguments<bfloat16> const&);
template void gemm(Kokkos::Cuda const&, gemm_arguments<half> const&);
template void gemm_lanes(Kokkos::Cuda const&, index_t, index_t, bfloat16 const*, index_t, bfloat16 const*, index_t,
                         float*, index_t, lanes const&);
template void gemm_lanes(Kokkos::Cuda const&, index_t, index_t, half const*, index_t, half const*, index_t, float*,
                         index_t, lanes const&);

}  // namespace pleat::compute
