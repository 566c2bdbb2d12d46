// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows of floats to 16-bit numbers and 8-bit codes: every instruction set that this machine has writes what one number
// after the other gives.
#include <pleat/codec/detail/narrow_row.hpp>

#include <pleat/base/random.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

namespace {

namespace detail = pleat::codec::detail;
namespace isa = pleat::isa;
using pleat::index_t;

std::vector<isa::level> levels() {
  std::vector<isa::level> all;
  for (auto l : {isa::level::scalar, isa::level::avx2, isa::level::avx512})
    if (l <= isa::best()) all.push_back(l);
  return all;
}

/// Finite floats of every exponent up to `most`, and neighbours of what lies half way between two numbers of 16 bits.
std::vector<float> finite_floats(index_t n, std::uint32_t most) {
  pleat::random::stream const s(3, 4);
  std::vector<float> v;
  for (std::uint64_t i = 0; static_cast<index_t>(v.size()) < n; ++i) {
    auto u = static_cast<std::uint32_t>(s.uniform(2 * i) * 4294967040.0f);
    // half way of bfloat16, or just below
    if (i % 3 == 0) u = (u & 0xffff0000u) | 0x7fffu | (s.uniform(2 * i + 1) < 0.5f ? 0u : 1u);
    if (i % 3 == 1) u = (u & 0xffffe000u) | 0x0fffu | (s.uniform(2 * i + 1) < 0.5f ? 0u : 1u);  // and of half
    // about the smallest normal half
    if (i % 5 == 0) u = (u & 0x80ffffffu) | 0x38000000u;
    if ((u & 0x7fffffffu) < most) v.push_back(std::bit_cast<float>(u));
  }
  return v;
}

}  // namespace

TEST_CASE("rows narrowed to sixteen bits are the numbers narrowed one by one") {
  for (bool const half : {false, true}) {
    auto const from = finite_floats(3001, half ? detail::too_large_for_half : detail::too_large_for_bfloat16);
    for (auto level : levels())
      for (index_t n : {0, 1, 7, 8, 15, 16, 17, 3001}) {
        INFO(isa::name(level) << ", " << n << (half ? " halves" : " bfloat16"));
        std::vector<std::uint16_t> to(static_cast<std::size_t>(n) + 1, 0xabcd);
        auto const most = detail::narrow_to_sixteen(level, half, n, from.data(), to.data());
        CHECK(most == detail::largest_magnitude_at(isa::level::scalar, n, from.data()));
        CHECK(most == detail::largest_magnitude_at(level, n, from.data()));
        index_t wrong = 0;
        for (index_t i = 0; i < n; ++i) {
          float const x = from[static_cast<std::size_t>(i)];
          wrong += to[static_cast<std::size_t>(i)] != (half ? pleat::half(x).bits : pleat::bfloat16(x).bits);
        }
        CHECK(wrong == 0);
        CHECK(to.back() == 0xabcd);
      }
  }
}

TEST_CASE("the limits from which on sixteen bits are infinite") {
  for (auto bits : {detail::too_large_for_bfloat16, detail::too_large_for_half}) {
    auto const finite = [&](std::uint32_t u) {
      float const x = std::bit_cast<float>(u);
      return std::isfinite(bits == detail::too_large_for_half ? static_cast<float>(pleat::half(x))
                                                              : static_cast<float>(pleat::bfloat16(x)));
    };
    CHECK(finite(bits - 1));
    CHECK_FALSE(finite(bits));
  }
}

TEST_CASE("what is not finite is seen wherever it stands") {
  for (auto level : levels())
    for (std::size_t at : {0, 5, 15, 16, 30}) {
      std::vector<float> v(31, 1.0f);
      v[at] = -INFINITY;
      CHECK(detail::largest_magnitude_at(level, 31, v.data()) == 0x7f800000u);
      v[at] = -NAN;
      CHECK(detail::largest_magnitude_at(level, 31, v.data()) > 0x7f800000u);
    }
}

TEST_CASE("ties between two codes are ties for every scale, whatever its reciprocal is rounded to") {
  // x = (k + 1/2)·scale exactly. Of 3.5·49, e.g., the product with 1/49 is 3.4999…: it must not become 3.
  index_t wrong = 0, missed = 0;
  for (int s = 3; s < 4096; s += 2) {
    auto const scale = static_cast<float>(s);
    std::vector<float> from;
    for (int k = -127; k < 127; ++k) from.push_back((static_cast<float>(k) + 0.5f) * scale);
    for (float const x : from)
      missed += std::nearbyint(static_cast<double>(x) * (1 / static_cast<double>(scale))) !=
                static_cast<double>(detail::int8_code(x, scale));
    std::vector<std::int8_t> to(from.size());
    for (auto level : levels()) {
      detail::int8_codes_at(level, static_cast<index_t>(from.size()), from.data(), scale, to.data());
      for (std::size_t i = 0; i < to.size(); ++i) wrong += to[i] != detail::int8_code(from[i], scale);
    }
  }
  CHECK(wrong == 0);
  CHECK(missed > 10000);  // so many codes the products alone would get wrong
}

TEST_CASE("rows of eight-bit codes are the codes one by one") {
  pleat::random::stream const s(5, 6);
  for (float scale : {1.0f, 0.003f, 0x1.000002p-9f, 0x1.fffffep-9f, 1e-30f, 1e-44f, 2e36f, 0.0f}) {
    std::vector<float> from;
    for (std::uint64_t i = 0; i < 1003; ++i) {
      // a few are clipped
      float x = (2 * s.uniform(i) - 1) * 140 * scale;
      // ties, where floats have them
      if (i % 4 == 0) x = (std::floor(x / (scale == 0 ? 1.0f : scale)) + 0.5f) * scale;
      // and what is next to them
      if (i % 8 == 4) x = std::nextafter(x, i % 16 == 4 ? 1e38f : -1e38f);
      if (i % 101 == 0) x = i % 2 == 0 ? 3e38f : -3e38f;
      from.push_back(std::isfinite(x) ? x : 0.0f);
    }
    for (auto level : levels())
      for (index_t n : {0, 1, 7, 8, 9, 16, 1003}) {
        INFO(isa::name(level) << ", " << n << " of scale " << scale);
        std::vector<std::int8_t> to(static_cast<std::size_t>(n) + 1, 99);
        index_t const alive = detail::int8_codes_at(level, n, from.data(), scale, to.data());
        CHECK(alive == n - std::count(to.begin(), to.end() - 1, std::int8_t{0}));
        index_t wrong = 0;
        for (index_t i = 0; i < n; ++i)
          wrong += to[static_cast<std::size_t>(i)] != detail::int8_code(from[static_cast<std::size_t>(i)], scale);
        CHECK(wrong == 0);
        CHECK(to.back() == 99);
      }
  }
}
