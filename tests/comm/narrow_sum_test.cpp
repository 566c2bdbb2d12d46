// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/comm/narrow_sum.hpp>

#include <pleat/base/random.hpp>
#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/tensor/index_set.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace pleat;

namespace {
// Operand of rank r, element i: signs and magnitudes mixed.
double operand(int r, index_t i) {
  random::stream const s(7, static_cast<std::uint64_t>(r));
  double const u = s.uniform(static_cast<std::uint64_t>(i));
  return (u - 0.5) * std::exp2(static_cast<double>((i * 7 + r) % 12) - 6);
}
template <class Wire> constexpr double unit = std::is_same_v<Wire, bfloat16> ? 0x1p-8 : 0x1p-11;

template <class T, class Wire> std::string findings(comm::communicator& c, index_t n, bool everywhere) {
  int const p = c.size();
  std::vector<index_t> counts;
  for (int r = 0; r < p; ++r) counts.push_back(block_range(n, p, r).size());
  index_range const own = block_range(n, p, c.rank());
  comm::narrow_request<T, Wire> request(c, counts, everywhere);
  for (int round = 0; round < 2; ++round) {
    std::vector<T> in(static_cast<std::size_t>(n));
    for (index_t i = 0; i < n; ++i) in[static_cast<std::size_t>(i)] = static_cast<T>(operand(c.rank(), i));
    T* const out = everywhere ? in.data() : in.data() + own.begin;
    request.start(in.data(), out);
    if (round == 0) request.wait();
    else
      while (!request.progress()) {
      }
    double const u = unit<Wire>, e = static_cast<double>(std::numeric_limits<T>::epsilon()) / 2,
                 gamma = (p - 1) * e / (1 - (p - 1) * e);
    index_range const known = everywhere ? index_range{0, n} : own;
    for (index_t i = known.begin; i < known.end; ++i) {
      double sum = 0, magnitude = 0;
      for (int r = 0; r < p; ++r)
        sum += static_cast<double>(static_cast<T>(operand(r, i))),
            magnitude += std::abs(static_cast<double>(static_cast<T>(operand(r, i))));
      // The bound of the header, with the rounding of this oracle's own sum in double; half loses the relative bound
      // below 2^-14, where its spacing is 2^-24: an absolute half of it per rounding.
      double bound = (u + (1 + u) * gamma) * magnitude;
      if (everywhere) bound = (1 + u) * bound + u * std::abs(sum);
      bound += p * 0x1p-52 * magnitude + (std::is_same_v<Wire, half> ? (p + 1) * 0x1p-25 : 0);
      double const found = static_cast<double>(in[static_cast<std::size_t>(i)]);
      if (!(std::abs(found - sum) <= bound))
        return "element " + std::to_string(i) + ": " + std::to_string(found) + ", not " + std::to_string(sum);
    }
    if (everywhere) {  // the same bits on every rank
      std::vector<T> first = in;
      c.broadcast(first, 0);
      if (first != in) return "ranks differ";
    }
  }
  return "";
}
}  // namespace

TEMPLATE_TEST_CASE("narrow_sum: sums over a 16-bit wire stay within the derived bound and are equal everywhere", "",
                   float, double) {
  int const ranks = GENERATE(1, 2, 3, 4, 8);
  index_t const n = GENERATE(0, 1, 3, 1000);
  std::vector<std::string> said(static_cast<std::size_t>(ranks));
  comm::run_local(ranks, [&](comm::communicator c) {
    auto& s = said[static_cast<std::size_t>(c.rank())];
    for (bool everywhere : {false, true})
      s += findings<TestType, bfloat16>(c, n, everywhere) + findings<TestType, half>(c, n, everywhere);
  });
  for (auto const& s : said) CHECK(s == "");
}

TEST_CASE("narrow_sum: additions are in full width") {
  // 256 + 1 is no bfloat16 (8 bits), so 256 ones after 256 vanish if a partial sum is rounded; here they do not.
  constexpr int ranks = 8;
  std::vector<float> got(ranks);
  comm::run_local(ranks, [&](comm::communicator c) {
    index_t const counts[] = {1, 0, 0, 0, 0, 0, 0, 0};
    comm::narrow_request<float> request(c, counts, false);
    float const x = c.rank() == 0 ? 256.0f : 1.0f;
    float sum = 0;
    request.start(&x, &sum);
    request.wait();
    if (c.rank() == 0) got[0] = sum;
  });
  CHECK(got[0] == 263.0f);
}

TEST_CASE("narrow_sum: messages are half as long") {
  comm::run_local(2, [](comm::communicator c) {
    index_t const counts[] = {50, 50};
    comm::narrow_request<float> request(c, counts, true);
    std::vector<float> x(100, 1.0f);
    request.start(x.data(), x.data());
    request.wait();
    auto const bytes = c.counted(comm::call_kind::send).bytes;
    if (bytes != 100 + 100) throw std::runtime_error(std::to_string(bytes) + " bytes");
    if (x[0] != 2 || x[99] != 2) throw std::runtime_error("wrong sum");
  });
}

TEST_CASE("narrow_sum: a double is rounded once, not to a float first") {
  // 2^-30 above the middle between two neighbours of the wire: as a float it is the middle, which goes to the even one
  comm::communicator c = comm::self();
  index_t const counts[] = {2};
  for (bool everywhere : {false, true}) {
    double x[] = {1 + 0x1p-8 + 0x1p-30, -(1 + 3 * 0x1p-8 - 0x1p-30)};
    comm::narrow_request<double, bfloat16> wide(c, counts, everywhere);
    wide.start(x, x);
    wide.wait();
    CHECK(x[0] == 1 + 0x1p-7);
    CHECK(x[1] == -(1 + 0x1p-7));
    double y[] = {1 + 0x1p-11 + 0x1p-30, -(1 + 3 * 0x1p-11 - 0x1p-30)};
    comm::narrow_request<double, half> narrow(c, counts, everywhere);
    narrow.start(y, y);
    narrow.wait();
    CHECK(y[0] == 1 + 0x1p-10);
    CHECK(y[1] == -(1 + 0x1p-10));
  }
}
