// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Measuring models: error on data, bytes of the written file, time of one answer.
#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <unistd.h>

#include <pleat/base/config.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/layer_report.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/record_errors.hpp>
#include <pleat/compress/stages.hpp>
#include <pleat/run/batch.hpp>
#include <pleat/run/evaluate.hpp>
#include <pleat/run/model_file.hpp>
#include <pleat/tensor/detail/number.hpp>

namespace pleat::compress {

/// How a stage of a report is measured.
struct measure_options {
  std::string path{};              ///< where the model is written; empty: a temporary file that is removed
  run::model_description about{};  ///< written into the file
  index_t batch = 256;             ///< samples per batch of the evaluation
  int repeats = 200;               ///< answers that are timed; of 64 samples, a tenth of that
};

namespace detail {

PLEAT_LAZY [[nodiscard]] inline double median_of(std::vector<double>& times) {
  auto const middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

/// The microseconds that each leaf's forward took, call after call.
template <class Space> class layer_clock final : public nn::layer_listener {
 public:
  explicit layer_clock(context<Space>& where) : where_(&where) {}
  void begins() override {
    where_->fence();
    begin_ = clock::now();
  }
  void ends(std::string const& name) override {
    where_->fence();
    times_[name].push_back(std::chrono::duration<double, std::micro>(clock::now() - begin_).count());
  }
  /// The median of the leaf that has this weight; -1 where it was not run here.
  [[nodiscard]] double of(std::string const& weight) {
    for (auto end = weight.rfind('.'); end != std::string::npos && end > 0; end = weight.rfind('.', end - 1))
      if (auto const at = times_.find(weight.substr(0, end)); at != times_.end()) {
        double const median = median_of(at->second);
        times_.erase(at);  // of several weights of a leaf the first has it
        return median;
      }
    return -1;
  }

 private:
  using clock = std::chrono::steady_clock;
  context<Space>* where_;
  clock::time_point begin_;
  std::map<std::string, std::vector<double>> times_;
};

/// Median time of `batch` samples' way through the model together, in microseconds, and into `layer` that of every row's
/// layer; rank 0 measures (and who holds its model with it), all get the figures. NaN where the data has not so many, or
/// nobody asks. Collective over all ranks.
template <class T, class Space>
[[nodiscard]] double latency_us(parallel::any_model<T, Space> const& m, io::dataset const& data, int repeats,
                                index_t batch, std::vector<layer_row>& rows, double layer_row::*layer) {
  using clock = std::chrono::steady_clock;
  double median = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> each(rows.size(), -1.0);
  // nobody works while rank 0 (and who holds its model with it) measures, as far as that is ours to say
  m.all_ranks().barrier();
  // of sharded parameters the first group has one model
  bool const measures = m.shards() ? m.plan().sharing().copy_of(m.ranks().rank()) == 0 : m.ranks().rank() == 0;
  if (measures && data.size >= batch && repeats > 0) {
    run::batch_loader<T, Space> loader(data, false);
    std::vector<index_t> first(static_cast<std::size_t>(batch));
    std::iota(first.begin(), first.end(), index_t{0});
    auto const x = loader.load(m.context(), std::span<index_t const>(first)).x;
    std::vector<double> times;
    int const warm = std::min(20, repeats);
    for (int i = -warm; i < repeats; ++i) {
      m.context().fence();
      auto const begin = clock::now();
      auto const y = m.predict(x);
      m.context().fence();
      if (i >= 0) times.push_back(std::chrono::duration<double, std::micro>(clock::now() - begin).count());
    }
    median = median_of(times);
    layer_clock<Space> apart(m.context());  // by itself: looking at the clock between layers takes time
    for (int i = 0; i < repeats; ++i) (void)m.predict(x, parallel::answer_at::every_stage, nullptr, &apart);
    for (std::size_t i = 0; i < rows.size(); ++i) each[i] = apart.of(rows[i].name);
  }
  if (!each.empty()) m.all_ranks().all_reduce(each, comm::reduction::max);
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (each[i] >= 0) rows[i].*layer = each[i];
  return m.all_ranks().broadcast_value(median);
}

/// A name for a temporary file that no other process or model uses; rank 0's, on every rank. Collective. \param model
/// its address on rank 0
PLEAT_ONCE [[nodiscard]] std::string temporary_path(comm::communicator& ranks, void const* model) {
  std::error_code none;
  auto folder = std::filesystem::temp_directory_path(none);
  if (none) folder = ".";
  char place[32];
  std::snprintf(place, sizeof place, "%p", model);
  auto path = (folder / ("pleat-" + std::to_string(::getpid()) + "-" + place + ".safetensors")).string();
  comm::share_text(ranks, path);
  return path;
}

}  // namespace detail

/// Measures a model: test error (all ranks), parameters, nonzeros, bytes of the file as it was really written, latency
/// of one sample and of 64 together (rank 0, and those that hold its model with it), multiply-adds, energy and the same
/// latencies layer by layer. Parameters, nonzeros and layers are those of the whole, wherever its parts and stages are; sharded parameters
/// (state_stage = 3) are gathered one layer at a time, which the latency has in it. Collective over all ranks; the same
/// stage on every rank.
template <class T, class Space>
[[nodiscard]] stage measure(std::string name, parallel::any_model<T, Space> const& m, io::dataset const& test,
                            measure_options const& options = {}) {
  stage s;
  s.name = std::move(name);
  s.test_error = run::evaluate(m, test, options.batch).error();
  std::int64_t alive = 0;
  nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
    if (!w.tied_to.empty()) return;
    s.parameters += w.whole().size();
    auto const whole = m.open(const_cast<nn::any_weight<T, Space>&>(w));  // only read
    if (!w.materialised() || (w.part > 0 && !w.where.shards())) return;
    auto const values = w.dense_values(m.context());
    std::vector<T> host(static_cast<std::size_t>(w.size()));
    copy_to_host(m.context(), values, host.data());
    alive += std::count_if(host.begin(), host.end(), [](T v) { return pleat::detail::number(v) != 0; });
  });
  for (auto* ranks : {&m.parts(), &m.pipeline()})
    if (ranks->size() > 1) alive = ranks->all_reduce_value(alive);
  s.nonzeros = alive;
  bool const keep = !options.path.empty();
  std::string const path = keep ? options.path : detail::temporary_path(m.all_ranks(), &m);
  run::save(m, path, options.about);
  std::int64_t bytes = 0;
  if (m.all_ranks().rank() == 0) {
    std::error_code failed;
    auto const size = std::filesystem::file_size(path, failed);
    bytes = failed ? 0 : static_cast<std::int64_t>(size);
    if (!keep) std::filesystem::remove(path, failed);
  }
  s.bytes = m.all_ranks().broadcast_value(bytes);
  s.layers = layers_of(m, test.sample).rows();
  s.latency_us = detail::latency_us(m, test, options.repeats, 1, s.layers, &layer_row::latency_us);
  s.latency_64_us = detail::latency_us(m, test, (options.repeats + 9) / 10, 64, s.layers, &layer_row::latency_64_us);
  return s;
}

/// Measures a model before and after, prints the table on rank 0, and returns it. Collective.
template <class Before, class After>
stage_list report(parallel::model<Before> const& before, parallel::model<After> const& after, io::dataset const& test,
                  std::ostream& out = std::cout) {
  stage_list list;
  list.add(measure("before", before, test));
  list.add(measure("after", after, test));
  if (before.all_ranks().rank() == 0) list.print(out);
  return list;
}

/// Record for pipeline::recorded: measures the model after every step under the step's name, and what the step did to
/// the weights (compress/record_errors.hpp; `stages.errors()` is the ledger).
///
///     stage_list stages;
///     auto small = model | (prune{…} | fine_tune(train) | quantize<>{}).recorded(record_stages(stages, test));
class record_stages {
 public:
  PLEAT_ONCE record_stages(stage_list& list, io::dataset const& test, measure_options options = {});
  record_stages(stage_list&, io::dataset&&, measure_options = {}) = delete;  // it is looked at after every step

  static constexpr bool takes_shards = true;  ///< runs where parameters are in pieces (state_stage = 3)

  template <class Net> void begin(parallel::model<Net> const& m) const { errors_->record.begin(m); }
  template <class Step, class Net> void operator()(Step const& step, parallel::model<Net> const& m) const {
    auto s = measure(detail::name_of_step(step), m, *test_, options_);
    errors_->record(step, m);
    add(std::move(s));
  }

 private:
  /// A stage, with what the step before it did to the weights.
  PLEAT_ONCE void add(stage s) const;

  struct errors {
    error_ledger ledger;
    record_errors record;
    PLEAT_LAZY errors() : record(ledger) {}
  };
  std::shared_ptr<errors> errors_;
  stage_list* list_;
  io::dataset const* test_;
  measure_options options_;
};

template <class>
record_stages::record_stages(stage_list& list, io::dataset const& test, measure_options options)
    : errors_(std::make_shared<errors>()), list_(&list), test_(&test), options_(std::move(options)) {}
PLEAT_COMPILED_ONCE(record_stages::record_stages(stage_list& list, io::dataset const& test, measure_options options));

template <class> void record_stages::add(stage s) const {
  s.errors = errors_->ledger.stages().back().weights;
  list_->add(std::move(s));
}
PLEAT_COMPILED_ONCE(void record_stages::add(stage s) const);

}  // namespace pleat::compress
