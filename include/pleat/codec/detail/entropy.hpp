// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Streams of small symbols in few bits: canonical Huffman, range coding with tables (rANS), or plain bits, whichever
/// is smallest. Needs no Kokkos.
///
/// Sources: D. Huffman 1952 (canonical form as in DEFLATE: shorter codes first, ascending symbols); J. Duda 2013, range
/// variant of asymmetric numeral systems, 32-bit state, 16 bits at a time, frequencies that sum to 2^12.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>
#include <queue>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/detail/block_formats.hpp>

namespace pleat::codec::detail {

enum class coder : std::uint8_t { plain, huffman, range };

inline constexpr int code_limit = 12;  ///< longest Huffman code; precision of the range coder
inline constexpr std::uint32_t code_span = 1u << code_limit;
inline constexpr std::uint32_t range_low = 1u << 16;  ///< a state lies in [range_low, 2^32)

/// How the symbols 0 … size − 1 of a stream are written.
struct symbol_model {
  coder how = coder::plain;
  int size = 1;                         ///< of the alphabet, at most 256
  std::vector<std::uint16_t> weight{};  ///< Huffman: lengths; range: frequencies
};

[[nodiscard]] inline int plain_bits(int alphabet) noexcept {
  return std::bit_width(static_cast<unsigned>(alphabet - 1));
}

/// Lengths of an optimal prefix code with no length above code_limit (counts are flattened until it fits). One symbol
/// alone gets length 1.
[[nodiscard]] inline std::vector<std::uint16_t> huffman_lengths(std::vector<std::uint64_t> counts) {
  std::vector<std::uint16_t> length(counts.size(), 0);
  for (;;) {
    struct node {
      std::uint64_t count;
      int id;
      bool operator>(node const& o) const { return count != o.count ? count > o.count : id > o.id; }
    };
    std::priority_queue<node, std::vector<node>, std::greater<>> queue;
    std::vector<int> parent(2 * counts.size(), -1);
    for (std::size_t i = 0; i < counts.size(); ++i)
      if (counts[i] > 0) queue.push({counts[i], static_cast<int>(i)});
    if (queue.size() == 1) {
      length[static_cast<std::size_t>(queue.top().id)] = 1;
      return length;
    }
    int next = static_cast<int>(counts.size());
    while (queue.size() > 1) {
      node const a = queue.top();
      queue.pop();
      node const b = queue.top();
      queue.pop();
      parent[static_cast<std::size_t>(a.id)] = parent[static_cast<std::size_t>(b.id)] = next;
      queue.push({a.count + b.count, next++});
    }
    int longest = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      int depth = 0;
      if (counts[i] > 0)
        for (int p = parent[i]; p >= 0; p = parent[static_cast<std::size_t>(p)]) ++depth;
      length[i] = static_cast<std::uint16_t>(depth);
      longest = std::max(longest, depth);
    }
    if (longest <= code_limit) return length;
    for (auto& c : counts)
      if (c > 0) c = c / 2 + 1;
  }
}

/// Canonical codes, first bit of the code in the lowest bit.
[[nodiscard]] inline std::vector<std::uint16_t> huffman_codes(std::vector<std::uint16_t> const& length) {
  std::vector<std::uint16_t> code(length.size(), 0);
  unsigned next = 0;
  for (int l = 1; l <= code_limit; ++l) {
    for (std::size_t s = 0; s < length.size(); ++s)
      if (length[s] == l) {
        unsigned turned = 0;
        for (int b = 0; b < l; ++b) turned |= (next >> b & 1u) << (l - 1 - b);
        code[s] = static_cast<std::uint16_t>(turned);
        ++next;
      }
    next <<= 1;
  }
  return code;
}

/// Frequencies that sum to code_span, none of a symbol that occurs 0.
[[nodiscard]] inline std::vector<std::uint16_t> range_frequencies(std::vector<std::uint64_t> const& counts) {
  std::uint64_t total = 0;
  for (auto c : counts) total += c;
  std::vector<std::uint16_t> f(counts.size(), 0);
  if (total == 0) return f;
  std::int64_t left = code_span;
  for (std::size_t i = 0; i < counts.size(); ++i)
    if (counts[i] > 0) {
      f[i] = static_cast<std::uint16_t>(std::max<std::uint64_t>(
          1, static_cast<std::uint64_t>(static_cast<double>(counts[i]) / static_cast<double>(total) * code_span)));
      left -= f[i];
    }
  while (left != 0) {  // the most frequent symbols pay and gain: it costs least there
    auto const most = std::max_element(f.begin(), f.end());
    std::int64_t const change = left > 0 ? left : std::max<std::int64_t>(left, -(*most - 1) / 2 - 1);
    *most = static_cast<std::uint16_t>(*most + change);
    left -= change;
  }
  return f;
}

/// Bits that the symbols of these counts take, table included.
[[nodiscard]] inline double bits_of_model(symbol_model const& m, std::vector<std::uint64_t> const& counts) {
  double bits = 16;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    double const n = static_cast<double>(counts[i]);
    if (m.how == coder::plain) bits += n * plain_bits(m.size);
    else if (m.how == coder::huffman) bits += n * m.weight[i] + 4;
    else bits += (n > 0 ? n * (code_limit - std::log2(static_cast<double>(m.weight[i]))) : 0.0) + 16;
  }
  return bits;
}

/// The model that makes the stream smallest. `chunks`: each costs the range coder four bytes more.
[[nodiscard]] inline symbol_model best_model(std::vector<std::uint64_t> const& counts, index_t chunks, bool entropy) {
  symbol_model best{coder::plain, static_cast<int>(counts.size()), {}};
  bool const any = std::any_of(counts.begin(), counts.end(), [](auto c) { return c > 0; });
  if (!entropy || !any) return best;
  symbol_model const huffman{coder::huffman, best.size, huffman_lengths(counts)},
      range{coder::range, best.size, range_frequencies(counts)};
  double least = bits_of_model(best, counts);
  if (double const b = bits_of_model(huffman, counts); b < least) best = huffman, least = b;
  if (double const b = bits_of_model(range, counts) + 32.0 * static_cast<double>(chunks); b < least) best = range;
  return best;
}

/// The model as a file has it: coder, size − 1, then nibbles (Huffman) or 16-bit frequencies.
inline void write_model(symbol_model const& m, std::vector<std::uint8_t>& to) {
  to.push_back(static_cast<std::uint8_t>(m.how));
  to.push_back(static_cast<std::uint8_t>(m.size - 1));
  if (m.how == coder::huffman)
    for (std::size_t i = 0; i < m.weight.size(); i += 2)
      to.push_back(static_cast<std::uint8_t>(m.weight[i] | (i + 1 < m.weight.size() ? m.weight[i + 1] : 0) << 4));
  if (m.how == coder::range)
    for (auto f : m.weight) {
      to.push_back(static_cast<std::uint8_t>(f & 255));
      to.push_back(static_cast<std::uint8_t>(f >> 8));
    }
}
/// Reads and checks a model; `at` moves on. \throws error
[[nodiscard]] inline symbol_model read_model(std::string const& call, std::span<std::uint8_t const> from,
                                             std::size_t& at) {
  auto const need = [&](std::size_t n) {
    if (from.size() - at < n) throw error{call, "the tables end in the middle of one", remedy::copy_again};
  };
  need(2);
  symbol_model m;
  if (from[at] > 2)
    throw error{call, "coder " + std::to_string(from[at]) + " is unknown to this version",
                "Read it with a newer pleat"};
  m.how = static_cast<coder>(from[at]);
  m.size = from[at + 1] + 1;
  at += 2;
  std::uint32_t sum = 0;
  if (m.how == coder::huffman) {
    need(static_cast<std::size_t>(m.size + 1) / 2);
    for (int i = 0; i < m.size; ++i) {
      auto const l = static_cast<std::uint16_t>(from[at + static_cast<std::size_t>(i / 2)] >> (i % 2 * 4) & 15);
      if (l > code_limit)
        throw error{call, "a code of " + std::to_string(l) + " bits, the longest is " + std::to_string(code_limit),
                    remedy::copy_again};
      m.weight.push_back(l);
      if (l) sum += code_span >> l;
    }
    at += static_cast<std::size_t>(m.size + 1) / 2;
    bool const alone = std::count_if(m.weight.begin(), m.weight.end(), [](auto l) { return l > 0; }) == 1;
    if (sum > code_span || (sum < code_span && !alone) || sum == 0)
      throw error{call, "the code lengths are no complete prefix code", remedy::copy_again};
  } else if (m.how == coder::range) {
    need(2 * static_cast<std::size_t>(m.size));
    for (int i = 0; i < m.size; ++i, at += 2) {
      m.weight.push_back(static_cast<std::uint16_t>(from[at] | from[at + 1] << 8));
      sum += m.weight.back();
    }
    if (sum != code_span)
      throw error{call, "the frequencies sum to " + std::to_string(sum) + ", expected " + std::to_string(code_span),
                  remedy::copy_again};
  }
  return m;
}

/// What a decoder looks symbols up in, code_span entries. Huffman: symbol | length << 8. Range: symbol | (frequency −
/// 1) << 8 | bias << 20.
[[nodiscard]] inline std::vector<std::uint32_t> decode_table(symbol_model const& m) {
  std::vector<std::uint32_t> t(code_span, 1u << 8);
  if (m.how == coder::huffman) {
    auto const code = huffman_codes(m.weight);
    for (std::size_t s = 0; s < m.weight.size(); ++s)
      if (m.weight[s] > 0)
        for (std::uint32_t u = code[s]; u < code_span; u += 1u << m.weight[s])
          t[u] = static_cast<std::uint32_t>(s) | static_cast<std::uint32_t>(m.weight[s]) << 8;
  } else if (m.how == coder::range) {
    std::uint32_t first = 0;
    for (std::size_t s = 0; s < m.weight.size(); ++s)
      for (std::uint32_t u = 0; u < m.weight[s]; ++u, ++first)
        t[first] = static_cast<std::uint32_t>(s) | static_cast<std::uint32_t>(m.weight[s] - 1) << 8 | u << 20;
  }
  return t;
}

/// Symbols to bytes, appended.
inline void encode_symbols(symbol_model const& m, std::span<std::uint8_t const> symbols,
                           std::vector<std::uint8_t>& to) {
  if (m.how == coder::range) {
    std::vector<std::uint32_t> first(m.weight.size() + 1, 0);
    for (std::size_t s = 0; s < m.weight.size(); ++s) first[s + 1] = first[s] + m.weight[s];
    std::vector<std::uint8_t> turned;
    std::uint32_t state = range_low;
    for (auto i = symbols.size(); i-- > 0;) {
      std::uint32_t const f = m.weight[symbols[i]];
      if (state >= (std::uint64_t{range_low >> code_limit} << 16) * f) {
        turned.push_back(static_cast<std::uint8_t>(state >> 8 & 255));  // read in turn: the lower byte first
        turned.push_back(static_cast<std::uint8_t>(state & 255));
        state >>= 16;
      }
      state = ((state / f) << code_limit) + state % f + first[symbols[i]];
    }
    for (int b = 0; b < 4; ++b) turned.push_back(static_cast<std::uint8_t>(state >> (8 * b)));
    to.insert(to.end(), turned.rbegin(), turned.rend());  // the state's highest byte comes first
    return;
  }
  auto const code = m.how == coder::huffman ? huffman_codes(m.weight) : std::vector<std::uint16_t>{};
  std::uint64_t buffer = 0;
  int bits = 0;
  for (auto s : symbols) {
    buffer |= static_cast<std::uint64_t>(m.how == coder::huffman ? code[s] : s) << bits;
    bits += m.how == coder::huffman ? m.weight[s] : plain_bits(m.size);
    for (; bits >= 8; bits -= 8, buffer >>= 8) to.push_back(static_cast<std::uint8_t>(buffer & 255));
  }
  if (bits > 0) to.push_back(static_cast<std::uint8_t>(buffer & 255));
}

/// Reads symbols one by one. May look at 8 bytes past the stream's end, whatever they hold.
template <coder How> class symbol_reader {
 public:
  PLEAT_INLINE symbol_reader(byte_t const* from, std::uint32_t const* table, int bits)
      : at_(from), table_(table), plain_(bits) {
    if constexpr (How == coder::range) {
      state_ = static_cast<std::uint32_t>(from[0]) << 24 | static_cast<std::uint32_t>(from[1]) << 16 |
               static_cast<std::uint32_t>(from[2]) << 8 | from[3];
      at_ += 4;
    }
  }
  PLEAT_INLINE unsigned next() {
    if constexpr (How == coder::range) {
      std::uint32_t const e = table_[state_ & (code_span - 1)];
      state_ = ((e >> 8 & (code_span - 1)) + 1) * (state_ >> code_limit) + (e >> 20);
      // 16 bits are missing or none. No branch, it could not be foreseen; and no choice, of which compilers make one.
      auto const missing = static_cast<std::uint32_t>((std::uint64_t{state_} - range_low) >> 63);
      state_ = state_ << (16 * missing) | (load16(at_) & (0u - missing));
      at_ += 2 * missing;
      return e & 255;
    } else {
      if (bits_ < code_limit) refill();
      unsigned symbol;
      int used;
      if constexpr (How == coder::huffman) {
        std::uint32_t const e = table_[buffer_ & (code_span - 1)];
        symbol = e & 255;
        used = static_cast<int>(e >> 8);
      } else {
        symbol = static_cast<unsigned>(buffer_ & ((std::uint64_t{1} << plain_) - 1));
        used = plain_;
      }
      buffer_ >>= used;
      bits_ -= used;
      return symbol;
    }
  }
  /// Where the next byte would be read, bits at hand not counted.
  [[nodiscard]] byte_t const* position() const { return How == coder::range ? at_ : at_ - bits_ / 8; }

 private:
  PLEAT_INLINE void refill() {
    std::uint64_t const more = static_cast<std::uint64_t>(load32(at_)) | static_cast<std::uint64_t>(load32(at_ + 4))
                                                                             << 32;
    buffer_ |= more << bits_;
    int const taken = (63 - bits_) / 8;
    at_ += taken;
    bits_ += 8 * taken;
  }
  byte_t const* at_;
  std::uint32_t const* table_;
  std::uint64_t buffer_ = 0;
  std::uint32_t state_ = 0;
  int bits_ = 0, plain_;
};

}  // namespace pleat::codec::detail
