// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every mesh of data × tensor × pipeline ranks whose product is at most 8, with every state stage and every schedule: the gradients are the
// serial run's, layer by layer, and every rank holds the bytes that the ledger says.
#include "parallel/transformer_training.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace transformer_training;

namespace {

/// One step of plain descent with a rate so large, a power of two, that the parameter's own size hardly rounds what is added to it: the gradient
/// is the difference of the values, divided by it.
constexpr double rate = 1024;

std::map<std::string, std::vector<double>> gradients_of(outcome const& o) {
  std::map<std::string, std::vector<double>> g;
  for (auto const& [name, after] : o.values) {
    auto const& before = o.first_values.at(name);
    for (std::size_t i = 0; i < after.size(); ++i) g[name].push_back((static_cast<double>(before[i]) - after[i]) / rate);
  }
  return g;
}
double norm(auto const& v) {
  double n = 0;
  for (auto const x : v) n += static_cast<double>(x) * x;
  return std::sqrt(n);
}

/// Empty, or the first layer whose gradient is out of bounds. \param wire what is allowed besides
std::string beyond(outcome const& a, outcome const& serial, pl::index_t sums, double wire = 0) {
  auto const got = gradients_of(a), expected = gradients_of(serial);
  for (std::size_t l = 0; l < serial.order.size(); ++l) {
    auto const& name = serial.order[l];
    if (a.first_values.at(name) != serial.first_values.at(name)) return name + " begins with other values";
    auto const& g = expected.at(name);
    double const size = norm(g);
    // value − rate·gradient is rounded once in either run: by eps / 2 of the result, which is at most value + rate·gradient.
    double const rounding = 0x1p-23 * (1 + norm(serial.first_values.at(name)) / (rate * size));
    double const bound = gradient_bound(l, serial.order.size(), sums) + rounding + wire;
    double d = 0;
    for (std::size_t i = 0; i < g.size(); ++i) d += (got.at(name)[i] - g[i]) * (got.at(name)[i] - g[i]);
    if (!(size > 0)) return name + " has no gradient";
    if (!(std::sqrt(d) <= bound * size)) return name + ": off by " + std::to_string(std::sqrt(d) / size) + ", allowed " + std::to_string(bound);
  }
  return {};
}

constexpr lesson one_large_step{.rate = rate, .clip = 0};

}  // namespace

TEST_CASE("every mesh of up to eight ranks has the serial run's gradients, in every state stage") {
  auto const serial = train_on(gpt(), {.global_batch = 8}, one_large_step);
  int meshes = 0;
  for (pl::index_t data = 1; data <= 8; ++data)
    for (pl::index_t tensor = 1; data * tensor <= 8; ++tensor)
      for (pl::index_t pipeline = 1; data * tensor * pipeline <= 8; ++pipeline)
        for (int stage = 0; stage <= (data > 1 ? 3 : 0); ++stage) {
          pl::index_t const micro = pipeline > 1 ? 4 : 1;
          INFO("data " << data << ", tensor " << tensor << ", pipeline " << pipeline << ", stage " << stage);
          pl::plan::plan const p{.global_batch = 8, .data_ranks = data, .tensor_ranks = tensor, .pipeline_ranks = pipeline, .micro_batches = micro, .state_stage = stage};
          bool const sequence = (data + pipeline) % 2 == 0;
          auto const a = tensor > 1 ? train_on(par::megatron(gpt(), {.sequence = sequence}), p, one_large_step) : train_on(gpt(), p, one_large_step);
          CHECK(beyond(a, serial, p.ranks() * micro) == "");
          ++meshes;
        }
  CHECK(meshes == 38 + 3 * 18);  // 38 ways to write a product of at most 8 as three factors, 20 of them with one data rank
}

TEST_CASE("a 16-bit wire beside a tensor or a pipeline axis, and in hybrid groups: the serial run's gradients, to what it rounds") {
  auto const serial = train_on(gpt(), {.global_batch = 8}, one_large_step);
  using plan = pl::plan::plan;
  constexpr auto wire = pl::plan::wire_format::bf16;
  for (auto const& p : {plan{.global_batch = 8, .data_ranks = 2, .tensor_ranks = 2, .state_stage = 1, .wire = wire}, plan{.global_batch = 8, .data_ranks = 2, .pipeline_ranks = 2, .micro_batches = 2, .wire = wire},
                        plan{.global_batch = 8, .data_ranks = 4, .pipeline_ranks = 2, .micro_batches = 2, .state_stage = 2, .state_ranks = 2, .wire = wire}}) {
    INFO(p.to_string());
    auto const a = p.tensor_ranks > 1 ? train_on(par::megatron(gpt()), p, one_large_step) : train_on(gpt(), p, one_large_step);
    // An addend of each rank is rounded to 8 bits, and the sum once more (comm/narrow_sum.hpp), in the group and between groups: (2 + 2) · 2⁻⁸ of
    // what the ranks' addends amount to, of which each is at most as large as the gradient of its samples alone; they are of alike sentences, so
    // their norms together are within twice the sum's.
    CHECK(beyond(a, serial, p.ranks() * p.micro_batches, 2 * 4 * 0x1p-8) == "");
    CHECK(beyond(a, serial, p.ranks() * p.micro_batches) != "");  // or nothing was rounded
  }
}

TEST_CASE("every schedule on eight ranks has the serial run's gradients") {
  auto const serial = train_on(gpt(), {.global_batch = 8}, one_large_step);
  for (auto const schedule : pl::plan::schedule_names)
    for (auto const& [data, tensor, pipeline] : {std::tuple{2, 2, 2}, {1, 2, 4}, {2, 1, 4}, {1, 1, 8}, {4, 1, 2}}) {
      INFO(schedule << ", data " << data << ", tensor " << tensor << ", pipeline " << pipeline);
      pl::plan::plan const p{.global_batch = 8, .data_ranks = data, .tensor_ranks = tensor, .pipeline_ranks = pipeline, .schedule = std::string(schedule), .micro_batches = 8, .state_stage = data > 1 ? 1 : 0};
      auto const a = tensor > 1 ? train_on(par::megatron(gpt()), p, one_large_step) : train_on(gpt(), p, one_large_step);
      CHECK(beyond(a, serial, p.ranks() * 8) == "");
    }
}
