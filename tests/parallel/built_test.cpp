// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/built.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>

namespace {
std::string refused(pleat::plan::compute_precision said, pleat::dtype type) {
  pleat::plan::plan p;
  p.precision = said;
  try {
    pleat::parallel::demand_precision(p, type);
  } catch (pleat::error const& e) {
    return e.what();
  }
  return "nothing";
}
}  // namespace

TEST_CASE("a plan's precision is the network's type, or it is refused") {
  using enum pleat::plan::compute_precision;
  using pleat::dtype;
  CHECK(refused(f32, dtype::f32) == "nothing");
  CHECK(refused(f32, dtype::f64) == "nothing");
  CHECK(refused(bf16, dtype::bf16) == "nothing");
  CHECK(refused(f16, dtype::f16) == "nothing");
  CHECK(refused(bf16, dtype::f32).find("Make the network of pleat::bfloat16, or use precision = f32") !=
        std::string::npos);
  CHECK(refused(f16, dtype::bf16).find("the plan says precision = f16, the network's layers are of type BF16") !=
        std::string::npos);
  CHECK(refused(f32, dtype::f16).find("Use precision = f16") != std::string::npos);
}
