// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <algorithm>

#include "network.hpp"
#include "words.hpp"

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
  t.activations = activations_of(k, s);
  if (!t.activations) choose_observer(s, t.observer);
  k.run(t);
}

// A pattern that has no form of its own: prune to it, then a bit for every element and what is left. Weights that are
// encoded already, or whose columns it does not divide, stay as they are.
void other_pattern(kitchen& k, pl::compress::recipe_step const& s, pl::compress::n_of_m pattern, quantize t) {
  auto const ignored = t.ignore;
  auto left = s.text("ignore");
  bool any = k.reads_only;
  if (!k.reads_only)
    pl::nn::for_each_parameter(k.m.net(), [&](auto const& w) {
      if (w.whole().rank() < 2 ||
          std::any_of(ignored.begin(), ignored.end(), [&](auto const& name) { return pl::nn::matches(name, w.name); }))
        return;
      if (!w.trainable()) {
        left += " " + w.name;
        return k.m.say("'" + s.to_string() + "' left '" + w.name + "': it is encoded already");
      }
      auto const columns = codec::columns_of(w.whole());
      any = any || columns % pattern.m == 0;
      if (columns % pattern.m == 0) return;
      left += " " + w.name;
      k.m.say("'" + s.to_string() + "' left '" + w.name + "' as it is: " + std::to_string(pattern.m) +
              " does not divide its " + std::to_string(columns) + " columns");
    });
  if (!any)
    throw pl::error{"compress::recipe", "'" + s.to_string() + "' fits no weight",
                    "Choose an m that divides the columns of some weight that is not encoded yet"};
  auto const& words = known_words();
  auto const prune = std::find_if(words.begin(), words.end(), [](auto const& w) { return w.name == "prune"; });
  pl::compress::recipe_step const first{&*prune, {{"pattern", s.text("pattern")}, {"ignore", left}}};
  prune_step(k, first);
  t.forms = {{"*", "bitmask"}};
  t.ignore = first.names("ignore");
  k.run(t);
  k.leaves = pl::compress::error_kind::measured;  // of the two together nobody promises anything
}

}  // namespace

void quantize_step(kitchen& k, pl::compress::recipe_step const& s) {
  auto const& word = s.word->name;
  auto form = word == "int4" ? "int4_g" + group_of(s) : word;
  pl::compress::n_of_m pattern{2, 4};
  if (word == "n_m") {
    if (s.has("pattern")) pattern = pattern_of(s);
    form = std::to_string(pattern.n) + ":" + std::to_string(pattern.m);
  }
  bool const has_form = word != "n_m" || form == "2:4" || form == "1:4" || form == "4:8";
  quantize t;
  t.forms.push_back({"*", form});
  t.misfit = word.ends_with("_K") || word == "int4" ? pl::compress::misfit::next : pl::compress::misfit::ignore;
  t.ignore = s.names("ignore");
  if (!has_form) return other_pattern(k, s, pattern, std::move(t));
  if (word == "int8") return int8(k, s, std::move(t));
  if (word == "codebook") {
    t.codebook.entries = 1 << at_least(s, "num_bits", 4, 1, 8);
    t.codebook.rows_per_group = at_least(s, "rows", 0, 0);
    t.codebook.start = start_of(s);
  }
  k.run(t);
}
