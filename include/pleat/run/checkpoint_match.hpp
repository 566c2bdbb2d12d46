// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Whether a checkpoint belongs to a model: the same network, forms, masks, optimizer and seed; and what is said where it
/// differs in what may differ.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include <pleat/comm/attempt.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/io/safetensors.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/plan/plan.hpp>
#include <pleat/run/checkpoint_image.hpp>
#include <pleat/run/opened_checkpoint.hpp>

namespace pleat::run::detail {

/// Encoded weights must have here the forms that they were saved in. Collective. \throws error on every rank alike with
/// both sides
template <class T, class Space>
[[gnu::cold]] void demand_same_forms(parallel::any_model<T, Space> const& m, opened_checkpoint const& c) {
  comm::all_or_none(m.all_ranks(), [&] {
    std::set<std::string> names;
    auto const& dense = c.demand_group(parameters_group);
    nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
      if (!w.tied_to.empty()) return;
      auto const there = c.form_of(w.name);
      names.insert(w.name);
      std::string const here(w.form_name());
      if (there && there->form != here)
        throw error{
            c.call,
            "'" + w.name + "' was saved in the form '" + there->form + "', and has the form '" + here + "' here",
            "Give the model the checkpoint's forms before its optimizer is made: run::take_forms(folder, model)"};
      if (!there && is_encoded(w) && dense.find(w.name))
        throw error{c.call,
                    "'" + w.name + "' was saved as the numbers that are trained, and has the form '" + here + "' here",
                    "Load first, into the network as it was then; encode it afterwards"};
    });
    for (auto const& [key, words] : c.manifest.state)
      if (key.starts_with(form_words) && !names.contains(key.substr(std::strlen(form_words))))
        throw error{
            c.call,
            "'" + key.substr(std::strlen(form_words)) + "' was saved in an encoded form, and is no parameter here",
            "It belongs to another network"};
  });
}

/// What is said where the model has encoded weights and the checkpoint, written by an older version, has none.
template <class T, class Space>
[[nodiscard]] std::string words_of_kept_forms(parallel::any_model<T, Space> const& m, opened_checkpoint const& c) {
  std::size_t kept = 0;
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) { kept += is_encoded(w) && !c.form_of(w.name); });
  return kept == 0 ? std::string()
                   : "weights in encoded forms are not in this checkpoint: " + std::to_string(kept) +
                         " of them stay what they are";
}

/// Whether a checkpoint belongs to this model: the same answer on every rank. Collective. \throws error with both sides
template <class T, class Space>
[[gnu::cold]] void demand_same_training(parallel::any_model<T, Space> const& m,
                                        nn::optimizer_state<T, Space> const& optimizer, opened_checkpoint const& c) {
  auto const inputs = words_of_input_scales(m);  // before anybody throws: collective
  auto const demand = [&](std::string const& what, std::string const& saved, std::string const& here,
                          std::string const& remedy) {
    if (saved != here)
      throw error{c.call, "it was saved with " + what + " " + saved + ", this run has " + here, remedy};
  };
  auto const saved = plan::plan::parse(c.value("plan"), false);
  demand("seed", c.value("seed"), as_text(m.seed()), "Start with the same --seed");
  demand("the optimizer", c.value("optimizer"), std::string(optimizer.name()), "Go on with the same optimizer");
  // older ones do not say
  if (auto const there = c.manifest.state.find("optimizer_buffers"); there != c.manifest.state.end())
    demand("the optimizer's buffers", there->second.empty() ? "(none)" : there->second,
           optimizer.buffers() == 0 ? "(none)" : words_of_buffers(optimizer),
           "Let the optimizer keep the same numbers, in the same order and under the same names, or start without "
           "resuming");
  demand("precision =", std::string(plan::name_of(saved.precision)), std::string(plan::name_of(m.plan().precision)),
         "Use precision = " + std::string(plan::name_of(saved.precision)));
  demand("a global batch of", std::to_string(saved.global_batch), std::to_string(m.plan().global_batch),
         "Use global_batch = " + std::to_string(saved.global_batch));
  if (saved.deterministic && m.plan().deterministic)
    demand("lanes =", std::to_string(saved.lanes), std::to_string(m.plan().lanes),
           "Use lanes = " + std::to_string(saved.lanes) + ", so that the bits go on");

  auto const rounded = c.manifest.state.find("input_scales");
  if (auto const there = rounded == c.manifest.state.end() ? std::string() : rounded->second; there != inputs)
    throw error{
        c.call,
        there.empty()    ? "its weights were trained on inputs as they came, and here inputs are rounded"
        : inputs.empty() ? "its weights were trained on rounded inputs, and here they come as they are"
                         : "its weights were trained on inputs that were rounded by other scales than here",
        "Make the model as it was then: quantize_aware with the same .activations over the same samples, and the same "
        ".inputs"};

  demand_same_forms(m, c);
  using W = nn::master_t<T>;
  auto const compare = [&](io::safetensors_file const& group, dtype type, bool all) {
    std::size_t used = 0;
    nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
      if (!is_stored(w)) return;
      auto const* t = group.find(w.name);
      if (!t && !all) return;
      if (!t) throw error{c.call, "there is no parameter '" + w.name + "' in it", "It belongs to another network"};
      if (t->shape != w.whole() || t->type != type)
        throw error{c.call,
                    "'" + w.name + "' is " + std::string(name_of(t->type)) + " " + t->shape.to_string() +
                        " there and " + std::string(name_of(type)) + " " + w.whole().to_string() + " here",
                    "It belongs to another network"};
      ++used;
    });
    if (used != group.entries().size())
      throw error{
          c.call,
          "it has " + std::to_string(group.entries().size()) + " parameters, this network has " + std::to_string(used),
          "It belongs to another network"};
  };
  compare(c.demand_group(parameters_group), dtype_of<T>, true);
  if (auto const* f = c.group(best_group)) compare(*f, dtype_of<T>, true);
  if (auto const* f = c.group(masters_group)) compare(*f, dtype_of<W>, true);
  for (int i = 0; i < m.arena().states(); ++i) compare(c.demand_group(optimizer_group(i)), dtype_of<W>, true);

  auto const* masks = c.group(masks_group);
  if (masks) compare(*masks, dtype::u8, false);
  auto const here = pruned(m);
  std::size_t number = 0;
  nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
    bool const cut = here[number++] == 1;
    bool const there = masks && is_stored(w) && masks->find(w.name);
    if (there && !w.prunable())
      throw error{c.call, "'" + w.name + "' was saved pruned, and here it cannot be",
                  "Give its weight a form set with codec::masked, as compress::prune does"};
    if (cut && !there && c.manifest.version > 1)
      throw error{c.call, "'" + w.name + "' is pruned here, and was not when it was saved", "Load first, then prune"};
  });
}

/// What is said where a deterministic training goes on as one that is not; else empty.
template <class T, class Space>
[[nodiscard]] std::string words_of_determinism(parallel::any_model<T, Space> const& m, opened_checkpoint const& c) {
  auto const saved = plan::plan::parse(c.value("plan"), false);
  if (!saved.deterministic || m.plan().deterministic) return {};
  return "it was saved by a deterministic training, and this one is not: from here on its bits depend on the ranks";
}

/// Gradients of which something that was kept does not stay what it was.
struct gradient_changes {
  index_t added = 0;  ///< what was not sent goes out with the next step's: here nothing is kept of them
  index_t anew = 0;   ///< what the codec itself had is left out: it begins anew
};
/// Collective. \param residual of this rank, flat; may be empty \param memory what this rank's codec goes on with
template <class T, class Space>
[[nodiscard, gnu::cold]] gradient_changes changed_gradients(
    parallel::any_model<T, Space> const& m, opened_checkpoint const& c, std::vector<nn::master_t<T>> const& residual,
    typename parallel::any_model<T, Space>::codec_memory const& memory) {
  enum : std::int32_t { added, kept, width };
  auto const ways = m.gradient_ways();
  std::vector<std::int32_t> found;
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
    found.insert(found.end(), width, 0);
    int const id = is_stored(w) && !w.absent ? m.arena().find(w.name) : -1;
    if (id < 0) return;
    auto* const here = found.data() + found.size() - width;
    auto const& e = m.arena().entries()[static_cast<std::size_t>(id)];
    auto const way = ways[static_cast<std::size_t>(id)];
    here[added] = !way.kept && !residual.empty() &&
                  std::any_of(residual.begin() + e.begin, residual.begin() + e.end, [](auto x) { return x != 0; });
    here[kept] = way.coded && memory.values.contains(w.name);
  });
  if (!found.empty()) m.all_ranks().all_reduce(found, comm::reduction::max);
  auto const* const there = c.group(codec_group);
  gradient_changes all;
  std::size_t number = 0;
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
    auto const* const all_of_it = found.data() + number;
    number += width;
    all.added += all_of_it[added];
    all.anew +=
        there && !all_of_it[kept] && std::any_of(there->entries().begin(), there->entries().end(), [&](auto const& e) {
          return e.name == w.name || (e.name.starts_with(w.name + "[") && e.name.ends_with("]"));
        });
  });
  return all;
}

/// What is said where gradients travel otherwise than when the checkpoint was saved; empty if they do not.
template <class T, class Space>
[[nodiscard]] std::string words_of_residuals(parallel::any_model<T, Space> const& m, opened_checkpoint const& c,
                                             index_t ranks, gradient_changes const& changes) {
  std::string const there = c.words("gradient_codec"), here = m.gradient_words();
  index_t const now = m.ranks().size();
  auto const of = [](index_t n) { return std::to_string(n) + (n == 1 ? " gradient" : " gradients"); };
  std::string more;
  if (changes.added > 0 && !here.empty())
    more = "what was not sent of " + of(changes.added) + ", of which nothing is kept here, is added to the next step's";
  if (changes.anew > 0)
    more += (more.empty() ? "" : "; ") +
            ("what " + there + " kept of " + of(changes.anew) + " from step to step is left out, for " +
             (there == here ? "their weights are cut or travel otherwise here"
                            : "they travel as " + (here.empty() ? "they are" : here)) +
             ": it begins anew");
  if (ranks == 0 || (there == here && ranks == now)) return more;
  if (!more.empty()) more = "; " + more;
  std::string all =
      "what " + std::to_string(ranks) + (ranks == 1 ? " rank" : " ranks") + " had not sent of the gradients ";
  all += here.empty() ? "is added to those of the next step"
                      : "is dealt to " + std::to_string(now) + (now == 1 ? " rank" : " ranks");
  if (there != here)
    all += " (they travelled as " + (there.empty() ? std::string("they are") : there) + ", now as " +
           (here.empty() ? std::string("they are") : here) + ")";
  return all + more;
}

}  // namespace pleat::run::detail
