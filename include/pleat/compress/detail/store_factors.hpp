// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Factors of weights take forms of their own: which factor which, what is left alone, and how it is done where weights
/// are cut.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/comm/attempt.hpp>
#include <pleat/compress/detail/cut_ranges.hpp>
#include <pleat/compress/detail/whole_weight.hpp>
#include <pleat/compress/form_choice.hpp>
#include <pleat/compress/observers.hpp>

namespace pleat::compress::detail {

/// The factors of a weight, and the positions of their forms in a transform's list; −1: the factor stays as it is.
struct factor_choice {
  std::string weight;
  int left = -1, right = -1;
};
/// What a transform does to factors, on every rank alike. A weight of `seen` that is not chosen is left alone.
struct factor_plan {
  std::vector<factor_choice> chosen;
  std::vector<std::string> seen;
  PLEAT_LAZY [[nodiscard]] factor_choice const* find(std::string_view name) const noexcept {
    for (auto const& c : chosen)
      if (c.weight == name) return &c;
    return nullptr;
  }
};

/// Chooses for the factors of every weight that has some; says what is left alone, and why. Collective over a pipeline.
/// \throws error as compress::quantize says
template <class List, class T, class Space>
[[nodiscard, gnu::cold]] factor_plan select_factors(parallel::any_model<T, Space>& m, form_request const& r,
                                                    char const* call, listener const& on_note) {
  factor_plan plan;
  std::string untouched, moved;
  auto const of = [](bool left) { return std::string(left ? "left" : "right") + " factor"; };
  std::vector<std::string> candidates;  // of sets without the list's forms, too
  m.any_net().for_each_parameter([&](nn::any_weight<T, Space>& w) {
    if (w.kind == nn::parameter_kind::trainable && (is_able(w, codec::form_tag<List>{}) || w.factors()))
      candidates.push_back(w.name);
  });
  m.any_net().for_each_parameter([&](nn::any_weight<T, Space>& w) {
    if (w.kind != nn::parameter_kind::trainable || matches_any(r.ignore, w.name)) return;
    auto const leave = [&](std::string const& why) {
      untouched += (untouched.empty() ? "'" : ", '") + w.name + "' (" + why + ")";
    };
    auto const factors = w.factors();
    if (!factors) return;
    plan.seen.push_back(w.name);
    if (!factors->storable())
      return leave("the model cannot store factors in forms: widen it first, as model | … does");
    std::vector<index_t> known{0, 0, 0};  // the rank, and which factors are in float: of other stages by message
    if (!w.absent) known = {factors->rank(), factors->is_plain(true), factors->is_plain(false)};
    if (m.pipeline().size() > 1) m.pipeline().all_reduce(known, comm::reduction::max);
    if (!known[1] && !known[2]) return leave("its factors are encoded already");
    if (!r.first_layer && w.name == candidates.front()) return leave("the first layer");
    if (!r.last_layer && w.name == candidates.back()) return leave("the last layer");
    int at = 0;
    for (auto const& f : r.forms)
      if (nn::matches(f.pattern, w.name)) {
        at = List::index(f.form);
        break;
      }
    bool const cut = is_cut(w) && w.where.dim > 0;
    factor_choice chosen{w.name, -1, -1};
    std::string why;
    for (bool const left : {true, false}) {
      if (!known[left ? 1 : 2]) continue;
      auto const wrong = [&](int i) -> std::string {  // on every part, so that all ranks decide alike
        int const form = factors->factor_form(List::name(i));
        if (form < 0) return "factors cannot be stored as '" + std::string(List::name(i)) + "'";
        index_t const block = factors->block_of_form(form);
        for (int part = 0; part < (cut && !left ? w.parts : 1); ++part)
          if (index_t const columns = left ? known[0] : codec::columns_of(cut ? w.box(part).shape() : w.whole());
              columns % block != 0)
            return "the " + std::to_string(columns) + " columns of its " + of(left) + (cut && !left ? "'s part" : "") +
                   " are no multiple of " + std::to_string(block) + ", the block of '" + std::string(List::name(i)) +
                   "'";
        return {};
      };
      int now = at;
      while (now < List::size && !wrong(now).empty()) ++now;
      if (now != at) {
        if (r.misfit == misfit::refuse) {
          int const form = factors->factor_form(List::name(at));
          auto const rank = left && form >= 0 ? ", a rank that is a multiple (by_rank of one, or .round_to = " +
                                                    std::to_string(factors->block_of_form(form)) + " with another rule)"
                                              : std::string();
          throw error{call, "'" + w.name + "': " + wrong(at),
                      "Leave it out (.ignore), choose another form for it (.forms)" + rank +
                          ", or say .misfit = misfit::next or misfit::ignore"};
        }
        if (r.misfit == misfit::ignore || now == List::size) {
          why += (why.empty() ? "" : "; ") + wrong(at);
          continue;
        }
        moved += (moved.empty() ? "the " : ", the ") + of(left) + " of '" + w.name + "' is stored as '" +
                 std::string(List::name(now)) + "': " + wrong(at);
      }
      (left ? chosen.left : chosen.right) = now;
    }
    if (chosen.left < 0 && chosen.right < 0) return leave(why);
    if (!why.empty()) moved += (moved.empty() ? "" : ", ") + ("a factor of '" + w.name + "' stays float: " + why);
    plan.chosen.push_back(std::move(chosen));
  });
  if (!untouched.empty()) say(m, on_note, std::string(call) + " left the factors of " + untouched + " as they were");
  if (!moved.empty()) say(m, on_note, std::string(call) + ": " + moved);
  return plan;
}

/// How a factor's rows get their ranges, for forms that take some.
struct factor_ranges {
  weight_observer const& observer;
  bool whole;  ///< one range for the whole factor
};

/// The ranges of a factor's rows; empty where the form finds them itself. Collective over the parts of a weight that is
/// cut. \param numbers of the factor's part here, which may be empty
template <class T, class Space>
[[nodiscard]] std::vector<float> ranges_of_factor(parallel::any_model<T, Space>& m, nn::parameter const& w, bool left,
                                                  index_t rank, std::vector<float> const& numbers,
                                                  std::string_view form, factor_ranges const& r) {
  if (form != "int8") {
    if (!std::holds_alternative<min_max>(r.observer))
      throw error{"", "the form '" + std::string(form) + "' of a factor takes no observer",
                  "Leave .observer as it is, or store factors as int8"};
    if (r.whole)
      throw error{"", "the form '" + std::string(form) + "' has steps of its own, not one for the whole factor",
                  "Leave .scales as it is, or use codec::int8"};
    return {};
  }
  std::vector<float> range;
  index_t const rows = left ? codec::rows_of(w.shape) : rank;
  bool const cut = is_cut(w) && (left ? w.where.dim == 0 : w.where.dim > 0);
  if (cut && (r.whole || !left)) {  // no rank sees a whole row, or the whole factor
    index_t const row = left ? rank : codec::columns_of(w.whole()),
                  all = left ? codec::rows_of(w.whole()) * row : rows * row;
    range = ranges_of_parts(r.observer, numbers, r.whole ? 1 : rows, r.whole ? all : row,
                            {[&](std::span<std::int64_t> counts) { m.parts().all_reduce(counts); },
                             [&](std::span<float> largest) { m.parts().all_reduce(largest, comm::reduction::max); }});
  } else if (r.whole) {
    range.push_back(range_of(r.observer, std::span<float const>(numbers)));
  } else {
    auto const columns = static_cast<std::size_t>(left ? rank : codec::columns_of(w.shape));
    for (index_t i = 0; i < rows; ++i)
      range.push_back(range_of(
          r.observer, std::span<float const>(numbers).subspan(static_cast<std::size_t>(i) * columns, columns)));
  }
  if (r.whole) range.assign(static_cast<std::size_t>(rows), range.front());
  return range;
}

/// Gives a weight's factors the forms that were chosen. \throws error with the weight's name; on the parts of a weight
/// that is cut together
template <class List, class T, class Space>
[[gnu::cold]] void store_factors(parallel::any_model<T, Space>& m, nn::any_weight<T, Space>& w,
                                 factor_choice const& chosen, factor_ranges const& ranges, char const* call) {
  auto const factors = w.factors();
  if (!factors || !factors->storable()) return;
  if (!w.absent) {
    auto const store = [&] {
      std::vector<float> range[2];
      typename nn::factors_of_weight<Space>::choice choice[2];
      for (bool const left : {true, false}) {
        int const at = left ? chosen.left : chosen.right;
        if (at < 0) continue;
        auto const form = List::name(at);
        range[left] = ranges_of_factor(m, w, left, factors->rank(), factors->numbers(m.context(), left), form, ranges);
        choice[left] = {factors->factor_form(form), range[left]};
      }
      factors->recode(m.context(), choice[true], choice[false]);
    };
    std::optional<error> failed;
    if (w.parts > 1) {
      failed = comm::attempt(m.parts(), store);
    } else {
      try {
        store();
      } catch (error const& e) {
        failed.emplace(e);
      }
    }
    if (failed) throw error{call, "'" + w.name + "': " + failed->problem(), failed->remedy()};
  }
  factors->take();
}

}  // namespace pleat::compress::detail
