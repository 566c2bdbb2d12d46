// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/sparse.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <codec/codec_support.hpp>

#include <cstring>
#include <limits>

namespace {

using namespace codec_test;
namespace codec = pleat::codec;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

using csr = codec::csr<float>;
using bitmask = codec::bitmask<float>;
using block = codec::block_sparse<float>;
using pairs = codec::block_sparse<float, 2>;
#define EXACT_FORMS csr, bitmask, block, pairs
using n_2_4 = codec::n_m<float, 2, 4>;
using n_1_4 = codec::n_m<float, 1, 4>;
using n_3_8 = codec::n_m<float, 3, 8>;
using n_3_10 = codec::n_m<float, 3, 10>;
using n_5_5 = codec::n_m<float, 5, 5>;
using n_1_1 = codec::n_m<float, 1, 1>;
#define N_M_FORMS n_2_4, n_1_4, n_3_8, n_3_10, n_5_5, n_1_1

/// The portable functor on every element: what a device runs.
template <class F>
std::vector<float> portable(encoded<F> const& w, index_t m, std::vector<float> const& x,
                            pleat::compute::epilogue<float> const& after) {
  index_t const n = w.shape[0], k = w.shape.size_from(1);
  std::vector<float> y(static_cast<std::size_t>(m * n));
  for (index_t e = 0; e < m * n; ++e)
    y[static_cast<std::size_t>(e)] =
        codec::detail::finish(after, e / n, e % n, w.storage.view.dot(e % n, x.data() + e / n * k));
  return y;
}

/// apply agrees with a dense weight of the decoded numbers, bit for bit, at every batch; so do the way back, files and
/// slices.
template <class F> void check_form(pleat::context<space>& c, extents const& shape, std::vector<float> const& values) {
  encoded<F> const w(c, shape, values);
  auto const decoded = w.decode(c);
  encoded<codec::dense<float>> const d(c, shape, decoded);
  index_t const n = shape[0], k = shape.size_from(1);
  auto const bias = numbers(n, 9);
  pleat::compute::epilogue<float> const after{.bias = bias.data(), .act = pleat::compute::activation::relu};
  for (index_t m : {1, 2, 9, 17, 70}) {
    auto const x = numbers(m * k, 3), dy = numbers(m * n, 5);
    std::vector<float> y(static_cast<std::size_t>(m * n)), z(y.size()), dx(static_cast<std::size_t>(m * k)),
        dz(dx.size());
    F::apply(c, shape, w.storage, m, x.data(), y.data(), after);
    codec::dense<float>::apply(c, shape, d.storage, m, x.data(), z.data(), after);
    CHECK(y == z);
    CHECK(portable(w, m, x, after) == z);
    F::apply_transposed(c, shape, w.storage, m, dy.data(), dx.data(), nullptr);
    codec::dense<float>::apply_transposed(c, shape, d.storage, m, dy.data(), dz.data(), nullptr);
    CHECK(dx == dz);
  }
  check_files_and_slices(c, w);
}

TEMPLATE_TEST_CASE("lists of survivors are exact and multiply as the dense numbers do", "", EXACT_FORMS) {
  auto c = make_context();
  for (extents const& shape : {extents{37, 64}, extents{5, 2, 20}, extents{1, 8}, extents{100, 784}})
    for (double zeros : {0.0, 0.5, 0.92, 1.0}) {
      auto values = sparse_numbers(shape.size(), zeros, 2);
      values[0] = std::numeric_limits<float>::denorm_min();
      values.back() = 1e30f;
      encoded<TestType> const w(c, shape, values);
      CHECK(w.decode(c) == values);
      check_form<TestType>(c, shape, values);
    }
}

TEST_CASE("more survivors than 32-bit places are refused") {
  extents const shape{65537, 65536};
  CHECK_NOTHROW(codec::detail::demand_countable("here", shape, 0xffffffff));
  CHECK_THROWS_MATCHES(codec::detail::demand_countable("here", shape, pleat::index_t{1} << 32), pleat::error,
                       MessageMatches(ContainsSubstring("4294967296 blocks or numbers survive in a weight of shape")));
}

TEST_CASE("columns beyond 16 bits") {
  auto c = make_context();
  extents const shape{3, 70000};
  check_form<csr>(c, shape, sparse_numbers(shape.size(), 0.99, 2));
  check_form<bitmask>(c, shape, sparse_numbers(shape.size(), 0.99, 2));
}

TEMPLATE_TEST_CASE("N of M: every group keeps its N largest; the error is what it drops", "", N_M_FORMS) {
  auto c = make_context();
  using logic = typename TestType::bits;
  extents const shape{37, 80};
  index_t const m = TestType::granularity(shape).columns;
  auto values = numbers(shape.size(), 2);
  encoded<TestType> const w(c, shape, values);
  auto const decoded = w.decode(c);
  for (std::size_t g = 0; g < values.size(); g += static_cast<std::size_t>(m)) {
    float least_kept = 2, most_dropped = 0;
    for (std::size_t i = g; i < g + static_cast<std::size_t>(m); ++i)
      if (decoded[i] != 0) {
        CHECK(decoded[i] == values[i]);
        least_kept = std::min(least_kept, std::fabs(values[i]));
      } else {
        most_dropped = std::max(most_dropped, std::fabs(values[i]));
      }
    CHECK(most_dropped <= least_kept);
  }
  auto const measured = codec::measure_error(values, decoded), predicted = logic::predict(shape, values, {});
  CHECK(measured.max == predicted.max);
  CHECK(std::abs(measured.frobenius - predicted.frobenius) <= 1e-12 * predicted.frobenius);
  check_form<TestType>(c, shape, values);
  encoded<TestType> const again(c, shape, decoded);  // what fits is exact
  CHECK(again.decode(c) == decoded);
}

TEST_CASE("names and sizes of N of M") {
  using two_four = codec::n_m<float>;
  using three_ten = codec::n_m<float, 3, 10>;
  CHECK(two_four::name == "2:4");
  CHECK(three_ten::name == "3:10");
  auto c = make_context();
  encoded<codec::n_m<float>> const w(c, {8, 64}, numbers(512, 1));
  CHECK(codec::n_m<float>::bytes(w.shape, w.storage) == 256 * 4 + 256 / 4);  // half the values, two bits each
}

TEMPLATE_TEST_CASE("sparse forms refuse NaN and infinity by name", "", csr, bitmask, block, codec::n_m<float>) {
  auto c = make_context();
  encoded<TestType> w(extents{2, 8});
  auto values = numbers(16, 1);
  values[13] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_MATCHES(TestType::encode(c, w.shape, values.data(), w.storage), pleat::error,
                       MessageMatches(ContainsSubstring("row 1, column 5 is inf")));
}

/// Changes 32-bit word i of a part.
void put(codec::file_tensor& p, std::size_t i, std::uint32_t v) { std::memcpy(p.bytes.data() + 4 * i, &v, 4); }

TEST_CASE("sparse forms: a file's claims are checked before they are believed") {
  auto c = make_context();
  extents const shape{3, 8};
  std::vector<float> const values{0, 1, 0, 2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0, 6};
  {
    encoded<csr> w(c, shape, values);
    auto const good = csr::to_file(c, shape, w.storage);
    auto const refused = [&](auto const& bad, char const* words) {
      CHECK_THROWS_MATCHES(csr::from_file(c, shape, bad, w.storage), pleat::error,
                           MessageMatches(ContainsSubstring(words)));
    };
    auto bad = good;
    bad[1].bytes[2] = std::byte{8};
    refused(bad, "row 0 has the column 8, the last one is 7");
    bad = good, bad[1].bytes[2] = std::byte{1};
    refused(bad, "columns of row 0 do not ascend");
    bad = good, put(bad[0], 1, 7);
    refused(bad, "row 1 ends before it begins");
    bad = good, put(bad[0], 3, 5);
    refused(bad, "expected 0 to 6");
    bad = good, bad[2].bytes.resize(20);
    refused(bad, "bytes");
    bad = good, bad[1].shape = {1000000};
    refused(bad, "found [1000000]");
    bad = good, put(bad[2], 0, 0x7fc00000u);
    refused(bad, "NaN or infinite");
    bad = good, bad.pop_back();
    refused(bad, "'.values'");
    CHECK(w.decode(c) == values);  // nothing of it was taken
  }
  {
    encoded<bitmask> w(c, shape, values);
    auto bad = bitmask::to_file(c, shape, w.storage);
    bad[0].bytes[1] = std::byte{1};
    CHECK_THROWS_MATCHES(bitmask::from_file(c, shape, bad, w.storage), pleat::error,
                         MessageMatches(ContainsSubstring("the mask keeps 7 elements, but 6")));
  }
  {
    using form = codec::n_m<float, 2, 3>;
    extents const three{1, 6};
    encoded<form> w(c, three, {1, 2, 3, 4, 5, 6});
    auto bad = form::to_file(c, three, w.storage);
    bad[1].bytes[0] |= std::byte{3};
    CHECK_THROWS_MATCHES(form::from_file(c, three, bad, w.storage), pleat::error,
                         MessageMatches(ContainsSubstring("has the place 3 in a group of 3")));
    bad[1].bytes[0] = std::byte{0};
    CHECK_THROWS_MATCHES(form::from_file(c, three, bad, w.storage), pleat::error,
                         MessageMatches(ContainsSubstring("do not ascend")));
    CHECK_THROWS_MATCHES(form::encode(c, {2, 4}, values.data(), w.storage), pleat::error,
                         MessageMatches(ContainsSubstring("4 columns, expected a multiple of 3")));
  }
}

}  // namespace
