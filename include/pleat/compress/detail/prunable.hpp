// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The weights that a pruning works on: which, their numbers on the host, and their new masks.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/masked.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/detail/convertible.hpp>
#include <pleat/compress/detail/lowest.hpp>

namespace pleat::compress::detail {

/// Throws what some rank has to say, on every rank alike. Collective. \param said empty: nothing is wrong here
template <class T, class Space>
void agree(parallel::any_model<T, Space> const& m, char const* call, std::string const& said, char const* remedy) {
  comm::all_or_none(m.all_ranks(), [&] {
    if (!said.empty()) throw error{call, said, remedy};
  });
}

/// The sum over the ranks that hold different elements: the shards and the parts of a weight, and the stages.
template <class T, class Space> struct sum_of_parts {
  parallel::any_model<T, Space> const* model;
  void operator()(std::vector<std::int64_t>& counts) const {
    if (auto* const shards = model->shards(); shards && shards->size() > 1) shards->all_reduce(counts);
    if (model->parts().size() > 1) model->parts().all_reduce(counts);
    if (model->pipeline().size() > 1) model->pipeline().all_reduce(counts);
  }
};

/// f(weight&) for every weight that can be masked and is not ignored, those of other stages too; with `aloud`, says
/// which are not and why.
template <class T, class Space, class F>
void for_each_prunable(parallel::any_model<T, Space>& m, char const* call, std::vector<std::string> const& ignore,
                       listener const* aloud, F&& f) {
  for_each_able<codec::forms<codec::masked<T>>>(m, call, ignore, aloud,
                                                [&](nn::any_weight<T, Space>& w) -> std::string {
                                                  if (!w.tied_to.empty()) return {};  // pruned under the other name
                                                  if (!w.in_arena) return "its form cannot be pruned";
                                                  f(w);
                                                  return {};
                                                });
}

/// Bits [first, first + n) of a mask, or of one that is all ones if there is none.
PLEAT_ONCE [[nodiscard]] std::vector<std::uint8_t> bits_of_run(std::vector<std::uint8_t> const& all, index_t first,
                                                               index_t n) {
  std::vector<std::uint8_t> bits(static_cast<std::size_t>(codec::detail::bit_bytes(n)), 0);
  for (index_t i = 0; i < n; ++i)
    if (all.empty() || codec::detail::bit_at(all.data(), first + i))
      bits[static_cast<std::size_t>(i / 8)] =
          static_cast<std::uint8_t>(bits[static_cast<std::size_t>(i / 8)] | (1u << (i % 8)));
  return bits;
}
PLEAT_COMPILED_ONCE(std::vector<std::uint8_t> bits_of_run(std::vector<std::uint8_t> const& all, index_t first,
                                                          index_t n));
/// The mask of the whole part, of which every rank of a shard group has a run of bits. Collective over the group.
template <class T>
[[nodiscard]] std::vector<std::uint8_t> join_bits(comm::communicator& ranks, candidate<T> const& c, index_t n) {
  // every bit is set on one rank at most: a sum is a union
  std::vector<std::uint64_t> words(static_cast<std::size_t>((n + 63) / 64), 0);
  for (index_t i = 0; i < c.size(); ++i)
    if (c.alive(i)) words[static_cast<std::size_t>((c.offset + i) / 64)] |= std::uint64_t{1} << ((c.offset + i) % 64);
  if (!words.empty()) ranks.all_reduce(words);
  std::vector<std::uint8_t> bits(static_cast<std::size_t>(codec::detail::bit_bytes(n)));
  for (std::size_t k = 0; k < bits.size(); ++k) bits[k] = static_cast<std::uint8_t>(words[k / 8] >> (k % 8 * 8));
  return bits;
}

/// keep_in_groups where every rank of a shard group has a run of the part's elements. Cuts lie at multiples of
/// nn::shard_grain; where that is no multiple of m they may divide a group, and all ranks of the group look at the
/// scores of the whole part, of one weight at a time.
/// \param shards null where the candidate is the whole part. Collective over them
template <class T> void keep_in_groups(comm::communicator* shards, candidate<T>& c, index_t kept, index_t m) {
  if (!shards || shards->size() == 1 || nn::shard_grain % m == 0) return keep_in_groups(c, kept, m);
  if (c.part == 0) return;
  candidate<T> all;
  all.values.resize(static_cast<std::size_t>(c.part));  // as many, whatever they are
  all.scores.resize(all.values.size());
  std::copy(c.scores.begin(), c.scores.end(), all.scores.begin() + c.offset);
  shards->all_reduce(all.scores);  // every score is one rank's
  all.bits = join_bits(*shards, c, c.part);
  keep_in_groups(all, kept, m);
  c.bits = bits_of_run(all.bits, c.offset, c.size());
}

/// The whole part of a weight, of which every rank of a shard group has a run. Collective over the group.
template <class T, class Space>
[[nodiscard]] candidate<T> whole_part(parallel::any_model<T, Space> const& m, nn::parameter const& w,
                                      candidate<T> const& run) {
  candidate<T> c;
  c.name = run.name;
  c.whole = run.whole;
  c.box = run.box;
  c.first_position = run.first_position;
  c.counts = run.counts;
  c.part = run.part;
  c.values = m.host_values_of(w);
  c.bits = join_bits(*m.shards(), run, run.part);
  return c;
}
/// What became of it becomes the run's.
template <class T> void take_run(candidate<T> const& whole, candidate<T>& run) {
  std::copy_n(whole.values.begin() + run.offset, run.values.size(), run.values.begin());
  run.bits = bits_of_run(whole.bits, run.offset, run.size());
}

/// Their numbers and masks, without scores: what of them lives on this rank.
/// \throws error, on every rank alike, for NaN and infinity, by name, and if there is nothing to prune
template <class T, class Space>
[[nodiscard]] std::vector<candidate<T>> gather(parallel::any_model<T, Space>& m, char const* call,
                                               std::vector<std::string> const& ignore, listener const* aloud) {
  using masked = codec::masked<T>;
  std::vector<candidate<T>> all;
  std::string bad;
  index_t position = 0;
  for_each_prunable(m, call, ignore, aloud, [&](nn::any_weight<T, Space>& w) {
    candidate<T> c;
    c.name = w.name;
    c.whole = w.whole();
    c.box = w.box();
    c.counts = w.parts == 1 || w.where.shards() || w.part == 0;
    c.first_position = std::exchange(position, position + c.whole.size());
    if (!w.absent) {
      auto const here = m.held(w);
      c.offset = here.range.begin;
      c.part = w.size();
      c.values.resize(static_cast<std::size_t>(here.range.size()));
      copy_to_host(m.context(), tensor<T, Space>::wrap(here.values, {here.range.size()}), c.values.data());
      for (std::size_t i = 0; i < c.values.size() && bad.empty(); ++i)
        if (double const v = pleat::detail::number(c.values[i]); !std::isfinite(v))
          bad = "element " + std::to_string(c.place_in_whole(static_cast<index_t>(i))) + " of '" + w.name + "' is " +
                std::to_string(v);
      std::vector<std::uint8_t> mask;
      if (w.template uses<masked>()) mask = masked::mask(m.context(), w.shape, w.storage_of(codec::form_tag<masked>{}));
      c.bits = bits_of_run(mask, here.range.begin, here.range.size());
    }
    all.push_back(std::move(c));
  });
  agree(m, call, bad, "Train again with a lower learning rate");
  if (all.empty())
    throw error{call, "no weight is left to be pruned", "See .ignore, and whether the layers have with_forms"};
  return all;
}

/// The masks become the weights'.
template <class T, class Space>
void encode(parallel::any_model<T, Space>& m, std::vector<std::string> const& ignore,
            std::vector<candidate<T>> const& all) {
  using masked = codec::masked<T>;
  std::size_t next = 0;
  for_each_prunable(m, "", ignore, nullptr, [&](nn::any_weight<T, Space>& w) {
    auto const& c = all[next++];
    w.template use_form<masked>();
    if (w.absent) return;
    auto& s = w.storage_of(codec::form_tag<masked>{});
    if (auto* const shards = m.shards()) {
      masked::keep(m.context(), join_bits(*shards, c, w.size()), s);
      auto values = c.values;
      for (index_t i = 0; i < c.size(); ++i)
        if (!c.alive(i)) values[static_cast<std::size_t>(i)] = T(0);
      copy_from_host(m.context(), values.data(), tensor<T, Space>::wrap(m.held(w).values, {c.size()}));
    } else {
      masked::encode_with_mask(m.context(), w.shape, w.data(), c.bits, s);
    }
  });
  m.refresh_masks();
  if (m.shards()) m.values_changed();
}

/// Living elements of each weight, over all ranks. Collective.
template <class T, class Space>
[[nodiscard]] std::vector<std::int64_t> living(parallel::any_model<T, Space> const& m,
                                               std::vector<candidate<T>> const& all) {
  std::vector<std::int64_t> alive;
  for (auto const& c : all) alive.push_back(c.counts ? codec::detail::count_bits(c.bits) : 0);
  sum_of_parts<T, Space>{&m}(alive);
  return alive;
}

/// Names who lost everything.
template <class T, class Space>
void say_emptied(parallel::any_model<T, Space> const& m, char const* call, listener const& to,
                 std::vector<candidate<T>> const& all) {
  auto const alive = living(m, all);
  for (std::size_t i = 0; i < all.size(); ++i)
    if (alive[i] == 0 && all[i].whole.size() > 0)
      say(m, to,
          std::string(call) + " removed all of '" + all[i].name +
              "'. A lower sparsity, .scope = scope::layer or .ignore keeps the layer alive");
}

}  // namespace pleat::compress::detail
