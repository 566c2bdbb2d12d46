// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Looking at a model layer by layer: form, bytes, nonzeros, multiply-adds, energy.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/codec/form.hpp>
#include <pleat/codec/product_places.hpp>
#include <pleat/compress/layer_list.hpp>
#include <pleat/nn/any_weight.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/tensor/detail/number.hpp>

namespace pleat::compress {

namespace detail {

/// Where the products with a weight happen, in a layer that costs this; of how many groups the weight's shape says.
PLEAT_ONCE [[nodiscard]] codec::product_places places_of(nn::layer_cost const& c, extents const& weight) {
  codec::product_places at;
  at.outputs = static_cast<double>(c.out.size()) / static_cast<double>(codec::rows_of(weight));
  if (weight.rank() == 4 && c.in.rank() == 4 && c.out.rank() == 4) {
    at.between = static_cast<double>(c.out[2]) * static_cast<double>(c.in[3]);
    at.groups = c.in[1] / std::max<index_t>(1, weight[1]);
  }
  return at;
}

}  // namespace detail

/// Every weight matrix and kernel of a model, in forward order. A multiply-add is counted for each element of the
/// output and each of the weight's columns; the effective ones are those of weights that are not zero in the decoded
/// matrix (what a sparse kernel does; a dense one does all of them). Of factored weights it is those of the thin
/// products that are done instead. Weights of layers that multiply with nothing (an embedding) have none. Tied weights
/// count where their memory is.
///
///     layer_list const layers = layers_of(small, data.sample);
///     layers.print(std::cout);
///
/// Of a weight that is cut over the tensor axis, bytes and multiply-adds are those of its parts together. Collective
/// where the model is cut, on stages, or sharded (state_stage = 3): the same list on every rank.
/// \param sample extents of one sample
template <class T, class Space>
[[nodiscard, gnu::cold]] layer_list layers_of(parallel::any_model<T, Space> const& m, extents const& sample) {
  std::vector<index_t> one{1};
  for (int d = 0; d < sample.rank(); ++d) one.push_back(sample[d]);
  auto const costs = m.any_net().describe(extents(std::span<index_t const>(one))).layers;
  std::vector<layer_row> rows;
  std::vector<double> sums;  // of each: nonzeros, bytes, multiply-adds, effective ones; of what is here and counts
  nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
    if (!w.tied_to.empty() || w.shape.rank() < 2) return;
    layer_row r;
    r.name = w.name;
    r.form = w.form_name();
    r.shape = w.whole();
    r.parameters = r.shape.size();
    r.integer = r.form == "int8";
    rows.push_back(std::move(r));
    double mine[4] = {0, 0, 0, 0};
    auto const whole = m.open(const_cast<nn::any_weight<T, Space>&>(w));  // only read
    if (w.materialised() && (w.part == 0 || w.where.shards())) {
      auto const values = w.dense_values(m.context());
      std::vector<T> host(static_cast<std::size_t>(w.size()));
      copy_to_host(m.context(), values, host.data());
      mine[0] = static_cast<double>(
          std::count_if(host.begin(), host.end(), [](T v) { return pleat::detail::number(v) != 0; }));
      mine[1] = static_cast<double>(w.bytes());
      for (auto const& c : costs)
        if (c.name + ".weight" == w.name && c.forward_flops > 0 && w.size() > 0) {
          auto const at = detail::places_of(c, w.whole());
          mine[2] = at.outputs * static_cast<double>(w.size());
          mine[3] = at.outputs * mine[0];
          if (auto const thin = w.multiply_adds(at)) mine[2] = mine[3] = *thin;
        }
    }
    sums.insert(sums.end(), mine, mine + 4);
  });
  for (auto* ranks : {&m.parts(), &m.pipeline()})
    if (ranks->size() > 1 && !sums.empty()) ranks->all_reduce(sums);
  layer_list out;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].nonzeros = static_cast<index_t>(sums[4 * i]);
    rows[i].bytes = static_cast<index_t>(sums[4 * i + 1]);
    rows[i].multiply_adds = sums[4 * i + 2];
    rows[i].effective_multiply_adds = sums[4 * i + 3];
    out.add(std::move(rows[i]));
  }
  return out;
}

}  // namespace pleat::compress
