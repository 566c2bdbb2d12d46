// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/run/progress.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>

using pleat::run::progress_line;
using pleat::run::progress_state;

TEST_CASE("the line holds loss, rate and time left") {
  CHECK(to_string(progress_state{3, 10, 120, 938, 0.07124, 48200.4, 72.4}) ==
        "epoch 3/10  step 120/938  loss 0.0712  48200 samples/s  1:12 left");
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
