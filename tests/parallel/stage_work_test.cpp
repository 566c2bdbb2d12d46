// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Activations that are computed again: the same bits, unit by unit as chosen, in exactly the bytes that the ledger says.
#include <pleat/parallel/stage_work.hpp>

#include "precision_training.hpp"

#include <pleat/plan/stage_memory.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <memory>
#include <stdexcept>

using namespace precision_training;
using mode = pl::plan::recompute_mode;

TEMPLATE_TEST_CASE("recompute: none, selected and full, of all units or of some, give the same bits", "", float, pl::bfloat16) {
  options o{.plan = layout<TestType>(1)};
  auto const reference = run<TestType>(o).front();
  struct choice {
    mode what;
    std::vector<index_t> units;
  };
  for (auto const schedule : {"1f1b", "zb-h1"})
    for (index_t pipeline : {1, 2})
      for (auto const& [what, units] : {choice{mode::selected, {}}, choice{mode::full, {}}, choice{mode::selected, {2}}, choice{mode::full, {0, 1, 4}}}) {
        auto q = o;
        q.plan = layout<TestType>(1, 1, pipeline, 2, schedule);
        q.plan.recompute = what;
        q.plan.recompute_units = units;
        INFO(q.plan.to_string());
        for (auto const& r : run<TestType>(q)) {
          CHECK(r.losses == reference.losses);
          CHECK(r.norms == reference.norms);
          for (auto const& [name, v] : r.values) {
            INFO(name);
            CHECK((v == reference.values.at(name)));
          }
        }
      }
}

TEST_CASE("recompute: a loop that is written out computes again as a walk does: the same bits in less memory") {
  for (index_t const micro : {1, 2}) {
    options o{.plan = layout<float>(1, 1, 1, micro), .written_out = true};
    auto const reference = run<float>(o).front();
    auto walked = o;
    walked.written_out = false;
    CHECK((run<float>(walked).front().values == reference.values));
    for (auto const what : {mode::selected, mode::full})
      for (std::vector<index_t> const& units : {std::vector<index_t>{}, std::vector<index_t>{1, 2}}) {
        auto q = o;
        q.plan.recompute = what;
        q.plan.recompute_units = units;
        INFO(q.plan.to_string());
        auto const r = run<float>(q).front();
        CHECK(r.losses == reference.losses);
        CHECK((r.values == reference.values));
        CHECK(r.peak < reference.peak);
      }
  }
}

TEST_CASE("recompute: units that the network does not have are refused; a pipeline's layers are not walked by hand") {
  auto const said = [](pl::plan::plan const& p, bool forward) {
    try {
      pl::comm::run_local(static_cast<int>(p.ranks()), [&](pl::comm::communicator c) {
        pl::world w(std::move(c), 1);
        auto m = pl::parallel::build(gpt::network<float>(sizes()), p, w);
        m.zero_grad(8);
        if (forward) (void)m.forward(pl::tensor<float, space>::allocate(m.context(), {8, sizes().context}));
      });
    } catch (pl::error const& e) {
      return std::string(e.what());
    }
    return std::string("nothing");
  };
  auto p = layout<float>(1);
  p.recompute = mode::full;
  auto const units = pl::nn::units_of(gpt::network<float>(sizes()));
  p.recompute_units = {0, units - 1};
  CHECK(said(p, false) == "nothing");
  p.recompute_units = {0, units};
  auto const text = said(p, false);
  INFO(text);
  CHECK(text.find("recompute_units names unit " + std::to_string(units) + ", but the network has " + std::to_string(units) + " units") != std::string::npos);
  auto const by_hand = said(layout<float>(1, 1, 2, 2, "1f1b"), true);
  INFO(by_hand);
  CHECK(by_hand.find("this model has 2 stages") != std::string::npos);
  CHECK(by_hand.find("Use model.walk(source)") != std::string::npos);
}

TEST_CASE("recompute: over the tensor axis it moves what forward moved, and gives the same bits") {
  for (auto const schedule : {"1f1b", "zb-h1"}) {
    options o{.plan = layout<float>(1, 2, 1, 2, schedule)};
    auto const reference = run<float>(o);
    for (auto const what : {mode::selected, mode::full}) {
      auto q = o;
      q.plan.recompute = what;
      auto const r = run<float>(q);
      for (std::size_t i = 0; i < r.size(); ++i) {
        CHECK(r[i].losses == reference[i].losses);
        CHECK((r[i].values == reference[i].values));
      }
    }
  }
}

namespace {
/// Carries out one rank's list of a schedule with nothing between ranks: every input and every gradient is there when it is asked for.
/// \returns the most bytes held between two actions
template <class T> index_t measured(pl::parallel::model<decltype(gpt::network<T>(sizes()))>& m, index_t rank) {
  using tensor = pl::tensor<T, space>;
  using net_type = decltype(gpt::network<T>(sizes()));
  auto const& l = m.layout();
  auto& c = m.context();
  auto const choice = m.plan().recomputes();
  pl::nn::pass<space> base;
  base.where = &c;
  base.training = true;
  base.global_batch = 8;
  std::vector<std::unique_ptr<pl::parallel::stage_work<net_type>>> work(static_cast<std::size_t>(l.count() * m.plan().micro_batches));
  std::vector<tensor> waiting(work.size());  // the output of the last stage, over which its gradient lies
  auto const before = c.pool().statistics().bytes_requested_in_use;
  index_t most = 0;
  for (auto const& a : l.schedule().actions[static_cast<std::size_t>(rank)]) {
    if (!pl::plan::computes(a.kind)) continue;
    auto const at = static_cast<std::size_t>(a.stage * m.plan().micro_batches + a.micro_batch);
    index_t const begin = l.begin(a.stage), end = l.end(a.stage), rows = 2;
    auto p = base;
    p.input_gradient = a.stage > 0;
    pl::nn::segment const s{0, pl::compute::lanes::whole(rows)};
    p.segments = {&s, 1};
    for (auto& e : m.arena().entries()) e.use.done = 0;
    auto const fresh = [&](index_t unit) {
      auto x = tensor::allocate(c, pl::nn::shape_units(m.net(), pl::extents{rows, sizes().context}, 0, unit));
      pl::compute::fill(c.space(), x.size(), T(0.0f), x.data());  // token 0, or numbers
      return x;
    };
    auto const gradient = [&] { return waiting[at].rank() > 0 ? std::exchange(waiting[at], tensor{}) : fresh(end); };
    if (a.kind == pl::plan::action_kind::forward) {
      work[at] = std::make_unique<pl::parallel::stage_work<net_type>>();
      auto y = work[at]->forward(p, m.net(), begin, end, choice, fresh(begin));
      if (a.stage + 1 == l.count()) waiting[at] = std::move(y);
    } else if (a.kind == pl::plan::action_kind::backward) {
      (void)work[at]->backward(p, m.net(), begin, end, gradient());
    } else if (a.kind == pl::plan::action_kind::backward_input) {
      (void)work[at]->backward_input(p, m.net(), begin, end, gradient());
    } else {
      work[at]->backward_weight(p, m.net(), begin, end);
    }
    most = std::max(most, static_cast<index_t>(c.pool().statistics().bytes_requested_in_use - before));
  }
  if (c.pool().statistics().bytes_requested_in_use != before) throw std::runtime_error("something is held after the last action");
  return most;
}
/// What the second forward of a unit saves, the most of this rank's units that are computed again: what is taken from the pool while the unit's
/// input is held, less, where only what is cheap runs again, what the first forward kept.
template <class T> index_t measured_again(pl::parallel::model<decltype(gpt::network<T>(sizes()))>& m, index_t rank) {
  using tensor = pl::tensor<T, space>;
  auto& c = m.context();
  auto const choice = m.plan().recomputes();
  pl::nn::pass<space> p;
  p.where = &c;
  p.training = true;
  p.global_batch = 8;
  index_t again = 0;
  for (index_t s = 0; s < m.layout().count(); ++s)
    for (index_t u = m.layout().begin(s); m.layout().rank_of(s) == rank && u < m.layout().end(s); ++u) {
      if (choice.of(u) == mode::none) continue;
      auto const x = tensor::allocate(c, pl::nn::shape_units(m.net(), pl::extents{2, sizes().context}, 0, u));
      pl::compute::fill(c.space(), x.size(), T(0.0f), x.data());
      auto const saved_bytes = [&](bool cheap) {
        p.recompute = cheap;
        auto const before = c.pool().statistics().bytes_requested_in_use;
        pl::nn::saved_of<decltype(gpt::network<T>(sizes()))> saved;
        (void)pl::nn::forward_units(p, std::as_const(m).net(), u, u + 1, x, saved);
        return static_cast<index_t>(c.pool().statistics().bytes_requested_in_use - before);
      };
      again = std::max(again, saved_bytes(false) - (choice.of(u) == mode::full ? 0 : saved_bytes(true)));
    }
  return again;
}
}  // namespace

TEMPLATE_TEST_CASE("recompute: what a pipeline's ranks hold is what the ledger says, byte for byte", "", float, pl::bfloat16) {
  using T = TestType;
  std::map<std::string, index_t> first_rank;
  for (std::string const schedule : {"gpipe", "1f1b", "zb-h1"})
    for (auto const what : {mode::none, mode::selected, mode::full})
      for (std::vector<index_t> const& units : {std::vector<index_t>{}, std::vector<index_t>{2, 3}}) {
        if (what == mode::none && !units.empty()) continue;
        auto p = layout<T>(1, 1, 2, 4, schedule);
        p.deterministic = false;
        p.global_batch = 8;
        p.recompute = what;
        p.recompute_units = units;
        INFO(p.to_string());
        std::mutex guard;
        pl::comm::run_local(2, [&](pl::comm::communicator comm) {
          pl::world w(std::move(comm), 1);
          auto m = pl::parallel::build(gpt::network<T>(sizes()), p, w, {.seed = 3, .input = pl::extents{8, sizes().context}});
          pl::nn::optimizer_state<T, space> optimizer(m.context(), m.arena(), pl::nn::adamw{});
          m.zero_grad(8);
          std::vector<index_t> first;
          for (index_t s = 0; s < m.layout().count(); ++s) first.push_back(m.layout().begin(s));
          first.push_back(m.layout().units());
          auto const said = pl::plan::stage_ledger(m.net(), p, m.layout().schedule(), first, w.rank(), {8, sizes().context}, 2);
          auto const held = m.memory();
          auto const most = measured<T>(m, w.rank()), again = measured_again<T>(m, w.rank());
          std::lock_guard const lock(guard);
          INFO("rank " << w.rank());
          CHECK(most == said.activations);
          CHECK(held.parameters == said.parameters);
          CHECK(held.gradients == said.gradients);
          CHECK(held.optimizer_state == said.optimizer_state);
          CHECK(said.recomputed == again);
          if (units.empty()) CHECK((again > 0) == (what != mode::none));
          if (w.rank() == 0 && units.empty()) first_rank[schedule + " " + std::string(pl::plan::name_of(what))] = most;
        });
      }
  for (auto const schedule : {"gpipe ", "1f1b ", "zb-h1 "}) {
    auto const of = [&](char const* what) { return first_rank.at(std::string(schedule) + what); };
    CHECK(of("selected") < of("none"));
    CHECK(of("full") < of("selected"));
  }
  CHECK(first_rank.at("1f1b none") == 2 * first_rank.at("gpipe none") / 4);  // two micro-batches in flight instead of four
}

TEMPLATE_TEST_CASE("recompute: what one rank holds of the whole network is what the ledger says, byte for byte", "", float, pl::bfloat16) {
  using T = TestType;
  std::map<mode, index_t> total;
  for (auto const what : {mode::none, mode::selected, mode::full})
    for (std::vector<index_t> const& units : {std::vector<index_t>{}, std::vector<index_t>{1, 2}, std::vector<index_t>{0}}) {
      if (what == mode::none && !units.empty()) continue;
      auto p = layout<T>(1, 1, 1, 4);
      p.deterministic = false;
      p.global_batch = 8;
      p.recompute = what;
      p.recompute_units = units;
      INFO(p.to_string());
      pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
      auto m = pl::parallel::build(gpt::network<T>(sizes()), p, w, {.seed = 3});
      pl::nn::optimizer_state<T, space> optimizer(m.context(), m.arena(), pl::nn::adamw{});
      m.zero_grad(8);
      auto const said = pl::plan::ledger_of(gpt::network<T>(sizes()), p, {8, sizes().context});
      auto const held = m.memory();
      CHECK(said.parameters + said.gradients + said.optimizer_state == held.parameters + held.gradients + held.optimizer_state);
      CHECK(said.activations + said.input == measured<T>(m, 0));  // the first unit holds its input
      CHECK(said.recomputed == measured_again<T>(m, 0));
      CHECK(said.input == 2 * sizes().context * static_cast<index_t>(sizeof(T)));
      if (units.empty()) total[what] = said.total();
    }
  CHECK(total[mode::selected] < total[mode::none]);
  CHECK(total[mode::full] < total[mode::selected]);
}
