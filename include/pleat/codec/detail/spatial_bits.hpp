// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The bit logic of kernels that are factored in space: W[o, c, y, x] ≈ Σₖ vertical[k, c, y]·horizontal[o, k, x]. Needs
/// no Kokkos.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/codec/detail/low_rank_bits.hpp>

namespace pleat::codec::detail {

struct spatial_logic {
  static constexpr std::string_view name = "spatial_low_rank";
  using options = low_rank_options;

  /// Extents of a kernel [out, in, height, width].
  struct sides {
    index_t out, in, height, width;
    explicit sides(extents const& s) : out(s[0]), in(s[1]), height(s[2]), width(s[3]) {}
    [[nodiscard]] index_t tall() const noexcept { return in * height; }
    [[nodiscard]] index_t wide() const noexcept { return out * width; }
  };
  static void demand_kernel(char const* function, extents const& shape) {
    if (shape.rank() != 4)
      throw error{
          call_of(name, function),
          "a weight of shape " + shape.to_string() + ", expected the kernel of a convolution, [out, in, height, width]",
          "codec::low_rank is for matrices"};
  }
  /// The matrix [in·height, out·width] of a kernel's numbers.
  [[nodiscard]] static std::vector<double> unfolded(extents const& shape, std::span<float const> values,
                                                    double unit = 1) {
    sides const s(shape);
    std::vector<double> a(values.size());
    std::size_t i = 0;
    for (index_t o = 0; o < s.out; ++o)
      for (index_t cy = 0; cy < s.tall(); ++cy)
        for (index_t x = 0; x < s.width; ++x)
          a[static_cast<std::size_t>(cy * s.wide() + o * s.width + x)] = static_cast<double>(values[i++]) / unit;
    return a;
  }

  static std::vector<file_tensor> encode(extents const& shape, std::span<float const> values, options const& o) {
    demand_kernel("encode", shape);
    demand_finite(name, shape, values);
    auto const call = call_of(name, "encode");
    if (o.sparse_share != 0)
      throw error{call, "sparse_share is for codec::sparse_low_rank", "Leave .sparse_share at 0 here"};
    if (shape.size() == 0) throw error{call, "a weight without elements has no factors", "Leave this weight as it is"};
    float amax = 0;
    for (float const v : values) amax = std::max(amax, std::fabs(v));
    // scaled to 1, so that no square overflows or vanishes
    double const unit = amax > 0 ? static_cast<double>(amax) : 1.0;
    sides const s(shape);
    auto const f = compute::svd(s.tall(), s.wide(), unfolded(shape, values, unit));
    return of_vectors(shape, f, choose_rank(call, f, o), unit);
  }
  /// The first `rank` pairs of singular vectors of the unfolded kernel, scaled by `unit`; each takes √σ.
  static std::vector<file_tensor> of_vectors(extents const& shape, thin_svd const& f, index_t rank, double unit) {
    sides const s(shape);
    std::vector<float> vertical(static_cast<std::size_t>(rank * s.tall())),
        horizontal(static_cast<std::size_t>(rank * s.wide()));
    for (index_t k = 0; k < rank; ++k) {
      double const root = std::sqrt(f.s[static_cast<std::size_t>(k)]) * std::sqrt(unit);
      for (index_t i = 0; i < s.tall(); ++i)
        vertical[static_cast<std::size_t>(k * s.tall() + i)] =
            static_cast<float>(f.u[static_cast<std::size_t>(k * s.tall() + i)] * root);
      for (index_t o = 0; o < s.out; ++o)
        for (index_t x = 0; x < s.width; ++x)
          horizontal[static_cast<std::size_t>((o * rank + k) * s.width + x)] =
              static_cast<float>(f.v[static_cast<std::size_t>(k * s.wide() + o * s.width + x)] * root);
    }
    return from_factors(shape, rank, vertical, horizontal);
  }
  /// Factors of one's own: vertical [rank, in, height], horizontal [out, rank, width].
  static std::vector<file_tensor> from_factors(extents const& shape, index_t rank, std::vector<float> const& vertical,
                                               std::vector<float> const& horizontal) {
    demand_kernel("from_factors", shape);
    sides const s(shape);
    std::vector<file_tensor> parts{part_of(".vertical", {rank, s.in, s.height}, vertical),
                                   part_of(".horizontal", {s.out, rank, s.width}, horizontal)};
    check(shape, parts);
    demand_finite_product(
        call_of(name, "encode"), s.tall(), s.wide(), rank,
        [&](index_t i, index_t k) { return vertical[static_cast<std::size_t>(k * s.tall() + i)]; },
        [&](index_t j, index_t k) {
          return horizontal[static_cast<std::size_t>((j / s.width * rank + k) * s.width + j % s.width)];
        },
        [](index_t, index_t) { return 0.0f; });
    return parts;
  }
  static void check(extents const& shape, std::span<file_tensor const> parts) {
    auto const call = call_of(name, "from_file");
    demand_kernel("from_file", shape);
    demand_only(call.c_str(), parts, {".vertical", ".horizontal"});
    sides const s(shape);
    auto const* const v = find_part(parts, ".vertical");
    index_t const rank = v && v->shape.rank() == 3 ? std::min(v->shape[0], std::max(s.tall(), s.wide())) : 1;
    if (rank < 1) throw error{call, "factors of rank 0", remedy::copy_again};
    for (auto const* p : {&demand_part(call.c_str(), parts, ".vertical", dtype::f32, {rank, s.in, s.height}),
                          &demand_part(call.c_str(), parts, ".horizontal", dtype::f32, {s.out, rank, s.width})})
      for (float const x : values_of<float>(p->bytes))
        if (!std::isfinite(x)) throw error{call, "a stored number is NaN or infinite", remedy::copy_again};
  }

  struct view {
    float const* vertical = nullptr;
    float const* horizontal = nullptr;
    index_t rank = 0, tall = 0, width = 0;
    PLEAT_INLINE void decode(index_t row, index_t first, index_t last, float* out) const {
      for (index_t i = first; i < last; ++i) {
        index_t const cy = i / width, x = i % width;
        float sum = 0;
        for (index_t k = 0; k < rank; ++k)
          sum = compute::fma(vertical[k * tall + cy], horizontal[(row * rank + k) * width + x], sum);
        out[i - first] = sum;
      }
    }
  };
  template <class Parts> static view open(extents const& shape, Parts const& p) {
    sides const s(shape);
    return {p.template find<float>(".vertical"), p.template find<float>(".horizontal"),
            s.tall() > 0 ? p.count(".vertical") / s.tall() : 0, s.tall(), s.width};
  }
  static cut_unit granularity(extents const& shape) { return {1, std::max<index_t>(1, shape.size_from(2))}; }
  static std::vector<file_tensor> slice(extents const&, std::span<file_tensor const> parts, index_t first,
                                        index_t last) {
    return {*find_part(parts, ".vertical"), part_rows(*find_part(parts, ".horizontal"), first, last)};
  }
  static std::vector<file_tensor> slice_columns(extents const& shape, extents const& part,
                                                std::span<file_tensor const> parts, index_t first, index_t last) {
    auto const& vertical = *find_part(parts, ".vertical");
    index_t const each = shape.size_from(2), channel = shape[2] * static_cast<index_t>(sizeof(float));
    return {{".vertical",
             dtype::f32,
             {vertical.shape[0], part[1], shape[2]},
             cut_matrix(vertical.bytes, vertical.shape[0], first / each * channel, last / each * channel)},
            *find_part(parts, ".horizontal")};
  }
  static std::vector<file_tensor> join(extents const& shape, int dim, std::span<weight_piece const> pieces) {
    auto const vertical = bytes_of_all(pieces, ".vertical"), horizontal = bytes_of_all(pieces, ".horizontal");
    auto const& shared = dim == 0 ? vertical : horizontal;
    for (auto const& s : shared)
      if (s != shared[0]) refuse_join(name, "factors");
    index_t const rank = find_part(pieces[0].parts, ".vertical")->shape[0];
    return {
        {".vertical", dtype::f32, {rank, shape[1], shape[2]}, dim == 1 ? join_matrix(rank, 1, vertical) : vertical[0]},
        {".horizontal",
         dtype::f32,
         {shape[0], rank, shape[3]},
         dim == 0 ? join_matrix(shape[0], 0, horizontal) : horizontal[0]}};
  }
  /// As low_rank_logic::predict, of the unfolded kernel.
  static error_norms predict(extents const& shape, std::span<float const> values, std::span<file_tensor const> parts) {
    sides const s(shape);
    auto const vertical = values_of<float>(find_part(parts, ".vertical")->bytes),
               horizontal = values_of<float>(find_part(parts, ".horizontal")->bytes);
    index_t const rank = s.tall() > 0 ? static_cast<index_t>(vertical.size()) / s.tall() : 0;
    auto const w = unfolded(shape, values);
    return predict_projection(
        s.tall(), s.wide(), rank, w,
        [&](index_t i, index_t k) { return static_cast<double>(vertical[static_cast<std::size_t>(k * s.tall() + i)]); },
        [&](index_t j, index_t k) {
          return static_cast<double>(
              horizontal[static_cast<std::size_t>((j / s.width * rank + k) * s.width + j % s.width)]);
        });
  }
};

}  // namespace pleat::codec::detail
