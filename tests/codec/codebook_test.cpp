// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/codebook.hpp>

#include <pleat/comm/local.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <codec/codec_support.hpp>

#include <cstring>
#include <limits>
#include <set>

namespace {

using namespace codec_test;
namespace codec = pleat::codec;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using codec::detail::coder;

using book = codec::codebook<float>;
using coded = codec::coded<float>;

template <class F>
encoded<F> with(pleat::context<space>& c, extents const& shape, std::vector<float> const& values,
                codec::codebook_options const& o) {
  encoded<F> w(shape);
  F::encode_with(c, shape, values.data(), o, w.storage);
  return w;
}

TEST_CASE("k-means on a line: Lloyd's fixed point, the same for every order of the input, every start") {
  auto values = numbers(2000, 1);
  for (auto start : {codec::centroid_start::linear, codec::centroid_start::density, codec::centroid_start::random}) {
    auto const c = codec::detail::kmeans(values, 16, start, 3, 1000);
    REQUIRE(std::is_sorted(c.begin(), c.end()));
    std::vector<double> sum(16), count(16);
    for (float v : values)
      sum[static_cast<std::size_t>(codec::detail::nearest(c, v))] += static_cast<double>(v),
          ++count[static_cast<std::size_t>(codec::detail::nearest(c, v))];
    for (std::size_t i = 0; i < 16; ++i)
      // a centroid is its members' mean, rounded to float
      if (count[i] > 0) CHECK(std::abs(sum[i] / count[i] - static_cast<double>(c[i])) <= 1e-7);
    auto turned = values;
    std::reverse(turned.begin(), turned.end());
    CHECK(codec::detail::kmeans(turned, 16, start, 3, 1000) == c);
  }
  // More entries never cost more.
  double before = 1e9;
  for (int k : {2, 4, 8, 32, 256}) {
    auto const c = codec::detail::kmeans(values, k, codec::centroid_start::linear, 0, 1000);
    double error = 0;
    for (float v : values)
      error += std::pow(
          static_cast<double>(v) - static_cast<double>(c[static_cast<std::size_t>(codec::detail::nearest(c, v))]), 2);
    CHECK(error < before);
    before = error;
  }
  CHECK(codec::detail::kmeans({}, 2, codec::centroid_start::linear, 0, 10) == std::vector<float>{0, 0});
  CHECK(codec::detail::kmeans(std::vector<float>(5, 3.0f), 4, codec::centroid_start::density, 0, 10) ==
        std::vector<float>(4, 3.0f));
}

TEST_CASE("exact sums: no rounding, whatever the order and the sizes") {
  using codec::detail::exact_sum;
  exact_sum s;
  CHECK(s.value() == 0);
  // What a double would lose: 2¹²⁷ and 2⁻¹⁴⁹, taken away again in another order.
  std::vector<float> const odd{0x1.fffffep127f, 0x1p-149f, -3.25f, 0x1p-126f, 1e-3f};
  for (float v : odd) s.add(v);
  for (int i : {0, 2, 4, 3}) s.add(-odd[static_cast<std::size_t>(i)]);
  CHECK(s.value() == 0x1p-149);
  s.add(-0x1p-149f);
  CHECK(s.value() == 0);
  // Whole numbers: a double is exact too.
  auto const v = numbers(3000, 4);
  double expected = 0;
  exact_sum t, forward;
  for (float x : v) {
    float const whole = std::round(1000 * x);
    expected += static_cast<double>(whole);
    t.add(whole);
  }
  CHECK(t.value() == expected);
  for (float x : v) forward.add(x);
  exact_sum halves[2];
  for (std::size_t i = v.size(); i-- > 0;) halves[i % 2].add(v[i]);
  halves[0] += halves[1];
  CHECK(halves[0].value() == forward.value());
  halves[0] -= forward;
  CHECK(halves[0].value() == 0);
  // Relative to what long double says: within some units in the last place of double.
  long double wide = 0;
  for (float x : v) wide += static_cast<long double>(x);
  CHECK(std::abs(forward.value() - static_cast<double>(wide)) <=
        16 * 0x1p-53 * std::abs(static_cast<double>(wide)) + 3000 * 0x1p-64 * 3);
}

TEST_CASE("k-means of numbers that ranks have between them: the bits of one rank's, however they are dealt") {
  auto values = numbers(1500, 2);
  for (std::size_t i = 0; i < values.size(); i += 7) values[i] = -0.125f;  // ties
  values[3] = 0x1p-140f;
  values[4] = -1e30f;
  for (auto start : {codec::centroid_start::linear, codec::centroid_start::density, codec::centroid_start::random})
    for (int k : {1, 2, 15, 64}) {
      auto const one = codec::detail::kmeans(values, k, start, 7, 50);
      for (int ranks : {2, 3, 5}) {
        std::vector<std::vector<float>> found(static_cast<std::size_t>(ranks));
        pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
          std::vector<float> mine;  // the last rank has none, the first one most
          for (std::size_t i = 0; i < values.size(); ++i)
            if (static_cast<int>(i % 11) % std::max(1, ranks - 1) == c.rank()) mine.push_back(values[i]);
          found[static_cast<std::size_t>(c.rank())] =
              codec::detail::kmeans(codec::detail::sorted_numbers(std::move(mine)), k, start, 7, 50,
                                    [&](std::span<std::int64_t> x) { c.all_reduce(x); });
        });
        for (auto const& f : found) CHECK(f == one);
      }
    }
}

TEST_CASE("streams of symbols come back, whatever their counts; the smaller coder is taken") {
  for (int alphabet : {1, 2, 3, 17, 32, 64, 256})
    for (int shape : {0, 1, 2}) {  // flat, steep, one symbol only
      std::vector<std::uint8_t> symbols;
      std::uint64_t state = 9;
      for (int i = 0; i < 5000; ++i) {
        state = codec::detail::mix64(state);
        double const u = static_cast<double>(state >> 11) * 0x1p-53;
        int const s = shape == 0   ? static_cast<int>(u * alphabet)
                      : shape == 1 ? static_cast<int>(std::pow(u, 6) * alphabet)
                                   : alphabet - 1;
        symbols.push_back(static_cast<std::uint8_t>(s));
      }
      std::vector<std::uint64_t> counts(static_cast<std::size_t>(alphabet), 0);
      for (auto s : symbols) ++counts[s];
      codec::detail::symbol_model const plain{coder::plain, alphabet, {}},
          huffman{coder::huffman, alphabet, codec::detail::huffman_lengths(counts)},
          range{coder::range, alphabet, codec::detail::range_frequencies(counts)};
      for (auto const* m : {&plain, &huffman, &range}) {
        std::vector<std::uint8_t> bytes, table;
        codec::detail::encode_symbols(*m, symbols, bytes);
        codec::detail::write_model(*m, table);
        std::size_t at = 0;
        auto const back = codec::detail::read_model("test", table, at);
        CHECK(at == table.size());
        CHECK(back.weight == m->weight);
        double const said = codec::detail::bits_of_model(*m, counts) / 8 - static_cast<double>(table.size());
        CHECK(std::abs(said - static_cast<double>(bytes.size())) <= 0.01 * said + 8);
        bytes.resize(bytes.size() + 8, 0xa5);
        auto const lookup = codec::detail::decode_table(back);
        auto const read = [&](auto reader) {
          for (auto s : symbols)
            if (reader.next() != s) return false;
          return true;
        };
        int const bits = codec::detail::plain_bits(alphabet);
        if (m->how == coder::plain)
          CHECK(read(codec::detail::symbol_reader<coder::plain>(bytes.data(), lookup.data(), bits)));
        if (m->how == coder::huffman)
          CHECK(read(codec::detail::symbol_reader<coder::huffman>(bytes.data(), lookup.data(), bits)));
        if (m->how == coder::range)
          CHECK(read(codec::detail::symbol_reader<coder::range>(bytes.data(), lookup.data(), bits)));
      }
      auto const best = codec::detail::bits_of_model(codec::detail::best_model(counts, 1, true), counts);
      for (auto const* m : {&plain, &huffman}) CHECK(best <= codec::detail::bits_of_model(*m, counts));
    }
}

TEST_CASE("a Huffman code is limited and complete where counts grow like Fibonacci's numbers") {
  std::vector<std::uint64_t> counts{1, 1};
  while (counts.size() < 40) counts.push_back(counts[counts.size() - 1] + counts[counts.size() - 2]);
  auto const length = codec::detail::huffman_lengths(counts);
  std::uint32_t sum = 0;
  for (auto l : length) {
    REQUIRE(l >= 1);
    REQUIRE(l <= codec::detail::code_limit);
    sum += codec::detail::code_span >> l;
  }
  CHECK(sum == codec::detail::code_span);
}

/// Within the predicted norms; the product is the dense one's; files and slices come back.
template <class F>
void check_form(pleat::context<space>& c, extents const& shape, std::vector<float> const& values,
                codec::codebook_options const& o) {
  auto const w = with<F>(c, shape, values, o);
  auto const decoded = w.decode(c);
  auto const parts = F::to_file(c, shape, w.storage);
  auto const measured = codec::measure_error(values, decoded), predicted = F::bits::predict(shape, values, parts);
  CHECK(measured.max <= predicted.max);
  CHECK(measured.frobenius <= predicted.frobenius);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] == 0) CHECK(decoded[i] == 0);
  index_t const n = shape[0], k = shape.size_from(1);
  if (o.rows_per_group == 0)
    CHECK(std::set<float>(decoded.begin(), decoded.end()).size() <= static_cast<std::size_t>(o.entries) + 1);
  encoded<codec::dense<float>> const d(c, shape, decoded);
  for (index_t m : {1, 3, 20}) {
    auto const x = numbers(m * k, 3);
    std::vector<float> y(static_cast<std::size_t>(m * n)), z(y.size());
    F::apply(c, shape, w.storage, m, x.data(), y.data(), {});
    codec::dense<float>::apply(c, shape, d.storage, m, x.data(), z.data(), {});
    CHECK(y == z);
  }
  check_files_and_slices(c, w);
}

TEST_CASE("shared values, one code per element") {
  auto c = make_context();
  for (int entries : {2, 3, 16, 33, 256})
    for (double zeros : {0.0, 0.6}) {
      check_form<book>(c, {13, 77}, sparse_numbers(13 * 77, zeros, 2), {.entries = entries});
      check_form<book>(c, {13, 7, 11}, sparse_numbers(13 * 77, zeros, 2),
                       {.entries = entries, .start = codec::centroid_start::random, .rows_per_group = 4});
    }
  check_form<book>(c, {3, 40}, std::vector<float>(120, 0.0f), {});
  check_form<book>(c, {3, 40}, std::vector<float>(120, -1e30f), {.entries = 4});
  check_form<book>(c, {3, 40}, std::vector<float>(120, 1e-42f), {.entries = 4});
  auto const w = with<book>(c, {8, 32}, numbers(256, 1), {.entries = 16});
  CHECK(book::bytes({8, 32}, w.storage) == 128 + 64 + 20);  // codes, codebook, layout
}

/// What a device does with a chunk, run here.
void check_device_decoding(encoded<coded> const& w, std::vector<float> const& decoded) {
  auto const& view = w.storage.view;
  std::vector<float> out(decoded.size(), std::numeric_limits<float>::quiet_NaN());
  for (index_t chunk = 0; chunk < view.chunks; ++chunk) codec::detail::coded_decode_body{view, out.data()}(chunk);
  CHECK(std::memcmp(out.data(), decoded.data(), 4 * out.size()) == 0);
}

TEST_CASE("a device's decoder, element by element, gives the host's bits with every pair of coders") {
  using codec::detail::coder;
  auto c = make_context();
  extents const shape{60, 300};
  std::set<std::pair<coder, coder>> seen;
  for (double zeros : {0.0, 0.6, 0.97})
    for (bool lopsided : {false, true})
      for (int bits : {0, 3, 5, 8})
        for (bool entropy : {true, false})
          for (index_t each : {0, 7}) {
            auto values = sparse_numbers(shape.size(), zeros, 2);
            if (lopsided)  // nearly all survivors are one value: below a bit each, which only the range coder reaches
              for (std::size_t i = 0; i < values.size(); ++i)
                if (values[i] != 0 && i % 50 != 0) values[i] = 0.5f;
            auto const w = with<coded>(c, shape, values,
                                       {.entries = 32, .rows_per_group = each, .index_bits = bits, .entropy = entropy});
            seen.insert({w.storage.view.code_how, w.storage.view.gap_how});
            check_device_decoding(w, w.decode(c));
          }
  std::set<coder> codes, gaps;
  for (auto const& [code, gap] : seen) codes.insert(code), gaps.insert(gap);
  CHECK(codes.size() == 3);
  CHECK(gaps.size() == 3);
  CHECK(seen.size() >= 6);
}

TEST_CASE("survivors by relative index, entropy-coded") {
  auto c = make_context();
  for (int bits : {0, 2, 5, 8})
    for (double zeros : {0.0, 0.6, 0.92, 1.0})
      for (bool entropy : {true, false}) {
        check_form<coded>(c, {60, 300}, sparse_numbers(18000, zeros, 2),
                          {.entries = 32, .index_bits = bits, .entropy = entropy});
        check_form<coded>(c, {11, 3, 9}, sparse_numbers(297, zeros, 4),
                          {.entries = 4, .rows_per_group = 3, .index_bits = bits, .entropy = entropy});
      }
}

TEST_CASE(
    "entropy coding pays: Deep Compression's first layer at 8 % survivors takes less than its plain bits, and a 36th "
    "of float") {
  auto c = make_context();
  extents const shape{300, 784};
  auto values = sparse_numbers(shape.size(), 0.92, 5);
  for (float& v : values) v = v * v * v;  // more small ones than large ones, as trained weights have
  auto const plain = with<coded>(c, shape, values, {.entries = 64, .entropy = false}),
             small = with<coded>(c, shape, values, {.entries = 64});
  CHECK(coded::bytes(shape, small.storage) < coded::bytes(shape, plain.storage));
  CHECK(coded::bytes(shape, small.storage) * 36 < 4 * shape.size());
  CHECK(small.decode(c) == plain.decode(c));
  CHECK(small.storage.view.chunks > 1);  // there are restart points to decode from in parallel
}

TEST_CASE("given centroids are used as they are") {
  auto c = make_context();
  auto const w = with<coded>(c, {2, 4}, {0, 0.2f, -3, 0, 0, 0, 0.9f, 0.4f}, {.entries = 2, .centroids = {-1, 1}});
  CHECK(w.decode(c) == std::vector<float>{0, 1, -1, 0, 0, 0, 1, 1});
  encoded<coded> bad(extents{2, 4});
  std::vector<float> const v(8, 1.0f);
  auto const refused = [&](codec::codebook_options const& o, char const* words) {
    CHECK_THROWS_MATCHES(coded::encode_with(c, bad.shape, v.data(), o, bad.storage), pleat::error,
                         MessageMatches(ContainsSubstring(words)));
  };
  refused({.entries = 2, .centroids = {1, -1}}, "not finite and ascending");
  refused({.entries = 2, .centroids = {1}}, "1 centroids are given, expected 2");
  refused({.entries = 1}, "1 codebook entries, expected 2 to 256");
  refused({.entries = 257}, "257 codebook entries");
  refused({.index_bits = 9}, "index of 9 bits");
  // Files count rows by 32 bits: 2^32 of them would be 0, and 2^32 + 1 would be 1.
  for (index_t const rows : {index_t{1} << 32, (index_t{1} << 32) + 1, index_t{-1}}) {
    auto const words = "rows_per_group is " + std::to_string(rows) + ", expected 0 to 4294967295";
    refused({.rows_per_group = rows}, words.c_str());
    encoded<codec::codebook<float>> other(bad.shape);
    CHECK_THROWS_MATCHES(
        codec::codebook<float>::encode_with(c, other.shape, v.data(), {.rows_per_group = rows}, other.storage),
        pleat::error, MessageMatches(ContainsSubstring(words)));
  }
  auto nan = v;
  nan[6] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_MATCHES(coded::encode(c, bad.shape, nan.data(), bad.storage), pleat::error,
                       MessageMatches(ContainsSubstring("row 1, column 2 is nan")));
}

TEST_CASE("bytes of a stranger: whatever is changed, a reader refuses or gives numbers of the codebook") {
  auto c = make_context();
  extents const shape{20, 50};
  auto const values = sparse_numbers(1000, 0.7, 2);
  int refused = 0, taken = 0;
  auto const attack = [&]<class F>(encoded<F> const& w, std::vector<codec::file_tensor> const& good) {
    encoded<F> back(shape);
    std::uint64_t state = 77;
    for (int trial = 0; trial < 600; ++trial) {
      auto bad = good;
      state = codec::detail::mix64(state);
      auto& p = bad[state % bad.size()];
      if (p.bytes.empty()) continue;
      std::size_t const at = (state >> 8) % p.bytes.size();
      if (trial % 10 == 0) {
        p.bytes.resize(at);
        if (trial % 20 == 0) p.shape = {static_cast<index_t>(at / pleat::size_of(p.type))};
      } else {
        p.bytes[at] ^= static_cast<std::byte>(1u << (state >> 40 & 7));
      }
      try {
        F::from_file(c, shape, bad, back.storage);
        for (float v : back.decode(c)) REQUIRE(std::isfinite(v));
        ++taken;
      } catch (pleat::error const& e) {
        REQUIRE(!e.remedy().empty());
        ++refused;
      }
    }
    static_cast<void>(w);
  };
  for (int bits : {0, 5})
    for (bool entropy : {true, false}) {
      auto const w = with<coded>(c, shape, values, {.entries = 13, .index_bits = bits, .entropy = entropy});
      attack(w, coded::to_file(c, shape, w.storage));
    }
  auto const w = with<book>(c, shape, values, {.entries = 13});
  attack(w, book::to_file(c, shape, w.storage));
  CHECK(refused > 500);
  CHECK(taken > 100);  // a flipped code is another code

  auto bad = book::to_file(c, shape, w.storage);
  bad[2].bytes[30] = std::byte{0xff};  // codes 15, where there are 13
  encoded<book> back(shape);
  CHECK_THROWS_MATCHES(book::from_file(c, shape, bad, back.storage), pleat::error,
                       MessageMatches(ContainsSubstring("is 15, the last entry of the codebook is 12")));
  for (auto const& [at, value, said] :
       {std::tuple{std::size_t{0}, 300u, "300 codebook entries, expected 2 to 256"},
        {std::size_t{1}, 0u, "the layout says sets of 0 rows"},
        {std::size_t{3}, 1000000u, "a chunk of 1000000 rows in a weight of"},
        {std::size_t{4}, 9u, "indices of 9 bits; expected 1 row or more, fewer that lack, and 0 or 2 to 8 bits"}}) {
    bad = book::to_file(c, shape, w.storage);
    REQUIRE(bad[1].suffix == ".layout");
    std::memcpy(bad[1].bytes.data() + 4 * at, &value, 4);
    CHECK_THROWS_MATCHES(book::from_file(c, shape, bad, back.storage), pleat::error,
                         MessageMatches(ContainsSubstring(said)));
  }
}

}  // namespace
