// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/huge_pages.hpp>

#include <pleat/base/context.hpp>

#include <Kokkos_Core.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace {

constexpr std::size_t huge = std::size_t{1} << 21;

/// Whether the kernel knows huge pages on request at all.
bool system_has_them() { return std::filesystem::exists("/sys/kernel/mm/transparent_hugepage/enabled"); }

/// Whether the mapping around `p` says that huge pages were asked for: the flag "hg" of its last line in smaps.
bool asked_for(void const* p) {
  auto const address = reinterpret_cast<std::uintptr_t>(p);
  std::ifstream maps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long long first = 0, last = 0;
    if (std::sscanf(line.c_str(), "%llx-%llx ", &first, &last) == 2) here = first <= address && address < last;
    else if (here && line.rfind("VmFlags:", 0) == 0) return line.find(" hg") != std::string::npos;
  }
  return false;
}

}  // namespace

TEST_CASE("whole large pages of a block are asked for, what is in it stays, and its ends are left alone") {
  std::size_t const bytes = 4 * huge;
  std::unique_ptr<unsigned char, void (*)(void*)> const memory(
      static_cast<unsigned char*>(std::aligned_alloc(huge, bytes)), std::free);
  REQUIRE(memory);
  std::fill_n(memory.get(), bytes, static_cast<unsigned char>(7));
  pleat::advise_huge_pages(memory.get() + 4096, 2 * huge);  // [4096, 2 huge + 4096): one whole page, the second
  CHECK(asked_for(memory.get() + huge) == system_has_them());
  CHECK_FALSE(asked_for(memory.get()));
  CHECK_FALSE(asked_for(memory.get() + 2 * huge));
  CHECK(std::count(memory.get(), memory.get() + bytes, static_cast<unsigned char>(7)) ==
        static_cast<std::ptrdiff_t>(bytes));
}

TEST_CASE("a block that holds no whole large page is left as it is") {
  std::size_t const bytes = 2 * huge;
  std::unique_ptr<unsigned char, void (*)(void*)> const memory(
      static_cast<unsigned char*>(std::aligned_alloc(huge, bytes)), std::free);
  REQUIRE(memory);
  for (auto const& [offset, size] :
       std::vector<std::pair<std::size_t, std::size_t>>{{0, 0}, {0, huge - 1}, {1, huge}, {huge - 64, 128}}) {
    pleat::advise_huge_pages(memory.get() + offset, size);
    CHECK_FALSE(asked_for(memory.get()));
    CHECK_FALSE(asked_for(memory.get() + huge));
  }
  pleat::advise_huge_pages(nullptr, 0);
}

TEST_CASE("large blocks of a host pool ask for large pages") {
  using space = Kokkos::DefaultHostExecutionSpace;
  pleat::pool<space> pool;
  pleat::pool_handle<space> const large(pool.take(8 * huge));
  CHECK(asked_for(static_cast<unsigned char*>(large.data()) + 2 * huge) == system_has_them());
}
