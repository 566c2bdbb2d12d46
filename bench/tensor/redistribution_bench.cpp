// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A plan for thousands of ranks, as one of them computes it: the steps, their bytes over all ranks, and this rank's own
// boxes.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include <pleat/tensor/redistribution.hpp>

namespace {

using namespace pleat;

struct way {
  char const* name;
  placement from, to;
};

void plan(benchmark::State& state, mesh const& m, extents const& shape, way const& w) {
  index_t boxes = 0, bytes = 0;
  for (auto _ : state) {
    redistribution const r(layout(m, shape, w.from), w.to, 2);
    boxes = 0;
    bytes = r.bytes();
    for (auto const& s : r.steps()) {
      auto const in = s.receives(m.size() / 3), out = s.sends(m.size() / 3);
      boxes += static_cast<index_t>(in.size() + out.size());
      benchmark::DoNotOptimize(in.data());
      benchmark::DoNotOptimize(out.data());
    }
  }
  state.counters["own_boxes"] = static_cast<double>(boxes);
  state.counters["gigabytes"] = static_cast<double>(bytes) * 1e-9;
}

int const registered = [] {
  extents const shape{50257, 12288};  // the output projection of a large language model: uneven over every power of two
  auto const add = [&](mesh const& m, std::vector<way> const& ways) {
    for (auto const& w : ways)
      benchmark::RegisterBenchmark(("plan/" + m.to_string() + "/" + w.name).c_str(), [=](benchmark::State& s) {
        plan(s, m, shape, w);
      })->Unit(benchmark::kMillisecond);
  };
  placement const whole{};
  add(mesh{{"data", 4096}}, {{"gather", shard<0>{}, whole},
                             {"reduce_scatter", partial{}, shard<0>{}},
                             {"all_reduce", partial{}, whole},
                             {"turn", shard<0>{}, shard<1>{}}});
  add(mesh{{"data", 64}, {"tensor", 64}},
      {{"gather", placement{shard<0>{}, shard<1>{}}, whole},
       {"nested", placement{shard<0>{}, shard<0>{}}, placement{replicate{}, shard<0>{}}},
       {"swap", placement{shard<0>{}, shard<1>{}}, placement{shard<1>{}, shard<0>{}}}});
  add(mesh{{"data", 16}, {"tensor", 8}, {"pipeline", 32}},
      {{"mixed", placement{shard<0>{}, partial{}, shard<1>{}}, placement{shard<1>{}, shard<0>{}, replicate{}}},
       {"nested", placement{shard<0>{}, shard<0>{}, shard<0>{}}, placement{shard<1>{}, shard<0>{}, shard<1>{}}}});
  return 0;
}();

}  // namespace
