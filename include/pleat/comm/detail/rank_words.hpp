// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What errors say of ranks: which, how long they were waited for, and what they asked for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/comm/types.hpp>

namespace pleat::comm::detail {

/// "rank 2", "ranks 1, 3"
PLEAT_ONCE [[nodiscard]] std::string name_ranks(std::vector<int> const& ranks) {
  std::string s = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < ranks.size(); ++i) s += (i ? ", " : "") + std::to_string(ranks[i]);
  return s;
}

/// "0.25 s"
PLEAT_ONCE [[nodiscard]] std::string name_seconds(double s) {
  std::string t = std::to_string(s);
  t.erase(t.find_last_not_of('0') + 1);
  if (t.ends_with('.')) t.pop_back();
  return t + " s";
}

/// Names what rank r asks for that differs from rank 0; empty if the two agree.
PLEAT_ONCE [[nodiscard]] std::string disagreement(call const& a, call const& b, int rank) {
  bool same = a.kind == b.kind && a.count() == b.count() && (a.kind == call_kind::barrier || a.type() == b.type()) &&
              (!a.reduces() || a.op == b.op) && (!a.rooted() || a.root == b.root);
  if (same && (a.kind == call_kind::all_gather_v || a.kind == call_kind::reduce_scatter_v))
    same = std::equal(a.out_parts.counts.begin(), a.out_parts.counts.end(), b.out_parts.counts.begin(),
                      b.out_parts.counts.end());
  if (same) return {};
  return "rank " + std::to_string(rank) + " asks for " + describe(b) + " where rank 0 asks for " + describe(a);
}

}  // namespace pleat::comm::detail
