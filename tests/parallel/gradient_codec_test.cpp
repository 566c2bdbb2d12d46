// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/coded_exchange.hpp>
#include <pleat/parallel/model.hpp>

#include <pleat/codec/detail/part_of.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/parallel/tensor_recipe.hpp>
#include <pleat/run/fit.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "run/digits.hpp"
#include "support/allocation_count.hpp"  // redistribute_test.cpp counts

namespace pl = pleat;
namespace par = pleat::parallel;
using Catch::Matchers::ContainsSubstring;
using pl::index_t;

namespace {

constexpr double u = 0x1p-24;  // unit roundoff of float

/// A bucket of a matrix of 12 × 20, a gap, numbers that are no gradient, a matrix of 30 × 7 and a vector that stays
/// dense.
constexpr index_t bucket_size = 560;
std::vector<par::coded_part> parts() {
  return {{0, {12, 20}, 11, true, true},
          {256, {1, 3}, 12, false, false},
          {272, {30, 7}, 13, true, true},
          {496, {1, 50}, 14, true, false}};
}

/// Reproducible numbers in (−1, 1) of very different sizes.
float gradient(int rank, int step, index_t i) {
  auto const r = pl::random::stream(static_cast<std::uint64_t>(7 + rank), static_cast<std::uint64_t>(step));
  float const x = 2 * r.uniform(static_cast<std::uint64_t>(i)) - 1;
  return x * x * x;
}

struct outcome {
  std::vector<std::vector<float>> sums;       ///< of each step, the same on every rank
  std::vector<std::vector<float>> residuals;  ///< of each rank, after the last step
  double largest = 0;                         ///< |g| + |e| over all ranks and steps
};

template <class G>
outcome exchange(int ranks, par::gradient_coding const& coding, int steps, G const& of,
                 std::vector<par::coded_part> const& which = parts()) {
  outcome out;
  out.sums.assign(static_cast<std::size_t>(steps), std::vector<float>(bucket_size));
  out.residuals.assign(static_cast<std::size_t>(ranks), std::vector<float>(bucket_size));
  std::mutex guard;
  pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
    auto second = c.duplicate();
    auto const coded = coding.make<float>(c, &second, which);
    std::vector<float> data(bucket_size), kept(bucket_size);
    for (int s = 0; s < steps; ++s) {
      coded->residual(kept.data());
      double largest = 0;
      for (index_t i = 0; i < bucket_size; ++i) {
        bool const mine = std::any_of(which.begin(), which.end(),
                                      [&](auto const& p) { return p.begin <= i && i < p.begin + p.shape.size(); });
        // zeros between parameters, as in an arena
        data[static_cast<std::size_t>(i)] = mine ? of(c.rank(), s, i) : 0.0f;
        largest = std::max(largest, std::abs(static_cast<double>(data[static_cast<std::size_t>(i)])) +
                                        std::abs(static_cast<double>(kept[static_cast<std::size_t>(i)])));
      }
      coded->start(data.data());
      if (c.rank() % 2) coded->wait();
      while (!coded->progress()) {
      }
      if (coded->has_second()) {
        coded->start_second();
        coded->wait();
      }
      coded->end();
      // the same bits everywhere
      auto of_zero = data;
      c.broadcast(of_zero, 0);
      std::lock_guard const lock(guard);
      CHECK(std::memcmp(of_zero.data(), data.data(), sizeof(float) * bucket_size) == 0);
      out.sums[static_cast<std::size_t>(s)] = data;
      out.largest = std::max(out.largest, largest);
    }
    coded->residual(out.residuals[static_cast<std::size_t>(c.rank())].data());
  });
  return out;
}

std::vector<par::gradient_coding> all_codecs(bool feedback = true) {
  par::coding_options const o{.error_feedback = feedback, .even_if_it_does_not_pay = true};
  return {par::coded(par::top_k{0.1}, o), par::coded(par::int8_groups{64}, o), par::coded(par::power_sgd{2}, o)};
}

std::string sentence(auto&& f) {
  try {
    f();
  } catch (std::exception const& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("top-k of all elements is the dense sum in rank order, bit by bit") {
  auto const all = par::coded(par::top_k{1.0}, {.even_if_it_does_not_pay = true});
  for (int const ranks : {1, 2, 3, 4}) {
    auto const out = exchange(ranks, all, 2, gradient);
    for (auto const& p : parts())
      for (index_t i = p.begin; p.coded && i < p.begin + p.shape.size(); ++i) {
        float sum = 0;
        for (int r = 0; r < ranks; ++r) sum += gradient(r, 1, i);
        if (out.sums[1][static_cast<std::size_t>(i)] != sum) FAIL("element " << i << " on " << ranks << " ranks");
        for (auto const& e : out.residuals) CHECK(e[static_cast<std::size_t>(i)] == 0);
      }
  }
}

TEST_CASE("top-k takes the largest magnitudes, of equal ones the first, and NaN before all") {
  par::top_k const half{0.5};
  par::gradient_shape const s{1, 6};
  float const x[] = {1, -3, 0, 3, 1, -1};  // three: both threes and the first of the ones
  std::vector<std::byte> message(static_cast<std::size_t>(half.bytes<float>(s)));
  half.encode(s, x, message.data());
  float y[6] = {};
  half.add(s, message.data(), 2.0f, y);
  CHECK(std::vector<float>(y, y + 6) == std::vector<float>{2, -6, 0, 6, 0, 0});
  double const z[] = {1, -3, std::nan(""), 3, 1, 1e-300};
  message.resize(static_cast<std::size_t>(half.bytes<double>(s)));
  half.encode(s, z, message.data());
  double w[6] = {};
  half.add(s, message.data(), 1.0, w);
  CHECK((std::isnan(w[2]) && w[1] == -3 && w[3] == 3 && w[0] == 0 && w[5] == 0));
  CHECK(par::top_k{0.01}.count(5) == 1);
}

TEST_CASE("int8 stays within half a step of each rank's scale") {
  auto const coding = par::coded(par::int8_groups{64}, {.error_feedback = false, .even_if_it_does_not_pay = true});
  for (int const ranks : {1, 2, 3, 4}) {
    auto const out = exchange(ranks, coding, 1, gradient);
    for (auto const& p : parts())
      for (index_t i = 0; p.coded && i < p.shape.size(); ++i) {
        // |x − s·q| ≤ s/2 where nothing rounds; s, x/s and s·q round once each, relative to at most 127·s; the sum rounds once per rank.
        double sum = 0, steps = 0;
        for (int r = 0; r < ranks; ++r) {
          double largest = 0;
          for (index_t k = i / 64 * 64; k < std::min(p.shape.size(), i / 64 * 64 + 64); ++k)
            largest = std::max(largest, std::abs(static_cast<double>(gradient(r, 0, p.begin + k))));
          sum += static_cast<double>(gradient(r, 0, p.begin + i));
          steps += largest / 127;
        }
        double const bound = steps * (0.5 + (3 + ranks) * 128 * u);
        if (!(std::abs(static_cast<double>(out.sums[0][static_cast<std::size_t>(p.begin + i)]) - sum) <= bound))
          FAIL("element " << i << " on " << ranks << " ranks");
      }
  }
}

TEST_CASE("PowerSGD of full rank is the dense sum, but for rounding") {
  // Q is square or P is: the projection onto P's columns is the identity. ‖PᵀP − 1‖_F ≤ 4·q·u (each column is rounded
  // in two passes and a division); products over n numbers add n·u of their size each, summing over ranks one u each;
  // P·Qᵀ has q terms per element. In the Frobenius norm, relative to Σ_r‖M_r‖: √q·(4q + rows + columns + q + ranks)·u.
  // Where q = columns < rows, P spans what rounded products Σ M·Q span, which differ from the exact ones by
  // columns·u·‖Q‖‖Q⁻¹‖·‖M‖; the matrices drawn have a condition below 100.
  auto const coding = par::coded(par::power_sgd{100}, {.error_feedback = false, .even_if_it_does_not_pay = true});
  for (int const ranks : {1, 2, 3, 4}) {
    auto const out = exchange(ranks, coding, 3, gradient);
    for (int s = 0; s < 3; ++s)
      for (auto const& p : parts()) {
        if (!p.coded) continue;
        double difference = 0, size = 0;
        for (index_t i = p.begin; i < p.begin + p.shape.size(); ++i) {
          double sum = 0;
          for (int r = 0; r < ranks; ++r) sum += static_cast<double>(gradient(r, s, i));
          difference += std::pow(
              static_cast<double>(out.sums[static_cast<std::size_t>(s)][static_cast<std::size_t>(i)]) - sum, 2);
        }
        for (int r = 0; r < ranks; ++r) {
          double squares = 0;
          for (index_t i = p.begin; i < p.begin + p.shape.size(); ++i)
            squares += std::pow(static_cast<double>(gradient(r, s, i)), 2);
          size += std::sqrt(squares);
        }
        double const q = static_cast<double>(std::min(p.shape.rows, p.shape.columns));
        double const conditioned = p.shape.columns < p.shape.rows ? 100.0 * static_cast<double>(p.shape.columns) : 0.0;
        double const bound =
            (std::sqrt(q) * (5 * q + static_cast<double>(p.shape.rows + p.shape.columns) + ranks) + conditioned) * u *
            size;
        CHECK(std::sqrt(difference) <= bound);
      }
  }
}

TEST_CASE("PowerSGD finds a gradient of its rank, and takes the larger part of others") {
  // [12, 20] of rank 1
  auto const low = [](int rank, int, index_t i) {
    return static_cast<float>((1 + rank) * ((i / 20) % 5 - 2)) * static_cast<float>((i % 20) % 3 - 1) * 0.25f;
  };
  std::vector<par::coded_part> const one{{0, {12, 20}, 11, true, true}};
  auto const out = exchange(3, par::coded(par::power_sgd{2}, {.even_if_it_does_not_pay = true}), 2, low, one);
  for (index_t i = 0; i < 240; ++i) {
    double const sum = static_cast<double>(low(0, 0, i)) * 6;  // 1 + 2 + 3
    // elements of at most 3 from P·Qᵀ, whose sums have 12 and 20 terms: 64 roundings of ‖column‖ ≤ 3·√20
    if (!(std::abs(static_cast<double>(out.sums[1][static_cast<std::size_t>(i)]) - sum) <=
          64 * u * 3 * std::sqrt(20.0)))
      FAIL("element " << i);
  }
}

TEST_CASE("error feedback loses nothing: what was applied and what is kept are what came") {
  constexpr int steps = 20;
  for (int const ranks : {1, 2, 3, 4})
    for (auto const& coding : all_codecs()) {
      CAPTURE(coding.words(), ranks);
      auto const out = exchange(ranks, coding, steps, gradient);
      double kept = 0;
      for (auto const& p : parts()) {
        if (!p.coded) continue;
        // Per step, rank and element a few roundings: g + e, the terms that are taken off (rank 2: two products, two
        // differences), the same terms in the sum (ranks), and for factors their sums over ranks: at most 16 + 2·ranks,
        // each of a number below max(|g| + |e|)·√rows·√2, which is what P·Qᵀ with orthonormal P can make of a column.
        double const bound =
            steps * ranks * (16 + 2 * ranks) * u * out.largest * std::sqrt(2.0 * static_cast<double>(p.shape.rows));
        for (index_t i = p.begin; i < p.begin + p.shape.size(); ++i) {
          double came = 0, have = 0;
          for (int s = 0; s < steps; ++s) {
            have += static_cast<double>(out.sums[static_cast<std::size_t>(s)][static_cast<std::size_t>(i)]);
            for (int r = 0; r < ranks; ++r) came += static_cast<double>(gradient(r, s, i));
          }
          for (auto const& e : out.residuals) {
            have += static_cast<double>(e[static_cast<std::size_t>(i)]);
            kept = std::max(kept, std::abs(static_cast<double>(e[static_cast<std::size_t>(i)])));
          }
          if (!(std::abs(have - came) <= bound)) FAIL("element " << i << ": " << have << " of " << came);
        }
      }
      CHECK(kept > 1e-3);  // it did leave something out
    }
}

TEST_CASE("what is no gradient, and what travels dense, is summed as it is") {
  for (auto const& coding : all_codecs()) {
    auto const out = exchange(3, coding, 2, gradient);
    for (auto const& p : parts())
      for (index_t i = p.begin; !p.coded && i < p.begin + p.shape.size(); ++i) {
        double const sum = static_cast<double>(gradient(0, 1, i)) + static_cast<double>(gradient(1, 1, i)) +
                           static_cast<double>(gradient(2, 1, i));
        CHECK(std::abs(static_cast<double>(out.sums[1][static_cast<std::size_t>(i)]) - sum) <= 2 * u * 3);
      }
    CHECK(out.sums[1][250] == 0);  // the gap between parameters is nobody's
  }
}

TEST_CASE(
    "a gradient that is not finite on one rank is undefined on all, keeps what was kept, and is over with the next "
    "step") {
  for (auto const& coding : all_codecs()) {
    CAPTURE(coding.words());
    for (float const bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
      auto const poisoned = [&](int rank, int step, index_t i) {
        return step == 2 && rank == 1 && i == 33 ? bad : gradient(rank, step, i);
      };
      auto const before = exchange(3, coding, 2, gradient), at = exchange(3, coding, 3, poisoned),
                 after = exchange(3, coding, 4, poisoned);
      for (index_t i = 0; i < 240; ++i) {
        auto const k = static_cast<std::size_t>(i);
        if (!std::isnan(at.sums[2][k]) || std::isnan(after.sums[3][k])) FAIL("element " << i);
        for (std::size_t r = 0; r < 3; ++r) CHECK(at.residuals[r][k] == before.residuals[r][k]);
      }
      // the other matrix
      for (index_t i = 272; i < 482; ++i) CHECK(std::isfinite(at.sums[2][static_cast<std::size_t>(i)]));
    }
  }
}

TEST_CASE("a step of any codec allocates nothing") {
  for (auto const& coding : all_codecs()) {
    CAPTURE(coding.words());
    pl::comm::run_local(3, [&](pl::comm::communicator c) {
      auto second = c.duplicate();
      auto const coded = coding.make<float>(c, &second, parts());
      std::vector<float> data(bucket_size);
      auto const step = [&](int s) {
        for (index_t i = 0; i < bucket_size; ++i) data[static_cast<std::size_t>(i)] = gradient(c.rank(), s, i);
        coded->start(data.data());
        coded->wait();
        if (coded->has_second()) {
          coded->start_second();
          coded->wait();
        }
        coded->end();
      };
      for (int s = 0; s < 3; ++s) step(s);
      c.barrier();
      if (c.rank() == 0) pleat_test::counted_allocations = 0, pleat_test::counting_allocations = true;
      c.barrier();
      for (int s = 3; s < 6; ++s) step(s);
      c.barrier();
      if (c.rank() != 0) return;
      pleat_test::counting_allocations = false;
      CHECK(pleat_test::counted_allocations == 0);
    });
  }
}

TEST_CASE("a codec codes what it makes smaller") {
  auto const k = par::coded(par::top_k{0.01}), all = par::coded(par::top_k{1.0}), i8 = par::coded(par::int8_groups{}),
             p = par::coded(par::power_sgd{2});
  par::gradient_shape const matrix{64, 64}, small{3, 4}, vector{1, 300};
  CHECK((k.codes(matrix, 2, 4) && k.codes(vector, 2, 4)));
  CHECK_FALSE(k.codes(matrix, 128, 4));                        // 127 messages of 336 bytes are more than 2·16,384
  CHECK_FALSE(all.codes(matrix, 2, 4));                        // 32,768 bytes instead of 16,384
  CHECK((i8.codes(matrix, 4, 4) && !i8.codes(matrix, 8, 4)));  // 7 · 4168 bytes, a ring takes 28,672
  CHECK((p.codes(matrix, 64, 4) && !p.codes(vector, 64, 4) && !p.codes(small, 64, 4)));
  CHECK(k.received(matrix, 4, 4) == 3 * (8 + 41 * 8.0));
  CHECK(p.received(matrix, 4, 4) == 1.5 * (2 * 128 + 1) * 4);
  // In pieces: (s − 1)/s of the bytes within a group, and a ring of its piece over p/s twins. 3 · 4168 bytes of codes on
  // four ranks are more than the 12,288 of one group, and fewer than the 16,384 of two groups; 5 · 4168 on six ranks are
  // more than 13,654 of one group, 16,384 of two, and 19,115 of three.
  CHECK((!i8.codes(matrix, 4, 4, 4) && i8.codes(matrix, 4, 4, 2) && i8.codes(matrix, 4, 4, 1)));
  CHECK((!i8.codes(matrix, 6, 4, 6) && !i8.codes(matrix, 6, 4, 3) && !i8.codes(matrix, 6, 4, 2)));
  CHECK(i8.codes(matrix, 6, 4, 1));
  for (auto const& [shards, sixths] : {std::pair{6, 5}, {3, 6}, {2, 7}, {1, 10}})
    CHECK(std::abs(par::dense_share(6, shards) - sixths / 6.0) < 1e-15);
}

TEST_CASE("settings that cannot work are refused in words") {
  CHECK_THAT(sentence([] { (void)par::coded(par::top_k{0}); }), ContainsSubstring("(0, 1]"));
  CHECK_THAT(sentence([] { (void)par::coded(par::int8_groups{0}); }), ContainsSubstring("group_size = 0"));
  CHECK_THAT(sentence([] { (void)par::coded(par::power_sgd{.rank = 0}); }), ContainsSubstring("at least 1"));
  auto const refused = [](auto const& change) {
    pl::plan::plan p{.data_ranks = 2};
    change(p);
    return sentence([&] { par::demand_codable(p, par::coded(par::top_k{})); });
  };
  CHECK(refused([](auto&) {}).empty());
  CHECK_THAT(refused([](auto& p) { p.deterministic = true; }), ContainsSubstring("deterministic mode promises"));
  for (int const stage : {2, 3})
    CHECK_THAT(
        refused([&](auto& p) { p.state_stage = stage; }),
        ContainsSubstring("state_stage = " + std::to_string(stage)) && ContainsSubstring("with every micro-batch"));
  CHECK(refused([](auto& p) { p.state_stage = 1; }).empty());
  CHECK(refused([](auto& p) { p.pipeline_ranks = 2, p.tensor_ranks = 2; }).empty());
  CHECK_THAT(refused([](auto& p) { p.wire = pl::plan::wire_format::bf16; }),
             ContainsSubstring("rounds to 16 bits already"));
  CHECK_THAT(refused([](auto& p) { p.precision = pl::plan::compute_precision::f16; }), ContainsSubstring("loss scale"));
}

namespace {

auto net() {
  return pl::nn::sequential(pl::nn::flatten(), pl::nn::linear("fc1", 64, 48), pl::nn::relu(),
                            pl::nn::linear("fc2", 48, 10));
}

struct trained {
  std::vector<double> losses;
  std::vector<std::string> said;
  std::uint64_t checksum = 0;
  index_t bytes = 0;
  std::map<std::string, std::vector<float>> values;  ///< whole parameters, whichever ranks have their parts
};

trained train_on(pl::plan::plan p, decltype(net()) const& network, par::gradient_coding const& coding, index_t epochs,
                 pl::nn::optimizer const& optimizer = pl::nn::sgd{.learning_rate = 0.01, .momentum = 0.9}) {
  static auto const data = test_digits();
  p.global_batch = 48;
  p.bucket_bytes = 4096;  // several buckets
  std::mutex guard;
  trained out;
  pl::comm::run_local(static_cast<int>(p.ranks()), [&](pl::comm::communicator c) {
    bool const root = c.rank() == 0;
    pl::world w(std::move(c), 1);
    w.comm.set_timeout(60);
    w.set_sink([&](std::string_view line) {
      std::lock_guard const lock(guard);
      out.said.emplace_back(line);
    });
    auto m = par::build(network, p, w, {.seed = 4, .gradients = coding});
    pl::run::fit_options o;
    o.epochs = epochs;
    o.optimizer = optimizer;
    o.progress = false;
    auto const report = pl::run::fit(m, data.train, o);
    m.demand_equal_replicas();
    std::lock_guard const lock(guard);
    pl::nn::for_each_parameter(m.net(), [&](auto const& x) {
      if (x.absent) return;
      auto const mine = m.host_values_of(x);
      auto& all = out.values[x.name];
      all.resize(static_cast<std::size_t>(x.whole().size()));
      std::size_t next = 0;
      pl::codec::detail::for_each_of_part(x.whole(), x.box(),
                                          [&](index_t i) { all[static_cast<std::size_t>(i)] = mine[next++]; });
    });
    if (!root) return;
    out.losses = report.epoch_loss;
    out.checksum = m.checksum();
    out.bytes = m.memory().gradients;
  });
  return out;
}
trained train(int ranks, par::gradient_coding const& coding, index_t epochs, bool overlap = true,
              pl::nn::optimizer const& optimizer = pl::nn::sgd{.learning_rate = 0.01, .momentum = 0.9}) {
  pl::plan::plan p{.data_ranks = ranks};
  p.overlap = overlap;
  return train_on(p, net(), coding, epochs, optimizer);
}

}  // namespace

// With -s it prints the table of docs/gradient_codecs.md.
TEST_CASE("a network learns the digits as with dense gradients, on ranks that stay equal") {
  constexpr index_t epochs = 8;
  auto const line = [](std::string const& what, int ranks, trained const& with, trained const& adam) {
    char text[200];
    std::snprintf(text, sizeof text, "table: | %s | %d | %.3f | %.3f |", what.c_str(), ranks, with.losses.back(),
                  adam.losses.back());
    SUCCEED(text);
  };
  pl::nn::adamw const adam{.learning_rate = 3e-3};
  auto const dense = train(2, {}, epochs);
  // a rate at which epochs compare
  for (std::size_t e = 1; e < dense.losses.size(); ++e) CHECK(dense.losses[e] < dense.losses[e - 1]);
  line("dense", 2, dense, train(2, {}, epochs, true, adam));
  for (auto const& coding :
       {par::coded(par::top_k{0.05}), par::coded(par::int8_groups{}), par::coded(par::power_sgd{2})})
    for (int const ranks : {2, 3, 4}) {
      auto const with = train(ranks, coding, epochs);
      CAPTURE(coding.words(), ranks, with.losses, dense.losses);
      // Steps of gradient descent with error feedback are those of dense ones, some of them later (arXiv:1901.09847):
      // the loss may lag behind, by two epochs of eight at most. Adaptive rates are no such steps, and lag more.
      CHECK(with.losses.back() <= dense.losses[epochs - 3]);
      CHECK(with.checksum != dense.checksum);  // it did travel in the codec
      CHECK(with.bytes > dense.bytes);         // and residuals are counted
      line(coding.words(), ranks, with, train(ranks, coding, epochs, true, adam));
    }
  auto const alone = train(1, {}, 2), coded_alone = train(1, par::coded(par::top_k{0.05}), 2);
  CHECK(alone.checksum == coded_alone.checksum);  // nothing travels, nothing is left out
}

TEST_CASE("with and without overlap a codec gives the same bits") {
  for (auto const& coding : {par::coded(par::top_k{0.05}), par::coded(par::power_sgd{2})}) {
    auto const a = train(2, coding, 1, true), b = train(2, coding, 1, false);
    CHECK(a.checksum == b.checksum);  // two ranks: every sum has one order
  }
}

TEST_CASE(
    "a codec works on the data axis, whatever else the mesh has: stages and pieces train the bits of data ranks") {
  par::coding_options const all{.even_if_it_does_not_pay = true};  // scattered sums have another price
  for (auto const& coding :
       {par::coded(par::top_k{0.05}, all), par::coded(par::int8_groups{8}, all), par::coded(par::power_sgd{2}, all)}) {
    CAPTURE(coding.words());
    auto const flat = train_on({.data_ranks = 2}, net(), coding, 2);
    CHECK(flat.values != train_on({.data_ranks = 2}, net(), {}, 2).values);
    CHECK(train_on({.data_ranks = 2, .pipeline_ranks = 2}, net(), coding, 2).values == flat.values);
    pl::plan::plan pieces{.data_ranks = 2};
    pieces.state_stage = 1;
    CHECK(train_on(pieces, net(), coding, 2).values == flat.values);
    // Cut by outputs, with groups of codes within a part: each element has the code that it has in the whole. What
    // follows is whole on both ranks, would travel dense, and is frozen in both runs.
    if (coding.words() != par::coded(par::int8_groups{8}, all).words()) continue;
    auto frozen = net();
    pl::nn::freeze(frozen, "fc2.*");
    auto const cut = par::tensor_parallel(frozen, {par::column("fc1.*")});
    auto const one = train_on({.data_ranks = 2}, frozen, coding, 2);
    CHECK(one.values.at("fc1.weight") != train_on({.data_ranks = 2}, frozen, {}, 2).values.at("fc1.weight"));
    CHECK(train_on({.data_ranks = 2, .tensor_ranks = 2}, cut, coding, 2).values == one.values);
  }
}

TEST_CASE(
    "on meshes of data, tensor and pipeline ranks and in pieces a network learns the digits, on ranks that agree") {
  constexpr index_t epochs = 4;
  auto const cut = par::tensor_parallel(net(), {par::column("fc1.*"), par::row("fc2.*")});
  auto const plan = [](index_t data, index_t tensor, index_t pipeline, int state) {
    pl::plan::plan p{.data_ranks = data, .tensor_ranks = tensor, .pipeline_ranks = pipeline};
    p.state_stage = state;
    return p;
  };
  auto const dense = train_on(plan(2, 2, 1, 0), cut, {}, epochs);
  for (auto const& coding :
       {par::coded(par::top_k{0.05}), par::coded(par::int8_groups{}), par::coded(par::power_sgd{2})})
    for (auto const& p : {plan(2, 2, 1, 0), plan(3, 2, 1, 1), plan(2, 3, 1, 0), plan(2, 2, 2, 1), plan(3, 1, 2, 1)}) {
      CAPTURE(coding.words(), p.to_string());
      auto const with = train_on(p, cut, coding, epochs);
      // steps come later, by two epochs of four at most
      CHECK(with.losses.back() <= dense.losses[epochs - 3]);
      CHECK(with.values != dense.values);
      if (p.tensor_ranks == 1) continue;
      bool told = false;
      for (auto const& line : with.said)
        told = told || (line.find("'fc2.bias'") != line.npos && line.find("may be sums over the tensor") != line.npos);
      CHECK(told);
    }
}

TEST_CASE("in groups that divide a copy of the state each, a codec is weighed against what crosses the groups, too") {
  pl::plan::plan one{.data_ranks = 4}, two{.data_ranks = 4};
  one.state_stage = two.state_stage = 1;
  two.state_ranks = 2;
  auto const coding = par::coded(par::int8_groups{64});
  auto network = net();
  pl::nn::freeze(network, "*.bias");  // too short to be coded; dense sums over four ranks have an order
  auto const flat = train_on({.data_ranks = 4}, network, coding, 1);
  CHECK(train_on(two, network, coding, 1).values == flat.values);  // coded, as at stage 0
  // not coded: scattered over all four it takes fewer bytes
  CHECK(train_on(one, network, coding, 1).values == train_on(one, network, {}, 1).values);
}

TEST_CASE("parameters for which a codec does not pay travel dense, and this is said once") {
  auto const out = train(2, par::coded(par::power_sgd{2}), 1);
  std::string line;
  int times = 0;
  for (auto const& s : out.said)
    if (s.find("travel dense") != std::string::npos) line = s, ++times;
  CHECK(times == 1);
  CHECK_THAT(line, ContainsSubstring("power_sgd(rank = 2") && ContainsSubstring("2 of 4 parameters") &&
                       ContainsSubstring("'fc1.bias', 'fc2.bias'; 232 bytes"));
  auto const never = train(2, par::coded(par::top_k{1.0}), 1), dense = train(2, {}, 1);
  CHECK(never.checksum == dense.checksum);  // nothing pays: as without a codec
  CHECK(never.bytes == dense.bytes);
}

TEST_CASE(
    "a residual can be taken along; ranks must have the same codec; other plans are refused when the model is built") {
  std::mutex guard;
  pl::comm::run_local(2, [&](pl::comm::communicator c) {
    int const rank = c.rank();
    pl::world w(std::move(c), 1);
    pl::plan::plan const p{.global_batch = 8, .data_ranks = 2};
    auto m = par::build(net(), p, w, {.seed = 4, .gradients = par::coded(par::top_k{0.05})});
    std::vector<float> residual(static_cast<std::size_t>(m.arena().size()), 0.0f);
    for (std::size_t i = 0; i < 64; ++i) residual[i] = 1.0f + static_cast<float>(rank);
    m.set_gradient_residual(residual);
    auto const before = m.gradient_residual();
    m.zero_grad(8);  // makes the exchange
    auto const after = m.gradient_residual();
    auto const short_one = sentence([&] { m.set_gradient_residual(std::vector<float>(3)); });
    auto const differ =
        sentence([&] { (void)par::build(net(), p, w, {.gradients = par::coded(par::top_k{rank == 0 ? 0.05 : 0.1})}); });
    auto sharded = p;
    sharded.state_stage = 2;
    auto const built = sentence([&] { (void)par::build(net(), sharded, w, {.gradients = par::coded(par::top_k{})}); });
    auto const replanned = sentence([&] { (void)m.replanned(sharded); });
    std::lock_guard const lock(guard);
    CHECK((before == residual && after == residual));
    CHECK_THAT(short_one, ContainsSubstring("found 3"));
    CHECK_THAT(differ, ContainsSubstring("gradient codec than"));
    CHECK_THAT(built, ContainsSubstring("state_stage = 2 gives the memory of gradients back"));
    CHECK_THAT(replanned, ContainsSubstring("state_stage = 2 gives the memory of gradients back"));
  });
}

// Model A takes two steps. Then one is left after backward, which has gone into the codecs; what they kept before is
// given back, and the third step is that of a model which never left one.
TEST_CASE("what codecs kept, loaded after a step that was left, is what the next step goes on from") {
  par::coding_options const all{.even_if_it_does_not_pay = true};
  struct left_with {
    std::vector<float> values, residual;
    std::map<std::string, std::vector<float>> memory;
    std::uint64_t steps = 0;
  };
  auto const three_steps = [&](par::gradient_coding const& coding, int state_stage, bool overlap, bool leaves) {
    std::vector<left_with> out(2);
    pl::comm::run_local(2, [&](pl::comm::communicator c) {
      auto& mine = out[static_cast<std::size_t>(c.rank())];
      pl::world w(std::move(c), 1);
      w.comm.set_timeout(60);
      pl::plan::plan p{.global_batch = 48, .data_ranks = 2};
      p.state_stage = state_stage;
      p.overlap = overlap;
      p.bucket_bytes = 4096;
      auto m = par::build(net(), p, w, {.seed = 4, .gradients = coding});
      using space = typename decltype(m)::execution_space;
      pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pl::nn::sgd{.learning_rate = 0.01});
      auto const walk = [&](index_t first) {
        m.zero_grad(48);
        auto const rows = m.share().rows();
        auto x = pl::tensor<float, space>::allocate(m.context(), {rows.size(), 64});
        auto labels = pl::tensor<std::int32_t, space>::allocate(m.context(), {rows.size()});
        std::vector<float> hx(static_cast<std::size_t>(x.size()));
        std::vector<std::int32_t> hl(static_cast<std::size_t>(rows.size()));
        for (index_t i = 0; i < rows.size(); ++i) {
          index_t const k = first + rows.begin + i;
          pl::nn::draw(pl::nn::initializer::normal(1), 5, "sample " + std::to_string(k), 0, 64, hx.data() + i * 64);
          hl[static_cast<std::size_t>(i)] = static_cast<std::int32_t>((k * 7) % 10);
        }
        pl::copy_from_host(m.context(), hx.data(), x);
        pl::copy_from_host(m.context(), hl.data(), labels);
        auto [y, saved] = m.forward(x);
        m.backward(saved, m.cross_entropy(y, labels).dy);
      };
      auto const step = [&](index_t first) {
        walk(first);
        m.reduce();
        m.step(optimizer);
      };
      step(0);
      step(100);
      auto const kept = m.gradient_codec_memory();
      auto const residual = m.gradient_residual();
      if (leaves) {
        walk(5000);
        m.set_gradient_codec_memory(kept);
        m.set_gradient_residual(residual);
        auto const again = m.gradient_codec_memory();  // before anything else is asked
        mine.steps = again.steps == kept.steps && again.values == kept.values && m.gradient_residual() == residual
                         ? 0
                         : std::uint64_t{1} << 32;
      }
      step(200);
      auto const last = m.gradient_codec_memory();
      mine.memory = last.values;
      mine.steps += last.steps;
      mine.residual = m.gradient_residual();
      mine.values = m.host_values();
    });
    return out;
  };
  for (auto const& coding :
       {par::coded(par::top_k{0.1}, all), par::coded(par::int8_groups{8}, all), par::coded(par::power_sgd{2}, all)})
    for (int const stage : {0, 1})
      for (bool const overlap : {true, false}) {
        CAPTURE(coding.words(), stage, overlap);
        auto const plain = three_steps(coding, stage, overlap, false), with = three_steps(coding, stage, overlap, true);
        for (std::size_t r = 0; r < 2; ++r) {
          CHECK((with[r].values == plain[r].values));
          CHECK((with[r].residual == plain[r].residual));
          CHECK((with[r].memory == plain[r].memory));
          CHECK(with[r].steps == plain[r].steps);
          CHECK(std::any_of(plain[r].residual.begin(), plain[r].residual.end(), [](float e) { return e != 0; }));
        }
        CHECK(plain[0].memory.empty() == (coding.words().find("power_sgd") == std::string::npos));
      }
}
