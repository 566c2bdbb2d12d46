// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What an error in the middle of a step says besides what went wrong: the step, the phase, the tensors, and whose
/// numbers its ranks have. Needs no Kokkos.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>

namespace pleat::parallel {

/// Who a model's step belongs to.
struct step_place {
  bool together = false;  ///< with other ranks: then an error says where it was
  bool hybrid = false;    ///< the mesh has several axes: then a rank's number needs the axis
  int rank = -1;          ///< of the whole mesh
};

/// The same error, of ranks numbered along one axis of a mesh. A transport's errors know a rank; it is that axis'.
PLEAT_ONCE [[nodiscard]] error along_axis(error const& e, char const* axis, bool hybrid) {
  bool const numbered = e.rank() >= 0 && hybrid;
  return {e.call(),
          e.problem() + (numbered ? " (rank " + std::to_string(e.rank()) + " waits; ranks are numbered along the " +
                                        axis + " axis)"
                                  : ""),
          e.remedy()};
}
PLEAT_COMPILED_ONCE(error along_axis(error const& e, char const* axis, bool hybrid));

/// The parameters of a bucket: "'fc1.weight'", "'fc1.weight' to 'fc2.bias'". \param memory an nn::arena
template <class Arena> [[nodiscard]] std::string tensors_of(Arena const& memory, std::size_t bucket) {
  std::string first, last;
  for (std::size_t i = 0; i < memory.entries().size(); ++i) {
    if (memory.layout().owner()[i] != static_cast<int>(bucket)) continue;
    last = "'" + memory.entries()[i].name + "'";
    if (first.empty()) first = last;
  }
  return first == last ? first : first + " to " + last;
}

/// Runs f, which moves a tensor between ranks of an axis. \throws error of f, with what it moves \param words says
/// that, once it is asked
template <class Words, class F> decltype(auto) about_tensor(Words&& words, char const* axis, bool hybrid, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (error const& e) {
    auto const a = along_axis(e, axis, hybrid);
    throw error{words(), a.call() + ": " + a.problem(), a.remedy()};
  }
}
/// The same of a bucket, between ranks of the data axis. \param what "the gradients of ", "the parameters "
template <class Arena, class F>
decltype(auto) about_bucket(Arena const& memory, std::size_t bucket, char const* what, bool hybrid, F&& f) {
  return about_tensor([&] { return what + tensors_of(memory, bucket); }, "data", hybrid, std::forward<F>(f));
}

/// Runs a part of a step. \throws error of f, with the step, the phase and the rank in front of it where there are
/// other ranks
template <class F>
decltype(auto) in_phase(step_place const& at, std::uint64_t step, char const* call, char const* phase, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (error const& e) {
    if (!at.together) throw;
    throw error{call, "step " + std::to_string(step) + ", " + phase + ": " + e.call() + ": " + e.problem(), e.remedy(),
                at.rank};
  }
}

}  // namespace pleat::parallel
