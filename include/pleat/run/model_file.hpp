// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Models as safetensors and GGUF files: every parameter in the form it has, readable by PyTorch where that is dense, by ggml where it is a block type.
///
/// How a form's tensors and metadata lie in either file: io/weights.hpp. Beside them pleat.version, pleat.network and pleat.input.* as the caller gives
/// them. The same model gives the same bytes.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/codec/detail/bits.hpp>
#include <pleat/io/safetensors.hpp>
#include <pleat/io/weight_file.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/run/checkpoint.hpp>

namespace pleat::run {

/// How bytes of an image became the numbers that the model was trained on: value = (byte − mean) · scale.
struct input_normalisation {
  float mean = 0, scale = 1;
  friend bool operator==(input_normalisation const&, input_normalisation const&) = default;
};

/// What a file says about its model besides the parameters.
struct model_description {
  std::string network{};                     ///< a name that the caller can build a network from: "lenet-300-100"
  std::optional<input_normalisation> input{};
  io::metadata_map more{};                   ///< further entries, as they are in the file
  std::map<std::string, codec::error_norms> errors{};  ///< ‖W − Ŵ‖ of parameters by name, where known; the file keeps it
};

/// How a model is written.
struct file_options {
  std::optional<dtype> dense_as{};  ///< dense parameters in this type: f32, f64, bf16, f16 (rounded to nearest even); not set: as they are
};

namespace detail {

/// Shortest text that reads back as the same float.
[[nodiscard]] inline std::string float_text(float x) {
  char text[32];
  auto const end = std::to_chars(text, text + sizeof text, x);
  return {text, end.ptr};
}
[[nodiscard]] PLEAT_ONCE float float_of(std::string const& call, std::string const& key, std::string const& text) {
  float x = 0;
  auto const [end, failed] = std::from_chars(text.data(), text.data() + text.size(), x);
  if (failed != std::errc{} || end != text.data() + text.size() || !std::isfinite(x))
    throw error{call, "the metadata entry '" + key + "' is '" + text + "', expected a finite number"};
  return x;
}

/// Floating-point values in another type, rounded to nearest even. \throws error if a finite value would become infinite
template <class From, class To> std::vector<std::byte> convert(std::string const& call, std::vector<std::byte> const& bytes) {
  auto const from = codec::detail::values_of<From>(bytes);
  std::vector<To> to(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    if constexpr (std::is_same_v<To, double>) to[i] = static_cast<double>(static_cast<std::conditional_t<std::is_same_v<From, double>, double, float>>(from[i]));
    else to[i] = static_cast<To>(static_cast<float>(from[i]));
    if (!std::isfinite(static_cast<float>(to[i])) && std::isfinite(static_cast<double>(static_cast<std::conditional_t<std::is_same_v<From, double>, double, float>>(from[i]))))
      throw error{call, "element " + std::to_string(i) + " is above the largest number of " + std::string(name_of(dtype_of<To>))};
  }
  return codec::detail::bytes_of(std::span<To const>(to));
}
/// Where both types are floating-point ones; other parts stay as they are, for the form to refuse.
PLEAT_ONCE void convert_part(std::string const& call, codec::file_tensor& part, dtype to) {
  auto const floating = [](dtype t) { return t == dtype::f32 || t == dtype::f64 || t == dtype::f16 || t == dtype::bf16; };
  if (part.type == to || !floating(part.type) || !floating(to)) return;
  auto const with = [](dtype t, auto&& f) {
    switch (t) {
      case dtype::f64: return f(double{});
      case dtype::f16: return f(half{});
      case dtype::bf16: return f(bfloat16{});
      default: return f(float{});
    }
  };
  part.bytes = with(part.type, [&](auto a) { return with(to, [&](auto b) { return convert<decltype(a), decltype(b)>(call, part.bytes); }); });
  part.type = to;
}

/// A file holds whole weights. \throws error for a part of one, or one that is on another pipeline stage
PLEAT_ONCE void demand_whole(char const* call, nn::parameter const& w) {
  if (w.parts > 1 && w.where.shards())
    throw error{call, "'" + w.name + "' is one of " + std::to_string(w.parts) + " parts over the tensor axis: no rank holds a whole one", "Write a checkpoint, and load it into a model on one rank of that axis"};
  if (!w.materialised()) throw error{call, "'" + w.name + "' is not here: it is only described, or on another pipeline stage"};
}

/// A model's weights as files take them, and the bytes that they refer to.
struct model_image {
  std::vector<std::vector<codec::file_tensor>> parts;
  std::vector<io::stored_weight> weights;
};

template <class Net> void fill_image(parallel::model<Net> const& m, model_description const& about, file_options const& how, model_image& image) {
  nn::for_each_parameter(m.net(), [&](auto const& w) {
    if (!w.tied_to.empty()) return;
    demand_whole("run::save", w);
    auto parts = w.visit([&](auto tag, auto const& s) {
      using F = typename decltype(tag)::type;
      static_assert(requires { F::to_file(m.context(), w.shape, s); },
                    "pleat: to be saved, a form needs static 'std::vector<file_tensor> to_file(context&, shape, storage const&)' and 'from_file'");
      return F::to_file(m.context(), w.shape, s);
    });
    if (how.dense_as && w.form_name() == "dense")
      for (auto& p : parts) convert_part("run::save: '" + w.name + "'", p, *how.dense_as);
    io::stored_weight stored{w.name, std::string(w.form_name()), {}, w.shape, {}, {}};
    if (auto const e = about.errors.find(w.name); e != about.errors.end()) stored.error = e->second;
    for (auto const& p : parts) stored.parts.push_back({p.suffix, p.type, p.shape, p.bytes});
    image.parts.push_back(std::move(parts));  // the vectors' memory moves with them: the views stay good
    image.weights.push_back(std::move(stored));
  });
}

/// Metadata and weights to a writer of either format.
template <class Writer> void put_image(model_description const& about, model_image const& image, Writer& writer) {
  for (auto const& [key, value] : about.more)
    if (!key.starts_with("pleat.") && !key.starts_with("general.")) writer.metadata(key, value);
  auto const v = version();
  writer.metadata("pleat.version", std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch));
  if (!about.network.empty()) writer.metadata("pleat.network", about.network);
  if (about.input) {
    writer.metadata("pleat.input.mean", float_text(about.input->mean));
    writer.metadata("pleat.input.scale", float_text(about.input->scale));
  }
  for (auto const& w : image.weights) io::add_weight(writer, w);
}

}  // namespace detail

/// Writes the model from rank 0, whole or not at all: a file that was there stays until the new one is complete. Collective.
/// \throws error on every rank alike if it cannot be written
template <class Net> void save(parallel::model<Net> const& m, std::string const& path, model_description const& about = {}, file_options const& how = {}) {
  if (m.plan().state_stage == 3) return save(m.unsharded(), path, about, how);
  detail::on_root(m.ranks(), [&] {
    detail::model_image image;
    detail::fill_image(m, about, how, image);
    io::safetensors_writer writer;
    detail::put_image(about, image, writer);
    writer.write(path);
  });
}

/// The same as GGUF. Block types (q8_0, q4_0, …, q6_K) are ggml's own tensors; other forms are tensors that only pleat understands.
/// \param architecture  what the format wants to know of every file; llama.cpp runs those that it knows, with its own names of tensors
template <class Net>
void save_gguf(parallel::model<Net> const& m, std::string const& path, std::string const& architecture, model_description const& about = {}, file_options const& how = {}) {
  if (m.plan().state_stage == 3) return save_gguf(m.unsharded(), path, architecture, about, how);
  detail::on_root(m.ranks(), [&] {
    detail::model_image image;
    detail::fill_image(m, about, how, image);
    io::gguf_writer writer(architecture);
    detail::put_image(about, image, writer);
    writer.write(path);
  });
}

/// The same file in memory, on the calling rank.
template <class Net> [[nodiscard]] std::vector<std::byte> file_image(parallel::model<Net> const& m, model_description const& about = {}, file_options const& how = {}) {
  m.demand_whole_parameters("run::file_image");
  detail::model_image image;
  detail::fill_image(m, about, how, image);
  io::safetensors_writer writer;
  detail::put_image(about, image, writer);
  return writer.bytes();
}

/// What an opened file says about its model. \throws error for an entry that cannot be understood
[[nodiscard]] PLEAT_ONCE model_description describe_file(std::span<io::stored_weight const> weights, io::metadata_map const& metadata, std::string const& call = "run::describe_file") {
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
  if (mean && scale) d.input = {detail::float_of(call, "pleat.input.mean", *mean), detail::float_of(call, "pleat.input.scale", *scale)};
  return d;
}
[[nodiscard]] inline model_description describe_file(io::safetensors_file const& file, std::string const& call = "run::describe_file") {
  return describe_file(io::weights_of(file, call), file.metadata(), call);
}
[[nodiscard]] inline model_description describe_file(io::weight_file const& file, std::string const& call = "run::describe_file") {
  return describe_file(file.weights(), file.metadata(), call);
}
[[nodiscard]] inline model_description describe_file(std::string const& path) {
  return describe_file(io::weight_file(path), "run::describe_file('" + path + "')");
}

/// Gives the model the parameters and forms of stored weights. Dense parameters of another floating-point type are rounded to the model's.
/// \param call how errors introduce themselves
/// \throws error, and the model stays as it was: a parameter that is missing, of another shape or in a form that the model's weights cannot
///         take; a tensor that no parameter asked for
template <class Net>
model_description load(parallel::model<Net>& m, std::span<io::stored_weight const> weights, io::metadata_map const& metadata, std::string const& call = "run::load") {
  m.demand_whole_parameters("run::load");
  auto const about = describe_file(weights, metadata, call);

  std::vector<io::stored_weight const*> mine;  // in the order of the network's parameters
  std::vector<std::string> names;
  nn::for_each_parameter(m.net(), [&](nn::parameter const& w) {
    if (!w.tied_to.empty()) return;
    names.push_back(w.name);
    auto const it = std::find_if(weights.begin(), weights.end(), [&](auto const& s) { return s.name == w.name; });
    mine.push_back(it == weights.end() ? nullptr : &*it);
  });
  std::string strangers;
  for (auto const& w : weights) {
    if (std::find(names.begin(), names.end(), w.name) != names.end()) continue;
    for (auto const& n : names)
      if (w.name.starts_with(n) && w.name[n.size()] == '.')
        throw error{call, "the file holds '" + w.name + "', but its metadata do not say in which form", "Only files that pleat wrote hold other forms than dense"};
    strangers += (strangers.empty() ? "'" : ", '") + w.name + "'";
  }
  if (!strangers.empty()) throw error{call, "the file holds " + strangers + ", which the network has no parameter for", "Is it the file of another network?"};

  // The forms that the file has, in a network of its own; then the memory that they need; then the numbers.
  Net net = m.net();
  std::size_t next = 0;
  net.for_each_parameter([&](auto& w) {
    using forms = typename std::remove_cvref_t<decltype(w)>::forms;
    if (!w.tied_to.empty()) return;
    auto const* stored = mine[next++];
    if (!stored) throw error{call, "the file has no '" + w.name + "' of shape " + w.shape.to_string(), "Is it the file of another network?"};
    int index = stored->form.empty() ? -1 : forms::index(stored->form);
    if (index < 0 && stored->form == "dense" && (stored->type == "BF16" || stored->type == "F16")) index = forms::index(stored->type == "BF16" ? "bf16" : "f16");
    if (index < 0) {
      std::string have;
      for (int i = 0; i < forms::size; ++i) have.append(i ? ", '" : "'").append(forms::name(i)).append("'");
      throw error{call, "'" + w.name + "' is stored in " + (stored->form.empty() ? "the type " + stored->type : "the form '" + stored->form + "'") + ", the model's weight can take " + have,
                  "Build the network with that form in its set, e.g. nn::linear<codec::forms<codec::dense<float>, codec::masked<float>, codec::int8<float>>>"};
    }
    if (stored->shape != w.shape) {
      bool const dense = stored->form == "dense";
      throw error{call, "'" + w.name + "' has shape " + w.shape.to_string() + " in the network" + (dense ? " and " + stored->shape.to_string() + " in the file" : ", the file says " + stored->shape.to_string())};
    }
    codec::visit_form<forms>(index, [&](auto tag) { w.template use_form<typename decltype(tag)::type>(); });
    w.requires_grad = w.requires_grad && w.trainable();
  });

  auto fresh = m.rebuild(std::move(net));
  next = 0;
  fresh.net().for_each_parameter([&](auto& w) {
    if (!w.tied_to.empty()) return;
    auto parts = mine[next++]->copy();
    w.visit([&](auto tag, auto& s) {
      using F = typename decltype(tag)::type;
      try {
        if (F::name == "dense")
          for (auto& p : parts) detail::convert_part(call, p, dtype_of<typename F::value_type>);
        F::from_file(fresh.context(), w.shape, parts, s);
      } catch (error const& e) {
        throw error{call, "'" + w.name + "': " + e.problem(), e.remedy()};
      }
    });
  });
  fresh.refresh_masks();
  m = std::move(fresh);
  return about;
}

/// The same of a file that is open already.
template <class Net> model_description load(parallel::model<Net>& m, io::weight_file const& file, std::string const& call = "run::load") {
  return load(m, file.weights(), file.metadata(), call);
}
template <class Net> model_description load(parallel::model<Net>& m, io::safetensors_file const& file, std::string const& call = "run::load") {
  return load(m, io::weights_of(file, call), file.metadata(), call);
}
/// Gives the model the parameters and forms of a file, safetensors or GGUF; every rank reads it. \throws error as above
template <class Net> model_description load(parallel::model<Net>& m, std::string const& path) {
  return load(m, io::weight_file(path), "run::load('" + path + "')");
}

}  // namespace pleat::run
