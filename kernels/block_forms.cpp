// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/instances.hpp>
#include <pleat/codec/stored.hpp>
#undef PLEAT_FORM
#define PLEAT_FORM
#include <pleat/codec/blocks.hpp>
