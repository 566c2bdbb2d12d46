// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Pruning for Kokkos::Cuda: criteria, SparseGPT, channels, blocks, gates. Compiled and linked, never run.
#pragma once

#include <pleat/compress/criteria.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune_blocks.hpp>
#include <pleat/compress/prune_channels.hpp>
#include <pleat/compress/sparse_gpt.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/hard_concrete.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/residual.hpp>
#include <pleat/nn/sequential.hpp>

namespace pleat::cuda_compile {

inline void prune_everything(world& w, io::dataset const& data) {
  using S = Kokkos::Cuda;
  using F = codec::forms<codec::dense<float>>;
  auto const m =
      parallel::build(nn::sequential(nn::conv2d<F, S>("c", 1, 4, 3), nn::relu<float, S>(),
                                     nn::linear<F, S>("a", 64, 16), nn::hard_concrete<float, S>("g", 16),
                                     nn::residual(nn::linear<F, S>("r", 16, 16)), nn::linear<F, S>("b", 16, 4)),
                      plan::plan{}, w);
  compress::calibration const samples(data, 8);
  (void)(m | (compress::prune_blocks{.samples = samples} |
              compress::prune_channels_by<compress::closed_gates>{.input = {1, 6, 6}} |
              compress::prune_channels_by<compress::batch_norm_scale>{.input = {1, 6, 6}} |
              compress::prune_channels_by<compress::taylor>{.input = {1, 6, 6}, .criterion = {.data = &data}} |
              compress::prune{} | compress::prune_by<compress::movement>{} |
              compress::prune_by<compress::normalised<compress::wanda>>{.criterion = {.of = {samples}}} |
              compress::sparse_gpt{.samples = samples}));
}

}  // namespace pleat::cuda_compile
