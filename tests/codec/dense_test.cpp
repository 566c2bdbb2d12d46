// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/dense.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <vector>

namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using space = Kokkos::DefaultHostExecutionSpace;
using form = pleat::codec::dense<float>;

TEST_CASE("a dense weight's file is its numbers, and what a file claims is checked before it is read") {
  pleat::context<space> c(pleat::make_instance<space>(1));
  pleat::extents const shape{2, 3};
  std::vector<float> const numbers{1, -2, 3, -0.0f, 5, 6};
  std::vector<float> memory = numbers;
  form::storage<space> s;
  s.attach(memory.data());
  auto const parts = form::to_file(c, shape, s);
  memory.assign(6, 7.0f);
  form::from_file(c, shape, parts, s);
  CHECK(memory == numbers);

  auto const refused = [&](auto change, char const* words) {
    auto bad = parts;
    change(bad);
    CHECK_THROWS_MATCHES(form::from_file(c, shape, bad, s), pleat::error, MessageMatches(ContainsSubstring(words)));
    CHECK(memory == numbers);
  };
  refused([](auto& p) { p[0].bytes.pop_back(); },
          "codec::dense::from_file: expected a tensor of shape [2, 3] and type F32, found 23 bytes");
  refused([](auto& p) { p[0].bytes.clear(); }, "found 0 bytes");
  refused([](auto& p) { p[0].shape = {3, 2}; }, "found [3, 2] F32");
  refused([](auto& p) { p[0].type = pleat::dtype::i32; }, "found [2, 3] I32. Store the numbers as F32, or read");
  refused([](auto& p) { p[0].suffix = ".values"; }, "a part '.values' does not belong to this form");
  refused([](auto& p) { p.push_back(p[0]); }, "a part is there twice");
  refused([](auto& p) { p.clear(); }, "found none");
}

}  // namespace
