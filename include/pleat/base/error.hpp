// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The one exception type (law 7): who, in which call, what was wrong, what to do.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include <pleat/base/config.hpp>

namespace pleat {

/// What to do, where several rooms say the same.
namespace remedy {
inline constexpr char const* copy_again =
    "The file is truncated, damaged or of another kind: copy it again, or make it anew";
}

/// Thrown on the host, never from a kernel. Where a collective is involved, every rank throws alike.
///
/// what() reads `pleat: [rank R: ]CALL: PROBLEM. REMEDY`.
class error : public std::runtime_error {
 public:
  /// \param call    the operation that was asked for, as the user writes it: "compute::gemm", "io::load('model.safetensors')"
  /// \param problem what was expected and what was found, with the numbers
  /// \param remedy  what the user can do (may be empty)
  /// \param rank    the rank that saw it; -1 where there is only one
  PLEAT_ONCE error(std::string call, std::string problem, std::string remedy = {}, int rank = -1);

  [[nodiscard]] std::string const& call() const noexcept { return call_; }
  [[nodiscard]] std::string const& problem() const noexcept { return problem_; }
  [[nodiscard]] std::string const& remedy() const noexcept { return remedy_; }
  [[nodiscard]] int rank() const noexcept { return rank_; }

  /// The same error, said by a rank.
  [[nodiscard]] error on_rank(int rank) const { return {call_, problem_, remedy_, rank}; }

 private:
  PLEAT_ONCE static std::string sentence(std::string const& call, std::string const& problem, std::string const& remedy,
                                         int rank) {
    std::string text = "pleat: ";
    if (rank >= 0) text += "rank " + std::to_string(rank) + ": ";
    text += call + ": " + problem;
    if (!remedy.empty()) text += (problem.ends_with('.') ? " " : ". ") + remedy;
    return text;
  }

  std::string call_, problem_, remedy_;
  int rank_;
};

template <class>
error::error(std::string call, std::string problem, std::string remedy, int rank)
    : std::runtime_error(sentence(call, problem, remedy, rank)),
      call_(std::move(call)),
      problem_(std::move(problem)),
      remedy_(std::move(remedy)),
      rank_(rank) {}
PLEAT_COMPILED_ONCE(error::error(std::string call, std::string problem, std::string remedy, int rank));

}  // namespace pleat
