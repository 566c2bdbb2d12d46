// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door of the room compute: kernels, as named functors behind void functions. What no layer needs (copy_box,
/// histogram, threshold) and what needs Thrust (scan, select, sort, top_k) is included by its own name.
#pragma once

#include <pleat/compute/activation.hpp>
#include <pleat/compute/attention.hpp>
#include <pleat/compute/attention_shape.hpp>
#include <pleat/compute/convolution.hpp>
#include <pleat/compute/copy_block.hpp>
#include <pleat/compute/count.hpp>
#include <pleat/compute/element.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/embedding.hpp>
#include <pleat/compute/embedding_part.hpp>
#include <pleat/compute/for_each.hpp>
#include <pleat/compute/gemm.hpp>
#include <pleat/compute/int8_convolution.hpp>
#include <pleat/compute/int8_gemm.hpp>
#include <pleat/compute/keep_mask.hpp>
#include <pleat/compute/lanes.hpp>
#include <pleat/compute/layer_norm.hpp>
#include <pleat/compute/math.hpp>
#include <pleat/compute/norm.hpp>
#include <pleat/compute/optimizer.hpp>
#include <pleat/compute/pooling.hpp>
#include <pleat/compute/quantized.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/compute/rotary.hpp>
#include <pleat/compute/softmax.hpp>
#include <pleat/compute/softmax_part.hpp>
#include <pleat/compute/statistics.hpp>
