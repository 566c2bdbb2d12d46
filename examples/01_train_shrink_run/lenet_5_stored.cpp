// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The training of this network while its weights may be in any form, compiled beside the rest of its job.
#include <pleat/pleat.hpp>

#include "networks.hpp"

template pleat::run::fit_report pleat::run::fit(pleat::parallel::model<networks::lenet_5<networks::stored>>&, pleat::io::dataset const&, pleat::run::fit_options);
