// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A tensor's elements where a transport can read and write them: in place where the host reaches them, else in a copy
/// on the host.
#pragma once

#include <span>
#include <utility>

#include <pleat/base/context.hpp>
#include <pleat/base/pooled_array.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat {

/// Holds the tensor as long as it lives. The copy is pooled: in steady state nothing is allocated.
template <class T, class Space> class wire_memory {
 public:
  static constexpr bool on_host =
      Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible;

  /// Waits for the instance, which may be at work on the memory. \param read whether the transport is to find the
  /// elements there
  wire_memory(context<Space>& where, tensor<T, Space> t, bool read) : where_(&where), t_(std::move(t)) {
    if constexpr (on_host) {
      where.fence();
    } else {
      copy_ = pooled_array<T>(where.host_pool(), static_cast<std::size_t>(t_.size()));
      if (read) copy_to_host(where, t_, copy_.data());
    }
  }
  [[nodiscard]] std::span<T> span() const noexcept {
    if constexpr (on_host) return {t_.data(), static_cast<std::size_t>(t_.size())};
    else return {copy_.data(), copy_.size()};
  }
  /// After the transport has written.
  void arrived() const {
    if constexpr (!on_host) copy_from_host(*where_, static_cast<T const*>(copy_.data()), t_);
  }

 private:
  context<Space>* where_;
  tensor<T, Space> t_;
  pooled_array<T> copy_;
};

}  // namespace pleat
