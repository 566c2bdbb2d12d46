// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Activations that are computed again: the same bits, unit by unit as chosen, in exactly the bytes that the ledger
// says.
#include <pleat/parallel/stage_work.hpp>

#include "precision_training.hpp"

#include <pleat/parallel/tensor_recipe.hpp>
#include <pleat/plan/stage_memory.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <memory>
#include <stdexcept>

using namespace precision_training;
using mode = pl::plan::recompute_mode;
using choice = pl::plan::recompute_choice;

namespace {
/// Of the five units, an embedding, two blocks, a norm and the output: a mode each.
choice mixed(char const* text) { return choice::parse(text); }
}  // namespace

TEMPLATE_TEST_CASE("recompute: none, selected and full, of all units, of some, or of each its own, give the same bits",
                   "", float, pl::bfloat16) {
  options o{.plan = layout<TestType>(1)};
  auto const reference = run<TestType>(o).front();
  for (auto const schedule : {"1f1b", "zb-h1"})
    for (index_t pipeline : {1, 2})
      for (choice const& each :
           {choice{mode::selected}, choice{mode::full}, choice{mode::selected, {2}}, choice{mode::full, {0, 1, 4}},
            mixed("1:full,2:selected"), mixed("1:selected,2:full"), mixed("selected,1:none,3-4:full")}) {
        auto q = o;
        q.plan = layout<TestType>(1, 1, pipeline, 2, schedule);
        q.plan.recompute = each;
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
    for (choice const& each : {choice{mode::selected}, choice{mode::full}, choice{mode::selected, {1, 2}},
                               choice{mode::full, {1, 2}}, mixed("1:full,2:selected")}) {
      auto q = o;
      q.plan.recompute = each;
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
  auto const units = pl::nn::units_of(gpt::network<float>(sizes()));
  p.recompute = {mode::full, {0, units - 1}};
  CHECK(said(p, false) == "nothing");
  p.recompute = {mode::full, {0, units}};
  auto const text = said(p, false);
  INFO(text);
  CHECK(text.find("recompute = 0:full," + std::to_string(units) + ":full names unit " + std::to_string(units) +
                  ", but the network has " + std::to_string(units) + " units") != std::string::npos);
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
/// Carries out one rank's list of a schedule with nothing between ranks: every input and every gradient is there when
/// it is asked for.
/// \returns the most bytes held between two actions
template <class T> index_t measured(pl::parallel::model<decltype(gpt::network<T>(sizes()))>& m, index_t rank) {
  using tensor = pl::tensor<T, space>;
  using net_type = decltype(gpt::network<T>(sizes()));
  auto const& l = m.layout();
  auto& c = m.context();
  auto const& each = m.plan().recompute;
  pl::nn::pass<space> base;
  base.where = &c;
  base.training = true;
  base.global_batch = 8;
  if (m.parts().size() > 1) base.tensor = &m.parts();
  std::vector<std::unique_ptr<pl::parallel::stage_work<net_type>>> work(
      static_cast<std::size_t>(l.count() * m.plan().micro_batches));
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
      auto y = work[at]->forward(p, m.net(), begin, end, each, fresh(begin));
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
  if (c.pool().statistics().bytes_requested_in_use != before)
    throw std::runtime_error("something is held after the last action");
  return most;
}
/// What the second forward of a unit saves, the most of this rank's units that are computed again: what is taken from
/// the pool while the unit's input is held, less, where only what is cheap runs again, what the first forward kept.
template <class T> index_t measured_again(pl::parallel::model<decltype(gpt::network<T>(sizes()))>& m, index_t rank) {
  using tensor = pl::tensor<T, space>;
  auto& c = m.context();
  auto const& each = m.plan().recompute;
  pl::nn::pass<space> p;
  p.where = &c;
  p.global_batch = 8;
  if (m.parts().size() > 1) p.tensor = &m.parts();
  index_t again = 0;
  for (index_t s = 0; s < m.layout().count(); ++s)
    for (index_t u = m.layout().begin(s); m.layout().rank_of(s) == rank && u < m.layout().end(s); ++u) {
      if (each.of(u) == mode::none) continue;
      auto first =
          tensor::allocate(c, pl::nn::shape_units(m.net(), pl::extents{2, sizes().context}, 0, m.layout().begin(s)));
      pl::compute::fill(c.space(), first.size(), T(0.0f), first.data());
      p.training = false;
      pl::nn::saved_of<decltype(gpt::network<T>(sizes()))> none;
      // as the unit gets it: over a tensor axis perhaps a part
      auto const x = pl::nn::forward_units(p, std::as_const(m).net(), m.layout().begin(s), u, std::move(first), none);
      p.training = true;
      auto const saved_bytes = [&](bool cheap) {
        p.recompute = cheap;
        auto const before = c.pool().statistics().bytes_requested_in_use;
        pl::nn::saved_of<decltype(gpt::network<T>(sizes()))> saved;
        (void)pl::nn::forward_units(p, std::as_const(m).net(), u, u + 1, x, saved);
        return static_cast<index_t>(c.pool().statistics().bytes_requested_in_use - before);
      };
      again = std::max(again, saved_bytes(false) - (each.of(u) == mode::full ? 0 : saved_bytes(true)));
    }
  return again;
}
}  // namespace

TEMPLATE_TEST_CASE("recompute: what a pipeline's ranks hold is what the ledger says, byte for byte", "", float,
                   pl::bfloat16) {
  using T = TestType;
  std::map<std::string, index_t> first_rank;
  for (std::string const schedule : {"gpipe", "1f1b", "zb-h1"})
    for (choice const& each :
         {choice{}, choice{mode::selected}, choice{mode::full}, choice{mode::selected, {2, 3}},
          choice{mode::full, {2, 3}}, mixed("1:full,2:selected,4:full"), mixed("selected,0:full,2:full,3:none")}) {
      bool const all = each.last() < 0;
      auto p = layout<T>(1, 1, 2, 4, schedule);
      p.deterministic = false;
      p.global_batch = 8;
      p.recompute = each;
      INFO(p.to_string());
      std::mutex guard;
      pl::comm::run_local(2, [&](pl::comm::communicator comm) {
        pl::world w(std::move(comm), 1);
        auto m =
            pl::parallel::build(gpt::network<T>(sizes()), p, w, {.seed = 3, .input = pl::extents{8, sizes().context}});
        pl::nn::optimizer_state<T, space> optimizer(m.context(), m.arena(), pl::nn::adamw{});
        m.zero_grad(8);
        std::vector<index_t> first;
        for (index_t s = 0; s < m.layout().count(); ++s) first.push_back(m.layout().begin(s));
        first.push_back(m.layout().units());
        auto const said =
            pl::plan::stage_ledger(m.net(), p, m.layout().schedule(), first, w.rank(), {8, sizes().context}, 2);
        auto const held = m.memory();
        auto const most = measured<T>(m, w.rank()), again = measured_again<T>(m, w.rank());
        std::lock_guard const lock(guard);
        INFO("rank " << w.rank());
        CHECK(most == said.activations);
        CHECK(held.parameters == said.parameters);
        CHECK(held.gradients == said.gradients);
        CHECK(held.optimizer_state == said.optimizer_state);
        CHECK(said.recomputed == again);
        if (all) CHECK((again > 0) == (each.rest() != mode::none));
        if (w.rank() == 0) first_rank[schedule + " " + each.to_string()] = most;
      });
    }
  for (auto const schedule : {"gpipe ", "1f1b ", "zb-h1 "}) {
    auto const of = [&](char const* what) { return first_rank.at(std::string(schedule) + what); };
    CHECK(of("selected") < of("none"));
    CHECK(of("full") < of("selected"));
    CHECK(of("1:full,2:selected,4:full") == of("full"));  // the first rank has the embedding and the first block
  }
  // two micro-batches in flight instead of four
  CHECK(first_rank.at("1f1b none") == 2 * first_rank.at("gpipe none") / 4);
}

TEMPLATE_TEST_CASE("recompute: what one rank holds of the whole network is what the ledger says, byte for byte", "",
                   float, pl::bfloat16) {
  using T = TestType;
  std::map<std::string, index_t> total;
  for (std::string const schedule : {"1f1b", "zb-h1"})
    for (choice const& each :
         {choice{}, choice{mode::selected}, choice{mode::full}, choice{mode::selected, {1, 2}},
          choice{mode::full, {1, 2}}, choice{mode::selected, {0}}, choice{mode::full, {0}}, mixed("1:full,2:selected"),
          mixed("1:selected,2:full"), mixed("full,1:selected,2:none"), mixed("selected,0-1:full,4:none")}) {
      auto p = layout<T>(1, 1, 1, 4, schedule);
      p.deterministic = false;
      p.global_batch = 8;
      p.recompute = each;
      INFO(p.to_string());
      pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
      auto m = pl::parallel::build(gpt::network<T>(sizes()), p, w, {.seed = 3});
      pl::nn::optimizer_state<T, space> optimizer(m.context(), m.arena(), pl::nn::adamw{});
      m.zero_grad(8);
      auto const said = pl::plan::ledger_of(gpt::network<T>(sizes()), p, {8, sizes().context});
      auto const held = m.memory();
      CHECK(said.parameters + said.gradients + said.optimizer_state ==
            held.parameters + held.gradients + held.optimizer_state);
      CHECK(said.activations + said.input == measured<T>(m, 0));  // the first unit holds its input
      CHECK(said.recomputed == measured_again<T>(m, 0));
      CHECK(said.input == 2 * sizes().context * static_cast<index_t>(sizeof(T)));
      total[schedule + " " + each.to_string()] = said.activations;
    }
  for (std::string const schedule : {"1f1b ", "zb-h1 "}) {
    // of two blocks that are alike it does not matter which has which mode, and each has its own part in the sum
    auto const of = [&](char const* each) { return total.at(schedule + each); };
    CHECK(of("selected") <= of("none"));
    if (schedule == "zb-h1 ") continue;  // what is computed again lives until the weight half
    CHECK(of("selected") < of("none"));
    CHECK(of("full") < of("selected"));
    CHECK(of("1:full,2:selected") == of("1:selected,2:full"));
    CHECK(of("1:full,2:selected") < of("1-2:selected"));
    CHECK(of("1:full,2:selected") > of("1-2:full"));
  }
}

namespace {
/// The network cut along the tensor axis, norms by position if asked for.
template <class T> auto cut_network(bool sequence) {
  return pl::parallel::megatron(gpt::network<T>(sizes()), {.sequence = sequence});
}

/// Bytes that the pool has given out whenever the source is asked: between the actions of a walk.
template <class Model> struct watched_source {
  gpt::window_source<Model> inner;
  Model* m;
  std::size_t before;
  index_t at_input = 0, at_loss = 0, losses = 0;

  explicit watched_source(Model& model)
      : inner(model, text().train), m(&model), before(model.context().pool().statistics().bytes_requested_in_use) {}
  [[nodiscard]] index_t held() const {
    return static_cast<index_t>(m->context().pool().statistics().bytes_requested_in_use - before);
  }
  [[nodiscard]] auto input(pl::parallel::micro_batch const& micro) {
    at_input = std::max(at_input, held());
    return inner.input(micro);
  }
  [[nodiscard]] auto loss(pl::parallel::micro_batch const& micro, pl::tensor<typename Model::value_type, space> y) {
    at_loss = std::max(at_loss, held());
    ++losses;
    return inner.loss(micro, std::move(y));
  }
};

struct walked {
  index_t at_input = 0, at_loss = 0, peak = 0;
  bool first_stage = false, last_stage = false;
  pl::plan::memory_ledger said;
};
/// A step's walk on every rank of a plan, and what the ledger says of that rank.
template <class T> std::vector<walked> walk(pl::plan::plan const& p, bool sequence = false) {
  std::vector<walked> all(static_cast<std::size_t>(p.ranks()));
  pl::comm::run_local(static_cast<int>(p.ranks()), [&](pl::comm::communicator comm) {
    pl::world w(std::move(comm), 1);
    w.set_sink({});
    auto const net = p.tensor_ranks > 1 ? cut_network<T>(sequence) : gpt::network<T>(sizes());
    auto m = pl::parallel::build(net, p, w, {.seed = 3, .input = pl::extents{8, sizes().context}});
    pl::nn::optimizer_state<T, space> optimizer(m.context(), m.arena(), pl::nn::adamw{});
    m.zero_grad(8);
    watched_source<decltype(m)> source(m);
    std::vector<index_t> order(8);
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<index_t>(i);
    source.inner.begin(order, 0);
    m.walk(source);
    auto& out = all[static_cast<std::size_t>(w.rank())];
    out.peak = static_cast<index_t>(m.context().pool().statistics().bytes_peak);
    out.at_input = source.at_input, out.at_loss = source.at_loss;
    out.first_stage = m.has_first_stage(), out.last_stage = m.has_last_stage();
    if (p.pipeline_ranks == 1) {
      out.said = pl::plan::ledger_of(net, p, {8, sizes().context}, 2, m.arena().shards().shard, m.parts().rank());
    } else {
      std::vector<index_t> first;
      for (index_t s = 0; s < m.layout().count(); ++s) first.push_back(m.layout().begin(s));
      first.push_back(m.layout().units());
      out.said = pl::plan::stage_ledger(m.net(), p, m.layout().schedule(), first, m.pipeline().rank(),
                                        {8, sizes().context}, 2, m.arena().shards().shard, m.parts().rank());
    }
    auto const used = m.memory();
    if (source.losses != (out.last_stage ? p.micro_batches : 0))
      throw std::runtime_error("losses were asked for otherwise than once per micro-batch");
    if (used.parameters != out.said.parameters || used.gradients != out.said.gradients)
      throw std::runtime_error("a rank holds other parameters or gradients than the ledger says");
  });
  return all;
}
/// Bytes of the largest activation of a micro-batch of so many rows: the first linear layer's of a block's second half,
/// or the scores'.
template <class T> index_t largest_activation(index_t rows) {
  auto const s = sizes();
  return rows * s.context * std::max(4 * s.width, s.vocabulary) * static_cast<index_t>(sizeof(T));
}
template <class T>
pl::plan::plan fast(index_t tensor, index_t pipeline, index_t micro, std::string const& schedule, choice const& what) {
  auto p = layout<T>(1, tensor, pipeline, micro, schedule);
  p.deterministic = false;
  p.global_batch = 8;
  p.recompute = what;
  return p;
}
}  // namespace

TEMPLATE_TEST_CASE(
    "recompute: what a walk holds, in one piece or two and of as many micro-batches as its schedule has in flight, is "
    "what the ledger says",
    "", float, pl::bfloat16) {
  using T = TestType;
  std::map<std::string, index_t> held;
  for (std::string const schedule : {"1f1b", "gpipe", "zb-h1"})
    for (auto const what : {mode::none, mode::selected, mode::full})
      for (index_t const micro : {1, 4}) {
        auto const p = fast<T>(1, 1, micro, schedule, what);
        INFO(p.to_string());
        auto const r = walk<T>(p).front();
        // The most between two actions: behind the last forward that the schedule has in flight. Only a backward in two
        // halves may hold more, later.
        auto const said = r.said.activations + r.said.input;
        bool const halves = schedule == "zb-h1";
        if (!halves) CHECK(r.at_loss == said);
        CHECK(r.at_loss <= said);
        CHECK(r.at_input < r.at_loss);
        // The pool's own count is of blocks, rounded up to size classes: by less than a quarter (base/pool.hpp), or to
        // 64 bytes. Within an action there are besides what the ledger says what is computed again, and a layer's
        // output, its gradient, the input's gradient, and the residual sum's gradient or work space, each at most the
        // largest activation (the loss works on labels and rows, which are smaller).
        CHECK(r.peak >= said);
        CHECK(r.peak <= (said + r.said.recomputed + 4 * largest_activation<T>(8 / micro)) * 5 / 4 + 200 * 64);
        held[schedule + " " + std::string(pl::plan::name_of(what)) + " " + std::to_string(micro)] = said;
      }
  CHECK(held.at("gpipe none 4") == 4 * held.at("1f1b none 4"));  // all of them, one after the other
  CHECK(held.at("gpipe full 1") == held.at("1f1b full 1"));
  CHECK(held.at("zb-h1 full 1") > 2 * held.at("1f1b full 1"));  // what was computed again lives until the weight half
}

TEMPLATE_TEST_CASE("recompute: what one rank's list holds is what the ledger says, byte for byte, under every schedule",
                   "", float, pl::bfloat16) {
  using T = TestType;
  for (std::string const schedule : {"1f1b", "gpipe", "zb-h1", "zb-h2"})
    for (auto const what : {mode::none, mode::selected, mode::full}) {
      auto const p = fast<T>(1, 1, 4, schedule, what);
      INFO(p.to_string());
      pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
      auto m = pl::parallel::build(gpt::network<T>(sizes()), p, w, {.seed = 3});
      m.zero_grad(8);
      auto const said = pl::plan::ledger_of(gpt::network<T>(sizes()), p, {8, sizes().context});
      CHECK(said.activations + said.input == measured<T>(m, 0));
      CHECK(said.recomputed == measured_again<T>(m, 0));
    }
}

TEMPLATE_TEST_CASE("recompute: what the ranks of a tensor axis hold is what the ledger says, byte for byte", "", float,
                   pl::bfloat16) {
  using T = TestType;
  std::map<std::string, index_t> first;
  // four heads in two groups, and a vocabulary: uneven over three, one of which has no head
  for (index_t const tensor : {2, 3})
    for (bool const sequence : {false, true})
      for (std::string const schedule : {"1f1b", "gpipe", "zb-h1"})
        for (choice const& what :
             {choice{}, choice{mode::selected}, choice{mode::full}, mixed("1:full,2:selected,4:full")}) {
          auto const p = fast<T>(tensor, 1, 4, schedule, what);
          INFO(p.to_string() << (sequence ? "norms by position" : ""));
          std::mutex guard;
          pl::comm::run_local(static_cast<int>(tensor), [&](pl::comm::communicator comm) {
            pl::world w(std::move(comm), 1);
            w.set_sink({});
            auto m = pl::parallel::build(cut_network<T>(sequence), p, w, {.seed = 3});
            m.zero_grad(8);
            auto const said = pl::plan::ledger_of(cut_network<T>(sequence), p, {8, sizes().context}, 2, 0, w.rank());
            auto const most = measured<T>(m, 0), again = measured_again<T>(m, 0);
            std::lock_guard const lock(guard);
            INFO("rank " << w.rank());
            CHECK(most == said.activations + said.input);
            CHECK(again == said.recomputed);
            if (w.rank() == 0)
              first[std::to_string(tensor) + (sequence ? "s " : " ") + schedule + " " + what.to_string()] = most;
          });
        }
  auto const whole =
      pl::plan::ledger_of(gpt::network<T>(sizes()), fast<T>(1, 1, 4, "1f1b", mode::none), {8, sizes().context});
  // Without cuts by position norms and sums are whole on every rank.
  CHECK(first.at("2 1f1b none") < whole.activations + whole.input);
  CHECK(first.at("2s 1f1b none") < first.at("2 1f1b none"));
  CHECK(first.at("3s 1f1b none") < first.at("2s 1f1b none"));
  CHECK(first.at("2s 1f1b full") < first.at("2 1f1b full"));
}

TEMPLATE_TEST_CASE("recompute: what a walk over a tensor axis holds is what the ledger says", "", float, pl::bfloat16) {
  using T = TestType;
  for (index_t const tensor : {2, 3})
    for (bool const sequence : {false, true})
      for (std::string const schedule : {"1f1b", "gpipe", "zb-h1"})
        for (auto const what : {mode::none, mode::selected, mode::full}) {
          auto const p = fast<T>(tensor, 1, 2, schedule, what);
          INFO(p.to_string() << (sequence ? "norms by position" : ""));
          for (auto const& r : walk<T>(p, sequence)) {
            auto const said = r.said.activations + r.said.input;
            if (schedule != "zb-h1") CHECK(r.at_loss == said);
            CHECK(r.at_loss <= said);
            // Besides what a rank alone has within an action (above): a sum or a gather packs its parts into a block
            // and unpacks them from another, each of at most a whole activation.
            CHECK(r.peak >= said);
            CHECK(r.peak <= (said + r.said.recomputed + 6 * largest_activation<T>(4)) * 5 / 4 + 200 * 64);
          }
        }
}

TEST_CASE(
    "recompute: what the ranks of a pipeline and a tensor axis hold in a walk is what the ledger says, and messages") {
  using T = float;
  for (index_t const tensor : {1, 2})
    for (bool const sequence : {false, true})
      for (std::string const schedule : {"gpipe", "1f1b", "zb-h1"})
        for (auto const what : {mode::none, mode::selected, mode::full}) {
          if (tensor == 1 && sequence) continue;
          auto const p = fast<T>(tensor, 2, 4, schedule, what);
          INFO(p.to_string() << (sequence ? "norms by position" : ""));
          // Messages are whole activations between blocks: a rank keeps the last 2 · 2 that it sent, and has posted
          // those before the work after the next one, at most one activation and one gradient.
          index_t const messages = (4 + 2) * 2 * sizes().context * sizes().width * static_cast<index_t>(sizeof(T));
          for (auto const& r : walk<T>(p, sequence)) {
            CHECK(std::max(r.at_input, r.at_loss) <= r.said.activations + messages);
            // behind a forward: nobody holds more than then
            if (r.last_stage && schedule != "zb-h1") CHECK(r.at_loss >= r.said.activations);
            if (!r.last_stage && !r.first_stage) CHECK(r.at_input + r.at_loss == 0);
          }
        }
}
