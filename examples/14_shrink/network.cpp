// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "network.hpp"

namespace {

struct layer {
  std::string name;
  pl::extents shape;
  bool bias = false;
  std::string norm{};  // that follows it; empty: none
};

[[noreturn]] void no_chain(std::string const& path, std::string const& what) {
  throw pl::error{"shrink '" + path + "'", what,
                  "This program takes convolutions (each with ReLU and 2x2 max pooling), then fully connected layers "
                  "with ReLU between them, and batch norms before ReLU"};
}

// Gives every norm of the file the layer of as many outputs that it follows: in the order of names where several have as
// many, and each of those must then have one. The last layer has none.
void place_norms(std::vector<pl::io::stored_weight> const& weights, std::vector<layer>& chain,
                 std::string const& path) {
  std::map<pl::index_t, std::vector<std::string>> norms;
  for (auto const& w : weights)
    if (w.name.ends_with(".running_mean"))
      norms[w.shape.size()].push_back(w.name.substr(0, w.name.size() - std::strlen(".running_mean")));
  for (auto& [features, names] : norms) {
    std::vector<layer*> before;
    for (std::size_t i = 0; i + 1 < chain.size(); ++i)
      if (chain[i].shape[0] == features) before.push_back(&chain[i]);
    if (before.size() != names.size())
      no_chain(path, std::to_string(names.size()) + " batch norms of " + std::to_string(features) + " features ('" +
                         names.front() + "' is one) for " + std::to_string(before.size()) +
                         " layers of as many outputs that have a ReLU behind them");
    std::sort(names.begin(), names.end(), [](auto const& a, auto const& b) {
      return a.size() != b.size() ? a.size() < b.size() : a < b;  // bn2 comes before bn10
    });
    for (std::size_t i = 0; i < names.size(); ++i) before[i]->norm = names[i];
  }
}

pl::nn::batch_norm<> norm_after(layer const& l) {
  pl::nn::batch_norm<> norm(l.norm.empty() ? l.name + ".norm" : l.norm, l.shape[0]);
  norm.set_identity(l.norm.empty());
  return norm;
}

}  // namespace

std::vector<pl::io::stored_weight> weights_of(pl::io::weight_file const& file) {
  std::vector<pl::io::stored_weight> weights(file.weights().begin(), file.weights().end());
  std::erase_if(weights, [](auto const& w) { return w.name.ends_with(".num_batches_tracked"); });
  return weights;
}

network network_of(std::vector<pl::io::stored_weight> const& weights, pl::io::dataset const& data,
                   std::string const& path) {
  std::vector<layer> convolutions, products;
  for (auto const& w : weights) {
    if (w.shape.rank() < 2) continue;
    if (!w.name.ends_with(".weight") || (w.shape.rank() != 2 && w.shape.rank() != 4))
      no_chain(path,
               "'" + w.name + "' of shape " + w.shape.to_string() + " is no weight of a layer that is known here");
    std::string const name = w.name.substr(0, w.name.size() - 7);
    bool const bias =
        std::any_of(weights.begin(), weights.end(), [&](auto const& b) { return b.name == name + ".bias"; });
    (w.shape.rank() == 4 ? convolutions : products).push_back({name, w.shape, bias});
  }
  // In the order in which one's outputs are the next one's inputs; among equals by name.
  auto const take = [](std::vector<layer>& from, pl::index_t inputs) -> std::optional<layer> {
    auto best = from.end();
    for (auto it = from.begin(); it != from.end(); ++it)
      if (it->shape[1] == inputs && (best == from.end() || it->name < best->name)) best = it;
    if (best == from.end()) return std::nullopt;
    layer const l = *best;
    from.erase(best);
    return l;
  };
  if (products.empty()) no_chain(path, "the file holds no fully connected layer");
  pl::index_t channels = data.sample[0];
  std::vector<layer> chain;
  while (auto l = take(convolutions, channels)) {
    channels = l->shape[0];
    chain.push_back(*l);
  }
  if (!convolutions.empty())
    no_chain(path, "'" + convolutions.front().name + ".weight' of shape " + convolutions.front().shape.to_string() +
                       " follows on nothing of " + std::to_string(channels) + " channels");
  // Padding is not in the file: the one with which the images' features fit.
  pl::index_t features = data.sample_size(), padding = 0;
  if (!chain.empty()) {
    bool fits = false;
    for (padding = 0; padding < 4 && !fits; ++padding) {
      pl::index_t h = data.sample[1], w = data.sample[2];
      for (auto const& l : chain)
        h = (h + 2 * padding - l.shape[2] + 1) / 2, w = (w + 2 * padding - l.shape[3] + 1) / 2;
      features = channels * h * w;
      fits = h > 0 && w > 0 &&
             std::any_of(products.begin(), products.end(), [&](auto const& l) { return l.shape[1] == features; });
    }
    --padding;
    if (!fits)
      no_chain(path,
               "no fully connected layer takes what the convolutions make of a sample " + data.sample.to_string());
  }
  auto const kernels = chain.size();
  while (auto l = take(products, features)) {
    features = l->shape[0];
    chain.push_back(*l);
  }
  if (!products.empty() || chain.size() == kernels)
    no_chain(path, "'" + products.front().name + ".weight' of shape " + products.front().shape.to_string() +
                       " follows on nothing of " + std::to_string(features) + " elements (a sample of this data is " +
                       data.sample.to_string() + ")");
  place_norms(weights, chain, path);
  std::vector<conv_block> blocks;
  std::vector<linear_block> hidden;
  auto const product = [](layer const& l) { return linear(l.name, l.shape[1], l.shape[0], {.bias = l.bias}); };
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
    auto const& l = chain[i];
    if (i < kernels)
      blocks.emplace_back(conv2d(l.name, l.shape[1], l.shape[0], l.shape[2], {.padding = padding, .bias = l.bias}),
                          norm_after(l), pl::nn::relu<>(), pl::nn::max_pool2d<>(2));
    else hidden.emplace_back(product(l), norm_after(l), pl::nn::relu<>());
  }
  return network(pl::nn::repeat<conv_block>("convolutions", std::move(blocks)), pl::nn::flatten<>(),
                 pl::nn::repeat<linear_block>("hidden", std::move(hidden)), product(chain.back()));
}
