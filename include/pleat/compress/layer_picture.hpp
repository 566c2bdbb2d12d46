// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The picture of the layers of a shrinking: what every layer stores and multiplies after each stage, as SVG. Needs no
/// Kokkos.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/svg.hpp>
#include <pleat/compress/stages.hpp>

namespace pleat::compress {

/// One block per layer, one line per stage in it: a bar of the stored bytes and a thin one of the multiply-adds with
/// weights that are not zero, both as shares of the largest that this layer had, and in numbers. Stages without layers
/// are left out.
PLEAT_ONCE [[nodiscard]] std::string svg_layers(stage_list const& list,
                                                std::string_view title = "What each layer stores and multiplies") {
  std::vector<std::string> names;
  for (auto const& s : list.stages())
    for (auto const& r : s.layers)
      if (std::find(names.begin(), names.end(), r.name) == names.end()) names.push_back(r.name);
  constexpr double width = 900, left = 232, full = 300, line = 30;
  std::string body;
  double y = 92;
  for (auto const& name : names) {
    double most_bytes = 0, most_work = 0;
    for (auto const& s : list.stages())
      for (auto const& r : s.layers)
        if (r.name == name)
          most_bytes = std::max(most_bytes, static_cast<double>(r.bytes)),
          most_work = std::max(most_work, r.effective_multiply_adds);
    body += "<text class=\"name\" x=\"24\" y=\"" + svg_number(y) + "\">" + svg_text(name) + "</text>\n";
    y += 12;
    for (auto const& s : list.stages())
      for (auto const& r : s.layers) {
        if (r.name != name) continue;
        auto const bar = [&](char const* kind, double at, double height, double share) {
          body += std::string("<rect class=\"") + kind + "\" x=\"" + svg_number(left) + "\" y=\"" + svg_number(at) +
                  "\" width=\"" + svg_number(full * share) + "\" height=\"" + svg_number(height) + "\"/>\n";
        };
        double const bytes = static_cast<double>(r.bytes);
        bar("bytes", y, 12, most_bytes > 0 ? bytes / most_bytes : 0);
        bar("work", y + 13, 5, most_work > 0 ? r.effective_multiply_adds / most_work : 0);
        body += "<text class=\"note\" text-anchor=\"end\" x=\"" + svg_number(left - 10) + "\" y=\"" +
                svg_number(y + 12) + "\"" + svg_squeezed(s.name, 12, left - 22) + ">" + svg_text(s.name) + "</text>\n";
        auto const note = r.form + ", " + detail::human_bytes(bytes) + ", " +
                          detail::human_count(r.effective_multiply_adds) + " mult-adds, " +
                          detail::format("%.3g uJ", r.energy_uj()) +
                          (r.latency_us == r.latency_us ? detail::format(", %.1f us", r.latency_us) : std::string());
        double const at = left + full + 12;
        body += "<text class=\"note\" x=\"" + svg_number(at) + "\" y=\"" + svg_number(y + 12) + "\"" +
                svg_squeezed(note, 12, width - 12 - at) + ">" + svg_text(note) + "</text>\n";
        y += line;
      }
    y += 22;
  }
  if (names.empty()) body = "<text class=\"note\" x=\"24\" y=\"92\">no stage has layers</text>\n";
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 " + svg_number(y + 10) +
         "\" font-family=\"system-ui, 'DejaVu Sans', Helvetica, sans-serif\">\n"
         "<style>.title{fill:#12181f;font-size:19px;font-weight:600}.name{fill:#12181f;font-size:13px;font-weight:600}."
         "note{fill:#5b6672;font-size:12px}"
         ".bytes{fill:#1f6fb5}.work{fill:#d1491f}</style>\n"
         "<rect width=\"900\" height=\"" +
         svg_number(y + 10) + "\" fill=\"#fff\"/>\n<text class=\"title\" x=\"24\" y=\"40\"" +
         svg_squeezed(title, 19, width - 48) + ">" + svg_text(title) +
         "</text>\n"
         "<rect class=\"bytes\" x=\"24.0\" y=\"52.0\" width=\"14.0\" height=\"12.0\"/>\n<text class=\"note\" x=\"44\" "
         "y=\"63\">bytes as stored</text>\n"
         "<rect class=\"work\" x=\"162.0\" y=\"56.0\" width=\"14.0\" height=\"5.0\"/>\n<text class=\"note\" x=\"182\" "
         "y=\"63\">multiply-adds with weights that are not zero</text>\n" +
         body + "</svg>\n";
}

/// Writes the picture. \throws error if the file cannot be written
inline void write_layers_svg(stage_list const& list, std::string const& path,
                             std::string_view title = "What each layer stores and multiplies") {
  io::write_file(path, svg_layers(list, title));
}

}  // namespace pleat::compress
