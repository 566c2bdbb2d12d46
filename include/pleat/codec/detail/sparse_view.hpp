// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What all sparse forms do alike: rows as lists, a view that decodes and multiplies by visiting what is stored, checks
/// of the lists that a file claims. Needs no Kokkos.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/codec/detail/host_bits.hpp>
#include <pleat/compute/math.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec::detail {

/// Some rows as lists of columns and values: row i of them is [start[i], start[i + 1]), in units of `Block`
/// neighbouring columns. A list's column c stands for the columns c·Block to c·Block + Block − 1.
template <class Index> struct row_lists {
  std::uint32_t const* start;
  Index const* column;
  float const* value;
};

/// What all sparse views do with the one thing they know: nonzeros(row, f) calls f(column, value) for the stored
/// elements, ascending.
template <class View> struct sparse_view {
  PLEAT_INLINE void decode(index_t r, index_t first, index_t last, float* out) const {
    for (index_t k = first; k < last; ++k) out[k - first] = 0;
    static_cast<View const*>(this)->nonzeros(r, place{out, first, last});
  }
  /// One element of a product: one chain over the stored elements.
  [[nodiscard]] PLEAT_INLINE float dot(index_t r, float const* x) const {
    float sum = 0;
    static_cast<View const*>(this)->nonzeros(r, chain{x, &sum});
    return sum;
  }

 private:
  struct place {
    float* out;
    index_t first, last;
    PLEAT_INLINE void operator()(index_t k, float v) const {
      if (k >= first && k < last) out[k - first] = v;
    }
  };
  struct chain {
    float const* x;
    float* sum;
    PLEAT_INLINE void operator()(index_t k, float v) const { *sum = compute::fma(v, x[k], *sum); }
  };
};

/// Row borders that a file claims: from 0, never falling, up to `total`. \throws error
inline void check_starts(std::string const& call, std::span<std::uint32_t const> starts, index_t total) {
  for (std::size_t r = 0; r + 1 < starts.size(); ++r)
    if (starts[r] > starts[r + 1])
      throw error{call, "row " + std::to_string(r) + " ends before it begins", remedy::copy_again};
  if (starts.front() != 0 || static_cast<index_t>(starts.back()) != total)
    throw error{call,
                "the rows' borders run from " + std::to_string(starts.front()) + " to " +
                    std::to_string(starts.back()) + ", expected 0 to " + std::to_string(total),
                remedy::copy_again};
}
/// Rows begin at 32-bit places. \throws error if more survive than those can say
inline void demand_countable(std::string const& call, extents const& shape, index_t survivors) {
  if (survivors > 0xffffffff)
    throw error{call,
                std::to_string(survivors) + " blocks or numbers survive in a weight of shape " + shape.to_string() +
                    ", expected fewer than 2^32",
                "Cut the weight over more ranks"};
}
/// The length of a list whose length the file decides.
[[nodiscard]] inline index_t list_length(std::span<file_tensor const> parts, std::string_view suffix) noexcept {
  auto const* const p = find_part(parts, suffix);
  return p && p->shape.rank() > 0 ? p->shape[0] : 0;
}

}  // namespace pleat::codec::detail
