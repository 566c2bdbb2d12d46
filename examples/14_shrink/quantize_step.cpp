// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "network.hpp"

namespace {
template <class Form> void quantize(kitchen& k, pl::compress::recipe_step const& s) {
  k.run(pl::compress::quantize<Form>{.misfit = pl::compress::misfit::ignore, .ignore = s.names("ignore")});
}

void int8(kitchen& k, pl::compress::recipe_step const& s) {
  namespace shrink = pl::compress;
  shrink::quantize<> t{.scales = s.text("scales", "channel") == "tensor" ? shrink::per::tensor : shrink::per::channel, .ignore = s.names("ignore")};
  auto const observer = s.text("observer", "min_max");
  auto const choose = [&](auto& to) {
    if (observer == "percentile") to = shrink::percentile{};
    else if (observer == "mean_square") to = shrink::mean_square{};
    else if (observer == "kl") to = shrink::kl_divergence{};
  };
  if (s.text("activations") == "static") choose(t.activations.emplace(shrink::static_activations{.data = shrink::calibration(k.data.train, k.o.samples)}).observer);
  else choose(t.observer);
  k.run(t);
}
}  // namespace

void quantize_step(kitchen& k, pl::compress::recipe_step const& s) {
  namespace codec = pl::codec;
  auto const& word = s.word->name;
  if (word == "int8") int8(k, s);
  else if (word == "bf16") quantize<codec::bf16<float>>(k, s);
  else if (word == "q8_0") quantize<codec::q8_0<float>>(k, s);
  else if (word == "int4") quantize<codec::int4<float, 32>>(k, s);
  else if (word == "q4_K") k.run(pl::compress::quantize<codec::q4_k<float>, codec::q4_0<float>>{.misfit = pl::compress::misfit::next, .ignore = s.names("ignore")});
  else if (word == "q4_0") quantize<codec::q4_0<float>>(k, s);
  else if (word == "bitmask") quantize<codec::bitmask<float>>(k, s);
  else quantize<codec::csr<float>>(k, s);
}
