// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A folder of its own for a test, which goes with it.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <unistd.h>

namespace pleat_test {

class scratch_folder {
 public:
  scratch_folder() : scratch_folder(std::filesystem::temp_directory_path().string()) {}
  /// In memory where the system has such a place: hundreds of flushed saves take a minute on a busy disk, and a killed
  /// process does not lose what it has written on either.
  [[nodiscard]] static scratch_folder in_memory() {
    return ::access("/dev/shm", W_OK) == 0 ? scratch_folder("/dev/shm") : scratch_folder();
  }
  explicit scratch_folder(std::string const& parent) : path_(parent + "/pleat-test-XXXXXX") {
    if (!::mkdtemp(path_.data())) std::abort();
  }
  scratch_folder(scratch_folder const&) = delete;
  scratch_folder& operator=(scratch_folder const&) = delete;
  ~scratch_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string operator/(std::string const& name) const { return path_ + "/" + name; }
  [[nodiscard]] std::string const& path() const noexcept { return path_; }
  [[nodiscard]] std::size_t count() const {
    std::size_t n = 0;
    for ([[maybe_unused]] auto const& e : std::filesystem::directory_iterator(path_)) ++n;
    return n;
  }

 private:
  std::string path_;
};

}  // namespace pleat_test
