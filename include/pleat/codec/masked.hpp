// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The pruned form: dense values whose pruned elements are zero and stay zero while training goes on.
#pragma once

#include <pleat/base/as_span.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/dense.hpp>
#include <pleat/codec/detail/bits.hpp>
#include <pleat/codec/detail/int8_bits.hpp>
#include <pleat/codec/detail/part_of.hpp>
#include <pleat/codec/detail/parts.hpp>
#include <pleat/codec/error_norms.hpp>

namespace pleat::codec {

/// Values of type T in the arena, zero where pruned, and one bit per element that says which are alive. Exact. It
/// multiplies as the dense form does (unstructured zeros do not pay below about 70 % in a dense kernel, and the values
/// must stay trainable); the file holds the bits and the survivors only. The optimizer skips dead elements, moments
/// included, because the arena's entry points to the bits.
template <class T> struct masked {
  using value_type = T;
  static constexpr std::string_view name = "masked";
  static constexpr bool trainable = true;
  static constexpr bool plain = true;  ///< decode() copies what is there

  /// Copies share the bits, which never change: another mask is another block of bits.
  template <class Space> struct storage {
    using bits_view = Kokkos::View<std::uint8_t*, typename Space::memory_space>;
    T* values = nullptr;
    bits_view bits;
    index_t alive = 0;  ///< elements whose bit is set
    void attach(T* v) noexcept { values = v; }
    /// In the space's memory; null before the first encode.
    [[nodiscard]] std::uint8_t const* mask_bits() const noexcept { return bits.data(); }
  };

  /// Keeps exactly the elements that are not zero.
  template <class Space>
  static void encode(context<Space>& c, extents const& shape, T const* values, storage<Space>& s) {
    auto host = to_host(c, shape, values);
    auto const bits = detail::bits_of_nonzeros(std::span<T const>(host));
    set(c, shape, std::move(host), bits, s);
  }

  /// Keeps the elements whose bit is set, be they zero or not; all others become zero. `bits`: host bytes,
  /// ceil(size/8).
  /// \throws error if the number of bytes is wrong or a bit past the last element is set
  template <class Space>
  static void encode_with_mask(context<Space>& c, extents const& shape, T const* values,
                               std::span<std::uint8_t const> bits, storage<Space>& s) {
    detail::check_bits("codec::masked::encode_with_mask", bits, shape.size(), detail::count_bits(bits));
    set(c, shape, to_host(c, shape, values), {bits.begin(), bits.end()}, s);
  }

  /// Takes the bits alone: for values that are not all here. Whoever holds one that is dead sets it to zero.
  template <class Space> static void keep(context<Space>& c, std::vector<std::uint8_t> const& bits, storage<Space>& s) {
    s.bits =
        typename storage<Space>::bits_view(Kokkos::view_alloc(Kokkos::WithoutInitializing, "pleat::mask"), bits.size());
    s.alive = detail::count_bits(as_span(bits));
    copy_from_host(c, bits.data(),
                   tensor<std::uint8_t, Space>::wrap(s.bits.data(), {static_cast<index_t>(bits.size())}));
  }

  template <class Space> static void decode(context<Space>& c, extents const& shape, storage<Space> const& s, T* out) {
    detail::copy_values(c, static_cast<T const*>(s.values), out, shape.size());
  }
  template <class Space>
  static void apply(context<Space>& c, extents const& shape, storage<Space> const& s, index_t m, T const* x, T* y,
                    compute::epilogue<T> const& after) {
    detail::apply_dense(c, shape, static_cast<T const*>(s.values), m, x, y, after);
  }
  template <class Space>
  static void apply_transposed(context<Space>& c, extents const& shape, storage<Space> const& s, index_t m, T const* dy,
                               T* dx, T const* mask) {
    detail::apply_dense_transposed(c, shape, static_cast<T const*>(s.values), m, dy, dx, mask);
  }
  template <class Space>
  static void convolve(context<Space>& c, compute::conv2d_shape const& g, storage<Space> const& s, T const* x,
                       T const* bias, T* y, compute::activation act) {
    detail::convolve_dense(c, g, static_cast<T const*>(s.values), x, bias, y, act);
  }
  template <class Space>
  static void convolve_transposed(context<Space>& c, compute::conv2d_shape const& g, storage<Space> const& s,
                                  T const* dy, T* dx) {
    detail::convolve_dense_transposed(c, g, static_cast<T const*>(s.values), dy, dx);
  }

  /// The bits and the survivors: exactly what a file's data holds.
  template <class Space> [[nodiscard]] static index_t bytes(extents const& shape, storage<Space> const& s) noexcept {
    return detail::bit_bytes(shape.size()) + s.alive * static_cast<index_t>(sizeof(T));
  }

  /// ".mask" U8 [ceil(size/8)] and ".values" [survivors], in order.
  template <class Space>
  [[nodiscard]] static std::vector<file_tensor> to_file(context<Space>& c, extents const& shape,
                                                        storage<Space> const& s) {
    auto const bits = mask(c, shape, s);
    auto const host = to_host(c, shape, static_cast<T const*>(s.values));
    auto const alive = detail::survivors(std::span<T const>(host), bits.data());
    return {
        {".mask",
         dtype::u8,
         {static_cast<index_t>(bits.size())},
         detail::bytes_of(std::span<std::uint8_t const>(bits))},
        {".values", dtype_of<T>, {static_cast<index_t>(alive.size())}, detail::bytes_of(std::span<T const>(alive))}};
  }

  template <class Space>
  static void from_file(context<Space>& c, extents const& shape, std::span<file_tensor const> parts,
                        storage<Space>& s) {
    auto w = detail::read_masked<T>(shape, parts);
    set(c, shape, std::move(w.values), w.bits, s);
  }

  /// Exactly what the mask takes away from `values` (host).
  template <class Space>
  [[nodiscard]] static error_norms predict(context<Space>& c, extents const& shape, std::span<T const> values,
                                           storage<Space> const& s) {
    auto const bits = mask(c, shape, s);
    error_norms e;
    for (std::size_t i = 0; i < values.size(); ++i)
      if (!detail::bit_at(bits.data(), static_cast<index_t>(i)))
        e.add(std::fabs(static_cast<double>(static_cast<wide_t<T>>(values[i]))));
    return e;
  }

  /// The bits of a part. (The values lie in the arena, which is cut by itself.)
  template <class Space>
  [[nodiscard]] static storage<Space> slice(context<Space>& c, extents const& shape, storage<Space> const& s,
                                            index_box const& part) {
    storage<Space> out;
    if (!s.bits.data()) return out;
    auto const all = mask(c, shape, s);
    std::vector<std::uint8_t> bits(static_cast<std::size_t>(detail::bit_bytes(part.size())), 0);
    index_t at = 0;
    detail::for_each_of_part(shape, part, [&](index_t i) {
      if (detail::bit_at(all.data(), i))
        bits[static_cast<std::size_t>(at / 8)] |= static_cast<std::uint8_t>(1u << (at % 8));
      ++at;
    });
    out.bits =
        typename storage<Space>::bits_view(Kokkos::view_alloc(Kokkos::WithoutInitializing, "pleat::mask"), bits.size());
    out.alive = detail::count_bits(as_span(bits));
    copy_from_host(c, bits.data(),
                   tensor<std::uint8_t, Space>::wrap(out.bits.data(), {static_cast<index_t>(bits.size())}));
    return out;
  }

  /// A host copy of the bits.
  template <class Space>
  [[nodiscard]] static std::vector<std::uint8_t> mask(context<Space>& c, extents const& shape,
                                                      storage<Space> const& s) {
    std::vector<std::uint8_t> bits(static_cast<std::size_t>(detail::bit_bytes(shape.size())), 0);
    if (shape.size() > 0 && !s.bits.data())
      throw error{"codec::masked", "this weight was never encoded: it has no mask",
                  "Encode it, or say with keep() which elements live"};
    copy_to_host(c, tensor<std::uint8_t, Space>::wrap(s.bits.data(), {static_cast<index_t>(bits.size())}), bits.data());
    return bits;
  }

 private:
  template <class Space> static std::vector<T> to_host(context<Space>& c, extents const& shape, T const* values) {
    std::vector<T> host(static_cast<std::size_t>(shape.size()));
    // wrap has one spelling; nothing is written
    copy_to_host(c, tensor<T, Space>::wrap(const_cast<T*>(values), shape), host.data());
    return host;
  }

  template <class Space>
  static void set(context<Space>& c, extents const& shape, std::vector<T> host, std::vector<std::uint8_t> const& bits,
                  storage<Space>& s) {
    for (index_t i = 0; i < shape.size(); ++i)
      if (!detail::bit_at(bits.data(), i)) host[static_cast<std::size_t>(i)] = T(0);
    keep(c, bits, s);
    copy_from_host(c, host.data(), tensor<T, Space>::wrap(s.values, shape));
  }
};

}  // namespace pleat::codec
