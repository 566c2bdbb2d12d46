// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Which samples of a global batch a rank works on, in which micro-batches, and where their gradients go. Pure: data
/// in, data out.
#pragma once

#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/comm/lane_reduce.hpp>
#include <pleat/nn/pass.hpp>
#include <pleat/plan/ledger.hpp>
#include <pleat/plan/plan.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::parallel {

/// One forward/backward walk: rows [rows.begin, rows.end) of this rank's share, and where each row's contribution goes.
struct micro_batch {
  index_range rows;
  std::vector<nn::segment> segments;
  index_t index = 0;  ///< which of the step's micro-batches
};

/// One rank's share of one global batch.
///
/// Fast mode: the batch is cut into equal blocks of samples; one slot, one lane. Deterministic mode: the batch is cut
/// into `lanes` blocks, the lanes are dealt to the ranks in blocks. If a rank walks its share at once, each of its
/// subtrees of lanes is folded inside the kernels into one slot. If it walks in micro-batches (which may cut a lane at
/// any row), or a weight is used twice, every lane has a slot of its own, and `folds` says how they are summed
/// afterwards.
class share {
 public:
  PLEAT_ONCE share(plan::plan const& p, index_t batch, int rank, bool lanes_apart);

  /// Positions in the global batch that this rank holds.
  [[nodiscard]] index_range rows() const noexcept { return rows_; }
  [[nodiscard]] index_t batch() const noexcept { return batch_; }
  [[nodiscard]] std::vector<micro_batch> const& micro_batches() const noexcept { return micro_batches_; }
  /// Gradient slots in use.
  [[nodiscard]] int slots() const noexcept { return slots_; }
  /// Subtrees whose sums this rank contributes, and the slot in which each one's sum is after fold.
  [[nodiscard]] std::vector<comm::lane_root> const& roots() const noexcept { return roots_; }
  [[nodiscard]] std::vector<int> const& root_slots() const noexcept { return root_slots_; }
  /// True if lanes have slots of their own, to be summed before the exchange.
  [[nodiscard]] bool lanes_apart() const noexcept { return apart_; }

 private:
  PLEAT_LAZY [[nodiscard]] index_t row_of_lane(plan::plan const& p, index_t lane) const noexcept {
    return lane == p.lanes ? batch_ : block_range(batch_, p.lanes, lane).begin;
  }

  PLEAT_ONCE void add_folded(plan::plan const& p, micro_batch& b) const {
    for (std::size_t i = 0; i < roots_.size(); ++i) {
      nn::segment s{static_cast<int>(i), {}};
      s.lanes.count = roots_[i].lanes;
      for (int l = 0; l <= roots_[i].lanes; ++l)
        s.lanes.row[static_cast<std::size_t>(l)] = row_of_lane(p, roots_[i].first + l) - rows_.begin;
      b.segments.push_back(s);
    }
  }

  /// The pieces of this micro-batch per lane: the first piece of a lane starts its chain, later ones go on with it. A
  /// lane without samples starts (at zero) in the first micro-batch.
  PLEAT_ONCE void add_apart(plan::plan const& p, micro_batch& b, index_t m, int rank) const {
    index_range const lanes = block_range(p.lanes, p.data_ranks, rank);
    for (index_t l = lanes.begin; l < lanes.end; ++l) {
      index_range const lane{row_of_lane(p, l) - rows_.begin, row_of_lane(p, l + 1) - rows_.begin};
      index_range const piece = intersect(lane, b.rows);
      bool const starts = lane.empty() ? m == 0 : !piece.empty() && piece.begin == lane.begin;
      if (piece.empty() && !starts) continue;
      nn::segment s{static_cast<int>(l - lanes.begin), {}};
      s.lanes.accumulate = !starts;
      s.lanes.row[0] = lane.empty() ? 0 : piece.begin - b.rows.begin;
      s.lanes.row[1] = lane.empty() ? 0 : piece.end - b.rows.begin;
      b.segments.push_back(s);
    }
  }

  index_t batch_;
  index_range rows_;
  std::vector<micro_batch> micro_batches_;
  std::vector<comm::lane_root> roots_;
  std::vector<int> root_slots_;
  int slots_ = 1;
  bool apart_ = false;
};

template <class> share::share(plan::plan const& p, index_t batch, int rank, bool lanes_apart) : batch_(batch) {
  bool const apart = p.deterministic && (lanes_apart || p.micro_batches > 1);
  if (!p.deterministic) {
    rows_ = block_range(batch, p.data_ranks, rank);
    slots_ = 1;
    roots_ = {{rank, 1}};
    root_slots_ = {0};
  } else {
    index_range const lanes = block_range(p.lanes, p.data_ranks, rank);
    rows_ = {row_of_lane(p, lanes.begin), row_of_lane(p, lanes.end)};
    for (auto const& root : comm::lane_roots(static_cast<int>(p.lanes), lanes)) roots_.push_back(root);
    slots_ = apart ? static_cast<int>(lanes.size()) : static_cast<int>(roots_.size());
    for (std::size_t i = 0; i < roots_.size(); ++i)
      root_slots_.push_back(apart ? roots_[i].first - static_cast<int>(lanes.begin) : static_cast<int>(i));
  }
  apart_ = apart;
  for (index_t m = 0; m < p.micro_batches; ++m) {
    micro_batch b{block_range(rows_.size(), p.micro_batches, m), {}, m};
    if (!p.deterministic)
      b.segments.push_back({0, compute::lanes::whole(b.rows.size(), m > 0 && plan::whole_gradients(p))});
    else if (!apart) add_folded(p, b);
    else add_apart(p, b, m, rank);
    micro_batches_.push_back(std::move(b));
  }
}
PLEAT_COMPILED_ONCE(share::share(plan::plan const& p, index_t batch, int rank, bool lanes_apart));

}  // namespace pleat::parallel
