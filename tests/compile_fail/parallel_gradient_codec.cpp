// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gradient codecs by exchanges that they cannot travel by: the words.
#include <pleat/parallel/coded_exchange.hpp>

namespace par = pleat::parallel;

inline auto right() { return par::coded<par::exchanges::all_gather>(par::top_k{}); }
inline auto right_too() { return par::coded<par::exchanges::all_reduce>(par::power_sgd{}); }

#if defined(WRONG_1)
// expect: messages of this gradient codec cannot be added
inline auto wrong() { return par::coded<par::exchanges::all_reduce>(par::top_k{}); }
#elif defined(WRONG_2)
// expect: messages of this gradient codec cannot be added
inline auto wrong() { return par::coded<par::exchanges::all_reduce>(par::int8_groups{}); }
#elif defined(WRONG_3)
// expect: factors of this gradient codec must be summed before the next ones are known
inline auto wrong() { return par::coded<par::exchanges::all_gather>(par::power_sgd{}); }
#elif defined(WRONG_4)
// expect: no gradient codec travels by reduce_scatter
inline auto wrong() { return par::coded<par::exchanges::reduce_scatter>(par::top_k{}); }
#elif defined(WRONG_5)
// expect: a gradient codec says how it travels
struct mute {};
inline auto wrong() { return par::coded(mute{}); }
#endif
