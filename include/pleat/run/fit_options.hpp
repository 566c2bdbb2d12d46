// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What training is asked: its options, whether they make sense, and their words for other ranks and for checkpoints.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/io/dataset.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/nn/schedule.hpp>
#include <pleat/run/opened_checkpoint.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::run {

/// What fit tells a listener; on every rank.
struct event {
  enum class kind { step, epoch, checkpoint } what = kind::step;  ///< what has just come to its end
  index_t epoch = 0;                                              ///< epochs begun, from 1
  index_t step = 0;                                               ///< steps done
  double loss = 0;                                                ///< of the step, or the mean over the epoch's samples
  double learning_rate_factor = 1;                                ///< what the schedule said
  std::optional<double> validation_error;  ///< at the end of an epoch, if there is a validation set
  /// false: a gradient of half overflowed on some rank, so no rank has moved its parameters
  bool moved = true;
};

/// What fit does, and what it says meanwhile.
struct fit_options {
  index_t epochs = 1;                                              ///< over all samples, those before a checkpoint too
  nn::optimizer optimizer = nn::adamw{};                           ///< one of pleat's, or one's own
  nn::schedule schedule{};                                         ///< factor on the learning rate over all steps
  std::vector<nn::parameter_group> groups = nn::default_groups();  ///< settings for parameters by name
  double clip_norm = 0;                     ///< largest global norm of what moves parameters; 0: no clipping
  io::dataset const* validation = nullptr;  ///< judged after every epoch
  /// end with the parameters of the epoch that `validation` judged best; checkpoints take them along
  bool keep_best = false;
  /// folder; empty: none. One that holds checkpoints is gone on from (`resume`) or refused; so is one that another job
  /// writes into (io::folder_claim)
  std::string checkpoint{};
  /// steps between checkpoints; 0: one per epoch. The last step has one in any case
  index_t checkpoint_steps = 0;
  bool checkpoint_asynchronous = false;  ///< write them while training goes on; the last one is waited for
  bool resume = false;                   ///< go on from the newest checkpoint of the folder, if there is one
  /// compare the parameters of all ranks every so many steps; 0: never
  index_t check_replicas_steps = 0;
  /// the sums of all ranks' gradients (times model.loss_factor()) are there, nothing has moved yet: may change them,
  /// alike on every rank
  std::function<void()> before_step{};
  std::function<void(event const&)> on_event{};  ///< hears of every step, epoch and checkpoint, on every rank
  bool progress = true;                          ///< rank 0 shows a progress line on standard error
};

namespace detail {

/// \throws error for options without sense
PLEAT_ONCE void demand_sense(fit_options const& o, index_t samples) {
  if (samples < 1)
    throw error{"run::fit", "there are no samples to train on", "Hand over a data set with at least one"};
  if (o.epochs < 0)
    throw error{"run::fit", "epochs must not be negative, found " + std::to_string(o.epochs),
                "Say how often every sample is to be used"};
  for (auto const& [what, steps] :
       {std::pair{"checkpoint_steps", o.checkpoint_steps}, std::pair{"check_replicas_steps", o.check_replicas_steps}})
    if (steps < 0)
      throw error{"run::fit", std::string(what) + " must not be negative, found " + std::to_string(steps),
                  "Say every how many steps, or leave it out"};
  if (!(o.clip_norm >= 0))
    throw error{
        "run::fit",
        "clip_norm must be a positive number, or 0 for no clipping, found " + pleat::detail::number_text(o.clip_norm),
        "Use clip_norm = 0, or the largest norm that a step may have"};
  if (o.keep_best && !o.validation)
    throw error{"run::fit", "keep_best asks for the epoch that judged best, and there is no validation set to judge by",
                "Give it as fit_options::validation, or leave out keep_best"};
  if (o.validation && o.validation->size < 1)
    throw error{"run::fit", "the validation set has no samples: it can judge nothing",
                "Give it at least one as fit_options::validation, or none"};
  if (o.checkpoint.empty() && (o.resume || o.checkpoint_steps > 0 || o.checkpoint_asynchronous))
    throw error{"run::fit",
                std::string(o.resume                 ? "resume"
                            : o.checkpoint_steps > 0 ? "checkpoint_steps"
                                                     : "checkpoint_asynchronous") +
                    " is asked for, and there is no folder of checkpoints",
                "Give it as fit_options::checkpoint"};
}

/// Settings by name of parameters, in words: ('*', at most of rank 1, decay 0; 'fc1.*', frozen). A name's own quotes
/// are doubled, so that other groups have other words.
PLEAT_ONCE [[nodiscard]] std::string words_of_groups(std::vector<nn::parameter_group> const& groups) {
  std::string text;
  for (auto const& g : groups) {
    text += text.empty() ? "('" : "; '";
    for (char const c : g.pattern) text.append(c == '\'' ? 2 : 1, c);
    text += '\'';
    if (g.max_rank < extents::max_rank) text += ", at most of rank " + std::to_string(g.max_rank);
    if (g.learning_rate_scale != 1) text += ", rate times " + pleat::detail::number_text(g.learning_rate_scale);
    if (g.weight_decay) text += ", decay " + pleat::detail::number_text(*g.weight_decay);
    if (g.frozen) text += ", frozen";
  }
  return text.empty() ? "none" : text + ")";
}

/// What a run that goes on from a checkpoint may have otherwise than the one before, by name. (The schedule is said by
/// itself.)
PLEAT_ONCE [[nodiscard]] std::map<std::string, std::string> words_of_settings(fit_options const& o) {
  std::map<std::string, std::string> all;
  auto const keep = [&](char const* what, double x) { all[what] = pleat::detail::number_text(x); };
  std::visit(
      [&](auto const& by) {
        keep("learning_rate", by.learning_rate);
        keep("weight_decay", by.weight_decay);
        if constexpr (requires { by.momentum; }) {
          keep("momentum", by.momentum);
          keep("dampening", by.dampening);
          all["nesterov"] = by.nesterov ? "true" : "false";
        }
        if constexpr (requires { by.beta1; }) {
          keep("beta1", by.beta1);
          keep("beta2", by.beta2);
          keep("epsilon", by.epsilon);
        }
      },
      o.optimizer);
  keep("clip_norm", o.clip_norm);
  all["groups"] = words_of_groups(o.groups);
  return all;
}

/// What fit's checkpoints know beside the model, under these names.
inline constexpr char const *schedule_words = "fit.schedule", *schedule_settings_words = "fit.schedule_settings",
                            *settings_words = "fit.setting.";
PLEAT_ONCE [[nodiscard]] std::map<std::string, std::string> words_to_keep(fit_options const& o, index_t total) {
  std::map<std::string, std::string> all{{schedule_words, o.schedule.name()}};
  if (auto words = o.schedule.settings(total); !words.empty()) all[schedule_settings_words] = std::move(words);
  for (auto const& [what, value] : words_of_settings(o)) all[settings_words + what] = value;
  return all;
}
/// What is otherwise here than in the run before, as sentences. \param saved what its checkpoint kept; an older version
/// knows less
PLEAT_ONCE [[nodiscard]] std::vector<std::string> words_of_changes(fit_options const& o, index_t total,
                                                                   std::map<std::string, std::string> const& saved) {
  std::vector<std::string> all;
  auto const other = [&](std::string const& key, std::string const& here) {
    auto const was = saved.find(key);
    return was != saved.end() && was->second != here ? &was->second : nullptr;
  };
  auto const settings = o.schedule.settings(total);
  if (auto const* was = other(schedule_words, o.schedule.name()))
    all.push_back("the schedule was '" + *was + "', and is '" + o.schedule.name() + "' from here on");
  else if (was = other(schedule_settings_words, settings); was)
    all.push_back("the schedule '" + o.schedule.name() + "' had " + *was + ", and " +
                  (settings.empty() ? "says nothing of its settings" : "has " + settings) + " from here on");
  std::string changes;
  for (auto const& [what, here] : words_of_settings(o))
    if (auto const* was = other(settings_words + what, here))
      changes += (changes.empty() ? "" : ", ") + what + " was " + *was + " and is " + here;
  if (!changes.empty()) all.push_back(changes + " from here on");
  return all;
}

/// What steps do with gradients, as lines: by what, and how fast at the beginning, in the middle and at the end.
PLEAT_ONCE [[nodiscard]] std::string words_of_steps(fit_options const& o, index_t total) {
  std::string text = std::visit([](auto const& by) { return "the optimizer " + std::string(by.name); }, o.optimizer);
  for (auto const& [what, value] : words_of_settings(o)) text += "\n" + what + " " + value;
  text += "\nthe schedule " + o.schedule.name();
  if (auto const settings = o.schedule.settings(total); !settings.empty()) text += ", " + settings;
  text += ", factors";
  if (total > 0) o.schedule.check(total);
  for (index_t const step : {index_t{0}, total / 2, total - 1})
    if (total > 0) text += " " + as_text(nn::factor(o.schedule, step, total));
  return text;
}

/// What ranks do together besides, and when, as lines: one that saves alone would wait for the others.
PLEAT_ONCE [[nodiscard]] std::string words_of_loop(fit_options const& o, index_t samples) {
  auto const if_any = [](bool any, std::string const& what) { return "\n" + std::string(any ? "" : "no ") + what; };
  return std::to_string(o.epochs) + " epochs of " + std::to_string(samples) + " samples" +
         if_any(o.validation, "validation") + (o.validation ? " of " + std::to_string(o.validation->size) : "") +
         if_any(o.keep_best, "keep_best") + if_any(!o.checkpoint.empty(), "checkpoint") + ", after steps " +
         std::to_string(o.checkpoint_steps) + if_any(o.checkpoint_asynchronous, "checkpoint_asynchronous") +
         if_any(o.resume, "resume") + "\ncheck_replicas_steps " + std::to_string(o.check_replicas_steps) + "\n";
}

}  // namespace detail

}  // namespace pleat::run
