// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <algorithm>
#include <cstdio>
#include <optional>

#include <pleat/compress/criteria.hpp>
#include <pleat/compress/prune_channels.hpp>
#include <pleat/compress/sparse_gpt.hpp>

#include "network.hpp"

void prune_step(kitchen& k, pl::compress::recipe_step const& s) {
  namespace shrink = pl::compress;
  if (s.word->name == "channels") return k.run(shrink::prune_channels{.multiply_adds = s.number("multiply_adds"), .input = k.data.train.sample});
  if (s.word->name == "sparse_gpt") return k.run(shrink::sparse_gpt{.sparsity = s.number("sparsity"), .samples = shrink::calibration(k.data.train, k.o.samples), .ignore = s.names("ignore")});
  auto const scope = s.text("scope", "global");
  auto const by = s.text("by", "magnitude");
  std::optional<shrink::n_of_m> pattern;
  if (s.has("pattern")) {
    auto const text = s.text("pattern");
    int n = 0, m = 0, end = 0;
    if (std::sscanf(text.c_str(), "%4d:%4d%n", &n, &m, &end) != 2 || static_cast<std::size_t>(end) != text.size())
      throw pl::error{"compress::recipe", "'" + s.to_string() + "': pattern is '" + text + "', expected n:m", "2:4 keeps two of every four columns"};
    pattern = shrink::n_of_m{n, m};
  }
  if (!pattern == !s.has("sparsity")) throw pl::error{"compress::recipe", "'" + s.to_string() + "' says " + (pattern ? "both a sparsity and a pattern" : "neither a sparsity nor a pattern"), "Say prune(0.9), or prune(pattern=2:4)"};
  auto const epochs = s.whole("epochs", 1);
  if (epochs < 1) throw pl::error{"compress::recipe", "'" + s.to_string() + "': epochs must be at least 1"};
  auto const prune = [&](auto criterion) {
    shrink::prune_by<decltype(criterion)> t{.sparsity = s.number("sparsity", 0.5), .ignore = s.names("ignore"), .criterion = std::move(criterion), .pattern = pattern};
    if (s.has("scope") || by != "wanda") t.scope = scope == "layer" ? shrink::scope::layer : scope == "row" ? shrink::scope::row : shrink::scope::global;
    if (s.has("steps") || (s.has("epochs") && by != "movement")) {
      t.schedule = shrink::cubic{static_cast<int>(std::clamp<pl::index_t>(s.whole("steps", 5), -1, 100000))};
      t.retrain.emplace(k.data.train, training(k.o, epochs, 5e-4));
    }
    k.run(t);
  };
  if (by == "taylor") prune(shrink::taylor{.data = &k.data.train, .subset_size = k.o.samples});
  else if (by == "movement") prune(shrink::movement{.training = shrink::fine_tune(k.data.train, training(k.o, epochs, 5e-4))});
  else if (by == "wanda") prune(shrink::wanda{shrink::calibration(k.data.train, k.o.samples)});
  else prune(shrink::magnitude{});
}
