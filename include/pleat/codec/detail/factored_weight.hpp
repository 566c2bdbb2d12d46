// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Two factors, each stored in a form of a closed set, in a space's memory, and everything that is done with them: what
/// codec::factors hands its calls on to.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/codec/blocks.hpp>
#include <pleat/codec/detail/factor_parts.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/codec/low_rank.hpp>
#include <pleat/codec/reduced.hpp>
#include <pleat/codec/sparse.hpp>

namespace pleat::codec::detail {

struct plain_factor_kernel {
  template <class Space>
  static void apply(context<Space>& c, extents const& shape, plain_factor_logic::view const& v, index_t m,
                    float const* x, float* y, compute::epilogue<float> const& after) {
    apply_dense(c, shape, v.values, m, x, y, after);
  }
};
struct plain_factor : plain_factor_logic {
  using kernel = plain_factor_kernel;
};

/// The forms that a factor can take; the first is that of factors as they are found.
using factor_forms =
    forms<stored<float, plain_factor>, int8<float>, bf16<float>, f16<float>, q8_0<float>, q4_0<float>, q4_1<float>,
          q5_0<float>, q5_1<float>, q4_k<float>, q6_k<float>, int4<float, 32>, int4<float, 64>, int4<float, 128>>;

template <class Forms, class Space> struct one_storage;
template <class... Fs, class Space> struct one_storage<forms<Fs...>, Space> {
  using type = std::variant<typename Fs::template storage<Space>...>;
};

/// y += x, then what follows the last term.
struct add_and_finish_body {
  index_t n;
  float const* x;
  float* y;
  compute::epilogue<float> after;
  PLEAT_FUNCTION void operator()(index_t i) const { y[i] = finish(after, i / n, i % n, y[i] + x[i]); }
};

/// W ≈ L·R (+ S) in a space's memory. Copies share everything; nothing in it changes after it was made. (The functions
/// are not inline, so that a program that links pleat::kernels finds them there.)
template <class Space> struct factored_weight {
  /// A factor in one of the forms.
  using factor = typename one_storage<factor_forms, Space>::type;
  using sparse = csr<float>;

  index_t rank = 0;  ///< 0: never encoded
  factor left, right;
  typename sparse::template storage<Space> apart;  ///< without S it was never encoded
  /// the bound of ‖W − Ŵ‖ against the numbers that it was made from, which a file does not tell
  std::optional<error_norms> promise;

  [[nodiscard]] static extents shape_of_left(extents const& shape, index_t rank) { return {rows_of(shape), rank}; }
  [[nodiscard]] static extents shape_of_right(extents const& shape, index_t rank) { return {rank, columns_of(shape)}; }
  [[nodiscard]] bool has_apart() const noexcept { return apart.pieces != nullptr; }

  void from_file(context<Space>& c, extents const& shape, std::span<file_tensor const> parts);
  [[nodiscard]] std::vector<file_tensor> to_file(context<Space>& c, extents const& shape) const;
  [[nodiscard]] index_t bytes(extents const& shape) const;
  /// The factor's numbers on the host.
  [[nodiscard]] std::vector<float> numbers(context<Space>& c, extents const& shape, bool of_left) const;
  /// The same weight with a factor in another form. \param range int8: of each row; empty: the largest magnitudes
  void encode_factor(context<Space>& c, extents const& shape, bool the_left, int form, std::span<float const> range);
  /// What this one lost against `was`, before a factor took another form. \throws error if it cannot be multiplied out
  void promise_against(context<Space>& c, extents const& shape, factored_weight const& was);
  void decode(context<Space>& c, extents const& shape, float* out) const;
  void apply(context<Space>& c, extents const& shape, index_t m, float const* x, float* y,
             compute::epilogue<float> const& after) const;
  void apply_transposed(context<Space>& c, extents const& shape, index_t m, float const* dy, float* dx,
                        float const* mask) const;
  void convolve(context<Space>& c, compute::conv2d_shape const& g, float const* x, float const* bias, float* y,
                compute::activation act) const;
  void convolve_transposed(context<Space>& c, compute::conv2d_shape const& g, float const* dy, float* dx) const;
  [[nodiscard]] factored_weight slice(context<Space>& c, extents const& shape, index_box const& part) const;
  [[nodiscard]] static std::vector<file_tensor> join(extents const& shape, int dim,
                                                     std::span<weight_piece const> pieces);

  /// Calls f(form_tag<F>, storage&) for the form that a factor has.
  template <class Factor, class F> static decltype(auto) visit(Factor& factor, F&& f) {
    return visit_form<factor_forms>(static_cast<int>(factor.index()), [&](auto tag) -> decltype(auto) {
      return f(tag, *std::get_if<factor_forms::index_of<typename decltype(tag)::type>()>(&factor));
    });
  }

 private:
  void demand() const {
    if (rank == 0) refuse_empty("factors");
  }
  [[nodiscard]] static factor of_file(context<Space>& c, extents const& shape, factor_parts const& f);
  [[nodiscard]] static factor_parts file_of(context<Space>& c, extents const& shape, factor const& f);
  static void decode_factor(context<Space>& c, extents const& shape, factor const& f, float* out);
  static void apply_factor(context<Space>& c, extents const& shape, factor const& f, index_t m, float const* x,
                           float* y, compute::epilogue<float> const& after);
  [[nodiscard]] tensor<float, Space> decoded(context<Space>& c, extents const& shape) const {
    auto w = tensor<float, Space>::allocate(c, shape);
    decode(c, shape, w.data());
    return w;
  }
};

/// Position of a form in factor_forms. \throws error for one that is not there
[[nodiscard]] inline int demand_factor_form(std::string const& call, std::string_view form) {
  if (int const at = factor_forms::index(form); at >= 0) return at;
  std::string known;
  for (int i = 0; i < factor_forms::size; ++i) known += (i ? ", '" : "'") + std::string(factor_forms::name(i)) + "'";
  throw error{call, "a factor cannot be stored as '" + std::string(form) + "'", "Factors can be " + known};
}

template <class Space>
typename factored_weight<Space>::factor factored_weight<Space>::of_file(context<Space>& c, extents const& shape,
                                                                        factor_parts const& f) {
  factor out;
  visit_form<factor_forms>(demand_factor_form("codec::factors::from_file", f.form), [&](auto tag) {
    using F = typename decltype(tag)::type;
    F::from_file(c, shape, std::span<file_tensor const>(f.parts), out.template emplace<factor_forms::index_of<F>()>());
  });
  return out;
}
template <class Space>
factor_parts factored_weight<Space>::file_of(context<Space>& c, extents const& shape, factor const& f) {
  return {std::string(factor_forms::name(static_cast<int>(f.index()))),
          visit(f, [&](auto tag, auto const& s) { return decltype(tag)::type::to_file(c, shape, s); })};
}
template <class Space>
void factored_weight<Space>::decode_factor(context<Space>& c, extents const& shape, factor const& f, float* out) {
  visit(f, [&](auto tag, auto const& s) { decltype(tag)::type::decode(c, shape, s, out); });
}
template <class Space>
void factored_weight<Space>::apply_factor(context<Space>& c, extents const& shape, factor const& f, index_t m,
                                          float const* x, float* y, compute::epilogue<float> const& after) {
  visit(f, [&](auto tag, auto const& s) { decltype(tag)::type::apply(c, shape, s, m, x, y, after); });
}

template <class Space>
void factored_weight<Space>::from_file(context<Space>& c, extents const& shape, std::span<file_tensor const> parts) {
  auto const s = split("codec::factors::from_file", shape, parts);
  factored_weight fresh;
  fresh.rank = s.rank;
  fresh.left = of_file(c, shape_of_left(shape, s.rank), s.left);
  fresh.right = of_file(c, shape_of_right(shape, s.rank), s.right);
  if (!s.apart.empty())
    sparse::from_file(c, {rows_of(shape), columns_of(shape)}, std::span<file_tensor const>(s.apart), fresh.apart);
  *this = std::move(fresh);
}
template <class Space>
std::vector<file_tensor> factored_weight<Space>::to_file(context<Space>& c, extents const& shape) const {
  demand();
  std::vector<file_tensor> all;
  file_of(c, shape_of_left(shape, rank), left).append_to(all, ".left");
  file_of(c, shape_of_right(shape, rank), right).append_to(all, ".right");
  if (has_apart())
    for (auto& p : sparse::to_file(c, {rows_of(shape), columns_of(shape)}, apart)) all.push_back(std::move(p));
  return all;
}
template <class Space> index_t factored_weight<Space>::bytes(extents const& shape) const {
  auto const of = [](extents const& e, factor const& f) {
    return visit(f, [&](auto tag, auto const& s) { return decltype(tag)::type::bytes(e, s); });
  };
  return of(shape_of_left(shape, rank), left) + of(shape_of_right(shape, rank), right) +
         (has_apart() ? sparse::bytes(shape, apart) : 0);
}
template <class Space>
std::vector<float> factored_weight<Space>::numbers(context<Space>& c, extents const& shape, bool of_left) const {
  demand();
  extents const e = of_left ? shape_of_left(shape, rank) : shape_of_right(shape, rank);
  auto const values = tensor<float, Space>::allocate(c, e);
  decode_factor(c, e, of_left ? left : right, values.data());
  std::vector<float> host(static_cast<std::size_t>(e.size()));
  copy_to_host(c, values, host.data());
  return host;
}
template <class Space>
void factored_weight<Space>::encode_factor(context<Space>& c, extents const& shape, bool the_left, int form,
                                           std::span<float const> range) {
  demand();
  extents const e = the_left ? shape_of_left(shape, rank) : shape_of_right(shape, rank);
  auto& to = the_left ? left : right;
  auto const values = tensor<float, Space>::allocate(c, e);
  decode_factor(c, e, to, values.data());
  factor fresh;
  visit_form<factor_forms>(form, [&](auto tag) {
    using F = typename decltype(tag)::type;
    auto& s = fresh.template emplace<factor_forms::index_of<F>()>();
    auto const* const from = static_cast<float const*>(values.data());
    if constexpr (std::is_same_v<F, int8<float>>) {
      if (!range.empty()) return F::encode_with_range(c, e, from, range, s);
    }
    F::encode(c, e, from, s);
  });
  to = std::move(fresh);
}
template <class Space>
void factored_weight<Space>::promise_against(context<Space>& c, extents const& shape, factored_weight const& was) {
  index_t const m = rows_of(shape), n = columns_of(shape), r = rank;
  auto const a = was.numbers(c, shape, true), b = was.numbers(c, shape, false), a_now = numbers(c, shape, true),
             b_now = numbers(c, shape, false);
  auto const row = [r](std::vector<float> const& v) {
    return [&v, r](index_t i, index_t k) { return static_cast<double>(v[static_cast<std::size_t>(i * r + k)]); };
  };
  auto const column = [n](std::vector<float> const& v) {
    return [&v, n](index_t j, index_t k) { return static_cast<double>(v[static_cast<std::size_t>(k * n + j)]); };
  };
  error_norms beside;
  std::vector<float> starts;
  if (has_apart()) {
    extents const e{m, n};
    auto const values = tensor<float, Space>::allocate(c, e);
    sparse::decode(c, e, apart, values.data());
    starts.resize(static_cast<std::size_t>(e.size()));
    copy_to_host(c, values, starts.data());
    for (float const v : starts) beside.add(std::fabs(static_cast<double>(v)));
  }
  demand_finite_product(
      "codec::factors::encode", m, n, r,
      [&](index_t i, index_t k) { return a_now[static_cast<std::size_t>(i * r + k)]; },
      [&](index_t j, index_t k) { return b_now[static_cast<std::size_t>(k * n + j)]; },
      [&](index_t i, index_t j) { return starts.empty() ? 0.0f : starts[static_cast<std::size_t>(i * n + j)]; });
  promise = predict_recoded(m, n, r, {m, r, row(a), row(a_now)}, {n, r, column(b), column(b_now)}, beside);
}
template <class Space> void factored_weight<Space>::decode(context<Space>& c, extents const& shape, float* out) const {
  demand();
  index_t const m = rows_of(shape), n = columns_of(shape);
  extents const of_left{m, rank}, of_right{rank, n};
  auto const l = tensor<float, Space>::allocate(c, of_left), r = tensor<float, Space>::allocate(c, of_right);
  decode_factor(c, of_left, left, l.data());
  decode_factor(c, of_right, right, r.data());
  if (has_apart()) sparse::decode(c, {m, n}, apart, out);
  compute::gemm(c.space(), compute::gemm_arguments<float>{.m = m,
                                                          .n = n,
                                                          .k = rank,
                                                          .a = l.data(),
                                                          .lda = rank,
                                                          .b = r.data(),
                                                          .ldb = n,
                                                          .c = out,
                                                          .ldc = n,
                                                          .accumulate = has_apart()});
}
template <class Space>
void factored_weight<Space>::apply(context<Space>& c, extents const& shape, index_t m, float const* x, float* y,
                                   compute::epilogue<float> const& after) const {
  demand();
  index_t const n = rows_of(shape), k = columns_of(shape);
  if (m == 0 || n == 0) return;
  // a rank without a block: its addend is zero
  if (k == 0) return apply_dense(c, shape, static_cast<float const*>(nullptr), m, x, y, after);
  auto const inner = tensor<float, Space>::allocate(c, {m, rank});
  apply_factor(c, {rank, k}, right, m, x, inner.data(), {});
  if (!has_apart()) return apply_factor(c, {n, rank}, left, m, inner.data(), y, after);
  auto const beside = tensor<float, Space>::allocate(c, {m, n});
  sparse::apply(c, {n, k}, apart, m, x, beside.data(), {});
  apply_factor(c, {n, rank}, left, m, inner.data(), y, {});
  compute::for_each(c.space(), m * n, add_and_finish_body{n, beside.data(), y, after}, 4.0);
}
template <class Space>
void factored_weight<Space>::apply_transposed(context<Space>& c, extents const& shape, index_t m, float const* dy,
                                              float* dx, float const* mask) const {
  demand();
  index_t const n = rows_of(shape), k = columns_of(shape);
  if (has_apart() || shape.size() == 0) {
    auto const w = decoded(c, shape);
    return apply_dense_transposed(c, shape, static_cast<float const*>(w.data()), m, dy, dx, mask);
  }
  auto const inner = tensor<float, Space>::allocate(c, {m, rank});
  visit(left, [&](auto tag, auto const& s) {
    decltype(tag)::type::apply_transposed(c, {n, rank}, s, m, dy, inner.data(), nullptr);
  });
  visit(right, [&](auto tag, auto const& s) {
    decltype(tag)::type::apply_transposed(c, {rank, k}, s, m, inner.data(), dx, mask);
  });
}
template <class Space>
void factored_weight<Space>::convolve(context<Space>& c, compute::conv2d_shape const& g, float const* x,
                                      float const* bias, float* y, compute::activation act) const {
  demand();
  extents const shape{g.out_channels, g.group_in(), g.kernel_h, g.kernel_w};
  if (has_apart() || shape.size() == 0 ||
      !low_rank_kernel<false>::convolves(rank, rows_of(shape), columns_of(shape), g.groups)) {
    auto const w = decoded(c, shape);
    return compute::conv2d_forward(c.space(), g, x, static_cast<float const*>(w.data()), bias, y, act);
  }
  auto thin = g;
  thin.out_channels = rank;
  compute::conv2d_shape point;
  point.batch = g.batch;
  point.in_channels = rank;
  point.height = g.out_height();
  point.width = g.out_width();
  point.out_channels = g.out_channels;
  point.kernel_h = point.kernel_w = 1;
  auto const inner = tensor<float, Space>::allocate(c, {g.batch, rank, point.height, point.width});
  visit(right, [&](auto tag, auto const& s) {
    decltype(tag)::type::convolve(c, thin, s, x, nullptr, inner.data(), compute::activation::none);
  });
  visit(left, [&](auto tag, auto const& s) {
    decltype(tag)::type::convolve(c, point, s, static_cast<float const*>(inner.data()), bias, y, act);
  });
}
template <class Space>
void factored_weight<Space>::convolve_transposed(context<Space>& c, compute::conv2d_shape const& g, float const* dy,
                                                 float* dx) const {
  auto const w = decoded(c, {g.out_channels, g.group_in(), g.kernel_h, g.kernel_w});
  compute::conv2d_backward_input(c.space(), g, dy, static_cast<float const*>(w.data()), dx);
}
template <class Space>
factored_weight<Space> factored_weight<Space>::slice(context<Space>& c, extents const& shape,
                                                     index_box const& part) const {
  factored_weight out = *this;
  if (rank == 0) return out;
  auto const cut = [&](factor& f, extents const& e, int dim, index_range const& some) {
    if (some == index_range{0, e[dim]}) return;
    index_box box(e);
    box[dim] = some;
    f = visit(f, [&](auto tag, auto const& s) {
      using F = typename decltype(tag)::type;
      return factor(std::in_place_index<factor_forms::index_of<F>()>, F::slice(c, e, s, box));
    });
  };
  for (int d = 2; d < shape.rank(); ++d)
    if (part[d] != index_range{0, shape[d]})
      throw error{
          "codec::factors::slice",
          "the part " + part.to_string() + " of " + shape.to_string() + " is cut along dimension " + std::to_string(d),
          "A weight is cut along dimension 0 (outputs) or 1 (inputs)"};
  index_t const inner = shape.size_from(2);
  index_range const columns{part[1].begin * inner, part[1].end * inner};
  cut(out.left, shape_of_left(shape, rank), 0, part[0]);
  cut(out.right, shape_of_right(shape, rank), 1, columns);
  if (has_apart()) {
    extents const e{rows_of(shape), columns_of(shape)};
    index_box box(e);
    box[0] = part[0];
    box[1] = columns;
    out.apart = sparse::slice(c, e, apart, box);
  }
  return out;
}
template <class Space>
std::vector<file_tensor> factored_weight<Space>::join(extents const& shape, int dim,
                                                      std::span<weight_piece const> pieces) {
  std::vector<split_factors> all;
  for (auto const& p : pieces) all.push_back(split("codec::factors::join", shape, p.parts));
  auto const& first = all.front();
  index_t const rank = first.rank;
  auto const joined = [&](factor_parts split_factors::*side, extents const& e, bool cut) {
    auto const& f = first.*side;
    std::vector<weight_piece> some;
    for (std::size_t i = 0; i < all.size(); ++i) {
      auto const& other = all[i].*side;
      bool same = other.form == f.form && all[i].rank == rank && other.parts.size() == f.parts.size();
      for (std::size_t j = 0; same && !cut && j < f.parts.size(); ++j) same = other.parts[j].bytes == f.parts[j].bytes;
      if (!same && (!cut || other.form != f.form || all[i].rank != rank)) refuse_join("factors", "factors");
      some.push_back(
          {dim == 0 ? shape_of_left(pieces[i].shape, rank) : shape_of_right(pieces[i].shape, rank), other.parts});
    }
    if (!cut) return f;
    return factor_parts{f.form,
                        visit_form<factor_forms>(demand_factor_form("codec::factors::join", f.form), [&](auto tag) {
                          return decltype(tag)::type::join(e, dim, std::span<weight_piece const>(some));
                        })};
  };
  std::vector<file_tensor> out;
  joined(&split_factors::left, shape_of_left(shape, rank), dim == 0).append_to(out, ".left");
  joined(&split_factors::right, shape_of_right(shape, rank), dim == 1).append_to(out, ".right");
  if (!first.apart.empty()) {
    std::vector<weight_piece> some;
    for (std::size_t i = 0; i < all.size(); ++i)
      some.push_back({{rows_of(pieces[i].shape), columns_of(pieces[i].shape)}, all[i].apart});
    for (auto& p : sparse::join({rows_of(shape), columns_of(shape)}, dim, std::span<weight_piece const>(some)))
      out.push_back(std::move(p));
  }
  return out;
}

#ifdef PLEAT_FORM  // of these pleat::kernels has the code (compute/instances.hpp)
PLEAT_FORM template struct stored_weight<plain_factor, Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct factored_weight<Kokkos::DefaultExecutionSpace>;
#endif

}  // namespace pleat::codec::detail
