// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The only place of this room that talks to the operating system's file calls. Strings are paths: the standard's
/// filesystem header would cost every user of the umbrella a third of a second.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>

namespace pleat::io::detail {

/// "io::read_idx('a/b')"
PLEAT_ONCE [[nodiscard]] std::string call_on(char const* function, std::string const& path) {
  return std::string("io::") + function + "('" + path + "')";
}
PLEAT_COMPILED_ONCE(std::string call_on(char const* function, std::string const& path));

/// The operating system's words for an error number, without strerror's shared buffer.
[[nodiscard]] inline std::string system_words(int number) { return std::generic_category().message(number); }

/// folder/name
PLEAT_ONCE [[nodiscard]] std::string join(std::string const& folder, std::string const& name) {
  return folder.empty() || folder.back() == '/' ? folder + name : folder + "/" + name;
}
PLEAT_COMPILED_ONCE(std::string join(std::string const& folder, std::string const& name));

/// The folder that holds `path`; "." for a bare name.
PLEAT_ONCE [[nodiscard]] std::string parent_of(std::string const& path) {
  auto const slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

/// An open file descriptor, closed when it goes.
class descriptor {
 public:
  descriptor() noexcept = default;
  explicit descriptor(int fd) noexcept : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor() { (void)close(); }
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
  /// 0 or the error number: some file systems report a full disk only here.
  PLEAT_LAZY [[nodiscard]] int close() noexcept {
    if (fd_ < 0) return 0;
    int const r = ::close(std::exchange(fd_, -1));
    return r == 0 || errno == EINTR ? 0 : errno;  // Linux: after EINTR the descriptor is gone all the same
  }

 private:
  int fd_ = -1;
};

/// open(2) that survives signals; a negative descriptor leaves the reason in errno.
PLEAT_LAZY [[nodiscard]] inline descriptor open_file(std::string const& path, int flags,
                                                     unsigned mode = 0666) noexcept {
  int fd;
  do fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  while (fd < 0 && errno == EINTR);
  return descriptor(fd);
}

/// Whether this is a folder, or a link to one.
[[nodiscard]] inline bool is_folder(std::string const& path) noexcept {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}
/// A terminal, a pipe, a socket, /dev/null: something that exists and is neither a file nor a folder.
[[nodiscard]] inline bool is_device(std::string const& path) noexcept {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}
/// Where symbolic links lead to; the path itself where there is no link, or none that leads anywhere.
PLEAT_LAZY [[nodiscard]] inline std::string behind_links(std::string path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) return path;
  char* const real = ::realpath(path.c_str(), nullptr);
  if (!real) return path;
  path = real;
  std::free(real);
  return path;
}

/// Opens an existing regular file for reading and says how long it is. \throws error with the path and the reason.
PLEAT_ONCE [[nodiscard]] std::pair<descriptor, std::uint64_t> open_to_read(std::string const& path,
                                                                           std::string const& call) {
  // O_NONBLOCK: a pipe must be refused, not waited for.
  descriptor file = open_file(path, O_RDONLY | O_NONBLOCK);
  if (!file.is_open())
    throw error{call, "cannot open the file: " + system_words(errno), "Check the name, and that it may be read"};
  struct stat info {};
  if (::fstat(file.get(), &info) != 0)
    throw error{call, "cannot ask for the size: " + system_words(errno),
                "Check that the disk or the network folder that it lies on can be reached"};
  if (S_ISDIR(info.st_mode)) throw error{call, "this is a folder, expected a file", "Name a file in it"};
  if (!S_ISREG(info.st_mode))
    throw error{call, "this is no regular file (a pipe, a socket or a device)", "Copy it into a file first"};
  return {std::move(file), static_cast<std::uint64_t>(info.st_size)};
}

/// Writes everything or gives the error number (0: all is written). `written` counts what arrived.
PLEAT_LAZY [[nodiscard]] inline int write_all(int fd, std::span<std::byte const> bytes,
                                              std::uint64_t& written) noexcept {
  while (!bytes.empty()) {
    // One call moves at most 2^31 − 4096 bytes on Linux; 1 GiB pieces keep clear of that.
    auto const n = ::write(fd, bytes.data(), std::min<std::size_t>(bytes.size(), std::size_t{1} << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return ENOSPC;
    written += static_cast<std::uint64_t>(n);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return 0;
}

/// Writes everything from byte `at` of the file on, or gives the error number. `at` counts what arrived.
PLEAT_LAZY [[nodiscard]] inline int write_all_at(int fd, std::span<std::byte const> bytes, std::uint64_t& at) noexcept {
  while (!bytes.empty()) {
    auto const n =
        ::pwrite(fd, bytes.data(), std::min<std::size_t>(bytes.size(), std::size_t{1} << 30), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return ENOSPC;
    at += static_cast<std::uint64_t>(n);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return 0;
}

/// How a write that failed is said.
PLEAT_ONCE [[nodiscard]] error write_failure(std::string const& call, std::string const& path, std::uint64_t at,
                                             int number) {
  return {call, "writing '" + path + "' failed after " + std::to_string(at) + " bytes: " + system_words(number),
          "The checkpoints that were there are untouched; free some space, or choose another folder"};
}

/// fsync(2) that survives signals; 0 or the error number.
PLEAT_LAZY [[nodiscard]] inline int sync(int fd) noexcept {
  int r;
  do r = ::fsync(fd);
  while (r != 0 && errno == EINTR);
  return r == 0 ? 0 : errno;
}

/// Makes the names in a folder durable. File systems that cannot say EINVAL; that is no failure.
PLEAT_LAZY [[nodiscard]] inline int sync_folder(std::string const& folder) noexcept {
  descriptor const d = open_file(folder, O_RDONLY | O_DIRECTORY);
  if (!d.is_open()) return errno;
  int const e = sync(d.get());
  return e == EINVAL || e == ENOTSUP || e == EROFS ? 0 : e;
}

/// Whether anything bears this name.
[[nodiscard]] inline bool exists(std::string const& path) noexcept {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

/// Makes a folder and all above it. \throws error with the path that could not be made.
PLEAT_ONCE void make_folders(std::string const& folder, std::string const& call) {
  if (folder.empty() || is_folder(folder)) return;
  auto const parent = parent_of(folder);
  if (parent != folder && parent != ".") make_folders(parent, call);
  if (::mkdir(folder.c_str(), 0777) != 0 && !(errno == EEXIST && is_folder(folder)))
    throw error{call, "cannot make the folder '" + folder + "': " + system_words(errno),
                "Choose a folder that can be made and written to"};
}

/// The names in a folder, sorted; empty if it cannot be read.
PLEAT_ONCE [[nodiscard]] std::vector<std::string> names_in(std::string const& folder) {
  std::vector<std::string> names;
  if (DIR* d = ::opendir(folder.c_str())) {
    try {
      while (dirent const* e = ::readdir(d)) {
        std::string name = e->d_name;
        if (name != "." && name != "..") names.push_back(std::move(name));
      }
    } catch (...) {
      ::closedir(d);
      throw;
    }
    ::closedir(d);
  }
  std::sort(names.begin(), names.end());
  return names;
}
PLEAT_COMPILED_ONCE(std::vector<std::string> names_in(std::string const& folder));

/// Removes a folder of plain files (not a tree); what cannot be removed stays.
PLEAT_LAZY inline void remove_flat_folder(std::string const& folder) {
  // Another writer may leave a file between the look and the removal: look again. Nobody makes more than a few.
  for (int again = 0; again < 100; ++again) {
    for (auto const& name : names_in(folder)) (void)::unlink(join(folder, name).c_str());
    if (::rmdir(folder.c_str()) == 0 || (errno != ENOTEMPTY && errno != EEXIST)) return;
  }
}

}  // namespace pleat::io::detail
