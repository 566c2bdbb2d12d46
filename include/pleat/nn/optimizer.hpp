// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Optimizers as plain values, parameter groups by name, and the state that a step needs.
#pragma once

#include <algorithm>
#include <limits>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/compute/optimizer.hpp>
#include <pleat/compute/statistics.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/own_optimizer.hpp>
#include <pleat/nn/trainable.hpp>

namespace pleat::nn {

namespace detail {

inline constexpr std::string_view momentum_buffer[] = {"momentum"}, adam_buffers[] = {"first_moment", "second_moment"};

PLEAT_ONCE void demand_setting(bool good, char const* what, double found, char const* remedy) {
  if (!good)
    throw error{"nn::optimizer_state", std::string(what) + ", found " + pleat::detail::number_text(found), remedy};
}
PLEAT_COMPILED_ONCE(void demand_setting(bool good, char const* what, double found, char const* remedy));
/// What adam and adamw share.
template <class Adam> void check_adam(Adam const& o) {
  demand_setting(o.beta1 >= 0 && o.beta1 < 1, "beta1 must lie in [0, 1)", o.beta1, "Leave it at 0.9");
  demand_setting(o.beta2 >= 0 && o.beta2 < 1, "beta2 must lie in [0, 1)", o.beta2, "Leave it at 0.999");
  // where no gradient ever was, a step divides by it: a float is not to make it 0, nor infinity
  demand_setting(o.epsilon >= std::numeric_limits<float>::min() && o.epsilon <= std::numeric_limits<float>::max(),
                 "epsilon must be above 0, as a float too, and finite", o.epsilon, "Leave it at 1e-8");
}
template <class Adam, class W, class Space>
void update_adam(Adam const& o, bool decoupled, update_piece<W, Space> const& p) {
  double const t = static_cast<double>(p.step);
  compute::adam_settings<W> const s{.lr = static_cast<W>(o.learning_rate * p.rate_factor),
                                    .beta1 = static_cast<W>(o.beta1),
                                    .beta2 = static_cast<W>(o.beta2),
                                    .epsilon = static_cast<W>(o.epsilon),
                                    .grad_scale = static_cast<W>(p.gradient_scale),
                                    .correction1 = static_cast<W>(1 - std::pow(o.beta1, t)),
                                    .correction2 = static_cast<W>(1 - std::pow(o.beta2, t)),
                                    .decoupled = decoupled};
  compute::adam_update(p.space, p.chunks.data(), static_cast<index_t>(p.chunks.size()), p.n, s, p.value, p.gradient,
                       p.state[0], p.state[1]);
}

}  // namespace detail

/// Stochastic gradient descent; compute/optimizer.hpp has the formula.
struct sgd final {              // final: one derived from it would be cut to it where a nn::optimizer is asked for
  double learning_rate = 0.01;  ///< what the schedule's factor multiplies
  double momentum = 0;          ///< share of the last move, in [0, 1); 0: no buffer
  bool nesterov = false;        ///< look ahead by the momentum
  double weight_decay = 0;      ///< of parameters whose group says nothing else
  double dampening = 0;         ///< share of the gradient that the momentum leaves out, in [0, 1]

  static constexpr std::string_view name = "sgd";  ///< what checkpoints remember
  [[nodiscard]] std::span<std::string_view const> buffers() const noexcept {
    return {detail::momentum_buffer, momentum != 0 ? std::size_t{1} : std::size_t{0}};
  }
  PLEAT_LAZY void check() const {
    detail::demand_setting(momentum >= 0 && momentum < 1, "the momentum must lie in [0, 1)", momentum,
                           "Set it below 1, of which moves would grow without end: 0.9 is usual");
    detail::demand_setting(dampening >= 0 && dampening <= 1, "the dampening must lie in [0, 1]", dampening,
                           "Leave it at 0");
    detail::demand_setting(!nesterov || (momentum > 0 && dampening == 0),
                           "Nesterov's rule needs a momentum and no dampening; the momentum", momentum,
                           "Set momentum to 0.9 and dampening to 0, or leave nesterov off");
  }
  template <class W, class Space> void update(update_piece<W, Space> const& p) const {
    compute::sgd_settings<W> const s{.lr = static_cast<W>(learning_rate * p.rate_factor),
                                     .momentum = static_cast<W>(momentum),
                                     .dampening = static_cast<W>(dampening),
                                     .grad_scale = static_cast<W>(p.gradient_scale),
                                     .nesterov = nesterov,
                                     .first_step = p.step == 1};
    compute::sgd_update(p.space, p.chunks.data(), static_cast<index_t>(p.chunks.size()), p.n, s, p.value, p.gradient,
                        momentum != 0 ? p.state[0] : nullptr);
  }
};

/// Kingma and Ba, arXiv:1412.6980; decay is added to the gradient.
struct adam final {
  double learning_rate = 1e-3;  ///< what the schedule's factor multiplies
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;    ///< added to the denominator, so that it is never zero
  double weight_decay = 0;  ///< of parameters whose group says nothing else

  static constexpr std::string_view name = "adam";  ///< what checkpoints remember
  [[nodiscard]] std::span<std::string_view const> buffers() const noexcept { return detail::adam_buffers; }
  PLEAT_LAZY void check() const { detail::check_adam(*this); }
  template <class W, class Space> void update(update_piece<W, Space> const& p) const {
    detail::update_adam(*this, false, p);
  }
};

/// Loshchilov and Hutter, arXiv:1711.05101; decay acts on the parameter.
struct adamw final {
  double learning_rate = 1e-3;  ///< what the schedule's factor multiplies
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;       ///< added to the denominator, so that it is never zero
  double weight_decay = 0.01;  ///< of parameters whose group says nothing else

  static constexpr std::string_view name = "adamw";  ///< what checkpoints remember
  [[nodiscard]] std::span<std::string_view const> buffers() const noexcept { return detail::adam_buffers; }
  PLEAT_LAZY void check() const { detail::check_adam(*this); }
  template <class W, class Space> void update(update_piece<W, Space> const& p) const {
    detail::update_adam(*this, true, p);
  }
};

/// One of these, or one of one's own (own_optimizer.hpp): all of them have learning_rate, weight_decay, name, buffers,
/// check and update.
using optimizer = std::variant<sgd, adam, adamw, own_optimizer>;

/// Settings for the parameters whose name fits a pattern. Every group that fits applies, in order: rate factors
/// multiply, the last stated decay counts, once frozen stays frozen.
struct parameter_group {
  std::string pattern = "*";  ///< '*' any characters, '?' one
  /// only parameters of at most this rank: 1 means biases and the scales of norms
  int max_rank = extents::max_rank;
  double learning_rate_scale = 1;
  std::optional<double> weight_decay{};  ///< instead of the optimizer's
  bool frozen = false;
};

/// No decay on biases and norms: on nothing that is a vector.
PLEAT_LAZY [[nodiscard]] inline std::vector<parameter_group> default_groups() {
  return {{.pattern = "*", .max_rank = 1, .weight_decay = 0.0}};
}

/// What an optimizer remembers for the parameters of one arena: flat buffers in the arena, a table of chunks, the
/// number of steps.
template <class T, class Space> class optimizer_state {
 public:
  /// The arena's optimizer memory becomes this one's, zeroed: another optimizer that was made for the arena has lost
  /// what it kept.
  /// \throws error if a group fits no parameter, or a setting makes no sense: the other keeps what it kept
  optimizer_state(context<Space>& where, arena<T, Space>& memory, optimizer settings,
                  std::vector<parameter_group> groups = default_groups())
      : settings_(std::move(settings)), groups_(std::move(groups)) {
    check();
    rebuild(where, memory);  // what throws comes before the other's memory goes
    memory.reserve_state(where, buffers());
    for (auto& e : memory.entries())
      e.held = std::any_of(groups_.begin(), groups_.end(), [&](parameter_group const& g) {
        return g.frozen && e.shape.rank() <= g.max_rank && matches(g.pattern, e.name);
      });
  }

  /// Reads the arena's entries again: after parameters were frozen or pruned.
  void rebuild(context<Space>& where, arena<T, Space> const& memory) {
    std::vector<compute::update_chunk> moved, averaged;
    std::vector<char> used(groups_.size(), 0);
    seen_.clear();
    for (auto const& e : memory.entries()) {
      seen_.push_back({e.mask_bits, e.requires_grad});
      if (e.kind == parameter_kind::use) continue;  // its gradient has been added to its owner's
      compute::update_chunk c{.begin = e.begin,
                              .end = e.end,
                              .lr_scale = 1,
                              .weight_decay = static_cast<float>(decay_),
                              .frozen = !e.requires_grad,
                              .mask_bits = e.mask_bits};
      if (e.kind == parameter_kind::statistic) {
        c.lr_scale = static_cast<float>(e.momentum);
        c.weight_decay = 0;
        if (!c.frozen && e.begin < e.end) append(averaged, c);
        continue;
      }
      double scale = 1;
      for (std::size_t g = 0; g < groups_.size(); ++g) {
        auto const& group = groups_[g];
        if (!matches(group.pattern, e.name)) continue;
        used[g] = 1;
        if (e.shape.rank() > group.max_rank) continue;
        scale *= group.learning_rate_scale;
        if (group.weight_decay) c.weight_decay = static_cast<float>(*group.weight_decay);
        c.frozen = c.frozen || group.frozen;
      }
      c.lr_scale = static_cast<float>(scale);
      if (!c.frozen && e.begin < e.end) append(moved, c);
    }
    for (auto const& name : memory.absent())
      for (std::size_t g = 0; g < groups_.size(); ++g)
        if (matches(groups_[g].pattern, name)) used[g] = 1;
    for (std::size_t g = 0; g < groups_.size(); ++g)
      if (!used[g] && groups_[g].pattern != "*")
        throw error{"nn::optimizer_state", "no parameter's name fits the group '" + groups_[g].pattern + "'",
                    "Compare it with the names that describe prints"};
    upload(where, cut(moved, memory, moved_parts_), moved_);
    upload(where, cut(averaged, memory, averaged_parts_), averaged_);
  }

  /// One step: value ← value − rate(gradient · gradient_scale), running statistics take in the batch's. Gradients are
  /// in slot 0, or where sharded state has this rank's sums; this rank's pieces move.
  void apply(context<Space>& where, arena<T, Space>& memory, double learning_rate_factor = 1,
             double gradient_scale = 1) {
    begin_step(where, memory);
    for (std::size_t i = 0; i < memory.pieces().size(); ++i)
      apply_piece(where, memory, i, learning_rate_factor, gradient_scale);
  }

  /// The same in pieces, so that a piece may be sent while the next one is computed: begin_step once, then every piece
  /// of the arena.
  /// \throws error if the model got new memory since this optimizer was made for it: its moments went with the old one
  void begin_step(context<Space>& where, arena<T, Space> const& memory) {
    bool masters = true;
    if constexpr (arena<T, Space>::has_masters) masters = memory.masters() != nullptr || memory.pieces().empty();
    if (memory.states() < buffers() || !masters) [[unlikely]]
      throw error{"nn::optimizer_state",
                  "the model has no memory for what '" + std::string(name()) +
                      "' keeps: it was loaded, rebuilt or cloned, or got another optimizer, after this one was made",
                  "Make the optimizer anew for the model as it is now"};
    if (stale(memory)) rebuild(where, memory);
    ++steps_;
  }
  void apply_piece(context<Space>& where, arena<T, Space>& memory, std::size_t i, double learning_rate_factor = 1,
                   double gradient_scale = 1) {
    auto const& p = memory.pieces()[i];
    W* const values = wide_values(memory, p);
    W const* const gradients = memory.owned_gradients(p);
    W* state[max_optimizer_buffers] = {};
    for (int k = 0; k < buffers(); ++k) state[k] = memory.state(k) + p.packed;
    update_piece<W, Space> const piece{.space = where.space(),
                                       .chunks = part(moved_, moved_parts_, i),
                                       .n = p.size(),
                                       .value = values,
                                       .gradient = gradients,
                                       .state = state,
                                       .step = steps_,
                                       .rate_factor = learning_rate_factor,
                                       .gradient_scale = gradient_scale};
    std::visit([&](auto const& o) { o.update(piece); }, settings_);
    auto const chunks = part(averaged_, averaged_parts_, i);
    compute::running_update(where.space(), chunks.data(), static_cast<index_t>(chunks.size()), p.size(), values,
                            gradients);
    if constexpr (arena<T, Space>::has_masters)
      compute::copy(where.space(), p.size(), static_cast<W const*>(values), memory.owned_values(p));
  }

  /// Flat buffers that this optimizer keeps: arena.state(0) … arena.state(buffers() − 1). A checkpoint holds them and
  /// steps().
  [[nodiscard]] int buffers() const noexcept { return static_cast<int>(names_.size()); }
  /// What buffer i holds.
  [[nodiscard]] std::string_view buffer_name(int i) const noexcept { return names_[static_cast<std::size_t>(i)]; }
  /// "sgd", "adam", "adamw", or what one of one's own is called
  [[nodiscard]] std::string_view name() const noexcept { return name_; }
  [[nodiscard]] optimizer const& settings() const noexcept { return settings_; }
  /// Steps done.
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }
  /// After the buffers were filled from a checkpoint.
  void set_steps(std::uint64_t n) noexcept { steps_ = n; }
  [[nodiscard]] double learning_rate() const noexcept { return learning_rate_; }

 private:
  using W = master_t<T>;
  using table = Kokkos::View<compute::update_chunk*, typename Space::memory_space>;
  struct seen {
    std::uint8_t const* mask_bits;
    bool requires_grad;
  };

  void check() {
    std::visit(
        [this](auto const& o) {
          detail::demand_setting(o.learning_rate >= 0 && std::isfinite(o.learning_rate),
                                 "the learning rate must be a number of at least 0", o.learning_rate,
                                 "Set it to 0 or more: 1e-3 is usual");
          detail::demand_setting(o.weight_decay >= 0 && std::isfinite(o.weight_decay),
                                 "the weight decay must be a number of at least 0", o.weight_decay,
                                 "Set it to 0 or more: 0 is none");
          o.check();
          names_ = o.buffers(), name_ = o.name;
          learning_rate_ = o.learning_rate, decay_ = o.weight_decay;
        },
        settings_);
    for (auto const& g : groups_) {
      auto const demand = [&](bool good, char const* what, double found) {
        if (!good)
          throw error{"nn::optimizer_state",
                      "group '" + g.pattern + "': " + what + ", found " + pleat::detail::number_text(found),
                      "Use frozen = true for parameters that shall stay where they are"};
      };
      demand(g.learning_rate_scale >= 0 && std::isfinite(g.learning_rate_scale),
             "the scale of the learning rate must be a number of at least 0", g.learning_rate_scale);
      if (g.weight_decay)
        demand(*g.weight_decay >= 0 && std::isfinite(*g.weight_decay),
               "the weight decay must be a number of at least 0", *g.weight_decay);
    }
  }

  /// True if a parameter was frozen, thawed or pruned since the table was made.
  [[nodiscard]] bool stale(arena<T, Space> const& memory) const noexcept {
    auto const& all = memory.entries();
    if (all.size() != seen_.size()) return true;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (all[i].mask_bits != seen_[i].mask_bits || all[i].requires_grad != seen_[i].requires_grad) return true;
    return false;
  }

  /// Neighbours with the same settings become one chunk. The padding between them is zero and stays zero under rules
  /// that are known; of another's rule nobody knows. Mask bits count from a chunk's begin, so a masked one stays alone.
  void append(std::vector<compute::update_chunk>& all, compute::update_chunk const& c) const {
    if (!all.empty()) {
      auto& last = all.back();
      index_t const unit = std::holds_alternative<own_optimizer>(settings_) ? 1 : arena<T, Space>::alignment;
      bool const next = (last.end + unit - 1) / unit * unit == c.begin;
      if (next && !last.mask_bits && !c.mask_bits && last.lr_scale == c.lr_scale &&
          last.weight_decay == c.weight_decay) {
        last.end = c.end;
        return;
      }
    }
    all.push_back(c);
  }

  static void upload(context<Space>& where, std::vector<compute::update_chunk> const& from, table& to) {
    if (to.size() != from.size())
      to = table(Kokkos::view_alloc(Kokkos::WithoutInitializing, "pleat::chunks"), from.size());
    if (from.empty()) return;
    using host = Kokkos::View<compute::update_chunk const*, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>;
    where.fence();
    Kokkos::deep_copy(where.space(), to, host(from.data(), from.size()));
    where.fence();
  }

  using chunk_span = std::span<compute::update_chunk const>;

  /// Cuts a table of flat chunks along the arena's pieces; piece i has chunks [first[i], first[i + 1]). A cut lies
  /// where bytes of mask bits begin (state_layout.hpp).
  static std::vector<compute::update_chunk> cut(std::vector<compute::update_chunk> const& flat,
                                                arena<T, Space> const& memory, std::vector<std::size_t>& first) {
    std::vector<compute::update_chunk> all;
    first.assign(1, 0);
    for (auto const& p : memory.pieces()) {
      for (auto c : flat) {
        index_t const begin = std::max(c.begin, p.begin), end = std::min(c.end, p.end);
        if (begin >= end) continue;
        if (c.mask_bits) c.mask_bits += (begin - c.begin) / 8;
        c.begin = begin - p.begin;
        c.end = end - p.begin;
        all.push_back(c);
      }
      first.push_back(all.size());
    }
    return all;
  }
  static chunk_span part(table const& all, std::vector<std::size_t> const& first, std::size_t i) {
    return chunk_span(all.data() + first[i], first[i + 1] - first[i]);
  }
  static W* wide_values(arena<T, Space> const& m, owned_piece const& p) {
    if constexpr (arena<T, Space>::has_masters) return m.masters() + p.packed;
    else return m.owned_values(p);
  }

  optimizer settings_;
  std::vector<parameter_group> groups_;
  table moved_, averaged_;
  std::vector<std::size_t> moved_parts_, averaged_parts_;  // where each piece's chunks begin
  std::vector<seen> seen_;
  std::uint64_t steps_ = 0;
  std::span<std::string_view const> names_;  // of buffers: static memory
  std::string_view name_;
  double learning_rate_ = 0, decay_ = 0;
};

}  // namespace pleat::nn
