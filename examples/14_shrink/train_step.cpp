// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/distill.hpp>

#include "network.hpp"

void train_step(kitchen& k, pl::compress::recipe_step const& s) {
  namespace shrink = pl::compress;
  auto const fit = training(k.o, at_least(s, "epochs", 3, 1), positive(s, "learning_rate", 5e-4));
  if (s.word->name == "fine_tune") return k.run(shrink::fine_tune(k.data.train, fit));
  k.run(shrink::distill(
      k.data.train, {shrink::teacher(k.as_it_came)},
      {.temperature = s.number("temperature", 4), .hard_weight = s.number("hard_weight", 0.1), .fit = fit}));
}
