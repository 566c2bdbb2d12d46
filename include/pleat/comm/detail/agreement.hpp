// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What the ranks of a communicator are about to do, compared before they do it: the rung `checks::collective`.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/comm/detail/transport.hpp>
#include <pleat/comm/types.hpp>

namespace pleat::comm::detail {

/// Every rank learns what every rank is about to do, or throws the same sentence. Exchanges over the transport itself;
/// `scratch` keeps its memory for the next call.
class agreement {
 public:
  agreement(transport& t, call const& c, int rank, int size, std::vector<index_t>& scratch)
      : transport_(t), c_(c), rank_(rank), size_(size), scratch_(scratch) {}

  PLEAT_ONCE void run() {
    constexpr std::size_t fields = 5;
    if (c_.kind == call_kind::send || c_.kind == call_kind::receive || size_ == 1) return;
    auto const number = [](auto x) { return static_cast<std::int64_t>(x); };
    auto count = number(c_.count());
    if (c_.kind == call_kind::all_gather_v ||
        c_.kind == call_kind::reduce_scatter_v)  // the sum says too little: hash the list
      for (auto n : c_.out_parts.counts)
        count =
            number((static_cast<std::uint64_t>(count ^ n) * 0x100000001b3u) >> 1);  // stays positive: -x is sent too
    std::array<std::int64_t, fields> const mine{number(c_.kind), count, number(c_.type()), c_.rooted() ? c_.root : 0,
                                                c_.reduces() ? number(c_.op) : 0};
    std::array<std::int64_t, 2 * fields> extreme;  // largest of x and of -x: both ends in one exchange
    for (std::size_t i = 0; i < fields; ++i) {
      extreme[i] = mine[i];
      extreme[fields + i] = -mine[i];
    }
    buffer const b{extreme.data(), 2 * fields, dtype::i64};
    transport_.run({.kind = call_kind::all_reduce, .in = b, .out = b, .op = reduction::max});
    bool same = true;
    for (std::size_t i = 0; i < fields; ++i) same = same && extreme[i] == -extreme[fields + i];
    if (!same) disagree(mine);
    if (c_.kind == call_kind::all_to_all_v) agree_on_parts();
  }

 private:
  template <std::size_t N> [[noreturn]] void disagree(std::array<std::int64_t, N> const& mine) {
    std::vector<std::int64_t> all(N * static_cast<std::size_t>(size_));
    transport_.run({.kind = call_kind::all_gather,
                    .in = {mine.data(), N, dtype::i64},
                    .out = {all.data(), static_cast<index_t>(all.size()), dtype::i64}});
    auto const of = [&](int r) { return all.data() + static_cast<std::size_t>(r) * N; };
    auto const alike = [&](int r, int s) { return std::equal(of(r), of(r) + N, of(s)); };
    int reference = 0, most = 0;  // what most ranks want is right; the first of them stands for it
    for (int r = 0; r < size_; ++r) {
      int n = 0;
      for (int s = 0; s < size_; ++s) n += alike(r, s) ? 1 : 0;
      if (n > most) most = n, reference = r;
    }
    int odd = 0;
    while (alike(odd, reference)) ++odd;
    auto const say = [&](int r) {
      call d{.kind = static_cast<call_kind>(of(r)[0])};
      auto const t = static_cast<dtype>(of(r)[2]);
      d.in = {nullptr, of(r)[1], t};
      d.out = {nullptr, of(r)[1], t};
      d.root = static_cast<int>(of(r)[3]);
      d.op = static_cast<reduction>(of(r)[4]);
      if (d.kind == call_kind::all_gather_v || d.kind == call_kind::reduce_scatter_v)
        return std::string(name_of(d.kind)) + " with other parts";
      return describe(d);
    };
    throw error{std::string(name_of(c_.kind)),
                "rank " + std::to_string(odd) + " asks for " + say(odd) + " where rank " + std::to_string(reference) +
                    " asks for " + say(reference),
                "Every rank must make the same calls in the same order", rank_};
  }

  PLEAT_ONCE void agree_on_parts() {
    auto const n = static_cast<std::size_t>(size_);
    scratch_.resize(n + 2 * n);
    std::copy(c_.in_parts.counts.begin(), c_.in_parts.counts.end(), scratch_.begin());
    transport_.run({.kind = call_kind::all_to_all,
                    .in = {scratch_.data(), size_, dtype::i64},
                    .out = {scratch_.data() + n, size_, dtype::i64}});
    // the first wrong pair, as receiver * size + sender, on every rank alike
    std::int64_t wrong = static_cast<std::int64_t>(n * n);
    std::int64_t* w = scratch_.data() + 2 * n;
    for (int r = size_; r-- > 0;)
      if (scratch_[n + static_cast<std::size_t>(r)] != c_.out_parts.count(r))
        wrong = static_cast<std::int64_t>(rank_) * size_ + r;
    *w = wrong;
    transport_.run(
        {.kind = call_kind::all_reduce, .in = {w, 1, dtype::i64}, .out = {w, 1, dtype::i64}, .op = reduction::min});
    if (*w == static_cast<std::int64_t>(n * n)) return;
    auto const to = *w / size_, from = *w % size_;
    std::array<std::int64_t, 2> pair{scratch_[n + static_cast<std::size_t>(from)],
                                     c_.out_parts.count(static_cast<int>(from))};
    buffer const b{pair.data(), 2, dtype::i64};
    transport_.run({.kind = call_kind::broadcast, .in = b, .out = b, .root = static_cast<int>(to)});
    throw error{"all_to_all_v",
                "rank " + std::to_string(from) + " sends " + std::to_string(pair[0]) + " elements to rank " +
                    std::to_string(to) + ", which expects " + std::to_string(pair[1]),
                "in_parts.counts of the sender and out_parts.counts of the receiver must mirror each other", rank_};
  }

  transport& transport_;
  call const& c_;
  int rank_, size_;
  std::vector<index_t>& scratch_;
};

}  // namespace pleat::comm::detail
