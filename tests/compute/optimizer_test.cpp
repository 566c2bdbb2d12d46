// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/optimizer.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <cmath>
#include <limits>

#include "vector_support.hpp"

namespace {

using namespace vector_support;
namespace compute = pleat::compute;
using compute::update_chunk;

/// Three chunks with different settings, a gap between them, the last one frozen.
std::vector<update_chunk> table(index_t n, std::uint8_t const* mask) {
  index_t const a = n / 3, b = n / 2, c = n - n / 8;
  return {{0, a, 1, 0.1f, false, nullptr},
          {a, b, 0.5f, 0, false, mask},
          {b + (c > b), c, 2, 0.01f, false, nullptr},
          {c, n, 1, 0.1f, true, nullptr}};
}

update_chunk const* chunk_of(std::vector<update_chunk> const& t, index_t i) {
  for (auto const& c : t)
    if (i >= c.begin && i < c.end) return c.frozen ? nullptr : &c;
  return nullptr;
}
bool masked(update_chunk const& c, index_t i) {
  return c.mask_bits != nullptr && (c.mask_bits[(i - c.begin) / 8] >> ((i - c.begin) % 8) & 1) == 0;
}

std::vector<std::uint8_t> some_bits(index_t n) {
  std::vector<std::uint8_t> bits(static_cast<std::size_t>(n / 8 + 1));
  pleat::random::stream const r(3, 4);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint8_t>(r.bits(i));
  return bits;
}

constexpr index_t sizes[] = {0, 1, 5, 64, 200, 70001};

template <class T> struct own_momentum {
  bool first;
  PLEAT_INLINE void operator()(compute::update_element<T, 1>& e) const {
    T const g = e.gradient + compute::fma(e.decay, e.value, T(0));
    e.state[0] = first ? g : compute::fma(T(0.875), e.state[0], g);
    e.value = compute::fma(-e.rate, e.state[0], e.value);
  }
};

}  // namespace

TEMPLATE_TEST_CASE("SGD follows its formula over chunks, masks and gaps", "[compute][optimizer]", float, double) {
  using T = TestType;
  for (index_t const n : sizes)
    for (int const kind : {0, 1, 2, 3}) {  // plain, momentum, Nesterov, dampened
      auto const bits = some_bits(n);
      auto const chunks = table(n, bits.data());
      auto w = numbers<T>(n, 1);
      auto const start = w;
      guarded<T> b(n), w2 = w, b2 = b, w3 = w, b3 = b, w4 = w, b4 = b, w5 = w, b5 = b;
      std::vector<double> ew(static_cast<std::size_t>(n)), eb(static_cast<std::size_t>(n), 0.0);
      for (index_t i = 0; i < n; ++i) ew[static_cast<std::size_t>(i)] = w[i];
      compute::sgd_settings<T> s;
      s.lr = T(0.125);
      s.momentum = kind == 0 ? T(0) : T(0.875);
      s.nesterov = kind == 2;
      s.dampening = kind == 3 ? T(0.25) : T(0);
      s.grad_scale = T(0.5);
      for (int step = 0; step < 3; ++step) {
        s.first_step = step == 0;
        auto const g = numbers<T>(n, 10 + static_cast<std::uint64_t>(step));
        compute::sgd_update(instance(1), chunks.data(), 4, n, s, w.data(), g.data(), kind ? b.data() : nullptr);
        compute::sgd_update(instance(2), chunks.data(), 4, n, s, w2.data(), g.data(), kind ? b2.data() : nullptr);
        if (kind == 1) {  // a rule of one's own that says the same
          T* const kept[] = {b4.data()};
          compute::element_update<1>(instance(2), chunks.data(), 4, n, own_momentum<T>{step == 0}, s.lr, s.grad_scale,
                                     w4.data(), g.data(), kept);
          compute::detail::loop_portable(
              instance(1), n,
              compute::detail::update_body<compute::detail::element_rule<own_momentum<T>, T, 1>>{
                  {{step == 0}, s.lr, s.grad_scale, g.data(), w5.data(), {b5.data()}}, chunks.data(), 4});
        }
        compute::detail::loop_portable(
            instance(1), n,
            compute::detail::update_body<compute::detail::sgd_rule<T>>{
                compute::detail::sgd_rule<T>{s, g.data(), w3.data(), kind ? b3.data() : nullptr}, chunks.data(), 4});
        for (index_t i = 0; i < n; ++i) {
          auto const* c = chunk_of(chunks, i);
          if (c == nullptr) continue;
          double& x = ew[static_cast<std::size_t>(i)];
          double& m = eb[static_cast<std::size_t>(i)];
          double const grad = static_cast<double>(g[i]) * 0.5 + static_cast<double>(c->weight_decay) * x;
          double move = grad;
          if (kind != 0) {
            m = step == 0 ? grad : 0.875 * m + (1 - static_cast<double>(s.dampening)) * grad;
            move = kind == 2 ? grad + 0.875 * m : m;
          }
          x -= 0.125 * static_cast<double>(c->lr_scale) * move;
          if (masked(*c, i)) x = m = 0;
        }
      }
      CHECK((w.same_bits(w2) && b.same_bits(b2) && w.same_bits(w3) && b.same_bits(b3)));
      CHECK((w.intact() && b.intact()));
      if (kind == 1) CHECK((w.same_bits(w4) && b.same_bits(b4) && w.same_bits(w5) && b.same_bits(b5)));
      // 3 steps of at most 6 roundings of numbers below 4
      double const bound = 18 * 4 * std::numeric_limits<T>::epsilon() / 2;
      bool good = true;
      for (index_t i = 0; i < n; ++i) {
        good = good && std::abs(w[i] - ew[static_cast<std::size_t>(i)]) <= bound;
        good = good && (chunk_of(chunks, i) != nullptr || w[i] == start[i]);
        if (kind != 0) good = good && std::abs(b[i] - eb[static_cast<std::size_t>(i)]) <= bound;
      }
      CHECK(good);
    }
}

TEMPLATE_TEST_CASE("Adam and AdamW follow their formulas over chunks, masks and gaps", "[compute][optimizer]", float,
                   double) {
  using T = TestType;
  for (index_t const n : sizes)
    for (bool const decoupled : {false, true}) {
      auto const bits = some_bits(n);
      auto const chunks = table(n, bits.data());
      auto w = numbers<T>(n, 1);
      auto const start = w;
      guarded<T> m(n), v(n), w2 = w, m2 = m, v2 = v, w3 = w, m3 = m, v3 = v;
      std::vector<double> ew(static_cast<std::size_t>(n)), em(ew), ev(ew);
      for (index_t i = 0; i < n; ++i) ew[static_cast<std::size_t>(i)] = w[i];
      compute::adam_settings<T> s;
      s.lr = T(0.0625);
      s.decoupled = decoupled;
      s.grad_scale = T(0.5);
      double const b1 = static_cast<double>(s.beta1), b2 = static_cast<double>(s.beta2);
      for (int step = 1; step < 4; ++step) {
        double const c1 = 1 - std::pow(b1, step), c2 = 1 - std::pow(b2, step);
        s.correction1 = static_cast<T>(c1);
        s.correction2 = static_cast<T>(c2);
        auto const g = numbers<T>(n, 10 + static_cast<std::uint64_t>(step), 0.5, 1);
        compute::adam_update(instance(1), chunks.data(), 4, n, s, w.data(), g.data(), m.data(), v.data());
        compute::adam_update(instance(2), chunks.data(), 4, n, s, w2.data(), g.data(), m2.data(), v2.data());
        compute::detail::loop_portable(
            instance(1), n,
            compute::detail::update_body<compute::detail::adam_rule<T>>{
                compute::detail::adam_rule<T>{s, g.data(), w3.data(), m3.data(), v3.data()}, chunks.data(), 4});
        for (index_t i = 0; i < n; ++i) {
          auto const* c = chunk_of(chunks, i);
          if (c == nullptr) continue;
          auto const k = static_cast<std::size_t>(i);
          double const rate = 0.0625 * static_cast<double>(c->lr_scale), decay = static_cast<double>(c->weight_decay);
          double const grad = static_cast<double>(g[i]) * 0.5 + (decoupled ? 0 : decay * ew[k]);
          if (decoupled) ew[k] *= 1 - rate * decay;
          em[k] = b1 * em[k] + (1 - b1) * grad;
          ev[k] = b2 * ev[k] + (1 - b2) * grad * grad;
          ew[k] -= rate * (em[k] / c1) / (std::sqrt(ev[k] / c2) + static_cast<double>(s.epsilon));
          if (masked(*c, i)) ew[k] = em[k] = ev[k] = 0;
        }
      }
      CHECK((w.same_bits(w2) && m.same_bits(m2) && v.same_bits(v2)));
      CHECK((w.same_bits(w3) && m.same_bits(m3) && v.same_bits(v3)));
      CHECK((w.intact() && m.intact() && v.intact()));
      // 1 - β2 is formed in T: its relative error ε/2·1000 is the largest; moments are below 1, and a step moves a
      // weight by at most 0.13·(1 + that): per step 0.13·(500/2 + 10)·ε for the weights
      double const eps = std::numeric_limits<T>::epsilon();
      bool good = true;
      for (index_t i = 0; i < n; ++i) {
        auto const k = static_cast<std::size_t>(i);
        good = good && std::abs(w[i] - ew[k]) <= 3 * 0.13 * 260 * eps + 6 * 2 * eps;
        good = good && std::abs(m[i] - em[k]) <= 20 * eps && std::abs(v[i] - ev[k]) <= 600 * eps * 0.01;
        good = good && (chunk_of(chunks, i) != nullptr || w[i] == start[i]);
      }
      CHECK(good);
    }
}
