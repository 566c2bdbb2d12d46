// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Pruning: the weights that matter least become zero and stay zero.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/masked.hpp>
#include <pleat/compress/detail/prunable.hpp>
#include <pleat/compress/fine_tune.hpp>
#include <pleat/compress/schedule.hpp>
#include <pleat/compress/stages.hpp>
#include <pleat/compress/transform.hpp>

namespace pleat::compress {

/// Over what weights compete for survival.
enum class scope : std::uint8_t {
  global,  ///< all selected weights together: layers that can spare more lose more
  layer,   ///< each weight alone: every one ends with the same sparsity
  group,   ///< those that match one entry of `.groups` together; those that match none are one more group
  row      ///< each output of each weight alone, as Wanda does
};

/// Of every m neighbouring columns n stay.
struct n_of_m {
  int n = 2, m = 4;
  /// As settings say it.
  friend std::string words_of(n_of_m p) { return std::to_string(p.n) + ":" + std::to_string(p.m); }
};

namespace detail {
template <class T> void score_magnitudes(std::vector<candidate<T>>& weights) {
  for (auto& c : weights) {
    c.scores.resize(c.values.size());
    for (std::size_t i = 0; i < c.values.size(); ++i)
      c.scores[i] = std::abs(static_cast<typename candidate<T>::score_type>(c.values[i]));
  }
}
}  // namespace detail

/// What matters is |w|. A criterion is a small value with
///
///     static constexpr char const* what;
///     template <class Net, class C> void score(parallel::model<Net>& m, std::vector<C>& weights) const;   // fills weights[i].scores
///
/// and, if another scope is usual for it, `static constexpr scope usual_scope`; if it trains the model, `static
/// constexpr bool trains = true` (the numbers are gathered anew once it has looked); if it can score a run of a weight's
/// elements (`offset` says which), `static constexpr bool takes_shards = true`: others get sharded parameters whole.
/// Further ones: compress/criteria.hpp.
struct magnitude {
  static constexpr char const* what = "magnitude";
  static constexpr bool takes_shards = true;
  template <class Net, class C> void score(parallel::model<Net>&, std::vector<C>& weights) const {
    detail::score_magnitudes(weights);
  }
};

namespace detail {

/// How many of n go. At least one stays.
[[nodiscard]] inline index_t pruned_count(double sparsity, index_t n) noexcept {
  return n == 0 ? 0 : std::min<index_t>(n - 1, static_cast<index_t>(std::llround(sparsity * static_cast<double>(n))));
}

template <class Criterion> [[nodiscard]] consteval scope usual_scope() {
  if constexpr (requires { Criterion::usual_scope; }) return Criterion::usual_scope;
  else return scope::global;
}

template <class Criterion> [[nodiscard]] consteval bool says_trains() {
  if constexpr (requires { Criterion::trains; }) return Criterion::trains;
  else return false;
}
template <class Criterion> inline constexpr bool trains = says_trains<Criterion>();

PLEAT_ONCE void demand_sparsity(char const* call, double sparsity) {
  if (!(sparsity >= 0 && sparsity < 1))
    throw error{call, "sparsity is the share of zeros, in [0, 1), found " + std::to_string(sparsity),
                "Say .sparsity = 0.9 to remove 90 %"};
}
PLEAT_COMPILED_ONCE(void demand_sparsity(char const* call, double sparsity));
/// \throws error if a pattern makes no sense, or does not fit a weight or this rank's part of it
template <class T, class Space>
[[gnu::cold]] void demand_pattern(parallel::any_model<T, Space> const& m, char const* call, n_of_m p,
                                  std::vector<candidate<T>> const& all) {
  auto const text = std::to_string(p.n) + ":" + std::to_string(p.m);
  if (p.m < 2 || p.n < 1 || p.n >= p.m)
    throw error{call,
                "the pattern " + text + " keeps " + std::to_string(p.n) + " of every " + std::to_string(p.m) +
                    " columns: 1 <= n < m is needed",
                "Say .pattern = n_of_m{2, 4}"};
  std::string bad;
  for (auto const& c : all) {
    if (c.whole.size_from(1) % p.m != 0)
      throw error{call,
                  "'" + c.name + "' has " + std::to_string(c.whole.size_from(1)) + " columns, which groups of " +
                      std::to_string(p.m) + " do not divide (" + text + ")",
                  "Choose another m, or leave the weight alone: .ignore"};
    if (c.size() > 0 && (c.columns() % p.m != 0 || c.first_column() % p.m != 0))
      bad = "the tensor axis gives columns " + std::to_string(c.first_column()) + " to " +
            std::to_string(c.first_column() + c.columns()) + " of '" + c.name +
            "' to one rank, which cuts a group of " + text;
  }
  agree(m, call, bad, "Cut at multiples of m: give the placement a unit");
}

/// A criterion, and what it says of itself.
template <class Criterion> void say_criterion(settings_words& say, Criterion const& c) {
  say("criterion", Criterion::what);
  if constexpr (tells_settings<Criterion>) c.settings(say);
}

/// A criterion that trains while it looks.
template <class Criterion, class Model, class Candidates>
concept prepares = requires(Criterion const& c, Model& m, Candidates& now) { c.prepare(m, now); };

/// What a pruning does, whatever its criterion: prune_by's members.
struct pruning {
  double sparsity;
  compress::scope scope;
  prune_schedule const& schedule;
  bool retrains;
  std::vector<std::string> const& ignore;
  listener const& on_note;
  char const* criterion;
  bool trained;  ///< the criterion trains: the numbers are others once it has looked
  std::optional<n_of_m> const& pattern;
  std::vector<std::vector<std::string>> const& groups;
};

/// Who competes with whom: from names and whole extents, so that every rank says the same.
template <class T>
[[nodiscard]] std::vector<rivals> rivals_of(pruning const& p, std::vector<candidate<T>> const& all, double target) {
  std::vector<rivals> out;
  std::vector<index_t> sizes;
  auto const enter = [&](std::size_t g, std::size_t c) {
    if (out.size() <= g) out.resize(g + 1), sizes.resize(g + 1);
    out[g].runs.push_back({c, 0, all[c].size()});
    sizes[g] += all[c].whole.size();
  };
  for (std::size_t c = 0; c < all.size(); ++c) {
    auto const& w = all[c];
    if (p.scope == compress::scope::row) {
      std::size_t const begin = out.size();
      index_t const rows = w.whole[0], columns = w.columns();
      for (index_t r = 0; r < rows; ++r) {
        out.emplace_back();
        sizes.push_back(w.whole.size_from(1));
        if (w.size() == 0 || r < w.box[0].begin || r >= w.box[0].end) continue;
        index_t const first = (r - w.box[0].begin) * columns - w.offset;
        index_range const here = intersect({first, first + columns}, {0, w.size()});
        if (!here.empty()) out[begin + static_cast<std::size_t>(r)].runs.push_back({c, here.begin, here.end});
      }
    } else if (p.scope == compress::scope::group) {
      std::size_t g = 0;
      while (g < p.groups.size() && !matches_any(p.groups[g], w.name)) ++g;
      enter(g, c);
    } else {
      enter(p.scope == compress::scope::layer ? c : 0, c);
    }
  }
  for (std::size_t g = 0; g < out.size(); ++g) out[g].goes = pruned_count(target, sizes[g]);
  return out;
}

template <class T, class Space>
void remove_pruned(parallel::any_model<T, Space>& m, pruning const& p, std::vector<candidate<T>>& all, double target) {
  std::string bad;
  for (auto const& c : all)
    for (index_t i = 0; i < c.size() && bad.empty(); ++i)
      if (!std::isfinite(c.scores[static_cast<std::size_t>(i)]))
        bad = "the score of element " + std::to_string(c.place_in_whole(i)) + " of '" + c.name + "' by " + p.criterion +
              " is not finite";
  agree(m, "compress::prune", bad, "Look at the data that the criterion was given, and at the learning rate");
  if (p.pattern) {
    auto const kept = static_cast<index_t>(std::ceil((1 - target) * p.pattern->m - 1e-9));
    for (auto& c : all) keep_in_groups(m.shards(), c, std::max<index_t>(kept, p.pattern->n), p.pattern->m);
    return;
  }
  remove_lowest(all, std::span<rivals const>(rivals_of(p, all, target)), sum_of_parts<T, Space>{&m});
}

template <class T, class Space>
[[nodiscard]] double zeros_of(parallel::any_model<T, Space> const& m, std::vector<candidate<T>> const& all) {
  index_t n = 0, alive = 0;
  for (auto const& c : all) n += c.whole.size();
  for (auto const a : living(m, all)) alive += a;
  return n ? static_cast<double>(n - alive) / static_cast<double>(n) : 0;
}

/// prune_by::run, compiled once for all networks. \param score gives all weights their scores \param retrain trains
/// between two steps
template <class T, class Space>
[[gnu::cold]] void prune_weights(parallel::any_model<T, Space>& m, pruning const& p,
                                 std::type_identity_t<std::function<void(std::vector<candidate<T>>&)>> const& score,
                                 std::function<void()> const& retrain) {
  constexpr char const* call = "compress::prune";
  if (p.scope == compress::scope::group && p.groups.empty() && !p.pattern)
    throw error{call, "scope::group needs .groups",
                "Say which names compete together: .groups = {{\"block.*.fc?.*\"}, {\"head.*\"}}"};
  if (!p.groups.empty() && (p.scope != compress::scope::group || p.pattern))
    throw error{call,
                p.pattern ? ".groups is given beside a pattern" : ".groups is given, and .scope is not scope::group",
                p.pattern ? "Leave out .groups: a pattern looks at each group of its own"
                          : "Say .scope = compress::scope::group, or leave out .groups"};
  int const steps = steps_of(p.schedule);
  if (steps == 1 && p.retrains)
    say(m, p.on_note,
        std::string(call) +
            ": .retrain trains between steps, and the schedule has one: nothing is trained between steps. "
            "Append a fine_tune, or say .schedule = cubic{5}");
  if (steps > 1 && !p.retrains)
    say(m, p.on_note,
        std::string(call) + ": the schedule has " + std::to_string(steps) +
            " steps but nothing trains between them, so they do at once what one step does. Say .retrain = "
            "fine_tune(data, {.epochs = 1})");
  double const last = p.pattern ? 1 - static_cast<double>(p.pattern->n) / p.pattern->m : p.sparsity;
  for (auto const& g : p.groups) demand_names(m, call, ".groups", g);
  auto now = gather(m, call, p.ignore, &p.on_note);
  if (p.pattern) demand_pattern(m, call, *p.pattern, now);
  double const first = std::min(zeros_of(m, now), last);
  for (int t = 1; t <= steps; ++t) {
    if (t > 1) {
      if (!p.retrains) break;
      now = gather(m, call, p.ignore, nullptr);
    }
    score(now);
    if (p.trained) {  // the numbers are others afterwards
      auto scores = std::move(now);
      now = gather(m, call, p.ignore, nullptr);
      for (std::size_t i = 0; i < now.size(); ++i) now[i].scores = std::move(scores[i].scores);
    }
    remove_pruned(m, p, now, p.retrains ? sparsity_at(p.schedule, t, first, last) : last);
    encode(m, p.ignore, now);
    if (p.retrains && t < steps) retrain();
  }
  say_emptied(m, call, p.on_note, now);
}

}  // namespace detail

/// Sets the given share of the weights to zero, those with the lowest score first, and keeps them at zero
/// (codec::masked). Biases, norms and statistics are never pruned. The threshold is exact: of n competing elements
/// round(sparsity·n) are zero afterwards (one stays in any case); ties are broken by position. What a former pruning
/// removed stays removed and counts.
///
/// Weights may be cut along the tensor axis and lie on stages: the ranks count, nobody gathers (three sums of 16 KiB
/// per group of rivals, six where there are ties), and the same elements go as on one rank. Parameters that are sharded
/// (state_stage = 3) stay so: every rank prunes its pieces, by every criterion of the library (one of somebody's that
/// does not take runs gets whole weights, and the result is sharded again). Patterns whose m does not divide 4096 may
/// be cut by pieces: for them the scores of one weight at a time come together.
template <class Criterion = magnitude> struct prune_by {
  using fusable_transform = void;
  template <class T> using form = codec::masked<T>;
  static constexpr bool writes_weights = true;
  static constexpr bool takes_parts = true;
  static constexpr bool takes_shards = true;
  static constexpr char const* what = "prune";

  double sparsity = 0.9;  ///< in [0, 1): share of zeros among the selected weights afterwards
  compress::scope scope = detail::usual_scope<Criterion>();
  prune_schedule schedule = one_shot{};
  /// between the steps of the schedule (after the last: append a fine_tune)
  std::optional<compress::fine_tune> retrain{};
  std::vector<std::string> ignore{};  ///< names that stay as they are; * and ? as in a shell: {"fc3.*"}
  listener on_note{};
  Criterion criterion{};
  std::optional<n_of_m> pattern{};                 ///< instead of a sparsity and a scope
  std::vector<std::vector<std::string>> groups{};  ///< patterns of names, for scope::group

  /// "prune 0.9", "prune 2:4", "prune wanda 0.5"
  [[nodiscard]] std::string name() const {
    std::string const by = std::is_same_v<Criterion, magnitude> ? "" : std::string(" ") + Criterion::what;
    return what + by +
           (pattern ? " " + std::to_string(pattern->n) + ":" + std::to_string(pattern->m)
                    : detail::format(" %g", sparsity));
  }

  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const {
    say("sparsity", sparsity), say("pattern", pattern), say("schedule", schedule), say("retrain", retrain);
    say("scope", scope, {"global", "layer", "group", "row"});
    say("groups", groups), say("ignore", ignore);
    detail::say_criterion(say, criterion);
  }

  /// Exactly what went; unless something trains in between.
  [[nodiscard]] error_kind leaves_errors() const {
    return (retrain && steps_of(schedule) > 1) || detail::trains<Criterion> ? error_kind::trained : error_kind::bounded;
  }

  /// Collective. \throws error for a sparsity outside [0, 1), a pattern that does not divide, a weight with NaN or
  /// infinity (by name), or if no weight is selected
  template <class Net> void run(parallel::model<Net>& m) const {
    detail::demand_sparsity("compress::prune", sparsity);
    if constexpr (!detail::takes_shards<Criterion>)
      if (m.shards()) return detail::run_on_whole_parameters(m, *this);
    using candidates = std::vector<detail::candidate<typename parallel::model<Net>::value_type>>;
    using any = typename parallel::model<Net>::any_type;
    detail::prune_weights(
        static_cast<any&>(m),
        {sparsity, scope, schedule, retrain.has_value(), ignore, on_note, Criterion::what,
         detail::prepares<Criterion, parallel::model<Net>, candidates> || detail::trains<Criterion>, pattern, groups},
        [&](candidates& now) {
          if constexpr (detail::prepares<Criterion, parallel::model<Net>, candidates>) criterion.prepare(m, now);
          else criterion.score(m, now);
        },
        [&] { retrain->run(m); });
  }
};

/// Magnitude pruning.
using prune = prune_by<>;

}  // namespace pleat::compress
