// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "network.hpp"

namespace {

namespace codec = pl::codec;
// One transform for all, so that each form is compiled once; which one it is, a step says by name. Where 256 does not
// divide the columns of a weight, the next that fits is taken: of super-blocks the blocks of 32 behind them, of groups
// the smaller ones.
using quantize = pl::compress::quantize<codec::int8<float>, codec::bf16<float>, codec::f16<float>, codec::q4_1<float>,
                                        codec::q5_0<float>, codec::q5_1<float>, codec::csr<float>,
                                        codec::bitmask<float>, codec::block_sparse<float, 4>, codec::n_m<float, 2, 4>,
                                        codec::n_m<float, 1, 4>, codec::n_m<float, 4, 8>, codec::codebook<float>,
                                        codec::q6_k<float>, codec::q8_0<float>, codec::q4_k<float>, codec::q4_0<float>,
                                        codec::int4<float, 128>, codec::int4<float, 64>, codec::int4<float, 32>>;

void int8(kitchen& k, pl::compress::recipe_step const& s, quantize t) {
  namespace shrink = pl::compress;
  t.scales = s.text("scales", "channel") == "tensor" ? shrink::per::tensor : shrink::per::channel;
  auto const observer = s.text("observer", "min_max");
  auto const choose = [&](auto& to) {
    if (observer == "percentile") to = shrink::percentile{positive(s, "percentile", 99.99, 100)};
    else if (observer == "mean_square") to = shrink::mean_square{};
    else if (observer == "kl") to = shrink::kl_divergence{};
  };
  if (s.text("activations") == "static")
    choose(t.activations.emplace(shrink::static_activations{.data = shrink::calibration(k.data.train, k.o.samples)})
               .observer);
  else choose(t.observer);
  k.run(t);
}

}  // namespace

void quantize_step(kitchen& k, pl::compress::recipe_step const& s) {
  auto const& word = s.word->name;
  auto const form = word == "int4" ? "int4_g" + group_of(s) : word == "n_m" ? s.text("pattern", "2:4") : word;
  quantize t;
  t.forms.push_back({"*", form});
  t.misfit = word.ends_with("_K") || word == "int4" ? pl::compress::misfit::next : pl::compress::misfit::ignore;
  t.ignore = s.names("ignore");
  if (word == "int8") return int8(k, s, std::move(t));
  if (word == "codebook") {
    t.codebook.entries = 1 << at_least(s, "num_bits", 4, 1, 8);
    t.codebook.rows_per_group = at_least(s, "rows", 0, 0);
    t.codebook.start = start_of(s);
  }
  k.run(t);
}
