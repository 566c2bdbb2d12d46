// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Static activations: samples that a model answers while observers look at what its weights multiply with. Every
/// sample is looked at once, on one replica; what was seen is summed in integers, so it has the same bits on any number
/// of ranks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/codec/magnitude_histogram.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/calibration.hpp>
#include <pleat/compress/observers.hpp>
#include <pleat/compress/transform.hpp>
#include <pleat/parallel/model.hpp>

namespace pleat::compress {

/// Inputs of int8 weights are to be quantized with one scale, which `observer` finds in what the samples give.
struct static_activations {
  calibration data{};  ///< some hundred samples of the training set
  compress::observer observer = min_max{};
  /// samples at a time (one more at the most, where parameters are sharded); no number depends on it
  index_t batch = 64;

  /// As settings say it.
  friend std::string words_of(static_activations const& a) {
    return words_of(a.data) + ", " + words_of(a.observer) + ", batches of " + std::to_string(a.batch);
  }
  /// \throws error if there is nothing to look at
  PLEAT_ONCE void check(char const* call) const;

  /// Lets the model answer all samples, each on one of the replicas. Collective.
  /// \returns whether this rank's answers count: of sharded parameters all ranks must answer, those too for which there
  /// is no sample
  template <class T, class Space> [[gnu::cold]] bool walk(parallel::any_model<T, Space> const& m) const {
    bool const together = m.plan().state_stage == 3;  // an answer gathers parameters: every rank gives as many
    index_t const ranks = m.ranks().size(), least = data.size() / ranks;
    index_range mine = block_range(data.size(), ranks, m.ranks().rank());
    bool const looks = !mine.empty();
    if (together && !looks) mine = {0, 1};
    index_t const full = pleat::detail::units_of(together ? (data.size() + ranks - 1) / ranks : mine.size(), batch),
                  count = together ? std::min(full, std::max<index_t>(least, 1)) : full;
    comm::attempts batches(m.parts().size() > 1 || together);
    for (index_t b = 0; b < count; ++b) {
      index_range const part = block_range(mine.size(), count, b);
      batches([&] {
        (void)m.predict(data.template load<T>(m.context(), mine.begin + part.begin, part.size()),
                        parallel::answer_at::last_stage);
      });
    }
    batches.meet(m.all_ranks());
    return looks;
  }
};

template <class> void static_activations::check(char const* call) const {
  if (batch < 1)
    throw error{call, "calibration takes batches of " + std::to_string(batch) + " samples, expected at least 1",
                "Say .batch = 64: no number depends on it"};
  if (data.empty())
    throw error{call, "the calibration set is empty",
                "Give some hundred samples of the training set: compress::calibration(data.train, 300)"};
  detail::check(observer);
}
PLEAT_COMPILED_ONCE(void static_activations::check(char const* call) const);

namespace detail {

/// What all ranks of a communicator saw, on each of them. Collective.
template <class Communicator> void merge_over(Communicator& ranks, codec::magnitude_histogram& h) {
  if (ranks.size() == 1) return;
  h.widen_to(ranks.all_reduce_value(h.exponent(), comm::reduction::max));
  float const largest = ranks.all_reduce_value(h.largest(), comm::reduction::max);
  std::vector<std::int64_t> sums(h.counts().begin(), h.counts().end());
  sums.push_back(h.total());
  sums.push_back(h.nonfinite());
  ranks.all_reduce(sums);
  h.take(std::span<std::int64_t const, codec::magnitude_histogram::bins + 2>(sums), largest);
}

/// Gives each of some weights one scale for its inputs: histograms look while the samples pass. One that has a scale
/// already keeps it. Collective. \param for_each for_each(f) calls f(weight&, storage&) for every one of them in the
/// order of the network, absent ones too \param set_range what a storage does with a range \throws error on all ranks
/// for inputs with NaN or infinity
template <class T, class Space, class Each, class Set>
void give_input_scales(parallel::any_model<T, Space>& m, static_activations const& how, std::string const& call,
                       listener const& on_note, Each const& for_each, Set const& set_range) {
  for_each([&](auto& w, auto& s) {
    if (!w.absent && !(s.input_scale > 0)) s.watch = std::make_shared<codec::magnitude_histogram>();
  });
  bool const looked = how.walk(m);
  enum : std::int64_t { fine, kept, all_zero, not_finite };
  std::vector<std::int64_t> found;  // by weight, in the order of the network, which all stages know
  std::vector<std::string> names;
  for_each([&](auto& w, auto& s) {
    names.push_back(w.name);
    found.push_back(!w.absent && !s.watch ? kept : fine);
    if (!s.watch) return;
    auto seen = looked ? *s.watch : codec::magnitude_histogram{};
    s.watch.reset();
    merge_over(m.ranks(), seen);
    // alike on all parts where inputs are whole: counts times parts, the same range
    if (w.parts > 1) merge_over(m.parts(), seen);
    if (seen.nonfinite() > 0) found.back() = not_finite;
    else if (float const range = range_of(how.observer, seen); range > 0) set_range(s, range);
    else found.back() = all_zero;
  });
  m.all_ranks().all_reduce(found, comm::reduction::max);
  auto const those = [&](std::int64_t what) {
    std::string list;
    for (std::size_t i = 0; i < found.size(); ++i)
      if (found[i] == what) list += (list.empty() ? "'" : ", '") + names[i] + "'";
    return list;
  };
  if (auto const bad = those(not_finite); !bad.empty())
    throw error{call, "the inputs of " + bad + " hold NaN or infinity in the calibration set",
                "Look at its samples, and at the layers before"};
  if (auto const nothing = those(all_zero); !nothing.empty())
    say(m, on_note,
        call + ": the inputs of " + nothing +
            " are all zero in the calibration set, so its activations are quantized as they come");
  if (auto const trained = those(kept); !trained.empty())
    say(m, on_note, call + ": the inputs of " + trained + " keep the scale that they were trained with");
}

}  // namespace detail

}  // namespace pleat::compress
