// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A model in training as a checkpoint, under any layout: written by all ranks at once, in the background if asked. The
/// files are io/checkpoint.hpp's business; run/checkpoint.hpp reads them.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/owned_ptr.hpp>
#include <pleat/base/profile.hpp>
#include <pleat/codec/learned_steps.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/io/checkpoint.hpp>
#include <pleat/io/checkpoint_job.hpp>
#include <pleat/io/checkpoint_layout.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/parallel/loss_scale.hpp>
#include <pleat/run/checkpoint_image.hpp>
#include <pleat/run/opened_checkpoint.hpp>

namespace pleat::run {

/// What a program has to remember besides model and optimizer. Equal on every rank.
struct checkpoint_extras {
  parallel::loss_scale const* scale = nullptr;  ///< null: the model's own, where it has one
  std::map<std::string, std::string> more{};    ///< words of one's own, UTF-8
  /// fingerprint of what is trained on (io::dataset::fingerprint), or empty: training on other data is refused then
  std::string data{};
};

/// The parameters that judged best so far. A checkpoint takes them along.
template <class T> struct best_so_far {
  std::vector<T> values{};  ///< of this rank, as model.held_values() gives them
  /// run::evaluation::error(); infinite: nothing was judged yet
  double error = std::numeric_limits<double>::infinity();
  std::map<std::string, codec::learned_steps> steps{};  ///< those of this rank, of weights that train as codes
};

/// How many checkpoints stay, and whether saving waits for the disk.
struct checkpoint_writer_options {
  int keep = 2;               ///< checkpoints that stay; a damaged one does not count
  bool asynchronous = false;  ///< save returns when host copies are taken; the files are written meanwhile
};

/// Writes checkpoints of one model into one folder: every rank its share, by global index, so that the tensors' files
/// have the same bytes under every layout that computes the same numbers. Make one on every rank.
///
///     run::checkpoint_writer writer(folder, {.asynchronous = true});
///     …
///     writer.save(model, optimizer, step);   // waits for the save before
///     …
///     writer.wait();                         // says what went wrong with the last one
class checkpoint_writer {
 public:
  using options = checkpoint_writer_options;

  explicit checkpoint_writer(std::string folder, options o = {}) : folder_(std::move(folder)), o_(o) {}

  /// Collective. Synchronous: when it returns, the checkpoint survives a power cut. Asynchronous: it will, once it is
  /// written; until then the one before is what is found. \param best what judged best so far, if that is to be gone on
  /// with
  /// \throws error on every rank alike, also for the save before; what was saved before stays
  template <class T, class Space>
  [[gnu::cold]] void save(parallel::any_model<T, Space> const& m, nn::optimizer_state<T, Space> const& optimizer,
                          index_t step, checkpoint_extras const& extras = {}, best_so_far<T> const* best = nullptr);

  /// Collective: until the save under way is done, if there is one. \throws error on every rank alike if it failed
  PLEAT_ONCE void wait() {
    if (!job_) return;
    auto const job = std::move(job_);
    auto& ranks = voice_;
    auto const failed = comm::attempt(ranks, [&] {
      if (ranks.rank() != 0) job->wait();
    });
    if (failed && ranks.rank() == 0) job->give_up();
    auto const root_failed = comm::attempt(ranks, [&] {
      if (ranks.rank() != 0) return;
      try {
        job->wait();
      } catch (error const&) {
        if (!job->gave_up()) throw;
      }
    });
    // then its folder is gone, and what the others say is that they cannot find it
    if (root_failed) throw *root_failed;
    if (failed) throw *failed;
  }

  /// Where the checkpoints lie.
  [[nodiscard]] std::string const& folder() const noexcept { return folder_; }

 private:
  template <class T, class Space>
  void save_share(parallel::any_model<T, Space> const& m, nn::optimizer_state<T, Space> const& optimizer, index_t step,
                  checkpoint_extras const& extras, best_so_far<T> const* best);
  template <class T, class Space>
  [[nodiscard, gnu::cold]] static std::map<std::string, std::string> state_of(
      parallel::any_model<T, Space> const& m, nn::optimizer_state<T, Space> const& optimizer, index_t step,
      checkpoint_extras const& extras);

  std::string folder_;
  options o_;
  comm::communicator voice_;  // the model may be gone when wait is called
  owned_ptr<io::checkpoint_job> job_;
};

template <class T, class Space>
void checkpoint_writer::save(parallel::any_model<T, Space> const& m, nn::optimizer_state<T, Space> const& optimizer,
                             index_t step, checkpoint_extras const& extras, best_so_far<T> const* best) {
  region r("pleat::run::save_checkpoint");
  try {
    save_share(m, optimizer, step, extras, best && std::isfinite(best->error) ? best : nullptr);
  } catch (error const& e) {
    if (e.rank() < 0) throw;  // of a transport: who did not come, but not to what
    throw error{"run::save_checkpoint('" + folder_ + "')",
                "step " + std::to_string(step) + ": " + e.call() + ": " + e.problem(), e.remedy(), e.rank()};
  }
}

template <class T, class Space>
void checkpoint_writer::save_share(parallel::any_model<T, Space> const& m,
                                   nn::optimizer_state<T, Space> const& optimizer, index_t step,
                                   checkpoint_extras const& extras, best_so_far<T> const* best) {
  wait();
  auto& ranks = m.all_ranks();
  auto data = detail::image::of(m, best ? &best->values : nullptr, best ? &best->steps : nullptr);
  auto state = state_of(m, optimizer, step, extras);
  for (auto const& [name, words] : data.forms) state[detail::form_words + name] = words;
  if (best) state["best_error"] = detail::as_text(best->error);
  auto const layout = std::make_shared<io::checkpoint_layout const>(std::move(data.layout));
  std::optional<io::checkpoint_commit> commit;
  comm::on_root(ranks, [&] { commit = io::begin_checkpoint(folder_, step, std::move(state), *layout, o_.keep); });
  std::string temporary = commit ? commit->begun.temporary : std::string();
  comm::share_text(ranks, temporary);
  if (o_.asynchronous) {
    if (!voice_) voice_ = ranks.duplicate();
    auto const failed = comm::attempt(ranks, [&] {
      job_ = make_owned<io::checkpoint_job>(layout, temporary, ranks.rank(), ranks.size(), std::move(data.parts),
                                            std::move(data.bytes), std::move(commit));
    });
    if (!failed) return;
    job_.reset();
    throw *failed;
  }
  std::vector<std::uint64_t> sums;
  if (auto const failed =
          comm::attempt(ranks, [&] { sums = io::write_parts(temporary, *layout, data.parts, ranks.rank() == 0); })) {
    if (commit) commit->begun.abandon();
    throw *failed;
  }
  if (!sums.empty()) ranks.all_reduce(sums);
  comm::on_root(ranks, [&] { io::commit_checkpoint(*commit, *layout, sums); });
}

template <class T, class Space>
std::map<std::string, std::string> checkpoint_writer::state_of(parallel::any_model<T, Space> const& m,
                                                               nn::optimizer_state<T, Space> const& optimizer,
                                                               index_t step, checkpoint_extras const& extras) {
  std::map<std::string, std::string> state{{"seed", detail::as_text(m.seed())},
                                           {"steps", detail::as_text(m.steps())},
                                           {"cursor", std::to_string(step)},
                                           {"optimizer", std::string(optimizer.name())},
                                           {"optimizer_buffers", detail::words_of_buffers(optimizer)},
                                           {"optimizer_steps", detail::as_text(optimizer.steps())},
                                           {"plan", m.plan().to_string()}};
  if (auto const* s = extras.scale ? extras.scale : m.scaling()) {
    state["loss_scale"] = detail::as_text(s->value());
    state["loss_scale_good_steps"] = std::to_string(s->good_steps());
    state["loss_scale_skipped"] = std::to_string(s->skipped());
  }
  if (auto const words = m.gradient_words(); !words.empty()) {
    state["gradient_codec"] = words;
    // a stage may have nothing that travels in the codec
    state["gradient_codec_steps"] = std::to_string(m.all_ranks().all_reduce_value(
        static_cast<std::int64_t>(m.gradient_codec_memory().steps), comm::reduction::max));
  }
  if (auto words = detail::words_of_input_scales(m); !words.empty()) state["input_scales"] = std::move(words);
  if (!extras.data.empty()) state["data"] = extras.data;
  for (auto const& [key, value] : extras.more) state[detail::own_words + key] = value;
  return state;
}

/// Saves parameters, optimizer state, masks, learned steps, seed, counters and plan into a folder. Collective; every
/// rank writes its share.
/// \throws error on every rank alike; what was saved before stays
template <class T, class Space>
[[gnu::cold]] void save_checkpoint(std::string const& folder, parallel::any_model<T, Space> const& m,
                                   nn::optimizer_state<T, Space> const& optimizer, index_t step,
                                   checkpoint_extras const& extras = {}) {
  checkpoint_writer(folder).save(m, optimizer, step, extras);
}

}  // namespace pleat::run
