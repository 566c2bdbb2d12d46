// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Post-training quantization: weights take an encoded form, per output channel, without data and without training.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/compress/transform.hpp>

namespace pleat::compress {

/// The range of a row is its largest magnitude: nothing clips.
struct min_max {};

/// The range of a row is its magnitude at this percentile, by nearest rank: of n magnitudes in ascending order the ⌈value·n/100⌉-th. A few
/// outliers clip, all others get finer steps.
struct percentile {
  double value = 99.99;
};

using weight_observer = std::variant<min_max, percentile>;

/// The range that an observer sees in one row. \throws error for a percentile outside (0, 100]
[[nodiscard]] PLEAT_ONCE float range_of(weight_observer const& observer, std::span<float const> row) {
  if (row.empty()) return 0;
  std::vector<float> magnitude(row.size());
  std::transform(row.begin(), row.end(), magnitude.begin(), [](float x) { return std::fabs(x); });
  if (auto const* p = std::get_if<percentile>(&observer)) {
    if (!(p->value > 0 && p->value <= 100)) throw error{"compress::quantize", "a percentile lies in (0, 100], found " + std::to_string(p->value)};
    auto const n = static_cast<double>(row.size());
    auto const at = static_cast<std::ptrdiff_t>(std::clamp(std::ceil(p->value * n / 100.0 - 1e-9) - 1, 0.0, n - 1));
    std::nth_element(magnitude.begin(), magnitude.begin() + at, magnitude.end());
    return magnitude[static_cast<std::size_t>(at)];
  }
  return *std::max_element(magnitude.begin(), magnitude.end());
}

/// Gives every weight matrix and kernel the form `Form`. Zeros stay zero, so that what was pruned stays pruned. Biases, norms and
/// statistics keep their numbers. Encoded weights are frozen: fine-tuning goes on around them.
///
/// The observers look at weights only. int8 products quantize activations dynamically, with a scale per row that is found as the row
/// comes, so there is no calibration data; observers of activations belong to static quantization, which is not here.
template <class Form = codec::int8<float>> struct quantize {
  using fusable_transform = void;
  template <class T> using form = Form;
  static constexpr bool encodes = !Form::trainable;
  static constexpr char const* what = "quantize";

  weight_observer observer = min_max{};
  std::vector<std::string> ignore{};  ///< names that stay as they are; * and ? as in a shell: {"fc3.*"}
  listener on_note{};

  /// "quantize int8"
  [[nodiscard]] std::string name() const { return std::string(what) + " " + std::string(Form::name); }

  /// \throws error for a weight with NaN or infinity (by name), or if no weight is selected
  template <class Net> void run(parallel::model<Net>& m) const {
    std::string untouched;
    std::vector<std::string> shared;
    m.net().for_each_parameter([&](nn::parameter const& w) {
      if (!w.tied_to.empty()) shared.push_back(w.tied_to), shared.push_back(w.name);
    });
    auto const leave = [&](nn::parameter const& w, char const* why) { untouched += (untouched.empty() ? "'" : ", '") + w.name + "' (" + why + ")"; };
    int done = 0;
    m.net().for_each_parameter([&](auto& w) {
      using W = std::remove_cvref_t<decltype(w)>;
      if (w.kind != nn::parameter_kind::trainable || detail::matches_any(ignore, w.name)) return;
      if constexpr (requires { typename W::forms; }) {
        if constexpr (W::forms::template contains<Form>) {
          if (std::find(shared.begin(), shared.end(), w.name) != shared.end()) leave(w, "its memory is shared with another weight");
          else if (!w.in_arena) leave(w, "it is encoded already");
          else encode(m, w), ++done;
          return;
        }
      }
      if (w.shape.rank() >= 2) leave(w, "its layer has no with_forms");
    });
    if (!untouched.empty()) detail::say(m, on_note, "compress::quantize left " + untouched + " as it was");
    if (done == 0) throw error{"compress::quantize", "no weight is left to be quantized", "See .ignore, and whether the layers have with_forms"};
    m = m.rebuild(m.net());  // an arena without the encoded weights
  }

 private:
  template <class Model, class W> void encode(Model& m, W& w) const {
    using T = typename W::value_type;
    using Space = typename W::execution_space;
    auto& c = m.context();
    auto const values = tensor<T, Space>::allocate(c, w.shape);
    w.decode(c, values.data());
    auto& storage = w.storage_of(codec::form_tag<Form>{});
    try {
      if constexpr (requires { Form::encode_with_range(c, w.shape, static_cast<T const*>(nullptr), std::span<float const>{}, storage); }) {
        std::vector<float> host(static_cast<std::size_t>(w.size())), range;
        copy_to_host(c, values, host.data());
        auto const columns = static_cast<std::size_t>(codec::columns_of(w.shape));
        for (std::size_t r = 0; r < static_cast<std::size_t>(codec::rows_of(w.shape)); ++r)
          range.push_back(finite_range(std::span<float const>(host).subspan(r * columns, columns)));
        Form::encode_with_range(c, w.shape, static_cast<T const*>(values.data()), range, storage);
      } else {
        if (!std::holds_alternative<min_max>(observer))
          throw error{"compress::quantize", "the form '" + std::string(Form::name) + "' takes no observer", "It needs 'encode_with_range', see codec/int8.hpp"};
        Form::encode(c, w.shape, static_cast<T const*>(values.data()), storage);
      }
    } catch (error const& e) {
      throw error{"compress::quantize", "'" + w.name + "': " + e.problem(), e.remedy()};
    }
    w.template use_form<Form>();
    w.requires_grad = w.requires_grad && Form::trainable;
  }

  /// Zero for a row that holds NaN or infinity: the encoder finds and names the element.
  [[nodiscard]] float finite_range(std::span<float const> row) const {
    float const r = range_of(observer, row);
    return std::isfinite(codec::detail::finite_amax(row)) ? r : 0.0f;
  }
};

}  // namespace pleat::compress
