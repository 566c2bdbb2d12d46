// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/profile.hpp>

#include <catch2/catch_test_macros.hpp>

#include <stdexcept>
#include <string>
#include <vector>

namespace {
std::vector<std::string> heard;  // Kokkos' callbacks are plain function pointers
void push(char const* name) { heard.emplace_back(name); }
void pop() { heard.emplace_back("end"); }
}  // namespace

TEST_CASE("regions nest, end when an exception leaves them, and are silent where no tool listens") {
  auto const before = Kokkos::Tools::Experimental::get_callbacks();
  heard.clear();
  Kokkos::Tools::Experimental::pause_tools();
  { pleat::region const silent("pleat::test::silent"); }
  Kokkos::Tools::Experimental::resume_tools();
  CHECK(heard.empty());

  Kokkos::Tools::Experimental::set_push_region_callback(push);
  Kokkos::Tools::Experimental::set_pop_region_callback(pop);
  try {
    pleat::region const outer("pleat::test::a_name_that_is_longer_than_fifteen_characters");
    pleat::region const inner("pleat::test::inner");
    throw std::runtime_error("out");
  } catch (std::runtime_error const&) {
  }
  Kokkos::Tools::Experimental::set_callbacks(before);
  CHECK(heard == std::vector<std::string>{"pleat::test::a_name_that_is_longer_than_fifteen_characters",
                                          "pleat::test::inner", "end", "end"});
}
