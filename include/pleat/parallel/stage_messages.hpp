// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The tensors that travel between the stages of a pipeline: under way, held until they have left, and named where one
/// does not come.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/pooled_array.hpp>
#include <pleat/base/step_trace.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/parallel/message_words.hpp>
#include <pleat/parallel/network.hpp>
#include <pleat/parallel/stages.hpp>
#include <pleat/parallel/step_words.hpp>
#include <pleat/plan/schedule.hpp>

namespace pleat::parallel {

/// A tensor that comes or goes.
template <class T, class Space> struct stage_message {
  tensor<T, Space> data;
  pooled_array<T> staged;  ///< where the host cannot reach `data`
  comm::request under_way;
  plan::action action{};           ///< that sends or receives it
  span_of_time span{.begin = -1};  ///< from its posting, where somebody traces
};

/// One rank's messages of a walk. A message is known by its edge, its direction and its micro-batch.
///
/// A send waits for none but the one two per rank before it: that many are held, so that every walk takes the same
/// memory.
template <class T, class Space> class stage_messages {
 public:
  using tensor_type = tensor<T, Space>;
  using message = stage_message<T, Space>;

  /// \param ranks those of the pipeline; must outlive this, as must `where` and `net` \param hybrid whether the mesh
  /// has other axes, too
  stage_messages(context<Space>& where, comm::communicator& ranks, network<T, Space>& net,
                 std::shared_ptr<stages const> layout, bool hybrid)
      : where_(&where),
        ranks_(&ranks),
        net_(&net),
        layout_(std::move(layout)),
        hybrid_(hybrid),
        held_(2 * static_cast<std::size_t>(ranks.size())),
        window_(std::max<index_t>(1, walk_tags / (2 * layout_->schedule().stages()))) {
    outgoing_.reserve(held_);
  }

  /// Before a walk. \param trace null, or what shows messages
  void begin(step_trace* trace) noexcept { trace_ = trace; }

  /// Posts the receive that an action stands for.
  void post(message& m, plan::action const& a, extents const& shape) {
    m.data = tensor_type::allocate(*where_, shape);
    auto const n = static_cast<std::size_t>(shape.size());
    if (n == 0) return;
    T* into = m.data.data();
    if constexpr (!on_host) {
      m.staged = pooled_array<T>(where_->host_pool(), n);
      into = m.staged.data();
    } else {
      where_->fence();  // what the block held before has been read
    }
    bool const gradient = a.kind == plan::action_kind::receive_gradient;
    mark(m, a, gradient ? "receive gradient" : "receive activation");
    m.action = a;
    about(m, [&] { m.under_way = ranks_->ireceive(std::span<T>(into, n), layout_->rank_of(a.peer), tag(a)); });
  }

  /// The tensor of a message that has come, or comes now. \param a the work that needs it
  [[nodiscard]] tensor_type take(message& m, plan::action const& a) {
    if (!m.under_way.done()) {
      scoped_span const span(trace_, a.kind == plan::action_kind::forward ? "wait for activation" : "wait for gradient",
                             "waiting", a.stage, a.micro_batch);
      about(m, [&] { m.under_way.wait(); });
    }
    gone(m);
    if constexpr (!on_host) {
      if (!m.staged.empty()) copy_from_host(*where_, static_cast<T const*>(m.staged.data()), m.data);
      m.staged.clear();
    }
    return std::exchange(m.data, tensor_type{});
  }

  /// Sends what an action stands for, and holds it. \param expected the shape that the layers promise
  void send(plan::action const& a, tensor_type& from, extents const& expected) {
    // the oldest; not whatever is gone already: how much memory a walk takes must not depend on time
    while (outgoing_.size() >= held_) {
      scoped_span const span(trace_, "wait for a send", "waiting", a.stage, a.micro_batch);
      about(outgoing_.front(), [&] { outgoing_.front().under_way.wait(); });
      gone(outgoing_.front());
      outgoing_.erase(outgoing_.begin());
    }
    auto data = std::exchange(from, tensor_type{});
    auto const n = static_cast<std::size_t>(data.size());
    bool const gradient = a.kind == plan::action_kind::send_gradient;
    if (data.shape() != expected)
      throw error{"parallel::walk",
                  std::string(gradient ? "the gradient of the input" : "the output") + " of stage " +
                      std::to_string(a.stage) + " has shape " + data.shape().to_string() +
                      ", the layers' shape() says " + expected.to_string(),
                  "Make a layer's shape() say what its forward gives"};
    if (n == 0) return;
    scoped_span const span(trace_, "send", "communication", a.stage, a.micro_batch);
    outgoing_.emplace_back();
    message& m = outgoing_.back();
    mark(m, a, gradient ? "send gradient" : "send activation");
    T const* out = data.data();
    if constexpr (!on_host) {
      m.staged = pooled_array<T>(where_->host_pool(), n);
      copy_to_host(*where_, data, m.staged.data());
      out = m.staged.data();
    } else {
      where_->fence();  // written by the instance; read by the transport
    }
    m.data = std::move(data);
    m.action = a;
    about(m, [&] { m.under_way = ranks_->isend(std::span<T const>(out, n), layout_->rank_of(a.peer), tag(a)); });
  }

  /// Waits for every send.
  void finish() {
    if (!outgoing_.empty()) {
      scoped_span const span(trace_, "wait for sends", "waiting");
      for (auto& o : outgoing_) {
        about(o, [&] { o.under_way.wait(); });
        gone(o);
      }
    }
    outgoing_.clear();
  }

  /// Sends that are gone end their spans here; they are held on.
  void look_for_gone() {
    if (!trace_) return;
    for (auto& o : outgoing_)
      if (o.span.begin >= 0 && o.under_way.test()) gone(o);
  }

  /// After an error: lets go of every send. Requests that are open give up while the exception unwinds.
  void abandon() {
    for (auto& o : outgoing_) release(o);
    outgoing_.clear();
  }
  static void release(message& m) {
    m.span.begin = -1;
    m.under_way = {};
    m.data = {};
    m.staged.clear();
  }

 private:
  static constexpr bool on_host =
      Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible;

  static constexpr index_t walk_tags = comm::tags::walk_end - comm::tags::walk;

  [[nodiscard]] int tag(plan::action const& a) const noexcept {
    bool const gradient = a.kind == plan::action_kind::send_gradient || a.kind == plan::action_kind::receive_gradient;
    index_t const edge = std::min(a.stage, a.peer);
    return comm::tags::walk +
           static_cast<int>(((edge * 2 + (gradient ? 1 : 0)) * window_ + a.micro_batch % window_) % walk_tags);
  }

  /// Runs f along the pipeline: what goes wrong names the tensor that was to travel.
  template <class F> void about(message const& m, F&& f) const {
    about_tensor([&] { return words_of_message(*net_, *layout_, m.action, m.data.shape()); }, "pipeline", hybrid_,
                 std::forward<F>(f));
  }

  void mark(message& m, plan::action const& a, char const* what) const {
    if (trace_)
      m.span = {what,
                "communication",
                trace_->now(),
                0,
                static_cast<std::int32_t>(a.stage),
                static_cast<std::int32_t>(a.micro_batch),
                trace_lane::messages};
  }
  /// A message has come or gone.
  void gone(message& m) const {
    if (m.span.begin < 0) return;
    m.span.end = trace_->now();
    trace_->add(m.span);
    m.span.begin = -1;
  }

  context<Space>* where_;
  comm::communicator* ranks_;
  network<T, Space>* net_;
  std::shared_ptr<stages const> layout_;
  bool hybrid_;
  std::size_t held_;               // sends, at the most
  index_t window_;                 // tags of one direction of one edge
  std::vector<message> outgoing_;  // oldest first
  step_trace* trace_ = nullptr;    // for the time of a walk
};

}  // namespace pleat::parallel
