// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One trained network through every way of quantizing it: error, bytes of the written file, time of one answer.
//
//   quantization --data DIR --model lenet-5 --seed 1 --json figures.json
#include <pleat/pleat.hpp>

#include <pleat/codec/blocks.hpp>
#include <pleat/compress/gptq.hpp>
#include <pleat/compress/quantize_aware.hpp>

#include <CLI/CLI.hpp>

#include <iostream>

#include "../10_deep_compression/networks.hpp"

namespace pl = pleat;
namespace shrink = pleat::compress;

struct options {
  std::string data, model = "lenet-300-100", json;
  std::uint64_t seed = 1;
  pl::index_t epochs = 10, samples = 300;
  int threads = 0, thread_ranks = 0;
  bool quiet = false;
};

template <class Net> bool divided_by_32(Net const& net) {
  bool any = false;
  pl::nn::for_each_parameter(net, [&](pl::nn::parameter const& w) { any = any || (w.shape.rank() >= 2 && pl::codec::columns_of(w.shape) % 32 == 0); });
  return any;
}

template <class Net> void run(Net net, options const& o, pl::world& world) {
  using int8 = pl::codec::int8<float>;
  using four = pl::codec::int4<float, 32>;
  auto const data = o.data.empty() ? pl::io::load_digits(PLEAT_DIGITS) : pl::io::mnist(o.data);
  pl::run::fit_options training;
  training.epochs = o.epochs;
  training.schedule = pl::nn::cosine{};
  training.optimizer = pl::nn::adamw{.learning_rate = 2e-3, .weight_decay = 0.1};
  training.progress = !o.quiet;
  auto model = pl::parallel::build(net, pl::plan::search(net, world, {.global_batch = 64, .deterministic = true}), world, {.seed = o.seed});
  pl::run::fit(model, data.train, training);
  auto again = training;  // for training with codes
  again.epochs = std::max<pl::index_t>(1, o.epochs / 4);
  again.optimizer = pl::nn::adamw{.learning_rate = 4e-4, .weight_decay = 0.1};

  // [quantization]
  shrink::calibration const some(data.train, o.samples);
  shrink::stage_list table;
  table.add(shrink::measure("float", model, data.test));
  auto const row = [&](std::string name, auto const& transform) { table.add(shrink::measure(std::move(name), model | transform, data.test)); };
  row("int8", shrink::quantize<int8>{});
  row("int8, rows by mean-square", shrink::quantize<int8>{.observer = shrink::mean_square{}});
  for (shrink::observer const& ranges : {shrink::observer(shrink::min_max{}), shrink::observer(shrink::percentile{}), shrink::observer(shrink::kl_divergence{})})
    row("int8, static by " + shrink::name_of(ranges), shrink::quantize<int8>{.activations = shrink::static_activations{.data = some, .observer = ranges}});
  row("int8, gptq", shrink::gptq<int8>{.data = some});
  row("int8, trained", shrink::quantize_aware<int8>{.train = shrink::fine_tune(data.train, again)} | shrink::quantize<int8>{});
  if (!divided_by_32(net)) world.say("no columns are a multiple of 32: no rows in 4 bits");
  else {  // four bits where groups of 32 divide the columns, eight elsewhere
    auto const next = shrink::misfit::next;
    row("int4/int8", shrink::quantize<four, int8>{.misfit = next});
    row("int4/int8, gptq", shrink::gptq<four, int8>{.data = some, .misfit = next});
    row("int4/int8, trained", shrink::quantize_aware<four>{.train = shrink::fine_tune(data.train, again), .misfit = shrink::misfit::ignore} | shrink::quantize<four, int8>{.misfit = next});
  }
  // [quantization]
  if (world.root()) table.print(std::cout);
  if (world.root() && !o.json.empty()) table.write_json(o.json);
}

int main(int argc, char** argv) {
  options o;
  CLI::App app("Trains a network and quantizes it in every way.");
  app.add_option("--data", o.data, "folder with MNIST in IDX form (default: the digits that pleat ships)");
  app.add_option("--model", o.model)->check(CLI::IsMember({"lenet-300-100", "lenet-5"}))->capture_default_str();
  app.add_option("--seed", o.seed)->capture_default_str();
  app.add_option("--epochs", o.epochs)->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--samples", o.samples, "that calibration looks at")->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--json", o.json, "file for the table");
  app.add_option("--threads", o.threads, "threads per rank (default: the cores dealt to the ranks)")->check(CLI::Range(1, 100000));
  app.add_option("--thread-ranks", o.thread_ranks, "ranks as threads of this process")->check(CLI::Range(1, 1000));
  app.add_flag("--quiet", o.quiet, "no progress line");
  CLI11_PARSE(app, argc, argv);
  return pl::run::launch(argc, argv, [&](pl::world& world) {
    pl::extents const sample = o.data.empty() ? pl::extents{1, 8, 8} : pl::extents{1, 28, 28};
    if (o.model == "lenet-5") run(lenet_5<networks::dense>(sample), o, world);
    else run(lenet_300_100<networks::dense>(sample), o, world);
  }, {.thread_ranks = o.thread_ranks, .threads = o.threads});
}
