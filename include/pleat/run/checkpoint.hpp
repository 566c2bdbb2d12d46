// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A model in training as a checkpoint, and back, under any layout: written by all ranks at once, in the background if
/// asked; every rank reads what it holds. The files are io/checkpoint.hpp's business.
#pragma once

#include <charconv>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/codec/detail/bits.hpp>
#include <pleat/codec/learned_steps.hpp>
#include <pleat/io/checkpoint_job.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/parallel/loss_scale.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/run/checkpoint_image.hpp>

namespace pleat::run {

/// Where training goes on.
struct resume_point {
  index_t step = 0;
  std::string remark;                         ///< empty, or a sentence to be said: the newest checkpoint was damaged
  std::map<std::string, std::string> more{};  ///< what the program saved besides
};

/// What a program has to remember besides model and optimizer. Equal on every rank.
struct checkpoint_extras {
  parallel::loss_scale const* scale = nullptr;  ///< null: the model's own, where it has one
  std::map<std::string, std::string> more{};    ///< words of one's own, UTF-8
  /// fingerprint of what is trained on (io::dataset::fingerprint), or empty: training on other data is refused then
  std::string data{};
};

/// What a program that goes on has, besides model and optimizer.
struct resume_options {
  parallel::loss_scale* scale = nullptr;  ///< takes the loss scale; null: the model's own does, where it has one
  std::string data{};                     ///< fingerprint of what is trained on; empty: it is not compared
};

/// The parameters that judged best so far. A checkpoint takes them along.
template <class T> struct best_so_far {
  std::vector<T> values{};  ///< of this rank, as model.held_values() gives them
  double error = 2;         ///< share of wrong answers; more than all: nothing was judged yet
  std::map<std::string, codec::learned_steps> steps{};  ///< those of this rank, of weights that train as codes
};

/// How many checkpoints stay, and whether saving waits for the disk.
struct checkpoint_writer_options {
  int keep = 2;               ///< checkpoints that stay; a damaged one does not count
  bool asynchronous = false;  ///< save returns when host copies are taken; the files are written meanwhile
};

namespace detail {

inline std::string as_text(std::uint64_t n) { return std::to_string(n); }

/// Reads back as the same number, whatever the locale.
PLEAT_ONCE inline std::string as_text(double x) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, x, std::chars_format::general, 17).ptr};
}

/// What the manifest's state holds of a program's own words is called so; and of weights in encoded forms: form, and
/// suffix of each tensor, a line each.
inline constexpr char const *own_words = "program.", *form_words = "form.";

/// One checkpoint folder as every rank has opened it.
struct opened_checkpoint {
  io::detail::checkpoint_manifest manifest;
  std::string call;
  std::vector<io::safetensors_file> files;  // as manifest.parts

  PLEAT_ONCE [[nodiscard]] inline std::string const& value(std::string const& key) const {
    if (auto const it = manifest.state.find(key); it != manifest.state.end()) return it->second;
    throw error{call, "there is no state '" + key + "' in it", "It was written by another version or another program"};
  }
  PLEAT_ONCE [[nodiscard]] inline std::uint64_t number(std::string const& key) const {
    auto const& text = value(key);
    std::int64_t n = -1;
    auto const read = std::from_chars(text.data(), text.data() + text.size(), n);
    if (read.ec != std::errc{} || read.ptr != text.data() + text.size() || n < 0)
      throw error{call, "the state '" + key + "' is '" + text + "', expected a whole number below 2^63",
                  "It was written by another program"};
    return static_cast<std::uint64_t>(n);
  }
  /// \throws error for what is no finite number from smallest to largest
  PLEAT_ONCE [[nodiscard]] inline double real(std::string const& key, double smallest, double largest,
                                              std::string const& remedy) const {
    auto const& text = value(key);
    double x = 0;
    auto const read = std::from_chars(text.data(), text.data() + text.size(), x);
    if (read.ec != std::errc{} || read.ptr != text.data() + text.size() || !std::isfinite(x) || x < smallest ||
        x > largest)
      throw error{call,
                  "the state '" + key + "' is '" + text + "', expected a number from " + as_text(smallest) + " to " +
                      as_text(largest),
                  remedy};
    return x;
  }

  /// A loss scale and its counts.
  struct scale_state {
    double value = 0;
    std::int64_t good_steps = 0, skipped = 0;
  };
  /// Nothing if none was saved. \throws error for one that the rule of this run could not have
  PLEAT_ONCE [[nodiscard]] inline std::optional<scale_state> scale(parallel::loss_scale_options const& rule) const {
    if (!manifest.state.contains("loss_scale")) return std::nullopt;
    return scale_state{real("loss_scale", rule.smallest, rule.largest,
                            "Go on with the bounds of the loss scale (loss_scale_options) that it was saved under"),
                       static_cast<std::int64_t>(number("loss_scale_good_steps")),
                       static_cast<std::int64_t>(number("loss_scale_skipped"))};
  }
  /// Empty if there is none.
  PLEAT_LAZY [[nodiscard]] std::string words(std::string const& key) const {
    auto const it = manifest.state.find(key);
    return it == manifest.state.end() ? std::string() : it->second;
  }
  /// The form that a weight was saved in, and its tensors' suffixes; nothing for one that is not in an encoded form.
  struct saved_form {
    std::string form;
    std::vector<std::string> suffixes;
  };
  PLEAT_ONCE [[nodiscard]] inline std::optional<saved_form> form_of(std::string const& name) const {
    auto const it = manifest.state.find(form_words + name);
    if (it == manifest.state.end()) return std::nullopt;
    std::vector<std::string> lines{""};
    for (char const c : it->second)
      if (c == '\n') lines.emplace_back();
      else lines.back() += c;
    saved_form f{lines.front(), {lines.begin() + 1, lines.end()}};
    return f;
  }
  /// Null if there is none.
  PLEAT_LAZY [[nodiscard]] io::safetensors_file const* group(std::string const& name) const noexcept {
    for (std::size_t i = 0; i < files.size(); ++i)
      if (manifest.parts[i].name.size() == name.size() + io::detail::part_suffix.size() &&
          manifest.parts[i].name.starts_with(name))
        return &files[i];
    return nullptr;
  }
  /// \throws error that names the folder and the group
  PLEAT_ONCE [[nodiscard]] inline io::safetensors_file const& demand_group(std::string const& name) const {
    if (auto const* f = group(name)) return *f;
    throw error{call, "there is no group of tensors '" + name + "' in it",
                "It was written by another version or another program"};
  }

  /// Opens and verifies all that can be without reading the data. \param whole read and verify the data too, where only
  /// that can be done
  PLEAT_ONCE inline void open(std::string const& folder, std::string const& text, bool whole) {
    call = "run::load_checkpoint('" + folder + "')";
    manifest = io::detail::checkpoint_manifest::parse(
        text, io::detail::call_on("load_checkpoint", io::detail::join(folder, "manifest")));
    for (auto const& part : manifest.parts) {
      auto const path = io::detail::path_of_part(folder, part);
      auto const where = io::detail::call_on("load_checkpoint", path);
      if (manifest.version == 1 && whole)
        if (auto const sum = io::checksum::hex(io::checksum_of(as_span(io::read_file(path, part.size))));
            sum != part.sum)
          throw error{where,
                      "the checksum of bytes 0 to " + std::to_string(part.size) + " is " + sum +
                          ", the manifest says " + part.sum + ": it is damaged",
                      io::detail::damaged_part};
      files.emplace_back(path);
      if (manifest.version > 1) io::detail::verify_header(part, files.back(), where);
    }
  }
};

/// Host copies of what this rank's arena holds, before anything is believed.
template <class T, class Space> struct arrived {
  using W = nn::master_t<T>;
  std::vector<T> values;
  std::vector<W> masters;
  std::vector<std::vector<W>> states;
  std::map<std::string, std::vector<std::uint8_t>> masks;  // bits of this rank's parts
  std::vector<W> residual;                                 // flat: the sum of the rows that are this rank's
  index_t residual_ranks = 0;                              // that wrote rows
  typename parallel::any_model<T, Space>::codec_memory codec;
  std::map<std::string, std::uint64_t> residual_sums, codec_sums;  // what this rank adds to the checksums
  std::vector<T> best;
  bool with_best = false;
  steps_by_weight steps, best_steps;
  std::map<std::string, std::uint64_t> step_sums, best_step_sums;
  std::map<std::string, std::vector<codec::file_tensor>> encoded;  // whole weights of which this rank has all or a part
  std::vector<std::uint64_t> encoded_sums;                         // of the arrays that are this rank's to sum
  std::vector<std::function<void()>> encoded_in_place;

  /// Not collective. \throws error
  [[gnu::cold]] void read(parallel::any_model<T, Space> const& m, opened_checkpoint const& c) {
    auto const& a = m.arena();
    bool const packed = m.plan().state_stage == 3;
    take(m, c.demand_group(parameters_group), packed, values, packed ? a.owned() : a.size());
    if (with_best) take(m, c.demand_group(best_group), packed, best, packed ? a.owned() : a.size());
    if (auto const* wide = c.group(masters_group); wide && a.masters()) take(m, *wide, true, masters, a.owned());
    states.resize(static_cast<std::size_t>(a.states()));
    for (int i = 0; i < a.states(); ++i)
      take(m, c.demand_group(optimizer_group(i)), true, states[static_cast<std::size_t>(i)], a.owned());
    if (auto const* f = c.group(masks_group))
      nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
        auto const* e = is_stored(w) && !w.absent ? f->find(w.name) : nullptr;
        if (!e) return;
        std::vector<std::byte> alive(static_cast<std::size_t>(w.size()));
        io::copy_part(f->bytes(*e), e->shape, 1, w.box(), {0, w.size()}, as_span(alive));
        auto& bits = masks[w.name];
        bits.assign(static_cast<std::size_t>(codec::detail::bit_bytes(w.size())), 0);
        for (std::size_t i = 0; i < alive.size(); ++i)
          if (alive[i] != std::byte{0}) bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | (1u << i % 8));
      });
    if (auto const* f = c.group(steps_group)) steps = read_steps(m, c.call, *f, step_sums);
    if (auto const* f = c.group(best_steps_group); f && with_best)
      best_steps = read_steps(m, c.call, *f, best_step_sums);
    if (auto const* f = c.group(residuals_group)) read_residuals(m, c, *f);
    if (auto const* f = c.group(codec_group)) read_codec(m, c, *f);
    if (auto const* f = c.group(encoded_group)) read_encoded(m, c, *f);
  }
  /// Not collective. \throws error for encoded weights that cannot be what they say; the model is as it was
  [[gnu::cold]] void decode(parallel::any_model<T, Space>& m) {
    m.any_net().for_each_parameter([&](nn::any_weight<T, Space>& w) {
      auto const at = encoded.find(w.name);
      if (at != encoded.end() && w.tied_to.empty())
        in_words(w, [&] { encoded_in_place.push_back(w.from_file(m.context(), at->second)); });
    });
  }

  /// What this rank's shares of it add to the checksums: one list per file of the checkpoint.
  [[nodiscard]] std::vector<std::uint64_t> sums(parallel::any_model<T, Space> const& m,
                                                opened_checkpoint const& c) const {
    std::vector<std::uint64_t> all;
    for (std::size_t i = 0; i < c.files.size(); ++i) {
      auto const& f = c.files[i];
      auto const group = c.manifest.parts[i].group();
      std::vector<std::uint64_t> list(f.entries().size(), 0);
      if (group == parameters_group) add(m, f, m.plan().state_stage == 3, values, list);
      if (group == best_group && with_best) add(m, f, m.plan().state_stage == 3, best, list);
      if (group == masters_group && !masters.empty()) add(m, f, true, masters, list);
      for (std::size_t s = 0; s < states.size(); ++s)
        if (group == optimizer_group(static_cast<int>(s))) add(m, f, true, states[s], list);
      if (group == masks_group) add_masks(m, f, list);
      if (group == encoded_group && !encoded_sums.empty()) list = encoded_sums;
      for (auto const* sums :
           {group == residuals_group ? &residual_sums : nullptr, group == codec_group ? &codec_sums : nullptr,
            group == steps_group ? &step_sums : nullptr, group == best_steps_group ? &best_step_sums : nullptr})
        for (std::size_t k = 0; sums && k < list.size(); ++k)
          if (auto const at = sums->find(f.entries()[k].name); at != sums->end()) list[k] = at->second;
      all.insert(all.end(), list.begin(), list.end());
    }
    return all;
  }
  /// Whether anything of a file was read.
  [[nodiscard]] bool uses(std::string const& group) const {
    bool used = group == parameters_group || group == masks_group || group == residuals_group || group == codec_group ||
                group == encoded_group || group == steps_group ||
                ((group == best_group || group == best_steps_group) && with_best) ||
                (group == masters_group && !masters.empty());
    for (std::size_t s = 0; s < states.size(); ++s) used = used || group == optimizer_group(static_cast<int>(s));
    return used;
  }

  /// Into the model.
  void hand_over(parallel::any_model<T, Space>& m) {
    auto& a = m.arena();
    for (auto const& place : encoded_in_place) place();
    m.any_net().for_each_parameter([&](nn::any_weight<T, Space>& w) {
      if (auto const at = masks.find(w.name); at != masks.end()) w.give_mask(m.context(), at->second);
    });
    if (!masks.empty()) m.refresh_masks();
    give_learned_steps(m, steps);
    m.set_held_values(values);
    if (!masters.empty())
      copy_from_host(m.context(), masters.data(),
                     tensor<W, Space>::wrap(a.masters(), {static_cast<index_t>(masters.size())}));
    for (std::size_t i = 0; i < states.size(); ++i)
      copy_from_host(m.context(), states[i].data(),
                     tensor<W, Space>::wrap(a.state(static_cast<int>(i)), {static_cast<index_t>(states[i].size())}));
    if (!residual.empty()) m.set_gradient_residual(std::move(residual));
    else if (m.keeps_gradient_residual()) m.set_gradient_residual(std::vector<W>(static_cast<std::size_t>(a.size())));
    // nothing in it: the codec begins anew, whatever the model has done before
    m.set_gradient_codec_memory(std::move(codec));
  }

 private:
  /// Rows of data ranks are dealt to the data ranks that are here, in blocks, and added up: their sum over all ranks
  /// stays.
  [[gnu::cold]] void read_residuals(parallel::any_model<T, Space> const& m, opened_checkpoint const& c,
                                    io::safetensors_file const& f) {
    residual.assign(static_cast<std::size_t>(m.arena().size()), W(0));
    std::vector<W> row;
    for_each_residual(m, [&](nn::parameter const& w, nn::arena_entry const& e) {
      auto const& array = f.at(w.name);
      index_t const ranks = array.shape.rank() > 0 ? array.shape[0] : 0;
      if (array.type != dtype_of<W> || ranks < 1 || array.shape != of_all_ranks(ranks, w.whole()))
        throw error{c.call,
                    "the residuals of '" + w.name + "' are " + std::string(name_of(array.type)) + " " +
                        array.shape.to_string() + ", expected " + std::string(name_of(dtype_of<W>)) +
                        " [ranks, …] of " + w.whole().to_string(),
                    "It belongs to another network"};
      residual_ranks = ranks;
      row.resize(static_cast<std::size_t>(w.size()));
      index_range const mine = block_range(ranks, m.ranks().size(), m.ranks().rank());
      for (index_t r = mine.begin; r < mine.end; ++r) {
        auto const box = row_of_rank(r, w, ranks);
        io::copy_part(f.bytes(array), array.shape, sizeof(W), box, {0, w.size()},
                      std::as_writable_bytes(std::span(row)));
        if (speaks_for(w))
          residual_sums[w.name] +=
              io::sum_of_part(array.shape, sizeof(W), box, {0, w.size()}, std::as_bytes(std::span(row)));
        W* const to = residual.data() + e.begin;
        for (std::size_t i = 0; i < row.size(); ++i) to[i] = r == mine.begin ? row[i] : to[i] + row[i];
      }
    });
  }
  /// Every rank takes what is its parameters' or its parts', rank 0 sums all of it.
  [[gnu::cold]] void read_codec(parallel::any_model<T, Space> const& m, opened_checkpoint const& c,
                                io::safetensors_file const& f) {
    bool const same = c.words("gradient_codec") == m.gradient_words();
    if (same) codec.steps = c.number("gradient_codec_steps");
    std::map<std::string, std::string> mine;  // array, parameter
    nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
      if (!w.absent) mine.emplace(codec_array(w, w.part), w.name);
    });
    for (auto const& e : f.entries()) {
      if (e.type != dtype_of<W>)
        throw error{c.call, "what the gradient codec kept of '" + e.name + "' is " + std::string(name_of(e.type)),
                    "It belongs to another network"};
      std::vector<W> v(static_cast<std::size_t>(e.shape.size()));
      io::copy_part(f.bytes(e), e.shape, sizeof(W), index_box(e.shape), {0, e.shape.size()},
                    std::as_writable_bytes(std::span(v)));
      if (m.all_ranks().rank() == 0)
        codec_sums[e.name] =
            io::sum_of_part(e.shape, sizeof(W), index_box(e.shape), {0, e.shape.size()}, std::as_bytes(std::span(v)));
      if (auto const at = mine.find(e.name); same && at != mine.end()) codec.values[at->second] = std::move(v);
    }
  }
  /// Every rank takes the weights that it has anything of; each array is summed by one rank.
  [[gnu::cold]] void read_encoded(parallel::any_model<T, Space> const& m, opened_checkpoint const& c,
                                  io::safetensors_file const& f) {
    nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
      auto const form = is_encoded(w) && !w.absent ? c.form_of(w.name) : std::nullopt;
      if (!form) return;
      auto& to = encoded[w.name];
      for (auto const& suffix : form->suffixes) {
        auto const& e = f.at(w.name + suffix);
        auto const bytes = f.bytes(e);
        to.push_back({suffix, e.type, e.shape, {bytes.begin(), bytes.end()}});
      }
    });
    auto const ranks = static_cast<std::size_t>(m.all_ranks().size()),
               mine = static_cast<std::size_t>(m.all_ranks().rank());
    encoded_sums.assign(f.entries().size(), 0);
    for (std::size_t i = mine; i < f.entries().size(); i += ranks) {
      auto const& e = f.entries()[i];
      encoded_sums[i] = io::sum_of_part(e.shape, size_of(e.type), index_box(e.shape), {0, e.shape.size()}, f.bytes(e));
    }
  }
  template <class U>
  [[gnu::cold]] static void take(parallel::any_model<T, Space> const& m, io::safetensors_file const& f, bool packed,
                                 std::vector<U>& to, index_t size) {
    to.assign(static_cast<std::size_t>(size), U{});
    for_each_held(m, packed, [&](nn::parameter const& w, index_box const& box, index_range range, index_t at) {
      auto const& e = f.at(w.name);
      io::copy_part(f.bytes(e), e.shape, sizeof(U), box, range,
                    std::as_writable_bytes(
                        std::span(to).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(range.size()))));
    });
  }
  template <class U>
  static void add(parallel::any_model<T, Space> const& m, io::safetensors_file const& f, bool packed,
                  std::vector<U> const& from, std::vector<std::uint64_t>& list) {
    for_each_share(m, packed, [&](nn::parameter const& w, index_box const& box, index_range range, index_t at) {
      auto const& e = f.at(w.name);
      list[static_cast<std::size_t>(&e - f.entries().data())] += io::sum_of_part(
          e.shape, sizeof(U), box, range,
          std::as_bytes(std::span(from).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(range.size()))));
    });
  }
  void add_masks(parallel::any_model<T, Space> const& m, io::safetensors_file const& f,
                 std::vector<std::uint64_t>& list) const {
    for_each_share(m, false, [&](nn::parameter const& w, index_box const& box, index_range range, index_t) {
      auto const at = masks.find(w.name);
      if (at == masks.end()) return;
      auto const& e = f.at(w.name);
      std::vector<std::byte> alive(static_cast<std::size_t>(range.size()));
      for (index_t i = range.begin; i < range.end; ++i)
        alive[static_cast<std::size_t>(i - range.begin)] = std::byte{codec::detail::bit_at(at->second.data(), i)};
      list[static_cast<std::size_t>(&e - f.entries().data())] +=
          io::sum_of_part(e.shape, 1, box, range, as_span(alive));
    });
  }
};

/// Encoded weights must have here the forms that they were saved in. Collective. \throws error on every rank alike with
/// both sides
template <class T, class Space>
[[gnu::cold]] void demand_same_forms(parallel::any_model<T, Space> const& m, opened_checkpoint const& c) {
  comm::all_or_none(m.all_ranks(), [&] {
    std::set<std::string> names;
    auto const& dense = c.demand_group(parameters_group);
    nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
      if (!w.tied_to.empty()) return;
      auto const there = c.form_of(w.name);
      names.insert(w.name);
      std::string const here(w.form_name());
      if (there && there->form != here)
        throw error{
            c.call,
            "'" + w.name + "' was saved in the form '" + there->form + "', and has the form '" + here + "' here",
            "Give the model the checkpoint's forms before its optimizer is made: run::take_forms(folder, model)"};
      if (!there && is_encoded(w) && dense.find(w.name))
        throw error{c.call,
                    "'" + w.name + "' was saved as the numbers that are trained, and has the form '" + here + "' here",
                    "Load first, into the network as it was then; encode it afterwards"};
    });
    for (auto const& [key, words] : c.manifest.state)
      if (key.starts_with(form_words) && !names.contains(key.substr(std::strlen(form_words))))
        throw error{
            c.call,
            "'" + key.substr(std::strlen(form_words)) + "' was saved in an encoded form, and is no parameter here",
            "It belongs to another network"};
  });
}

/// What is said where the model has encoded weights and the checkpoint, written by an older version, has none.
template <class T, class Space>
[[nodiscard]] std::string words_of_kept_forms(parallel::any_model<T, Space> const& m, opened_checkpoint const& c) {
  std::size_t kept = 0;
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) { kept += is_encoded(w) && !c.form_of(w.name); });
  return kept == 0 ? std::string()
                   : "weights in encoded forms are not in this checkpoint: " + std::to_string(kept) +
                         " of them stay what they are";
}

/// Whether a checkpoint belongs to this model: the same answer on every rank. Collective. \throws error with both sides
template <class T, class Space>
[[gnu::cold]] void demand_same_training(parallel::any_model<T, Space> const& m,
                                        nn::optimizer_state<T, Space> const& optimizer, opened_checkpoint const& c) {
  auto const demand = [&](std::string const& what, std::string const& saved, std::string const& here,
                          std::string const& remedy) {
    if (saved != here)
      throw error{c.call, "it was saved with " + what + " " + saved + ", this run has " + here, remedy};
  };
  auto const saved = plan::plan::parse(c.value("plan"), false);
  demand("seed", c.value("seed"), as_text(m.seed()), "Start with the same --seed");
  demand("the optimizer", c.value("optimizer"), std::string(optimizer.name()), "Go on with the same optimizer");
  demand("precision =", std::string(plan::name_of(saved.precision)), std::string(plan::name_of(m.plan().precision)),
         "Use precision = " + std::string(plan::name_of(saved.precision)));
  demand("a global batch of", std::to_string(saved.global_batch), std::to_string(m.plan().global_batch),
         "Use global_batch = " + std::to_string(saved.global_batch));
  if (saved.deterministic && m.plan().deterministic)
    demand("lanes =", std::to_string(saved.lanes), std::to_string(m.plan().lanes),
           "Use lanes = " + std::to_string(saved.lanes) + ", so that the bits go on");

  demand_same_forms(m, c);
  using W = nn::master_t<T>;
  auto const compare = [&](io::safetensors_file const& group, dtype type, bool all) {
    std::size_t used = 0;
    nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
      if (!is_stored(w)) return;
      auto const* t = group.find(w.name);
      if (!t && !all) return;
      if (!t) throw error{c.call, "there is no parameter '" + w.name + "' in it", "It belongs to another network"};
      if (t->shape != w.whole() || t->type != type)
        throw error{c.call,
                    "'" + w.name + "' is " + std::string(name_of(t->type)) + " " + t->shape.to_string() +
                        " there and " + std::string(name_of(type)) + " " + w.whole().to_string() + " here",
                    "It belongs to another network"};
      ++used;
    });
    if (used != group.entries().size())
      throw error{
          c.call,
          "it has " + std::to_string(group.entries().size()) + " parameters, this network has " + std::to_string(used),
          "It belongs to another network"};
  };
  compare(c.demand_group(parameters_group), dtype_of<T>, true);
  if (auto const* f = c.group(best_group)) compare(*f, dtype_of<T>, true);
  if (auto const* f = c.group(masters_group)) compare(*f, dtype_of<W>, true);
  for (int i = 0; i < m.arena().states(); ++i) compare(c.demand_group(optimizer_group(i)), dtype_of<W>, true);

  auto const* masks = c.group(masks_group);
  if (masks) compare(*masks, dtype::u8, false);
  auto const here = pruned(m);
  std::size_t number = 0;
  nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
    bool const cut = here[number++] == 1;
    bool const there = masks && is_stored(w) && masks->find(w.name);
    if (there && !w.prunable())
      throw error{c.call, "'" + w.name + "' was saved pruned, and here it cannot be",
                  "Give its weight a form set with codec::masked, as compress::prune does"};
    if (cut && !there && c.manifest.version > 1)
      throw error{c.call, "'" + w.name + "' is pruned here, and was not when it was saved", "Load first, then prune"};
  });
}

/// What is said where gradients travel otherwise than when the checkpoint was saved; empty if they do not.
template <class T, class Space>
[[nodiscard]] std::string words_of_residuals(parallel::any_model<T, Space> const& m, opened_checkpoint const& c,
                                             index_t ranks) {
  std::string const there = c.words("gradient_codec"), here = m.gradient_words();
  index_t const now = m.ranks().size();
  if (ranks == 0 || (there == here && ranks == now)) return {};
  std::string all =
      "what " + std::to_string(ranks) + (ranks == 1 ? " rank" : " ranks") + " had not sent of the gradients ";
  all += here.empty() ? "is added to those of the next step"
                      : "is dealt to " + std::to_string(now) + (now == 1 ? " rank" : " ranks");
  if (there != here)
    all += " (they travelled as " + (there.empty() ? std::string("they are") : there) + ", now as " +
           (here.empty() ? std::string("they are") : here) + ")";
  return all;
}

}  // namespace detail

/// Writes checkpoints of one model into one folder: every rank its share, by global index, so that the tensors' files
/// have the same bytes under every layout that computes the same numbers. Make one on every rank.
///
///     run::checkpoint_writer writer(folder, {.asynchronous = true});
///     …
///     writer.save(model, optimizer, step);   // waits for the save before
///     …
///     writer.wait();                         // says what went wrong with the last one
class checkpoint_writer {
 public:
  using options = checkpoint_writer_options;

  explicit checkpoint_writer(std::string folder, options o = {}) : folder_(std::move(folder)), o_(o) {}

  /// Collective. Synchronous: when it returns, the checkpoint survives a power cut. Asynchronous: it will, once it is
  /// written; until then the one before is what is found. \param best what judged best so far, if that is to be gone on
  /// with
  /// \throws error on every rank alike, also for the save before; what was saved before stays
  template <class T, class Space>
  [[gnu::cold]] void save(parallel::any_model<T, Space> const& m, nn::optimizer_state<T, Space> const& optimizer,
                          index_t step, checkpoint_extras const& extras = {}, best_so_far<T> const* best = nullptr);

  /// Collective: until the save under way is done, if there is one. \throws error on every rank alike if it failed
  PLEAT_ONCE inline void wait() {
    if (!job_) return;
    auto const job = std::move(job_);
    auto& ranks = *voice_;
    auto const failed = comm::attempt(ranks, [&] {
      if (ranks.rank() != 0) job->wait();
    });
    if (failed && ranks.rank() == 0) job->give_up();
    auto const root_failed = comm::attempt(ranks, [&] {
      if (ranks.rank() != 0) return;
      try {
        job->wait();
      } catch (error const&) {
        if (!job->gave_up()) throw;
      }
    });
    // then its folder is gone, and what the others say is that they cannot find it
    if (root_failed) throw *root_failed;
    if (failed) throw *failed;
  }

  [[nodiscard]] std::string const& folder() const noexcept { return folder_; }

 private:
  template <class T, class Space>
  void save_share(parallel::any_model<T, Space> const& m, nn::optimizer_state<T, Space> const& optimizer, index_t step,
                  checkpoint_extras const& extras, best_so_far<T> const* best);
  template <class T, class Space>
  [[nodiscard, gnu::cold]] static std::map<std::string, std::string> state_of(
      parallel::any_model<T, Space> const& m, nn::optimizer_state<T, Space> const& optimizer, index_t step,
      checkpoint_extras const& extras);

  std::string folder_;
  options o_;
  std::unique_ptr<comm::communicator> voice_;  // the model may be gone when wait is called
  std::unique_ptr<io::checkpoint_job> job_;
};

template <class T, class Space>
void checkpoint_writer::save(parallel::any_model<T, Space> const& m, nn::optimizer_state<T, Space> const& optimizer,
                             index_t step, checkpoint_extras const& extras, best_so_far<T> const* best) {
  region r("pleat::run::save_checkpoint");
  try {
    save_share(m, optimizer, step, extras, best && best->error <= 1 ? best : nullptr);
  } catch (error const& e) {
    if (e.rank() < 0) throw;  // of a transport: who did not come, but not to what
    throw error{"run::save_checkpoint('" + folder_ + "')",
                "step " + std::to_string(step) + ": " + e.call() + ": " + e.problem(), e.remedy(), e.rank()};
  }
}

template <class T, class Space>
void checkpoint_writer::save_share(parallel::any_model<T, Space> const& m,
                                   nn::optimizer_state<T, Space> const& optimizer, index_t step,
                                   checkpoint_extras const& extras, best_so_far<T> const* best) {
  wait();
  auto& ranks = m.all_ranks();
  auto data = detail::image::of(m, best ? &best->values : nullptr, best ? &best->steps : nullptr);
  auto state = state_of(m, optimizer, step, extras);
  for (auto const& [name, words] : data.forms) state[detail::form_words + name] = words;
  if (best) state["best_error"] = detail::as_text(best->error);
  auto const layout = std::make_shared<io::checkpoint_layout const>(std::move(data.layout));
  std::optional<io::checkpoint_commit> commit;
  comm::on_root(ranks, [&] { commit = io::begin_checkpoint(folder_, step, std::move(state), *layout, o_.keep); });
  std::string temporary = commit ? commit->begun.temporary : std::string();
  comm::share_text(ranks, temporary);
  if (o_.asynchronous) {
    if (!voice_) voice_ = std::make_unique<comm::communicator>(ranks.duplicate());
    auto const failed = comm::attempt(ranks, [&] {
      job_ = std::make_unique<io::checkpoint_job>(layout, temporary, ranks.rank(), ranks.size(), std::move(data.parts),
                                                  std::move(data.bytes), std::move(commit));
    });
    if (!failed) return;
    job_.reset();
    throw *failed;
  }
  std::vector<std::uint64_t> sums;
  if (auto const failed =
          comm::attempt(ranks, [&] { sums = io::write_parts(temporary, *layout, data.parts, ranks.rank() == 0); })) {
    if (commit) commit->begun.abandon();
    throw *failed;
  }
  if (!sums.empty()) ranks.all_reduce(sums);
  comm::on_root(ranks, [&] { io::commit_checkpoint(*commit, *layout, sums); });
}

template <class T, class Space>
std::map<std::string, std::string> checkpoint_writer::state_of(parallel::any_model<T, Space> const& m,
                                                               nn::optimizer_state<T, Space> const& optimizer,
                                                               index_t step, checkpoint_extras const& extras) {
  std::map<std::string, std::string> state{{"seed", detail::as_text(m.seed())},
                                           {"steps", detail::as_text(m.steps())},
                                           {"cursor", std::to_string(step)},
                                           {"optimizer", std::string(optimizer.name())},
                                           {"optimizer_steps", detail::as_text(optimizer.steps())},
                                           {"plan", m.plan().to_string()}};
  if (auto const* s = extras.scale ? extras.scale : m.scaling()) {
    state["loss_scale"] = detail::as_text(s->value());
    state["loss_scale_good_steps"] = std::to_string(s->good_steps());
    state["loss_scale_skipped"] = std::to_string(s->skipped());
  }
  if (auto const words = m.gradient_words(); !words.empty()) {
    state["gradient_codec"] = words;
    // a stage may have nothing that travels in the codec
    state["gradient_codec_steps"] = std::to_string(m.all_ranks().all_reduce_value(
        static_cast<std::int64_t>(m.gradient_codec_memory().steps), comm::reduction::max));
  }
  if (!extras.data.empty()) state["data"] = extras.data;
  for (auto const& [key, value] : extras.more) state[detail::own_words + key] = value;
  return state;
}

/// Saves parameters, optimizer state, masks, learned steps, seed, counters and plan into a folder. Collective; every
/// rank writes its share.
/// \throws error on every rank alike; what was saved before stays
template <class T, class Space>
[[gnu::cold]] void save_checkpoint(std::string const& folder, parallel::any_model<T, Space> const& m,
                                   nn::optimizer_state<T, Space> const& optimizer, index_t step,
                                   checkpoint_extras const& extras = {}) {
  checkpoint_writer(folder).save(m, optimizer, step, extras);
}

/// Loads the newest whole checkpoint of a folder into a model that was built from the same network and seed, under any
/// layout. Collective; every rank reads what it holds, all of them together verify. \param best takes what judged best
/// so far, if it was saved
/// \returns nothing if the folder holds no checkpoint yet
/// \throws error, on every rank alike, and nothing is changed: another network, seed, optimizer, lane count or other
/// data; a model of f16 that was
///         saved without its loss scale; damaged files without an older whole one
template <class T, class Space>
[[gnu::cold]] std::optional<resume_point> load_checkpoint(std::string const& folder, parallel::any_model<T, Space>& m,
                                                          nn::optimizer_state<T, Space>& optimizer,
                                                          resume_options const& options,
                                                          best_so_far<T>* best = nullptr) {
  region r("pleat::run::load_checkpoint");
  auto& ranks = m.all_ranks();
  // Rank 0 looks, so that a checkpoint that appears or vanishes meanwhile cannot part the ranks.
  std::string list;
  comm::on_root(ranks, [&] {
    for (auto const& name : io::detail::listed_checkpoints(folder)) list += name + "\n";
  });
  comm::share_text(ranks, list);
  if (list.empty()) return std::nullopt;
  std::string reasons;
  int tried = 0;
  for (std::size_t at = 0; at < list.size(); ++tried) {
    auto const end = list.find('\n', at);
    auto const path = io::detail::join(folder, list.substr(at, end - at));
    at = end + 1;
    std::string text;
    detail::opened_checkpoint c;
    detail::arrived<T, Space> data;
    auto const damaged = [&](std::optional<error> const& e) {
      if (e) reasons += (reasons.empty() ? "" : "; ") + e->call() + ": " + e->problem();
      return e.has_value();
    };
    if (damaged(comm::attempt(ranks, [&] {
          if (ranks.rank() == 0) text = io::detail::read_manifest_text(path);
        })))
      continue;
    comm::share_text(ranks, text);
    if (damaged(comm::attempt(ranks, [&] { c.open(path, text, ranks.rank() == 0); }))) continue;
    detail::demand_same_training(m, optimizer, c);
    index_t const without_steps = detail::demand_same_steps(m, c.call, c.group(detail::steps_group));
    comm::all_or_none(ranks, [&] {  // ranks may have read different files
      if (auto const it = c.manifest.state.find("data");
          !options.data.empty() && it != c.manifest.state.end() && it->second != options.data)
        throw error{
            c.call,
            "it was saved while training on other data (" + it->second + ") than this run's (" + options.data + ")",
            "Go on with the same data, or start without resuming"};
    });
    auto* const scale = options.scale ? options.scale : m.scaling();
    auto const saved_scale = scale ? c.scale(scale->options()) : std::nullopt;
    if (m.scaling() && !saved_scale)
      throw error{
          c.call, "it has no loss scale, and training in f16 goes on with one",
          "It was saved by a program that left the scale out: go on from a model file, or start without resuming"};
    data.with_best = best && c.group(detail::best_group) && c.manifest.state.contains("best_error");
    // Best values were judged with the steps of their time: without those they are not what was judged.
    bool const unjudged = data.with_best && detail::demand_same_steps(m, c.call, c.group(detail::best_steps_group)) > 0;
    data.with_best = data.with_best && !unjudged;
    double const best_error = data.with_best ? c.real("best_error", 0, 1, "It was written by another program") : 0;
    resume_point point;
    std::uint64_t const steps = c.number("steps"), optimizer_steps = c.number("optimizer_steps");
    point.step = static_cast<index_t>(c.number("cursor"));
    for (auto const& [key, value] : c.manifest.state)
      if (key.starts_with(detail::own_words)) point.more.emplace(key.substr(std::strlen(detail::own_words)), value);
    if (damaged(comm::attempt(ranks, [&] { data.read(m, c); }))) continue;
    if (c.manifest.version > 1) {
      auto sums = data.sums(m, c);
      if (!sums.empty()) ranks.all_reduce(sums);
      if (damaged(comm::attempt(ranks, [&] {
            for (std::size_t i = 0, next = 0; i < c.files.size(); ++i) {
              auto const& part = c.manifest.parts[i];
              auto const found = std::span<std::uint64_t const>(sums).subspan(next, part.sums.size());
              next += part.sums.size();
              if (data.uses(part.group()))
                io::detail::verify_sums(part, c.files[i], found,
                                        io::detail::call_on("load_checkpoint", io::detail::join(path, part.name)));
            }
          })))
        continue;
    }
    if (!reasons.empty())
      point.remark = "passed over a damaged checkpoint (" + reasons + "); going on from '" + path + "', step " +
                     std::to_string(point.step);
    if (auto const words = detail::words_of_residuals(m, c, data.residual_ranks); !words.empty())
      point.remark += (point.remark.empty() ? "" : "; ") + words;
    if (auto const words = detail::words_of_kept_forms(m, c); !words.empty())
      point.remark += (point.remark.empty() ? "" : "; ") + words;
    if (without_steps > 0)
      point.remark += (point.remark.empty() ? "" : "; ") +
                      ("learned steps are not in this checkpoint: those of " + std::to_string(without_steps) +
                       (without_steps == 1 ? " weight" : " weights") + " stay what they are");
    if (unjudged)
      point.remark += (point.remark.empty() ? "" : "; ") +
                      std::string(
                          "the best parameters were saved without their learned steps and are left out: "
                          "what is best is judged anew");
    comm::all_or_none(ranks, [&] { data.decode(m); });
    data.hand_over(m);
    m.set_steps(steps);
    optimizer.set_steps(optimizer_steps);
    if (saved_scale) scale->set(saved_scale->value, saved_scale->good_steps, saved_scale->skipped);
    if (data.with_best) *best = {std::move(data.best), best_error, std::move(data.best_steps)};
    return point;
  }
  throw error{"io::load_checkpoint('" + folder + "')",
              "no checkpoint of " + std::to_string(tried) + " is whole (" + reasons + ")", "Start without resuming"};
}
/// The same, where there is nothing to compare. \param scale takes the loss scale; null: the model's own does, where it
/// has one
template <class T, class Space>
[[gnu::cold]] std::optional<resume_point> load_checkpoint(std::string const& folder, parallel::any_model<T, Space>& m,
                                                          nn::optimizer_state<T, Space>& optimizer,
                                                          parallel::loss_scale* scale = nullptr) {
  return load_checkpoint(folder, m, optimizer, resume_options{.scale = scale});
}

}  // namespace pleat::run
