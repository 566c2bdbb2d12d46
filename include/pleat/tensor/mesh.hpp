// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The mesh: an N-dimensional grid of ranks with named axes. A value, also at compile time; no Kokkos, no
/// communication.
#pragma once

#include <array>
#include <bit>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/random.hpp>

namespace pleat {

/// The name of an axis: "data", "tensor", "pipeline" or the user's own. At most 15 characters of a-z, 0-9 and _, a
/// letter first.
struct axis_name {
  static constexpr std::size_t capacity = 15;
  char text[capacity + 1] = {};

  constexpr axis_name() noexcept = default;
  PLEAT_LAZY constexpr axis_name(std::string_view s) {  // NOLINT: a name *is* its text
    bool good = !s.empty() && s.size() <= capacity && s[0] >= 'a' && s[0] <= 'z' && s != "order";
    for (char const c : s) good = good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_');
    if (!good)
      throw error{"mesh", "'" + std::string(s.substr(0, 40)) + "' is no name of an axis",
                  "Use 1 to 15 characters of a-z, 0-9 and _, a letter first, and not 'order'"};
    for (std::size_t i = 0; i < s.size(); ++i) text[i] = s[i];
  }
  template <std::size_t N>
  constexpr axis_name(char const (&s)[N])
      : axis_name(std::string_view(s, std::char_traits<char>::length(s))) {}  // NOLINT: may be padded

  [[nodiscard]] constexpr std::string_view view() const noexcept {
    return {text, std::char_traits<char>::length(text)};
  }
  friend constexpr bool operator==(axis_name const&, axis_name const&) = default;
};

/// Some of a mesh's axes.
struct axis_set {
  std::uint32_t bits = 0;
  [[nodiscard]] static constexpr axis_set of(int axis) noexcept { return {std::uint32_t{1} << axis}; }
  [[nodiscard]] constexpr bool contains(int axis) const noexcept { return (bits >> axis & 1) != 0; }
  [[nodiscard]] constexpr bool empty() const noexcept { return bits == 0; }
  [[nodiscard]] constexpr int size() const noexcept { return std::popcount(bits); }
  friend constexpr axis_set operator|(axis_set a, axis_set b) noexcept { return {a.bits | b.bits}; }
  friend constexpr axis_set operator&(axis_set a, axis_set b) noexcept { return {a.bits & b.bits}; }
  friend constexpr axis_set operator-(axis_set a, axis_set b) noexcept { return {a.bits & ~b.bits}; }
  friend constexpr bool operator==(axis_set, axis_set) = default;
};

/// The ranks that differ from each other in some axes only. A value; allocates nothing.
///
/// Order: the coordinates of those axes count like digits, the axis listed last in the mesh fastest. All ranks agree on
/// it, and it is the order of the blocks of a dimension that these axes shard.
class rank_group {
 public:
  [[nodiscard]] constexpr int size() const noexcept { return size_; }
  /// The rank at a position, 0 ≤ k < size().
  [[nodiscard]] constexpr int operator[](int k) const noexcept {
    int rank = first_;
    for (int i = axes_; i-- > 0;) {
      auto const a = static_cast<std::size_t>(i);
      rank += k % extent_[a] * stride_[a];
      k /= extent_[a];
    }
    return rank;
  }

 private:
  friend class mesh;
  int first_ = 0, size_ = 1, axes_ = 0;
  std::array<int, 6> extent_{}, stride_{};
};

/// A grid of ranks. Axes keep the order in which they are listed: that is the order in which a placement names them and
/// in which several axes split one dimension. Which axis is innermost (its neighbours are neighbouring ranks) is a
/// matter of its own: the one listed last, unless `ordered` says otherwise.
///
///     constexpr mesh m = mesh{{"data", 2}, {"tensor", 4}}.ordered("data,tensor");
class mesh {
  // before its users: clang looks for the body of a template where a constant expression needs it
  template <class F> static constexpr void for_each_name(std::string_view text, char separator, F const& f) {
    while (!text.empty()) {
      auto const stop = text.find(separator);
      f(text.substr(0, stop));
      if (stop == std::string_view::npos) return;
      text.remove_prefix(stop + 1);
    }
  }

 public:
  static constexpr int max_axes = 6;

  /// A direction of the grid: its name and how many ranks lie along it.
  struct axis {
    axis_name name;
    int extent = 1;
    friend constexpr bool operator==(axis const&, axis const&) = default;
  };
  using coordinates = std::array<int, max_axes>;

  /// One rank, no axis.
  constexpr mesh() noexcept = default;
  PLEAT_LAZY constexpr mesh(std::initializer_list<axis> axes)
      : mesh(std::span<axis const>(axes.begin(), axes.size())) {}
  /// \throws error for a name twice, an extent below 1, more than 6 axes
  PLEAT_LAZY constexpr explicit mesh(std::span<axis const> axes) {
    if (axes.size() > max_axes)
      throw error{"mesh", std::to_string(axes.size()) + " axes, at most " + std::to_string(max_axes),
                  "Leave out axes of one rank, or make one axis of two"};
    std::int64_t ranks = 1;
    for (auto const& a : axes) {
      if (a.extent < 1)
        throw error{"mesh", "axis '" + std::string(a.name.view()) + "' has extent " + std::to_string(a.extent),
                    "Every axis has at least one rank; leave an axis out, or give it 1"};
      if (int const twin = find(a.name.view()); twin >= 0)
        throw error{"mesh", "axis '" + std::string(a.name.view()) + "' is named twice",
                    "Name it once, as in '" + std::string(a.name.view()) + "=" +
                        std::to_string(std::int64_t{extent(twin)} * a.extent) + "'"};
      if (ranks * a.extent > std::numeric_limits<int>::max())
        throw error{
            "mesh",
            "more than 2^31 - 1 ranks with axis '" + std::string(a.name.view()) + "' of " + std::to_string(a.extent),
            "Give it at most " + std::to_string(std::numeric_limits<int>::max() / ranks)};
      ranks *= a.extent;
      axes_[static_cast<std::size_t>(count_)] = a;
      order_[static_cast<std::size_t>(count_)] = static_cast<std::int8_t>(count_);
      ++count_;
    }
    set_strides();
  }

  /// The same mesh with the axes named outermost first: the last one is innermost. Every axis exactly once.
  PLEAT_LAZY [[nodiscard]] constexpr mesh ordered(std::string_view outermost_first) const {
    mesh m = *this;
    axis_set seen;
    int n = 0;
    for_each_name(outermost_first, ',', [&](std::string_view name) {
      int const a = axis_of(name);
      if (seen.contains(a))
        throw error{"mesh::ordered", "axis '" + std::string(name) + "' is named twice",
                    "Name each of " + names() + " once, outermost first"};
      seen = seen | axis_set::of(a);
      m.order_[static_cast<std::size_t>(n++)] = static_cast<std::int8_t>(a);
    });
    if (n != count_)
      throw error{"mesh::ordered", std::to_string(n) + " of " + std::to_string(count_) + " axes are named",
                  "Name each of " + names() + " once, outermost first"};
    m.set_strides();
    return m;
  }

  /// Number of axes.
  [[nodiscard]] constexpr int axes() const noexcept { return count_; }
  /// Number of ranks.
  [[nodiscard]] constexpr int size() const noexcept { return size_; }
  [[nodiscard]] constexpr axis const& operator[](int i) const noexcept { return axes_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] constexpr int extent(int i) const noexcept { return (*this)[i].extent; }
  /// Ranks along the axis of this name. \throws error if there is none
  PLEAT_LAZY [[nodiscard]] constexpr int extent(std::string_view name) const { return extent(axis_of(name)); }
  /// The axis of this name, -1 if there is none.
  PLEAT_LAZY [[nodiscard]] constexpr int find(std::string_view name) const noexcept {
    for (int i = 0; i < count_; ++i)
      if ((*this)[i].name.view() == name) return i;
    return -1;
  }
  /// The axis of this name. \throws error that lists the names there are
  PLEAT_LAZY [[nodiscard]] constexpr int axis_of(std::string_view name) const {
    int const i = find(name);
    if (i < 0)
      throw error{"mesh", "there is no axis '" + std::string(name.substr(0, 40)) + "'",
                  count_ ? "The axes are " + names() : std::string("The mesh has no axes")};
    return i;
  }
  /// The axes named, as in "data,tensor". \throws error for a name that there is not
  PLEAT_LAZY [[nodiscard]] constexpr axis_set set(std::string_view names) const {
    axis_set s;
    for_each_name(names, ',', [&](std::string_view name) { s = s | axis_set::of(axis_of(name)); });
    return s;
  }
  [[nodiscard]] constexpr axis_set all() const noexcept { return {(std::uint32_t{1} << count_) - 1}; }
  /// Axes of more than one rank.
  PLEAT_LAZY [[nodiscard]] constexpr axis_set wide() const noexcept {
    axis_set s;
    for (int i = 0; i < count_; ++i)
      if (extent(i) > 1) s = s | axis_set::of(i);
    return s;
  }
  /// Ranks apart of two neighbours along an axis; 1 for the innermost.
  [[nodiscard]] constexpr int stride(int i) const noexcept { return stride_[static_cast<std::size_t>(i)]; }

  PLEAT_LAZY [[nodiscard]] constexpr int coordinate(int rank, int i) const noexcept {
    return rank / stride(i) % extent(i);
  }
  /// In the order in which the axes are listed; 0 beyond the last.
  PLEAT_LAZY [[nodiscard]] constexpr coordinates coordinates_of(int rank) const noexcept {
    coordinates c{};
    for (int i = 0; i < count_; ++i) c[static_cast<std::size_t>(i)] = coordinate(rank, i);
    return c;
  }
  PLEAT_LAZY [[nodiscard]] constexpr int rank_of(coordinates const& c) const noexcept {
    int rank = 0;
    for (int i = 0; i < count_; ++i) rank += c[static_cast<std::size_t>(i)] * stride(i);
    return rank;
  }
  /// The neighbour of a rank at coordinate c of an axis.
  PLEAT_LAZY [[nodiscard]] constexpr int moved(int rank, int i, int c) const noexcept {
    return rank + (c - coordinate(rank, i)) * stride(i);
  }

  /// Number of ranks in a group along these axes.
  PLEAT_LAZY [[nodiscard]] constexpr int group_size(axis_set axes) const noexcept {
    int n = 1;
    for (int i = 0; i < count_; ++i) n *= axes.contains(i) ? extent(i) : 1;
    return n;
  }
  /// The ranks that agree with `rank` in all other axes, itself included.
  PLEAT_LAZY [[nodiscard]] constexpr rank_group group(int rank, axis_set axes) const noexcept {
    rank_group g;
    g.first_ = rank;
    for (int i = 0; i < count_; ++i)
      if (axes.contains(i)) {
        g.first_ -= coordinate(rank, i) * stride(i);
        g.extent_[static_cast<std::size_t>(g.axes_)] = extent(i);
        g.stride_[static_cast<std::size_t>(g.axes_++)] = stride(i);
        g.size_ *= extent(i);
      }
    return g;
  }
  /// Where a rank stands in its group along these axes.
  PLEAT_LAZY [[nodiscard]] constexpr int position(int rank, axis_set axes) const noexcept {
    int k = 0;
    for (int i = 0; i < count_; ++i)
      if (axes.contains(i)) k = k * extent(i) + coordinate(rank, i);
    return k;
  }
  /// Which of the groups along these axes a rank is in: 0 … size() / group_size(axes) - 1.
  PLEAT_LAZY [[nodiscard]] constexpr int group_index(int rank, axis_set axes) const noexcept {
    return position(rank, all() - axes);
  }

  friend constexpr bool operator==(mesh const& a, mesh const& b) noexcept {
    if (a.count_ != b.count_) return false;
    for (int i = 0; i < a.count_; ++i)
      if (!(a[i] == b[i]) || a.order_[static_cast<std::size_t>(i)] != b.order_[static_cast<std::size_t>(i)])
        return false;
    return true;
  }

  /// "data=2,tensor=4"; with ",order=tensor.data" at the end if the axis listed last is not the innermost.
  PLEAT_ONCE [[nodiscard]] std::string to_string() const;

  /// A mesh from its text. With `ranks` given, one extent may be `*` (what is left of the ranks), and the product must
  /// be `ranks`.
  /// \throws error with the part that it does not understand, or as demand_ranks does
  PLEAT_LAZY [[nodiscard]] static mesh parse(std::string_view text, int ranks = 0);

  /// \throws error unless the mesh has exactly this many ranks; names the nearest mesh of the same axes that has
  PLEAT_ONCE void demand_ranks(int ranks) const {
    if (ranks == size_) return;
    throw error{"mesh",
                (count_ ? "'" + to_string() + "' has " : std::string("a mesh without axes has ")) +
                    std::to_string(size_) + (size_ == 1 ? " rank" : " ranks") + ", there are " + std::to_string(ranks),
                count_ ? "The nearest that fits is '" + nearest(ranks).to_string() + "'"
                       : "Name an axis, as in 'data=" + std::to_string(ranks) + "'"};
  }

  /// The mesh of these axes, in this order, that has `ranks` ranks and changes least: the smallest sum of |log(new /
  /// old)|, then the one that changes the axes listed last least.
  PLEAT_LAZY [[nodiscard]] mesh nearest(int ranks) const;

  PLEAT_LAZY [[nodiscard]] std::uint64_t hash() const { return random::hash(to_string()); }

 private:
  struct search;
  PLEAT_LAZY constexpr void set_strides() noexcept {
    size_ = 1;
    for (int i = count_; i-- > 0;) {
      auto const a = static_cast<std::size_t>(order_[static_cast<std::size_t>(i)]);
      stride_[a] = size_;
      size_ *= axes_[a].extent;
    }
  }
  PLEAT_LAZY [[nodiscard]] constexpr std::string names() const {
    std::string s;
    for (int i = 0; i < count_; ++i) {
      s += i ? ", " : "";
      s += (*this)[i].name.view();
    }
    return s;
  }
  std::array<axis, max_axes> axes_{};
  std::array<int, max_axes> stride_{};
  std::array<std::int8_t, max_axes> order_{};  // outermost first
  int count_ = 0, size_ = 1;
};

template <class> std::string mesh::to_string() const {
  std::string s, order;
  bool listed = true;
  for (int i = 0; i < count_; ++i) {
    int const o = order_[static_cast<std::size_t>(i)];
    s += i ? "," : "";  // piece by piece: g++ 12 sees overflows in sums of strings
    s += (*this)[i].name.view();
    s += '=';
    s += std::to_string(extent(i));
    order += i ? "." : "";
    order += (*this)[o].name.view();
    listed = listed && o == i;
  }
  return listed ? s : s + ",order=" + order;
}
PLEAT_COMPILED_ONCE(std::string mesh::to_string() const);

/// Every way to write a number as a product of as many extents.
struct mesh::search {
  mesh now, best;
  double cost;
  PLEAT_LAZY void walk(int i, int left, double spent) {
    auto const set = [&](int e) {
      int const before = now.extent(i);
      double const more = spent + std::abs(std::log(static_cast<double>(e) / before));
      now.axes_[static_cast<std::size_t>(i)].extent = e;
      if (i > 0) walk(i - 1, left / e, more);
      else if (more < cost - 1e-9) cost = more, best = now;
      now.axes_[static_cast<std::size_t>(i)].extent = before;
    };
    if (i == 0) return set(left);
    if (left % now.extent(i) == 0) set(now.extent(i));  // tried first: of equals, the one that leaves this axis alone
    for (int e = 1; e <= left; ++e)
      if (left % e == 0 && e != now.extent(i)) set(e);
  }
};

template <class> mesh mesh::nearest(int ranks) const {
  if (count_ == 0 || ranks < 1) return *this;
  search s{*this, *this, std::numeric_limits<double>::max()};
  s.walk(count_ - 1, ranks, 0);
  s.best.set_strides();
  return s.best;
}

template <class> mesh mesh::parse(std::string_view text, int ranks) {
  constexpr char const* remedy =
      "Write it as 'data=2,tensor=2,pipeline=2', with ',order=pipeline.data.tensor' at the end to say which axis is "
      "innermost";
  std::array<axis, max_axes> axes{};
  std::size_t n = 0;
  std::string order;
  int open = -1;
  std::int64_t product = 1;
  for_each_name(text, ',', [&](std::string_view part) {
    auto const equals = part.find('=');
    auto const name = part.substr(0, equals),
               value = equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    auto const fail = [&](std::string const& why) {
      throw error{"mesh::parse", "'" + std::string(part.substr(0, 60)) + "' " + why, remedy};
    };
    if (value.empty()) fail("is not 'axis=extent'");
    if (!order.empty()) fail("comes after the order, which must be last");
    if (name == "order") {
      order = value;
      for (char& c : order)
        if (c == '.') c = ',';
      return;
    }
    int extent = 1;
    if (value == "*") {
      if (ranks < 1) fail("leaves the extent open where the number of ranks is not known");
      if (open >= 0) fail("is the second extent that is left open");
      open = static_cast<int>(n);
    } else {
      auto const [end, failure] = std::from_chars(value.data(), value.data() + value.size(), extent);
      if (failure != std::errc{} || end != value.data() + value.size() || extent < 1)
        fail("has no extent of 1 or more");
      if (product > std::numeric_limits<int>::max() / extent)
        fail("makes more than 2^31 - 1 ranks with the axes before it");
      product *= extent;
    }
    if (n == max_axes) fail("is one axis too many: at most " + std::to_string(max_axes));
    axes[n++] = {axis_name(name), extent};
  });
  if (open >= 0) axes[static_cast<std::size_t>(open)].extent = product > ranks ? 1 : static_cast<int>(ranks / product);
  mesh m(std::span<axis const>(axes.data(), n));
  if (!order.empty()) m = m.ordered(order);
  if (ranks > 0) m.demand_ranks(ranks);
  return m;
}

/// An axis of a static mesh; extent 0 is given at run time.
template <axis_name Name, int Extent = 0> struct static_axis {
  static_assert(Extent >= 0, "pleat::static_axis: an extent is at least 1, or 0 for one that is given at run time");
  static constexpr axis_name name = Name;
  static constexpr int extent = Extent;
};

/// A mesh whose axes, and whichever extents are known, are a type. It becomes a `mesh` and goes the same way as any
/// other:
///
///     constexpr mesh m = static_mesh<static_axis<"data", 2>, static_axis<"tensor", 4>>{};   // all of it at compile time
///     mesh n = static_mesh<static_axis<"data">, static_axis<"tensor", 4>>{ranks / 4};       // one extent at run time
template <class... Axes> class static_mesh {
 public:
  static constexpr int open = (0 + ... + (Axes::extent == 0 ? 1 : 0));
  /// From the extents that the type leaves open, in order.
  template <std::same_as<int>... E>
  constexpr explicit(sizeof...(E) > 0) static_mesh(E... extents) : value_(make({extents...})) {
    static_assert(sizeof...(E) == open, "pleat::static_mesh: give exactly the extents that the type leaves open");
  }
  constexpr operator mesh() const noexcept { return value_; }  // NOLINT: a static mesh *is* a mesh
  [[nodiscard]] constexpr mesh const& value() const noexcept { return value_; }

 private:
  static constexpr mesh make(std::initializer_list<int> given) {
    std::array<mesh::axis, sizeof...(Axes)> axes{mesh::axis{Axes::name, Axes::extent}...};
    auto next = given.begin();
    for (auto& a : axes)
      if (a.extent == 0) a.extent = *next++;
    return mesh(std::span<mesh::axis const>(axes.data(), axes.size()));
  }
  mesh value_;
};

}  // namespace pleat
