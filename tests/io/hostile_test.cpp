// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What no single header's test can show: hostile files of every format read through the file system, within a bound of
// memory.
#include <pleat/io.hpp>
#include <pleat/io/decode.hpp>
#include <pleat/io/gguf.hpp>

#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <new>

#include <sys/resource.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support.hpp"
#include "support/sanitizers.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::scratch;
using io_test::words;
namespace io = pleat::io;

namespace {

/// Bytes of address space that this process has.
[[maybe_unused]] std::uint64_t address_space() {
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// Runs f in a child that may take `bytes` more of address space. The address sanitizer's shadow memory does not live
/// with such a limit: there f runs without, and the test of the limit itself says so. \returns 0: f returned; 3:
/// std::bad_alloc; 4: another exception; more: a signal
template <class F> int within(std::uint64_t bytes, F&& f) {
  int const status = io_test::in_child([&] {
#if !defined(PLEAT_TEST_ADDRESS_SANITIZER)
    rlim_t const limit = address_space() + bytes;
    rlimit const r{limit, limit};
    if (::setrlimit(RLIMIT_AS, &r) != 0) return 2;
#else
    (void)bytes;
#endif
    try {
      f();
      return 0;
    } catch (std::bad_alloc const&) {
      return 3;
    } catch (...) {
      return 4;
    }
  });
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

constexpr std::uint64_t mib = 1 << 20;

}  // namespace

TEST_CASE("the bound on memory is one", "[io][hostile][limit]") {
#if defined(PLEAT_TEST_ADDRESS_SANITIZER)
  SKIP("under the address sanitizer no test of hostile files is held to 64 MiB: its shadow memory takes more");
#endif
  CHECK(within(64 * mib, [] { std::vector<char> const v(200 * mib); }) == 3);
  CHECK(within(64 * mib, [] { std::vector<char> const v(mib); }) == 0);
}

TEST_CASE("damaged files of every format stay within 64 MiB", "[io][hostile]") {
  io::idx_array a{pleat::dtype::u8, {20, 8, 8}, std::vector<std::byte>(1280, std::byte{3})};
  auto const idx = io::encode_idx(a), packed = io::gzip(idx);
  io::safetensors_writer w;
  std::array<float, 64> const values{};
  for (int i = 0; i < 5; ++i) w.add<float>("layer" + std::to_string(i), {8, 8}, values);
  auto const tensors = w.bytes();
  io::gguf_writer g("test");
  g.metadata("tokens", io::gguf_array(std::vector<std::string>(50, "word")));
  for (int i = 0; i < 5; ++i) g.add<float>("layer" + std::to_string(i), {8, 8}, values);
  auto const gguf = g.bytes();
  CHECK(within(64 * mib, [&] {
          for (std::uint64_t n = 0; n < 5000; ++n) {
            (void)io_test::advice([&] { (void)io::decode_idx(io_test::damaged(idx, n)); });
            (void)io_test::advice([&] { (void)io::decode_idx(io_test::damaged(packed, n)); });
            (void)io_test::advice([&] { (void)io::gunzip(io_test::damaged(packed, n), mib); });
            (void)io_test::advice([&] { io::safetensors_file const f(io_test::damaged(tensors, n)); });
            (void)io_test::advice([&] { io::gguf_file const f(io_test::damaged(gguf, n)); });
          }
        }) == 0);
}

TEST_CASE("a small file that announces much is refused within 64 MiB", "[io][hostile]") {
  auto const bomb = io::gzip(std::vector<std::byte>(200 * mib));  // 200 kB; 1 MiB is allowed below
  CHECK(within(64 * mib, [&] {
          // A compressed IDX file whose header announces 4 GiB.
          std::vector<std::byte> head(8);
          head[2] = std::byte{8}, head[3] = std::byte{1};
          for (std::size_t i = 4; i < 8; ++i) head[i] = std::byte{0xff};
          if (words([&] { (void)io::decode_idx(io::gzip(head)); }).empty()) throw 1;
          if (words([&] { (void)io::gunzip(bomb, mib); }).empty()) throw 1;
          // A header of 100 MB that is not there.
          std::vector<std::byte> st(16);
          std::uint64_t const n = 100'000'000;
          std::memcpy(st.data(), &n, 8);
          if (words([&] { io::safetensors_file const f(st); }).empty()) throw 1;
          // 2^40 tensors, 2^40 keys, an array of 2^40 strings.
          auto gguf = io::gguf_writer("x").bytes();
          for (std::size_t const at : {8, 16, 24}) {
            auto bad = gguf;
            std::uint64_t const many = std::uint64_t{1} << 40;
            std::memcpy(bad.data() + at, &many, 8);
            if (words([&] { io::gguf_file const f(bad); }).empty()) throw 1;
          }
        }) == 0);
}

TEST_CASE("entropy-coded weights that announce chunks of 2^32 rows or survivors are refused within 64 MiB",
          "[io][hostile]") {
  using logic = pleat::codec::detail::coded_logic;
  pleat::extents const shape{10, 10};
  std::vector<float> values(100, 0.0f);
  for (std::size_t i = 0; i < 100; i += 7) values[i] = static_cast<float>(i);
  auto const good = logic::encode(shape, values, {.entries = 4});
  auto const set = [](std::vector<pleat::codec::file_tensor>& parts, char const* suffix, std::size_t word,
                      std::uint32_t v) {
    for (auto& p : parts)
      if (p.suffix == suffix) std::memcpy(p.bytes.data() + 4 * word, &v, 4);
  };
  auto const refusal = [&](std::uint32_t rows, std::uint32_t survivors) {
    auto parts = good;
    if (rows) set(parts, ".layout", 3, rows);
    if (survivors) set(parts, ".restart", 0, survivors);
    io::stored_weight w{"w", "coded", {}, shape, {}, {}};
    for (auto const& p : parts) w.parts.push_back({p.suffix, p.type, p.shape, p.bytes});
    return words([&] { (void)io::decode(w); });
  };
  CHECK(refusal(0, 0).empty());
  CHECK(within(64 * mib, [&] {
          if (refusal(0xffffffff, 0xffffffff).find("a chunk of 4294967295 rows in a weight of 10") == std::string::npos)
            throw 1;
          if (refusal(11, 0).find("a chunk of 11 rows in a weight of 10") == std::string::npos) throw 1;
          if (refusal(0, 0xffffffff).find("4294967295 survivors among 100 elements") == std::string::npos) throw 1;
          if (refusal(0, 101).find("101 survivors among 100 elements") == std::string::npos) throw 1;
        }) == 0);
}

TEST_CASE("factors that announce what few bytes cannot hold are refused within 64 MiB", "[io][hostile]") {
  // R in int8 says the rank, L [rows, rank] is given by `left` bytes only
  auto const refusal = [](pleat::extents const& shape, pleat::index_t rank, std::string const& left,
                          std::vector<std::byte> const& bytes) {
    std::vector<std::byte> const codes(static_cast<std::size_t>(rank * shape[1])),
        scale(static_cast<std::size_t>(4 * rank));
    io::stored_weight w{"w", "factors", {}, shape, {}, {}};
    w.parts = {{left, pleat::dtype::u32, {static_cast<pleat::index_t>(bytes.size()) / 4}, bytes},
               {".right.int8.codes", pleat::dtype::i8, {rank, shape[1]}, codes},
               {".right.int8.scale", pleat::dtype::f32, {rank}, scale}};
    return words([&] { (void)io::decode(w); });
  };
  pleat::index_t const rows = 65536;
  std::vector<std::byte> const starts(static_cast<std::size_t>(4 * (rows + 1)));
  CHECK(within(64 * mib, [&] {
          for (auto const* left : {".left.csr.row", ".left.coded.layout", ".left"})
            if (refusal({rows, 1}, rows, left, starts).find("a factor claims the shape") == std::string::npos) throw 1;
          if (refusal({rows, 1}, 1, ".left.csr.row", starts).find("stored as 'csr', which factors cannot be") ==
              std::string::npos)
            throw 1;
          // 2^60 rows of 16 numbers
          if (refusal({pleat::index_t{1} << 60, 0}, 16, ".left", {}).find("a factor claims the shape") ==
              std::string::npos)
            throw 1;
        }) == 0);
}

TEST_CASE("a header full of tiny tensors takes a bounded multiple of its length", "[io][hostile]") {
  // 100,000 empty tensors: a header of about 5.6 MB.
  std::string header = "{";
  for (int i = 0; i < 100'000; ++i)
    header += (i ? ",\"" : "\"") + std::to_string(i) + "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}";
  header += "}";
  std::string text(8, '\0');
  std::uint64_t const n = header.size();
  std::memcpy(text.data(), &n, 8);
  text += header;
  auto bytes = io_test::bytes_of(text);
  CHECK(within(10 * bytes.size() + 8 * mib, [&] {
          io::safetensors_file const f(std::move(bytes));
          if (f.entries().size() != 100'000 || f.at("99999").shape.size() != 0) throw 1;
        }) == 0);
}

TEST_CASE("deep nesting does not reach the stack", "[io][hostile]") {
  std::string header = "{\"a\":";
  header.append(1'000'000, '{');
  std::string text(8, '\0');
  std::uint64_t const n = header.size();
  std::memcpy(text.data(), &n, 8);
  CHECK_THAT(words([&] { io::safetensors_file const f(io_test::bytes_of(text + header)); }),
             ContainsSubstring("expected a key in quotes, found '{'"));
}

TEST_CASE("checkpoint files that were damaged: the one before, or an error, never more", "[io][hostile]") {
  scratch const dir = scratch::in_memory();
  std::array<float, 64> values{};
  auto const view = [&](char const* step) {
    return io::checkpoint_view{{{"step", step}, {"plan", "data = 2"}},
                               {{"parameters", {io::view_of<float>("w", {8, 8}, values)}}}};
  };
  io::save_checkpoint(dir.path(), 1, view("1"));
  io::save_checkpoint(dir.path(), 2, view("2"));
  int passed_over = 0;
  for (auto const* name : {"step-2/manifest", "step-2/parameters.safetensors", "latest"}) {
    auto const path = dir / name;
    auto const whole = io::read_file(path);
    for (std::uint64_t n = 0; n < 700; ++n) {
      io::write_file(path, io_test::damaged(whole, n));
      auto const c = io::load_checkpoint(dir.path());
      REQUIRE(c.value("step") == std::to_string(c.step));
      REQUIRE((c.step == 2 || c.step == 1));
      if (c.step == 1 && name != std::string("latest"))
        REQUIRE_THAT(c.notice, ContainsSubstring("passed over a damaged checkpoint"));
      passed_over += c.step == 1;
    }
    io::write_file(path, whole);
  }
  CHECK(passed_over > 1000);
  CHECK(io::load_checkpoint(dir.path()).step == 2);
}
