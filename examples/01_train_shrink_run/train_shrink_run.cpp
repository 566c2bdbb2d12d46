// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The main job: train a network on any number of ranks, shrink it, save it, load it in another process and run it.
//
//   train_shrink_run --data DIR --epochs 10                 alone
//   mpirun -n 4 train_shrink_run --data DIR                 four processes
//   train_shrink_run --data DIR --thread-ranks 4            four threads
//   train_shrink_run --evaluate out/compressed.safetensors  the compressed model, in a new process
#include <pleat/pleat.hpp>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "networks.hpp"

namespace pl = pleat;

namespace {

struct options {
  std::string data, model = "lenet-300-100", checkpoint, out, json, evaluate, optimizer = "adamw";
  pl::index_t epochs = 10, batch = 64, micro_batches = 1, checkpoint_steps = 0, limit = 0;
  std::uint64_t seed = 1;
  int threads = 0, thread_ranks = 0;
  double learning_rate = 1e-3, sparsity = 0.9;
  bool deterministic = false, resume = false, no_overlap = false, train_only = false, quiet = false;
};

// PLEAT_DIGITS is where the build found the shipped digits; an installed program is told by --data.
pl::io::split read_data(options const& o) { return o.data.empty() ? pl::io::load_digits(PLEAT_DIGITS) : pl::io::mnist(o.data); }

// What the saved file says about itself, so that --evaluate needs nothing else.
pl::run::model_description about(std::string const& network, pl::io::dataset const& d) { return {network, pl::run::input_normalisation{d.mean, d.scale}, {}}; }

void print(pl::world const& world, char const* format, auto... values) {
  char line[300];
  std::snprintf(line, sizeof line, format, values...);
  world.say(line);
}

pl::run::fit_options fit_options(options const& o) {
  pl::run::fit_options f;
  f.epochs = o.epochs;
  f.schedule = pl::nn::cosine{};
  if (o.optimizer == "sgd") f.optimizer = pl::nn::sgd{.learning_rate = o.learning_rate, .momentum = 0.9};
  else f.optimizer = pl::nn::adamw{.learning_rate = o.learning_rate};
  f.checkpoint = o.checkpoint;
  f.checkpoint_steps = o.checkpoint_steps;
  f.resume = o.resume;
  f.progress = !o.quiet;
  return f;
}

// A fifth of the training, but at least 300 steps: a small set needs more epochs to settle again.
pl::run::fit_options fine_tune_options(options const& o, pl::index_t samples) {
  auto f = fit_options(o);
  pl::index_t const per_epoch = (samples + o.batch - 1) / o.batch;
  f.epochs = std::max(o.epochs / 5, (300 + per_epoch - 1) / per_epoch);
  f.optimizer = pl::nn::adamw{.learning_rate = o.learning_rate / 2};
  f.checkpoint.clear();
  f.resume = false;
  f.progress = false;
  return f;
}

// What the planner expects of a step on this machine, beside what was measured, and the bytes of a rank.
template <class Net> void explain_step(pl::parallel::model<Net>& model, pl::io::dataset const& data, pl::run::fit_report const& trained, pl::world& world) {
  if (trained.steps == 0) return;
  auto const machine = pl::plan::measure_machine(model.context(), model.ranks());
  auto const network = pl::nn::describe(model.net(), pl::run::batch_shape(data, pl::plan::largest_micro_batch(model.plan())));
  auto const expected = pl::plan::predict_step(model.plan(), network, machine);
  auto const ledger = pl::plan::make_ledger(model.plan(), network, model.arena().size(), model.arena().states());
  world.say("machine: " + machine.to_string());
  world.say("memory:  " + ledger.to_string());
  print(world, "step:    predicted %.3f ms, measured %.3f ms  (%s)", expected.total() * 1e3, trained.seconds / static_cast<double>(trained.steps) * 1e3, expected.to_string().c_str());
}

void write_figures(std::string const& network, pl::run::fit_report const& trained, std::vector<pl::compress::stage> const& stages, options const& o, pl::world const& world) {
  if (!world.root()) return;
  nlohmann::json figures{{"network", network}, {"test_error", stages.front().test_error}, {"samples_per_second", trained.samples_per_second}, {"seconds", trained.seconds},
                         {"steps", trained.steps}, {"ranks", world.size()}, {"threads", world.threads}, {"deterministic", o.deterministic}, {"stages", nlohmann::json::array()}};
  for (auto const& s : stages)
    figures["stages"].push_back({{"name", s.name}, {"test_error", s.test_error}, {"parameters", s.parameters}, {"nonzeros", s.nonzeros}, {"bytes", s.bytes}, {"latency_us", s.latency_us}});
  for (auto const& path : {o.json, o.out.empty() ? std::string() : o.out + "/report.json"})
    if (!path.empty()) pl::io::write_file(path, figures.dump(2) + "\n");
}

// The text of the tutorial.
// [train_shrink_run]
template <class Net> void train_shrink_run(Net net, std::string const& network, options const& o, pl::world& world) {
  auto const data = read_data(o);
  auto const plan = pl::plan::search(net, world, {.global_batch = o.batch, .deterministic = o.deterministic, .micro_batches = o.micro_batches, .overlap = !o.no_overlap});
  auto model = pl::parallel::build(net, plan, world, {.seed = o.seed});
  auto const trained = pl::run::fit(model, data.train, fit_options(o));

  auto const again = fine_tune_options(o, data.train.size);
  pl::compress::stage_list stages;
  stages.add(pl::compress::measure("trained", model, data.test));
  auto const small = model | (pl::compress::prune{.sparsity = o.sparsity, .schedule = pl::compress::cubic{5}, .retrain = pl::compress::fine_tune(data.train, again)}
                              | pl::compress::fine_tune(data.train, again)
                              | pl::compress::quantize<pl::codec::int8<float>>{}).recorded(pl::compress::record_stages(stages, data.test));
  if (world.root()) stages.print(std::cout);
  // [train_shrink_run]
  explain_step(model, data.train, trained, world);
  if (!o.out.empty()) {
    pl::run::save(model, o.out + "/model.safetensors", about(network, data.train));
    pl::run::save(small, o.out + "/compressed.safetensors", about(network, data.train));
    if (world.root()) pl::compress::write_svg(stages, o.out + "/report.svg", network + " on " + data.train.name);
  }
  write_figures(network, trained, stages.stages(), o, world);
}

// Training alone, for comparing runs.
template <class Net> void train_only(Net net, std::string const& network, options const& o, pl::world& world) {
  auto const data = read_data(o);
  auto const plan = pl::plan::search(net, world, {.global_batch = o.batch, .deterministic = o.deterministic, .micro_batches = o.micro_batches, .overlap = !o.no_overlap});
  auto model = pl::parallel::build(net, plan, world, {.seed = o.seed});
  auto const trained = pl::run::fit(model, data.train, fit_options(o));
  auto const stage = pl::compress::measure("trained", model, data.test);
  print(world, "test error %.2f %%, %.0f samples/s", 100 * stage.test_error, trained.samples_per_second);
  if (!o.out.empty()) pl::run::save(model, o.out + "/model.safetensors", about(network, data.train));
  write_figures(network, trained, {stage}, o, world);
}

// Loads a file in a network whose weights may be in any form, and runs it as it is stored.
template <class Net> void evaluate(Net net, options const& o, pl::world& world) {
  auto const data = read_data(o);
  auto model = pl::parallel::build(net, pl::plan::search(net, world), world);
  pl::run::load(model, o.evaluate);
  auto const e = pl::run::evaluate(model, data.test);
  auto const served = pl::run::serve(model, data.test, {.batch = 32});
  print(world, "%s: test error %.2f %% (%lld of %lld wrong); %.0f answers/s, p50 %.0f us, p99 %.0f us", o.evaluate.c_str(), 100 * e.error(), static_cast<long long>(e.errors),
        static_cast<long long>(e.samples), served.throughput, served.p50 * 1e6, served.p99 * 1e6);
  if (!o.json.empty() && world.root())
    pl::io::write_file(o.json, nlohmann::json{{"test_error", e.error()}, {"throughput", served.throughput}, {"p50_us", served.p50 * 1e6}, {"p99_us", served.p99 * 1e6}, {"ranks", world.size()}}.dump(2) + "\n");
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("Trains a network, shrinks it, saves it and runs it, on any number of ranks.");
  app.add_option("--data", o.data, "folder with MNIST in IDX form (default: the digits that pleat ships)");
  app.add_option("--model", o.model, "lenet-300-100, lenet-5, or mlp:784-…-10 with the widths of all layers")->capture_default_str();
  app.add_option("--epochs", o.epochs)->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--batch", o.batch, "samples per step, over all ranks")->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--micro-batches", o.micro_batches, "walks per step; gradients are exchanged after the last")->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--seed", o.seed)->capture_default_str();
  app.add_option("--optimizer", o.optimizer)->check(CLI::IsMember({"adamw", "sgd"}))->capture_default_str();
  app.add_option("--learning-rate", o.learning_rate)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--sparsity", o.sparsity, "share of the weights that pruning removes")->check(CLI::Range(0.0, 0.9999))->capture_default_str();
  app.add_option("--threads", o.threads, "threads per rank (default: the cores dealt to the ranks)")->check(CLI::Range(1, 100000));
  app.add_option("--thread-ranks", o.thread_ranks, "ranks as threads of this process")->check(CLI::Range(1, 1000));
  app.add_option("--checkpoint", o.checkpoint, "folder for checkpoints");
  app.add_option("--checkpoint-steps", o.checkpoint_steps, "steps between checkpoints (default: one per epoch)")->check(CLI::Range(1, 1000000000));
  app.add_option("--out", o.out, "folder for model.safetensors, compressed.safetensors, report.json, report.svg");
  app.add_option("--json", o.json, "file for every figure of the report");
  app.add_option("--evaluate", o.evaluate, "load this file and evaluate it, nothing else");
  app.add_flag("--deterministic", o.deterministic, "the same bits on any number of ranks");
  app.add_flag("--resume", o.resume, "go on from the newest checkpoint");
  app.add_flag("--no-overlap", o.no_overlap, "exchange gradients after backward, not during it");
  app.add_flag("--train-only", o.train_only, "do not compress");
  app.add_flag("--quiet", o.quiet, "no progress line");
  // mpirun's ranks all parse; only one of them should speak.
  char const* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  if (!rank) rank = std::getenv("PMI_RANK");
  bool const speaks = !rank || std::string(rank) == "0";
  try {
    app.parse(argc, argv);
    if (o.resume && o.checkpoint.empty()) throw CLI::ValidationError("--resume needs --checkpoint DIR: the folder to go on from");
  } catch (CLI::ParseError const& e) {
    std::ostringstream out, err;
    int const code = app.exit(e, out, err);
    if (speaks) std::cout << out.str(), std::cerr << err.str();
    return code;
  }

  return pl::run::launch(argc, argv, [&](pl::world& world) {
    if (!o.out.empty() && world.root()) std::filesystem::create_directories(o.out);
    std::string const network = o.evaluate.empty() ? o.model : pl::run::describe_file(o.evaluate).network;
    auto const sample = read_data(o).test.sample;
    auto const run = [&](auto dense, auto stored) {
      if (!o.evaluate.empty()) evaluate(std::move(stored), o, world);
      else if (o.train_only) train_only(std::move(dense), network, o, world);
      else train_shrink_run(std::move(dense), network, o, world);
    };
    if (network == "lenet-5") {
      run(lenet_5<networks::dense>(sample), lenet_5<networks::stored>(sample));
    } else {
      auto const widths = network == "lenet-300-100" ? "mlp:" + std::to_string(sample.size()) + "-300-100-10" : network;
      run(mlp<networks::dense>(widths, sample.size()), mlp<networks::stored>(widths, sample.size()));
    }
  }, {.thread_ranks = o.thread_ranks, .threads = o.threads});
}
