// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Which elements a dropout keeps: a function of the element's global position, so that nothing is stored.
#pragma once

#include <pleat/base/random.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute {

/// True for element i of a block whose first element is number `first` of the stream, with probability threshold / 2³².
struct keep_mask {
  random::stream numbers;
  std::uint64_t first = 0;
  std::uint64_t threshold = 0;
  PLEAT_INLINE bool operator()(index_t i) const {
    return numbers.bits(first + static_cast<std::uint64_t>(i)) < threshold;
  }
};

/// The same for this rank's part of a block that is cut along one dimension: every `columns` elements of `stride` are
/// here, from `first` on.
struct keep_mask_part {
  random::stream numbers;
  std::uint64_t first = 0;
  std::uint64_t threshold = 0;
  index_t columns = 1, stride = 1;
  PLEAT_INLINE bool operator()(index_t i) const {
    return numbers.bits(first + static_cast<std::uint64_t>(i / columns * stride + i % columns)) < threshold;
  }
};

}  // namespace pleat::compute
