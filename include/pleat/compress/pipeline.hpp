// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Transforms one after the other.
///
///     auto small = model | prune{.sparsity = 0.9} | fine_tune(train) | quantize<codec::int8<float>>{};    // a model type per stage
///     auto small = model | (prune{.sparsity = 0.9} | fine_tune(train) | quantize<codec::int8<float>>{});  // one type for all of them
///
/// Both give the same model; the second compiles faster (one further model type instead of one per stage), and can
/// report its stages. The model on the left stays as it is; one that is given away (`std::move(model) | …`) is changed
/// in place where its type allows it.
#pragma once

#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <pleat/comm/agree.hpp>
#include <pleat/compress/transform.hpp>

namespace pleat::compress {

namespace detail {
struct no_recorder {
  static constexpr bool takes_shards = true;
  template <class Net, class T> void operator()(T const&, parallel::model<Net> const&) const {}
};
template <class T>
concept calls_off = requires(T const& t) { t.call_off(); };
/// f(). If it throws, steps hear that what others wait for will not come: their turn may be yet to come, or over.
template <class... Ts, class F> decltype(auto) or_call_off(std::tuple<Ts...> const& steps, F const& f) {
  if constexpr ((calls_off<Ts> || ...)) {
    try {
      return f();
    } catch (...) {
      auto const tell = []<class T>(T const& step) {
        if constexpr (calls_off<T>) {
          static_assert(noexcept(step.call_off()),
                        "pleat: call_off() of a transform must be noexcept: one that throws would keep the other steps "
                        "from being told");
          step.call_off();
        }
      };
      std::apply([&](auto const&... step) { (tell(step), ...); }, steps);
      throw;
    }
  } else {
    return f();
  }
}
/// A model whose weights can take what these steps add; by their tuple, because nvcc 13.0 does not read the pack of the
/// pipeline's class here.
template <class... Steps, class Net>
[[nodiscard]] auto widened_for(std::tuple<Steps...> const&, parallel::model<Net> const& m) {
  return widen_for<Steps...>(m);
}
/// First one, then the other.
template <class A, class B> struct two_recorders {
  static constexpr bool takes_shards = detail::takes_shards<A> && detail::takes_shards<B>;
  A first;
  B second;
  template <class Net> void begin(parallel::model<Net> const& m) const {
    if constexpr (requires { first.begin(m); }) first.begin(m);
    if constexpr (requires { second.begin(m); }) second.begin(m);
  }
  template <class Net, class T> void operator()(T const& step, parallel::model<Net> const& m) const {
    first(step, m), second(step, m);
  }
};
}  // namespace detail

/// Transforms that run one after the other on one model type.
template <class Recorder, class... Ts> class basic_pipeline {
 public:
  static_assert((fusable<Ts> && ...),
                "pleat: a pipeline takes transforms that can be fused ('using fusable_transform = void' and 'void "
                "run(model&) const'): "
                "apply the others to the model one by one, model | a | b");
  static_assert(!detail::stands_before<Ts...>({detail::masks<Ts>...}, {detail::resizes<Ts>...}),
                "pleat: this pipeline prunes single weights before it takes channels out, and only dense weights can "
                "lose rows and columns: prune_channels first, then prune");
  static_assert(
      !detail::stands_before<Ts...>({detail::needs_a_form<Ts>...}, {detail::shares_values<Ts>...}),
      "pleat: this pipeline entropy-codes before weights share values: share_weights first, then entropy_code");
  static_assert(!detail::stands_before<Ts...>({detail::shares_values<Ts>...}, {detail::writes_weights<Ts>...}),
                "pleat: this pipeline prunes after weights share values, and coded weights cannot be pruned: prune "
                "first, then share_weights, then entropy_code");
  static_assert(!detail::stands_before<Ts...>({detail::makes_factors<Ts>...},
                                              {(detail::writes_weights<Ts> || detail::resizes<Ts>)...}),
                "pleat: this pipeline prunes after it factors weights, and factors cannot be pruned: prune first, and "
                "let sparse_low_rank keep what survived apart");
  static_assert(!detail::stands_before<Ts...>({detail::encodes<Ts>...}, {detail::shares_values<Ts>...}),
                "pleat: this pipeline shares values of weights that are encoded already: share_weights comes after "
                "prune and before quantize and entropy_code");
  static_assert(
      !detail::stands_before<Ts...>({((detail::encodes<Ts> && !detail::makes_factors<Ts>) || detail::trains_codes<Ts> ||
                                      detail::shares_values<Ts>)...},
                                    {detail::makes_factors<Ts>...}),
      "pleat: this pipeline factors weights that are quantized or share values already, and factors are made of "
      "numbers: low_rank first, then quantize, which stores the factors in its form");
  static_assert(!detail::stands_before<Ts...>({detail::masks<Ts>...}, {detail::fills_zeros<Ts>...}),
                "pleat: this pipeline factors weights after it prunes them, and factors would fill the zeros: "
                "sparse_low_rank keeps what survived apart");
  static_assert(!detail::stands_before<Ts...>({(detail::encodes<Ts> || detail::trains_codes<Ts> ||
                                                detail::shares_values<Ts>)...},
                                              {detail::folds<Ts>...}),
                "pleat: this pipeline folds batch norms after it quantizes, and a norm cannot be folded into codes: "
                "fold first, then quantize");
  static_assert(
      !detail::stands_before<Ts...>({detail::encodes<Ts>...}, {detail::trains_codes<Ts>...}),
      "pleat: this pipeline trains codes of weights that are encoded already: quantize_aware comes before quantize");
  static_assert(detail::trained_codes_are_stored<Ts...>(),
                "pleat: this pipeline trains the codes of one form and stores others, which nobody trained: after "
                "quantize_aware<F> say quantize<F>, of the same form");
  static_assert(!detail::stands_before<Ts...>({detail::trains_codes<Ts>...},
                                              {(detail::writes_weights<Ts> || detail::shares_values<Ts>)...}),
                "pleat: this pipeline prunes or shares values after quantization-aware training, which would undo it: "
                "prune first, then quantize_aware, then quantize");
  static_assert(detail::stands_before<Ts...>({detail::shares_values<Ts>...}, {detail::writes_weights<Ts>...}) ||
                    detail::order_is_legal<Ts...>(),
                "pleat: this pipeline prunes after it quantizes, and quantized weights cannot be pruned: prune first, "
                "then quantize");

  static constexpr bool takes_parts = (detail::takes_parts<Ts> && ...);
  /// This pipeline's recorder and a further one.
  template <class Record>
  using recorder_with = std::conditional_t<std::is_same_v<Recorder, detail::no_recorder>, Record,
                                           detail::two_recorders<Recorder, Record>>;
  // a recorder of somebody's may look at whole weights
  static constexpr bool takes_shards = detail::takes_shards<Recorder> && (detail::takes_shards<Ts> && ...);

  explicit basic_pipeline(std::tuple<Ts...> steps, Recorder recorder = {})
      : steps_(std::move(steps)), recorder_(std::move(recorder)) {}

  /// The transforms, in order.
  [[nodiscard]] std::tuple<Ts...> const& steps() const& noexcept { return steps_; }
  /// The same of a pipeline that is given away.
  [[nodiscard]] std::tuple<Ts...> steps() && { return std::move(steps_); }

  /// The same pipeline that calls record(step, model) after each step: the transform, and the model as it is then; and,
  /// if there is such a member, record.begin(model) before the first. One that records already calls both. A record
  /// that says `takes_shards = true` is shown models whose parameters are sharded (state_stage = 3); for others they
  /// are gathered.
  template <class Record> [[nodiscard]] basic_pipeline<recorder_with<Record>, Ts...> recorded(Record record) && {
    if constexpr (std::is_same_v<Recorder, detail::no_recorder>)
      return basic_pipeline<Record, Ts...>(std::move(steps_), std::move(record));
    else
      return basic_pipeline<recorder_with<Record>, Ts...>(std::move(steps_), {std::move(recorder_), std::move(record)});
  }
  /// The same of a pipeline that stays as it is.
  template <class Record> [[nodiscard]] basic_pipeline<recorder_with<Record>, Ts...> recorded(Record record) const& {
    return basic_pipeline(*this).recorded(std::move(record));
  }

  /// The transformed model; `m` stays as it is. Collective.
  template <class Net> [[nodiscard]] auto operator()(parallel::model<Net> const& m) const {
    auto out = detail::widened_for(steps_, m);
    run(out);
    return out;
  }
  /// The same for a model that is given away.
  template <class Net> [[nodiscard]] auto operator()(parallel::model<Net>&& m) const {
    if constexpr (std::is_same_v<decltype(widen<Ts...>(m)), parallel::model<Net>>) {
      run(m);
      return parallel::model<Net>(std::move(m));
    } else {
      return (*this)(std::as_const(m));
    }
  }
  /// In place, on a model whose weights can take all forms that are added. \see widen
  /// \throws error on every rank alike if what steps say of themselves (name and settings) differs between ranks
  template <class Net> void run(parallel::model<Net>& m) const {
    detail::or_call_off(steps_, [&] {
      std::apply(
          [&](auto const&... step) {
            comm::agree_on_text(m.all_ranks(), (detail::words_of_step(step) + ...), "compress", "what is asked",
                                "Give every rank the same transforms with the same settings");
          },
          steps_);
      if constexpr (requires { recorder_.begin(std::as_const(m)); }) recorder_.begin(std::as_const(m));
      std::apply([&](auto const&... step) { ((step.run(m), recorder_(step, std::as_const(m))), ...); }, steps_);
    });
  }

 private:
  std::tuple<Ts...> steps_;
  Recorder recorder_;
};

template <class... Ts> using pipeline = basic_pipeline<detail::no_recorder, Ts...>;

namespace detail {
template <class... Ts> [[nodiscard]] pipeline<Ts...> make_pipeline(std::tuple<Ts...> steps) {
  return pipeline<Ts...>(std::move(steps));
}
template <class T> struct is_pipeline {
  static constexpr bool value = false;
};
template <class... Ts> struct is_pipeline<pipeline<Ts...>> {
  static constexpr bool value = true;
};
template <class T>
concept step_or_pipeline = fusable<std::remove_cvref_t<T>> || is_pipeline<std::remove_cvref_t<T>>::value;
/// A transform alone is a tuple of one.
template <class T> [[nodiscard]] auto steps_of(T&& t) {
  if constexpr (is_pipeline<std::remove_cvref_t<T>>::value) return std::forward<T>(t).steps();
  else return std::tuple<std::remove_cvref_t<T>>(std::forward<T>(t));
}

/// Of parameters that are sharded (state_stage = 3) a transform that says nothing gets whole ones, and its result is
/// sharded again.
template <class Model, class P> [[nodiscard]] auto applied(Model&& m, P const& p) {
  return or_call_off(p.steps(), [&]() -> std::remove_cvref_t<decltype(p(std::forward<Model>(m)))> {
    if constexpr (!takes_parts<P>) m.demand_uncut("compress");
    if constexpr (!takes_shards<P>)
      if (m.shards()) {
        say_gathered(m, {}, "what needs whole ones");
        return p(m.unsharded()).replanned(m.plan());
      }
    return p(std::forward<Model>(m));
  });
}
/// A transform alone is a pipeline of one.
template <class Model, class T> [[nodiscard]] auto transformed(Model&& m, T const& t) {
  if constexpr (fusable<T>) {
    return applied(std::forward<Model>(m), pipeline<T>(std::tuple<T>(t)));
  } else if constexpr (requires { t.steps(); }) {
    return applied(std::forward<Model>(m), t);
  } else {
    if constexpr (takes_parts<std::remove_cvref_t<T>>) m.demand_gathered("compress");
    else m.demand_whole_parameters("compress");
    static_assert(std::is_invocable_v<T const&, Model&&>,
                  "pleat: the right side of model | … is no transform: it can neither be called with the model, nor "
                  "has it 'using fusable_transform = void' and 'void run(model&) const'");
    return t(std::forward<Model>(m));
  }
}
}  // namespace detail

/// a | b: first a, then b, on one model type.
template <detail::step_or_pipeline A, detail::step_or_pipeline B> [[nodiscard]] auto operator|(A&& a, B&& b) {
  return detail::make_pipeline(
      std::tuple_cat(detail::steps_of(std::forward<A>(a)), detail::steps_of(std::forward<B>(b))));
}

}  // namespace pleat::compress

namespace pleat::parallel {

// Here, so that it is found for a transform of any namespace.

/// The transformed model; `m` stays as it is. Collective.
template <class Net, class T> [[nodiscard]] auto operator|(model<Net> const& m, T const& t) {
  return compress::detail::transformed(m, t);
}
/// The transformed model; `m` is given away. Collective.
template <class Net, class T> [[nodiscard]] auto operator|(model<Net>&& m, T const& t) {
  return compress::detail::transformed(std::move(m), t);
}

}  // namespace pleat::parallel
