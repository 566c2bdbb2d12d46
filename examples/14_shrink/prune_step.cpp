// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/prune_channels.hpp>
#include <pleat/compress/sparse_gpt.hpp>

#include "network.hpp"

void prune_step(kitchen& k, pl::compress::recipe_step const& s) {
  namespace shrink = pl::compress;
  if (s.word->name == "channels") return k.run(shrink::prune_channels{.multiply_adds = s.number("multiply_adds"), .input = k.data.train.sample});
  if (s.word->name == "sparse_gpt") return k.run(shrink::sparse_gpt{.sparsity = s.number("sparsity"), .samples = shrink::calibration(k.data.train, k.o.samples), .ignore = s.names("ignore")});
  auto const scope = s.text("scope", "global");
  if (scope != "global" && scope != "layer") throw pl::error{"compress::recipe", "'prune': scope is '" + scope + "', expected global or layer"};
  k.run(shrink::prune{.sparsity = s.number("sparsity"), .scope = scope == "layer" ? shrink::scope::layer : shrink::scope::global, .ignore = s.names("ignore")});
}
