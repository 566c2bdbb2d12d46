// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Walks over little-endian bytes; every step past the end throws with the offset. Needs no Kokkos.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>

namespace pleat::io::detail {

class byte_reader {
 public:
  /// \param call how errors introduce themselves
  byte_reader(std::span<std::byte const> bytes, std::string call) : bytes_(bytes), call_(std::move(call)) {}

  [[nodiscard]] std::uint64_t position() const noexcept { return at_; }
  [[nodiscard]] std::uint64_t left() const noexcept { return bytes_.size() - at_; }

  void skip(std::size_t n) {
    need(n, "a jump");
    at_ += n;
  }
  void copy(void* to, std::size_t n) {
    need(n, "numbers");
    if (n > 0) std::memcpy(to, bytes_.data() + at_, n);
    at_ += n;
  }
  template <class T> [[nodiscard]] T number(char const* what) {
    need(sizeof(T), what);
    T v;
    std::memcpy(&v, bytes_.data() + at_, sizeof v);
    at_ += sizeof v;
    return v;
  }
  /// A 64-bit length and so many bytes.
  [[nodiscard]] std::string string(char const* what, std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) {
    auto const n = number<std::uint64_t>(what);
    if (n > most)
      throw error{call_,
                  std::string(what) + " at byte " + std::to_string(at_) + " is said to have " + std::to_string(n) +
                      " bytes, at most " + std::to_string(most) + " are allowed",
                  remedy::copy_again};
    need(n, what);
    std::string s(reinterpret_cast<char const*>(bytes_.data() + at_), static_cast<std::size_t>(n));
    at_ += static_cast<std::size_t>(n);
    return s;
  }
  /// Refuses a count of things that take at least `bytes` each and cannot be there. \throws error
  PLEAT_ONCE void demand_room(std::uint64_t count, std::uint64_t bytes, char const* what) const {
    if (count > left() / bytes)
      throw error{call_,
                  "at byte " + std::to_string(at_) + ": " + std::to_string(count) + " " + what +
                      " are announced, but only " + std::to_string(left()) + " bytes follow",
                  remedy::copy_again};
  }

 private:
  PLEAT_ONCE void need(std::uint64_t n, char const* what) const {
    if (n > left())
      throw error{call_,
                  "at byte " + std::to_string(at_) + ": expected " + std::to_string(n) + " bytes for " + what +
                      ", but only " + std::to_string(left()) + " bytes follow",
                  remedy::copy_again};
  }

  std::span<std::byte const> bytes_;
  std::string call_;
  std::size_t at_ = 0;
};

}  // namespace pleat::io::detail
