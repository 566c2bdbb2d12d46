// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// fit with networks of 16-bit numbers: they learn, skipped steps are told, and the loss scale goes on with a
// checkpoint.
#include <pleat/run/fit.hpp>

#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/dropout.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/pooling.hpp>
#include <pleat/nn/residual.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/plan/search.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include <unistd.h>

#include "digits.hpp"

namespace pl = pleat;
using pl::index_t;

namespace {

template <class T> auto net() {
  using space = Kokkos::DefaultExecutionSpace;
  using F = pl::codec::forms<pl::codec::dense<T>>;
  return pl::nn::sequential(pl::nn::flatten<T, space>(), pl::nn::linear<F, space>("fc1", 64, 32),
                            pl::nn::relu<T, space>(), pl::nn::linear<F, space>("fc2", 32, 10));
}
template <class T> auto build(pl::world& w, double scale = 1024) {
  pl::parallel::build_options o{.seed = 4};
  if (std::is_same_v<T, pl::half>) o.loss_scale.initial = scale;
  return pl::parallel::build(net<T>(), pl::plan::search(net<T>(), w, {.global_batch = 48, .deterministic = true}), w,
                             std::move(o));
}
pl::run::fit_options quiet(index_t epochs) {
  pl::run::fit_options o;
  o.epochs = epochs;
  o.optimizer = pl::nn::adamw{.learning_rate = 3e-3};
  o.progress = false;
  return o;
}

/// A small LeNet-5, and a small residual network.
template <class T> auto lenet() {
  using space = Kokkos::DefaultExecutionSpace;
  using F = pl::codec::forms<pl::codec::dense<T>>;
  return pl::nn::sequential(pl::nn::conv2d<F, space>("conv1", 1, 8, 5, {.padding = 2}), pl::nn::relu<T, space>(),
                            pl::nn::max_pool2d<T, space>(2),
                            pl::nn::conv2d<F, space>("conv2", 8, 12, 3, {.padding = 1}), pl::nn::relu<T, space>(),
                            pl::nn::max_pool2d<T, space>(2), pl::nn::flatten<T, space>(),
                            pl::nn::linear<F, space>("fc1", 48, 32), pl::nn::relu<T, space>(),
                            pl::nn::dropout<T, space>("drop", 0.1), pl::nn::linear<F, space>("fc2", 32, 10));
}
template <class T> auto residual_net() {
  using space = Kokkos::DefaultExecutionSpace;
  using F = pl::codec::forms<pl::codec::dense<T>>;
  return pl::nn::sequential(pl::nn::conv2d<F, space>("stem", 1, 8, 3, {.padding = 1, .bias = false}),
                            pl::nn::batch_norm<T, space>("norm0", 8), pl::nn::relu<T, space>(),
                            pl::nn::residual(pl::nn::sequential(
                                pl::nn::conv2d<F, space>("conv1", 8, 8, 3, {.padding = 1, .groups = 2, .bias = false}),
                                pl::nn::batch_norm<T, space>("norm1", 8), pl::nn::relu<T, space>(),
                                pl::nn::conv2d<F, space>("conv2", 8, 8, 3, {.padding = 1}))),
                            pl::nn::relu<T, space>(), pl::nn::avg_pool2d<T, space>(2), pl::nn::flatten<T, space>(),
                            pl::nn::linear<F, space>("fc", 128, 10));
}
struct image_run {
  std::vector<double> losses;
  double error = 0;
  std::vector<std::uint64_t> sums;
};
/// Trains on so many ranks.
template <class Net> image_run train_images(Net const& network, int ranks, index_t epochs) {
  static auto const data = test_digits();
  image_run out;
  std::mutex guard;
  pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    auto const p = pl::plan::search(network, w, {.global_batch = 48, .deterministic = true});
    pl::parallel::build_options how{.seed = 4};
    if (p.precision == pl::plan::compute_precision::f16) how.loss_scale.initial = 1024;
    auto m = pl::parallel::build(network, p, w, std::move(how));
    auto o = quiet(epochs);
    std::vector<double> losses;
    o.on_event = [&](pl::run::event const& e) {
      if (e.what == pl::run::event::kind::step) losses.push_back(e.loss);
    };
    (void)pl::run::fit(m, data.train, o);
    double const error = pl::run::evaluate(m, data.test).error();
    auto const sum = m.checksum();
    std::lock_guard const lock(guard);
    out.losses = losses;
    out.error = error;
    out.sums.push_back(sum);
  });
  return out;
}
template <class T, class Narrow, class Wide> void learns_as_floats_do(Narrow const& narrow, Wide const& wide) {
  constexpr double u = std::is_same_v<T, pl::bfloat16> ? 0x1p-8 : 0x1p-11;
  auto const a = train_images(narrow, 1, 6), b = train_images(wide, 1, 6);
  // The first loss: between images and scores lie at most ten layers, each of which rounds its parameters and its
  // result by u of their size and lets what came before through once; scores of a fresh network are below 2, and a loss
  // moves by at most twice the largest score's error.
  CHECK(std::abs(a.losses.front() - b.losses.front()) <= 2 * 10 * 2 * u * 2);
  CHECK(a.losses.front() != b.losses.front());
  // Six epochs later both have learned the same digits; steps drift apart by what was rounded.
  auto const last = [](image_run const& r) { return std::accumulate(r.losses.end() - 10, r.losses.end(), 0.0) / 10; };
  CHECK(last(a) < 0.5 * a.losses.front());
  CHECK(std::abs(last(a) - last(b)) <= 0.1 * b.losses.front());
  CHECK(a.error < 0.3);
  auto const three = train_images(narrow, 3, 1), one = train_images(narrow, 1, 1);
  CHECK(three.losses == one.losses);
  CHECK(three.sums == std::vector<std::uint64_t>(3, one.sums[0]));
}

}  // namespace

TEMPLATE_TEST_CASE(
    "fit: LeNet-5 and a residual network of 16-bit numbers learn as those of floats do, the same on any number of "
    "ranks",
    "", pl::bfloat16, pl::half) {
  learns_as_floats_do<TestType>(lenet<TestType>(), lenet<float>());
  learns_as_floats_do<TestType>(residual_net<TestType>(), residual_net<float>());
}

TEMPLATE_TEST_CASE("fit: a network of 16-bit numbers learns the digits, the same on any number of ranks", "",
                   pl::bfloat16, pl::half) {
  auto const data = test_digits();
  std::mutex guard;
  std::vector<std::uint64_t> sums;
  for (int ranks : {1, 3})
    pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
      pl::world w(std::move(c), 1);
      auto m = build<TestType>(w);
      auto const report = pl::run::fit(m, data.train, quiet(6));
      double const error = pl::run::evaluate(m, data.test).error();
      auto const sum = m.checksum();
      std::lock_guard const lock(guard);
      sums.push_back(sum);
      CHECK(report.epoch_loss.back() < 0.5 * report.epoch_loss.front());
      CHECK(error < 0.5);  // a guess errs nine times in ten
    });
  CHECK(sums == std::vector<std::uint64_t>(4, sums[0]));
}

TEST_CASE("fit: steps that half skips are told to listeners on every rank, and a checkpoint goes on with the scale") {
  auto const data = test_digits();
  auto const folder =
      (std::filesystem::temp_directory_path() / ("pleat_fit_precision_" + std::to_string(::getpid()))).string();
  std::filesystem::remove_all(folder);
  std::mutex guard;
  std::vector<std::vector<bool>> told;
  std::vector<double> scales;
  std::vector<std::uint64_t> sums;
  // Too large a scale: it comes down by skipping. Once in one go, once stopped after an epoch and gone on with, on
  // other ranks.
  auto const train = [&](int ranks, index_t epochs, bool keep) {
    told.clear(), scales.clear(), sums.clear();
    pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
      pl::world w(std::move(c), 1);
      auto m = build<pl::half>(w, 0x1p24);
      auto o = quiet(epochs);
      std::vector<bool> moved;
      o.on_event = [&](pl::run::event const& e) {
        if (e.what == pl::run::event::kind::step) moved.push_back(e.moved);
      };
      if (keep) o.checkpoint = folder, o.resume = true;
      (void)pl::run::fit(m, data.train, o);
      auto const sum = m.checksum();
      std::lock_guard const lock(guard);
      told.push_back(moved);
      scales.push_back(m.scaling()->value());
      sums.push_back(sum);
    });
  };
  train(1, 2, false);
  auto const whole = told[0];
  double const scale = scales[0];
  auto const sum = sums[0];
  CHECK(std::count(whole.begin(), whole.end(), false) > 0);
  CHECK(scale < 0x1p24);
  CHECK(std::count(whole.begin(), whole.end(), true) > 40);  // of 62: what half can hold is found in a few steps
  train(2, 1, true);
  CHECK(told[0] == told[1]);
  auto const first = told[0];
  train(3, 2, true);
  for (auto const& t : told) {
    auto both = first;
    both.insert(both.end(), t.begin(), t.end());
    CHECK(both == whole);
  }
  CHECK(scales == std::vector<double>(3, scale));
  CHECK(sums == std::vector<std::uint64_t>(3, sum));
  std::filesystem::remove_all(folder);
}
