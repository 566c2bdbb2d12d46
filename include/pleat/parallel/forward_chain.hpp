// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Forward only, through all stages of a pipeline: answers.
#pragma once

#include <span>
#include <string>
#include <utility>

#include <pleat/base/error.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/units.hpp>
#include <pleat/parallel/stages.hpp>
#include <pleat/tensor/wire_memory.hpp>

namespace pleat::parallel {

/// Carries x through the stages in order; each rank runs its own. Batch after batch may follow: a rank that has passed its stages on is
/// free for the next one. A stage that fails hands on why, in the tensor's place: nobody computes with what is not there.
/// \param x the samples on the first stage's rank, a tensor of the same shape elsewhere
/// \param everywhere every rank gets y; else the last stage's rank alone, and an empty tensor elsewhere
/// \throws error of a stage's layers: with `everywhere` on every rank alike; else on that stage's rank and on those behind it. The ranks before
///         it are free by then: they hear of it where all of them meet (comm::attempts)
template <class Net>
[[nodiscard]] nn::tensor_of<Net> forward_chain(nn::pass_of<Net> const& p, Net const& net, stages const& layout, comm::communicator& ranks, nn::tensor_of<Net> x, bool everywhere) {
  using T = nn::value_type_of<Net>;
  using Space = nn::space_of<Net>;
  using tensor_type = nn::tensor_of<Net>;
  constexpr int tag = comm::user_tags - 2;
  extents const input = x.shape();
  auto const shape_before = [&](index_t stage) { return nn::shape_units(net, input, 0, layout.begin(stage)); };
  std::string why;  // there is no answer
  int const me = ranks.rank();
  for (index_t s = 0; s < layout.count(); ++s) {
    if (layout.rank_of(s) != me) continue;
    if (s > 0 && layout.rank_of(s - 1) != me) {
      int const from = layout.rank_of(s - 1);
      index_t length = 0;
      ranks.receive(std::span<index_t>(&length, 1), from, tag);
      if (length > 0) {
        why.resize(static_cast<std::size_t>(length));
        ranks.receive(why, from, tag);
      } else {
        x = tensor_type::allocate(*p.where, shape_before(s));
        wire_memory<T, Space> const m(*p.where, x, false);
        if (x.size() > 0) ranks.receive(m.span(), from, tag);
        m.arrived();
      }
    }
    if (p.nonfinite) p.nonfinite->looked = layout.begin(s) << 20;  // the same number wherever the layer is
    if (why.empty()) {
      try {
        extents const out = nn::shape_units(net, x.shape(), layout.begin(s), layout.end(s));
        typename Net::saved saved;
        x = nn::redistribute(p, nn::forward_units(p, net, layout.begin(s), layout.end(s), std::move(x), saved), {});
        if (x.shape() != out)
          throw error{"parallel::predict", "the output of stage " + std::to_string(s) + " has shape " + x.shape().to_string() + ", the layers' shape() says " + out.to_string(),
                      "Make a layer's shape() say what its forward gives"};
        if (p.nonfinite && p.nonfinite->at >= 0) compute::fill(p.space(), x.size(), T(0), x.data());  // one stage has to say so, not all behind it
      } catch (...) {
        why = comm::detail::words_of_failure("parallel::predict");
      }
    }
    if (s + 1 < layout.count() && layout.rank_of(s + 1) != me) {
      int const to = layout.rank_of(s + 1);
      auto const length = static_cast<index_t>(why.size());
      ranks.send(std::span<index_t const>(&length, 1), to, tag);
      if (length > 0) ranks.send(why, to, tag);
      else if (x.size() > 0) ranks.send(std::span<T const>(wire_memory<T, Space>(*p.where, x, true).span()), to, tag);
    }
  }
  bool const last = layout.last_rank() == me;
  if (everywhere) {
    auto const length = ranks.broadcast_value(static_cast<index_t>(why.size()), layout.last_rank());
    if (length > 0) {
      why.resize(static_cast<std::size_t>(length));
      ranks.broadcast(why, layout.last_rank());
    } else {
      if (!last) x = tensor_type::allocate(*p.where, nn::shape_units(net, input, 0, layout.units()));
      wire_memory<T, Space> const m(*p.where, x, last);
      if (x.size() > 0) ranks.broadcast(m.span(), layout.last_rank());
      if (!last) m.arrived();
    }
  } else if (!last) {
    x = {};
  }
  if (!why.empty()) throw error{comm::detail::error_of_words(why)};
  return x;
}

}  // namespace pleat::parallel
