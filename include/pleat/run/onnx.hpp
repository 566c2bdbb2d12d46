// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A model as ONNX, for ONNX Runtime and others: float, or with QuantizeLinear and DequantizeLinear where weights are
/// stored in few bits.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/io/onnx.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/run/model_image.hpp>

namespace pleat::run {

/// What an export adds to the network.
struct onnx_options {
  std::string graph_name = "pleat";  ///< what the file calls the network
  /// Largest magnitudes of layers' inputs, by layer name ("fc1"), as an observer finds them: these layers' inputs pass
  /// QuantizeLinear and DequantizeLinear (8 bits, symmetric, scale = range/127), and with an int8 weight the bias is
  /// stored in int32 at scale s_x·s_w, so that a runtime can compute the layer in integers.
  std::map<std::string, float> input_ranges{};
};

namespace detail {

/// A bias as multiples of x_scale · w_scale, row by row, as runtimes that compute in integers take it; no codes if one
/// of them needs more than 32 bits.
struct onnx_bias {
  std::vector<std::int32_t> codes;
  std::vector<float> units;
};
PLEAT_ONCE [[nodiscard]] onnx_bias integer_bias(std::vector<float> const& values, std::vector<float> w_scales,
                                                float x_scale) {
  io::detail::onnx_scales(w_scales);
  onnx_bias b;
  for (std::size_t i = 0; i < values.size(); ++i) {
    b.units.push_back(w_scales[i] * x_scale);
    double const code = std::nearbyint(static_cast<double>(values[i]) / static_cast<double>(b.units[i]));
    if (!(std::fabs(code) <= 0x7fffffff)) return {};
    b.codes.push_back(static_cast<std::int32_t>(code));
  }
  return b;
}

/// Walks the layers. A layer of one's own takes part with
///     std::string to_onnx(io::onnx_graph&, std::string x, extents in) const;   // adds nodes, returns the name of its result
/// It reads its parameters itself: they must be whole on the rank that writes.
class onnx_walk {
 public:
  /// \param weights whole ones, of every layer
  onnx_walk(model_image const& weights, io::onnx_graph& graph, onnx_options const& options)
      : graph_(&graph), options_(&options) {
    for (std::size_t i = 0; i < weights.weights.size(); ++i)
      weights_.emplace(weights.weights[i].name, std::pair{&weights.weights[i], &weights.parts[i]});
  }

  template <class L> [[nodiscard]] std::string layer(L const& l, std::string x, extents const& in) {
    std::string_view kind = "(one's own)";
    if constexpr (requires { L::kind; }) kind = L::kind;
    if constexpr (requires { l.to_onnx(*graph_, x, in); }) {
      // it reads them itself
      nn::for_each_parameter(l, [](nn::parameter const& w) { demand_whole("run::export_onnx", w); });
      return l.to_onnx(*graph_, std::move(x), in);
    } else if constexpr (requires {
                           l.weight();
                           l.inputs();
                           l.options().stride;
                         }) {
      return convolution(l, std::move(x));
    } else if constexpr (requires {
                           l.weight();
                           l.inputs();
                           l.outputs();
                           l.has_bias();
                         }) {
      return linear(l, std::move(x), in);
    } else if constexpr (requires {
                           l.running_mean();
                           l.running_variance();
                         }) {
      if (l.is_identity()) return x;  // folded into the layer before
      return graph_->node(
          "BatchNormalization",
          {x, parameter(l.weight()), parameter(l.bias()), parameter(l.running_mean()), parameter(l.running_variance())},
          l.name(), {{"epsilon", static_cast<float>(l.options().epsilon)}});
    } else if constexpr (requires {
                           l.kernel();
                           l.options().padding;
                         }) {
      return pool(l, std::move(x), in);
    } else if constexpr (requires { l.how(); }) {
      std::vector<std::string> each;
      children(l, [&](auto const& child) { each.push_back(layer(child, x, in)); });
      bool const sum = l.how() == std::remove_cvref_t<decltype(l.how())>::sum;
      return sum ? graph_->node("Sum", each, "sum")
                 : graph_->node("Concat", each, "concatenate", {{"axis", std::int64_t{1}}});
    } else if constexpr (nn::composite<L>) {
      if (kind == "residual") {
        std::vector<std::string> each;
        children(l, [&](auto const& child) { each.push_back(layer(child, x, in)); });
        if (each.empty()) return x;  // the body was taken out
        return graph_->node("Add", {each[0], each.size() > 1 ? each[1] : x}, "add");
      }
      if (kind != "sequential" && kind != "repeat") refuse(kind);
      extents shape = in;
      children(l, [&](auto const& child) {
        x = layer(child, std::move(x), shape);
        shape = child.shape(shape);
      });
      return x;
    } else if constexpr (requires {
                           l.epsilon();
                           l.width();
                           l.has_bias();
                         }) {
      if (kind != "layer_norm") refuse(kind);
      std::vector<std::string> inputs{x, parameter(l.weight())};
      if (l.has_bias()) inputs.push_back(parameter(l.bias()));
      return graph_->node("LayerNormalization", inputs, l.name(),
                          {{"axis", std::int64_t{-1}}, {"epsilon", static_cast<float>(l.epsilon())}});
    } else {
      return plain(kind, std::move(x));
    }
  }

  /// Of the layers that were walked over. \throws error for a range that belongs to none of them
  PLEAT_LAZY void demand_all_ranges_used() const {
    for (auto const& [layer, range] : options_->input_ranges) {
      if (std::find(multiplying_.begin(), multiplying_.end(), layer) != multiplying_.end()) continue;
      std::string known;
      for (auto const& name : multiplying_) known += (known.empty() ? "" : ", ") + name;
      throw error{"run::export_onnx", "input_ranges names '" + layer + "', and no layer with a product is called so",
                  known.empty() ? "The network has none" : "It has " + known};
    }
  }

 private:
  template <class L, class F> static void children(L const& l, F&& f) {
    // for_each_child has one spelling; nothing is written
    const_cast<L&>(l).for_each_child([&](auto& child) { f(std::as_const(child)); });
  }
  [[noreturn]] static void refuse(std::string_view kind) {
    throw error{"run::export_onnx", "a layer of the kind '" + std::string(kind) + "' has no words in ONNX here",
                "Give it 'std::string to_onnx(io::onnx_graph&, std::string x, extents in) const'"};
  }

  /// A weight in the form that it has.
  [[nodiscard]] std::string parameter(nn::parameter const& w) {
    auto const& name = name_of(w);
    if (auto const it = written_.find(name); it != written_.end()) return it->second;
    return written_[name] = io::add_weight(*graph_, *weights_.at(name).first);
  }
  [[nodiscard]] std::vector<codec::file_tensor> const& parts_of(nn::parameter const& w) const {
    return *weights_.at(name_of(w)).second;
  }
  [[nodiscard]] static std::string const& name_of(nn::parameter const& w) noexcept {
    return w.tied_to.empty() ? w.name : w.tied_to;
  }

  /// The scale of a layer's quantized input; 0: it stays float.
  [[nodiscard]] float input_scale(std::string const& layer) {
    multiplying_.push_back(layer);
    auto const it = options_->input_ranges.find(layer);
    if (it == options_->input_ranges.end()) return 0;
    if (!(it->second > 0) || !std::isfinite(it->second / 127.0f) || it->second / 127.0f == 0)
      throw error{"run::export_onnx",
                  "the range of the input of '" + layer + "' is " + std::to_string(it->second) +
                      ", expected a positive finite number",
                  "Calibrate with data that is not all zero"};
    return it->second / 127.0f;
  }
  [[nodiscard]] std::string quantized(std::string const& layer, std::string x, float scale) {
    if (scale == 0) return x;
    auto const s = graph_->constant(layer + ".input_scale", io::detail::onnx_float, {}, std::vector<float>{scale});
    auto const z =
        graph_->constant(layer + ".input_zero_point", io::detail::onnx_int8, {}, std::vector<std::int8_t>{0});
    return graph_->node("DequantizeLinear",
                        {graph_->node("QuantizeLinear", {std::move(x), s, z}, layer + ".input_codes"), s, z},
                        layer + ".input");
  }
  /// The bias, in units of x_scale · w_scale where both are there and it fits.
  template <class L> [[nodiscard]] std::string bias(L const& l, float x_scale) {
    if (x_scale == 0 || l.weight().form_name() != "int8") return parameter(l.bias());
    auto const &weight_parts = parts_of(l.weight()), &bias_parts = parts_of(l.bias());
    auto const values = codec::detail::values_of<float>(bias_parts[0].bytes);
    auto b = integer_bias(
        values, codec::detail::values_of<float>(codec::detail::find_part(weight_parts, ".scale")->bytes), x_scale);
    if (b.codes.empty()) {
      graph_->note(
          "'" + l.bias().name +
          "' is written as float: in units of the input's and the weight's scale it does not fit into 32 bits");
      return parameter(l.bias());
    }
    auto const n = static_cast<index_t>(b.codes.size());
    return graph_->node("DequantizeLinear",
                        {graph_->constant(l.bias().name + ".codes", io::detail::onnx_int32, {n}, b.codes),
                         graph_->constant(l.bias().name + ".scale", io::detail::onnx_float, {n}, b.units)},
                        l.bias().name, {{"axis", std::int64_t{0}}});
  }

  template <class L> [[nodiscard]] std::string linear(L const& l, std::string x, extents const& in) {
    float const scale = input_scale(l.name());
    bool const rows = in.rank() == 3 && in[2] == l.inputs();
    if (!rows && in.rank() > 2) x = graph_->node("Flatten", {x}, l.name() + ".rows", {{"axis", std::int64_t{1}}});
    x = quantized(l.name(), std::move(x), scale);
    auto const w = parameter(l.weight());
    if (rows) {  // Gemm takes matrices only
      auto y = graph_->node(
          "MatMul",
          {x, graph_->node("Transpose", {w}, l.name() + ".transposed", {{"perm", std::vector<std::int64_t>{1, 0}}})},
          l.has_bias() ? l.name() + ".product" : l.name());
      return l.has_bias() ? graph_->node("Add", {y, bias(l, scale)}, l.name()) : y;
    }
    std::vector<std::string> inputs{x, w};
    if (l.has_bias()) inputs.push_back(bias(l, scale));
    return graph_->node("Gemm", inputs, l.name(), {{"transB", std::int64_t{1}}});
  }
  template <class L> [[nodiscard]] std::string convolution(L const& l, std::string x) {
    auto const& o = l.options();
    float const scale = input_scale(l.name());
    std::vector<std::string> inputs{quantized(l.name(), std::move(x), scale), parameter(l.weight())};
    if (l.has_bias()) inputs.push_back(bias(l, scale));
    auto attributes = window_of({l.weight().shape[2], l.weight().shape[3]}, {o.stride.height, o.stride.width},
                                {o.padding.height, o.padding.width});
    // Named: cudafe++ 13 loses a brace of nested ones whose values depend on a template.
    std::vector<std::int64_t> const dilations{o.dilation.height, o.dilation.width};
    std::int64_t const groups = o.groups;
    attributes.push_back({"dilations", dilations});
    attributes.push_back({"group", groups});
    return graph_->node("Conv", inputs, l.name(), attributes);
  }
  template <class L> [[nodiscard]] std::string pool(L const& l, std::string x, extents const&) {
    auto const& o = l.options();
    auto const stride = o.stride.height == 0 ? l.kernel() : o.stride;
    auto attributes = window_of({l.kernel().height, l.kernel().width}, {stride.height, stride.width},
                                {o.padding.height, o.padding.width});
    if constexpr (requires { o.count_include_pad; }) {
      std::int64_t const count = o.count_include_pad;
      attributes.push_back({"count_include_pad", count});
      return graph_->node("AveragePool", {x}, L::kind, attributes);
    } else {
      return graph_->node("MaxPool", {x}, L::kind, attributes);
    }
  }
  [[nodiscard]] static std::vector<io::onnx_attribute> window_of(std::vector<std::int64_t> kernel,
                                                                 std::vector<std::int64_t> stride,
                                                                 std::vector<std::int64_t> padding) {
    return {{"kernel_shape", std::move(kernel)},
            {"strides", std::move(stride)},
            {"pads", std::vector<std::int64_t>{padding[0], padding[1], padding[0], padding[1]}}};
  }

  /// Layers without parameters.
  [[nodiscard]] std::string plain(std::string_view kind, std::string x) {
    auto const scalar = [&](char const* name, float v) {
      return graph_->constant(name, io::detail::onnx_float, {}, std::vector<float>{v});
    };
    if (kind == "dropout") return x;  // inference
    if (kind == "flatten") return graph_->node("Flatten", {x}, "flatten", {{"axis", std::int64_t{1}}});
    if (kind == "relu") return graph_->node("Relu", {x}, "relu");
    if (kind == "tanh") return graph_->node("Tanh", {x}, "tanh");
    if (kind == "sigmoid") return graph_->node("Sigmoid", {x}, "sigmoid");
    if (kind == "silu") return graph_->node("Mul", {x, graph_->node("Sigmoid", {x}, "silu.sigmoid")}, "silu");
    if (kind == "gelu" || kind == "gelu_tanh") {  // an operator of its own only from set 20 on
      auto const half_x = graph_->node("Mul", {x, scalar("half", 0.5f)}, "gelu.half");
      std::string inner;
      if (kind == "gelu") {
        inner = graph_->node(
            "Erf", {graph_->node("Mul", {x, scalar("root_of_half", 0.70710678118654752f)}, "gelu.scaled")}, "gelu.erf");
      } else {
        auto const cube = graph_->node("Mul", {graph_->node("Mul", {x, x}, "gelu.square"), x}, "gelu.cube");
        auto const sum = graph_->node(
            "Add", {x, graph_->node("Mul", {cube, scalar("gelu_factor", 0.044715f)}, "gelu.term")}, "gelu.sum");
        inner = graph_->node(
            "Tanh", {graph_->node("Mul", {sum, scalar("root_of_two_over_pi", 0.79788456080286536f)}, "gelu.scaled")},
            "gelu.tanh");
      }
      return graph_->node("Mul", {half_x, graph_->node("Add", {inner, scalar("one", 1.0f)}, "gelu.one_more")}, "gelu");
    }
    refuse(kind);
  }

  std::map<std::string, std::pair<io::stored_weight const*, std::vector<codec::file_tensor> const*>> weights_;
  io::onnx_graph* graph_;
  onnx_options const* options_;
  std::map<std::string, std::string> written_;  // tied weights once
  std::vector<std::string> multiplying_;        // the layers whose inputs may have a range
};

/// The graph of a network whose weights are all in the image.
template <class Net>
[[nodiscard]] io::onnx_graph onnx_of(Net const& net, model_image const& weights, extents const& sample,
                                     onnx_options const& options) {
  static_assert(std::is_same_v<nn::value_type_of<Net>, float>,
                "pleat: only networks of float activations are exported to ONNX");
  std::vector<index_t> list{1};
  list.insert(list.end(), sample.begin(), sample.end());
  extents const in{std::span<index_t const>(list)};
  auto const out = net.shape(in);
  io::onnx_graph graph(options.graph_name);
  auto const x = graph.input("input", in);
  onnx_walk walk(weights, graph, options);
  auto const y = walk.layer(net, x, in);
  walk.demand_all_ranges_used();
  graph.output(graph.node("Identity", {y}, "output"), out);
  return graph;
}

}  // namespace detail

/// The model's inference as a graph: input "input", float [batch, sample…], result "output". On the calling rank, which
/// must hold every weight whole.
/// \param sample  shape of one sample, without the batch: {1, 28, 28}
/// \throws error for a layer that ONNX has no words for here, a model that does not take such samples, parameters that
/// are not here
template <class Net>
[[nodiscard]] io::onnx_graph to_onnx(parallel::model<Net> const& m, extents const& sample,
                                     onnx_options const& options = {}) {
  return detail::onnx_of(m.net(), detail::local_image_of("run::to_onnx", m), sample, options);
}

/// Writes it from rank 0, whole or not at all: the same bytes from every mesh, as run::save. Collective over all ranks.
/// \returns what whoever exports should know, e.g. which weights are written as float; on rank 0
/// \throws error on every rank alike, as above
template <class Net>
std::vector<std::string> export_onnx(parallel::model<Net> const& m, std::string const& path, extents const& sample,
                                     onnx_options const& options = {}) {
  if (m.plan().state_stage == 3) return export_onnx(m.unsharded(), path, sample, options);
  auto const image = detail::image_of(m, {}, {});
  std::vector<std::string> notes;
  comm::on_root(m.all_ranks(), [&] {
    auto const graph = detail::onnx_of(m.net(), image, sample, options);
    graph.write(path);
    notes = graph.notes();
  });
  return notes;
}

}  // namespace pleat::run
