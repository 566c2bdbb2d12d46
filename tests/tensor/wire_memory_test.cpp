// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/tensor/wire_memory.hpp>

#include <numeric>
#include <vector>

#include <catch2/catch_test_macros.hpp>

namespace {
using space = Kokkos::DefaultExecutionSpace;
using tensor = pleat::tensor<float, space>;
}  // namespace

TEST_CASE("a transport finds a tensor's elements, and what it writes arrives") {
  pleat::context<space> where(pleat::make_instance<space>(1));
  std::vector<float> sent(12), found(12);
  std::iota(sent.begin(), sent.end(), 1.0f);
  auto const t = tensor::allocate(where, {3, 4});
  pleat::copy_from_host(where, sent.data(), t);
  {
    pleat::wire_memory<float, space> const m(where, t, true);
    REQUIRE(m.span().size() == 12);
    CHECK(std::equal(sent.begin(), sent.end(), m.span().begin()));
    for (float& x : m.span()) x = -x;
    m.arrived();
  }
  pleat::copy_to_host(where, t, found.data());
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == -sent[i]);
}

TEST_CASE("the memory stays as long as somebody may write to it, and is pooled") {
  pleat::context<space> where(pleat::make_instance<space>(1));
  for (int i = 0; i < 3; ++i) {
    pleat::wire_memory<float, space> const m(where, tensor::allocate(where, {1000}), false);
    auto const other = tensor::allocate(where, {1000});
    CHECK(m.span().data() != other.data());
  }
  CHECK(where.pool().statistics().allocations <= 2);
  CHECK(pleat::wire_memory<float, space>(where, tensor::allocate(where, {0}), true).span().empty());
}
