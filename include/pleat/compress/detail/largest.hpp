// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The largest magnitudes of a weight, of which this rank may have a part.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/codec/detail/part_of.hpp>
#include <pleat/compress/detail/lowest.hpp>
#include <pleat/nn/parameter.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::compress::detail {

/// Which elements of a part are among the `count` largest magnitudes of the whole weight, ties by position in the
/// whole: the same ones however it is cut. By counting digits, nobody gathers.
/// \param w says which part it is \param values of the part, finite \param sum sum(counts): adds up over the ranks that
/// have the parts
template <class Sum>
[[nodiscard]] std::vector<std::size_t> largest_of_whole(nn::parameter const& w, std::span<double const> values,
                                                        index_t count, Sum&& sum) {
  auto const key = [&](std::size_t i) { return ~std::bit_cast<std::uint64_t>(std::fabs(values[i])); };
  std::vector<std::uint64_t> place;  // in the whole
  codec::detail::for_each_of_part(w.whole(), w.box(),
                                  [&](index_t i) { place.push_back(static_cast<std::uint64_t>(i)); });
  auto const last = kth_smallest(
      64, std::span<index_t const>(&count, 1),
      [&](std::size_t, auto&& f) {
        for (std::size_t i = 0; i < values.size(); ++i) f(key(i));
      },
      sum)[0];
  index_t const ties = count - last.below;
  auto const last_tie = kth_smallest(
      48, std::span<index_t const>(&ties, 1),
      [&](std::size_t, auto&& f) {
        for (std::size_t i = 0; i < values.size(); ++i)
          if (key(i) == last.key) f(place[i]);
      },
      sum)[0];
  std::vector<std::size_t> found;
  for (std::size_t i = 0; count > 0 && i < values.size(); ++i)
    if (key(i) < last.key || (key(i) == last.key && place[i] <= last_tie.key)) found.push_back(i);
  return found;
}

}  // namespace pleat::compress::detail
