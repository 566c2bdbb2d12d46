// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Recipes as text, "prune(0.9) | fine_tune(3) | int8": read, checked for order, not yet cooked. Needs no Kokkos.
///
///     recipe   = step { '|' step }
///     step     = word [ '(' argument { ',' argument } ')' ]
///     argument = value | key '=' value            values without a key take the word's keys in order
///
/// A value without a key that is one of the words that only one key takes goes to that key, wherever it stands:
/// prune(global, 0.9). A value may hold anything but ",|()"; spaces around words, keys and values do not count.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/compress/detail/did_you_mean.hpp>

namespace pleat::compress {

/// A word that a program knows, and what it does to weights: the traits that compress/transform.hpp asks transforms
/// for.
struct recipe_word {
  std::string name;
  std::vector<std::string> keys;      ///< in the order of values without a key
  std::vector<std::string> required;  ///< those of them that must be there
  std::string says;                   ///< one line for a list of words
  bool masks = false, resizes = false, trains = false, encodes = false, shares = false, needs_shared = false,
       fills_zeros = false, trains_codes = false, folds = false;
  /// it factors weights; it gives factors a form, too; the factors that it makes can take none
  bool factors = false, stores_factors = false, keeps_factors = false;
  /// it encodes weights of any extents: where it ignores none, nothing is left to be encoded
  bool takes_every = false;
  std::map<std::string, std::vector<std::string>> choices{};  ///< by key, the only values that it takes
  /// of keys that have a say only beside others: with what ("a sparsity"), for the error of demand_heard
  std::map<std::string, std::string> counts_with{};
};

/// A step of a recipe. It remembers which of its values were asked for, so that what nobody listens to can be refused
/// (demand_heard); not for several threads at once.
struct recipe_step {
  recipe_word const* word = nullptr;  ///< of the list that it was read with
  std::map<std::string, std::string> values;
  mutable std::set<std::string> heard{};  ///< the keys whose values were asked for; `has` does not count

  [[nodiscard]] bool has(std::string const& key) const { return values.contains(key); }
  [[nodiscard]] std::string text(std::string const& key, std::string otherwise = {}) const {
    auto const it = values.find(key);
    if (it == values.end()) return otherwise;
    heard.insert(key);
    return it->second;
  }
  /// \throws error for what is no finite number
  [[nodiscard]] double number(std::string const& key, double otherwise = 0) const {
    if (!has(key)) return otherwise;
    double x = 0;
    auto const t = text(key);
    auto const [end, failed] = std::from_chars(t.data(), t.data() + t.size(), x);
    if (failed != std::errc{} || end != t.data() + t.size() || !std::isfinite(x))
      throw error{"compress::recipe", "'" + word->name + "': " + key + " is '" + t + "', expected a number",
                  "Write it with a point, e.g. 0.9"};
    return x;
  }
  /// \throws error for what is no whole number
  [[nodiscard]] std::int64_t whole(std::string const& key, std::int64_t otherwise = 0) const {
    if (!has(key)) return otherwise;
    double const x = number(key);
    if (x != std::floor(x) || std::fabs(x) > 1e15)
      throw error{"compress::recipe",
                  "'" + word->name + "': " + key + " is '" + text(key) + "', expected a whole number of at most 10^15",
                  "Write it without a point"};
    return static_cast<std::int64_t>(x);
  }
  /// 1 or 0; 0 where it is not given. \throws error for anything else
  [[nodiscard]] bool flag(std::string const& key) const {
    auto const x = whole(key);
    if (x != 0 && x != 1)
      throw error{"compress::recipe", "'" + word->name + "': " + key + " is '" + text(key) + "', expected 1 or 0",
                  "1 asks for it; leave it out otherwise"};
    return x == 1;
  }
  /// Names that are separated by spaces.
  [[nodiscard]] std::vector<std::string> names(std::string const& key) const { return split(text(key), ' '); }
  /// Lists of names, with a semicolon between one and the next: "conv*; fc1.* fc2.*".
  [[nodiscard]] std::vector<std::vector<std::string>> lists_of_names(std::string const& key) const {
    std::vector<std::vector<std::string>> all;
    for (auto const& list : split(text(key), ';'))
      if (auto names = split(list, ' '); !names.empty()) all.push_back(std::move(names));
    return all;
  }
  /// As it was written, in one spelling.
  [[nodiscard]] std::string to_string() const {
    std::string s;
    for (auto const& key : word->keys)
      if (has(key)) s += (s.empty() ? "" : ", ") + key + "=" + values.at(key);
    return word->name + (s.empty() ? "" : "(" + s + ")");
  }

 private:
  [[nodiscard]] static std::vector<std::string> split(std::string const& t, char by) {
    std::vector<std::string> all;
    for (std::size_t at = 0; at < t.size();) {
      std::size_t const end = std::min(t.find(by, at), t.size());
      if (end > at) all.push_back(t.substr(at, end - at));
      at = end + 1;
    }
    return all;
  }
};

namespace detail {

[[nodiscard]] inline std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}
[[nodiscard]] inline std::string listed(std::vector<std::string> const& all) {
  std::string s;
  for (auto const& a : all) s += (s.empty() ? "" : ", ") + a;
  return s;
}

}  // namespace detail

/// Reads a recipe. \param words must outlive the steps
/// \throws error: an empty recipe or step, a bracket without its partner, an unknown word or key (the nearest known one
/// is offered), a
///         value too many, a key twice, a key that is missing
[[nodiscard]] inline std::vector<recipe_step> read_recipe(std::string_view text,
                                                          std::vector<recipe_word> const& words) {
  constexpr char const* call = "compress::recipe";
  std::vector<recipe_step> steps;
  if (detail::trimmed(text).empty())
    throw error{call, "the recipe is empty", "Say what is to be done, e.g. \"prune(0.9)|int8\""};
  for (std::size_t begin = 0; begin <= text.size();) {
    std::size_t const end = std::min(text.find('|', begin), text.size());
    std::string_view const whole = detail::trimmed(text.substr(begin, end - begin));
    begin = end + 1;
    if (whole.empty())
      throw error{call, "step " + std::to_string(steps.size() + 1) + " of '" + std::string(text) + "' is empty",
                  "Steps are separated by one |"};
    std::size_t const open = whole.find('(');
    std::string const name(detail::trimmed(whole.substr(0, open)));
    if ((open == std::string_view::npos) != (whole.find(')') == std::string_view::npos) ||
        (open != std::string_view::npos &&
         (whole.back() != ')' || whole.find('(', open + 1) != std::string_view::npos ||
          whole.find(')') != whole.size() - 1)))
      throw error{call, "the brackets of '" + std::string(whole) + "' do not match", "Write word(value, key=value)"};
    auto const word = std::find_if(words.begin(), words.end(), [&](auto const& w) { return w.name == name; });
    if (word == words.end()) {
      std::vector<std::string> known;
      for (auto const& w : words) known.push_back(w.name);
      throw error{call, "'" + name + "' is no word of a recipe; known are " + detail::listed(known),
                  detail::did_you_mean(name, known)};
    }
    recipe_step step{&*word, {}};
    if (open != std::string_view::npos) {
      std::string_view const inside = whole.substr(open + 1, whole.size() - open - 2);
      std::size_t next = 0;
      for (std::size_t at = 0; at <= inside.size() && !detail::trimmed(inside).empty();) {
        std::size_t const comma = std::min(inside.find(',', at), inside.size());
        std::string_view const argument = inside.substr(at, comma - at);
        at = comma + 1;
        std::size_t const equals = argument.find('=');
        bool const by_place = equals == std::string_view::npos;
        std::string const value(detail::trimmed(by_place ? argument : argument.substr(equals + 1)));
        std::string key;
        if (by_place) {
          for (auto const& [of, values] : word->choices)
            if (!step.has(of) && std::find(values.begin(), values.end(), value) != values.end()) key = of;
          while (next < word->keys.size() && step.has(word->keys[next])) ++next;
          if (key.empty() && next == word->keys.size())
            throw error{call,
                        "'" + std::string(whole) + "' has a value too many: '" + name + "' takes " +
                            (word->keys.empty() ? "none" : detail::listed(word->keys)),
                        "Leave out '" + value + "', or say which key it is for: key=" + value};
          if (key.empty()) {
            key = word->keys[next++];
            // a misspelt word would end up where a number or a name belongs
            if (!word->choices.contains(key) && value.size() > 3)
              for (auto const& [of, values] : word->choices) {
                if (step.has(of)) continue;
                for (auto const& known : values)
                  if (detail::letters_apart(value, known) <= 2)
                    throw error{call,
                                "'" + std::string(whole) + "': " + of + " '" + value + "' is not known, expected " +
                                    detail::listed(values),
                                detail::did_you_mean(value, values)};
              }
          }
        } else {
          key = detail::trimmed(argument.substr(0, equals));
          if (std::find(word->keys.begin(), word->keys.end(), key) == word->keys.end())
            throw error{call,
                        "'" + name + "' has no '" + key + "'; it takes " +
                            (word->keys.empty() ? "nothing" : detail::listed(word->keys)),
                        detail::did_you_mean(key, word->keys)};
        }
        if (value.empty())
          throw error{call, "'" + std::string(whole) + "': the value of '" + key + "' is empty",
                      "Write " + key + "=value, or leave it out"};
        if (auto const of = word->choices.find(key);
            of != word->choices.end() && std::find(of->second.begin(), of->second.end(), value) == of->second.end())
          throw error{
              call,
              "'" + std::string(whole) + "': " + key + " is '" + value + "', expected " + detail::listed(of->second),
              detail::did_you_mean(value, of->second)};
        if (!step.values.emplace(key, value).second)
          throw error{call, "'" + std::string(whole) + "' says '" + key + "' twice", "Say it once"};
      }
    }
    for (auto const& key : word->required)
      if (!step.has(key))
        throw error{call, "'" + std::string(whole) + "' lacks '" + key + "'",
                    "Say " + name + "(" + key + "=…); it takes " + detail::listed(word->keys)};
    steps.push_back(std::move(step));
  }
  return steps;
}

/// To be called when a step has been understood. \throws error if the recipe says something that nobody asked for: it
/// would be taken and ignored
inline void demand_heard(recipe_step const& s) {
  for (auto const& key : s.word->keys) {
    if (!s.has(key) || s.heard.contains(key)) continue;
    auto const with = s.word->counts_with.find(key);
    throw error{
        "compress::recipe",
        "'" + s.to_string() + "': '" + key + "' would do nothing here" +
            (with == s.word->counts_with.end() ? "" : "; it counts with " + with->second),
        "Leave " + key + " out" + (with == s.word->counts_with.end() ? "" : ", or say what it counts with instead")};
  }
}

/// What some weights of a model are already.
struct recipe_state {
  bool masked = false, encoded = false, shared = false, codes = false;  ///< codes: trained as such (quantize_aware)
  /// factored; by spatial_low_rank, whose factors can take no form
  bool factored = false, kept_factors = false;
};

/// The order of a recipe, by the rules that pipelines have at compile time. \throws error with the sentence that says
/// what is wrong and what to do
inline void check_order(std::vector<recipe_step> const& steps, recipe_state now = {}) {
  constexpr char const* call = "compress::recipe";
  recipe_step const *took_all = nullptr, *factored = nullptr, *kept = nullptr;
  auto const factors_of = [](recipe_step const* step) {
    return step ? "'" + step->to_string() + "' has factored" : std::string("are factored already");
  };
  for (auto const& s : steps) {
    auto const& w = *s.word;
    // g++ 12 warns of `"'" + std::string`, without cause
    auto const at = std::string("'").append(s.to_string()).append("'");
    if ((w.masks || w.resizes) && now.shared)
      throw error{call, at + " prunes after weights share values, and coded weights cannot be pruned",
                  "Prune first, then share, then entropy"};
    if ((w.masks || w.resizes) && now.encoded)
      throw error{call, at + " prunes after weights are quantized or factored, and those cannot be pruned",
                  now.factored ? "Prune first, then sparse_low_rank, which keeps what survived apart"
                               : "Prune first, then quantize"};
    if (w.resizes && now.masked)
      throw error{call, at + " takes channels out of weights that are pruned already",
                  "Take channels out first, then prune what is left"};
    if (w.folds && now.encoded)
      throw error{call, at + " folds norms into weights that are quantized, factored or shared already",
                  "Fold first, then quantize"};
    if (w.shares && now.encoded)
      throw error{call, at + " shares values of weights that are encoded already",
                  "share comes after prune and before quantizing and entropy"};
    if (w.needs_shared && !now.shared)
      throw error{call, at + " codes before weights share values", "Share first, then entropy"};
    if (w.fills_zeros && now.masked)
      throw error{call, at + " factors weights after they were pruned, and factors would fill the zeros",
                  "sparse_low_rank keeps what survived apart"};
    if (w.trains_codes && now.encoded)
      throw error{call, at + " trains codes of weights that are encoded already",
                  "quantize_aware comes before quantizing"};
    if ((w.masks || w.resizes || w.shares) && now.codes)
      throw error{call, at + " comes after training codes, which it would undo",
                  "Prune first, then quantize_aware, then quantize"};
    // whose step says which weights are meant, of that one none is taken by mistake; nor by what codes shared values
    auto const parted = [&](recipe_step const* by) { return s.has("ignore") || (by && by->has("ignore")); };
    if (w.encodes && !w.factors && !w.stores_factors && !w.needs_shared && now.factored && !parted(factored))
      throw error{call, at + " stores whole weights, and would leave those that " + factors_of(factored) + " in float",
                  "Factors take int8, 16 bits, and forms of blocks (q8_0, int4, ...); or say which weights are meant: "
                  "low_rank(ignore=fc3.*)|" +
                      w.name + "(ignore=fc1.* fc2.*)"};
    if (w.encodes && !w.factors && !w.needs_shared && now.kept_factors && !parted(kept))
      throw error{call,
                  at + " would leave the kernels that " + factors_of(kept) + " in float: theirs take no other form",
                  "Say which weights are meant: " + w.name + "(ignore=conv*)"};
    if (w.encodes && !w.needs_shared && took_all)
      throw error{call, at + " encodes after '" + took_all->to_string() + "' has encoded every weight",
                  "Keep one of the two, or part the weights between them, e.g. int8(ignore=fc1.*)|q8_0"};
    if (w.encodes && w.takes_every && !s.has("ignore")) took_all = &s;
    now.codes = now.codes || w.trains_codes;
    now.masked = now.masked || w.masks;
    now.encoded = now.encoded || w.encodes;
    now.shared = now.shared || w.shares;
    now.factored = now.factored || (w.factors && !w.keeps_factors);
    now.kept_factors = now.kept_factors || w.keeps_factors;
    if (w.factors) (w.keeps_factors ? kept : factored) = &s;
  }
}

}  // namespace pleat::compress
