// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Max pooling of a plane, written once for every instruction set, as conv_tile_body.hpp is.
#ifdef PLEAT_POOL_TARGET

/// Windows of 2 × 2 side by side, without padding and places: what inference does most.
template <class V> PLEAT_POOL_TARGET void max_plane_2x2(max_plane_arguments<typename V::value> const& t) {
  using T = typename V::value;
  using vec = typename V::vec;
  constexpr int width = V::width;
  index_t const outs = t.shape.out_width(), rows = t.shape.out_height(), w = t.shape.width;
  for (index_t j = 0; j < outs; j += width) {
    index_t const left = w - 2 * j, count = outs - j < width ? outs - j : index_t{width};
    auto const a = V::range(0, left), b = V::range(0, left - width), a1 = V::range(0, left - 1),
               b1 = V::range(0, left - 1 - width);
    for (index_t i = 0; i < rows; ++i) {
      T const* from = t.x + 2 * i * w + 2 * j;
      vec best = V::even(V::load_if(a, from), V::load_if(b, from + width)), unused = best;
      V::keep_larger(best, unused, V::even(V::load_if(a1, from + 1), V::load_if(b1, from + 1 + width)), best);
      from += w;
      V::keep_larger(best, unused, V::even(V::load_if(a, from), V::load_if(b, from + width)), best);
      V::keep_larger(best, unused, V::even(V::load_if(a1, from + 1), V::load_if(b1, from + 1 + width)), best);
      T* const to = t.y + i * outs + j;
      if (count == width) {
        V::store(to, best);
      } else {  // masked stores of AVX2 are slow
        T some[width];
        V::store(some, best);
        for (index_t l = 0; l < count; ++l) to[l] = some[l];
      }
    }
  }
}

/// See max_plane_arguments. What depends on the column alone is made once per column of vectors.
template <class V> PLEAT_POOL_TARGET void max_plane(max_plane_arguments<typename V::value> const& t) {
  using T = typename V::value;
  using vec = typename V::vec;
  constexpr int width = V::width, kept = 8;
  auto const& s = t.shape;
  if (!t.where && s.kernel_h == 2 && s.kernel_w == 2 && s.stride_h == 2 && s.stride_w == 2 && s.padding_h == 0 &&
      s.padding_w == 0)
    return max_plane_2x2<V>(t);
  index_t const outs = s.out_width();
  T const lowest = -std::numeric_limits<T>::infinity();
  vec const none = V::broadcast(&lowest);
  for (index_t j = 0; j < outs; j += width) {
    index_t const x = j * s.stride_w - s.padding_w;
    T begin[width];  // the first element of each window's rows that lies in the image
    for (int l = 0; l < width; ++l) begin[l] = static_cast<T>(x + l * s.stride_w < 0 ? -x - l * s.stride_w : 0);
    vec const first = V::load(begin);
    typename V::mask mask[kept], next[kept];
    for (index_t v = 0; v < kept && v < s.kernel_w; ++v) {
      mask[v] = V::range(-x - v, s.width - x - v);
      next[v] = V::range(-x - v - width, s.width - x - v - width);
    }
    auto const tail = V::range(0, outs - j);
    for (index_t i = 0; i < s.out_height(); ++i) {
      pool_window const rows(i, s.kernel_h, s.stride_h, s.padding_h, s.height);
      vec best = none, at = first;
      for (index_t u = rows.begin; u < rows.end; ++u) {
        T const* from = t.x + u * s.width + x;
        for (index_t v = 0; v < s.kernel_w; ++v, ++from) {
          auto const here_mask = v < kept ? mask[v] : V::range(-x - v, s.width - x - v);
          vec value = V::load_or(here_mask, from, none);
          if (s.stride_w == 2)
            value = V::even(value, V::load_or(v < kept ? next[v] : V::range(-x - v - width, s.width - x - v - width),
                                              from + width, none));
          T const here = static_cast<T>((u - rows.begin) * s.width + v);
          V::keep_larger(best, at, value, V::broadcast(&here));
        }
      }
      V::store_if(tail, t.y + i * outs + j, best);
      if (t.where)
        V::store_places(tail, t.where + i * outs + j, at, static_cast<std::int32_t>(rows.begin * s.width + x),
                        static_cast<std::int32_t>(s.stride_w));
    }
  }
}

#endif
