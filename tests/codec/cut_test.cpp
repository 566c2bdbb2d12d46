// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Stored weights cut by rows and by columns, and joined again: every form.

#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/detail/cut_bits.hpp>

#include <pleat/codec/blocks.hpp>
#include <pleat/codec/codebook.hpp>
#include <pleat/codec/detail/part_of.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/codec/factors.hpp>
#include <pleat/codec/low_rank.hpp>
#include <pleat/codec/reduced.hpp>
#include <pleat/codec/sparse.hpp>

#include "codec_support.hpp"

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <numeric>

namespace codec = pleat::codec;
using namespace codec_test;
using pleat::index_box;

namespace {

template <class F> index_t unit_of(encoded<F> const& w, int dim) {
  codec::cut_unit u;
  [[maybe_unused]] std::span<std::string const> const nothing;
  if constexpr (requires { F::granularity(w.shape, w.storage, nothing); })
    u = F::granularity(w.shape, w.storage, nothing);
  else if constexpr (requires { F::granularity(w.shape); }) u = F::granularity(w.shape);
  return dim == 0 ? u.rows : u.columns / std::gcd(u.columns, w.shape.size_from(2));
}

void check_same(std::vector<codec::file_tensor> const& a, std::vector<codec::file_tensor> const& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CHECK(a[i].suffix == b[i].suffix);
    CHECK(a[i].type == b[i].type);
    CHECK(a[i].shape == b[i].shape);
    CHECK((a[i].bytes == b[i].bytes));
  }
}

/// Pieces decode to pieces of what the whole decodes to; joined, they are its bytes.
template <class F> void check_cuts(pleat::context<space>& c, encoded<F> const& w) {
  auto const decoded = w.decode(c);
  auto const whole = F::to_file(c, w.shape, w.storage);
  constexpr index_t m = 3;
  index_t const n = w.shape[0], k = w.shape.size_from(1);
  auto const x = numbers(m * k, 11);
  std::vector<float> y(static_cast<std::size_t>(m * n));
  F::apply(c, w.shape, w.storage, m, x.data(), y.data(), {});
  for (int dim : {0, 1})
    for (index_t parts : {1, 2, 3, 4, 40}) {
      INFO(F::name << " " << w.shape.to_string() << " in " << parts << " along " << dim);
      std::vector<codec::weight_piece> pieces;
      std::vector<double> sum(y.size(), 0.0);
      for (index_t r = 0; r < parts; ++r) {
        index_box box(w.shape);
        box[dim] = pleat::block_range(w.shape[dim], parts, r, unit_of(w, dim));
        encoded<F> piece(box.shape());
        piece.storage = F::slice(c, w.shape, w.storage, box);
        std::vector<float> expected;
        codec::detail::for_each_of_part(w.shape, box,
                                        [&](index_t i) { expected.push_back(decoded[static_cast<std::size_t>(i)]); });
        REQUIRE((piece.decode(c) == expected));
        pieces.push_back({box.shape(), F::to_file(c, piece.shape, piece.storage)});
        index_t const rows = box.shape()[0], width = box.shape().size_from(1), row = box[0].begin,
                      column = dim == 1 ? box[1].begin * w.shape.size_from(2) : 0;
        std::vector<float> part_x, part_y(static_cast<std::size_t>(m * rows), 9.0f);
        for (index_t i = 0; i < m; ++i)
          part_x.insert(part_x.end(), x.begin() + i * k + column, x.begin() + i * k + column + width);
        F::apply(c, piece.shape, piece.storage, m, part_x.data(), part_y.data(), {});
        for (index_t i = 0; i < m; ++i)
          for (index_t j = 0; j < rows; ++j) {
            if (dim == 0)
              REQUIRE(part_y[static_cast<std::size_t>(i * rows + j)] == y[static_cast<std::size_t>(i * n + row + j)]);
            else
              sum[static_cast<std::size_t>(i * n + j)] +=
                  static_cast<double>(part_y[static_cast<std::size_t>(i * rows + j)]);
          }
      }
      check_same(F::join(w.shape, dim, pieces), whole);
      // Products of k terms below 1·|w|: chains in another order differ by k roundings of sums below k·most; forms that
      // round activations to 8 bits do so in other groups: half of 1/127 a term, twice.
      double most = 0;
      for (float v : decoded) most = std::max(most, std::fabs(static_cast<double>(v)));
      double const bound = static_cast<double>(k) * most * (static_cast<double>(k) * 0x1p-22 + 1.0 / 127);
      if (dim == 1)
        for (std::size_t i = 0; i < y.size(); ++i) REQUIRE(std::fabs(sum[i] - static_cast<double>(y[i])) <= bound);
    }
}

template <class F> void check_shapes(pleat::context<space>& c) {
  for (extents const& shape : {extents{37, 768}, extents{5, 256}, extents{6, 64, 4, 4}}) {
    auto const values = sparse_numbers(shape.size(), 0.6, 3);
    check_cuts<F>(c, encoded<F>(c, shape, values));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("dense and sparse forms: a piece decodes to the piece, pieces join to the bytes of the whole", "",
                   (codec::bf16<float>), (codec::f16<float>), (codec::int8<float>), (codec::csr<float>),
                   (codec::bitmask<float>), (codec::n_m<float, 2, 4>), (codec::n_m<float, 3, 8>),
                   (codec::block_sparse<float, 4>)) {
  auto c = make_context();
  check_shapes<TestType>(c);
}

TEMPLATE_TEST_CASE("block forms are cut between blocks", "", (codec::q8_0<float>), (codec::q4_0<float>),
                   (codec::q4_1<float>), (codec::q5_0<float>), (codec::q5_1<float>), (codec::q4_k<float>),
                   (codec::q6_k<float>), (codec::int4<float, 32>)) {
  auto c = make_context();
  check_shapes<TestType>(c);
  extents const shape{4, 512};
  encoded<TestType> const w(c, shape, numbers(shape.size(), 5));
  index_box box(shape);
  box[1] = {0, 40};
  CHECK_THROWS_WITH(TestType::slice(c, shape, w.storage, box),
                    Catch::Matchers::ContainsSubstring(
                        "columns 0 to 40 of 512 are no whole pieces of this form: borders lie at multiples of " +
                        std::to_string(TestType::granularity(shape).columns)));
}

TEST_CASE("odd columns, where the form has no blocks") {
  auto c = make_context();
  extents const shape{11, 45};
  auto const values = sparse_numbers(shape.size(), 0.7, 4);
  check_cuts<codec::bf16<float>>(c, {c, shape, values});
  check_cuts<codec::int8<float>>(c, {c, shape, values});
  check_cuts<codec::csr<float>>(c, {c, shape, values});
  check_cuts<codec::bitmask<float>>(c, {c, shape, values});
  check_cuts<codec::codebook<float>>(c, {c, shape, values});
  check_cuts<codec::coded<float>>(c, {c, shape, values});
}

TEST_CASE("codebooks: shared values stay shared, in groups, plain and coded") {
  auto c = make_context();
  for (extents const& shape : {extents{37, 96}, extents{6, 8, 5, 5}, extents{200, 300}})
    for (index_t group : {0, 4})
      for (int entries : {2, 5, 16, 200}) {
        codec::codebook_options o{.entries = entries, .rows_per_group = group};
        o.iterations = 8;
        auto const values = sparse_numbers(shape.size(), 0.9, 6);
        encoded<codec::codebook<float>> plain(shape);
        codec::codebook<float>::encode_with(c, shape, values.data(), o, plain.storage);
        check_cuts(c, plain);
        for (int index : {0, 5}) {
          o.index_bits = index;
          encoded<codec::coded<float>> coded(shape);
          codec::coded<float>::encode_with(c, shape, values.data(), o, coded.storage);
          check_cuts(c, coded);
        }
        o.entropy = false;
        encoded<codec::coded<float>> bits(shape);
        codec::coded<float>::encode_with(c, shape, values.data(), o, bits.storage);
        check_cuts(c, bits);
      }
}

TEST_CASE("low rank: rows of the left factor, columns of the right one; numbers beside them") {
  auto c = make_context();
  for (extents const& shape : {extents{24, 40}, extents{6, 8, 3, 3}}) {
    auto const values = numbers(shape.size(), 8);
    check_cuts<codec::low_rank<float>>(c, {c, shape, values});
    check_cuts<codec::sparse_low_rank<float>>(c, {c, shape, values});
  }
  for (extents const& shape : {extents{48, 96}, extents{6, 8, 4, 4}}) {  // factors in forms of their own
    using factors = codec::factors<float>;
    auto const values = numbers(shape.size(), 8);
    encoded<factors> w(shape);
    factors::encode_with(c, shape, values.data(), {{.rank = 4}, "int8", "q8_0"}, w.storage);
    check_cuts(c, w);
    factors::encode_with(c, shape, values.data(), {{.rank = 4, .sparse_share = 0.1}, "dense", "bf16"}, w.storage);
    check_cuts(c, w);
    encoded<factors> const other(c, shape, numbers(shape.size(), 9));
    std::vector<codec::weight_piece> const pieces{{shape, factors::to_file(c, shape, w.storage)},
                                                  {shape, factors::to_file(c, shape, other.storage)}};
    CHECK_THROWS_WITH(factors::join(shape.with_batch(2 * shape[0]), 0, pieces),
                      Catch::Matchers::ContainsSubstring("the parts have factors of their own"));
  }
}

TEST_CASE("factors whose rank is the whole weight's may be wider than each piece") {
  auto c = make_context();
  using factors = codec::factors<float>;
  for (extents const& shape : {extents{6, 3}, extents{3, 6}}) {
    auto const part = [&](char const* suffix, extents const& e, unsigned seed) {
      auto const v = numbers(e.size(), seed);
      return codec::file_tensor{suffix, pleat::dtype::f32, e, codec::detail::bytes_of(std::span<float const>(v))};
    };
    std::vector<codec::file_tensor> const parts{part(".left", {shape[0], 5}, 1), part(".right", {5, shape[1]}, 2)};
    encoded<factors> w(shape);
    factors::from_file(c, shape, parts, w.storage);
    check_cuts(c, w);
  }
}

TEST_CASE("parts that were encoded each by itself are refused") {
  auto c = make_context();
  extents const whole{8, 64}, half{8, 32};
  encoded<codec::int8<float>> const a(c, half, numbers(half.size(), 1)), b(c, half, numbers(half.size(), 2));
  std::vector<codec::weight_piece> const pieces{{half, codec::int8<float>::to_file(c, half, a.storage)},
                                                {half, codec::int8<float>::to_file(c, half, b.storage)}};
  CHECK_THROWS_WITH(codec::int8<float>::join(whole, 1, pieces),
                    Catch::Matchers::ContainsSubstring("the parts have scales of their own"));
  encoded<codec::codebook<float>> const d(c, half, numbers(half.size(), 1)), e(c, half, numbers(half.size(), 2));
  std::vector<codec::weight_piece> const books{{half, codec::codebook<float>::to_file(c, half, d.storage)},
                                               {half, codec::codebook<float>::to_file(c, half, e.storage)}};
  CHECK_THROWS_WITH(codec::codebook<float>::join(whole, 1, books),
                    Catch::Matchers::ContainsSubstring("codebooks of their own"));
}
