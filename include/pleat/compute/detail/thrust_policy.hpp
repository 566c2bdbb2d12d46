// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Which Thrust policy serves a Kokkos instance. The only door to Thrust; no Thrust type leaves a function body.
#pragma once

#include <Kokkos_Core.hpp>

#include <thrust/copy.h>
#include <thrust/count.h>
#include <thrust/execution_policy.h>
#include <thrust/iterator/constant_iterator.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <thrust/partition.h>
#include <thrust/reduce.h>
#include <thrust/scan.h>
#include <thrust/sort.h>
#if defined(KOKKOS_ENABLE_OPENMP)
#include <omp.h>
#include <thrust/system/omp/execution_policy.h>
#endif
#if defined(KOKKOS_ENABLE_CUDA) && defined(__CUDACC__)
#include <thrust/system/cuda/execution_policy.h>
#endif

#include <type_traits>

#include <pleat/compute/detail/host.hpp>

namespace pleat::compute::detail {

#if defined(KOKKOS_ENABLE_OPENMP)
/// Thrust's OpenMP code takes as many threads as this thread's next parallel region would: the instance says how many.
class omp_threads {
 public:
  explicit omp_threads(int n) : before_(omp_get_max_threads()) { omp_set_num_threads(n); }
  ~omp_threads() { omp_set_num_threads(before_); }
  omp_threads(omp_threads const&) = delete;
  omp_threads& operator=(omp_threads const&) = delete;

 private:
  int before_;
};
#endif

/// Calls work(policy), where `work` is a functor with a template call operator, and returns its result. Small work and
/// instances of one thread run in the calling thread.
template <class Space, class Work>
auto with_thrust(Space const& space, double amount, Work const& work) -> typename Work::result {
#if defined(KOKKOS_ENABLE_CUDA) && defined(__CUDACC__)
  if constexpr (std::is_same_v<Space, Kokkos::Cuda>) return work(thrust::cuda::par.on(space.cuda_stream()));
#endif
#if defined(KOKKOS_ENABLE_OPENMP)
  if constexpr (std::is_same_v<Space, Kokkos::OpenMP>) {
    if (tasks_for(space, amount) > 1) {
      omp_threads const threads(concurrency_of(space));
      return work(thrust::omp::par);
    }
  }
#endif
  if constexpr (is_host_space_v<Space>) {
    static_cast<void>(space);
    static_cast<void>(amount);
    return work(thrust::seq);
  } else {
#if defined(KOKKOS_ENABLE_CUDA) && defined(__CUDACC__)
    static_assert(std::is_same_v<Space, Kokkos::Cuda>, "pleat's Thrust kernels serve host spaces and Kokkos::Cuda");
#else
    static_assert(is_host_space_v<Space>,
                  "pleat's Thrust kernels serve host spaces, and Kokkos::Cuda where nvcc compiles");
#endif
  }
}

}  // namespace pleat::compute::detail
