// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Attention on any Kokkos space: a team per row, one row of weights in scratch memory. The chains are those of the
/// host's path, hence the same bits; also its oracle.
#pragma once

#include <Kokkos_Core.hpp>

#include <pleat/compute/attention_shape.hpp>
#include <pleat/compute/reduce.hpp>

namespace pleat::compute::detail {

/// Addresses of the parts of a packed tensor.
template <class T> struct packed_heads {
  attention_shape s;
  T* data;
  [[nodiscard]] PLEAT_INLINE T* group(index_t batch, index_t g) const {
    return data + batch * s.positions * s.width() + g * (s.group_heads + 2) * s.head_size;
  }
  [[nodiscard]] PLEAT_INLINE T* query(index_t batch, index_t g, index_t h) const {
    return group(batch, g) + h * s.head_size;
  }
  [[nodiscard]] PLEAT_INLINE T* key(index_t batch, index_t g) const { return query(batch, g, s.group_heads); }
  [[nodiscard]] PLEAT_INLINE T* value(index_t batch, index_t g) const { return query(batch, g, s.group_heads + 1); }
};

/// a·b over n elements, one chain.
template <class Row> PLEAT_INLINE auto chain_dot(Row a, Row b, index_t n) {
  using W = std::remove_cvref_t<decltype(a[0])>;
  W sum = W(0);
  for (index_t i = 0; i < n; ++i) sum = fma(a[i], b[i], sum);
  return sum;
}

/// out and logsum of one query row per team.
template <class T> struct attention_forward_team {
  using W = wide_t<T>;
  attention_shape s;
  W scale;
  T const* qkv;
  T* out;
  W* logsum;
  int level = 0;  // of the scratch memory

  template <class Member> KOKKOS_FUNCTION void operator()(Member const& team) const {
    index_t const i = team.league_rank() % s.positions, bh = team.league_rank() / s.positions;
    index_t const batch = bh / s.heads(), head = bh % s.heads(), g = head / s.group_heads;
    packed_heads<T const> const in{s, qkv};
    index_t const width = s.width(), n = s.causal ? i + 1 : s.positions;
    source_t<T> const q = in.query(batch, g, head % s.group_heads) + i * width;
    source_t<T> const k = in.key(batch, g);
    source_t<T> const v = in.value(batch, g);
    W* const p = static_cast<W*>(
        team.team_scratch(level).get_shmem(static_cast<int>(sizeof(W)) * static_cast<int>(s.positions + chains)));
    W* const sums = p + s.positions;
    for (index_t j = team.team_rank(); j < n; j += team.team_size()) p[j] = chain_dot(q, k + j * width, s.head_size);
    team.team_barrier();
    for (int c = team.team_rank(); c < chains; c += team.team_size()) {
      W most = -static_cast<W>(__builtin_inff());
      for (index_t j = c; j < n; j += chains) most = p[j] > most ? p[j] : most;
      sums[c] = most;
    }
    team.team_barrier();
    W most = sums[0];
    for (int c = 1; c < chains; ++c) most = sums[c] > most ? sums[c] : most;
    W const shift = most * scale;
    team.team_barrier();
    for (int c = team.team_rank(); c < chains; c += team.team_size()) {
      W sum = W(0);
      for (index_t j = c; j < n; j += chains) {
        W const e = math::exp(fma(p[j], scale, -shift));
        p[j] = e;
        sum = sum + e;
      }
      sums[c] = sum;
    }
    team.team_barrier();
    W fold[chains];
    for (int c = 0; c < chains; ++c) fold[c] = sums[c];
    fold_halves<plus>(fold, chains);
    W const inverse = W(1) / fold[0];
    target_t<T> const to = out + ((batch * s.positions + i) * s.heads() + head) * s.head_size;
    for (index_t d = team.team_rank(); d < s.head_size; d += team.team_size()) {
      W sum = W(0);
      for (index_t j = 0; j < n; ++j) sum = fma(p[j], v[j * width + d], sum);
      to[d] = sum * inverse;
    }
    if (team.team_rank() == 0) logsum[bh * s.positions + i] = shift + math::log(fold[0]);
  }
};

/// delta = Σ over a head's elements of dout·out, one per query.
template <class T> struct attention_delta_body {
  attention_shape s;
  source_t<T> out;
  source_t<T> dout;
  wide_t<T>* delta;
  PLEAT_INLINE void operator()(index_t row) const {
    index_t const i = row % s.positions, bh = row / s.positions;
    index_t const at = ((bh / s.heads() * s.positions + i) * s.heads() + bh % s.heads()) * s.head_size;
    delta[row] = reduce_one_chunk(dot_op<T, wide_t<T>>{{out}, dout}, at, at + s.head_size);
  }
};

/// The weight p of a pair and the gradient of its score.
template <class T> PLEAT_INLINE T attention_weight(T score, T scale, T logsum) {
  return math::exp(fma(score, scale, -logsum));
}
template <class T> PLEAT_INLINE T attention_slope(T weight, T dweight, T delta, T scale) {
  return weight * (dweight - delta) * scale;
}

/// dq of one query row per team.
template <class T> struct attention_query_team {
  using W = wide_t<T>;
  attention_shape s;
  W scale;
  T const* qkv;
  W const* logsum;
  W const* delta;
  T const* dout;
  T* dqkv;
  int level = 0;  // of the scratch memory

  template <class Member> KOKKOS_FUNCTION void operator()(Member const& team) const {
    index_t const i = team.league_rank() % s.positions, bh = team.league_rank() / s.positions;
    index_t const batch = bh / s.heads(), head = bh % s.heads(), g = head / s.group_heads;
    packed_heads<T const> const in{s, qkv};
    index_t const width = s.width(), n = s.causal ? i + 1 : s.positions, row = bh * s.positions + i;
    source_t<T> const q = in.query(batch, g, head % s.group_heads) + i * width;
    source_t<T> const k = in.key(batch, g);
    source_t<T> const v = in.value(batch, g);
    source_t<T> const d_out = dout + ((batch * s.positions + i) * s.heads() + head) * s.head_size;
    W* const slope = static_cast<W*>(
        team.team_scratch(level).get_shmem(static_cast<int>(sizeof(W)) * static_cast<int>(s.positions)));
    for (index_t j = team.team_rank(); j < n; j += team.team_size())
      slope[j] = attention_slope(attention_weight(chain_dot(q, k + j * width, s.head_size), scale, logsum[row]),
                                 chain_dot(d_out, v + j * width, s.head_size), delta[row], scale);
    team.team_barrier();
    target_t<T> const to = packed_heads<T>{s, dqkv}.query(batch, g, head % s.group_heads) + i * width;
    for (index_t d = team.team_rank(); d < s.head_size; d += team.team_size()) {
      W sum = W(0);
      for (index_t j = 0; j < n; ++j) sum = fma(slope[j], k[j * width + d], sum);
      to[d] = sum;
    }
  }
};

/// dk and dv of one position of a group per team: over the group's heads, then over the queries, ascending.
template <class T> struct attention_key_team {
  using W = wide_t<T>;
  attention_shape s;
  W scale;
  T const* qkv;
  W const* logsum;
  W const* delta;
  T const* dout;
  T* dqkv;
  int level = 0;  // of the scratch memory

  template <class Member> KOKKOS_FUNCTION void operator()(Member const& team) const {
    index_t const j = team.league_rank() % s.positions, bg = team.league_rank() / s.positions;
    index_t const batch = bg / s.groups, g = bg % s.groups;
    packed_heads<T const> const in{s, qkv};
    packed_heads<T> const d_in{s, dqkv};
    index_t const width = s.width(), out_width = s.out_width(), first = s.causal ? j : 0;
    source_t<T> const k = in.key(batch, g) + j * width;
    source_t<T> const v = in.value(batch, g) + j * width;
    target_t<T> const dk = d_in.key(batch, g) + j * width;
    target_t<T> const dv = d_in.value(batch, g) + j * width;
    W* const weight = static_cast<W*>(team.team_scratch(level).get_shmem(2 * static_cast<int>(sizeof(W)) *
                                                                         static_cast<int>(s.positions + s.head_size)));
    W* const slope = weight + s.positions;
    W* const of_k = slope + s.positions;  // sums over the heads so far
    W* const of_v = of_k + s.head_size;
    for (index_t h = 0; h < s.group_heads; ++h) {
      index_t const head = g * s.group_heads + h, row = (batch * s.heads() + head) * s.positions;
      source_t<T> const q = in.query(batch, g, h);
      source_t<T> const d_out = dout + (batch * s.positions * s.heads() + head) * s.head_size;
      team.team_barrier();
      for (index_t i = first + team.team_rank(); i < s.positions; i += team.team_size()) {
        weight[i] = attention_weight(chain_dot(q + i * width, k, s.head_size), scale, logsum[row + i]);
        slope[i] = attention_slope(weight[i], chain_dot(d_out + i * out_width, v, s.head_size), delta[row + i], scale);
      }
      team.team_barrier();
      for (index_t d = team.team_rank(); d < s.head_size; d += team.team_size()) {
        W sum_k = h == 0 ? W(0) : of_k[d], sum_v = h == 0 ? W(0) : of_v[d];
        for (index_t i = first; i < s.positions; ++i) {
          sum_k = fma(slope[i], q[i * width + d], sum_k);
          sum_v = fma(weight[i], d_out[i * out_width + d], sum_v);
        }
        of_k[d] = sum_k;
        of_v[d] = sum_v;
        if (h + 1 < s.group_heads) continue;
        dk[d] = sum_k;
        dv[d] = sum_v;
      }
    }
  }
};

/// Launches a team functor over `league` rows with `numbers` numbers of scratch memory each.
template <class Space, class T, class Functor>
void attention_launch(Space const& space, index_t league, index_t numbers, Functor f) {
  using policy = Kokkos::TeamPolicy<Space, Kokkos::IndexType<int>>;
  if (league == 0) return;
  int const team = is_host_space_v<Space> ? 1 : 64;
  policy p(space, static_cast<int>(league), team);
  int const bytes = static_cast<int>(static_cast<index_t>(sizeof(wide_t<T>)) * numbers) + 64;
  // Rows too long for a processor's own memory lie in the device's.
  f.level = bytes <= 40960 ? 0 : 1;
  p.set_scratch_size(f.level, Kokkos::PerTeam(bytes));
  Kokkos::parallel_for("pleat attend", p, f);
}

/// The path for any space.
template <class Space, class T>
void attention_forward_on_space(Space const& space, attention_shape const& s, wide_t<T> scale, T const* qkv, T* out,
                                wide_t<T>* logsum) {
  attention_launch<Space, T>(space, s.batch * s.heads() * s.positions, s.positions + chains,
                             attention_forward_team<T>{s, scale, qkv, out, logsum});
}
template <class Space, class T>
void attention_backward_on_space(Space const& space, attention_shape const& s, wide_t<T> scale, T const* qkv,
                                 T const* out, wide_t<T> const* logsum, T const* dout, wide_t<T>* delta, T* dqkv) {
  index_t const rows = s.batch * s.heads() * s.positions;
  loop_portable(space, rows, attention_delta_body<T>{s, out, dout, delta});
  attention_launch<Space, T>(space, rows, s.positions,
                             attention_query_team<T>{s, scale, qkv, logsum, delta, dout, dqkv});
  attention_launch<Space, T>(space, s.batch * s.groups * s.positions, 2 * (s.positions + s.head_size),
                             attention_key_team<T>{s, scale, qkv, logsum, delta, dout, dqkv});
}

}  // namespace pleat::compute::detail
