// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door of the room codec: how a weight's numbers are stored, and run as they are stored. The forms that training
/// and 8-bit shrinking need; every other form is included by its own name (blocks, codebook, low_rank, reduced,
/// sparse).
#pragma once

#include <pleat/codec/dense.hpp>
#include <pleat/codec/error_norms.hpp>
#include <pleat/codec/file_tensor.hpp>
#include <pleat/codec/form.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/codec/learned_steps.hpp>
#include <pleat/codec/masked.hpp>
#include <pleat/codec/product_places.hpp>
