// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A place in a student where it is to learn what its teacher has at a place of its own.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <pleat/compute/gemm.hpp>
#include <pleat/compute/softmax.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/weight_products.hpp>

namespace pleat::compress {

namespace detail {
/// What a hint and the training share for one micro-batch; emptied before the model goes, whose context the tensors
/// belong to.
template <class T, class Space> struct hint_board {
  tensor<T, Space> target;  ///< [m, teacher's width]; empty: nobody teaches
  T weight = 0;             ///< of the loss of features
  tensor<T, Space> rows;    ///< [m]: what each sample lost here, divided by the global batch
};
}  // namespace detail

/// Lets its input through. While `compress::distill` trains, an adapter (a matrix, learned along) maps the input to the
/// width of the teacher's features after its unit `teacher_unit`, and their mean square difference joins the loss: A.
/// Romero et al., "FitNets: Hints for Thin Deep Nets", arXiv:1412.6550. Without a teacher it costs nothing. Parameter:
/// "<name>.adapter" [teacher's width, inputs].
///
///     nn::sequential(nn::linear("fc1", 784, 100), nn::relu(), compress::hint("hint", 100, 1200, 2), nn::linear("fc2", 100, 10))
///
/// `compress::without_hints(model)` is the model that is left when the lesson is over.
template <class T = float, class Space = Kokkos::DefaultExecutionSpace> class hint {
 public:
  static_assert(!is_reduced_v<T>, "pleat: compress::hint computes in float or double, as compress::distill does");
  using value_type = T;                        ///< of weights and activations
  using execution_space = Space;               ///< where it runs
  using tensor_type = tensor<T, Space>;        ///< of its activations
  static constexpr char const* kind = "hint";  ///< what descriptions call it

  /// The input as rows, and the gradient of the features' loss with respect to the adapter's output.
  struct saved {
    tensor_type x, da;
  };

  /// \param inputs       elements of a sample as it comes by
  /// \param width        elements of the teacher's feature of a sample
  /// \param teacher_unit the feature is what the first so many units of the teacher give
  hint(std::string name, index_t inputs, index_t width, index_t teacher_unit)
      : name_(std::move(name)),
        unit_(teacher_unit),
        adapter_(name_ + ".adapter", extents{width, inputs}, nn::initializer::fan_in_uniform(inputs)),
        board_(std::make_shared<detail::hint_board<T, Space>>()) {
    if (inputs < 1 || width < 1 || teacher_unit < 1)
      throw error{"compress::hint '" + name_ + "'",
                  "inputs, width and teacher_unit must be positive, found " + std::to_string(inputs) + ", " +
                      std::to_string(width) + ", " + std::to_string(teacher_unit),
                  "Say the width of the student there, that of the teacher, and after how many of its units"};
  }

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  [[nodiscard]] index_t teacher_unit() const noexcept { return unit_; }
  [[nodiscard]] index_t width() const noexcept { return adapter_.whole()[0]; }
  [[nodiscard]] detail::hint_board<T, Space>& board() const noexcept { return *board_; }

  [[nodiscard]] extents shape(extents const& in) const {
    if (in.size_from(1) != adapter_.whole()[1])
      throw error{"compress::hint '" + name_ + "'",
                  "expected samples of " + std::to_string(adapter_.whole()[1]) + " elements, found an input of shape " +
                      in.to_string(),
                  "Say as `inputs` the elements of a sample that the layer before the hint makes"};
    return in;
  }
  [[nodiscard]] nn::step<saved, tensor_type> forward(nn::pass<Space> const& p, tensor_type x) const {
    (void)shape(x.shape());
    saved s;
    if (!p.training || !board_->target.data()) return {std::move(x), std::move(s)};
    auto const rows = x.reshape(extents{x.extent(0), x.shape().size_from(1)});
    index_t const m = rows.extent(0), n = width();
    if (board_->target.extent(0) != m || board_->target.extent(1) != n)
      throw error{"compress::hint '" + name_ + "'",
                  "the teacher's features are " + board_->target.shape().to_string() + ", expected " +
                      extents{m, n}.to_string(),
                  "Look at the hint's width and teacher_unit"};
    s.da = nn::apply(p, rows, adapter_);
    T const scale = board_->weight / static_cast<T>(p.global_batch * n);
    board_->rows = tensor_type::allocate(*p.where, {m});
    compute::mean_square(p.space(), m, n, static_cast<T const*>(s.da.data()),
                         static_cast<T const*>(board_->target.data()), scale, s.da.data(), board_->rows.data());
    compute::scale(p.space(), m, scale, static_cast<T const*>(board_->rows.data()), board_->rows.data());
    s.x = rows;
    return {std::move(x), std::move(s)};
  }
  [[nodiscard]] tensor_type backward_input(nn::pass<Space> const& p, saved& s, tensor_type dy) {
    if (!p.input_gradient || !s.da.data()) return dy;
    auto const own = nn::apply_transposed(p, s.da, adapter_);
    auto dx = dy.sole_owner() ? dy : tensor_type::allocate(*p.where, dy.shape());
    compute::add(p.space(), dy.size(), static_cast<T const*>(dy.data()), static_cast<T const*>(own.data()), dx.data());
    return dx;
  }
  void backward_weight(nn::pass<Space> const& p, saved& s) {
    index_t const rows = adapter_.shape[0], columns = adapter_.shape[1];
    if (s.da.data())
      nn::accumulate_gradient(p, adapter_, [&](auto* out, compute::lanes const& l) {
        compute::gemm_lanes(p.space(), rows, columns, s.da.data(), rows, s.x.data(), columns, out, columns, l);
      });
    else  // nobody teaches: the arena's gradient must hold something all the same
      nn::accumulate_gradient(p, adapter_, [&](auto* out, compute::lanes const& l) {
        if (!l.accumulate) compute::fill(p.space(), rows * columns, std::remove_pointer_t<decltype(out)>(0), out);
      });
    s = {};
  }
  void prefix_name(std::string_view prefix) { name_.insert(0, prefix); }
  template <class F> void for_each_parameter(F&& f) { f(adapter_); }

 private:
  std::string name_;
  index_t unit_;
  nn::values<T, Space> adapter_;
  // copies of a network take their lessons in turn, never at once
  std::shared_ptr<detail::hint_board<T, Space>> board_;
};

hint(std::string, index_t, index_t, index_t) -> hint<>;

/// What is left of a hint when the lesson is over: nothing.
template <class T = float, class Space = Kokkos::DefaultExecutionSpace> struct bypass {
  using value_type = T;                          ///< of weights and activations
  using execution_space = Space;                 ///< where it runs
  static constexpr char const* kind = "bypass";  ///< what descriptions call it
  /// where the tensor axis may cut its input (placement_rules.hpp)
  static constexpr nn::mixing mixes = nn::mixing::nothing;
  struct saved {};
  [[nodiscard]] extents shape(extents const& in) const { return in; }
  [[nodiscard]] nn::step<saved, tensor<T, Space>> forward(nn::pass<Space> const&, tensor<T, Space> x) const {
    return {std::move(x), {}};
  }
  [[nodiscard]] tensor<T, Space> backward(nn::pass<Space> const&, saved&, tensor<T, Space> dy) { return dy; }
  template <class F> void for_each_parameter(F&&) {}
  [[nodiscard]] nn::layer_cost cost(extents const& in) const {
    nn::layer_cost c{.name = kind, .kind = kind, .in = in, .out = in};
    c.keeps_input = false;
    c.view = true;
    return c;
  }
};

namespace detail {
template <class L> struct is_hint {
  static constexpr bool value = false;
};
template <class T, class Space> struct is_hint<hint<T, Space>> {
  static constexpr bool value = true;
};

/// f(hint&) for every one of a network.
template <class L, class F> void for_each_hint(L& l, F& f) {
  if constexpr (is_hint<std::remove_cv_t<L>>::value) f(l);
  else if constexpr (nn::composite<std::remove_cv_t<L>>)
    l.for_each_child([&](auto& child) { for_each_hint(child, f); });
}
struct drop_hint {
  template <class L> [[nodiscard]] auto operator()(L const& l) const {
    if constexpr (is_hint<L>::value) return bypass<typename L::value_type, typename L::execution_space>{};
    else return l;
  }
};
}  // namespace detail

/// The model without its hints: the same answers, the same parameters but the adapters. Model is a parallel::model.
template <class Model> [[nodiscard]] auto without_hints(Model const& m) {
  return m.rebuild(nn::map_leaves(m.net(), detail::drop_hint{}));
}

}  // namespace pleat::compress
