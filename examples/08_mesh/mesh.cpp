// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A model over a mesh: samples dealt over its data axis, weights cut over tensor, layers over pipeline.
//
//   mesh                                        one rank
//   mesh --thread-ranks 4 data=2,tensor=2       four ranks as threads of one process
//   mesh --thread-ranks 4 pipeline=2,tensor=2   an axis that is not named has one rank, data those that are left
//   mesh --thread-ranks 8 data=2,tensor=2,pipeline=2,order=data.pipeline.tensor     who lies where: outermost first
//   mpirun -n 6 mesh 'data=*,tensor=3'          six processes; * is what is left of the ranks
#include <pleat/pleat.hpp>

#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "../left_over.hpp"

namespace pl = pleat;
namespace nn = pleat::nn;

int main(int argc, char** argv) {
  return pl::run::launch(argc, argv, [&](pl::world& world) {
    std::string text,
        usage = "mesh [--thread-ranks N] [--threads N] [data=a,tensor=b,pipeline=c[,order=pipeline.data.tensor]]";
    for (int i = 1; i < argc; ++i)
      if (std::strcmp(argv[i], "--help") == 0) return world.say(usage);
    refuse_left_over(argc, argv, "mesh", usage, [&](std::string_view argument) {
      bool const takes = text.empty() && !argument.starts_with('-') && argument.find('=') != argument.npos;
      if (takes) text = argument;
      return takes;
    });
    // [mesh]
    auto const mesh = pl::plan::model_mesh(text, world.size());
    // An ordinary network, and words for where its weights live: fc1 by outputs, fc2 by inputs, the classes by outputs.
    // Any number of ranks will do, 96 and 10 need not divide by it.
    auto const net = pl::parallel::tensor_parallel(
        nn::sequential(nn::flatten(), nn::linear("fc1", 64, 96), nn::gelu(), nn::linear("fc2", 96, 64),
                       nn::layer_norm("norm", 64), nn::dropout("drop", 0.1), nn::linear("classes", 64, 10)),
        {pl::parallel::column("fc1.*"), pl::parallel::row("fc2.*"), pl::parallel::column("classes.*")});

    pl::plan::plan plan{.global_batch = 32};
    plan.set_mesh(mesh);
    plan.micro_batches = plan.pipeline_ranks > 1 ? 4 : 1;
    auto model = pl::parallel::build(net, plan, world);

    auto const data = pl::io::load_digits(PLEAT_DIGITS);
    auto const trained =
        pl::run::fit(model, data.train,
                     {.epochs = 8, .optimizer = nn::adamw{.learning_rate = 3e-3}, .clip_norm = 5, .progress = false});
    model.demand_equal_replicas();
    auto const e = pl::run::evaluate(model, data.test);
    // [mesh]
    pl::index_t here = 0, whole = 0;
    nn::for_each_parameter(model.net(),
                           [&](nn::parameter const& w) { here += w.absent ? 0 : w.size(), whole += w.whole().size(); });
    char line[200];
    std::snprintf(line, sizeof line, "%s: %d of %d parameters on rank 0, test error %.2f %%, last loss %.3f",
                  mesh.to_string().c_str(), static_cast<int>(here), static_cast<int>(whole), 100 * e.error(),
                  trained.epoch_loss.back());
    world.say(line);
    if (e.error() > 0.08)
      throw pl::error{"mesh", "it has not learned: test error " + std::to_string(e.error()),
                      "Look at what the layers of this mesh exchange: without a mesh it learns"};
  });
}
