// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What of a network lives on this rank: its stages' weights, the ranks that it shares them with, and their values as
/// values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/random.hpp>
#include <pleat/codec/dense.hpp>
#include <pleat/comm/agree.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/parallel/agreement.hpp>
#include <pleat/parallel/groups.hpp>
#include <pleat/parallel/move_report.hpp>
#include <pleat/parallel/network.hpp>
#include <pleat/parallel/parameter_gather.hpp>
#include <pleat/parallel/shard_group.hpp>
#include <pleat/parallel/stages.hpp>
#include <pleat/parallel/step_words.hpp>
#include <pleat/parallel/tensor_recipe.hpp>
#include <pleat/parallel/tensor_sums.hpp>
#include <pleat/plan/ledger.hpp>
#include <pleat/plan/plan.hpp>
#include <pleat/tensor/mesh.hpp>

namespace pleat::parallel {

/// What every rank of a plan's mesh has of a network, before anything is computed with it. The model is one that can be
/// trained and asked. Made by parallel::build alone.
template <class T, class Space> class replica {
 public:
  using value_type = T;
  using execution_space = Space;
  using tensor_type = tensor<value_type, execution_space>;
  using context_type = pleat::context<execution_space>;
  using arena_type = nn::arena<value_type, execution_space>;
  using network_base = network<value_type, execution_space>;

  /// The network as it is asked by those who need not know its type. As everything that shows values, this waits for
  /// those that the last step sends; a reference or a pointer from before that step is good again after settle().
  /// (any_model's waits for gradients, too.)
  [[nodiscard]] network_base const& any_net() const { return receive_values(), *network_; }
  [[nodiscard]] network_base& any_net() { return receive_values(), *network_; }
  [[nodiscard]] plan::plan const& plan() const noexcept { return plan_; }
  [[nodiscard]] arena_type& arena() { return receive_values(), *arena_; }
  [[nodiscard]] arena_type const& arena() const { return receive_values(), *arena_; }
  [[nodiscard]] context_type& context() const noexcept { return *context_; }
  /// Those that share the batch: the data axis, which this rank's stages are replicated over.
  [[nodiscard]] comm::communicator& ranks() const noexcept { return *ranks_; }
  /// One line to the sink that the world had when the model was built, from its rank 0; others are not heard (law 10).
  /// Copies of the model, and what transforms make of it, speak to the same.
  void say(std::string_view line) const {
    if (groups_->voice) groups_->voice(line);
  }
  /// Those that share the layers out: the pipeline axis.
  [[nodiscard]] comm::communicator& pipeline() const noexcept { return groups_->pipeline(); }
  /// Those that hold the parts of each weight: the tensor axis.
  [[nodiscard]] comm::communicator& parts() const noexcept { return groups_->tensor(); }
  /// Activations of this rank's stages that had to move because a layer got them placed otherwise than it needs them,
  /// as they have been met so far; said once, by the first rank that has the stage: on meshes without a pipeline the
  /// world's rank 0.
  [[nodiscard]] std::vector<move_report::entry> moves() const {
    return moves_ ? moves_->entries() : std::vector<move_report::entry>{};
  }
  /// All ranks of the mesh, numbered as the world's.
  [[nodiscard]] comm::communicator& all_ranks() const noexcept { return groups_->all(); }
  /// Which units are where, and who does what when.
  [[nodiscard]] stages const& layout() const noexcept { return *layout_; }
  /// Whether this rank has the first (last) stage: it is asked for input (for the loss).
  [[nodiscard]] bool has_first_stage() const noexcept { return layout_->first_rank() == pipeline().rank(); }
  [[nodiscard]] bool has_last_stage() const noexcept { return layout_->last_rank() == pipeline().rank(); }
  /// Waiting longer than this for other ranks throws, and names who did not come. Negative: for ever. Call it on all
  /// ranks alike.
  /// \throws error if the transport has no time-outs
  void set_timeout(double seconds) const {
    for (auto* c : {&all_ranks(), ranks_.get(), &pipeline(), &parts(), &groups_->agreement, group_->members.get(),
                    group_->gathers.get(), group_->replicas.get(), group_->second_halves.get()})
      if (c && c->size() > 1) c->set_timeout(seconds);
  }
  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
  /// Steps done, those that moved nothing counted.
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }
  void set_steps(std::uint64_t n) noexcept { steps_ = n; }

  // --- its values
  // ------------------------------------------------------------------------------------------------------------

  /// Takes the parameter values of another replica of this network; the optimizer's state stays.
  void take_values(replica const& other) {
    receive_values();
    other.receive_values();
    codec::detail::copy_values(*context_, static_cast<value_type const*>(other.arena_->values()), arena_->values(),
                               group_->stage == 3 ? arena_->owned() : arena_->size());
    context_->fence();
    values_changed();
  }

  /// All parameter values in the arena's flat order, on the host. Collective at stage 3.
  [[nodiscard]] std::vector<value_type> host_values() const {
    if (group_->stage == 3) return whole_of<value_type>(*context_, *group_, *arena_, arena_->values());
    receive_values();
    std::vector<value_type> flat(static_cast<std::size_t>(arena_->size()));
    copy_to_host(*context_, tensor_type::wrap(arena_->values(), extents{arena_->size()}), flat.data());
    return flat;
  }
  /// The values that this rank holds, as they lie: flat, at stage 3 its pieces one after the other.
  [[nodiscard]] std::vector<value_type> held_values() const {
    receive_values();
    std::vector<value_type> here(static_cast<std::size_t>(group_->stage == 3 ? arena_->owned() : arena_->size()));
    copy_to_host(*context_, tensor_type::wrap(arena_->values(), extents{static_cast<index_t>(here.size())}),
                 here.data());
    return here;
  }
  /// Takes them back: every rank its own. \throws error for another number of elements
  void set_held_values(std::vector<value_type> const& here) {
    demand_elements("parallel::set_held_values", "held_values()", here.size(),
                    group_->stage == 3 ? arena_->owned() : arena_->size());
    receive_values();
    copy_from_host(*context_, here.data(),
                   tensor_type::wrap(arena_->values(), extents{static_cast<index_t>(here.size())}));
    values_changed();
  }
  /// Buffer i of the optimizer in the arena's flat order, on the host. Collective where state is sharded.
  [[nodiscard]] std::vector<nn::master_t<value_type>> host_state(int i) const {
    return whole_of<nn::master_t<value_type>>(*context_, *group_, *arena_, arena_->state(i));
  }
  /// Takes values in flat order: the same on every rank. \throws error for another number of elements
  void set_host_values(std::vector<value_type> const& flat) {
    demand_elements("parallel::set_host_values", "host_values()", flat.size(), arena_->size());
    receive_values();
    if (group_->stage == 3) take_pieces(*context_, *arena_, flat, arena_->values());
    else copy_from_host(*context_, flat.data(), tensor_type::wrap(arena_->values(), extents{arena_->size()}));
    values_changed();
  }
  /// One parameter's values (of its part, where it is cut along the tensor axis) on the host. Collective at stage 3:
  /// its bucket is gathered as a layer's is.
  [[nodiscard]] std::vector<value_type> host_values_of(nn::parameter const& w) const {
    std::vector<value_type> v(static_cast<std::size_t>(w.size()));
    struct opened_values {
      nn::parameter of;
      parameter_gather<value_type, execution_space>* gather;
      ~opened_values() {
        if (gather) gather->close_values(of);
      }
    } opened{w, gather_.get()};
    if (gather_) gather_->open_values(opened.of, false);
    copy_to_host(*context_, tensor_type::wrap(static_cast<value_type*>(opened.of.values), extents{w.size()}), v.data());
    return v;
  }
  /// A parameter whose values are all here for as long as this lives: at stage 3 its bucket is gathered, as a layer's
  /// is, by the ranks that share it, which all open the same parameters in the same order.
  class opened {
   public:
    opened(opened const&) = delete;
    opened& operator=(opened const&) = delete;
    ~opened() {
      if (!gather_) return;
      where_->fence();  // nothing reads the buffer any more
      gather_->close_values(*w_);
    }

   private:
    friend class replica;
    opened(parameter_gather<value_type, execution_space>* gather, nn::parameter& w, context_type& where)
        : gather_(gather), w_(&w), where_(&where) {
      if (gather_) gather_->open_values(w, false);
    }
    parameter_gather<value_type, execution_space>* gather_;
    nn::parameter* w_;
    context_type* where_;
  };
  /// \param wanted false: it stays closed
  [[nodiscard]] opened open(nn::parameter& w, bool wanted = true) const {
    return opened(wanted ? gather_.get() : nullptr, w, *context_);
  }
  /// Takes them: the same on every data rank, which keeps what it holds. To be followed by values_changed.
  void set_host_values_of(nn::parameter const& w, std::span<value_type const> values) {
    auto const here = held(w);
    copy_from_host(*context_, values.data() + here.range.begin,
                   tensor_type::wrap(here.values, extents{here.range.size()}));
  }

  /// The elements of a parameter that live on this rank, and where: at stage 3 those of its pieces, else all of its
  /// part.
  struct held_elements {
    index_range range{};           ///< of the part, row-major
    value_type* values = nullptr;  ///< in the space's memory
  };
  [[nodiscard]] held_elements held(nn::parameter const& w) const {
    receive_values();
    if (group_->stage < 3) return {{0, w.size()}, static_cast<value_type*>(w.values)};
    auto const& e = arena_->entries()[static_cast<std::size_t>(arena_->values_of(w.id))];
    for (auto const& p : arena_->pieces())  // an entry lies in one bucket, of which this rank has one piece
      if (index_range const r = intersect(index_range{e.begin, e.end}, index_range{p.begin, p.end}); !r.empty())
        return {{r.begin - e.begin, r.end - e.begin}, arena_->owned_values(p) + (r.begin - p.begin)};
    return {};
  }
  /// Those that hold a parameter's elements between them; null where every data rank has them all.
  [[nodiscard]] comm::communicator* shards() const noexcept {
    return group_->stage == 3 ? group_->members.get() : nullptr;
  }

  /// Those that divide the optimizer's state, and with it the sums of gradients; null at state stage 0.
  [[nodiscard]] comm::communicator* state_shards() const noexcept { return group_->members.get(); }
  /// The elements of a parameter whose gradients' sums are on this rank once they are reduced, and which its optimizer
  /// moves: all of its part at state stage 0, else those of a piece. In the space's memory.
  struct summed_elements {
    index_range range{};  ///< of the part, row-major
    value_type* values = nullptr;
    nn::master_t<value_type>* gradient = nullptr;
  };
  [[nodiscard]] summed_elements summed(nn::parameter const& w) const {
    receive_values();
    auto const& e = arena_->entries()[static_cast<std::size_t>(arena_->values_of(w.id))];
    for (auto const& p : arena_->pieces())  // an entry lies in one bucket, of which this rank has one piece
      if (index_range const r = intersect(index_range{e.begin, e.end}, index_range{p.begin, p.end}); !r.empty())
        return {{r.begin - e.begin, r.end - e.begin},
                arena_->owned_values(p) + (r.begin - p.begin),
                arena_->owned_gradients(p) + (r.begin - p.begin)};
    return {};
  }

  void set_host_state(int i, std::vector<nn::master_t<value_type>> const& flat) {
    take_pieces(*context_, *arena_, flat, arena_->state(i));
  }

  /// After the arena's values were written from outside (a checkpoint): gathered copies are forgotten, masters take
  /// them.
  void values_changed() {
    if (gather_ && group_->stage == 3) gather_->forget();
    arena_->widen(*context_);
  }

  /// After a weight took another form or mask: tells the arena which elements stay zero.
  void refresh_masks() { arena_->attach(*network_); }

  /// 64 bits of all parameter values: equal on all ranks as long as the replicas agree. Collective at stage 3.
  [[nodiscard]] std::uint64_t checksum() const { return hash_of(host_values()); }

  /// Compares the values that several ranks hold: replicas over the data axis, at stage 3 the same pieces of other
  /// groups (hybrid sharding), and what the tensor axis does not cut. Nothing is gathered. At stage 3 with one group
  /// and no tensor axis every value is on one rank alone: there is nothing to compare, and nothing is done. Collective.
  /// \throws error on every rank alike if two differ, with both ranks
  [[gnu::cold]] void demand_equal_replicas() const {
    auto const cut = static_cast<std::size_t>(parts().size()), data = static_cast<std::size_t>(ranks_->size());
    std::size_t const shards = group_->stage == 3 ? static_cast<std::size_t>(group_->shards) : 1;
    if (shards == data && cut == 1) return;
    auto const held = held_values();
    auto const demand_alike = [&](std::uint64_t mine, std::string const& what, auto&& twin) {
      std::vector<std::uint64_t> all(static_cast<std::size_t>(all_ranks().size()));
      all_ranks().all_gather(std::span<std::uint64_t const>(&mine, 1), std::span<std::uint64_t>(all));
      for (std::size_t r = 1; r < all.size(); ++r)
        if (std::size_t const like = twin(r); all[r] != all[like])
          throw error{"parallel::demand_equal_replicas",
                      "after step " + std::to_string(steps_) + " the " + what + " of rank " + std::to_string(r) +
                          " differ from those of rank " + std::to_string(like),
                      "Data or code differs between ranks; compare their inputs"};
    };
    std::string const what = shards > 1 ? "pieces of parameters" : "parameters";
    // whom rank r is compared with, of those along some axes; `first` says it of its place among them
    auto const in_group = [&](std::size_t r, axis_set axes, auto&& first) {
      auto const& m = groups_->grid.mesh();
      int const rank = static_cast<int>(r);
      return static_cast<std::size_t>(m.group(rank, axes)[first(m.position(rank, axes))]);
    };
    demand_alike(hash_of(held), what, [&](std::size_t r) {
      return in_group(r, groups_->data_axes,
                      [&](int at) { return shards > 1 ? static_cast<int>(group_->place.first_twin_of(at)) : 0; });
    });
    if (cut > 1)
      demand_alike(replicated_hash(*arena_, held), "replicated " + what,
                   [&](std::size_t r) { return in_group(r, groups_->tensor_axes, [](int) { return 0; }); });
  }

  /// \throws error if parameters are cut along the tensor axis
  void demand_uncut(char const* call) const {
    if (tensor_axis())
      throw error{call,
                  "the parameters are cut along the tensor axis (mesh.tensor = " + std::to_string(parts().size()) +
                      "): no rank holds whole ones",
                  "Use mesh.tensor = 1 where this is needed"};
  }
  /// \throws error if parameters are sharded or cut, so that no rank can look at whole ones
  void demand_whole_parameters(char const* call) const {
    demand_uncut(call);
    demand_gathered(call);
  }
  /// \throws error if parameters are sharded over the data axis, so that no rank holds all of its stages' ones
  void demand_gathered(char const* call) const {
    if (group_->stage == 3)
      throw error{call, "the parameters are sharded (state_stage = 3): no rank holds a whole one",
                  "Give it model.unsharded(); model.replanned(plan) shards again"};
  }

 protected:
  [[gnu::cold]] replica(std::unique_ptr<network_base> net, plan::plan p, std::shared_ptr<context_type> where,
                        std::shared_ptr<groups> mesh, std::shared_ptr<stages const> layout, std::uint64_t seed)
      : network_(std::move(net)),
        plan_(std::move(p)),
        context_(std::move(where)),
        groups_(std::move(mesh)),
        ranks_(groups_, &groups_->data()),
        layout_(std::move(layout)),
        seed_(seed) {}
  replica(replica&&) noexcept = default;
  replica& operator=(replica&&) noexcept = default;
  ~replica() = default;

  [[nodiscard]] static std::uint64_t hash_of(std::vector<value_type> const& values) {
    return random::hash(
        std::string_view(reinterpret_cast<char const*>(values.data()), values.size() * sizeof(value_type)));
  }
  void demand_elements(char const* call, char const* like, std::size_t found, index_t expected) const {
    if (static_cast<index_t>(found) != expected)
      throw error{
          call,
          "expected " + std::to_string(expected) + " numbers, as " + like + " gives, found " + std::to_string(found),
          "Give it what that returned on this rank", all_ranks().rank()};
  }

  /// The door to this rank's values: what the last step sends has come.
  void receive_values() const {
    if (gather_ && gather_->travelling()) finish_values();
  }
  /// Waits for values that still travel.
  void finish_values() const;  // outside of the class: who asks for a network compiles none of it

  /// Before anything is allocated. Collective. \throws error on every rank alike if plan, seed, placements, network or
  /// what `further` is the hash of differ
  [[gnu::cold]] void agree_on_plan(std::uint64_t further = 0) const {
    comm::agree_on_hash(
        all_ranks(), plan_.hash() ^ (seed_ * 0x9e3779b97f4a7c15u) ^ placements_hash(*network_) ^ further,
        "parallel::build", "plan, seed, placement, cuts or gradient codec", "Give every rank the same options");
    comm::agree_on_text(all_ranks(), words_of_parameters(*network_), "parallel::build", "the network",
                        "Build the same network on every rank");
  }

  /// Parameters of the same name take the values of another network's; forms keep their content. Collective at stage 3.
  [[gnu::cold]] void take_named(replica const& from) {
    if (group_->stage == 3) {
      std::map<std::string, nn::parameter> theirs;
      from.network_->for_each_parameter([&](nn::parameter const& w) {
        if (w.in_arena && w.tied_to.empty()) theirs.emplace(w.name, w);
      });
      network_->for_each_parameter([&](nn::parameter const& w) {  // one after the other: no rank holds all of them
        auto const it = w.in_arena && w.tied_to.empty() ? theirs.find(w.name) : theirs.end();
        if (it == theirs.end()) return;
        auto to = w;
        to.id = arena_->find(w.name);  // also an owner on another stage of a tied weight that is here
        it->second.id = from.arena_->find(w.name);
        if (to.id < 0 || it->second.id < 0) return;
        auto values = from.host_values_of(it->second);
        values.resize(static_cast<std::size_t>(to.size()));
        set_host_values_of(to, values);
      });
      take_loss(from);
      return values_changed();
    }
    from.receive_values();
    for (auto const& e : arena_->entries()) {
      int const at = from.arena_->find(e.name);
      if (at >= 0)
        codec::detail::copy_values(
            *context_,
            static_cast<value_type const*>(from.arena_->values() +
                                           from.arena_->entries()[static_cast<std::size_t>(at)].begin),
            arena_->values() + e.begin, e.end - e.begin);
      else arena_->clear_values(e);
    }
    context_->fence();
  }

  /// The last loss lies among the values, but no layer has it: from a rank that holds it there to those that hold it
  /// here.
  [[gnu::cold]] void take_loss(replica const& from) {
    auto const place = [](replica const& r) {
      nn::parameter loss;
      loss.shape = extents{1};
      loss.id = r.arena_->find(nn::loss_entry);
      if (r.group_->stage < 3)
        loss.values = r.arena_->values() + r.arena_->entries()[static_cast<std::size_t>(loss.id)].begin;
      return r.held(loss);
    };
    auto const there = place(from), here = place(*this);
    value_type v{};
    if (!there.range.empty()) copy_to_host(*context_, tensor_type::wrap(there.values, extents{1}), &v);
    if (auto* const between = from.shards()) {
      int const holder =
          between->all_reduce_value(there.range.empty() ? between->size() : between->rank(), comm::reduction::min);
      v = value_type(between->broadcast_value(static_cast<nn::master_t<value_type>>(v), holder));
    }
    if (!here.range.empty()) copy_from_host(*context_, &v, tensor_type::wrap(here.values, extents{1}));
  }

  /// Sums must not depend on which stage, or when, a use of a tied weight is computed.
  [[nodiscard]] nn::tied_gradients ties() const noexcept {
    return plan::ties_apart(plan_) ? nn::tied_gradients::apart : nn::tied_gradients::shared;
  }
  /// Null where nothing is cut.
  [[nodiscard]] comm::communicator* tensor_axis() const noexcept { return parts().size() > 1 ? &parts() : nullptr; }

  std::unique_ptr<network_base> network_;  // of fixed address: work under way points into it
  plan::plan plan_;
  std::shared_ptr<context_type> context_;
  std::shared_ptr<groups> groups_;
  std::shared_ptr<comm::communicator> ranks_;  // the data axis
  std::shared_ptr<stages const> layout_;
  std::unique_ptr<arena_type> arena_;  // of fixed address: the exchange and the parameters point into it
  std::shared_ptr<shard_group> group_;
  std::shared_ptr<move_report> moves_;
  std::unique_ptr<parameter_gather<value_type, execution_space>> gather_;  // null at stage 0
  std::uint64_t seed_ = 0, steps_ = 0;
};

template <class T, class Space> void replica<T, Space>::finish_values() const {
  in_phase({all_ranks().size() > 1, groups_->hybrid(), all_ranks().rank()}, steps_ - 1, "parallel::step",
           "the optimizer's step", [&] { gather_->finish(); });
}

}  // namespace pleat::parallel
