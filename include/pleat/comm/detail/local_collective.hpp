// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Operations of the ranks of one process as comm/detail/local_core.hpp keeps them: what a collective asks for, whether
/// the ranks agree, and the copying and adding of one chunk of it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/comm/detail/combine.hpp>
#include <pleat/comm/detail/rank_words.hpp>
#include <pleat/comm/types.hpp>

namespace pleat::comm::detail {

/// How far an operation of ranks of one process is, and why it failed.
struct local_operation {
  enum status : int { open, ready, done, failed };

  struct failure {
    std::string call, problem, remedy;
    bool departure = false;  // of a rank that is needed, which left
  };
};

/// A collective: what each rank asks for, and the work in chunks that whoever polls takes.
struct local_collective : local_operation {
  std::uint64_t number = 0;
  std::vector<call> calls;
  std::vector<char> here;
  int arrived = 0;
  std::atomic<int> released{0}, state{open};
  std::atomic<index_t> finished{0};
  /// The next chunk of each rank's region: what it takes first, for it lies in its memory afterwards.
  struct turn {
    alignas(64) std::atomic<index_t> next{0};
  };
  std::unique_ptr<turn[]> turns;
  index_t chunks = 0, grain = 0, total = 0;
  failure why;

  /// All have arrived: cuts the work into chunks of about 32 KiB. \returns what they do not agree on
  PLEAT_LAZY [[nodiscard]] std::optional<failure> prepare() {
    auto const& c = calls.front();
    for (int r = 1; r < ranks(); ++r)
      if (auto text = disagreement(c, calls[static_cast<std::size_t>(r)], r); !text.empty())
        return failure{std::string(name_of(c.kind)), text, "Every rank must make the same calls in the same order"};
    index_t const n = ranks();
    grain = std::max<index_t>(1, index_t{32768} / static_cast<index_t>(size_of(c.type())));
    switch (c.kind) {
      case call_kind::barrier:
        total = 0;
        break;
      case call_kind::split:
        total = grain = 1;
        break;
      case call_kind::all_to_all_v:
        for (int i = 0; i < ranks(); ++i)
          for (int j = 0; j < ranks(); ++j)
            if (auto const sent = calls[static_cast<std::size_t>(i)].in_parts.count(j),
                expected = calls[static_cast<std::size_t>(j)].out_parts.count(i);
                sent != expected)
              return failure{
                  "all_to_all_v",
                  "rank " + std::to_string(i) + " sends " + std::to_string(sent) + " elements to rank " +
                      std::to_string(j) + ", which expects " + std::to_string(expected),
                  "in_parts.counts of the sender and out_parts.counts of the receiver must mirror each other"};
        [[fallthrough]];
      case call_kind::all_to_all:
        total = n;
        grain = 1;
        break;
      case call_kind::reduce_scatter:
      case call_kind::all_gather:
        total = c.count() * n;
        break;
      default:
        total = c.count();
    }
    chunks = (total + grain - 1) / grain;
    for (int r = 0; r < ranks(); ++r)
      turns[static_cast<std::size_t>(r)].next.store(region(r), std::memory_order_relaxed);
    state.store(chunks == 0 ? done : ready, std::memory_order_release);
    return std::nullopt;
  }

  /// Where rank r's region of the chunks begins.
  [[nodiscard]] index_t region(int r) const noexcept { return chunks * r / ranks(); }
  /// A chunk that nobody has taken, of rank r's region if one is left there, else of the next ranks'; -1: none.
  [[nodiscard]] index_t take(int r) noexcept {
    for (int k = 0; k < ranks(); ++k) {
      int const home = (r + k) % ranks();
      auto& next = turns[static_cast<std::size_t>(home)].next;
      if (next.load(std::memory_order_relaxed) >= region(home + 1)) continue;
      if (index_t const i = next.fetch_add(1, std::memory_order_relaxed); i < region(home + 1)) return i;
    }
    return -1;
  }

  /// The chunk's elements, to whom they belong. A split moves none.
  PLEAT_LAZY void run(index_t chunk) {
    index_t const begin = chunk * grain, end = std::min(total, begin + grain);
    auto const& c = calls.front();
    dtype const t = c.type();
    auto const of = [&](int r) -> call const& { return calls[static_cast<std::size_t>(r)]; };
    switch (c.kind) {
      case call_kind::barrier:
      case call_kind::send:
      case call_kind::receive:
      case call_kind::split:
        break;
      case call_kind::broadcast:
        for (int r = 0; r < ranks(); ++r)
          copy_bytes(at(of(r).out.data, begin, t), at(of(c.root).in.data, begin, t), (end - begin) * bytes_of(t));
        break;
      case call_kind::reduce:
      case call_kind::all_reduce: {
        bool const everywhere = c.kind == call_kind::all_reduce;
        reduce_range(
            begin, end, [&](index_t b) { return at(of(everywhere ? 0 : c.root).out.data, b, t); },
            [&](index_t b, index_t bytes, void const* x) {
              for (int r = 1; r < ranks() && everywhere; ++r) copy_bytes(at(of(r).out.data, b, t), x, bytes);
            });
        break;
      }
      case call_kind::reduce_scatter:
      case call_kind::reduce_scatter_v:
      case call_kind::all_gather:
      case call_kind::all_gather_v: {
        index_t first = 0;  // walk over the blocks that [begin, end) touches
        for (int r = 0; r < ranks() && first < end; ++r) {
          index_t const n = c.kind == call_kind::reduce_scatter ? c.out.count
                            : c.kind == call_kind::all_gather   ? c.in.count
                                                                : c.out_parts.count(r);
          index_t const b = std::max(begin, first), e = std::min(end, first + n);
          if (b < e) scatter_or_gather(r, first, b, e);
          first += n;
        }
        break;
      }
      case call_kind::all_to_all:
      case call_kind::all_to_all_v: {
        bool const even = c.kind == call_kind::all_to_all;
        int const i = static_cast<int>(begin);
        for (int j = 0; j < ranks(); ++j) {
          index_t const n = even ? of(i).in.count / ranks() : of(i).in_parts.count(j);
          index_t const from = even ? n * j : of(i).in_parts.offset(j), to = even ? n * i : of(j).out_parts.offset(i);
          copy_bytes(at(of(j).out.data, to, t), at(of(i).in.data, from, t), n * bytes_of(t));
        }
        break;
      }
    }
  }

 private:
  /// Elements [b, e) of the flat order, all within the block of rank r, which starts at `first`.
  PLEAT_LAZY void scatter_or_gather(int r, index_t first, index_t b, index_t e) {
    auto const& mine = calls[static_cast<std::size_t>(r)];
    dtype const t = mine.type();
    if (mine.reduces()) {
      return reduce_range(
          b, e, [&](index_t element) { return at(mine.out.data, element - first, t); },
          [](index_t, index_t, void const*) {});
    }
    for (auto const& to : calls) {
      index_t const offset = mine.kind == call_kind::all_gather_v ? to.out_parts.offset(r) : first;
      copy_bytes(at(to.out.data, offset + (b - first), t), at(mine.in.data, b - first, t), (e - b) * bytes_of(t));
    }
  }

  template <class Target, class After>
  void reduce_range(index_t begin, index_t end, Target const& target, After const& after) {
    auto const& c = calls.front();
    fold(
        c.type(), c.op, ranks(), begin, end, [&](int r) { return calls[static_cast<std::size_t>(r)].in.data; }, target,
        after);
  }

  [[nodiscard]] int ranks() const noexcept { return static_cast<int>(calls.size()); }
  [[nodiscard]] static index_t bytes_of(dtype t) noexcept { return static_cast<index_t>(size_of(t)); }
};

/// A message that is sent or received.
struct local_message : local_operation {
  call what;
  int rank = 0;
  std::atomic<int> state{open};
  failure why;
};

}  // namespace pleat::comm::detail
