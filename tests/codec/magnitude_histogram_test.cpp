// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/codec/magnitude_histogram.hpp>

#include <pleat/base/random.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {

using pleat::codec::magnitude_histogram;

/// Numbers of very different sizes, some zero.
std::vector<float> numbers(int n) {
  pleat::random::stream const s(3, 1);
  std::vector<float> v;
  for (int i = 0; i < n; ++i) {
    float const u = static_cast<float>(s.uniform(static_cast<std::uint64_t>(2 * i))) - 0.5f;
    v.push_back(i % 7 == 0 ? 0.0f : std::ldexp(u, static_cast<int>(s.below(static_cast<std::uint64_t>(2 * i + 1), 9))));
  }
  return v;
}
bool same(magnitude_histogram const& a, magnitude_histogram const& b) {
  return a.counts() == b.counts() && a.total() == b.total() && a.largest() == b.largest() && a.width() == b.width() &&
         a.nonfinite() == b.nonfinite();
}

TEST_CASE("bins hold exactly the magnitudes between their edges") {
  auto const v = numbers(5000);
  magnitude_histogram h;
  h.add(v);
  CHECK(h.total() == 5000);
  std::array<std::int64_t, magnitude_histogram::bins> expected{};
  float largest = 0;
  for (float const x : v) largest = std::max(largest, std::fabs(x));
  for (float const x : v) ++expected[static_cast<std::size_t>(std::fabs(x) / h.width())];  // a power of two: exact
  CHECK(h.counts() == expected);
  CHECK(h.largest() == largest);
  CHECK(h.used() > magnitude_histogram::bins / 2);  // between half and all of the range
  CHECK(h.used() <= magnitude_histogram::bins);
}

TEST_CASE("the order and the shares do not matter") {
  auto v = numbers(3000);
  magnitude_histogram one, backwards, merged;
  one.add(v);
  for (auto it = v.rbegin(); it != v.rend(); ++it) backwards.add(*it);
  CHECK(same(one, backwards));
  for (std::size_t parts = 2; parts <= 4; ++parts) {
    merged = {};
    for (std::size_t p = parts; p-- > 0;) {
      magnitude_histogram h;
      for (std::size_t i = p; i < v.size(); i += parts) h.add(v[i]);
      merged.merge(h);
    }
    CHECK(same(one, merged));
  }
}

TEST_CASE("ends of the number line") {
  magnitude_histogram h;
  CHECK(h.used() == 0);
  h.add(0.0f);
  h.add(-0.0f);
  CHECK((h.used() == 1 && h.total() == 2 && h.largest() == 0));
  h.add(std::numeric_limits<float>::denorm_min());
  h.add(std::numeric_limits<float>::max());
  h.add(std::numeric_limits<float>::infinity());
  h.add(std::numeric_limits<float>::quiet_NaN());
  CHECK((h.total() == 4 && h.nonfinite() == 2));
  CHECK(h.counts()[0] == 3);
  CHECK(h.counts()[magnitude_histogram::bins - 1] == 1);
  magnitude_histogram small;
  small.add(3 * std::numeric_limits<float>::denorm_min());
  CHECK(small.total() == 1);
  CHECK(small.used() >= 1);
}

}  // namespace
