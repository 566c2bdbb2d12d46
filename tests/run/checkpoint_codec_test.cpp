// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What gradient codecs keep, through a checkpoint: the run goes on with the same bits, and on other ranks nothing of it
// is lost.
#include <pleat/parallel/coded_exchange.hpp>
#include <pleat/run/checkpoint.hpp>

#include <pleat/codec/detail/part_of.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <map>
#include <mutex>
#include <stdexcept>

#include "run/checkpoint_support.hpp"

namespace {

using namespace checkpoint_test;
namespace par = pl::parallel;
namespace nn = pl::nn;
using Catch::Matchers::ContainsSubstring;

/// Cut, every rank has an addend of the norm's gradients, and all of them the second bias'.
auto net() {
  return nn::sequential(nn::linear("fc1", 20, 24), nn::batch_norm("norm", 24), nn::relu(), nn::linear("fc2", 24, 6));
}
auto cut_net() { return par::tensor_parallel(net(), {par::column("fc1.*"), par::row("fc2.*")}); }
using net_type = decltype(net());

pl::plan::plan plan_of(index_t data, index_t tensor = 1, int stage = 0, index_t pipeline = 1) {
  pl::plan::plan p{.global_batch = 24, .data_ranks = data, .tensor_ranks = tensor, .pipeline_ranks = pipeline};
  p.state_stage = stage;
  p.bucket_bytes = 1024;  // several buckets
  return p;
}

/// One rank of a run.
struct runner {
  pl::world world;
  par::model<net_type> model;
  nn::optimizer_state<float, space> optimizer;
  runner(pl::comm::communicator c, pl::plan::plan const& p, par::gradient_coding const& coding)
      : world(trained<net_type>::quiet(std::move(c))),
        model(par::build(p.tensor_ranks > 1 ? cut_net() : net(), p, world, {.seed = 4, .gradients = coding})),
        optimizer(model.context(), model.arena(), nn::sgd{.learning_rate = 0.05, .momentum = 0.9}) {}

  /// What a step is made of.
  struct lesson {
    runner* r;
    int step;
    [[nodiscard]] pl::index_range rows(par::micro_batch const& b) const {
      index_t const first = r->model.share().rows().begin;
      return {first + b.rows.begin, first + b.rows.end};
    }
    pl::tensor<float, space> input(par::micro_batch const& b) {
      auto const all = rows(b);
      auto x = pl::tensor<float, space>::allocate(r->model.context(), {all.size(), 20});
      std::vector<float> h(static_cast<std::size_t>(x.size()));
      nn::draw(nn::initializer::normal(1), static_cast<std::uint64_t>(step), "input", all.begin * 20, all.end * 20,
               h.data());
      pl::copy_from_host(r->model.context(), h.data(), x);
      return x;
    }
    pl::tensor<float, space> loss(par::micro_batch const& b, pl::tensor<float, space> y) {
      auto const all = rows(b);
      auto labels = pl::tensor<std::int32_t, space>::allocate(r->model.context(), {all.size()});
      std::vector<std::int32_t> l;
      for (index_t i = all.begin; i < all.end; ++i) l.push_back(static_cast<std::int32_t>((i + step) % 6));
      pl::copy_from_host(r->model.context(), l.data(), labels);
      return r->model.cross_entropy(y, labels).dy;
    }
  };
  /// Up to the sum of the gradients.
  void gradients(int step) {
    model.zero_grad(24);
    lesson of{this, step};
    model.walk(of);
    model.reduce();
  }
  void steps(int from, int to) {
    for (int s = from; s < to; ++s) {
      gradients(s);
      model.step(optimizer);
    }
  }
  [[nodiscard]] std::vector<float> summed() const {
    std::vector<float> g(static_cast<std::size_t>(model.arena().size()));
    pl::copy_to_host(model.context(), pl::tensor<float, space>::wrap(model.arena().gradients(), {model.arena().size()}),
                     g.data());
    return g;
  }
};

/// Numbers by parameter, of whole ones.
using by_name = std::map<std::string, std::vector<float>>;

struct outcome {
  std::vector<std::uint64_t> checksums;
  std::vector<std::vector<float>> residuals, sums;
  std::string remark;
  std::vector<by_name> kept{};  ///< residuals of each data rank, whichever ranks have their parts
};
/// Of this rank's flat numbers what belongs to parameters, where it belongs in whole ones.
void put_parts(runner const& r, std::vector<float> const& flat, by_name& to) {
  nn::for_each_parameter(r.model.net(), [&](auto const& w) {
    if (w.absent || w.kind != nn::parameter_kind::trainable) return;
    auto const& e = r.model.arena().entries()[static_cast<std::size_t>(r.model.arena().find(w.name))];
    auto& all = to[w.name];
    all.resize(static_cast<std::size_t>(w.whole().size()));
    auto next = static_cast<std::size_t>(e.begin);
    pl::codec::detail::for_each_of_part(w.whole(), w.box(),
                                        [&](index_t i) { all[static_cast<std::size_t>(i)] = flat[next++]; });
  });
}
/// f(runner, what this rank found) on every rank.
template <class F> outcome on(pl::plan::plan const& p, par::gradient_coding const& coding, F&& f) {
  auto const n = static_cast<std::size_t>(p.ranks());
  outcome out{
      std::vector<std::uint64_t>(n), std::vector<std::vector<float>>(n), std::vector<std::vector<float>>(n), {}};
  out.kept.resize(static_cast<std::size_t>(p.data_ranks));
  std::mutex guard;
  pl::comm::run_local(static_cast<int>(n), [&](pl::comm::communicator c) {
    auto const rank = static_cast<std::size_t>(c.rank());
    runner r(std::move(c), p, coding);
    std::string remark = f(r);
    out.residuals[rank] = r.model.gradient_residual();
    out.checksums[rank] = r.model.checksum();
    if (r.model.arena().layout().stage() == 0 && r.model.arena().gradients()) out.sums[rank] = r.summed();
    std::lock_guard const lock(guard);
    put_parts(r, out.residuals[rank], out.kept[static_cast<std::size_t>(r.model.ranks().rank())]);
    if (rank == 0) out.remark = std::move(remark);
  });
  return out;
}
std::string load(runner& r, std::string const& folder) {
  auto const at = pl::run::load_checkpoint(folder, r.model, r.optimizer);
  if (!at) throw std::runtime_error("there is no checkpoint");
  return at->remark;
}

std::vector<par::gradient_coding> codecs() {
  par::coding_options const all{.even_if_it_does_not_pay = true};
  return {par::coded(par::top_k{0.05}, all), par::coded(par::int8_groups{32}, all),
          par::coded(par::power_sgd{.rank = 2}, all)};
}

/// What `ranks` top-k ranks have kept after four steps, saved in the folder.
outcome saved(std::string const& folder, index_t ranks) {
  return on(plan_of(ranks), codecs()[0], [&](runner& r) {
    r.steps(0, 4);
    pl::run::save_checkpoint(folder, r.model, r.optimizer, 4);
    return std::string();
  });
}
std::vector<float> sum_of(std::vector<std::vector<float>> const& all, pl::index_range r) {
  std::vector<float> s(all[0].size(), 0.0f);
  for (index_t k = r.begin; k < r.end; ++k)
    for (std::size_t i = 0; i < s.size(); ++i)
      s[i] = k == r.begin ? all[static_cast<std::size_t>(k)][i] : s[i] + all[static_cast<std::size_t>(k)][i];
  return s;
}

}  // namespace

TEST_CASE("residuals: a run that is resumed gives the bits of the run that went on, with every codec") {
  for (auto const& coding : codecs())
    for (auto const& plan : {plan_of(1), plan_of(2), plan_of(3), plan_of(4), plan_of(2, 2), plan_of(2, 3, 1),
                             plan_of(2, 1, 0, 2), plan_of(3, 1, 1), plan_of(2, 2, 1, 2)}) {
      CAPTURE(coding.words(), plan.to_string());
      folder const f;
      auto const whole = on(plan, coding, [&](runner& r) {
        r.steps(0, 4);
        pl::run::save_checkpoint(f / "half", r.model, r.optimizer, 4);
        r.steps(4, 8);
        pl::run::save_checkpoint(f / "whole", r.model, r.optimizer, 8);
        return std::string();
      });
      auto const resumed = on(plan, coding, [&](runner& r) {
        auto words = load(r, f / "half");
        r.steps(4, 8);
        pl::run::save_checkpoint(f / "resumed", r.model, r.optimizer, 8);
        return words;
      });
      CHECK(resumed.remark.empty());
      CHECK(resumed.checksums == whole.checksums);
      CHECK(resumed.residuals == whole.residuals);
      CHECK((files(f / "resumed/step-8") == files(f / "whole/step-8")));
      bool const kept =
          std::any_of(whole.residuals[0].begin(), whole.residuals[0].end(), [](float e) { return e != 0; });
      CHECK(kept == (plan.data_ranks > 1));
      // without its residual a run goes elsewhere: what is compared above is not nothing
      auto const forgetful = on(plan, coding, [&](runner& r) {
        auto words = load(r, f / "half");
        r.model.set_gradient_residual(std::vector<float>(static_cast<std::size_t>(r.model.arena().size())));
        r.steps(4, 8);
        return words;
      });
      CHECK((forgetful.checksums == whole.checksums) == (plan.data_ranks == 1));
    }
}

TEST_CASE("a model that has stepped loads a checkpoint without a codec's memory as a fresh one does") {
  for (auto const& coding : codecs()) {
    CAPTURE(coding.words());
    folder const f;
    (void)on(plan_of(2), coding, [&](runner& r) {  // before the first step there is no memory
      pl::run::save_checkpoint(f / "begin", r.model, r.optimizer, 0);
      return std::string();
    });
    (void)on(plan_of(2), {}, [&](runner& r) {  // and none where gradients travelled as they are
      r.steps(0, 3);
      pl::run::save_checkpoint(f / "plain", r.model, r.optimizer, 3);
      return std::string();
    });
    for (auto const* from : {"begin", "plain"}) {
      CAPTURE(from);
      auto const go_on = [&](int before) {
        return on(plan_of(2), coding, [&](runner& r) {
          r.steps(10, 10 + before);
          (void)load(r, f / from);
          r.steps(3, 6);
          return std::string();
        });
      };
      auto const fresh = go_on(0), stepped = go_on(2);
      CHECK(stepped.checksums == fresh.checksums);
      CHECK(stepped.residuals == fresh.residuals);
    }
  }
}

TEST_CASE("residuals on another number of ranks: rows are dealt in blocks and added up, so that their sum stays") {
  folder const f;
  auto const four = saved(f / "four", 4);
  for (index_t ranks : {2, 3, 6}) {
    CAPTURE(ranks);
    auto const here = on(plan_of(ranks), codecs()[0], [&](runner& r) { return load(r, f / "four"); });
    for (index_t r = 0; r < ranks; ++r)
      CHECK(here.residuals[static_cast<std::size_t>(r)] == sum_of(four.residuals, pl::block_range(4, ranks, r)));
    CHECK_THAT(here.remark, ContainsSubstring("what 4 ranks had not sent of the gradients is dealt to " +
                                              std::to_string(ranks) + " ranks"));
    // it is saved again as it is
    (void)on(plan_of(ranks), codecs()[0], [&](runner& r) {
      auto words = load(r, f / "four");
      pl::run::save_checkpoint(f / "again", r.model, r.optimizer, 4);
      return words;
    });
    auto const back = on(plan_of(ranks), codecs()[0], [&](runner& r) { return load(r, f / "again"); });
    CHECK(back.residuals == here.residuals);
    CHECK(back.remark.empty());
  }
  auto const other = on(plan_of(4), codecs()[1], [&](runner& r) { return load(r, f / "four"); });
  CHECK(other.residuals == four.residuals);  // another codec takes it over
  CHECK_THAT(other.remark, ContainsSubstring("they travelled as top_k") && ContainsSubstring("now as int8_groups"));
}

TEST_CASE("residuals under another cut: every data rank keeps its own; what a codec cannot go on with is said") {
  par::coding_options const all{.even_if_it_does_not_pay = true};
  auto const forgets =
      par::coded(par::power_sgd{.rank = 2}, {.error_feedback = false, .even_if_it_does_not_pay = true});
  for (auto const& coding : {par::coded(par::top_k{0.05}, all), par::coded(par::power_sgd{.rank = 2}, all), forgets}) {
    bool const factors = coding.two_halves();
    for (index_t from : {1, 2, 3}) {
      folder const f;
      auto const there = on(plan_of(2, from), coding, [&](runner& r) {
        r.steps(0, 4);
        pl::run::save_checkpoint(f / "cut", r.model, r.optimizer, 4);
        return std::string();
      });
      for (index_t to : {1, 2, 3}) {
        CAPTURE(coding.words(), from, to);
        auto const here = on(plan_of(2, to), coding, [&](runner& r) { return load(r, f / "cut"); });
        CHECK(here.kept == there.kept);
        if (from == to) {
          CHECK(here.remark.empty());
          continue;
        }
        // vectors have no factors; where weights are cut, those that are whole are not coded
        CHECK((here.remark.find("what was not sent of 3 gradients, of which nothing is kept here, is added to the next "
                                "step's") != here.remark.npos) == (!factors && from == 1));
        CHECK((here.remark.find("kept of 2 gradients from step to step is left out, for their weights are cut or "
                                "travel otherwise here: it begins anew") != here.remark.npos) == factors);
        CHECK(here.remark.empty() == (!factors && from != 1));
      }
    }
  }
}

TEST_CASE("residuals where gradients travel as they are: added to the next step's, once") {
  folder const f;
  auto const three = saved(f / "three", 3);
  auto const all = sum_of(three.residuals, {0, 3});
  auto const step = [&](pl::plan::plan const& p, bool with) {
    return on(p, {}, [&](runner& r) {
      auto words = load(r, f / "three");
      if (!with) r.model.set_gradient_residual(std::vector<float>(static_cast<std::size_t>(r.model.arena().size())));
      r.gradients(4);
      return words;
    });
  };
  // One data rank: the sum is one addition behind the gradient.
  auto const alone = step(plan_of(1), true), without = step(plan_of(1), false);
  CHECK_THAT(alone.remark,
             ContainsSubstring("what 3 ranks had not sent of the gradients is added to those of the next step"));
  CHECK(alone.residuals[0] == std::vector<float>(all.size(), 0.0f));
  std::size_t changed = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (alone.sums[0][i] != without.sums[0][i] + all[i]) FAIL("element " << i);
    changed += alone.sums[0][i] != without.sums[0][i];
  }
  CHECK(changed > all.size() / 2);
  // Cut, once, too: what every rank of the tensor axis has whole is added by all of them where each has the gradient,
  // and by one where each has an addend of it. Of the norm's, that of other ranks' channels is zero: one rounding.
  for (index_t parts : {2, 3})
    for (auto const& coding : {par::gradient_coding{}, codecs()[0]}) {
      CAPTURE(parts);
      std::mutex guard;
      by_name with, none, sent;
      auto const gradients = [&](bool keep) {
        (void)on(plan_of(1, parts), coding, [&](runner& r) {
          (void)load(r, f / "three");
          auto const e = r.model.gradient_residual();
          if (!keep) r.model.set_gradient_residual(std::vector<float>(e.size()));
          r.gradients(4);
          std::lock_guard const lock(guard);
          put_parts(r, r.summed(), keep ? with : none);
          if (keep) put_parts(r, e, sent);
          return std::string();
        });
      };
      gradients(true);
      gradients(false);
      for (auto const& [name, e] : sent)
        for (std::size_t i = 0; i < e.size(); ++i)
          if (with[name][i] != none[name][i] + e[i]) FAIL(name << ", element " << i);
      CHECK(sent.at("norm.weight") != std::vector<float>(24, 0.0f));
    }
  // Cut over a tensor axis, sharded, in deterministic mode: it enters the sum, and is gone.
  auto deterministic = plan_of(2);
  deterministic.deterministic = true;
  for (auto const& p :
       {plan_of(1, 2), plan_of(2, 2), plan_of(2, 1, 1), plan_of(3, 1, 2), plan_of(2, 1, 3), deterministic}) {
    CAPTURE(p.to_string());
    auto const a = step(p, true);
    for (auto const& e : a.residuals) CHECK(e == std::vector<float>(e.size(), 0.0f));
    auto const moved = on(p, {}, [&](runner& r) {
      (void)load(r, f / "three");
      r.steps(4, 5);
      return std::string();
    });
    auto const still = on(p, {}, [&](runner& r) {
      (void)load(r, f / "three");
      r.model.set_gradient_residual(std::vector<float>(static_cast<std::size_t>(r.model.arena().size())));
      r.steps(4, 5);
      return std::string();
    });
    CHECK(moved.checksums != still.checksums);
  }
  // A step that was not taken loses nothing: what waits for it is saved again.
  (void)on(plan_of(1), {}, [&](runner& r) {
    (void)load(r, f / "three");
    pl::run::save_checkpoint(f / "waiting", r.model, r.optimizer, 4);
    return std::string();
  });
  auto const waiting = on(plan_of(1), {}, [&](runner& r) { return load(r, f / "waiting"); });
  CHECK(waiting.residuals[0] == all);
}

TEST_CASE("residuals that are damaged make all ranks pass over the checkpoint") {
  folder const f;
  (void)saved(f / "two", 2);
  {
    std::fstream file((f / "two") + "/step-4/residuals.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-3, std::ios::end);
    file.put('\x55');
  }
  auto const load_damaged = [&] { (void)on(plan_of(2), codecs()[0], [&](runner& r) { return load(r, f / "two"); }); };
  CHECK_THROWS_WITH(load_damaged(), ContainsSubstring("residuals.safetensors") && ContainsSubstring("damaged"));
}
