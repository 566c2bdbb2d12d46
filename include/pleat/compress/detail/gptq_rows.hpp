// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The walk of GPTQ along a weight's columns, on the host, and the forms that it can write.
#pragma once

#include <algorithm>
#include <cstring>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/codec/blocks.hpp>
#include <pleat/codec/detail/int8_codes.hpp>
#include <pleat/codec/detail/put_code.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/compress/layer_inputs.hpp>
#include <pleat/compute/cholesky.hpp>

namespace pleat::compress::detail {

using codec::detail::byte_t;
using codec::file_tensor;

/// How GPTQ writes a form: rows of groups with scales of their own. `image` is what the walk works on.
template <class F> struct gptq_grid;

/// ggml's blocks and int4 groups: the image is the file's.
template <class T, class B>
  requires requires { typename B::format; }
struct gptq_grid<codec::stored<T, B>> {
  using format = typename B::format;
  static constexpr bool whole_row = false;
  [[nodiscard]] static index_t group(index_t) noexcept { return format::block; }
  [[nodiscard]] static index_t row_bytes(index_t columns) noexcept { return columns / format::block * format::bytes; }
  /// The scales of a group that begins at `b`.
  static void start(float const* x, index_t, byte_t* b) {
    codec::detail::encode_row_body<format>{x, b, format::block}(0);
  }
  /// The nearest code to w: written, and its number returned.
  static float put(byte_t* b, index_t j, double w) {
    int const i = static_cast<int>(j), piece = i / 32;
    double step = static_cast<double>(format::scale(b, piece));
    if (format::multipliers) step *= format::multiplier(b, piece, i % 32 / 16);
    // int4 and q8_0 leave their lowest code out: ±7 and ±127
    constexpr int low = format::offset > 0 && format::name != std::string_view("q4_0") &&
                                format::name != std::string_view("q5_0") && !format::multipliers
                            ? 1
                            : 0;
    double const q = step != 0
                         ? std::nearbyint((w - static_cast<double>(format::base(b, piece))) / step) + format::offset
                         : format::offset;
    codec::detail::put_code(format{}, b, i, static_cast<int>(q < low ? low : q > format::most ? format::most : q));
    return codec::detail::block_value<format>(b, i);
  }
};

/// int8: the image of a row is its scale and its codes.
template <class T> struct gptq_grid<codec::int8<T>> {
  static constexpr bool whole_row = true;
  [[nodiscard]] static index_t group(index_t columns) noexcept { return std::max<index_t>(1, columns); }
  [[nodiscard]] static index_t row_bytes(index_t columns) noexcept { return 4 + columns; }
  static void start(float const* x, index_t columns, byte_t* b) {
    float const scale = codec::detail::int8_scale(
        codec::detail::finite_amax(std::span<float const>(x, static_cast<std::size_t>(columns))));
    std::memcpy(b, &scale, 4);
  }
  static float put(byte_t* b, index_t j, double w) {
    float scale;
    std::memcpy(&scale, b, 4);
    double const q = scale > 0 ? std::clamp(std::nearbyint(w / static_cast<double>(scale)), -127.0, 127.0) : 0.0;
    b[4 + j] = static_cast<byte_t>(static_cast<std::int8_t>(q));
    return scale * static_cast<float>(q);
  }
};

template <class F>
inline constexpr bool gptq_solves = requires(float const* x, byte_t* b) { gptq_grid<F>::start(x, index_t{1}, b); };

/// The image as the form's file parts.
template <class F>
[[nodiscard]] std::vector<file_tensor> parts_of_image(extents const& shape, std::vector<byte_t> const& image) {
  index_t const rows = codec::rows_of(shape), columns = codec::columns_of(shape);
  if constexpr (gptq_grid<F>::whole_row) {
    std::vector<std::int8_t> codes;
    std::vector<float> scales(static_cast<std::size_t>(rows));
    for (index_t r = 0; r < rows; ++r) {
      byte_t const* const b = image.data() + r * (4 + columns);
      std::memcpy(&scales[static_cast<std::size_t>(r)], b, 4);
      for (index_t j = 0; j < columns; ++j) codes.push_back(static_cast<std::int8_t>(b[4 + j]));
    }
    return {{".codes", dtype::i8, shape, codec::detail::bytes_of(std::span<std::int8_t const>(codes))},
            {".scale", dtype::f32, {rows}, codec::detail::bytes_of(std::span<float const>(scales))}};
  } else {
    auto part = F::bits::image(shape);
    part.bytes = codec::detail::bytes_of(std::span<byte_t const>(image));
    std::vector<file_tensor> parts;
    parts.push_back(std::move(part));
    F::bits::check(shape, parts);  // scales that a half cannot hold
    return parts;
  }
}
template <class F, class Space>
void store_parts(context<Space>& c, extents const& shape, std::vector<file_tensor> const& parts,
                 typename F::template storage<Space>& to) {
  F::from_file(c, shape, parts, to);
}
/// The form's own encoder.
template <class F>
[[nodiscard]] std::vector<file_tensor> rounded_parts(extents const& shape, std::vector<float> const& values) {
  if constexpr (gptq_grid<F>::whole_row) {
    index_t const columns = codec::columns_of(shape), bytes = gptq_grid<F>::row_bytes(columns);
    std::vector<byte_t> image(static_cast<std::size_t>(codec::rows_of(shape) * bytes));
    for (index_t r = 0; r < codec::rows_of(shape); ++r) {
      gptq_grid<F>::start(values.data() + r * columns, columns, image.data() + r * bytes);
      for (index_t j = 0; j < columns; ++j)
        (void)gptq_grid<F>::put(image.data() + r * bytes, j,
                                static_cast<double>(values[static_cast<std::size_t>(r * columns + j)]));
    }
    return parts_of_image<F>(shape, image);
  } else {
    return F::bits::encode(shape, values, {});
  }
}
template <class F>
[[nodiscard]] std::vector<float> decoded_parts(extents const& shape, std::vector<file_tensor> const& parts) {
  index_t const rows = codec::rows_of(shape), columns = codec::columns_of(shape);
  std::vector<float> out(static_cast<std::size_t>(shape.size()));
  if constexpr (gptq_grid<F>::whole_row) {
    auto const codes = codec::detail::values_of<std::int8_t>(parts[0].bytes);
    auto const scales = codec::detail::values_of<float>(parts[1].bytes);
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = scales[i / static_cast<std::size_t>(columns)] * static_cast<float>(codes[i]);
  } else {
    typename F::view const v{reinterpret_cast<byte_t const*>(parts[0].bytes.data()), F::bits::row_bytes(shape)};
    for (index_t r = 0; r < rows; ++r) v.decode(r, 0, columns, out.data() + r * columns);
  }
  return out;
}
/// The columns of one rank's part.
template <class F>
[[nodiscard]] file_tensor columns_of_part(file_tensor const& p, extents const& whole, index_box const& box) {
  if constexpr (gptq_grid<F>::whole_row) {
    if (p.suffix == ".scale") return p;
    auto const codes = codec::detail::values_of<std::int8_t>(p.bytes);
    std::vector<std::int8_t> mine;
    codec::detail::for_each_of_part(whole, box, [&](index_t i) { mine.push_back(codes[static_cast<std::size_t>(i)]); });
    return {p.suffix, p.type, box.shape(), codec::detail::bytes_of(std::span<std::int8_t const>(mine))};
  } else {
    // Parts begin at borders of blocks: dimension 1 is cut, what follows it is not.
    index_t const inner = whole.size_from(2), from = F::bits::row_bytes(extents{1, box[1].begin * inner}),
                  to = F::bits::row_bytes(extents{1, box[1].end * inner}), row = F::bits::row_bytes(whole);
    file_tensor out{p.suffix, p.type, extents{codec::rows_of(whole), to - from}, {}};
    for (index_t r = 0; r < codec::rows_of(whole); ++r)
      out.bytes.insert(out.bytes.end(), p.bytes.begin() + r * row + from, p.bytes.begin() + r * row + to);
    return out;
  }
}

/// tr(D·H·Dᵀ), D = W − Ŵ, H = (2/N)·gram; row by row in ascending order.
template <class Space>
[[nodiscard]] double h_loss(Space const& space, extents const& shape, std::vector<float> const& w,
                            std::vector<float> const& hat, layer_input const& input) {
  index_t const n = codec::columns_of(shape), rows = codec::rows_of(shape), each = rows / input.groups;
  std::vector<double> d(w.size()), t(w.size());
  for (std::size_t i = 0; i < w.size(); ++i) d[i] = static_cast<double>(w[i]) - static_cast<double>(hat[i]);
  for (index_t g = 0; g < input.groups; ++g) {
    compute::gemm_arguments<double> a;
    a.m = each, a.n = n, a.k = n;
    a.a = d.data() + g * each * n, a.lda = n;
    a.b = input.gram.data() + g * n * n, a.ldb = n;
    a.c = t.data() + g * each * n, a.ldc = n;
    compute::gemm(space, a);
  }
  space.fence();
  double sum = 0;
  for (std::size_t i = 0; i < d.size(); ++i) sum += d[i] * t[i];
  return sum * 2 / static_cast<double>(std::max<index_t>(1, input.rows));
}

struct gptq_settings {
  index_t block;
  double damping;
  bool static_groups;
};

inline constexpr index_t gptq_tile = 8;  // rows that share every number of U

/// Eight rows from the first column to the last. Position i of the walk is column order[i]; work[i·8 + r] is row r's
/// number there. A number's chain of corrections ascends in i, whatever the blocks.
template <class F> struct gptq_rows_body {
  using grid = gptq_grid<F>;
  index_t rows, n, block;
  bool static_groups;
  index_t const* order;
  double const* u;  // [n, n]
  float const* w;   // [rows, n]
  std::uint8_t const* dead;
  byte_t* image;
  double* work;
  double* errors;  // [tiles, block, 8]

  void operator()(index_t tile) const {
    index_t const first = tile * gptq_tile, count = std::min(gptq_tile, rows - first), group = grid::group(n),
                  bytes = grid::row_bytes(n);
    double* const v = work + tile * n * gptq_tile;
    double* const e = errors + tile * block * gptq_tile;
    for (index_t i = 0; i < n; ++i)
      for (index_t r = 0; r < gptq_tile; ++r)
        v[i * gptq_tile + r] = r < count ? static_cast<double>(w[(first + r) * n + order[i]]) : 0.0;
    std::vector<float> x(static_cast<std::size_t>(group));
    auto const at = [&](index_t r, index_t column) {
      return image + (first + r) * bytes + (grid::whole_row ? 0 : column / group * (bytes / (n / group)));
    };
    if (static_groups || grid::whole_row)
      for (index_t r = 0; r < count; ++r)
        for (index_t c = 0; c < n; c += group) grid::start(w + (first + r) * n + c, group, at(r, c));
    for (index_t begin = 0; begin < n; begin += block) {
      index_t const end = std::min(begin + block, n);
      for (index_t i = begin; i < end; ++i) {
        index_t const c = order[i];
        if (!static_groups && !grid::whole_row && i % group == 0)
          for (index_t r = 0; r < count; ++r) {
            for (index_t k = 0; k < group; ++k)
              x[static_cast<std::size_t>(k)] =
                  dead[(first + r) * n + i + k] ? 0.0f : static_cast<float>(v[(i + k) * gptq_tile + r]);
            grid::start(x.data(), group, at(r, c));
          }
        double const inverse = 1 / u[i * n + i];
        double* const here = e + (i - begin) * gptq_tile;
        for (index_t r = 0; r < gptq_tile; ++r) {
          here[r] = 0;
          if (r >= count) continue;
          double const wanted = dead[(first + r) * n + c] ? 0.0 : v[i * gptq_tile + r];
          here[r] = (v[i * gptq_tile + r] -
                     static_cast<double>(grid::put(at(r, c), grid::whole_row ? c : c % group, wanted))) *
                    inverse;
        }
        for (index_t j = i + 1; j < end; ++j) correct(v + j * gptq_tile, here, u[i * n + j]);
      }
      for (index_t j = end; j < n; ++j)
        for (index_t i = begin; i < end; ++i) correct(v + j * gptq_tile, e + (i - begin) * gptq_tile, u[i * n + j]);
    }
  }
  static void correct(double* v, double const* e, double u) {
    for (index_t r = 0; r < gptq_tile; ++r) v[r] = compute::fma(-e[r], u, v[r]);
  }
};

/// The form's parts, solved; empty if H + damping is not positive definite. \throws error for scales that the form
/// cannot hold
template <class F, class Space>
[[nodiscard]] std::vector<file_tensor> gptq_image(Space const& space, extents const& shape,
                                                  std::vector<float> const& values,
                                                  std::vector<std::uint8_t> const& dead, layer_input const& input,
                                                  gptq_settings const& how) {
  index_t const n = codec::columns_of(shape), each = codec::rows_of(shape) / input.groups,
                bytes = gptq_grid<F>::row_bytes(n), group = gptq_grid<F>::group(n);
  std::vector<byte_t> image(static_cast<std::size_t>(codec::rows_of(shape) * bytes));
  index_t const block =
      gptq_grid<F>::whole_row || how.static_groups ? how.block : (how.block + group - 1) / group * group;
  std::vector<double> h(static_cast<std::size_t>(n * n)), u(h.size());
  std::vector<index_t> order(static_cast<std::size_t>(n));
  auto w = values;
  for (index_t g = 0; g < input.groups; ++g) {
    double const* const gram = input.gram.data() + g * n * n;
    std::iota(order.begin(), order.end(), index_t{0});
    if (how.static_groups)
      std::stable_sort(order.begin(), order.end(),
                       [&](index_t a, index_t b) { return gram[a * n + a] > gram[b * n + b]; });
    double const scale = 2 / static_cast<double>(std::max<index_t>(1, input.rows));
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j < n; ++j)
        h[static_cast<std::size_t>(i * n + j)] =
            scale * gram[order[static_cast<std::size_t>(i)] * n + order[static_cast<std::size_t>(j)]];
    double mean = 0;
    for (index_t i = 0; i < n; ++i) {
      double& d = h[static_cast<std::size_t>(i * n + i)];
      if (d == 0) {  // an input that never came
        d = 1;
        for (index_t r = g * each; r < (g + 1) * each; ++r)
          w[static_cast<std::size_t>(r * n + order[static_cast<std::size_t>(i)])] = 0;
      }
      mean += d / static_cast<double>(n);
    }
    for (index_t i = 0; i < n; ++i) h[static_cast<std::size_t>(i * n + i)] += how.damping * mean;
    if (compute::upper_factor_of_inverse(space, n, h.data(), u.data()) >= 0) return {};
    space.fence();
    index_t const tiles = (each + gptq_tile - 1) / gptq_tile;
    std::vector<double> work(static_cast<std::size_t>(tiles * n * gptq_tile)),
        errors(static_cast<std::size_t>(tiles * block * gptq_tile));
    gptq_rows_body<F> const body{each,
                                 n,
                                 block,
                                 how.static_groups,
                                 order.data(),
                                 u.data(),
                                 w.data() + g * each * n,
                                 dead.data() + g * each * n,
                                 image.data() + g * each * bytes,
                                 work.data(),
                                 errors.data()};
    compute::for_each_row(space, tiles, body, static_cast<double>(gptq_tile * n * n));
    space.fence();
  }
  return parts_of_image<F>(shape, image);
}

}  // namespace pleat::compress::detail
