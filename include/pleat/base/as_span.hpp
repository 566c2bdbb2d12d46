// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A vector's elements as a span, said by hand: the conversion asks the ranges library what a vector is, which costs
/// the compiler some milliseconds for each element type. For headers that the umbrella includes; programs need not
/// mind. Needs no Kokkos.
#pragma once

#include <span>
#include <vector>

namespace pleat {

template <class T> [[nodiscard]] constexpr std::span<T> as_span(std::vector<T>& v) noexcept {
  return std::span<T>(v.data(), v.size());
}
template <class T> [[nodiscard]] constexpr std::span<T const> as_span(std::vector<T> const& v) noexcept {
  return std::span<T const>(v.data(), v.size());
}

}  // namespace pleat
