// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The file of a model that was made over a mesh: what tests compare with the file of one rank.
#pragma once

#include <pleat/parallel/tensor_recipe.hpp>

#include <compress/compress_support.hpp>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace compress_test {

struct mesh {
  int data = 1, tensor = 1, stages = 1, state = 0;
  [[nodiscard]] int ranks() const { return data * tensor * stages; }
};
inline pleat::plan::plan plan_of(mesh const& l) {
  pleat::plan::plan p;
  p.global_batch = 16;
  p.data_ranks = l.data;
  p.tensor_ranks = l.tensor;
  p.pipeline_ranks = l.stages;
  p.state_stage = l.state;
  p.deterministic = true;
  return p;
}
/// network(): fc1 is cut by rows, fc2 by columns.
inline auto build_on(pleat::world& w, mesh const& l, std::uint64_t seed = 3) {
  namespace par = pleat::parallel;
  return par::build(par::tensor_parallel(network(), {par::column("fc1.*"), par::row("fc2.*")}), plan_of(l), w,
                    {.seed = seed});
}

/// The bytes of the model's file, as rank 0 of the mesh writes it. \param make make(world&) gives the model, on every
/// rank
template <class Make> std::vector<char> file_over(mesh const& l, Make const& make) {
  auto const path =
      (std::filesystem::temp_directory_path() / ("pleat_mesh_test_" + std::to_string(::getpid()))).string();
  pleat::comm::run_local(l.ranks(), [&](pleat::comm::communicator c) {
    pleat::world w(std::move(c), 1);
    w.set_sink({});
    w.comm.set_timeout(60);
    pleat::run::save(make(w), path);
  });
  std::ifstream in(path, std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
  in.close();
  std::filesystem::remove(path);
  return bytes;
}
/// The file as a reader has it.
inline pleat::io::safetensors_file opened(std::vector<char> const& bytes) {
  auto const* const b = reinterpret_cast<std::byte const*>(bytes.data());
  return pleat::io::safetensors_file(std::vector<std::byte>(b, b + bytes.size()));
}

}  // namespace compress_test
