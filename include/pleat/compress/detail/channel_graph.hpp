// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Which dimensions of which parameters belong together: a channel that goes takes its row of the weight that makes it,
/// its bias, its norm and its column of every weight that reads it along, through residuals, branches and flattening.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/nn/layer.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compress::detail {

/// Consecutive features of an activation that are the units of one group, in their order.
struct channel_piece {
  int group = 0;
  index_t length = 0;  ///< features: units × features per unit
};
/// The features of an activation.
using channel_flow = std::vector<channel_piece>;

/// Indices [begin, begin + length) along a dimension of a parameter are the units of a group, each the same number of
/// neighbours.
struct channel_member {
  std::string parameter;
  int dim = 0;
  index_t begin = 0, length = 0;
};
/// Units that live and go together.
struct channel_group {
  index_t units = 0;
  bool fixed = false;  ///< somebody outside sees it
  std::vector<channel_member> members;
};

class channel_graph {
 public:
  /// n features that nobody has seen before.
  [[nodiscard]] channel_flow fresh(index_t n, bool fixed = false) {
    groups_.push_back({n, fixed, {}});
    parent_.push_back(static_cast<int>(groups_.size()) - 1);
    return {{parent_.back(), n}};
  }
  void fix(channel_flow const& x) {
    for (auto const& p : x) at(p).fixed = true;
  }
  /// Features that are added to each other live and go together.
  void unite(channel_flow const& a, channel_flow const& b) {
    bool alike = a.size() == b.size();
    for (std::size_t i = 0; alike && i < a.size(); ++i) alike = a[i].length == b[i].length;
    for (std::size_t i = 0; alike && i < a.size(); ++i)
      alike = at(a[i]).units % at(b[i]).units == 0 || at(b[i]).units % at(a[i]).units == 0;
    if (!alike) {
      fix(a);
      fix(b);
      return;
    }
    for (std::size_t i = 0; i < a.size(); ++i) {
      int const to = root(a[i].group), from = root(b[i].group);
      if (to == from) continue;
      auto &keep = groups_[static_cast<std::size_t>(to)], &gone = groups_[static_cast<std::size_t>(from)];
      keep.units = std::min(keep.units, gone.units);
      keep.fixed = keep.fixed || gone.fixed;
      keep.members.insert(keep.members.end(), gone.members.begin(), gone.members.end());
      gone.members.clear();
      parent_[static_cast<std::size_t>(from)] = to;
    }
  }
  /// x's features go `width` at a time only. \returns whether that is possible
  bool coarsen(channel_flow const& x, index_t width) {
    bool const fits = x.size() == 1 && x[0].length % width == 0 && at(x[0]).units % (x[0].length / width) == 0;
    if (fits) at(x[0]).units = x[0].length / width;
    else fix(x);
    return fits;
  }
  /// Dimension `dim` of a parameter has x's features.
  void enter(nn::parameter const& w, int dim, channel_flow const& x) {
    index_t begin = 0;
    for (auto const& p : x) {
      at(p).members.push_back({w.name, dim, begin, p.length});
      begin += p.length;
    }
    entered_.push_back({w.name, w.tied_to, dim, x});
    if (begin != w.whole()[dim]) fix(x);
  }
  /// A tied parameter has its owner's dimensions. To be called when all are entered.
  void tie() {
    for (auto const& t : entered_) {
      if (t.tied_to.empty()) continue;
      bool found = false;
      for (auto const& o : entered_)
        if (o.name == t.tied_to && o.dim == t.dim) unite(o.flow, t.flow), found = true;
      if (!found) fix(t.flow);
    }
  }
  /// The groups, in the order in which the network makes them; of one whose units are not in its members' dimensions
  /// nothing can go.
  [[nodiscard]] std::vector<channel_group> groups() const {
    std::vector<channel_group> out;
    for (std::size_t i = 0; i < groups_.size(); ++i)
      if (parent_[i] == static_cast<int>(i) && !groups_[i].members.empty()) out.push_back(groups_[i]);
    return out;
  }

 private:
  struct entry {
    std::string name, tied_to;
    int dim;
    channel_flow flow;
  };
  [[nodiscard]] int root(int g) const {
    while (parent_[static_cast<std::size_t>(g)] != g) g = parent_[static_cast<std::size_t>(g)];
    return g;
  }
  [[nodiscard]] channel_group& at(channel_piece const& p) { return groups_[static_cast<std::size_t>(root(p.group))]; }

  std::vector<channel_group> groups_;
  std::vector<int> parent_;
  std::vector<entry> entered_;
};

/// Features of an activation of this shape: [m, features], [m, positions, features], [m, channels, h, w].
[[nodiscard]] inline index_t features_of(extents const& e) noexcept {
  return e.rank() < 2 ? 1 : e.rank() == 3 ? e[2] : e[1];
}

template <class L> [[nodiscard]] constexpr std::string_view kind_of() noexcept {
  if constexpr (requires { std::string_view(L::kind); }) return L::kind;
  else return {};
}
/// What changes no channel and mixes none: known ones, and those that say `static constexpr bool keeps_channels =
/// true`.
template <class L> [[nodiscard]] consteval bool passes_channels() {
  if constexpr (requires {
                  { L::keeps_channels } -> std::convertible_to<bool>;
                })
    return L::keeps_channels;
  constexpr std::string_view known[] = {"relu",    "gelu",       "gelu_tanh",  "silu",       "tanh",       "sigmoid",
                                        "dropout", "max_pool2d", "avg_pool2d", "batch_norm", "layer_norm", "rms_norm"};
  for (auto const k : known)
    if (kind_of<L>() == k) return true;
  return false;
}

template <class L>
[[nodiscard]] channel_flow walk_channels(channel_graph& g, L const& l, extents const& in, channel_flow x);

/// Rows of features: what a layer that takes rows makes of images and sequences.
[[nodiscard]] inline channel_flow flattened(channel_graph& g, extents const& in, channel_flow x) {
  if (in.rank() == 4) {
    for (auto& p : x) p.length *= in[2] * in[3];
    return x;
  }
  if (in.rank() <= 2) return x;
  g.fix(x);  // positions first, features inside: a channel's places are no neighbours
  return g.fresh(in.size_from(1), true);
}

/// A weight [out, in, …] with its bias: the input's features are its columns, its rows are new features.
template <class L>
[[nodiscard]] channel_flow walk_product(channel_graph& g, L const& l, channel_flow const& x, bool apart) {
  channel_flow y;
  nn::for_each_parameter(l, [&](nn::parameter const& w) {
    if (w.shape.rank() >= 2) {
      y = g.fresh(w.whole()[0], apart);
      g.enter(w, 0, y);
      if (apart) g.fix(x);
      else g.enter(w, 1, x);
    } else {
      g.enter(w, 0, y);
    }
  });
  return y;
}

template <class L>
[[nodiscard]] channel_flow walk_composite(channel_graph& g, L const& l, extents const& in, channel_flow x) {
  constexpr auto kind = kind_of<L>();
  auto& all = const_cast<L&>(l);  // the protocol has one spelling; nothing is written
  if constexpr (kind == "sequential" || kind == "repeat") {
    extents at = in;
    all.for_each_child([&](auto const& child) {
      x = walk_channels(g, child, at, std::move(x));
      at = child.shape(at);
    });
    return x;
  } else if constexpr (kind == "residual") {
    std::vector<channel_flow> each;
    all.for_each_child([&](auto const& child) { each.push_back(walk_channels(g, child, in, x)); });
    if (each.empty()) return x;
    auto const& other = each.size() == 2 ? each[1] : x;
    g.unite(other, each[0]);
    return other;
  } else if constexpr (kind == "branch") {
    channel_flow y;
    bool first = true;
    all.for_each_child([&](auto const& child) {
      auto const part = walk_channels(g, child, in, x);
      if (!first && (l.how() == decltype(l.how())::sum || child.shape(in).rank() == 3)) g.unite(y, part);
      else y.insert(y.end(), part.begin(), part.end());
      first = false;
    });
    return y;
  } else {
    g.fix(x);
    return g.fresh(features_of(l.shape(in)), true);
  }
}

/// Follows the features x of an input of shape `in` through a layer. What it does not know it leaves alone: nothing
/// that such a layer sees or makes can go.
template <class L>
[[nodiscard]] channel_flow walk_channels(channel_graph& g, L const& l, extents const& in, channel_flow x) {
  constexpr auto kind = kind_of<L>();
  if constexpr (nn::composite<L>) {
    return walk_composite(g, l, in, std::move(x));
  } else if constexpr (kind == "linear") {
    if (!(in.rank() == 3 && in[2] == l.inputs())) x = flattened(g, in, std::move(x));
    return walk_product(g, l, x, false);
  } else if constexpr (kind == "conv2d") {
    return walk_product(g, l, x, l.options().groups != 1);
  } else if constexpr (kind == "flatten") {
    return flattened(g, in, std::move(x));
  } else if constexpr (kind == "embedding") {
    g.fix(x);
    auto const y = g.fresh(l.width());
    nn::for_each_parameter(l, [&](nn::parameter const& w) {
      g.enter(w, 0, g.fresh(w.whole()[0], true));
      g.enter(w, 1, y);
    });
    return y;
  } else if constexpr (kind == "attention") {  // a head (with grouped queries: a group of them) goes whole
    index_t const features = features_of(l.shape(in));
    if (!g.coarsen(x, l.group_width())) return g.fresh(features, true);
    return {{x[0].group, features}};
  } else if constexpr (passes_channels<L>()) {
    nn::for_each_parameter(l, [&](nn::parameter const& w) { g.enter(w, 0, x); });
    return x;
  } else {
    g.fix(x);
    return g.fresh(features_of(l.shape(in)), true);
  }
}

/// The groups of a network whose input has this shape, batch included. Input and output features are fixed.
template <class Net> [[nodiscard]] std::vector<channel_group> channel_groups(Net const& net, extents const& in) {
  channel_graph g;
  g.fix(walk_channels(g, net, in, g.fresh(features_of(in), true)));
  g.tie();
  return g.groups();
}

}  // namespace pleat::compress::detail
