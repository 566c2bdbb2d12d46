// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A redistribution: how a tensor gets from one placement to another, as data. Who sends which box to whom, by which
/// collective, and how many bytes that takes. Every rank computes it alone and all compute the same; no Kokkos, no
/// communication.
///
/// One rule says where a rank's new elements come from, axis by axis (`receives`, and its mirror `sends`):
///
/// | from → to           | ranks along the axis that are read          |
/// |---------------------|---------------------------------------------|
/// | replicate → any     | oneself (→ partial: coordinate 0 only, the others hold zeros) |
/// | shard → any         | those whose block overlaps the new box (→ partial: oneself, zeros around) |
/// | partial → partial   | oneself                                     |
/// | partial → any other | all of them, summed                         |
///
/// The plan is the cheapest (in bytes over all ranks; of equals, the fewest steps) of these:
/// - shrink what can be shrunk in place or by reduce-scatter, then all-reduce, then exchange shards by all-to-all, then
///   all-gather;
/// - one exchange of boxes straight from the old placement to the new;
/// - both of them after a reduce-scatter along some dimension of what would be all-reduced: it is gathered later, or
///   never. Ranks that hold copies are not asked to help each other with their group's work.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/tensor/layout.hpp>

namespace pleat {

/// What a step of a redistribution is carried out by.
enum class movement : std::uint8_t {
  local,           ///< no communication: a slice, or zeros around what one has
  all_gather,      ///< shard → replicate
  reduce_scatter,  ///< partial → shard
  all_reduce,      ///< partial → replicate
  all_to_all       ///< shard of one dimension → shard of another, and whatever fits nothing else
};

[[nodiscard]] constexpr std::string_view name_of(movement k) noexcept {
  constexpr std::string_view names[] = {"local", "all_gather", "reduce_scatter", "all_reduce", "all_to_all"};
  return names[static_cast<std::size_t>(k)];
}

/// A box that travels between this rank and another; global indices.
struct transfer {
  int rank = 0;
  index_box box;
  friend constexpr bool operator==(transfer const&, transfer const&) = default;
};

/// What a rank sends and receives; elements or bytes, as the function says that gives it.
struct wire {
  index_t sent = 0, received = 0;
  friend constexpr bool operator==(wire, wire) = default;
};

/// One collective (or none) that takes a tensor from one layout to the next on the same mesh.
class redistribution_step {
  PLEAT_LAZY [[nodiscard]] constexpr int axes() const noexcept { return from_.mesh().axes(); }
  PLEAT_LAZY [[nodiscard]] constexpr bool new_addend(int a) const noexcept {
    return from_.mesh().extent(a) > 1 && from_.where()[a].replicates() && to_.where()[a].partial();
  }

  PLEAT_LAZY constexpr void classify() noexcept {
    placement const &x = from_.where(), &y = to_.where();
    axis_set resolved, gathered, other;
    for (int a = 0; a < axes(); ++a) {
      if (from_.mesh().extent(a) == 1) continue;
      if (x[a].partial() && !y[a].partial()) resolved = resolved | axis_set::of(a);
      if (x[a].partial() && y[a].shards()) other = other | axis_set::of(a);
      zeros_ = zeros_ || (y[a].partial() && !x[a].partial());
    }
    // in every dimension the new cuts begin like the old ones; or the other way round
    bool nested = true, shrinks = true;
    for (int d = 0; d < from_.shape().rank(); ++d) {
      bool same = true;
      for (int a = 0; a < axes(); ++a) {
        if (from_.mesh().extent(a) == 1) continue;
        bool const before = x[a].shards(d), after = y[a].shards(d);
        if (!before && !after) continue;
        if (before && after && x[a] == y[a] && same) continue;
        if (before && !y[a].partial()) gathered = gathered | axis_set::of(a);
        if (before) shrinks = false;
        if (after) nested = false;
        same = false;
      }
    }
    group_ = resolved | gathered;
    sums_ = !resolved.empty();
    if (group_.empty()) kind_ = movement::local;
    else if (resolved.empty() && nested) kind_ = movement::all_gather;
    else if (!resolved.empty() && gathered.empty() && resolved == other && shrinks && !zeros_)
      kind_ = movement::reduce_scatter;
    else if (!resolved.empty() && other.empty() && nested && shrinks && !zeros_) kind_ = movement::all_reduce;
    else kind_ = movement::all_to_all;
  }

  /// Axis by axis: which coordinates the other side may have. `outer` is the other side's box as far as the axes before
  /// a cut it.
  template <bool Sources, class F>
  constexpr void walk(int a, pleat::mesh::coordinates const& own, index_box const& mine, index_box const& outer,
                      F const& f, int rank = 0) const {
    pleat::mesh const& m = from_.mesh();
    if (a == axes()) {
      index_box const b = intersect(mine, outer);
      if (!b.empty()) f(rank, b);
      return;
    }
    axis_placement const &x = from_.where()[a], &y = to_.where()[a], &theirs = Sources ? x : y;
    int const c = own[static_cast<std::size_t>(a)], p = m.extent(a);
    bool const fixed = only_oneself<Sources>(a);
    if (new_addend(a) && c != 0) return;
    if (!theirs.shards()) {
      for (int k = fixed ? c : 0; k <= (fixed ? c : p - 1); ++k)
        walk<Sources>(a + 1, own, mine, outer, f, rank + k * m.stride(a));
      return;
    }
    index_range const cut = outer[theirs.dim];
    index_range const seen = intersect(cut, mine[theirs.dim]);
    if (seen.empty()) return;
    int const first = fixed ? c : static_cast<int>(block_owner(cut.size(), p, seen.begin - cut.begin, theirs.unit));
    int const last = fixed ? c : static_cast<int>(block_owner(cut.size(), p, seen.end - 1 - cut.begin, theirs.unit));
    for (int k = first; k <= last; ++k) {
      index_box inner = outer;
      index_range const r = block_range(cut.size(), p, k, theirs.unit);
      inner[theirs.dim] = {cut.begin + r.begin, cut.begin + r.end};
      walk<Sources>(a + 1, own, mine, inner, f, rank + k * m.stride(a));
    }
  }

  /// Whether the other side's coordinate must be one's own.
  template <bool Sources> [[nodiscard]] constexpr bool only_oneself(int a) const noexcept {
    axis_placement const &x = from_.where()[a], &y = to_.where()[a];
    return x.replicates() || y.partial();
  }

  /// Elements of all boxes that for_each_source (or _target) would name, without walking where a dimension is wholly
  /// covered.
  template <bool Sources>
  [[nodiscard]] constexpr index_t all_of(pleat::mesh::coordinates const& c, index_box const& mine) const noexcept {
    index_t n = 1;
    for (int a = 0; a < axes(); ++a) {
      if (new_addend(a) && c[static_cast<std::size_t>(a)] != 0) return 0;
      axis_placement const& theirs = Sources ? from_.where()[a] : to_.where()[a];
      if (!theirs.shards() && !only_oneself<Sources>(a)) n *= from_.mesh().extent(a);
    }
    for (int d = 0; d < mine.rank(); ++d) {
      bool covered = true;
      for (int a = 0; a < axes(); ++a)
        covered = covered && !((Sources ? from_ : to_).where()[a].shards(d) && only_oneself<Sources>(a));
      n *= covered ? mine[d].size() : along<Sources>(0, d, c, mine[d], {0, from_.shape()[d]});
    }
    return n;
  }
  template <bool Sources>
  [[nodiscard]] constexpr index_t along(int a, int d, pleat::mesh::coordinates const& c, index_range mine,
                                        index_range outer) const noexcept {
    while (a < axes() && !(Sources ? from_ : to_).where()[a].shards(d)) ++a;
    index_range const seen = intersect(mine, outer);
    if (a == axes() || seen.empty()) return seen.size();
    axis_placement const& theirs = (Sources ? from_ : to_).where()[a];
    int const p = from_.mesh().extent(a), own = c[static_cast<std::size_t>(a)];
    bool const fixed = only_oneself<Sources>(a);
    int const first =
        fixed ? own : static_cast<int>(block_owner(outer.size(), p, seen.begin - outer.begin, theirs.unit));
    int const last =
        fixed ? own : static_cast<int>(block_owner(outer.size(), p, seen.end - 1 - outer.begin, theirs.unit));
    index_t n = 0;
    for (int k = first; k <= last; ++k) {
      index_range const r = block_range(outer.size(), p, k, theirs.unit);
      n += along<Sources>(a + 1, d, c, mine, {outer.begin + r.begin, outer.begin + r.end});
    }
    return n;
  }

 public:
  constexpr redistribution_step() noexcept = default;
  PLEAT_LAZY constexpr redistribution_step(layout const& from, placement const& to) : from_(from), to_(from.with(to)) {
    classify();
  }

  [[nodiscard]] constexpr layout const& from() const noexcept { return from_; }
  [[nodiscard]] constexpr layout const& to() const noexcept { return to_; }
  [[nodiscard]] constexpr movement kind() const noexcept { return kind_; }
  /// Axes across which elements move: the collective runs in the group of each rank along them.
  [[nodiscard]] constexpr axis_set group() const noexcept { return group_; }
  /// True if a rank adds what it receives from several.
  [[nodiscard]] constexpr bool sums() const noexcept { return sums_; }
  /// True if part of a rank's new box comes from nowhere: it is zero (a new axis with addends).
  [[nodiscard]] constexpr bool zeros() const noexcept { return zeros_; }
  /// False for ranks that end with zeros only: nobody in their group has anything to move.
  PLEAT_LAZY [[nodiscard]] constexpr bool takes_part(int rank) const noexcept {
    for (int a = 0; a < axes(); ++a)
      if (new_addend(a) && from_.mesh().coordinate(rank, a) != 0) return false;
    return true;
  }

  /// Calls f(rank, box) for each rank whose elements make up this rank's new box, itself included: ascending in the
  /// order of the group. Boxes are not empty; they overlap only where `sums`.
  template <class F> constexpr void for_each_source(int rank, F const& f) const {
    index_box const mine = to_.box(rank);
    if (!mine.empty()) walk<true>(0, from_.mesh().coordinates_of(rank), mine, index_box(from_.shape()), f);
  }
  /// The mirror: each rank that needs some of this rank's elements, itself included.
  template <class F> constexpr void for_each_target(int rank, F const& f) const {
    index_box const mine = from_.box(rank);
    if (!mine.empty()) walk<false>(0, from_.mesh().coordinates_of(rank), mine, index_box(from_.shape()), f);
  }
  PLEAT_ONCE [[nodiscard]] std::vector<transfer> receives(int rank) const {
    std::vector<transfer> list;
    for_each_source(rank, [&](int r, index_box const& b) { list.push_back({r, b}); });
    return list;
  }
  PLEAT_ONCE [[nodiscard]] std::vector<transfer> sends(int rank) const {
    std::vector<transfer> list;
    for_each_target(rank, [&](int r, index_box const& b) { list.push_back({r, b}); });
    return list;
  }

  /// Elements that a rank sends to and receives from others, each box once; an all-reduce as a reduce-scatter in blocks
  /// followed by an all-gather: 2 (g − 1) / g of the tensor in a group of g. Costs no list.
  PLEAT_LAZY [[nodiscard]] constexpr wire elements(int rank) const noexcept {
    if (kind_ == movement::local) return {};
    pleat::mesh const& m = from_.mesh();
    auto const c = m.coordinates_of(rank);
    index_box const before = from_.box_at(c);
    if (kind_ == movement::all_reduce) {
      index_t const n = before.size(), g = m.group_size(group_);
      index_t const block = block_range(n, g, m.position(rank, group_)).size();
      return {(n - block) + (g - 1) * block, (g - 1) * block + (n - block)};
    }
    index_box const after = to_.box_at(c);
    index_t const own = takes_part(rank) ? intersect(before, after).size() : 0;
    return {all_of<false>(c, before) - own, all_of<true>(c, after) - own};
  }

 private:
  layout from_, to_;
  axis_set group_;
  movement kind_ = movement::local;
  bool sums_ = false, zeros_ = false;
};

/// The steps from one placement to another, and what they cost.
class redistribution {
 public:
  /// A step with its cost in bytes: over all ranks, and of the rank that sends (receives) most.
  struct priced_step : redistribution_step {
    index_t bytes = 0;
    wire most{};
  };

  redistribution() = default;
  /// \param from          the layout the tensor has
  /// \param to            the placement that it shall have, on the same mesh
  /// \param element_bytes of one element on the wire
  /// \throws error as layout does
  PLEAT_ONCE redistribution(layout const& from, placement const& to, index_t element_bytes);

  [[nodiscard]] layout const& from() const noexcept { return from_; }
  [[nodiscard]] layout const& to() const noexcept { return to_; }
  [[nodiscard]] index_t element_bytes() const noexcept { return element_bytes_; }
  /// Empty if there is nothing to do.
  [[nodiscard]] std::vector<priced_step> const& steps() const noexcept { return steps_; }
  /// True if no element leaves its rank.
  [[nodiscard]] bool local() const noexcept { return bytes() == 0; }

  /// Bytes that cross between ranks, each counted once.
  PLEAT_LAZY [[nodiscard]] index_t bytes() const noexcept { return sum(steps_); }
  /// Bytes that one rank sends and receives.
  PLEAT_LAZY [[nodiscard]] wire bytes(int rank) const noexcept {
    wire w;
    for (auto const& s : steps_) {
      auto const e = s.elements(rank);
      w.sent += e.sent * element_bytes_;
      w.received += e.received * element_bytes_;
    }
    return w;
  }

  /// "[64, 784] on data=2: data: shard<0> -> data: replicate: 100352 bytes" and a line per step.
  PLEAT_ONCE [[nodiscard]] std::string to_string() const {
    auto const& m = from_.mesh();
    std::string s = from_.to_string() + " -> " + to_.where().to_string(m) + ": " +
                    (steps_.empty() ? std::string("nothing to do") : std::to_string(bytes()) + " bytes") + "\n";
    for (auto const& p : steps_) {
      s += "  " + std::string(name_of(p.kind()));
      std::string along;
      for (int a = 0; a < m.axes(); ++a)
        if (p.group().contains(a)) along += (along.empty() ? " along " : ",") + std::string(m[a].name.view());
      s += along + " -> " + p.to().where().to_string(m);
      if (p.kind() != movement::local)
        s += ": " + std::to_string(p.bytes) + " bytes, at most " +
             std::to_string(std::max(p.most.sent, p.most.received)) + " per rank";
      s += "\n";
    }
    return s;
  }
  /// The same, and every box that this rank sends or receives.
  PLEAT_ONCE [[nodiscard]] std::string to_string(int rank) const {
    std::string s = to_string();
    for (auto const& p : steps_) {
      s += "  " + std::string(name_of(p.kind())) + ", rank " + std::to_string(rank) + ":";
      p.for_each_target(rank, [&](int r, index_box const& b) {
        s += (r == rank ? " keeps " : " to " + std::to_string(r) + " ") + b.to_string();
      });
      p.for_each_source(rank, [&](int r, index_box const& b) {
        if (r != rank) s += " from " + std::to_string(r) + " " + b.to_string();
      });
      s += "\n";
    }
    return s;
  }
  /// Of everything that to_string says: ranks compare it before they start.
  PLEAT_ONCE [[nodiscard]] std::uint64_t hash() const {
    return random::hash(to_string()) ^ static_cast<std::uint64_t>(element_bytes_);
  }

 private:
  /// Whether a later axis cuts dimension d too: then a's blocks are not whole blocks of the group, and only an exchange
  /// fits.
  PLEAT_LAZY [[nodiscard]] bool cut_later(placement const& p, int a, int d) const noexcept {
    for (int b = a + 1; b < from_.mesh().axes(); ++b)
      if (from_.mesh().extent(b) > 1 && p[b].shards(d)) return true;
    return false;
  }
  PLEAT_LAZY void take_if_cheaper(std::vector<priced_step> other) {
    index_t const a = sum(steps_), b = sum(other);
    if (b < a || (b == a && other.size() < steps_.size())) steps_ = std::move(other);
  }

  /// The placements on the way, the last included, if each axis goes by the collective that fits it.
  PLEAT_ONCE [[nodiscard]] std::vector<placement> staged(placement const& from, placement const& to) const {
    auto const& m = from_.mesh();
    placement p = from;
    std::vector<placement> way;
    auto const arrive = [&] {
      if (p != (way.empty() ? from : way.back())) way.push_back(p);
    };
    for (int a = 0; a < m.axes(); ++a)  // slices and reduce-scatters
      if (!from[a].shards() && to[a].shards() && !cut_later(from, a, to[a].dim)) p.set(a, to[a]);
    arrive();
    for (int a = 0; a < m.axes(); ++a)  // all-reduces
      if (p[a].partial() && !to[a].partial()) p.set(a, replicate{});
    arrive();
    for (int a = 0; a < m.axes(); ++a) {  // exchanges
      bool const later = p[a].shards() && !to[a].shards() && !cut_later(to, a, p[a].dim);
      bool const addend = p[a].replicates() && to[a].partial();
      if (!later && !addend) p.set(a, to[a]);
    }
    arrive();
    p = to;  // all-gathers, and zeros
    arrive();
    return way;
  }

  PLEAT_ONCE void append(std::vector<priced_step>& list, layout at, std::vector<placement> const& way) const {
    for (auto const& next : way) {
      priced_step s{redistribution_step(at, next), 0, {}};
      if (s.kind() != movement::local)
        for (int r = 0; r < at.mesh().size(); ++r) {
          wire const w = s.elements(r);
          s.bytes += w.received * element_bytes_;
          s.most = {std::max(s.most.sent, w.sent * element_bytes_),
                    std::max(s.most.received, w.received * element_bytes_)};
        }
      list.push_back(s);
      at = at.with(next);
    }
  }
  PLEAT_LAZY [[nodiscard]] static index_t sum(std::vector<priced_step> const& list) noexcept {
    index_t n = 0;
    for (auto const& s : list) n += s.bytes;
    return n;
  }

  layout from_, to_;
  index_t element_bytes_ = 0;
  std::vector<priced_step> steps_;
};

template <class>
redistribution::redistribution(layout const& from, placement const& to, index_t element_bytes)
    : from_(from), to_(from.with(to)), element_bytes_(element_bytes) {
  placement p = from.where();
  for (int a = 0; a < mesh::max_axes; ++a)
    if (from.mesh().extent(a) == 1) p.set(a, to[a]);  // along an axis of one rank all placements are the same
  if (p == to) return;
  append(steps_, from.with(p), staged(p, to));
  if (steps_.size() == 1 && steps_[0].kind() != movement::all_to_all) return;
  for (int d = 0; d < from.shape().rank(); ++d) {
    placement q = p;  // addends become blocks of dimension d
    for (int a = 0; a < from.mesh().axes(); ++a)
      if (p[a].partial() && !to[a].partial() && !cut_later(p, a, d))
        q.set(a, to[a].shards(d) ? to[a] : axis_placement(shard{d}));
    if (q == p) continue;
    std::vector<priced_step> other, another;
    append(other, from.with(p), {q});
    another = other;
    append(other, from.with(q), staged(q, to));
    take_if_cheaper(std::move(other));
    append(another, from.with(q), {to});
    take_if_cheaper(std::move(another));
  }
  std::vector<priced_step> straight;
  append(straight, from.with(p), {to});
  take_if_cheaper(std::move(straight));
}
PLEAT_COMPILED_ONCE(redistribution::redistribution(layout const& from, placement const& to, index_t element_bytes));

}  // namespace pleat
