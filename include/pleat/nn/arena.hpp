// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// One flat buffer each for a model's parameters, gradients and optimizer state, in forward order. Buckets are ranges
/// of it, the optimizer is one pass over it, a checkpoint is a copy of it. Where state is sharded over ranks, this
/// rank's pieces of it are packed one after the other (state_layout.hpp).
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/random.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/parameter.hpp>
#include <pleat/nn/state_layout.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::nn {

/// What the arena knows of one parameter. Tied ones share an entry; where their gradients stay apart, each further use
/// has an entry of kind `use`, of whose memory only the gradient is used.
struct arena_entry {
  std::string name;
  extents shape;
  index_t begin = 0, end = 0;                       ///< elements of the flat buffers; end excludes the padding
  parameter_kind kind = parameter_kind::trainable;  ///< trained, a statistic, …
  bool requires_grad = true;
  double momentum = 0.1;  ///< of a statistic
  /// elements set aside from `begin` on: those of the largest part, where ranks of the tensor axis hold uneven ones
  index_t room = 0;
  axis_placement where{};  ///< along the tensor axis: replicate, or the dimension that is cut
  /// in the space's memory: element i lives if bit i%8 of byte i/8 is set; null: all live
  std::uint8_t const* mask_bits = nullptr;
  bool held = false;  ///< a group of the optimizer's leaves it where it is, though its gradient is computed
  gradient_use use;
  int owner = -1;    ///< of a `use`: the entry whose values it takes
  int position = 0;  ///< number of the parameter in the whole network, absent ones counted: the same on every stage
};

/// What becomes of the gradients of tied weights.
enum class tied_gradients : std::uint8_t {
  shared,  ///< all uses write one gradient, in the order of backward
  apart    ///< every use has a gradient of its own: sums do not depend on who computes which use when
};

/// Draws element values of `init` for parameter `name` on the host: a pure function of (seed, name, index).
template <class T>
void draw(initializer const& init, std::uint64_t seed, std::string_view name, index_t begin, index_t end, T* out) {
  random::stream const s(seed, random::hash(name));
  switch (init.draw) {
    case initializer::kind::constant:
      std::fill(out, out + (end - begin), static_cast<T>(init.value));
      return;
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

/// Draws elements [begin, end) of this rank's part of a parameter: the same numbers as in the whole.
template <class T> void draw_part(parameter const& w, std::uint64_t seed, index_t begin, index_t end, T* out) {
  if (!w.where.shards() || w.parts == 1) return draw(w.init, seed, w.name, begin, end, out);
  index_range const b = w.box()[w.where.dim];
  index_t const inner = w.whole().size_from(w.where.dim + 1), run = b.size() * inner,
                stride = w.whole()[w.where.dim] * inner;
  while (begin < end) {  // a run of neighbours in the whole at a time
    index_t const row = begin / run, at = begin % run, n = std::min(run - at, end - begin),
                  first = row * stride + b.begin * inner + at;
    draw(w.init, seed, w.name, first, first + n, out);
    begin += n;
    out += n;
  }
}

/// Name of the arena's last entry: one number per step that travels with the gradients, the batch's mean loss. No
/// parameter.
inline constexpr std::string_view loss_entry = "(loss)";

/// What of an arena lies elsewhere: the stage of sharding (state_layout.hpp), among how many ranks, and which of them
/// this is.
struct sharding {
  int stage = 0, shards = 1, shard = 0;
  index_t bucket_bytes = 1 << 19;
  /// stage 0: what the optimizer moves is divided into buckets none the less, so that it may begin before all have come
  bool in_buckets = false;
};

/// A run of elements that this rank's optimizer moves: flat range [begin, end), at `packed` in packed buffers.
struct owned_piece {
  index_t begin = 0, end = 0, packed = 0;
  [[nodiscard]] constexpr index_t size() const noexcept { return end - begin; }
};

/// The flat memory of one model on one rank. Owns Kokkos memory for its whole life, so that nothing is allocated while
/// training. Values are of type T; gradients and optimizer state of master_t<T>: 16-bit values have float gradients,
/// float moments and, next to them, float masters, which the optimizer moves and rounds.
template <class T, class Space> class arena {
 public:
  using master_type = master_t<T>;
  using view = Kokkos::View<T*, typename Space::memory_space>;
  using master_view = Kokkos::View<master_type*, typename Space::memory_space>;
  static constexpr index_t alignment = 64 / static_cast<index_t>(sizeof(T));
  static constexpr bool has_masters = !std::is_same_v<T, master_type>;

  arena() = default;

  /// Lays out the parameters of `net`, draws their first values and tells every parameter where it lives.
  /// \throws error for two parameters of one name, and for a tie to a name that is not there or has another shape
  template <class Net>
  arena(context<Space>& where, Net& net, std::uint64_t seed, sharding const& over = {},
        tied_gradients ties = tied_gradients::shared) {
    lay_out(net, over, ties);
    std::vector<master_type> wide;
    std::vector<T> host;
    net.for_each_parameter([&](parameter& w) {
      if (!w.in_arena || !w.tied_to.empty()) return;
      int const id = find(w.name);  // an absent one has an entry too, if one that is tied to it is here
      if (id < 0) return;
      index_t const begin = entries_[static_cast<std::size_t>(id)].begin;
      for_each_held(id, [&](index_range const part, T* to) {
        wide.resize(static_cast<std::size_t>(part.size()));
        host.resize(wide.size());
        draw_part(w, seed, part.begin - begin, part.end - begin, wide.data());
        for (std::size_t i = 0; i < host.size(); ++i) host[i] = T(wide[i]);
        copy_from_host(where, host.data(), tensor<T, Space>::wrap(to, extents{part.size()}));
      });
    });
  }

  /// Lays out and attaches: for a model whose values come from elsewhere, all of them. Padding is zero; values are
  /// anything until then, where the host can see them (who copies what was just zeroed passes over it twice).
  template <class Net>
  static arena uninitialised(Net& net, sharding const& over = {}, tied_gradients ties = tied_gradients::shared) {
    arena a{};
    a.lay_out(net, over, ties, false);
    return a;
  }
  /// The same over the values of another arena, in their memory, if both are laid out alike (shares() tells): for
  /// whoever only looks at them.
  template <class Net>
  static arena over(Net& net, arena const& other, sharding const& over = {},
                    tied_gradients ties = tied_gradients::shared) {
    arena a{};
    a.lay_out(net, over, ties, false, &other);
    return a;
  }
  /// Whether it does. Never at stage 3, where a rank may hold nothing.
  [[nodiscard]] bool shares(arena const& other) const noexcept {
    return over_.stage < 3 && values_.data() == other.values_.data();
  }
  /// Zeroes the values of an entry of such an arena that come from nowhere.
  void clear_values(arena_entry const& e) noexcept { clear_values(e.begin, e.end); }

  /// Gradient memory with this many slots (1 unless lanes stay apart); zeroed. Keeps what is there if it is enough.
  /// \param whole at stages 2 and 3: true keeps flat buffers none the less (micro-batches whose sums must not be
  /// exchanged one by one);
  ///        false keeps this rank's pieces only, and whoever writes gradients brings the memory for the buckets in use
  template <class Net> void reserve_gradients(Net& net, int slots, bool whole = true) {
    if (slots <= slots_) return;
    slots_ = slots;
    pooled_ = layout_.stage() >= 2 && !whole;
    index_t const flat = pooled_ ? alignment : size_;  // the loss is everybody's
    gradients_ = master_view("pleat::gradients", static_cast<std::size_t>(flat * slots));
    if (pooled_) owned_gradients_ = master_view("pleat::gradients", static_cast<std::size_t>(owned()));
    attach(net);
  }
  /// Memory of a new optimizer: exactly `count` buffers of this rank's pieces, zeroed: what another one kept there is
  /// gone. For 16-bit values their masters too, which stay as they are.
  void reserve_state(context<Space>& where, int count) {
    if (static_cast<int>(state_.size()) > count) {
      where.fence();  // before they are given back
      state_.resize(static_cast<std::size_t>(count));
    }
    for (auto const& s : state_) compute::fill(where.space(), owned(), master_type(0), s.data());
    while (static_cast<int>(state_.size()) < count)
      state_.emplace_back("pleat::state", static_cast<std::size_t>(owned()));
    if constexpr (has_masters) {
      if (masters_.size() != 0) return;
      masters_ = master_view("pleat::masters", static_cast<std::size_t>(owned()));
      widen(where);
    }
  }
  /// Masters take the values as they are: after values came from elsewhere.
  void widen(context<Space>& where) {
    if constexpr (has_masters)
      for (auto const& p : pieces_)
        if (masters_.size() != 0)
          compute::copy(where.space(), p.size(), static_cast<T const*>(owned_values(p)), masters_.data() + p.packed);
  }

  /// Tells every parameter of `net` (this arena's, or a copy of it) where it lives, and the entries which elements are
  /// pruned. To be called again whenever a parameter's mask has changed.
  template <class Net> void attach(Net& net) {
    net.for_each_parameter([&](parameter& w) {
      w.id = -1;
      w.values = w.gradients = nullptr;
      w.use = nullptr;
      if (!w.in_arena) return;
      if (w.absent) {  // its entry is here if a tied one is
        int const id = w.tied_to.empty() ? find(w.name) : -1;
        if (id >= 0) entries_[static_cast<std::size_t>(id)].requires_grad = w.requires_grad;
        return;
      }
      w.id = find(w.tied_to.empty() || apart_ ? w.name : w.tied_to);
      arena_entry& e = entries_[static_cast<std::size_t>(w.id)];
      w.values =
          layout_.stage() == 3 ? nullptr : values_.data() + entries_[static_cast<std::size_t>(values_of(w.id))].begin;
      w.gradients = gradients_.data() && !pooled_ ? gradients_.data() + e.begin : nullptr;
      w.slot_stride = size_;
      w.use = &e.use;
      e.requires_grad = w.requires_grad;
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
  /// The flat values; at stage 3 this rank's packed pieces.
  [[nodiscard]] T* values() const noexcept { return values_.data(); }
  /// The flat gradients; none if they are pooled().
  [[nodiscard]] master_type* gradients(int slot = 0) const noexcept { return gradients_.data() + slot * size_; }
  /// Optimizer buffer i: this rank's pieces, packed; at stage 0 that is the flat buffer.
  [[nodiscard]] master_type* state(int i) const noexcept { return state_[static_cast<std::size_t>(i)].data(); }
  [[nodiscard]] int states() const noexcept { return static_cast<int>(state_.size()); }
  /// Full-width values of this rank's pieces, packed; null unless the values are 16 bits wide and an optimizer has
  /// asked.
  [[nodiscard]] master_type* masters() const noexcept { return masters_.data(); }
  /// True if a gradient is written by several uses, so that lanes must have slots of their own.
  [[nodiscard]] bool tied() const noexcept { return tied_; }
  /// The entry whose values entry `id` takes: itself, or of a further use of a tied weight its owner.
  [[nodiscard]] int values_of(int id) const noexcept {
    int const owner = entries_[static_cast<std::size_t>(id)].owner;
    return owner < 0 ? id : owner;
  }
  /// Names of the parameters that live on other stages.
  [[nodiscard]] std::vector<std::string> const& absent() const noexcept { return absent_; }
  /// Parameters of the whole network, those of other stages too: one more than the last position.
  [[nodiscard]] int parameters() const noexcept { return parameters_; }

  [[nodiscard]] state_layout const& layout() const noexcept { return layout_; }
  [[nodiscard]] sharding const& shards() const noexcept { return over_; }
  /// Elements of this rank's pieces.
  [[nodiscard]] index_t owned() const noexcept { return layout_.owned(over_.shard); }
  /// What this rank's optimizer moves: piece b is that of bucket b; everything at stage 0, unless sharding::in_buckets.
  [[nodiscard]] std::vector<owned_piece> const& pieces() const noexcept { return pieces_; }
  /// True if gradients have no flat buffer.
  [[nodiscard]] bool pooled() const noexcept { return pooled_; }
  [[nodiscard]] T* owned_values(owned_piece const& p) const noexcept {
    return values_.data() + (layout_.stage() == 3 ? p.packed : p.begin);
  }
  /// Summed gradients of a piece.
  [[nodiscard]] master_type* owned_gradients(owned_piece const& p) const noexcept {
    if (!pooled_) return gradients_.data() + p.begin;
    return p.begin == entries_.back().begin ? loss() : owned_gradients_.data() + p.packed;
  }
  /// Where the loss of the step is summed up.
  [[nodiscard]] master_type* loss(int slot = 0) const noexcept {
    return pooled_ ? gradients_.data() + slot * alignment : gradients(slot) + entries_.back().begin;
  }

  /// Bytes that are allocated here, by what they are for.
  [[nodiscard]] index_t value_bytes() const noexcept { return bytes_of(values_); }
  [[nodiscard]] index_t gradient_bytes() const noexcept { return bytes_of(gradients_) + bytes_of(owned_gradients_); }
  [[nodiscard]] index_t state_bytes() const noexcept {
    index_t n = bytes_of(masters_);
    for (auto const& s : state_) n += bytes_of(s);
    return n;
  }
  /// Bytes of all buffers.
  [[nodiscard]] index_t bytes() const noexcept { return value_bytes() + gradient_bytes() + state_bytes(); }

 private:
  template <class View> [[nodiscard]] static index_t bytes_of(View const& v) noexcept {
    return static_cast<index_t>(v.size() * sizeof(typename View::value_type));
  }

  static constexpr bool host_clears =
      Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible;
  void clear_values(index_t begin, index_t end) noexcept {
    if constexpr (host_clears)
      if (end > begin)
        std::memset(static_cast<void*>(values_.data() + begin), 0, static_cast<std::size_t>(end - begin) * sizeof(T));
  }

  template <class Net>
  [[gnu::cold]] void lay_out(Net& net, sharding const& over, tied_gradients ties, bool zeroed = true,
                             arena const* other = nullptr) {
    enter(net, ties);
    over_ = over;
    if (over_.stage == 0) over_.shards = 1, over_.shard = 0;
    std::vector<index_range> ranges;
    // the same cuts on every rank of the tensor axis
    for (auto const& e : entries_) ranges.push_back({e.begin, e.begin + e.room});
    layout_ = state_layout(ranges, size_, sizeof(T), over_.bucket_bytes, over_.stage, over_.shards);
    if (over_.stage == 0 && !over_.in_buckets) pieces_ = {{0, size_, 0}};
    else
      for (std::size_t b = 0; b < layout_.buckets().size(); ++b) {
        index_range const r = layout_.piece(b, over_.shard);
        pieces_.push_back({r.begin, r.end, layout_.packed(b, over_.shard)});
      }
    auto const held = static_cast<std::size_t>(over_.stage == 3 ? owned() : size_);
    if (other && is_laid_out_as(*other)) {
      values_ = other->values_;
    } else if (zeroed || over_.stage == 3 || !host_clears) {
      values_ = view("pleat::values", held);
    } else {
      values_ = view(Kokkos::view_alloc(Kokkos::WithoutInitializing, "pleat::values"), held);
      for (std::size_t i = 0; i < entries_.size(); ++i)
        clear_values(entries_[i].end, i + 1 < entries_.size() ? entries_[i + 1].begin : size_);
    }
    attach(net);
  }

  [[nodiscard]] bool is_laid_out_as(arena const& o) const {
    return over_.stage < 3 && o.over_.stage < 3 && size_ == o.size_ &&
           std::equal(entries_.begin(), entries_.end(), o.entries_.begin(), o.entries_.end(),
                      [](arena_entry const& a, arena_entry const& b) {
                        return a.name == b.name && a.begin == b.begin && a.end == b.end;
                      });
  }

  /// f(flat range, where) for the parts of an entry whose values this rank holds.
  template <class F> void for_each_held(int id, F&& f) const {
    auto const& e = entries_[static_cast<std::size_t>(id)];
    if (layout_.stage() < 3) return f(index_range{e.begin, e.end}, values_.data() + e.begin);
    auto const& p = pieces_[static_cast<std::size_t>(layout_.owner()[static_cast<std::size_t>(id)])];
    index_range const part = intersect({e.begin, e.end}, {p.begin, p.end});
    if (!part.empty()) f(part, values_.data() + p.packed + (part.begin - p.begin));
  }

  template <class Net> [[gnu::cold]] void enter(Net& net, tied_gradients ties) {
    static_assert(std::is_same_v<value_type_of<Net>, T>, "pleat: the arena's element type is the network's value_type");
    apart_ = ties == tied_gradients::apart;
    std::vector<std::string> names, wanted;                    // wanted: owners of tied parameters that are here
    std::vector<std::pair<std::string, std::string>> ties_of;  // name, owner; of other stages' too: all refuse alike
    net.for_each_parameter([&](parameter& w) {
      if (!w.tied_to.empty()) ties_of.emplace_back(w.name, w.tied_to);
      if (!w.tied_to.empty() && !w.absent) wanted.push_back(w.tied_to);
    });
    for (auto const& [name, owner] : ties_of)
      for (auto const& [other, root] : ties_of)
        if (owner == other)
          throw error{"parallel::build",
                      "'" + name + "' is tied to '" + owner + "', which is tied to '" + root + "' itself",
                      "Tie both to the one that has memory of its own"};
    net.for_each_parameter([&](parameter& w) {
      if (std::find(names.begin(), names.end(), w.name) != names.end())
        throw error{"parallel::build", "two parameters are called '" + w.name + "'",
                    "Give every layer a name of its own"};
      names.push_back(w.name);
      int const position = parameters_++;
      if (w.absent) absent_.push_back(w.name);
      if (!w.in_arena || (!w.tied_to.empty() && !apart_)) return;
      if (w.absent && (!w.tied_to.empty() || std::find(wanted.begin(), wanted.end(), w.name) == wanted.end())) return;
      arena_entry e;
      e.position = position;
      e.name = w.name;
      e.shape = w.shape;
      e.begin = size_;
      e.end = size_ + w.size();
      e.kind = w.tied_to.empty() ? w.kind : parameter_kind::use;
      e.requires_grad = w.requires_grad;
      e.momentum = w.momentum;
      e.where = w.parts > 1 ? w.where : axis_placement{};
      e.room = w.largest();
      size_ = (e.begin + e.room + alignment - 1) / alignment * alignment;
      entries_.push_back(std::move(e));
    });
    net.for_each_parameter([&](parameter& w) {
      if (w.tied_to.empty() || w.absent) return;
      int const to = find(w.tied_to);
      if (to < 0)
        throw error{"parallel::build", "'" + w.name + "' is tied to '" + w.tied_to + "', which no parameter is called",
                    "Give tied_to the whole name of a parameter, such as 'embedding.weight'"};
      arena_entry& e = entries_[static_cast<std::size_t>(to)];
      if (w.parts > 1 && e.where != w.where)
        throw error{"parallel::build",
                    "'" + w.name + "', placed as " + w.where.to_string() + ", is tied to '" + e.name + "', placed as " +
                        e.where.to_string(),
                    "Place both alike: they are one array"};
      if (e.shape != w.shape)
        throw error{"parallel::build",
                    "'" + w.name + "' of shape " + w.shape.to_string() + " is tied to '" + e.name + "' of shape " +
                        e.shape.to_string(),
                    "Give both layers the same extents: they are one array"};
      if (apart_) {
        entries_[static_cast<std::size_t>(find(w.name))].owner = to;
      } else {
        ++e.use.expected;
        tied_ = true;
      }
    });
    arena_entry loss;
    loss.name = loss_entry;
    loss.shape = extents{1};
    loss.begin = size_;
    loss.end = size_ + 1;
    loss.room = 1;
    loss.kind = parameter_kind::statistic;
    loss.momentum = 1;
    loss.position = parameters_;
    size_ += alignment;
    entries_.push_back(std::move(loss));
  }

  std::vector<arena_entry> entries_;
  view values_;
  master_view gradients_, owned_gradients_, masters_;
  std::vector<master_view> state_;
  state_layout layout_;
  sharding over_;
  std::vector<owned_piece> pieces_;
  index_t size_ = 0;
  int slots_ = 0;
  bool tied_ = false, pooled_ = false, apart_ = false;
  int parameters_ = 0;
  std::vector<std::string> absent_;
};

}  // namespace pleat::nn
