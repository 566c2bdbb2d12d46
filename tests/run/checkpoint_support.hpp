// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What tests of checkpoints share: layouts, a network that can be cut every way, folders, files compared byte by byte.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include <pleat/io/checkpoint.hpp>
#include <pleat/parallel/tensor_recipe.hpp>
#include <pleat/run/checkpoint.hpp>

#include "parallel/pipeline_training.hpp"
#include "support/scratch_folder.hpp"

namespace checkpoint_test {

namespace pl = pleat;
using pl::index_t;
using space = Kokkos::DefaultExecutionSpace;

/// A way to lay a model out.
struct layout {
  index_t pipeline = 1, data = 1, tensor = 1;
  int stage = 0;
  index_t state_ranks = 0, state_stride = 1;

  [[nodiscard]] int ranks() const { return static_cast<int>(pipeline * data * tensor); }
  [[nodiscard]] std::string words() const {
    return "pipeline " + std::to_string(pipeline) + ", data " + std::to_string(data) + ", tensor " +
           std::to_string(tensor) + ", stage " + std::to_string(stage) + " over " + std::to_string(state_ranks) + ", " +
           std::to_string(state_stride) + " apart";
  }
  [[nodiscard]] pl::plan::plan plan() const {
    pl::plan::plan p;
    p.global_batch = 37;
    p.deterministic = true;
    p.micro_batches = 4;
    p.schedule = "1f1b";
    p.pipeline_ranks = pipeline;
    p.data_ranks = data;
    p.tensor_ranks = tensor;
    p.state_stage = stage;
    p.state_ranks = state_ranks;
    p.state_stride = state_stride;
    p.bucket_bytes = 1024;  // several buckets, so that pieces begin in the middle of things
    return p;
  }
};

/// 12 → 10 → … with a tied weight, in any element type and form; 10, 14 and 12 are uneven over three ranks. Something
/// is drawn at random in every step: whoever goes on from a checkpoint must draw what the first run would have drawn.
template <class Forms> auto network() {
  namespace nn = pl::nn;
  auto net = nn::sequential(
      nn::linear<Forms>("fc1", 12, 10), nn::relu<typename Forms::value_type>(), nn::linear<Forms>("square", 10, 10),
      nn::repeat("block", 2,
                 nn::residual(nn::sequential(nn::linear<Forms>("in", 10, 14),
                                             nn::tanh_activation<typename Forms::value_type>(),
                                             nn::linear<Forms>("out", 14, 10)))),
      nn::dropout<typename Forms::value_type>("drop", 0.25),
      nn::linear<Forms>("again", 10, 10, {.tied_to = "square.weight"}), nn::linear<Forms>("last", 10, 5));
  return pl::parallel::tensor_parallel(
      std::move(net),
      {pl::parallel::column("fc1.*"), pl::parallel::column("block.*.in.*"), pl::parallel::row("block.*.out.*")});
}
using dense = pl::codec::forms<pl::codec::dense<float>>;

using folder = pleat_test::scratch_folder;

/// The tensors' files of a checkpoint.
inline std::map<std::string, std::string> files(std::string const& step) {
  std::map<std::string, std::string> all;
  for (auto const& entry : std::filesystem::directory_iterator(step)) {
    if (entry.path().extension() != ".safetensors") continue;
    std::ifstream in(entry.path(), std::ios::binary);
    all[entry.path().filename().string()].assign(std::istreambuf_iterator<char>(in), {});
  }
  return all;
}

/// The manifest without the line of the plan, which says how the model was laid out, and without the checksum of the
/// lines.
inline std::string manifest_without_plan(std::string const& step) {
  std::ifstream in(step + "/manifest", std::ios::binary);
  std::string all, line;
  while (std::getline(in, line))
    if (!line.starts_with("state \"plan\"") && !line.starts_with("end ")) all += line + "\n";
  return all;
}

/// A model on one rank of a layout, and its optimizer.
template <class Net> struct trained {
  using T = pl::nn::value_type_of<Net>;
  pl::world world;
  pl::parallel::model<Net> model;
  pl::nn::optimizer_state<T, space> optimizer;

  /// \param scale of a network of half
  trained(Net net, pl::comm::communicator c, layout const& l, std::uint64_t seed = 3,
          pl::parallel::loss_scale_options const& scale = {})
      : world(quiet(std::move(c))),
        model(pl::parallel::build(std::move(net), plan_of(l), world, {.seed = seed, .loss_scale = scale})),
        optimizer(model.context(), model.arena(), pl::nn::adamw{.learning_rate = 0.01}) {}

  static pl::plan::plan plan_of(layout const& l) {
    auto p = l.plan();
    if (std::is_same_v<T, pl::bfloat16>) p.precision = pl::plan::compute_precision::bf16;
    if (std::is_same_v<T, pl::half>) p.precision = pl::plan::compute_precision::f16;
    return p;
  }
  /// What activations have to move is not what these tests are about.
  static pl::world quiet(pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    w.set_sink({});
    return w;
  }

  void steps(int from, int to) {
    pipeline_training::samples<Net> source{&model, 0, false};
    for (int s = from; s < to; ++s) {
      source.step = s;
      model.zero_grad(s % 2 ? 37 : 22);
      model.walk(source);
      model.reduce();
      model.step(optimizer);
    }
  }
};

}  // namespace checkpoint_test
