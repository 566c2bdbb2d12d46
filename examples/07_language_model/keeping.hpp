// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Checkpoints and model files. Included by one source for each precision.
#pragma once

#include <pleat/comm/attempt.hpp>
#include <pleat/parallel/trace.hpp>
#include <pleat/parallel/unit_times.hpp>
#include <pleat/run/checkpoint.hpp>
#include <pleat/run/model_file.hpp>

#include <filesystem>
#include <tuple>

#include "pieces.hpp"

namespace gpt {

/// The card beside the checkpoints: written when there is none or another one; compared where training goes on.
inline void leave_card(std::string const& folder, card const& c) {
  auto const path = folder + "/" + card_file;
  std::filesystem::create_directories(folder);
  pl::io::write_file(path, c.to_text());
}
/// What to ask for instead, to have the sizes of `there`: "--layers 3 --width 24", "the same text".
[[nodiscard]] inline std::string difference(sizes const& there, sizes const& mine) {
  std::string text;
  for (auto const& [option, a, b] : {std::tuple{"--layers", there.layers, mine.layers},
                                     {"--width", there.width, mine.width},
                                     {"--heads", there.heads, mine.heads},
                                     {"--context", there.context, mine.context}})
    if (a != b) text += std::string(text.empty() ? "" : " ") + option + " " + std::to_string(a);
  if (there.vocabulary == mine.vocabulary) return text;
  return text + (text.empty() ? "" : " and ") + "the same text";
}
inline void compare_card(std::string const& folder, card const& mine) {
  auto const path = folder + "/" + card_file;
  if (!std::filesystem::exists(path)) return;  // nothing was saved yet
  auto const bytes = pl::io::read_file(path);
  auto const there = card::parse({reinterpret_cast<char const*>(bytes.data()), bytes.size()}, path);
  if (there == mine) return;
  if (there.sizes != mine.sizes)
    throw pl::error{"--resume",
                    "'" + folder + "' holds a model of " + std::to_string(there.sizes.layers) + " layers, width " +
                        std::to_string(there.sizes.width) + ", " + std::to_string(there.sizes.heads) +
                        " heads, context " + std::to_string(there.sizes.context) + " and " +
                        std::to_string(there.sizes.vocabulary) + " characters, this run asks for " +
                        std::to_string(mine.sizes.layers) + ", " + std::to_string(mine.sizes.width) + ", " +
                        std::to_string(mine.sizes.heads) + ", " + std::to_string(mine.sizes.context) + " and " +
                        std::to_string(mine.sizes.vocabulary),
                    "Use " + difference(there.sizes, mine.sizes) + ", or another folder"};
  throw pl::error{"--resume", "the text of '" + folder + "' has other characters than this one",
                  "Use the same text, or another folder"};
}

template <class T>
std::optional<std::pair<pl::index_t, std::string>> resume(std::string const& folder, model_of<T>& model,
                                                          optimizer_of<T>& optimizer, card const& about,
                                                          std::string const& text) {
  pl::comm::all_or_none(model.all_ranks(), [&] { compare_card(folder, about); });
  auto const at = pl::run::load_checkpoint(folder, model, optimizer, {.data = text});
  if (!at) return std::nullopt;
  return std::pair{at->step, (at->remark.empty() ? std::string() : at->remark + "\n") + "resumed at step " +
                                 std::to_string(at->step) + " from '" + folder + "'"};
}

template <class T>
void keep(std::string const& folder, model_of<T> const& model, optimizer_of<T> const& optimizer, pl::index_t step,
          card const& about, std::string const& text) {
  pl::comm::on_root(model.all_ranks(), [&] { leave_card(folder, about); });
  pl::run::save_checkpoint(folder, model, optimizer, step, {.data = text});
}

template <class T> void write_model(std::string const& file, model_of<T> const& model, card const& about) {
  pl::run::save(model, file, {.network = "gpt", .more = {{card_key, about.to_text()}}});
}

template <class T> std::vector<double> unit_times(sizes const& s, pl::plan::plan const& plan, pl::world& world) {
  return pl::parallel::measure_units(pl::parallel::megatron(network<T>(s)), plan,
                                     pl::extents{plan.global_batch, s.context}, world);
}

template <class T> void write_step_trace(std::string const& file, model_of<T> const& model) {
  pl::parallel::write_trace(model, file);
}

}  // namespace gpt
