// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/gptq.hpp>
#include <pleat/compress/quantize_aware.hpp>

#include "network.hpp"

namespace {

namespace codec = pl::codec;
namespace shrink = pl::compress;
using int8 = codec::int8<float>;
// One transform for all forms; where the blocks of one do not divide a weight's columns, the next that fits is taken.
using gptq = shrink::gptq<codec::q4_1<float>, codec::q5_0<float>, codec::q5_1<float>, codec::q6_k<float>,
                          codec::q8_0<float>, codec::q4_k<float>, codec::q4_0<float>, codec::int4<float, 128>,
                          codec::int4<float, 64>, codec::int4<float, 32>, int8>;

// The name of the form that a step says, as files have it.
std::string form_of(shrink::recipe_step const& s, char const* otherwise) {
  auto const form = s.text("form", otherwise);
  return form == "int4" ? "int4_g" + group_of(s) : form;
}

template <class Form> void train_codes(kitchen& k, shrink::recipe_step const& s) {
  shrink::quantize_aware<Form> t{
      .train = shrink::fine_tune(k.data.train,
                                 training(k.o, at_least(s, "epochs", 3, 1), positive(s, "learning_rate", 5e-4))),
      .steps = s.text("steps") == "largest" ? shrink::step_rule::largest : shrink::step_rule::learned,
      .misfit = shrink::misfit::ignore,
      .ignore = s.names("ignore")};
  if constexpr (std::is_same_v<Form, int8>) t.activations = activations_of(k, s);
  k.run(t);
}

}  // namespace

void code_step(kitchen& k, shrink::recipe_step const& s) {
  if (s.word->name == "gptq")
    return k.run(gptq{.data = k.sampled(),
                      .dampening_frac = positive(s, "dampening", 0.01),
                      .actorder = s.flag("actorder") ? shrink::act_order::static_groups : shrink::act_order::natural,
                      .forms = {{"*", form_of(s, "int4")}},
                      .misfit = shrink::misfit::next,
                      .ignore = s.names("ignore"),
                      .on_layer = [&](shrink::gptq_result const& r) {
                        k.norms.push_back({s.to_string(), r.name + ": " + r.form, r.loss, r.rounding});
                      }});
  auto const form = form_of(s, "int8");
  if (form == "int8") train_codes<int8>(k, s);
  else if (form == "int4_g32") train_codes<codec::int4<float, 32>>(k, s);
  else if (form == "int4_g64") train_codes<codec::int4<float, 64>>(k, s);
  else if (form == "int4_g128") train_codes<codec::int4<float, 128>>(k, s);
  else if (form == "q8_0") train_codes<codec::q8_0<float>>(k, s);
  else if (form == "q5_0") train_codes<codec::q5_0<float>>(k, s);
  else train_codes<codec::q4_0<float>>(k, s);
}
