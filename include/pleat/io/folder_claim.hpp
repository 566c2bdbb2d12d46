// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// One job in a folder: who claims it keeps other jobs out until it ends, however it ends. Needs no Kokkos.
#pragma once

#include <cerrno>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/io/file.hpp>

namespace pleat::io {

/// Holds a folder for this job, by a lock (flock(2)) on the file `lock` in it. The system lets go of it when the process
/// ends, by kill -9 too: whoever comes then gets it at once, and the file, which is then left behind, means nothing.
///
/// On a network folder the lock is as good as the mount: with NFS it holds between machines, mounted with
/// `local_lock=flock` or Lustre's `localflock` within one only; and a network
/// may keep the lock of a machine that has crashed for longer.
class folder_claim {
 public:
  /// No folder.
  folder_claim() noexcept = default;
  /// \throws error if another job holds it
  PLEAT_ONCE explicit folder_claim(std::string const& folder) : path_(detail::join(folder, "lock")) {
    auto const call = detail::call_on("folder_claim", folder);
    for (;;) {
      file_ = detail::open_file(path_, O_RDWR | O_CREAT);
      if (!file_.is_open() && errno == EACCES)
        file_ = detail::open_file(path_, O_RDONLY);  // another user's: flock asks for no more
      int held = 0;
      if (file_.is_open()) held = ::flock(file_.get(), LOCK_EX | LOCK_NB);
      if (!file_.is_open() || (held != 0 && errno != EWOULDBLOCK)) {
        without_lock_ = detail::system_words(errno);
        (void)file_.close();
        return;
      }
      if (held != 0)
        throw error{
            call, "another job writes into this folder",
            "Wait until it has ended, or name another folder; if its machine is gone for good, remove '" + path_ + "'"};
      // Who held it before may have removed the file since it was opened here.
      struct stat mine {
      }, there{};
      if (::fstat(file_.get(), &mine) == 0 && ::stat(path_.c_str(), &there) == 0 && mine.st_ino == there.st_ino &&
          mine.st_dev == there.st_dev)
        return;
    }
  }
  /// Takes the claim over.
  folder_claim(folder_claim&&) noexcept = default;
  /// Trades claims: what was held here goes with `other`.
  folder_claim& operator=(folder_claim&& other) noexcept {
    std::swap(path_, other.path_), std::swap(without_lock_, other.without_lock_), std::swap(file_, other.file_);
    return *this;
  }
  /// The file goes first, and the lock with its descriptor: nobody gets hold of a file that is about to go.
  ~folder_claim() {
    if (file_.is_open()) (void)::unlink(path_.c_str());
  }

  /// Empty, or why this folder cannot be locked, in the system's words: then nobody is kept out.
  [[nodiscard]] std::string const& without_lock() const noexcept { return without_lock_; }

 private:
  std::string path_, without_lock_;
  detail::descriptor file_;
};

}  // namespace pleat::io
