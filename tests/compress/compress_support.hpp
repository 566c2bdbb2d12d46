// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the compress tests share: a small network, a small data set, a look at the numbers.
#pragma once

#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/comm/world.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/run/fit.hpp>
#include <pleat/run/model_file.hpp>

#include <numeric>
#include <string>
#include <vector>

namespace compress_test {

using pleat::extents;
using pleat::index_t;

inline pleat::world alone() { return pleat::world(pleat::comm::communicator(pleat::comm::self{}), 2); }

/// 20 → 16 → 12 → 4: 320 + 192 + 48 weights, 32 biases.
template <class T> auto network_of() {
  using forms = pleat::codec::forms<pleat::codec::dense<T>>;
  return pleat::nn::sequential(pleat::nn::linear<forms>("fc1", 20, 16), pleat::nn::relu<T>(),
                               pleat::nn::linear<forms>("fc2", 16, 12), pleat::nn::relu<T>(),
                               pleat::nn::linear<forms>("fc3", 12, 4));
}
inline auto network() { return network_of<float>(); }
inline constexpr index_t weights = 560, parameters = 592;

inline auto build(pleat::world& w, std::uint64_t seed = 3) {
  pleat::plan::plan p;
  p.global_batch = 16;
  p.data_ranks = w.size();
  p.deterministic = true;
  return pleat::parallel::build(network(), p, w, {.seed = seed});
}

/// 4 classes that bytes tell apart: class c is bright in its own five pixels.
inline pleat::io::dataset data(index_t n) {
  pleat::io::dataset d;
  d.name = "stripes";
  d.sample = {1, 4, 5};
  d.size = n;
  d.classes = 4;
  d.mean = 100;
  d.scale = 1.0f / 64;
  pleat::random::stream const s(5, 1);
  for (index_t i = 0; i < n; ++i) {
    int const label = static_cast<int>(s.below(static_cast<std::uint64_t>(i), 4));
    d.labels.push_back(label);
    for (int j = 0; j < 20; ++j)
      d.pixels.push_back(static_cast<std::uint8_t>(s.below(static_cast<std::uint64_t>(1000000 + i * 20 + j), 120) +
                                                   (j / 5 == label ? 90 : 0)));
  }
  return d;
}

inline pleat::run::fit_options quiet(index_t epochs) {
  pleat::run::fit_options o;
  o.epochs = epochs;
  o.progress = false;
  return o;
}

/// A model's answers to all samples, one after the other.
template <class Net> std::vector<float> answers(pleat::parallel::model<Net> const& m, pleat::io::dataset const& d) {
  pleat::run::batch_loader<float, typename pleat::parallel::model<Net>::execution_space> loader(d);
  std::vector<index_t> all(static_cast<std::size_t>(d.size));
  std::iota(all.begin(), all.end(), index_t{0});
  auto const y = m.predict(loader.load(m.context(), all).x);
  std::vector<float> out(static_cast<std::size_t>(y.size()));
  pleat::copy_to_host(m.context(), y, out.data());
  return out;
}
/// The scales that round the inputs of weights whose form has such a thing; 0: they are not rounded by one.
template <class Net> std::vector<float> input_scales(pleat::parallel::model<Net> const& m) {
  std::vector<float> all;
  pleat::nn::for_each_parameter(m.net(), [&](auto const& w) {
    w.visit([&](auto, auto const& s) {
      if constexpr (requires { s.input_scale; }) all.push_back(s.input_scale);
    });
  });
  return all;
}

struct parameter_values {
  std::string name, form;
  extents shape;
  std::vector<float> values;
};

template <class Net> std::vector<parameter_values> values_of(pleat::parallel::model<Net> const& m) {
  using T = typename pleat::parallel::model<Net>::value_type;
  using Space = typename pleat::parallel::model<Net>::execution_space;
  std::vector<parameter_values> all;
  pleat::nn::for_each_parameter(m.net(), [&](auto const& w) {
    auto const t = pleat::tensor<T, Space>::allocate(m.context(), w.shape);
    w.decode(m.context(), t.data());
    std::vector<T> host(static_cast<std::size_t>(w.size()));
    pleat::copy_to_host(m.context(), t, host.data());
    parameter_values p{w.name, std::string(w.form_name()), w.shape, {}};
    for (T const v : host) p.values.push_back(static_cast<float>(v));
    all.push_back(std::move(p));
  });
  return all;
}

/// Writes values into a dense or masked parameter.
template <class Net>
void set_values(pleat::parallel::model<Net>& m, std::string const& name, std::vector<float> const& values) {
  using T = typename pleat::parallel::model<Net>::value_type;
  using Space = typename pleat::parallel::model<Net>::execution_space;
  std::vector<T> host;
  for (float const v : values) host.push_back(T(v));
  m.net().for_each_parameter([&](auto& w) {
    if (w.name == name && !w.absent)
      pleat::copy_from_host(m.context(), host.data(), pleat::tensor<T, Space>::wrap(w.data(), w.shape));
  });
}

inline bool is_weight(parameter_values const& p) { return p.shape.rank() == 2; }
inline index_t zeros(std::vector<float> const& v) { return std::count(v.begin(), v.end(), 0.0f); }
template <class Net> index_t weight_zeros(pleat::parallel::model<Net> const& m) {
  index_t n = 0;
  for (auto const& p : values_of(m))
    if (is_weight(p)) n += zeros(p.values);
  return n;
}

}  // namespace compress_test
