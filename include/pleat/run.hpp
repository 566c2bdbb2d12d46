// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door of the room run: launch, fit, evaluate, serve, checkpoints and files of models. GGUF and ONNX are included
/// by their own names.
#pragma once

#include <pleat/run/batch.hpp>
#include <pleat/run/checkpoint.hpp>
#include <pleat/run/checkpoint_arrival.hpp>
#include <pleat/run/checkpoint_image.hpp>
#include <pleat/run/checkpoint_match.hpp>
#include <pleat/run/checkpoint_steps.hpp>
#include <pleat/run/checkpoint_writer.hpp>
#include <pleat/run/evaluate.hpp>
#include <pleat/run/fit.hpp>
#include <pleat/run/launch.hpp>
#include <pleat/run/model_description.hpp>
#include <pleat/run/model_file.hpp>
#include <pleat/run/model_image.hpp>
#include <pleat/run/opened_checkpoint.hpp>
#include <pleat/run/progress.hpp>
#include <pleat/run/reports.hpp>
#include <pleat/run/runtime.hpp>
#include <pleat/run/serve.hpp>
#include <pleat/run/take_forms.hpp>
