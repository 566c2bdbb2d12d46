// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Training in which one rank ends, hangs or is killed at a named point of a step: what the others say and do then.
#pragma once

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/comm/local.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/parallel/tensor_recipe.hpp>
#include <pleat/run/checkpoint.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include <sys/resource.h>

namespace sabotage {

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;
using pl::index_t;
using tensor = pl::tensor<float, space>;

enum class how { fail, hang, kill };

/// Where in step 1, the second one, a rank comes to its end: points of the program, and of its layers.
/// "exchange": where backward has come to the bottom, and the sums of what lies above are under way.
inline constexpr char const* points[] = {"begin",    "input",  "forward", "loss", "backward",
                                         "exchange", "reduce", "norm",    "step", "save"};

/// Who comes to its end there: samples are asked for and backward ends on the first stage, the loss on the last.
inline int victim(pl::plan::plan const& p, std::string_view point) {
  return point == "input" || point == "exchange" ? 0 : point == "loss" ? static_cast<int>(p.ranks()) - 1 : 1;
}

struct trap {
  std::string point;  // empty: no trap on this rank
  how what = how::fail;
  // a hang is over when so many of the others have ended; without a count it never is
  std::atomic<int> const* ended = nullptr;
  int others = 0;
  bool armed = false;

  void at(std::string_view here) {
    if (!armed || here != point) return;
    armed = false;
    if (what == how::kill) std::raise(SIGKILL);
    while (what == how::hang && (!ended || *ended < others)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (what == how::fail) throw pl::error{"test", "sabotage at " + point, "Take the trap away"};
  }
};

/// Passes everything on, and springs the trap of this rank. Its own: a pointer, so that copies of the network spring
/// the same.
struct trap_layer {
  static constexpr auto mixes = pl::nn::mixing::nothing;
  struct saved {};
  trap* t = nullptr;
  bool lowest = false;
  pl::extents shape(pl::extents in) const { return in; }
  pl::nn::step<saved, tensor> forward(pl::nn::pass<space> const&, tensor x) const {
    t->at("forward");
    return {x, {}};
  }
  tensor backward(pl::nn::pass<space> const&, saved&, tensor dy) {
    t->at("backward");
    if (lowest) t->at("exchange");
    return dy;
  }
  void for_each_parameter(auto&&) {}
};

/// A trap on every stage of up to three: units are all layers.
inline auto network(trap* t) {
  namespace nn = pl::nn;
  auto net = nn::sequential(nn::linear("first", 12, 10), trap_layer{t, true}, nn::relu(), nn::linear("second", 10, 14),
                            trap_layer{t}, nn::linear("third", 14, 10), nn::relu(), trap_layer{t},
                            nn::linear("fourth", 10, 5));
  return pl::parallel::tensor_parallel(
      std::move(net), {pl::parallel::column("first.*"), pl::parallel::row("second.*"), pl::parallel::column("third.*"),
                       pl::parallel::row("fourth.*")});
}

template <class Model> struct source {
  Model* m;
  trap* t;
  tensor input(pl::parallel::micro_batch const& b) {
    t->at("input");
    auto x = tensor::allocate(m->context(), {b.rows.size(), 12});
    pl::compute::fill(m->context().space(), x.size(), 0.25f, x.data());
    return x;
  }
  tensor loss(pl::parallel::micro_batch const& b, tensor y) {
    t->at("loss");
    auto labels = pl::tensor<std::int32_t, space>::allocate(m->context(), {b.rows.size()});
    std::vector<std::int32_t> const host(static_cast<std::size_t>(b.rows.size()), 1);
    pl::copy_from_host(m->context(), host.data(), labels);
    return m->cross_entropy(m->whole(std::move(y)), labels).dy;
  }
};

struct options {
  pl::plan::plan plan{};
  int rank = 1;  // who comes to its end
  std::string point{};
  how what = how::fail;
  double timeout = -1;
  std::string folder{};                     // for checkpoints
  std::atomic<int> const* ended = nullptr;  // ranks as threads: how many have come to their end
  // the save of step 1: rank o.rank is killed when it has written so many bytes into one of the files
  index_t room = -1;
};

/// While it lives, this process kills itself, as kill -9 does, where it would write into a file beyond `room` bytes.
/// For processes.
class writing_kills {
 public:
  explicit writing_kills(index_t room) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, [](int) { std::raise(SIGKILL); });
    rlimit const small{static_cast<rlim_t>(room), before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  writing_kills(writing_kills const&) = delete;
  writing_kills& operator=(writing_kills const&) = delete;
  ~writing_kills() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, SIG_DFL);
  }

 private:
  rlimit before_{};
};

/// Three steps, each saved. The trap of rank o.rank springs in step 1.
inline void train(pl::world& w, options const& o) {
  trap t{w.rank() == o.rank ? o.point : "", o.what, o.ended, w.size() - 1};
  w.set_sink({});
  auto m = pl::parallel::build(network(&t), o.plan, w, {.seed = 3});
  pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pl::nn::adamw{});
  source<decltype(m)> s{&m, &t};
  for (int step = 0; step < 3; ++step) {
    t.armed = step == 1 && !t.point.empty();
    if (step == 1 && o.timeout > 0) m.set_timeout(o.timeout);  // nobody is given up before
    t.at("begin");
    m.zero_grad(24);
    m.walk(s);
    t.at("reduce");
    m.reduce();
    t.at("norm");
    double const scale = m.clip_scale(1);
    t.at("step");
    m.step(optimizer, 1, scale);
    t.at("save");
    if (o.folder.empty()) continue;
    std::optional<writing_kills> trap_in_save;
    if (step == 1 && o.room >= 0 && w.rank() == o.rank) trap_in_save.emplace(o.room);
    pl::run::save_checkpoint(o.folder, m, optimizer, step + 1);
  }
}

/// Which step the newest checkpoint of the folder ends with, as every rank of this plan loads it; 0: there is none.
inline index_t newest(pl::world& w, options const& o) {
  trap none;
  w.set_sink({});
  auto m = pl::parallel::build(network(&none), o.plan, w, {.seed = 3});
  pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pl::nn::adamw{});
  auto const at = pl::run::load_checkpoint(o.folder, m, optimizer);
  return at ? at->step : 0;
}

inline pl::plan::plan mesh(index_t pipeline, index_t data, index_t tensor, int stage = 0) {
  pl::plan::plan p;
  p.global_batch = 24;
  p.pipeline_ranks = pipeline;
  p.data_ranks = data;
  p.tensor_ranks = tensor;
  p.state_stage = stage;
  p.bucket_bytes = 512;
  if (pipeline > 1) p.micro_batches = 3, p.schedule = "1f1b";
  return p;
}

}  // namespace sabotage
