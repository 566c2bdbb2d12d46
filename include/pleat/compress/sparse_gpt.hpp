// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// SparseGPT: pruning that looks at what a layer multiplies with, and changes the survivors so that its outputs stay
/// where they were.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/context.hpp>
#include <pleat/base/math.hpp>
#include <pleat/compress/detail/column_walk.hpp>
#include <pleat/compress/layer_inputs.hpp>
#include <pleat/compress/prune.hpp>

namespace pleat::compress {

/// What happened to one weight.
struct sparse_gpt_layer {
  std::string name;
  double error = 0;            ///< Σ ‖(W − Ŵ)·x‖² over the inputs that it was given
  double magnitude_error = 0;  ///< the same for magnitude pruning of as many elements, with the same inputs
  double dampening = 0;        ///< what was added to the diagonal, as a share of its mean
};

/// Every weight by itself loses round(sparsity·n) elements, or all but n of every m columns, and its survivors take
/// over what the lost ones did: columns are visited one after the other, the elements with the least w²/[H⁻¹]_ii go,
/// and the columns that follow are moved against the error, along the Cholesky factor of H⁻¹, H = Σ x·xᵀ + dampening
/// (Frantar and Alistarh, arXiv:2301.00774). No labels, no training.
///
/// Layers are visited in forward order, and each sees the inputs that the pruned ones before it make. Elements that
/// were pruned before stay pruned. The same bytes on any number of data ranks, each of which has the whole solution;
/// over the tensor axis a rank solves some rows (weights cut along columns are brought to rows and back), and
/// activations are sums in another order. Sharded parameters (state_stage = 3) are gathered one weight at a time.
struct sparse_gpt {
  using fusable_transform = void;
  template <class T> using form = codec::masked<T>;
  static constexpr bool writes_weights = true;       ///< changes values of weights
  static constexpr bool takes_parts = true;          ///< runs where weights are cut over the tensor axis
  static constexpr bool takes_shards = true;         // layer by layer
  static constexpr char const* what = "sparse_gpt";  ///< its name in reports and errors

  double sparsity = 0.5;                                    ///< in [0, 1)
  calibration samples{};                                    ///< what the inputs are taken from
  std::optional<n_of_m> pattern{};                          ///< instead of a sparsity
  double dampening_frac = 0.01;                             ///< added to the diagonal of H, as a share of its mean
  index_t block_size = 128;                                 ///< columns among which one decision is made
  std::vector<std::string> ignore{};                        ///< names that stay as they are
  listener on_note{};                                       ///< hears what stays as it was, and why
  std::function<void(sparse_gpt_layer const&)> on_layer{};  ///< on every rank that holds the weight

  /// "sparse_gpt 0.5", "sparse_gpt 2:4"
  [[nodiscard]] std::string name() const {
    return std::string(what) + (pattern ? " " + std::to_string(pattern->n) + ":" + std::to_string(pattern->m)
                                        : detail::format(" %g", sparsity));
  }

  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const {
    say("sparsity", sparsity), say("pattern", pattern), say("samples", samples), say("ignore", ignore);
    say("dampening_frac", dampening_frac), say("block_size", block_size);
  }

  /// Collective. \throws error for a sparsity outside [0, 1), a pattern that does not divide, an empty calibration set,
  /// a weight with NaN or infinity, or if no weight is selected
  template <class Net> void run(parallel::model<Net>& m) const {
    constexpr char const* call = "compress::sparse_gpt";
    detail::demand_sparsity(call, sparsity);
    if (!(dampening_frac >= 0 && std::isfinite(dampening_frac)) || block_size < 1)
      throw error{call,
                  "dampening_frac must be finite and not negative and block_size must be positive, found " +
                      std::to_string(dampening_frac) + " and " + std::to_string(block_size),
                  "Leave them at 0.01 and 128"};
    if (samples.empty())
      throw error{call, "the calibration set is empty",
                  "Give it samples: .samples = compress::calibration(data.train, 128)"};
    auto all = detail::gather(m, call, ignore, &on_note);
    if (pattern) detail::demand_pattern(m, call, *pattern, all);
    // it takes sums over ranks: all or none
    bool const measure = m.all_ranks().all_reduce_value(on_layer ? 1 : 0, comm::reduction::max) > 0;
    std::vector<double> raised(all.size(), 0.0);
    for (std::size_t i = 0; i < all.size(); ++i) {
      auto const inputs =
          layer_inputs(m, samples, {.only = [&](nn::parameter const& w) { return w.name == all[i].name; }});
      std::string bad;
      if (all[i].part > 0) {
        if (inputs.empty()) bad = "no input of '" + all[i].name + "' was seen";
        else if (!detail::all_finite(inputs[0].gram))
          bad = "the inputs of '" + all[i].name + "' hold NaN or infinity in the calibration set";
        else if (inputs[0].groups > 1 && all[i].part < all[i].whole.size())
          bad = "'" + all[i].name + "' is a convolution of " + std::to_string(inputs[0].groups) +
                " groups that is cut along the tensor axis";
      }
      detail::agree(m, call, bad, "Look at the samples and at the layers before, or name it in .ignore");
      m.net().for_each_parameter([&](auto& w) {
        if constexpr (requires {
                        w.data();
                        w.where;
                      })
          if (w.name == all[i].name && !w.absent)
            raised[i] = solve_whole(m, w, all[i], inputs.empty() ? layer_input{} : inputs[0], measure);
      });
    }
    m.all_ranks().all_reduce(raised, comm::reduction::max);  // of the other stages too
    for (std::size_t i = 0; i < all.size(); ++i)
      if (raised[i] > dampening_frac)
        detail::say(m, on_note,
                    std::string(call) + ": the inputs of '" + all[i].name +
                        "' depend on each other: the diagonal was raised by " + std::to_string(raised[i]) +
                        " of its mean instead of " + std::to_string(dampening_frac));
    detail::encode(m, ignore, all);
    detail::say_emptied(m, call, on_note, all);
  }

 private:
  /// Rows of a weight, whole ones: this rank's, or those that it has been lent by the ranks that hold their other
  /// columns.
  struct rows_of_all_columns {
    std::vector<double> w;
    std::vector<std::uint8_t> dead;
    index_range rows;
  };

  /// solve, where every rank may have a run of the weight: it is put together for that.
  template <class Net, class W, class T>
  double solve_whole(parallel::model<Net>& m, W& w, detail::candidate<T>& c, layer_input const& in,
                     bool measure) const {
    if (!m.shards()) {
      double const raised = solve(m, w, c, in, measure);
      copy_from_host(m.context(), c.values.data(), tensor<T, typename W::execution_space>::wrap(w.data(), w.shape));
      return raised;
    }
    auto whole = detail::whole_part(m, w, c);
    double const raised = solve(m, w, whole, in, measure);
    m.set_host_values_of(w, whole.values);
    m.values_changed();
    detail::take_run(whole, c);
    return raised;
  }

  /// \param c the whole part, whose numbers become others \returns what was added to the diagonal, as a share of its
  /// mean
  template <class Net, class W, class T>
  double solve(parallel::model<Net>& m, W& w, detail::candidate<T>& c, layer_input const& in, bool measure) const {
    bool const by_columns = w.parts > 1 && w.where.shards(1), by_rows = w.parts > 1 && w.where.shards(0);
    index_t const columns = c.whole.size_from(1);
    auto part = by_columns ? to_rows(m, c) : rows_here(c);
    auto const sum = [&](std::vector<std::int64_t>& counts) {
      if (by_columns || by_rows) m.parts().all_reduce(counts);
    };
    auto const space = host_space(m);
    auto const was = part.w;
    sparse_gpt_layer report{w.name, 0, 0, dampening_frac};
    index_t const groups = in.groups, each = part.rows.size() / groups, of_all = c.whole[0] / groups;
    for (index_t g = 0; g < groups; ++g) {
      double* const x = part.w.data() + g * each * columns;
      std::uint8_t* const dead = part.dead.data() + g * each * columns;
      auto const u = factor(space, in, g, report.dampening);
      if (measure)
        report.magnitude_error += error_of_magnitude(in, g, each, columns, groups == 1 ? part.rows.begin : 0, of_all,
                                                     was.data() + g * each * columns, dead, sum);
      detail::walk_columns(space, {sparsity, pattern ? pattern->n : 0, pattern ? pattern->m : 0, block_size}, each,
                           columns, groups == 1 ? part.rows.begin : 0, of_all, x, u.data(), dead, sum);
      if (measure) report.error += error_between(in, g, each, columns, was.data() + g * each * columns, x);
    }
    if (by_columns) to_columns(m, part, c);
    else give_back(part, c);
    if (measure && (by_columns || by_rows)) {
      report.error = m.parts().all_reduce_value(report.error);
      report.magnitude_error = m.parts().all_reduce_value(report.magnitude_error);
    }
    if (on_layer) on_layer(report);
    return report.dampening;
  }

  /// An instance of the host's: the model's own, where that is one.
  template <class Net> [[nodiscard]] static auto host_space(parallel::model<Net> const& m) {
    using Space = typename parallel::model<Net>::execution_space;
    if constexpr (compute::is_host_space_v<Space>) return m.context().space();
    else return make_instance<Kokkos::DefaultHostExecutionSpace>(1);
  }

  /// U with H⁻¹ = Uᵀ·U. A column that no input touches counts as one. More is added to the diagonal until the factor
  /// exists.
  template <class Host>
  [[nodiscard]] std::vector<double> factor(Host const& space, layer_input const& in, index_t g,
                                           double& dampening) const {
    index_t const n = in.columns;
    double mean = 0;
    for (index_t j = 0; j < n; ++j) mean += in.squares[static_cast<std::size_t>(g * n + j)] / static_cast<double>(n);
    std::vector<double> u(static_cast<std::size_t>(n * n));
    for (double share = dampening_frac;; share = std::max(10 * share, 1e-6)) {
      std::vector<double> h(in.gram.begin() + g * n * n, in.gram.begin() + (g + 1) * n * n);
      for (index_t j = 0; j < n; ++j) {
        double& d = h[static_cast<std::size_t>(j * n + j)];
        d = d > 0 ? d + share * mean : (mean > 0 ? mean : 1.0);
      }
      if (compute::upper_factor_of_inverse(space, n, h.data(), u.data()) < 0) {
        dampening = std::max(dampening, share);
        return u;
      }
    }
  }

  [[nodiscard]] static double error_between(layer_input const& in, index_t g, index_t rows, index_t columns,
                                            double const* a, double const* b) {
    layer_input one;
    one.columns = columns;
    one.gram.assign(in.gram.begin() + g * columns * columns, in.gram.begin() + (g + 1) * columns * columns);
    auto const n = static_cast<std::size_t>(rows * columns);
    return rows == 0 ? 0
                     : output_error(one, extents{rows, columns}, std::span<double const>(a, n),
                                    std::span<double const>(b, n));
  }
  template <class Sum>
  [[nodiscard]] double error_of_magnitude(layer_input const& in, index_t g, index_t rows, index_t columns,
                                          index_t first_row, index_t all_rows, double const* w,
                                          std::uint8_t const* dead, Sum&& sum) const {
    std::vector<detail::candidate<double>> one(1);
    auto& c = one[0];
    c.whole = extents{all_rows, columns};
    c.box = index_box(c.whole);
    c.box[0] = {first_row, first_row + rows};
    c.values.assign(w, w + rows * columns);
    for (double const v : c.values) c.scores.push_back(std::abs(v));
    c.bits.assign(static_cast<std::size_t>(codec::detail::bit_bytes(rows * columns)), 0xff);
    for (index_t i = 0; i < c.size(); ++i)
      if (dead[i]) c.remove(i);
    if (pattern) {
      detail::keep_in_groups(c, pattern->n, pattern->m);
    } else {
      std::vector<detail::rivals> groups(1);
      groups[0].runs.push_back({0, 0, c.size()});
      groups[0].goes = detail::pruned_count(sparsity, c.whole.size());
      detail::remove_lowest(one, std::span<detail::rivals const>(groups), sum);
    }
    auto const was = c.values;
    for (index_t i = 0; i < c.size(); ++i)
      if (!c.alive(i)) c.values[static_cast<std::size_t>(i)] = 0;
    return error_between(in, g, rows, columns, was.data(), c.values.data());
  }

  template <class T> [[nodiscard]] static rows_of_all_columns rows_here(detail::candidate<T> const& c) {
    rows_of_all_columns p{{}, std::vector<std::uint8_t>(c.values.size()), c.size() > 0 ? c.box[0] : index_range{}};
    for (T const v : c.values) p.w.push_back(pleat::detail::number(v));
    for (index_t i = 0; i < c.size(); ++i) p.dead[static_cast<std::size_t>(i)] = c.alive(i) ? 0 : 1;
    return p;
  }
  template <class T> static void take(detail::candidate<T>& c, index_t i, double value, bool dead) {
    c.values[static_cast<std::size_t>(i)] = dead ? T(0) : pleat::detail::rounded<T>(value);
    if (dead) c.remove(i);
  }
  template <class T> static void give_back(rows_of_all_columns const& p, detail::candidate<T>& c) {
    for (index_t i = 0; i < c.size(); ++i)
      take(c, i, p.w[static_cast<std::size_t>(i)], p.dead[static_cast<std::size_t>(i)] != 0);
  }

  /// Who holds which columns: the parts of the axis, in elements of a row.
  template <class Net, class T>
  [[nodiscard]] static std::vector<index_range> columns_of_parts(parallel::model<Net> const& m,
                                                                 detail::candidate<T> const& c) {
    std::vector<std::int64_t> mine{c.first_column(), c.columns()}, all(static_cast<std::size_t>(2 * m.parts().size()));
    m.parts().all_gather(mine, all);
    std::vector<index_range> out;
    for (std::size_t r = 0; r < all.size(); r += 2) out.push_back({all[r], all[r] + all[r + 1]});
    return out;
  }
  /// Columns to rows and back, with a dead element as NaN on the way: every rank gives each other one a block.
  template <class Net, class T>
  [[nodiscard]] static rows_of_all_columns to_rows(parallel::model<Net>& m, detail::candidate<T> const& c) {
    auto const cut = columns_of_parts(m, c);
    int const ranks = m.parts().size(), me = m.parts().rank();
    index_t const rows = c.whole[0], all = c.whole.size_from(1), mine = c.columns();
    rows_of_all_columns p;
    p.rows = block_range(rows, ranks, me);
    std::vector<double> out(static_cast<std::size_t>(rows * mine)), in(static_cast<std::size_t>(p.rows.size() * all));
    std::vector<index_t> gives, takes;
    for (index_t i = 0; i < c.size(); ++i)
      out[static_cast<std::size_t>(i)] = c.alive(i) ? pleat::detail::number(c.values[static_cast<std::size_t>(i)])
                                                    : std::numeric_limits<double>::quiet_NaN();
    for (int r = 0; r < ranks; ++r)
      gives.push_back(block_range(rows, ranks, r).size() * mine),
          takes.push_back(p.rows.size() * cut[static_cast<std::size_t>(r)].size());
    m.parts().all_to_all_v(out, comm::parts{gives, {}}, in, comm::parts{takes, {}});
    p.w.resize(in.size());
    p.dead.resize(in.size());
    std::size_t at = 0;
    for (auto const& part : cut)
      for (index_t r = 0; r < p.rows.size(); ++r)
        for (index_t j = part.begin; j < part.end; ++j, ++at) {
          auto const to = static_cast<std::size_t>(r * all + j);
          p.dead[to] = std::isnan(in[at]) ? 1 : 0;
          p.w[to] = p.dead[to] ? 0.0 : in[at];
        }
    return p;
  }
  template <class Net, class T>
  static void to_columns(parallel::model<Net>& m, rows_of_all_columns const& p, detail::candidate<T>& c) {
    auto const cut = columns_of_parts(m, c);
    int const ranks = m.parts().size();
    index_t const rows = c.whole[0], all = c.whole.size_from(1), mine = c.columns();
    std::vector<double> out, in(static_cast<std::size_t>(rows * mine));
    std::vector<index_t> gives, takes;
    for (int r = 0; r < ranks; ++r)
      gives.push_back(p.rows.size() * cut[static_cast<std::size_t>(r)].size()),
          takes.push_back(block_range(rows, ranks, r).size() * mine);
    for (auto const& part : cut)
      for (index_t r = 0; r < p.rows.size(); ++r)
        for (index_t j = part.begin; j < part.end; ++j) {
          auto const from = static_cast<std::size_t>(r * all + j);
          out.push_back(p.dead[from] ? std::numeric_limits<double>::quiet_NaN() : p.w[from]);
        }
    m.parts().all_to_all_v(out, comm::parts{gives, {}}, in, comm::parts{takes, {}});
    for (index_t i = 0; i < c.size(); ++i)
      take(c, i, in[static_cast<std::size_t>(i)], std::isnan(in[static_cast<std::size_t>(i)]));
  }
};

}  // namespace pleat::compress
