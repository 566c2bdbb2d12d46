// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the codec tests share: a context, numbers, a weight's values on the host.
#pragma once

#include <pleat/base/context.hpp>
#include <pleat/base/random.hpp>
#include <pleat/tensor/tensor.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace codec_test {

using space = Kokkos::DefaultHostExecutionSpace;
using pleat::extents;
using pleat::index_t;

inline pleat::context<space> make_context() { return pleat::context<space>(pleat::make_instance<space>(2)); }

/// n numbers in [−1, 1), a pure function of (purpose, index).
inline std::vector<float> numbers(index_t n, std::uint64_t purpose) {
  pleat::random::stream const s(7, purpose);
  std::vector<float> v(static_cast<std::size_t>(n));
  for (index_t i = 0; i < n; ++i) v[static_cast<std::size_t>(i)] = 2 * s.uniform(static_cast<std::uint64_t>(i)) - 1;
  return v;
}

/// The same with about this share of zeros.
inline std::vector<float> sparse_numbers(index_t n, double zeros, std::uint64_t purpose) {
  auto v = numbers(n, purpose);
  pleat::random::stream const s(8, purpose);
  for (index_t i = 0; i < n; ++i)
    if (s.uniform(static_cast<std::uint64_t>(i)) < zeros) v[static_cast<std::size_t>(i)] = 0;
  return v;
}

/// A weight of form F, encoded from `values`; the arena is a vector.
template <class F> struct encoded {
  extents shape;
  std::vector<float> arena;
  typename F::template storage<space> storage;

  encoded(pleat::context<space>& c, extents e, std::vector<float> const& values)
      : shape(e), arena(values.size() + 1, 7.0f) {
    if constexpr (F::trainable) storage.attach(arena.data());
    F::encode(c, shape, values.data(), storage);
  }
  explicit encoded(extents e) : shape(e), arena(static_cast<std::size_t>(e.size()) + 1, 7.0f) {
    if constexpr (F::trainable) storage.attach(arena.data());
  }
  std::vector<float> decode(pleat::context<space>& c) const {
    std::vector<float> out(static_cast<std::size_t>(shape.size()));
    F::decode(c, shape, storage, out.data());
    return out;
  }
};

/// y[m, rows] = x · Wᵀ in double.
inline std::vector<double> product(extents const& shape, std::vector<float> const& w, index_t m,
                                   std::vector<float> const& x) {
  index_t const n = shape[0], k = shape.size_from(1);
  std::vector<double> y(static_cast<std::size_t>(m * n));
  for (index_t i = 0; i < m; ++i)
    for (index_t j = 0; j < n; ++j)
      for (index_t l = 0; l < k; ++l)
        y[static_cast<std::size_t>(i * n + j)] +=
            static_cast<double>(x[static_cast<std::size_t>(i * k + l)]) * w[static_cast<std::size_t>(j * k + l)];
  return y;
}

template <class Part> pleat::index_t bytes_of_parts(std::vector<Part> const& parts) {
  std::size_t n = 0;
  for (auto const& p : parts) n += p.bytes.size();
  return static_cast<index_t>(n);
}

/// What a form writes has the bytes that it counts; what is read back decodes to the same numbers and writes the same
/// bytes; a slice of rows is those rows.
template <class F> void check_files_and_slices(pleat::context<space>& c, encoded<F> const& w) {
  auto const decoded = w.decode(c);
  auto const parts = F::to_file(c, w.shape, w.storage);
  CHECK(bytes_of_parts(parts) == F::bytes(w.shape, w.storage));
  encoded<F> back(w.shape);
  F::from_file(c, w.shape, parts, back.storage);
  CHECK(back.decode(c) == decoded);
  auto const again = F::to_file(c, w.shape, back.storage);
  REQUIRE(again.size() == parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) CHECK(again[i].bytes == parts[i].bytes);
  index_t const n = w.shape[0], k = w.shape.size_from(1), from = n / 3, to = n - n / 5;
  encoded<F> part(w.shape.with_batch(to - from));
  F::slice(c, w.shape, w.storage, from, to, part.storage);
  auto const some = part.decode(c);
  CHECK(std::equal(some.begin(), some.end(), decoded.begin() + from * k));
}

}  // namespace codec_test
