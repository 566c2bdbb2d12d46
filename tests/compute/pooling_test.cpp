// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/compute/pooling.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace {

using namespace pleat;
using namespace pleat::compute;
using host = Kokkos::DefaultHostExecutionSpace;

template <class T> bool same_bits(std::vector<T> const& a, std::vector<T> const& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

std::size_t size(index_t n) { return static_cast<std::size_t>(n); }
index_t pixels(pool2d_shape const& s) { return s.planes() * s.height * s.width; }
index_t outputs(pool2d_shape const& s) { return s.planes() * s.out_height() * s.out_width(); }

pool2d_shape random_shape(std::mt19937& r) {
  auto const pick = [&r](index_t low, index_t high) {
    return low + static_cast<index_t>(r() % static_cast<unsigned>(high - low + 1));
  };
  for (;;) {
    pool2d_shape s{pick(0, 3), pick(1, 4), pick(1, 15), pick(1, 40), pick(1, 4), pick(1, 4), pick(1, 3), pick(1, 3)};
    if (pick(0, 2) == 0) s.kernel_h = s.kernel_w = s.stride_h = s.stride_w = 2;
    s.padding_h = pick(0, s.kernel_h / 2);
    s.padding_w = pick(0, s.kernel_w / 2);
    s.count_include_pad = pick(0, 1) == 1;
    if (s.height + 2 * s.padding_h >= s.kernel_h && s.width + 2 * s.padding_w >= s.kernel_w) return s;
  }
}

/// Everything by the definition: one window after the other, padding as explicit −∞ or 0.
template <class T> struct oracle {
  std::vector<T> most, mean, dx_max, dx_mean;
  std::vector<std::int32_t> where;
  oracle(pool2d_shape const& s, std::vector<T> const& x, std::vector<T> const& dy)
      : dx_max(x.size(), T(0)), dx_mean(x.size(), T(0)) {
    T const lowest = -std::numeric_limits<T>::infinity();
    std::size_t at = 0;
    for (index_t p = 0; p < s.planes(); ++p)
      for (index_t i = 0; i < s.out_height(); ++i)
        for (index_t j = 0; j < s.out_width(); ++j, ++at) {
          T best = lowest, sum = 0;
          index_t found = -1, inside = 0;
          std::vector<std::size_t> window;
          for (index_t u = 0; u < s.kernel_h; ++u)
            for (index_t v = 0; v < s.kernel_w; ++v) {
              index_t const a = i * s.stride_h - s.padding_h + u, b = j * s.stride_w - s.padding_w + v;
              if (a < 0 || b < 0 || a >= s.height || b >= s.width) continue;
              T const value = x[size((p * s.height + a) * s.width + b)];
              window.push_back(size((p * s.height + a) * s.width + b));
              ++inside;
              sum += value;
              if (found < 0 || value > best || (std::isnan(value) && !std::isnan(best)))
                best = value, found = a * s.width + b;
            }
          T const count = static_cast<T>(s.count_include_pad ? s.kernel_h * s.kernel_w : inside);
          most.push_back(best);
          where.push_back(static_cast<std::int32_t>(found));
          mean.push_back(sum / count);
          dx_max[size(p * s.height * s.width + found)] += dy[at];
          for (auto const k : window) dx_mean[k] += dy[at] / count;
        }
  }
};

template <class T> void compare(pool2d_shape const& s, std::vector<T> const& x, std::vector<T> const& dy) {
  INFO("planes " << s.planes() << " of " << s.height << "x" << s.width << ", kernel " << s.kernel_h << "x" << s.kernel_w
                 << ", stride " << s.stride_h << "," << s.stride_w << ", padding " << s.padding_h << ","
                 << s.padding_w);
  oracle<T> const want(s, x, dy);
#if defined(KOKKOS_ENABLE_OPENMP)
  Kokkos::OpenMP const one(1), two(2);
#else
  host const one, two;
#endif
  std::vector<T> y(dy.size()), dx(x.size());
  std::vector<std::int32_t> where(dy.size());
  for (auto const* space : {&one, &two}) {
    max_pool2d_forward(*space, s, x.data(), y.data(), nullptr);
    CHECK(same_bits(y, want.most));
    y.assign(y.size(), T(7));
    max_pool2d_forward(*space, s, x.data(), y.data(), where.data());
    CHECK(same_bits(y, want.most));
    CHECK(where == want.where);
    max_pool2d_backward(*space, s, dy.data(), where.data(), dx.data());
    CHECK(same_bits(dx, want.dx_max));
    avg_pool2d_forward(*space, s, x.data(), y.data());
    CHECK(same_bits(y, want.mean));
    avg_pool2d_backward(*space, s, dy.data(), dx.data());
    CHECK(same_bits(dx, want.dx_mean));
  }
  for (auto const level : {isa::level::scalar, isa::level::avx2, isa::level::avx512}) {
    if (level > isa::best()) continue;
    where.assign(where.size(), -1);
    compute::detail::max_pool_task<T>{s, level, 1, x.data(), y.data(), where.data()}(0);
    CHECK(same_bits(y, want.most));
    CHECK(where == want.where);
    y.assign(y.size(), T(7));
    // 2 x 2 windows have a way of their own
    compute::detail::max_pool_task<T>{s, level, 1, x.data(), y.data(), nullptr}(0);
    CHECK(same_bits(y, want.most));
  }
  compute::detail::max_pool2d_forward_portable(one, s, x.data(), y.data(), where.data());
  one.fence();
  CHECK(same_bits(y, want.most));
  CHECK(where == want.where);
  compute::detail::max_pool2d_backward_portable(one, s, dy.data(), where.data(), dx.data());
  one.fence();
  CHECK(same_bits(dx, want.dx_max));
  compute::detail::avg_pool2d_forward_portable(one, s, x.data(), y.data());
  one.fence();
  CHECK(same_bits(y, want.mean));
  compute::detail::avg_pool2d_backward_portable(one, s, dy.data(), dx.data());
  one.fence();
  CHECK(same_bits(dx, want.dx_mean));
}

template <class T> std::vector<T> random_values(std::mt19937& r, index_t n, bool coarse) {
  std::vector<T> v(size(n));
  for (auto& e : v)
    e = coarse ? static_cast<T>(static_cast<int>(r() % 5) - 2)
               : static_cast<T>(std::uniform_real_distribution<double>(-1, 1)(r));
  return v;
}

}  // namespace

TEMPLATE_TEST_CASE("pooling: every path follows the definition, bit for bit", "[compute][pooling]", float, double) {
  std::mt19937 r(2);
  for (int i = 0; i < 120; ++i) {
    auto const s = random_shape(r);
    compare<TestType>(s, random_values<TestType>(r, pixels(s), i % 2 == 0),
                      random_values<TestType>(r, outputs(s), false));
  }
  pool2d_shape const lenet{40, 20, 24, 24, 2, 2, 2, 2}, global{40, 64, 8, 8, 8, 8, 8, 8};
  compare<TestType>(lenet, random_values<TestType>(r, pixels(lenet), false),
                    random_values<TestType>(r, outputs(lenet), false));
  compare<TestType>(global, random_values<TestType>(r, pixels(global), false),
                    random_values<TestType>(r, outputs(global), false));
}

TEMPLATE_TEST_CASE("pooling: infinities, NaN and signed zeros", "[compute][pooling]", float, double) {
  using T = TestType;
  T const inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  std::mt19937 r(4);
  T const odd[] = {inf, -inf, nan, T(0), -T(0), T(1)};
  for (int i = 0; i < 60; ++i) {
    auto s = random_shape(r);
    auto x = random_values<T>(r, pixels(s), true);
    for (auto& e : x) e = r() % 2 ? odd[r() % 6] : e;
    auto const dy = random_values<T>(r, outputs(s), false);
    oracle<T> const want(s, x, dy);
    std::vector<T> y(dy.size()), z(dy.size()), dx(x.size());
    std::vector<std::int32_t> where(dy.size()), again(dy.size());
    host const space;
    max_pool2d_forward(space, s, x.data(), y.data(), where.data());
    compute::detail::max_pool2d_forward_portable(space, s, x.data(), z.data(), again.data());
    space.fence();
    CHECK(where == want.where);
    CHECK(again == want.where);
    for (std::size_t k = 0; k < y.size(); ++k)
      CHECK((y[k] == want.most[k] || (std::isnan(y[k]) && std::isnan(want.most[k]))));
    max_pool2d_backward(space, s, dy.data(), where.data(), dx.data());
    CHECK(same_bits(dx, want.dx_max));
  }
}

TEST_CASE("pooling: an image of -infinity with padding keeps its first pixel", "[compute][pooling]") {
  pool2d_shape const s{1, 1, 2, 2, 3, 3, 2, 2, 1, 1};
  std::vector<float> const x(4, -std::numeric_limits<float>::infinity());
  float y = 0;
  std::int32_t where = -1;
  max_pool2d_forward(host(), s, x.data(), &y, &where);
  CHECK(y == x[0]);
  CHECK(where == 0);
}

TEST_CASE("pooling: shapes that do not fit are refused with the numbers", "[compute][pooling]") {
  float none = 0;
  pool2d_shape const good{1, 1, 8, 8, 2, 2, 2, 2};
  auto const call = [&](pool2d_shape const& s) { max_pool2d_forward(host(), s, &none, &none, nullptr); };
  auto const refused = [&](index_t pool2d_shape::*extent, index_t found, char const* words) {
    auto bad = good;
    bad.*extent = found;
    CHECK_THROWS_WITH(call(bad), Catch::Matchers::ContainsSubstring(words));
  };
  refused(&pool2d_shape::padding_h, 2, "padding_h must be at most half of kernel_h; found 2. Choose a smaller window");
  refused(&pool2d_shape::kernel_w, 9,
          "the window is wider than the padded image; found 9 pixels of 8. Choose a smaller");
  refused(&pool2d_shape::stride_w, 0, "strides must be positive; found 0. Set it to 1 or more");
}
