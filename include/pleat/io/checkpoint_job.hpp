// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// One checkpoint by many writers: processes or threads that see the same folder. Each writes the parts that it has
/// where the layout says; writer 0 makes the files and gives the folder its name when all are done. Who tells whom is
/// the caller's business, or, in the background, the folder's: no messages are needed there. Needs no Kokkos.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/base/owned_ptr.hpp>
#include <pleat/io/checkpoint.hpp>
#include <pleat/io/checkpoint_layout.hpp>

namespace pleat::io {

/// What writer 0 keeps of a checkpoint that is being written.
struct checkpoint_commit {
  detail::unfinished_checkpoint begun;
  index_t step = 0;
  int keep = 2;
  std::map<std::string, std::string> state;
};

/// Writer 0, first of all: makes the folder and the files, with their headers and at their lengths. \throws error;
/// nothing remains then
PLEAT_ONCE [[nodiscard]] checkpoint_commit begin_checkpoint(std::string const& folder, index_t step,
                                                            std::map<std::string, std::string> state,
                                                            checkpoint_layout const& layout, int keep = 2) {
  checkpoint_commit c{detail::begin_checkpoint(folder, step, keep), step, keep, std::move(state)};
  try {
    for (auto const& f : layout.files()) {
      if (!detail::is_plain_name(f.group))
        throw error{c.begun.call, "the group '" + f.group + "' needs a name of letters, digits, '-' and '_'",
                    "Name it like 'optimizer-2': it becomes a file's name"};
      auto const path = detail::join(c.begun.temporary, f.group + std::string(detail::part_suffix));
      detail::descriptor file = detail::open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
      if (!file.is_open()) c.begun.fail("cannot make the file '" + path + "'", errno);
      std::uint64_t at = 0;
      if (int const e =
              detail::write_all_at(file.get(), std::as_bytes(std::span(f.header.data(), f.header.size())), at))
        throw detail::write_failure(c.begun.call, path, at, e);
      if (::ftruncate(file.get(), static_cast<off_t>(f.size)) != 0)
        throw detail::write_failure(c.begun.call, path, at, errno);
      if (int const e = file.close()) throw detail::write_failure(c.begun.call, path, at, e);
    }
  } catch (...) {
    c.begun.abandon();
    throw;
  }
  return c;
}

/// Every writer: writes its parts into the folder that writer 0 has made, flushed. \param all opens files that no part
/// goes to as well (one writer must, so that their headers are flushed) \returns what the parts add to the checksums,
/// one number per array
/// \throws error that names file and offset
PLEAT_ONCE [[nodiscard]] std::vector<std::uint64_t> write_parts(std::string const& temporary,
                                                                checkpoint_layout const& layout,
                                                                std::span<array_part const> parts, bool all) {
  auto const call = detail::call_on("save_checkpoint", temporary);
  std::vector<std::uint64_t> sums(layout.arrays().size(), 0);
  for (auto const& f : layout.files()) {
    auto const path = detail::join(temporary, f.group + std::string(detail::part_suffix));
    detail::descriptor file;
    auto const open = [&] {
      if (!file.is_open()) file = detail::open_file(path, O_WRONLY);
      if (!file.is_open())
        throw error{call, "cannot open the file '" + path + "': " + detail::system_words(errno),
                    "All writers must see the same folder"};
    };
    if (all) open();
    for (auto const& p : parts) {
      if (p.array < f.first || p.array >= f.first + f.count || p.range.empty()) continue;
      open();
      auto const& a = layout.arrays()[p.array];
      std::size_t const width = size_of(a.type);
      for_each_run(a.shape, p.box, p.range, [&](index_t global, index_t local, index_t n) {
        std::uint64_t at = a.begin + static_cast<std::uint64_t>(global) * width;
        auto const run = p.bytes.subspan(static_cast<std::size_t>(local - p.range.begin) * width,
                                         static_cast<std::size_t>(n) * width);
        if (int const e = detail::write_all_at(file.get(), run, at)) throw detail::write_failure(call, path, at, e);
      });
      sums[p.array] += sum_of_part(a.shape, width, p.box, p.range, p.bytes);
    }
    if (!file.is_open()) continue;
    if (int const e = detail::sync(file.get())) throw detail::write_failure(call, path, f.size, e);
    if (int const e = file.close()) throw detail::write_failure(call, path, f.size, e);
  }
  return sums;
}

/// Writer 0, when all have written: the moment of change. \param sums of all writers together \throws error; nothing
/// remains then
PLEAT_ONCE void commit_checkpoint(checkpoint_commit const& c, checkpoint_layout const& layout,
                                  std::span<std::uint64_t const> sums) {
  detail::checkpoint_manifest m{.step = c.step, .state = c.state};
  for (auto const& f : layout.files()) {
    auto const list = sums.subspan(f.first, f.count);
    m.parts.push_back({f.group + std::string(detail::part_suffix),
                       f.size,
                       checksum::hex(checksum_of(std::as_bytes(std::span(f.header.data(), f.header.size())))),
                       {list.begin(), list.end()}});
  }
  detail::commit_checkpoint(c.begun, m, c.keep);
}

/// A save that goes on in a thread of its own while training does. One per writer; the bytes were copied before.
/// Writers tell writer 0 that they are done by a small file in the folder, so that no communicator is used from two
/// threads.
class checkpoint_job {
 public:
  /// \param commit of writer 0; empty on the others \param parts point into `bytes`
  PLEAT_ONCE checkpoint_job(std::shared_ptr<checkpoint_layout const> layout, std::string temporary, int writer,
                            int writers, std::vector<array_part> parts, std::vector<std::vector<std::byte>> bytes,
                            std::optional<checkpoint_commit> commit)
      : shared_(make_owned<shared>(std::move(layout), std::move(temporary), writer, writers, std::move(parts),
                                   std::move(bytes), std::move(commit))) {
    thread_ = std::thread([s = shared_.get()] { run(*s); });
  }
  checkpoint_job(checkpoint_job&&) noexcept = default;
  checkpoint_job& operator=(checkpoint_job&&) = delete;
  /// Without wait() nobody knows whether the others are still there: writer 0 gives up what is not complete.
  ~checkpoint_job() {
    if (!thread_.joinable()) return;
    give_up();
    thread_.join();
  }

  /// Writer 0 stops waiting for the others.
  void give_up() noexcept { shared_->given_up = true; }
  /// Until this writer is done; writer 0 is when the checkpoint has its name. \throws error
  PLEAT_ONCE void wait() {
    thread_.join();
    if (shared_->failure) std::rethrow_exception(shared_->failure);
  }
  /// After wait() has thrown: whether writer 0 failed only because it was told not to wait for the others any more.
  [[nodiscard]] bool gave_up() const noexcept { return shared_->gave_up; }
  /// Whether wait() would return at once.
  [[nodiscard]] bool done() const noexcept { return shared_->done; }

 private:
  struct shared {
    std::shared_ptr<checkpoint_layout const> layout;
    std::string temporary;
    int writer, writers;
    std::vector<array_part> parts;
    std::vector<std::vector<std::byte>> bytes;
    std::optional<checkpoint_commit> commit;
    std::exception_ptr failure{};
    std::atomic<bool> given_up{false}, done{false};
    bool gave_up = false;

    PLEAT_ONCE shared(std::shared_ptr<checkpoint_layout const> l, std::string t, int w, int n,
                      std::vector<array_part> p, std::vector<std::vector<std::byte>> b,
                      std::optional<checkpoint_commit> c)
        : layout(std::move(l)),
          temporary(std::move(t)),
          writer(w),
          writers(n),
          parts(std::move(p)),
          bytes(std::move(b)),
          commit(std::move(c)) {}
  };

  PLEAT_ONCE [[nodiscard]] static std::string note(shared const& s, int writer) {
    return detail::join(s.temporary, "done-" + std::to_string(writer));
  }

  PLEAT_ONCE static void run(shared& s) noexcept {
    try {
      auto sums = write_parts(s.temporary, *s.layout, as_span(s.parts), s.writer == 0);
      s.parts.clear();
      s.bytes = {};
      if (s.writer == 0) finish(s, std::move(sums));
      else leave_note(s, sums);
    } catch (...) {
      s.failure = std::current_exception();
      if (s.commit) s.commit->begun.abandon();
    }
    s.done = true;
  }

  PLEAT_ONCE static void leave_note(shared const& s, std::vector<std::uint64_t> sums) {
    sums.push_back(checksum_of(std::as_bytes(std::span<std::uint64_t const>(sums))));
    atomic_file file(note(s, s.writer));
    file.write(std::as_bytes(std::span<std::uint64_t const>(sums)));
    file.commit(false);  // whoever waits for it may rename the folder at once
  }

  PLEAT_ONCE static void finish(shared& s, std::vector<std::uint64_t> sums) {
    auto pause = std::chrono::microseconds(200);
    for (int w = 1; w < s.writers;) {
      bool const last_look = s.given_up;  // asked first: who finished before that is seen
      if (!detail::exists(note(s, w))) {
        s.gave_up = last_look;
        if (s.gave_up)
          throw error{s.commit->begun.call,
                      "writer " + std::to_string(w) + " of " + std::to_string(s.writers) +
                          " did not finish: the checkpoint is given up",
                      "The one before is untouched"};
        std::this_thread::sleep_for(pause);
        pause = std::min(pause * 2, std::chrono::microseconds(20000));
        continue;
      }
      auto const bytes = read_file(note(s, w), (sums.size() + 1) * 8);
      std::vector<std::uint64_t> said(sums.size() + 1, 0);
      if (bytes.size() == said.size() * 8) std::memcpy(said.data(), bytes.data(), bytes.size());
      auto const theirs = std::as_bytes(std::span<std::uint64_t const>(said).first(sums.size()));
      if (bytes.size() != said.size() * 8 || checksum_of(theirs) != said.back())
        throw error{s.commit->begun.call,
                    "what writer " + std::to_string(w) + " left in '" + note(s, w) + "' is damaged",
                    "The checkpoint before is untouched: check the disk of this folder, and save again"};
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += said[i];
      (void)::unlink(note(s, w).c_str());
      ++w;
    }
    commit_checkpoint(*s.commit, *s.layout, as_span(sums));
  }

  owned_ptr<shared> shared_;  // of fixed address: the thread works on it
  std::thread thread_;
};

}  // namespace pleat::io
