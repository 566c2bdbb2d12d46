// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What files hold of factors that have forms of their own, and what such factors lose. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/codec/detail/one_tensor.hpp>
#include <pleat/codec/error_norms.hpp>

namespace pleat::codec::detail {

/// Float numbers as they are: a factor that has no other form.
struct plain_factor_logic : one_tensor_logic<plain_factor_logic, float> {
  static constexpr std::string_view name = "dense";
  struct options {};

  [[nodiscard]] static float number(float code) { return code; }
  static std::vector<file_tensor> encode(extents const& shape, std::span<float const> values, options const&) {
    demand_finite(name, shape, values);
    return {part_of("", shape, std::vector<float>(values.begin(), values.end()))};
  }
  struct view {
    float const* values = nullptr;
    index_t columns = 0;
    PLEAT_INLINE void decode(index_t row, index_t first, index_t last, float* out) const {
      for (index_t k = first; k < last; ++k) out[k - first] = values[row * columns + k];
    }
  };
};

/// One factor's tensors in a file, without what stands before their suffixes: ".left" + "." + form + suffix; a factor
/// of floats ".left" alone, as codec::low_rank writes it.
struct factor_parts {
  std::string form;
  std::vector<file_tensor> parts;
  /// As the file has it.
  void append_to(std::vector<file_tensor>& all, std::string const& side) && {
    for (auto& p : parts) {
      p.suffix = form == plain_factor_logic::name ? side : side + "." + form + p.suffix;
      all.push_back(std::move(p));
    }
  }
};
/// What a file holds of W ≈ L·R (+ S).
struct split_factors {
  factor_parts left, right;
  std::vector<file_tensor> apart;  ///< csr's; none without S
  index_t rank = 0;
};
/// \param shape of the weight whose rank it is: of the whole one, where the parts are a piece's
/// \throws error for parts that are no two factors, each in one form
[[nodiscard]] inline split_factors split(std::string const& call, extents const& shape,
                                         std::span<file_tensor const> parts) {
  split_factors s;
  for (auto const& p : parts) {
    bool const left = p.suffix == ".left" || p.suffix.starts_with(".left."),
               right = p.suffix == ".right" || p.suffix.starts_with(".right.");
    if (!left && !right) {
      s.apart.push_back(p);
      continue;
    }
    auto const rest = std::string_view(p.suffix).substr(left ? 5 : 6);
    auto const dot = rest.find('.', 1);
    std::string const form =
        rest.empty() ? std::string(plain_factor_logic::name) : std::string(rest.substr(1, dot - 1));
    auto& to = left ? s.left : s.right;
    if (!to.parts.empty() && to.form != form)
      throw error{call, "a factor is stored as '" + to.form + "' and as '" + form + "'", remedy::copy_again};
    to.form = form;
    to.parts.push_back({dot == std::string_view::npos ? "" : std::string(rest.substr(dot)), p.type, p.shape, p.bytes});
  }
  for (auto const* f : {&s.left, &s.right})
    if (f->parts.empty())
      throw error{call, std::string("there is no ") + (f == &s.left ? "left" : "right") + " factor",
                  remedy::copy_again};
  // every form has a part with a row for each of the matrix
  for (auto const suffix : {"", ".codes", ".blocks", ".scale"})
    if (auto const* const p = find_part(s.right.parts, suffix); p && s.rank == 0 && p->shape.rank() > 0)
      s.rank = p->shape[0];
  if (s.rank < 1 || s.rank > std::max<index_t>(1, std::max(rows_of(shape), columns_of(shape))))
    throw error{call, "factors of rank " + std::to_string(s.rank) + " for a weight of shape " + shape.to_string(),
                remedy::copy_again};
  return s;
}

/// A factor before and after it took another form: of L its rows, of R its columns are the vectors.
class recoded_factor {
 public:
  /// was(i, k), is(i, k) of n vectors of `rank` numbers.
  template <class A> recoded_factor(index_t n, index_t rank, A const& was, A const& is) {
    before = lengths(n, rank, was);
    after = lengths(n, rank, is);
    lost = lengths(n, rank, [&](index_t i, index_t k) { return was(i, k) - is(i, k); });
  }
  struct norms {
    double longest = 0;    ///< of the vectors
    double frobenius = 0;  ///< of all
    double spectral = 0;   ///< a bound of the largest singular value
  };
  norms before, after, lost;

 private:
  template <class A> [[nodiscard]] static norms lengths(index_t n, index_t rank, A const& a) {
    norms x;
    std::vector<double> gram(static_cast<std::size_t>(rank * rank)), one(static_cast<std::size_t>(rank));
    double all = 0;
    for (index_t i = 0; i < n; ++i) {
      double square = 0;
      for (index_t k = 0; k < rank; ++k) {
        double const v = one[static_cast<std::size_t>(k)] = a(i, k);
        square += v * v;
      }
      for (index_t k = 0; k < rank; ++k)
        if (double const v = one[static_cast<std::size_t>(k)]; v != 0)
          for (index_t l = 0; l < rank; ++l)
            gram[static_cast<std::size_t>(k * rank + l)] += v * one[static_cast<std::size_t>(l)];
      x.longest = std::max(x.longest, std::sqrt(square));
      all += square;
    }
    double most = 0;  // ‖A‖₂² = ‖AᵀA‖₂, at most its largest sum of magnitudes in a row
    for (index_t k = 0; k < rank; ++k) {
      double sum = 0;
      for (index_t l = 0; l < rank; ++l) sum += std::fabs(gram[static_cast<std::size_t>(k * rank + l)]);
      most = std::max(most, sum);
    }
    x.frobenius = std::sqrt(all);
    x.spectral = std::min(std::sqrt(most), x.frobenius);
    return x;
  }
};

/// How far Â·B̂ (+ S) is from A·B (+ S), of which both are computed in float, element by element one chain of `rank`
/// fused multiply-adds that starts from S: A·B − Â·B̂ = A·(B − B̂) + (A − Â)·B̂, so
///
///     ‖A·B − Â·B̂‖_F ≤ ‖A‖₂·‖B − B̂‖_F + ‖A − Â‖_F·‖B̂‖₂
///     |(A·B − Â·B̂)ᵢⱼ| ≤ ‖aᵢ‖·‖bⱼ − b̂ⱼ‖ + ‖aᵢ − âᵢ‖·‖b̂ⱼ‖           (Cauchy and Schwarz)
///
/// and each chain rounds to (rank + 3)·2⁻²⁴ of the sum of its terms' magnitudes, at most |sᵢⱼ| + ‖aᵢ‖·‖bⱼ‖.
/// \param apart ‖S‖
[[nodiscard]] inline error_norms predict_recoded(index_t m, index_t n, index_t rank, recoded_factor const& a,
                                                 recoded_factor const& b, error_norms const& apart) {
  double const unit = static_cast<double>(rank + 3) * 0x1p-24, least = 2 * static_cast<double>(rank + 1) * 0x1p-149,
               slack = 1 + 1e-10;  // of the double arithmetic here
  error_norms e;
  e.max = slack * (a.before.longest * b.lost.longest + a.lost.longest * b.after.longest) +
          unit * (2 * apart.max + a.before.longest * b.before.longest + a.after.longest * b.after.longest) + least;
  e.frobenius =
      slack * (a.before.spectral * b.lost.frobenius + a.lost.frobenius * b.after.spectral) +
      unit * (2 * apart.frobenius + a.before.frobenius * b.before.frobenius + a.after.frobenius * b.after.frobenius) +
      least * std::sqrt(static_cast<double>(m) * static_cast<double>(n));
  if (a.lost.frobenius == 0 && b.lost.frobenius == 0) e = {};  // the same chains
  return e;
}

}  // namespace pleat::codec::detail
