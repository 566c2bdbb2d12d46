// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// For programs that read their few arguments themselves: what nobody takes is refused, not passed over.
#pragma once

#include <pleat/base/error.hpp>

#include <string>
#include <string_view>

/// \param takes whether the program takes this argument; those of run::launch (--thread-ranks N, --threads N) are not asked for
/// \throws pleat::error that names the first one that nobody takes
template <class Takes>
void refuse_left_over(int argc, char const* const* argv, std::string const& program, std::string const& usage,
                      Takes const& takes) {
  for (int i = 1; i < argc; ++i) {
    std::string_view const argument = argv[i];
    if ((argument == "--thread-ranks" || argument == "--threads") && i + 1 < argc) ++i;  // and its number
    else if (!argument.starts_with("--thread-ranks=") && !argument.starts_with("--threads=") && !takes(argument))
      throw pleat::error{program, "nobody takes the argument '" + std::string(argument) + "'", "Say " + usage};
  }
}
