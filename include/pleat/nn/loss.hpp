// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Losses as values: called with the network's output, they give its gradient and what each sample lost.
#pragma once

#include <string>
#include <utility>

#include <pleat/compute/count.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/softmax.hpp>
#include <pleat/compute/softmax_part.hpp>
#include <pleat/nn/align.hpp>
#include <pleat/nn/pass.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::nn {

/// What a loss gives. Both are divided by pass.global_batch: their sums over all micro-batches and ranks belong to the
/// mean loss.
template <class T, class Space> struct loss_result {
  tensor<wide_t<T>, Space> rows;  ///< [m]: each sample's part of the mean loss
  tensor<T, Space> dy;            ///< pass.loss_scale times the gradient of the mean loss with respect to the output
};

/// Sums `rows` into slots as gradients are summed: slots[s · stride] for every segment of the pass (compute/lanes.hpp),
/// so that the loss can travel with the gradients and has the same bits on every number of ranks. `slots` lies in the
/// space's memory.
template <class T, class Space>
void lane_sums(pass<Space> const& p, tensor<T, Space> const& rows, wide_t<T>* slots, index_t stride) {
  for (segment const& s : p.segments)
    compute::column_sum(p.space(), 1, static_cast<T const*>(rows.data()), 1, slots + s.slot * stride, s.lanes);
}

/// Cross entropy of softmax(y) against class numbers; softmax and its gradient in one pass. Scores may be cut along the
/// classes over the tensor axis (an output layer by vocabulary): they are never gathered.
struct cross_entropy {
  /// a negative label counts as no sample: no loss, no gradient (the divisor stays). False: it is an error
  bool skip_negative = true;

  /// \param y      [m, classes], or a score per position of sequences: [m, positions, classes]
  /// \param labels [m], or [m, positions]; a sample's loss is then the mean over its positions (those with a negative
  ///               label count as nothing; the divisor stays)
  /// \throws error if a label is not a class: the label, the position of its sample in the global batch, the number of
  /// classes
  template <class T, class Space>
  [[nodiscard]] loss_result<T, Space> operator()(pass<Space> const& p, tensor<T, Space> y,
                                                 tensor<std::int32_t, Space> const& labels) const {
    if (y.layout().cut() && y.layout().where.dim != y.rank() - 1)
      y = redistribute(p, std::move(y), {}, "cross_entropy");
    bool const sequences = y.rank() == 3;
    if ((y.rank() != 2 && !sequences) || labels.size() != y.extent(0) * (sequences ? y.extent(1) : 1))
      throw error{
          "nn::cross_entropy",
          "expected scores [m, classes] and m labels, or scores [m, positions, classes] and m·positions "
          "labels, found scores of shape " +
              y.shape().to_string() + " and labels of shape " + labels.shape().to_string(),
          "Let the network end in one score for each class, and hand over one label for each sample or position"};
    index_t const m = y.extent(0), positions = sequences ? y.extent(1) : 1, classes = y.whole_shape()[y.rank() - 1],
                  n = m * positions;
    auto const where = p.where;
    check(p, n, positions, classes, labels);
    using W = wide_t<T>;
    loss_result<T, Space> r{tensor<W, Space>::allocate(*where, {n}),
                            y.sole_owner() ? y : tensor<T, Space>::allocate(*where, y.shape()).with_layout(y.layout())};
    W const scale = W(1) / static_cast<W>(p.global_batch * (positions > 0 ? positions : 1));
    W const gradient_scale = scale * static_cast<W>(p.loss_scale);
    if (y.layout().cut()) over_parts(p, n, y, labels, gradient_scale, r);
    else
      compute::cross_entropy(p.space(), n, classes, static_cast<T const*>(y.data()),
                             static_cast<std::int32_t const*>(labels.data()), gradient_scale, r.dy.data(),
                             r.rows.data(), static_cast<int*>(nullptr));
    if (sequences) {  // one number per sample
      auto per_sample = tensor<W, Space>::allocate(*where, {m});
      compute::row_sum(p.space(), m, positions, static_cast<W const*>(r.rows.data()), positions, per_sample.data());
      r.rows = std::move(per_sample);
    }
    compute::scale(p.space(), m, scale, static_cast<wide_t<T> const*>(r.rows.data()), r.rows.data());
    return r;
  }

 private:
  /// Every rank of the tensor axis has the scores of some classes: a maximum and two sums per row are exchanged.
  template <class T, class Space>
  static void over_parts(pass<Space> const& p, index_t n, tensor<T, Space> const& y,
                         tensor<std::int32_t, Space> const& labels, wide_t<T> scale, loss_result<T, Space> const& r) {
    using W = wide_t<T>;
    index_t const here = y.extent(y.rank() - 1), first = y.layout().range(p.tensor->size(), p.tensor->rank()).begin;
    auto const max = tensor<W, Space>::allocate(*p.where, {n});
    compute::cross_entropy_part_max(p.space(), n, here, static_cast<T const*>(y.data()), max.data());
    if (n > 0) {
      scoped_span const span(p.trace, "all_reduce", "communication");
      wire_memory<W, Space> const m(*p.where, max, true);
      p.tensor->all_reduce(m.span(), comm::reduction::max);
      m.arrived();
    }
    auto sums = tensor<W, Space>::allocate(*p.where, {2, n});
    compute::cross_entropy_part_exp(p.space(), n, here, first, static_cast<T const*>(y.data()),
                                    static_cast<std::int32_t const*>(labels.data()), static_cast<W const*>(max.data()),
                                    r.dy.data(), sums.data());
    sums = resolve(p, std::move(sums), {});
    compute::cross_entropy_part_finish(p.space(), n, here, first, static_cast<std::int32_t const*>(labels.data()),
                                       scale, static_cast<W const*>(max.data()), static_cast<W const*>(sums.data()),
                                       r.dy.data(), r.rows.data());
  }

  template <class Space>
  void check(pass<Space> const& p, index_t m, index_t positions, index_t classes,
             tensor<std::int32_t, Space> const& labels) const {
    if (m == 0) return;
    auto found = tensor<index_t, Space>::allocate(*p.where, {1});
    compute::first_bad_label(p.space(), m, static_cast<std::int32_t const*>(labels.data()), classes, skip_negative,
                             found.data());
    index_t at = 0;
    copy_to_host(*p.where, found, &at);
    if (at == compute::no_bad_label) return;
    std::int32_t label = 0;
    copy_to_host(*p.where, tensor<std::int32_t, Space>::wrap(labels.data() + at, {1}), &label);
    throw error{
        "nn::cross_entropy",
        "the label of " + (positions > 1 ? "position " + std::to_string(at % positions) + " of " : std::string{}) +
            "sample " + std::to_string(p.first_sample + at / positions) + " of the batch is " + std::to_string(label) +
            ", but there are " + std::to_string(classes) + " classes (0 to " + std::to_string(classes - 1) + ")",
        "Look at the data's labels and at the outputs of the last layer"};
  }
};

/// Mean over samples and elements of (y − target)².
struct mean_square {
  /// \param y, target [m, …] of one shape
  template <class T, class Space>
  [[nodiscard]] loss_result<T, Space> operator()(pass<Space> const& p, tensor<T, Space> y,
                                                 tensor<T, Space> const& target) const {
    y = redistribute(p, std::move(y), {}, "mean_square");
    if (y.shape() != target.shape() || y.rank() < 1)
      throw error{"nn::mean_square",
                  "the output has shape " + y.shape().to_string() + ", the target " + target.shape().to_string(),
                  "Give the network as many outputs as the target has numbers"};
    index_t const m = y.extent(0), columns = y.shape().size_from(1);
    using W = wide_t<T>;
    loss_result<T, Space> r{tensor<W, Space>::allocate(*p.where, {m}),
                            y.sole_owner() ? y : tensor<T, Space>::allocate(*p.where, y.shape())};
    W const scale = W(1) / static_cast<W>(p.global_batch * (columns > 0 ? columns : 1));
    compute::mean_square(p.space(), m, columns, static_cast<T const*>(y.data()), static_cast<T const*>(target.data()),
                         scale * static_cast<W>(p.loss_scale), r.dy.data(), r.rows.data());
    compute::scale(p.space(), m, scale, static_cast<wide_t<T> const*>(r.rows.data()), r.rows.data());
    return r;
  }
};

}  // namespace pleat::nn
