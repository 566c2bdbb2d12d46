// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A parameter with a form, and the three products a layer makes with it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include <pleat/codec/dense.hpp>
#include <pleat/codec/form.hpp>
#include <pleat/codec/learned_steps.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/align.hpp>
#include <pleat/nn/any_weight.hpp>
#include <pleat/nn/parameter.hpp>
#include <pleat/nn/pass.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::nn {

namespace detail {
/// Whether a form takes a mask beside numbers that stay where they are. (A concept outside of the class: nvcc takes one
/// inside for its declaration.)
template <class F, class Space>
concept keeps_masks = requires(context<Space>& c, std::vector<std::uint8_t> const& bits,
                               typename F::template storage<Space>& s) { F::keep(c, bits, s); };
/// Whether a form goes on as it is when it gets a mask.
template <class F, class Space>
concept takes_masks = requires(context<Space>& c, std::vector<std::uint8_t> const& bits,
                               typename F::template storage<Space>& s) { F::take_mask(c, bits, s); };
/// Whether a form that trains codes can write them as the form F.
template <class Trained, class F, class Space>
concept converts_to =
    requires(context<Space>& c, extents const& shape, typename Trained::template storage<Space> const& s,
             typename F::template storage<Space>& to) { Trained::template convert<F>(c, shape, s, to); };
/// Writes them. (A function outside of the class: nvcc compiles a lambda's discarded statement where Trained is known.)
template <class Trained, class F, class Space, class Storage>
[[nodiscard]] std::optional<bool> convert_codes(context<Space>& c, extents const& shape, Storage const& s, void* to) {
  if constexpr (converts_to<Trained, F, Space>)
    return Trained::template convert<F>(c, shape, s, *static_cast<typename F::template storage<Space>*>(to));
  else return std::nullopt;
}
template <class F, class Space>
concept trains_grid = requires(typename F::template storage<Space> const& s) { s.grid.words(); };
/// Whether a form may round the inputs of its products while it trains (codec/fake_quantized.hpp).
template <class F, class Space>
concept may_round_inputs = requires(typename F::template storage<Space> const& s) { F::rounds_inputs(s); };
}  // namespace detail

/// A weight whose numbers are stored in one member of the set `Forms`, chosen at run time.
template <class Forms, class Space> class weight : public any_weight<typename Forms::value_type, Space> {
  static_assert((codec::demand_forms<Space>(codec::form_tag<Forms>{}), true));
  using base = any_weight<typename Forms::value_type, Space>;

 public:
  using forms = Forms;
  using execution_space = Space;
  using value_type = typename Forms::value_type;
  using base::box, base::form, base::global_shape, base::in_arena, base::name, base::parts, base::shape, base::values,
      base::where, base::whole;

  weight() = default;
  weight(std::string name, extents shape, initializer init, parameter_kind kind = parameter_kind::trainable)
      : base(std::move(name), shape, dtype_of<value_type>, init, kind) {
    in_arena = visit_in_use([](auto tag) { return decltype(tag)::type::trainable; });
  }

  /// The same weight in a wider (or other) set of forms: the form in use keeps its name and its content.
  template <class Others> explicit weight(weight<Others, Space> const& o) : base(o) { adopt(o); }

  [[nodiscard]] std::string_view form_name() const final { return Forms::name(form); }
  [[nodiscard]] bool trainable() const final {
    return visit_in_use([](auto tag) { return decltype(tag)::type::trainable; });
  }
  [[nodiscard]] std::vector<std::string_view> form_names() const final {
    std::vector<std::string_view> all;
    for (int i = 0; i < Forms::size; ++i) all.push_back(Forms::name(i));
    return all;
  }
  void use_form_at(int at) final {
    codec::visit_form<Forms>(at, [&](auto tag) { use_form<typename decltype(tag)::type>(); });
  }

  [[nodiscard]] int position_of(std::type_info const& wanted) const final {
    for (int i = 0; i < Forms::size; ++i)
      if (codec::visit_form<Forms>(i, [&](auto tag) { return typeid(typename decltype(tag)::type) == wanted; }))
        return i;
    return -1;
  }
  [[nodiscard]] void* storage_at(int at) const final {
    return codec::visit_form<Forms>(at, [&](auto tag) -> void* { return &storage_of(tag); });
  }
  [[nodiscard]] std::optional<bool> store_codes(context<Space>& c, int at, void* to) const final {
    return visit([&](auto tag, auto const& s) { return store_codes_of<typename decltype(tag)::type>(c, s, at, to); });
  }
  [[nodiscard]] std::string code_words() const final {
    return visit([](auto tag, auto const& s) -> std::string {
      if constexpr (detail::trains_grid<typename decltype(tag)::type, Space>) return s.grid.words();
      else return {};
    });
  }
  [[nodiscard]] std::unique_ptr<factors_of_weight<Space>> factors() final {
    return visit([&](auto tag, [[maybe_unused]] auto& s) -> std::unique_ptr<factors_of_weight<Space>> {
      [[maybe_unused]] auto& w = *this;
      using From = typename decltype(tag)::type;
      using To = typename codec::detail::refined_of<From>::type;
      if constexpr (std::is_void_v<To>) return nullptr;
      else if constexpr (Forms::template contains<To>)
        return std::make_unique<detail::stored_factors<weight, From, To>>(w, s);
      else return std::make_unique<detail::fixed_factors<Space>>();
    });
  }

  /// Calls f(form_tag<F>, storage&) for the form in use, with its memory attached.
  template <class F> decltype(auto) visit(F&& f) const {
    return codec::visit_form<Forms>(form, [&](auto tag) -> decltype(auto) { return f(tag, storage_of(tag)); });
  }

  /// The storage of a member of the set. Arena memory is attached per call, so that it may move between calls.
  template <class F> [[nodiscard]] typename F::template storage<Space>& storage_of(codec::form_tag<F>) const {
    auto& s = std::get<Forms::template index_of<F>()>(storages_);
    if constexpr (F::trainable) s.attach(static_cast<value_type*>(values));
    return s;
  }

  /// Selects the form F; its storage must be filled by the caller (`F::encode`).
  template <class F> void use_form() {
    form = Forms::template index_of<F>();
    in_arena = F::trainable;
  }

  void decode(context<Space>& c, value_type* out) const final {
    visit([&](auto tag, auto& s) { decltype(tag)::type::decode(c, shape, s, out); });
  }
  [[nodiscard]] index_t bytes() const final {
    return visit([&](auto tag, auto& s) { return decltype(tag)::type::bytes(shape, s); });
  }
  // nvcc knows no 'this' in what a lambda requires: it is called w there.

  [[nodiscard]] std::optional<codec::error_norms> predict(context<Space>& c,
                                                          std::span<value_type const> from) const final {
    return visit([&](auto tag, auto const& s) -> std::optional<codec::error_norms> {
      [[maybe_unused]] auto const& w = *this;
      using F = typename decltype(tag)::type;
      if constexpr (requires { F::predict(c, w.shape, from, s); }) return F::predict(c, w.shape, from, s);
      else return std::nullopt;
    });
  }

  [[nodiscard]] std::optional<double> multiply_adds(codec::product_places const& at) const final {
    return visit([&](auto tag, auto const& s) -> std::optional<double> {
      [[maybe_unused]] auto const& w = *this;
      using F = typename decltype(tag)::type;
      if constexpr (requires { F::multiply_adds(w.shape, s, at); }) return F::multiply_adds(w.shape, s, at);
      else return std::nullopt;
    });
  }

  [[nodiscard]] std::vector<codec::file_tensor> to_file(context<Space>& c) const final {
    return visit([&](auto tag, auto const& s) -> std::vector<codec::file_tensor> {
      [[maybe_unused]] auto const& w = *this;
      using F = typename decltype(tag)::type;
      if constexpr (requires { F::to_file(c, w.shape, s); }) return F::to_file(c, w.shape, s);
      else refuse_file(F::name, "it needs 'to_file' and 'from_file'");
    });
  }
  [[nodiscard]] std::function<void()> from_file(context<Space>& c, std::span<codec::file_tensor const> tensors,
                                                value_type* numbers) final {
    return visit([&](auto tag, auto& s) -> std::function<void()> {
      [[maybe_unused]] auto const& w = *this;
      using F = typename decltype(tag)::type;
      if constexpr (requires { F::from_file(c, w.shape, tensors, s); }) {
        auto const fresh = std::make_shared<std::remove_cvref_t<decltype(s)>>();
        if constexpr (F::trainable) fresh->attach(numbers);
        F::from_file(c, w.whole(), tensors, *fresh);
        if (is_cut()) {
          if constexpr (requires { F::slice(c, w.shape, *fresh, w.box()); })
            *fresh = F::slice(c, w.whole(), *fresh, w.box());
          else if constexpr (!F::trainable)
            refuse_file(F::name, "it cannot be cut as " + w.where.to_string() + ", for it has no 'slice'");
        }
        return [fresh, to = &s] { *to = *fresh; };
      } else {
        refuse_file(F::name, "it needs 'to_file' and 'from_file'");
      }
    });
  }

  [[nodiscard]] bool joins() const final {
    [[maybe_unused]] auto const& w = *this;
    return visit_in_use([&](auto tag) {
      return requires(std::span<codec::weight_piece const> p) { decltype(tag)::type::join(w.shape, 0, p); };
    });
  }
  [[nodiscard]] std::vector<codec::file_tensor> join(std::span<codec::weight_piece const> pieces) const final {
    return visit_in_use([&](auto tag) -> std::vector<codec::file_tensor> {
      [[maybe_unused]] auto const& w = *this;
      using F = typename decltype(tag)::type;
      if constexpr (requires { F::join(w.shape, 0, pieces); }) return F::join(w.whole(), w.where.dim, pieces);
      else refuse_file(F::name, "its parts cannot be put together, for it has no 'join'");
    });
  }
  [[nodiscard]] codec::cut_unit granularity(std::span<std::string const> stored = {}) const final {
    return visit([&](auto tag, [[maybe_unused]] auto const& s) -> codec::cut_unit {
      [[maybe_unused]] auto const& w = *this;
      using F = typename decltype(tag)::type;
      if constexpr (requires { F::granularity(w.shape, s, stored); }) return F::granularity(w.whole(), s, stored);
      else if constexpr (requires { F::granularity(w.shape); }) return F::granularity(w.whole());
      else return {};
    });
  }
  void slice(context<Space>& c) final {
    visit([&](auto tag, auto& s) {
      [[maybe_unused]] auto const& w = *this;
      using F = typename decltype(tag)::type;
      if constexpr (requires { F::slice(c, w.shape, s, w.box()); }) {
        auto part = F::slice(c, w.global_shape, s, w.box());
        s = std::move(part);
      } else if constexpr (!F::trainable) {
        throw error{"parallel::tensor_parallel",
                    "the weight '" + w.name + "' is stored as '" + std::string(F::name) + "', which cannot be cut as " +
                        w.where.to_string(),
                    "Cut it while it is dense and encode the parts, or leave it replicated"};
      }
    });
  }

  [[nodiscard]] std::uint8_t const* mask_bits() const final {
    return visit([](auto, auto& s) -> std::uint8_t const* {
      if constexpr (requires { s.mask_bits(); }) return s.mask_bits();
      else return nullptr;
    });
  }
  [[nodiscard]] bool masked() const final {
    return visit([](auto, auto& s) { return requires { s.mask_bits(); }; });
  }
  [[nodiscard]] bool prunable() const final {
    return masked_at() >= 0 ||
           visit_in_use([](auto tag) { return detail::takes_masks<typename decltype(tag)::type, Space>; });
  }
  void give_mask(context<Space>& c, std::vector<std::uint8_t> const& bits) final {
    if (visit([&](auto tag, auto& s) {  // a form that trains beside a mask stays
          using F = typename decltype(tag)::type;
          if constexpr (detail::takes_masks<F, Space>) return F::take_mask(c, bits, s), true;
          else return false;
        }))
      return;
    codec::visit_form<Forms>(masked_at(), [&](auto tag) {
      using F = typename decltype(tag)::type;
      if constexpr (detail::keeps_masks<F, Space>) use_form<F>(), F::keep(c, bits, storage_of(tag));
    });
  }

  [[nodiscard]] codec::learned_steps const* steps() const final {
    return visit([](auto, auto& s) -> codec::learned_steps const* {
      if constexpr (requires { s.learned.numbers; }) return s.learned.numbers.empty() ? nullptr : &s.learned;
      else return nullptr;
    });
  }
  [[nodiscard]] codec::learned_steps const* input_step() const final {
    return visit([](auto, auto& s) -> codec::learned_steps const* {
      if constexpr (requires { s.learned_input.numbers; })
        return s.learned_input.numbers.empty() ? nullptr : &s.learned_input;
      else return nullptr;
    });
  }
  void zero_input_gradient() final {
    visit([](auto, auto& s) {
      if constexpr (requires { s.input_shares; }) s.input_shares = {};
    });
  }
  void set_input_step(codec::learned_steps step) final {
    visit([&](auto tag, auto& s) {
      [[maybe_unused]] auto const& w = *this;
      using F = typename decltype(tag)::type;
      if constexpr (requires { F::set_learned_input(std::move(step), s); }) F::set_learned_input(std::move(step), s);
      else
        throw error{"nn::weight::set_input_step",
                    "'" + w.name + "' has the form '" + std::string(F::name) + "', which learns no scale of its inputs",
                    "Give it the form 'fake_quantized' first (compress::quantize_aware)"};
    });
  }
  [[nodiscard]] float input_scale() const final {
    return visit([](auto, auto& s) -> float {
      if constexpr (requires { s.input_scale; }) return s.input_scale;
      else return 0;
    });
  }
  void set_steps(context<Space>& c, codec::learned_steps steps) final {
    visit([&](auto tag, auto& s) {
      [[maybe_unused]] auto const& w = *this;
      using F = typename decltype(tag)::type;
      if constexpr (requires { F::set_learned(c, w.shape, std::move(steps), s); })
        F::set_learned(c, w.shape, std::move(steps), s);
      else
        throw error{"nn::weight::set_steps",
                    "'" + w.name + "' has the form '" + std::string(F::name) + "', which learns no steps",
                    "Give it the form 'fake_quantized' first (compress::quantize_aware)"};
    });
  }

 private:
  template <class Trained, class Storage>
  [[nodiscard]] std::optional<bool> store_codes_of(context<Space>& c, Storage const& s, int at, void* to) const {
    return codec::visit_form<Forms>(at, [&](auto tag) -> std::optional<bool> {
      return detail::convert_codes<Trained, typename decltype(tag)::type>(c, shape, s, to);
    });
  }
  template <class F> decltype(auto) visit_in_use(F&& f) const {
    return codec::visit_form<Forms>(form, std::forward<F>(f));
  }

  [[nodiscard]] bool is_cut() const noexcept { return parts > 1 && where.shards(); }
  [[noreturn, gnu::cold]] static void refuse_file(std::string_view form, std::string const& lacks) {
    throw error{"codec::" + std::string(form),
                "no file takes a weight in the form '" + std::string(form) + "': " + lacks + " (codec/form.hpp)",
                "Give the form these functions, or bring the weight to a form that has them before it is saved: "
                "codec::dense, or one of compress::quantize"};
  }
  /// The form of the set that takes a mask alone, or -1.
  [[nodiscard]] static int masked_at() {
    for (int i = 0; i < Forms::size; ++i)
      if (codec::visit_form<Forms>(i,
                                   [](auto tag) { return detail::keeps_masks<typename decltype(tag)::type, Space>; }))
        return i;
    return -1;
  }

  template <class Others> void adopt(weight<Others, Space> const& o) {
    o.visit([&](auto tag, auto const& s) {
      using F = typename decltype(tag)::type;
      static_assert(
          Forms::template contains<F>,
          "pleat: the new form set must contain every form of the old one: a transform may widen a set, not narrow it");
      form = Forms::template index_of<F>();
      std::get<Forms::template index_of<F>()>(storages_) = s;
    });
  }

  // Attaching is not a change of the weight: forward is const.
  mutable typename Forms::template storages<Space> storages_{};
};

/// A plain vector or table of values: biases, scales, statistics.
template <class T, class Space> using values = weight<codec::forms<codec::dense<T>>, Space>;

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
