// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Whole files: read, mapped, and written so that a crash or a full disk leaves either the old file or the new one.
/// Needs no Kokkos.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/io/detail/posix.hpp>

namespace pleat::io {

/// The whole file in memory.
/// \param path      of a regular file
/// \param max_bytes a longer file is refused before anything is allocated
/// \throws error that names the path and: missing, a folder, too long, or the offset at which reading stopped
PLEAT_ONCE [[nodiscard]] std::vector<std::byte> read_file(
    std::string const& path, std::uint64_t max_bytes = std::numeric_limits<std::uint64_t>::max()) {
  auto const call = detail::call_on("read_file", path);
  auto [file, size] = detail::open_to_read(path, call);
  if (size > max_bytes)
    throw error{
        call, "the file has " + std::to_string(size) + " bytes, at most " + std::to_string(max_bytes) + " are expected",
        "Is it the right file? Allow more bytes if it is"};
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  std::size_t at = 0;
  while (at < bytes.size()) {
    auto const n =
        ::read(file.get(), bytes.data() + at, std::min<std::size_t>(bytes.size() - at, std::size_t{1} << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      throw error{call, "reading failed at byte " + std::to_string(at) + ": " + detail::system_words(errno),
                  "The disk or the network folder fails: copy the file elsewhere, and read it there"};
    if (n == 0)
      throw error{call,
                  "the file ended at byte " + std::to_string(at) + " of " + std::to_string(size) +
                      ": it shrank while it was read",
                  "Wait until whoever writes it is done"};
    at += static_cast<std::size_t>(n);
  }
  return bytes;
}
PLEAT_COMPILED_ONCE(std::vector<std::byte> read_file(std::string const& path, std::uint64_t max_bytes));

/// A file seen as memory, read only; pages arrive when they are touched. Movable; the view lives as long as this
/// object.
///
/// Whoever cuts the file short meanwhile ends the program with SIGBUS: files that another program may rewrite in place
/// are for read_file. Files that pleat writes are replaced by renaming and are safe.
class mapped_file {
 public:
  /// Of nothing: no bytes.
  mapped_file() noexcept = default;
  /// \throws error that names the path and the reason
  PLEAT_ONCE explicit mapped_file(std::string const& path);
  /// Leaves an empty file behind.
  mapped_file(mapped_file&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  /// Exchanges the two.
  mapped_file& operator=(mapped_file&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~mapped_file() {
    if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
  }

  /// The content.
  [[nodiscard]] std::span<std::byte const> bytes() const noexcept { return {data_, size_}; }

 private:
  std::byte const* data_ = nullptr;
  std::size_t size_ = 0;
};

template <class> mapped_file::mapped_file(std::string const& path) {
  auto const call = detail::call_on("mapped_file", path);
  auto [file, size] = detail::open_to_read(path, call);
  if (size == 0) return;
  size_ = static_cast<std::size_t>(size);
  void* const p = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (p == MAP_FAILED)
    throw error{call, "cannot map " + std::to_string(size) + " bytes: " + detail::system_words(errno),
                "Raise the limit of memory (ulimit -v), or copy the file to a disk of this machine"};
  data_ = static_cast<std::byte const*>(p);
}
PLEAT_COMPILED_ONCE(mapped_file::mapped_file(std::string const& path));

/// Makes a folder and those above it that are missing. \throws error if one cannot be made, if a file is in the way, or
/// if nothing can be written to it
PLEAT_ONCE void make_folder(std::string const& path) {
  auto const call = detail::call_on("make_folder", path);
  if (path.empty()) throw error{call, "the name is empty", "Name a folder"};
  detail::make_folders(path, call);
  if (::access(path.c_str(), W_OK | X_OK) != 0)
    throw error{call, "nothing can be written to it: " + detail::system_words(errno),
                "Choose a folder that can be written to"};
}
PLEAT_COMPILED_ONCE(void make_folder(std::string const& path));

/// A file that appears under its name complete or not at all: it is written under a temporary name in the same folder,
/// flushed to the disk, and renamed by commit(). Without commit() (an exception, a full disk) the temporary name goes
/// and the old file stays.
///
/// A symbolic link stays: the file that it leads to is replaced. What is no file (a terminal, a pipe, /dev/null) is
/// written to as it is: it cannot be replaced without harm, and keeps what it was given.
class atomic_file {
 public:
  /// \throws error if the folder is missing or not writable, or if the name is a folder's
  PLEAT_ONCE explicit atomic_file(std::string path);
  atomic_file(atomic_file const&) = delete;
  atomic_file& operator=(atomic_file const&) = delete;
  ~atomic_file() {
    if (file_.is_open()) abandon();
  }

  /// Appends. \throws error with the number of bytes that found room; nothing of this file remains then
  PLEAT_LAZY void write(std::span<std::byte const> bytes) { check(detail::write_all(file_.get(), bytes, written_)); }
  /// Appends a text.
  PLEAT_LAZY void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

  /// Writes at a place of its own, wherever the bytes before ended; what nobody writes is zeros. \throws error as
  /// write()
  PLEAT_LAZY void write_at(std::uint64_t at, std::span<std::byte const> bytes) {
    std::uint64_t const begun = at;
    int const e = detail::write_all_at(file_.get(), bytes, at);
    written_ += at - begun;
    check(e);
  }

  /// Flushes, closes, renames, and makes the new name durable, unless only processes that live now will ask for it. At
  /// most once.
  /// \throws error; the old file is then still there
  PLEAT_ONCE void commit(bool durable = true);

  /// False for what only takes bytes one after the other: a pipe, a terminal. There is no write_at() then.
  [[nodiscard]] bool has_places() const noexcept { return ::lseek(file_.get(), 0, SEEK_CUR) >= 0; }

  /// Bytes so far.
  [[nodiscard]] std::uint64_t written() const noexcept { return written_; }

 private:
  PLEAT_LAZY void abandon() noexcept {
    (void)file_.close();
    if (!temporary_.empty()) (void)::unlink(temporary_.c_str());
  }
  PLEAT_ONCE void check(int number);

  std::string path_, call_, temporary_;  // no temporary name: a device
  detail::descriptor file_;
  std::uint64_t written_ = 0;
};

template <class>
atomic_file::atomic_file(std::string path)
    : path_(detail::behind_links(std::move(path))), call_(detail::call_on("write", path_)) {
  if (detail::is_folder(path_)) throw error{call_, "this is a folder, expected a file", "Name a file in it"};
  if (detail::is_device(path_)) {
    file_ = detail::open_file(path_, O_WRONLY | O_NOCTTY);
    if (!file_.is_open())
      throw error{call_, "cannot write to it: " + detail::system_words(errno),
                  "Choose another name, or get the right to write to this one"};
    return;
  }
  // The process id and a counter: no shared state, and a name left behind by a killed process is stepped over.
  for (int attempt = 0; attempt < 1000; ++attempt) {
    temporary_ = path_ + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(attempt);
    file_ = detail::open_file(temporary_, O_WRONLY | O_CREAT | O_EXCL);
    if (file_.is_open()) return;
    if (errno != EEXIST) break;
  }
  throw error{call_, "cannot make a file in '" + detail::parent_of(path_) + "': " + detail::system_words(errno),
              "Make the folder, or choose one that can be written to"};
}
PLEAT_COMPILED_ONCE(atomic_file::atomic_file(std::string path));

template <class> void atomic_file::commit(bool durable) {
  if (int const e = detail::sync(file_.get()); !temporary_.empty()) check(e);
  if (int const e = file_.close()) check(e);
  if (temporary_.empty()) return;  // a device: there is nothing to rename
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) check(errno);
  if (!durable) return;
  if (int const e = detail::sync_folder(detail::parent_of(path_)))
    throw error{call_, "the file is written, but its folder could not be flushed: " + detail::system_words(e),
                "It may be lost if the power fails now: run sync, or write it to another disk"};
}
PLEAT_COMPILED_ONCE(void atomic_file::commit(bool durable));

template <class> void atomic_file::check(int number) {
  if (number == 0) return;
  abandon();
  throw error{call_, "writing failed after " + std::to_string(written_) + " bytes: " + detail::system_words(number),
              "What was there before is untouched; free some space, or choose another folder"};
}
PLEAT_COMPILED_ONCE(void atomic_file::check(int number));

/// Whether files can be written into a folder, which is made where there is none: what takes hours to be written should
/// hear of it before. \throws error that names the folder and the reason
PLEAT_ONCE void demand_writable_folder(std::string const& folder) {
  auto const call = detail::call_on("demand_writable_folder", folder);
  if (detail::exists(folder) && !detail::is_folder(folder))
    throw error{call, "this is no folder", "Name a folder, or one that is to be made"};
  detail::make_folders(folder, call);
  atomic_file const probe(detail::join(folder, ".pleat-probe"));  // never committed: it goes
}

/// Whether a file of this name can be written later: as demand_writable_folder. What is there stays as it is.
/// \throws error that names the file, or the folder that is missing, and the reason
PLEAT_ONCE void demand_writable_file(std::string const& path) {
  auto const file = detail::behind_links(path);
  if (!detail::is_device(file)) {
    atomic_file const probe(file);                 // never committed: it goes
  } else if (::access(file.c_str(), W_OK) != 0) {  // a pipe that is opened would wait for its reader
    throw error{detail::call_on("write", path), "cannot write to it: " + detail::system_words(errno),
                "Choose another name, or get the right to write to this one"};
  }
}
PLEAT_COMPILED_ONCE(void demand_writable_file(std::string const& path));

/// Writes a whole file by way of atomic_file.
PLEAT_LAZY inline void write_file(std::string const& path, std::span<std::byte const> bytes) {
  atomic_file file(path);
  file.write(bytes);
  file.commit();
}
/// Writes a text by way of atomic_file.
PLEAT_LAZY inline void write_file(std::string const& path, std::string_view text) {
  write_file(path, std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace pleat::io
