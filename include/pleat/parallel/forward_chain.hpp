// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Forward only, through all stages of a pipeline: answers.
#pragma once

#include <exception>
#include <span>
#include <utility>

#include <pleat/base/pooled_array.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/units.hpp>
#include <pleat/parallel/stages.hpp>

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
  constexpr bool on_host = Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible;
  constexpr int tag = comm::user_tags - 2;
  extents const input = x.shape();
  auto const shape_before = [&](index_t stage) { return nn::shape_units(net, input, 0, layout.begin(stage)); };
  // Whatever the host cannot reach goes through a copy.
  auto const through_host = [&](tensor_type const& t, bool from_device, bool to_device, auto&& f) {
    auto const n = static_cast<std::size_t>(t.size());
    if (n == 0) return;
    if constexpr (on_host) {
      p.where->fence();
      f(std::span<T>(t.data(), n));
    } else {
      pooled_array<T> host(p.where->host_pool(), n);
      if (from_device) copy_to_host(*p.where, t, host.data());
      f(std::span<T>(host.data(), n));
      if (to_device) copy_from_host(*p.where, static_cast<T const*>(host.data()), t);
    }
  };
  std::exception_ptr failed;
  int const me = ranks.rank();
  for (index_t s = 0; s < layout.count(); ++s) {
    if (layout.rank_of(s) != me) continue;
    if (s > 0 && layout.rank_of(s - 1) != me) {
      x = tensor_type::allocate(*p.where, shape_before(s));
      through_host(x, false, true, [&](std::span<T> data) { ranks.receive(data, layout.rank_of(s - 1), tag); });
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
    if (s + 1 < layout.count() && layout.rank_of(s + 1) != me)
      through_host(x, true, false, [&](std::span<T> data) { ranks.send(std::span<T const>(data), layout.rank_of(s + 1), tag); });
  }
  bool const last = layout.last_rank() == me;
  if (everywhere) {
    if (!last) x = tensor_type::allocate(*p.where, nn::shape_units(net, input, 0, layout.units()));
    through_host(x, last, !last, [&](std::span<T> data) { ranks.broadcast(data, layout.last_rank()); });
  } else if (!last) {
    x = {};
  }
  if (failed) std::rethrow_exception(failed);
  return x;
}

}  // namespace pleat::parallel
