// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the programs' command lines have in common. For the sources that parse only: it needs nothing of pleat.
#pragma once

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

#include <unistd.h>

namespace command_line {

// Numbers from `low` to `high`, and nothing that is no number: CLI11's own Range lets "nan" through. `what` says
// what is expected.
template <class Number> CLI::Validator number(Number low, Number high, std::string const& what) {
  return {[low, high, what](std::string& text) {
            Number value = 0;
            bool const good = CLI::detail::lexical_cast(text, value) && value >= low && value <= high;
            return good ? std::string() : "'" + text + "' is not a " + what;
          },
          what};
}
inline CLI::Validator number(double low, double high) {
  std::ostringstream range;
  range << low << " to " << high;
  return number(low, high, "number from " + range.str());
}
inline CLI::Validator not_negative() { return number(0.0, std::numeric_limits<double>::max(), "number of 0 or more"); }
inline CLI::Validator positive() {
  return number(std::numeric_limits<double>::min(), std::numeric_limits<double>::max(), "number above 0");
}

template <class Options> void add_seed(CLI::App& app, Options& o, std::string const& words = "") {
  auto const most = std::numeric_limits<decltype(o.seed)>::max();
  app.add_option("--seed", o.seed, words)
      ->check(number(decltype(o.seed){0}, most, "whole number from 0 to " + std::to_string(most)))
      ->capture_default_str();
}

// A path that is empty is a variable of the shell that nobody has set.
inline CLI::Validator not_empty() {
  return {[](std::string& text) { return text.empty() ? std::string("it is empty: name a path") : std::string(); }, ""};
}

template <class Options> void add_timeout(CLI::App& app, Options& o) {
  app.add_option("--timeout", o.timeout,
                 "seconds that a rank waits for another before all end with its name; 0: for ever")
      ->check(number(0, 1e9))
      ->capture_default_str();
}

// What ranks compare, into o.asked: a line for every option, given or not, so that the lines of two ranks fit each
// other.
template <class Options> void add_asked(CLI::App& app, Options& o) {
  app.parse_complete_callback([&] {
    o.asked.clear();
    for (auto const* x : app.get_options([](CLI::Option* each) { return each->get_configurable(); }))
      o.asked += x->get_single_name() + "=" +
                 (x->count() > 0 ? CLI::detail::join(x->reduced_results(), ",") : x->get_default_str()) + "\n";
  });
}

template <class Options> void add_threads(CLI::App& app, Options& o) {
  app.add_option("--threads", o.threads, "threads per rank (default: the cores dealt to the ranks)")
      ->check(CLI::Range(1, 100000))
      ->configurable(false);  // a rank's own affair
  app.add_option("--thread-ranks", o.thread_ranks, "ranks as threads of this process")->check(CLI::Range(1, 1000));
}

// Of every program that trains on ranks.
template <class Options> void add_common(CLI::App& app, Options& o) {
  add_asked(app, o);
  app.add_option("--data", o.data, "folder with MNIST in IDX form (default: the digits that pleat ships)")
      ->check(not_empty());
  app.add_option("--json", o.json, "file for every figure of the report")->check(not_empty());
  add_seed(app, o);
  app.add_option("--batch", o.batch, "samples per step of training, over all ranks")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  add_threads(app, o);
  app.add_flag("--deterministic", o.deterministic,
               "the same bytes on any number of ranks up to 8; from 9 on others, the same up to 16, and so on");
  app.add_flag("--quiet", o.quiet, "no progress line")->configurable(false);
}

// The exit code, where there is nothing to run: --help, options that do not parse, or what `check` throws. mpirun's
// ranks all parse; rank 0 speaks. The others let it: the launcher ends them when rank 0 has failed. One that is still
// there after a while was not launched with others (its rank is the shell's that it was started in), and speaks for
// itself; so does one that reads from a terminal, which launchers give to rank 0 at most.
template <class Check> std::optional<int> parse(CLI::App& app, int argc, char** argv, Check const& check) {
  char const* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  if (!rank) rank = std::getenv("PMI_RANK");
  bool const first = !rank || std::string(rank) == "0" || ::isatty(STDIN_FILENO);
  try {
    app.parse(argc, argv);
    check();
  } catch (CLI::ParseError const& e) {
    std::ostringstream out, err;
    int const code = app.exit(e, out, err);
    std::string const prefix = first ? "" : "rank " + std::string(rank) + ": ";
    if (!first && code == 0) return 0;
    if (!first) std::this_thread::sleep_for(std::chrono::seconds(2));
    std::cout << out.str();
    std::cerr << prefix << err.str();
    return code;
  }
  return std::nullopt;
}

}  // namespace command_line
