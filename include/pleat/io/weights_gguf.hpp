// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Weights in any form in GGUF files, by the rules of io/weights.hpp. Needs no Kokkos.
///
/// The block types q8_0 … q6_K are ggml's own tensors, without metadata where rows are whole blocks; other forms' parts
/// are tensors of the nearest type that ggml has, with the true one in pleat.type.PART, and their shapes say nothing
/// about the weight's.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/io/gguf.hpp>
#include <pleat/io/weights.hpp>

namespace pleat::io {

/// The text entries of a GGUF file's metadata, so that both formats can be asked alike.
[[nodiscard]] inline metadata_map text_metadata(gguf_file const& f) {
  metadata_map m;
  for (auto const& [key, v] : f.metadata())
    if (auto const* s = std::get_if<std::string>(&v)) m.emplace(key, *s);
  return m;
}

/// The weights of a file, by name: block types that are forms of pleat have that form.
PLEAT_ONCE [[nodiscard]] std::vector<stored_weight> weights_of(gguf_file const& f,
                                                               std::string const& call = "io::weights_of") {
  auto const m = text_metadata(f);
  std::vector<stored_weight> plain;
  for (auto const& e : f.entries()) {
    auto const bytes = f.bytes(e);
    if (e.type.plain) {
      dtype type = *e.type.plain;
      auto shape = e.shape;
      if (auto const it = m.find(std::string(detail::type_key) + e.name); it != m.end()) {
        dtype const said = dtype_from_name(it->second);
        if (pleat::size_of(said) != pleat::size_of(type))
          throw error{call,
                      "the metadata say that " + detail::shown(e.name) + " holds " + it->second + ", the file stores " +
                          std::string(e.type.name),
                      "Remove that entry of the metadata, or write the file anew with run::save_gguf"};
        type = said;
      }
      plain.push_back({e.name, "dense", std::string(name_of(type)), shape, {{"", type, shape, bytes}}, {}});
    } else {
      index_t const rows = codec::rows_of(e.shape);
      extents const image = e.shape.rank() < 2
                                ? extents{static_cast<index_t>(bytes.size())}
                                : extents{rows, rows > 0 ? static_cast<index_t>(bytes.size()) / rows : 0};
      plain.push_back({e.name,
                       std::string(e.type.form),
                       std::string(e.type.name),
                       e.shape,
                       {{".blocks", dtype::u8, image, bytes}},
                       {}});
    }
  }
  return detail::gather_weights(call, std::move(plain), m);
}
PLEAT_COMPILED_ONCE(std::vector<stored_weight> weights_of(gguf_file const& f, std::string const& call));

/// Puts a weight into a file; its bytes must live until the file is written. \throws error as the writer does, and for
/// names and shapes that GGUF cannot hold
PLEAT_ONCE void add_weight(gguf_writer& out, stored_weight const& w) {
  if (w.error) out.metadata(std::string(detail::error_key) + w.name, detail::error_text(*w.error));
  auto const* block = ggml_type_of_form(w.form);
  if (block && !block->plain && w.parts.size() == 1) {
    bool const whole_rows =
        w.shape.rank() <= 4 && w.shape.rank() > 0 && w.shape[w.shape.rank() - 1] % block->block == 0;
    extents const matrix{codec::rows_of(w.shape), codec::columns_of(w.shape)};
    if (!whole_rows) out.metadata(std::string(detail::shape_key) + w.name, w.shape.to_string());
    out.add({w.name, *block, whole_rows ? w.shape : matrix, w.parts[0].bytes});
    out.metadata("general.quantization_version", std::uint32_t{2});
    return;
  }
  if (w.form != "dense") {
    out.metadata(std::string(detail::format_key), std::to_string(stored_format));
    out.metadata(std::string(detail::form_key) + w.name, w.form);
    out.metadata(std::string(detail::shape_key) + w.name, w.shape.to_string());
  }
  for (auto const& p : w.parts) {
    auto const* type = ggml_type_of(p.type);
    if (!type) {
      // The signed type of the same size; the metadata say the true one.
      constexpr dtype same_size[] = {dtype::i8,  dtype::i8,  dtype::i16, dtype::i16, dtype::i32,
                                     dtype::i32, dtype::i32, dtype::i32, dtype::i64};
      type = ggml_type_of(same_size[pleat::size_of(p.type)]);
      out.metadata(std::string(detail::type_key) + w.name + p.suffix, std::string(name_of(p.type)));
    }
    out.add({w.name + p.suffix, *type, p.shape, p.bytes});
  }
}
PLEAT_COMPILED_ONCE(void add_weight(gguf_writer& out, stored_weight const& w));

}  // namespace pleat::io
