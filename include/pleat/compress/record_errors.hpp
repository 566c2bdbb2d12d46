// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Fills the ledger of errors while a recipe runs: looks at every weight before and after each stage, and asks its form
/// what it promised.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/error_norms.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/error_ledger.hpp>
#include <pleat/compress/transform.hpp>
#include <pleat/nn/any_weight.hpp>
#include <pleat/parallel/model.hpp>

namespace pleat::compress {

namespace detail {

/// Decoded numbers of a weight on the host: in one of both, so that nothing is rounded. Where parameters are sharded
/// (state_stage = 3) every rank keeps a run of them, which begins at a multiple of error_chain.
struct weight_numbers {
  extents shape;
  index_t first = 0;
  std::vector<float> narrow;
  std::vector<double> wide;

  [[nodiscard]] std::size_t size() const noexcept { return std::max(narrow.size(), wide.size()); }
  [[nodiscard]] double operator[](std::size_t i) const noexcept {
    return wide.empty() ? static_cast<double>(narrow[i]) : wide[i];
  }
};

inline constexpr index_t error_chain = 4096;

/// max |a − b| and Σ (a − b)² (with b null: of a), in chains of 4096.
struct difference {
  double max = 0, squares = 0;

  /// \param chains the sums of this rank's chains among those of the weight, which `together` adds up over the ranks
  /// that have the others
  template <class Together>
  static difference of(weight_numbers const& a, weight_numbers const* b, Together&& together) {
    difference d;
    std::vector<double> chains;
    d.max = chains_of(a, b, chains);
    together(d.max, chains);
    for (double const c : chains) d.squares += c;
    return d;
  }

 private:
  PLEAT_ONCE static double chains_of(weight_numbers const& a, weight_numbers const* b, std::vector<double>& chains) {
    double max = 0;
    chains.assign(static_cast<std::size_t>((a.shape.size() + error_chain - 1) / error_chain), 0.0);
    for (std::size_t at = 0, k = static_cast<std::size_t>(a.first / error_chain); at < a.size(); ++k) {
      std::size_t const end = std::min(at + static_cast<std::size_t>(error_chain), a.size());
      for (; at < end; ++at) {
        double const e = std::fabs(a[at] - (b ? (*b)[at] : 0.0));
        max = std::max(max, e);
        chains[k] += e * e;
      }
    }
    return max;
  }
};

/// What one rank sees of one weight after a stage.
struct weight_change {
  weight_error row;
  bool counts = true, changed = false, resized = false, promised = false;
  difference predicted, measured, total, norm;
};

/// What weights were: before the stage, and when they were last begun anew.
class error_watch {
 public:
  PLEAT_LAZY explicit error_watch(error_ledger& to) : to_(&to) {}

  [[nodiscard]] bool begun() const noexcept { return begun_; }
  void set_begun() noexcept { begun_ = true; }
  /// Numbers are compared place by place with those of as many ranks. \param ranks who divide them among them; all
  /// ranks of a model know alike \throws error if the record has begun with another number
  PLEAT_ONCE void demand_divided(int ranks) {
    if (ranks_ == 0) ranks_ = ranks;
    if (ranks_ != ranks)
      throw error{
          "compress::record_errors",
          "this record began with parameters " + words_of(ranks_) + ", and the model has them " + words_of(ranks),
          "Give every recipe a record and a ledger of its own, or record models of one state stage"};
  }
  /// Whether a weight has the numbers that the last stage left, bit for bit: NaN is NaN again, and +0 is not −0.
  PLEAT_ONCE [[nodiscard]] bool left(std::string const& name, weight_numbers const& now) const {
    auto const was = known_.find(name);
    return was != known_.end() && was->second.before.shape == now.shape &&
           same_bits(was->second.before.narrow, now.narrow) && same_bits(was->second.before.wide, now.wide);
  }
  /// Every rank names all weights, and gives the numbers of those that it has.
  PLEAT_LAZY void enter(std::string const& name) { names_.push_back(name); }
  PLEAT_ONCE void enter(std::string const& name, std::string form, weight_numbers now) {
    known_[name] = {std::move(form), now, now};
  }

  /// Compares a weight with what it was. \param together (largest, sums) of those who have the other numbers
  /// \returns what it was before the stage, if its form may have promised something about that
  template <class Together>
  std::shared_ptr<weight_numbers const> look(weight_change& c, weight_numbers now, Together&& together) {
    auto& was = known_[c.row.weight];
    c.resized = was.before.shape != now.shape;
    if (!c.resized) {
      c.measured = difference::of(was.before, &now, together);
      c.changed = c.measured.max > 0;
      c.total = difference::of(was.reference, &now, together);
      c.norm = difference::of(was.reference, nullptr, together);
    }
    bool const touched = !c.resized && (c.changed || was.form != c.row.form);
    was.form = c.row.form;
    std::swap(was.before, now);
    return touched ? std::make_shared<weight_numbers const>(std::move(now)) : nullptr;
  }

  /// Puts together what the ranks saw. `reduce(values, maximum, parts)` reduces over the ranks that hold the parts of a
  /// weight, or over the stages.
  template <class Reduce>
  void finish(std::string stage, error_kind leaves, std::vector<weight_change> all, Reduce&& reduce) {
    std::vector<double> largest, squares;
    for (auto const& c : all) {
      largest.insert(largest.end(), {c.changed ? 1.0 : 0.0, c.resized ? 1.0 : 0.0, c.promised ? 1.0 : 0.0,
                                     c.predicted.max, c.measured.max, c.total.max});
      for (auto const* d : {&c.predicted, &c.measured, &c.total, &c.norm})
        squares.push_back(c.counts ? d->squares : 0.0);
    }
    reduce(largest, squares);
    settle(std::move(stage), leaves, std::move(all), largest, squares);
  }

 private:
  template <class T> [[nodiscard]] static bool same_bits(std::vector<T> const& a, std::vector<T> const& b) noexcept {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
  }
  PLEAT_ONCE [[nodiscard]] static std::string words_of(int ranks) {
    return ranks == 1 ? "whole on every rank" : "sharded over " + std::to_string(ranks) + " ranks";
  }
  struct known {
    std::string form;
    weight_numbers before, reference;
  };

  PLEAT_ONCE void settle(std::string stage, error_kind leaves, std::vector<weight_change> all,
                         std::vector<double> const& largest, std::vector<double> const& squares) {
    std::vector<weight_error> rows;
    for (std::size_t i = 0; i < all.size(); ++i) {
      auto& row = all[i].row;
      auto const* const m = largest.data() + 6 * i;
      auto const* const s = squares.data() + 4 * i;
      auto const norms = [](double max, double sum) {
        codec::error_norms e;
        e.max = max;
        e.frobenius = std::max(max, std::sqrt(sum));  // a square may vanish
        return e;
      };
      bool const changed = m[0] > 0, resized = m[1] > 0, promised = m[2] > 0;
      row.predicted = norms(m[3], s[0]);
      row.measured = norms(m[4], s[1]);
      row.total = norms(m[5], s[2]);
      row.norm = std::sqrt(s[3]);
      if (resized) row.kind = error_kind::resized;
      else if (!changed) row.kind = error_kind::exact;
      else if (leaves == error_kind::bounded) row.kind = promised ? error_kind::bounded : error_kind::measured;
      else row.kind = begins_anew(leaves) ? leaves : error_kind::measured;
      if (begins_anew(row.kind))
        if (auto const it = known_.find(row.weight); it != known_.end()) it->second.reference = it->second.before;
      rows.push_back(std::move(row));
    }
    for (auto& name : names_) {  // what is no weight of the model any more
      if (name.empty() || std::any_of(rows.begin(), rows.end(), [&](auto const& r) { return r.weight == name; }))
        continue;
      rows.push_back({.weight = std::exchange(name, {}), .form = {}, .kind = error_kind::resized});
    }
    to_->add(std::move(stage), std::move(rows));
  }

  error_ledger* to_;
  std::map<std::string, known> known_;
  std::vector<std::string> names_;
  int ranks_ = 0;  // none yet
  bool begun_ = false;
};

}  // namespace detail

/// What a transform leaves behind; one that does not say is measured.
template <class Step> [[nodiscard]] error_kind leaves_of(Step const& step) {
  if constexpr (requires {
                  { step.leaves_errors() } -> std::same_as<error_kind>;
                })
    return step.leaves_errors();
  else return error_kind::measured;
}

/// Record for pipeline::recorded: every stage enters the ledger, with what each weight matrix and kernel (parameters of
/// two dimensions or more) lost to it.
///
///     error_ledger errors;
///     auto small = model | (prune{…} | fine_tune(train) | quantize<>{}).recorded(record_errors(errors));
///     errors.print(std::cout);
///
/// or by hand, for models of several types: `record.begin(model); …; record.add("prune", error_kind::bounded,
/// pruned);`. The first model is what later ones are compared with; where training moved a weight (or a norm was
/// folded, or channels went), the weight as it is then takes its place.
///
/// The same ledger on every rank and for any number of data ranks; of weights that are cut, maxima and sums of squares
/// over the parts. Costs two copies of the weights on the host and a decode per stage; where parameters are sharded
/// (state_stage = 3) the ranks divide the copies among them, and one weight at a time comes together.
class record_errors {
 public:
  static constexpr bool takes_shards = true;  ///< runs where parameters are in pieces (state_stage = 3)

  PLEAT_ONCE explicit record_errors(error_ledger& to) : watch_(std::make_shared<detail::error_watch>(to)) {}

  /// What the first stage is compared with. Called by a pipeline before it begins; a second pipeline goes on where the
  /// first one ended. Collective. \throws error on every rank alike if it begins with another model than the last stage
  /// left
  template <class T, class Space> void begin(parallel::any_model<T, Space> const& m) const;

  template <class Step, class Net> void operator()(Step const& step, parallel::model<Net> const& m) const {
    add(detail::name_of_step(step), leaves_of(step), m);
  }

  /// A stage is over. Collective where weights are cut or on stages of a pipeline.
  template <class T, class Space>
  void add(std::string stage, error_kind leaves, parallel::any_model<T, Space> const& m) const;

 private:
  PLEAT_ONCE [[nodiscard]] static bool is_weight(nn::parameter const& w) {
    return w.tied_to.empty() && w.shape.rank() >= 2;
  }

  /// Of a weight that is open. \param shards those who divide the numbers among them; null: nobody does
  template <class T, class Space>
  [[nodiscard]] static detail::weight_numbers numbers_of(context<Space>& c, nn::any_weight<T, Space> const& w,
                                                         comm::communicator const* shards);
  /// All of them. Collective over the shards.
  PLEAT_ONCE [[nodiscard]] static detail::weight_numbers whole(detail::weight_numbers const& part,
                                                               comm::communicator* shards) {
    if (!shards || shards->size() == 1) return part;
    detail::weight_numbers all{part.shape, 0, {}, {}};
    auto const bring = [&](auto const& from, auto& to) {
      to.resize(static_cast<std::size_t>(part.shape.size()));  // every number is one rank's
      std::copy(from.begin(), from.end(), to.begin() + part.first);
      shards->all_reduce(to);
    };
    if (shards->all_reduce_value(part.wide.empty() ? 0 : 1, comm::reduction::max)) bring(part.wide, all.wide);
    else bring(part.narrow, all.narrow);
    return all;
  }
  /// What the form that the weight has now says of the numbers before.
  template <class T, class Space>
  static void promise(context<Space>& where, nn::any_weight<T, Space> const& w, detail::weight_numbers const& was,
                      detail::weight_change& c);

  std::shared_ptr<detail::error_watch> watch_;
};

template <class T, class Space> [[gnu::cold]] void record_errors::begin(parallel::any_model<T, Space> const& m) const {
  watch_->demand_divided(m.shards() ? m.shards()->size() : 1);
  if (watch_->begun()) {
    std::string other;
    nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
      if (!is_weight(w) || !w.materialised()) return;
      auto const open = m.open(const_cast<nn::any_weight<T, Space>&>(w));  // only read
      if (!watch_->left(w.name, numbers_of(m.context(), w, m.shards())) && other.empty()) other = w.name;
    });
    return comm::all_or_none(m.all_ranks(), [&] {
      if (!other.empty())
        throw error{
            "compress::record_errors",
            "this record ended with other numbers in '" + other + "' than the model has that it is to go on with",
            "Give every recipe a record and a ledger of its own; what changed a model between two recipes is told by "
            "record.add(name, kind, model)"};
    });
  }
  nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
    if (!is_weight(w)) return;
    watch_->enter(w.name);
    if (!w.materialised()) return;
    auto const open = m.open(const_cast<nn::any_weight<T, Space>&>(w));  // only read
    watch_->enter(w.name, std::string(w.form_name()), numbers_of(m.context(), w, m.shards()));
  });
  watch_->set_begun();
}

template <class T, class Space>
[[gnu::cold]] void record_errors::add(std::string stage, error_kind leaves,
                                      parallel::any_model<T, Space> const& m) const {
  auto* const shards = m.shards();
  watch_->demand_divided(shards ? shards->size() : 1);
  auto const together = [&](double& largest, std::vector<double>& chains) {
    if (!shards || shards->size() == 1) return;
    largest = shards->all_reduce_value(largest, comm::reduction::max);
    if (!chains.empty()) shards->all_reduce(chains);  // every chain is one rank's
  };
  std::vector<detail::weight_change> all;
  nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
    if (!is_weight(w)) return;
    detail::weight_change c;
    c.row.weight = w.name;
    c.row.form = w.form_name();
    c.counts = w.part == 0 || w.where.shards();
    if (w.materialised()) {
      auto const open = m.open(const_cast<nn::any_weight<T, Space>&>(w));  // only read
      if (auto const was = watch_->look(c, numbers_of(m.context(), w, shards), together))
        promise(m.context(), w, whole(*was, shards), c);
    }
    all.push_back(std::move(c));
  });
  watch_->finish(std::move(stage), leaves, std::move(all),
                 [&](std::vector<double>& largest, std::vector<double>& squares) {
                   if (m.parts().size() > 1)
                     m.parts().all_reduce(largest, comm::reduction::max), m.parts().all_reduce(squares);
                   if (m.pipeline().size() > 1)
                     m.pipeline().all_reduce(largest, comm::reduction::max),
                         m.pipeline().all_reduce(squares, comm::reduction::max);
                 });
}

template <class T, class Space>
detail::weight_numbers record_errors::numbers_of(context<Space>& c, nn::any_weight<T, Space> const& w,
                                                 comm::communicator const* shards) {
  auto const values = w.dense_values(c);
  index_range const run =
      shards ? block_range(w.size(), shards->size(), shards->rank(), detail::error_chain) : index_range{0, w.size()};
  detail::weight_numbers n{w.shape, run.begin, {}, {}};
  auto const size = static_cast<std::size_t>(run.size());
  auto const here = tensor<T, Space>::wrap(values.data() + run.begin, {run.size()});
  if constexpr (std::is_same_v<T, float>) {
    n.narrow.resize(size);
    copy_to_host(c, here, n.narrow.data());
  } else {
    std::vector<T> host(size);
    copy_to_host(c, here, host.data());
    if constexpr (std::is_same_v<T, double>) n.wide = std::move(host);
    else
      for (T const v : host) n.narrow.push_back(static_cast<float>(v));
  }
  return n;
}

template <class T, class Space>
void record_errors::promise(context<Space>& where, nn::any_weight<T, Space> const& w, detail::weight_numbers const& was,
                            detail::weight_change& c) {
  std::optional<codec::error_norms> said;
  if constexpr (std::is_same_v<T, float>) {
    said = w.predict(where, was.narrow);
  } else {
    std::vector<T> typed(was.size());
    for (std::size_t i = 0; i < typed.size(); ++i)
      typed[i] = std::is_same_v<T, double> ? static_cast<T>(was[i]) : static_cast<T>(static_cast<float>(was[i]));
    said = w.predict(where, typed);
  }
  if (!said) return;
  c.promised = true;
  c.predicted = {said->max, said->frobenius * said->frobenius};
}

}  // namespace pleat::compress
