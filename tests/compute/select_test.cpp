// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/select.hpp>

#include "vector_support.hpp"

namespace {
using namespace vector_support;
namespace compute = pleat::compute;

struct above {
  float limit;
  PLEAT_FUNCTION bool operator()(float const& x) const { return x > limit; }
};
}  // namespace

TEST_CASE("elements and indices are picked in order, on any number of threads", "[compute][select]") {
  for (index_t const n : {0, 1, 7, 300007})
    for (int const threads : {1, 2})
      for (float const limit : {-2.0f, 0.3f, 2.0f}) {
        auto const x = numbers<float>(n, 1);
        std::vector<float> kept, rest;
        std::vector<index_t> where;
        for (index_t i = 0; i < n; ++i) {
          (x[i] > limit ? kept : rest).push_back(x[i]);
          if (x[i] > limit) where.push_back(i);
        }
        guarded<float> y(n), a(n), b(n);
        guarded<index_t> at(n);
        auto const space = instance(threads);
        auto const count = static_cast<index_t>(kept.size());
        CHECK(compute::select_if(space, n, x.data(), above{limit}, y.data()) == count);
        CHECK(compute::select_indices(space, n, x.data(), above{limit}, at.data()) == count);
        CHECK(compute::partition(space, n, x.data(), above{limit}, a.data(), b.data()) == count);
        CHECK(compute::count_if(space, n, x.data(), above{limit}) == count);
        CHECK((std::equal(kept.begin(), kept.end(), y.data()) && std::equal(kept.begin(), kept.end(), a.data())));
        CHECK((std::equal(rest.begin(), rest.end(), b.data()) && std::equal(where.begin(), where.end(), at.data())));
        CHECK((y.intact() && a.intact() && b.intact() && at.intact()));
      }
}
