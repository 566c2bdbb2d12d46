// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Inverted dropout whose mask is drawn anew in backward instead of being stored.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/keep_mask.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/nn/layer.hpp>

namespace pleat::nn {

/// y = x / (1 − probability) for the elements that are kept, 0 for the others (Srivastava et al., JMLR 15, 2014); y = x
/// in inference.
///
/// An element is kept by a number keyed with (seed, name, step, position in the global batch): the mask is the same
/// however the batch is split over ranks and micro-batches, and however the tensor is cut. Two dropouts of one name
/// drop alike: give each a name.
template <class T = float, class Space = Kokkos::DefaultExecutionSpace> class dropout {
 public:
  using value_type = T;                           ///< of weights and activations
  using execution_space = Space;                  ///< where it runs
  using tensor_type = tensor<T, Space>;           ///< of its activations
  static constexpr char const* kind = "dropout";  ///< what descriptions call it
  static constexpr bool cheap = true;
  static constexpr mixing mixes = mixing::nothing;  ///< where the tensor axis may cut its input (placement_rules.hpp)

  /// Nothing: the mask follows from the pass.
  struct saved {};

  dropout(std::string name, double probability) : name_(std::move(name)), probability_(probability) {
    if (!(probability >= 0 && probability < 1))
      throw error{"nn::dropout '" + name_ + "'",
                  "the probability must lie in [0, 1), found " + std::to_string(probability),
                  "Say 0.1 to drop a tenth, 0 to drop nothing"};
  }

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  void prefix_name(std::string_view prefix) { name_.insert(0, prefix); }
  [[nodiscard]] double probability() const noexcept { return probability_; }

  [[nodiscard]] extents shape(extents const& in) const { return in; }
  [[nodiscard]] step<saved, tensor_type> forward(pass<Space> const& p, tensor_type x) const {
    if (!p.training || probability_ == 0) return {std::move(x), {}};
    return {masked(p, std::move(x)), {}};
  }
  [[nodiscard]] tensor_type backward(pass<Space> const& p, saved&, tensor_type dy) {
    if (!p.input_gradient) return {};
    return probability_ == 0 ? dy : masked(p, std::move(dy));
  }
  template <class F> void for_each_parameter(F&&) {}

  [[nodiscard]] layer_cost cost(extents const& in) const {
    layer_cost c{.name = name_, .kind = kind, .in = in, .out = in};
    c.forward_flops = c.backward_input_flops = probability_ == 0 ? 0 : static_cast<double>(in.size());
    c.keeps_input = false;
    c.in_place = true;
    c.view = probability_ == 0;
    return c;
  }

 private:
  [[nodiscard]] tensor_type masked(pass<Space> const& p, tensor_type x) const {
    auto y = x.sole_owner() ? x : tensor_type::allocate(*p.where, x.shape());
    double const keep = 1 - probability_;
    // the step enters the purpose through a full 64-bit mix (splitmix64's), so that no two steps share numbers
    std::uint64_t z = random::hash(name_) + (p.step + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    random::stream const numbers(p.seed, z ^ (z >> 31));
    auto const first =
        static_cast<std::uint64_t>(p.first_sample) * static_cast<std::uint64_t>(x.whole_shape().size_from(1));
    auto const threshold = static_cast<std::uint64_t>(keep * 0x1p32);
    auto const factor = static_cast<wide_t<T>>(1 / keep);
    if (x.layout().cut()) {  // the mask of the whole tensor, seen from here
      int const d = x.layout().where.dim;
      index_t const inner = x.shape().size_from(d + 1),
                    begin = x.layout().range(p.tensor->size(), p.tensor->rank()).begin;
      compute::keep_mask_part const mask{numbers, first + static_cast<std::uint64_t>(begin * inner), threshold,
                                         std::max<index_t>(x.extent(d) * inner, 1), x.layout().whole * inner};
      compute::dropout(p.space(), x.size(), mask, factor, static_cast<T const*>(x.data()), y.data());
    } else {
      compute::keep_mask const mask{numbers, first, threshold};
      compute::dropout(p.space(), x.size(), mask, factor, static_cast<T const*>(x.data()), y.data());
    }
    return y;
  }

  std::string name_;
  double probability_;
};

dropout(std::string, double) -> dropout<>;

}  // namespace pleat::nn
