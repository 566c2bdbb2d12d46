// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/file.hpp>

#include <csignal>
#include <cstring>

#include <sys/resource.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::scratch;
using io_test::words;
namespace io = pleat::io;

TEST_CASE("a file comes back as it was written, read or mapped", "[io][file]") {
  scratch const dir;
  for (std::size_t const n : {0u, 1u, 4095u, 4096u, 100'000u}) {
    std::vector<std::byte> data(n);
    for (std::size_t i = 0; i < n; ++i) data[i] = static_cast<std::byte>(i * 31 + 7);
    io::write_file(dir / "a", data);
    CHECK(io::read_file(dir / "a") == data);
    io::mapped_file const map(dir / "a");
    CHECK(std::vector<std::byte>(map.bytes().begin(), map.bytes().end()) == data);
    CHECK(dir.count() == 1);  // no temporary is left
  }
}

TEST_CASE("a mapped file moves and keeps its bytes", "[io][file]") {
  scratch const dir;
  io::write_file(dir / "a", "one");
  io::write_file(dir / "b", "three");
  CHECK(io::mapped_file().bytes().empty());
  io::mapped_file a(dir / "a"), b(dir / "b");
  a = std::move(b);
  CHECK(a.bytes().size() == 5);
  io::mapped_file const c(std::move(a));
  CHECK(static_cast<char>(c.bytes()[0]) == 't');
}

TEST_CASE("what cannot be read is named", "[io][file]") {
  scratch const dir;
  io::write_file(dir / "five", "12345");
  CHECK_THAT(words([&] { (void)io::read_file(dir / "none"); }),
             ContainsSubstring("io::read_file('" + (dir / "none") + "')") && ContainsSubstring("No such file"));
  CHECK_THAT(words([&] { io::mapped_file const m(dir / "none"); }),
             ContainsSubstring(dir / "none") && ContainsSubstring("No such file"));
  CHECK_THAT(words([&] { (void)io::read_file(dir.path()); }), ContainsSubstring("this is a folder, expected a file"));
  CHECK_THAT(words([&] { (void)io::read_file(dir / "five", 4); }), ContainsSubstring("has 5 bytes, at most 4"));
  CHECK(io::read_file(dir / "five", 5).size() == 5);
  REQUIRE(::mkfifo((dir / "pipe").c_str(), 0600) == 0);
  CHECK_THAT(words([&] { (void)io::read_file(dir / "pipe"); }),
             ContainsSubstring("no regular file"));  // and does not wait for a writer
}

TEST_CASE("without commit the old file stays and the temporary goes", "[io][file]") {
  scratch const dir;
  io::write_file(dir / "a", "old");
  {
    io::atomic_file file(dir / "a");
    file.write("new and longer");
    CHECK(dir.count() == 2);
  }
  CHECK(dir.count() == 1);
  CHECK(io::read_file(dir / "a") == io_test::bytes_of("old"));
  io::write_file(dir / "a", "new");
  CHECK(io::read_file(dir / "a") == io_test::bytes_of("new"));
}

TEST_CASE("a folder that is missing is named when writing", "[io][file]") {
  scratch const dir;
  CHECK_THAT(words([&] { io::write_file(dir / "none/a", "x"); }),
             ContainsSubstring("cannot make a file in '" + (dir / "none") + "'") && ContainsSubstring("No such file"));
}

TEST_CASE("what will be written is asked for before, and nothing is left or changed", "[io][file]") {
  scratch const dir;
  CHECK_THAT(
      words([&] { io::demand_writable_file(dir / "none/a"); }),
      ContainsSubstring("cannot make a file in '" + (dir / "none") + "'") && ContainsSubstring("Make the folder"));
  CHECK_THAT(words([&] { io::demand_writable_file(dir / ""); }), ContainsSubstring("this is a folder"));
  io::demand_writable_file(dir / "new");
  CHECK(dir.count() == 0);
  io::write_file(dir / "old", "what was there");
  REQUIRE(::symlink((dir / "old").c_str(), (dir / "link").c_str()) == 0);
  io::demand_writable_file(dir / "old");
  io::demand_writable_file(dir / "link");
  CHECK(io::read_file(dir / "link") == io_test::bytes_of("what was there"));
  REQUIRE(::mkfifo((dir / "pipe").c_str(), 0600) == 0);
  io::demand_writable_file(dir / "pipe");  // without a reader: it does not wait for one
  CHECK(dir.count() == 3);
}

TEST_CASE("a temporary name left by a killed process is stepped over", "[io][file]") {
  scratch const dir;
  io::write_file((dir / "a") + ".tmp-" + std::to_string(::getpid()) + "-0", "left");
  io::write_file(dir / "a", "x");
  CHECK(io::read_file(dir / "a") == io_test::bytes_of("x"));
}

TEST_CASE("a full device is an error number with the count of what arrived", "[io][file]") {
  auto const full = io::detail::open_file("/dev/full", O_WRONLY);
  REQUIRE(full.is_open());
  std::uint64_t written = 0;
  std::vector<std::byte> const data(100);
  CHECK(io::detail::write_all(full.get(), data, written) == ENOSPC);
  CHECK(written == 0);
}

TEST_CASE("a device is written to, never replaced", "[io][file]") {
  scratch const dir;
  // A link leads there, so that a mistake of ours would replace the link, not the machine's device.
  REQUIRE(::symlink("/dev/full", (dir / "full").c_str()) == 0);
  CHECK_THAT(words([&] { io::write_file(dir / "full", "x"); }),
             ContainsSubstring("writing failed after 0 bytes: No space left"));
  CHECK(io::detail::is_device("/dev/full"));
  CHECK(dir.count() == 1);
  REQUIRE(::mkfifo((dir / "pipe").c_str(), 0600) == 0);
  auto const reader = io::detail::open_file(dir / "pipe", O_RDONLY | O_NONBLOCK);
  io::write_file(dir / "pipe", "through");
  char came[8] = {};
  CHECK(::read(reader.get(), came, sizeof came) == 7);
  CHECK(std::string(came) == "through");
  CHECK(io::detail::is_device(dir / "pipe"));
  CHECK(dir.count() == 2);
}

TEST_CASE("what a link leads to is replaced, the link stays", "[io][file]") {
  scratch const dir;
  io::make_folder(dir / "far");
  io::write_file(dir / "far/a", "old");
  REQUIRE(::symlink("far/a", (dir / "link").c_str()) == 0);
  io::write_file(dir / "link", "new");
  struct stat info {};
  REQUIRE(::lstat((dir / "link").c_str(), &info) == 0);
  CHECK(S_ISLNK(info.st_mode));
  CHECK(io::read_file(dir / "far/a") == io_test::bytes_of("new"));
  CHECK_THAT(words([&] { io::write_file(dir / "far", "x"); }), ContainsSubstring("this is a folder, expected a file"));
}

TEST_CASE("folders are made with those above them", "[io][file]") {
  scratch const dir;
  io::make_folder(dir / "a/b//c/");
  CHECK(io::detail::is_folder(dir / "a/b/c"));
  io::make_folder(dir / "a/b/c");  // there already
  io::write_file(dir / "file", "x");
  CHECK_THAT(words([&] { io::make_folder(dir / "file"); }),
             ContainsSubstring("cannot make the folder '" + (dir / "file") + "': File exists"));
  CHECK_THAT(
      words([&] { io::make_folder(dir / "file/under"); }),
      ContainsSubstring("cannot make the folder '" + (dir / "file") + "'") && ContainsSubstring("Choose a folder"));
  CHECK_THAT(words([&] { io::make_folder("/proc/none/here"); }),
             ContainsSubstring("cannot make the folder '/proc/none'"));
  CHECK_THAT(words([&] { io::make_folder(""); }), ContainsSubstring("the name is empty"));
}

TEST_CASE("a disk that fills up in the middle of a file leaves the old one", "[io][file]") {
  scratch const dir;
  io::write_file(dir / "a", "old");
  // The limit on the size of a file stands for the full disk: the write that crosses it is cut short, the next one
  // fails.
  int const status = io_test::in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit const limit{10'000, 10'000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    auto const w = words([&] { io::write_file(dir / "a", std::vector<std::byte>(20'000)); });
    return w.find("io::write('" + (dir / "a") + "'): writing failed after 10000 bytes") != std::string::npos ? 0 : 1;
  });
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(dir.count() == 1);
  CHECK(io::read_file(dir / "a") == io_test::bytes_of("old"));
}
