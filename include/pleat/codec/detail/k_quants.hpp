// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Encoders of q4_K and q6_K: super-blocks of 256 numbers whose scales are searched, with the reference's candidates
/// and its order of operations, each rounded to float by itself: same input, same bytes as ggml's reference quantizers.
/// Needs no Kokkos.
#pragma once

#include <algorithm>

#include <pleat/base/math.hpp>
#include <pleat/codec/detail/block_encode.hpp>

namespace pleat::codec::detail {

/// A fit ŵ = scale·code − minimum of 32 numbers.
struct scale_and_minimum {
  float scale, minimum;
};

struct weighted_sums {
  float l = 0, l2 = 0, xl = 0;
};

/// The largest code that candidate `step` (0 … 20) would give the largest number.
inline float q4_k_candidate(int step) { return -1.0f + rounded(0.1f * static_cast<float>(step)) + 15.0f; }
/// The same for q6_K's `nth` (0 … 18): 0 first, then −9 … 9 tenths without 0.
inline float q6_k_candidate(int nth) {
  int const step = nth == 0 ? 0 : nth <= 9 ? nth - 10 : nth - 9;
  return step == 0 ? 32.0f : 32.0f + rounded(0.1f * static_cast<float>(step));
}

/// Candidates (−1 + 0.1·step + 15)/(largest − minimum of the best so far) for step 0 to 20 beside plain min-max; each
/// gets the scale and minimum of weighted least squares (the minimum never above zero); the smallest weighted error
/// wins. Weights: root mean square + |x|.
inline scale_and_minimum search_q4_k(float const* x, float const* weight, byte_t* codes) {
  constexpr int n = 32, most = 15;
  float low = x[0], high = x[0], sum_w = weight[0], sum_x = rounded(sum_w * x[0]);
  for (int i = 1; i < n; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
    sum_w += weight[i];
    sum_x += rounded(weight[i] * x[i]);
  }
  low = low > 0 ? 0.0f : low;
  if (high == low) {
    std::fill_n(codes, n, byte_t{0});
    return {0, -low};
  }
  auto const code = [&](float inverse, float v) {
    return std::clamp(round_half_even(rounded(inverse * (v - low))), 0, most);
  };
  auto const error = [&](byte_t const* l, float scale, float base) {
    float e = 0;
    for (int i = 0; i < n; ++i) {
      float const difference = rounded(scale * static_cast<float>(l[i])) + base - x[i];
      e += rounded(weight[i] * rounded(difference * difference));
    }
    return e;
  };
  float const plain = static_cast<float>(most) / (high - low);
  for (int i = 0; i < n; ++i) codes[i] = static_cast<byte_t>(code(plain, x[i]));
  scale_and_minimum best{1.0f / plain, 0};
  float least = error(codes, best.scale, low);
  byte_t trial[n];
  for (int step = 0; step <= 20; ++step) {
    float const inverse = q4_k_candidate(step) / (high - low);
    weighted_sums s;
    for (int i = 0; i < n; ++i) {
      trial[i] = static_cast<byte_t>(code(inverse, x[i]));
      float const l = static_cast<float>(trial[i]), wl = rounded(weight[i] * l);
      s.l += wl;
      s.l2 += rounded(wl * l);
      s.xl += rounded(wl * x[i]);
    }
    float const determinant = rounded(sum_w * s.l2) - rounded(s.l * s.l);
    if (!(determinant > 0)) continue;
    float scale = (rounded(sum_w * s.xl) - rounded(sum_x * s.l)) / determinant;
    float base = (rounded(s.l2 * sum_x) - rounded(s.l * s.xl)) / determinant;
    if (base > 0) {
      base = 0;
      scale = s.xl / s.l2;
    }
    float const e = error(trial, scale, base);
    if (e < least) {
      std::copy_n(trial, n, codes);
      least = e;
      best.scale = scale;
      low = base;  // the reference's next candidates start from here
    }
  }
  return {best.scale, -low};
}

/// Scales and minima of the eight pieces to 6 bits each, and what they are multiplied with to two halves.
inline void store_scales_q4_k(float const* scales, float const* minima, byte_t* b) {
  float most_scale = 0, most_minimum = 0;
  for (int p = 0; p < 8; ++p) {
    most_scale = std::max(most_scale, scales[p]);
    most_minimum = std::max(most_minimum, minima[p]);
  }
  float const per_scale = most_scale > 0 ? 63.0f / most_scale : 0.0f,
              per_minimum = most_minimum > 0 ? 63.0f / most_minimum : 0.0f;
  byte_t* const s = b + 4;
  std::fill_n(s, 12, byte_t{0});
  for (int p = 0; p < 8; ++p) {
    int const scale = std::min(63, round_half_even(rounded(per_scale * scales[p]))) & 255;
    int const minimum = std::min(63, round_half_even(rounded(per_minimum * minima[p]))) & 255;
    if (p < 4) {
      s[p] = static_cast<byte_t>(scale);
      s[p + 4] = static_cast<byte_t>(minimum);
    } else {
      s[p + 4] = static_cast<byte_t>((scale & 15) | (minimum & 15) << 4);
      s[p - 4] = static_cast<byte_t>(s[p - 4] | (scale >> 4) << 6);
      s[p] = static_cast<byte_t>(s[p] | (minimum >> 4) << 6);
    }
  }
  store16(b, pleat::detail::half_bits(most_scale / 63.0f));
  store16(b + 2, pleat::detail::half_bits(most_minimum / 63.0f));
}

inline void encode_block(q4_k_format, float const* x, byte_t* b) {
  byte_t codes[256];
  float scales[8], minima[8];
  for (int p = 0; p < 8; ++p) {
    float const* const v = x + 32 * p;
    float squares = 0, weight[32];
    for (int i = 0; i < 32; ++i) squares += rounded(v[i] * v[i]);
    float const mean = std::sqrt(squares / 32.0f);
    for (int i = 0; i < 32; ++i) weight[i] = mean + std::fabs(v[i]);
    auto const fit = search_q4_k(v, weight, codes + 32 * p);
    scales[p] = fit.scale;
    minima[p] = fit.minimum;
  }
  store_scales_q4_k(scales, minima, b);
  for (int p = 0; p < 8; ++p) {
    float const d = q4_k_format::scale(b, p), minimum = -q4_k_format::base(b, p);
    if (d == 0) continue;  // the search's codes stay
    for (int i = 0; i < 32; ++i)
      codes[32 * p + i] = static_cast<byte_t>(std::clamp(round_half_even((x[32 * p + i] + minimum) / d), 0, 15));
  }
  for (int p = 0; p < 8; p += 2)
    for (int i = 0; i < 32; ++i)
      b[16 + 16 * p + i] = static_cast<byte_t>(codes[32 * p + i] | codes[32 * p + 32 + i] << 4);
}

/// ŵ = scale·(code − 32) of 16 numbers: candidates −(32 + 0.1·step)/extreme for step −9 to 9, weights x², closed-form
/// scale each.
inline float search_q6_k(float const* x, int* codes) {
  constexpr int n = 16, half_range = 32;
  float extreme = 0, amax = 0;
  for (int i = 0; i < n; ++i)
    if (std::fabs(x[i]) > amax) {
      amax = std::fabs(x[i]);
      extreme = x[i];
    }
  std::fill_n(codes, n, 0);
  if (amax < 1e-15f) return 0;
  int trial[n];
  float scale = 0, best = 0;
  for (int nth = 0; nth < 19; ++nth) {
    float const inverse = -q6_k_candidate(nth) / extreme;
    float xl = 0, l2 = 0;
    for (int i = 0; i < n; ++i) {
      trial[i] = std::clamp(round_half_even(rounded(inverse * x[i])), -half_range, half_range - 1);
      float const l = static_cast<float>(trial[i]);
      float const w = rounded(x[i] * x[i]);
      xl += rounded(rounded(w * x[i]) * l);
      l2 += rounded(rounded(w * l) * l);
    }
    if (nth == 0) {
      scale = l2 != 0 ? xl / l2 : 0.0f;
    } else if (l2 > 0 && rounded(xl * xl) > rounded(best * l2)) {
      scale = xl / l2;
    } else {
      continue;
    }
    best = rounded(scale * xl);
    for (int i = 0; i < n; ++i) codes[i] = trial[i] + half_range;
  }
  return scale;
}

/// The scales of the sixteen pieces to 8 bits each, and what they are multiplied with to a half, in a block of zeros.
/// \returns false if there is nothing else to store
inline bool store_scales_q6_k(float const* scales, byte_t* b) {
  float most = 0, most_magnitude = 0;
  for (int p = 0; p < 16; ++p)
    if (std::fabs(scales[p]) > most_magnitude) {
      most_magnitude = std::fabs(scales[p]);
      most = scales[p];
    }
  std::fill_n(b, 210, byte_t{0});
  if (most_magnitude < 1e-15f) return false;
  float const per_scale = -128.0f / most;
  store16(b + 208, pleat::detail::half_bits(1.0f / per_scale));
  for (int p = 0; p < 16; ++p)
    b[192 + p] = static_cast<byte_t>(std::min(127, round_half_even(rounded(per_scale * scales[p]))));
  return true;
}

inline void encode_block(q6_k_format, float const* x, byte_t* b) {
  float scales[16];
  int codes[256];
  for (int p = 0; p < 16; ++p) scales[p] = search_q6_k(x + 16 * p, codes + 16 * p);
  if (!store_scales_q6_k(scales, b)) return;
  for (int p = 0; p < 16; ++p) {
    float const d = q6_k_format::scale(b, 0) * static_cast<float>(static_cast<signed char>(b[192 + p]));
    if (d == 0) continue;  // the search's codes stay
    for (int i = 16 * p; i < 16 * p + 16; ++i) codes[i] = std::clamp(round_half_even(x[i] / d), -32, 31) + 32;
  }
  for (int part = 0; part < 2; ++part)
    for (int i = 0; i < 32; ++i) {
      int const* const u = codes + 128 * part + i;
      b[64 * part + i] = static_cast<byte_t>((u[0] & 15) | (u[64] & 15) << 4);
      b[64 * part + 32 + i] = static_cast<byte_t>((u[32] & 15) | (u[96] & 15) << 4);
      b[128 + 32 * part + i] =
          static_cast<byte_t>(u[0] >> 4 | (u[32] >> 4) << 2 | (u[64] >> 4) << 4 | (u[96] >> 4) << 6);
    }
}

}  // namespace pleat::codec::detail
