// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Quantization-aware training: the weights train on while every product takes the codes that they will be stored in.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/codec/detail/counted_sum.hpp>
#include <pleat/codec/detail/exact_sum.hpp>
#include <pleat/codec/fake_quantized.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/codec/learned_steps.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/fine_tune.hpp>
#include <pleat/compress/form_choice.hpp>
#include <pleat/compress/static_activations.hpp>
#include <pleat/compress/transform.hpp>

namespace pleat::compress {

/// Who moves the steps of quantization-aware training.
enum class step_rule : std::uint8_t {
  learned,  ///< each step is a parameter: its gradient says whether to clip more or round finer (LSQ)
  largest   ///< each step follows the largest magnitude of its row or group: nothing clips (plain straight-through)
};

/// What moves the scales by which the inputs of weights are rounded.
enum class input_rule : std::uint8_t {
  observed,  ///< nothing new: each stays what the observer found, and one that is learned already goes on
  learned    ///< the gradient of each, as of the steps of weights (LSQ); the observer says where it begins
};

/// Moves the learned steps of a model's fake-quantized weights, and the learned scales of their inputs: to be called
/// between reduce and step, as run::fit's `before_step` does; it also zeroes the gradients of weights that are clipped.
/// Adam on the logarithm-like scale of each step: a change is at most about `rate` of the step. What it knows of the
/// past lies beside the steps (codec/learned_steps.hpp) and goes into checkpoints.
///
/// Every rank sums over the elements whose gradients it has; a step whose elements are on several ranks (shards of the
/// optimizer's state, parts of a row over the tensor axis) gets the sum over them, exactly, before it is scaled. So all
/// who have a step move it alike, and where the gradients of the weights have the same bits, the steps have them too.
/// The scale of a weight's inputs gets the sum over all samples of the step, and over the parts of the weight, exactly,
/// so its bits are the same wherever those of the samples' gradients are. Collective over those ranks.
class step_learner {
 public:
  explicit step_learner(double rate = 1e-3) : rate_(rate) {}

  template <class Net> void operator()(parallel::model<Net>& m) {
    (void)m.arena();  // gradients have come
    move_steps(m);
    move_inputs(m);
  }

 private:
  template <class Net> void move_steps(parallel::model<Net>& m) {
    largest_.clear(), shared_.clear();
    for_each_learning(m, [&](auto& w, auto& s, auto form) {
      using F = decltype(form);
      auto const at = largest_.size();
      largest_.resize(at + s.learned.size(), 0.0);
      shared_.resize(largest_.size(),
                     s.grid.group == 0 && w.parts > 1 && w.where.shards() && w.where.dim > 0 ? char{1} : char{0});
      auto const here = m.summed(w);
      F::largest_shares(m.context(), w.shape, s, here.range, here.values, here.gradient,
                        std::span(largest_).subspan(at));
    });
    if (largest_.empty()) return;
    bring_together(m, largest_, comm::reduction::max);
    sums_.assign(largest_.size(), 0);
    std::size_t at = 0;
    for_each_learning(m, [&](auto& w, auto& s, auto form) {
      using F = decltype(form);
      auto const mine = std::span(largest_).subspan(at, s.learned.size());
      for (auto& x : mine) x = codec::detail::count_factor(x, columns_of_step(w, s.grid));
      auto const here = m.summed(w);
      F::add_shares(m.context(), w.shape, s, here.range, here.values, here.gradient, mine,
                    std::span(sums_).subspan(at, mine.size()));
      at += mine.size();
    });
    bring_together(m, sums_, comm::reduction::sum);
    at = 0;
    for_each_learning(m, [&](auto& w, auto& s, auto form) {
      using F = decltype(form);
      double const scale = F::scale_of(s.grid, columns_of_step(w, s.grid));
      for (std::size_t i = 0; i < s.learned.size(); ++i, ++at)
        move(s.learned, i, codec::detail::counted_total(sums_[at], largest_[at]) * scale);
      F::use_learned(m.context(), s);
    });
  }

  template <class Net> void move_inputs(parallel::model<Net>& m) {
    using shares = codec::detail::input_shares;
    sums_.clear();
    for_each_trained(m, [&](auto&, auto& s, auto form) {
      if (!decltype(form)::learns_inputs(s)) return;
      sums_.resize(sums_.size() + shares::width);
      s.input_shares.put(sums_.data() + sums_.size() - shares::width);
    });
    if (sums_.empty()) return;
    if (m.ranks().size() > 1) m.ranks().all_reduce(sums_);
    if (m.parts().size() > 1) m.parts().all_reduce(sums_);
    auto const* from = sums_.data();
    for_each_trained(m, [&](auto& w, auto& s, auto form) {
      using F = decltype(form);
      if (!F::learns_inputs(s)) return;
      shares all;
      all.add(from), from += shares::width;
      move(s.learned_input, 0, F::input_gradient(w.whole(), all));
      F::use_learned_input(s);
    });
  }

  /// f(weight&, storage&, form) for every weight that is here and learns its steps.
  template <class Net, class F> static void for_each_learning(parallel::model<Net>& m, F&& f) {
    for_each_trained(m, [&](auto& w, auto& s, auto form) {
      if (s.steps.size() > 0) f(w, s, form);
    });
  }
  /// f(weight&, storage&, form) for every weight that is here and trains as codes.
  template <class Net, class F> static void for_each_trained(parallel::model<Net>& m, F&& f) {
    using form = codec::fake_quantized<typename parallel::model<Net>::value_type>;
    m.net().for_each_parameter([&](auto& w) {
      if constexpr (requires { typename std::remove_cvref_t<decltype(w)>::forms; }) {
        if constexpr (std::remove_cvref_t<decltype(w)>::forms::template contains<form>) {
          if (w.absent || w.form_name() != form::name || !w.requires_grad) return;
          f(w, w.storage_of(codec::form_tag<form>{}), form{});
        }
      }
    });
  }
  [[nodiscard]] static index_t columns_of_step(nn::parameter const& w, codec::code_grid const& grid) {
    return grid.columns_per_step(w.whole());
  }

  /// Over the ranks that have elements of a step: the shards of the optimizer's state, and, of a row that is cut, its
  /// parts.
  template <class Net, class T>
  void bring_together(parallel::model<Net>& m, std::vector<T>& numbers, comm::reduction how) {
    if (auto* const shards = m.state_shards(); shards && shards->size() > 1) shards->all_reduce(numbers, how);
    if (m.parts().size() == 1 || std::find(shared_.begin(), shared_.end(), char{1}) == shared_.end()) return;
    auto& of_rows = std::get<std::vector<T>>(of_rows_);
    of_rows.clear();
    for (std::size_t i = 0; i < numbers.size(); ++i)
      if (shared_[i]) of_rows.push_back(numbers[i]);
    m.parts().all_reduce(of_rows, how);
    for (std::size_t i = 0, next = 0; i < numbers.size(); ++i)
      if (shared_[i]) numbers[i] = of_rows[next++];
  }

  void move(codec::learned_steps& s, std::size_t i, double g) const {
    if (!std::isfinite(g)) return;  // training says so
    double& first = s.at(codec::learned_steps::first_moment, i);
    double& second = s.at(codec::learned_steps::second_moment, i);
    double const t = s.at(codec::learned_steps::moves, i) += 1;
    double const c1 = 1 - std::pow(0.9, t), c2 = 1 - std::pow(0.999, t);
    first = 0.9 * first + 0.1 * g;
    second = 0.999 * second + 0.001 * g * g;
    if (second > 0)
      s.at(codec::learned_steps::value, i) *= std::max(0.5, 1 - rate_ * (first / c1) / std::sqrt(second / c2));
  }

  double rate_;
  // Kept, so that steps after the first allocate nothing. Per step of this rank's weights: the largest share, then
  // what shares are counted in; the sums of the shares, then those of inputs.
  std::vector<double> largest_;
  std::vector<std::int64_t> sums_;
  std::vector<char> shared_;  // whether a step is that of a row whose parts are on several ranks
  std::tuple<std::vector<double>, std::vector<std::int64_t>> of_rows_;  // what those bring together
};

/// Trains on with weights that multiply as codes of `Target`'s grid (form `fake_quantized`); `quantize<Target>` after
/// it stores exactly the codes and steps that were trained with. Steps begin at 2·mean|w|/√high per row or group (LSQ's
/// start), the mean taken over what is not zero: what was pruned says nothing of the scale. A row or group of zeros
/// begins with the mean step of the weight.
///
///     model | (quantize_aware<codec::int4<float, 32>>{.train = fine_tune(train, {.epochs = 2})} | quantize<codec::int4<float, 32>>{})
///
/// Activations stay floats unless `.activations` holds data: then that observer finds one scale for the inputs of each
/// weight (int8 alone), in what the samples give before training begins, and every product from then on is int8's own,
/// in integers: training sees the very numbers that the stored form will give. Gradients go straight through, but for
/// inputs beyond ±127 steps, which get none. `quantize<Target>` stores that scale too. It stays as the observer found
/// it, or, with `.inputs = input_rule::learned`, begins there and is a parameter like the weights' steps: LSQ's gradient
/// round(x/s) − x/s inside and ±127 outside, over √(N·127), N the inputs of one output. (The paper begins at
/// 2·mean|x|/√127, which suits few bits; at eight, what the observer finds lies nearer.)
///
///     quantize_aware<>{.train = …, .activations = static_activations{.data = calibration(train, 300)}} | quantize<>{}
///     quantize_aware<>{.train = …, .activations = static_activations{…}, .inputs = input_rule::learned} | quantize<>{}
///
/// A model that was trained so before keeps its scales where `.activations` is empty: learned ones go on with what they
/// know of the past, and with `.inputs = input_rule::learned` observed ones are learned from where they are.
///
/// What encodes such weights after it must store those codes: another form of quantize, gptq and factors would put
/// others in their place, and are refused, by the compiler in a pipeline, else by the name of the weight.
///
/// What was pruned before stays zero. Without `.train` the weights only take the form: for a loop of one's own, with a
/// step_learner.
///
/// Works on every mesh and under every state stage, where the weights are: a row's or group's step lives with it; rows
/// that are cut over the tensor axis (parallel::row) have one step on all its ranks; sharded parameters (state_stage =
/// 3) stay in pieces. Checkpoints have the steps.
template <class Target = codec::int8<float>> struct quantize_aware {
  using fusable_transform = void;
  template <class T> using form_set = codec::forms<codec::fake_quantized<T>, Target>;
  static constexpr bool trains_codes = true;
  using trained_codes = Target;
  static constexpr bool takes_parts = true;              ///< runs where weights are cut over the tensor axis
  static constexpr bool takes_shards = true;             ///< runs where parameters are in pieces (state_stage = 3)
  static constexpr char const* what = "quantize_aware";  ///< its name in reports and errors

  std::optional<fine_tune> train{};
  step_rule steps = step_rule::learned;
  std::optional<static_activations>
      activations{};  ///< data for static activations; empty: floats, or the scales of a training before
  /// whether their scales move while training goes on; those of a training before go on without .activations
  input_rule inputs = input_rule::observed;
  double step_rate = 1e-3;  ///< largest relative change of a learned step per optimizer step, about
  /// when a weight's columns are no multiple of the grid's group; next is as ignore here
  compress::misfit misfit = misfit::refuse;
  bool first_layer = true,
       last_layer = true;             ///< false: the first (last) weight that could be quantized stays as it is
  std::vector<std::string> ignore{};  ///< names that stay as they are; * and ? as in a shell
  listener on_note{};                 ///< hears what stays as it was, and why

  /// "quantize_aware int8"
  [[nodiscard]] std::string name() const { return std::string(what) + " " + std::string(Target::name); }

  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const {
    say("train", train), say("steps", steps, {"learned", "largest"}), say("activations", activations);
    say("inputs", inputs, {"observed", "learned"}), say("step_rate", step_rate);
    std::vector<form_for> const none{};
    detail::say_forms(say, {none, misfit, first_layer, last_layer, ignore});
  }

  [[nodiscard]] error_kind leaves_errors() const noexcept { return train ? error_kind::trained : error_kind::measured; }

  /// Collective. \throws error for a weight with NaN or infinity (by name), groups that do not divide (misfit::refuse),
  /// steps that follow the magnitudes of rows that are cut over the tensor axis, no weight that is selected, an empty
  /// calibration set, activations of a form other than int8, learned scales of inputs that are not rounded, or as
  /// run::fit does
  template <class Net> void run(parallel::model<Net>& m) const {
    using form = codec::fake_quantized<typename parallel::model<Net>::value_type>;
    if (!(step_rate > 0 && step_rate < 0.5))
      throw error{"compress::quantize_aware",
                  "step_rate is the relative change of a step, in (0, 0.5), found " + std::to_string(step_rate),
                  "Leave it at 1e-3: a thousandth of a step for every step of the optimizer"};
    if (activations) {
      activations->check("compress::quantize_aware");
      if constexpr (!std::is_same_v<Target, codec::int8<float>>)
        throw error{
            "compress::quantize_aware",
            "static activations are for codec::int8, and the codes are those of '" + std::string(Target::name) + "'",
            "Leave .activations empty: block forms quantize activations as they come"};
    }
    std::vector<form_for> const none{};
    auto const chosen = detail::select_forms<codec::forms<Target>>(m, {none, misfit, first_layer, last_layer, ignore},
                                                                   "compress::quantize_aware", on_note);
    auto const for_each_chosen = [&](auto&& f) {
      m.net().for_each_parameter([&](auto& w) {
        if constexpr (requires { typename std::remove_cvref_t<decltype(w)>::forms; })
          if constexpr (std::remove_cvref_t<decltype(w)>::forms::template contains<form>)
            if (chosen.form_of(w.name) >= 0) f(w);
      });
    };
    if (inputs == input_rule::learned && !activations) demand_scales(m, for_each_chosen);
    comm::all_or_none(m.all_ranks(), [&] { for_each_chosen([&](auto& w) { demand_usable(m, w); }); });
    comm::attempts taken;  // what one rank of a stage finds wrong, all of that stage do
    taken([&] { for_each_chosen([&](auto& w) { take_form(m, w); }); });
    taken.meet(m.all_ranks());
    m.refresh_masks();
    if (activations)
      detail::give_input_scales(
          m, *activations, "compress::quantize_aware", on_note,
          [&](auto&& f) { for_each_chosen([&](auto& w) { f(w, w.storage_of(codec::form_tag<form>{})); }); },
          [&](auto& s, float range) {
            form::set_input_range(s, range);
            if (inputs == input_rule::learned) form::learn_inputs(s);
          });
    if (!train) return;
    auto options = train->options();
    auto const theirs = options.before_step;
    step_learner learner(step_rate);  // of what is learned, now or from a training before
    options.before_step = [&] {
      learner(m);
      if (theirs) theirs();
    };
    (void)pleat::run::fit(m, train->data(), options);
  }

 private:
  /// The numbers of a weight that this rank has.
  template <class Model, class W> [[nodiscard]] static std::vector<float> numbers_here(Model const& m, W const& w) {
    using Space = typename W::execution_space;
    auto const here = m.held(w);
    std::vector<float> numbers(static_cast<std::size_t>(here.range.size()));
    copy_to_host(m.context(), tensor<typename W::value_type, Space>::wrap(here.values, {here.range.size()}),
                 numbers.data());
    return numbers;
  }

  /// Scales that are to be learned begin where an earlier training left them, for want of samples to find others in.
  /// \throws error if no weight has one; those that have none among others that have are named
  template <class Model, class Each> void demand_scales(Model const& m, Each const& for_each_chosen) const {
    std::vector<std::int64_t> has;  // by weight, in the order of the network, which all stages know
    std::vector<std::string> names;
    for_each_chosen([&](auto& w) {
      names.push_back(w.name);
      has.push_back(w.absent ? 0 : w.visit([](auto tag, auto const& s) -> std::int64_t {
        using form = codec::fake_quantized<typename std::remove_cvref_t<decltype(w)>::value_type>;
        if constexpr (std::is_same_v<typename decltype(tag)::type, form>)
          return form::rounds_inputs(s) && s.grid == codec::grid_of<Target>() ? 1 : 0;
        else return 0;
      }));
    });
    m.all_ranks().all_reduce(has, comm::reduction::max);
    std::string without;
    for (std::size_t i = 0; i < has.size(); ++i)
      if (has[i] == 0) without += (without.empty() ? "'" : ", '") + names[i] + "'";
    if (std::find(has.begin(), has.end(), 1) == has.end())
      throw error{"compress::quantize_aware",
                  "the scales of inputs are to be learned, and inputs stay floats: .activations holds no data, and no "
                  "weight has a scale from a training before",
                  std::is_same_v<Target, codec::int8<float>>
                      ? "Say .activations = static_activations{.data = calibration(train, 300)}, where they begin, or "
                        "leave .inputs as it is"
                      : "Leave .inputs as it is: block forms quantize activations as they come"};
    if (!without.empty())
      detail::say(m, on_note,
                  "compress::quantize_aware: the inputs of " + without +
                      " stay floats: they have no scale from a training before; .activations would find one");
  }

  /// Not collective. \throws error that names the weight
  template <class Model, class W> void demand_usable(Model const& m, W const& w) const {
    if (w.absent) return;
    try {
      detail::demand_finite<float>(w.whole(), w.box(), numbers_here(m, w), m.held(w).range.begin);
      bool const by_columns = w.parts > 1 && w.where.shards() && w.where.dim > 0;
      if (steps == step_rule::largest && by_columns && codec::grid_of<Target>().group == 0)
        codec::fake_quantized<typename W::value_type>::refuse_cut_rows();
    } catch (error const& e) {
      throw error{"compress::quantize_aware", "'" + w.name + "': " + e.problem(), e.remedy()};
    }
  }

  /// Collective over those who have the weight's elements.
  template <class Model, class W> void take_form(Model& m, W& w) const {
    using T = typename W::value_type;
    using form = codec::fake_quantized<T>;
    if (w.absent) return w.template use_form<form>();
    auto const grid = codec::grid_of<Target>();
    typename form::template storage<typename W::execution_space> fresh;
    fresh.grid = grid;
    bool again = false;
    w.visit([&](auto tag, auto& s) {
      using F = typename decltype(tag)::type;
      if constexpr (std::is_same_v<F, codec::masked<T>>) fresh.bits = s.bits;
      if constexpr (std::is_same_v<F, form>) {
        fresh.bits = s.bits;
        if (s.grid == grid && !activations) {  // trained with before
          fresh.input_scale = s.input_scale, fresh.learned_input = s.learned_input;
          if (inputs == input_rule::learned && !form::learns_inputs(fresh)) form::learn_inputs(fresh);
        }
        if (steps == step_rule::learned && s.grid == grid && s.steps.size() > 0)
          fresh.steps = s.steps, fresh.learned = s.learned, again = true;
      }
    });
    // A part without rows has no steps, and goes the way of the others.
    if (w.parts > 1 && w.where.shards()) again = m.parts().all_reduce_value(again ? 1 : 0, comm::reduction::max) == 1;
    if (steps == step_rule::learned && !again) form::set_steps(m.context(), w.shape, start(m, w, grid), fresh);
    w.storage_of(codec::form_tag<form>{}) = std::move(fresh);
    w.template use_form<form>();
  }

  /// The first steps of this rank's part. The sums of the whole weight's magnitudes are exact: the same bits however it
  /// is cut. Collective as take_form.
  template <class Model, class W>
  [[nodiscard]] static std::vector<float> start(Model const& m, W const& w, codec::code_grid const& grid) {
    constexpr std::size_t width = 1 + codec::detail::exact_sum::limbs;  // how many live, and their sum
    auto const places = codec::places_of_steps(w.whole(), w.box(), grid.group);
    extents const mine = places.here.shape();
    auto const place = [&](index_t s) {  // of a step of the part among those of the whole
      return static_cast<std::size_t>((places.here[1].begin + s / mine[2]) * places.whole[2] + places.here[2].begin +
                                      s % mine[2]);
    };
    std::vector<std::int64_t> sums(width * static_cast<std::size_t>(places.whole.size_from(1)), 0);
    auto const numbers = numbers_here(m, w);
    index_t const columns = grid.columns_per_step(w.shape), first = m.held(w).range.begin;
    for (std::size_t i = 0; i < numbers.size();) {
      index_t const step = (first + static_cast<index_t>(i)) / columns;
      auto const end = std::min(numbers.size(), static_cast<std::size_t>((step + 1) * columns - first));
      auto* const to = sums.data() + width * place(step);
      codec::detail::exact_sum sum;
      for (; i < end; ++i) {
        sum.add(std::fabs(numbers[i]));
        to[0] += numbers[i] != 0 ? 1 : 0;
      }
      for (std::size_t k = 0; k < sum.limb.size(); ++k) to[1 + k] += sum.limb[k];
    }
    if (auto* const shards = m.shards(); shards && shards->size() > 1) shards->all_reduce(sums);
    if (w.parts > 1 && w.where.shards()) m.parts().all_reduce(sums);

    std::vector<float> all;
    double total = 0;
    index_t zeros = 0;
    for (std::size_t at = 0; at < sums.size(); at += width) {
      codec::detail::exact_sum sum;
      std::copy_n(sums.begin() + static_cast<std::ptrdiff_t>(at + 1), sum.limb.size(), sum.limb.begin());
      auto const s = static_cast<float>(sums[at] == 0 ? 0.0
                                                      : 2 * sum.value() / static_cast<double>(sums[at]) /
                                                            std::sqrt(static_cast<double>(grid.high)));
      all.push_back(grid.half_steps ? static_cast<float>(half(s)) : s);
      if (!std::isfinite(all.back()))
        throw error{"compress::quantize_aware",
                    "'" + w.name + "': its weights are about " + std::to_string(s) + " times " +
                        std::to_string(grid.high) + ", beyond steps of 16 bits",
                    "Train again with a lower learning rate, or use a form with wide steps (int8)"};
      total += static_cast<double>(all.back());
      zeros += all.back() == 0 ? 1 : 0;
    }
    // A step is learned by factors, so one of zero would stay zero, and its weights with it.
    if (zeros > 0) {
      auto const others = static_cast<index_t>(all.size()) - zeros;
      auto mean =
          static_cast<float>(others > 0 ? total / static_cast<double>(others) : 1e-2 / static_cast<double>(grid.high));
      if (grid.half_steps) mean = static_cast<float>(half(mean));
      std::replace(all.begin(), all.end(), 0.0f, mean);
    }
    std::vector<float> steps;
    for (index_t s = 0; s < mine.size_from(1); ++s) steps.push_back(all[place(s)]);
    return steps;
  }
};

}  // namespace pleat::compress
