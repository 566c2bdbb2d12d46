// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What shrinking asks of any model, for float on Kokkos' default space, as instances that are compiled elsewhere: as
/// run/instances.hpp.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <pleat/codec/int8.hpp>
#include <pleat/compress/fine_tune.hpp>
#include <pleat/compress/layer_report.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
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

#undef PLEAT_INSTANCE
#ifdef PLEAT_TRANSFORMS_HERE  // another source of pleat::kernels defines it
#define PLEAT_INSTANCE
#else
#define PLEAT_INSTANCE extern
#endif

PLEAT_INSTANCE template void detail::score_magnitudes(std::vector<detail::candidate<float>>&);
PLEAT_INSTANCE template std::vector<detail::candidate<float>> detail::gather(
    parallel::any_model<float, Kokkos::DefaultExecutionSpace>&, char const*, std::vector<std::string> const&,
    listener const*);
PLEAT_INSTANCE template void detail::encode(parallel::any_model<float, Kokkos::DefaultExecutionSpace>&,
                                            std::vector<std::string> const&,
                                            std::vector<detail::candidate<float>> const&);
PLEAT_INSTANCE template void detail::prune_weights(parallel::any_model<float, Kokkos::DefaultExecutionSpace>&,
                                                   detail::pruning const&,
                                                   std::function<void(std::vector<detail::candidate<float>>&)> const&,
                                                   std::function<void()> const&);
PLEAT_INSTANCE template void quantize<codec::int8<float>>::run_on(
    parallel::any_model<float, Kokkos::DefaultExecutionSpace>&) const;

PLEAT_INSTANCE template std::string detail::name_of_step(prune const&);
PLEAT_INSTANCE template std::string detail::name_of_step(fine_tune const&);
PLEAT_INSTANCE template std::string detail::name_of_step(quantize<codec::int8<float>> const&);
PLEAT_INSTANCE template std::string detail::words_of_step(prune const&);
PLEAT_INSTANCE template std::string detail::words_of_step(fine_tune const&);
PLEAT_INSTANCE template std::string detail::words_of_step(quantize<codec::int8<float>> const&);
/// \endcond

}  // namespace pleat::compress

#undef PLEAT_INSTANCE
