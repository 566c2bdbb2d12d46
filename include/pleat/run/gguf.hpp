// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Models as GGUF files, and from files of either format: every parameter in the form it has, readable by ggml where
/// that is a block type. A program that includes this header says GGUF; the others do not compile it.
#pragma once

#include <string>

#include <pleat/io/weight_file.hpp>
#include <pleat/run/model_file.hpp>

namespace pleat::run {

/// Writes the model as run::save does, as GGUF. Block types (q8_0, q4_0, …, q6_K) are ggml's own tensors; other forms
/// are tensors that only pleat understands.
/// \param architecture  what the format wants to know of every file; llama.cpp runs those that it knows, with its own
/// names of tensors
template <class T, class Space>
void save_gguf(parallel::any_model<T, Space> const& m, std::string const& path, std::string const& architecture,
               model_description const& about = {}, file_options const& how = {}) {
  detail::demand_dense_type("run::save_gguf", how);
  if (m.plan().state_stage == 3) return save_gguf(m.unsharded(), path, architecture, about, how);
  auto const image = detail::image_of(m, about, how);
  comm::on_root(m.all_ranks(), [&] {
    io::gguf_writer writer(architecture);
    detail::put_image(about, image, writer);
    writer.write(path);
  });
}

/// What an opened file of either format says about its model. \throws error for an entry that cannot be understood
[[nodiscard]] inline model_description describe_file(io::weight_file const& file,
                                                     std::string const& call = "run::describe_file") {
  return describe_file(file.weights(), file.metadata(), call);
}

/// Gives the model the parameters and forms of an opened file of either format: run::load(model,
/// io::weight_file(path)).
/// \throws error as run::load does
template <class T, class Space>
model_description load(parallel::any_model<T, Space>& m, io::weight_file const& file,
                       std::string const& call = "run::load") {
  return load(m, file.weights(), file.metadata(), call);
}

}  // namespace pleat::run
