// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Carries a redistribution out: a tensor from one placement to another over the communicators of a mesh.
#pragma once

#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/context.hpp>
#include <pleat/comm/grid.hpp>
#include <pleat/compute/copy_box.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/tensor/redistribution.hpp>
#include <pleat/tensor/tensor.hpp>
#include <pleat/tensor/wire_memory.hpp>

namespace pleat::parallel {

namespace detail {
/// True if the box is one stretch of a row-major tensor that holds `whole`; `at` is then where it begins.
[[nodiscard]] inline bool one_stretch(index_box const& part, index_box const& whole, index_t& at) {
  bool started = false;
  at = 0;
  for (int d = 0; d < part.rank(); ++d) {
    if (started && !(part[d] == whole[d])) return false;
    started = started || part[d].size() != 1;
    at = at * whole[d].size() + part[d].begin - whole[d].begin;
  }
  return true;
}
}  // namespace detail

/// What one rank does for one redistribution, prepared once and run once per step of training.
///
/// Construction needs no message. Running is collective in the groups that the plan names; ranks outside of them need
/// not come. Boxes that are one stretch of memory travel in place; others are packed. Memory comes from the context's
/// pool: from the second run on nothing is allocated. Tensors on a device go through a copy on the host, as gradients
/// do (see gradient_exchange). Where one rank adds what several sent, it adds in the order of the group: the same bits
/// in every run.
template <class T, class Space> class redistribute {
 public:
  /// \param where of the tensors; must outlive this
  /// \param ranks the plan's mesh; must outlive this
  /// \throws error if the plan is for another mesh, or for elements of another size
  redistribute(context<Space>& where, comm::grid& ranks, redistribution plan)
      : where_(&where), ranks_(&ranks), plan_(std::move(plan)) {
    if (!(plan_.from().mesh() == ranks.mesh()))
      throw error{"parallel::redistribute",
                  "the plan is for the mesh '" + plan_.from().mesh().to_string() + "', the ranks form '" +
                      ranks.mesh().to_string() + "'",
                  "Plan for the mesh that the grid was made of", ranks.rank()};
    if (plan_.element_bytes() != static_cast<index_t>(sizeof(T)))
      throw error{"parallel::redistribute",
                  "the plan is for elements of " + std::to_string(plan_.element_bytes()) + " bytes, these have " +
                      std::to_string(sizeof(T)),
                  "Plan with element_bytes = " + std::to_string(sizeof(T)), ranks.rank()};
    for (auto const& s : plan_.steps()) stages_.push_back(prepare(s));
  }
  /// Plans and prepares: from a layout to a placement on the same mesh.
  redistribute(context<Space>& where, comm::grid& ranks, layout const& from, placement const& to)
      : redistribute(where, ranks, redistribution(from, to, sizeof(T))) {}

  [[nodiscard]] redistribution const& plan() const noexcept { return plan_; }

  /// This rank's part under the new placement, from its part under the old one (a contiguous tensor of the local
  /// extents). The result may share x's memory where nothing has to move; a tensor that is moved in and held by nobody
  /// else is reduced in place.
  /// \throws error if x has other extents than the plan's layout gives this rank
  [[nodiscard]] tensor<T, Space> operator()(tensor<T, Space> x) {
    extents const expected = plan_.from().local(ranks_->rank());
    if (!(x.shape() == expected))
      throw error{"parallel::redistribute",
                  "the tensor has extents " + x.shape().to_string() + ", rank " + std::to_string(ranks_->rank()) +
                      "'s part of " + plan_.from().to_string() + " has " + expected.to_string(),
                  "Hand over the part that layout::local says", ranks_->rank()};
    for (auto& s : stages_) x = run(s, x);
    return x;
  }

 private:
  using block = tensor<T, Space>;

  /// A box in a buffer that is sent or received.
  struct piece {
    index_box box;
    index_t at = 0;
    int position = 0;  ///< in the group
  };
  struct stage {
    movement kind = movement::local;
    comm::communicator* group = nullptr;
    index_box before, after;
    bool takes_part = true, sums = false, zeros = false;
    bool same = false;      ///< the old memory is the new one
    bool in_place = false;  ///< the pieces, one after the other, are the tensor
    bool even = false;      ///< every member's piece has the same size
    index_t stretch = -1;   ///< local: the new box is one stretch of the old memory, from here on
    std::vector<piece> out, in;
    index_box own;  ///< what stays on this rank; may be empty
    int own_position = -1;
    index_t sent = 0, received = 0;  ///< elements of the packed buffers
    std::vector<index_t> out_counts, in_counts;
  };

  [[nodiscard]] stage prepare(redistribution_step const& s) {
    int const rank = ranks_->rank();
    pleat::mesh const& m = ranks_->mesh();
    stage g;
    g.kind = s.kind();
    g.group = &ranks_->along(s.group());
    g.before = s.from().box(rank);
    g.after = s.to().box(rank);
    g.takes_part = s.takes_part(rank);
    g.sums = s.sums();
    g.zeros = s.zeros();
    int const members = m.group_size(s.group());
    auto const group = m.group(rank, s.group());
    auto const gather = [&](std::vector<piece>& list, std::vector<index_t>& counts, index_t& total, layout const& l,
                            index_box const& whole) {
      g.in_place = g.even = true;
      for (int k = 0; k < members; ++k) {
        piece p{l.box(group[k]), total, k};
        index_t at = 0;
        index_t const n = p.box.size();
        g.in_place = g.in_place && (n == 0 || (detail::one_stretch(p.box, whole, at) && at == total));
        g.even = g.even && (k == 0 || n == counts[0]);
        counts.push_back(n);
        total += n;
        if (n > 0) list.push_back(p);
      }
      g.in_place = g.in_place && total == whole.size();
    };
    switch (g.kind) {
      case movement::local: {
        g.own = g.takes_part ? intersect(g.before, g.after) : index_box();
        g.same = g.takes_part && g.before == g.after;
        index_t at = 0;
        if (g.takes_part && g.own == g.after && !g.after.empty() && detail::one_stretch(g.after, g.before, at))
          g.stretch = at;
        break;
      }
      case movement::all_gather:
        gather(g.in, g.in_counts, g.received, s.from(), g.after);
        break;
      case movement::reduce_scatter:
        gather(g.out, g.out_counts, g.sent, s.to(), g.before);
        break;
      case movement::all_reduce:
        break;
      case movement::all_to_all: {
        g.out_counts.assign(static_cast<std::size_t>(members), 0);
        g.in_counts = g.out_counts;
        auto const add = [&](std::vector<piece>& list, std::vector<index_t>& counts, index_t& total, int other,
                             index_box const& b) {
          int const k = m.position(other, s.group());
          if (other == rank) {
            g.own = b;
            g.own_position = k;
            return;
          }
          list.push_back({b, total, k});
          counts[static_cast<std::size_t>(k)] = b.size();
          total += b.size();
        };
        s.for_each_target(rank, [&](int other, index_box const& b) { add(g.out, g.out_counts, g.sent, other, b); });
        s.for_each_source(rank, [&](int other, index_box const& b) { add(g.in, g.in_counts, g.received, other, b); });
        break;
      }
    }
    return g;
  }

  [[nodiscard]] block run(stage const& s, block& x) {
    if (s.same) return x;
    if (s.stretch >= 0)  // a slice of rows: the same memory
      return x.reshape({x.size()}).rows(s.stretch, s.stretch + s.after.size()).reshape(s.after.shape());
    if (s.kind == movement::all_reduce && x.sole_owner()) return reduce(s, x, x);
    block y = block::allocate(*where_, s.after.shape());
    Space const& space = where_->space();
    if (!s.takes_part) {
      compute::fill(space, y.size(), T(0), y.data());
      return y;
    }
    switch (s.kind) {
      case movement::local: {
        if (!(s.own == s.after)) compute::fill(space, y.size(), T(0), y.data());
        copy(s.own, s.before, x.data(), s.after, y.data());
        break;
      }
      case movement::all_reduce:
        return reduce(s, x, y);
      case movement::all_gather: {
        block const all = s.in_place ? y : block::allocate(*where_, {s.received});
        wire_memory<T, Space> const in(*where_, x, true);
        wire_memory<T, Space> const out(*where_, all, false);
        if (s.even) s.group->all_gather(in.span(), out.span());
        else s.group->all_gather_v(in.span(), out.span(), {s.in_counts, {}});
        out.arrived();
        if (s.in_place) break;
        if (s.zeros) compute::fill(space, y.size(), T(0), y.data());
        for (auto const& p : s.in) copy(p.box, p.box, all.data() + p.at, s.after, y.data());
        break;
      }
      case movement::reduce_scatter: {
        block const all = s.in_place ? x : block::allocate(*where_, {s.sent});
        if (!s.in_place)
          for (auto const& p : s.out) copy(p.box, s.before, x.data(), p.box, all.data() + p.at);
        wire_memory<T, Space> const in(*where_, all, true);
        wire_memory<T, Space> const out(*where_, y, false);
        if (s.even) s.group->reduce_scatter(in.span(), out.span(), comm::reduction::sum);
        else s.group->reduce_scatter_v(in.span(), out.span(), s.out_counts, comm::reduction::sum);
        out.arrived();
        break;
      }
      case movement::all_to_all: {
        block const packed = block::allocate(*where_, {s.sent}), got = block::allocate(*where_, {s.received});
        for (auto const& p : s.out) copy(p.box, s.before, x.data(), p.box, packed.data() + p.at);
        wire_memory<T, Space> const in(*where_, packed, true);
        wire_memory<T, Space> const out(*where_, got, false);
        s.group->all_to_all_v(in.span(), {s.out_counts, {}}, out.span(), {s.in_counts, {}});
        out.arrived();
        if (s.zeros || s.sums) compute::fill(space, y.size(), T(0), y.data());
        bool own = s.own_position < 0;
        auto const put = [&](index_box const& b, index_box const& from, T const* data) {
          if (s.sums) compute::add_box(space, b, from, data, s.after, y.data());
          else copy(b, from, data, s.after, y.data());
        };
        for (auto const& p : s.in) {
          if (!own && p.position > s.own_position) put(s.own, s.before, x.data()), own = true;
          put(p.box, p.box, got.data() + p.at);
        }
        if (!own) put(s.own, s.before, x.data());
        break;
      }
    }
    return y;
  }

  [[nodiscard]] block reduce(stage const& s, block const& x, block const& y) {
    wire_memory<T, Space> const in(*where_, x, true);
    wire_memory<T, Space> const out(*where_, y, false);
    s.group->all_reduce(in.span(), out.span(), comm::reduction::sum);
    out.arrived();
    return y;
  }

  void copy(index_box const& part, index_box const& from, T const* x, index_box const& to, T* y) const {
    compute::copy_box(where_->space(), part, from, x, to, y);
  }

  context<Space>* where_;
  comm::grid* ranks_;
  redistribution plan_;
  std::vector<stage> stages_;
};

}  // namespace pleat::parallel
