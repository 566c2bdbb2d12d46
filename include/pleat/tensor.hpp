// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door of the room tensor: shapes, element types, tensors, other people's arrays, index sets, meshes, placements
/// and the way from one to another.
#pragma once

#include <pleat/tensor/adapt.hpp>
#include <pleat/tensor/axis_layout.hpp>
#include <pleat/tensor/concepts.hpp>
#include <pleat/tensor/dtype.hpp>
#include <pleat/tensor/extents.hpp>
#include <pleat/tensor/index_set.hpp>
#include <pleat/tensor/layout.hpp>
#include <pleat/tensor/mesh.hpp>
#include <pleat/tensor/placement.hpp>
#include <pleat/tensor/redistribution.hpp>
#include <pleat/tensor/tensor.hpp>
#include <pleat/tensor/token.hpp>
#include <pleat/tensor/wire_memory.hpp>
