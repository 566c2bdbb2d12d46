// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>

#include <pleat/nn/flatten.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;

TEST_CASE("flatten is another shape of the same memory, both ways") {
  context<space> c{make_instance<space>(1)};
  nn::pass<space> p;
  p.where = &c;
  p.training = true;
  nn::flatten f;
  auto const x = random_tensor<float>(c, {4, 3, 2, 5}, 1);
  auto out = nn::call(p, f, x);
  CHECK(out.y.shape() == extents{4, 30});
  CHECK(out.y.data() == x.data());
  auto const dx = nn::call_backward(p, f, out.saved, out.y);
  CHECK(dx.shape() == x.shape());
  CHECK(f.shape({0, 3, 2}) == extents{0, 6});
}
