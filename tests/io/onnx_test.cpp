// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/onnx.hpp>

#include <cmath>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::scratch;
using io_test::words;
using pleat::extents;
namespace io = pleat::io;
namespace cd = pleat::codec::detail;

namespace {

struct made {
  std::vector<pleat::codec::file_tensor> parts;
  io::stored_weight weight;
};
std::vector<float> numbers(extents const& shape) {
  std::vector<float> v(static_cast<std::size_t>(shape.size()));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = i % 3 == 0 ? 0.0f : std::sin(static_cast<float>(i)) * 2;
  return v;
}
made stored(std::string name, std::string form, extents const& shape, std::vector<pleat::codec::file_tensor> parts) {
  made m{std::move(parts), {std::move(name), std::move(form), {}, shape, {}, {}}};
  for (auto const& p : m.parts) m.weight.parts.push_back({p.suffix, p.type, p.shape, p.bytes});
  return m;
}
template <class Bits> made of(extents const& shape = {6, 128}) {
  return stored("w_" + std::string(Bits::name), std::string(Bits::name), shape,
                Bits::encode(shape, numbers(shape), {}));
}
std::vector<made> forms() {
  std::vector<made> list;
  list.push_back(stored("w_dense", "dense", {6, 128}, {cd::part_of("", {6, 128}, numbers({6, 128}))}));
  list.push_back(of<cd::reduced_logic<pleat::half>>());
  list.push_back(of<cd::reduced_logic<pleat::bfloat16>>());
  list.push_back(of<cd::block_logic<cd::q8_0_format>>());
  list.push_back(of<cd::block_logic<cd::q4_0_format>>());
  list.push_back(of<cd::block_logic<cd::int4_format<32>>>());
  list.push_back(of<cd::block_logic<cd::int4_format<64>>>());
  list.push_back(of<cd::block_logic<cd::int4_format<128>>>());
  list.push_back(of<cd::block_logic<cd::q5_1_format>>());
  list.push_back(of<cd::compressed_rows_logic<1>>());
  std::vector<std::int8_t> codes(6 * 128);
  for (std::size_t i = 0; i < codes.size(); ++i)
    codes[i] = i < 128 ? std::int8_t{0} : static_cast<std::int8_t>(static_cast<int>(i * 7 % 255) - 127);
  list.push_back(stored("w_int8", "int8", {6, 128},
                        {cd::part_of(".codes", {6, 128}, codes),
                         cd::part_of(".scale", std::vector<float>{0, 0.5f, 0.25f, 3, 1e-3f, 2})}));
  return list;
}

}  // namespace

TEST_CASE("varints, tags and lengths are those of the encoding", "[io][onnx]") {
  io::detail::protobuf_message m, inner;
  m.integer(1, 150);  // the encoding's own example
  CHECK(m.bytes() == "\x08\x96\x01");
  inner.text(2, "testing");
  CHECK(inner.bytes() == "\x12\x07testing");
  m.message(3, inner);
  CHECK(m.bytes() == "\x08\x96\x01\x1a\x09\x12\x07testing");
  io::detail::protobuf_message negative, number, packed;
  negative.integer(1, -1);
  CHECK(negative.bytes() == "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  number.number(2, 1.0f);
  CHECK(number.bytes() == std::string("\x15\0\0\x80\x3f", 5));
  std::int64_t const list[] = {3, 270, 86942};
  packed.integers(6, list);
  CHECK(packed.bytes() == "\x32\x06\x03\x8e\x02\x9e\xa7\x05");
}

TEST_CASE("names are unique, and the same calls give the same bytes", "[io][onnx]") {
  auto const make = [] {
    io::onnx_graph g("g");
    auto const x = g.input("x", {1, 4});
    CHECK(x == "x");
    CHECK(g.fresh("x") == "x.2");
    auto const y = g.node("Relu", {x}, "y");
    CHECK(g.node("Relu", {y}, "y") == "y.2");
    g.output("y.2", {1, 4});
    g.metadata("key", "value");
    return g.bytes();
  };
  CHECK(make() == make());
}

TEST_CASE("forms that ONNX has no words for are written as float, with a note; damaged ones are refused",
          "[io][onnx]") {
  io::onnx_graph g("g");
  for (auto const& m : forms()) (void)io::add_weight(g, m.weight);
  REQUIRE(g.notes().size() == 2);
  CHECK_THAT(g.notes()[0], ContainsSubstring("'w_q5_1' is written as float: ONNX has no form 'q5_1'"));
  CHECK_THAT(g.notes()[1], ContainsSubstring("'csr'"));
  CHECK(g.operators() == 21);
  auto bad = of<cd::block_logic<cd::q8_0_format>>();
  bad.weight.shape = {6, 256};
  CHECK_THAT(words([&] { (void)io::add_weight(g, bad.weight); }), ContainsSubstring("expected a tensor '.blocks'"));
}

TEST_CASE("the peers check the file and compute the weights that we decode", "[io][onnx][peer]") {
  auto const interpreter = io_test::python_with("numpy, onnx, onnxruntime, safetensors.numpy");
  if (interpreter.empty())
    SKIP("no python3 with the packages onnx, onnxruntime, safetensors and numpy (PLEAT_PYTHON names another one)");
  scratch const dir;
  auto const list = forms();
  io::onnx_graph g("weights");
  io::safetensors_writer expected;
  auto const x = g.input("x", {1, 128});
  std::vector<std::vector<float>> values;
  values.reserve(list.size());
  for (auto const& m : list) {
    auto const w = io::add_weight(g, m.weight);
    auto const zero = g.node("Gemm", {x, w}, m.weight.name + ".y", {{"transB", std::int64_t{1}}, {"alpha", 1.0f}});
    g.output(zero, {1, 6});
    values.push_back(io::decode(m.weight));
    expected.add<float>(m.weight.name, m.weight.shape, values.back());
  }
  g.metadata("pleat.version", "test");
  g.write(dir / "w.onnx");
  expected.write(dir / "w.safetensors");
  io::write_file(dir / "peer.py", R"py(
import sys, numpy, onnx, onnxruntime
from safetensors.numpy import load_file
m = onnx.load(sys.argv[1])
onnx.checker.check_model(m, full_check=True)
assert m.metadata_props[0].key == "pleat.version" and m.producer_name == "pleat"
expected = load_file(sys.argv[2])
s = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
y = dict(zip([o.name for o in s.get_outputs()], s.run(None, {"x": numpy.eye(128, dtype=numpy.float32)})))
assert len(y) == len(expected) == 11
for name, w in expected.items():
    assert (y[name + ".y"].T == w).all(), (name, abs(y[name + ".y"].T - w).max())  # products with the unit matrix are exact
)py");
  REQUIRE(std::system((interpreter + " " + (dir / "peer.py") + " " + (dir / "w.onnx") + " " + (dir / "w.safetensors"))
                          .c_str()) == 0);
}
