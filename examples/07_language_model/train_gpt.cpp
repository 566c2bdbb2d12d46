// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Trains a GPT on the characters of a text, on any number of ranks, and writes a little text of its own.
//
//   train_gpt --data input.txt --steps 1000               alone
//   mpirun -n 2 train_gpt --data input.txt                two processes
//   train_gpt --data input.txt --thread-ranks 2           two threads
#include <CLI/CLI.hpp>

#include <pleat/pleat.hpp>

#include <chrono>
#include <cstdio>

#include "network.hpp"
#include "text.hpp"

namespace pl = pleat;

namespace {

struct options {
  std::string data, prompt = "\n";
  gpt::sizes sizes{};
  std::int64_t batch = 4, steps = 1000, sample = 200;
  std::uint64_t seed = 1;
  int threads = 0, thread_ranks = 0;
  double rate = 1e-3;
  bool deterministic = false;
};

void train(options o, pl::world& world) {
  namespace nn = pl::nn;
  auto const text = pl::io::read_text(o.data, o.sizes.context);
  o.sizes.vocabulary = text.vocabulary.size();
  auto const net = gpt::network(o.sizes);
  auto model = pl::parallel::build(net, pl::plan::search(net, world, {.global_batch = o.batch, .deterministic = o.deterministic}), world, {.seed = o.seed});
  nn::optimizer_state<float, Kokkos::DefaultExecutionSpace> optimizer(model.context(), model.arena(), nn::adamw{.learning_rate = o.rate, .weight_decay = 0.1});
  nn::schedule const rate = nn::cosine{.warm_up_steps = o.steps / 10};
  pl::io::sampler const sampler(text.train.size(), o.batch, {.seed = o.seed, .drop_last = true});
  gpt::loader<float, Kokkos::DefaultExecutionSpace> windows(text.train);
  std::vector<pl::index_t> order;
  auto const start = std::chrono::steady_clock::now();
  for (std::int64_t step = 0; step < o.steps; ++step) {
    auto const at = sampler.at(step);
    if (at.batch == 0 || order.empty()) sampler.order(at.epoch, order);
    auto const positions = sampler.batch(at.batch);
    model.zero_grad(positions.size());
    for (auto const& micro : model.share().micro_batches()) {
      auto const first = positions.begin + model.share().rows().begin + micro.rows.begin;
      auto b = windows.load(model.context(), std::span(order).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(micro.rows.size())));
      auto [y, saved] = model.forward(std::move(b.x));
      auto dy = model.cross_entropy(y, b.labels).dy;
      y = {};
      model.backward(saved, std::move(dy));
    }
    model.reduce();
    model.step(optimizer, nn::factor(rate, step, o.steps), nn::clip_scale(model.context(), model.arena(), 1.0));
    if (world.root() && (step % 50 == 0 || step + 1 == o.steps)) {
      double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      std::printf("step %lld: loss %.4f, %.0f ms per step\n", static_cast<long long>(step), model.loss(), 1e3 * seconds / static_cast<double>(step + 1));
      std::fflush(stdout);
    }
  }
  double const loss = gpt::loss_on(model, text.validation, 16);
  if (!world.root()) return;
  std::printf("validation loss %.4f\n", loss);
  if (o.sample > 0) std::printf("%s\n", gpt::generate(model, text.vocabulary, o.prompt, o.sample, o.sizes.context).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app{"Trains a GPT on the characters of a text"};
  app.add_option("--data", o.data, "text file, such as tiny-shakespeare's input.txt")->required();
  app.add_option("--layers", o.sizes.layers, "blocks")->capture_default_str();
  app.add_option("--width", o.sizes.width, "elements of a token's vector")->capture_default_str();
  app.add_option("--heads", o.sizes.heads, "heads of attention")->capture_default_str();
  app.add_option("--context", o.sizes.context, "tokens of a window")->capture_default_str();
  app.add_option("--batch", o.batch, "windows per step, over all ranks")->capture_default_str();
  app.add_option("--steps", o.steps, "optimizer steps")->capture_default_str();
  app.add_option("--learning-rate", o.rate)->capture_default_str();
  app.add_option("--seed", o.seed)->capture_default_str();
  app.add_option("--sample", o.sample, "characters to write at the end")->capture_default_str();
  app.add_option("--prompt", o.prompt, "what to go on from");
  app.add_option("--threads", o.threads, "per rank; 0: as many as there are cores");
  app.add_option("--thread-ranks", o.thread_ranks, "ranks as threads of this process");
  app.add_flag("--deterministic", o.deterministic, "the same bits on any number of ranks");
  CLI11_PARSE(app, argc, argv);
  return pl::run::launch(argc, argv, [&](pl::world& world) { train(o, world); }, {.thread_ranks = o.thread_ranks, .threads = o.threads});
}
