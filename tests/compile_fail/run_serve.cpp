// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Inference never asks for a backward: a network whose layers have one that cannot be compiled is built, loaded, saved,
// evaluated and served.
#include <pleat/comm/self.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/repeat.hpp>
#include <pleat/nn/residual.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/run/evaluate.hpp>
#include <pleat/run/model_file.hpp>
#include <pleat/run/serve.hpp>

using namespace pleat;
using space = Kokkos::DefaultExecutionSpace;

template <class T> constexpr bool never = false;

/// Its backward and what reads its saved state are compiled as soon as anybody asks for them, and then they fail.
template <class T> struct answers_only {
  using value_type = T;
  using execution_space = space;
  struct saved {
    tensor<T, space> x;
    template <class S = T> T const* read() const {
      static_assert(never<S>, "pleat test: somebody reads the saved state");
      return x.data();
    }
  };
  extents shape(extents in) const { return in; }
  nn::step<saved, tensor<T, space>> forward(nn::pass<space> const&, tensor<T, space> x) const {
    return {std::move(x), {}};
  }
  tensor<T, space> backward(nn::pass<space> const&, saved& s, tensor<T, space> dy) {
    static_assert(never<T>, "pleat test: somebody asks for the backward");
    (void)s.read();
    return dy;
  }
  void for_each_parameter(auto&&) {}
};

auto network() {
  using trap = answers_only<float>;
  return nn::sequential(nn::linear("a", 64, 64), trap(),
                        nn::repeat("r", 2, nn::sequential(nn::linear("b", 64, 64), trap())), nn::residual(trap()),
                        nn::linear("c", 64, 10));
}

void answer(world& w, io::dataset const& data) {
  auto model = parallel::build(network(), {}, w);
  (void)run::load(model, "model.safetensors");
  run::save(model, "model.safetensors", {});
  (void)run::evaluate(model, data);
  (void)run::serve(model, data);
  (void)model.predict(tensor<float, space>::allocate(model.context(), {1, 64}));
  (void)model.memory();
  auto const copy = model.clone();
  (void)copy.checksum();
#ifdef WRONG_1  // expect: somebody asks for the backward
  model.zero_grad(1);
  auto [y, saved] = model.forward(tensor<float, space>::allocate(model.context(), {1, 64}));
  model.backward(saved, std::move(y));
#endif
}
