// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A sum whose bits do not depend on the number of ranks: over L global lanes, along one fixed binary tree.
///
/// The L lanes (a power of two) are dealt to the ranks in blocks: rank r holds block_range(L, size, r). A rank adds up,
/// by itself, the maximal aligned complete subtrees within its lanes (lane_roots) and passes one slot of n elements for
/// each. What is left of the tree is evaluated here, in the tree's own order, so ((l0 + l1) + (l2 + l3)) + … comes out
/// bit for bit whether one rank holds all lanes or L ranks hold one each.
///
/// Elements are dealt to the ranks too: each rank receives all foreign slots of its chunk, adds, and sends the sum to
/// all (2 (p-1)/p of the buffer per rank where every rank has one slot). Short buffers skip the second half: everybody
/// adds all. Where a rank wants a part of the sum only (sharded state), the second half is left out too, or goes among
/// those that want the same part.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/comm/detail/combine.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::comm {

/// A complete subtree of the lane tree: lanes [first, first + lanes), lanes a power of two that divides first.
struct lane_root {
  int first = 0, lanes = 0;
  friend constexpr bool operator==(lane_root const&, lane_root const&) = default;
};

/// At most 64 lanes.
inline constexpr int max_lanes = 64;

/// The roots of one rank, ascending. A value; allocates nothing.
class lane_root_list {
 public:
  [[nodiscard]] constexpr int size() const noexcept { return count_; }
  [[nodiscard]] constexpr lane_root const& operator[](int i) const noexcept {
    return roots_[static_cast<std::size_t>(i)];
  }
  [[nodiscard]] constexpr lane_root const* begin() const noexcept { return roots_.data(); }
  [[nodiscard]] constexpr lane_root const* end() const noexcept { return roots_.data() + count_; }
  constexpr void push_back(lane_root r) noexcept { roots_[static_cast<std::size_t>(count_++)] = r; }

 private:
  std::array<lane_root, 12> roots_{};  // a range within 64 lanes has at most 2 * log2(64) - 2
  int count_ = 0;
};

/// The maximal aligned complete subtrees whose lanes all lie in [range.begin, range.end).
PLEAT_LAZY [[nodiscard]] constexpr lane_root_list lane_roots(int lanes, index_range range) noexcept {
  lane_root_list list;
  auto at = static_cast<int>(range.begin);
  auto const end = static_cast<int>(range.end);
  while (at < end) {
    int n = at == 0 ? lanes : at & -at;
    while (at + n > end) n /= 2;
    list.push_back({at, n});
    at += n;
  }
  return list;
}

namespace detail {

/// Evaluates the tree over `roots` (all lanes, ascending), whose elements lie at `operands`, into `out`, which may be
/// one of the operands.
template <class T>
void evaluate_lane_tree(std::span<lane_root const> roots, T const* const* operands, index_t n, T* out) noexcept {
  if (roots.size() == 1) {
    copy_bytes(out, operands[0], n * static_cast<index_t>(sizeof(T)));
    return;
  }
  constexpr index_t block = 512;  // a path of the tree stays in the first-level cache
  constexpr std::size_t depth = 8;
  alignas(64) T scratch[depth][block];
  struct node {
    T const* data;
    int lanes;
  };
  for (index_t b = 0; b < n; b += block) {
    index_t const m = std::min(block, n - b);
    std::array<node, depth> stack;
    std::size_t top = 0;
    for (std::size_t i = 0; i < roots.size(); ++i) {
      stack[top++] = {operands[i] + b, roots[i].lanes};
      int end = roots[i].first + roots[i].lanes;  // a pair is complete where its right half ends on a multiple of both
      while (top > 1 && stack[top - 1].lanes == stack[top - 2].lanes && end % (2 * stack[top - 1].lanes) == 0) {
        bool const last = top == 2 && i + 1 == roots.size();
        T* const to = last ? out + b : scratch[top - 2];
        add_blocks(to, stack[top - 2].data, stack[top - 1].data, m);
        stack[top - 2] = {to, 2 * stack[top - 2].lanes};
        --top;
      }
    }
  }
}

}  // namespace detail

/// The non-blocking form: made once, started any number of times; after construction nothing is allocated by it.
/// A polled state machine: it moves on in progress() and wait() only.
///
/// T is float or double. All ranks construct and start their lane_requests of one communicator in the same order with
/// the same lanes, capacity and n. The communicator must outlive this, and may not be moved while it lives.
template <class T> class lane_request {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "pleat: lanes are sums of float or double");

 public:
  /// Elements of workspace that a rank needs for buffers of up to `capacity` elements.
  [[nodiscard]] static index_t workspace_size(int lanes, int size, int rank, index_t capacity) {
    index_t foreign = 0;
    for (int r = 0; r < size; ++r)
      if (r != rank) foreign += lane_roots(lanes, block_range(lanes, size, r)).size();
    return foreign * std::max(std::min(capacity, direct_limit), (capacity + size - 1) / size);
  }

  /// \param lanes a power of two, size() <= lanes <= 64
  /// \param capacity the largest n
  /// \throws error if lanes do not fit the ranks
  lane_request(communicator& c, int lanes, index_t capacity) : lane_request(c, lanes, capacity, std::span<T>{}) {
    own_.resize(static_cast<std::size_t>(workspace_size(lanes, c.size(), c.rank(), capacity)));
    workspace_ = own_;
  }
  /// With workspace of at least workspace_size() elements, which must stay.
  lane_request(communicator& c, int lanes, index_t capacity, std::span<T> workspace)
      : comm_(&c), lanes_(lanes), capacity_(capacity), workspace_(workspace) {
    int const p = c.size();
    if (lanes < 1 || lanes > max_lanes || !std::has_single_bit(static_cast<unsigned>(lanes)) || lanes < p)
      throw error{"comm::lane_request", std::to_string(lanes) + " lanes for " + std::to_string(p) + " ranks",
                  "The number of lanes is a power of two, at least the number of ranks and at most 64", c.rank()};
    first_.reserve(static_cast<std::size_t>(p) + 1);
    for (int r = 0; r < p; ++r) {
      first_.push_back(static_cast<int>(roots_.size()));
      for (auto const& root : lane_roots(lanes, block_range(lanes, p, r))) roots_.push_back(root);
    }
    first_.push_back(static_cast<int>(roots_.size()));
    operands_.resize(roots_.size());
    slots_.resize(static_cast<std::size_t>(roots()));
    auto const peers = static_cast<std::size_t>(p - 1);
    receives_.reserve(roots_.size() + peers);
    sends_.reserve(static_cast<std::size_t>(roots()) * peers + peers);
  }
  /// A reduce-scatter: rank r receives the sums of elements wants[r] only. Ranks that want the same range are replicas:
  /// each adds up a part of a long one and passes it to the others. n is the same in every start.
  /// \param wants one range per rank; any two are equal or disjoint, together they cover the n elements
  lane_request(communicator& c, int lanes, std::span<index_range const> wants)
      : lane_request(c, lanes, end_of(wants), std::span<T>{}) {
    int const p = c.size(), me = c.rank();
    if (static_cast<int>(wants.size()) != p)
      throw error{"comm::lane_request", std::to_string(wants.size()) + " ranges for " + std::to_string(p) + " ranks",
                  "Say for every rank which elements it wants", me};
    wants_.assign(wants.begin(), wants.end());
    chunks_ = wants_;
    for (int r = 0; r < p; ++r) {
      index_t twins = 0, before = 0;
      for (int q = 0; q < p; ++q)
        if (wants_[static_cast<std::size_t>(q)] == wants_[static_cast<std::size_t>(r)])
          ++twins, before += q < r ? 1 : 0;
      index_range const w = wants_[static_cast<std::size_t>(r)];
      if (twins == 1 || w.size() <= direct_limit) continue;
      index_range const part = block_range(w.size(), twins, before);
      chunks_[static_cast<std::size_t>(r)] = {w.begin + part.begin, w.begin + part.end};
    }
    // Of each rank by itself, as twins share it: ranges may be short for some and long for others.
    scatter_direct_ = chunks_[static_cast<std::size_t>(me)] == wants_[static_cast<std::size_t>(me)];
    index_t foreign = static_cast<index_t>(roots_.size()) - roots();
    own_.resize(static_cast<std::size_t>(foreign * chunks_[static_cast<std::size_t>(me)].size()));
    workspace_ = own_;
  }
  lane_request(lane_request&&) = default;
  lane_request& operator=(lane_request&&) = default;

  /// How many slots this rank passes: the roots of its lanes.
  [[nodiscard]] int roots() const noexcept { return last_of(comm_->rank()) - first_of(comm_->rank()); }
  [[nodiscard]] lane_root_list local_roots() const noexcept {
    return lane_roots(lanes_, block_range(lanes_, comm_->size(), comm_->rank()));
  }

  /// slots[i] holds the n sums of local_roots()[i]. `out` receives the n totals and may be slots[0]; in a
  /// reduce-scatter the totals of this rank's range, and it may be that range of slots[0]. Both stay untouched by the
  /// caller until the request is complete.
  void start(std::span<T const* const> slots, index_t n, T* out) {
    demand(
        static_cast<index_t>(slots.size()) == roots(),
        [&] {
          return std::to_string(slots.size()) + " slots were passed, this rank's lanes have " +
                 std::to_string(roots()) + " roots";
        },
        "Pass one slot for each of local_roots()");
    std::copy(slots.begin(), slots.end(), slots_.begin());
    begin(n, out);
  }
  /// Slot i at base + i * stride.
  void start(T const* base, index_t stride, index_t n, T* out) {
    for (int i = 0; i < roots(); ++i) slots_[static_cast<std::size_t>(i)] = base + i * stride;
    begin(n, out);
  }

  /// Moves on without waiting. \returns whether it is complete
  bool progress() {
    if (stage_ == stage::idle) return true;
    bool const received = test_all(as_span(receives_)), sent = test_all(as_span(sends_));
    return advance(received, sent);
  }

  /// Waits. \throws error if a rank did not come in time, or passed another n
  void wait() {
    while (stage_ != stage::idle) {
      if (stage_ == stage::share) {  // the peers' receives of the second half may still wait for this rank's first half
        wait_all(std::span(sends_).first(first_half()));
        post_receives_if_free();
        continue;
      }
      wait_all(as_span(receives_));
      bool const all_sent = stage_ == stage::collect || direct_;
      if (all_sent) wait_all(as_span(sends_));
      advance(true, all_sent);
    }
  }
  [[nodiscard]] bool done() const noexcept { return stage_ == stage::idle; }

 private:
  enum class stage { idle, exchange, share, collect };
  static constexpr index_t direct_limit = index_t{32768} / static_cast<index_t>(sizeof(T));

  template <class Text> void demand(bool holds, Text const& text, char const* remedy) const {
    if (!holds) throw error{"comm::lane_request::start", text(), remedy, comm_->rank()};
  }
  [[nodiscard]] int first_of(int r) const noexcept { return first_[static_cast<std::size_t>(r)]; }
  [[nodiscard]] int last_of(int r) const noexcept { return first_[static_cast<std::size_t>(r) + 1]; }
  [[nodiscard]] index_range chunk(int r) const noexcept {
    if (!chunks_.empty()) return chunks_[static_cast<std::size_t>(r)];
    return direct_ ? index_range{0, n_} : block_range(n_, comm_->size(), r);
  }
  [[nodiscard]] static index_t end_of(std::span<index_range const> wants) noexcept {
    index_t n = 0;
    for (auto const& w : wants) n = std::max(n, w.end);
    return n;
  }
  /// Whether rank r wants what this rank adds up.
  [[nodiscard]] bool twin(int r) const noexcept {
    return wants_.empty() || wants_[static_cast<std::size_t>(r)] == wants_[static_cast<std::size_t>(comm_->rank())];
  }
  /// Where the sum of element i goes.
  [[nodiscard]] T* total(index_t i) const noexcept {
    return out_ + (wants_.empty() ? i : i - wants_[static_cast<std::size_t>(comm_->rank())].begin);
  }
  static const_buffer reading(T const* p, index_t n) noexcept { return {p, n, dtype_of<T>}; }
  static buffer writing(T* p, index_t n) noexcept { return {p, n, dtype_of<T>}; }

  void begin(index_t n, T* out) {
    demand(
        stage_ == stage::idle, [] { return std::string("it is under way already"); },
        "Wait for it before it is started again");
    demand(
        n >= 0 && n <= capacity_,
        [&] { return "n is " + std::to_string(n) + ", the capacity is " + std::to_string(capacity_); },
        "Add up at most as many, or make the request for more");
    demand(
        n == 0 || (out && std::find(slots_.begin(), slots_.end(), nullptr) == slots_.end()),
        [] { return std::string("a slot or out is null"); }, "Allocate every slot and the output first");
    int const p = comm_->size(), me = comm_->rank();
    n_ = n;
    out_ = out;
    demand(
        wants_.empty() || n == capacity_,
        [&] { return "n is " + std::to_string(n) + ", the ranges cover " + std::to_string(capacity_); },
        "Add up all elements of the ranges at once");
    direct_ = wants_.empty() ? n <= direct_limit : scatter_direct_;
    index_t const needed = (static_cast<index_t>(roots_.size()) - roots()) * chunk(me).size();
    demand(
        needed <= static_cast<index_t>(workspace_.size()),
        [&] {
          return "the workspace has " + std::to_string(workspace_.size()) + " elements, " + std::to_string(needed) +
                 " are needed";
        },
        "Give it the elements that workspace_size() says");
    shared_ = 0;
    tag_ = comm_->library_tag();
    receives_.clear();
    sends_.clear();
    index_range const mine = chunk(me);
    T* free = workspace_.data();
    for (int r = 0; r < p; ++r)
      for (int i = first_of(r); i < last_of(r); ++i) {
        auto const k = static_cast<std::size_t>(i);
        if (r == me) {
          operands_[k] = slots_[static_cast<std::size_t>(i - first_of(me))] + mine.begin;
        } else {
          operands_[k] = free;
          if (!mine.empty())
            receives_.push_back(
                comm_->start({.kind = call_kind::receive, .out = writing(free, mine.size()), .root = r, .tag = tag_}));
          free += mine.size();
        }
      }
    for (int d = 1; d < p; ++d) {  // each rank begins with its neighbour, so that nobody is everybody's first
      int const r = (me + d) % p;
      index_range const theirs = chunk(r);
      if (theirs.empty()) continue;
      for (T const* slot : slots_)
        sends_.push_back(comm_->start(
            {.kind = call_kind::send, .in = reading(slot + theirs.begin, theirs.size()), .root = r, .tag = tag_}));
    }
    stage_ = stage::exchange;
  }

  bool advance(bool received, bool sent) {
    int const p = comm_->size(), me = comm_->rank();
    if (stage_ == stage::exchange && received &&
        (sent || !direct_)) {  // direct: out may be a slot that is still being sent
      index_range const mine = chunk(me);
      if (!mine.empty()) detail::evaluate_lane_tree<T>(roots_, operands_.data(), mine.size(), total(mine.begin));
      if (direct_) {
        stage_ = stage::idle;
        return true;
      }
      receives_.clear();
      stage_ = stage::share;
      sent = false;
      if (!mine.empty())
        for (int d = 1; d < p; ++d) {
          int const r = (me + d) % p;
          if (!twin(r)) continue;
          sends_.push_back(comm_->start(
              {.kind = call_kind::send, .in = reading(total(mine.begin), mine.size()), .root = r, .tag = tag_}));
          ++shared_;
        }
      post_receives_if_free();
      return false;
    }
    if (stage_ == stage::share) {
      post_receives_if_free();
      return false;
    }
    if (stage_ == stage::collect && received && sent) stage_ = stage::idle;
    return stage_ == stage::idle;
  }

  /// The other chunks of out may lie in slot 0, whose elements must have left first. Sends of the second half do not
  /// wait: they are the last ones of the list and read this rank's own chunk.
  void post_receives_if_free() {
    int const p = comm_->size(), me = comm_->rank();
    if (!test_all(std::span(sends_).first(first_half()))) return;
    for (int r = 0; r < p; ++r)
      if (index_range const theirs = chunk(r); r != me && twin(r) && !theirs.empty())
        receives_.push_back(comm_->start(
            {.kind = call_kind::receive, .out = writing(total(theirs.begin), theirs.size()), .root = r, .tag = tag_}));
    stage_ = stage::collect;
  }

  [[nodiscard]] std::size_t first_half() const noexcept { return sends_.size() - shared_; }

  communicator* comm_;
  int lanes_;
  index_t capacity_, n_ = 0;
  std::span<T> workspace_;
  std::vector<T> own_;
  std::vector<lane_root> roots_;    // of all ranks, ascending
  std::vector<int> first_;          // of each rank in roots_
  std::vector<T const*> operands_;  // of each root, this rank's chunk
  std::vector<T const*> slots_;     // of this rank's roots
  std::vector<request> receives_, sends_;
  stage stage_ = stage::idle;
  bool direct_ = false, scatter_direct_ = false;
  std::vector<index_range> wants_, chunks_;  // of a reduce-scatter; empty: everybody wants all
  std::size_t shared_ = 0;                   // sends of the second half
  T* out_ = nullptr;
  int tag_ = 0;
};

/// The blocking form, with workspace of lane_request<T>::workspace_size() elements at least (empty: allocated here).
template <class T>
void lane_all_reduce(communicator& c, int lanes, std::span<T const* const> slots, index_t n, T* out,
                     std::span<T> workspace = {}) {
  if (workspace.empty()) {
    lane_request<T> r(c, lanes, n);
    r.start(slots, n, out);
    r.wait();
  } else {
    lane_request<T> r(c, lanes, n, workspace);
    r.start(slots, n, out);
    r.wait();
  }
}
template <class T> void lane_all_reduce(communicator& c, int lanes, T const* base, index_t stride, index_t n, T* out) {
  lane_request<T> r(c, lanes, n);
  r.start(base, stride, n, out);
  r.wait();
}

}  // namespace pleat::comm
