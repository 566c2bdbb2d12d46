// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "job.hpp"
#include "networks.hpp"

std::vector<pl::index_t> widths_of(std::string const& text, pl::index_t inputs) {
  constexpr std::size_t most_layers = 1000;  // each is described before anything is known of it: a file may say this
  std::vector<pl::index_t> widths;
  std::size_t at = 4;
  bool good = text.rfind("mlp:", 0) == 0;
  while (good && at <= text.size()) {
    std::size_t const end = std::min(text.find('-', at), text.size());
    std::string const number = text.substr(at, end - at);
    good = !number.empty() && number.size() < 8 && number.find_first_not_of("0123456789") == std::string::npos &&
           std::stol(number) > 0;
    if (good) widths.push_back(std::stol(number));
    good = good && widths.size() <= most_layers + 1;
    at = end + 1;
  }
  if (!good || widths.size() < 2)
    throw pl::error{"--model", "'" + (text.size() > 80 ? text.substr(0, 80) + "…" : text) + "' is no network",
                    "Use lenet-300-100, lenet-5, or mlp: and the widths of all layers (at most " +
                        std::to_string(most_layers) + "), e.g. mlp:784-300-100-10"};
  if (widths.front() != inputs)
    throw pl::error{"--model",
                    "'" + text + "' takes " + std::to_string(widths.front()) + " numbers, a sample of this data has " +
                        std::to_string(inputs),
                    "Begin with mlp:" + std::to_string(inputs) + "-, or use --data with the data that it was made for"};
  return widths;
}

void run_mlp(std::string const& network, pl::io::split const& data, options const& o, pl::world& world) {
  auto const& sample = data.test.sample;
  auto const widths = widths_of(
      network == "lenet-300-100" ? "mlp:" + std::to_string(sample.size()) + "-300-100-10" : network, sample.size());
  run_job(mlp<networks::dense>(widths), mlp<networks::stored>(widths), network, data, o, world);
}
