// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Files that a program writes when its work is done: whether they can be written is asked before it begins.
#pragma once

#include <pleat/comm/attempt.hpp>
#include <pleat/comm/world.hpp>
#include <pleat/io/file.hpp>

#include <initializer_list>
#include <string>

// Collective. \throws pleat::error on every rank: a folder that is missing or not writable, a name that is a folder's.
// Empty names are left out.
inline void demand_outputs(pleat::world& world, std::initializer_list<std::string> paths) {
  pleat::comm::on_root(world.comm, [&] {
    for (auto const& path : paths)
      if (!path.empty()) pleat::io::demand_writable_file(path);
  });
}
