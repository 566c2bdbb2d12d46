// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <pleat/compute/layer_norm.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include "compute/vector_support.hpp"

using namespace vector_support;
namespace compute = pleat::compute;
namespace d = pleat::compute::detail;

TEMPLATE_TEST_CASE("row norms and their gradients are the definitions", "[compute][layer_norm]", float, double) {
  using T = TestType;
  double const e = std::numeric_limits<T>::epsilon() / 2;
  for (bool const centred : {true, false})
    for (index_t const columns : {1, 5, 32, 100, 384}) {
      CAPTURE(centred, columns);
      index_t const rows = 37;
      auto const x = numbers<T>(rows * columns, 1), dy = numbers<T>(rows * columns, 2), gamma = numbers<T>(columns, 3),
                 beta = numbers<T>(columns, 4);
      guarded<T> y(rows * columns), dx(rows * columns), mean(rows), inverse(rows), dgamma(columns);
      T const epsilon = T(0.1);
      if (centred)
        compute::layer_norm_forward(instance(2), rows, columns, x.data(), epsilon, gamma.data(), beta.data(), y.data(),
                                    mean.data(), inverse.data());
      else
        compute::rms_norm_forward(instance(2), rows, columns, x.data(), epsilon, gamma.data(), y.data(),
                                  inverse.data());
      T const* const m = centred ? mean.data() : nullptr;
      compute::row_norm_backward(instance(2), rows, columns, x.data(), m, static_cast<T const*>(inverse.data()),
                                 gamma.data(), dy.data(), dx.data());
      compute::row_norm_gradient(instance(2), columns, x.data(), m, static_cast<T const*>(inverse.data()), dy.data(),
                                 dgamma.data(), compute::lanes::whole(rows));
      CHECK((y.intact() && dx.intact() && mean.intact() && inverse.intact() && dgamma.intact()));
      double worst_y = 0, worst_dx = 0, worst_g = 0;
      std::vector<double> g(static_cast<std::size_t>(columns));
      for (index_t r = 0; r < rows; ++r) {
        double const n = static_cast<double>(columns);
        double mu = 0, var = 0, a = 0, b = 0;
        auto const at = [&](auto const& v, index_t j) { return static_cast<double>(v[r * columns + j]); };
        if (centred)
          for (index_t j = 0; j < columns; ++j) mu += at(x, j) / n;
        for (index_t j = 0; j < columns; ++j) var += (at(x, j) - mu) * (at(x, j) - mu) / n;
        double const s = 1 / std::sqrt(var + static_cast<double>(epsilon));
        for (index_t j = 0; j < columns; ++j) {
          double const h = (at(x, j) - mu) * s, dh = at(dy, j) * static_cast<double>(gamma[j]);
          if (centred) a += dh / n;
          b += dh * h / n;
          g[static_cast<std::size_t>(j)] += at(dy, j) * h;
          worst_y = std::max(worst_y, std::abs(at(y, j) - (h * static_cast<double>(gamma[j]) +
                                                           (centred ? static_cast<double>(beta[j]) : 0))));
        }
        for (index_t j = 0; j < columns; ++j) {
          double const h = (at(x, j) - mu) * s, dh = at(dy, j) * static_cast<double>(gamma[j]);
          worst_dx = std::max(worst_dx, std::abs(at(dx, j) - s * (dh - a - h * b)));
        }
      }
      for (index_t j = 0; j < columns; ++j)
        worst_g = std::max(worst_g, std::abs(static_cast<double>(dgamma[j]) - g[static_cast<std::size_t>(j)]));
      // s ≤ 1/√0.1 = 3.2, |x̂| ≤ 6.4; a row's sum of terms below t is off by (n/32 + 7)·n·t·e, its mean by (n/32 +
      // 7)·t·e. So the mean is off by k = n/32 + 8 units, x̂ by 3.2·k + (the variance's) 6.4·(2k + 4)/2·10·2, say 160·k
      double const k = static_cast<double>(columns) / 32 + 8, h = 160 * k;
      CHECK(worst_y <= (h + 8) * e);
      CHECK(worst_dx <= 3.2 * (k + (2 * h + 6.4 * k) * 6.4 + 50) * e);
      CHECK(worst_g <= 37 * (h + 37 * 6.4) * e);
    }
}

TEST_CASE("row norms have the same bits on every instruction set, thread count and space", "[compute][layer_norm]") {
  index_t const rows = 70, columns = 100;
  auto const x = numbers<float>(rows * columns, 5, -3, 5), dy = numbers<float>(rows * columns, 6),
             gamma = numbers<float>(columns, 7), beta = numbers<float>(columns, 8);
  guarded<float> y(rows * columns), mean(rows), inverse(rows), dx(rows * columns);
  d::row_norm_forward_body<float> const forward{columns,  x.data(),    1e-5f,          gamma.data(), beta.data(),
                                                y.data(), mean.data(), inverse.data(), true};
  d::row_norm_backward_body<float> const backward{columns,      x.data(),  mean.data(), inverse.data(),
                                                  gamma.data(), dy.data(), dx.data()};
  auto const clear = [&] {
    for (index_t i = 0; i < rows * columns; ++i) y[i] = dx[i] = 0;
  };
  std::uint64_t first = 0;
  auto const look = [&] {
    auto const h = digest(digest(digest(digest(1, y), mean), inverse), dx);
    if (first == 0) first = h;
    CHECK(h == first);
  };
  for (auto const level : {pleat::isa::level::scalar, pleat::isa::level::avx2, pleat::isa::level::avx512}) {
    if (level > pleat::isa::best()) continue;
    clear();
    d::loop_at<true>(level, 0, rows, forward);
    d::loop_at<true>(level, 0, rows, backward);
    look();
  }
  clear();
  d::loop_portable(instance(2), rows, forward);
  d::loop_portable(instance(2), rows, backward);
  instance(2).fence();
  look();
  clear();
  compute::layer_norm_forward(instance(2), rows, columns, x.data(), 1e-5f, gamma.data(), beta.data(), y.data(),
                              mean.data(), inverse.data());
  compute::row_norm_backward(instance(2), rows, columns, x.data(), static_cast<float const*>(mean.data()),
                             static_cast<float const*>(inverse.data()), gamma.data(), dy.data(), dx.data());
  look();
}

TEST_CASE("the gradient of a norm's scale sums lanes as lanes.hpp says", "[compute][layer_norm]") {
  index_t const rows = 24, columns = 45;
  auto const x = numbers<float>(rows * columns, 1), dy = numbers<float>(rows * columns, 2),
             mean = numbers<float>(rows, 3), inverse = numbers<float>(rows, 4, 0.5, 2);
  compute::lanes cut;
  cut.count = 4;
  index_t const border[5] = {0, 3, 3, 17, 24};
  for (std::size_t l = 0; l < 5; ++l) cut.row[l] = border[l];
  guarded<float> tree(columns), device(columns), cut_up(columns);
  compute::row_norm_gradient(instance(2), columns, x.data(), mean.data(), inverse.data(), dy.data(), tree.data(), cut);
  d::loop_portable(instance(1), columns,
                   d::row_norm_gradient_body<1, float>{columns, x.data(), mean.data(), inverse.data(), dy.data(),
                                                       device.data(), cut});
  instance(1).fence();
  std::vector<float> lane(static_cast<std::size_t>(4 * columns));
  for (int l = 0; l < 4; ++l)
    for (index_t j = 0; j < columns; ++j) {
      float sum = 0;
      for (index_t r = border[l]; r < border[l + 1]; ++r)
        sum = std::fma(dy[r * columns + j], (x[r * columns + j] - mean[r]) * inverse[r], sum);
      lane[static_cast<std::size_t>(l * columns + j)] = sum;
    }
  bool same = true;
  for (std::size_t j = 0; j < static_cast<std::size_t>(columns); ++j) {
    auto const n = static_cast<std::size_t>(columns);
    same = same && tree[static_cast<index_t>(j)] == (lane[j] + lane[n + j]) + (lane[2 * n + j] + lane[3 * n + j]);
  }
  CHECK(same);
  CHECK(tree.same_bits(device));
  // a lane cut at any row
  compute::lanes a = compute::lanes::whole(10), b = compute::lanes::whole(24, true);
  b.row[0] = 10;
  guarded<float> once(columns);
  compute::row_norm_gradient(instance(1), columns, x.data(), mean.data(), inverse.data(), dy.data(), cut_up.data(), a);
  compute::row_norm_gradient(instance(1), columns, x.data(), mean.data(), inverse.data(), dy.data(), cut_up.data(), b);
  compute::row_norm_gradient(instance(1), columns, x.data(), mean.data(), inverse.data(), dy.data(), once.data(),
                             compute::lanes::whole(24));
  CHECK(once.same_bits(cut_up));
}
