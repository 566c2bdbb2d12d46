// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door of the room base: version, errors, guards, contexts, the memory pool, random numbers.
#pragma once

#include <pleat/base/as_span.hpp>
#include <pleat/base/checks.hpp>
#include <pleat/base/config.hpp>
#include <pleat/base/configuration.hpp>
#include <pleat/base/context.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/huge_pages.hpp>
#include <pleat/base/owned_ptr.hpp>
#include <pleat/base/pool.hpp>
#include <pleat/base/pooled_array.hpp>
#include <pleat/base/profile.hpp>
#include <pleat/base/random.hpp>
#include <pleat/base/runtime.hpp>
#include <pleat/base/step_trace.hpp>
