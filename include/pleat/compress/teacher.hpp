// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Whoever can be asked for scores of samples: a model in this process, scores on disk (target_cache.hpp), ranks
/// elsewhere (remote_teacher.hpp).
#pragma once

#include <array>
#include <exception>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/units.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/run/batch.hpp>

namespace pleat::compress {

/// A question to a teacher: these samples of the student's data set, in this order.
struct question {
  io::dataset const* data = nullptr;
  std::span<index_t const> samples;
  std::span<index_t const> taps;  ///< features after the first so many units, ascending
};

/// A teacher's answer, on the host: no tensor crosses from one context to another.
struct answer {
  std::vector<float> scores;                 ///< [samples, classes], of windows [samples, positions, classes]
  std::vector<std::vector<float>> features;  ///< per tap [samples, width]
};

/// A teacher by value, its type forgotten: asked once per micro-batch. Several may teach one student.
class teacher {
 public:
  /// Where the answers come from: a model here, ranks elsewhere, or a file.
  struct source {
    std::string name;           ///< for messages
    bool has_features = false;  ///< can answer for taps
    /// optional: the question comes early, the answer may be prepared
    std::function<void(question const&)> announce{};
    std::function<void(question const&, answer&)> ask{};
    std::function<void()> done{};  ///< optional: no more questions
    /// ranks of the world that answer only together: they ask the same in the same order; empty: each for itself
    std::vector<int> together{};
    /// of each rank of its world a number: all of them ask at once, before a step, and ranks of one number ask for the
    /// same samples; empty: not so
    std::vector<int> at_once{};
    std::string parted{};  ///< for messages: how it lies over ranks, where not whole on each
  };

  /// One of the user's own.
  explicit teacher(source s, double weight = 1) : source_(std::move(s)), weight_(weight) {
    demand_weight();
    if (source_.parted.empty() && !(source_.together.empty() && source_.at_once.empty()))
      source_.parted = "in parts on several ranks";
  }

  /// A model of this process; it must live as long as the teacher, and may be of any type: dense, pruned, quantized. One
  /// that is cut over the tensor axis gives scores to students that are cut over the same ranks: they ask together.
  /// Collective then over those ranks. One in stages, or of sharded parameters (state_stage = 3), gives scores to
  /// students on the same ranks: all of them ask at once, before each step. Collective then over its mesh.
  template <class Net> explicit teacher(parallel::model<Net> const& m, double weight = 1) : weight_(weight) {
    demand_weight();
    bool const sharded = m.plan().state_stage == 3, staged = m.layout().count() > 1, cut = m.parts().size() > 1;
    bool const by_all = (sharded || staged) && m.all_ranks().size() > 1;
    source_.name = "a model";
    source_.has_features = !sharded && !staged && !cut;
    source_.parted = staged ? "in stages" : sharded ? "of sharded parameters" : cut ? "cut over the tensor axis" : "";
    if (by_all) source_.at_once = data_positions(m);
    else if (cut) source_.together = tensor_group(m);
    source_.ask = [&m, by_all](question const& q, answer& a) { answer_from(m, q, a, by_all); };
  }
  template <class Net> explicit teacher(parallel::model<Net>&&, double = 1) = delete;

  [[nodiscard]] double weight() const noexcept { return weight_; }
  [[nodiscard]] std::string const& name() const noexcept { return source_.name; }
  [[nodiscard]] bool has_features() const noexcept { return source_.has_features; }
  void announce(question const& q) const {
    if (source_.announce) source_.announce(q);
  }
  void ask(question const& q, answer& a) const { source_.ask(q, a); }
  void done() const {
    if (source_.done) source_.done();
  }
  /// Ranks of the world that ask together; empty: each for itself.
  [[nodiscard]] std::vector<int> const& together() const noexcept { return source_.together; }
  /// Of each rank of its world which share of the samples it asks for, where all of them ask at once; else empty.
  [[nodiscard]] std::vector<int> const& at_once() const noexcept { return source_.at_once; }
  /// "cut over the tensor axis", "in stages", "of sharded parameters"; nothing where each rank has all of it.
  [[nodiscard]] std::string const& parted() const noexcept { return source_.parted; }
  /// \throws error for a teacher that no rank can ask alone
  void demand_alone(char const* call) const {
    if (together().empty() && at_once().empty()) return;
    throw error{
        call, "the teacher (" + name() + ") is " + parted() + ": no rank can ask it for samples of its own",
        "Load its file into a model that each rank has whole: mesh.tensor = 1, mesh.pipeline = 1, state_stage = 0"};
  }
  /// Where each rank of a model's mesh stands on the data axis. Collective over the mesh.
  template <class Net> [[nodiscard]] static std::vector<int> data_positions(parallel::model<Net> const& m) {
    std::vector<int> const mine{m.ranks().rank()};
    std::vector<int> all(static_cast<std::size_t>(m.all_ranks().size()));
    m.all_ranks().all_gather(mine, all);
    return all;
  }
  /// The ranks of the world that hold the parts of what this rank holds parts of. Collective over them.
  template <class Net> [[nodiscard]] static std::vector<int> tensor_group(parallel::model<Net> const& m) {
    std::vector<int> const mine{m.all_ranks().rank()};
    std::vector<int> all(static_cast<std::size_t>(m.parts().size()));
    m.parts().all_gather(mine, all);
    return all;
  }

 private:
  void demand_weight() const {
    if (!(weight_ > 0) || !std::isfinite(weight_))
      throw error{"compress::teacher", "a teacher's weight must be positive, found " + std::to_string(weight_),
                  "Say 1, or leave this teacher out"};
  }
  template <class Tensor, class Context> static std::vector<float> on_host(Context& c, Tensor const& t) {
    using T = typename Tensor::value_type;
    if constexpr (std::is_same_v<T, float>) {
      std::vector<float> host(static_cast<std::size_t>(t.size()));
      copy_to_host(c, t, host.data());
      return host;
    } else {
      std::vector<T> host(static_cast<std::size_t>(t.size()));
      copy_to_host(c, t, host.data());
      std::vector<float> out;
      for (T const v : host) out.push_back(static_cast<float>(v));
      return out;
    }
  }
  /// \throws comm::done_in_vain
  [[noreturn]] static void fail_in_vain(std::exception_ptr const& failed) {
    try {
      std::rethrow_exception(failed);
    } catch (...) {
      throw comm::done_in_vain(comm::detail::error_of_words(comm::detail::words_of_failure("compress::teacher")));
    }
  }
  /// \param by_all other ranks wait for this one's part of every layer, also where it has no samples, and where it
  /// cannot load them: then it answers zeros, and throws afterwards
  template <class Net>
  static void answer_from(parallel::model<Net> const& m, question const& q, answer& a, bool by_all) {
    using T = nn::value_type_of<Net>;
    using Space = nn::space_of<Net>;
    auto& c = m.context();
    bool const none = q.samples.empty();  // more ranks than samples
    std::array const first{index_t{0}};
    auto const samples = none ? std::span<index_t const>(first) : q.samples;
    tensor<T, Space> x;
    std::exception_ptr failed;
    if (!none || by_all) {
      try {
        run::batch_loader<T, Space> loader(*q.data, false);
        x = loader.load(c, samples).x;
      } catch (...) {
        if (!by_all) throw;
        failed = std::current_exception();
        x = tensor<T, Space>::allocate(c, run::batch_shape(*q.data, static_cast<index_t>(samples.size())));
        compute::fill(c.space(), x.size(), T(0), x.data());
      }
    }
    a = {{}, std::vector<std::vector<float>>(none ? q.taps.size() : 0)};
    if (none || failed) {
      if (by_all) (void)m.predict(std::move(x));
      if (failed) fail_in_vain(failed);
      return;
    }
    if (q.taps.empty()) {
      a.scores = on_host(c, m.predict(std::move(x)));
      return;
    }
    nn::pass<Space> p;
    p.where = &c;
    p.seed = m.seed();
    p.step = m.steps();
    p.deterministic = m.plan().deterministic;
    typename Net::saved nothing;
    index_t at = 0;
    for (index_t const tap : q.taps) {
      if (tap < at || tap > nn::units_of(m.net()))
        throw error{"compress::teacher",
                    "a feature after unit " + std::to_string(tap) + " of a teacher of " +
                        std::to_string(nn::units_of(m.net())) + " units",
                    "Let the hint look at a unit that the teacher has: its teacher_unit"};
      x = nn::forward_units(p, m.net(), at, tap, std::move(x), nothing);
      a.features.push_back(on_host(c, x));
      at = tap;
    }
    a.scores = on_host(c, nn::forward_units(p, m.net(), at, nn::units_of(m.net()), std::move(x), nothing));
  }

  source source_;
  double weight_ = 1;
};

}  // namespace pleat::compress
