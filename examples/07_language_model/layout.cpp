// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "layout.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <pleat/tensor/mesh.hpp>

#include "sizes.hpp"

namespace gpt {
namespace {

constexpr std::array<std::string_view, 3> axes{"data", "tensor", "pipeline"};

/// f(part) of "part,part".
template <class F> void for_each_part(std::string_view text, F const& f) {
  while (!text.empty()) {
    auto const stop = std::min(text.find(','), text.size());
    f(text.substr(0, stop));
    text.remove_prefix(std::min(stop + 1, text.size()));
  }
}

/// An axis that is not known is told before anything is counted: its ranks would be too many, or too few.
void demand_axes(std::string_view text, std::string const* own) {
  for_each_part(text, [&](std::string_view part) {
    auto const equals = part.find('=');
    auto const name = part.substr(0, equals);
    if (equals == part.npos || name == "order" || std::find(axes.begin(), axes.end(), name) != axes.end()) return;
    bool shares = false;
    if (own) for_each_part(*own, [&](std::string_view mine) { shares = shares || mine == name; });
    if (shares || name.empty()) return;
    auto const begun = std::find_if(axes.begin(), axes.end(), [&](std::string_view a) { return a.starts_with(name); });
    std::string const shown(name.substr(0, 40));
    throw pl::error{
        "--mesh", "there is no axis '" + shown + "'; there are " + pl::plan::detail::choices(axes),
        "Use " + std::string(begun != axes.end() ? *begun : pl::plan::detail::nearest(name, axes)) +
            std::string(part.substr(equals, 20)) +
            (own ? "; or --data-axes " + shown + " beside it, if its ranks are to share the batch as those of data do"
                 : std::string())};
  });
}

/// \param own axes of the user's own that share the batch, as in "node,rack"; null in a program that takes none
[[nodiscard]] pl::mesh parse_mesh(std::string const& text, std::string const* own, int ranks) {
  demand_axes(text, own);
  auto const m = [&] {
    try {
      return pl::plan::model_mesh(text, ranks);
    } catch (pl::error const& e) {
      throw pl::error{"--mesh", e.problem(), e.remedy()};
    }
  }();
  try {
    (void)m.set(own ? *own : "");
  } catch (pl::error const& e) {
    throw pl::error{"--data-axes", e.problem(), e.remedy()};
  }
  return m;
}
[[nodiscard]] pl::index_t extent(pl::mesh const& m, std::string_view axis) {
  return m.find(axis) < 0 ? 1 : m.extent(axis);
}
[[nodiscard]] std::string in_words(pl::index_t data, pl::index_t tensor, pl::index_t pipeline) {
  return "data=" + std::to_string(data) + ",tensor=" + std::to_string(tensor) + ",pipeline=" + std::to_string(pipeline);
}

/// An enumeration by its name.
template <class E, std::size_t N>
[[nodiscard]] E choice(std::string const& option, std::string const& value,
                       std::array<std::string_view, N> const& names) {
  for (std::size_t i = 0; i < N; ++i)
    if (names[i] == value) return static_cast<E>(i);
  throw pl::error{option, "there is no '" + value + "'; there are " + pl::plan::detail::choices(names),
                  "Use " + option + " " + std::string(pl::plan::detail::nearest(value, names))};
}

/// More data ranks than lanes. More lanes are other bits, so nobody chooses them but the user.
[[noreturn]] void refuse_lanes(options const& o, pl::index_t data, pl::index_t pipeline) {
  pl::index_t fits = 1;  // the most data ranks that these ranks can have
  for (pl::index_t d = 2; d <= o.lanes; ++d)
    if (data % d == 0) fits = d;
  auto const lanes = std::to_string(o.lanes), more = std::to_string(pl::plan::power_of_two_above(data));
  throw pl::error{"--deterministic",
                  "a batch of " + lanes + " lanes is shared out to at most " + lanes +
                      " data ranks, found data=" + std::to_string(data),
                  "Use " + (data <= 64 ? "--lanes " + more + " (its bits are others), or " : std::string()) +
                      (o.data_axes.empty() ? "--mesh " + in_words(fits, 1, data / fits * pipeline)
                                           : "fewer ranks along " + o.data_axes)};
}

}  // namespace

pl::plan::plan lay_out(sample_options const& o, int ranks) {
  auto const mesh = parse_mesh(o.mesh.empty() ? "pipeline=" + std::to_string(ranks) : o.mesh, nullptr, ranks);
  auto const data = extent(mesh, "data"), tensor = extent(mesh, "tensor"), pipeline = extent(mesh, "pipeline");
  if (data > 1)
    throw pl::error{"--mesh",
                    "one text is written by one replica, data=" + std::to_string(data) + " has " + std::to_string(data),
                    "Use --mesh " + in_words(1, tensor, data * pipeline)};
  pl::plan::plan p{.global_batch = 1, .schedule = "gpipe"};
  p.set_mesh(mesh);
  return p;
}

pl::plan::plan lay_out(options const& o, int ranks) {
  check(sizes{.context = o.context, .layers = o.layers, .width = o.width, .heads = o.heads});
  pl::plan::plan p;
  p.set_mesh(parse_mesh(o.mesh, &o.data_axes, ranks), o.data_axes);
  auto const data = p.data_ranks, tensor = p.tensor_ranks, pipeline = p.pipeline_ranks;
  p.global_batch = o.batch;
  p.schedule = o.schedule;
  p.chunks = o.chunks;
  p.micro_batches = o.micro_batches;
  p.state_stage = static_cast<int>(std::clamp<std::int64_t>(o.state_stage, -1, 4));
  p.state_ranks = o.state_ranks;
  p.state_stride = o.state_stride;
  p.recompute = [&] {
    try {
      return pl::plan::recompute_choice::parse(o.recompute, "--recompute ");
    } catch (pl::error const& e) {
      throw pl::error{"--recompute", e.problem(), e.remedy()};
    }
  }();
  p.precision = choice<pl::plan::compute_precision>("--precision", o.precision, pl::plan::precision_names);
  p.wire = choice<pl::plan::wire_format>("--wire", o.wire, pl::plan::wire_names);
  p.deterministic = o.deterministic;
  p.overlap = !o.no_overlap;
  if (o.deterministic && tensor > 1)
    throw pl::error{
        "--deterministic",
        "tensor=" + std::to_string(tensor) +
            " shares out the terms of a sum, so bits change with it; only data and pipeline leave them as they are",
        (o.data_axes.empty() ? "Use --mesh " + (data * tensor <= o.lanes ? in_words(data * tensor, 1, pipeline)
                                                                         : in_words(data, 1, tensor * pipeline))
                             : "Use tensor=1 and more ranks along " + o.data_axes) +
            ", or leave out --deterministic"};
  if (o.deterministic) {
    p.lanes = o.lanes;
    if (data > o.lanes) refuse_lanes(o, data, pipeline);
  }
  p.check();
  return p;
}

}  // namespace gpt
