// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Whether a program would write over what it reads, or write two things to one file.
#pragma once

#include <pleat/base/error.hpp>

#include <filesystem>
#include <initializer_list>
#include <string>
#include <system_error>
#include <vector>

// An option or an argument, and the file that it names; without one it is left out.
struct named_file {
  std::string option, path;
};

// Those that a program writes into the folder of an option; without a folder, none.
inline std::vector<named_file> files_in(std::string const& option, std::string const& folder,
                                        std::initializer_list<char const*> names) {
  std::vector<named_file> files;
  if (!folder.empty())
    for (auto const* name : names) files.push_back({option, folder + "/" + name});
  return files;
}

// \throws pleat::error if a file that is written is one that is read, or another one that is written. Devices and pipes
// take anything.
inline void demand_other_files(std::vector<named_file> const& written, std::vector<named_file> const& read) {
  namespace fs = std::filesystem;
  auto const same = [](std::string const& a, std::string const& b) {
    std::error_code failed;
    if (a.empty() || b.empty()) return false;
    if (fs::exists(a, failed)) return fs::is_regular_file(a, failed) && fs::equivalent(a, b, failed);
    auto const place = [&](std::string const& path) {  // of a name alone nothing would be looked up
      return fs::weakly_canonical(fs::absolute(path, failed), failed);
    };
    auto const of_a = place(a), of_b = place(b);
    return !of_a.empty() && of_a == of_b;  // what has no place is refused where it is made
  };
  for (auto w = written.begin(); w != written.end(); ++w) {
    for (auto const& r : read)
      if (same(w->path, r.path))
        throw pleat::error{w->option, "'" + w->path + "' is the file that is read (" + r.option + ")",
                           "Name another one: what is written over does not come back"};
    for (auto other = written.begin(); other != w; ++other)
      if (same(w->path, other->path))
        throw pleat::error{w->option, "'" + w->path + "' is the file of " + other->option + ", too",
                           "Name another one: the second would replace the first"};
  }
}
