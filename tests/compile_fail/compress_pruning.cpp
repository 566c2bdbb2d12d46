// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Orders of pruning that the mathematics does not allow: the words.
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune_channels.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compress/sparse_gpt.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>

namespace codec = pleat::codec;
namespace shrink = pleat::compress;  // zlib has a function `compress`
using int8 = codec::int8<float>;
using network = pleat::nn::sequential<pleat::nn::linear<>>;
using dense_model = pleat::parallel::model<network>;

inline auto right(dense_model const& m) {
  return m | (shrink::prune_channels{} | shrink::sparse_gpt{} | shrink::quantize<int8>{});
}

#if defined(WRONG_1)
// expect: this pipeline prunes after it quantizes, and quantized weights cannot be pruned: prune first, then quantize
inline auto wrong(dense_model const& m) { return m | (shrink::quantize<int8>{} | shrink::sparse_gpt{}); }
#elif defined(WRONG_2)
// expect: quantized weights cannot be pruned: prune first, then quantize
inline auto wrong(dense_model const& m) { return m | shrink::quantize<int8>{} | shrink::prune_channels{}; }
#elif defined(WRONG_3)
// expect: this pipeline prunes single weights before it takes channels out, and only dense weights can lose rows and
// columns: prune_channels first, then prune
inline auto wrong(dense_model const& m) { return m | (shrink::prune{} | shrink::prune_channels{}); }
#endif
