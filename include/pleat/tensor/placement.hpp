// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Placements: per mesh axis, whether a tensor is replicated, sharded or a sum that has not been taken. Words that are
/// types and values alike; no Kokkos.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/random.hpp>
#include <pleat/tensor/extents.hpp>
#include <pleat/tensor/mesh.hpp>

namespace pleat {

/// What a mesh axis does to a tensor.
enum class spread : std::uint8_t {
  replicate,  ///< every rank along the axis has the same elements
  shard,      ///< a dimension is cut into one block per rank along the axis
  partial     ///< every rank along the axis has an addend; the tensor is their sum
};

/// How partial values become one.
enum class partial_op : std::uint8_t { sum };

/// One axis' part of a placement, as a value.
struct axis_placement {
  spread kind = spread::replicate;
  std::int8_t dim = 0;  ///< of shard: the dimension that is cut
  index_t unit = 1;     ///< of shard: blocks are whole multiples of so many elements (the last may be short)

  [[nodiscard]] constexpr bool replicates() const noexcept { return kind == spread::replicate; }
  [[nodiscard]] constexpr bool shards() const noexcept { return kind == spread::shard; }
  [[nodiscard]] constexpr bool shards(int d) const noexcept { return kind == spread::shard && dim == d; }
  [[nodiscard]] constexpr bool partial() const noexcept { return kind == spread::partial; }
  friend constexpr bool operator==(axis_placement const&, axis_placement const&) = default;

  /// "replicate", "shard<1>", "shard<1, 64>", "partial<sum>"
  PLEAT_ONCE [[nodiscard]] std::string to_string() const;
};

template <class> std::string axis_placement::to_string() const {
  if (replicates()) return "replicate";
  if (partial()) return "partial<sum>";
  return "shard<" + std::to_string(dim) + (unit == 1 ? "" : ", " + std::to_string(unit)) + ">";
}
PLEAT_COMPILED_ONCE(std::string axis_placement::to_string() const);

/// The word for "the same everywhere along this axis".
struct replicate {
  constexpr operator axis_placement() const noexcept { return {}; }  // NOLINT: a word *is* its value
};

/// The word for "an addend each": `partial{}` or `partial<partial_op::sum>{}`.
template <partial_op Op = partial_op::sum> struct partial {
  constexpr operator axis_placement() const noexcept { return {spread::partial, 0, 1}; }  // NOLINT
};

namespace detail {
PLEAT_LAZY constexpr axis_placement shard_of(int dim, index_t unit) {
  if (dim < 0 || dim >= extents::max_rank)
    throw error{"shard", "dimension " + std::to_string(dim),
                "Dimensions are counted from 0 to " + std::to_string(extents::max_rank - 1)};
  if (unit < 1) throw error{"shard", "a unit of " + std::to_string(unit) + " elements", "The smallest unit is 1"};
  return {spread::shard, static_cast<std::int8_t>(dim), unit};
}
}  // namespace detail

/// The word for "dimension Dim is cut": `shard<0>{}` where the dimension is known at compile time, `shard{d}` where it
/// is not. With a unit, `shard<1, 64>{}` or `shard{1, 64}`, blocks are whole multiples of it.
template <int Dim = -1, index_t Unit = 1> struct shard {
  static_assert(Dim >= 0 && Dim < extents::max_rank, "pleat::shard<Dim>: dimensions are counted from 0 to 5");
  static_assert(Unit >= 1, "pleat::shard<Dim, Unit>: the smallest unit is 1 element");
  constexpr operator axis_placement() const noexcept {
    return {spread::shard, static_cast<std::int8_t>(Dim), Unit};
  }  // NOLINT
};
/// Along a dimension that is known at run time only.
template <> struct shard<-1, 1> {
  PLEAT_LAZY constexpr explicit shard(int dim, index_t unit = 1) : value(detail::shard_of(dim, unit)) {}
  constexpr operator axis_placement() const noexcept { return value; }  // NOLINT
  axis_placement value;
};
shard(int) -> shard<-1, 1>;
shard(int, index_t) -> shard<-1, 1>;

/// Where a tensor's elements live on a mesh: one word per axis, in the order in which the mesh lists its axes; axes
/// beyond the last word replicate. The default is replicated everywhere. Several axes may shard the same dimension: see
/// layout.hpp for the split.
///
///     placement p{replicate{}, shard<0>{}};                         // by position
///     placement q = placement::on(m, {{"tensor", shard<0>{}}});     // by name
class placement {
  template <class F> [[nodiscard]] constexpr axis_set which(F const& f) const noexcept {
    axis_set s;
    for (int i = 0; i < mesh::max_axes; ++i)
      if (f((*this)[i])) s = s | axis_set::of(i);
    return s;
  }

 public:
  constexpr placement() noexcept = default;
  template <std::convertible_to<axis_placement>... Words>
    requires(sizeof...(Words) > 0 && sizeof...(Words) <= mesh::max_axes)
  constexpr placement(Words const&... words) : axes_{static_cast<axis_placement>(words)...} {}  // NOLINT

  /// By axis names; axes that are not named replicate. \throws error for a name that the mesh does not have, or twice
  PLEAT_LAZY [[nodiscard]] static constexpr placement on(
      mesh const& m, std::initializer_list<std::pair<std::string_view, axis_placement>> words) {
    placement p;
    axis_set named;
    for (auto const& [name, word] : words) {
      int const a = m.axis_of(name);
      if (named.contains(a))
        throw error{"placement::on", "axis '" + std::string(name) + "' is placed twice", "Give each axis one word"};
      named = named | axis_set::of(a);
      p.set(a, word);
    }
    return p;
  }

  [[nodiscard]] constexpr axis_placement const& operator[](int axis) const noexcept {
    return axes_[static_cast<std::size_t>(axis)];
  }
  constexpr void set(int axis, axis_placement word) noexcept { axes_[static_cast<std::size_t>(axis)] = word; }
  /// The same with another word for one axis.
  PLEAT_LAZY [[nodiscard]] constexpr placement with(int axis, axis_placement word) const noexcept {
    placement p = *this;
    p.set(axis, word);
    return p;
  }

  /// The axes that cut dimension d, replicate, or hold addends.
  [[nodiscard]] constexpr axis_set sharding(int d) const noexcept {
    return which([d](axis_placement const& a) { return a.shards(d); });
  }
  [[nodiscard]] constexpr axis_set partial_axes() const noexcept {
    return which([](axis_placement const& a) { return a.partial(); });
  }
  [[nodiscard]] constexpr axis_set shard_axes() const noexcept {
    return which([](axis_placement const& a) { return a.shards(); });
  }
  /// True if no axis holds addends.
  [[nodiscard]] constexpr bool complete() const noexcept { return partial_axes().empty(); }

  friend constexpr bool operator==(placement const&, placement const&) = default;

  /// The words of the first `axes` axes: "replicate, shard<0>". Without a number: up to the last that does not
  /// replicate.
  PLEAT_ONCE [[nodiscard]] std::string to_string(int axes = -1) const;
  /// By name, as users write it: "data: replicate, tensor: shard<0>".
  PLEAT_ONCE [[nodiscard]] std::string to_string(mesh const& m) const;
  /// The reverse of to_string(axes). \throws error with the word that it does not understand
  PLEAT_LAZY [[nodiscard]] static placement parse(std::string_view text);

  PLEAT_LAZY [[nodiscard]] std::uint64_t hash() const { return random::hash(to_string()); }

 private:
  std::array<axis_placement, mesh::max_axes> axes_{};
};

template <class> std::string placement::to_string(int axes) const {
  if (axes < 0)
    for (axes = mesh::max_axes; axes > 1 && (*this)[axes - 1].replicates();) --axes;
  std::string s;
  for (int i = 0; i < axes; ++i) s += (i ? ", " : "") + (*this)[i].to_string();
  return s;
}
PLEAT_COMPILED_ONCE(std::string placement::to_string(int axes) const);

template <class> std::string placement::to_string(mesh const& m) const {
  std::string s;
  for (int i = 0; i < m.axes(); ++i)
    s += (i ? ", " : "") + std::string(m[i].name.view()) + ": " + (*this)[i].to_string();
  return s;
}
PLEAT_COMPILED_ONCE(std::string placement::to_string(mesh const& m) const);

/// A placement that is a type: `placed<replicate, shard<0>>`. It becomes a `placement` and goes the same way.
template <class... Words> struct placed {
  static_assert((std::convertible_to<Words, axis_placement> && ...),
                "pleat::placed<...>: each word is replicate, shard<dim>, shard<dim, unit> or partial<>");
  static_assert(sizeof...(Words) >= 1 && sizeof...(Words) <= mesh::max_axes,
                "pleat::placed<...>: one word per mesh axis, 1 to 6");
  static constexpr placement value{axis_placement(Words{})...};
  constexpr operator placement() const noexcept { return value; }  // NOLINT
};

template <class> placement placement::parse(std::string_view text) {
  placement p;
  int axis = 0;
  auto const skip = [&] {
    while (!text.empty() && text[0] == ' ') text.remove_prefix(1);
  };
  for (skip(); !text.empty(); skip()) {
    auto const angle = text.find('<'), comma = text.find(',');
    auto const stop = std::min(text.size(), angle < comma ? text.find('>', angle) : comma);
    bool const bracketed = angle < comma && stop < text.size();
    std::string_view const word = text.substr(0, bracketed ? stop + 1 : stop);
    auto const fail = [&] {
      throw error{"placement::parse", "'" + std::string(word.substr(0, 40)) + "' is no placement",
                  "The words are replicate, shard<0> (with a unit: shard<0, 64>) and partial<sum>"};
    };
    if (axis == mesh::max_axes)
      throw error{"placement::parse", "more than " + std::to_string(mesh::max_axes) + " words",
                  "One for each axis of the mesh, of which there are at most as many"};
    if (word == "replicate") {
    } else if (word == "partial<sum>") {
      p.set(axis, pleat::partial{});
    } else if (word.starts_with("shard<") && word.ends_with('>')) {
      auto const inner = word.substr(6, word.size() - 7);
      int dim = -1;
      index_t unit = 1;
      auto [at, failure] = std::from_chars(inner.data(), inner.data() + inner.size(), dim);
      if (failure != std::errc{} || dim < 0 || dim >= extents::max_rank) fail();
      if (at != inner.data() + inner.size()) {
        if (*at != ',') fail();
        do ++at;
        while (at != inner.data() + inner.size() && *at == ' ');
        auto const [end, wrong] = std::from_chars(at, inner.data() + inner.size(), unit);
        if (wrong != std::errc{} || end != inner.data() + inner.size() || unit < 1) fail();
      }
      p.set(axis, shard{dim, unit});
    } else {
      fail();
    }
    ++axis;
    text.remove_prefix(word.size());
    skip();
    if (text.empty()) break;
    if (text[0] != ',') fail();
    text.remove_prefix(1);
    skip();
    if (text.empty())
      throw error{"placement::parse", "a word is missing at the end",
                  "Leave the last comma out, or add replicate, shard<0> or partial<sum>"};
  }
  return p;
}

}  // namespace pleat
