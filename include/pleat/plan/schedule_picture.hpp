// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Who computes what when, drawn: as SVG, and in letters for a terminal.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/base/svg.hpp>
#include <pleat/plan/schedule.hpp>
#include <pleat/plan/simulate.hpp>

namespace pleat::plan {

namespace detail {

/// At most three digits after the point, no trailing zeros.
[[nodiscard]] inline std::string short_number(double x) {
  std::array<char, 64> text{};
  if (!(std::fabs(x) < 1e15)) return "-";
  if (std::fabs(x) >= 1e6 || (x != 0 && std::fabs(x) < 1e-3)) {
    return {text.data(), std::to_chars(text.data(), text.data() + text.size(), x, std::chars_format::general, 3).ptr};
  }
  auto const thousandths = std::llround(x * 1000);
  std::string out = std::to_string(thousandths / 1000);
  auto const rest = std::llabs(thousandths % 1000);
  if (rest != 0) {
    std::string digits = std::to_string(1000 + rest).substr(1);
    while (digits.back() == '0') digits.pop_back();
    out += "." + digits;
  }
  return out;
}

[[nodiscard]] inline std::string percent(double share) { return short_number(std::round(share * 1000) / 10) + " %"; }

/// A step of 1, 2 or 5 times a power of ten with at most `most` steps in `span`.
[[nodiscard]] inline double tick_step(double span, int most) {
  double const power = std::pow(10.0, std::floor(std::log10(span / most)));
  for (double const factor : {1.0, 2.0, 5.0})
    if (span / (power * factor) <= most) return power * factor;
  return power * 10;
}

/// Where things are on the page, in its units.
struct schedule_page {
  double left = 76, right = 900, top = 86, row = 34, gap = 6, begin = 0, scale = 1;
  index_t ranks = 0;

  schedule_page(schedule const& s, figures const& f, simulation const& times) : ranks(s.ranks()) {
    begin = std::numeric_limits<double>::infinity();
    for (auto const& list : times.start)
      for (double const t : list) begin = std::min(begin, t);
    if (!(begin < std::numeric_limits<double>::infinity())) begin = 0;
    double end = begin;
    for (auto const& r : f.ranks) end = std::max(end, r.end);
    scale = (right - left) / (end > begin ? end - begin : 1);
  }
  [[nodiscard]] double x(double time) const { return left + (time - begin) * scale; }
  [[nodiscard]] double y(index_t rank) const { return top + static_cast<double>(rank) * (row + gap); }
  [[nodiscard]] double bottom() const { return y(ranks) - gap; }
};

inline std::string svg_label(std::string_view kind, double x, double y, std::string_view text,
                             std::string_view anchor = {}) {
  return "<text class=\"" + std::string(kind) + "\"" +
         (anchor.empty() ? std::string() : " text-anchor=\"" + std::string(anchor) + "\"") + " x=\"" + svg_number(x) +
         "\" y=\"" + svg_number(y) + "\">" + svg_text(text) + "</text>\n";
}

/// f, b, i, w: the class of an action's colour; later chunks take the lighter one.
[[nodiscard]] inline std::string colour(action_kind k, bool later) {
  return std::string(1, "fbiw"[static_cast<int>(k)]) + (later ? "2" : "");
}

}  // namespace detail

/// The simulated step as SVG text: a row per rank, a box per piece of work with its micro-batch; later chunks are
/// lighter. On the right, the rank's idle share of the period, and the most micro-batches that it holds at once (a
/// chunk's counts as its part).
[[nodiscard]] inline std::string draw_svg(schedule const& s, simulation const& times, std::string_view title) {
  auto const& f = times.result;
  detail::schedule_page const page(s, f, times);
  double const height = page.bottom() + 76;
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1010 " + svg_number(height) +
                    "\" font-family=\"system-ui, 'DejaVu Sans', Helvetica, sans-serif\">\n";
  out +=
      "<style>.title{fill:#12181f;font-size:19px;font-weight:600}.sub{fill:#5b6672;font-size:13px}.rank{fill:#2c3540;"
      "font-size:13px;font-weight:600}"
      ".tick,.side{fill:#5b6672;font-size:12px}.lane{fill:#eef1f5}.grid{stroke:#dbe0e6;stroke-width:1}"
      ".f{fill:#2f6db3}.f2{fill:#8db8e3}.b{fill:#1f8a70}.b2{fill:#86cbb8}.i{fill:#1f8a70}.i2{fill:#86cbb8}.w{fill:#"
      "d98a1f}.w2{fill:#f2c785}.c{fill:#7a6bb0}"
      ".n{font-size:11px;fill:#fff;text-anchor:middle;pointer-events:none}.n2{fill:#1d2730}</style>\n";
  out += "<rect width=\"1010\" height=\"" + svg_number(height) + "\" fill=\"#fff\"/>\n";
  out += detail::svg_label("title", page.left, 34, title);
  out += detail::svg_label("sub", page.left, 56,
                           "takes " + detail::short_number(f.makespan) + ", idle " + detail::percent(f.idle_share) +
                               ", " + std::to_string(f.messages) + " messages");
  out += detail::svg_label("side", 912, page.top - 10, "idle") + detail::svg_label("side", 966, page.top - 10, "holds");

  // Time axis behind everything.
  double const span = (page.right - page.left) / page.scale, step = detail::tick_step(span, 12);
  for (index_t k = 0; static_cast<double>(k) * step <= span * (1 + 1e-9); ++k) {
    std::string const x = svg_number(page.x(page.begin + static_cast<double>(k) * step));
    out += "<line class=\"grid\" x1=\"" + x + "\" x2=\"" + x + "\" y1=\"" + svg_number(page.top - 4) + "\" y2=\"" +
           svg_number(page.bottom() + 6) + "\"/>\n";
    out += detail::svg_label("tick", page.x(page.begin + static_cast<double>(k) * step), page.bottom() + 21,
                             detail::short_number(static_cast<double>(k) * step), "middle");
  }
  bool has[4] = {}, collectives = false, later_chunks = false;
  for (index_t r = 0; r < s.ranks(); ++r) {
    auto const rank = static_cast<std::size_t>(r);
    double const y = page.y(r);
    out += detail::svg_label("rank", page.left - 12, y + page.row / 2 + 5, "rank " + std::to_string(r), "end");
    out += "<rect class=\"lane\" x=\"" + svg_number(page.left) + "\" y=\"" + svg_number(y) + "\" width=\"" +
           svg_number(page.right - page.left) + "\" height=\"" + svg_number(page.row) + "\" rx=\"3\"/>\n";
    auto const first_stage = s.stages_of(r).empty() ? 0 : s.stages_of(r).front();
    for (std::size_t i = 0; i < s.actions[rank].size(); ++i) {
      action const& a = s.actions[rank][i];
      double const x0 = page.x(times.start[rank][i]), width = (times.end[rank][i] - times.start[rank][i]) * page.scale;
      if (!computes(a.kind)) {
        if (a.kind < action_kind::gather_parameters || width <= 0) continue;
        collectives = true;
        out += "<rect class=\"c\" x=\"" + svg_number(x0) + "\" y=\"" + svg_number(y + page.row) + "\" width=\"" +
               svg_number(width) + "\" height=\"4\"><title>" + svg_text(in_words(a)) + "</title></rect>\n";
        continue;
      }
      bool const later = a.stage != first_stage;
      later_chunks = later_chunks || later;
      has[static_cast<std::size_t>(a.kind)] = true;
      double const inset = width > 4 ? 0.6 : 0;  // a hair of white between boxes, where there is room
      out += "<rect class=\"" + detail::colour(a.kind, later) + "\" x=\"" + svg_number(x0 + inset) + "\" y=\"" +
             svg_number(y) + "\" width=\"" + svg_number(std::max(width - 2 * inset, 0.4)) + "\" height=\"" +
             svg_number(page.row) + (width > 8 ? "\" rx=\"2\"><title>" : "\" rx=\"1\"><title>") +
             svg_text(in_words(a) + ": " + detail::short_number(times.start[rank][i]) + " to " +
                      detail::short_number(times.end[rank][i])) +
             "</title></rect>\n";
      std::string const number = std::to_string(a.micro_batch);
      if (width > 5 + 6.5 * static_cast<double>(number.size()))
        out += detail::svg_label(later ? "n n2" : "n", x0 + width / 2, y + page.row / 2 + 4, number);
    }
    auto const& figures = f.ranks[rank];
    out += detail::svg_label("side", 912, y + page.row / 2 + 5,
                             detail::percent(f.period > 0 ? 1 - figures.busy / f.period : 0));
    auto const chunks = static_cast<double>(std::max<std::size_t>(1, s.stages_of(r).size()));
    out += detail::svg_label("side", 966, y + page.row / 2 + 5,
                             detail::short_number(static_cast<double>(figures.peak_activations) / chunks));
  }
  double x = page.left;
  auto const legend = [&](std::string_view kind, std::string_view words) {
    out += "<rect class=\"" + std::string(kind) + "\" x=\"" + svg_number(x) + "\" y=\"" +
           svg_number(page.bottom() + 43) + "\" width=\"14\" height=\"14\" rx=\"2\"/>\n";
    out += detail::svg_label("side", x + 20, page.bottom() + 54, words);
    x += 44 + 6.6 * static_cast<double>(words.size());
  };
  if (has[0]) legend("f", "forward");
  if (has[1]) legend("b", "backward");
  if (has[2]) legend("i", "backward, input half");
  if (has[3]) legend("w", "weight half");
  if (collectives) legend("c", "parameters, gradients");
  out += detail::svg_label("side", x, page.bottom() + 54, later_chunks ? "light: a later chunk of the rank" : "");
  return out + "</svg>\n";
}

/// The simulated step in letters: a line per rank; F, B, I, W and the micro-batch, lower case for a rank's later
/// chunks, dots where it idles.
/// \param columns the widest line; times are rounded to it, so that short pieces may share a column
[[nodiscard]] inline std::string draw_text(schedule const& s, simulation const& times, index_t columns = 160) {
  detail::schedule_page const page(s, times.result, times);
  double const span = (page.right - page.left) / page.scale;
  double shortest = span;
  for (std::size_t r = 0; r < s.actions.size(); ++r)
    for (std::size_t i = 0; i < s.actions[r].size(); ++i) {
      double const t = times.end[r][i] - times.start[r][i];
      if (computes(s.actions[r][i].kind) && t > 1e-9 * span) shortest = std::min(shortest, t);
    }
  // A shortest piece shows its letter and its number, if the line allows.
  double const wanted = static_cast<double>(1 + std::to_string(s.micro_batches - 1).size()) * span / shortest;
  auto const width =
      static_cast<std::size_t>(std::max(1.0, std::min(static_cast<double>(columns), std::ceil(wanted - 1e-9))));
  auto const column = [&](double time) {
    return std::min(width,
                    static_cast<std::size_t>(std::llround((time - page.begin) / span * static_cast<double>(width))));
  };
  std::string text;
  for (std::size_t r = 0; r < s.actions.size(); ++r) {
    std::string line(width, '.');
    auto const mine = s.stages_of(static_cast<index_t>(r));
    for (std::size_t i = 0; i < s.actions[r].size(); ++i) {
      action const& a = s.actions[r][i];
      if (!computes(a.kind)) continue;
      std::size_t const from = column(times.start[r][i]), to = column(times.end[r][i]);
      std::string box = std::string(letters(a.kind)) + std::to_string(a.micro_batch);
      if (a.stage != mine.front()) box[0] = static_cast<char>(box[0] - 'A' + 'a');
      if (box.size() > to - from) box.resize(to - from);
      box.resize(to - from, ' ');
      for (std::size_t k = box.find(' '); k < box.size(); ++k) box[k] = '-';
      line.replace(from, to - from, box);
    }
    std::string const name = std::to_string(r);
    text += "rank " + name + std::string(std::to_string(s.actions.size() - 1).size() - name.size(), ' ') + " |" + line +
            "|\n";
  }
  return text;
}

}  // namespace pleat::plan
