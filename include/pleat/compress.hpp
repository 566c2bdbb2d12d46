// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door of the room compress: model → smaller model. Shared values and the picture are included by their own names.
#pragma once

#include <pleat/compress/fine_tune.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compress/report.hpp>
#include <pleat/compress/schedule.hpp>
#include <pleat/compress/stages.hpp>
#include <pleat/compress/transform.hpp>
