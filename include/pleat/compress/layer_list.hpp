// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What each layer costs to store and to run, as plain data: a table for people, JSON for programs. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <limits>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/compress/detail/text.hpp>
#include <pleat/io/detail/json.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compress {

/// Energy of operations in picojoules: figures of a 45 nm process at 0.9 V (M. Horowitz, "Computing's energy problem
/// (and what we can do about it)", ISSCC 2014; words of 32 bits from DRAM and the float pair as Han et al., NeurIPS
/// 2015, quote them). A proxy: it ranks models, it predicts no machine's bill.
struct energy_model {
  double float_multiply_add = 3.7 + 0.9;
  double int8_multiply_add = 0.2 + 0.1;  ///< the sum is one of 32 bits
  double dram_byte = 640.0 / 4;          ///< one walk over the stored weight, nothing of which was in a cache
};

/// One weight matrix or kernel as it is stored and run.
struct layer_row {
  std::string name, form;
  extents shape{};                     ///< of the weight
  index_t parameters = 0;              ///< numbers of the weight
  index_t nonzeros = 0;                ///< of them, those that are not zero
  index_t bytes = 0;                   ///< of the stored form, as in a file
  double multiply_adds = 0;            ///< of one sample, by the shape; of factored weights those with the factors
  double effective_multiply_adds = 0;  ///< those with a weight that is not zero
  bool integer = false;                ///< its products are int8 × int8
  /// Microseconds of the layer that has it (with an activation that is fused into it) in an answer to one sample, and to
  /// 64 together: medians. NaN: not measured; of a layer of several weights the first row has it.
  double latency_us = std::numeric_limits<double>::quiet_NaN(), latency_64_us = latency_us;

  /// What one sample alone costs: every weight comes from DRAM once, every effective multiply-add is done once;
  /// microjoules.
  [[nodiscard]] double energy_uj(energy_model const& e = {}) const noexcept {
    return 1e-6 * (static_cast<double>(bytes) * e.dram_byte +
                   effective_multiply_adds * (integer ? e.int8_multiply_add : e.float_multiply_add));
  }
};

/// The weights of a model in forward order.
class layer_list {
 public:
  layer_list() = default;
  PLEAT_LAZY explicit layer_list(std::vector<layer_row> rows) : rows_(std::move(rows)) {}
  PLEAT_LAZY void add(layer_row r) { rows_.push_back(std::move(r)); }
  [[nodiscard]] std::vector<layer_row> const& rows() const noexcept { return rows_; }

  /// The sums; form and shape are empty, and latencies are not summed: there are layers without a weight. The energy of
  /// all is energy_uj(): forms differ in it.
  PLEAT_ONCE [[nodiscard]] layer_row total() const {
    layer_row t;
    t.name = "all";
    for (auto const& r : rows_) {
      t.parameters += r.parameters, t.nonzeros += r.nonzeros, t.bytes += r.bytes;
      t.multiply_adds += r.multiply_adds, t.effective_multiply_adds += r.effective_multiply_adds;
    }
    return t;
  }
  PLEAT_LAZY [[nodiscard]] double energy_uj(energy_model const& e = {}) const noexcept {
    double sum = 0;
    for (auto const& r : rows_) sum += r.energy_uj(e);
    return sum;
  }

  /// An aligned table, the sums in its last line.
  PLEAT_ONCE void print(std::ostream& out, energy_model const& e = {}) const {
    std::vector<std::vector<std::string>> lines{{"layer", "form", "shape", "nonzeros", "bytes", "bits/w",
                                                 "multiply-adds", "effective", "energy, uJ", "latency, us",
                                                 "of 64, us"}};
    auto const time = [](double us) { return us == us ? detail::format("%.1f", us) : std::string("-"); };
    auto const line = [&](layer_row const& r, std::string const& shape, double energy) {
      double const n = static_cast<double>(r.parameters);
      lines.push_back(
          {r.name, r.form, shape, detail::format("%.2f %%", n > 0 ? 100 * static_cast<double>(r.nonzeros) / n : 0),
           std::to_string(r.bytes), detail::format("%.3f", n > 0 ? 8 * static_cast<double>(r.bytes) / n : 0),
           detail::format("%.0f", r.multiply_adds), detail::format("%.0f", r.effective_multiply_adds),
           detail::format("%.3g", energy), time(r.latency_us), time(r.latency_64_us)});
    };
    for (auto const& r : rows_) line(r, r.shape.to_string(), r.energy_uj(e));
    line(total(), "", energy_uj(e));
    detail::print_table(out, lines, 3, false);
  }

  /// A JSON array of objects: name, form, parameters, nonzeros, bytes, multiply_adds, effective_multiply_adds,
  /// energy_uj, latency_us, latency_64_us (null where they were not measured).
  PLEAT_ONCE [[nodiscard]] std::string json(energy_model const& e = {}) const {
    std::string text = "[";
    for (auto const& r : rows_)
      text += std::string(text.size() > 1 ? ",\n  " : "\n  ") + "{\"name\": " + io::detail::json_string(r.name) +
              ", \"form\": " + io::detail::json_string(r.form) + ", \"parameters\": " + std::to_string(r.parameters) +
              ", \"nonzeros\": " + std::to_string(r.nonzeros) + ", \"bytes\": " + std::to_string(r.bytes) +
              ", \"multiply_adds\": " + detail::json_number(r.multiply_adds) +
              ", \"effective_multiply_adds\": " + detail::json_number(r.effective_multiply_adds) +
              ", \"energy_uj\": " + detail::json_number(r.energy_uj(e)) +
              ", \"latency_us\": " + detail::json_number(r.latency_us) +
              ", \"latency_64_us\": " + detail::json_number(r.latency_64_us) + "}";
    return text + (rows_.empty() ? "]" : "\n]");
  }

 private:
  std::vector<layer_row> rows_;
};

}  // namespace pleat::compress
