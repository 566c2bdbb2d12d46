// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What the tests of tensor parallelism share: one forward and backward of a network on the ranks of a tensor axis,
/// without a model, and its gradients put together again.
#pragma once

#include <pleat/comm/local.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/loss.hpp>
#include <pleat/parallel/tensor_recipe.hpp>
#include <pleat/plan/unit_memory.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace pleat::test {

using space = Kokkos::DefaultExecutionSpace;

/// Everything that a walk gives, whole: as one rank would have it.
struct walked {
  std::map<std::string, std::vector<float>> values, gradients;
  std::vector<std::string> order;  ///< parameters, first layer first
  std::vector<float> y;            ///< [m, …]
  std::vector<float> rows;         ///< each sample's loss
  /// collectives on the tensor axis: all_reduce, reduce_scatter(_v), all_gather(_v), all_to_all(_v) in forward; the
  /// same in backward
  std::vector<std::uint64_t> calls;
};

/// Puts this rank's part of a parameter where it belongs in the whole.
inline void put(nn::parameter const& w, std::vector<float> const& part, std::vector<float>& whole) {
  whole.resize(static_cast<std::size_t>(w.whole().size()));
  if (!w.where.shards() || w.parts == 1) {
    std::copy(part.begin(), part.end(), whole.begin());
    return;
  }
  auto const b = w.box()[w.where.dim];
  index_t const inner = w.whole().size_from(w.where.dim + 1), run = b.size() * inner,
                stride = w.whole()[w.where.dim] * inner;
  for (index_t from = 0, to = b.begin * inner; from < static_cast<index_t>(part.size()); from += run, to += stride)
    std::copy_n(part.begin() + from, run, whole.begin() + to);
}

inline std::vector<std::uint64_t> count_calls(comm::communicator const& c) {
  using comm::call_kind;
  auto const n = [&](call_kind k) { return c.counted(k).calls; };
  return {n(call_kind::all_reduce), n(call_kind::reduce_scatter) + n(call_kind::reduce_scatter_v),
          n(call_kind::all_gather) + n(call_kind::all_gather_v), n(call_kind::all_to_all) + n(call_kind::all_to_all_v)};
}

/// One walk over m samples. \param input_shape with the batch as extent 0; `tokens` > 0: whole numbers below it
/// \param labels one per row of scores; empty: dy is drawn instead
template <class Net>
walked walk(Net net, comm::communicator* axis, extents const& input_shape, index_t tokens, index_t classes,
            std::uint64_t seed = 3, nn::move_listener* moves = nullptr) {
  context<space> c(make_instance<space>(1));
  if (axis) parallel::cut_parameters(c, net, axis->rank(), axis->size());
  nn::arena<float, space> memory(c, net, seed);
  memory.reserve_gradients(net, 1);
  index_t const m = input_shape[0];
  nn::segment const all{0, compute::lanes::whole(m)};
  nn::pass<space> p;
  p.where = &c;
  p.training = true;
  p.input_gradient = false;
  p.seed = 11;
  p.step = 5;
  p.global_batch = m;
  p.segments = {&all, 1};
  p.tensor = axis;
  p.moves = moves;
  auto x = tensor<float, space>::allocate(c, input_shape);
  {
    std::vector<float> h(static_cast<std::size_t>(x.size()));
    nn::draw(nn::initializer::normal(1), 5, "input", 0, x.size(), h.data());
    if (tokens > 0)
      for (std::size_t i = 0; i < h.size(); ++i)
        h[i] = static_cast<float>((i * 7 + i / 3) % static_cast<std::size_t>(tokens));
    copy_from_host(c, h.data(), x);
  }
  for (auto& e : memory.entries()) e.use.done = 0;
  walked out;
  auto const before = axis ? count_calls(*axis) : std::vector<std::uint64_t>(4);
  auto const in_use = [&] { return static_cast<index_t>(c.pool().statistics().bytes_requested_in_use); };
  auto const bytes_before = in_use();
  auto made = nn::call(p, net, x);
  // What forward has left, beside the input, is what the ledger says, where layers say what they cost. (A model on one
  // rank has no tensor axis: what it is told to cut stays where it is.)
  auto const layers = nn::describe(net, input_shape).layers;
  if (std::none_of(layers.begin(), layers.end(), [](nn::layer_cost const& l) { return l.kind == "user"; }) &&
      !(axis && axis->size() == 1)) {
    index_t const held = in_use() - bytes_before;
    auto const said = plan::describe_stage(net, input_shape, 0, nn::units_of(net), {}, true, axis ? axis->rank() : 0,
                                           axis ? axis->size() : 1);
    if (held != said.held - said.input)
      throw std::runtime_error("forward holds " + std::to_string(held) + " bytes, the ledger says " +
                               std::to_string(said.held - said.input));
  }
  auto const between = axis ? count_calls(*axis) : before;
  {
    auto whole = nn::redistribute(p, made.y, {});
    out.y.resize(static_cast<std::size_t>(whole.size()));
    copy_to_host(c, whole, out.y.data());
  }
  tensor<float, space> dy;
  if (classes > 0) {
    index_t const n = made.y.whole_shape().size() / classes;
    auto labels = tensor<std::int32_t, space>::allocate(c, {n});
    std::vector<std::int32_t> h(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < h.size(); ++i)
      h[i] = i % 5 == 4 ? -1 : static_cast<std::int32_t>((i * 3) % static_cast<std::size_t>(classes));
    copy_from_host(c, h.data(), labels);
    auto loss = nn::cross_entropy{}(p, made.y, labels);
    out.rows.resize(static_cast<std::size_t>(loss.rows.size()));
    copy_to_host(c, loss.rows, out.rows.data());
    dy = loss.dy;
  } else {
    dy = tensor<float, space>::allocate(c, made.y.whole_shape());
    std::vector<float> h(static_cast<std::size_t>(dy.size()));
    nn::draw(nn::initializer::normal(1), 5, "output", 0, dy.size(), h.data());
    copy_from_host(c, h.data(), dy);
    dy = nn::redistribute(p, dy, made.y.layout());
  }
  auto const then = axis ? count_calls(*axis) : before;
  (void)nn::call_backward(p, net, made.saved, dy);
  auto const after = axis ? count_calls(*axis) : before;
  for (std::size_t i = 0; i < before.size(); ++i) out.calls.push_back(between[i] - before[i]);
  for (std::size_t i = 0; i < before.size(); ++i) out.calls.push_back(after[i] - then[i]);
  net.for_each_parameter([&](auto& w) {
    if (w.id < 0) return;
    if (axis && w.use->addend && w.tied_to.empty()) {
      c.fence();
      axis->all_reduce(std::span<float>(w.gradient(), static_cast<std::size_t>(w.size())));
    }
    for (bool const gradient : {false, true}) {
      std::vector<float> part(static_cast<std::size_t>(w.size())), whole;
      copy_to_host(c, tensor<float, space>::wrap(gradient ? w.gradient() : w.data(), w.shape), part.data());
      put(w, part, whole);
      // the other parts are zero here: x + 0 is x
      if (axis && w.where.shards()) axis->all_reduce(std::span<float>(whole));
      (gradient ? out.gradients : out.values)[w.name] = std::move(whole);
    }
    if (w.tied_to.empty()) out.order.push_back(w.name);
  });
  return out;
}

/// The same on `ranks` threads; what rank 0 sees, all ranks' having been put together.
template <class Net>
walked walk_on(int ranks, Net const& net, extents const& input_shape, index_t tokens = 0, index_t classes = 0,
               nn::move_listener* moves = nullptr) {
  walked first;
  comm::run_local(ranks, [&](comm::communicator c) {
    bool const root = c.rank() == 0;
    c.set_timeout(60);  // ranks that do not agree on what they sum fail, and do not wait for ever
    auto r = walk(net, &c, input_shape, tokens, classes, 3, root ? moves : nullptr);
    if (root) first = std::move(r);
  });
  return first;
}

/// ‖a − b‖ / ‖b‖.
inline double distance(std::vector<float> const& a, std::vector<float> const& b) {
  double d = 0, n = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    d += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    n += static_cast<double>(b[i]) * b[i];
  }
  return n > 0 ? std::sqrt(d / n) : std::sqrt(d);
}

/// Of each parameter the layer that it belongs to, counted from the first. A layer is what has a name: what stands
/// before a parameter's last dot.
inline std::vector<std::size_t> layers_of(std::vector<std::string> const& parameters) {
  std::vector<std::size_t> layer;
  std::string last;
  for (auto const& name : parameters) {
    auto const here = name.substr(0, name.rfind('.'));
    layer.push_back(layer.empty() ? 0 : layer.back() + (here != last));
    last = here;
  }
  return layer;
}

/// How far two runs' gradients in the l-th of n layers (0: the first) may lie apart, relative to the Frobenius norm.
/// The bound of the field's parity tests is k·C^(n−l)·eps with k = 4, C = 1.03, for the rounding of one run. Where
/// `sums` ranks or micro-batches each sum a part of every product, sums − 1 more roundings follow, of either sign:
/// their errors add up as √sums. Both runs round: twice that.
inline double gradient_bound(std::size_t l, std::size_t n, index_t sums) {
  return 2 * 4 * std::pow(1.03, static_cast<double>(n - l)) * 0x1p-23 * std::sqrt(static_cast<double>(sums));
}

/// The first parameter whose gradient is further from the serial run's than that. Empty: none.
inline std::string beyond_bound(walked const& a, walked const& serial, int ranks) {
  double const eps = 0x1p-23;
  auto const layer = layers_of(serial.order);
  for (std::size_t i = 0; i < serial.order.size(); ++i) {
    auto const& name = serial.order[i];
    double const bound = gradient_bound(layer[i], layer.back() + 1, ranks);
    double const d = a.gradients.contains(name) ? distance(a.gradients.at(name), serial.gradients.at(name)) : 1e30;
    if (!(d <= bound)) return name + ": " + std::to_string(d / eps) + " eps, allowed " + std::to_string(bound / eps);
  }
  return {};
}

}  // namespace pleat::test
