// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <cmath>
#include <optional>
#include <variant>

#include <pleat/compress/criteria.hpp>
#include <pleat/compress/prune_channels.hpp>
#include <pleat/compress/sparse_gpt.hpp>

#include "network.hpp"

namespace {

namespace shrink = pl::compress;

// The criterion that a step names: one type for all that only look, so that pruning is compiled once for them.
struct looking {
  static constexpr char const* what = "the criterion of the step";
  static constexpr bool takes_shards = true;
  std::variant<shrink::magnitude, shrink::taylor, shrink::wanda> of{};

  template <class Net, class C> void score(pl::parallel::model<Net>& m, std::vector<C>& weights) const {
    std::visit([&](auto const& criterion) { criterion.score(m, weights); }, of);
  }
};

// The same for units, which are scored by root mean squares: Taylor's scores are squares already, and for the others
// biases and norms say nothing.
struct looking_at_units : looking {
  template <class Net, class C> void score(pl::parallel::model<Net>& m, std::vector<C>& all) const {
    if (std::holds_alternative<shrink::taylor>(of)) {
      looking::score(m, all);
      for (auto& c : all)
        for (auto& s : c.scores) s = std::sqrt(s);
      return;
    }
    std::vector<C> matrices;
    auto const is_matrix = [](C const& c) { return c.whole.rank() > 1; };
    for (auto& c : all)
      if (is_matrix(c)) matrices.push_back(std::move(c));
    looking::score(m, matrices);
    std::size_t next = 0;
    for (auto& c : all)
      if (is_matrix(c)) c = std::move(matrices[next++]);
  }
};

looking criterion_of(kitchen const& k, std::string const& by) {
  if (by == "taylor") return {shrink::taylor{.data = &k.data.train, .subset_size = k.samples()}};
  if (by == "wanda") return {shrink::wanda{k.sampled()}};
  return {};
}

void channels(kitchen& k, shrink::recipe_step const& s) {
  k.run(shrink::prune_channels_by<looking_at_units>{
      .multiply_adds = share_of(s, "multiply_adds", 0.5, ends::high),
      .input = k.data.train.sample,
      .scope = s.text("scope") == "layer" ? shrink::scope::layer : shrink::scope::global,
      .round_to = at_least(s, "round_to", 1, 1),
      .ignore = s.names("ignore"),
      .criterion = {criterion_of(k, s.text("by"))}});
}

std::optional<shrink::n_of_m> pattern_or_sparsity(shrink::recipe_step const& s) {
  std::optional<shrink::n_of_m> pattern;
  if (s.has("pattern")) pattern = pattern_of(s);
  if (!pattern == !s.has("sparsity")) {
    auto const& name = s.word->name;
    throw pl::error{"compress::recipe",
                    "'" + s.to_string() + "' says " +
                        (pattern ? "both a sparsity and a pattern" : "neither a sparsity nor a pattern"),
                    "Say " + name + "(0.9), or " + name + "(pattern=2:4)"};
  }
  return pattern;
}

void prune(kitchen& k, shrink::recipe_step const& s, std::optional<shrink::n_of_m> const& pattern) {
  auto const by = s.text("by", "magnitude");
  bool const trains = by == "movement";
  auto scope = by == "wanda" ? shrink::scope::row : shrink::scope::global;
  std::vector<std::vector<std::string>> groups;
  bool normalised = false;
  if (!pattern) {
    if (auto const said = s.text("scope", s.has("groups") ? "group" : ""); !said.empty())
      scope = said == "layer"   ? shrink::scope::layer
              : said == "row"   ? shrink::scope::row
              : said == "group" ? shrink::scope::group
                                : shrink::scope::global;
    if (scope == shrink::scope::group) {
      groups = s.lists_of_names("groups");
      if (groups.empty())
        throw pl::error{"compress::recipe", "'" + s.to_string() + "' does not say which weights compete together",
                        "Say groups=conv*; fc1.* fc2.* with a semicolon between groups: the rest is one more"};
    }
    if (scope == shrink::scope::global || scope == shrink::scope::group) normalised = s.flag("normalised");
  }
  bool const gradual = s.has("steps") || s.has("schedule") || (s.has("epochs") && !trains);
  auto const steps = static_cast<int>(gradual ? at_least(s, "steps", 5, 1) : 1);
  pl::run::fit_options fit;
  if (steps > 1 || trains) fit = training(k.o, at_least(s, "epochs", 1, 1), positive(s, "learning_rate", 5e-4));
  auto const with = [&](auto criterion) {
    shrink::prune_by<decltype(criterion)> t{.sparsity = share_of(s, "sparsity", 0.5, ends::low),
                                            .scope = scope,
                                            .ignore = s.names("ignore"),
                                            .criterion = std::move(criterion),
                                            .pattern = pattern,
                                            .groups = std::move(groups)};
    if (steps > 1) {
      if (s.text("schedule") == "iterative") t.schedule = shrink::iterative{steps};
      else t.schedule = shrink::cubic{steps};
      t.retrain.emplace(k.data.train, fit);
    }
    k.run(t);
  };
  auto const maybe_normalised = [&](auto criterion) {
    if (normalised) with(shrink::normalised<decltype(criterion)>{std::move(criterion)});
    else with(std::move(criterion));
  };
  if (trains) maybe_normalised(shrink::movement{.training = shrink::fine_tune(k.data.train, fit)});
  else maybe_normalised(criterion_of(k, by));
}

}  // namespace

void prune_step(kitchen& k, pl::compress::recipe_step const& s) {
  if (s.word->name == "channels") return channels(k, s);
  auto const pattern = pattern_or_sparsity(s);
  if (s.word->name == "prune") return prune(k, s, pattern);
  k.run(shrink::sparse_gpt{.sparsity = share_of(s, "sparsity", 0.5, ends::low),
                           .samples = k.sampled(),
                           .pattern = pattern,
                           .dampening_frac = positive(s, "dampening", 0.01),
                           .ignore = s.names("ignore"),
                           .on_layer = [&](shrink::sparse_gpt_layer const& l) {
                             k.norms.push_back({s.to_string(), l.name, l.error, l.magnitude_error});
                           }});
}
