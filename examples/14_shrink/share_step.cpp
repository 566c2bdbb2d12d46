// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/share_weights.hpp>

#include "network.hpp"

void share_step(kitchen& k, pl::compress::recipe_step const& s) {
  namespace shrink = pl::compress;
  if (s.word->name == "entropy") {
    shrink::entropy_code t;
    if (s.has("index_bits")) t.index_bits = static_cast<int>(at_least(s, "index_bits", 5, 2, 8));
    return k.run(t);
  }
  shrink::share_weights t{.num_bits = static_cast<int>(at_least(s, "num_bits", 4, 1, 8)),
                          .start = start_of(s),
                          .rows_per_group = at_least(s, "rows", 0, 0),
                          .ignore = s.names("ignore")};
  for (auto const& [pattern, bits] : widths_of(s)) t.widths.push_back({pattern, bits});
  if (auto const epochs = at_least(s, "epochs", 0, 0); epochs > 0)
    t.tune.emplace(k.data.train, training(k.o, epochs, positive(s, "learning_rate", 1e-4)));
  k.run(t);
}
