// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the communicator's capability ladders and typed calls say when a member is missing or a type is wrong.
#include <vector>

#include <pleat/comm/communicator.hpp>
#include <pleat/comm/self.hpp>

namespace comm = pleat::comm;

struct transport {
#ifndef WRONG_1
  // expect: a communicator needs `int rank\(\) const`
  [[nodiscard]] int rank() const { return 0; }
#endif
#ifndef WRONG_2
  // expect: a communicator needs `int size\(\) const`: the number of ranks
  [[nodiscard]] int size() const { return 1; }
#endif
#ifndef WRONG_3
  // expect: does all_reduce needs `void all_reduce\(const_buffer in, buffer out, reduction op\)`
  void all_reduce(comm::const_buffer, comm::buffer, comm::reduction) {}
#endif
#ifdef WRONG_4
  // expect: does broadcast needs `void broadcast\(buffer b, int root\)`
  int broadcast(comm::buffer, int) { return 0; }
#else
  void broadcast(comm::buffer, int) {}
#endif
#ifndef WRONG_5
  // expect: does send needs `void send\(const_buffer in, int peer, int tag\)`
  void send(comm::const_buffer, int, int) {}
#endif
#ifndef WRONG_10
  // expect: does barrier needs `void barrier\(\)`
  void barrier() {}
#endif
#ifndef WRONG_11
  // expect: does reduce needs `void reduce\(const_buffer in, buffer out, reduction op, int root\)`
  void reduce(comm::const_buffer, comm::buffer, comm::reduction, int) {}
#endif
#ifndef WRONG_12
  // expect: does reduce_scatter needs `void reduce_scatter\(const_buffer in, buffer out, reduction op\)`
  void reduce_scatter(comm::const_buffer, comm::buffer, comm::reduction) {}
#endif
#ifndef WRONG_13
  // expect: does reduce_scatter_v needs `void reduce_scatter_v\(const_buffer in, buffer out, parts p, reduction op\)`
  void reduce_scatter_v(comm::const_buffer, comm::buffer, comm::parts, comm::reduction) {}
#endif
#ifndef WRONG_14
  // expect: does all_gather needs `void all_gather\(const_buffer in, buffer out\)`
  void all_gather(comm::const_buffer, comm::buffer) {}
#endif
#ifndef WRONG_15
  // expect: does all_gather_v needs `void all_gather_v\(const_buffer in, buffer out, parts p\)`
  void all_gather_v(comm::const_buffer, comm::buffer, comm::parts) {}
#endif
#ifndef WRONG_16
  // expect: does all_to_all needs `void all_to_all\(const_buffer in, buffer out\)`
  void all_to_all(comm::const_buffer, comm::buffer) {}
#endif
#ifndef WRONG_17
  // expect: does all_to_all_v needs `void all_to_all_v\(const_buffer in, parts from, buffer out, parts to\)`
  void all_to_all_v(comm::const_buffer, comm::parts, comm::buffer, comm::parts) {}
#endif
#ifndef WRONG_18
  // expect: does receive needs `void receive\(buffer out, int peer, int tag\)`
  void receive(comm::buffer, int, int) {}
#endif
};

inline void right() {
  comm::demand_ranked<transport>();
  comm::demand_all_reduce<transport>();
  comm::demand_broadcast<transport>();
  comm::demand_barrier<transport>();
  comm::demand_reduce<transport>();
  comm::demand_reduce_scatter<transport>();
  comm::demand_reduce_scatter_v<transport>();
  comm::demand_all_gather<transport>();
  comm::demand_all_gather_v<transport>();
  comm::demand_all_to_all<transport>();
  comm::demand_all_to_all_v<transport>();
  comm::demand_send_receive<transport>();
  comm::communicator c = transport{};
  std::vector<float> v(3);
  c.all_reduce(v);
}

#if defined(WRONG_6)
// expect: the range that receives must have elements that can be written
inline void wrong(comm::communicator& c, std::vector<float> const& v) { c.all_reduce(v); }
#endif
#if defined(WRONG_7)
// expect: communication knows bool, integers, float, double
struct pair {
  int a, b;
};
inline void wrong(comm::communicator& c, std::vector<pair>& v) { c.broadcast(v); }
#endif
#if defined(WRONG_8)
// expect: both ranges of a collective must have the same element type
inline void wrong(comm::communicator& c, std::vector<float>& v, std::vector<double>& w) { c.all_reduce(v, w); }
#endif
#if defined(WRONG_9)
// expect: lanes are sums of float or double
#include <pleat/comm/lane_reduce.hpp>
inline void wrong(comm::communicator& c) { comm::lane_request<int> r(c, 8, 1); }
#endif
