// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A parameter with a form: one member of a closed set, chosen at run time.
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
#include <pleat/nn/any_weight.hpp>
#include <pleat/nn/parameter.hpp>
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
template <class F>
concept stores_plain = requires { requires F::plain; };
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
  [[nodiscard]] bool plain() const final {
    return visit_in_use([](auto tag) { return detail::stores_plain<typename decltype(tag)::type>; });
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

}  // namespace pleat::nn
