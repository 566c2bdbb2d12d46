// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Weights become products of thin factors, alone or beside a sparse matrix of outliers.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/codec/low_rank.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/detail/convertible.hpp>
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
  double error = 0;      ///< ‖W − Ŵ‖_F/‖W‖_F before the factors' rounding; with samples, in the norm √(Σ‖(W − Ŵ)x‖²)
  double outliers = 0;   ///< share of the elements that is stored as it is
  bool pays = false;     ///< the factors have fewer numbers than the matrix
  [[nodiscard]] index_t numbers() const noexcept { return pays ? rank * (rows + columns) : rows * columns; }
};

namespace detail {

/// Lower Cholesky factor of C + dampening·mean(diag)·1, row-major, with what is needed to undo it. Small and rare: one chain per element.
class whitening {
 public:
  whitening(index_t n, std::span<double const> gram, double scale, double dampening) : n_(n), l_(gram.begin(), gram.end()) {
    double mean = 0;
    for (index_t i = 0; i < n; ++i) mean += at(i, i) * scale / static_cast<double>(n);
    double const extra = mean > 0 ? dampening * mean : 1.0;
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j <= i; ++j) {
        double sum = at(i, j) * scale + (i == j ? extra : 0.0);
        sum -= compute::detail::dot_of(l_.data() + i * n, l_.data() + j * n, j);
        if (i == j && !(sum > 0)) throw error{"", "the inputs' matrix is not positive definite at column " + std::to_string(i), "Raise .dampening_frac"};
        at(i, j) = i == j ? std::sqrt(sum) : sum / at(j, j);
      }
    for (index_t i = 0; i < n; ++i)
      for (index_t j = i + 1; j < n; ++j) at(i, j) = 0;
  }
  /// w·L of a row.
  void apply(double const* w, double* out) const {
    std::fill(out, out + n_, 0.0);
    for (index_t i = 0; i < n_; ++i) compute::detail::add_multiple(w[i], l_.data() + i * n_, out, i + 1);
  }
  /// v·L⁻¹ of a row, in place.
  void undo(double* v) const {
    for (index_t j = n_ - 1; j >= 0; --j) {
      v[j] /= l_[static_cast<std::size_t>(j * n_ + j)];
      compute::detail::add_multiple(-v[j], l_.data() + j * n_, v, j);
    }
  }

 private:
  [[nodiscard]] double& at(index_t i, index_t j) noexcept { return l_[static_cast<std::size_t>(i * n_ + j)]; }
  index_t n_;
  std::vector<double> l_;
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

/// L and R of a part, each with the root of the singular values.
struct factors {
  std::vector<float> left, right;
};
[[nodiscard]] inline factors factors_of(to_factor const& w, index_t rank) {
  index_t const m = w.shape[0], n = w.shape.size_from(1);
  factors out{std::vector<float>(static_cast<std::size_t>(m * rank)), std::vector<float>(static_cast<std::size_t>(rank * n))};
  std::vector<double> row(static_cast<std::size_t>(std::max(m, n)));
  for (index_t k = 0; k < rank; ++k) {
    double const s = w.f.s[static_cast<std::size_t>(k)], root = std::sqrt(s) * std::sqrt(w.unit), over = s > 0 ? std::sqrt(w.unit) / std::sqrt(s) : 0.0;
    auto const set = [&](std::vector<float>& to, index_t first, index_t step, double const* from, index_t count, double factor) {
      for (index_t i = 0; i < count; ++i) to[static_cast<std::size_t>(first + i * step)] = static_cast<float>(from[i] * factor);
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
      for (index_t i = 0; i < m; ++i) row[static_cast<std::size_t>(i)] = compute::detail::dot_of(w.values.data() + i * n, v, n);
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

/// f(weight&) for every weight of this rank that may take the factors `Form`, of a number of dimensions from `least` on. \param aloud null: nothing is said
template <class Form, class Net, class F>
void for_each_factorable(parallel::model<Net>& m, char const* call, std::vector<std::string> const& ignore, int least, listener const* aloud, F&& f) {
  auto const shared = shared_names(m.net());
  for_each_convertible<codec::forms<Form>>(m, call, ignore, aloud, [&](auto& w) -> std::string {
    if (w.shape.rank() < least) return {};
    auto why = why_not_encoded(w, shared);
    if (why.empty() && !w.absent) f(w);
    return why;
  });
}

}  // namespace detail

/// Gives every weight matrix and kernel two thin factors, W ≈ L·R, by singular values: the best of its rank in the Frobenius norm, or, with
/// `.data`, in that of the layer's outputs over samples (SVD of W·C^½, C the mean of x·xᵀ). A convolution [out, in, h, w] is a matrix [out,
/// in·h·w]: `rank` kernels, then a 1×1 one (channel SVD). A weight whose factors would have more numbers than it has stays one matrix, which
/// is said. Factors are frozen.
///
///     model | low_rank{.rule = by_energy{0.95}}
///     model | low_rank{.rule = by_budget{0.4}, .data = calibration(train, 300)}
///     pruned | sparse_low_rank{.rule = by_rank{16}, .sparse_share = 0.05}     // outliers apart; of a pruned weight: its survivors
///
/// Weights that are cut over the tensor axis are decomposed where they are (compute::tsqr). Every data rank computes the same bits.
template <bool Sparse> struct factorize {
  using fusable_transform = void;
  template <class T> using form = std::conditional_t<Sparse, codec::sparse_low_rank<T>, codec::low_rank<T>>;
  static constexpr bool encodes = true;
  static constexpr bool fills_zeros = !Sparse;
  static constexpr bool takes_parts = true;
  static constexpr char const* what = Sparse ? "sparse_low_rank" : "low_rank";

  rank_rule rule = by_energy{0.9};
  double sparse_share = 0;                     ///< sparse_low_rank only: share of the elements, the largest, that is stored as it is, in [0, 1)
  calibration data{};                          ///< samples whose outputs count; empty: the weight alone counts
  double dampening_frac = 0.01;                ///< of the mean diagonal of Σ x·xᵀ, added to it
  compute::svd_solver solver = compute::svd;   ///< or compute::lapack::svd
  bool randomized = false;                     ///< with by_rank: only the values that are wanted, from random products
  std::vector<std::string> ignore{};           ///< names that stay as they are; * and ? as in a shell
  listener on_note{};

  [[nodiscard]] std::string name() const { return what; }
  [[nodiscard]] error_kind leaves_errors() const noexcept { return error_kind::bounded; }

  /// What run() would do. Collective.
  template <class Net> [[nodiscard]] std::vector<factored_weight> plan(parallel::model<Net>& m) const { return decompose(m, false).second; }

  /// Collective. \throws error for a rule outside its range (rank_rules.hpp), a weight with NaN or infinity (by name), no weight that is
  ///                     selected, samples where weights are cut, a pipeline
  template <class Net> void run(parallel::model<Net>& m) const {
    auto const [parts, found] = decompose(m, true);
    std::string dear;
    std::size_t next = 0;
    for_each_selected(m, false, [&](auto& w) {
      auto const& p = parts[next];
      auto const& to = found[next++];
      if (!to.pays) {
        dear += (dear.empty() ? "'" : ", '") + to.name + "' (rank " + std::to_string(to.rank) + " of " + std::to_string(to.rows) + " × " + std::to_string(to.columns) + ")";
        return;
      }
      using F = form<typename std::remove_cvref_t<decltype(w)>::value_type>;
      auto const f = detail::factors_of(p, to.rank);
      F::set(m.context(), w.shape, F::bits::from_factors(w.shape, to.rank, f.left, f.right, p.apart), w.storage_of(codec::form_tag<F>{}));
      w.template use_form<F>();
      w.follow_form(false);
    });
    if (!dear.empty()) detail::say(m, on_note, "compress::" + std::string(what) + " left " + dear + " as one matrix: the factors would have more numbers");
    m = m.rebuild(m.net());  // an arena without the factored weights
  }

 private:
  template <class Net, class F> void for_each_selected(parallel::model<Net>& m, bool aloud, F&& f) const {
    detail::for_each_factorable<form<typename parallel::model<Net>::value_type>>(m, Sparse ? "compress::sparse_low_rank" : "compress::low_rank", ignore, 2, aloud ? &on_note : nullptr, f);
  }

  void check() const {
    if (!(sparse_share >= 0 && sparse_share < 1)) throw error{"compress::" + std::string(what), "sparse_share is " + std::to_string(sparse_share) + ", expected a share in [0, 1)"};
    if (!Sparse && sparse_share != 0) throw error{"compress::low_rank", "sparse_share is for sparse_low_rank", "Say sparse_low_rank{…} to keep outliers apart"};
    if (randomized && !std::holds_alternative<by_rank>(rule)) throw error{"compress::" + std::string(what), "the randomised solver finds as many values as it is asked for, and this rule has to see all", "Use by_rank, or .randomized = false"};
    if (!(dampening_frac > 0)) throw error{"compress::" + std::string(what), "dampening_frac must be positive, found " + std::to_string(dampening_frac)};
  }

  /// Whether there is work, and all of it can be done: asked before the first sum over ranks, so that none waits for one that has left.
  template <class Net> void demand_weights(parallel::model<Net>& m) const {
    using T = typename parallel::model<Net>::value_type;
    using Space = typename parallel::model<Net>::execution_space;
    std::string const call = "compress::" + std::string(what);
    if (m.pipeline().size() > 1)
      throw error{call, "ranks are chosen over all layers together, and a stage of a pipeline sees its own", "Factor on a plan with one stage, save, and load on the pipeline"};
    bool any = false;
    comm::all_or_none(m.all_ranks(), [&] {
      for_each_selected(m, false, [&](auto& w) {
        any = true;
        if (!Sparse && w.mask_bits() != nullptr)
          throw error{call, "'" + w.name + "' is pruned, and factors would fill its zeros", "Use sparse_low_rank, which keeps what survived apart, or leave the weight out (.ignore)"};
        std::vector<T> host(static_cast<std::size_t>(w.size()));
        copy_to_host(m.context(), tensor<T, Space>::wrap(w.data(), w.shape), host.data());
        for (std::size_t i = 0; i < host.size(); ++i)
          if (double const v = pleat::detail::number(host[i]); !std::isfinite(v))
            throw error{call, "element " + std::to_string(detail::place_in_whole(w.whole(), w.box(), static_cast<index_t>(i))) + " of '" + w.name + "' is " + std::to_string(v), "Train again with a lower learning rate"};
      });
    });
    if (!any) throw error{call, "no weight is left to be factored", "See .ignore, and whether the layers have with_forms"};
  }

  /// \param keep the parts' numbers and decompositions too
  template <class Net> std::pair<std::vector<detail::to_factor>, std::vector<factored_weight>> decompose(parallel::model<Net>& m, bool keep) const {
    using T = typename parallel::model<Net>::value_type;
    using Space = typename parallel::model<Net>::execution_space;
    check();
    demand_weights(m);
    std::vector<layer_input> inputs;
    if (!data.empty()) {
      if (m.parts().size() > 1) throw error{"compress::" + std::string(what), "weights are cut over the tensor axis, where no rank can weigh their columns", "Leave .data empty, or use mesh.tensor = 1"};
      inputs = layer_inputs(m, data);
    }
    std::vector<detail::to_factor> parts;
    std::vector<spectrum> spectra;
    std::vector<std::string> names, unweighted;
    std::vector<double> whole;  // ‖W‖_F of each, scaled, in its norm
    for_each_selected(m, keep, [&](auto& w) {
      detail::to_factor p;
      p.name = w.name;
      p.shape = w.shape;
      p.rows = codec::rows_of(w.whole());
      p.columns = codec::columns_of(w.whole());
      if (w.parts > 1 && w.where.shards()) p.cut = w.where.dim == 0 ? 0 : 1;
      std::vector<T> host(static_cast<std::size_t>(w.size()));
      copy_to_host(m.context(), tensor<T, Space>::wrap(w.data(), w.shape), host.data());
      double largest = 0;
      for (T const v : host) largest = std::max(largest, std::fabs(pleat::detail::number(v)));
      if (p.cut >= 0) largest = m.parts().all_reduce_value(largest, comm::reduction::max);
      p.unit = largest > 0 ? largest : 1.0;
      for (T const v : host) p.values.push_back(pleat::detail::number(v) / p.unit);
      if constexpr (Sparse) set_apart(p);
      index_t const rows = p.shape[0], columns = p.shape.size_from(1);
      auto const in = std::find_if(inputs.begin(), inputs.end(), [&](auto const& x) { return x.name == p.name; });
      if (in != inputs.end() && in->groups == 1 && in->rows > 0) {
        try {
          p.weighting.emplace_back(columns, std::span<double const>(in->gram), 1.0 / static_cast<double>(in->rows), dampening_frac);
        } catch (error const& e) {
          throw error{"compress::" + std::string(what), "'" + p.name + "': " + e.problem(), e.remedy()};
        }
      } else if (!inputs.empty()) {
        unweighted.push_back(p.name);
      }
      if (p.cut >= 0) {
        if (p.cut == 0) p.f = compute::svd_of_rows(m.parts(), p.rows, p.columns, p.values, solver);
        else p.f = compute::svd_of_rows(m.parts(), p.columns, p.rows, compute::detail::transposed(rows, columns, p.values), solver);
      } else {
        auto seen = p.values;
        if (!p.weighting.empty())
          for (index_t r = 0; r < rows; ++r) p.weighting.front().apply(p.values.data() + r * columns, seen.data() + r * columns);
        auto const* const r = std::get_if<by_rank>(&rule);
        bool const few = randomized && r->rank >= 1 && r->rank <= std::min(rows, columns);  // else the rule says what is wrong
        double squares = 0;
        for (double const v : seen) squares += v * v;
        p.f = few ? compute::randomized_svd(rows, columns, seen, r->rank) : solver(rows, columns, seen);
        whole.push_back(squares);
      }
      if (p.cut >= 0) whole.push_back(detail::tails(p.f.s)[0]);
      spectra.push_back({p.rows, p.columns, p.f.s});
      names.push_back(p.name);
      parts.push_back(std::move(p));
    });
    if (keep && !unweighted.empty()) {
      std::string list;
      for (auto const& n : unweighted) list += (list.empty() ? "'" : ", '") + n + "'";
      detail::say(m, on_note, "compress::" + std::string(what) + " factors " + list + " without a look at outputs: its channels are in groups, or no sample comes by");
    }
    auto const ranks = ranks_of(rule, spectra, names);
    std::vector<factored_weight> found;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      auto const& p = parts[i];
      double kept = 0;
      for (index_t k = 0; k < ranks[i]; ++k) kept += p.f.s[static_cast<std::size_t>(k)] * p.f.s[static_cast<std::size_t>(k)];
      double const apart = Sparse ? static_cast<double>(std::count_if(p.apart.begin(), p.apart.end(), [](float v) { return v != 0; })) / static_cast<double>(std::max<std::size_t>(1, p.apart.size())) : 0.0;
      index_t const numbers = ranks[i] * (p.rows + p.columns);
      // an outlier is a number and an index
      bool const pays = ranks[i] > 0 && static_cast<double>(numbers) + 2 * apart * static_cast<double>(p.rows) * static_cast<double>(p.columns) < static_cast<double>(p.rows * p.columns);
      found.push_back({p.name, p.rows, p.columns, ranks[i], whole[i] > 0 ? std::sqrt(std::max(0.0, 1 - kept / whole[i])) : 0.0, apart, pays});
    }
    return {std::move(parts), std::move(found)};
  }

  /// Takes the largest magnitudes out; ties by position. Of a weight that is cut, each part gives its share.
  void set_apart(detail::to_factor& p) const {
    p.apart.assign(p.values.size(), 0.0f);
    std::vector<std::size_t> order(p.values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    auto const count = static_cast<std::ptrdiff_t>(sparse_share * static_cast<double>(p.values.size()));
    std::nth_element(order.begin(), order.begin() + count, order.end(), [&](std::size_t a, std::size_t b) {
      double const x = std::fabs(p.values[a]), y = std::fabs(p.values[b]);
      return x != y ? x > y : a < b;
    });
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      auto const at = order[static_cast<std::size_t>(i)];
      p.apart[at] = static_cast<float>(p.values[at] * p.unit);
      p.values[at] = 0;
    }
  }
};

using low_rank = factorize<false>;
using sparse_low_rank = factorize<true>;

}  // namespace pleat::compress
