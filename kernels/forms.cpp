// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The matrix products that forms are made of come from elsewhere; forms themselves are compiled here, in
// block_forms.cpp and in sparse_forms.cpp; and what measures a machine.
#include <pleat/compute/instances.hpp>
#undef PLEAT_FORM
#define PLEAT_FORM
#include <pleat/codec/codebook.hpp>
#include <pleat/codec/low_rank.hpp>
#include <pleat/codec/reduced.hpp>
#include <pleat/codec/spatial_low_rank.hpp>
#include <pleat/plan/measure.hpp>
