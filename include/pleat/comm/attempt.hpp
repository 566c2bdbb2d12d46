// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Work that may fail on some ranks: then all hear of it, in the words of one of them, and nobody waits for a rank that has left.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/comm/communicator.hpp>

namespace pleat::comm {

namespace detail {

[[nodiscard]] PLEAT_ONCE std::optional<error> attempt(communicator& ranks, void (*f)(void*), void* with) {
  std::string said;
  try {
    f(with);
  } catch (error const& e) {
    said = e.call() + '\n' + e.problem() + '\n' + e.remedy();
  } catch (std::exception const& e) {
    said = std::string("comm::attempt\n") + e.what() + "\n";
  }
  int const failed = ranks.all_reduce_value(said.empty() ? ranks.size() : ranks.rank(), reduction::min);
  if (failed == ranks.size()) return std::nullopt;
  said.resize(static_cast<std::size_t>(ranks.broadcast_value(static_cast<index_t>(said.size()), failed)));
  ranks.broadcast(said, failed);
  auto const first = said.find('\n'), second = said.rfind('\n');
  return error{said.substr(0, first), said.substr(first + 1, second - first - 1), said.substr(second + 1)};
}

}  // namespace detail

/// Runs f() on every rank. Collective; f itself must not be. \returns what the lowest rank on which it threw had to say; nothing if none did
template <class F> [[nodiscard]] std::optional<error> attempt(communicator& ranks, F&& f) {
  return detail::attempt(ranks, [](void* with) { (*static_cast<std::remove_reference_t<F>*>(with))(); }, const_cast<void*>(static_cast<void const*>(std::addressof(f))));
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
/// Rank 0's text, on all. Collective.
inline void share_text(communicator& ranks, std::string& text) {
  text.resize(static_cast<std::size_t>(ranks.broadcast_value(static_cast<index_t>(text.size()))));
  if (!text.empty()) ranks.broadcast(text);
}

}  // namespace pleat::comm
