// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Distillation: a student learns from what its teachers say of the training samples.
#pragma once

#include <algorithm>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/error_ledger.hpp>
#include <pleat/compress/hint.hpp>
#include <pleat/compress/settings.hpp>
#include <pleat/compress/teacher.hpp>
#include <pleat/compute/distill.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/run/fit.hpp>

namespace pleat::compress {

/// What a student learns from: the weights of the parts of its loss (Hinton et al., 2015; the T² of the soft part is
/// applied).
struct distill_options {
  /// of the soft targets, > 0: the higher, the more is said about the classes that are not the answer
  double temperature = 4;
  double hard_weight = 0.1;   ///< α of the labels' cross entropy, in [0, 1]; the soft targets get 1 − α
  double feature_weight = 1;  ///< of each hint's mean square difference
  run::fit_options fit{};     ///< epochs, optimizer, schedule: of the student's training
};

namespace detail {

/// The samples of a step with what teachers say of them, as the source of that step. \see parallel/source.hpp
template <class Net> class lesson {
  using T = nn::value_type_of<Net>;
  using Space = nn::space_of<Net>;
  using tensor_type = nn::tensor_of<Net>;
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>,
                "pleat: compress::distill trains float and double models");

 public:
  lesson(parallel::model<Net>& m, io::dataset const& data, std::vector<teacher> const& teachers,
         distill_options const& o)
      : model_(&m), data_(&data), teachers_(&teachers), o_(&o), loader_(data) {
    auto collect = [&](auto& h) { hints_.push_back(&h); };
    for_each_hint(m.net(), collect);
    for (auto const* h : hints_) taps_.push_back(h->teacher_unit());
    std::sort(taps_.begin(), taps_.end());
    taps_.erase(std::unique(taps_.begin(), taps_.end()), taps_.end());
    if (!hints_.empty() && (m.layout().count() > 1 || m.parts().size() > 1))
      throw error{"compress::distill", "hints need the whole student on this rank",
                  "Train it with mesh.pipeline = 1 and mesh.tensor = 1, or leave the hints out"};
    for (auto const& t : teachers) weights_ += t.weight();
    // Which teachers a rank has is its own affair: all of them meet here.
    bool const ahead =
        std::any_of(teachers.begin(), teachers.end(), [](auto const& t) { return !t.at_once().empty(); });
    asks_ahead_ = m.all_ranks().all_reduce_value(ahead ? 1 : 0, comm::reduction::max) > 0;
    auto const here = teacher::data_positions(m);
    auto const asking = teacher::tensor_group(m);
    comm::all_or_none(m.all_ranks(), [&] {
      demand_features();
      demand_same_shares(here);
      for (auto const& t : teachers)
        if (!t.together().empty() && t.together() != asking)
          throw error{
              "compress::distill",
              "the teacher (" + t.name() + ") is cut over other ranks than the student: they would not ask it together",
              "Build both with the same mesh.tensor on the same ranks, or the teacher with mesh.tensor = 1"};
    });
  }
  lesson(lesson const&) = delete;
  lesson& operator=(lesson const&) = delete;
  ~lesson() {
    for (auto* h : hints_) h->board() = {};
  }

  void begin(std::span<index_t const> order, index_t begin) {
    order_ = order;
    begin_ = begin;
    loaded_ = -1;
    // In a step each stage is elsewhere, and only the last one has losses: who is needed for an answer is asked now.
    if (!asks_ahead_) return;
    ahead_.resize(teachers_->size());
    comm::attempts questions(model_->parts().size() > 1);
    for (std::size_t k = 0; k < teachers_->size(); ++k) {
      auto const& t = (*teachers_)[k];
      if (t.at_once().empty()) continue;
      auto const& micros = model_->share().micro_batches();
      ahead_[k].resize(micros.size());
      for (auto const& micro : micros)
        questions([&] { t.ask({data_, samples_of(micro), {}}, ahead_[k][static_cast<std::size_t>(micro.index)]); });
    }
    questions.meet(model_->all_ranks());  // what a teacher's layer of one rank has to say, all say
  }
  [[nodiscard]] tensor_type input(parallel::micro_batch const& micro) {
    load(micro);
    if (hints_.empty()) return last_.x;
    hear();
    for (auto* h : hints_) {
      auto const at =
          static_cast<std::size_t>(std::lower_bound(taps_.begin(), taps_.end(), h->teacher_unit()) - taps_.begin());
      auto const& f = said_.front().features.at(at);
      index_t const m = last_.x.extent(0), width = h->width();
      if (static_cast<index_t>(f.size()) != m * width)
        throw error{"compress::hint '" + h->name() + "'",
                    "the teacher has " + std::to_string(m > 0 ? static_cast<index_t>(f.size()) / m : 0) +
                        " elements per sample after unit " + std::to_string(h->teacher_unit()) + ", the hint says " +
                        std::to_string(width),
                    "Look at the hint's width and teacher_unit"};
      h->board().target = to_space(f, {m, width});
      h->board().weight = static_cast<T>(o_->feature_weight);
    }
    return last_.x;
  }
  [[nodiscard]] tensor_type loss(parallel::micro_batch const& micro, tensor_type y) {
    load(micro);
    hear();
    auto& c = model_->context();
    y = model_->whole(std::move(y));
    index_t const positions = data_->positions(), m = y.rank() > 0 ? y.extent(0) : 0;
    if (y.rank() != (data_->windows ? 3 : 2) || (data_->windows && y.extent(1) != positions))
      throw error{"compress::distill",
                  "the student's scores have shape " + y.shape().to_string() + ", expected [samples, " +
                      (data_->windows ? std::to_string(positions) + " positions, " : "") + "classes]",
                  "Let the student end in a layer that makes one score for each class"};
    index_t const classes = y.extent(y.rank() - 1), n = m * positions;  // rows of scores
    auto const targets = tensor_type::allocate(c, y.shape()), work = tensor_type::allocate(c, y.shape()),
               dy = tensor_type::allocate(c, y.shape());
    auto rows = tensor_type::allocate(c, {n});
    auto const temperature = static_cast<T>(o_->temperature);
    for (std::size_t k = 0; k < teachers_->size(); ++k) {
      auto const& t = (*teachers_)[k];
      if (static_cast<index_t>(said_[k].scores.size()) != n * classes)
        throw error{"compress::distill",
                    "teacher " + std::to_string(k) + " (" + t.name() + ") has " +
                        std::to_string(n > 0 ? static_cast<index_t>(said_[k].scores.size()) / n : 0) +
                        " classes, the student " + std::to_string(classes),
                    "Choose a teacher of the same classes, or give the student as many outputs"};
      auto const scores = to_space(said_[k].scores, y.shape());
      compute::soft_targets(c.space(), n, classes, static_cast<T const*>(scores.data()), temperature,
                            static_cast<T>(t.weight() / weights_), k > 0, work.data(), targets.data());
    }
    T const scale = T(1) / static_cast<T>(model_->share().batch() * positions);
    compute::distillation(c.space(), n, classes, static_cast<T const*>(y.data()),
                          static_cast<std::int32_t const*>(last_.labels.data()), targets.data(), temperature,
                          static_cast<T>(o_->hard_weight), static_cast<T>(1 - o_->hard_weight), scale, dy.data(),
                          rows.data());
    if (n != m) {  // one number per sample
      auto per_sample = tensor_type::allocate(c, {m});
      compute::row_sum(c.space(), m, positions, static_cast<T const*>(rows.data()), positions, per_sample.data());
      rows = std::move(per_sample);
    }
    compute::scale(c.space(), m, scale, static_cast<T const*>(rows.data()), rows.data());
    for (auto* h : hints_)
      if (h->board().rows.size() == m)
        compute::add(c.space(), m, static_cast<T const*>(rows.data()), static_cast<T const*>(h->board().rows.data()),
                     rows.data());
    if (refused_) compute::fill(c.space(), m, std::numeric_limits<T>::quiet_NaN(), rows.data());
    model_->record_loss(rows);
    return dy;
  }
  /// After a loss that is not finite: questions are no longer announced ahead. Collective. \throws error on every rank
  /// alike if it was a teacher's
  void why_not_finite() {
    comm::all_or_none(model_->all_ranks(), [&] {
      if (refused_) throw error{*refused_};
    });
    diagnosed_ = true;
  }
  [[nodiscard]] std::string fingerprint() const { return data_->fingerprint(); }

 private:
  using batch = typename run::batch_loader<T, Space>::batch;

  /// Hints are compared with what the first teacher has inside.
  void demand_features() const {
    auto const& first = teachers_->front();
    if (hints_.empty() || first.has_features()) return;
    throw error{"compress::distill",
                "the student has hints, but the first teacher (" + first.name() +
                    (first.parted().empty() ? "" : ", " + first.parted()) + ") gives scores only",
                first.parted().empty() ? "Let a model of this process be the first teacher, or leave the hints out"
                                       : "Load its file into a model that each rank has whole, or leave the hints out"};
  }
  /// Ranks that a teacher wants to hear the same question from must have the same samples.
  void demand_same_shares(std::vector<int> const& here) const {
    for (auto const& t : *teachers_) {
      auto const& place = t.at_once();
      if (place.empty()) continue;
      bool fits = here.size() == place.size();
      for (std::size_t a = 0; fits && a < place.size(); ++a)
        for (std::size_t b = 0; b < a; ++b) fits = fits && (place[a] != place[b] || here[a] == here[b]);
      if (!fits)
        throw error{
            "compress::distill",
            "the teacher (" + t.name() + ") is " + t.parted() +
                ", and ranks that answer together have other samples of the student's",
            "Build both on the same ranks with the same mesh.data, or load its file into a model that each rank "
            "has whole"};
    }
  }
  [[nodiscard]] std::span<index_t const> samples_of(parallel::micro_batch const& micro) const {
    auto const at = static_cast<std::size_t>(begin_ + model_->share().rows().begin + micro.rows.begin);
    return order_.subspan(at, static_cast<std::size_t>(micro.rows.size()));
  }

  void load(parallel::micro_batch const& micro) {
    if (loaded_ == micro.index) return;
    question_ = {data_, samples_of(micro), taps_};
    last_ = loader_.load(model_->context(), question_.samples);
    loaded_ = micro.index;
    heard_ = false;
    if (model_->has_last_stage() && !diagnosed_)
      for (auto const& t : *teachers_)
        if (t.at_once().empty()) t.announce(question_);  // else it has been asked
  }
  void hear() {
    if (std::exchange(heard_, true)) return;
    said_.resize(teachers_->size());
    for (std::size_t k = 0; k < teachers_->size(); ++k) {
      auto q = question_;
      if (k > 0) q.taps = {};
      if ((*teachers_)[k].at_once().empty()) (*teachers_)[k].ask(q, said_[k]);
      else said_[k] = ahead_[k][static_cast<std::size_t>(loaded_)];
      auto const& scores = said_[k].scores;
      auto const bad = std::find_if(scores.begin(), scores.end(), [](float v) { return !std::isfinite(v); });
      // the step's loss becomes NaN, and every rank hears why: see why_not_finite()
      auto const rows = q.samples.size() * static_cast<std::size_t>(data_->positions());
      if (bad != scores.end() && !refused_ && scores.size() >= rows) {  // of fewer loss() says so
        auto const each = scores.size() / q.samples.size(), at = static_cast<std::size_t>(bad - scores.begin()),
                   classes = scores.size() / rows;
        refused_.emplace("compress::distill",
                         "teacher " + std::to_string(k) + " gives class " + std::to_string(at % classes) +
                             " of sample " + std::to_string(q.samples[at / each]) + " the score " +
                             std::to_string(*bad),
                         "Look at the teacher's weights, and at the sample");
      }
    }
  }
  [[nodiscard]] tensor_type to_space(std::vector<float> const& values, extents const& shape) {
    auto t = tensor_type::allocate(model_->context(), shape);
    if constexpr (std::is_same_v<T, float>) {
      copy_from_host(model_->context(), values.data(), t);
    } else {
      std::vector<T> const wide(values.begin(), values.end());
      copy_from_host(model_->context(), wide.data(), t);
    }
    return t;
  }

  parallel::model<Net>* model_;
  io::dataset const* data_;
  std::vector<teacher> const* teachers_;
  distill_options const* o_;
  run::batch_loader<T, Space> loader_;
  std::vector<hint<T, Space>*> hints_;
  std::vector<index_t> taps_;
  double weights_ = 0;
  bool asks_ahead_ = false;  // some rank has a teacher whose ranks answer at once
  std::span<index_t const> order_;
  index_t begin_ = 0, loaded_ = -1;
  bool heard_ = false, diagnosed_ = false;
  question question_;
  batch last_;
  std::vector<answer> said_;
  std::vector<std::vector<answer>> ahead_;  // of teachers that all ranks ask at once: by micro-batch
  std::optional<error> refused_;            // a teacher's score that is no number
};

}  // namespace detail

/// Trains a student on soft targets: L = α·CE(label, softmax(z)) + (1 − α)·T²·KL(p‖softmax(z/T)), where p is the
/// teachers' weighted mean of softmax(t/T). The factor T² keeps the two gradients comparable when T changes (G. Hinton,
/// O. Vinyals, J. Dean, arXiv:1503.02531).
///
///     auto small = model | distill(train, {teacher(large)}, {.temperature = 20, .fit = {.epochs = 10}})
///
/// The student is any model that can be trained: built from a spec, or the pruned teacher (`large | (prune{…} |
/// distill(train, {teacher(large)}))`). Zeros stay zeros. The same bits on any number of data ranks in deterministic
/// mode: scores of a sample depend on that sample alone. The student may be cut over the tensor axis, in stages, or
/// sharded, as in run::fit: only the ranks of its last stage ask, for the samples of their own share. So may a teacher be
/// cut over the tensor axis, if the student is cut over the same ranks, or in stages, or of sharded parameters
/// (state_stage = 3): then all ranks ask it before each step. The data set and the teachers' models must live until the
/// transform has run.
class distill {
 public:
  using fusable_transform = void;
  static constexpr bool takes_parts = true;       ///< runs where weights are cut over the tensor axis
  static constexpr bool takes_shards = true;      ///< runs where parameters are in pieces (state_stage = 3)
  static constexpr char const* what = "distill";  ///< its name in reports and errors

  /// \throws error for an empty list of teachers, a temperature that is not positive or whose square is no normal float,
  /// weights outside their range
  distill(io::dataset const& data, std::vector<teacher> teachers, distill_options options = {})
      : data_(&data), teachers_(std::move(teachers)), options_(std::move(options)) {
    if (teachers_.empty())
      throw error{"compress::distill", "the list of teachers is empty",
                  "Name at least one: distill(data, {teacher(model)})"};
    // the loss divides scores by it and is multiplied by its square, in float
    auto const t = static_cast<float>(options_.temperature);
    if (!(t > 0) || !std::isnormal(t * t))
      throw error{"compress::distill",
                  "the temperature must be positive and its square a normal float, found " +
                      pleat::detail::number_text(options_.temperature),
                  "1 takes the teacher's probabilities as they are; 2 to 20 are usual"};
    if (!(options_.hard_weight >= 0 && options_.hard_weight <= 1))
      throw error{"compress::distill", "hard_weight must lie in [0, 1], found " + std::to_string(options_.hard_weight),
                  "Say 0.1 for a tenth of labels, 0 for the teachers alone"};
    if (!(options_.feature_weight >= 0) || !std::isfinite(options_.feature_weight))
      throw error{"compress::distill",
                  "feature_weight must not be negative, found " + std::to_string(options_.feature_weight),
                  "Say 1, or leave the hints out of the network"};
  }
  distill(io::dataset&&, std::vector<teacher>, distill_options = {}) = delete;
  [[nodiscard]] error_kind leaves_errors() const noexcept { return error_kind::trained; }

  [[nodiscard]] std::string name() const { return what; }
  /// What else decides, run::fit compares when it begins, where teachers hear of it.
  void settings(settings_words& say) const {
    std::vector<double> weights;
    for (auto const& t : teachers_) weights.push_back(t.weight());
    say("teachers", weights), say("temperature", options_.temperature);
    say("hard_weight", options_.hard_weight), say("feature_weight", options_.feature_weight);
  }
  [[nodiscard]] distill_options const& options() const noexcept { return options_; }

  /// Collective over the student's ranks.
  template <class Net> void run(parallel::model<Net>& m) const { (void)fit(m); }
  /// The same, with what training has to tell. Teachers hear that it is over, also where it fails.
  template <class Net> run::fit_report fit(parallel::model<Net>& m) const {
    run::fit_report report;
    try {
      comm::all_or_none(m.all_ranks(), [&] {  // a rank reads data of its own
        data_->demand_whole();
        data_->demand_classes("compress::distill");
      });
      detail::lesson<Net> source(m, *data_, teachers_, options_);
      report = run::fit_from(m, data_->size, source, options_.fit);
    } catch (...) {
      call_off();
      throw;
    }
    for (auto const& t : teachers_) t.done();
    return report;
  }
  /// Teachers hear that nobody will ask (any more).
  void call_off() const noexcept {
    for (auto const& t : teachers_) {
      try {
        t.done();
      } catch (...) {  // what failed first is what is told
      }
    }
  }

 private:
  io::dataset const* data_;
  std::vector<teacher> teachers_;
  distill_options options_;
};

}  // namespace pleat::compress
