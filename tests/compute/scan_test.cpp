// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/scan.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include "vector_support.hpp"

namespace {
using namespace vector_support;
namespace compute = pleat::compute;
}  // namespace

TEMPLATE_TEST_CASE("prefix sums run from left to right, whatever the threads", "[compute][scan]", float, double,
                   index_t) {
  using T = TestType;
  for (index_t const n : {0, 1, 2, 1000, 600001})
    for (int const threads : {1, 2}) {
      auto const x = numbers<T>(n, 1, -100, 100);
      guarded<T> in(n), ex(n), place = x;
      compute::inclusive_scan(instance(threads), n, x.data(), in.data());
      compute::exclusive_scan(instance(threads), n, x.data(), T(5), ex.data());
      compute::inclusive_scan(instance(threads), n, place.data(), place.data());
      T sum = 0, from = 5;
      bool good = in.intact() && ex.intact() && place.same_bits(in);
      for (index_t i = 0; i < n; ++i) {
        sum = i == 0 ? x[0] : sum + x[i];
        good = good && in[i] == sum && ex[i] == from;
        from += x[i];
      }
      CHECK(good);
    }
}

TEST_CASE("counts become offsets in a wider type", "[compute][scan]") {
  std::int32_t const counts[3] = {2000000000, 2000000000, 2000000000};
  index_t offsets[3];
  compute::exclusive_scan(instance(1), 3, counts, index_t{0}, offsets);
  CHECK((offsets[0] == 0 && offsets[1] == 2000000000 && offsets[2] == 4000000000));
  compute::inclusive_scan(instance(1), 3, counts, offsets);
  CHECK(offsets[2] == 6000000000);
}
