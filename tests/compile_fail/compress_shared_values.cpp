// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Orders of pruning, shared values and entropy coding: prune, then share, then code. The words of the others, and of
// entropy-coded weights that are asked for a gradient.
#include <pleat/codec/codebook.hpp>
#include <pleat/compress/fold_batch_norm.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compress/quantize_aware.hpp>
#include <pleat/compress/share_weights.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>

namespace shrink = pleat::compress;  // zlib has a function `compress`
using int8 = pleat::codec::int8<float>;
using network = pleat::nn::sequential<pleat::nn::linear<>>;
using dense_model = pleat::parallel::model<network>;

inline auto right(dense_model const& m) {
  return m | (shrink::prune{} | shrink::share_weights{} | shrink::entropy_code{});
}

#if defined(WRONG_1)
// expect: this pipeline entropy-codes before weights share values: share_weights first, then entropy_code
inline auto wrong(dense_model const& m) {
  return m | (shrink::prune{} | shrink::entropy_code{} | shrink::share_weights{});
}
#elif defined(WRONG_2)
// expect: this pipeline prunes after weights share values, and coded weights cannot be pruned: prune first, then
// share_weights, then entropy_code
inline auto wrong(dense_model const& m) {
  return m | (shrink::share_weights{} | shrink::prune{} | shrink::entropy_code{});
}
#elif defined(WRONG_3)
// expect: this pipeline shares values of weights that are encoded already: share_weights comes after prune and before
// quantize and entropy_code
inline auto wrong(dense_model const& m) { return m | (shrink::quantize<int8>{} | shrink::share_weights{}); }
#elif defined(WRONG_4)
// expect: entropy coding needs weights with shared values: model . .share_weights
inline auto wrong(dense_model const& m) { return m | shrink::entropy_code{}; }
#elif defined(WRONG_5)
// expect: only weights that can be trained get shared values: share_weights comes after prune
inline auto wrong(dense_model const& m) { return m | shrink::quantize<int8>{} | shrink::share_weights{}; }
#elif defined(WRONG_6)
// expect: this pipeline folds batch norms after it quantizes, and a norm cannot be folded into codes
inline auto wrong(dense_model const& m) {
  return m | (shrink::share_weights{} | shrink::entropy_code{} | shrink::fold_batch_norm{});
}
#elif defined(WRONG_7)
// expect: this pipeline trains codes of weights that are encoded already
inline auto wrong(dense_model const& m) {
  return m | (shrink::share_weights{} | shrink::quantize_aware<int8>{} | shrink::entropy_code{});
}
#elif defined(WRONG_8)
// expect: no form of this weight's set can be trained
using coded = pleat::nn::linear<pleat::codec::forms<pleat::codec::coded<float>>>;
inline void wrong(pleat::nn::pass<coded::execution_space> const& p, coded& l, coded::saved& s) {
  l.backward_weight(p, s);
}
#endif
