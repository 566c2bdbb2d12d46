// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The forms that factors take come from elsewhere.
#include <pleat/compute/instances.hpp>
#include <pleat/codec/blocks.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/codec/low_rank.hpp>
#include <pleat/codec/reduced.hpp>
#include <pleat/codec/sparse.hpp>
#undef PLEAT_FORM
#define PLEAT_FORM
#include <pleat/codec/detail/factored_weight.hpp>
