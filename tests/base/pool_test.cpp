// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/context.hpp>
#include <pleat/base/pool.hpp>
#include <pleat/tensor/tensor.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <string>

using space = Kokkos::DefaultExecutionSpace;
using pool_type = pleat::pool<space>;

TEST_CASE("size classes are tight, ordered and their own") {
  for (std::size_t bytes = 1; bytes < 50'000'000; bytes += 1 + bytes / 37) {
    int const c = pool_type::class_of(bytes);
    std::size_t const size = pool_type::size_of_class(c);
    REQUIRE(size >= bytes);
    REQUIRE(pool_type::class_of(size) == c);
    if (c > 0) REQUIRE(pool_type::size_of_class(c - 1) < bytes);
    if (bytes > 256) REQUIRE(static_cast<double>(size - bytes) < 0.25 * static_cast<double>(bytes) + 64);
  }
}

TEST_CASE("a block that comes back is handed out again") {
  pool_type pool;
  {
    pleat::pool_handle<space> a(pool.take(1000));
    pleat::pool_handle<space> const b = a;
    CHECK(a.uses() == 2);
    CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 64 == 0);
  }
  CHECK(pool.statistics().allocations == 1);
  CHECK(pool.statistics().bytes_in_use == 0);
  for (int i = 0; i < 100; ++i) {
    pleat::pool_handle<space> const again(pool.take(1000 + static_cast<std::size_t>(i) % 20));
    CHECK(pool.statistics().bytes_in_use == 1024);
  }
  CHECK(pool.statistics().allocations == 1);
  CHECK(pool.statistics().requests == 101);
  CHECK(pool.take(0) == nullptr);
}

TEST_CASE("two blocks in use never overlap") {
  pool_type pool;
  pleat::pool_handle<space> const a(pool.take(640)), b(pool.take(640));
  auto const x = reinterpret_cast<std::uintptr_t>(a.data()), y = reinterpret_cast<std::uintptr_t>(b.data());
  CHECK((x + 640 <= y || y + 640 <= x));
}

TEST_CASE("a request that no memory can meet is a sentence") {
  pool_type pool;
  try {
    (void)pool.take(std::size_t{1} << 60);
    FAIL("2^60 bytes were found");
  } catch (pleat::error const& e) {
    CHECK(std::string(e.what()).find("has no") != std::string::npos);
    CHECK(std::string(e.what()).find("bytes left") != std::string::npos);
  }
}

TEST_CASE("contexts have instances and pools of their own") {
  pleat::context<space> a(pleat::make_instance<space>(1)), b(pleat::make_instance<space>(1));
  auto t = pleat::tensor<float, space>::allocate(a, {10});
  CHECK(a.pool().statistics().requests == 1);
  CHECK(b.pool().statistics().requests == 0);
  CHECK(a.space().concurrency() >= 1);
}
