// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What travels between the phases of a step: sums of gradients after reduce, parameters after step. On a link that
// brings nothing before it is waited for, every way to look at a model must wait; and what does not come must be
// nobody's value.
#include <pleat/parallel/piece_step.hpp>

#include <pleat/comm/local.hpp>
#include <pleat/run/checkpoint.hpp>

#include <parallel/breaking.hpp>
#include <parallel/late.hpp>
#include <parallel/sharded_training.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <latch>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/scratch_folder.hpp"

namespace pl = pleat;
using namespace pleat_test;
using pl::index_t;

namespace {

using numbers = std::vector<float>;
using network_type = decltype(deep_network());

/// One rank that trains.
struct trainer {
  pl::world world;
  pl::parallel::model<network_type> model;
  pl::nn::optimizer_state<float, space> optimizer;
  int steps = 0;

  trainer(pl::comm::communicator c, int stage, bool deterministic = false)
      : trainer(std::move(c), plan(2, stage, deterministic)) {}
  trainer(pl::comm::communicator c, pl::plan::plan const& p)
      : world(std::move(c), 1),
        model(pl::parallel::build(deep_network(), p, world, {.seed = 5})),
        optimizer(model.context(), model.arena(), pl::nn::adamw{.learning_rate = 0.01}) {}

  static pl::plan::plan plan(int ranks, int stage, bool deterministic) {
    pl::plan::plan p{.bucket_bytes = 20000};
    p.data_ranks = ranks;
    p.state_stage = stage;
    p.deterministic = deterministic;
    return p;
  }
  tensor input() {
    auto x = tensor::allocate(model.context(), {4, 12});
    numbers host(48);
    for (std::size_t i = 0; i < host.size(); ++i)
      host[i] =
          static_cast<float>(static_cast<int>(i * 7 + static_cast<std::size_t>(world.rank() + steps)) % 13 - 6) / 6;
    pl::copy_from_host(model.context(), host.data(), x);
    return x;
  }
  void gradients() {
    auto labels = pl::tensor<std::int32_t, space>::allocate(model.context(), {4});
    std::vector<std::int32_t> const host{0, 1, 2, 3};
    pl::copy_from_host(model.context(), host.data(), labels);
    model.zero_grad(4 * world.size());
    auto [y, saved] = model.forward(input());
    model.backward(saved, model.cross_entropy(y, labels).dy);
    model.reduce();
  }
  void step() {
    gradients();
    model.step(optimizer);
    ++steps;
  }
  [[nodiscard]] numbers read(float const* p, index_t n) const {
    numbers v(static_cast<std::size_t>(n));
    pl::copy_to_host(model.context(), tensor::wrap(const_cast<float*>(p), {n}), v.data());  // only read
    return v;
  }
};

/// f on every rank of two, over a link that is late or not; what rank 0 says.
template <class F> auto on_two(bool slow, F const& f) {
  using result = decltype(f(std::declval<pl::comm::communicator>()));
  result first{};
  pl::comm::run_local(2, [&](pl::comm::communicator c) {
    bool const root = c.rank() == 0;
    auto r = f(slow ? pl::comm::communicator(late(std::move(c))) : std::move(c));
    if (root) first = std::move(r);
  });
  return first;
}

/// Values as their parameters have them, in the order of the network.
template <class Net> numbers by_parameter(trainer const& t, Net const& net) {
  numbers all;
  pl::nn::for_each_parameter(net, [&](auto const& w) {
    auto const v = t.read(static_cast<float const*>(w.values), w.size());
    all.insert(all.end(), v.begin(), v.end());
  });
  return all;
}

/// A way to look at a model after a step.
struct door {
  std::string name;
  std::function<numbers(trainer&)> look;
};
scratch_folder const& folder() {
  static scratch_folder const f = scratch_folder::in_memory();
  return f;
}
std::vector<door> doors() {
  return {
      {"arena", [](trainer& t) { return t.read(t.model.arena().values(), t.model.arena().size()); }},
      {"arena of a const model",
       [](trainer& t) {
         return t.read(std::as_const(t.model).arena().values(), std::as_const(t.model).arena().size());
       }},
      {"net", [](trainer& t) { return by_parameter(t, t.model.net()); }},
      {"net of a const model", [](trainer& t) { return by_parameter(t, std::as_const(t.model).net()); }},
      {"host_values", [](trainer& t) { return t.model.host_values(); }},
      {"clone", [](trainer& t) { return t.model.clone().host_values(); }},
      {"rebuild", [](trainer& t) { return t.model.rebuild(deep_network()).host_values(); }},
      {"unsharded", [](trainer& t) { return t.model.unsharded().host_values(); }},
      {"replanned",
       [](trainer& t) {
         auto p = t.model.plan();
         p.state_stage = 3;
         return t.model.replanned(p).host_values();
       }},
      {"take_values",
       [](trainer& t) {
         auto other = t.model.rebuild(deep_network());
         other.set_host_values(numbers(static_cast<std::size_t>(other.arena().size())));
         t.step();
         other.take_values(t.model);
         return other.host_values();
       }},
      {"predict",
       [](trainer& t) {
         auto const y = t.model.predict(t.input());
         return t.read(y.data(), y.size());
       }},
      {"checksum",
       [](trainer& t) {
         auto const sum = t.model.checksum();
         return numbers{static_cast<float>(sum >> 40), static_cast<float>(sum & 0xffffff)};
       }},
      {"another step",
       [](trainer& t) {
         t.step();
         return t.model.host_values();
       }},
      {"a step without a forward",
       [](trainer& t) {
         t.model.step(t.optimizer);
         return t.model.host_values();
       }},
      {"equal replicas",
       [](trainer& t) {
         t.model.demand_equal_replicas();
         return numbers{};
       }},
      {"new values",
       [](trainer& t) {
         t.model.set_host_values(numbers(static_cast<std::size_t>(t.model.arena().size()), 0.5f));
         return t.model.host_values();
       }},
      {"checkpoint",
       [](trainer& t) {
         static std::atomic<int> saves{0};
         auto const where =
             folder() / ("saved" + std::to_string(t.world.comm.broadcast_value(t.world.rank() == 0 ? ++saves : 0, 0)));
         pl::run::save_checkpoint(where, t.model, t.optimizer, 2);
         trainer back(t.world.comm.duplicate(), 0);
         if (!pl::run::load_checkpoint(where, back.model, back.optimizer, {}))
           throw std::runtime_error("nothing was found");
         return back.model.host_values();
       }},
  };
}

}  // namespace

TEST_CASE("whatever shows values waits for parameters that travel") {
  for (auto const& d : doors()) {
    auto const look = [&](pl::comm::communicator c, int stage) {
      trainer t(std::move(c), stage);
      t.step();
      t.step();
      return d.look(t);
    };
    auto const want = on_two(false, [&](pl::comm::communicator c) { return look(std::move(c), 0); });
    for (int stage : {0, 1, 2, 3})
      for (bool slow : {false, true}) {
        // nobody has whole ones there
        if (stage == 3 && (d.name.starts_with("arena") || d.name.starts_with("net"))) continue;
        INFO(d.name << " at stage " << stage << (slow ? ", late" : ""));
        CHECK((on_two(slow, [&](pl::comm::communicator c) { return look(std::move(c), stage); }) == want));
      }
  }
}

TEST_CASE("parameters do travel when step returns, and a pointer from before is good after settle") {
  for (int stage : {1, 2}) {
    auto const findings = on_two(true, [&](pl::comm::communicator c) {
      trainer t(std::move(c), stage);
      t.step();
      auto const n = t.model.arena().size();
      float const* const p = t.model.arena().values();
      pl::nn::parameter first;
      bool found = false;
      pl::nn::for_each_parameter(t.model.net(), [&](auto const& w) {
        if (!std::exchange(found, true)) first = w;
      });
      t.step();
      auto const before = t.read(p, n);
      auto const one = t.model.host_values_of(first);  // waits for its bucket alone
      auto const then = t.read(p, n);
      t.model.settle();
      auto const after = t.read(p, n);
      std::string said;
      if (before == after) said += "nothing travelled; ";
      if (then == after) said += "one parameter waited for all; ";
      if (after != t.model.host_values()) said += "settle did not; ";
      if (one != t.read(static_cast<float const*>(first.values), first.size())) said += "host_values_of did not wait; ";
      return said;
    });
    INFO("stage " << stage);
    CHECK(findings == "");
  }
}

TEST_CASE("whatever shows gradients waits for sums that travel") {
  struct seen {
    double loss = 0, norm = 0;
    numbers sums, again;     // sums: flat, of what this rank has
    std::vector<char> here;  // which that is, but for the loss
    bool travelled = false;
  };
  auto const look = [](pl::comm::communicator c, int stage, int first) {
    trainer t(std::move(c), stage);
    t.step();
    t.step();
    float const* kept = nullptr;
    seen s;
    auto const sums = [&] {
      auto const& a = t.model.arena();
      s.sums.assign(static_cast<std::size_t>(a.size()), 0);
      s.here.assign(s.sums.size(), 0);
      for (auto const& piece : a.pieces()) {
        auto const v = t.read(a.owned_gradients(piece), piece.size());
        std::copy(v.begin(), v.end(), s.sums.begin() + piece.begin);
        std::fill_n(s.here.begin() + piece.begin, piece.size(), char{1});
      }
      std::fill(s.here.begin() + a.entries().back().begin, s.here.end(), char{0});
    };
    if (stage == 0) kept = t.model.arena().gradients();
    index_t const n = t.model.arena().size();
    t.gradients();
    numbers before;
    if (kept) before = t.read(kept, n);
    if (first == 0) s.loss = t.model.loss();
    if (first == 1) s.norm = t.model.gradient_norm();
    if (first == 3) (void)t.model.net();
    if (first == 4) (void)std::as_const(t.model).any_net();
    if (first < 3 || !kept) sums();
    else s.sums = t.read(kept, n);
    if (kept) s.travelled = before != t.read(kept, n);
    s.loss = t.model.loss();
    s.norm = t.model.gradient_norm();
    t.gradients();  // a step that nobody takes
    t.gradients();
    t.model.step(t.optimizer, 1, t.model.clip_scale(0.1));
    s.again = t.model.host_values();
    return s;
  };
  auto const want = on_two(false, [&](pl::comm::communicator c) { return look(std::move(c), 0, 2); });
  CHECK(want.norm > 0.1);
  for (int stage : {0, 1, 2, 3})
    for (int first : {0, 1, 2, 3, 4}) {
      INFO("stage " << stage << ", "
                    << (first == 0   ? "loss"
                        : first == 1 ? "norm"
                        : first == 2 ? "sums"
                        : first == 3 ? "net"
                                     : "any_net")
                    << " first");
      auto const r = on_two(true, [&](pl::comm::communicator c) { return look(std::move(c), stage, first); });
      CHECK(r.loss == want.loss);
      CHECK(r.norm == want.norm);
      REQUIRE(r.sums.size() == want.sums.size());
      std::size_t others = 0, compared = 0;
      for (std::size_t i = 0; i < r.here.size(); ++i)
        if (r.here[i]) ++compared, others += r.sums[i] != want.sums[i];
      CHECK(others == 0);
      if (stage == 0) CHECK((r.sums == want.sums));
      if (stage > 0) CHECK(compared > want.sums.size() / 4);  // two ranks: about half
      CHECK((r.again == want.again));
      if (stage == 0) CHECK(r.travelled);
    }
}

namespace {
template <class F> std::string words_of(F const& f) {
  try {
    f();
  } catch (pl::error const& e) {
    return e.what();
  }
  return "nothing";
}
/// Whether rank 1 has gone: what it says depends on whether its own error was told before its requests were taken down.
bool rank_1_left(std::string const& words) {
  return words.find("rank 1 ended early") != std::string::npos ||
         words.find("rank 1 left while an exception unwound its stack") != std::string::npos;
}
}  // namespace

TEST_CASE("a rank that does not send its parameters: the others say so where they need them, and take no half ones") {
  struct way {
    std::string name, words;
    std::function<void(trainer&)> go_on;
  };
  std::vector<way> const ways{
      {"values", "step 2, the optimizer's step: the parameters ", [](trainer& t) { (void)t.model.host_values(); }},
      {"forward", "the parameters ", [](trainer& t) { (void)t.model.predict(t.input()); }},
      {"checkpoint", "step 2, the optimizer's step: the parameters ",
       [](trainer& t) { pl::run::save_checkpoint(folder() / "never", t.model, t.optimizer, 3); }}};
  for (int stage : {1, 2})
    for (auto const& w : ways)
      for (bool slow : {false, true}) {
        std::string first, second, reason;
        std::latch sent(2);
        try {
          pl::comm::run_local(2, [&](pl::comm::communicator c) {
            int const rank = c.rank();
            trainer t(slow ? pl::comm::communicator(late(std::move(c))) : std::move(c), stage);
            t.step();
            t.step();
            t.gradients();
            t.model.settle();
            if (rank == 0) t.model.step(t.optimizer);
            sent.arrive_and_wait();
            if (rank == 1) throw std::runtime_error("rank 1 has had enough");
            first = words_of([&] { w.go_on(t); });
            second = words_of([&] { (void)t.model.net(); });
          });
        } catch (std::runtime_error const& e) {
          reason = e.what();
        }
        INFO(w.name << " at stage " << stage << (slow ? ", late: " : ": ") << first << "\n" << second);
        CHECK(reason == "rank 1 has had enough");
        CHECK(first.find(w.words) != std::string::npos);
        CHECK(first.find("rank 1 has had enough") != std::string::npos);
        CHECK(second.find("are not whole") != std::string::npos);
      }
}

namespace {
/// Where both ranks wait for each other, once. Who leaves without having come is not waited for.
struct meeting {
  std::latch* both;
  bool come = false;
  void operator()() {
    come = true;
    both->arrive_and_wait();
  }
  ~meeting() {
    if (!come) both->count_down();
  }
};
/// f(trainer, break point, meeting) on both ranks, over a link that breaks where f says; what rank 0 says.
template <class F> std::string on_a_link_that_breaks(pl::plan::plan const& p, F const& f) {
  std::string said;
  std::latch both(2);
  try {
    pl::comm::run_local(2, [&](pl::comm::communicator c) {
      bool const root = c.rank() == 0;
      break_point where;
      trainer t(breaking(std::move(c), &where), p);
      meeting meet{&both};
      auto words = f(t, where, meet);
      if (root) said = std::move(words);
      throw std::runtime_error("nobody waits for what this rank has not started");
    });
  } catch (std::runtime_error const&) {
  }
  return said;
}
struct way {
  char const* name;
  void (*look)(trainer&);
};
}  // namespace

TEST_CASE("sums that do not come are nobody's gradient, and no step is made with them") {
  using kind = pl::comm::call_kind;
  std::vector<way> const ways{{"loss", [](trainer& t) { (void)t.model.loss(); }},
                              {"norm", [](trainer& t) { (void)t.model.gradient_norm(); }},
                              {"step", [](trainer& t) { t.model.step(t.optimizer); }},
                              {"arena", [](trainer& t) { (void)t.model.arena(); }},
                              {"net", [](trainer& t) { (void)t.model.net(); }},
                              {"reduce", [](trainer& t) { t.model.reduce(); }},
                              {"residual", [](trainer& t) { (void)t.model.gradient_residual(); }},
                              {"the next step", [](trainer& t) { t.model.zero_grad(8); }}};
  for (int stage : {0, 1, 2, 3})
    for (std::size_t first : {0u, 1u, 3u, 4u})
      for (bool at_start : {false, true}) {
        auto const said = on_a_link_that_breaks(trainer::plan(2, stage, false), [&](trainer& t, break_point& where,
                                                                                    meeting& meet) {
          t.step();
          t.step();
          auto const before = t.model.held_values();
          where = {stage == 0 ? kind::all_reduce : kind::reduce_scatter_v, true, at_start, 1};
          std::string wrong, failed = words_of([&] { t.gradients(); });
          bool const in_backward = failed != "nothing";
          for (std::size_t i = first; failed == "nothing" && i < ways.size(); ++i)
            failed = words_of([&] { ways[i].look(t); });
          where.armed = false;
          // Each has met the break of its own link before one of them leaves. Where sums and parameters travel in turn
          // one may be further than the other when it breaks, and not give what the other waits for: who is left by its
          // neighbour then has no broken sums to look at, but moves nothing.
          bool const left = stage == 3 && !at_start && rank_1_left(failed);
          if (stage < 3 || at_start) meet();
          if (!left && failed.find("the link broke") == std::string::npos) wrong += "nothing broke: " + failed + "; ";
          for (auto const& w : ways) {
            if (left) break;
            if (in_backward && w.look == ways[5].look) continue;  // it is too early for reduce
            if (auto const words = words_of([&] { w.look(t); }); words.find("did not come") == std::string::npos)
              wrong += std::string(w.name) + " says " + words + "; ";
          }
          if (t.model.held_values() != before) wrong += "something was moved; ";
          if (t.optimizer.steps() != 2) wrong += "a step was counted; ";
          return wrong;
        });
        INFO("stage " << stage << ", " << ways[first].name << " first, "
                      << (at_start ? "breaks when it is started" : "breaks when it is waited for"));
        CHECK(said == "");
      }
}

TEST_CASE("over a pipeline a sum that does not come leaves no loss of the step before") {
  std::atomic<int> refused{0}, other{0};
  std::latch looked(4);
  try {
    pl::comm::run_local(4, [&](pl::comm::communicator c) {
      break_point where;
      pl::world w(breaking(std::move(c), &where), 1);
      auto p = trainer::plan(2, 0, false);
      p.pipeline_ranks = 2, p.micro_batches = 2, p.schedule = "1f1b", p.global_batch = 8;
      auto m = pl::parallel::build(deep_network(), p, w, {.seed = 5});
      struct samples {
        decltype(m)* model;
        tensor input(pl::parallel::micro_batch const& b) {
          auto x = tensor::allocate(model->context(), {b.rows.size(), 12});
          pl::compute::fill(model->context().space(), x.size(), 0.25f, x.data());
          return x;
        }
        tensor loss(pl::parallel::micro_batch const& b, tensor y) {
          auto labels = pl::tensor<std::int32_t, space>::allocate(model->context(), {b.rows.size()});
          pl::compute::fill(model->context().space(), labels.size(), std::int32_t{1}, labels.data());
          return model->cross_entropy(y, labels).dy;
        }
      } source{&m};
      pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pl::nn::sgd{.learning_rate = 0.1});
      for (int i = 0; i < 2; ++i) {
        m.zero_grad(8);
        m.walk(source);
        m.reduce();
        m.step(optimizer);
      }
      m.zero_grad(8);
      where = {pl::comm::call_kind::all_reduce, true, false, 1};
      m.walk(source);
      bool const broke = words_of([&] { m.reduce(); }).find("the link broke") != std::string::npos;
      ++(broke && words_of([&] { (void)m.loss(); }).find("did not come") != std::string::npos ? refused : other);
      looked.arrive_and_wait();
      throw std::runtime_error("nobody waits for what this rank has not started");
    });
  } catch (std::runtime_error const&) {
  }
  CHECK(refused == 4);
  CHECK(other == 0);
}

TEST_CASE("the optimizer moves buckets where the last sums come while it does, else all at once") {
  pl::comm::run_local(2, [](pl::comm::communicator c) {
    pl::parallel::shard_group g;
    g.all = std::make_shared<pl::comm::communicator>(std::move(c));
    pl::plan::plan const data{.data_ranks = 2};
    auto alone = data, cut = data, staged = data, half = data;
    alone.overlap = false;
    cut.tensor_ranks = 2;
    staged.pipeline_ranks = 2;
    half.precision = pl::plan::compute_precision::f16;
    if (!g.over(data).in_buckets) throw std::runtime_error("one launch");
    for (auto const& p : {alone, cut, staged, half})
      if (g.over(p).in_buckets) throw std::runtime_error("many launches");
  });
}

TEST_CASE("a step that ends on its way leaves no values that are taken for whole ones") {
  using kind = pl::comm::call_kind;
  std::vector<way> const ways{{"values", [](trainer& t) { (void)t.model.host_values(); }},
                              {"arena", [](trainer& t) { (void)t.model.arena(); }},
                              {"forward", [](trainer& t) { (void)t.model.predict(t.input()); }},
                              {"clone", [](trainer& t) { (void)t.model.clone(); }},
                              {"step", [](trainer& t) { t.model.step(t.optimizer); }}};
  for (int stage : {1, 2})
    // the sums of the second bucket, the values of the third
    for (kind const k : {kind::reduce_scatter_v, kind::all_gather_v})
      for (bool at_start : {false, true}) {
        // backward ends then, and nothing is moved
        if (k == kind::reduce_scatter_v && (at_start || stage == 2)) continue;
        auto const said =
            on_a_link_that_breaks(trainer::plan(2, stage, false), [&](trainer& t, break_point& where, meeting& meet) {
              t.step();
              t.step();
              t.gradients();
              t.model.settle();
              where = {k, true, at_start, k == kind::all_gather_v ? 2 : 1};
              std::string wrong;
              auto const failed = words_of([&] {
                if (k == kind::reduce_scatter_v) t.gradients();
                t.model.step(t.optimizer);
                t.model.settle();
              });
              where.armed = false;
              meet();  // each has met the break of its own link before one of them leaves
              if (failed.find("the link broke") == std::string::npos) wrong += "nothing broke: " + failed + "; ";
              for (auto const& w : ways)  // one rank may have sent what the other one has not
                if (auto const words = words_of([&] { w.look(t); });
                    words.find("did not come") == std::string::npos && !rank_1_left(words))
                  wrong += std::string(w.name) + " says " + words + "; ";
              return wrong;
            });
        INFO("stage " << stage << ", " << (k == kind::all_gather_v ? "values" : "sums")
                      << (at_start ? " break when they are started" : " break when they are waited for"));
        CHECK(said == "");
      }
}

TEST_CASE("parameters that could not be gathered are not read, and their buffer is free again") {
  for (bool at_start : {false, true})
    for (int broken = 0; broken < 6; ++broken) {
      auto p = trainer::plan(2, 3, false);
      p.bucket_bytes = 4;  // every parameter by itself: a layer needs two buffers
      p.prefetch = 0;
      auto const said = on_a_link_that_breaks(p, [&](trainer& t, break_point& where, meeting&) {
        t.step();
        auto const values = t.model.host_values();
        auto const held = t.model.memory();
        auto const answer = [&] {
          auto const y = t.model.predict(t.input());
          return t.read(y.data(), y.size());
        };
        auto const want = answer();
        t.model.values_changed();
        where = {pl::comm::call_kind::all_gather_v, true, at_start, broken};
        std::string wrong;
        auto const failed = words_of([&] { (void)answer(); });
        where.armed = false;
        if (failed.find("the link broke") == std::string::npos) wrong += "nothing broke: " + failed + "; ";
        auto const words = words_of([&] { (void)answer(); });
        if (words != "nothing" && words.find("did not come") == std::string::npos)
          wrong += "the next forward says " + words + "; ";
        if (words == "nothing" && answer() != want) wrong += "something else was read; ";
        if (!(t.model.memory() == held)) wrong += "a buffer was not given back; ";
        t.model.set_host_values(values);  // what was gathered is forgotten
        if (answer() != want) wrong += "the next answer is another; ";
        return wrong;
      });
      INFO("gather " << broken << (at_start ? " breaks when it is started" : " breaks when it is waited for"));
      CHECK(said == "");
    }
}

TEST_CASE("a model may be assigned to while gradients and agreements travel for it") {
  for (int stage : {0, 1, 2, 3})
    for (int when : {0, 1, 2})  // after zero_grad, reduce, step
      for (bool slow : {false, true}) {
        auto const run = [&](pl::comm::communicator c, bool assigned) {
          trainer t(std::move(c), stage), other(t.world.comm.duplicate(), stage);
          t.step();
          t.step();
          if (assigned) {
            if (when == 0) t.model.zero_grad(8);
            else t.gradients();
            if (when == 2) t.model.step(t.optimizer);
            t.model = std::move(other.model);
            t.optimizer = std::move(other.optimizer);
          } else {
            t.model.settle();
            std::swap(t.model, other.model);
            std::swap(t.optimizer, other.optimizer);
          }
          t.step();
          t.step();
          return t.model.host_values();
        };
        INFO("stage " << stage << ", after "
                      << (when == 0   ? "zero_grad"
                          : when == 1 ? "reduce"
                                      : "step")
                      << (slow ? ", late" : ""));
        CHECK((on_two(slow, [&](pl::comm::communicator c) { return run(std::move(c), true); }) ==
               on_two(false, [&](pl::comm::communicator c) { return run(std::move(c), false); })));
      }
}

TEST_CASE("a poll looks at a few buckets, however many travel") {
  for (int stage : {0, 1, 2}) {
    long polls = 0, buckets = 0;
    auto p = trainer::plan(2, stage, false);
    p.bucket_bytes = 4;  // a bucket for every parameter
    pl::comm::run_local(2, [&](pl::comm::communicator c) {
      bool const root = c.rank() == 0;
      break_point where;  // nowhere: it counts
      trainer t(breaking(pl::comm::communicator(late(std::move(c))), &where), p);
      for (int i = 0; i < 3; ++i) t.step();
      t.model.settle();
      where.polls = 0;
      t.step();
      if (root) polls = where.polls, buckets = static_cast<long>(t.model.arena().layout().buckets().size());
    });
    INFO("stage " << stage << ", " << buckets << " buckets, " << polls << " polls");
    // A walk calls 53 layers, composites among them, each of which polls once; the optimizer asks once per bucket for
    // the first of the sums, and polls once per bucket for the values. Four at a time; and what must come in two hands
    // (gradients and values) counts in both.
    CHECK(polls <= 4 * (2 * 53 + 2 * buckets));
    CHECK(polls > 53);  // it does poll
  }
}

TEST_CASE("values of another size are refused") {
  for (int stage : {0, 3}) {
    auto const said = on_two(false, [&](pl::comm::communicator c) {
      trainer t(std::move(c), stage);
      auto held = t.model.held_values(), whole = t.model.host_values();
      std::string wrong;
      for (int by : {-1, 1}) {
        held.resize(held.size() + static_cast<std::size_t>(by)),
            whole.resize(whole.size() + static_cast<std::size_t>(by));
        if (words_of([&] {
              t.model.set_held_values(held);
            }).find("as held_values() gives, found " + std::to_string(held.size())) == std::string::npos)
          wrong += "held values are taken; ";
        if (words_of([&] {
              t.model.set_host_values(whole);
            }).find("as host_values() gives, found " + std::to_string(whole.size())) == std::string::npos)
          wrong += "host values are taken; ";
        held.resize(held.size() - static_cast<std::size_t>(by)),
            whole.resize(whole.size() - static_cast<std::size_t>(by));
      }
      t.model.set_held_values(held);
      t.model.set_host_values(whole);
      return wrong;
    });
    INFO("stage " << stage);
    CHECK(said == "");
  }
}

TEST_CASE("without overlap nothing travels between the phases") {
  for (int stage : {0, 1}) {
    auto const said = on_two(true, [&](pl::comm::communicator c) {
      pl::world w(std::move(c), 1);
      auto p = trainer::plan(2, stage, false);
      p.overlap = false;
      auto m = pl::parallel::build(deep_network(), p, w, {.seed = 5});
      pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pl::nn::sgd{.learning_rate = 0.1});
      float const* const values = m.arena().values();
      index_t const n = m.arena().size();
      auto x = tensor::allocate(m.context(), {4, 12});
      pl::compute::fill(m.context().space(), x.size(), 0.25f * static_cast<float>(w.rank() + 1), x.data());
      auto labels = pl::tensor<std::int32_t, space>::allocate(m.context(), {4});
      pl::compute::fill(m.context().space(), index_t{4}, std::int32_t{1}, labels.data());
      auto const read = [&](float const* from) {
        numbers v(static_cast<std::size_t>(n));
        pl::copy_to_host(m.context(), tensor::wrap(const_cast<float*>(from), {n}), v.data());  // only read
        return v;
      };
      std::string said;
      for (int i = 0; i < 3; ++i) {
        m.zero_grad(8);
        float const* const gradients = m.arena().gradients();  // at stages 0 and 1 they are flat
        auto [y, saved] = m.forward(x);
        m.backward(saved, m.cross_entropy(y, labels).dy);
        m.reduce();
        auto const reduced = read(gradients);
        m.settle();
        if (reduced != read(gradients)) said += "gradients travelled; ";
        m.step(optimizer);
      }
      auto const shown = read(values);
      if (shown != m.host_values()) said += "values travelled; ";
      return said;
    });
    CHECK(said == "");
  }
}
