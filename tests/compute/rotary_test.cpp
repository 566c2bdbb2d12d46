// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/compute/rotary.hpp>

#include <algorithm>
#include <cmath>

#include "compute/vector_support.hpp"

using namespace vector_support;
namespace compute = pleat::compute;
using compute::attention_shape;

TEST_CASE("our sine and cosine are those of the C library", "[compute][rotary]") {
  double worst = 0;
  for (int i = -200000; i < 200000; ++i) {
    double const a = i * 0.61803398875 * (i % 3 == 0 ? 1 : 0.001);
    double s, c;
    compute::detail::sine_cosine(a, s, c);
    worst = std::max({worst, std::abs(s - std::sin(a)), std::abs(c - std::cos(a))});
  }
  // the first term left out is (π/4)^13/13! = 7e-12 of the sine, (π/4)^14/14! = 4e-13 of the cosine
  CHECK(worst < 8e-12);
}

TEST_CASE("rotary positions turn queries and keys, not values; back is the inverse", "[compute][rotary]") {
  for (index_t const size : {2, 10, 64}) {
    attention_shape const s{2, 9, 3, 2, size, true};
    compute::rotary_frequencies const f(size);
    auto const x = numbers<float>(s.batch * s.positions * s.width(), 1);
    guarded<float> y(x.size()), z(x.size());
    compute::rotary(instance(1), s, f, false, x.data(), y.data());
    compute::rotary(instance(1), s, f, true, static_cast<float const*>(y.data()), z.data());
    auto in_place = x;
    compute::rotary(instance(2), s, f, false, static_cast<float const*>(in_place.data()), in_place.data());
    CHECK(in_place.same_bits(y));
    CHECK((y.intact() && z.intact()));
    double worst = 0, worst_back = 0;
    bool values = true;
    for (index_t r = 0; r < 18; ++r)
      for (index_t slot = 0; slot < 12; ++slot)
        for (index_t e = 0; e < size / 2; ++e) {
          index_t const a = (r * 12 + slot) * size + e, b = a + size / 2;
          bool const value = slot % 4 == 3;
          double const angle =
              static_cast<double>(r % 9) * std::pow(10000.0, -2.0 * static_cast<double>(e) / static_cast<double>(size));
          if (value) values = values && y[a] == x[a] && y[b] == x[b];
          else
            worst = std::max({worst, std::abs(y[a] - (x[a] * std::cos(angle) - x[b] * std::sin(angle))),
                              std::abs(y[b] - (x[b] * std::cos(angle) + x[a] * std::sin(angle)))});
          worst_back = std::max(
              {worst_back, std::abs(static_cast<double>(z[a] - x[a])), std::abs(static_cast<double>(z[b] - x[b]))});
        }
    CHECK(values);
    CHECK(worst < 4 * 6e-8);        // two products of numbers below 1, a rounded sine and cosine, a sum below 2
    CHECK(worst_back < 14 * 6e-8);  // the same twice, the first error turned
  }
}

TEST_CASE("rotary positions have the same bits on every instruction set and space", "[compute][rotary]") {
  attention_shape const s{1, 300, 2, 1, 24, true};
  compute::rotary_frequencies const f(24);
  auto const x = numbers<float>(s.positions * s.width(), 2);
  guarded<float> first(x.size()), y(x.size());
  compute::rotary(instance(2), s, f, false, x.data(), first.data());
  compute::detail::rotary_body<float> const body{s, f, false, x.data(), y.data()};
  for (auto const level : {pleat::isa::level::scalar, pleat::isa::level::avx2, pleat::isa::level::avx512}) {
    if (level > pleat::isa::best()) continue;
    for (index_t i = 0; i < y.size(); ++i) y[i] = 0;
    compute::detail::loop_at<true>(level, 0, 300, body);
    CHECK(y.same_bits(first));
  }
  for (index_t i = 0; i < y.size(); ++i) y[i] = 0;
  compute::detail::loop_portable(instance(2), 300, body);
  instance(2).fence();
  CHECK(y.same_bits(first));
}

TEST_CASE("rotary frequencies say what they cannot be", "[compute][rotary]") {
  CHECK_THROWS_WITH(compute::rotary_frequencies(7), Catch::Matchers::ContainsSubstring("7 elements"));
  CHECK_THROWS_WITH(compute::rotary_frequencies(512), Catch::Matchers::ContainsSubstring("512"));
  CHECK_THROWS_WITH(compute::rotary_frequencies(8, 1), Catch::Matchers::ContainsSubstring("above 1"));
}
