// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Weights as a product of two thin factors, each stored in a form of its own.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <pleat/codec/detail/factored_weight.hpp>
#include <pleat/codec/detail/handed_on.hpp>
#include <pleat/codec/product_places.hpp>

namespace pleat::codec {

/// How a weight is factored, and what its factors are stored as.
struct factors_options {
  low_rank_options low_rank{};
  std::string left = "int8", right = "int8";  ///< names of forms: int8, bf16, f16, "dense", and those of blocks
};

/// W ≈ L̂·R̂ (+ S): codec::low_rank (or sparse_low_rank) whose factors L [rows, rank] and R [rank, columns] each have a
/// form of their own: int8, bf16, f16, a block form (its block must divide the factor's columns: of L the rank), or
/// float. compress::quantize gives it to weights that are factored. A product is R's, then L's, as their forms run
/// them: activations, and what is between the factors, are quantized by the forms that do so. A convolution is one to
/// `rank` channels and a 1×1 one, where that is fewer multiply-adds. Not trainable; gradients flow through both factors.
///
///     ‖W − Ŵ‖ ≤ ‖W − L·R‖ + ‖L‖₂·‖R − R̂‖_F + ‖L − L̂‖_F·‖R̂‖₂
///
/// A file holds, of each factor, ".left" or ".right" F32, or with "." + form + that form's tensors
/// (".left.int8.codes"); and csr's ".row", ".column", ".values" where S is there. `predict` says what was promised of
/// the numbers that the weight was made from, and nothing of a weight that comes from a file.
template <class T> struct factors : detail::handed_on<T> {
  using options = factors_options;
  using refined = factors;  ///< factors that are still float may take another form
  static constexpr std::string_view name = "factors";
  template <class Space> using storage = detail::factored_weight<Space>;

  /// Forms of factors by position. \returns −1 for one that factors cannot take
  [[nodiscard]] static int factor_form(std::string_view form) { return detail::factor_forms::index(form); }
  /// Columns at which its blocks begin.
  [[nodiscard]] static index_t block_of_form(int form) {
    return visit_form<detail::factor_forms>(form, [](auto tag) -> index_t {
      if constexpr (requires { decltype(tag)::type::granularity(extents{1, 1}); })
        return decltype(tag)::type::granularity(extents{1, 1}).columns;
      else return 1;
    });
  }

  /// The largest rank that is smaller than the matrix in float, both factors in int8.
  template <class Space>
  static void encode(context<Space>& c, extents const& shape, T const* values, storage<Space>& s) {
    encode_with(c, shape, values, {}, s);
  }
  /// \throws error as codec::low_rank does, for forms that factors cannot take, and blocks that do not divide
  template <class Space>
  static void encode_with(context<Space>& c, extents const& shape, T const* values, options const& o,
                          storage<Space>& s) {
    int const left = detail::demand_factor_form("codec::factors::encode", o.left),
              right = detail::demand_factor_form("codec::factors::encode", o.right);
    std::vector<float> host(static_cast<std::size_t>(shape.size()));
    // wrap has one spelling; nothing is written
    copy_to_host(c, tensor<T, Space>::wrap(const_cast<T*>(values), shape), host.data());
    bool const beside = o.low_rank.sparse_share != 0;
    auto const parts = beside ? detail::low_rank_logic<true>::encode(shape, host, o.low_rank)
                              : detail::low_rank_logic<false>::encode(shape, host, o.low_rank);
    auto const found = beside ? detail::low_rank_logic<true>::predict(shape, host, parts)
                              : detail::low_rank_logic<false>::predict(shape, host, parts);
    storage<Space> plain;
    plain.from_file(c, shape, parts);
    s = recoded(c, shape, plain, {left, {}}, {right, {}});
    s.promise->max += found.max;
    s.promise->frobenius += found.frobenius;
  }

  /// What a factor shall be stored as.
  struct choice {
    int form = -1;                   ///< see factor_form; −1: it stays as it is
    std::span<float const> range{};  ///< int8: of each row; empty: its largest magnitude
  };
  /// The weight with factors in other forms. \throws error for what those forms cannot hold
  template <class Space>
  [[nodiscard]] static storage<Space> recoded(context<Space>& c, extents const& shape, storage<Space> const& s,
                                              choice const& left, choice const& right) {
    auto out = s;
    if (left.form >= 0) out.encode_factor(c, shape, true, left.form, left.range);
    if (right.form >= 0) out.encode_factor(c, shape, false, right.form, right.range);
    out.promise_against(c, shape, s);
    return out;
  }
  /// The same weight, the same numbers, where factors may take forms.
  template <class Space>
  [[nodiscard]] static storage<Space> of(context<Space>&, extents const&, storage<Space> const& s) {
    return s;
  }
  template <bool Sparse, class Space>
  [[nodiscard]] static storage<Space> of(context<Space>& c, extents const& shape,
                                         detail::stored_weight<detail::low_rank_bits<Sparse>, Space> const& s) {
    storage<Space> out;
    out.from_file(c, shape, s.to_file(c));
    return out;
  }
  /// Of a weight in this form or in low_rank.
  template <class Space> [[nodiscard]] static index_t rank_of(storage<Space> const& s) noexcept { return s.rank; }
  template <bool Sparse, class Space>
  [[nodiscard]] static index_t rank_of(detail::stored_weight<detail::low_rank_bits<Sparse>, Space> const& s) noexcept {
    return s.view.rank;
  }
  /// Whether a factor is in float still.
  template <class Space> [[nodiscard]] static bool is_plain(storage<Space> const& s, bool left) noexcept {
    return (left ? s.left : s.right).index() == 0;
  }
  template <bool Sparse, class Space>
  [[nodiscard]] static bool is_plain(detail::stored_weight<detail::low_rank_bits<Sparse>, Space> const&,
                                     bool) noexcept {
    return true;
  }

  /// Of both products, and of the numbers beside them.
  template <class Space>
  [[nodiscard]] static std::optional<double> multiply_adds(extents const& shape, storage<Space> const& s,
                                                           product_places const& at) {
    index_t const m = rows_of(shape), n = columns_of(shape);
    if (shape.rank() == 4 && (s.has_apart() || !detail::low_rank_kernel<false>::convolves(s.rank, m, n, at.groups)))
      return std::nullopt;
    return at.outputs * (static_cast<double>(s.rank) * static_cast<double>(m + n) +
                         (s.has_apart() ? static_cast<double>(s.apart.view.stored) : 0.0));
  }
  template <class Space> [[nodiscard]] static index_t bytes(extents const& shape, storage<Space> const& s) {
    return s.bytes(shape);
  }
  template <class Space>
  [[nodiscard]] static std::vector<file_tensor> to_file(context<Space>& c, extents const& shape,
                                                        storage<Space> const& s) {
    return s.to_file(c, shape);
  }
  template <class Space>
  [[nodiscard]] static std::optional<error_norms> predict(context<Space>&, extents const&, std::span<T const>,
                                                          storage<Space> const& s) {
    return s.promise;
  }
  /// The blocks of R. \param stored suffixes of what a file holds of it, where that is to come; empty: as `s` is
  template <class Space>
  [[nodiscard]] static cut_unit granularity(extents const&, storage<Space> const& s,
                                            std::span<std::string const> stored) {
    constexpr std::string_view right = ".right.";
    int form = stored.empty() ? static_cast<int>(s.right.index()) : 0;
    for (auto const& suffix : stored)
      if (suffix.starts_with(right)) {
        auto const name = std::string_view(suffix).substr(right.size());
        form = std::max(0, factor_form(name.substr(0, name.find('.'))));  // what is none from_file refuses
      }
    return {1, block_of_form(form)};
  }
  /// Rows of L, or columns of R; the other factor stays whole. \throws error if a border lies in a block
  template <class Space>
  [[nodiscard]] static storage<Space> slice(context<Space>& c, extents const& shape, storage<Space> const& s,
                                            index_box const& part) {
    return s.slice(c, shape, part);
  }
  /// The inverse of `slice`, on what files hold. \throws error for parts that were factored each by itself
  [[nodiscard]] static std::vector<file_tensor> join(extents const& shape, int dim,
                                                     std::span<weight_piece const> pieces) {
    return storage<Kokkos::DefaultExecutionSpace>::join(shape, dim, pieces);  // any space's would do
  }
};

}  // namespace pleat::codec
