// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Orders of transforms that the mathematics does not allow, and right sides that are no transform: the words.
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>

namespace codec = pleat::codec;
namespace shrink = pleat::compress;  // zlib has a function `compress`
using int8 = codec::int8<float>;
using network = pleat::nn::sequential<pleat::nn::linear<>>;
using dense_model = pleat::parallel::model<network>;

inline auto right(dense_model const& m) { return m | (shrink::prune{} | shrink::quantize<int8>{}); }

#if defined(WRONG_1)
// expect: this pipeline prunes after it quantizes, and quantized weights cannot be pruned: prune first, then quantize
inline auto wrong(dense_model const& m) { return m | (shrink::quantize<int8>{} | shrink::prune{}); }
#elif defined(WRONG_2)
// expect: quantized weights cannot be pruned: prune first, then quantize
inline auto wrong(dense_model const& m) { return m | shrink::quantize<int8>{} | shrink::prune{}; }
#elif defined(WRONG_3)
// expect: the right side of model . .* is no transform
inline auto wrong(dense_model const& m) { return m | 0.9; }
#elif defined(WRONG_4)
// expect: codec::int8 multiplies float activations: say codec::int8<float>
inline auto wrong(dense_model const& m) { return m | shrink::quantize<codec::int8<double>>{}; }
#elif defined(WRONG_5)
// expect: deleted
inline auto wrong() { return shrink::fine_tune(pleat::io::dataset{}); }
#elif defined(WRONG_6)
// expect: call_off.. of a transform must be noexcept
struct may_throw {
  using fusable_transform = void;
  static constexpr char const* what = "may_throw";
  template <class Net> void run(pleat::parallel::model<Net>&) const {}
  void call_off() const {}
};
inline auto wrong(dense_model const& m) { return m | may_throw{}; }
#endif
