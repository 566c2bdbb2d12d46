// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "network.hpp"

template class pl::nn::weight<forms, Kokkos::DefaultExecutionSpace>;
template class pl::parallel::network_of<network>;
