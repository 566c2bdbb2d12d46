// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// One flat buffer each for a model's parameters, gradients and optimizer state, in forward order. Buckets are ranges of it, the
/// optimizer is one pass over it, a checkpoint is a copy of it.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <pleat/base/random.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/parameter.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::nn {

/// What the arena knows of one parameter (tied ones share an entry).
struct arena_entry {
  std::string name;
  extents shape;
  index_t begin = 0, end = 0;  ///< elements of the flat buffers; end excludes the padding
  parameter_kind kind = parameter_kind::trainable;
  bool requires_grad = true;
  double momentum = 0.1;       ///< of a statistic
  std::uint8_t const* mask_bits = nullptr;  ///< in the space's memory: element i lives if bit i%8 of byte i/8 is set; null: all live
  gradient_use use;
};

/// Draws element values of `init` for parameter `name` on the host: a pure function of (seed, name, index).
template <class T> void draw(initializer const& init, std::uint64_t seed, std::string_view name, index_t begin, index_t end, T* out) {
  random::stream const s(seed, random::hash(name));
  switch (init.draw) {
    case initializer::kind::constant: std::fill(out, out + (end - begin), static_cast<T>(init.value)); return;
    case initializer::kind::uniform:
      for (index_t i = begin; i < end; ++i)
        *out++ = static_cast<T>((2.0 * s.uniform(static_cast<std::uint64_t>(i)) - 1.0) * init.value);
      return;
    case initializer::kind::normal:
      for (index_t i = begin; i < end; ++i) {
        // Box–Muller on two words of the element's own block: no state, no neighbour.
        auto const w = s.block(static_cast<std::uint64_t>(i));
        double const u = (static_cast<double>(w[0]) + 1.0) * 0x1p-32, v = static_cast<double>(w[1]) * 0x1p-32;
        *out++ = static_cast<T>(init.value * std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v));
      }
      return;
  }
}

/// Name of the arena's last entry: one number per step that travels with the gradients, the batch's mean loss. No parameter.
inline constexpr std::string_view loss_entry = "(loss)";

/// The flat memory of one model on one rank. Owns Kokkos memory for its whole life, so that nothing is allocated while training.
template <class T, class Space> class arena {
 public:
  using view = Kokkos::View<T*, typename Space::memory_space>;
  static constexpr index_t alignment = 64 / static_cast<index_t>(sizeof(T));

  arena() = default;

  /// Lays out the parameters of `net`, draws their first values and tells every parameter where it lives.
  /// \throws error for two parameters of one name, and for a tie to a name that is not there or has another shape
  template <class Net> arena(context<Space>& where, Net& net, std::uint64_t seed) {
    enter(net);
    values_ = view("pleat::values", static_cast<std::size_t>(size_));
    attach(net);
    std::vector<T> host;
    net.for_each_parameter([&](auto& w) {
      if (w.id < 0 || !w.tied_to.empty()) return;
      host.resize(static_cast<std::size_t>(w.size()));
      draw(w.init, seed, w.name, 0, w.size(), host.data());
      copy_from_host(where, host.data(), tensor<T, Space>::wrap(static_cast<T*>(w.values), w.shape));
    });
  }

  /// Lays out and attaches, leaving values zero: for a model whose values come from elsewhere.
  template <class Net> static arena uninitialised(Net& net) {
    arena a{};
    a.enter(net);
    a.values_ = view("pleat::values", static_cast<std::size_t>(a.size_));
    a.attach(net);
    return a;
  }

  /// Gradient memory with this many slots (1 unless lanes stay apart); zeroed. Keeps what is there if it is enough.
  template <class Net> void reserve_gradients(Net& net, int slots) {
    if (slots > slots_) {
      gradients_ = view("pleat::gradients", static_cast<std::size_t>(size_ * slots));
      slots_ = slots;
      attach(net);
    }
  }
  /// Optimizer memory: `count` flat buffers, zeroed. Keeps what is there if it is enough.
  void reserve_state(int count) {
    while (static_cast<int>(state_.size()) < count) state_.emplace_back("pleat::state", static_cast<std::size_t>(size_));
  }

  /// Tells every parameter of `net` (this arena's, or a copy of it) where it lives, and the entries which elements are pruned. To be
  /// called again whenever a parameter's mask has changed.
  template <class Net> void attach(Net& net) {
    net.for_each_parameter([&](auto& w) {
      w.id = -1;
      w.values = w.gradients = nullptr;
      w.use = nullptr;
      if (!w.in_arena) return;
      w.id = find(w.tied_to.empty() ? w.name : w.tied_to);
      arena_entry& e = entries_[static_cast<std::size_t>(w.id)];
      w.values = values_.data() + e.begin;
      w.gradients = gradients_.data() ? gradients_.data() + e.begin : nullptr;
      w.slot_stride = size_;
      w.use = &e.use;
      e.requires_grad = w.requires_grad;
      if constexpr (requires { w.mask_bits(); })
        if (w.tied_to.empty()) e.mask_bits = w.mask_bits();
    });
  }

  [[nodiscard]] std::vector<arena_entry>& entries() noexcept { return entries_; }
  [[nodiscard]] std::vector<arena_entry> const& entries() const noexcept { return entries_; }
  /// Number of the entry called `name`, or −1.
  [[nodiscard]] int find(std::string_view name) const {
    for (std::size_t i = 0; i < entries_.size(); ++i)
      if (entries_[i].name == name) return static_cast<int>(i);
    return -1;
  }
  /// Elements of one flat buffer, padding included (each parameter starts on 64 bytes; padding is and stays zero).
  [[nodiscard]] index_t size() const noexcept { return size_; }
  [[nodiscard]] int slots() const noexcept { return slots_; }
  [[nodiscard]] T* values() const noexcept { return values_.data(); }
  [[nodiscard]] T* gradients(int slot = 0) const noexcept { return gradients_.data() + slot * size_; }
  [[nodiscard]] T* state(int i) const noexcept { return state_[static_cast<std::size_t>(i)].data(); }
  [[nodiscard]] int states() const noexcept { return static_cast<int>(state_.size()); }
  [[nodiscard]] bool tied() const noexcept { return tied_; }
  /// Bytes of all flat buffers.
  [[nodiscard]] index_t bytes() const noexcept { return size_ * static_cast<index_t>(sizeof(T)) * (1 + slots_ + states()); }

 private:
  template <class Net> void enter(Net& net) {
    static_assert(std::is_same_v<value_type_of<Net>, T>, "pleat: the arena's element type is the network's value_type");
    std::vector<std::string> names;
    net.for_each_parameter([&](parameter& w) {
      if (std::find(names.begin(), names.end(), w.name) != names.end())
        throw error{"parallel::build", "two parameters are called '" + w.name + "'", "Give every layer a name of its own"};
      names.push_back(w.name);
      if (!w.in_arena || !w.tied_to.empty()) return;
      arena_entry e;
      e.name = w.name;
      e.shape = w.shape;
      e.begin = size_;
      e.end = size_ + w.size();
      e.kind = w.kind;
      e.requires_grad = w.requires_grad;
      e.momentum = w.momentum;
      size_ = (e.end + alignment - 1) / alignment * alignment;
      entries_.push_back(std::move(e));
    });
    net.for_each_parameter([&](parameter& w) {
      if (w.tied_to.empty()) return;
      int const to = find(w.tied_to);
      if (to < 0) throw error{"parallel::build", "'" + w.name + "' is tied to '" + w.tied_to + "', which no parameter is called"};
      arena_entry& e = entries_[static_cast<std::size_t>(to)];
      if (e.shape != w.shape)
        throw error{"parallel::build", "'" + w.name + "' of shape " + w.shape.to_string() + " is tied to '" + e.name + "' of shape " + e.shape.to_string()};
      ++e.use.expected;
      tied_ = true;
    });
    arena_entry loss;
    loss.name = loss_entry;
    loss.shape = extents{1};
    loss.begin = size_;
    loss.end = size_ + 1;
    loss.kind = parameter_kind::statistic;
    loss.momentum = 1;
    size_ += alignment;
    entries_.push_back(std::move(loss));
  }

  std::vector<arena_entry> entries_;
  view values_, gradients_;
  std::vector<view> state_;
  index_t size_ = 0;
  int slots_ = 0;
  bool tied_ = false;
};

}  // namespace pleat::nn
