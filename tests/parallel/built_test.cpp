// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/built.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>

namespace {
template <class Change> std::string refused(Change&& change) {
  pleat::plan::plan p;
  change(p);
  try {
    pleat::parallel::demand_built(p);
  } catch (pleat::error const& e) {
    return e.what();
  }
  return "nothing";
}
}  // namespace

TEST_CASE("what a plan says and nobody builds is refused by its entry") {
  using pleat::plan::plan;
  CHECK(refused([](plan&) {}) == "nothing");
  CHECK(refused([](plan& p) { p.precision = pleat::plan::compute_precision::f16; }) == "nothing");
  CHECK(refused([](plan& p) { p.tensor_ranks = 2; }) == "nothing");
}
