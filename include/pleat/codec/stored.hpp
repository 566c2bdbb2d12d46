// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A form made of bit logic (no Kokkos: encode, check, open, slice, join) and a family of kernels. Most forms of this
/// room are one.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/codec/detail/handed_on.hpp>
#include <pleat/codec/detail/stored_weight.hpp>
#include <pleat/codec/form.hpp>
#include <pleat/codec/product_places.hpp>

namespace pleat::codec {

/// The form of a weight whose file image is at the same time what its kernels read. `Bits` (a struct without data)
/// provides
///
///     static constexpr std::string_view name;
///     struct options;                                                      // default-constructible: what encode() uses
///     static std::vector<file_tensor> encode(extents const&, std::span<float const>, options const&);
///     static void check(extents const&, std::span<file_tensor const>);     // throws error unless the parts can be believed
///     static std::vector<file_tensor> derive(extents const&, std::span<file_tensor const>);   // optional: tables that no file holds
///     struct view;                                                         // pointers; decode(row, first, last, out)
///     static view open(extents const&, detail::placed_parts const&[, std::span<file_tensor const>]);   // where kernels read; host bytes
///     static cut_unit granularity(extents const&);
///     static std::vector<file_tensor> slice(extents const&, std::span<file_tensor const>, index_t first, index_t last);   // rows
///     static std::vector<file_tensor> slice_columns(extents const&, extents const& part, std::span<file_tensor const>, index_t first, index_t last);
///     static std::vector<file_tensor> join(extents const&, int dim, std::span<weight_piece const>);   // the inverse of both
///     static error_norms predict(extents const&, std::span<float const>, std::span<file_tensor const>);   // optional: a bound of the error
///     using kernel = …;                                                    // kernel::apply(context&, shape, view, m, x, y, epilogue)
///
/// A kernel may have `bool convolve(context&, conv2d_shape, view, x, bias, y, activation)`: false if it leaves this one
/// to the decoded weight; and `std::optional<double> multiply_adds(shape, view, pieces, product_places)`, if its
/// product is not the one with the decoded weight. Not trainable; gradients flow through it to the layers before:
/// `apply_transposed` and the convolutions decode into pooled memory.
template <class T, class Bits> struct stored : detail::handed_on<T> {
  using bits = Bits;
  using options = typename Bits::options;
  using view = typename Bits::view;
  static constexpr std::string_view name = Bits::name;

  /// Copies share everything; nothing in it changes after it was encoded.
  template <class Space> using storage = detail::stored_weight<Bits, Space>;

  /// \throws error if an element is NaN or infinite (the row and column), or the shape does not suit the form
  template <class Space>
  static void encode(context<Space>& c, extents const& shape, T const* values, storage<Space>& s) {
    s.encode(c, shape, values, options{});
  }
  /// The same with the form's own options.
  template <class Space>
  static void encode_with(context<Space>& c, extents const& shape, T const* values, options const& o,
                          storage<Space>& s) {
    s.encode(c, shape, values, o);
  }
  /// Multiply-adds of one sample's product, where it is another one than that with the decoded matrix; nothing where it
  /// is that.
  template <class Space>
  [[nodiscard]] static std::optional<double> multiply_adds(extents const& shape, storage<Space> const& s,
                                                           product_places const& at)
    requires requires {
      Bits::kernel::multiply_adds(shape, s.view, std::span<detail::placed_parts::piece const>{}, at);
    }
  {
    if (!s.pieces) detail::refuse_empty(name);
    return Bits::kernel::multiply_adds(shape, s.view, std::span<detail::placed_parts::piece const>(*s.pieces), at);
  }

  /// Exactly what a file's data holds.
  template <class Space> [[nodiscard]] static index_t bytes(extents const&, storage<Space> const& s) noexcept {
    return s.bytes_in_file();
  }
  template <class Space>
  [[nodiscard]] static std::vector<file_tensor> to_file(context<Space>& c, extents const&, storage<Space> const& s) {
    return s.to_file(c);
  }

  /// What the stored form promises of the error against `values` (host), the numbers that it was encoded from.
  template <class Space>
  [[nodiscard]] static error_norms predict(context<Space>& c, extents const& shape, std::span<T const> values,
                                           storage<Space> const& s)
    requires requires(std::vector<file_tensor> const& parts) { Bits::predict(shape, values, parts); }
  {
    return s.predict(c, shape, values);
  }

  /// The unit at which this form may be cut.
  [[nodiscard]] static cut_unit granularity(extents const& shape) { return Bits::granularity(shape); }

  /// Rows [first, last) as a weight of their own: the same numbers, nothing is encoded again.
  /// \throws error if a border is not at a multiple of granularity(shape).rows (the end of the weight always is one)
  template <class Space>
  static void slice(context<Space>& c, extents const& shape, storage<Space> const& s, index_t first, index_t last,
                    storage<Space>& out) {
    out = s.slice_rows(c, shape, first, last);
  }
  /// The part of a box that is cut along dimension 0 or 1 (of a convolution: whole channels): the same numbers, the
  /// same kernels.
  /// \throws error if a border is not at a multiple of granularity(shape) (the end of the weight always is one)
  template <class Space>
  [[nodiscard]] static storage<Space> slice(context<Space>& c, extents const& shape, storage<Space> const& s,
                                            index_box const& part) {
    return s.slice(c, shape, part);
  }
  /// What a file holds of the weight whose pieces along dimension `dim` (0 or 1) these are, in order: the bytes that
  /// the uncut weight has. Host alone.
  /// \throws error for parts that were encoded each by itself and share no table
  [[nodiscard]] static std::vector<file_tensor> join(extents const& shape, int dim,
                                                     std::span<weight_piece const> pieces) {
    return storage<Kokkos::DefaultExecutionSpace>::join(shape, dim, pieces);  // any space's would do
  }

  /// Takes parts that are known to be good (an encoder's) into the space's memory.
  template <class Space>
  static void set(context<Space>& c, extents const& shape, std::vector<file_tensor> parts, storage<Space>& s) {
    s.take(c, shape, std::move(parts));
  }
};

}  // namespace pleat::codec
