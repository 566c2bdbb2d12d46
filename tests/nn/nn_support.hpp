// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What the tests of layers share: a context, tensors from host values, networks with memory, a step of training.
#pragma once

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include <pleat/base/random.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/layer.hpp>

namespace pleat::test {

using space = Kokkos::DefaultExecutionSpace;

template <class T>
[[nodiscard]] tensor<T, space> from_host(context<space>& c, std::vector<T> const& v, extents const& shape) {
  auto t = tensor<T, space>::allocate(c, shape);
  copy_from_host(c, v.data(), t);
  return t;
}
template <class T> [[nodiscard]] std::vector<T> to_host(context<space>& c, tensor<T, space> const& t) {
  std::vector<T> v(static_cast<std::size_t>(t.size()));
  copy_to_host(c, t, v.data());
  return v;
}
/// Numbers in [-1, 1), keyed by `purpose`.
template <class T> [[nodiscard]] std::vector<T> numbers(index_t n, std::uint64_t purpose) {
  random::stream const s(7, purpose);
  std::vector<T> v(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < v.size(); ++i)
    v[i] = static_cast<T>(2) * static_cast<T>(s.uniform(i)) - static_cast<T>(1);
  return v;
}
template <class T>
[[nodiscard]] tensor<T, space> random_tensor(context<space>& c, extents const& shape, std::uint64_t purpose) {
  return from_host(c, numbers<T>(shape.size(), purpose), shape);
}
/// The same bits. memcmp, because 0 == -0 and NaN != NaN.
template <class T> [[nodiscard]] bool same_bits(std::vector<T> const& a, std::vector<T> const& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// A network with memory.
template <class Net> struct trained {
  using T = nn::value_type_of<Net>;
  context<space>& c;
  Net net;
  nn::arena<T, space> memory;
  trained(context<space>& c, Net n, int slots = 1, std::uint64_t seed = 3)
      : c(c), net(std::move(n)), memory(c, net, seed) {
    memory.reserve_gradients(net, slots);
  }
  trained(trained const&) = delete;

  [[nodiscard]] nn::pass<space> pass(std::span<nn::segment const> segments, index_t batch, bool training = true) const {
    nn::pass<space> p;
    p.where = &c;
    p.training = training;
    p.seed = 11;
    p.step = 5;
    p.global_batch = batch;
    p.segments = segments;
    return p;
  }
  void begin() {
    for (auto& e : memory.entries()) e.use.done = 0;
  }
  [[nodiscard]] std::vector<T> gradients(int slot = 0) const {
    return to_host(c, tensor<T, space>::wrap(memory.gradients(slot), {memory.size()}));
  }
  [[nodiscard]] std::vector<T> gradient(std::string_view name, int slot = 0) const {
    return part(memory.gradients(slot), name);
  }
  [[nodiscard]] std::vector<T> value(std::string_view name) const { return part(memory.values(), name); }
  void set(std::string_view name, std::vector<T> const& v) {
    auto const& e = memory.entries()[static_cast<std::size_t>(memory.find(name))];
    copy_from_host(c, v.data(), tensor<T, space>::wrap(memory.values() + e.begin, {e.end - e.begin}));
  }

 private:
  [[nodiscard]] std::vector<T> part(T* from, std::string_view name) const {
    auto const& e = memory.entries()[static_cast<std::size_t>(memory.find(name))];
    return to_host(c, tensor<T, space>::wrap(from + e.begin, {e.end - e.begin}));
  }
};

/// One segment over all rows.
[[nodiscard]] inline nn::segment whole(index_t rows, bool accumulate = false) {
  return {0, compute::lanes::whole(rows, accumulate)};
}
/// `count` lanes of almost equal size over `rows` rows, in one segment.
[[nodiscard]] inline nn::segment cut(index_t rows, int count, int slot = 0) {
  nn::segment s{slot, {}};
  s.lanes.count = count;
  for (int l = 0; l <= count; ++l) s.lanes.row[static_cast<std::size_t>(l)] = rows * l / count;
  return s;
}

}  // namespace pleat::test
