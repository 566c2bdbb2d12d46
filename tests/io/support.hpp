// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What the tests of this room share: a scratch folder, the words of an error, children, seeded damage.
#pragma once

#include <clocale>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <pleat/base/error.hpp>
#include <pleat/base/random.hpp>
#include <support/scratch_folder.hpp>

namespace io_test {

using scratch = pleat_test::scratch_folder;

/// The words of the pleat::error that f throws; "" if it throws none (other exceptions pass).
template <class F> std::string words(F&& f) {
  try {
    f();
  } catch (pleat::error const& e) {
    return e.what();
  }
  return "";
}

/// The same where a file is no good: then the words must also say what to do.
template <class F> std::string advice(F&& f) {
  try {
    f();
  } catch (pleat::error const& e) {
    if (e.remedy().empty()) throw std::logic_error(std::string("no word of what to do: ") + e.what());
    return e.what();
  }
  return "";
}

inline std::vector<std::byte> bytes_of(std::string_view text) {
  auto const s = std::as_bytes(std::span(text.data(), text.size()));
  return {s.begin(), s.end()};
}

/// The first python that can import the packages ("numpy, safetensors.numpy"); "" if none. PLEAT_PYTHON names one,
/// PLEAT_PEER_PYTHON the one that benchmarks talk to.
inline std::string python_with(std::string const& packages) {
  for (char const* candidate :
       std::initializer_list<char const*>{std::getenv("PLEAT_PYTHON"), std::getenv("PLEAT_PEER_PYTHON"), "python3"})
    if (candidate &&
        std::system((std::string(candidate) + " -c 'import " + packages + "' >/dev/null 2>&1").c_str()) == 0)
      return candidate;
  return "";
}

/// Runs f in a child process; gives the wait status. The child ends without destructors, as one that is killed does.
template <class F> int in_child(F&& f) {
  pid_t const child = ::fork();
  if (child < 0) std::abort();
  if (child == 0) ::_exit(f());
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

/// Runs f in a child whose numbers have a decimal comma (a locale made for the occasion: most machines have none
/// installed).
/// \returns what f returns; -1 if there is no localedef, or no description of de_DE
template <class F> int with_decimal_comma(F&& f) {
  scratch const dir;
  if (std::system(("localedef -i de_DE -f UTF-8 " + (dir / "comma") + " >/dev/null 2>&1").c_str()) != 0) return -1;
  int const status = in_child([&] {
    ::setenv("LOCPATH", dir.path().c_str(), 1);
    if (!std::setlocale(LC_ALL, "comma") || std::string(std::localeconv()->decimal_point) != ",") return 100;
    return f();
  });
  return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

/// Damages a copy of `original` in one of six ways, a function of `number` alone.
inline std::vector<std::byte> damaged(std::span<std::byte const> original, std::uint64_t number) {
  std::vector<std::byte> b(original.begin(), original.end());
  pleat::random::stream const draw(2026, number);
  std::uint64_t k = 0;
  auto const below = [&](std::size_t n) { return static_cast<std::size_t>(draw.below(k++, n)); };
  // Half of the damage goes to the first 64 bytes, where headers are.
  auto const place = [&] { return below(2) == 0 ? below(std::min<std::size_t>(b.size(), 64)) : below(b.size()); };
  if (b.empty()) return b;
  for (std::size_t hits = 1 + below(3); hits-- > 0 && !b.empty();) {
    switch (below(6)) {
      case 0:
        b[place()] ^= static_cast<std::byte>(1u << below(8));
        break;
      case 1:
        b[place()] = static_cast<std::byte>(below(256));
        break;
      case 2:
        b.resize(below(b.size() + 1));
        break;
      case 3:
        b.insert(b.begin() + static_cast<std::ptrdiff_t>(place()), static_cast<std::byte>(below(256)));
        break;
      case 4:
        b.erase(b.begin() + static_cast<std::ptrdiff_t>(place()));
        break;
      case 5: {  // a digit becomes another: numbers in headers change and the text stays well formed
        for (std::size_t at = place(); at < b.size(); ++at)
          if (b[at] >= std::byte{'0'} && b[at] <= std::byte{'9'}) {
            b[at] = static_cast<std::byte>('0' + below(10));
            break;
          }
      }
    }
  }
  return b;
}

}  // namespace io_test
