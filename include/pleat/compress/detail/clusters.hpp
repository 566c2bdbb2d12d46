// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Which elements of a weight share a value, and what follows for their gradients.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/codec/detail/coded_bits.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compress::detail {

/// Elements that share values. Cluster g·entries + e is entry e of group g.
struct cluster_map {
  codec::codebook_options options;    ///< entries, rows_per_group, index_bits as they will be written
  std::vector<float> books;           ///< [groups · entries]: where the centroids begin
  std::vector<index_t> member;        ///< elements that are not zero, ascending
  std::vector<std::uint32_t> cluster; ///< of each member
  std::vector<index_t> zero;          ///< the other elements
  std::vector<double> sum;            ///< room for one gradient per cluster
};

/// Finds centroids and gives every element of `values` its centroid's value; zeros stay, and nothing else becomes 0. A weight of few zeros (less than
/// an eighth) has no index, and one entry that is 0 if it has any. \throws error for options out of range, NaN and infinity
[[nodiscard]] PLEAT_ONCE cluster_map make_clusters(extents const& shape, std::vector<float>& values, codec::codebook_options o) {
  using namespace codec::detail;
  demand_finite(coded_logic::name, shape, values);
  auto const n = shape.size(), zeros = static_cast<index_t>(std::count(values.begin(), values.end(), 0.0f));
  bool const indexed = 8 * zeros >= n || (zeros > 0 && o.entries < 4);
  cluster_map m;
  codebook_layout const l{static_cast<std::uint32_t>(o.entries), static_cast<std::uint32_t>(std::max<index_t>(1, o.rows_per_group ? o.rows_per_group : codec::rows_of(shape))), 0, 1,
                          static_cast<std::uint32_t>(o.index_bits)};
  check_codebook_options("compress::share_weights", o, group_count(shape, l), true);
  if (o.index_bits == 0) throw error{"compress::share_weights", "a relative index of 0 bits, expected 2 to 8"};
  if (!indexed) o.index_bits = 0;
  m.books = find_codebooks(shape, values, o, l, !indexed);
  for (index_t i = 0; i < n; ++i) {
    float& v = values[static_cast<std::size_t>(i)];
    auto const group = static_cast<std::size_t>(i / std::max<index_t>(1, codec::columns_of(shape)) / static_cast<index_t>(l.rows_per_group));
    auto const book = std::span<float const>(m.books).subspan(group * l.entries, l.entries);
    auto entry = v == 0 ? 0 : static_cast<std::size_t>(nearest(book, v));
    if (v != 0 && book[entry] == 0) entry = v > 0 && entry + 1 < book.size() ? entry + 1 : entry > 0 ? entry - 1 : entry + 1;  // the entry of the zeros is not for survivors
    v = v == 0 ? 0 : book[entry];
    if (v == 0) {
      m.zero.push_back(i);
      continue;
    }
    m.member.push_back(i);
    m.cluster.push_back(static_cast<std::uint32_t>(group * l.entries + entry));
  }
  m.sum.resize(m.books.size());
  m.options = std::move(o);
  return m;
}

/// The centroids as training left them, ascending in each group: what encodes `values` exactly.
[[nodiscard]] PLEAT_ONCE codec::codebook_options options_of(cluster_map const& m, std::vector<float> const& values, bool entropy) {
  auto o = m.options;
  o.entropy = entropy;
  o.centroids = m.books;
  for (std::size_t i = m.member.size(); i-- > 0;) o.centroids[m.cluster[i]] = values[static_cast<std::size_t>(m.member[i])];
  for (auto at = o.centroids.begin(); at != o.centroids.end(); at += o.entries) std::sort(at, at + o.entries);
  return o;
}

/// Every member gets the sum of its cluster's gradients (in double, by ascending element: the same bits on every rank), every other element 0.
inline void share_gradients(cluster_map& m, float* gradient) {
  std::fill(m.sum.begin(), m.sum.end(), 0.0);
  for (std::size_t i = 0; i < m.member.size(); ++i) m.sum[m.cluster[i]] += static_cast<double>(gradient[m.member[i]]);
  for (std::size_t i = 0; i < m.member.size(); ++i) gradient[m.member[i]] = static_cast<float>(m.sum[m.cluster[i]]);
  for (auto const i : m.zero) gradient[i] = 0;
}

/// The parts of a coded weight, entropy-coded anew with a relative index of so many bits; empty: the width that takes the fewest bytes.
/// \param values what the parts decode to
[[nodiscard]] PLEAT_ONCE std::vector<codec::file_tensor> recoded(extents const& shape, std::span<codec::file_tensor const> parts, std::vector<float> const& values, std::optional<int> index_bits) {
  using namespace codec::detail;
  auto const l = read_layout("compress::entropy_code", shape, parts);
  if (l.phase != 0) throw error{"compress::entropy_code", "a weight of shape " + shape.to_string() + " begins within a group of rows that share a codebook: it is a part of a larger one", "Code the whole weight, and cut it then"};
  codec::codebook_options o;
  o.entries = static_cast<int>(l.entries);
  o.rows_per_group = static_cast<index_t>(l.rows_per_group);
  o.centroids = values_of<float>(find_part(parts, ".codebook")->bytes);
  if (index_bits && *index_bits == 0) throw error{"compress::entropy_code", "a relative index of 0 bits, expected 2 to 8"};
  std::vector<codec::file_tensor> best;
  std::size_t least = 0;
  for (int const bits : {2, 3, 4, 5, 6, 7, 8}) {
    if (index_bits && l.index_bits && bits != *index_bits && *index_bits >= 2 && *index_bits <= 8) continue;
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
