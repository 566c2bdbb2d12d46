// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Runs a `call` value on a transport that has named members only.
#pragma once

#include <string>
#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/comm/concepts.hpp>

namespace pleat::comm::detail {

PLEAT_ONCE [[noreturn]] void cannot(std::string call, int rank, char const* what) {
  throw error{std::move(call), std::string("this transport has no member ") + what,
              "Give it one, or use another transport", rank};
}

template <class C> void run_by_name(C& t, [[maybe_unused]] call const& c) {
  switch (c.kind) {
    case call_kind::barrier:
      if constexpr (has_barrier<C>) return t.barrier();
      else break;
    case call_kind::broadcast:
      if constexpr (has_broadcast<C>) return t.broadcast(c.out, c.root);
      else break;
    case call_kind::reduce:
      if constexpr (has_reduce<C>) return t.reduce(c.in, c.out, c.op, c.root);
      else break;
    case call_kind::all_reduce:
      if constexpr (has_all_reduce<C>) return t.all_reduce(c.in, c.out, c.op);
      else break;
    case call_kind::reduce_scatter:
      if constexpr (has_reduce_scatter<C>) return t.reduce_scatter(c.in, c.out, c.op);
      else break;
    case call_kind::reduce_scatter_v:
      if constexpr (has_reduce_scatter_v<C>) return t.reduce_scatter_v(c.in, c.out, c.out_parts, c.op);
      else break;
    case call_kind::all_gather:
      if constexpr (has_all_gather<C>) return t.all_gather(c.in, c.out);
      else break;
    case call_kind::all_gather_v:
      if constexpr (has_all_gather_v<C>) return t.all_gather_v(c.in, c.out, c.out_parts);
      else break;
    case call_kind::all_to_all:
      if constexpr (has_all_to_all<C>) return t.all_to_all(c.in, c.out);
      else break;
    case call_kind::all_to_all_v:
      if constexpr (has_all_to_all_v<C>) return t.all_to_all_v(c.in, c.in_parts, c.out, c.out_parts);
      else break;
    case call_kind::send:
      if constexpr (has_send<C>) return t.send(c.in, c.root, c.tag);
      else break;
    case call_kind::receive:
      if constexpr (has_receive<C>) return t.receive(c.out, c.root, c.tag);
      else break;
    case call_kind::split:
      break;
  }
  cannot(describe(c), t.rank(), std::string(name_of(c.kind)).c_str());
}

/// A collective without a non-blocking form runs at once: correct, since all ranks start collectives in the same order,
/// but nothing overlaps. A send or receive cannot be replaced like this.
template <class C> request start_by_name(C& t, call const& c) {
  switch (c.kind) {
    case call_kind::barrier:
      if constexpr (has_ibarrier<C>) return t.ibarrier();
      else break;
    case call_kind::broadcast:
      if constexpr (has_ibroadcast<C>) return t.ibroadcast(c.out, c.root);
      else break;
    case call_kind::reduce:
      if constexpr (has_ireduce<C>) return t.ireduce(c.in, c.out, c.op, c.root);
      else break;
    case call_kind::all_reduce:
      if constexpr (has_iall_reduce<C>) return t.iall_reduce(c.in, c.out, c.op);
      else break;
    case call_kind::reduce_scatter:
      if constexpr (has_ireduce_scatter<C>) return t.ireduce_scatter(c.in, c.out, c.op);
      else break;
    case call_kind::reduce_scatter_v:
      if constexpr (has_ireduce_scatter_v<C>) return t.ireduce_scatter_v(c.in, c.out, c.out_parts, c.op);
      else break;
    case call_kind::all_gather:
      if constexpr (has_iall_gather<C>) return t.iall_gather(c.in, c.out);
      else break;
    case call_kind::all_gather_v:
      if constexpr (has_iall_gather_v<C>) return t.iall_gather_v(c.in, c.out, c.out_parts);
      else break;
    case call_kind::all_to_all:
      if constexpr (has_iall_to_all<C>) return t.iall_to_all(c.in, c.out);
      else break;
    case call_kind::all_to_all_v:
      if constexpr (has_iall_to_all_v<C>) return t.iall_to_all_v(c.in, c.in_parts, c.out, c.out_parts);
      else break;
    case call_kind::send:
      if constexpr (has_isend<C>) return t.isend(c.in, c.root, c.tag);
      else cannot(describe(c), t.rank(), "isend");
    case call_kind::receive:
      if constexpr (has_ireceive<C>) return t.ireceive(c.out, c.root, c.tag);
      else cannot(describe(c), t.rank(), "ireceive");
    case call_kind::split:
      break;
  }
  run_by_name(t, c);
  return request{};
}

}  // namespace pleat::comm::detail
