// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Learned steps of weights that train as codes (codec/learned_steps.hpp) in checkpoints: by the index that each has in
/// the whole weight, like masks; and the one by which a weight's inputs are rounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/codec/learned_steps.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/io/checkpoint_layout.hpp>
#include <pleat/io/safetensors.hpp>
#include <pleat/nn/any_weight.hpp>
#include <pleat/parallel/any_model.hpp>

namespace pleat::run::detail {

/// Group names of a checkpoint's files.
inline constexpr char const *steps_group = "steps", *best_steps_group = "best-steps";

/// Under which name the step of a weight's inputs is kept.
[[nodiscard]] inline std::string input_step_name(nn::parameter const& w) { return w.name + "[input]"; }

/// Steps of this rank's parts by weight, and those of their inputs.
using steps_by_weight = std::map<std::string, codec::learned_steps>;

/// Steps that weights of this rank learn: none where nobody trains codes.
template <class T, class Space>
[[nodiscard, gnu::cold]] steps_by_weight learned_steps_of(parallel::any_model<T, Space> const& m) {
  steps_by_weight all;
  nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
    if (w.absent || !w.tied_to.empty()) return;
    if (auto const* s = w.steps()) all.emplace(w.name, *s);
    if (auto const* s = w.input_step()) all.emplace(input_step_name(w), *s);
  });
  return all;
}
/// Puts them back. Weights that it does not name keep theirs.
template <class T, class Space>
[[gnu::cold]] void give_learned_steps(parallel::any_model<T, Space>& m, steps_by_weight const& steps) {
  if (steps.empty()) return;
  m.any_net().for_each_parameter([&](nn::any_weight<T, Space>& w) {
    if (w.absent) return;
    if (auto const at = steps.find(w.name); at != steps.end() && w.steps()) w.set_steps(m.context(), at->second);
    if (auto const at = steps.find(input_step_name(w)); at != steps.end() && w.input_step())
      w.set_input_step(at->second);
  });
}

/// Where the steps of a weight's part lie among those of the whole.
[[nodiscard]] inline codec::step_places places_of(nn::parameter const& w, codec::learned_steps const& s) {
  return codec::places_of_steps(w.whole(), w.box(), s.group);
}
/// Where the one of its inputs lies.
[[nodiscard]] inline codec::step_places place_of_input_step() {
  codec::step_places p{extents{static_cast<index_t>(codec::learned_steps::kinds), 1, 1}, {}};
  p.here = index_box(p.whole);
  return p;
}

/// One array of steps that a weight may have in a checkpoint.
struct step_array {
  std::string name;
  extents shape;  ///< no extents: it learns none
  bool of_inputs;
};
/// The arrays of all learned steps, on whichever rank the weights live, two entries for each parameter in the order of
/// the network: its own and that of its inputs. Collective.
template <class T, class Space>
[[nodiscard, gnu::cold]] std::vector<step_array> step_arrays(parallel::any_model<T, Space> const& m) {
  std::vector<std::int64_t> of_a_row;
  nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
    bool const here = !w.absent && w.tied_to.empty();
    auto const* s = here ? w.steps() : nullptr;
    of_a_row.push_back(s ? places_of(w, *s).whole[2] : 0);
    of_a_row.push_back(here && w.input_step() ? 1 : 0);
  });
  if (!of_a_row.empty()) m.all_ranks().all_reduce(of_a_row, comm::reduction::max);
  std::vector<step_array> all;
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
    index_t const steps = of_a_row[all.size()], inputs = of_a_row[all.size() + 1];
    constexpr auto kinds = static_cast<index_t>(codec::learned_steps::kinds);
    all.push_back({w.name, steps > 0 ? extents{kinds, codec::rows_of(w.whole()), steps} : extents{}, false});
    all.push_back({input_step_name(w), inputs > 0 ? place_of_input_step().whole : extents{}, true});
  });
  return all;
}

/// What arrays of steps a checkpoint gets. \param arrays as step_arrays gives them
PLEAT_ONCE [[nodiscard]] std::vector<io::array_description> describe_steps(std::vector<step_array> const& arrays) {
  std::vector<io::array_description> all;
  for (auto const& a : arrays)
    if (a.shape.rank() > 0) all.push_back({a.name, dtype::f64, a.shape});
  return all;
}

/// f(name, places, steps, whether this rank writes them) for all steps that this rank has of `steps`. One rank of those
/// that have the same writes them: of the data axis the first, of parts that share rows, or inputs, the first.
template <class T, class Space, class F>
void for_each_steps(parallel::any_model<T, Space> const& m, steps_by_weight const& steps, F&& f) {
  nn::for_each_parameter(m.any_net(), [&](nn::parameter const& w) {
    if (w.absent || !w.tied_to.empty()) return;
    bool const first = m.ranks().rank() == 0;
    if (auto const at = steps.find(w.name); at != steps.end()) {
      auto const& s = at->second;
      bool const own = w.parts == 1 || (w.where.shards() && (w.where.dim == 0 || s.group > 0));
      f(at->first, places_of(w, s), s, first && (own || w.part == 0));
    }
    if (auto const at = steps.find(input_step_name(w)); at != steps.end())
      f(at->first, place_of_input_step(), at->second, first && (w.parts == 1 || w.part == 0));
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
                 [&](std::string const& name, codec::step_places const& at, codec::learned_steps const&, bool writes) {
                   auto& s = all.at(name);
                   auto const* array = f.find(name);
                   if (!array) {
                     all.erase(name);
                     return;
                   }
                   index_range const here{0, at.here.size()};
                   io::copy_part(f.bytes(*array), array->shape, sizeof(double), at.here, here,
                                 std::as_writable_bytes(std::span(s.numbers)));
                   if (writes)
                     sums[name] += io::sum_of_part(array->shape, sizeof(double), at.here, here,
                                                   std::as_bytes(std::span<double const>(s.numbers)));
                   try {
                     codec::demand_steps(call.c_str(), s);
                   } catch (error const& e) {
                     throw error{call, "'" + name + "': " + e.problem(), e.remedy()};
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
  index_t without = 0;
  for (auto const& [name, shape, of_inputs] : step_arrays(m)) {
    auto const* const there = f ? f->find(name) : nullptr;
    without += shape.rank() > 0 && !there && !of_inputs;
    if (!there) continue;
    if (shape.rank() == 0)
      throw error{call, "'" + name + "' was saved with learned steps, and has none here",
                  "Load into the model as it was then: model | compress::quantize_aware<…>{} without .train, or with "
                  ".train that resumes"};
    if (there->shape != shape || there->type != dtype::f64)
      throw error{call,
                  "the learned steps of '" + name + "' are " + std::string(name_of(there->type)) + " " +
                      there->shape.to_string() + " there and " + std::string(name_of(dtype::f64)) + " " +
                      shape.to_string() + " here",
                  "Use the form that it was trained for then: quantize_aware<…> with the same groups"};
  }
  return without;
}

}  // namespace pleat::run::detail
