// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a file says about its model besides the parameters. Needs no Kokkos.
#pragma once

#include <charconv>
#include <map>
#include <optional>
#include <span>
#include <string>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/error_norms.hpp>
#include <pleat/io/safetensors.hpp>
#include <pleat/io/weights.hpp>

namespace pleat::run {

/// How bytes of an image became the numbers that the model was trained on: value = (byte − mean) · scale.
struct input_normalisation {
  float mean = 0;   ///< in units of bytes
  float scale = 1;  ///< per unit
  friend bool operator==(input_normalisation const&, input_normalisation const&) = default;
};

/// What a file says about its model besides the parameters.
struct model_description {
  std::string network{};                       ///< a name that the caller can build a network from: "lenet-300-100"
  std::optional<input_normalisation> input{};  ///< of its training data, if those were images
  io::metadata_map more{};                     ///< further entries, as they are in the file
  /// ‖W − Ŵ‖ of parameters by name, where known; the file keeps it
  std::map<std::string, codec::error_norms> errors{};
};

namespace detail {
/// Shortest text that reads back as the same float.
PLEAT_ONCE [[nodiscard]] std::string float_text(float x) {
  char text[32];
  auto const end = std::to_chars(text, text + sizeof text, x);
  return {text, end.ptr};
}
PLEAT_COMPILED_ONCE(std::string float_text(float x));
PLEAT_ONCE [[nodiscard]] float float_of(std::string const& call, std::string const& key, std::string const& text) {
  float x = 0;
  auto const [end, failed] = std::from_chars(text.data(), text.data() + text.size(), x);
  if (failed != std::errc{} || end != text.data() + text.size() || !std::isfinite(x))
    throw error{call, "the metadata entry '" + key + "' is '" + text + "', expected a finite number",
                "Correct that entry, or write the file anew with run::save"};
  return x;
}
}  // namespace detail

/// What an opened file says about its model. \throws error for an entry that cannot be understood
PLEAT_ONCE [[nodiscard]] model_description describe_file(std::span<io::stored_weight const> weights,
                                                         io::metadata_map const& metadata,
                                                         std::string const& call = "run::describe_file") {
  model_description d;
  d.more = metadata;
  for (auto const& w : weights)
    if (w.error) d.errors.emplace(w.name, *w.error);
  auto const find = [&](char const* key) -> std::string const* {
    auto const it = d.more.find(key);
    return it == d.more.end() ? nullptr : &it->second;
  };
  if (auto const* n = find("pleat.network")) d.network = *n;
  auto const *mean = find("pleat.input.mean"), *scale = find("pleat.input.scale");
  if (mean && scale)
    d.input = {detail::float_of(call, "pleat.input.mean", *mean), detail::float_of(call, "pleat.input.scale", *scale)};
  return d;
}
PLEAT_COMPILED_ONCE(model_description describe_file(std::span<io::stored_weight const> weights,
                                                    io::metadata_map const& metadata, std::string const& call));
PLEAT_ONCE [[nodiscard]] model_description describe_file(io::safetensors_file const& file,
                                                         std::string const& call = "run::describe_file") {
  return describe_file(as_span(io::weights_of(file, call)), file.metadata(), call);
}
PLEAT_COMPILED_ONCE(model_description describe_file(io::safetensors_file const& file, std::string const& call));
PLEAT_ONCE [[nodiscard]] model_description describe_file(std::string const& path) {
  return describe_file(io::safetensors_file(path), "run::describe_file('" + path + "')");
}
PLEAT_COMPILED_ONCE(model_description describe_file(std::string const& path));

}  // namespace pleat::run
