// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Which rank a matrix gets: rules that look at its singular values. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <string>
#include <variant>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/compress/settings.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compress {

/// This rank, in every matrix that has it.
struct by_rank {
  index_t rank = 0;  ///< of every weight
};
/// The smallest rank that keeps this share of Σ σ², in (0, 1].
struct by_energy {
  double energy = 0.9;
};
/// The smallest rank with ‖W − Ŵ‖_F ≤ epsilon·‖W‖_F, in [0, 1).
struct by_error {
  double epsilon = 0.1;
};
/// All factors together have at most this share of the selected weights' elements, in (0, 1]. Ranks go where a number
/// buys most of ‖W‖²_F.
struct by_budget {
  double parameters = 0.5;
};
/// As many values as stand out of noise: the analytic solution of variational Bayesian matrix factorisation, S.
/// Nakajima, M. Sugiyama, S. Babacan, R. Tomioka, "Global analytic solution of fully-observed variational Bayesian
/// matrix factorization", JMLR 14, 2013.
struct evbmf {};

using rank_rule = std::variant<by_rank, by_energy, by_error, by_budget, evbmf>;

/// "energy 0.9"
PLEAT_LAZY [[nodiscard]] inline std::string words_of(rank_rule const& r) {
  if (auto const* k = std::get_if<by_rank>(&r)) return "rank " + words_of(k->rank);
  if (auto const* e = std::get_if<by_energy>(&r)) return "energy " + words_of(e->energy);
  if (auto const* e = std::get_if<by_error>(&r)) return "error " + words_of(e->epsilon);
  if (auto const* b = std::get_if<by_budget>(&r)) return "budget " + words_of(b->parameters);
  return "evbmf";
}

/// A matrix as the rules see it.
struct spectrum {
  index_t m = 0, n = 0;
  std::vector<double> s;  ///< singular values, descending

  /// Whether factors of that rank have fewer numbers. \param apart share of the elements that stand beside them, each a
  /// number and an index
  [[nodiscard]] bool pays(index_t rank, double apart = 0) const noexcept {
    auto const rows = static_cast<double>(m), columns = static_cast<double>(n);
    return rank > 0 && static_cast<double>(rank) * (rows + columns) + 2 * apart * rows * columns < rows * columns;
  }
};

namespace detail {

/// Σ of the squares from the k-th value on.
[[nodiscard]] inline std::vector<double> tails(std::vector<double> const& s) {
  std::vector<double> t(s.size() + 1, 0.0);
  for (std::size_t i = s.size(); i-- > 0;) t[i] = t[i + 1] + s[i] * s[i];
  return t;
}

/// The free energy of EVBMF at a noise variance, up to a constant; x_h = σ_h²/(long side·variance).
[[nodiscard]] inline double free_energy(double variance, spectrum const& a, double large, double alpha, double edge) {
  double sum = 0;
  for (double const s : a.s) {
    double const x = std::max(s * s, 1e-300) / (large * variance);
    if (x > edge) {
      double const b = x - (1 + alpha), tau = 0.5 * (b + std::sqrt(std::max(0.0, b * b - 4 * alpha)));
      sum += x - tau + std::log((tau + 1) / x) + alpha * std::log(tau / alpha + 1);
    } else {
      sum += x - std::log(x);
    }
  }
  return sum;
}

[[nodiscard]] inline index_t evbmf_rank(spectrum const& a) {
  double const few = static_cast<double>(std::min(a.m, a.n)), many = static_cast<double>(std::max(a.m, a.n)),
               alpha = few / many;
  double const tau = 2.5129 * std::sqrt(alpha), edge = (1 + tau) * (1 + alpha / tau);
  double all = 0;
  for (double const s : a.s) all += s * s;
  if (all <= 0) return 0;
  // The variance lies between what the smallest values say and what all say together.
  auto const most = static_cast<std::size_t>(
      std::min(static_cast<double>(a.s.size()) - 1, std::max(0.0, std::ceil(few / (1 + alpha)) - 1)));
  double tail = 0;
  for (std::size_t i = most; i < a.s.size(); ++i) tail += a.s[i] * a.s[i];
  double const high = all / (few * many);
  double const low = std::min(high, std::max({a.s[most] * a.s[most] / (many * edge),
                                              tail / (static_cast<double>(a.s.size() - most) * many), 1e-12 * high}));
  // A grid for the valley, a golden section for its ground: the function is piecewise smooth.
  constexpr int grid = 200;
  double const ratio = std::log(high / low);
  auto const at = [&](double t) { return low * std::exp(ratio * t); };
  int best = 0;
  for (int i = 1; i <= grid; ++i)
    if (free_energy(at(static_cast<double>(i) / grid), a, many, alpha, edge) <
        free_energy(at(static_cast<double>(best) / grid), a, many, alpha, edge))
      best = i;
  double left = std::max(0.0, (best - 1.0) / grid), right = std::min(1.0, (best + 1.0) / grid);
  double const golden = 0.6180339887498949;
  for (int i = 0; i < 60; ++i) {
    double const x = right - golden * (right - left), y = left + golden * (right - left);
    if (free_energy(at(x), a, many, alpha, edge) <= free_energy(at(y), a, many, alpha, edge)) right = y;
    else left = x;
  }
  double const threshold = std::sqrt(many * at(0.5 * (left + right)) * edge);
  return std::count_if(a.s.begin(), a.s.end(), [&](double s) { return s > threshold; });
}

}  // namespace detail

/// The ranks of several matrices; 0: nothing of it stands out (EVBMF), or the budget is spent elsewhere.
/// \param names for messages
/// \throws error for a rank below 1 or above a matrix, an energy outside (0, 1], an epsilon outside [0, 1), a budget
/// outside (0, 1]
[[nodiscard]] inline std::vector<index_t> ranks_of(rank_rule const& rule, std::vector<spectrum> const& all,
                                                   std::vector<std::string> const& names) {
  auto const call = "compress::low_rank";
  std::vector<index_t> ranks;
  auto const up_to = [&](auto&& drop) {  // the smallest rank whose tail is at most drop(whole)
    for (auto const& a : all) {
      auto const t = detail::tails(a.s);
      index_t r = static_cast<index_t>(a.s.size());
      while (r > 1 && t[static_cast<std::size_t>(r - 1)] <= drop(t[0])) --r;
      ranks.push_back(r);
    }
  };
  if (auto const* r = std::get_if<by_rank>(&rule)) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      index_t const most = std::min(all[i].m, all[i].n);
      if (r->rank < 1 || r->rank > most)
        throw error{call,
                    "rank " + std::to_string(r->rank) + " of '" + names[i] + "', which is " + std::to_string(all[i].m) +
                        " × " + std::to_string(all[i].n) + ": expected 1 to " + std::to_string(most),
                    "Leave small weights out (.ignore), or choose by energy, error or budget"};
      ranks.push_back(r->rank);
    }
  } else if (auto const* e = std::get_if<by_energy>(&rule)) {
    if (!(e->energy > 0 && e->energy <= 1))
      throw error{call, "energy is the share of Σ σ² that is kept, in (0, 1], found " + std::to_string(e->energy),
                  "0.9 is a usual one"};
    up_to([&](double whole) { return (1 - e->energy) * whole; });
  } else if (auto const* x = std::get_if<by_error>(&rule)) {
    if (!(x->epsilon >= 0 && x->epsilon < 1))
      throw error{call, "epsilon is the largest ‖W − Ŵ‖/‖W‖, in [0, 1), found " + std::to_string(x->epsilon),
                  "0.1 is a tenth of the weight's norm"};
    up_to([&](double whole) { return x->epsilon * x->epsilon * whole; });
  } else if (auto const* b = std::get_if<by_budget>(&rule)) {
    if (!(b->parameters > 0 && b->parameters <= 1))
      throw error{call,
                  "a budget is a share of the weights' elements, in (0, 1], found " + std::to_string(b->parameters),
                  "0.5 keeps half as many numbers"};
    double left = 0;
    struct offer {
      double gain;  ///< share of the matrix's ‖W‖²_F per number
      std::size_t matrix;
      index_t cost;
    };
    std::vector<offer> offers;
    for (std::size_t i = 0; i < all.size(); ++i) {
      left += static_cast<double>(all[i].m) * static_cast<double>(all[i].n);
      double const whole = detail::tails(all[i].s)[0];
      index_t const cost = all[i].m + all[i].n;
      if (whole > 0)
        for (double const s : all[i].s) offers.push_back({s * s / whole / static_cast<double>(cost), i, cost});
    }
    left *= b->parameters;
    std::stable_sort(offers.begin(), offers.end(), [](offer const& x, offer const& y) { return x.gain > y.gain; });
    ranks.assign(all.size(), 0);
    // values of a matrix are taken in order: a smaller one never without the larger
    std::vector<bool> closed(all.size(), false);
    for (auto const& o : offers) {
      if (closed[o.matrix]) continue;
      if (static_cast<double>(o.cost) > left) closed[o.matrix] = true;
      else left -= static_cast<double>(o.cost), ++ranks[o.matrix];
    }
    for (std::size_t i = 0; i < all.size(); ++i)
      if (detail::tails(all[i].s)[0] == 0)
        throw error{call, "'" + names[i] + "' is all zero: no budget is shared with it",
                    "Leave the weight out (.ignore)"};
      else if (ranks[i] == 0)
        throw error{call,
                    "the budget of " + std::to_string(b->parameters) + " leaves nothing for '" + names[i] +
                        "': its smallest factors have " + std::to_string(all[i].m + all[i].n) + " of " +
                        std::to_string(all[i].m * all[i].n) + " numbers",
                    "Raise the budget, or leave the weight out (.ignore)"};
  } else {
    for (auto const& a : all) ranks.push_back(detail::evbmf_rank(a));
  }
  return ranks;
}

}  // namespace pleat::compress
