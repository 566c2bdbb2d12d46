// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Wrong calls give words; calls are counted; what was moved from says so.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>

using namespace pleat;
using Catch::Matchers::ContainsSubstring;
using comm::call_kind;
using comm::reduction;

TEST_CASE("communicator: a wrong call names rank, call and argument") {
  comm::communicator c = comm::self();
  std::vector<float> v(4), w(3);
  float* const null = nullptr;
  CHECK_THROWS_WITH(c.all_reduce(std::span<float>(null, 4)),
                    "pleat: rank 0: all_reduce(F32 x 4, sum): in.data is null, but 4 elements are asked for. "
                    "Allocate the buffer first");
  CHECK_THROWS_WITH(c.run({.kind = call_kind::broadcast, .out = {v.data(), -1, dtype::f32}}),
                    ContainsSubstring("out.count is -1"));
  CHECK_THROWS_WITH(c.broadcast(v, 1),
                    ContainsSubstring("rank 0: broadcast(F32 x 4, root 1): root 1 is not in [0, 1)"));
  CHECK_THROWS_WITH(c.broadcast(v, -1), ContainsSubstring("root -1 is not in [0, 1)"));
  CHECK_THROWS_WITH(c.reduce(v, v, reduction::sum, 3), ContainsSubstring("root 3 is not in [0, 1)"));
  CHECK_THROWS_WITH(c.all_reduce(v, w), ContainsSubstring("out.count is 3, and in.count is 4"));
  CHECK_THROWS_WITH(c.reduce(v, w), ContainsSubstring("out.count is 3, and in.count is 4"));
  CHECK_THROWS_WITH(c.reduce_scatter(v, w), ContainsSubstring("in.count is 4, and size() * out.count is 3"));
  CHECK_THROWS_WITH(c.all_gather(v, w), ContainsSubstring("out.count is 3, and size() * in.count is 4"));
  CHECK_THROWS_WITH(c.all_to_all(v, w), ContainsSubstring("out.count is 3, and in.count is 4"));
  CHECK_THROWS_WITH(c.all_to_all(v, v), ContainsSubstring("in and out overlap"));
  std::vector<float> shared(5);
  std::span<float> const front(shared.data(), 4), back(shared.data() + 1, 4);
  std::array<index_t, 1> const four{4};
  auto const not_same =
      ContainsSubstring("in and out overlap, and are not the same. Use two buffers, or one as in and out");
  CHECK_THROWS_WITH(c.all_reduce(front, back), not_same);
  CHECK_THROWS_WITH(c.reduce(back, front), not_same);
  std::string const elsewhere = "in and out overlap, and not where this rank's elements are. Use two buffers, or as ";
  auto const out_elsewhere = ContainsSubstring(elsewhere + "out the 4 elements of in from element 0");
  auto const in_elsewhere = ContainsSubstring(elsewhere + "in the 4 elements of out from element 0");
  CHECK_THROWS_WITH(c.reduce_scatter(front, back), out_elsewhere);
  CHECK_THROWS_WITH(c.reduce_scatter_v(front, back, four), out_elsewhere);
  CHECK_THROWS_WITH(c.all_gather(front, back), in_elsewhere);
  CHECK_THROWS_WITH(c.all_gather_v(front, back, {four, {}}), in_elsewhere);
  CHECK_NOTHROW(c.reduce_scatter(front, front));
  CHECK_NOTHROW(c.all_gather(front, front));
  CHECK_THROWS_WITH(c.send(v, 1), ContainsSubstring("peer 1 is not in [0, 1)"));
  CHECK_THROWS_WITH(c.send(v, 0, -4), ContainsSubstring("tag -4 is not in [0, 16384)"));
  CHECK_THROWS_WITH(c.all_reduce(v, reduction::bit_or), ContainsSubstring("reduction bit_or is not defined for F32"));
  CHECK_THROWS_WITH(
      c.run({.kind = call_kind::all_reduce, .in = {v.data(), 3, dtype::f32}, .out = {w.data(), 3, dtype::i32}}),
      ContainsSubstring("in holds F32 and out holds I32"));
  std::array<index_t, 2> const two{2, 2};
  std::array<index_t, 1> const three{3}, minus{-3}, far{9};
  CHECK_THROWS_WITH(c.all_gather_v(v, w, {two, {}}), ContainsSubstring("parts.counts has 2 entries for 1 ranks"));
  CHECK_THROWS_WITH(c.all_gather_v(v, w, {three, {}}), ContainsSubstring("in.count is 4, and parts.counts[rank] is 3"));
  CHECK_THROWS_WITH(c.all_gather_v(w, w, {three, far}), ContainsSubstring("parts puts 3 elements of rank 0 at 9 of 3"));
  CHECK_THROWS_WITH(c.reduce_scatter_v(v, w, three),
                    ContainsSubstring("in.count is 4, and the sum of parts.counts is 3"));
  CHECK_THROWS_WITH(c.all_to_all_v(v, {minus, {}}, w, {three, {}}),
                    ContainsSubstring("in_parts puts -3 elements of rank 0"));
}

namespace {
/// Tells what it was asked for, and does nothing.
struct telling_transport {
  int* root;
  [[nodiscard]] int rank() const { return 0; }
  [[nodiscard]] int size() const { return 1; }
  void broadcast(comm::buffer, int r) { *root = r; }
};
}  // namespace

TEST_CASE("communicator: with checks off a call goes to the transport as it is") {
  int root = 0;
  comm::communicator c = telling_transport{&root};
  std::vector<float> v{1, 2};
  CHECK(c.check_level() == checks::cheap);
  CHECK_THROWS_WITH(c.broadcast(v, 7), ContainsSubstring("root 7 is not in [0, 1)"));
  CHECK(root == 0);
  c.set_checks(checks::off);
  CHECK(c.check_level() == checks::off);
  c.broadcast(v, 7);
  CHECK(root == 7);
  c.set_checks(checks::cheap);
  CHECK_THROWS_WITH(c.broadcast(v, 8), ContainsSubstring("root 8 is not in [0, 1)"));
  CHECK(root == 7);
}

namespace {
/// Hears the frequent kinds briefly, the others whole.
struct brief_transport {
  std::vector<comm::brief>* heard;
  [[nodiscard]] int rank() const { return 0; }
  [[nodiscard]] int size() const { return 2; }
  void run(comm::call const& c) { heard->push_back({call_kind::split, c.type(), c.op, c.root, c.tag}); }
  comm::request start(comm::call const&) { return {}; }
  static int hear(void* self, void const* in, void* out, index_t count, std::uint32_t what, std::uint64_t where) {
    CHECK((count == 4 && (in || out)));
    static_cast<brief_transport*>(self)->heard->push_back(comm::brief::of(what, where));
    return 0;
  }
  comm::briefly runs_briefly() {
    static constexpr comm::briefly::function by_kind[comm::call_kinds] = {hear, hear, hear, hear, hear, hear, hear,
                                                                          hear, hear, hear, hear, hear, hear};
    return {this, by_kind};
  }
};
}  // namespace

TEST_CASE("communicator: a transport that takes frequent kinds briefly hears them whole") {
  static_assert(comm::runs_briefly<brief_transport> && !comm::runs_briefly<comm::self>);
  std::vector<comm::brief> heard;
  comm::communicator c = brief_transport{&heard};
  std::vector<double> v(4), w(4), both(8);
  c.reduce_scatter(both, v, reduction::min);  // a rank's block is 4
  c.all_gather(v, both);
  c.all_reduce(v, w, reduction::prod);
  c.broadcast(v, 0);
  c.send(v, 0, comm::library_tags - 1);
  c.receive(v, 0, 7);
  c.reduce(v, w, reduction::max);  // not one of them
  comm::communicator moved = std::move(c);
  moved.set_checks(checks::off);
  moved.send(v, 65536 * 7, -3);  // nobody looks; it travels all the same
  auto const is = [&](std::size_t i, call_kind k, reduction op, int root, int tag) {
    auto const& b = heard[i];
    CHECK((b.kind == k && b.type == dtype::f64 && b.op == op && b.root == root && b.tag == tag));
  };
  REQUIRE(heard.size() == 8);
  is(0, call_kind::reduce_scatter, reduction::min, 0, 0);
  is(1, call_kind::all_gather, reduction::sum, 0, 0);
  is(2, call_kind::all_reduce, reduction::prod, 0, 0);
  is(3, call_kind::broadcast, reduction::sum, 0, 0);
  is(4, call_kind::send, reduction::sum, 0, comm::library_tags - 1);
  is(5, call_kind::receive, reduction::sum, 0, 7);
  is(6, call_kind::split, reduction::max, 0, 0);
  is(7, call_kind::send, reduction::sum, 65536 * 7, -3);
  CHECK_THROWS_WITH(c.send(v, 0), ContainsSubstring("send: the communicator is empty"));
  CHECK(moved.counted(call_kind::send).calls == 2);
}

TEST_CASE("communicator: empty buffers may be null") {
  comm::communicator c = comm::self();
  std::span<float> const none;
  c.all_reduce(none);
  c.broadcast(none);
  c.all_gather(none, none);
  SUCCEED();
}

TEST_CASE("communicator: moved-from and empty communicators say what they are") {
  comm::communicator c = comm::self();
  comm::communicator d = std::move(c);
  std::vector<float> v(2);
  CHECK(d);
  CHECK_FALSE(c);  // NOLINT: looking at a moved-from communicator is the point
  CHECK(c.rank() == -1);
  CHECK_THROWS_WITH(c.all_reduce(v),
                    "pleat: all_reduce: the communicator is empty: it was moved from or never set. "
                    "Use the one that it was moved into");
  CHECK_THROWS_WITH(c.split(0, 0), ContainsSubstring("split: the communicator is empty"));
  CHECK_THROWS_WITH(c.set_timeout(1), ContainsSubstring("set_timeout: the communicator is empty"));
  c.progress();
}

TEST_CASE("communicator: calls and bytes are counted per operation") {
  comm::communicator c = comm::self();
  std::vector<double> v(10);
  c.all_reduce(v);
  c.iall_reduce(v).wait();
  c.broadcast(v);
  c.barrier();
  CHECK(c.counted(call_kind::all_reduce).calls == 2);
  CHECK(c.counted(call_kind::all_reduce).bytes == 160);
  CHECK(c.counted(call_kind::broadcast).calls == 1);
  CHECK(c.counted(call_kind::broadcast).bytes == 80);
  CHECK(c.counted(call_kind::barrier).calls == 1);
  CHECK(c.counted(call_kind::barrier).bytes == 0);
  CHECK(c.counted(call_kind::all_gather).calls == 0);
  auto const d = std::move(c);
  CHECK(d.counted(call_kind::all_reduce).calls == 2);
}

TEST_CASE("communicator: any contiguous range of any known element type") {
  comm::communicator c = comm::self();
  std::array<long long, 2> a{1, 2};
  std::array<std::byte, 2> b{};
  std::array<bool, 2> d{true, false};
  std::vector<int> const from{1, 2, 3};
  std::vector<int> to(3);
  c.all_reduce(a);
  c.broadcast(b);
  c.all_reduce(d, reduction::bit_or);
  c.all_reduce(from, to);
  CHECK(to == from);
  CHECK(a[1] == 2);
  CHECK(d[0]);
  CHECK_THROWS_WITH(c.all_reduce(d), ContainsSubstring("reduction sum is not defined for BOOL"));
}

TEST_CASE("communicator: at the collective rung ranks agree before they begin, and the odd one out is named on all") {
  std::vector<std::string> said(4);
  auto const wrong = [&](auto const& f) {
    comm::run_local(4, [&](comm::communicator c) {
      c.set_checks(checks::collective);
      auto& mine = said[static_cast<std::size_t>(c.rank())];
      try {
        f(c, c.rank() == 0);  // rank 0 errs: the majority, not the first rank, decides what is right
        mine = "no error";
      } catch (error const& e) {
        mine = e.what();
      }
    });
  };
  auto const all_say = [&](std::string const& text) {
    for (int r = 0; r < 4; ++r)
      CHECK_THAT(said[static_cast<std::size_t>(r)],
                 ContainsSubstring("rank " + std::to_string(r) + ": ") && ContainsSubstring(text));
  };
  wrong([&](comm::communicator& c, bool odd) {
    std::vector<float> v(odd ? 3 : 4);
    c.all_reduce(v);
  });
  all_say("rank 0 asks for all_reduce(F32 x 3, sum) where rank 1 asks for all_reduce(F32 x 4, sum)");
  wrong([&](comm::communicator& c, bool odd) {
    std::vector<float> v(4);
    odd ? c.barrier() : c.all_reduce(v);
  });
  all_say("rank 0 asks for barrier where rank 1 asks for all_reduce(F32 x 4, sum)");
  wrong([&](comm::communicator& c, bool odd) {
    std::vector<float> v(4);
    c.broadcast(v, odd ? 0 : 2);
  });
  all_say("rank 0 asks for broadcast(F32 x 4, root 0) where rank 1 asks for broadcast(F32 x 4, root 2)");
  wrong([&](comm::communicator& c, bool odd) {
    std::vector<int> v(4);
    c.iall_reduce(v, odd ? reduction::max : reduction::min).wait();
  });
  all_say("rank 0 asks for all_reduce(I32 x 4, max) where rank 1 asks for all_reduce(I32 x 4, min)");
  wrong([&](comm::communicator& c, bool odd) {
    std::vector<int> v(4);
    std::vector<float> w(4);
    odd ? c.all_reduce(v) : c.all_reduce(w);
  });
  all_say("rank 0 asks for all_reduce(I32 x 4, sum) where rank 1 asks for all_reduce(F32 x 4, sum)");
  wrong([&](comm::communicator& c, bool odd) {
    std::vector<index_t> const counts = odd ? std::vector<index_t>{1, 2, 1, 1} : std::vector<index_t>{1, 1, 2, 1};
    std::vector<int> v(static_cast<std::size_t>(counts[static_cast<std::size_t>(c.rank())])), all(5);
    c.all_gather_v(v, all, {counts, {}});
  });
  all_say("rank 0 asks for all_gather_v with other parts");
  wrong([&](comm::communicator& c, bool odd) {
    std::vector<index_t> const one(4, 1), sent{1, odd ? 2 : 1, 1, 1};
    std::vector<int> v(odd ? 5 : 4), w(4);
    c.all_to_all_v(v, {sent, {}}, w, {one, {}});
  });
  all_say("rank 0 sends 2 elements to rank 1, which expects 1");
  wrong([&](comm::communicator& c, bool) {
    std::vector<float> v(4, 1.0f);
    c.all_reduce(v);
    c.barrier();
    auto d = c.split(0, 0);
    if (d.check_level() != checks::collective || v[0] != 4.0f) throw error{"the test", "wrong answer"};
  });
  for (auto const& s : said) CHECK(s == "no error");
}
