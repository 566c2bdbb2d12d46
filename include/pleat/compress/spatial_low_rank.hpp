// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Kernels of convolutions become pairs of thin ones, h × 1 and 1 × w.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <pleat/codec/spatial_low_rank.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/low_rank.hpp>

namespace pleat::compress {

/// Gives every kernel of a convolution two thin ones: `rank` of h × 1, then one of 1 × w for each output (codec/spatial_low_rank.hpp), by the
/// singular values of the matrix [in·h, out·w]: the best of its rank in the Frobenius norm. The rules of compress::low_rank; a kernel whose factors
/// would have more numbers than it has stays as it is, which is said. Matrices are left alone. Factors are frozen.
///
///     model | spatial_low_rank{.rule = by_energy{0.95}} | low_rank{.ignore = {"conv*"}}
///
/// r·(in·h + out·w) numbers, against r·(in·h·w + out) of low_rank; which of both is less for the same error, `plan` of each tells.
struct spatial_low_rank {
  using fusable_transform = void;
  template <class T> using form = codec::spatial_low_rank<T>;
  static constexpr bool encodes = true;
  static constexpr bool fills_zeros = true;
  static constexpr char const* what = "spatial_low_rank";

  rank_rule rule = by_energy{0.9};
  compute::svd_solver solver = compute::svd;  ///< or compute::lapack::svd
  std::vector<std::string> ignore{};          ///< names that stay as they are; * and ? as in a shell
  listener on_note{};

  [[nodiscard]] std::string name() const { return what; }
  [[nodiscard]] error_kind leaves_errors() const noexcept { return error_kind::bounded; }

  /// What run() would do; rows and columns are those of the unfolded kernel, [in·h, out·w]. Collective.
  template <class Net> [[nodiscard]] std::vector<factored_weight> plan(parallel::model<Net>& m) const { return decompose(m).second; }

  /// Collective. \throws error for a rule outside its range (rank_rules.hpp), a kernel with NaN or infinity (by name), one that is pruned, no kernel
  ///                     that is selected, a pipeline
  template <class Net> void run(parallel::model<Net>& m) const {
    auto const [parts, found] = decompose(m);
    std::string dear;
    std::size_t next = 0;
    for_each_selected(m, &on_note, [&](auto& w) {
      auto const& p = parts[next];
      auto const& to = found[next++];
      if (!to.pays) {
        dear += (dear.empty() ? "'" : ", '") + to.name + "' (rank " + std::to_string(to.rank) + " of " + std::to_string(to.rows) + " × " + std::to_string(to.columns) + ")";
        return;
      }
      using F = form<typename std::remove_cvref_t<decltype(w)>::value_type>;
      F::set(m.context(), w.shape, F::bits::of_vectors(w.shape, p.f, to.rank, p.unit), w.storage_of(codec::form_tag<F>{}));
      w.template use_form<F>();
      w.follow_form(false);
    });
    if (!dear.empty()) detail::say(m, on_note, std::string(call) + " left " + dear + " as one kernel: the factors would have more numbers");
    m = m.rebuild(m.net());  // an arena without the factored kernels
  }

 private:
  static constexpr char const* call = "compress::spatial_low_rank";

  struct kernel {
    compute::thin_svd f;
    double unit = 1;
  };

  template <class Net, class F> void for_each_selected(parallel::model<Net>& m, listener const* aloud, F&& f) const {
    detail::for_each_factorable<form<typename parallel::model<Net>::value_type>>(m, call, ignore, 4, aloud, f);
  }

  template <class Net> std::pair<std::vector<kernel>, std::vector<factored_weight>> decompose(parallel::model<Net>& m) const {
    using T = typename parallel::model<Net>::value_type;
    using Space = typename parallel::model<Net>::execution_space;
    if (m.pipeline().size() > 1)
      throw error{call, "ranks are chosen over all layers together, and a stage of a pipeline sees its own", "Factor on a plan with one stage, save, and load on the pipeline"};
    std::vector<kernel> parts;
    std::vector<spectrum> spectra;
    std::vector<std::string> names;
    comm::all_or_none(m.all_ranks(), [&] {
      for_each_selected(m, nullptr, [&](auto& w) {
        if (w.mask_bits() != nullptr) throw error{call, "'" + w.name + "' is pruned, and factors would fill its zeros", "Factor first, or leave the kernel out (.ignore)"};
        std::vector<T> host(static_cast<std::size_t>(w.size()));
        copy_to_host(m.context(), tensor<T, Space>::wrap(w.data(), w.shape), host.data());
        double largest = 0;
        for (std::size_t i = 0; i < host.size(); ++i) {
          double const v = static_cast<double>(host[i]);
          if (!std::isfinite(v)) throw error{call, "element " + std::to_string(i) + " of '" + w.name + "' is " + std::to_string(v), "Train again with a lower learning rate"};
          largest = std::max(largest, std::fabs(v));
        }
        kernel k;
        k.unit = largest > 0 ? largest : 1.0;
        codec::detail::spatial_logic::sides const s(w.shape);
        k.f = solver(s.tall(), s.wide(), codec::detail::spatial_logic::unfolded(w.shape, host, k.unit));
        spectra.push_back({s.tall(), s.wide(), k.f.s});
        names.push_back(w.name);
        parts.push_back(std::move(k));
      });
    });
    if (parts.empty()) throw error{call, "no kernel of a convolution is left to be factored", "compress::low_rank is for matrices; see .ignore, and whether the layers have with_forms"};
    auto const ranks = ranks_of(rule, spectra, names);
    std::vector<factored_weight> found;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      auto const& s = spectra[i];
      auto const tail = detail::tails(s.s);
      auto const left = tail[static_cast<std::size_t>(ranks[i])];
      found.push_back({names[i], s.m, s.n, ranks[i], tail[0] > 0 ? std::sqrt(left / tail[0]) : 0.0, 0, ranks[i] > 0 && ranks[i] * (s.m + s.n) < s.m * s.n});
    }
    return {std::move(parts), std::move(found)};
  }
};

}  // namespace pleat::compress
