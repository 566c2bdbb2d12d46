// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a program needs once (PLEAT_ONCE): files, messages, reports.
#define PLEAT_ONCE_HERE
#include <pleat/pleat.hpp>
