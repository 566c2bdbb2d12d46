// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// GPTQ: codes that make up for each other's errors on what the layer really multiplies with.
#pragma once

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/codec/blocks.hpp>
#include <pleat/codec/masked.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/detail/gptq_rows.hpp>
#include <pleat/compress/layer_inputs.hpp>
#include <pleat/compress/form_choice.hpp>
#include <pleat/compress/transform.hpp>
#include <pleat/compute/cholesky.hpp>

namespace pleat::compress {

/// What GPTQ did to one weight. Losses are tr((W − Ŵ)·H·(W − Ŵ)ᵀ), H = (2/N)·Σ x·xᵀ over the calibration set, without
/// damping.
struct gptq_result {
  std::string name, form;
  double loss = 0;      ///< of what is stored now
  double rounding = 0;  ///< of rounding to nearest, the form's own encoder
  /// rounding was no worse, or H could not be factored: the form's own encoder's codes are stored
  bool rounded = false;
};

/// In which order a row's columns take their codes.
enum class act_order : std::uint8_t {
  /// as they lie; a group's scale is found when its turn comes, from columns that have made up for the errors before
  natural,
  /// by falling diag(H), with the scales that the original row has: the stored layout stays, no cost at run time
  static_groups
};

/// Gives weights a form of four to eight bits column by column: the error of each code is made up for by the columns
/// that follow, weighted by what the inputs say (E. Frantar et al., GPTQ, ICLR 2023). For the forms with blocks or
/// groups and int8.
///
///     model | gptq<codec::int4<float, 128>>{.data = calibration(data.train, 128)}
///
/// Weight by weight in forward order; the inputs of each are those behind the quantized weights before it
/// (`sequential`). For each: damping dampening_frac·mean(diag H) on the diagonal; inputs that never came have no say,
/// their weights become zero. The result is compared with rounding to nearest in the same norm, for the whole weight
/// wherever its rows are, and the better one is stored. What was pruned stays zero in forms where a zero is one.
///
/// The same bytes on any number of ranks: sums over samples are those of layer_inputs, the rest is one chain per
/// element whatever the blocks and threads. A weight cut by rows is solved in parts; one that is cut by columns is put
/// together for the time of its solution, one layer at a time. Over a pipeline every stage solves its own.
template <class Form = codec::int4<float, 128>, class... Others> struct gptq {
  using fusable_transform = void;
  using choice_list = codec::forms<Form, Others...>;
  template <class T> using form_set = choice_list;
  static constexpr bool encodes = true;        ///< weights leave it in forms that are stored, not trained
  static constexpr bool takes_parts = true;    ///< runs where weights are cut over the tensor axis
  static constexpr bool takes_shards = true;   // layer by layer
  static constexpr char const* what = "gptq";  ///< its name in reports and errors

  calibration data{};        ///< samples whose inputs decide
  index_t block_size = 128;  ///< columns whose errors are handed on together: time, never bits
  double dampening_frac = 0.01;
  act_order actorder = act_order::natural;
  /// false: one walk over the samples for all weights, each with the inputs of the original model
  bool sequential = true;
  std::vector<form_for> forms{};             ///< forms by name; the first pattern that fits counts
  compress::misfit misfit = misfit::refuse;  ///< when a weight's columns are no multiple of the form's block
  bool first_layer = true,
       last_layer = true;             ///< false: the first (last) weight that could be quantized stays as it is
  std::vector<std::string> ignore{};  ///< names that stay as they are; * and ? as in a shell
  std::function<void(gptq_result const&)> on_layer{};  ///< on every rank that has the weight
  listener on_note{};                                  ///< hears what stays as it was, and why

  /// "gptq int4_g128"
  [[nodiscard]] std::string name() const {
    std::string s = std::string(what) + " " + std::string(Form::name);
    ((s += "|" + std::string(Others::name)), ...);
    return s;
  }

  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const {
    say("data", data), say("block_size", block_size), say("dampening_frac", dampening_frac);
    say("actorder", actorder, {"natural", "static_groups"}), say("sequential", sequential);
    detail::say_forms(say, {forms, misfit, first_layer, last_layer, ignore});
  }

  /// Collective. \throws error for an empty calibration set, a block size below 1, a negative or infinite damping,
  /// weights or inputs with NaN
  ///         or infinity (by name), groups that do not divide (misfit::refuse), weights that were trained with codes
  ///         (quantize_aware), or if no weight is selected
  template <class Net> void run(parallel::model<Net>& m) const {
    if (data.empty())
      throw error{call, "the calibration set is empty", "Give it samples: .data = calibration(data.train, 128)"};
    if (block_size < 1)
      throw error{call, "block_size must be at least 1, found " + std::to_string(block_size),
                  "Leave it at 128: it decides about time, not about bits"};
    if (!(dampening_frac >= 0) || !std::isfinite(dampening_frac))
      throw error{call,
                  "dampening_frac is a finite number that is not negative, found " + std::to_string(dampening_frac),
                  "0.01 is usual"};
    auto const plan =
        detail::select_forms<choice_list>(m, {forms, misfit, first_layer, last_layer, ignore}, call, on_note);
    m.net().for_each_parameter([&](auto& w) {
      if constexpr (detail::can_take<decltype(w), choice_list>)
        if (plan.form_of(w.name) >= 0) detail::demand_no_trained_codes(w, call, what);
    });
    std::vector<layer_input> all;
    if (!sequential)
      all = layer_inputs(m, data, {.only = [&](nn::parameter const& w) { return plan.form_of(w.name) >= 0; }});
    std::vector<std::int64_t> why(plan.chosen.size(), 0);
    for (std::size_t at = 0; at < plan.chosen.size(); ++at) {
      auto const& chosen = plan.chosen[at].first;
      std::vector<layer_input> one;
      if (sequential) one = layer_inputs(m, data, {.only = [&](nn::parameter const& w) { return w.name == chosen; }});
      layer_input const* input = nullptr;
      for (auto const& l : sequential ? one : all)
        if (l.name == chosen) input = &l;
      comm::all_or_none(m.all_ranks(), [&] {
        m.net().for_each_parameter([&](auto& w) {
          if constexpr (detail::can_take<decltype(w), choice_list>)
            if (w.name == chosen)
              codec::visit_form<choice_list>(plan.chosen[at].second, [&](auto tag) {
                why[at] = static_cast<std::int64_t>(solve<typename decltype(tag)::type>(m, w, input));
              });
        });
      });
    }
    m.all_ranks().all_reduce(why, comm::reduction::max);  // of the other stages too
    std::string rounded;
    for (std::size_t at = 0; at < why.size(); ++at)
      if (why[at] > 0)
        rounded +=
            (rounded.empty() ? "'" : "; '") + plan.chosen[at].first + "' is rounded to nearest: " + words_of[why[at]];
    if (!rounded.empty()) detail::say(m, on_note, std::string(call) + ": " + rounded);
    m = m.rebuild(m.net());  // an arena without the encoded weights
  }

 private:
  static constexpr char const* call = "compress::gptq";
  /// Why a weight is rounded to nearest.
  enum class reason : std::int64_t { none, no_inputs, no_factor, no_better };
  static constexpr char const* words_of[] = {"", "nothing came through it in the calibration set",
                                             "H could not be factored; a larger dampening_frac may help",
                                             "that is better in the norm of its inputs"};

  template <class F, class Model, class W> reason solve(Model& m, W& w, layer_input const* input) const {
    reason why = reason::none;
    using T = typename W::value_type;
    using Space = typename W::execution_space;
    static_assert(
        detail::gptq_solves<F>,
        "pleat: gptq is for forms that store codes with scales: int8, int4, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q6_k");
    if (!w.absent) {
      auto& c = m.context();
      bool const by_columns = w.parts > 1 && w.where.shards() && w.where.dim > 0;
      extents const shape = by_columns ? w.whole() : w.shape;
      std::vector<float> values(static_cast<std::size_t>(w.size()));
      std::vector<std::uint8_t> dead(values.size(), 0);
      {
        auto const here = m.open(w);
        copy_to_host(c, tensor<T, Space>::wrap(w.data(), w.shape), values.data());
      }
      w.visit([&](auto tag, auto const& s) {
        if constexpr (std::is_same_v<typename decltype(tag)::type, codec::masked<T>>) {
          auto const bits = codec::masked<T>::mask(c, w.shape, s);
          for (std::size_t i = 0; i < dead.size(); ++i)
            dead[i] = codec::detail::bit_at(bits.data(), static_cast<index_t>(i)) ? 0 : 1;
        }
      });
      if (by_columns) {
        values = together(m, w, values);
        dead = together(m, w, dead);
      }
      bool const by_rows = w.parts > 1 && w.where.shards() && !by_columns;
      trial found;
      auto const try_both = [&] {
        detail::demand_finite<float>(w.whole(), by_columns ? index_box(w.whole()) : w.box(), values);
        found = try_ways<F>(c, shape, values, dead, input);
      };
      std::optional<error> failed;
      if (by_rows) {
        failed = comm::attempt(m.parts(), try_both);
      } else {
        try {
          try_both();
        } catch (error const& e) {
          failed.emplace(e);
        }
      }
      if (failed) throw error{call, "'" + w.name + "': " + failed->problem(), failed->remedy()};
      // rows are solved where they are, but the whole weight has one norm, and one answer
      if (by_rows) found.sum(m.parts());
      why = found.decide();
      auto& stored = why == reason::none ? found.solved : found.nearest;
      if (by_columns) {
        for (auto& p : stored) p = detail::columns_of_part<F>(p, w.whole(), w.box());
      }
      try {
        typename F::template storage<Space> fresh;
        detail::store_parts<F>(c, w.shape, stored, fresh);
        w.storage_of(codec::form_tag<F>{}) = std::move(fresh);
      } catch (error const& e) {
        throw error{call, "'" + w.name + "': " + e.problem(), e.remedy()};
      }
      if (on_layer)
        on_layer({w.name, std::string(F::name), why == reason::none ? found.loss : found.rounding, found.rounding,
                  why != reason::none});
    }
    w.template use_form<F>();
    w.follow_form(false);
    return why;
  }

  /// The whole weight on every rank of the tensor axis: others' parts are zero here, so a sum puts them together
  /// exactly.
  template <class Model, class W, class V>
  [[nodiscard]] static std::vector<V> together(Model& m, W const& w, std::vector<V> const& mine) {
    std::vector<float> whole(static_cast<std::size_t>(w.whole().size()), 0.0f);
    std::size_t next = 0;
    codec::detail::for_each_of_part(
        w.whole(), w.box(), [&](index_t i) { whole[static_cast<std::size_t>(i)] = static_cast<float>(mine[next++]); });
    m.parts().all_reduce(whole);
    return {whole.begin(), whole.end()};
  }

  /// Both ways of coding a weight, or some of its rows, and what each loses.
  struct trial {
    std::vector<codec::file_tensor> solved, nearest;
    double loss = 0, rounding = 0;
    reason why = reason::none;

    /// Over the ranks that have the other rows, in their order: the same bits on each.
    void sum(comm::communicator& parts) {
      std::vector<double> const mine{loss, rounding, static_cast<double>(why)};
      std::vector<double> all(3 * static_cast<std::size_t>(parts.size()));
      parts.all_gather(mine, all);
      loss = rounding = 0;
      for (std::size_t r = 0; r < all.size(); r += 3)
        loss += all[r], rounding += all[r + 1], why = std::max(why, static_cast<reason>(all[r + 2]));
    }
    [[nodiscard]] reason decide() const noexcept {
      return why == reason::none && !(loss <= rounding) ? reason::no_better : why;
    }
  };

  template <class F, class Space>
  [[nodiscard]] trial try_ways(context<Space>& c, extents const& shape, std::vector<float> const& values,
                               std::vector<std::uint8_t> const& dead, layer_input const* input) const {
    // Where the library works on a device, the solution is the host's.
    using host_space = std::conditional_t<compute::is_host_space_v<Space>, Space, Kokkos::DefaultHostExecutionSpace>;
    host_space host{};
    if constexpr (std::is_same_v<host_space, Space>) host = c.space();
    trial t;
    t.nearest = detail::rounded_parts<F>(shape, values);
    if (!input) {
      t.why = reason::no_inputs;
      return t;
    }
    for (double const x : input->gram)
      if (!std::isfinite(x))
        throw error{"", "its inputs hold NaN or infinity in the calibration set",
                    "Look at its samples, and at the layers before"};
    t.rounding = detail::h_loss(host, shape, values, detail::decoded_parts<F>(shape, t.nearest), *input);
    t.solved = detail::gptq_image<F>(host, shape, values, dead, *input,
                                     {block_size, dampening_frac, actorder == act_order::static_groups});
    if (t.solved.empty()) t.why = reason::no_factor;
    else t.loss = detail::h_loss(host, shape, values, detail::decoded_parts<F>(shape, t.solved), *input);
    return t;
  }
};

}  // namespace pleat::compress
