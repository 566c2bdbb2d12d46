// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Windows of text as tensors: what a step of training is fed with.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <pleat/io/text.hpp>
#include <pleat/parallel/model.hpp>

namespace gpt {

namespace pl = pleat;

// [source]
/// The source of a step (parallel/source.hpp): this rank's windows of the batch, cut by micro-batch.
template <class Model> class window_source {
 public:
  using T = typename Model::value_type;
  using tensor = typename Model::tensor_type;

  window_source(Model& m, pl::io::token_dataset const& text) : model_(&m), text_(&text) {}

  /// The step's batch: windows order[first …].
  void begin(std::span<pl::index_t const> order, pl::index_t first) {
    batch_ = order.subspan(static_cast<std::size_t>(first));
  }

  [[nodiscard]] tensor input(pl::parallel::micro_batch const& m) {
    gather(m);
    auto x = tensor::allocate(model_->context(), {m.rows.size(), text_->context});
    pl::copy_from_host(model_->context(), tokens_.data(), x);
    return x;
  }
  [[nodiscard]] tensor loss(pl::parallel::micro_batch const& m, tensor y) {
    gather(m);
    auto labels = pl::tensor<std::int32_t, typename Model::execution_space>::allocate(model_->context(),
                                                                                      {m.rows.size(), text_->context});
    pl::copy_from_host(model_->context(), next_.data(), labels);
    return model_->cross_entropy(std::move(y), labels).dy;
  }

 private:
  void gather(pl::parallel::micro_batch const& m) {
    auto const n = static_cast<std::size_t>(m.rows.size());
    tokens_.resize(n * static_cast<std::size_t>(text_->context));
    next_.resize(tokens_.size());
    text_->gather(batch_.subspan(static_cast<std::size_t>(model_->share().rows().begin + m.rows.begin), n),
                  tokens_.data(), next_.data());
  }

  Model* model_;
  pl::io::token_dataset const* text_;
  std::span<pl::index_t const> batch_;
  std::vector<T> tokens_;
  std::vector<std::int32_t> next_;
};
// [source]

}  // namespace gpt
