// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Redistributions carried out for real, on ranks as threads and on MPI ranks: right numbers, and exactly the predicted
/// bytes as a transport counts them that does every collective by messages.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <pleat/parallel/redistribute.hpp>

namespace pleat_test {

using namespace pleat;
using host_space = Kokkos::DefaultHostExecutionSpace;

/// A transport over another one. What carries floats is done by messages here, each element once, and counted;
/// everything else is handed on (the meshes' hashes).
class counting {
 public:
  counting(comm::communicator inner, std::shared_ptr<wire> count)
      : inner_(std::move(inner)), count_(std::move(count)) {}
  [[nodiscard]] int rank() const { return inner_.rank(); }
  [[nodiscard]] int size() const { return inner_.size(); }
  [[nodiscard]] static char const* name() { return "counting"; }

  comm::request start(comm::call const& c) {
    run(c);
    return {};
  }
  void run(comm::call const& c) {
    if (c.type() != dtype::f32) return inner_.run(c);
    auto const* in = static_cast<float const*>(c.in.data);
    auto* out = static_cast<float*>(c.out.data);
    counts blocks{}, begin{};
    auto const cut = [&](auto const& count) {
      index_t at = 0;
      for (int r = 0; r < size(); ++r) {
        auto const i = static_cast<std::size_t>(r);
        begin[i] = at;
        at += blocks[i] = count(r);
      }
    };
    switch (c.kind) {
      case comm::call_kind::all_reduce: {
        cut([&](int r) { return block_range(c.in.count, size(), r).size(); });
        auto const mine = static_cast<std::size_t>(rank());
        std::vector<float> sum(static_cast<std::size_t>(blocks[mine]));
        scatter(in, sum.data(), blocks, begin);
        return gather(sum.data(), out, blocks, begin);
      }
      case comm::call_kind::reduce_scatter:
        cut([&](int) { return c.out.count; });
        return scatter(in, out, blocks, begin);
      case comm::call_kind::reduce_scatter_v:
        cut([&](int r) { return c.out_parts.count(r); });
        return scatter(in, out, blocks, begin);
      case comm::call_kind::all_gather:
        cut([&](int) { return c.in.count; });
        return gather(in, out, blocks, begin);
      case comm::call_kind::all_gather_v:
        cut([&](int r) { return c.out_parts.count(r); });
        return gather(in, out, blocks, begin);
      case comm::call_kind::all_to_all_v: {
        sources from{};
        targets to{};
        counts sent{}, received{};
        for (int r = 0; r < size(); ++r) {
          auto const i = static_cast<std::size_t>(r);
          from[i] = in + c.in_parts.offset(r);
          to[i] = out + c.out_parts.offset(r);
          sent[i] = c.in_parts.count(r);
          received[i] = c.out_parts.count(r);
        }
        return exchange(from, sent, to, received);
      }
      default:
        throw error{"counting", "an operation that no redistribution uses: " + comm::describe(c)};
    }
  }
  std::unique_ptr<counting> split(int color, int key) {
    auto part = inner_.split(color, key);
    return part ? std::make_unique<counting>(std::move(part), count_) : nullptr;
  }

 private:
  static constexpr std::size_t most = 8;  // ranks
  using sources = std::array<float const*, most>;
  using targets = std::array<float*, most>;
  using counts = std::array<index_t, most>;

  void scatter(float const* in, float* out, counts const& blocks, counts const& begin) {
    auto const p = static_cast<std::size_t>(size());
    auto const n = static_cast<std::size_t>(blocks[static_cast<std::size_t>(rank())]);
    std::vector<float> got(n * p);
    sources from{};
    targets to{};
    counts own{};
    for (std::size_t r = 0; r < p; ++r)
      from[r] = in + begin[r], to[r] = got.data() + r * n, own[r] = static_cast<index_t>(n);
    exchange(from, blocks, to, own);
    for (std::size_t i = 0; i < n; ++i) {
      out[i] = got[i];
      for (std::size_t r = 1; r < p; ++r) out[i] += got[r * n + i];
    }
  }
  void gather(float const* in, float* out, counts const& blocks, counts const& begin) {
    sources from{};
    targets to{};
    counts own{};
    for (std::size_t r = 0; r < static_cast<std::size_t>(size()); ++r)
      from[r] = in, to[r] = out + begin[r], own[r] = blocks[static_cast<std::size_t>(rank())];
    exchange(from, own, to, blocks);
  }
  void exchange(sources const& from, counts const& sent, targets const& to, counts const& received) {
    std::vector<comm::request> open;
    for (int r = 0; r < size(); ++r) {
      auto const i = static_cast<std::size_t>(r);
      if (r == rank()) {
        if (sent[i] != received[i]) throw error{"counting", "a rank sends itself what it does not expect"};
        if (sent[i] > 0) std::memmove(to[i], from[i], static_cast<std::size_t>(sent[i]) * sizeof(float));
        continue;
      }
      if (received[i] > 0)
        open.push_back(inner_.ireceive(std::span<float>(to[i], static_cast<std::size_t>(received[i])), r));
      count_->received += received[i] * static_cast<index_t>(sizeof(float));
    }
    for (int r = 0; r < size(); ++r) {
      auto const i = static_cast<std::size_t>(r);
      if (r == rank() || sent[i] == 0) continue;
      open.push_back(inner_.isend(std::span<float const>(from[i], static_cast<std::size_t>(sent[i])), r));
      count_->sent += sent[i] * static_cast<index_t>(sizeof(float));
    }
    comm::wait_all(open);
  }

  comm::communicator inner_;
  std::shared_ptr<wire> count_;
};

/// Integers up to 251: they and all sums on the way are exact in float, and in bfloat16 with its 8 bits, whatever the
/// order.
inline float truth(extents const& shape, std::span<index_t const> at) {
  return static_cast<float>(1 + linear_index(shape, at) % 251);
}

template <class F> void each_of(index_box const& b, F const& f) {
  if (b.empty()) return;
  std::array<index_t, extents::max_rank> at{};
  for (int d = 0; d < b.rank(); ++d) at[static_cast<std::size_t>(d)] = b[d].begin;
  for (index_t i = 0; i < b.size(); ++i) {
    f(i, std::span<index_t const>(at.data(), static_cast<std::size_t>(b.rank())));
    for (int d = b.rank(); d-- > 0;) {
      auto& x = at[static_cast<std::size_t>(d)];
      if (++x < b[d].end) break;
      x = b[d].begin;
    }
  }
}

/// What rank r holds: of a partial tensor an addend that differs from rank to rank.
template <class T> std::vector<T> part_of(layout const& l, int r) {
  auto const axes = l.where().partial_axes();
  index_t const g = l.mesh().group_size(axes), k = l.mesh().position(r, axes);
  std::vector<T> x(static_cast<std::size_t>(l.box(r).size()));
  each_of(l.box(r), [&](index_t i, auto at) {
    float const rest = truth(l.shape(), at) - static_cast<float>(3 * (g - 1) * (g - 2) / 2);
    x[static_cast<std::size_t>(i)] = T(k == g - 1 ? rest : static_cast<float>(3 * k));
  });
  return x;
}

/// Moves a tensor from `from` to `to` on these ranks. \returns what is wrong on this rank, empty if nothing.
/// Collective.
template <class T = float>
std::string try_pair(context<host_space>& where, comm::grid& ranks, extents const& shape, placement const& from,
                     placement const& to, wire const* count) {
  layout const l(ranks.mesh(), shape, from);
  parallel::redistribute<T, host_space> move(where, ranks, l, to);
  wire const before = count ? *count : wire{};
  auto const mine = part_of<T>(l, ranks.rank());
  auto x = tensor<T, host_space>::allocate(where, l.local(ranks.rank()));
  copy_from_host(where, mine.data(), x);
  auto y = move(x);
  std::string const what = move.plan().to_string();
  layout const after = l.with(to);
  if (!(y.shape() == after.local(ranks.rank()))) return "extents " + y.shape().to_string() + " of " + what;
  if (count && !(wire{count->sent - before.sent, count->received - before.received} == move.plan().bytes(ranks.rank())))
    return "bytes of " + what;
  std::vector<T> got(static_cast<std::size_t>(y.size()));
  copy_to_host(where, y, got.data());
  // addends sum to the truth; all ranks sum, whatever their number of addends
  auto const axes = to.partial_axes();
  std::vector<T> sum(got.size());
  ranks.along(axes).all_reduce(got, sum);
  bool right = true;
  each_of(after.box(ranks.rank()), [&](index_t i, auto at) {
    right = right && static_cast<float>(sum[static_cast<std::size_t>(i)]) == truth(shape, at);
  });
  std::vector<T> still(mine.size());
  copy_to_host(where, x, still.data());
  if (!mine.empty() && std::memcmp(still.data(), mine.data(), mine.size() * sizeof(T)) != 0)
    return "the source was written by " + what;
  return right ? std::string() : "numbers of " + what;
}

inline std::vector<placement> placements_of(pleat::mesh const& m, int rank) {
  std::vector<placement> list{placement{}};
  for (int a = 0; a < m.axes(); ++a) {
    std::vector<placement> longer;
    for (auto const& p : list) {
      longer.push_back(p);
      longer.push_back(p.with(a, partial{}));
      for (int d = 0; d < rank; ++d) longer.push_back(p.with(a, shard{d}));
    }
    list = std::move(longer);
  }
  return list;
}

/// Every `stride`-th pair of placements. \returns the first thing that is wrong on this rank. Collective: no rank
/// leaves early.
template <class T = float>
std::string try_pairs(context<host_space>& where, comm::grid& ranks, extents const& shape, int stride,
                      wire const* count) {
  auto const all = placements_of(ranks.mesh(), shape.rank());
  std::string first;
  std::size_t n = 0;
  for (auto const& from : all)
    for (auto const& to : all)
      if (n++ % static_cast<std::size_t>(stride) == 0) {
        auto const why = try_pair<T>(where, ranks, shape, from, to, count);
        if (first.empty()) first = why;
      }
  return first;
}

}  // namespace pleat_test
