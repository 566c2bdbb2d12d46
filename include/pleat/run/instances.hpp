// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What training is made of, for float on Kokkos' default space, as instances that are compiled elsewhere: in the
/// optional target pleat::kernels.
///
/// As compute/instances.hpp, some rooms of templates further down: who links the target gets it with the umbrella and
/// compiles its layers, not the exchange of gradients, the executor, the loop of training or checkpoints. Nothing else
/// changes.
#pragma once

#include <pleat/comm/lane_reduce.hpp>
#include <pleat/comm/narrow_sum.hpp>
#include <pleat/nn/align.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/instances.hpp>
#include <pleat/nn/loss.hpp>
#include <pleat/nn/metrics.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/parallel/bucket_sum.hpp>
#include <pleat/parallel/gradient_exchange.hpp>
#include <pleat/parallel/parameter_gather.hpp>
#include <pleat/parallel/piece_step.hpp>
#include <pleat/parallel/pipeline.hpp>
#include <pleat/parallel/replica.hpp>
#include <pleat/parallel/sharded_norm.hpp>
#include <pleat/parallel/step_hooks.hpp>
#include <pleat/parallel/tensor_sums.hpp>
#include <pleat/parallel/tied.hpp>
#include <pleat/run/checkpoint.hpp>
#include <pleat/run/evaluate.hpp>
#include <pleat/run/fit.hpp>
#include <pleat/run/model_file.hpp>
#include <pleat/run/serve.hpp>

#ifdef PLEAT_TRAINING_HERE  // a source of pleat::kernels defines it
#define PLEAT_INSTANCE
#else
#define PLEAT_INSTANCE extern
#endif

namespace pleat {

// Doxygen documents the templates, not where they are compiled.
/// \cond
PLEAT_INSTANCE template class comm::lane_request<float>;
PLEAT_INSTANCE template class comm::narrow_request<float, bfloat16>;

PLEAT_INSTANCE template class nn::arena<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template class nn::optimizer_state<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template nn::loss_result<float, Kokkos::DefaultExecutionSpace> nn::cross_entropy::operator()(
    nn::pass<Kokkos::DefaultExecutionSpace> const&, tensor<float>, tensor<std::int32_t> const&) const;
PLEAT_INSTANCE template void nn::classify(context<Kokkos::DefaultExecutionSpace>&, tensor<float> const&,
                                          std::vector<std::int32_t>&);
PLEAT_INSTANCE template tensor<float> nn::detail::sum(nn::pass<Kokkos::DefaultExecutionSpace> const&, tensor<float>);
PLEAT_INSTANCE template tensor<float> nn::detail::gather(nn::pass<Kokkos::DefaultExecutionSpace> const&,
                                                         tensor<float> const&);
PLEAT_INSTANCE template tensor<float> nn::detail::sum_to_part(nn::pass<Kokkos::DefaultExecutionSpace> const&,
                                                              tensor<float> const&, axis_layout const&);
PLEAT_INSTANCE template tensor<float> nn::detail::exchange(nn::pass<Kokkos::DefaultExecutionSpace> const&,
                                                           tensor<float> const&, axis_layout const&);

PLEAT_INSTANCE template class parallel::bucket_sum<float>;
PLEAT_INSTANCE template class parallel::gradient_exchange<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template class parallel::parameter_gather<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template class parallel::piece_step<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template class parallel::step_hooks<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template class parallel::tied_sums<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template void parallel::gradient_squares(
    context<Kokkos::DefaultExecutionSpace>&, parallel::shard_group const&,
    nn::arena<float, Kokkos::DefaultExecutionSpace> const&,
    parallel::gradient_exchange<float, Kokkos::DefaultExecutionSpace>*, double*);
PLEAT_INSTANCE template void parallel::sum_addends(context<Kokkos::DefaultExecutionSpace>&, comm::communicator&, bool,
                                                   nn::arena<float, Kokkos::DefaultExecutionSpace>&);

#undef PLEAT_INSTANCE
#ifdef PLEAT_MODELS_HERE  // another source of pleat::kernels defines it
#define PLEAT_INSTANCE
#else
#define PLEAT_INSTANCE extern
#endif

PLEAT_INSTANCE template class parallel::replica<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template class parallel::pipeline<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template class parallel::any_model<float, Kokkos::DefaultExecutionSpace>;

PLEAT_INSTANCE template run::evaluation run::evaluate(parallel::any_model<float, Kokkos::DefaultExecutionSpace> const&,
                                                      io::dataset const&, index_t);
PLEAT_INSTANCE template run::serve_report run::serve(parallel::any_model<float, Kokkos::DefaultExecutionSpace> const&,
                                                     io::dataset const&, run::serve_options);
PLEAT_INSTANCE template run::fit_report run::detail::train(parallel::any_model<float, Kokkos::DefaultExecutionSpace>&,
                                                           io::dataset const&, run::fit_options);
PLEAT_INSTANCE template run::fit_report run::detail::train(parallel::any_model<float, Kokkos::DefaultExecutionSpace>&,
                                                           index_t, run::detail::fit_source<tensor<float>>,
                                                           run::fit_options);
PLEAT_INSTANCE template void run::checkpoint_writer::save(
    parallel::any_model<float, Kokkos::DefaultExecutionSpace> const&,
    nn::optimizer_state<float, Kokkos::DefaultExecutionSpace> const&, index_t, run::checkpoint_extras const&,
    run::best_so_far<float> const*);
PLEAT_INSTANCE template std::optional<run::resume_point> run::load_checkpoint(
    std::string const&, parallel::any_model<float, Kokkos::DefaultExecutionSpace>&,
    nn::optimizer_state<float, Kokkos::DefaultExecutionSpace>&, run::resume_options const&, run::best_so_far<float>*);

PLEAT_INSTANCE template void run::save(parallel::any_model<float, Kokkos::DefaultExecutionSpace> const&,
                                       std::string const&, run::model_description const&, run::file_options const&);
PLEAT_INSTANCE template run::model_description run::load(parallel::any_model<float, Kokkos::DefaultExecutionSpace>&,
                                                         std::span<io::stored_weight const>, io::metadata_map const&,
                                                         std::string const&);
PLEAT_INSTANCE template run::model_description run::load(parallel::any_model<float, Kokkos::DefaultExecutionSpace>&,
                                                         std::string const&);

/// \endcond

}  // namespace pleat

#undef PLEAT_INSTANCE
