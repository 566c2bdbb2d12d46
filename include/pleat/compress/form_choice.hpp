// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Which weight takes which form: exceptions by pattern of name, forms whose blocks do not divide a weight's columns,
/// what is left alone.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/compress/detail/convertible.hpp>
#include <pleat/compress/detail/did_you_mean.hpp>
#include <pleat/compress/settings.hpp>
#include <pleat/compress/transform.hpp>
#include <pleat/io/detail/json.hpp>

namespace pleat::compress {

/// The form of weights whose names fit a pattern.
struct form_for {
  std::string pattern;  ///< names; * and ? as in a shell
  std::string form;     ///< its name, as codec::forms has it: "q8_0", "int4_g128", …
  /// As settings say it.
  friend std::string words_of(form_for const& f) {
    return io::detail::json_string(f.pattern) + " as " + io::detail::json_string(f.form);
  }
};

/// What happens to a weight whose columns are no multiple of the block (or group) of its form.
enum class misfit : std::uint8_t {
  refuse,  ///< an error that names it
  /// it takes the first form after its own in the transform's list that fits, and is left alone if none does; said once
  next,
  ignore  ///< it is left alone; said once
};

namespace detail {

/// Columns at which a form's blocks begin; 1 if it has none.
template <class F> [[nodiscard]] index_t block_of(extents const& shape) {
  if constexpr (requires { F::granularity(shape).columns; }) return std::max<index_t>(1, F::granularity(shape).columns);
  else return 1;
}

/// Position of a form in the list. \throws error that offers the nearest known name
template <class Forms> [[nodiscard]] int demand_form_name(char const* call, std::string const& wanted) {
  if (int const i = Forms::index(wanted); i >= 0) return i;
  std::vector<std::string> known;
  std::string all;
  for (int i = 0; i < Forms::size; ++i) {
    known.emplace_back(Forms::name(i));
    all += (i ? ", '" : "'") + known.back() + "'";
  }
  throw error{call, "there is no form '" + wanted + "' in the transform's list, which has " + all,
              did_you_mean(wanted, known)};
}

struct form_request {
  std::vector<form_for> const& forms;
  compress::misfit misfit;
  bool first_layer, last_layer;
  std::vector<std::string> const& ignore;
  /// weights whose factors the transform has looked at already; null: it does nothing to factors
  std::vector<std::string> const* factored = nullptr;
  bool something = false;  ///< there is work even if no whole weight is selected
};

/// The same for whoever compares ranks.
PLEAT_ONCE void say_forms(settings_words& say, form_request const& r) {
  say("forms", r.forms), say("misfit", r.misfit, {"refuse", "next", "ignore"});
  say("first_layer", r.first_layer), say("last_layer", r.last_layer), say("ignore", r.ignore);
}

/// \throws error for a form that is not in the list, and a pattern that fits no name
template <class List, class T, class Space>
void demand_form_names(parallel::any_model<T, Space>& m, form_request const& r, char const* call) {
  std::vector<std::string> patterns;
  for (auto const& f : r.forms) {
    (void)demand_form_name<List>(call, f.form);
    patterns.push_back(f.pattern);
  }
  demand_names(m, call, ".forms", patterns);
}
/// The names of all weights that can take the forms, in order.
template <class List, class T, class Space>
[[nodiscard]] std::vector<std::string> convertible_names(parallel::any_model<T, Space>& m, char const* call) {
  std::vector<std::string> names;
  for_each_able<List>(m, call, {}, nullptr, [&](nn::parameter const& w) -> std::string {
    names.push_back(w.name);
    return {};
  });
  return names;
}

/// The positions of forms in a transform's list by name of weight; the same on every rank, absent stages included.
struct form_plan {
  std::vector<std::pair<std::string, int>> chosen;
  PLEAT_LAZY [[nodiscard]] int form_of(std::string_view name) const noexcept {
    for (auto const& [n, f] : chosen)
      if (n == name) return f;
    return -1;
  }
};

/// Chooses for every weight that can take the forms; says what is left alone, and why. \throws error as
/// compress::quantize says
template <class List, class T, class Space>
[[nodiscard, gnu::cold]] form_plan select_forms(parallel::any_model<T, Space>& m, form_request const& r,
                                                char const* call, listener const& on_note) {
  demand_form_names<List>(m, r, call);
  form_plan plan;
  std::string moved;
  auto const shared = shared_names(m.any_net());
  auto const candidates = convertible_names<List>(m, call);
  for_each_able<List>(m, call, r.ignore, &on_note, [&](nn::any_weight<T, Space>& w) -> std::string {
    if (r.factored && is_one_of(*r.factored, w.name)) return {};
    if (w.factors()) return "it is factored, and compress::quantize alone gives factors forms";
    if (auto const why = why_not_encoded(w, shared); !why.empty()) return why;
    if (!r.first_layer && w.name == candidates.front()) return "the first layer";
    if (!r.last_layer && w.name == candidates.back()) return "the last layer";
    int at = 0;
    for (auto const& f : r.forms)
      if (nn::matches(f.pattern, w.name)) {
        at = List::index(f.form);
        break;
      }
    extents const shape = w.whole();
    index_t const columns = codec::columns_of(shape);
    bool const cut = w.parts > 1 && w.where.shards() && w.where.dim > 0;
    auto const block = [&](int i) {
      return codec::visit_form<List>(i, [&](auto tag) { return block_of<typename decltype(tag)::type>(shape); });
    };
    auto const fits = [&](int i) {  // on every part, so that all ranks decide alike
      for (int part = 0; part < (cut ? w.parts : 1); ++part)
        if (codec::columns_of(cut ? w.box(part).shape() : shape) % block(i) != 0) return false;
      return true;
    };
    int now = at;
    while (now < List::size && !fits(now)) ++now;
    if (now != at) {
      std::string const of =
          std::to_string(columns) + " columns" + (cut ? " in " + std::to_string(w.parts) + " parts" : "");
      std::string const why = of + " are no multiple of " + std::to_string(block(at)) + ", the block of '" +
                              std::string(List::name(at)) + "'";
      if (r.misfit == misfit::refuse)
        throw error{call, "'" + w.name + "': its " + why,
                    "Leave it out (.ignore), choose a form of smaller blocks for it (.forms), or say .misfit = "
                    "misfit::next or misfit::ignore"};
      if (r.misfit == misfit::ignore || now == List::size) return why;
      moved +=
          (moved.empty() ? "'" : ", '") + w.name + "' is stored as '" + std::string(List::name(now)) + "': its " + why;
    }
    plan.chosen.emplace_back(w.name, now);
    return {};
  });
  if (!moved.empty()) say(m, on_note, std::string(call) + ": " + moved);
  if (plan.chosen.empty() && !r.something)
    throw error{call, "no weight is left to be quantized",
                "Ignore less; what is encoded already, or lies in a layer without with_forms, does not count"};
  return plan;
}

}  // namespace detail

}  // namespace pleat::compress
