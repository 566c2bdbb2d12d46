// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Declarations for headers of one's own that only name pleat's types.
#pragma once

namespace pleat {

class error;
class extents;
class layout;
class mesh;
class placement;
class redistribution;
class world;
struct bfloat16;
struct half;
template <class Space> class context;
template <class Space> class pool;
template <class T, class Space> class tensor;

namespace comm {
class communicator;
class grid;
class request;
}  // namespace comm

namespace codec {
template <class First, class... Rest> struct forms;
template <class T> struct dense;
template <class T> struct masked;
template <class T> struct int8;
}  // namespace codec

namespace nn {
class parameter;
template <class Space> struct pass;
template <class Forms, class Space> class weight;
}  // namespace nn

namespace plan {
struct plan;
struct machine;
}  // namespace plan

namespace io {
struct dataset;
struct split;
}  // namespace io

namespace parallel {
template <class Net> class model;
}

}  // namespace pleat
