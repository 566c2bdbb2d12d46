// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A model in training as a checkpoint, and back, on any number of ranks. The files are io/checkpoint.hpp's business.
#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <pleat/io/checkpoint.hpp>
#include <pleat/nn/optimizer.hpp>
#include <pleat/parallel/model.hpp>

namespace pleat::run {

/// Where training goes on.
struct resume_point {
  index_t step = 0;
  std::string remark;  ///< empty, or a sentence to be said: the newest checkpoint was damaged
};

namespace detail {

inline std::string as_text(std::uint64_t n) { return std::to_string(n); }

/// A failure that rank 0 alone sees becomes the same error on every rank.
template <class F> void on_root(comm::communicator& ranks, F&& f) {
  std::string said;
  if (ranks.rank() == 0) {
    try {
      f();
    } catch (error const& e) {
      said = e.call() + '\n' + e.problem() + '\n' + e.remedy();
    } catch (std::exception const& e) {
      said = std::string("run::checkpoint\n") + e.what() + "\n";
    }
  }
  auto const length = ranks.broadcast_value(static_cast<index_t>(said.size()));
  if (length == 0) return;
  said.resize(static_cast<std::size_t>(length));
  ranks.broadcast(said);
  auto const first = said.find('\n'), second = said.rfind('\n');
  throw error{said.substr(0, first), said.substr(first + 1, second - first - 1), said.substr(second + 1)};
}

/// Host copies of the flat buffers, and per parameter views of them: parameters are stored by name and global index, without padding, so
/// that the files are the same whichever way state is sharded.
template <class T> struct host_buffers {
  std::vector<std::vector<T>> flat;  // values, then optimizer state

  /// Room for a model's buffers.
  template <class Net> static host_buffers empty(parallel::model<Net> const& m) {
    return {std::vector<std::vector<T>>(static_cast<std::size_t>(1 + m.arena().states()), std::vector<T>(static_cast<std::size_t>(m.arena().size())))};
  }
  /// What a model holds. Collective where its state is sharded.
  template <class Net> static host_buffers of_model(parallel::model<Net> const& m) {
    host_buffers h;
    bool const sharded = m.plan().state_stage > 0;
    if (!sharded && m.ranks().rank() != 0) return h;
    h.flat.push_back(m.host_values());
    for (int i = 0; i < m.arena().states(); ++i) h.flat.push_back(m.host_state(i));
    return h;
  }
  [[nodiscard]] std::span<T> of(std::size_t buffer, nn::arena_entry const& e) {
    return std::span<T>(flat[buffer]).subspan(static_cast<std::size_t>(e.begin), static_cast<std::size_t>(e.end - e.begin));
  }
};

/// f(parameter, pipeline rank that has it) for everything that a checkpoint holds, in the order of the network, on every rank alike.
template <class Net, class F> void for_each_stored(parallel::model<Net> const& m, F&& f) {
  auto const& layout = m.layout();
  for (index_t s = 0; s < layout.count(); ++s)
    nn::for_each_parameter_units(const_cast<Net&>(m.net()), layout.begin(s), layout.end(s), [&](nn::parameter const& w) {  // only read
      if (w.in_arena && w.tied_to.empty()) f(w, layout.rank_of(s));
    });
}

/// The tensors of a model as they go into the file: on rank 0 all of them, those of other stages sent by the first replica of each.
template <class T> struct gathered {
  host_buffers<T> own;
  std::deque<std::vector<T>> others;
  std::vector<std::vector<io::tensor_view>> groups;  // values, then optimizer state; rank 0 only

  /// Collective.
  template <class Net> explicit gathered(parallel::model<Net> const& m) : own(host_buffers<T>::of_model(m)), groups(static_cast<std::size_t>(1 + m.arena().states())) {
    if (m.ranks().rank() != 0) return;
    auto& pipeline = m.pipeline();
    int const me = pipeline.rank();
    constexpr int tag = comm::user_tags - 4;
    for (std::size_t b = 0; b < groups.size(); ++b)
      for_each_stored(m, [&](nn::parameter const& w, int holder) {
        std::span<T> values;
        if (holder == me) values = own.of(b, m.arena().entries()[static_cast<std::size_t>(m.arena().find(w.name))]);
        if (holder != 0 && holder == me) pipeline.send(std::span<T const>(values), 0, tag);
        if (me != 0) return;
        if (holder != 0) {
          values = others.emplace_back(static_cast<std::size_t>(w.size()));
          pipeline.receive(values, holder, tag);
        }
        groups[b].push_back(io::view_of<T>(w.name, w.shape, values));
      });
  }
};

}  // namespace detail

/// Saves parameters, optimizer state, seed, counters and plan into a folder. Collective; rank 0 writes.
/// \throws error on every rank alike; what was saved before stays
template <class Net, class T, class Space>
void save_checkpoint(std::string const& folder, parallel::model<Net> const& m, nn::optimizer_state<T, Space> const& optimizer, index_t step) {
  region r("pleat::run::save_checkpoint");
  m.demand_uncut("run::save_checkpoint");
  detail::gathered<T> all(m);
  detail::on_root(m.all_ranks(), [&] {
    io::checkpoint_view view;
    for (std::size_t b = 0; b < all.groups.size(); ++b) view.tensors[b == 0 ? "parameters" : "optimizer-" + std::to_string(b)] = std::move(all.groups[b]);
    view.state = {{"seed", detail::as_text(m.seed())},
                  {"steps", detail::as_text(m.steps())},
                  {"cursor", std::to_string(step)},
                  {"optimizer", std::string(optimizer.name())},
                  {"optimizer_steps", detail::as_text(optimizer.steps())},
                  {"plan", m.plan().to_string()}};
    io::save_checkpoint(folder, step, view);
  });
}

/// Loads the newest whole checkpoint of a folder into a model that was built from the same network and seed, on any number of ranks.
/// Collective; rank 0 reads. \returns nothing if the folder holds no checkpoint yet
/// \throws error, on every rank alike: another network, seed, optimizer or lane count; damaged files without an older whole one
template <class Net, class T, class Space>
std::optional<resume_point> load_checkpoint(std::string const& folder, parallel::model<Net>& m, nn::optimizer_state<T, Space>& optimizer) {
  region r("pleat::run::load_checkpoint");
  m.demand_uncut("run::load_checkpoint");
  auto& ranks = m.all_ranks();
  // Rank 0 looks and reads, so that a checkpoint that appears or is damaged meanwhile cannot part the ranks.
  bool there = false;
  if (ranks.rank() == 0) there = io::has_checkpoint(folder);
  if (!ranks.broadcast_value(static_cast<int>(there))) return std::nullopt;
  std::optional<io::checkpoint> c;
  detail::on_root(ranks, [&] { c.emplace(io::load_checkpoint(folder)); });
  resume_point point;
  std::uint64_t counters[3] = {};
  auto host = detail::host_buffers<T>::empty(m);
  auto const group_name = [](std::size_t b) { return b == 0 ? std::string("parameters") : "optimizer-" + std::to_string(b); };
  detail::on_root(ranks, [&] {
    std::string const call = "run::load_checkpoint('" + c->path + "')";
    auto const demand = [&](std::string const& what, std::string const& saved, std::string const& here, std::string const& remedy) {
      if (saved != here) throw error{call, "it was saved with " + what + " " + saved + ", this run has " + here, remedy};
    };
    auto const saved = plan::plan::parse(c->value("plan"));
    demand("seed", c->value("seed"), detail::as_text(m.seed()), "Start with the same --seed");
    demand("the optimizer", c->value("optimizer"), std::string(optimizer.name()), "Go on with the same optimizer");
    demand("a global batch of", std::to_string(saved.global_batch), std::to_string(m.plan().global_batch), "Go on with the same batch size");
    if (saved.deterministic && m.plan().deterministic)
      demand("lanes =", std::to_string(saved.lanes), std::to_string(m.plan().lanes), "Plan with as many lanes, so that the bits go on");
    for (std::size_t b = 0; b < host.flat.size(); ++b) {
      auto const& group = c->group(group_name(b));
      std::size_t used = 0;
      detail::for_each_stored(m, [&](nn::parameter const& e, int) {
        auto const* t = group.find(e.name);
        if (!t) throw error{call, "there is no parameter '" + e.name + "' in it", "It belongs to another network"};
        if (t->shape != e.shape || t->type != dtype_of<T>)
          throw error{call, "'" + e.name + "' is " + std::string(name_of(t->type)) + " " + t->shape.to_string() + " there and " + std::string(name_of(dtype_of<T>)) + " " +
                                e.shape.to_string() + " here", "It belongs to another network"};
        ++used;
      });
      if (used != group.entries().size())
        throw error{call, "it has " + std::to_string(group.entries().size()) + " parameters, this network has " + std::to_string(used), "It belongs to another network"};
    }
    counters[0] = std::stoull(c->value("steps"));
    counters[1] = std::stoull(c->value("cursor"));
    counters[2] = std::stoull(c->value("optimizer_steps"));
    point.remark = c->notice;
  });
  ranks.broadcast(std::span<std::uint64_t>(counters));
  // Rank 0 has read and verified; the others take its bits, parameter by parameter, each those that it has.
  std::vector<T> values;
  for (std::size_t b = 0; b < host.flat.size(); ++b) {
    detail::for_each_stored(m, [&](nn::parameter const& w, int) {
      values.resize(static_cast<std::size_t>(w.size()));
      if (ranks.rank() == 0) {
        auto const bytes = c->group(group_name(b)).bytes(w.name);
        std::memcpy(values.data(), bytes.data(), bytes.size());
      }
      ranks.broadcast(values);
      if (int const at = m.arena().find(w.name); at >= 0) std::copy(values.begin(), values.end(), host.of(b, m.arena().entries()[static_cast<std::size_t>(at)]).begin());
    });
    if (b == 0) m.set_host_values(host.flat[b]);
    else m.set_host_state(static_cast<int>(b) - 1, host.flat[b]);
  }
  m.set_steps(counters[0]);
  point.step = static_cast<index_t>(counters[1]);
  optimizer.set_steps(counters[2]);
  return point;
}

}  // namespace pleat::run
