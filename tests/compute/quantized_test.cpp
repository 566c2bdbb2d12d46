// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/quantized.hpp>

#include <cmath>
#include <limits>

#include "vector_support.hpp"

namespace {
using namespace vector_support;
namespace compute = pleat::compute;
}  // namespace

TEST_CASE("rows are quantized to the nearest code of their own scale", "[compute][quantized]") {
  for (index_t const columns : {1, 3, 32, 64, 129, 784})
    for (index_t const rows : {0, 1, 5, 700}) {
      index_t const ldx = columns + 1, ldq = columns + 2;
      auto const x = numbers<float>(rows * ldx, 1, -3, 5);
      guarded<std::int8_t> q(rows * ldq, 99), q2(rows * ldq, 99);
      guarded<float> s(rows), s2(rows), back(rows * ldx), most(rows);
      int bad = 0;
      compute::quantize_rows(instance(1), rows, columns, x.data(), ldx, q.data(), ldq, s.data(), &bad);
      compute::quantize_rows(instance(2), rows, columns, x.data(), ldx, q2.data(), ldq, s2.data(), &bad);
      compute::dequantize_rows(instance(2), rows, columns, q.data(), ldq, s.data(), back.data(), ldx);
      compute::max_abs_rows(instance(2), rows, columns, x.data(), ldx, most.data());
      CHECK(bad == 0);
      CHECK((q.same_bits(q2) && s.same_bits(s2) && q.intact() && s.intact() && back.intact()));
      bool good = true;
      for (index_t r = 0; r < rows; ++r) {
        float amax = 0;
        for (index_t j = 0; j < columns; ++j) amax = std::max(amax, std::abs(x[r * ldx + j]));
        good = good && s[r] == amax / 127.0f && most[r] == amax;
        for (index_t j = 0; j < columns; ++j) {
          int const code = q[r * ldq + j];
          good = good && code >= -127 && code == static_cast<int>(std::nearbyint(x[r * ldx + j] / s[r]));
          // half a step, and the rounding of the quotient (≤ 127) and of the product: 2·127·ε/2 steps
          good = good && std::abs(back[r * ldx + j] - x[r * ldx + j]) <= s[r] * (0.5f + 2 * 127 * 0x1p-24f) * 1.000001f;
        }
        for (index_t j = columns; j < ldq; ++j) good = good && q[r * ldq + j] == 99;
      }
      CHECK(good);
    }
}

TEST_CASE("a given scale: the nearest code, cut at both ends; a row that is not finite says so",
          "[compute][quantized]") {
  float const given = 0.03f;
  for (index_t const columns : {1, 31, 32, 64, 129, 784})
    for (index_t const rows : {0, 1, 5, 300}) {
      index_t const ldx = columns + 1, ldq = columns + 2;
      auto x = numbers<float>(rows * ldx, 1, -3, 5);  // beyond 127 steps of 0.03 on one side
      index_t const bad = rows > 2 ? 2 : -1;
      if (bad >= 0)
        x[bad * ldx + columns - 1] =
            columns % 2 ? std::numeric_limits<float>::quiet_NaN() : -std::numeric_limits<float>::infinity();
      guarded<std::int8_t> q(rows * ldq, 99), q2(rows * ldq, 99);
      guarded<float> s(rows), s2(rows);
      compute::quantize_rows_by(instance(1), rows, columns, x.data(), ldx, given, q.data(), ldq, s.data());
      compute::quantize_rows_by(instance(2), rows, columns, x.data(), ldx, given, q2.data(), ldq, s2.data());
      CHECK((q.same_bits(q2) && s.same_bits(s2) && q.intact() && s.intact()));
      bool good = true;
      for (index_t r = 0; r < rows; ++r) {
        good = good && (r == bad ? std::isnan(s[r]) : s[r] == given);
        for (index_t j = 0; j < columns && r != bad; ++j) {
          float const v = std::nearbyint(x[r * ldx + j] / given);
          good = good && q[r * ldq + j] == static_cast<int>(v > 127 ? 127 : v < -127 ? -127 : v);
        }
      }
      CHECK(good);
    }
}

TEST_CASE("ties go to even and the ends are reached", "[compute][quantized]") {
  float const x[8] = {127, -127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -0.0f};
  std::int8_t q[8];
  float s;
  compute::quantize_rows(instance(1), 1, 8, x, 8, q, 8, &s, nullptr);
  CHECK(s == 1.0f);
  int const expected[8] = {127, -127, 0, 2, 2, 0, -2, 0};
  for (int i = 0; i < 8; ++i) CHECK(q[i] == expected[i]);
}

TEST_CASE("zero rows get scale zero; NaN and infinity are counted, leave no garbage, and activations' scale tells",
          "[compute][quantized]") {
  for (float const poison : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                             -std::numeric_limits<float>::infinity()})
    for (index_t const at : {0, 40, 99}) {
      auto x = numbers<float>(4 * 100, 2);
      for (index_t j = 0; j < 100; ++j) x[100 + j] = j % 2 ? 0.0f : -0.0f;
      x[200 + at] = poison;
      guarded<std::int8_t> q(400, 99);
      guarded<float> s(4);
      int bad = 10;
      compute::quantize_rows(instance(1), 4, 100, x.data(), 100, q.data(), 100, s.data(), &bad);
      CHECK(bad == 11);
      CHECK((s[0] > 0 && s[1] == 0 && std::isnan(s[2]) && s[3] > 0));
      for (index_t j = 100; j < 300; ++j) CHECK(q[j] == 0);
      guarded<float> const amax(4, 1.0f);
      compute::quantize_channels(instance(1), 4, 100, x.data(), amax.data(), q.data(), s.data(), &bad);
      CHECK(bad == 12);
      CHECK((s[1] == 1.0f / 127.0f && s[2] == 0));
      for (index_t j = 100; j < 300; ++j) CHECK(q[j] == 0);
    }
}

TEST_CASE("subnormal and huge rows stay within the codes", "[compute][quantized]") {
  float const x[6] = {1e-44f, -1e-44f, 1e-45f, 3.4e38f, -3.4e38f, 1};
  std::int8_t q[6];
  float s[2];
  compute::quantize_rows(instance(1), 2, 3, x, 3, q, 3, s, nullptr);
  for (int i = 0; i < 6; ++i) CHECK((q[i] >= -127 && q[i] <= 127));
  CHECK((q[3] == 127 && q[4] == -127 && q[5] == 0));
}

TEST_CASE("channels are cut at the range that an observer gave", "[compute][quantized]") {
  auto const w = numbers<float>(3 * 50, 3);
  float const amax[3] = {1.0f, 0.5f, 0.0f};
  guarded<std::int8_t> q(150);
  guarded<float> s(3);
  int bad = 0;
  compute::quantize_channels(instance(1), 3, 50, w.data(), amax, q.data(), s.data(), &bad);
  CHECK(bad == 0);
  for (index_t i = 0; i < 150; ++i) {
    float const scale = amax[i / 50] / 127.0f;
    CHECK(q[i] == (scale == 0 ? 0 : static_cast<int>(std::clamp(std::nearbyint(w[i] / scale), -127.0f, 127.0f))));
  }
  float const negative[3] = {1.0f, -0.5f, std::numeric_limits<float>::quiet_NaN()};
  compute::quantize_channels(instance(1), 3, 50, w.data(), negative, q.data(), s.data(), &bad);
  CHECK(bad == 2);
}
