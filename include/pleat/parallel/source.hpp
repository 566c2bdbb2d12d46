// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Where a step's samples come from and what is made of the answers: the two questions that a walk over the
/// micro-batches asks.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include <pleat/parallel/share.hpp>

namespace pleat::parallel {

/// A source has
///
///     Tensor input(micro_batch const&);            // the samples at share().rows(), cut by micro.rows; asked where stage 0 is
///     Tensor loss(micro_batch const&, Tensor y);   // dy; asked where the last stage is. model.cross_entropy(y, labels).dy
template <class S, class Tensor>
concept source_of = requires(S& s, micro_batch const& m, Tensor y) {
  { s.input(m) } -> std::convertible_to<Tensor>;
  { s.loss(m, y) } -> std::convertible_to<Tensor>;
};

/// Says in words what a source lacks (law 1).
template <class S, class Tensor> constexpr void demand_source() {
  static_assert(
      requires(S& s, micro_batch const& m) {
        { s.input(m) } -> std::convertible_to<Tensor>;
      },
      "pleat: the source of a step needs 'tensor input(parallel::micro_batch const&)': the samples of that "
      "micro-batch");
  static_assert(
      requires(S& s, micro_batch const& m, Tensor y) {
        { s.loss(m, y) } -> std::convertible_to<Tensor>;
      },
      "pleat: the source of a step needs 'tensor loss(parallel::micro_batch const&, tensor y)': the gradient dy of the "
      "mean loss over the whole batch");
}

/// A source by reference, its type forgotten: a step is compiled once for all of them.
template <class Tensor> class source_ref {
 public:
  template <class S>
    requires(!std::same_as<std::remove_cv_t<S>, source_ref>)
  explicit source_ref(S& s) noexcept
      : self_(const_cast<std::remove_cv_t<S>*>(std::addressof(s))),
        input_([](void* p, micro_batch const& m) -> Tensor { return static_cast<S*>(p)->input(m); }),
        loss_([](void* p, micro_batch const& m, Tensor y) -> Tensor {
          return static_cast<S*>(p)->loss(m, std::move(y));
        }) {}

  [[nodiscard]] Tensor input(micro_batch const& m) const { return input_(self_, m); }
  [[nodiscard]] Tensor loss(micro_batch const& m, Tensor y) const { return loss_(self_, m, std::move(y)); }

 private:
  void* self_;
  Tensor (*input_)(void*, micro_batch const&);
  Tensor (*loss_)(void*, micro_batch const&, Tensor);
};

}  // namespace pleat::parallel
