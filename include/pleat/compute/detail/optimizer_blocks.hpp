// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How an update rule walks a flat buffer: chunk by chunk, in blocks of 64 elements on the host, one element per thread
/// elsewhere. A rule works on columns of local copies: [0] the value, [1] the gradient, then its moments.
#pragma once

#include <cstdint>
#include <type_traits>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/compute/for_each.hpp>

namespace pleat::compute {

/// A run of elements [begin, end) that share their settings. A table of chunks is ascending and disjoint and lies, with
/// its masks, in the instance's memory space; elements that no chunk covers are left alone.
struct update_chunk {
  index_t begin = 0, end = 0;
  float lr_scale = 1;
  float weight_decay = 0;
  bool frozen = false;  ///< left alone
  std::uint8_t const* mask_bits =
      nullptr;  ///< bit (i − begin), least significant first; 0: value and moments become zero
};

namespace detail {

inline constexpr int block_width = 64;

// Square roots of a block. A loop over std::sqrt would not vectorise: it may set errno.
template <class T> inline void root_block_scalar(T* x) {
  for (int j = 0; j < block_width; ++j) x[j] = std::sqrt(x[j]);
}
#if defined(__x86_64__)
PLEAT_LAZY PLEAT_TARGET_AVX2 void root_block_avx2(float* x);
PLEAT_LAZY PLEAT_TARGET_AVX2 void root_block_avx2(double* x);
PLEAT_LAZY PLEAT_TARGET_WIDE void root_block_avx512(float* x);
PLEAT_LAZY PLEAT_TARGET_WIDE void root_block_avx512(double* x);
#endif

template <class T> PLEAT_INLINE void load_block(T const* from, T* x, index_t width) {
  if (width == block_width)
    for (int j = 0; j < block_width; ++j) x[j] = from[j];
  else
    for (int j = 0; j < block_width; ++j) x[j] = j < width ? from[j] : T(0);
}
template <class T> PLEAT_INLINE void store_block(T* to, T const* x, index_t width) {
  if (width == block_width)
    for (int j = 0; j < block_width; ++j) to[j] = x[j];
  else
    for (index_t j = 0; j < width; ++j) to[j] = x[j];
}

template <class Rule, class T>
PLEAT_INLINE void gather_block(Rule const& rule, index_t i, index_t width, T (*x)[block_width]) {
  load_block(rule.state(0) + i, x[0], width);
  load_block(rule.source() + i, x[1], width);
  for (int k = 1; k <= Rule::moments; ++k)
    if (rule.state(k) != nullptr) load_block(static_cast<T const*>(rule.state(k)) + i, x[k + 1], width);
}
/// `i` lies at a multiple of 64 from the chunk's begin, so that a block's mask bits start at a byte.
template <class Rule, class T>
PLEAT_INLINE void scatter_block(Rule const& rule, update_chunk const& c, index_t i, index_t width,
                                T (*x)[block_width]) {
  if (c.mask_bits != nullptr) {
    std::uint8_t const* const bits = c.mask_bits + (i - c.begin) / 8;
    for (index_t j = 0; j < width; ++j)
      if ((bits[j / 8] >> (j % 8) & 1) == 0) {
        x[0][j] = T(0);
        for (int k = 0; k < Rule::moments; ++k) x[k + 2][j] = T(0);
      }
  }
  store_block(rule.state(0) + i, x[0], width);
  for (int k = 1; k <= Rule::moments; ++k)
    if (rule.state(k) != nullptr) store_block(rule.state(k) + i, x[k + 1], width);
}

template <class Rule> using rule_value = std::remove_pointer_t<decltype(std::declval<Rule const&>().state(0))>;

template <class Rule> void update_scalar(Rule const& rule, update_chunk const& c, index_t begin, index_t end) {
  rule_value<Rule> x[2 + Rule::moments][block_width], root[block_width];
  for (index_t i = begin; i < end; i += block_width) {
    index_t const width = end - i < block_width ? end - i : block_width;
    gather_block(rule, i, width, x);
    rule.before(x, root, c);
    if constexpr (Rule::has_root) root_block_scalar(root);
    rule.after(x, root, c);
    scatter_block(rule, c, i, width, x);
  }
}
#if defined(__x86_64__)
template <class Rule>
PLEAT_TARGET_AVX2 void update_avx2(Rule const& rule, update_chunk const& c, index_t begin, index_t end) {
  rule_value<Rule> x[2 + Rule::moments][block_width], root[block_width];
  for (index_t i = begin; i < end; i += block_width) {
    index_t const width = end - i < block_width ? end - i : block_width;
    gather_block(rule, i, width, x);
    rule.before(x, root, c);
    if constexpr (Rule::has_root) root_block_avx2(root);
    rule.after(x, root, c);
    scatter_block(rule, c, i, width, x);
  }
}
template <class Rule>
PLEAT_TARGET_WIDE void update_avx512(Rule const& rule, update_chunk const& c, index_t begin, index_t end) {
  rule_value<Rule> x[2 + Rule::moments][block_width], root[block_width];
  for (index_t i = begin; i < end; i += block_width) {
    index_t const width = end - i < block_width ? end - i : block_width;
    gather_block(rule, i, width, x);
    rule.before(x, root, c);
    if constexpr (Rule::has_root) root_block_avx512(root);
    rule.after(x, root, c);
    scatter_block(rule, c, i, width, x);
  }
}
#endif

template <class Rule> void update_range(Rule const& rule, update_chunk const& c, index_t begin, index_t end) {
#if defined(__x86_64__)
  if (isa::best() == isa::level::avx512) return update_avx512(rule, c, begin, end);
  if (isa::best() == isa::level::avx2) return update_avx2(rule, c, begin, end);
#endif
  update_scalar(rule, c, begin, end);
}

/// Task t takes its share of every chunk, cut at multiples of 64 from the chunk's begin.
template <class Rule> struct update_task {
  Rule const* rule;
  update_chunk const* chunks;
  index_t chunk_count, total;
  int tasks;
  void operator()(int t) const {
    index_t const first = total * t / tasks, last = total * (t + 1) / tasks;
    index_t at = 0;  // elements of the chunks before this one
    for (index_t k = 0; k < chunk_count && at < last; ++k) {
      update_chunk const& c = chunks[k];
      index_t const length = c.end - c.begin;
      index_t const begin = at >= first ? 0 : cut(first - at, length), end = cut(last - at, length);
      if (!c.frozen && begin < end) update_range(*rule, c, c.begin + begin, c.begin + end);
      at += length;
    }
  }
  static index_t cut(index_t i, index_t length) {
    index_t const rounded = (i + block_width - 1) / block_width * block_width;
    return rounded < length ? rounded : length;
  }
};

/// One element of the flat buffer: finds its chunk by bisection (device path).
template <class Rule> struct update_body {
  Rule rule;
  update_chunk const* chunks;
  index_t chunk_count;
  PLEAT_FUNCTION void operator()(index_t i) const {
    using T = rule_value<Rule>;
    index_t low = 0, high = chunk_count;  // the first chunk with end > i
    while (low < high) {
      index_t const middle = (low + high) / 2;
      if (chunks[middle].end > i) high = middle;
      else low = middle + 1;
    }
    if (low == chunk_count || chunks[low].begin > i || chunks[low].frozen) return;
    update_chunk const& c = chunks[low];
    T x[2 + Rule::moments][1] = {{rule.state(0)[i]}, {rule.source()[i]}}, root[1] = {T(0)};  // the others: zero
    for (int k = 1; k <= Rule::moments; ++k)
      if (rule.state(k) != nullptr) x[k + 1][0] = rule.state(k)[i];
    rule.before(x, root, c);
    if constexpr (Rule::has_root) root[0] = std::sqrt(root[0]);
    rule.after(x, root, c);
    index_t const b = i - c.begin;
    if (c.mask_bits != nullptr && (c.mask_bits[b / 8] >> (b % 8) & 1) == 0) {
      x[0][0] = T(0);
      for (int k = 0; k < Rule::moments; ++k) x[k + 2][0] = T(0);
    }
    rule.state(0)[i] = x[0][0];
    for (int k = 1; k <= Rule::moments; ++k)
      if (rule.state(k) != nullptr) rule.state(k)[i] = x[k + 1][0];
  }
};

template <class Space, class Rule>
void run_update(Space const& space, update_chunk const* chunks, index_t chunk_count, index_t n, Rule const& rule) {
  if constexpr (is_host_space_v<Space>) {
    index_t total = 0;
    for (index_t k = 0; k < chunk_count; ++k) total += chunks[k].end - chunks[k].begin;
    if (total <= 0) return;
    int const tasks = tasks_for(space, 4.0 * static_cast<double>(total));
    for_tasks(space, tasks, update_task<Rule>{&rule, chunks, chunk_count, total, tasks});
  } else if (n > 0) {
    loop_portable(space, n, update_body<Rule>{rule, chunks, chunk_count});
  }
}

}  // namespace detail

}  // namespace pleat::compute

#if defined(PLEAT_HAS_VECTORS)
#include <pleat/compute/detail/root_vectors.hpp>
#endif
