// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Gradients that travel in a codec, with error feedback: parallel::build(net, plan, world, {.gradients =
/// coded(top_k{0.01})}).
///
/// Error feedback: rank r sends a coded û_r of u_r = g_r + e_r and keeps e_r = u_r − û_r for the next step, so that
/// over any number of steps Σ applied + Σ_r e_r = Σ_t Σ_r g_r, up to rounding: nothing is lost, it comes later.
#pragma once

#include <limits>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/parallel/coded_sum.hpp>
#include <pleat/parallel/gradient_codec.hpp>

namespace pleat::parallel {

/// How gradients travel in a codec.
struct coding_options {
  bool error_feedback = true;            ///< keep what was not sent, and add it to the next step's gradient
  bool even_if_it_does_not_pay = false;  ///< code every gradient that the codec can code: for tests and measurements
};

namespace detail {

/// What both kinds of coded sums have: the residual, and the numbers of the bucket that travel as they are.
template <class T> class coded_base : public coded_sum<T> {
 public:
  coded_base(comm::communicator& ranks, std::vector<coded_part> parts, bool feedback)
      : ranks_(&ranks), parts_(std::move(parts)) {
    std::size_t coded = 0, dense = 0;
    for (auto const& p : parts_) (p.coded ? coded : dense) += static_cast<std::size_t>(p.shape.size());
    if (feedback) residual_.assign(coded, T(0));
    dense_.resize(dense);
  }
  void residual(T* bucket) const override {
    T const* from = residual_.data();
    for (auto const& p : parts_)
      if (keeps(p)) from = copied(from, p.shape.size(), bucket + p.begin);
  }
  [[nodiscard]] bool keeps(coded_part const& p) const noexcept override { return p.coded && !residual_.empty(); }
  [[nodiscard]] std::vector<coded_part> const& parts() const noexcept override { return parts_; }
  void set_residual(T const* bucket) override {
    T* to = residual_.data();
    if (residual_.empty()) return;
    for (auto const& p : parts_)
      if (p.coded) to = std::copy(bucket + p.begin, bucket + p.begin + p.shape.size(), to);
  }

 protected:
  /// g += e. \returns whether all of g is finite
  bool feed_back(coded_part const& p, T const* e) noexcept {
    T* const g = bucket_ + p.begin;
    bool finite = true;
    for (index_t i = 0; i < p.shape.size(); ++i) {
      if (e) g[i] += e[i];
      finite = finite && std::abs(g[i]) <= std::numeric_limits<T>::max();
    }
    return finite;
  }
  /// The residual of the part that f is called for; null without error feedback.
  template <class F> void for_each_coded(F&& f) {
    T* e = residual_.empty() ? nullptr : residual_.data();
    for (auto const& p : parts_) {
      if (!p.coded) continue;
      f(p, e);
      if (e) e += p.shape.size();
    }
  }
  void start_dense() {
    if (dense_.empty()) return;
    T* at = dense_.data();
    for (auto const& p : parts_)
      if (!p.coded) at = std::copy(bucket_ + p.begin, bucket_ + p.begin + p.shape.size(), at);
    dense_request_ = ranks_->iall_reduce(std::span<T>(dense_), comm::reduction::sum);
  }
  void end_dense() noexcept {
    T const* at = dense_.data();
    for (auto const& p : parts_)
      if (!p.coded) at = copied(at, p.shape.size(), bucket_ + p.begin);
  }
  void undefined(coded_part const& p) noexcept {
    std::fill(bucket_ + p.begin, bucket_ + p.begin + p.shape.size(), std::numeric_limits<T>::quiet_NaN());
  }
  [[nodiscard]] index_t base_bytes() const noexcept {
    return static_cast<index_t>((residual_.size() + dense_.size()) * sizeof(T));
  }

  comm::communicator* ranks_;
  std::vector<coded_part> parts_;
  T* bucket_ = nullptr;

 private:
  static T const* copied(T const* from, index_t n, T* to) noexcept {
    std::copy(from, from + n, to);
    return from + n;
  }
  std::vector<T> residual_, dense_;

 protected:
  comm::request dense_request_;  // ends before what it reads
};

/// One message per bucket and rank, gathered: of each coded gradient eight bytes that say whether it is finite, then
/// the codec's bytes.
template <class Codec, class T> class gathered_sum final : public coded_base<T> {
  using base = coded_base<T>;

 public:
  gathered_sum(Codec codec, comm::communicator& ranks, std::vector<coded_part> parts, bool feedback)
      : base(ranks, std::move(parts), feedback), codec_(std::move(codec)) {
    for (auto const& p : this->parts_)
      if (p.coded) message_ += flag_bytes + codec_.template bytes<T>(p.shape);
    messages_.resize(static_cast<std::size_t>(message_ * ranks.size()));
  }
  [[nodiscard]] bool has_second() const noexcept override { return false; }
  void start_second() override {}
  void start(T* bucket) override {
    this->bucket_ = bucket;
    this->start_dense();
    std::byte* at = of(this->ranks_->rank());
    std::span<std::byte const> const mine(at, static_cast<std::size_t>(message_));
    this->for_each_coded([&](coded_part const& p, T const* e) {
      std::uint64_t const finite = this->feed_back(p, e) ? 1 : 0;
      put(at, 0, finite);
      if (finite) codec_.encode(p.shape, static_cast<T const*>(bucket + p.begin), at + flag_bytes);
      at += flag_bytes + codec_.template bytes<T>(p.shape);
    });
    request_ = this->ranks_->iall_gather(mine, std::span<std::byte>(messages_));
  }
  bool progress() override {
    bool const dense = this->dense_request_.test();
    return request_.test() && dense;
  }
  void wait() override {
    this->dense_request_.wait();
    request_.wait();
  }
  void end() noexcept override {
    this->end_dense();
    index_t at = 0;
    int const ranks = this->ranks_->size();
    this->for_each_coded([&](coded_part const& p, T* e) {
      T* const y = this->bucket_ + p.begin;
      bool finite = true;
      for (int r = 0; r < ranks; ++r) finite = finite && get<std::uint64_t>(of(r) + at, 0) != 0;
      if (!finite) {
        this->undefined(p);  // as a dense sum would be; what was kept stays kept
      } else {
        if (e) {
          std::copy(y, y + p.shape.size(), e);
          codec_.add(p.shape, of(this->ranks_->rank()) + at + flag_bytes, T(-1), e);
        }
        std::fill(y, y + p.shape.size(), T(0));
        for (int r = 0; r < ranks; ++r) codec_.add(p.shape, of(r) + at + flag_bytes, T(1), y);
      }
      at += flag_bytes + codec_.template bytes<T>(p.shape);
    });
  }
  [[nodiscard]] index_t bytes() const noexcept override {
    return this->base_bytes() + static_cast<index_t>(messages_.size());
  }

 private:
  static constexpr index_t flag_bytes = 8;
  [[nodiscard]] std::byte* of(int rank) noexcept { return messages_.data() + rank * message_; }
  Codec codec_;
  index_t message_ = 0;
  std::vector<std::byte> messages_;
  comm::request request_;
};

/// Two all-reduces per bucket: the first factors with one number per gradient that counts ranks where it is not finite,
/// then the second ones.
template <class Codec, class T> class factored_sum final : public coded_base<T> {
  using base = coded_base<T>;

 public:
  factored_sum(Codec codec, comm::communicator& ranks, comm::communicator& second, std::vector<coded_part> parts,
               bool feedback)
      : base(ranks, std::move(parts), feedback), codec_(std::move(codec)), second_(&second) {
    std::size_t p_size = 0, q_size = 0;
    for (auto const& p : this->parts_)
      if (p.coded) {
        p_size += static_cast<std::size_t>(codec_.rank_of(p.shape) * p.shape.rows) + 1;
        q_size += static_cast<std::size_t>(codec_.rank_of(p.shape) * p.shape.columns);
      }
    p_.resize(p_size);
    q_.resize(q_size);
    next_.resize(q_size);
    draw();
  }
  [[nodiscard]] bool has_second() const noexcept override { return true; }
  void start(T* bucket) override {
    this->bucket_ = bucket;
    half_ = 1;
    this->start_dense();
    walk([&](coded_part const& part, T* e, T* p, T*, T* next) {
      p[size_of_p(part)] = this->feed_back(part, e) ? T(0) : T(1);
      codec_.first(part.shape, static_cast<T const*>(bucket + part.begin), static_cast<T const*>(next), p);
    });
    request_ = this->ranks_->iall_reduce(std::span<T>(p_), comm::reduction::sum);
  }
  void start_second() override {
    half_ = 2;
    walk([&](coded_part const& part, T* e, T* p, T* q, T*) {
      index_t const n = size_of_p(part);
      bool finite = p[n] == T(0);  // the same bits on every rank, so the same decision
      for (index_t i = 0; i < n; ++i) finite = finite && std::abs(p[i]) <= std::numeric_limits<T>::max();
      p[n] = finite ? T(0) : T(1);
      if (!finite) return std::fill(q, q + codec_.rank_of(part.shape) * part.shape.columns, T(0));
      T const* const u = this->bucket_ + part.begin;
      codec_.between(part.shape, p);
      codec_.second(part.shape, u, static_cast<T const*>(p), q);
      if (!e) return;
      std::copy(u, u + part.shape.size(), e);
      codec_.add(part.shape, static_cast<T const*>(p), static_cast<T const*>(q), T(-1), e);
    });
    request_ = second_->iall_reduce(std::span<T>(q_), comm::reduction::sum);
  }
  bool progress() override {
    bool const dense = this->dense_request_.test();
    return request_.test() && dense;
  }
  void wait() override {
    request_.wait();
    this->dense_request_.wait();
  }
  void end() noexcept override {
    this->end_dense();
    ++steps_;
    walk([&](coded_part const& part, T*, T* p, T* q, T* next) {
      T* const y = this->bucket_ + part.begin;
      if (p[size_of_p(part)] != T(0)) return this->undefined(part);
      std::fill(y, y + part.shape.size(), T(0));
      codec_.add(part.shape, static_cast<T const*>(p), static_cast<T const*>(q), T(1), y);
      codec_.keep(part.shape, static_cast<T const*>(q), part.key + steps_, next);
    });
  }
  [[nodiscard]] index_t bytes() const noexcept override {
    return this->base_bytes() + static_cast<index_t>((p_.size() + q_.size() + next_.size()) * sizeof(T));
  }
  /// The second factor, which the next step begins with.
  [[nodiscard]] std::span<T> memory(std::size_t i) noexcept override {
    std::size_t at = 0;
    auto const length = [&](coded_part const& p) {
      return p.coded ? static_cast<std::size_t>(codec_.rank_of(p.shape) * p.shape.columns) : std::size_t{0};
    };
    for (std::size_t k = 0; k < i; ++k) at += length(this->parts_[k]);
    return std::span<T>(next_).subspan(at, length(this->parts_[i]));
  }
  [[nodiscard]] std::uint64_t steps() const noexcept override { return steps_; }
  void set_steps(std::uint64_t n) noexcept override { steps_ = n; }
  void begin_anew() noexcept override {
    steps_ = 0;
    draw();
  }

 private:
  void draw() noexcept {
    walk([&](coded_part const& p, T*, T*, T*, T* next) { codec_.draw(p.shape, p.key, next); });
  }
  [[nodiscard]] index_t size_of_p(coded_part const& p) const noexcept { return codec_.rank_of(p.shape) * p.shape.rows; }
  /// f(part, residual, first factor, second factor, what the next step begins with)
  template <class F> void walk(F&& f) {
    T *p = p_.data(), *q = q_.data(), *next = next_.data();
    this->for_each_coded([&](coded_part const& part, T* e) {
      f(part, e, p, q, next);
      p += size_of_p(part) + 1;
      q += codec_.rank_of(part.shape) * part.shape.columns;
      next += codec_.rank_of(part.shape) * part.shape.columns;
    });
  }
  Codec codec_;
  comm::communicator* second_;
  std::vector<T> p_, q_, next_;
  std::uint64_t steps_ = 0;
  int half_ = 0;
  comm::request request_;
};

template <class Codec> class coding_maker final : public gradient_coding::maker {
  static constexpr bool factored = std::is_same_v<typename Codec::exchange, exchanges::all_reduce>;

 public:
  coding_maker(Codec codec, coding_options o) : codec_(std::move(codec)), o_(o) {}
  [[nodiscard]] std::string words() const override {
    return std::string(codec_.words()) + (factored ? " by all-reduce" : " by all-gather") +
           (o_.error_feedback ? "" : ", without error feedback") +
           (o_.even_if_it_does_not_pay ? ", even if it does not pay" : "");
  }
  [[nodiscard]] bool two_halves() const noexcept override { return factored; }
  [[nodiscard]] bool error_feedback() const noexcept override { return o_.error_feedback; }
  [[nodiscard]] bool codes(gradient_shape s, int ranks, index_t element, int shards) const override {
    if (s.size() == 0) return false;
    if constexpr (factored) {
      if (codec_.rank_of(s) == 0) return false;
    } else {
      if (message(s, element) < 0) return false;
    }
    return o_.even_if_it_does_not_pay ||
           received(s, ranks, element) < dense_share(ranks, shards) * static_cast<double>(s.size() * element);
  }
  /// All-reduces are counted as rings, 2(p − 1)/p of the bytes; a gather brings the messages of p − 1 others.
  [[nodiscard]] double received(gradient_shape s, int ranks, index_t element) const override {
    if constexpr (factored)
      return dense_share(ranks, 1) * static_cast<double>((codec_.rank_of(s) * (s.rows + s.columns) + 1) * element);
    else return static_cast<double>(ranks - 1) * static_cast<double>(8 + message(s, element));
  }
  [[nodiscard]] std::unique_ptr<coded_sum<float>> make(comm::communicator& a, comm::communicator* b,
                                                       std::vector<coded_part> parts, float) const override {
    return made<float>(a, b, std::move(parts));
  }
  [[nodiscard]] std::unique_ptr<coded_sum<double>> make(comm::communicator& a, comm::communicator* b,
                                                        std::vector<coded_part> parts, double) const override {
    return made<double>(a, b, std::move(parts));
  }

 private:
  [[nodiscard]] index_t message(gradient_shape s, index_t element) const {
    return element == 4 ? codec_.template bytes<float>(s) : codec_.template bytes<double>(s);
  }
  template <class T>
  [[nodiscard]] std::unique_ptr<coded_sum<T>> made(comm::communicator& a, comm::communicator* b,
                                                   std::vector<coded_part> parts) const {
    if constexpr (factored) {
      if (!b)
        throw error{"parallel::gradient_coding", words() + " has second halves, and needs a communicator for them",
                    "Give it ranks.duplicate()"};
      return std::make_unique<factored_sum<Codec, T>>(codec_, a, *b, std::move(parts), o_.error_feedback);
    } else {
      return std::make_unique<gathered_sum<Codec, T>>(codec_, a, std::move(parts), o_.error_feedback);
    }
  }
  Codec codec_;
  coding_options o_;
};

/// The exchange that a codec names; all_gather of one that names none, for the sentence.
template <class Codec> struct exchange_of {
  using type = exchanges::all_gather;
};
template <class Codec>
  requires requires { typename Codec::exchange; }
struct exchange_of<Codec> {
  using type = typename Codec::exchange;
};

}  // namespace detail

/// Gradients travel in this codec: for build_options::gradients. A pair of codec and exchange that cannot work does not
/// compile.
/// \throws error for settings that cannot work
template <class Exchange = void, class Codec> [[nodiscard]] gradient_coding coded(Codec codec, coding_options o = {}) {
  using chosen = std::conditional_t<std::is_void_v<Exchange>, typename detail::exchange_of<Codec>::type, Exchange>;
  demand_gradient_codec<Codec, chosen>();
  if constexpr (requires { codec.check(); }) codec.check();
  if constexpr (requires { typename Codec::exchange; })
    return gradient_coding(std::make_shared<detail::coding_maker<Codec>>(std::move(codec), o));
  else return {};
}

}  // namespace pleat::parallel
