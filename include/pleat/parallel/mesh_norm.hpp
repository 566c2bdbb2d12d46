// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The norm of a step's gradient over all axes of a mesh: the same bits however state is sharded and wherever the
/// pipeline is cut.
#pragma once

#include <algorithm>
#include <span>

#include <pleat/base/math.hpp>
#include <pleat/base/pooled_array.hpp>
#include <pleat/parallel/groups.hpp>
#include <pleat/parallel/sharded_norm.hpp>
#include <pleat/parallel/tensor_sums.hpp>

namespace pleat::parallel {

/// The 2-norm of all gradients of the whole network, after they were summed over the data axis. Collective where state
/// is sharded, over a pipeline and over a tensor axis. \param exchange null, or what gradients may still come from
template <class T, class Space>
[[nodiscard]] double gradient_norm(context<Space>& where, groups& mesh, shard_group const& g,
                                   nn::arena<T, Space> const& memory, gradient_exchange<T, Space>* exchange) {
  if (mesh.pipeline().size() == 1 && mesh.tensor().size() == 1) return gradient_norm(where, g, memory, exchange);
  auto const& entries = memory.entries();
  pooled_array<double> mine(where.host_pool(), entries.size()),
      all(where.host_pool(), static_cast<std::size_t>(memory.parameters()));
  gradient_squares(where, g, memory, exchange, mine.data());
  squares_of_wholes(where, mesh.tensor(), memory, std::span<double>(mine.data(), mine.size()));
  auto const& absent = memory.absent();
  // the last one is the loss; a tied weight counts where its owner is
  for (std::size_t i = 0; i + 1 < entries.size(); ++i)
    if (std::find(absent.begin(), absent.end(), entries[i].name) == absent.end())
      all[static_cast<std::size_t>(entries[i].position)] = mine[i];
  mesh.pipeline().all_reduce(std::span<double>(all.data(), all.size()));  // one stage has each number: x + 0 is x
  double sum = 0;
  for (double const s : all) sum += s;
  return std::sqrt(sum);
}

}  // namespace pleat::parallel
