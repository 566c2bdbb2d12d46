// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How parameters that ranks move in pieces become whole again: after the step, or just before a layer needs them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <pleat/base/step_trace.hpp>
#include <pleat/codec/dense.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/pass.hpp>
#include <pleat/parallel/shard_group.hpp>
#include <pleat/parallel/step_words.hpp>

namespace pleat::parallel {

/// Stages 1 and 2: `send` gives a bucket's pieces to everybody, and they travel on after the step: `open_values` waits
/// for the bucket of a parameter that a layer is about to read, `finish` for all of them. Values stay where they are.
///
/// Stage 3: `open_values` gathers the bucket of a parameter into one of a few buffers, and the next ones in the
/// direction of the walk ahead of their use; `close_values` lets the buffer be used again. What was gathered last stays
/// until its buffer is needed, so that backward finds what forward ended with. Which buffer is reused depends on the
/// order of calls alone, never on time: all ranks gather in one order. A bucket that did not come is refused until it
/// is gathered anew. Between `begin_list` and `end_list` a schedule's list says when instead: `hold` gathers a bucket,
/// `let_go` gives its buffer back, and nothing is gathered ahead. What is held together has a buffer each: more are
/// made, once.
template <class T, class Space> class parameter_gather {
 public:
  /// \param open buckets that one layer needs at once; more buffers are made if a layer needs more
  /// \param hybrid whether the mesh has other axes than the data axis
  /// \param trace null, or what shows each bucket from its start to its end; must outlive this
  parameter_gather(context<Space>& where, shard_group const& ranks, nn::arena<T, Space>& arena, index_t prefetch,
                   int open, bool hybrid = false, step_trace* trace = nullptr)
      : where_(&where),
        ranks_(&ranks),
        arena_(&arena),
        trace_(trace),
        prefetch_(prefetch),
        hybrid_(hybrid),
        requests_(arena.layout().buckets().size()) {
    begun_.assign(requests_.size(), -1);
    sent_.assign(requests_.size(), sent::no);
    if (layout().stage() < 3) return;
    state_.resize(requests_.size());
    for (int i = 0; i < layout().parameter_buffers(open, static_cast<int>(prefetch)); ++i) add_buffer();
  }

  /// Bytes of the buffers that hold whole buckets.
  [[nodiscard]] index_t bytes() const noexcept {
    index_t n = 0;
    for (auto const& b : buffers_) n += static_cast<index_t>(b.memory.size() * sizeof(T));
    return n;
  }
  /// How often a bucket has been gathered.
  [[nodiscard]] std::size_t gathers() const noexcept { return gathers_; }

  // --- stages 1 and 2 ---

  /// Pieces are about to be moved: until a bucket has been sent and has come, it is not whole.
  void announce() {
    for (std::size_t b = 0; b < sent_.size(); ++b)
      if (!layout().replicated(b) && std::exchange(sent_[b], sent::lost) == sent::no) ++travelling_;
  }
  /// Piece b has been moved; gives it to everybody. All ranks send in one order: that in which forward will need them.
  /// After announce.
  void send(std::size_t b) {
    if (layout().replicated(b)) return;
    start(b, in_place(b));
    sent_[b] = sent::travels;
    last_ = std::max(last_, b);
  }
  /// Waits for all that travels.
  void finish() {
    for (std::size_t b = requests_.size(); travelling_ > 0 && b-- > 0;) receive(b);
  }
  [[nodiscard]] bool travelling() const noexcept { return travelling_ > 0; }

  // --- stage 3; before it, open_values waits where it must ---

  void open_values(nn::parameter& w, bool backward) {
    if (w.id < 0) return;
    int const id = arena_->values_of(w.id);
    auto const b = static_cast<std::size_t>(layout().owner()[static_cast<std::size_t>(id)]);
    if (layout().stage() < 3) return receive(b);
    if (layout().replicated(b) || layout().buckets()[b].size() == 0) return;
    use const taken(state_[b]);  // before anything else is gathered: its buffer is taken
    acquire(b);
    state_[b].last = ++clock_;
    for (index_t k = 1; k <= prefetch_ && !listed_; ++k) {
      index_t const next = static_cast<index_t>(b) + (backward ? k : -k);  // buckets are numbered from the back
      if (next < 1 || next >= static_cast<index_t>(requests_.size())) break;
      if (layout().buckets()[static_cast<std::size_t>(next)].size() > 0 && can_acquire(static_cast<std::size_t>(next)))
        acquire(static_cast<std::size_t>(next));
    }
    T* const memory = buffers_[static_cast<std::size_t>(state_[b].buffer)].memory.data();
    complete(b, memory);
    ++state_[b].uses;
    w.values = memory + (arena_->entries()[static_cast<std::size_t>(id)].begin - layout().buckets()[b].begin);
  }
  /// Of a parameter that is not open: nothing.
  void close_values(nn::parameter& w) noexcept {
    if (w.id < 0 || layout().stage() < 3 || !w.values) return;
    auto const b = static_cast<std::size_t>(layout().owner()[static_cast<std::size_t>(arena_->values_of(w.id))]);
    if (layout().replicated(b) || layout().buckets()[b].size() == 0) return;
    if (--state_[b].uses == 0) state_[b].last = ++clock_;
    w.values = nullptr;
  }
  void begin_list() noexcept { listed_ = true; }
  /// What is still held may be kept, or its buffer taken.
  void end_list() noexcept {
    listed_ = false;
    for (auto& s : state_)
      if (std::exchange(s.holds, 0) > 0) --s.uses;
  }
  /// The bucket that a parameter's values lie in; -1: none that is gathered.
  [[nodiscard]] int bucket_of(nn::parameter const& w) const noexcept {
    if (w.id < 0) return -1;
    int const b = layout().owner()[static_cast<std::size_t>(arena_->values_of(w.id))];
    return layout().replicated(static_cast<std::size_t>(b)) ||
                   layout().buckets()[static_cast<std::size_t>(b)].size() == 0
               ? -1
               : b;
  }
  /// Begins to gather bucket b, which stays whole until it has been let go as often.
  void hold(std::size_t b) {
    if (state_[b].holds++ > 0) return;
    ++state_[b].uses;
    acquire(b);
    state_[b].last = ++clock_;
  }
  void let_go(std::size_t b) {
    if (state_[b].holds == 0 || --state_[b].holds > 0 || --state_[b].uses > 0) return;
    drop(b);
  }
  /// Polls what is under way: at stages 1 and 2 the first few, for buckets come in the order in which they left.
  void poll() {
    for (auto const& k : buffers_)
      if (k.bucket >= 0) poll(static_cast<std::size_t>(k.bucket));
    if (travelling_ == 0) return;
    while (last_ > 0 && requests_[last_].done()) --last_;
    int open = 0;
    for (std::size_t b = last_ + 1; b-- > 0 && open < polled_at_once;) open += poll(b) ? 1 : 0;
  }
  /// The pieces have been moved: nothing that was gathered is true any more.
  void forget() {
    for (std::size_t b = 0; b < state_.size(); ++b)
      if (state_[b].buffer >= 0) drop(b);
  }

 private:
  static constexpr bool on_host =
      Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible;
  using view = typename nn::arena<T, Space>::view;
  static constexpr int polled_at_once = 4;
  /// Whether a bucket's pieces travel to where the bucket lies; lost: they did not come.
  enum class sent : std::uint8_t { no, travels, lost };
  struct buffer {
    view memory;
    int bucket = -1;
  };
  /// Of a bucket that has a buffer: what is in it.
  enum class content : std::uint8_t { nothing, comes, whole };
  struct bucket_state {
    int buffer = -1, uses = 0, holds = 0;
    std::uint64_t last = 0;
    content holding = content::nothing;
  };
  /// While it lives a bucket is in use.
  struct use {
    bucket_state* of;
    explicit use(bucket_state& s) noexcept : of(&s) { ++of->uses; }
    use(use const&) = delete;
    use& operator=(use const&) = delete;
    ~use() { --of->uses; }
  };

  [[nodiscard]] nn::state_layout const& layout() const noexcept { return arena_->layout(); }
  [[nodiscard]] T* in_place(std::size_t b) const noexcept { return arena_->values() + layout().buckets()[b].begin; }
  /// Bucket b is whole when this returns. One that could not be received stays what it is: nobody takes half a
  /// parameter for a whole one.
  void receive(std::size_t b) {
    if (sent_[b] == sent::no) return;
    if (sent_[b] == sent::lost) refuse(b, "they did not come after the step before, and are not whole");
    arrive(b, in_place(b));
    sent_[b] = sent::no;
    --travelling_;
  }
  void add_buffer() {
    buffers_.push_back({view("pleat::gathered", static_cast<std::size_t>(layout().largest_bucket())), -1});
  }

  void refuse(std::size_t b, char const* why) {
    about(b, [&] { throw error{"parallel::parameter_gather", why, "Load a checkpoint into a new model"}; });
  }
  /// Stage 3: bucket b is whole when this returns.
  void complete(std::size_t b, T* whole) {
    auto& now = state_[b].holding;
    if (now == content::whole) return;
    if (now == content::nothing) refuse(b, "they did not come when they were gathered");
    arrive(b, whole);
    now = content::whole;
  }

  /// Everybody's pieces of bucket b, into `whole` (where this rank's piece may lie already).
  void start(std::size_t b, T* whole) {
    ++gathers_;
    auto const& k = layout().buckets()[b];
    auto const& p = arena_->pieces()[b];
    T* const own = arena_->owned_values(p);
    T* const mine = whole + (p.begin - k.begin);
    if (ranks_->shards == 1) {
      if (own != mine) codec::detail::copy_values(*where_, static_cast<T const*>(own), mine, p.size());
      return;
    }
    where_->fence();  // the optimizer has written the piece; whoever read the buffer before is done
    if (trace_ && trace_->on()) begun_[b] = trace_->now();
    if constexpr (on_host) {
      about(b, [&] {
        requests_[b] = ranks_->gathers->iall_gather_v(std::span<T const>(own, static_cast<std::size_t>(p.size())),
                                                      std::span<T>(whole, static_cast<std::size_t>(k.size())),
                                                      comm::parts{layout().counts(b), {}});
      });
    } else {
      staged_.resize(requests_.size());
      staged_[b].resize(static_cast<std::size_t>(k.size()));
      T* const here = staged_[b].data() + (p.begin - k.begin);
      copy_to_host(*where_, tensor<T, Space>::wrap(own, extents{p.size()}), here);
      about(b, [&] {
        requests_[b] = ranks_->gathers->iall_gather_v(std::span<T const>(here, static_cast<std::size_t>(p.size())),
                                                      std::span<T>(staged_[b]), comm::parts{layout().counts(b), {}});
      });
    }
  }
  /// Communication for bucket b: what goes wrong names its tensors.
  template <class F> void about(std::size_t b, F&& f) {
    about_bucket(*arena_, b, "the parameters ", hybrid_, std::forward<F>(f));
  }
  /// \returns whether something was under way
  bool poll(std::size_t b) {
    if (requests_[b].done()) return false;
    moving_on(b, [&] {
      if (requests_[b].test()) arrived(b);
    });
    return true;
  }
  /// As about, of a bucket that is under way: if f fails, what travelled is lost.
  template <class F> void moving_on(std::size_t b, F&& f) {
    auto const was_sent = std::exchange(sent_[b], sent_[b] == sent::no ? sent::no : sent::lost);
    auto const was_held = state_.empty() ? content::nothing : std::exchange(state_[b].holding, content::nothing);
    about(b, f);
    sent_[b] = was_sent;
    if (!state_.empty()) state_[b].holding = was_held;
  }
  void wait(std::size_t b) {
    scoped_span const span(requests_[b].done() ? nullptr : trace_, "wait for parameters", "waiting");
    moving_on(b, [&] { requests_[b].wait(); });
    arrived(b);
  }
  /// The trace's span ends, if there is one.
  void arrived(std::size_t b) {
    if (begun_[b] >= 0)
      trace_->add({"parameters", "communication", std::exchange(begun_[b], -1), trace_->now(), -1, -1,
                   trace_lane::parameters, static_cast<std::int32_t>(b)});
  }
  void arrive(std::size_t b, T* whole) {
    if (requests_[b].done() && on_host) return arrived(b);
    wait(b);
    if constexpr (!on_host) {
      if (staged_.empty() || staged_[b].empty()) return;
      copy_from_host(*where_, static_cast<T const*>(staged_[b].data()),
                     tensor<T, Space>::wrap(whole, extents{layout().buckets()[b].size()}));
      staged_[b].clear();  // its memory stays
    }
  }

  /// A buffer that may be taken: an empty one, else the one whose bucket was used longest ago and is not in use. None:
  /// size().
  [[nodiscard]] std::size_t victim() const noexcept {
    std::size_t best = buffers_.size();
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
      int const b = buffers_[i].bucket;
      if (b < 0) return i;
      if (state_[static_cast<std::size_t>(b)].uses > 0) continue;
      if (best == buffers_.size() ||
          state_[static_cast<std::size_t>(b)].last < state_[static_cast<std::size_t>(buffers_[best].bucket)].last)
        best = i;
    }
    return best;
  }
  /// The bucket's buffer is free again.
  void drop(std::size_t b) {
    wait(b);
    buffers_[static_cast<std::size_t>(state_[b].buffer)].bucket = -1;
    state_[b] = {};
  }
  [[nodiscard]] bool can_acquire(std::size_t b) const noexcept {
    return state_[b].buffer >= 0 || victim() < buffers_.size();
  }

  void acquire(std::size_t b) {
    if (state_[b].buffer >= 0) return;
    std::size_t const at = victim();
    if (at == buffers_.size()) add_buffer();
    if (int const old = buffers_[at].bucket; old >= 0) {
      auto const o = static_cast<std::size_t>(old);
      wait(o);
      state_[o] = {};
    }
    buffers_[at].bucket = static_cast<int>(b);
    state_[b].buffer = static_cast<int>(at);
    state_[b].last = ++clock_;
    start(b, buffers_[at].memory.data());
    state_[b].holding = content::comes;
  }

  context<Space>* where_;
  shard_group const* ranks_;
  nn::arena<T, Space>* arena_;
  step_trace* trace_;
  index_t prefetch_;
  bool hybrid_, listed_ = false;
  std::vector<bucket_state> state_;
  std::vector<buffer> buffers_;
  std::vector<std::vector<T>> staged_;  // host copies; empty on a host space
  std::uint64_t clock_ = 0;
  std::size_t gathers_ = 0, travelling_ = 0, last_ = 0;  // last_: no bucket behind it is under way, at stages 1 and 2
  std::vector<sent> sent_;                               // of each bucket, at stages 1 and 2
  std::vector<std::int64_t> begun_;                      // bucket → when it was asked for, for the trace, or -1
  std::vector<comm::request> requests_;                  // of each bucket; ends before the buffers that it writes
};

}  // namespace pleat::parallel
