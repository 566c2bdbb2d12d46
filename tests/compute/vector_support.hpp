// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Shared by the tests of the vector kernels: numbers, guarded buffers, bit equality, instances with one and two
// threads.
#pragma once

#include <Kokkos_Core.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <cstring>
#include <vector>

#include <pleat/base/random.hpp>
#include <pleat/tensor/extents.hpp>

namespace vector_support {

using pleat::index_t;
using host = Kokkos::DefaultHostExecutionSpace;

/// An instance with `threads` threads where the host space has threads, else a plain one.
inline host instance([[maybe_unused]] int threads) {
#if defined(KOKKOS_ENABLE_OPENMP)
  return host(threads);
#else
  return host();
#endif
}

/// A buffer whose neighbours are watched.
template <class T> class guarded {
 public:
  explicit guarded(index_t n, T value = T{}) : n_(n), all_(static_cast<std::size_t>(n + 2 * guard), value) {
    std::memset(static_cast<void*>(all_.data()), 0x5a, guard * sizeof(T));
    std::memset(static_cast<void*>(all_.data() + guard + n), 0x5a, guard * sizeof(T));
  }
  T* data() { return all_.data() + guard; }
  T const* data() const { return all_.data() + guard; }
  index_t size() const { return n_; }
  T& operator[](index_t i) { return data()[i]; }
  T const& operator[](index_t i) const { return data()[i]; }
  bool intact() const {
    for (int side = 0; side < 2; ++side) {
      auto const* p = reinterpret_cast<unsigned char const*>(all_.data() + (side ? guard + n_ : 0));
      for (std::size_t k = 0; k < guard * sizeof(T); ++k)
        if (p[k] != 0x5a) return false;
    }
    return true;
  }
  bool same_bits(guarded const& o) const {
    return n_ == o.n_ && std::memcmp(data(), o.data(), static_cast<std::size_t>(n_) * sizeof(T)) == 0;
  }

 private:
  static constexpr index_t guard = 16;
  index_t n_;
  std::vector<T> all_;
};

/// n numbers, uniform in [low, high).
template <class T> guarded<T> numbers(index_t n, std::uint64_t seed, double low = -1, double high = 1) {
  guarded<T> x(n);
  pleat::random::stream const r(seed, 17);
  for (index_t i = 0; i < n; ++i)
    x[i] = static_cast<T>(low + (high - low) * static_cast<double>(r.uniform(static_cast<std::uint64_t>(i))));
  return x;
}

/// `n` bytes on a 64-byte border, exactly as many, so that an address sanitizer sees the end.
class aligned_bytes {
 public:
  explicit aligned_bytes(index_t n) : all_(static_cast<std::size_t>(n) + 64), data_(all_.data()) {
    data_ += (64 - reinterpret_cast<std::uintptr_t>(data_) % 64) % 64;
    all_.resize(static_cast<std::size_t>(data_ - all_.data() + n));
  }
  unsigned char* data() { return data_; }

 private:
  std::vector<unsigned char> all_;
  unsigned char* data_;
};

template <class T> std::uint64_t digest(std::uint64_t h, guarded<T> const& x) {
  auto const* p = reinterpret_cast<unsigned char const*>(x.data());
  for (std::size_t k = 0; k < static_cast<std::size_t>(x.size()) * sizeof(T); ++k) h = (h ^ p[k]) * 0x100000001b3u;
  return h;
}

}  // namespace vector_support
