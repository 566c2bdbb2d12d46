// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a transform is: a map model → model. A transform that `|` can fuse with its neighbours is a struct with
///
///     using fusable_transform = void;
///     template <class Net> void run(parallel::model<Net>& m) const;  // changes m, whose weights can take the forms that it adds
///     template <class T> using form = …;                             // the form that it adds to weights of value type T, if any
///     template <class T> using form_set = codec::forms<…>;           // or several of them
///     static constexpr bool makes_factors = true;                    // it factors weights (default: false)
///     static constexpr bool stores_factors = true;                   // it gives factors forms: sets that have low_rank get codec::factors, too (default: false)
///     static constexpr bool encodes = true;                          // afterwards weights cannot be written any more (default: false)
///     static constexpr bool writes_weights = true;                   // it changes weights element by element (default: false)
///     static constexpr bool shares_values = true;                    // it finds few values for many elements (default: false)
///     template <class T> using needs_form = …;                       // the form that some weights must be able to take already, if any
///     static constexpr bool resizes = true;                          // it changes extents, of dense weights only (default: false)
///     static constexpr bool folds = true;                            // it multiplies rows of weights by factors (default: false)
///     static constexpr bool trains_codes = true;                     // it trains weights as codes, which it changes (default: false)
///     static constexpr bool fills_zeros = true;                      // what was zero is not afterwards (default: false)
///     static constexpr bool takes_parts = true;                      // it works on weights that are cut over the ranks (default: false)
///     static constexpr bool takes_shards = true;                     // and on parameters of which every rank has pieces (state_stage = 3); others get them whole
///     static constexpr bool only_reads = true;                       // it writes no value of the model that it is given, which it leaves behind: m = m.clone() (default: false)
///     static constexpr char const* what = "…";                       // for messages (optional)
///     std::string name() const;                                      // the same with the setting that matters most, for reports (optional)
///     void settings(settings_words& say) const;                      // say("bound", bound), …: ranks compare them before it begins (optional)
///     error_kind leaves_errors() const;                              // what the ledger of errors may believe (default: measured)
///     void call_off() const noexcept;                                // its pipeline ends by an exception, before its turn or after; perhaps more than once: others may wait for it (optional)
///
/// The type of the model changes once (`widen`); everything else is a run-time value, per parameter name. Anything else
/// that can be called with a model and returns one is a transform too, on its own.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/codec/form.hpp>
#include <pleat/compress/detail/did_you_mean.hpp>
#include <pleat/compress/error_ledger.hpp>
#include <pleat/compress/settings.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/nn/trainable.hpp>
#include <pleat/parallel/model.hpp>

namespace pleat::compress {

/// Who hears what a transform has to say (law 10): called on rank 0 only. Empty: the sink of the model's world.
using listener = std::function<void(std::string_view line)>;

namespace detail {

PLEAT_ONCE [[nodiscard]] bool matches_any(std::vector<std::string> const& patterns, std::string_view name) {
  for (auto const& p : patterns)
    if (nn::matches(p, name)) return true;
  return false;
}
PLEAT_COMPILED_ONCE(bool matches_any(std::vector<std::string> const& patterns, std::string_view name));

/// A pattern that is meant for something and fits no name is a misspelt one, and would have no effect. \param option
/// where it was given: ".ignore"
/// \param known all names, those of other stages too: every rank says the same \throws error with the nearest of them
PLEAT_ONCE void demand_fitting(char const* call, char const* option, std::vector<std::string> const& patterns,
                               std::vector<std::string> const& known) {
  for (auto const& p : patterns) {
    if (std::any_of(known.begin(), known.end(), [&](auto const& name) { return nn::matches(p, name); })) continue;
    std::vector<std::string> closest;
    for (auto const& name : known) {
      closest.push_back(name);
      if (auto const dot = name.rfind('.'); dot != std::string::npos) closest.push_back(name.substr(0, dot) + ".*");
    }
    throw error{call, "no name in the network fits '" + p + "' of " + option, did_you_mean(p, closest)};
  }
}
PLEAT_COMPILED_ONCE(void demand_fitting(char const* call, char const* option, std::vector<std::string> const& patterns,
                                        std::vector<std::string> const& known));
/// The same of the names of parameters. \throws error on every rank alike
template <class T, class Space>
void demand_names(parallel::any_model<T, Space>& m, char const* call, char const* option,
                  std::vector<std::string> const& patterns) {
  if (patterns.empty()) return;
  std::vector<std::string> known;
  m.any_net().for_each_parameter([&](nn::parameter const& w) { known.push_back(w.name); });
  demand_fitting(call, option, patterns, known);
}

template <class T, class Space>
void say(parallel::any_model<T, Space> const& m, listener const& to, std::string const& line) {
  if (!to) m.say(line);
  else if (m.all_ranks().rank() == 0) to(line);
}

/// What reports call a step.
template <class Step> [[nodiscard]] std::string name_of_step(Step const& step) {
  if constexpr (requires {
                  { step.name() } -> std::convertible_to<std::string>;
                })
    return step.name();
  else if constexpr (requires { std::string(Step::what); }) return Step::what;
  else return "a transform of the user's";
}

/// What ranks must have been told alike, a line for the step and for each of its settings.
template <class Step> [[nodiscard]] std::string words_of_step(Step const& step) {
  static_assert(
      tells_settings<Step> || !requires { step.settings(); },
      "pleat: a transform tells its settings by 'void settings(pleat::compress::settings_words& say) const'");
  settings_words words(name_of_step(step));
  if constexpr (tells_settings<Step>) step.settings(words);
  return words.text();
}

// Functions, not lambdas in an initialiser: clang 16 crashes on those.
template <class T> [[nodiscard]] consteval bool says_encodes() {
  if constexpr (requires {
                  { T::encodes } -> std::convertible_to<bool>;
                })
    return static_cast<bool>(T::encodes);
  else return false;
}
template <class T> inline constexpr bool encodes = says_encodes<T>();
template <class T> [[nodiscard]] consteval bool says_writes_weights() {
  if constexpr (requires {
                  { T::writes_weights } -> std::convertible_to<bool>;
                })
    return static_cast<bool>(T::writes_weights);
  else return false;
}
template <class T> inline constexpr bool writes_weights = says_writes_weights<T>();
template <class T> [[nodiscard]] consteval bool says_shares_values() {
  if constexpr (requires {
                  { T::shares_values } -> std::convertible_to<bool>;
                })
    return static_cast<bool>(T::shares_values);
  else return false;
}
template <class T> inline constexpr bool shares_values = says_shares_values<T>();
template <class T> [[nodiscard]] consteval bool says_folds() {
  if constexpr (requires {
                  { T::folds } -> std::convertible_to<bool>;
                })
    return static_cast<bool>(T::folds);
  else return false;
}
template <class T> inline constexpr bool folds = says_folds<T>();
template <class T> [[nodiscard]] consteval bool says_trains_codes() {
  if constexpr (requires {
                  { T::trains_codes } -> std::convertible_to<bool>;
                })
    return static_cast<bool>(T::trains_codes);
  else return false;
}
template <class T> inline constexpr bool trains_codes = says_trains_codes<T>();
template <class T> [[nodiscard]] consteval bool says_resizes() {
  if constexpr (requires {
                  { T::resizes } -> std::convertible_to<bool>;
                })
    return static_cast<bool>(T::resizes);
  else return false;
}
template <class T> inline constexpr bool resizes = says_resizes<T>();
/// It sets single weights to zero.
template <class T> [[nodiscard]] consteval bool says_masks() {
  if constexpr (requires { typename T::template form<float>; })
    return T::template form<float>::trainable && writes_weights<T>;
  else return false;
}
template <class T> inline constexpr bool masks = says_masks<T>();
template <class T> [[nodiscard]] consteval bool says_fills_zeros() {
  if constexpr (requires {
                  { T::fills_zeros } -> std::convertible_to<bool>;
                })
    return static_cast<bool>(T::fills_zeros);
  else return false;
}
template <class T> inline constexpr bool fills_zeros = says_fills_zeros<T>();
template <class T> [[nodiscard]] consteval bool says_takes_parts() {
  if constexpr (requires {
                  { T::takes_parts } -> std::convertible_to<bool>;
                })
    return static_cast<bool>(T::takes_parts);
  else return false;
}
template <class T> inline constexpr bool takes_parts = says_takes_parts<T>();
template <class T> [[nodiscard]] consteval bool says_takes_shards() {
  if constexpr (requires {
                  { T::takes_shards } -> std::convertible_to<bool>;
                })
    return static_cast<bool>(T::takes_shards);
  else return false;
}
template <class T> inline constexpr bool takes_shards = says_takes_shards<T>();
template <class T> [[nodiscard]] consteval bool says_only_reads() {
  if constexpr (requires {
                  { T::only_reads } -> std::convertible_to<bool>;
                })
    return static_cast<bool>(T::only_reads);
  else return false;
}
template <class T> inline constexpr bool only_reads = says_only_reads<T>();
template <class T> [[nodiscard]] consteval bool says_stores_factors() {
  if constexpr (requires {
                  { T::stores_factors } -> std::convertible_to<bool>;
                })
    return static_cast<bool>(T::stores_factors);
  else return false;
}
template <class T> inline constexpr bool stores_factors = says_stores_factors<T>();
template <class T> [[nodiscard]] consteval bool says_makes_factors() {
  if constexpr (requires {
                  { T::makes_factors } -> std::convertible_to<bool>;
                })
    return static_cast<bool>(T::makes_factors);
  else return false;
}
template <class T> inline constexpr bool makes_factors = says_makes_factors<T>();
template <class T> inline constexpr bool needs_a_form = requires { typename T::template needs_form<float>; };

/// A set of forms with the one that a transform adds.
template <class Forms, class Transform> struct added {
  using type = Forms;
};
template <class Forms, class Transform>
  requires requires { typename Transform::template form<typename Forms::value_type>; }
struct added<Forms, Transform> {
  using type = typename Forms::template with<typename Transform::template form<typename Forms::value_type>>;
};
template <class Forms, class... More> struct joined {
  using type = Forms;
};
template <class Forms, class First, class... Rest>
struct joined<Forms, First, Rest...> : joined<typename Forms::template with<First>, Rest...> {};
template <class Forms, class Set> struct joined_set;
template <class Forms, class... More> struct joined_set<Forms, codec::forms<More...>> : joined<Forms, More...> {};
template <class Forms, class Transform>
  requires requires { typename Transform::template form_set<typename Forms::value_type>; }
struct added<Forms, Transform> : joined_set<Forms, typename Transform::template form_set<typename Forms::value_type>> {
};
using codec::detail::refined_of;
template <class Forms, class Refined> struct with_one {
  static_assert(
      requires { sizeof(Refined); },
      "pleat: this model's weights may be factored, and their factors are to be stored in forms of their own: include "
      "<pleat/codec/factors.hpp>");
  using type = typename Forms::template with<Refined>;
};
template <class Forms> struct with_one<Forms, void> {
  using type = Forms;
};
template <class Forms, class... Fs> struct with_refined {
  using type = Forms;
};
template <class Forms, class First, class... Rest>
struct with_refined<Forms, First, Rest...>
    : with_refined<typename with_one<Forms, typename refined_of<First>::type>::type, Rest...> {};
/// A set with the forms of factors that its members have, if the transform gives them such.
template <class Forms, class Transform> struct refined_set {
  using type = Forms;
};
template <class... Fs, class Transform>
  requires stores_factors<Transform>
struct refined_set<codec::forms<Fs...>, Transform> : with_refined<codec::forms<Fs...>, Fs...> {};

template <class Forms, class... Transforms> struct widened {
  using type = Forms;
};
template <class Forms, class First, class... Rest>
struct widened<Forms, First, Rest...>
    : widened<typename refined_set<typename added<Forms, First>::type, First>::type, Rest...> {};

/// True if a set has the form that a transform asks for.
template <class Forms, class Transform> [[nodiscard]] consteval bool has_needed() {
  if constexpr (requires { typename Transform::template needs_form<typename Forms::value_type>; })
    return Forms::template contains<typename Transform::template needs_form<typename Forms::value_type>>;
  else return true;
}

template <class Forms> struct any_encoded;
template <class... Fs> struct any_encoded<codec::forms<Fs...>> {
  static constexpr bool value = (!Fs::trainable || ...);
};
template <class Forms> struct any_masked;
template <class... Fs> struct any_masked<codec::forms<Fs...>> {
  static constexpr bool value = ((Fs::name == std::string_view("masked")) || ...);
};

/// A leaf whose weight can take other forms: it has `weight()`, and `with_forms`, which with the leaf's own set of
/// forms is the leaf's own type. (A layer that merely inherits with_forms from another would be replaced by that other
/// one.)
template <class L>
concept has_forms = requires(L const& l) {
  requires std::is_same_v<typename L::template with_forms<typename std::remove_cvref_t<decltype(l.weight())>::forms>,
                          L>;
};

/// Leaf → the leaf that can take the forms which the transforms add.
template <class... Transforms> struct widen_leaf {
  template <class L> [[nodiscard]] auto operator()(L const& l) const {
    if constexpr (has_forms<L>) {
      using forms = typename std::remove_cvref_t<decltype(l.weight())>::forms;
      constexpr bool refused = is_reduced_v<typename forms::value_type> &&
                               ((encodes<Transforms> || shares_values<Transforms> || trains_codes<Transforms>) || ...);
      static_assert(!refused,
                    "pleat: networks of 16-bit numbers cannot be encoded: encoded forms multiply float activations. "
                    "Save the model, and "
                    "load the file into a network of float");
      static_assert(!(any_encoded<forms>::value && (writes_weights<Transforms> || ...)),
                    "pleat: this model's weights may be quantized or factored already, and factored or quantized "
                    "weights cannot be pruned: prune first, then quantize, as in model | (compress::prune{…} | "
                    "compress::quantize<…>{})");
      static_assert(
          !(any_encoded<forms>::value && (shares_values<Transforms> || ...)),
          "pleat: this model's weights may be encoded already, and only weights that can be trained get shared values: "
          "share_weights comes after prune and before quantize and entropy_code");
      static_assert(!(any_masked<forms>::value && (fills_zeros<Transforms> || ...)),
                    "pleat: this model's weights may be pruned already, and factors would fill the zeros: "
                    "sparse_low_rank keeps what survived apart, "
                    "or factor the model before it is pruned");
      static_assert(!(any_encoded<forms>::value && (folds<Transforms> || ...)),
                    "pleat: this model's weights may be quantized already, and a batch norm cannot be folded into "
                    "codes: fold first, then "
                    "quantize, as in model | (compress::fold_batch_norm{} | compress::quantize<…>{})");
      if constexpr (refused) {
        return l;
      } else {
        using wide = typename widened<forms, Transforms...>::type;
        static_assert(
            (has_needed<wide, Transforms>() && ...),
            "pleat: entropy coding needs weights with shared values: model | (share_weights{…} | entropy_code{})");
        return typename L::template with_forms<wide>(l);
      }
    } else {
      return l;
    }
  }
};

/// Said where a rank gets more memory to hold than the plan says.
template <class Net> void say_gathered(parallel::model<Net> const& m, listener const& to, std::string const& what) {
  say(m, to,
      "compress: the parameters are sharded (state_stage = 3); every rank gathers them for " + what +
          " and shards the result again");
}
/// A transform that needs whole parameters, on a model whose ranks hold pieces of them: gathered for it, sharded again
/// afterwards.
template <class Net, class T> void run_on_whole_parameters(parallel::model<Net>& m, T const& t) {
  say_gathered(m, t.on_note, "'" + t.name() + "'");
  auto const p = m.plan();
  auto whole = m.unsharded();
  t.run(whole);
  m = whole.replanned(p);
}

/// True if a step that says `earlier` stands before one that says `later`.
template <class... Ts>
[[nodiscard]] consteval bool stands_before(std::initializer_list<bool> earlier, std::initializer_list<bool> later) {
  bool seen = false;
  for (std::size_t i = 0; i < sizeof...(Ts); ++i) {
    if (seen && later.begin()[i]) return true;
    seen = seen || earlier.begin()[i];
  }
  return false;
}

/// Whether Step stores the codes that Trained trains as they are. One that does not say which it trains is taken at
/// its word.
template <class Step, class Trained> [[nodiscard]] consteval bool stores_codes_of() {
  if constexpr (!requires { typename Trained::trained_codes; }) return true;
  else if constexpr (requires { Step::template stores_codes_of<typename Trained::trained_codes>(); })
    return Step::template stores_codes_of<typename Trained::trained_codes>();
  else return false;
}
template <class Trained, class... Later> [[nodiscard]] consteval bool stored_later() {
  return !(encodes<Later> || ...) || ((encodes<Later> && stores_codes_of<Later, Trained>()) || ...);
}
/// Whether codes that a step trains are among those that later ones store, if any do.
template <class First, class... Rest> [[nodiscard]] consteval bool trained_codes_are_stored() {
  if constexpr (sizeof...(Rest) == 0) {
    return true;
  } else {
    if constexpr (trains_codes<First>)
      if (!stored_later<First, Rest...>()) return false;
    return trained_codes_are_stored<Rest...>();
  }
}

/// No transform may write weights after one that encodes them.
template <class... Ts> [[nodiscard]] consteval bool order_is_legal() {
  bool const encoding[] = {encodes<Ts>..., false}, writing[] = {writes_weights<Ts>..., false};
  bool encoded = false;
  for (std::size_t i = 0; i < sizeof...(Ts); ++i) {
    if (encoded && writing[i]) return false;
    encoded = encoded || encoding[i];
  }
  return true;
}

}  // namespace detail

/// A transform that `|` can fuse.
template <class T>
concept fusable = requires { typename std::remove_cvref_t<T>::fusable_transform; };

/// A model over the same ranks with the same values whose weights can take the forms that the transforms add. The form
/// in use stays.
template <class... Transforms, class Net> [[nodiscard]] auto widen(parallel::model<Net> const& m) {
  return m.rebuild(nn::map_leaves(m.net(), detail::widen_leaf<Transforms...>{}));
}
namespace detail {
/// The same for a pipeline that begins with First: what only reads needs no copy of the values.
template <class First, class... Rest, class Net> [[nodiscard]] auto widen_for(parallel::model<Net> const& m) {
  if constexpr (only_reads<First>) return m.lent(nn::map_leaves(m.net(), widen_leaf<First, Rest...>{}));
  else return widen<First, Rest...>(m);
}
}  // namespace detail

}  // namespace pleat::compress
