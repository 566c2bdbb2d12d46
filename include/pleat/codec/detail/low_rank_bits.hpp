// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The bit logic of factored weights W ≈ L·R (+ a sparse matrix): the factors' images. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <numeric>

#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/codec/detail/sparse_bits.hpp>
#include <pleat/compute/math.hpp>
#include <pleat/compute/svd.hpp>

namespace pleat::codec {

/// How a weight is factored. The first rule that is set decides; by default the largest rank that makes the weight
/// smaller.
struct low_rank_options {
  index_t rank = 0;           ///< this rank
  double energy = 0;          ///< the smallest rank that keeps this share of ‖W‖²_F, in (0, 1]
  double relative_error = 0;  ///< the smallest rank with ‖W − Ŵ‖_F ≤ relative_error·‖W‖_F
  /// codec::sparse_low_rank only: this share of the elements, those of the largest magnitude, is stored as it is
  double sparse_share = 0;
};

namespace detail {

using compute::jacobi_svd;
using compute::thin_svd;

/// The rank that the options ask for. \param apart bytes that are stored beside the factors
/// \throws error for a rank above the matrix, an energy outside (0, 1], a matrix that no rank makes smaller where none
/// was asked for
[[nodiscard]] inline index_t choose_rank(std::string const& call, thin_svd const& f, low_rank_options const& o,
                                         index_t apart = 0) {
  double all = 0;
  for (double s : f.s) all += s * s;
  if (o.rank != 0) {
    if (o.rank < 1 || o.rank > f.r)
      throw error{call,
                  "rank " + std::to_string(o.rank) + " of a matrix of " + std::to_string(f.m) + " × " +
                      std::to_string(f.n) + ", expected 1 to " + std::to_string(f.r),
                  "Choose a rank in that range, or say an energy or an error instead"};
    return o.rank;
  }
  if (o.energy != 0 || o.relative_error != 0) {
    if (!(o.energy >= 0 && o.energy <= 1 && o.relative_error >= 0))  // NaN, too
      throw error{call,
                  "expected an energy in (0, 1] or a relative error above 0, found energy = " +
                      pleat::detail::number_text(o.energy) +
                      ", relative_error = " + pleat::detail::number_text(o.relative_error),
                  "Say .energy = 0.9, or .relative_error = 0.1"};
    double const drop = all * (o.energy != 0 ? 1 - o.energy : o.relative_error * o.relative_error);
    double rest = 0;
    index_t rank = f.r;
    while (rank > 1 &&
           rest + f.s[static_cast<std::size_t>(rank - 1)] * f.s[static_cast<std::size_t>(rank - 1)] <= drop) {
      --rank;
      rest += f.s[static_cast<std::size_t>(rank)] * f.s[static_cast<std::size_t>(rank)];
    }
    return rank;
  }
  // smaller by a byte at least
  index_t const rank = std::max<index_t>(0, 4 * f.m * f.n - apart - 1) / (4 * (f.m + f.n));
  if (rank < 1)
    throw error{call,
                "no rank makes a matrix of " + std::to_string(f.m) + " × " + std::to_string(f.n) + " smaller" +
                    (apart ? " beside " + std::to_string(apart) + " bytes of sparse rows" : ""),
                "Leave this weight out, or say which rank"};
  return rank;
}

/// Of the vectors w(·, j) ≈ A·b(j), A = a(i, k) with m rows, b(j)_k = b(j, k): the largest ‖w − A·b‖, and the root of
/// the sum of squares.
template <class A, class B, class W>
[[nodiscard]] error_norms projected(index_t m, index_t n, index_t rank, A const& a, B const& b, W const& w) {
  std::vector<double> gram(static_cast<std::size_t>(rank * rank)), length(static_cast<std::size_t>(rank));
  for (index_t i = 0; i < m; ++i)
    for (index_t k = 0; k < rank; ++k)
      for (index_t l = 0; l < rank; ++l) gram[static_cast<std::size_t>(k * rank + l)] += a(i, k) * a(i, l);
  for (index_t k = 0; k < rank; ++k)
    length[static_cast<std::size_t>(k)] = std::sqrt(gram[static_cast<std::size_t>(k * rank + k)]);
  double const unit = static_cast<double>(rank + 3) * 0x1p-24,
               least = static_cast<double>(rank + 1) * 0x1p-149 * std::sqrt(static_cast<double>(m));
  error_norms e;
  for (index_t j = 0; j < n; ++j) {
    double all = 0, kept = 0, size = 0;
    for (index_t i = 0; i < m; ++i) all += w(i, j) * w(i, j);
    for (index_t k = 0; k < rank; ++k) {
      double row = 0;
      for (index_t l = 0; l < rank; ++l) row += gram[static_cast<std::size_t>(k * rank + l)] * b(j, l);
      kept += row * b(j, k);
      size += length[static_cast<std::size_t>(k)] * std::fabs(b(j, k));
    }
    double const rounding = unit * size + least, sure = std::max(0.0, std::sqrt(std::max(0.0, kept)) - rounding);
    e.add(std::sqrt(std::max(0.0, all - sure * sure)) + rounding);
  }
  return e;
}
/// What a product of factors is off by, a(i, k) of m × rank and b(j, k) of n × rank, if it is an orthogonal projection
/// of w [m, n], of its columns or of its rows: of each of them ‖w − ŵ‖² = ‖w‖² − ‖ŵ‖²; and what rounding the factors
/// and their product to float adds. Which of both was projected is not written down (of a part that is cut, or where
/// outputs were weighted, it is one alone), so the larger counts; the sum over all is the same either way.
template <class A, class B>
[[nodiscard]] error_norms predict_projection(index_t m, index_t n, index_t rank, std::vector<double> const& w,
                                             A const& a, B const& b) {
  auto const columns =
      projected(m, n, rank, a, b, [&](index_t i, index_t j) { return w[static_cast<std::size_t>(i * n + j)]; });
  auto const rows =
      projected(n, m, rank, b, a, [&](index_t j, index_t i) { return w[static_cast<std::size_t>(i * n + j)]; });
  error_norms e;
  e.max = std::max(columns.max, rows.max);
  e.frobenius = std::max(columns.frobenius, rows.frobenius);
  return e;
}

/// Numbers near the end of float's range may have factors whose product is beyond it. Looks at every element only where
/// the lengths of the factors' rows do not rule that out. a(i, k) of m × rank, b(j, k) of n × rank; the chain of
/// element (i, j) starts from `start(i, j)`. \throws error
template <class A, class B, class Start>
void demand_finite_product(std::string const& call, index_t m, index_t n, index_t rank, A const& a, B const& b,
                           Start const& start) {
  auto const longest = [rank](index_t rows, auto const& f) {
    double most = 0;
    for (index_t i = 0; i < rows; ++i) {
      double squares = 0;
      for (index_t k = 0; k < rank; ++k) squares += static_cast<double>(f(i, k)) * static_cast<double>(f(i, k));
      most = std::max(most, std::sqrt(squares));
    }
    return most;
  };
  double first = 0;
  for (index_t i = 0; i < m; ++i)
    for (index_t j = 0; j < n; ++j) first = std::max(first, std::fabs(static_cast<double>(start(i, j))));
  if (first + longest(m, a) * longest(n, b) < 0x1p127) return;  // no partial sum is longer (Cauchy and Schwarz)
  for (index_t i = 0; i < m; ++i)
    for (index_t j = 0; j < n; ++j) {
      float sum = start(i, j);
      for (index_t k = 0; k < rank; ++k) sum = compute::fma(a(i, k), b(j, k), sum);
      if (!std::isfinite(sum))
        throw error{call,
                    "the factors' product is beyond the largest float at row " + std::to_string(i) + ", column " +
                        std::to_string(j),
                    "Scale the weight down"};
    }
}

/// Sparse: there are also compressed rows of what the factors need not explain.
template <bool Sparse> struct low_rank_logic {
  static constexpr std::string_view name = Sparse ? "sparse_low_rank" : "low_rank";
  using options = low_rank_options;
  using rows_logic = compressed_rows_logic<1>;

  static std::vector<file_tensor> encode(extents const& shape, std::span<float const> values, options const& o) {
    demand_finite(name, shape, values);
    index_t const m = rows_of(shape), n = columns_of(shape);
    auto const call = call_of(name, "encode");
    if (m == 0 || n == 0)
      throw error{call, "a weight of shape " + shape.to_string() + " has no factors",
                  "Factor matrices and kernels with elements only: leave this one as it is"};
    if (!(o.sparse_share >= 0 && o.sparse_share < 1))
      throw error{call,
                  "sparse_share is " + pleat::detail::number_text(o.sparse_share) + ", expected a share in [0, 1)",
                  "Say 0.05 to keep the largest twentieth as it is"};
    std::vector<float> rest(values.begin(), values.end()), apart(Sparse ? values.size() : 0, 0.0f);
    if constexpr (Sparse) {
      std::vector<index_t> order(values.size());
      std::iota(order.begin(), order.end(), index_t{0});
      auto const count = static_cast<std::ptrdiff_t>(o.sparse_share * static_cast<double>(values.size()));
      std::nth_element(order.begin(), order.begin() + count, order.end(), [&](index_t a, index_t b) {
        float const x = std::fabs(values[static_cast<std::size_t>(a)]),
                    y = std::fabs(values[static_cast<std::size_t>(b)]);
        return x != y ? x > y : a < b;
      });
      for (std::ptrdiff_t i = 0; i < count; ++i)
        std::swap(rest[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])],
                  apart[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])]);
    }
    float amax = 0;
    for (float v : rest) amax = std::max(amax, std::fabs(v));
    // Scaled to 1, so that no square overflows or vanishes.
    double const unit = amax > 0 ? static_cast<double>(amax) : 1.0;
    std::vector<double> a(rest.size());
    for (std::size_t i = 0; i < rest.size(); ++i) a[i] = static_cast<double>(rest[i]) / unit;
    auto const f = compute::svd(m, n, a);
    index_t beside = 0;
    if constexpr (Sparse)
      for (auto const& p : rows_logic::encode(matrix(shape), apart, {})) beside += static_cast<index_t>(p.bytes.size());
    index_t const rank = choose_rank(call, f, o, beside);
    std::vector<float> left(static_cast<std::size_t>(m * rank)), right(static_cast<std::size_t>(rank * n));
    for (index_t q = 0; q < rank; ++q) {
      // balanced: each factor takes √σ
      double const root = std::sqrt(f.s[static_cast<std::size_t>(q)]) * std::sqrt(unit);
      for (index_t i = 0; i < m; ++i)
        left[static_cast<std::size_t>(i * rank + q)] =
            static_cast<float>(f.u[static_cast<std::size_t>(q * m + i)] * root);
      for (index_t j = 0; j < n; ++j)
        right[static_cast<std::size_t>(q * n + j)] =
            static_cast<float>(f.v[static_cast<std::size_t>(q * n + j)] * root);
    }
    return from_factors(shape, rank, left, right, apart);
  }
  /// Factors of one's own (another decomposition's, or trained ones): left [rows, rank], right [rank, columns];
  /// `apart`: dense values, or none.
  static std::vector<file_tensor> from_factors(extents const& shape, index_t rank, std::vector<float> const& left,
                                               std::vector<float> const& right, std::vector<float> const& apart = {}) {
    std::vector<file_tensor> parts{part_of(".left", {rows_of(shape), rank}, left),
                                   part_of(".right", {rank, columns_of(shape)}, right)};
    if constexpr (Sparse) {
      std::vector<float> const none(apart.empty() ? static_cast<std::size_t>(shape.size()) : 0, 0.0f);
      for (auto& p : rows_logic::encode(matrix(shape), apart.empty() ? none : apart, {})) parts.push_back(std::move(p));
    }
    check(shape, parts);
    index_t const n = columns_of(shape);
    demand_finite_product(
        call_of(name, "encode"), rows_of(shape), n, rank,
        [&](index_t i, index_t k) { return left[static_cast<std::size_t>(i * rank + k)]; },
        [&](index_t j, index_t k) { return right[static_cast<std::size_t>(k * n + j)]; },
        [&](index_t i, index_t j) { return apart.empty() ? 0.0f : apart[static_cast<std::size_t>(i * n + j)]; });
    return parts;
  }
  static void check(extents const& shape, std::span<file_tensor const> parts) {
    auto const call = call_of(name, "from_file");
    if constexpr (Sparse) demand_only(call.c_str(), parts, {".left", ".right", ".row", ".column", ".values"});
    else demand_only(call.c_str(), parts, {".left", ".right"});
    auto const* const r = find_part(parts, ".right");
    index_t const rank =
        r && r->shape.rank() == 2 ? std::min(r->shape[0], std::max(rows_of(shape), columns_of(shape))) : 1;
    if (rank < 1) throw error{call, "factors of rank 0", remedy::copy_again};
    for (auto const* p : {&demand_part(call.c_str(), parts, ".left", dtype::f32, {rows_of(shape), rank}),
                          &demand_part(call.c_str(), parts, ".right", dtype::f32, {rank, columns_of(shape)})})
      for (float v : values_of<float>(p->bytes))
        if (!std::isfinite(v)) throw error{call, "a stored number is NaN or infinite", remedy::copy_again};
    if constexpr (Sparse) {
      auto const rest = sparse_parts(parts);
      rows_logic::check(matrix(shape), rest);
    }
  }
  /// Of factors that encode() or compress::low_rank found. (Of factors of one's own it says nothing.)
  static error_norms predict(extents const& shape, std::span<float const> values, std::span<file_tensor const> parts) {
    index_t const m = rows_of(shape), n = columns_of(shape);
    auto const left = values_of<float>(find_part(parts, ".left")->bytes),
               right = values_of<float>(find_part(parts, ".right")->bytes);
    index_t const rank = n > 0 ? static_cast<index_t>(right.size()) / n : 0;
    std::vector<double> w(values.begin(), values.end());
    double most = 0, squares = 0;  // what the chain of an element that is stored apart loses by starting from it
    if constexpr (Sparse) {
      auto const apart = recoded<rows_logic>::decoded(matrix(shape), sparse_parts(parts));
      for (std::size_t i = 0; i < w.size(); ++i)
        if (apart[i] != 0) {
          w[i] -= static_cast<double>(apart[i]);
          double const lost = static_cast<double>(rank + 1) * 0x1p-24 * std::fabs(static_cast<double>(apart[i]));
          most = std::max(most, lost);
          squares += lost * lost;
        }
    }
    auto e = predict_projection(
        m, n, rank, w,
        [&](index_t i, index_t k) { return static_cast<double>(left[static_cast<std::size_t>(i * rank + k)]); },
        [&](index_t j, index_t k) { return static_cast<double>(right[static_cast<std::size_t>(k * n + j)]); });
    e.max += most;
    e.frobenius += std::sqrt(squares);
    return e;
  }

  struct view {
    float const* left = nullptr;
    float const* right = nullptr;
    index_t rank = 0;
    rows_logic::view apart{};
  };
  template <class Parts> static view open(extents const& shape, Parts const& p) {
    view v;
    v.left = p.template find<float>(".left");
    v.right = p.template find<float>(".right");
    v.rank = columns_of(shape) > 0 ? p.count(".right") / columns_of(shape) : 0;
    if constexpr (Sparse) v.apart = rows_logic::open(matrix(shape), p);
    return v;
  }
  static cut_unit granularity(extents const&) { return {1, 1}; }
  static std::vector<file_tensor> slice(extents const& shape, std::span<file_tensor const> parts, index_t first,
                                        index_t last) {
    std::vector<file_tensor> out{part_rows(*find_part(parts, ".left"), first, last), *find_part(parts, ".right")};
    if constexpr (Sparse)
      for (auto& p : rows_logic::slice(matrix(shape), sparse_parts(parts), first, last)) out.push_back(std::move(p));
    return out;
  }
  static std::vector<file_tensor> slice_columns(extents const& shape, extents const& part,
                                                std::span<file_tensor const> parts, index_t first, index_t last) {
    auto const& right = *find_part(parts, ".right");
    std::vector<file_tensor> out{*find_part(parts, ".left"),
                                 {".right",
                                  dtype::f32,
                                  {right.shape[0], last - first},
                                  cut_matrix(right.bytes, right.shape[0], first * 4, last * 4)}};
    if constexpr (Sparse)
      for (auto& p : rows_logic::slice_columns(matrix(shape), matrix(part), sparse_parts(parts), first, last))
        out.push_back(std::move(p));
    return out;
  }
  static std::vector<file_tensor> join(extents const& shape, int dim, std::span<weight_piece const> pieces) {
    auto const left = bytes_of_all(pieces, ".left"), right = bytes_of_all(pieces, ".right");
    auto const& shared = dim == 0 ? right : left;
    for (auto const& s : shared)
      if (s != shared[0]) refuse_join(name, "factors");
    index_t const rank = find_part(pieces[0].parts, ".right")->shape[0];
    std::vector<file_tensor> out{
        {".left", dtype::f32, {rows_of(shape), rank}, dim == 0 ? join_matrix(rows_of(shape), 0, left) : left[0]},
        {".right", dtype::f32, {rank, columns_of(shape)}, dim == 1 ? join_matrix(rank, 1, right) : right[0]}};
    if constexpr (Sparse) {
      std::vector<weight_piece> apart;
      for (auto const& p : pieces) apart.push_back({matrix(p.shape), sparse_parts(p.parts)});
      for (auto& p : rows_logic::join(matrix(shape), dim, apart)) out.push_back(std::move(p));
    }
    return out;
  }

 private:
  [[nodiscard]] static extents matrix(extents const& shape) { return {rows_of(shape), columns_of(shape)}; }
  [[nodiscard]] static std::vector<file_tensor> sparse_parts(std::span<file_tensor const> parts) {
    std::vector<file_tensor> out;
    for (auto const& p : parts)
      if (p.suffix != ".left" && p.suffix != ".right") out.push_back(p);
    return out;
  }
};

}  // namespace detail
}  // namespace pleat::codec
