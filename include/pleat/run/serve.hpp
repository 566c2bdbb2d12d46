// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Answers at scale: requests in batches, batches spread over ranks, with the time that each took.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include <pleat/base/profile.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/nn/metrics.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/run/batch.hpp>
#include <pleat/run/evaluate.hpp>
#include <pleat/run/reports.hpp>

namespace pleat::run {

/// How requests are put together.
struct serve_options {
  index_t batch = 32;   ///< requests answered together
  index_t warm_up = 1;  ///< batches of each rank that are answered once more, before the clock starts
};

/// Answers every sample of `requests`, which need no labels (nor targets, if `target` says their shape); batch b is
/// answered by rank b mod ranks. Collective. Never instantiates a backward.
/// \throws error on every rank alike: requests or options that differ between ranks, a batch below 1, members of the
/// requests that do not fit one another; also what a layer of one rank has to say (where parts lie along a tensor axis: on
/// that rank)
template <class T, class Space>
[[nodiscard]] serve_report serve(parallel::any_model<T, Space> const& m, io::dataset const& requests,
                                 serve_options options = {}) {
  using clock = std::chrono::steady_clock;
  if (m.plan().state_stage == 3) return serve(m.unsharded(), requests, options);
  region r("pleat::run::serve");
  detail::demand_alike(
      m.all_ranks(), "run::serve", requests,
      "batches of " + std::to_string(options.batch) + "\nwarm_up " + std::to_string(options.warm_up), [&] {
        if (options.batch < 1)
          throw error{"run::serve", "expected batches of 1 request or more, found " + std::to_string(options.batch),
                      "Use 1 or more"};
        requests.demand_whole(false);
      });
  auto& ranks = m.ranks();
  options.batch = std::min(options.batch, std::max<index_t>(1, requests.size));
  index_t const batches = (requests.size + options.batch - 1) / options.batch;
  batch_loader<T, Space> loader(requests, false);
  std::vector<index_t> samples;
  serve_report report;
  bool const numbers = requests.regression();
  index_t const each = numbers ? requests.target.size() : 0;
  report.answers.assign(static_cast<std::size_t>(numbers ? 0 : requests.size * requests.positions()), 0);
  report.outputs.assign(static_cast<std::size_t>(requests.size * each), 0);
  std::vector<std::int32_t> answers;
  std::vector<T> outputs;
  auto const answer = [&](index_t b) {
    index_t const begin = b * options.batch, end = std::min(requests.size, begin + options.batch);
    samples.resize(static_cast<std::size_t>(end - begin));
    for (index_t i = begin; i < end; ++i) samples[static_cast<std::size_t>(i - begin)] = i;
    auto const y = m.predict(loader.load(m.context(), samples).x);
    if (!numbers) {
      nn::classify(m.context(), y, answers);
      detail::demand_scores("run::serve", requests, y.shape(), end - begin);
      std::copy(answers.begin(), answers.end(), report.answers.begin() + begin * requests.positions());
      return;
    }
    detail::demand_outputs("run::serve", requests, y.shape(), end - begin);
    outputs.resize(static_cast<std::size_t>(y.size()));
    copy_to_host(m.context(), y, outputs.data());
    std::transform(outputs.begin(), outputs.end(), report.outputs.begin() + begin * each,
                   [](T v) { return static_cast<float>(v); });
  };

  comm::attempts pieces(m.parts().size() > 1);
  for (index_t w = 0; w < options.warm_up && ranks.rank() < batches; ++w) pieces([&] { answer(ranks.rank()); });
  std::vector<double> latency(static_cast<std::size_t>(batches));
  ranks.barrier();
  auto const start = clock::now();
  for (index_t b = ranks.rank(); b < batches; b += ranks.size()) {
    auto const begin = clock::now();
    pieces([&] {
      answer(b);
      latency[static_cast<std::size_t>(b)] = std::chrono::duration<double>(clock::now() - begin).count();
    });
  }
  double const seconds = std::chrono::duration<double>(clock::now() - start).count();
  pieces.meet(m.all_ranks());
  report.seconds = ranks.all_reduce_value(seconds, comm::reduction::max);
  // Everybody filled its own places of zeroed arrays.
  ranks.all_reduce(report.answers);
  ranks.all_reduce(report.outputs);
  ranks.all_reduce(latency);
  report.throughput = report.seconds > 0 ? static_cast<double>(requests.size) / report.seconds : 0;
  if (!latency.empty()) {
    std::sort(latency.begin(), latency.end());
    auto const at = [&](double q) {
      return latency[std::min(latency.size() - 1, static_cast<std::size_t>(q * static_cast<double>(latency.size())))];
    };
    report.p50 = at(0.50);
    report.p99 = at(0.99);
  }
  return report;
}

}  // namespace pleat::run
