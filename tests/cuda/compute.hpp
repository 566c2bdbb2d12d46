// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What scripts/cuda_compile.sh instantiates of the room compute: one part per family of kernels.
#pragma once

#include <cuda/compute_vector.hpp>
#if __has_include(<cuda/compute_gemm.hpp>)
#include <cuda/compute_gemm.hpp>
#endif
#if __has_include(<cuda/compute_convolution.hpp>)
#include <cuda/compute_convolution.hpp>
#endif
