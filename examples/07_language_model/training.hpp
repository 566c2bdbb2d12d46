// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The training of a language model on whatever mesh the options name.
#pragma once

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pleat/comm/agree.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/io/checkpoint.hpp>
#include <pleat/io/file.hpp>
#include <pleat/io/folder_claim.hpp>
#include <pleat/io/sampler.hpp>
#include <pleat/nn/schedule.hpp>
#include <pleat/parallel/agreement.hpp>
#include <pleat/run/progress.hpp>

#include "../other_files.hpp"
#include "figures.hpp"
#include "layout.hpp"
#include "pieces.hpp"
#include "words.hpp"

namespace gpt {

/// A line of progress, on rank 0.
class voice {
 public:
  voice(options const& o, pl::index_t first, bool on)
      : line_(on),
        steps_(o.steps),
        first_(first),
        characters_(o.batch * o.context),
        every_(o.log_steps > 0 ? o.log_steps : std::max<pl::index_t>(1, o.steps / 20)) {}

  void step(pl::index_t done, double loss, double seconds) {
    double const rate = static_cast<double>(done - first_) * static_cast<double>(characters_) / std::max(seconds, 1e-9);
    int const left =
        static_cast<int>(seconds / static_cast<double>(done - first_) * static_cast<double>(steps_ - done) + 0.5);
    if (done % every_ != 0 && done != steps_) return;
    char text[120];
    std::snprintf(text, sizeof text, "step %lld/%lld  loss %.4f  %.0f characters/s  %d:%02d left",
                  static_cast<long long>(done), static_cast<long long>(steps_), loss, rate, left / 60, left % 60);
    line_.line(text);
  }
  void validation(pl::index_t done, double loss) {
    char text[80];
    std::snprintf(text, sizeof text, "step %lld/%lld  validation loss %.4f", static_cast<long long>(done),
                  static_cast<long long>(steps_), loss);
    line_.line(text);
  }
  void say(std::string const& text) { line_.line(text); }

 private:
  pl::run::progress_line line_;
  pl::index_t steps_, first_, characters_, every_;
};

/// Bytes of a rank: parameters, gradients, optimizer state, and the most that activations needed.
template <class Model> [[nodiscard]] std::int64_t peak_bytes(Model const& m) {
  auto const held = m.memory();
  return held.parameters + held.gradients + held.optimizer_state +
         static_cast<std::int64_t>(m.context().pool().statistics().bytes_peak);
}

/// Every rank was told the same: what decides on the numbers, and on who does what when. Collective. \throws error with
/// both ranks' words
inline void agree(options const& o, pl::world& world) {
  std::string rule;
  auto const say = [&](char const* option, auto value) {
    char text[40] = {};
    std::to_chars(text, text + sizeof text - 1, value);
    rule += std::string(option) + " " + text + "\n";
  };
  for (auto const& [option, value] : {std::pair{"--learning-rate", o.learning_rate},
                                      {"--final-rate", o.final_rate},
                                      {"--weight-decay", o.weight_decay},
                                      {"--beta2", o.beta2},
                                      {"--clip", o.clip},
                                      {"--loss-scale", o.loss_scale},
                                      {"--timeout", o.timeout}})
    say(option, value);
  for (auto const& [option, value] : {std::pair{"--steps", o.steps},
                                      {"--warm-up", o.warm_up},
                                      {"--validate-steps", o.validate_steps},
                                      {"--validation-windows", o.validation_windows},
                                      {"--checkpoint-steps", o.checkpoint_steps}})
    say(option, value);
  for (auto const& [option, given] : {std::pair{"--checkpoint", !o.checkpoint.empty()},
                                      {"--out", !o.out.empty()},
                                      {"--trace", !o.trace.empty()},
                                      {"--resume", o.resume},
                                      {"--cuts measured", o.cuts == "measured"}})
    rule += std::string(given ? "" : "no ") + option + "\n";
  pl::comm::agree_on_text(world.comm, rule, "train_gpt", "what is asked", "Give every rank the same options");
}

template <class T> void train_in(options const& o, pl::world& world) {
  using clock = std::chrono::steady_clock;
  auto const since = [](clock::time_point t) { return std::chrono::duration<double>(clock::now() - t).count(); };
  bool const root = world.root();

  if (world.size() > 1) agree(o, world);
  if (o.timeout > 0 && world.size() > 1) world.comm.set_timeout(o.timeout);
  pl::io::folder_claim claim;
  pl::comm::on_root(world.comm, [&] {  // not only when there is something to lose
    if (!o.checkpoint.empty()) {
      pl::io::demand_checkpoint_folder(o.checkpoint, true);
      claim = pl::io::folder_claim(o.checkpoint);  // what it holds may change until then
      pl::io::demand_checkpoint_folder(o.checkpoint, o.resume);
    }
    demand_other_files({{"--out", o.out}, {"--json", o.json}, {"--trace", o.trace}}, {{"--data", o.data}});
    for (auto const& file : {o.out, o.json, o.trace})
      if (!file.empty()) pl::io::demand_writable_file(file);
  });
  // [build]
  auto const plan = lay_out(o, world.size());
  auto const text = pl::io::read_text(o.data, o.context);
  card const about{{.vocabulary = text.vocabulary.size(),
                    .context = o.context,
                    .layers = o.layers,
                    .width = o.width,
                    .heads = o.heads},
                   text.vocabulary};
  auto const costs =
      o.cuts == "measured" && plan.pipeline_ranks > 1 ? unit_times<T>(about.sizes, plan, world) : std::vector<double>{};
  auto model = pl::parallel::build(pl::parallel::megatron(network<T>(about.sizes)), plan, world,
                                   {.seed = o.seed,
                                    .input = pl::extents{o.batch, o.context},
                                    .unit_costs = costs,
                                    .loss_scale = {.initial = o.loss_scale}});
  // [build]
  using model_type = model_of<T>;
  optimizer_of<T> optimizer(
      model.context(), model.arena(),
      pl::nn::adamw{.learning_rate = o.learning_rate, .beta2 = o.beta2, .weight_decay = o.weight_decay});
  pl::nn::schedule const rate = pl::nn::cosine{.warm_up_steps = o.warm_up, .minimum = o.final_rate};

  pl::io::sampler const sampler(text.train.size(), o.batch, {.seed = o.seed, .drop_last = true});
  if (sampler.batches_per_epoch() == 0)
    throw pl::error{"--batch",
                    "the text has " + std::to_string(text.train.size()) + " windows of " + std::to_string(o.context) +
                        " characters to train on, fewer than a batch of " + std::to_string(o.batch),
                    "Use --batch " + std::to_string(text.train.size()) + " or less, or a longer text"};
  pl::index_t const windows = o.validation_windows > 0
                                  ? std::min<pl::index_t>(o.validation_windows, text.validation.size())
                                  : text.validation.size();

  if (world.size() > 1)
    pl::comm::agree_on_text(world.comm, text.train.fingerprint() + " " + text.validation.fingerprint(), "--data",
                            "the text", "Give every rank the same file");
  pl::index_t step = 0;
  std::string remark;
  auto const which = o.checkpoint.empty() ? std::string() : text.train.fingerprint();
  if (o.resume)
    if (auto const at = resume<T>(o.checkpoint, model, optimizer, about, which)) step = at->first, remark = at->second;
  figures f;
  f.first_step = step;
  voice out(o, step, root && !o.quiet);
  if (!remark.empty()) out.say(remark);
  if (auto const& why = claim.without_lock(); !why.empty())
    out.say("'" + o.checkpoint + "' cannot be locked (" + why + "): see to it that no other job writes there");
  for (auto const& r : remarks(o, plan, text.validation.size())) out.say(r);

  auto const validate = [&] {
    if (!f.validations.empty() && f.validations.back().first == step) return;
    f.validations.emplace_back(step, validation_loss<T>(model, text.validation, windows,
                                                        std::min<pl::index_t>(8, std::max<pl::index_t>(1, o.batch))));
    out.validation(step, f.validations.back().second);
  };
  pl::index_t compared = -1, saved = -1;
  // Before anything is kept: ranks that have drifted apart say so, and the last good checkpoint stays the newest. Of
  // parameters that are sharded (--state-stage 3) the pieces of twins in other groups (--state-ranks) are compared, and
  // what the tensor axis replicates; nothing is gathered.
  auto const compare = [&] {
    if (compared != step) model.demand_equal_replicas();
    compared = step;
  };
  auto const save = [&] {
    if (saved == step) return;
    compare();
    keep<T>(o.checkpoint, model, optimizer, step, about, which);
    saved = step;
  };

  std::vector<double> seconds;
  std::vector<pl::index_t> order;
  pl::index_t epoch = -1;
  double busy = 0;
  // before it memory grows, and buckets find their order
  pl::index_t const traced = o.trace.empty() ? -1 : std::min(step + 2, o.steps - 1);
  if (!o.trace.empty() && traced < step) out.say("no step is left to be traced: '" + o.trace + "' is not written");
  window_source<model_type> source(model, text.train);
  while (step < o.steps) {
    bool const shown = step == traced;
    if (shown) model.trace().start();
    auto const begun = clock::now();
    auto const at = sampler.at(step);
    if (at.epoch != epoch) sampler.order(epoch = at.epoch, order);
    source.begin(order, sampler.batch(at.batch).begin);
    auto const [loss, moved] =
        train_step<T>(model, source, optimizer, o.batch, pl::nn::factor(rate, step, o.steps), o.clip);
    ++step;
    f.loss.push_back(loss);
    if (!moved) {
      f.skipped.push_back(step);
      out.say(pl::parallel::skipped_step(step, *model.scaling()));
    }
    seconds.push_back(since(begun));
    if (shown) {
      model.trace().stop();
      write_step_trace<T>(o.trace, model);
    }
    busy += seconds.back();
    out.step(step, loss, busy);
    if (o.validate_steps > 0 && step % o.validate_steps == 0) validate();
    if (o.checkpoint_steps > 0 && step % o.checkpoint_steps == 0) save();
  }
  validate();
  compare();
  if (!o.checkpoint.empty()) save();
  if (!o.out.empty()) write_model<T>(o.out, model, about);

  std::int64_t const mine = peak_bytes(model);
  f.peak_bytes.resize(static_cast<std::size_t>(world.size()));
  world.comm.all_gather(std::span<std::int64_t const>(&mine, 1), std::span<std::int64_t>(f.peak_bytes));
  if (!root) return;
  if (!seconds.empty()) {
    std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2), seconds.end());
    f.milliseconds_per_step = seconds[seconds.size() / 2] * 1e3;
  }
  f.seconds = busy;
  f.loss_scale = model.loss_factor();
  f.plan = plan.entries();
  f.stages = model.layout().to_string();
  f.ranks = world.size();
  f.threads = world.threads;
  pl::nn::for_each_parameter(model.net(), [&](pl::nn::parameter const& w) {
    if (w.tied_to.empty()) f.parameters += w.whole().size();
  });
  if (!o.json.empty()) pl::io::write_file(o.json, to_json(f));
}

}  // namespace gpt
