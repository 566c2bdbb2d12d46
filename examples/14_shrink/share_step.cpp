// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <algorithm>

#include <pleat/compress/share_weights.hpp>

#include "network.hpp"

void share_step(kitchen& k, pl::compress::recipe_step const& s) {
  namespace shrink = pl::compress;
  if (s.word->name == "entropy") return k.run(shrink::entropy_code{});
  shrink::share_weights t{.num_bits = static_cast<int>(std::clamp<pl::index_t>(s.whole("num_bits", 4), 0, 9)), .ignore = s.names("ignore")};
  if (s.whole("epochs") < 0) throw pl::error{"compress::recipe", "'" + s.to_string() + "': epochs must not be negative"};
  if (s.whole("epochs") > 0) t.tune.emplace(k.data.train, training(k.o, s.whole("epochs"), s.number("learning_rate", 1e-4)));
  k.run(t);
}
