// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The words that the program knows.
#pragma once

#include <pleat/compress/recipe.hpp>

inline std::vector<pleat::compress::recipe_word> const& known_words() {
  static std::vector<pleat::compress::recipe_word> const words{
      {.name = "prune", .keys = {"sparsity", "scope", "ignore", "by", "pattern", "steps", "epochs"}, .required = {}, .says = "what matters least becomes zero: a sparsity (0.9), or a pattern 2:4; scope global (the default), layer or row; by magnitude, taylor, wanda or movement (which trains for epochs); steps: a cubic schedule of so many, with epochs (1) of training between them", .masks = true,
       .choices = {{"scope", {"global", "layer", "row"}}, {"by", {"magnitude", "taylor", "wanda", "movement"}}}},
      {.name = "sparse_gpt", .keys = {"sparsity", "ignore", "pattern"}, .required = {}, .says = "pruning that looks at samples and changes the survivors: a sparsity, or a pattern 2:4", .masks = true},
      {.name = "channels", .keys = {"multiply_adds"}, .required = {"multiply_adds"}, .says = "units and channels go until this share of the multiply-adds is left", .resizes = true},
      {.name = "fine_tune", .keys = {"epochs", "learning_rate"}, .required = {}, .says = "trains on; zeros stay zeros, what is encoded stays as it is", .trains = true},
      {.name = "distill", .keys = {"epochs", "temperature", "hard_weight", "learning_rate"}, .required = {}, .says = "trains on what the file's own model says", .trains = true},
      {.name = "int8", .keys = {"ignore", "scales", "activations", "observer"}, .required = {}, .says = "8 bits; scales per channel (the default) or tensor; activations dynamic (the default) or static, by samples; observer min_max (the default), percentile, mean_square or kl of what is static, else of rows", .encodes = true, .takes_every = true,
       .choices = {{"scales", {"channel", "tensor"}}, {"activations", {"dynamic", "static"}}, {"observer", {"min_max", "percentile", "mean_square", "kl"}}}},
      {.name = "bf16", .keys = {"ignore"}, .required = {}, .says = "16 bits, float's exponents", .encodes = true, .takes_every = true},
      {.name = "f16", .keys = {"ignore"}, .required = {}, .says = "16 bits, three more of them behind the point; refused above 65504", .encodes = true, .takes_every = true},
      {.name = "q8_0", .keys = {"ignore"}, .required = {}, .says = "ggml's blocks of 32; weights whose columns they do not divide stay as they are", .encodes = true},
      {.name = "q4_0", .keys = {"ignore"}, .required = {}, .says = "the same in 4 bits", .encodes = true},
      {.name = "q4_1", .keys = {"ignore"}, .required = {}, .says = "the same with a minimum: zeros need not stay zero", .encodes = true},
      {.name = "q5_0", .keys = {"ignore"}, .required = {}, .says = "the same in 5 bits", .encodes = true},
      {.name = "q5_1", .keys = {"ignore"}, .required = {}, .says = "the same with a minimum", .encodes = true},
      {.name = "q4_K", .keys = {"ignore"}, .required = {}, .says = "ggml's super-blocks of 256 in 4 bits; q4_0 where only 32 divide the columns", .encodes = true},
      {.name = "q6_K", .keys = {"ignore"}, .required = {}, .says = "ggml's super-blocks of 256 in 6 bits; q8_0 where only 32 divide the columns", .encodes = true},
      {.name = "int4", .keys = {"ignore", "group"}, .required = {}, .says = "4 bits, a scale for every group of 32 (the default), 64 or 128 columns; the next smaller group where one does not divide the columns, and what 32 does not divide stays as it is", .encodes = true, .choices = {{"group", {"32", "64", "128"}}}},
      {.name = "gptq", .keys = {"form", "actorder", "ignore"}, .required = {}, .says = "codes that make up for each other's errors on samples; form int4 (the default), q8_0, q4_0 or int8, and int8 where 32 does not divide the columns", .encodes = true, .takes_every = true, .choices = {{"form", {"int8", "int4", "q8_0", "q4_0"}}}},
      {.name = "quantize_aware", .keys = {"form", "epochs", "learning_rate", "ignore"}, .required = {}, .says = "trains with the codes of form int8 (the default), int4, q8_0 or q4_0; that form comes next", .trains = true, .trains_codes = true, .choices = {{"form", {"int8", "int4", "q8_0", "q4_0"}}}},
      {.name = "bitmask", .keys = {"ignore"}, .required = {}, .says = "survivors of pruned weights and a bit for every element", .encodes = true, .takes_every = true},
      {.name = "csr", .keys = {"ignore"}, .required = {}, .says = "survivors of pruned weights in compressed rows", .encodes = true, .takes_every = true},
      {.name = "block_1x4", .keys = {"ignore"}, .required = {}, .says = "survivors of pruned weights, four neighbours at a time where one of them is left", .encodes = true},
      {.name = "n_m", .keys = {"pattern", "ignore"}, .required = {}, .says = "2:4 (the default), 1:4 or 4:8 of the columns, the largest; of weights that were pruned so, exactly those", .encodes = true, .choices = {{"pattern", {"2:4", "1:4", "4:8"}}}},
      {.name = "codebook", .keys = {"num_bits", "start", "rows", "ignore"}, .required = {}, .says = "2^num_bits (4) values per weight, or per so many rows, found by k-means from start linear (the default), density or random; a code for every element", .encodes = true, .takes_every = true, .choices = {{"start", {"linear", "density", "random"}}}},
      {.name = "low_rank", .keys = {"energy", "rank", "error", "budget", "evbmf", "samples", "ignore"}, .required = {}, .says = "two thin factors; one rule: energy (0.9), rank, error, budget, or evbmf=1; samples=1: outputs count", .encodes = true, .fills_zeros = true},
      {.name = "sparse_low_rank", .keys = {"share", "rank", "ignore"}, .required = {"share", "rank"}, .says = "the largest share stays as it is, two thin factors for the rest", .encodes = true},
      {.name = "spatial_low_rank", .keys = {"energy", "rank", "error", "budget", "ignore"}, .required = {}, .says = "kernels of convolutions become pairs of h x 1 and 1 x w; one rule: energy (0.9), rank, error or budget", .encodes = true, .fills_zeros = true},
      {.name = "share", .keys = {"num_bits", "epochs", "learning_rate", "ignore", "rows"}, .required = {}, .says = "2^num_bits (4) values per weight, or per so many rows; epochs: trains them", .encodes = true, .shares = true, .takes_every = true},
      {.name = "entropy", .keys = {"index_bits"}, .required = {}, .says = "shared values in Huffman codes or by a range coder; index_bits: 2 to 8 of a relative index (the default: what is smallest)", .encodes = true, .needs_shared = true},
  };
  return words;
}
