// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Is a layer's backward the derivative of its forward? Compared with finite differences.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/base/random.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/layer.hpp>

namespace pleat::nn {

/// Which derivatives are tried, and how near they must come.
struct check_options {
  std::uint64_t seed = 1;
  index_t elements = 64;    ///< tried per array, spread over it; 0: all
  double tolerance = 1e-7;  ///< of the relative error; see check_gradients for what to expect
  double input_scale = 1;   ///< inputs are uniform in ±this
  /// the pass says so: dropout and batch statistics are on. Never false: backward begins with what such a pass saves
  bool training = true;
};

/// What was found for one array.
struct gradient_check {
  std::string name;  ///< of the parameter; "input" for dx
  /// largest |analytic − numeric| / largest |gradient| of the array (or what rounding can tell from zero)
  double error = 0;
  index_t element = 0;               ///< where
  double analytic = 0, numeric = 0;  ///< there
  index_t tried = 0;
  /// elements left out because the function has no derivative nearby: differences of two widths disagree
  index_t kinks = 0;
};

/// What check_gradients found, array by array.
struct gradient_report {
  std::vector<gradient_check> arrays;
  double tolerance = 0;
  [[nodiscard]] gradient_check const& worst() const {
    return *std::max_element(arrays.begin(), arrays.end(),
                             [](auto const& a, auto const& b) { return a.error < b.error; });
  }
  /// Every error is within the tolerance, and at most a tenth of the tried elements of any array stood at a kink.
  [[nodiscard]] bool good() const {
    return std::all_of(arrays.begin(), arrays.end(),
                       [&](auto const& a) { return a.error <= tolerance && 10 * a.kinks <= a.tried; });
  }
  [[nodiscard]] std::string to_string() const {
    std::string s;
    char line[192];
    for (auto const& a : arrays) {
      std::snprintf(line, sizeof line,
                    "%-28s error %.2e at element %lld of %lld tried (analytic %.12g, numeric %.12g), %lld at kinks\n",
                    a.name.c_str(), a.error, static_cast<long long>(a.element), static_cast<long long>(a.tried),
                    a.analytic, a.numeric, static_cast<long long>(a.kinks));
      s += line;
    }
    return s;
  }
};

namespace detail {

/// Owns what a check needs and evaluates L = Σ dy·f(x).
template <class L> class gradient_checker {
 public:
  using Space = nn::space_of<L>;
  static_assert(std::is_same_v<nn::value_type_of<L>, double>,
                "pleat: check_gradients needs a layer with value_type double: finite differences in float say nothing. "
                "E.g. linear<codec::forms<codec::dense<double>>>, relu<double>");

  gradient_checker(L layer, extents const& in, check_options const& o)
      : options_(o),
        where_(make_instance<Space>(1)),
        layer_(std::move(layer)),
        memory_(where_, layer_, o.seed),
        in_(in),
        out_(layer_.shape(in)),
        x_(drawn(in.size(), "input", o.input_scale)),
        dy_(drawn(out_.size(), "output gradient", 1)) {
    memory_.reserve_gradients(layer_, 1);
    all_ = {0, compute::lanes::whole(in[0])};
  }

  [[nodiscard]] gradient_report run() {
    gradient_report report;
    report.tolerance = options_.tolerance;
    auto p = the_pass();
    auto out = call(p, layer_, input());
    std::vector<double> y(dy_.size());
    copy_to_host(where_, out.y, y.data());
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += std::abs(dy_[i] * y[i]);
    // below floor_·tolerance a difference is rounding
    floor_ = 8 * epsilon * sum / std::pow(epsilon, 0.2) / options_.tolerance;
    for (auto& e : memory_.entries()) e.use.done = 0;
    auto dy = tensor<double, Space>::allocate(where_, out_);
    copy_from_host(where_, dy_.data(), dy);
    auto const dx = call_backward(p, layer_, out.saved, std::move(dy));
    if (dx.shape() != in_)
      throw error{"nn::check_gradients",
                  "backward of '" + name_of(layer_) + "' returns shape " + dx.shape().to_string() +
                      " for an input of shape " + in_.to_string(),
                  "Let backward return one gradient for every element of the input"};
    std::vector<double> gx(x_.size());
    copy_to_host(where_, dx, gx.data());
    std::vector<double> gradients(static_cast<std::size_t>(memory_.size()));
    copy_to_host(where_, tensor<double, Space>::wrap(memory_.gradients(), {memory_.size()}), gradients.data());

    report.arrays.push_back(compare("input", gx, [&](std::size_t i, double v) { return std::exchange(x_[i], v); }));
    for (auto const& e : memory_.entries()) {
      if (e.kind != parameter_kind::trainable || !e.requires_grad || e.begin == e.end) continue;
      std::vector<double> const g(gradients.begin() + e.begin, gradients.begin() + e.end);
      auto const at = tensor<double, Space>::wrap(memory_.values(), {memory_.size()});
      report.arrays.push_back(compare(e.name, g, [&](std::size_t i, double v) {
        auto const one = tensor<double, Space>::wrap(at.data() + e.begin + static_cast<index_t>(i), {1});
        double old = 0;
        copy_to_host(where_, one, &old);
        copy_from_host(where_, static_cast<double const*>(&v), one);
        return old;
      }));
    }
    return report;
  }

 private:
  [[nodiscard]] std::vector<double> drawn(index_t n, std::string_view what, double scale) const {
    random::stream const s(options_.seed, random::hash(what));
    std::vector<double> v(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = scale * (2.0 * s.uniform(i) - 1.0);
    return v;
  }
  [[nodiscard]] pass<Space> the_pass() {
    pass<Space> p;
    p.where = &where_;
    p.training = options_.training;
    p.seed = options_.seed;
    p.global_batch = std::max<index_t>(1, in_[0]);
    p.segments = {&all_, 1};
    return p;
  }
  [[nodiscard]] tensor<double, Space> input() {
    auto x = tensor<double, Space>::allocate(where_, in_);
    copy_from_host(where_, static_cast<double const*>(x_.data()), x);
    return x;
  }
  /// Σ dy·f(x), compensated (Neumaier), so that only the layer's own rounding is left.
  [[nodiscard]] double value() {
    auto const out = call(the_pass(), layer_, input());
    y_.resize(dy_.size());
    copy_to_host(where_, out.y, y_.data());
    double sum = 0, rest = 0;
    for (std::size_t i = 0; i < y_.size(); ++i) {
      double const t = dy_[i] * y_[i], s = sum + t;
      rest += (std::abs(sum) >= std::abs(t) ? (sum - s) + t : (t - s) + sum);
      sum = s;
    }
    return sum + rest;
  }
  /// (8·(f(+h) − f(−h)) − (f(+2h) − f(−2h))) / 12h.
  template <class Set> [[nodiscard]] double difference(Set const& set, std::size_t i, double old, double h) {
    auto const at = [&](double v) {
      (void)set(i, v);
      return value();
    };
    double const up = at(old + h), down = at(old - h), up2 = at(old + 2 * h), down2 = at(old - 2 * h);
    (void)set(i, old);
    return (8 * (up - down) - (up2 - down2)) / (12 * h);
  }
  template <class Set>
  [[nodiscard]] gradient_check compare(std::string name, std::vector<double> const& g, Set const& set) {
    gradient_check r{.name = std::move(name)};
    double largest = std::max(floor_, 1e-300);
    for (double const v : g) largest = std::max(largest, std::abs(v));
    auto const n = static_cast<index_t>(g.size());
    index_t const count = options_.elements > 0 ? std::min(n, options_.elements) : n;
    std::vector<std::pair<index_t, std::pair<double, double>>> found;
    for (index_t k = 0; k < count; ++k) {
      auto const i = static_cast<std::size_t>(n * k / count);
      double const old = set(i, 0);
      double const h = std::pow(epsilon, 0.2) * std::max(1.0, std::abs(old));
      double numeric = difference(set, i, old, h);
      largest = std::max(largest, std::abs(numeric));
      ++r.tried;
      if (std::abs(numeric - g[i]) > options_.tolerance * largest) {
        // A kink between x − 2h and x + 2h spoils the difference; a wrong gradient is as wrong with a narrower one.
        double const narrow = difference(set, i, old, h / 64);
        double const slack = 1e-3 * std::max(std::abs(numeric), std::abs(narrow)) + 64 * options_.tolerance * largest;
        if (std::abs(narrow - g[i]) <= 64 * options_.tolerance * largest) numeric = g[i];
        else if (std::abs(numeric - narrow) > slack) {
          ++r.kinks;
          continue;
        }
      }
      found.push_back({static_cast<index_t>(i), {g[i], numeric}});
    }
    for (auto const& [i, pair] : found) {
      double const e = std::abs(pair.first - pair.second) / largest;
      if (e >= r.error || std::isnan(e)) {
        r.error = std::isnan(e) ? HUGE_VAL : e;
        r.element = i;
        r.analytic = pair.first;
        r.numeric = pair.second;
      }
    }
    return r;
  }

  static constexpr double epsilon = 2.220446049250313e-16;
  check_options options_;
  context<Space> where_;
  L layer_;
  arena<double, Space> memory_;
  extents in_, out_;
  std::vector<double> x_, dy_, y_;
  segment all_;
  double floor_ = 0;
};

}  // namespace detail

/// Compares backward with 4th-order central differences in double: dx, and the gradient of every parameter that is not
/// frozen, for a keyed random input of shape `in` and a random dy. Works for any layer with value_type double,
/// composites included.
///
/// Error to expect: the step is h = ε^(1/5)·max(1, |x|) ≈ 7·10⁻⁴, where ε = 2⁻⁵². A difference is off by h⁴/30·|f⁽⁵⁾| ≈
/// 10⁻¹⁴·|f⁽⁵⁾| (truncation) and 3/2·ε·|f|/h ≈ 5·10⁻¹³·|f| (rounding of f, times the chain's length): with derivatives
/// of the order of one, 10⁻¹² to 10⁻¹⁰ relative to the largest gradient of the array. The default tolerance of 10⁻⁷
/// leaves room for steep functions and is still far below what a wrong formula gives.
/// \throws error for options.training = false
template <class L>
[[nodiscard]] gradient_report check_gradients(L layer, extents const& in, check_options options = {}) {
  static_assert((demand_trainable_layer<L>(), true));
  if (!options.training)
    throw error{"nn::check_gradients", "training is false, and a pass that does not train saves nothing for backward",
                "Leave training at true; give dropouts a probability of 0 to check a network without them"};
  return detail::gradient_checker<L>(std::move(layer), in, options).run();
}

/// \throws error naming the worst array, its error and what both sides say there, unless check_gradients finds all good
template <class L> void demand_correct_gradients(L layer, extents const& in, check_options options = {}) {
  std::string const name = name_of(layer);
  auto const report = check_gradients(std::move(layer), in, options);
  if (report.good()) return;
  auto const& w = report.worst();
  char numbers[160];
  std::snprintf(
      numbers, sizeof numbers,
      "relative error %.2e at element %lld: backward says %.10g, differences say %.10g; %lld of %lld stood at kinks",
      w.error, static_cast<long long>(w.element), w.analytic, w.numeric, static_cast<long long>(w.kinks),
      static_cast<long long>(w.tried));
  throw error{"nn::check_gradients", "the gradient of '" + w.name + "' of layer '" + name + "' is wrong: " + numbers,
              "Derive backward again from forward"};
}

}  // namespace pleat::nn
