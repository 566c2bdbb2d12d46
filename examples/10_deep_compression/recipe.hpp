// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The recipe for one network type.
#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <string>

#include <pleat/compress/picture.hpp>
#include <pleat/compress/share_weights.hpp>

#include "../print.hpp"
#include "parts.hpp"

// A network's own settings, for MNIST.
struct recipe {
  pl::index_t epochs = 12, prune_epochs = 15, retrain_epochs = 12, tune_epochs = 3;
  double sparsity = 0.955, learning_rate = 2e-3, weight_decay = 0.3;
  int num_bits = 4, shift = 0;
  std::vector<pl::compress::width_for> widths{};
};

inline recipe settled(recipe r, options const& o, pl::index_t samples) {
  auto const take = [](auto& to, auto from) {
    if (from >= 0) to = static_cast<std::remove_reference_t<decltype(to)>>(from);
  };
  // A small set has few steps in an epoch: more epochs, up to eight times as many.
  pl::index_t const more = std::clamp<pl::index_t>(8000 / std::max<pl::index_t>(1, samples), 1, 8);
  for (auto* n : {&r.epochs, &r.prune_epochs, &r.retrain_epochs, &r.tune_epochs}) *n *= more;
  take(r.epochs, o.epochs), take(r.prune_epochs, o.prune_epochs), take(r.retrain_epochs, o.retrain_epochs),
      take(r.tune_epochs, o.tune_epochs);
  take(r.sparsity, o.sparsity), take(r.learning_rate, o.learning_rate), take(r.weight_decay, o.weight_decay),
      take(r.num_bits, o.num_bits), take(r.shift, o.shift);
  return r;
}

inline pl::run::fit_options training(recipe const& r, pl::index_t epochs, double rate, options const& o) {
  pl::run::fit_options f;
  f.epochs = epochs;
  f.schedule = pl::nn::cosine{};
  f.optimizer = pl::nn::adamw{.learning_rate = rate, .weight_decay = r.weight_decay};
  f.progress = !o.quiet;
  return f;
}

// What the saved file says about itself, so that --evaluate needs nothing else.
inline pl::run::model_description about(std::string const& network, pl::io::dataset const& d) {
  return {network, pl::run::input_normalisation{d.mean, d.scale}, {}};
}

template <class Net> std::vector<layer_figures> layers_of(pl::parallel::model<Net> const& m) {
  using Space = typename pl::parallel::model<Net>::execution_space;
  std::vector<layer_figures> all;
  pl::nn::for_each_parameter(m.net(), [&](auto const& w) {
    if (w.shape.rank() < 2) return;
    auto const values = pl::tensor<float, Space>::allocate(m.context(), w.shape);
    w.decode(m.context(), values.data());
    std::vector<float> host(static_cast<std::size_t>(w.size()));
    pl::copy_to_host(m.context(), values, host.data());
    layer_figures l{w.name, w.size(), w.size() - std::count(host.begin(), host.end(), 0.0f), w.bytes(), 0};
    std::sort(host.begin(), host.end());
    auto const different = std::unique(host.begin(), host.end()) - host.begin() - (l.kept < l.elements ? 1 : 0);
    while ((1 << l.num_bits) < different) ++l.num_bits;
    all.push_back(l);
  });
  return all;
}

inline void print(pl::world const& world, std::vector<layer_figures> const& layers) {
  print(world, "%-14s %10s %9s %8s %6s %9s %15s", "layer", "weights", "kept", "", "bits", "bytes", "bits/survivor");
  for (auto const& l : layers)
    print(world, "%-14s %10lld %9lld %6.2f %% %6d %9lld %15.2f", l.name.c_str(), static_cast<long long>(l.elements),
          static_cast<long long>(l.kept), 100.0 * static_cast<double>(l.kept) / static_cast<double>(l.elements),
          l.num_bits, static_cast<long long>(l.bytes),
          8.0 * static_cast<double>(l.bytes) / static_cast<double>(std::max<pl::index_t>(1, l.kept)));
}

// What the file holds, run as it is stored. `stored`: the network with weights that can be in the file's forms.
template <class Net>
pl::run::evaluation evaluate(Net stored, std::string const& path, pl::io::dataset const& test, pl::world& world) {
  auto model = pl::parallel::build(stored, pl::plan::search(stored, world), world);
  pl::run::load(model, path);
  return pl::run::evaluate(model, test);
}

template <class Net>
void deep_compression(Net net, std::string const& network, recipe const& own, options const& o, pl::world& world) {
  namespace shrink = pl::compress;
  auto const begin = std::chrono::steady_clock::now();
  auto const data = read_data(o);
  auto const r = settled(own, o, data.train.size);
  auto const train = with_shifts(data.train, r.shift);
  auto const plan = pl::plan::search(net, world, {.global_batch = o.batch, .deterministic = o.deterministic});
  auto const rate = r.learning_rate;

  // [deep_compression]
  auto model = pl::parallel::build(net, plan, world, {.seed = o.seed});
  pl::run::fit(model, train, training(r, r.epochs, rate, o));
  shrink::stage_list stages;
  stages.add(shrink::measure("trained", model, data.test));
  auto round = training(r, 1, rate / 2, o);  // between two prunings
  round.schedule = pl::nn::constant{};
  auto const small =
      model | (shrink::prune{.sparsity = r.sparsity,
                             .schedule = shrink::cubic{static_cast<int>(r.prune_epochs) + 1},
                             .retrain = shrink::fine_tune(train, round)} |
               shrink::fine_tune(train, training(r, r.retrain_epochs, rate / 2, o)) |
               shrink::share_weights{.num_bits = r.num_bits,
                                     .tune = shrink::fine_tune(train, training(r, r.tune_epochs, rate / 20, o)),
                                     .widths = r.widths} |
               shrink::entropy_code{})
                  .recorded(shrink::record_stages(stages, data.test));
  // [deep_compression]

  if (world.root()) stages.print(std::cout);
  figures f;
  f.network = network;
  f.stages = stages.stages();
  f.layers = layers_of(small);
  print(world, f.layers);
  f.error_before = f.stages.front().test_error;
  std::string const path = compressed_file(o, network);
  pl::run::save(small, path, about(network, data.train));
  if (!o.out.empty()) {
    pl::run::save(model, o.out + "/model.safetensors", about(network, data.train));
    if (world.root()) shrink::write_svg(stages, o.out + "/report.svg", network + " on " + data.test.name);
  }
  f.bytes_before = f.stages.front().bytes;
  world.comm.barrier();  // rank 0 has written
  f.bytes_after = static_cast<pl::index_t>(std::filesystem::file_size(path));
  auto const again = evaluate_in_new_process(path, o, world);
  f.evaluation = again.json, f.error_after = again.error;
  f.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  print(world, "%s: %lld -> %lld bytes, %.1fx smaller; test error %.2f -> %.2f %%, a new process ran %s",
        network.c_str(), static_cast<long long>(f.bytes_before), static_cast<long long>(f.bytes_after), f.ratio(),
        100 * f.error_before, 100 * f.error_after, path.c_str());
  write_figures(f, o, world);
}

template <class Net, class Stored>
void run_job(Net net, Stored stored, std::string const& network, recipe const& own, options const& o,
             pl::world& world) {
  if (o.evaluate.empty()) return deep_compression(std::move(net), network, own, o, world);
  auto const e = evaluate(std::move(stored), o.evaluate, read_data(o).test, world);
  print(world, "%s: test error %.2f %% (%lld of %lld wrong)", o.evaluate.c_str(), 100 * e.error(),
        static_cast<long long>(e.errors), static_cast<long long>(e.samples));
  write_evaluation(e, o, world);
}
