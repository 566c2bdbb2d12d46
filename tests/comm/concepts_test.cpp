// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Each capability has a minimal model; the shipped transports have them all; a communicator takes a partial one.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <vector>

#include <pleat/comm/communicator.hpp>
#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>

using namespace pleat;
using Catch::Matchers::ContainsSubstring;
using comm::buffer;
using comm::const_buffer;
using comm::parts;
using comm::reduction;

namespace {

struct place {
  [[nodiscard]] int rank() const { return 0; }
  [[nodiscard]] int size() const { return 1; }
};
struct only_barrier : place {
  void barrier() {}
};
struct only_broadcast : place {
  void broadcast(buffer, int) {}
};
struct only_reduce : place {
  void reduce(const_buffer, buffer, reduction, int) {}
};
struct only_all_reduce : place {
  void all_reduce(const_buffer, buffer, reduction) {}
};
struct only_reduce_scatter : place {
  void reduce_scatter(const_buffer, buffer, reduction) {}
};
struct only_reduce_scatter_v : place {
  void reduce_scatter_v(const_buffer, buffer, parts, reduction) {}
};
struct only_all_gather : place {
  void all_gather(const_buffer, buffer) {}
};
struct only_all_gather_v : place {
  void all_gather_v(const_buffer, buffer, parts) {}
};
struct only_all_to_all : place {
  void all_to_all(const_buffer, buffer) {}
};
struct only_all_to_all_v : place {
  void all_to_all_v(const_buffer, parts, buffer, parts) {}
};
struct only_messages : place {
  void send(const_buffer, int, int) {}
  void receive(buffer, int, int) {}
};
struct only_iall_reduce : place {
  comm::request iall_reduce(const_buffer, buffer, reduction) { return {}; }
};
struct not_ranked {
  void barrier() {}
};

static_assert(comm::ranked<place> && !comm::ranked<not_ranked>);
static_assert(comm::has_barrier<only_barrier> && !comm::has_barrier<place> && !comm::has_barrier<not_ranked>);
static_assert(comm::has_broadcast<only_broadcast> && !comm::has_broadcast<only_barrier>);
static_assert(comm::has_reduce<only_reduce> && !comm::has_reduce<only_all_reduce>);
static_assert(comm::has_all_reduce<only_all_reduce> && !comm::has_all_reduce<only_reduce>);
static_assert(comm::has_reduce_scatter<only_reduce_scatter> && !comm::has_reduce_scatter<only_reduce_scatter_v>);
static_assert(comm::has_reduce_scatter_v<only_reduce_scatter_v> && !comm::has_reduce_scatter_v<only_reduce_scatter>);
static_assert(comm::has_all_gather<only_all_gather> && !comm::has_all_gather<only_all_gather_v>);
static_assert(comm::has_all_gather_v<only_all_gather_v> && !comm::has_all_gather_v<only_all_gather>);
static_assert(comm::has_all_to_all<only_all_to_all> && !comm::has_all_to_all<only_all_to_all_v>);
static_assert(comm::has_all_to_all_v<only_all_to_all_v> && !comm::has_all_to_all_v<only_all_to_all>);
static_assert(comm::has_send_receive<only_messages> && !comm::has_send_receive<place>);
static_assert(comm::has_iall_reduce<only_iall_reduce> && !comm::has_iall_reduce<only_all_reduce>);
static_assert(comm::full_transport<comm::self> && comm::full_transport<comm::local>);
static_assert(comm::runs_calls<comm::self> && comm::runs_calls<comm::local>);

/// A user's transport: twice the answer, and nothing but all_reduce.
struct doubling : place {
  void all_reduce(const_buffer in, buffer out, reduction) {
    for (index_t i = 0; i < in.count; ++i)
      static_cast<double*>(out.data)[i] = 2 * static_cast<double const*>(in.data)[i];
  }
};

}  // namespace

TEST_CASE("a communicator takes a transport that has one capability") {
  comm::communicator c = doubling{};
  CHECK(c.all_reduce_value(3.0) == 6.0);
  CHECK(c.name() == "user's transport");
  SECTION("a collective without a non-blocking form runs when it is started") {
    std::vector<double> v{1.0, 2.0};
    auto r = c.iall_reduce(v);
    CHECK(r.done());
    CHECK(v == std::vector<double>{2.0, 4.0});
  }
  SECTION("what it lacks is said at the call") {
    CHECK_THROWS_WITH(c.barrier(), ContainsSubstring("barrier: this transport has no member barrier"));
    double x = 0;
    CHECK_THROWS_WITH(c.isend(std::span(&x, 1), 0), ContainsSubstring("no member isend"));
    CHECK_THROWS_WITH(c.split(0, 0), ContainsSubstring("no member split"));
    CHECK_THROWS_WITH(c.set_timeout(1), ContainsSubstring("set_timeout: this transport has no member set_timeout"));
  }
}

TEST_CASE("the ladders hold for what has the capability") {
  comm::demand_barrier<only_barrier>();
  comm::demand_broadcast<only_broadcast>();
  comm::demand_reduce<only_reduce>();
  comm::demand_all_reduce<only_all_reduce>();
  comm::demand_reduce_scatter<only_reduce_scatter>();
  comm::demand_reduce_scatter_v<only_reduce_scatter_v>();
  comm::demand_all_gather<only_all_gather>();
  comm::demand_all_gather_v<only_all_gather_v>();
  comm::demand_all_to_all<only_all_to_all>();
  comm::demand_all_to_all_v<only_all_to_all_v>();
  comm::demand_send_receive<only_messages>();
  comm::demand_all_reduce<comm::local>();
  SUCCEED();
}
