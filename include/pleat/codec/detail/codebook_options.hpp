// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a codebook is made with: apart, so that who only hands it on need not compile how. Needs no Kokkos.
#pragma once

#include <cstdint>
#include <vector>

#include <pleat/tensor/extents.hpp>

namespace pleat::codec {

/// Where the centroids begin. Linear: evenly between the smallest and the largest value (best for weights: it keeps
/// centroids for the few large ones; Han et al., Deep Compression, 2016). Density: at equal shares of the values.
/// Random: at values drawn by a seed.
enum class centroid_start { linear, density, random };

/// How a codebook is found and written.
struct codebook_options {
  int entries = 16;                               ///< 2 to 256 shared values
  centroid_start start = centroid_start::linear;  ///< k-means starts here
  index_t rows_per_group = 0;                     ///< rows that share a codebook; 0: one codebook for the weight
  std::uint64_t seed = 0;                         ///< for centroid_start::random
  int iterations = 100;                           ///< Lloyd's steps at most
  /// given ones (fine-tuned): `entries` ascending numbers per group; then there is no k-means
  std::vector<float> centroids{};
  /// codec::coded only: 2 to 8 bits of a relative index; 0: no index, every element has a code
  int index_bits = 5;
  bool entropy = true;  ///< codec::coded only: false leaves plain bits
  /// of a part of a weight, and only with `centroids`: which row of its group of `rows_per_group` the first row is
  index_t phase = 0;
  /// codec::coded only: these are the numbers of a part of a weight, coded even where plain bits are fewer, so that who
  /// joins the parts knows that the weight is coded
  bool piece = false;
};

}  // namespace pleat::codec
