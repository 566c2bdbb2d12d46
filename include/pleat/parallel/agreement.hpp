// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How ranks make sure that they are about to do the same: before the first step, and in every one.
///
/// Ranks that went apart (another number of batches, another frozen layer) would wait for each other in different
/// calls. So each says what it is about to contribute, in a message of a few words that travels beside the first
/// forward, on a communicator that nothing else uses.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/random.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/nn/layer.hpp>

namespace pleat::parallel {

/// A line for each parameter: what every rank must have alike, wherever the parameter lives.
template <class Net> [[nodiscard]] std::string words_of_parameters(Net const& net) {
  std::string all;
  nn::for_each_parameter(net, [&](nn::parameter const& w) {
    all += "'" + w.name + "' " + w.whole().to_string() + " " + std::string(name_of(w.type)) +
           (w.tied_to.empty() ? "" : " tied to '" + w.tied_to + "'") + "\n";
  });
  return all;
}

/// What a rank contributes to a step's sums, one byte per parameter of the whole network: whether it learns.
template <class Net> void contributions(Net const& net, std::vector<char>& flags) {
  flags.clear();
  nn::for_each_parameter(net, [&](nn::parameter const& w) { flags.push_back(w.requires_grad ? 1 : 0); });
}

/// One agreement per step. `open` says what this rank is about to do and does not wait; `settle` waits for what the
/// others said.
class step_agreement {
 public:
  /// What a rank is about to do.
  struct intent {
    std::uint64_t step = 0;
    index_t batch = 0;
    bool asked = false;  ///< this rank gives samples, of `sample`'s extents but for the first
    extents sample{};
  };

  /// \param ranks a communicator of its own; must outlive this
  PLEAT_ONCE explicit step_agreement(comm::communicator& ranks);

  [[nodiscard]] bool is_open() const noexcept { return open_; }

  /// Begins a step. Collective, does not wait. \param flags contributions of this rank
  PLEAT_ONCE void open(intent const& i, std::vector<char> const& flags);

  /// Waits, once per step; then it costs nothing. \param name number of a parameter → its name
  /// \returns the samples' extents as those said who give them; the first is 0
  /// \throws error on every rank alike, naming two ranks, what each is about to do, the step and the tensor
  template <class Name> extents settle(std::vector<char> const& flags, Name&& name) {
    if (!open_) return {};
    open_ = false;
    under_way_.wait();
    if (auto const other = compare(); other > 0) explain(other, flags, name);
    return sample_;
  }

 private:
  static constexpr std::size_t words = 6 + extents::max_rank;

  PLEAT_LAZY [[nodiscard]] std::span<std::int64_t const> of(std::size_t r) const {
    return std::span<std::int64_t const>(all_).subspan(words * r, words);
  }
  PLEAT_LAZY [[nodiscard]] std::string intends(std::size_t r) const {
    return "rank " + std::to_string(r) + " begins step " + std::to_string(of(r)[0]) + " with a batch of " +
           std::to_string(of(r)[1]);
  }

  /// Of one sample: "[1, 28, 28]".
  PLEAT_ONCE [[nodiscard]] std::string shape_of(std::size_t r) const {
    std::string text;
    for (std::int64_t d = 1; d < of(r)[5]; ++d)
      text += (d > 1 ? ", " : "") + std::to_string(of(r)[6 + static_cast<std::size_t>(d)]);
    return "[" + text + "]";
  }

  /// \returns the first rank that lets other parameters learn than rank 0; else 0
  PLEAT_ONCE [[nodiscard]] std::size_t compare();
  /// Collective: all compare all flags. \throws error
  template <class Name> [[noreturn]] void explain(std::size_t other, std::vector<char> const& flags, Name&& name) {
    std::vector<std::int8_t> const mine(flags.begin(), flags.end());
    std::vector<std::int8_t> all(mine.size() * static_cast<std::size_t>(ranks_->size()));
    ranks_->all_gather(mine, all);
    std::size_t i = 0;
    while (i + 1 < mine.size() && all[i] == all[other * mine.size() + i]) ++i;
    bool const learns = all[other * mine.size() + i] != 0;
    throw error{"parallel::agreement",
                "in step " + std::to_string(of(0)[0]) + " rank " + std::to_string(other) +
                    (learns ? " contributes a" : " contributes no") + " gradient of '" + name(i) + "', and rank 0 " +
                    (learns ? "none" : "one"),
                "Freeze the same parameters on every rank"};
  }

  comm::communicator* ranks_;
  std::array<std::int64_t, words> mine_{};
  std::vector<std::int64_t> all_;
  extents sample_{};
  bool open_ = false;
  comm::request under_way_;  // ends before the buffers that it writes
};

template <class> step_agreement::step_agreement(comm::communicator& ranks) : ranks_(&ranks) {
  all_.resize(words * static_cast<std::size_t>(ranks.size()));
}
PLEAT_COMPILED_ONCE(step_agreement::step_agreement(comm::communicator& ranks));

template <class> void step_agreement::open(intent const& i, std::vector<char> const& flags) {
  if (open_) settle(flags, [](std::size_t) { return std::string(); });  // a step that was begun and left
  mine_ = {static_cast<std::int64_t>(i.step),
           i.batch,
           static_cast<std::int64_t>(flags.size()),
           static_cast<std::int64_t>(random::hash(std::string_view(flags.data(), flags.size()))),
           i.asked ? 1 : 0,
           i.sample.rank()};
  for (int d = 1; d < i.sample.rank(); ++d) mine_[6 + static_cast<std::size_t>(d)] = i.sample[d];
  under_way_ = ranks_->iall_gather(std::span<std::int64_t const>(mine_), std::span<std::int64_t>(all_));
  open_ = true;
}
PLEAT_COMPILED_ONCE(void step_agreement::open(intent const& i, std::vector<char> const& flags));

template <class> std::size_t step_agreement::compare() {
  auto const n = static_cast<std::size_t>(ranks_->size());
  std::size_t shaped = n, other = 0;
  for (std::size_t r = 0; r < n; ++r) {
    if (of(r)[0] != of(0)[0] || of(r)[1] != of(0)[1])
      throw error{"parallel::agreement", intends(r) + ", but " + intends(0),
                  "Every rank must make the same steps in the same order"};
    if (of(r)[2] != of(0)[2])
      throw error{"parallel::agreement",
                  "in step " + std::to_string(of(0)[0]) + " rank " + std::to_string(r) + " has " +
                      std::to_string(of(r)[2]) + " parameters, and rank 0 " + std::to_string(of(0)[2]),
                  "Transform the network alike on every rank"};
    if (of(r)[3] != of(0)[3] && other == 0) other = r;
    if (of(r)[4] == 0) continue;
    if (shaped == n) shaped = r;
    if (!std::equal(of(r).begin() + 5, of(r).end(), of(shaped).begin() + 5))
      throw error{"parallel::agreement",
                  "the samples of ranks " + std::to_string(shaped) + " and " + std::to_string(r) +
                      " have different shapes in step " + std::to_string(of(0)[0]) + ": " + shape_of(shaped) + " and " +
                      shape_of(r),
                  "Give every rank samples of one shape; only their number may differ"};
  }
  sample_ = {};
  if (shaped < n) {
    std::array<index_t, extents::max_rank> dims{};
    std::copy_n(of(shaped).begin() + 6, dims.size(), dims.begin());
    sample_ = extents(std::span<index_t const>(dims.data(), static_cast<std::size_t>(of(shaped)[5])));
  }
  return other;
}
PLEAT_COMPILED_ONCE(std::size_t step_agreement::compare());

/// The same of one network: what each rank contributes is read off its parameters.
class network_agreement {
 public:
  /// \param ranks a communicator of its own; must outlive this
  PLEAT_LAZY explicit network_agreement(comm::communicator& ranks) : step_(ranks) {}

  /// Begins a step. Collective, does not wait.
  template <class Net> void open(step_agreement::intent const& i, Net const& net) {
    contributions(net, flags_);
    step_.open(i, flags_);
  }
  /// Waits, once per step; then it costs nothing. \returns the samples' extents as those said who give them
  /// \throws error on every rank alike, in words that name the parameter
  template <class Net> extents settle(Net const& net) {
    if (!step_.is_open()) return {};
    try {
      return step_.settle(flags_, [&](std::size_t i) {
        std::string name;
        std::size_t at = 0;
        nn::for_each_parameter(net, [&](nn::parameter const& w) {
          if (at++ == i) name = w.name;
        });
        return name;
      });
    } catch (error const& e) {
      throw error{"the agreement on what each rank contributes",
                  (e.call() == "parallel::agreement" ? "" : e.call() + ": ") + e.problem(), e.remedy()};
    }
  }

 private:
  step_agreement step_;
  std::vector<char> flags_;  // what was said
};

}  // namespace pleat::parallel
