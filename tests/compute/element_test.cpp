// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Kernels of 16-bit types against those of float: a result is the float kernel's result for the same numbers, rounded
// once, bit for bit; on every instruction set, number of threads, and on the path that a device takes.
#include <pleat/compute/element.hpp>

#include <pleat/compute/attention.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/embedding.hpp>
#include <pleat/compute/embedding_part.hpp>
#include <pleat/compute/gemm.hpp>
#include <pleat/compute/layer_norm.hpp>
#include <pleat/compute/rotary.hpp>
#include <pleat/compute/softmax.hpp>
#include <pleat/compute/softmax_part.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "compute/vector_support.hpp"

namespace pc = pleat::compute;
namespace pd = pleat::compute::detail;
using pleat::index_t;
using vector_support::instance;

namespace {

std::vector<pleat::isa::level> levels() {
  std::vector<pleat::isa::level> l{pleat::isa::level::scalar};
  if (pleat::isa::best() >= pleat::isa::level::avx2) l.push_back(pleat::isa::level::avx2);
  if (pleat::isa::best() >= pleat::isa::level::avx512) l.push_back(pleat::isa::level::avx512);
  return l;
}

/// The same numbers in 16 bits and as floats.
template <class T> struct both {
  std::vector<T> narrow;
  std::vector<float> wide;
  both(index_t n, unsigned seed, float scale = 1) {
    std::mt19937 r(seed);
    std::normal_distribution<float> value(0, scale);
    for (index_t i = 0; i < n; ++i) narrow.push_back(T(value(r)));
    for (T const x : narrow) wide.push_back(static_cast<float>(x));
  }
};
template <class T> std::vector<T> room(index_t n) { return std::vector<T>(static_cast<std::size_t>(n)); }
template <class T> std::vector<float> widened(std::vector<T> const& v) {
  std::vector<float> w;
  for (T const x : v) w.push_back(static_cast<float>(x));
  return w;
}
/// Every element of `narrow` is that of `wide`, rounded.
template <class T> bool rounded(std::vector<T> const& narrow, std::vector<float> const& wide) {
  bool same = narrow.size() == wide.size();
  for (std::size_t i = 0; same && i < narrow.size(); ++i) same = narrow[i].bits == T(wide[i]).bits;
  return same;
}
bool same_bits(std::vector<float> const& a, std::vector<float> const& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEMPLATE_TEST_CASE(
    "16 bits: elementwise kernels, norms, rotary positions and softmax round the float kernel's result once", "",
    pleat::bfloat16, pleat::half) {
  using T = TestType;
  for (index_t const rows : {1, 7, 130})
    for (index_t const columns : {1, 31, 96, 385}) {
      index_t const n = rows * columns;
      both<T> const x(n, 1, 2), dy(n, 2), gamma(columns, 3), beta(columns, 4);
      INFO(rows << " x " << columns);
      auto const check = [&](auto&& kernel) {  // kernel(space, x, dy, gamma, beta, y)
        auto wide = room<float>(n);
        kernel(instance(1), x.wide.data(), dy.wide.data(), gamma.wide.data(), beta.wide.data(), wide.data());
        for (int threads : {1, 2}) {
          auto narrow = room<T>(n);
          kernel(instance(threads), x.narrow.data(), dy.narrow.data(), gamma.narrow.data(), beta.narrow.data(),
                 narrow.data());
          CHECK(rounded(narrow, wide));
        }
      };
      check([&](auto const& s, auto const* a, auto const* b, auto, auto, auto* y) { pc::add(s, n, a, b, y); });
      check([&](auto const& s, auto const* a, auto const* b, auto, auto, auto* y) { pc::multiply(s, n, a, b, y); });
      check([&](auto const& s, auto const* a, auto, auto, auto, auto* y) { pc::scale(s, n, 0.3f, a, y); });
      check([&](auto const& s, auto const* a, auto, auto, auto, auto* y) { pc::gelu(s, n, a, y); });
      check([&](auto const& s, auto const* a, auto, auto, auto, auto* y) { pc::silu(s, n, a, y); });
      check([&](auto const& s, auto const* a, auto, auto, auto, auto* y) { pc::sigmoid(s, n, a, y); });
      check(
          [&](auto const& s, auto const* a, auto const* b, auto, auto, auto* y) { pc::relu_backward(s, n, a, b, y); });
      check(
          [&](auto const& s, auto const* a, auto const* b, auto, auto, auto* y) { pc::gelu_backward(s, n, a, b, y); });
      check([&](auto const& s, auto const* a, auto, auto, auto, auto* y) {
        pc::softmax_rows(s, rows, columns, a, columns, y, columns);
      });
      check([&](auto const& s, auto const* a, auto, auto const* g, auto const* b, auto* y) {
        pc::layer_norm_forward(s, rows, columns, a, 1e-5f, g, b, y, nullptr, nullptr);
      });
      auto mean = room<float>(rows), inverse = room<float>(rows), again = room<float>(rows),
           of_gamma = room<float>(columns), of_gamma_narrow = room<float>(columns);
      auto y = room<float>(n);
      auto y_narrow = room<T>(n);
      pc::layer_norm_forward(instance(1), rows, columns, x.wide.data(), 1e-5f, gamma.wide.data(), beta.wide.data(),
                             y.data(), mean.data(), inverse.data());
      pc::layer_norm_forward(instance(2), rows, columns, x.narrow.data(), 1e-5f, gamma.narrow.data(),
                             beta.narrow.data(), y_narrow.data(), again.data(), inverse.data());
      CHECK(same_bits(mean, again));
      check([&](auto const& s, auto const* a, auto const* d, auto const* g, auto, auto* to) {
        pc::row_norm_backward(s, rows, columns, a, mean.data(), inverse.data(), g, d, to);
      });
      auto const cut = pc::lanes::whole(rows);
      pc::row_norm_gradient(instance(1), columns, x.wide.data(), mean.data(), inverse.data(), dy.wide.data(),
                            of_gamma.data(), cut);
      pc::row_norm_gradient(instance(2), columns, x.narrow.data(), mean.data(), inverse.data(), dy.narrow.data(),
                            of_gamma_narrow.data(), cut);
      CHECK(same_bits(of_gamma, of_gamma_narrow));
      pc::column_sum(instance(1), columns, dy.wide.data(), columns, of_gamma.data(), cut);
      pc::column_sum(instance(2), columns, dy.narrow.data(), columns, of_gamma_narrow.data(), cut);
      CHECK(same_bits(of_gamma, of_gamma_narrow));
    }
}

TEMPLATE_TEST_CASE("16 bits: cross entropy in one piece and in parts", "", pleat::bfloat16, pleat::half) {
  using T = TestType;
  index_t const rows = 13, classes = 70, first = 20;
  both<T> const x(rows * classes, 5, 4);
  std::vector<std::int32_t> labels;
  for (index_t r = 0; r < rows; ++r) labels.push_back(r == 4 ? -1 : static_cast<std::int32_t>(r * 17 % classes));
  auto d = room<float>(rows * classes), loss = room<float>(rows), loss_narrow = room<float>(rows);
  pc::cross_entropy(instance(1), rows, classes, x.wide.data(), labels.data(), 0.125f, d.data(), loss.data(), nullptr);
  auto d_narrow = x.narrow;  // in place
  pc::cross_entropy(instance(2), rows, classes, static_cast<T const*>(d_narrow.data()), labels.data(), 0.125f,
                    d_narrow.data(), loss_narrow.data(), nullptr);
  CHECK(rounded(d_narrow, d));
  CHECK(same_bits(loss, loss_narrow));
  // Two parts, whose sums meet in an order of their own: near, not equal.
  std::vector<float> max(rows), sums(2 * rows), part_max(rows), part_sums(2 * rows);
  std::vector<T> part[2];
  for (int p = 0; p < 2; ++p)
    for (index_t r = 0; r < rows; ++r)
      for (index_t j = p == 0 ? 0 : first; j < (p == 0 ? first : classes); ++j)
        part[p].push_back(x.narrow[static_cast<std::size_t>(r * classes + j)]);
  for (int p = 0; p < 2; ++p) {
    pc::cross_entropy_part_max(instance(1), rows, p == 0 ? first : classes - first,
                               static_cast<T const*>(part[p].data()), part_max.data());
    for (std::size_t r = 0; r < max.size(); ++r) max[r] = p == 0 ? part_max[r] : std::max(max[r], part_max[r]);
  }
  for (int p = 0; p < 2; ++p) {
    pc::cross_entropy_part_exp(instance(1), rows, p == 0 ? first : classes - first, p == 0 ? 0 : first,
                               static_cast<T const*>(part[p].data()), labels.data(), max.data(), part[p].data(),
                               part_sums.data());
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += part_sums[i];
  }
  // The sums of the exponentials are of 70 positive terms: 69 additions there, 50 here (49 in the longer part, one for
  // the two), each of a relative 2⁻²⁴ at the most. Division, product and the label's fma add three in all on each side.
  // softmax · 1/8 is at most 1/8, so d moves by 125 · 2⁻²⁷ before it is rounded to T: by a relative u, or, below half's
  // normal numbers, by half of their spacing of 2⁻²⁴.
  double const before = 125 * 0x1p-27, u = std::is_same_v<T, pleat::half> ? 0x1p-11 : 0x1p-8,
               least = std::is_same_v<T, pleat::half> ? 0x1p-25 : 0;
  bool within = true;
  for (int p = 0; p < 2; ++p) {
    index_t const here = p == 0 ? first : classes - first, begin = p == 0 ? 0 : first;
    pc::cross_entropy_part_finish(instance(1), rows, here, begin, labels.data(), 0.125f, max.data(), sums.data(),
                                  part[p].data(), loss_narrow.data());
    for (index_t r = 0; r < rows; ++r)
      for (index_t j = 0; j < here; ++j) {
        double const whole = d[static_cast<std::size_t>(r * classes + begin + j)];
        within = within &&
                 std::abs(static_cast<double>(static_cast<float>(part[p][static_cast<std::size_t>(r * here + j)])) -
                          whole) <= before + std::max(u * (std::abs(whole) + before), least);
      }
  }
  CHECK(within);
  // The logarithm turns the relative 119 · 2⁻²⁴ of the two sums into an absolute one; it is itself off by a unit in the
  // last place (log 70 < 8: 2⁻²¹) and the difference that the loss is by half of one (below 32: 2⁻²⁰), on each side.
  for (std::size_t r = 0; r < loss.size(); ++r) {
    CHECK(std::abs(loss[r]) < 32);
    CHECK(std::abs(static_cast<double>(loss[r]) - static_cast<double>(loss_narrow[r])) <=
          119 * 0x1p-24 + 2 * (0x1p-21 + 0x1p-20));
  }
}

TEMPLATE_TEST_CASE("16 bits: the matrix product on every instruction set, thread count and on the device's path", "",
                   pleat::bfloat16, pleat::half) {
  using T = TestType;
  std::mt19937 r(7);
  auto const up_to = [&](index_t n) { return std::uniform_int_distribution<index_t>(0, n)(r); };
  for (int round = 0; round < 60; ++round) {
    bool const large = round % 12 == 0;
    index_t const m = large ? 400 + up_to(40) : up_to(70), n = large ? 60 + up_to(400) : up_to(90),
                  k = large ? 600 + up_to(200) : up_to(150);
    bool const ta = up_to(1), tb = up_to(1), accumulate = up_to(2) == 0, biased = up_to(1), masked = up_to(2) == 0;
    index_t const lda = (ta ? m : k) + up_to(3), ldb = (tb ? k : n) + up_to(3), ldc = n + up_to(3);
    both<T> const a((ta ? k : m) * lda, 8), b((tb ? n : k) * ldb, 9, 0.1f), c(m * ldc, 10), bias(n, 11),
        mask(m * n, 12);
    auto const fill = [&](auto const& from, auto& to, auto member) {
      pc::gemm_arguments<std::remove_cvref_t<decltype(*to.data())>> g;
      g.m = m, g.n = n, g.k = k, g.accumulate = accumulate;
      g.a = (a.*member).data(), g.lda = lda, g.ta = ta ? pc::transpose::yes : pc::transpose::no;
      g.b = (b.*member).data(), g.ldb = ldb, g.tb = tb ? pc::transpose::yes : pc::transpose::no;
      to = from, g.c = to.data(), g.ldc = ldc;
      if (biased) g.after.bias = (bias.*member).data(), g.after.act = pc::activation::relu;
      if (masked) g.after.mask = (mask.*member).data(), g.after.ldmask = n;
      return g;
    };
    std::vector<float> expected;
    pc::detail::gemm_reference(fill(c.wide, expected, &both<T>::wide), pc::lanes::whole(k, accumulate));
    for (index_t i = 0; i < m; ++i)  // the gaps between rows are guards
      for (index_t j = n; j < ldc; ++j)
        expected[static_cast<std::size_t>(i * ldc + j)] = c.wide[static_cast<std::size_t>(i * ldc + j)];
    INFO(m << " x " << n << " x " << k << (ta ? ", A turned" : "") << (tb ? ", B turned" : ""));
    std::vector<T> out;
    for (auto const level : levels())
      for (int threads : {1, 2}) {
        auto const g = fill(c.narrow, out, &both<T>::narrow);
        pd::gemm_reduced_on_host(instance(threads), g, pc::lanes::whole(k, accumulate), level);
        CHECK(rounded(out, expected));
      }
    if (!large) {
      pd::gemm_device(instance(1), fill(c.narrow, out, &both<T>::narrow), pc::lanes::whole(k, accumulate), 1);
      instance(1).fence();
      CHECK(rounded(out, expected));
    }
  }
}

TEMPLATE_TEST_CASE("16 bits: weight gradients are sums of floats, lane by lane", "", pleat::bfloat16, pleat::half) {
  using T = TestType;
  for (index_t const rows : {5, 64, 700})
    for (int count : {1, 4}) {
      index_t const m = 390, n = 33, begin = 3;
      both<T> const a((rows + begin) * m, 13), b((rows + begin) * n, 14);
      pc::lanes cut;
      cut.count = count, cut.accumulate = count == 1;
      for (int l = 0; l <= count; ++l) cut.row[static_cast<std::size_t>(l)] = begin + rows * l / count;
      std::vector<float> expected(static_cast<std::size_t>(m * n), 0.5f), out;
      pc::gemm_lanes(instance(1), m, n, a.wide.data(), m, b.wide.data(), n, expected.data(), n, cut);
      for (auto const level : levels())
        for (int threads : {1, 2}) {
          out.assign(expected.size(), 0.5f);
          pc::gemm_arguments<T, float> g;
          g.m = m, g.n = n, g.k = rows, g.a = a.narrow.data(), g.lda = m, g.ta = pc::transpose::yes,
          g.b = b.narrow.data(), g.ldb = n, g.c = out.data(), g.ldc = n;
          g.accumulate = count == 1;
          pd::gemm_reduced_on_host(instance(threads), g, cut, level);
          CHECK(same_bits(out, expected));
        }
      out.assign(expected.size(), 0.5f);
      pc::gemm_lanes(instance(2), m, n, a.narrow.data(), m, b.narrow.data(), n, out.data(), n, cut);
      CHECK(same_bits(out, expected));
    }
}

TEMPLATE_TEST_CASE("16 bits: attention on every instruction set, thread count and on the device's path", "",
                   pleat::bfloat16, pleat::half) {
  using T = TestType;
  for (pc::attention_shape const s :
       {pc::attention_shape{2, 70, 2, 1, 16, true}, {1, 130, 1, 3, 10, true}, {2, 9, 2, 2, 33, false}}) {
    index_t const n = s.batch * s.positions * s.width(), o = s.batch * s.positions * s.out_width(),
                  q = s.batch * s.heads() * s.positions;
    both<T> const x(n, 15), dout(o, 16);
    INFO(s.positions << " positions, " << s.groups << " groups of " << s.group_heads);
    auto out = room<float>(o), logsum = room<float>(q), delta = room<float>(q), dx = room<float>(n);
    pc::attention_forward(instance(1), s, x.wide.data(), out.data(), logsum.data());
    std::vector<T> stored;
    for (float const v : out) stored.push_back(T(v));
    // backward reads the output as it is stored
    pc::attention_backward(instance(1), s, x.wide.data(), widened(stored).data(), logsum.data(), dout.wide.data(),
                           delta.data(), dx.data());
    auto y = room<T>(o), d = room<T>(n);
    auto sum = room<float>(q);
    auto const check = [&] {
      CHECK(rounded(y, out));
      CHECK(same_bits(sum, logsum));
      CHECK(rounded(d, dx));
      y.assign(y.size(), T{}), d.assign(d.size(), T{}), sum.assign(sum.size(), 0);
    };
    for (int threads : {1, 2}) {
      pc::attention_forward(instance(threads), s, x.narrow.data(), y.data(), sum.data());
      pc::attention_backward(instance(threads), s, x.narrow.data(), static_cast<T const*>(y.data()),
                             static_cast<float const*>(sum.data()), dout.narrow.data(), delta.data(), d.data());
      check();
    }
    float const scale = pd::attention_scale<T>(s);
    for (auto const level : levels()) {
      pd::loop_at<true>(level, 0, s.batch * s.heads() * pd::attention_blocks(s),
                        pd::attention_forward_host<T>{s, scale, x.narrow.data(), y.data(), sum.data(),
                                                      pd::small_product<float>(level)});
      pd::loop_at<true>(level, 0, q, pd::attention_delta_body<T>{s, y.data(), dout.narrow.data(), delta.data()});
      pd::loop_at<true>(level, 0, s.batch * s.groups,
                        pd::attention_backward_host<T>{s, scale, x.narrow.data(), sum.data(), delta.data(),
                                                       dout.narrow.data(), d.data(), pd::small_product<float>(level)});
      check();
    }
    pd::attention_forward_on_space(instance(1), s, scale, x.narrow.data(), y.data(), sum.data());
    pd::attention_backward_on_space(instance(1), s, scale, x.narrow.data(), static_cast<T const*>(y.data()),
                                    static_cast<float const*>(sum.data()), dout.narrow.data(), delta.data(), d.data());
    instance(1).fence();
    check();
  }
}

TEMPLATE_TEST_CASE("16 bits: tokens are numbers by their bits, and embeddings add in float", "", pleat::bfloat16,
                   pleat::half) {
  using T = TestType;
  index_t const vocabulary = 700, columns = 40, rows = 300, positions = 50;  // more than bfloat16 counts to
  CHECK(pleat::most_tokens<T>() == 65536);
  CHECK(pleat::most_tokens<float>() == index_t{1} << 24);
  both<T> const table(vocabulary * columns, 17), by_position(positions * columns, 18), dy(rows * columns, 19);
  std::vector<T> tokens;
  std::vector<float> wide_tokens;
  for (index_t r = 0; r < rows; ++r) {
    index_t const token = r * 31 % vocabulary % 97 + (r % 3) * 300;
    tokens.push_back(pleat::token_value<T>(token));
    wide_tokens.push_back(pleat::token_value<float>(token));
    CHECK(pleat::token_index(tokens.back()) == token);
  }
  index_t bad = 0;
  pc::first_bad_token(instance(1), rows, tokens.data(), vocabulary, &bad);
  CHECK(bad == pc::no_bad_label);
  pc::first_bad_token(instance(1), rows, tokens.data(), index_t{690}, &bad);
  CHECK(bad < rows);
  auto y = room<float>(rows * columns), dw = room<float>(vocabulary * columns), dw_narrow = dw;
  auto y_narrow = room<T>(rows * columns);
  pc::embed(instance(1), rows, positions, columns, wide_tokens.data(), table.wide.data(), by_position.wide.data(),
            y.data());
  pc::embed(instance(2), rows, positions, columns, tokens.data(), table.narrow.data(), by_position.narrow.data(),
            y_narrow.data());
  CHECK(rounded(y_narrow, y));
  pc::lanes cut;
  cut.count = 4;
  for (int l = 0; l <= 4; ++l) cut.row[static_cast<std::size_t>(l)] = rows * l / 4;
  pc::embed_gradient(instance(1), vocabulary, columns, wide_tokens.data(), dy.wide.data(), dw.data(), cut);
  pc::embed_gradient(instance(2), vocabulary, columns, tokens.data(), dy.narrow.data(), dw_narrow.data(), cut);
  CHECK(same_bits(dw, dw_narrow));
  pd::embed_gradient_on_space(instance(1), vocabulary, columns, tokens.data(), dy.narrow.data(), dw_narrow.data(), cut);
  instance(1).fence();
  CHECK(same_bits(dw, dw_narrow));
  // the parts of a vocabulary sum up to it: every row comes from one of them
  auto low = room<T>(rows * columns), high = low;
  pc::embed_part(instance(1), rows, positions, columns, 0, 310, tokens.data(), table.narrow.data(),
                 static_cast<T const*>(nullptr), low.data());
  pc::embed_part(instance(1), rows, positions, columns, 310, vocabulary, tokens.data(),
                 table.narrow.data() + 310 * columns, static_cast<T const*>(nullptr), high.data());
  pc::embed(instance(1), rows, positions, columns, wide_tokens.data(), table.wide.data(),
            static_cast<float const*>(nullptr), y.data());
  pc::add(instance(1), rows * columns, static_cast<T const*>(low.data()), static_cast<T const*>(high.data()),
          low.data());
  CHECK(rounded(low, y));
}
