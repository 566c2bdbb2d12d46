// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The training of this network, compiled beside the rest of its job.
#include <pleat/pleat.hpp>

#include "networks.hpp"

template pleat::run::fit_report pleat::run::fit(pleat::parallel::model<networks::mlp<networks::dense>>&, pleat::io::dataset const&, pleat::run::fit_options);
