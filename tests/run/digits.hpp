// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The digits that pleat ships, for tests that train.
#pragma once

#include <pleat/io/dataset.hpp>

#include <cstdlib>
#include <stdexcept>
#include <string>

inline pleat::io::split test_digits() {
  char const* root = std::getenv("PLEAT_SOURCE_DIR");  // set by ctest
  if (!root) throw std::runtime_error("PLEAT_SOURCE_DIR is not set: run the tests through ctest");
  return pleat::io::load_digits(std::string(root) + "/examples/data/digits");
}
