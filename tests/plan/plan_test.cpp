// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/plan/plan.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>

using pleat::plan::plan;

namespace {
std::string said(auto&& f) {
  try {
    f();
  } catch (pleat::error const& e) {
    return e.what();
  }
  return "nothing";
}
}  // namespace

TEST_CASE("a plan survives its own text") {
  plan p;
  p.global_batch = 96;
  p.data_ranks = 3;
  p.micro_batches = 2;
  p.deterministic = true;
  p.lanes = 16;
  p.overlap = false;
  p.bucket_bytes = 12345;
  CHECK(plan::parse(p.to_string()) == p);
  CHECK(plan::parse(p.to_string()).hash() == p.hash());
}

TEST_CASE("two plans that differ in one entry differ in hash and name it") {
  plan const a;
  plan b = a;
  b.global_batch = 128;
  CHECK(a.hash() != b.hash());
  CHECK(a.difference(b) == "global_batch: 64 | 128\n");
  CHECK(a.difference(a).empty());
}

TEST_CASE("a text that is no plan is refused with its line") {
  CHECK(said([] { (void)plan::parse(""); }).find("empty") != std::string::npos);
  CHECK(said([] { (void)plan::parse("pleat plan 2\n"); }).find("newer version") != std::string::npos);
  CHECK(said([] { (void)plan::parse("pleat plan 1\nglobal_batch = many\n"); }).find("line 2: 'global_batch' must be a whole number, found 'many'") != std::string::npos);
  CHECK(said([] { (void)plan::parse("pleat plan 1\n\nwheels = 4\n"); }).find("line 3: 'wheels'") != std::string::npos);
  CHECK(said([] { (void)plan::parse("pleat plan 1\noverlap = maybe\n"); }).find("true or false") != std::string::npos);
  CHECK(said([] { (void)plan::parse("pleat plan 1\nnonsense\n"); }).find("line 2") != std::string::npos);
}

TEST_CASE("a plan that cannot be carried out is refused with its number") {
  plan p;
  p.global_batch = 0;
  CHECK(said([&] { p.check(); }).find("global_batch must be at least 1, found 0") != std::string::npos);
  p = {};
  p.deterministic = true;
  p.data_ranks = 9;
  CHECK(said([&] { p.check(); }).find("Use lanes = 16") != std::string::npos);
  p.lanes = 12;
  CHECK(said([&] { p.check(); }).find("lanes = 12") != std::string::npos);
}
