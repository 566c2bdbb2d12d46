// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Checkpoints of networks of 16-bit numbers: parameters, masters, moments, the loss scale with its counters, the step
// that random numbers are keyed by and the cursor, saved under any layout, loaded under any other.
#include <pleat/run/checkpoint.hpp>

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include "checkpoint_support.hpp"

using namespace checkpoint_test;

namespace {

/// As checkpoint_test::network, with numbers drawn in every step.
template <class T> auto noisy_network() {
  namespace nn = pl::nn;
  using F = pl::codec::forms<pl::codec::dense<T>>;
  auto net = nn::sequential(
      nn::linear<F>("fc1", 12, 10), nn::relu<T>(), nn::dropout<T>("drop", 0.25), nn::linear<F>("square", 10, 10),
      nn::repeat("block", 2,
                 nn::residual(nn::sequential(nn::linear<F>("in", 10, 14), nn::tanh_activation<T>(),
                                             nn::linear<F>("out", 14, 10)))),
      nn::linear<F>("again", 10, 10, {.tied_to = "square.weight"}), nn::linear<F>("last", 10, 5));
  return pl::parallel::tensor_parallel(
      std::move(net),
      {pl::parallel::column("fc1.*"), pl::parallel::column("block.*.in.*"), pl::parallel::row("block.*.out.*")});
}

/// Data, pipeline, tensor, every state stage, groups, and several of them together.
std::vector<layout> const layouts = {{1, 1, 1, 0},    {1, 3, 1, 0}, {4, 1, 1, 0}, {1, 2, 1, 1}, {1, 3, 1, 2},
                                     {1, 4, 1, 3, 2}, {2, 2, 1, 3}, {1, 1, 2, 0}, {2, 2, 2, 3}};

constexpr int half_way = 10, end = 17;

/// Too large a scale: it comes down by skipping, and grows after every third good step.
template <class T> pl::parallel::loss_scale_options rule() {
  pl::parallel::loss_scale_options o;
  if (std::is_same_v<T, pl::half>) o.initial = 0x1p24, o.interval = 3;
  return o;
}

struct scale_words {
  double value = 1;
  std::int64_t good = 0, skipped = 0;
  friend bool operator==(scale_words const&, scale_words const&) = default;
};
template <class Trained> scale_words scale_of(Trained& t) {
  auto const* s = t.model.scaling();
  return s ? scale_words{s->value(), s->good_steps(), s->skipped()} : scale_words{};
}

/// Does something with a fresh model on every rank of a layout.
template <class T, class F> void on(layout const& l, F&& f) {
  pl::comm::run_local(l.ranks(), [&](pl::comm::communicator c) {
    trained t(noisy_network<T>(), std::move(c), l, 3, rule<T>());
    f(t);
  });
}

}  // namespace

TEMPLATE_TEST_CASE(
    "masters, loss scale, random state and cursor: saved under any layout, loaded under every other, gone on with to "
    "the same bits",
    "", pl::half, pl::bfloat16) {
  using T = TestType;
  folder const f;
  scale_words at_half, at_end;
  on<T>({}, [&](auto& t) {
    t.steps(0, half_way);
    at_half = scale_of(t);
    pl::run::save_checkpoint(f / "alone", t.model, t.optimizer, half_way);
    t.steps(half_way, end);
    at_end = scale_of(t);
    pl::run::save_checkpoint(f / "later", t.model, t.optimizer, end);
  });
  if (std::is_same_v<T, pl::half>) {
    // What is to be brought over is not what a fresh model has, and the rest of the training depends on it.
    CHECK(at_half.value < 0x1p24);
    CHECK(at_half.skipped > 0);
    CHECK(at_half.good > 0);
    CHECK(at_end.skipped > at_half.skipped);  // when it grows, and is too large again, follows from the counter
  }
  std::string const step = "/step-" + std::to_string(half_way), last = "/step-" + std::to_string(end);
  auto const expected = files(f / ("alone" + step)), later = files(f / ("later" + last));
  auto const manifest = manifest_without_plan(f / ("alone" + step)),
             manifest_later = manifest_without_plan(f / ("later" + last));
  for (auto const* part :
       {"parameters.safetensors", "masters.safetensors", "optimizer-1.safetensors", "optimizer-2.safetensors"}) {
    INFO(part);
    REQUIRE(expected.contains(part));
    CHECK(expected.at(part) != later.at(part));
  }
  for (auto const* key : {"\"cursor\" \"10\"", "\"steps\" \"10\"", "\"seed\" \"3\""}) {
    INFO(key << " in " << manifest);
    CHECK(manifest.find(key) != std::string::npos);
  }
  // Saved by training under each layout (under a tensor split, which changes sums, by bringing the checkpoint there).
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    auto const& l = layouts[i];
    INFO(l.words());
    on<T>(l, [&](auto& t) {
      if (l.tensor == 1) t.steps(0, half_way);
      else if (!pl::run::load_checkpoint(f / "alone", t.model, t.optimizer)) throw std::runtime_error("no checkpoint");
      pl::run::save_checkpoint(f / std::to_string(i), t.model, t.optimizer, half_way);
    });
    REQUIRE((files(f / (std::to_string(i) + step)) == expected));
    REQUIRE(manifest_without_plan(f / (std::to_string(i) + step)) == manifest);
  }
  // Loaded under every other, saved again, and gone on with.
  for (std::size_t i = 0; i < layouts.size(); ++i)
    for (std::size_t j = 0; j < layouts.size(); ++j) {
      if (i == j) continue;
      auto const& to = layouts[j];
      INFO("from " << layouts[i].words() << " to " << to.words());
      on<T>(to, [&](auto& t) {
        auto const at = pl::run::load_checkpoint(f / std::to_string(i), t.model, t.optimizer);
        if (!at || at->step != half_way || t.model.steps() != half_way ||
            t.optimizer.steps() + static_cast<std::uint64_t>(at_half.skipped) != half_way)
          throw std::runtime_error("other counters");
        if (!(scale_of(t) == at_half)) throw std::runtime_error("another loss scale");
        pl::run::save_checkpoint(f / "again", t.model, t.optimizer, at->step);
        if (to.tensor > 1) return;
        t.steps(half_way, end);
        if (!(scale_of(t) == at_end)) throw std::runtime_error("another loss scale at the end");
        t.model.demand_equal_replicas();
        pl::run::save_checkpoint(f / "on", t.model, t.optimizer, end);
      });
      CHECK((files(f / ("again" + step)) == expected));
      CHECK(manifest_without_plan(f / ("again" + step)) == manifest);
      if (to.tensor == 1) {
        CHECK((files(f / ("on" + last)) == later));
        CHECK(manifest_without_plan(f / ("on" + last)) == manifest_later);
      }
      std::filesystem::remove_all(f / "again");
      std::filesystem::remove_all(f / "on");
    }
}
