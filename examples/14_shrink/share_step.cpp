// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/share_weights.hpp>

#include "network.hpp"

namespace {

// Whether some weight has relative indices, whose width a recipe may choose: those with zeros.
bool has_indices(model& m) {
  std::int64_t found = 0;
  pl::nn::for_each_parameter(m.net(), [&](auto const& w) {
    if (w.form_name() != "coded" || w.absent) return;
    found += pl::codec::detail::read_layout("shrink", w.shape, w.to_file(m.context())).index_bits;
  });
  return m.all_ranks().all_reduce_value(found, pl::comm::reduction::max) > 0;
}

}  // namespace

void share_step(kitchen& k, pl::compress::recipe_step const& s) {
  namespace shrink = pl::compress;
  if (s.word->name == "entropy") {
    shrink::entropy_code t;
    if (s.has("index_bits")) {
      t.index_bits = static_cast<int>(at_least(s, "index_bits", 5, 2, 8));
      if (!k.reads_only && !has_indices(k.m)) {
        s.heard.erase("index_bits");
        shrink::demand_heard(s);
      }
    }
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
