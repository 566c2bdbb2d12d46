// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Tied weights: the gradients of all uses become one, whichever stages they are on, in one order.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <pleat/comm/communicator.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/parallel/shard_group.hpp>
#include <pleat/parallel/stages.hpp>
#include <pleat/parallel/step_words.hpp>
#include <pleat/tensor/wire_memory.hpp>

namespace pleat::parallel {

/// Adds the gradients of tied parameters that the arena keeps apart (nn::tied_gradients::apart): the owner's own use
/// first, then the others as they stand in the network. Afterwards every stage that uses the weight has the sum at the
/// owner's entry, the same bits, and so the same values after the optimizer's step. Needs gradients that are complete:
/// after the exchange over the data axis.
template <class T, class Space> class tied_sums {
 public:
  tied_sums() = default;
  /// \param net with the absent parameters marked
  template <class Net> tied_sums(Net const& net, stages const& where, nn::arena<T, Space> const& memory) {
    nn::for_each_parameter(net, [&](nn::parameter const& w) {
      if (w.tied_to.empty() || !w.in_arena) return;
      auto at = std::find_if(all_.begin(), all_.end(), [&](weight const& x) { return x.name == w.tied_to; });
      if (at == all_.end()) {
        all_.push_back({w.tied_to, memory.find(w.tied_to), {}});
        at = all_.end() - 1;
      }
      at->uses.push_back({-1, memory.find(w.name), w.name});
    });
    for (auto& w : all_) w.uses.insert(w.uses.begin(), {-1, w.entry, w.name});
    for (index_t s = 0; s < where.count(); ++s)
      // only read
      nn::for_each_parameter_units(const_cast<Net&>(net), where.begin(s), where.end(s), [&](nn::parameter const& p) {
        for (auto& w : all_)
          for (auto& u : w.uses)
            if (u.name == p.name) u.rank = where.rank_of(s);
      });
  }

  [[nodiscard]] bool empty() const noexcept { return all_.empty(); }

  /// Collective over the pipeline's ranks, and over the data axis where state is sharded. Blocking; weight by weight in
  /// one order on every rank, so nothing waits in a circle. \throws error that names the weight \param hybrid the mesh
  /// has several axes
  void sum(context<Space>& where, comm::communicator& pipeline, shard_group const& shards, nn::arena<T, Space>& memory,
           bool hybrid) const {
    int const me = pipeline.rank();
    for (auto const& w : all_) {
      auto const words = [&] { return "the gradient of the tied weight '" + w.name + "'"; };
      auto const whole = [&](int entry) {
        return about_tensor(words, "data", hybrid, [&] { return gathered(where, shards, memory, entry); });
      };
      auto const send = [&](tensor_type const& t, int to) {
        about_tensor(words, "pipeline", hybrid, [&] { sent(where, pipeline, t, to); });
      };
      auto const receive = [&](tensor_type const& t, int from) {
        about_tensor(words, "pipeline", hybrid, [&] { received(where, pipeline, t, from); });
      };
      if (w.entry < 0) continue;  // no use is here
      int const root = w.uses.front().rank;
      auto const& e = memory.entries()[static_cast<std::size_t>(w.entry)];
      index_t const n = e.end - e.begin;
      if (n == 0) continue;
      tensor_type total = me == root ? whole(w.entry) : tensor_type::allocate(where, {n});
      for (std::size_t i = 1; i < w.uses.size(); ++i) {
        auto const& u = w.uses[i];
        if (u.rank != me && me != root) continue;
        auto part = u.rank == me ? whole(u.entry) : tensor_type::allocate(where, {n});
        if (u.rank == me && me != root) send(part, root);
        if (me != root) continue;
        if (u.rank != me) receive(part, u.rank);
        compute::add(where.space(), n, static_cast<W const*>(total.data()), static_cast<W const*>(part.data()),
                     total.data());
      }
      for (std::size_t i = 1; i < w.uses.size(); ++i) {
        int const to = w.uses[i].rank;
        if (to == root || std::any_of(w.uses.begin(), w.uses.begin() + static_cast<std::ptrdiff_t>(i),
                                      [&](use const& u) { return u.rank == to; }))
          continue;
        if (me == root) send(total, to);
        else if (me == to) receive(total, root);
      }
      put(where, memory, w.entry, total);
    }
  }

 private:
  using W = typename nn::arena<T, Space>::master_type;
  using tensor_type = tensor<W, Space>;
  struct use {
    int rank;   // of the pipeline
    int entry;  // here, or -1
    std::string name;
  };
  struct weight {
    std::string name;
    int entry;
    std::vector<use> uses;
  };
  static constexpr int tag = comm::tags::tied_gradients;

  /// The gradient of an entry as one vector: where it lies, or collected from the ranks that hold pieces of it.
  static tensor_type gathered(context<Space>& where, shard_group const& shards, nn::arena<T, Space>& memory,
                              int entry) {
    auto const& e = memory.entries()[static_cast<std::size_t>(entry)];
    index_t const n = e.end - e.begin;
    if (memory.layout().stage() == 0) return tensor_type::wrap(memory.gradients() + e.begin, {n});
    auto all = tensor_type::allocate(where, {n});
    compute::fill(where.space(), n, W(0), all.data());
    pieces(memory, entry, [&](W* mine, index_t at, index_t count) {
      compute::copy(where.space(), count, static_cast<W const*>(mine), all.data() + at);
    });
    if (shards.shards > 1) {  // one rank's, and zeros
      wire_memory<W, Space> const m(where, all, true);
      shards.members->all_reduce(m.span());
      m.arrived();
    }
    return all;
  }
  static void put(context<Space>& where, nn::arena<T, Space>& memory, int entry, tensor_type const& total) {
    pieces(memory, entry, [&](W* mine, index_t at, index_t count) {
      if (mine != total.data() + at)
        compute::copy(where.space(), count, static_cast<W const*>(total.data() + at), mine);
    });
    where.fence();
  }
  /// f(memory, first element, how many) for the parts of an entry's gradient that this rank holds.
  template <class F> static void pieces(nn::arena<T, Space>& memory, int entry, F&& f) {
    auto const& e = memory.entries()[static_cast<std::size_t>(entry)];
    for (auto const& p : memory.pieces()) {
      index_range const part = intersect({e.begin, e.end}, {p.begin, p.end});
      if (!part.empty()) f(memory.owned_gradients(p) + (part.begin - p.begin), part.begin - e.begin, part.size());
    }
  }

  static void sent(context<Space>& where, comm::communicator& to, tensor_type const& t, int peer) {
    wire_memory<W, Space> const m(where, t, true);
    to.send(std::span<W const>(m.span()), peer, tag);
  }
  static void received(context<Space>& where, comm::communicator& from, tensor_type const& t, int peer) {
    wire_memory<W, Space> const m(where, t, false);
    from.receive(m.span(), peer, tag);
    m.arrived();
  }

  std::vector<weight> all_;
};

}  // namespace pleat::parallel
