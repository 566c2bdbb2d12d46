// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What one stage does with one micro-batch: forward, backward in one piece or two, with or without computing
/// activations again.
#pragma once

#include <utility>

#include <pleat/base/pooled_array.hpp>
#include <pleat/nn/units.hpp>
#include <pleat/plan/plan.hpp>

namespace pleat::parallel {

/// Units [begin, end) at work on one micro-batch. Between forward and backward it holds what backward needs: of each
/// unit, as is chosen for it, all that its layers save; that without what is cheap to compute again (nn::sequential);
/// or its input only. In the last two cases forward, or the cheap part of it, runs again just before the unit's
/// backward; with a backward in two halves, what is saved the second time lives until the weight half.
template <class Net> class stage_work {
 public:
  using tensor_type = nn::tensor_of<Net>;
  using pass_type = nn::pass_of<Net>;
  using mode = plan::recompute_mode;

  /// \param choice must outlive what is held
  [[nodiscard]] tensor_type forward(pass_type p, Net const& net, index_t begin, index_t end,
                                    plan::recompute_choice const& choice, tensor_type x) {
    modes_ = &choice;
    for (index_t u = begin; u < end;) {
      mode const m = choice.of(u);
      if (m == mode::full) {
        if (inputs_.empty())
          inputs_ = pooled_array<tensor_type>(p.where->host_pool(), static_cast<std::size_t>(end - begin));
        inputs_[static_cast<std::size_t>(u - begin)] = x;
        p.recompute = false;
        saved_type dropped;
        x = nn::forward_units(p, net, u, u + 1, std::move(x), dropped);
        ++u;
        continue;
      }
      index_t stop = u + 1;
      while (stop < end && choice.of(stop) == m) ++stop;
      p.recompute = m == mode::selected;
      x = nn::forward_units(p, net, u, stop, std::move(x), saved_);
      u = stop;
    }
    return x;
  }

  /// Both halves. \param p input_gradient says whether somebody wants dx
  [[nodiscard]] tensor_type backward(pass_type const& p, Net& net, index_t begin, index_t end, tensor_type dy) {
    dy = walk(p, net, begin, end, std::move(dy), true);
    drop();
    return dy;
  }
  /// The half that the stage before waits for.
  [[nodiscard]] tensor_type backward_input(pass_type const& p, Net& net, index_t begin, index_t end, tensor_type dy) {
    return walk(p, net, begin, end, std::move(dy), false);
  }
  /// The half that nobody waits for.
  void backward_weight(pass_type const& p, Net& net, index_t begin, index_t end) {
    if (inputs_.empty()) {
      nn::backward_weight_units(p, net, begin, end, saved_);
    } else {
      index_t const stop = last_needed(p, net, begin, end);
      for (index_t u = end; u-- > stop;) nn::backward_weight_units(inner(p, u, stop), net, u, u + 1, saved_);
    }
    drop();
  }
  void drop() {
    saved_ = {};
    inputs_.clear();
  }

 private:
  using saved_type = nn::saved_of<Net>;

  /// The lowest unit that backward must reach.
  [[nodiscard]] static index_t last_needed(pass_type const& p, Net const& net, index_t begin, index_t end) {
    index_t u = begin;
    if (!p.input_gradient)
      while (u < end && !nn::learns_units(net, u, u + 1)) ++u;
    return u;
  }
  [[nodiscard]] static pass_type inner(pass_type p, index_t u, index_t stop) {
    p.input_gradient = p.input_gradient || u > stop;
    return p;
  }

  /// \param both halves, or the one that the stage before waits for
  [[nodiscard]] tensor_type walk(pass_type const& p, Net& net, index_t begin, index_t end, tensor_type dy, bool both) {
    auto const back = [&](pass_type const& q, index_t first, index_t last, saved_type& s, tensor_type d) {
      return both ? nn::backward_units(q, net, first, last, s, std::move(d))
                  : nn::backward_input_units(q, net, first, last, s, std::move(d));
    };
    if (inputs_.empty()) return back(p, begin, end, saved_, std::move(dy));
    index_t const stop = last_needed(p, net, begin, end);
    for (index_t u = end; u-- > stop;) {
      auto const q = inner(p, u, stop);
      saved_type fresh;  // gone at once where no half follows
      bool const again = modes_->of(u) == mode::full;
      auto& s = again && both ? fresh : saved_;
      if (again)
        (void)nn::forward_units(q, std::as_const(net), u, u + 1,
                                std::move(inputs_[static_cast<std::size_t>(u - begin)]), s);
      dy = back(q, u, u + 1, s, std::move(dy));
    }
    for (index_t u = begin; u < stop; ++u) inputs_[static_cast<std::size_t>(u - begin)] = {};
    return stop > begin ? tensor_type{} : dy;
  }

  saved_type saved_;
  pooled_array<tensor_type> inputs_;  // of the units whose forward runs again as a whole
  plan::recompute_choice const* modes_ = nullptr;
};

}  // namespace pleat::parallel
