// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Looking at a model layer by layer: form, bytes, nonzeros, multiply-adds, energy.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <pleat/codec/form.hpp>
#include <pleat/compress/layer_list.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/tensor/detail/number.hpp>

namespace pleat::compress {

/// Every weight matrix and kernel of a model, in forward order. A multiply-add is counted for each element of the output and each of the
/// weight's columns; the effective ones are those of weights that are not zero in the decoded matrix (what a sparse kernel does; a dense one
/// does all of them). Weights of layers that multiply with nothing (an embedding) have none. Tied weights count where their memory is.
///
///     layer_list const layers = layers_of(small, data.sample);
///     layers.print(std::cout);
///
/// \param sample extents of one sample. \throws error if the model is cut over a tensor axis or a pipeline
template <class Net> [[nodiscard]] layer_list layers_of(parallel::model<Net> const& m, extents const& sample) {
  using T = typename parallel::model<Net>::value_type;
  using Space = typename parallel::model<Net>::execution_space;
  m.demand_whole_parameters("compress::layers_of");
  std::vector<index_t> one{1};
  for (int d = 0; d < sample.rank(); ++d) one.push_back(sample[d]);
  auto const costs = nn::describe(m.net(), extents(std::span<index_t const>(one))).layers;
  layer_list out;
  nn::for_each_parameter(m.net(), [&](auto const& w) {
    if (!w.tied_to.empty() || w.shape.rank() < 2) return;
    auto const values = tensor<T, Space>::allocate(m.context(), w.shape);
    w.decode(m.context(), values.data());
    std::vector<T> host(static_cast<std::size_t>(w.size()));
    copy_to_host(m.context(), values, host.data());
    layer_row r;
    r.name = w.name;
    r.form = w.form_name();
    r.shape = w.shape;
    r.parameters = w.size();
    r.nonzeros = std::count_if(host.begin(), host.end(), [](T v) { return pleat::detail::number(v) != 0; });
    r.bytes = w.bytes();
    r.integer = r.form == "int8";
    for (auto const& c : costs)
      if (c.name + ".weight" == w.name && c.forward_flops > 0 && w.size() > 0) {
        double const uses = static_cast<double>(c.out.size()) / static_cast<double>(codec::rows_of(w.shape));  // of each row: positions
        r.multiply_adds = uses * static_cast<double>(w.size());
        r.effective_multiply_adds = uses * static_cast<double>(r.nonzeros);
      }
    out.add(std::move(r));
  });
  return out;
}

}  // namespace pleat::compress
