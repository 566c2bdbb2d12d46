// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/context.hpp>

#include <catch2/catch_test_macros.hpp>

#include <type_traits>

using space = Kokkos::DefaultExecutionSpace;

TEST_CASE("two contexts share no memory, and a context stays where it is") {
  pleat::context<space> a(pleat::make_instance<space>(1)), b(pleat::make_instance<space>(1));
  static_assert(!std::is_copy_constructible_v<pleat::context<space>> &&
                !std::is_move_constructible_v<pleat::context<space>>);
  pleat::pool_handle<space> const block(a.pool().take(1 << 12));
  CHECK(a.pool().statistics().bytes_in_use >= 1 << 12);
  CHECK(b.pool().statistics().bytes_in_use == 0);
  CHECK(&a.host_pool() != &b.host_pool());
  a.fence();
}

TEST_CASE("an instance has the threads that were asked for, as far as the process has them") {
  using host = Kokkos::DefaultHostExecutionSpace;
  int const all = host().concurrency();
  CHECK(pleat::concurrency_of(pleat::make_instance<host>(1)) == 1);
  CHECK(pleat::concurrency_of(pleat::make_instance<host>(all)) == all);
  CHECK(pleat::concurrency_of(pleat::make_instance<host>(0)) == all);
}
