// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Who did what when, as the JSON that Chrome (chrome://tracing) and Perfetto (ui.perfetto.dev) show. Needs no Kokkos.
///
/// The "Trace Event Format": an object whose "traceEvents" are complete events ("ph":"X", times in microseconds) and
/// names of rows ("ph":"M").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <pleat/io/detail/json.hpp>
#include <pleat/io/file.hpp>

namespace pleat::io {

/// Where an event is shown: rows (threads) are grouped by process.
struct trace_row {
  int process = 0, thread = 0;
};

/// Collects events as text; several texts may be joined, so that every rank writes its own part.
class trace_text {
 public:
  /// A stretch of time on a row; those of one row nest or do not overlap. \param begin, end nanoseconds \param note
  /// what else is to be seen; may be empty
  void add(trace_row row, std::string_view name, std::string_view category, std::int64_t begin, std::int64_t end,
           std::string_view note = {}) {
    next();
    text_ += "{\"ph\":\"X\"," + place(row) + ",\"name\":";
    detail::append_json_string(text_, name);
    text_ += ",\"cat\":";
    detail::append_json_string(text_, category);
    text_ += ",\"ts\":" + microseconds(begin) + ",\"dur\":" + microseconds(end - begin);
    if (!note.empty()) {
      text_ += ",\"args\":{\"detail\":";
      detail::append_json_string(text_, note);
      text_ += '}';
    }
    text_ += '}';
  }
  /// What a row is called.
  void name_thread(trace_row row, std::string_view name) { metadata(row, "thread_name", name); }
  /// What the group of rows of a process is called.
  void name_process(int process, std::string_view name) { metadata({process, 0}, "process_name", name); }
  /// Takes the events of another text.
  void join(std::string_view other) {
    if (other.empty()) return;
    next();
    text_ += other;
  }
  /// The events so far, without what is around them.
  [[nodiscard]] std::string const& events() const noexcept { return text_; }
  /// The whole file.
  [[nodiscard]] std::string to_string() const {
    return "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n" + text_ + "\n]}\n";
  }

 private:
  [[nodiscard]] static std::string place(trace_row row) {
    return "\"pid\":" + std::to_string(row.process) + ",\"tid\":" + std::to_string(row.thread);
  }
  void metadata(trace_row row, char const* what, std::string_view name) {
    next();
    text_ += "{\"ph\":\"M\"," + place(row) + ",\"name\":\"" + what + "\",\"args\":{\"name\":";
    detail::append_json_string(text_, name);
    text_ += "}}";
  }
  /// Nanoseconds as microseconds, exactly; printf would ask the process' locale for the point.
  [[nodiscard]] static std::string microseconds(std::int64_t nanoseconds) {
    auto const n =
        nanoseconds < 0 ? 0 - static_cast<std::uint64_t>(nanoseconds) : static_cast<std::uint64_t>(nanoseconds);
    std::string text(nanoseconds < 0 ? 1 : 0, '-');  // not "-" + …: g++ 12 warns of that
    text += std::to_string(n / 1000);
    text += '.';
    auto const rest = std::to_string(n % 1000);
    text.append(3 - rest.size(), '0');
    return text += rest;
  }
  void next() {
    if (!text_.empty()) text_ += ",\n";
  }
  std::string text_;
};

/// \throws error if the file cannot be written
inline void write_trace(std::string const& path, trace_text const& trace) { write_file(path, trace.to_string()); }

}  // namespace pleat::io
