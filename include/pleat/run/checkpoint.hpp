// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A model in training as a checkpoint, and back, under any layout. Here it is read: every rank reads what it holds, all
/// of them together verify. run/checkpoint_writer.hpp, which this includes, writes it.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>

#include <pleat/base/error.hpp>
#include <pleat/base/profile.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/io/checkpoint.hpp>
#include <pleat/io/file.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/parallel/loss_scale.hpp>
#include <pleat/run/checkpoint_arrival.hpp>
#include <pleat/run/checkpoint_match.hpp>
#include <pleat/run/checkpoint_writer.hpp>
#include <pleat/run/opened_checkpoint.hpp>

namespace pleat::run {

/// Where training goes on.
struct resume_point {
  index_t step = 0;                           ///< steps done when it was saved
  std::string remark;                         ///< empty, or a sentence to be said: the newest checkpoint was damaged
  std::map<std::string, std::string> more{};  ///< what the program saved besides
};

/// What a program that goes on has, besides model and optimizer.
struct resume_options {
  parallel::loss_scale* scale = nullptr;  ///< takes the loss scale; null: the model's own does, where it has one
  std::string data{};                     ///< fingerprint of what is trained on; empty: it is not compared
};

/// Loads the newest whole checkpoint of a folder into a model that was built from the same network and seed, under any
/// layout. Collective; every rank reads what it holds, all of them together verify. \param best takes what judged best
/// so far, if it was saved
/// \returns nothing if the folder holds no checkpoint yet
/// \throws error, on every rank alike, and nothing is changed: another network, seed, optimizer, lane count or other
/// data; a model of f16 that was
///         saved without its loss scale; damaged files without an older whole one
template <class T, class Space>
[[gnu::cold]] std::optional<resume_point> load_checkpoint(std::string const& folder, parallel::any_model<T, Space>& m,
                                                          nn::optimizer_state<T, Space>& optimizer,
                                                          resume_options const& options = {},
                                                          best_so_far<T>* best = nullptr) {
  region r("pleat::run::load_checkpoint");
  auto& ranks = m.all_ranks();
  // Rank 0 looks, so that a checkpoint that appears or vanishes meanwhile cannot part the ranks.
  std::string list;
  comm::on_root(ranks, [&] {
    for (auto const& name : io::detail::listed_checkpoints(folder)) list += name + "\n";
  });
  comm::share_text(ranks, list);
  if (list.empty()) return std::nullopt;
  std::string reasons;
  int tried = 0;
  for (std::size_t at = 0; at < list.size(); ++tried) {
    auto const end = list.find('\n', at);
    auto const path = io::detail::join(folder, list.substr(at, end - at));
    at = end + 1;
    std::string text;
    detail::opened_checkpoint c;
    detail::arrived<T, Space> data;
    auto const damaged = [&](std::optional<error> const& e) {
      if (e) reasons += (reasons.empty() ? "" : "; ") + e->call() + ": " + e->problem();
      return e.has_value();
    };
    if (damaged(comm::attempt(ranks, [&] {
          if (ranks.rank() == 0) text = io::detail::read_manifest_text(path);
        })))
      continue;
    comm::share_text(ranks, text);
    if (damaged(comm::attempt(ranks, [&] { c.open(path, text, ranks.rank() == 0); }))) continue;
    detail::demand_same_training(m, optimizer, c);
    index_t const without_steps = detail::demand_same_steps(m, c.call, c.group(detail::steps_group));
    comm::all_or_none(ranks, [&] {  // ranks may have read different files
      if (auto const it = c.manifest.state.find("data");
          !options.data.empty() && it != c.manifest.state.end() && it->second != options.data)
        throw error{
            c.call,
            "it was saved while training on other data (" + it->second + ") than this run's (" + options.data + ")",
            "Go on with the same data, or begin anew in another folder"};
    });
    auto* const scale = options.scale ? options.scale : m.scaling();
    auto const saved_scale = scale ? c.scale(scale->options()) : std::nullopt;
    if (m.scaling() && !saved_scale)
      throw error{c.call, "it has no loss scale, and training in f16 goes on with one",
                  "It was saved by a program that left the scale out: go on from a model file, or begin anew in "
                  "another folder"};
    data.with_best = best && c.group(detail::best_group) && c.manifest.state.contains("best_error");
    // Best values were judged with the steps of their time: without those they are not what was judged.
    bool const unjudged = data.with_best && detail::demand_same_steps(m, c.call, c.group(detail::best_steps_group)) > 0;
    data.with_best = data.with_best && !unjudged;
    double const best_error = data.with_best ? c.real("best_error", 0, std::numeric_limits<double>::max(),
                                                      "It was written by another program")
                                             : 0;
    resume_point point;
    std::uint64_t const steps = c.number("steps"), optimizer_steps = c.number("optimizer_steps");
    point.step = static_cast<index_t>(c.number("cursor"));
    for (auto const& [key, value] : c.manifest.state)
      if (key.starts_with(detail::own_words)) point.more.emplace(key.substr(std::strlen(detail::own_words)), value);
    if (damaged(comm::attempt(ranks, [&] { data.read(m, c); }))) continue;
    if (c.manifest.version > 1) {
      auto sums = data.sums(m, c);
      if (!sums.empty()) ranks.all_reduce(sums);
      if (damaged(comm::attempt(ranks, [&] {
            for (std::size_t i = 0, next = 0; i < c.files.size(); ++i) {
              auto const& part = c.manifest.parts[i];
              auto const found = std::span<std::uint64_t const>(sums).subspan(next, part.sums.size());
              next += part.sums.size();
              if (data.uses(part.group()))
                io::detail::verify_sums(part, c.files[i], found,
                                        io::detail::call_on("load_checkpoint", io::detail::join(path, part.name)));
            }
          })))
        continue;
    }
    if (!reasons.empty())
      point.remark = "passed over a damaged checkpoint (" + reasons + "); going on from '" + path + "', step " +
                     std::to_string(point.step);
    if (auto const words = detail::words_of_residuals(m, c, data.residual_ranks,
                                                      detail::changed_gradients(m, c, data.residual, data.codec));
        !words.empty())
      point.remark += (point.remark.empty() ? "" : "; ") + words;
    if (auto const words = detail::words_of_kept_forms(m, c); !words.empty())
      point.remark += (point.remark.empty() ? "" : "; ") + words;
    if (auto const words = detail::words_of_determinism(m, c); !words.empty())
      point.remark += (point.remark.empty() ? "" : "; ") + words;
    if (without_steps > 0)
      point.remark += (point.remark.empty() ? "" : "; ") +
                      ("learned steps are not in this checkpoint: those of " + std::to_string(without_steps) +
                       (without_steps == 1 ? " weight" : " weights") + " stay what they are");
    if (unjudged)
      point.remark += (point.remark.empty() ? "" : "; ") +
                      std::string(
                          "the best parameters were saved without their learned steps and are left out: "
                          "what is best is judged anew");
    comm::all_or_none(ranks, [&] { data.decode(m); });
    data.hand_over(m);
    m.set_steps(steps);
    optimizer.set_steps(optimizer_steps);
    if (saved_scale) scale->set(saved_scale->value, saved_scale->good_steps, saved_scale->skipped);
    if (data.with_best) *best = {std::move(data.best), best_error, std::move(data.best_steps)};
    return point;
  }
  throw error{"run::load_checkpoint('" + folder + "')",
              "no checkpoint of " + std::to_string(tried) + " is whole (" + reasons + ")",
              "Put right what it says, or begin anew in another folder"};
}

}  // namespace pleat::run
