// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A user's whole program: trains, shrinks, reports and saves. scripts/kernels_time.sh says what it costs to compile.
// train DIGITS FILE
#include <pleat/pleat.hpp>

#include <cstdio>
#include <string>

namespace pl = pleat;

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "train: name the folder of the digits and the file to write\n");
    return 2;
  }
  std::string const digits = argv[1], file = argv[2];
  return pl::run::launch(argc, argv, [&](pl::world& world) {
    auto data = pl::io::load_digits(digits);
    auto net = pl::nn::sequential(pl::nn::flatten(), pl::nn::linear("fc1", 64, 300), pl::nn::relu(),
                                  pl::nn::linear("fc2", 300, 10));
    auto model = pl::parallel::build(net, pl::plan::search(net, world, {.global_batch = 64}), world, {.seed = 1});
    auto train = pl::run::fit_options{.epochs = 2, .optimizer = pl::nn::adamw{.learning_rate = 3e-3}};
    pl::run::fit(model, data.train, train);
    auto small = model | (pl::compress::prune{.sparsity = 0.9} | pl::compress::fine_tune(data.train, train) |
                          pl::compress::quantize<>{});
    pl::compress::report(model, small, data.test);
    pl::run::save(small, file);
  });
}
