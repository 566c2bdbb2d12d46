// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door of the room nn: layers, composition, losses, optimizers, schedules, metrics. The gradient check is included
/// by its own name.
#pragma once

#include <pleat/nn/activations.hpp>
#include <pleat/nn/align.hpp>
#include <pleat/nn/any_weight.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/attention.hpp>
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/branch.hpp>
#include <pleat/nn/clip.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/nn/dropout.hpp>
#include <pleat/nn/embedding.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/layer_norm.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/loss.hpp>
#include <pleat/nn/metrics.hpp>
#include <pleat/nn/names.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/nn/parameter.hpp>
#include <pleat/nn/pass.hpp>
#include <pleat/nn/placement_rules.hpp>
#include <pleat/nn/pooling.hpp>
#include <pleat/nn/repeat.hpp>
#include <pleat/nn/residual.hpp>
#include <pleat/nn/schedule.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/nn/state_layout.hpp>
#include <pleat/nn/trainable.hpp>
#include <pleat/nn/units.hpp>
#include <pleat/nn/weight.hpp>
#include <pleat/nn/weight_products.hpp>
#include <pleat/nn/window.hpp>
