// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The standard library's functions of numbers (`cmath`), read once: libstdc++ keeps the guard of that header behind
/// other text, so that each of the fifty headers that name it would read its two thousand lines anew. Needs no Kokkos.
#pragma once

#include <cmath>
