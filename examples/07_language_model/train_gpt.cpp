// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A language model of characters, trained on any mesh of ranks:
//
//   train_gpt --data input.txt --steps 1000                                                       alone
//   mpirun -n 4 train_gpt --data input.txt --mesh data=2,pipeline=2 --micro-batches 4             four processes
//   train_gpt --data input.txt --thread-ranks 4 --mesh pipeline=4 --schedule zb-h1 --batch 8 …    four threads
//   sample CHECKPOINTS --prompt "First Citizen:"                                                  what it has learned
#include <pleat/run/launch.hpp>

#include "options.hpp"
#include "train.hpp"
#include "words.hpp"

int main(int argc, char** argv) {
  gpt::options o;
  if (auto const code = gpt::parse(argc, argv, o)) return *code;
  auto const train = o.precision == "bf16" ? gpt::train_bf16 : o.precision == "f16" ? gpt::train_f16 : gpt::train_f32;
  return pleat::run::launch(argc, argv,
                            [&](pleat::world& world) {
                              try {
                                train(o, world);
                              } catch (pleat::error const& e) {
                                throw gpt::in_options(e);
                              }
                            },
                            {.thread_ranks = o.thread_ranks, .threads = o.threads});
}
