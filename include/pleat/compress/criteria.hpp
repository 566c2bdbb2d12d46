// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What makes a weight matter, besides its magnitude: Taylor, movement, Wanda, and scores made comparable between
/// layers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/compress/layer_inputs.hpp>
#include <pleat/compress/prune.hpp>

namespace pleat::compress {

namespace detail {

/// Scores that stay apart until the end: double sums over steps. A step of a network of half counts if it has moved:
/// else it was skipped, and its gradients are not numbers.
template <class C> class score_sums {
 public:
  explicit score_sums(std::vector<C>& weights) : weights_(&weights) {
    for (auto& c : weights) sums_.emplace_back(c.values.size(), 0.0);
    step_ = sums_;
  }
  /// Trains, with f(weight, gradient) of every element of every weight summed up over the steps. Collective.
  template <class Net, class F>
  void fit(parallel::model<Net>& m, io::dataset const& data, run::fit_options options, char const* call, F const& f) {
    options.before_step = [this, &m, &f, theirs = std::move(options.before_step)] {
      if (theirs) theirs();
      look(m, f);
    };
    options.on_event = [this, theirs = std::move(options.on_event)](run::event const& e) {
      if (e.what == run::event::kind::step && e.moved) count();
      if (theirs) theirs(e);
    };
    auto const steps = run::fit(m, data, options).steps;
    if (steps > 0 && counted_ == 0)
      throw error{
          call, "a gradient overflowed in every step (" + std::to_string(steps) + "), so there is nothing to score by",
          "Give it more samples: the loss scale shrinks with every step"};
    bool const pieces = m.plan().state_stage == 1 || m.plan().state_stage == 2;
    for (std::size_t k = 0; k < sums_.size(); ++k) {
      if (pieces && !sums_[k].empty()) make_whole(m, sums_[k]);
      (*weights_)[k].scores.assign(sums_[k].begin(), sums_[k].end());
    }
  }

 private:
  template <class Net, class F> void look(parallel::model<Net>& m, F const& f) {
    double const unscaled = 1 / m.loss_factor();
    using T = typename parallel::model<Net>::value_type;
    using G = nn::master_t<T>;
    using Space = typename parallel::model<Net>::execution_space;
    auto const& memory = m.arena();
    m.net().for_each_parameter([&](auto& w) {
      if constexpr (requires {
                      w.gradient();
                      w.data();
                    }) {
        std::size_t at = 0;
        while (at < weights_->size() && (*weights_)[at].name != w.name) ++at;
        if (at == weights_->size() || w.absent || w.size() == 0) return;
        if (!w.requires_grad) return;
        auto const held = m.held(w);
        index_range here = held.range;
        G* summed = w.gradient();
        if (memory.layout().stage() > 0) {  // sums have come for this rank's piece alone
          auto const id = static_cast<std::size_t>(w.id);
          auto const& e = memory.entries()[id];
          auto const& p = memory.pieces()[static_cast<std::size_t>(memory.layout().owner()[id])];
          index_range const both = intersect({e.begin, e.end}, {p.begin, p.end});
          if (both.empty()) return;
          here = {both.begin - e.begin, both.end - e.begin};
          summed = memory.owned_gradients(p) + (both.begin - p.begin);
        }
        std::vector<T> values(static_cast<std::size_t>(here.size()));
        std::vector<G> gradient(values.size());
        copy_to_host(m.context(),
                     tensor<T, Space>::wrap(held.values + (here.begin - held.range.begin), extents{here.size()}),
                     values.data());
        copy_to_host(m.context(), tensor<G, Space>::wrap(summed, extents{here.size()}), gradient.data());
        double* const to = step_[at].data() + (here.begin - (*weights_)[at].offset);
        for (std::size_t i = 0; i < values.size(); ++i)
          to[i] = f(pleat::detail::number(values[i]), static_cast<double>(gradient[i]) * unscaled);
      }
    });
  }
  /// Values are whole and gradients in pieces (state stages 1 and 2): every rank has scores of its piece, and zeros. Of
  /// several groups the first counts: a sum puts them together exactly.
  template <class Net> static void make_whole(parallel::model<Net>& m, std::vector<double>& scores) {
    if (m.plan().sharing().copy_of(m.ranks().rank()) > 0) std::fill(scores.begin(), scores.end(), 0.0);
    m.ranks().all_reduce(scores);
  }
  void count() {
    ++counted_;
    for (std::size_t k = 0; k < sums_.size(); ++k)
      for (std::size_t i = 0; i < sums_[k].size(); ++i) sums_[k][i] += step_[k][i];
  }

  std::vector<C>* weights_;
  std::vector<std::vector<double>> sums_, step_;
  index_t counted_ = 0;
};

/// n samples of a data set, evenly spread.
[[nodiscard]] inline io::dataset evenly(io::dataset const& data, index_t n) {
  std::vector<index_t> which(static_cast<std::size_t>(std::clamp<index_t>(n, 0, data.size)));
  for (std::size_t i = 0; i < which.size(); ++i)
    which[i] = static_cast<index_t>(i) * data.size / static_cast<index_t>(which.size());
  return data.pick(which);
}

}  // namespace detail

/// (gradient × weight)², summed over the batches of `subset_size` samples: the square of the first-order change of the
/// loss if the weight were zero (Molchanov et al., "Importance estimation for neural network pruning", CVPR 2019). The
/// model does not move. The same bits on any number of ranks in deterministic mode.
struct taylor {
  static constexpr char const* what = "taylor";  ///< its name in reports and errors
  static constexpr bool takes_shards = true;     ///< runs where parameters are in pieces (state_stage = 3)
  static constexpr bool scores_are_squares = true;
  io::dataset const* data = nullptr;  ///< what a loss is taken of; must live until the transform has run
  index_t subset_size = 512;
  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const {
    say("criterion.data", std::to_string(data ? data->size : 0) + " samples");
    say("criterion.subset_size", subset_size);
  }

  template <class Net, class C> void score(parallel::model<Net>& m, std::vector<C>& weights) const {
    if (!data || data->size < 1 || subset_size < 1)
      throw error{"compress::taylor", "there are no samples to take gradients of",
                  "Say .criterion = {.data = &data.train}"};
    auto const samples = detail::evenly(*data, subset_size);
    auto still = m.clone();  // batch norms would move
    run::fit_options options;
    options.optimizer = nn::sgd{.learning_rate = 0};
    options.progress = false;
    detail::score_sums<C>(weights).fit(still, samples, options, "compress::taylor",
                                       [](double w, double g) { return (w * g) * (w * g); });
  }
};

/// −Σ weight × gradient over the steps of a fine-tuning: what moves away from zero stays, whatever its size (Sanh et
/// al., "Movement pruning", arXiv:2005.07683). The model is trained by it.
struct movement {
  static constexpr bool trains = true;             ///< looks at gradients: runs steps of training
  static constexpr char const* what = "movement";  ///< its name in reports and errors
  static constexpr bool takes_shards = true;       ///< runs where parameters are in pieces (state_stage = 3)
  std::optional<compress::fine_tune> training{};
  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const { say("criterion.training", training); }

  template <class Net, class C> void prepare(parallel::model<Net>& m, std::vector<C>& weights) const {
    if (!training)
      throw error{"compress::movement", "nothing trains, so nothing moves",
                  "Say .criterion = {.training = fine_tune(data.train, {.epochs = 1})}"};
    detail::score_sums<C>(weights).fit(m, training->data(), training->options(), "compress::movement",
                                       [](double w, double g) { return -(w * g); });
  }
};

/// |w|·‖x‖₂, with ‖x‖₂ over the inputs that the column multiplies with; each output row by itself (Sun et al., "A simple and effective
/// pruning approach for large language models", arXiv:2306.11695). No labels, no training: one forward pass.
/// The same bits on any number of data ranks; over the tensor axis activations are sums in another order.
struct wanda {
  static constexpr char const* what = "wanda";  ///< its name in reports and errors
  static constexpr bool takes_shards = true;    ///< runs where parameters are in pieces (state_stage = 3)
  static constexpr scope usual_scope = scope::row;
  calibration samples{};
  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const { say("criterion.samples", samples); }

  template <class Net, class C> void score(parallel::model<Net>& m, std::vector<C>& weights) const {
    auto const named = [&](nn::parameter const& w) {
      return std::any_of(weights.begin(), weights.end(), [&](C const& c) { return c.name == w.name; });
    };
    auto const inputs = layer_inputs(m, samples, {.what = input_sums::squares, .only = named});
    std::string bad;
    for (auto& c : weights) {
      c.scores.resize(c.values.size());
      if (c.size() == 0) continue;
      auto const in =
          std::find_if(inputs.begin(), inputs.end(), [&](layer_input const& l) { return l.name == c.name; });
      if (in == inputs.end()) {
        bad = "no input of '" + c.name + "' was seen";
        continue;
      }
      index_t const rows = c.whole[0], columns = c.columns();
      for (index_t i = 0; i < c.size(); ++i) {
        index_t const at = c.offset + i, row = c.box[0].begin + at / columns, group = row / (rows / in->groups),
                      column = c.first_column() + at % columns;
        double const norm = std::sqrt(in->squares[static_cast<std::size_t>(group * in->columns + column)]);
        c.scores[static_cast<std::size_t>(i)] = static_cast<typename C::score_type>(
            std::abs(pleat::detail::number(c.values[static_cast<std::size_t>(i)])) * norm);
      }
    }
    detail::agree(m, "compress::wanda", bad,
                  "A weight that nothing is multiplied with has no Wanda score: name it in .ignore");
  }
};

/// Another criterion's scores over their root mean square in each weight, so that weights of different scales compete
/// fairly: prune_by<compress::normalised<compress::taylor>>{.criterion = {.of = {.data = &data.train}}}. A weight whose
/// scores are all zero stays so.
template <class Criterion> struct normalised {
  static constexpr char const* what = Criterion::what;       ///< its name in reports and errors
  static constexpr bool trains = detail::trains<Criterion>;  ///< looks at gradients: runs steps of training
  /// runs where parameters are in pieces (state_stage = 3)
  static constexpr bool takes_shards = detail::takes_shards<Criterion>;
  Criterion of{};
  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const {
    say("criterion", "normalised");
    if constexpr (tells_settings<Criterion>) of.settings(say);
  }

  template <class Net, class C>
  void score(parallel::model<Net>& m, std::vector<C>& weights) const
    requires requires { of.score(m, weights); }
  {
    of.score(m, weights);
    scale(m, weights);
  }
  template <class Net, class C>
  void prepare(parallel::model<Net>& m, std::vector<C>& weights) const
    requires requires { of.prepare(m, weights); }
  {
    of.prepare(m, weights);
    scale(m, weights);
  }

 private:
  /// Sums of squares in integers, 62 bits below the largest: no order of summing shows, so however a weight is cut the
  /// scores have the same bits. What is not finite stays as it is, for prune to name.
  template <class Net, class C> static void scale(parallel::model<Net>& m, std::vector<C>& weights) {
    std::vector<double> largest(weights.size(), 0.0);
    for (std::size_t k = 0; k < weights.size(); ++k)
      for (auto const s : weights[k].scores)
        largest[k] = std::isfinite(s) ? std::max(largest[k], std::abs(static_cast<double>(s)))
                                      : std::numeric_limits<double>::infinity();
    auto const over_parts = [&](auto& numbers, comm::reduction how) {
      if (auto* const shards = m.shards(); shards && shards->size() > 1) shards->all_reduce(numbers, how);
      if (m.parts().size() > 1) m.parts().all_reduce(numbers, how);
    };
    over_parts(largest, comm::reduction::max);
    auto const usable = [&](std::size_t k) { return largest[k] > 0 && std::isfinite(largest[k]); };
    std::vector<std::int64_t> digits(2 * weights.size(), 0);  // below 2^31 for every element
    for (std::size_t k = 0; k < weights.size(); ++k) {
      if (!usable(k) || !weights[k].counts) continue;
      int const above = std::ilogb(largest[k]) + 1;
      for (auto const s : weights[k].scores) {
        double const x = std::ldexp(static_cast<double>(s), -above), square = x * x * 0x1p31, high = std::floor(square);
        digits[2 * k] += static_cast<std::int64_t>(high);
        digits[2 * k + 1] += static_cast<std::int64_t>((square - high) * 0x1p31);
      }
    }
    over_parts(digits, comm::reduction::sum);
    for (std::size_t k = 0; k < weights.size(); ++k) {
      if (!usable(k)) continue;
      double const sum =
          (static_cast<double>(digits[2 * k]) + static_cast<double>(digits[2 * k + 1]) * 0x1p-31) * 0x1p-31;
      double const rms =
          std::ldexp(std::sqrt(sum / static_cast<double>(weights[k].whole.size())), std::ilogb(largest[k]) + 1);
      for (auto& s : weights[k].scores) s = static_cast<typename C::score_type>(static_cast<double>(s) / rms);
    }
  }
};

}  // namespace pleat::compress
