// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Loading and running this network, compiled beside the rest of its job.
#include "job.hpp"
#include "networks.hpp"

template void evaluate(networks::lenet_5<networks::stored>, options const&, pl::world&);
