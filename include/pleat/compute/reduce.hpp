// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Reductions whose bits depend on the data alone: not on threads, not on the instruction set.
///
/// Order on host spaces: chunks of 4096 elements; in a chunk 32 interleaved chains (element i belongs to chain i mod
/// 32), folded by halves (0+16, 1+17, …, then 8, 4, 2, 1); chunks are dealt to min(chunks, 256) groups of neighbours, a
/// group adds its chunks pairwise like a binary counter, and the groups are folded the same way. On a device the order
/// is Kokkos' own.
///
/// Results are written to `*out`, which lies in the instance's memory space; the result's type R is the accumulator's
/// type. Sums of 16-bit numbers are float.
#pragma once

#include <cstdint>
#include <type_traits>

#include <pleat/base/profile.hpp>
#include <pleat/compute/element.hpp>
#include <pleat/compute/for_each.hpp>
#include <pleat/compute/lanes.hpp>
#include <pleat/compute/math.hpp>

namespace pleat::compute {

namespace detail {

inline constexpr int chains = 32;
inline constexpr index_t reduce_chunk = 4096;
inline constexpr index_t reduce_groups = 256;

/// Folds a[0] … a[n-1] (n a power of two) by halves into a[0].
template <class Op, class R> PLEAT_INLINE void fold_halves(R* a, int n) {
  for (int s = n / 2; s > 0; s /= 2)
    for (int j = 0; j < s; ++j) a[j] = Op::combine(a[j], a[j + s]);
}

// An operation: `using value_type`, identity(), step(i, acc), static combine(a, b).
template <class T, class R> struct sum_op {
  using value_type = R;
  source_t<T> x;
  PLEAT_INLINE static R identity() { return R(0); }
  PLEAT_INLINE R step(index_t i, R acc) const { return acc + static_cast<R>(x[i]); }
  PLEAT_INLINE static R combine(R a, R b) { return a + b; }
};
template <class T, class R> struct absolute_sum_op : sum_op<T, R> {
  PLEAT_INLINE R step(index_t i, R acc) const { return acc + static_cast<R>(math::absolute(this->x[i])); }
};
template <class T, class R> struct dot_op : sum_op<T, R> {
  source_t<T> y;
  PLEAT_INLINE R step(index_t i, R acc) const { return fma(static_cast<R>(this->x[i]), static_cast<R>(y[i]), acc); }
};
template <class T, class R> struct live_square_op : sum_op<T, R> {
  std::uint8_t const* bits;
  PLEAT_INLINE R step(index_t i, R acc) const {
    R const x = bits[i / 8] >> (i % 8) & 1 ? static_cast<R>(this->x[i]) : R(0);
    return fma(x, x, acc);
  }
};
template <class T> struct max_op {
  using value_type = T;
  source_t<T> x;
  PLEAT_INLINE static T identity() { return -static_cast<T>(__builtin_inff()); }
  PLEAT_INLINE T step(index_t i, T acc) const { return combine(acc, x[i]); }
  PLEAT_INLINE static T combine(T a, T b) { return b > a || b != b ? b : a; }  // a NaN wins and stays
};
template <class T> struct min_op {
  using value_type = T;
  source_t<T> x;
  PLEAT_INLINE static T identity() { return static_cast<T>(__builtin_inff()); }
  PLEAT_INLINE T step(index_t i, T acc) const { return combine(acc, x[i]); }
  PLEAT_INLINE static T combine(T a, T b) { return b < a || b != b ? b : a; }
};
template <class T> struct max_abs_op : max_op<T> {
  PLEAT_INLINE static T identity() { return T(0); }
  PLEAT_INLINE T step(index_t i, T acc) const { return max_op<T>::combine(acc, math::absolute(this->x[i])); }
};
template <class T> struct nonfinite_op {
  using value_type = int;
  source_t<T> x;
  PLEAT_INLINE static int identity() { return 0; }
  PLEAT_INLINE int step(index_t i, int acc) const { return acc | (math::is_finite(x[i]) ? 0 : 1); }
  PLEAT_INLINE static int combine(int a, int b) { return a | b; }
};
template <class T> struct nonzero_op {
  using value_type = index_t;
  source_t<T> x;
  PLEAT_INLINE static index_t identity() { return 0; }
  PLEAT_INLINE index_t step(index_t i, index_t acc) const { return acc + (x[i] != wide_t<T>(0) ? 1 : 0); }
  PLEAT_INLINE static index_t combine(index_t a, index_t b) { return a + b; }
};

template <class Op> PLEAT_INLINE typename Op::value_type reduce_one_chunk(Op const& op, index_t begin, index_t end) {
  using R = typename Op::value_type;
  R acc[chains];
  for (int j = 0; j < chains; ++j) acc[j] = Op::identity();
  index_t i = begin;
  for (; i + chains <= end; i += chains)
    for (int j = 0; j < chains; ++j) acc[j] = op.step(i + j, acc[j]);
  for (int j = 0; i + j < end; ++j) acc[j] = op.step(i + j, acc[j]);
  fold_halves<Op>(acc, chains);
  return acc[0];
}

/// One group: chunks [C·g/G, C·(g+1)/G), added pairwise like a binary counter.
template <class Op> struct reduce_group_body {
  Op op;
  index_t n, chunk_count, group_count;
  typename Op::value_type* partial;

  PLEAT_INLINE void operator()(index_t g) const {
    using R = typename Op::value_type;
    index_t const first = chunk_count * g / group_count, last = chunk_count * (g + 1) / group_count;
    R stack[48];
    int depth = 0;
    for (index_t c = first; c < last; ++c) {
      index_t const begin = c * reduce_chunk, end = begin + reduce_chunk < n ? begin + reduce_chunk : n;
      R s = reduce_one_chunk(op, begin, end);
      for (index_t bit = c - first; bit & 1; bit >>= 1) s = Op::combine(stack[--depth], s);
      stack[depth++] = s;
    }
    R s = stack[--depth];
    while (depth > 0) s = Op::combine(stack[--depth], s);
    partial[g] = s;
  }
};

/// Joins Kokkos' reduction with an operation (device path).
template <class Op> struct device_reduce {
  using value_type = typename Op::value_type;
  Op op;
  PLEAT_FUNCTION void init(value_type& a) const { a = Op::identity(); }
  PLEAT_FUNCTION void join(value_type& a, value_type const& b) const { a = Op::combine(a, b); }
  PLEAT_FUNCTION void operator()(index_t i, value_type& a) const { a = op.step(i, a); }
};

template <class Space, class Op>
void reduce_portable(Space const& space, index_t n, Op const& op, typename Op::value_type* out) {
  using result = Kokkos::View<typename Op::value_type, typename Space::memory_space, Kokkos::MemoryUnmanaged>;
  Kokkos::parallel_reduce(launch_label<Op>(), Kokkos::RangePolicy<Space, Kokkos::IndexType<index_t>>(space, 0, n),
                          device_reduce<Op>{op}, result(out));
}

template <class Space, class Op>
void reduce(Space const& space, index_t n, Op const& op, typename Op::value_type* out) {
  using R = typename Op::value_type;
  if constexpr (is_host_space_v<Space>) {
    if (n <= 0) {
      *out = Op::identity();
      return;
    }
    R partial[reduce_groups];
    index_t const chunk_count = (n + reduce_chunk - 1) / reduce_chunk;
    index_t const group_count = chunk_count < reduce_groups ? chunk_count : reduce_groups;
    for_each_row(space, group_count, reduce_group_body<Op>{op, n, chunk_count, group_count, partial},
                 static_cast<double>(n) / static_cast<double>(group_count));
    int width = 1;
    while (width < group_count) width *= 2;
    for (index_t g = group_count; g < width; ++g) partial[g] = Op::identity();
    fold_halves<Op>(partial, width);
    *out = partial[0];
  } else {
    reduce_portable(space, n, op, out);
  }
}

}  // namespace detail

/// *out = Σ x[i]. 0 for n = 0.
template <class Space, class T, class R> void sum(Space const& space, index_t n, T const* x, R* out) {
  detail::reduce(space, n, detail::sum_op<T, R>{x}, out);
}
/// *out = Σ |x[i]|.
template <class Space, class T, class R> void absolute_sum(Space const& space, index_t n, T const* x, R* out) {
  detail::reduce(space, n, detail::absolute_sum_op<T, R>{{x}}, out);
}
/// *out = Σ x[i]·y[i].
template <class Space, class T, class R> void dot(Space const& space, index_t n, T const* x, T const* y, R* out) {
  detail::reduce(space, n, detail::dot_op<T, R>{{x}, y}, out);
}
/// *out = Σ x[i]². With R = double a float sum of squares cannot overflow.
template <class Space, class T, class R> void squared_norm(Space const& space, index_t n, T const* x, R* out) {
  detail::reduce(space, n, detail::dot_op<T, R>{{x}, x}, out);
}
/// The same over the elements that live: bit i%8 of byte i/8 of `bits` is set; null: all.
template <class Space, class T, class R>
void squared_norm(Space const& space, index_t n, T const* x, std::uint8_t const* bits, R* out) {
  if (bits == nullptr) return squared_norm(space, n, x, out);
  detail::reduce(space, n, detail::live_square_op<T, R>{{x}, bits}, out);
}
/// Elements of a chunk: where a long sum may be cut between ranks without changing its bits.
inline constexpr index_t chunk_elements = detail::reduce_chunk;
[[nodiscard]] constexpr index_t chunks_of(index_t n) noexcept { return (n + chunk_elements - 1) / chunk_elements; }

namespace detail {
template <class Op> struct chunk_sums_body {
  Op op;
  index_t n;
  typename Op::value_type* out;
  PLEAT_INLINE void operator()(index_t c) const {
    index_t const begin = c * reduce_chunk, end = begin + reduce_chunk < n ? begin + reduce_chunk : n;
    out[c] = reduce_one_chunk(op, begin, end);
  }
};
}  // namespace detail

/// out[c] = Σ x[i]² over chunk c, for every chunk. fold_chunk_sums of all chunks of an array gives squared_norm's bits
/// (on host spaces).
template <class Space, class T, class R> void squared_norm_chunks(Space const& space, index_t n, T const* x, R* out) {
  for_each_row(space, chunks_of(n), detail::chunk_sums_body<detail::dot_op<T, R>>{{{x}, x}, n, out},
               static_cast<double>(detail::reduce_chunk));
}

/// The same over the elements that live, as squared_norm has it.
template <class Space, class T, class R>
void squared_norm_chunks(Space const& space, index_t n, T const* x, std::uint8_t const* bits, R* out) {
  if (bits == nullptr) return squared_norm_chunks(space, n, x, out);
  for_each_row(space, chunks_of(n), detail::chunk_sums_body<detail::live_square_op<T, R>>{{{x}, bits}, n, out},
               static_cast<double>(detail::reduce_chunk));
}

/// Adds the sums of an array's chunks up in the order in which a sum over the array does. Host memory.
template <class R> [[nodiscard]] R fold_chunk_sums(R const* chunk, index_t count) {
  R partial[detail::reduce_groups];
  index_t const groups = count < detail::reduce_groups ? count : detail::reduce_groups;
  if (groups == 0) return R(0);
  for (index_t g = 0; g < groups; ++g) {
    index_t const first = count * g / groups, last = count * (g + 1) / groups;
    R stack[48];
    int depth = 0;
    for (index_t c = first; c < last; ++c) {
      R s = chunk[c];
      for (index_t bit = c - first; bit & 1; bit >>= 1) s = stack[--depth] + s;
      stack[depth++] = s;
    }
    R s = stack[--depth];
    while (depth > 0) s = stack[--depth] + s;
    partial[g] = s;
  }
  int width = 1;
  while (width < groups) width *= 2;
  for (index_t g = groups; g < width; ++g) partial[g] = R(0);
  detail::fold_halves<detail::sum_op<R, R>>(partial, width);
  return partial[0];
}

/// *out = the largest x[i]; a NaN anywhere gives NaN; −inf for n = 0.
template <class Space, class T> void max(Space const& space, index_t n, T const* x, T* out) {
  detail::reduce(space, n, detail::max_op<T>{x}, out);
}
/// *out = the smallest x[i]; a NaN anywhere gives NaN; +inf for n = 0.
template <class Space, class T> void min(Space const& space, index_t n, T const* x, T* out) {
  detail::reduce(space, n, detail::min_op<T>{x}, out);
}
/// *out = the largest |x[i]|; a NaN anywhere gives NaN; 0 for n = 0.
template <class Space, class T> void max_abs(Space const& space, index_t n, T const* x, T* out) {
  detail::reduce(space, n, detail::max_abs_op<T>{{x}}, out);
}
/// *out = 1 if any x[i] is NaN or infinite, else 0.
template <class Space, class T> void any_nonfinite(Space const& space, index_t n, T const* x, int* out) {
  detail::reduce(space, n, detail::nonfinite_op<T>{x}, out);
}
/// *out = how many x[i] are not zero.
template <class Space, class T> void count_nonzero(Space const& space, index_t n, T const* x, index_t* out) {
  detail::reduce(space, n, detail::nonzero_op<T>{x}, out);
}

namespace detail {

template <class T, class Index> struct argmax_body {
  index_t columns, lda;
  source_t<T> a;
  Index* out;
  PLEAT_INLINE void operator()(index_t r) const {
    auto const row = a + r * lda;
    index_t best = 0;
    for (index_t j = 1; j < columns; ++j)
      if (row[j] > row[best] || (row[j] != row[j] && row[best] == row[best])) best = j;
    out[r] = static_cast<Index>(best);
  }
};

struct plus {
  template <class T> PLEAT_INLINE static T combine(T a, T b) { return a + b; }
};

/// ((l0 + l1) + (l2 + l3)) + …: `stride` numbers lie between lanes, `width` columns at once.
template <int Width, class T> PLEAT_INLINE void fold_lane_tree(T* acc, int count) {
  for (int s = 1; s < count; s *= 2)
    for (int l = 0; l + s < count; l += 2 * s)
      for (int j = 0; j < Width; ++j) acc[l * Width + j] = acc[l * Width + j] + acc[(l + s) * Width + j];
}

template <class T> struct row_sum_body {
  index_t columns, lda;
  source_t<T> a;
  wide_t<T>* out;
  PLEAT_INLINE void operator()(index_t r) const {
    out[r] = reduce_one_chunk(sum_op<T, wide_t<T>>{a}, r * lda, r * lda + columns);
  }
};

/// Columns [block·Width, …+Width) of a column sum. Width 1 on devices, `chains` on the host: the bits are the same.
template <int Width, class T> struct column_sum_body {
  index_t columns, lda;
  source_t<T> a;
  wide_t<T>* out;
  lanes cut;
  PLEAT_INLINE void operator()(index_t block) const {
    index_t const first = block * Width, left = columns - first;
    auto const base = a + first;
    wide_t<T> acc[lanes::max_count * Width];
    for (int l = 0; l < cut.count; ++l) {
      wide_t<T>* const sum = acc + l * Width;
      for (int j = 0; j < Width; ++j) sum[j] = wide_t<T>(0);
      if (cut.accumulate && cut.count == 1)
        for (index_t j = 0; j < Width && j < left; ++j) sum[j] = out[first + j];
      if (left >= Width)
        for (index_t r = cut.begin(l); r < cut.end(l); ++r)
          for (int j = 0; j < Width; ++j) sum[j] = sum[j] + base[r * lda + j];
      else
        for (index_t r = cut.begin(l); r < cut.end(l); ++r)
          for (index_t j = 0; j < left; ++j) sum[j] = sum[j] + base[r * lda + j];
    }
    fold_lane_tree<Width>(acc, cut.count);
    for (index_t j = 0; j < Width && j < left; ++j) out[first + j] = acc[j];
  }
};

/// Sum of an NCHW block over samples (by lanes) and pixels: one chain per lane, samples then pixels ascending.
template <class T> struct channel_sum_body {
  index_t channels, pixels;
  T const* a;
  T* out;
  lanes cut;
  PLEAT_INLINE void operator()(index_t c) const {
    T acc[lanes::max_count];
    acc[0] = T(0);
    for (int l = 0; l < cut.count; ++l) {
      // the chain over samples is over the samples' pixel sums; pixels in interleaved chains, so that they vectorise
      T sum = cut.accumulate && cut.count == 1 ? out[c] : T(0);
      for (index_t r = cut.begin(l); r < cut.end(l); ++r) {
        index_t const first = (r * channels + c) * pixels;
        sum = sum + reduce_one_chunk(sum_op<T, T>{a}, first, first + pixels);
      }
      acc[l] = sum;
    }
    fold_lane_tree<1>(acc, cut.count);
    out[c] = acc[0];
  }
};

}  // namespace detail

/// out[r] = the column of the largest entry of row r; the first of equals; a NaN counts as largest. columns ≥ 1.
template <class Space, class T, class Index>
void argmax_rows(Space const& space, index_t rows, index_t columns, T const* a, index_t lda, Index* out) {
  for_each_row(space, rows, detail::argmax_body<T, Index>{columns, lda, a, out}, static_cast<double>(columns));
}

/// out[r] = Σ_j a[r, j] in 32 interleaved chains folded by halves: a row's bits depend on the row alone.
template <class Space, class T>
void row_sum(Space const& space, index_t rows, index_t columns, T const* a, index_t lda, wide_t<T>* out) {
  for_each_row(space, rows, detail::row_sum_body<T>{columns, lda, a, out}, static_cast<double>(columns));
}

/// out[j] = Σ_r a[r, j] over the rows of `cut`, in the order that lanes.hpp defines: the gradient of a bias.
template <class Space, class T>
void column_sum(Space const& space, index_t columns, T const* a, index_t lda, wide_t<T>* out, lanes const& cut) {
  constexpr int width = is_host_space_v<Space> ? detail::chains : 1;
  for_each_row(space, (columns + width - 1) / width, detail::column_sum_body<width, T>{columns, lda, a, out, cut},
               static_cast<double>(cut.rows()) * width);
}

/// out[c] = Σ over samples of `cut` of the sum over pixels of a[sample, c, :] (NCHW): the gradient of a channel's bias.
/// A sample's pixels are summed first (32 chains, folded by halves), then samples as lanes.hpp defines.
template <class Space, class T>
void channel_sum(Space const& space, index_t channels, index_t pixels, T const* a, T* out, lanes const& cut) {
  for_each_row(space, channels, detail::channel_sum_body<T>{channels, pixels, a, out, cut},
               static_cast<double>(cut.rows()) * static_cast<double>(pixels));
}

namespace detail {
template <class T> struct fold_lanes_body {
  index_t columns;
  int count;
  bool accumulate;
  T const* in;
  T* out;
  PLEAT_INLINE void operator()(index_t j) const {
    T acc[lanes::max_count];
    acc[0] = T(0);
    for (int l = 0; l < count; ++l) acc[l] = in[l * columns + j];
    fold_lane_tree<1>(acc, count);
    out[j] = accumulate ? out[j] + acc[0] : acc[0];
  }
};
}  // namespace detail

/// out[j] = the tree sum over lanes of in[lane, j] (plus what out holds, if `accumulate`); count is a power of two
/// ≤ 64.
template <class Space, class T>
void fold_lanes(Space const& space, int count, index_t columns, T const* in, T* out, bool accumulate = false) {
  for_each_row(space, columns, detail::fold_lanes_body<T>{columns, count, accumulate, in, out}, count);
}

}  // namespace pleat::compute
