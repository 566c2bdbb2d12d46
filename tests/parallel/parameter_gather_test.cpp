// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// State stage 3: parameters are gathered just in time, and the next layer's are on their way before the present one
// computes. Told by the order of what a rank begins, computes and waits for; no clock decides.
#include <pleat/parallel/parameter_gather.hpp>

#include <pleat/comm/local.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/parallel/model.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace pl = pleat;
using pl::index_t;
using space = Kokkos::DefaultExecutionSpace;
using tensor = pl::tensor<float, space>;

namespace {

/// What one rank did, in order.
using record = std::vector<std::string>;

/// Writes down when gathers of parts begin and when somebody waits for one. They never end by polling: what is not
/// waited for is not there.
class recording {
 public:
  recording(pl::comm::communicator c, record* to)
      : inner_(std::make_unique<pl::comm::communicator>(std::move(c))), to_(to) {}

  [[nodiscard]] int rank() const { return inner_->rank(); }
  [[nodiscard]] int size() const { return inner_->size(); }
  void run(pl::comm::call const& c) { inner_->run(c); }
  [[nodiscard]] pl::comm::request start(pl::comm::call const& c) {
    if (c.kind != pl::comm::call_kind::all_gather_v) return inner_->start(c);
    auto free = std::find_if(operations_.begin(), operations_.end(), [](auto const& o) { return !o->busy; });
    if (free == operations_.end()) free = operations_.insert(free, std::make_unique<operation>());
    operation& o = **free;
    o.busy = true;
    o.to = to_;
    o.bytes = static_cast<index_t>(c.out.bytes());
    to_->push_back("begin " + std::to_string(o.bytes));
    o.inner = inner_->start(c);
    return pl::comm::request(&o);
  }
  void progress() { inner_->progress(); }
  std::unique_ptr<recording> split(int color, int key) {
    auto part = inner_->split(color, key);
    return part ? std::make_unique<recording>(std::move(part), to_) : nullptr;
  }

 private:
  struct operation final : pl::comm::pending {
    pl::comm::request inner;
    record* to = nullptr;
    index_t bytes = 0;
    bool busy = false;
    bool test() override {
      (void)inner.test();
      return false;
    }
    void wait() override {
      inner.wait();
      to->push_back("have " + std::to_string(bytes));
    }
    void release() noexcept override {
      inner = {};
      busy = false;
    }
  };

  std::unique_ptr<pl::comm::communicator> inner_;
  record* to_;
  std::vector<std::unique_ptr<operation>> operations_;
};

/// A linear layer that says when it computes.
class told : public pl::nn::linear<> {
 public:
  told(int number, index_t in, index_t out, record* to)
      : pl::nn::linear<>("fc" + std::to_string(number), in, out), number_(number), to_(to) {}
  [[nodiscard]] pl::nn::step<saved, tensor_type> forward(pl::nn::pass<space> const& p, tensor_type x) const {
    say("forward ");
    return pl::nn::linear<>::forward(p, std::move(x));
  }
  [[nodiscard]] tensor_type backward_input(pl::nn::pass<space> const& p, saved& s, tensor_type dy) {
    say("backward ");
    return pl::nn::linear<>::backward_input(p, s, std::move(dy));
  }

 private:
  void say(char const* what) const {
    if (to_) to_->push_back(what + std::to_string(number_));
  }
  int number_;
  record* to_;
};

constexpr int layers = 6;
/// Each layer's bucket has another size, so a message tells whose it is.
auto network(record* to) {
  return pl::nn::sequential(told(0, 12, 16, to), told(1, 16, 24, to), told(2, 24, 32, to), told(3, 32, 40, to),
                            told(4, 40, 48, to), told(5, 48, 8, to));
}

/// What one rank did in the second of two steps, gathers named by their layers: "begin 3", "forward 2", "have 3".
std::vector<record> second_step(pl::plan::plan p) {
  std::vector<record> all(static_cast<std::size_t>(p.data_ranks));
  p.global_batch = 24;
  p.state_stage = 3;
  p.bucket_bytes = 256;  // a layer's weight and bias in one, no two layers
  pl::comm::run_local(static_cast<int>(p.data_ranks), [&](pl::comm::communicator c) {
    record raw;
    auto const rank = static_cast<std::size_t>(c.rank());
    pl::world w(pl::comm::communicator(recording(std::move(c), &raw)), 1);
    auto m = pl::parallel::build(network(&raw), p, w, {.seed = 3});
    pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pl::nn::sgd{.learning_rate = 0.01});
    auto const& layout = m.arena().layout();
    std::map<std::string, std::string> layer_of;  // bytes of a bucket → the layer whose parameters it holds
    for (auto const& e : m.arena().entries()) {
      if (e.name == pl::nn::loss_entry) continue;
      auto const b =
          static_cast<std::size_t>(layout.owner()[static_cast<std::size_t>(&e - m.arena().entries().data())]);
      auto const [at, fresh] =
          layer_of.try_emplace(std::to_string(layout.buckets()[b].size() * 4), e.name.substr(2, 1));
      if (!fresh && at->second != e.name.substr(2, 1)) throw std::runtime_error("two layers have buckets of one size");
    }
    if (layer_of.size() != layers) throw std::runtime_error("a layer has no bucket of its own");
    struct {
      decltype(m)* model;
      tensor input(pl::parallel::micro_batch const& micro) {
        auto x = tensor::allocate(model->context(), {micro.rows.size(), 12});
        pl::compute::fill(model->context().space(), x.size(), 0.5f, x.data());
        return x;
      }
      tensor loss(pl::parallel::micro_batch const&, tensor y) {
        auto target = tensor::allocate(model->context(), y.shape());
        pl::compute::fill(model->context().space(), target.size(), 1.0f, target.data());
        return model->mean_square(y, target).dy;
      }
    } source{&m};
    for (int s = 0; s < 2; ++s) {
      raw.clear();
      m.zero_grad(24);
      m.walk(source);
      m.reduce();
      m.step(optimizer);
    }
    for (auto const& line : raw) {
      auto const space_at = line.find(' ');
      auto const what = line.substr(0, space_at + 1), whose = line.substr(space_at + 1);
      if (what == "begin " || what == "have ") {
        if (layer_of.contains(whose)) all[rank].push_back(what + layer_of.at(whose));
      } else {
        all[rank].push_back(line);
      }
    }
  });
  return all;
}

std::string joined(record const& r) {
  std::string all;
  for (auto const& line : r) all += line + "; ";
  return all;
}
record lines(std::string const& text) {
  record all;
  for (std::size_t at = 0, end; (end = text.find("; ", at)) != std::string::npos; at = end + 2)
    all.push_back(text.substr(at, end - at));
  return all;
}

}  // namespace

TEST_CASE("gathered just in time: without prefetch a layer's parameters are asked for when it is reached") {
  for (index_t const ranks : {2, 3}) {
    // Forward; then backward begins with what forward ended with, in the one buffer that there is.
    auto const expected = lines(
        "begin 0; have 0; forward 0; begin 1; have 1; forward 1; begin 2; have 2; forward 2; begin 3; have 3; forward "
        "3; begin 4; have 4; forward 4; "
        "begin 5; have 5; forward 5; backward 5; begin 4; have 4; backward 4; begin 3; have 3; backward 3; begin 2; "
        "have 2; backward 2; "
        "begin 1; have 1; backward 1; begin 0; have 0; backward 0; ");
    pl::plan::plan p;
    p.data_ranks = ranks;
    p.prefetch = 0;
    for (auto const& r : second_step(p)) {
      INFO(ranks << " ranks: " << joined(r));
      CHECK((r == expected));
    }
  }
}

TEST_CASE(
    "gathered just in time: with prefetch the next layer's parameters are on their way before the present one "
    "computes") {
  // Before layer i computes, the gather of the next one in the walk's direction has begun and nobody has waited for it;
  // it has come when that one computes. Backward begins with the two that forward ended with.
  auto const expected = lines(
      "begin 0; begin 1; have 0; forward 0; begin 2; have 1; forward 1; begin 3; have 2; forward 2; begin 4; have 3; "
      "forward 3; begin 5; have 4; forward 4; "
      "have 5; forward 5; backward 5; begin 3; backward 4; begin 2; have 3; backward 3; begin 1; have 2; backward 2; "
      "begin 0; have 1; backward 1; "
      "have 0; backward 0; ");
  for (bool const deterministic : {false, true})
    for (bool const overlap : {true, false})
      for (index_t const ranks : {2, 3, 4})
        for (index_t const group : {0, 2}) {
          if (group > 0 && ranks != 4) continue;
          pl::plan::plan p;
          p.data_ranks = ranks;
          p.state_ranks = group;
          p.prefetch = 1;
          p.deterministic = deterministic;
          p.overlap = overlap;
          for (auto const& r : second_step(p)) {
            INFO(p.to_string() << joined(r));
            CHECK((r == expected));
          }
        }
}

TEST_CASE("gathered just in time: prefetch of n buckets is n buckets ahead, over several micro-batches too") {
  for (index_t const ahead : {1, 2, 3})
    for (index_t const micro : {1, 2}) {
      pl::plan::plan p;
      p.data_ranks = 2;
      p.prefetch = ahead;
      p.micro_batches = micro;
      for (auto const& r : second_step(p)) {
        INFO("prefetch " << ahead << ", " << micro << " micro-batches: " << joined(r));
        std::map<std::string, bool> begun, come;  // of each layer: it is under way or there; it is there
        int computed = 0;
        for (auto const& line : r) {
          auto const whose = line.substr(line.find(' ') + 1);
          if (line.starts_with("begin ")) begun[whose] = true, come[whose] = false;
          if (line.starts_with("have ")) come[whose] = true;
          bool const forward = line.starts_with("forward ");
          if (!forward && !line.starts_with("backward ")) continue;
          ++computed;
          CHECK(come[whose]);
          for (index_t k = 1; k <= ahead; ++k) {
            auto const next = std::stoll(whose) + (forward ? k : -k);
            if (next >= 0 && next < layers) CHECK(begun[std::to_string(next)]);
          }
        }
        CHECK(computed == 2 * layers * micro);
      }
    }
}
