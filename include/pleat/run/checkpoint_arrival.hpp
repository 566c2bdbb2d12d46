// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a rank has read of a checkpoint, on the host, before anything is believed; and how it gets into the model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/codec/detail/bits.hpp>
#include <pleat/io/checkpoint_layout.hpp>
#include <pleat/io/safetensors.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/run/checkpoint_image.hpp>
#include <pleat/run/checkpoint_steps.hpp>
#include <pleat/run/opened_checkpoint.hpp>

namespace pleat::run::detail {

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

}  // namespace pleat::run::detail
