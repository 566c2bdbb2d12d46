// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Who needs how many bytes on one rank, and how long a step should take: the planner's two sums. Needs no Kokkos.
#pragma once

#include <cstdio>
#include <string>

#include <pleat/base/config.hpp>
#include <pleat/comm/lane_reduce.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/nn/state_layout.hpp>
#include <pleat/plan/machine.hpp>
#include <pleat/plan/plan.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::plan {

/// Bytes of one rank while it trains under a plan.
struct memory_ledger {
  index_t parameters = 0, gradients = 0, optimizer_state = 0, activations = 0, input = 0;
  index_t recomputed = 0;  ///< what is computed again of one unit at a time, while backward passes it
  [[nodiscard]] index_t total() const noexcept {
    return parameters + gradients + optimizer_state + activations + input + recomputed;
  }

  PLEAT_ONCE [[nodiscard]] std::string to_string() const;
};

template <class> std::string memory_ledger::to_string() const {
  char text[256];
  auto const mib = [](index_t b) { return static_cast<double>(b) / (1 << 20); };
  std::snprintf(
      text, sizeof text,
      "parameters %.2f MiB, gradients %.2f, optimizer state %.2f, activations %.2f, input %.2f: %.2f MiB per rank",
      mib(parameters), mib(gradients), mib(optimizer_state), mib(activations + recomputed), mib(input), mib(total()));
  return text;
}
PLEAT_COMPILED_ONCE(std::string memory_ledger::to_string() const);

/// Rows of the largest micro-batch of any rank.
PLEAT_ONCE [[nodiscard]] index_t largest_micro_batch(plan const& p) {
  index_t const rows = p.deterministic
                           ? block_range(p.global_batch, p.lanes, block_range(p.lanes, p.data_ranks, 0).end - 1).end
                           : block_range(p.global_batch, p.data_ranks, 0).size();
  return pleat::detail::units_of(rows, p.micro_batches);
}
PLEAT_COMPILED_ONCE(index_t largest_micro_batch(plan const& p));

/// Whether gradients need flat buffers: at stages 0 and 1, and where sums over micro-batches must be complete before
/// they are exchanged (deterministic chains go on from one micro-batch to the next; the walks of a pipeline
/// interleave). Else every micro-batch is exchanged.
PLEAT_LAZY [[nodiscard]] inline bool whole_gradients(plan const& p) noexcept {
  return p.state_stage < 2 || (p.micro_batches > 1 &&
                               (p.deterministic || p.stages() > 1 || (p.schedule != "1f1b" && p.schedule != "gpipe")));
}

/// Whether each further use of a tied weight has a gradient of its own, so that sums do not depend on when, and on
/// which stage, it is computed.
PLEAT_LAZY [[nodiscard]] inline bool ties_apart(plan const& p) noexcept { return p.deterministic || p.stages() > 1; }

/// Gradient copies that rank 0 keeps: more than one where lanes stay apart, or where its lanes are no single subtree.
PLEAT_ONCE [[nodiscard]] index_t gradient_slots(plan const& p) {
  if (!p.deterministic) return 1;
  index_range const lanes = block_range(p.lanes, p.data_ranks, 0);
  if (p.micro_batches > 1) return lanes.size();
  return comm::lane_roots(static_cast<int>(p.lanes), lanes).size();
}

/// Whole-bucket buffers and pieces of one rank where state is sharded; of rank 0's shard unless said otherwise.
struct state_bytes {
  index_t parameters = 0, gradients = 0, optimizer_state = 0;
  friend bool operator==(state_bytes const&, state_bytes const&) = default;
};

/// Bytes of parameters, gradients and optimizer state that a rank holds, as functions of the stage. N: elements of a
/// flat buffer; O: those of this rank's pieces, about N / shards; B: those of the largest bucket; k: buffers of the
/// optimizer; s: gradient slots; L: the loss.
///
///     stage   parameters                       gradients                            optimizer state
///     0       N                                N·s                                  k·N
///     1       N                                N·s                                  k·O
///     2       N                                O + buffers·B·s + L·s                k·O
///     3       O + buffers·B                    O + buffers·B·s + L·s                k·O
///
/// Stages 2 and 3 keep flat gradients, N·s, where whole_gradients(plan) says so. Parameters of 16 bits have gradients
/// and optimizer state of floats, and one buffer of the optimizer's more: their masters.
/// \param open buckets that one layer's parameters lie in, at the most
/// \param shard which shard; sizes differ by less than a grain per bucket
PLEAT_ONCE [[nodiscard]] state_bytes make_state_bytes(plan const& p, nn::state_layout const& layout, int state_buffers,
                                                      int slots, int open, int shard = 0, index_t element_bytes = 4) {
  state_bytes s;
  bool const masters = element_bytes < 4;
  index_t const wide = masters ? 4 : element_bytes, all = layout.size(), own = layout.owned(shard),
                bucket = layout.largest_bucket();
  index_t const loss = 64 / element_bytes;  // the tail of the flat buffer: one number in a line of its own
  s.parameters =
      (p.state_stage < 3 ? all : own + layout.parameter_buffers(open, static_cast<int>(p.prefetch)) * bucket) *
      element_bytes;
  s.gradients =
      (whole_gradients(p) ? all * slots : own + layout.gradient_buffers() * bucket * slots + loss * slots) * wide;
  s.optimizer_state = own * (state_buffers + (masters ? 1 : 0)) * wide;
  return s;
}

/// The ledger of a plan.
/// \param at_micro_batch the network described for largest_micro_batch(p) rows
/// \param arena_elements elements of one flat buffer (nn::arena::size): the parameters, each padded to 64 bytes, and
/// the loss
/// \param state_buffers flat buffers of the optimizer: 0 (plain SGD), 1 (momentum), 2 (Adam)
PLEAT_ONCE [[nodiscard]] memory_ledger make_ledger(plan const& p, nn::description const& at_micro_batch,
                                                   index_t arena_elements, int state_buffers,
                                                   index_t element_bytes = 4) {
  memory_ledger l;
  l.parameters = arena_elements * element_bytes;
  bool const masters = element_bytes < 4;
  index_t const wide = arena_elements * (masters ? 4 : element_bytes);
  l.gradients = wide * gradient_slots(p);
  l.optimizer_state = wide * (state_buffers + (masters ? 1 : 0));
  l.activations = at_micro_batch.activation_bytes();
  if (!at_micro_batch.layers.empty()) l.input = at_micro_batch.layers.front().in.size() * element_bytes;
  return l;
}
PLEAT_COMPILED_ONCE(memory_ledger make_ledger(plan const& p, nn::description const& at_micro_batch,
                                              index_t arena_elements, int state_buffers, index_t element_bytes));

/// Predicted seconds of one data-parallel step, by part.
struct step_time {
  double forward = 0, backward = 0, optimizer = 0, communication = 0, exposed_communication = 0;
  [[nodiscard]] double total() const noexcept { return forward + backward + optimizer + exposed_communication; }

  PLEAT_ONCE [[nodiscard]] std::string to_string() const;
};

template <class> std::string step_time::to_string() const {
  char text[200];
  std::snprintf(
      text, sizeof text, "forward %.3f ms, backward %.3f, optimizer %.3f, communication %.3f (exposed %.3f): %.3f ms",
      forward * 1e3, backward * 1e3, optimizer * 1e3, communication * 1e3, exposed_communication * 1e3, total() * 1e3);
  return text;
}
PLEAT_COMPILED_ONCE(std::string step_time::to_string() const);

/// Predicts a step from the description at largest_micro_batch(p) rows: a roofline per kernel, one pass of the
/// optimizer over its buffers, and an all-reduce of the gradients of which all but the last bucket may hide behind
/// backward.
PLEAT_ONCE [[nodiscard]] step_time predict_step(plan const& p, nn::description const& at_micro_batch, machine const& m,
                                                int state_buffers = 2, index_t element_bytes = 4) {
  step_time t;
  bool first = true;
  auto const bytes_of = [&](index_t elements) { return static_cast<double>(elements * element_bytes); };
  for (auto const& l : at_micro_batch.layers) {
    double const io = bytes_of(l.in.size() + l.out.size()), weights = static_cast<double>(l.parameter_bytes);
    t.forward += m.kernel_seconds(l.forward_flops, io + weights);
    if (!first) t.backward += m.kernel_seconds(l.backward_input_flops, io + weights);
    if (l.parameters > 0) t.backward += m.kernel_seconds(l.backward_weight_flops, io + weights);
    if (l.parameters > 0) first = false;
  }
  auto const walks = static_cast<double>(p.micro_batches);
  t.forward *= walks;
  t.backward *= walks;
  double const parameters = bytes_of(at_micro_batch.parameters());
  t.optimizer = m.kernel_seconds(0, parameters * (3 + 2 * state_buffers));
  t.communication = m.all_reduce_seconds(parameters, p.data_ranks);
  double const last_bucket =
      m.all_reduce_seconds(std::min(parameters, static_cast<double>(p.bucket_bytes)), p.data_ranks);
  double const cover = p.overlap ? t.backward / walks : 0;
  t.exposed_communication = p.data_ranks > 1 ? std::max(last_bucket, t.communication - cover) : 0;
  return t;
}
PLEAT_COMPILED_ONCE(step_time predict_step(plan const& p, nn::description const& at_micro_batch, machine const& m,
                                           int state_buffers, index_t element_bytes));

}  // namespace pleat::plan
