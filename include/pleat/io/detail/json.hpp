// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The little JSON that file headers need: strings, natural numbers, punctuation, every refusal with its offset. RFC
/// 8259, strict. A general JSON library costs each user of the umbrella a second of compile time (seen: 1.4 s for the
/// largest one) and does not give offsets in the file; the tests compare this scanner with one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>

namespace pleat::io::detail {

/// The position of the first byte that is no UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above
/// U+10FFFF); npos if all is well.
PLEAT_LAZY [[nodiscard]] constexpr std::size_t first_not_utf8(std::string_view s) noexcept {
  auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  for (std::size_t i = 0; i < s.size();) {
    unsigned const a = byte(i);
    if (a < 0x80) {
      ++i;
      continue;
    }
    std::size_t const length = a >= 0xc2 && a <= 0xdf ? 2 : a >= 0xe0 && a <= 0xef ? 3 : a >= 0xf0 && a <= 0xf4 ? 4 : 0;
    if (length == 0 || i + length > s.size()) return i;
    unsigned const low = a == 0xe0 ? 0xa0 : a == 0xf0 ? 0x90 : 0x80, high = a == 0xed ? 0x9f : a == 0xf4 ? 0x8f : 0xbf;
    if (byte(i + 1) < low || byte(i + 1) > high) return i;
    for (std::size_t k = 2; k < length; ++k)
      if ((byte(i + k) & 0xc0u) != 0x80u) return i;
    i += length;
  }
  return std::string_view::npos;
}

/// Appends a code point as UTF-8.
PLEAT_ONCE void append_utf8(std::string& out, std::uint32_t c) {
  auto const put = [&](std::uint32_t b) { out.push_back(static_cast<char>(static_cast<unsigned char>(b))); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | c >> 6), put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | c >> 12), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | c >> 18), put(0x80 | (c >> 12 & 0x3f)), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
  }
}

/// Appends a string in quotes, escaped as little as RFC 8259 allows (the same bytes as serde_json, which writes most
/// safetensors files).
PLEAT_ONCE void append_json_string(std::string& out, std::string_view s) {
  constexpr char hex[] = "0123456789abcdef";
  out += '"';
  for (char const c : s) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += hex[static_cast<unsigned char>(c) >> 4];
          out += hex[static_cast<unsigned char>(c) & 15];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}
PLEAT_COMPILED_ONCE(void append_json_string(std::string& out, std::string_view s));

/// The same as a string of its own.
PLEAT_ONCE [[nodiscard]] std::string json_string(std::string_view s) {
  std::string out;
  append_json_string(out, s);
  return out;
}

/// Walks over a text; every failure throws with the offset in the file. The text must be UTF-8 already
/// (first_not_utf8).
class json_scanner {
 public:
  /// \param offset of text[0] in the file
  json_scanner(std::string_view text, std::uint64_t offset, std::string call)
      : text_(text), offset_(offset), call_(std::move(call)) {}

  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_ + at_; }
  [[nodiscard]] bool at_end() const noexcept { return at_ == text_.size(); }
  void skip_space() noexcept {
    while (!at_end() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) ++at_;
  }
  /// Takes `c` if it comes next.
  PLEAT_LAZY [[nodiscard]] bool accept(char c) noexcept {
    skip_space();
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  PLEAT_LAZY void expect(char c, char const* where) {
    if (!accept(c)) fail(std::string("expected '") + c + "' " + where);
  }

  /// Calls item() for each member between the brackets; item consumes it.
  template <class Item> void list(char open, char close, char const* where, Item&& item) {
    expect(open, where);
    if (accept(close)) return;
    do item();
    while (accept(','));
    expect(close, where);
  }

  PLEAT_ONCE [[nodiscard]] std::string string(char const* what) {
    skip_space();
    if (at_end() || text_[at_] != '"') fail(std::string("expected ") + what + " in quotes");
    ++at_;
    std::string out;
    for (;;) {
      if (at_end()) fail(std::string("the text ends within ") + what);
      char const c = text_[at_];
      if (c == '"') {
        ++at_;
        return out;
      }
      if (static_cast<unsigned char>(c) < 0x20) fail(std::string("a control character within ") + what);
      if (c == '\\') {
        escape(out);
      } else {
        out += c;
        ++at_;
      }
    }
  }

  /// A whole number from 0 to 2^63 − 1 as JSON writes it: no sign, no leading zero, no fraction, no exponent.
  PLEAT_ONCE [[nodiscard]] std::int64_t natural(char const* what) {
    skip_space();
    std::size_t const begin = at_;
    std::int64_t n = 0;
    while (!at_end() && text_[at_] >= '0' && text_[at_] <= '9') {
      if (__builtin_mul_overflow(n, std::int64_t{10}, &n) ||
          __builtin_add_overflow(n, std::int64_t{text_[at_] - '0'}, &n)) {
        at_ = begin;
        fail(std::string(what) + " is above 2^63 - 1");
      }
      ++at_;
    }
    bool const digits = at_ > begin, leading = at_ > begin + 1 && text_[begin] == '0';
    bool const more = !at_end() && (text_[at_] == '.' || text_[at_] == 'e' || text_[at_] == 'E');
    if (!digits || leading || more) {
      at_ = begin;
      fail(std::string("expected ") + what + " as a whole number");
    }
    return n;
  }

  PLEAT_ONCE [[noreturn]] void fail(std::string const& problem, char const* what_to_do = remedy::copy_again) const {
    std::string found = "the end of the text";
    if (!at_end()) {
      auto const c = static_cast<unsigned char>(text_[at_]);
      found = c >= 0x21 && c < 0x7f ? std::string("'") + text_[at_] + "'" : "byte value " + std::to_string(c);
    }
    throw error{call_, "at byte " + std::to_string(offset()) + ": " + problem + ", found " + found, what_to_do};
  }

 private:
  PLEAT_ONCE void escape(std::string& out) {
    constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
    if (at_ + 1 >= text_.size()) fail("an unfinished escape");
    if (auto const k = from.find(text_[at_ + 1]); k != std::string_view::npos) {
      out += to[k];
      at_ += 2;
      return;
    }
    if (text_[at_ + 1] != 'u') fail("an escape that JSON does not have");
    std::uint32_t c = hex4(at_ + 2);
    std::size_t length = 6;
    if (c >= 0xd800 && c < 0xdc00) {
      if (text_.substr(at_ + 6, 2) != "\\u") fail("half of a surrogate pair");
      std::uint32_t const low = hex4(at_ + 8);
      if (low < 0xdc00 || low > 0xdfff) fail("half of a surrogate pair");
      c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
      length = 12;
    } else if (c >= 0xdc00 && c < 0xe000) {
      fail("half of a surrogate pair");
    }
    append_utf8(out, c);
    at_ += length;
  }
  PLEAT_ONCE [[nodiscard]] std::uint32_t hex4(std::size_t begin) const {
    if (begin + 4 > text_.size()) fail("an unfinished escape");
    std::uint32_t v = 0;
    for (std::size_t i = begin; i < begin + 4; ++i) {
      char const c = text_[i];
      int const d = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
      if (d < 0) fail("an escape with a character that is no hexadecimal digit");
      v = v << 4 | static_cast<std::uint32_t>(d);
    }
    return v;
  }

  std::string_view text_;
  std::uint64_t offset_;
  std::string call_;
  std::size_t at_ = 0;
};

}  // namespace pleat::io::detail
