// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/trace.hpp>

#include <pleat/parallel/tensor_recipe.hpp>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "pipeline_training.hpp"
#include "support/scratch_folder.hpp"

using namespace pipeline_training;

namespace {

// 7 units, two pairs of products that a tensor axis cuts.
auto pairs() {
  namespace nn = pl::nn;
  return pl::parallel::tensor_parallel(
      nn::sequential(nn::linear("fc1", 12, 16), nn::relu(), nn::linear("fc2", 16, 12), nn::relu(),
                     nn::linear("fc3", 12, 16), nn::relu(), nn::linear("out", 16, 5)),
      {pl::parallel::column("fc1.*"), pl::parallel::row("fc2.*"), pl::parallel::column("fc3.*"),
       pl::parallel::row("out.*")});
}

struct event {
  std::string name, category, thread;
  long long begin = 0, end = 0;  // nanoseconds
  bool holds(event const& e) const { return begin <= e.begin && e.end <= end; }
};
using events = std::vector<event>;

// What a rank should show.
struct expected {
  std::multiset<std::string> computed;  // "forward 0" … of its stages
  std::multiset<std::string> buckets, gathered;
  std::multiset<std::string> messages;
  std::size_t waits_for_messages = 0;
};

events named(events const& all, std::string const& thread, std::string const& begins) {
  events some;
  for (auto const& e : all)
    if ((thread.empty() || e.thread == thread) && e.name.starts_with(begins)) some.push_back(e);
  return some;
}
std::multiset<std::string> names(events const& all) {
  std::multiset<std::string> n;
  for (auto const& e : all) n.insert(e.name);
  return n;
}

// The file, by rank. Threads are called by what is before the number of their lane.
std::map<int, events> read(std::string const& path, std::map<int, std::string>& ranks, bool& apart) {
  std::ifstream in(path);
  auto const j = nlohmann::json::parse(in);
  std::map<std::pair<int, int>, std::string> threads;
  for (auto const& e : j.at("traceEvents"))
    if (e.at("name") == "thread_name") threads[{e.at("pid"), e.at("tid")}] = e.at("args").at("name");
    else if (e.at("name") == "process_name") ranks[e.at("pid")] = e.at("args").at("name");
  std::map<int, events> all;
  std::map<std::pair<int, int>, events> rows;
  for (auto const& e : j.at("traceEvents")) {
    if (e.at("ph") != "X") continue;
    std::pair<int, int> const at{e.at("pid"), e.at("tid")};
    auto const begin = std::llround(e.at("ts").get<double>() * 1e3);
    auto thread = threads.at(at);
    event const x{e.at("name"), e.at("cat"), thread.substr(0, thread.find(' ')), begin,
                  begin + std::llround(e.at("dur").get<double>() * 1e3)};
    all[at.first].push_back(x);
    rows[at].push_back(x);
  }
  // Of one row, two are apart; on "work" they may nest, too.
  apart = true;
  for (auto const& [at, row] : rows)
    for (std::size_t i = 0; i < row.size(); ++i)
      for (std::size_t k = 0; k < i; ++k) {
        bool const disjoint = row[i].end <= row[k].begin || row[k].end <= row[i].begin;
        bool const nest = row[i].thread == "work" && (row[i].holds(row[k]) || row[k].holds(row[i]));
        if (!disjoint && !nest) {
          apart = false;
          UNSCOPED_INFO("rank " << at.first << ": '" << row[i].name << "' and '" << row[k].name << "' overlap on "
                                << row[i].thread);
        }
      }
  return all;
}

template <class Model> expected expect(Model& m) {
  expected x;
  auto const& p = m.plan();
  auto const& s = m.layout().schedule();
  auto const& list = s.actions[static_cast<std::size_t>(m.pipeline().rank())];
  for (auto const& a : list) {
    auto const micro = " " + std::to_string(a.micro_batch);
    using kind = pl::plan::action_kind;
    if (pl::plan::computes(a.kind)) x.computed.insert(std::string(pl::plan::name(a.kind)) + micro);
    if (a.kind == kind::forward && a.stage + 1 == s.stages()) x.computed.insert("loss" + micro);
    if (a.kind == kind::send_activation) x.messages.insert("send activation" + micro);
    if (a.kind == kind::send_gradient) x.messages.insert("send gradient" + micro);
    if (a.kind == kind::receive_activation) x.messages.insert("receive activation" + micro), ++x.waits_for_messages;
    if (a.kind == kind::receive_gradient) x.messages.insert("receive gradient" + micro), ++x.waits_for_messages;
  }
  x.computed.insert("optimizer");
  auto const& layout = m.arena().layout();
  bool const each = p.state_stage >= 2 && !p.deterministic && p.pipeline_ranks == 1;
  for (std::size_t b = 0; b < layout.buckets().size(); ++b) {
    if (layout.buckets()[b].size() == 0) continue;
    if (p.data_ranks > 1)
      for (index_t i = 0; i < (each && !layout.replicated(b) ? p.micro_batches : 1); ++i)
        x.buckets.insert("gradients " + std::to_string(b));
    if (p.data_ranks > 1 && p.state_stage > 0 && !layout.replicated(b))
      x.gathered.insert("parameters " + std::to_string(b));
  }
  return x;
}

// One traced step after one that is not.
void check(pl::plan::plan p, bool by_hand = false) {
  p.bucket_bytes = 512;
  p.global_batch = 24;
  pleat_test::scratch_folder const f;
  auto const path = f / "trace.json";
  std::map<int, expected> wanted;
  std::string wrong;
  pl::comm::run_local(static_cast<int>(p.ranks()), [&](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    auto m = pl::parallel::build(pairs(), p, w, {.seed = 3});
    pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pl::nn::sgd{.learning_rate = 0.1});
    samples<decltype(pairs())> source{&m};
    auto const step = [&] {
      m.zero_grad(24);
      if (!by_hand) m.walk(source);
      else
        for (auto const& micro : m.share().micro_batches()) {
          auto [y, saved] = m.forward(source.input(micro));
          m.backward(saved, source.loss(micro, y));
        }
      m.reduce();
      m.step(optimizer);
    };
    step();
    bool const silent = m.trace().spans().empty();
    m.trace().start();
    step();
    m.trace().stop();
    auto const recorded = m.trace().spans().size();
    step();
    pl::parallel::write_trace(m, path);
    std::lock_guard const lock(guard);
    if (!silent || m.trace().spans().size() != recorded) wrong = "spans were recorded while nobody traced";
    wanted[w.rank()] = expect(m);
  });
  INFO(p.to_string() << (by_hand ? "written out" : ""));
  CHECK(wrong == "");
  std::map<int, std::string> ranks;
  bool apart = false;
  auto const all = read(path, ranks, apart);
  CHECK(apart);
  REQUIRE(all.size() == static_cast<std::size_t>(p.ranks()));
  REQUIRE(ranks.size() == static_cast<std::size_t>(p.ranks()));
  for (auto const& [r, mine] : all) {
    INFO("rank " << r);
    CHECK(ranks.at(r).starts_with("rank " + std::to_string(r) + " (pipeline "));
    auto const& x = wanted.at(r);
    events computed, waits, calls;
    for (auto const& e : mine) {
      CHECK((e.category == "compute" || e.category == "communication" || e.category == "waiting" ||
             e.category == "input"));
      CHECK((e.thread == "work" || e.category == "communication"));
      if (e.category == "compute") computed.push_back(e);
      if (e.category == "waiting") waits.push_back(e);
      if (e.thread == "work" && e.category == "communication") calls.push_back(e);
    }
    // A written-out loss is the caller's own work.
    auto planned = x.computed;
    if (by_hand) std::erase_if(planned, [](std::string const& n) { return n.starts_with("loss"); });
    CHECK(names(computed) == planned);
    CHECK(names(calls).count("reduce") == 1);
    CHECK(names(named(mine, "gradients", "")) == x.buckets);
    CHECK(names(named(mine, "messages", "")) == x.messages);
    CHECK((p.ranks() == 1) == waits.empty());
    if (p.data_ranks > 1) {
      CHECK(named(waits, "work", "wait for gradients").size() >= 1);
      // Buckets leave while the last micro-batch still goes backward.
      bool under = false;
      for (auto const& sent : named(mine, "gradients", ""))
        for (auto const& e : named(computed, "work", "backward"))
          under = under || (e.begin <= sent.begin && sent.begin <= e.end);
      CHECK(under);
    }
    CHECK(named(waits, "work", "wait for activation").size() + named(waits, "work", "wait for gradient ").size() ==
          x.waits_for_messages);
    if (p.tensor_ranks > 1 && p.pipeline_ranks == 1) {
      // Two products end in a sum on the way forward; one dx on the way back (nobody wants the first one's).
      for (auto const& e : computed) {
        if (!e.name.starts_with("forward") && !e.name.starts_with("backward")) continue;
        auto const inside = std::count_if(calls.begin(), calls.end(),
                                          [&](event const& c) { return e.holds(c) && c.name == "all_reduce"; });
        CHECK(inside == (e.name.starts_with("forward") ? 2 : 1));
      }
    }
    auto const gathered = names(named(mine, "parameters", ""));
    if (p.state_stage < 3) CHECK(gathered == x.gathered);
    else {  // each at least once; how often again depends on the buffers
      std::set<std::string> const some(gathered.begin(), gathered.end()), every(x.gathered.begin(), x.gathered.end());
      CHECK(some == every);
      auto const waited = named(waits, "work", "wait for parameters").size();
      CHECK((p.prefetch == 0 ? waited == gathered.size() : waited >= 1));
    }
  }
}

pl::plan::plan with(index_t data, index_t tensor, index_t pipeline, index_t micro, int state_stage = 0,
                    std::string schedule = "1f1b") {
  auto p = layout(std::move(schedule), pipeline, data, micro);
  p.deterministic = false;
  p.tensor_ranks = tensor;
  p.state_stage = state_stage;
  return p;
}

}  // namespace

TEST_CASE("a step's trace: the work of every rank, every bucket once, what waits") {
  check(with(1, 1, 1, 2));
  check(with(2, 1, 1, 2));
  check(with(3, 1, 1, 1));
  auto p = with(4, 1, 1, 1, 1);
  check(p);
  p.deterministic = true;
  check(p);
}

TEST_CASE("a step's trace: a loop that is written out") {
  check(with(1, 1, 1, 3), true);
  check(with(3, 1, 1, 2), true);
  check(with(2, 1, 1, 2, 3), true);
  check(with(1, 2, 1, 2), true);
}

TEST_CASE("a step's trace: gathers of stage 3") {
  for (auto prefetch : {0, 1}) {
    auto p = with(2, 1, 1, 2, 3);
    p.prefetch = prefetch;
    check(p);
    p = with(3, 1, 1, 1, 3);
    p.prefetch = prefetch;
    p.deterministic = true;
    check(p);
  }
}

TEST_CASE("a step's trace: sums over the tensor axis") {
  check(with(1, 2, 1, 2));
  check(with(1, 3, 1, 1));
  check(with(2, 2, 1, 1));
}

TEST_CASE("a step's trace: messages of a pipeline, and the waiting for them") {
  check(with(1, 1, 2, 4));
  check(with(1, 1, 3, 3, 0, "zb-h1"));
  check(with(1, 1, 4, 4, 0, "gpipe"));
  check(with(2, 1, 2, 2, 0, "zb-v"));
  check(with(1, 2, 2, 2));
  check(with(2, 1, 2, 2, 3));
}
