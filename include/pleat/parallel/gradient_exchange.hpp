// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Data parallelism's one question: how the gradients of all ranks become one. Readiness, packing, communication and
/// finish are apart.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <pleat/base/step_trace.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/pass.hpp>
#include <pleat/nn/state_layout.hpp>
#include <pleat/parallel/bucket_memory.hpp>
#include <pleat/parallel/bucket_sum.hpp>
#include <pleat/parallel/coded_sum.hpp>
#include <pleat/parallel/share.hpp>
#include <pleat/parallel/shard_group.hpp>
#include <pleat/parallel/step_words.hpp>
#include <pleat/parallel/unsent_gradients.hpp>

namespace pleat::parallel {

/// Sums the gradients of the ranks that share a batch, bucket by bucket, while backward still runs.
///
/// All ranks start the exchanges in one order: at first from the back of the arena, after the first step in the order
/// in which rank 0's buckets became ready. A bucket waits for those before it in that order. Parameters that no sample
/// of this rank used count as zero. Where state is sharded, a rank receives the sums of its pieces only. Where
/// gradients are pooled (stages 2 and 3), a bucket has memory from the first gradient that is written into it until it
/// has left; a small pool of such buffers goes round, and every micro-batch is exchanged. Gradients in device memory
/// are exchanged through a copy on the host: whether an MPI reads device memory cannot be known beforehand. Progress:
/// non-blocking communication advances when `poll` is called (nn::call does, once per layer). If anything fails on its
/// way, the sums are lost, for good: what the ranks do next may no longer fit together, so nobody is given a part of a
/// sum, and no further step begins.
template <class T, class Space> class gradient_exchange final : public nn::pass_hooks {
 public:
  using arena_type = nn::arena<T, Space>;
  using value_type = typename arena_type::master_type;

  /// \param ranks those that share the batch; must outlive this, as must the arena \param hybrid whether the mesh has
  /// other axes, too
  /// \param coding what gradients travel in; state stages 0 and 1 only \see demand_codable
  /// \param trace null, or what shows each bucket from its start to its end; must outlive this
  /// \param part which rank of the tensor axis this is
  gradient_exchange(context<Space>& where, shard_group const& ranks, arena_type& arena, plan::plan const& p,
                    bool hybrid = false, gradient_coding const& coding = {}, step_trace* trace = nullptr, int part = 0)
      : where_(&where),
        ranks_(&ranks),
        arena_(&arena),
        trace_(trace),
        overlap_(p.overlap),
        hybrid_(hybrid),
        part_(part),
        memory_(where, arena),
        unsent_(arena) {
    auto const& layout = arena.layout();
    auto const n = buckets().size();
    std::vector<index_range> exact;
    for (auto const& e : arena.entries())
      if (e.kind == nn::parameter_kind::statistic) exact.push_back({e.begin, e.end});
    for (std::size_t b = 0; b < n; ++b) {
      std::unique_ptr<coded_sum<value_type>> coded;
      if (auto parts = parts_of_bucket(arena.entries(), layout, b, coding, ranks.all->size(), p.tensor_ranks,
                                       static_cast<index_t>(sizeof(value_type)));
          std::any_of(parts.begin(), parts.end(), [](coded_part const& part) { return part.coded; }))
        coded = coding.template make<value_type>(*ranks.all, ranks.second_halves.get(), std::move(parts));
      sums_.emplace_back(ranks, p, layout, b, exact, std::move(coded));
    }
    waiting_.resize(n);
    order_.resize(n);
    for (std::size_t i = 0; i < n; ++i) order_[i] = static_cast<int>(i);
    ready_order_.reserve(n);
    done_.resize(arena.entries().size());
    begun_.assign(n, -1);
    staged_.resize(on_host ? 0 : n);
  }

  [[nodiscard]] std::vector<bucket> const& buckets() const noexcept { return arena_->layout().buckets(); }
  /// The order in which exchanges start.
  [[nodiscard]] std::vector<int> const& order() const noexcept { return order_; }
  /// True if every micro-batch is exchanged, not the last one alone.
  [[nodiscard]] bool every_micro_batch() const noexcept { return memory_.pooled(); }
  /// Bytes of the pool of bucket buffers, and of residuals and messages of coded gradients.
  [[nodiscard]] index_t bytes() const noexcept {
    index_t n = memory_.bytes();
    for (auto const& s : sums_)
      if (s.coded()) n += s.coded()->bytes();
    return n;
  }
  /// What this rank has not sent yet, in the arena's flat order on the host: what codecs keep, and what set_residual
  /// gave to gradients that do not travel in one.
  [[nodiscard]] std::vector<value_type> residual() const { return unsent_.get(sums_); }
  /// Codecs take theirs; what is nobody's is added to the gradients of the next step, so that nothing is lost.
  void set_residual(std::vector<value_type> const& flat) { unsent_.set(flat, sums_); }
  /// Whether something is left that no codec keeps.
  [[nodiscard]] bool has_unsent() const noexcept { return !unsent_.empty(); }

  /// f(arena entry, what the codec keeps of its gradient from one step to the next, the same on every rank).
  template <class F> void for_each_codec_memory(F&& f) {
    for (std::size_t b = 0; b < sums_.size(); ++b) {
      auto* const coded = sums_[b].coded();
      for (std::size_t i = 0; coded && i < coded->parts().size(); ++i) {
        auto const memory = coded->memory(i);
        if (memory.empty()) continue;
        index_t const begin = buckets()[b].begin + coded->parts()[i].begin;
        for (auto const& e : arena_->entries())
          if (e.begin == begin && e.end > e.begin) f(e, memory);
      }
    }
  }
  [[nodiscard]] std::uint64_t codec_steps() const noexcept {
    std::uint64_t n = 0;
    for (auto const& s : sums_)
      if (s.coded()) n = std::max(n, s.coded()->steps());
    return n;
  }
  void set_codec_steps(std::uint64_t n) noexcept {
    for (auto const& s : sums_)
      if (s.coded()) s.coded()->set_steps(n);
  }
  /// Codecs forget what they keep themselves; residuals stay.
  void begin_codecs_anew() noexcept {
    for (auto const& s : sums_)
      if (s.coded()) s.coded()->begin_anew();
  }

  /// Before the last micro-batch of a step: from here on gradients may be sent. `s` says which slots hold what. Pooled:
  /// before every one.
  /// \param go_on true: sums are added to those of the step's earlier micro-batches
  /// \param last false: the loss goes on being summed on this rank, and is sent with the last micro-batch
  void begin(share const& s, bool go_on = false, bool last = true) {
    demand_whole();
    share_ = &s;
    closed_ = false;
    go_on_ = go_on;
    last_ = last;
    next_ = next_second_ = first_open_ = 0;
    ready_order_.clear();
    std::fill(done_.begin(), done_.end(), char{0});
    for (std::size_t b = 0; b < buckets().size(); ++b) waiting_[b] = buckets()[b].entries;
    if (!last) mark(static_cast<int>(done_.size()) - 1);
  }

  void gradient_ready(nn::parameter const& p) override { entry_ready(p.id); }

  /// The gradient of arena entry `id` is complete on this rank.
  void entry_ready(int id) {
    mark(id);
    if (overlap_) on_the_way([&] { start_ready(); });
  }

  void poll() override {
    if (overlap_ && next_ > 0) on_the_way([&] { advance(); });
  }

  /// Pooled: the gradient of this parameter gets memory.
  void open_gradient(nn::parameter& w) override {
    if (!memory_.pooled() || w.id < 0 || !w.requires_grad) return;
    auto const b = static_cast<std::size_t>(arena_->layout().owner()[static_cast<std::size_t>(w.id)]);
    if (arena_->layout().replicated(b)) return;
    value_type* memory = nullptr;
    on_the_way([&] { memory = memory_.open(b, [this] { make_room(); }); });
    w.gradients = memory + (arena_->entries()[static_cast<std::size_t>(w.id)].begin - buckets()[b].begin);
    w.slot_stride = memory_.stride();
  }

  /// Zeroes what nobody wrote and sends what has not been sent.
  [[gnu::noinline]] void close() {
    demand_whole();
    if (std::exchange(closed_, true)) return;
    on_the_way([&] { send_all(); });
    if (!unsent_.empty()) unsent_.drop_if_zero();
    share_ = nullptr;
    arriving_ = true;
  }
  /// After close: whether bucket b is where it belongs, without waiting.
  [[nodiscard]] bool has_come(std::size_t b) {
    demand_whole();
    if (arriving_ && sums_[b].under_way()) on_the_way([&] { advance(); });
    return !sums_[b].under_way();
  }
  /// After close: waits for bucket b.
  void wait_for(std::size_t b) {
    demand_whole();
    if (!arriving_) return;
    scoped_span const span(sums_[b].under_way() ? trace_ : nullptr, "wait for gradients", "waiting");
    on_the_way([&] { complete(b); });
  }
  /// Whether a step's gradients may be on their way that nobody has closed.
  [[nodiscard]] bool is_open() const noexcept { return !closed_; }
  /// Whether buckets may still travel after close, or never will: whoever wants to see gradients calls finish or
  /// wait_for first.
  [[nodiscard]] bool arriving() const noexcept { return arriving_ || lost_; }
  /// \throws error if some sums did not come
  void demand_whole() const {
    if (lost_)
      throw error{"parallel::gradient_exchange",
                  "gradients of this step did not come, and what is here are parts of sums",
                  "Load a checkpoint into a new model"};
  }
  /// Whether sums come in two halves: the second ones start as the first ones come, so somebody must see them through
  /// before anything else starts.
  [[nodiscard]] bool in_two_halves() const noexcept {
    return std::any_of(sums_.begin(), sums_.end(), [](auto const& s) { return s.has_second(); });
  }
  /// Whether the order of exchanges is settled: after the first step.
  [[nodiscard]] bool agreed() const noexcept { return agreed_; }

  /// Closes, and waits for everything: slot 0 (this rank's pieces of it, where state is sharded) holds the sum over all
  /// ranks.
  [[gnu::noinline]] void finish() {
    close();
    if (!arriving_) return;
    on_the_way([&] {
      {
        scoped_span const span(ranks_->all->size() > 1 ? trace_ : nullptr, "wait for gradients", "waiting");
        for (int const b : order_) complete(static_cast<std::size_t>(b));
      }
      if (!agreed_) agree();
    });
    arriving_ = false;
  }

  /// How often an exchange has been started: a test counts that accumulation does not communicate.
  [[nodiscard]] std::size_t exchanges() const noexcept { return exchanges_; }

 private:
  static constexpr bool on_host =
      Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible;
  static constexpr int polled_at_once = 4;

  // --- memory of a bucket ---

  /// Where all buffers are in use, the one that was sent first is waited for; only a backward pass that holds all of
  /// them open, none of them sent, makes the pool grow.
  void make_room() {
    advance();
    for (std::size_t i = 0; !memory_.has_spare() && i < next_; ++i)
      if (auto const k = static_cast<std::size_t>(order_[i]); memory_.is_open(k)) complete(k);
  }
  /// The bucket's part of a slot.
  [[nodiscard]] value_type* at(std::size_t b, int slot) {
    return memory_.at(b, slot, [this] { make_room(); });
  }
  /// Where the sum that this rank keeps goes.
  [[nodiscard]] value_type* kept(std::size_t b) {
    return memory_.kept(b, [this] { make_room(); });
  }
  /// True if the sum of this micro-batch is put next to what is kept and added.
  [[nodiscard]] bool adds(std::size_t b) const noexcept { return go_on_ && !arena_->layout().replicated(b); }

  // --- exchange ---

  /// A part of the exchange: if it fails, the sums are lost.
  template <class F> void on_the_way(F&& f) {
    try {
      f();
    } catch (...) {
      lost_ = true;
      throw;
    }
  }

  void send_all() {
    for (std::size_t i = 0; i < order_.size(); ++i) {
      auto const b = static_cast<std::size_t>(order_[i]);
      for (auto [k, last] = memory_.entries_of(b); k < last; ++k) {
        if (done_[k]) continue;
        nn::arena_entry const& e = arena_->entries()[k];
        for (int s = 0; s < share_->slots(); ++s)
          compute::fill(where_->space(), e.end - e.begin, value_type(0), at(b, s) + (e.begin - buckets()[b].begin));
        mark(static_cast<int>(k));
      }
      start_ready();
    }
  }

  void mark(int entry) {
    auto const e = static_cast<std::size_t>(entry);
    if (done_[e]) return;
    done_[e] = 1;
    auto const b = static_cast<std::size_t>(arena_->layout().owner()[e]);
    if (--waiting_[b] == 0) ready_order_.push_back(static_cast<int>(b));
  }

  void start_ready() {
    while (next_ < order_.size() && waiting_[static_cast<std::size_t>(order_[next_])] == 0)
      start(static_cast<std::size_t>(order_[next_++]));
  }

  [[gnu::noinline]] void start(std::size_t b) {
    bucket const& k = buckets()[b];
    if (k.size() == 0 || (!last_ && arena_->layout().replicated(b))) return;
    if (share_->lanes_apart()) fold(b);
    if (!unsent_.empty() && !share_->root_slots().empty())  // to the first slot that this rank gives to the sum
      unsent_.add(*where_, b, part_, [&] { return at(b, share_->root_slots().front()); });
    where_->fence();  // the gradients are written by the instance; the transport reads them from the host
    bool const alone = ranks_->all->size() == 1 && share_->roots().size() == 1;
    if (alone && at(b, 0) + sums_[b].first() == kept(b)) return;
    ++exchanges_;
    if (trace_ && trace_->on()) begun_[b] = trace_->now();
    slots_read_.clear();
    for (int const s : share_->root_slots()) slots_read_.push_back(reachable(s, b));
    value_type* const in = slots_read_.empty() ? nullptr : slots_read_.front();
    value_type* out = kept(b);
    if (adds(b)) out = at(b, 0) + sums_[b].first();
    if constexpr (!on_host) out = staged_[b].data() + (in ? in - staged_[b].data() : 0) + sums_[b].first();
    about(b, [&] { sums_[b].start(slots_read_, out); });
  }

  /// The bucket's part of a slot where the transport can read and write it: in place on a host space, else in a copy on
  /// the host.
  [[nodiscard]] value_type* reachable(int slot, std::size_t b) {
    value_type* const there = at(b, slot);
    if constexpr (on_host) {
      return there;
    } else {
      index_t const n = buckets()[b].size();
      staged_[b].resize(static_cast<std::size_t>(n * arena_->slots()));
      value_type* const here = staged_[b].data() + slot * n;
      copy_to_host(*where_, tensor<value_type, Space>::wrap(there, extents{n}), here);
      return here;
    }
  }

  /// Sums the lanes of each root over the tree; the sum lands in the root's first slot.
  void fold(std::size_t b) {
    auto const& roots = share_->roots();
    for (std::size_t r = 0; r < roots.size(); ++r)
      for (int half = 1; half < roots[r].lanes; half *= 2)
        for (int l = 0; l + half < roots[r].lanes; l += 2 * half) {
          int const to = share_->root_slots()[r] + l;
          compute::add(where_->space(), buckets()[b].size(), static_cast<value_type const*>(at(b, to)),
                       static_cast<value_type const*>(at(b, to + half)), at(b, to));
        }
  }

  /// Moves what is under way on, without waiting: the first few, for buckets come in the order in which they left.
  [[gnu::noinline]] void advance() {
    int open = 0;
    for (std::size_t i = first_open_; i < next_ && open < polled_at_once; ++i) {
      auto const b = static_cast<std::size_t>(order_[i]);
      auto& s = sums_[b];
      if (s.under_way()) {
        ++open;
        if (about(b, [&] { return s.progress(); }) && (!s.has_second() || i < next_second_)) end(b);
      }
      if (i == first_open_ && !s.under_way()) ++first_open_;
    }
    // Second halves start in the order of the first ones, on every rank alike.
    while (next_second_ < next_) {
      auto const b = static_cast<std::size_t>(order_[next_second_]);
      if (sums_[b].under_way() && sums_[b].has_second()) {
        if (!about(b, [&] { return sums_[b].progress(); })) return;
        about(b, [&] { sums_[b].start_second(sums_[b].out()); });
      }
      ++next_second_;
    }
  }
  /// Waits until bucket b is where it belongs.
  void complete(std::size_t b) {
    while (sums_[b].under_way() && sums_[b].has_second()) {
      std::size_t const i = next_second_;
      bool started = false;
      for (std::size_t k = 0; k < i; ++k) started = started || order_[k] == static_cast<int>(b);
      if (started) break;
      auto const before = static_cast<std::size_t>(order_[i]);  // first halves in order, up to this one
      if (sums_[before].under_way() && sums_[before].has_second()) {
        about(before, [&] {
          sums_[before].wait();
          sums_[before].start_second(sums_[before].out());
        });
      }
      ++next_second_;
    }
    if (!sums_[b].under_way()) return memory_.give_back(b);
    about(b, [&] { sums_[b].wait(); });
    end(b);
  }
  /// Communication for bucket b: what goes wrong names its tensors.
  template <class F> decltype(auto) about(std::size_t b, F&& f) {
    return about_bucket(*arena_, b, "the gradients of ", hybrid_, std::forward<F>(f));
  }
  void end(std::size_t b) {
    auto& s = sums_[b];
    s.end();
    value_type* const to = kept(b);
    if constexpr (!on_host) {
      if (!adds(b))
        copy_from_host(*where_, static_cast<value_type const*>(s.out()),
                       tensor<value_type, Space>::wrap(to, extents{s.own()}));
      else
        copy_from_host(*where_, static_cast<value_type const*>(s.out()),
                       tensor<value_type, Space>::wrap(at(b, 0) + s.first(), extents{s.own()}));
    }
    if (adds(b))
      compute::add(where_->space(), s.own(), static_cast<value_type const*>(to),
                   static_cast<value_type const*>(at(b, 0) + s.first()), to);
    if (adds(b)) where_->fence();
    if (begun_[b] >= 0)
      trace_->add({"gradients", "communication", std::exchange(begun_[b], -1), trace_->now(), -1, -1,
                   trace_lane::gradients, static_cast<std::int32_t>(b)});
    memory_.give_back(b);
  }

  /// After the first step: everybody takes the order in which rank 0 became ready.
  void agree() {
    agreed_ = true;
    if (ranks_->all->size() == 1) return;
    order_ = ready_order_;
    ranks_->all->broadcast(std::span<int>(order_), 0);
  }

  context<Space>* where_;
  shard_group const* ranks_;
  arena_type* arena_;
  step_trace* trace_;
  bool overlap_, hybrid_, agreed_ = false, go_on_ = false, last_ = true, closed_ = true, arriving_ = false,
                          lost_ = false;
  int part_;
  std::vector<char> done_;    // entry → gradient complete
  std::vector<int> waiting_;  // bucket → entries not complete
  std::vector<int> order_, ready_order_;
  // first_open_: whatever stands before it in the order has come
  std::size_t next_ = 0, next_second_ = 0, first_open_ = 0, exchanges_ = 0;
  std::vector<value_type*> slots_read_;
  std::vector<std::int64_t> begun_;  // bucket → when its exchange started, for the trace, or -1
  bucket_memory<T, Space> memory_;
  unsent_gradients<T, Space> unsent_;
  std::vector<std::vector<value_type>> staged_;  // bucket → host copies of its slots; empty on a host space
  std::vector<bucket_sum<value_type>> sums_;     // of each bucket; ends before the buffers that it reads
  share const* share_ = nullptr;
};

}  // namespace pleat::parallel
