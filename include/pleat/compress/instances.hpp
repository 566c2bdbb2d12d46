// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What shrinking asks of any model, for float on Kokkos' default space, as instances that are compiled elsewhere: as
/// run/instances.hpp.
#pragma once

#include <pleat/compress/layer_report.hpp>
#include <pleat/compress/record_errors.hpp>
#include <pleat/compress/report.hpp>
#include <pleat/run/instances.hpp>

#ifdef PLEAT_REPORTS_HERE  // a source of pleat::kernels defines it
#define PLEAT_INSTANCE
#else
#define PLEAT_INSTANCE extern
#endif

namespace pleat::compress {

/// \cond
PLEAT_INSTANCE template layer_list layers_of(parallel::any_model<float, Kokkos::DefaultExecutionSpace> const&,
                                             extents const&);
PLEAT_INSTANCE template stage measure(std::string, parallel::any_model<float, Kokkos::DefaultExecutionSpace> const&,
                                      io::dataset const&, measure_options const&);
PLEAT_INSTANCE template void record_errors::begin(
    parallel::any_model<float, Kokkos::DefaultExecutionSpace> const&) const;
PLEAT_INSTANCE template void record_errors::add(std::string, error_kind,
                                                parallel::any_model<float, Kokkos::DefaultExecutionSpace> const&) const;
/// \endcond

}  // namespace pleat::compress

#undef PLEAT_INSTANCE
