// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What meshes and placements that are types say when they cannot be.
#include <pleat/tensor/layout.hpp>

using namespace pleat;

#if defined(WRONG_1)
using cut = shard<6>;
#elif defined(WRONG_2)
using cut = shard<1, 0>;
#else
using cut = shard<1, 64>;
#endif
constexpr axis_placement value = cut{};

#if defined(WRONG_3)
using words = placed<replicate, int>;
#else
using words = placed<replicate, cut>;
#endif

#if defined(WRONG_4)
using axis = static_axis<"tensor", -2>;
#else
using axis = static_axis<"tensor", 2>;
#endif
constexpr int extent = axis::extent;

#if defined(WRONG_5)
mesh m = static_mesh<static_axis<"data">, axis>{};
#else
mesh m = static_mesh<static_axis<"data">, axis>{3};
#endif

#if defined(WRONG_6)
using named = static_axis<"Tensor", 2>;
#else
using named = static_axis<"tensor", 2>;
#endif

#if defined(WRONG_7)
constexpr layout l(static_mesh<static_axis<"data", 2>, named>{}, extents{4}, words{});
#else
constexpr layout l(static_mesh<static_axis<"data", 2>, named>{}, extents{4, 128}, words{});
#endif

int main() { return l.local(0).rank() - 2 + (m.size() - 6) + (value.dim - 1) + (extent - 2); }

// expect: dimensions are counted from 0 to 5
// expect: the smallest unit is 1 element
// expect: each word is replicate, shard<dim>, shard<dim, unit> or partial<>
// expect: an extent is at least 1, or 0 for one that is given at run time
// expect: give exactly the extents that the type leaves open
// expect: is no name of an axis
// expect: shards dimension
