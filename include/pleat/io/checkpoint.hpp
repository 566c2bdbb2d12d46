// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Checkpoints: named values and named tensors that survive kill -9, a full disk and a damaged file. Knows nothing of
/// models. Needs no Kokkos.
///
/// - `DIR/latest`: the kept checkpoints, newest first; replaced atomically, and that is the moment of change
/// - `DIR/step-1200/GROUP.safetensors`: the tensors
/// - `DIR/step-1200/manifest`: step, state, size and checksums of every file; ends with its own checksum
/// - `DIR/step-1200.tmp/`: being written, or left behind by a process that was killed
///
/// One job writes into a folder at a time: one process (save_checkpoint), or many together (io/checkpoint_job.hpp), and
/// the bytes do not tell which; io/folder_claim.hpp keeps others out. Any number may read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/io/array_sum.hpp>
#include <pleat/io/checkpoint_manifest.hpp>
#include <pleat/io/checksum.hpp>
#include <pleat/io/file.hpp>
#include <pleat/io/safetensors.hpp>

namespace pleat::io {

/// What is to be saved; the tensors' bytes stay where they are until save() returns.
struct checkpoint_view {
  /// Text for resuming: seeds and counters, epoch and batch, loss scale, plan, lane count. Names and values are
  /// UTF-8.
  std::map<std::string, std::string> state;
  /// One safetensors file per group: {"parameters", …}, {"optimizer", …}. Groups are named with letters, digits, '-'
  /// and '_'.
  std::map<std::string, std::vector<tensor_view>> tensors;
};

/// What was loaded: every size and checksum was verified.
struct checkpoint {
  index_t step = 0;                                 ///< as given to save_checkpoint
  std::string path;                                 ///< the folder that it came from
  std::map<std::string, std::string> state;         ///< see checkpoint_view
  std::map<std::string, safetensors_file> tensors;  ///< by group
  /// Empty, or one sentence to be said on rank 0: the newest checkpoint was damaged, and which one was taken instead.
  std::string notice;

  /// \throws error that names the checkpoint and the key
  PLEAT_ONCE [[nodiscard]] std::string const& value(std::string const& key) const {
    if (auto const it = state.find(key); it != state.end()) return it->second;
    throw error{detail::call_on("checkpoint", path), "there is no state '" + key + "' in it",
                "It was written by another version or another program"};
  }
  /// \throws error that names the checkpoint and the group
  PLEAT_ONCE [[nodiscard]] safetensors_file const& group(std::string const& name) const {
    if (auto const it = tensors.find(name); it != tensors.end()) return it->second;
    throw error{detail::call_on("checkpoint", path), "there is no group of tensors '" + name + "' in it",
                "It was written by another version or another program"};
  }
};

namespace detail {

/// "step-1200", or "step-1200-2" for a second one of that step: (step, number), or (−1, −1) for any other name.
PLEAT_ONCE [[nodiscard]] std::pair<index_t, index_t> step_of_folder(std::string_view name) noexcept {
  constexpr std::string_view prefix = "step-";
  constexpr std::pair<index_t, index_t> none{-1, -1};
  if (!name.starts_with(prefix)) return none;
  name.remove_prefix(prefix.size());
  index_t number[2] = {0, 0};
  for (int part = 0; part < 2; ++part) {
    std::size_t n = 0;
    for (; n < name.size() && name[n] >= '0' && name[n] <= '9'; ++n) {
      if (n == 18) return none;
      number[part] = number[part] * 10 + (name[n] - '0');
    }
    if (n == 0) return none;
    name.remove_prefix(n);
    if (name.empty()) return {number[0], number[1]};
    if (part == 1 || name[0] != '-') return none;
    name.remove_prefix(1);
  }
  return none;
}

/// Writes one file of a folder that nobody looks at yet, flushed. \returns its size
template <class Stream>
std::uint64_t write_part(std::string const& folder, std::string const& name, Stream&& stream, std::string const& call) {
  auto const path = join(folder, name);
  descriptor file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (!file.is_open())
    throw error{call, "cannot make the file '" + path + "': " + system_words(errno),
                "Check that the folder may be written, or choose another one"};
  std::uint64_t size = 0;
  auto const check = [&](int number) {
    if (number) throw write_failure(call, path, size, number);
  };
  stream([&](std::span<std::byte const> piece) { check(write_all(file.get(), piece, size)); });
  check(sync(file.get()));
  check(file.close());
  return size;
}

PLEAT_ONCE [[noreturn]] void sums_differ(std::string const& call, std::string const& what, std::uint64_t begin,
                                         std::uint64_t end, std::string const& found, std::string const& expected) {
  throw error{call,
              "the checksum of " + what + ", bytes " + std::to_string(begin) + " to " + std::to_string(end) + ", is " +
                  found + ", the manifest says " + expected + ": it is damaged",
              damaged_part};
}

/// Compares a file's header with what the manifest says. \throws error that names the bytes, expected and found
PLEAT_ONCE void verify_header(checkpoint_manifest::part const& part, safetensors_file const& file,
                              std::string const& call) {
  auto const header = file.header();
  if (auto const sum = checksum::hex(checksum_of(header)); sum != part.sum)
    sums_differ(call, "the header", 0, header.size(), sum, part.sum);
  if (part.sums.size() != file.entries().size())
    throw error{call,
                "the file has " + std::to_string(file.entries().size()) + " arrays, the manifest has checksums of " +
                    std::to_string(part.sums.size()) + ": it is damaged",
                damaged_part};
}

/// Compares the checksums of its arrays. \throws error as above
PLEAT_ONCE void verify_sums(checkpoint_manifest::part const& part, safetensors_file const& file,
                            std::span<std::uint64_t const> found, std::string const& call) {
  for (std::size_t i = 0; i < part.sums.size(); ++i) {
    auto const& e = file.entries()[i];
    auto const data = file.header().size();
    if (found[i] != part.sums[i])
      sums_differ(call, "'" + e.name + "'", data + e.begin, data + e.end, checksum::hex(found[i]),
                  checksum::hex(part.sums[i]));
  }
}
PLEAT_COMPILED_ONCE(void verify_sums(checkpoint_manifest::part const& part, safetensors_file const& file,
                                     std::span<std::uint64_t const> found, std::string const& call));

/// Where a file of a checkpoint is. \throws error unless it is as long as the manifest says
PLEAT_ONCE [[nodiscard]] std::string path_of_part(std::string const& folder, checkpoint_manifest::part const& part) {
  auto const path = join(folder, part.name);
  auto const call = call_on("load_checkpoint", path);
  if (auto const size = open_to_read(path, call).second; size != part.size)
    throw error{call,
                "the file ends at byte " + std::to_string(size) + ", the manifest says " + std::to_string(part.size) +
                    ": it is " + (size < part.size ? "truncated" : "damaged"),
                damaged_part};
  return path;
}

/// One checkpoint folder, everything verified. \throws error that names the file, the byte, expected and found
PLEAT_ONCE [[nodiscard]] checkpoint load_step(std::string const& folder) {
  auto m = read_manifest(folder);
  checkpoint c;
  c.step = m.step;
  c.path = folder;
  c.state = std::move(m.state);
  for (auto const& part : m.parts) {
    auto const path = path_of_part(folder, part);
    auto const call = call_on("load_checkpoint", path);
    auto content = read_file(path, part.size);
    if (content.size() != part.size)
      throw error{call, "the file changed while it was read", "Let no other run write to this folder, and load again"};
    if (m.version == 1)
      if (auto const sum = checksum::hex(checksum_of(as_span(content))); sum != part.sum)
        throw error{call,
                    "the checksum of bytes 0 to " + std::to_string(part.size) + " is " + sum + ", the manifest says " +
                        part.sum + ": it is damaged",
                    damaged_part};
    safetensors_file file(std::move(content), call);
    if (m.version > 1) {
      verify_header(part, file, call);
      std::vector<std::uint64_t> sums;
      for (auto const& e : file.entries()) sums.push_back(array_sum(file.bytes(e), size_of(e.type)));
      verify_sums(part, file, as_span(sums), call);
    }
    if (!c.tensors.emplace(part.group(), std::move(file)).second)
      throw error{call, "the manifest names the file twice", damaged_part};
  }
  return c;
}

/// Whether manifest and sizes are right: what can be known without reading everything.
PLEAT_ONCE [[nodiscard]] bool looks_whole(std::string const& folder) {
  try {
    for (auto const& part : read_manifest(folder).parts)
      if (open_to_read(join(folder, part.name), "").second != part.size) return false;
    return true;
  } catch (error const&) {
    return false;
  }
}

/// Every finished checkpoint of a folder, the highest step first.
PLEAT_ONCE [[nodiscard]] std::vector<std::string> finished_checkpoints(std::string const& folder) {
  std::vector<std::pair<std::pair<index_t, index_t>, std::string>> found;
  for (auto const& name : names_in(folder))
    if (auto const step = step_of_folder(name); step.first >= 0) found.emplace_back(step, name);
  std::sort(found.begin(), found.end());
  std::vector<std::string> list;
  for (std::size_t i = found.size(); i-- > 0;) list.push_back(std::move(found[i].second));
  return list;
}

/// What `latest` lists, newest first; then, as a last resort, every other finished checkpoint.
PLEAT_ONCE [[nodiscard]] std::vector<std::string> listed_checkpoints(std::string const& folder) {
  std::vector<std::string> list;
  try {
    auto const bytes = read_file(join(folder, "latest"), 64 * 1024);
    std::string_view text(reinterpret_cast<char const*>(bytes.data()), bytes.size());
    while (!text.empty()) {
      auto const line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      if (step_of_folder(line).first >= 0) list.emplace_back(line);
    }
  } catch (error const&) {  // no such file, or no file: the names in the folder remain
  }
  for (auto& name : finished_checkpoints(folder))
    if (std::find(list.begin(), list.end(), name) == list.end()) list.push_back(std::move(name));
  return list;
}
PLEAT_COMPILED_ONCE(std::vector<std::string> listed_checkpoints(std::string const& folder));

}  // namespace detail

/// Whether a folder holds anything that load_checkpoint could try.
PLEAT_ONCE [[nodiscard]] bool has_checkpoint(std::string const& folder) {
  return !detail::listed_checkpoints(folder).empty();
}

/// Makes a folder for checkpoints, where there is none. \param resume whether the training goes on from those that it
/// holds: one that begins anew would remove them by and by
/// \throws error if nothing can be written there, the folder is a checkpoint itself, or holds any and does not resume
PLEAT_ONCE void demand_checkpoint_folder(std::string const& folder, bool resume) {
  demand_writable_folder(folder);
  auto const call = detail::call_on("demand_checkpoint_folder", folder);
  if (detail::exists(detail::join(folder, "manifest")))
    throw error{call, "the folder is a checkpoint itself", "Name the folder that it lies in"};
  if (resume) return;
  auto const listed = detail::finished_checkpoints(folder);
  if (!listed.empty())
    throw error{call,
                "the folder holds checkpoints of another training, the newest " + listed.front() +
                    ", which those of a new one would replace",
                "Go on from it (resume), name another folder, or remove this one"};
}
PLEAT_COMPILED_ONCE(void demand_checkpoint_folder(std::string const& folder, bool resume));

namespace detail {

/// A checkpoint that is being written: a folder that nobody looks at, until commit renames it.
struct unfinished_checkpoint {
  std::string call, folder, name, path, temporary;
  std::vector<std::string> before;  ///< what was listed when it began

  PLEAT_ONCE [[noreturn]] void fail(std::string const& what, int number) const {
    throw error{call, what + ": " + system_words(number),
                "Check that the folder may be written and its disk has room, or choose another folder"};
  }
  PLEAT_ONCE void durable(int number, std::string const& of) const {
    if (number) fail("flushing '" + of + "' failed", number);
  }
  /// Nothing of it remains.
  PLEAT_LAZY void abandon() const noexcept {
    try {
      remove_flat_folder(temporary);
    } catch (...) {  // no memory: the next save removes it
    }
  }
};

/// Makes the folder that is written into. \throws error
PLEAT_ONCE [[nodiscard]] unfinished_checkpoint begin_checkpoint(std::string const& folder, index_t step, int keep) {
  unfinished_checkpoint u{call_on("save_checkpoint", folder), folder, "step-" + std::to_string(step), {}, {}, {}};
  if (step < 0 || keep < 1)
    throw error{
        u.call,
        "step " + std::to_string(step) + ", keep " + std::to_string(keep) + ": expected step >= 0 and keep >= 1",
        "Count steps from 0, and keep one checkpoint at least"};
  make_folders(folder, u.call);
  u.before = listed_checkpoints(folder);
  for (int again = 1; exists(join(folder, u.name)); ++again)
    u.name = "step-" + std::to_string(step) + "-" + std::to_string(again);
  u.path = join(folder, u.name);
  u.temporary = u.path + ".tmp";
  remove_flat_folder(u.temporary);
  if (::mkdir(u.temporary.c_str(), 0777) != 0) u.fail("cannot make the folder '" + u.temporary + "'", errno);
  return u;
}

/// Writes the manifest, gives the folder its name, lists it, and removes what is older than the newest `keep`. \throws
/// error; what was saved before is untouched then, and nothing of this one remains
PLEAT_ONCE void commit_checkpoint(unfinished_checkpoint const& u, checkpoint_manifest const& manifest, int keep) {
  try {
    auto const text = manifest.to_string(u.call);
    write_part(
        u.temporary, "manifest", [&](auto&& sink) { sink(std::as_bytes(std::span(text.data(), text.size()))); },
        u.call);
    u.durable(sync_folder(u.temporary), u.temporary);
    if (::rename(u.temporary.c_str(), u.path.c_str()) != 0)
      u.fail("cannot rename '" + u.temporary + "' to '" + u.name + "'", errno);
  } catch (...) {
    u.abandon();
    throw;
  }

  auto const& folder = u.folder;
  std::vector<std::string> kept = {u.name};
  std::string list = u.name + "\n";
  try {
    u.durable(sync_folder(folder), folder);
    for (auto const& old : u.before) {
      if (static_cast<int>(kept.size()) == keep) break;
      if (!looks_whole(join(folder, old))) continue;  // a damaged one is no safety net
      kept.push_back(old);
      list += old + "\n";
    }
    write_file(join(folder, "latest"), std::string_view(list));
  } catch (...) {
    if (auto const now = listed_checkpoints(folder); now.empty() || now.front() != u.name) remove_flat_folder(u.path);
    throw;
  }
  for (auto const& other : names_in(folder)) {
    bool const unfinished =
        other.ends_with(".tmp") && step_of_folder(std::string_view(other).substr(0, other.size() - 4)).first >= 0;
    bool const finished = step_of_folder(other).first >= 0;
    bool const listed = std::find(kept.begin(), kept.end(), other) != kept.end();
    if (unfinished || (finished && !listed)) remove_flat_folder(join(folder, other));
  }
}

}  // namespace detail

/// Saves, then removes what is older than the newest `keep`. When this returns, the checkpoint survives a power cut;
/// until then the one before is what load_checkpoint finds. \returns the folder that was written \throws error that
/// names file and offset (a full disk); nothing that was saved before is touched then
PLEAT_ONCE std::string save_checkpoint(std::string const& folder, index_t step, checkpoint_view const& what,
                                       int keep = 2) {
  auto const u = detail::begin_checkpoint(folder, step, keep);
  detail::checkpoint_manifest manifest{.step = step, .state = what.state};
  try {
    for (auto const& [group, tensors] : what.tensors) {
      if (!detail::is_plain_name(group))
        throw error{u.call, "the group '" + group + "' needs a name of letters, digits, '-' and '_'",
                    "Name it like 'optimizer-2': it becomes a file's name"};
      safetensors_writer writer;
      for (auto const& t : tensors) writer.add(t);
      auto const header = writer.header();
      detail::checkpoint_manifest::part part{group + std::string(detail::part_suffix)};
      part.sum = checksum::hex(checksum_of(std::as_bytes(std::span(header.data(), header.size()))));
      part.size = detail::write_part(
          u.temporary, part.name, [&](auto&& sink) { writer.stream(sink); }, u.call);
      for (auto const& t : writer.views()) part.sums.push_back(array_sum(t->bytes, size_of(t->type)));
      manifest.parts.push_back(std::move(part));
    }
  } catch (...) {
    u.abandon();
    throw;
  }
  detail::commit_checkpoint(u, manifest, keep);
  return u.path;
}

/// The newest checkpoint that is whole. A damaged one is passed over for the one before, and `notice` says so.
/// \throws error if there is no folder, no checkpoint, or none that is whole (with the first reason)
PLEAT_ONCE [[nodiscard]] checkpoint load_checkpoint(std::string const& folder) {
  auto const call = detail::call_on("load_checkpoint", folder);
  if (!detail::is_folder(folder))
    throw error{call, "there is no such folder",
                "Name the folder that training saved to, or begin anew in another folder"};
  auto const list = detail::listed_checkpoints(folder);
  if (list.empty())
    throw error{call, "there is no checkpoint in this folder",
                "Name the folder that training saved to, or begin anew in another folder"};
  std::string reasons;
  for (auto const& name : list) {
    try {
      checkpoint c = detail::load_step(detail::join(folder, name));
      if (!reasons.empty())
        c.notice = "passed over a damaged checkpoint (" + reasons + "); going on from '" + c.path + "', step " +
                   std::to_string(c.step);
      return c;
    } catch (error const& e) {
      reasons += (reasons.empty() ? "" : "; ") + e.call() + ": " + e.problem();
    }
  }
  throw error{call, "no checkpoint of " + std::to_string(list.size()) + " is whole (" + reasons + ")",
              "Put right what it says, or begin anew in another folder"};
}

}  // namespace pleat::io
