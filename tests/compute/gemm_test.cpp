// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every comparison is of bits: the header promises one chain of fused multiply-adds per element, so there is no
// tolerance.
#include <pleat/compute/gemm.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstring>
#include <limits>
#include <random>
#include <utility>
#include <vector>

namespace pc = pleat::compute;
using pleat::index_t;

namespace {

using host = Kokkos::DefaultHostExecutionSpace;

std::vector<pleat::isa::level> levels() {
  std::vector<pleat::isa::level> l{pleat::isa::level::scalar};
  if (pleat::isa::best() >= pleat::isa::level::avx2) l.push_back(pleat::isa::level::avx2);
  if (pleat::isa::best() >= pleat::isa::level::avx512) l.push_back(pleat::isa::level::avx512);
  return l;
}

/// An instance with this many threads where the backend can give one, else the default.
host with_threads([[maybe_unused]] int threads) {
#if defined(KOKKOS_ENABLE_OPENMP)
  if constexpr (std::is_same_v<host, Kokkos::OpenMP>) return Kokkos::OpenMP(threads);
#endif
  return host{};
}

template <class T> bool same_bits(std::vector<T> const& a, std::vector<T> const& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// A random product with everything around it: operands with gaps, C with guard values, an epilogue.
template <class T> struct problem {
  std::vector<T> a, b, c, bias, mask, expected;
  pc::gemm_arguments<T> g;
  pc::lanes cut;

  problem(std::mt19937& r, index_t m, index_t n, index_t k, bool plain = false) {
    auto chance = [&](int of) { return !plain && std::uniform_int_distribution<int>(1, of)(r) == 1; };
    auto gap = [&] { return chance(2) ? std::uniform_int_distribution<index_t>(1, 20)(r) : index_t{0}; };
    std::normal_distribution<T> value;
    auto fill = [&](std::vector<T>& v, index_t size) {
      v.resize(static_cast<std::size_t>(size));
      for (auto& x : v) x = value(r);
    };
    g.m = m, g.n = n, g.k = k;
    g.ta = chance(2) ? pc::transpose::yes : pc::transpose::no;
    g.tb = chance(2) ? pc::transpose::yes : pc::transpose::no;
    g.lda = (g.ta == pc::transpose::no ? k : m) + gap();
    g.ldb = (g.tb == pc::transpose::no ? n : k) + gap();
    g.ldc = n + gap();
    fill(a, (g.ta == pc::transpose::no ? m : k) * g.lda);
    fill(b, (g.tb == pc::transpose::no ? k : n) * g.ldb);
    fill(c, m * g.ldc + 40);  // gaps and what follows the last row are guards
    g.a = a.data(), g.b = b.data();
    g.accumulate = chance(3);
    if (chance(2)) fill(bias, n), g.after.bias = bias.data();
    if (chance(3)) g.after.act = pc::activation::relu;
    if (chance(3)) g.after.ldmask = n + gap(), fill(mask, m * g.after.ldmask), g.after.mask = mask.data();
    cut = pc::lanes::whole(k, g.accumulate);
  }

  void solve() {
    expected = c;
    auto reference = g;
    reference.c = expected.data();
    pc::detail::gemm_reference(reference, cut);
  }
  /// A fresh C, handed to `run` inside the arguments; true if every element and every guard has the reference's bits.
  template <class Run> bool check(Run const& run) const {
    auto result = c;
    auto mine = g;
    mine.c = result.data();
    run(mine);
    return same_bits(result, expected);
  }
};

index_t pick(std::mt19937& r, index_t most) {
  static constexpr index_t special[] = {0, 1, 2, 7, 8, 10, 15, 16, 17, 47, 48, 49, 100, 300};
  if (std::uniform_int_distribution<int>(0, 2)(r) == 0) {
    auto const s = special[std::uniform_int_distribution<std::size_t>(0, std::size(special) - 1)(r)];
    if (s <= most) return s;
  }
  return std::uniform_int_distribution<index_t>(1, most)(r);
}

template <class T> void random_products(unsigned seed, int count, index_t most) {
  std::mt19937 r(seed);
  auto const one = with_threads(1), two = with_threads(2);
  for (int i = 0; i < count; ++i) {
    problem<T> p(r, pick(r, most), pick(r, most), pick(r, most));
    p.solve();
    INFO("problem " << i << ": " << p.g.m << "x" << p.g.n << "x" << p.g.k << " ta " << int(p.g.ta) << " tb "
                    << int(p.g.tb));
    for (auto level : levels()) {
      INFO(pleat::isa::name(level));
      REQUIRE(p.check([&](auto const& g) { pc::detail::gemm_on_host(one, g, p.cut, level); }));
      REQUIRE(p.check([&](auto const& g) { pc::detail::gemm_on_host(two, g, p.cut, level); }));
    }
    REQUIRE(p.check([&](auto const& g) { pc::gemm(host{}, g); }));
  }
}

}  // namespace

TEST_CASE("gemm equals the scalar chain bit for bit: transposes, gaps, epilogues, threads, instruction sets",
          "[gemm]") {
  random_products<float>(1, 150, 130);
  random_products<double>(2, 100, 100);
  random_products<float>(3, 8, 600);
}

TEST_CASE("gemm blocks of K, M and N cannot be seen", "[gemm]") {
  std::mt19937 r(4);
  // Beyond one K block (512 × 5/4 with AVX-512), one M block (192 × 5/4); packed and unpacked A; a panel of B in
  // several slots.
  for (auto [m, n, k] : {std::array<index_t, 3>{400, 330, 700},
                         {400, 100, 1000},
                         {20, 700, 1200},
                         {64, 256, 300},
                         {9, 3200, 20},
                         {37, 332, 40},
                         {300, 324, 12},
                         {300, 20, 900},
                         {350, 6200, 3}}) {
    problem<float> p(r, m, n, k);
    p.solve();
    INFO(m << "x" << n << "x" << k);
    for (auto level : levels())
      REQUIRE(p.check([&](auto const& g) { pc::detail::gemm_on_host(host{}, g, p.cut, level); }));
  }
}

namespace {
template <class T> void narrow_and_low_products() {
  std::mt19937 r(10);
  for (index_t m = 1; m <= 14; ++m)
    for (index_t n : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 17, 20, 24, 25, 36, 49, 52, 56, 68, 100})
      for (index_t k : {0, 1, 3, 10, 64, 65}) {
        problem<T> p(r, m, n, k);
        p.solve();
        INFO(m << "x" << n << "x" << k << " ta " << int(p.g.ta) << " tb " << int(p.g.tb));
        for (auto level : levels())
          REQUIRE(p.check([&](auto const& g) { pc::detail::gemm_on_host(host{}, g, p.cut, level); }));
      }
}
}  // namespace

TEST_CASE("every height of a tile and every count of last columns has the bits of the scalar chain", "[gemm]") {
  narrow_and_low_products<float>();
  narrow_and_low_products<double>();
}

TEST_CASE("a product cut into rectangles has the bits of the whole", "[gemm]") {
  std::mt19937 r(5);
  auto between = [&](index_t lo, index_t hi) { return std::uniform_int_distribution<index_t>(lo, hi)(r); };
  for (int i = 0; i < 30; ++i) {
    problem<float> p(r, between(2, 90), between(2, 120), between(1, 150));
    p.solve();
    index_t const mc = between(1, p.g.m - 1), nc = between(1, p.g.n - 1);
    REQUIRE(p.check([&](pc::gemm_arguments<float> const& whole) {
      for (auto [m0, m1] : {std::pair{index_t{0}, mc}, {mc, whole.m}})
        for (auto [n0, n1] : {std::pair{index_t{0}, nc}, {nc, whole.n}}) {
          auto g = whole;
          g.m = m1 - m0, g.n = n1 - n0;
          g.a += whole.ta == pc::transpose::no ? m0 * g.lda : m0;
          g.b += whole.tb == pc::transpose::no ? n0 : n0 * g.ldb;
          g.c += m0 * g.ldc + n0;
          if (g.after.bias) g.after.bias += n0;
          if (g.after.mask) g.after.mask += m0 * g.after.ldmask + n0;
          pc::gemm(host{}, g);
        }
    }));
  }
}

TEST_CASE("a sum over K continued with accumulate has the bits of the whole sum", "[gemm]") {
  std::mt19937 r(6);
  problem<float> p(r, 33, 65, 97, true);
  p.solve();
  for (index_t at : {0, 1, 40, 97})
    REQUIRE(p.check([&](pc::gemm_arguments<float> const& whole) {
      auto first = whole, second = whole;
      first.k = at;
      second.k = whole.k - at;
      second.a += at;
      second.b += at * whole.ldb;
      second.accumulate = true;
      pc::gemm(host{}, first);
      pc::gemm(host{}, second);
    }));
}

TEST_CASE("gemm with K = 0 is the epilogue of zero or of C", "[gemm]") {
  float const bias[3] = {-1, 2, 3};
  float c[6] = {5, 5, 5, 5, 5, 5};
  pc::gemm_arguments<float> g;
  g.m = 2, g.n = 3, g.c = c, g.ldc = 3;
  g.lda = 0, g.ldb = 3;
  g.after = {bias, pc::activation::relu, nullptr, 0};
  pc::gemm(host{}, g);
  CHECK(c[0] == 0);
  CHECK(c[4] == 2);
  g.accumulate = true;
  pc::gemm(host{}, g);
  CHECK(c[0] == 0);  // relu(0 - 1)
  CHECK(c[5] == 6);
}

TEST_CASE("NaN and infinity reach exactly the elements that use them", "[gemm]") {
  float const nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  index_t const m = 21, n = 37, k = 19;
  for (auto level : levels()) {
    std::vector<float> a(m * k, 1.0F), b(k * n, 1.0F), c(m * n);
    a[5 * k + 3] = nan;
    b[7 * n + 36] = inf;
    pc::gemm_arguments<float> g;
    g.m = m, g.n = n, g.k = k, g.a = a.data(), g.lda = k, g.b = b.data(), g.ldb = n, g.c = c.data(), g.ldc = n;
    g.after.act = pc::activation::relu;  // must not swallow a NaN
    pc::detail::gemm_on_host(host{}, g, pc::lanes::whole(k), level);
    INFO(pleat::isa::name(level));
    for (index_t i = 0; i < m; ++i)
      for (index_t j = 0; j < n; ++j) {
        float const v = c[i * n + j];
        if (i == 5) CHECK(v != v);
        else CHECK(v == (j == 36 ? inf : 19.0F));
      }
  }
}

TEST_CASE("gemm_lanes: a chain per lane and a binary tree, bit for bit", "[gemm]") {
  std::mt19937 r(7);
  auto between = [&](index_t lo, index_t hi) { return std::uniform_int_distribution<index_t>(lo, hi)(r); };
  for (int count : {1, 2, 4, 8, 16, 64})
    for (int i = 0; i < 6; ++i) {
      index_t const m = between(1, 60), n = i == 0 ? 10 : between(1, 110), rows = i == 1 ? 0 : between(1, 140);
      problem<float> p(r, m, n, rows, true);
      // A is [rows, m] here; the plain problem made [m, rows]: the same storage read the other way.
      p.g.ta = pc::transpose::yes, p.g.lda = m;
      pc::lanes l;
      l.count = count;
      l.accumulate = count == 1 && i % 2 == 0;
      l.row[static_cast<std::size_t>(count)] = rows;
      for (int c = 1; c < count; ++c)  // uneven, some empty
        l.row[static_cast<std::size_t>(c)] = between(l.row[static_cast<std::size_t>(c) - 1], rows);
      p.g.accumulate = l.accumulate;
      p.cut = l;
      // straight from the words of lanes.hpp
      p.expected = p.c;
      for (index_t y = 0; y < m; ++y)
        for (index_t x = 0; x < n; ++x) {
          std::vector<float> sums;
          for (int s = 0; s < count; ++s) {
            float sum = l.accumulate ? p.c[static_cast<std::size_t>(y * p.g.ldc + x)] : 0.0F;
            for (index_t k = l.begin(s); k < l.end(s); ++k)
              sum = std::fma(p.g.a[k * m + y], p.g.b[k * p.g.ldb + x], sum);
            sums.push_back(sum);
          }
          while (sums.size() > 1) {
            std::vector<float> next;
            for (std::size_t s = 0; s < sums.size(); s += 2) next.push_back(sums[s] + sums[s + 1]);
            sums = next;
          }
          p.expected[static_cast<std::size_t>(y * p.g.ldc + x)] = sums[0];
        }
      INFO(count << " lanes, " << m << "x" << n << "x" << rows);
      for (auto level : levels())
        REQUIRE(p.check([&](auto const& g) { pc::detail::gemm_on_host(with_threads(2), g, l, level); }));
      REQUIRE(p.check([&](auto const& g) { pc::gemm_lanes(host{}, m, n, g.a, g.lda, g.b, g.ldb, g.c, g.ldc, l); }));
      REQUIRE(p.check([&](auto const& g) { pc::detail::gemm_device(host{}, g, l, 1); }));
      auto const copy = p.expected;
      p.solve();  // gemm_reference says the same
      REQUIRE(same_bits(copy, p.expected));
    }
}

namespace {
/// B[k, n] = code · scale[n], decoded while it is packed; stored [n, k].
struct coded_b {
  std::vector<signed char> const& code;
  std::vector<float> const& scale;
  index_t k;
  index_t ld = 0;
  void pack(index_t k0, index_t k1, index_t n0, index_t n1, float* to, index_t stride) const {
    for (index_t r = k0; r < k1; ++r)
      for (index_t j = n0; j < n1; ++j) to[(r - k0) * stride + j - n0] = at(r, j);
  }
  [[nodiscard]] float at(index_t r, index_t j) const {
    return static_cast<float>(code[static_cast<std::size_t>(j * k + r)]) * scale[static_cast<std::size_t>(j)];
  }
  [[nodiscard]] float const* direct(index_t, index_t) const { return nullptr; }
};
}  // namespace

TEST_CASE("a B that is decoded while it is packed gives the bits of the decoded product", "[gemm]") {
  std::mt19937 r(9);
  for (int i = 0; i < 20; ++i) {
    problem<float> p(r, pick(r, 90), pick(r, 90), pick(r, 90));
    std::vector<signed char> code(static_cast<std::size_t>(p.g.n * p.g.k));
    std::vector<float> scale(static_cast<std::size_t>(p.g.n));
    for (auto& c : code) c = static_cast<signed char>(std::uniform_int_distribution<int>(-127, 127)(r));
    for (auto& s : scale) s = std::uniform_real_distribution<float>(0.1F, 2.0F)(r);
    coded_b const source{code, scale, p.g.k};
    std::vector<float> decoded;
    for (index_t k = 0; k < p.g.k; ++k)
      for (index_t j = 0; j < p.g.n; ++j) decoded.push_back(source.at(k, j));
    p.g.b = decoded.data(), p.g.ldb = p.g.n, p.g.tb = pc::transpose::no;
    p.solve();
    p.g.b = nullptr;
    for (auto level : levels())
      REQUIRE(p.check([&](auto const& g) { pc::detail::gemm_from(with_threads(2), g, source, p.cut, level); }));
  }
}

TEST_CASE("the device functor has the host's bits with any team size", "[gemm]") {
  std::mt19937 r(8);
  auto const space = with_threads(2);
  for (int i = 0; i < 24; ++i) {
    problem<float> p(r, pick(r, 100), pick(r, 100), pick(r, 100));
    problem<double> q(r, pick(r, 70), pick(r, 70), pick(r, 70));
    p.solve();
    q.solve();
    for (int team = 1; team <= std::min(2, space.concurrency()); ++team) {
      REQUIRE(p.check([&](auto const& g) { pc::detail::gemm_device(space, g, p.cut, team); }));
      REQUIRE(q.check([&](auto const& g) { pc::detail::gemm_device(space, g, q.cut, team); }));
    }
  }
}

TEST_CASE("gemm refuses impossible arguments by name", "[gemm]") {
  float x[4] = {};
  pc::gemm_arguments<float> g;
  g.m = 2, g.n = 2, g.k = 2, g.a = x, g.b = x, g.c = x, g.lda = 2, g.ldb = 2, g.ldc = 2;
  auto message = [&](auto change) {
    auto bad = g;
    change(bad);
    try {
      pc::gemm(host{}, bad);
    } catch (pleat::error const& e) {
      return std::string(e.what());
    }
    return std::string("nothing thrown");
  };
  CHECK(message([](auto& b) { b.m = -1; }) ==
        "pleat: compute::gemm: m is -1, expected at least 0. Give extents of 0 or more");
  // a row of one element has a length, too: a distance of 0 would take the first row for all
  CHECK(message([](auto& b) { b.k = 1, b.lda = 0; }).find("lda is 0, expected at least 1") != std::string::npos);
  CHECK(message([](auto& b) { b.m = 1, b.ta = pc::transpose::yes, b.lda = 0; }).find("lda is 0") != std::string::npos);
  CHECK(message([](auto& b) { b.n = 1, b.ldb = 0; }).find("ldb is 0, expected at least 1") != std::string::npos);
  CHECK(message([](auto& b) { b.lda = 1; }).find("lda is 1") != std::string::npos);
  CHECK(message([](auto& b) { b.ldb = 1; }).find("ldb is 1") != std::string::npos);
  CHECK(message([](auto& b) { b.ldc = 1; }).find("ldc is 1") != std::string::npos);
  pc::lanes three;
  three.count = 3;
  CHECK_THROWS_AS(pc::gemm_lanes(host{}, 1, 1, x, 1, x, 1, x, 1, three), pleat::error);
}

TEST_CASE("scratch grows, keeps its place, and is another block for another owner", "[scratch]") {
  struct one {};
  struct two {};
  void* const a = pc::detail::scratch<one>(1000);
  CHECK(pc::detail::scratch<one>(500) == a);
  CHECK(pc::detail::scratch<two>(1000) != a);
  CHECK(reinterpret_cast<std::uintptr_t>(a) % 64 == 0);
  std::memset(pc::detail::scratch<one>(100000), 1, 100000);
}
