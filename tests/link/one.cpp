// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/pleat.hpp>

pleat::version_number version_seen_by_two();

int main() { return version_seen_by_two() == pleat::version() ? 0 : 1; }
