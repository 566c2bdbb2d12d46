// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// 2-D convolution of NCHW images, forward and its gradients, for float and double, without unrolling images in memory.
///
/// Every result element is one chain of fused multiply-adds (dx: see there) in an order that the shape alone decides,
/// so its bits do not depend on the batch it is in, the threads, the instruction set, or the device:
///   - y:  (channel, kernel row, kernel column) ascending, starting from the bias (or zero);
///   - dx: (output channel, kernel row, kernel column) ascending; kernel elements under which no output meets the pixel
///         because of the stride are skipped. Where conv2d_shape::taps_apart() holds, each kernel element has a chain of its own
///         over the output channels, and those that meet the pixel are added in (kernel row, kernel column) order;
///   - dw: (image, output row, output column) ascending within a lane; the lanes over their tree (compute/lanes.hpp);
///   - db: each image's plane is summed in 32 stripes (pixel p belongs to stripe p mod 32) that fold in halves; images
///         ascend within a lane; the lanes over their tree.
/// Padding is a zero that is multiplied and added like any value (in the chains apart there is none); kernels leave it
/// out where that shows in no bit.
#pragma once

#include <pleat/compute/activation.hpp>
#include <pleat/compute/detail/conv_host.hpp>
#include <pleat/compute/detail/conv_portable.hpp>
#include <pleat/compute/detail/conv_shape.hpp>
#include <pleat/compute/lanes.hpp>

namespace pleat::compute {

/// y = activation(x * w + bias).
/// \param bias [out_channels], or null for none
/// \throws pleat::error where the shape does not fit
template <class Space, class T>
void conv2d_forward(Space const& space, conv2d_shape const& s, T const* x, T const* w, T const* bias, T* y,
                    activation a = activation::none) {
  s.check("compute::conv2d_forward");
  if (s.batch == 0) return;
  if constexpr (is_host_space_v<Space>) detail::conv2d_forward_host(space, isa::best(), s, x, w, bias, y, a);
  else detail::conv2d_forward_portable(space, s, x, w, bias, y, a);
}

/// dx = the gradient with respect to x. Overwrites dx.
template <class Space, class T>
void conv2d_backward_input(Space const& space, conv2d_shape const& s, T const* dy, T const* w, T* dx) {
  s.check("compute::conv2d_backward_input");
  if (s.batch == 0) return;
  if constexpr (is_host_space_v<Space>) detail::conv2d_backward_input_host(space, isa::best(), s, dy, w, dx);
  else detail::conv2d_backward_input_portable(space, s, dy, w, dx);
}

/// dw = the gradient with respect to w, summed over the images of the lanes (rows of `l` are images).
template <class Space, class T>
void conv2d_backward_weight(Space const& space, conv2d_shape const& s, T const* dy, T const* x, T* dw, lanes const& l) {
  s.check("compute::conv2d_backward_weight");
  l.check("compute::conv2d_backward_weight");
  if constexpr (is_host_space_v<Space>) detail::conv2d_backward_weight_host(space, isa::best(), s, dy, x, dw, l);
  else detail::conv2d_backward_weight_portable(space, s, dy, x, dw, l);
}

/// db [out_channels] = dy summed over pixels and over the images of the lanes (rows of `l` are images).
template <class Space, class T>
void conv2d_backward_bias(Space const& space, conv2d_shape const& s, T const* dy, T* db, lanes const& l) {
  s.check("compute::conv2d_backward_bias");
  l.check("compute::conv2d_backward_bias");
  if constexpr (is_host_space_v<Space>) detail::conv2d_backward_bias_host(space, isa::best(), s, dy, db, l);
  else detail::conv2d_backward_bias_portable(space, s, dy, db, l);
}

}  // namespace pleat::compute
