// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Conversions of 16-bit numbers by every instruction set: the bits of the conversion of one number.
#include <pleat/compute/detail/widen.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cstring>
#include <vector>

namespace pc = pleat::compute;
using pleat::index_t;

namespace {
template <class T> std::uint32_t bits(T x) {
  std::uint32_t u = 0;
  std::memcpy(&u, &x, sizeof x);
  return u;
}
}  // namespace

TEMPLATE_TEST_CASE(
    "every 16-bit number is widened, and floats around every one are narrowed, alike on every instruction set", "",
    pleat::bfloat16, pleat::half) {
  using T = TestType;
  std::vector<T> narrow(65536 + 7);  // no multiple of a vector
  for (std::size_t i = 0; i < narrow.size(); ++i) narrow[i].bits = static_cast<std::uint16_t>(i);
  // each one, its neighbours as floats, the middle to the next one and that one's neighbours; of every exponent and
  // sign, infinities and NaNs too
  std::vector<float> wide;
  for (std::uint32_t i = 0; i < 65536; ++i) {
    T x;
    x.bits = static_cast<std::uint16_t>(i);
    std::uint32_t const u = bits(static_cast<float>(x)), half_step = std::is_same_v<T, pleat::half> ? 0x1000u : 0x8000u;
    for (std::uint32_t const k : {u, u + 1, u - 1, u + half_step, u + half_step + 1, u + half_step - 1})
      wide.push_back(__builtin_bit_cast(float, k));
  }
  // and anywhere else
  for (std::uint32_t u = 0; u < 0xffff0000u; u += 65521) wide.push_back(__builtin_bit_cast(float, u));
  for (auto const level : {pleat::isa::level::scalar, pleat::isa::level::avx2, pleat::isa::level::avx512}) {
    if (level > pleat::isa::best()) continue;
    CAPTURE(pleat::isa::name(level));
    std::vector<float> widened(narrow.size());
    pc::detail::widen(level, static_cast<index_t>(narrow.size()), narrow.data(), widened.data());
    std::size_t wrong = 0;
    // a NaN that signals is made quiet by an instruction, and so by us
    for (std::size_t i = 0; i < narrow.size(); ++i) wrong += bits(widened[i]) != bits(static_cast<float>(narrow[i]));
    CHECK(wrong == 0);
    std::vector<T> narrowed(wide.size());
    pc::detail::narrow(level, static_cast<index_t>(wide.size()), wide.data(), narrowed.data());
    for (std::size_t i = 0; i < wide.size(); ++i) wrong += narrowed[i].bits != T(wide[i]).bits;
    CHECK(wrong == 0);
  }
}
