// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What shrinking did, stage by stage, as plain data: a table for people, JSON for programs. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/compress/detail/text.hpp>
#include <pleat/compress/error_ledger.hpp>
#include <pleat/compress/layer_list.hpp>
#include <pleat/io/detail/json.hpp>
#include <pleat/io/file.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compress {

/// One row of a report: a model as it was measured.
struct stage {
  std::string name;
  double test_error = 0;   ///< run::evaluation::error(); NaN if nobody measured it
  index_t parameters = 0;  ///< elements, statistics included, tied ones once
  index_t nonzeros = 0;    ///< of them, those that are not zero
  index_t bytes = 0;       ///< of the written file
  double latency_us = 0;   ///< one sample through the model: median, microseconds; NaN if nobody measured it
  std::vector<weight_error> errors{};  ///< of the weights, if somebody looked (record_stages does)
  double latency_64_us = NAN;          ///< 64 samples at once; NaN if nobody measured it
  /// weight by weight: form, bytes, multiply-adds, energy; empty where no rank holds them whole
  std::vector<layer_row> layers{};
};

/// The stages of one shrinking, in order; the first is what the others are compared with.
class stage_list {
 public:
  stage_list() = default;
  PLEAT_LAZY explicit stage_list(std::vector<stage> stages) : stages_(std::move(stages)) {}
  PLEAT_ONCE void add(stage s);
  [[nodiscard]] std::vector<stage> const& stages() const noexcept { return stages_; }

  /// An aligned table: one line per stage, how many times smaller each is than the first, and, of what is known: the
  /// time of 64 samples at once, multiply-adds of one sample with weights that are not zero and their energy
  /// (layer_list.hpp: a proxy), and how far all weights together are from what they are compared with, beside what was
  /// promised (‖W − Ŵ‖_F/‖W‖_F; a stage that moved all weights on purpose says "trained").
  PLEAT_ONCE void print(std::ostream& out) const;

  /// The errors of the weights, stage by stage.
  PLEAT_ONCE [[nodiscard]] error_ledger errors() const {
    std::vector<ledger_stage> of;
    for (auto const& s : stages_)
      if (!s.errors.empty()) of.push_back({s.name, s.errors});
    return error_ledger(std::move(of));
  }

  /// The stages as a JSON array of objects: name, test_error, parameters, nonzeros, bytes, latency_us, latency_64_us,
  /// and, if they are known, multiply_adds, effective_multiply_adds, energy_uj and layers (as layer_list::json writes
  /// them), errors (as error_ledger::weights_json does). NaN is written as null.
  PLEAT_ONCE [[nodiscard]] std::string json(int indent = 0) const;

  /// {"stages": […]}. \throws error if the file cannot be written
  PLEAT_ONCE void write_json(std::string const& path) const {
    io::write_file(path, std::string_view("{\n  \"stages\": " + json(2) + "\n}\n"));
  }

 private:
  std::vector<stage> stages_;
};

template <class> void stage_list::add(stage s) { stages_.push_back(std::move(s)); }
PLEAT_COMPILED_ONCE(void stage_list::add(stage s));

template <class> void stage_list::print(std::ostream& out) const {
  bool const errors = std::any_of(stages_.begin(), stages_.end(), [](auto const& s) { return !s.errors.empty(); });
  std::vector<std::vector<std::string>> rows{
      {"stage", "test error", "parameters", "nonzeros", "file", "smaller", "latency"}};
  bool const together =
      std::any_of(stages_.begin(), stages_.end(), [](auto const& s) { return std::isfinite(s.latency_64_us); });
  bool const layers = std::any_of(stages_.begin(), stages_.end(), [](auto const& s) { return !s.layers.empty(); });
  if (together) rows[0].push_back("64 at once");
  if (layers) rows[0].insert(rows[0].end(), {"mult-adds", "energy"});
  if (errors) rows[0].insert(rows[0].end(), {"off W by", "at most"});
  for (auto const& s : stages_) {
    double const ratio = s.bytes > 0 ? static_cast<double>(stages_.front().bytes) / static_cast<double>(s.bytes) : NAN;
    rows.push_back({s.name, detail::format("%.2f %%", 100 * s.test_error), std::to_string(s.parameters),
                    std::to_string(s.nonzeros), detail::human_bytes(static_cast<double>(s.bytes)),
                    detail::format("%.1fx", ratio), detail::format("%.1f us", s.latency_us)});
    if (together) rows.back().push_back(detail::format("%.0f us", s.latency_64_us));
    layer_list const list(s.layers);
    if (layers)
      rows.back().insert(rows.back().end(),
                         {s.layers.empty() ? "-" : detail::human_count(list.total().effective_multiply_adds),
                          s.layers.empty() ? "-" : detail::format("%.3g uJ", list.energy_uj())});
    if (!errors) continue;
    auto const e = relative_error_of(s.errors);
    bool const anew = !s.errors.empty() &&
                      std::all_of(s.errors.begin(), s.errors.end(), [](auto const& w) { return begins_anew(w.kind); });
    rows.back().push_back(anew ? name_of(s.errors.front().kind) : detail::format("%.2f %%", 100 * e.measured));
    rows.back().push_back(anew ? "-" : detail::format("%.2f %%", 100 * e.bound));
  }
  detail::print_table(out, rows, 1, true);
}
PLEAT_COMPILED_ONCE(void stage_list::print(std::ostream& out) const);

template <class> std::string stage_list::json(int indent) const {
  std::string const margin(static_cast<std::size_t>(indent), ' ');
  std::string text = "[";
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    auto const& s = stages_[i];
    text += (i ? ",\n" : "\n") + margin + "  {\"name\": " + io::detail::json_string(s.name) +
            ", \"test_error\": " + detail::json_number(s.test_error) +
            ", \"parameters\": " + std::to_string(s.parameters) + ", \"nonzeros\": " + std::to_string(s.nonzeros) +
            ", \"bytes\": " + std::to_string(s.bytes) + ", \"latency_us\": " + detail::json_number(s.latency_us) +
            ", \"latency_64_us\": " + detail::json_number(s.latency_64_us);
    if (!s.layers.empty()) {
      layer_list const list(s.layers);
      auto const all = list.total();
      text += ", \"multiply_adds\": " + detail::json_number(all.multiply_adds) +
              ", \"effective_multiply_adds\": " + detail::json_number(all.effective_multiply_adds) +
              ", \"energy_uj\": " + detail::json_number(list.energy_uj()) + ", \"layers\": " + list.json();
    }
    if (!s.errors.empty()) text += ", \"errors\": " + error_ledger::weights_json(s.errors, indent + 4);
    text += "}";
  }
  return text + (stages_.empty() ? "]" : "\n" + margin + "]");
}
PLEAT_COMPILED_ONCE(std::string stage_list::json(int indent) const);

}  // namespace pleat::compress
