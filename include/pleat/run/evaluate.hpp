// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How well a model answers, measured by all ranks together.
#pragma once

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/nn/metrics.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/run/batch.hpp>

namespace pleat::run {

/// What evaluate counted over all ranks' samples.
struct evaluation {
  index_t samples = 0, errors = 0;
  /// Share of wrong answers, in [0, 1].
  [[nodiscard]] double error() const noexcept {
    return samples ? static_cast<double>(errors) / static_cast<double>(samples) : 0;
  }
  PLEAT_LAZY [[nodiscard]] double accuracy() const noexcept { return 1 - error(); }
  /// confusion[label · classes + answer]
  std::vector<index_t> confusion;
};

/// Classifies every sample of `data`, each on one rank, in batches of `batch`. Collective; the same result on every
/// rank. The answer is the class of the largest output, the first one if several are largest. Sharded parameters
/// (state_stage = 3) are gathered layer by layer for every batch; larger batches gather less often.
/// \throws error on every rank alike, also what a layer of one rank has to say (where parts lie along a tensor axis: on
/// that rank; so is what breaks off a walk of state stage 3: no memory for its input, parameters that did not come)
template <class T, class Space>
[[nodiscard]] evaluation evaluate(parallel::any_model<T, Space> const& m, io::dataset const& data,
                                  index_t batch = 256) {
  if (batch < 1) throw error{"run::evaluate", "a batch of " + std::to_string(batch) + " samples", "Use 1 or more"};
  region r("pleat::run::evaluate");
  for (std::size_t s = 0; s < static_cast<std::size_t>(data.size); ++s)  // every rank has all labels: all refuse alike
    if (data.labels[s] < 0 || data.labels[s] >= data.classes)
      throw error{"run::evaluate",
                  "sample " + std::to_string(s) + " of '" + data.name + "' has the label " +
                      std::to_string(data.labels[s]) + ", expected 0 to " + std::to_string(data.classes - 1),
                  "Leave samples without a class out of the set"};
  auto& ranks = m.ranks();  // each stage's replicas; all stages of one replica see the same samples
  batch_loader<T, Space> loader(data);
  index_range const mine = block_range(data.size, ranks.size(), ranks.rank());
  // an answer gathers parameters: every rank gives as many, the last of them to a sample that does not count
  bool const together = m.plan().state_stage == 3;
  index_t const most = together ? (data.size + ranks.size() - 1) / ranks.size() : mine.size();
  std::vector<index_t> samples(static_cast<std::size_t>(std::max<index_t>(0, std::min(batch, mine.size()))));
  std::vector<index_t> confusion(static_cast<std::size_t>(data.classes) * static_cast<std::size_t>(data.classes));
  std::vector<std::int32_t> answers;
  comm::attempts batches(m.parts().size() > 1);
  for (index_t at = mine.begin; at < mine.begin + most; at += batch)
    batches([&] {
      index_t const n = std::max<index_t>(0, std::min(batch, mine.end - at));
      samples.resize(static_cast<std::size_t>(std::max<index_t>(1, n)));
      std::iota(samples.begin(), samples.end(), n > 0 ? at : index_t{0});
      auto b = comm::whole_or_broken_off(together, [&] { return loader.load(m.context(), samples); });
      auto const y = m.predict(std::move(b.x), parallel::answer_at::last_stage);
      if (!m.has_last_stage()) return;
      nn::classify(m.context(), y, answers);
      for (index_t i = 0; i < n; ++i) {
        auto const label = data.labels[static_cast<std::size_t>(at + i)];
        auto const answer = answers[static_cast<std::size_t>(i)];
        if (answer >= 0 && answer < data.classes)
          ++confusion[static_cast<std::size_t>(label) * static_cast<std::size_t>(data.classes) +
                      static_cast<std::size_t>(answer)];
      }
    });
  batches.meet(m.all_ranks());
  ranks.all_reduce(confusion);
  if (m.pipeline().size() > 1) m.pipeline().broadcast(confusion, m.layout().last_rank());
  evaluation e;
  e.samples = data.size;
  e.confusion = std::move(confusion);
  index_t right = 0;
  for (int c = 0; c < data.classes; ++c)
    right += e.confusion[static_cast<std::size_t>(c) * static_cast<std::size_t>(data.classes + 1)];
  e.errors = data.size - right;
  return e;
}

}  // namespace pleat::run
