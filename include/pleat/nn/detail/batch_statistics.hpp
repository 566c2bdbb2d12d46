// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Statistics over the lanes of all ranks, the same bits on any number of ranks: every rank gathers every lane's part,
/// in lane order, and folds them alike.
#pragma once

#include <numeric>
#include <string>
#include <vector>

#include <pleat/comm/communicator.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/norm.hpp>
#include <pleat/nn/pass.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::nn::detail {

/// The lanes of all segments of the pass, one after the other, over `rows` rows.
template <class Space>
[[nodiscard]] compute::lanes all_lanes(pass<Space> const& p, index_t rows, std::string const& layer) {
  if (p.segments.empty()) return compute::lanes::whole(rows);
  compute::lanes all;
  all.count = 0;
  for (segment const& s : p.segments)
    for (int l = 0; l < s.lanes.count; ++l) {
      if (all.count == compute::lanes::max_count)
        throw error{"nn::batch_norm '" + layer + "'",
                    "a pass has more than " + std::to_string(compute::lanes::max_count) + " lanes",
                    "Choose fewer lanes (plan.lanes)"};
      auto const i = static_cast<std::size_t>(all.count++);
      all.row[i + 1] = all.row[i] + (s.lanes.end(l) - s.lanes.begin(l));
    }
  if (all.rows() != rows)
    throw error{
        "nn::batch_norm '" + layer + "'",
        "the segments of the pass cover " + std::to_string(all.rows()) + " rows, the input has " + std::to_string(rows),
        "Put this layer where every row is a sample: no layer before it may change their number"};
  return all;
}

/// Every rank's `part` (count numbers per lane), in rank order: the order of the lanes. `lanes` becomes the number of
/// lanes of all.
template <class Space>
[[nodiscard]] std::vector<double> gather_lanes(pass<Space> const& p, std::vector<double> const& part, index_t width,
                                               index_t& lanes, std::string const& layer) {
  if (!p.ranks)
    throw error{"nn::batch_norm '" + layer + "'", "its statistics are over all ranks, but the pass has no communicator",
                "Set pass.ranks, or choose statistics::lane"};
  std::vector<index_t> counts(static_cast<std::size_t>(p.ranks->size()));
  index_t const mine = static_cast<index_t>(part.size());
  p.ranks->all_gather(std::span<index_t const>(&mine, 1), std::span<index_t>(counts));
  std::vector<double> all(static_cast<std::size_t>(std::accumulate(counts.begin(), counts.end(), index_t{0})));
  p.ranks->all_gather_v(part, all, {counts, {}});
  lanes = static_cast<index_t>(all.size()) / width;
  return all;
}

/// Every lane's moments [2, lanes, channels] become those over all lanes of all ranks (Chan, Golub and LeVeque, 1979:
/// within plus between). Returns the number of elements that they are over.
template <class T, class Space>
[[nodiscard]] index_t share_moments(pass<Space> const& p, compute::lanes const& cut, compute::norm_shape g,
                                    tensor<T, Space> const& moments, std::string const& layer) {
  auto const c = static_cast<std::size_t>(g.channels), n = static_cast<std::size_t>(cut.count);
  std::vector<T> host(2 * n * c);
  copy_to_host(*p.where, moments, host.data());
  std::size_t const width = 1 + 2 * c;
  std::vector<double> part(n * width);
  for (std::size_t l = 0; l < n; ++l) {
    part[l * width] = static_cast<double>((cut.end(static_cast<int>(l)) - cut.begin(static_cast<int>(l))) * g.pixels);
    for (std::size_t i = 0; i < c; ++i) {
      part[l * width + 1 + i] = static_cast<double>(host[l * c + i]);
      part[l * width + 1 + c + i] = static_cast<double>(host[(n + l) * c + i]);
    }
  }
  index_t lanes = 0;
  auto const all = gather_lanes(p, part, static_cast<index_t>(width), lanes, layer);
  double total = 0;
  for (index_t l = 0; l < lanes; ++l) total += all[static_cast<std::size_t>(l) * width];
  if (p.deterministic && static_cast<index_t>(total) != p.global_batch * g.pixels)
    throw error{"nn::batch_norm '" + layer + "'",
                "its statistics are over all ranks, but this pass holds " +
                    std::to_string(static_cast<index_t>(total) / g.pixels) + " of the " +
                    std::to_string(p.global_batch) +
                    " samples of the batch: they would change with the number of micro-batches",
                "Use one micro-batch, or statistics::lane"};
  double const d = total > 0 ? total : 1;
  for (std::size_t i = 0; i < c; ++i) {
    double mean = 0, variance = 0;
    for (index_t l = 0; l < lanes; ++l) {
      double const* const q = all.data() + static_cast<std::size_t>(l) * width;
      mean += q[0] * q[1 + i];
    }
    mean /= d;
    for (index_t l = 0; l < lanes; ++l) {
      double const* const q = all.data() + static_cast<std::size_t>(l) * width;
      double const away = q[1 + i] - mean;
      variance += q[0] * (q[1 + c + i] + away * away);
    }
    variance /= d;
    for (std::size_t l = 0; l < n; ++l) {
      host[l * c + i] = static_cast<T>(mean);
      host[(n + l) * c + i] = static_cast<T>(variance);
    }
  }
  copy_from_host(*p.where, static_cast<T const*>(host.data()), moments);
  return static_cast<index_t>(total);
}

/// Sums [2, lanes, channels] over the lanes of all ranks, repeated for every lane of this rank.
template <class T, class Space>
[[nodiscard]] tensor<T, Space> total_sums(pass<Space> const& p, compute::lanes const& cut, tensor<T, Space> const& sums,
                                          std::string const& layer) {
  auto const n = static_cast<std::size_t>(cut.count);
  auto const c = static_cast<std::size_t>(sums.extent(2));
  std::vector<T> host(2 * n * c);
  copy_to_host(*p.where, sums, host.data());
  std::vector<double> part(n * 2 * c);
  for (std::size_t l = 0; l < n; ++l)
    for (std::size_t i = 0; i < c; ++i) {
      part[l * 2 * c + i] = static_cast<double>(host[l * c + i]);
      part[l * 2 * c + c + i] = static_cast<double>(host[(n + l) * c + i]);
    }
  index_t lanes = 0;
  auto const all = gather_lanes(p, part, static_cast<index_t>(2 * c), lanes, layer);
  for (std::size_t i = 0; i < 2 * c; ++i) {
    double total = 0;
    for (index_t l = 0; l < lanes; ++l) total += all[static_cast<std::size_t>(l) * 2 * c + i];
    for (std::size_t l = 0; l < n; ++l) host[(i < c ? l : n + l) * c + i % c] = static_cast<T>(total);
  }
  auto out = tensor<T, Space>::allocate(*p.where, sums.shape());
  copy_from_host(*p.where, static_cast<T const*>(host.data()), out);
  return out;
}

/// n times the same number.
template <class T, class Space> [[nodiscard]] tensor<T, Space> filled(pass<Space> const& p, index_t n, T value) {
  auto t = tensor<T, Space>::allocate(*p.where, {n});
  compute::fill(p.space(), n, value, t.data());
  return t;
}

}  // namespace pleat::nn::detail
