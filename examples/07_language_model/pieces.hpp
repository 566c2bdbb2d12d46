// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The pieces of training, declared: each is compiled in a source of its own, so that they compile side by side.
#pragma once

#include <pleat/parallel.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "card.hpp"
#include "network.hpp"
#include "windows.hpp"

namespace gpt {

template <class T> using model_of = pl::parallel::model<decltype(network<T>(sizes{}))>;
template <class T> using optimizer_of = pl::nn::optimizer_state<T, typename model_of<T>::execution_space>;

struct step_result {
  double loss = 0;    ///< the batch's mean
  bool moved = true;  ///< false: a gradient of half overflowed on some rank, so no rank has moved its parameters
};

/// One step over a batch of `batch` windows. Collective.
template <class T>
step_result train_step(model_of<T>& model, window_source<model_of<T>>& source, optimizer_of<T>& optimizer,
                       pl::index_t batch, double rate, double clip);

/// Mean loss per character over the first `windows` windows. Collective. The same bits wherever data and layers are:
/// each window's loss is summed on one rank, then all windows' in their order.
template <class T>
double validation_loss(model_of<T> const& m, pl::io::token_dataset const& text, pl::index_t windows, pl::index_t batch);

/// Where training goes on, and what is to be said about it. Collective. `text` is the fingerprint of what is trained
/// on.
template <class T>
std::optional<std::pair<pl::index_t, std::string>> resume(std::string const& folder, model_of<T>& model,
                                                          optimizer_of<T>& optimizer, card const& about,
                                                          std::string const& text);
/// A checkpoint after `step` steps, the card beside it. Collective.
template <class T>
void keep(std::string const& folder, model_of<T> const& model, optimizer_of<T> const& optimizer, pl::index_t step,
          card const& about, std::string const& text);
/// The model as a safetensors file. Collective.
template <class T> void write_model(std::string const& file, model_of<T> const& model, card const& about);
/// Seconds of each unit's forward and backward, for the cuts of a pipeline. Collective.
template <class T> std::vector<double> unit_times(sizes const& s, pl::plan::plan const& plan, pl::world& world);
/// What all ranks did since model.trace().start(), for Chrome or Perfetto. Collective.
template <class T> void write_step_trace(std::string const& file, model_of<T> const& model);

}  // namespace gpt
