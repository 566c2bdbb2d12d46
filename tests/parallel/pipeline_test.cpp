// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/pipeline.hpp>

#include <pleat/plan/schedule_csv.hpp>

#include <array>
#include <limits>
#include <set>
#include <tuple>

#include "pipeline_training.hpp"
#include "support/allocation_count.hpp"  // redistribute_test.cpp counts
#include "support/count_views.hpp"

using namespace pipeline_training;

TEST_CASE("every schedule on every cut gives the bits of one rank") {
  options o;
  o.plan.deterministic = true;
  auto const reference = run(network(), o);
  CHECK(reference.losses[0] > 1);  // about log 5
  for (auto const schedule : pl::plan::schedule_names)
    for (index_t p : {1, 2, 3, 4})
      for (index_t micro : {1, 2, 3, 4, 8})
        for (index_t data : {1, 2}) {
          if (p * data > 6) continue;
          INFO(schedule << ", " << p << " stages' ranks, " << data << " data ranks, " << micro << " micro-batches");
          auto q = o;
          q.plan = layout(std::string(schedule), p, data, micro);
          check_equal(run(network(), q), reference);
        }
}

TEST_CASE("every schedule gives the bits of one rank on five, seven and eight ranks, too") {
  options o;
  o.plan.deterministic = true;
  o.steps = 1;
  auto const reference = run(network(), o);
  for (auto const schedule : pl::plan::schedule_names)
    for (auto const& [p, data] : {std::pair<index_t, index_t>{5, 1}, {7, 1}, {8, 1}, {4, 2}}) {
      INFO(schedule << ", " << p << " stages' ranks, " << data << " data ranks");
      auto q = o;
      q.plan = layout(std::string(schedule), p, data, 4);
      check_equal(run(network(), q), reference);
    }
}

TEST_CASE("ranks that sleep at random, clipping, a frozen bottom and cuts by hand change no bit") {
  options o;
  o.plan.deterministic = true;
  SECTION("sleeps and clipping") {
    o.clip = true;
    auto const reference = run(network(), o);
    for (auto const schedule : {"1f1b", "zb-h1", "zb-v", "interleaved"}) {
      auto q = o;
      q.plan = layout(schedule, 3, 2, 4);
      q.sleeps = true;
      check_equal(run(network(), q), reference);
    }
  }
  SECTION("a frozen bottom sends no gradient below itself") {
    o.frozen = "fc1.*";
    auto const reference = run(network(), o);
    for (auto const schedule : {"gpipe", "zb-h1", "dualpipe-v"}) {
      auto q = o;
      q.plan = layout(schedule, 4, 1, 4);
      check_equal(run(network(), q), reference);
    }
  }
  SECTION("everything but the last layer frozen") {
    auto net = network();
    pl::nn::freeze(net, "*");
    pl::nn::freeze(net, "last.*", true);
    auto const reference = run(net, o);
    auto q = o;
    q.plan = layout("zb-h1", 3, 1, 3);
    check_equal(run(net, q), reference);
  }
  SECTION("uneven and empty stages") {
    auto const reference = run(network(), o);
    for (std::vector<index_t> const& cuts : {std::vector<index_t>{0, 2, 9}, {9, 9, 9}, {0, 0, 0}, {1, 8, 8}, {3, 3, 4}})
      for (auto const schedule : {"1f1b", "zb-h1"}) {
        auto q = o;
        q.plan = layout(schedule, 4, 1, 3);
        q.plan.cuts = cuts;
        INFO(schedule << " with " << cuts[0] << " " << cuts[1] << " " << cuts[2]);
        check_equal(run(network(), q), reference);
      }
  }
  SECTION("more micro-batches than samples") {
    o.batches = {3, 1, 2};
    auto const reference = run(network(), o);
    auto q = o;
    q.plan = layout("1f1b", 2, 2, 6);
    check_equal(run(network(), q), reference);
  }
}

TEST_CASE("activations that are computed again are the same bits, with backward in one piece and in two") {
  options o;
  o.plan.deterministic = true;
  auto const reference = run(network(), o);
  for (auto const schedule : {"gpipe", "1f1b", "zb-h1", "zb-v"})
    for (index_t p : {1, 2, 3}) {
      auto q = o;
      q.plan = layout(schedule, p, 1, 4);
      q.plan.recompute = pl::plan::recompute_mode::full;
      INFO(schedule << " on " << p);
      check_equal(run(network(), q), reference);
    }
}

TEST_CASE("a pipeline whose state is sharded over its data ranks gives the same bits") {
  options o;
  o.plan.deterministic = true;
  auto const reference = run(network(), o);
  for (int stage : {1, 2, 3})
    for (auto const schedule : {"1f1b", "zb-h1", "zb-v"})
      for (index_t micro : {1, 4}) {
        auto q = o;
        q.plan = layout(schedule, 2, 2, micro);
        q.plan.state_stage = stage;
        q.plan.bucket_bytes = 512;
        INFO(schedule << ", state stage " << stage << ", " << micro << " micro-batches");
        outcome out;
        // parameters are in pieces here: losses and norms tell
        pl::comm::run_local(4, [&](pl::comm::communicator c) {
          pl::world w(std::move(c), 1);
          auto m = pl::parallel::build(network(), q.plan, w, {.seed = 3});
          pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(),
                                                          pl::nn::sgd{.learning_rate = 0.1, .momentum = 0.9});
          samples<decltype(network())> source{&m};
          std::vector<double> losses, norms;
          for (int s = 0; s < q.steps; ++s) {
            source.step = s;
            m.zero_grad(q.batches[static_cast<std::size_t>(s)]);
            m.walk(source);
            m.reduce();
            losses.push_back(m.loss());
            norms.push_back(m.gradient_norm());
            m.step(optimizer);
          }
          std::lock_guard const lock(guard);
          if (w.root()) out.losses = losses, out.norms = norms;
        });
        CHECK(out.losses == reference.losses);
        CHECK(out.norms == reference.norms);
      }
}

TEST_CASE("a schedule of one's own is carried out, by its name in the plan") {
  options o;
  o.plan.deterministic = true;
  auto const reference = run(network(), o);
  auto q = o;
  q.plan = layout("1f1b", 2, 1, 3);
  // Everything forward; then every stage all input halves, then all weight halves.
  pl::plan::schedule s;
  s.micro_batches = 3;
  s.rank_of = {0, 1};
  s.actions.resize(2);
  using pl::plan::action_kind;
  for (auto const kind : {action_kind::forward, action_kind::backward_input, action_kind::backward_weight})
    for (int stage = 0; stage < 2; ++stage)
      for (int m = 0; m < 3; ++m) s.actions[static_cast<std::size_t>(stage)].push_back({kind, stage, m, -1});
  q.schedule = s;
  q.plan.schedule = pl::parallel::name_of(s);
  check_equal(run(network(), q), reference);
  q.plan.schedule = "csv:0000000000000000";
  CHECK_THROWS_AS(run(network(), q), pl::error);
  q.schedule.reset();
  CHECK_THROWS_AS(run(network(), q), pl::error);
}

namespace {
/// What a rank has after three steps of sharded training, and what it did in the last of them.
struct sharded_rank {
  std::uint64_t values = 0;
  double norm = 0;
  std::vector<pl::span_of_time> spans;
  std::vector<pl::plan::action> list;
  std::vector<std::set<int>> buckets;  // of each stage's parameters
};
std::vector<sharded_rank> sharded_ranks(pl::plan::plan p, std::optional<pl::plan::schedule> const& own) {
  if (own) p.schedule = pl::parallel::name_of(*own), p.chunks = own->stages() / own->ranks();
  std::vector<sharded_rank> all(static_cast<std::size_t>(p.ranks()));
  pl::comm::run_local(static_cast<int>(p.ranks()), [&](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    auto m = pl::parallel::build(network(), p, w, {.seed = 3, .schedule = own});
    pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(),
                                                    pl::nn::sgd{.learning_rate = 0.1, .momentum = 0.9});
    samples<decltype(network())> source{&m};
    auto& mine = all[static_cast<std::size_t>(w.rank())];
    for (source.step = 0; source.step < 3; ++source.step) {
      m.zero_grad(24);
      if (source.step == 2) m.trace().start();
      m.walk(source);
      m.trace().stop();
      m.reduce();
      mine.norm = m.gradient_norm();
      m.step(optimizer);
    }
    mine.values = m.checksum();
    mine.spans = m.trace().spans();
    mine.list = m.layout().schedule().actions[static_cast<std::size_t>(m.pipeline().rank())];
    mine.buckets.resize(static_cast<std::size_t>(m.layout().count()));
    for (index_t s = 0; s < m.layout().count(); ++s)
      pl::nn::for_each_parameter_units(
          m.net(), m.layout().begin(s), m.layout().end(s), [&](pl::nn::parameter const& v) {
            if (v.id < 0) return;
            int const b = m.arena().layout().owner()[static_cast<std::size_t>(m.arena().values_of(v.id))];
            if (!m.arena().layout().replicated(static_cast<std::size_t>(b)))
              mine.buckets[static_cast<std::size_t>(s)].insert(b);
          });
  });
  return all;
}
/// When a rank began to sum gradients of parameters; when its last work ended; how often it gathered a bucket.
struct moments {
  std::int64_t first_sum = std::numeric_limits<std::int64_t>::max(), last_work = 0;
  int gathers = 0, sums = 0;
};
moments moments_of(sharded_rank const& r) {
  moments m;
  for (auto const& s : r.spans) {
    if (s.lane == pl::trace_lane::parameters) ++m.gathers;
    if (s.lane == pl::trace_lane::gradients && s.bucket != 0) m.first_sum = std::min(m.first_sum, s.begin), ++m.sums;
    if (std::string(s.what).starts_with("backward")) m.last_work = std::max(m.last_work, s.end);
  }
  return m;
}
}  // namespace

TEST_CASE("a list that says when parameters are gathered and gradients are reduced is obeyed, with the same bits") {
  using pl::plan::action_kind;
  for (auto const* schedule : {"1f1b", "zb-h1", "interleaved", "zb-v"})
    for (int stage : {0, 1, 3}) {
      INFO(schedule << ", state stage " << stage);
      auto p = layout(schedule, 2, 2, 4);
      p.state_stage = stage;
      p.bucket_bytes = 512;
      auto const plain = sharded_ranks(p, {});
      bool sooner = false;  // without the list sums begin within the last backward
      for (auto const& r : plain) sooner = sooner || moments_of(r).first_sum < moments_of(r).last_work;
      CHECK(sooner);
      auto const base = pl::plan::with_messages(pl::plan::make_schedule(pl::plan::parse_schedule_kind(schedule), 2, 4));
      for (index_t prefetch : {0, 1}) {
        auto const listed =
            sharded_ranks(p, pl::plan::with_reduction(pl::plan::with_parameters(base, {.prefetch = prefetch})));
        for (std::size_t i = 0; i < listed.size(); ++i) {
          INFO("rank " << i << ", " << prefetch << " stages ahead");
          auto const& r = listed[i];
          CHECK(r.values == plain[i].values);
          CHECK(r.norm == plain[i].norm);
          // As often as the list says: a bucket is gathered where the first stage that has a part of it is.
          std::map<int, int> held;
          int expected = 0;
          for (auto const& a : r.list)
            for (int const b : r.buckets[static_cast<std::size_t>(a.stage)]) {
              if (a.kind == action_kind::gather_parameters && held[b]++ == 0) ++expected;
              if (a.kind == action_kind::release_parameters) --held[b];
            }
          auto const when = moments_of(r);
          CHECK(when.gathers == (stage == 3 ? expected : 0));
          CHECK(expected > 0);
          // Every reduction stands behind a stage's last weight work: in lists with one stage per rank behind all work.
          auto const one_stage = std::string(schedule) == "1f1b" || std::string(schedule) == "zb-h1";
          if (one_stage) CHECK(when.first_sum >= when.last_work);
          CHECK(when.sums > 0);
        }
      }
    }
}

TEST_CASE("answers go through the stages and reach every rank, or the last one only") {
  std::vector<float> reference;
  for (auto const& pair : {std::pair{"1f1b", 1}, {"1f1b", 3}, {"zb-v", 2}, {"interleaved", 2}}) {
    auto const* const schedule = pair.first;
    int const ranks = pair.second;
    pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
      pl::world w(std::move(c), 1);
      auto p = layout(schedule, ranks, 1, 2);
      auto const m = pl::parallel::build(network(), p, w, {.seed = 3});
      for (auto const at : {pl::parallel::answer_at::every_stage, pl::parallel::answer_at::last_stage}) {
        auto x = tensor::allocate(m.context(), {7, 12});
        pl::compute::fill(m.context().space(), x.size(), m.has_first_stage() ? 0.5f : 0.0f, x.data());
        auto const y = m.predict(x, at);
        if (at == pl::parallel::answer_at::last_stage && !m.has_last_stage()) {
          if (y.size() > 1) throw pl::error{"test", "an answer where none was asked for"};
          continue;
        }
        std::vector<float> v(static_cast<std::size_t>(y.size()));
        pl::copy_to_host(m.context(), y, v.data());
        std::lock_guard const lock(guard);
        if (reference.empty()) reference = v;
        if (v != reference) throw pl::error{"test", "another answer on rank " + std::to_string(w.rank())};
      }
    });
  }
  CHECK(reference.size() == 35);
}

TEST_CASE("letters of the user's, on any tag, are nobody else's while a step is under way") {
  options o;
  o.plan.deterministic = true;
  o.steps = 2;
  auto const reference = run(network(), o);
  for (auto const mail : {options::sent, options::awaited})
    for (auto const& [schedule, pipeline, data] : {std::tuple{"1f1b", 2, 1}, {"zb-v", 2, 2}}) {
      INFO(schedule << ", " << pipeline << " x " << data << (mail == options::sent ? ", sent" : ", awaited"));
      auto q = o;
      q.plan = layout(schedule, pipeline, data, 4);
      q.mail = mail;
      check_equal(run(network(), q), reference);
    }
}

namespace {
// Hands on what it gets, or says that it is broken.
struct fragile {
  static constexpr char const* kind = "fragile";
  struct saved {};
  std::string words{};  // empty: it works
  pl::extents shape(pl::extents const& in) const { return in; }
  pl::nn::step<saved, tensor> forward(pl::nn::pass<space> const&, tensor x) const {
    if (!words.empty()) throw pl::error{"test", words, "mend it"};
    return {std::move(x), {}};
  }
  void for_each_parameter(auto&&) {}
};
}  // namespace

TEST_CASE("a stage that fails while it answers is heard of, and nobody gets an answer that nobody computed") {
  struct laid {
    char const* schedule;
    int ranks;
    std::vector<index_t> cuts;
  };
  for (auto const& l : {laid{"1f1b", 3, {2, 4}}, laid{"zb-v", 2, {1, 2, 4}}})
    for (int broken : {0, 1, 2})
      for (auto const at : {pl::parallel::answer_at::every_stage, pl::parallel::answer_at::last_stage}) {
        INFO(l.schedule << ", layer " << broken
                        << (at == pl::parallel::answer_at::every_stage ? ", for all" : ", for the last one"));
        auto const net = [&] {
          auto const words = [&](int i) {
            return i == broken ? "layer " + std::to_string(i) + " is broken" : std::string();
          };
          return pl::nn::sequential(pl::nn::linear("a", 12, 10), fragile{words(0)}, pl::nn::linear("b", 10, 10),
                                    fragile{words(1)}, pl::nn::linear("c", 10, 5), fragile{words(2)});
        };
        std::vector<std::string> heard(static_cast<std::size_t>(l.ranks));
        pl::comm::run_local(l.ranks, [&](pl::comm::communicator c) {
          pl::world w(std::move(c), 1);
          auto p = layout(l.schedule, l.ranks, 1, 2);
          p.cuts = l.cuts;
          auto const m = pl::parallel::build(net(), p, w, {.seed = 3});
          m.set_timeout(20);                         // only where it hangs
          for (int twice = 0; twice < 2; ++twice) {  // nothing of the first one is left on the way
            std::string mine;
            try {
              auto const y = m.predict(tensor::allocate(m.context(), {7, 12}), at);
              mine = y.rank() == 2 && y.extent(0) == 7 ? "an answer" : "nothing";
            } catch (pl::error const& e) {
              mine = e.problem() + "; " + e.remedy();
            }
            std::lock_guard const lock(guard);
            heard[static_cast<std::size_t>(w.rank())] += mine + ". ";
          }
        });
        auto const twice = [](std::string const& s) { return s + ". " + s + ". "; };
        auto const failure = twice("layer " + std::to_string(broken) + " is broken; mend it");
        for (int r = 0; r < l.ranks; ++r) {
          // Over three ranks layer i is on rank i; over two in the shape of a V rank 0 has the last stage, and layers 0
          // and 1 are on rank 1.
          bool const before =
              at == pl::parallel::answer_at::last_stage && std::string(l.schedule) == "1f1b" && r < broken;
          bool const behind =
              std::string(l.schedule) == "zb-v" && broken == 2 && r == 1 && at == pl::parallel::answer_at::last_stage;
          INFO("rank " << r);
          CHECK(heard[static_cast<std::size_t>(r)] == (before || behind ? twice("nothing") : failure));
        }
      }
}

TEST_CASE("ranks that ask for answers with inputs of different shapes hear of it, and nobody waits") {
  for (auto const& pair : {std::pair{"1f1b", 3}, {"zb-v", 2}})
    for (int other : {0, 1, pair.second - 1}) {
      auto const* const schedule = pair.first;
      int const ranks = pair.second;
      INFO(schedule << ", rank " << other);
      std::vector<std::string> heard(static_cast<std::size_t>(ranks));
      pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
        pl::world w(std::move(c), 1);
        auto const m = pl::parallel::build(network(), layout(schedule, ranks, 1, 2), w, {.seed = 3});
        m.set_timeout(20);  // only where it hangs
        for (int again = 0; again < 2; ++again) {
          std::string mine = "an answer";
          try {
            (void)m.predict(tensor::allocate(m.context(), {w.rank() == other && again == 0 ? 5 : 7, 12}));
          } catch (pl::error const& e) {
            mine = e.problem() + "; " + e.remedy();
          }
          std::lock_guard const lock(guard);
          heard[static_cast<std::size_t>(w.rank())] += mine + ". ";
        }
      });
      for (auto const& h : heard) {
        INFO(h);
        CHECK(h.find("elements comes where the layers' shape() says") != std::string::npos);
        CHECK(h.ends_with("Give every rank an x of the same shape. an answer. "));
      }
    }
}

namespace {
std::string said(int ranks, auto&& f) {
  try {
    pl::comm::run_local(ranks, f);
  } catch (pl::error const& e) {
    return e.what();
  }
  return "nothing";
}
/// \param make make(model, how many ranks have come to their end)
template <class Source> std::string one_step_of(pl::plan::plan const& p, double seconds, Source const& make) {
  std::atomic<int> ended{0};
  return said(static_cast<int>(p.ranks()), [&](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    auto m = pl::parallel::build(network(), p, w, {.seed = 3});
    if (seconds > 0) m.set_timeout(seconds);
    auto source = make(m, ended);
    struct end_of {
      std::atomic<int>& count;
      ~end_of() { ++count; }
    } const end{ended};  // whatever way it ends
    m.zero_grad(24);
    m.walk(source);
    m.reduce();
  });
}
// Ends or hangs in one phase of one rank.
struct saboteur {
  samples<decltype(network())> good;
  int rank;
  char const* phase;
  std::atomic<int> const* hangs_until = nullptr;  // all others have come to their end
  void maybe(char const* at, index_t micro) const {
    if (good.m->all_ranks().rank() != rank || micro != 1 || std::string(at) != phase) return;
    while (hangs_until && *hangs_until + 1 < good.m->all_ranks().size())
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    throw pl::error{"test", "sabotage in " + std::string(at)};
  }
  tensor input(pl::parallel::micro_batch const& b) {
    maybe("input", b.index);
    return good.input(b);
  }
  tensor loss(pl::parallel::micro_batch const& b, tensor y) {
    maybe("loss", b.index);
    return good.loss(b, std::move(y));
  }
};
}  // namespace

TEST_CASE("a rank that ends or hangs is not waited for in vain") {
  for (auto const schedule : {"gpipe", "1f1b", "zb-h1"})
    for (auto const& pair : {std::pair{0, "input"}, {2, "loss"}}) {
      int const rank = pair.first;
      auto const* const phase = pair.second;
      auto const p = layout(schedule, 3, 1, 4);
      auto const killed = one_step_of(p, -1, [&](auto& m, auto&) { return saboteur{{&m}, rank, phase}; });
      INFO(killed);
      CHECK(killed.find("sabotage in " + std::string(phase)) != std::string::npos);
      // Whoever waits for the one that hangs gives up first, naming step, rank and action. On a machine that is too
      // busy for that a rank may be given up before: then once more, with more patience.
      std::string hung;
      bool named = false;
      for (double const patience : {0.2, 1.0, 4.0, 16.0}) {
        hung = one_step_of(p, patience, [&](auto& m, auto& ended) { return saboteur{{&m}, rank, phase, &ended}; });
        named = hung.find("step 0, pipeline rank") != std::string::npos &&
                hung.find("micro-batch") != std::string::npos && hung.find("did not come") != std::string::npos;
        if (named) break;
      }
      INFO(hung);
      CHECK(named);
    }
}

TEST_CASE("a look for what is not finite whose input fails on one rank is every rank's failure") {
  struct asked_twice {
    samples<decltype(network())> good;
    int rank;
    bool again = false;
    tensor input(pl::parallel::micro_batch const& b) {
      if (again && b.index == 1 && good.m->all_ranks().rank() == rank) throw pl::error{"test", "the samples are gone"};
      return good.input(b);
    }
    tensor loss(pl::parallel::micro_batch const& b, tensor y) { return good.loss(b, std::move(y)); }
  };
  auto sharded = layout("1f1b", 1, 3, 2);
  sharded.state_stage = 3;
  auto const both = layout("1f1b", 2, 2, 2);  // pipeline rank 0 has the samples: ranks 0 and 1 of the mesh
  for (auto const& pair : {std::pair{layout("1f1b", 1, 3, 2), 2}, {sharded, 1}, {both, 1}}) {
    auto const& p = pair.first;
    int const rank = pair.second;
    INFO(p.to_string());
    std::vector<std::string> heard(static_cast<std::size_t>(p.ranks()));
    pl::comm::run_local(static_cast<int>(p.ranks()), [&](pl::comm::communicator c) {
      pl::world w(std::move(c), 1);
      auto m = pl::parallel::build(network(), p, w, {.seed = 3});
      m.set_timeout(20);  // only where it hangs
      asked_twice source{{&m}, rank};
      m.zero_grad(24);
      m.walk(source);
      m.reduce();
      m.find_nonfinite(source);  // nothing is wrong
      source.again = true;
      try {
        m.find_nonfinite(source);
      } catch (pl::error const& e) {
        std::lock_guard const lock(guard);
        heard[static_cast<std::size_t>(w.rank())] = e.problem();
      }
    });
    for (auto const& h : heard) CHECK(h == "the samples are gone");
  }
}

TEST_CASE("ranks that went apart hear of it on every rank") {
  auto const p = layout("1f1b", 2, 1, 2);
  auto const text = said(2, [&](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    auto m = pl::parallel::build(network(), p, w, {.seed = 3});
    samples<decltype(network())> source{&m};
    m.zero_grad(w.rank() == 0 ? 24 : 23);
    m.walk(source);
  });
  CHECK(text.find("rank 1 begins step 0 with a batch of 23, but rank 0 begins step 0 with a batch of 24") !=
        std::string::npos);
}

TEST_CASE("plans that do not fit the network or the ranks are refused with the nearest that does") {
  auto const refused = [](pl::plan::plan const& p, int ranks) {
    return said(ranks, [&](pl::comm::communicator c) {
      pl::world w(std::move(c), 1);
      (void)pl::parallel::build(network(), p, w);
    });
  };
  auto p = layout("1f1b", 2, 1, 2);
  CHECK(refused(p, 4).find("Use mesh.data = 2, or start 2 ranks") != std::string::npos);
  // As told, it fits: what does not change is not named. The answer is mesh::nearest's, which the programs give.
  for (auto const& [data, tensor, pipeline, ranks] :
       {std::array{1, 1, 2, 3}, {2, 1, 2, 2}, {1, 3, 2, 8}, {5, 1, 1, 7}, {1, 2, 3, 4}, {2, 2, 2, 1}}) {
    auto q = layout("1f1b", pipeline, data, 2);
    q.tensor_ranks = tensor;
    auto const text = refused(q, ranks);
    INFO(text);
    auto const fits = pl::mesh{{"data", data}, {"tensor", tensor}, {"pipeline", pipeline}}.nearest(ranks);
    REQUIRE(text.find(". Use mesh.") != std::string::npos);
    for (auto& [name, extent] :
         {std::pair{"data", &q.data_ranks}, {"tensor", &q.tensor_ranks}, {"pipeline", &q.pipeline_ranks}}) {
      auto const at = text.find(std::string("mesh.") + name + " = ", text.find(". Use "));
      CHECK((at != std::string::npos) == (*extent != fits.extent(name)));
      if (at != std::string::npos) *extent = std::stoi(text.substr(text.find("= ", at) + 2));
      CHECK(*extent == fits.extent(name));
    }
    CHECK(q.ranks() == ranks);
    if (q.tensor_ranks == 1) CHECK(refused(q, ranks) == "nothing");  // this network has no words for a tensor axis
  }
  p.cuts = {11};
  CHECK(refused(p, 2).find("a stage begins at unit 11, but the network has 9 units") != std::string::npos);
}

TEST_CASE("what a rank would hold is compared with the plan's limit before step 1") {
  auto const refused = [](pl::plan::plan const& p, std::optional<pl::plan::schedule> const& own = {}) {
    return said(static_cast<int>(p.ranks()), [&](pl::comm::communicator c) {
      pl::world w(std::move(c), 1);
      (void)pl::parallel::build(network(), p, w, {.schedule = own});
    });
  };
  // Published peaks: gpipe all micro-batches; 1f1b and zb-h1 as many as stages; of two chunks each, zb-v twice that,
  // interleaved 2(p - 1) + p + 1.
  for (auto const& [schedule, peak] :
       {std::pair{"gpipe", 8}, {"1f1b", 3}, {"zb-h1", 3}, {"zb-v", 6}, {"interleaved", 8}}) {
    auto p = layout(schedule, 3, 1, schedule == std::string("interleaved") ? 9 : 8);
    auto const s = pl::plan::make_schedule(pl::plan::parse_schedule_kind(schedule), 3, p.micro_batches);
    index_t most = 0, rank = -1;
    for (index_t r = 0; r < 3; ++r)
      if (auto const n = pl::plan::peak_in_flight(s, r); n > most) most = n, rank = r;
    INFO(schedule);
    CHECK(most == peak);
    p.max_activations = most;
    CHECK(refused(p) == "nothing");
    p.max_activations = most - 1;
    auto const text = refused(p);
    INFO(text);
    CHECK(text.find("pipeline rank " + std::to_string(rank) + " holds the activations of " + std::to_string(most) +
                    " micro-batches at once, max_activations = " + std::to_string(most - 1)) != std::string::npos);
    CHECK(text.find("Use max_activations = " + std::to_string(most)) != std::string::npos);
    if (schedule != std::string("gpipe")) continue;
    p.schedule = pl::parallel::name_of(s);  // one's own is counted as well
    CHECK(refused(p, s) == text);
  }
}

TEST_CASE("a schedule of one's own that cannot be carried out is refused by build, in words") {
  using pl::plan::action, pl::plan::action_kind;
  auto const refused = [](pl::plan::schedule const& s) {
    auto const p = layout(pl::parallel::name_of(s), s.ranks(), 1, s.micro_batches);
    return said(static_cast<int>(s.ranks()), [&](pl::comm::communicator c) {
      pl::world w(std::move(c), 1);
      (void)pl::parallel::build(network(), p, w, {.schedule = s});
    });
  };
  auto const has = [](std::string const& text, std::string const& words) {
    INFO(text);
    CHECK(text.find(words) != std::string::npos);
  };
  // As tables. That the first one is good shows that it is the change that is refused.
  auto const table = [&](char const* text) { return refused(pl::plan::parse_schedule(text)); };
  CHECK(table("0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n") == "nothing");
  has(table("0F0,0F1,0B0,0B1\n1F0,1B0,1F1\n"), "rank 1: backward of micro-batch 1 on stage 1 is missing");
  has(table("0F0,0F1,0I0,0I1,0W0\n1F0,1B0,1F1,1B1\n"),
      "rank 0: backward_weight of micro-batch 1 on stage 0 is missing");
  has(table("0F0,0F1,0F0,0B0,0B1\n1F0,1B0,1F1,1B1\n"), "rank 0: forward of micro-batch 0 on stage 0 is there twice");
  has(table("0F0,0F1,0B0,0B1,0W1\n1F0,1B0,1F1,1B1\n"),
      "rank 0: backward_weight of micro-batch 1 on stage 0 is there twice");
  has(table("0B0,0F0,0F1,0B1\n1F0,1B0,1F1,1B1\n"),
      "rank 0: backward of micro-batch 0 on stage 0 comes before forward of micro-batch 0 on stage 0, which it needs");
  has(table("0F0,0F1,0B1,0B0\n1F0,1B0,1F1,1B1\n"),
      "rank 0: backward of micro-batch 0 on stage 0 comes after that of micro-batch 1");
  // Rank 0 wants the first gradient back before it gives the second activation, which rank 1 wants before it gives any.
  has(table("0F0,0B0,0F1,0B1\n1F0,1F1,1B0,1B1\n"),
      "these ranks wait for each other:\n"
      "  rank 0 is at backward of micro-batch 0 on stage 0 and waits for rank 1 to come to backward of micro-batch 0 "
      "on stage 1\n"
      "  rank 1 is at forward of micro-batch 1 on stage 1 and waits for rank 0 to come to forward of micro-batch 1 on "
      "stage 0");
  // With messages. A send may wait for its receive: rank 0 gives its second activation while rank 1 gives its first
  // gradient.
  std::string const first = "0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B0,0B0,0RECV_B1,0B1\n";
  CHECK(table((first + "1RECV_F0,1F0,1RECV_F1,1B0,1SEND_B0,1F1,1B1,1SEND_B1\n").c_str()) == "nothing");
  action const give{action_kind::send_activation, 0, 1, 1}, take{action_kind::receive_activation, 1, 1, 0},
      give_back{action_kind::send_gradient, 1, 0, 0}, take_back{action_kind::receive_gradient, 0, 0, 1};
  has(table((first + "1RECV_F0,1F0,1B0,1SEND_B0,1RECV_F1,1F1,1B1,1SEND_B1\n").c_str()),
      "these ranks wait for each other:\n  rank 0 is at " + in_words(give) + " and waits for rank 1 to come to " +
          in_words(take) + "\n  rank 1 is at " + in_words(give_back) + " and waits for rank 0 to come to " +
          in_words(take_back));
  has(table((first + "1RECV_F0,1F0,1RECV_F1,1B0,1F1,1B1,1SEND_B1\n").c_str()),
      "rank 1: " + in_words(give_back) + " is missing");
  has(table((first + "1RECV_F0,1F0,1RECV_F1,1RECV_F1,1B0,1SEND_B0,1F1,1B1,1SEND_B1\n").c_str()),
      "rank 1: " + in_words(take) + " is there twice");
  // Sharded parameters are whole before they are used, and until then.
  CHECK(table("0UNSHARD,0F0,0F1,0B0,0B1,0RESHARD\n1UNSHARD,1F0,1B0,1F1,1B1,1RESHARD\n") == "nothing");
  has(table("0F0,0UNSHARD,0F1,0B0,0B1,0RESHARD\n1F0,1B0,1F1,1B1\n"),
      "rank 0: forward of micro-batch 0 on stage 0 comes before gather_parameters on stage 0, which it needs");
  has(table("0UNSHARD,0F0,0F1,0RESHARD,0B0,0B1\n1F0,1B0,1F1,1B1\n"),
      "rank 0: backward of micro-batch 0 on stage 0 comes before gather_parameters on stage 0, which it needs");
  has(table("0F0,0F1,0B0,0REDUCE_GRAD,0B1\n1F0,1B0,1F1,1B1,1REDUCE_GRAD\n"),
      "rank 0: reduce_gradients on stage 0: the stage still has weight work after it");
  // From code: three ranks, of which the last two come to wait for each other.
  pl::plan::schedule s;
  s.micro_batches = 2;
  s.rank_of = {0, 1, 2};
  s.actions.resize(3);
  for (int stage = 0; stage < 3; ++stage)
    for (int m = 0; m < 2; ++m)
      for (auto const kind : {action_kind::forward, action_kind::backward})
        s.actions[static_cast<std::size_t>(stage)].push_back({kind, stage, m, -1});
  CHECK(refused(s) == "nothing");
  auto t = s;
  t.actions[1].pop_back();
  has(refused(t), "rank 1: backward of micro-batch 1 on stage 1 is missing");
  t = s;
  t.actions[2].push_back({action_kind::forward, 2, 1, -1});
  has(refused(t), "rank 2: forward of micro-batch 1 on stage 2 is there twice");
  t = s;
  std::swap(t.actions[2][1], t.actions[2][2]);
  has(refused(t),
      "these ranks wait for each other:\n"
      "  rank 1 is at backward of micro-batch 0 on stage 1 and waits for rank 2 to come to backward of micro-batch 0 "
      "on stage 2\n"
      "  rank 2 is at forward of micro-batch 1 on stage 2 and waits for rank 1 to come to forward of micro-batch 1 on "
      "stage 1");
}

namespace {
/// Samples and labels that are there already; some ranks dawdle, each step others: what is on its way then stays so for
/// longer.
struct ready_samples {
  pl::parallel::model<decltype(network())>* m;
  tensor x;
  pl::tensor<std::int32_t, space> labels;
  int step = 0;

  explicit ready_samples(pl::parallel::model<decltype(network())>& model)
      : m(&model),
        x(tensor::allocate(model.context(), {24, 12})),
        labels(pl::tensor<std::int32_t, space>::allocate(model.context(), {24})) {
    pl::compute::fill(m->context().space(), x.size(), 0.5f, x.data());
    pl::compute::fill(m->context().space(), labels.size(), std::int32_t{1}, labels.data());
  }
  void dawdle(index_t i) const {
    std::this_thread::sleep_for(std::chrono::microseconds((m->all_ranks().rank() * 71 + i * 37 + step * 131) % 300));
  }
  tensor input(pl::parallel::micro_batch const& b) const {
    dawdle(b.index);
    return x.rows(0, b.rows.size());
  }
  tensor loss(pl::parallel::micro_batch const& b, tensor y) const {
    dawdle(b.index + 5);
    return m->cross_entropy(y, labels.rows(0, b.rows.size())).dy;
  }
};
}  // namespace

TEST_CASE(
    "what is carried out, and in which order, is what the schedule says; a step in steady state allocates nothing") {
  for (std::string const schedule :
       {"gpipe", "1f1b", "interleaved", "zb-h1", "zb-v", "a list that gathers and reduces"}) {
    auto p = layout(schedule, 2, 2, 4);
    std::optional<pl::plan::schedule> own;
    if (schedule.starts_with("a list")) {
      own = pl::plan::with_reduction(pl::plan::with_parameters(pl::plan::interleaved(2, 4)));
      p.schedule = pl::parallel::name_of(*own);
      p.chunks = 2;
      p.state_stage = 3;
      p.bucket_bytes = 512;
    }
    std::string wrong;
    long heap = -1, views = -1;
    pl::comm::run_local(4, [&](pl::comm::communicator c) {
      pl::world w(std::move(c), 1);
      auto m = pl::parallel::build(network(), p, w, {.seed = 3, .schedule = own});
      pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pl::nn::sgd{.learning_rate = 0.1});
      ready_samples source(m);
      auto const step = [&] {
        ++source.step;
        m.zero_grad(24);
        m.walk(source);
        m.reduce();
        m.step(optimizer);
      };
      step();
      m.trace().start();
      step();
      m.trace().stop();
      std::vector<std::string> done, planned;
      for (auto const& s : m.trace().spans())
        if (std::string(s.category) == "compute" && s.stage >= 0 && std::string(s.what) != "loss")
          done.push_back(std::string(s.what) + std::to_string(s.stage) + "." + std::to_string(s.micro_batch));
      for (auto const& a : m.layout().schedule().actions[static_cast<std::size_t>(m.pipeline().rank())])
        if (pl::plan::computes(a.kind))
          planned.push_back(std::string(pl::plan::name(a.kind)) + std::to_string(a.stage) + "." +
                            std::to_string(a.micro_batch));
      step();
      auto const before =
          m.context().pool().statistics().allocations + m.context().host_pool().statistics().allocations;
      w.comm.barrier();
      auto const steps = [&] {
        w.comm.barrier();
        for (int i = 0; i < 10; ++i) step();
        w.comm.barrier();
      };
      if (w.root()) {
        heap = pleat_test::allocations_in(steps);
        pleat_test::view_counter const counter;
        steps();
        views = counter.count();
      } else {
        steps();
        steps();
      }
      auto const after = m.context().pool().statistics().allocations + m.context().host_pool().statistics().allocations;
      std::lock_guard const lock(guard);
      if (done != planned) wrong = "another order";
      if (after != before) wrong = std::to_string(after - before) + " blocks were allocated";
    });
    INFO(schedule);
    CHECK(wrong == "");
    CHECK(heap == 0);
    CHECK(views == 0);
  }
}
