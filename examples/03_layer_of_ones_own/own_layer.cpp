// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A layer of one's own: y = x · scale[feature], proved by finite differences, then used inside a data-parallel model.
#include <pleat/nn/check_gradients.hpp>
#include <pleat/pleat.hpp>

#include <cstdio>
#include <string_view>

#include "../left_over.hpp"

namespace pl = pleat;

// [own_layer]
// A kernel is a named functor: a profiler shows its name, and nvcc takes it.
template <class T> struct multiply_columns {
  T const* x;
  T const* scale;
  T* y;
  pl::index_t columns;
  PLEAT_INLINE void operator()(pl::index_t i) const { y[i] = x[i] * scale[i % columns]; }
};

template <class T> struct scale_features {
  using value_type = T;
  using execution_space = Kokkos::DefaultExecutionSpace;
  using tensor = pl::tensor<T, execution_space>;
  using pass = pl::nn::pass<execution_space>;

  struct saved {
    tensor x;
  };
  pl::nn::values<T, execution_space> scale;

  scale_features(std::string const& name, pl::index_t features)
      : scale(name + ".scale", pl::extents{features}, pl::nn::initializer::constant(1)) {}

  pl::extents shape(pl::extents in) const { return in; }

  pl::nn::step<saved, tensor> forward(pass const& p, tensor x) const {
    auto y = tensor::allocate(*p.where, x.shape());
    pl::compute::for_each(p.space(), x.size(), multiply_columns<T>{x.data(), scale.data(), y.data(), scale.size()});
    return {y, {x}};
  }

  tensor backward(pass const& p, saved& s, tensor dy) {
    auto product = tensor::allocate(*p.where, dy.shape()), dx = tensor::allocate(*p.where, dy.shape());
    pl::compute::multiply(p.space(), dy.size(), static_cast<T const*>(dy.data()), static_cast<T const*>(s.x.data()),
                          product.data());
    pl::nn::accumulate_gradient(p, scale, [&](T* out, pl::compute::lanes const& l) {  // sums over samples, lane by lane
      pl::compute::column_sum(p.space(), scale.size(), static_cast<T const*>(product.data()), scale.size(), out, l);
    });
    pl::compute::for_each(p.space(), dy.size(), multiply_columns<T>{dy.data(), scale.data(), dx.data(), scale.size()});
    return dx;
  }

  void for_each_parameter(auto&& f) { f(scale); }
};
// [own_layer]

// The same with a mistake, for --mistake: it forgets the gradient of its scale.
struct forgetful : scale_features<double> {
  using scale_features<double>::scale_features;
  tensor backward(pass const&, saved&, tensor dy) { return dy; }
};

int main(int argc, char** argv) {
  return pl::run::launch(argc, argv, [&](pl::world& world) {
    bool mistake = false;
    refuse_left_over(argc, argv, "own_layer", "own_layer [--mistake]",
                     [&](std::string_view argument) { return argument == "--mistake" && (mistake = true); });
    auto const proof = mistake ? pl::nn::check_gradients(forgetful("own", 5), {3, 5})
                               : pl::nn::check_gradients(scale_features<double>("own", 5), {3, 5});
    char line[120];
    std::snprintf(line, sizeof line, "largest relative error of the gradients: %.1e", proof.worst().error);
    world.say(line);
    if (!proof.good())
      throw pl::error{"own_layer", "the gradients are wrong: " + proof.to_string(), "Look at the layer's backward"};

    auto const data = pl::io::load_digits(PLEAT_DIGITS);
    auto net = pl::nn::sequential(pl::nn::flatten(), scale_features<float>("own", 64), pl::nn::linear("fc1", 64, 48),
                                  pl::nn::relu(), pl::nn::linear("fc2", 48, 10));
    auto model = pl::parallel::build(net, pl::plan::search(net, world, {.global_batch = 32}), world);
    pl::run::fit(model, data.train,
                 {.epochs = 10, .optimizer = pl::nn::adamw{.learning_rate = 3e-3}, .progress = false});
    double const error = pl::run::evaluate(model, data.test).error();
    std::snprintf(line, sizeof line, "test error %.1f %%", 100 * error);
    world.say(line);
    if (error > 0.1)
      throw pl::error{"own_layer", "it has not learned the digits: guessing errs at 90 %",
                      "Look at the layer's gradients"};
  });
}
