// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How far each weight is from what it was, stage by stage: what the form promised, what was measured, and the sum of
/// both along a recipe, as plain data. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/error_norms.hpp>
#include <pleat/compress/detail/text.hpp>
#include <pleat/io/detail/json.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compress {

/// How a stage's figures of a weight are to be read. A transform says which of them it leaves behind (`leaves_errors`).
enum class error_kind : std::uint8_t {
  exact,     ///< not a number changed
  bounded,   ///< the form promises an error, and what was measured is within it
  measured,  ///< nobody promises anything: it was measured, afterwards
  trained,   ///< moved by training, which is no error: later stages are compared with the trained weight
  /// it multiplies the same together with a layer that is gone: later stages are compared with it as it is now
  folded,
  resized  ///< of other extents than before, or gone: the same
};
PLEAT_LAZY [[nodiscard]] constexpr char const* name_of(error_kind k) noexcept {
  constexpr char const* names[] = {"exact", "bounded", "measured", "trained", "folded", "resized"};
  return names[static_cast<int>(k)];
}
/// Whether a weight of such a stage is what later ones are compared with.
PLEAT_LAZY [[nodiscard]] constexpr bool begins_anew(error_kind k) noexcept {
  return k == error_kind::trained || k == error_kind::folded || k == error_kind::resized;
}

/// One weight after one stage. Norms are those of differences of decoded weights, over all ranks.
struct weight_error {
  std::string weight;                   ///< the parameter's name
  std::string form;                     ///< that it has now; empty: it is gone
  error_kind kind = error_kind::exact;  ///< what is known of this stage's error
  codec::error_norms predicted{};       ///< of this stage: what the form promised, if `kind` is bounded
  /// of this stage; for a weight that training moved, how far (of one that has other extents: nothing)
  codec::error_norms measured{};
  std::string since{};  ///< the stage after which the weight was what it is compared with; empty: as it came
  /// since then: the sum of what the stages promised, or, where nothing was promised, did (triangle inequality)
  codec::error_norms bound{};
  codec::error_norms total{};  ///< since then, measured
  double norm = 0;             ///< ‖W‖_F of what it is compared with

  /// Whether what was measured is within what was promised, but for the rounding of sums of squares.
  PLEAT_LAZY [[nodiscard]] bool holds() const noexcept {
    auto const within = [](codec::error_norms const& e, codec::error_norms const& b) {
      constexpr double slack = 1 + 1e-9;  // sums of n squares in chains of 4096 are right to about 10⁻¹²
      return e.max <= b.max * slack && e.frobenius <= b.frobenius * slack;
    };
    return (kind != error_kind::bounded || within(measured, predicted)) && within(total, bound);
  }
};

/// Several weights together, as a share of ‖W‖_F: root of the sum of squares. NaN for no weights, or all zero.
struct relative_error {
  double measured = NAN, bound = NAN;
};
PLEAT_ONCE [[nodiscard]] relative_error relative_error_of(std::vector<weight_error> const& weights) noexcept {
  double all = 0, total = 0, bound = 0;
  for (auto const& w : weights)
    all = std::hypot(all, w.norm), total = std::hypot(total, w.total.frobenius),
    bound = std::hypot(bound, w.bound.frobenius);
  return all > 0 ? relative_error{total / all, bound / all} : relative_error{};
}

/// The weights after a stage, in forward order.
struct ledger_stage {
  std::string name;  ///< of the transform
  std::vector<weight_error> weights;
};

/// What a recipe did to the numbers. Filled by compress/record_errors.hpp, or by hand.
class error_ledger {
 public:
  error_ledger() = default;
  /// Stages that were worked out already.
  PLEAT_LAZY explicit error_ledger(std::vector<ledger_stage> stages) : stages_(std::move(stages)) {}

  /// A stage. `weights` have name, form, kind, predicted, measured, total and norm; `since` and `bound` are worked out
  /// here.
  PLEAT_ONCE void add(std::string name, std::vector<weight_error> weights) {
    for (auto& w : weights) {
      weight_error const* const was = find(w.weight);
      if (was) w.since = was->since, w.bound = was->bound;
      if (begins_anew(w.kind)) {
        w.since = name;
        w.bound = w.total = {};
      } else if (w.kind != error_kind::exact) {
        auto const& more = w.kind == error_kind::bounded ? w.predicted : w.measured;
        w.bound.max += more.max;
        w.bound.frobenius += more.frobenius;
      }
    }
    stages_.push_back({std::move(name), std::move(weights)});
  }

  [[nodiscard]] std::vector<ledger_stage> const& stages() const noexcept { return stages_; }
  /// The latest of a weight, or null.
  PLEAT_LAZY [[nodiscard]] weight_error const* find(std::string_view weight) const noexcept {
    for (std::size_t s = stages_.size(); s-- > 0;)
      for (auto const& w : stages_[s].weights)
        if (w.weight == weight) return &w;
    return nullptr;
  }
  /// Whether every promise was kept.
  PLEAT_LAZY [[nodiscard]] bool holds() const noexcept {
    return std::all_of(stages_.begin(), stages_.end(), [](auto const& s) {
      return std::all_of(s.weights.begin(), s.weights.end(), [](auto const& w) { return w.holds(); });
    });
  }

  /// A table: of every stage the weights that it changed. "<=" stands before what was promised, "!" before a promise
  /// that was broken.
  PLEAT_ONCE void print(std::ostream& out) const {
    std::vector<std::vector<std::string>> rows{{"stage", "weight", "form", "error", "max", "promised", "Frobenius",
                                                "promised", "since", "max", "at most", "Frobenius", "at most",
                                                "of ||W||"}};
    auto const n = [](double x) { return detail::format("%.3g", x); };
    for (auto const& s : stages_)
      for (auto const& w : s.weights) {
        if (w.kind == error_kind::exact) continue;
        bool const promised = w.kind == error_kind::bounded, anew = begins_anew(w.kind),
                   gone = w.kind == error_kind::resized;
        rows.push_back({s.name, w.weight, w.form.empty() ? "-" : w.form,
                        std::string(w.holds() ? "" : "!") + name_of(w.kind), gone ? "-" : n(w.measured.max),
                        promised ? "<= " + n(w.predicted.max) : "-", gone ? "-" : n(w.measured.frobenius),
                        promised ? "<= " + n(w.predicted.frobenius) : "-"});
        for (auto const& cell :
             {anew              ? std::string("here")
              : w.since.empty() ? std::string("it came")
                                : w.since,
              anew ? "-" : n(w.total.max), anew ? "-" : n(w.bound.max), anew ? "-" : n(w.total.frobenius),
              anew ? "-" : n(w.bound.frobenius),
              anew || !(w.norm > 0) ? "-" : detail::format("%.2f %%", 100 * w.total.frobenius / w.norm)})
          rows.back().push_back(cell);
      }
    if (rows.size() == 1) out << "no weight was changed\n";
    else detail::print_table(out, rows, 4, true);
  }

  /// A JSON array of objects {"name", "weights": […]}, the weights as weights_json writes them.
  PLEAT_ONCE [[nodiscard]] std::string json(int indent = 0) const {
    std::string const margin(static_cast<std::size_t>(indent), ' ');
    std::string text = "[";
    for (std::size_t i = 0; i < stages_.size(); ++i)
      text += (i ? ",\n" : "\n") + margin + "  {\"name\": " + io::detail::json_string(stages_[i].name) +
              ", \"weights\": " + weights_json(stages_[i].weights, indent + 4) + "}";
    return text + (stages_.empty() ? "]" : "\n" + margin + "]");
  }

  /// A JSON array of objects: weight, form, kind, since, holds, norm, and four pairs {"max", "frobenius"}: predicted
  /// (null if nothing was promised), measured, bound, total.
  PLEAT_ONCE [[nodiscard]] static std::string weights_json(std::vector<weight_error> const& weights, int indent = 0) {
    std::string const margin(static_cast<std::size_t>(indent), ' ');
    auto const norms = [](codec::error_norms const& e) {
      return "{\"max\": " + detail::json_number(e.max) + ", \"frobenius\": " + detail::json_number(e.frobenius) + "}";
    };
    std::string text = "[";
    for (std::size_t i = 0; i < weights.size(); ++i) {
      auto const& w = weights[i];
      text += (i ? ",\n" : "\n") + margin + "  {\"weight\": " + io::detail::json_string(w.weight) +
              ", \"form\": " + io::detail::json_string(w.form) + ", \"kind\": \"" + name_of(w.kind) +
              "\", \"since\": " + io::detail::json_string(w.since) + ", \"holds\": " + (w.holds() ? "true" : "false") +
              ", \"norm\": " + detail::json_number(w.norm) +
              ", \"predicted\": " + (w.kind == error_kind::bounded ? norms(w.predicted) : "null") +
              ", \"measured\": " + norms(w.measured) + ", \"bound\": " + norms(w.bound) +
              ", \"total\": " + norms(w.total) + "}";
    }
    return text + (weights.empty() ? "]" : "\n" + margin + "]");
  }

 private:
  std::vector<ledger_stage> stages_;
};

}  // namespace pleat::compress
