// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Networks whose parameters are sharded (state_stage = 3) in the middle of rows, and the bytes that a transform makes
// of them.
#pragma once

#include <compress/compress_support.hpp>

#include <pleat/nn/batch_norm.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <vector>

namespace compress_test {

/// 6000, 12000 and 160 weights: pieces are cut every 4096 elements, in the middle of rows.
inline auto wide() {
  namespace nn = pleat::nn;
  return nn::sequential(nn::linear("fc1", 20, 300, {.bias = false}), nn::batch_norm("norm1", 300), nn::relu(),
                        nn::linear("fc2", 300, 40), nn::batch_norm("norm2", 40), nn::relu(), nn::linear("fc3", 40, 4));
}
struct layout {
  int ranks, stage;
  index_t state_ranks;
  index_t bucket_bytes = 20000, state_stride = 1;
};
inline auto built(pleat::world& w, layout const& l) {
  pleat::plan::plan p;
  p.global_batch = 16;
  p.data_ranks = l.ranks;
  p.deterministic = true;
  p.state_stage = l.stage;
  p.state_ranks = l.state_ranks;
  p.state_stride = l.state_stride;
  p.bucket_bytes = l.bucket_bytes;
  auto m = pleat::parallel::build(wide(), p, w, {.seed = 3});
  auto flat = m.host_values();
  for (auto& x : flat) x = std::round(x * 512) / 512;  // ties
  m.set_host_values(flat);
  return m;
}
/// The file of the transformed model, of rank 0; all ranks' must be the same.
template <class Transform> std::vector<std::byte> file(layout const& l, Transform const& t) {
  std::vector<std::vector<std::byte>> all(static_cast<std::size_t>(l.ranks));
  std::vector<int> stages(all.size());
  pleat::comm::run_local(l.ranks, [&](pleat::comm::communicator c) {
    auto const rank = static_cast<std::size_t>(c.rank());
    pleat::world w(std::move(c), 1);
    w.set_sink({});
    auto const m = t(built(w, l));
    stages[rank] = m.plan().state_stage;
    all[rank] = pleat::run::file_image(m.unsharded());
  });
  for (std::size_t r = 0; r < all.size(); ++r) {
    CHECK(stages[r] == l.stage);
    CHECK((all[r] == all[0]));
  }
  return all[0];
}
inline std::vector<layout> const sharded_parameters{{1, 3, 0}, {2, 3, 0}, {3, 3, 0}, {4, 3, 2}, {4, 3, 1}};
template <class Transform> void same_bytes(Transform const& t, bool stage_2 = true) {
  auto const whole = file({1, 0, 0}, t);
  auto layouts = sharded_parameters;
  if (stage_2) layouts.push_back({2, 2, 0});
  for (layout const& l : layouts) {
    CAPTURE(l.ranks, l.stage, l.state_ranks);
    CHECK((file(l, t) == whole));
  }
}

}  // namespace compress_test
