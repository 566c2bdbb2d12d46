// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Assertions for tests on several ranks. A REQUIRE that fails on one rank leaves its test there and lets the others
/// wait in the next collective for ever; these reduce the verdict first, so that all ranks leave together.
#pragma once

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>

#include <mpi.h>

namespace pleat_test {

/// True on every rank of MPI_COMM_WORLD exactly if it was true on all of them.
inline bool on_all_ranks(bool const here) {
  int mine = here ? 1 : 0;
  int all = 0;
  MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
  return all == 1;
}

inline int world_rank() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

inline int world_size() {
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

}  // namespace pleat_test

/// Like REQUIRE, but collective: every rank of MPI_COMM_WORLD must reach it, and all leave the test if one of them
/// fails.
#define COLLECTIVE_REQUIRE(...)                                                                        \
  do {                                                                                                 \
    bool const collective_here = static_cast<bool>(__VA_ARGS__);                                       \
    bool const collective_everywhere = ::pleat_test::on_all_ranks(collective_here);                    \
    INFO("collective: " #__VA_ARGS__ " is " << (collective_here ? "true" : "false") << " on rank "     \
                                            << ::pleat_test::world_rank());                            \
    if (!collective_here) FAIL_CHECK(#__VA_ARGS__ " is false on rank " << ::pleat_test::world_rank()); \
    REQUIRE(collective_everywhere);                                                                    \
  } while (false)

/// Like CHECK, but collective: the test goes on, on all ranks.
#define COLLECTIVE_CHECK(...)                                                                      \
  do {                                                                                             \
    bool const collective_here = static_cast<bool>(__VA_ARGS__);                                   \
    bool const collective_everywhere = ::pleat_test::on_all_ranks(collective_here);                \
    INFO("collective: " #__VA_ARGS__ " is " << (collective_here ? "true" : "false") << " on rank " \
                                            << ::pleat_test::world_rank());                        \
    CHECK(collective_everywhere);                                                                  \
  } while (false)
