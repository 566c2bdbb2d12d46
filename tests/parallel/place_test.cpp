// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/place.hpp>

#include <pleat/codec/int8.hpp>
#include <pleat/codec/masked.hpp>
#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <mutex>
#include <vector>

namespace pl = pleat;
namespace nn = pleat::nn;
namespace par = pleat::parallel;
using space = Kokkos::DefaultExecutionSpace;
using tensor = pl::tensor<float, space>;

namespace {

using forms = pl::codec::forms<pl::codec::dense<float>, pl::codec::masked<float>, pl::codec::int8<float>>;
auto network() {
  return nn::sequential(nn::linear<forms>("fc1", 13, 21), nn::relu<>(), nn::linear<forms>("fc2", 21, 10), nn::gelu<>(),
                        nn::linear<forms>("fc3", 10, 7));
}

/// A replicated model whose weights are pruned (every third element) or quantized.
template <class F> auto shrunk(pl::world& w) {
  auto m = par::build(network(), pl::plan::plan{.global_batch = 4}, w, {.seed = 5});
  auto net = m.net();
  net.for_each_parameter([&](auto& x) {
    if constexpr (std::remove_cvref_t<decltype(x)>::forms::template contains<F>) {
      if (x.shape.rank() < 2) return;
      std::vector<float> v(static_cast<std::size_t>(x.size()));
      pl::copy_to_host(m.context(), tensor::wrap(x.data(), x.shape), v.data());
      if (F::trainable)
        for (std::size_t i = 0; i < v.size(); i += 3) v[i] = 0;
      pl::copy_from_host(m.context(), v.data(), tensor::wrap(x.data(), x.shape));
      F::encode(m.context(), x.shape, x.data(), x.storage_of(pl::codec::form_tag<F>{}));
      x.template use_form<F>();
    }
  });
  return m.rebuild(net);
}

template <class Model> std::vector<float> answers(Model const& m) {
  auto x = tensor::allocate(m.context(), {6, 13});
  std::vector<float> h(6 * 13);
  nn::draw(nn::initializer::normal(1), 2, "input", 0, 6 * 13, h.data());
  pl::copy_from_host(m.context(), h.data(), x);
  auto const y = m.predict(x);
  std::vector<float> out(static_cast<std::size_t>(y.size()));
  pl::copy_to_host(m.context(), y, out.data());
  return out;
}

/// What `ranks` ranks answer whose weights are cut as `rules` say.
template <class F>
std::vector<float> placed(int ranks, std::vector<par::placement_rule> const& rules, pl::index_t* bytes = nullptr) {
  std::vector<float> first;
  pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
    bool const root = c.rank() == 0;
    pl::world alone(pl::comm::communicator(pl::comm::self{}), 1), w(std::move(c), 1);
    w.set_sink({});
    auto const whole = shrunk<F>(alone);
    auto const m =
        par::place(whole, par::tensor_parallel(whole.net(), rules), {.global_batch = 4, .tensor_ranks = ranks}, w);
    auto r = answers(m);
    if (!root) return;
    first = std::move(r);
    if (bytes) nn::for_each_parameter(m.net(), [&](auto const& x) { *bytes += x.bytes(); });
  });
  return first;
}

template <class F> std::vector<float> serial(pl::index_t* bytes = nullptr) {
  pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
  auto const m = shrunk<F>(w);
  if (bytes) nn::for_each_parameter(m.net(), [&](auto const& x) { *bytes += x.bytes(); });
  return answers(m);
}

void within(std::vector<float> const& a, std::vector<float> const& b, double bound) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) REQUIRE(std::abs(static_cast<double>(a[i]) - b[i]) <= bound);
}

}  // namespace

TEST_CASE("a pruned network is cut with its masks") {
  using F = pl::codec::masked<float>;
  auto const one = serial<F>();
  // 21 terms of magnitude below 4 per product, three products, weights below 1/√10: rounding stays below 64·2⁻²³
  for (int ranks : {2, 3, 8})
    within(placed<F>(ranks, {par::column("fc1.*"), par::row("fc2.*"), par::column("fc3.*")}), one, 64 * 0x1p-23);
}

TEST_CASE(
    "an int8 network is cut with its codes and scales: by outputs the same bits, by inputs the scales of activations "
    "are finer") {
  using F = pl::codec::int8<float>;
  pl::index_t whole = 0, half = 0;
  auto const one = serial<F>(&whole);
  for (int ranks : {2, 3, 8})
    CHECK(placed<F>(ranks, {par::column("fc1.*"), par::column("fc2.*"), par::column("fc3.*")}) == one);
  // By inputs every rank quantizes its part of a row of activations with a scale of its own: the difference is that of
  // two roundings to 1/127 of the largest activation, below 4, times a row of at most 21 weights below 1/√10, through
  // two more layers that do not grow it.
  for (int ranks : {2, 3})
    within(placed<F>(ranks, {par::column("fc1.*"), par::row("fc2.*"), par::column("fc3.*")}), one,
           4.0 / 127 * 21 / std::sqrt(10.0));
  (void)placed<F>(2, {par::column("fc*")}, &half);
  CHECK(half < whole * 6 / 10);  // 21 and 7 outputs are not even
}

TEST_CASE("the words of the network that was placed train on") {
  pl::comm::run_local(2, [](pl::comm::communicator c) {
    pl::world alone(pl::comm::communicator(pl::comm::self{}), 1), w(std::move(c), 1);
    w.set_sink({});
    auto const whole = shrunk<pl::codec::masked<float>>(alone);
    auto m = par::place(whole, par::tensor_parallel(whole.net(), {par::column("fc1.*"), par::row("fc2.*")}),
                        {.global_batch = 4, .tensor_ranks = 2}, w);
    nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), nn::sgd{.learning_rate = 0.1});
    auto x = tensor::allocate(m.context(), {4, 13});
    pl::compute::fill(m.context().space(), x.size(), 0.5f, x.data());
    m.zero_grad(4);
    auto [y, saved] = m.forward(x);
    auto target = tensor::allocate(m.context(), y.whole_shape());
    pl::compute::fill(m.context().space(), target.size(), 0.25f, target.data());
    m.backward(saved, m.mean_square(y, target).dy);
    m.reduce();
    m.step(optimizer);
    m.net().for_each_parameter([&](auto& p) {
      if (p.shape.rank() < 2) return;
      std::vector<float> v(static_cast<std::size_t>(p.size()));
      pl::copy_to_host(m.context(), tensor::wrap(p.data(), p.shape), v.data());
      pl::index_t zeros = 0;
      for (float const f : v) zeros += f == 0;
      if (zeros < p.size() / 3 - p.shape[0])
        throw std::runtime_error("pruned elements of " + p.name + " came back to life");
    });
  });
}
