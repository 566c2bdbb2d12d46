// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Structured pruning: neurons, channels and heads are taken out of the network, which stays dense, smaller and faster.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/codec/detail/part_of.hpp>
#include <pleat/comm/attempt.hpp>
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
    std::string made_by;  ///< the parameter whose rows (or columns, of an embedding) the units are
    index_t units = 0, kept = 0;
    bool fixed = false;  ///< the network's input or output, or seen by a layer that is not known
  };
  double multiply_adds_before = 0, multiply_adds_after = 0;
  index_t parameters_before = 0, parameters_after = 0;
  std::vector<group> groups;
};

/// |γ| of the batch norm that a channel goes through (Liu et al., "Network slimming", ICCV 2017). Groups without one stay whole.
struct batch_norm_scale {
  static constexpr char const* what = "batch-norm scale";  ///< its name in reports and errors
  static constexpr bool takes_shards = true;               ///< runs where parameters are in pieces (state_stage = 3)
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
  static constexpr char const* what = "closed gates";  ///< its name in reports and errors
  static constexpr bool takes_shards = true;           ///< runs where parameters are in pieces (state_stage = 3)
  static constexpr bool zeros_only = true;
  template <class Net, class C> void score(parallel::model<Net>& m, std::vector<C>& weights) const {
    visit(m.net(), weights);
  }

 private:
  template <class L, class C> static void visit(L const& l, std::vector<C>& weights) {
    if constexpr (nn::composite<L>) {
      const_cast<L&>(l).for_each_child([&](auto const& child) { visit(child, weights); });
    } else if constexpr (detail::kind_of<L>() == "hard_concrete") {
      for (auto& c : weights)
        if (c.name == l.log_alpha().name)
          for (auto const v : c.values)
            c.scores.push_back(static_cast<typename C::score_type>(l.gate(static_cast<double>(v))));
    }
  }
};

/// Units are removed, those with the lowest score first, until linear layers and convolutions do at most
/// `multiply_adds` of what they did. A unit is a neuron, a channel or a head (a group of query heads with its key and
/// value), with everything that belongs to it: found by following the network through residuals, branches, norms and
/// flattening (Fang et al., "DepGraph", CVPR 2023). What a layer of a user's own sees or makes stays, unless it says
/// `static constexpr bool keeps_channels = true`.
///
/// A unit's score is the root mean square over all its elements (by magnitude: of weights, not of biases and norms;
/// where the criterion's scores are squares already, of those), so that large units are not favoured; ties go to the
/// first. The result has the same type, dense weights and smaller extents. Optimizer state and masks do not survive;
/// statistics of norms do, and fine-tuning settles them. Every rank computes the same.
///
/// Over a pipeline every stage scores and shrinks its own weights; stages tell each other one number per unit and
/// parameter. A weight that is cut over the tensor axis is scored where it is, by sums without an order: by magnitude
/// the same units go as on one rank; criteria that look at activations or gradients see those but for differences of
/// rounding. What is left of it is cut anew, for which it is put together, one weight at a time. So are sharded
/// parameters (state_stage = 3): scored in pieces, shrunk one at a time.
template <class Criterion = magnitude> struct prune_channels_by {
  using fusable_transform = void;
  static constexpr bool writes_weights = true;  ///< changes values of weights
  static constexpr bool resizes = true;
  static constexpr bool takes_parts = true;              ///< runs where weights are cut over the tensor axis
  static constexpr bool takes_shards = true;             ///< runs where parameters are in pieces (state_stage = 3)
  static constexpr char const* what = "prune_channels";  ///< its name in reports and errors

  double multiply_adds = 0.5;                              ///< the share that stays at most, in (0, 1]
  extents input{};                                         ///< of one sample: {784}, {1, 28, 28}, {positions}
  compress::scope scope = compress::scope::global;         ///< layer: every group loses the same share of its units
  index_t round_to = 1;                                    ///< units that are kept are a multiple of this, or all
  std::vector<std::string> ignore{};                       ///< parameters whose groups stay whole
  listener on_note{};                                      ///< hears what stays as it was, and why
  std::function<void(channel_report const&)> on_report{};  ///< on every rank
  Criterion criterion{};

  [[nodiscard]] std::string name() const { return std::string(what) + detail::format(" %g", multiply_adds); }

  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const {
    say("multiply_adds", multiply_adds), say("input", input), say("round_to", round_to), say("ignore", ignore);
    say("scope", scope, {"global", "layer", "group", "row"});
    detail::say_criterion(say, criterion);
  }

  /// Collective. \throws error for a share outside (0, 1], for one that cannot be reached, and for weights that are not
  /// dense
  template <class Net> void run(parallel::model<Net>& m) const {
    constexpr char const* call = "compress::prune_channels";
    if (!(multiply_adds > 0 && multiply_adds <= 1))
      throw error{call, "multiply_adds is the share that stays, in (0, 1], found " + std::to_string(multiply_adds),
                  "Say .multiply_adds = 0.5 to halve the work"};
    if (input.rank() == 0) throw error{call, "the shape of a sample is not known", "Say .input = {1, 28, 28}"};
    if (m.shards() && !detail::takes_shards<Criterion>) return detail::run_on_whole_parameters(m, *this);
    if (round_to < 1)
      throw error{call, "round_to must be at least 1, found " + std::to_string(round_to),
                  "Say .round_to = 8 to keep multiples of 8, or leave it out"};
    detail::demand_names(m, call, ".ignore", ignore);
    extents const batch = with_batch(input);
    auto const groups = detail::channel_groups(m.net(), batch);
    auto all = gather(m, groups);
    criterion.score(m, all);
    std::string wrong;
    for (auto const& c : all)
      if (auto const bad = std::find_if(c.scores.begin(), c.scores.end(), [](auto v) { return !std::isfinite(v); });
          bad != c.scores.end() && wrong.empty())
        wrong = "the score of element " + std::to_string(c.place_in_whole(bad - c.scores.begin())) + " of '" + c.name +
                "' by " + Criterion::what + " is not finite";
    detail::agree(m, call, wrong,
                  "Look at the weights, at the data that the criterion was given, and at the learning rate");
    auto plan = order(m, groups, all);
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
        throw error{
            call,
            detail::format("at least %.3g of the multiply-adds stay", total(counts(groups, plan, many)) / before) +
                detail::format(", %.3g are asked for", multiply_adds),
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
  template <class Net>
  [[nodiscard]] static auto gather(parallel::model<Net>& m, std::vector<detail::channel_group> const& groups) {
    using T = typename parallel::model<Net>::value_type;
    using Space = typename parallel::model<Net>::execution_space;
    std::vector<detail::candidate<T>> all;
    comm::all_or_none(m.all_ranks(), [&] {
      m.net().for_each_parameter([&](auto& w) {
        bool const is_member = std::any_of(groups.begin(), groups.end(), [&](auto const& g) {
          return std::any_of(g.members.begin(), g.members.end(), [&](auto const& x) { return x.parameter == w.name; });
        });
        if (!is_member || !w.tied_to.empty() || w.kind != nn::parameter_kind::trainable) return;
        if (!w.in_arena || (!w.absent && w.mask_bits()))
          throw error{"compress::prune_channels",
                      "'" + w.name + "' is stored as '" + std::string(w.form_name()) +
                          "', and only dense weights can lose rows and columns",
                      "Prune channels first: prune_channels{…} | prune{…} | quantize<…>{}"};
        detail::candidate<T> c;
        c.name = w.name;
        c.whole = w.whole();
        c.box = w.box();
        c.counts = w.part == 0 || w.where.shards();
        if (!w.absent) {
          auto const here = m.held(w);
          c.offset = here.range.begin;
          c.part = w.size();
          c.values.resize(static_cast<std::size_t>(here.range.size()));
          copy_to_host(m.context(), tensor<T, Space>::wrap(here.values, extents{here.range.size()}), c.values.data());
          c.bits.assign(static_cast<std::size_t>(codec::detail::bit_bytes(c.size())), 0xff);
        }
        all.push_back(std::move(c));
      });
    });
    return all;
  }

  [[nodiscard]] index_t removable(detail::channel_group const& g) const noexcept {
    if (g.fixed || g.units < 2) return 0;
    for (auto const& x : g.members)
      if (x.length % g.units != 0 || detail::matches_any(ignore, x.parameter)) return 0;
    return g.units - std::min(g.units, std::max<index_t>(1, round_to));
  }

  /// Of every unit of a member Σ score² over its elements, as shares of the member's largest in integers, 62 bits below
  /// one: sums over parts have no order. Empty where the criterion says nothing of the parameter. Collective.
  template <class Net, class T>
  [[nodiscard]] static std::vector<std::vector<double>> sums_of_units(parallel::model<Net> const& m,
                                                                      std::vector<detail::channel_group> const& groups,
                                                                      std::vector<detail::candidate<T>> const& all) {
    auto const over_parts_and_stages = [&](auto& values, comm::reduction op) {
      if (values.empty()) return;
      if (auto* const shards = m.shards(); shards && shards->size() > 1) shards->all_reduce(values, op);
      if (m.parts().size() > 1) m.parts().all_reduce(values, op);
      if (m.pipeline().size() > 1) m.pipeline().all_reduce(values, op);
    };
    std::vector<double> largest;  // of each candidate's scores squared; −1: it has none
    for (auto const& c : all) {
      double most = c.scores.empty() ? -1.0 : 0.0;
      for (auto const v : c.scores) most = std::max(most, squared(v));
      largest.push_back(most);
    }
    over_parts_and_stages(largest, comm::reduction::max);
    std::vector<std::int64_t> digits;  // of every unit of every member: two, of 31 bits an element
    std::vector<std::size_t> first;
    for (auto const& g : groups)
      for (auto const& x : g.members) {
        first.push_back(digits.size());
        digits.resize(digits.size() + 2 * static_cast<std::size_t>(g.units), 0);
        for (std::size_t k = 0; k < all.size(); ++k) {
          auto const& c = all[k];
          if (c.name != x.parameter || c.scores.empty() || !c.counts || x.length % g.units != 0 || !(largest[k] > 0))
            continue;
          int const above = std::ilogb(largest[k]) + 1;
          index_t const each = x.length / g.units, inner = c.box.shape().size_from(x.dim + 1),
                        extent = c.box[x.dim].size();
          for (index_t i = 0; i < c.size(); ++i) {
            index_t const at = c.box[x.dim].begin + (c.offset + i) / inner % extent - x.begin;
            if (at < 0 || at >= x.length) continue;
            double const s = std::ldexp(squared(c.scores[static_cast<std::size_t>(i)]), 31 - above),
                         high = std::floor(s);
            auto* const to = &digits[first.back() + 2 * static_cast<std::size_t>(at / each)];
            auto const low = static_cast<std::int64_t>((s - high) * 0x1p31);
            to[0] += static_cast<std::int64_t>(high);
            to[1] += s > 0 && high == 0 && low == 0 ? 1 : low;  // what is not zero stays that
          }
        }
      }
    over_parts_and_stages(digits, comm::reduction::sum);
    std::vector<std::vector<double>> sums;
    std::size_t next = 0;
    for (auto const& g : groups)
      for (auto const& x : g.members) {
        auto& of = sums.emplace_back();
        std::size_t const begin = first[next++];
        for (std::size_t k = 0; k < all.size(); ++k) {
          if (all[k].name != x.parameter || largest[k] < 0 || x.length % g.units != 0) continue;
          of.assign(static_cast<std::size_t>(g.units), 0.0);
          int const above = largest[k] > 0 ? std::ilogb(largest[k]) + 1 : 0;
          for (std::size_t u = 0; u < of.size(); ++u)
            of[u] = std::ldexp(
                static_cast<double>(digits[begin + 2 * u]) + static_cast<double>(digits[begin + 2 * u + 1]) * 0x1p-31,
                above - 31);
        }
      }
    return sums;
  }
  /// What a unit's score adds up.
  template <class V> [[nodiscard]] static double squared(V score) noexcept {
    auto const s = static_cast<double>(score);
    return detail::scores_squares<Criterion>() ? std::max(0.0, s) : s * s;
  }

  template <class Net, class T>
  [[nodiscard]] ranking order(parallel::model<Net> const& m, std::vector<detail::channel_group> const& groups,
                              std::vector<detail::candidate<T>> const& all) const {
    ranking r;
    struct entry {
      double key;
      std::size_t group;
    };
    std::vector<entry> entries;
    auto const sums = sums_of_units(m, groups, all);
    std::size_t member = 0;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      auto const& group = groups[g];
      std::vector<double> score(static_cast<std::size_t>(group.units), 0.0);
      index_t elements = 0;
      for (auto const& x : group.members) {
        auto const& of = sums[member++];
        auto const c = std::find_if(all.begin(), all.end(), [&](auto const& k) { return k.name == x.parameter; });
        if (of.empty() || (std::is_same_v<Criterion, magnitude> && c->whole.rank() < 2)) continue;
        for (std::size_t u = 0; u < of.size(); ++u) score[u] += of[u];
        elements += c->whole.size() / c->whole[x.dim] * (x.length / group.units);
      }
      auto& list = r.by_score.emplace_back();
      for (index_t u = 0; u < group.units; ++u) list.push_back(u);
      std::stable_sort(list.begin(), list.end(), [&](index_t a, index_t b) {
        return score[static_cast<std::size_t>(a)] < score[static_cast<std::size_t>(b)];
      });
      index_t const most = elements == 0 ? 0 : removable(group);
      for (index_t k = 0; k < most; ++k) {
        if constexpr (detail::takes_zeros_only<Criterion>())
          if (score[static_cast<std::size_t>(list[static_cast<std::size_t>(k)])] > 0) break;
        entries.push_back({scope == compress::scope::layer
                               ? static_cast<double>(k + 1) / static_cast<double>(group.units)
                               : std::sqrt(score[static_cast<std::size_t>(list[static_cast<std::size_t>(k)])] /
                                           static_cast<double>(elements)),
                           g});
      }
    }
    std::stable_sort(entries.begin(), entries.end(), [](entry const& a, entry const& b) { return a.key < b.key; });
    for (auto const& e : entries) r.order.push_back(e.group);
    return r;
  }

  /// How many units of each group go with the first n entries of the order.
  [[nodiscard]] std::vector<index_t> counts(std::vector<detail::channel_group> const& groups, ranking const& r,
                                            std::size_t n) const {
    std::vector<index_t> removed(groups.size());
    for (std::size_t i = 0; i < n; ++i) ++removed[r.order[i]];
    for (std::size_t g = 0; g < groups.size(); ++g) {
      index_t const kept =
          std::min(groups[g].units, (groups[g].units - removed[g] + round_to - 1) / round_to * round_to);
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
        if ((l.kind == "linear" || l.kind == "conv2d") && l.name + ".weight" == w.name)
          out.push_back({w.name, w.whole(), l.forward_flops / 2 / static_cast<double>(w.whole().size())});
    });
    return out;
  }
  [[nodiscard]] static double multiply_adds_of(std::vector<product> const& products,
                                               std::vector<detail::channel_group> const& groups,
                                               std::vector<index_t> const& removed) {
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
  void shrink(parallel::model<Net>& m, std::vector<detail::channel_group> const& groups, ranking const& r,
              std::vector<index_t> const& removed, double before, double after) const {
    using T = typename parallel::model<Net>::value_type;
    channel_report report{before, after, 0, 0, {}};
    for (std::size_t g = 0; g < groups.size(); ++g)
      report.groups.push_back(
          {groups[g].members[0].parameter, groups[g].units, groups[g].units - removed[g], removable(groups[g]) == 0});
    struct smaller {
      nn::parameter now;                    ///< with the extents that it will have
      std::vector<std::vector<char>> gone;  ///< who goes, along each dimension
    };
    std::vector<smaller> made;
    Net net = m.net();
    auto const shared = detail::shared_names(net);
    net.for_each_parameter([&](auto& w) {
      if (w.tied_to.empty()) report.parameters_before += w.whole().size();
      std::vector<std::vector<char>> gone;
      for (int d = 0; d < w.whole().rank(); ++d) gone.emplace_back(static_cast<std::size_t>(w.whole()[d]), char{0});
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
        w.shape = shape;  // cut anew, as it was cut before
        if (std::exchange(w.parts, 1) > 1) w.cut(m.parts().rank(), m.parts().size());
        if (w.tied_to.empty()) made.push_back({w, std::move(gone)});
      }
      if (w.tied_to.empty()) report.parameters_after += w.whole().size();
    });
    auto next = m.rebuild(std::move(net));
    std::size_t number = 0;
    m.net().for_each_parameter([&](auto& w) {  // one at a time
      if (number == made.size() || made[number].now.name != w.name) return;
      auto& s = made[number++];
      auto const values = sliced<T>(m, w, s.gone, detail::is_one_of(shared, w.name));
      // by name: a weight of another stage may be used here too
      s.now.id = values.empty() ? -1 : next.arena().find(w.name);
      if (s.now.id < 0) return;
      if (!m.shards())
        s.now.values = next.arena().values() + next.arena().entries()[static_cast<std::size_t>(s.now.id)].begin;
      std::vector<T> part;
      codec::detail::for_each_of_part(s.now.whole(), s.now.box(),
                                      [&](index_t i) { part.push_back(values[static_cast<std::size_t>(i)]); });
      next.set_host_values_of(s.now, part);
    });
    next.values_changed();
    m = std::move(next);
    if (on_report) on_report(report);
  }

  /// What stays of a weight, whole: one that is cut is put together. \param everywhere on all stages too
  template <class T, class Model, class W>
  [[nodiscard]] static std::vector<T> sliced(Model& m, W const& w, std::vector<std::vector<char>> const& gone,
                                             bool everywhere) {
    extents const shape = w.whole();
    bool const cut = w.parts > 1 && w.where.shards();
    everywhere = everywhere && m.pipeline().size() > 1;
    std::vector<T> whole;
    if (!w.absent) {
      auto host = m.host_values_of(w);
      if (cut) {  // others' elements are zero here, so a sum puts them together exactly
        std::vector<nn::master_t<T>> sum(static_cast<std::size_t>(shape.size()));
        std::size_t next = 0;
        codec::detail::for_each_of_part(shape, w.box(), [&](index_t i) {
          sum[static_cast<std::size_t>(i)] = static_cast<nn::master_t<T>>(host[next++]);
        });
        m.parts().all_reduce(sum);
        for (auto const v : sum) whole.push_back(static_cast<T>(v));
      } else {
        whole = std::move(host);
      }
    }
    if (everywhere) {
      std::vector<nn::master_t<T>> sum(static_cast<std::size_t>(shape.size()));
      for (std::size_t i = 0; i < whole.size(); ++i) sum[i] = static_cast<nn::master_t<T>>(whole[i]);
      m.pipeline().all_reduce(sum);
      whole.clear();
      for (auto const v : sum) whole.push_back(static_cast<T>(v));
    }
    std::vector<T> out;
    for (index_t i = 0; i < static_cast<index_t>(whole.size()); ++i) {
      index_t rest = i;
      bool stays = true;
      for (int d = shape.rank(); d-- > 0; rest /= shape[d])
        stays = stays && !gone[static_cast<std::size_t>(d)][static_cast<std::size_t>(rest % shape[d])];
      if (stays) out.push_back(whole[static_cast<std::size_t>(i)]);
    }
    return out;
  }
};

/// By the root mean square of a unit's weights.
using prune_channels = prune_channels_by<>;

}  // namespace pleat::compress
