// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The weights that can take the forms of a transform, and who is told which are left alone.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/form.hpp>
#include <pleat/compress/transform.hpp>
#include <pleat/nn/any_weight.hpp>
#include <pleat/tensor/detail/number.hpp>

namespace pleat::compress::detail {

template <class Forms, class Wanted> struct contains_every;
template <class Forms, class... Fs> struct contains_every<Forms, codec::forms<Fs...>> {
  static constexpr bool value = (Forms::template contains<Fs> && ...);
};
/// Whether a weight has forms, and all of Wanted among them.
template <class Weight, class Wanted> [[nodiscard]] consteval bool can_take_all() {
  if constexpr (requires { typename Weight::forms; }) return contains_every<typename Weight::forms, Wanted>::value;
  else return false;
}
template <class Weight, class Wanted>
inline constexpr bool can_take = can_take_all<std::remove_cvref_t<Weight>, Wanted>();

/// The same of a weight whose set is forgotten.
template <class T, class Space, class... Fs>
[[nodiscard]] bool is_able(nn::any_weight<T, Space> const& w, codec::form_tag<codec::forms<Fs...>>) {
  return (w.template can_take<Fs>() && ...);
}

PLEAT_ONCE [[nodiscard]] bool all_finite(std::span<double const> values) {
  return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

/// Refuses a weight that trains as codes (quantize_aware) where other numbers would take their place. \param call, name
/// both empty: who calls adds them \param which of the codes; may be empty
PLEAT_ONCE [[noreturn, gnu::cold]] void refuse_trained_codes(std::string const& call, std::string const& name,
                                                             std::string const& which, std::string const& form) {
  throw error{call,
              (name.empty() ? "" : "'" + name + "': ") + "it was trained with codes" +
                  (which.empty() ? "" : " " + which) + " (quantize_aware), and '" + form +
                  "' would put others in their place",
              "Store them as they are: quantize<the form that quantize_aware trained for>, or leave the weight out "
              "(.ignore)"};
}
PLEAT_COMPILED_ONCE(void refuse_trained_codes(std::string const& call, std::string const& name,
                                              std::string const& which, std::string const& form));
/// The same, if it is one; where all stages ask, all are told.
template <class W> void demand_no_trained_codes(W const& w, char const* call, char const* form) {
  if (w.form_name() == "fake_quantized") refuse_trained_codes(call, w.name, "", form);
}

/// Row-major place in the whole weight of element i of a part of it.
PLEAT_ONCE [[nodiscard]] index_t place_in_whole(extents const& whole, index_box const& part, index_t i) {
  extents const shape = part.shape();
  index_t at = 0, stride = 1;
  for (int d = whole.rank(); d-- > 0;) {
    at += (part[d].begin + i % shape[d]) * stride;
    i /= shape[d];
    stride *= whole[d];
  }
  return at;
}
PLEAT_COMPILED_ONCE(index_t place_in_whole(extents const& whole, index_box const& part, index_t i));
/// Refuses NaN and infinity in a part of a weight, or in a run of its elements that begins at `first`. \throws error
/// with the row and the column in the whole; who calls adds the name
template <class T>
void demand_finite(extents const& whole, index_box const& part, std::span<T const> values, index_t first = 0) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (double const v = pleat::detail::number(values[i]); !std::isfinite(v)) {
      index_t const at = place_in_whole(whole, part, first + static_cast<index_t>(i)),
                    columns = std::max<index_t>(1, codec::columns_of(whole));
      throw error{"",
                  "the element in row " + std::to_string(at / columns) + ", column " + std::to_string(at % columns) +
                      " is " + std::to_string(v),
                  "Train again with a lower learning rate"};
    }
}

/// Weights whose memory another one has too: those that are tied, and those that they are tied to.
template <class Net> [[nodiscard]] std::vector<std::string> shared_names(Net& net) {
  std::vector<std::string> names;
  net.for_each_parameter([&](nn::parameter const& w) {
    if (!w.tied_to.empty()) names.push_back(w.tied_to), names.push_back(w.name);
  });
  return names;
}
PLEAT_ONCE [[nodiscard]] bool is_one_of(std::vector<std::string> const& names, std::string const& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}
PLEAT_COMPILED_ONCE(bool is_one_of(std::vector<std::string> const& names, std::string const& name));
/// Why a weight that would lose its place in the arena is left alone; empty if it is not.
PLEAT_ONCE [[nodiscard]] std::string why_not_encoded(nn::parameter const& w, std::vector<std::string> const& shared) {
  if (is_one_of(shared, w.name)) return "its memory is shared with another weight";
  return w.in_arena ? "" : "it is encoded already";
}
PLEAT_COMPILED_ONCE(std::string why_not_encoded(nn::parameter const& w, std::vector<std::string> const& shared));

/// f(weight&) for every trainable weight that can take the forms of List and whose name fits no pattern of `ignore`,
/// those of other stages too. f returns why it leaves the weight alone, and nothing if it does not. With `aloud`, that
/// is said, once for all, and a pattern of `ignore` that fits no parameter's name is refused.
template <class List, class Net, class F>
void for_each_convertible(parallel::model<Net>& m, char const* call, std::vector<std::string> const& ignore,
                          listener const* aloud, F&& f) {
  if (aloud) demand_names(m, call, ".ignore", ignore);
  std::string untouched;
  auto const leave = [&](nn::parameter const& w, std::string const& why) {
    if (!why.empty()) untouched += (untouched.empty() ? "'" : ", '") + w.name + "' (" + why + ")";
  };
  m.net().for_each_parameter([&](auto& w) {
    if (w.kind != nn::parameter_kind::trainable || matches_any(ignore, w.name)) return;
    if constexpr (can_take<decltype(w), List>) leave(w, f(w));
    else if (w.shape.rank() >= 2) leave(w, "its layer has no with_forms");
  });
  if (aloud && !untouched.empty()) say(m, *aloud, std::string(call) + " left " + untouched + " as it was");
}
/// The same with f(any_weight&): compiled once for all networks.
template <class List, class T, class Space, class F>
void for_each_able(parallel::any_model<T, Space>& m, char const* call, std::vector<std::string> const& ignore,
                   listener const* aloud, F&& f) {
  if (aloud) demand_names(m, call, ".ignore", ignore);
  std::string untouched;
  m.any_net().for_each_parameter([&](nn::any_weight<T, Space>& w) {
    if (w.kind != nn::parameter_kind::trainable || matches_any(ignore, w.name)) return;
    std::string why;
    if (is_able(w, codec::form_tag<List>{})) why = f(w);
    else if (w.shape.rank() >= 2) why = "its layer has no with_forms";
    if (!why.empty()) untouched += (untouched.empty() ? "'" : ", '") + w.name + "' (" + why + ")";
  });
  if (aloud && !untouched.empty()) say(m, *aloud, std::string(call) + " left " + untouched + " as it was");
}

}  // namespace pleat::compress::detail
