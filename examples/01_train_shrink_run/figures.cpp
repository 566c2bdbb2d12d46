// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <cstdio>

#include <nlohmann/json.hpp>

#include <pleat/compress/picture.hpp>
#include <pleat/io/file.hpp>
#include <pleat/run/model_description.hpp>

#include "parts.hpp"

// PLEAT_DIGITS is where the build found the shipped digits; an installed program is told by --data.
pl::io::split read_data(options const& o) {
  return o.data.empty() ? pl::io::load_digits(PLEAT_DIGITS) : pl::io::mnist(o.data);
}

void demand_input_of(pl::run::model_description const& trained, pl::io::dataset const& data, options const& o) {
  auto const words = [](float mean, float scale) {  // floats that differ are told apart by nine digits
    char text[60];
    std::snprintf(text, sizeof text, "(x - %.9g) * %.9g", static_cast<double>(mean), static_cast<double>(scale));
    return std::string(text);
  };
  auto const& said = trained.input;
  if (said && (said->mean != data.mean || said->scale != data.scale))
    throw pl::error{"--evaluate",
                    "'" + o.evaluate + "' was trained on " + words(said->mean, said->scale) + ", this data gives " +
                        words(data.mean, data.scale),
                    "Use --data with the data that it was trained on"};
}

void write_figures(std::string const& network, pl::run::fit_report const& trained,
                   std::vector<pl::compress::stage> const& stages, options const& o, pl::world const& world) {
  if (!world.root()) return;
  nlohmann::json const figures{{"network", network},
                               {"test_error", stages.front().test_error},
                               {"samples_per_second", trained.samples_per_second},
                               {"seconds", trained.seconds},
                               {"steps", trained.steps},
                               {"ranks", world.size()},
                               {"threads", world.threads},
                               {"deterministic", o.deterministic},
                               {"stages", nlohmann::json::parse(pl::compress::stage_list(stages).json())}};
  for (auto const& path : {o.json, o.out.empty() ? std::string() : o.out + "/report.json"})
    if (!path.empty()) pl::io::write_file(path, figures.dump(2) + "\n");
}

void write_picture(std::string const& network, std::string const& data, pl::compress::stage_list const& stages,
                   options const& o, pl::world const& world) {
  if (!o.out.empty() && world.root()) pl::compress::write_svg(stages, o.out + "/report.svg", network + " on " + data);
}

void write_served(pl::run::evaluation const& e, pl::run::serve_report const& served, options const& o,
                  pl::world const& world) {
  print(world, "%s: test error %.2f %% (%lld of %lld wrong); %.0f answers/s, p50 %.0f us, p99 %.0f us",
        o.evaluate.c_str(), 100 * e.error(), static_cast<long long>(e.errors), static_cast<long long>(e.samples),
        served.throughput, served.p50 * 1e6, served.p99 * 1e6);
  if (o.json.empty() || !world.root()) return;
  nlohmann::json const figures{{"test_error", e.error()},
                               {"throughput", served.throughput},
                               {"p50_us", served.p50 * 1e6},
                               {"p99_us", served.p99 * 1e6},
                               {"ranks", world.size()}};
  pl::io::write_file(o.json, figures.dump(2) + "\n");
}
