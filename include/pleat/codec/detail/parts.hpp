// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Finding and checking the parts of a stored weight (what a file claims is not what it holds). Needs no Kokkos.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/codec/file_tensor.hpp>

namespace pleat::codec::detail {

/// The part called `suffix`, or null.
PLEAT_LAZY [[nodiscard]] inline file_tensor const* find_part(std::span<file_tensor const> parts,
                                                             std::string_view suffix) noexcept {
  for (auto const& p : parts)
    if (p.suffix == suffix) return &p;
  return nullptr;
}

/// The part called `suffix`, which must be of this type and shape and hold as many bytes as they say. \throws error
PLEAT_ONCE [[nodiscard]] file_tensor const& demand_part(char const* call, std::span<file_tensor const> parts,
                                                        std::string_view suffix, dtype type, extents const& shape) {
  file_tensor const* p = find_part(parts, suffix);
  std::string const wanted = (suffix.empty() ? std::string("a tensor") : "a tensor '" + std::string(suffix) + "'") +
                             " of shape " + shape.to_string() + " and type " + std::string(name_of(type));
  if (!p) throw error{call, "expected " + wanted + ", found none", remedy::copy_again};
  if (p->type != type || p->shape != shape)
    throw error{call, "expected " + wanted + ", found " + p->shape.to_string() + " " + std::string(name_of(p->type)),
                // a weight alone is stored as its writer chose, the parts of a form as the form says
                suffix.empty() && p->shape == shape
                    ? "Store the numbers as " + std::string(name_of(type)) +
                          ", or read them by a form that keeps them as " + std::string(name_of(p->type)) +
                          "; if the file should hold the former, copy it again"
                    : std::string(remedy::copy_again)};
  if (p->bytes.size() != static_cast<std::size_t>(shape.size()) * size_of(type))
    throw error{call, "expected " + wanted + ", found " + std::to_string(p->bytes.size()) + " bytes",
                remedy::copy_again};
  return *p;
}
PLEAT_COMPILED_ONCE(file_tensor const& demand_part(char const* call, std::span<file_tensor const> parts,
                                                   std::string_view suffix, dtype type, extents const& shape));

/// As demand_part, for a list whose length the file decides: at most `most` elements.
PLEAT_ONCE [[nodiscard]] file_tensor const& demand_list(char const* call, std::span<file_tensor const> parts,
                                                        std::string_view suffix, dtype type, index_t most) {
  file_tensor const* p = find_part(parts, suffix);
  index_t const n = p && p->shape.rank() == 1 && p->shape[0] <= most ? p->shape[0] : most;
  return demand_part(call, parts, suffix, type, {n});
}
PLEAT_COMPILED_ONCE(file_tensor const& demand_list(char const* call, std::span<file_tensor const> parts,
                                                   std::string_view suffix, dtype type, index_t most));

/// No part but the expected ones. \throws error that names the first stranger
PLEAT_ONCE void demand_only(char const* call, std::span<file_tensor const> parts,
                            std::initializer_list<std::string_view> expected) {
  for (auto const& p : parts) {
    bool known = false;
    for (auto e : expected) known = known || e == p.suffix;
    if (!known) throw error{call, "a part '" + p.suffix + "' does not belong to this form", remedy::copy_again};
  }
  if (parts.size() > expected.size()) throw error{call, "a part is there twice", remedy::copy_again};
}
PLEAT_COMPILED_ONCE(void demand_only(char const* call, std::span<file_tensor const> parts,
                                     std::initializer_list<std::string_view> expected));

}  // namespace pleat::codec::detail
