// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A data set from a safetensors file: `inputs` with `labels`, or with `targets`. numpy and PyTorch write such a file in
/// one call. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/io/dataset.hpp>
#include <pleat/io/safetensors.hpp>

namespace pleat::io {

/// How the inputs of a file become the network's, and how many classes there are.
struct dataset_spec {
  int classes = 0;      ///< 0: one more than the largest label
  float mean = 0;       ///< of what is stored: bytes, or floats
  float deviation = 1;  ///< of what is stored
};

namespace detail {

template <class Label>
void append_labels(safetensors_file const& file, tensor_entry const& e, std::string const& call, int classes,
                   std::vector<std::int32_t>& out) {
  std::vector<Label> raw(static_cast<std::size_t>(e.shape.size()));
  file.copy<Label>(e.name, raw);
  for (std::size_t i = 0; i < raw.size(); ++i) {
    auto const label = static_cast<std::int64_t>(raw[i]);
    if (label < 0 || label >= (classes > 0 ? classes : 1 << 30))
      throw error{call,
                  "label " + std::to_string(label) + " of sample " + std::to_string(i) + ", expected 0 to " +
                      std::to_string((classes > 0 ? classes : 1 << 30) - 1),
                  "Mend the file, or state more classes"};
    out.push_back(static_cast<std::int32_t>(label));
  }
}

/// The floats of a tensor where the mapped file has them; copied only where they do not lie on multiples of four bytes.
PLEAT_ONCE [[nodiscard]] shared_array<float> floats_of(std::shared_ptr<safetensors_file const> const& file,
                                                       tensor_entry const& e) {
  auto const bytes = file->bytes(e);
  auto const n = static_cast<std::size_t>(e.shape.size());
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(float) == 0)
    return {file, std::span<float const>(reinterpret_cast<float const*>(bytes.data()), n)};
  std::vector<float> copy(n);
  if (n > 0) std::memcpy(copy.data(), bytes.data(), bytes.size());
  return copy;
}

PLEAT_LAZY [[nodiscard]] inline extents without_first(extents const& e) {
  return extents(std::span<index_t const>(e.begin() + 1, e.end()));
}

}  // namespace detail

/// The data set of a safetensors file. It has `inputs` [n, sample…], F32 or U8, and either `labels` [n], U8, I32 or I64,
/// or `targets` [n] or [n, target…], F32; other tensors are not looked at. Floats stay in the mapped file, so every
/// process has in memory what its batches touch, and processes of one node share it; the file must not change meanwhile.
///
///     safetensors.numpy.save_file({"inputs": x, "targets": y}, "flow.safetensors")     # Python; float32
///     auto const flow = io::read_dataset("flow.safetensors", {.mean = 0.3f, .deviation = 2});
///
/// \throws error with the path: a tensor that is missing or of another type, counts that differ, a label out of range,
/// no samples, a deviation that is not a positive number
PLEAT_ONCE [[nodiscard]] dataset read_dataset(std::string const& path, dataset_spec const& spec = {}) {
  auto const call = detail::call_on("read_dataset", path);
  auto const refuse = [&](std::string problem, char const* remedy) { throw error{call, std::move(problem), remedy}; };
  constexpr char const* layout =
      "Write inputs (F32 or U8) [n, ...] with labels (U8, I32 or I64) [n], or with targets (F32) [n, ...]";
  if (spec.classes < 0)
    refuse(std::to_string(spec.classes) + " classes are asked for", "Say how many, or 0 for the file's own number");
  if (!(spec.deviation > 1e-30f) || !(spec.deviation < 1e30f) || !(spec.mean > -1e30f && spec.mean < 1e30f))
    refuse("the mean is " + std::to_string(spec.mean) + " and the deviation " + std::to_string(spec.deviation) +
               ", expected a finite mean and a deviation above 0",
           "Leave out what shall not be scaled: mean 0, deviation 1");
  auto const file = std::make_shared<safetensors_file const>(path);
  auto const* const inputs = file->find("inputs");
  auto const* const labels = file->find("labels");
  auto const* const targets = file->find("targets");
  auto const said = [](tensor_entry const& e) {
    return "'" + e.name + "' is " + std::string(name_of(e.type)) + " " + e.shape.to_string();
  };
  if (!inputs || !labels == !targets)
    refuse(!inputs  ? "there is no tensor 'inputs'"
           : labels ? "there are both 'labels' and 'targets'"
                    : "there is neither 'labels' nor 'targets'",
           layout);
  if ((inputs->type != dtype::f32 && inputs->type != dtype::u8) || inputs->shape.rank() < 2)
    refuse(said(*inputs), layout);
  if (inputs->shape.size() == 0) refuse(said(*inputs) + ": no samples", "Write at least one sample");
  auto const& judged = labels ? *labels : *targets;
  if (judged.shape.rank() < 1 || judged.shape[0] != inputs->shape[0])
    refuse(said(*inputs) + ", " + said(judged) + ": the counts of samples differ", layout);

  dataset d;
  d.name = path;
  d.size = inputs->shape[0];
  d.sample = detail::without_first(inputs->shape);
  d.mean = spec.mean;
  d.scale = 1 / spec.deviation;
  if (inputs->type == dtype::f32) {
    d.values = detail::floats_of(file, *inputs);
  } else {
    d.pixels.resize(static_cast<std::size_t>(inputs->shape.size()));
    file->copy<std::uint8_t>("inputs", d.pixels);
  }
  if (targets) {
    if (targets->type != dtype::f32 || targets->shape.size() == 0) refuse(said(*targets), layout);
    d.target = targets->shape.rank() == 1 ? extents{1} : detail::without_first(targets->shape);
    d.targets = detail::floats_of(file, *targets);
    return d;
  }
  if (labels->shape.rank() != 1) refuse(said(*labels), layout);
  if (labels->type == dtype::u8) detail::append_labels<std::uint8_t>(*file, *labels, call, spec.classes, d.labels);
  else if (labels->type == dtype::i32)
    detail::append_labels<std::int32_t>(*file, *labels, call, spec.classes, d.labels);
  else if (labels->type == dtype::i64)
    detail::append_labels<std::int64_t>(*file, *labels, call, spec.classes, d.labels);
  else refuse(said(*labels), layout);
  d.classes = spec.classes > 0 ? spec.classes : 1 + *std::max_element(d.labels.begin(), d.labels.end());
  return d;
}

}  // namespace pleat::io
