// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The three products that a layer makes with a weight, in whatever form it is stored and wherever its parts live.
#pragma once

#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/align.hpp>
#include <pleat/nn/pass.hpp>
#include <pleat/nn/weight.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::nn {

/// x, placed as a product with w needs it: what a layer saves for its weight gradient. Rows are x's last dimension.
template <class Forms, class Space, class T>
[[nodiscard]] tensor<T, Space> aligned(pass<Space> const& p, tensor<T, Space> x, weight<Forms, Space> const& w) {
  if (!p.tensor) return x;
  int const c = x.rank() - 1;
  auto const need = product_needs(w.where, x.layout(), c, codec::columns_of(w.whole()));
  // cut positions that a column-parallel weight gathers are the plan, not a mismatch
  bool const expected = w.where.shards(0) && x.layout().cut() && x.layout().where.dim != c;
  return redistribute(p, std::move(x), need, expected ? std::string_view{} : std::string_view(w.name));
}
/// dy, placed as the two backward products with w need it.
template <class Forms, class Space, class T>
[[nodiscard]] tensor<T, Space> aligned_gradient(pass<Space> const& p, tensor<T, Space> dy,
                                                weight<Forms, Space> const& w) {
  if (!p.tensor) return dy;
  int const c = dy.rank() - 1;
  auto const made =
      product_gives(w.where, dy.layout().cut() && dy.layout().where.dim == c ? axis_layout{} : dy.layout(), c,
                    codec::rows_of(w.whole()));
  return redistribute(p, std::move(dy), made.layout);
}

/// Where a complete result of w is brought. \param c the dimension of y that w's rows write
template <class Space>
[[nodiscard]] axis_layout left_layout(pass<Space> const& p, parameter const& w, extents const& y, int c) {
  auto const wish = product_leaves(w.leaves, y, c);
  if (p.moves && w.leaves.shards() && !wish.cut()) p.moves->stays_whole(w, y);
  return wish;
}

/// y[m, out] = x[m, in] · Wᵀ in whatever form W is stored and wherever its parts live, then bias and activation once
/// per element. Sequences x[m, positions, in] give y[m, positions, out].
template <class Forms, class Space, class T>
[[nodiscard]] tensor<T, Space> apply(pass<Space> const& p, tensor<T, Space> x, weight<Forms, Space> const& w,
                                     compute::epilogue<T> const& after = {}) {
  x = aligned(p, std::move(x), w);
  if (p.inputs) {
    auto const whole = redistribute(p, x, {});
    p.inputs->multiplied({w, whole.data(), whole.shape(), nullptr});
  }
  index_t const in = codec::columns_of(w.shape), out = codec::rows_of(w.shape);
  bool const sequences = x.rank() == 3 && x.extent(2) == in;
  index_t const m = sequences ? x.extent(0) * x.extent(1) : in > 0 ? x.size() / in : x.extent(0);
  auto y = tensor<T, Space>::allocate(*p.where, sequences ? extents{x.extent(0), x.extent(1), out} : extents{m, out});
  auto const made = product_gives(w.where, x.layout(), y.rank() - 1, codec::rows_of(w.whole()));
  bool const partial = p.tensor && made.partial;
  w.visit([&](auto tag, auto const& s) {
    decltype(tag)::type::apply(*p.where, w.shape, s, m, static_cast<T const*>(x.data()), y.data(),
                               partial ? compute::epilogue<T>{} : after);
  });
  if (!p.tensor) return y;
  axis_layout const wish = left_layout(p, w, y.shape(), y.rank() - 1);
  if (!partial) {
    y = y.with_layout(made.layout);
    return wish.cut() && !made.layout.cut() ? redistribute(p, std::move(y), wish) : y;
  }
  y = resolve(p, std::move(y), wish);
  if (after.bias) compute::add_bias(p.space(), out > 0 ? y.size() / out : 0, out, after.bias, y.data(), out);
  if (after.act == compute::activation::relu)
    compute::relu(p.space(), y.size(), static_cast<T const*>(y.data()), y.data());
  return y;
}

/// dx[m, in] = dy[m, out] · W in whatever form W is stored; with a mask, elements whose mask is not positive become
/// zero. A sum over the ranks of the tensor axis is completed where the pass wants dx.
template <class Forms, class Space, class T>
[[nodiscard]] tensor<T, Space> apply_transposed(pass<Space> const& p, tensor<T, Space> dy,
                                                weight<Forms, Space> const& w, T const* mask = nullptr) {
  dy = aligned_gradient(p, std::move(dy), w);
  index_t const in = codec::columns_of(w.shape), out = codec::rows_of(w.shape);
  bool const sequences = dy.rank() == 3 && dy.extent(2) == out;
  index_t const m = sequences ? dy.extent(0) * dy.extent(1) : out > 0 ? dy.size() / out : dy.extent(0);
  auto dx = tensor<T, Space>::allocate(*p.where, sequences ? extents{dy.extent(0), dy.extent(1), in} : extents{m, in});
  w.visit([&](auto tag, auto const& s) {
    decltype(tag)::type::apply_transposed(*p.where, w.shape, s, m, static_cast<T const*>(dy.data()), dx.data(), mask);
  });
  if (!p.tensor) return dx;
  auto const need = product_needs(w.where, dy.layout(), dx.rank() - 1, codec::columns_of(w.whole()));
  auto const made = product_input_gradient(w.where, need);
  if (made.partial) return resolve(p, std::move(dx), p.input);
  return redistribute(p, dx.with_layout(made.layout), p.input);
}

/// x as products with w took it: x itself, or its numbers as the form in use rounds them. For the gradient of w.
template <class Forms, class Space, class T>
[[nodiscard]] tensor<T, Space> as_multiplied(pass<Space> const& p, tensor<T, Space> x, weight<Forms, Space> const& w) {
  w.visit([&](auto tag, auto const& s) {
    using F = typename decltype(tag)::type;
    if constexpr (detail::may_round_inputs<F, Space>) {
      if (!F::rounds_inputs(s)) return;
      auto rounded = tensor<T, Space>::allocate(*p.where, x.shape());
      F::round_inputs(*p.where, s, x.size(), static_cast<T const*>(x.data()), rounded.data());
      x = rounded.with_layout(x.layout());
    }
  });
  return x;
}
/// Whether products with w round their inputs.
template <class Forms, class Space> [[nodiscard]] bool rounds_inputs(weight<Forms, Space> const& w) {
  return w.visit([](auto tag, auto const& s) {
    using F = typename decltype(tag)::type;
    if constexpr (detail::may_round_inputs<F, Space>) return F::rounds_inputs(s);
    else return false;
  });
}
/// Whether products with w learn by which scale they round their inputs: from dx, which they need even if nobody else
/// does.
template <class Forms, class Space> [[nodiscard]] bool learns_inputs(weight<Forms, Space> const& w) {
  return w.requires_grad && w.visit([](auto tag, auto const& s) {
    using F = typename decltype(tag)::type;
    if constexpr (detail::may_round_inputs<F, Space>) return F::learns_inputs(s);
    else return false;
  });
}
/// dx of a product with x, placed as x is: what the form in use cut off gets none.
/// \param own whether no other rank of the tensor axis has the same elements of dx, complete
template <class Forms, class Space, class T>
void mask_cut_inputs(pass<Space> const& p, tensor<T, Space> const& x, tensor<T, Space>& dx, weight<Forms, Space>& w,
                     bool own) {
  w.visit([&](auto tag, auto& s) {
    using F = typename decltype(tag)::type;
    if constexpr (detail::may_round_inputs<F, Space>)
      if (F::rounds_inputs(s))
        F::mask_inputs(*p.where, s, dx.size(), static_cast<T const*>(x.data()), dx.data(),
                       w.requires_grad && (own || !p.tensor || p.tensor->rank() == 0));
  });
}

/// Runs kernel(out, lanes) for every segment of the pass, so that a weight gradient lands where the pass wants it.
/// `kernel` follows compute/lanes.hpp. Nothing happens for a frozen weight.
/// \param rows_per_sample rows of the layer's matrices that one sample has (its positions): lanes are handed on in rows
template <class Forms, class Space, class Kernel>
void accumulate_gradient(pass<Space> const& p, weight<Forms, Space>& w, index_t rows_per_sample, Kernel&& kernel) {
  if constexpr (Forms::trainable) {
    if (!w.requires_grad || w.id < 0) return;
    bool counted_elsewhere = false;
    if (gradient_is_addend(w.where, p.addends)) {
      w.use->addend = true;
    } else if (p.tensor && w.use->expected > 1 && !w.where.shards()) {
      // Another use of this weight may have addends: then this one, which all ranks have alike, must enter the sum
      // once.
      w.use->addend = true;
      counted_elsewhere = p.tensor->rank() != 0;
    }
    for (segment const& s : p.segments) {
      compute::lanes l = s.lanes;
      if (counted_elsewhere) {
        if (w.use->done == 0 && !l.accumulate)
          compute::fill(p.space(), w.size(), std::remove_pointer_t<decltype(w.gradient())>(0), w.gradient(s.slot));
        continue;
      }
      if (w.use->done > 0) l.accumulate = true;  // the second use of a tied weight; the arena gave it one slot per lane
      if (rows_per_sample != 1)
        for (int i = 0; i <= l.count; ++i) l.row[static_cast<std::size_t>(i)] *= rows_per_sample;
      kernel(w.gradient(s.slot), l);
    }
    ++w.use->done;
  } else {
    static_assert(Forms::trainable,
                  "pleat: no form of this weight's set can be trained: add a trainable one, e.g. codec::dense<float>, "
                  "to linear<codec::forms<…>>");
  }
}
/// One row per sample.
template <class Forms, class Space, class Kernel>
void accumulate_gradient(pass<Space> const& p, weight<Forms, Space>& w, Kernel&& kernel) {
  accumulate_gradient(p, w, 1, std::forward<Kernel>(kernel));
}

}  // namespace pleat::nn
