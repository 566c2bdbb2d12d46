// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The picture of a shrinking: bytes of the file (logarithmic) against accuracy, one point per stage, as SVG. Needs no
/// Kokkos.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/svg.hpp>
#include <pleat/compress/stages.hpp>

namespace pleat::compress {

namespace detail {

/// A step of 1, 2 or 5 times a power of ten that cuts `span` into at most `most` parts.
[[nodiscard]] inline double round_step(double span, int most) {
  double step = std::pow(10.0, std::floor(std::log10(span / most)));
  for (double const factor : {1.0, 2.0, 5.0, 10.0})
    if (span / (step * factor) <= most) return step * factor;
  return step * 10;
}

/// Axis ranges and the maps from data to the page.
struct picture_frame {
  static constexpr double left = 92, right = 856, top = 84, bottom = 430;
  /// An error beyond this is drawn at the edge of the frame; its label says the number.
  static constexpr double most_error = 1e4;
  double low_bytes, high_bytes, low, high, step;

  PLEAT_ONCE explicit picture_frame(std::vector<stage> const& stages) {
    double a = 1e300, b = 0, e0 = most_error, e1 = -most_error;
    for (auto const& s : stages) {
      a = std::min(a, std::max(1.0, static_cast<double>(s.bytes)));
      b = std::max(b, std::max(1.0, static_cast<double>(s.bytes)));
      e0 = std::clamp(s.test_error, -most_error, e0);
      e1 = std::clamp(s.test_error, e1, most_error);
    }
    low_bytes = a / 1.8;
    high_bytes = b * 1.8;
    // Accuracy in percent; at least half a point of height, so that noise does not look like a mountain.
    double lo = 100 * (1 - e1), hi = 100 * (1 - e0);
    double const margin = std::max(0.25, 0.25 * (hi - lo));
    // The margin ends at 0 and 100 %; errors of a user's own (above 1, or below 0) take the axis beyond.
    lo = std::max(std::min(0.0, lo), lo - margin);
    hi = std::min(std::max(100.0, hi), hi + margin);
    if (hi - lo < 0.5) lo = std::max(std::min(0.0, lo), hi - 0.5), hi = lo + 0.5;
    step = round_step(hi - lo, 6);
    low = std::floor(lo / step + 1e-9) * step;
    high = std::ceil(hi / step - 1e-9) * step;
  }
  [[nodiscard]] double x(double bytes) const {
    return left + (right - left) * std::log(bytes / low_bytes) / std::log(high_bytes / low_bytes);
  }
  [[nodiscard]] double y(double percent) const {
    return bottom - (bottom - top) * (std::clamp(percent, low, high) - low) / (high - low);
  }
};

PLEAT_ONCE void draw_axes(std::string& svg, picture_frame const& f) {
  for (double v = f.low; v <= f.high + 0.5 * f.step; v += f.step) {
    std::string const y = svg_number(f.y(v));
    svg += "<line class=\"grid\" x1=\"" + svg_number(f.left) + "\" x2=\"" + svg_number(f.right) + "\" y1=\"" + y +
           "\" y2=\"" + y + "\"/>\n";
    svg += "<text class=\"tick\" text-anchor=\"end\" x=\"" + svg_number(f.left - 10) + "\" y=\"" +
           svg_number(f.y(v) + 4) + "\">" +
           format(f.step < 0.095  ? "%.2f"
                  : f.step < 0.95 ? "%.1f"
                                  : "%.0f",
                  std::abs(v) < 0.5 * f.step ? 0.0 : v) +  // a sum of steps may miss 0 by a rounding
           " %</text>\n";
  }
  // Ticks at 1, 2, 5 times powers of ten; only 1 and powers where the axis is long.
  bool const long_axis = f.high_bytes / f.low_bytes > 2000;
  for (double power = std::pow(10.0, std::floor(std::log10(f.low_bytes))); power <= f.high_bytes; power *= 10)
    for (double const factor : {1.0, 2.0, 5.0}) {
      double const v = power * factor;
      if (v < f.low_bytes || v > f.high_bytes || (long_axis && factor != 1.0)) continue;
      std::string const x = svg_number(f.x(v));
      svg += "<line class=\"grid\" x1=\"" + x + "\" x2=\"" + x + "\" y1=\"" + svg_number(f.top) + "\" y2=\"" +
             svg_number(f.bottom) + "\"/>\n";
      svg += "<text class=\"tick\" text-anchor=\"middle\" x=\"" + x + "\" y=\"" + svg_number(f.bottom + 22) + "\">" +
             format("%g", v >= 1e9   ? v / 1e9
                          : v >= 1e6 ? v / 1e6
                          : v >= 1e3 ? v / 1e3
                                     : v) +
             (v >= 1e9   ? " GB"
              : v >= 1e6 ? " MB"
              : v >= 1e3 ? " kB"
                         : " B") +
             "</text>\n";
    }
  svg += "<line class=\"axis\" x1=\"" + svg_number(f.left) + "\" x2=\"" + svg_number(f.right) + "\" y1=\"" +
         svg_number(f.bottom) + "\" y2=\"" + svg_number(f.bottom) + "\"/>\n";
  svg += "<text class=\"label\" text-anchor=\"middle\" x=\"" + svg_number((f.left + f.right) / 2) + "\" y=\"" +
         svg_number(f.bottom + 50) + "\">bytes of the written file (logarithmic)</text>\n";
  svg += "<text class=\"label\" text-anchor=\"middle\" transform=\"translate(24 " + svg_number((f.top + f.bottom) / 2) +
         ") rotate(-90)\">test accuracy</text>\n";
}

/// A rectangle on the page that is taken.
struct picture_box {
  double x0, y0, x1, y1;
  [[nodiscard]] double overlap(picture_box const& o) const {
    double const w = std::min(x1, o.x1) - std::max(x0, o.x0), h = std::min(y1, o.y1) - std::max(y0, o.y0);
    return w > 0 && h > 0 ? w * h : 0;
  }
};

/// Labels of two lines beside the points: of eight places the one that covers least of what is there already.
PLEAT_ONCE void draw_labels(std::string& svg, picture_frame const& f, std::vector<stage> const& stages) {
  std::vector<picture_box> taken;
  auto const point = [&](stage const& s) {
    return std::array{f.x(std::max(1.0, static_cast<double>(s.bytes))), f.y(100 * (1 - s.test_error))};
  };
  for (std::size_t i = 0; i < stages.size(); ++i) {
    auto const [x, y] = point(stages[i]);
    taken.push_back({x - 8, y - 8, x + 8, y + 8});
    if (i == 0) continue;
    auto const [px, py] = point(stages[i - 1]);
    for (int k = 1; k < 32; ++k) {  // the line between the points, as a string of beads
      double const t = k / 32.0, lx = px + (x - px) * t, ly = py + (y - py) * t;
      taken.push_back({lx - 3, ly - 3, lx + 3, ly + 3});
    }
  }
  for (auto const& s : stages) {
    auto const [x, y] = point(s);
    double const ratio = static_cast<double>(stages.front().bytes) / std::max(1.0, static_cast<double>(s.bytes));
    std::string const second =
        human_bytes(static_cast<double>(s.bytes)) +
        (&s == &stages.front() ? "" : ", " + format(ratio < 9.95 ? "%.1f" : "%.0f", ratio) + "x smaller") + ", " +
        format("%.2f %%", 100 * s.test_error) + " error";
    double const w = 7.0 * static_cast<double>(std::max(width_of(s.name), width_of(second))) + 4, h = 34;
    struct place {
      double x, y;
      char const* anchor;
    };
    place const places[] = {{x + 14, y - 6, "start"},  {x - 14, y - 6, "end"},    {x, y - 34, "middle"},
                            {x, y + 24, "middle"},     {x + 12, y - 32, "start"}, {x - 12, y - 32, "end"},
                            {x + 12, y + 22, "start"}, {x - 12, y + 22, "end"}};
    place best = places[0];
    picture_box best_box{};
    double least = 1e300;
    for (auto const& p : places) {
      double const x0 = p.anchor[0] == 's' ? p.x : p.anchor[0] == 'e' ? p.x - w : p.x - w / 2;
      picture_box const box{x0, p.y - 14, x0 + w, p.y - 14 + h};
      double cost = 0;
      for (auto const& t : taken) cost += box.overlap(t);
      cost += 50 * (std::max(0.0, f.left - box.x0) + std::max(0.0, box.x1 - f.right - 30) +
                    std::max(0.0, f.top - 6 - box.y0) + std::max(0.0, box.y1 - f.bottom));
      if (cost < least) least = cost, best = p, best_box = box;
    }
    taken.push_back(best_box);
    svg += "<text class=\"name\" text-anchor=\"" + std::string(best.anchor) + "\" x=\"" + svg_number(best.x) +
           "\" y=\"" + svg_number(best.y) + "\">" + svg_text(s.name) + "</text>\n";
    svg += "<text class=\"note\" text-anchor=\"" + std::string(best.anchor) + "\" x=\"" + svg_number(best.x) +
           "\" y=\"" + svg_number(best.y + 16) + "\">" + svg_text(second) + "</text>\n";
  }
}

}  // namespace detail

/// The picture as SVG text. Stages without a test error or a size are left out.
PLEAT_ONCE [[nodiscard]] std::string svg(stage_list const& list, std::string_view title = "Size against accuracy") {
  std::vector<stage> stages;
  for (auto const& s : list.stages())
    if (std::isfinite(s.test_error) && s.bytes > 0) stages.push_back(s);
  std::string out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 500\" font-family=\"system-ui, 'DejaVu Sans', "
      "Helvetica, sans-serif\">\n"
      "<style>.grid{stroke:#e3e7ec;stroke-width:1}.axis{stroke:#5b6672;stroke-width:1.5}.tick{fill:#5b6672;font-size:"
      "12px}"
      ".label{fill:#2c3540;font-size:13px}.title{fill:#12181f;font-size:19px;font-weight:600}.name{fill:#12181f;font-"
      "size:13px;font-weight:600}"
      ".note{fill:#5b6672;font-size:12px}.path{fill:none;stroke:#9db4cf;stroke-width:2;stroke-dasharray:5 4}"
      ".point{fill:#1f6fb5;stroke:#fff;stroke-width:2}.first{fill:#5b6672}.last{fill:#d1491f}"
      ".name,.note{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}</style>\n"
      "<rect width=\"900\" height=\"500\" fill=\"#fff\"/>\n<text class=\"title\" x=\"92\" y=\"46\">" +
      svg_text(title) + "</text>\n";
  if (stages.empty()) return out + "<text class=\"label\" x=\"92\" y=\"100\">no stage was measured</text>\n</svg>\n";
  detail::picture_frame const f(stages);
  detail::draw_axes(out, f);
  std::string path, points;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    std::string const x = svg_number(f.x(static_cast<double>(stages[i].bytes))),
                      y = svg_number(f.y(100 * (1 - stages[i].test_error)));
    path += (i ? " L" : "M") + x + " " + y;
    points += "<circle class=\"point" +
              std::string(i == 0                   ? " first"
                          : i + 1 == stages.size() ? " last"
                                                   : "") +
              "\" cx=\"" + x + "\" cy=\"" + y + "\" r=\"7\"><title>" + svg_text(stages[i].name) + "</title></circle>\n";
  }
  out += "<path class=\"path\" d=\"" + path + "\"/>\n";
  detail::draw_labels(out, f, stages);
  return out + points + "</svg>\n";
}
PLEAT_COMPILED_ONCE(std::string svg(stage_list const& list, std::string_view title));

/// Writes the picture. \throws error if the file cannot be written
inline void write_svg(stage_list const& list, std::string const& path,
                      std::string_view title = "Size against accuracy") {
  io::write_file(path, svg(list, title));
}

}  // namespace pleat::compress
