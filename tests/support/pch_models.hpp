// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The precompiled header of tests that build whole models: the umbrella too, and its kernels, training and reports as the
// library's instances. What a program needs once (PLEAT_ONCE) stays templates here: as functions that are compiled elsewhere
// every test would instantiate what they all use.
#include "pch.hpp"

#include <pleat/compute/instances.hpp>
#include <pleat/pleat.hpp>

#include <pleat/compress/instances.hpp>
