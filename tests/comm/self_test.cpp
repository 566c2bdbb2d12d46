// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One rank alone: every collective is a copy, and messages go to oneself.
#include <catch2/catch_test_macros.hpp>

#include <vector>

#include <comm/op_matrix.hpp>
#include <pleat/comm/self.hpp>

using namespace pleat;

TEST_CASE("self: every operation agrees with the oracle") {
  comm::communicator c = comm::self();
  CHECK(c.rank() == 0);
  CHECK(c.size() == 1);
  CHECK(c.name() == "self");
  auto const f = pleat_test::run_op_matrix(c, false);
  CHECK(f.list == std::vector<std::string>{});
}

TEST_CASE("self: split and duplicate give groups of one") {
  comm::communicator c = comm::self();
  auto d = c.duplicate();
  CHECK(d.size() == 1);
  CHECK(d.all_reduce_value(4.0f) == 4.0f);
  CHECK_FALSE(c.split(-1, 0));
}
