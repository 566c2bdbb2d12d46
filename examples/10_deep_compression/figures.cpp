// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <nlohmann/json.hpp>

#include "parts.hpp"

// PLEAT_DIGITS is where the build found the shipped digits; an installed program is told by --data.
pl::io::split read_data(options const& o) {
  return o.data.empty() ? pl::io::load_digits(PLEAT_DIGITS) : pl::io::mnist(o.data);
}

pl::io::dataset with_shifts(pl::io::dataset const& d, int shift) {
  pl::io::dataset all = d;
  pl::index_t const height = d.sample[1], width = d.sample[2], n = height * width;
  if (d.sample[0] != 1 || shift == 0) return all;
  for (int dy = -1; dy <= 1; ++dy)
    for (int dx = -1; dx <= 1; ++dx) {
      if ((dx == 0) == (dy == 0)) continue;  // up, down, left, right
      for (pl::index_t s = 0; s < d.size; ++s) {
        std::uint8_t const* const from = d.pixels.data() + s * n;
        for (pl::index_t y = 0; y < height; ++y)
          for (pl::index_t x = 0; x < width; ++x) {
            pl::index_t const v = y - dy * shift, u = x - dx * shift;
            all.pixels.push_back(v >= 0 && v < height && u >= 0 && u < width ? from[v * width + u] : std::uint8_t{0});
          }
      }
      all.labels.insert(all.labels.end(), d.labels.begin(), d.labels.end());
      all.size += d.size;
    }
  return all;
}

void write_figures(figures const& f, options const& o, pl::world const& world) {
  if (!world.root()) return;
  nlohmann::json j{{"network", f.network},
                   {"seed", o.seed},
                   {"error_before", f.error_before},
                   {"error_after", f.error_after},
                   {"bytes_before", f.bytes_before},
                   {"bytes_after", f.bytes_after},
                   {"ratio", f.ratio()},
                   {"seconds", f.seconds},
                   {"ranks", world.size()},
                   {"deterministic", o.deterministic},
                   {"stages", nlohmann::json::parse(pl::compress::stage_list(f.stages).json())},
                   {"layers", nlohmann::json::array()}};
  for (auto const& l : f.layers)
    j["layers"].push_back(
        {{"name", l.name}, {"elements", l.elements}, {"kept", l.kept}, {"num_bits", l.num_bits}, {"bytes", l.bytes}});
  for (auto const& path : {o.json, o.out.empty() ? std::string() : o.out + "/report.json"})
    if (!path.empty()) pl::io::write_file(path, j.dump(2) + "\n");
}

void write_evaluation(pl::run::evaluation const& e, options const& o, pl::world const& world) {
  if (o.json.empty() || !world.root()) return;
  nlohmann::json const j{
      {"error_after", e.error()}, {"errors", e.errors}, {"samples", e.samples}, {"ranks", world.size()}};
  pl::io::write_file(o.json, j.dump(2) + "\n");
}
