// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How well a model answers, measured by all ranks together.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/profile.hpp>
#include <pleat/comm/agree.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compute/softmax.hpp>
#include <pleat/nn/metrics.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/run/batch.hpp>
#include <pleat/run/reports.hpp>
#include <pleat/tensor/detail/number.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::run {

namespace detail {
/// What all ranks must be given alike, before any of them waits for another: a check that fails on one of them, all hear.
/// Collective. \param how the other options, a line each
template <class Check>
void demand_alike(comm::communicator& ranks, char const* call, io::dataset const& data, std::string const& how,
                  Check const& check) {
  comm::all_or_none(ranks, check);
  comm::agree_on_text(ranks, words_of_data(data) + "\n" + how, call, "what is asked",
                      "Give every rank the same data and the same options");
}

/// The outputs of every sample of `data`, each on one rank, in batches of `batch`: each(first, count, y, batch) where the
/// last stage is. Collective.
template <class T, class Space, class Each>
void answer_all(parallel::any_model<T, Space> const& m, io::dataset const& data, index_t batch, Each const& each) {
  batch = std::min(batch, std::max<index_t>(1, data.size));  // so that no sum with it is beyond what can be counted
  auto& ranks = m.ranks();  // each stage's replicas; all stages of one replica see the same samples
  batch_loader<T, Space> loader(data);
  index_range const mine = block_range(data.size, ranks.size(), ranks.rank());
  // an answer gathers parameters: every rank gives as many, the last of them to a sample that does not count
  bool const together = m.plan().state_stage == 3;
  index_t const most = together ? (data.size + ranks.size() - 1) / ranks.size() : mine.size();
  std::vector<index_t> samples(static_cast<std::size_t>(std::max<index_t>(0, std::min(batch, mine.size()))));
  comm::attempts batches(m.parts().size() > 1);
  for (index_t at = mine.begin; at < mine.begin + most; at += batch)
    batches([&] {
      index_t const n = std::max<index_t>(0, std::min(batch, mine.end - at));
      samples.resize(static_cast<std::size_t>(std::max<index_t>(1, n)));
      std::iota(samples.begin(), samples.end(), n > 0 ? at : index_t{0});
      auto b = comm::whole_or_broken_off(together, [&] { return loader.load(m.context(), samples); });
      auto const y = m.predict(std::move(b.x), parallel::answer_at::last_stage);
      if (m.has_last_stage()) each(at, n, y, b);
    });
  batches.meet(m.all_ranks());
}

/// What the replicas of the last stage have found, each at its own places of zeroed `found`, on every rank.
template <class T, class Space, class N>
void share_found(parallel::any_model<T, Space> const& m, std::vector<N>& found) {
  m.ranks().all_reduce(found);
  if (m.pipeline().size() > 1) m.pipeline().broadcast(found, m.layout().last_rank());
}

/// Also over labels that this rank does not come to.
PLEAT_ONCE void demand_labels(io::dataset const& data) {
  for (std::size_t s = 0; s < data.labels.size(); ++s)
    if (data.labels[s] < 0 || data.labels[s] >= data.classes)
      throw error{"run::evaluate",
                  "sample " + std::to_string(s) + " of '" + data.name + "' has the label " +
                      std::to_string(data.labels[s]) + ", expected 0 to " + std::to_string(data.classes - 1),
                  "Leave samples without a class out of the set"};
  if (!data.windows) return;
  auto const& tokens = data.windows->tokens;
  auto const largest = std::max_element(tokens.begin(), tokens.end());
  if (largest != tokens.end() && *largest >= data.classes)
    throw error{"run::evaluate",
                "token " + std::to_string(largest - tokens.begin()) + " of '" + data.name + "' is " +
                    std::to_string(*largest) + ", expected 0 to " + std::to_string(data.classes - 1),
                "Make the vocabulary of all the text"};
}

/// \param shape of the output of a batch of n of these samples
PLEAT_ONCE void demand_outputs(char const* call, io::dataset const& data, extents const& shape, index_t n) {
  if (shape.rank() < 1 || shape[0] != n || shape.size_from(1) != data.target.size())
    throw error{call,
                "the network's output for " + std::to_string(n) + " samples has shape " + shape.to_string() +
                    ", a sample's target " + data.target.to_string(),
                "Give the network as many outputs as the target has numbers"};
}

/// \param shape of the output of a batch of n samples
PLEAT_ONCE void demand_scores(char const* call, io::dataset const& data, extents const& shape, index_t n) {
  if (shape.rank() < 2 || shape.size() != n * data.positions() * shape[shape.rank() - 1])
    throw error{call,
                "the network's output has shape " + shape.to_string() + ", expected scores for " + std::to_string(n) +
                    " samples of '" + data.name + "' with " + std::to_string(data.positions()) + " labels each",
                "Let the network end in one score for each class of each label"};
}

/// The cross entropy of every row of scores, into `rows`.
template <class T, class Space>
void losses_of(context<Space>& where, tensor<T, Space> const& y, tensor<std::int32_t, Space> const& labels,
               std::vector<nn::master_t<T>>& rows) {
  using W = nn::master_t<T>;
  index_t const classes = y.extent(y.rank() - 1), n = labels.size();
  auto slopes = tensor<T, Space>::allocate(where, y.shape());
  auto found = tensor<W, Space>::allocate(where, {n});
  compute::cross_entropy(where.space(), n, classes, static_cast<T const*>(y.data()),
                         static_cast<std::int32_t const*>(labels.data()), W(1), slopes.data(), found.data(),
                         static_cast<int*>(nullptr));
  rows.resize(static_cast<std::size_t>(n));
  copy_to_host(where, found, rows.data());
}

/// Of n samples' outputs: the sum over each of (output − target)², sample after sample. \param first of the data set
PLEAT_ONCE void add_squares(io::dataset const& data, index_t first, index_t n, std::span<double const> outputs,
                            std::span<double> squares) {
  index_t const each = data.target.size();
  for (index_t s = 0; s < n; ++s)
    for (index_t i = 0; i < each; ++i) {
      double const apart = outputs[static_cast<std::size_t>(s * each + i)] -
                           static_cast<double>(data.targets[static_cast<std::size_t>((first + s) * each + i)]);
      squares[static_cast<std::size_t>(first + s)] += apart * apart;
    }
}

/// Sums of all samples in one order: the same figures on any number of ranks.
PLEAT_ONCE [[nodiscard]] evaluation of_squares(io::dataset const& data, std::span<double const> squares) {
  evaluation e{.samples = data.size, .judged = data.size};
  for (double const s : squares) e.mean_square += s;
  for (float const t : data.targets) e.target_squares += static_cast<double>(t) * static_cast<double>(t);
  if (double const n = static_cast<double>(data.size * data.target.size()); n > 0)
    e.mean_square /= n, e.target_squares /= n;
  else e.mean_square = e.target_squares = std::numeric_limits<double>::quiet_NaN();
  return e;
}
}  // namespace detail

/// Judges the answers to every sample of `data`, each on one rank, in batches of `batch`: against its class (the answer
/// is the class of the largest output, the first one if several are largest) or against its targets. Collective; the
/// same result on every rank, and on any number of data ranks and stages. Sharded parameters (state_stage = 3) are
/// gathered layer by layer for every batch; larger batches gather less often. Of a set without samples error and loss
/// (with targets: the mean square) are NaN.
/// \throws error on every rank alike: data or batches that differ between ranks, members of the data that do not fit one
/// another, labels outside the classes; also what a layer of one rank has to say (where parts lie along a tensor axis: on
/// that rank; so is what breaks off a walk of state stage 3: no memory for its input, parameters that did not come)
template <class T, class Space>
[[nodiscard]] evaluation evaluate(parallel::any_model<T, Space> const& m, io::dataset const& data,
                                  index_t batch = 256) {
  region r("pleat::run::evaluate");
  detail::demand_alike(m.all_ranks(), "run::evaluate", data, "batches of " + std::to_string(batch), [&] {
    if (batch < 1)
      throw error{"run::evaluate", "expected batches of 1 sample or more, found " + std::to_string(batch),
                  "Use 1 or more"};
    data.demand_whole();
    if (!data.regression()) detail::demand_labels(data);
  });
  if (data.regression()) {
    std::vector<double> squares(static_cast<std::size_t>(data.size)), outputs;
    std::vector<T> host;
    detail::answer_all(m, data, batch, [&](index_t at, index_t n, tensor<T, Space> const& y, auto const& b) {
      detail::demand_outputs("run::evaluate", data, y.shape(), b.targets.extent(0));
      host.resize(static_cast<std::size_t>(y.size()));
      copy_to_host(m.context(), y, host.data());
      outputs.resize(host.size());
      std::transform(host.begin(), host.end(), outputs.begin(), [](T v) { return pleat::detail::number(v); });
      detail::add_squares(data, at, n, as_span(outputs), as_span(squares));
    });
    detail::share_found(m, squares);
    return detail::of_squares(data, as_span(squares));
  }
  auto const classes = static_cast<std::size_t>(data.classes), positions = static_cast<std::size_t>(data.positions());
  bool const confuse = !data.windows && data.classes <= 4096;    // it has classes² numbers
  std::vector<index_t> counts(confuse ? classes * classes : 1);  // the confusion matrix, or how many are right
  std::vector<double> losses(static_cast<std::size_t>(data.size));
  std::vector<std::int32_t> answers, labels;
  std::vector<nn::master_t<T>> rows;
  detail::answer_all(m, data, batch, [&](index_t at, index_t n, tensor<T, Space> const& y, auto const& b) {
    nn::classify(m.context(), y, answers);
    detail::demand_scores("run::evaluate", data, y.shape(), b.labels.extent(0));
    labels.resize(answers.size());
    copy_to_host(m.context(), b.labels, labels.data());
    if (auto const most = std::max_element(labels.begin(), labels.end());
        most != labels.end() && *most >= y.extent(y.rank() - 1))
      throw error{"run::evaluate",
                  "'" + data.name + "' has samples of class " + std::to_string(*most) +
                      ", and the network scores for " + std::to_string(y.extent(y.rank() - 1)) + " classes",
                  "Let the network end in a score for each class of the data"};
    detail::losses_of(m.context(), y, b.labels, rows);
    for (std::size_t i = 0; i < static_cast<std::size_t>(n) * positions; ++i) {
      auto const label = static_cast<std::size_t>(labels[i]), answer = static_cast<std::size_t>(answers[i]);
      if (!confuse) counts[0] += answer == label;
      else if (answer < classes) ++counts[label * classes + answer];
      losses[static_cast<std::size_t>(at) + i / positions] += static_cast<double>(rows[i]);
    }
  });
  detail::share_found(m, counts);
  detail::share_found(m, losses);
  evaluation e{.samples = data.size, .judged = data.size * data.positions()};
  e.errors = e.judged;
  for (std::size_t c = 0; c < (confuse ? classes : 1); ++c) e.errors -= counts[c * (classes + 1)];
  e.loss = e.judged > 0 ? std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(e.judged)
                        : std::numeric_limits<double>::quiet_NaN();
  if (confuse) e.confusion = std::move(counts);
  return e;
}

}  // namespace pleat::run
