// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What scripts/cuda_compile.sh instantiates of the room compute beside pleat/compute/instances.hpp: one part per family.
#pragma once

#include <cuda/compute_vector.hpp>
#if __has_include(<cuda/compute_convolution.hpp>)
#include <cuda/compute_convolution.hpp>
#endif
