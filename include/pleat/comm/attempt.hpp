// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Work that may fail on some ranks: then all hear of it, in the words of one of them, and nobody waits for a rank that
/// has left.
#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/comm/communicator.hpp>

namespace pleat::comm {

namespace detail {

/// Between call, problem and remedy of a message: each of them may have lines of its own.
inline constexpr char between_words = '\x1f';  // ASCII's unit separator

/// The exception under way as a message: call, problem and remedy. \param call of what is no pleat::error
PLEAT_ONCE [[nodiscard]] std::string words_of_failure(char const* call) {
  try {
    throw;
  } catch (error const& e) {
    return e.call() + between_words + e.problem() + between_words + e.remedy();
  } catch (std::exception const& e) {
    return std::string(call) + between_words + e.what() + between_words;
  } catch (...) {
    return std::string(call) + between_words + "an exception that is no std::exception" + between_words;
  }
}
PLEAT_COMPILED_ONCE(std::string words_of_failure(char const* call));
PLEAT_ONCE [[nodiscard]] error error_of_words(std::string const& said) {
  auto const first = said.find(between_words), second = said.find(between_words, first + 1);
  return error{said.substr(0, first), said.substr(first + 1, second - first - 1), said.substr(second + 1)};
}
PLEAT_COMPILED_ONCE(error error_of_words(std::string const& said));

/// Whatever happens, ranks meet in sums of floats: what every transport can that trains.
PLEAT_ONCE [[nodiscard]] std::optional<error> attempt(communicator& ranks, void (*f)(void*), void* with) {
  std::string said;
  try {
    f(with);
  } catch (...) {
    said = words_of_failure("comm::attempt");
  }
  if (ranks.all_reduce_value(said.empty() ? 0.0F : 1.0F) == 0) return std::nullopt;
  std::vector<float> sums(static_cast<std::size_t>(ranks.size()), 0.0F);  // of each rank the length of what it says
  sums[static_cast<std::size_t>(ranks.rank())] = static_cast<float>(said.size());
  ranks.all_reduce(sums);
  auto const failed = std::find_if(sums.begin(), sums.end(), [](float n) { return n != 0; });
  std::vector<float> letters(static_cast<std::size_t>(*failed), 0.0F);
  if (failed - sums.begin() == ranks.rank())  // a length above 2^24 is rounded: the last letters of 16 MiB may be lost
    std::transform(said.begin(), said.begin() + std::min(std::ssize(said), std::ssize(letters)), letters.begin(),
                   [](char c) { return static_cast<float>(c); });
  ranks.all_reduce(letters);
  said.resize(letters.size());
  std::transform(letters.begin(), letters.end(), said.begin(), [](float c) { return static_cast<char>(c); });
  return error_of_words(said);
}
PLEAT_COMPILED_ONCE(std::optional<error> attempt(communicator& ranks, void (*f)(void*), void* with));

}  // namespace detail

/// Runs f() on every rank. Collective; f itself must not be. \returns what the lowest rank on which it threw had to
/// say; nothing if none did
template <class F> [[nodiscard]] std::optional<error> attempt(communicator& ranks, F&& f) {
  return detail::attempt(
      ranks, [](void* with) { (*static_cast<std::remove_reference_t<F>*>(with))(); },
      const_cast<void*>(static_cast<void const*>(std::addressof(f))));
}
/// The same, thrown. \throws error on every rank alike
template <class F> void all_or_none(communicator& ranks, F&& f) {
  if (auto const e = attempt(ranks, f)) throw error{*e};
}
/// For what rank 0 does alone. \throws error on every rank alike
template <class F> void on_root(communicator& ranks, F&& f) {
  all_or_none(ranks, [&] {
    if (ranks.rank() == 0) f();
  });
}

/// A failure in the middle of what other ranks do together with this one, who will wait for the rest of it: `attempts`
/// throws it where it happens.
struct broken_off : error {
  explicit broken_off(error const& e) : error(e) {}
};
/// A failure after all that other ranks wait for: `attempts` keeps it until ranks meet, also where it throws others at
/// once.
struct done_in_vain : error {
  explicit done_in_vain(error const& e) : error(e) {}
};
/// f(), of which every failure breaks off what is done `together`.
template <class F> decltype(auto) whole_or_broken_off(bool together, F&& f) {
  if (!together) return f();
  try {
    return f();
  } catch (...) {
    throw broken_off(detail::error_of_words(detail::words_of_failure("comm::whole_or_broken_off")));
  }
}

/// Many pieces of work of which each may fail on some ranks, and one place at its end where all ranks meet and hear of
/// the first failure: for pieces that talk to ranks who do not wait for what becomes of them (batches through the
/// stages of a pipeline). After a failure a rank goes on with the next piece, so that nobody waits for it in vain.
///
///     comm::attempts pieces;
///     for (…) pieces([&] { … });
///     pieces.meet(ranks);   // throws on every rank alike
class attempts {
 public:
  /// \param at_once a failure is thrown where it happens: for pieces in the middle of which ranks wait for each other
  explicit attempts(bool at_once = false) noexcept : at_once_(at_once) {}

  template <class F> void operator()(F&& f) {
    try {
      f();
    } catch (broken_off const&) {
      throw;
    } catch (done_in_vain const&) {
      if (!first_) first_ = std::current_exception();
    } catch (...) {
      if (at_once_) throw;
      if (!first_) first_ = std::current_exception();
    }
  }
  /// Collective. \throws error on every rank alike, if any rank's piece failed
  PLEAT_ONCE void meet(communicator& ranks) const;

 private:
  std::exception_ptr first_{};
  bool at_once_;
};

template <class> void attempts::meet(communicator& ranks) const {
  all_or_none(ranks, [&] {
    if (first_) std::rethrow_exception(first_);
  });
}
PLEAT_COMPILED_ONCE(void attempts::meet(communicator& ranks) const);

/// Rank 0's text, on all. Collective.
PLEAT_ONCE void share_text(communicator& ranks, std::string& text) {
  text.resize(static_cast<std::size_t>(ranks.broadcast_value(static_cast<index_t>(text.size()))));
  if (!text.empty()) ranks.broadcast(text);
}

}  // namespace pleat::comm
