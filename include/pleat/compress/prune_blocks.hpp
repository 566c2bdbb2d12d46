// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Whole layers go: the bodies of residuals, those first without which the answers change least.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/calibration.hpp>
#include <pleat/compress/detail/channel_graph.hpp>
#include <pleat/compress/transform.hpp>
#include <pleat/tensor/detail/number.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::compress {

/// A body that went, and what that did: Σ (y − y₀)² over the answers to the calibration samples, against the network as
/// it came.
struct removed_block {
  std::string name;  ///< of its first parameter
  double change = 0;
};

/// Takes `count` bodies of plain residuals out (nn::residual::remove_body), one after the other, each time the one
/// without which the answers to the samples are nearest to what they were. No labels, no training. The network keeps
/// its type; a body that is gone costs nothing and stores nothing. The same choice on any number of data ranks and in
/// stages; where weights are cut too, but for differences of rounding in the answers by which blocks are judged. Every
/// rank takes out its share of a body; sharded parameters (state_stage = 3) stay so.
struct prune_blocks {
  using fusable_transform = void;
  static constexpr bool writes_weights = true;         ///< changes values of weights
  static constexpr bool takes_parts = true;            ///< runs where weights are cut over the tensor axis
  static constexpr bool takes_shards = true;           ///< runs where parameters are in pieces (state_stage = 3)
  static constexpr char const* what = "prune_blocks";  ///< its name in reports and errors

  index_t count = 1;
  calibration samples{};
  std::vector<std::string> ignore{};                     ///< bodies with a parameter of such a name stay
  std::function<void(removed_block const&)> on_block{};  ///< on every rank

  [[nodiscard]] std::string name() const { return std::string(what) + " " + std::to_string(count); }

  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const { say("count", count), say("samples", samples), say("ignore", ignore); }

  /// Collective. \throws error for an empty calibration set, and for more blocks than there are
  template <class Net> void run(parallel::model<Net>& m) const {
    constexpr char const* call = "compress::prune_blocks";
    if (count < 0)
      throw error{call, "count must not be negative, found " + std::to_string(count), "Say how many blocks are to go"};
    if (samples.empty())
      throw error{call, "the calibration set is empty",
                  "Give it samples: .samples = compress::calibration(data.train, 128)"};
    detail::demand_names(m, call, ".ignore", ignore);
    std::vector<block> all;
    find(m.net(), all);
    if (count > static_cast<index_t>(all.size()))
      throw error{call, std::to_string(count) + " blocks are to go, and there are " + std::to_string(all.size()),
                  "A block is an nn::residual without a second layer beside its body"};
    auto const was = answers(m);
    std::vector<block> gone;
    try {
      for (index_t k = 0; k < count; ++k) {
        std::size_t best = 0;
        double least = 0;
        all.clear();
        find(m.net(), all);
        for (std::size_t b = 0; b < all.size(); ++b) {
          gone.push_back(all[b]);
          all[b].remove(true);
          double const now = change(m, was);
          all[b].remove(false);
          gone.pop_back();
          if (!std::isfinite(now))
            throw error{call, "the answers without '" + all[b].name + "' are not finite",
                        "Look at the weights and at the samples"};
          if (b == 0 || now < least) best = b, least = now;
        }
        if (all.empty())
          throw error{call, "no further block is left: those within a block went with it", "Remove fewer blocks"};
        gone.push_back(all[best]);
        all[best].remove(true);
        if (on_block) on_block({all[best].name, least});
      }
    } catch (...) {  // the model as it was: its memory still has what the blocks hold
      for (auto const& b : gone) b.remove(false);
      throw;
    }
    m = m.rebuild(m.net());  // an arena without them
  }

 private:
  struct block {
    std::string name;
    std::function<void(bool)> remove;
  };

  template <class L> void find(L& l, std::vector<block>& out) const {
    if constexpr (nn::composite<L>) {
      if constexpr (requires { l.remove_body(); }) {
        std::string name;
        bool stays = l.removed();
        l.for_each_parameter([&](nn::parameter const& w) {
          if (name.empty()) name = w.name;
          stays = stays || detail::matches_any(ignore, w.name);
        });
        if (!stays) out.push_back({name, [&l](bool gone) { gone ? l.remove_body() : l.restore_body(); }});
      }
      l.for_each_child([&](auto& child) { find(child, out); });
    }
  }

  /// Of this rank's samples.
  template <class Net> [[nodiscard]] std::vector<std::vector<double>> answers(parallel::model<Net> const& m) const {
    using T = typename parallel::model<Net>::value_type;
    index_range const mine = block_range(samples.size(), m.ranks().size(), m.ranks().rank());
    std::vector<std::vector<double>> out;
    constexpr index_t at_once = 64;
    bool const together = m.plan().state_stage == 3;  // an answer gathers parameters: every rank gives as many
    index_t const most = together ? (samples.size() + m.ranks().size() - 1) / m.ranks().size() : mine.size();
    comm::attempts batches(m.parts().size() > 1 || together);
    for (index_t at = mine.begin; at < mine.begin + most; at += at_once)
      batches([&] {
        index_t const n = std::min(at_once, mine.end - at);
        if (n < 1) {  // for the ranks that have more; nobody looks
          (void)m.predict(samples.load<T>(m.context(), 0, 1));
          return;
        }
        auto const y = m.predict(samples.load<T>(m.context(), at, n));
        std::vector<T> host(static_cast<std::size_t>(y.size()));
        copy_to_host(m.context(), y, host.data());
        auto const each = host.size() / static_cast<std::size_t>(n);
        for (std::size_t i = 0; i < host.size(); ++i) {
          if (i % each == 0) out.emplace_back();
          out.back().push_back(pleat::detail::number(host[i]));
        }
      });
    batches.meet(m.all_ranks());
    return out;
  }
  /// One number per sample, in their order: no number of ranks shows in the sum.
  template <class Net>
  [[nodiscard]] double change(parallel::model<Net> const& m, std::vector<std::vector<double>> const& was) const {
    auto const now = answers(m);
    std::vector<double> each(static_cast<std::size_t>(samples.size()), 0.0);
    auto const first = static_cast<std::size_t>(block_range(samples.size(), m.ranks().size(), m.ranks().rank()).begin);
    for (std::size_t i = 0; i < now.size(); ++i)
      for (std::size_t j = 0; j < now[i].size(); ++j)
        each[first + i] += (now[i][j] - was[i][j]) * (now[i][j] - was[i][j]);
    m.ranks().all_reduce(each);  // one rank has each number: x + 0 is x
    double sum = 0;
    for (double const e : each) sum += e;
    return sum;
  }
};

}  // namespace pleat::compress
