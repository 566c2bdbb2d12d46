// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "job.hpp"
#include "networks.hpp"

// Compiled side by side: training in lenet_5_dense.cpp and lenet_5_stored.cpp, running a file in lenet_5_serve.cpp.
extern template pl::run::fit_report pl::run::fit(pl::parallel::model<networks::lenet_5<networks::dense>>&, pl::io::dataset const&, pl::run::fit_options);
extern template pl::run::fit_report pl::run::fit(pl::parallel::model<networks::lenet_5<networks::stored>>&, pl::io::dataset const&, pl::run::fit_options);
extern template void evaluate(networks::lenet_5<networks::stored>, options const&, pl::world&);

void run_lenet_5(std::string const& network, options const& o, pl::world& world) {
  auto const sample = read_data(o).test.sample;
  run_job(lenet_5<networks::dense>(sample), lenet_5<networks::stored>(sample), network, o, world);
}
