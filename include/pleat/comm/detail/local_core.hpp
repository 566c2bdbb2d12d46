// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What the ranks of one process share: arrivals, unmatched messages, and who is asleep.
///
/// A collective is the k-th one of its group on every rank. Ranks write down what they ask for; the last one to arrive
/// cuts the work into chunks and takes its share of them; whoever polls takes chunks until none is left. Every element
/// is combined in ascending rank order by one thread, after all its operands were read, so results do not depend on
/// timing and buffers may be used in place.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <iterator>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/owned_ptr.hpp>
#include <pleat/comm/detail/local_collective.hpp>
#include <pleat/comm/detail/rank_words.hpp>
#include <pleat/comm/types.hpp>

namespace pleat::comm::detail {

/// What the ranks of a group share. A template of nothing, so that who has no ranks in this process compiles none of
/// it.
template <class = void>
class local_core_of : public local_operation, public std::enable_shared_from_this<local_core_of<>> {
 public:
  using collective = local_collective;
  using message = local_message;

  /// Where a split leaves a rank.
  struct place {
    std::shared_ptr<local_core_of> core;
    int rank = 0;
  };

  inline explicit local_core_of(int ranks)
      : size_(ranks),
        spins_(static_cast<unsigned>(ranks) <= std::thread::hardware_concurrency() ? 1000 : 0),
        ring_(16, nullptr),
        sends_(static_cast<std::size_t>(ranks)),
        receives_(static_cast<std::size_t>(ranks)),
        heard_(std::make_shared<std::vector<char>>(static_cast<std::size_t>(ranks))) {
    for (auto* lists : {&sends_, &receives_})
      // how many wait at once depends on time, and a steady state allocates nothing
      for (auto& list : *lists) list.reserve(256);
  }

  [[nodiscard]] int size() const noexcept { return size_; }

  // ---- collectives ----

  /// Rank `rank` enters its collective number `number`. Never waits.
  inline collective& arrive(int rank, std::uint64_t number, call const& c) {
    bool completed = false;
    collective* op = nullptr;
    {
      std::lock_guard lock(mutex_);
      if (broken_) throw_failure({describe(c), broken_->problem, broken_->remedy, true}, rank);
      if (!gone_.empty()) demand_present(number, c, rank);
      op = find(number);
      op->calls[static_cast<std::size_t>(rank)] = c;
      op->here[static_cast<std::size_t>(rank)] = 1;
      ++op->arrived;
      if (op->arrived == size_ && op->state.load(std::memory_order_relaxed) == open) {
        if (auto why = op->prepare()) fail(*op, std::move(*why));
        completed = true;
        if (sleepers_ > 0 && (op->chunks != 1 || op->state.load(std::memory_order_relaxed) != ready))
          changed_.notify_all();
      }
    }
    if (completed)
      help(*op, rank, (op->chunks + size_ - 1) / size_);  // who comes last is late already: the others help
    return *op;
  }

  /// Takes chunks until none is left. \param rank who takes them \param most so many at the most
  /// \returns whether the operation is over (done or failed)
  inline bool help(collective& op, int rank, index_t most = std::numeric_limits<index_t>::max()) {
    int const s = op.state.load(std::memory_order_acquire);
    if (s == ready) {
      // what others give is copied by those who want it: the neighbour's region first
      bool const copies =
          op.calls.front().kind == call_kind::all_gather || op.calls.front().kind == call_kind::all_gather_v;
      for (index_t i; most-- > 0 && (i = op.take(copies ? (rank + 1) % size_ : rank)) >= 0;) {
        if (op.calls.front().kind == call_kind::split) run_split(op);
        else op.run(i);
        if (op.finished.fetch_add(1, std::memory_order_acq_rel) + 1 == op.chunks) {
          op.state.store(done, std::memory_order_release);
          wake();
        }
      }
      return op.state.load(std::memory_order_acquire) == done;
    }
    return s != open;
  }

  /// Waits for the operation. `seconds` < 0, or more than clocks can count: for ever. \throws error if it failed or
  /// somebody did not come
  void finish(collective& op, int rank, double seconds) {
    if (!wait_until([&] { return op.state.load(std::memory_order_acquire) != open; }, seconds))
      give_up(op, rank, seconds);
    if (!help(op, rank)) wait_until([&] { return op.state.load(std::memory_order_acquire) >= done; }, -1);
    check(op, rank);
  }

  void check(collective const& op, int rank) const {
    if (op.state.load(std::memory_order_acquire) == failed) throw_failure(op.why, rank);
  }

  /// Rank has read all it needs of the operation.
  void leave(collective& op) {
    if (op.released.fetch_add(1, std::memory_order_acq_rel) + 1 < size_) return;
    std::lock_guard lock(mutex_);
    ring_[op.number & (ring_.size() - 1)] = nullptr;
    free_.push_back(&op);
  }

  /// The rank's stack unwinds: if the operation has not begun it never will; if it has, it is brought to an end.
  inline void cancel(collective& op, int rank) {
    {
      std::lock_guard lock(mutex_);
      if (op.state.load(std::memory_order_relaxed) == open)
        fail(op, {describe(op.calls[static_cast<std::size_t>(rank)]),
                  "rank " + std::to_string(rank) + " left while an exception unwound its stack", "", true});
    }
    wake();
    if (!help(op, rank)) wait_until([&] { return op.state.load(std::memory_order_acquire) >= done; }, -1);
  }

  // ---- messages ----

  /// Posts a send or a receive. Never waits for the other side; whoever comes second copies.
  inline void post(message& m) {
    bool const sending = m.what.kind == call_kind::send;
    message* other = nullptr;
    {
      std::lock_guard lock(mutex_);
      if (broken_) throw_failure({describe(m.what), broken_->problem, broken_->remedy, true}, m.rank);
      int const home = sending ? m.what.root : m.rank;  // lists live with the receiver
      auto& waiting = (sending ? receives_ : sends_)[static_cast<std::size_t>(home)];
      int const peer = m.what.root;
      auto it = std::find_if(waiting.begin(), waiting.end(), [&](message* w) {
        return w->what.tag == m.what.tag && w->rank == peer && w->what.root == m.rank;
      });
      if (it == waiting.end()) {
        if (std::find(gone_.begin(), gone_.end(), peer) != gone_.end()) throw_failure(waits_for(peer, m.what), m.rank);
        (sending ? sends_ : receives_)[static_cast<std::size_t>(home)].push_back(&m);
        return;
      }
      other = *it;
      waiting.erase(it);
      other->state.store(ready, std::memory_order_relaxed);
    }
    message& from = sending ? m : *other;
    message& to = sending ? *other : m;
    bool const fits = from.what.in.bytes() == to.what.out.bytes() && from.what.in.type == to.what.out.type;
    if (fits) copy_bytes(to.what.out.data, from.what.in.data, from.what.in.bytes());
    {
      std::lock_guard lock(mutex_);
      if (!fits) {
        std::string const problem = "rank " + std::to_string(from.rank) + " sends " + describe(from.what) +
                                    ", but rank " + std::to_string(to.rank) + " expects " + describe(to.what);
        from.why = {describe(from.what), problem, "Give both calls the same count and element type"};
        to.why = {describe(to.what), problem, "Give both calls the same count and element type"};
      }
      from.state.store(fits ? done : failed, std::memory_order_release);
      to.state.store(fits ? done : failed, std::memory_order_release);
      if (sleepers_ > 0) changed_.notify_all();
    }
  }

  void finish(message& m, double seconds) {
    if (!wait_until([&] { return m.state.load(std::memory_order_acquire) >= ready; }, seconds)) {
      std::lock_guard lock(mutex_);
      if (m.state.load(std::memory_order_relaxed) == open)
        fail(m, {describe(m.what),
                 "waited " + name_seconds(seconds) + ", and rank " + std::to_string(m.what.root) + " did not come",
                 "Look at what that rank was doing, or allow more time"});
    }
    wait_until([&] { return m.state.load(std::memory_order_acquire) >= done; }, -1);
    check(m);
  }

  void check(message const& m) const {
    if (m.state.load(std::memory_order_acquire) == failed) throw_failure(m.why, m.rank);
  }

  inline void cancel(message& m) {
    {
      std::lock_guard lock(mutex_);
      if (m.state.load(std::memory_order_relaxed) == open)
        fail(m, {describe(m.what), "given up while an exception unwound the stack", ""});
    }
    wait_until([&] { return m.state.load(std::memory_order_acquire) >= done; }, -1);
  }

  // ---- the group ----

  /// Rank will never come again: every operation that still needs it, now or later, fails and says so. Of several ranks
  /// that end the first one is named, by the groups split from this one too.
  inline void abandon(int rank, std::string const& reason) {
    std::vector<std::weak_ptr<local_core_of>> children;
    std::pair<int, std::string> first;
    {
      std::lock_guard lock(mutex_);
      if (!broken_) {
        broken_.emplace(failure{"", "rank " + std::to_string(rank) + " ended early: " + reason,
                                "Mend what that rank reports first", true});
        ended_ = {rank, reason};
      }
      first = ended_;
      for (auto* op : ring_)
        if (op && op->state.load(std::memory_order_relaxed) == open)
          for (std::size_t r = 0; r < op->here.size(); ++r)
            if (op->here[r]) {
              fail(*op, {describe(op->calls[r]), broken_->problem, broken_->remedy, true});
              break;
            }
      for (auto* lists : {&sends_, &receives_})
        for (auto& list : *lists)
          while (!list.empty())
            fail(*list.back(), {describe(list.back()->what), broken_->problem, broken_->remedy, true});
      children = children_;
    }
    wake();
    for (auto const& child : children)
      if (auto c = child.lock())
        c->abandon(first.first,
                   first.second + " (rank " + std::to_string(first.first) + " of the group it was split from)");
  }
  /// Rank's function has returned: what it has begun goes on; every operation that waits for it to come, now or later,
  /// here and in the groups split from this one, fails and says so.
  inline void depart(int rank) {
    std::vector<std::weak_ptr<local_core_of>> children;
    {
      std::lock_guard lock(mutex_);
      gone_.push_back(rank);
      for (auto* op : ring_)
        if (op && op->state.load(std::memory_order_relaxed) == open && !op->here[static_cast<std::size_t>(rank)])
          for (std::size_t r = 0; r < op->here.size(); ++r)
            if (op->here[r]) {
              fail(*op, waits_for(rank, op->calls[r]));
              break;
            }
      std::vector<message*> waiting;
      for (auto* lists : {&sends_, &receives_})
        for (auto& list : *lists)
          std::copy_if(list.begin(), list.end(), std::back_inserter(waiting),
                       [&](message* m) { return m->what.root == rank; });
      for (auto* m : waiting) fail(*m, waits_for(rank, m->what));
      children = children_;
    }
    wake();
    for (auto const& child : children)
      if (auto c = child.lock())
        for (std::size_t r = 0; r < c->origins_.size(); ++r)
          if (c->origins_[r] == origin(rank)) c->depart(static_cast<int>(r));
  }
  /// Whether an error of this rank may come of another one's departure: here or in a group split from this one it was
  /// told of one. Asked by its thread.
  [[nodiscard]] bool heard_of_departure(int rank) const { return (*heard_)[static_cast<std::size_t>(rank)] != 0; }

 private:
  [[nodiscard]] inline static failure waits_for(int gone, call const& c) {
    return {describe(c), "rank " + std::to_string(gone) + "'s function has returned, and this waits for it",
            "Every rank must make the same calls in the same order: let none return before the others are done"};
  }
  /// With the mutex held. \throws error if a rank whose function has returned did not enter collective `number` before
  inline void demand_present(std::uint64_t number, call const& c, int rank) const {
    auto const* op = ring_[number & (ring_.size() - 1)];
    for (int const r : gone_)
      if (!op || op->number != number || !op->here[static_cast<std::size_t>(r)]) throw_failure(waits_for(r, c), rank);
  }
  [[noreturn]] inline void throw_failure(failure const& f, int rank) const {
    if (f.departure && std::uncaught_exceptions() == 0) (*heard_)[static_cast<std::size_t>(origin(rank))] = 1;
    throw error{f.call, f.problem, f.remedy, rank};
  }
  /// The rank's number in the group that all others were split from.
  [[nodiscard]] int origin(int rank) const {
    return origins_.empty() ? rank : origins_[static_cast<std::size_t>(rank)];
  }

  void wake() {
    std::lock_guard lock(mutex_);
    if (sleepers_ > 0) changed_.notify_all();
  }

  /// Spins for a few microseconds where every rank can have a processor, then lets others run, then sleeps: there not
  /// before a millisecond, for whoever is woken comes late, and ranks that compute alike come together.
  /// \returns false when `seconds` (≥ 0) passed first
  template <class Done> bool wait_until(Done const& is_done, double seconds) {
    bool const for_ever = !(seconds >= 0 && seconds < 1e9);  // infinity, too: a clock's count cannot hold it
    for (int i = 0; i < spins_; ++i) {
      if (is_done()) return true;
#if defined(__x86_64__) || defined(__i386__)
      __builtin_ia32_pause();
#endif
    }
    auto const now = [] { return std::chrono::steady_clock::now(); };
    auto const begin = now();
    auto const limit = begin + std::chrono::duration<double>(std::max(seconds, 0.0));
    do
      for (int i = 0; i < 32; ++i) {
        if (is_done()) return true;
        std::this_thread::yield();
      }
    while (spins_ > 0 && now() - begin < std::chrono::milliseconds(1));
    std::unique_lock lock(mutex_);
    ++sleepers_;
    bool in_time = true;
    while (!is_done() && in_time) {
      if (for_ever) changed_.wait(lock);
      else in_time = changed_.wait_until(lock, limit) == std::cv_status::no_timeout;
    }
    --sleepers_;
    return in_time || is_done();
  }

  inline void give_up(collective& op, int rank, double seconds) {
    {
      std::lock_guard lock(mutex_);
      if (op.state.load(std::memory_order_relaxed) != open) return;
      std::vector<int> absent;
      for (int r = 0; r < size_; ++r)
        if (!op.here[static_cast<std::size_t>(r)]) absent.push_back(r);
      fail(op, {describe(op.calls[static_cast<std::size_t>(rank)]),
                "waited " + name_seconds(seconds) + ", and " + name_ranks(absent) + " did not come",
                "Look at what " + std::string(absent.size() == 1 ? "that rank was" : "those ranks were") +
                    " doing, or allow more time"});
    }
    wake();
  }

  inline void fail(collective& op, failure f) {  // with the mutex held
    op.why = std::move(f);
    op.state.store(failed, std::memory_order_release);
  }
  inline void fail(message& m, failure f) {
    for (auto* lists : {&sends_, &receives_})
      for (auto& list : *lists) std::erase(list, &m);
    m.why = std::move(f);
    m.state.store(failed, std::memory_order_release);
  }

  inline collective* find(std::uint64_t number) {
    for (;;) {
      auto*& slot = ring_[number & (ring_.size() - 1)];
      if (slot && slot->number == number) return slot;
      if (!slot) return slot = fresh(number);
      std::vector<collective*> wider(ring_.size() * 2, nullptr);  // more operations under way than ever before
      for (auto* op : ring_)
        if (op) wider[op->number & (wider.size() - 1)] = op;
      ring_.swap(wider);
    }
  }

  inline collective* fresh(std::uint64_t number) {
    if (free_.empty()) {
      auto const number_of_all = std::max<std::size_t>(16, 2 * all_.size());
      all_.reserve(number_of_all);
      free_.reserve(number_of_all);
      while (all_.size() < number_of_all) {
        all_.push_back(make_owned<collective>());
        free_.push_back(all_.back().get());
        free_.back()->calls.resize(static_cast<std::size_t>(size_));
        free_.back()->here.resize(static_cast<std::size_t>(size_));
        free_.back()->turns = std::make_unique<collective::turn[]>(static_cast<std::size_t>(size_));
      }
    }
    auto* op = free_.back();
    free_.pop_back();
    op->number = number;
    std::fill(op->here.begin(), op->here.end(), char{0});
    op->arrived = 0;
    op->released.store(0, std::memory_order_relaxed);
    op->finished.store(0, std::memory_order_relaxed);
    op->state.store(open, std::memory_order_relaxed);
    return op;
  }

  inline void run_split(collective& op) {
    std::vector<int> order;
    for (int r = 0; r < size_; ++r)
      if (op.calls[static_cast<std::size_t>(r)].root >= 0) order.push_back(r);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      auto const &x = op.calls[static_cast<std::size_t>(a)], &y = op.calls[static_cast<std::size_t>(b)];
      return std::pair(x.root, x.tag) < std::pair(y.root, y.tag);
    });
    for (std::size_t i = 0; i < order.size();) {
      int const color = op.calls[static_cast<std::size_t>(order[i])].root;
      std::size_t j = i;
      while (j < order.size() && op.calls[static_cast<std::size_t>(order[j])].root == color) ++j;
      auto child = std::make_shared<local_core_of>(static_cast<int>(j - i));
      child->heard_ = heard_;
      child->from_ = this->shared_from_this();
      child->spins_ = spins_;  // its ranks share the processors with all others
      for (std::size_t k = i; k < j; ++k) child->origins_.push_back(origin(order[k]));
      for (std::size_t k = i; k < j; ++k)
        *static_cast<place*>(op.calls[static_cast<std::size_t>(order[k])].out.data) = {child, static_cast<int>(k - i)};
      std::lock_guard lock(mutex_);
      std::erase_if(children_, [](auto const& w) { return w.expired(); });
      children_.push_back(child);
      i = j;
    }
  }

  int size_, spins_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int sleepers_ = 0;
  std::vector<collective*> ring_;  // by number; grows to the most operations ever under way
  std::vector<owned_ptr<collective>> all_;
  std::vector<collective*> free_;
  std::vector<std::vector<message*>> sends_, receives_;  // unmatched, by receiver
  std::optional<failure> broken_;
  std::vector<int> gone_;              // ranks whose functions have returned
  std::pair<int, std::string> ended_;  // the first rank that was abandoned, and why
  std::vector<std::weak_ptr<local_core_of>> children_;
  std::shared_ptr<local_core_of> from_;       // what it was split from: the way by which a departure gets here
  std::shared_ptr<std::vector<char>> heard_;  // by origin; each rank writes and reads its own
  std::vector<int> origins_;                  // of each rank; empty: itself
};

using local_core = local_core_of<>;

PLEAT_COMPILED_ONCE(class local_core_of<>);

}  // namespace pleat::comm::detail
