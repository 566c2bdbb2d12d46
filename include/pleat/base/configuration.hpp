// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What this program was built with and runs on, as lines that a bug report can hold.
#pragma once

#include <Kokkos_Core.hpp>

#include <string>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>

namespace pleat {

/// Name and value of every fact. Needs Kokkos to be running for the thread count.
PLEAT_ONCE [[nodiscard]] std::vector<std::pair<std::string, std::string>> configuration() {
  auto const v = version();
  std::vector<std::pair<std::string, std::string>> facts;
  auto const say = [&](char const* name, std::string value) { facts.emplace_back(name, std::move(value)); };
  say("pleat", std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch));
  say("kokkos", std::to_string(KOKKOS_VERSION / 10000) + "." + std::to_string(KOKKOS_VERSION / 100 % 100) + "." +
                    std::to_string(KOKKOS_VERSION % 100));
  say("execution space", Kokkos::DefaultExecutionSpace::name());
  say("host space", Kokkos::DefaultHostExecutionSpace::name());
  if (Kokkos::is_initialized()) say("threads", std::to_string(Kokkos::DefaultHostExecutionSpace().concurrency()));
#if defined(__VERSION__)
  say("compiler", __VERSION__);
#endif
#if defined(_OPENMP)
  say("openmp", std::to_string(_OPENMP));
#endif
  return facts;
}

/// The facts as aligned lines.
PLEAT_ONCE [[nodiscard]] std::string configuration_report() {
  std::string text;
  for (auto const& [name, value] : configuration())
    text += name + std::string(name.size() < 18 ? 18 - name.size() : 1, ' ') + value + "\n";
  return text;
}

}  // namespace pleat
