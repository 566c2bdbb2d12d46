// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Models as safetensors files: every parameter in the form it has, readable by PyTorch where that is dense.
///
/// Parameter "fc1.weight" of form F becomes the tensors "fc1.weight" + suffix that F::to_file gives (dense: no suffix). Metadata: pleat.version,
/// pleat.form.\<name\> and pleat.shape.\<name\> of every parameter that is not dense, pleat.network and pleat.input.* as the caller gives them.
/// The same model gives the same bytes.
#pragma once

#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/io/safetensors.hpp>
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

/// The file of a model, and the bytes that it refers to.
struct model_image {
  std::vector<codec::file_tensor> parts;
  std::vector<std::string> names;
  io::safetensors_writer writer;
};

template <class Net> void fill_image(parallel::model<Net> const& m, model_description const& about, model_image& image) {
  for (auto const& [key, value] : about.more)
    if (!key.starts_with("pleat.")) image.writer.metadata(key, value);
  auto const v = version();
  image.writer.metadata("pleat.version", std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch));
  if (!about.network.empty()) image.writer.metadata("pleat.network", about.network);
  if (about.input) {
    image.writer.metadata("pleat.input.mean", float_text(about.input->mean));
    image.writer.metadata("pleat.input.scale", float_text(about.input->scale));
  }
  nn::for_each_parameter(m.net(), [&](auto const& w) {
    if (!w.tied_to.empty()) return;
    if (w.form_name() != "dense") {
      image.writer.metadata("pleat.form." + w.name, std::string(w.form_name()));
      image.writer.metadata("pleat.shape." + w.name, w.shape.to_string());
    }
    auto parts = w.visit([&](auto tag, auto const& s) {
      using F = typename decltype(tag)::type;
      static_assert(requires { F::to_file(m.context(), w.shape, s); },
                    "pleat: to be saved, a form needs static 'std::vector<file_tensor> to_file(context&, shape, storage const&)' and 'from_file'");
      return F::to_file(m.context(), w.shape, s);
    });
    for (auto& p : parts) {
      image.names.push_back(w.name + p.suffix);
      image.parts.push_back(std::move(p));
    }
  });
  for (std::size_t i = 0; i < image.parts.size(); ++i)
    image.writer.add({image.names[i], image.parts[i].type, image.parts[i].shape, image.parts[i].bytes});
}

}  // namespace detail

/// Writes the model from rank 0, whole or not at all: a file that was there stays until the new one is complete. Collective.
/// \throws error on every rank alike if it cannot be written
template <class Net> void save(parallel::model<Net> const& m, std::string const& path, model_description const& about = {}) {
  if (m.plan().state_stage == 3) return save(m.unsharded(), path, about);
  detail::on_root(m.ranks(), [&] {
    detail::model_image image;
    detail::fill_image(m, about, image);
    image.writer.write(path);
  });
}

/// The same file in memory, on the calling rank.
template <class Net> [[nodiscard]] std::vector<std::byte> file_image(parallel::model<Net> const& m, model_description const& about = {}) {
  m.demand_whole_parameters("run::file_image");
  detail::model_image image;
  detail::fill_image(m, about, image);
  return image.writer.bytes();
}

/// What an opened file says about its model. \throws error for an entry that cannot be understood
[[nodiscard]] PLEAT_ONCE model_description describe_file(io::safetensors_file const& file, std::string const& call = "run::describe_file") {
  model_description d;
  d.more = file.metadata();
  auto const find = [&](char const* key) -> std::string const* {
    auto const it = d.more.find(key);
    return it == d.more.end() ? nullptr : &it->second;
  };
  if (auto const* n = find("pleat.network")) d.network = *n;
  auto const *mean = find("pleat.input.mean"), *scale = find("pleat.input.scale");
  if (mean && scale) d.input = {detail::float_of(call, "pleat.input.mean", *mean), detail::float_of(call, "pleat.input.scale", *scale)};
  return d;
}
[[nodiscard]] inline model_description describe_file(std::string const& path) {
  return describe_file(io::safetensors_file(path), "run::describe_file('" + path + "')");
}

/// Gives the model the parameters and forms of an opened file. \param call how errors introduce themselves
/// \throws error, and the model stays as it was: a parameter that is missing, of another shape or in a form that the model's weights cannot
///         take; a tensor that no parameter asked for
template <class Net> model_description load(parallel::model<Net>& m, io::safetensors_file const& file, std::string const& call = "run::load") {
  m.demand_whole_parameters("run::load");
  auto const about = describe_file(file, call);
  auto const said = [&](std::string const& key) -> std::string const* {
    auto const it = about.more.find(key);
    return it == about.more.end() ? nullptr : &it->second;
  };

  // Every tensor belongs to the parameter with the longest name that begins it.
  std::vector<std::string> names;
  nn::for_each_parameter(m.net(), [&](nn::parameter const& w) {
    if (w.tied_to.empty()) names.push_back(w.name);
  });
  std::vector<std::vector<codec::file_tensor>> parts(names.size());
  std::string strangers;
  for (auto const& e : file.entries()) {
    std::size_t owner = names.size();
    for (std::size_t i = 0; i < names.size(); ++i)
      if (e.name.starts_with(names[i]) && (e.name.size() == names[i].size() || e.name[names[i].size()] == '.') &&
          (owner == names.size() || names[i].size() > names[owner].size()))
        owner = i;
    if (owner == names.size()) {
      strangers += (strangers.empty() ? "'" : ", '") + e.name + "'";
      continue;
    }
    auto const bytes = file.bytes(e);
    parts[owner].push_back({e.name.substr(names[owner].size()), e.type, e.shape, {bytes.begin(), bytes.end()}});
  }
  if (!strangers.empty()) throw error{call, "the file holds " + strangers + ", which the network has no parameter for", "Is it the file of another network?"};

  // The forms that the file has, in a network of its own; then the memory that they need; then the numbers.
  Net net = m.net();
  std::size_t next = 0;
  net.for_each_parameter([&](auto& w) {
    using forms = typename std::remove_cvref_t<decltype(w)>::forms;
    if (!w.tied_to.empty()) return;
    auto const& mine = parts[next++];
    if (mine.empty()) throw error{call, "the file has no '" + w.name + "' of shape " + w.shape.to_string(), "Is it the file of another network?"};
    auto const* form = said("pleat.form." + w.name);
    std::string const wanted = form ? *form : "dense";
    int const index = forms::index(wanted);
    if (index < 0) {
      std::string have;
      for (int i = 0; i < forms::size; ++i) have.append(i ? ", '" : "'").append(forms::name(i)).append("'");
      throw error{call, "'" + w.name + "' is stored in the form '" + wanted + "', the model's weight can take " + have,
                  "Build the network with that form in its set, e.g. nn::linear<codec::forms<codec::dense<float>, codec::masked<float>, codec::int8<float>>>"};
    }
    if (form) {
      auto const* shape = said("pleat.shape." + w.name);
      if (!shape || *shape != w.shape.to_string())
        throw error{call, "'" + w.name + "' has shape " + w.shape.to_string() + " in the network, the file says " + (shape ? *shape : "nothing about it")};
    } else if (mine.size() != 1 || !mine[0].suffix.empty()) {
      throw error{call, "the file holds '" + w.name + mine.back().suffix + "', but its metadata do not say in which form", "Only files that pleat wrote hold other forms than dense"};
    } else if (mine[0].shape != w.shape) {
      throw error{call, "'" + w.name + "' has shape " + w.shape.to_string() + " in the network and " + mine[0].shape.to_string() + " in the file"};
    }
    codec::visit_form<forms>(index, [&](auto tag) { w.template use_form<typename decltype(tag)::type>(); });
    w.requires_grad = w.requires_grad && w.trainable();
  });

  auto fresh = m.rebuild(std::move(net));
  next = 0;
  fresh.net().for_each_parameter([&](auto& w) {
    if (!w.tied_to.empty()) return;
    auto const& mine = parts[next++];
    w.visit([&](auto tag, auto& s) {
      try {
        decltype(tag)::type::from_file(fresh.context(), w.shape, mine, s);
      } catch (error const& e) {
        throw error{call, "'" + w.name + "': " + e.problem(), e.remedy()};
      }
    });
  });
  fresh.refresh_masks();
  m = std::move(fresh);
  return about;
}

/// Gives the model the parameters and forms of a file; every rank reads it. \throws error as above
template <class Net> model_description load(parallel::model<Net>& m, std::string const& path) {
  return load(m, io::safetensors_file(path), "run::load('" + path + "')");
}

}  // namespace pleat::run
