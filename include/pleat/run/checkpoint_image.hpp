// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a model in training keeps in files, by global index: which elements this rank writes, which it needs, under any
/// layout.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/codec/detail/bits.hpp>
#include <pleat/io/checkpoint_layout.hpp>
#include <pleat/io/checksum.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/run/checkpoint_steps.hpp>
#include <pleat/run/model_image.hpp>

namespace pleat::run::detail {

/// Group names of a checkpoint's files.
inline constexpr char const *parameters_group = "parameters", *masters_group = "masters", *masks_group = "masks",
                            *residuals_group = "residuals", *codec_group = "codec", *best_group = "best",
                            *encoded_group = "encoded";
PLEAT_ONCE [[nodiscard]] std::string optimizer_group(int buffer) { return "optimizer-" + std::to_string(buffer + 1); }
/// What those groups hold, in their order: "first_moment, second_moment".
template <class T, class Space>
[[nodiscard]] std::string words_of_buffers(nn::optimizer_state<T, Space> const& optimizer) {
  std::string words;
  for (int i = 0; i < optimizer.buffers(); ++i) words += (i > 0 ? ", " : "") + std::string(optimizer.buffer_name(i));
  return words;
}

/// Everything with a place in the files: tied parameters are stored once, encoded forms keep their numbers themselves.
PLEAT_ONCE [[nodiscard]] bool is_stored(nn::parameter const& w) { return w.in_arena && w.tied_to.empty(); }

/// A weight in a form that keeps its numbers itself. Tied ones are their owner's.
PLEAT_ONCE [[nodiscard]] bool is_encoded(nn::parameter const& w) { return !w.in_arena && w.tied_to.empty(); }

/// The scales by which weights that are trained round their inputs, as one word: the same however the model lies; ""
/// where there are none. Of those that are learned that they are: their values are among the learned steps. Collective.
template <class T, class Space>
[[nodiscard]] std::string words_of_input_scales(parallel::any_model<T, Space> const& m) {
  std::uint64_t sum = 0;
  nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
    float scale = is_stored(w) && !w.absent ? w.input_scale() : 0;
    if (!(scale > 0)) return;
    if (w.input_step()) scale = -1;
    io::checksum one;
    one.add(std::as_bytes(std::span(w.name.data(), w.name.size())));
    one.add(std::as_bytes(std::span(&scale, 1)));
    sum += one.value();
  });
  if (m.pipeline().size() > 1) sum = m.pipeline().all_reduce_value(sum);
  return sum == 0 ? std::string() : io::checksum::hex(sum);
}

/// Neighbours that one rank writes: fewer are not dealt out among those that have the same.
inline constexpr index_t share_grain = 16384;

/// Elements of a buffer that this rank writes: f(parameter, its box, elements of the box, position of the first in the
/// buffer). Over all ranks, every element of every parameter comes exactly once.
/// \param packed whether the buffer holds this rank's pieces of sharded state one after the other
template <class T, class Space, class F>
[[gnu::cold]] void for_each_share(parallel::any_model<T, Space> const& m, bool packed, F&& f) {
  auto const& a = m.arena();
  index_t const data = m.ranks().size(), rank = m.ranks().rank();
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
    if (!is_stored(w) || w.absent) return;
    auto const& e = a.entries()[static_cast<std::size_t>(a.find(w.name))];
    auto const deal = [&](index_range held, index_t at, index_t copies, index_t copy) {
      if (w.parts > 1 && !w.where.shards()) copy = copy * w.parts + w.part, copies *= w.parts;
      index_range r = block_range(held.size(), copies, copy, share_grain);
      at += r.begin;
      r = {held.begin + r.begin, held.begin + r.end};
      if (!r.empty()) f(w, w.box(), r, at);
    };
    if (!packed) return deal({0, e.end - e.begin}, e.begin, data, rank);
    auto const group = m.plan().sharing();
    for (auto const& p : a.pieces()) {
      index_range const held = intersect({e.begin, e.end}, {p.begin, p.end});
      if (!held.empty())
        deal({held.begin - e.begin, held.end - e.begin}, p.packed + held.begin - p.begin, data / group.ranks,
             group.copy_of(rank));
    }
  });
}

/// Elements of a buffer that this rank holds: f(parameter, its box, elements of the box, position of the first in the
/// buffer).
template <class T, class Space, class F>
void for_each_held(parallel::any_model<T, Space> const& m, bool packed, F&& f) {
  auto const& a = m.arena();
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
    int const id = is_stored(w) ? a.find(w.name) : -1;  // also the owner on another stage of a tied weight that is here
    if (id < 0) return;
    auto const& e = a.entries()[static_cast<std::size_t>(id)];
    if (!packed) return f(w, w.box(), index_range{0, e.end - e.begin}, e.begin);
    for (auto const& p : a.pieces()) {
      index_range const held = intersect({e.begin, e.end}, {p.begin, p.end});
      if (!held.empty())
        f(w, w.box(), index_range{held.begin - e.begin, held.end - e.begin}, p.packed + held.begin - p.begin);
    }
  });
}

/// Residuals of all data ranks as one array: [ranks, …].
PLEAT_ONCE [[nodiscard]] extents of_all_ranks(index_t ranks, extents const& whole) {
  std::array<index_t, extents::max_rank> n{ranks};
  if (whole.rank() + 1 > extents::max_rank)
    throw error{"run::save_checkpoint",
                "a parameter of shape " + whole.to_string() + " has no room for the residuals of its gradient",
                "Send its gradient without a codec"};
  std::copy(whole.begin(), whole.end(), n.begin() + 1);
  return extents(std::span<index_t const>(n.data(), static_cast<std::size_t>(whole.rank()) + 1));
}
/// The row of one data rank in it, of the elements that a rank of the tensor axis holds.
PLEAT_ONCE [[nodiscard]] index_box row_of_rank(index_t rank, nn::parameter const& w, index_t ranks) {
  index_box box(of_all_ranks(ranks, w.whole()));
  box[0] = {rank, rank + 1};
  for (int d = 0; d < w.whole().rank(); ++d) box[d + 1] = w.box()[d];
  return box;
}
/// f(parameter, its arena entry) for every gradient of which this rank may have kept something.
template <class T, class Space, class F> void for_each_residual(parallel::any_model<T, Space> const& m, F&& f) {
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
    if (is_stored(w) && !w.absent && w.kind == nn::parameter_kind::trainable)
      f(w, m.arena().entries()[static_cast<std::size_t>(m.arena().find(w.name))]);
  });
}
/// Of ranks of the tensor axis that hold the same elements, the first speaks.
[[nodiscard]] inline bool speaks_for(nn::parameter const& w) noexcept {
  return w.parts == 1 || w.where.shards() || w.part == 0;
}

/// What a gradient codec keeps of a parameter, or of the part of it that a rank of the tensor axis has: an array of its
/// own, for factors of parts are no parts of factors.
PLEAT_ONCE [[nodiscard]] std::string codec_array(nn::parameter const& w, int part) {
  if (w.parts == 1 || !w.where.shards()) return w.name;
  return w.name + "[" + std::to_string(part) + "/" + std::to_string(w.parts) + "]";
}
/// All of these arrays and their sizes, on whichever ranks they live. Collective.
template <class T, class Space>
[[nodiscard]] std::vector<std::pair<std::string, index_t>> codec_arrays(
    parallel::any_model<T, Space> const& m, typename parallel::any_model<T, Space>::codec_memory const& memory) {
  std::vector<std::pair<std::string, index_t>> all;
  std::vector<std::int64_t> sizes;
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
    auto const here = w.absent ? memory.values.end() : memory.values.find(w.name);
    for (int part = 0; part < (w.parts > 1 && w.where.shards() ? w.parts : 1); ++part) {
      bool const mine = here != memory.values.end() && (w.parts == 1 || !w.where.shards() || w.part == part);
      all.emplace_back(codec_array(w, part), 0);
      sizes.push_back(mine ? static_cast<std::int64_t>(here->second.size()) : 0);
    }
  });
  if (!sizes.empty()) m.all_ranks().all_reduce(sizes, comm::reduction::max);
  for (std::size_t i = 0; i < all.size(); ++i) all[i].second = sizes[i];
  std::erase_if(all, [](auto const& a) { return a.second == 0; });
  return all;
}

/// One entry per parameter, in the order of the network: 1 if it is pruned, on whichever rank it lives. Collective.
template <class T, class Space> [[nodiscard]] std::vector<std::int32_t> pruned(parallel::any_model<T, Space> const& m) {
  std::vector<std::int32_t> flags;
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
    flags.push_back(is_stored(w) && !w.absent && w.mask_bits() != nullptr);
  });
  if (!flags.empty()) m.all_ranks().all_reduce(flags, comm::reduction::max);
  return flags;
}

/// A weight in an encoded form as the file of an uncut model holds it.
struct encoded_weight {
  std::string name;
  int writer = 0;  ///< the rank that has its bytes; others know what they are
  collected_weight content;

  /// What the manifest says of it: the form, and the suffix of each tensor.
  PLEAT_ONCE [[nodiscard]] std::string words() const {
    std::string all = content.form;
    for (auto const& t : content.tensors) all += "\n" + t.suffix;
    return all;
  }
};

/// All of them, in the order of the network: their parts come together on one rank of the stage that has them, one
/// weight at a time. Collective.
/// \throws error on every rank alike
template <class T, class Space>
[[nodiscard, gnu::cold]] std::vector<encoded_weight> encoded_weights(parallel::any_model<T, Space> const& m) {
  auto& ranks = m.all_ranks();
  auto& axis = m.parts();
  auto const& net = m.any_net();
  bool const asked = m.ranks().rank() == 0;  // one replica writes
  std::vector<std::int32_t> writers;
  nn::for_each_parameter(net, [&](nn::parameter const& w) {
    writers.push_back(is_encoded(w) && !w.absent && asked && axis.rank() == 0 ? ranks.rank() : -1);
  });
  if (!writers.empty()) ranks.all_reduce(writers, comm::reduction::max);
  std::vector<encoded_weight> all;
  std::size_t number = 0;
  nn::for_each_parameter(net, [&](nn::any_weight<T, Space> const& w) {
    int const writer = writers[number++];
    if (writer < 0) return;
    encoded_weight e{w.name, writer, {}};
    bool const cut = w.parts > 1 && w.where.shards(), here = asked && !w.absent && (cut || axis.rank() == 0);
    comm::all_or_none(ranks, [&] {
      if (here) in_words(w, [&] { e.content = {std::string(w.form_name()), w.to_file(m.context())}; });
    });
    std::vector<codec::weight_piece> pieces;
    if (here && cut) {
      if (axis.rank() > 0) send_weight(axis, 0, e.content);
      for (int r = 0; axis.rank() == 0 && r < axis.size(); ++r)
        pieces.push_back({w.box(r).shape(), r > 0 ? receive_weight(axis, r).tensors : std::move(e.content.tensors)});
      e.content.tensors.clear();
    }
    comm::all_or_none(ranks, [&] {
      if (!pieces.empty()) in_words(w, [&] { e.content.tensors = w.join(pieces); });
    });
    auto words = ranks.rank() == writer ? e.content.words() : std::string();
    words.resize(static_cast<std::size_t>(ranks.broadcast_value(static_cast<index_t>(words.size()), writer)));
    if (!words.empty()) ranks.broadcast(words, writer);
    if (ranks.rank() != writer) e.content = collected_weight::of_words(words);
    all.push_back(std::move(e));
  });
  return all;
}

/// What this rank adds to a checkpoint: host copies of its share.
struct image {
  io::checkpoint_layout layout;
  std::vector<io::array_part> parts;
  std::vector<std::vector<std::byte>> bytes;
  std::map<std::string, std::string> forms;  // of weights that are encoded, as the manifest has them

  /// Collective. \param best values of this rank that go along; null: none do \param best_steps their learned steps
  /// \throws error on every rank alike
  template <class T, class Space>
  [[nodiscard, gnu::cold]] static image of(parallel::any_model<T, Space> const& m, std::vector<T> const* best = nullptr,
                                           steps_by_weight const* best_steps = nullptr) {
    using W = nn::master_t<T>;
    auto const& a = m.arena();
    auto const masked = pruned(m);
    bool const wide = a.masters() != nullptr;
    image out;
    std::map<std::string, std::vector<io::array_description>> groups{{parameters_group, {}}};
    auto const list = [&](std::string const& group, dtype type, auto&& wanted) {
      auto& all = groups[group];
      std::size_t number = 0;
      nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
        if (wanted(number++) && is_stored(w)) all.push_back({w.name, type, w.whole()});
      });
    };
    auto const all = [](std::size_t) { return true; };
    list(parameters_group, dtype_of<T>, all);
    if (best) list(best_group, dtype_of<T>, all);
    if (m.all_ranks().all_reduce_value(wide ? 1 : 0, comm::reduction::max)) list(masters_group, dtype_of<W>, all);
    for (int i = 0; i < a.states(); ++i) list(optimizer_group(i), dtype_of<W>, all);
    bool const kept = m.all_ranks().all_reduce_value(m.keeps_gradient_residual() ? 1 : 0, comm::reduction::max) == 1;
    auto const memory = m.gradient_codec_memory();
    if (kept) {
      auto& of = groups[residuals_group];
      nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
        if (is_stored(w) && w.kind == nn::parameter_kind::trainable)
          of.push_back({w.name, dtype_of<W>, of_all_ranks(m.ranks().size(), w.whole())});
      });
    }
    if (auto list = describe_steps(step_arrays(m)); !list.empty()) {
      if (best) groups[best_steps_group] = list;
      groups[steps_group] = std::move(list);
    }
    auto encoded = encoded_weights(m);
    for (auto const& e : encoded) {
      out.forms.emplace(e.name, e.words());
      for (auto const& t : e.content.tensors) groups[encoded_group].push_back({e.name + t.suffix, t.type, t.shape});
    }
    for (auto const& [name, size] : codec_arrays(m, memory)) groups[codec_group].push_back({name, dtype_of<W>, {size}});
    if (std::find(masked.begin(), masked.end(), 1) != masked.end())
      list(masks_group, dtype::u8, [&](std::size_t i) { return masked[i] == 1; });
    comm::all_or_none(m.all_ranks(), [&] {
      out.layout = io::checkpoint_layout(groups);
      auto const from_space = [&](auto* buffer) {
        using U = std::remove_pointer_t<decltype(buffer)>;
        return [&m, buffer](index_t at, index_t n, U* to) {
          copy_to_host(m.context(), tensor<U, Space>::wrap(buffer + at, {n}), to);
        };
      };
      bool const packed = m.plan().state_stage == 3;
      out.add<T>(m, parameters_group, packed, from_space(a.values()));
      if (best)
        out.add<T>(m, best_group, packed, [&](index_t at, index_t n, T* to) { std::copy_n(best->data() + at, n, to); });
      if (wide) out.add<W>(m, masters_group, true, from_space(a.masters()));
      for (int i = 0; i < a.states(); ++i) out.add<W>(m, optimizer_group(i), true, from_space(a.state(i)));
      out.add_masks(m, groups);
      if (groups.contains(steps_group)) out.add_steps(m, steps_group, learned_steps_of(m));
      if (groups.contains(best_steps_group))
        out.add_steps(m, best_steps_group, best_steps && !best_steps->empty() ? *best_steps : learned_steps_of(m));
      if (kept) out.add_residuals(m);
      for (auto& e : encoded)
        if (m.all_ranks().rank() == e.writer) out.add_encoded(e);
      if (m.ranks().rank() == 0) out.add_codec<W>(m, memory.values);
    });
    out.demand_same_layout(m.all_ranks());
    return out;
  }

 private:
  /// \param copy (first element of the buffer, how many, where to)
  template <class U, class T, class Space, class Copy>
  void add(parallel::any_model<T, Space> const& m, std::string const& group, bool packed, Copy&& copy) {
    for_each_share(m, packed, [&](nn::parameter const& w, index_box const& box, index_range range, index_t at) {
      auto& to = bytes.emplace_back(static_cast<std::size_t>(range.size()) * sizeof(U));
      copy(at, range.size(), reinterpret_cast<U*>(to.data()));
      parts.push_back({layout.find(group, w.name), box, range, as_span(to)});
    });
  }
  template <class T, class Space>
  void add_masks(parallel::any_model<T, Space> const& m,
                 std::map<std::string, std::vector<io::array_description>> const& groups) {
    auto const at = groups.find(masks_group);
    if (at == groups.end()) return;
    for_each_share(m, false, [&](nn::parameter const& w, index_box const& box, index_range range, index_t) {
      if (std::none_of(at->second.begin(), at->second.end(), [&](auto const& d) { return d.name == w.name; })) return;
      auto const bits = nn::host_mask(m.context(), w);
      auto& to = bytes.emplace_back(static_cast<std::size_t>(range.size()));
      for (index_t i = range.begin; i < range.end; ++i)
        to[static_cast<std::size_t>(i - range.begin)] = std::byte{codec::detail::bit_at(bits.data(), i)};
      parts.push_back({layout.find(masks_group, w.name), box, range, as_span(to)});
    });
  }
  template <class T, class Space>
  void add_steps(parallel::any_model<T, Space> const& m, std::string const& group, steps_by_weight const& steps) {
    for_each_steps(
        m, steps,
        [&](std::string const& name, codec::step_places const& at, codec::learned_steps const& s, bool writes) {
          if (!writes || at.here.size() == 0) return;
          auto const from = std::as_bytes(std::span(s.numbers));
          auto& to = bytes.emplace_back(from.begin(), from.end());
          parts.push_back({layout.find(group, name), at.here, {0, at.here.size()}, as_span(to)});
        });
  }
  /// Every data rank its own row.
  template <class T, class Space> void add_residuals(parallel::any_model<T, Space> const& m) {
    auto const flat = m.gradient_residual();
    for_each_residual(m, [&](nn::parameter const& w, nn::arena_entry const& e) {
      if (!speaks_for(w) || w.size() == 0) return;
      auto const from =
          std::as_bytes(std::span(flat).subspan(static_cast<std::size_t>(e.begin), static_cast<std::size_t>(w.size())));
      auto& to = bytes.emplace_back(from.begin(), from.end());
      parts.push_back({layout.find(residuals_group, w.name),
                       row_of_rank(m.ranks().rank(), w, m.ranks().size()),
                       {0, w.size()},
                       to});
    });
  }
  /// The same on every data rank, of which one speaks.
  template <class W, class T, class Space>
  void add_codec(parallel::any_model<T, Space> const& m, std::map<std::string, std::vector<W>> const& values) {
    nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
      auto const at = values.find(w.name);
      if (w.absent || at == values.end() || at->second.empty() || !speaks_for(w)) return;
      index_t const n = static_cast<index_t>(at->second.size());
      auto const from = std::as_bytes(std::span(at->second));
      auto& to = bytes.emplace_back(from.begin(), from.end());
      parts.push_back({layout.find(codec_group, codec_array(w, w.part)), index_box(extents{n}), {0, n}, to});
    });
  }
  PLEAT_LAZY void add_encoded(encoded_weight& e) {
    for (auto& t : e.content.tensors) {
      if (t.shape.size() == 0) continue;
      auto& to = bytes.emplace_back(std::move(t.bytes));
      parts.push_back(
          {layout.find(encoded_group, e.name + t.suffix), index_box(t.shape), {0, t.shape.size()}, as_span(to)});
    }
  }
  /// Ranks whose networks differ would write over each other.
  PLEAT_ONCE void demand_same_layout(comm::communicator& ranks) const {
    std::string text;
    for (auto const& f : layout.files()) text += f.group + f.header;
    auto const mine = random::hash(text);
    std::vector<std::uint64_t> all(static_cast<std::size_t>(ranks.size()));
    ranks.all_gather(std::span<std::uint64_t const>(&mine, 1), std::span<std::uint64_t>(all));
    for (std::size_t r = 1; r < all.size(); ++r)
      if (all[r] != all[0])
        throw error{"run::save_checkpoint",
                    "rank " + std::to_string(r) + " has other parameters or optimizer state than rank 0",
                    "Transform the network alike on every rank"};
  }
};

}  // namespace pleat::run::detail
