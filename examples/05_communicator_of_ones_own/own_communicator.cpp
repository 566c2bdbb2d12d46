// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A communicator of one's own: ranks that meet in an array that they share. With the collectives that data-parallel
// training uses it trains a network like any other transport.
#include <pleat/pleat.hpp>

#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pl = pleat;

// [own_communicator]
// What the ranks share: a place for everybody's buffer, and a barrier.
struct meeting_place {
  explicit meeting_place(int ranks) : buffers(static_cast<std::size_t>(ranks)), everybody(ranks) {}
  std::vector<void const*> buffers;
  std::barrier<> everybody;
};

class board {  // models ranked, all_reduce, all_gather, broadcast, barrier: what building and training need
 public:
  board(std::shared_ptr<meeting_place> place, int rank) : place_(std::move(place)), rank_(rank) {}

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(place_->buffers.size()); }
  void barrier() { place_->everybody.arrive_and_wait(); }

  void all_reduce(pl::comm::const_buffer in, pl::comm::buffer out, pl::comm::reduction op) {
    if (in.type != pl::dtype::f32 || op != pl::comm::reduction::sum)
      throw pl::error{"board::all_reduce", "this board adds floats only", "Train in float, or add the type here"};
    std::vector<float> sum(static_cast<std::size_t>(in.count));
    meet(in.data, [&](int, void const* theirs) {
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<float const*>(theirs)[i];
    });
    if (!sum.empty()) std::memcpy(out.data, sum.data(), sum.size() * sizeof(float));
  }
  void all_gather(pl::comm::const_buffer in, pl::comm::buffer out) {
    meet(in.data, [&](int r, void const* theirs) {
      std::memcpy(static_cast<std::byte*>(out.data) + r * in.bytes(), theirs, static_cast<std::size_t>(in.bytes()));
    });
  }
  void broadcast(pl::comm::buffer data, int root) {
    meet(data.data, [&](int r, void const* theirs) {
      if (r == root && r != rank_) std::memcpy(data.data, theirs, static_cast<std::size_t>(data.bytes()));
    });
  }
  std::unique_ptr<board> split(int, int) { return std::make_unique<board>(place_, rank_); }  // everybody stays together

 private:
  template <class F> void meet(void const* mine, F const& f) {  // shows my buffer, looks at everybody's
    place_->buffers[static_cast<std::size_t>(rank_)] = mine;
    barrier();
    for (int r = 0; r < size(); ++r) f(r, place_->buffers[static_cast<std::size_t>(r)]);
    barrier();
  }
  std::shared_ptr<meeting_place> place_;
  int rank_;
};
// [own_communicator]

// What one rank does. Returns its test error.
double train(pl::comm::communicator communicator, pl::io::split const& data) {
  pl::world world(std::move(communicator));
  auto net = pl::nn::sequential(pl::nn::flatten(), pl::nn::linear("fc1", 64, 48), pl::nn::relu(),
                                pl::nn::linear("fc2", 48, 10));
  auto model = pl::parallel::build(net, pl::plan::search(net, world, {.global_batch = 32, .overlap = false}), world);
  pl::nn::optimizer_state<float, Kokkos::DefaultExecutionSpace> optimizer(model.context(), model.arena(),
                                                                          pl::nn::adamw{.learning_rate = 3e-3});
  pl::io::sampler const sampler(data.train.size, 32);
  pl::run::batch_loader<float, Kokkos::DefaultExecutionSpace> loader(data.train);
  for (pl::index_t step = 0; step < 10 * sampler.batches_per_epoch(); ++step) {
    auto const at = sampler.at(step);
    auto const order = sampler.order(at.epoch);
    auto const batch = sampler.batch(at.batch);
    model.zero_grad(batch.size());
    auto const rows = model.share().rows();
    auto b = loader.load(model.context(), std::span(order).subspan(static_cast<std::size_t>(batch.begin + rows.begin),
                                                                   static_cast<std::size_t>(rows.size())));
    auto [y, saved] = model.forward(b.x);
    model.backward(saved, model.cross_entropy(y, b.labels).dy);
    model.reduce();
    model.step(optimizer);
  }
  model.demand_equal_replicas();
  std::vector<pl::index_t> all(static_cast<std::size_t>(data.test.size));
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<pl::index_t>(i);
  pl::run::batch_loader<float, Kokkos::DefaultExecutionSpace> test(data.test);
  auto const b = test.load(model.context(), all);
  return 1 - static_cast<double>(pl::nn::count_correct(model.context(), model.predict(b.x), b.labels)) /
                 static_cast<double>(data.test.size);
}

int say(std::exception const& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}

int main(int argc, char** argv) try {
  if (argc > 1)
    throw pl::error{"own_communicator", "nobody takes the argument '" + std::string(argv[1]) + "'",
                    "Say own_communicator"};
  pl::kokkos_guard const kokkos(1);
  constexpr int ranks = 3;
  auto const place = std::make_shared<meeting_place>(ranks);
  auto const data = pl::io::load_digits(PLEAT_DIGITS);
  std::vector<double> error(ranks, 1.0);
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] {
      try {
        error[static_cast<std::size_t>(r)] = train(pl::comm::communicator(board(place, r)), data);
      } catch (std::exception const& e) {
        std::_Exit(say(e));  // the others would wait for this one
      }
    });
  for (auto& t : threads) t.join();
  std::printf("%d ranks on a board: test error %.1f %%\n", ranks, 100 * error[0]);
  return error[0] < 0.1 ? 0 : 1;
} catch (std::exception const& e) {
  return say(e);
}
