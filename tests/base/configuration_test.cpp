// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/configuration.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <string>

TEST_CASE("the configuration names the versions and spaces that this program has, one line each") {
  auto const facts = pleat::configuration();
  auto const value = [&](std::string const& name) {
    auto const at = std::find_if(facts.begin(), facts.end(), [&](auto const& f) { return f.first == name; });
    return at == facts.end() ? std::string("missing") : at->second;
  };
  auto const v = pleat::version();
  CHECK(value("pleat") == std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch));
  CHECK(value("kokkos").starts_with(std::to_string(KOKKOS_VERSION / 10000) + "."));
  CHECK(value("execution space") == Kokkos::DefaultExecutionSpace::name());
  CHECK(value("threads") == std::to_string(Kokkos::DefaultHostExecutionSpace().concurrency()));

  auto const text = pleat::configuration_report();
  CHECK(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) == facts.size());
  for (auto const& [name, said] : facts)
    CHECK(text.find(name + std::string(18 - name.size(), ' ') + said + "\n") != std::string::npos);
}
