// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/compute/attention.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels

#include <cmath>
#include <limits>
#include <vector>

#include "compute/vector_support.hpp"

using namespace vector_support;
namespace compute = pleat::compute;
using compute::attention_shape;

namespace {

template <class T> struct results {
  guarded<T> out, logsum, delta, dqkv;
  explicit results(attention_shape const& s)
      : out(s.batch * s.positions * s.out_width()),
        logsum(s.batch * s.heads() * s.positions),
        delta(logsum.size()),
        dqkv(s.batch * s.positions * s.width()) {}
  [[nodiscard]] bool same(results const& o) const {
    return out.same_bits(o.out) && logsum.same_bits(o.logsum) && dqkv.same_bits(o.dqkv);
  }
  [[nodiscard]] bool intact() const { return out.intact() && logsum.intact() && delta.intact() && dqkv.intact(); }
};

template <class T>
results<T> run(attention_shape const& s, guarded<T> const& qkv, guarded<T> const& dout, int threads) {
  results<T> r(s);
  compute::attention_forward(instance(threads), s, qkv.data(), r.out.data(), r.logsum.data());
  compute::attention_backward(instance(threads), s, qkv.data(), r.out.data(), r.logsum.data(), dout.data(),
                              r.delta.data(), r.dqkv.data());
  return r;
}

/// The path that a device takes.
template <class T> results<T> run_portable(attention_shape const& s, guarded<T> const& qkv, guarded<T> const& dout) {
  results<T> r(s);
  T const scale = compute::detail::attention_scale<T>(s);
  compute::detail::attention_forward_on_space(instance(2), s, scale, qkv.data(), r.out.data(), r.logsum.data());
  compute::detail::attention_backward_on_space(instance(2), s, scale, qkv.data(), static_cast<T const*>(r.out.data()),
                                               static_cast<T const*>(r.logsum.data()), dout.data(), r.delta.data(),
                                               r.dqkv.data());
  instance(2).fence();
  return r;
}

/// The host's path with the code of one instruction set.
template <class T>
results<T> run_at(pleat::isa::level level, attention_shape const& s, guarded<T> const& qkv, guarded<T> const& dout) {
  namespace d = compute::detail;
  results<T> r(s);
  T const scale = d::attention_scale<T>(s);
  d::loop_at<true>(
      level, 0, s.batch * s.heads() * d::attention_blocks(s),
      d::attention_forward_host<T>{s, scale, qkv.data(), r.out.data(), r.logsum.data(), d::small_product<T>(level)});
  d::loop_at<true>(level, 0, s.batch * s.heads() * s.positions,
                   d::attention_delta_body<T>{s, r.out.data(), dout.data(), r.delta.data()});
  d::loop_at<true>(level, 0, s.batch * s.groups,
                   d::attention_backward_host<T>{s, scale, qkv.data(), r.logsum.data(), r.delta.data(), dout.data(),
                                                 r.dqkv.data(), d::small_product<T>(level)});
  return r;
}

std::vector<attention_shape> shapes() {
  std::vector<attention_shape> all;
  for (bool const causal : {true, false})
    for (index_t const positions : {1, 7, 32, 64, 65, 150}) all.push_back({2, positions, 3, 1, 16, causal});
  all.push_back({1, 97, 2, 3, 10, true});
  all.push_back({2, 40, 1, 4, 8, false});
  all.push_back({3, 130, 2, 1, 64, true});
  return all;
}

}  // namespace

TEMPLATE_TEST_CASE("attention is the definition", "[compute][attention]", float, double) {
  using T = TestType;
  double const eps = std::numeric_limits<T>::epsilon();
  for (auto const& s : shapes()) {
    CAPTURE(s.positions, s.groups, s.group_heads, s.head_size, s.causal);
    auto const qkv = numbers<T>(s.batch * s.positions * s.width(), 1),
               dout = numbers<T>(s.batch * s.positions * s.out_width(), 2);
    auto const r = run(s, qkv, dout, 1);
    CHECK(r.intact());
    double const scale = 1 / std::sqrt(static_cast<double>(s.head_size));
    double worst_out = 0, worst_d = 0;
    std::vector<double> d(static_cast<std::size_t>(qkv.size()));
    std::vector<double> p(static_cast<std::size_t>(s.positions)), dp(p);
    auto const at = [&](index_t b, index_t i, index_t g, index_t slot) {
      return (b * s.positions + i) * s.width() + (g * (s.group_heads + 2) + slot) * s.head_size;
    };
    for (index_t b = 0; b < s.batch; ++b)
      for (index_t head = 0; head < s.heads(); ++head) {
        index_t const g = head / s.group_heads, h = head % s.group_heads;
        for (index_t i = 0; i < s.positions; ++i) {
          index_t const n = s.causal ? i + 1 : s.positions, q = at(b, i, g, h),
                        o = ((b * s.positions + i) * s.heads() + head) * s.head_size;
          double total = 0, delta = 0;
          for (index_t j = 0; j < n; ++j) {
            double score = 0, dw = 0;
            for (index_t e = 0; e < s.head_size; ++e) {
              score += static_cast<double>(qkv[q + e]) * static_cast<double>(qkv[at(b, j, g, s.group_heads) + e]);
              dw += static_cast<double>(dout[o + e]) * static_cast<double>(qkv[at(b, j, g, s.group_heads + 1) + e]);
            }
            auto const k = static_cast<std::size_t>(j);
            p[k] = std::exp(score * scale);
            dp[k] = dw;
            total += p[k];
          }
          for (index_t j = 0; j < n; ++j)
            delta += (p[static_cast<std::size_t>(j)] /= total) * dp[static_cast<std::size_t>(j)];
          for (index_t e = 0; e < s.head_size; ++e) {
            double sum = 0;
            for (index_t j = 0; j < n; ++j)
              sum += p[static_cast<std::size_t>(j)] * static_cast<double>(qkv[at(b, j, g, s.group_heads + 1) + e]);
            worst_out = std::max(worst_out, std::abs(static_cast<double>(r.out[o + e]) - sum));
          }
          for (index_t j = 0; j < n; ++j) {
            double const slope = p[static_cast<std::size_t>(j)] * (dp[static_cast<std::size_t>(j)] - delta) * scale;
            for (index_t e = 0; e < s.head_size; ++e) {
              index_t const k = at(b, j, g, s.group_heads) + e, v = at(b, j, g, s.group_heads + 1) + e;
              d[static_cast<std::size_t>(q + e)] += slope * static_cast<double>(qkv[k]);
              d[static_cast<std::size_t>(k)] += slope * static_cast<double>(qkv[q + e]);
              d[static_cast<std::size_t>(v)] += p[static_cast<std::size_t>(j)] * static_cast<double>(dout[o + e]);
            }
          }
        }
      }
    for (index_t i = 0; i < qkv.size(); ++i)
      worst_d = std::max(worst_d, std::abs(static_cast<double>(r.dqkv[i]) - d[static_cast<std::size_t>(i)]));
    // Inputs lie in ±1, D = head_size, n = positions, e = eps/2 a rounding. A score has an error below √D·(D + 1)e
    // after scaling, so a weight's relative error is w ≤ (2√D·(D + 1) + 4 + n/32 + 6)e. Outputs average values below 1:
    // w and a chain of n roundings.
    double const D = static_cast<double>(s.head_size), n = static_cast<double>(s.positions), e = eps / 2;
    double const w = (2 * std::sqrt(D) * (D + 1) + 10 + n / 32) * e;
    CHECK(worst_out <= w + (n + 2) * e);
    // |dp − delta| ≤ 2D with an error of (D + 2)·2De; the weights of a row sum to 1, those of a column to at most n per head.
    double const slope = (2 * D * w + 4 * D * (D + 2) * e) / std::sqrt(D),
                 columns = n * static_cast<double>(s.group_heads);
    CHECK(worst_d <= columns * (slope + w + (columns + 2) * e * 2 * std::sqrt(D)));
  }
}

TEMPLATE_TEST_CASE("attention has the same bits on every path", "[compute][attention]", float, double) {
  using T = TestType;
  for (auto const& s : shapes()) {
    CAPTURE(s.positions, s.groups, s.group_heads, s.head_size, s.causal);
    auto const qkv = numbers<T>(s.batch * s.positions * s.width(), 3, -3, 3),
               dout = numbers<T>(s.batch * s.positions * s.out_width(), 4);
    auto const one = run(s, qkv, dout, 1);
    CHECK(one.same(run(s, qkv, dout, 2)));
    CHECK(one.same(run_portable(s, qkv, dout)));
    for (auto const level : {pleat::isa::level::scalar, pleat::isa::level::avx2, pleat::isa::level::avx512})
      if (level <= pleat::isa::best()) CHECK(one.same(run_at(level, s, qkv, dout)));
  }
}

TEST_CASE("a sequence's attention does not depend on its neighbours, nor a head's on the others",
          "[compute][attention]") {
  attention_shape const all{3, 70, 4, 2, 12, true};
  auto const qkv = numbers<float>(all.batch * all.positions * all.width(), 5),
             dout = numbers<float>(all.batch * all.positions * all.out_width(), 6);
  auto const whole = run(all, qkv, dout, 1);
  // groups 1 and 2 of sequence 1 alone: a contiguous slice of every row
  attention_shape const part{1, 70, 2, 2, 12, true};
  index_t const in = part.width(), out = part.out_width(), first_in = part.width() / 2,
                first_out = part.out_width() / 2;
  guarded<float> qkv1(70 * in), dout1(70 * out);
  for (index_t i = 0; i < 70; ++i) {
    for (index_t j = 0; j < in; ++j) qkv1[i * in + j] = qkv[(70 + i) * all.width() + first_in + j];
    for (index_t j = 0; j < out; ++j) dout1[i * out + j] = dout[(70 + i) * all.out_width() + first_out + j];
  }
  auto const alone = run(part, qkv1, dout1, 1);
  bool same = true;
  for (index_t i = 0; i < 70; ++i) {
    for (index_t j = 0; j < in; ++j)
      same = same && alone.dqkv[i * in + j] == whole.dqkv[(70 + i) * all.width() + first_in + j];
    for (index_t j = 0; j < out; ++j)
      same = same && alone.out[i * out + j] == whole.out[(70 + i) * all.out_width() + first_out + j];
  }
  CHECK(same);
}

TEST_CASE("causal attention cannot see the future, and large scores do not overflow", "[compute][attention]") {
  attention_shape const s{1, 80, 1, 1, 8, true};
  auto qkv = numbers<float>(80 * 24, 7, -300, 300);
  auto const dout = numbers<float>(80 * 8, 8);
  auto const before = run(s, qkv, dout, 1);
  for (index_t i = 0; i < before.out.size(); ++i) REQUIRE(std::isfinite(before.out[i]));
  for (index_t j = 0; j < 24; ++j) qkv[50 * 24 + j] = -qkv[50 * 24 + j];
  auto const after = run(s, qkv, dout, 1);
  bool past = true, present = true;
  for (index_t i = 0; i < 50 * 8; ++i) past = past && before.out[i] == after.out[i];
  for (index_t i = 50 * 8; i < 51 * 8; ++i) present = present && before.out[i] == after.out[i];
  CHECK(past);
  CHECK_FALSE(present);
}

TEST_CASE("rows of a strip of weights are whole vectors apart, and never a power of two", "[compute][attention]") {
  for (index_t n = 1; n <= 5000; ++n) {
    auto const stride = compute::detail::strip_stride(attention_shape{1, n, 1, 1, 1, true});
    REQUIRE(stride >= n);
    REQUIRE(stride % 16 == 0);
    REQUIRE((stride & (stride - 1)) != 0);
  }
}

TEST_CASE("attention says what is no shape", "[compute][attention]") {
  float x = 0;
  CHECK_THROWS_WITH(compute::attention_forward(instance(1), attention_shape{1, 4, 0, 1, 8, true}, &x, &x, &x),
                    Catch::Matchers::ContainsSubstring("groups 0"));
}
