// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a rank's program is given: its communicator, its threads, and a voice that is heard once.
#pragma once

#include <cstdio>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/comm/communicator.hpp>

namespace pleat {

/// A value per rank; nothing global.
class world {
 public:
  /// Receives each line that the library has to say: on rank 0, and what only another rank can know, there. An empty
  /// function silences it.
  using sink = std::function<void(std::string_view line)>;

  world() = default;
  explicit world(comm::communicator c, int threads = 1) : comm(std::move(c)), threads(threads) {}

  comm::communicator comm;
  int threads = 1;  ///< of this rank, for its execution-space instance

  [[nodiscard]] int rank() const noexcept { return comm.rank(); }
  [[nodiscard]] int size() const noexcept { return comm.size(); }
  [[nodiscard]] bool root() const noexcept { return comm.rank() == 0; }

  /// Where say() goes; standard output until somebody says otherwise.
  void set_sink(sink s) { sink_ = std::move(s); }

  /// One line, from rank 0. Other ranks may call it and are not heard.
  PLEAT_LAZY void say(std::string_view line) const {
    if (root() && sink_) sink_(line);
  }

  /// Where say() goes from this rank: empty on all but rank 0. For what must speak when the world is not at hand.
  PLEAT_LAZY [[nodiscard]] sink voice() const { return voice(root()); }
  /// The same where rank 0 cannot know: `speaks` on the one rank that says it.
  PLEAT_LAZY [[nodiscard]] sink voice(bool speaks) const { return speaks ? sink_ : sink{}; }

  /// The same, but once per key: notes that a silent fallback would have hidden (law 10).
  PLEAT_LAZY void say_once(std::string const& key, std::string_view line) {
    if (root() && said_.insert(key).second) say(line);
  }

 private:
  static void print(std::string_view line) {
    std::string const whole = std::string(line) + '\n';  // in one piece: another rank may speak, too
    std::fwrite(whole.data(), 1, whole.size(), stdout);
    std::fflush(stdout);
  }
  sink sink_ = print;
  std::set<std::string> said_;
};

}  // namespace pleat
