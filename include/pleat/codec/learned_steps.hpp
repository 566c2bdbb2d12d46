// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Steps that a form learns beside a weight's numbers, and what their optimizer keeps of them: as plain data, which
/// checkpoints take along. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/codec/file_tensor.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::codec {

/// The steps of a weight, or of a part of it, as codec::fake_quantized learns them: for every row, and in it for every
/// group of columns, four numbers. In double, so that training goes on from a checkpoint with the same bits.
struct learned_steps {
  enum what : std::size_t { value, first_moment, second_moment, moves };
  static constexpr std::size_t kinds = 4;

  index_t group = 0;              ///< columns that share a step; 0: a whole row does, wherever its parts lie
  std::vector<double> numbers{};  ///< [kinds, rows, steps of a row]

  [[nodiscard]] std::size_t size() const noexcept { return numbers.size() / kinds; }
  [[nodiscard]] double& at(what k, std::size_t i) noexcept { return numbers[k * size() + i]; }
  [[nodiscard]] double at(what k, std::size_t i) const noexcept { return numbers[k * size() + i]; }

  /// Steps that have not moved yet.
  PLEAT_ONCE [[nodiscard]] static learned_steps begin(std::vector<float> const& steps, index_t group);
};

template <class> learned_steps learned_steps::begin(std::vector<float> const& steps, index_t group) {
  learned_steps s{group, std::vector<double>(kinds * steps.size(), 0.0)};
  std::copy(steps.begin(), steps.end(), s.numbers.begin());
  return s;
}
PLEAT_COMPILED_ONCE(learned_steps learned_steps::begin(std::vector<float> const& steps, index_t group));

/// Where the steps of a part of a weight lie among those of the whole: an array [learned_steps::kinds, rows, steps of a
/// row].
struct step_places {
  extents whole;
  index_box here;
};

/// \param part of the weight, cut along its rows or its columns \throws error for a part that cuts a group
PLEAT_ONCE [[nodiscard]] step_places places_of_steps(extents const& weight, index_box const& part, index_t group) {
  index_t const inner = weight.rank() > 1 ? weight.size_from(2) : 1, columns = columns_of(weight);
  index_range const rows = weight.rank() > 0 ? part[0] : index_range{0, 1};
  index_range steps{0, 1};
  index_t of_a_row = 1;
  if (group > 0) {
    index_range const cut =
        weight.rank() > 1 ? index_range{part[1].begin * inner, part[1].end * inner} : index_range{0, columns};
    if (columns % group != 0 || cut.begin % group != 0 || cut.end % group != 0)
      throw error{
          "codec::learned_steps",
          "columns " + std::to_string(cut.begin) + " to " + std::to_string(cut.end) + " of " + std::to_string(columns) +
              " are no whole groups of " + std::to_string(group) + ", which share a step",
          "Place the weight with that many as its unit, e.g. parallel::row(pattern, " + std::to_string(group) + ")"};
    of_a_row = columns / group;
    steps = {cut.begin / group, cut.end / group};
  }
  step_places p{extents{static_cast<index_t>(learned_steps::kinds), rows_of(weight), of_a_row}, {}};
  p.here = index_box(p.whole);
  p.here[1] = rows;
  p.here[2] = steps;
  return p;
}
PLEAT_COMPILED_ONCE(step_places places_of_steps(extents const& weight, index_box const& part, index_t group));

/// \throws error for steps that nothing learns: negative or not finite \param call who says so
PLEAT_ONCE void demand_steps(char const* call, learned_steps const& s) {
  for (std::size_t i = 0; i < s.numbers.size(); ++i)
    if (!std::isfinite(s.numbers[i]) || (i / s.size() != learned_steps::first_moment && s.numbers[i] < 0))
      throw error{call,
                  "a learned step (number " + std::to_string(i % s.size()) + ") has " +
                      pleat::detail::number_text(s.numbers[i]) + ", expected a finite number" +
                      (i / s.size() == learned_steps::first_moment ? "" : " that is not negative"),
                  "It was written by another program"};
}

}  // namespace pleat::codec
