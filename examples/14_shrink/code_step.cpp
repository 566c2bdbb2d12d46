// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/gptq.hpp>
#include <pleat/compress/quantize_aware.hpp>

#include "network.hpp"

namespace {

namespace shrink = pl::compress;
using int8 = pl::codec::int8<float>;
using int4 = pl::codec::int4<float, 32>;
using q8_0 = pl::codec::q8_0<float>;
using q4_0 = pl::codec::q4_0<float>;

template <class Form> void train_codes(kitchen& k, shrink::recipe_step const& s) {
  k.run(shrink::quantize_aware<Form>{
      .train = shrink::fine_tune(k.data.train,
                                 training(k.o, at_least(s, "epochs", 3, 1), positive(s, "learning_rate", 5e-4))),
      .misfit = shrink::misfit::ignore,
      .ignore = s.names("ignore")});
}

}  // namespace

void code_step(kitchen& k, shrink::recipe_step const& s) {
  bool const gptq = s.word->name == "gptq";
  auto const form = s.text("form", gptq ? "int4" : "int8");
  if (gptq)
    return k.run(shrink::gptq<int4, q4_0, q8_0, int8>{
        .data = shrink::calibration(k.data.train, k.o.samples),
        .actorder = s.flag("actorder") ? shrink::act_order::static_groups : shrink::act_order::natural,
        .forms = {{"*", form == "int4" ? "int4_g32" : form}},
        .misfit = shrink::misfit::next,
        .ignore = s.names("ignore")});
  if (form == "int8") train_codes<int8>(k, s);
  else if (form == "int4") train_codes<int4>(k, s);
  else if (form == "q8_0") train_codes<q8_0>(k, s);
  else train_codes<q4_0>(k, s);
}
