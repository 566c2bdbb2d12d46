// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Learned steps of weights that train as codes (codec/learned_steps.hpp) in checkpoints: by the index that each has in
/// the whole weight, like masks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/codec/learned_steps.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/io/checkpoint_layout.hpp>
#include <pleat/io/safetensors.hpp>
#include <pleat/nn/any_weight.hpp>
#include <pleat/parallel/any_model.hpp>

namespace pleat::run::detail {

/// Group names of a checkpoint's files.
inline constexpr char const *steps_group = "steps", *best_steps_group = "best-steps";

/// Steps of this rank's parts by weight.
using steps_by_weight = std::map<std::string, codec::learned_steps>;

/// Steps that weights of this rank learn: none where nobody trains codes.
template <class T, class Space>
[[nodiscard, gnu::cold]] steps_by_weight learned_steps_of(parallel::any_model<T, Space> const& m) {
  steps_by_weight all;
  nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
    if (auto const* s = w.absent || !w.tied_to.empty() ? nullptr : w.steps()) all.emplace(w.name, *s);
  });
  return all;
}
/// Puts them back. Weights that it does not name keep theirs.
template <class T, class Space>
[[gnu::cold]] void give_learned_steps(parallel::any_model<T, Space>& m, steps_by_weight const& steps) {
  if (steps.empty()) return;
  m.any_net().for_each_parameter([&](nn::any_weight<T, Space>& w) {
    auto const at = steps.find(w.name);
    if (at != steps.end() && !w.absent && w.steps()) w.set_steps(m.context(), at->second);
  });
}

/// Where the steps of a weight's part lie among those of the whole.
[[nodiscard]] inline codec::step_places places_of(nn::parameter const& w, codec::learned_steps const& s) {
  return codec::places_of_steps(w.whole(), w.box(), s.group);
}

/// One rank of those that have the same steps writes them: of the data axis the first, of parts that share rows the
/// first.
template <class T, class Space>
[[nodiscard]] bool writes_steps(parallel::any_model<T, Space> const& m, nn::parameter const& w,
                                codec::learned_steps const& s) {
  bool const own = w.parts == 1 || (w.where.shards() && (w.where.dim == 0 || s.group > 0));
  return m.ranks().rank() == 0 && (own || w.part == 0);
}

/// The arrays of all learned steps, on whichever rank the weights live, one entry for each parameter in the order of
/// the network: a shape of no extents for those that learn none. Collective.
template <class T, class Space>
[[nodiscard, gnu::cold]] std::vector<extents> step_arrays(parallel::any_model<T, Space> const& m) {
  std::vector<std::int64_t> of_a_row;
  nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
    auto const* s = w.absent || !w.tied_to.empty() ? nullptr : w.steps();
    of_a_row.push_back(s ? places_of(w, *s).whole[2] : 0);
  });
  if (!of_a_row.empty()) m.all_ranks().all_reduce(of_a_row, comm::reduction::max);
  std::vector<extents> all;
  std::size_t next = 0;
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
    index_t const steps = of_a_row[next++];
    all.push_back(steps > 0
                      ? extents{static_cast<index_t>(codec::learned_steps::kinds), codec::rows_of(w.whole()), steps}
                      : extents{});
  });
  return all;
}

/// What arrays of steps a checkpoint gets. \param arrays as step_arrays gives them
template <class T, class Space>
[[nodiscard, gnu::cold]] std::vector<io::array_description> describe_steps(parallel::any_model<T, Space> const& m,
                                                                           std::vector<extents> const& arrays) {
  std::vector<io::array_description> all;
  std::size_t next = 0;
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
    if (auto const& shape = arrays[next++]; shape.rank() > 0) all.push_back({w.name, dtype::f64, shape});
  });
  return all;
}

/// f(parameter, its places, its steps) for all steps that this rank has of `steps`.
template <class T, class Space, class F>
void for_each_steps(parallel::any_model<T, Space> const& m, steps_by_weight const& steps, F&& f) {
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
    auto const at = steps.find(w.name);
    if (at != steps.end() && !w.absent && w.tied_to.empty()) f(w, places_of(w, at->second), at->second);
  });
}

/// This rank's steps out of a checkpoint's file, for the weights that learn some here. \param sums what this rank adds
/// to the checksums Not collective. \throws error for numbers that no step has
template <class T, class Space>
[[nodiscard, gnu::cold]] steps_by_weight read_steps(parallel::any_model<T, Space> const& m, std::string const& call,
                                                    io::safetensors_file const& f,
                                                    std::map<std::string, std::uint64_t>& sums) {
  auto all = learned_steps_of(m);
  for_each_steps(m, steps_by_weight(all),
                 [&](nn::parameter const& w, codec::step_places const& at, codec::learned_steps const&) {
                   auto& s = all.at(w.name);
                   auto const* array = f.find(w.name);
                   if (!array) {
                     all.erase(w.name);
                     return;
                   }
                   index_range const here{0, at.here.size()};
                   io::copy_part(f.bytes(*array), array->shape, sizeof(double), at.here, here,
                                 std::as_writable_bytes(std::span(s.numbers)));
                   if (writes_steps(m, w, s))
                     sums[w.name] += io::sum_of_part(array->shape, sizeof(double), at.here, here,
                                                     std::as_bytes(std::span<double const>(s.numbers)));
                   try {
                     codec::demand_steps(call.c_str(), s);
                   } catch (error const& e) {
                     throw error{call, "'" + w.name + "': " + e.problem(), e.remedy()};
                   }
                 });
  return all;
}

/// Learned steps in a checkpoint must be those of a weight that learns as many here. Collective. \param f null: it has
/// none
/// \returns weights that learn steps here, of which it has none \throws error on every rank alike
template <class T, class Space>
[[gnu::cold]] index_t demand_same_steps(parallel::any_model<T, Space> const& m, std::string const& call,
                                        io::safetensors_file const* f) {
  auto const here = step_arrays(m);
  std::size_t next = 0;
  index_t without = 0;
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
    auto const& shape = here[next++];
    auto const* const there = f ? f->find(w.name) : nullptr;
    without += shape.rank() > 0 && !there;
    if (!there) return;
    if (shape.rank() == 0)
      throw error{call, "'" + w.name + "' was saved with learned steps, and has none here",
                  "Load into the model as it was then: model | compress::quantize_aware<…>{} without .train, or with "
                  ".train that resumes"};
    if (there->shape != shape || there->type != dtype::f64)
      throw error{call,
                  "the learned steps of '" + w.name + "' are " + std::string(name_of(there->type)) + " " +
                      there->shape.to_string() + " there and " + std::string(name_of(dtype::f64)) + " " +
                      shape.to_string() + " here",
                  "Use the form that it was trained for then: quantize_aware<…> with the same groups"};
  });
  return without;
}

}  // namespace pleat::run::detail
