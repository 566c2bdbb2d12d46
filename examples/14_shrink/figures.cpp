// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <nlohmann/json.hpp>

#include "network.hpp"

pl::run::fit_options training(options const& o, pl::index_t epochs, double learning_rate) {
  pl::run::fit_options f;
  f.epochs = epochs;
  f.schedule = pl::nn::cosine{};
  f.optimizer = pl::nn::adamw{.learning_rate = learning_rate};
  f.progress = !o.quiet;
  return f;
}

void write_figures(std::vector<pl::compress::stage> const& stages, std::string const& recipe, double error_after,
                   std::vector<output_norm> const& norms, options const& o, pl::world const& world) {
  if (o.json.empty() || !world.root()) return;
  auto beside = nlohmann::json::array();
  for (auto const& n : norms)
    beside.push_back({{"step", n.step}, {"weight", n.weight}, {"norm", n.ours}, {"plain_norm", n.plain}});
  nlohmann::json const j{{"in", o.in},
                         {"out", o.out},
                         {"recipe", recipe},
                         {"error_before", stages.front().test_error},
                         {"error_after", error_after},
                         {"bytes_before", stages.front().bytes},
                         {"bytes_after", stages.back().bytes},
                         {"ratio", static_cast<double>(stages.front().bytes) /
                                       static_cast<double>(std::max<std::int64_t>(1, stages.back().bytes))},
                         {"ranks", world.size()},
                         {"norms", std::move(beside)},
                         {"stages", nlohmann::json::parse(pl::compress::stage_list(stages).json())}};
  pl::io::write_file(o.json, j.dump(2) + "\n");
}
