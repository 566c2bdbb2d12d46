// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The main of the tests on MPI ranks. Every rank runs the same tests in the same order; rank 0 speaks as usual, another
// rank speaks only if it failed, each line under its number. The exit code is the maximum over the ranks.
#include <Kokkos_Core.hpp>

#include <catch2/catch_session.hpp>
#include <mpi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

namespace {

// A private file for what this rank has to say; nothing else keeps lines of several ranks apart.
std::string scratch_file() {
  char const* folder = std::getenv("TMPDIR");
  std::string name = std::string(folder != nullptr ? folder : "/tmp") + "/pleat_rank_XXXXXX";
  int const handle = mkstemp(name.data());
  if (handle >= 0) close(handle);
  return name;
}

void repeat_with_rank(std::string const& file, int rank) {
  std::ifstream in(file);
  std::string text;
  for (std::string line; std::getline(in, line);) text += "[rank " + std::to_string(rank) + "] " + line + "\n";
  std::cout << text << std::flush;
}

}  // namespace

int main(int argc, char** argv) {
  int provided = MPI_THREAD_SINGLE;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  int verdict = 1;
  {
    Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
    Catch::Session session;
    verdict = session.applyCommandLine(argc, argv);
    std::string said;
    if (rank != 0) {
      said = scratch_file();
      session.configData().reporterSpecifications.clear();
      session.configData().defaultOutputFilename = said;
    }
    if (verdict == 0) verdict = session.run();
    if (rank != 0) {
      if (verdict != 0 && verdict != 4) repeat_with_rank(said, rank);
      std::remove(said.c_str());
    }
  }
  int worst = verdict;
  MPI_Allreduce(&verdict, &worst, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  MPI_Finalize();
  return worst;
}
