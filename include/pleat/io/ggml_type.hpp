// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The element types of ggml: how many numbers a block has, in how many bytes, and which of pleat's forms it is. Needs
/// no Kokkos.
/// Source: ggml's enumeration of types and the sizes of its block structs (github.com/ggml-org/ggml).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <pleat/tensor/dtype.hpp>

namespace pleat::io {

/// One element type.
struct ggml_type {
  std::uint32_t number = 0;            ///< as in a file
  std::string_view name{};             ///< "Q4_K"
  std::uint32_t block = 1, bytes = 4;  ///< numbers in a block and its bytes
  /// of a weight in this type: "dense" (F32), "bf16", "q4_K", …; empty: pleat has no such form
  std::string_view form{};
  std::optional<dtype> plain{};  ///< of types without blocks
};

/// All types that have a meaning in files; those without a form can be listed and copied, not decoded.
[[nodiscard]] inline std::span<ggml_type const> ggml_types() noexcept {
  static constexpr ggml_type types[] = {{0, "F32", 1, 4, "dense", dtype::f32},
                                        {1, "F16", 1, 2, "f16", dtype::f16},
                                        {2, "Q4_0", 32, 18, "q4_0"},
                                        {3, "Q4_1", 32, 20, "q4_1"},
                                        {6, "Q5_0", 32, 22, "q5_0"},
                                        {7, "Q5_1", 32, 24, "q5_1"},
                                        {8, "Q8_0", 32, 34, "q8_0"},
                                        {10, "Q2_K", 256, 84},
                                        {11, "Q3_K", 256, 110},
                                        {12, "Q4_K", 256, 144, "q4_K"},
                                        {13, "Q5_K", 256, 176},
                                        {14, "Q6_K", 256, 210, "q6_K"},
                                        {16, "IQ2_XXS", 256, 66},
                                        {17, "IQ2_XS", 256, 74},
                                        {18, "IQ3_XXS", 256, 98},
                                        {19, "IQ1_S", 256, 50},
                                        {20, "IQ4_NL", 32, 18},
                                        {21, "IQ3_S", 256, 110},
                                        {22, "IQ2_S", 256, 82},
                                        {23, "IQ4_XS", 256, 136},
                                        {24, "I8", 1, 1, {}, dtype::i8},
                                        {25, "I16", 1, 2, {}, dtype::i16},
                                        {26, "I32", 1, 4, {}, dtype::i32},
                                        {27, "I64", 1, 8, {}, dtype::i64},
                                        {28, "F64", 1, 8, {}, dtype::f64},
                                        {29, "IQ1_M", 256, 56},
                                        {30, "BF16", 1, 2, "bf16", dtype::bf16},
                                        {34, "TQ1_0", 256, 54},
                                        {35, "TQ2_0", 256, 66},
                                        {39, "MXFP4", 32, 17},
                                        {40, "NVFP4", 64, 36},
                                        {41, "Q1_0", 128, 18},
                                        {42, "Q2_0", 64, 18}};
  return types;
}

/// nullptr for a number that this version does not know.
[[nodiscard]] inline ggml_type const* find_ggml_type(std::uint32_t number) noexcept {
  for (auto const& t : ggml_types())
    if (t.number == number) return &t;
  return nullptr;
}
/// The type that a weight of this form has in a file; nullptr if ggml has none.
[[nodiscard]] inline ggml_type const* ggml_type_of_form(std::string_view form) noexcept {
  for (auto const& t : ggml_types())
    if (!form.empty() && t.form == form) return &t;
  return nullptr;
}
/// The type of plain elements; nullptr for those that ggml does not have (unsigned and boolean ones).
[[nodiscard]] inline ggml_type const* ggml_type_of(dtype d) noexcept {
  for (auto const& t : ggml_types())
    if (t.plain == d) return &t;
  return nullptr;
}

}  // namespace pleat::io
