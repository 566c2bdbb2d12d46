// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Forward only, through all stages of a pipeline: answers.
#pragma once

#include <array>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/units.hpp>
#include <pleat/parallel/stages.hpp>
#include <pleat/tensor/wire_memory.hpp>

namespace pleat::parallel {

/// Carries x through the stages in order; each rank runs its own. Batch after batch may follow: a rank that has passed
/// its stages on is free for the next one. A stage that fails hands on why, in the tensor's place: nobody computes
/// with what is not there, but where p.failure says that the walk goes on: with zeros.
/// \param x the samples on the first stage's rank, a tensor of the same shape elsewhere
/// \param everywhere every rank gets y; else the last stage's rank alone, and an empty tensor elsewhere
/// \throws error of a stage's layers: with `everywhere` on every rank alike; else on that stage's rank and on those
/// behind it. The ranks before
///         it are free by then: they hear of it where all of them meet (comm::attempts). So does everybody of a rank that alone has no room for
///         an answer that went everywhere, or expects one of another shape
template <class Net>
[[nodiscard]] nn::tensor_of<Net> forward_chain(nn::pass_of<Net> const& p, Net const& net, stages const& layout,
                                               comm::communicator& ranks, nn::tensor_of<Net> x, bool everywhere) {
  using T = nn::value_type_of<Net>;
  using Space = nn::space_of<Net>;
  using tensor_type = nn::tensor_of<Net>;
  constexpr int tag = comm::tags::answers;
  extents const input = x.shape();
  auto const shape_before = [&](index_t stage) { return nn::shape_units(net, input, 0, layout.begin(stage)); };
  std::string why;  // there is no answer
  // What comes is said before it comes: letters of a reason, or elements. A tensor for which there is no room, or that
  // should be another one, is taken from the wire all the same: its sender waits for that.
  using head = std::array<index_t, 2>;
  auto const take = [&](head const& h, auto&& shape, auto&& get) {
    std::optional<wire_memory<T, Space>> m;
    try {
      extents const expected = shape();
      if (expected.size() != h[1])
        throw error{"parallel::predict",
                    "a tensor of " + std::to_string(h[1]) + " elements comes where the layers' shape() says " +
                        expected.to_string(),
                    "Give every rank an x of the same shape"};
      x = tensor_type::allocate(*p.where, expected);
      m.emplace(*p.where, x, false);
    } catch (...) {
      why = comm::detail::words_of_failure("parallel::predict");
      std::vector<T> dropped(static_cast<std::size_t>(h[1]));
      if (h[1] > 0) get(std::span<T>(dropped));
      return;
    }
    if (h[1] > 0) get(m->span());
    m->arrived();
  };
  int const me = ranks.rank();
  for (index_t s = 0; s < layout.count(); ++s) {
    if (layout.rank_of(s) != me) continue;
    if (s > 0 && layout.rank_of(s - 1) != me) {
      int const from = layout.rank_of(s - 1);
      head h{};
      ranks.receive(std::span<index_t>(h), from, tag);
      if (h[0] > 0) {
        why.resize(static_cast<std::size_t>(h[0]));
        ranks.receive(why, from, tag);
      } else {
        take(
            h, [&] { return shape_before(s); }, [&](std::span<T> to) { ranks.receive(to, from, tag); });
      }
    }
    if (p.nonfinite) p.nonfinite->looked = layout.begin(s) << 20;  // the same number wherever the layer is
    // where parameters are gathered, ranks of other replicas wait for this one's pieces, whatever has become of its x
    if (why.empty() || p.failure) {
      try {
        extents out;
        comm::whole_or_broken_off(p.failure != nullptr, [&] {
          if (!why.empty()) x = nn::detail::zeros<T>(p, shape_before(s));
          out = nn::shape_units(net, x.shape(), layout.begin(s), layout.end(s));
          typename Net::saved saved;
          x = nn::redistribute(p, nn::forward_units(p, net, layout.begin(s), layout.end(s), std::move(x), saved), {});
        });
        if (x.shape() != out)
          throw error{"parallel::predict",
                      "the output of stage " + std::to_string(s) + " has shape " + x.shape().to_string() +
                          ", the layers' shape() says " + out.to_string(),
                      "Make a layer's shape() say what its forward gives"};
        // one stage has to say so, not all behind it
        if (p.nonfinite && p.nonfinite->at >= 0) compute::fill(p.space(), x.size(), T(0), x.data());
        if (p.failure && p.failure->first) std::rethrow_exception(p.failure->first);
      } catch (comm::broken_off const&) {
        throw;
      } catch (...) {
        if (why.empty()) why = comm::detail::words_of_failure("parallel::predict");
      }
    }
    if (s + 1 < layout.count() && layout.rank_of(s + 1) != me) {
      int const to = layout.rank_of(s + 1);
      head const h{static_cast<index_t>(why.size()), x.size()};
      ranks.send(std::span<index_t const>(h), to, tag);
      if (h[0] > 0) ranks.send(why, to, tag);
      else if (x.size() > 0) ranks.send(std::span<T const>(wire_memory<T, Space>(*p.where, x, true).span()), to, tag);
    }
  }
  bool const last = layout.last_rank() == me;
  if (everywhere) {
    head h{static_cast<index_t>(why.size()), x.size()};
    ranks.broadcast(std::span<index_t>(h), layout.last_rank());
    if (h[0] > 0) {
      why.resize(static_cast<std::size_t>(h[0]));
      ranks.broadcast(why, layout.last_rank());
    } else if (last) {
      if (h[1] > 0) ranks.broadcast(wire_memory<T, Space>(*p.where, x, true).span(), layout.last_rank());
    } else {
      take(
          h, [&] { return nn::shape_units(net, input, 0, layout.units()); },
          [&](std::span<T> to) { ranks.broadcast(to, layout.last_rank()); });
    }
  } else if (!last) {
    x = {};
  }
  if (!why.empty()) throw error{comm::detail::error_of_words(why)};
  return x;
}

}  // namespace pleat::parallel
