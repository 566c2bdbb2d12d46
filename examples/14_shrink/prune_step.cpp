// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <optional>

#include <pleat/compress/criteria.hpp>
#include <pleat/compress/prune_channels.hpp>
#include <pleat/compress/sparse_gpt.hpp>

#include "network.hpp"

void prune_step(kitchen& k, pl::compress::recipe_step const& s) {
  namespace shrink = pl::compress;
  if (s.word->name == "channels")
    return k.run(shrink::prune_channels{.multiply_adds = share_of(s, "multiply_adds", 0.5, ends::high),
                                        .input = k.data.train.sample});
  std::optional<shrink::n_of_m> pattern;
  if (s.has("pattern")) pattern = pattern_of(s);
  if (!pattern == !s.has("sparsity")) {
    auto const& name = s.word->name;
    throw pl::error{"compress::recipe",
                    "'" + s.to_string() + "' says " +
                        (pattern ? "both a sparsity and a pattern" : "neither a sparsity nor a pattern"),
                    "Say " + name + "(0.9), or " + name + "(pattern=2:4)"};
  }
  double const sparsity = share_of(s, "sparsity", 0.5, ends::low);
  if (s.word->name == "sparse_gpt")
    return k.run(shrink::sparse_gpt{.sparsity = sparsity,
                                    .samples = shrink::calibration(k.data.train, k.o.samples),
                                    .pattern = pattern,
                                    .ignore = s.names("ignore")});
  auto const scope = s.text("scope", "global");
  auto const by = s.text("by", "magnitude");
  auto const epochs = at_least(s, "epochs", 1, 1);
  auto const steps = at_least(s, "steps", 5, 1);
  auto const prune = [&](auto criterion) {
    shrink::prune_by<decltype(criterion)> t{
        .sparsity = sparsity, .ignore = s.names("ignore"), .criterion = std::move(criterion), .pattern = pattern};
    if (s.has("scope") || by != "wanda")
      t.scope = scope == "layer" ? shrink::scope::layer : scope == "row" ? shrink::scope::row : shrink::scope::global;
    if (s.has("steps") || (s.has("epochs") && by != "movement")) {
      t.schedule = shrink::cubic{static_cast<int>(steps)};
      t.retrain.emplace(k.data.train, training(k.o, epochs, 5e-4));
    }
    k.run(t);
  };
  if (by == "taylor") prune(shrink::taylor{.data = &k.data.train, .subset_size = k.o.samples});
  else if (by == "movement")
    prune(shrink::movement{.training = shrink::fine_tune(k.data.train, training(k.o, epochs, 5e-4))});
  else if (by == "wanda") prune(shrink::wanda{shrink::calibration(k.data.train, k.o.samples)});
  else prune(shrink::magnitude{});
}
