// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Kernels of convolutions become pairs of thin ones, h × 1 and 1 × w.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/codec/spatial_low_rank.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/detail/whole_weight.hpp>
#include <pleat/compress/low_rank.hpp>

namespace pleat::compress {

/// Gives every kernel of a convolution two thin ones: `rank` of h × 1, then one of 1 × w for each output
/// (codec/spatial_low_rank.hpp), by the singular values of the matrix [in·h, out·w]: the best of its rank in the
/// Frobenius norm. The rules of compress::low_rank; a kernel whose factors would have more numbers than it has stays as
/// it is, which is said. Matrices are left alone. Factors are frozen.
///
///     model | spatial_low_rank{.rule = by_energy{0.95}} | low_rank{.ignore = {"conv*"}}
///
/// r·(in·h + out·w) numbers, against r·(in·h·w + out) of low_rank; which of both is less for the same error, `plan` of
/// each tells. Sharded parameters (state_stage = 3) are gathered one kernel at a time, and ranks take turns at
/// decomposing; a kernel that is cut over the tensor axis comes together for the time of its decomposition, and every
/// rank keeps what its part of the factors is. Stages of a pipeline factor their own. The same bytes on any of these
/// meshes.
struct spatial_low_rank {
  using fusable_transform = void;
  template <class T> using form = codec::spatial_low_rank<T>;
  static constexpr bool encodes = true;      ///< weights leave it in forms that are stored, not trained
  static constexpr bool fills_zeros = true;  ///< what was pruned does not stay zero
  static constexpr bool makes_factors = true;
  static constexpr bool takes_parts = true;                ///< runs where weights are cut over the tensor axis
  static constexpr bool takes_shards = true;               // one kernel at a time
  static constexpr char const* what = "spatial_low_rank";  ///< its name in reports and errors

  rank_rule rule = by_energy{0.9};
  compute::svd_solver solver = compute::svd;  ///< or compute::lapack::svd
  std::vector<std::string> ignore{};          ///< names that stay as they are; * and ? as in a shell
  listener on_note{};                         ///< hears what stays as it was, and why

  [[nodiscard]] std::string name() const { return what; }
  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const {
    say("rule", rule), say("solver", solver == compute::svd ? "svd" : "another"), say("ignore", ignore);
  }
  [[nodiscard]] error_kind leaves_errors() const noexcept { return error_kind::bounded; }

  /// What run() would do; rows and columns are those of the unfolded kernel, [in·h, out·w]. Collective.
  template <class Net> [[nodiscard]] std::vector<factored_weight> plan(parallel::model<Net>& m) const {
    return decompose(m).second;
  }

  /// Collective. \throws error for a rule outside its range (rank_rules.hpp), a kernel with NaN or infinity (by name),
  /// one that is pruned, no kernel
  ///                     that is selected
  template <class Net> void run(parallel::model<Net>& m) const {
    auto made = decompose(m);
    auto& parts = made.first;  // no structured binding: clang 16 does not capture those under OpenMP
    auto const& found = made.second;
    std::string dear;
    std::size_t next = 0;
    comm::all_or_none(m.all_ranks(), [&] {
      for_each_selected(m, &on_note, [&](auto& w) {
        auto const number = next++;
        auto const& to = found[number];
        if (!to.pays) {
          dear += (dear.empty() ? "'" : ", '") + to.name + "' (rank " + std::to_string(to.rank) + " of " +
                  std::to_string(to.rows) + " × " + std::to_string(to.columns) + ")";
          return;
        }
        using F = form<typename std::remove_cvref_t<decltype(w)>::value_type>;
        if (!w.absent) {
          auto p = std::exchange(parts[number], {});
          p.first(to.rank);
          detail::share_numbers(m.shards(), number, p.f.u);
          detail::share_numbers(m.shards(), number, p.f.v);
          auto& stored = w.storage_of(codec::form_tag<F>{});
          F::set(m.context(), w.whole(), F::bits::of_vectors(w.whole(), p.f, to.rank, p.unit), stored);
          if (detail::is_cut(w)) stored = F::slice(m.context(), w.whole(), stored, w.box());
        }
        w.template use_form<F>();
        w.follow_form(false);
      });
    });
    if (!dear.empty())
      detail::say(m, on_note,
                  std::string(call) + " left " + dear + " as one kernel: the factors would have more numbers");
    m = m.rebuild(m.net());  // an arena without the factored kernels
  }

 private:
  static constexpr char const* call = "compress::spatial_low_rank";

  /// What is kept of a kernel until its rank is known; the vectors on the rank that found them.
  struct kernel {
    compute::thin_svd f;
    double unit = 1;

    void first(index_t rank) {
      f.u.resize(static_cast<std::size_t>(std::min(rank * f.m, static_cast<index_t>(f.u.size()))));
      f.v.resize(static_cast<std::size_t>(std::min(rank * f.n, static_cast<index_t>(f.v.size()))));
      f.r = rank;
    }
  };

  template <class Net, class F> void for_each_selected(parallel::model<Net>& m, listener const* aloud, F&& f) const {
    detail::for_each_factorable<form<typename parallel::model<Net>::value_type>>(m, call, ignore, 4, aloud, f);
  }

  template <class Net>
  std::pair<std::vector<kernel>, std::vector<factored_weight>> decompose(parallel::model<Net>& m) const {
    using T = typename parallel::model<Net>::value_type;
    std::vector<kernel> parts;
    std::vector<spectrum> spectra;
    std::vector<std::string> names;
    comm::all_or_none(m.all_ranks(), [&] {
      for_each_selected(m, nullptr, [&](auto& w) {
        if (w.absent) return;
        if (w.mask_bits() != nullptr)
          throw error{call, "'" + w.name + "' is pruned, and factors would fill its zeros",
                      "Factor first, or leave the kernel out (.ignore)"};
        detail::demand_finite_held(m, call, w);
      });
    });
    for_each_selected(m, nullptr, [&](auto& w) {
      std::size_t const number = parts.size();
      std::vector<T> host;
      if (!w.absent) host = m.host_values_of(w);
      if (!w.absent && detail::is_cut(w)) host = detail::whole_of_parts(m.parts(), w, host);
      kernel k;
      std::vector<double> found;  // the largest magnitude, singular values
      comm::all_or_none(m.all_ranks(), [&] {
        if (w.absent || !detail::solves(m.shards(), number)) return;
        double largest = 0;
        for (T const v : host) largest = std::max(largest, std::fabs(static_cast<double>(v)));
        k.unit = largest > 0 ? largest : 1.0;
        codec::detail::spatial_logic::sides const s(w.whole());
        k.f = solver(s.tall(), s.wide(), codec::detail::spatial_logic::unfolded(w.whole(), host, k.unit));
        found = {k.unit};
        found.insert(found.end(), k.f.s.begin(), k.f.s.end());
        k.first(std::min(k.f.r, s.tall() * s.wide() / std::max<index_t>(1, s.tall() + s.wide())));  // more do not pay
      });
      if (!w.absent) detail::share_numbers(m.shards(), number, found);
      detail::share_over_stages(m, found);
      k.unit = found[0];
      k.f.s.assign(found.begin() + 1, found.end());
      codec::detail::spatial_logic::sides const s(w.whole());
      spectra.push_back({s.tall(), s.wide(), k.f.s});
      names.push_back(w.name);
      parts.push_back(std::move(k));
    });
    if (parts.empty())
      throw error{call, "no kernel of a convolution is left to be factored",
                  "compress::low_rank is for matrices; ignore less; what is encoded already, or lies in a layer "
                  "without with_forms, does not count"};
    auto const ranks = ranks_of(rule, spectra, names);
    std::vector<factored_weight> found;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      auto const& s = spectra[i];
      auto const tail = detail::tails(s.s);
      auto const left = tail[static_cast<std::size_t>(ranks[i])];
      found.push_back({names[i], s.m, s.n, ranks[i], tail[0] > 0 ? std::sqrt(left / tail[0]) : 0.0, 0,
                       ranks[i] > 0 && ranks[i] * (s.m + s.n) < s.m * s.n});
    }
    return {std::move(parts), std::move(found)};
  }
};

}  // namespace pleat::compress
