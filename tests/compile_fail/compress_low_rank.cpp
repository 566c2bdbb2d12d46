// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Factors of weights that were pruned: the words.
#include <pleat/compress/low_rank.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compress/quantize_aware.hpp>
#include <pleat/compress/spatial_low_rank.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>

namespace shrink = pleat::compress;  // zlib has a function `compress`
using dense_model = pleat::parallel::model<pleat::nn::sequential<pleat::nn::linear<>>>;

inline auto right(dense_model const& m) { return m | (shrink::prune{} | shrink::sparse_low_rank{}); }
inline auto stored(dense_model const& m) { return m | (shrink::low_rank{} | shrink::quantize<>{}); }

#if defined(WRONG_1)
// expect: this pipeline factors weights after it prunes them, and factors would fill the zeros: sparse_low_rank keeps
// what survived apart
inline auto wrong(dense_model const& m) { return m | (shrink::prune{} | shrink::low_rank{}); }
#elif defined(WRONG_2)
// expect: this model's weights may be pruned already, and factors would fill the zeros
inline auto wrong(dense_model const& m) { return m | shrink::prune{} | shrink::low_rank{}; }
#elif defined(WRONG_3)
// expect: this pipeline prunes after it factors weights, and factors cannot be pruned: prune first, and let
// sparse_low_rank keep what survived apart
inline auto wrong(dense_model const& m) { return m | (shrink::low_rank{} | shrink::prune{}); }
#elif defined(WRONG_4)
// expect: this pipeline factors weights after it prunes them, and factors would fill the zeros
inline auto wrong(dense_model const& m) { return m | (shrink::prune{} | shrink::spatial_low_rank{}); }
#elif defined(WRONG_5)
// expect: factored or quantized weights cannot be pruned: prune first, then quantize
inline auto wrong(dense_model const& m) { return m | shrink::low_rank{} | shrink::prune{}; }
#elif defined(WRONG_6)
// expect: this pipeline factors weights that are quantized or share values already, and factors are made of numbers:
// low_rank first, then quantize, which stores the factors in its form
inline auto wrong(dense_model const& m) { return m | (shrink::quantize<>{} | shrink::low_rank{}); }
#elif defined(WRONG_7)
// expect: this pipeline factors weights that are quantized or share values already
inline auto wrong(dense_model const& m) {
  return m | (shrink::quantize_aware<pleat::codec::int8<float>>{} | shrink::low_rank{});
}
#endif
