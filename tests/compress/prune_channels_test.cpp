// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/prune_channels.hpp>

#include <pleat/compress/criteria.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>
#include <compress/mesh_support.hpp>

#include <cmath>
#include <cstring>
#include <map>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
namespace nn = pleat::nn;
namespace par = pleat::parallel;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using compress::detail::channel_group;

pleat::plan::plan small_plan(pleat::world& w) {
  pleat::plan::plan p;
  p.global_batch = 16;
  p.data_ranks = w.size();
  p.deterministic = true;
  return p;
}

/// Convolutions with a norm, a residual whose shortcut is a convolution, a branch, pooling, flattening, two linear
/// layers: [1, 4, 5] → 4.
auto images() {
  return nn::sequential(nn::conv2d("c1", 1, 8, 3, {.padding = 1}), nn::batch_norm("n1", 8), nn::relu(),
                        nn::residual(nn::sequential(nn::conv2d("r1", 8, 6, 3, {.padding = 1}), nn::relu(),
                                                    nn::conv2d("r2", 6, 8, 3, {.padding = 1})),
                                     nn::conv2d("rs", 8, 8, 1)),
                        nn::relu(), nn::branch(nn::conv2d("b1", 8, 5, 1), nn::conv2d("b2", 8, 3, 3, {.padding = 1})),
                        nn::relu(), nn::max_pool2d(2), nn::flatten(), nn::linear("f1", 8 * 2 * 2, 16), nn::relu(),
                        nn::linear("f2", 16, 4));
}
/// Two blocks of a transformer of width 16 with 4 heads, 2 of keys and values, over 11 tokens; the output is tied to
/// the embedding.
auto language(index_t blocks = 2) {
  auto const block =
      nn::sequential(nn::residual(nn::sequential(
                         nn::layer_norm("n1", 16), nn::linear("qkv", 16, nn::attention_width(4, 4, 2)),
                         nn::attention("attend", 4, 4, {.key_value_heads = 2}), nn::linear("project", 16, 16))),
                     nn::residual(nn::sequential(nn::layer_norm("n2", 16), nn::linear("fc1", 16, 24), nn::gelu(),
                                                 nn::linear("fc2", 24, 16))));
  return nn::sequential(nn::embedding("tokens", 11, 16, {.positions = 8}), nn::repeat("block", blocks, block),
                        nn::layer_norm("norm", 16),
                        nn::linear("output", 16, 11, {.bias = false, .tied_to = "tokens.weight"}));
}

channel_group const* group_of(std::vector<channel_group> const& groups, std::string const& parameter, int dim) {
  for (auto const& g : groups)
    for (auto const& m : g.members)
      if (m.parameter == parameter && m.dim == dim) return &g;
  return nullptr;
}
bool has(channel_group const& g, std::string const& parameter, int dim, index_t begin, index_t length) {
  for (auto const& m : g.members)
    if (m.parameter == parameter && m.dim == dim && m.begin == begin && m.length == length) return true;
  return false;
}

TEST_CASE("the graph follows norms, residuals, branches, pooling and flattening") {
  auto const groups = compress::detail::channel_groups(images(), {1, 1, 4, 5});
  auto const* c1 = group_of(groups, "c1.weight", 0);
  REQUIRE(c1);
  CHECK(c1->units == 8);
  CHECK(!c1->fixed);
  for (char const* name : {"c1.bias", "n1.weight", "n1.bias", "n1.running_mean", "n1.running_var"})
    CHECK(has(*c1, name, 0, 0, 8));
  CHECK(has(*c1, "r1.weight", 1, 0, 8));
  CHECK(has(*c1, "rs.weight", 1, 0, 8));
  auto const* sum = group_of(groups, "rs.weight", 0);  // what is added lives together
  REQUIRE(sum);
  CHECK(has(*sum, "r2.weight", 0, 0, 8));
  CHECK(has(*sum, "b1.weight", 1, 0, 8));
  CHECK(has(*sum, "b2.weight", 1, 0, 8));
  auto const *b1 = group_of(groups, "b1.weight", 0), *b2 = group_of(groups, "b2.weight", 0);
  REQUIRE((b1 && b2 && b1 != b2));
  CHECK(b1->units == 5);
  CHECK(has(*b1, "f1.weight", 1, 0, 5 * 4));  // a channel is 2·2 places
  CHECK(has(*b2, "f1.weight", 1, 5 * 4, 3 * 4));
  CHECK(group_of(groups, "f2.weight", 0)->fixed);  // the scores
  CHECK(group_of(groups, "c1.weight", 1)->fixed);  // the images
}

TEST_CASE("the graph follows attention by groups of heads, and ties") {
  auto const groups = compress::detail::channel_groups(language(), {1, 8});
  auto const* heads = group_of(groups, "block.1.qkv.weight", 0);
  REQUIRE(heads);
  CHECK(heads->units == 2);
  CHECK(has(*heads, "block.1.qkv.bias", 0, 0, 32));
  CHECK(has(*heads, "block.1.project.weight", 1, 0, 16));
  auto const* hidden = group_of(groups, "block.0.fc1.weight", 0);
  REQUIRE(hidden);
  CHECK(hidden->units == 24);
  CHECK(has(*hidden, "block.0.fc2.weight", 1, 0, 24));
  auto const* width = group_of(groups, "tokens.weight", 1);
  REQUIRE(width);
  CHECK(!width->fixed);
  for (char const* name : {"block.0.project.weight", "block.1.fc2.weight", "norm.bias", "block.0.n1.weight"})
    CHECK(has(*width, name, 0, 0, 16));
  for (char const* name : {"block.0.qkv.weight", "output.weight", "tokens.positions"})
    CHECK(has(*width, name, 1, 0, 16));
  CHECK(group_of(groups, "tokens.weight", 0)->fixed);
}

/// A layer that says nothing about its channels.
struct doubling {
  struct saved {};
  using tensor_type = pleat::tensor<float, Kokkos::DefaultExecutionSpace>;
  extents shape(extents const& in) const { return in; }
  nn::step<saved, tensor_type> forward(nn::pass<Kokkos::DefaultExecutionSpace> const&, tensor_type x) const {
    return {x, {}};
  }
  tensor_type backward(nn::pass<Kokkos::DefaultExecutionSpace> const&, saved&, tensor_type dy) { return dy; }
  template <class F> void for_each_parameter(F&&) {}
};
struct open_doubling : doubling {
  static constexpr bool keeps_channels = true;
};

TEST_CASE("what a layer that is not known sees or makes stays; one that keeps channels says so") {
  auto const closed = compress::detail::channel_groups(
      nn::sequential(nn::linear("a", 4, 6), doubling{}, nn::linear("b", 6, 8), nn::linear("c", 8, 2)), {1, 4});
  CHECK(group_of(closed, "a.weight", 0)->fixed);
  CHECK(group_of(closed, "b.weight", 1)->fixed);
  CHECK(!group_of(closed, "b.weight", 0)->fixed);
  auto const open = compress::detail::channel_groups(
      nn::sequential(nn::linear("a", 4, 6), open_doubling{}, nn::linear("b", 6, 2)), {1, 4});
  CHECK(!group_of(open, "a.weight", 0)->fixed);
  CHECK(group_of(open, "a.weight", 0) == group_of(open, "b.weight", 1));
}

template <class Net> std::vector<float> answers(par::model<Net> const& m, extents const& shape, int vocabulary = 0) {
  using Space = typename par::model<Net>::execution_space;
  std::vector<float> x(static_cast<std::size_t>(shape.size()));
  pleat::random::stream const s(9, 2);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = vocabulary ? static_cast<float>(s.below(i, static_cast<std::uint64_t>(vocabulary))) : s.uniform(i) * 2 - 1;
  auto const in = pleat::tensor<float, Space>::allocate(m.context(), shape);
  pleat::copy_from_host(m.context(), x.data(), in);
  auto const y = m.predict(in);
  std::vector<float> out(static_cast<std::size_t>(y.size()));
  pleat::copy_to_host(m.context(), y, out.data());
  return out;
}

/// Sets units [0, n) of the group of (parameter, dim) to zero in everything that belongs to them; statistics of a norm
/// stay.
template <class Net>
void silence(par::model<Net>& m, extents const& in, std::string const& parameter, int dim, index_t n) {
  auto const groups = compress::detail::channel_groups(m.net(), in);
  auto const* g = group_of(groups, parameter, dim);
  REQUIRE(g);
  for (auto const& p : values_of(m)) {
    auto v = p.values;
    bool touched = false;
    for (auto const& x : g->members) {
      if (x.parameter != p.name || p.name.find("running") != std::string::npos) continue;
      index_t const each = x.length / g->units, inner = p.shape.size_from(x.dim + 1),
                    outer = p.shape.size() / (inner * p.shape[x.dim]);
      for (index_t o = 0; o < outer; ++o)
        for (index_t i = (o * p.shape[x.dim] + x.begin) * inner; i < (o * p.shape[x.dim] + x.begin + n * each) * inner;
             ++i)
          v[static_cast<std::size_t>(i)] = 0, touched = true;
    }
    if (touched) set_values(m, p.name, v);
  }
}

TEST_CASE("removing what is silent changes no bit of the answers, and the network is smaller and dense") {
  auto w = alone();
  auto model = par::build(images(), small_plan(w), w, {.seed = 5});
  silence(model, {1, 1, 4, 5}, "c1.weight", 0, 4);
  silence(model, {1, 1, 4, 5}, "r1.weight", 0, 3);
  silence(model, {1, 1, 4, 5}, "rs.weight", 0, 4);
  silence(model, {1, 1, 4, 5}, "b1.weight", 0, 2);
  silence(model, {1, 1, 4, 5}, "f1.weight", 0, 8);
  compress::channel_report report;
  auto const small =
      model | compress::prune_channels{
                  .multiply_adds = 0.33, .input = {1, 4, 5}, .on_report = [&](auto const& r) { report = r; }};
  static_assert(std::is_same_v<std::remove_const_t<decltype(small)>, decltype(model)>);
  CHECK(report.multiply_adds_after <= 0.33 * report.multiply_adds_before);
  CHECK(report.parameters_after < report.parameters_before);
  std::map<std::string, extents> shape;
  for (auto const& p : values_of(small)) {
    shape[p.name] = p.shape;
    CHECK(p.form == "dense");
  }
  // All that goes was silent: 4 of 8, 3 of 6, 4 of 8, 2 of 5 and 8 of 16 are; 0.33 is reached with nearly all of them.
  CHECK(shape["c1.weight"][0] >= 4);
  CHECK(shape["r1.weight"] == extents{shape["r2.weight"][1], shape["c1.weight"][0], 3, 3});
  CHECK(shape["n1.running_var"][0] == shape["c1.weight"][0]);
  CHECK(shape["f1.weight"][1] == 4 * (shape["b1.weight"][0] + shape["b2.weight"][0]));
  auto const a = answers(model, {3, 1, 4, 5}), b = answers(small, {3, 1, 4, 5});
  CHECK(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
  // What the description of the smaller network says is what was promised.
  double counted = 0;
  for (auto const& l : nn::describe(small.net(), {1, 1, 4, 5}).layers)
    if (l.kind == "linear" || l.kind == "conv2d") counted += l.forward_flops / 2;
  CHECK(counted == report.multiply_adds_after);
}

TEST_CASE("heads and neurons of a transformer go, tied weights along; it answers and learns") {
  auto w = alone();
  auto model = par::build(language(), small_plan(w), w, {.seed = 5});
  silence(model, {1, 8}, "block.0.qkv.weight", 0, 1);
  silence(model, {1, 8}, "block.0.fc1.weight", 0, 12);
  silence(model, {1, 8}, "block.1.fc1.weight", 0, 12);
  auto const a = answers(model, {2, 8}, 11);
  compress::channel_report report;
  // The width is left alone: a norm over fewer features is another norm.
  auto const small =
      model |
      compress::prune_channels{
          .multiply_adds = 0.7, .input = {8}, .ignore = {"tokens.*"}, .on_report = [&](auto const& r) { report = r; }};
  auto const b = answers(small, {2, 8}, 11);
  CHECK(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
  std::map<std::string, extents> shape;
  for (auto const& p : values_of(small)) shape[p.name] = p.shape;
  CHECK(shape["block.0.qkv.weight"] == extents{16, 16});
  CHECK(shape["block.0.project.weight"] == extents{16, 8});
  CHECK(shape["block.1.qkv.weight"] == extents{32, 16});
  // With the width: the embedding and what is tied to it shrink together.
  auto const narrow = model | compress::prune_channels{
                                  .multiply_adds = 0.4, .input = {8}, .scope = compress::scope::layer, .round_to = 2};
  nn::for_each_parameter(narrow.net(), [&](auto const& p) {
    if (p.name == "output.weight") CHECK(p.shape == narrow.net().template layer<0>().weight().shape);
  });
  for (float const y : answers(narrow, {2, 8}, 11)) REQUIRE(std::isfinite(y));
}

TEST_CASE("a smaller network trains, is pruned further and quantized; every rank has the same bytes") {
  std::vector<std::byte> one;
  for (int const ranks : {1, 2, 3}) {
    std::vector<std::vector<std::byte>> images_of(static_cast<std::size_t>(ranks));
    pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      auto const train = data(40);
      auto const small =
          par::build(images(), small_plan(w), w, {.seed = 5}) |
          (compress::prune_channels_by<compress::taylor>{
               .multiply_adds = 0.6, .input = {1, 4, 5}, .criterion = {.data = &train, .subset_size = 32}} |
           compress::fine_tune(train, quiet(1)) | compress::prune{.sparsity = 0.5});
      images_of[rank] = pleat::run::file_image(small);
    });
    if (ranks == 1) one = images_of[0];
    for (auto const& image : images_of) CHECK((image == one));
  }
}

TEST_CASE("networks in stages and weights that are cut lose the same units: the bytes of one rank") {
  auto const same = [](auto const& net, std::vector<par::placement_rule> const& rules, std::vector<mesh> const& meshes,
                       auto const& t) {
    auto const file = [&](mesh const& l) {
      return file_over(l, [&](pleat::world& w) {
        return par::build(par::tensor_parallel(net, rules), plan_of(l), w, {.seed = 5}) | t;
      });
    };
    auto const one = file({});
    REQUIRE(one.size() > 500);
    CHECK(one.size() <
          file_over({}, [&](pleat::world& w) { return par::build(net, plan_of({}), w, {.seed = 5}); }).size());
    for (mesh const& l : meshes) {
      CAPTURE(l.data, l.tensor, l.stages);
      CHECK((file(l) == one));
    }
  };
  std::vector<mesh> const all{{1, 1, 2}, {2, 1, 2}, {1, 1, 3}, {1, 2}, {1, 3}, {1, 4}, {2, 2}, {1, 2, 2}};
  auto const rules = std::vector<par::placement_rule>{par::column("fc1.*"), par::row("fc2.*")};
  for (auto const scope : {compress::scope::global, compress::scope::layer}) {
    same(network(), rules, all, compress::prune_channels{.multiply_adds = 0.5, .input = {20}, .scope = scope});
    // Convolutions, norms, a branch, a residual: by outputs and by inputs.
    same(images(), {par::column("c1.*"), par::row("r2.*"), par::column("b1.*"), par::row("f1.*")},
         {{1, 1, 2}, {1, 2}, {1, 3}, {1, 2, 2}},
         compress::prune_channels{.multiply_adds = 0.5, .input = {1, 4, 5}, .scope = scope});
    // Queries, keys and values by groups of heads, what is tied by its vocabulary: there are two groups, so one of
    // three ranks has none.
    same(par::megatron(language()), {}, {{1, 2}, {1, 3}, {1, 2, 2}},
         compress::prune_channels{.multiply_adds = 0.5, .input = {8}, .scope = scope, .round_to = 2});
    // What is tied lives on the first stage and on the last.
    same(language(), {}, {{1, 1, 2}, {1, 1, 3}},
         compress::prune_channels{.multiply_adds = 0.5, .input = {8}, .scope = scope, .round_to = 2});
  }
  // Samples are looked at where the weights are.
  auto const train = data(32);
  same(network(), rules, {{1, 1, 2}, {1, 1, 3}, {2, 1, 2}},
       compress::prune_channels_by<compress::taylor>{
           .multiply_adds = 0.5, .input = {20}, .criterion = {.data = &train}});
}

TEST_CASE("by the batch norm's scale: the channels with the smallest go, groups without a norm stay") {
  auto w = alone();
  auto model = par::build(images(), small_plan(w), w, {.seed = 5});
  set_values(model, "n1.weight", {0.9f, 0.1f, 0.8f, -0.2f, 0.7f, 0.05f, 0.6f, -0.5f});
  auto const before = values_of(model);
  compress::channel_report report;
  auto const small =
      model | compress::prune_channels_by<compress::batch_norm_scale>{
                  .multiply_adds = 0.9, .input = {1, 4, 5}, .on_report = [&](auto const& r) { report = r; }};
  std::vector<float> kept;
  for (auto const& p : values_of(small))
    if (p.name == "n1.weight") kept = p.values;
    else if (p.name == "f1.weight") CHECK(p.shape == extents{16, 32});
  REQUIRE(kept.size() < 8);
  std::vector<float> const order{0.05f, 0.1f, -0.2f, -0.5f, 0.6f, 0.7f, 0.8f, 0.9f};
  for (std::size_t i = 0; i < 8 - kept.size(); ++i) CHECK(std::find(kept.begin(), kept.end(), order[i]) == kept.end());
}

TEST_CASE("layer scope takes the same share of every group; round_to keeps multiples") {
  auto w = alone();
  auto const model = build(w);
  compress::channel_report report;
  auto const small = model | compress::prune_channels{.multiply_adds = 0.5,
                                                      .input = {20},
                                                      .scope = compress::scope::layer,
                                                      .round_to = 4,
                                                      .on_report = [&](auto const& r) { report = r; }};
  CHECK(report.multiply_adds_before == 560);
  CHECK(report.multiply_adds_after <= 280);
  for (auto const& g : report.groups)
    if (!g.fixed) CHECK(g.kept % 4 == 0);
  CHECK(report.parameters_before == parameters);
}

TEST_CASE("what cannot be done is refused in words") {
  auto w = alone();
  auto const model = build(w);
  for (double const bad : {0.0, -1.0, 1.5, std::nan("")})
    CHECK_THROWS_MATCHES((model | compress::prune_channels{.multiply_adds = bad, .input = {20}}), pleat::error,
                         MessageMatches(ContainsSubstring("in (0, 1], found")));
  CHECK_THROWS_MATCHES(model | compress::prune_channels{}, pleat::error,
                       MessageMatches(ContainsSubstring("the shape of a sample is not known")));
  CHECK_THROWS_MATCHES((model | compress::prune_channels{.multiply_adds = 0.001, .input = {20}}), pleat::error,
                       MessageMatches(ContainsSubstring("of the multiply-adds stay, 0.001 are asked for")));
  CHECK_THROWS_MATCHES(
      (model | compress::prune{.sparsity = 0.5} | compress::prune_channels{.input = {20}}), pleat::error,
      MessageMatches(
          ContainsSubstring("'fc1.weight' is stored as 'masked', and only dense weights can lose rows and columns")));
  // the network says which layer does not fit
  CHECK_THROWS_AS((model | compress::prune_channels{.input = {21}}), pleat::error);
}

}  // namespace
