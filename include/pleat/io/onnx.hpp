// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Writing ONNX: a graph of operators with weights in the forms that ONNX can say. Needs no Kokkos; run/onnx.hpp walks
/// a model.
/// Source: the operators' and the file format's description (onnx.ai, onnx.proto), operator sets 17 to 21.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/codec/detail/block_formats.hpp>
#include <pleat/io/decode.hpp>
#include <pleat/io/detail/protobuf.hpp>
#include <pleat/io/file.hpp>
#include <pleat/io/weights.hpp>

namespace pleat::io {

/// An operator's attribute.
struct onnx_attribute {
  std::string name;
  std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>> value;
};

/// A graph to be: nodes in the order of adding, which must be one in which they can run. The same calls give the same
/// bytes.
class onnx_graph {
 public:
  explicit onnx_graph(std::string name) : name_(std::move(name)) {}

  /// A name that no tensor has yet: `wanted`, or with a number behind it.
  [[nodiscard]] std::string fresh(std::string const& wanted) {
    std::string name = wanted;
    for (int i = 2; !taken_.insert(name).second; ++i) name = wanted + "." + std::to_string(i);
    return name;
  }

  /// The graph's input: float [batch, extents of a sample…], any batch. \returns its name
  std::string input(std::string const& name, extents const& with_batch) {
    auto const n = fresh(name);
    inputs_.message(11, value_info(n, with_batch));
    return n;
  }
  /// A tensor that a node made is a result of the graph.
  void output(std::string const& name, extents const& with_batch) {
    outputs_.message(12, value_info(name, with_batch));
  }

  /// Constant values. \param type ONNX's number of the element type   \returns its name
  PLEAT_ONCE std::string constant(std::string const& name, int type, extents const& shape,
                                  std::span<std::byte const> bytes) {
    auto const n = fresh(name);
    detail::protobuf_message t;
    if (shape.rank() > 0)
      t.integers(1, std::span<std::int64_t const>(shape.begin(), static_cast<std::size_t>(shape.rank())));
    t.integer(2, type);
    t.text(8, n);
    t.text(9, {reinterpret_cast<char const*>(bytes.data()), bytes.size()});
    constants_.message(5, t);
    return n;
  }
  template <class V>
  std::string constant(std::string const& name, int type, extents const& shape, std::vector<V> const& values) {
    return constant(name, type, shape, std::as_bytes(std::span(values)));
  }

  /// An operator with one result. \returns the result's name: `name`, or with a number behind it
  PLEAT_ONCE std::string node(std::string const& operation, std::vector<std::string> const& inputs,
                              std::string const& name, std::vector<onnx_attribute> const& attributes = {}) {
    auto const result = fresh(name);
    detail::protobuf_message n;
    for (auto const& i : inputs) n.text(1, i);
    n.text(2, result);
    n.text(3, result);
    n.text(4, operation);
    for (auto const& a : attributes) {
      detail::protobuf_message m;
      m.text(1, a.name);
      if (auto const* i = std::get_if<std::int64_t>(&a.value)) m.integer(3, *i), m.integer(20, 2);
      else if (auto const* f = std::get_if<float>(&a.value)) m.number(2, *f), m.integer(20, 1);
      else if (auto const* s = std::get_if<std::string>(&a.value)) m.text(4, *s), m.integer(20, 3);
      else {
        for (auto v : std::get<std::vector<std::int64_t>>(a.value)) m.integer(8, v);
        m.integer(20, 7);
      }
      n.message(5, m);
    }
    nodes_.message(1, n);
    return result;
  }

  /// The operator set grows to at least this one (17 at first).
  void demand_operators(int version) { opset_ = std::max(opset_, version); }
  [[nodiscard]] int operators() const noexcept { return opset_; }
  /// A text entry of the file.
  void metadata(std::string const& key, std::string const& value) {
    detail::protobuf_message p;
    p.text(1, key);
    p.text(2, value);
    metadata_.message(14, p);
  }
  /// Something that whoever exports should know ("fc1.weight is written as float: …").
  void note(std::string words) { notes_.push_back(std::move(words)); }
  [[nodiscard]] std::vector<std::string> const& notes() const noexcept { return notes_; }

  /// The file. \throws error above the format's 2 GiB
  PLEAT_ONCE [[nodiscard]] std::vector<std::byte> bytes() const {
    detail::protobuf_message graph_head, opset, model;
    graph_head.text(2, name_);
    std::string const graph =
        nodes_.bytes() + graph_head.bytes() + constants_.bytes() + inputs_.bytes() + outputs_.bytes();
    model.integer(1, opset_ >= 21 ? 10 : 8);  // the versions of the file format that came with these operators
    model.text(2, "pleat");
    auto const v = version();
    model.text(3, std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch));
    model.text(7, graph);
    opset.text(1, "");
    opset.integer(2, opset_);
    model.message(8, opset);
    std::string const all = model.bytes() + metadata_.bytes();
    if (all.size() > 0x7fffffffu)
      throw error{"io::onnx_graph", "the file would have " + std::to_string(all.size()) + " bytes, ONNX allows 2 GiB",
                  "Export a smaller or a quantized model"};
    auto const b = std::as_bytes(std::span(all.data(), all.size()));
    return {b.begin(), b.end()};
  }
  /// Atomically (atomic_file).
  void write(std::string const& path) const { write_file(path, std::span<std::byte const>(bytes())); }

 private:
  static detail::protobuf_message value_info(std::string const& name, extents const& with_batch) {
    detail::protobuf_message shape, tensor, type, info;
    for (int i = 0; i < with_batch.rank(); ++i) {
      detail::protobuf_message d;
      if (i == 0) d.text(2, "batch");
      else d.integer(1, with_batch[i]);
      shape.message(1, d);
    }
    tensor.integer(1, 1);  // float
    tensor.message(2, shape);
    type.message(1, tensor);
    info.text(1, name);
    info.message(2, type);
    return info;
  }

  std::string name_;
  int opset_ = 17;
  detail::protobuf_message nodes_, constants_, inputs_, outputs_, metadata_;
  std::set<std::string> taken_;
  std::vector<std::string> notes_;
};

namespace detail {

enum onnx_type : int {
  onnx_float = 1,
  onnx_int8 = 3,
  onnx_int32 = 6,
  onnx_half = 10,
  onnx_bfloat16 = 16,
  onnx_int4 = 22
};

/// A scale per row of 8-bit codes as ONNX may have them: some runtimes refuse a scale of 0, so a row of zeros takes the
/// largest one (a bias in units of such a scale is as precise as those of the other rows).
inline void onnx_scales(std::vector<float>& scales) {
  float const most = scales.empty() ? 0 : *std::max_element(scales.begin(), scales.end());
  for (auto& s : scales)
    if (s == 0) s = most > 0 ? most : 1.0f / 127;
}

/// Symmetric blocks along the columns as codes, two's complement, and a scale per block; opset 21.
template <class F> std::string onnx_blocks(onnx_graph& g, stored_weight const& w) {
  codec::detail::block_logic<F>::check(w.shape, w.copy());
  index_t const rows = codec::rows_of(w.shape), columns = codec::columns_of(w.shape), blocks = columns / F::block;
  bool const four = F::most == 15;
  std::vector<std::int8_t> codes(static_cast<std::size_t>(four ? (rows * columns + 1) / 2 : rows * columns), 0);
  std::vector<float> scales(static_cast<std::size_t>(rows * blocks));
  auto const* b = reinterpret_cast<unsigned char const*>(w.parts[0].bytes.data());
  for (index_t i = 0; i < rows * blocks; ++i, b += F::bytes) {
    scales[static_cast<std::size_t>(i)] = F::scale(b, 0);
    for (int j = 0; j < F::block; ++j) {
      auto const at = static_cast<std::size_t>(i * F::block + j);
      int const code = F::code(b, j / 32, j % 32) - F::offset;
      if (four) codes[at / 2] = static_cast<std::int8_t>(codes[at / 2] | (code & 15) << (at % 2 * 4));
      else codes[at] = static_cast<std::int8_t>(code);
    }
  }
  g.demand_operators(21);
  auto const q = g.constant(w.name + ".codes", four ? onnx_int4 : onnx_int8, {rows, columns}, codes);
  auto const s = g.constant(w.name + ".scale", onnx_float, {rows, blocks}, scales);
  return g.node("DequantizeLinear", {q, s}, w.name,
                {{"axis", std::int64_t{1}}, {"block_size", std::int64_t{F::block}}});
}

}  // namespace detail

/// A weight as a tensor of the graph: dense, bf16 and f16 as they are (a Cast follows), int8 as codes with
/// DequantizeLinear per row, q8_0, q4_0 and int4 of matrices as blocked DequantizeLinear (operator set 21); every other
/// form decoded to float, with a note. \returns the tensor's name
template <int = 0> [[nodiscard]] std::string add_weight(onnx_graph& g, stored_weight const& w) {
  bool const matrix = w.shape.rank() == 2;
  if ((w.form == "bf16" || w.form == "f16") && w.parts.size() == 1) {
    (void)decode(w, "io::add_weight");  // checks
    bool const half = w.form == "f16";
    return g.node(
        "Cast",
        {g.constant(w.name + ".stored", half ? detail::onnx_half : detail::onnx_bfloat16, w.shape, w.parts[0].bytes)},
        w.name, {{"to", std::int64_t{detail::onnx_float}}});
  }
  if (w.form == "int8") {
    (void)decode(w, "io::add_weight");  // checks
    auto image = codec::detail::read_int8(w.shape, w.copy());
    detail::onnx_scales(image.scales);
    auto const q = g.constant(w.name + ".codes", detail::onnx_int8, w.shape, image.codes);
    auto const s = g.constant(w.name + ".scale", detail::onnx_float, {codec::rows_of(w.shape)}, image.scales);
    auto const z = g.constant(w.name + ".zero_point", detail::onnx_int8, {codec::rows_of(w.shape)},
                              std::vector<std::int8_t>(image.scales.size(), 0));
    return g.node("DequantizeLinear", {q, s, z}, w.name, {{"axis", std::int64_t{0}}});
  }
  using namespace codec::detail;
  if (matrix && w.form == q8_0_format::name) return detail::onnx_blocks<q8_0_format>(g, w);
  if (matrix && w.form == q4_0_format::name) return detail::onnx_blocks<q4_0_format>(g, w);
  if (matrix && w.form == int4_format<32>::name) return detail::onnx_blocks<int4_format<32>>(g, w);
  if (matrix && w.form == int4_format<64>::name) return detail::onnx_blocks<int4_format<64>>(g, w);
  if (matrix && w.form == int4_format<128>::name) return detail::onnx_blocks<int4_format<128>>(g, w);
  if (w.form != "dense")
    g.note("'" + w.name + "' is written as float: ONNX has no form '" + w.form + "'" +
           (matrix ? "" : " for this shape"));
  return g.constant(w.name, detail::onnx_float, w.shape, decode(w, "io::add_weight"));
}

}  // namespace pleat::io
