// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/config.hpp>

#include <cstdio>

int main() {
  pleat::version_number const v = pleat::version();
  std::printf("pleat %d.%d.%d\n", v.major, v.minor, v.patch);
}
