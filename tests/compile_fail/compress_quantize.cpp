// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Orders around quantizing that the mathematics does not allow: the words.
#include <pleat/codec/blocks.hpp>
#include <pleat/codec/low_rank.hpp>
#include <pleat/compress/fold_batch_norm.hpp>
#include <pleat/compress/gptq.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compress/quantize_aware.hpp>
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>

namespace codec = pleat::codec;
namespace shrink = pleat::compress;  // zlib has a function `compress`
using int8 = codec::int8<float>;
using network = pleat::nn::sequential<pleat::nn::linear<>, pleat::nn::batch_norm<>>;
using dense_model = pleat::parallel::model<network>;
using factored_model = pleat::parallel::model<
    pleat::nn::sequential<pleat::nn::linear<codec::forms<codec::dense<float>, codec::low_rank<float>>>>>;

inline auto right(dense_model const& m) {
  return m | (shrink::fold_batch_norm{} | shrink::prune{} | shrink::quantize_aware<int8>{} | shrink::quantize<int8>{});
}
/// The same codes under another name, and what was not trained in another form.
inline auto stored(dense_model const& m) {
  return m | (shrink::quantize_aware<codec::q8_0<float>>{.ignore = {"0.*"}} |
              shrink::quantize<codec::int8<float>, codec::q8_0<float>>{});
}

#if defined(WRONG_1)
// expect: this pipeline folds batch norms after it quantizes, and a norm cannot be folded into codes: fold first, then
// quantize
inline auto wrong(dense_model const& m) { return m | (shrink::quantize<int8>{} | shrink::fold_batch_norm{}); }
#elif defined(WRONG_2)
// expect: a batch norm cannot be folded into codes: fold first, then quantize
inline auto wrong(dense_model const& m) { return m | shrink::quantize<int8>{} | shrink::fold_batch_norm{}; }
#elif defined(WRONG_3)
// expect: this pipeline trains codes of weights that are encoded already: quantize_aware comes before quantize
inline auto wrong(dense_model const& m) { return m | (shrink::quantize<int8>{} | shrink::quantize_aware<int8>{}); }
#elif defined(WRONG_4)
// expect: this pipeline prunes or shares values after quantization-aware training, which would undo it: prune first,
// then quantize_aware, then quantize
inline auto wrong(dense_model const& m) { return m | (shrink::quantize_aware<int8>{} | shrink::prune{}); }
#elif defined(WRONG_5)
// expect: quantization-aware training is for forms that store a code times one step per row or block: int8, int4, q8_0,
// q4_0, q5_0
inline auto wrong(dense_model const& m) { return m | shrink::quantize_aware<codec::q4_k<float>>{}; }
#elif defined(WRONG_6)
// expect: this pipeline folds batch norms after it quantizes
inline auto wrong(dense_model const& m) { return m | (shrink::quantize_aware<int8>{} | shrink::fold_batch_norm{}); }
#elif defined(WRONG_7)
// expect: this pipeline folds batch norms after it quantizes
inline auto wrong(dense_model const& m) { return m | (shrink::gptq<int8>{} | shrink::fold_batch_norm{}); }
#elif defined(WRONG_8)
// expect: this model's weights may be factored, and their factors are to be stored in forms of their own: include
// <pleat/codec/factors.hpp>
inline auto wrong(factored_model const& m) { return m | shrink::quantize<int8>{}; }
#elif defined(WRONG_9)
// expect: this pipeline trains the codes of one form and stores others, which nobody trained: after quantize_aware<F>
// say quantize<F>, of the same form
inline auto wrong(dense_model const& m) {
  return m | (shrink::quantize_aware<int8>{} | shrink::quantize<codec::q4_0<float>>{});
}
#elif defined(WRONG_10)
// expect: this pipeline trains the codes of one form and stores others
inline auto wrong(dense_model const& m) { return m | (shrink::quantize_aware<int8>{} | shrink::gptq<int8>{}); }
#endif
