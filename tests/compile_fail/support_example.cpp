// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The pattern itself: what compiles, what does not, and the words.
#include <type_traits>

template <class T> constexpr void demand_integer() {
  static_assert(std::is_integral_v<T>, "demand_integer: T must be an integer type");
}

inline void right() { demand_integer<int>(); }

#ifdef WRONG_1
// expect: demand_integer: T must be an integer type
inline void wrong() { demand_integer<float>(); }
#endif

#ifdef WRONG_2
// expect: no_such_name.* (was not declared|undeclared)
inline int wrong() { return no_such_name; }
#endif
