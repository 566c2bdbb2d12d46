// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What training says to an optimizer or a schedule that is none. As it stands they are complete: the minimal models.
#include <pleat/nn/optimizer.hpp>
#include <pleat/nn/schedule.hpp>

#include <array>
#include <string>
#include <string_view>

struct plain_rule_base {
#if defined(WRONG_1)
  std::string more;
#endif
};
template <class T> struct plain_rule : plain_rule_base {
#if !defined(WRONG_2)
  PLEAT_INLINE void operator()(pleat::compute::update_element<T, 0>& e) const {
    e.value = pleat::compute::fma(-e.rate, e.gradient, e.value);
  }
#endif
};

struct plain {
#if !defined(WRONG_3)
  double learning_rate = 0.1;
#endif
#if defined(WRONG_4)
  static constexpr std::string_view name = "adamw";
#elif !defined(WRONG_5)
  static constexpr std::string_view name = "plain";
#endif
#if !defined(WRONG_6)
  static constexpr std::array<std::string_view, 0> buffers{};
#endif
#if !defined(WRONG_7)
  template <class T> plain_rule<T> rule(pleat::nn::update_step) const { return {}; }
#endif
};

struct by_the_clock {
  double past = 0;
#if defined(WRONG_8)
  double operator()(pleat::index_t, pleat::index_t) { return past += 0.1; }
#else
  double operator()(pleat::index_t, pleat::index_t) const { return past; }
#endif
#if defined(WRONG_9)
  void check() const {}
#elif defined(WRONG_10)
  int settings(pleat::index_t) const { return 1; }
#endif
};

// expect: pleat: an optimizer's rule must be trivially copyable
// expect: pleat: an optimizer's rule needs 'void operator\(\)\(compute::update_element<T, n>&\) const'
// expect: pleat: an optimizer needs 'double learning_rate'
// expect: pleat: an optimizer's name says which one it is
// expect: pleat: an optimizer needs 'static constexpr std::string_view name'
// expect: pleat: an optimizer needs 'static constexpr std::array<std::string_view, n> buffers'
// expect: pleat: an optimizer needs 'template <class T> R rule\(nn::update_step\) const'
// expect: pleat: a schedule is a function of \(index_t step, index_t steps\), const
// expect: pleat: a schedule's check is 'void check\(index_t steps\) const'
// expect: pleat: a schedule's settings are 'std::string settings\(index_t steps\) const'
pleat::nn::optimizer const optimizer = plain{};
pleat::nn::schedule const schedule = by_the_clock{};
