// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What training is made of, for float on Kokkos' default space, as instances that are compiled elsewhere: in the optional target pleat::kernels.
///
/// As compute/instances.hpp, one room of templates further down: who links the target gets it with the umbrella and compiles its model, not the
/// exchange of gradients. Nothing else changes.
#pragma once

#include <pleat/codec/dense.hpp>
#include <pleat/comm/lane_reduce.hpp>
#include <pleat/comm/narrow_sum.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/align.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/loss.hpp>
#include <pleat/nn/metrics.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/nn/weight.hpp>
#include <pleat/parallel/bucket_sum.hpp>
#include <pleat/parallel/gradient_exchange.hpp>
#include <pleat/parallel/parameter_gather.hpp>
#include <pleat/parallel/sharded_norm.hpp>
#include <pleat/parallel/step_hooks.hpp>
#include <pleat/parallel/tensor_sums.hpp>
#include <pleat/parallel/tied.hpp>

#ifdef PLEAT_TRAINING_HERE  // the source of pleat::kernels defines it
#define PLEAT_INSTANCE
#else
#define PLEAT_INSTANCE extern
#endif

namespace pleat {

namespace compute::instances {
using dense = codec::forms<codec::dense<float>>;
}

// Doxygen documents the templates, not where they are compiled.
/// \cond
PLEAT_INSTANCE template class comm::lane_request<float>;
PLEAT_INSTANCE template class comm::narrow_request<float, bfloat16>;

PLEAT_INSTANCE template class nn::arena<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template class nn::optimizer_state<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template class nn::linear<compute::instances::dense, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template class nn::relu<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template nn::loss_result<float, Kokkos::DefaultExecutionSpace> nn::cross_entropy::operator()(nn::pass<Kokkos::DefaultExecutionSpace> const&, tensor<float>,
                                                                                                            tensor<std::int32_t> const&) const;
PLEAT_INSTANCE template void nn::classify(context<Kokkos::DefaultExecutionSpace>&, tensor<float> const&, std::vector<std::int32_t>&);
PLEAT_INSTANCE template tensor<float> nn::detail::sum(nn::pass<Kokkos::DefaultExecutionSpace> const&, tensor<float>);
PLEAT_INSTANCE template tensor<float> nn::detail::gather(nn::pass<Kokkos::DefaultExecutionSpace> const&, tensor<float> const&);
PLEAT_INSTANCE template tensor<float> nn::detail::sum_to_part(nn::pass<Kokkos::DefaultExecutionSpace> const&, tensor<float> const&, axis_layout const&);
PLEAT_INSTANCE template tensor<float> nn::detail::exchange(nn::pass<Kokkos::DefaultExecutionSpace> const&, tensor<float> const&, axis_layout const&);
PLEAT_INSTANCE template tensor<float> nn::apply(nn::pass<Kokkos::DefaultExecutionSpace> const&, tensor<float>, nn::weight<compute::instances::dense, Kokkos::DefaultExecutionSpace> const&,
                                                compute::epilogue<float> const&);
PLEAT_INSTANCE template tensor<float> nn::apply_transposed(nn::pass<Kokkos::DefaultExecutionSpace> const&, tensor<float>, nn::weight<compute::instances::dense, Kokkos::DefaultExecutionSpace> const&,
                                                           float const*);

PLEAT_INSTANCE template class parallel::bucket_sum<float>;
PLEAT_INSTANCE template class parallel::gradient_exchange<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template class parallel::parameter_gather<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template class parallel::step_hooks<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template class parallel::tied_sums<float, Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template void parallel::gradient_squares(context<Kokkos::DefaultExecutionSpace>&, parallel::shard_group const&, nn::arena<float, Kokkos::DefaultExecutionSpace> const&, double*);
PLEAT_INSTANCE template void parallel::sum_addends(context<Kokkos::DefaultExecutionSpace>&, comm::communicator&, bool, nn::arena<float, Kokkos::DefaultExecutionSpace>&);

/// \endcond

}  // namespace pleat

#undef PLEAT_INSTANCE
