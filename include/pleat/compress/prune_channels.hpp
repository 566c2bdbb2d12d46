// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Structured pruning: neurons, channels and heads are taken out of the network, which stays dense, smaller and faster.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <pleat/compress/detail/channel_graph.hpp>
#include <pleat/compress/detail/prunable.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/transform.hpp>
#include <pleat/nn/describe.hpp>

namespace pleat::compress {

namespace detail {
template <class Criterion> [[nodiscard]] consteval bool takes_zeros_only() {
  if constexpr (requires { Criterion::zeros_only; }) return Criterion::zeros_only;
  else return false;
}
template <class Criterion> [[nodiscard]] consteval bool scores_squares() {
  if constexpr (requires { Criterion::scores_are_squares; }) return Criterion::scores_are_squares;
  else return false;
}
}  // namespace detail

/// What structured pruning did: multiply-adds of one sample in linear layers and convolutions, and units per group.
struct channel_report {
  /// Units that only go together: those that a residual, a norm or a concatenation ties to one another.
  struct group {
    std::string made_by;      ///< the parameter whose rows (or columns, of an embedding) the units are
    index_t units = 0, kept = 0;
    bool fixed = false;       ///< the network's input or output, or seen by a layer that is not known
  };
  double multiply_adds_before = 0, multiply_adds_after = 0;
  index_t parameters_before = 0, parameters_after = 0;
  std::vector<group> groups;
};

/// |γ| of the batch norm that a channel goes through (Liu et al., "Network slimming", ICCV 2017). Groups without one stay whole.
struct batch_norm_scale {
  static constexpr char const* what = "batch-norm scale";
  template <class Net, class C> void score(parallel::model<Net>& m, std::vector<C>& weights) const {
    std::vector<std::string> norms;
    find(m.net(), norms);
    for (auto& c : weights)
      if (std::find(norms.begin(), norms.end(), c.name) != norms.end())
        for (auto const v : c.values) c.scores.push_back(std::abs(static_cast<typename C::score_type>(v)));
  }

 private:
  template <class L> static void find(L const& l, std::vector<std::string>& out) {
    if constexpr (nn::composite<L>) const_cast<L&>(l).for_each_child([&](auto const& child) { find(child, out); });
    else if constexpr (detail::kind_of<L>() == "batch_norm") out.push_back(l.weight().name);
  }
};

/// Units whose gate has closed (nn/hard_concrete.hpp), all of them and no others: multiply_adds says nothing here.
struct closed_gates {
  static constexpr char const* what = "closed gates";
  static constexpr bool zeros_only = true;
  template <class Net, class C> void score(parallel::model<Net>& m, std::vector<C>& weights) const { visit(m.net(), weights); }

 private:
  template <class L, class C> static void visit(L const& l, std::vector<C>& weights) {
    if constexpr (nn::composite<L>) {
      const_cast<L&>(l).for_each_child([&](auto const& child) { visit(child, weights); });
    } else if constexpr (detail::kind_of<L>() == "hard_concrete") {
      for (auto& c : weights)
        if (c.name == l.log_alpha().name)
          for (auto const v : c.values) c.scores.push_back(static_cast<typename C::score_type>(l.gate(static_cast<double>(v))));
    }
  }
};

/// Units are removed, those with the lowest score first, until linear layers and convolutions do at most `multiply_adds` of what they did. A
/// unit is a neuron, a channel or a head (a group of query heads with its key and value), with everything that belongs to it: found by
/// following the network through residuals, branches, norms and flattening (Fang et al., "DepGraph", CVPR 2023). What a layer of a user's own
/// sees or makes stays, unless it says `static constexpr bool keeps_channels = true`.
///
/// A unit's score is the root mean square over all its elements (by magnitude: of weights, not of biases and norms; where the criterion's
/// scores are squares already, of those), so that large units are not favoured; ties go to the first. The result has the same type, dense weights and smaller extents. Optimizer state and
/// masks do not survive; statistics of norms do, and fine-tuning settles them. Every rank computes the same.
template <class Criterion = magnitude> struct prune_channels_by {
  using fusable_transform = void;
  static constexpr bool writes_weights = true;
  static constexpr bool resizes = true;
  static constexpr char const* what = "prune_channels";

  double multiply_adds = 0.5;           ///< the share that stays at most, in (0, 1]
  extents input{};                      ///< of one sample: {784}, {1, 28, 28}, {positions}
  compress::scope scope = compress::scope::global;  ///< layer: every group loses the same share of its units
  index_t round_to = 1;                 ///< units that are kept are a multiple of this, or all
  std::vector<std::string> ignore{};    ///< parameters whose groups stay whole
  listener on_note{};
  std::function<void(channel_report const&)> on_report{};  ///< on every rank
  Criterion criterion{};

  [[nodiscard]] std::string name() const { return std::string(what) + detail::format(" %g", multiply_adds); }

  /// Collective. \throws error for a share outside (0, 1], for one that cannot be reached, for weights that are not dense, and on a mesh whose
  /// tensor or pipeline axis is cut
  template <class Net> void run(parallel::model<Net>& m) const {
    constexpr char const* call = "compress::prune_channels";
    if (!(multiply_adds > 0 && multiply_adds <= 1))
      throw error{call, "multiply_adds is the share that stays, in (0, 1], found " + std::to_string(multiply_adds), "Say .multiply_adds = 0.5 to halve the work"};
    if (input.rank() == 0) throw error{call, "the shape of a sample is not known", "Say .input = {1, 28, 28}"};
    if (round_to < 1) throw error{call, "round_to must be at least 1, found " + std::to_string(round_to)};
    if (m.pipeline().size() > 1) throw error{call, "the network is cut into stages, and extents change across them", "Prune on a plan with one stage, then build anew"};
    extents const batch = with_batch(input);
    auto const groups = detail::channel_groups(m.net(), batch);
    auto all = gather(m, groups);
    criterion.score(m, all);
    for (auto const& c : all)
      if (auto const bad = std::find_if(c.scores.begin(), c.scores.end(), [](auto v) { return !std::isfinite(v); }); bad != c.scores.end())
        throw error{call, "the score of element " + std::to_string(bad - c.scores.begin()) + " of '" + c.name + "' by " + Criterion::what + " is not finite", "Look at the weights, at the data that the criterion was given, and at the learning rate"};
    auto plan = order(groups, all);
    auto const products = costs(m.net(), batch);
    auto const total = [&](std::vector<index_t> const& removed) { return multiply_adds_of(products, groups, removed); };
    double const before = total(std::vector<index_t>(groups.size())), target = multiply_adds * before;
    std::vector<index_t> removed(groups.size());
    // The work falls with every entry of the order that goes: the shortest part that is enough.
    std::size_t few = 0, many = plan.order.size();
    if constexpr (detail::takes_zeros_only<Criterion>()) {
      removed = counts(groups, plan, plan.order.size());
    } else if (total(removed) > target) {
      if (total(counts(groups, plan, many)) > target)
        throw error{call, detail::format("at least %.3g of the multiply-adds stay", total(counts(groups, plan, many)) / before) + detail::format(", %.3g are asked for", multiply_adds),
                    "Ask for less, or see which groups are fixed: .on_report, .ignore, .round_to"};
      while (many - few > 1) {
        std::size_t const middle = (few + many) / 2;
        (total(counts(groups, plan, middle)) > target ? few : many) = middle;
      }
      removed = counts(groups, plan, many);
    }
    shrink(m, groups, plan, removed, before, total(removed));
  }

 private:
  using unit = std::pair<std::size_t, index_t>;  // group, number
  struct ranking {
    std::vector<std::vector<index_t>> by_score;  // of each group, the lowest first
    std::vector<std::size_t> order;              // whose next unit goes
  };
  struct product {
    std::string weight;
    extents shape;
    double uses;  // per element and sample
  };

  [[nodiscard]] static extents with_batch(extents const& sample) {
    std::vector<index_t> e{1};
    for (int i = 0; i < sample.rank(); ++i) e.push_back(sample[i]);
    return extents(std::span<index_t const>(e));
  }

  /// The dense parameters that have units, on the host.
  template <class Net> [[nodiscard]] static auto gather(parallel::model<Net>& m, std::vector<detail::channel_group> const& groups) {
    using T = typename parallel::model<Net>::value_type;
    using Space = typename parallel::model<Net>::execution_space;
    std::vector<detail::candidate<T>> all;
    m.net().for_each_parameter([&](auto& w) {
      bool const is_member = std::any_of(groups.begin(), groups.end(), [&](auto const& g) { return std::any_of(g.members.begin(), g.members.end(), [&](auto const& x) { return x.parameter == w.name; }); });
      if (!is_member || !w.tied_to.empty() || w.kind != nn::parameter_kind::trainable) return;
      if (!w.in_arena || w.mask_bits())
        throw error{"compress::prune_channels", "'" + w.name + "' is stored as '" + std::string(w.form_name()) + "', and only dense weights can lose rows and columns",
                    "Prune channels first: prune_channels{…} | prune{…} | quantize<…>{}"};
      detail::candidate<T> c;
      c.name = w.name;
      c.whole = w.shape;
      c.box = index_box(w.shape);
      c.values.resize(static_cast<std::size_t>(w.size()));
      copy_to_host(m.context(), tensor<T, Space>::wrap(w.data(), w.shape), c.values.data());
      c.bits.assign(static_cast<std::size_t>(codec::detail::bit_bytes(w.size())), 0xff);
      all.push_back(std::move(c));
    });
    return all;
  }

  /// f(element) over the elements of a parameter of this shape that lie in [begin, end) of a dimension.
  template <class F> static void for_each_slice(extents const& shape, int dim, index_t begin, index_t end, F&& f) {
    index_t const inner = shape.size_from(dim + 1), outer = shape.size() / (shape[dim] * inner);
    for (index_t o = 0; o < outer; ++o)
      for (index_t i = (o * shape[dim] + begin) * inner; i < (o * shape[dim] + end) * inner; ++i) f(static_cast<std::size_t>(i));
  }

  [[nodiscard]] index_t removable(detail::channel_group const& g) const noexcept {
    if (g.fixed || g.units < 2) return 0;
    for (auto const& x : g.members)
      if (x.length % g.units != 0 || detail::matches_any(ignore, x.parameter)) return 0;
    return g.units - std::min(g.units, std::max<index_t>(1, round_to));
  }

  template <class T> [[nodiscard]] ranking order(std::vector<detail::channel_group> const& groups, std::vector<detail::candidate<T>> const& all) const {
    ranking r;
    struct entry {
      double key;
      std::size_t group;
    };
    std::vector<entry> entries;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      auto const& group = groups[g];
      std::vector<double> score(static_cast<std::size_t>(group.units), 0.0);
      index_t elements = 0;
      for (auto const& x : group.members)
        for (auto const& c : all) {
          if (c.name != x.parameter || c.scores.empty() || x.length % group.units != 0) continue;
          if (std::is_same_v<Criterion, magnitude> && c.whole.rank() < 2) continue;
          index_t const each = x.length / group.units;
          for (index_t u = 0; u < group.units; ++u)
            for_each_slice(c.whole, x.dim, x.begin + u * each, x.begin + (u + 1) * each, [&](std::size_t i) {
              double const s = static_cast<double>(c.scores[i]);
              if constexpr (detail::scores_squares<Criterion>()) score[static_cast<std::size_t>(u)] += s;
              else score[static_cast<std::size_t>(u)] += s * s;
              if (u == 0) ++elements;
            });
        }
      auto& list = r.by_score.emplace_back();
      for (index_t u = 0; u < group.units; ++u) list.push_back(u);
      std::stable_sort(list.begin(), list.end(), [&](index_t a, index_t b) { return score[static_cast<std::size_t>(a)] < score[static_cast<std::size_t>(b)]; });
      index_t const most = elements == 0 ? 0 : removable(group);
      for (index_t k = 0; k < most; ++k) {
        if constexpr (detail::takes_zeros_only<Criterion>())
          if (score[static_cast<std::size_t>(list[static_cast<std::size_t>(k)])] > 0) break;
        entries.push_back({scope == compress::scope::layer ? static_cast<double>(k + 1) / static_cast<double>(group.units)
                                                           : std::sqrt(score[static_cast<std::size_t>(list[static_cast<std::size_t>(k)])] / static_cast<double>(elements)), g});
      }
    }
    std::stable_sort(entries.begin(), entries.end(), [](entry const& a, entry const& b) { return a.key < b.key; });
    for (auto const& e : entries) r.order.push_back(e.group);
    return r;
  }

  /// How many units of each group go with the first n entries of the order.
  [[nodiscard]] std::vector<index_t> counts(std::vector<detail::channel_group> const& groups, ranking const& r, std::size_t n) const {
    std::vector<index_t> removed(groups.size());
    for (std::size_t i = 0; i < n; ++i) ++removed[r.order[i]];
    for (std::size_t g = 0; g < groups.size(); ++g) {
      index_t const kept = std::min(groups[g].units, (groups[g].units - removed[g] + round_to - 1) / round_to * round_to);
      removed[g] = removed[g] == 0 ? 0 : groups[g].units - kept;
    }
    return removed;
  }

  template <class Net> [[nodiscard]] static std::vector<product> costs(Net const& net, extents const& batch) {
    std::vector<product> out;
    auto const d = nn::describe(net, batch);
    nn::for_each_parameter(net, [&](nn::parameter const& w) {
      if (w.shape.rank() < 2) return;
      for (auto const& l : d.layers)
        if ((l.kind == "linear" || l.kind == "conv2d") && l.name + ".weight" == w.name) out.push_back({w.name, w.shape, l.forward_flops / 2 / static_cast<double>(w.size())});
    });
    return out;
  }
  [[nodiscard]] static double multiply_adds_of(std::vector<product> const& products, std::vector<detail::channel_group> const& groups, std::vector<index_t> const& removed) {
    double sum = 0;
    for (auto const& p : products) {
      index_t left[2] = {p.shape[0], p.shape[1]};
      for (std::size_t g = 0; g < groups.size(); ++g)
        for (auto const& x : groups[g].members)
          if (x.parameter == p.weight && x.dim < 2) left[x.dim] -= x.length / groups[g].units * removed[g];
      sum += p.uses * static_cast<double>(left[0] * left[1] * p.shape.size_from(2));
    }
    return sum;
  }

  template <class Net>
  void shrink(parallel::model<Net>& m, std::vector<detail::channel_group> const& groups, ranking const& r, std::vector<index_t> const& removed, double before, double after) const {
    using T = typename parallel::model<Net>::value_type;
    using Space = typename parallel::model<Net>::execution_space;
    channel_report report{before, after, 0, 0, {}};
    for (std::size_t g = 0; g < groups.size(); ++g) report.groups.push_back({groups[g].members[0].parameter, groups[g].units, groups[g].units - removed[g], removable(groups[g]) == 0});
    // Who stays, along each dimension of each parameter.
    struct smaller {
      std::string name;
      extents shape;
      std::vector<T> values;
    };
    std::vector<smaller> made;
    Net net = m.net();
    net.for_each_parameter([&](auto& w) {
      if (w.tied_to.empty()) report.parameters_before += w.size();
      std::vector<std::vector<char>> gone;
      for (int d = 0; d < w.shape.rank(); ++d) gone.emplace_back(static_cast<std::size_t>(w.shape[d]), char{0});
      bool any = false;
      for (std::size_t g = 0; g < groups.size(); ++g)
        for (auto const& x : groups[g].members) {
          if (x.parameter != w.name || removed[g] == 0) continue;
          any = true;
          index_t const each = x.length / groups[g].units;
          for (index_t k = 0; k < removed[g]; ++k) {
            index_t const first = x.begin + r.by_score[g][static_cast<std::size_t>(k)] * each;
            std::fill_n(gone[static_cast<std::size_t>(x.dim)].begin() + first, each, char{1});
          }
        }
      if (any) {
        std::vector<index_t> e;
        for (auto const& d : gone) e.push_back(std::count(d.begin(), d.end(), char{0}));
        extents const shape{std::span<index_t const>(e)};
        if (w.tied_to.empty()) made.push_back({w.name, shape, sliced<T>(m, w, gone)});
        w.shape = shape;
      }
      if (w.tied_to.empty()) report.parameters_after += w.size();
    });
    auto next = m.rebuild(std::move(net));
    next.net().for_each_parameter([&](auto& w) {
      for (auto const& s : made)
        if (s.name == w.name) copy_from_host(next.context(), s.values.data(), tensor<T, Space>::wrap(w.data(), w.shape));
    });
    next.values_changed();
    m = std::move(next);
    if (on_report) on_report(report);
  }

  template <class T, class Model, class W> [[nodiscard]] static std::vector<T> sliced(Model& m, W const& w, std::vector<std::vector<char>> const& gone) {
    using Space = typename Model::execution_space;
    std::vector<T> host(static_cast<std::size_t>(w.size())), out;
    copy_to_host(m.context(), tensor<T, Space>::wrap(w.data(), w.shape), host.data());
    for (index_t i = 0; i < w.size(); ++i) {
      index_t rest = i;
      bool stays = true;
      for (int d = w.shape.rank(); d-- > 0; rest /= w.shape[d]) stays = stays && !gone[static_cast<std::size_t>(d)][static_cast<std::size_t>(rest % w.shape[d])];
      if (stays) out.push_back(host[static_cast<std::size_t>(i)]);
    }
    return out;
  }
};

/// By the root mean square of a unit's weights.
using prune_channels = prune_channels_by<>;

}  // namespace pleat::compress
