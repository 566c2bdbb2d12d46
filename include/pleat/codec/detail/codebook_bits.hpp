// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The bit logic of weights with shared values: a few centroids, and for every element (or survivor) which one. Needs
/// no Kokkos.
#pragma once

#include <functional>

#include <pleat/codec/detail/at_level.hpp>
#include <pleat/codec/detail/codebook_options.hpp>
#include <pleat/codec/detail/entropy.hpp>
#include <pleat/codec/detail/host_bits.hpp>
#include <pleat/codec/detail/kmeans.hpp>
#include <pleat/codec/detail/sparse_bits.hpp>
#include <pleat/codec/detail/turn_codebook.hpp>
#include <pleat/codec/error_norms.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::codec {

/// What a codebook has to know of a weight of which these are some rows, or some columns of all rows.
struct codebook_part {
  index_t rows = 0;       ///< of the whole weight
  index_t first_row = 0;  ///< of the whole, that the part begins with
  /// adds up over all ranks that have a part, in place, and is called alike on all of them; empty: this is the whole
  /// weight
  std::function<void(std::span<std::int64_t>)> sum{};
};

namespace detail {

/// Rows of a group as files count them: as many as asked for, or with 0 all `rows`. \throws error
[[nodiscard]] inline std::uint32_t rows_of_group(std::string const& call, index_t asked, index_t rows) {
  constexpr index_t most = 0xffffffff;
  if (asked < 0 || asked > most)
    throw error{call, "rows_per_group is " + std::to_string(asked) + ", expected 0 to " + std::to_string(most),
                "0 is one set of values for the whole weight"};
  return static_cast<std::uint32_t>(std::clamp<index_t>(asked ? asked : rows, 1, most));
}

inline void check_codebook_options(std::string const& call, codebook_options const& o, index_t groups, bool coded) {
  if (o.entries < 2 || o.entries > 256)
    throw error{call, std::to_string(o.entries) + " codebook entries, expected 2 to 256", "Codes have 1 to 8 bits"};
  (void)rows_of_group(call, o.rows_per_group, 1);
  if (o.phase != 0 && (o.centroids.empty() || o.phase < 0 || o.phase >= o.rows_per_group))
    throw error{call,
                "a phase of " + std::to_string(o.phase) +
                    " is for parts of a weight: it needs centroids, and more rows_per_group than that (" +
                    std::to_string(o.rows_per_group) + ")",
                "Leave .phase at 0: only parts of a cut weight have one, with the centroids of the whole"};
  if (coded && o.index_bits != 0 && (o.index_bits < 2 || o.index_bits > 8))
    throw error{call, "an index of " + std::to_string(o.index_bits) + " bits, expected 0 or 2 to 8 (5 and 8 are usual)",
                "Say .index_bits = 5, or 0 for none"};
  if (!o.centroids.empty()) {
    if (static_cast<index_t>(o.centroids.size()) != groups * o.entries)
      throw error{
          call,
          std::to_string(o.centroids.size()) + " centroids are given, expected " + std::to_string(groups * o.entries),
          "Give .entries centroids for every group of rows, or none: k-means finds them"};
    for (std::size_t i = 0; i < o.centroids.size(); ++i)
      if (!std::isfinite(o.centroids[i]) ||
          (i % static_cast<std::size_t>(o.entries) != 0 && o.centroids[i] < o.centroids[i - 1]))
        throw error{call, "the given centroids are not finite and ascending",
                    "Sort the centroids of each group, and leave out NaN and infinity"};
  }
}

/// What both forms write beside their codes: ".codebook" F32 [groups, entries] and ".layout" U32.
struct codebook_layout {
  std::uint32_t entries = 2, rows_per_group = 1, phase = 0;  ///< row r is of group (r + phase) / rows_per_group
  std::uint32_t rows_per_chunk = 1, index_bits = 0;          ///< codec::coded only
};
[[nodiscard]] inline index_t group_count(extents const& shape, codebook_layout const& l) noexcept {
  return rows_of(shape) == 0
             ? 0
             : (rows_of(shape) - 1 + static_cast<index_t>(l.phase)) / static_cast<index_t>(l.rows_per_group) + 1;
}
[[nodiscard]] inline file_tensor layout_part(codebook_layout const& l) {
  return part_of(".layout",
                 std::vector<std::uint32_t>{l.entries, l.rows_per_group, l.phase, l.rows_per_chunk, l.index_bits});
}
[[nodiscard]] inline codebook_layout read_layout(std::string const& call, extents const& shape,
                                                 std::span<file_tensor const> parts) {
  auto const v = values_of<std::uint32_t>(demand_part(call.c_str(), parts, ".layout", dtype::u32, {5}).bytes);
  codebook_layout const l{v[0], v[1], v[2], v[3], v[4]};
  if (l.entries < 2 || l.entries > 256)
    throw error{call, std::to_string(l.entries) + " codebook entries, expected 2 to 256", remedy::copy_again};
  if (l.rows_per_group == 0 || l.phase >= l.rows_per_group || l.rows_per_chunk == 0 || l.index_bits > 8 ||
      l.index_bits == 1)
    throw error{call,
                "the layout says sets of " + std::to_string(l.rows_per_group) + " rows, of which the first lacks " +
                    std::to_string(l.phase) + ", chunks of " + std::to_string(l.rows_per_chunk) + " and indices of " +
                    std::to_string(l.index_bits) +
                    " bits; expected 1 row or more, fewer that lack, and 0 or 2 to 8 bits",
                remedy::copy_again};
  if (static_cast<index_t>(l.rows_per_chunk) > std::max<index_t>(1, rows_of(shape)))
    throw error{call,
                "a chunk of " + std::to_string(l.rows_per_chunk) + " rows in a weight of " +
                    std::to_string(rows_of(shape)) + ", expected as many at most",
                remedy::copy_again};
  for (float c : values_of<float>(demand_part(call.c_str(), parts, ".codebook", dtype::f32,
                                              {group_count(shape, l), static_cast<index_t>(l.entries)})
                                      .bytes))
    if (!std::isfinite(c)) throw error{call, "a codebook entry is NaN or infinite", remedy::copy_again};
  return l;
}

/// Codebooks of all groups of a weight, of which this rank may have a part. Zeros are no part of the k-means: they are
/// not stored, or have an entry of their own: with `zero_entry` a group that holds zeros has one entry that is exactly
/// 0.
[[nodiscard]] inline std::vector<float> find_codebooks(extents const& shape, std::span<float const> values,
                                                       codebook_options const& o, codebook_layout const& l,
                                                       bool zero_entry, codebook_part const& part) {
  if (!o.centroids.empty()) return o.centroids;
  std::vector<float> all;
  auto const sum = [&](std::span<std::int64_t> counts) {
    if (part.sum) part.sum(counts);
  };
  index_t const k = columns_of(shape), step = static_cast<index_t>(l.rows_per_group);
  for (index_t r = 0; r < part.rows; r += step) {
    index_range const here = intersect(index_range{r, std::min(r + step, part.rows)},
                                       index_range{part.first_row, part.first_row + rows_of(shape)});
    auto const group = here.empty() ? std::span<float const>{}
                                    : values.subspan(static_cast<std::size_t>((here.begin - part.first_row) * k),
                                                     static_cast<std::size_t>(here.size() * k));
    std::vector<float> alive;
    alive.reserve(group.size());
    std::copy_if(group.begin(), group.end(), std::back_inserter(alive), [](float v) { return v != 0; });
    std::int64_t zeros[] = {static_cast<std::int64_t>(group.size() - alive.size())};
    if (zero_entry) sum(zeros);
    bool const one = zero_entry && zeros[0] > 0;
    auto c = kmeans(sorted_numbers(std::move(alive)), o.entries - (one ? 1 : 0), o.start,
                    o.seed + static_cast<std::uint64_t>(r), o.iterations, sum);
    if (one) c.push_back(0.0f);
    std::sort(c.begin(), c.end());
    all.insert(all.end(), c.begin(), c.end());
  }
  return all;
}
[[nodiscard]] inline std::vector<float> find_codebooks(extents const& shape, std::span<float const> values,
                                                       codebook_options const& o, codebook_layout const& l,
                                                       bool zero_entry) {
  return find_codebooks(shape, values, o, l, zero_entry, {rows_of(shape)});
}

/// What an encoder needs to give a part of a weight the codebooks of the whole: k-means over all parts, by sums of
/// counts, and nobody gathers. Numbers that are not finite count as zeros, for the encoder to refuse.
/// \param coded for codec::coded, which stores no zeros where it has an index \throws error for options out of range, on
/// all ranks alike
[[nodiscard]] inline codebook_options codebook_options_of_part(std::string_view form, bool coded, extents const& shape,
                                                               std::vector<float> values, codebook_options o,
                                                               codebook_part const& part) {
  for (float& v : values) v = std::isfinite(v) ? v : 0.0f;
  o.rows_per_group = rows_of_group(call_of(form, "encode"), o.rows_per_group, part.rows);
  codebook_layout const l{static_cast<std::uint32_t>(o.entries), static_cast<std::uint32_t>(o.rows_per_group), 0, 1, 0};
  check_codebook_options(call_of(form, "encode"), o, group_count({part.rows, 1}, l), coded);  // of the whole
  auto const books = find_codebooks(shape, values, o, l, !coded || o.index_bits == 0, part);
  index_t const rows = rows_of(shape), each = o.rows_per_group, first = part.first_row / each,
                last = rows > 0 ? (part.first_row + rows - 1) / each + 1 : first;
  o.centroids.assign(books.begin() + static_cast<std::ptrdiff_t>(first * o.entries),
                     books.begin() + static_cast<std::ptrdiff_t>(last * o.entries));
  o.phase = rows > 0 ? part.first_row % each : 0;
  o.piece = true;
  return o;
}

/// Half the gap around each value, or the way to the last centroid: what rounding to the nearest entry can cost.
/// Elements that are not stored cost 0.
[[nodiscard]] inline error_norms predict_codebook(extents const& shape, std::span<float const> values,
                                                  std::span<float const> books, codebook_layout const& l,
                                                  bool zeros_are_stored) {
  error_norms e;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == 0 && !zeros_are_stored) continue;
    auto const group = (static_cast<index_t>(i) / columns_of(shape) + static_cast<index_t>(l.phase)) /
                       static_cast<index_t>(l.rows_per_group);
    auto const book = books.subspan(static_cast<std::size_t>(group) * l.entries, l.entries);
    auto const above = std::lower_bound(book.begin(), book.end(), values[i]);
    if (above != book.end() && *above == values[i]) continue;
    if (above == book.begin() || above == book.end())
      e.add(std::fabs(static_cast<double>(values[i]) -
                      static_cast<double>(above == book.begin() ? book.front() : book.back())));
    else e.add((static_cast<double>(*above) - static_cast<double>(above[-1])) / 2);
  }
  return e;
}

/// What the codebooks and layouts of a weight's pieces were before it was cut. \throws error if they are not those of
/// one weight
struct joined_codebooks {
  codebook_layout layout;
  std::vector<float> books;
};
[[nodiscard]] inline joined_codebooks join_codebooks(std::string_view form, extents const& shape, int dim,
                                                     std::span<weight_piece const> pieces) {
  auto const call = call_of(form, "join");
  joined_codebooks whole;
  std::vector<char> known;
  index_t row = 0;
  for (auto const& p : pieces) {
    auto const l = read_layout(call, p.shape, p.parts);
    auto const books = values_of<float>(find_part(p.parts, ".codebook")->bytes);
    if (row == 0 && known.empty()) {
      whole.layout = l;
      known.assign(static_cast<std::size_t>(group_count(shape, l)), 0);
      whole.books.resize(known.size() * l.entries);
    }
    if (rows_of(p.shape) == 0) continue;
    auto const begin = row + static_cast<index_t>(whole.layout.phase), each = static_cast<index_t>(l.rows_per_group);
    if (l.entries != whole.layout.entries || l.rows_per_group != whole.layout.rows_per_group ||
        l.index_bits != whole.layout.index_bits || static_cast<index_t>(l.phase) != begin % each)
      refuse_join(form, "groups");
    for (std::size_t i = 0; i < books.size(); ++i) {
      auto const at = static_cast<std::size_t>(begin / each) * l.entries + i;
      if (at >= whole.books.size() || (known[at / l.entries] && whole.books[at] != books[i]))
        refuse_join(form, "codebooks");
      whole.books[at] = books[i];
      if (at % l.entries == l.entries - 1) known[at / l.entries] = 1;
    }
    if (dim == 0) row += rows_of(p.shape);
  }
  return whole;
}

/// Every element has a code of ⌈log₂ entries⌉ bits; rows on byte borders.
struct codebook_logic {
  static constexpr std::string_view name = "codebook";
  using options = codebook_options;

  static std::vector<file_tensor> encode(extents const& shape, std::span<float const> values, options const& o) {
    demand_finite(name, shape, values);
    codebook_layout const l{static_cast<std::uint32_t>(o.entries),
                            rows_of_group(call_of(name, "encode"), o.rows_per_group, rows_of(shape)),
                            static_cast<std::uint32_t>(o.phase), 1, 0};
    check_codebook_options(call_of(name, "encode"), o, group_count(shape, l), false);
    auto const books = find_codebooks(shape, values, o, l, true);
    std::vector<std::uint8_t> codes;
    codes.reserve(values.size());
    for (index_t r = 0; r < rows_of(shape); ++r) {
      auto const book = std::span<float const>(books).subspan(
          static_cast<std::size_t>((r + o.phase) / static_cast<index_t>(l.rows_per_group)) * l.entries, l.entries);
      for (index_t k = 0; k < columns_of(shape); ++k)
        codes.push_back(
            static_cast<std::uint8_t>(nearest(book, values[static_cast<std::size_t>(r * columns_of(shape) + k)])));
    }
    return {part_of(".codebook", {group_count(shape, l), o.entries}, books), layout_part(l), packed(shape, l, codes)};
  }
  /// What `encode` needs to give a part of a weight the codebooks of the whole.
  static options options_of_part(extents const& shape, std::vector<float> values, options o,
                                 codebook_part const& part) {
    return codebook_options_of_part(name, false, shape, std::move(values), std::move(o), part);
  }
  static void check(extents const& shape, std::span<file_tensor const> parts) {
    auto const call = call_of(name, "from_file");
    demand_only(call.c_str(), parts, {".codebook", ".layout", ".codes"});
    auto const l = read_layout(call, shape, parts);
    int const width = plain_bits(static_cast<int>(l.entries));
    auto const& codes =
        demand_part(call.c_str(), parts, ".codes", dtype::u8, {rows_of(shape), bit_bytes(columns_of(shape) * width)});
    auto padded = values_of<std::uint8_t>(codes.bytes);
    padded.resize(padded.size() + 8);
    view v;
    v.codes = padded.data();
    v.width = width;
    v.bytes = bit_bytes(columns_of(shape) * width);
    for (index_t r = 0; r < rows_of(shape); ++r)
      for (index_t k = 0; k < columns_of(shape); ++k)
        if (v.code(r, k) >= l.entries)
          throw error{call,
                      "the code in row " + std::to_string(r) + ", column " + std::to_string(k) + " is " +
                          std::to_string(v.code(r, k)) + ", the last entry of the codebook is " +
                          std::to_string(l.entries - 1),
                      remedy::copy_again};
  }
  struct view {
    byte_t const* codes = nullptr;
    float const* books = nullptr;
    index_t bytes = 0, entries = 0, rows_per_group = 1, phase = 0;
    int width = 1;
    [[nodiscard]] PLEAT_INLINE unsigned code(index_t r, index_t k) const {
      index_t const bit = k * width;
      byte_t const* const p = codes + r * bytes + bit / 8;
      // may look at one byte past the row
      unsigned const two = static_cast<unsigned>(p[0]) | static_cast<unsigned>(p[1]) << 8;
      return (two >> (bit % 8)) & ((1u << width) - 1u);
    }
    PLEAT_INLINE void decode(index_t r, index_t first, index_t last, float* out) const {
      float const* const book = books + (r + phase) / rows_per_group * entries;
      if (width == 4 && first % 2 == 0) {
        byte_t const* const p = codes + r * bytes;
        for (index_t k = first; k < last; ++k) out[k - first] = book[p[k / 2] >> (4 * (k % 2)) & 15];
      } else if (width == 8) {
        byte_t const* const p = codes + r * bytes;
        for (index_t k = first; k < last; ++k) out[k - first] = book[p[k]];
      } else {
        for (index_t k = first; k < last; ++k) out[k - first] = book[code(r, k)];
      }
    }
#if defined(__x86_64__)
    /// The rows need one book.
    bool turn(bool wide, index_t row, index_t k0, index_t k1, float* to, index_t stride, index_t ahead) const {
      index_t const group = (row + phase) / rows_per_group, last = row + (wide ? 15 : 7);
      if ((last + phase) / rows_per_group != group) return false;
      turn_code_rows(wide, width, {codes + row * bytes, bytes}, books + group * entries, entries, ahead, k0, k1, to,
                     stride);
      return true;
    }
#endif
  };
  template <class Parts> static view open(extents const& shape, Parts const& p, std::span<file_tensor const> parts) {
    auto const l = read_layout(call_of(name, "open"), shape, parts);
    view v;
    v.codes = p.template find<byte_t>(".codes");
    v.books = p.template find<float>(".codebook");
    v.width = plain_bits(static_cast<int>(l.entries));
    v.bytes = bit_bytes(columns_of(shape) * v.width);
    v.entries = l.entries;
    v.rows_per_group = l.rows_per_group;
    v.phase = l.phase;
    return v;
  }
  static cut_unit granularity(extents const&) { return {1, 1}; }
  static std::vector<file_tensor> slice(extents const& shape, std::span<file_tensor const> parts, index_t first,
                                        index_t last) {
    auto l = read_layout(call_of(name, "slice"), shape, parts);
    index_t const group = (first + l.phase) / l.rows_per_group;
    auto const books = part_rows(*find_part(parts, ".codebook"), group,
                                 last > first ? (last - 1 + l.phase) / l.rows_per_group + 1 : group);
    l.phase = static_cast<std::uint32_t>((first + l.phase) % l.rows_per_group);
    return {books, layout_part(l), part_rows(*find_part(parts, ".codes"), first, last)};
  }
  /// The same centroids; the codes move to the byte borders of their new rows.
  static std::vector<file_tensor> slice_columns(extents const& shape, extents const& part,
                                                std::span<file_tensor const> parts, index_t first, index_t last) {
    auto const l = read_layout(call_of(name, "slice"), shape, parts);
    return {*find_part(parts, ".codebook"), *find_part(parts, ".layout"),
            packed(part, l, cut_matrix(unpacked(shape, l, parts), rows_of(shape), first, last))};
  }
  static std::vector<file_tensor> join(extents const& shape, int dim, std::span<weight_piece const> pieces) {
    auto const whole = join_codebooks(name, shape, dim, pieces);
    std::vector<std::vector<std::uint8_t>> codes;
    for (auto const& p : pieces)
      codes.push_back(unpacked(p.shape, read_layout(call_of(name, "join"), p.shape, p.parts), p.parts));
    return {part_of(".codebook", {group_count(shape, whole.layout), static_cast<index_t>(whole.layout.entries)},
                    whole.books),
            layout_part(whole.layout), packed(shape, whole.layout, join_matrix(rows_of(shape), dim, codes))};
  }
  static error_norms predict(extents const& shape, std::span<float const> values, std::span<file_tensor const> parts) {
    auto const l = read_layout(call_of(name, "predict"), shape, parts);
    return predict_codebook(shape, values, values_of<float>(find_part(parts, ".codebook")->bytes), l, true);
  }

 private:
  /// Codes, one a byte, as the file has them; and back.
  static file_tensor packed(extents const& shape, codebook_layout const& l, std::vector<std::uint8_t> const& codes) {
    int const width = plain_bits(static_cast<int>(l.entries));
    index_t const bytes = bit_bytes(columns_of(shape) * width);
    std::vector<std::uint8_t> out(static_cast<std::size_t>(rows_of(shape) * bytes), 0);
    std::uint8_t const* from = codes.data();
    for (index_t r = 0; r < rows_of(shape); ++r)
      for (index_t k = 0; k < columns_of(shape); ++k) {
        index_t const bit = k * width;
        std::uint8_t* const to = out.data() + r * bytes + bit / 8;
        unsigned const both = static_cast<unsigned>(*from++) << (bit % 8);
        to[0] = static_cast<std::uint8_t>(to[0] | both);
        if (both >> 8) to[1] = static_cast<std::uint8_t>(to[1] | both >> 8);
      }
    return part_of(".codes", {rows_of(shape), bytes}, out);
  }
  static std::vector<std::uint8_t> unpacked(extents const& shape, codebook_layout const& l,
                                            std::span<file_tensor const> parts) {
    auto padded = find_part(parts, ".codes")->bytes;
    padded.resize(padded.size() + 8);
    view v;
    v.codes = reinterpret_cast<byte_t const*>(padded.data());
    v.width = plain_bits(static_cast<int>(l.entries));
    v.bytes = bit_bytes(columns_of(shape) * v.width);
    std::vector<std::uint8_t> out;
    out.reserve(static_cast<std::size_t>(shape.size()));
    for (index_t r = 0; r < rows_of(shape); ++r)
      for (index_t k = 0; k < columns_of(shape); ++k) out.push_back(static_cast<std::uint8_t>(v.code(r, k)));
    return out;
  }
};

}  // namespace detail
}  // namespace pleat::codec
