// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/checkpoint.hpp>
#include <pleat/io/folder_claim.hpp>

#include <csignal>
#include <fstream>

#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::scratch;
using io_test::words;
using pleat::index_t;
namespace fs = std::filesystem;
namespace io = pleat::io;

namespace {

/// Values that say which step they belong to.
struct model {
  std::vector<float> weights, moments;
  index_t step;
  explicit model(index_t step, std::size_t n = 700)
      : weights(n, static_cast<float>(step)), moments(2 * n, static_cast<float>(-step)), step(step) {}
  io::checkpoint_view view() const {
    auto const n = static_cast<index_t>(weights.size());
    return {{{"epoch", std::to_string(step)}, {"plan", "line one\nline \"two\" \\ é"}},
            {{"parameters", {io::view_of<float>("fc1.weight", {n}, weights)}},
             {"optimizer", {io::view_of<float>("m", {2, n}, moments)}}}};
  }
};

/// The checkpoint is one that model(step) made, all of it. \returns its step
index_t checked(io::checkpoint const& c) {
  REQUIRE(c.value("epoch") == std::to_string(c.step));
  REQUIRE(c.value("plan") == "line one\nline \"two\" \\ é");
  auto const& w = c.group("parameters").at("fc1.weight");
  std::vector<float> weights(static_cast<std::size_t>(w.shape.size())), moments(2 * weights.size());
  c.group("parameters").copy<float>("fc1.weight", weights);
  c.group("optimizer").copy<float>("m", moments);
  model const expected(c.step, weights.size());
  REQUIRE(weights == expected.weights);
  REQUIRE(moments == expected.moments);
  return c.step;
}

std::vector<std::string> names(std::string const& folder) { return io::detail::names_in(folder); }

void change(std::string const& path, std::size_t at) {
  auto bytes = io::read_file(path);
  bytes.at(at) ^= std::byte{0x10};
  io::write_file(path, bytes);
}

/// Runs act(folder) in a child under ptrace and kills it at its n-th stop (before or after a system call), in a fresh
/// folder for every n until the child lives to its end; verify(folder) looks at what is left each time. \returns the
/// stops, −1 where ptrace is forbidden
template <class Prepare, class Act, class Verify> int kill_everywhere(Prepare&& prepare, Act&& act, Verify&& verify) {
  for (int stops = 0;; ++stops) {
    REQUIRE(stops < 2000);
    scratch const dir = scratch::in_memory();
    prepare(dir.path());
    pid_t const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(9);
      ::raise(SIGSTOP);
      act(dir.path());
      ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    if (!WIFSTOPPED(status)) return -1;
    bool alive = true;
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
    verify(dir.path());
    if (!alive) return stops;
  }
}

}  // namespace

TEST_CASE("a checkpoint comes back; two are kept", "[io][checkpoint]") {
  scratch const dir;
  auto const folder = dir / "a/b";
  CHECK(!io::has_checkpoint(folder));
  for (index_t const step : {0, 10, 20, 30}) {
    CHECK(io::save_checkpoint(folder, step, model(step).view()) == folder + "/step-" + std::to_string(step));
    auto const c = io::load_checkpoint(folder);
    CHECK(checked(c) == step);
    CHECK(c.notice.empty());
    CHECK(c.path == folder + "/step-" + std::to_string(step));
  }
  CHECK(io::has_checkpoint(folder));
  CHECK(names(folder) == std::vector<std::string>{"latest", "step-20", "step-30"});
  CHECK(names(folder + "/step-30") ==
        std::vector<std::string>{"manifest", "optimizer.safetensors", "parameters.safetensors"});
  io::save_checkpoint(folder, 40, model(40).view(), 1);
  CHECK(names(folder) == std::vector<std::string>{"latest", "step-40"});
  CHECK_THAT(words([&] { (void)io::load_checkpoint(folder).value("none"); }),
             ContainsSubstring("step-40") && ContainsSubstring("no state 'none'"));
  CHECK_THAT(words([&] { (void)io::load_checkpoint(folder).group("none"); }),
             ContainsSubstring("no group of tensors 'none'"));
}

TEST_CASE("a checkpoint without tensors or state is one too", "[io][checkpoint]") {
  scratch const dir;
  io::save_checkpoint(dir.path(), 5, {});
  auto const c = io::load_checkpoint(dir.path());
  CHECK(c.step == 5);
  CHECK(c.state.empty());
  CHECK(c.tensors.empty());
}

TEST_CASE("the last one saved is the newest, whatever its step", "[io][checkpoint]") {
  scratch const dir;
  io::save_checkpoint(dir.path(), 30, model(30).view());
  io::save_checkpoint(dir.path(), 20, model(20).view());
  CHECK(checked(io::load_checkpoint(dir.path())) == 20);
  io::save_checkpoint(dir.path(), 20, model(20).view());  // again, beside the first
  CHECK(names(dir.path()) == std::vector<std::string>{"latest", "step-20", "step-20-1"});
  CHECK(io::load_checkpoint(dir.path()).path == (dir / "step-20-1"));
}

TEST_CASE("what makes no sense is refused and leaves nothing", "[io][checkpoint]") {
  scratch const dir;
  auto const folder = dir / "c";
  CHECK_THAT(words([&] { (void)io::load_checkpoint(folder); }),
             ContainsSubstring("io::load_checkpoint('" + folder + "'): there is no such folder"));
  fs::create_directory(folder);
  CHECK_THAT(words([&] { (void)io::load_checkpoint(folder); }),
             ContainsSubstring("there is no checkpoint in this folder"));
  model const one(1);  // views point into it
  auto bad = one.view();
  bad.tensors["../x"] = {};
  CHECK_THAT(words([&] { io::save_checkpoint(folder, 1, bad); }),
             ContainsSubstring("the group '../x' needs a name of letters"));
  bad = one.view();
  bad.state["k"] = "\xff";
  CHECK_THAT(words([&] { io::save_checkpoint(folder, 1, bad); }), ContainsSubstring("no UTF-8"));
  bad = one.view();
  bad.tensors["parameters"].push_back(bad.tensors["parameters"][0]);
  CHECK_THAT(words([&] { io::save_checkpoint(folder, 1, bad); }),
             ContainsSubstring("'fc1.weight' was given to two tensors"));
  CHECK_THAT(words([&] { io::save_checkpoint(folder, -1, {}); }), ContainsSubstring("step -1"));
  CHECK_THAT(words([&] { io::save_checkpoint(folder, 1, {}, 0); }), ContainsSubstring("keep 0"));
  CHECK(names(folder).empty());
  io::write_file(dir / "file", "x");
  CHECK_THAT(words([&] { io::save_checkpoint(dir / "file", 1, {}); }),
             ContainsSubstring("cannot make the folder '" + (dir / "file") + "'"));
}

TEST_CASE("a damaged newest checkpoint is passed over, and a sentence says so", "[io][checkpoint]") {
  for (std::string const file : {"manifest", "parameters.safetensors", "optimizer.safetensors"})
    for (int const how : {0, 1, 2, 3}) {
      scratch const dir;
      io::save_checkpoint(dir.path(), 1, model(1).view());
      io::save_checkpoint(dir.path(), 2, model(2).view());
      auto const path = dir / ("step-2/" + file);
      auto const size = fs::file_size(path);
      if (how == 0) change(path, size / 2);
      if (how == 1) fs::resize_file(path, size - 1);
      if (how == 2) fs::resize_file(path, size + 1);
      if (how == 3) fs::remove(path);
      auto const c = io::load_checkpoint(dir.path());
      CHECK(checked(c) == 1);
      CHECK_THAT(c.notice, ContainsSubstring("passed over a damaged checkpoint") && ContainsSubstring(path) &&
                               ContainsSubstring("going on from '" + (dir / "step-1") + "', step 1"));
      if (how == 0 || how == 1) CHECK_THAT(c.notice, ContainsSubstring("byte"));
      // A save after that keeps the whole one if the damage shows without reading everything.
      if (how != 0 || file == "manifest") {
        io::save_checkpoint(dir.path(), 3, model(3).view());
        CHECK(names(dir.path()) == std::vector<std::string>{"latest", "step-1", "step-3"});
      }
    }
}

TEST_CASE("every truncation and every flipped bit of a manifest is found", "[io][checkpoint]") {
  scratch const dir;
  io::save_checkpoint(dir.path(), 1, model(1, 3).view());
  auto const path = dir / "step-1/manifest";
  auto const whole = io::read_file(path);
  auto const put = [&](std::span<std::byte const> bytes) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<char const*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  };
  for (std::size_t n = 0; n < whole.size(); ++n) {
    put(std::span(whole).first(n));
    REQUIRE_THAT(words([&] { (void)io::load_checkpoint(dir.path()); }),
                 ContainsSubstring("no checkpoint of 1 is whole") && ContainsSubstring("at byte"));
    auto bad = whole;
    bad[n] ^= static_cast<std::byte>(1u << n % 8);
    put(bad);
    REQUIRE_THAT(words([&] { (void)io::load_checkpoint(dir.path()); }),
                 ContainsSubstring("no checkpoint of 1 is whole"));
  }
  put(whole);
  CHECK(checked(io::load_checkpoint(dir.path())) == 1);
}

TEST_CASE("a hostile manifest with a right checksum is refused", "[io][checkpoint][hostile]") {
  scratch const dir;
  fs::create_directory(dir / "step-1");
  auto const refused = [&](std::string text) {
    text = "pleat checkpoint 1\n" + text;
    text += "end " + io::checksum::hex(io::checksum_of(io_test::bytes_of(text))) + "\n";
    io::write_file(dir / "step-1/manifest", text);
    return words([&] { (void)io::load_checkpoint(dir.path()); });
  };
  io::write_file(dir / "secret", "x");
  CHECK(refused("step 1\n").empty());
  CHECK_THAT(refused(""), ContainsSubstring("there is no line 'step'"));
  CHECK_THAT(refused("step -1\n"), ContainsSubstring("at byte 24: expected the step as a whole number, found '-'"));
  CHECK_THAT(refused("step 1\nfile ../secret 1 0\n"), ContainsSubstring("a file name that pleat does not write"));
  CHECK_THAT(refused("step 1\nfile ../secret.safetensors 1 0\n"),
             ContainsSubstring("a file name that pleat does not write"));
  CHECK_THAT(refused("step 1\nfile /etc/passwd 1 0\n"), ContainsSubstring("a file name that pleat does not write"));
  CHECK_THAT(refused("step 1\nfile a.safetensors x 0\n"), ContainsSubstring("expected a size as a whole number"));
  CHECK_THAT(refused("step 1\nfile a.safetensors 9223372036854775807 0\n"),
             ContainsSubstring("a.safetensors") && ContainsSubstring("No such file"));
  CHECK_THAT(refused("step 1\nstate \"a\n"), ContainsSubstring("the text ends within a key"));
  CHECK_THAT(refused("step 1\nstate \"a\" \"1\"\nstate \"a\" \"2\"\n"), ContainsSubstring("a state appears twice"));
  CHECK_THAT(refused("step 1\nwhat 3\n"), ContainsSubstring("a line of an unknown kind"));
  std::string other = "pleat checkpoint 3\nstep 1\n";
  other += "end " + io::checksum::hex(io::checksum_of(io_test::bytes_of(other))) + "\n";
  io::write_file(dir / "step-1/manifest", other);
  CHECK_THAT(words([&] { (void)io::load_checkpoint(dir.path()); }),
             ContainsSubstring("at byte 17: version 3, this pleat reads versions 1 and 2"));
}

TEST_CASE("a lost or hostile list of checkpoints does no harm", "[io][checkpoint][hostile]") {
  scratch const dir;
  io::save_checkpoint(dir.path(), 9, model(9).view());
  io::save_checkpoint(dir.path(), 10, model(10).view());
  for (std::string const list : {"", "step-11\nstep-10\n", "../../etc\n", "/step-1\n",
                                 "step-\nstep-1-\nstep-1-2-3\nstep-99999999999999999999\n", "\xff\0\n\n"}) {
    io::write_file(dir / "latest", list);
    CHECK(checked(io::load_checkpoint(dir.path())) == 10);
  }
  fs::remove(dir / "latest");
  CHECK(checked(io::load_checkpoint(dir.path())) == 10);
  fs::create_directory(dir / "latest");
  CHECK(checked(io::load_checkpoint(dir.path())) == 10);
}

TEST_CASE("names of checkpoint folders", "[io][checkpoint]") {
  using pair = std::pair<index_t, index_t>;
  CHECK(io::detail::step_of_folder("step-0") == pair{0, 0});
  CHECK(io::detail::step_of_folder("step-12-3") == pair{12, 3});
  for (auto const* bad : {"", "step-", "step-1.tmp", "step-a", "step-1-", "step-1-2-3", "step-+1", "step-1/..",
                          "step-9999999999999999999", "Step-1"})
    CHECK(io::detail::step_of_folder(bad) == pair{-1, -1});
}

TEST_CASE("a disk that is full at any byte loses nothing that was saved", "[io][checkpoint]") {
  scratch const dir;
  io::save_checkpoint(dir.path(), 1, model(1).view());
  io::save_checkpoint(dir.path(), 2, model(2).view());
  auto const before = names(dir.path());
  // The parameters' file has 2880 bytes, the optimizer's 5680 (header 80, data): limits below hit either or the
  // manifest.
  for (rlim_t const limit : {0, 1, 79, 81, 150, 2000, 2879, 3000, 5600}) {
    int const status = io_test::in_child([&] {
      ::signal(SIGXFSZ, SIG_IGN);
      rlimit const r{limit, limit};
      if (::setrlimit(RLIMIT_FSIZE, &r) != 0) return 2;
      auto const w = words([&] { io::save_checkpoint(dir.path(), 3, model(3).view()); });
      return w.find("failed after " + std::to_string(limit) + " bytes: File too large") != std::string::npos ? 0 : 1;
    });
    INFO(limit);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(names(dir.path()) == before);
    CHECK(checked(io::load_checkpoint(dir.path())) == 2);
  }
}

TEST_CASE("kill -9 at every system call of a save leaves a whole checkpoint", "[io][checkpoint][ptrace]") {
  // Steps descend, so that nothing but the list says which is newest. What is found is the old one until the list has
  // been renamed, and the new one from then on; a damaged one is never even looked at.
  for (int const keep : {1, 2}) {
    index_t last = 20;
    int const stops = kill_everywhere(
        [&](std::string const& folder) {
          io::save_checkpoint(folder, 30, model(30, 3).view(), keep);
          io::save_checkpoint(folder, 20, model(20, 3).view(), keep);
        },
        [&](std::string const& folder) { io::save_checkpoint(folder, 10, model(10, 3).view(), keep); },
        [&](std::string const& folder) {
          auto const c = io::load_checkpoint(folder);
          REQUIRE(c.notice.empty());
          index_t const found = checked(c);
          REQUIRE((found == last || (last == 20 && found == 10)));  // once new, always new
          last = found;
          io::save_checkpoint(folder, 40, model(40, 3).view());  // the next run cleans up and goes on
          REQUIRE(checked(io::load_checkpoint(folder)) == 40);
          REQUIRE(names(folder).size() <= 4);  // latest, two checkpoints, perhaps a temporary of `latest`
        });
    if (stops < 0) SKIP("ptrace is not allowed here: the kill at every system call was not tried");
    CHECK(last == 10);
    CHECK(stops > 40);  // with fewer system calls than that nothing would have been flushed
  }
}

TEST_CASE("kill -9 within the first save leaves nothing or a whole checkpoint", "[io][checkpoint][ptrace]") {
  int whole = 0;
  int const stops =
      kill_everywhere([](std::string const&) {},
                      [](std::string const& folder) { io::save_checkpoint(folder, 10, model(10, 3).view()); },
                      [&](std::string const& folder) {
                        if (!io::has_checkpoint(folder)) return;
                        REQUIRE(checked(io::load_checkpoint(folder)) == 10);
                        ++whole;
                      });
  if (stops < 0) SKIP("ptrace is not allowed here: the kill at every system call was not tried");
  CHECK(whole > 0);
  CHECK(whole < stops);
}

#if defined(__x86_64__)
namespace {

/// Whether a system call changes the disk, and so may meet a full one.
bool may_meet_full_disk(user_regs_struct const& r) {
  switch (r.orig_rax) {
    case SYS_write:
    case SYS_fsync:
    case SYS_mkdir:
    case SYS_rename:
      return true;
    case SYS_openat:
      return (r.rdx & O_CREAT) != 0;
    default:
      return false;
  }
}

/// Runs act in a child whose n-th call that changes the disk fails with ENOSPC. \returns the exit code of the child, or
/// −1 where ptrace is forbidden; `met` says whether there was an n-th
template <class Act> int with_full_disk_at(int n, bool& met, Act&& act) {
  met = false;
  pid_t const child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(9);
    ::raise(SIGSTOP);
    ::_exit(act());
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (!WIFSTOPPED(status)) return -1;
  for (int seen = 0;;) {
    auto const go = [&] {
      REQUIRE(::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) == 0);
      REQUIRE(::waitpid(child, &status, 0) == child);
      return WIFSTOPPED(status);
    };
    if (!go()) break;  // entry
    user_regs_struct r{};
    REQUIRE(::ptrace(PTRACE_GETREGS, child, nullptr, &r) == 0);
    bool const hit = may_meet_full_disk(r) && seen++ == n;
    if (hit) {
      r.orig_rax = ~0ull;  // no such call
      REQUIRE(::ptrace(PTRACE_SETREGS, child, nullptr, &r) == 0);
    }
    if (!go()) break;  // exit
    if (hit) {
      r.rax = static_cast<unsigned long long>(-ENOSPC);
      REQUIRE(::ptrace(PTRACE_SETREGS, child, nullptr, &r) == 0);
      met = true;
    }
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

}  // namespace

TEST_CASE("a full disk at every call that needs room: one sentence, nothing lost, nothing left behind",
          "[io][checkpoint][ptrace]") {
  int failures = 0;
  for (int n = 0;; ++n) {
    REQUIRE(n < 1000);
    scratch const dir = scratch::in_memory();
    io::save_checkpoint(dir.path(), 30, model(30, 3).view());
    io::save_checkpoint(dir.path(), 20, model(20, 3).view());
    bool met = false;
    int const code = with_full_disk_at(n, met, [&] {
      auto const w = words([&] { io::save_checkpoint(dir.path(), 10, model(10, 3).view()); });
      return w.empty() ? 0 : w.find("No space left on device") != std::string::npos ? 1 : 2;
    });
    if (code < 0) SKIP("ptrace is not allowed here: the full disk at every call was not tried");
    INFO("full at call " << n);
    auto const c = io::load_checkpoint(dir.path());
    REQUIRE(c.notice.empty());
    if (!met) {
      REQUIRE(code == 0);
      REQUIRE(checked(c) == 10);
      break;
    }
    // Every such failure is said; the last call flushes a name that is there already, so the new checkpoint may be
    // found then.
    ++failures;
    REQUIRE(code == 1);
    REQUIRE((checked(c) == 20 || checked(c) == 10));
    for (auto const& name : names(dir.path())) REQUIRE(name.find(".tmp") == std::string::npos);
  }
  CHECK(failures >
        12);  // three files and a list: made, written, flushed; two folders flushed, one made, two names changed
}
#endif

TEST_CASE("a folder is one job's until it ends, by kill -9 too", "[io][folder_claim]") {
  scratch const dir;
  int pipe[2];
  REQUIRE(::pipe(pipe) == 0);
  pid_t const child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    io::folder_claim const mine(dir.path());
    (void)!::write(pipe[1], "x", 1);
    for (;;) ::pause();
  }
  char said = 0;
  REQUIRE(::read(pipe[0], &said, 1) == 1);
  auto const refused = [&] {
    CHECK_THROWS_WITH(io::folder_claim(dir.path()),
                      ContainsSubstring(dir.path()) && ContainsSubstring("another job writes into this folder"));
  };
  refused();
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK(::access((dir / "lock").c_str(), F_OK) == 0);  // left behind, and nobody's
  {
    io::folder_claim first(dir.path());
    CHECK(first.without_lock().empty());
    refused();
    auto const moved = std::move(first);
    refused();
  }
  CHECK(::access((dir / "lock").c_str(), F_OK) != 0);
  io::folder_claim const again(dir.path());
  CHECK(!io::folder_claim(dir / "nowhere").without_lock().empty());  // said by whoever made no folder
  ::close(pipe[0]), ::close(pipe[1]);
}

TEST_CASE("kill -9 at random moments of saves in a loop leaves what was acknowledged", "[io][checkpoint]") {
  scratch const dir = scratch::in_memory();
  pleat::random::stream const draw(11, 0);
  index_t newest = 1;
  io::save_checkpoint(dir.path(), newest, model(newest).view());
  for (std::uint64_t round = 0; round < 25; ++round) {
    int pipe[2];
    REQUIRE(::pipe(pipe) == 0);
    pid_t const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::close(pipe[0]);
      for (index_t step = newest + 1;; ++step) {
        io::save_checkpoint(dir.path(), step, model(step).view());
        if (::write(pipe[1], &step, sizeof step) != sizeof step) ::_exit(1);
      }
    }
    ::close(pipe[1]);
    // At least one acknowledged save in every round, however slow the disk; then the axe falls when the dice say.
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
