// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The members of the capability concepts, for transports that run a `call` value.
#pragma once

#include <pleat/comm/request.hpp>
#include <pleat/comm/types.hpp>

namespace pleat::comm::detail {

/// Gives Transport, which has run(call const&) and start(call const&), one member per operation.
template <class Transport> class named_calls {
 public:
  void barrier() { run({.kind = call_kind::barrier}); }
  void broadcast(buffer b, int root) { run({.kind = call_kind::broadcast, .in = b, .out = b, .root = root}); }
  void reduce(const_buffer in, buffer out, reduction op, int root) {
    run({.kind = call_kind::reduce, .in = in, .out = out, .op = op, .root = root});
  }
  void all_reduce(const_buffer in, buffer out, reduction op) {
    run({.kind = call_kind::all_reduce, .in = in, .out = out, .op = op});
  }
  void reduce_scatter(const_buffer in, buffer out, reduction op) {
    run({.kind = call_kind::reduce_scatter, .in = in, .out = out, .op = op});
  }
  void reduce_scatter_v(const_buffer in, buffer out, parts p, reduction op) {
    run({.kind = call_kind::reduce_scatter_v, .in = in, .out = out, .op = op, .out_parts = p});
  }
  void all_gather(const_buffer in, buffer out) { run({.kind = call_kind::all_gather, .in = in, .out = out}); }
  void all_gather_v(const_buffer in, buffer out, parts p) {
    run({.kind = call_kind::all_gather_v, .in = in, .out = out, .out_parts = p});
  }
  void all_to_all(const_buffer in, buffer out) { run({.kind = call_kind::all_to_all, .in = in, .out = out}); }
  void all_to_all_v(const_buffer in, parts from, buffer out, parts to) {
    run({.kind = call_kind::all_to_all_v, .in = in, .out = out, .in_parts = from, .out_parts = to});
  }
  void send(const_buffer in, int peer, int tag) { run({.kind = call_kind::send, .in = in, .root = peer, .tag = tag}); }
  void receive(buffer out, int peer, int tag) {
    run({.kind = call_kind::receive, .out = out, .root = peer, .tag = tag});
  }

  [[nodiscard]] request ibarrier() { return start({.kind = call_kind::barrier}); }
  [[nodiscard]] request ibroadcast(buffer b, int root) {
    return start({.kind = call_kind::broadcast, .in = b, .out = b, .root = root});
  }
  [[nodiscard]] request ireduce(const_buffer in, buffer out, reduction op, int root) {
    return start({.kind = call_kind::reduce, .in = in, .out = out, .op = op, .root = root});
  }
  [[nodiscard]] request iall_reduce(const_buffer in, buffer out, reduction op) {
    return start({.kind = call_kind::all_reduce, .in = in, .out = out, .op = op});
  }
  [[nodiscard]] request ireduce_scatter(const_buffer in, buffer out, reduction op) {
    return start({.kind = call_kind::reduce_scatter, .in = in, .out = out, .op = op});
  }
  [[nodiscard]] request ireduce_scatter_v(const_buffer in, buffer out, parts p, reduction op) {
    return start({.kind = call_kind::reduce_scatter_v, .in = in, .out = out, .op = op, .out_parts = p});
  }
  [[nodiscard]] request iall_gather(const_buffer in, buffer out) {
    return start({.kind = call_kind::all_gather, .in = in, .out = out});
  }
  [[nodiscard]] request iall_gather_v(const_buffer in, buffer out, parts p) {
    return start({.kind = call_kind::all_gather_v, .in = in, .out = out, .out_parts = p});
  }
  [[nodiscard]] request iall_to_all(const_buffer in, buffer out) {
    return start({.kind = call_kind::all_to_all, .in = in, .out = out});
  }
  [[nodiscard]] request iall_to_all_v(const_buffer in, parts from, buffer out, parts to) {
    return start({.kind = call_kind::all_to_all_v, .in = in, .out = out, .in_parts = from, .out_parts = to});
  }
  [[nodiscard]] request isend(const_buffer in, int peer, int tag) {
    return start({.kind = call_kind::send, .in = in, .root = peer, .tag = tag});
  }
  [[nodiscard]] request ireceive(buffer out, int peer, int tag) {
    return start({.kind = call_kind::receive, .out = out, .root = peer, .tag = tag});
  }

 private:
  friend Transport;
  named_calls() = default;
  void run(call const& c) { static_cast<Transport*>(this)->run(c); }
  [[nodiscard]] request start(call const& c) { return static_cast<Transport*>(this)->start(c); }
};

}  // namespace pleat::comm::detail
