// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The precompiled header of our own programs that include the umbrella, as one that links pleat::kernels sees it.
#pragma once

#include <pleat/pleat.hpp>
