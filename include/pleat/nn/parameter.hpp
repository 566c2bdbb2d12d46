// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a model's parts learn: a name, a shape, where the values and gradients live. Not a template, so that buckets,
/// optimizers and checkpoints are compiled once. Needs no Kokkos.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/tensor/axis_layout.hpp>
#include <pleat/tensor/dtype.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::nn {

/// How first values are drawn; element i of parameter `name` depends on (seed, name, i) alone, never on ranks or
/// placement.
struct initializer {
  enum class kind : std::uint8_t { constant, uniform, normal };
  kind draw = kind::constant;
  /// constant: the value; uniform: the bound b of [−b, b); normal: the standard deviation around 0.
  double value = 0;

  [[nodiscard]] static constexpr initializer constant(double v) noexcept { return {kind::constant, v}; }
  [[nodiscard]] static constexpr initializer uniform(double bound) noexcept { return {kind::uniform, bound}; }
  [[nodiscard]] static constexpr initializer normal(double deviation) noexcept { return {kind::normal, deviation}; }
  /// U(−1/√fan_in, 1/√fan_in), PyTorch's default for linear and convolution.
  [[nodiscard]] static initializer fan_in_uniform(index_t fan_in) {
    return uniform(1.0 / std::sqrt(static_cast<double>(fan_in > 0 ? fan_in : 1)));
  }
  /// N(0, 2/fan_in): He et al., "Delving deep into rectifiers", ICCV 2015.
  [[nodiscard]] static initializer he_normal(index_t fan_in) {
    return normal(std::sqrt(2.0 / static_cast<double>(fan_in > 0 ? fan_in : 1)));
  }
};

/// What gradients, moments and master values of T are kept in: T itself, float for the 16-bit types.
template <class T> using master_t = wide_t<T>;

/// What happens to a parameter in a step.
enum class parameter_kind : std::uint8_t {
  trainable,  ///< moved by the optimizer against its gradient
  /// a running average: its "gradient" is the batch's value, weighted by samples and summed over ranks like a gradient
  statistic,
  /// a further use of a tied parameter: a gradient only, which is added to its owner's when all are complete
  use
};

/// How often a parameter's gradient has been written since the pass began. Shared by tied parameters (it lives in the
/// arena).
struct gradient_use {
  int expected = 1;  ///< uses per backward pass: 2 for a weight that is tied once
  int done = 0;
  bool addend = false;  ///< every rank of the tensor axis has an addend of it: `parallel` sums them
};

/// One named array of a model. A layer's weights derive from it.
class parameter {
 public:
  parameter() = default;
  PLEAT_LAZY parameter(std::string name, extents shape, dtype type, initializer init,
                       parameter_kind kind = parameter_kind::trainable)
      : name(std::move(name)), shape(shape), type(type), init(init), kind(kind) {}

  std::string name;  ///< path, e.g. "block.3.fc1.weight"
  extents shape;     ///< extents; once build has cut it along the tensor axis, of this rank's part
  dtype type = dtype::f32;
  initializer init;
  parameter_kind kind = parameter_kind::trainable;  ///< trained, a statistic, …
  bool requires_grad = true;                        ///< false: frozen (gradients still flow through it)
  bool held_by_form = false;  ///< frozen for no other reason than that the form in use cannot be trained
  std::string tied_to;        ///< name of the parameter whose memory this one shares, or empty
  int form = 0;               ///< which member of the weight's form set is in use
  bool in_arena = true;       ///< false if the form in use keeps its numbers itself (an encoded form)
  /// lives on another pipeline stage: described here, never materialised, its layer never called
  bool absent = false;

  // Where it lives along the tensor axis: words that a recipe sets, numbers that build sets.
  axis_placement where{};  ///< of its elements
  /// where the results of products with it are brought; replicate: no wish, a sum is completed everywhere
  axis_placement leaves{};
  extents global_shape;     ///< of all ranks' parts together; rank 0 until build has cut it
  int part = 0, parts = 1;  ///< which part `shape` is, and of how many

  /// Extents over all ranks.
  [[nodiscard]] extents const& whole() const noexcept { return parts > 1 ? global_shape : shape; }
  /// The indices that this rank holds: what a file or another layout needs to know. Row-major in memory, as the whole
  /// is.
  PLEAT_LAZY [[nodiscard]] index_box box() const { return box(part); }
  /// The indices that rank `r` of the tensor axis holds.
  PLEAT_LAZY [[nodiscard]] index_box box(int r) const {
    index_box b(whole());
    if (parts > 1 && where.shards()) b[where.dim] = block_range(global_shape[where.dim], parts, r, where.unit);
    return b;
  }
  /// Makes `shape` that of part `r` of `n`. \throws error if the word names a dimension that is not there
  PLEAT_ONCE void cut(int r, int n);
  /// Elements of the largest part: what every rank sets aside, so that flat buffers are laid out alike on all ranks of
  /// the axis.
  PLEAT_LAZY [[nodiscard]] index_t largest() const { return parts > 1 ? box(0).size() : shape.size(); }

  // Where it lives in memory; set by the arena.
  int id = -1;                ///< number of its arena entry, in forward order; -1: described, not materialised
  void* values = nullptr;     ///< in the space's memory
  void* gradients = nullptr;  ///< slot 0; slot s is s·slot_stride elements further
  index_t slot_stride = 0;    ///< elements between gradient slots
  gradient_use* use = nullptr;
  /// Decay of a statistic: value ← (1 − momentum)·value + momentum·batch value.
  double momentum = 0.1;

  /// After another form has come into use: what cannot be trained is frozen, and what was frozen for that reason alone
  /// learns again.
  void follow_form(bool trainable) noexcept {
    if (trainable) requires_grad = requires_grad || held_by_form, held_by_form = false;
    else if (requires_grad) requires_grad = false, held_by_form = true;
  }

  [[nodiscard]] index_t size() const noexcept { return shape.size(); }
  /// Bits of the elements that live, in the space's memory; null if all do. A pruned form has them (codec/masked.hpp):
  /// weight says which.
  [[nodiscard]] virtual std::uint8_t const* mask_bits() const { return nullptr; }
  [[nodiscard]] bool materialised() const noexcept { return !absent && (id >= 0 || !in_arena); }
};

template <class> void parameter::cut(int r, int n) {
  if (where.partial() || (where.shards() && where.dim >= shape.rank()))
    throw error{"nn::parameter::cut",
                "'" + name + "' of shape " + shape.to_string() + " cannot be placed as " + where.to_string(),
                "A parameter is replicated or cut along one of its dimensions"};
  if (parts > 1)
    throw error{"nn::parameter::cut", "'" + name + "' has been cut into " + std::to_string(parts) + " parts before",
                "Cut a whole parameter once, into all of its parts"};
  global_shape = shape;
  part = r;
  parts = n;
  shape = box().shape();
}
PLEAT_COMPILED_ONCE(void parameter::cut(int r, int n));

}  // namespace pleat::nn
