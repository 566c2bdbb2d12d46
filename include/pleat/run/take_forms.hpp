// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Going on with a model whose weights are encoded in part: the forms that a checkpoint's weights have, before its
/// numbers are loaded.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <type_traits>
#include <utility>

#include <pleat/comm/attempt.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/run/checkpoint.hpp>
#include <pleat/run/opened_checkpoint.hpp>

namespace pleat::run {

/// Gives the model's weights the encoded forms that they have in the newest readable checkpoint of a folder: before an
/// optimizer is made for it, and before load_checkpoint brings their contents. Collective.
///
///     run::take_forms(folder, model);
///     nn::optimizer_state<float, space> optimizer(model.context(), model.arena(), nn::adamw{});
///     run::load_checkpoint(folder, model, optimizer);
///
/// The forms are those of the newest checkpoint whose manifest can be read. If a file of that one is damaged,
/// load_checkpoint goes on to the one before, which may have other forms: it then says so.
/// \returns how many weights took another form
/// \throws error, on every rank alike, and nothing is changed: a form that is not in the weight's set, a weight that
/// the network has not
template <class T, class Space>
[[gnu::cold]] index_t take_forms(std::string const& folder, parallel::any_model<T, Space>& m) {
  auto& ranks = m.all_ranks();
  std::string text, path;
  comm::on_root(ranks, [&] {
    for (auto const& name : io::detail::listed_checkpoints(folder)) {
      path = io::detail::join(folder, name);
      try {
        text = io::detail::read_manifest_text(path);
        (void)io::detail::checkpoint_manifest::parse(text, path);
        return;
      } catch (error const&) {  // load_checkpoint says why, and takes the one before
        text.clear();
      }
    }
  });
  comm::share_text(ranks, text);
  comm::share_text(ranks, path);
  if (text.empty()) return 0;
  std::string const call = "run::take_forms('" + path + "')";
  detail::opened_checkpoint const saved{io::detail::checkpoint_manifest::parse(text, call), call, {}};
  std::map<std::string, detail::opened_checkpoint::saved_form> wanted;
  for (auto const& [key, words] : saved.manifest.state)
    if (key.starts_with(detail::form_words)) {
      auto const name = key.substr(std::strlen(detail::form_words));
      wanted.emplace(name, *saved.form_of(name));
    }
  if (wanted.empty()) return 0;
  auto net = m.any_net().clone();
  index_t changed = 0;
  net->for_each_parameter([&](nn::any_weight<T, Space>& w) {
    auto const it = w.tied_to.empty() ? wanted.find(w.name) : wanted.end();
    if (it == wanted.end()) return;
    auto const [form, suffixes] = std::move(it->second);
    wanted.erase(it);
    if (w.form_name() == form) return;
    auto const forms = w.form_names();
    auto const at = std::find(forms.begin(), forms.end(), form);
    if (at == forms.end()) {
      std::string have;
      for (auto const& name : forms) have.append(have.empty() ? "'" : ", '").append(name).append("'");
      throw error{call, "'" + w.name + "' was saved in the form '" + form + "', the model's weight can take " + have,
                  "Build the network with that form in its set, or transform it as it was then"};
    }
    w.use_form_at(static_cast<int>(at - forms.begin()));
    parallel::detail::keep_blocks_whole(w, suffixes);
    w.follow_form(w.trainable());
    ++changed;
  });
  if (!wanted.empty())
    throw error{call,
                "'" + wanted.begin()->first + "' was saved in the form '" + wanted.begin()->second.form +
                    "', and is no parameter of this network",
                "It belongs to another network"};
  if (changed > 0) m = m.rebuild(std::move(net));
  return changed;
}

}  // namespace pleat::run
