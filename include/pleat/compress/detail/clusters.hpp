// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Which elements of a weight share a value, and what follows for their gradients.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/detail/coded_bits.hpp>
#include <pleat/codec/detail/exact_sum.hpp>
#include <pleat/tensor/extents.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::compress::detail {

/// Elements that share values: a weight's, or those of a part of it. Cluster g·entries + e is entry e of group g of the
/// whole weight.
struct cluster_map {
  codec::codebook_options options;            ///< entries, rows_per_group, index_bits as they will be written
  std::vector<float> books;                   ///< [groups · entries] of the whole: where the centroids begin
  std::size_t first_book = 0, last_book = 0;  ///< of them, those of the part's groups
  std::vector<index_t> member;                ///< elements that are not zero, ascending
  std::vector<std::uint32_t> cluster;         ///< of each member
  index_t elements = 0;                       ///< with those that are zero
  std::vector<codec::detail::exact_sum> sum;  ///< one gradient per cluster
  std::int64_t nonfinite = 0;                 ///< gradients that cannot be added
};

/// Of a weight whose gradients are on several ranks: the members that are among elements [run.begin, run.end), which
/// count from there.
PLEAT_ONCE void keep_run(cluster_map& m, index_range run) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < m.member.size(); ++i) {
    if (m.member[i] < run.begin || m.member[i] >= run.end) continue;
    m.member[kept] = m.member[i] - run.begin;
    m.cluster[kept++] = m.cluster[i];
  }
  m.member.resize(kept);
  m.cluster.resize(kept);
  m.member.shrink_to_fit();
  m.cluster.shrink_to_fit();
  m.elements = run.size();
}

/// Finds centroids and gives every element of `values` its centroid's value; zeros stay, and nothing else becomes 0. A
/// weight of few zeros (less than an eighth) has no index, and one entry that is 0 if it has any. Of a part of a
/// weight: the centroids are those of the whole, bit for bit; then it talks to the ranks that have the other parts, and
/// errors are to be looked for before: settings out of range (demand_settings), NaN and infinity.
PLEAT_ONCE [[nodiscard]] cluster_map make_clusters(extents const& shape, std::vector<float>& values,
                                                   codec::codebook_options o, codec::codebook_part const& part) {
  using namespace codec::detail;
  std::int64_t counts[] = {shape.size(), std::count(values.begin(), values.end(), 0.0f)};
  if (part.sum) part.sum(counts);
  auto const n = counts[0], zeros = counts[1];
  bool const indexed = 8 * zeros >= n || (zeros > 0 && o.entries < 4);
  cluster_map m;
  if (o.rows_per_group == 0) o.rows_per_group = std::max<index_t>(1, part.rows);
  if (!indexed) o.index_bits = 0;
  index_t const rows = codec::rows_of(shape), columns = std::max<index_t>(1, codec::columns_of(shape)),
                each = o.rows_per_group;
  codebook_layout const l{static_cast<std::uint32_t>(o.entries), static_cast<std::uint32_t>(each), 0, 1,
                          static_cast<std::uint32_t>(o.index_bits)};
  m.books = find_codebooks(shape, values, o, l, !indexed, part);
  index_t const first = part.first_row / each, last = rows > 0 ? (part.first_row + rows - 1) / each + 1 : first;
  m.first_book = static_cast<std::size_t>(first * o.entries);
  m.last_book = static_cast<std::size_t>(last * o.entries);
  for (index_t i = 0; i < shape.size(); ++i) {
    float& v = values[static_cast<std::size_t>(i)];
    auto const group = static_cast<std::size_t>((part.first_row + i / columns) / each);
    auto const book = std::span<float const>(m.books).subspan(group * l.entries, l.entries);
    auto entry = v == 0 ? 0 : static_cast<std::size_t>(nearest(book, v));
    // the entry of the zeros is not for survivors
    if (v != 0 && book[entry] == 0)
      entry = v > 0 && entry + 1 < book.size() ? entry + 1 : entry > 0 ? entry - 1 : entry + 1;
    v = v == 0 ? 0 : book[entry];
    if (v == 0) continue;
    m.member.push_back(i);
    m.cluster.push_back(static_cast<std::uint32_t>(group * l.entries + entry));
  }
  m.elements = shape.size();
  m.sum.resize(m.books.size());
  o.phase = rows > 0 ? part.first_row % each : 0;
  m.options = std::move(o);
  return m;
}
/// \throws error for options out of range
PLEAT_ONCE void demand_settings(codec::codebook_options const& o) {
  codec::detail::check_codebook_options("compress::share_weights", o, 0, true);
  if (o.index_bits == 0)
    throw error{"compress::share_weights", "a relative index of 0 bits, expected 2 to 8",
                "Say .index_bits = 5 (2 to 8), or leave it out: then the best is found"};
}
/// The same of a whole weight.
[[nodiscard]] inline cluster_map make_clusters(extents const& shape, std::vector<float>& values,
                                               codec::codebook_options o) {
  demand_settings(o);
  codec::detail::demand_finite(codec::detail::coded_logic::name, shape, values);
  return make_clusters(shape, values, std::move(o), {codec::rows_of(shape)});
}

/// The centroids as training left them in `values`. The members of a cluster may be on other ranks: `sum` adds up over
/// those that have the other parts.
PLEAT_ONCE void take_centroids(cluster_map& m, std::vector<float> const& values,
                               std::function<void(std::span<std::int64_t>)> const& sum) {
  if (!sum) {
    for (std::size_t i = m.member.size(); i-- > 0;)
      m.books[m.cluster[i]] = values[static_cast<std::size_t>(m.member[i])];
    return;
  }
  // how many ranks have members, and the sum of the bits of what they have alike
  std::vector<std::int64_t> seen(2 * m.books.size(), 0);
  for (std::size_t i = 0; i < m.member.size(); ++i) {
    seen[2 * m.cluster[i]] = 1;
    seen[2 * m.cluster[i] + 1] =
        static_cast<std::int64_t>(std::bit_cast<std::uint32_t>(values[static_cast<std::size_t>(m.member[i])]));
  }
  sum(seen);
  for (std::size_t c = 0; c < m.books.size(); ++c)
    if (seen[2 * c] > 0) m.books[c] = std::bit_cast<float>(static_cast<std::uint32_t>(seen[2 * c + 1] / seen[2 * c]));
}
/// What encodes `values` exactly: the centroids, ascending in each group.
PLEAT_ONCE [[nodiscard]] codec::codebook_options options_of(cluster_map const& m, bool entropy) {
  auto o = m.options;
  o.entropy = entropy;
  o.centroids.assign(m.books.begin() + static_cast<std::ptrdiff_t>(m.first_book),
                     m.books.begin() + static_cast<std::ptrdiff_t>(m.last_book));
  for (auto at = o.centroids.begin(); at != o.centroids.end(); at += o.entries) std::sort(at, at + o.entries);
  return o;
}

/// The sum of the gradients of each cluster's members that are here: exact, so that bits do not depend on who has
/// which.
inline void sum_gradients(cluster_map& m, float const* gradient) {
  std::fill(m.sum.begin(), m.sum.end(), codec::detail::exact_sum{});
  m.nonfinite = 0;
  for (std::size_t i = 0; i < m.member.size(); ++i) {
    float const g = gradient[m.member[i]];
    if (std::isfinite(g)) m.sum[m.cluster[i]].add(g);
    else ++m.nonfinite;
  }
}
/// With those of the members elsewhere. \param sum adds up over the ranks that have them
PLEAT_ONCE void add_up(cluster_map& m, std::function<void(std::span<std::int64_t>)> const& sum) {
  std::vector<std::int64_t> all;
  for (auto const& s : m.sum) all.insert(all.end(), s.limb.begin(), s.limb.end());
  all.push_back(m.nonfinite);
  sum(all);
  for (std::size_t i = 0; i < m.sum.size(); ++i)
    std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(i * m.sum[i].limb.size()), m.sum[i].limb.size(),
                m.sum[i].limb.begin());
  m.nonfinite = all.back();
}
/// Every member gets the sum of its cluster (NaN, if a gradient was not finite), every other element 0.
PLEAT_ONCE void give_gradients(cluster_map const& m, float* gradient) {
  std::vector<float> sums;
  for (auto const& s : m.sum)
    sums.push_back(m.nonfinite > 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(s.value()));
  std::size_t next = 0;
  for (index_t i = 0; i < m.elements; ++i) {
    bool const alive = next < m.member.size() && m.member[next] == i;
    gradient[i] = alive ? sums[m.cluster[next++]] : 0.0f;
  }
}

/// \throws error for a width that is none. \param indexed whether the weight has an index: without one only 0 is
/// refused, which is no width at all
PLEAT_ONCE void demand_index_bits(int bits, bool indexed) {
  if (bits == 0 || (indexed && (bits < 2 || bits > 8)))
    throw error{"compress::entropy_code", "a relative index of " + std::to_string(bits) + " bits, expected 2 to 8",
                "Say .index_bits = 5 (2 to 8), or leave it out: then the best is found"};
}

/// The parts of a coded weight, entropy-coded anew with a relative index of so many bits; empty: the width that takes
/// the fewest bytes.
/// \param values what the parts decode to
PLEAT_ONCE [[nodiscard]] std::vector<codec::file_tensor> recoded(extents const& shape,
                                                                 std::span<codec::file_tensor const> parts,
                                                                 std::vector<float> const& values,
                                                                 std::optional<int> index_bits) {
  using namespace codec::detail;
  auto const l = read_layout("compress::entropy_code", shape, parts);
  if (l.phase != 0)
    throw error{"compress::entropy_code",
                "a weight of shape " + shape.to_string() +
                    " begins within a group of rows that share a codebook: it is a part of a larger one",
                "Code the whole weight, and cut it then"};
  codec::codebook_options o;
  o.entries = static_cast<int>(l.entries);
  o.rows_per_group = static_cast<index_t>(l.rows_per_group);
  o.centroids = values_of<float>(find_part(parts, ".codebook")->bytes);
  if (index_bits) demand_index_bits(*index_bits, l.index_bits != 0);
  std::vector<codec::file_tensor> best;
  std::size_t least = 0;
  for (int const bits : {2, 3, 4, 5, 6, 7, 8}) {
    if (index_bits && l.index_bits && bits != *index_bits) continue;
    o.index_bits = l.index_bits == 0 ? 0 : index_bits ? *index_bits : bits;
    auto written = coded_logic::encode(shape, values, o);
    std::size_t size = 0;
    for (auto const& p : written) size += p.bytes.size();
    if (best.empty() || size < least) best = std::move(written), least = size;
    if (o.index_bits == 0) break;
  }
  return best;
}

}  // namespace pleat::compress::detail
