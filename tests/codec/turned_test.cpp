// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Forms whose rows are turned before they are decoded: products have the bits of the dense form with the decoded
// numbers, at sizes that are no multiples of anything, on every instruction set.
#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/codebook.hpp>
#include <pleat/codec/reduced.hpp>
#include <pleat/codec/sparse.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <codec/codec_support.hpp>

#include <cstdlib>
#include <cstring>
#include <string>

#include <unistd.h>

namespace {

using namespace codec_test;
namespace codec = pleat::codec;

/// Products with some columns of x, from one to more than a tile of registers has.
template <class F>
void demand_dense_bits(pleat::context<space>& c, extents const& shape,
                       typename F::template storage<space> const& stored) {
  index_t const n = shape[0], k = shape[1];
  std::vector<float> decoded(static_cast<std::size_t>(n * k));
  F::decode(c, shape, stored, decoded.data());
  encoded<codec::dense<float>> const d(c, shape, decoded);
  auto const bias = numbers(n, 4);
  pleat::compute::epilogue<float> const after{.bias = bias.data(), .act = pleat::compute::activation::relu};
  for (index_t m : {1, 2, 3, 4, 5, 8, 11, 20}) {
    auto const x = numbers(m * k, 3);
    std::vector<float> y(static_cast<std::size_t>(m * n)), z(y.size());
    F::apply(c, shape, stored, m, x.data(), y.data(), after);
    codec::dense<float>::apply(c, shape, d.storage, m, x.data(), z.data(), after);
    INFO(F::name << " " << shape.to_string() << ", " << m << " columns");
    CHECK(std::memcmp(y.data(), z.data(), y.size() * sizeof(float)) == 0);
  }
}

/// 1500 columns are cut in three for a panel: borders within a unit of 32. 8 rows: one vector of AVX2; 9 to 10 columns
/// of y: the narrow product.
constexpr index_t row_counts[] = {1, 7, 8, 10, 15, 16, 17, 33, 63, 64, 70},
                  column_counts[] = {4, 12, 32, 36, 96, 100, 132, 1500};

template <class F> void demand_dense_bits_everywhere() {
  auto c = make_context();
  for (index_t n : row_counts)
    for (index_t k : column_counts) {
      extents const shape{n, k};
      encoded<F> const w(c, shape, numbers(n * k, 1));
      demand_dense_bits<F>(c, shape, w.storage);
    }
}

}  // namespace

TEST_CASE("turned rows: sixteen bits and two of four have the bits of the dense product", "[turned_rows]") {
  demand_dense_bits_everywhere<codec::bf16<float>>();
  demand_dense_bits_everywhere<codec::f16<float>>();
  demand_dense_bits_everywhere<codec::n_m<float, 2, 4>>();
}

TEST_CASE("turned rows: odd columns, and what subnormal halves are", "[turned_rows]") {
  auto c = make_context();
  for (index_t k : {1, 3, 31, 33, 65, 131}) {
    extents const shape{50, k};
    auto values = numbers(50 * k, 2);
    for (std::size_t i = 0; i < values.size(); i += 3) values[i] *= 0x1p-16f;  // subnormal as a half
    for (std::size_t i = 1; i < values.size(); i += 7) values[i] = -0.0f;
    encoded<codec::f16<float>> const h(c, shape, values);
    demand_dense_bits<codec::f16<float>>(c, shape, h.storage);
    encoded<codec::bf16<float>> const b(c, shape, values);
    demand_dense_bits<codec::bf16<float>>(c, shape, b.storage);
  }
}

TEST_CASE("turned rows: other groups of which some survive", "[turned_rows]") {
  auto c = make_context();
  for (index_t k : {16, 24, 48, 80, 1504}) {  // 24: the end of a row has no mask of sixteen
    extents const shape{37, k};
    auto const values = numbers(37 * k, 5);
    encoded<codec::n_m<float, 4, 8>> const a(c, shape, values);
    demand_dense_bits<codec::n_m<float, 4, 8>>(c, shape, a.storage);
    encoded<codec::n_m<float, 1, 4>> const b(c, shape, values);
    demand_dense_bits<codec::n_m<float, 1, 4>>(c, shape, b.storage);
    encoded<codec::n_m<float, 3, 4>> const d(c, shape, values);
    demand_dense_bits<codec::n_m<float, 3, 4>>(c, shape, d.storage);
    encoded<codec::n_m<float, 1, 2>> const e(c, shape, values);
    demand_dense_bits<codec::n_m<float, 1, 2>>(c, shape, e.storage);
  }
}

TEST_CASE("turned rows: codes of every width into books of every length, with groups of rows, and slices",
          "[turned_rows]") {
  auto c = make_context();
  using form = codec::codebook<float>;
  for (int entries : {2, 3, 4, 5, 8, 11, 16, 17, 32, 50, 64, 100, 128, 200, 256})
    for (index_t rows_per_group : {0, 5, 16}) {
      extents const shape{53, entries % 2 == 0 ? 133 : 1100};
      index_t const groups = rows_per_group == 0 ? 1 : (53 + rows_per_group - 1) / rows_per_group;
      codec::codebook_options o;
      o.entries = entries, o.rows_per_group = rows_per_group;
      for (index_t g = 0; g < groups; ++g)
        for (int e = 0; e < entries; ++e)
          o.centroids.push_back(-1.0f + (2.0f * static_cast<float>(e) + 0.1f * static_cast<float>(g)) /
                                            static_cast<float>(entries));
      auto const values = numbers(shape.size(), 6);
      encoded<form> w(shape);
      form::encode_with(c, shape, values.data(), o, w.storage);
      demand_dense_bits<form>(c, shape, w.storage);
      encoded<form> part(extents{36, shape[1]});  // begins within a group
      form::slice(c, shape, w.storage, 13, 49, part.storage);
      demand_dense_bits<form>(c, {36, shape[1]}, part.storage);
    }
}

// A process has one instruction set, so others do the rest.
TEST_CASE("turned rows have the same bits with less of an instruction set") {
  char self[4096];
  auto const length = readlink("/proc/self/exe", self, sizeof self - 1);
  REQUIRE(length > 0);
  self[length] = 0;
  for (char const* level : {"scalar", "avx2"}) {
    std::string const command = "PLEAT_ISA=" + std::string(level) + " '" + self + "' '[turned_rows]' > /dev/null 2>&1";
    INFO(command);
    CHECK(std::system(command.c_str()) == 0);
  }
}
