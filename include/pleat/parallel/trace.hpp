// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A trace of all ranks as one file for Chrome or Perfetto.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <pleat/comm/attempt.hpp>
#include <pleat/io/trace.hpp>
#include <pleat/parallel/model.hpp>

namespace pleat::parallel {

/// The spans of one rank as text: process `rank`. The work is thread 1, and its spans nest. What travels beside it
/// overlaps with itself: each lane is as many threads as are needed, so that spans of one thread do not overlap.
/// \param shift nanoseconds that bring this rank's clock to rank 0's
[[nodiscard]] inline io::trace_text text_of(step_trace const& trace, int rank, std::string const& name,
                                            std::int64_t shift = 0) {
  constexpr std::array<char const*, 4> lanes{"work", "gradients", "parameters", "messages"};
  constexpr int threads_of_lane = 1000;
  io::trace_text text;
  text.name_process(rank, name);
  auto spans = trace.spans();
  std::stable_sort(spans.begin(), spans.end(), [](span_of_time const& a, span_of_time const& b) {
    return a.begin < b.begin || (a.begin == b.begin && a.end > b.end);
  });
  for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
    std::vector<std::int64_t> free_from;  // of each thread
    for (auto const& s : spans) {
      if (static_cast<std::size_t>(s.lane) != lane) continue;
      std::size_t thread = 0;
      if (s.lane != trace_lane::work)
        while (thread < free_from.size() && free_from[thread] > s.begin) ++thread;
      int const id = 1 + static_cast<int>(lane) * threads_of_lane + static_cast<int>(thread);
      if (thread >= free_from.size()) {
        free_from.push_back(0);
        text.name_thread({rank, id},
                         thread == 0 ? lanes[lane] : std::string(lanes[lane]) + " " + std::to_string(thread + 1));
      }
      free_from[thread] = s.end;
      std::string what = s.what, note;
      if (s.micro_batch >= 0)
        what += " " + std::to_string(s.micro_batch), note = "micro-batch " + std::to_string(s.micro_batch);
      if (s.bucket >= 0) what += " " + std::to_string(s.bucket), note = "bucket " + std::to_string(s.bucket);
      if (s.stage >= 0) note = "stage " + std::to_string(s.stage) + ", " + note;
      text.add({rank, id}, what, s.category, s.begin + shift, s.end + shift, note);
    }
  }
  return text;
}

/// Writes what the ranks have recorded since `model.trace().start()`; rank 0 writes. A rank is a process; its threads
/// are what it did ("work": compute, input, communication, waiting) and what travelled meanwhile (gradients,
/// parameters, messages). Clocks are aligned at a barrier in this call, to within its duration. Collective over the
/// mesh.
/// \throws error on every rank alike if the file cannot be written
template <class Net> void write_trace(model<Net> const& m, std::string const& path) {
  auto& ranks = m.all_ranks();
  ranks.barrier();
  std::int64_t const now = m.trace().now(), shift = ranks.broadcast_value(now, 0) - now;
  int const rank = ranks.rank();
  auto const text =
      text_of(m.trace(), rank,
              "rank " + std::to_string(rank) + " (pipeline " + std::to_string(m.pipeline().rank()) + ", data " +
                  std::to_string(m.ranks().rank()) + ", tensor " + std::to_string(m.parts().rank()) + ")",
              shift)
          .events();
  index_t const length = static_cast<index_t>(text.size());
  std::vector<index_t> lengths(static_cast<std::size_t>(ranks.size()));
  ranks.all_gather(std::span<index_t const>(&length, 1), std::span<index_t>(lengths));
  constexpr int tag = comm::tags::traces;
  io::trace_text all;
  if (rank != 0) ranks.send(std::span<char const>(text), 0, tag);
  else all.join(text);
  for (int r = 1; rank == 0 && r < ranks.size(); ++r) {
    std::string other(static_cast<std::size_t>(lengths[static_cast<std::size_t>(r)]), '\0');
    ranks.receive(std::span<char>(other), r, tag);
    all.join(other);
  }
  comm::on_root(ranks, [&] { io::write_trace(path, all); });
}

}  // namespace pleat::parallel
