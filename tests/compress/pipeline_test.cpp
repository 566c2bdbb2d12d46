// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/pipeline.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/compress/fine_tune.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>

#include <catch2/catch_test_macros.hpp>

#include <compress/compress_support.hpp>

namespace own {

/// A user's transform, fusable: multiplies every bias.
struct scale_biases {
  using fusable_transform = void;
  float factor = 2;
  template <class Net> void run(pleat::parallel::model<Net>& m) const {
    using Space = typename pleat::parallel::model<Net>::execution_space;
    m.net().for_each_parameter([&](auto& w) {
      if (w.shape.rank() != 1) return;
      auto const t = pleat::tensor<float, Space>::wrap(w.data(), w.shape);
      std::vector<float> v(static_cast<std::size_t>(w.size()));
      pleat::copy_to_host(m.context(), t, v.data());
      for (auto& x : v) x *= factor;
      pleat::copy_from_host(m.context(), v.data(), t);
    });
  }
};

/// A user's transform that is just a function.
struct copy_of {
  template <class Net> pleat::parallel::model<Net> operator()(pleat::parallel::model<Net> const& m) const {
    return m.clone();
  }
};

}  // namespace own

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
using int8 = pleat::codec::int8<float>;

TEST_CASE("a pipeline widens the type once; a transform that adds no form does not change it") {
  auto w = alone();
  auto const model = build(w);
  auto const train = data(32);
  auto const pruned = model | compress::prune{};
  auto const tuned = pruned | compress::fine_tune(train, quiet(1)) | own::scale_biases{};
  static_assert(std::is_same_v<decltype(pruned), decltype(tuned)>);
  using forms = std::remove_cvref_t<decltype(pruned.net().layer<0>().weight())>::forms;
  static_assert(std::is_same_v<forms, pleat::codec::forms<pleat::codec::dense<float>, pleat::codec::masked<float>>>);
  auto const both = model | (compress::prune{} | compress::quantize<int8>{});
  using all = std::remove_cvref_t<decltype(both.net().layer<0>().weight())>::forms;
  static_assert(
      std::is_same_v<all, pleat::codec::forms<pleat::codec::dense<float>, pleat::codec::masked<float>, int8>>);
  SUCCEED();
}

TEST_CASE("transforms of the user's own work alone and inside of a pipeline") {
  auto w = alone();
  auto const model = build(w);
  auto const bias = values_of(model)[1].values;
  auto const a = model | own::scale_biases{3};
  auto const b = model | (own::scale_biases{3} | compress::prune{} | own::scale_biases{0.5f});
  auto const c = model | own::copy_of{};
  for (std::size_t i = 0; i < bias.size(); ++i) {
    CHECK(values_of(a)[1].values[i] == 3 * bias[i]);
    CHECK(values_of(b)[1].values[i] == 3 * bias[i] * 0.5f);
  }
  CHECK((pleat::run::file_image(c) == pleat::run::file_image(model)));
  CHECK(values_of(model)[1].values == bias);
}

TEST_CASE("pipelines join in any grouping") {
  auto w = alone();
  auto const model = build(w);
  own::scale_biases const two{2}, three{3};
  compress::prune const half{.sparsity = 0.5};
  auto const left = model | ((two | half) | three), right = model | (two | (half | three));
  static_assert(std::is_same_v<decltype(left), decltype(right)>);
  CHECK((pleat::run::file_image(left) == pleat::run::file_image(right)));
  CHECK((pleat::run::file_image(model | two | half | three) == pleat::run::file_image(left)));
}

TEST_CASE("a model that is given away is changed in place where its type allows it") {
  auto w = alone();
  auto model = build(w);
  auto const expected = pleat::run::file_image(model | own::scale_biases{2});
  auto const* const memory = model.arena().values();
  auto const changed = std::move(model) | own::scale_biases{2};
  CHECK(changed.arena().values() == memory);
  CHECK((pleat::run::file_image(changed) == expected));

  auto other = build(w);
  auto const small = std::move(other) | compress::prune{.sparsity = 0.5};
  CHECK(weight_zeros(small) == weights / 2);
}

TEST_CASE("a recorder sees the model after every step") {
  auto w = alone();
  auto const model = build(w);
  std::vector<std::string> names;
  std::vector<index_t> zero;
  auto const small =
      model | (compress::prune{.sparsity = 0.5} | compress::prune{.sparsity = 0.75} | compress::quantize<int8>{})
                  .recorded([&](auto const& step, auto const& m) {
                    names.emplace_back(step.name());
                    zero.push_back(weight_zeros(m));
                  });
  CHECK(names == std::vector<std::string>{"prune 0.5", "prune 0.75", "quantize int8"});
  REQUIRE(zero.size() == 3);
  CHECK((zero[0] == weights / 2 && zero[1] == weights * 3 / 4 && zero[2] >= zero[1]));
  CHECK(weight_zeros(small) == zero[2]);
}

}  // namespace
