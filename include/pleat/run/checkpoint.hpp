// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A model in training as a checkpoint, and back, on any number of ranks. The files are io/checkpoint.hpp's business.
#pragma once

#include <cstring>
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

inline bool is_parameter(nn::arena_entry const& e) { return e.name != nn::loss_entry && e.kind != nn::parameter_kind::use; }

/// Not yet: stages hold different parameters.
template <class Net> void demand_one_stage_rank(parallel::model<Net> const& m, char const* call) {
  if (m.pipeline().size() > 1) throw error{call, "checkpoints of a model on several pipeline ranks are not built yet", "Use mesh.pipeline = 1, or train without a checkpoint folder"};
}

}  // namespace detail

/// Saves parameters, optimizer state, seed, counters and plan into a folder. Collective; rank 0 writes.
/// \throws error on every rank alike; what was saved before stays
template <class Net, class T, class Space>
void save_checkpoint(std::string const& folder, parallel::model<Net> const& m, nn::optimizer_state<T, Space> const& optimizer, index_t step) {
  region r("pleat::run::save_checkpoint");
  detail::demand_one_stage_rank(m, "run::save_checkpoint");
  auto host = detail::host_buffers<T>::of_model(m);
  detail::on_root(m.ranks(), [&] {
    io::checkpoint_view view;
    for (std::size_t b = 0; b < host.flat.size(); ++b) {
      auto& group = view.tensors[b == 0 ? "parameters" : "optimizer-" + std::to_string(b)];
      for (auto const& e : m.arena().entries())
        if (detail::is_parameter(e)) group.push_back(io::view_of<T>(e.name, e.shape, host.of(b, e)));
    }
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
  detail::demand_one_stage_rank(m, "run::load_checkpoint");
  // Rank 0 looks and reads, so that a checkpoint that appears or is damaged meanwhile cannot part the ranks.
  bool there = false;
  if (m.ranks().rank() == 0) there = io::has_checkpoint(folder);
  if (!m.ranks().broadcast_value(static_cast<int>(there))) return std::nullopt;
  std::optional<io::checkpoint> c;
  detail::on_root(m.ranks(), [&] { c.emplace(io::load_checkpoint(folder)); });
  resume_point point;
  std::uint64_t counters[3] = {};
  auto host = detail::host_buffers<T>::empty(m);
  detail::on_root(m.ranks(), [&] {
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
      auto const& group = c->group(b == 0 ? "parameters" : "optimizer-" + std::to_string(b));
      std::size_t used = 0;
      for (auto const& e : m.arena().entries()) {
        if (!detail::is_parameter(e)) continue;
        auto const* t = group.find(e.name);
        if (!t) throw error{call, "there is no parameter '" + e.name + "' in it", "It belongs to another network"};
        if (t->shape != e.shape || t->type != dtype_of<T>)
          throw error{call, "'" + e.name + "' is " + std::string(name_of(t->type)) + " " + t->shape.to_string() + " there and " + std::string(name_of(dtype_of<T>)) + " " +
                                e.shape.to_string() + " here", "It belongs to another network"};
        auto const bytes = group.bytes(e.name);
        std::memcpy(host.of(b, e).data(), bytes.data(), bytes.size());
        ++used;
      }
      if (used != group.entries().size())
        throw error{call, "it has " + std::to_string(group.entries().size()) + " parameters, this network has " + std::to_string(used), "It belongs to another network"};
    }
    counters[0] = std::stoull(c->value("steps"));
    counters[1] = std::stoull(c->value("cursor"));
    counters[2] = std::stoull(c->value("optimizer_steps"));
    point.remark = c->notice;
  });
  m.ranks().broadcast(std::span<std::uint64_t>(counters));
  // Rank 0 has read and verified; the others take its bits.
  for (std::size_t b = 0; b < host.flat.size(); ++b) {
    m.ranks().broadcast(host.flat[b]);
    if (b == 0) m.set_host_values(host.flat[b]);
    else m.set_host_state(static_cast<int>(b) - 1, host.flat[b]);
  }
  m.set_steps(counters[0]);
  point.step = static_cast<index_t>(counters[1]);
  optimizer.set_steps(counters[2]);
  return point;
}

}  // namespace pleat::run
