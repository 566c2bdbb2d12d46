// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Placements of parameters that no operation accepts, where they are known at compile time: the words.
#include <pleat/parallel/tensor_recipe.hpp>

namespace parallel = pleat::parallel;

inline auto right() { return parallel::placed_as<pleat::shard<0>>("*.weight"); }

#if defined(WRONG_1)
// expect: a parameter cannot be placed as partial<sum>: no operation accepts a weight that is a sum over ranks
inline auto wrong() { return parallel::placed_as<pleat::partial<>>("*.weight"); }
#elif defined(WRONG_2)
// expect: no operation accepts a weight that is cut along dimension 2 or higher
inline auto wrong() { return parallel::placed_as<pleat::shard<2>>("*.weight"); }
#endif
