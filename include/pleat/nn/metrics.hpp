// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How good answers are: classes, right answers, the confusion matrix. Among equal scores the first class is the
/// answer.
#pragma once

#include <string>
#include <vector>

#include <pleat/compute/count.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::nn {

namespace detail {
template <class T, class Space>
void check_scores(char const* call, tensor<T, Space> const& y, tensor<std::int32_t, Space> const* labels) {
  if (y.rank() != 2 || y.extent(1) < 1 || (labels && labels->size() != y.extent(0)))
    throw error{call,
                "expected scores [m, classes] and m labels, found scores of shape " + y.shape().to_string() +
                    (labels ? " and labels of shape " + labels->shape().to_string() : std::string()),
                "Let the network end in one score for each class, and hand over one label for each sample"};
}
}  // namespace detail

/// The class with the largest score of each row of y [m, classes], or [m, positions, classes], into `answers` (resized
/// to m, or to m·positions).
template <class T, class Space>
void classify(context<Space>& where, tensor<T, Space> const& y, std::vector<std::int32_t>& answers) {
  if (y.rank() != 3) detail::check_scores<T, Space>("nn::classify", y, nullptr);
  index_t const classes = y.extent(y.rank() - 1), m = classes > 0 ? y.size() / classes : 0;
  auto best = tensor<std::int32_t, Space>::allocate(where, {m});
  compute::argmax_rows(where.space(), m, classes, static_cast<T const*>(y.data()), classes, best.data());
  answers.resize(static_cast<std::size_t>(m));
  copy_to_host(where, best, answers.data());
}

/// Rows of y [m, classes] whose answer is their label. A label that is no class never fits.
template <class T, class Space>
[[nodiscard]] index_t count_correct(context<Space>& where, tensor<T, Space> const& y,
                                    tensor<std::int32_t, Space> const& labels) {
  detail::check_scores("nn::count_correct", y, &labels);
  auto count = tensor<index_t, Space>::allocate(where, {1});
  compute::count_correct(where.space(), y.extent(0), y.extent(1), static_cast<T const*>(y.data()),
                         static_cast<std::int32_t const*>(labels.data()), count.data());
  index_t n = 0;
  copy_to_host(where, count, &n);
  return n;
}

/// Right answers among all, gathered over batches.
struct accuracy {
  index_t right = 0, total = 0;
  template <class T, class Space>
  void add(context<Space>& where, tensor<T, Space> const& y, tensor<std::int32_t, Space> const& labels) {
    right += count_correct(where, y, labels);
    total += y.extent(0);
  }
  /// Share of right answers; 0 before the first.
  [[nodiscard]] double value() const noexcept {
    return total > 0 ? static_cast<double>(right) / static_cast<double>(total) : 0;
  }
  [[nodiscard]] double error() const noexcept { return total > 0 ? 1 - value() : 0; }
};

/// How often a class was taken for another. Counts stay in the space's memory until they are read.
template <class Space> class confusion_matrix {
 public:
  confusion_matrix(context<Space>& where, index_t classes)
      : where_(&where), classes_(classes), counts_(tensor<index_t, Space>::allocate(where, {classes, classes})) {
    compute::fill(where.space(), counts_.size(), index_t{0}, counts_.data());
  }
  /// Counts the rows of y [m, classes]; rows with a label that is no class are left out.
  template <class T> void add(tensor<T, Space> const& y, tensor<std::int32_t, Space> const& labels) {
    detail::check_scores("nn::confusion_matrix", y, &labels);
    if (y.extent(1) != classes_)
      throw error{"nn::confusion_matrix",
                  "made for " + std::to_string(classes_) + " classes, found scores of shape " + y.shape().to_string(),
                  "Make the matrix for as many classes as the network has outputs"};
    compute::count_confusions(where_->space(), y.extent(0), classes_, static_cast<T const*>(y.data()),
                              static_cast<std::int32_t const*>(labels.data()), counts_.data());
  }
  [[nodiscard]] index_t classes() const noexcept { return classes_; }
  /// [classes · classes] on the host: element label · classes + answer.
  [[nodiscard]] std::vector<index_t> read() const {
    std::vector<index_t> out(static_cast<std::size_t>(counts_.size()));
    copy_to_host(*where_, counts_, out.data());
    return out;
  }

 private:
  context<Space>* where_;
  index_t classes_;
  tensor<index_t, Space> counts_;
};

}  // namespace pleat::nn
