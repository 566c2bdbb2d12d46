// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Weights become products of thin factors, alone or beside a sparse matrix of outliers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/codec/factors.hpp>
#include <pleat/codec/low_rank.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/detail/convertible.hpp>
#include <pleat/compress/detail/largest.hpp>
#include <pleat/compress/detail/whitening.hpp>
#include <pleat/compress/layer_inputs.hpp>
#include <pleat/compress/rank_rules.hpp>
#include <pleat/compress/stages.hpp>
#include <pleat/compress/transform.hpp>
#include <pleat/compute/tsqr.hpp>
#include <pleat/tensor/detail/number.hpp>

namespace pleat::compress {

/// What a weight became, or would become.
struct factored_weight {
  std::string name;
  index_t rows = 0, columns = 0, rank = 0;
  double error = 0;  ///< ‖W − Ŵ‖_F/‖W‖_F before the factors' rounding; with samples, in the norm √(Σ‖(W − Ŵ)x‖²)
  double outliers = 0;  ///< share of the elements that is stored as it is
  bool pays = false;    ///< the factors have fewer numbers than the matrix
  [[nodiscard]] index_t numbers() const noexcept { return pays ? rank * (rows + columns) : rows * columns; }
};

namespace detail {

/// L and R of a part, each with the root of the singular values.
struct factors {
  index_t rank = 0;
  std::vector<float> left, right;  ///< [rows, rank], [rank, columns]

  /// Those of a lower rank: a factor's column knows nothing of the others.
  [[nodiscard]] factors first(index_t fewer) const {
    factors out{fewer,
                {},
                {right.begin(), right.begin() + static_cast<std::ptrdiff_t>(
                                                    rank > 0 ? static_cast<index_t>(right.size()) / rank * fewer : 0)}};
    for (std::size_t i = 0; rank > 0 && i < left.size(); i += static_cast<std::size_t>(rank))
      out.left.insert(out.left.end(), left.begin() + static_cast<std::ptrdiff_t>(i),
                      left.begin() + static_cast<std::ptrdiff_t>(i) + fewer);
    return out;
  }
};

/// A weight on its way: the part of it that this rank holds, scaled to 1, and its decomposition.
struct to_factor {
  std::string name;
  extents shape;                     ///< of the part
  index_t rows = 0, columns = 0;     ///< of the whole
  int cut = -1;                      ///< dimension along which it is cut, or −1
  double unit = 1;                   ///< largest magnitude
  std::vector<double> values;        ///< of the part, without the outliers
  std::vector<float> apart;          ///< the outliers, dense; empty without them
  std::vector<whitening> weighting;  ///< one, or none
  compute::thin_svd f;               ///< of the whole; u is there only where nothing is cut
};
/// What is kept of one until its rank is known: factors of the largest rank with which they have fewer numbers than the
/// matrix.
struct factored_part {
  factors most;
  std::vector<float> apart;
};

/// Which rank of a shard group decomposes weight `number`: the work is theirs together, and so is the memory of what
/// comes out.
[[nodiscard]] inline int solver_of(comm::communicator const* shards, std::size_t number) noexcept {
  return shards ? static_cast<int>(number % static_cast<std::size_t>(shards->size())) : 0;
}
[[nodiscard]] inline bool solves(comm::communicator const* shards, std::size_t number) noexcept {
  return !shards || shards->rank() == solver_of(shards, number);
}
/// Numbers that one rank of a shard group has, on all. Collective over the group.
template <class V> void share_numbers(comm::communicator* shards, std::size_t number, std::vector<V>& numbers) {
  if (!shards || shards->size() == 1) return;
  int const from = solver_of(shards, number);
  numbers.resize(static_cast<std::size_t>(shards->broadcast_value(static_cast<index_t>(numbers.size()), from)));
  if (!numbers.empty()) shards->broadcast(numbers, from);
}
/// Numbers that one stage has, on all; the others' are empty. Collective over the pipeline.
template <class Net> void share_over_stages(parallel::model<Net> const& m, std::vector<double>& numbers) {
  if (m.pipeline().size() == 1) return;
  numbers.resize(static_cast<std::size_t>(
                     m.pipeline().all_reduce_value(static_cast<index_t>(numbers.size()), comm::reduction::max)),
                 0.0);
  m.pipeline().all_reduce(numbers);  // x + 0 is x
}
/// \throws error for NaN and infinity in a weight, by its name and the element's place in the whole: what of it lives
/// on this rank
template <class Net>
void demand_finite_held(parallel::model<Net> const& m, std::string const& call, nn::parameter const& w) {
  using T = typename parallel::model<Net>::value_type;
  auto const here = m.held(w);
  std::vector<T> host(static_cast<std::size_t>(here.range.size()));
  copy_to_host(m.context(),
               tensor<T, typename parallel::model<Net>::execution_space>::wrap(here.values, extents{here.range.size()}),
               host.data());
  for (std::size_t i = 0; i < host.size(); ++i)
    if (double const v = pleat::detail::number(host[i]); !std::isfinite(v))
      throw error{call,
                  "element " +
                      std::to_string(place_in_whole(w.whole(), w.box(), here.range.begin + static_cast<index_t>(i))) +
                      " of '" + w.name + "' is " + std::to_string(v),
                  "Train again with a lower learning rate"};
}

[[nodiscard]] inline factors factors_of(to_factor const& w, index_t rank) {
  index_t const m = w.shape[0], n = w.shape.size_from(1);
  factors out{rank, std::vector<float>(static_cast<std::size_t>(m * rank)),
              std::vector<float>(static_cast<std::size_t>(rank * n))};
  std::vector<double> row(static_cast<std::size_t>(std::max(m, n)));
  for (index_t k = 0; k < rank; ++k) {
    double const s = w.f.s[static_cast<std::size_t>(k)], root = std::sqrt(s) * std::sqrt(w.unit),
                 over = s > 0 ? std::sqrt(w.unit) / std::sqrt(s) : 0.0;
    auto const set = [&](std::vector<float>& to, index_t first, index_t step, double const* from, index_t count,
                         double factor) {
      for (index_t i = 0; i < count; ++i)
        to[static_cast<std::size_t>(first + i * step)] = static_cast<float>(from[i] * factor);
    };
    if (w.cut == 1) {  // decomposed as columns: v holds the left vectors; Rᵣ = uᵀ·W/√σ
      double const* const u = w.f.v.data() + k * m;
      std::fill(row.begin(), row.end(), 0.0);
      for (index_t i = 0; i < m; ++i) compute::detail::add_multiple(u[i], w.values.data() + i * n, row.data(), n);
      set(out.left, k, rank, u, m, root);
      set(out.right, k * n, 1, row.data(), n, over);
      continue;
    }
    double const* const v = w.f.v.data() + k * n;
    if (w.cut == 0) {  // L's rows are W·v/√σ
      for (index_t i = 0; i < m; ++i)
        row[static_cast<std::size_t>(i)] = compute::detail::dot_of(w.values.data() + i * n, v, n);
      set(out.left, k, rank, row.data(), m, over);
    } else {
      set(out.left, k, rank, w.f.u.data() + k * m, m, root);
    }
    if (w.weighting.empty()) {
      set(out.right, k * n, 1, v, n, root);
    } else {
      std::copy(v, v + n, row.begin());
      w.weighting.front().undo(row.data());
      set(out.right, k * n, 1, row.data(), n, root);
    }
  }
  return out;
}

/// f(weight&) for every weight that may take the factors `Form` (those that train as codes may not, and are refused), those of other stages too, of a number of dimensions
/// from `least` on. \param aloud null: nothing is said
template <class Form, class Net, class F>
void for_each_factorable(parallel::model<Net>& m, char const* call, std::vector<std::string> const& ignore, int least,
                         listener const* aloud, F&& f) {
  auto const shared = shared_names(m.net());
  for_each_convertible<codec::forms<Form>>(m, call, ignore, aloud, [&](auto& w) -> std::string {
    if (w.shape.rank() < least) return {};
    auto why = why_not_encoded(w, shared);
    if (!why.empty()) return why;
    demand_no_trained_codes(w, call, "factors");
    f(w);
    return {};
  });
}

}  // namespace detail

/// Gives every weight matrix and kernel two thin factors, W ≈ L·R, by singular values: the best of its rank in the
/// Frobenius norm, or, with `.data`, in that of the layer's outputs over samples (SVD of W·C^½, C the mean of x·xᵀ). A
/// convolution [out, in, h, w] is a matrix [out, in·h·w]: `rank` kernels, then a 1×1 one (channel SVD). A weight whose
/// factors would have more numbers than it has stays one matrix, which is said. Factors are frozen.
///
///     model | low_rank{.rule = by_energy{0.95}}
///     model | low_rank{.rule = by_budget{0.4}, .data = calibration(train, 300)}
///     pruned | sparse_low_rank{.rule = by_rank{16}, .sparse_share = 0.05}     // outliers apart; of a pruned weight: its survivors
///
/// Weights that are cut over the tensor axis are decomposed where they are (compute::tsqr). Every data rank computes
/// the same bits; where parameters are sharded (state_stage = 3) they are gathered one weight at a time, and ranks take
/// turns at decomposing. Over a pipeline every stage factors its own, and stages tell each other singular values: ranks
/// are chosen over all layers together.
template <bool Sparse> struct factorize {
  using fusable_transform = void;
  template <class T> using form = std::conditional_t<Sparse, codec::sparse_low_rank<T>, codec::low_rank<T>>;
  static constexpr bool encodes = true;         ///< weights leave it in forms that are stored, not trained
  static constexpr bool fills_zeros = !Sparse;  ///< what was pruned does not stay zero
  static constexpr bool makes_factors = true;
  static constexpr bool takes_parts = true;   ///< runs where weights are cut over the tensor axis
  static constexpr bool takes_shards = true;  // one weight at a time
  static constexpr char const* what = Sparse ? "sparse_low_rank" : "low_rank";  ///< its name in reports and errors

  rank_rule rule = by_energy{0.9};
  /// sparse_low_rank only: share of the elements, the largest, that is stored as it is, in [0, 1)
  double sparse_share = 0;
  calibration data{};                         ///< samples whose outputs count; empty: the weight alone counts
  double dampening_frac = 0.01;               ///< of the mean diagonal of Σ x·xᵀ, added to it
  compute::svd_solver solver = compute::svd;  ///< or compute::lapack::svd
  /// Ranks are multiples of this, so that blocks divide the columns of the left factor: rounded up, with by_budget down;
  /// not where the matrix has fewer values, or the factors would no longer pay. By_rank says a multiple itself.
  index_t round_to = 1;
  bool randomized = false;            ///< with by_rank: only the values that are wanted, from random products
  std::vector<std::string> ignore{};  ///< names that stay as they are; * and ? as in a shell
  listener on_note{};                 ///< hears what stays as it was, and why

  [[nodiscard]] std::string name() const { return what; }
  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const {
    say("rule", rule), say("solver", solver == compute::svd ? "svd" : "another"), say("ignore", ignore);
    say("sparse_share", sparse_share), say("data", data), say("dampening_frac", dampening_frac);
    say("round_to", round_to), say("randomized", randomized);
  }
  [[nodiscard]] error_kind leaves_errors() const noexcept { return error_kind::bounded; }

  /// What run() would do. Collective.
  template <class Net> [[nodiscard]] std::vector<factored_weight> plan(parallel::model<Net>& m) const {
    return decompose(m, false).second;
  }

  /// Collective. \throws error for a rule outside its range (rank_rules.hpp), a weight with NaN or infinity (by name),
  /// no weight that is
  ///                     selected, samples where weights are cut
  template <class Net> void run(parallel::model<Net>& m) const {
    auto made = decompose(m, true);
    auto& parts = made.first;  // no structured binding: clang 16 does not capture those under OpenMP
    auto const& found = made.second;
    std::string dear;
    std::size_t next = 0;
    comm::all_or_none(m.all_ranks(), [&] {
      for_each_selected(m, false, [&](auto& w) {
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
          auto f = p.most.first(to.rank);
          detail::share_numbers(m.shards(), number, f.left);
          detail::share_numbers(m.shards(), number, f.right);
          detail::share_numbers(m.shards(), number, p.apart);
          F::set(m.context(), w.shape, F::bits::from_factors(w.shape, to.rank, f.left, f.right, p.apart),
                 w.storage_of(codec::form_tag<F>{}));
        }
        w.template use_form<F>();
        w.follow_form(false);
      });
    });
    if (!dear.empty())
      detail::say(
          m, on_note,
          "compress::" + std::string(what) + " left " + dear + " as one matrix: the factors would have more numbers");
    m = m.rebuild(m.net());  // an arena without the factored weights
  }

 private:
  template <class Net, class F> void for_each_selected(parallel::model<Net>& m, bool aloud, F&& f) const {
    detail::for_each_factorable<form<typename parallel::model<Net>::value_type>>(
        m, Sparse ? "compress::sparse_low_rank" : "compress::low_rank", ignore, 2, aloud ? &on_note : nullptr, f);
  }

  [[nodiscard]] index_t rounded(index_t rank, spectrum const& of, double apart) const {
    bool const down = std::holds_alternative<by_budget>(rule);
    index_t const r = (rank + (down ? 0 : round_to - 1)) / round_to * round_to;
    return r <= std::min(of.m, of.n) && of.pays(r, apart) ? r : rank;
  }

  void check() const {
    if (round_to < 1)
      throw error{"compress::" + std::string(what), "round_to must be at least 1, found " + std::to_string(round_to),
                  "32 is the block of q8_0 and of q4_0"};
    if (round_to > 1 && std::holds_alternative<by_rank>(rule))
      throw error{"compress::" + std::string(what),
                  "round_to is " + std::to_string(round_to) + ", and by_rank leaves nothing to round",
                  "Say a multiple of that as the rank, or round with another rule"};
    if (!(sparse_share >= 0 && sparse_share < 1))
      throw error{"compress::" + std::string(what),
                  "sparse_share is " + std::to_string(sparse_share) + ", expected a share in [0, 1)",
                  "Say .sparse_share = 0.05 to keep the largest twentieth as it is"};
    if (!Sparse && sparse_share != 0)
      throw error{"compress::low_rank", "sparse_share is for sparse_low_rank",
                  "Say sparse_low_rank{…} to keep outliers apart"};
    if (randomized && !std::holds_alternative<by_rank>(rule))
      throw error{"compress::" + std::string(what),
                  "the randomised solver finds as many values as it is asked for, and this rule has to see all",
                  "Use by_rank, or .randomized = false"};
    if (!(dampening_frac > 0))
      throw error{"compress::" + std::string(what),
                  "dampening_frac must be positive, found " + std::to_string(dampening_frac),
                  "Leave it at 0.01, a hundredth of the mean diagonal"};
  }

  /// Whether there is work, and all of it can be done: asked before the first sum over ranks, so that none waits for
  /// one that has left.
  template <class Net> void demand_weights(parallel::model<Net>& m) const {
    std::string const call = "compress::" + std::string(what);
    bool any = false;
    comm::all_or_none(m.all_ranks(), [&] {
      for_each_selected(m, false, [&](auto& w) {
        any = true;
        if (w.absent) return;
        if (!Sparse && w.mask_bits() != nullptr)
          throw error{call, "'" + w.name + "' is pruned, and factors would fill its zeros",
                      "Use sparse_low_rank, which keeps what survived apart, or leave the weight out (.ignore)"};
        detail::demand_finite_held(m, call, w);
      });
    });
    if (!any)
      throw error{call, "no weight is left to be factored", "See .ignore, and whether the layers have with_forms"};
  }

  /// \param keep the factors too, each on the rank that found them
  template <class Net>
  std::pair<std::vector<detail::factored_part>, std::vector<factored_weight>> decompose(parallel::model<Net>& m,
                                                                                        bool keep) const {
    using T = typename parallel::model<Net>::value_type;
    check();
    demand_weights(m);
    std::vector<layer_input> inputs;
    if (!data.empty()) {
      if (m.parts().size() > 1)
        throw error{"compress::" + std::string(what),
                    "weights are cut over the tensor axis, where no rank can weigh their columns",
                    "Leave .data empty, or use mesh.tensor = 1"};
      if (!m.shards()) inputs = layer_inputs(m, data);  // else one matrix of inputs at a time
    }
    std::vector<detail::factored_part> parts;
    std::vector<spectrum> spectra;
    std::vector<std::string> names, unweighted;
    std::vector<double> whole, apart;  // of each: ‖W‖²_F, scaled, in its norm, without outliers; and their share
    for_each_selected(m, keep, [&](auto& w) {
      std::size_t const number = parts.size();
      if (m.shards() && !data.empty())
        inputs = layer_inputs(m, data, {.only = [&](nn::parameter const& one) { return one.name == w.name; }});
      auto const in = std::find_if(inputs.begin(), inputs.end(), [&](auto const& x) { return x.name == w.name; });
      bool const weighted = in != inputs.end() && in->groups == 1 && in->rows > 0;
      std::vector<double> found;  // ‖W‖²_F, the share of outliers, whether it is weighed, singular values
      parts.emplace_back();
      auto const solve = [&](std::vector<T> const& host) {
        detail::to_factor p;
        p.name = w.name;
        p.shape = w.shape;
        p.rows = codec::rows_of(w.whole());
        p.columns = codec::columns_of(w.whole());
        if (w.parts > 1 && w.where.shards()) p.cut = w.where.dim == 0 ? 0 : 1;
        double largest = 0;
        for (T const v : host) largest = std::max(largest, std::fabs(pleat::detail::number(v)));
        if (p.cut >= 0) largest = m.parts().all_reduce_value(largest, comm::reduction::max);
        p.unit = largest > 0 ? largest : 1.0;
        for (T const v : host) p.values.push_back(pleat::detail::number(v) / p.unit);
        double share = 0;
        if constexpr (Sparse) share = set_apart(m, p, w);
        double const squares = decompose(m, p, weighted ? &*in : nullptr);
        found = {squares, share, weighted ? 1.0 : 0.0};
        found.insert(found.end(), p.f.s.begin(), p.f.s.end());
        if (keep)
          parts.back() = {
              detail::factors_of(p, std::min(static_cast<index_t>(p.f.s.size()),
                                             p.rows * p.columns / std::max<index_t>(1, p.rows + p.columns))),
              std::move(p.apart)};
      };
      std::vector<T> host;
      if (!w.absent) host = m.host_values_of(w);
      if (m.shards() || m.pipeline().size() > 1) {
        comm::all_or_none(m.all_ranks(), [&] {
          if (!w.absent && detail::solves(m.shards(), number)) solve(host);
        });
        if (!w.absent) detail::share_numbers(m.shards(), number, found);
        detail::share_over_stages(m, found);
      } else {
        solve(host);
      }
      if (!data.empty() && found[2] == 0) unweighted.push_back(w.name);
      whole.push_back(found[0]);
      apart.push_back(found[1]);
      spectra.push_back({codec::rows_of(w.whole()), codec::columns_of(w.whole()), {found.begin() + 3, found.end()}});
      names.push_back(w.name);
    });
    if (keep && !unweighted.empty()) {
      std::string list;
      for (auto const& n : unweighted) list += (list.empty() ? "'" : ", '") + n + "'";
      detail::say(m, on_note,
                  "compress::" + std::string(what) + " factors " + list +
                      " without a look at outputs: its channels are in groups, or no sample comes by");
    }
    auto ranks = ranks_of(rule, spectra, names);
    for (std::size_t i = 0; i < ranks.size(); ++i) ranks[i] = rounded(ranks[i], spectra[i], apart[i]);
    std::vector<factored_weight> found;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      auto const& [rows, columns, values] = spectra[i];
      double kept = 0;
      for (index_t k = 0; k < ranks[i]; ++k)
        kept += values[static_cast<std::size_t>(k)] * values[static_cast<std::size_t>(k)];
      found.push_back({names[i], rows, columns, ranks[i],
                       whole[i] > 0 ? std::sqrt(std::max(0.0, 1 - kept / whole[i])) : 0.0, apart[i],
                       spectra[i].pays(ranks[i], apart[i])});
    }
    return {std::move(parts), std::move(found)};
  }

  /// The decomposition of a part's numbers. \param in null, or what its columns are weighed by \returns ‖W‖²_F, in its
  /// norm
  template <class Net> double decompose(parallel::model<Net>& m, detail::to_factor& p, layer_input const* in) const {
    index_t const rows = p.shape[0], columns = p.shape.size_from(1);
    if (in) {
      try {
        p.weighting.emplace_back(columns, std::span<double const>(in->gram), 1.0 / static_cast<double>(in->rows),
                                 dampening_frac);
      } catch (error const& e) {
        throw error{"compress::" + std::string(what), "'" + p.name + "': " + e.problem(), e.remedy()};
      }
    }
    if (p.cut >= 0) {
      p.f = p.cut == 0 ? compute::svd_of_rows(m.parts(), p.rows, p.columns, p.values, solver)
                       : compute::svd_of_rows(m.parts(), p.columns, p.rows,
                                              compute::detail::transposed(rows, columns, p.values), solver);
      return detail::tails(p.f.s)[0];
    }
    auto seen = p.values;
    if (in)
      for (index_t r = 0; r < rows; ++r)
        p.weighting.front().apply(p.values.data() + r * columns, seen.data() + r * columns);
    auto const* const r = std::get_if<by_rank>(&rule);
    // else the rule says what is wrong
    bool const few = randomized && r->rank >= 1 && r->rank <= std::min(rows, columns);
    double squares = 0;
    for (double const v : seen) squares += v * v;
    p.f = few ? compute::randomized_svd(rows, columns, seen, r->rank, {.solver = solver}) : solver(rows, columns, seen);
    return squares;
  }

  /// Takes the largest magnitudes of the whole weight out; of one that is cut each part gives those that it has.
  /// \returns the share of the whole's elements that stands apart and is not zero
  template <class Net>
  [[nodiscard]] double set_apart(parallel::model<Net>& m, detail::to_factor& p, nn::parameter const& w) const {
    auto const sum = [&](std::vector<std::int64_t>& counts) {
      if (p.cut >= 0) m.parts().all_reduce(counts);
    };
    auto const all = static_cast<double>(p.rows) * static_cast<double>(p.columns);
    p.apart.assign(p.values.size(), 0.0f);
    std::vector<std::int64_t> kept{0};
    for (auto const i : detail::largest_of_whole(w, p.values, static_cast<index_t>(sparse_share * all), sum)) {
      p.apart[i] = static_cast<float>(p.values[i] * p.unit);
      p.values[i] = 0;
      kept[0] += p.apart[i] != 0;
    }
    sum(kept);
    return static_cast<double>(kept[0]) / std::max(1.0, all);
  }
};

using low_rank = factorize<false>;
using sparse_low_rank = factorize<true>;

}  // namespace pleat::compress
