// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Training with codes where the weights are: cut over the tensor axis, on the stages of a pipeline, in pieces.
#include <pleat/compress/quantize_aware.hpp>

#include <pleat/codec/blocks.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/parallel/place.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/mesh_support.hpp>
#include <compress/sharded_support.hpp>

#include <cmath>
#include <limits>
#include <mutex>
#include <string>
#include <set>
#include <vector>

namespace {

using namespace compress_test;
namespace nn = pleat::nn;
namespace par = pleat::parallel;
namespace compress = pleat::compress;
namespace codec = pleat::codec;
using Catch::Matchers::ContainsSubstring;
using int8 = codec::int8<float>;
using int4 = codec::int4<float, 32>;

/// Rows of 128 columns that groups of 32 divide, over 2, 3 and 4 ranks (of 3 one has two groups).
auto groups(pleat::world& w, mesh const& l) {
  auto net = nn::sequential(nn::linear("fc1", 20, 128), nn::relu(), nn::linear("fc2", 128, 64), nn::relu(),
                            nn::linear("fc3", 64, 4));
  return par::build(
      par::tensor_parallel(std::move(net), {par::column("fc1.*", 32), par::row("fc2.*", 32), par::column("fc3.*")}),
      plan_of(l), w, {.seed = 3});
}
std::vector<mesh> const meshes{{2, 1, 1, 0}, {1, 2, 1, 0}, {1, 3, 1, 0}, {1, 4, 1, 0}, {1, 1, 2, 0}, {1, 1, 3, 0},
                               {2, 2, 1, 0}, {2, 2, 1, 3}, {1, 2, 2, 0}, {2, 1, 2, 3}, {3, 1, 1, 3}, {2, 1, 1, 1}};

/// A row of zeros and one of a few survivors, so that all rules of the start are in play.
template <class Net> auto spoilt(par::model<Net> m) {
  m.net().for_each_parameter([&](auto& w) {
    if (w.name != "fc2.weight" || w.absent) return;
    auto v = m.host_values_of(w);
    auto const box = w.box();
    extents const shape = box.shape();
    for (std::size_t i = 0; i < v.size(); ++i) {
      index_t const row = box[0].begin + static_cast<index_t>(i) / shape[1],
                    column = box[1].begin + static_cast<index_t>(i) % shape[1];
      if (row == 3 || (row == 5 && column % 3 != 0)) v[i] = 0;
    }
    m.set_host_values_of(w, v);
  });
  m.values_changed();
  return m;
}

/// A network of one layer, 20 → 4, whose rows are cut. Its sums are exact: every number is a multiple of a power of
/// two, and the first steps are powers of two.
template <class Net> auto one_layer(pleat::world& w, mesh const& l, bool rows_cut, Net net) {
  auto m = par::build(par::tensor_parallel(std::move(net), {rows_cut ? par::row("fc.*") : par::column("fc.*")}),
                      plan_of(l), w, {.seed = 3}) |
           compress::quantize_aware<int8>{};
  m.net().for_each_parameter([&](auto& p) {
    std::vector<float> v;
    for (float const x : m.host_values_of(p)) v.push_back(std::round(x * 4096) / 4096);
    m.set_host_values_of(p, v);
    if (p.steps())
      p.set_steps(m.context(), codec::learned_steps::begin(std::vector<float>(p.steps()->size(), 0x1p-9f), 0));
  });
  m.values_changed();
  return m;
}
auto one_layer(pleat::world& w, mesh const& l, bool rows_cut = true) {
  return one_layer(w, l, rows_cut, nn::sequential(nn::linear("fc", 20, 4)));
}

/// The weights' steps, [kinds, rows, of a row] of the whole, by name; what replicated parts have is checked.
template <class Net> std::vector<double> steps_of(par::model<Net> const& m, std::string const& name) {
  std::vector<double> all;
  nn::for_each_parameter(m.net(), [&](auto const& w) {
    bool const no_rows = !w.absent && w.size() == 0;  // a part that has no steps either
    if (w.name != name || (!w.steps() && !no_rows)) return;
    auto const at = codec::places_of_steps(w.whole(), w.box(), w.steps() ? w.steps()->group : 0);
    all.assign(static_cast<std::size_t>(at.whole.size()), std::numeric_limits<double>::lowest());
    std::size_t next = 0;
    if (no_rows) return;
    codec::detail::for_each_of_part(at.whole, at.here,
                                    [&](index_t i) { all[static_cast<std::size_t>(i)] = w.steps()->numbers[next++]; });
  });
  m.parts().all_reduce(all, pleat::comm::reduction::max);
  return all;
}

template <class F> void on(mesh const& l, F&& f) {
  pleat::comm::run_local(l.ranks(), [&](pleat::comm::communicator c) {
    pleat::world w(std::move(c), 1);
    w.set_sink({});
    w.comm.set_timeout(60);
    f(w);
  });
}

}  // namespace

TEST_CASE("mesh: the first steps and the file have the bytes of one rank, whatever the mesh and the grid") {
  auto const eight = [](pleat::world& w, mesh const& l) {
    return spoilt(build_on(w, l)) | compress::quantize_aware<int8>{};
  };
  auto const four = [](pleat::world& w, mesh const& l) {
    return spoilt(groups(w, l)) |
           (compress::prune{.sparsity = 0.4} | compress::quantize_aware<int4>{.ignore = {"fc1.*"}});
  };
  auto const followed = [](pleat::world& w, mesh const& l) {
    return groups(w, l) | compress::quantize_aware<int4>{.steps = compress::step_rule::largest, .ignore = {"fc1.*"}};
  };
  auto const whole8 = file_over({}, [&](pleat::world& w) { return eight(w, {}); });
  auto const whole4 = file_over({}, [&](pleat::world& w) { return four(w, {}); });
  auto const largest = file_over({}, [&](pleat::world& w) { return followed(w, {}); });
  for (auto const& l : meshes) {
    CAPTURE(l.data, l.tensor, l.stages, l.state);
    CHECK((file_over(l, [&](pleat::world& w) { return eight(w, l); }) == whole8));
    CHECK((file_over(l, [&](pleat::world& w) { return four(w, l); }) == whole4));
    CHECK((file_over(l, [&](pleat::world& w) { return followed(w, l); }) == largest));
  }
}

TEST_CASE("mesh: training with codes on pipelines and under every stage of sharded state has the bytes of one rank") {
  auto const train = data(48);
  auto const trained = [&](pleat::world& w, mesh const& l) {
    return spoilt(build_on(w, l)) |
           (compress::quantize_aware<int8>{.train = compress::fine_tune(train, quiet(2)), .step_rate = 1e-2} |
            compress::quantize<int8>{});
  };
  auto const rounded = [&](pleat::world& w, mesh const& l) {
    return build_on(w, l) | compress::quantize_aware<int8>{
                                .train = compress::fine_tune(train, quiet(1)),
                                .activations = compress::static_activations{.data = compress::calibration(train, 31)},
                                .inputs = compress::input_rule::learned};
  };
  auto const whole = file_over({}, [&](pleat::world& w) { return trained(w, {}); }),
             with_inputs = file_over({}, [&](pleat::world& w) { return rounded(w, {}); });
  for (mesh const& l :
       {mesh{3, 1, 1, 0}, {1, 1, 2, 0}, {1, 1, 3, 0}, {2, 1, 1, 1}, {3, 1, 1, 2}, {4, 1, 1, 3}, {2, 1, 2, 3}}) {
    CAPTURE(l.data, l.tensor, l.stages, l.state);
    CHECK((file_over(l, [&](pleat::world& w) { return trained(w, l); }) == whole));
    CHECK((file_over(l, [&](pleat::world& w) { return rounded(w, l); }) == with_inputs));
  }
  // Pieces that end in the middle of rows.
  static_assert(compress::detail::takes_shards<compress::quantize_aware<int8>> &&
                compress::detail::takes_parts<compress::quantize_aware<int8>>);
  for (layout const& l : {layout{2, 2, 0}, {3, 3, 0}, {4, 3, 2}, {4, 1, 2}, {4, 3, 0, 4}}) {
    CAPTURE(l.ranks, l.stage, l.state_ranks);
    auto const t = [&](auto m) {
      return std::move(m) |
             (compress::prune{.sparsity = 0.3} |
              compress::quantize_aware<int8>{.train = compress::fine_tune(train, quiet(1)), .step_rate = 1e-2});
    };
    auto const one = file({1, 0, 0}, t);
    CHECK((file(l, t) == one));
  }
}

TEST_CASE(
    "mesh: a step's gradient is the sum over the tensor axis before it is scaled: bit for bit where the sums are "
    "exact") {
  auto const train = data(16);
  auto const after_a_step = [&](mesh const& l) {
    std::vector<double> all;
    on(l, [&](pleat::world& w) {
      auto m = one_layer(w, l);
      auto options = quiet(1);
      compress::step_learner learner(1e-2);
      options.before_step = [&] { learner(m); };
      (void)pleat::run::fit(m, train, options);  // one step: the batch is all samples
      auto const mine = steps_of(m, "fc.weight");
      if (w.comm.rank() == 0) all = mine;
    });
    return all;
  };
  auto const whole = after_a_step({});
  REQUIRE(whole.size() == 16);
  for (std::size_t r = 0; r < 4; ++r) {
    CHECK(whole[r] != 0x1p-9);  // it moved,
    CHECK(whole[4 + r] != 0);   // by a gradient,
    CHECK(whole[12 + r] == 1);  // once
  }
  for (int const parts : {2, 3, 4}) {
    CAPTURE(parts);
    CHECK(after_a_step({1, parts, 1, 0}) == whole);
    CHECK(after_a_step({2, parts, 1, 3}) == whole);
  }
}

// Inputs are multiples of 1/64, and their scale is 1/32: no sum before the softmax rounds.
TEST_CASE(
    "mesh: the gradient of the inputs' scale hears every element once, whether parts share inputs or have their own") {
  using fake = codec::fake_quantized<float>;
  auto train = data(16);
  // a linear layer, or a convolution of five channels into one place of four
  auto const gradient = [&](mesh const& l, bool rows_cut, auto const& net) {
    double g = 0;
    on(l, [&](pleat::world& w) {
      auto m = one_layer(w, l, rows_cut, net);
      m.net().for_each_parameter([](auto& p) {
        if constexpr (std::remove_cvref_t<decltype(p)>::forms::template contains<fake>) {
          if (p.form_name() != fake::name) return;
          auto& s = p.storage_of(codec::form_tag<fake>{});
          fake::set_input_range(s, 127.0f / 32);
          fake::learn_inputs(s);
        }
      });
      auto options = quiet(1);
      compress::step_learner learner(1e-2);
      options.before_step = [&] { learner(m); };
      (void)pleat::run::fit(m, train, options);  // one step: the batch is all samples
      std::vector<double> mine;
      nn::for_each_parameter(m.net(), [&](auto const& p) {
        if (auto const* s = p.input_step()) mine = s->numbers;
      });
      auto least = mine, most = mine;
      m.all_ranks().all_reduce(least, pleat::comm::reduction::min);
      m.all_ranks().all_reduce(most, pleat::comm::reduction::max);
      using codec::learned_steps;
      if (mine.size() != 4 || least != most || mine[learned_steps::moves] != 1 || !(mine[0] > 0) || mine[0] == 0x1p-5)
        throw pleat::error{"test", "the scale did not move alike", ""};
      if (w.comm.rank() == 0) g = mine[learned_steps::first_moment] / 0.1;
    });
    return g;
  };
  // dx is a sum of 4 products, each at most 1/16·127·2^-9, in another order, or shares are those of its addends: 4
  // roundings of it; one of each share, of half of it at most, for 320 inputs
  double const bound = 320 * 0.5 * 4 / 16.0 * 127 * 0x1p-9 * 5 * 0x1p-24 / std::sqrt(20.0 * 127);
  auto const check = [&](auto const& net) {
    double const whole = gradient({}, true, net);
    CHECK(std::abs(whole) > 1000 * bound);
    CHECK(gradient({3, 1, 1, 0}, true, net) == whole);
    for (int const parts : {2, 3, 4}) {
      CAPTURE(parts);
      CHECK(gradient({1, parts, 1, 0}, true, net) == whole);
      CHECK(gradient({2, parts, 1, 3}, true, net) == whole);
      CHECK(std::abs(gradient({1, parts, 1, 0}, false, net) - whole) <= bound);
    }
  };
  check(nn::sequential(nn::linear("fc", 20, 4)));
  train.sample = {5, 2, 2};
  check(nn::sequential(nn::conv2d("fc", 5, 4, 2), nn::flatten()));
}

// The layer behind it is whole everywhere, so that no sum is in another order.
TEST_CASE("mesh: rows that are shared out train with the bits of the uncut layer, to the end") {
  auto train = data(64);
  auto const check = [&](auto const& net, par::placement_rule const& rule, compress::input_rule inputs) {
    auto const trained = [&](pleat::world& w, mesh const& l) {
      return par::build(par::tensor_parallel(net, {rule}), plan_of(l), w, {.seed = 3}) |
             (compress::quantize_aware<int8>{
                  .train = compress::fine_tune(train, quiet(4)),
                  .activations = compress::static_activations{.data = compress::calibration(train)},
                  .inputs = inputs,
                  .step_rate = 1e-2} |
              compress::quantize<int8>{});
    };
    auto const whole = file_over({}, [&](pleat::world& w) { return trained(w, {}); });
    for (int const parts : {2, 3, 4}) {
      CAPTURE(parts);
      CHECK((file_over({1, parts, 1, 0}, [&](pleat::world& w) { return trained(w, {1, parts, 1, 0}); }) == whole));
    }
  };
  check(nn::sequential(nn::linear("fc", 20, 8), nn::relu(), nn::linear("last", 8, 4)), par::column("fc.*"),
        compress::input_rule::observed);
  // A group's inputs are all on one rank: the gradient of their scale is, too.
  train.sample = {5, 2, 2};
  check(nn::sequential(nn::conv2d("conv", 5, 10, 2, {.groups = 5}), nn::flatten(), nn::linear("last", 10, 4)),
        par::column("conv.*", 2), compress::input_rule::learned);
}

TEST_CASE("mesh: rows that are cut train within the bound that the order of their sums gives") {
  auto const train = data(16);
  // A trained model of one layer, and one step of it, uncut and cut.
  struct outcome {
    std::vector<double> before, after;
    std::vector<float> values, bias;
  };
  auto const step_of = [&](mesh const& l) {
    outcome all;
    on(l, [&](pleat::world& w) {
      auto alone_here = pleat::world(pleat::comm::communicator(pleat::comm::self{}), 1);
      auto const whole =
          one_layer(alone_here, {}) |
          compress::quantize_aware<int8>{.train = compress::fine_tune(train, quiet(7)), .step_rate = 1e-2};
      auto m = par::place(whole, par::tensor_parallel(whole.net(), {par::row("fc.*")}), plan_of(l), w);
      auto const was = steps_of(m, "fc.weight");
      auto options = quiet(1);
      options.optimizer = nn::sgd{.learning_rate = 0};
      compress::step_learner learner(1e-2);
      options.before_step = [&] { learner(m); };
      (void)pleat::run::fit(m, train, options);
      auto const is = steps_of(m, "fc.weight");
      m.demand_equal_replicas();
      if (w.comm.rank() != 0) return;
      all.before = was, all.after = is;
      all.values = values_of(whole)[0].values, all.bias = values_of(whole)[1].values;
      auto flat = whole.host_values();
      all.values.assign(flat.begin(), flat.begin() + 80);  // the floats, not their codes
    });
    return all;
  };
  auto const one = step_of({});
  REQUIRE(one.before.size() == 16);
  // Which parts of the gradient may differ, and by how much: y by the order of 20 products and a sum over the ranks,
  // and the softmax after it.
  double const u = 0x1p-24;
  std::vector<double> bound(4, 0.0);
  std::vector<float> x(20);
  double most_y = 0;
  std::vector<double> input(20, 0.0);
  for (index_t s = 0; s < 16; ++s) {
    std::vector<index_t> const number{s};
    train.gather(number, x.data(), nullptr);
    for (std::size_t k = 0; k < 4; ++k) {
      double magnitude = std::abs(static_cast<double>(one.bias[k]));
      for (std::size_t j = 0; j < 20; ++j) {
        double const step = static_cast<double>(static_cast<float>(one.before[k])),
                     code =
                         std::clamp(std::nearbyint(static_cast<double>(one.values[20 * k + j]) / step), -127.0, 127.0);
        magnitude += std::abs(step * code * static_cast<double>(x[j]));
      }
      most_y = std::max(most_y, magnitude);
    }
    for (std::size_t j = 0; j < 20; ++j) input[j] += std::abs(static_cast<double>(x[j]));
  }
  // a softmax's rows of derivatives add up to half at most; it and the loss round
  double const y_off = 2 * 24 * u * most_y, p_off = y_off / 2 + 16 * u;
  for (std::size_t k = 0; k < 4; ++k) {
    for (std::size_t j = 0; j < 20; ++j) {
      double const step = static_cast<double>(static_cast<float>(one.before[k])),
                   v = static_cast<double>(one.values[20 * k + j]) / step, q = std::nearbyint(v);
      // of dL/dW: dy off, and sums of 16 rounded alike or not
      double const slope = v <= -127 || v >= 127 ? 127 : std::abs(q - v),
                   gradient_off = input[j] / 16 * (p_off + 2 * 24 * u);
      bound[k] += slope * gradient_off;
    }
    bound[k] /= std::sqrt(20.0 * 127.0);
  }
  for (int const parts : {2, 3, 4}) {
    CAPTURE(parts);
    auto const cut = step_of({1, parts, 1, 0});
    CHECK(cut.before == one.before);
    CHECK(cut.values == one.values);
    for (std::size_t k = 0; k < 4; ++k) {
      double const g = (one.after[4 + k] - 0.9 * one.before[4 + k]) / 0.1,
                   there = (cut.after[4 + k] - 0.9 * one.before[4 + k]) / 0.1;
      CAPTURE(g, there, bound[k]);
      CHECK(g != 0);
      CHECK(std::abs(g - there) <= bound[k]);
      CHECK(bound[k] < 0.01 * std::abs(g) + 1e-4);  // and that says something
    }
  }
}

TEST_CASE("mesh: column- and row-parallel layers train with codes, and their file runs") {
  auto const train = data(256);
  for (auto const& l : {mesh{1, 2, 1, 0}, {1, 3, 1, 0}, {2, 2, 1, 3}, {1, 2, 2, 0}}) {
    CAPTURE(l.data, l.tensor, l.stages, l.state);
    std::vector<index_t> errors(2, 0);
    auto const bytes = file_over(l, [&](pleat::world& w) {
      auto float_model = groups(w, l);
      (void)pleat::run::fit(float_model, train, quiet(4));
      auto const before = pleat::run::evaluate(float_model, train).errors;
      auto small = std::move(float_model) |
                   (compress::quantize_aware<int4>{.train = compress::fine_tune(train, quiet(3)), .ignore = {"fc1.*"}} |
                    compress::quantize<int4>{.ignore = {"fc1.*"}});
      auto const after = pleat::run::evaluate(small, train).errors;
      if (w.comm.rank() == 0) errors = {before, after};
      return small;
    });
    CHECK(errors[1] <= errors[0] + 8);
    auto w = alone();
    auto whole = compress::widen<compress::quantize<int4>>(groups(w, {}));
    pleat::run::load(whole, opened(bytes));
    CHECK(values_of(whole)[2].form == "int4_g32");
    CHECK(std::abs(pleat::run::evaluate(whole, train).errors - errors[1]) <= 2);  // the order of sums
  }
}

TEST_CASE("mesh: a part without rows begins its codes again with the others") {
  mesh const l{1, 4, 1, 0};
  std::mutex guard;
  std::set<std::vector<double>> seen;
  on(l, [&](pleat::world& w) {  // 3 rows over 4 ranks
    auto net = nn::sequential(nn::linear("fc", 20, 3));
    auto m = par::build(par::tensor_parallel(std::move(net), {par::column("fc.*")}), plan_of(l), w, {.seed = 3}) |
             compress::quantize_aware<int8>{};
    auto const first = steps_of(m, "fc.weight");
    auto const again = steps_of(m | compress::quantize_aware<int8>{}, "fc.weight");
    if (again != first) throw pleat::error{"test", "other steps the second time"};
    // the largest magnitudes take the place of the learned steps, and those are learned from the start after them
    auto const back =
        (m | compress::quantize_aware<int8>{.steps = compress::step_rule::largest}) | compress::quantize_aware<int8>{};
    if (steps_of(back, "fc.weight") != first) throw pleat::error{"test", "other steps after the largest ones"};
    std::lock_guard const lock(guard);
    seen.insert(again);
  });
  CHECK(seen.size() == 1);
}

TEST_CASE(
    "mesh: what no rank can know is refused in the same words everywhere: magnitudes of rows that are cut, NaN in one "
    "part") {
  for (int const parts : {2, 3}) {
    mesh const l{1, parts, 1, 0};
    std::mutex guard;
    std::vector<std::string> said;
    on(l, [&](pleat::world& w) {
      auto const hear = [&](auto&& f) {
        std::string what;
        try {
          f();
        } catch (pleat::error const& e) {
          what = e.what();
        }
        std::lock_guard const lock(guard);
        said.push_back(what);
      };
      hear([&] { (void)(build_on(w, l) | compress::quantize_aware<int8>{.steps = compress::step_rule::largest}); });
      hear([&] {
        auto m = build_on(w, l);
        m.net().for_each_parameter([&](auto& p) {
          if (p.name == "fc2.weight" && p.part == parts - 1)
            m.context().fence(), p.data()[1] = std::numeric_limits<float>::quiet_NaN();
        });
        (void)(m | compress::quantize_aware<int8>{});
      });
      // cut by rows magnitudes are known
      hear([&] {
        (void)(build_on(w, l) |
               compress::quantize_aware<int8>{.steps = compress::step_rule::largest, .ignore = {"fc2.*"}});
      });
    });
    REQUIRE(said.size() == 3 * static_cast<std::size_t>(parts));
    int cut = 0, nan = 0, none = 0;
    for (auto const& s : said) {
      cut += s.find("'fc2.weight': its rows are cut over the tensor axis") != std::string::npos &&
             s.find("step_rule::learned") != std::string::npos;
      nan += s.find("'fc2.weight': the element in row 0, column ") != std::string::npos;
      none += s.empty();
    }
    CHECK((cut == parts && nan == parts && none == parts));
  }
}
