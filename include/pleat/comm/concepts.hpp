// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a communicator can do: one concept per operation, and for each a ladder that says in words what is missing (law
/// 1).
///
/// A transport of one's own is a movable class with rank(), size() and any of the members below; comm::communicator
/// takes it as it is, and an operation that it lacks throws and says so. `i…` members are the non-blocking forms: they
/// return a request, and buffers and spans stay the caller's until it is complete. Collectives are entered by all ranks
/// in the same order.
#pragma once

#include <concepts>
#include <utility>

#include <pleat/comm/request.hpp>
#include <pleat/comm/types.hpp>

namespace pleat::comm {

namespace detail {
template <class C>
concept says_rank = requires(C const& c) {
  { c.rank() } -> std::convertible_to<int>;
};
template <class C>
concept says_size = requires(C const& c) {
  { c.size() } -> std::convertible_to<int>;
};
}  // namespace detail

/// A place among numbered ranks: 0 <= rank() < size(), constant over the value's life. Minimal model: two int
/// functions.
template <class C>
concept ranked = detail::says_rank<C> && detail::says_size<C>;

/// Says what `ranked` misses.
template <class C> constexpr void demand_ranked() {
  static_assert(detail::says_rank<C>,
                "pleat: a communicator needs `int rank() const`: this process's or thread's number");
  static_assert(detail::says_size<C>, "pleat: a communicator needs `int size() const`: the number of ranks");
}

/// barrier: no rank leaves before every rank has entered.
template <class C>
concept has_barrier = ranked<C> && requires(C& c) {
  { c.barrier() } -> std::same_as<void>;
};
template <class C>
concept has_ibarrier = ranked<C> && requires(C& c) {
  { c.ibarrier() } -> std::same_as<request>;
};
template <class C> constexpr void demand_barrier() {
  demand_ranked<C>();
  static_assert(has_barrier<C>, "pleat: a communicator that does barrier needs `void barrier()`");
}

/// broadcast: every rank ends with the elements of rank `root`.
template <class C>
concept has_broadcast = ranked<C> && requires(C& c, buffer b, int root) {
  { c.broadcast(b, root) } -> std::same_as<void>;
};
template <class C>
concept has_ibroadcast = ranked<C> && requires(C& c, buffer b, int root) {
  { c.ibroadcast(b, root) } -> std::same_as<request>;
};
template <class C> constexpr void demand_broadcast() {
  demand_ranked<C>();
  static_assert(has_broadcast<C>,
                "pleat: a communicator that does broadcast needs `void broadcast(buffer b, int root)`");
}

/// reduce: rank `root` ends with the elementwise combination of all ranks' `in`; elsewhere `out` is not touched.
template <class C>
concept has_reduce = ranked<C> && requires(C& c, const_buffer in, buffer out, reduction op, int root) {
  { c.reduce(in, out, op, root) } -> std::same_as<void>;
};
template <class C>
concept has_ireduce = ranked<C> && requires(C& c, const_buffer in, buffer out, reduction op, int root) {
  { c.ireduce(in, out, op, root) } -> std::same_as<request>;
};
template <class C> constexpr void demand_reduce() {
  demand_ranked<C>();
  static_assert(has_reduce<C>,
                "pleat: a communicator that does reduce needs `void reduce(const_buffer in, buffer out, reduction op, "
                "int root)`");
}

/// all_reduce: every rank ends with the same bits: the elementwise combination of all ranks' `in`. `out` may be `in`.
template <class C>
concept has_all_reduce = ranked<C> && requires(C& c, const_buffer in, buffer out, reduction op) {
  { c.all_reduce(in, out, op) } -> std::same_as<void>;
};
template <class C>
concept has_iall_reduce = ranked<C> && requires(C& c, const_buffer in, buffer out, reduction op) {
  { c.iall_reduce(in, out, op) } -> std::same_as<request>;
};
template <class C> constexpr void demand_all_reduce() {
  demand_ranked<C>();
  static_assert(
      has_all_reduce<C>,
      "pleat: a communicator that does all_reduce needs `void all_reduce(const_buffer in, buffer out, reduction op)`");
}

/// reduce_scatter: rank r ends with block r of the combination; in.count == size() * out.count. `out` may be block r of
/// `in`.
template <class C>
concept has_reduce_scatter = ranked<C> && requires(C& c, const_buffer in, buffer out, reduction op) {
  { c.reduce_scatter(in, out, op) } -> std::same_as<void>;
};
template <class C>
concept has_ireduce_scatter = ranked<C> && requires(C& c, const_buffer in, buffer out, reduction op) {
  { c.ireduce_scatter(in, out, op) } -> std::same_as<request>;
};
template <class C> constexpr void demand_reduce_scatter() {
  demand_ranked<C>();
  static_assert(has_reduce_scatter<C>,
                "pleat: a communicator that does reduce_scatter needs `void reduce_scatter(const_buffer in, buffer "
                "out, reduction op)`");
}

/// reduce_scatter_v: as reduce_scatter, with p.counts[r] elements for rank r; p is the same on every rank and has no
/// offsets.
template <class C>
concept has_reduce_scatter_v = ranked<C> && requires(C& c, const_buffer in, buffer out, parts p, reduction op) {
  { c.reduce_scatter_v(in, out, p, op) } -> std::same_as<void>;
};
template <class C>
concept has_ireduce_scatter_v = ranked<C> && requires(C& c, const_buffer in, buffer out, parts p, reduction op) {
  { c.ireduce_scatter_v(in, out, p, op) } -> std::same_as<request>;
};
template <class C> constexpr void demand_reduce_scatter_v() {
  demand_ranked<C>();
  static_assert(has_reduce_scatter_v<C>,
                "pleat: a communicator that does reduce_scatter_v needs `void reduce_scatter_v(const_buffer in, buffer "
                "out, parts p, reduction op)`");
}

/// all_gather: every rank ends with all ranks' `in` in rank order; out.count == size() * in.count. `in` may be its own
/// block of `out`.
template <class C>
concept has_all_gather = ranked<C> && requires(C& c, const_buffer in, buffer out) {
  { c.all_gather(in, out) } -> std::same_as<void>;
};
template <class C>
concept has_iall_gather = ranked<C> && requires(C& c, const_buffer in, buffer out) {
  { c.iall_gather(in, out) } -> std::same_as<request>;
};
template <class C> constexpr void demand_all_gather() {
  demand_ranked<C>();
  static_assert(has_all_gather<C>,
                "pleat: a communicator that does all_gather needs `void all_gather(const_buffer in, buffer out)`");
}

/// all_gather_v: as all_gather, with p.counts[r] elements of rank r at p.offset(r).
template <class C>
concept has_all_gather_v = ranked<C> && requires(C& c, const_buffer in, buffer out, parts p) {
  { c.all_gather_v(in, out, p) } -> std::same_as<void>;
};
template <class C>
concept has_iall_gather_v = ranked<C> && requires(C& c, const_buffer in, buffer out, parts p) {
  { c.iall_gather_v(in, out, p) } -> std::same_as<request>;
};
template <class C> constexpr void demand_all_gather_v() {
  demand_ranked<C>();
  static_assert(
      has_all_gather_v<C>,
      "pleat: a communicator that does all_gather_v needs `void all_gather_v(const_buffer in, buffer out, parts p)`");
}

/// all_to_all: block j of rank i becomes block i of rank j; in.count == out.count == size() * block. Buffers do not
/// overlap.
template <class C>
concept has_all_to_all = ranked<C> && requires(C& c, const_buffer in, buffer out) {
  { c.all_to_all(in, out) } -> std::same_as<void>;
};
template <class C>
concept has_iall_to_all = ranked<C> && requires(C& c, const_buffer in, buffer out) {
  { c.iall_to_all(in, out) } -> std::same_as<request>;
};
template <class C> constexpr void demand_all_to_all() {
  demand_ranked<C>();
  static_assert(has_all_to_all<C>,
                "pleat: a communicator that does all_to_all needs `void all_to_all(const_buffer in, buffer out)`");
}

/// all_to_all_v: from.counts[j] elements go to rank j, to.counts[i] elements come from rank i. Buffers do not overlap.
template <class C>
concept has_all_to_all_v = ranked<C> && requires(C& c, const_buffer in, parts from, buffer out, parts to) {
  { c.all_to_all_v(in, from, out, to) } -> std::same_as<void>;
};
template <class C>
concept has_iall_to_all_v = ranked<C> && requires(C& c, const_buffer in, parts from, buffer out, parts to) {
  { c.iall_to_all_v(in, from, out, to) } -> std::same_as<request>;
};
template <class C> constexpr void demand_all_to_all_v() {
  demand_ranked<C>();
  static_assert(has_all_to_all_v<C>,
                "pleat: a communicator that does all_to_all_v needs `void all_to_all_v(const_buffer in, parts from, "
                "buffer out, parts to)`");
}

/// send: hands the elements to rank `peer`; may wait for its receive.
template <class C>
concept has_send = ranked<C> && requires(C& c, const_buffer in, int peer, int tag) {
  { c.send(in, peer, tag) } -> std::same_as<void>;
};
template <class C>
concept has_isend = ranked<C> && requires(C& c, const_buffer in, int peer, int tag) {
  { c.isend(in, peer, tag) } -> std::same_as<request>;
};
template <class C> constexpr void demand_send() {
  demand_ranked<C>();
  static_assert(has_send<C>,
                "pleat: a communicator that does send needs `void send(const_buffer in, int peer, int tag)`");
}

/// receive: takes the elements that rank `peer` sent with this tag, in the order in which they were sent.
template <class C>
concept has_receive = ranked<C> && requires(C& c, buffer out, int peer, int tag) {
  { c.receive(out, peer, tag) } -> std::same_as<void>;
};
template <class C>
concept has_ireceive = ranked<C> && requires(C& c, buffer out, int peer, int tag) {
  { c.ireceive(out, peer, tag) } -> std::same_as<request>;
};
template <class C> constexpr void demand_receive() {
  demand_ranked<C>();
  static_assert(has_receive<C>,
                "pleat: a communicator that does receive needs `void receive(buffer out, int peer, int tag)`");
}

/// Messages between two ranks, in both directions.
template <class C>
concept has_send_receive = has_send<C> && has_receive<C>;
template <class C> constexpr void demand_send_receive() {
  demand_send<C>();
  demand_receive<C>();
}

/// Everything there is, blocking and not.
template <class C>
concept full_transport =
    has_barrier<C> && has_broadcast<C> && has_reduce<C> && has_all_reduce<C> && has_reduce_scatter<C> &&
    has_reduce_scatter_v<C> && has_all_gather<C> && has_all_gather_v<C> && has_all_to_all<C> && has_all_to_all_v<C> &&
    has_send<C> && has_receive<C> && has_ibarrier<C> && has_ibroadcast<C> && has_ireduce<C> && has_iall_reduce<C> &&
    has_ireduce_scatter<C> && has_ireduce_scatter_v<C> && has_iall_gather<C> && has_iall_gather_v<C> &&
    has_iall_to_all<C> && has_iall_to_all_v<C> && has_isend<C> && has_ireceive<C>;

/// Runs operations given as `call` values; what the shipped transports do, and what communicator prefers.
template <class C>
concept runs_calls = ranked<C> && requires(C& c, call const& what) {
  { c.run(what) } -> std::same_as<void>;
  { c.start(what) } -> std::same_as<request>;
};

/// Runs the frequent kinds briefly, besides: what a message of a few bytes feels.
template <class C>
concept runs_briefly = runs_calls<C> && requires(C& c) {
  { c.runs_briefly() } -> std::same_as<briefly>;
};

}  // namespace pleat::comm
