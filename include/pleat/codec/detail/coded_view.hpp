// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Reading entropy-coded shared values: the survivors of a chunk from its two streams, one chunk or several by turns.
/// Needs no Kokkos. codec/detail/coded_bits.hpp says what a chunk is.
#pragma once

#include <algorithm>
#include <cstdint>

#include <pleat/base/config.hpp>
#include <pleat/codec/detail/block_formats.hpp>
#include <pleat/codec/detail/entropy.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec::detail {

/// Where a chunk's survivors go: one list after the other.
struct chunk_lists {
  std::uint32_t* start;   ///< [rows of the chunk + 1]
  std::uint32_t* column;  ///< [survivors]; null (index_bits = 0 only): not wanted
  float* value;           ///< [survivors]
};

/// The parts of a coded weight where they lie, and how its chunks are read.
struct coded_view {
  std::uint32_t const* restart = nullptr;
  std::uint64_t const* begin = nullptr;  ///< [chunks + 1]: where a chunk's bytes begin
  byte_t const* bytes = nullptr;
  std::uint32_t const* code_table = nullptr;
  std::uint32_t const* gap_table = nullptr;
  float const* books = nullptr;
  coder code_how = coder::plain, gap_how = coder::plain;
  int code_bits = 0, gap_bits = 0;
  index_t rows = 0, columns = 0, chunk_rows = 1, chunks = 0, entries = 0, rows_per_group = 1, phase = 0, filler = 0,
          alive = 0, most_alive = 0;

  [[nodiscard]] PLEAT_FUNCTION index_t rows_in(index_t chunk) const {
    return chunk_rows < rows - chunk * chunk_rows ? chunk_rows : rows - chunk * chunk_rows;
  }
  /// The survivors of a chunk. With `Check` every step is checked. \returns false if a check failed
  template <bool Check> bool read(index_t chunk, chunk_lists const& to) const {
    index_t const n = restart[3 * chunk], limit = rows_in(chunk) * columns;
    byte_t const* const from = bytes + begin[chunk];
    byte_t const* const middle = from + restart[3 * chunk + 1];
    byte_t const* const end = middle + restart[3 * chunk + 2];
    if (Check && (n > limit || (filler == 0 && n != limit))) return false;
    bool good = true;
    if (filler == 0) places_of_all(chunk, to);
    else if (gap_how == coder::huffman) good = gaps<coder::huffman, Check>(n, limit, middle, end, rows_in(chunk), to);
    else if (gap_how == coder::range) good = gaps<coder::range, Check>(n, limit, middle, end, rows_in(chunk), to);
    else good = gaps<coder::plain, Check>(n, limit, middle, end, rows_in(chunk), to);
    if (!good) return false;
    if (code_how == coder::huffman) return codes<coder::huffman, Check>(chunk, from, middle, to);
    if (code_how == coder::range) return codes<coder::range, Check>(chunk, from, middle, to);
    return codes<coder::plain, Check>(chunk, from, middle, to);
  }

  /// Chunks [first, first + together), without checks: their streams are read by turns, so that each hides the
  /// others' latency.
  static constexpr int together = 4;
  void read_together(index_t first, chunk_lists const (&to)[together]) const {
    auto const limit = static_cast<double>(chunk_rows) * static_cast<double>(columns);
    bool one_book = limit < 4294967296.0;  // places are counted through a chunk
    for (index_t c = first; c < first + together; ++c)
      one_book = one_book && group_of(c, 0) == group_of(c, rows_in(c) - 1);
    if (!one_book) {
      for (int c = 0; c < together; ++c) read<false>(first + c, to[c]);
      return;
    }
    if (filler == 0)
      for (int c = 0; c < together; ++c) places_of_all(first + c, to[c]);
    else if (gap_how == coder::huffman) gaps_together<coder::huffman>(first, to);
    else if (gap_how == coder::range) gaps_together<coder::range>(first, to);
    else gaps_together<coder::plain>(first, to);
    if (code_how == coder::huffman) codes_together<coder::huffman>(first, to);
    else if (code_how == coder::range) codes_together<coder::range>(first, to);
    else codes_together<coder::plain>(first, to);
  }

  /// A chunk as dense rows, element by element (for devices).
  PLEAT_FUNCTION void scatter(index_t chunk, float* out) const {
    for (index_t i = 0; i < rows_in(chunk) * columns; ++i) out[i] = 0;
    if (code_how == coder::huffman) scatter_codes<coder::huffman>(chunk, out);
    else if (code_how == coder::range) scatter_codes<coder::range>(chunk, out);
    else scatter_codes<coder::plain>(chunk, out);
  }

 private:
  template <coder Code> PLEAT_FUNCTION void scatter_codes(index_t chunk, float* out) const {
    if (gap_how == coder::huffman) scatter_both<Code, coder::huffman>(chunk, out);
    else if (gap_how == coder::range && filler) scatter_both<Code, coder::range>(chunk, out);
    else scatter_both<Code, coder::plain>(chunk, out);
  }
  template <coder Code, coder Gap> PLEAT_FUNCTION void scatter_both(index_t chunk, float* out) const {
    byte_t const* const from = bytes + begin[chunk];
    symbol_reader<Code> code(from, code_table, code_bits);
    symbol_reader<Gap> gap(from + restart[3 * chunk + 1], gap_table, gap_bits);
    index_t at = 0;
    for (index_t i = 0; i < restart[3 * chunk];) {
      if (filler) {
        index_t const g = gap.next();
        at += g;
        if (g == filler) continue;
      }
      out[at] = books[(chunk * chunk_rows + at / columns + phase) / rows_per_group * entries + code.next()];
      ++at;
      ++i;
    }
  }
  [[nodiscard]] index_t group_of(index_t chunk, index_t row) const {
    return (chunk * chunk_rows + row + phase) / rows_per_group;
  }

  /// One of several streams of gaps: places through its chunk.
  template <coder How> struct gap_lane {
    symbol_reader<How> reader;
    std::uint32_t filler, n, i = 0, at = 0;
    std::uint32_t* place;
    PLEAT_INLINE void step() {
      auto const gap = reader.next();
      at += gap;
      place[i] = at;
      std::uint32_t const survives = gap != filler;  // no branch: it could not be foreseen
      i += survives;
      at += survives;
    }
  };
  template <coder How> [[nodiscard]] gap_lane<How> gap_lane_of(index_t chunk, chunk_lists const& to) const {
    return {symbol_reader<How>(bytes + begin[chunk] + restart[3 * chunk + 1], gap_table, gap_bits),
            static_cast<std::uint32_t>(filler),
            restart[3 * chunk],
            0,
            0,
            to.column};
  }
  template <coder How> void gaps_together(index_t first, chunk_lists const (&to)[together]) const {
    auto a = gap_lane_of<How>(first, to[0]), b = gap_lane_of<How>(first + 1, to[1]),
         c = gap_lane_of<How>(first + 2, to[2]), d = gap_lane_of<How>(first + 3, to[3]);
    for (;;) {
      auto const rounds = std::min({a.n - a.i, b.n - b.i, c.n - c.i, d.n - d.i});
      if (rounds == 0) break;
      for (std::uint32_t r = 0; r < rounds; ++r) a.step(), b.step(), c.step(), d.step();
    }
    while (a.i < a.n) a.step();
    while (b.i < b.n) b.step();
    while (c.i < c.n) c.step();
    while (d.i < d.n) d.step();
    for (int l = 0; l < together; ++l) part_rows_of(first + l, to[l]);
  }
  /// Places through a chunk to rows and columns.
  void part_rows_of(index_t chunk, chunk_lists const& to) const {
    std::uint32_t const n = restart[3 * chunk], width = static_cast<std::uint32_t>(columns);
    index_t row = 0;
    std::uint32_t i = 0;
    to.start[0] = 0;
    for (; row < rows_in(chunk); ++row) {
      std::uint64_t const row_begin = static_cast<std::uint64_t>(row) * width, row_end = row_begin + width;
      for (; i < n && to.column[i] < row_end; ++i) to.column[i] -= static_cast<std::uint32_t>(row_begin);
      to.start[row + 1] = i;
    }
  }
  template <coder How> struct code_lane {
    symbol_reader<How> reader;
    float const* book;
    std::uint32_t n;
    float* value;
    PLEAT_INLINE void step(std::uint32_t i) { value[i] = book[reader.next()]; }
  };
  template <coder How> [[nodiscard]] code_lane<How> code_lane_of(index_t chunk, chunk_lists const& to) const {
    return {symbol_reader<How>(bytes + begin[chunk], code_table, code_bits), books + group_of(chunk, 0) * entries,
            restart[3 * chunk], to.value};
  }
  template <coder How> void codes_together(index_t first, chunk_lists const (&to)[together]) const {
    auto a = code_lane_of<How>(first, to[0]), b = code_lane_of<How>(first + 1, to[1]),
         c = code_lane_of<How>(first + 2, to[2]), d = code_lane_of<How>(first + 3, to[3]);
    std::uint32_t const all = std::min({a.n, b.n, c.n, d.n});
    for (std::uint32_t i = 0; i < all; ++i) a.step(i), b.step(i), c.step(i), d.step(i);
    for (auto i = all; i < a.n; ++i) a.step(i);
    for (auto i = all; i < b.n; ++i) b.step(i);
    for (auto i = all; i < c.n; ++i) c.step(i);
    for (auto i = all; i < d.n; ++i) d.step(i);
  }
  void places_of_all(index_t chunk, chunk_lists const& to) const {
    for (index_t r = 0; r <= rows_in(chunk); ++r) to.start[r] = static_cast<std::uint32_t>(r * columns);
    if (to.column == nullptr) return;  // whoever wants dense rows knows them
    for (index_t r = 0; r < rows_in(chunk); ++r)
      for (index_t k = 0; k < columns; ++k) to.column[r * columns + k] = static_cast<std::uint32_t>(k);
  }
  template <coder How, bool Check>
  bool gaps(index_t n, index_t limit, byte_t const* from, byte_t const* end, index_t chunk_rows_here,
            chunk_lists const& to) const {
    symbol_reader<How> reader(from, gap_table, gap_bits);
    index_t row = 0, row_begin = 0, at = 0;  // positions count through the chunk
    to.start[0] = 0;
    for (index_t i = 0; i < n;) {
      auto const gap = static_cast<index_t>(reader.next());
      at += gap;
      if constexpr (Check)
        if (at >= limit || reader.position() > end) return false;
      if (gap == filler) continue;
      while (at - row_begin >= columns) {
        to.start[++row] = static_cast<std::uint32_t>(i);
        row_begin += columns;
      }
      to.column[i++] = static_cast<std::uint32_t>(at - row_begin);
      ++at;
    }
    while (row < chunk_rows_here) to.start[++row] = static_cast<std::uint32_t>(n);
    return true;
  }
  template <coder How, bool Check>
  bool codes(index_t chunk, byte_t const* from, byte_t const* end, chunk_lists const& to) const {
    symbol_reader<How> reader(from, code_table, code_bits);
    for (index_t r = 0; r < rows_in(chunk); ++r) {
      float const* const book = books + (chunk * chunk_rows + r + phase) / rows_per_group * entries;
      for (auto i = to.start[r]; i < to.start[r + 1]; ++i) {
        unsigned const code = reader.next();
        if constexpr (Check)
          if (code >= static_cast<unsigned>(entries) || reader.position() > end) return false;
        to.value[i] = book[code];
      }
    }
    return true;
  }
};

}  // namespace pleat::codec::detail
