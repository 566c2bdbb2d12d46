// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Cutting stored weights by rows and columns, and putting the pieces together again, on what a file holds. Needs no
/// Kokkos.
///
/// Bit logic has, beside `slice` (rows), `slice_columns(shape, part_shape, parts, first, last)` and `join(shape, dim,
/// pieces)`: neither encodes again what would lose a bit; joined pieces of a weight are the bytes of that weight.
#pragma once

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/codec/detail/host_bits.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::codec::detail {

/// Elements [first, last) of every row of a matrix.
template <class V>
[[nodiscard]] std::vector<V> cut_matrix(std::vector<V> const& all, index_t rows, index_t first, index_t last) {
  std::size_t const width = rows > 0 ? all.size() / static_cast<std::size_t>(rows) : 0;
  std::vector<V> out;
  out.reserve(static_cast<std::size_t>(rows * (last - first)));
  for (index_t r = 0; r < rows; ++r) {
    auto const row = all.begin() + static_cast<std::ptrdiff_t>(width) * r;
    out.insert(out.end(), row + first, row + last);
  }
  return out;
}
/// Matrices below each other (dim = 0) or side by side (dim = 1, all of `rows` rows).
template <class V>
[[nodiscard]] std::vector<V> join_matrix(index_t rows, int dim, std::vector<std::vector<V>> const& pieces) {
  std::vector<V> out;
  if (dim == 0)
    for (auto const& p : pieces) out.insert(out.end(), p.begin(), p.end());
  for (index_t r = 0; dim == 1 && r < rows; ++r)
    for (auto const& p : pieces) {
      auto const width = static_cast<std::ptrdiff_t>(p.size()) / rows;
      out.insert(out.end(), p.begin() + width * r, p.begin() + width * (r + 1));
    }
  return out;
}
/// One part of all pieces, by its suffix.
PLEAT_ONCE [[nodiscard]] std::vector<std::vector<std::byte>> bytes_of_all(std::span<weight_piece const> pieces,
                                                                          std::string_view suffix) {
  std::vector<std::vector<std::byte>> all;
  for (auto const& p : pieces) all.push_back(find_part(as_span(p.parts), suffix)->bytes);
  return all;
}

/// \throws error: pieces that do not come from one weight cannot become one
PLEAT_LAZY [[noreturn, gnu::cold]] inline void refuse_join(std::string_view form, char const* what) {
  throw error{call_of(form, "join"),
              std::string("the parts have ") + what + " of their own: they are no parts of one weight",
              "Encode the weight before it is cut (parallel::place), or save it dense"};
}

/// Parts where `open` of bit logic finds them on the host, with room behind them that vector code may look at.
struct host_parts {
  std::vector<file_tensor> parts;
  template <class V> [[nodiscard]] V const* find(std::string_view suffix) const {
    auto const* p = find_part(as_span(parts), suffix);
    return p ? reinterpret_cast<V const*>(p->bytes.data()) : nullptr;
  }
  PLEAT_LAZY [[nodiscard]] index_t count(std::string_view suffix) const {
    auto const* p = find_part(as_span(parts), suffix);
    return p ? p->shape.size() : 0;
  }
};

/// For forms that are exact on what they decode to: columns are cut from the decoded numbers, which are stored again.
template <class Logic> struct recoded {
  [[nodiscard]] static std::vector<float> decoded(extents const& shape, std::span<file_tensor const> parts) {
    host_parts h{{parts.begin(), parts.end()}};
    if constexpr (requires { Logic::derive(shape, parts); })
      for (auto& p : Logic::derive(shape, parts)) h.parts.push_back(std::move(p));
    for (auto& p : h.parts) p.bytes.resize(p.bytes.size() + 64);
    auto const v = Logic::open(shape, h);
    std::vector<float> out(static_cast<std::size_t>(shape.size()));
    for (index_t r = 0; r < rows_of(shape); ++r) v.decode(r, 0, columns_of(shape), out.data() + r * columns_of(shape));
    return out;
  }
  [[nodiscard]] static std::vector<file_tensor> slice_columns(extents const& shape, extents const& part,
                                                              std::span<file_tensor const> parts, index_t first,
                                                              index_t last) {
    return Logic::encode(part, cut_matrix(decoded(shape, parts), rows_of(shape), first, last), {});
  }
  [[nodiscard]] static std::vector<file_tensor> join(extents const& shape, int dim,
                                                     std::span<weight_piece const> pieces) {
    std::vector<std::vector<float>> all;
    for (auto const& p : pieces) all.push_back(decoded(p.shape, as_span(p.parts)));
    return Logic::encode(shape, join_matrix(rows_of(shape), dim, all), {});
  }
};

/// The part of a box: cut along dimension 0 or 1, whole along all others. \throws error if a border is not one of the
/// form's
template <class Logic>
[[nodiscard]] std::vector<file_tensor> slice_box(extents const& shape, std::vector<file_tensor> parts,
                                                 index_box const& box) {
  auto const unit = Logic::granularity(shape);
  auto const demand = [](index_t first, index_t last, index_t whole, index_t each, char const* what) {
    if (first < 0 || last < first || last > whole || (first % each != 0 && first != whole) ||
        (last % each != 0 && last != whole))
      throw error{
          call_of(Logic::name, "slice"),
          std::string(what) + " " + std::to_string(first) + " to " + std::to_string(last) + " of " +
              std::to_string(whole) + " are no whole pieces of this form: borders lie at multiples of " +
              std::to_string(each),
          "Place the weight with that many as its unit, e.g. parallel::row(pattern, " + std::to_string(each) + ")"};
  };
  for (int d = 2; d < shape.rank(); ++d)
    if (box[d] != index_range{0, shape[d]})
      throw error{
          call_of(Logic::name, "slice"),
          "the part " + box.to_string() + " of " + shape.to_string() + " is cut along dimension " + std::to_string(d),
          "A weight is cut along dimension 0 (outputs) or 1 (inputs)"};
  auto at = shape;
  if (shape.rank() > 0 && box[0] != index_range{0, shape[0]}) {
    demand(box[0].begin, box[0].end, shape[0], unit.rows, "rows");
    parts = Logic::slice(shape, parts, box[0].begin, box[0].end);
    at = shape.with_batch(box[0].size());
  }
  if (shape.rank() > 1 && box[1] != index_range{0, shape[1]}) {
    index_t const inner = shape.size_from(2);
    demand(box[1].begin * inner, box[1].end * inner, columns_of(shape), unit.columns, "columns");
    parts = Logic::slice_columns(at, box.shape(), parts, box[1].begin * inner, box[1].end * inner);
  }
  return parts;
}

}  // namespace pleat::codec::detail
