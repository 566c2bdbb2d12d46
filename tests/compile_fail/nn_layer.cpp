// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the layer protocol says when a layer does not meet it. As it stands the layer is complete and the minimal model.
#include <pleat/nn.hpp>
#include <pleat/nn/check_gradients.hpp>

namespace nn = pleat::nn;
using space = Kokkos::DefaultExecutionSpace;
using tensor = pleat::tensor<float, space>;
using pass = nn::pass<space>;

struct mine {
#if !defined(WRONG_1)
#if defined(WRONG_2)
  struct saved {
    saved(int);
  };
#else
  struct saved {};
#endif
#else
  struct other {};
  using saved_type = other;
#endif
#if defined(WRONG_3)
  int shape(pleat::extents) const { return 0; }
#else
  pleat::extents shape(pleat::extents in) const { return in; }
#endif
#if defined(WRONG_4)
  tensor forward(pass const&, tensor x) const { return x; }
#elif defined(WRONG_1)
  nn::step<other, tensor> forward(pass const&, tensor x) const { return {x, {}}; }
#elif defined(WRONG_2)
  nn::step<saved, tensor> forward(pass const&, tensor x) const { return {x, saved(1)}; }
#else
  nn::step<saved, tensor> forward(pass const&, tensor x) const { return {x, {}}; }
#endif
#if !defined(WRONG_5)
  void for_each_parameter(auto&&) {}
#endif
#if defined(WRONG_1)
  tensor backward(pass const&, other&, tensor dy) { return dy; }
#elif defined(WRONG_6)
  tensor backward_input(pass const&, saved&, tensor dy) { return dy; }  // half of the pair is not enough
#else
  tensor backward(pass const&, saved&, tensor dy) { return dy; }
#endif
};
inline void right() { nn::demand_trainable_layer<mine>(); }

/// Layers that are not finished, as a composition meets them; the second lacks its backward only.
struct unfinished {
  struct saved {};
  pleat::extents shape(pleat::extents in) const { return in; }
};
struct untaught : unfinished {
  nn::step<saved, tensor> forward(pass const&, tensor x) const { return {x, {}}; }
  void for_each_parameter(auto&&) {}
};

/// A form that only answers.
struct fixed {
  using value_type = float;
  static constexpr std::string_view name = "fixed";
  static constexpr bool trainable = false;
  template <class Space> struct storage {};
  static void encode(pleat::context<space>&, pleat::extents const&, float const*, storage<space>&) {}
  static void decode(pleat::context<space>&, pleat::extents const&, storage<space> const&, float*) {}
  static void apply(pleat::context<space>&, pleat::extents const&, storage<space> const&, pleat::index_t, float const*,
                    float*, pleat::compute::epilogue<float> const&) {}
  static void apply_transposed(pleat::context<space>&, pleat::extents const&, storage<space> const&, pleat::index_t,
                               float const*, float*, float const*) {}
  static pleat::index_t bytes(pleat::extents const&, storage<space> const&) { return 0; }
};
using answers_only = nn::linear<pleat::codec::forms<fixed>, space>;
inline tensor answer(pass const& p, answers_only const& l, tensor x) {
  return nn::call(p, nn::sequential(l, nn::relu<>()), std::move(x)).y;
}

#if defined(WRONG_1)
// expect: a layer needs 'struct saved': what its backward needs, as a value
#elif defined(WRONG_2)
                                                                        // expect: a layer's 'saved' must be
                                                                        // default-constructible and movable
#elif defined(WRONG_3)
// expect: a layer needs 'extents shape\(extents in\) const'
#elif defined(WRONG_4)
// expect: a layer needs 'step<saved, tensor<T, Space>> forward\(pass<Space> const&, tensor<T, Space> x\) const'
#elif defined(WRONG_5)
// expect: a layer needs 'void for_each_parameter
#elif defined(WRONG_6)
// expect: a trainable layer needs 'tensor<T, Space> backward
#elif defined(WRONG_7)
// expect: no form of this weight's set can be trained
inline void wrong(pass const& p, answers_only& l, answers_only::saved& s) { l.backward_weight(p, s); }
#elif defined(WRONG_8)
// expect: the layers of one nn::sequential share one value type
inline auto wrong() { return nn::sequential(nn::relu<float>(), nn::relu<double>()); }
#elif defined(WRONG_9)
// expect: check_gradients needs a layer with value_type double
inline auto wrong() { return nn::check_gradients(nn::relu<float>(), {2, 2}); }
#elif defined(WRONG_10)
// expect: the arena's element type is the network's value_type
inline void wrong(nn::linear<>& l) { (void)nn::arena<double, space>::uninitialised(l); }
#elif defined(WRONG_11)
// expect: a layer needs 'step<saved, tensor<T, Space>> forward
inline void wrong(pass const& p, tensor x) { (void)nn::call(p, nn::sequential(nn::relu<>(), unfinished{}), x); }
#elif defined(WRONG_12)
// expect: a trainable layer needs 'tensor<T, Space> backward
inline auto wrong(pass const& p, tensor dy) {
  auto net = nn::sequential(nn::relu<>(), untaught{});
  nn::saved_of<decltype(net)> s;
  return nn::call_backward(p, net, s, dy);
}
#elif defined(WRONG_13)
// expect: a layer needs 'step<saved, tensor<T, Space>> forward
inline void wrong(pass const& p, tensor x) { (void)nn::call(p, nn::residual(nn::relu<>(), unfinished{}), x); }
#elif defined(WRONG_14)
// expect: a layer needs 'step<saved, tensor<T, Space>> forward
inline void wrong(pass const& p, tensor x) { (void)nn::call(p, nn::branch(nn::relu<>(), unfinished{}), x); }
#elif defined(WRONG_15)
// expect: a layer needs 'step<saved, tensor<T, Space>> forward
inline void wrong(pass const& p, tensor x) { (void)nn::call(p, nn::repeat("it", 2, unfinished{}), x); }
#elif defined(WRONG_16)
// expect: nn::linear needs two extents
inline auto wrong() { return nn::sequential(nn::relu<>(), nn::linear("fc1", 64)); }
#endif
