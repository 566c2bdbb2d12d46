// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Pruning, shared values and entropy coding, as a program: the file that it writes is what runs.
//
//   deep_compression --data DIR --model lenet-300-100 --seed 1 --out out --json figures.json
//   deep_compression --data DIR --evaluate out/compressed.safetensors      in a new process, from the compressed form
#include "../outputs.hpp"
#include "parts.hpp"

namespace {

// report.json may be --json: they say the same.
std::vector<named_file> written_by(options const& o) {
  std::vector<named_file> files;
  if (o.evaluate.empty()) {
    auto const small = compressed_file(o, o.model);
    files = files_in("--out", o.out, {"model.safetensors", "report.svg"});
    files.push_back({o.out.empty() ? "--model" : "--out", small});
    files.push_back({"the new process", evaluation_file(small)});
  }
  files.push_back({"--json", o.json});
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  if (auto const code = parse(argc, argv, o)) return *code;
  return pl::run::launch(argc, argv,
                         [&](pl::world& world) {
                           agree_on_options(world, o.asked);
                           demand_outputs(world, written_by(o), {{"--evaluate", o.evaluate}}, o.out);
                           std::string const network =
                               o.evaluate.empty() ? o.model : pl::run::describe_file(o.evaluate).network;
                           if (network == "lenet-5") run_lenet_5(o, world);
                           else if (network == "lenet-300-100") run_lenet_300_100(o, world);
                           else
                             throw pl::error{"--evaluate", "'" + o.evaluate + "' holds the network '" + network + "'",
                                             "This program knows lenet-300-100 and lenet-5"};
                         },
                         {.thread_ranks = o.thread_ranks, .threads = o.threads});
}
