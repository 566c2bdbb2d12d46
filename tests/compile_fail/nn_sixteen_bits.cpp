// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Layers and forms without kernels for 16-bit numbers say so, in one sentence each.
#include <pleat/codec/blocks.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/compress/hint.hpp>
#include <pleat/compress/low_rank.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/nn.hpp>
#include <pleat/nn/hard_concrete.hpp>

namespace nn = pleat::nn;
using pleat::half;
template <class T> using dense = pleat::codec::forms<pleat::codec::dense<T>>;
using pleat::bfloat16;
namespace shrink = pleat::compress;  // zlib has a function `compress`
using model_16 = pleat::parallel::model<nn::sequential<nn::linear<dense<bfloat16>>>>;

inline auto right() {
  return nn::sequential(nn::linear<dense<half>>("a", 4, 4), nn::relu<half>(), nn::layer_norm<half>("n", 4));
}

#if defined(WRONG_1)
// expect: nn::hard_concrete computes in float or double
inline auto wrong() { return nn::hard_concrete<half>("g", 4); }
#elif defined(WRONG_2)
// expect: compress::hint computes in float or double
inline auto wrong() { return pleat::compress::hint<bfloat16>("h", 4, 4, 1); }
#elif defined(WRONG_3)
// expect: codec::int8 multiplies float activations
inline pleat::codec::int8<half> wrong;
#elif defined(WRONG_4)
// expect: this form multiplies float activations
inline pleat::codec::q8_0<half> wrong;
#elif defined(WRONG_5)
// expect: networks of 16-bit numbers cannot be encoded: encoded forms multiply float activations
inline auto wrong(model_16 const& m) { return m | shrink::quantize<>{}; }
#elif defined(WRONG_6)
// expect: networks of 16-bit numbers cannot be encoded
inline auto wrong(model_16 const& m) { return m | shrink::low_rank{}; }
#endif
