// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door of the room parallel: tensors that move from one placement to another, a rank's share of a batch, the
/// exchange of gradients, the pipeline, the model.
#pragma once

#include <pleat/parallel/agreement.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/parallel/bucket_sum.hpp>
#include <pleat/parallel/build_options.hpp>
#include <pleat/parallel/built.hpp>
#include <pleat/parallel/coded_sum.hpp>
#include <pleat/parallel/forward_chain.hpp>
#include <pleat/parallel/gradient_exchange.hpp>
#include <pleat/parallel/groups.hpp>
#include <pleat/parallel/loss_scale.hpp>
#include <pleat/parallel/mesh_norm.hpp>
#include <pleat/parallel/message_words.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/parallel/move_report.hpp>
#include <pleat/parallel/network.hpp>
#include <pleat/parallel/nonfinite.hpp>
#include <pleat/parallel/parameter_gather.hpp>
#include <pleat/parallel/piece_step.hpp>
#include <pleat/parallel/pipeline.hpp>
#include <pleat/parallel/replica.hpp>
#include <pleat/parallel/shard_group.hpp>
#include <pleat/parallel/sharded_norm.hpp>
#include <pleat/parallel/share.hpp>
#include <pleat/parallel/source.hpp>
#include <pleat/parallel/stage_work.hpp>
#include <pleat/parallel/stages.hpp>
#include <pleat/parallel/step_hooks.hpp>
#include <pleat/parallel/step_words.hpp>
#include <pleat/parallel/tensor_recipe.hpp>
#include <pleat/parallel/tensor_sums.hpp>
#include <pleat/parallel/tied.hpp>
