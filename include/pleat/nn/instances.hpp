// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Layers of networks of images, for float on Kokkos' default space, as instances that are compiled elsewhere: in the
/// optional target pleat::kernels.
///
/// As compute/instances.hpp, some rooms further up: with weights that are dense, and with those that prune and quantize
/// leave, so that who links the target compiles how its layers follow one another, and not the layers. Any other layer
/// and any other set of forms is compiled where it is used.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <pleat/base/pool.hpp>
#include <pleat/codec/dense.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/codec/masked.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/pooling.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/nn/units.hpp>
#include <pleat/nn/weight_products.hpp>
#include <pleat/tensor/tensor.hpp>

#ifdef PLEAT_LAYERS_HERE  // a source of pleat::kernels defines it
#define PLEAT_INSTANCE
#else
#define PLEAT_INSTANCE extern
#endif

namespace pleat {

// Doxygen documents the templates, not where they are compiled.
/// \cond
PLEAT_INSTANCE template class pool<Kokkos::DefaultExecutionSpace>;
PLEAT_INSTANCE template void copy_to_host(context<Kokkos::DefaultExecutionSpace> const&, tensor<float> const&, float*);
PLEAT_INSTANCE template void copy_from_host(context<Kokkos::DefaultExecutionSpace> const&, float const*,
                                            tensor<float> const&);

PLEAT_INSTANCE template struct codec::dense<float>;
PLEAT_INSTANCE template struct codec::masked<float>;
PLEAT_INSTANCE template struct codec::int8<float>;
PLEAT_INSTANCE template void codec::int8<float>::encode(context<Kokkos::DefaultExecutionSpace>&, extents const&,
                                                        float const*, storage<Kokkos::DefaultExecutionSpace>&);
PLEAT_INSTANCE template void codec::int8<float>::encode_with_range(context<Kokkos::DefaultExecutionSpace>&,
                                                                   extents const&, float const*, std::span<float const>,
                                                                   storage<Kokkos::DefaultExecutionSpace>&);
PLEAT_INSTANCE template void codec::masked<float>::keep(context<Kokkos::DefaultExecutionSpace>&,
                                                        std::vector<std::uint8_t> const&,
                                                        storage<Kokkos::DefaultExecutionSpace>&);
/// \endcond

}  // namespace pleat

namespace pleat::nn {

namespace instances {
using space = Kokkos::DefaultExecutionSpace;
using dense = codec::forms<codec::dense<float>>;
using stored = codec::forms<codec::dense<float>, codec::masked<float>, codec::int8<float>>;  // after prune | quantize
}  // namespace instances

/// \cond
PLEAT_INSTANCE template class weight<instances::dense, instances::space>;
PLEAT_INSTANCE template class weight<instances::stored, instances::space>;
PLEAT_INSTANCE template tensor<float> apply(pass<instances::space> const&, tensor<float>,
                                            weight<instances::dense, instances::space> const&,
                                            compute::epilogue<float> const&);
PLEAT_INSTANCE template tensor<float> apply(pass<instances::space> const&, tensor<float>,
                                            weight<instances::stored, instances::space> const&,
                                            compute::epilogue<float> const&);
PLEAT_INSTANCE template tensor<float> apply_transposed(pass<instances::space> const&, tensor<float>,
                                                       weight<instances::dense, instances::space> const&, float const*);
PLEAT_INSTANCE template tensor<float> apply_transposed(pass<instances::space> const&, tensor<float>,
                                                       weight<instances::stored, instances::space> const&,
                                                       float const*);

PLEAT_INSTANCE template class conv2d<instances::dense, instances::space>;
PLEAT_INSTANCE template class conv2d<instances::stored, instances::space>;
PLEAT_INSTANCE template class linear<instances::dense, instances::space>;
PLEAT_INSTANCE template class linear<instances::stored, instances::space>;
PLEAT_INSTANCE template class flatten<float, instances::space>;
PLEAT_INSTANCE template class max_pool2d<float, instances::space>;
PLEAT_INSTANCE template class relu<float, instances::space>;

namespace instances {
using dense_conv2d = conv2d<dense, space>;
using stored_conv2d = conv2d<stored, space>;
using dense_linear = linear<dense, space>;
using stored_linear = linear<stored, space>;
using flattened = flatten<float, space>;
using max_pooled = max_pool2d<float, space>;
using rectified = relu<float, space>;
}  // namespace instances

// What sequences and walks ask of each.
#define PLEAT_CALLS(L)                                                                                             \
  PLEAT_INSTANCE template step<saved_of<instances::L>, tensor<float>> call(pass<instances::space> const&,          \
                                                                           instances::L const&, tensor<float>);    \
  PLEAT_INSTANCE template tensor<float> call_backward(pass<instances::space> const&, instances::L&,                \
                                                      saved_of<instances::L>&, tensor<float>);                     \
  PLEAT_INSTANCE template tensor<float> call_backward_input(pass<instances::space> const&, instances::L&,          \
                                                            saved_of<instances::L>&, tensor<float>);               \
  PLEAT_INSTANCE template void call_backward_weight(pass<instances::space> const&, instances::L&,                  \
                                                    saved_of<instances::L>&);                                      \
  PLEAT_INSTANCE template tensor<float> forward_units(pass<instances::space> const&, instances::L const&, index_t, \
                                                      index_t, tensor<float>, saved_of<instances::L>&);            \
  PLEAT_INSTANCE template extents describe_units(instances::L const&, extents const&, index_t, index_t,            \
                                                 describe_walk&);                                                  \
  PLEAT_INSTANCE template void describe(instances::L const&, extents const&, describe_walk&);
PLEAT_CALLS(dense_conv2d)
PLEAT_CALLS(stored_conv2d)
PLEAT_CALLS(dense_linear)
PLEAT_CALLS(stored_linear)
PLEAT_CALLS(flattened)
PLEAT_CALLS(max_pooled)
PLEAT_CALLS(rectified)
#undef PLEAT_CALLS

// The same of a layer and the activation next to it.
#define PLEAT_FUSED_CALLS(L)                                                                        \
  PLEAT_INSTANCE template tensor<float> detail::call_activated<instances::L, instances::rectified>( \
      pass<instances::space> const&, instances::L const&, tensor<float>, saved_of<instances::L>&,   \
      saved_of<instances::rectified>&, bool&);
PLEAT_FUSED_CALLS(dense_conv2d)
PLEAT_FUSED_CALLS(stored_conv2d)
PLEAT_FUSED_CALLS(dense_linear)
PLEAT_FUSED_CALLS(stored_linear)
#undef PLEAT_FUSED_CALLS
PLEAT_INSTANCE template tensor<float> detail::call_backward_masked(pass<instances::space> const&,
                                                                   instances::dense_linear&,
                                                                   saved_of<instances::dense_linear>&, tensor<float>,
                                                                   bool);
PLEAT_INSTANCE template tensor<float> detail::call_backward_masked(pass<instances::space> const&,
                                                                   instances::stored_linear&,
                                                                   saved_of<instances::stored_linear>&, tensor<float>,
                                                                   bool);
/// \endcond

}  // namespace pleat::nn

#undef PLEAT_INSTANCE
