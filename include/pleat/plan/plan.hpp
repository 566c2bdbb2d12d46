// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The plan: how one step of training is laid out over ranks, as a value that prints, compares, hashes and travels in a
/// file. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/random.hpp>
#include <pleat/plan/detail/words.hpp>
#include <pleat/plan/recompute.hpp>
#include <pleat/plan/state_group.hpp>
#include <pleat/tensor/extents.hpp>
#include <pleat/tensor/mesh.hpp>

namespace pleat::plan {

/// Smallest power of two ≥ n.
[[nodiscard]] constexpr index_t power_of_two_above(index_t n) noexcept {
  return static_cast<index_t>(std::bit_ceil(static_cast<std::uint64_t>(std::max<index_t>(n, 1))));
}

/// What layers compute in; f32 is the masters' type.
enum class compute_precision : std::uint8_t { f32, bf16, f16 };
/// What gradients travel as: as they are, or in 16 bits (sums stay in float).
enum class wire_format : std::uint8_t { same, bf16 };

inline constexpr std::array<std::string_view, 3> precision_names{"f32", "bf16", "f16"};
inline constexpr std::array<std::string_view, 2> wire_names{"same", "bf16"};
/// The schedules that the library makes itself (plan/schedules.hpp).
inline constexpr std::array<std::string_view, 7> known_schedules{"gpipe", "1f1b", "interleaved", "zb-h1",
                                                                 "zb-h2", "zb-v", "dualpipe-v"};
/// A schedule of the user's own is called by the hash of its text: "csv:" and 16 hexadecimal digits, so that plans can
/// be compared.
inline constexpr std::string_view own_schedule_prefix = "csv:";

[[nodiscard]] constexpr std::string_view name_of(compute_precision p) noexcept {
  return precision_names[static_cast<std::size_t>(p)];
}
[[nodiscard]] constexpr std::string_view name_of(wire_format w) noexcept {
  return wire_names[static_cast<std::size_t>(w)];
}

/// The order of a model's axes where nothing is said: those are neighbours who talk most.
inline constexpr std::string_view default_order = "pipeline.data.tensor";

/// Every decision that all ranks must share. Members that the file does not name keep their defaults, so older files
/// stay readable.
struct plan {
  index_t global_batch = 64;   ///< samples per step, over all ranks and micro-batches
  index_t data_ranks = 1;      ///< extent of the mesh's data axis: replicas that share the batch
  index_t tensor_ranks = 1;    ///< extent of the mesh's tensor axis: ranks that share every layer
  index_t pipeline_ranks = 1;  ///< extent of the mesh's pipeline axis: ranks that share the layers out
  /// the mesh's axes, outermost first: who is next to each other along the last one has neighbouring ranks
  std::string order{default_order};
  /// axes of one's own whose ranks share the batch as those of data do, "node=2,rack=3". data_ranks counts them: it is
  /// their product times the mesh's data axis
  std::string own_axes{};
  /// what a pipeline's ranks compute when: one of known_schedules, or own_schedule_prefix and a hash
  std::string schedule = "1f1b";
  /// stages per pipeline rank; 0: what the schedule asks for (2 for interleaved and the V shapes, else 1)
  index_t chunks = 0;
  std::vector<index_t> cuts{};  ///< first unit of each stage but the first, stages() − 1 of them; empty: cut by cost
  /// most micro-batches whose activations a pipeline rank may hold at once, counted per stage; 0: any. A schedule that
  /// needs more is refused before step 1
  index_t max_activations = 0;
  /// forward/backward walks per step and rank; gradients are exchanged after the last, but after each in fast mode at
  /// state stages 2 and 3 without a pipeline
  index_t micro_batches = 1;
  /// sharded over the data axis: 0 nothing, 1 optimizer state, 2 gradients too, 3 parameters too
  int state_stage = 0;
  index_t state_ranks = 0;       ///< data ranks that share one copy of the state; 0: all of them
  index_t state_stride = 1;      ///< data ranks from one of those to the next; 1: neighbours
  index_t prefetch = 1;          ///< state stage 3: units whose parameters are gathered ahead
  recompute_choice recompute{};  ///< what backward finds of each unit
  compute_precision precision = compute_precision::f32;  ///< what layers compute in
  wire_format wire = wire_format::same;                  ///< what gradients travel as
  bool deterministic = false;                            ///< the same bits on every number of data ranks (lanes)
  /// deterministic: into how many lanes the global batch is cut; a power of two ≥ data_ranks
  index_t lanes = 8;
  bool overlap = true;             ///< exchange gradients while backward still runs
  index_t bucket_bytes = 1 << 19;  ///< gradients are exchanged in pieces of about this size

  friend bool operator==(plan const&, plan const&) = default;

  /// The mesh that the ranks are: axes pipeline, one's own, data and tensor, listed like that whatever the order. So
  /// groups of ranks count, and sums add, in one way under every order. \throws error for an order or axes of one's own
  /// that are none
  PLEAT_ONCE [[nodiscard]] pleat::mesh mesh() const {
    std::vector<pleat::mesh::axis> axes{{"pipeline", static_cast<int>(pipeline_ranks)}};
    std::string listed = "pipeline";
    auto const own = [&] {
      try {
        return pleat::mesh::parse(own_axes);
      } catch (error const& e) {
        throw error{"plan", "mesh.own = " + own_axes + ": " + e.problem(),
                    "Use mesh.own = none, or axes and extents as in 'node=2,rack=3'"};
      }
    }();
    for (int i = 0; i < own.axes(); ++i) {
      std::string const name(own[i].name.view());
      if (name == "data" || name == "tensor" || name == "pipeline")
        throw error{"plan",
                    "mesh.own = " + own_axes + " names '" + name +
                        "', which a model has by itself: its ranks are in mesh." + name,
                    "Use mesh.own = " + without(own, i) + ", and say mesh." + name +
                        " for all its ranks; or call the axis otherwise"};
      axes.push_back(own[i]), listed += "." + name;
    }
    if (pleat::mesh(std::span<pleat::mesh::axis const>(axes).subspan(1)).to_string() != own_axes)
      throw error{"plan", "mesh.own = " + own_axes + " says more than axes and their extents",
                  "Say the order in mesh.order"};
    if (data_ranks % own.size() != 0)
      throw error{"plan",
                  "the axes of one's own, " + own_axes +
                      ", share the batch: they are counted in mesh.data, which their product " +
                      std::to_string(own.size()) + " must divide; found " + std::to_string(data_ranks),
                  "Use mesh.data = " + std::to_string((data_ranks / own.size() + 1) * own.size())};
    axes.push_back({"data", static_cast<int>(data_ranks / own.size())});
    axes.push_back({"tensor", static_cast<int>(tensor_ranks)});
    listed += ".data.tensor";
    std::string names = order;
    for (char& c : names)
      if (c == '.') c = ',';
    pleat::mesh const m(std::span<pleat::mesh::axis const>(axes.data(), axes.size()));
    try {
      return m.ordered(names);
    } catch (error const& e) {
      throw error{"plan", "mesh.order = " + order + " does not name each axis of the mesh once: " + e.problem(),
                  "Use mesh.order = " + listed + ", outermost first, or these in another order"};
    }
  }

  /// Takes extents and order of a mesh; of data, tensor and pipeline, those that it does not name have one rank.
  /// \param own which of its axes are one's own and share the batch as data does: "node,rack"
  /// \throws error for any other axis
  PLEAT_ONCE void set_mesh(pleat::mesh const& m, std::string_view own = {}) {
    data_ranks = tensor_ranks = pipeline_ranks = 1;
    own_axes.clear();
    axis_set const mine = m.set(own);
    std::vector<std::string> listed{"pipeline"}, wide;
    for (int i = 0; i < m.axes(); ++i) {
      std::string const name(m[i].name.view());
      if (name == "tensor") {
        tensor_ranks = m.extent(i);
      } else if (name == "pipeline") {
        pipeline_ranks = m.extent(i);
      } else {
        if (name != "data" && !mine.contains(i))
          throw error{"plan::set_mesh", "a model has no axis '" + name + "'; it has data, tensor and pipeline",
                      "Leave it out; or, if its ranks are to share the batch as those of data do, name it as an axis "
                      "of your own: set_mesh(mesh, \"" +
                          name + "\")"};
        data_ranks *= m.extent(i);
        if (name == "data") continue;
        own_axes += (own_axes.empty() ? "" : ",") + name + "=" + std::to_string(m.extent(i));
        listed.push_back(name);
      }
    }
    listed.insert(listed.end(), {"data", "tensor"});
    for (int stride = m.size(); stride > 0;) {  // outermost first; an axis of one rank may be anywhere
      int next = 0;
      for (int i = 0; i < m.axes(); ++i)
        if (m.extent(i) > 1 && m.stride(i) < stride && m.stride(i) > next) next = m.stride(i);
      for (int i = 0; i < m.axes(); ++i)
        if (m.extent(i) > 1 && m.stride(i) == next) wide.emplace_back(m[i].name.view());
      stride = next;
    }
    std::vector<std::string> all;  // as listed, if that is the order of the wide ones; else those of one rank first
    for (auto const& name : listed)
      if (std::find(wide.begin(), wide.end(), name) != wide.end()) all.push_back(name);
    if (all == wide) {
      all = listed;
    } else {
      all.clear();
      for (auto const& name : listed)
        if (std::find(wide.begin(), wide.end(), name) == wide.end()) all.push_back(name);
      all.insert(all.end(), wide.begin(), wide.end());
    }
    order.clear();
    for (auto const& name : all) order += (order.empty() ? "" : ".") + name;
  }

  /// Ranks of the whole mesh.
  [[nodiscard]] index_t ranks() const noexcept { return pipeline_ranks * data_ranks * tensor_ranks; }
  /// Stages that each pipeline rank holds.
  [[nodiscard]] index_t chunks_per_rank() const noexcept { return chunks > 0 ? chunks : default_chunks(schedule); }
  /// Stages of the whole pipeline.
  [[nodiscard]] index_t stages() const noexcept { return pipeline_ranks * chunks_per_rank(); }
  /// Stages per rank where nothing is said.
  [[nodiscard]] static index_t default_chunks(std::string_view schedule) noexcept {
    return schedule == "interleaved" || schedule == "zb-v" || schedule == "dualpipe-v" ? 2 : 1;
  }

  /// The data ranks that divide one copy of what is sharded; each holds a copy of its own where nothing is.
  [[nodiscard]] state_group sharing() const noexcept {
    if (state_stage == 0) return {};
    return {state_ranks > 0 ? state_ranks : data_ranks, state_stride};
  }

  /// The entries of the plan in file order.
  PLEAT_ONCE [[nodiscard]] std::vector<std::pair<std::string, std::string>> entries() const;

  /// The file format: a first line that names it, then "key = value" per line.
  PLEAT_ONCE [[nodiscard]] std::string to_string() const;

  /// A plan from its text. \param carried_out it is to be: check() it. A plan that is only looked at may come from a
  /// version that refused less
  /// \throws error with the line for anything that it does not understand
  PLEAT_ONCE [[nodiscard]] static plan parse(std::string_view text, bool carried_out = true) {
    plan p;
    std::vector<index_t> units;  // of older files: those that `recompute` is said of
    std::vector<std::string_view> seen;
    int number = 0;
    while (!text.empty()) {
      auto const stop = std::min(text.find('\n'), text.size());
      std::string_view const line = text.substr(0, stop);
      text.remove_prefix(std::min(stop + 1, text.size()));
      if (++number == 1) {
        if (line != "pleat plan 1")
          throw error{"plan::parse",
                      "the first line must be 'pleat plan 1', found '" + std::string(line.substr(0, 40)) + "'",
                      "This is no plan, or one of a newer version"};
        continue;
      }
      if (line.empty()) continue;
      auto const equals = line.find(" = ");
      if (equals == std::string_view::npos)
        throw error{
            "plan::parse",
            "line " + std::to_string(number) + " is not 'key = value': '" + std::string(line.substr(0, 80)) + "'",
            "Write it as in 'mesh.data = 2', or leave the line out"};
      auto const key = line.substr(0, equals), value = line.substr(equals + 3);
      if (std::find(seen.begin(), seen.end(), key) != seen.end())
        throw error{"plan::parse", "line " + std::to_string(number) + " says '" + std::string(key) + "' a second time",
                    "Leave one of them out"};
      seen.push_back(key);
      if (key == "global_batch") p.global_batch = detail::parse_integer(key, value, number);
      else if (key == "mesh.data") p.data_ranks = detail::parse_integer(key, value, number);
      else if (key == "mesh.tensor") p.tensor_ranks = detail::parse_integer(key, value, number);
      else if (key == "mesh.pipeline") p.pipeline_ranks = detail::parse_integer(key, value, number);
      else if (key == "mesh.order") p.order = std::string(value);
      else if (key == "mesh.own") p.own_axes = value == "none" ? std::string() : std::string(value);
      else if (key == "schedule") p.schedule = std::string(value);
      else if (key == "chunks") p.chunks = detail::parse_integer(key, value, number);
      else if (key == "cuts") p.cuts = detail::parse_list(key, value, "by cost", number);
      else if (key == "max_activations") p.max_activations = detail::parse_integer(key, value, number);
      else if (key == "state_stage") p.state_stage = detail::parse_int(key, value, number);
      else if (key == "state_ranks") p.state_ranks = detail::parse_integer(key, value, number);
      else if (key == "state_stride") p.state_stride = detail::parse_integer(key, value, number);
      else if (key == "prefetch") p.prefetch = detail::parse_integer(key, value, number);
      else if (key == "recompute") p.recompute = parse_recompute(value, number);
      else if (key == "recompute_units") units = detail::parse_list(key, value, "all", number);
      else if (key == "precision")
        p.precision = detail::parse_choice<compute_precision>(key, value, number, precision_names);
      else if (key == "wire") p.wire = detail::parse_choice<wire_format>(key, value, number, wire_names);
      else if (key == "micro_batches") p.micro_batches = detail::parse_integer(key, value, number);
      else if (key == "deterministic") p.deterministic = detail::parse_truth(key, value, number);
      else if (key == "lanes") p.lanes = detail::parse_integer(key, value, number);
      else if (key == "overlap") p.overlap = detail::parse_truth(key, value, number);
      else if (key == "bucket_bytes") p.bucket_bytes = detail::parse_integer(key, value, number);
      else
        throw error{"plan::parse",
                    "line " + std::to_string(number) + ": '" + std::string(key) + "' is no entry of a plan",
                    "It may come from a newer version"};
    }
    if (number == 0) throw error{"plan::parse", "the text is empty", "The first line of a plan is 'pleat plan 1'"};
    if (!units.empty() && (carried_out || p.recompute.last() < 0))
      p.recompute = of_units(p.recompute, units, carried_out);
    if (carried_out) p.check();
    return p;
  }

  /// What two plans disagree about, as "key: a | b" lines; empty if they are equal.
  PLEAT_ONCE [[nodiscard]] std::string difference(plan const& other) const {
    auto const a = entries(), b = other.entries();
    std::string text;
    for (std::size_t i = 0; i < a.size(); ++i)
      if (a[i].second != b[i].second) text += a[i].first + ": " + a[i].second + " | " + b[i].second + "\n";
    return text;
  }

  /// 64 bits of the text: all ranks compare it before step 1.
  PLEAT_LAZY [[nodiscard]] std::uint64_t hash() const { return random::hash(to_string()); }

  /// \throws error for a plan that cannot be carried out
  PLEAT_ONCE void check() const;

 private:
  PLEAT_ONCE [[nodiscard]] static recompute_choice parse_recompute(std::string_view value, int line) {
    try {
      return recompute_choice::parse(value);
    } catch (error const& e) {
      throw error{"plan::parse", "line " + std::to_string(line) + ": 'recompute': " + e.problem(), e.remedy()};
    }
  }
  /// What an older file says in two entries: a mode, and the units that have it.
  PLEAT_ONCE [[nodiscard]] static recompute_choice of_units(recompute_choice const& all,
                                                            std::vector<index_t> const& units, bool carried_out) {
    if (!carried_out) return {all.rest(), units};
    std::string const text = list_text(units, "all");
    for (std::size_t i = 0; i < units.size(); ++i)
      if (units[i] < 0 || (i > 0 && units[i] <= units[i - 1]))
        throw error{"plan", "recompute_units must ascend from 0, found '" + text + "'",
                    "Name every unit once, or none for all"};
    if (all == recompute_choice{} || all.last() >= 0)
      throw error{"plan", "recompute_units = " + text + ", but recompute = " + all.to_string(),
                  all.last() >= 0 ? "Use recompute_units = all, or recompute = selected or full for those units alone"
                                  : "Say recompute = selected or full, what those units shall do"};
    return {all.rest(), units};
  }

  /// The axes but one, as mesh.own says them.
  PLEAT_ONCE [[nodiscard]] static std::string without(pleat::mesh const& own, int left_out) {
    std::string text;
    for (int i = 0; i < own.axes(); ++i)
      if (i != left_out)
        text += (text.empty() ? "" : ",") + std::string(own[i].name.view()) + "=" + std::to_string(own.extent(i));
    return text.empty() ? "none" : text;
  }

  static constexpr index_t most = std::numeric_limits<std::int32_t>::max();

  PLEAT_ONCE [[nodiscard]] static std::string list_text(std::vector<index_t> const& numbers, char const* none) {
    std::string text;
    for (index_t const c : numbers) {
      if (!text.empty()) text += ' ';
      text += std::to_string(c);
    }
    return text.empty() ? none : text;
  }

  PLEAT_ONCE void check_pipeline() const {
    bool const own = schedule.starts_with(own_schedule_prefix);
    if (!own && std::find(known_schedules.begin(), known_schedules.end(), schedule) == known_schedules.end())
      throw error{"plan", "there is no schedule '" + schedule + "'; there are " + detail::choices(known_schedules),
                  "Use schedule = " + std::string(detail::nearest(schedule, known_schedules))};
    if (chunks < 0)
      throw error{"plan", "chunks must not be negative, found " + std::to_string(chunks),
                  "Use chunks = 0 for what the schedule asks for"};
    bool const two = schedule == "zb-v" || schedule == "dualpipe-v";
    if (!own && schedule != "interleaved" && chunks > 0 && chunks != default_chunks(schedule))
      throw error{"plan",
                  "schedule " + schedule + " has " + (two ? "two stages" : "one stage") +
                      " per rank, found chunks = " + std::to_string(chunks),
                  two ? "Use chunks = 2" : "Use chunks = 1, or schedule = interleaved"};
    if (max_activations < 0)
      throw error{"plan", "max_activations must not be negative, found " + std::to_string(max_activations),
                  "Use max_activations = 0 to hold as many as the schedule needs"};
    if (cuts.empty()) return;
    if (static_cast<index_t>(cuts.size()) != stages() - 1)
      throw error{"plan",
                  std::to_string(stages()) + " stages (" + std::to_string(pipeline_ranks) + " pipeline ranks of " +
                      std::to_string(chunks_per_rank()) + (chunks_per_rank() == 1 ? " stage" : " stages") + ") have " +
                      std::to_string(stages() - 1) + " cuts between them, found " + std::to_string(cuts.size()),
                  "Leave cuts empty to cut by cost"};
    for (std::size_t i = 0; i < cuts.size(); ++i)
      if (cuts[i] < (i == 0 ? 0 : cuts[i - 1]))
        throw error{
            "plan",
            "cuts must not descend (each is the first unit of a stage), found '" + list_text(cuts, "by cost") + "'",
            "Two equal cuts make a stage without units"};
  }
};

template <class> std::vector<std::pair<std::string, std::string>> plan::entries() const {
  std::vector<std::pair<std::string, std::string>> all;
  auto const say = [&](char const* key, std::string value) { all.emplace_back(key, std::move(value)); };
  say("global_batch", std::to_string(global_batch));
  say("mesh.data", std::to_string(data_ranks));
  say("mesh.tensor", std::to_string(tensor_ranks));
  say("mesh.pipeline", std::to_string(pipeline_ranks));
  say("mesh.order", order);
  say("mesh.own", own_axes.empty() ? "none" : own_axes);
  say("schedule", schedule);
  say("chunks", std::to_string(chunks));
  say("cuts", list_text(cuts, "by cost"));
  say("max_activations", std::to_string(max_activations));
  say("micro_batches", std::to_string(micro_batches));
  say("state_stage", std::to_string(state_stage));
  say("state_ranks", std::to_string(state_ranks));
  say("state_stride", std::to_string(state_stride));
  say("prefetch", std::to_string(prefetch));
  say("recompute", recompute.to_string());
  say("precision", std::string(name_of(precision)));
  say("wire", std::string(name_of(wire)));
  say("deterministic", deterministic ? "true" : "false");
  say("lanes", std::to_string(lanes));
  say("overlap", overlap ? "true" : "false");
  say("bucket_bytes", std::to_string(bucket_bytes));
  return all;
}
PLEAT_COMPILED_ONCE(std::vector<std::pair<std::string, std::string>> plan::entries() const);

template <class> std::string plan::to_string() const {
  std::string text = "pleat plan 1\n";
  for (auto const& [key, value] : entries()) text += key + " = " + value + "\n";
  return text;
}
PLEAT_COMPILED_ONCE(std::string plan::to_string() const);

template <class> void plan::check() const {
  auto positive = [](char const* what, index_t n) {
    if (n < 1)
      throw error{"plan", std::string(what) + " must be at least 1, found " + std::to_string(n),
                  "Use " + std::string(what) + " = 1 or more"};
  };
  // Counts that others hold in 32 bits, and whose products are formed.
  auto countable = [](std::string const& what, index_t n) {
    if (n > most)
      throw error{"plan", what + " must be at most " + std::to_string(most) + ", found " + std::to_string(n),
                  "Choose a number of ranks, stages or walks that a machine can have"};
  };
  positive("global_batch", global_batch);
  positive("bucket_bytes", bucket_bytes);
  for (auto const& [what, n] : {std::pair{"mesh.data", data_ranks},
                                {"mesh.tensor", tensor_ranks},
                                {"mesh.pipeline", pipeline_ranks},
                                {"micro_batches", micro_batches}})
    positive(what, n), countable(what, n);
  countable("chunks", chunks);
  countable("prefetch", prefetch);
  auto const times = [](index_t a, index_t b) { return a > most / b ? most + 1 : a * b; };  // of numbers up to `most`
  if (times(times(pipeline_ranks, data_ranks), tensor_ranks) > most)
    throw error{"plan",
                "a mesh has at most " + std::to_string(most) + " ranks, found mesh.pipeline " +
                    std::to_string(pipeline_ranks) + " × mesh.data " + std::to_string(data_ranks) + " × mesh.tensor " +
                    std::to_string(tensor_ranks),
                "Choose extents whose product is the number of ranks"};
  static_cast<void>(mesh());
  if (chunks > 0 && times(pipeline_ranks, chunks) > most)
    throw error{"plan",
                "a pipeline has at most " + std::to_string(most) + " stages, found " + std::to_string(pipeline_ranks) +
                    " ranks × " + std::to_string(chunks) + " chunks",
                "Use chunks = 0 for what the schedule asks for"};
  if (deterministic && data_ranks > 64)
    throw error{"plan",
                "deterministic mode cuts the batch into at most 64 lanes, at least one per data rank; found " +
                    std::to_string(data_ranks) + " data ranks",
                "Use deterministic = false, or at most 64 data ranks"};
  if (deterministic && (lanes < data_ranks || lanes > 64 || !std::has_single_bit(static_cast<std::uint64_t>(lanes))))
    throw error{"plan",
                "deterministic mode cuts the batch into a power of two of lanes, at least one per data rank and at "
                "most 64; found lanes = " +
                    std::to_string(lanes) + " for " + std::to_string(data_ranks) + " ranks",
                "Use lanes = " + std::to_string(power_of_two_above(std::clamp<index_t>(lanes, data_ranks, 64)))};
  check_pipeline();
  if (state_stage < 0 || state_stage > 3)
    throw error{"plan",
                "state_stage must be 0 (nothing sharded), 1 (optimizer state), 2 (gradients too) or 3 (parameters "
                "too), found " +
                    std::to_string(state_stage),
                "Use state_stage = " + std::to_string(state_stage < 0 ? 0 : 3)};
  state_group::check(state_ranks, state_stride, data_ranks, state_stage);
  if (deterministic && wire != wire_format::same)
    throw error{"plan",
                "wire = bf16 rounds what each rank has summed, so bits would change with the number of ranks, which "
                "deterministic mode refuses",
                "Use wire = same, or leave deterministic mode"};
  if (prefetch < 0)
    throw error{"plan", "prefetch must not be negative, found " + std::to_string(prefetch),
                "Use prefetch = 0 to gather when a unit begins"};
}
PLEAT_COMPILED_ONCE(void plan::check() const);

/// A model's mesh from its text, as mesh::parse reads it, with two rules more. The data axis, where it is not named,
/// has the ranks that are left. Where no order is said, pipeline is outermost wherever it is listed, as its ranks talk
/// least; of the others the one listed last is innermost, as in any mesh. So "data=2,tensor=2,pipeline=2" has tensor
/// innermost, "tensor=2,data=2" data; "…,order=data.pipeline.tensor" says it.
/// \throws error as mesh::parse does
PLEAT_ONCE [[nodiscard]] pleat::mesh model_mesh(std::string_view text, int ranks) {
  auto const names = [&](std::string const& what) {
    return text.starts_with(what) || text.find("," + what) != std::string_view::npos;
  };
  auto const m = pleat::mesh::parse((names("data=") ? ""
                                     : text.empty() ? "data=*"
                                                    : "data=*,") +
                                        std::string(text),
                                    ranks);
  int const pipeline = m.find("pipeline");
  if (pipeline < 0 || names("order=")) return m;
  std::string order = "pipeline";
  for (int i = 0; i < m.axes(); ++i)
    if (i != pipeline) order += "," + std::string(m[i].name.view());
  return m.ordered(order);
}

}  // namespace pleat::plan
