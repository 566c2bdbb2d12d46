// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door of the room codec: how a weight's numbers are stored, and run as they are stored.
#pragma once

#include <pleat/codec/blocks.hpp>
#include <pleat/codec/codebook.hpp>
#include <pleat/codec/dense.hpp>
#include <pleat/codec/error_norms.hpp>
#include <pleat/codec/file_tensor.hpp>
#include <pleat/codec/form.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/codec/int8_integer.hpp>
#include <pleat/codec/low_rank.hpp>
#include <pleat/codec/masked.hpp>
#include <pleat/codec/reduced.hpp>
#include <pleat/codec/requantize.hpp>
#include <pleat/codec/sparse.hpp>
#include <pleat/codec/stored.hpp>
