// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/compute/convolution.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include <malloc.h>

namespace {

using namespace pleat;
using namespace pleat::compute;
using host = Kokkos::DefaultHostExecutionSpace;

std::vector<isa::level> levels() {
  std::vector<isa::level> all{isa::level::scalar};
  if (isa::best() >= isa::level::avx2) all.push_back(isa::level::avx2);
  if (isa::best() >= isa::level::avx512) all.push_back(isa::level::avx512);
  return all;
}

template <class T> bool same_bits(std::vector<T> const& a, std::vector<T> const& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T> std::vector<T> random_values(std::mt19937& r, index_t n) {
  std::uniform_real_distribution<double> d(-1, 1);
  std::vector<T> v(static_cast<std::size_t>(n));
  for (auto& e : v) e = static_cast<T>(d(r));
  return v;
}

std::string text(conv2d_shape const& s) {
  std::string t = "batch " + std::to_string(s.batch) + ", in " + std::to_string(s.in_channels) + "x" +
                  std::to_string(s.height) + "x" + std::to_string(s.width) + ", out " + std::to_string(s.out_channels) +
                  ", kernel " + std::to_string(s.kernel_h) + "x" + std::to_string(s.kernel_w) + ", stride " +
                  std::to_string(s.stride_h) + "," + std::to_string(s.stride_w) + ", padding " +
                  std::to_string(s.padding_h) + "," + std::to_string(s.padding_w) + ", dilation " +
                  std::to_string(s.dilation_h) + "," + std::to_string(s.dilation_w) + ", groups " +
                  std::to_string(s.groups);
  return t;
}

index_t outputs(conv2d_shape const& s) { return s.batch * s.out_channels * s.out_height() * s.out_width(); }
index_t inputs(conv2d_shape const& s) { return s.batch * s.in_channels * s.height * s.width; }
index_t weights(conv2d_shape const& s) { return s.out_channels * s.weights_per_output(); }

// The oracles follow the documented order literally, by scattering over index tuples rather than by any geometry of the
// library's.

template <class T>
std::vector<T> oracle_forward(conv2d_shape const& s, std::vector<T> const& x, std::vector<T> const& w, T const* bias,
                              bool relu) {
  index_t const oh = s.out_height(), ow = s.out_width(), ci = s.in_channels / s.groups, co = s.out_channels / s.groups;
  std::vector<T> y;
  for (index_t n = 0; n < s.batch; ++n)
    for (index_t o = 0; o < s.out_channels; ++o)
      for (index_t i = 0; i < oh; ++i)
        for (index_t j = 0; j < ow; ++j) {
          T sum = bias ? bias[o] : T(0);
          for (index_t c = 0; c < ci; ++c)
            for (index_t u = 0; u < s.kernel_h; ++u)
              for (index_t v = 0; v < s.kernel_w; ++v) {
                index_t const a = i * s.stride_h + u * s.dilation_h - s.padding_h,
                              b = j * s.stride_w + v * s.dilation_w - s.padding_w;
                T value = 0;
                if (a >= 0 && a < s.height && b >= 0 && b < s.width)
                  value =
                      x[static_cast<std::size_t>(((n * s.in_channels + o / co * ci + c) * s.height + a) * s.width + b)];
                sum =
                    std::fma(w[static_cast<std::size_t>(((o * ci + c) * s.kernel_h + u) * s.kernel_w + v)], value, sum);
              }
          y.push_back(relu && sum < 0 ? T(0) : sum);
        }
  return y;
}

// Every (output, tap) pair adds to the pixel it reads, in ascending order of (output channel, tap): each pixel meets
// each such pair at most once, so this is the documented chain. Outputs that would lie beside dy are zeros.
template <class T>
std::vector<T> oracle_input(conv2d_shape const& s, std::vector<T> const& dy, std::vector<T> const& w) {
  index_t const oh = s.out_height(), ow = s.out_width(), ci = s.in_channels / s.groups, co = s.out_channels / s.groups;
  std::vector<T> dx(static_cast<std::size_t>(inputs(s)), T(0));
  bool const unpadded = s.stride_h == 1 && s.stride_w == 1 && s.padding_h == 0 && s.padding_w == 0;
  if (unpadded && 2 * oh * ow <= s.height * s.width) {  // one chain per tap, added one after the other
    for (index_t n = 0; n < s.batch; ++n)
      for (index_t c = 0; c < s.in_channels; ++c)
        for (index_t u = 0; u < s.kernel_h; ++u)
          for (index_t v = 0; v < s.kernel_w; ++v)
            for (index_t i = 0; i < oh; ++i)
              for (index_t j = 0; j < ow; ++j) {
                T chain = 0;
                for (index_t o = c / ci * co; o < (c / ci + 1) * co; ++o)
                  chain = std::fma(w[static_cast<std::size_t>(((o * ci + c % ci) * s.kernel_h + u) * s.kernel_w + v)],
                                   dy[static_cast<std::size_t>(((n * s.out_channels + o) * oh + i) * ow + j)], chain);
                dx[static_cast<std::size_t>(((n * s.in_channels + c) * s.height + i + u * s.dilation_h) * s.width + j +
                                            v * s.dilation_w)] += chain;
              }
    return dx;
  }
  for (index_t n = 0; n < s.batch; ++n)
    for (index_t o = 0; o < s.out_channels; ++o)
      for (index_t c = 0; c < ci; ++c)
        for (index_t u = 0; u < s.kernel_h; ++u)
          for (index_t v = 0; v < s.kernel_w; ++v)
            for (index_t i = -s.dilation_h * (s.kernel_h - 1); i <= s.height + s.padding_h; ++i)
              for (index_t j = -s.dilation_w * (s.kernel_w - 1); j <= s.width + s.padding_w; ++j) {
                index_t const a = i * s.stride_h + u * s.dilation_h - s.padding_h,
                              b = j * s.stride_w + v * s.dilation_w - s.padding_w;
                if (a < 0 || a >= s.height || b < 0 || b >= s.width) continue;
                T value = 0;
                if (i >= 0 && i < oh && j >= 0 && j < ow)
                  value = dy[static_cast<std::size_t>(((n * s.out_channels + o) * oh + i) * ow + j)];
                T& d =
                    dx[static_cast<std::size_t>(((n * s.in_channels + o / co * ci + c) * s.height + a) * s.width + b)];
                d = std::fma(w[static_cast<std::size_t>(((o * ci + c) * s.kernel_h + u) * s.kernel_w + v)], value, d);
              }
  return dx;
}

template <class T> T tree_sum(std::vector<T> v) {
  while (v.size() > 1) {
    std::vector<T> half;
    for (std::size_t i = 0; i < v.size(); i += 2) half.push_back(v[i] + v[i + 1]);
    v = half;
  }
  return v[0];
}

template <class T>
std::vector<T> oracle_weight(conv2d_shape const& s, std::vector<T> const& dy, std::vector<T> const& x,
                             std::vector<T> dw, lanes const& l) {
  index_t const oh = s.out_height(), ow = s.out_width(), ci = s.in_channels / s.groups, co = s.out_channels / s.groups;
  for (index_t o = 0; o < s.out_channels; ++o)
    for (index_t c = 0; c < ci; ++c)
      for (index_t u = 0; u < s.kernel_h; ++u)
        for (index_t v = 0; v < s.kernel_w; ++v) {
          T& out = dw[static_cast<std::size_t>(((o * ci + c) * s.kernel_h + u) * s.kernel_w + v)];
          std::vector<T> sums;
          for (int lane = 0; lane < l.count; ++lane) {
            T sum = l.count == 1 && l.accumulate ? out : T(0);
            for (index_t n = l.begin(lane); n < l.end(lane); ++n)
              for (index_t i = 0; i < oh; ++i)
                for (index_t j = 0; j < ow; ++j) {
                  index_t const a = i * s.stride_h + u * s.dilation_h - s.padding_h,
                                b = j * s.stride_w + v * s.dilation_w - s.padding_w;
                  T value = 0;
                  if (a >= 0 && a < s.height && b >= 0 && b < s.width)
                    value = x[static_cast<std::size_t>(
                        ((n * s.in_channels + o / co * ci + c) * s.height + a) * s.width + b)];
                  sum =
                      std::fma(value, dy[static_cast<std::size_t>(((n * s.out_channels + o) * oh + i) * ow + j)], sum);
                }
            sums.push_back(sum);
          }
          out = tree_sum(sums);
        }
  return dw;
}

template <class T>
std::vector<T> oracle_bias(conv2d_shape const& s, std::vector<T> const& dy, std::vector<T> db, lanes const& l) {
  index_t const plane = s.out_height() * s.out_width();
  for (index_t o = 0; o < s.out_channels; ++o) {
    T& out = db[static_cast<std::size_t>(o)];
    std::vector<T> sums;
    for (int lane = 0; lane < l.count; ++lane) {
      T sum = l.count == 1 && l.accumulate ? out : T(0);
      for (index_t n = l.begin(lane); n < l.end(lane); ++n) {
        std::vector<T> stripe(32, T(0));
        for (index_t p = 0; p < plane; ++p)
          stripe[static_cast<std::size_t>(p % 32)] +=
              dy[static_cast<std::size_t>((n * s.out_channels + o) * plane + p)];
        for (std::size_t half = 16; half > 0; half /= 2)
          for (std::size_t i = 0; i < half; ++i) stripe[i] += stripe[i + half];
        sum += stripe[0];
      }
      sums.push_back(sum);
    }
    out = tree_sum(sums);
  }
  return db;
}

lanes random_lanes(std::mt19937& r, index_t batch) {
  lanes l;
  l.count = 1 << r() % 5;
  l.accumulate = l.count == 1 && r() % 2;
  for (int i = 0; i < l.count; ++i) {  // empty lanes occur
    index_t const left = batch - l.row[static_cast<std::size_t>(i)];
    l.row[static_cast<std::size_t>(i) + 1] =
        l.row[static_cast<std::size_t>(i)] +
        (left > 0 ? static_cast<index_t>(r() % static_cast<unsigned>(left + 1)) / 2 : 0);
  }
  l.row[static_cast<std::size_t>(l.count)] = batch;
  return l;
}

/// All paths at every instruction set against the oracles, on `space` and through the portable functors.
template <class T, class Space>
void compare(Space const& space, std::mt19937& r, conv2d_shape const& s, bool portable) {
  INFO(text(s));
  auto const x = random_values<T>(r, inputs(s)), w = random_values<T>(r, weights(s)),
             bias = random_values<T>(r, s.out_channels);
  auto const dy = random_values<T>(r, outputs(s)), start = random_values<T>(r, weights(s));
  bool const with_bias = r() % 2, relu = r() % 2;
  T const* const b = with_bias ? bias.data() : nullptr;
  activation const a = relu ? activation::relu : activation::none;
  lanes const l = random_lanes(r, s.batch);
  auto const y = oracle_forward(s, x, w, b, relu), dx = oracle_input(s, dy, w), dw = oracle_weight(s, dy, x, start, l);
  auto const db = oracle_bias(s, dy, bias, l);
  // Guard elements behind the results: kernels that store whole vectors must not reach them.
  auto const check = [](std::vector<T> const& want, auto&& call, T const* initial = nullptr) {
    std::vector<T> got(want.size() + 64, T(77));
    if (initial) std::copy(initial, initial + want.size(), got.begin());
    call(got.data());
    for (std::size_t i = want.size(); i < got.size(); ++i)
      if (got[i] != T(77)) return false;
    got.resize(want.size());
    return same_bits(got, want);
  };
  for (auto const level : levels()) {
    INFO("instruction set " << isa::name(level));
    CHECK(check(
        y, [&](T* p) { pleat::compute::detail::conv2d_forward_host(space, level, s, x.data(), w.data(), b, p, a); }));
    CHECK(check(dx, [&](T* p) {
      pleat::compute::detail::conv2d_backward_input_host(space, level, s, dy.data(), w.data(), p);
    }));
    CHECK(check(
        dw,
        [&](T* p) { pleat::compute::detail::conv2d_backward_weight_host(space, level, s, dy.data(), x.data(), p, l); },
        start.data()));
    CHECK(check(
        db, [&](T* p) { pleat::compute::detail::conv2d_backward_bias_host(space, level, s, dy.data(), p, l); },
        bias.data()));
  }
  if (!portable) return;
  INFO("portable");
  auto const done = [&] { space.fence(); };
  CHECK(check(y, [&](T* p) {
    pleat::compute::detail::conv2d_forward_portable(space, s, x.data(), w.data(), b, p, a), done();
  }));
  CHECK(check(dx, [&](T* p) {
    pleat::compute::detail::conv2d_backward_input_portable(space, s, dy.data(), w.data(), p), done();
  }));
  CHECK(check(
      dw,
      [&](T* p) {
        pleat::compute::detail::conv2d_backward_weight_portable(space, s, dy.data(), x.data(), p, l), done();
      },
      start.data()));
  CHECK(check(
      db, [&](T* p) { pleat::compute::detail::conv2d_backward_bias_portable(space, s, dy.data(), p, l), done(); },
      bias.data()));
}

conv2d_shape random_shape(std::mt19937& r, index_t most_channels) {
  auto const pick = [&r](index_t low, index_t high) {
    return low + static_cast<index_t>(r() % static_cast<unsigned>(high - low + 1));
  };
  for (;;) {
    conv2d_shape s{};
    s.batch = pick(0, 3);
    s.groups = pick(0, 3) ? 1 : pick(1, 4);
    s.in_channels = s.groups * pick(1, most_channels / s.groups);
    s.out_channels = s.groups * pick(1, most_channels / s.groups);
    if (pick(0, 9) == 0) s.groups = s.out_channels = s.in_channels;  // depthwise
    s.height = pick(1, 14);
    s.width = pick(1, 20);
    s.kernel_h = pick(1, 5);
    s.kernel_w = pick(1, 5);
    s.stride_h = pick(1, 3);
    s.stride_w = pick(1, 3);
    s.padding_h = pick(0, 3);
    s.padding_w = pick(0, 3);
    if (pick(0, 4) == 0) s.padding_h = s.padding_w = 0, s.stride_h = s.stride_w = 1;
    s.dilation_h = pick(1, 3);
    s.dilation_w = pick(1, 3);
    if (s.height + 2 * s.padding_h > s.dilation_h * (s.kernel_h - 1) &&
        s.width + 2 * s.padding_w > s.dilation_w * (s.kernel_w - 1))
      return s;
  }
}

}  // namespace

TEMPLATE_TEST_CASE("convolution: every path gives the documented chains, bit for bit", "[compute][convolution]", float,
                   double) {
  host const space;
  std::mt19937 r(7);
  for (int i = 0; i < 200; ++i) compare<TestType>(space, r, random_shape(r, 9), true);
}

TEMPLATE_TEST_CASE("convolution: the shapes of known networks", "[compute][convolution]", float, double) {
  host const space;
  std::mt19937 r(11);
  // batch, in, height, width, out, kernel, stride, padding, dilation, groups
  conv2d_shape const shapes[] = {
      {2, 1, 28, 28, 20, 5, 5},
      {2, 20, 12, 12, 50, 5, 5},
      {2, 3, 32, 32, 16, 3, 3, 1, 1, 1, 1},
      {2, 16, 32, 32, 32, 3, 3, 2, 2, 1, 1},
      {2, 16, 32, 32, 32, 1, 1, 2, 2},
      {2, 32, 16, 16, 32, 1, 1},
      {2, 64, 8, 8, 64, 3, 3, 1, 1, 1, 1},
      {1, 70, 9, 33, 19, 3, 3, 1, 1, 2, 2, 2, 2},
      {1, 70, 6, 16, 7, 3, 3, 1, 1, 1, 1},  // more than one block of channels
      {1, 600, 4, 16, 5, 1, 1},
      {1, 24, 40, 90, 8, 3, 5, 1, 1, 1, 2},  // more than one block of output lines
      {3, 33, 7, 7, 33, 3, 3, 1, 1, 1, 1, 1, 1, 33},
      {1, 2, 3, 3, 2, 5, 5, 1, 1, 2, 2},  // the kernel is larger than the image
      {1, 1, 1, 1, 1, 1, 1},
      {0, 3, 8, 8, 4, 3, 3},
      // images of one channel a group and rows of whole vectors, more of them than are copied at a time
      {7, 5, 9, 16, 5, 3, 3, 1, 1, 1, 1, 1, 1, 5},
      {9, 3, 6, 32, 3, 5, 3, 1, 1, 2, 1, 1, 1, 3},
      {6, 4, 8, 16, 8, 3, 3, 1, 1, 1, 1, 1, 1, 4},
      {6, 3, 9, 16, 3, 3, 3, 2, 1, 1, 1, 1, 1, 3},
      {5, 1, 12, 16, 20, 5, 5, 1, 1, 2, 2},
      {5, 2, 7, 16, 2, 3, 3, 1, 1, 2, 2, 2, 2, 2},
      // pixels whose chains leave out the taps beyond the image's border: more images than are in work at a time, vectors
      // of channels that make several tiles, groups, several parts of a chain, dilation, kernels wider than the image
      {9, 32, 8, 8, 64, 3, 3, 1, 1, 1, 1},
      {3, 32, 16, 16, 32, 3, 3, 1, 1, 1, 1},
      {3, 16, 16, 32, 32, 3, 3, 2, 2, 1, 1},
      {2, 16, 16, 16, 80, 3, 5, 1, 1, 1, 2},
      {2, 32, 8, 8, 64, 3, 3, 1, 1, 1, 1, 1, 1, 2},
      {2, 80, 4, 8, 16, 3, 3, 1, 1, 1, 1},
      {2, 16, 8, 8, 16, 3, 3, 1, 1, 2, 3, 2, 3},
      {2, 16, 2, 8, 16, 9, 3, 1, 1, 4, 1},
  };
  for (auto const& s : shapes) compare<TestType>(space, r, s, s.in_channels * s.out_channels < 1100);
}

TEMPLATE_TEST_CASE("convolution: a weight gradient of every number of rows", "[compute][convolution]", float, double) {
  host const space;
  std::mt19937 r(13);
  for (index_t taps = 1; taps <= 26; ++taps)  // one row a tap: more than two of the highest tiles
    for (index_t outs : {3, 12, 20})          // one and two vectors of output channels, of floats and of doubles
      compare<TestType>(space, r, {2, 1, 3, 33, outs, 1, taps}, false);
}

TEMPLATE_TEST_CASE("convolution: bits do not depend on threads or on the batch", "[compute][convolution]", float,
                   double) {
#if defined(KOKKOS_ENABLE_OPENMP)
  Kokkos::OpenMP const one(1), two(2);
#else
  host const one, two;
#endif
  using T = TestType;
  std::mt19937 r(3);
  conv2d_shape s{5, 6, 13, 11, 14, 3, 3, 1, 1, 1, 1};
  auto const x = random_values<T>(r, inputs(s)), w = random_values<T>(r, weights(s)),
             dy = random_values<T>(r, outputs(s));
  auto const l = lanes::whole(s.batch);
  auto const run = [&](auto const& space, conv2d_shape const& shape, index_t first) {
    std::vector<T> y(static_cast<std::size_t>(outputs(shape))), dx(static_cast<std::size_t>(inputs(shape)));
    conv2d_forward(space, shape, x.data() + first * inputs(s) / s.batch, w.data(), static_cast<T const*>(nullptr),
                   y.data());
    conv2d_backward_input(space, shape, dy.data() + first * outputs(s) / s.batch, w.data(), dx.data());
    y.insert(y.end(), dx.begin(), dx.end());
    return y;
  };
  auto const whole = run(one, s, 0);
  CHECK(same_bits(whole, run(two, s, 0)));
  std::vector<T> ys, dxs;
  conv2d_shape single = s;
  single.batch = 1;
  for (index_t i = 0; i < s.batch; ++i) {
    auto const part = run(two, single, i);
    ys.insert(ys.end(), part.begin(), part.begin() + outputs(single));
    dxs.insert(dxs.end(), part.begin() + outputs(single), part.end());
  }
  ys.insert(ys.end(), dxs.begin(), dxs.end());
  CHECK(same_bits(whole, ys));

  std::vector<T> a(static_cast<std::size_t>(weights(s))), b(a.size()), c(a.size(), T(0));
  conv2d_backward_weight(one, s, dy.data(), x.data(), a.data(), l);
  conv2d_backward_weight(two, s, dy.data(), x.data(), b.data(), l);
  CHECK(same_bits(a, b));
  for (index_t i = 0; i < s.batch; ++i)  // one lane, cut at every image
    conv2d_backward_weight(two, single, dy.data() + i * outputs(single), x.data() + i * inputs(single), c.data(),
                           lanes::whole(1, true));
  CHECK(same_bits(a, c));
}

TEMPLATE_TEST_CASE("convolution: a weight gradient's bits do not depend on what threads share",
                   "[compute][convolution]", float, double) {
#if defined(KOKKOS_ENABLE_OPENMP)
  Kokkos::OpenMP const one(1), two(2);
#else
  host const one, two;
#endif
  using T = TestType;
  std::mt19937 r(5);
  // 30 and 62 channels are an even number of vectors of 16, 8 or 4, the last one not full: each thread has as many
  conv2d_shape const shapes[] = {{5, 1, 28, 28, 30, 5, 5},
                                 {9, 6, 12, 12, 62, 1, 1},                         // the image as it lies
                                 {4, 6, 16, 16, 96, 3, 3, 1, 1, 1, 1, 1, 1, 3},    // a border within a group
                                 {4, 3, 16, 16, 16, 3, 3, 1, 1, 1, 1},             // one vector of floats: rows
                                 {4, 16, 16, 16, 24, 3, 3, 1, 1, 1, 1, 1, 1, 1}};  // images in strips
  for (auto const& s : shapes) {
    auto const x = random_values<T>(r, inputs(s)), dy = random_values<T>(r, outputs(s));
    std::vector<T> a(static_cast<std::size_t>(weights(s))), b(a.size());
    conv2d_backward_weight(one, s, dy.data(), x.data(), a.data(), lanes::whole(s.batch));
    conv2d_backward_weight(two, s, dy.data(), x.data(), b.data(), lanes::whole(s.batch));
    INFO(s.in_channels << " to " << s.out_channels << " channels");
    CHECK(same_bits(a, b));
  }
}

TEST_CASE("convolution: the input gradient is the adjoint", "[compute][convolution]") {
  host const space;
  std::mt19937 r(5);
  for (int i = 0; i < 30; ++i) {
    conv2d_shape const s = random_shape(r, 6);
    INFO(text(s));
    auto const x = random_values<double>(r, inputs(s)), w = random_values<double>(r, weights(s)),
               dy = random_values<double>(r, outputs(s));
    std::vector<double> y(dy.size()), dx(x.size()), dw(w.size());
    conv2d_forward(space, s, x.data(), w.data(), static_cast<double const*>(nullptr), y.data());
    conv2d_backward_input(space, s, dy.data(), w.data(), dx.data());
    conv2d_backward_weight(space, s, dy.data(), x.data(), dw.data(), lanes::whole(s.batch));
    double a = 0, b = 0, c = 0;
    for (std::size_t k = 0; k < y.size(); ++k) a += y[k] * dy[k];
    for (std::size_t k = 0; k < x.size(); ++k) b += x[k] * dx[k];
    for (std::size_t k = 0; k < w.size(); ++k) c += w[k] * dw[k];
    // All three are the same sum of P = outputs × weights-per-output products, each at most 1 in magnitude. No chain of
    // roundings is longer than P, so each differs from the exact sum by at most about P · P · 2^-53.
    double const products = static_cast<double>(outputs(s) * s.weights_per_output());
    double const bound = 2 * products * products * 0x1p-53;
    CHECK(std::abs(a - b) <= bound);
    CHECK(std::abs(a - c) <= bound);
  }
}

TEST_CASE("convolution: NaN in a pixel reaches exactly the outputs that see it", "[compute][convolution]") {
  host const space;
  conv2d_shape const s{1, 1, 9, 9, 2, 3, 3, 1, 1, 1, 1};
  std::vector<float> x(81, 1.0F), w(18, 0.5F), y(162);
  x[4 * 9 + 4] = std::nanf("");
  conv2d_forward(space, s, x.data(), w.data(), static_cast<float const*>(nullptr), y.data(), activation::relu);
  for (std::size_t k = 0; k < y.size(); ++k) {
    int const i = static_cast<int>(k % 81 / 9), j = static_cast<int>(k % 9);
    CHECK(std::isnan(y[k]) == (std::abs(i - 4) <= 1 && std::abs(j - 4) <= 1));
  }
}

/// The correlation that dx is where both strides are 1.
static compute::detail::conv_geometry input_geometry(conv2d_shape const& s) {
  return {s.out_height(), s.out_width(), s.height,      s.width,      s.kernel_h, s.kernel_w, 1, 1,
          s.padding_h,    s.padding_w,   -s.dilation_h, -s.dilation_w};
}

/// Whether images are computed pixel by pixel at this level, without the taps beyond the border.
template <class T>
static bool by_pixels(isa::level level, compute::detail::conv_geometry const& g, index_t rows, index_t channels) {
  namespace d = compute::detail;
  return d::pixel_correlator<T>::suits(d::conv_kernels_of<T>(level), g, rows, channels);
}

/// That `call(level, out)` gives `want` at every level, bit for bit; any NaN is as good as another.
template <class T, class Call> static void gives(std::vector<T> const& want, Call const& call) {
  for (auto const level : levels()) {
    INFO("instruction set " << isa::name(level));
    std::vector<T> got(want.size());
    call(level, got.data());
    std::size_t differ = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
      differ += std::isnan(want[i]) ? !std::isnan(got[i]) : std::memcmp(&got[i], &want[i], sizeof(T)) != 0;
    CHECK(differ == 0);
  }
}

/// The oracle's result, which every level gives.
template <class T>
static std::vector<T> same_forward(conv2d_shape const& s, std::vector<T> const& x, std::vector<T> const& w,
                                   T const* bias) {
  auto want = oracle_forward(s, x, w, bias, false);
  gives(want, [&](isa::level level, T* y) {
    compute::detail::conv2d_forward_host(host(), level, s, x.data(), w.data(), bias, y, activation::none);
  });
  return want;
}
template <class T>
static std::vector<T> same_input(conv2d_shape const& s, std::vector<T> const& dy, std::vector<T> const& w) {
  auto want = oracle_input(s, dy, w);
  gives(want, [&](isa::level level, T* dx) {
    compute::detail::conv2d_backward_input_host(host(), level, s, dy.data(), w.data(), dx);
  });
  return want;
}

// A zero beyond the border is an element of the chain. It can be left out of the arithmetic only where that changes no
// bit: not beside weights that are not finite, and not in a chain that falls back to -0.
TEMPLATE_TEST_CASE("convolution: zeros beyond the border meet weights that are not finite and sums of -0",
                   "[compute][convolution]", float, double) {
  using T = TestType;
  conv2d_shape const s{9, 32, 8, 8, 32, 3, 3, 1, 1, 1, 1, 1, 1, 2};  // two groups; more images than are in work at once
  for (auto const level : levels()) {
    if (level == isa::level::scalar) continue;
    REQUIRE(by_pixels<T>(level, compute::detail::conv_forward_geometry(s), s.group_out(), s.group_in()));
    REQUIRE(by_pixels<T>(level, input_geometry(s), s.group_in(), s.group_out()));
  }
  T const tiny = std::numeric_limits<T>::min(), infinity = std::numeric_limits<T>::infinity();
  auto const is_nan = [](T v) { return std::isnan(v); };
  auto const is_plus_zero = [](T v) { return v == 0 && !std::signbit(v); };
  std::mt19937 r(3);
  auto const x = random_values<T>(r, inputs(s));
  auto w = random_values<T>(r, weights(s));
  w[5] = infinity;  // times a zero it is no number
  auto const infinite = same_forward<T>(s, x, w, nullptr), gradient = same_input(s, random_values<T>(r, outputs(s)), w);
  CHECK(std::count_if(infinite.begin(), infinite.end(), is_nan) > 0);
  CHECK(std::count_if(gradient.begin(), gradient.end(), is_nan) > 0);

  // Products too small for the type leave -0 behind, until the last row of taps: it adds products that leave +0, or at
  // the image's border (the lower one, and dx's upper one) zeros.
  std::vector<T> const small(x.size(), tiny), negative(w.size(), -tiny);
  auto falling = negative, falling_dx = negative;
  for (std::size_t i = 0; i < 32; ++i)
    for (std::size_t k = 6; k < 9; ++k) {
      falling[(i * 16 + 15) * 9 + k] = tiny;                          // the last channel's, of each output
      falling_dx[((i / 16 * 16 + 15) * 16 + i % 16) * 9 + k] = tiny;  // the last output's of a group, of each channel
    }
  auto const y = same_forward<T>(s, small, falling, nullptr), dx = same_input(s, small, falling_dx);
  CHECK(std::all_of(y.begin(), y.end(), is_plus_zero));
  CHECK(std::all_of(dx.begin(), dx.end(), is_plus_zero));
  std::vector<T> const minus(32, T(-0.0)), nothing(x.size(), T(0));
  same_forward(s, nothing, falling, minus.data());
}

// Where the padding is as large as the kernel, or a kernel with holes reaches from one side of dy to the other, there
// are pixels that meet no tap at all: their chains are zeros.
TEMPLATE_TEST_CASE("convolution: pixels that meet no tap at all", "[compute][convolution]", float, double) {
  using T = TestType;
  namespace d = compute::detail;
  std::mt19937 r(19);
  auto const demand = [](d::conv_geometry const& g) {
    index_t alone = 0;
    for (index_t y = 0; y < g.out_h; ++y) alone += d::conv_reach::rows(g, y).taps() == 0;
    for (index_t x = 0; x < g.out_w; ++x) alone += d::conv_reach::columns(g, x).taps() == 0;
    REQUIRE(alone > 0);
    int taken = 0;
    for (auto const level : levels())
      if (level != isa::level::scalar && g.out_h * g.out_w % d::conv_kernels_of<T>(level).width == 0) {
        INFO("instruction set " << isa::name(level));
        REQUIRE(by_pixels<T>(level, g, 16, 16));
        ++taken;
      }
    return taken;
  };
  int const vectors = static_cast<int>(levels().size()) - 1;
  conv2d_shape const some{2, 16, 4, 4, 16, 3, 3, 1, 1, 4, 4};  // 100 pixels: whole vectors of four
  CHECK(demand(d::conv_forward_geometry(some)) == (sizeof(T) == 8 && vectors > 0 ? 1 : 0));
  compare<T>(host(), r, some, true);
  for (index_t const padding : {5, 6, 8}) {
    index_t const pixels = padding == 5 ? 4 : padding;  // 144, 256 and 484 pixels: whole vectors of 16, and of four
    conv2d_shape const s{2, 16, pixels, pixels, 16, 3, 3, 1, 1, padding, padding};
    CHECK(demand(d::conv_forward_geometry(s)) >= (padding < 8 ? vectors : 0));
    compare<T>(host(), r, s, true);
    std::vector<T> const minus(16, T(-0.0));  // a sum of -0 meets zeros alone, some with weights below zero
    same_forward(s, random_values<T>(r, inputs(s)), random_values<T>(r, weights(s)), minus.data());
  }
  conv2d_shape const holes{2, 16, 8, 8, 16, 2, 2, 1, 1, 1, 1, 7, 7};
  CHECK(demand(input_geometry(holes)) == vectors);
  compare<T>(host(), r, holes, true);
}

// What is asked for is enough: nothing is written behind it, and what lies in it matters to no bit.
TEMPLATE_TEST_CASE("convolution: the work space of single pixels suffices", "[compute][convolution]", float, double) {
  using T = TestType;
  namespace d = compute::detail;
  std::mt19937 r(23);
  conv2d_shape const shapes[] = {{8, 32, 8, 8, 64, 3, 3, 1, 1, 1, 1}, {1, 16, 16, 16, 80, 3, 5, 1, 1, 1, 2},
                                 {2, 80, 4, 8, 16, 3, 3, 1, 1, 1, 1}, {2, 16, 6, 6, 16, 3, 3, 1, 1, 6, 6},
                                 {2, 16, 2, 8, 16, 9, 3, 1, 1, 4, 1}, {1, 16, 16, 32, 32, 3, 3, 2, 2, 1, 1}};
  for (auto const& s : shapes)
    for (auto const level : levels()) {
      if (level == isa::level::scalar) continue;
      INFO(text(s) << ", instruction set " << isa::name(level));
      auto const g = d::conv_forward_geometry(s);
      REQUIRE(by_pixels<T>(level, g, s.out_channels, s.in_channels));
      auto const x = random_values<T>(r, inputs(s)), w = random_values<T>(r, weights(s));
      d::pixel_correlator<T> c(d::conv_kernels_of<T>(level), g, s.out_channels, s.in_channels);
      d::conv_carver count(nullptr);
      c.carve(count);
      constexpr std::size_t guard = 4096;
      std::vector<unsigned char> block(count.used() + guard + 64, 0xff);  // as numbers NaN, as places nowhere
      unsigned char* const from = block.data() + (64 - reinterpret_cast<std::uintptr_t>(block.data()) % 64);
      d::conv_carver carver(from);
      c.carve(carver);
      index_t const taps = s.kernel_h * s.kernel_w;
      REQUIRE(c.pack({w.data(), s.in_channels * taps, taps, s.kernel_w, 1}));
      REQUIRE(c.images() >= s.batch);
      std::vector<T> y(static_cast<std::size_t>(outputs(s)));
      REQUIRE(c.run(s.batch, x.data(), inputs(s) / s.batch, nullptr, false, y.data(), outputs(s) / s.batch));
      CHECK(std::all_of(from + count.used(), block.data() + block.size(), [](unsigned char b) { return b == 0xff; }));
      CHECK(same_bits(y, oracle_forward<T>(s, x, w, nullptr, false)));
    }
}

/// Bytes of work space (of one family) that one kernel takes on a thread whose own is fresh.
template <class Family = compute::detail::conv_scratch, class Kernel> static index_t bytes_of(Kernel const& kernel) {
  std::size_t bytes = 0;
  std::thread([&] {
    kernel();
    bytes = malloc_usable_size(compute::detail::scratch<Family>(0));
  }).join();
  return static_cast<index_t>(bytes);
}

TEST_CASE("convolution: the work space of single pixels is kept, and does not know the batch",
          "[compute][convolution]") {
  using namespace pleat::compute::detail;
  conv2d_shape const s{9, 32, 8, 8, 32, 3, 3, 1, 1, 1, 1};
  auto many = s;
  many.batch = 40;  // five times as many as are in work at once
  std::mt19937 r(5);
  auto const x = random_values<float>(r, inputs(many)), w = random_values<float>(r, weights(s)),
             dy = random_values<float>(r, outputs(many));
  std::vector<float> y(dy.size()), dx(x.size());
  for (auto const l : levels()) {
    if (l == isa::level::scalar) continue;
    REQUIRE(by_pixels<float>(l, conv_forward_geometry(s), s.out_channels, s.in_channels));
    REQUIRE(by_pixels<float>(l, input_geometry(s), s.in_channels, s.out_channels));
    auto const both = [&](conv2d_shape const& shape) {
      conv_forward_task<float>{shape, l, 1, x.data(), w.data(), nullptr, y.data(), false}(0);
      conv_input_task<float>{shape, l, 1, dy.data(), w.data(), dx.data()}(0);
    };
    CHECK(bytes_of<conv_pixel_scratch>([&] { both(many); }) == bytes_of<conv_pixel_scratch>([&] { both(s); }));
    std::thread([&] {
      CHECK(malloc_usable_size(scratch<conv_pixel_scratch>(0)) == 0);
      both(s);
      auto const* const block = scratch<conv_pixel_scratch>(0);
      CHECK(malloc_usable_size(scratch<conv_pixel_scratch>(0)) > 0);
      both(many);
      both(s);
      CHECK(scratch<conv_pixel_scratch>(0) == block);  // none of them asked for another
      CHECK(malloc_usable_size(scratch<conv_scratch>(0)) == 0);
    }).join();
  }
}

TEST_CASE("convolution: images are not unrolled in memory: the work space knows neither the batch nor large images",
          "[compute][convolution]") {
  using namespace pleat::compute::detail;
  auto const taken = [](conv2d_shape const& s, isa::level l) {
    std::mt19937 r(5);
    auto const x = random_values<float>(r, inputs(s)), w = random_values<float>(r, weights(s)),
               dy = random_values<float>(r, outputs(s));
    std::vector<float> y(dy.size()), dx(x.size()), dw(w.size());
    return std::array<index_t, 3>{
        bytes_of([&] { conv_forward_task<float>{s, l, 1, x.data(), w.data(), nullptr, y.data(), false}(0); }),
        bytes_of([&] { conv_input_task<float>{s, l, 1, dy.data(), w.data(), dx.data()}(0); }),
        bytes_of([&] { conv_weight_task<float>{s, l, 1, dy.data(), x.data(), dw.data(), lanes::whole(s.batch)}(0); })};
  };
  // A patch of the image per output pixel, of one image: what unrolling would take.
  auto const unrolled = [](conv2d_shape const& s) {
    return s.in_channels * s.kernel_h * s.kernel_w * s.out_height() * s.out_width() * index_t{sizeof(float)};
  };
  constexpr index_t page = 4096;  // an allocator rounds up, now by this much and now by less
  conv2d_shape const small{2, 16, 48, 48, 8, 3, 3, 1, 1, 1, 1};
  for (auto const l : levels()) {
    auto bytes = taken(small, l);
    auto more = small, large = small;
    more.batch = 8;
    large.height = large.width = 192;  // sixteen times the pixels
    large.batch = 1;
    auto const many = taken(more, l), wide = taken(large, l);
    for (std::size_t what = 0; what < 3; ++what) {
      INFO("forward, dx, dw: " << what << ", level " << static_cast<int>(l) << ": " << bytes[what] << ", " << many[what]
                               << ", " << wide[what] << " of " << unrolled(small) << ", " << unrolled(large));
      CHECK(bytes[what] > 0);
      CHECK(std::abs(many[what] - bytes[what]) <= page);
      CHECK(bytes[what] < unrolled(small) / 2);
      CHECK(wide[what] < unrolled(large) / 16);
    }
    // Where the taps' chains are apart (compute/convolution.hpp) the products of one image are kept, and of one alone.
    conv2d_shape apart{2, 4, 12, 12, 8, 5, 5};
    REQUIRE(apart.taps_apart());
    auto const two = taken(apart, l);
    apart.batch = 8;
    auto const eight = taken(apart, l);
    for (std::size_t what = 0; what < 3; ++what) CHECK(std::abs(eight[what] - two[what]) <= page);
  }
}

TEST_CASE("convolution: shapes that do not fit are refused with the numbers", "[compute][convolution]") {
  host const space;
  float none = 0;
  conv2d_shape const good{1, 4, 8, 8, 4, 3, 3};
  auto const call = [&](conv2d_shape const& s) { conv2d_forward(space, s, &none, &none, &none, &none); };
  auto const refused = [&](index_t conv2d_shape::*extent, index_t found, char const* words) {
    auto bad = good;
    bad.*extent = found;
    CHECK_THROWS_WITH(call(bad), Catch::Matchers::ContainsSubstring(words));
  };
  refused(&conv2d_shape::groups, 3, "in_channels must be a multiple of groups; found 4. Choose channels");
  refused(&conv2d_shape::out_channels, -2, "out_channels must be positive; found -2. Set it to 1 or more");
  refused(&conv2d_shape::kernel_w, 9,
          "the kernel is wider than the padded image; found 9 pixels of 8. Choose a smaller");
  refused(&conv2d_shape::dilation_h, 4, "the kernel is taller than the padded image; found 9 pixels of 8. Choose");
  refused(&conv2d_shape::stride_h, 0, "strides must be positive; found 0. Set it to 1 or more");
  refused(&conv2d_shape::padding_w, -1, "padding must not be negative; found -1. Set it to 0 or more");
  auto fits = good;  // as large as the image, padding and dilation included
  fits.kernel_w = 10, fits.padding_w = 1;
  fits.dilation_h = 4, fits.height = 9;
  fits.check("the largest kernel that fits");
}

TEST_CASE("convolution: gradients take lanes by a power of two up to 64 and refuse others, as the matrix product does",
          "[compute][convolution]") {
  host const space;
  float none[64] = {};
  conv2d_shape const s{3, 1, 1, 1, 1, 1, 1};
  for (int const count : {0, 3, 65, -1}) {
    auto l = lanes::whole(3);
    l.count = count;
    CHECK_THROWS_WITH(
        conv2d_backward_weight(space, s, none, none, none, l),
        Catch::Matchers::ContainsSubstring(std::to_string(count) + " lanes, expected a power of two up to 64"));
    CHECK_THROWS_WITH(conv2d_backward_bias(space, s, none, none, l),
                      Catch::Matchers::ContainsSubstring("conv2d_backward_bias"));
  }
}
