// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// One progress line, from rank 0: rewritten in place on a terminal, a plain line now and then elsewhere.
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include <pleat/base/config.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::run {

/// Where training is, for the line.
struct progress_state {
  index_t epoch = 0, epochs = 0;  ///< epoch counts from 1
  index_t step = 0, steps = 0;    ///< over all epochs
  double loss = 0;                ///< running mean
  double samples_per_second = 0;  ///< over all ranks
  double seconds_left = 0;        ///< at that speed
};

/// "epoch 3/10  step 120/938  loss 0.0712  48200 samples/s  0:12 left"
PLEAT_ONCE [[nodiscard]] std::string to_string(progress_state const& s) {
  char line[160];
  // a first step that took long foretells what no int holds
  int const left = s.seconds_left > 0 ? static_cast<int>(std::min(s.seconds_left, 1e9) + 0.5) : 0;
  std::snprintf(line, sizeof line, "epoch %lld/%lld  step %lld/%lld  loss %.4f  %.0f samples/s  %d:%02d left",
                static_cast<long long>(s.epoch), static_cast<long long>(s.epochs), static_cast<long long>(s.step),
                static_cast<long long>(s.steps), s.loss, s.samples_per_second, left / 60, left % 60);
  return line;
}

/// Shows the state at most every `interval` seconds (plain lines: once per call of `line`, which fit makes at the end
/// of an epoch).
class progress_line {
 public:
  /// \param on false: prints nothing (ranks above 0, or a caller who wants silence)
  PLEAT_ONCE explicit progress_line(bool on, std::FILE* out = stderr, double interval = 0.1);
  progress_line(progress_line const&) = delete;
  progress_line& operator=(progress_line const&) = delete;
  ~progress_line() { clear(); }

  /// A transient state: shown on a terminal only.
  PLEAT_ONCE void show(progress_state const& s) {
    if (!terminal_) return;
    auto const now = std::chrono::steady_clock::now();
    if (shown_ && std::chrono::duration<double>(now - last_).count() < interval_) return;
    last_ = now;
    shown_ = true;
    std::string text = to_string(s);
    winsize window{};  // a line that wraps is not cleared
    if (ioctl(fileno(out_), TIOCGWINSZ, &window) == 0 && window.ws_col > 1 && text.size() >= window.ws_col)
      text.resize(window.ws_col - 1u);
    std::fprintf(out_, "\r\033[K%s", text.c_str());
    std::fflush(out_);
  }
  /// A lasting line.
  PLEAT_ONCE void line(std::string const& text);

 private:
  PLEAT_ONCE void clear();
  std::FILE* out_;
  bool terminal_, shown_ = false;
  double interval_;
  std::chrono::steady_clock::time_point last_{};
};

template <class>
progress_line::progress_line(bool on, std::FILE* out, double interval)
    : out_(on ? out : nullptr), terminal_(on && isatty(fileno(out)) != 0), interval_(interval) {}
PLEAT_COMPILED_ONCE(progress_line::progress_line(bool on, std::FILE* out, double interval));

template <class> void progress_line::line(std::string const& text) {
  if (!out_) return;
  clear();
  std::fprintf(out_, "%s\n", text.c_str());
  std::fflush(out_);
}
PLEAT_COMPILED_ONCE(void progress_line::line(std::string const& text));

template <class> void progress_line::clear() {
  if (terminal_ && shown_) std::fprintf(out_, "\r\033[K");
  shown_ = false;
}
PLEAT_COMPILED_ONCE(void progress_line::clear());

}  // namespace pleat::run
