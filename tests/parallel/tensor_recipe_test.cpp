// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/tensor_recipe.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn.hpp>
#include <pleat/parallel/move_report.hpp>
#include <pleat/parallel/stage_work.hpp>
#include <pleat/plan/search.hpp>
#include <pleat/plan/unit_memory.hpp>

#include "parallel/tensor_support.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

namespace pl = pleat;
namespace nn = pleat::nn;
namespace par = pleat::parallel;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

auto mlp() {
  return nn::sequential(nn::linear("fc1", 12, 20), nn::gelu(), nn::linear("fc2", 20, 9), nn::relu(),
                        nn::linear("fc3", 9, 5));
}

// Attention with grouped heads, norms, dropout, an MLP, a tied output layer: 6 heads of 4 in 3 groups.
auto block() {
  return nn::sequential(
      nn::residual(nn::sequential(nn::layer_norm("norm1", 24), nn::linear("qkv", 24, nn::attention_width(6, 4, 3)),
                                  nn::attention("attention", 6, 4, {.key_value_heads = 3, .rotary = true}),
                                  nn::linear("project", 24, 24), nn::dropout("drop", 0.2))),
      nn::residual(nn::sequential(nn::rms_norm("norm2", 24), nn::linear("fc1", 24, 50), nn::gelu_tanh(),
                                  nn::linear("fc2", 50, 24))));
}
auto gpt() {
  return nn::sequential(nn::embedding("tokens", 11, 24, {.positions = 8}), nn::repeat("block", 2, block()),
                        nn::layer_norm("norm", 24),
                        nn::linear("output", 24, 11, {.bias = false, .tied_to = "tokens.weight"}));
}

void same_as_serial(walked const& a, walked const& serial, int ranks) {
  INFO(ranks << " ranks");
  for (auto const& [name, v] : serial.values) {
    INFO(name);
    REQUIRE(a.values.at(name) == v);  // first values are drawn by global element
  }
  // forward: three products deep at most between norms; the bound of the gradients is wider than what it needs
  CHECK(distance(a.y, serial.y) <= 64 * 0x1p-23);
  CHECK(distance(a.rows, serial.rows) <= 64 * 0x1p-23);
  CHECK(beyond_bound(a, serial, ranks) == "");
}

}  // namespace

TEST_CASE(
    "column and row placements give the serial run's numbers, and uneven and empty parts are a matter of course") {
  auto const serial = walk(mlp(), nullptr, {7, 12}, 0, 5);
  auto const net = par::tensor_parallel(mlp(), {par::column("fc1.*"), par::row("fc2.*"), par::column("fc3.*")});
  // 5 classes on 8 ranks: three have none
  for (int ranks : {1, 2, 3, 4, 8}) same_as_serial(walk_on(ranks, net, {7, 12}, 0, 5), serial, ranks);
}

TEST_CASE("every pair of placements of two layers works, whatever has to move") {
  auto const serial = walk(mlp(), nullptr, {7, 12}, 0, 5);
  for (int a : {0, 1, 2})
    for (int b : {0, 1, 2}) {
      std::vector<par::placement_rule> rules;
      auto const add = [&](int k, char const* name) {
        if (k == 0) rules.push_back(par::column(name));
        if (k == 1) rules.push_back(par::row(name));
      };
      add(a, "fc1.*");
      add(b, "fc2.*");
      add((a + b) % 3, "fc3.*");
      INFO("fc1 " << a << ", fc2 " << b);
      for (int ranks : {2, 3})
        same_as_serial(walk_on(ranks, par::tensor_parallel(mlp(), rules), {7, 12}, 0, 5), serial, ranks);
    }
}

TEST_CASE("sequences of one position come back through flatten cut as they were, by ranks with one column, too") {
  auto const net =
      nn::sequential(nn::linear("fc1", 4, 3), nn::relu(), nn::flatten(), nn::relu(), nn::linear("fc2", 3, 5));
  auto const serial = walk(net, nullptr, {6, 1, 4}, 0, 5);
  for (int ranks : {2, 3})
    same_as_serial(walk_on(ranks, par::tensor_parallel(net, {par::column("fc1.*")}), {6, 1, 4}, 0, 5), serial, ranks);
}

TEST_CASE("a column-then-row pair costs exactly one all-reduce forward and one backward") {
  auto const pair =
      nn::sequential(nn::linear("in", 8, 8), nn::linear("fc1", 8, 32), nn::gelu(), nn::linear("fc2", 32, 8));
  auto const r = walk_on(2, par::tensor_parallel(pair, {par::column("fc1.*"), par::row("fc2.*")}), {5, 8});
  CHECK(r.calls == std::vector<std::uint64_t>{1, 0, 0, 0, 1, 0, 0, 0});
}

TEST_CASE(
    "a transformer block costs two all-reduces each way; by sequence as many reduce-scatters and all-gathers instead") {
  auto const net = nn::sequential(nn::linear("in", 24, 24), block());
  auto const plain = walk_on(3, par::megatron(net, {.vocabulary = false}), {2, 6, 24});
  CHECK(plain.calls == std::vector<std::uint64_t>{2, 0, 0, 0, 2, 0, 0, 0});
  auto const by_sequence = [](auto const& whole) {
    return walk_on(3, par::megatron(whole, {.sequence = true, .vocabulary = false}), {2, 6, 24}).calls;
  };
  auto const one = by_sequence(net);
  // A block whose input is whole on every rank slices where others gather (forward), and gathers or completes its dx
  // (backward).
  CHECK(one == std::vector<std::uint64_t>{0, 2, 1, 0, 1, 1, 3, 0});
  auto more = by_sequence(nn::sequential(nn::linear("in", 24, 24), nn::repeat("block", 2, block())));
  for (std::size_t i = 0; i < more.size(); ++i) more[i] -= one[i];
  CHECK(more == std::vector<std::uint64_t>{0, 2, 2, 0, 0, 2, 2, 0});  // a block behind a block
}

TEST_CASE(
    "the recipe for transformers gives the serial run's numbers, with grouped heads, uneven heads and ranks without a "
    "head") {
  auto const serial = walk(gpt(), nullptr, {3, 7}, 11, 11);
  for (bool sequence : {false, true})
    for (bool vocabulary : {false, true}) {
      INFO("sequence " << sequence << ", vocabulary " << vocabulary);
      auto const net = par::megatron(gpt(), {.sequence = sequence, .vocabulary = vocabulary});
      for (int ranks : {1, 2, 3, 4, 8}) same_as_serial(walk_on(ranks, net, {3, 7}, 11, 11), serial, ranks);
    }
}

TEST_CASE("convolutions by output and by input channels") {
  auto const net = nn::sequential(nn::conv2d("c1", 3, 7, 3, {.padding = 1}), nn::relu(), nn::max_pool2d(2),
                                  nn::conv2d("c2", 7, 5, 3), nn::relu(), nn::flatten(), nn::linear("fc", 20, 4));
  auto const serial = walk(net, nullptr, {3, 3, 8, 8}, 0, 4);
  for (int ranks : {2, 3, 8}) {
    same_as_serial(
        walk_on(ranks, par::tensor_parallel(net, {par::column("c1.*"), par::row("c2.*")}), {3, 3, 8, 8}, 0, 4), serial,
        ranks);
    same_as_serial(
        walk_on(ranks, par::tensor_parallel(net, {par::row("c1.*"), par::column("c2.*"), par::row("fc.*", 4)}),
                {3, 3, 8, 8}, 0, 4),
        serial, ranks);
    same_as_serial(
        walk_on(ranks, par::tensor_parallel(net, {par::column("c*"), par::column("fc.*")}), {3, 3, 8, 8}, 0, 4), serial,
        ranks);
  }
}

namespace {
// Pointwise, depthwise with two outputs per input, groups of four inputs and three outputs: 10 channels and 5 groups
// are uneven over 2 and 3 ranks.
auto grouped() {
  return nn::sequential(
      nn::conv2d("c1", 3, 10, 1), nn::relu(),
      nn::conv2d("depth", 10, 20, 3, {.padding = 1, .groups = 10, .bias = false}), nn::batch_norm("norm", 20),
      nn::relu(), nn::conv2d("c2", 20, 15, 3, {.stride = 2, .padding = 1, .groups = 5}), nn::relu(),
      nn::conv2d("c3", 15, 6, {2, 1}, {.dilation = {1, 2}, .groups = 3}), nn::flatten(), nn::linear("fc", 36, 4));
}
}  // namespace

TEST_CASE(
    "grouped and depthwise convolutions by groups and by inputs of every group, uneven, with ranks that have none") {
  auto const serial = walk(grouped(), nullptr, {3, 3, 5, 5}, 0, 4);
  // aligned: inputs are where they are needed
  for (auto const& rules :
       {std::vector{par::column("c1.*"), par::column("depth.*"), par::column("c2.*")},
        // cut by channels → inside groups
        std::vector{par::column("c1.*"), par::column("depth.*"), par::row("c2.*"), par::column("c3.*")},
        // pairs of groups; whole images before and behind
        std::vector{par::column("depth.*", 4), par::row("c2.*"), par::row("c3.*")},
        // a unit of two groups; two of five inputs stay together
        std::vector{par::row("c1.*"), par::column("depth.*"), par::column("c2.*", 6), par::row("c3.*", 2)},
        std::vector{par::column("c2.*"), par::row("c3.*"), par::row("fc.*", 6)}})
    for (int ranks : {1, 2, 3, 8}) {  // 8: ranks without a group and without an input
      INFO(rules[0].pattern << " " << rules[0].matrices.to_string() << ", " << rules[1].pattern << " "
                            << rules[1].matrices.to_string());
      same_as_serial(walk_on(ranks, par::tensor_parallel(grouped(), rules), {3, 3, 5, 5}, 0, 4), serial, ranks);
    }
}

TEST_CASE("by groups nothing is summed over ranks: every bit is the serial run's, and aligned groups cost no message") {
  auto const net = nn::sequential(nn::conv2d("a", 12, 18, 3, {.padding = 1, .groups = 6}), nn::relu(),
                                  nn::conv2d("b", 18, 36, 3, {.groups = 18}), nn::max_pool2d(2),
                                  nn::conv2d("c", 36, 12, 2, {.groups = 6}));
  auto const serial = walk(net, nullptr, {4, 12, 8, 8}, 0, 0);
  auto const cut = par::tensor_parallel(net, {par::column("*")});
  for (int ranks : {2, 3, 4, 8}) {
    INFO(ranks << " ranks");
    auto const a = walk_on(ranks, cut, {4, 12, 8, 8}, 0, 0);
    CHECK(a.y == serial.y);
    CHECK(a.gradients == serial.gradients);
    // 6 groups are dealt as 18 channels of 3 are, where the ranks divide them
    if (6 % ranks == 0) CHECK(a.calls == std::vector<std::uint64_t>(8, 0));
  }
}

namespace {
/// Convolutions of all channels and of groups: 3, 10, 8, 12 and 6 channels, 4 and 2 groups, on up to 4 ranks uneven or
/// none.
auto channels_and_groups() {
  return nn::sequential(nn::conv2d("a", 3, 10, 3, {.padding = 1}), nn::relu(), nn::max_pool2d(2),
                        nn::conv2d("b", 10, 8, 3, {.padding = 1}), nn::relu(),
                        nn::conv2d("c", 8, 12, 3, {.padding = 1, .groups = 4}), nn::tanh_activation(),
                        nn::conv2d("d", 12, 6, 1, {.groups = 2}), nn::flatten(), nn::linear("fc", 96, 5));
}
struct lived {
  pl::index_t held = 0, between = 0, after = 0;
  pl::plan::stage_memory said;
};
/// One micro-batch of images goes forward and backward in two halves on one rank of a tensor axis.
template <class Net> lived live(Net net, pl::comm::communicator& axis, pl::plan::recompute_choice const& choice) {
  pl::extents const in{4, 3, 8, 8};
  pl::index_t const units = nn::units_of(net);
  lived out;
  out.said = pl::plan::describe_stage(net, in, 0, units, choice, true, axis.rank(), axis.size());
  pl::plan::plan whole{.global_batch = in[0], .tensor_ranks = axis.size()};
  whole.recompute = choice.of(0);
  if (pl::plan::ledger_of(net, whole, in, 2, 0, axis.rank()).activations != out.said.held - out.said.input)
    throw std::runtime_error("the whole ledger says otherwise");
  pl::context<space> c(pl::make_instance<space>(1));
  par::cut_parameters(c, net, axis.rank(), axis.size());
  if (!(pl::plan::describe_stage(net, in, 0, units, choice, true, axis.rank(), axis.size()) == out.said))
    throw std::runtime_error("a network that has been cut is described otherwise than one that will be");
  nn::arena<float, space> memory(c, net, 3);
  memory.reserve_gradients(net, 1);
  nn::segment const all{0, pl::compute::lanes::whole(in[0])};
  nn::pass<space> p;
  p.where = &c;
  p.training = true;
  p.input_gradient = false;
  p.global_batch = in[0];
  p.segments = {&all, 1};
  p.tensor = axis.size() > 1 ? &axis : nullptr;
  for (auto& e : memory.entries()) e.use.done = 0;
  auto const before = c.pool().statistics().bytes_requested_in_use;
  auto const now = [&] { return static_cast<pl::index_t>(c.pool().statistics().bytes_requested_in_use - before); };
  auto x = pl::tensor<float, space>::allocate(c, in);
  pl::compute::fill(c.space(), x.size(), 0.5f, x.data());
  par::stage_work<Net> work;
  auto y = work.forward(p, net, 0, units, choice, std::move(x));
  out.held = now();
  (void)work.backward_input(p, net, 0, units, std::move(y));
  out.between = now();
  work.backward_weight(p, net, 0, units);
  out.after = now();
  return out;
}
}  // namespace

TEST_CASE("what convolutions cut over the tensor axis hold is what the ledger says, byte for byte") {
  using pl::plan::recompute_mode;
  for (auto const& rules :
       {std::vector{par::column("a.*"), par::row("b.*"), par::column("c.*"), par::row("d.*"), par::column("fc.*")},
        std::vector{par::row("a.*"), par::column("b.*"), par::row("c.*"), par::column("d.*"), par::row("fc.*", 16)},
        std::vector{par::column("*")}, std::vector{par::row("*")}, std::vector{par::row_by_sequence("*")},
        std::vector{par::column("c.*", 6), par::row("d.*", 2)}, std::vector{par::column("b.*"), par::row("c.*")}}) {
    auto const net = par::tensor_parallel(channels_and_groups(), rules);
    std::vector<pl::index_t> least;
    for (auto const mode : {recompute_mode::none, recompute_mode::full})
      for (int ranks : {1, 2, 3, 4}) {
        std::vector<lived> all(static_cast<std::size_t>(ranks));
        pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
          auto const rank = static_cast<std::size_t>(c.rank());
          all[rank] = live(net, c, {mode});
        });
        for (auto const& r : all) {
          INFO(rules[0].pattern << " " << rules[0].matrices.to_string() << ", rank " << &r - all.data() << " of "
                                << ranks << ", recompute " << name_of(mode));
          CHECK(r.held == r.said.held);
          CHECK(r.between == r.said.between);
          CHECK(r.after == 0);
        }
        if (mode == recompute_mode::none) least.push_back(all.back().held);
      }
    CHECK(least[3] < least[0]);  // the fourth of four ranks holds less than one alone
  }
}

TEST_CASE("by sequence, results without positions stay whole, which is said once") {
  par::move_report quiet;
  std::vector<std::string> said;
  par::move_report report([&](std::string_view line) { said.emplace_back(line); });
  auto const rows = walk(mlp(), nullptr, {7, 12}, 0, 5);
  auto const images = nn::sequential(nn::conv2d("c1", 3, 7, 3, {.padding = 1}), nn::relu(), nn::conv2d("c2", 7, 6, 3),
                                     nn::flatten(), nn::linear("fc", 96, 4));
  auto const serial = walk(images, nullptr, {3, 3, 6, 6}, 0, 4);
  for (int ranks : {2, 3, 8}) {
    same_as_serial(walk_on(ranks, par::megatron(mlp(), {.sequence = true}), {7, 12}, 0, 5, &report), rows, ranks);
    same_as_serial(walk_on(ranks, par::tensor_parallel(mlp(), {par::row_by_sequence("*")}), {7, 12}, 0, 5), rows,
                   ranks);
    same_as_serial(
        walk_on(ranks, par::tensor_parallel(images, {par::row_by_sequence("*")}), {3, 3, 6, 6}, 0, 4, &quiet), serial,
        ranks);
  }
  REQUIRE(said.size() == 1);
  CHECK_THAT(said[0],
             ContainsSubstring("'fc2.weight'") && ContainsSubstring("[7, 9]") && ContainsSubstring("no positions"));
  CHECK(report.entries().empty());
}

TEST_CASE("batch norm between convolutions works on the channels that are here: no message, the serial run's numbers") {
  auto const plain = nn::sequential(nn::conv2d("c1", 3, 7, 3, {.padding = 1}), nn::relu(), nn::conv2d("c2", 7, 6, 3),
                                    nn::flatten(), nn::linear("fc", 96, 4));
  // a norm takes the bias before it away again: its gradient would be nothing but rounding
  auto const net = nn::sequential(nn::conv2d("c1", 3, 7, 3, {.padding = 1, .bias = false}), nn::batch_norm("norm", 7),
                                  nn::relu(), nn::conv2d("c2", 7, 6, 3), nn::flatten(), nn::linear("fc", 96, 4));
  auto const rows = nn::sequential(nn::linear("fc1", 12, 5, {.bias = false}), nn::batch_norm("norm", 5), nn::relu(),
                                   nn::linear("fc2", 5, 4));
  auto const serial = walk(net, nullptr, {3, 3, 6, 6}, 0, 4), serial_rows = walk(rows, nullptr, {7, 12}, 0, 4);
  auto const cut = [](auto const& n) { return par::tensor_parallel(n, {par::column("c1.*"), par::row("c2.*")}); };
  for (int ranks : {2, 3, 8}) {  // 8: a rank has no channel
    auto const a = walk_on(ranks, cut(net), {3, 3, 6, 6}, 0, 4),
               without = walk_on(ranks, cut(plain), {3, 3, 6, 6}, 0, 4);
    same_as_serial(a, serial, ranks);
    CHECK(a.calls == without.calls);
    // statistics of a channel are one rank's: no sum is cut
    for (auto const* name : {"norm.running_mean", "norm.running_var"})
      CHECK(distance(a.gradients.at(name), serial.gradients.at(name)) == 0);
    same_as_serial(walk_on(ranks, par::tensor_parallel(rows, {par::column("fc1.*"), par::row("fc2.*")}), {7, 12}, 0, 4),
                   serial_rows, ranks);
  }
}

TEST_CASE("batch norm of channels that are all on one rank: the ranks agree on what they sum") {
  auto const one = nn::sequential(nn::conv2d("c1", 3, 1, 3, {.bias = false}), nn::batch_norm("norm", 1), nn::relu(),
                                  nn::conv2d("c2", 1, 4, 1), nn::flatten(), nn::linear("fc", 64, 4));
  auto const four = nn::sequential(nn::linear("c1", 12, 4, {.bias = false}), nn::batch_norm("norm", 4), nn::relu(),
                                   nn::linear("c2", 4, 4));
  for (int ranks : {2, 3}) {
    same_as_serial(walk_on(ranks, par::tensor_parallel(one, {par::column("c1.*")}), {3, 3, 6, 6}, 0, 4),
                   walk(one, nullptr, {3, 3, 6, 6}, 0, 4), ranks);
    same_as_serial(
        walk_on(ranks, par::tensor_parallel(four, {par::column("c1.*", 4), par::row("c2.*", 4)}), {7, 12}, 0, 4),
        walk(four, nullptr, {7, 12}, 0, 4), ranks);
  }
}

TEST_CASE("layers side by side may have cut weights, concatenated or summed") {
  auto const side = [](nn::merge how) {
    return nn::sequential(nn::linear("in", 12, 10),
                          nn::branch(how, nn::sequential(nn::linear("a1", 10, 14), nn::gelu(), nn::linear("a2", 14, 6)),
                                     nn::linear("b", 10, 6), nn::sequential(nn::linear("c", 10, 6), nn::relu())),
                          nn::linear("out", how == nn::merge::sum ? 6 : 18, 5));
  };
  for (auto const how : {nn::merge::concatenate, nn::merge::sum}) {
    auto const serial = walk(side(how), nullptr, {7, 12}, 0, 5);
    for (int ranks : {2, 3, 8})
      for (auto const& rules : {std::vector{par::column("a1.*"), par::row("a2.*")},
                                std::vector{par::column("a1.*"), par::row("a2.*"), par::column("b.*"), par::row("c.*")},
                                std::vector{par::column("in.*"), par::column("a2.*"), par::column("b.*"),
                                            par::column("c.*"), par::row("out.*")}})
        same_as_serial(walk_on(ranks, par::tensor_parallel(side(how), rules), {7, 12}, 0, 5), serial, ranks);
  }
  auto const images =
      nn::sequential(nn::conv2d("c0", 2, 4, 3, {.padding = 1}),
                     nn::branch(nn::conv2d("a", 4, 5, 3, {.padding = 1}),
                                nn::sequential(nn::conv2d("b1", 4, 7, 1, {.bias = false}), nn::batch_norm("norm", 7),
                                               nn::relu(), nn::conv2d("b2", 7, 3, 1))),
                     nn::flatten(), nn::linear("fc", 8 * 25, 4));
  auto const serial = walk(images, nullptr, {3, 2, 5, 5}, 0, 4);
  for (int ranks : {2, 3})
    same_as_serial(walk_on(ranks,
                           par::tensor_parallel(images, {par::column("c0.*"), par::column("a.*"), par::column("b1.*"),
                                                         par::row("b2.*")}),
                           {3, 2, 5, 5}, 0, 4),
                   serial, ranks);
}

TEST_CASE("an activation that must move is reported once, with its bytes; what a recipe plans is not") {
  par::move_report report;
  auto const net = nn::sequential(nn::linear("a", 6, 6), nn::linear("b", 6, 6));
  (void)walk_on(2, par::tensor_parallel(net, {par::column("a.*"), par::column("b.*")}), {4, 6}, 0, 0, &report);
  REQUIRE(report.entries().size() == 1);
  CHECK(report.entries()[0].layer == "b.weight");
  CHECK(report.entries()[0].bytes == 2 * 4 * 3 * 4);  // half of a [4, 6] of floats goes out, half comes in
  par::move_report quiet;
  (void)walk_on(2, par::megatron(gpt(), {.sequence = true}), {3, 7}, 11, 11, &quiet);
  CHECK(quiet.entries().empty());
}

namespace {
// A layer of the user's that mixes all of a sample: it must see whole samples.
struct reverse {
  struct saved {};
  static constexpr char const* kind = "reverse";
  [[nodiscard]] pl::extents shape(pl::extents const& in) const { return in; }
  [[nodiscard]] static pl::tensor<float, space> turned(nn::pass<space> const& p, pl::tensor<float, space> const& x) {
    auto y = pl::tensor<float, space>::allocate(*p.where, x.shape());
    auto const n = x.shape().size_from(1);
    std::vector<float> h(static_cast<std::size_t>(x.size()));
    pl::copy_to_host(*p.where, x, h.data());
    for (pl::index_t r = 0; r < x.extent(0); ++r) std::reverse(h.begin() + r * n, h.begin() + (r + 1) * n);
    pl::copy_from_host(*p.where, h.data(), y);
    return y;
  }
  [[nodiscard]] nn::step<saved, pl::tensor<float, space>> forward(nn::pass<space> const& p,
                                                                  pl::tensor<float, space> x) const {
    return {turned(p, x), {}};
  }
  [[nodiscard]] pl::tensor<float, space> backward(nn::pass<space> const& p, saved&, pl::tensor<float, space> dy) {
    return turned(p, dy);
  }
  template <class F> void for_each_parameter(F&&) {}
};
}  // namespace

TEST_CASE("a layer of one's own that says nothing gets whole inputs and is right") {
  auto const net =
      nn::sequential(nn::linear("a", 6, 10), nn::gelu(), reverse(), nn::tanh_activation(), nn::linear("b", 10, 4));
  auto const serial = walk(net, nullptr, {5, 6}, 0, 4);
  par::move_report report;
  for (int ranks : {2, 3})
    same_as_serial(
        walk_on(ranks, par::tensor_parallel(net, {par::column("a.*"), par::row("b.*")}), {5, 6}, 0, 4, &report), serial,
        ranks);
  REQUIRE(report.entries().size() == 2);  // gathered for it, sliced after it
  CHECK(report.entries()[0].layer == "reverse");
}

TEST_CASE("placements that no operation accepts are refused with both placements and the operation") {
  CHECK_THROWS_MATCHES(par::tensor_parallel(mlp(), {par::column("fc9.*")}), pl::error,
                       MessageMatches(ContainsSubstring("no parameter's name fits 'fc9.*'")));
  CHECK_THROWS_MATCHES(
      par::tensor_parallel(mlp(), {par::column("fc1.weight")}), pl::error,
      MessageMatches(ContainsSubstring(
          "'nn::fc1' does not accept 'fc1.weight' placed as shard<0> with 'fc1.bias' placed as replicate")));
  CHECK_THROWS_MATCHES(
      par::tensor_parallel(nn::sequential(nn::layer_norm("norm", 8)), {par::column("norm.*")}), pl::error,
      MessageMatches(
          ContainsSubstring("does not accept 'norm.weight' placed as shard<0> with an input placed as replicate")));
  CHECK_THROWS_MATCHES(
      par::tensor_parallel(nn::sequential(nn::conv2d("c", 4, 12, 3, {.groups = 2})), {par::column("c.*", 8)}),
      pl::error,
      MessageMatches(ContainsSubstring("'c.weight' placed as shard<0, 8> with 2 groups of 6 outputs") &&
                     ContainsSubstring("parallel::column(pattern, 6) is the nearest unit")));
  CHECK_THROWS_MATCHES(par::tensor_parallel(nn::sequential(nn::conv2d("c", 4, 4, 3, {.groups = 4})), {par::row("c.*")}),
                       pl::error,
                       MessageMatches(ContainsSubstring("'c.weight' placed as shard<1> with 4 groups of 1 input") &&
                                      ContainsSubstring("parallel::column(pattern) shares the groups out")));
  CHECK_THROWS_MATCHES(
      par::tensor_parallel(nn::sequential(nn::embedding("t", 5, 4, {.positions = 3})), {par::vocabulary("t.*")}),
      pl::error, MessageMatches(ContainsSubstring("'t.positions' placed as shard<0>")));
}
