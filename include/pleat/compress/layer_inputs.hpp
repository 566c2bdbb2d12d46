// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What the layers of a model multiply with, over calibration samples: per weight the column norms and the matrix Σ
/// x·xᵀ of its inputs.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/codec/dense.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/comm/lane_reduce.hpp>
#include <pleat/compress/calibration.hpp>
#include <pleat/compute/convolution.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/for_each.hpp>
#include <pleat/compute/gemm.hpp>
#include <pleat/parallel/model.hpp>

namespace pleat::compress {

/// The inputs of one weight, seen as rows of its columns: of a convolution the patches under the kernel, apart for each
/// group of channels.
struct layer_input {
  std::string name;     ///< of the weight
  index_t columns = 0;  ///< of the weight (of one group)
  /// output rows [g·rows/groups, (g + 1)·rows/groups) of the weight multiply with group g
  index_t groups = 1;
  index_t rows = 0;             ///< how many inputs were seen
  std::vector<double> squares;  ///< [groups, columns]: Σ x_j²
  /// [groups, columns, columns]: Σ x·xᵀ, symmetric; empty where only squares were asked for
  std::vector<double> gram;
};

enum class input_sums : std::uint8_t {
  squares,  ///< one number per column
  gram      ///< the whole matrix, and the squares
};

/// What is gathered about the inputs of a network's weights, and of which.
struct layer_inputs_options {
  input_sums what = input_sums::gram;  ///< how much of them is kept
  /// which weights are looked at; not set: all that are multiplied with
  std::function<bool(nn::parameter const&)> only{};
  index_t batch = 32;  ///< samples at once: memory, never bits
};

namespace detail {

/// x as rows of doubles.
template <class T> struct widen_body {
  T const* from;
  double* to;
  PLEAT_INLINE void operator()(index_t i) const { to[i] = static_cast<double>(static_cast<wide_t<T>>(from[i])); }
};
/// Patch r (an image and a place of the result) of one group: [channel, kernel row, kernel column], zero outside of the
/// image.
template <class T> struct patch_body {
  compute::conv2d_shape g;
  index_t group;
  T const* x;
  double* to;  // [rows, weights_per_output]
  PLEAT_INLINE void operator()(index_t r) const {
    index_t const ow = g.out_width(), oh = g.out_height(), n = r / (oh * ow), i = r / ow % oh, j = r % ow,
                  channels = g.group_in();
    double* out = to + r * g.weights_per_output();
    for (index_t c = 0; c < channels; ++c) {
      T const* const plane = x + ((n * g.in_channels) + group * channels + c) * g.height * g.width;
      for (index_t u = 0; u < g.kernel_h; ++u)
        for (index_t v = 0; v < g.kernel_w; ++v) {
          index_t const row = i * g.stride_h - g.padding_h + u * g.dilation_h,
                        column = j * g.stride_w - g.padding_w + v * g.dilation_w;
          bool const inside = row >= 0 && row < g.height && column >= 0 && column < g.width;
          *out++ = inside ? static_cast<double>(static_cast<wide_t<T>>(plane[row * g.width + column])) : 0.0;
        }
    }
  }
};
/// One chain per column over the rows, from what is there.
struct column_squares_body {
  double const* x;
  index_t rows, columns;
  double* out;
  PLEAT_INLINE void operator()(index_t j) const {
    double sum = out[j];
    for (index_t r = 0; r < rows; ++r) sum = compute::fma(x[r * columns + j], x[r * columns + j], sum);
    out[j] = sum;
  }
};

/// Sums of products over samples, lane by lane: within a lane one chain over its rows, then the tree of
/// comm/lane_reduce.hpp.
template <class T, class Space> class input_recorder final : public nn::input_listener {
 public:
  input_recorder(context<Space>& where, input_sums what) : where_(&where), what_(what) {}

  void watch(std::string name, index_t columns) { layers_.push_back({std::move(name), columns, 1, 0, {}, {}}); }

  void multiplied(product const& p) override {
    int const at = find(p.weight.name);
    if (at < 0) return;
    auto& l = layers_[static_cast<std::size_t>(at)];
    T const* const x = static_cast<T const*>(p.x);
    if (p.convolution) {
      l.groups = p.convolution->groups;
      index_t const rows = p.convolution->batch * p.convolution->out_height() * p.convolution->out_width();
      auto const wide = tensor<double, Space>::allocate(*where_, {rows, l.columns});
      l.rows += rows;
      for (index_t g = 0; g < l.groups; ++g) {
        compute::for_each_row(where_->space(), rows, patch_body<T>{*p.convolution, g, x, wide.data()},
                              static_cast<double>(l.columns));
        add(l, g, rows, wide.data());
      }
    } else {
      index_t const rows = p.shape.size() / l.columns;
      auto const wide = tensor<double, Space>::allocate(*where_, {rows, l.columns});
      l.rows += rows;
      compute::for_each(where_->space(), rows * l.columns, widen_body<T>{x, wide.data()});
      add(l, 0, rows, wide.data());
    }
  }

  /// The samples of lane `l` have been seen: its sums become a leaf of the tree, which closes as far as it can.
  void end_lane(int number) {
    for (auto& l : layers_) {
      // a lane without samples has no block: sums of nothing are zero
      l.stack.push_back({std::exchange(l.lane, {}), number, 1});
      while (l.stack.size() > 1) {
        auto &b = l.stack[l.stack.size() - 1], &a = l.stack[l.stack.size() - 2];
        if (a.lanes != b.lanes || a.first % (2 * a.lanes) != 0) break;
        if (!a.sums.data()) a.sums = std::move(b.sums);
        else if (b.sums.data())
          compute::add(where_->space(), a.sums.size(), static_cast<double const*>(a.sums.data()),
                       static_cast<double const*>(b.sums.data()), a.sums.data());
        a.lanes *= 2;
        l.stack.pop_back();
      }
    }
  }
  /// The sums of all ranks. Collective.
  [[nodiscard]] std::vector<layer_input> sums(comm::communicator& ranks, int lanes) {
    // A rank without samples does not know how many groups a convolution has, nor who is called at all.
    std::vector<std::int64_t> groups, rows;
    for (auto const& l : layers_) groups.push_back(l.groups), rows.push_back(l.rows);
    ranks.all_reduce(groups, comm::reduction::max);
    ranks.all_reduce(rows, comm::reduction::sum);
    auto const mine = comm::lane_roots(lanes, block_range(lanes, ranks.size(), ranks.rank()));
    std::vector<layer_input> out;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      auto& l = layers_[i];
      l.groups = groups[i];
      if (rows[i] == 0) continue;
      index_t const n = size(l);
      std::vector<std::vector<double>> host;
      for (auto const& root : mine) {
        auto& h = host.emplace_back(static_cast<std::size_t>(n), 0.0);
        for (auto const& s : l.stack)
          if (s.first == root.first && s.sums.data()) copy_to_host(*where_, s.sums, h.data());
      }
      l.stack.clear();
      std::vector<double const*> slots;
      for (auto const& h : host) slots.push_back(h.data());
      layer_input sum{l.name, l.columns, l.groups, rows[i], {}, std::vector<double>(static_cast<std::size_t>(n))};
      comm::lane_all_reduce<double>(ranks, lanes, slots, n, sum.gram.data());
      if (what_ == input_sums::squares) {
        sum.squares = std::exchange(sum.gram, {});
      } else {
        for (index_t j = 0; j < l.groups * l.columns; ++j)
          sum.squares.push_back(sum.gram[static_cast<std::size_t>(j * l.columns + j % l.columns)]);
      }
      out.push_back(std::move(sum));
    }
    return out;
  }

 private:
  using block = tensor<double, Space>;
  struct subtree {
    block sums;
    int first, lanes;
  };
  struct layer {
    std::string name;
    index_t columns, groups, rows;
    block lane;                  // of the lane under way
    std::vector<subtree> stack;  // of the lanes before
  };

  [[nodiscard]] int find(std::string_view name) const {
    for (std::size_t i = 0; i < layers_.size(); ++i)
      if (layers_[i].name == name) return static_cast<int>(i);
    return -1;
  }
  [[nodiscard]] index_t each(layer const& l) const noexcept {
    return what_ == input_sums::gram ? l.columns * l.columns : l.columns;
  }
  [[nodiscard]] index_t size(layer const& l) const noexcept { return l.groups * each(l); }
  [[nodiscard]] double* lane(layer& l) {
    if (!l.lane.data()) {
      l.lane = block::allocate(*where_, {size(l)});
      compute::fill(where_->space(), size(l), 0.0, l.lane.data());
    }
    return l.lane.data();
  }
  void add(layer& l, index_t group, index_t rows, double const* x) {
    double* const to = lane(l) + group * each(l);
    if (what_ == input_sums::gram)
      compute::gemm_lanes(where_->space(), l.columns, l.columns, x, l.columns, x, l.columns, to, l.columns,
                          compute::lanes::whole(rows, true));
    else
      compute::for_each(where_->space(), l.columns, column_squares_body{x, rows, l.columns, to},
                        static_cast<double>(rows));
  }

  context<Space>* where_;
  input_sums what_;
  std::vector<layer> layers_;
};

}  // namespace detail

/// Walks forward over the samples and sums up what each weight multiplies with. The samples are cut into 8 lanes (more,
/// if there are more ranks), which are dealt to the ranks of the data axis: the same bits on 1, 2, 4 and 8 of them and
/// on 3, whatever the batch. Sums are double; products of floats are exact in it. Collective; every rank of a stage
/// gets the sums of that stage's layers, in forward order. Where a weight is cut along the tensor axis the sums are
/// those of the whole input.
/// \throws error if there are no samples
template <class Net>
[[nodiscard]] std::vector<layer_input> layer_inputs(parallel::model<Net> const& m, calibration const& data,
                                                    layer_inputs_options const& options = {}) {
  using T = typename parallel::model<Net>::value_type;
  using Space = typename parallel::model<Net>::execution_space;
  if (data.empty())
    throw error{"compress::layer_inputs", "the calibration set is empty",
                "Give it samples: compress::calibration(data.train, 128)"};
  if (options.batch < 1)
    throw error{"compress::layer_inputs", "batch must be at least 1, found " + std::to_string(options.batch),
                "Say .batch = 64: no sum depends on it"};
  region r("pleat::compress::layer_inputs");
  index_t const batch = std::min(options.batch, data.size());
  detail::input_recorder<T, Space> recorder(m.context(), options.what);
  nn::for_each_parameter(m.net(), [&](auto const& w) {
    if (w.absent || w.shape.rank() < 2 || w.kind != nn::parameter_kind::trainable) return;
    if (!options.only || options.only(w)) recorder.watch(w.name, codec::columns_of(w.whole()));
  });
  auto& ranks = m.ranks();
  int const lanes = std::max(8, static_cast<int>(std::bit_ceil(static_cast<unsigned>(ranks.size()))));
  index_range const mine = block_range(lanes, ranks.size(), ranks.rank());
  bool const together = m.plan().state_stage == 3;  // an answer gathers parameters: every rank gives as many
  comm::attempts batches(m.parts().size() > 1 || together);
  auto const answers_of = [&](int rank) {
    index_range const dealt = block_range(lanes, ranks.size(), rank);
    index_t n = 0;
    for (index_t l = dealt.begin; l < dealt.end; ++l)
      n += (block_range(data.size(), lanes, l).size() + batch - 1) / batch;
    return n;
  };
  index_t answers = 0, most = 0;
  for (int r = 0; together && r < ranks.size(); ++r) most = std::max(most, answers_of(r));
  for (index_t l = mine.begin; l < mine.end; ++l) {
    index_range const samples = block_range(data.size(), lanes, l);
    for (index_t at = samples.begin; at < samples.end; at += batch, ++answers)
      batches([&] {
        (void)m.predict(data.load<T>(m.context(), at, std::min(batch, samples.end - at)),
                        parallel::answer_at::last_stage, &recorder);
      });
    recorder.end_lane(static_cast<int>(l));
  }
  for (; answers < most; ++answers)  // for the ranks that have more; nobody looks
    batches([&] { (void)m.predict(data.load<T>(m.context(), 0, 1), parallel::answer_at::last_stage); });
  batches.meet(m.all_ranks());
  return recorder.sums(ranks, lanes);
}

/// Σ over the inputs of ‖(W − Ŵ)·x‖²: what a change of a weight does to the layer's outputs, tr((W − Ŵ)·G·(W − Ŵ)ᵀ),
/// the norm in which GPTQ and SparseGPT are best. Divided by `rows` it is the mean per input.
/// \param shape of the (whole) weight; the numbers are host memory
template <class A, class B>
[[nodiscard]] double output_error(layer_input const& in, extents const& shape, std::span<A const> w,
                                  std::span<B const> w_hat) {
  auto const rows = static_cast<std::size_t>(shape[0]), columns = static_cast<std::size_t>(in.columns),
             each = rows / static_cast<std::size_t>(in.groups);
  double sum = 0;
  std::vector<double> d(columns);
  for (std::size_t r = 0; r < rows; ++r) {
    double const* const gram = in.gram.data() + r / each * columns * columns;
    for (std::size_t j = 0; j < columns; ++j)
      d[j] = static_cast<double>(w[r * columns + j]) - static_cast<double>(w_hat[r * columns + j]);
    for (std::size_t i = 0; i < columns; ++i) {
      if (d[i] == 0) continue;
      double along = 0;
      for (std::size_t j = 0; j < columns; ++j) along += gram[i * columns + j] * d[j];
      sum += d[i] * along;
    }
  }
  return sum;
}

}  // namespace pleat::compress
