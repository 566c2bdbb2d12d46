// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// fit with networks of 16-bit numbers: they learn, skipped steps are told, and the loss scale goes on with a checkpoint.
#include <pleat/run/fit.hpp>

#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/plan/search.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <filesystem>
#include <mutex>
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
  return pl::nn::sequential(pl::nn::flatten<T, space>(), pl::nn::linear<F, space>("fc1", 64, 32), pl::nn::relu<T, space>(), pl::nn::linear<F, space>("fc2", 32, 10));
}
template <class T> auto build(pl::world& w, double scale = 1024) {
  return pl::parallel::build(net<T>(), pl::plan::search(net<T>(), w, {.global_batch = 48, .deterministic = true}), w, {.seed = 4, .loss_scale = {.initial = scale}});
}
pl::run::fit_options quiet(index_t epochs) {
  pl::run::fit_options o;
  o.epochs = epochs;
  o.optimizer = pl::nn::adamw{.learning_rate = 3e-3};
  o.progress = false;
  return o;
}

}  // namespace

TEMPLATE_TEST_CASE("fit: a network of 16-bit numbers learns the digits, the same on any number of ranks", "", pl::bfloat16, pl::half) {
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
  auto const folder = (std::filesystem::temp_directory_path() / ("pleat_fit_precision_" + std::to_string(::getpid()))).string();
  std::filesystem::remove_all(folder);
  std::mutex guard;
  std::vector<std::vector<bool>> told;
  std::vector<double> scales;
  std::vector<std::uint64_t> sums;
  // Too large a scale: it comes down by skipping. Once in one go, once stopped after an epoch and gone on with, on other ranks.
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
