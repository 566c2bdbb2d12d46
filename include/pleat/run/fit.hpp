// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Training as a call: epochs of steps, with progress, validation, checkpoints and resume. Everything it does is a
/// public member of parallel::model, so that a loop of one's own is as short.
#pragma once

#include <algorithm>
#include <charconv>
#include <chrono>
#include <concepts>
#include <cstdio>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/comm/agree.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/io/checkpoint.hpp>
#include <pleat/io/folder_claim.hpp>
#include <pleat/io/sampler.hpp>
#include <pleat/nn/any_weight.hpp>
#include <pleat/nn/clip.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/nn/schedule.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/run/batch.hpp>
#include <pleat/run/checkpoint.hpp>
#include <pleat/run/evaluate.hpp>
#include <pleat/run/fit_options.hpp>
#include <pleat/run/progress.hpp>
#include <pleat/run/reports.hpp>

namespace pleat::run {

namespace detail {

/// A data set's samples in a sampler's order as the source of a step (parallel/source.hpp). Loads a micro-batch once
/// where one rank has both ends of the network.
template <class T, class Space> class dataset_source {
 public:
  using batch = typename batch_loader<T, Space>::batch;

  dataset_source(parallel::any_model<T, Space>& m, io::dataset const& data) : model_(&m), data_(&data), loader_(data) {}

  /// For checkpoints: which data these are.
  [[nodiscard]] std::string fingerprint() const { return data_->fingerprint(); }

  /// The step's batch: positions [begin, …) of `order`.
  void begin(std::span<index_t const> order, index_t begin) {
    order_ = order;
    begin_ = begin;
    loaded_ = -1;
  }
  [[nodiscard]] tensor<T, Space> input(parallel::micro_batch const& m) {
    load(m);
    return last_.x;
  }
  [[nodiscard]] tensor<T, Space> loss(parallel::micro_batch const& m, tensor<T, Space> y) {
    load(m);
    return data_->regression() ? model_->mean_square(y, last_.targets).dy : model_->cross_entropy(y, last_.labels).dy;
  }

 private:
  void load(parallel::micro_batch const& m) {
    if (loaded_ == m.index) return;
    auto const at = static_cast<std::size_t>(begin_ + model_->share().rows().begin + m.rows.begin);
    last_ = loader_.load(model_->context(), order_.subspan(at, static_cast<std::size_t>(m.rows.size())));
    loaded_ = m.index;
  }

  parallel::any_model<T, Space>* model_;
  io::dataset const* data_;
  batch_loader<T, Space> loader_;
  std::span<index_t const> order_;
  index_t begin_ = 0, loaded_ = -1;
  batch last_;
};

/// What training asks of its source, by reference and its type forgotten: the loop is compiled once.
template <class Tensor> class fit_source {
 public:
  template <class S>
    requires(!std::same_as<S, fit_source>)
  explicit fit_source(S& s) noexcept
      : steps_(s), self_(&s), begin_([](void* p, std::span<index_t const> order, index_t begin) {
          static_cast<S*>(p)->begin(order, begin);
        }) {
    if constexpr (requires {
                    { s.fingerprint() } -> std::convertible_to<std::string>;
                  })
      fingerprint_ = [](void* p) -> std::string { return static_cast<S*>(p)->fingerprint(); };
    if constexpr (requires { s.why_not_finite(); })
      why_not_finite_ = [](void* p) { static_cast<S*>(p)->why_not_finite(); };
  }

  [[nodiscard]] Tensor input(parallel::micro_batch const& m) const { return steps_.input(m); }
  [[nodiscard]] Tensor loss(parallel::micro_batch const& m, Tensor y) const { return steps_.loss(m, std::move(y)); }
  void begin(std::span<index_t const> order, index_t begin) const { begin_(self_, order, begin); }
  /// Empty if it has none.
  [[nodiscard]] std::string fingerprint() const { return fingerprint_ ? fingerprint_(self_) : std::string(); }
  void why_not_finite() const {
    if (why_not_finite_) why_not_finite_(self_);
  }

 private:
  parallel::source_ref<Tensor> steps_;
  void* self_;
  void (*begin_)(void*, std::span<index_t const>, index_t);
  std::string (*fingerprint_)(void*) = nullptr;
  void (*why_not_finite_)(void*) = nullptr;
};

/// The losses of an epoch's samples so far. A checkpoint inside an epoch takes them along.
struct epoch_sum {
  double loss = 0;
  index_t samples = 0;

  void add(double mean, index_t n) noexcept { loss += mean * static_cast<double>(n), samples += n; }
  [[nodiscard]] double mean() const noexcept { return samples > 0 ? loss / static_cast<double>(samples) : 0; }
  PLEAT_ONCE [[nodiscard]] std::map<std::string, std::string> words() const {
    return {{"fit.epoch_loss", as_text(loss)}, {"fit.epoch_samples", std::to_string(samples)}};
  }
  /// Those of a checkpoint; none if it is of an older version, or does not speak of exactly the epoch's first
  /// `samples`.
  PLEAT_ONCE [[nodiscard]] static epoch_sum of(std::map<std::string, std::string> const& words, index_t samples) {
    auto const loss = words.find("fit.epoch_loss"), n = words.find("fit.epoch_samples");
    if (loss == words.end() || n == words.end() || n->second != std::to_string(samples)) return {};
    auto const& text = loss->second;
    double sum = 0;
    auto const read = std::from_chars(text.data(), text.data() + text.size(), sum);
    return read.ec == std::errc{} && read.ptr == text.data() + text.size() && std::isfinite(sum)
               ? epoch_sum{sum, samples}
               : epoch_sum{};
  }
};

/// Which weights a training leaves alone because of their form, as a sentence; empty: none.
template <class T, class Space> [[nodiscard]] std::string words_of_held(parallel::any_model<T, Space>& m) {
  std::string first;
  int more = -1;
  m.any_net().for_each_parameter([&](nn::any_weight<T, Space>& w) {
    if (w.held_by_form && ++more == 0) first = "'" + w.name + "' is stored as " + std::string(w.form_name());
  });
  if (more < 0) return first;
  return first + (more > 0 ? ", and " + std::to_string(more) + " more like it" : "") +
         ": what is stored so is not trained, and stays as it is";
}

/// The loop of fit_from.
template <class T, class Space>
[[gnu::cold]] fit_report train(parallel::any_model<T, Space>& m, index_t size, fit_source<tensor<T, Space>> source,
                               fit_options options) {
  using clock = std::chrono::steady_clock;
  bool const root = m.all_ranks().rank() == 0;

  io::sampler const sampler(std::max<index_t>(size, 0), m.plan().global_batch, {.seed = m.seed()});  // judged below
  index_t const per_epoch = sampler.batches_per_epoch();
  index_t total = 0;
  bool const countable = !__builtin_mul_overflow(per_epoch, options.epochs, &total);
  auto& memory = m.arena();  // waits for what still travels, which not every rank may come to below
  // Replicas would part if functions of one's own did not say the same everywhere.
  std::string steps;
  std::optional<nn::optimizer_state<T, Space>> made;
  comm::all_or_none(m.all_ranks(), [&] {
    demand_sense(options, size);
    if (!countable)
      throw error{"run::fit",
                  std::to_string(options.epochs) + " epochs of " + std::to_string(per_epoch) +
                      " steps are more steps than 63 bits can count",
                  "Ask for as many epochs as the training shall have: its schedule goes by them"};
    if (options.validation) {  // not only when the first epoch is over
      options.validation->demand_whole();
      demand_labels(*options.validation);
    }
    made.emplace(m.context(), memory, options.optimizer, options.groups);
    steps = words_of_loop(options, size) + words_of_steps(options, total);
  });
  auto& optimizer = *made;
  comm::agree_on_text(m.all_ranks(), steps, "run::fit", "what is asked",
                      "Give every rank the same options and the same data");
  progress_line line(root && options.progress);
  fit_report report;
  best_so_far<T> best;
  std::string const data = options.checkpoint.empty() ? std::string() : source.fingerprint();

  // Heard without progress, too: nobody may believe that training went on from where it did not.
  auto const remark = [&](std::string const& sentence) {
    report.remarks.push_back(sentence);
    m.say("run::fit: " + sentence);
  };

  if (auto const held = words_of_held(m); !held.empty()) remark(held);

  index_t step = 0;
  epoch_sum losses;
  io::folder_claim claim;
  if (!options.checkpoint.empty()) {  // not only when the first epoch is over
    comm::on_root(m.all_ranks(), [&] {
      io::demand_checkpoint_folder(options.checkpoint, true);
      claim = io::folder_claim(options.checkpoint);  // what it holds may change until then
      io::demand_checkpoint_folder(options.checkpoint, options.resume);
    });
    std::string why = claim.without_lock();
    comm::share_text(m.all_ranks(), why);
    if (!why.empty())
      remark("'" + options.checkpoint + "' cannot be locked (" + why + "): see to it that no other job writes there");
    (void)encoded_weights(m);  // throws where a checkpoint could not take them
  }
  if (!options.checkpoint.empty() && options.resume) {
    if (auto const at =
            load_checkpoint(options.checkpoint, m, optimizer, {.data = data}, options.keep_best ? &best : nullptr)) {
      step = at->step;
      report.resumed_at = at->step;
      if (per_epoch > 0 && step % per_epoch != 0)
        losses = epoch_sum::of(at->more, sampler.batch(step % per_epoch).begin);
      if (!at->remark.empty()) remark(at->remark);
      for (auto const& sentence : words_of_changes(options, total, at->more)) remark(sentence);
      line.line("resumed at step " + std::to_string(step) + " from '" + options.checkpoint + "'");
    } else {
      remark("no checkpoint in '" + options.checkpoint + "': training begins at step 0");
    }
  }
  checkpoint_writer writer(options.checkpoint, {.asynchronous = options.checkpoint_asynchronous});
  double besides = 0;  // seconds that are no training
  auto const beside = [&](auto&& f) {
    m.context().fence();
    auto const since = clock::now();
    f();
    besides += std::chrono::duration<double>(clock::now() - since).count();
  };
  auto const save_now = [&](index_t done) {
    auto more = losses.words();
    more.merge(words_to_keep(options, total));
    writer.save(m, optimizer, done, {.more = std::move(more), .data = data}, &best);
    if (options.on_event)
      options.on_event({event::kind::checkpoint, (done + per_epoch - 1) / per_epoch, done, 0, 1, {}});
  };
  auto const save = [&](index_t done) { beside([&] { save_now(done); }); };

  std::vector<index_t> order;
  auto const start = clock::now();
  index_t const first_step = step;
  index_t samples_done = 0;
  for (index_t epoch = step / std::max<index_t>(per_epoch, 1); epoch < options.epochs && per_epoch > 0; ++epoch) {
    sampler.order(epoch, order);
    double running = 0;
    index_t const begin = step - epoch * per_epoch;
    for (index_t b = begin; b < per_epoch; ++b) {
      index_range const batch = sampler.batch(b);
      double const factor = nn::factor(options.schedule, step, total);
      m.zero_grad(batch.size());
      source.begin(order, batch.begin);
      m.walk(source);
      m.reduce();
      double const loss = m.loss();
      if (!std::isfinite(loss))
        parallel::explain_nonfinite(
            m, source, "run::fit",
            "Lower the learning rate, clip the gradient (clip_norm), or look at the data of this step");
      if (options.before_step) options.before_step();
      double const scale = options.clip_norm > 0 ? m.clip_scale(options.clip_norm) : 1.0;
      bool const moved = m.step(optimizer, factor, scale);
      ++step;
      if (!moved) line.line(parallel::skipped_step(step, *m.scaling()));
      samples_done += batch.size();
      losses.add(loss, batch.size());
      running = b == begin ? loss : 0.98 * running + 0.02 * loss;
      if (options.check_replicas_steps > 0 && step % options.check_replicas_steps == 0) m.demand_equal_replicas();
      if (options.on_event) options.on_event({event::kind::step, epoch + 1, step, loss, factor, {}, moved});
      if (root && options.progress) {
        double const seconds = std::chrono::duration<double>(clock::now() - start).count();
        double const rate = static_cast<double>(samples_done) / std::max(seconds - besides, 1e-9);
        line.show({epoch + 1, options.epochs, step, total, running, rate,
                   seconds / static_cast<double>(step - first_step) * static_cast<double>(total - step)});
      }
      if (!options.checkpoint.empty() && options.checkpoint_steps > 0 && step % options.checkpoint_steps == 0 &&
          b + 1 < per_epoch)
        save(step);
    }
    report.epoch_loss.push_back(losses.mean());
    losses = {};
    event e{event::kind::epoch,
            epoch + 1,
            step,
            report.epoch_loss.back(),
            nn::factor(options.schedule, std::min(step, total - 1), total),
            {}};
    if (options.validation)
      beside([&] {
        double const error = evaluate(m, *options.validation).error();
        report.validation_error.push_back(error);
        e.validation_error = error;
        if (options.keep_best && error < best.error) best = {m.held_values(), error, learned_steps_of(m)};
      });
    if (root && options.progress) {
      double const seconds = std::chrono::duration<double>(clock::now() - start).count();
      std::string text = to_string(progress_state{
          epoch + 1, options.epochs, step, total, report.epoch_loss.back(),
          static_cast<double>(samples_done) / std::max(seconds - besides, 1e-9),
          seconds / static_cast<double>(std::max<index_t>(1, step - first_step)) * static_cast<double>(total - step)});
      if (e.validation_error) {
        char more[48];
        std::snprintf(more, sizeof more, "  validation error %.2f %%", 100 * *e.validation_error);
        text += more;
      }
      line.line(text);
    }
    if (options.on_event) options.on_event(e);
    // Behind the judgement, so that a run that goes on from here knows it.
    if (!options.checkpoint.empty() &&
        (options.checkpoint_steps == 0 || step % options.checkpoint_steps == 0 || epoch + 1 == options.epochs))
      save(step);
  }
  beside([&] { writer.wait(); });
  report.steps = step - first_step;
  report.seconds = std::chrono::duration<double>(clock::now() - start).count() - besides;
  report.samples_per_second = static_cast<double>(samples_done) / std::max(report.seconds, 1e-9);
  if (std::isfinite(best.error)) {
    give_learned_steps(m, best.steps);
    m.set_held_values(best.values);
  }
  return report;
}

/// Labels that the network scores, also those that another rank comes to, and late. (Negative ones count as no sample.)
PLEAT_ONCE void demand_scored(io::dataset const& data, index_t classes) {
  auto const refuse = [&](std::string const& whose, index_t label) {
    throw error{"run::fit",
                "the label of " + whose + " of '" + data.name + "' is " + std::to_string(label) + ", but there are " +
                    std::to_string(classes) + " classes (0 to " + std::to_string(classes - 1) + ")",
                "Look at the data's labels and at the outputs of the last layer"};
  };
  for (std::size_t s = 0; s < data.labels.size(); ++s)
    if (data.labels[s] >= classes) refuse("sample " + std::to_string(s), data.labels[s]);
  if (!data.windows) return;
  auto const& text = *data.windows;
  if (std::none_of(text.tokens.begin(), text.tokens.end(), [&](auto t) { return t >= classes; })) return;
  for (index_t s = 0; s < data.size; ++s)  // a token may stand where it is no label
    for (index_t t = 0; t < text.context; ++t)
      if (index_t const label = text.tokens[static_cast<std::size_t>(s * text.stride + t + 1)]; label >= classes)
        refuse("position " + std::to_string(t) + " of sample " + std::to_string(s), label);
}
/// How many classes a network scores of these samples; nothing where it does not take or score them: the first step says that.
template <class T, class Space>
[[nodiscard]] std::optional<index_t> classes_of(parallel::network<T, Space> const& net, io::dataset const& data) {
  try {
    extents const y = net.shape_units(batch_shape(data, 1), 0, net.units());
    if (y.rank() > 1 && y.size() == data.positions() * y[y.rank() - 1]) return y[y.rank() - 1];
  } catch (error const&) {
  }
  return std::nullopt;
}

/// The same on a data set.
template <class T, class Space>
[[gnu::cold]] fit_report train(parallel::any_model<T, Space>& m, io::dataset const& data, fit_options options) {
  auto const& net = m.any_net();
  comm::all_or_none(m.all_ranks(), [&] {
    data.demand_whole();
    if (data.regression()) return;
    if (auto const classes = classes_of(net, data)) demand_scored(data, *classes);
  });
  dataset_source<T, Space> source(m, data);
  return train(m, data.size, fit_source<tensor<T, Space>>(source), std::move(options));
}

}  // namespace detail

/// Trains `m` on `size` samples for `epochs` epochs of ⌈size / plan.global_batch⌉ steps, each over plan.global_batch
/// samples on all ranks together. Every sample is used exactly once per epoch on any number of ranks. Collective.
///
/// \param source a parallel::source_of that also has `begin(span<index_t const> order, index_t begin)`, called before
/// each step: the step's
///               batch are the positions [begin, …) of the order. Its inputs are asked for once more after a loss that is not finite. With
///               `std::string fingerprint() const`, checkpoints know what was trained on, and other data are refused
/// \throws error, on every rank alike: options or numbers of samples that differ between ranks, no samples, a folder
/// that holds checkpoints and `resume` is not asked for, a loss that is not finite (step, rank, layer), replicas that
/// differ, a checkpoint that cannot be written or read. What the source has to say, on that rank
template <class Net, class Source>
fit_report fit_from(parallel::model<Net>& m, index_t size, Source& source, fit_options options = {}) {
  nn::demand_every_weight_trainable(m.net());
  parallel::demand_source<Source, nn::tensor_of<Net>>();
  return detail::train(m.teachable(), size, detail::fit_source<nn::tensor_of<Net>>(source), std::move(options));
}

/// The same on a data set: mean cross entropy against its labels, or mean square against its targets.
/// \throws error as fit_from, also for labels outside the classes that the network scores
template <class Net> fit_report fit(parallel::model<Net>& m, io::dataset const& data, fit_options options = {}) {
  nn::demand_every_weight_trainable(m.net());
  return detail::train(m.teachable(), data, std::move(options));
}
/// With a loss: says in words where it belongs (law 1).
template <class Net, class Loss>
fit_report fit(parallel::model<Net>&, io::dataset const&, fit_options const&, Loss const& loss) {
  static_assert(sizeof loss == 0,
                "pleat: run::fit takes no loss: it trains on the data set's labels (mean cross entropy) or targets "
                "(mean square). A loss of your own is the 'loss' of a source, which run::fit_from takes");
  return {};
}
/// The same, of a loss before the options.
template <class Net, class Loss>
  requires(!std::convertible_to<Loss, fit_options>)
fit_report fit(parallel::model<Net>& m, io::dataset const& data, Loss const& loss, fit_options const& options = {}) {
  return fit(m, data, options, loss);
}

}  // namespace pleat::run
