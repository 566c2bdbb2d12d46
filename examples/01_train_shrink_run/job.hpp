// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The job for one network type.
#pragma once

#include <algorithm>
#include <iostream>

#include <pleat/plan/measure.hpp>
#include <pleat/pleat.hpp>

#include "parts.hpp"

// What the saved file says about itself, so that --evaluate needs nothing else.
inline pl::run::model_description about(std::string const& network, pl::io::dataset const& d) {
  return {network, pl::run::input_normalisation{d.mean, d.scale}, {}};
}

// The file of --out for this model; none without --out.
inline std::string file(options const& o, char const* name) { return o.out.empty() ? o.out : o.out + "/" + name; }

inline pl::run::fit_options fit_options(options const& o) {
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
inline pl::run::fit_options fine_tune_options(options const& o, pl::index_t samples) {
  auto f = fit_options(o);
  pl::index_t const per_epoch = (samples + o.batch - 1) / o.batch;
  f.epochs = std::max(o.epochs / 5, (300 + per_epoch - 1) / per_epoch);
  f.optimizer = pl::nn::adamw{.learning_rate = o.learning_rate / 2};
  f.checkpoint.clear();
  f.checkpoint_steps = 0;
  f.resume = false;
  f.progress = false;
  return f;
}

// What the planner expects of a step on this machine, beside what was measured, and the bytes of a rank.
template <class Net>
void explain_step(pl::parallel::model<Net>& model, pl::io::dataset const& data, pl::run::fit_report const& trained,
                  pl::world& world) {
  if (trained.steps == 0) return;
  auto const machine = pl::plan::measure_machine(model.context(), model.ranks());
  auto const network =
      pl::nn::describe(model.net(), pl::run::batch_shape(data, pl::plan::largest_micro_batch(model.plan())));
  auto const expected = pl::plan::predict_step(model.plan(), network, machine);
  auto const ledger = pl::plan::make_ledger(model.plan(), network, model.arena().size(), model.arena().states());
  world.say("machine: " + machine.to_string());
  world.say("memory:  " + ledger.to_string());
  print(world, "step:    predicted %.3f ms, measured %.3f ms  (%s)", expected.total() * 1e3,
        trained.seconds / static_cast<double>(trained.steps) * 1e3, expected.to_string().c_str());
}

// The text of the tutorial.
// [train_shrink_run]
template <class Net>
void train_shrink_run(Net net, std::string const& network, pl::io::split const& data, options const& o,
                      pl::world& world) {
  auto const plan = pl::plan::search(net, world,
                                     {.global_batch = o.batch,
                                      .deterministic = o.deterministic,
                                      .micro_batches = o.micro_batches,
                                      .overlap = !o.no_overlap});
  auto model = pl::parallel::build(net, plan, world, {.seed = o.seed});
  auto const trained = pl::run::fit(model, data.train, fit_options(o));

  auto const again = fine_tune_options(o, data.train.size);
  auto const description = about(network, data.train);
  pl::compress::stage_list stages;
  stages.add(  // writes it: what was trained is there whatever comes
      pl::compress::measure("trained", model, data.test, {file(o, "model.safetensors"), description}));
  auto const small =
      model | (pl::compress::prune{.sparsity = o.sparsity,
                                   .schedule = pl::compress::cubic{5},
                                   .retrain = pl::compress::fine_tune(data.train, again)} |
               pl::compress::fine_tune(data.train, again) | pl::compress::quantize<pl::codec::int8<float>>{})
                  .recorded(pl::compress::record_stages(stages, data.test, {.about = description}));
  if (!o.out.empty()) pl::run::save(small, file(o, "compressed.safetensors"), description);
  if (world.root()) stages.print(std::cout);  // what is printed may be lost, what is saved is there
  // [train_shrink_run]
  explain_step(model, data.train, trained, world);
  write_picture(network, data.test.name, stages, o, world);
  write_figures(network, trained, stages.stages(), o, world);
}

// Training alone, for comparing runs.
template <class Net>
void train_only(Net net, std::string const& network, pl::io::split const& data, options const& o, pl::world& world) {
  auto const plan = pl::plan::search(net, world,
                                     {.global_batch = o.batch,
                                      .deterministic = o.deterministic,
                                      .micro_batches = o.micro_batches,
                                      .overlap = !o.no_overlap});
  auto model = pl::parallel::build(net, plan, world, {.seed = o.seed});
  auto const trained = pl::run::fit(model, data.train, fit_options(o));
  pl::compress::stage_list stages;
  stages.add(
      pl::compress::measure("trained", model, data.test, {file(o, "model.safetensors"), about(network, data.train)}));
  print(world, "test error %.2f %%, %.0f samples/s", 100 * stages.stages().front().test_error,
        trained.samples_per_second);
  write_figures(network, trained, stages.stages(), o, world);
}

// A file names the network (--evaluate), and may name one of any size: what it holds must be that network's parameters
// before there is memory for them. In every form that a file of this job holds, a number takes a bit or more.
template <class Net>
void demand_weights_of(Net const& net, std::string const& network, options const& o, pl::world& world) {
  pl::comm::all_or_none(world.comm, [&] {
    pl::io::safetensors_file const file(o.evaluate);
    auto const weights = pl::io::weights_of(file, "--evaluate '" + o.evaluate + "'");
    auto const refuse = [&](pl::nn::parameter const& w, std::string const& found) {
      throw pl::error{"--evaluate",
                      "'" + w.name + "' has shape " + w.shape.to_string() + " in the network '" + network + "'; in '" +
                          o.evaluate + "' " + found,
                      "Use --data with the data that it was trained on, or --model where the file does not say it"};
    };
    pl::nn::for_each_parameter(net, [&](pl::nn::parameter const& w) {
      auto const at = std::find_if(weights.begin(), weights.end(), [&](auto const& s) { return s.name == w.name; });
      if (at == weights.end()) refuse(w, "there is none");
      if (at->shape != w.shape) refuse(w, "it has " + at->shape.to_string());
      if (at->bytes() < static_cast<std::uint64_t>(w.size()) / 8)
        refuse(w, "it has " + std::to_string(at->bytes()) + " bytes of form '" + at->form +
                      "', and in the forms of this program each number takes a bit or more");
    });
  });
}

// Loads a file in a network whose weights may be in any form, and runs it as it is stored.
template <class Net>
void evaluate(Net net, std::string const& network, pl::io::split const& data, options const& o, pl::world& world) {
  demand_weights_of(net, network, o, world);
  auto model = pl::parallel::build(net, pl::plan::search(net, world), world);
  demand_input_of(pl::run::load(model, o.evaluate), data.test, o);
  auto const e = pl::run::evaluate(model, data.test);
  auto const served = pl::run::serve(model, data.test, {.batch = 32});
  write_served(e, served, o, world);
}

// `dense` is the network that is trained, `stored` the same with weights in any form that a file may hold.
template <class Dense, class Stored>
void run_job(Dense dense, Stored stored, std::string const& network, pl::io::split const& data, options const& o,
             pl::world& world) {
  if (!o.evaluate.empty()) evaluate(std::move(stored), network, data, o, world);
  else if (o.train_only) train_only(std::move(dense), network, data, o, world);
  else train_shrink_run(std::move(dense), network, data, o, world);
}
