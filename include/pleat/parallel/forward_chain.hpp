// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Forward only, through all stages of a pipeline: answers.
#pragma once

#include <exception>
#include <span>
#include <utility>

#include <pleat/comm/communicator.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/units.hpp>
#include <pleat/parallel/stages.hpp>
#include <pleat/tensor/wire_memory.hpp>

namespace pleat::parallel {

/// Carries x through the stages in order; each rank runs its own. Batch after batch may follow: a rank that has passed its stages on is
/// free for the next one. \param x the samples on the first stage's rank, a tensor of the same shape elsewhere
/// \param everywhere every rank gets y; else the last stage's rank alone, and an empty tensor elsewhere
/// \throws error of this rank's layers, after the others have been served, so that they do not wait
template <class Net>
[[nodiscard]] nn::tensor_of<Net> forward_chain(nn::pass_of<Net> const& p, Net const& net, stages const& layout, comm::communicator& ranks, nn::tensor_of<Net> x, bool everywhere) {
  using T = nn::value_type_of<Net>;
  using Space = nn::space_of<Net>;
  using tensor_type = nn::tensor_of<Net>;
  constexpr int tag = comm::user_tags - 2;
  extents const input = x.shape();
  auto const shape_before = [&](index_t stage) { return nn::shape_units(net, input, 0, layout.begin(stage)); };
  std::exception_ptr failed;
  int const me = ranks.rank();
  for (index_t s = 0; s < layout.count(); ++s) {
    if (layout.rank_of(s) != me) continue;
    if (s > 0 && layout.rank_of(s - 1) != me) {
      x = tensor_type::allocate(*p.where, shape_before(s));
      wire_memory<T, Space> const m(*p.where, x, false);
      if (x.size() > 0) ranks.receive(m.span(), layout.rank_of(s - 1), tag);
      m.arrived();
    }
    extents const out = nn::shape_units(net, x.shape(), layout.begin(s), layout.end(s));
    if (!failed) {
      try {
        typename Net::saved saved;
        x = nn::redistribute(p, nn::forward_units(p, net, layout.begin(s), layout.end(s), std::move(x), saved), {});
      } catch (...) {
        failed = std::current_exception();
      }
    }
    if (failed || (p.nonfinite && p.nonfinite->at >= 0)) {  // one stage has to say so, not all behind it
      x = tensor_type::allocate(*p.where, out);
      compute::fill(p.space(), x.size(), T(0), x.data());
    }
    if (s + 1 < layout.count() && layout.rank_of(s + 1) != me && x.size() > 0)
      ranks.send(std::span<T const>(wire_memory<T, Space>(*p.where, x, true).span()), layout.rank_of(s + 1), tag);
  }
  bool const last = layout.last_rank() == me;
  if (everywhere) {
    if (!last) x = tensor_type::allocate(*p.where, nn::shape_units(net, input, 0, layout.units()));
    wire_memory<T, Space> const m(*p.where, x, last);
    if (x.size() > 0) ranks.broadcast(m.span(), layout.last_rank());
    if (!last) m.arrived();
  } else if (!last) {
    x = {};
  }
  if (failed) std::rethrow_exception(failed);
  return x;
}

}  // namespace pleat::parallel
