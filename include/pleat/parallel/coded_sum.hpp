// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What the exchange of gradients knows of gradient codecs: a bucket's coded sum behind one virtual call per phase, and
/// the choice of a codec as a value. The codecs are in gradient_codec.hpp.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/plan/plan.hpp>

namespace pleat::parallel {

/// A gradient as a matrix: of [out, in, …] the rows are the outputs. A vector is one row.
struct gradient_shape {
  index_t rows = 1, columns = 0;
  [[nodiscard]] constexpr index_t size() const noexcept { return rows * columns; }
};

/// What a rank receives of a gradient that is summed densely, as a share of its size: 2(p − 1)/p by a ring all-reduce
/// over p ranks. Where s of them divide a copy of the sum (state stage 1), (s − 1)/s scattered among those, and of the
/// piece 2(r − 1)/r from the r = p/s twins in other groups.
[[nodiscard]] constexpr double dense_share(int ranks, int shards) noexcept {
  double const s = shards, r = static_cast<double>(ranks) / shards;
  return (s - 1) / s + 2 * (r - 1) / r / s;
}

/// A parameter of a bucket as a codec sees it.
struct coded_part {
  index_t begin = 0;  ///< first element, in the bucket
  gradient_shape shape;
  std::uint64_t key = 0;  ///< of whatever is drawn for it: the hash of the parameter's name
  bool trainable = true;  ///< false: no gradient (a statistic, the loss); travels as it is
  bool coded = false;     ///< true: travels in the codec; false: as it is
};

/// The sum of one bucket over ranks whose gradients travel in a codec, started once per step; after construction it
/// allocates nothing. As parallel::bucket_sum: all ranks start first halves in one order, and second halves in that
/// order on a communicator of their own.
template <class T> class coded_sum {
 public:
  virtual ~coded_sum() = default;
  /// \param bucket this rank's gradients; when all is complete, the sum
  virtual void start(T* bucket) = 0;
  [[nodiscard]] virtual bool has_second() const noexcept = 0;
  virtual void start_second() = 0;
  /// Without waiting. \returns whether the half that is under way is complete
  virtual bool progress() = 0;
  virtual void wait() = 0;
  virtual void end() noexcept = 0;
  /// Memory beside the gradients: residual, messages.
  [[nodiscard]] virtual index_t bytes() const noexcept = 0;
  /// What this rank has not sent yet, per element of the bucket; elements of which nothing is kept are left alone.
  virtual void residual(T* bucket) const = 0;
  virtual void set_residual(T const* bucket) = 0;
  /// Whether something of a part may be kept.
  [[nodiscard]] virtual bool keeps(coded_part const& p) const noexcept = 0;
  [[nodiscard]] virtual std::vector<coded_part> const& parts() const noexcept = 0;
  /// What the codec itself keeps of part `i` of parts() from one step to the next, the same on every rank; may be
  /// empty.
  [[nodiscard]] virtual std::span<T> memory(std::size_t i) noexcept { return (void)i, std::span<T>(); }
  /// Sums that have been taken: what the codec draws may follow from it.
  [[nodiscard]] virtual std::uint64_t steps() const noexcept { return 0; }
  virtual void set_steps(std::uint64_t n) noexcept { (void)n; }
  /// The codec begins as it did when it was made; what was not sent yet stays.
  virtual void begin_anew() noexcept {}
};

/// Which codec gradients travel in, and how: made by parallel::coded, given to parallel::build. An empty one codes
/// nothing.
class gradient_coding {
 public:
  gradient_coding() = default;
  [[nodiscard]] explicit operator bool() const noexcept { return maker_ != nullptr; }
  /// The codec, its settings and its exchange; nothing if empty.
  PLEAT_LAZY [[nodiscard]] std::string words() const { return maker_ ? maker_->words() : std::string{}; }
  [[nodiscard]] bool two_halves() const noexcept { return maker_ && maker_->two_halves(); }
  /// Whether ranks keep what they did not send.
  [[nodiscard]] bool error_feedback() const noexcept { return maker_ && maker_->error_feedback(); }
  /// Whether a gradient of this shape is to travel in the codec. \param shards ranks that divide a copy of the sum
  /// (state stage 1): a dense sum would bring every rank its piece alone
  [[nodiscard]] bool codes(gradient_shape s, int ranks, index_t element_bytes, int shards = 1) const {
    return maker_ && maker_->codes(s, ranks, element_bytes, shards);
  }
  /// Bytes that a rank receives of a coded gradient per step. \see dense_share
  [[nodiscard]] double received(gradient_shape s, int ranks, index_t element_bytes) const {
    return maker_->received(s, ranks, element_bytes);
  }
  /// \param first, second must outlive what is made; `second` carries second halves, and may be null without them
  template <class T>
  [[nodiscard]] std::unique_ptr<coded_sum<T>> make(comm::communicator& first, comm::communicator* second,
                                                   std::vector<coded_part> parts) const {
    return maker_->make(first, second, std::move(parts), T{});
  }

  /// What stands behind a coding.
  struct maker {
    virtual ~maker() = default;
    [[nodiscard]] virtual std::string words() const = 0;
    [[nodiscard]] virtual bool two_halves() const noexcept = 0;
    [[nodiscard]] virtual bool error_feedback() const noexcept = 0;
    [[nodiscard]] virtual bool codes(gradient_shape, int ranks, index_t element_bytes, int shards) const = 0;
    [[nodiscard]] virtual double received(gradient_shape, int ranks, index_t element_bytes) const = 0;
    [[nodiscard]] virtual std::unique_ptr<coded_sum<float>> make(comm::communicator&, comm::communicator*,
                                                                 std::vector<coded_part>, float) const = 0;
    [[nodiscard]] virtual std::unique_ptr<coded_sum<double>> make(comm::communicator&, comm::communicator*,
                                                                  std::vector<coded_part>, double) const = 0;
  };
  explicit gradient_coding(std::shared_ptr<maker const> m) : maker_(std::move(m)) {}

 private:
  std::shared_ptr<maker const> maker_;
};

/// Whether what is left out of a gradient is one rank's matter. Where all ranks of the tensor axis have a parameter
/// whole, its gradient may be a sum over them; uses of a tied weight on several stages are summed over the pipeline.
/// Both after the sum over the data axis: who keeps what of them is no matter of a data rank, so they travel dense.
PLEAT_LAZY [[nodiscard]] inline bool is_of_one_rank(nn::arena_entry const& e, index_t tensor_ranks) noexcept {
  return e.kind != nn::parameter_kind::use && (tensor_ranks == 1 || e.where.shards());
}

/// The parameters of bucket b, and which of them travel coded.
PLEAT_ONCE [[nodiscard]] std::vector<coded_part> parts_of_bucket(std::vector<nn::arena_entry> const& entries,
                                                                 nn::state_layout const& layout, std::size_t b,
                                                                 gradient_coding const& coding, int ranks,
                                                                 index_t tensor_ranks, index_t element_bytes) {
  int const shards = layout.replicated(b) ? 1 : layout.shards();
  std::vector<coded_part> parts;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    auto const& e = entries[i];
    index_t const n = e.end - e.begin;
    if (layout.owner()[i] != static_cast<int>(b) || n == 0) continue;
    index_t const rows = e.shape.rank() > 1 && e.shape[0] > 0 ? e.shape[0] : 1;
    coded_part p{e.begin - layout.buckets()[b].begin,
                 {rows, n / rows},
                 random::hash(e.name),
                 e.kind != nn::parameter_kind::statistic && e.name != nn::loss_entry};
    p.coded = p.trainable && ranks > 1 && is_of_one_rank(e, tensor_ranks) &&
              coding.codes(p.shape, ranks, element_bytes, shards);
    parts.push_back(p);
  }
  return parts;
}
PLEAT_COMPILED_ONCE(std::vector<coded_part> parts_of_bucket(std::vector<nn::arena_entry> const& entries,
                                                            nn::state_layout const& layout, std::size_t b,
                                                            gradient_coding const& coding, int ranks,
                                                            index_t tensor_ranks, index_t element_bytes));

/// \throws error if this plan's gradients cannot travel in a codec
PLEAT_ONCE void demand_codable(plan::plan const& p, gradient_coding const& coding) {
  if (!coding) return;
  auto const refuse = [&](std::string const& what, std::string const& remedy) {
    throw error{"parallel::build", "gradients cannot travel as " + coding.words() + ": " + what, remedy};
  };
  std::string const or_dense = ", or leave build_options::gradients empty";
  if (p.deterministic)
    refuse(
        "deterministic mode promises the same bits on every number of ranks, and what a rank leaves out depends on "
        "which samples it has",
        "Set deterministic = false" + or_dense);
  if (p.state_stage > 1)
    refuse("state_stage = " + std::to_string(p.state_stage) +
               " gives the memory of gradients back with every micro-batch, and a residual belongs to all elements on "
               "every rank",
           "Use state_stage = 0 or 1" + or_dense);
  if (p.wire != plan::wire_format::same)
    refuse("the plan's wire rounds to 16 bits already", "Set wire = same" + or_dense);
  if (p.precision == plan::compute_precision::f16)
    refuse("residuals would be in units of the loss scale, which changes, and a skipped step would lose what was sent",
           "Use precision = bf16 or f32" + or_dense);
}
PLEAT_COMPILED_ONCE(void demand_codable(plan::plan const& p, gradient_coding const& coding));

/// The sentence about parameters that do not travel in the codec; empty if there are none or nothing travels.
template <class Arena>
[[nodiscard]] std::string words_of_bypass(Arena const& memory, gradient_coding const& coding, int ranks,
                                          index_t tensor_ranks) {
  if (!coding || ranks == 1) return {};
  index_t const element = static_cast<index_t>(sizeof(typename Arena::master_type));
  struct list {
    std::string names;
    index_t count = 0, bytes = 0;
    [[nodiscard]] std::string words() const {
      return "(" + names + (count > 4 ? ", …" : "") + "; " + std::to_string(bytes) + " bytes)";
    }
  } dear, common;
  index_t all = 0;
  for (std::size_t b = 0; b < memory.layout().buckets().size(); ++b)
    for (auto const& p : parts_of_bucket(memory.entries(), memory.layout(), b, coding, ranks, tensor_ranks, element)) {
      if (!p.trainable) continue;
      ++all;
      if (p.coded) continue;
      for (auto const& e : memory.entries()) {
        if (random::hash(e.name) != p.key) continue;
        list& l = is_of_one_rank(e, tensor_ranks) ? dear : common;
        if (++l.count <= 4) l.names += (l.names.empty() ? "'" : ", '") + e.name + "'";
        l.bytes += p.shape.size() * element;
      }
    }
  std::string const begin = "pleat: gradients travel as " + coding.words() + ", but ",
                    of = " of " + std::to_string(all) + " parameters ";
  std::string why;
  if (dear.count > 0)
    why = std::to_string(dear.count) + of + dear.words() + " travel dense: over " + std::to_string(ranks) +
          " ranks the codec would move no fewer bytes";
  if (common.count > 0)
    why += (why.empty() ? "" : "; and ") + std::to_string(common.count) + of + common.words() +
           " travel dense: their gradients may be sums over the tensor or the pipeline axis, too";
  return why.empty() ? why : begin + why;
}

}  // namespace pleat::parallel
