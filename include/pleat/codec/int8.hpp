// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Eight-bit weights, symmetric per output channel, multiplied as integers with activations that are quantized row by
/// row as they come.
#pragma once

#include <algorithm>
#include <bit>
#include <memory>

#include <pleat/base/as_span.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/codec/dense.hpp>
#include <pleat/codec/detail/bits.hpp>
#include <pleat/codec/detail/cut_bits.hpp>
#include <pleat/codec/detail/int8_bits.hpp>
#include <pleat/codec/detail/int8_codes.hpp>
#include <pleat/codec/detail/narrow_row.hpp>
#include <pleat/codec/detail/part_of.hpp>
#include <pleat/codec/detail/parts.hpp>
#include <pleat/codec/detail/watched_inputs.hpp>
#include <pleat/codec/magnitude_histogram.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/int8_convolution.hpp>
#include <pleat/compute/int8_gemm.hpp>
#include <pleat/compute/quantized.hpp>

namespace pleat::codec {

/// Row r of the matrix is scales[r] · codes[r, :], codes in ±127 (symmetric, restricted), scales[r] = (largest
/// magnitude of the row)/127:
/// |w − ŵ| ≤ scale/2 for every element, and zero stays exactly zero, so that what was pruned stays pruned. Not trainable; gradients flow
/// through it to the layers before (`apply_transposed` decodes).
///
/// A product quantizes each row of activations (a convolution: each image) with a scale of its own (dynamic
/// quantization: no calibration data; a row that holds NaN or infinity gives NaN) or, if `storage::input_scale` says
/// so, with that one scale (static quantization: what calibration did not foresee is cut). It multiplies in integers,
/// exactly, and scales the sums: y = fma(float(sum)·x_scale, scale, bias). Source of the scheme: the field's symmetric
/// restricted range, as in TensorRT and oneDNN.
///
/// A file holds ".codes" I8 [shape] and ".scale" F32 [rows]; or, where that is smaller, ".mask" U8 (bit per element),
/// ".nonzero" I8 (the codes that are not zero, in order) and ".scale"; with static activations ".input_scale" F32 [1],
/// too.
template <class T> struct int8 {
  static_assert(std::is_same_v<T, float>, "pleat: codec::int8 multiplies float activations: say codec::int8<float>");
  using value_type = T;
  static constexpr std::string_view name = "int8";
  static constexpr bool trainable = false;

  /// Copies share everything; nothing in it changes after it was encoded.
  template <class Space> struct storage {
    using memory_space = typename Space::memory_space;
    Kokkos::View<std::int8_t*, memory_space> codes;  ///< row-major
    Kokkos::View<float*, memory_space> scales;       ///< [rows]
    /// the codes as the product wants them; empty: it reads `codes` (on devices, and of weights that train)
    Kokkos::View<unsigned char*, memory_space> packed;
    index_t nonzero = 0;    ///< codes that are not zero
    float input_scale = 0;  ///< of static activations; 0: every row has its own
    /// while calibrating: counts the magnitudes of all activations that come by
    std::shared_ptr<magnitude_histogram> watch;
  };

  /// Activations are quantized with the scale of this range from now on; 0: each row with its own again.
  /// \throws error for a range that is negative, NaN or infinite
  template <class Space> static void set_input_range(storage<Space>& s, float amax) {
    if (!(amax >= 0) || !std::isfinite(amax))
      throw error{"codec::int8::set_input_range",
                  "a range is " + pleat::detail::number_text(amax) + ", expected a finite number that is not negative",
                  "A range is a largest magnitude: look for NaN in what it was taken from"};
    s.input_scale = detail::int8_scale(amax);
  }

  /// \throws error if there is nothing to work with yet
  template <class Space> static void demand_encoded(char const* call, index_t rows, storage<Space> const& s) {
    if (rows > 0 && !s.scales.data()) [[unlikely]]
      throw error{call, "this weight was never encoded",
                  "Encode it, or read it from a file, before it is multiplied with"};
  }

  /// \throws error if an element is NaN or infinite (the row and column)
  template <class Space>
  static void encode(context<Space>& c, extents const& shape, T const* values, storage<Space>& s) {
    encode_rows(c, shape, values, nullptr, s);
  }

  /// The same with given ranges: what lies outside ±amax[r] becomes ±127 (an observer's choice: a few clipped outliers
  /// for finer steps).
  /// \param amax host, one per row, finite and not negative
  template <class Space>
  static void encode_with_range(context<Space>& c, extents const& shape, T const* values, std::span<float const> amax,
                                storage<Space>& s) {
    if (static_cast<index_t>(amax.size()) != rows_of(shape))
      throw error{
          "codec::int8::encode_with_range",
          "expected one range per row, " + std::to_string(rows_of(shape)) + ", found " + std::to_string(amax.size()),
          "Give one range for every row of the matrix; a kernel [out, in, h, w] has `out` rows"};
    for (float a : amax)
      if (!(a >= 0) || !std::isfinite(a))
        throw error{"codec::int8::encode_with_range",
                    "a range is " + pleat::detail::number_text(a) + ", expected a finite number that is not negative",
                    "A range is a largest magnitude: look for NaN in what it was taken from"};
    encode_rows(c, shape, values, amax.data(), s);
  }

  template <class Space> static void decode(context<Space>& c, extents const& shape, storage<Space> const& s, T* out) {
    demand_encoded("codec::int8::decode", rows_of(shape), s);
    compute::dequantize_rows(c.space(), rows_of(shape), columns_of(shape),
                             static_cast<std::int8_t const*>(s.codes.data()), columns_of(shape),
                             static_cast<float const*>(s.scales.data()), out, columns_of(shape));
  }

  template <class Space>
  static void apply(context<Space>& c, extents const& shape, storage<Space> const& s, index_t m, T const* x, T* y,
                    compute::epilogue<T> const& after) {
    demand_encoded("codec::int8::apply", rows_of(shape), s);
    index_t const n = rows_of(shape), k = columns_of(shape);
    auto const codes = tensor<std::int8_t, Space>::allocate(c, {m, k});
    auto const scales = tensor<float, Space>::allocate(c, {m});
    quantize_inputs(c, s, m, k, x, codes.data(), scales.data());
    compute::int8_epilogue const e{
        .row_scale = scales.data(), .channel_scale = s.scales.data(), .bias = after.bias, .act = after.act};
    if (s.packed.data())
      compute::int8_gemm_scaled_packed(c.space(), m, n, k, codes.data(), k, static_cast<void const*>(s.packed.data()),
                                       e, y, n);
    else
      compute::int8_gemm_scaled(c.space(), m, n, k, codes.data(), k, static_cast<std::int8_t const*>(s.codes.data()), k,
                                e, y, n);
    if (after.mask) {
      if (after.ldmask != n)
        throw error{"codec::int8::apply",
                    "the mask's rows are " + std::to_string(after.ldmask) + " apart, expected " + std::to_string(n),
                    "Hand over a mask that is packed like the output"};
      compute::relu_backward(c.space(), m * n, after.mask, static_cast<T const*>(y), y);
    }
  }

  /// Decodes into pooled memory and multiplies as floats: exact for ŵ.
  template <class Space>
  static void apply_transposed(context<Space>& c, extents const& shape, storage<Space> const& s, index_t m, T const* dy,
                               T* dx, T const* mask) {
    auto const w = tensor<T, Space>::allocate(c, shape);
    decode(c, shape, s, w.data());
    detail::apply_dense_transposed(c, shape, static_cast<T const*>(w.data()), m, dy, dx, mask);
  }

  /// Integers here too; each image has one scale.
  template <class Space>
  static void convolve(context<Space>& c, compute::conv2d_shape const& g, storage<Space> const& s, T const* x,
                       T const* bias, T* y, compute::activation act) {
    demand_encoded("codec::int8::convolve", g.out_channels, s);
    index_t const k = g.in_channels * g.height * g.width;
    auto const codes = tensor<std::int8_t, Space>::allocate(c, {g.batch, k});
    auto const scales = tensor<float, Space>::allocate(c, {g.batch});
    quantize_inputs(c, s, g.batch, k, x, codes.data(), scales.data());
    compute::int8_conv2d(c.space(), g, static_cast<std::int8_t const*>(codes.data()),
                         static_cast<float const*>(scales.data()), static_cast<std::int8_t const*>(s.codes.data()),
                         static_cast<float const*>(s.scales.data()), bias, y, act);
  }
  /// y = the largest of every 2 × 2 results of `convolve` side by side, if that is one kernel here; else false, and
  /// nothing is written.
  template <class Space>
  [[nodiscard]] static bool convolve_pooled(context<Space>& c, compute::conv2d_shape const& g, storage<Space> const& s,
                                            T const* x, T const* bias, T* y, compute::activation act) {
    if (!compute::int8_conv2d_pools(c.space(), g)) return false;
    demand_encoded("codec::int8::convolve_pooled", g.out_channels, s);
    index_t const k = g.in_channels * g.height * g.width;
    auto const codes = tensor<std::int8_t, Space>::allocate(c, {g.batch, k});
    auto const scales = tensor<float, Space>::allocate(c, {g.batch});
    quantize_inputs(c, s, g.batch, k, x, codes.data(), scales.data());
    compute::int8_conv2d_pooled(
        c.space(), g, static_cast<std::int8_t const*>(codes.data()), static_cast<float const*>(scales.data()),
        static_cast<std::int8_t const*>(s.codes.data()), static_cast<float const*>(s.scales.data()), bias, y, act);
    return true;
  }
  template <class Space>
  static void convolve_transposed(context<Space>& c, compute::conv2d_shape const& g, storage<Space> const& s,
                                  T const* dy, T* dx) {
    extents const shape{g.out_channels, g.group_in(), g.kernel_h, g.kernel_w};
    auto const w = tensor<T, Space>::allocate(c, shape);
    decode(c, shape, s, w.data());
    compute::conv2d_backward_input(c.space(), g, dy, static_cast<T const*>(w.data()), dx);
  }

  /// What a file's data holds: codes, or bits and nonzero codes, whichever is smaller; and the scales.
  template <class Space> [[nodiscard]] static index_t bytes(extents const& shape, storage<Space> const& s) noexcept {
    index_t const codes = sparse_image(shape, s.nonzero) ? detail::bit_bytes(shape.size()) + s.nonzero : shape.size();
    return codes + (rows_of(shape) + (s.input_scale > 0 ? 1 : 0)) * static_cast<index_t>(sizeof(float));
  }

  /// Half a step of each row's scale, or the way to ±127 steps for what an observer clipped; and the rounding of
  /// scale·code to float.
  template <class Space>
  [[nodiscard]] static error_norms predict(context<Space>& c, extents const& shape, std::span<T const> values,
                                           storage<Space> const& s) {
    std::vector<float> scales(static_cast<std::size_t>(rows_of(shape)));
    demand_encoded("codec::int8::predict", rows_of(shape), s);
    copy_to_host(c, tensor<float, Space>::wrap(s.scales.data(), {rows_of(shape)}), scales.data());
    return detail::predict_int8(columns_of(shape), values, scales);
  }

  template <class Space>
  [[nodiscard]] static std::vector<file_tensor> to_file(context<Space>& c, extents const& shape,
                                                        storage<Space> const& s) {
    std::vector<std::int8_t> codes(static_cast<std::size_t>(shape.size()));
    std::vector<float> scales(static_cast<std::size_t>(rows_of(shape)));
    demand_encoded("codec::int8::to_file", rows_of(shape), s);
    copy_to_host(c, tensor<std::int8_t, Space>::wrap(s.codes.data(), shape), codes.data());
    copy_to_host(c, tensor<float, Space>::wrap(s.scales.data(), {rows_of(shape)}), scales.data());
    return image(shape, codes, scales, s.input_scale);
  }

  template <class Space>
  static void from_file(context<Space>& c, extents const& shape, std::span<file_tensor const> parts,
                        storage<Space>& s) {
    auto const w = detail::read_int8(shape, parts);
    set(c, shape, w.codes, w.scales, s);
    s.input_scale = w.input_scale;
  }

  /// Codes within ±127 and scales of one's own: what an encoder found, or training. Row r is scales[r]·codes[r, :].
  template <class Space>
  static void encode_codes(context<Space>& c, extents const& shape, std::vector<std::int8_t> const& codes,
                           std::vector<float> const& scales, storage<Space>& s) {
    if (static_cast<index_t>(codes.size()) != shape.size() || static_cast<index_t>(scales.size()) != rows_of(shape))
      throw error{"codec::int8::encode_codes",
                  "expected " + std::to_string(shape.size()) + " codes and " + std::to_string(rows_of(shape)) +
                      " scales, found " + std::to_string(codes.size()) + " and " + std::to_string(scales.size()),
                  "Hand over one code for every element and one scale for every row"};
    set(c, shape, codes, scales, s);
  }

  /// The inverse of `slice`, on what files hold. \throws error for pieces along the columns whose scales are not the
  /// same
  [[nodiscard]] static std::vector<file_tensor> join(extents const& shape, int dim,
                                                     std::span<weight_piece const> pieces) {
    std::vector<std::vector<std::int8_t>> codes;
    std::vector<float> scales;
    float input_scale = 0;
    for (auto const& p : pieces) {
      auto const w = detail::read_int8(p.shape, as_span(p.parts));
      codes.push_back(w.codes);
      if (codes.size() == 1) input_scale = w.input_scale, scales = w.scales;
      else if (dim == 0) scales.insert(scales.end(), w.scales.begin(), w.scales.end());
      else if (scales != w.scales) detail::refuse_join(name, "scales");
      if (input_scale != w.input_scale) detail::refuse_join(name, "scales of activations");
    }
    return image(shape, detail::join_matrix(rows_of(shape), dim, codes), scales, input_scale);
  }

  /// The codes and scales of a part: the same numbers as in the whole. Cut along the columns, rows keep the scales of
  /// whole rows.
  template <class Space>
  [[nodiscard]] static storage<Space> slice(context<Space>& c, extents const& shape, storage<Space> const& s,
                                            index_box const& part) {
    storage<Space> out;
    if (!s.codes.data()) return out;
    std::vector<std::int8_t> all(static_cast<std::size_t>(shape.size())), codes;
    std::vector<float> scales(static_cast<std::size_t>(rows_of(shape)));
    copy_to_host(c, tensor<std::int8_t, Space>::wrap(s.codes.data(), shape), all.data());
    copy_to_host(c, tensor<float, Space>::wrap(s.scales.data(), {rows_of(shape)}), scales.data());
    codes.reserve(static_cast<std::size_t>(part.size()));
    detail::for_each_of_part(shape, part, [&](index_t i) { codes.push_back(all[static_cast<std::size_t>(i)]); });
    set(c, part.shape(), codes, {scales.begin() + part[0].begin, scales.begin() + part[0].end}, out);
    out.input_scale = s.input_scale;
    return out;
  }

 private:
  [[nodiscard]] static std::vector<file_tensor> image(extents const& shape, std::vector<std::int8_t> const& codes,
                                                      std::vector<float> const& scales, float input_scale) {
    std::vector<file_tensor> parts;
    auto const alive = static_cast<index_t>(codes.size()) -
                       static_cast<index_t>(std::count(codes.begin(), codes.end(), std::int8_t{0}));
    if (!sparse_image(shape, alive)) {
      parts.push_back({".codes", dtype::i8, shape, detail::bytes_of(std::span<std::int8_t const>(codes))});
    } else {
      auto const bits = detail::bits_of_nonzeros(std::span<std::int8_t const>(codes));
      auto const nonzero = detail::survivors(std::span<std::int8_t const>(codes), bits.data());
      parts.push_back({".mask",
                       dtype::u8,
                       {static_cast<index_t>(bits.size())},
                       detail::bytes_of(std::span<std::uint8_t const>(bits))});
      parts.push_back({".nonzero",
                       dtype::i8,
                       {static_cast<index_t>(nonzero.size())},
                       detail::bytes_of(std::span<std::int8_t const>(nonzero))});
    }
    parts.push_back({".scale", dtype::f32, {rows_of(shape)}, detail::bytes_of(std::span<float const>(scales))});
    if (input_scale > 0)
      parts.push_back({".input_scale", dtype::f32, {1}, detail::bytes_of(std::span<float const>(&input_scale, 1))});
    return parts;
  }
  /// Rows of activations as codes: by the static scale, or each by its own.
  template <class Space>
  static void quantize_inputs(context<Space>& c, storage<Space> const& s, index_t m, index_t k, T const* x,
                              std::int8_t* codes, float* scales) {
    if (s.watch) detail::watch_inputs(c, x, m * k, *s.watch);
    if (s.input_scale > 0) compute::quantize_rows_by(c.space(), m, k, x, k, s.input_scale, codes, k, scales);
    else compute::quantize_rows(c.space(), m, k, x, k, codes, k, scales, nullptr);
  }
  [[nodiscard]] static constexpr bool sparse_image(extents const& shape, index_t nonzero) noexcept {
    return detail::bit_bytes(shape.size()) + nonzero < shape.size();
  }
  /// Each row is looked at once: its largest magnitude, its codes and how many of them are zero while it is in the
  /// cache; codes are written where they stay, if the host can. \param amax one per row; null: the largest magnitudes
  /// \throws error if an element is not finite
  template <class Space>
  static void encode_rows(context<Space>& c, extents const& shape, T const* values, float const* amax,
                          storage<Space>& s) {
    index_t const rows = rows_of(shape), columns = columns_of(shape);
    std::vector<float> copy;
    float const* from = values;
    if constexpr (compute::is_host_space_v<Space>) {
      c.fence();
    } else {
      copy.resize(static_cast<std::size_t>(shape.size()));
      // wrap has one spelling; nothing is written
      copy_to_host(c, tensor<T, Space>::wrap(const_cast<T*>(values), shape), copy.data());
      from = copy.data();
    }
    auto fresh = made_for<Space>(shape);
    auto const codes = host_side(fresh.codes);
    auto const scales = host_side(fresh.scales);
    auto const level = isa::best();
    for (index_t r = 0; r < rows; ++r, from += columns) {
      std::uint32_t const largest = detail::largest_magnitude_at(level, columns, from);
      if (largest >= 0x7f800000u) refuse_not_finite(r, columns, from);
      float const scale = detail::int8_scale(amax ? amax[r] : std::bit_cast<float>(largest));
      scales[r] = scale;
      fresh.nonzero += detail::int8_codes_at(level, columns, from, scale, codes.data() + r * columns);
    }
    if (codes.data() != fresh.codes.data()) {
      copy_from_host(c, static_cast<std::int8_t const*>(codes.data()),
                     tensor<std::int8_t, Space>::wrap(fresh.codes.data(), shape));
      copy_from_host(c, static_cast<float const*>(scales.data()),
                     tensor<float, Space>::wrap(fresh.scales.data(), {rows}));
    }
    pack(c, shape, fresh);
    s = std::move(fresh);
  }
  [[noreturn, gnu::cold]] static void refuse_not_finite(index_t row, index_t columns, float const* numbers) {
    index_t at = 0;
    while (at + 1 < columns && std::isfinite(numbers[at])) ++at;
    throw error{"codec::int8::encode",
                "the element in row " + std::to_string(row) + ", column " + std::to_string(at) + " is " +
                    pleat::detail::number_text(numbers[at]),
                "Train again with a lower learning rate"};
  }

  template <class Space> [[nodiscard]] static storage<Space> made_for(extents const& shape) {
    using Kokkos::view_alloc, Kokkos::WithoutInitializing;
    storage<Space> fresh;
    fresh.codes =
        decltype(fresh.codes)(view_alloc(WithoutInitializing, "pleat::codes"), static_cast<std::size_t>(shape.size()));
    fresh.scales = decltype(fresh.scales)(view_alloc(WithoutInitializing, "pleat::scales"),
                                          static_cast<std::size_t>(rows_of(shape)));
    return fresh;
  }
  /// Where the host writes what is to be in v: v itself, if it can.
  template <class View> [[nodiscard]] static auto host_side(View const& v) {
    if constexpr (Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename View::memory_space>::accessible) return v;
    else
      return Kokkos::View<typename View::data_type, Kokkos::HostSpace>(
          Kokkos::view_alloc(Kokkos::WithoutInitializing, "pleat::host"), v.size());
  }
  template <class Space>
  static void set(context<Space>& c, extents const& shape, std::vector<std::int8_t> const& codes,
                  std::vector<float> const& scales, storage<Space>& s) {
    auto fresh = made_for<Space>(shape);
    fresh.nonzero = static_cast<index_t>(codes.size()) - std::count(codes.begin(), codes.end(), std::int8_t{0});
    copy_from_host(c, codes.data(), tensor<std::int8_t, Space>::wrap(fresh.codes.data(), shape));
    copy_from_host(c, scales.data(), tensor<float, Space>::wrap(fresh.scales.data(), {rows_of(shape)}));
    pack(c, shape, fresh);
    s = std::move(fresh);
  }
  /// Codes that are in place also as the product wants them.
  template <class Space> static void pack(context<Space>& c, extents const& shape, storage<Space>& s) {
    if constexpr (compute::is_host_space_v<Space>) {
      index_t const n = rows_of(shape), k = columns_of(shape);
      s.packed = decltype(s.packed)(Kokkos::view_alloc(Kokkos::WithoutInitializing, "pleat::packed"),
                                    static_cast<std::size_t>(compute::int8_packed_bytes<Space>(n, k)));
      if (shape.size() > 0)
        compute::int8_pack(c.space(), n, k, static_cast<std::int8_t const*>(s.codes.data()), k, s.packed.data());
      c.fence();
    }
  }
};

}  // namespace pleat::codec
