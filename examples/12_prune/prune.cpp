// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every way to prune, on one network: the table of docs/pruning.md.
//
//   prune --data DIR            LeNet-300-100 on MNIST
//   prune                       the same network on the digits that pleat ships
//   mpirun -n 2 prune           the same numbers
#include <CLI/CLI.hpp>

#include <pleat/pleat.hpp>
#include <pleat/codec/sparse.hpp>
#include <pleat/compress/criteria.hpp>
#include <pleat/compress/prune_channels.hpp>
#include <pleat/compress/sparse_gpt.hpp>
#include <pleat/run/launch.hpp>

#include <string>
#include <vector>

#include "../command_line.hpp"
#include "../outputs.hpp"
#include "../print.hpp"

namespace pl = pleat;
namespace shrink = pleat::compress;  // zlib has a function `compress`

namespace {

struct options {
  std::string data;
  std::uint64_t seed = 1;
  pl::index_t epochs = 5, subset = 4096;
  int threads = 0, thread_ranks = 0;
  std::string asked;  // a line an option: ranks compare it
};

pl::run::fit_options training(pl::index_t epochs, double rate) {
  pl::run::fit_options f;
  f.epochs = epochs;
  f.optimizer = pl::nn::adamw{.learning_rate = rate};
  f.schedule = pl::nn::cosine{};
  f.progress = false;
  return f;
}

void run(options const& o, pl::world& world) {
  agree_on_options(world, o.asked);
  auto const data = o.data.empty() ? pl::io::load_digits(PLEAT_DIGITS) : pl::io::mnist(o.data);
  auto const inputs = data.train.sample.size();
  auto const net = pl::nn::sequential(pl::nn::linear("fc1", inputs, 300), pl::nn::relu(),
                                      pl::nn::linear("fc2", 300, 100), pl::nn::relu(), pl::nn::linear("fc3", 100, 10));
  auto model =
      pl::parallel::build(net, pl::plan::plan{.global_batch = 128, .data_ranks = world.size(), .deterministic = true},
                          world, {.seed = o.seed});
  (void)pl::run::fit(model, data.train, training(o.epochs, 1e-3));
  auto const error = [&](auto const& m) { return 100 * pl::run::evaluate(m, data.test).error(); };
  print(world, "%-34s %8s", "test error in %, nothing trained", "dense");
  print(world, "%-34s %8.2f", "", error(model));

  shrink::calibration const samples(data.train, o.subset);
  auto const silent = [](std::string_view) {};
  print(world, "\n%-34s %8s %8s %8s %8s %8s", "zeros, without training", "50 %", "80 %", "90 %", "95 %", "2:4");
  auto const row = [&](char const* what, auto&& with) {
    double e[5];
    int i = 0;
    for (double const s : {0.5, 0.8, 0.9, 0.95, -1.0}) e[i++] = error(model | with(s));
    print(world, "%-34s %8.2f %8.2f %8.2f %8.2f %8.2f", what, e[0], e[1], e[2], e[3], e[4]);
  };
  auto const share = [](double s) { return s < 0 ? 0.5 : s; };
  auto const pattern = [](double s) { return s < 0 ? std::optional(shrink::n_of_m{2, 4}) : std::nullopt; };
  row("magnitude, every layer alike", [&](double s) {
    return shrink::prune{.sparsity = share(s), .scope = shrink::scope::layer, .on_note = silent, .pattern = pattern(s)};
  });
  row("magnitude, global",
      [&](double s) { return shrink::prune{.sparsity = share(s), .on_note = silent, .pattern = pattern(s)}; });
  row("Taylor, global", [&](double s) {
    return shrink::prune_by<shrink::taylor>{.sparsity = share(s),
                                            .on_note = silent,
                                            .criterion = {.data = &data.train, .subset_size = o.subset},
                                            .pattern = pattern(s)};
  });
  row("Wanda, every row alike", [&](double s) {
    return shrink::prune_by<shrink::wanda>{
        .sparsity = share(s), .on_note = silent, .criterion = {samples}, .pattern = pattern(s)};
  });
  row("SparseGPT, every layer alike", [&](double s) {
    return shrink::sparse_gpt{.sparsity = share(s), .samples = samples, .pattern = pattern(s), .on_note = silent};
  });

  print(world, "\n%-34s %12s %12s %8s", "SparseGPT, 80 %: error of outputs", "magnitude's", "its own", "share");
  (void)(model | shrink::sparse_gpt{.sparsity = 0.8,
                                    .samples = samples,
                                    .on_note = silent,
                                    .on_layer = [&](shrink::sparse_gpt_layer const& l) {
                                      print(world, "  %-32s %12.4g %12.4g %8.3f", l.name.c_str(), l.magnitude_error,
                                            l.error, l.error / l.magnitude_error);
                                    }});

  print(world, "\n%-34s %8s %8s", "zeros, 98 %, three epochs of training", "zeros", "error");
  auto const one = shrink::fine_tune(data.train, training(1, 1e-3)),
             two = shrink::fine_tune(data.train, training(2, 1e-3)),
             three = shrink::fine_tune(data.train, training(3, 1e-3));
  auto const trained = [&](char const* what, auto const& m) {
    pl::index_t zero = 0, all = 0;
    pl::nn::for_each_parameter(m.net(), [&](auto const& w) {
      if (w.shape.rank() < 2) return;
      std::vector<float> v(static_cast<std::size_t>(w.size()));
      pl::copy_to_host(m.context(), pl::tensor<float, Kokkos::DefaultExecutionSpace>::wrap(w.data(), w.shape),
                       v.data());
      zero += std::count(v.begin(), v.end(), 0.0f), all += w.size();
    });
    print(world, "%-34s %8.4f %8.2f", what, static_cast<double>(zero) / static_cast<double>(all), error(m));
  };
  trained("magnitude, at once", model | (shrink::prune{.sparsity = 0.98, .on_note = silent} | three));
  trained(
      "magnitude, cubic in 3 steps",
      model | (shrink::prune{.sparsity = 0.98, .schedule = shrink::cubic{3}, .retrain = one, .on_note = silent} | one));
  trained("movement, then 2 epochs", model | (shrink::prune_by<shrink::movement>{
                                                  .sparsity = 0.98, .on_note = silent, .criterion = {.training = one}} |
                                              two));

  print(world, "\n%-34s %10s %10s %8s %10s %10s", "channels", "mult-adds", "parameters", "error", "1 epoch", "us, one");
  shrink::channel_report report;
  auto const note = [&](shrink::channel_report const& r) { report = r; };
  pl::extents const sample{inputs};
  auto const channels = [&](char const* what, auto const& t) {
    auto const small = model | t;
    auto const tuned = small | one;
    print(world, "%-34s %10.0f %10lld %8.2f %10.2f %10.1f", what, report.multiply_adds_after,
          static_cast<long long>(report.parameters_after), error(small), error(tuned),
          shrink::measure(what, small, data.test).latency_us);
  };
  channels("all of them", shrink::prune_channels{.multiply_adds = 1, .input = sample, .on_report = note});
  channels("half, by weight", shrink::prune_channels{.multiply_adds = 0.5, .input = sample, .on_report = note});
  channels("half, by Taylor",
           shrink::prune_channels_by<shrink::taylor>{.multiply_adds = 0.5,
                                                     .input = sample,
                                                     .on_report = note,
                                                     .criterion = {.data = &data.train, .subset_size = o.subset}});
  channels("a quarter, by Taylor",
           shrink::prune_channels_by<shrink::taylor>{.multiply_adds = 0.25,
                                                     .input = sample,
                                                     .on_report = note,
                                                     .criterion = {.data = &data.train, .subset_size = o.subset}});
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("Prunes one network in every way and prints what that costs.");
  command_line::add_asked(app, o);
  app.add_option("--data", o.data, "folder with MNIST in IDX form (default: the digits that pleat ships)")
      ->check(command_line::not_empty());
  command_line::add_seed(app, o);
  app.add_option("--epochs", o.epochs, "of training before anything is pruned")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--subset", o.subset, "samples that SparseGPT, Wanda and Taylor look at")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command_line::add_threads(app, o);
  if (auto const code = command_line::parse(app, argc, argv, [] {})) return *code;
  return pl::run::launch(argc, argv, [&](pl::world& world) { run(o, world); },
                         {.thread_ranks = o.thread_ranks, .threads = o.threads});
}
