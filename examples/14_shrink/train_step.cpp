// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/distill.hpp>
#include <pleat/compress/fold_batch_norm.hpp>

#include "network.hpp"

void train_step(kitchen& k, pl::compress::recipe_step const& s) {
  namespace shrink = pl::compress;
  if (s.word->folds) return k.run(shrink::fold_batch_norm{.ignore = s.names("ignore")});
  auto const fit = training(k.o, at_least(s, "epochs", 3, 1), positive(s, "learning_rate", 5e-4));
  if (s.word->name == "fine_tune") return k.run(shrink::fine_tune(k.data.train, fit));
  std::unique_ptr<model const> other;
  if (s.has("teacher")) other = k.open(s.text("teacher"));
  k.run(shrink::distill(
      k.data.train, {shrink::teacher(other ? *other : k.as_it_came)},
      {.temperature = s.number("temperature", 4), .hard_weight = s.number("hard_weight", 0.1), .fit = fit}));
}
