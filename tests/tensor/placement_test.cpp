// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/tensor/placement.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>

using Catch::Matchers::ContainsSubstring;
using namespace pleat;

namespace {
template <class F> std::string words(F const& f) {
  try {
    f();
  } catch (error const& e) {
    return e.what();
  }
  return "no error";
}
}  // namespace

TEST_CASE("a word is the same as a type and as a value") {
  STATIC_CHECK(axis_placement(shard<2>{}) == axis_placement(shard{2}));
  STATIC_CHECK(axis_placement(shard<1, 64>{}) == axis_placement(shard{1, 64}));
  STATIC_CHECK(axis_placement(partial{}) == axis_placement(partial<partial_op::sum>{}));
  STATIC_CHECK(placed<replicate, shard<0>>::value == placement{replicate{}, shard{0}});
  STATIC_CHECK(placement{} == placement{replicate{}, replicate{}});
  STATIC_CHECK(placement{shard<0>{}} != placement{shard<1>{}});
  STATIC_CHECK(placement{shard<0>{}} != placement{shard<0, 2>{}});
  STATIC_CHECK(placement{shard<0>{}, shard<1>{}, shard<0>{}}.sharding(0) == axis_set{5});
  STATIC_CHECK_FALSE(placement{replicate{}, partial{}}.complete());
}

TEST_CASE("placements by name") {
  mesh const m{{"data", 2}, {"tensor", 4}};
  CHECK(placement::on(m, {{"tensor", shard<0>{}}}) == placement{replicate{}, shard<0>{}});
  CHECK(placement::on(m, {{"tensor", shard<0>{}}, {"data", partial{}}}).to_string(m) ==
        "data: partial<sum>, tensor: shard<0>");
  CHECK_THAT(words([&] {
               static_cast<void>(placement::on(m, {{"tenosr", shard<0>{}}}));
             }),
             ContainsSubstring("there is no axis 'tenosr'. The axes are data, tensor"));
  CHECK_THAT(words([&] {
               static_cast<void>(placement::on(m, {{"data", shard<0>{}}, {"data", replicate{}}}));
             }),
             ContainsSubstring("axis 'data' is placed twice"));
}

TEST_CASE("a placement is its text") {
  for (auto const* text :
       {"replicate", "shard<0>", "replicate, shard<1, 64>, partial<sum>", "partial<sum>, shard<5>"}) {
    auto const p = placement::parse(text);
    CHECK(p.to_string() == text);
    CHECK(placement::parse(p.to_string(mesh::max_axes)) == p);
  }
  CHECK(placement::parse("shard<1,64>,replicate") == placement{shard<1, 64>{}});
  CHECK(placement::parse("") == placement{});
  CHECK(placement{shard<0>{}}.hash() != placement{shard<1>{}}.hash());
  for (auto const* text : {"shrd<0>", "shard", "shard<>", "shard<6>", "shard<-1>", "shard<0", "shard<0,>", "shard<0,0>",
                           "shard<0>x", "partial", "replicate shard<0>", "shard<0 1>"})
    CHECK_THAT(words([&] { static_cast<void>(placement::parse(text)); }),
               ContainsSubstring("is no placement. The words are replicate, shard<0>"));
  CHECK_THAT(words([] { static_cast<void>(placement::parse("replicate,")); }),
             ContainsSubstring("a word is missing at the end"));
  CHECK_THAT(
      words([] {
        static_cast<void>(placement::parse("replicate,replicate,replicate,replicate,replicate,replicate,replicate"));
      }),
      ContainsSubstring("more than 6 words"));
  CHECK_THAT(words([] { static_cast<void>(shard{6}); }),
             ContainsSubstring("dimension 6. Dimensions are counted from 0 to 5"));
  CHECK_THAT(words([] { static_cast<void>(shard{0, 0}); }), ContainsSubstring("a unit of 0 elements"));
}
