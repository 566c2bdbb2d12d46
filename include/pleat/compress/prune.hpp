// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Magnitude pruning: the smallest weights become zero and stay zero.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pleat/codec/masked.hpp>
#include <pleat/compress/fine_tune.hpp>
#include <pleat/compress/schedule.hpp>
#include <pleat/compress/stages.hpp>
#include <pleat/compress/transform.hpp>

namespace pleat::compress {

/// Over what weights compete for survival.
enum class scope : std::uint8_t {
  global,  ///< all selected weights together: layers that can spare more lose more
  layer    ///< each weight alone: every one ends with the same sparsity
};

namespace detail {

/// A weight that is to be pruned, on the host.
template <class T> struct candidate {
  std::string name;
  std::vector<T> values;
  std::vector<std::uint8_t> bits;  ///< who lives
};

/// How many of n go. At least one stays.
[[nodiscard]] inline index_t pruned_count(double sparsity, index_t n) noexcept {
  return n == 0 ? 0 : std::min<index_t>(n - 1, static_cast<index_t>(std::llround(sparsity * static_cast<double>(n))));
}

/// Clears the bits of exactly k elements: those already dead first, then by |w|, then by position (weight, element). A total order, so
/// ties have one answer, everywhere. `first … last`: the candidates that compete.
template <class T> void keep_largest(std::vector<candidate<T>>& all, std::size_t first, std::size_t last, double sparsity) {
  struct rank {
    T magnitude;  ///< −1 if dead
    index_t position;
    bool operator<(rank const& o) const noexcept { return magnitude < o.magnitude || (magnitude == o.magnitude && position < o.position); }
  };
  std::vector<rank> order;
  for (std::size_t c = first; c < last; ++c)
    for (std::size_t i = 0; i < all[c].values.size(); ++i) {
      bool const alive = codec::detail::bit_at(all[c].bits.data(), static_cast<index_t>(i));
      order.push_back({alive ? std::abs(all[c].values[i]) : T(-1), static_cast<index_t>(order.size())});
    }
  index_t const k = pruned_count(sparsity, static_cast<index_t>(order.size()));
  if (k == 0) return;
  // The k-th smallest is the last one that goes.
  std::nth_element(order.begin(), order.begin() + (k - 1), order.end());
  rank const threshold = order[static_cast<std::size_t>(k - 1)];
  index_t position = 0;
  for (std::size_t c = first; c < last; ++c)
    for (std::size_t i = 0; i < all[c].values.size(); ++i, ++position) {
      bool const alive = codec::detail::bit_at(all[c].bits.data(), static_cast<index_t>(i));
      rank const r{alive ? std::abs(all[c].values[i]) : T(-1), position};
      if (!(threshold < r)) all[c].bits[i >> 3] = static_cast<std::uint8_t>(all[c].bits[i >> 3] & ~(1u << (i & 7)));
    }
}

}  // namespace detail

/// Sets the given share of the weights to zero, smallest magnitude first, and keeps them at zero (codec::masked). Biases, norms and
/// statistics are never pruned. The threshold is exact: of n competing elements round(sparsity·n) are zero afterwards (one stays in any
/// case); ties are broken by position. What a former pruning removed stays removed and counts. Every rank computes the same from its
/// replica, without communication.
struct prune {
  using fusable_transform = void;
  template <class T> using form = codec::masked<T>;
  static constexpr bool writes_weights = true;
  static constexpr char const* what = "prune";

  double sparsity = 0.9;                      ///< in [0, 1): share of zeros among the selected weights afterwards
  compress::scope scope = compress::scope::global;
  prune_schedule schedule = one_shot{};
  std::optional<compress::fine_tune> retrain{};  ///< between the steps of the schedule (after the last: append a fine_tune)
  std::vector<std::string> ignore{};          ///< names that stay as they are; * and ? as in a shell: {"fc3.*"}
  listener on_note{};

  /// "prune 0.9"
  [[nodiscard]] std::string name() const { return std::string(what) + detail::format(" %g", sparsity); }

  /// Collective. \throws error for a sparsity outside [0, 1), a weight with NaN or infinity (by name), or if no weight is selected
  template <class Net> void run(parallel::model<Net>& m) const {
    if (!(sparsity >= 0 && sparsity < 1))
      throw error{"compress::prune", "sparsity is the share of zeros, in [0, 1), found " + std::to_string(sparsity), "Say .sparsity = 0.9 to remove 90 %"};
    int const steps = steps_of(schedule);
    if (steps > 1 && !retrain)
      detail::say(m, on_note, "compress::prune: the schedule has " + std::to_string(steps) +
                                  " steps but nothing trains between them, so they do at once what one step does. Say .retrain = fine_tune(data, {.epochs = 1})");
    auto now = gather(m, true);
    double const first = zeros(now);
    for (int t = 1; t <= steps; ++t) {
      if (t > 1) {
        if (!retrain) continue;
        now = gather(m, false);
      }
      double const target = retrain ? sparsity_at(schedule, t, std::min(first, sparsity), sparsity) : sparsity;
      if (scope == compress::scope::global) detail::keep_largest(now, 0, now.size(), target);
      else
        for (std::size_t c = 0; c < now.size(); ++c) detail::keep_largest(now, c, c + 1, target);
      encode(m, now);
      if (retrain && t < steps) retrain->run(m);
    }
    for (auto const& c : now)
      if (!c.values.empty() && codec::detail::count_bits(c.bits) == 0)
        detail::say(m, on_note, "compress::prune removed all of '" + c.name + "'. A lower sparsity, .scope = scope::layer or .ignore keeps the layer alive");
  }

 private:
  template <class Net> using values_of = std::vector<detail::candidate<typename parallel::model<Net>::value_type>>;

  /// f(weight&) for every weight that is pruned; with `aloud`, says which are not and why.
  template <class Net, class F> void for_each_selected(parallel::model<Net>& m, bool aloud, F&& f) const {
    using T = typename parallel::model<Net>::value_type;
    std::string untouched;
    auto const leave = [&](nn::parameter const& w, char const* why) { untouched += (untouched.empty() ? "'" : ", '") + w.name + "' (" + why + ")"; };
    m.net().for_each_parameter([&](auto& w) {
      using W = std::remove_cvref_t<decltype(w)>;
      if (w.kind != nn::parameter_kind::trainable || !w.tied_to.empty() || detail::matches_any(ignore, w.name)) return;
      if constexpr (requires { typename W::forms; }) {
        if constexpr (W::forms::template contains<codec::masked<T>>) {
          if (w.in_arena) f(w);
          else leave(w, "its form cannot be pruned");
          return;
        }
      }
      if (w.shape.rank() >= 2) leave(w, "its layer has no with_forms");
    });
    if (aloud && !untouched.empty()) detail::say(m, on_note, "compress::prune left " + untouched + " as it was");
  }

  template <class Net> values_of<Net> gather(parallel::model<Net>& m, bool aloud) const {
    using T = typename parallel::model<Net>::value_type;
    using Space = typename parallel::model<Net>::execution_space;
    values_of<Net> all;
    for_each_selected(m, aloud, [&](auto& w) {
      detail::candidate<T> c;
      c.name = w.name;
      c.values.resize(static_cast<std::size_t>(w.size()));
      copy_to_host(m.context(), tensor<T, Space>::wrap(w.data(), w.shape), c.values.data());
      for (std::size_t i = 0; i < c.values.size(); ++i)
        if (!std::isfinite(c.values[i]))
          throw error{"compress::prune", "element " + std::to_string(i) + " of '" + w.name + "' is " + std::to_string(c.values[i]), "Train again with a lower learning rate"};
      w.visit([&](auto tag, auto const& s) {
        if constexpr (std::is_same_v<typename decltype(tag)::type, codec::masked<T>>) c.bits = codec::masked<T>::mask(m.context(), w.shape, s);
        else c.bits.assign(static_cast<std::size_t>(codec::detail::bit_bytes(w.size())), 0xff);
      });
      if (w.size() % 8 != 0) c.bits.back() = static_cast<std::uint8_t>(c.bits.back() & ((1u << (w.size() % 8)) - 1u));
      all.push_back(std::move(c));
    });
    if (all.empty()) throw error{"compress::prune", "no weight is left to be pruned", "See .ignore, and whether the layers have with_forms"};
    return all;
  }

  template <class T> static double zeros(std::vector<detail::candidate<T>> const& all) {
    index_t n = 0, alive = 0;
    for (auto const& c : all) {
      n += static_cast<index_t>(c.values.size());
      alive += codec::detail::count_bits(c.bits);
    }
    return n ? static_cast<double>(n - alive) / static_cast<double>(n) : 0;
  }

  template <class Net> void encode(parallel::model<Net>& m, values_of<Net> const& all) const {
    using masked = codec::masked<typename parallel::model<Net>::value_type>;
    std::size_t next = 0;
    for_each_selected(m, false, [&](auto& w) {
      w.template use_form<masked>();
      masked::encode_with_mask(m.context(), w.shape, w.data(), all[next++].bits, w.storage_of(codec::form_tag<masked>{}));
    });
    m.refresh_masks();
  }
};

}  // namespace pleat::compress
