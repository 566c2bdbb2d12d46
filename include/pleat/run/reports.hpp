// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What training, judging and serving report, as plain data. Needs no Kokkos.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::run {

/// What fit did.
struct fit_report {
  index_t steps = 0;              ///< done in this call
  double seconds = 0;             ///< of this call's training steps, without judging and saving
  double samples_per_second = 0;  ///< over all ranks
  /// mean over the epoch's samples, each when it was trained on; of an epoch that was gone on with, those before the
  /// checkpoint too
  std::vector<double> epoch_loss;
  std::vector<double> validation_error;  ///< one per epoch, if there is a validation set
  std::optional<index_t> resumed_at;     ///< step of the checkpoint that training went on from
  /// what rank 0 said by the world's sink, with or without progress: a damaged checkpoint that was passed over, a folder
  /// to resume from that holds none, settings that are not those of the run before it, weights that their form keeps
  /// from being trained
  std::vector<std::string> remarks;
};

/// What evaluate found over all ranks' samples.
struct evaluation {
  index_t samples = 0;  ///< that were judged
  index_t judged = 0;   ///< labels: samples, or their positions where they are windows of a text
  index_t errors = 0;   ///< wrong classes
  double loss = 0;      ///< mean cross entropy over what was judged, in nats; of a text, bits per token are loss / ln 2
  /// confusion[label · classes + answer]; empty for windows of a text, and where there are more than 4096 classes
  std::vector<index_t> confusion{};
  double mean_square = 0;     ///< where samples have targets: of (output − target) over samples and outputs
  double target_squares = 0;  ///< the same of the targets themselves
  /// Share of wrong classes, in [0, 1]; where samples have targets, the relative error ‖output − target‖ / ‖target‖ (of
  /// targets that are all zero: the root of the mean square). NaN where nothing was judged: nobody knows.
  PLEAT_LAZY [[nodiscard]] double error() const noexcept {
    if (!(mean_square <= 0)) return std::sqrt(target_squares > 0 ? mean_square / target_squares : mean_square);
    if (judged == 0) return std::numeric_limits<double>::quiet_NaN();
    return static_cast<double>(errors) / static_cast<double>(judged);
  }
  /// Share of right classes.
  PLEAT_LAZY [[nodiscard]] double accuracy() const noexcept { return 1 - error(); }
};

/// The answers, and how fast they came.
struct serve_report {
  /// class of every request (of every position of a window), on every rank; none where requests have targets
  std::vector<std::int32_t> answers;
  std::vector<float> outputs{};  ///< where they have: requests × target, on every rank
  double seconds = 0;            ///< of the slowest rank
  double throughput = 0;         ///< requests per second, over all ranks
  /// seconds from the start of a batch to its answers, over all batches of all ranks
  double p50 = 0, p99 = 0;
};

}  // namespace pleat::run
