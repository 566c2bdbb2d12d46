// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the form concept and form sets say when they are misused.
#include <pleat/codec/masked.hpp>
#include <pleat/codec/scalar_quantized.hpp>
#include <pleat/nn/linear.hpp>

namespace codec = pleat::codec;
using space = Kokkos::DefaultHostExecutionSpace;
using narrow = pleat::nn::linear<codec::forms<codec::dense<float>>, space>;
using wide = pleat::nn::linear<codec::forms<codec::dense<float>, codec::masked<float>>, space>;

/// A form that lacks members one after the other.
struct incomplete {
#ifndef WRONG_1
  using value_type = float;
#endif
#ifndef WRONG_2
  static constexpr std::string_view name = "mine";
#endif
#ifndef WRONG_3
  static constexpr bool trainable = false;
#endif
#ifndef WRONG_4
  template <class Space> struct storage {};
#endif
#ifndef WRONG_5
  static void encode(pleat::context<space>&, pleat::extents const&, float const*, auto&) {}
#endif
  static void decode(pleat::context<space>&, pleat::extents const&, auto const&, float*) {}
#ifndef WRONG_6
  static pleat::index_t bytes(pleat::extents const&, auto const&) { return 0; }
#endif
#ifndef WRONG_10
  static void apply(auto&, auto const&, auto const&, pleat::index_t, float const*, float*, auto const&) {}
#endif
  static void apply_transposed(auto&, auto const&, auto const&, pleat::index_t, float const*, float*, float const*) {}
};
inline pleat::nn::linear<codec::forms<codec::dense<float>, incomplete>, space> right("fc", 2, 2);
/// A scalar quantizer that lacks members.
struct quantizer {
  static constexpr std::string_view name = "mine";
#ifndef WRONG_11
  using code = std::int8_t;
#endif
#ifndef WRONG_12
  static std::int8_t encode(float w) { return w > 0; }
#else
  static int encode(float w) { return w > 0; }
#endif
#ifndef WRONG_13
  static float decode(std::int8_t c) { return c; }
#endif
};
using right_quantized = codec::scalar_quantized<float, quantizer>;

#if defined(WRONG_1)
// expect: a form needs 'using value_type = T'
#elif defined(WRONG_2)
// expect: a form needs 'static constexpr std::string_view name'
#elif defined(WRONG_3)
// expect: a form needs 'static constexpr bool trainable'
#elif defined(WRONG_4)
// expect: a form needs 'template <class Space> struct storage'
#elif defined(WRONG_5)
// expect: a form needs static 'encode
#elif defined(WRONG_6)
// expect: a form needs static 'bytes
#elif defined(WRONG_10)
// expect: a form needs static 'apply
#elif defined(WRONG_11)
// expect: a scalar quantizer needs 'using code
#elif defined(WRONG_12)
// expect: a scalar quantizer needs 'static code encode\(float\)'
#elif defined(WRONG_13)
// expect: a scalar quantizer needs 'static float decode\(code\)'
#elif defined(WRONG_7)
// expect: a transform may widen a set, not narrow it
inline narrow wrong(wide const& w) { return narrow(w); }
#elif defined(WRONG_8)
// expect: the forms of one set multiply with one value_type
using wrong = codec::forms<codec::dense<float>, codec::dense<double>>;
inline constexpr int size = wrong::size;
#elif defined(WRONG_9)
// expect: this form is not a member of the weight's set
inline int wrong() { return codec::forms<codec::dense<float>>::index_of<codec::masked<float>>(); }
#endif
