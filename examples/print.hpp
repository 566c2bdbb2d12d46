// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A line of figures, from rank 0.
#pragma once

#include <pleat/comm/world.hpp>

#include <cstdio>
#include <string>

/// As std::printf, however long the line is: a path may be long.
inline void print(pleat::world const& world, char const* format, auto... values) {
  std::string line(static_cast<std::size_t>(std::snprintf(nullptr, 0, format, values...)), ' ');
  std::snprintf(line.data(), line.size() + 1, format, values...);
  world.say(line);
}
