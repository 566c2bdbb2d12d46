// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>

#include <memory>
#include <vector>

#include <pleat/parallel/bucket_sum.hpp>

using namespace pleat;

namespace {
/// A sum that never ends by itself: when its request is let go, it takes what lies in its buffer by then.
struct lasting_sum final : comm::pending {
  comm::buffer of{};
  std::vector<float> left;
  bool test() override { return false; }
  void wait() override {}
  void release() noexcept override {
    auto const* at = static_cast<float const*>(of.data);
    left.assign(at, at + of.count);
  }
};
struct lasting {
  std::shared_ptr<lasting_sum> sum;
  [[nodiscard]] int rank() const { return 0; }
  [[nodiscard]] int size() const { return 1; }
  comm::request iall_reduce(comm::const_buffer, comm::buffer out, comm::reduction) {
    sum->of = out;
    return comm::request(sum.get());
  }
};
}  // namespace

TEST_CASE("a sum that is under way when it is given up ends before the buffer that it reads") {
  auto const sum = std::make_shared<lasting_sum>();
  parallel::shard_group group;
  group.all = std::make_shared<comm::communicator>(lasting{sum});
  plan::plan p;
  p.wire = plan::wire_format::bf16;
  std::vector<index_range> const entries{{0, 16}, {16, 32}, {32, 33}};
  nn::state_layout const layout(entries, 48, sizeof(float), 1 << 20, 0, 1);
  std::vector<float> gradients(48, 1.0F), exact(16);
  for (std::size_t i = 0; i < 16; ++i) gradients[16 + i] = exact[i] = static_cast<float>(i + 3);
  {
    std::vector<index_range> const statistics{{16, 32}};
    parallel::bucket_sum<float> s(group, p, layout, 0, statistics);
    float* const slots[] = {gradients.data()};
    s.start(slots, gradients.data());
    CHECK(s.under_way());
  }
  CHECK(sum->left == exact);
}
