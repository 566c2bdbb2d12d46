// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How shapes say which of their extents cannot be. Needs no Kokkos.
#pragma once

#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute::detail {

/// Asks one thing after the other of a shape; throws at the first that is not so.
struct demand_extent {
  char const* call;  ///< who says so

  void operator()(bool good, char const* what, index_t found, char const* remedy) const {
    if (!good) refuse(std::string(what) + "; found " + std::to_string(found), remedy);
  }
  /// \param what a comparison: "the kernel is taller"
  void room(index_t span, index_t there, char const* what, char const* remedy) const {
    if (span > there)
      refuse(std::string(what) + " than the padded image; found " + std::to_string(span) + " pixels of " +
                 std::to_string(there),
             remedy);
  }

 private:
  [[noreturn]] void refuse(std::string const& problem, char const* remedy) const { throw error{call, problem, remedy}; }
};

}  // namespace pleat::compute::detail
