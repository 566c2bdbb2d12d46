// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/low_rank.hpp>
#include <pleat/compress/spatial_low_rank.hpp>

#include "network.hpp"

void factor_step(kitchen& k, pl::compress::recipe_step const& s) {
  namespace shrink = pl::compress;
  if (s.word->name == "sparse_low_rank")
    return k.run(shrink::sparse_low_rank{.rule = shrink::by_rank{at_least(s, "rank", 1, 1)},
                                         .sparse_share = share_of(s, "share", 0, ends::low),
                                         .ignore = s.names("ignore")});
  int rules = 0;
  for (auto const* key : {"energy", "rank", "error", "budget"}) rules += s.has(key) ? 1 : 0;
  bool const evbmf = s.flag("evbmf");  // evbmf=0 is no rule
  rules += evbmf ? 1 : 0;
  if (rules > 1)
    throw pl::error{"compress::recipe", "'" + s.to_string() + "' has " + std::to_string(rules) + " rules for the rank",
                    "Say one of energy, rank, error, budget, evbmf"};
  shrink::rank_rule rule = shrink::by_energy{share_of(s, "energy", 0.9, ends::high)};
  if (s.has("rank")) rule = shrink::by_rank{at_least(s, "rank", 1, 1)};
  if (s.has("error")) rule = shrink::by_error{share_of(s, "error", 0, ends::low)};
  if (s.has("budget")) rule = shrink::by_budget{share_of(s, "budget", 1, ends::high)};
  if (evbmf) rule = shrink::evbmf{};
  if (s.word->name == "spatial_low_rank")
    return k.run(shrink::spatial_low_rank{.rule = rule, .ignore = s.names("ignore")});
  if (s.has("rank") && s.has("round_to"))
    throw pl::error{"compress::recipe", "'" + s.to_string() + "' says the rank, and leaves round_to nothing to round",
                    "Say a rank that is a multiple, or choose by energy, error or budget"};
  shrink::low_rank t{.rule = rule, .round_to = at_least(s, "round_to", 1, 1), .ignore = s.names("ignore")};
  if (s.flag("samples")) t.data = k.sampled();
  if (s.has("rank")) t.randomized = s.flag("randomized");
  k.run(t);
}
