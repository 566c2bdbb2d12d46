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
#include <vector>

#include "other_files.hpp"

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

// Collective. The same of what is written, and as demand_other_files. \param folder is made, if it has a name
inline void demand_outputs(pleat::world& world, std::vector<named_file> const& written,
                           std::vector<named_file> const& read, std::string const& folder = {}) {
  pleat::comm::on_root(world.comm, [&] {
    demand_other_files(written, read);
    if (!folder.empty()) pleat::io::make_folder(folder);
    for (auto const& file : written)
      if (!file.path.empty()) pleat::io::demand_writable_file(file.path);
  });
}
