// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Ranks as threads of one process. Needs no Kokkos and no MPI.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/owned_ptr.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/comm/detail/local_core.hpp>
#include <pleat/comm/detail/named_calls.hpp>
#include <pleat/comm/detail/operation_pool.hpp>
#include <pleat/comm/request.hpp>

namespace pleat::comm {

namespace detail {

/// One rank's side of a group: its operations under way and its count of collectives. A template of nothing, so that
/// who makes none compiles none.
template <class = void> class local_endpoint_of : public std::enable_shared_from_this<local_endpoint_of<>> {
 public:
  local_endpoint_of(std::shared_ptr<local_core> core, int rank) : core(std::move(core)), rank(rank) {}

  struct operation final : pending {
    std::shared_ptr<local_endpoint_of> owner;  // set while under way
    local_core::collective* together = nullptr;
    local_core::message alone;

    bool test() override {
      auto& core = *owner->core;
      if (together) {
        if (!core.help(*together, owner->rank)) return false;
        core.check(*together, owner->rank);
        return true;
      }
      if (alone.state.load(std::memory_order_acquire) < local_core::done) return false;
      core.check(alone);
      return true;
    }
    void wait() override {
      if (together) owner->core->finish(*together, owner->rank, owner->seconds);
      else owner->core->finish(alone, owner->seconds);
    }
    void release() noexcept override {
      auto const keep = std::move(owner);
      auto& core = *keep->core;
      bool const unwinding = std::uncaught_exceptions() > 0;
      try {
        if (together) {
          if (unwinding) core.cancel(*together, keep->rank);
          else core.finish(*together, keep->rank, keep->seconds);
        } else {
          if (unwinding) core.cancel(alone);
          else core.finish(alone, keep->seconds);
        }
      } catch (error const&) {  // the request's holder chose not to look
      }
      if (together) core.leave(*together);
      together = nullptr;
      keep->operations.end(*this);
    }
  };

  void run(call const& c) {
    if (c.kind == call_kind::send || c.kind == call_kind::receive) return start(c).wait();
    auto& op = core->arrive(rank, number++, c);
    struct leave {
      local_core& core;
      local_core::collective& op;
      ~leave() { core.leave(op); }
    } const at_end{*core, op};
    core->finish(op, rank, seconds);
  }

  request start(call const& c) {
    auto* op = &operations.next(64, [](operation&) {});
    if (c.kind == call_kind::send || c.kind == call_kind::receive) {
      op->alone.what = c;
      op->alone.rank = rank;
      op->alone.state.store(local_core::open, std::memory_order_relaxed);
      core->post(op->alone);
    } else {
      op->together = &core->arrive(rank, number++, c);
    }
    operations.begin();
    op->owner = this->shared_from_this();
    return request(op);
  }

  void progress() {
    for (auto* op : operations.active())
      if (op->together) core->help(*op->together, rank);
  }

  std::shared_ptr<local_core> core;
  int rank;
  double seconds = -1;
  std::uint64_t number = 0;
  operation_pool<operation> operations;
};

using local_endpoint = local_endpoint_of<>;

PLEAT_COMPILED_ONCE(class local_endpoint_of<>);

}  // namespace detail

/// A thread's place in a group of threads. Move-only; used by one thread at a time.
///
/// - Sums go over the ranks in ascending order, 16-bit floats in float with one rounding at the end: same bits every
/// time.
/// - A non-blocking operation completes when every rank has started it; whoever polls does the copying and adding.
/// - A send completes when its receive has been posted: code that sends first on both sides stops here, as MPI allows.
class local : public detail::named_calls<local> {
 public:
  PLEAT_ONCE local(std::shared_ptr<detail::local_core> core, int rank)
      : end_(std::make_shared<detail::local_endpoint>(std::move(core), rank)) {}
  local(local&&) noexcept = default;
  local& operator=(local&&) noexcept = default;

  [[nodiscard]] static constexpr char const* name() noexcept { return "local"; }
  [[nodiscard]] int rank() const noexcept { return end_->rank; }
  [[nodiscard]] int size() const noexcept { return end_->core->size(); }

  PLEAT_LAZY void run(call const& c) { end_->run(c); }
  PLEAT_LAZY [[nodiscard]] request start(call const& c) { return end_->start(c); }
  PLEAT_LAZY void progress() { end_->progress(); }
  /// Waiting longer than this throws on every rank that waits and names who did not come; < 0: wait for ever.
  void set_timeout(double seconds) noexcept { end_->seconds = seconds; }

  /// Ranks of one color become one group, ordered by key, then by rank. A negative color belongs to none.
  PLEAT_ONCE [[nodiscard]] owned_ptr<local> split(int color, int key);

 private:
  std::shared_ptr<detail::local_endpoint> end_;
};

template <class> owned_ptr<local> local::split(int color, int key) {
  detail::local_core::place p;
  end_->run({.kind = call_kind::split, .out = {&p, 0, dtype::u8}, .root = color, .tag = key});
  return p.core ? make_owned<local>(p.core, p.rank) : nullptr;
}
PLEAT_COMPILED_ONCE(owned_ptr<local> local::split(int color, int key));

/// n ranks in one process: hand communicator(r) to thread r.
class local_group {
 public:
  PLEAT_ONCE explicit local_group(int ranks);

  [[nodiscard]] int size() const noexcept { return core_->size(); }
  /// The communicator of one rank. Ask once per rank.
  PLEAT_ONCE [[nodiscard]] comm::communicator communicator(int rank) const;
  /// Rank `rank` ends and will never come again: operations that need it, of this group and of groups split from it,
  /// fail on every other rank with an error that carries this reason. Call it from any thread.
  PLEAT_LAZY void abandon(int rank, std::string const& reason) const { core_->abandon(rank, reason); }
  /// Rank `rank` is done and will make no call again: operations that wait for it, of this group and of groups split
  /// from it, fail on every other rank. What it has begun goes on.
  PLEAT_LAZY void depart(int rank) const { core_->depart(rank); }
  /// Whether rank `rank` was told that another one has left: then what it throws may come of that. Call it from the
  /// thread of that rank.
  PLEAT_LAZY [[nodiscard]] bool heard_of_departure(int rank) const { return core_->heard_of_departure(rank); }

 private:
  PLEAT_ONCE static int checked(int ranks) {
    if (ranks < 1)
      throw error{"local_group", std::to_string(ranks) + " ranks were asked for", "A group has at least one rank"};
    return ranks;
  }
  std::shared_ptr<detail::local_core> core_;
};

template <class> local_group::local_group(int ranks) : core_(std::make_shared<detail::local_core>(checked(ranks))) {}
PLEAT_COMPILED_ONCE(local_group::local_group(int ranks));

template <class> comm::communicator local_group::communicator(int rank) const {
  if (rank < 0 || rank >= size())
    throw error{"local_group::communicator",
                "rank " + std::to_string(rank) + " is not in [0, " + std::to_string(size()) + ")",
                "Ask for the communicator of a rank from 0 to size() - 1"};
  return comm::communicator(local(core_, rank));
}
PLEAT_COMPILED_ONCE(comm::communicator local_group::communicator(int rank) const);

/// What a rank whose function has returned is to those that still wait for it.
enum class on_return : std::uint8_t {
  may_come,  ///< one that may come yet: its communicator may be in other hands
  is_gone    ///< one that will not come: who waits for it throws
};

/// Runs f(communicator) on n threads, one per rank, and waits for all of them. An exception of one rank releases the
/// others. After all threads have ended the first one is thrown here, of those ranks that nobody had released if there
/// are any: the cause, not what came of it.
/// \param then what a rank whose function has returned is to those that still wait for it
/// \throws error where the system has not as many threads: ranks that have one are released first
template <class F> void run_local(int ranks, F const& f, on_return then = on_return::may_come) {
  local_group group(ranks);
  std::mutex guard;
  std::exception_ptr first, released;  // released: the first one of a rank that others had left
  auto const one = [&](int rank) {
    try {
      f(group.communicator(rank));
      if (then == on_return::is_gone) group.depart(rank);
    } catch (...) {
      auto const what = std::current_exception();
      std::string reason = "an exception of unknown type";
      try {
        std::rethrow_exception(what);
      } catch (std::exception const& e) {
        reason = e.what();
      } catch (...) {
      }
      {
        std::lock_guard const lock(guard);
        auto& mine = group.heard_of_departure(rank) ? released : first;
        if (!mine) mine = what;
      }
      group.abandon(rank, reason);
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(ranks));
  std::string missing;
  try {
    for (int r = 1; r < ranks; ++r) threads.emplace_back(one, r);
  } catch (std::exception const& e) {
    missing = e.what();
  }
  bool const complete = static_cast<int>(threads.size()) == ranks - 1;
  if (complete) one(0);
  else group.abandon(static_cast<int>(threads.size()) + 1, "the system has no thread for it");
  for (auto& t : threads) t.join();
  if (!complete)
    throw error{"comm::run_local",
                "the system started " + std::to_string(threads.size()) + " of the " + std::to_string(ranks - 1) +
                    " threads that " + std::to_string(ranks) + " ranks need: " + missing,
                "Use fewer ranks, or raise the limit on threads and memory (ulimit -u, ulimit -v)"};
  if (first) std::rethrow_exception(first);
  if (released) std::rethrow_exception(released);
}

}  // namespace pleat::comm
