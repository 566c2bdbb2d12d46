// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a language model does with text: windows as tensors, the loss on what was not trained on, new text.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <pleat/base/random.hpp>
#include <pleat/io/text.hpp>
#include <pleat/nn.hpp>

namespace gpt {

namespace pl = pleat;
namespace nn = pleat::nn;

/// Windows of a text as tensors of a model: x [n, context] and labels [n, context]. Keeps its staging memory.
template <class T, class Space> class loader {
 public:
  struct batch {
    pl::tensor<T, Space> x;
    pl::tensor<std::int32_t, Space> labels;
  };
  explicit loader(pl::io::token_dataset const& data) : data_(&data) {}

  [[nodiscard]] batch load(pl::context<Space>& where, std::span<pl::index_t const> windows) {
    pl::extents const shape{static_cast<pl::index_t>(windows.size()), data_->context};
    x_.resize(static_cast<std::size_t>(shape.size()));
    labels_.resize(x_.size());
    data_->gather(windows, x_.data(), labels_.data());
    batch b{pl::tensor<T, Space>::allocate(where, shape), pl::tensor<std::int32_t, Space>::allocate(where, shape)};
    pl::copy_from_host(where, x_.data(), b.x);
    pl::copy_from_host(where, labels_.data(), b.labels);
    return b;
  }

 private:
  pl::io::token_dataset const* data_;
  std::vector<T> x_;
  std::vector<std::int32_t> labels_;
};

/// Mean loss per token over all windows of `data`; every rank computes all of it, so the figure is the same on any number of ranks.
template <class Model> [[nodiscard]] double loss_on(Model const& model, pl::io::token_dataset const& data, pl::index_t batch) {
  using T = typename Model::value_type;
  using Space = typename Model::execution_space;
  loader<T, Space> windows(data);
  std::vector<pl::index_t> numbers;
  std::vector<T> rows;
  nn::pass<Space> p;
  p.where = &model.context();
  double sum = 0;
  for (pl::index_t at = 0; at < data.size(); at += batch) {
    numbers.resize(static_cast<std::size_t>(std::min(batch, data.size() - at)));
    std::iota(numbers.begin(), numbers.end(), at);
    auto b = windows.load(model.context(), numbers);
    auto const r = nn::cross_entropy{}(p, model.predict(std::move(b.x)), b.labels).rows;
    rows.resize(numbers.size());
    pl::copy_to_host(model.context(), r, rows.data());
    for (T const v : rows) sum += static_cast<double>(v);
  }
  return sum / static_cast<double>(data.size());
}

/// `count` characters after `prompt`, each drawn from softmax(scores / temperature); temperature 0 takes the likeliest. The draws depend
/// on (seed, place) alone.
template <class Model>
[[nodiscard]] std::string generate(Model const& model, pl::io::character_vocabulary const& vocabulary, std::string const& prompt, pl::index_t count, pl::index_t context,
                                   double temperature = 0.8, std::uint64_t seed = 1) {
  using T = typename Model::value_type;
  using Space = typename Model::execution_space;
  auto tokens = vocabulary.encode(prompt);
  if (tokens.empty()) throw pl::error{"gpt::generate", "the prompt is empty", "Give at least one character to go on from"};
  auto const first = tokens.size();
  pl::random::stream const draws(seed, pl::random::hash("gpt::generate"));
  auto const classes = static_cast<std::size_t>(vocabulary.size());
  std::vector<T> x, scores;
  std::vector<double> weights(classes);
  for (pl::index_t i = 0; i < count; ++i) {
    auto const length = std::min(tokens.size(), static_cast<std::size_t>(context));
    x.assign(tokens.end() - static_cast<std::ptrdiff_t>(length), tokens.end());
    auto in = pl::tensor<T, Space>::allocate(model.context(), {1, static_cast<pl::index_t>(length)});
    pl::copy_from_host(model.context(), x.data(), in);
    auto const y = model.predict(std::move(in));
    scores.resize(length * classes);
    pl::copy_to_host(model.context(), y, scores.data());
    T const* const last = scores.data() + (length - 1) * classes;
    std::size_t next = static_cast<std::size_t>(std::max_element(last, last + classes) - last);
    if (temperature > 0) {
      double const most = static_cast<double>(last[next]);
      for (std::size_t c = 0; c < classes; ++c) weights[c] = std::exp((static_cast<double>(last[c]) - most) / temperature);
      double at = draws.uniform(static_cast<std::uint64_t>(i)) * std::accumulate(weights.begin(), weights.end(), 0.0);
      for (next = 0; next + 1 < classes && at >= weights[next]; ++next) at -= weights[next];
    }
    tokens.push_back(static_cast<std::uint16_t>(next));
  }
  return vocabulary.decode(std::span(tokens).subspan(first));
}

}  // namespace gpt
