// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Who did what when, as the JSON that Chrome (chrome://tracing) and Perfetto (ui.perfetto.dev) show. Needs no Kokkos.
///
/// The "Trace Event Format": an object whose "traceEvents" are complete events ("ph":"X", times in microseconds) and names of rows
/// ("ph":"M").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <pleat/io/detail/json.hpp>
#include <pleat/io/file.hpp>

namespace pleat::io {

/// Collects events as text; several texts may be joined, so that every rank writes its own part.
class trace_text {
 public:
  /// A stretch of time on row `row`. \param begin, end nanoseconds \param note what else is to be seen; may be empty
  void add(int row, std::string_view name, std::string_view category, std::int64_t begin, std::int64_t end, std::string_view note = {}) {
    next();
    text_ += "{\"ph\":\"X\",\"pid\":0,\"tid\":" + std::to_string(row) + ",\"name\":";
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
  /// What row `row` is called.
  void name_row(int row, std::string_view name) {
    next();
    text_ += "{\"ph\":\"M\",\"pid\":0,\"tid\":" + std::to_string(row) + ",\"name\":\"thread_name\",\"args\":{\"name\":";
    detail::append_json_string(text_, name);
    text_ += "}}";
  }
  /// Takes the events of another text.
  void join(std::string_view other) {
    if (other.empty()) return;
    next();
    text_ += other;
  }
  /// The events so far, without what is around them.
  [[nodiscard]] std::string const& events() const noexcept { return text_; }
  /// The whole file.
  [[nodiscard]] std::string to_string() const { return "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n" + text_ + "\n]}\n"; }

 private:
  /// Nanoseconds as microseconds, exactly; printf would ask the process' locale for the point.
  [[nodiscard]] static std::string microseconds(std::int64_t nanoseconds) {
    auto const n = nanoseconds < 0 ? 0 - static_cast<std::uint64_t>(nanoseconds) : static_cast<std::uint64_t>(nanoseconds);
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
