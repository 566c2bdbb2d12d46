// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The precompiled header of tests that build whole models: the umbrella too, and its kernels, training and reports as the
// library's instances.
#include "pch.hpp"

#include <pleat/pleat.hpp>
