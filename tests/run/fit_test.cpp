// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/run/fit.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/embedding.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/plan/search.hpp>
#include <pleat/run/serve.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "digits.hpp"
#include "nn/own_momentum.hpp"
#include "support/scratch_folder.hpp"

namespace pl = pleat;
using Catch::Matchers::ContainsSubstring;
using pl::index_t;

namespace {

auto net() {
  return pl::nn::sequential(pl::nn::flatten(), pl::nn::linear("fc1", 64, 32), pl::nn::relu(),
                            pl::nn::linear("fc2", 32, 10));
}

using model = pl::parallel::model<decltype(net())>;

pl::world one_rank() { return pl::world(pl::comm::communicator(pl::comm::self{}), 1); }
/// f(world&) on each of the ranks, which are threads.
template <class F> void on_ranks(int ranks, F const& f) {
  pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    f(w);
  });
}

model build(pl::world& w, bool deterministic = true, index_t batch = 48, index_t micro = 1) {
  return pl::parallel::build(
      net(),
      pl::plan::search(net(), w, {.global_batch = batch, .deterministic = deterministic, .micro_batches = micro}), w,
      {.seed = 4});
}
/// Over the data axis, under a stage of sharded state.
model build_at(index_t stage, pl::world& w, bool deterministic = true) {
  auto p = pl::plan::search(net(), w, {.global_batch = 48, .deterministic = deterministic});
  p.state_stage = stage;
  return pl::parallel::build(net(), p, w, {.seed = 4});
}
/// NaN for the first number of a parameter that is whole on this rank; its sign must be heard nowhere.
template <class Net> void spoil(pl::parallel::model<Net>& m, char const* parameter) {
  float const nan = -std::numeric_limits<float>::quiet_NaN();
  auto const& e = m.arena().entries()[static_cast<std::size_t>(m.arena().find(parameter))];
  pl::copy_from_host(m.context(), &nan, pl::tensor<float>::wrap(m.arena().values() + e.begin, {1}));
}

pl::run::fit_options quiet(index_t epochs) {
  pl::run::fit_options o;
  o.epochs = epochs;
  o.optimizer = pl::nn::adamw{.learning_rate = 3e-3};
  o.progress = false;
  return o;
}

std::string sentence(auto&& f) {
  try {
    f();
  } catch (std::exception const& e) {
    return e.what();
  }
  return "";
}

using folder = pleat_test::scratch_folder;

}  // namespace

TEST_CASE("fit learns the digits, and the model it leaves is the same on any number of ranks") {
  auto const data = test_digits();
  std::uint64_t reference = 0;
  auto alone = one_rank();
  {
    auto m = build(alone);
    auto options = quiet(6);
    options.validation = &data.test;
    int steps = 0, epochs = 0;
    options.on_event = [&](pl::run::event const& e) { (e.what == pl::run::event::kind::step ? steps : epochs) += 1; };
    auto const report = pl::run::fit(m, data.train, options);
    CHECK(report.steps == 6 * ((data.train.size + 47) / 48));
    CHECK(steps == report.steps);
    CHECK(epochs == 6);
    CHECK(report.epoch_loss.size() == 6);
    CHECK(report.epoch_loss.back() < 0.25 * report.epoch_loss.front());
    // Guessing has an error of 0.9; a linear model of these digits stays below 0.1.
    CHECK(report.validation_error.back() < 0.1);
    CHECK(pl::run::evaluate(m, data.test).error() == report.validation_error.back());
    reference = m.checksum();
  }
  for (int ranks : {2, 3, 4})
    for (index_t micro : {1, 2})
      on_ranks(ranks, [&](pl::world& w) {
        auto m = build(w, true, 48, micro);
        auto options = quiet(6);
        options.check_replicas_steps = 20;
        (void)pl::run::fit(m, data.train, options);
        if (m.checksum() != reference) throw std::runtime_error(std::to_string(w.size()) + " ranks gave other bits");
      });
}

namespace {
/// The digits as floats, each with ten numbers to be met: its class has 1, the others 0.
pl::io::dataset numbers_of(pl::io::dataset d, bool regression) {
  std::vector<float> values(d.pixels.begin(), d.pixels.end());
  d.values = std::move(values);
  d.pixels.clear();
  if (!regression) return d;
  std::vector<float> targets(static_cast<std::size_t>(d.size * 10));
  for (std::size_t s = 0; s < d.labels.size(); ++s) targets[10 * s + static_cast<std::size_t>(d.labels[s])] = 1;
  d.target = {10};
  d.targets = std::move(targets);
  d.labels.clear();
  d.classes = 0;
  return d;
}
}  // namespace

TEST_CASE("fit meets targets by their mean square, and floats train as the bytes do") {
  auto const data = test_digits();
  auto const train = numbers_of(data.train, true), test = numbers_of(data.test, true);
  auto alone = one_rank();
  auto bytes = build(alone), floats = build(alone);
  (void)pl::run::fit(bytes, data.train, quiet(1));
  (void)pl::run::fit(floats, numbers_of(data.train, false), quiet(1));
  CHECK(bytes.checksum() == floats.checksum());

  auto m = build(alone);
  auto options = quiet(6);
  options.validation = &test;
  options.keep_best = true;
  auto const before = pl::run::evaluate(m, test);
  CHECK(before.error() > 1);  // at random it is farther from the targets than zeros are
  auto const report = pl::run::fit(m, train, options);
  CHECK(report.epoch_loss.back() < 0.25 * report.epoch_loss.front());
  auto const e = pl::run::evaluate(m, test);
  CHECK(e.error() == *std::min_element(report.validation_error.begin(), report.validation_error.end()));
  CHECK(e.error() < 0.5);
  CHECK((e.samples == test.size && e.errors == 0 && e.confusion.empty()));
  CHECK(e.target_squares == 0.1);  // one of ten is 1

  // by hand, from what serve answers
  auto const s = pl::run::serve(m, test, {.batch = 50});
  REQUIRE(s.outputs.size() == test.targets.size());
  CHECK(s.answers.empty());
  double all = 0;
  index_t wrong = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(test.size); ++i) {
    double each = 0;
    for (std::size_t k = 0; k < 10; ++k) {
      double const apart = static_cast<double>(s.outputs[10 * i + k]) - static_cast<double>(test.targets[10 * i + k]);
      each += apart * apart;
    }
    all += each;
    auto const first = s.outputs.begin() + static_cast<std::ptrdiff_t>(10 * i);
    wrong += std::max_element(first, first + 10) - first != data.test.labels[i];
  }
  CHECK(e.mean_square == all / static_cast<double>(test.targets.size()));
  CHECK(static_cast<double>(wrong) < 0.1 * static_cast<double>(test.size));

  auto const reference = m.checksum();
  for (int ranks : {2, 3, 4})
    on_ranks(ranks, [&](pl::world& w) {
      auto n = build(w);
      (void)pl::run::fit(n, train, options);
      if (n.checksum() != reference) throw std::runtime_error(std::to_string(w.size()) + " ranks gave other bits");
      if (pl::run::evaluate(n, test, 7).mean_square != e.mean_square) throw std::runtime_error("another mean square");
      if (pl::run::serve(n, test, {.batch = 50}).outputs != s.outputs) throw std::runtime_error("other outputs");
    });

  // what the best epoch was judged by may lie above 1: it is saved, and gone on with
  folder const at;
  auto first = build(alone);
  auto still = options;
  still.epochs = 1, still.optimizer = pl::nn::adamw{.learning_rate = 0}, still.checkpoint = at.path();
  CHECK(pl::run::fit(first, train, still).validation_error.back() > 1);
  auto second = build(alone);
  still.epochs = 2, still.resume = true;
  CHECK(pl::run::fit(second, train, still).resumed_at.has_value());
  CHECK(pl::run::evaluate(second, test).mean_square == before.mean_square);

  auto short_one = test;
  short_one.target = {5};
  CHECK_THAT(sentence([&] { (void)pl::run::evaluate(m, short_one); }), ContainsSubstring("samples of 5 targets"));
  short_one.targets = std::vector<float>(static_cast<std::size_t>(5 * test.size));
  CHECK_THAT(sentence([&] { (void)pl::run::evaluate(m, short_one); }),
             ContainsSubstring("output for 256 samples has shape [256, 10], a sample's target [5]"));
  CHECK_THAT(sentence([&] { (void)pl::run::serve(m, short_one); }), ContainsSubstring("run::serve"));

  // what is no number is no good answer, and no best epoch
  auto dark = test;
  std::vector<float> spoilt(dark.values.begin(), dark.values.end());
  spoilt[64 * 3] = std::numeric_limits<float>::quiet_NaN();
  dark.values = spoilt;
  CHECK(std::isnan(pl::run::evaluate(m, dark).error()));
  auto kept = build(alone), last = build(alone);
  auto none = quiet(2);
  none.validation = &dark, none.keep_best = true;
  (void)pl::run::fit(kept, train, none);
  (void)pl::run::fit(last, train, quiet(2));
  CHECK(kept.checksum() == last.checksum());

  // of classes that the network has no score for, and of sets that are not whole
  auto more = numbers_of(data.test, false);
  more.classes = 12, more.labels[7] = 11;
  CHECK_THAT(sentence([&] { (void)pl::run::evaluate(m, more); }),
             ContainsSubstring("has samples of class 11, and the network scores for 10 classes"));
  more.labels.pop_back();
  for (auto const& words :
       {sentence([&] { (void)pl::run::evaluate(m, more); }), sentence([&] { (void)pl::run::serve(m, more); }),
        sentence([&] { (void)more.pick(std::vector<index_t>{0}); }),
        sentence([&] { (void)pl::run::fit(m, more, quiet(1)); })})
    CHECK_THAT(words, ContainsSubstring("355 samples of 1 label, found 354"));
  auto const answers = pl::run::serve(m, data.test, {.batch = 50}).answers;
  more.labels.clear();  // requests need none
  CHECK(pl::run::serve(m, more, {.batch = 50}).answers == answers);

  // stages, sharded parameters, more ranks than samples
  auto const few = test.pick(std::vector<index_t>{5, 9});
  auto const of_few = pl::run::evaluate(m, few).mean_square;
  struct laid {
    index_t pipeline, data;
    int state_stage;
  };
  for (auto const& l : {laid{2, 1, 0}, laid{2, 2, 0}, laid{1, 3, 3}, laid{2, 2, 3}})
    on_ranks(static_cast<int>(l.pipeline * l.data), [&](pl::world& w) {
      pl::plan::plan p{.global_batch = 48, .data_ranks = l.data, .pipeline_ranks = l.pipeline, .deterministic = true};
      if (l.pipeline > 1) p.cuts = {2};
      p.state_stage = l.state_stage;
      auto n = pl::parallel::build(net(), p, w, {.seed = 4});
      (void)pl::run::fit(n, train, options);
      if (pl::run::evaluate(n, test, 50).mean_square != e.mean_square) throw std::runtime_error("another mean square");
      if (pl::run::evaluate(n, few).mean_square != of_few) throw std::runtime_error("another mean square of few");
      if (pl::run::serve(n, few, {.batch = 1}).outputs.size() != 20) throw std::runtime_error("not all outputs");
    });
}

TEST_CASE("windows of a text train and are judged position by position, the same on any number of ranks") {
  // after every 'a' comes b or c, half and half; all else is certain: ln 2 for every other character and 0 for the rest
  std::string text;
  for (std::uint64_t i = 0; i < 1500; ++i) text += (i * i * 2654435761u >> 9) % 2 ? "ab" : "ac";
  auto const split = pl::io::split_text(text, 8);
  auto const train = pl::io::windows_of(split.train), test = pl::io::windows_of(split.validation);
  CHECK((train.positions() == 8 && train.size == split.train.size() && train.classes == 3));
  CHECK(train.fingerprint() == split.train.fingerprint());
  auto const net = pl::nn::sequential(pl::nn::embedding("e", 3, 8), pl::nn::linear("out", 8, 3));
  auto const bigrams = [&](pl::world& w) {
    return pl::parallel::build(net, pl::plan::search(net, w, {.global_batch = 64, .deterministic = true}), w,
                               {.seed = 5, .input = pl::extents{64, 8}});
  };
  auto alone = one_rank();
  auto m = bigrams(alone);
  auto const options = quiet(4);
  auto const before = pl::run::evaluate(m, test);
  (void)pl::run::fit(m, train, options);
  auto const e = pl::run::evaluate(m, test);
  CHECK((e.samples == test.size && e.judged == 8 * test.size && e.confusion.empty()));
  CHECK(e.loss < before.loss);
  // no bigram model beats half of ln 2 on average; one that knows who follows whom is close to it
  CHECK((e.loss > 0.9 * 0.5 * std::log(2.0) && e.loss < 1.2 * 0.5 * std::log(2.0)));
  CHECK((e.error() > 0.15 && e.error() < 0.35));

  // by hand, from the scores of one window
  auto const one = test.pick(std::vector<index_t>{2});
  CHECK((one.size == 1 && one.positions() == 8));
  std::vector<float> x(8), x2(8);
  std::vector<std::int32_t> y(8), y2(8);
  one.gather(std::vector<index_t>{0}, x.data(), y.data());
  test.gather(std::vector<index_t>{2}, x2.data(), y2.data());
  CHECK((x == x2 && y == y2));
  auto in = pl::tensor<float>::allocate(m.context(), {1, 8});
  pl::copy_from_host(m.context(), x.data(), in);
  auto const out = m.predict(std::move(in));
  std::vector<float> scores(24);
  pl::copy_to_host(m.context(), out, scores.data());
  double loss = 0;
  index_t wrong = 0;
  auto const served = pl::run::serve(m, one, {.batch = 1}).answers;
  REQUIRE(served.size() == 8);
  for (std::size_t t = 0; t < 8; ++t) {
    double sum = 0;
    for (std::size_t c = 0; c < 3; ++c) sum += std::exp(static_cast<double>(scores[3 * t + c]));
    loss += std::log(sum) - static_cast<double>(scores[3 * t + static_cast<std::size_t>(y[t])]);
    auto const first = scores.begin() + static_cast<std::ptrdiff_t>(3 * t);
    wrong += std::max_element(first, first + 3) - first != y[t];
    CHECK(std::max_element(first, first + 3) - first == served[t]);
  }
  auto const judged = pl::run::evaluate(m, one);
  CHECK(judged.errors == wrong);
  // a row's loss in float: its terms are below 8, so each of the few roundings is below 8 · 2^-23; ten of them
  CHECK(std::abs(judged.loss - loss / 8) < 10 * 8 * 0x1p-23);

  auto const reference = m.checksum();
  for (int ranks : {2, 3})
    on_ranks(ranks, [&](pl::world& w) {
      auto n = bigrams(w);
      (void)pl::run::fit(n, train, options);
      if (n.checksum() != reference) throw std::runtime_error(std::to_string(w.size()) + " ranks gave other bits");
      auto const found = pl::run::evaluate(n, test, 5);
      if (found.loss != e.loss || found.errors != e.errors) throw std::runtime_error("another judgement");
    });
}

TEST_CASE("checkpoints are the same files whichever way state is sharded, and training goes on under any other stage") {
  auto const data = test_digits();
  auto alone = one_rank();
  auto whole = build(alone);
  auto options = quiet(2);
  options.optimizer = pl::nn::adamw{};
  options.clip_norm = 0.5;
  auto const complete = pl::run::fit(whole, data.train, options);
  folder const f;
  auto const bytes_of = [&](index_t step) {
    std::string all;
    for (char const* group : {"parameters", "optimizer-1", "optimizer-2"}) {
      std::ifstream in(
          std::filesystem::path(f.path()) / ("step-" + std::to_string(step)) / (std::string(group) + ".safetensors"),
          std::ios::binary);
      REQUIRE(in.good());
      all.append(std::istreambuf_iterator<char>(in), {});
    }
    return all;
  };
  struct stop : std::exception {};
  std::string reference;
  for (int const first : {0, 1, 2, 3}) {
    std::filesystem::remove_all(f.path());
    // Two ranks up to step 7 under one stage, then three ranks under another one to the end.
    for (auto const& [ranks, stage, until] :
         {std::tuple{2, first, index_t{7}}, {3, (first + 2) % 4, index_t{100000}}}) {
      std::uint64_t got = 0;
      double error = 1;
      try {
        on_ranks(ranks, [&, stage = stage, until = until](pl::world& w) {
          auto m = build_at(stage, w);
          auto o = options;
          o.checkpoint = f.path();
          o.checkpoint_steps = 7;
          o.resume = true;
          o.validation = &data.test;
          o.on_event = [until = until](pl::run::event const& e) {
            if (e.what == pl::run::event::kind::checkpoint && e.step == until) throw stop{};
          };
          (void)pl::run::fit(m, data.train, o);
          auto const sum = m.checksum();
          auto const e = pl::run::evaluate(m, data.test).error();
          if (w.root()) got = sum, error = e;
        });
      } catch (stop const&) {
        CHECK(until == 7);
      }
      INFO("stage " << first << " to 7, then stage " << stage);
      if (until == 7) {
        auto const bytes = bytes_of(7);
        if (reference.empty()) reference = bytes;
        CHECK((bytes == reference));
      } else {
        CHECK(got == whole.checksum());
        CHECK(error == pl::run::evaluate(whole, data.test).error());
      }
    }
  }
  CHECK(complete.steps > 7);
}

namespace {
/// Of the same name, and what it keeps is called otherwise.
struct renamed_momentum : pl::test::own_momentum {
  static constexpr std::array<std::string_view, 1> buffers{"speed"};
};
/// The checkpoints of a folder without a word of their state, as older ones were.
void forget(std::string const& folder, std::string const& key) {
  for (auto const& name : pl::io::detail::listed_checkpoints(folder)) {
    auto const path = folder + "/" + name;
    auto manifest = pl::io::detail::read_manifest(path);
    REQUIRE(manifest.state.erase(key) == 1);
    pl::io::write_file(path + "/manifest", std::string_view(manifest.to_string("test")));
  }
}
}  // namespace

TEST_CASE("an optimizer and a schedule of one's own train, are sharded and go on from checkpoints as pleat's do") {
  auto const data = test_digits();
  auto alone = one_rank();
  auto whole = build(alone), theirs = build(alone);
  auto options = quiet(2);
  options.groups = {{.pattern = "*", .max_rank = 1, .weight_decay = 0.0},
                    {.pattern = "fc1.*", .learning_rate_scale = 2}};
  options.optimizer = pl::nn::sgd{.learning_rate = 0.05, .momentum = 0.9, .weight_decay = 0.01};
  options.schedule = pl::nn::cosine{.warm_up_steps = 3};
  (void)pl::run::fit(whole, data.train, options);
  options.optimizer = pl::test::own_momentum{.learning_rate = 0.05, .weight_decay = 0.01};
  options.schedule = {"own_cosine", [like = pl::nn::cosine{.warm_up_steps = 3}](index_t step, index_t steps) {
                        return like(step, steps);
                      }};
  (void)pl::run::fit(theirs, data.train, options);
  CHECK(theirs.checksum() == whole.checksum());

  struct stop : std::exception {};
  for (int const first : {0, 3}) {
    folder const f;
    options.checkpoint = f.path();
    options.checkpoint_steps = 7;
    options.resume = true;
    for (auto const& [ranks, stage, until] : {std::tuple{2, first, index_t{7}}, {3, 3 - first, index_t{100000}}}) {
      std::uint64_t got = 0;
      try {
        on_ranks(ranks, [&, stage = stage, until = until](pl::world& w) {
          auto m = build_at(stage, w);
          auto o = options;
          o.on_event = [until = until](pl::run::event const& e) {
            if (e.what == pl::run::event::kind::checkpoint && e.step == until) throw stop{};
          };
          (void)pl::run::fit(m, data.train, o);
          auto const sum = m.checksum();
          if (w.root()) got = sum;
        });
      } catch (stop const&) {
        CHECK(until == 7);
      }
      if (until > 7) CHECK(got == whole.checksum());
    }
    if (first != 0) continue;
    auto other = options;
    other.optimizer = pl::nn::sgd{.momentum = 0.9};
    auto m = build(alone);
    CHECK_THAT(sentence([&] { (void)pl::run::fit(m, data.train, other); }),
               ContainsSubstring("the optimizer own_momentum, this run has sgd"));
    other = options;
    other.optimizer = renamed_momentum{};
    CHECK_THAT(
        sentence([&] { (void)pl::run::fit(m, data.train, other); }),
        ContainsSubstring("the optimizer's buffers velocity, this run has speed. Let the optimizer keep the same"));
    forget(f.path(), "optimizer_buffers");  // an older one, which has no names
    CHECK(pl::run::fit(m, data.train, other).remarks ==
          std::vector<std::string>{"learning_rate was 0.05 and is 0.01, weight_decay was 0.01 and is 0 from here on"});
    other = options;
    other.schedule = {};
    CHECK(pl::run::fit(m, data.train, other).remarks ==
          std::vector<std::string>{"the schedule was 'own_cosine', and is 'constant' from here on"});
    folder const again;
    auto decayed = options;
    decayed.checkpoint = again.path();
    decayed.schedule = pl::nn::step_decay{.every = 10};
    CHECK(pl::run::fit(m, data.train, decayed).remarks.size() == 1);  // there was no checkpoint
    CHECK(pl::run::fit(m, data.train, decayed).remarks.empty());
    other = decayed;
    other.schedule = pl::nn::step_decay{.every = 20};
    CHECK(pl::run::fit(m, data.train, other).remarks ==
          std::vector<std::string>{"the schedule 'step_decay' had every 10, gamma 0.1, and has every 20, gamma 0.1 "
                                   "from here on"});
    other.schedule = pl::nn::warm_up{.steps = 1000};
    CHECK_THAT(sentence([&] { (void)pl::run::fit(m, data.train, other); }),
               ContainsSubstring("nn::warm_up: the warm-up takes 1000 steps, and the whole training has"));
  }
}

TEST_CASE("functions of one's own that differ between ranks, or give no number, are refused before the first step") {
  auto const data = test_digits();
  for (int const what : {0, 1, 2, 3}) {
    auto const said = sentence([&] {
      on_ranks(2, [&](pl::world& w) {
        auto m = build(w);
        auto o = quiet(1);
        bool const odd = w.rank() == 1;
        if (what == 0 && odd) o.optimizer = pl::test::own_momentum{};
        if (what == 3) o.schedule = pl::nn::step_decay{.every = odd ? 1001 : 1000};  // the same factors, in one epoch
        else if (what > 0)
          o.schedule = {"mine", [=](index_t step, index_t) {
                          double const last = what == 1 ? 0.25 : std::numeric_limits<double>::quiet_NaN();
                          return odd && step > 0 ? last : 1.0;
                        }};
        o.before_step = [] { throw std::runtime_error("a step was begun"); };
        (void)pl::run::fit(m, data.train, o);
      });
    });
    INFO(said);
    if (what == 0) CHECK_THAT(said, ContainsSubstring("the optimizer own_momentum there, the optimizer adamw here"));
    if (what == 1)
      CHECK_THAT(said, ContainsSubstring("factors 1 0.25 0.25 there, the schedule mine, factors 1 1 1 here"));
    if (what == 2) CHECK_THAT(said, ContainsSubstring("'mine' gives the factor nan for step"));
    if (what == 3) CHECK_THAT(said, ContainsSubstring("the schedule step_decay, every 1001, gamma 0.1, factors"));
  }
}

TEST_CASE("options that differ between ranks are refused before the first step, on every rank") {
  auto const data = test_digits();
  folder const f;
  using change = std::function<void(pl::run::fit_options&)>;
  for (auto const& [on_rank_1, words] :
       {std::pair{change([&](auto& o) { o.checkpoint = f / "c"; }), "checkpoint, after steps 0 there, no checkpoint"},
        {change([](auto& o) { o.epochs = 2; }), "2 epochs of "},
        {change([&](auto& o) { o.validation = &data.test; }), " there, no validation here"},
        {change([](auto& o) { o.optimizer = pl::nn::adamw{.learning_rate = 3e-3, .beta1 = 0.8}; }), "beta1 0.8 there"},
        {change([](auto& o) { o.groups = {{.pattern = "*", .max_rank = 2, .weight_decay = 0.0}}; }),
         "groups ('*', at most of rank 2, decay 0) there"},
        {change([](auto& o) { o.check_replicas_steps = 5; }), "check_replicas_steps 5 there"},
        {change([](auto& o) { o.clip_norm = -1; }), "found -1"}}) {
    std::vector<std::string> said(2);
    on_ranks(2, [&, &change = on_rank_1](pl::world& w) {
      auto m = build(w);
      auto o = quiet(1);
      o.before_step = [] { throw std::runtime_error("a step was begun"); };
      if (w.rank() == 1) change(o);
      said[static_cast<std::size_t>(w.rank())] = sentence([&] { (void)pl::run::fit(m, data.train, o); });
    });
    for (auto const& one : said) CHECK_THAT(one, ContainsSubstring("run::fit") && ContainsSubstring(words));
  }
}

TEST_CASE("a folder that holds checkpoints is gone on from or refused, and what it holds stays") {
  auto const data = test_digits();
  folder const f;
  auto alone = one_rank();
  auto options = quiet(1);
  options.checkpoint = f.path();
  auto m = build(alone);
  (void)pl::run::fit(m, data.train, options);
  auto const names = [&] {
    std::vector<std::string> all;
    for (auto const& e : std::filesystem::directory_iterator(f.path())) all.push_back(e.path().filename().string());
    std::sort(all.begin(), all.end());
    return all;
  };
  auto const before = names();
  std::vector<std::string> said(2);
  on_ranks(2, [&](pl::world& w) {
    auto again = build(w);
    said[static_cast<std::size_t>(w.rank())] = sentence([&] { (void)pl::run::fit(again, data.train, options); });
  });
  CHECK(said[0] == said[1]);
  CHECK_THAT(said[0], ContainsSubstring("holds checkpoints of another training, the newest step-") &&
                          ContainsSubstring("resume"));
  CHECK(names() == before);
  auto inside = options;
  inside.checkpoint = f / before.back(), inside.resume = true;  // "step-8": a checkpoint itself
  CHECK_THAT(sentence([&] { (void)pl::run::fit(m, data.train, inside); }),
             ContainsSubstring("Name the folder that it lies in"));
  options.resume = true;
  CHECK(pl::run::fit(m, data.train, options).resumed_at.has_value());
}

TEST_CASE("a loss that is not finite is explained on every rank where parameters are sharded") {
  auto const data = test_digits();
  std::string const said = sentence([&] {
    on_ranks(2, [&](pl::world& w) {
      auto m = build_at(3, w, false);
      auto values = m.host_values();
      auto const& e = m.arena().entries()[static_cast<std::size_t>(m.arena().find("fc2.bias"))];
      values[static_cast<std::size_t>(e.begin)] = std::numeric_limits<float>::quiet_NaN();
      m.set_host_values(values);
      (void)pl::run::fit(m, data.train, quiet(1));
    });
  });
  INFO(said);
  CHECK(said.find("fc2") != std::string::npos);
}

TEST_CASE("evaluate counts every sample once, and its confusion matrix adds up") {
  auto const data = test_digits();
  auto alone = one_rank();
  auto m = build(alone);
  (void)pl::run::fit(m, data.train, quiet(2));
  auto const e = pl::run::evaluate(m, data.test);
  index_t total = 0, diagonal = 0;
  for (index_t i = 0; i < 100; ++i) {
    total += e.confusion[static_cast<std::size_t>(i)];
    if (i / 10 == i % 10) diagonal += e.confusion[static_cast<std::size_t>(i)];
  }
  CHECK(total == data.test.size);
  CHECK(diagonal == data.test.size - e.errors);
  CHECK((e.judged == e.samples && e.loss > 0 && e.loss < std::log(10.0)));
  for (int ranks : {2, 3})
    on_ranks(ranks, [&](pl::world& w) {
      auto n = build(w);
      (void)pl::run::fit(n, data.train, quiet(2));
      for (index_t batch : {1, 7, 1000})
        if (auto const found = pl::run::evaluate(n, data.test, batch);
            found.confusion != e.confusion || found.loss != e.loss)
          throw std::runtime_error("another confusion matrix, or loss");
    });
  // Of nothing nobody knows an error: neither that nothing is wrong, nor that all is.
  auto none = data.test;
  none.size = 0, none.pixels = {}, none.values = {}, none.labels = {};
  auto const unknown = pl::run::evaluate(m, none);
  CHECK((unknown.samples == 0 && std::isnan(unknown.error()) && std::isnan(unknown.accuracy()) &&
         std::isnan(unknown.loss)));
  auto options = quiet(1);
  options.validation = &none;
  CHECK_THAT(sentence([&] { (void)pl::run::fit(m, data.train, options); }),
             ContainsSubstring("the validation set has no samples"));
}

TEST_CASE("serve gives every request the answer that evaluate counts, on any number of ranks") {
  auto const data = test_digits();
  for (int ranks : {1, 2, 3})
    on_ranks(ranks, [&](pl::world& w) {
      auto m = build(w);
      (void)pl::run::fit(m, data.train, quiet(2));
      auto const s = pl::run::serve(m, data.test, {.batch = 50});
      index_t wrong = 0;
      for (std::size_t i = 0; i < s.answers.size(); ++i) wrong += s.answers[i] != data.test.labels[i];
      if (wrong != pl::run::evaluate(m, data.test).errors) throw std::runtime_error("serve and evaluate disagree");
      if (!(s.p50 > 0 && s.p50 <= s.p99 && s.throughput > 0)) throw std::runtime_error("no times");
    });
  auto alone = one_rank();
  auto const m = build(alone);
  CHECK(sentence([&] {
          (void)pl::run::serve(m, data.test, {.batch = 0});
        }).find("expected batches of 1 request or more, found 0") != std::string::npos);
  for (index_t const batch : {0, -1})
    CHECK(sentence([&] {
            (void)pl::run::evaluate(m, data.test, batch);
          }).find("expected batches of 1 sample or more, found " + std::to_string(batch)) != std::string::npos);
}

TEST_CASE("a batch larger than any set of samples takes all of them at once") {
  auto const data = test_digits();
  constexpr index_t all = std::numeric_limits<index_t>::max();
  for (int ranks : {1, 2, 3})
    on_ranks(ranks, [&](pl::world& w) {
      auto const m = build(w);
      auto const e = pl::run::evaluate(m, data.test), at_once = pl::run::evaluate(m, data.test, all);
      if (at_once.errors != e.errors || at_once.loss != e.loss) throw std::runtime_error("evaluate judged others");
      if (pl::run::serve(m, data.test, {.batch = all}).answers != pl::run::serve(m, data.test).answers)
        throw std::runtime_error("serve gave other answers");
    });
}

namespace {
// Hands on what it gets; a sample that begins with a bright pixel breaks it.
struct picky {
  static constexpr char const* kind = "picky";
  struct saved {};
  pl::extents shape(pl::extents const& in) const { return in; }
  pl::nn::step<saved, pl::tensor<float>> forward(pl::nn::pass<Kokkos::DefaultExecutionSpace> const& p,
                                                 pl::tensor<float> x) const {
    std::vector<float> host(static_cast<std::size_t>(x.size()));
    pl::copy_to_host(*p.where, x, host.data());
    for (float const v : host)
      if (v > 40) throw pl::error{"picky", "a pixel is too bright", "Turn down the light"};
    return {std::move(x), {}};
  }
  pl::tensor<float> backward(pl::nn::pass<Kokkos::DefaultExecutionSpace> const&, saved&, pl::tensor<float> dy) {
    return dy;
  }
  void for_each_parameter(auto&&) {}
};
}  // namespace

TEST_CASE("a layer that refuses one sample on one rank is heard of on every rank of evaluate and serve") {
  auto data = test_digits();
  data.test.pixels[static_cast<std::size_t>(300 * 64 + 5)] = 255;  // (255 - 4.88) / 6.02 = 41.5
  auto const choosy = pl::nn::sequential(pl::nn::flatten(), picky{}, pl::nn::linear("fc1", 64, 32), pl::nn::relu(),
                                         pl::nn::linear("fc2", 32, 10));
  struct laid {
    index_t pipeline, data;
    std::vector<index_t> cuts;
    int state_stage = 0;
  };
  // at state stage 3 others wait for pieces of what the rank that fails has not reached yet
  for (auto const& l : {laid{1, 3, {}}, laid{2, 1, {2}}, laid{2, 1, {1}}, laid{3, 2, {1, 3}}, laid{1, 3, {}, 3},
                        laid{2, 2, {2}, 3}, laid{3, 2, {1, 3}, 3}})
    for (bool const serve : {false, true}) {
      INFO(l.pipeline << " stages, " << l.data << " data ranks, the first cut " << (l.cuts.empty() ? 0 : l.cuts[0])
                      << ", state stage " << l.state_stage << (serve ? ", serve" : ""));
      std::mutex guard;
      std::vector<std::string> said;
      on_ranks(static_cast<int>(l.pipeline * l.data), [&](pl::world& w) {
        pl::plan::plan p{.global_batch = 48, .data_ranks = l.data, .pipeline_ranks = l.pipeline};
        p.cuts = l.cuts;
        p.state_stage = l.state_stage;
        p.bucket_bytes = 1024, p.prefetch = 0;  // one buffer: each linear layer is gathered anew for every batch
        auto const m = pl::parallel::build(choosy, p, w, {.seed = 4});
        m.set_timeout(20);  // only where it hangs
        auto const mine = sentence([&] {
          if (serve) (void)pl::run::serve(m, data.test, {.batch = 50});
          else (void)pl::run::evaluate(m, data.test, 50);
        });
        std::lock_guard const lock(guard);
        said.push_back(mine);
      });
      CHECK(said == std::vector<std::string>(said.size(), "pleat: picky: a pixel is too bright. Turn down the light"));
    }
}

TEST_CASE("evaluate and serve refuse data that differ between ranks on every rank, and nobody waits") {
  auto const digits = test_digits();
  auto const but = [&](auto change) {
    auto other = digits.test;
    change(other);
    return other;
  };
  std::vector<index_t> few(40);
  std::iota(few.begin(), few.end(), index_t{0});
  struct odd {
    pl::io::dataset data;  // of rank 1
    index_t batch;
    bool served;  // whether serve minds
    char const* words;
  };
  for (odd const& o :
       {odd{digits.test.pick(few), 50, true, "what is asked of rank 1 is not that of rank 0: 40 samples"},
        odd{but([](auto& d) { d.pixels.pop_back(); }), 50, true, "samples of 64 bytes, found"},
        odd{but([](auto& d) { d.labels[7] = 10; }), 50, false, "sample 7 of 'digits test' has the label 10"},
        odd{digits.test, 25, true, "batches of 25 there, batches of 50 here"},
        odd{digits.test, 0, true, "Use 1 or more"}})
    for (bool const serve : {false, true}) {
      if (serve && !o.served) continue;
      INFO(o.words << (serve ? ", serve" : ", evaluate"));
      std::mutex guard;
      std::vector<std::string> said;
      on_ranks(2, [&](pl::world& w) {
        auto const m = build(w);
        m.set_timeout(20);  // only where it hangs
        auto const& data = w.comm.rank() == 1 ? o.data : digits.test;
        index_t const batch = w.comm.rank() == 1 ? o.batch : 50;
        auto const mine = sentence([&] {
          if (serve) (void)pl::run::serve(m, data, {.batch = batch});
          else (void)pl::run::evaluate(m, data, batch);
        });
        std::lock_guard const lock(guard);
        said.push_back(mine);
      });
      REQUIRE(said.size() == 2);
      for (auto const& s : said) CHECK_THAT(s, ContainsSubstring(o.words));
    }
}

TEST_CASE("a walk over sharded parameters that one rank breaks off ends the job with its words, and nobody waits") {
  auto const digits = test_digits();
  auto unfit = digits.test;  // no batch of it has a shape: what fails is not a layer's, and the walk cannot go on
  std::vector<index_t> ones(pl::extents::max_rank, 1);
  ones.back() = 64;
  unfit.sample = pl::extents(std::span<index_t const>(ones));
  auto bright = digits.train;
  bright.pixels[static_cast<std::size_t>(100 * 64 + 5)] = 255;
  for (int const ranks : {2, 3})
    for (bool const trains : {false, true}) {
      INFO(ranks << " ranks" << (trains ? ", training" : ""));
      std::vector<std::string> said(static_cast<std::size_t>(ranks));
      auto const job = [&](pl::comm::communicator c) {
        auto const rank = static_cast<std::size_t>(c.rank());
        bool const fails = c.rank() == 1;
        pl::world w(std::move(c), 1);
        pl::plan::plan p{.global_batch = 48, .data_ranks = ranks, .state_stage = 3};
        p.bucket_bytes = 1024, p.prefetch = 0;
        auto m = pl::parallel::build(pl::nn::sequential(pl::nn::flatten(), picky{}, pl::nn::linear("fc1", 64, 32),
                                                        pl::nn::relu(), pl::nn::linear("fc2", 32, 10)),
                                     p, w, {.seed = 4});
        m.set_timeout(60);  // only where it hangs; its words are others
        try {
          if (trains) (void)pl::run::fit(m, bright, quiet(1));
          else (void)pl::run::evaluate(m, fails ? unfit : digits.test, 50);
        } catch (std::exception const& e) {
          said[rank] = e.what();
          throw;
        }
      };
      std::string const words = trains ? "a pixel is too bright" : "extents, and a batch of them one more";
      CHECK_THROWS_WITH(pl::comm::run_local(ranks, job), ContainsSubstring(words));
      int first = 0, others = 0;
      for (auto const& s : said) {
        CAPTURE(s);
        bool const own = s.find("ended early") == s.npos;
        CHECK_THAT(s, ContainsSubstring(words));
        ++(own ? first : others);
      }
      CHECK((first == 1 && others == ranks - 1));
    }
}

TEST_CASE("training goes on from a checkpoint bit for bit, on another number of ranks") {
  auto const data = test_digits();
  folder const f;
  auto alone = one_rank();
  auto whole = build(alone);
  auto const complete = pl::run::fit(whole, data.train, quiet(3));
  index_t const per_epoch = (data.train.size + 47) / 48;

  // Ranks stop at different places of an epoch: each run ends by an exception from its listener.
  struct stop : std::exception {};
  for (auto const& run : {std::pair{3, index_t{11}}, {2, index_t{40}}, {1, index_t{47}}, {4, index_t{1000}}}) {
    int const ranks = run.first;
    index_t const until = run.second;
    std::uint64_t got = 0;
    pl::run::fit_report report;
    std::string const said = sentence([&] {
      on_ranks(ranks, [&](pl::world& w) {
        auto m = build(w);
        auto options = quiet(3);
        options.checkpoint = f.path();
        options.checkpoint_steps = 5;
        options.resume = true;
        options.on_event = [&](pl::run::event const& e) {
          if (e.epoch != (e.step + per_epoch - 1) / per_epoch)  // begun, of checkpoints within an epoch, too
            throw std::runtime_error("step " + std::to_string(e.step) + " is said to be of epoch " +
                                     std::to_string(e.epoch));
          if (e.what == pl::run::event::kind::step && e.step == until) throw stop{};
        };
        auto const mine = pl::run::fit(m, data.train, options);
        if (w.root()) got = m.checksum(), report = mine;
      });
    });
    if (until != 1000) {
      CHECK(!said.empty());
      continue;
    }
    CHECK(got == whole.checksum());
    REQUIRE(report.resumed_at);
    CHECK(*report.resumed_at % per_epoch != 0);  // inside an epoch, whose loss counts what came before
    std::vector<double> const rest(complete.epoch_loss.begin() + *report.resumed_at / per_epoch,
                                   complete.epoch_loss.end());
    CHECK(report.epoch_loss == rest);
  }
}

TEST_CASE("an epoch's loss is the mean over its samples, of a short last batch too") {
  auto const data = test_digits();
  auto alone = one_rank();
  auto m = build(alone);
  REQUIRE(data.train.size % 48 != 0);
  double sum = 0;
  index_t samples = 0;
  auto options = quiet(1);
  options.on_event = [&](pl::run::event const& e) {
    if (e.what != pl::run::event::kind::step) return;
    index_t const n = std::min<index_t>(48, data.train.size - samples);
    sum += e.loss * static_cast<double>(n);
    samples += n;
  };
  auto const report = pl::run::fit(m, data.train, options);
  CHECK(samples == data.train.size);
  CHECK(report.epoch_loss.at(0) == sum / static_cast<double>(samples));
}

TEST_CASE("the last step has a checkpoint, however many steps lie between them") {
  auto const data = test_digits();
  folder const f;
  auto alone = one_rank();
  auto const batch = (data.train.size + 6) / 7;
  auto options = quiet(1);
  options.checkpoint = f.path();
  options.checkpoint_steps = 5;
  options.resume = true;
  auto m = build(alone, true, batch);
  CHECK(pl::run::fit(m, data.train, options).steps == 7);
  CHECK(std::filesystem::exists(std::filesystem::path(f.path()) / "step-7"));
  auto again = build(alone, true, batch);
  auto const report = pl::run::fit(again, data.train, options);
  CHECK(report.steps == 0);
  CHECK(report.resumed_at == index_t{7});
  auto const parameters = [](auto const& model) {
    auto v = model.host_values();
    // the last entry is no parameter but the loss of the last step
    v.resize(static_cast<std::size_t>(model.arena().entries().back().begin));
    return v;
  };
  CHECK((parameters(again) == parameters(m)));
}

TEST_CASE("options without sense are refused before the first step") {
  auto const data = test_digits();
  auto alone = one_rank();
  auto m = build(alone);
  for (double const bad : {-1.0, std::numeric_limits<double>::quiet_NaN()}) {
    auto options = quiet(1);
    options.clip_norm = bad;
    CHECK_THROWS_WITH(pl::run::fit(m, data.train, options), ContainsSubstring("clip_norm must be a positive number"));
  }
  auto options = quiet(1);
  options.keep_best = true;
  CHECK_THROWS_WITH(pl::run::fit(m, data.train, options), ContainsSubstring("there is no validation set to judge by"));
  auto const refused = [&](char const* option, auto const& set) {
    auto without_folder = quiet(1);
    set(without_folder);
    CHECK_THROWS_WITH(pl::run::fit(m, data.train, without_folder),
                      ContainsSubstring(std::string(option) + " is asked for, and there is no folder of checkpoints"));
  };
  refused("resume", [](auto& o) { o.resume = true; });
  refused("checkpoint_steps", [](auto& o) { o.checkpoint_steps = 7; });
  refused("checkpoint_asynchronous", [](auto& o) { o.checkpoint_asynchronous = true; });
  auto endless = quiet(std::numeric_limits<index_t>::max());
  endless.on_event = [](pl::run::event const&) { throw std::runtime_error("a step was taken"); };
  CHECK_THROWS_WITH(pl::run::fit(m, data.train, endless), ContainsSubstring("more steps than 63 bits can count"));
  auto backwards = quiet(1);
  backwards.check_replicas_steps = -3;
  CHECK_THROWS_WITH(pl::run::fit(m, data.train, backwards),
                    ContainsSubstring("check_replicas_steps must not be negative, found -3"));
  folder const f;
  auto rarely = quiet(1);
  rarely.checkpoint = f.path();
  rarely.checkpoint_steps = -2;
  CHECK_THROWS_WITH(pl::run::fit(m, data.train, rarely),
                    ContainsSubstring("checkpoint_steps must not be negative, found -2"));
  CHECK(m.steps() == 0);
}

TEST_CASE("where training did not go on from what was asked for, that is said without a progress line, too") {
  auto const data = test_digits();
  folder const f;
  auto alone = one_rank();
  std::vector<std::string> heard;
  alone.set_sink([&](std::string_view line) { heard.emplace_back(line); });
  auto const trained = [&](pl::index_t epochs) {
    heard.clear();
    auto m = build(alone);
    auto options = quiet(epochs);
    options.checkpoint = f.path();
    options.resume = true;
    auto const report = pl::run::fit(m, data.train, options);
    auto said = report.remarks;  // the world's sink hears what the report has
    for (auto& line : said) line = "run::fit: " + line;
    CHECK(heard == said);
    return report;
  };
  auto const first = trained(1);
  REQUIRE(first.remarks.size() == 1);
  CHECK_THAT(first.remarks[0], ContainsSubstring("no checkpoint in '" + f.path() + "': training begins at step 0"));
  CHECK(!first.resumed_at);
  auto const second = trained(2);
  CHECK((second.resumed_at && second.remarks.empty()));
  // The newest one is spoiled: the one before is gone on with, and both are named.
  std::filesystem::path newest;
  for (auto const& entry : std::filesystem::directory_iterator(f.path()))
    if (entry.path().filename().string().starts_with("step-")) newest = std::max(newest, entry.path());
  REQUIRE(!newest.empty());
  for (auto const& file : std::filesystem::directory_iterator(newest))
    std::filesystem::resize_file(file.path(), file.file_size() / 2);
  auto const third = trained(3);
  REQUIRE(third.remarks.size() == 1);
  CHECK_THAT(third.remarks[0],
             ContainsSubstring("passed over a damaged checkpoint") && ContainsSubstring(newest.filename().string()));
  REQUIRE(third.resumed_at);
  CHECK(*third.resumed_at == *second.resumed_at);  // the first epoch's: the second's was the newest
}

TEST_CASE("a layer's name with quotes and a backslash goes into a checkpoint and out again, and so do groups by it") {
  auto const data = test_digits();
  folder const f;
  auto alone = one_rank();
  std::string const name = "it's \"fc\\1\"\n";
  auto const odd = pl::nn::sequential(pl::nn::flatten(), pl::nn::linear(name, 64, 32), pl::nn::relu(),
                                      pl::nn::linear("fc2", 32, 10));
  auto const trained = [&](std::vector<pl::nn::parameter_group> groups) {
    auto m = pl::parallel::build(odd, pl::plan::search(odd, alone, {.global_batch = 48, .deterministic = true}), alone,
                                 {.seed = 4});
    auto options = quiet(1);
    options.groups = std::move(groups);
    options.checkpoint = f.path(), options.resume = true;
    return pl::run::fit(m, data.train, options).remarks;
  };
  std::vector<pl::nn::parameter_group> const frozen{{.pattern = name + ".weight", .frozen = true}};
  (void)trained(frozen);
  CHECK(trained(frozen).empty());  // read back as they were
  auto const none = trained({});
  REQUIRE(none.size() == 1);
  CHECK(none[0] == "groups was ('it''s \"fc\\1\"\n.weight', frozen) and is none from here on");
  // what one name holds is no other group
  auto const words = [](std::vector<pl::nn::parameter_group> const& g) { return pl::run::detail::words_of_groups(g); };
  CHECK(words({{.pattern = "a'; 'b"}}) == "('a''; ''b')");
  CHECK(words({{.pattern = "a"}, {.pattern = "b"}}) == "('a'; 'b')");
}

TEST_CASE("what a run that goes on has otherwise than the one before is said") {
  auto const data = test_digits();
  folder const f;
  auto alone = one_rank();
  auto const trained = [&](bool deterministic, double rate, double clip,
                           std::vector<pl::nn::parameter_group> groups = pl::nn::default_groups()) {
    auto m = build(alone, deterministic);
    auto options = quiet(1);
    options.groups = std::move(groups);
    options.checkpoint = f.path(), options.resume = true, options.epochs = 1;
    options.optimizer = pl::nn::adamw{.learning_rate = rate};
    options.clip_norm = clip;
    return pl::run::fit(m, data.train, options).remarks;
  };
  (void)trained(true, 0.003, 0);
  CHECK(trained(true, 0.003, 0).empty());
  auto const rate = trained(true, 0.1, 1.5);
  REQUIRE(rate.size() == 1);
  CHECK(rate[0] == "clip_norm was 0 and is 1.5, learning_rate was 0.003 and is 0.1 from here on");
  (void)trained(true, 0.003, 0);
  auto const none = trained(true, 0.003, 0, {});
  REQUIRE(none.size() == 1);
  CHECK(none[0] == "groups was ('*', at most of rank 1, decay 0) and is none from here on");
  (void)trained(true, 0.003, 0);
  auto const fast = trained(false, 0.003, 0);
  REQUIRE(fast.size() == 1);
  CHECK_THAT(fast[0], ContainsSubstring("saved by a deterministic training, and this one is not"));
}

TEST_CASE("a folder that another job writes into is refused on every rank, and free when that one has ended") {
  auto const data = test_digits();
  folder const f;
  auto const train = [&](bool resume) {
    return sentence([&] {
      on_ranks(2, [&](pl::world& w) {
        auto m = build(w);
        auto options = quiet(1);
        options.checkpoint = f.path(), options.resume = resume;
        (void)pl::run::fit(m, data.train, options);
      });
    });
  };
  {
    pl::io::folder_claim const other(f.path());
    for (bool const resume : {false, true})
      CHECK_THAT(train(resume), ContainsSubstring("another job writes into this folder. Wait until it has ended"));
    CHECK(!pl::io::has_checkpoint(f.path()));
  }
  CHECK(train(true).empty());
  CHECK(pl::io::has_checkpoint(f.path()));
  CHECK(!std::filesystem::exists(f / "lock"));
  // A job that saves there is no reason to remove the folder.
  pl::io::folder_claim const other(f.path());
  CHECK_THAT(train(false), ContainsSubstring("another job writes into this folder"));
}

TEST_CASE("a second fit begins with an optimizer that remembers nothing of the first") {
  auto const data = test_digits();
  auto alone = one_rank();
  for (int const stage : {0, 2}) {
    auto const make = [&] {
      pl::plan::plan p{.global_batch = 48};
      p.state_stage = stage;
      return pl::parallel::build(net(), p, alone, {.seed = 4});
    };
    auto first = make();
    auto momentum = quiet(1);
    momentum.optimizer = pl::nn::sgd{.learning_rate = 0.05, .momentum = 0.9};
    (void)pl::run::fit(first, data.train, momentum);
    auto fresh = make();
    fresh.set_host_values(first.host_values());
    auto adam = quiet(1);
    (void)pl::run::fit(first, data.train, adam);
    (void)pl::run::fit(fresh, data.train, adam);
    CHECK(first.checksum() == fresh.checksum());
    // A checkpoint of plain descent goes on in a model that an optimizer with two buffers has trained.
    folder const f;
    auto plain = quiet(1);
    plain.optimizer = pl::nn::sgd{.learning_rate = 0.01};
    plain.checkpoint = f.path();
    plain.resume = true;
    (void)pl::run::fit(fresh, data.train, plain);
    plain.epochs = 2;
    CHECK(pl::run::fit(first, data.train, plain).resumed_at.has_value());
  }
}

TEST_CASE("a checkpoint of another seed, network, batch or optimizer is refused with both values") {
  auto const data = test_digits();
  folder const f;
  auto alone = one_rank();
  auto options = quiet(1);
  options.checkpoint = f.path();
  {
    auto m = build(alone);
    (void)pl::run::fit(m, data.train, options);
  }
  options.resume = true;
  options.epochs = 2;
  auto const refuse = [&](auto&& m, pl::run::fit_options o) {
    return sentence([&] { (void)pl::run::fit(m, data.train, o); });
  };
  CHECK(refuse(pl::parallel::build(net(), {.global_batch = 48}, alone, {.seed = 5}), options)
            .find("saved with seed 4, this run has 5") != std::string::npos);
  CHECK(refuse(pl::parallel::build(net(), {.global_batch = 32}, alone, {.seed = 4}), options)
            .find("a global batch of 48, this run has 32") != std::string::npos);
  auto sgd = options;
  sgd.optimizer = pl::nn::sgd{};
  CHECK(refuse(build(alone), sgd).find("the optimizer adamw, this run has sgd") != std::string::npos);
  auto other = pl::nn::sequential(pl::nn::flatten(), pl::nn::linear("fc1", 64, 31), pl::nn::relu(),
                                  pl::nn::linear("fc2", 31, 10));
  CHECK(refuse(pl::parallel::build(other, {.global_batch = 48}, alone, {.seed = 4}), options)
            .find("'fc1.weight' is F32 [32, 64] there and F32 [31, 64] here") != std::string::npos);
}

TEST_CASE("a checkpoint of other data is refused on every rank; one that does not say which is gone on with") {
  auto const data = test_digits();
  folder const f;
  auto options = quiet(1);
  options.checkpoint = f / "c";
  auto alone = one_rank();
  {
    auto m = build(alone);
    (void)pl::run::fit(m, data.train, options);
    pl::nn::optimizer_state<float, Kokkos::DefaultExecutionSpace> const optimizer(m.context(), m.arena(),
                                                                                  options.optimizer, options.groups);
    pl::run::save_checkpoint(f / "old", m, optimizer, 7);
  }
  options.resume = true;
  options.epochs = 2;
  auto const resumed_with = [&](pl::io::dataset const& d) {
    std::mutex guard;
    std::vector<std::string> said;
    on_ranks(3, [&](pl::world& w) {
      auto m = build(w);
      auto const mine = sentence([&] { (void)pl::run::fit(m, d, options); });
      std::lock_guard const lock(guard);
      said.push_back(mine);
    });
    CHECK(said == std::vector<std::string>(3, said[0]));
    return said[0];
  };
  auto const words = "it was saved while training on other data (" + data.train.fingerprint() + ") than this run's (";
  auto other = data.train;
  other.pixels.back() ^= 1;
  CHECK_THAT(resumed_with(other),
             ContainsSubstring(words + other.fingerprint() + ")") && ContainsSubstring("Go on with the same data"));
  other = data.train;
  std::swap(other.labels[3], other.labels[4]);
  REQUIRE(other.labels != data.train.labels);
  CHECK_THAT(resumed_with(other), ContainsSubstring(words));
  other = data.train;
  other.scale *= 2;
  CHECK_THAT(resumed_with(other), ContainsSubstring(words));
  CHECK(resumed_with(data.train) == "");
  options.checkpoint = f / "old";
  CHECK(resumed_with(other) == "");
}

TEST_CASE("a folder for checkpoints that cannot be is refused before the first step, on every rank") {
  auto const data = test_digits();
  folder const f;
  pl::io::write_file(f / "file", "x");
  for (auto const& bad : {f / "file", f / "file/c"}) {
    std::mutex guard;
    std::vector<std::string> said;
    on_ranks(2, [&](pl::world& w) {
      auto m = build(w);
      auto options = quiet(1);
      options.checkpoint = bad;
      index_t steps = 0;
      options.on_event = [&](pl::run::event const&) { ++steps; };
      auto const mine = sentence([&] { (void)pl::run::fit(m, data.train, options); });
      std::lock_guard const lock(guard);
      said.push_back(mine + " after " + std::to_string(steps));
    });
    CHECK(said[0] == said[1]);
    CHECK_THAT(said[0], ContainsSubstring("'" + bad + "'") && ContainsSubstring(" after 0"));
  }
  auto alone = one_rank();
  auto m = build(alone);
  auto options = quiet(0);
  options.checkpoint = f / "made/of/folders";
  (void)pl::run::fit(m, data.train, options);
  CHECK(std::filesystem::is_empty(f / "made/of/folders"));  // and nothing is left of the attempt
}

TEST_CASE("a loss that is not finite names step, rank and layer, on every rank") {
  auto const data = test_digits();
  for (int ranks : {1, 3}) {
    std::string const said = sentence([&] {
      on_ranks(ranks, [&](pl::world& w) {
        auto m = build(w, false);
        if (w.rank() == w.size() - 1) {
          spoil(m, "fc2.bias");
        }
        (void)pl::run::fit(m, data.train, quiet(1));
      });
    });
    CHECK(said.find("the loss of step 0 is nan: ") != std::string::npos);  // on no platform "-nan"
    CHECK(said.find("on rank " + std::to_string(ranks - 1)) != std::string::npos);
    CHECK(said.find("layer 'fc2'") != std::string::npos);
  }
}

TEST_CASE("a loss that is not finite is explained where ranks wait for each other inside layers") {
  // One rank alone sees the first bad output; the others are in the middle of a sum that it must join.
  auto const data = test_digits();
  auto const explained = [&](auto const& network, pl::plan::plan const& p, int bad_rank, char const* parameter) {
    return sentence([&] {
      on_ranks(static_cast<int>(p.data_ranks * p.tensor_ranks * p.pipeline_ranks), [&](pl::world& w) {
        auto m = pl::parallel::build(network, p, w, {.seed = 4});
        m.set_timeout(20);  // only where it hangs
        if (w.rank() == bad_rank) {
          spoil(m, parameter);
        }
        (void)pl::run::fit(m, data.train, quiet(1));
      });
    });
  };
  auto const cut = pl::parallel::tensor_parallel(net(), {pl::parallel::column("fc1.*"), pl::parallel::row("fc2.*")});
  for (int bad : {0, 1}) {
    auto const said = explained(cut, {.global_batch = 48, .tensor_ranks = 2}, bad, "fc1.bias");
    CHECK_THAT(said, ContainsSubstring("the loss of step 0 is") &&
                         ContainsSubstring("on rank " + std::to_string(bad) + " the output of layer 'fc1'"));
  }
  auto const normed = pl::nn::sequential(pl::nn::flatten(), pl::nn::linear("fc1", 64, 32),
                                         pl::nn::batch_norm("norm", 32, {.statistics = pl::nn::statistics::global}),
                                         pl::nn::relu(), pl::nn::linear("fc2", 32, 10));
  for (int bad : {0, 1}) {
    auto const said = explained(normed, {.global_batch = 48, .data_ranks = 2}, bad, "fc1.bias");
    CHECK_THAT(said, ContainsSubstring("on rank " + std::to_string(bad) + " the output of layer 'fc1'"));
  }
  // rank 1 of a pipeline that comes back to rank 0
  pl::plan::plan p{.global_batch = 48, .pipeline_ranks = 2, .micro_batches = 2};
  p.schedule = "zb-v";
  auto const deep = pl::nn::sequential(pl::nn::flatten(), pl::nn::linear("fc1", 64, 32), pl::nn::relu(),
                                       pl::nn::linear("fc2", 32, 32), pl::nn::relu(), pl::nn::linear("fc3", 32, 10));
  p.cuts = {2, 4, 5};
  CHECK_THAT(explained(deep, p, 1, "fc2.bias"), ContainsSubstring("on rank 1 the output of layer 'fc2'"));
}

TEST_CASE("a loss that is not finite is explained whichever micro-batch it came from") {
  pl::io::dataset data{
      "dark", {1, 8, 8}, 48, 10, 0, 1, std::vector<std::uint8_t>(48 * 64, 0), std::vector<std::int32_t>(48, 3)};
  std::vector<index_t> order;
  pl::io::sampler(48, 48, {.seed = 4}).order(0, order);
  // One bright sample. 255 times a weight of 1e38 is infinite; what is dark stays finite.
  std::fill_n(data.pixels.begin() + order[0] * 64, 64, std::uint8_t{255});
  pl::plan::plan const piped{.global_batch = 48, .pipeline_ranks = 2, .cuts = {2}, .micro_batches = 4};
  for (auto const& p : {pl::plan::plan{.global_batch = 48, .micro_batches = 4},
                        pl::plan::plan{.global_batch = 48, .data_ranks = 2, .micro_batches = 4}, piped}) {
    auto const said = sentence([&] {
      on_ranks(static_cast<int>(p.ranks()), [&](pl::world& w) {
        auto m = pl::parallel::build(net(), p, w, {.seed = 4});
        m.set_timeout(20);  // only where it hangs
        auto values = m.host_values();
        if (int const at = m.arena().find("fc1.weight"); at >= 0) {
          auto const& e = m.arena().entries()[static_cast<std::size_t>(at)];
          std::fill(values.begin() + e.begin, values.begin() + e.end, 1e38f);
        }
        m.set_host_values(values);
        (void)pl::run::fit(m, data, quiet(1));
      });
    });
    CHECK_THAT(said,
               ContainsSubstring("the loss of step 0 is") && ContainsSubstring("on rank 0 the output of layer 'fc1'"));
  }
}

TEST_CASE(
    "of several layers whose output is not finite the first one of the network is named, whichever stage has it") {
  auto const data = test_digits();
  // The third layer of the first stage, and the second one of the second stage.
  auto const deep = pl::nn::sequential(pl::nn::flatten(), pl::nn::linear("fc1", 64, 32), pl::nn::relu(),
                                       pl::nn::linear("fc2", 32, 32), pl::nn::relu(), pl::nn::linear("fc3", 32, 10));
  pl::plan::plan const p{.global_batch = 48, .pipeline_ranks = 2, .cuts = {4}};
  auto const said = sentence([&] {
    on_ranks(2, [&](pl::world& w) {
      auto m = pl::parallel::build(deep, p, w, {.seed = 4});
      spoil(m, w.rank() == 0 ? "fc2.bias" : "fc3.bias");
      (void)pl::run::fit(m, data.train, quiet(1));
    });
  });
  CHECK_THAT(said, ContainsSubstring("on rank 0 the output of layer 'fc2'"));
}

TEST_CASE("labels outside the classes are refused with sample and label") {
  auto data = test_digits();
  data.train.labels[100] = 10;
  auto alone = one_rank();
  auto m = build(alone);
  auto const said = sentence([&] { (void)pl::run::fit(m, data.train, quiet(1)); });
  CHECK(said.find("is 10, but there are 10 classes") != std::string::npos);
  for (int const label : {10, 1000000, -1}) {
    data.train.labels[100] = label;
    auto const judged = sentence([&] { (void)pl::run::evaluate(m, data.train); });
    CHECK(judged.find("sample 100") != std::string::npos);
    CHECK(judged.find("has the label " + std::to_string(label) + ", expected 0 to 9") != std::string::npos);
  }
}

TEST_CASE("a label outside the classes that one rank alone would meet, all ranks refuse") {
  auto data = test_digits();
  for (int const classes : {10, 20}) {
    data.train.classes = classes;
    data.train.labels[100] = 15;
    std::array<std::string, 2> said;
    std::array<bool, 2> moved{};
    on_ranks(2, [&](pl::world& w) {
      auto const rank = static_cast<std::size_t>(w.rank());
      auto m = build(w);
      m.set_timeout(20);  // what is met in the middle of an epoch one rank would wait for
      auto const before = m.host_values();
      said[rank] = sentence([&] { (void)pl::run::fit(m, data.train, quiet(1)); });
      moved[rank] = m.host_values() != before;
    });
    CHECK((!moved[0] && !moved[1]));
    CHECK_THAT(said[0], ContainsSubstring("sample 100") && ContainsSubstring("15"));
    CHECK(said[1] == said[0]);
  }
}

TEST_CASE("of a text the tokens that are labels must be scored; those that are none need not be") {
  auto const text = [](std::vector<std::uint16_t> tokens) {
    return pl::io::windows_of({"text", 6, 2, 3, std::move(tokens)});
  };
  auto alone = one_rank();
  auto m = pl::parallel::build(pl::nn::sequential(pl::nn::embedding("in", 6, 4), pl::nn::linear("out", 4, 5)),
                               {.global_batch = 2}, alone);
  (void)pl::run::fit(m, text({5, 1, 2, 5, 3, 4}), quiet(1));  // windows of two tokens: the first is no label
  CHECK_THAT(sentence([&] {
               (void)pl::run::fit(m, text({0, 1, 2, 5, 3, 5}), quiet(1));
             }),
             ContainsSubstring("the label of position 1 of sample 1 of 'text' is 5, but there are 5 classes (0 to 4)"));
}

TEST_CASE("a network that does not take the data's samples says so with both extents") {
  auto const data = test_digits();
  auto alone = one_rank();
  auto m = pl::parallel::build(pl::nn::sequential(pl::nn::flatten(), pl::nn::linear("fc1", 784, 10)),
                               {.global_batch = 48}, alone);
  auto const said = sentence([&] { (void)pl::run::fit(m, data.train, quiet(1)); });
  CHECK(said.find("'fc1'") != std::string::npos);
  CHECK(said.find("784") != std::string::npos);
  CHECK(said.find("[48, 64]") != std::string::npos);
}

TEST_CASE("more ranks than samples train and agree") {
  auto data = test_digits();
  data.train.size = 3;
  data.train.labels.resize(3);
  data.train.pixels.resize(3 * 64);
  on_ranks(5, [&](pl::world& w) {
    auto m = build(w, w.size() % 2 == 0, 48);
    (void)pl::run::fit(m, data.train, quiet(4));
    m.demand_equal_replicas();
  });
}

TEST_CASE("the best model of all epochs is kept on request") {
  auto const data = test_digits();
  auto alone = one_rank();
  auto m = build(alone);
  auto options = quiet(5);
  options.optimizer = pl::nn::adamw{.learning_rate = 0.05};  // jumps about
  options.validation = &data.test;
  options.keep_best = true;
  auto const report = pl::run::fit(m, data.train, options);
  CHECK(pl::run::evaluate(m, data.test).error() ==
        *std::min_element(report.validation_error.begin(), report.validation_error.end()));
}

TEST_CASE("the best model so far, and how it judged, go on with a checkpoint under any layout") {
  auto const data = test_digits();
  folder const f;
  struct stop : std::exception {};
  index_t const per_epoch = (data.train.size + 47) / 48;
  // Two epochs learn; behind them every weight drifts the same way, so nothing gets better.
  auto const fitted = [&](pl::plan::plan p, index_t epochs, index_t every, index_t until, bool keep) {
    p.global_batch = 48;
    p.deterministic = true;
    std::pair<std::uint64_t, double> got{};
    std::string const said = sentence([&] {
      on_ranks(static_cast<int>(p.ranks()), [&](pl::world& w) {
        auto m = pl::parallel::build(net(), p, w, {.seed = 4});
        auto options = quiet(epochs);
        options.optimizer = pl::nn::sgd{.learning_rate = 0.1};
        options.validation = &data.test;
        options.keep_best = true;
        options.before_step = [&] {
          if (static_cast<index_t>(m.steps()) < 2 * per_epoch) return;
          for (auto const& piece : m.arena().pieces())
            pl::compute::fill(m.context().space(), piece.size(), 1.0f, m.arena().owned_gradients(piece));
        };
        if (keep) options.checkpoint = f.path(), options.checkpoint_steps = every, options.resume = true;
        options.on_event = [&](pl::run::event const& e) {
          if (e.what == pl::run::event::kind::checkpoint && e.step == until) throw stop{};
        };
        (void)pl::run::fit(m, data.train, options);
        auto const values = m.host_values();  // the last entry is no parameter but the loss of the last step
        auto const sum = pl::random::hash(
            std::string_view(reinterpret_cast<char const*>(values.data()),
                             static_cast<std::size_t>(m.arena().entries().back().begin) * sizeof(float)));
        double const error = pl::run::evaluate(m, data.test).error();
        if (w.root()) got = {sum, error};
      });
    });
    CHECK(said.empty() == (until == 0));
    return got;
  };
  pl::plan::plan sharded{.data_ranks = 2, .state_stage = 3};
  pl::plan::plan piped{.data_ranks = 2, .pipeline_ranks = 2, .micro_batches = 2};
  auto const best = fitted({}, 2, 0, 0, false), whole = fitted({}, 5, 0, 0, false);
  CHECK(best.second < 0.5);
  REQUIRE(whole == best);  // of the two epochs that learned
  for (index_t const every : {index_t{0}, per_epoch, index_t{1}}) {
    (void)fitted(sharded, 5, every, 3 * per_epoch, true);
    (void)fitted(piped, 5, every, 4 * per_epoch, true);
    CHECK((fitted({.data_ranks = 3, .state_stage = 1}, 5, every, 0, true) == whole));
    CHECK((fitted({}, 5, every, 0, true) == whole));  // nothing is left to do but this
    std::filesystem::remove_all(f.path());
    std::filesystem::create_directory(f.path());
  }
}

TEST_CASE("fit and evaluate over a pipeline give the bits of one rank") {
  auto const data = test_digits();
  auto const fitted = [&](pl::world& w, char const* schedule, index_t pipeline, index_t micro) {
    pl::plan::plan p;
    p.global_batch = 48;
    p.deterministic = true;
    p.schedule = schedule;
    p.pipeline_ranks = pipeline;
    p.data_ranks = w.size() / pipeline;
    p.micro_batches = micro;
    auto m = pl::parallel::build(net(), p, w, {.seed = 4, .input = {48, 64}});
    auto options = quiet(2);
    options.validation = &data.test;
    options.clip_norm = 0.5;
    options.check_replicas_steps = 10;
    return pl::run::fit(m, data.train, options);
  };
  auto alone = one_rank();
  auto const reference = fitted(alone, "1f1b", 1, 1);
  struct cut {
    char const* schedule;
    int ranks, pipeline, micro;
  };
  for (auto const& by : {cut{"1f1b", 2, 2, 3}, {"zb-h1", 4, 2, 4}, {"zb-v", 2, 2, 2}})
    on_ranks(by.ranks, [&](pl::world& w) {
      auto const r = fitted(w, by.schedule, by.pipeline, by.micro);
      if (r.epoch_loss != reference.epoch_loss || r.validation_error != reference.validation_error)
        throw std::runtime_error("another result on rank " + std::to_string(w.rank()));
    });
  SUCCEED();
}

TEST_CASE("a checkpoint saved under one layout goes on under any other with the same bits") {
  auto const data = test_digits();
  using laid = std::tuple<char const*, int, index_t, index_t>;  // schedule, ranks, pipeline ranks, micro-batches
  auto const fitted = [&](laid const& l, std::string const& path, index_t epochs, bool resume) {
    pl::run::fit_report r;
    on_ranks(std::get<1>(l), [&](pl::world& w) {
      pl::plan::plan p;
      p.global_batch = 48;
      p.deterministic = true;
      p.schedule = std::get<0>(l);
      p.pipeline_ranks = std::get<2>(l);
      p.data_ranks = w.size() / p.pipeline_ranks;
      p.micro_batches = std::get<3>(l);
      auto m = pl::parallel::build(net(), p, w, {.seed = 4});
      auto options = quiet(epochs);
      options.checkpoint = path;
      options.resume = resume;
      auto const mine = pl::run::fit(m, data.train, options);
      if (w.root()) r = mine;
    });
    return r;
  };
  std::vector<laid> const layouts{{"1f1b", 1, 1, 1}, {"1f1b", 2, 2, 2}, {"zb-v", 4, 2, 4}};
  auto const reference = fitted(layouts[0], "", 2, false);
  for (auto const& from : layouts)
    for (auto const& to : layouts) {
      folder const f;
      (void)fitted(from, f.path(), 1, false);
      auto const r = fitted(to, f.path(), 2, true);
      INFO(std::get<1>(from) << " ranks to " << std::get<1>(to));
      CHECK(r.resumed_at.has_value());
      CHECK(r.epoch_loss == std::vector<double>{reference.epoch_loss.back()});
    }
}
