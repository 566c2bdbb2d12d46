// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Quantization-aware training: the weights train on while every product takes the codes that they will be stored in.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/codec/fake_quantized.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/fine_tune.hpp>
#include <pleat/compress/form_choice.hpp>
#include <pleat/compress/transform.hpp>

namespace pleat::compress {

/// Who moves the steps of quantization-aware training.
enum class step_rule : std::uint8_t {
  learned,  ///< each step is a parameter: its gradient says whether to clip more or round finer (LSQ)
  largest   ///< each step follows the largest magnitude of its row or group: nothing clips (plain straight-through)
};

/// Moves the learned steps of a model's fake-quantized weights: to be called between reduce and step, as run::fit's `before_step` does; it
/// also zeroes the gradients of weights that are clipped. Adam on the logarithm-like scale of each step: a change is at most about `rate`
/// of the step. Every rank does the same with the sums that all have.
class step_learner {
 public:
  explicit step_learner(double rate = 1e-3) : rate_(rate) {}

  template <class Net> void operator()(parallel::model<Net>& m) {
    using T = typename parallel::model<Net>::value_type;
    using Space = typename parallel::model<Net>::execution_space;
    using form = codec::fake_quantized<T>;
    std::size_t next = 0;
    ++count_;
    m.net().for_each_parameter([&](auto& w) {
      if constexpr (requires { typename std::remove_cvref_t<decltype(w)>::forms; }) {
        if constexpr (std::remove_cvref_t<decltype(w)>::forms::template contains<form>) {
          if (w.absent || w.form_name() != form::name || !w.requires_grad) return;
          auto& s = w.storage_of(codec::form_tag<form>{});
          auto const n = static_cast<index_t>(s.steps.size());
          if (n == 0) return;
          auto const gradient = tensor<float, Space>::allocate(m.context(), {n});
          form::step_gradients(m.context(), w.shape, s, w.gradient(), gradient.data());
          std::vector<float> g(static_cast<std::size_t>(n));
          copy_to_host(m.context(), gradient, g.data());
          if (next == all_.size()) all_.push_back(start(form::host_steps(m.context(), s)));
          form::set_steps(m.context(), w.shape, moved(all_[next++], g, s.grid.half_steps), s);
        }
      }
    });
  }

 private:
  struct state {
    std::vector<double> step, first, second;
  };
  [[nodiscard]] static state start(std::vector<float> const& steps) {
    return {{steps.begin(), steps.end()}, std::vector<double>(steps.size(), 0.0), std::vector<double>(steps.size(), 0.0)};
  }
  [[nodiscard]] std::vector<float> moved(state& s, std::vector<float> const& gradient, bool half_steps) const {
    std::vector<float> out(s.step.size());
    double const t = static_cast<double>(count_), c1 = 1 - std::pow(0.9, t), c2 = 1 - std::pow(0.999, t);
    for (std::size_t i = 0; i < out.size(); ++i) {
      double const g = static_cast<double>(gradient[i]);
      s.first[i] = 0.9 * s.first[i] + 0.1 * g;
      s.second[i] = 0.999 * s.second[i] + 0.001 * g * g;
      if (s.second[i] > 0) s.step[i] *= std::max(0.5, 1 - rate_ * (s.first[i] / c1) / std::sqrt(s.second[i] / c2));
      auto const f = static_cast<float>(s.step[i]);
      out[i] = half_steps ? static_cast<float>(half(f)) : f;
    }
    return out;
  }

  double rate_;
  index_t count_ = 0;
  std::vector<state> all_;
};

/// Trains on with weights that multiply as codes of `Target`'s grid (form `fake_quantized`); `quantize<Target>` after it stores exactly the
/// codes and steps that were trained with. Steps begin at 2·mean|w|/√high per row or group (LSQ's start), the mean taken over what is not zero: what was pruned says nothing of
/// the scale. A row or group of zeros begins with the mean step of the weight.
///
///     model | (quantize_aware<codec::int4<float, 32>>{.train = fine_tune(train, {.epochs = 2})} | quantize<codec::int4<float, 32>>{})
///
/// What was pruned before stays zero. Without `.train` the weights only take the form: for a loop of one's own, with a step_learner.
template <class Target = codec::int8<float>> struct quantize_aware {
  using fusable_transform = void;
  template <class T> using form_set = codec::forms<codec::fake_quantized<T>, Target>;
  static constexpr bool trains_codes = true;
  static constexpr char const* what = "quantize_aware";

  std::optional<fine_tune> train{};
  step_rule steps = step_rule::learned;
  double step_rate = 1e-3;                    ///< largest relative change of a learned step per optimizer step, about
  compress::misfit misfit = misfit::refuse;   ///< when a weight's columns are no multiple of the grid's group; next is as ignore here
  bool first_layer = true, last_layer = true; ///< false: the first (last) weight that could be quantized stays as it is
  std::vector<std::string> ignore{};          ///< names that stay as they are; * and ? as in a shell
  listener on_note{};

  /// "quantize_aware int8"
  [[nodiscard]] std::string name() const { return std::string(what) + " " + std::string(Target::name); }

  [[nodiscard]] error_kind leaves_errors() const noexcept { return train ? error_kind::trained : error_kind::measured; }

  /// Collective. \throws error for a weight with NaN or infinity (by name), groups that do not divide (misfit::refuse), sharded optimizer
  ///         state or checkpoints with learned steps, no weight that is selected, or as run::fit does
  template <class Net> void run(parallel::model<Net>& m) const {
    using T = typename parallel::model<Net>::value_type;
    using form = codec::fake_quantized<T>;
    if (!(step_rate > 0 && step_rate < 0.5)) throw error{"compress::quantize_aware", "step_rate is the relative change of a step, in (0, 0.5), found " + std::to_string(step_rate)};
    if (steps == step_rule::learned && m.plan().state_stage != 0)
      throw error{"compress::quantize_aware", "the optimizer's state is sharded, and no rank holds the gradients of a whole row", "Give it model.unsharded(), or say .steps = step_rule::largest"};
    if (steps == step_rule::learned && train && !train->options().checkpoint.empty())
      throw error{"compress::quantize_aware", "steps are to be learned, and a checkpoint holds neither these nor how they move", "Train without .checkpoint, or let magnitudes decide: .steps = step_rule::largest"};
    std::vector<form_for> const none{};
    auto const chosen = detail::select_forms<codec::forms<Target>>(m, {none, misfit, first_layer, last_layer, ignore}, "compress::quantize_aware", on_note);
    comm::all_or_none(m.all_ranks(), [&] {
      m.net().for_each_parameter([&](auto& w) {
        if constexpr (requires { typename std::remove_cvref_t<decltype(w)>::forms; })
          if constexpr (std::remove_cvref_t<decltype(w)>::forms::template contains<form>)
            if (chosen.form_of(w.name) >= 0) take_form(m, w);
      });
    });
    m.refresh_masks();
    if (!train) return;
    auto options = train->options();
    if (steps == step_rule::learned) {
      auto const theirs = options.before_step;
      step_learner learner(step_rate);
      options.before_step = [&] {
        learner(m);
        if (theirs) theirs();
      };
      (void)pleat::run::fit(m, train->data(), options);
    } else {
      (void)pleat::run::fit(m, train->data(), options);
    }
  }

 private:
  template <class Model, class W> void take_form(Model& m, W& w) const {
    using T = typename W::value_type;
    using Space = typename W::execution_space;
    using form = codec::fake_quantized<T>;
    if (w.absent) return w.template use_form<form>();
    auto& c = m.context();
    auto const grid = codec::grid_of<Target>();
    typename form::template storage<Space> fresh;
    bool again = false;
    w.visit([&](auto tag, auto& s) {
      using F = typename decltype(tag)::type;
      if constexpr (std::is_same_v<F, codec::masked<T>>) fresh.bits = s.bits;
      if constexpr (std::is_same_v<F, form>) {
        fresh.bits = s.bits;
        if (s.grid == grid) fresh.steps = s.steps, again = s.steps.size() > 0;
      }
    });
    fresh.grid = grid;
    if (steps == step_rule::largest) fresh.steps = {};
    std::vector<float> host(static_cast<std::size_t>(w.size()));
    copy_to_host(c, tensor<T, Space>::wrap(w.data(), w.shape), host.data());
    try {
      detail::demand_finite<float>(w.whole(), w.box(), host);
      if (steps == step_rule::learned && !again) form::set_steps(c, w.shape, start(host, grid, grid.columns_per_step(w.shape)), fresh);
    } catch (error const& e) {
      throw error{"compress::quantize_aware", "'" + w.name + "': " + e.problem(), e.remedy()};
    }
    w.storage_of(codec::form_tag<form>{}) = std::move(fresh);
    w.template use_form<form>();
  }

  [[nodiscard]] static std::vector<float> start(std::vector<float> const& w, codec::code_grid const& grid, index_t columns) {
    std::vector<float> steps;
    for (std::size_t at = 0; at < w.size(); at += static_cast<std::size_t>(columns)) {
      double sum = 0;
      index_t alive = 0;
      for (std::size_t j = at; j < at + static_cast<std::size_t>(columns); ++j) {
        sum += std::fabs(static_cast<double>(w[j]));
        alive += w[j] != 0 ? 1 : 0;
      }
      auto const s = static_cast<float>(alive == 0 ? 0.0 : 2 * sum / static_cast<double>(alive) / std::sqrt(static_cast<double>(grid.high)));
      steps.push_back(grid.half_steps ? static_cast<float>(half(s)) : s);
    }
    // A step is learned by factors, so one of zero would stay zero, and its weights with it.
    double sum = 0;
    std::ptrdiff_t const zeros = std::count(steps.begin(), steps.end(), 0.0f), others = static_cast<std::ptrdiff_t>(steps.size()) - zeros;
    for (float const s : steps) sum += static_cast<double>(s);
    if (zeros > 0) {
      auto mean = static_cast<float>(others > 0 ? sum / static_cast<double>(others) : 1e-2 / static_cast<double>(grid.high));
      if (grid.half_steps) mean = static_cast<float>(half(mean));
      std::replace(steps.begin(), steps.end(), 0.0f, mean);
    }
    return steps;
  }
};

}  // namespace pleat::compress
