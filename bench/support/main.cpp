// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The main of every benchmark program. Under an MPI launcher it starts MPI, and only rank 0 reports: benchmarks there
// must use manual time, the maximum over the ranks, so that all ranks agree when to stop.
#include <Kokkos_Core.hpp>

#include <pleat/base/isa.hpp>

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>
#include <vector>

#ifdef PLEAT_HAS_MPI
#include <mpi.h>
#endif

namespace {

struct silent_reporter : benchmark::BenchmarkReporter {
  bool ReportContext(Context const&) override { return true; }
  void ReportRuns(std::vector<Run> const&) override {}
};

bool under_a_launcher() {
  return std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr || std::getenv("PMI_SIZE") != nullptr ||
         std::getenv("PMIX_RANK") != nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  int rank = 0;
#ifdef PLEAT_HAS_MPI
  bool const with_mpi = under_a_launcher();
  if (with_mpi) {
    int provided = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  }
#endif
  std::vector<char*> arguments(argv, argv + argc);
  if (rank != 0) {  // a second file reporter would overwrite rank 0's file
    std::erase_if(arguments, [](char* word) { return std::string(word).starts_with("--benchmark_out"); });
  }
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  bool const understood = !benchmark::ReportUnrecognizedArguments(count, arguments.data());
  if (understood) {
    // the aims' bars depend on it (scripts/performance_aims.py)
    benchmark::AddCustomContext(
        "isa", std::string(pleat::isa::name(pleat::isa::best())) + (pleat::isa::has_vnni() ? "+vnni" : ""));
    Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
    silent_reporter silent;
    if (rank == 0) {
      benchmark::RunSpecifiedBenchmarks();
    } else {
      benchmark::RunSpecifiedBenchmarks(&silent);
    }
  }
#ifdef PLEAT_HAS_MPI
  if (with_mpi) MPI_Finalize();
#endif
  return understood ? 0 : 1;
}
