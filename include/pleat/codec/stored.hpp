// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A form made of bit logic (no Kokkos: encode, check, open, slice, join) and a family of kernels. Most forms of this room are one.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <pleat/codec/dense.hpp>
#include <pleat/codec/detail/cut_bits.hpp>
#include <pleat/codec/detail/host_bits.hpp>
#include <pleat/codec/error_norms.hpp>
#include <pleat/codec/form.hpp>
#include <pleat/compute/for_each.hpp>

namespace pleat::codec {

namespace detail {

/// Rows of a view into a dense matrix.
template <class View> struct decode_rows_body {
  View view;
  index_t columns;
  float* out;
  PLEAT_INLINE void operator()(index_t r) const { view.decode(r, 0, columns, out + r * columns); }
};

}  // namespace detail

/// How often a weight is multiplied with while one sample passes: what the number of multiply-adds follows from.
struct product_places {
  double outputs = 1;  ///< products with the whole weight: 1; positions of a sequence; height · width of a convolution's output
  double between = 1;  ///< of a convolution whose kernels are pairs of h × 1 and 1 × w: pixels that the first of the pair makes, output's height · input's width
  index_t groups = 1;  ///< of a convolution
};

/// The form of a weight whose file image is at the same time what its kernels read. `Bits` (a struct without data) provides
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
/// A kernel may have `bool convolve(context&, conv2d_shape, view, x, bias, y, activation)`: false if it leaves this one to the decoded weight; and
/// `std::optional<double> multiply_adds(shape, view, pieces, product_places)`, if its product is not the one with the decoded weight.
/// Not trainable; gradients flow through it to the layers before: `apply_transposed` and the convolutions decode into pooled memory.
template <class T, class Bits> struct stored {
  static_assert(std::is_same_v<T, float>, "pleat: this form multiplies float activations: say float");
  using value_type = T;
  using bits = Bits;
  using options = typename Bits::options;
  using view = typename Bits::view;
  static constexpr std::string_view name = Bits::name;
  static constexpr bool trainable = false;

  /// Copies share everything; nothing in it changes after it was encoded.
  template <class Space> struct storage {
    Kokkos::View<unsigned char*, typename Space::memory_space> block;       ///< all parts, each on a 64-byte border
    std::shared_ptr<std::vector<detail::placed_parts::piece> const> pieces;  ///< null before the first encode
    stored::view view{};
  };

  /// \throws error if an element is NaN or infinite (the row and column), or the shape does not suit the form
  template <class Space> static void encode(context<Space>& c, extents const& shape, T const* values, storage<Space>& s) {
    encode_with(c, shape, values, options{}, s);
  }
  /// The same with the form's own options.
  template <class Space> static void encode_with(context<Space>& c, extents const& shape, T const* values, options const& o, storage<Space>& s) {
    if constexpr (compute::is_host_space_v<Space> && requires { Bits::image(shape); }) {
      c.fence();
      set_in_place(shape, std::span<float const>(values, static_cast<std::size_t>(shape.size())), o, s);
    } else if constexpr (compute::is_host_space_v<Space>) {
      c.fence();
      set(c, shape, Bits::encode(shape, std::span<float const>(values, static_cast<std::size_t>(shape.size())), o), s);
    } else {
      std::vector<float> host(static_cast<std::size_t>(shape.size()));
      copy_to_host(c, tensor<T, Space>::wrap(const_cast<T*>(values), shape), host.data());  // wrap has one spelling; nothing is written
      set(c, shape, Bits::encode(shape, std::span<float const>(host), o), s);
    }
  }
  template <class Space> static void decode(context<Space>& c, extents const& shape, storage<Space> const& s, T* out) {
    demand(shape, s);
    if constexpr (requires { Bits::kernel::decode(c, shape, s.view, out); })
      Bits::kernel::decode(c, shape, s.view, out);
    else
      compute::for_each_row(c.space(), rows_of(shape), detail::decode_rows_body<view>{s.view, columns_of(shape), out}, 4.0 * static_cast<double>(columns_of(shape)));
  }
  template <class Space>
  static void apply(context<Space>& c, extents const& shape, storage<Space> const& s, index_t m, T const* x, T* y, compute::epilogue<T> const& after) {
    demand(shape, s);
    if (m == 0 || rows_of(shape) == 0) return;
    if (columns_of(shape) == 0) detail::apply_dense(c, shape, static_cast<T const*>(nullptr), m, x, y, after);  // a rank without a block: its addend is zero
    else Bits::kernel::apply(c, shape, s.view, m, x, y, after);
  }
  template <class Space>
  static void apply_transposed(context<Space>& c, extents const& shape, storage<Space> const& s, index_t m, T const* dy, T* dx, T const* mask) {
    auto const w = tensor<T, Space>::allocate(c, shape);
    decode(c, shape, s, w.data());
    detail::apply_dense_transposed(c, shape, static_cast<T const*>(w.data()), m, dy, dx, mask);
  }
  template <class Space>
  static void convolve(context<Space>& c, compute::conv2d_shape const& g, storage<Space> const& s, T const* x, T const* bias, T* y, compute::activation act) {
    extents const shape{g.out_channels, g.group_in(), g.kernel_h, g.kernel_w};
    if constexpr (requires { Bits::kernel::convolve(c, g, s.view, x, bias, y, act); }) {
      demand(shape, s);
      if (shape.size() > 0 && Bits::kernel::convolve(c, g, s.view, x, bias, y, act)) return;
    }
    auto const w = tensor<T, Space>::allocate(c, shape);
    decode(c, shape, s, w.data());
    compute::conv2d_forward(c.space(), g, x, static_cast<T const*>(w.data()), bias, y, act);
  }
  template <class Space>
  static void convolve_transposed(context<Space>& c, compute::conv2d_shape const& g, storage<Space> const& s, T const* dy, T* dx) {
    extents const shape{g.out_channels, g.group_in(), g.kernel_h, g.kernel_w};
    auto const w = tensor<T, Space>::allocate(c, shape);
    decode(c, shape, s, w.data());
    compute::conv2d_backward_input(c.space(), g, dy, static_cast<T const*>(w.data()), dx);
  }

  /// Multiply-adds of one sample's product, where it is another one than that with the decoded matrix; nothing where it is that.
  template <class Space> [[nodiscard]] static std::optional<double> multiply_adds(extents const& shape, storage<Space> const& s, product_places const& at)
    requires requires { Bits::kernel::multiply_adds(shape, s.view, std::span<detail::placed_parts::piece const>{}, at); }
  {
    demand(shape, s);
    return Bits::kernel::multiply_adds(shape, s.view, std::span<detail::placed_parts::piece const>(*s.pieces), at);
  }

  /// Exactly what a file's data holds.
  template <class Space> [[nodiscard]] static index_t bytes(extents const&, storage<Space> const& s) noexcept {
    std::size_t n = 0;
    if (s.pieces)
      for (auto const& p : *s.pieces)
        if (p.in_file) n += p.bytes;
    return static_cast<index_t>(n);
  }
  template <class Space> [[nodiscard]] static std::vector<file_tensor> to_file(context<Space>& c, extents const& shape, storage<Space> const& s) {
    demand(shape, s);
    std::vector<file_tensor> parts;
    for (auto const& p : *s.pieces) {
      if (!p.in_file) continue;
      file_tensor f{p.suffix, p.type, p.shape, std::vector<std::byte>(p.bytes)};
      if (p.bytes > 0)
        copy_to_host(c, tensor<unsigned char, Space>::wrap(s.block.data() + p.offset, {static_cast<index_t>(p.bytes)}), reinterpret_cast<unsigned char*>(f.bytes.data()));
      parts.push_back(std::move(f));
    }
    return parts;
  }
  template <class Space> static void from_file(context<Space>& c, extents const& shape, std::span<file_tensor const> parts, storage<Space>& s) {
    Bits::check(shape, parts);
    set(c, shape, {parts.begin(), parts.end()}, s);
  }

  /// What the stored form promises of the error against `values` (host), the numbers that it was encoded from.
  template <class Space> [[nodiscard]] static error_norms predict(context<Space>& c, extents const& shape, std::span<T const> values, storage<Space> const& s)
    requires requires(std::vector<file_tensor> const& parts) { Bits::predict(shape, values, parts); }
  {
    return Bits::predict(shape, values, to_file(c, shape, s));
  }

  /// The unit at which this form may be cut.
  [[nodiscard]] static cut_unit granularity(extents const& shape) { return Bits::granularity(shape); }

  /// Rows [first, last) as a weight of their own: the same numbers, nothing is encoded again.
  /// \throws error if a border is not at a multiple of granularity(shape).rows (the end of the weight always is one)
  template <class Space>
  static void slice(context<Space>& c, extents const& shape, storage<Space> const& s, index_t first, index_t last, storage<Space>& out) {
    index_t const unit = granularity(shape).rows, rows = rows_of(shape);
    if (first < 0 || last < first || last > rows || first % unit != 0 || (last % unit != 0 && last != rows))
      throw error{detail::call_of(name, "slice"), "rows " + std::to_string(first) + " to " + std::to_string(last) + " of " + std::to_string(rows) +
                                                      " are no whole pieces of this form: borders lie at multiples of " + std::to_string(unit)};
    auto const parts = to_file(c, shape, s);
    set(c, rows_extents(shape, last - first), Bits::slice(shape, parts, first, last), out);
  }
  /// The part of a box that is cut along dimension 0 or 1 (of a convolution: whole channels): the same numbers, the same kernels.
  /// \throws error if a border is not at a multiple of granularity(shape) (the end of the weight always is one)
  template <class Space> [[nodiscard]] static storage<Space> slice(context<Space>& c, extents const& shape, storage<Space> const& s, index_box const& part) {
    storage<Space> out;
    if (s.pieces) set(c, part.shape(), detail::slice_box<Bits>(shape, to_file(c, shape, s), part), out);
    return out;
  }
  /// What a file holds of the weight whose pieces along dimension `dim` (0 or 1) these are, in order: the bytes that the uncut weight has. Host alone.
  /// \throws error for parts that were encoded each by itself and share no table
  [[nodiscard]] static std::vector<file_tensor> join(extents const& shape, int dim, std::span<weight_piece const> pieces) { return Bits::join(shape, dim, pieces); }
  /// The shape of a weight with another number of rows.
  [[nodiscard]] static extents rows_extents(extents const& shape, index_t rows) {
    std::vector<index_t> e;
    for (int i = 0; i < shape.rank(); ++i) e.push_back(i == 0 ? rows : shape[i]);
    return extents(std::span<index_t const>(e));
  }

  /// Takes parts that are known to be good (an encoder's) into the space's memory.
  template <class Space> static void set(context<Space>& c, extents const& shape, std::vector<file_tensor> parts, storage<Space>& s) {
    std::size_t const in_file = parts.size();
    if constexpr (requires { Bits::derive(shape, parts); })
      for (auto& p : Bits::derive(shape, std::span<file_tensor const>(parts))) parts.push_back(std::move(p));
    auto pieces = std::make_shared<std::vector<detail::placed_parts::piece>>();
    std::size_t size = 0;
    for (auto const& p : parts) {
      pieces->push_back({p.suffix, p.type, p.shape, size, p.bytes.size(), pieces->size() < in_file});
      size += (p.bytes.size() + 63) / 64 * 64;
    }
    storage<Space> fresh;
    // 64 bytes more: vector code may read past a part's end, never past the block's.
    fresh.block = decltype(s.block)(Kokkos::view_alloc(Kokkos::WithoutInitializing, "pleat::stored"), size + 64);
    for (std::size_t i = 0; i < parts.size(); ++i)
      if (!parts[i].bytes.empty())
        copy_from_host(c, reinterpret_cast<unsigned char const*>(parts[i].bytes.data()),
                       tensor<unsigned char, Space>::wrap(fresh.block.data() + (*pieces)[i].offset, {static_cast<index_t>(parts[i].bytes.size())}));
    detail::placed_parts const placed{fresh.block.data(), pieces.get()};
    if constexpr (requires { Bits::open(shape, placed, std::span<file_tensor const>(parts)); })
      fresh.view = Bits::open(shape, placed, std::span<file_tensor const>(parts));
    else
      fresh.view = Bits::open(shape, placed);
    fresh.pieces = std::move(pieces);
    s = std::move(fresh);
  }

 private:
  /// Bit logic whose image is one part of a known length writes it where it stays.
  template <class Space> static void set_in_place(extents const& shape, std::span<float const> values, options const& o, storage<Space>& s) {
    auto const part = Bits::image(shape);
    auto const size = static_cast<std::size_t>(part.shape.size()) * size_of(part.type);
    storage<Space> fresh;
    fresh.block = decltype(s.block)(Kokkos::view_alloc(Kokkos::WithoutInitializing, "pleat::stored"), size + 64);
    Bits::encode_into(shape, values, o, fresh.block.data());
    auto pieces = std::make_shared<std::vector<detail::placed_parts::piece>>();
    pieces->push_back({part.suffix, part.type, part.shape, 0, size, true});
    fresh.view = Bits::open(shape, detail::placed_parts{fresh.block.data(), pieces.get()});
    fresh.pieces = std::move(pieces);
    s = std::move(fresh);
  }
  template <class Space> static void demand(extents const&, storage<Space> const& s) {
    if (!s.pieces) throw error{"codec::" + std::string(name), "this weight was never encoded"};
  }
};

}  // namespace pleat::codec
