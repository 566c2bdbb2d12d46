// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One type for every file that the program takes: some convolutions (each with ReLU and 2x2 max pooling), then fully
// connected layers with ReLU between them; before each ReLU there may be a batch norm. How many there are and how large
// is read from the file. A norm that the file does not have is an identity, as one that was folded is.
#pragma once

#include <pleat/codec/blocks.hpp>
#include <pleat/codec/codebook.hpp>
#include <pleat/codec/fake_quantized.hpp>
#include <pleat/codec/factors.hpp>
#include <pleat/codec/low_rank.hpp>
#include <pleat/codec/reduced.hpp>
#include <pleat/codec/sparse.hpp>
#include <pleat/codec/spatial_low_rank.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/recipe.hpp>
#include <pleat/compress/record_errors.hpp>
#include <pleat/compress/static_activations.hpp>
#include <pleat/io/weight_file.hpp>
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/pooling.hpp>
#include <pleat/nn/repeat.hpp>
#include <pleat/pleat.hpp>

#include <functional>
#include <limits>
#include <memory>
#include <optional>

#include "options.hpp"

namespace pl = pleat;

using forms =
    pl::codec::forms<pl::codec::dense<float>, pl::codec::masked<float>, pl::codec::int8<float>, pl::codec::bf16<float>,
                     pl::codec::f16<float>, pl::codec::q8_0<float>, pl::codec::q4_0<float>, pl::codec::q4_1<float>,
                     pl::codec::q5_0<float>, pl::codec::q5_1<float>, pl::codec::q4_k<float>, pl::codec::q6_k<float>,
                     pl::codec::int4<float, 32>, pl::codec::int4<float, 64>, pl::codec::int4<float, 128>,
                     pl::codec::csr<float>, pl::codec::bitmask<float>, pl::codec::block_sparse<float, 4>,
                     pl::codec::n_m<float, 2, 4>, pl::codec::n_m<float, 1, 4>, pl::codec::n_m<float, 4, 8>,
                     pl::codec::fake_quantized<float>, pl::codec::codebook<float>, pl::codec::coded<float>,
                     pl::codec::low_rank<float>, pl::codec::sparse_low_rank<float>, pl::codec::factors<float>,
                     pl::codec::spatial_low_rank<float>>;
using linear = pl::nn::linear<forms>;
using conv2d = pl::nn::conv2d<forms>;
using conv_block = pl::nn::sequential<conv2d, pl::nn::batch_norm<>, pl::nn::relu<>, pl::nn::max_pool2d<>>;
using linear_block = pl::nn::sequential<linear, pl::nn::batch_norm<>, pl::nn::relu<>>;
using network = pl::nn::sequential<pl::nn::repeat<conv_block>, pl::nn::flatten<>, pl::nn::repeat<linear_block>, linear>;
using model = pl::parallel::model<network>;

// The weight in all forms, and the layers' walks: compiled in instances.cpp, not once more for every kind of step.
extern template class pl::nn::weight<forms, Kokkos::DefaultExecutionSpace>;
extern template class pl::parallel::network_of<network>;

// What a file's network is made of: PyTorch's count of the batches that a norm has seen says nothing here.
std::vector<pl::io::stored_weight> weights_of(pl::io::weight_file const& file);
// The network of a file's weights. \throws error if they form no such chain
network network_of(std::vector<pl::io::stored_weight> const& weights, pl::io::dataset const& data,
                   std::string const& path);

// What a layer's outputs miss over the samples, in the norm that gptq and sparse_gpt lower, beside what the plain way
// (rounding, magnitudes) costs.
struct output_norm {
  std::string step, weight;
  double ours = 0, plain = 0;
};

// What a step works with; each of these is a source file, so that they compile side by side.
struct kitchen {
  model& m;
  model const& as_it_came;
  pl::io::split const& data;
  options const& o;
  std::function<std::unique_ptr<model const>(std::string const& path)> open;  // the network of another file
  pl::compress::error_kind leaves = pl::compress::error_kind::measured;       // what the last step may be believed
  // all steps are read once before the first one runs: what is misspelt in the last must not cost the others' time
  bool reads_only = false;
  std::vector<output_norm> norms{};  // of this rank's weights
  mutable bool looks = false;        // some step asked for samples

  // What steps look at that look at activations, or at gradients.
  pl::index_t samples() const {
    looks = true;
    return o.samples;
  }
  pl::compress::calibration sampled() const { return pl::compress::calibration(data.train, samples()); }

  void run(auto const& transform) {
    if (reads_only) return;
    leaves = pl::compress::leaves_of(transform);
    transform.run(m);
  }
};
void prune_step(kitchen& k, pl::compress::recipe_step const& s);  // prune, sparse_gpt, channels
void train_step(kitchen& k, pl::compress::recipe_step const& s);  // fine_tune, distill, fold
// forms that need no data but int8's: int8, bf16, q8_0, csr, codebook, …
void quantize_step(kitchen& k, pl::compress::recipe_step const& s);
void code_step(kitchen& k, pl::compress::recipe_step const& s);    // gptq, quantize_aware
void factor_step(kitchen& k, pl::compress::recipe_step const& s);  // low_rank, sparse_low_rank, spatial_low_rank
void share_step(kitchen& k, pl::compress::recipe_step const& s);   // share, entropy

// Values of steps, refused with the step's words where they are read.
pl::index_t at_least(pl::compress::recipe_step const& s, std::string const& key, pl::index_t otherwise,
                     pl::index_t least, pl::index_t most = 1000000);
enum class ends { low, high };  // which of 0 and 1 a share may be
double share_of(pl::compress::recipe_step const& s, std::string const& key, double otherwise, ends closed);
double positive(pl::compress::recipe_step const& s, std::string const& key, double otherwise,
                double most = std::numeric_limits<double>::infinity());
pl::compress::n_of_m pattern_of(pl::compress::recipe_step const& s);
std::string group_of(pl::compress::recipe_step const& s);  // columns that share a step: 32, 64 or 128
pl::codec::centroid_start start_of(pl::compress::recipe_step const& s);
std::vector<std::pair<std::string, int>> widths_of(pl::compress::recipe_step const& s);  // "conv*:8 fc3.*:6"

// What finds a range, of weights or of activations, as the step says.
template <class Observer> void choose_observer(pl::compress::recipe_step const& s, Observer& to) {
  auto const observer = s.text("observer", "min_max");
  if (observer == "percentile") to = pl::compress::percentile{positive(s, "percentile", 99.99, 100)};
  else if (observer == "mean_square") to = pl::compress::mean_square{};
  else if (observer == "kl") to = pl::compress::kl_divergence{};
}
// Activations by the samples, if the step says so.
std::optional<pl::compress::static_activations> activations_of(kitchen const& k, pl::compress::recipe_step const& s);

pl::run::fit_options training(options const& o, pl::index_t epochs, double learning_rate);
void write_figures(std::vector<pl::compress::stage> const& stages, std::string const& recipe, double error_after,
                   std::vector<output_norm> const& norms, options const& o, pl::world const& world);
