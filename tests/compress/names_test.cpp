// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Names that are meant for some weight and fit none: refused by every transform that takes patterns, on every rank; and
// a form that no file takes.
#include <pleat/compress/pipeline.hpp>

#include <pleat/compress/criteria.hpp>
#include <pleat/compress/fold_batch_norm.hpp>
#include <pleat/compress/gptq.hpp>
#include <pleat/compress/low_rank.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/prune_blocks.hpp>
#include <pleat/compress/prune_channels.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compress/quantize_aware.hpp>
#include <pleat/compress/share_weights.hpp>
#include <pleat/compress/sparse_gpt.hpp>
#include <pleat/compress/spatial_low_rank.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/batch_norm.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/mesh_support.hpp>

#include <algorithm>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
namespace nn = pleat::nn;
using int8 = pleat::codec::int8<float>;
using Catch::Matchers::ContainsSubstring;
auto const silent = [](std::string_view) {};

template <class F> std::string said(F&& f) {
  try {
    f();
  } catch (pleat::error const& e) {
    return e.what();
  }
  return {};
}

/// As much as a weight needs of a form to be computed with: no file takes it.
struct unsaved {
  using value_type = float;
  static constexpr std::string_view name = "unsaved";
  static constexpr bool trainable = false;
  template <class Space> struct storage {};
  template <class Space> static void encode(pleat::context<Space>&, extents const&, float const*, storage<Space>&) {}
  template <class Space>
  static void decode(pleat::context<Space>& c, extents const& shape, storage<Space> const&, float* out) {
    pleat::compute::fill(c.space(), shape.size(), 1.0f, out);
  }
  template <class Space>
  static void apply(pleat::context<Space>& c, extents const& shape, storage<Space> const&, index_t m, float const*,
                    float* y, pleat::compute::epilogue<float> const&) {
    pleat::compute::fill(c.space(), m * shape[0], 1.0f, y);
  }
  template <class Space>
  static void apply_transposed(pleat::context<Space>& c, extents const& shape, storage<Space> const&, index_t m,
                               float const*, float* dx, float const*) {
    pleat::compute::fill(c.space(), m * shape[1], 1.0f, dx);
  }
  template <class Space> static index_t bytes(extents const&, storage<Space> const&) { return 0; }
};

}  // namespace

TEST_CASE("patterns that fit no name are refused by every transform, with the nearest name") {
  auto w = alone();
  auto const model = build(w);
  auto const refused = [&](auto const& transform, char const* call, char const* what, char const* near) {
    auto const words = said([&] { (void)(model | transform); });
    CAPTURE(words);
    CHECK_THAT(words, ContainsSubstring(call) &&
                          ContainsSubstring("no name in the network fits " + std::string(what)) &&
                          ContainsSubstring("Did you mean '" + std::string(near) + "'?"));
  };
  refused(compress::prune{.ignore = {"fc1.*", "fx2.*"}}, "compress::prune", "'fx2.*' of .ignore", "fc2.*");
  refused(compress::prune{.scope = compress::scope::group, .groups = {{"fc1.*"}, {"fc2.*", "fc4.weight"}}},
          "compress::prune", "'fc4.weight' of .groups", "fc1.weight");
  refused(compress::quantize<int8>{.ignore = {"fc3.weigth"}}, "compress::quantize", "'fc3.weigth' of .ignore",
          "fc3.weight");
  refused(compress::quantize<int8>{.forms = {{"head*", "int8"}}}, "compress::quantize", "'head*' of .forms", "fc1.*");
  refused(compress::quantize_aware<int8>{.ignore = {"FC3.*"}}, "compress::quantize_aware", "'FC3.*' of .ignore",
          "fc3.*");
  refused(compress::share_weights{.ignore = {"fc.*"}}, "compress::share_weights", "'fc.*' of .ignore", "fc1.*");
  refused(compress::share_weights{.widths = {{"fc9*", 2}}}, "compress::share_weights", "'fc9*' of .widths", "fc1.*");
  refused(compress::share_weights{.on_note = silent} | compress::entropy_code{.ignore = {"fc3.wieght"}},
          "compress::entropy_code", "'fc3.wieght' of .ignore", "fc3.weight");
  refused(compress::low_rank{.rule = compress::by_rank{2}, .ignore = {"f?9.*"}, .on_note = silent},
          "compress::low_rank", "'f?9.*' of .ignore", "fc1.*");
  // What fits something is none of that: a bias, names of several weights, all of them.
  CHECK(said([&] {
          (void)(model | compress::prune{.ignore = {"*.bias", "fc?.weight*", "fc3.weight"}});
        }).find("no name in the network") == std::string::npos);
  CHECK(said([&] {
          (void)(model | compress::quantize<int8>{.forms = {{"*", "int8"}}, .ignore = {"*1*"}, .on_note = silent});
        }).empty());
  auto const normed = pleat::parallel::build(
      nn::sequential(nn::linear("fc", 20, 8), nn::batch_norm("norm", 8), nn::relu(), nn::linear("last", 8, 4)),
      {.global_batch = 16}, w, {.seed = 3});
  CHECK_THAT(said([&] { (void)(normed | compress::fold_batch_norm{.ignore = {"norms"}}); }),
             ContainsSubstring("'norms' of .ignore") && ContainsSubstring("Did you mean 'norm'?"));
  CHECK_THAT(said([&] { (void)compress::with_folded_norms(normed.net(), {"nrom"}); }),
             ContainsSubstring("compress::with_folded_norms") && ContainsSubstring("Did you mean 'norm'?"));
}

namespace {
/// Does nothing, and says nothing of itself: of sharded parameters it is given whole ones.
struct look {
  using fusable_transform = void;
  template <class Net> void run(pleat::parallel::model<Net>&) const {}
};
}  // namespace

namespace {
/// Every change of a transform is another text for the other ranks; one that tells no settings does not compile here.
template <class Step, class... Change> void told_apart(Step const& step, Change... change) {
  static_assert(compress::tells_settings<Step>);
  std::set<std::string> texts{compress::detail::words_of_step(step)};
  auto const changed = [&](auto f) {
    auto other = step;
    f(other);
    return compress::detail::words_of_step(other);
  };
  auto const check = [&](std::string const& text) {
    INFO("change " << texts.size() << ": " << text);
    CHECK(texts.insert(text).second);
  };
  (check(changed(change)), ...);
}
}  // namespace

TEST_CASE("every setting of every transform is told to the other ranks") {
  using namespace compress;
  auto const few = data(8), many = data(9);
  calibration const look_at(few, 4), other(many, 4);
  fine_tune const tune(few, quiet(1));
  static_activations const seen{.data = look_at};
  told_apart(
      tune, [&](auto& t) { t = fine_tune(many, quiet(1)); }, [&](auto& t) { t = fine_tune(few, quiet(2)); });
  told_apart(
      prune{}, [](auto& t) { t.sparsity = 0.91; }, [](auto& t) { t.scope = scope::row; },
      [](auto& t) { t.schedule = iterative{3}; }, [](auto& t) { t.schedule = cubic{3}; },
      [&](auto& t) { t.retrain = tune; },
      [](auto& t) {
        t.ignore = {"a", "b"};
      },
      [](auto& t) { t.ignore = {"a b"}; }, [](auto& t) { t.ignore = {"a, b"}; },
      [](auto& t) { t.ignore = {"a\", \"b"}; },
      [](auto& t) {
        t.pattern = n_of_m{1, 4};
      },
      [](auto& t) {
        t.groups = {{"a"}, {"b"}};
      },
      [](auto& t) {
        t.groups = {{"a", "b"}};
      },
      [](auto& t) { t.groups = {{"a, b"}}; });
  told_apart(
      prune_by<taylor>{}, [&](auto& t) { t.criterion.data = &few; }, [](auto& t) { t.criterion.subset_size = 3; });
  told_apart(prune_by<movement>{}, [&](auto& t) { t.criterion.training = tune; });
  told_apart(prune_by<wanda>{}, [&](auto& t) { t.criterion.samples = look_at; });
  told_apart(prune_by<normalised<taylor>>{}, [](auto& t) { t.criterion.of.subset_size = 3; });
  told_apart(
      quantize<>{}, [](auto& t) { t.observer = percentile{99.999}; },
      [](auto& t) { t.observer = percentile{99.9999999}; }, [](auto& t) { t.observer = mean_square{}; },
      [](auto& t) { t.observer = mean_square{.max_shrink = 0.3}; },
      [](auto& t) { t.observer = mean_square{.grid = 50}; }, [](auto& t) { t.observer = mean_square{.patience = 4}; },
      [](auto& t) { t.observer = mean_square{.exponent = 2}; }, [](auto& t) { t.observer = kl_divergence{}; },
      [](auto& t) { t.observer = kl_divergence{.first_bin = 64}; },
      [](auto& t) { t.observer = kl_divergence{.most_cut = 1}; }, [](auto& t) { t.scales = per::tensor; },
      [&](auto& t) { t.activations = seen; }, [&](auto& t) { t.activations = static_activations{.data = other}; },
      [&](auto& t) { t.activations = static_activations{.data = look_at, .observer = percentile{}}; },
      [&](auto& t) { t.activations = static_activations{.data = look_at, .batch = 1}; },
      [](auto& t) { t.codebook.entries = 8; }, [](auto& t) { t.codebook.rows_per_group = 2; },
      [](auto& t) { t.codebook.start = pleat::codec::centroid_start::density; }, [](auto& t) { t.codebook.seed = 1; },
      [](auto& t) { t.codebook.iterations = 3; }, [](auto& t) { t.codebook.centroids = {1.0f}; },
      [](auto& t) { t.codebook.centroids = {1.0000001f}; }, [](auto& t) { t.codebook.index_bits = 3; },
      [](auto& t) { t.codebook.entropy = false; },
      [](auto& t) {
        t.forms = {{"fc1", "int8"}};
      },
      [](auto& t) { t.misfit = misfit::next; }, [](auto& t) { t.first_layer = false; },
      [](auto& t) { t.last_layer = false; }, [](auto& t) { t.ignore = {"a"}; });
  told_apart(
      gptq<>{}, [&](auto& t) { t.data = look_at; }, [](auto& t) { t.block_size = 2; },
      [](auto& t) { t.dampening_frac = 0.02; }, [](auto& t) { t.actorder = act_order::static_groups; },
      [](auto& t) { t.sequential = false; },
      [](auto& t) {
        t.forms = {{"fc1", "int8"}};
      },
      [](auto& t) { t.misfit = misfit::ignore; }, [](auto& t) { t.first_layer = false; },
      [](auto& t) { t.last_layer = false; }, [](auto& t) { t.ignore = {"a"}; });
  told_apart(
      quantize_aware<>{}, [&](auto& t) { t.train = tune; }, [](auto& t) { t.steps = step_rule::largest; },
      [&](auto& t) { t.activations = seen; }, [](auto& t) { t.inputs = input_rule::learned; },
      [](auto& t) { t.step_rate = 2e-3; }, [](auto& t) { t.misfit = misfit::next; },
      [](auto& t) { t.first_layer = false; }, [](auto& t) { t.last_layer = false; }, [](auto& t) { t.ignore = {"a"}; });
  told_apart(
      sparse_gpt{}, [](auto& t) { t.sparsity = 0.25; }, [&](auto& t) { t.samples = look_at; },
      [](auto& t) { t.pattern = n_of_m{}; }, [](auto& t) { t.dampening_frac = 1; }, [](auto& t) { t.block_size = 2; },
      [](auto& t) { t.ignore = {"a"}; });
  told_apart(
      prune_channels{}, [](auto& t) { t.multiply_adds = 0.25; }, [](auto& t) { t.input = {20}; },
      [](auto& t) { t.scope = scope::layer; }, [](auto& t) { t.round_to = 8; }, [](auto& t) { t.ignore = {"a"}; });
  told_apart(prune_channels_by<wanda>{}, [&](auto& t) { t.criterion.samples = look_at; });
  told_apart(
      prune_blocks{}, [](auto& t) { t.count = 2; }, [&](auto& t) { t.samples = look_at; },
      [](auto& t) { t.ignore = {"a"}; });
  told_apart(
      share_weights{}, [](auto& t) { t.num_bits = 3; },
      [](auto& t) { t.start = pleat::codec::centroid_start::density; }, [](auto& t) { t.seed = 1; },
      [](auto& t) { t.rows_per_group = 2; }, [](auto& t) { t.index_bits = 4; }, [&](auto& t) { t.tune = tune; },
      [](auto& t) {
        t.widths = {{"a", 3}};
      },
      [](auto& t) {
        t.widths = {{"a", 3}, {"b", 4}};
      },
      [](auto& t) {
        t.widths = {{"a in 3, b", 4}};
      },
      [](auto& t) { t.ignore = {"a"}; });
  told_apart(
      entropy_code{}, [](auto& t) { t.index_bits = 4; }, [](auto& t) { t.ignore = {"a"}; });
  told_apart(fold_batch_norm{}, [](auto& t) { t.ignore = {"a"}; });
  auto const factoring = [&](auto t) {
    told_apart(
        t, [](auto& o) { o.rule = by_energy{0.8}; }, [](auto& o) { o.rule = by_rank{4}; },
        [](auto& o) { o.rule = by_error{}; }, [](auto& o) { o.rule = by_budget{}; }, [](auto& o) { o.rule = evbmf{}; },
        [](auto& o) { o.solver = nullptr; }, [](auto& o) { o.ignore = {"a"}; });
  };
  factoring(low_rank{}), factoring(spatial_low_rank{});
  told_apart(
      sparse_low_rank{}, [](auto& t) { t.sparse_share = 0.1; }, [&](auto& t) { t.data = look_at; },
      [](auto& t) { t.dampening_frac = 1; }, [](auto& t) { t.round_to = 8; }, [](auto& t) { t.randomized = true; });
  static_assert(!compress::tells_settings<look>);  // of somebody's own that says nothing the name is compared
  CHECK(compress::detail::words_of_step(look{}) == "a transform of the user's\n");
}

TEST_CASE("what transforms have to say goes to the sink of the model's world: once, from rank 0, or to nobody") {
  for (bool const silenced : {false, true}) {
    std::mutex guard;
    std::vector<std::pair<int, std::string>> heard, noted;
    pleat::comm::run_local(2, [&](pleat::comm::communicator c) {
      pleat::world w(std::move(c), 1);
      auto const into = [&, rank = w.rank()](auto& list) {
        return [&, rank](std::string_view line) {
          std::lock_guard const lock(guard);
          list.emplace_back(rank, std::string(line));
        };
      };
      if (silenced) w.set_sink({});
      else w.set_sink(into(heard));
      auto const m = build_on(w, {2, 1, 1, 3});
      auto const same = m | look{};
      (void)(same.clone() | compress::prune{.sparsity = 0.5, .schedule = compress::cubic{3}});
      (void)(m | compress::prune{.sparsity = 0.5, .schedule = compress::cubic{3}, .on_note = into(noted)});
      w.set_sink(into(noted));  // a model speaks to the sink that its world had
      same.say("one line");
    });
    for (auto const* list : {&heard, &noted})
      for (auto const& said : *list) CHECK(said.first == 0);
    auto const count = [](auto const& list, char const* words) {
      return std::count_if(list.begin(), list.end(),
                           [&](auto const& said) { return said.second.find(words) != std::string::npos; });
    };
    CHECK(count(heard, "every rank gathers them for what needs whole ones") == (silenced ? 0 : 1));
    CHECK(count(heard, "one line") == (silenced ? 0 : 1));
    CHECK(count(heard, "nothing trains between them") == (silenced ? 0 : 1));
    CHECK(count(noted, "nothing trains between them") == 1);
    CHECK(count(noted, "one line") == 0);
    if (silenced) CHECK(heard.empty());
  }
}

TEST_CASE("patterns are compared with the names of all stages and parts: every rank says the same") {
  for (mesh const& l : {mesh{1, 1, 2, 0}, {1, 2, 1, 0}, {2, 1, 1, 3}}) {
    std::mutex guard;
    std::multiset<std::string> all;
    pleat::comm::run_local(l.ranks(), [&](pleat::comm::communicator c) {
      pleat::world w(std::move(c), 1);
      w.set_sink({});
      w.comm.set_timeout(60);
      auto const words = said([&] {
        (void)(build_on(w, l) | compress::quantize<int8>{.ignore = {"fc1.*", "fc3.weigth"}});
      });
      auto const good = said([&] {
        (void)(build_on(w, l) | compress::quantize<int8>{.ignore = {"fc1.*", "fc3.*"}, .on_note = silent});
      });
      std::lock_guard const lock(guard);
      all.insert(words);
      if (!good.empty()) all.insert(good);
    });
    REQUIRE(static_cast<int>(all.size()) == l.ranks());
    for (auto const& s : all)
      CHECK_THAT(s, ContainsSubstring("'fc3.weigth' of .ignore") && ContainsSubstring("Did you mean 'fc3.weight'?"));
  }
}

TEST_CASE(
    "a form that no file takes: the error names the weight, the form and what to do, on every rank, and no file is "
    "written") {
  using forms = pleat::codec::forms<pleat::codec::dense<float>, unsaved>;
  auto const path = (std::filesystem::temp_directory_path() / ("pleat_unsaved_" + std::to_string(::getpid()))).string();
  for (mesh const& l : {mesh{}, {2, 1, 1, 0}, {1, 1, 2, 0}, {1, 2, 1, 0}, {2, 1, 1, 3}}) {
    CAPTURE(l.data, l.tensor, l.stages, l.state);
    std::mutex guard;
    std::set<std::string> all;
    pleat::comm::run_local(l.ranks(), [&](pleat::comm::communicator c) {
      pleat::world w(std::move(c), 1);
      w.set_sink({});
      w.comm.set_timeout(60);
      auto m = pleat::parallel::build(
          pleat::parallel::tensor_parallel(
              nn::sequential(nn::linear<forms>("fc1", 20, 16), nn::relu(), nn::linear<forms>("fc2", 16, 4)),
              {pleat::parallel::column("fc1.*")}),
          plan_of(l), w, {.seed = 3});
      auto net = m.net();
      net.for_each_parameter([](auto& p) {
        if constexpr (std::remove_cvref_t<decltype(p)>::forms::template contains<unsaved>)
          if (p.name == "fc2.weight") p.template use_form<unsaved>(), p.follow_form(false);
      });
      m = m.rebuild(std::move(net));
      auto const words = said([&] { pleat::run::save(m, path); });
      std::lock_guard const lock(guard);
      all.insert(words);
    });
    REQUIRE(all.size() == 1);
    CHECK_THAT(
        *all.begin(),
        ContainsSubstring("'fc2.weight'") && ContainsSubstring("no file takes a weight in the form 'unsaved'") &&
            ContainsSubstring("'to_file' and 'from_file'") &&
            ContainsSubstring(
                "Give the form these functions, or bring the weight to a form that has them before it is saved"));
    CHECK_FALSE(std::filesystem::exists(path));
  }
}
