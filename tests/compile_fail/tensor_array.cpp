// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What strided_array's ladder says of an array that lacks something. As it stands it is the minimal model of docs/concepts.md.
#include <pleat/tensor/concepts.hpp>

struct array {
#ifndef WRONG_1
  // expect: an array needs 'using element_type = T' \(or an adaptor: pleat::adapt\(view\)
  using element_type = float;
#endif
#if defined(WRONG_2)
  // expect: an array needs 'element_type\* data\(\) const': the address of element
  float const* data() const;
#elif defined(WRONG_3)
  // expect: an array needs 'element_type\* data\(\) const'
  float* data();
#else
  float* data() const;
#endif
#ifndef WRONG_4
  // expect: an array needs 'pleat::extents shape\(\) const': the number of elements per dimension
  pleat::extents shape() const;
#endif
#ifndef WRONG_5
  // expect: an array needs 'index_t stride\(int i\) const': elements between neighbours of dimension i
  pleat::index_t stride(int i) const;
#endif
};

inline void right() { pleat::demand_strided_array<array>(); }
