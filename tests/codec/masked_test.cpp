// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/masked.hpp>

#include <pleat/nn/arena.hpp>
#include <pleat/nn/linear.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <codec/codec_support.hpp>

#include <bit>
#include <limits>

namespace {

using namespace codec_test;
using masked = pleat::codec::masked<float>;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

std::vector<std::uint32_t> bits_of(std::vector<float> const& v) {
  std::vector<std::uint32_t> b;
  for (float x : v) b.push_back(std::bit_cast<std::uint32_t>(x));
  return b;
}

TEST_CASE("masked keeps exactly what is not zero, and the file image is bit-exact") {
  auto c = make_context();
  auto const shape =
      GENERATE(extents{1, 1}, extents{3, 5}, extents{16, 16}, extents{4, 3, 3, 3}, extents{7, 129}, extents{0, 4});
  auto const zeros = GENERATE(0.0, 0.5, 0.97, 1.0);
  auto values = sparse_numbers(shape.size(), zeros, 1);
  encoded<masked> const w(c, shape, values);
  CHECK(w.decode(c) == values);
  CHECK(w.storage.alive == std::count_if(values.begin(), values.end(), [](float x) { return x != 0; }));
  CHECK(w.arena.back() == 7.0f);  // nothing past the end

  auto const dense = numbers(shape.size(), 8);  // what if these had been pruned with that mask
  pleat::codec::error_norms gone;
  for (std::size_t i = 0; i < dense.size(); ++i)
    if (values[i] == 0) gone.add(std::abs(static_cast<double>(dense[i])));
  auto const promised = masked::predict(c, shape, std::span<float const>(dense), w.storage);
  CHECK((promised.max == gone.max && promised.frobenius == gone.frobenius));

  auto const parts = masked::to_file(c, shape, w.storage);
  CHECK(bytes_of_parts(parts) == masked::bytes(shape, w.storage));
  CHECK(masked::bytes(shape, w.storage) == (shape.size() + 7) / 8 + 4 * w.storage.alive);

  encoded<masked> back(shape);
  masked::from_file(c, shape, parts, back.storage);
  CHECK(bits_of(back.decode(c)) == bits_of(values));
  CHECK(masked::mask(c, shape, back.storage) == masked::mask(c, shape, w.storage));
  auto const again = masked::to_file(c, shape, back.storage);
  REQUIRE(again.size() == parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) CHECK(again[i].bytes == parts[i].bytes);
}

TEST_CASE(
    "masked keeps odd survivors as they are: NaN, infinity, subnormal; a negative zero is dead and becomes zero") {
  auto c = make_context();
  float const inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> const values{nan, -0.0f, inf, std::numeric_limits<float>::denorm_min(), 0.0f, -inf};
  encoded<masked> const w(c, {2, 3}, values);
  CHECK(w.storage.alive == 4);
  CHECK(bits_of({w.arena.begin(), w.arena.begin() + 6}) ==
        bits_of({nan, 0.0f, inf, std::numeric_limits<float>::denorm_min(), 0.0f, -inf}));
}

TEST_CASE("a given mask may keep zeros and clears all it does not keep") {
  auto c = make_context();
  extents const shape{2, 5};
  std::vector<float> const values{1, 2, 0, 4, 5, 6, 7, 8, 9, 10};
  encoded<masked> w(shape);
  std::vector<std::uint8_t> const bits{0b10000101, 0b10};
  masked::encode_with_mask(c, shape, values.data(), bits, w.storage);
  CHECK(w.decode(c) == std::vector<float>{1, 0, 0, 0, 0, 0, 0, 8, 0, 10});
  CHECK(w.storage.alive == 4);
  CHECK(masked::mask(c, shape, w.storage) == bits);

  // In the arena itself too: encode from where the values are.
  masked::encode_with_mask(c, shape, w.storage.values, std::vector<std::uint8_t>{0b1, 0}, w.storage);
  CHECK(w.decode(c) == std::vector<float>{1, 0, 0, 0, 0, 0, 0, 0, 0, 0});

  CHECK_THROWS_MATCHES(masked::encode_with_mask(c, shape, values.data(), std::vector<std::uint8_t>{1, 2, 3}, w.storage),
                       pleat::error, MessageMatches(ContainsSubstring("takes 2 bytes, found 3")));
  CHECK_THROWS_MATCHES(
      masked::encode_with_mask(c, shape, values.data(), std::vector<std::uint8_t>{1, 0b100}, w.storage), pleat::error,
      MessageMatches(ContainsSubstring("past its last element")));
}

TEST_CASE("copies share the bits; another mask does not reach into a copy") {
  auto c = make_context();
  extents const shape{2, 2};
  encoded<masked> w(c, shape, {1, 0, 3, 4});
  auto copy = w.storage;
  CHECK(copy.mask_bits() == w.storage.mask_bits());
  masked::encode(c, shape, std::vector<float>{1, 0, 0, 0}.data(), w.storage);
  CHECK(copy.alive == 3);
  CHECK(masked::mask(c, shape, copy) == std::vector<std::uint8_t>{0b1101});
}

TEST_CASE("masked multiplies as the dense values do, bit for bit") {
  auto c = make_context();
  extents const shape{9, 21};
  index_t const m = 5;
  auto const values = sparse_numbers(shape.size(), 0.8, 3), x = numbers(m * 21, 4), dy = numbers(m * 9, 5),
             bias = numbers(9, 6);
  encoded<masked> const w(c, shape, values);
  encoded<pleat::codec::dense<float>> const d(c, shape, values);
  std::vector<float> y(45), y_dense(45), dx(105), dx_dense(105);
  pleat::compute::epilogue<float> const after{.bias = bias.data(), .act = pleat::compute::activation::relu};
  masked::apply(c, shape, w.storage, m, x.data(), y.data(), after);
  pleat::codec::dense<float>::apply(c, shape, d.storage, m, x.data(), y_dense.data(), after);
  CHECK(y == y_dense);
  masked::apply_transposed(c, shape, w.storage, m, dy.data(), dx.data(), x.data());
  pleat::codec::dense<float>::apply_transposed(c, shape, d.storage, m, dy.data(), dx_dense.data(), x.data());
  CHECK(dx == dx_dense);
}

TEST_CASE("the arena learns the mask of a pruned weight, and forgets it with the next form") {
  auto c = make_context();
  pleat::nn::linear<pleat::codec::forms<pleat::codec::dense<float>, masked>, space> l("fc", 5, 3);
  pleat::nn::arena<float, space> arena(c, l, 1);
  CHECK(arena.entries()[0].mask_bits == nullptr);
  auto const values = sparse_numbers(15, 0.5, 20);
  auto const weight_of = [](auto& layer) -> decltype(auto) {
    return const_cast<std::remove_cvref_t<decltype(layer.weight())>&>(layer.weight());
  };
  auto& w = weight_of(l);
  w.use_form<masked>();
  masked::encode(c, w.shape, values.data(), w.storage_of(pleat::codec::form_tag<masked>{}));
  arena.attach(l);
  REQUIRE(arena.entries()[0].mask_bits == w.mask_bits());
  REQUIRE(w.mask_bits() != nullptr);
  for (index_t i = 0; i < 15; ++i)
    CHECK(((w.mask_bits()[i / 8] >> (i % 8)) & 1) == (values[static_cast<std::size_t>(i)] != 0 ? 1 : 0));
  CHECK(arena.entries()[1].mask_bits == nullptr);

  auto copy = l;  // a copy shares the bits and finds the same memory
  arena.attach(copy);
  CHECK(arena.entries()[0].mask_bits == w.mask_bits());
  w.use_form<pleat::codec::dense<float>>();
  arena.attach(l);
  CHECK(arena.entries()[0].mask_bits == nullptr);
}

TEST_CASE("a file's claims are checked before they are believed") {
  auto c = make_context();
  extents const shape{3, 5};
  encoded<masked> const w(c, shape, sparse_numbers(15, 0.5, 9));
  auto const good = masked::to_file(c, shape, w.storage);
  encoded<masked> back(shape);
  auto const refused = [&](auto const& parts, char const* words) {
    CHECK_THROWS_MATCHES(masked::from_file(c, shape, parts, back.storage), pleat::error,
                         MessageMatches(ContainsSubstring(words)));
  };
  std::vector<pleat::codec::file_tensor> bad;
  refused(bad, "'.mask'");
  bad = {good[0]};
  refused(bad, "'.values'");
  bad = good, bad[0].type = pleat::dtype::i8;
  refused(bad, "found [2] I8");
  bad = good, bad[1].type = pleat::dtype::f64;
  refused(bad, "F64");
  bad = good, bad[0].bytes[1] |= std::byte{0x80};
  refused(bad, "past its last element");
  bad = good, bad[0].bytes[0] ^= std::byte{1};
  refused(bad, "values are stored");
  bad = good, bad[1].bytes.pop_back();
  refused(bad, "bytes");
  bad = good, bad[1].shape = {1'000'000'000'000};
  refused(bad, "found [1000000000000]");
  bad = good, bad[1].shape = {good[1].shape[0], 1};
  refused(bad, "'.values'");
  bad = good, bad.push_back({".extra", pleat::dtype::u8, {0}, {}});
  refused(bad, "'.extra'");
  bad = good, bad.push_back(good[0]);
  refused(bad, "twice");
}

}  // namespace
