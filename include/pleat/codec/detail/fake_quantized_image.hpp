// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What the files of the form fake_quantized hold: read and checked, written, joined. Needs no Kokkos.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/codec/code_grid.hpp>
#include <pleat/codec/detail/bits.hpp>
#include <pleat/codec/detail/cut_bits.hpp>
#include <pleat/codec/detail/host_bits.hpp>
#include <pleat/codec/detail/parts.hpp>

namespace pleat::codec::detail {

/// Host copies of what a weight of that form is.
struct fake_quantized_image {
  std::vector<float> values{};
  code_grid grid{};
  std::vector<float> steps{};        ///< learned ones; empty: the largest magnitudes decide
  float input_scale = 0;             ///< of activations; 0: they are not rounded
  std::vector<std::uint8_t> bits{};  ///< of what lives; empty: all
};

PLEAT_ONCE [[nodiscard]] std::vector<file_tensor> write_fake_quantized(extents const& shape,
                                                                       fake_quantized_image const& w) {
  std::vector<std::int32_t> const grid{w.grid.low, w.grid.high, static_cast<std::int32_t>(w.grid.group),
                                       w.grid.half_steps ? 1 : 0};
  auto const list = [](char const* suffix, dtype type, auto const& v) {
    return file_tensor{suffix, type, {static_cast<index_t>(v.size())}, bytes_of(as_span(v))};
  };
  std::vector<file_tensor> parts{{".values", dtype::f32, shape, bytes_of(as_span(w.values))},
                                 list(".grid", dtype::i32, grid)};
  if (!w.steps.empty()) parts.push_back(list(".step", dtype::f32, w.steps));
  if (w.input_scale > 0)
    parts.push_back({".input_scale", dtype::f32, {1}, bytes_of(std::span<float const>(&w.input_scale, 1))});
  if (!w.bits.empty()) parts.push_back(list(".mask", dtype::u8, w.bits));
  return parts;
}
PLEAT_COMPILED_ONCE(std::vector<file_tensor> write_fake_quantized(extents const& shape, fake_quantized_image const& w));

/// \throws error for parts that do not fit the shape or each other
PLEAT_ONCE [[nodiscard]] fake_quantized_image read_fake_quantized(extents const& shape,
                                                                  std::span<file_tensor const> parts) {
  constexpr char const* call = "codec::fake_quantized::from_file";
  demand_only(call, parts, {".values", ".grid", ".step", ".input_scale", ".mask"});
  fake_quantized_image w;
  w.values = values_of<float>(as_span(demand_part(call, parts, ".values", dtype::f32, shape).bytes));
  auto const g = values_of<std::int32_t>(as_span(demand_part(call, parts, ".grid", dtype::i32, {4}).bytes));
  w.grid = {g[0], g[1], g[2], g[3] == 1};
  if (g[0] < -128 || g[0] > 0 || g[1] < 1 || g[1] > 127 || g[2] < 0 || g[3] < 0 || g[3] > 1 ||
      (g[2] > 0 && columns_of(shape) % g[2] != 0))
    throw error{call,
                "the grid says codes from " + std::to_string(g[0]) + " to " + std::to_string(g[1]) + " by groups of " +
                    std::to_string(g[2]) + " columns, which no weight of shape " + shape.to_string() + " has",
                remedy::copy_again};
  if (find_part(parts, ".step"))
    w.steps = values_of<float>(as_span(demand_part(call, parts, ".step", dtype::f32, {w.grid.steps(shape)}).bytes));
  if (find_part(parts, ".input_scale")) {
    w.input_scale = values_of<float>(as_span(demand_part(call, parts, ".input_scale", dtype::f32, {1}).bytes))[0];
    if (!(w.input_scale > 0) || !std::isfinite(w.input_scale) || w.grid != code_grid{})
      throw error{call,
                  "the scale of the activations is " + pleat::detail::number_text(w.input_scale) +
                      ", expected a positive finite number, beside the codes of int8",
                  remedy::copy_again};
  }
  if (find_part(parts, ".mask")) {
    w.bits =
        values_of<std::uint8_t>(as_span(demand_part(call, parts, ".mask", dtype::u8, {bit_bytes(shape.size())}).bytes));
    check_bits(call, as_span(w.bits), shape.size(), count_bits(as_span(w.bits)));
  }
  return w;
}

/// \throws error for pieces of different grids, or of steps of their own where they share a row's
PLEAT_ONCE [[nodiscard]] std::vector<file_tensor> join_fake_quantized(extents const& shape, int dim,
                                                                      std::span<weight_piece const> pieces) {
  constexpr std::string_view name = "fake_quantized";
  std::vector<std::vector<float>> values, steps;
  std::vector<std::vector<std::uint8_t>> alive;
  bool with_steps = false, with_mask = false;
  fake_quantized_image all;
  for (auto const& p : pieces) {
    auto w = read_fake_quantized(p.shape, as_span(p.parts));
    if (!values.empty() && w.grid != all.grid) refuse_join(name, "a grid");
    if (!values.empty() && w.input_scale != all.input_scale) refuse_join(name, "scales of activations");
    all.grid = w.grid, all.input_scale = w.input_scale;
    with_steps = with_steps || !w.steps.empty();
    with_mask = with_mask || !w.bits.empty();
    auto& each = alive.emplace_back(w.bits.empty() ? 0 : w.values.size());
    for (std::size_t i = 0; i < each.size(); ++i) each[i] = bit_at(w.bits.data(), static_cast<index_t>(i)) ? 1 : 0;
    values.push_back(std::move(w.values));
    steps.push_back(std::move(w.steps));
  }
  for (std::size_t i = 0; i < pieces.size(); ++i)  // a part of no elements has neither
    if (pieces[i].shape.size() > 0 && ((with_steps && steps[i].empty()) || (with_mask && alive[i].empty())))
      refuse_join(name, "steps or masks");
  index_t const rows = rows_of(shape);
  all.values = join_matrix(rows, dim, values);
  if (with_steps) {
    all.steps = steps.front();
    if (dim == 0 || all.grid.group > 0) all.steps = join_matrix(rows, dim, steps);
    else
      for (auto const& s : steps)
        if (s != all.steps) refuse_join(name, "steps");
  }
  if (with_mask) {
    auto const each = join_matrix(rows, dim, alive);
    all.bits.assign(static_cast<std::size_t>(bit_bytes(shape.size())), 0);
    for (std::size_t i = 0; i < each.size(); ++i)
      if (each[i]) all.bits[i / 8] = static_cast<std::uint8_t>(all.bits[i / 8] | (1u << i % 8));
  }
  return write_fake_quantized(shape, all);
}

}  // namespace pleat::codec::detail
