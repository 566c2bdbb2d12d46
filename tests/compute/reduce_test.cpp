// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/reduce.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <cmath>
#include <limits>

#include "vector_support.hpp"

namespace {

using namespace vector_support;
namespace compute = pleat::compute;
using compute::lanes;

lanes cut_into(int count, index_t rows) {
  lanes l;
  l.count = count;
  for (int i = 0; i <= count; ++i) l.row[static_cast<std::size_t>(i)] = rows * i / count;
  return l;
}

/// The order of reduce.hpp, written again in the plainest way.
template <class T> T plain_sum(std::vector<T> const& x) {
  auto const halves = [](std::vector<T> a) {
    while (a.size() > 1) {
      std::size_t const s = a.size() / 2;
      for (std::size_t j = 0; j < s; ++j) a[j] += a[j + s];
      a.resize(s);
    }
    return a[0];
  };
  std::vector<T> chunks;
  for (std::size_t b = 0; b < x.size(); b += 4096) {
    std::vector<T> chain(32, T(0));
    for (std::size_t i = b; i < std::min(x.size(), b + 4096); ++i) chain[(i - b) % 32] += x[i];
    chunks.push_back(halves(chain));
  }
  std::size_t const groups = std::min<std::size_t>(chunks.size(), 256);
  std::vector<T> partial;
  for (std::size_t g = 0; g < groups; ++g) {
    std::vector<std::pair<int, T>> stack;  // (level, sum): equal levels merge, then what is left from the right
    for (std::size_t c = chunks.size() * g / groups; c < chunks.size() * (g + 1) / groups; ++c) {
      stack.push_back({0, chunks[c]});
      while (stack.size() > 1 && stack[stack.size() - 2].first == stack.back().first) {
        auto const top = stack.back();
        stack.pop_back();
        stack.back() = {top.first + 1, stack.back().second + top.second};
      }
    }
    T s = stack.back().second;
    for (std::size_t k = stack.size() - 1; k-- > 0;) s = stack[k].second + s;
    partial.push_back(s);
  }
  while ((partial.size() & (partial.size() - 1)) != 0) partial.push_back(T(0));
  return halves(partial);
}

}  // namespace

TEMPLATE_TEST_CASE("a sum has the documented order, whatever the threads", "[compute][reduce]", float, double) {
  using T = TestType;
  for (index_t const n : {1, 2, 31, 32, 33, 4095, 4096, 4097, 300001, 4096 * 300 + 5}) {
    auto const x = numbers<T>(n, 5);
    T const expected = plain_sum(std::vector<T>(x.data(), x.data() + n));
    for (int const threads : {1, 2}) {
      T got = 0;
      compute::sum(instance(threads), n, x.data(), &got);
      CHECK(got == expected);
    }
  }
}

TEMPLATE_TEST_CASE("reductions agree with long sums", "[compute][reduce]", float, double) {
  using T = TestType;
  for (index_t const n : {0, 1, 77, 100003}) {
    auto const x = numbers<T>(n, 6), y = numbers<T>(n, 7);
    long double s = 0, d = 0, q = 0, a = 0;
    T high = -std::numeric_limits<T>::infinity(), low = -high, most = 0;
    for (index_t i = 0; i < n; ++i) {
      s += x[i];
      d += static_cast<long double>(x[i]) * y[i];
      q += static_cast<long double>(x[i]) * x[i];
      a += std::abs(x[i]);
      high = std::max(high, x[i]);
      low = std::min(low, x[i]);
      most = std::max(most, std::abs(x[i]));
    }
    // a chain of 128, then 5 + 8 + 8 levels of a tree: at most 150 roundings of sums whose terms add up to a
    double const bound = 150 * std::numeric_limits<T>::epsilon() / 2 * static_cast<double>(a);
    auto const space = instance(2);
    T r = -1;
    compute::sum(space, n, x.data(), &r);
    CHECK(std::abs(static_cast<double>(r - s)) <= bound);
    compute::absolute_sum(space, n, x.data(), &r);
    CHECK(std::abs(static_cast<double>(r - a)) <= bound);
    compute::dot(space, n, x.data(), y.data(), &r);
    CHECK(std::abs(static_cast<double>(r - d)) <= bound);
    double wide = -1;
    compute::squared_norm(space, n, x.data(), &wide);
    CHECK(std::abs(static_cast<double>(wide - q)) <= 150 * 0x1p-53 * static_cast<double>(a));
    compute::max(space, n, x.data(), &r);
    CHECK(r == high);
    compute::min(space, n, x.data(), &r);
    CHECK(r == low);
    compute::max_abs(space, n, x.data(), &r);
    CHECK(r == most);
    if (n > 0) {
      double portable = 0;
      compute::detail::reduce_portable(space, n, compute::detail::sum_op<T, double>{x.data()}, &portable);
      space.fence();
      CHECK(std::abs(portable - static_cast<double>(s)) <= static_cast<double>(n) * 0x1p-53 * static_cast<double>(a));
    }
  }
}

TEMPLATE_TEST_CASE("a NaN or an infinity is never overlooked", "[compute][reduce]", float, double) {
  using T = TestType;
  T const nan = std::numeric_limits<T>::quiet_NaN(), inf = std::numeric_limits<T>::infinity();
  for (index_t const n : {1, 40, 5000})
    for (index_t const at : {index_t{0}, n / 2, n - 1}) {
      auto x = numbers<T>(n, 8);
      auto const space = instance(2);
      int flag = -1;
      compute::any_nonfinite(space, n, x.data(), &flag);
      CHECK(flag == 0);
      x[at] = inf;
      compute::any_nonfinite(space, n, x.data(), &flag);
      CHECK(flag == 1);
      x[at] = nan;
      compute::any_nonfinite(space, n, x.data(), &flag);
      CHECK(flag == 1);
      T r = 0;
      compute::max(space, n, x.data(), &r);
      CHECK(std::isnan(r));
      compute::min(space, n, x.data(), &r);
      CHECK(std::isnan(r));
      compute::max_abs(space, n, x.data(), &r);
      CHECK(std::isnan(r));
    }
}

TEST_CASE("nonzeros are counted and the largest entry of a row is found", "[compute][reduce]") {
  auto x = numbers<float>(10000, 9);
  index_t zeros = 0;
  for (index_t i = 0; i < x.size(); i += 7, ++zeros) x[i] = i % 2 ? 0.0f : -0.0f;
  index_t count = -1;
  compute::count_nonzero(instance(2), x.size(), x.data(), &count);
  CHECK(count == x.size() - zeros);
  float const nan = std::numeric_limits<float>::quiet_NaN();
  float const a[4 * 3] = {1, 3, 3, /**/ -1, -2, -3, /**/ 5, nan, nan, /**/ 0, 0, 0};
  std::int32_t best[4];
  compute::argmax_rows(instance(1), 4, 3, a, 3, best);
  CHECK((best[0] == 1 && best[1] == 0 && best[2] == 1 && best[3] == 0));
}

TEMPLATE_TEST_CASE("a column sum follows lanes.hpp to the bit", "[compute][reduce]", float, double) {
  using T = TestType;
  for (index_t const columns : {1, 10, 32, 33, 300})
    for (index_t const rows : {0, 1, 5, 64, 1000})
      for (int const count : {1, 2, 8, 64}) {
        index_t const ld = columns + 3;
        auto const a = numbers<T>(rows * ld, 10);
        auto const cut = cut_into(count, rows);
        std::vector<T> expected(static_cast<std::size_t>(columns));
        for (index_t j = 0; j < columns; ++j) {
          std::vector<T> lane(static_cast<std::size_t>(count), T(0));
          for (int l = 0; l < count; ++l)
            for (index_t r = cut.begin(l); r < cut.end(l); ++r) lane[static_cast<std::size_t>(l)] += a[r * ld + j];
          while (lane.size() > 1) {
            std::vector<T> next;
            for (std::size_t k = 0; k < lane.size(); k += 2) next.push_back(lane[k] + lane[k + 1]);
            lane = next;
          }
          expected[static_cast<std::size_t>(j)] = lane[0];
        }
        for (int const threads : {1, 2}) {
          guarded<T> out(columns, T(7));
          compute::column_sum(instance(threads), columns, a.data(), ld, out.data(), cut);
          bool same = out.intact();
          for (index_t j = 0; j < columns; ++j) same = same && out[j] == expected[static_cast<std::size_t>(j)];
          CHECK(same);
        }
      }
}

TEST_CASE("a lane may be cut at any row", "[compute][reduce]") {
  index_t const rows = 100, columns = 37;
  auto const a = numbers<float>(rows * columns, 11);
  guarded<float> whole(columns), parts(columns), image(4), pieces(4);
  compute::column_sum(instance(1), columns, a.data(), columns, whole.data(), lanes::whole(rows));
  auto first = lanes::whole(41), second = lanes::whole(rows, true);
  second.row[0] = 41;
  compute::column_sum(instance(1), columns, a.data(), columns, parts.data(), first);
  compute::column_sum(instance(1), columns, a.data(), columns, parts.data(), second);
  CHECK(whole.same_bits(parts));
  // the same for channels of images: 25 samples of 4 channels of 37 pixels
  compute::channel_sum(instance(1), 4, 37, a.data(), image.data(), lanes::whole(25));
  first = lanes::whole(9);
  second = lanes::whole(25, true);
  second.row[0] = 9;
  compute::channel_sum(instance(2), 4, 37, a.data(), pieces.data(), first);
  compute::channel_sum(instance(2), 4, 37, a.data(), pieces.data(), second);
  CHECK(image.same_bits(pieces));
  double exact = 0;
  for (index_t s = 0; s < 25; ++s)
    for (index_t p = 0; p < 37; ++p) exact += a[(s * 4 + 2) * 37 + p];
  CHECK(std::abs(image[2] - exact) <= 35 * 0x1p-24 * 925);  // ≤ 35 roundings of sums below 925
}

TEST_CASE("lane sums fold over the tree", "[compute][reduce]") {
  auto const a = numbers<float>(8 * 5, 12);
  guarded<float> out(5, 2.0f), more(5, 2.0f);
  compute::fold_lanes(instance(1), 8, 5, a.data(), out.data());
  compute::fold_lanes(instance(1), 8, 5, a.data(), more.data(), true);
  for (index_t j = 0; j < 5; ++j) {
    auto const x = [&](int l) { return a[l * 5 + j]; };
    float const t = ((x(0) + x(1)) + (x(2) + x(3))) + ((x(4) + x(5)) + (x(6) + x(7)));
    CHECK(out[j] == t);
    CHECK(more[j] == 2.0f + t);
  }
}
