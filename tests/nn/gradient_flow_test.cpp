// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What no layer shows alone: lanes, micro-batches, frozen and tied parameters, batches without a sample, the two halves
// of backward.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/comm/self.hpp>

#include "nn/nn_nets.hpp"
#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;

namespace {

/// One forward and backward over rows [begin, end) of the batch; dy is keyed by the global row.
template <class Net, class T>
tensor<T, space> walk(trained<Net>& t, tensor<T, space> const& x, tensor<T, space> const& dy, index_t begin,
                      index_t end, std::span<nn::segment const> segments, bool input_gradient = true) {
  auto p = t.pass(segments, x.batch());
  p.first_sample = begin;
  p.input_gradient = input_gradient;
  t.begin();
  auto out = nn::call(p, t.net, x.rows(begin, end));
  return nn::call_backward(p, t.net, out.saved, dy.rows(begin, end));
}

template <class T> std::vector<T> fold(std::vector<std::vector<T>> lanes) {
  for (std::size_t s = 1; s < lanes.size(); s *= 2)
    for (std::size_t l = 0; l + s < lanes.size(); l += 2 * s)
      for (std::size_t i = 0; i < lanes[l].size(); ++i) lanes[l][i] = lanes[l][i] + lanes[l + s][i];
  return lanes[0];
}

template <class Net> void lanes_agree(Net const& net) {
  context<space> c{make_instance<space>(2)};
  index_t const m = 19;  // lanes of two and three samples
  auto const x = random_tensor<float>(c, {m, 2, 8, 8}, 1);
  auto const dy = random_tensor<float>(c, {m, 6}, 2);
  trained together(c, net), apart(c, net, 8);
  auto const all = cut(m, 8);
  auto const dx = walk(together, x, dy, 0, m, {&all, 1});

  std::vector<std::vector<float>> lanes;
  std::vector<float> dx_apart;
  for (int l = 0; l < 8; ++l) {
    index_t const begin = m * l / 8, end = m * (l + 1) / 8;
    auto s = whole(end - begin);
    s.slot = l;
    auto const part = to_host(c, walk(apart, x, dy, begin, end, {&s, 1}));
    dx_apart.insert(dx_apart.end(), part.begin(), part.end());
    lanes.push_back(apart.gradients(l));
  }
  CHECK(same_bits(to_host(c, dx), dx_apart));
  auto const a = together.gradients(), b = fold(lanes);
  for (auto const& e : together.memory.entries()) {
    if (e.name == nn::loss_entry) continue;
    INFO(e.name);
    CHECK(same_bits(std::vector<float>(a.begin() + e.begin, a.begin() + e.end),
                    std::vector<float>(b.begin() + e.begin, b.begin() + e.end)));
    bool any = false;
    for (auto i = e.begin; i < e.end; ++i) any = any || a[static_cast<std::size_t>(i)] != 0;
    CHECK(any);  // zeros would agree too
  }
}

}  // namespace

TEST_CASE("eight lanes in one pass give the bits of eight passes and a tree") {
  lanes_agree(image_net<float>());
  lanes_agree(cut_net<float>());
}

TEST_CASE("two segments give the bits of the same lanes in two passes") {
  context<space> c{make_instance<space>(2)};
  index_t const m = 11;
  auto const x = random_tensor<float>(c, {m, 2, 8, 8}, 1);
  auto const dy = random_tensor<float>(c, {m, 6}, 2);
  trained t(c, image_net<float>(), 2), u(c, image_net<float>(), 2);
  nn::segment s[2] = {cut(6, 2, 0), whole(11)};
  s[1].slot = 1;
  s[1].lanes.row[0] = 6;
  (void)walk(t, x, dy, 0, m, s);
  auto a = cut(6, 2), b = whole(5);
  b.slot = 1;
  (void)walk(u, x, dy, 0, 6, {&a, 1});
  (void)walk(u, x, dy, 6, 11, {&b, 1});
  for (auto const& e : t.memory.entries()) {
    if (e.name == nn::loss_entry) continue;
    INFO(e.name);
    CHECK(same_bits(t.gradient(e.name, 0), u.gradient(e.name, 0)));
    CHECK(same_bits(t.gradient(e.name, 1), u.gradient(e.name, 1)));
  }
}

TEST_CASE("micro-batches that cut a lane anywhere give the bits of the whole") {
  context<space> c{make_instance<space>(2)};
  index_t const m = 13;
  auto const x = random_tensor<float>(c, {m, 2, 8, 8}, 1);
  auto const dy = random_tensor<float>(c, {m, 6}, 2);
  trained together(c, cut_net<float>());
  auto const all = whole(m);
  auto const dx = to_host(c, walk(together, x, dy, 0, m, {&all, 1}));
  for (index_t const at : {index_t{1}, index_t{5}, index_t{12}, index_t{13}}) {
    trained apart(c, cut_net<float>());
    auto const first = whole(at), second = whole(m - at, true);
    auto dx2 = to_host(c, walk(apart, x, dy, 0, at, {&first, 1}));
    auto const rest = to_host(c, walk(apart, x, dy, at, m, {&second, 1}));
    dx2.insert(dx2.end(), rest.begin(), rest.end());
    INFO("cut at " << at);
    CHECK(same_bits(together.gradients(), apart.gradients()));
    CHECK(same_bits(dx, dx2));
  }
}

TEST_CASE("the halves of backward give the bits of the whole") {
  context<space> c{make_instance<space>(2)};
  auto const x = random_tensor<float>(c, {5, 2, 8, 8}, 1);
  auto const dy = random_tensor<float>(c, {5, 6}, 2);
  for (bool const input_gradient : {true, false}) {
    trained a(c, image_net<float>()), b(c, image_net<float>());
    auto const all = whole(5);
    auto const dx = walk(a, x, dy, 0, 5, {&all, 1}, input_gradient);
    auto p = b.pass({&all, 1}, 5);
    p.input_gradient = input_gradient;
    b.begin();
    auto out = nn::call(p, b.net, x);
    auto const dx2 = nn::call_backward_input(p, b.net, out.saved, dy);
    nn::call_backward_weight(p, b.net, out.saved);
    CHECK(same_bits(a.gradients(), b.gradients()));
    CHECK((dx.data() != nullptr) == input_gradient);
    CHECK((dx2.data() != nullptr) == input_gradient);
    if (input_gradient) CHECK(same_bits(to_host(c, dx), to_host(c, dx2)));
  }
}

TEST_CASE("frozen parameters keep their gradients' memory untouched and let gradients through") {
  context<space> c{make_instance<space>(2)};
  auto const x = random_tensor<float>(c, {5, 2, 8, 8}, 1);
  auto const dy = random_tensor<float>(c, {5, 6}, 2);
  auto const all = whole(5);
  trained free(c, cut_net<float>());
  (void)walk(free, x, dy, 0, 5, {&all, 1}, false);
  for (char const* pattern : {"fc1.*", "c*", "block.0.l.weight", "s*"}) {
    auto net = cut_net<float>();
    nn::freeze(net, pattern);
    trained t(c, net);
    (void)walk(t, x, dy, 0, 5, {&all, 1}, false);
    for (auto const& e : t.memory.entries()) {
      INFO(pattern << ": " << e.name);
      if (nn::matches(pattern, e.name)) {
        for (float const g : t.gradient(e.name)) CHECK(g == 0);  // as reserved
      } else {
        CHECK(same_bits(t.gradient(e.name), free.gradient(e.name)));
      }
    }
  }
}

TEST_CASE("below the first layer that learns, backward does nothing") {
  context<space> c{make_instance<space>(1)};
  auto net = nn::sequential(nn::linear("a", 6, 500), nn::relu(), nn::linear("b", 500, 4), nn::linear("c", 4, 3));
  nn::freeze(net, "a.*");
  nn::freeze(net, "b.*");
  trained t(c, net);
  auto const all = whole(8);
  auto p = t.pass({&all, 1}, 8);
  p.input_gradient = false;
  t.begin();
  auto out = nn::call(p, t.net, random_tensor<float>(c, {8, 6}, 1));
  auto const requests = c.pool().statistics().requests;
  auto const dx = nn::call_backward(p, t.net, out.saved, random_tensor<float>(c, {8, 3}, 2));
  CHECK_FALSE(dx.data());
  CHECK(c.pool().statistics().requests == requests + 1);  // dy, and no gradient of an input
  auto const g = t.gradient("c.weight");
  CHECK(std::any_of(g.begin(), g.end(), [](float v) { return v != 0; }));
}

TEST_CASE("a rank without samples walks through every layer and contributes zeros") {
  context<space> c{make_instance<space>(2)};
  trained t(c, image_net<float>());
  auto const none = whole(0);
  auto p = t.pass({&none, 1}, 4);
  t.begin();
  auto out = nn::call(p, t.net, tensor<float, space>::allocate(c, {0, 2, 8, 8}));
  CHECK(out.y.shape() == extents{0, 6});
  auto const dx = nn::call_backward(p, t.net, out.saved, tensor<float, space>::allocate(c, {0, 6}));
  CHECK(dx.shape() == extents{0, 2, 8, 8});
  for (float const g : t.gradients()) CHECK(g == 0);
  CHECK(nn::call(t.pass({}, 4, false), t.net, tensor<float, space>::allocate(c, {0, 2, 8, 8})).y.shape() ==
        extents{0, 6});
}

TEST_CASE("a tied weight's gradient is ready after its last use, and sums both uses in every lane") {
  context<space> c{make_instance<space>(1)};
  auto const tied = [] {
    return nn::sequential(nn::linear("a", 6, 6), nn::relu(), nn::linear("b", 6, 6, {.tied_to = "a.weight"}));
  };
  auto const loose = [] { return nn::sequential(nn::linear("a", 6, 6), nn::relu(), nn::linear("b", 6, 6)); };
  trained t(c, tied(), 2), u(c, loose(), 2);
  u.set("a.weight", t.value("a.weight"));
  u.set("b.weight", t.value("a.weight"));
  for (char const* n : {"a.bias", "b.bias"}) u.set(n, t.value(n));
  struct listener final : nn::pass_hooks {
    std::vector<std::string> ready;
    void gradient_ready(nn::parameter const& p) override { ready.push_back(p.tied_to.empty() ? p.name : p.tied_to); }
    void poll() override {}
  } heard;
  auto const x = random_tensor<float>(c, {7, 6}, 1), dy = random_tensor<float>(c, {7, 6}, 2);
  nn::segment s[2] = {whole(3), whole(7)};
  s[1].slot = 1;
  s[1].lanes.row[0] = 3;
  auto const run = [&](auto& net, nn::pass_hooks* hooks) {
    auto p = net.pass(s, 7);
    p.hooks = hooks;
    net.begin();
    auto out = nn::call(p, net.net, x);
    (void)nn::call_backward(p, net.net, out.saved, dy);
  };
  run(t, &heard);
  run(u, nullptr);
  CHECK(heard.ready == std::vector<std::string>{"b.bias", "a.weight", "a.bias"});
  for (int slot = 0; slot < 2; ++slot) {
    auto const a = u.gradient("a.weight", slot), b = u.gradient("b.weight", slot), both = t.gradient("a.weight", slot);
    // the second use goes on with the chain of the first: at most one more rounding per row of numbers below 8
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(both[i] - (a[i] + b[i])) <= 8 * 8 * 6e-8);
  }
}

TEST_CASE("communication is polled once per layer, forward and backward, with a tensor axis and without") {
  context<space> c{make_instance<space>(1)};
  struct counter final : nn::pass_hooks {
    int polls = 0;
    void gradient_ready(nn::parameter const&) override {}
    void poll() override { ++polls; }
  };
  comm::communicator axis = comm::self();
  trained t(
      c, nn::sequential(nn::linear("a", 3, 4), nn::relu(), nn::linear("b", 4, 4), nn::gelu(), nn::linear("c", 4, 2)));
  for (comm::communicator* const tensor_axis : {static_cast<comm::communicator*>(nullptr), &axis}) {
    auto const all = whole(2);
    auto p = t.pass({&all, 1}, 2);
    counter polled;
    p.hooks = &polled;
    p.tensor = tensor_axis;
    t.begin();
    auto out = nn::call(p, t.net, random_tensor<float>(c, {2, 3}, 1));
    CHECK(polled.polls == 5);  // a with its relu, b, gelu, c; and the whole
    polled.polls = 0;
    (void)nn::call_backward(p, t.net, out.saved, random_tensor<float>(c, {2, 2}, 2));
    CHECK(polled.polls == 5);
  }
}

TEST_CASE("the diagnosis names the layer whose output is not finite") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::sequential(nn::linear("first", 3, 3), nn::relu(), nn::linear("second", 3, 3)));
  t.set("second.bias", {0, std::numeric_limits<float>::infinity(), 0});
  auto p = t.pass({}, 2, false);
  nn::nonfinite_note note;
  p.nonfinite = &note;
  (void)nn::call(p, t.net, random_tensor<float>(c, {2, 3}, 1));
  CHECK_THAT(note.found, ContainsSubstring("'second'") && ContainsSubstring("step 5"));
  CHECK(note.at == 1);  // the first one is fused with its activation: one output
  CHECK(note.looked == 2);
}
