// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Cases of the lane reduction that run on any communicator.
#pragma once

#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include <pleat/comm/lane_reduce.hpp>

namespace pleat_test {

using namespace pleat;

/// Values of mixed size and sign, so that another order of addition gives other bits.
template <class T> std::vector<T> lane_values(int lane, index_t n) {
  std::vector<T> v(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < v.size(); ++i) {
    auto const k = (i * 2654435761u + static_cast<std::size_t>(lane) * 40503u) % 10007;
    v[i] = (static_cast<T>(k) - T(5003)) / static_cast<T>(1 + (k * 7 + static_cast<std::size_t>(lane)) % 97);
  }
  return v;
}

template <class T> std::vector<T> lane_tree(int lanes, index_t n, int first, int count) {
  if (count == 1) return lane_values<T>(first, n);
  auto a = lane_tree<T>(lanes, n, first, count / 2);
  auto const b = lane_tree<T>(lanes, n, first + count / 2, count / 2);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

/// Empty if every size, form of slots, way to wait and in-place use gives the tree's bits on this rank.
template <class T> std::string lane_findings(comm::communicator& c, int lanes) {
  std::string said;
  index_t const capacity = 20011;
  comm::lane_request<T> first(c, lanes, capacity);
  std::vector<T> room(
      static_cast<std::size_t>(comm::lane_request<T>::workspace_size(lanes, c.size(), c.rank(), capacity)));
  comm::lane_request<T> second(c, lanes, capacity, room);
  for (index_t const n : {index_t{0}, index_t{1}, index_t{5}, index_t{1000}, index_t{8192}, index_t{8193}, capacity}) {
    auto const want = lane_tree<T>(lanes, n, 0, lanes);
    auto const stride = n + 3;
    auto const roots = first.local_roots();
    std::vector<T> flat(static_cast<std::size_t>(stride * roots.size())), other;
    std::vector<T const*> slots;
    for (int i = 0; i < roots.size(); ++i) {
      auto const x = lane_tree<T>(lanes, n, roots[i].first, roots[i].lanes);
      std::copy(x.begin(), x.end(), flat.begin() + i * stride);
    }
    other = flat;
    for (int i = 0; i < roots.size(); ++i) slots.push_back(other.data() + i * stride);
    std::vector<T> out(static_cast<std::size_t>(n) + 1, T(-1));
    auto const label = " of " + std::to_string(n) + " with " + std::to_string(lanes) + " lanes; ";
    // two at once, one polled and in place, one waited for into another buffer
    first.start(flat.data(), stride, n, flat.data());
    second.start(slots, n, out.data());
    while (!first.progress()) {
      c.progress();
      std::this_thread::yield();
    }
    second.wait();
    if (!std::equal(want.begin(), want.end(), flat.begin())) said += "in place" + label;
    if (!std::equal(want.begin(), want.end(), out.begin())) said += "out of place" + label;
    if (out.back() != T(-1)) said += "past the end" + label;
    if (!first.done() || !second.done()) said += "not done" + label;
    comm::lane_all_reduce(c, lanes, other.data(), stride, n, other.data());
    if (!std::equal(want.begin(), want.end(), other.begin())) said += "blocking" + label;
  }
  return said;
}

/// Empty if a reduce-scatter over groups of `shards` ranks (replicas across the groups) gives the tree's bits of this
/// rank's range.
template <class T> std::string lane_scatter_findings(comm::communicator& c, int lanes, int shards, index_t n) {
  auto const want = lane_tree<T>(lanes, n, 0, lanes);
  std::vector<index_range> wants;  // uneven on purpose: the first shard of three or more has nothing
  for (int r = 0; r < c.size(); ++r) {
    int const s = r % shards;
    auto const part =
        shards > 2 ? (s == 0 ? index_range{0, 0} : block_range(n, shards - 1, s - 1)) : block_range(n, shards, s);
    wants.push_back(part);
  }
  auto const mine = wants[static_cast<std::size_t>(c.rank())];
  comm::lane_request<T> request(c, lanes, wants);
  auto const roots = request.local_roots();
  auto const label =
      " of " + std::to_string(n) + " over " + std::to_string(shards) + " of " + std::to_string(c.size()) + "; ";
  std::string said;
  for (bool in_place : {false, true}) {
    std::vector<T> flat(static_cast<std::size_t>(n * roots.size())),
        out(static_cast<std::size_t>(mine.size()) + 1, T(-1));
    for (int i = 0; i < roots.size(); ++i) {
      auto const x = lane_tree<T>(lanes, n, roots[i].first, roots[i].lanes);
      std::copy(x.begin(), x.end(), flat.begin() + i * n);
    }
    T* const to = in_place && !flat.empty() ? flat.data() + mine.begin : out.data();
    request.start(flat.data(), n, n, to);
    if (in_place) request.wait();
    else
      while (!request.progress()) {
        c.progress();
        std::this_thread::yield();
      }
    if (!std::equal(want.begin() + mine.begin, want.begin() + mine.end, to))
      said += std::string(in_place ? "in place" : "out of place") + label;
    if (out.back() != T(-1)) said += "past the end" + label;
  }
  return said;
}

}  // namespace pleat_test
