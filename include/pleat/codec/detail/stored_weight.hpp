// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The bytes of a stored weight in a space's memory, and everything that is done with them: what codec::stored hands
/// its calls on to.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/huge_pages.hpp>
#include <pleat/codec/dense.hpp>
#include <pleat/codec/detail/cut_bits.hpp>
#include <pleat/codec/detail/host_bits.hpp>
#include <pleat/codec/error_norms.hpp>
#include <pleat/compute/for_each.hpp>

namespace pleat::codec::detail {

/// Groups of a weight's blocks, encoded on several threads. A task stops at its first group that cannot be stored:
/// exceptions stay on the calling thread.
template <class Bits> struct encode_groups_task {
  extents const* shape;
  float const* values;
  typename Bits::options const* options;
  unsigned char* out;
  index_t* refused;  ///< [tasks]: that group; the number of groups if there is none
  int tasks;
  void operator()(int t) const {
    index_t const groups = Bits::groups(*shape);
    index_t g = groups * t / tasks;
    index_t const last = groups * (t + 1) / tasks;
    while (g < last && Bits::encode_group(*shape, values, g, *options, out)) ++g;
    refused[t] = g < last ? g : groups;
  }
};

/// Rows of a view into a dense matrix.
template <class View> struct decode_rows_body {
  View view;
  index_t columns;
  float* out;
  PLEAT_INLINE void operator()(index_t r) const { view.decode(r, 0, columns, out + r * columns); }
};

/// \throws error: there is nothing to work with yet
PLEAT_LAZY [[noreturn, gnu::cold]] inline void refuse_empty(std::string_view form) {
  throw error{"codec::" + std::string(form), "this weight was never encoded",
              "Encode it, or read it from a file, before it is multiplied with"};
}

/// A stored weight's bytes in a space's memory, and where its parts lie: what all forms have alike. Copies share
/// everything; nothing in it changes after it was encoded.
template <class Space> struct stored_bytes {
  Kokkos::View<unsigned char*, typename Space::memory_space> block;  ///< all parts, each on a 64-byte border
  std::shared_ptr<std::vector<placed_parts::piece> const> pieces;    ///< null before the first encode

  // Counting references is no work, but code, which every network would hold for every form that its weights may take:
  // not inline.
  stored_bytes();
  stored_bytes(stored_bytes const&);
  stored_bytes(stored_bytes&&) noexcept;
  stored_bytes& operator=(stored_bytes const&);
  stored_bytes& operator=(stored_bytes&&) noexcept;
  ~stored_bytes();

  [[nodiscard]] placed_parts placed() const noexcept { return {block.data(), pieces.get()}; }
  /// Memory for so many bytes, and 64 more: vector code may read past a part's end, never past the block's.
  void allocate(std::size_t bytes);
  /// Takes the parts in, of which a file holds the first `in_file`.
  void place(context<Space>& c, std::vector<file_tensor> const& parts, std::size_t in_file);
  /// Bytes of the parts that a file holds.
  [[nodiscard]] index_t bytes_in_file() const noexcept;
  /// The parts that a file holds, on the host. \throws error if the weight was never encoded
  [[nodiscard]] std::vector<file_tensor> to_host(context<Space>& c, std::string_view form) const;
};

/// A weight as bit logic stores it in a space's memory, and what the logic and its kernels do with it. (The functions
/// are not inline, so that a program that links pleat::kernels finds those of this room's forms there.)
template <class Bits, class Space> struct stored_weight : stored_bytes<Space> {
  using options = typename Bits::options;
  typename Bits::view view{};

  void encode(context<Space>& c, extents const& shape, float const* values, options const& o);
  /// \param parts an encoder's, or checked
  void take(context<Space>& c, extents const& shape, std::vector<file_tensor> parts);
  void from_file(context<Space>& c, extents const& shape, std::span<file_tensor const> parts);
  [[nodiscard]] std::vector<file_tensor> to_file(context<Space>& c) const { return this->to_host(c, Bits::name); }
  void decode(context<Space>& c, extents const& shape, float* out) const;
  void apply(context<Space>& c, extents const& shape, index_t m, float const* x, float* y,
             compute::epilogue<float> const& after) const;
  void apply_transposed(context<Space>& c, extents const& shape, index_t m, float const* dy, float* dx,
                        float const* mask) const;
  void convolve(context<Space>& c, compute::conv2d_shape const& g, float const* x, float const* bias, float* y,
                compute::activation act) const;
  void convolve_transposed(context<Space>& c, compute::conv2d_shape const& g, float const* dy, float* dx) const;
  [[nodiscard]] stored_weight slice_rows(context<Space>& c, extents const& shape, index_t first, index_t last) const;
  [[nodiscard]] stored_weight slice(context<Space>& c, extents const& shape, index_box const& part) const;
  [[nodiscard]] static std::vector<file_tensor> join(extents const& shape, int dim,
                                                     std::span<weight_piece const> pieces);
  /// Of logic that has it.
  [[nodiscard]] error_norms predict(context<Space>& c, extents const& shape, std::span<float const> values) const;

 private:
  /// The only part, on the instance's threads where the logic can be divided.
  static void encode_host(context<Space>& c, extents const& shape, std::span<float const> values, options const& o,
                          unsigned char* out);
  [[nodiscard]] static extents kernel_shape(compute::conv2d_shape const& g) {
    return {g.out_channels, g.group_in(), g.kernel_h, g.kernel_w};
  }
  [[nodiscard]] tensor<float, Space> decoded(context<Space>& c, extents const& shape) const;
  void demand() const;
};

template <class Space> stored_bytes<Space>::stored_bytes() = default;
template <class Space> stored_bytes<Space>::stored_bytes(stored_bytes const&) = default;
template <class Space> stored_bytes<Space>::stored_bytes(stored_bytes&&) noexcept = default;
template <class Space> stored_bytes<Space>& stored_bytes<Space>::operator=(stored_bytes const&) = default;
template <class Space> stored_bytes<Space>& stored_bytes<Space>::operator=(stored_bytes&&) noexcept = default;
template <class Space> stored_bytes<Space>::~stored_bytes() = default;
template <class Space> void stored_bytes<Space>::allocate(std::size_t bytes) {
  block = decltype(block)(Kokkos::view_alloc(Kokkos::WithoutInitializing, "pleat::stored"), bytes + 64);
  if constexpr (std::is_same_v<typename Space::memory_space, Kokkos::HostSpace>)
    advise_huge_pages(block.data(), bytes + 64);
}
template <class Space>
void stored_bytes<Space>::place(context<Space>& c, std::vector<file_tensor> const& parts, std::size_t in_file) {
  auto list = std::make_shared<std::vector<placed_parts::piece>>();
  std::size_t size = 0;
  for (auto const& p : parts) {
    list->push_back({p.suffix, p.type, p.shape, size, p.bytes.size(), list->size() < in_file});
    size += (p.bytes.size() + 63) / 64 * 64;
  }
  allocate(size);
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (!parts[i].bytes.empty())
      copy_from_host(c, reinterpret_cast<unsigned char const*>(parts[i].bytes.data()),
                     tensor<unsigned char, Space>::wrap(block.data() + (*list)[i].offset,
                                                        {static_cast<index_t>(parts[i].bytes.size())}));
  pieces = std::move(list);
}
template <class Space> index_t stored_bytes<Space>::bytes_in_file() const noexcept {
  std::size_t n = 0;
  if (pieces)
    for (auto const& p : *pieces)
      if (p.in_file) n += p.bytes;
  return static_cast<index_t>(n);
}
template <class Space>
std::vector<file_tensor> stored_bytes<Space>::to_host(context<Space>& c, std::string_view form) const {
  if (!pieces) refuse_empty(form);
  std::vector<file_tensor> parts;
  for (auto const& p : *pieces) {
    if (!p.in_file) continue;
    file_tensor f{p.suffix, p.type, p.shape, std::vector<std::byte>(p.bytes)};
    if (p.bytes > 0)
      copy_to_host(c, tensor<unsigned char, Space>::wrap(block.data() + p.offset, {static_cast<index_t>(p.bytes)}),
                   reinterpret_cast<unsigned char*>(f.bytes.data()));
    parts.push_back(std::move(f));
  }
  return parts;
}

template <class Bits, class Space> void stored_weight<Bits, Space>::demand() const {
  if (!this->pieces) refuse_empty(Bits::name);
}
template <class Bits, class Space>
void stored_weight<Bits, Space>::encode(context<Space>& c, extents const& shape, float const* values,
                                        options const& o) {
  std::span<float const> host(values, static_cast<std::size_t>(shape.size()));
  std::vector<float> copy;
  if constexpr (compute::is_host_space_v<Space>) {
    c.fence();
  } else {
    copy.resize(host.size());
    // wrap has one spelling; nothing is written
    copy_to_host(c, tensor<float, Space>::wrap(const_cast<float*>(values), shape), copy.data());
    host = copy;
  }
  // one part of a known length is written where it stays
  if constexpr (compute::is_host_space_v<Space> && requires { Bits::image(shape); }) {
    auto const part = Bits::image(shape);
    auto const size = static_cast<std::size_t>(part.shape.size()) * size_of(part.type);
    stored_weight fresh;
    fresh.allocate(size);
    encode_host(c, shape, host, o, fresh.block.data());
    auto list = std::make_shared<std::vector<placed_parts::piece>>();
    list->push_back({part.suffix, part.type, part.shape, 0, size, true});
    fresh.pieces = std::move(list);
    fresh.view = Bits::open(shape, fresh.placed());
    *this = std::move(fresh);
  } else {
    take(c, shape, Bits::encode(shape, host, o));
  }
}
template <class Bits, class Space>
void stored_weight<Bits, Space>::encode_host([[maybe_unused]] context<Space>& c, [[maybe_unused]] extents const& shape,
                                             [[maybe_unused]] std::span<float const> values,
                                             [[maybe_unused]] options const& o, [[maybe_unused]] unsigned char* out) {
  if constexpr (compute::is_host_space_v<Space> && requires { Bits::groups(shape); }) {
    int const tasks = static_cast<int>(std::min<index_t>(
        Bits::groups(shape),
        compute::tasks_for(c.space(), Bits::work_per_element(o) * static_cast<double>(shape.size()))));
    if (tasks > 1) {
      Bits::demand_columns("encode", shape);
      std::vector<index_t> refused(static_cast<std::size_t>(tasks));
      compute::for_tasks(c.space(), tasks,
                         encode_groups_task<Bits>{&shape, values.data(), &o, out, refused.data(), tasks});
      for (index_t const g : refused)
        if (g < Bits::groups(shape)) Bits::refuse_group(shape, values, g, out);
      return;
    }
  }
  if constexpr (requires { Bits::image(shape); }) Bits::encode_into(shape, values, o, out);
}
template <class Bits, class Space>
void stored_weight<Bits, Space>::take(context<Space>& c, extents const& shape, std::vector<file_tensor> parts) {
  std::size_t const in_file = parts.size();
  if constexpr (requires { Bits::derive(shape, parts); })
    for (auto& p : Bits::derive(shape, std::span<file_tensor const>(parts))) parts.push_back(std::move(p));
  stored_weight fresh;
  fresh.place(c, parts, in_file);
  if constexpr (requires { Bits::open(shape, fresh.placed(), std::span<file_tensor const>(parts)); })
    fresh.view = Bits::open(shape, fresh.placed(), std::span<file_tensor const>(parts));
  else fresh.view = Bits::open(shape, fresh.placed());
  *this = std::move(fresh);
}
template <class Bits, class Space>
void stored_weight<Bits, Space>::from_file(context<Space>& c, extents const& shape,
                                           std::span<file_tensor const> parts) {
  Bits::check(shape, parts);
  take(c, shape, {parts.begin(), parts.end()});
}
template <class Bits, class Space>
void stored_weight<Bits, Space>::decode(context<Space>& c, extents const& shape, float* out) const {
  demand();
  if constexpr (requires { Bits::kernel::decode(c, shape, view, out); }) Bits::kernel::decode(c, shape, view, out);
  else
    compute::for_each_row(c.space(), rows_of(shape),
                          decode_rows_body<typename Bits::view>{view, columns_of(shape), out},
                          4.0 * static_cast<double>(columns_of(shape)));
}
template <class Bits, class Space>
tensor<float, Space> stored_weight<Bits, Space>::decoded(context<Space>& c, extents const& shape) const {
  auto w = tensor<float, Space>::allocate(c, shape);
  decode(c, shape, w.data());
  return w;
}
template <class Bits, class Space>
void stored_weight<Bits, Space>::apply(context<Space>& c, extents const& shape, index_t m, float const* x, float* y,
                                       compute::epilogue<float> const& after) const {
  demand();
  if (m == 0 || rows_of(shape) == 0) return;
  // a rank without a block: its addend is zero
  if (columns_of(shape) == 0) apply_dense(c, shape, static_cast<float const*>(nullptr), m, x, y, after);
  else Bits::kernel::apply(c, shape, view, m, x, y, after);
}
template <class Bits, class Space>
void stored_weight<Bits, Space>::apply_transposed(context<Space>& c, extents const& shape, index_t m, float const* dy,
                                                  float* dx, float const* mask) const {
  auto const w = decoded(c, shape);
  apply_dense_transposed(c, shape, static_cast<float const*>(w.data()), m, dy, dx, mask);
}
template <class Bits, class Space>
void stored_weight<Bits, Space>::convolve(context<Space>& c, compute::conv2d_shape const& g, float const* x,
                                          float const* bias, float* y, compute::activation act) const {
  extents const shape = kernel_shape(g);
  if constexpr (requires { Bits::kernel::convolve(c, g, view, x, bias, y, act); }) {
    demand();
    if (shape.size() > 0 && Bits::kernel::convolve(c, g, view, x, bias, y, act)) return;
  }
  auto const w = decoded(c, shape);
  compute::conv2d_forward(c.space(), g, x, static_cast<float const*>(w.data()), bias, y, act);
}
template <class Bits, class Space>
void stored_weight<Bits, Space>::convolve_transposed(context<Space>& c, compute::conv2d_shape const& g, float const* dy,
                                                     float* dx) const {
  auto const w = decoded(c, kernel_shape(g));
  compute::conv2d_backward_input(c.space(), g, dy, static_cast<float const*>(w.data()), dx);
}
template <class Bits, class Space>
stored_weight<Bits, Space> stored_weight<Bits, Space>::slice_rows(context<Space>& c, extents const& shape,
                                                                  index_t first, index_t last) const {
  index_t const unit = Bits::granularity(shape).rows, rows = rows_of(shape);
  if (first < 0 || last < first || last > rows || first % unit != 0 || (last % unit != 0 && last != rows))
    throw error{call_of(Bits::name, "slice"),
                "rows " + std::to_string(first) + " to " + std::to_string(last) + " of " + std::to_string(rows) +
                    " are no whole pieces of this form: borders lie at multiples of " + std::to_string(unit),
                "Cut at those multiples: give the placement a unit, or use fewer ranks"};
  stored_weight out;
  out.take(c, shape.with_batch(last - first), Bits::slice(shape, to_file(c), first, last));
  return out;
}
template <class Bits, class Space>
stored_weight<Bits, Space> stored_weight<Bits, Space>::slice(context<Space>& c, extents const& shape,
                                                             index_box const& part) const {
  stored_weight out;
  if (this->pieces) out.take(c, part.shape(), slice_box<Bits>(shape, to_file(c), part));
  return out;
}
template <class Bits, class Space>
std::vector<file_tensor> stored_weight<Bits, Space>::join(extents const& shape, int dim,
                                                          std::span<weight_piece const> pieces) {
  return Bits::join(shape, dim, pieces);
}
template <class Bits, class Space>
error_norms stored_weight<Bits, Space>::predict(context<Space>& c, extents const& shape,
                                                std::span<float const> values) const {
  if constexpr (requires(std::vector<file_tensor> const& parts) { Bits::predict(shape, values, parts); })
    return Bits::predict(shape, values, to_file(c));
  else return {};
}

#ifdef PLEAT_FORM  // compiled in pleat::kernels (compute/instances.hpp)
PLEAT_FORM template struct stored_bytes<Kokkos::DefaultExecutionSpace>;
#endif

}  // namespace pleat::codec::detail
