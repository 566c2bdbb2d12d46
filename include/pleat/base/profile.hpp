// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What Kokkos Tools see: regions, which carry the long names, and the labels of launches.
#pragma once

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <string>
#include <string_view>

#include <pleat/base/config.hpp>

namespace pleat {

/// A scoped region `pleat::room::operation`; costs a branch when no tool is loaded.
class region {
 public:
  explicit region(char const* name) : on_(Kokkos::Tools::profileLibraryLoaded()) {
    if (on_) Kokkos::Profiling::pushRegion(name);
  }
  /// `pleat::room::operation whose()`: whose() is asked for only where a tool hears of regions.
  template <class Whose> region(char const* name, Whose const& whose) : on_(Kokkos::Tools::profileLibraryLoaded()) {
    if (!on_) return;
    bool const heard = Kokkos::Tools::Experimental::get_callbacks().push_region != nullptr;
    Kokkos::Profiling::pushRegion(heard ? std::string(name) + " " + std::string(whose()) : std::string());
  }
  region(region const&) = delete;
  region& operator=(region const&) = delete;
  ~region() {
    if (on_) Kokkos::Profiling::popRegion();
  }

 private:
  bool on_;
};

namespace detail {
/// The type in what a compiler says of a function template over `Body`: "… [with Body = T; …]", "… [Body = T]".
PLEAT_ONCE [[nodiscard]] std::string body_of(std::string_view function) {
  constexpr std::string_view key = "Body = ";
  auto const at = function.find(key);
  if (at == std::string_view::npos) return "pleat";
  function.remove_prefix(at + key.size());
  std::size_t end = 0;
  for (int depth = 0; end < function.size(); ++end) {
    char const c = function[end];
    if (c == '<' || c == '(' || c == '[') ++depth;
    else if (depth == 0 && (c == ';' || c == ']')) break;
    else if (c == '>' || c == ')' || c == ']') --depth;
  }
  return std::string(function.substr(0, end));
}
PLEAT_COMPILED_ONCE(std::string body_of(std::string_view function));
template <class Body> [[nodiscard]] std::string label_of_body() { return body_of(__PRETTY_FUNCTION__); }
}  // namespace detail

/// What a launch of `Body` is called: its type where a tool hears of kernels, elsewhere "pleat", because a label above
/// 15 characters allocates at every launch. A body that carries another one out names it as `using label`.
template <class Body> [[nodiscard]] std::string launch_label() {
  if (!Kokkos::Tools::profileLibraryLoaded()) return "pleat";
  auto const heard = Kokkos::Tools::Experimental::get_callbacks();
  if (!heard.begin_parallel_for && !heard.begin_parallel_reduce) return "pleat";
  if constexpr (requires { typename Body::label; }) return detail::label_of_body<typename Body::label>();
  else return detail::label_of_body<Body>();
}

}  // namespace pleat
