// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What model.walk says to a source that is none. As it stands the source is complete and the minimal model.
#include <pleat/nn/linear.hpp>
#include <pleat/parallel/model.hpp>

using net = pleat::nn::linear<>;
using model = pleat::parallel::model<net>;
using tensor = pleat::nn::tensor_of<net>;

struct source {
#if !defined(WRONG_1)
  tensor input(pleat::parallel::micro_batch const&) { return {}; }
#endif
#if defined(WRONG_2)
  void loss(pleat::parallel::micro_batch const&, tensor) {}
#else
  tensor loss(pleat::parallel::micro_batch const&, tensor y) { return y; }
#endif
};

// expect: pleat: the source of a step needs 'tensor input\(parallel::micro_batch const&\)'
// expect: pleat: the source of a step needs 'tensor loss\(parallel::micro_batch const&, tensor y\)'
void use(model& m) { m.walk(source{}); }
