// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Weights that train as codes with learned steps, through checkpoints: from any layout to any other, and on with the
// same bits.
#include <pleat/run/checkpoint_steps.hpp>

#include <pleat/codec/blocks.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize_aware.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "run/checkpoint_support.hpp"

namespace {

using namespace checkpoint_test;
namespace codec = pl::codec;
namespace compress = pl::compress;
namespace nn = pl::nn;
namespace par = pl::parallel;
using Catch::Matchers::ContainsSubstring;
using int8 = codec::int8<float>;
using int4 = codec::int4<float, 32>;
using coded = codec::forms<codec::dense<float>, codec::masked<float>, codec::fake_quantized<float>, int8, int4>;

/// a: rows are shared out; b: rows are cut, each has one step on all ranks; c: 96 columns in groups of 32, cut between
/// them (over 4 ranks one has none); d: pruned, too.
template <class Forms = coded> auto net() {
  auto n = nn::sequential(nn::linear<Forms>("a", 12, 40), nn::relu<>(), nn::linear<Forms>("b", 40, 96), nn::relu<>(),
                          nn::linear<Forms>("c", 96, 64), nn::relu<>(), nn::linear<Forms>("d", 64, 20), nn::relu<>(),
                          nn::linear<Forms>("last", 20, 5));
  return par::tensor_parallel(std::move(n),
                              {par::column("a.*"), par::row("b.*"), par::row("c.*", 32), par::column("d.*")});
}
using net_type = decltype(net());

/// A model in training whose steps are learned, and an optimizer for it.
struct runner : trained<net_type> {
  using base = trained<net_type>;
  compress::step_learner learner{1e-2};

  runner(pl::comm::communicator c, layout const& l) : base(net(), std::move(c), l) {
    model = pruned(world, plan_of(l));
    learn();
  }
  static pl::parallel::model<net_type> pruned(pl::world& w, pl::plan::plan const& p) {
    auto const small = par::build(net<codec::forms<codec::dense<float>, codec::masked<float>>>(), p, w, {.seed = 3}) |
                       compress::prune{.sparsity = 0.5, .ignore = {"a.*", "b.*", "c.*", "last.*"}};
    return compress::widen<compress::quantize_aware<int8>, compress::quantize_aware<int4>>(small);
  }
  void learn(std::vector<std::string> const& others = {}) {
    std::vector<std::string> eights{"c.*", "d.*", "last.*"}, fours{"a.*", "b.*", "last.*"};
    for (auto const& o : others) eights.push_back(o), fours.push_back(o);
    model = std::move(model) | compress::quantize_aware<int8>{.ignore = eights};
    model = std::move(model) | compress::quantize_aware<int4>{.ignore = fours};
    for_each_rounding([](auto& s) {
      codec::fake_quantized<float>::set_input_range(s, 2);
      codec::fake_quantized<float>::learn_inputs(s);
    });
    renew();
  }
  /// f(storage&) for a and b, whose inputs are rounded: to the one they come whole, to the other cut.
  template <class F> void for_each_rounding(F&& f) {
    model.net().for_each_parameter([&](auto& w) {
      using all = typename std::remove_cvref_t<decltype(w)>::forms;
      if constexpr (all::template contains<int4>)
        if (!w.absent && (w.name == "a.weight" || w.name == "b.weight"))
          f(w.storage_of(codec::form_tag<codec::fake_quantized<float>>{}));
    });
  }
  void renew() { optimizer = decltype(optimizer)(model.context(), model.arena(), nn::adamw{.learning_rate = 0.01}); }
  void steps(int from, int to) {
    pipeline_training::samples<net_type> source{&model, 0, false};
    for (int s = from; s < to; ++s) {
      source.step = s;
      model.zero_grad(s % 2 ? 37 : 22);
      model.walk(source);
      model.reduce();
      learner(model);
      model.step(optimizer);
    }
  }
  [[nodiscard]] pl::run::resume_point load(std::string const& folder) {
    auto const at = pl::run::load_checkpoint(folder, model, optimizer);
    if (!at) throw std::runtime_error("there is no checkpoint");
    return *at;
  }
};

void train_alone(folder const& f) {
  runner r(pl::comm::communicator(pl::comm::self{}), {});
  r.steps(0, 2);
  pl::run::save_checkpoint(f / "half", r.model, r.optimizer, 2);
  r.steps(2, 4);
  pl::run::save_checkpoint(f / "whole", r.model, r.optimizer, 4);
}

std::vector<layout> const layouts{{1, 3, 1, 0}, {1, 2, 1, 1}, {1, 3, 1, 2}, {1, 4, 1, 3}, {1, 4, 1, 3, 2},
                                  {2, 1, 1, 0}, {2, 2, 1, 3}, {3, 1, 1, 0}, {1, 1, 2, 0}, {1, 1, 3, 0},
                                  {1, 1, 4, 0}, {1, 2, 2, 3}, {2, 1, 2, 0}};

/// What every rank of two parts has to say to f(runner); all must say the same.
template <class F> std::string said(F&& f, layout const& l = {1, 1, 2, 0}) {
  std::mutex guard;
  std::set<std::string> all;
  pl::comm::run_local(l.ranks(), [&](pl::comm::communicator c) {
    runner r(std::move(c), l);
    r.world.comm.set_timeout(60);
    std::string what;
    try {
      f(r);
    } catch (pl::error const& e) {
      what = e.call() + ": " + e.problem() + " " + e.remedy();
    }
    std::lock_guard const lock(guard);
    all.insert(what);
  });
  REQUIRE(all.size() == 1);
  return *all.begin();
}

}  // namespace

TEST_CASE(
    "learned steps: a checkpoint of any layout is loaded under any other, and saved again it has the same bytes; "
    "training goes on with the same bits") {
  folder const f;
  train_alone(f);
  auto const half = files(f / "half/step-2"), whole = files(f / "whole/step-4");
  REQUIRE(half.contains("steps.safetensors"));
  REQUIRE(half.contains("masks.safetensors"));
  CHECK(half.at("steps.safetensors") != whole.at("steps.safetensors"));
  auto const c = pl::io::load_checkpoint(f / "half");
  auto const& group = c.group("steps");
  for (auto const& [name, shape] : {std::pair<char const*, pl::extents>{"a.weight", {4, 40, 1}},
                                    {"b.weight", {4, 96, 1}},
                                    {"c.weight", {4, 64, 3}},
                                    {"d.weight", {4, 20, 2}},
                                    {"a.weight[input]", {4, 1, 1}},
                                    {"b.weight[input]", {4, 1, 1}}}) {
    auto const* e = group.find(name);
    REQUIRE(e);
    CHECK(e->shape == shape);
    CHECK(e->type == pl::dtype::f64);
  }
  CHECK(!group.find("last.weight"));
  std::string before = f / "half";
  for (auto const& l : layouts) {
    INFO(l.words());
    std::string const here = f / "from " + l.words();
    pl::comm::run_local(l.ranks(), [&](pl::comm::communicator comm) {
      runner r(std::move(comm), l);
      r.world.comm.set_timeout(60);
      auto const at = r.load(before);  // what the layout before has written
      if (at.step != 2 || !at.remark.empty())
        throw std::runtime_error("step " + std::to_string(at.step) + " " + at.remark);
      pl::run::save_checkpoint(here, r.model, r.optimizer, 2);
      r.steps(2, 4);
      pl::run::save_checkpoint(f / "later", r.model, r.optimizer, 4);
    });
    CHECK((files(here + "/step-2") == half));
    CHECK((files(f / "later/step-4") == whole) == (l.tensor == 1));  // a tensor split changes sums
    std::filesystem::remove_all(f / "later");
    before = here;
  }
}

TEST_CASE("learned steps: what moves them counts, steps alone are not enough to go on") {
  folder const f;
  train_alone(f);
  runner r(pl::comm::communicator(pl::comm::self{}), {});
  (void)r.load(f / "half");
  r.model.net().for_each_parameter([&](auto& w) {
    if (!w.steps()) return;
    auto s = *w.steps();
    for (std::size_t i = s.size(); i < s.numbers.size(); ++i) s.numbers[i] = 0;
    w.set_steps(r.model.context(), s);
  });
  r.steps(2, 4);
  pl::run::save_checkpoint(f / "later", r.model, r.optimizer, 4);
  CHECK(files(f / "later/step-4").at("steps.safetensors") != files(f / "whole/step-4").at("steps.safetensors"));
}

TEST_CASE(
    "learned steps: what does not fit is refused in words on every rank, and older checkpoints are gone on with, which "
    "is said") {
  folder const f;
  train_alone(f);
  CHECK_THAT(said([&](runner& r) {
               r.model.net().for_each_parameter([](auto& w) {
                 using all = typename std::remove_cvref_t<decltype(w)>::forms;
                 if constexpr (all::template contains<int4>)
                   if (w.name == "c.weight") w.template use_form<codec::dense<float>>();
               });
               r.renew();
               (void)r.load(f / "half");
             }),
             ContainsSubstring("'c.weight' was saved with learned steps, and has none here") &&
                 ContainsSubstring("quantize_aware"));
  CHECK_THAT(said([&](runner& r) {
               r.model = std::move(r.model) | compress::quantize_aware<int8>{.ignore = {"a.*", "b.*", "d.*", "last.*"}};
               r.renew();
               (void)r.load(f / "half");
             }),
             ContainsSubstring("the learned steps of 'c.weight' are F64 [4, 64, 3] there and F64 [4, 64, 1] here"));
  // One that was saved before there were learned steps: dense weights.
  {
    trained<net_type> t(net(), pl::comm::communicator(pl::comm::self{}), {});
    t.model = runner::pruned(t.world, t.model.plan());
    t.optimizer = decltype(t.optimizer)(t.model.context(), t.model.arena(), nn::adamw{.learning_rate = 0.01});
    pl::run::save_checkpoint(f / "without", t.model, t.optimizer, 1);
  }
  CHECK_THAT(said([&](runner& r) { (void)r.load(f / "without"); }),
             ContainsSubstring("its weights were trained on inputs as they came, and here inputs are rounded"));
  CHECK_THAT(said([&](runner& r) {  // of the same value, and not learned
               r.for_each_rounding([](auto& s) { codec::fake_quantized<float>::set_input_range(s, 2); });
               (void)r.load(f / "half");
             }),
             ContainsSubstring("inputs that were rounded by other scales than here"));
  CHECK(said([&](runner& r) {
          r.for_each_rounding([](auto& s) { codec::fake_quantized<float>::set_input_range(s, 0); });
          auto const remark = r.load(f / "without").remark;
          if (remark != "learned steps are not in this checkpoint: those of 4 weights stay what they are")
            throw pl::error{"test", remark, ""};
        }).empty());
  // A step that no learner makes.
  auto const path = f / "half/step-2/steps.safetensors";
  auto bytes = pl::io::read_file(path);
  bytes[bytes.size() - 3] ^= std::byte{1};
  pl::io::write_file(path, bytes);
  CHECK_THAT(said([&](runner& r) { (void)r.load(f / "half"); }),
             ContainsSubstring("steps.safetensors") && ContainsSubstring("no checkpoint of 1 is whole"));
}
