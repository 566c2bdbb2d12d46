// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What travels down every call: where to work, which samples these are, who wants to hear about gradients.
#pragma once

#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>

#include <pleat/base/context.hpp>
#include <pleat/base/step_trace.hpp>
#include <pleat/compute/lanes.hpp>
#include <pleat/tensor/axis_layout.hpp>

namespace pleat::comm {
class communicator;
}
namespace pleat::compute {
struct conv2d_shape;
}

namespace pleat::nn {

class parameter;

/// A run of this pass's sample rows whose gradient contributions go to gradient slot `slot` (compute/lanes.hpp says how
/// they are summed).
struct segment {
  int slot = 0;
  compute::lanes lanes;
};

/// Who listens to a backward pass. Called once per parameter and layer, so a virtual call is cheap enough.
class pass_hooks {
 public:
  virtual ~pass_hooks() = default;
  /// The gradient of this parameter is complete for this pass (tied parameters: after the last use).
  virtual void gradient_ready(parameter const& p) = 0;
  /// Somebody must drive non-blocking communication: called once per layer.
  virtual void poll() = 0;

  // Memory that is there only while a layer needs it (sharded state). nn::call and its kin open it before a layer's own
  // code runs and close it afterwards, whatever happens in between. The weight half of a split backward finds gradients
  // only: it reads no values.

  /// This parameter is about to be read.
  /// \param backward the walk goes from the last layer to the first
  virtual void open_values(parameter& p, bool backward) { (void)p, (void)backward; }
  /// Of every parameter of the layer, those too that could not be opened.
  virtual void close_values(parameter& p) noexcept { (void)p; }
  /// This parameter's gradient is about to be written.
  virtual void open_gradient(parameter& p) { (void)p; }
};

/// Who hears that an activation had to move because a layer got it placed otherwise than it needs it.
class move_listener {
 public:
  /// An activation that changes its placement on the way to a layer.
  struct move {
    std::string_view layer;  ///< or the parameter that wants it
    extents const& whole;    ///< of the activation
    axis_layout const &from, &to;
    index_t element_bytes;
    int ranks, rank;  ///< of the tensor axis
  };
  virtual ~move_listener() = default;
  virtual void moved(move const& m) = 0;
  /// The results of this weight were to be cut, and have no dimension for it.
  virtual void stays_whole(parameter const& weight, extents const& result) { (void)weight, (void)result; }
};

/// Who hears what the weights multiply with: calibration.
class input_listener {
 public:
  /// A weight and the input that it is about to be multiplied with.
  struct product {
    parameter const& weight;
    /// whole, contiguous, of the model's value type, in the space's memory, until the call returns
    void const* x;
    extents const& shape;                      ///< of x: its rows are the last dimension, unless it is images
    compute::conv2d_shape const* convolution;  ///< of all channels, where x is images; else null
  };
  virtual ~input_listener() = default;
  /// x is about to be multiplied with the weight. Called once per product and layer.
  virtual void multiplied(product const& p) = 0;
};

/// Who wants to know when each leaf begins and ends its forward: how long layers take.
class layer_listener {
 public:
  virtual ~layer_listener() = default;
  virtual void begins() = 0;
  /// What has begun last is done; not said where it failed. Its kernels may still be under way.
  virtual void ends(std::string const& name) = 0;
};

/// The first layer of a walk whose output holds NaN or infinity. The walk goes on behind it: other ranks may count on
/// this one.
struct nonfinite_note {
  std::string found;   ///< a sentence that names the layer; empty: none so far
  index_t looked = 0;  ///< outputs that were looked at
  index_t at = -1;     ///< number of the one that was found: ranks that walk through the same layers count alike
};

/// A layer that failed in a walk whose other ranks count on this one: the walk goes on behind it, with zeros for what
/// the layer did not give.
struct failure_note {
  std::exception_ptr first{};  ///< what the first such layer threw; null: none so far
};

/// One forward or backward walk over a micro-batch. A small value; layers read it, composites hand it on.
template <class Space> struct pass {
  context<Space>* where = nullptr;
  bool training = false;       ///< false: layers leave `saved` empty, dropout and batch statistics are off
  bool input_gradient = true;  ///< false: nobody wants dx of the outermost layer (its input is data)
  /// forward keeps less: results that are cheap against their bytes are computed again in backward (sequential.hpp)
  bool recompute = false;
  /// diagnosis: nn::call looks for NaN and infinity after every layer; null: it does not
  nonfinite_note* nonfinite = nullptr;
  /// answers where parameters are gathered layer by layer: a layer that fails is noted, and the walk goes on; null: it
  /// ends there. Not with a tensor axis: along that, layers themselves talk
  failure_note* failure = nullptr;
  bool deterministic = false;  ///< bits must not depend on the number of ranks: a layer refuses what would
  std::uint64_t seed = 0;      ///< of the model
  std::uint64_t step = 0;      ///< optimizer steps done
  index_t first_sample = 0;    ///< position in the global batch of row 0; rows are consecutive
  index_t global_batch = 1;    ///< samples of the whole step, over all ranks and micro-batches
  /// what the loss's gradient is multiplied by, so that 16 bits can hold it (parallel/loss_scale.hpp)
  double loss_scale = 1;
  std::span<segment const> segments;  ///< how this pass's rows contribute to gradients (empty in inference)
  pass_hooks* hooks = nullptr;
  comm::communicator* ranks = nullptr;  ///< those that share the batch; for statistics over all of it

  comm::communicator* tensor = nullptr;  ///< those that hold the parts of each weight; null: nothing is cut
  move_listener* moves = nullptr;        ///< hears of activations that had to move
  input_listener* inputs = nullptr;      ///< hears what the weights multiply with
  layer_listener* layers = nullptr;      ///< hears of every leaf's forward
  step_trace* trace = nullptr;           ///< sees the collectives of the tensor axis; null: nobody traces this step
  axis_layout input{};                   ///< where the layer's input lived before it was aligned: dx returns there
  /// the layer's activations are cut: the gradient of a replicated parameter is one rank's addend
  bool addends = false;

  /// This pass as the gradients of a layer see it whose dy is this tensor.
  template <class Tensor> [[nodiscard]] pass on(Tensor const& dy) const noexcept {
    pass p = *this;
    p.addends = dy.layout().cut();
    return p;
  }

  [[nodiscard]] Space const& space() const noexcept { return where->space(); }
};

}  // namespace pleat::nn
