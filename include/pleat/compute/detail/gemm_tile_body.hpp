// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The register tile and the packing, written once for every instruction set. A target attribute belongs to a function,
/// not to a template argument, so this text is included once per instruction set, inside that set's namespace, with
/// PLEAT_TILE_TARGET naming the attribute. Alone it is empty. No `#pragma once`: it is meant to be read repeatedly.
#ifdef PLEAT_TILE_TARGET
// PLEAT_UNROLL before a loop is beyond the formatter.
// clang-format off

/// See tile_arguments. MR × NV accumulators stay in registers; the loops over them are unrolled by the compiler, which
/// needs to be told so. Both strides of A are run-time values: one kernel serves A in rows, in columns and packed.
template <class V, int MR, int NV> PLEAT_TILE_TARGET void tile(tile_arguments<typename V::value> const& t) {
  using T = typename V::value;
  using vec = typename V::vec;
  constexpr int width = V::width;
  index_t const tail = t.columns - (NV - 1) * width;
  bool const whole = tail >= width;
  auto const in_tail = V::first(whole ? width : tail);
  index_t const a_row = t.a_row, a_k = t.a_k, b_stride = t.b_stride;
  T const* a = t.a;
  T* c = t.c;
  T const* mask = t.mask;
  index_t tiles = t.tiles;
  do {
    vec acc[MR][NV];
    T const* row[MR];
    PLEAT_UNROLL for (int i = 0; i < MR; ++i) row[i] = a + i * a_row;
    int depth = 0;
    if (t.prefetch && tiles > 1)  // the next tile's C arrives while this one is computed
      for (int i = 0; i < MR; ++i)
        for (index_t j = 0; j < t.columns; j += static_cast<index_t>(64 / sizeof(T)))
          __builtin_prefetch(c + (MR + i) * t.ldc + j, 1);
    int s = 0;
    do {
      if (t.from_c) {
        PLEAT_UNROLL for (int i = 0; i < MR; ++i) {
          T const* const ci = c + i * t.ldc;
          PLEAT_UNROLL for (int j = 0; j < NV - 1; ++j) acc[i][j] = V::load(ci + j * width);
          acc[i][NV - 1] = V::load(ci + (NV - 1) * width, in_tail);
        }
      } else {
        PLEAT_UNROLL for (int i = 0; i < MR; ++i) PLEAT_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = V::zero();
      }
      index_t const end = t.cuts[s + 1];
      T const* b = t.b + t.cuts[s] * b_stride;
      index_t at = t.cuts[s] * a_k;
      for (index_t k = t.cuts[s]; k < end; ++k) {
        vec bv[NV];
        PLEAT_UNROLL for (int j = 0; j < NV - 1; ++j) bv[j] = V::load(b + j * width);
        bv[NV - 1] = V::masked_b ? V::load(b + (NV - 1) * width, in_tail) : V::load(b + (NV - 1) * width);
        PLEAT_UNROLL for (int i = 0; i < MR; ++i) {
          vec const av = V::broadcast(row[i] + at);
          PLEAT_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = V::fma(av, bv[j], acc[i][j]);
        }
        b += b_stride;
        at += a_k;
      }
      if (t.chains > 1) {  // a finished chain meets every left neighbour of its size in the tree
        for (int left = s; left & 1; left >>= 1) {
          T const* top = t.stack + --depth * (MR * NV * width);
          PLEAT_UNROLL for (int i = 0; i < MR; ++i) PLEAT_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] =
              V::add(V::load(top + (i * NV + j) * width), acc[i][j]);
        }
        if (s + 1 < t.chains) {
          T* top = t.stack + depth++ * (MR * NV * width);
          PLEAT_UNROLL for (int i = 0; i < MR; ++i) PLEAT_UNROLL for (int j = 0; j < NV; ++j)
              V::store(top + (i * NV + j) * width, acc[i][j]);
        }
      }
    } while (++s < t.chains);
    if (t.bias) {
      PLEAT_UNROLL for (int j = 0; j < NV; ++j) {
        vec const bias = j < NV - 1 ? V::load(t.bias + j * width) : V::load(t.bias + j * width, in_tail);
        PLEAT_UNROLL for (int i = 0; i < MR; ++i) acc[i][j] = V::add(acc[i][j], bias);
      }
    }
    if (t.relu) {
      PLEAT_UNROLL for (int i = 0; i < MR; ++i) PLEAT_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] =
          V::relu(acc[i][j]);
    }
    if (mask) {
      PLEAT_UNROLL for (int i = 0; i < MR; ++i) {
        T const* const m = mask + i * t.ldmask;
        PLEAT_UNROLL for (int j = 0; j < NV; ++j) {
          vec const mj = j < NV - 1 ? V::load(m + j * width) : V::load(m + j * width, in_tail);
          acc[i][j] = V::where_positive(mj, acc[i][j]);
        }
      }
    }
    PLEAT_UNROLL for (int i = 0; i < MR; ++i) {
      T* const ci = c + i * t.ldc;
      PLEAT_UNROLL for (int j = 0; j < NV - 1; ++j) V::store(ci + j * width, acc[i][j]);
      if (whole) V::store(ci + (NV - 1) * width, acc[i][NV - 1]);
      else V::store(ci + (NV - 1) * width, acc[i][NV - 1], in_tail);
    }
    a += t.a_next;
    c += MR * t.ldc;
    if (mask) mask += MR * t.ldmask;
  } while (--tiles > 0);
}

/// Storage [k, n] to [k][stride]: rows are copied.
template <class V>
PLEAT_TILE_TARGET void pack_copy(typename V::value const* from, index_t ld, index_t k, index_t n, typename V::value* to,
                                 index_t stride) {
  constexpr int width = V::width;
  index_t const whole = n / width * width;
  for (index_t r = 0; r < k; ++r, from += ld, to += stride) {
    for (index_t j = 0; j < whole; j += width) V::store(to + j, V::load(from + j));
    if (whole < n) V::store(to + whole, V::load(from + whole, V::first(n - whole)));
  }
}

/// Storage [n, k] to [k][stride]: a transpose in registers, V::depth values of k at a time.
/// Vector groups go from the last to the first: where stride is less than whole vectors, a group spills into the next
/// k's first columns, which the first group writes after it.
template <class V>
PLEAT_TILE_TARGET void pack_turn(typename V::value const* from, index_t ld, index_t k, index_t n, typename V::value* to,
                                 index_t stride) {
  using T = typename V::value;
  constexpr int width = V::width, depth = V::depth;
  for (index_t j = (n - 1) / width * width; j >= 0; j -= width) {
    T const* row[width];
    for (int i = 0; i < width; ++i) row[i] = from + (j + i < n ? j + i : n - 1) * ld;
    T* out = to + j;
    typename V::vec v[depth];
    index_t r = 0;
    for (; r + depth <= k; r += depth) {
      V::turn(row, r, depth, v);
      PLEAT_UNROLL for (int i = 0; i < depth; ++i, out += stride) V::store(out, v[i]);
    }
    if (r < k) {
      V::turn(row, r, k - r, v);
      PLEAT_UNROLL for (int i = 0; i < depth - 1; ++i, out += stride) if (r + i < k) V::store(out, v[i]);
    }
  }
}

/// A product of at most `narrow_columns` columns (see narrow_function). Vectors run along M, so that none is half
/// empty: A is transposed on its way into registers, B is broadcast, and the sums are transposed back.
template <class V> PLEAT_TILE_TARGET void narrow(tile_arguments<typename V::value> const& t, index_t rows) {
  using T = typename V::value;
  using vec = typename V::vec;
  constexpr int width = V::width, depth = V::depth, most = narrow_columns, groups = (most + width - 1) / width;
  index_t const n = t.columns, k_end = t.cuts[1];
  alignas(64) T sums[most * width];
  T const* sum_row[groups * width];
  for (int j = 0; j < groups * width; ++j) sum_row[j] = sums + (j < n ? j : n - 1) * width;
  for (index_t i = 0; i < rows; i += width) {
    T const* row[width];
    for (int r = 0; r < width; ++r) row[r] = t.a + (i + r < rows ? i + r : rows - 1) * t.a_row;
    vec acc[most], v[depth];
    PLEAT_UNROLL for (int j = 0; j < most; ++j) acc[j] = V::zero();
    T const* b = t.b;
    index_t k = 0;
    for (; k + depth <= k_end; k += depth, b += depth * narrow_stride) {
      V::turn(row, k, depth, v);
      PLEAT_UNROLL for (int d = 0; d < depth; ++d) PLEAT_UNROLL for (int j = 0; j < most; ++j) acc[j] =
          V::fma(V::broadcast(b + d * narrow_stride + j), v[d], acc[j]);
    }
    if (k < k_end) {
      V::turn(row, k, k_end - k, v);
      PLEAT_UNROLL for (int d = 0; d < depth - 1; ++d) {
        if (k + d >= k_end) break;
        PLEAT_UNROLL for (int j = 0; j < most; ++j) acc[j] =
            V::fma(V::broadcast(b + d * narrow_stride + j), v[d], acc[j]);
      }
    }
    PLEAT_UNROLL for (int j = 0; j < most; ++j) V::store(sums + j * width, acc[j]);
    for (int g = 0; g * width < n; ++g) {
      auto const here = V::first(n - g * width < width ? n - g * width : width);
      vec const bias = t.bias ? V::load(t.bias + g * width, here) : V::zero();
      index_t const end = i + width < rows ? i + width : rows;
      for (index_t r = i; r < end; r += depth) {
        V::turn(sum_row + g * width, r - i, depth, v);
        PLEAT_UNROLL for (int d = 0; d < depth; ++d) {
          if (r + d >= end) break;
          vec x = v[d];
          if (t.bias) x = V::add(x, bias);
          if (t.relu) x = V::relu(x);
          if (t.mask) x = V::where_positive(V::load(t.mask + (r + d) * t.ldmask + g * width, here), x);
          V::store(t.c + (r + d) * t.ldc + g * width, x, here);
        }
      }
    }
  }
}

#endif
