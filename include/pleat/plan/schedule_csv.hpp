// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A schedule as a table of text: one row per rank, one cell per action, in the letters of PyTorch's schedule files.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <pleat/plan/schedule.hpp>

namespace pleat::plan {

namespace detail {

struct csv_place {
  index_t line, column;
  [[nodiscard]] std::string in_words() const {
    return "line " + std::to_string(line) + ", cell " + std::to_string(column);
  }
};

[[nodiscard]] inline std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

/// What an error quotes of a cell: its beginning, and nothing that is not to be printed.
[[nodiscard]] inline std::string quoted(std::string_view cell) {
  std::string text = "'";
  for (char const c : cell.substr(0, 24)) text += c >= ' ' && c <= '~' ? c : '?';
  return text + (cell.size() > 24 ? "...'" : "'");
}

/// "12SEND_F3": digits, letters, digits. \throws error with the place for anything else
[[nodiscard]] inline action parse_action(std::string_view cell, csv_place const& place) {
  auto const refuse = [&](std::string const& what) -> error {
    return {"plan::parse_schedule", place.in_words() + ": " + quoted(cell) + " " + what,
            "A cell is stage, letters, micro-batch: 2F0, 1B3, 0SEND_F1, 0UNSHARD"};
  };
  constexpr std::int32_t most = 1 << 20;
  char const *p = cell.data(), *const end = p + cell.size();
  action a;
  auto const stage = std::from_chars(p, end, a.stage);
  if (stage.ec != std::errc{} || *p == '-' || a.stage > most) throw refuse("does not begin with the number of a stage");
  p = stage.ptr;
  char const* const word = p;
  while (p != end && ((*p >= 'A' && *p <= 'Z') || *p == '_')) ++p;
  std::string_view const said(word, static_cast<std::size_t>(p - word));
  int kind = -1;
  for (int k = 0; k <= static_cast<int>(action_kind::reduce_gradients); ++k)
    if (letters(static_cast<action_kind>(k)) == said) kind = k;
  if (kind < 0)
    throw refuse("names no action: F, B, I, W, SEND_F, RECV_F, SEND_B, RECV_B, UNSHARD, RESHARD or REDUCE_GRAD");
  a.kind = static_cast<action_kind>(kind);
  if (a.kind >= action_kind::gather_parameters) {
    if (p != end) throw refuse("has something after an action that is about no micro-batch");
    a.micro_batch = -1;
    return a;
  }
  auto const number = std::from_chars(p, end, a.micro_batch);
  if (number.ec != std::errc{} || number.ptr != end || a.micro_batch < 0 || a.micro_batch > most)
    throw refuse("does not end with the number of a micro-batch");
  if (a.kind == action_kind::send_activation || a.kind == action_kind::receive_gradient) a.peer = a.stage + 1;
  if (a.kind == action_kind::send_gradient || a.kind == action_kind::receive_activation) a.peer = a.stage - 1;
  return a;
}

}  // namespace detail

/// The table: a line per rank, cells separated by commas.
[[nodiscard]] inline std::string to_csv(schedule const& s) {
  std::string text;
  for (auto const& list : s.actions) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (i > 0) text += ',';
      text += to_string(list[i]);
    }
    text += '\n';
  }
  return text;
}

/// The schedule of a table. A rank has the stages that its row names; empty cells say nothing; lines that begin with #
/// and empty lines at the end are no rows. Reads what to_csv and PyTorch's schedules write (but for their overlapped
/// pairs). Whether it can be carried out is plan::check's question.
/// \throws error with line and cell for a text that is no such table
[[nodiscard]] inline schedule parse_schedule(std::string_view text) {
  schedule s;
  std::vector<index_t> line_of;  // per stage: the line that named it first
  index_t line = 0, cells = 0;
  std::int32_t last_micro_batch = -1;
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  while (!text.empty()) {
    auto const stop = std::min(text.find('\n'), text.size());
    std::string_view row = detail::trim(text.substr(0, stop));
    text.remove_prefix(std::min(stop + 1, text.size()));
    ++line;
    if (row.starts_with('#')) continue;
    auto const rank = static_cast<std::int32_t>(s.actions.size());
    s.actions.emplace_back();
    for (index_t column = 1; !row.empty(); ++column) {
      auto const comma = std::min(row.find(','), row.size());
      std::string_view cell = detail::trim(row.substr(0, comma));
      row.remove_prefix(std::min(comma + 1, row.size()));
      if (cell.size() >= 2 && cell.front() == '"' && cell.back() == '"')
        cell = detail::trim(cell.substr(1, cell.size() - 2));
      if (cell.empty()) continue;
      detail::csv_place const place{line, column};
      action const a = detail::parse_action(cell, place);
      auto const stage = static_cast<std::size_t>(a.stage);
      if (stage >= s.rank_of.size()) {
        s.rank_of.resize(stage + 1, -1);
        line_of.resize(stage + 1, 0);
      }
      if (s.rank_of[stage] < 0) {
        s.rank_of[stage] = rank;
        line_of[stage] = line;
      } else if (s.rank_of[stage] != rank) {
        throw error{"plan::parse_schedule",
                    place.in_words() + ": stage " + std::to_string(a.stage) + " belongs to the rank of line " +
                        std::to_string(line_of[stage]) + " already",
                    "A stage lives on one rank"};
      }
      s.actions.back().push_back(a);
      last_micro_batch = std::max(last_micro_batch, a.micro_batch);
      ++cells;
    }
  }
  if (cells == 0)
    throw error{"plan::parse_schedule", "the table has no action", "A row per rank, a cell per action: 0F0,0B0"};
  s.micro_batches = last_micro_batch + 1;
  for (std::size_t i = 0; i < s.rank_of.size(); ++i)
    if (s.rank_of[i] < 0)
      throw error{"plan::parse_schedule",
                  "no row says what stage " + std::to_string(i) + " does, but there is a stage " +
                      std::to_string(s.rank_of.size() - 1),
                  "Stages count from 0 without gaps"};
  // Before anybody makes a table of all of them: each pair has a forward and a backward.
  if (s.stages() * s.micro_batches > cells)
    throw error{"plan::parse_schedule",
                std::to_string(s.stages()) + " stages and " + std::to_string(s.micro_batches) +
                    " micro-batches need at least " + std::to_string(2 * s.stages() * s.micro_batches) +
                    " actions, found " + std::to_string(cells),
                "Every stage has a forward and a backward of every micro-batch, counted from 0"};
  return s;
}

}  // namespace pleat::plan
