// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "figures.hpp"

#include <nlohmann/json.hpp>

namespace gpt {

std::string to_json(figures const& f) {
  nlohmann::json plan = nlohmann::json::object(), validations = nlohmann::json::array();
  for (auto const& [key, value] : f.plan) plan[key] = value;
  for (auto const& [step, loss] : f.validations) validations.push_back({{"step", step}, {"loss", loss}});
  nlohmann::json const all{
      {"parameters", f.parameters},
      {"first_step", f.first_step},
      {"loss", f.loss},
      {"validation_loss", f.validations.empty() ? nlohmann::json() : nlohmann::json(f.validations.back().second)},
      {"validations", validations},
      {"skipped_steps", f.skipped},
      {"loss_scale", f.loss_scale},
      {"milliseconds_per_step", f.milliseconds_per_step},
      {"seconds", f.seconds},
      {"peak_bytes", f.peak_bytes},
      {"plan", plan},
      {"stages", f.stages},
      {"ranks", f.ranks},
      {"threads", f.threads}};
  return all.dump(2) + "\n";
}

}  // namespace gpt
