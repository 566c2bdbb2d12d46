// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/run/progress.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdlib>
#include <limits>
#include <string>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

using pleat::run::progress_line;
using pleat::run::progress_state;

TEST_CASE("the line holds loss, rate and time left") {
  CHECK(to_string(progress_state{3, 10, 120, 938, 0.07124, 48200.4, 72.4}) ==
        "epoch 3/10  step 120/938  loss 0.0712  48200 samples/s  1:12 left");
  double const endless = std::numeric_limits<double>::infinity(), none = std::numeric_limits<double>::quiet_NaN();
  CHECK(to_string(progress_state{1, 1, 1, 2, 0, 0, endless}).ends_with("  16666666:40 left"));
  CHECK(to_string(progress_state{1, 1, 1, 2, 0, 0, none}).ends_with("  0:00 left"));
}

TEST_CASE("a file gets plain lines only, and a silent line nothing") {
  std::FILE* file = std::tmpfile();
  {
    progress_line line(true, file);
    for (int i = 0; i < 100; ++i) line.show({1, 1, i, 100, 0, 0, 0});
    line.line("one line");
    progress_line silent(false, file);
    silent.show({});
    silent.line("never");
  }
  std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  CHECK(text == "one line\n");
}

TEST_CASE("a line is no wider than its terminal, which could not wipe what wraps") {
  int const ours = posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE((ours >= 0 && grantpt(ours) == 0 && unlockpt(ours) == 0));
  std::FILE* terminal = fdopen(open(ptsname(ours), O_WRONLY | O_NOCTTY), "w");
  REQUIRE(terminal != nullptr);
  winsize const narrow{.ws_row = 5, .ws_col = 20, .ws_xpixel = 0, .ws_ypixel = 0};
  REQUIRE(ioctl(ours, TIOCSWINSZ, &narrow) == 0);
  progress_line(true, terminal, 0).show({1, 2, 3, 8, 0.5, 100, 61});
  std::fflush(terminal);
  std::string const due = "\r\033[Kepoch 1/2  step 3/8\r\033[K";  // 19 characters between the two wipes
  std::string text(due.size(), '\0');
  for (std::size_t n = 0; n < text.size();) {
    auto const got = read(ours, text.data() + n, text.size() - n);
    REQUIRE(got > 0);
    n += static_cast<std::size_t>(got);
  }
  CHECK(text == due);
  std::fclose(terminal);
  close(ours);
}

TEST_CASE("a terminal gets one line that is rewritten in place, and wiped before what lasts") {
  int const ours = posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE((ours >= 0 && grantpt(ours) == 0 && unlockpt(ours) == 0));
  std::FILE* terminal = fdopen(open(ptsname(ours), O_WRONLY | O_NOCTTY), "w");
  REQUIRE(terminal != nullptr);
  auto const heard = [&] {  // all that has been written: it ends with a mark, which is taken off
    std::fputs("#", terminal), std::fflush(terminal);
    std::string text;
    char some[256];
    while (text.empty() || text.back() != '#') {
      auto const n = read(ours, some, sizeof some);
      if (n <= 0) return text + " and no more";
      text.append(some, static_cast<std::size_t>(n));
    }
    text.pop_back();
    return text;
  };
  progress_state const one{1, 2, 3, 8, 0.5, 100, 61}, other{1, 2, 4, 8, 0.25, 100, 60};
  std::string const wipe = "\r\033[K";
  {
    progress_line line(true, terminal, 0);
    line.show(one);
    line.show(other);
    CHECK(heard() == wipe + to_string(one) + wipe + to_string(other));
    line.line("lasts");
    CHECK(heard() == wipe + "lasts\r\n");  // a terminal's driver makes CR LF of LF
    line.line("nothing to wipe");
    CHECK(heard() == "nothing to wipe\r\n");
  }
  CHECK(heard().empty());
  {
    progress_line line(true, terminal, 3600);
    for (int i = 0; i < 9; ++i) line.show(i == 0 ? one : other);
    CHECK(heard() == wipe + to_string(one));  // within the interval: once
  }
  CHECK(heard() == wipe);  // what was shown does not outlive it
  {
    progress_line silent(false, terminal, 0);
    silent.show(one);
  }
  CHECK(heard().empty());
  std::fclose(terminal);
  close(ours);
}
