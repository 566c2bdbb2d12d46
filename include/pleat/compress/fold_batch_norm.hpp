// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Batch norms become part of the layer before them: scale and shift of a trained norm are numbers, so they can be
/// multiplied into the weight's rows and added to the bias.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/compress/transform.hpp>

namespace pleat::compress {

namespace detail {

template <class L>
concept takes_norm = requires(L& l) {
  l.use_bias(true);
  { l.has_bias() } -> std::convertible_to<bool>;
  l.weight();
  l.bias();
};
template <class L>
concept foldable_norm = requires(L& l) {
  l.set_identity(true);
  l.running_mean();
  l.running_variance();
};

/// found(producer&, norm&) for every norm that follows a producer directly in a sequential; alone(norm&) for every
/// other one.
template <class L, class Found, class Alone> void for_each_norm(L& l, Found const& found, Alone const& alone);
template <int At, class L, class Found, class Alone>
void for_each_norm_of(L& l, Found const& found, Alone const& alone) {
  if constexpr (At < L::size) {
    auto& child = l.template layer<At>();
    using C = std::remove_cvref_t<decltype(child)>;
    if constexpr (foldable_norm<C>) {
      if constexpr (At > 0) {
        if constexpr (takes_norm<std::remove_cvref_t<decltype(l.template layer<At - 1>())>>)
          found(l.template layer<At - 1>(), child);
        else alone(child);
      } else {
        alone(child);
      }
    } else {
      for_each_norm(child, found, alone);
    }
    for_each_norm_of<At + 1>(l, found, alone);
  }
}
template <class L, class Found, class Alone> void for_each_norm(L& l, Found const& found, Alone const& alone) {
  if constexpr (foldable_norm<L>) alone(l);
  else if constexpr (requires {
                       l.template layer<0>();
                       L::size;
                     })
    for_each_norm_of<0>(l, found, alone);
  else if constexpr (nn::composite<L>) l.for_each_child([&](auto& child) { for_each_norm(child, found, alone); });
}

/// Patterns for norms must fit some. \throws error with the nearest name
template <class Net> void demand_norms(Net& net, char const* call, std::vector<std::string> const& patterns) {
  std::vector<std::string> known;
  for_each_norm(
      net, [&](auto&, auto& norm) { known.push_back(norm.name()); }, [&](auto& norm) { known.push_back(norm.name()); });
  demand_fitting(call, ".ignore", patterns, known);
}

}  // namespace detail

/// The network with the norms that fold_batch_norm folds as identities: what a file of a folded model is loaded into.
template <class Net> [[nodiscard]] Net with_folded_norms(Net net, std::vector<std::string> const& ignore = {}) {
  detail::demand_norms(net, "compress::with_folded_norms", ignore);
  detail::for_each_norm(
      net,
      [&](auto& producer, auto& norm) {
        if (detail::matches_any(ignore, norm.name())) return;
        producer.use_bias(true);
        norm.set_identity(true);
      },
      [](auto&) {});
  return net;
}

/// Folds every batch norm that directly follows a linear or conv2d layer in a sequential into that layer: with the
/// running statistics, factor = weight/√(variance + epsilon), row r of the layer's weight is multiplied by factor[r]
/// and its bias becomes (bias − mean)·factor + norm's bias, in double, rounded once. The layer gets a bias if it had
/// none; the norm is an identity from then on. Answers differ by rounding only; training after it is without the norm.
/// Zeros stay zeros. Sharded parameters are scaled where they are, and so are those of stages and of weights that are
/// cut over the tensor axis: ranks tell each other a norm's vectors. The same bytes on any of these meshes.
///
/// Before quantizing: an encoded weight cannot be scaled, and ranges are to be those of the folded one.
struct fold_batch_norm {
  using fusable_transform = void;
  static constexpr bool folds = true;
  static constexpr bool takes_parts = true;               ///< runs where weights are cut over the tensor axis
  static constexpr bool takes_shards = true;              ///< runs where parameters are in pieces (state_stage = 3)
  static constexpr char const* what = "fold_batch_norm";  ///< its name in reports and errors

  std::vector<std::string> ignore{};  ///< names of norms that stay; * and ? as in a shell
  listener on_note{};                 ///< hears what stays as it was, and why

  [[nodiscard]] std::string name() const { return "fold batch norms"; }
  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const { say("ignore", ignore); }
  [[nodiscard]] error_kind leaves_errors() const noexcept { return error_kind::folded; }

  /// Collective. \throws error for statistics or parameters with NaN or infinity, a negative variance, a weight that is
  /// encoded, or if nothing can be folded
  template <class Net> void run(parallel::model<Net>& m) const {
    struct folded {
      std::string weight, bias;
      std::vector<double> factor;  // of each row
      std::vector<float> b;
    };
    std::vector<folded> all;
    std::string left;
    auto net = m.net();
    detail::demand_norms(net, call, ignore);
    detail::for_each_norm(
        net,
        [&](auto& producer, auto& norm) {
          if (norm.is_identity() || detail::matches_any(ignore, norm.name())) return;
          auto const& w = producer.weight();
          if (w.form_name() != "dense" && w.form_name() != "masked")
            throw error{
                call,
                "'" + w.name + "' is stored as '" + std::string(w.form_name()) + "', which cannot be scaled row by row",
                "Fold before quantizing, or leave the norm alone: .ignore = {\"" + norm.name() + "\"}"};
          if (!w.tied_to.empty())
            throw error{call, "'" + w.name + "' shares its memory with '" + w.tied_to + "'",
                        "Leave the norm alone: .ignore = {\"" + norm.name() + "\"}"};
          auto const gamma = numbers_of(m, norm.weight()), beta = numbers_of(m, norm.bias()),
                     mean = numbers_of(m, norm.running_mean()), variance = numbers_of(m, norm.running_variance());
          folded f{w.name, producer.bias().name, std::vector<double>(gamma.size()),
                   producer.has_bias() ? numbers_of(m, producer.bias())
                                       : std::vector<float>(static_cast<std::size_t>(codec::rows_of(w.whole())), 0.0f)};
          if (f.b.size() != gamma.size())
            throw error{call,
                        "'" + norm.name() + "' has " + std::to_string(gamma.size()) +
                            " features, the layer before it " + std::to_string(f.b.size()) + " outputs",
                        "Make the features of this norm and the layer before it agree"};
          for (std::size_t r = 0; r < gamma.size(); ++r) {
            double const spread = static_cast<double>(variance[r]) + norm.options().epsilon,
                         factor = static_cast<double>(gamma[r]) / std::sqrt(spread);
            double const bias =
                (static_cast<double>(f.b[r]) - static_cast<double>(mean[r])) * factor + static_cast<double>(beta[r]);
            if (!(spread > 0) || !std::isfinite(factor) || !std::isfinite(bias))
              throw error{call,
                          "feature " + std::to_string(r) + " of '" + norm.name() + "' has weight " +
                              std::to_string(gamma[r]) + ", bias " + std::to_string(beta[r]) + ", mean " +
                              std::to_string(mean[r]) + " and variance " + std::to_string(variance[r]) +
                              ": no finite factor comes out of that",
                          "Train again with a lower learning rate"};
            f.factor[r] = factor;
            f.b[r] = static_cast<float>(bias);
          }
          bool const new_bias = !producer.has_bias();
          producer.use_bias(true);
          if (new_bias)  // it goes with the outputs, as tensor_parallel would have said
            producer.for_each_parameter([&, name = f.bias](nn::parameter& b) {
              if (b.name == name && w.where.shards(0)) b.where = w.where;
            });
          norm.set_identity(true);
          all.push_back(std::move(f));
        },
        [&](auto& norm) {
          if (!norm.is_identity()) left += (left.empty() ? "'" : ", '") + norm.name() + "'";
        });
    if (!left.empty())
      detail::say(m, on_note,
                  std::string(call) + " left " + left + " as it was: no linear or conv2d stands directly before it");
    if (all.empty())
      throw error{call, "no batch norm can be folded",
                  "It must directly follow a linear or conv2d layer in a sequential"};
    m = m.rebuild(std::move(net));
    m.net().for_each_parameter([&](auto& w) {
      using T = typename std::remove_cvref_t<decltype(w)>::value_type;
      if (w.absent) return;
      for (auto const& f : all)
        if constexpr (std::is_same_v<T, float>) {
          if (w.name == f.bias) m.set_host_values_of(w, std::span<float const>(f.b).subspan(first_row(w), rows(w)));
          else if (w.name == f.weight) scale_rows(m, w, f.factor);
        }
    });
    m.values_changed();
  }

 private:
  static constexpr char const* call = "compress::fold_batch_norm";

  /// Those of a parameter's outputs that are on this rank.
  [[nodiscard]] static std::size_t first_row(nn::parameter const& w) {
    return static_cast<std::size_t>(w.box()[0].begin);
  }
  [[nodiscard]] static std::size_t rows(nn::parameter const& w) { return static_cast<std::size_t>(w.shape[0]); }

  /// The numbers of a vector, whole on every rank: they travel as their bits, of which one part, and one stage, has
  /// those that are not zero.
  template <class Model, class W> [[nodiscard]] static std::vector<float> numbers_of(Model const& m, W const& w) {
    using T = typename W::value_type;
    static_assert(std::is_same_v<T, float>, "pleat: compress::fold_batch_norm folds float networks");
    std::vector<std::int64_t> bits(static_cast<std::size_t>(w.whole().size()), 0);
    if (!w.absent) {
      auto at = bits.begin() + static_cast<std::ptrdiff_t>(first_row(w));
      for (float const x : m.host_values_of(w)) *at++ = static_cast<std::int64_t>(std::bit_cast<std::uint32_t>(x));
    }
    if (w.parts > 1 && w.where.shards()) m.parts().all_reduce(bits);
    if (m.pipeline().size() > 1) m.pipeline().all_reduce(bits);
    std::vector<float> numbers;
    for (auto const b : bits) numbers.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(b)));
    return numbers;
  }
  /// What of a weight lives on this rank.
  template <class Model> static void scale_rows(Model& m, nn::parameter const& w, std::vector<double> const& factor) {
    using Space = typename Model::execution_space;
    auto const here = m.held(w);
    auto const numbers = tensor<float, Space>::wrap(here.values, extents{here.range.size()});
    std::vector<float> host(static_cast<std::size_t>(here.range.size()));
    copy_to_host(m.context(), numbers, host.data());
    index_t const columns = std::max<index_t>(1, w.shape.size_from(1));
    for (index_t i = 0; i < here.range.size(); ++i) {
      float& x = host[static_cast<std::size_t>(i)];
      x = static_cast<float>(static_cast<double>(x) *
                             factor[first_row(w) + static_cast<std::size_t>((here.range.begin + i) / columns)]);
    }
    copy_from_host(m.context(), host.data(), numbers);
  }
};

}  // namespace pleat::compress
