// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/checkpoint_job.hpp>

#include <csignal>
#include <cstring>
#include <fstream>
#include <numeric>
#include <thread>

#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::scratch;
using io_test::words;
using pleat::extents;
using pleat::index_box;
using pleat::index_range;
using pleat::index_t;
namespace fs = std::filesystem;
namespace io = pleat::io;

namespace {

extents const shape{5, 7};
extents const vector_shape{6};

io::checkpoint_layout layout() {
  return io::checkpoint_layout(
      {{"parameters", {{"b", pleat::dtype::f32, vector_shape}, {"w", pleat::dtype::f32, shape}}},
       {"optimizer-1", {{"w", pleat::dtype::f64, shape}}}});
}

/// What `writers` writers have of the checkpoint of a step: columns of the matrices, the vector by elements.
struct share {
  std::vector<std::vector<std::byte>> bytes;
  std::vector<io::array_part> parts;

  template <class T>
  void add(io::checkpoint_layout const& l, char const* group, char const* name, extents const& whole, int dim,
           index_t writer, index_t writers, index_t step) {
    index_box box(whole);
    box[dim] = pleat::block_range(whole[dim], writers, writer);
    index_range const all{0, box.size()};
    auto& to = bytes.emplace_back(static_cast<std::size_t>(all.size()) * sizeof(T));
    io::for_each_run(whole, box, all, [&](index_t global, index_t local, index_t n) {
      for (index_t i = 0; i < n; ++i) {
        T const v = static_cast<T>(100 * step + global + i);
        std::memcpy(to.data() + static_cast<std::size_t>(local + i) * sizeof(T), &v, sizeof v);
      }
    });
    parts.push_back({l.find(group, name), box, all, to});
  }
  share(io::checkpoint_layout const& l, index_t writer, index_t writers, index_t step) {
    bytes.reserve(3);
    add<float>(l, "parameters", "w", shape, 1, writer, writers, step);
    add<float>(l, "parameters", "b", vector_shape, 0, writer, writers, step);
    add<double>(l, "optimizer-1", "w", shape, 0, writer, writers, step);
  }
};

/// All writers in turn, as a program with messages would have them at once.
void save_in_turn(std::string const& folder, index_t step, index_t writers, int keep = 2) {
  auto const l = layout();
  auto const c = io::begin_checkpoint(folder, step, {{"epoch", std::to_string(step)}}, l, keep);
  std::vector<std::uint64_t> sums(l.arrays().size(), 0);
  for (index_t w = 0; w < writers; ++w) {
    share const s(l, w, writers, step);
    auto const mine = io::write_parts(c.begun.temporary, l, s.parts, w == 0);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += mine[i];
  }
  io::commit_checkpoint(c, l, sums);
}

/// Jobs of all writers, in threads of their own. \param missing this one never writes
std::vector<io::checkpoint_job> save_at_once(std::string const& folder, index_t step, int writers, int missing = -1) {
  auto const l = std::make_shared<io::checkpoint_layout const>(layout());
  auto c = io::begin_checkpoint(folder, step, {{"epoch", std::to_string(step)}}, *l);
  auto const temporary = c.begun.temporary;
  std::vector<io::checkpoint_job> jobs;
  std::optional<io::checkpoint_commit> commit(std::move(c));
  for (int w = 0; w < writers; ++w) {
    if (w == missing) continue;
    share s(*l, w, writers, step);
    jobs.emplace_back(l, temporary, w, writers, std::move(s.parts), std::move(s.bytes),
                      w == 0 ? std::exchange(commit, std::nullopt) : std::nullopt);
  }
  return jobs;
}

/// The checkpoint holds what the writers of its step wrote, all of it. \returns its step
index_t checked(io::checkpoint const& c) {
  REQUIRE(c.value("epoch") == std::to_string(c.step));
  std::vector<float> w(35), b(6);
  std::vector<double> m(35);
  c.group("parameters").copy<float>("w", w);
  c.group("parameters").copy<float>("b", b);
  c.group("optimizer-1").copy<double>("w", m);
  for (std::size_t i = 0; i < 35; ++i) {
    REQUIRE(w[i] == static_cast<float>(100 * c.step + static_cast<index_t>(i)));
    REQUIRE(m[i] == static_cast<double>(100 * c.step + static_cast<index_t>(i)));
  }
  for (std::size_t i = 0; i < 6; ++i) REQUIRE(b[i] == static_cast<float>(100 * c.step + static_cast<index_t>(i)));
  return c.step;
}

std::vector<std::string> names(std::string const& folder) { return io::detail::names_in(folder); }

std::string all_bytes(std::string const& step) {
  std::string all;
  for (auto const& name : names(step)) {
    auto const bytes = io::read_file(io::detail::join(step, name));
    all += name + "\n" + std::string(reinterpret_cast<char const*>(bytes.data()), bytes.size());
  }
  return all;
}

}  // namespace

TEST_CASE("many writers, one writer and the writer of whole tensors leave the same bytes", "[io][checkpoint_job]") {
  scratch const dir;
  std::vector<float> w(35), b(6);
  std::vector<double> m(35);
  std::iota(w.begin(), w.end(), 700.f);
  std::iota(b.begin(), b.end(), 700.f);
  std::iota(m.begin(), m.end(), 700.);
  io::save_checkpoint(dir / "whole", 7,
                      {{{"epoch", "7"}},
                       {{"parameters", {io::view_of<float>("w", shape, w), io::view_of<float>("b", vector_shape, b)}},
                        {"optimizer-1", {io::view_of<double>("w", shape, m)}}}});
  auto const expected = all_bytes(dir / "whole/step-7");
  for (int const writers : {1, 2, 3, 5, 8}) {  // with 8, some have nothing of an array
    save_in_turn(dir / "turn", 7, writers);
    CHECK((all_bytes(dir / "turn/step-7") == expected));
    CHECK(checked(io::load_checkpoint(dir / "turn")) == 7);
    auto jobs = save_at_once(dir / "once", 7, writers);
    for (auto& j : jobs) j.wait();
    CHECK((all_bytes(dir / "once/step-7") == expected));
    CHECK(names(dir / "once") == std::vector<std::string>{"latest", "step-7"});
    fs::remove_all(dir / "turn");
    fs::remove_all(dir / "once");
  }
}

TEST_CASE("a writer that never comes: the save is given up, the one before stays", "[io][checkpoint_job]") {
  scratch const dir;
  save_in_turn(dir.path(), 1, 2);
  auto const before = names(dir.path());
  {
    auto jobs = save_at_once(dir.path(), 2, 3, 2);
    jobs[1].wait();
    CHECK(!jobs[0].done());
    jobs[0].give_up();
    CHECK_THAT(words([&] { jobs[0].wait(); }), ContainsSubstring("writer 2 of 3 did not finish"));
    CHECK(names(dir.path()) == before);
  }
  // writer 2 may leave its note while writer 0 gives up and removes the folder
  for (int again = 0; again < 30; ++again) {
    {
      auto const forgotten = save_at_once(dir.path(), 2, 3, 1);
    }  // nobody waits: no thread stays behind
    REQUIRE(names(dir.path()) == before);
  }
  CHECK(checked(io::load_checkpoint(dir.path())) == 1);
}

TEST_CASE("a writer that fails says where, and what is left by a writer is not believed blindly",
          "[io][checkpoint_job]") {
  scratch const dir;
  auto const l = std::make_shared<io::checkpoint_layout const>(layout());
  share s(*l, 1, 2, 3);
  io::checkpoint_job lost(l, dir / "nowhere", 1, 2, std::move(s.parts), std::move(s.bytes), std::nullopt);
  CHECK_THAT(words([&] { lost.wait(); }), ContainsSubstring("cannot open the file") && ContainsSubstring("nowhere"));

  auto c = io::begin_checkpoint(dir.path(), 5, {}, *l);
  auto const temporary = c.begun.temporary;
  io::write_file(temporary + "/done-1", "nonsense");
  share first(*l, 0, 2, 5);
  io::checkpoint_job root(l, temporary, 0, 2, std::move(first.parts), std::move(first.bytes), std::move(c));
  CHECK_THAT(words([&] { root.wait(); }),
             ContainsSubstring("what writer 1 left in") && ContainsSubstring("is damaged"));
  CHECK(names(dir.path()).empty());
}

TEST_CASE("a disk that is full at any byte of a shared save loses nothing", "[io][checkpoint_job]") {
  scratch const dir;
  save_in_turn(dir.path(), 1, 3);
  auto const before = names(dir.path());
  auto const size = fs::file_size(dir / "step-1/optimizer-1.safetensors");
  for (rlim_t limit = 0; limit < size; limit += 23) {
    int const status = io_test::in_child([&] {
      ::signal(SIGXFSZ, SIG_IGN);
      rlimit const r{limit, limit};
      if (::setrlimit(RLIMIT_FSIZE, &r) != 0) return 2;
      return words([&] { save_in_turn(dir.path(), 2, 3); }).find("File too large") != std::string::npos ? 0 : 1;
    });
    INFO(limit);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(checked(io::load_checkpoint(dir.path())) == 1);
    CHECK(io::load_checkpoint(dir.path()).notice.empty());
  }
  save_in_turn(dir.path(), 2, 3);  // what a failed one may have left goes
  CHECK(names(dir.path()) == std::vector<std::string>{"latest", "step-1", "step-2"});
  CHECK(before == std::vector<std::string>{"latest", "step-1"});
}

TEST_CASE("kill -9 at every system call of a shared save leaves a whole checkpoint", "[io][checkpoint_job][ptrace]") {
  index_t last = 20;
  int stops = 0;
  for (bool alive = true; alive; ++stops) {
    REQUIRE(stops < 2000);
    scratch const dir = scratch::in_memory();
    save_in_turn(dir.path(), 30, 2);
    save_in_turn(dir.path(), 20, 2);  // steps descend: nothing but the list says which is newest
    pid_t const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(9);
      ::raise(SIGSTOP);
      save_in_turn(dir.path(), 10, 2);
      ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    if (!WIFSTOPPED(status)) SKIP("ptrace is not allowed here: the kill at every system call was not tried");
    for (int n = 0; alive && n < stops; ++n) {
      REQUIRE(::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) == 0);
      REQUIRE(::waitpid(child, &status, 0) == child);
      alive = WIFSTOPPED(status);
    }
    if (alive) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
    } else {
      REQUIRE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    }
    INFO("killed at stop " << stops);
    auto const c = io::load_checkpoint(dir.path());
    REQUIRE(c.notice.empty());
    index_t const found = checked(c);
    REQUIRE((found == last || (last == 20 && found == 10)));  // once new, always new
    last = found;
    save_in_turn(dir.path(), 40, 3);  // the next run cleans up and goes on
    REQUIRE(checked(io::load_checkpoint(dir.path())) == 40);
  }
  CHECK(last == 10);
  CHECK(stops > 40);
}

TEST_CASE("kill -9 at random moments of saves in the background leaves what was acknowledged", "[io][checkpoint_job]") {
  scratch const dir = scratch::in_memory();
  pleat::random::stream const draw(12, 0);
  index_t newest = 1;
  save_in_turn(dir.path(), newest, 3);
  for (std::uint64_t round = 0; round < 25; ++round) {
    int pipe[2];
    REQUIRE(::pipe(pipe) == 0);
    pid_t const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::close(pipe[0]);
      for (index_t step = newest + 1;; ++step) {
        auto jobs = save_at_once(dir.path(), step, 3);
        for (auto& j : jobs) j.wait();
        if (::write(pipe[1], &step, sizeof step) != sizeof step) ::_exit(1);
      }
    }
    ::close(pipe[1]);
    index_t acknowledged = 0;
    REQUIRE(::read(pipe[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged);
    ::usleep(draw.below(round, 20'000));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    while (::read(pipe[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
    }
    ::close(pipe[0]);
    auto const c = io::load_checkpoint(dir.path());
    CHECK(c.notice.empty());
    newest = checked(c);
    CHECK((newest == acknowledged || newest == acknowledged + 1));
  }
}
