// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/gguf.hpp>

#include <array>
#include <limits>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::scratch;
using io_test::words;
using pleat::extents;
using pleat::index_t;
namespace io = pleat::io;

namespace {

struct content {
  std::array<float, 6> a{1, 2, 3, 4, 5, 6};
  std::array<pleat::half, 4> b{pleat::half(0.5f), pleat::half(-1.0f), pleat::half(2.0f), pleat::half(0.0f)};
  std::array<std::int64_t, 2> c{-1, std::numeric_limits<std::int64_t>::max()};
  std::array<std::byte, 2 * 34> d{};  // two blocks of q8_0
  content() {
    for (std::size_t i = 0; i < d.size(); ++i) d[i] = static_cast<std::byte>(i);
  }
  io::gguf_writer writer(bool backwards = false) const {
    io::gguf_writer w("test");
    std::vector<io::gguf_view> list = {
        {"fc1.weight", *io::ggml_type_of(pleat::dtype::f32), {2, 3}, std::as_bytes(std::span(a))},
        {"half", *io::ggml_type_of(pleat::dtype::f16), {4}, std::as_bytes(std::span(b))},
        {"counts", *io::ggml_type_of(pleat::dtype::i64), {1, 1, 1, 2}, std::as_bytes(std::span(c))},
        {"blocks", *io::ggml_type_of_form("q8_0"), {2, 32}, d},
        {"empty", *io::ggml_type_of(pleat::dtype::f32), {0, 4}, {}}};
    if (backwards) std::reverse(list.begin(), list.end());
    for (auto const& t : list) w.add(t);
    return w;
  }
};

io::gguf_map all_types() {
  using io::gguf_array;
  using std::vector;
  return {{"v.u8", std::uint8_t{255}},
          {"v.i8", std::int8_t{-128}},
          {"v.u16", std::uint16_t{65535}},
          {"v.i16", std::int16_t{-32768}},
          {"v.u32", std::uint32_t{4294967295u}},
          {"v.i32", std::numeric_limits<std::int32_t>::min()},
          {"v.f32", 0.1f},
          {"v.yes", true},
          {"v.no", false},
          {"v.text", std::string("a \"quoted\"\n名")},
          {"v.u64", std::numeric_limits<std::uint64_t>::max()},
          {"v.i64", std::numeric_limits<std::int64_t>::min()},
          {"v.f64", 0.1},
          {"a.u8", gguf_array(vector<std::uint8_t>{1, 2})},
          {"a.i8", gguf_array(vector<std::int8_t>{-1})},
          {"a.u16", gguf_array(vector<std::uint16_t>{1, 65535})},
          {"a.i16", gguf_array(vector<std::int16_t>{-2})},
          {"a.u32", gguf_array(vector<std::uint32_t>{7})},
          {"a.i32", gguf_array(vector<std::int32_t>{-7, 7})},
          {"a.f32", gguf_array(vector<float>{1, -2})},
          {"a.bool", gguf_array(vector<bool>{true, false, true})},
          {"a.text", gguf_array(vector<std::string>{"", "名", "x"})},
          {"a.u64", gguf_array(vector<std::uint64_t>{8})},
          {"a.i64", gguf_array(vector<std::int64_t>{-8})},
          {"a.f64", gguf_array(vector<double>{0.25})},
          {"a.none", gguf_array(vector<std::int32_t>{})}};
}

std::string refusal(std::vector<std::byte> bytes) {
  return words([&] { io::gguf_file const f(std::move(bytes)); });
}
template <class T> std::vector<std::byte> with(std::vector<std::byte> b, std::size_t at, T v) {
  REQUIRE(at + sizeof v <= b.size());
  std::memcpy(b.data() + at, &v, sizeof v);
  return b;
}
/// Where a text stands in a file.
std::size_t place_of(std::vector<std::byte> const& b, std::string_view text) {
  std::string_view const all(reinterpret_cast<char const*>(b.data()), b.size());
  auto const at = all.find(text);
  REQUIRE(at != std::string_view::npos);
  return at;
}

}  // namespace

TEST_CASE("a small file has the bytes that the format gives", "[io][gguf]") {
  io::gguf_writer w("x");
  std::array const values{1.0f, -2.0f};  // lives until the file is written
  w.add<float>("t", {1, 2}, values);
  auto golden = io_test::bytes_of(
      std::string_view("GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0"                   // 1 tensor, 1 key
                       "\x14\0\0\0\0\0\0\0general.architecture\x08\0\0\0\x01\0\0\0\0\0\0\0x"  // string "x"
                       "\x01\0\0\0\0\0\0\0t\x02\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                       "\0",  // 2 x 1, F32, offset 0
                       24 + 41 + 41));
  golden.resize(128);
  auto const data = std::as_bytes(std::span("\0\0\x80\x3f\0\0\0\xc0", 8));
  golden.insert(golden.end(), data.begin(), data.end());
  golden.resize(160);
  CHECK(w.bytes() == golden);
}

TEST_CASE("metadata of every type and tensors come back", "[io][gguf]") {
  scratch const dir;
  content const c;
  auto w = c.writer();
  for (auto const& [k, v] : all_types()) w.metadata(k, v);
  w.write(dir / "m.gguf");
  io::gguf_file const f(dir / "m.gguf");
  auto expected = all_types();
  expected["general.architecture"] = std::string("test");
  CHECK(f.metadata() == expected);
  CHECK(f.version() == 3);
  CHECK(f.value<std::string>("v.text") == "a \"quoted\"\n名");
  CHECK_THAT(words([&] { (void)f.value<float>("v.text"); }), ContainsSubstring("'v.text' holds string, expected f32"));
  CHECK_THAT(words([&] { (void)f.value<float>("none"); }), ContainsSubstring("there is no metadata key 'none'"));
  CHECK(f.entries().size() == 5);
  CHECK(f.at("fc1.weight").shape == extents{2, 3});
  CHECK(f.at("counts").shape == extents{1, 1, 1, 2});
  CHECK(f.at("blocks").type.name == "Q8_0");
  CHECK(std::ranges::equal(f.bytes("blocks"), c.d));
  CHECK(std::ranges::equal(f.bytes("fc1.weight"), std::as_bytes(std::span(c.a))));
  CHECK(std::ranges::equal(f.bytes("counts"), std::as_bytes(std::span(c.c))));
  CHECK(f.bytes("empty").empty());
  for (auto const& e : f.entries()) CHECK(reinterpret_cast<std::uintptr_t>(f.bytes(e).data()) % 32 == 0);
  CHECK(f.find("none") == nullptr);
  CHECK_THAT(words([&] { (void)f.at("none"); }),
             ContainsSubstring("there is no tensor 'none' among the 5") && ContainsSubstring("'fc1.weight'"));
  CHECK(io::gguf_file(io::read_file(dir / "m.gguf")).metadata() == expected);  // read instead of mapped
}

TEST_CASE("the same content gives the same bytes, whatever the order", "[io][gguf]") {
  content const c;
  CHECK(c.writer().bytes() == c.writer(true).bytes());
}

TEST_CASE("another alignment is obeyed", "[io][gguf]") {
  content const c;
  auto w = c.writer();
  w.metadata("general.alignment", std::uint32_t{256});
  auto const bytes = w.bytes();
  io::gguf_file const f(bytes);
  CHECK(f.alignment() == 256);
  for (auto const& e : f.entries()) CHECK((f.bytes(e).data() == nullptr || e.begin % 256 == 0));
  CHECK(std::ranges::equal(f.bytes("blocks"), c.d));
  CHECK(bytes.size() % 256 == 0);
}

TEST_CASE("what a GGUF file cannot hold is not written", "[io][gguf]") {
  content const c;
  auto w = c.writer();
  auto const f32 = *io::ggml_type_of(pleat::dtype::f32), q8_0 = *io::ggml_type_of_form("q8_0");
  CHECK_THAT(words([&] { w.add<float>("half", {6}, c.a); }),
             ContainsSubstring("the name 'half' was given to two tensors"));
  CHECK_THAT(words([&] { w.add<float>("", {6}, c.a); }), ContainsSubstring("expected 1 to 63"));
  CHECK_THAT(words([&] { w.add<float>(std::string(64, 'x'), {6}, c.a); }),
             ContainsSubstring("has 64 bytes, expected 1 to 63"));
  CHECK_THAT(words([&] {
               w.add({"x", f32, {1, 1, 1, 1, 6}, std::as_bytes(std::span(c.a))});
             }),
             ContainsSubstring("[1, 1, 1, 1, 6], the format allows 4 dimensions"));
  CHECK_THAT(words([&] {
               w.add({"x", f32, {5}, std::as_bytes(std::span(c.a))});
             }),
             ContainsSubstring("needs 20 bytes, 24 were given"));
  CHECK_THAT(words([&] {
               w.add({"x", q8_0, {2, 48}, c.d});
             }),
             ContainsSubstring("rows of 48 numbers, expected a multiple of 32"));
  CHECK_THAT(words([&] { w.add<std::uint8_t>("x", {1}, std::array{std::uint8_t{1}}); }),
             ContainsSubstring("GGUF has no U8 elements"));
  CHECK_THAT(words([&] { w.metadata("", 1.0f); }), ContainsSubstring("is empty, too long or no UTF-8"));
  CHECK_THAT(words([&] { w.metadata("k", std::string("\xff")); }), ContainsSubstring("the value of 'k' is no UTF-8"));
  CHECK_THAT(words([&] {
               w.metadata("k", io::gguf_array(std::vector<std::string>{"a", "\xc3"}));
             }),
             ContainsSubstring("item 1 of 'k' is no UTF-8"));
  CHECK_THAT(words([&] {
               w.add({"x", f32, {index_t{1} << 62, index_t{1} << 62, 0}, {}});
             }),
             ContainsSubstring("more bytes than 62 bits can count"));
  for (io::gguf_value bad : {io::gguf_value(std::uint32_t{24}), io::gguf_value(std::uint32_t{4}),
                             io::gguf_value(std::uint32_t{0}), io::gguf_value(std::int32_t{32})})
    CHECK_THAT(words([&] { w.metadata("general.alignment", bad); }), ContainsSubstring("a power of two"));
}

TEST_CASE("each defect of a GGUF file has its own sentence with the place", "[io][gguf]") {
  content const c;
  auto w = c.writer();
  w.metadata("k.flag", true);
  w.metadata("k.list", io::gguf_array(std::vector<std::int32_t>{1, 2, 3}));
  auto const good = w.bytes();
  REQUIRE(refusal(good).empty());
  CHECK_THAT(refusal({}), ContainsSubstring("does not begin with 'GGUF'"));
  CHECK_THAT(refusal(with(good, 0, 'X')), ContainsSubstring("does not begin with 'GGUF'"));
  CHECK_THAT(refusal(with(good, 4, std::uint32_t{1})), ContainsSubstring("version 1"));
  CHECK(refusal(with(good, 4, std::uint32_t{2})).empty());
  CHECK_THAT(refusal(with(good, 4, std::uint32_t{4})),
             ContainsSubstring("has version 4 of the format, this version of pleat reads 2 and 3") &&
                 ContainsSubstring("newer pleat"));
  CHECK_THAT(refusal(with(good, 4, std::uint32_t{0x03000000})), ContainsSubstring("big endian"));
  CHECK_THAT(refusal(with(good, 8, ~std::uint64_t{0})),
             ContainsSubstring("18446744073709551615 tensors are announced, but only"));
  CHECK_THAT(refusal(with(good, 16, std::uint64_t{1} << 60)), ContainsSubstring("metadata keys are announced"));
  CHECK_THAT(refusal(with(good, 24, ~std::uint64_t{0})),
             ContainsSubstring("a metadata key at byte 32 is said to have 18446744073709551615 bytes, at most 65535"));
  CHECK_THAT(refusal(with(good, 24, std::uint64_t{65000})),
             ContainsSubstring("at byte 32: expected 65000 bytes for a metadata key, but only"));
  auto const key = place_of(good, "k.flag");
  CHECK_THAT(refusal(with(good, key + 6, std::uint32_t{13})),
             ContainsSubstring("'k.flag' has the value type 13, the format knows 0 to 12"));
  CHECK_THAT(refusal(with(good, key + 10, std::uint8_t{2})), ContainsSubstring("'k.flag' holds the boolean 2"));
  CHECK_THAT(refusal(with(good, key, '\xff')), ContainsSubstring("is no UTF-8"));
  auto const list = place_of(good, "k.list");
  CHECK_THAT(refusal(with(good, list + 10, std::uint32_t{9})), ContainsSubstring("'k.list' holds an array of arrays"));
  CHECK_THAT(refusal(with(good, list + 10, std::uint32_t{99})), ContainsSubstring("value type 99"));
  CHECK_THAT(refusal(with(good, list + 14, ~std::uint64_t{0})),
             ContainsSubstring("18446744073709551615 numbers are announced"));
  CHECK_THAT(refusal(with(with(good, list + 10, std::uint32_t{8}), list + 14, ~std::uint64_t{0})),
             ContainsSubstring("strings are announced"));
  CHECK_THAT(refusal(with(good, list + 2, std::array{'f', 'l', 'a', 'g'})),
             ContainsSubstring("the metadata key 'k.flag' appears twice"));

  auto const blocks = place_of(good, "blocks");  // name, rank u32, 32, 2, type u32, offset u64
  CHECK_THAT(refusal(with(good, blocks - 8, std::uint64_t{65})),
             ContainsSubstring("65 bytes long, the format allows 64"));
  CHECK_THAT(refusal(with(good, blocks + 6, std::uint32_t{5})),
             ContainsSubstring("tensor 'blocks' has 5 dimensions, the format allows 4"));
  CHECK_THAT(refusal(with(good, blocks + 10, std::uint64_t{31})),
             ContainsSubstring("has rows of 31 numbers, expected a multiple of 32"));
  CHECK_THAT(refusal(with(good, blocks + 10, ~std::uint64_t{0})), ContainsSubstring("above 2^63 - 1"));
  CHECK_THAT(refusal(with(with(good, blocks + 10, std::uint64_t{1} << 40), blocks + 18, std::uint64_t{1} << 40)),
             ContainsSubstring("more bytes than 62 bits can count"));
  CHECK_THAT(refusal(with(good, blocks + 26, std::uint32_t{4})),
             ContainsSubstring("tensor 'blocks' has the ggml type 4, which this version of pleat does not know"));
  CHECK_THAT(refusal(with(good, blocks + 30, std::uint64_t{1})),
             ContainsSubstring("the offset 1, expected a multiple of 32"));
  auto const half = place_of(good, "half");  // name, rank u32, 4, type u32, offset u64
  CHECK_THAT(refusal(with(good, half + 20, std::uint64_t{0})), ContainsSubstring("overlaps the one before"));
  CHECK_THAT(refusal(with(good, half + 20, std::uint64_t{1} << 20)), ContainsSubstring("there is a hole before it"));
  CHECK_THAT(refusal(with(good, half + 20, ~std::uint64_t{31})), ContainsSubstring("hole"));
  CHECK_THAT(refusal(with(good, place_of(good, "counts"), std::array{'b', 'l', 'o', 'c', 'k', 's'})),
             ContainsSubstring("the name 'blocks' appears twice"));
  auto longer = good;
  longer.resize(good.size() + 32);
  CHECK_THAT(refusal(longer), ContainsSubstring("bytes follow the last tensor"));
  CHECK_THAT(words([] { io::gguf_file const f(std::string("/none/m.gguf")); }),
             ContainsSubstring("/none/m.gguf") && ContainsSubstring("No such file"));
}

TEST_CASE(
    "texts of a GGUF file are UTF-8, each one of them; errors do not write a file's control characters to a terminal",
    "[io][gguf]") {
  content const c;
  auto w = c.writer();
  w.metadata("k.text", std::string("a text"));
  w.metadata("k.words", io::gguf_array(std::vector<std::string>{"one", "other"}));
  auto const good = w.bytes();
  CHECK_THAT(refusal(with(good, place_of(good, "a text"), '\xff')),
             ContainsSubstring("the string 'k.text' at byte " + std::to_string(place_of(good, "a text") - 8) +
                               " is no UTF-8"));
  CHECK_THAT(refusal(with(good, place_of(good, "other") + 4, '\xc3')),
             ContainsSubstring("a string of 'k.words' at byte " + std::to_string(place_of(good, "other") - 8) +
                               " is no UTF-8"));
  // ESC ] and a line break, DEL, and U+009B, which some terminals take for ESC [.
  auto const bad =
      refusal(with(with(with(good, place_of(good, "blocks"), std::array{'\x1b', ']', '\n', '\x7f', '\xc2', '\x9b'}),
                        place_of(good, "blocks") + 6, std::uint32_t{5}),
                   4, std::uint32_t{3}));
  CHECK_THAT(bad, ContainsSubstring("tensor '\\x1b]\\x0a\\x7f\\xc2\\x9b' has 5 dimensions"));
  CHECK(std::ranges::none_of(bad, [](char b) { return static_cast<unsigned char>(b) < 0x20; }));
  CHECK(io::detail::shown(std::string(300, 'x')) == "'" + std::string(200, 'x') + "...'");
  CHECK(io::detail::shown("名\xff") == "'\\xe5\\x90\\x8d\\xff'");
}

TEST_CASE("an extent of 0 does not forgive the others", "[io][gguf]") {
  auto w = io::gguf_writer("test");
  w.add({"none", *io::ggml_type_of(pleat::dtype::f32), {3, 5, 0, 7}, {}});  // extents innermost first in the file
  auto const good = w.bytes();
  auto const at = place_of(good, "none") + 8;
  auto const huge = std::uint64_t{1} << 62;
  REQUIRE(refusal(good).empty());
  CHECK_THAT(refusal(with(with(good, at, huge), at + 16, huge)),
             ContainsSubstring("more bytes than 62 bits can count"));
  CHECK_THAT(refusal(with(with(good, at + 16, std::uint64_t{1} << 40), at + 24, std::uint64_t{1} << 40)),
             ContainsSubstring("more bytes than 62 bits can count"));
  CHECK(refusal(with(good, at, std::uint64_t{1} << 40)).empty());  // 2^40 · 15 · 4 bytes can be counted
}

TEST_CASE("every truncation of a GGUF file is found", "[io][gguf]") {
  auto const whole = content().writer().bytes();
  // The padding behind the last tensor ("half", 8 bytes of 32) holds nothing.
  for (std::size_t n = 0; n < whole.size() - 24; ++n) {
    INFO(n);
    CHECK(refusal({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)}).size() > 20);
  }
}

TEST_CASE("ten thousand damaged GGUF files: an error or a valid file, never more", "[io][gguf][hostile]") {
  content const c;
  auto w = c.writer();
  for (auto const& [k, v] : all_types()) w.metadata(k, v);
  auto const whole = w.bytes();
  int refused = 0;
  for (std::uint64_t n = 0; n < 10'000; ++n) {
    auto bad = io_test::damaged(whole, n);
    auto const size = bad.size();
    refused += !io_test::advice([&] {
                  io::gguf_file const f(std::move(bad));
                  std::uint64_t total = 0;
                  for (auto const& e : f.entries()) {
                    REQUIRE(f.find(e.name) == &e);
                    for (auto const v : f.bytes(e))
                      total +=
                          std::to_integer<std::uint64_t>(v) & 0u;  // touches every byte under the address sanitizer
                    total += f.bytes(e).size();
                  }
                  REQUIRE(total < size);
                }).empty();
  }
  CHECK(refused > 5000);
}

TEST_CASE("the peer reads our GGUF file, and we read the peer's", "[io][gguf][peer]") {
  auto const interpreter = io_test::python_with("numpy, gguf");
  if (interpreter.empty()) SKIP("no python3 with the packages gguf and numpy (PLEAT_PYTHON names another one)");
  scratch const dir;
  content const c;
  auto w = c.writer();
  for (auto const& [k, v] : all_types())
    if (k != "a.none") w.metadata(k, v);
  w.write(dir / "ours");
  io::write_file(dir / "peer.py", R"py(
import sys, numpy, gguf
r = gguf.GGUFReader(sys.argv[1])
t = {x.name: x for x in r.tensors}
assert set(t) == {"fc1.weight", "half", "counts", "blocks", "empty"}, set(t)
assert t["fc1.weight"].data.reshape(2, 3).tolist() == [[1, 2, 3], [4, 5, 6]] and list(t["fc1.weight"].shape) == [3, 2]
assert t["half"].data.tolist() == [0.5, -1, 2, 0] and t["counts"].data.flatten().tolist() == [-1, 2**63 - 1]
assert t["blocks"].tensor_type == gguf.GGMLQuantizationType.Q8_0
d = gguf.quants.dequantize(t["blocks"].data, t["blocks"].tensor_type)
assert d.shape == (2, 32), d.shape
f = {k: v.contents() for k, v in r.fields.items()}
assert f["general.architecture"] == "test" and f["v.text"] == 'a "quoted"\n名' and f["v.u64"] == 2**64 - 1 and f["v.i64"] == -2**63
assert f["v.u8"] == 255 and f["v.i8"] == -128 and f["v.i16"] == -32768 and f["v.yes"] == True and f["v.no"] == False and f["v.f64"] == 0.1
assert f["a.text"] == ["", "名", "x"] and f["a.i32"] == [-7, 7] and f["a.bool"] == [True, False, True] and f["a.f64"] == [0.25]
w = gguf.GGUFWriter(sys.argv[2], "peer")
w.add_uint32("peer.count", 7)
w.add_array("peer.words", ["a", "bc"])
w.add_string("peer.text", "名")
x = numpy.arange(64, dtype=numpy.float32).reshape(2, 32) - 20
w.add_tensor("f32", x)
w.add_tensor("f16", x.astype(numpy.float16))
for name in ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]:
    q = gguf.GGMLQuantizationType[name]
    w.add_tensor(name, gguf.quants.quantize(x, q), raw_dtype=q)
w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
)py");
  REQUIRE(std::system(
              (interpreter + " " + (dir / "peer.py") + " " + (dir / "ours") + " " + (dir / "theirs")).c_str()) == 0);
  io::gguf_file const theirs(dir / "theirs");
  CHECK(theirs.value<std::string>("peer.text") == "名");
  CHECK(theirs.value<std::uint32_t>("peer.count") == 7);
  CHECK(theirs.value<io::gguf_array>("peer.words") == io::gguf_array(std::vector<std::string>{"a", "bc"}));
  CHECK(theirs.at("f32").shape == extents{2, 32});
  CHECK(theirs.at("Q5_1").type.name == "Q5_1");
  CHECK(theirs.bytes("Q5_1").size() == 48);
}
