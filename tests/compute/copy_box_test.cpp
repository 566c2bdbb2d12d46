// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/copy_box.hpp>

#include <pleat/tensor/dtype.hpp>

#include <catch2/catch_test_macros.hpp>

#include <random>
#include <vector>

using namespace pleat;
using space = Kokkos::DefaultHostExecutionSpace;

namespace {
index_box random_box(std::mt19937& draw, index_box const& outer) {
  index_box b = outer;
  for (int d = 0; d < b.rank(); ++d) {
    index_t const n = outer[d].size();
    index_t const i = std::uniform_int_distribution<index_t>(0, n)(draw),
                  j = std::uniform_int_distribution<index_t>(0, n)(draw);
    if (draw() % 3 != 0) b[d] = {outer[d].begin + std::min(i, j), outer[d].begin + std::max(i, j)};
  }
  return b;
}
index_t at(index_box const& b, std::vector<index_t> const& i) {
  index_t k = 0;
  for (int d = 0; d < b.rank(); ++d) k = k * b[d].size() + i[static_cast<std::size_t>(d)] - b[d].begin;
  return k;
}
/// Whatever lies outside of the part must stay as it was.
template <bool Add, class T> bool moves(index_box const& part, index_box const& from, index_box const& to) {
  std::vector<T> x(static_cast<std::size_t>(from.size())), y(static_cast<std::size_t>(to.size()));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = T(static_cast<float>(i % 61 + 1));
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = T(static_cast<float>(i % 17));
  auto expected = y;
  std::vector<index_t> i(static_cast<std::size_t>(part.rank()));
  if (!part.empty()) {
    for (int d = 0; d < part.rank(); ++d) i[static_cast<std::size_t>(d)] = part[d].begin;
    for (index_t n = 0; n < part.size(); ++n) {
      auto& e = expected[static_cast<std::size_t>(at(to, i))];
      auto const v = static_cast<float>(x[static_cast<std::size_t>(at(from, i))]);
      e = T(Add ? static_cast<float>(e) + v : v);
      for (int d = part.rank(); d-- > 0;) {
        if (++i[static_cast<std::size_t>(d)] < part[d].end) break;
        i[static_cast<std::size_t>(d)] = part[d].begin;
      }
    }
  }
  space const s;
  if constexpr (Add) compute::add_box(s, part, from, x.data(), to, y.data());
  else compute::copy_box(s, part, from, x.data(), to, y.data());
  for (std::size_t k = 0; k < y.size(); ++k)
    if (!(static_cast<float>(y[k]) == static_cast<float>(expected[k]))) return false;
  return true;
}
}  // namespace

TEST_CASE("boxes of any rank go where they belong and touch nothing else") {
  std::mt19937 draw(7);
  for (int round = 0; round < 2000; ++round) {
    int const rank = round % 6 + 1;
    std::vector<index_t> n;
    for (int d = 0; d < rank; ++d) n.push_back(std::uniform_int_distribution<index_t>(0, 5)(draw));
    if (round % 10 != 0)
      for (auto& k : n) k = std::max<index_t>(k, 1);
    index_box const whole{extents(std::span<index_t const>(n))};
    auto const from = random_box(draw, whole), to = random_box(draw, whole);
    auto const part = random_box(draw, intersect(from, to));
    REQUIRE(moves<false, float>(part, from, to));
    REQUIRE(moves<true, float>(part, from, to));
    REQUIRE(moves<true, bfloat16>(part, from, to));  // sums up to 78 are exact in its 8 bits
    REQUIRE(moves<false, double>(part, whole, to));
  }
}

TEST_CASE("long rows are cut into pieces, scalars are copied") {
  index_box const scalar{extents{}};
  CHECK(moves<false, float>(scalar, scalar, scalar));
  index_box const whole(extents{3, 20001});
  index_box part = whole;
  part[1] = {5, 20000};
  CHECK(moves<false, float>(part, whole, part));
  CHECK(moves<true, float>(part, part, whole));
  CHECK(moves<false, float>(whole, whole, whole));
}
