// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The main job: train a network on any number of ranks, shrink it, save it, load it in another process and run it.
//
//   train_shrink_run --data DIR --epochs 10                 alone
//   mpirun -n 4 train_shrink_run --data DIR                 four processes
//   train_shrink_run --data DIR --thread-ranks 4            four threads
//   train_shrink_run --evaluate out/compressed.safetensors  the compressed model, in a new process
#include <pleat/run/launch.hpp>
#include <pleat/run/model_description.hpp>

#include "../outputs.hpp"
#include "parts.hpp"

namespace {

// report.json may be --json: they say the same.
std::vector<named_file> written_by(options const& o) {
  auto files = files_in("--out", o.out, {"model.safetensors", "compressed.safetensors", "report.svg"});
  files.push_back({"--json", o.json});
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  if (auto const code = parse(argc, argv, o)) return *code;
  return pl::run::launch(argc, argv,
                         [&](pl::world& world) {
                           if (o.timeout > 0 && world.size() > 1) world.comm.set_timeout(o.timeout);
                           agree_on_options(world, o.asked);
                           // not only when there is something to lose
                           demand_outputs(world, written_by(o), {{"--evaluate", o.evaluate}}, o.out);
                           std::string network = o.model;
                           if (!o.evaluate.empty())  // a file that somebody else wrote may not say it: --model does
                             if (auto said = pl::run::describe_file(o.evaluate).network; !said.empty()) {
                               if (o.model_said && said != o.model)
                                 throw pl::error{"--model",
                                                 "'" + o.evaluate + "' is a '" + said + "', not a '" + o.model + "'",
                                                 "Leave out --model: the file says it"};
                               network = said;
                             }
                           auto const data = read_data(o);
                           if (network == "lenet-5") run_lenet_5(network, data, o, world);
                           else run_mlp(network, data, o, world);
                         },
                         {.thread_ranks = o.thread_ranks, .threads = o.threads});
}
