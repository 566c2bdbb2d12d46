// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A weight whose set of forms is forgotten: what files, reports, placements, checkpoints and transforms ask of it, one
/// virtual call per weight. So they are compiled once per element type; products are weight's own affair.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

#include <pleat/base/context.hpp>
#include <pleat/codec/error_norms.hpp>
#include <pleat/codec/file_tensor.hpp>
#include <pleat/codec/form.hpp>
#include <pleat/codec/learned_steps.hpp>
#include <pleat/codec/product_places.hpp>
#include <pleat/nn/parameter.hpp>
#include <pleat/nn/weight_factors.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::nn {

/// A parameter that has its numbers in some form. Said of the form in use, if nothing else is.
template <class T, class Space> class any_weight : public parameter {
 public:
  using value_type = T;           ///< of weights and activations
  using execution_space = Space;  ///< where it runs
  using parameter::parameter;

  [[nodiscard]] virtual std::string_view form_name() const = 0;
  [[nodiscard]] virtual bool trainable() const = 0;
  /// The names of all forms that it can take: `form` is a position in them.
  [[nodiscard]] virtual std::vector<std::string_view> form_names() const = 0;
  /// Selects a form by its position; its storage is filled by from_file.
  virtual void use_form_at(int at) = 0;

  /// Position of a form in the set; −1: it cannot take it.
  [[nodiscard]] virtual int position_of(std::type_info const& form) const = 0;
  /// The storage of a member of the set, by its position; arena memory is attached.
  [[nodiscard]] virtual void* storage_at(int at) const = 0;
  /// Whether its set has the form F.
  template <class F> [[nodiscard]] bool can_take() const { return position_of(typeid(F)) >= 0; }
  /// Whether F is the form in use.
  template <class F> [[nodiscard]] bool uses() const { return position_of(typeid(F)) == form; }
  /// The storage of a form that it can take.
  template <class F> [[nodiscard]] typename F::template storage<Space>& storage_of(codec::form_tag<F>) const {
    return *static_cast<typename F::template storage<Space>*>(storage_at(position_of(typeid(F))));
  }
  /// Selects a form that it can take; its storage must be filled by the caller.
  template <class F> void use_form() { use_form_at(position_of(typeid(F))); }

  /// Of a form that trains codes (codec/fake_quantized.hpp): writes these into a storage of the member `at` of the set.
  /// \returns whether they are codes of that form, and nothing for a form that trains none
  [[nodiscard]] virtual std::optional<bool> store_codes(context<Space>& c, int at, void* to) const = 0;
  /// Which codes those are, in words.
  [[nodiscard]] virtual std::string code_words() const = 0;
  /// Null where the form in use has none that could take forms of their own.
  [[nodiscard]] virtual std::unique_ptr<factors_of_weight<Space>> factors() = 0;

  /// Dense values into `out` (size() elements of the space's memory).
  virtual void decode(context<Space>& c, T* out) const = 0;
  /// Whether decode() would copy what data() shows.
  [[nodiscard]] virtual bool plain() const = 0;
  /// Dense values to look at, in the space's memory: where they lie, if the form stores them so, else decoded. Valid
  /// for as long as the weight is as it is.
  [[nodiscard]] tensor<T, Space> dense_values(context<Space>& c) const {
    if (plain()) return tensor<T, Space>::wrap(data(), this->shape);
    auto values = tensor<T, Space>::allocate(c, this->shape);
    decode(c, values.data());
    return values;
  }
  /// Bytes of the stored form.
  [[nodiscard]] virtual index_t bytes() const = 0;
  /// What the form says of the numbers that it was made from; nothing if it does not say. \param values those numbers,
  /// on the host
  [[nodiscard]] virtual std::optional<codec::error_norms> predict(context<Space>& c,
                                                                  std::span<T const> values) const = 0;

  /// Multiply-adds of its products where they are others than those with the decoded matrix; nothing where they are
  /// those.
  [[nodiscard]] virtual std::optional<double> multiply_adds(codec::product_places const& at) const = 0;

  /// What a file holds of it; where it is cut, of its part. \throws error for a form that files do not take
  [[nodiscard]] virtual std::vector<codec::file_tensor> to_file(context<Space>& c) const = 0;
  /// Reads what a file holds of the whole; where it is cut, its part. \param numbers where those of a form that trains
  /// go at once: room for the whole's
  /// \returns what puts the rest in place \throws error if the tensors do not fit, or the form cannot be cut
  [[nodiscard]] virtual std::function<void()> from_file(context<Space>& c, std::span<codec::file_tensor const> tensors,
                                                        T* numbers = nullptr) = 0;

  /// Whether parts of the form can be put together again.
  [[nodiscard]] virtual bool joins() const = 0;
  /// What a file holds of the whole, from that of all parts. Host alone. \throws error for parts that were encoded each
  /// by itself
  [[nodiscard]] virtual std::vector<codec::file_tensor> join(std::span<codec::weight_piece const> pieces) const = 0;
  /// Between which elements it may be cut. \param stored suffixes of what a file holds of it, where from_file is to
  /// come
  [[nodiscard]] virtual codec::cut_unit granularity(std::span<std::string const> stored = {}) const = 0;
  /// From the storage of the whole to that of box(). \throws error for a form that cannot be cut
  virtual void slice(context<Space>& c) = 0;

  /// Whether its form says which elements live.
  [[nodiscard]] virtual bool masked() const = 0;
  /// Whether it may be stored so.
  [[nodiscard]] virtual bool prunable() const = 0;
  /// Stores it so, its values as they are; in a form that has room for a mask it stays. \param bits of its elements
  /// here: which live
  virtual void give_mask(context<Space>& c, std::vector<std::uint8_t> const& bits) = 0;

  /// Steps that its form learns, of the part that is here; null where it learns none.
  [[nodiscard]] virtual codec::learned_steps const* steps() const = 0;
  /// Puts them back, and what moves them. \throws error for a number of them that does not fit
  virtual void set_steps(context<Space>& c, codec::learned_steps steps) = 0;

  /// The step by which its form rounds its inputs, if it learns it; else null.
  [[nodiscard]] virtual codec::learned_steps const* input_step() const = 0;
  /// Puts it back, and what moves it. \throws error for a form that learns none
  virtual void set_input_step(codec::learned_steps step) = 0;
  /// What that step's gradient has so far is forgotten: a step of training begins.
  virtual void zero_input_gradient() = 0;
  /// The scale by which its form rounds its inputs; 0: they stay as they are.
  [[nodiscard]] virtual float input_scale() const = 0;

  [[nodiscard]] T* data() const noexcept { return static_cast<T*>(values); }
  /// float where the values are 16 bits wide.
  [[nodiscard]] master_t<T>* gradient(int slot = 0) const noexcept {
    return static_cast<master_t<T>*>(gradients) + slot * slot_stride;
  }
};

/// A host copy of the bits of the elements that live; all ones where it has no mask here.
template <class Space> [[nodiscard]] std::vector<std::uint8_t> host_mask(context<Space>& c, parameter const& w) {
  std::vector<std::uint8_t> bits(static_cast<std::size_t>((w.size() + 7) / 8), 0xff);
  if (w.mask_bits() && !bits.empty())
    // only read
    copy_to_host(c,
                 tensor<std::uint8_t, Space>::wrap(const_cast<std::uint8_t*>(w.mask_bits()),
                                                   {static_cast<index_t>(bits.size())}),
                 bits.data());
  return bits;
}

}  // namespace pleat::nn
