// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Weights that train as floats and multiply as the codes that they will be stored in.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/codec/code_grid.hpp>
#include <pleat/codec/detail/counted_sum.hpp>
#include <pleat/codec/detail/fake_quantize.hpp>
#include <pleat/codec/detail/fake_quantized_image.hpp>
#include <pleat/codec/detail/host_bits.hpp>
#include <pleat/codec/detail/input_shares.hpp>
#include <pleat/codec/detail/put_code.hpp>
#include <pleat/codec/detail/step_gradient.hpp>
#include <pleat/codec/detail/watched_inputs.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/codec/learned_steps.hpp>
#include <pleat/codec/masked.hpp>
#include <pleat/compute/for_each.hpp>

namespace pleat::codec {

/// Floats in the arena, which the optimizer moves; every product takes ŵ = step·clamp(round(w/step), low, high)
/// instead, so training sees what the codes will do. Gradients of ŵ are taken for those of w (straight-through);
/// clipped ones must be zeroed, which `step_gradients` does. Without steps of its own (the default) each row's or
/// group's step is its largest magnitude over `grid.high`, as it is at that moment: then nothing clips. Steps that are
/// learned are set by `set_steps` (S. K. Esser et al., Learned step size quantization, ICLR 2020); what moves them lies
/// beside them (codec/learned_steps.hpp), so that checkpoints take it along. What was pruned stays zero if the weight
/// had a mask.
///
/// A weight that is cut over the tensor axis has the steps of its part: of its rows, or of its groups. A row that is
/// cut has one step, which every rank of the axis has; only a learned one can be, for no rank sees the largest
/// magnitude of such a row.
///
/// Activations stay floats, or (int8's grid alone, once `set_input_range` has said so) are rounded by one static scale:
/// a product is then int8's own, in integers, with the codes of the moment, so that training sees the very numbers that
/// the stored weight will give. Straight-through there too: the gradient of the weight takes the rounded inputs
/// (`round_inputs`), and inputs beyond ±127 steps get none (`mask_inputs`); layers call both. That scale is learned, too,
/// once `learn_inputs` has said so: then mask_inputs sums up its gradient as batches go back (`input_gradient`).
///
/// `convert` writes exactly the codes and steps of the last product, and that scale, into a form of the same grid. A
/// file holds ".values" F32, ".grid" I32 [4], ".step" F32 if there are learned ones, ".input_scale" F32 [1] if there is
/// one, and ".mask" U8 if there is one.
template <class T> struct fake_quantized {
  static_assert(std::is_same_v<T, float>,
                "pleat: codec::fake_quantized trains float weights: say codec::fake_quantized<float>");
  using value_type = T;
  static constexpr std::string_view name = "fake_quantized";
  static constexpr bool trainable = true;

  /// What a weight of this form holds: the numbers that are trained, and the grid that they are rounded to where they
  /// are used.
  template <class Space> struct storage {
    using memory_space = typename Space::memory_space;
    T* values = nullptr;
    code_grid grid;
    Kokkos::View<float*, memory_space> steps;  ///< learned ones; empty: the largest magnitudes decide
    learned_steps learned;                     ///< the same in double, and how they move; on the host
    typename masked<T>::template storage<Space>::bits_view bits;  ///< of what lives; empty: all
    float input_scale = 0;                                        ///< of activations; 0: they are not rounded
    learned_steps learned_input;        ///< that scale in double, and how it moves; empty: it stays
    detail::input_shares input_shares;  ///< of its gradient, since it was last moved
    /// while calibrating: counts the magnitudes of all activations that come by
    std::shared_ptr<magnitude_histogram> watch;
    void attach(T* v) noexcept { values = v; }
    [[nodiscard]] std::uint8_t const* mask_bits() const noexcept { return bits.data(); }
  };

  /// Copies `values` into the arena's memory; grid, steps and mask stay.
  template <class Space>
  static void encode(context<Space>& c, extents const& shape, T const* values, storage<Space>& s) {
    detail::copy_values(c, values, s.values, shape.size());
  }
  /// ŵ.
  template <class Space> static void decode(context<Space>& c, extents const& shape, storage<Space> const& s, T* out) {
    run(c, shape, s, out, nullptr, nullptr);
  }

  template <class Space>
  static void apply(context<Space>& c, extents const& shape, storage<Space> const& s, index_t m, T const* x, T* y,
                    compute::epilogue<T> const& after) {
    if (s.watch) detail::watch_inputs(c, x, m * columns_of(shape), *s.watch);
    if (rounds_inputs(s)) return int8<T>::apply(c, shape, as_int8(c, shape, s).storage, m, x, y, after);
    auto const w = decoded(c, shape, s);
    detail::apply_dense(c, shape, static_cast<T const*>(w.data()), m, x, y, after);
  }
  template <class Space>
  static void apply_transposed(context<Space>& c, extents const& shape, storage<Space> const& s, index_t m, T const* dy,
                               T* dx, T const* mask) {
    auto const w = decoded(c, shape, s);
    detail::apply_dense_transposed(c, shape, static_cast<T const*>(w.data()), m, dy, dx, mask);
  }
  template <class Space>
  static void convolve(context<Space>& c, compute::conv2d_shape const& g, storage<Space> const& s, T const* x,
                       T const* bias, T* y, compute::activation act) {
    if (s.watch) detail::watch_inputs(c, x, g.batch * g.in_channels * g.height * g.width, *s.watch);
    if (rounds_inputs(s)) return int8<T>::convolve(c, g, as_int8(c, kernel_shape(g), s).storage, x, bias, y, act);
    auto const w = decoded(c, kernel_shape(g), s);
    compute::conv2d_forward(c.space(), g, x, static_cast<T const*>(w.data()), bias, y, act);
  }
  template <class Space>
  static void convolve_transposed(context<Space>& c, compute::conv2d_shape const& g, storage<Space> const& s,
                                  T const* dy, T* dx) {
    auto const w = decoded(c, kernel_shape(g), s);
    compute::conv2d_backward_input(c.space(), g, dy, static_cast<T const*>(w.data()), dx);
  }

  /// Activations are rounded by the scale of this range from now on, as codec::int8 does with a static one; 0: they stay
  /// floats. \throws error for a range that is negative, NaN or infinite, and for codes that are not int8's
  template <class Space> static void set_input_range(storage<Space>& s, float amax) {
    if (s.grid != code_grid{})
      throw error{"codec::fake_quantized::set_input_range",
                  "the codes are from " + std::to_string(s.grid.low) + " to " + std::to_string(s.grid.high) +
                      ", and static activations are for those of int8",
                  "Leave its activations as they come: block forms quantize them so"};
    typename int8<T>::template storage<Space> q;
    int8<T>::set_input_range(q, amax);
    s.input_scale = q.input_scale;
    s.learned_input = {};
  }
  /// The scale of its activations is learned from now on; it has not moved yet. Without one nothing changes.
  template <class Space> static void learn_inputs(storage<Space>& s) {
    if (rounds_inputs(s)) set_learned_input(learned_steps::begin({s.input_scale}, 0), s);
  }
  template <class Space> [[nodiscard]] static bool learns_inputs(storage<Space> const& s) noexcept {
    return s.learned_input.size() > 0;
  }
  /// That scale and what moves it, as they were kept. \throws error for more than one
  template <class Space> static void set_learned_input(learned_steps scale, storage<Space>& s) {
    if (scale.size() != 1)
      throw error{"codec::fake_quantized::set_learned_input",
                  "expected one scale of all inputs, found " + std::to_string(scale.size()),
                  "Give the one that learned_input had"};
    if (double const v = scale.at(learned_steps::value, 0); !(v > 0 && std::isfinite(v)))
      throw error{"codec::fake_quantized::set_learned_input",
                  "the scale of inputs is " + pleat::detail::number_text(v) + ", expected a positive number",
                  "Give the one that learned_input had"};
    s.learned_input = std::move(scale);
    use_learned_input(s);
  }
  /// After s.learned_input has changed: products take the scale that it says, and its gradient is that of the next
  /// batches.
  template <class Space> static void use_learned_input(storage<Space>& s) {
    s.input_scale = static_cast<float>(s.learned_input.at(learned_steps::value, 0));
    s.input_shares = {};
  }
  /// The gradient of that scale, = Σ dL/dx̂·∂x̂/∂scale / √(N·127), N inputs to an output, with ∂x̂/∂scale =
  /// round(x/scale) − x/scale inside, ±127 where x is cut; NaN if a summand was not finite. \param shares of all ranks
  /// \param weight shape of the whole
  [[nodiscard]] static double input_gradient(extents const& weight, detail::input_shares const& shares) {
    return shares.nonfinite > 0 ? std::numeric_limits<double>::quiet_NaN()
                                : shares.sum.value() * scale_of(code_grid{}, columns_of(weight));
  }
  template <class Space> [[nodiscard]] static bool rounds_inputs(storage<Space> const& s) noexcept {
    return s.input_scale > 0;
  }
  /// The inputs as products take them: what the gradient of the weight is made of. \param x, out n elements
  template <class Space>
  static void round_inputs(context<Space>& c, storage<Space> const& s, index_t n, T const* x, T* out) {
    compute::for_each(c.space(), n, detail::round_inputs_body{x, s.input_scale, out}, 3.0);
  }
  /// Zero for the gradients of inputs that were cut; where their scale is learned, its gradient grows by their shares.
  /// \param x, dx n elements \param counts false: another rank has the same inputs and counts them
  template <class Space>
  static void mask_inputs(context<Space>& c, storage<Space>& s, index_t n, T const* x, T* dx, bool counts = true) {
    if (counts && learns_inputs(s)) detail::add_input_shares(c, n, x, dx, s.input_scale, s.input_shares);
    compute::for_each(c.space(), n, detail::mask_inputs_body{x, s.input_scale, dx}, 2.0);
  }

  template <class Space> [[nodiscard]] static index_t bytes(extents const& shape, storage<Space> const& s) noexcept {
    return shape.size() * static_cast<index_t>(sizeof(T)) + 16 + static_cast<index_t>(s.steps.size()) * 4 +
           (rounds_inputs(s) ? 4 : 0) + static_cast<index_t>(s.bits.size());
  }
  template <class Space>
  [[nodiscard]] static std::vector<file_tensor> to_file(context<Space>& c, extents const& shape,
                                                        storage<Space> const& s) {
    detail::fake_quantized_image w{.values = std::vector<T>(static_cast<std::size_t>(shape.size())),
                                   .grid = s.grid,
                                   .steps = host_steps(c, s),
                                   .input_scale = s.input_scale,
                                   .bits = std::vector<std::uint8_t>(s.bits.size())};
    copy_to_host(c, tensor<T, Space>::wrap(s.values, shape), w.values.data());
    copy_to_host(c, tensor<std::uint8_t, Space>::wrap(s.bits.data(), {static_cast<index_t>(w.bits.size())}),
                 w.bits.data());
    return detail::write_fake_quantized(shape, w);
  }
  template <class Space>
  static void from_file(context<Space>& c, extents const& shape, std::span<file_tensor const> parts,
                        storage<Space>& s) {
    auto const w = detail::read_fake_quantized(shape, parts);
    storage<Space> fresh;
    fresh.values = s.values;
    fresh.grid = w.grid;
    fresh.input_scale = w.input_scale;
    if (learns_inputs(s)) learn_inputs(fresh);
    if (detail::find_part(parts, ".step")) set_steps(c, shape, w.steps, fresh);
    if (detail::find_part(parts, ".mask")) take_mask(c, w.bits, fresh);
    copy_from_host(c, w.values.data(), tensor<T, Space>::wrap(fresh.values, shape));
    s = std::move(fresh);
  }

  /// Steps of one's own, one per row or group; they have not moved yet. \throws error for a number of them that does
  /// not fit, or one that is negative or not finite, as 16 bits too where the grid has such steps
  template <class Space>
  static void set_steps(context<Space>& c, extents const& shape, std::vector<float> const& steps, storage<Space>& s) {
    if (static_cast<index_t>(steps.size()) != s.grid.steps(shape))
      throw error{"codec::fake_quantized::set_steps",
                  "expected " + std::to_string(s.grid.steps(shape)) + " steps, found " + std::to_string(steps.size()),
                  "Give one step for every row, or for every group of columns"};
    for (std::size_t i = 0; i < steps.size(); ++i)
      if (!(steps[i] >= 0) || !std::isfinite(steps[i]))
        throw error{"codec::fake_quantized::set_steps",
                    "step " + std::to_string(i) + " is " + pleat::detail::number_text(steps[i]) +
                        ", expected a finite number that is not negative",
                    "Look at what the steps were computed from; 0 is for rows of zeros"};
      else if (s.grid.half_steps && !std::isfinite(static_cast<float>(half(steps[i]))))
        throw error{"codec::fake_quantized::set_steps",
                    "step " + std::to_string(i) + " is " + pleat::detail::number_text(steps[i]) +
                        ", and this grid's steps are numbers of 16 bits, which end at 65504",
                    "Use a form with wide steps (int8), or scale the weights down"};
    set_learned(c, shape, learned_steps::begin(steps, s.grid.group), s);
  }
  /// Steps and what moves them, as they were kept. \throws error for a number of them that does not fit
  template <class Space>
  static void set_learned(context<Space>& c, extents const& shape, learned_steps steps, storage<Space>& s) {
    if (static_cast<index_t>(steps.size()) != s.grid.steps(shape))
      throw error{"codec::fake_quantized::set_learned",
                  "expected " + std::to_string(s.grid.steps(shape)) + " steps, found " + std::to_string(steps.size()),
                  "Give one step for every row, or for every group of columns"};
    steps.group = s.grid.group;
    s.learned = std::move(steps);
    use_learned(c, s);
  }
  /// After s.learned has changed: products take the steps that it says, as a file would have them.
  template <class Space> static void use_learned(context<Space>& c, storage<Space>& s) {
    std::size_t const n = s.learned.size();
    pooled_array<float> const steps(c.host_pool(), n);
    for (std::size_t i = 0; i < n; ++i) {
      auto const f = static_cast<float>(s.learned.at(learned_steps::value, i));
      steps[i] = s.grid.half_steps ? static_cast<float>(half(f)) : f;
    }
    // copies keep theirs
    if (s.steps.size() != n || s.steps.use_count() > 1)
      s.steps = decltype(s.steps)(Kokkos::view_alloc(Kokkos::WithoutInitializing, "pleat::steps"), n);
    copy_from_host(c, steps.data(), tensor<float, Space>::wrap(s.steps.data(), {static_cast<index_t>(n)}));
  }
  /// Which elements live from now on; the values stay as they are.
  template <class Space>
  static void take_mask(context<Space>& c, std::vector<std::uint8_t> const& bits, storage<Space>& s) {
    typename masked<T>::template storage<Space> m;
    masked<T>::keep(c, bits, m);
    s.bits = m.bits;
  }
  template <class Space>
  [[nodiscard]] static std::vector<float> host_steps(context<Space>& c, storage<Space> const& s) {
    std::vector<float> steps(s.steps.size());
    copy_to_host(c, tensor<float, Space>::wrap(s.steps.data(), {static_cast<index_t>(steps.size())}), steps.data());
    return steps;
  }

  /// The gradient of every learned step, out[steps] in the space's memory, = Σ dL/dŵ·∂ŵ/∂step / √(N·high), N elements
  /// to a step, with ∂ŵ/∂step = round(w/step) − w/step inside, low or high where w is clipped; and the gradient of ŵ
  /// becomes that of w: zero where it is clipped.
  template <class Space>
  static void step_gradients(context<Space>& c, extents const& shape, storage<Space> const& s, float* gradient,
                             float* out) {
    auto const n = static_cast<std::size_t>(s.grid.steps(shape));
    index_t const columns = s.grid.columns_per_step(shape);
    std::vector<double> largest(n, 0.0);
    std::vector<std::int64_t> sums(n, 0);
    std::vector<float> host(n);
    largest_shares(c, shape, s, {0, shape.size()}, s.values, gradient, largest);
    for (auto& x : largest) x = detail::count_factor(x, columns);
    add_shares(c, shape, s, {0, shape.size()}, s.values, gradient, largest, sums);
    for (std::size_t i = 0; i < n; ++i)
      host[i] = static_cast<float>(detail::counted_total(sums[i], largest[i]) * scale_of(s.grid, columns));
    copy_from_host(c, host.data(), tensor<float, Space>::wrap(out, {static_cast<index_t>(n)}));
  }
  /// 1/√(N·high). \param columns of a whole step
  [[nodiscard]] static double scale_of(code_grid const& grid, index_t columns) noexcept {
    return 1 / std::sqrt(static_cast<double>(std::max<index_t>(1, columns)) * static_cast<double>(grid.high));
  }

  // The same in parts, for a weight of which this rank has some elements: the largest shares, which all who have others
  // bring together (maximum); count_factor of each; the sums of the shares in whole numbers, which they add up.

  /// \param run elements of the part, row-major \param values, gradient of those \param most raised, one per step of
  /// the part
  template <class Space>
  static void largest_shares(context<Space>& c, extents const& shape, storage<Space> const& s, index_range run,
                             float const* values, float const* gradient, std::span<double> most) {
    detail::step_run const r{run.begin,  run.end,    s.grid.columns_per_step(shape), values, gradient, s.steps.data(),
                             s.grid.low, s.grid.high};
    if (r.count() == 0) return;
    auto const out = tensor<double, Space>::allocate(c, {r.count()});
    compute::for_each_row(c.space(), r.count(), detail::largest_share_body{r, r.step(), out.data()},
                          8.0 * static_cast<double>(r.columns));
    pooled_array<double> const host(c.host_pool(), static_cast<std::size_t>(r.count()));
    copy_to_host(c, out, host.data());
    for (std::size_t k = 0; k < host.size(); ++k)
      most[static_cast<std::size_t>(r.step()) + k] = std::max(most[static_cast<std::size_t>(r.step()) + k], host[k]);
  }
  /// \param factors one per step of the part \param sums added to, one per step of the part; gradients of what is
  /// clipped become zero
  template <class Space>
  static void add_shares(context<Space>& c, extents const& shape, storage<Space> const& s, index_range run,
                         float const* values, float* gradient, std::span<double const> factors,
                         std::span<std::int64_t> sums) {
    detail::step_run const r{run.begin,  run.end,    s.grid.columns_per_step(shape), values, gradient, s.steps.data(),
                             s.grid.low, s.grid.high};
    if (r.count() == 0) return;
    auto const factor = tensor<double, Space>::allocate(c, {r.count()});
    auto const out = tensor<std::int64_t, Space>::allocate(c, {r.count()});
    copy_from_host(c, factors.data() + r.step(), factor);
    compute::for_each_row(c.space(), r.count(),
                          detail::share_sum_body{r, r.step(), factor.data(), gradient, out.data()},
                          8.0 * static_cast<double>(r.columns));
    pooled_array<std::int64_t> const host(c.host_pool(), static_cast<std::size_t>(r.count()));
    copy_to_host(c, out, host.data());
    for (std::size_t k = 0; k < host.size(); ++k) sums[static_cast<std::size_t>(r.step()) + k] += host[k];
  }

  /// The grid, the bits and the steps of a part. (The values lie in the arena, which is cut by itself.) \throws error
  /// for a part that cuts a group, or a row whose step follows its largest magnitude
  template <class Space>
  [[nodiscard]] static storage<Space> slice(context<Space>& c, extents const& shape, storage<Space> const& s,
                                            index_box const& part) {
    storage<Space> out;
    out.grid = s.grid;
    out.input_scale = s.input_scale;
    out.learned_input = s.learned_input;
    if (s.bits.data()) {
      typename masked<T>::template storage<Space> m;
      m.bits = s.bits;
      out.bits = masked<T>::slice(c, shape, m, part).bits;
    }
    auto const at = places_of_steps(shape, part, s.grid.group);
    if (s.steps.size() > 0) {
      learned_steps mine{s.grid.group, {}};
      detail::for_each_of_part(at.whole, at.here, [&](index_t i) {
        mine.numbers.push_back(s.learned.numbers[static_cast<std::size_t>(i)]);
      });
      set_learned(c, part.shape(), std::move(mine), out);
    } else if (s.grid.group == 0 && columns_of(part.shape()) != columns_of(shape)) {
      refuse_cut_rows();
    }
    return out;
  }
  /// \throws error
  [[noreturn, gnu::cold]] static void refuse_cut_rows() {
    throw error{"codec::fake_quantized",
                "its rows are cut over the tensor axis, and their steps follow the largest magnitudes, of which no "
                "rank sees those of a whole row",
                "Let the steps be learned (step_rule::learned), give each group of columns its own (int4, q8_0), or "
                "cut this weight by rows (parallel::column)"};
  }
  /// The inverse of `slice`, on what files hold. \throws error for pieces of different grids, or of steps of their own
  /// where they share a row's
  [[nodiscard]] static std::vector<file_tensor> join(extents const& shape, int dim,
                                                     std::span<weight_piece const> pieces) {
    return detail::join_fake_quantized(shape, dim, pieces);
  }

  /// The codes and steps that products see, and the scale of their inputs, in a form of the same grid. \returns false,
  /// and nothing is written, if the grids differ
  template <class F, class Space>
  static bool convert(context<Space>& c, extents const& shape, storage<Space> const& s,
                      typename F::template storage<Space>& to) {
    if constexpr (has_grid<F>()) {
      if (!(s.grid == grid_of<F>())) return false;
      auto const n = static_cast<std::size_t>(s.grid.steps(shape));
      std::vector<float> values(static_cast<std::size_t>(shape.size()));
      copy_to_host(c, tensor<T, Space>::wrap(s.values, shape), values.data());
      detail::demand_finite(name, shape, values);
      std::vector<std::int8_t> codes(static_cast<std::size_t>(shape.size()));
      std::vector<float> steps(n);
      auto const codes_there = tensor<std::int8_t, Space>::allocate(c, shape);
      auto const steps_there = tensor<float, Space>::allocate(c, {static_cast<index_t>(n)});
      run(c, shape, s, nullptr, codes_there.data(), steps_there.data());
      copy_to_host(c, codes_there, codes.data());
      copy_to_host(c, steps_there, steps.data());
      if constexpr (requires { F::encode_codes(c, shape, codes, steps, to); }) {
        F::encode_codes(c, shape, codes, steps, to);
        if constexpr (std::is_same_v<F, int8<T>>) to.input_scale = s.input_scale;
      } else {
        using format = typename F::bits::format;
        auto part = F::bits::image(shape);
        part.bytes.assign(static_cast<std::size_t>(part.shape.size()), std::byte{0});
        auto* b = reinterpret_cast<detail::byte_t*>(part.bytes.data());
        for (std::size_t i = 0; i < n; ++i, b += format::bytes) {
          detail::store16(b, pleat::detail::half_bits(steps[i]));
          for (int j = 0; j < format::block; ++j)
            detail::put_code(
                format{}, b, j,
                codes[i * static_cast<std::size_t>(format::block) + static_cast<std::size_t>(j)] + format::offset);
        }
        std::vector<file_tensor> parts;
        parts.push_back(std::move(part));
        F::from_file(c, shape, parts, to);
      }
      return true;
    } else {
      return false;
    }
  }

 private:
  [[nodiscard]] static extents kernel_shape(compute::conv2d_shape const& g) {
    return {g.out_channels, g.group_in(), g.kernel_h, g.kernel_w};
  }
  template <class Space>
  [[nodiscard]] static tensor<T, Space> decoded(context<Space>& c, extents const& shape, storage<Space> const& s) {
    auto w = tensor<T, Space>::allocate(c, shape);
    decode(c, shape, s, w.data());
    return w;
  }
  /// The codes and steps of the moment as a weight of int8, in pooled memory.
  template <class Space> struct int8_view {
    tensor<std::int8_t, Space> codes;
    tensor<float, Space> steps;
    typename int8<T>::template storage<Space> storage;
  };
  template <class Space>
  [[nodiscard]] static int8_view<Space> as_int8(context<Space>& c, extents const& shape, storage<Space> const& s) {
    int8_view<Space> q{
        tensor<std::int8_t, Space>::allocate(c, shape), tensor<float, Space>::allocate(c, {rows_of(shape)}), {}};
    run(c, shape, s, nullptr, q.codes.data(), q.steps.data());
    q.storage.codes = decltype(q.storage.codes)(q.codes.data(), static_cast<std::size_t>(shape.size()));
    q.storage.scales = decltype(q.storage.scales)(q.steps.data(), static_cast<std::size_t>(rows_of(shape)));
    q.storage.input_scale = s.input_scale;
    return q;
  }
  template <class Space>
  static void run(context<Space>& c, extents const& shape, storage<Space> const& s, float* out, std::int8_t* codes,
                  float* used) {
    index_t const columns = s.grid.columns_per_step(shape);
    compute::for_each_row(c.space(), s.grid.steps(shape),
                          detail::fake_quantize_body{columns, s.values, s.steps.data(), s.grid.low, s.grid.high,
                                                     s.grid.half_steps, out, codes, used},
                          6.0 * static_cast<double>(columns));
  }
};

}  // namespace pleat::codec
