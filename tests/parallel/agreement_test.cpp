// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/agreement.hpp>

#include "parallel/pipeline_training.hpp"
#include "parallel/shuffled_ready.hpp"

#include <pleat/parallel/tensor_recipe.hpp>

#include <catch2/matchers/catch_matchers_string.hpp>

using namespace pipeline_training;
using Catch::Matchers::ContainsSubstring;

namespace {

auto cut_network() {
  return pl::parallel::tensor_parallel(network(),
                                       {pl::parallel::column("block.*.in.*"), pl::parallel::row("block.*.out.*")});
}
using net_type = decltype(cut_network());

pl::plan::plan mesh(index_t pipeline, index_t data, index_t tensor, int stage = 0) {
  auto p = layout("1f1b", pipeline, data, pipeline > 1 ? 2 : 1);
  p.tensor_ranks = tensor;
  p.state_stage = stage;
  p.bucket_bytes = 600;
  return p;
}
std::vector<pl::plan::plan> const meshes{mesh(1, 2, 1),    mesh(1, 3, 1, 2), mesh(1, 3, 1, 3), mesh(1, 1, 3),
                                         mesh(1, 2, 2, 1), mesh(2, 1, 1),    mesh(2, 2, 1),    mesh(2, 1, 2)};

/// What each rank says to f(model, source, world).
template <class F> std::vector<std::string> said(pl::plan::plan const& p, F&& f) {
  std::vector<std::string> all(static_cast<std::size_t>(p.ranks()), "nothing");
  try {
    pl::comm::run_local(static_cast<int>(p.ranks()), [&](pl::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pl::world w(std::move(c), 1);
      w.set_sink({});
      try {
        auto m = pl::parallel::build(cut_network(), p, w, {.seed = 3});
        samples<net_type> s{&m};
        f(m, s, w);
      } catch (pl::error const& e) {
        all[rank] = e.what();
        throw;
      }
    });
  } catch (pl::error const&) {
  }
  return all;
}
template <class M, class S> void one_step(M& m, S& s, index_t batch) {
  m.zero_grad(batch);
  m.walk(s);
  m.reduce();
  m.set_steps(m.steps() + 1);
}

}  // namespace

TEST_CASE("ranks with another batch, or at another step, hear of it on every rank of any mesh") {
  for (auto const& p : meshes) {
    INFO(p.to_string());
    for (auto const &s : said(p, [](auto& m, auto& s, auto& w) { one_step(m, s, w.rank() == 1 ? 23 : 24); }))
      CHECK_THAT(
          s, ContainsSubstring("rank 1 begins step 0 with a batch of 23, but rank 0 begins step 0 with a batch of 24"));
    for (auto const &s : said(p, [](auto& m, auto& s, auto& w) {
           one_step(m, s, 24);
           if (w.rank() == 1) m.set_steps(7);
           one_step(m, s, 24);
         }))
      CHECK_THAT(s, ContainsSubstring("rank 1 begins step 7 with a batch of 24, but rank 0 begins step 1"));
  }
}

TEST_CASE(
    "samples of different shapes are named with both shapes, whatever their number, and only by ranks that give any") {
  auto const settled = [](auto shape_on) {
    std::vector<std::string> all(3, "nothing");
    pl::comm::run_local(3, [&](pl::comm::communicator c) {
      pl::parallel::step_agreement agreement(c);
      std::vector<char> const flags{1, 1};
      auto const sample = shape_on(c.rank());
      agreement.open({.step = 4, .batch = 24, .asked = sample.rank() > 0, .sample = sample}, flags);
      try {
        auto const agreed = agreement.settle(flags, [](std::size_t) { return std::string("w"); });
        all[static_cast<std::size_t>(c.rank())] = agreed.to_string();
      } catch (pl::error const& e) {
        all[static_cast<std::size_t>(c.rank())] = e.what();
      }
    });
    return all;
  };
  for (auto const& s : settled([](int rank) { return rank == 0 ? pl::extents{} : pl::extents{8 + rank, 1, 28}; }))
    CHECK(s == "[0, 1, 28]");
  for (auto const& s : settled([](int rank) {
         return rank == 0 ? pl::extents{} : rank == 1 ? pl::extents{8, 1, 28} : pl::extents{8, 28};
       }))
    CHECK_THAT(s, ContainsSubstring("the samples of ranks 1 and 2 have different shapes in step 4: [1, 28] and [28]. "
                                    "Give every rank samples of one shape"));
}

TEST_CASE("a parameter that one rank has frozen is named, with the step") {
  for (auto const& p : meshes) {
    INFO(p.to_string());
    for (auto const &s : said(p, [](auto& m, auto& s, auto& w) {
           one_step(m, s, 24);
           if (w.rank() == 1) pl::nn::freeze(m.net(), "block.1.out.bias");
           one_step(m, s, 24);
         }))
      CHECK_THAT(s,
                 ContainsSubstring("in step 1 rank 1 contributes no gradient of 'block.1.out.bias', and rank 0 one"));
  }
}

TEST_CASE(
    "a rank that makes one step less is missed by name, and no message of a later step is taken for one of this") {
  for (auto const& p : meshes) {
    INFO(p.to_string());
    // A machine may be so busy that a rank is given up that would have come: then once more, with more patience.
    std::string wrong;
    for (double const patience : {0.25, 1.0, 4.0, 16.0}) {
      wrong.clear();
      auto const all = said(p, [&](auto& m, auto& s, auto& w) {
        one_step(m, s, 24);
        m.set_timeout(patience);
        if (w.rank() == 1) return w.comm.barrier();  // goes on to something else, and waits there as long as it takes
        one_step(m, s, 24);
      });
      int missed = 0;
      for (std::size_t r = 0; r < all.size(); ++r) {
        auto const says = [&](char const* words) { return all[r].find(words) != std::string::npos; };
        bool good = all[r] != "nothing";
        if (r != 1 && says("did not come") && !says("ended early")) {
          ++missed;
          good = says("step 1") && says("the agreement on what each rank contributes") && says("rank 1 did not come");
        }
        if (!good) wrong += "rank " + std::to_string(r) + ": " + all[r] + "\n";
      }
      if (missed == 0) wrong += "nobody was missed\n";
      if (wrong.empty()) break;
    }
    CHECK(wrong == "");
  }
}

TEST_CASE("micro-batches that never went backward are counted before anybody waits") {
  auto p = mesh(1, 2, 1);
  p.micro_batches = 3;
  for (auto const &s : said(p, [](auto& m, auto& s, auto&) {
         m.zero_grad(24);
         auto const& micro = m.share().micro_batches()[0];
         auto [y, saved] = m.forward(s.input(micro));
         m.backward(saved, s.loss(micro, y));
         m.reduce();
       }))
    CHECK_THAT(s, ContainsSubstring("in step 0 1 of 3 micro-batches have gone backward"));
}

TEST_CASE("networks that differ are refused before the first step, with the first parameter that does") {
  std::vector<std::string> all(3);
  try {
    pl::comm::run_local(3, [&](pl::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pl::world w(std::move(c), 1);
      auto p = mesh(1, 3, 1);
      try {
        (void)pl::parallel::build(
            pl::nn::sequential(pl::nn::linear("a", 4, 5), pl::nn::linear("b", 5, rank == 2 ? 7 : 6)), p, w);
      } catch (pl::error const& e) {
        all[rank] = e.what();
        throw;
      }
    });
  } catch (pl::error const&) {
  }
  for (auto const& s : all)
    CHECK_THAT(
        s, ContainsSubstring(
               "the network of rank 2 is not that of rank 0: 'b.weight' [7, 5] F32 there, 'b.weight' [6, 5] F32 here"));
}

TEST_CASE("ranks that sleep at random give the bits of ranks that do not, on any mesh") {
  for (auto const& p : meshes) {
    INFO(p.to_string());
    auto const trained = [&](bool sleeps) {
      std::vector<std::vector<double>> all(static_cast<std::size_t>(p.ranks()));
      for (auto const &s : said(p, [&](auto& m, auto& s, auto& w) {
             s.sleeps = sleeps;
             pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(),
                                                             pl::nn::sgd{.learning_rate = 0.1, .momentum = 0.9});
             for (s.step = 0; s.step < 4; ++s.step) {
               m.zero_grad(24 - s.step);
               m.walk(s);
               m.reduce();
               all[static_cast<std::size_t>(w.rank())].push_back(m.loss());
               m.step(optimizer, 1, m.clip_scale(0.5));
             }
             all[static_cast<std::size_t>(w.rank())].push_back(static_cast<double>(m.checksum() >> 12));
           }))
        REQUIRE(s == "nothing");
      return all;
    };
    CHECK(trained(true) == trained(false));
  }
}

TEST_CASE("gradients that are ready in another order on every rank are summed alike, and nobody waits in a circle") {
  std::vector<pl::plan::plan> all;
  for (int const stage : {0, 1, 2, 3}) {
    for (int const ranks : {2, 3, 4}) all.push_back(mesh(1, ranks, 1, stage));
    all.push_back(mesh(2, 2, 1, stage));
    if (stage == 0) continue;
    all.push_back(mesh(1, 4, 1, stage));
    all.back().state_ranks = 2;  // and once more between twins
  }
  for (auto& p : all)
    for (bool const deterministic : {false, true}) {
      p.deterministic = deterministic;
      INFO(p.to_string());
      std::vector<int> wrong(static_cast<std::size_t>(p.ranks()), -1);
      pl::comm::run_local(static_cast<int>(p.ranks()), [&](pl::comm::communicator c) {
        auto const rank = static_cast<std::size_t>(c.rank());
        wrong[rank] = pleat_test::wrong_sums_of_shuffled(network(), p, std::move(c));
      });
      CHECK(wrong == std::vector<int>(wrong.size(), 0));
    }
}
