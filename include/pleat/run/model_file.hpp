// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Models as safetensors files: every parameter in the form it has, readable by PyTorch where that is dense. GGUF:
/// run/gguf.hpp.
///
/// How a form's tensors and metadata lie in it: io/weights.hpp. Beside them pleat.version, pleat.network and
/// pleat.input.* as the caller gives them. The same model gives the same bytes.
#pragma once

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/base/owned_ptr.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/io/safetensors.hpp>
#include <pleat/io/weights.hpp>
#include <pleat/nn/any_weight.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/run/model_description.hpp>
#include <pleat/run/model_image.hpp>

namespace pleat::run {

namespace detail {

/// Metadata and weights to a writer of either format.
template <class Writer> void put_image(model_description const& about, model_image const& image, Writer& writer) {
  for (auto const& [key, value] : about.more)
    if (!key.starts_with("pleat.") && !key.starts_with("general.")) writer.metadata(key, value);
  auto const v = version();
  writer.metadata("pleat.version",
                  std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch));
  if (!about.network.empty()) writer.metadata("pleat.network", about.network);
  if (about.input) {
    writer.metadata("pleat.input.mean", float_text(about.input->mean));
    writer.metadata("pleat.input.scale", float_text(about.input->scale));
  }
  for (auto const& w : image.weights) add_weight(writer, w);  // the writer's own
}

/// A writer that is told what weights are, and not their bytes.
struct describing_writer {
  io::safetensors_writer file;
  PLEAT_ONCE void metadata(std::string name, std::string value) { file.metadata(std::move(name), std::move(value)); }
};
PLEAT_LAZY inline void add_weight(describing_writer& out, io::stored_weight const& w) {
  io::describe_weight(out.file, w);
}

}  // namespace detail

/// Writes the model from rank 0, whole or not at all: a file that was there stays until the new one is complete. The
/// same bytes from every mesh: what is cut along the tensor axis, lies on other stages or is sharded (state_stage = 3)
/// comes to rank 0, which holds one weight at a time. Weights in encoded forms are looked at twice: first for what they
/// are, then for their bytes. Collective over all ranks. \throws error on every rank alike if it cannot be written
template <class T, class Space>
void save(parallel::any_model<T, Space> const& m, std::string const& path, model_description const& about = {},
          file_options const& how = {}) {
  detail::demand_dense_type("run::save", how);
  auto const described = detail::image_of(m, about, how, detail::collecting::descriptions);
  owned_ptr<io::safetensors_stream> file;
  comm::on_root(m.all_ranks(), [&] {
    detail::describing_writer writer;
    detail::put_image(about, described, writer);
    file = make_owned<io::safetensors_stream>(path, writer.file);
  });
  detail::collect(m, detail::collecting::weights, [&](nn::parameter const& w, detail::collected_weight c) {
    for (auto& t : c.tensors) {
      if (how.dense_as && c.form == "dense") detail::convert_part("run::save: '" + w.name + "'", t, *how.dense_as);
      file->write(w.name + t.suffix, as_span(t.bytes));
      t.bytes = {};
    }
  });
  comm::on_root(m.all_ranks(), [&] { file->commit(); });
}

/// The same file in memory, on the calling rank, which must hold every weight whole (one stage, uncut). Not collective.
template <class T, class Space>
[[nodiscard]] std::vector<std::byte> file_image(parallel::any_model<T, Space> const& m,
                                                model_description const& about = {}, file_options const& how = {}) {
  auto const image = detail::local_image_of("run::file_image", m, about, how);
  io::safetensors_writer writer;
  detail::put_image(about, image, writer);
  return writer.bytes();
}

/// Gives the model the parameters and forms of stored weights, whichever mesh wrote them: every rank takes what it
/// holds. Dense parameters of another floating-point type are rounded to the model's. Collective.
/// \param call how errors introduce themselves
/// \throws error on every rank alike, and the model stays as it was: a parameter that is missing, of another shape or in
/// a form that the model's weights cannot take; a tensor that no parameter asked for. What fits on every rank is not
/// compared further: give all of them the same file.
template <class T, class Space>
[[gnu::cold]] model_description load(parallel::any_model<T, Space>& m, std::span<io::stored_weight const> weights,
                                     io::metadata_map const& metadata, std::string const& call = "run::load") {
  if (m.plan().state_stage == 3) {
    auto const plan = m.plan();
    auto whole = m.unsharded();
    auto const about = load(whole, weights, metadata, call);
    m = whole.replanned(plan);
    return about;
  }
  model_description about;
  std::vector<io::stored_weight const*> mine;  // in the order of the network's parameters
  auto net = m.any_net().clone();
  std::size_t next = 0;
  comm::all_or_none(m.all_ranks(), [&] {  // ranks may have read different files
    about = describe_file(weights, metadata, call);
    std::vector<std::string> names;
    nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
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
          throw error{call, "the file holds '" + w.name + "', but its metadata do not say in which form",
                      "Only files that pleat wrote hold other forms than dense"};
      strangers += (strangers.empty() ? "'" : ", '") + w.name + "'";
    }
    if (!strangers.empty())
      throw error{call, "the file holds " + strangers + ", which the network has no parameter for",
                  "Is it the file of another network?"};

    // The forms that the file has, in a network of its own; then the memory that they need; then the numbers.
    net->for_each_parameter([&](nn::any_weight<T, Space>& w) {
      if (!w.tied_to.empty()) return;
      auto const* stored = mine[next++];
      if (!stored)
        throw error{call, "the file has no '" + w.name + "' of shape " + w.whole().to_string(),
                    "Is it the file of another network?"};
      auto const forms = w.form_names();
      auto at = stored->form.empty() ? forms.end() : std::find(forms.begin(), forms.end(), stored->form);
      if (at == forms.end() && stored->form == "dense" && (stored->type == "BF16" || stored->type == "F16"))
        at = std::find(forms.begin(), forms.end(), stored->type == "BF16" ? "bf16" : "f16");
      if (at == forms.end()) {
        std::string have;
        for (auto const& name : forms) have.append(have.empty() ? "'" : ", '").append(name).append("'");
        throw error{call,
                    "'" + w.name + "' is stored in " +
                        (stored->form.empty() ? "the type " + stored->type : "the form '" + stored->form + "'") +
                        ", the model's weight can take " + have,
                    stored->form.empty()
                        ? "No form of pleat is that type: bring it to floats first, by the tool that wrote it"
                        : "Build the network with that form in its set, nn::linear<codec::forms<codec::dense<float>, "
                          "…>>: the class of codec/ whose name is '" +
                              stored->form + "'"};
      }
      if (stored->shape != w.whole()) {
        bool const dense = stored->form == "dense";
        throw error{call,
                    "'" + w.name + "' has shape " + w.whole().to_string() + " in the network" +
                        (dense ? " and " + stored->shape.to_string() + " in the file"
                               : ", the file says " + stored->shape.to_string()),
                    "Build the network with the shapes of the file, or give the data that it was trained on (--data)"};
      }
      w.use_form_at(static_cast<int>(at - forms.begin()));
      std::vector<std::string> suffixes;
      for (auto const& p : stored->parts) suffixes.push_back(p.suffix);
      parallel::detail::keep_blocks_whole(w, suffixes);
      w.follow_form(w.trainable());
    });
  });

  auto fresh = m.rebuild(std::move(net));
  next = 0;
  auto const fill = [&] {
    fresh.any_net().for_each_parameter([&](nn::any_weight<T, Space>& w) {
      if (!w.tied_to.empty()) return;
      auto const& stored = *mine[next++];
      int const twin = w.absent ? fresh.arena().find(w.name) : -1;  // on another stage, but used here too
      if (w.absent && (twin < 0 || !w.trainable())) return;
      auto parts = stored.copy();
      try {
        if (w.form_name() == "dense")
          for (auto& p : parts) detail::convert_part(call, p, dtype_of<T>);
        T* const values = twin < 0
                              ? w.data()
                              : fresh.arena().values() + fresh.arena().entries()[static_cast<std::size_t>(twin)].begin;
        detail::take_weight(w, fresh.context(), parts, values, twin < 0);
      } catch (error const& e) {
        throw error{call, "'" + w.name + "': " + e.problem(), e.remedy()};
      }
    });
  };
  comm::all_or_none(m.all_ranks(), fill);  // what one rank finds, all hear
  fresh.refresh_masks();
  fresh.values_changed();
  m = std::move(fresh);
  return about;
}

/// The same of a file that is open already.
template <class T, class Space>
model_description load(parallel::any_model<T, Space>& m, io::safetensors_file const& file,
                       std::string const& call = "run::load") {
  std::vector<io::stored_weight> weights;
  comm::all_or_none(m.all_ranks(), [&] { weights = io::weights_of(file, call); });
  return load(m, weights, file.metadata(), call);
}
/// Gives the model the parameters and forms of a safetensors file (GGUF: run/gguf.hpp); every rank reads it. \throws
/// error as above
template <class T, class Space> model_description load(parallel::any_model<T, Space>& m, std::string const& path) {
  owned_ptr<io::safetensors_file> file;
  // a folder that one node does not see is everybody's trouble
  comm::all_or_none(m.all_ranks(), [&] { file = make_owned<io::safetensors_file>(path); });
  return load(m, *file, "run::load('" + path + "')");
}

}  // namespace pleat::run
