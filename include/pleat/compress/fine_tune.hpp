// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Training as a stage of shrinking.
#pragma once

#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/compress/transform.hpp>
#include <pleat/io/dataset.hpp>
#include <pleat/run/fit.hpp>

namespace pleat::compress {

/// Trains on, with what is pruned staying zero: the optimizer's pass skips dead elements, moments included. Weights in
/// a form that cannot be trained stay as they are; gradients flow through them to the layers before.
///
///     model | prune{.sparsity = 0.9} | fine_tune(data.train, {.epochs = 3})
class fine_tune {
 public:
  using fusable_transform = void;
  static constexpr bool takes_parts = true;         ///< runs where weights are cut over the tensor axis
  static constexpr bool takes_shards = true;        ///< runs where parameters are in pieces (state_stage = 3)
  static constexpr char const* what = "fine_tune";  ///< its name in reports and errors

  /// `data` is kept by reference: it must live until the transform has run.
  PLEAT_ONCE explicit fine_tune(io::dataset const& data, run::fit_options options = defaults());
  explicit fine_tune(io::dataset&&, run::fit_options = {}) = delete;

  [[nodiscard]] error_kind leaves_errors() const noexcept { return error_kind::trained; }
  /// "60000 samples, 3 epochs"; what else decides, run::fit compares when it begins.
  friend std::string words_of(fine_tune const& t) {
    return std::to_string(t.data_->size) + " samples, " + std::to_string(t.options_.epochs) + " epochs";
  }
  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const { say("data", words_of(*this)); }
  [[nodiscard]] run::fit_options const& options() const noexcept { return options_; }
  [[nodiscard]] io::dataset const& data() const noexcept { return *data_; }

  /// Collective. \throws error as run::fit does
  template <class Net> void run(parallel::model<Net>& m) const { (void)pleat::run::fit(m, *data_, options_); }

 private:
  PLEAT_ONCE [[nodiscard]] static run::fit_options defaults() {
    run::fit_options o;
    o.epochs = 3;
    return o;
  }
  io::dataset const* data_;
  run::fit_options options_;
};

template <class>
fine_tune::fine_tune(io::dataset const& data, run::fit_options options) : data_(&data), options_(std::move(options)) {}
PLEAT_COMPILED_ONCE(fine_tune::fine_tune(io::dataset const& data, run::fit_options options));

}  // namespace pleat::compress
