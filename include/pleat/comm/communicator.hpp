// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The communicator that the library above this room uses: any transport, behind one indirect call per operation.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/checks.hpp>
#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/owned_ptr.hpp>
#include <pleat/comm/concepts.hpp>
#include <pleat/comm/detail/agreement.hpp>
#include <pleat/comm/detail/elements.hpp>
#include <pleat/comm/detail/transport.hpp>
#include <pleat/comm/detail/verify.hpp>
#include <pleat/comm/request.hpp>
#include <pleat/comm/types.hpp>

namespace pleat::comm {

/// How often an operation was called, and with how many bytes.
struct traffic {
  std::uint64_t calls = 0, bytes = 0;
};

/// A group of ranks that communicate. A move-only value over any transport that models `ranked` and whichever
/// capabilities it has; used by one thread at a time. All ranks call collectives in the same order with the same
/// counts.
///
/// Ranges are anything contiguous: std::vector, std::span, std::array. Elements are host memory.
/// Errors name the rank, the call, the argument and what to do.
class communicator {
 public:
  /// An empty communicator: every use throws.
  communicator() noexcept = default;

  /// Takes a transport.
  template <class Transport>
    requires(!std::same_as<std::remove_cvref_t<Transport>, communicator> && !std::is_lvalue_reference_v<Transport>)
  communicator(Transport&& t) {  // NOLINT: a transport *is* a communicator
    demand_ranked<Transport>();
    if constexpr (ranked<Transport>) {
      adopt(make_owned<detail::transport_model<Transport>>(std::move(t)));
    }
  }
  communicator(communicator&& o) noexcept { *this = std::move(o); }
  communicator& operator=(communicator&& o) noexcept {
    transport_ = std::move(o.transport_);
    briefly_ = o.briefly_;
    rank_ = std::exchange(o.rank_, -1);
    size_ = std::exchange(o.size_, 0);
    seconds_ = o.seconds_;
    checks_ = o.checks_;
    straight_ = std::exchange(o.straight_, 0);
    tag_ = o.tag_;
    calls_ = o.calls_;
    bytes_ = o.bytes_;
    scratch_ = std::move(o.scratch_);
    return *this;
  }

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(transport_); }
  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] int size() const noexcept { return size_; }
  [[nodiscard]] std::string_view name() const { return transport_ ? transport_->name() : "empty"; }

  // ---- collectives: each blocking and as `i…`, which returns a request ----

  PLEAT_LAZY void barrier() { run({.kind = call_kind::barrier}); }
  PLEAT_LAZY [[nodiscard]] request ibarrier() { return start({.kind = call_kind::barrier}); }

  /// Every rank ends with rank `root`'s elements.
  template <class R> void broadcast(R&& data, int root = 0) {
    buffer const to = detail::writing(data);
    run_briefly(to, to, {call_kind::broadcast, to.type, reduction::sum, root});
  }
  template <class R> [[nodiscard]] request ibroadcast(R&& data, int root = 0) {
    return start(broadcast_of(data, root));
  }

  /// Rank `root`'s `out` receives the elementwise combination; elsewhere `out` may be empty. In place: the same range
  /// twice.
  template <class In, class O> void reduce(In&& in, O&& out, reduction op = reduction::sum, int root = 0) {
    run(reduce_of(in, out, op, root));
  }
  template <class In, class O>
  [[nodiscard]] request ireduce(In&& in, O&& out, reduction op = reduction::sum, int root = 0) {
    return start(reduce_of(in, out, op, root));
  }

  /// Every rank's `out` receives the elementwise combination, the same bits everywhere. In place: the same range twice,
  /// or once.
  template <class In, class O>
    requires detail::receives<O>
  void all_reduce(In&& in, O&& out, reduction op = reduction::sum) {
    briefly_two(call_kind::all_reduce, in, out, op);
  }
  template <class R> void all_reduce(R&& data, reduction op = reduction::sum) {
    briefly_two(call_kind::all_reduce, data, data, op);
  }
  template <class In, class O>
    requires detail::receives<O>
  [[nodiscard]] request iall_reduce(In&& in, O&& out, reduction op = reduction::sum) {
    return start(two(call_kind::all_reduce, in, out, op));
  }
  template <class R> [[nodiscard]] request iall_reduce(R&& data, reduction op = reduction::sum) {
    return start(two(call_kind::all_reduce, data, data, op));
  }

  /// Block `rank` of the combination; in has size() times the elements of out. `out` may be this rank's block of `in`.
  template <class In, class O> void reduce_scatter(In&& in, O&& out, reduction op = reduction::sum) {
    briefly_two(call_kind::reduce_scatter, in, out, op);
  }
  template <class In, class O> [[nodiscard]] request ireduce_scatter(In&& in, O&& out, reduction op = reduction::sum) {
    return start(two(call_kind::reduce_scatter, in, out, op));
  }
  /// With counts[r] elements for rank r. In place as reduce_scatter.
  template <class In, class O>
  void reduce_scatter_v(In&& in, O&& out, std::span<index_t const> counts, reduction op = reduction::sum) {
    run(two(call_kind::reduce_scatter_v, in, out, op, {}, {counts, {}}));
  }
  template <class In, class O>
  [[nodiscard]] request ireduce_scatter_v(In&& in, O&& out, std::span<index_t const> counts,
                                          reduction op = reduction::sum) {
    return start(two(call_kind::reduce_scatter_v, in, out, op, {}, {counts, {}}));
  }

  /// Everybody's elements in rank order. `in` may be its own block of `out`.
  template <class In, class O> void all_gather(In&& in, O&& out) { briefly_two(call_kind::all_gather, in, out); }
  template <class In, class O> [[nodiscard]] request iall_gather(In&& in, O&& out) {
    return start(two(call_kind::all_gather, in, out));
  }
  /// With parts of their own sizes. In place as all_gather.
  template <class In, class O> void all_gather_v(In&& in, O&& out, parts p) {
    run(two(call_kind::all_gather_v, in, out, {}, {}, p));
  }
  template <class In, class O> [[nodiscard]] request iall_gather_v(In&& in, O&& out, parts p) {
    return start(two(call_kind::all_gather_v, in, out, {}, {}, p));
  }

  /// Block j of rank i becomes block i of rank j.
  template <class In, class O> void all_to_all(In&& in, O&& out) { run(two(call_kind::all_to_all, in, out)); }
  template <class In, class O> [[nodiscard]] request iall_to_all(In&& in, O&& out) {
    return start(two(call_kind::all_to_all, in, out));
  }
  template <class In, class O> void all_to_all_v(In&& in, parts from, O&& out, parts to) {
    run(two(call_kind::all_to_all_v, in, out, {}, from, to));
  }
  template <class In, class O> [[nodiscard]] request iall_to_all_v(In&& in, parts from, O&& out, parts to) {
    return start(two(call_kind::all_to_all_v, in, out, {}, from, to));
  }

  // ---- messages: 0 <= tag < user_tags; the receiver states the sender's count and type exactly ----

  template <class R> void send(R&& data, int peer, int tag = 0) {
    const_buffer const from = detail::reading(data);
    run_briefly(from, {nullptr, 0, from.type}, {call_kind::send, from.type, reduction::sum, peer, tag});
  }
  template <class R> [[nodiscard]] request isend(R&& data, int peer, int tag = 0) {
    return start(send_of(data, peer, tag));
  }
  template <class R> void receive(R&& data, int peer, int tag = 0) {
    buffer const to = detail::writing(data);
    run_briefly({nullptr, 0, to.type}, to, {call_kind::receive, to.type, reduction::sum, peer, tag});
  }
  template <class R> [[nodiscard]] request ireceive(R&& data, int peer, int tag = 0) {
    return start(receive_of(data, peer, tag));
  }

  // ---- one value ----

  template <class T> [[nodiscard]] T all_reduce_value(T x, reduction op = reduction::sum) {
    all_reduce(std::span<T>(&x, 1), op);
    return x;
  }
  template <class T> [[nodiscard]] T broadcast_value(T x, int root = 0) {
    broadcast(std::span<T>(&x, 1), root);
    return x;
  }

  // ---- other groups ----

  /// Collective: ranks of one color become one group, ordered by key, then by rank. A negative color gives an empty
  /// communicator.
  PLEAT_ONCE [[nodiscard]] communicator split(int color, int key) {
    prepare({.kind = call_kind::split, .root = color, .tag = key});
    communicator c;
    if (auto t = transport_->split(color, key)) {
      c.adopt(std::move(t));
      c.set_checks(checks_);
      if (seconds_ >= 0) c.set_timeout(seconds_);
    }
    return c;
  }
  /// Collective: the same ranks, separate traffic.
  PLEAT_LAZY [[nodiscard]] communicator duplicate() { return split(0, rank_); }

  // ---- behaviour ----

  /// How much each call verifies; the same on all ranks.
  void set_checks(checks level) noexcept {
    checks_ = level;
    straight_ = transport_ && level != checks::collective ? size_ : 0;
  }
  [[nodiscard]] checks check_level() const noexcept { return checks_; }

  /// Waiting longer than this throws on the ranks that wait, and names the ranks that did not come. Negative, or
  /// infinity: wait for ever. Call it on all ranks alike. \throws error if the transport has no time-outs
  PLEAT_ONCE void set_timeout(double seconds) {
    demand_transport("set_timeout");
    transport_->set_timeout(seconds);
    seconds_ = seconds;
  }
  [[nodiscard]] double timeout() const noexcept { return seconds_; }

  /// A time-out for the rest of a scope.
  class timeout_scope {
   public:
    PLEAT_LAZY timeout_scope(communicator& c, double seconds) : c_(c), before_(c.timeout()) { c.set_timeout(seconds); }
    timeout_scope(timeout_scope const&) = delete;
    timeout_scope& operator=(timeout_scope const&) = delete;
    ~timeout_scope() {
      try {
        c_.set_timeout(before_);
      } catch (error const&) {  // it could be set before; a transport that refuses now is broken, and says so at its
                                // next call
      }
    }

   private:
    communicator& c_;
    double before_;
  };
  [[nodiscard]] timeout_scope with_timeout(double seconds) { return {*this, seconds}; }

  /// Moves on whatever is under way, without waiting. Transports advance only while somebody polls: a loop that
  /// computes while requests are open calls this now and then.
  PLEAT_LAZY void progress() {
    if (transport_) transport_->progress();
  }

  /// What went through this communicator since it was made: a test's eyes.
  [[nodiscard]] traffic counted(call_kind k) const noexcept {
    return {calls_[static_cast<std::size_t>(k)], bytes_[static_cast<std::size_t>(k)]};
  }

  // ---- calls as values ----

  PLEAT_LAZY void run(call const& c) {
    prepare(c);
    transport_->run(c);
  }
  PLEAT_LAZY [[nodiscard]] request start(call const& c) {
    prepare(c);
    return transport_->start(c);
  }
  /// A tag above the users' for one exchange of messages; the same on all ranks if all ask in the same order.
  [[nodiscard]] int library_tag() noexcept {
    return tags::in_turn + static_cast<int>(tag_++ % (tags::in_turn_end - tags::in_turn));
  }

 private:
  template <class R> static call broadcast_of(R& data, int root) {
    return {.kind = call_kind::broadcast, .in = detail::reading(data), .out = detail::writing(data), .root = root};
  }
  template <class In, class O> static call reduce_of(In& in, O& out, reduction op, int root) {
    return {.kind = call_kind::reduce, .in = detail::reading(in), .out = detail::writing(out), .op = op, .root = root};
  }
  template <class In, class O>
  static call two(call_kind k, In& in, O& out, reduction op = reduction::sum, parts from = {}, parts to = {}) {
    static_assert(std::same_as<std::ranges::range_value_t<In>, std::ranges::range_value_t<O>>,
                  "pleat: both ranges of a collective must have the same element type");
    return {
        .kind = k, .in = detail::reading(in), .out = detail::writing(out), .op = op, .in_parts = from, .out_parts = to};
  }
  template <class R> static call send_of(R& data, int peer, int tag) {
    return {.kind = call_kind::send, .in = detail::reading(data), .root = peer, .tag = tag};
  }
  template <class R> static call receive_of(R& data, int peer, int tag) {
    return {.kind = call_kind::receive, .out = detail::writing(data), .root = peer, .tag = tag};
  }

  PLEAT_ONCE void adopt(owned_ptr<detail::transport> t) {
    transport_ = std::move(t);
    briefly_ = transport_->runs_briefly();
    if (!briefly_.by_kind) briefly_ = detail::whole_calls_of(*transport_);
    rank_ = transport_->rank();
    size_ = transport_->size();
    set_checks(checks_);
  }

  PLEAT_LAZY void demand_transport(std::string_view what) const {
    if (!transport_) [[unlikely]]
      refuse(what);
  }
  PLEAT_LAZY [[noreturn, gnu::cold, gnu::noinline]] static void refuse(std::string_view what) {
    throw error{std::string(what), "the communicator is empty: it was moved from or never set",
                "Use the one that it was moved into"};
  }

  /// Inlined: where the kind is known, few comparisons are left. No `call`, whose stores would come before the message's.
  PLEAT_LAZY [[gnu::always_inline]] inline void run_briefly(const_buffer in, buffer out, brief b) {
    if (!detail::surely_right(in, out, b, straight_)) [[unlikely]]
      look_closer(in.data, in.count, out.data, out.count, b.what(), b.where());
    bool const by_out = b.kind == call_kind::broadcast || b.kind == call_kind::receive;
    count(b.kind, by_out ? out.bytes() : in.bytes());
    index_t const n = by_out || b.kind == call_kind::reduce_scatter ? out.count : in.count;
    int const code =
        briefly_.by_kind[static_cast<std::size_t>(b.kind)](briefly_.self, in.data, out.data, n, b.what(), b.where());
    if (code != 0) [[unlikely]]
      failed_briefly(code, n, b.what(), b.where());
  }
  PLEAT_LAZY [[gnu::cold, gnu::noinline]] void failed_briefly(int code, index_t n, std::uint32_t what,
                                                              std::uint64_t where) {
    if (briefly_.failed) briefly_.failed(briefly_.self, code, n, what, where);
    throw error{"comm::briefly",
                "a function of this transport returned " + std::to_string(code) + ", and nobody says why",
                "Give comm::briefly a `failed` that throws", rank_};
  }
  template <class In, class O>
  [[gnu::always_inline]] void briefly_two(call_kind k, In& in, O& out, reduction op = reduction::sum) {
    static_assert(std::same_as<std::ranges::range_value_t<In>, std::ranges::range_value_t<O>>,
                  "pleat: both ranges of a collective must have the same element type");
    const_buffer const from = detail::reading(in);
    run_briefly(from, detail::writing(out), {k, from.type, op});
  }
  static call whole(void const* in, index_t ins, void* out, index_t outs, brief b) noexcept {
    return {
        .kind = b.kind, .in = {in, ins, b.type}, .out = {out, outs, b.type}, .op = b.op, .root = b.root, .tag = b.tag};
  }
  PLEAT_LAZY [[gnu::cold, gnu::noinline]] void look_closer(void const* in, index_t ins, void* out, index_t outs,
                                                           std::uint32_t what, std::uint64_t where) {
    look_closer(whole(in, ins, out, outs, brief::of(what, where)));
  }
  void count(call_kind k, index_t bytes) noexcept {
    ++calls_[static_cast<std::size_t>(k)];
    bytes_[static_cast<std::size_t>(k)] += static_cast<std::uint64_t>(bytes);
  }
  PLEAT_LAZY void prepare(call const& c) {
    look_closer(c);
    count(c.kind, c.bytes());
  }
  PLEAT_ONCE void look_closer(call const& c);

  owned_ptr<detail::transport> transport_;
  briefly briefly_;
  int rank_ = -1, size_ = 0;
  double seconds_ = -1;
  checks checks_ = checks::cheap;
  int straight_ = 0;  // ranks where there is a transport and what a rank sees alone is enough, else 0
  std::uint32_t tag_ = 0;
  std::array<std::uint64_t, call_kinds> calls_{}, bytes_{};  // apart: two additions, not one of a vector put together
  std::vector<index_t> scratch_;
};

template <class> void communicator::look_closer(call const& c) {
  demand_transport(name_of(c.kind));
  if (checks_ == checks::off) return;
  if (!detail::surely_right(c, size_)) detail::verifier(c, rank_, size_).run();
  if (checks_ == checks::collective) detail::agreement(*transport_, c, rank_, size_, scratch_).run();
}
PLEAT_COMPILED_ONCE(void communicator::look_closer(call const& c));

}  // namespace pleat::comm
