// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "words.hpp"

#include <cstddef>
#include <string_view>
#include <utility>

namespace gpt {
namespace {

namespace pl = pleat;

/// A plan's keys and what the command line calls them.
constexpr std::pair<std::string_view, std::string_view> names[] = {
    {"mesh.data = ", "--mesh data="},
    {"mesh.tensor = ", "--mesh tensor="},
    {"mesh.pipeline = ", "--mesh pipeline="},
    {"global_batch", "--batch"},
    {"micro_batches", "--micro-batches"},
    {"state_stage", "--state-stage"},
    {"state_ranks", "--state-ranks"},
    {"state_stride", "--state-stride"},
    {"schedule = ", "--schedule "},
    {"chunks = ", "--chunks "},
    {"recompute = ", "--recompute "},
    {"precision = ", "--precision "},
    {"wire = ", "--wire "},
    {"lanes = ", "--lanes "},
    {"context = ", "--context "},
    {"leave deterministic mode", "leave out --deterministic"}};

[[nodiscard]] bool in_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

[[nodiscard]] std::string translated(std::string text) {
  for (auto const& [key, option] : names)
    for (std::size_t at = 0; (at = text.find(key, at)) != std::string::npos;) {
      if (at > 0 && in_word(text[at - 1])) {  // the end of a longer word
        at += key.size();
        continue;
      }
      // "state_ranks must …" has none
      bool const value = key.back() != ' ' && text.compare(at + key.size(), 3, " = ") == 0;
      text.replace(at, key.size() + (value ? 3 : 0), std::string(option) + (value ? " " : ""));
      at += option.size();
    }
  return text;
}

}  // namespace

pl::error in_options(pl::error const& e) {
  return {e.call(), translated(e.problem()), translated(e.remedy()), e.rank()};
}

std::vector<std::string> remarks(options const& o, pl::plan::plan const& p, pl::index_t validation) {
  std::vector<std::string> all;
  auto const say = [&](std::string const& option, std::string const& why, std::string const& instead) {
    all.push_back(option + " changes nothing: " + why + ". " + instead);
  };
  std::string const spread = "Use --mesh data=2 or more, or leave it out";
  if (p.data_ranks == 1 && p.state_stage > 0)
    say("--state-stage " + std::to_string(p.state_stage), "with data=1 no rank shares its state", spread);
  if (p.data_ranks == 1 && p.wire != pl::plan::wire_format::same)
    say("--wire " + std::string(name_of(p.wire)), "with data=1 no gradient travels", spread);
  if (p.pipeline_ranks == 1) {
    std::string const stages = "Use --mesh pipeline=2 or more, or leave it out";
    if (o.schedule_given) say("--schedule " + p.schedule, "with pipeline=1 no rank waits for another", stages);
    if (p.chunks > 0) say("--chunks " + std::to_string(p.chunks), "with pipeline=1 no rank waits for another", stages);
    if (o.cuts == "measured") say("--cuts measured", "with pipeline=1 nothing is cut", stages);
  }
  if (o.warm_up > o.steps && o.steps > 0)
    all.push_back("--learning-rate is not reached: --warm-up " + std::to_string(o.warm_up) + " is more than --steps " +
                  std::to_string(o.steps) + ". Use --warm-up " + std::to_string(o.steps / 10));
  if (o.validation_windows > validation)
    all.push_back("--validation-windows " + std::to_string(o.validation_windows) + ": the text has " +
                  std::to_string(validation) + ". All of them are used");
  return all;
}

}  // namespace gpt
