// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Post-training quantization: weights take an encoded form, by name, per output channel, without training.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <variant>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/code_grid.hpp>
#include <pleat/codec/detail/codebook_options.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/detail/cut_ranges.hpp>
#include <pleat/compress/detail/store_factors.hpp>
#include <pleat/compress/detail/whole_weight.hpp>
#include <pleat/compress/observers.hpp>
#include <pleat/compress/form_choice.hpp>
#include <pleat/compress/static_activations.hpp>
#include <pleat/compress/transform.hpp>

namespace pleat::compress {

/// What shares one step of int8: an output channel (a row of the matrix), or the whole weight.
enum class per { channel, tensor };

/// Gives every weight matrix and kernel a form of a closed list: `Form` unless `.forms` says otherwise by name. Zeros
/// stay zero (but for ggml's types with a minimum), so that what was pruned stays pruned. Biases, norms and statistics
/// keep their numbers. Encoded weights are frozen: fine-tuning goes on around them.
///
///     model | quantize<codec::int8<float>>{.observer = percentile{99.99}, .ignore = {"fc3.*"}}
///     model | quantize<codec::q4_k<float>, codec::q4_0<float>, codec::q8_0<float>>{.forms = {{"*attention*", "q8_0"}}, .misfit = misfit::next}
///     model | quantize<>{.activations = static_activations{.data = calibration(train, 300), .observer = kl_divergence{}}}
///
/// The weight observer chooses the range of each row for forms that take one (int8), or, where `.scales = per::tensor`,
/// of the whole weight: coarser steps, for runtimes that know nothing finer. int8 products quantize activations as they
/// come, each row by its own scale (dynamic), unless `.activations` holds data: then each int8 weight's inputs get one
/// scale, which that observer found (static); samples pass through the quantized weights before it. Inputs that a
/// weight was trained with (quantize_aware with activations) keep the scale that they were trained with either way.
///
/// A weight that is factored (low_rank) keeps its factors, and each takes the form (codec::factors), if it is one that
/// factors can take and its block divides the factor's columns; .misfit says what else. Observer and scales are those of
/// the factors' rows. This header does not bring codec::factors, which few programs want: whose model may be factored
/// includes <pleat/codec/factors.hpp>, as <pleat/compress/low_rank.hpp> does; the compiler says so in a sentence where
/// it is missing.
///
/// Runs on sharded models where they are: a weight that is cut by rows is encoded in parts as in the whole; cut by
/// columns its rows' ranges are found from sums of counts over the ranks, bit for bit those of the whole (so is the
/// range of a whole weight that is cut either way), shared values (codec::codebook, codec::coded) are those of all
/// parts, and blocks must fit into the parts. Over a pipeline every stage encodes its own. Sharded parameters
/// (state_stage = 3) are gathered layer by layer.
template <class Form = codec::int8<float>, class... Others> struct quantize {
  using fusable_transform = void;
  using choice_list = codec::forms<Form, Others...>;
  template <class T> using form_set = choice_list;
  static constexpr bool encodes = !Form::trainable || (!Others::trainable || ...);
  template <class Trained> [[nodiscard]] static consteval bool stores_codes_of() {
    return codec::stores_codes_of<Form, Trained>() || (codec::stores_codes_of<Others, Trained>() || ...);
  }
  static constexpr bool stores_factors = true;
  /// Whether it leaves the values that it is given alone (transform.hpp).
  static constexpr bool only_reads = !Form::trainable && (!Others::trainable && ...);
  static constexpr bool takes_parts = true;
  static constexpr bool takes_shards = true;  // layer by layer
  static constexpr char const* what = "quantize";

  weight_observer observer = min_max{};
  per scales = per::channel;                        ///< of forms that take a range
  std::optional<static_activations> activations{};  ///< data for static activations; empty: dynamic
  /// of codec::codebook and codec::coded: how many values, shared by how many rows, where k-means starts
  codec::codebook_options codebook{};
  std::vector<form_for> forms{};             ///< forms by name; the first pattern that fits counts
  compress::misfit misfit = misfit::refuse;  ///< when a weight's columns are no multiple of the form's block
  bool first_layer = true,
       last_layer = true;             ///< false: the first (last) weight that could be quantized stays as it is
  std::vector<std::string> ignore{};  ///< names that stay as they are; * and ? as in a shell: {"fc3.*"}
  listener on_note{};

  /// "quantize int8"
  [[nodiscard]] std::string name() const {
    std::string s = std::string(what) + " " + std::string(Form::name);
    ((s += "|" + std::string(Others::name)), ...);
    return s;
  }

  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const {
    say("observer", observer), say("scales", scales, {"channel", "tensor"}), say("activations", activations);
    say("codebook.entries", codebook.entries), say("codebook.rows_per_group", codebook.rows_per_group);
    say("codebook.start", codebook.start, {"linear", "density", "random"}), say("codebook.seed", codebook.seed);
    say("codebook.iterations", codebook.iterations), say("codebook.centroids", codebook.centroids);
    say("codebook.index_bits", codebook.index_bits), say("codebook.entropy", codebook.entropy);
    detail::say_forms(say, {forms, misfit, first_layer, last_layer, ignore});
  }

  [[nodiscard]] error_kind leaves_errors() const noexcept { return error_kind::bounded; }

  /// Collective. \throws error for a weight with NaN or infinity (by name), a form that is not in the list, columns
  /// (of a factor, too) that a form's blocks do not divide and forms that factors cannot take (misfit::refuse), an empty
  /// calibration set, a weight that was trained with other codes (quantize_aware), or if no weight is selected
  template <class Net> void run(parallel::model<Net>& m) const {
    run_on(static_cast<typename parallel::model<Net>::any_type&>(m));
  }

 private:
  /// Compiled once for all networks.
  template <class T, class Space> void run_on(parallel::any_model<T, Space>& m) const;
  template <class F, class T, class Space>
  void encode(parallel::any_model<T, Space>& m, nn::any_weight<T, Space>& w) const {
    auto& c = m.context();
    if (!w.absent) {
      auto const here = m.open(w);
      auto const values = w.dense_values(c);
      typename F::template storage<Space> fresh;
      auto const named = [&](error const& e) {
        return error{"compress::quantize", "'" + w.name + "': " + e.problem(), e.remedy()};
      };
      auto const encode_numbers = [&] {
        // codes that the weight was trained with (codec/fake_quantized.hpp)
        auto const same = w.store_codes(c, w.position_of(typeid(F)), &fresh);
        if (same && !*same && !F::trainable) detail::refuse_trained_codes("", "", w.code_words(), std::string(F::name));
        bool const exact = same.value_or(false);
        if (exact && scales == per::tensor)
          throw error{"", "it was trained with a step for each row, not one for the whole weight",
                      "Leave .scales as it is"};
        if (exact) {
        } else if constexpr (requires {
                               F::encode_with_range(c, w.shape, static_cast<T const*>(nullptr),
                                                    std::span<float const>{}, fresh);
                             }) {
          bool const whole = scales == per::tensor;
          bool const in_parts = detail::is_cut(w) && (whole || w.where.dim > 0);  // no rank sees a whole row
          if (!whole && !in_parts && std::holds_alternative<min_max>(observer))   // as the form does by itself
            return static_cast<void>(F::encode(c, w.shape, static_cast<T const*>(values.data()), fresh));
          std::vector<float> host(static_cast<std::size_t>(w.size())), range;
          copy_to_host(c, values, host.data());
          auto const columns = static_cast<std::size_t>(codec::columns_of(w.shape));
          auto const rows = static_cast<std::size_t>(codec::rows_of(w.shape));
          if (in_parts) {
            range = detail::ranges_of_parts(
                observer, host, whole ? 1 : static_cast<index_t>(rows),
                whole ? w.whole().size() : codec::columns_of(w.whole()),
                {[&](std::span<std::int64_t> counts) { m.parts().all_reduce(counts); },
                 [&](std::span<float> largest) { m.parts().all_reduce(largest, comm::reduction::max); }});
          } else if (whole) {
            range.push_back(finite_range(host));
          } else {
            for (std::size_t r = 0; r < rows; ++r)
              range.push_back(finite_range(std::span<float const>(host).subspan(r * columns, columns)));
          }
          if (whole) range.assign(rows, range.front());
          F::encode_with_range(c, w.shape, static_cast<T const*>(values.data()), range, fresh);
        } else {
          if (!std::holds_alternative<min_max>(observer))
            throw error{"", "the form '" + std::string(F::name) + "' takes no observer",
                        "It needs 'encode_with_range', see codec/int8.hpp"};
          if (scales == per::tensor)
            throw error{"",
                        "the form '" + std::string(F::name) + "' has steps of its own, not one for the whole weight",
                        "Leave .scales as it is, or use codec::int8"};
          if constexpr (requires { F::encode_with(c, w.shape, static_cast<T const*>(nullptr), codebook, fresh); }) {
            auto const sum = [&](std::span<std::int64_t> counts) { m.parts().all_reduce(counts); };
            if (!detail::is_cut(w)) {
              F::encode_with(c, w.shape, static_cast<T const*>(values.data()), codebook, fresh);
            } else {
              std::vector<T> host(static_cast<std::size_t>(w.size()));  // centroids are those of all parts together
              copy_to_host(c, values, host.data());
              F::encode_with(
                  c, w.shape, static_cast<T const*>(values.data()),
                  F::bits::options_of_part(w.shape, std::move(host), codebook,
                                           {codec::rows_of(w.whole()), w.where.shards(0) ? w.box()[0].begin : 0, sum}),
                  fresh);
            }
          } else F::encode(c, w.shape, static_cast<T const*>(values.data()), fresh);
        }
      };
      auto const encode_part = [&] {
        try {
          encode_numbers();
        } catch (error const&) {  // an encoder knows the place of NaN in what it was given, which may be a part
          std::vector<T> host(static_cast<std::size_t>(w.size()));
          copy_to_host(c, values, host.data());
          detail::demand_finite<T>(w.whole(), w.box(), host);
          throw;
        }
      };
      // The parts of a weight go on together, or none does: the next weight's ranges are a sum over them.
      std::optional<error> failed;
      if (w.parts > 1) {
        failed = comm::attempt(m.parts(), encode_part);
      } else {
        try {
          encode_part();
        } catch (error const& e) {
          failed.emplace(e);
        }
      }
      if (failed) throw named(*failed);
      w.storage_of(codec::form_tag<F>{}) = std::move(fresh);
    }
    w.template use_form<F>();
    w.follow_form(F::trainable);
  }

  /// Zero for numbers that hold NaN or infinity: the encoder finds and names the element.
  [[nodiscard]] float finite_range(std::span<float const> numbers) const {
    return std::isfinite(codec::detail::finite_amax(numbers)) ? range_of(observer, numbers) : 0.0f;
  }

  template <class T, class Space>
  void calibrate(parallel::any_model<T, Space>& m, detail::form_plan const& plan) const {
    using int8 = codec::int8<float>;
    if constexpr (choice_list::template contains<int8>) {
      auto const for_each_int8 = [&](auto&& f) {  // those that this call gave the form
        m.any_net().for_each_parameter([&](nn::any_weight<T, Space>& w) {
          if (plan.form_of(w.name) >= 0 && w.template uses<int8>()) f(w, w.storage_of(codec::form_tag<int8>{}));
        });
      };
      detail::give_input_scales(m, *activations, "compress::quantize", on_note, for_each_int8,
                                [](auto& s, float range) { int8::set_input_range(s, range); });
    }
  }
};

template <class Form, class... Others>
template <class T, class Space>
[[gnu::cold]] void quantize<Form, Others...>::run_on(parallel::any_model<T, Space>& m) const {
  detail::check(observer);
  if (activations) {
    activations->check("compress::quantize");
    if constexpr (!choice_list::template contains<codec::int8<float>>)
      throw error{"compress::quantize", "static activations are for codec::int8, which is not among the forms",
                  "Leave .activations empty: block forms quantize activations as they come"};
  }
  detail::form_request request{forms, misfit, first_layer, last_layer, ignore};
  detail::demand_form_names<choice_list>(m, request, "compress::quantize");
  auto const factors = detail::select_factors<choice_list>(m, request, "compress::quantize", on_note);
  request.factored = &factors.seen;
  request.something = !factors.chosen.empty();
  auto const plan = detail::select_forms<choice_list>(m, request, "compress::quantize", on_note);
  if (activations && !factors.chosen.empty())
    detail::say(m, on_note, "compress::quantize: factors quantize activations as they come, not by samples");
  comm::all_or_none(m.all_ranks(), [&] {
    m.any_net().for_each_parameter([&](nn::any_weight<T, Space>& w) {
      if (auto const* const chosen = factors.find(w.name))
        return detail::store_factors<choice_list>(m, w, *chosen, {observer, scales == per::tensor},
                                                  "compress::quantize");
      if (int const at = plan.form_of(w.name); at >= 0)
        codec::visit_form<choice_list>(at, [&](auto tag) {
          using F = typename decltype(tag)::type;
          if constexpr (std::is_same_v<typename F::value_type, T>) encode<F>(m, w);  // others are in no weight's set
        });
    });
  });
  m = m.clone();  // an arena without the encoded weights
  if (activations && !plan.chosen.empty()) calibrate(m, plan);
}

}  // namespace pleat::compress
