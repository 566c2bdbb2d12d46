// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <typeinfo>

#include <pleat/codec/int8.hpp>
#include <pleat/codec/low_rank.hpp>
#include <pleat/codec/masked.hpp>
#include <pleat/nn/weight.hpp>

#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;

namespace {

/// As much as a weight needs of a form to be computed with: no file takes it.
struct unsaved {
  using value_type = float;
  static constexpr std::string_view name = "unsaved";
  static constexpr bool trainable = false;
  template <class Space> struct storage {};
  template <class Space> static void encode(context<Space>&, extents const&, float const*, storage<Space>&) {}
  template <class Space>
  static void decode(context<Space>& c, extents const& shape, storage<Space> const&, float* out) {
    compute::fill(c.space(), shape.size(), 1.0f, out);
  }
  template <class Space>
  static void apply(context<Space>&, extents const&, storage<Space> const&, index_t, float const*, float*,
                    compute::epilogue<float> const&) {}
  template <class Space>
  static void apply_transposed(context<Space>&, extents const&, storage<Space> const&, index_t, float const*, float*,
                               float const*) {}
  template <class Space> static index_t bytes(extents const&, storage<Space> const&) { return 0; }
};
using all =
    codec::forms<codec::dense<float>, codec::masked<float>, codec::int8<float>, codec::low_rank<float>, unsaved>;
using any = nn::any_weight<float, space>;

}  // namespace

TEST_CASE("a weight of forgotten forms says what they are and takes each by its place") {
  context<space> c{make_instance<space>(1)};
  nn::weight<all, space> own("w", {4, 6}, nn::initializer::constant(0));
  any& w = own;
  CHECK(w.form_names() == std::vector<std::string_view>{"dense", "masked", "int8", "low_rank", "unsaved"});
  CHECK((w.trainable() && w.prunable() && !w.masked() && !w.multiply_adds({})));
  w.use_form_at(2);
  CHECK((w.form_name() == "int8" && !w.trainable() && !w.in_arena && w.joins()));
  w.use_form_at(4);
  CHECK(w.bytes() == 0);
  CHECK(w.granularity() == codec::cut_unit{});
  std::vector<float> const was(24, 1.0f);
  CHECK(!w.predict(c, was));
  auto const out = tensor<float, space>::allocate(c, w.shape);
  w.decode(c, out.data());
  CHECK(same_bits(to_host(c, out), was));
  nn::weight<codec::forms<codec::dense<float>>, space> plain("b", {4}, nn::initializer::constant(0));
  CHECK(!static_cast<any&>(plain).prunable());
}

TEST_CASE("a weight of forgotten forms goes through a file's tensors and is the same") {
  context<space> c{make_instance<space>(1)};
  nn::weight<all, space> from("w", {4, 6}, nn::initializer::constant(0)), to = from;
  from.use_form<codec::int8<float>>();
  auto const x = random_tensor<float>(c, from.shape, 1);
  codec::int8<float>::encode(c, from.shape, x.data(), from.storage_of(codec::form_tag<codec::int8<float>>{}));
  any &a = from, &b = to;
  b.use_form_at(a.form);
  auto const tensors = a.to_file(c);
  auto const in_place = b.from_file(c, tensors);
  CHECK(b.bytes() != a.bytes());  // nothing is changed yet
  in_place();
  CHECK(b.bytes() == a.bytes());
  auto const y = tensor<float, space>::allocate(c, a.shape), z = tensor<float, space>::allocate(c, a.shape);
  a.decode(c, y.data());
  b.decode(c, z.data());
  CHECK(same_bits(to_host(c, y), to_host(c, z)));
  auto const said = a.predict(c, to_host(c, x));
  REQUIRE(said);
  CHECK(said->max > 0);
}

TEST_CASE("a weight of forgotten forms takes a mask") {
  context<space> c{make_instance<space>(1)};
  nn::weight<all, space> own("w", {2, 4}, nn::initializer::constant(0));
  any& w = own;
  CHECK(nn::host_mask(c, w) == std::vector<std::uint8_t>{0xff});
  w.give_mask(c, {0x5a});
  CHECK((w.form_name() == "masked" && w.masked() && w.trainable()));
  CHECK(nn::host_mask(c, w) == std::vector<std::uint8_t>{0x5a});
}

TEST_CASE("a form that no file takes says what it lacks") {
  context<space> c{make_instance<space>(1)};
  nn::weight<all, space> own("w", {4, 6}, nn::initializer::constant(0));
  any& w = own;
  w.use_form_at(4);
  CHECK_THROWS_WITH(w.to_file(c),
                    ContainsSubstring("no file takes a weight in the form 'unsaved'") && ContainsSubstring("to_file"));
  CHECK_THROWS_WITH(w.from_file(c, {}), ContainsSubstring("no file takes a weight in the form 'unsaved'") &&
                                            ContainsSubstring("from_file"));
  CHECK(!w.joins());
  CHECK_THROWS_WITH(w.join({}), ContainsSubstring("'join'"));
}

TEST_CASE("a weight of forgotten forms shows the storage of each, and what its factors may become") {
  context<space> c{make_instance<space>(1)};
  nn::weight<all, space> own("w", {4, 6}, nn::initializer::constant(0));
  any& w = own;
  CHECK((w.can_take<codec::int8<float>>() && !w.can_take<codec::dense<double>>()));
  CHECK((w.position_of(typeid(unsaved)) == 4 && w.position_of(typeid(int)) == -1));
  w.use_form<codec::int8<float>>();
  CHECK((w.uses<codec::int8<float>>() && !w.uses<codec::masked<float>>() && !w.in_arena));
  CHECK(&w.storage_of(codec::form_tag<codec::int8<float>>{}) == &own.storage_of(codec::form_tag<codec::int8<float>>{}));
  auto const x = random_tensor<float>(c, own.shape, 1);
  w.use_form<codec::masked<float>>();
  own.values = x.data();
  CHECK(w.storage_of(codec::form_tag<codec::masked<float>>{}).values == x.data());  // attached
  typename codec::int8<float>::storage<space> to;
  CHECK((!w.store_codes(c, 2, &to) && w.code_words().empty()));  // it trains none
  CHECK(!w.factors());
  w.use_form<codec::low_rank<float>>();
  auto const factors = w.factors();
  REQUIRE(factors);
  CHECK(!factors->storable());  // the set has no codec::factors
}
