// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The convolution kernels, written once for every instruction set. A target attribute belongs to a function, not to a
/// template argument, so this text is included once per instruction set, inside that set's namespace, with
/// PLEAT_CONV_TARGET naming the attribute. Alone it is empty. No `#pragma once`: it is meant to be read repeatedly.
#ifdef PLEAT_CONV_TARGET

/// See conv_tile_arguments. MR × NV accumulators stay in registers.
template <class V, int MR, int NV> PLEAT_CONV_TARGET void tile(conv_tile_arguments<typename V::value> const& t) {
  using T = typename V::value;
  using vec = typename V::vec;
  constexpr int width = V::width;
  index_t const tail = t.columns - (NV - 1) * width;
  bool const whole = tail >= width;
  vec acc[MR][NV];
  if (t.from_out) {
    PLEAT_CONV_UNROLL for (int i = 0; i < MR; ++i) {
      T const* c = t.out + i * t.out_stride;
      PLEAT_CONV_UNROLL for (int j = 0; j < NV - 1; ++j) acc[i][j] = V::load(c + j * width);
      acc[i][NV - 1] = whole ? V::load(c + (NV - 1) * width) : V::load_if(V::range(0, tail), c + (NV - 1) * width);
    }
  } else {
    PLEAT_CONV_UNROLL for (int i = 0; i < MR; ++i) {
      vec const b = t.bias ? V::broadcast(t.bias + i) : V::zero();
      PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = b;
    }
  }
  T const* w = t.weights;
  T const* const input = t.input;
  index_t const weight_stride = t.weight_stride;
  index_t at[NV];
  PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) at[j] = t.at[j];
  index_t const* const end = t.offset + t.depth;
  for (index_t const* o = t.offset; o != end; ++o) {
    T const* x = input + *o;
    vec xv[NV];
    PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) xv[j] = V::load(x + at[j]);
    PLEAT_CONV_UNROLL for (int i = 0; i < MR; ++i) {
      vec const wv = V::broadcast(w + i);
      PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = V::fma(wv, xv[j], acc[i][j]);
    }
    w += weight_stride;
  }
  if (t.relu) {
    PLEAT_CONV_UNROLL for (int i = 0; i < MR; ++i) PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] =
        V::relu(acc[i][j]);
  }
  PLEAT_CONV_UNROLL for (int i = 0; i < MR; ++i) {
    T* c = t.out + i * t.out_stride;
    PLEAT_CONV_UNROLL for (int j = 0; j < NV - 1; ++j) V::store(c + j * width, acc[i][j]);
    if (whole) V::store(c + (NV - 1) * width, acc[i][NV - 1]);
    else V::store_if(V::range(0, tail), c + (NV - 1) * width, acc[i][NV - 1]);
  }
}

/// See conv_pixel_arguments. MR × NV accumulators stay in registers.
template <class V, int MR, int NV> PLEAT_CONV_TARGET bool pixels(conv_pixel_arguments<typename V::value> const& t) {
  using T = typename V::value;
  using vec = typename V::vec;
  constexpr int width = V::width;
  vec acc[MR][NV];
  index_t at[MR];
  PLEAT_CONV_UNROLL for (int i = 0; i < MR; ++i) {
    at[i] = t.at[i];
    T const* const from = t.from_out ? t.out + t.to[i] : t.start;
    PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = from ? V::load(from + j * width) : V::zero();
  }
  T const* const input = t.x;
  T const* const weights = t.weights;
  conv_pixel_step const* const end = t.steps + t.depth;
  for (conv_pixel_step const* k = t.steps; k != end; ++k) {
    T const* x = input + k->x;
    T const* w = weights + k->w;
    vec wv[NV];
    PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) wv[j] = V::load(w + j * width);
    PLEAT_CONV_UNROLL for (int i = 0; i < MR; ++i) {
      vec const xv = V::broadcast(x + at[i]);
      PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = V::fma(xv, wv[j], acc[i][j]);
    }
  }
  auto minus_zero = V::is_minus_zero(acc[0][0]);
  PLEAT_CONV_UNROLL for (int i = 0; i < MR; ++i) PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) minus_zero =
      V::either(minus_zero, V::is_minus_zero(acc[i][j]));
  if (t.relu) {
    PLEAT_CONV_UNROLL for (int i = 0; i < MR; ++i) PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] =
        V::relu(acc[i][j]);
  }
  PLEAT_CONV_UNROLL for (int i = 0; i < MR; ++i) {
    T* c = t.out + t.to[i];
    PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) V::store(c + j * width, acc[i][j]);
  }
  return V::any(minus_zero);
}

/// See conv_gradient_arguments.
template <class V, int R, int NV> PLEAT_CONV_TARGET void gradient(conv_gradient_arguments<typename V::value> const& t) {
  using T = typename V::value;
  using vec = typename V::vec;
  constexpr int width = V::width;
  vec acc[R][NV];
  T const* row[R];
  constexpr index_t stride = NV * width;
  index_t const pixels = t.pixels;
  PLEAT_CONV_UNROLL for (int i = 0; i < R; ++i) {
    row[i] = t.row[i] + pixels;
    T const* s = t.sum + (i < t.rows ? i : 0) * stride;
    PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = V::load(s + j * width);
  }
  T const* dy = t.dy;
  for (index_t p = -pixels; p < 0; ++p) {  // from the rows' ends: twelve row pointers leave few registers
    vec v[NV];
    PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) v[j] = V::load(dy + j * width);
    PLEAT_CONV_UNROLL for (int i = 0; i < R; ++i) {
      vec const x = V::broadcast(row[i] + p);
      PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = V::fma(x, v[j], acc[i][j]);
    }
    dy += stride;
  }
  PLEAT_CONV_UNROLL for (int i = 0; i < R; ++i) {
    if (i >= t.rows) break;
    T* s = t.sum + i * stride;
    PLEAT_CONV_UNROLL for (int j = 0; j < NV; ++j) V::store(s + j * width, acc[i][j]);
  }
}

/// See conv_depthwise_arguments.
template <class V, int R> PLEAT_CONV_TARGET void depthwise(conv_depthwise_arguments<typename V::value> const& t) {
  using T = typename V::value;
  typename V::vec acc[R];
  index_t at[R];
  PLEAT_CONV_UNROLL for (int i = 0; i < R; ++i) acc[i] = V::load(t.sum + i * V::width);
  PLEAT_CONV_UNROLL for (int i = 0; i < R; ++i) at[i] = t.at[i];
  for (index_t p = 0; p < t.pixels; ++p) {
    T const* x = t.x + t.offset[p];
    auto const d = V::load(t.dy + p * V::width);
    PLEAT_CONV_UNROLL for (int i = 0; i < R; ++i) acc[i] = V::fma(V::load(x + at[i]), d, acc[i]);
  }
  PLEAT_CONV_UNROLL for (int i = 0; i < R; ++i) V::store(t.sum + i * V::width, acc[i]);
}

/// See conv_lower_arguments. Whole vectors are stored, so vector columns go from the last to the first: what one row
/// spills into the next is overwritten later.
template <class V> PLEAT_CONV_TARGET void lower(conv_lower_arguments<typename V::value> const& t) {
  using T = typename V::value;
  constexpr int width = V::width;
  index_t const row_step = t.step_y * t.width;
  if (t.step_x > 2) {
    for (index_t c = 0; c < t.channels; ++c)
      for (index_t j = 0; j < t.out_rows; ++j) {
        T* out = t.out + (c * t.out_rows + j) * t.out_pitch;
        index_t const y = t.first_y + j * t.step_y;
        for (index_t i = 0; i < t.out_width; ++i) {
          index_t const x = t.first_x + i * t.step_x;
          bool const inside = y >= 0 && y < t.height && x >= 0 && x < t.width;
          out[i] = inside ? t.plane[(c * t.height + y) * t.width + x] : T(0);
        }
      }
    return;
  }
  // rows j in [low, high) exist in the image
  index_t const low = t.first_y >= 0 ? 0 : (-t.first_y + t.step_y - 1) / t.step_y;
  index_t const high = t.first_y >= t.height ? 0 : (t.height - t.first_y + t.step_y - 1) / t.step_y;
  index_t const first = low < t.out_rows ? low : t.out_rows;
  index_t const last = high < first ? first : high < t.out_rows ? high : t.out_rows;
  for (index_t v = (t.out_width - 1) / width; v >= 0; --v) {
    index_t const x = t.first_x + v * width * t.step_x;
    auto const mask = V::range(-x, t.width - x);
    auto const mask2 = V::range(-x - width, t.width - x - width);
    // several short rows in one vector, where they are neighbours in the image (step 1) or make one vector of it (step
    // 2)
    bool const dense = t.out_pitch == t.out_width && t.out_width < width && width % t.out_width == 0;
    bool const same = dense && t.step_x == 1 && t.step_y == 1 && t.width == t.out_width;
    bool const halves = dense && t.step_x == 2 && 2 * t.out_width == width;
    index_t const together = same ? width / t.out_width : halves ? 2 : 1;
    auto neighbours = mask;
    if (same)
      for (index_t r = 0, at = 0; r < together; ++r, at += t.out_width) {
        auto const one = V::range(at + (x < 0 ? -x : 0), at + (x > 0 ? t.width - x : t.width));
        neighbours = r == 0 ? one : V::either(neighbours, one);
      }
    for (index_t c = 0; c < t.channels; ++c) {
      T const* in = t.plane + (c * t.height + t.first_y) * t.width + x;
      T* out = t.out + c * t.out_rows * t.out_pitch + v * width;
      index_t j = 0;
      for (; j < first; ++j) V::store(out + j * t.out_pitch, V::zero());
      if (same)
        for (; j + together <= last; j += together)
          V::store(out + j * t.out_pitch, V::load_if(neighbours, in + j * row_step));
      if (halves)
        for (; j + 2 <= last; j += 2)
          V::store(out + j * t.out_pitch,
                   V::even(V::load_if(mask, in + j * row_step), V::load_if(mask, in + (j + 1) * row_step)));
      if (t.step_x == 1) {
        for (; j < last; ++j) V::store(out + j * t.out_pitch, V::load_if(mask, in + j * row_step));
      } else {
        for (; j < last; ++j)
          V::store(out + j * t.out_pitch,
                   V::even(V::load_if(mask, in + j * row_step), V::load_if(mask2, in + j * row_step + width)));
      }
      for (; j < t.out_rows; ++j) V::store(out + j * t.out_pitch, V::zero());
    }
  }
}

/// See conv_collect_arguments. A tap's row is read so that its elements fall on their places; the zeros around it
/// change no sum that started from +0.
template <class V> PLEAT_CONV_TARGET void collect(conv_collect_arguments<typename V::value> const& t) {
  using T = typename V::value;
  constexpr int width = V::width, kept = 8;
  index_t const plane = t.rows * t.columns;
  for (index_t x = 0; x < t.width; x += width) {
    typename V::mask mask[kept];
    for (index_t v = 0; v < t.taps_w && v < kept; ++v)
      mask[v] = V::range(v * t.dilation_w - x, t.columns + v * t.dilation_w - x);
    auto const tail = V::range(0, t.width - x);
    for (index_t c = 0; c < t.channels; ++c)
      for (index_t y = 0; y < t.height; ++y) {
        auto acc = V::zero();
        for (index_t u = 0; u < t.taps_h; ++u) {
          index_t const i = y - u * t.dilation_h;
          if (i < 0 || i >= t.rows) continue;
          T const* from = t.products + (c * t.taps_h + u) * t.taps_w * plane + i * t.columns + x;
          for (index_t v = 0; v < t.taps_w; ++v, from += plane - t.dilation_w)
            acc = V::add(
                acc, V::load_if(v < kept ? mask[v] : V::range(v * t.dilation_w - x, t.columns + v * t.dilation_w - x),
                                from));
        }
        V::store_if(tail, t.out + (c * t.height + y) * t.width + x, acc);
      }
  }
}

/// See conv_transpose_arguments.
template <class V> PLEAT_CONV_TARGET void transpose(conv_transpose_arguments<typename V::value> const& t) {
  constexpr int width = V::width;
  for (index_t p = 0; p < t.n; p += width) {
    typename V::vec v[width];
    auto const mask = V::range(0, t.n - p);
    PLEAT_CONV_UNROLL for (int i = 0; i < width; ++i) v[i] =
        i < t.rows ? V::load_if(mask, t.from + i * t.from_stride + p) : V::zero();
    V::turn(v);
    PLEAT_CONV_UNROLL for (int i = 0; i < width; ++i) V::store(t.to + (p + i) * t.to_stride, v[i]);
  }
}

/// See conv_sum_stripes.
template <class V> PLEAT_CONV_TARGET typename V::value sum(typename V::value const* x, index_t n) {
  using T = typename V::value;
  constexpr int width = V::width, vectors = conv_sum_stripes / width;
  typename V::vec acc[vectors];
  PLEAT_CONV_UNROLL for (int j = 0; j < vectors; ++j) acc[j] = V::zero();
  index_t p = 0;
  for (; p + conv_sum_stripes <= n; p += conv_sum_stripes)
    PLEAT_CONV_UNROLL for (int j = 0; j < vectors; ++j) acc[j] = V::add(acc[j], V::load(x + p + j * width));
  T stripe[conv_sum_stripes];
  PLEAT_CONV_UNROLL for (int j = 0; j < vectors; ++j) V::store(stripe + j * width, acc[j]);
  for (int j = 0; p < n; ++p, ++j) stripe[j] += x[p];
  for (int half = conv_sum_stripes / 2; half > 0; half /= 2)
    for (int j = 0; j < half; ++j) stripe[j] += stripe[j + half];
  return stripe[0];
}

/// The table of V: tiles of up to 6 rows × NV vectors, or 2 rows × 2·NV; gradient tiles of R... rows (descending).
template <class V, int NV, int... R> constexpr conv_kernels<typename V::value> make_kernels() {
  conv_kernels<typename V::value> k;
  k.width = V::width;
  k.rows = 6;
  k.vectors = NV;
  k.wide_vectors = 2 * NV;
  [&]<int... At>(std::integer_sequence<int, At...>) {
    ((k.tile[0][At] = &tile<V, 1, At + 1>, k.tile[1][At] = &tile<V, 2, At + 1>), ...);
  }(std::make_integer_sequence<int, 2 * NV>{});
  [&]<int... At>(std::integer_sequence<int, At...>) {
    ((k.tile[2][At] = &tile<V, 3, At + 1>, k.tile[3][At] = &tile<V, 4, At + 1>, k.tile[4][At] = &tile<V, 5, At + 1>,
      k.tile[5][At] = &tile<V, 6, At + 1>),
     ...);
  }(std::make_integer_sequence<int, NV>{});
  if constexpr (V::width > 1)
    [&]<int... At>(std::integer_sequence<int, At...>) {
      ((k.pixels[0][At] = &pixels<V, 1, At + 1>, k.pixels[1][At] = &pixels<V, 2, At + 1>,
        k.pixels[2][At] = &pixels<V, 3, At + 1>, k.pixels[3][At] = &pixels<V, 4, At + 1>,
        k.pixels[4][At] = &pixels<V, 5, At + 1>, k.pixels[5][At] = &pixels<V, 6, At + 1>),
       ...);
    }(std::make_integer_sequence<int, NV>{});
  k.gradients = 0;
  ((k.gradient_rows[k.gradients] = R, k.gradient[k.gradients][0] = &gradient<V, R, 1>,
    k.gradient[k.gradients++][1] = &gradient<V, R, 2>),
   ...);
  k.depthwise[0] = &depthwise<V, 9>;
  k.depthwise[1] = &depthwise<V, 3>;
  k.depthwise[2] = &depthwise<V, 1>;
  k.lower = &lower<V>;
  k.collect = &collect<V>;
  k.transpose = &transpose<V>;
  k.sum = &sum<V>;
  return k;
}

#endif
