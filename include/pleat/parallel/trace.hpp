// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A trace of all ranks as one file for Chrome or Perfetto.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <pleat/io/trace.hpp>
#include <pleat/parallel/model.hpp>

namespace pleat::parallel {

/// Writes what the ranks have recorded since `model.trace().start()`; rank 0 writes. A row per rank: compute, send, receive (waiting),
/// exchange (of gradients), input. Clocks are aligned at a barrier in this call, to within its duration. Collective over the mesh.
/// \throws error on rank 0 if the file cannot be written
template <class Net> void write_trace(model<Net> const& m, std::string const& path) {
  auto& ranks = m.all_ranks();
  ranks.barrier();
  std::int64_t now = m.trace().now();
  std::int64_t const shift = ranks.broadcast_value(now, 0) - now;
  io::trace_text mine;
  int const row = ranks.rank();
  mine.name_row(row, "rank " + std::to_string(row) + " (pipeline " + std::to_string(m.pipeline().rank()) + ", data " + std::to_string(m.ranks().rank()) + ")");
  for (auto const& s : m.trace().spans()) {
    std::string note;
    if (s.stage >= 0) note = "stage " + std::to_string(s.stage) + ", micro-batch " + std::to_string(s.micro_batch);
    mine.add(row, s.micro_batch >= 0 ? std::string(s.what) + " " + std::to_string(s.micro_batch) : std::string(s.what), s.category, s.begin + shift, s.end + shift, note);
  }
  auto const& text = mine.events();
  index_t const length = static_cast<index_t>(text.size());
  std::vector<index_t> lengths(static_cast<std::size_t>(ranks.size()));
  ranks.all_gather(std::span<index_t const>(&length, 1), std::span<index_t>(lengths));
  constexpr int tag = comm::user_tags - 3;
  if (row != 0) {
    ranks.send(std::span<char const>(text), 0, tag);
    return;
  }
  io::trace_text all;
  all.join(text);
  for (int r = 1; r < ranks.size(); ++r) {
    std::string other(static_cast<std::size_t>(lengths[static_cast<std::size_t>(r)]), '\0');
    ranks.receive(std::span<char>(other), r, tag);
    all.join(other);
  }
  io::write_trace(path, all);
}

}  // namespace pleat::parallel
