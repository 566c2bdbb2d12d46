// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Who hears about a walk through a network: the exchange of gradients and the gathering of parameters, behind the
/// pass's one pointer.
#pragma once

#include <algorithm>
#include <vector>

#include <pleat/nn/layer.hpp>
#include <pleat/nn/pass.hpp>
#include <pleat/parallel/gradient_exchange.hpp>
#include <pleat/parallel/parameter_gather.hpp>

namespace pleat::parallel {

/// Either may be null.
template <class T, class Space> class step_hooks final : public nn::pass_hooks {
 public:
  gradient_exchange<T, Space>* exchange = nullptr;
  parameter_gather<T, Space>* gather = nullptr;  ///< null at stage 0

  void gradient_ready(nn::parameter const& p) override {
    if (exchange) exchange->gradient_ready(p);
  }
  void poll() override {
    if (exchange) exchange->poll();
    if (gather) gather->poll();
  }
  void open_values(nn::parameter& p, bool backward) override {
    if (gather) gather->open_values(p, backward);
  }
  void close_values(nn::parameter& p) noexcept override {
    if (gather) gather->close_values(p);
  }
  void open_gradient(nn::parameter& p) override {
    if (exchange) exchange->open_gradient(p);
  }
};

/// The largest number of buckets that the values of one layer's parameters lie in.
template <class L, class T, class Space>
[[nodiscard]] int buckets_of_a_layer(L& layer, nn::arena<T, Space> const& arena) {
  int most = 0;
  if constexpr (nn::composite<L>) {
    layer.for_each_child([&](auto& child) { most = std::max(most, buckets_of_a_layer(child, arena)); });
  } else {
    std::vector<int> touched;
    layer.for_each_parameter([&](nn::parameter& w) {
      if (w.id >= 0) touched.push_back(arena.layout().owner()[static_cast<std::size_t>(arena.values_of(w.id))]);
    });
    std::sort(touched.begin(), touched.end());
    most = static_cast<int>(std::unique(touched.begin(), touched.end()) - touched.begin());
  }
  return most;
}

}  // namespace pleat::parallel
