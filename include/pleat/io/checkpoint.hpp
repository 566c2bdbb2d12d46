// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Checkpoints: named values and named tensors that survive kill -9, a full disk and a damaged file. Knows nothing of
/// models. Needs no Kokkos.
///
/// - `DIR/latest`: the kept checkpoints, newest first; replaced atomically, and that is the moment of change
/// - `DIR/step-1200/GROUP.safetensors`: the tensors
/// - `DIR/step-1200/manifest`: step, state, size and checksum of every file; ends with its own checksum
/// - `DIR/step-1200.tmp/`: being written, or left behind by a process that was killed
///
/// One process writes into a folder at a time (rank 0); any number may read.
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

#include <pleat/base/config.hpp>
#include <pleat/io/checksum.hpp>
#include <pleat/io/detail/json.hpp>
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
  [[nodiscard]] std::string const& value(std::string const& key) const {
    if (auto const it = state.find(key); it != state.end()) return it->second;
    throw error{detail::call_on("checkpoint", path), "there is no state '" + key + "' in it",
                "It was written by another version or another program"};
  }
  /// \throws error that names the checkpoint and the group
  [[nodiscard]] safetensors_file const& group(std::string const& name) const {
    if (auto const it = tensors.find(name); it != tensors.end()) return it->second;
    throw error{detail::call_on("checkpoint", path), "there is no group of tensors '" + name + "' in it",
                "It was written by another version or another program"};
  }
};

namespace detail {

/// Letters, digits, '-' and '_': a name that can be a file and cannot be a path.
[[nodiscard]] inline bool is_plain_name(std::string_view s) noexcept {
  for (char const c : s)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
      return false;
  return !s.empty() && s.size() <= 100;
}

/// "step-1200", or "step-1200-2" for a second one of that step: (step, number), or (−1, −1) for any other name.
[[nodiscard]] PLEAT_ONCE std::pair<index_t, index_t> step_of_folder(std::string_view name) noexcept {
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

/// Writes one file of a folder that nobody looks at yet, flushed. \returns its line for the manifest
template <class Stream>
std::string write_part(std::string const& folder, std::string const& name, Stream&& stream, std::string const& call) {
  auto const path = join(folder, name);
  descriptor file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (!file.is_open()) throw error{call, "cannot make the file '" + path + "': " + system_words(errno)};
  checksum sum;
  std::uint64_t size = 0;
  auto const check = [&](int number) {
    if (number)
      throw error{call,
                  "writing '" + path + "' failed after " + std::to_string(size) + " bytes: " + system_words(number),
                  "The checkpoints that were there are untouched; free some space, or choose another folder"};
  };
  stream([&](std::span<std::byte const> piece) {
    sum.add(piece);
    check(write_all(file.get(), piece, size));
  });
  check(sync(file.get()));
  check(file.close());
  return "file " + name + " " + std::to_string(size) + " " + checksum::hex(sum.value()) + "\n";
}

/// What a manifest says.
struct checkpoint_manifest {
  /// One file of the checkpoint.
  struct part {
    std::string name;  ///< "parameters.safetensors"
    std::uint64_t size = 0;
    std::string sum;
  };
  index_t step = 0;
  std::map<std::string, std::string> state;
  std::vector<part> parts;
};

/// What every part's name ends with.
inline constexpr std::string_view part_suffix = ".safetensors";

/// Reads and verifies the manifest of one checkpoint. \throws error that names the file, the byte, expected and found
[[nodiscard]] PLEAT_ONCE checkpoint_manifest read_manifest(std::string const& folder) {
  auto const path = join(folder, "manifest");
  auto const call = call_on("load_checkpoint", path);
  auto const bytes = read_file(path, 1u << 30);
  std::string_view const text(reinterpret_cast<char const*>(bytes.data()), bytes.size());

  constexpr std::string_view first = "pleat checkpoint 1\n", last = "end ";
  if (!text.starts_with("pleat checkpoint ")) throw error{call, "at byte 0: this is no manifest of a checkpoint"};
  constexpr std::size_t tail = last.size() + 17;  // "end <16 digits>\n"
  if (text.size() < first.size() + tail || text.substr(text.size() - tail, last.size()) != last || text.back() != '\n')
    throw error{call,
                "the manifest ends at byte " + std::to_string(text.size()) + " without its checksum: it is truncated"};
  auto const body = text.substr(0, text.size() - tail);
  auto const expected = text.substr(body.size() + last.size(), 16);
  if (auto const sum = checksum::hex(checksum_of(std::as_bytes(std::span(body.data(), body.size())))); sum != expected)
    throw error{call, "the checksum at byte " + std::to_string(body.size() + last.size()) + " is " +
                          std::string(expected) + ", the text gives " + sum + ": it is damaged"};
  if (!text.starts_with(first))
    throw error{call, "at byte 17: version " + std::string(text.substr(17, text.find('\n') - 17)) +
                          ", this pleat reads version 1"};

  // The text is as it was written; what follows finds mistakes of a program, not of a disk.
  checkpoint_manifest m;
  bool has_step = false;
  for (std::size_t at = first.size(); at < body.size();) {
    auto const line = body.substr(at, body.find('\n', at) - at);
    auto const kind = line.substr(0, line.find(' '));
    auto const rest = line.substr(std::min(line.size(), kind.size() + 1));
    json_scanner scan(rest, at + line.size() - rest.size(), call);
    if (kind == "step") {
      m.step = scan.natural("the step");
      has_step = true;
    } else if (kind == "state") {
      if (first_not_utf8(rest) != std::string_view::npos) scan.fail("a state that is no UTF-8");
      auto key = scan.string("a key");
      auto value = scan.string("a value");
      if (!m.state.emplace(std::move(key), std::move(value)).second) scan.fail("a state appears twice");
    } else if (kind == "file") {
      auto const name = rest.substr(0, rest.find(' '));
      if (!name.ends_with(part_suffix) || !is_plain_name(name.substr(0, name.size() - part_suffix.size())))
        scan.fail("a file name that pleat does not write");
      json_scanner size(rest.substr(name.size()), at + line.size() - rest.size() + name.size(), call);
      m.parts.push_back({std::string(name), static_cast<std::uint64_t>(size.natural("a size")),
                         std::string(rest.substr(rest.rfind(' ') + 1))});
    } else {
      scan.fail("a line of an unknown kind");
    }
    at += line.size() + 1;
  }
  if (!has_step) throw error{call, "there is no line 'step'"};
  return m;
}

/// One checkpoint folder, everything verified. \throws error that names the file, the byte, expected and found
[[nodiscard]] PLEAT_ONCE checkpoint load_step(std::string const& folder) {
  auto m = read_manifest(folder);
  checkpoint c;
  c.step = m.step;
  c.path = folder;
  c.state = std::move(m.state);
  for (auto const& part : m.parts) {
    auto const path = join(folder, part.name);
    auto const call = call_on("load_checkpoint", path);
    auto content = read_file(path, part.size);
    if (content.size() != part.size)
      throw error{call, "the file ends at byte " + std::to_string(content.size()) + ", the manifest says " +
                            std::to_string(part.size) + ": it is truncated"};
    if (auto const sum = checksum::hex(checksum_of(content)); sum != part.sum)
      throw error{call, "the checksum of bytes 0 to " + std::to_string(part.size) + " is " + sum +
                            ", the manifest says " + part.sum + ": it is damaged"};
    if (!c.tensors
             .emplace(part.name.substr(0, part.name.size() - part_suffix.size()),
                      safetensors_file(std::move(content), call))
             .second)
      throw error{call, "the manifest names the file twice"};
  }
  return c;
}

/// Whether manifest and sizes are right: what can be known without reading everything.
[[nodiscard]] PLEAT_ONCE bool looks_whole(std::string const& folder) {
  try {
    for (auto const& part : read_manifest(folder).parts)
      if (open_to_read(join(folder, part.name), "").second != part.size) return false;
    return true;
  } catch (error const&) {
    return false;
  }
}

/// Every finished checkpoint of a folder, the highest step first.
[[nodiscard]] PLEAT_ONCE std::vector<std::string> finished_checkpoints(std::string const& folder) {
  std::vector<std::pair<std::pair<index_t, index_t>, std::string>> found;
  for (auto const& name : names_in(folder))
    if (auto const step = step_of_folder(name); step.first >= 0) found.emplace_back(step, name);
  std::sort(found.begin(), found.end());
  std::vector<std::string> list;
  for (std::size_t i = found.size(); i-- > 0;) list.push_back(std::move(found[i].second));
  return list;
}

/// What `latest` lists, newest first; then, as a last resort, every other finished checkpoint.
[[nodiscard]] PLEAT_ONCE std::vector<std::string> listed_checkpoints(std::string const& folder) {
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

}  // namespace detail

/// Whether a folder holds anything that load_checkpoint could try.
[[nodiscard]] inline bool has_checkpoint(std::string const& folder) {
  return !detail::listed_checkpoints(folder).empty();
}

/// Saves, then removes what is older than the newest `keep`. When this returns, the checkpoint survives a power cut;
/// until then the one before is what load_checkpoint finds. \returns the folder that was written \throws error that
/// names file and offset (a full disk); nothing that was saved before is touched then
PLEAT_ONCE std::string save_checkpoint(std::string const& folder, index_t step, checkpoint_view const& what, int keep = 2) {
  auto const call = detail::call_on("save_checkpoint", folder);
  if (step < 0 || keep < 1)
    throw error{
        call, "step " + std::to_string(step) + ", keep " + std::to_string(keep) + ": expected step >= 0 and keep >= 1"};
  detail::make_folders(folder, call);

  auto const before = detail::listed_checkpoints(folder);
  std::string name = "step-" + std::to_string(step);
  for (int again = 1; detail::exists(detail::join(folder, name)); ++again)
    name = "step-" + std::to_string(step) + "-" + std::to_string(again);
  auto const path = detail::join(folder, name), temporary = path + ".tmp";
  detail::remove_flat_folder(temporary);
  if (::mkdir(temporary.c_str(), 0777) != 0)
    throw error{call, "cannot make the folder '" + temporary + "': " + detail::system_words(errno)};

  auto const durable = [&](int number, std::string const& of) {
    if (number) throw error{call, "flushing '" + of + "' failed: " + detail::system_words(number)};
  };
  try {
    std::string manifest = "pleat checkpoint 1\nstep " + std::to_string(step) + "\n";
    for (auto const& [group, tensors] : what.tensors) {
      if (!detail::is_plain_name(group))
        throw error{call, "the group '" + group + "' needs a name of letters, digits, '-' and '_'"};
      safetensors_writer writer;
      for (auto const& t : tensors) writer.add(t);
      manifest += detail::write_part(
          temporary, group + ".safetensors", [&](auto&& sink) { writer.stream(sink); }, call);
    }
    for (auto const& [key, value] : what.state) {
      if (detail::first_not_utf8(key) != std::string::npos || detail::first_not_utf8(value) != std::string::npos)
        throw error{call, "a state is no UTF-8"};
      manifest += "state ";
      detail::append_json_string(manifest, key);
      manifest += ' ';
      detail::append_json_string(manifest, value);
      manifest += '\n';
    }
    manifest += "end " + checksum::hex(checksum_of(std::as_bytes(std::span(manifest.data(), manifest.size())))) + "\n";
    (void)detail::write_part(
        temporary, "manifest", [&](auto&& sink) { sink(std::as_bytes(std::span(manifest.data(), manifest.size()))); },
        call);
    durable(detail::sync_folder(temporary), temporary);
    if (::rename(temporary.c_str(), path.c_str()) != 0)
      throw error{call, "cannot rename '" + temporary + "' to '" + name + "': " + detail::system_words(errno)};
  } catch (...) {
    detail::remove_flat_folder(temporary);
    throw;
  }

  std::vector<std::string> kept = {name};
  std::string list = name + "\n";
  try {
    durable(detail::sync_folder(folder), folder);
    for (auto const& old : before) {
      if (static_cast<int>(kept.size()) == keep) break;
      if (!detail::looks_whole(detail::join(folder, old))) continue;  // a damaged one is no safety net
      kept.push_back(old);
      list += old + "\n";
    }
    write_file(detail::join(folder, "latest"), list);
  } catch (...) {
    if (auto const now = detail::listed_checkpoints(folder); now.empty() || now.front() != name)
      detail::remove_flat_folder(path);
    throw;
  }
  for (auto const& other : detail::names_in(folder)) {
    bool const unfinished = other.ends_with(".tmp") &&
                            detail::step_of_folder(std::string_view(other).substr(0, other.size() - 4)).first >= 0;
    bool const finished = detail::step_of_folder(other).first >= 0;
    bool const listed = std::find(kept.begin(), kept.end(), other) != kept.end();
    if (unfinished || (finished && !listed)) detail::remove_flat_folder(detail::join(folder, other));
  }
  return path;
}

/// The newest checkpoint that is whole. A damaged one is passed over for the one before, and `notice` says so.
/// \throws error if there is no folder, no checkpoint, or none that is whole (with the first reason)
[[nodiscard]] PLEAT_ONCE checkpoint load_checkpoint(std::string const& folder) {
  auto const call = detail::call_on("load_checkpoint", folder);
  if (!detail::is_folder(folder))
    throw error{call, "there is no such folder", "Name the folder that training saved to, or start without resuming"};
  auto const list = detail::listed_checkpoints(folder);
  if (list.empty())
    throw error{call, "there is no checkpoint in this folder",
                "Name the folder that training saved to, or start without resuming"};
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
              "Start without resuming"};
}

}  // namespace pleat::io
