// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// An optimizer of one's own that must have the bits of nn::sgd with momentum 0.9, where gradients are scaled by powers
/// of two.
#pragma once

#include <array>
#include <string_view>

#include <pleat/compute/math.hpp>
#include <pleat/nn/optimizer.hpp>

namespace pleat::test {

template <class T> struct own_momentum_rule {
  bool first;
  PLEAT_INLINE void operator()(compute::update_element<T, 1>& e) const {
    T const g = e.gradient + compute::fma(e.decay, e.value, T(0));
    e.state[0] = first ? g : compute::fma(T(0.9), e.state[0], g);
    e.value = compute::fma(-e.rate, e.state[0], e.value);
  }
};

struct own_momentum {
  static constexpr std::string_view name = "own_momentum";
  static constexpr std::array<std::string_view, 1> buffers{"velocity"};
  double learning_rate = 0.01;
  double weight_decay = 0;
  template <class T> own_momentum_rule<T> rule(nn::update_step s) const { return {s.number == 1}; }
  void check() const {
    if (learning_rate == 13) throw error{"test::own_momentum", "13 brings bad luck", "Use 12"};
  }
};

}  // namespace pleat::test
