// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Batch normalisation that says whose statistics it takes.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/compute/norm.hpp>
#include <pleat/compute/statistics.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/nn/detail/batch_statistics.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/weight_products.hpp>

namespace pleat::nn {

/// Over which samples a batch norm takes mean and variance while it trains.
enum class statistics : std::uint8_t {
  /// each lane of the pass by itself: the same bits on any number of ranks. Without deterministic mode: all rows of the
  /// pass
  lane,
  global,  ///< the rows that all ranks hold in this pass together: one small exchange forward, one backward
  rank     ///< all rows of this pass; deterministic mode refuses it
};

/// Over what the statistics are taken, and how the running ones follow.
struct batch_norm_options {
  nn::statistics statistics = nn::statistics::lane;
  double epsilon = 1e-5;  ///< added to a variance, so that its root is never zero
  double momentum = 0.1;  ///< of the running statistics: value ← (1 − momentum)·value + momentum·batch value
};

/// y = (x − mean)·weight / sqrt(variance + epsilon) + bias, per feature of [m, features] or channel of [m, channels, h,
/// w] (Ioffe and Szegedy, arXiv:1502.03167). Inference takes the running statistics.
///
/// Parameters: "<name>.weight", "<name>.bias", and the statistics "<name>.running_mean", "<name>.running_var"
/// (unbiased), all [features]. A statistic's gradient is the batch's value, each lane's weighted by its share of the
/// batch: it is exchanged and summed as gradients are, and the optimizer's step folds it in.
///
/// Statistics are per channel, so an input that is cut along its channels (tensor axis) stays where it is, without
/// communication: a rank works with its channels of the parameters, which are whole everywhere, and has an addend of
/// their gradients: zero for the others' channels.
///
/// Of 16-bit values statistics, sums and their gradients are floats; the running statistics have float masters as
/// parameters have.
///
/// A norm that has been folded into the layer before it is an identity: it hands its input on and has no parameters.
template <class T = float, class Space = Kokkos::DefaultExecutionSpace> class batch_norm {
 public:
  using value_type = T;                  ///< of weights and activations
  using execution_space = Space;         ///< where it runs
  using tensor_type = tensor<T, Space>;  ///< of its activations
  using wide = wide_t<T>;                ///< of statistics and sums: float where the values are 16 bits wide
  using wide_tensor = tensor<wide, Space>;
  static constexpr char const* kind = "batch_norm";  ///< what descriptions call it

  /// The input; mean and variance [2, lanes, features]; between the halves of backward the sums of dy and dy·x̂, and
  /// how many elements one mean is over where that is more than a lane's.
  struct saved {
    tensor_type x;
    wide_tensor moments, sums;
    index_t population = 0;
    index_t first = 0;  ///< channel that this rank's part begins with
    bool cut = false;   ///< the channels are shared out over the tensor axis
  };

  batch_norm(std::string name, index_t features, batch_norm_options options = {})
      : name_(std::move(name)),
        options_(options),
        weight_(name_ + ".weight", extents{features}, initializer::constant(1)),
        bias_(name_ + ".bias", extents{features}, initializer::constant(0)),
        mean_(name_ + ".running_mean", extents{features}, initializer::constant(0), parameter_kind::statistic),
        variance_(name_ + ".running_var", extents{features}, initializer::constant(1), parameter_kind::statistic) {
    if (features < 1)
      throw error{"nn::batch_norm '" + name_ + "'", "expected at least one feature, found " + std::to_string(features),
                  "Give the number of features or channels of its input"};
    if (!(options.epsilon >= 0 && std::isfinite(options.epsilon)) || !(options.momentum >= 0 && options.momentum <= 1))
      throw error{"nn::batch_norm '" + name_ + "'",
                  "expected a finite epsilon of at least 0 and a momentum of 0 to 1, found epsilon = " +
                      pleat::detail::number_text(options.epsilon) +
                      ", momentum = " + pleat::detail::number_text(options.momentum),
                  "Leave them out for 1e-5 and 0.1"};
    mean_.momentum = variance_.momentum = options.momentum;
  }

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  void prefix_name(std::string_view prefix) { name_.insert(0, prefix); }
  [[nodiscard]] index_t features() const noexcept { return weight_.shape[0]; }
  [[nodiscard]] bool is_identity() const noexcept { return identity_; }
  /// To be followed by model.rebuild (compress::fold_batch_norm does it).
  void set_identity(bool yes) noexcept { identity_ = yes; }
  [[nodiscard]] batch_norm_options const& options() const noexcept { return options_; }
  [[nodiscard]] values<T, Space> const& weight() const noexcept { return weight_; }
  [[nodiscard]] values<T, Space> const& bias() const noexcept { return bias_; }
  [[nodiscard]] values<T, Space> const& running_mean() const noexcept { return mean_; }
  [[nodiscard]] values<T, Space> const& running_variance() const noexcept { return variance_; }

  [[nodiscard]] extents shape(extents const& in) const {
    if (identity_) return in;  // its features may have become fewer
    if (in.rank() < 2 || in[1] != features())
      throw error{"nn::batch_norm '" + name_ + "'",
                  "expected an input [m, " + std::to_string(features()) + ", …], found " + in.to_string(),
                  "Make the features of this layer and the one before it agree"};
    return in;
  }

  /// Channels may be cut; nothing else.
  [[nodiscard]] bool takes(axis_layout const& x, int rank, int) const noexcept {
    return identity_ || (rank >= 2 && x.where.dim == 1);
  }

  [[nodiscard]] step<saved, tensor_type> forward(pass<Space> const& p, tensor_type x) const {
    (void)shape(x.whole_shape());
    if (identity_) return {std::move(x), {}};
    auto const g = geometry(x.shape());
    index_t const m = x.extent(0), c = x.extent(1),
                  first = p.tensor && x.layout().cut() ? x.layout().range(p.tensor->size(), p.tensor->rank()).begin : 0;
    if (c == 0) {
      saved s;
      s.first = first, s.cut = true;
      s.x = x;
      return {std::move(x), std::move(s)};
    }
    if (!p.training) {
      auto y = x.sole_owner() ? x : tensor_type::allocate(*p.where, x.shape());
      auto const mean = running(p, mean_, first, c), variance = running(p, variance_, first, c);
      compute::batch_norm_forward(p.space(), m, g, in(x), compute::lanes::whole(m), in(mean), in(variance), epsilon(),
                                  in(weight_) + first, in(bias_) + first, y.data());
      return {std::move(y), {}};
    }
    auto const cut = cut_of(p, m);
    saved s;
    s.first = first, s.cut = x.layout().cut();  // on all ranks alike: one of them may have all channels
    s.moments = wide_tensor::allocate(*p.where, {2, cut.count, c});
    wide* const mean = s.moments.data();
    wide* const variance = mean + cut.count * c;
    compute::batch_norm_statistics(p.space(), g, in(x), cut, mean, variance);
    if (options_.statistics == statistics::global) s.population = detail::share_moments(p, cut, g, s.moments, name_);
    auto y = tensor_type::allocate(*p.where, x.shape());
    compute::batch_norm_forward(p.space(), m, g, in(x), cut, static_cast<wide const*>(mean),
                                static_cast<wide const*>(variance), epsilon(), in(weight_) + first, in(bias_) + first,
                                y.data());
    s.x = std::move(x);
    return {std::move(y), std::move(s)};
  }

  [[nodiscard]] tensor_type backward_input(pass<Space> const& p, saved& s, tensor_type dy) {
    if (identity_) return dy;
    auto const g = geometry(s.x.shape());
    index_t const m = s.x.extent(0), c = s.x.extent(1);
    if (c == 0) return dy;
    auto const cut = cut_of(p, m);
    wide const* const mean = s.moments.data();
    wide const* const variance = mean + cut.count * c;
    s.sums = wide_tensor::allocate(*p.where, {2, cut.count, c});
    wide* const sum_dy = s.sums.data();
    wide* const sum_dy_xhat = sum_dy + cut.count * c;
    compute::batch_norm_backward_sums(p.space(), g, in(s.x), in(dy), cut, mean, variance, epsilon(), sum_dy,
                                      sum_dy_xhat);
    // What dx is made of: the lane's own sums, or those of everybody who shared the statistics.
    wide_tensor all = s.sums, count;
    if (options_.statistics == statistics::global) {
      all = detail::total_sums(p, cut, s.sums, name_);
      count = detail::filled(p, cut.count, static_cast<wide>(s.population));
    }
    tensor_type dx;
    if (p.input_gradient) {
      dx = dy.sole_owner() ? dy : tensor_type::allocate(*p.where, dy.shape());
      compute::batch_norm_backward(p.space(), m, g, in(s.x), in(dy), cut, mean, variance, epsilon(),
                                   in(weight_) + s.first, in(all), in(all) + cut.count * c, in(count), dx.data());
    }
    // the weight half needs the sums and the shape of a sample
    s.x = tensor_type::wrap(nullptr, s.x.shape().with_batch(0));
    return dx;
  }

  void backward_weight(pass<Space> const& p, saved& s) {
    if (identity_) return;
    index_t m = 0;
    for (segment const& q : p.segments) m += q.lanes.rows();
    auto const cut = cut_of(p, m);
    auto q = p;
    q.addends = s.cut;
    index_t const c = s.x.extent(1), n = cut.count * c, pixels = s.x.shape().size_from(2);
    if (c == 0) {
      for (auto* w : {&weight_, &bias_, &mean_, &variance_}) fold(q, *w, nullptr, s.first, 0);
      s = {};
      return;
    }
    auto weighed = wide_tensor::allocate(*p.where, {2, cut.count, c});
    compute::weigh_lanes(p.space(), c, cut, p.global_batch, pixels, false, s.population, in(s.moments), weighed.data());
    compute::weigh_lanes(p.space(), c, cut, p.global_batch, pixels, true, s.population, in(s.moments) + n,
                         weighed.data() + n);
    fold(q, weight_, in(s.sums) + n, s.first, c);
    fold(q, bias_, in(s.sums), s.first, c);
    fold(q, mean_, in(weighed), s.first, c);
    fold(q, variance_, in(weighed) + n, s.first, c);
    s = {};
  }

  template <class F> void for_each_parameter(F&& f) {
    if (identity_) return;
    f(weight_);
    f(bias_);
    f(mean_);
    f(variance_);
  }

  [[nodiscard]] layer_cost cost(extents const& in) const {
    layer_cost c{.name = name_, .kind = kind, .in = in, .out = shape(in)};
    if (identity_) {
      c.view = true;
      return c;
    }
    double const n = static_cast<double>(in.size());
    c.forward_flops = 6 * n;
    c.backward_input_flops = 8 * n;
    c.saved_bytes = saved_bytes(in);
    return c;
  }
  /// Of `saved`, beside the input, of the channels that are here.
  // per lane
  [[nodiscard]] index_t saved_bytes(extents const& in) const noexcept {
    return identity_ ? 0 : 2 * in[1] * static_cast<index_t>(sizeof(wide));
  }

 private:
  template <class U> [[nodiscard]] static U const* in(tensor<U, Space> const& t) noexcept { return t.data(); }
  [[nodiscard]] static T const* in(values<T, Space> const& w) noexcept { return w.data(); }
  [[nodiscard]] wide epsilon() const noexcept { return static_cast<wide>(options_.epsilon); }
  /// Channels [first, first + c) of a running statistic.
  [[nodiscard]] static wide_tensor running(pass<Space> const& p, values<T, Space> const& w, index_t first, index_t c) {
    return codec::detail::widened(*p.where, in(w) + first, c);
  }
  [[nodiscard]] compute::norm_shape geometry(extents const& in) const noexcept { return {in[1], in.size_from(2)}; }

  /// The pass's lanes as one list, or one lane over everything.
  [[nodiscard]] compute::lanes cut_of(pass<Space> const& p, index_t m) const {
    if (options_.statistics == statistics::rank && p.deterministic)
      throw error{"nn::batch_norm '" + name_ + "'",
                  "its statistics are over the rows of a rank, which deterministic mode refuses: they change with the "
                  "number of ranks",
                  "Choose statistics::lane or statistics::global, or leave deterministic mode"};
    if (options_.statistics != statistics::rank && p.deterministic)
      for (segment const& s : p.segments)
        if (s.lanes.accumulate)
          throw error{"nn::batch_norm '" + name_ + "'",
                      "a micro-batch ends inside a lane: the statistics of half a lane change with the number of ranks",
                      "Use as many lanes as there are micro-batches on all ranks, or one micro-batch"};
    return detail::all_lanes(p, m, name_);
  }

  /// A lane's sums become a gradient: each segment's lanes over their tree, into the segment's slot. \param first,c the
  /// channels that are here
  void fold(pass<Space> const& p, values<T, Space>& w, wide const* per_lane, index_t first, index_t c) {
    index_t at = 0;
    accumulate_gradient(p, w, [&](wide* out, compute::lanes const& l) {
      if (c < features() && !l.accumulate) compute::fill(p.space(), features(), wide(0), out);
      if (c > 0) compute::fold_lanes(p.space(), l.count, c, per_lane + at * c, out + first, l.accumulate);
      at += l.count;
    });
  }

  std::string name_;
  batch_norm_options options_;
  values<T, Space> weight_, bias_, mean_, variance_;
  bool identity_ = false;
};

batch_norm(std::string, index_t) -> batch_norm<>;
batch_norm(std::string, index_t, batch_norm_options) -> batch_norm<>;

}  // namespace pleat::nn
