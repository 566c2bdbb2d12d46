// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/form.hpp>

#include <pleat/codec/dense.hpp>
#include <pleat/codec/masked.hpp>
#include <pleat/nn/linear.hpp>

#include <catch2/catch_test_macros.hpp>

#include <codec/codec_support.hpp>

namespace {

using namespace codec_test;
namespace codec = pleat::codec;

/// The archetype: the least that is a form. A user's own codec: a weight is stored as the signs of its elements and one
/// magnitude, so a product is a difference of two sums. About forty lines; apply decodes into pooled memory, which is
/// the simplest thing that runs.
template <class T> struct sign_codec {
  using value_type = T;
  static constexpr std::string_view name = "sign";
  static constexpr bool trainable = false;

  template <class Space> struct storage {
    Kokkos::View<std::int8_t*, typename Space::memory_space> signs;
    T magnitude = 0;
  };

  template <class Space>
  static void encode(pleat::context<Space>&, extents const& shape, T const* values, storage<Space>& s) {
    s.signs = decltype(s.signs)("signs", static_cast<std::size_t>(shape.size()));
    T sum = 0;
    for (index_t i = 0; i < shape.size(); ++i) sum += std::abs(values[i]), s.signs[i] = values[i] < 0 ? -1 : 1;
    s.magnitude = shape.size() ? sum / static_cast<T>(shape.size()) : 0;
  }
  template <class Space>
  static void decode(pleat::context<Space>&, extents const& shape, storage<Space> const& s, T* out) {
    for (index_t i = 0; i < shape.size(); ++i) out[i] = s.magnitude * s.signs[i];
  }
  template <class Space>
  static void apply(pleat::context<Space>& c, extents const& shape, storage<Space> const& s, index_t m, T const* x,
                    T* y, pleat::compute::epilogue<T> const& after) {
    auto const w = pleat::tensor<T, Space>::allocate(c, shape);
    decode(c, shape, s, w.data());
    codec::dense<T>::apply(c, shape, {w.data()}, m, x, y, after);
  }
  template <class Space>
  static void apply_transposed(pleat::context<Space>& c, extents const& shape, storage<Space> const& s, index_t m,
                               T const* dy, T* dx, T const* mask) {
    auto const w = pleat::tensor<T, Space>::allocate(c, shape);
    decode(c, shape, s, w.data());
    codec::dense<T>::apply_transposed(c, shape, {w.data()}, m, dy, dx, mask);
  }
  template <class Space> static index_t bytes(extents const& shape, storage<Space> const&) {
    return shape.size() + static_cast<index_t>(sizeof(T));
  }
};

using three = codec::forms<codec::dense<float>, codec::masked<float>, sign_codec<float>>;

static_assert((codec::demand_form<codec::dense<float>, space>(), codec::demand_form<codec::masked<float>, space>(),
               codec::demand_form<sign_codec<float>, space>(), true));
static_assert(codec::forms<codec::dense<float>>::size == 1 && three::size == 3);
static_assert(three::contains<sign_codec<float>> && !codec::forms<codec::dense<float>>::contains<codec::masked<float>>);
static_assert(three::index_of<codec::masked<float>>() == 1);
static_assert(three::trainable && !codec::forms<sign_codec<float>>::trainable);
static_assert(
    std::is_same_v<codec::forms<codec::dense<float>>::with<codec::masked<float>>::with<sign_codec<float>>, three>);
static_assert(std::is_same_v<three::with<codec::masked<float>>, three>);

TEST_CASE("a form is found by its name; a stranger is not") {
  CHECK(three::index("dense") == 0);
  CHECK(three::index("sign") == 2);
  CHECK(three::index("codebook") == -1);
  CHECK(three::index("") == -1);
  CHECK(three::name(1) == "masked");
}

TEST_CASE("visit_form reaches exactly the chosen member") {
  for (int i = 0; i < three::size; ++i)
    CHECK(codec::visit_form<three>(i, [](auto tag) { return decltype(tag)::type::name; }) == three::name(i));
}

TEST_CASE("a user's own codec runs inside a layer: apply agrees with the decoded matrix, gradients flow through it") {
  auto c = make_context();
  using layer = pleat::nn::linear<codec::forms<sign_codec<float>>, space>;
  layer l("own", 6, 4);
  auto values = numbers(24, 11);
  auto bias = numbers(4, 12);
  l.for_each_parameter([&](auto& w) {
    if constexpr (std::remove_cvref_t<decltype(w)>::forms::template contains<sign_codec<float>>)
      sign_codec<float>::encode(c, w.shape, values.data(), w.storage_of(codec::form_tag<sign_codec<float>>{}));
    else w.values = bias.data();
  });
  CHECK_FALSE(l.weight().in_arena);
  CHECK(l.weight().bytes() == 24 + 4);

  std::vector<float> decoded(24);
  l.weight().decode(c, decoded.data());
  auto x = numbers(18, 13);
  pleat::nn::pass<space> p;
  p.where = &c;
  auto const y = l.forward(p, pleat::tensor<float, space>::wrap(x.data(), {3, 6})).y;
  auto const expected = product({4, 6}, decoded, 3, x);
  // One chain of 6 fused multiply-adds and one addition: at most 7 roundings of numbers below 6·1·1 + 1.
  for (std::size_t i = 0; i < 12; ++i) CHECK(std::abs(y.data()[i] - (expected[i] + bias[i % 4])) <= 7 * 7 * 0x1p-24);

  auto dy = numbers(12, 14);
  typename layer::saved s;
  s.x = pleat::tensor<float, space>::wrap(x.data(), {3, 6});
  s.in = {3, 6};
  auto const dx = l.backward_input(p, s, pleat::tensor<float, space>::wrap(dy.data(), {3, 4}));
  for (index_t i = 0; i < 3; ++i)
    for (index_t j = 0; j < 6; ++j) {
      double sum = 0;
      for (index_t o = 0; o < 4; ++o)
        sum +=
            static_cast<double>(dy[static_cast<std::size_t>(i * 4 + o)]) * decoded[static_cast<std::size_t>(o * 6 + j)];
      CHECK(std::abs(dx.data()[i * 6 + j] - sum) <= 4 * 4 * 0x1p-24);
    }
}

TEST_CASE("widening a set keeps the form in use and its content") {
  auto c = make_context();
  pleat::nn::linear<codec::forms<codec::dense<float>>, space> narrow("fc", 3, 2);
  std::vector<float> memory{1, 2, 3, 4, 5, 6};
  narrow.for_each_parameter([&](auto& w) { w.values = memory.data(); });
  pleat::nn::linear<three, space> const wide(narrow);
  CHECK(wide.weight().form_name() == "dense");
  std::vector<float> out(6);
  wide.weight().decode(c, out.data());
  CHECK(out == memory);
}

}  // namespace
