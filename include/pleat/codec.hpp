// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door of the room codec: how a weight's numbers are stored, and run as they are stored.
#pragma once

#include <pleat/codec/dense.hpp>
#include <pleat/codec/form.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/codec/masked.hpp>
