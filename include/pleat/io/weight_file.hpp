// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A file of weights, safetensors or GGUF, told apart by its first bytes. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <pleat/io/weights_gguf.hpp>

namespace pleat::io {

/// An opened file of either format that has passed the format's checks, and its weights. Move-only.
class weight_file {
 public:
  /// Maps the file (see mapped_file). \throws error
  explicit weight_file(std::string const& path)
      : weight_file(begins_with_gguf(path) ? file(gguf_file(path)) : file(safetensors_file(path)),
                    detail::call_on("weight_file", path)) {}
  /// Takes an opened one.
  explicit weight_file(safetensors_file f, std::string const& call = "io::weight_file")
      : weight_file(file(std::move(f)), call) {}
  explicit weight_file(gguf_file f, std::string const& call = "io::weight_file")
      : weight_file(file(std::move(f)), call) {}

  /// "safetensors" or "GGUF"
  [[nodiscard]] std::string_view format() const noexcept { return file_.index() == 0 ? "safetensors" : "GGUF"; }
  /// By name.
  [[nodiscard]] std::span<stored_weight const> weights() const noexcept { return weights_; }
  /// nullptr if there is none.
  [[nodiscard]] stored_weight const* find(std::string_view name) const noexcept {
    auto const it = std::lower_bound(weights_.begin(), weights_.end(), name,
                                     [](stored_weight const& w, std::string_view n) { return w.name < n; });
    return it != weights_.end() && it->name == name ? &*it : nullptr;
  }
  /// The text entries.
  [[nodiscard]] metadata_map const& metadata() const noexcept { return metadata_; }

 private:
  using file = std::variant<safetensors_file, gguf_file>;
  weight_file(file f, std::string const& call) : file_(std::move(f)) {
    if (auto const* s = std::get_if<0>(&file_)) metadata_ = s->metadata(), weights_ = weights_of(*s, call);
    else metadata_ = text_metadata(std::get<1>(file_)), weights_ = weights_of(std::get<1>(file_), call);
  }
  static bool begins_with_gguf(std::string const& path) {
    mapped_file const m(path);
    return m.bytes().size() >= 4 && std::memcmp(m.bytes().data(), "GGUF", 4) == 0;
  }

  file file_;
  metadata_map metadata_;
  std::vector<stored_weight> weights_;
};

}  // namespace pleat::io
