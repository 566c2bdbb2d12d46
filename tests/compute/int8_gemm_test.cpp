// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/detail/int8_vectors.hpp>
#include <pleat/compute/int8_gemm.hpp>

#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>

#include "vector_support.hpp"

namespace {

using namespace vector_support;
namespace compute = pleat::compute;

guarded<std::int8_t> codes(index_t n, std::uint64_t seed, int low = -127) {
  guarded<std::int8_t> x(n);
  pleat::random::stream const r(seed, 5);
  for (index_t i = 0; i < n; ++i)
    x[i] = static_cast<std::int8_t>(
        low + static_cast<int>(r.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(128 - low))));
  return x;
}

std::int64_t exact(guarded<std::int8_t> const& a, index_t lda, guarded<std::int8_t> const& b, index_t ldb, index_t k,
                   index_t i, index_t j) {
  std::int64_t s = 0;
  for (index_t l = 0; l < k; ++l) s += std::int64_t{a[i * lda + l]} * b[j * ldb + l];
  return s;
}

/// Runs one set of tiles by hand.
bool kernels_agree(compute::detail::int8_kernels const& ks, index_t m, index_t n, index_t k) {
  namespace d = compute::detail;
  auto const a = codes(m * k, 1, -128), b = codes(n * k, 2, -128);
  index_t const stride = d::int8_panel_bytes(ks.layout, k), panels = (n + 15) / 16;
  aligned_bytes packed(stride * panels);
  for (index_t p = 0; p < panels; ++p)
    d::pack_int8_panel(ks.layout, b.data() + p * 16 * k, k, std::min<index_t>(16, n - p * 16), k,
                       packed.data() + p * stride);
  std::int32_t sums[48 * 64], row_sums[48];
  for (index_t r = 0; r < m; ++r) {
    row_sums[r] = 0;
    for (index_t l = 0; l < k; ++l) row_sums[r] += a[r * k + l];
  }
  aligned_bytes wide(d::int8_operand_bytes(ks.layout, m, k));
  d::int8_block(ks, d::int8_operand_of(ks.layout, a.data(), k, m, k, wide.data()), 0, m, k, packed.data(), stride,
                panels, row_sums, sums);
  bool good = true;
  for (index_t i = 0; i < m; ++i)
    for (index_t j = 0; j < n; ++j) good = good && sums[i * 64 + j] == exact(a, k, b, k, k, i, j);
  return good;
}

}  // namespace

TEST_CASE("every instruction set gives the exact product, also of -128", "[compute][int8_gemm]") {
  namespace d = compute::detail;
  for (index_t const m : {1, 2, 5, 6, 11, 48})
    for (index_t const n : {1, 16, 33, 64})
      for (index_t const k : {0, 1, 2, 3, 4, 5, 255, 257, 514}) {
        CAPTURE(m, n, k);
        CHECK(kernels_agree(d::int8_scalar_kernels<>, m, n, k));
#if defined(__x86_64__)
        auto const cpu = pleat::isa::best();
        if (cpu >= pleat::isa::level::avx2) CHECK(kernels_agree(d::int8_avx2_kernels<>, m, n, k));
        if (cpu >= pleat::isa::level::avx512) CHECK(kernels_agree(d::int8_avx512_kernels<>, m, n, k));
        if (pleat::isa::has_vnni()) CHECK(kernels_agree(d::int8_vnni_kernels<>, m, n, k));
#endif
      }
}

TEST_CASE("the int8 product is exact for random problems, packed or not, on any number of threads",
          "[compute][int8_gemm]") {
  pleat::random::stream const draw(7, 7);
  for (std::uint64_t trial = 0; trial <= 120; ++trial) {
    bool const deep = trial == 120;  // rows that are widened stay in the second cache: fewer of them at once
    index_t const m = deep ? 50 : 1 + draw.below(5 * trial, trial % 4 == 0 ? 4 : 130),
                  n = 1 + draw.below(5 * trial + 1, deep ? 70 : 200), k = deep ? 6001 : draw.below(5 * trial + 2, 700),
                  lda = k + draw.below(5 * trial + 3, 5), ldb = k + draw.below(5 * trial + 4, 5);
    auto const a = codes(m * lda + 1, trial, -128), b = codes(n * ldb + 1, trial + 1000, -128);
    index_t const ldc = n + 2;
    guarded<std::int32_t> c(m * ldc, 77), c2(m * ldc, 77), c3(m * ldc, 77);
    compute::int8_gemm(instance(1), m, n, k, a.data(), lda, b.data(), ldb, c.data(), ldc);
    compute::int8_gemm(instance(2), m, n, k, a.data(), lda, b.data(), ldb, c2.data(), ldc);
    aligned_bytes packed(compute::int8_packed_bytes<host>(n, k));
    compute::int8_pack(instance(2), n, k, b.data(), ldb, packed.data());
    compute::int8_gemm_packed(instance(2), m, n, k, a.data(), lda, packed.data(), c3.data(), ldc);
    bool good = c.intact() && c2.intact() && c3.intact() && c.same_bits(c2) && c.same_bits(c3);
    for (index_t i = 0; i < m; ++i)
      for (index_t j = 0; j < ldc; ++j) good = good && c[i * ldc + j] == (j < n ? exact(a, lda, b, ldb, k, i, j) : 77);
    CAPTURE(m, n, k, lda, ldb);
    CHECK(good);
  }
}

TEST_CASE("the longest sum of the largest codes fits, a longer one is refused", "[compute][int8_gemm]") {
  index_t const k = compute::int8_max_k;
  static_assert(std::int64_t{compute::int8_max_k} * 127 * 127 <= INT32_MAX);
  static_assert(std::int64_t{compute::int8_max_k + 1} * 127 * 127 > INT32_MAX);
  guarded<std::int8_t> a(k, 127), b(2 * k, 127);
  for (index_t l = 0; l < k; ++l) b[k + l] = -127;
  std::int32_t c[2];
  compute::int8_gemm(instance(1), 1, 2, k, a.data(), k, b.data(), k, c, 2);
  CHECK(c[0] == k * 16129);
  CHECK(c[1] == -k * 16129);
  CHECK_THROWS_WITH(compute::int8_gemm(instance(1), 1, 1, k + 1, a.data(), k + 1, b.data(), k + 1, c, 1),
                    Catch::Matchers::ContainsSubstring("133145") && Catch::Matchers::ContainsSubstring("Split k"));
}

TEST_CASE("the epilogue scales, adds the bias and applies the activation once", "[compute][int8_gemm]") {
  for (index_t const m : {1, 7, 100})
    for (index_t const n : {1, 10, 70}) {
      index_t const k = 300;
      auto const a = codes(m * k, 3), b = codes(n * k, 4);
      auto const rs = numbers<float>(m, 5, 0.001, 0.01), cs = numbers<float>(n, 6, 0.001, 0.01),
                 bias = numbers<float>(n, 7);
      guarded<float> y(m * n), z(m * n), u(m * n);
      compute::int8_gemm_scaled(instance(2), m, n, k, a.data(), k, b.data(), k,
                                {rs.data(), cs.data(), bias.data(), compute::activation::relu}, y.data(), n);
      compute::int8_gemm_scaled(instance(1), m, n, k, a.data(), k, b.data(), k,
                                {rs.data(), cs.data(), nullptr, compute::activation::none}, z.data(), n);
      using body = compute::detail::int8_gemm_body<compute::detail::int8_to_floats>;
      compute::detail::loop_portable(
          instance(2), m * n,
          body{n,
               k,
               a.data(),
               k,
               b.data(),
               k,
               {u.data(), n, {rs.data(), cs.data(), bias.data(), compute::activation::relu}}});
      CHECK(y.same_bits(u));
      CHECK((y.intact() && z.intact()));
      bool good = true;
      for (index_t i = 0; i < m; ++i)
        for (index_t j = 0; j < n; ++j) {
          float const s = static_cast<float>(exact(a, k, b, k, k, i, j)) * rs[i];
          good = good && y[i * n + j] == std::max(0.0f, std::fma(s, cs[j], bias[j])) &&
                 z[i * n + j] == std::fma(s, cs[j], 0.0f);
        }
      CHECK(good);
    }
}

TEST_CASE("empty int8 products", "[compute][int8_gemm]") {
  std::int8_t const one = 1;
  std::int32_t c[4] = {5, 5, 5, 5};
  compute::int8_gemm(instance(1), 0, 3, 4, &one, 4, &one, 4, c, 3);
  compute::int8_gemm(instance(1), 3, 0, 4, &one, 4, &one, 4, c, 3);
  CHECK(c[0] == 5);
  compute::int8_gemm(instance(1), 2, 2, 0, &one, 0, &one, 0, c, 2);
  CHECK((c[0] == 0 && c[3] == 0));
}
