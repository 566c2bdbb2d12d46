// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What ranks ask before the work begins: whether all were asked the same, and whether files can be written when it is
// done.
#pragma once

#include <pleat/comm/agree.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/comm/world.hpp>
#include <pleat/io/file.hpp>

#include <initializer_list>
#include <string>

// Ranks with other options would wait for each other in vain. Collective. \param asked a line an option
inline void agree_on_options(pleat::world& world, std::string const& asked) {
  pleat::comm::agree_on_text(world.comm, asked, "the command line", "what is asked",
                             "Give every rank the same options");
}

// Collective. \throws pleat::error on every rank: a folder that is missing or not writable, a name that is a folder's.
// Empty names are left out.
inline void demand_outputs(pleat::world& world, std::initializer_list<std::string> paths) {
  pleat::comm::on_root(world.comm, [&] {
    for (auto const& path : paths)
      if (!path.empty()) pleat::io::demand_writable_file(path);
  });
}
