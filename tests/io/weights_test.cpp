// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every form of codec/ through both file formats, without Kokkos. decode.hpp and weight_file.hpp are tested here too.
#include <pleat/io/weights.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <set>

#include <pleat/io/decode.hpp>
#include <pleat/io/weight_file.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::scratch;
using io_test::words;
using pleat::extents;
using pleat::index_t;
namespace io = pleat::io;
namespace codec = pleat::codec;
namespace cd = pleat::codec::detail;

namespace {

/// Two thirds zeros; the rest of moderate size.
std::vector<float> numbers(extents const& shape) {
  pleat::random::stream const draw(5, 1);
  std::vector<float> v(static_cast<std::size_t>(shape.size()));
  for (std::size_t i = 0; i < v.size(); ++i)
    v[i] = draw.below(2 * i, 3) == 0 ? (static_cast<float>(draw.below(2 * i + 1, 2001)) - 1000.0f) / 512.0f : 0.0f;
  return v;
}

/// A weight that owns its parts.
struct made {
  std::string name, form;
  extents shape;
  std::vector<float> values, decoded;
  std::vector<codec::file_tensor> parts;
  double bound = 0;  // of the largest error

  [[nodiscard]] io::stored_weight view() const {
    io::stored_weight w{name, form, {}, shape, {}, codec::measure_error(values, decoded)};
    for (auto const& p : parts) w.parts.push_back({p.suffix, p.type, p.shape, p.bytes});
    return w;
  }
};
/// Factors of a low rank: no element is further off than the norm of all, the root of the dropped σ² (of what is left
/// when the sparse rows are taken out), beside the rounding of factors and sums: rank + 3 units of 2⁻²⁴ of numbers
/// whose squares sum to no more than rank·‖W‖².
double factor_bound(extents const& shape, std::vector<float> const& values,
                    std::vector<codec::file_tensor> const& parts) {
  index_t const rows = codec::rows_of(shape), columns = codec::columns_of(shape);
  std::vector<double> rest(values.begin(), values.end());
  if (auto const* row = cd::find_part(parts, ".row")) {
    auto const start = cd::values_of<std::uint32_t>(row->bytes);
    auto const column = cd::values_of<std::uint16_t>(cd::find_part(parts, ".column")->bytes);
    for (index_t r = 0; r < rows; ++r)
      for (auto i = start[static_cast<std::size_t>(r)]; i < start[static_cast<std::size_t>(r) + 1]; ++i)
        rest[static_cast<std::size_t>(r * columns) + column[i]] = 0;
  }
  auto const f = cd::jacobi_svd(rows, columns, rest);
  auto const rank = static_cast<std::size_t>(cd::find_part(parts, ".right")->shape[0]);
  double all = 0, dropped = 0;
  for (std::size_t i = 0; i < f.s.size(); ++i) all += f.s[i] * f.s[i], dropped += i < rank ? 0 : f.s[i] * f.s[i];
  return std::sqrt(dropped) + static_cast<double>(rank + 3) * 0x1p-24 * std::sqrt(static_cast<double>(rank) * all);
}
template <class Bits> made make(std::string name, extents const& shape) {
  made m{std::move(name), std::string(Bits::name), shape, numbers(shape), {}, {}};
  typename Bits::options o{};
  m.parts = Bits::encode(shape, m.values, o);
  m.decoded = io::detail::decode_bits<Bits>(shape, m.parts);
  if constexpr (requires { Bits::predict(shape, std::span<float const>(m.values), m.parts); })
    m.bound = Bits::predict(shape, m.values, m.parts).max;
  else m.bound = factor_bound(shape, m.values, m.parts);
  return m;
}

std::vector<made> all_forms() {
  std::vector<made> list;
  auto const add = [&]<class Bits>() {
    list.push_back(make<Bits>("layer" + std::to_string(list.size()) + ".weight",
                              std::is_same_v<Bits, cd::spatial_logic> ? extents{6, 4, 5, 3} : extents{6, 256}));
  };
  std::set<std::string_view> seen;
  for (auto const* form : {"bf16",
                           "f16",
                           "q8_0",
                           "q4_0",
                           "q4_1",
                           "q5_0",
                           "q5_1",
                           "q4_K",
                           "q6_K",
                           "int4_g32",
                           "int4_g64",
                           "int4_g128",
                           "int4_g256",
                           "csr",
                           "block_1x4",
                           "bitmask",
                           "codebook",
                           "coded",
                           "low_rank",
                           "sparse_low_rank",
                           "spatial_low_rank",
                           cd::n_m_logic<1, 4>::name.data(),
                           cd::n_m_logic<2, 4>::name.data(),
                           cd::n_m_logic<4, 8>::name.data()}) {
    INFO(form);
    REQUIRE(io::detail::with_bit_logic(form, add));
    seen.insert(form);
  }
  CHECK(seen.size() == io::detail::every_bit_logic::size);
  list.push_back(make<cd::block_logic<cd::q8_0_format>>(
      "conv.weight", {4, 8, 2, 2}));  // rows are whole blocks, the last extent is not
  auto const v = numbers({3, 5});
  auto const bits = cd::bits_of_nonzeros(std::span<float const>(v));
  list.push_back(
      {"masked.weight",
       "masked",
       {3, 5},
       v,
       v,
       {cd::part_of(".mask", bits), cd::part_of(".values", cd::survivors(std::span<float const>(v), bits.data()))}});
  std::vector<std::int8_t> codes{1, -127, 0, 127, 5, 6};
  std::vector<float> const scales{0.5f, 2.0f}, decoded{0.5f, -63.5f, 0, 254, 10, 12};
  list.push_back({"int8.weight",
                  "int8",
                  {2, 3},
                  decoded,
                  decoded,
                  {cd::part_of(".codes", {2, 3}, codes), cd::part_of(".scale", scales)}});
  auto const six = cd::bits_of_nonzeros(std::span<std::int8_t const>(codes));
  list.push_back({"int8s.weight",
                  "int8",
                  {2, 3},
                  decoded,
                  decoded,
                  {cd::part_of(".mask", six),
                   cd::part_of(".nonzero", cd::survivors(std::span<std::int8_t const>(codes), six.data())),
                   cd::part_of(".scale", scales)}});
  extents const thin{6, 256};
  made factors{"factors.weight", "factors", thin, numbers(thin), {}, {}};  // L in float, R in bfloat16, some apart
  auto const plain = cd::low_rank_logic<true>::encode(thin, factors.values, {.rank = 4, .sparse_share = 0.02});
  auto const right = cd::values_of<float>(plain[1].bytes);
  cd::factor_parts narrow{"bf16", cd::reduced_logic<pleat::bfloat16>::encode({4, 256}, right, {})};
  factors.parts.push_back(plain[0]);
  std::move(narrow).append_to(factors.parts, ".right");
  factors.parts.insert(factors.parts.end(), plain.begin() + 2, plain.end());
  factors.decoded = io::detail::decode_factors(thin, factors.parts);
  double longest = 0, all = 0;  // of L's rows, of R
  for (float const v : right) all += static_cast<double>(v) * v;
  auto const left = cd::values_of<float>(plain[0].bytes);
  for (std::size_t i = 0; i < 6; ++i) {
    double square = 0;
    for (std::size_t k = 0; k < 4; ++k) square += static_cast<double>(left[4 * i + k]) * left[4 * i + k];
    longest = std::max(longest, std::sqrt(square));
  }
  factors.bound =
      cd::low_rank_logic<true>::predict(thin, factors.values, plain).max + longest * std::sqrt(all) * 0x1p-7;
  list.push_back(std::move(factors));
  list.push_back({"norm.weight", "dense", {3}, {1, 2, 3}, {1, 2, 3}, {cd::part_of("", std::vector<float>{1, 2, 3})}});
  list.push_back({"steps", "dense", {}, {7}, {7}, {cd::part_of("", {}, std::vector<std::int64_t>{7})}});
  return list;
}

template <class Writer> void add_all(Writer& w, std::vector<made> const& list) {
  for (auto const& m : list) io::add_weight(w, m.view());
}
void check_all(io::weight_file const& f, std::vector<made> const& list) {
  REQUIRE(f.weights().size() == list.size());
  for (auto const& m : list) {
    INFO(f.format() << " " << m.name << " " << m.form);
    auto const* w = f.find(m.name);
    REQUIRE(w);
    CHECK(w->form == m.form);
    CHECK(w->shape == m.shape);
    CHECK(w->bytes() == m.view().bytes());
    REQUIRE(w->error);
    CHECK(w->error->max == codec::measure_error(m.values, m.decoded).max);
    CHECK(w->error->frobenius == codec::measure_error(m.values, m.decoded).frobenius);
    CHECK(io::can_decode(w->form));
    auto const back = io::decode(*w);
    CHECK((back == m.decoded));
    for (std::size_t i = 0; i < back.size(); ++i) REQUIRE(std::fabs(back[i] - m.values[i]) <= m.bound);
    auto parts = w->copy();
    REQUIRE(parts.size() == m.parts.size());
    for (auto const& p : m.parts) {
      auto const* q = cd::find_part(parts, p.suffix);
      REQUIRE(q);
      CHECK(q->type == p.type);
      CHECK(q->shape == p.shape);
      CHECK(q->bytes == p.bytes);
    }
  }
}

}  // namespace

TEST_CASE("every form goes through both formats bit for bit, with its error", "[io][weights]") {
  scratch const dir;
  auto const list = all_forms();
  io::safetensors_writer s;
  add_all(s, list);
  s.write(dir / "a.safetensors");
  io::gguf_writer g("test");
  add_all(g, list);
  g.write(dir / "a.gguf");
  io::weight_file const a(dir / "a.safetensors"), b(dir / "a.gguf");
  CHECK(a.format() == "safetensors");
  CHECK(b.format() == "GGUF");
  check_all(a, list);
  check_all(b, list);
  CHECK(a.find("layer2.weight")->effective_bits() == 8.5);  // q8_0
  CHECK(b.find("layer7.weight")->type == "Q4_K");
  CHECK(b.find("layer7.weight")->effective_bits() == 4.5);
}

TEST_CASE("plain files: every tensor is a weight", "[io][weights]") {
  io::safetensors_writer w;
  std::array<pleat::bfloat16, 2> const b{pleat::bfloat16(1.5f), pleat::bfloat16(-2.0f)};
  std::array<double, 1> const d{0.1};
  std::array<std::uint8_t, 2> const u{0, 255};
  w.add<pleat::bfloat16>("b", {2}, b);
  w.add<double>("d", {}, d);
  w.add<std::uint8_t>("u", {1, 2}, u);
  io::weight_file const f{io::safetensors_file(w.bytes())};
  REQUIRE(f.weights().size() == 3);
  CHECK(io::decode(*f.find("b")) == std::vector<float>{1.5f, -2.0f});
  CHECK(io::decode(*f.find("d")) == std::vector<float>{0.1f});
  CHECK(io::decode(*f.find("u")) == std::vector<float>{0, 255});
  CHECK(f.find("b")->type == "BF16");
  CHECK(f.find("b")->form == "dense");
  CHECK(f.find("none") == nullptr);
}

TEST_CASE("metadata that cannot be believed, each in a sentence", "[io][weights]") {
  auto const said = [](io::metadata_map const& m) {
    io::safetensors_writer w;
    std::array<float, 2> const v{1, 2};
    w.add<float>("a.weight.values", {2}, v);
    for (auto const& [k, x] : m) w.metadata(k, x);
    io::safetensors_file const f(w.bytes());
    return words([&] { (void)io::decode(io::weights_of(f)[0]); });
  };
  CHECK(said({}).empty());
  CHECK(said({{"pleat.format", "1"}}).empty());
  CHECK_THAT(said({{"pleat.format", "2"}}),
             ContainsSubstring("by version 2 of pleat's rules, this pleat knows 1 at most") &&
                 ContainsSubstring("newer pleat"));
  CHECK_THAT(said({{"pleat.format", "x"}}), ContainsSubstring("'pleat.format' is 'x', expected a version number"));
  CHECK_THAT(said({{"pleat.format", "99999999999999999999"}}), ContainsSubstring("expected a version number"));
  CHECK_THAT(said({{"pleat.form.a.weight", "csr"}}),
             ContainsSubstring("'a.weight' is stored in the form 'csr'; of its shape the file says nothing"));
  for (auto const* bad : {"", "[", "]", "[1", "[1,2]", "[1, ]", "[a]", "[-1]", "[1, 2, 3, 4, 5, 6, 7]",
                          "[99999999999999999999]", "[4294967296, 4294967296]", "[1] "}) {
    INFO(bad);
    CHECK_THAT(said({{"pleat.form.a.weight", "csr"}, {"pleat.shape.a.weight", bad}}),
               ContainsSubstring("the shape of 'a.weight' in the metadata is"));
  }
  CHECK_THAT(said({{"pleat.form.b.weight", "csr"}, {"pleat.shape.b.weight", "[1]"}}),
             ContainsSubstring("'b.weight' is stored in the form 'csr', but there is no such tensor"));
  CHECK_THAT(said({{"pleat.form.a.weight", "csr"}, {"pleat.shape.a.weight", "[1, 2]"}}),
             ContainsSubstring("'a.weight': expected a tensor '.row' of shape [2]"));
  CHECK_THAT(said({{"pleat.form.a.weight", "mine"}, {"pleat.shape.a.weight", "[1, 2]"}}),
             ContainsSubstring("in the form 'mine', which this tool cannot decode"));
  CHECK_THAT(said({{"pleat.form.a.weight", "csr"}, {"pleat.shape.a.weight", "[1, 1000000000000]"}}),
             ContainsSubstring("claims the shape [1, 1000000000000] with 8 bytes stored"));
  for (auto const* bad : {"", "1", "1 ", " 1", "1 x", "nan 1", "1 inf", "-1 2", "1 2 3"}) {
    INFO(bad);
    CHECK_THAT(said({{"pleat.error.a.weight.values", bad}}), ContainsSubstring("the error of 'a.weight.values'"));
  }
  CHECK(said({{"pleat.error.a.weight.values", "1.5 2e-3"}}).empty());
}

TEST_CASE("the claims of int8 and masked are those that the forms themselves check", "[io][weights]") {
  auto const list = all_forms();
  auto const* made = &*std::find_if(list.begin(), list.end(), [](auto const& m) { return m.name == "int8.weight"; });
  auto const said = [&](char const* suffix, std::size_t at, auto v) {
    auto bad = *made;
    for (auto& p : bad.parts)
      if (p.suffix == suffix) std::memcpy(p.bytes.data() + at, &v, sizeof v);
    return words([&] { (void)io::decode(bad.view()); });
  };
  CHECK(said(".scale", 4, 2.0f).empty());
  CHECK_THAT(said(".scale", 4, std::nanf("")), ContainsSubstring("the scale of row 1 is nan"));
  CHECK_THAT(said(".scale", 0, -0.5f), ContainsSubstring("the scale of row 0 is -0.5"));
  CHECK_THAT(said(".scale", 0, -1e-9f), ContainsSubstring("the scale of row 0 is -1e-09,"));
  CHECK_THAT(said(".scale", 0, HUGE_VALF), ContainsSubstring("the scale of row 0 is inf"));
  CHECK_THAT(said(".codes", 0, std::int8_t{-128}), ContainsSubstring("a code is -128"));
  made = &*std::find_if(list.begin(), list.end(), [](auto const& m) { return m.name == "int8s.weight"; });
  CHECK_THAT(said(".nonzero", 0, std::int8_t{0}), ContainsSubstring("one of the stored nonzero codes is zero"));
  made = &*std::find_if(list.begin(), list.end(), [](auto const& m) { return m.name == "masked.weight"; });
  CHECK_THAT(said(".mask", 1, std::uint8_t{0xff}), ContainsSubstring("bits past its last element"));
  auto with_input = *std::find_if(list.begin(), list.end(), [](auto const& m) { return m.name == "int8.weight"; });
  with_input.parts.push_back(cd::part_of(".input_scale", std::vector<float>{0}));
  CHECK_THAT(words([&] { (void)io::decode(with_input.view()); }),
             ContainsSubstring("the scale of the activations is 0"));
}

TEST_CASE("damaged files of all forms: an error or numbers, never more", "[io][weights][hostile]") {
  auto const list = all_forms();
  io::safetensors_writer s;
  io::gguf_writer g("test");
  add_all(s, list);
  add_all(g, list);
  auto const a = s.bytes(), b = g.bytes();
  int refused = 0, decoded = 0;
  auto const look = [&](io::weight_file const& f) {
    for (auto const& w : f.weights()) {
      auto const said = words([&] { (void)io::decode(w); });
      said.empty() ? ++decoded : ++refused;
    }
  };
  for (std::uint64_t n = 0; n < 150; ++n) {
    // Damage to the header mostly ends in an error of the format; damage to the data and the forms' metadata reaches
    // the forms.
    (void)words([&] { look(io::weight_file(io::safetensors_file(io_test::damaged(a, n)))); });
    (void)words([&] { look(io::weight_file(io::gguf_file(io_test::damaged(b, n)))); });
  }
  // One part after the other, its bytes damaged, its length and shape kept or not.
  for (auto const& m : list)
    for (std::uint64_t n = 0; n < 60; ++n) {
      auto bad = m;
      auto& part = bad.parts[static_cast<std::size_t>(n) % bad.parts.size()];
      auto const size = part.bytes.size();
      part.bytes = io_test::damaged(part.bytes, n);
      if (n % 3 != 0) part.bytes.resize(size);
      auto const said = words([&] { (void)io::decode(bad.view()); });
      said.empty() ? ++decoded : ++refused;
    }
  CHECK(refused > 300);
  CHECK(decoded > 300);
}

TEST_CASE("the peers decode our block types and see the same numbers, and we decode theirs", "[io][weights][peer]") {
  auto const interpreter = io_test::python_with("numpy, gguf, safetensors.numpy");
  if (interpreter.empty())
    SKIP("no python3 with the packages gguf, safetensors and numpy (PLEAT_PYTHON names another one)");
  scratch const dir;
  auto const list = all_forms();
  io::gguf_writer g("test");
  add_all(g, list);
  g.write(dir / "ours.gguf");
  io::safetensors_writer decoded;
  for (auto const& m : list) decoded.add<float>(m.name, m.shape, m.decoded);
  decoded.write(dir / "ours.safetensors");
  io::write_file(dir / "peer.py", R"py(
import sys, numpy, gguf
from safetensors.numpy import load_file, save_file
expected, seen = load_file(sys.argv[2]), set()
for t in gguf.GGUFReader(sys.argv[1]).tensors:
    if t.name not in expected:  # a part of a weight: a factor, which no peer multiplies
        continue
    if t.tensor_type.name in ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q6_K", "BF16"):
        x = gguf.quants.dequantize(t.data, t.tensor_type).astype(numpy.float32)
        e = expected[t.name]
        assert (x.reshape(e.shape) == e).all(), (t.name, abs(x.reshape(e.shape) - e).max())
        seen.add(t.tensor_type.name)
assert len(seen) == 8, seen
w = gguf.GGUFWriter(sys.argv[3], "peer")
x = numpy.random.default_rng(1).standard_normal((4, 256)).astype(numpy.float32)
same = {}
for name in ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "BF16"]:
    q = gguf.GGMLQuantizationType[name]
    b = gguf.quants.quantize(x, q)
    w.add_tensor(name, b, raw_dtype=q)
    same[name] = gguf.quants.dequantize(b, q).astype(numpy.float32).reshape(x.shape)
w.add_tensor("F16", x.astype(numpy.float16)); same["F16"] = x.astype(numpy.float16).astype(numpy.float32)
w.add_tensor("F64", x.astype(numpy.float64)); same["F64"] = x
w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
save_file(same, sys.argv[4])
)py");
  REQUIRE(std::system((interpreter + " " + (dir / "peer.py") + " " + (dir / "ours.gguf") + " " +
                       (dir / "ours.safetensors") + " " + (dir / "theirs.gguf") + " " + (dir / "theirs.safetensors"))
                          .c_str()) == 0);
  io::weight_file const theirs(dir / "theirs.gguf"), numbers(dir / "theirs.safetensors");
  REQUIRE(theirs.weights().size() == 8);
  for (auto const& w : theirs.weights()) {
    INFO(w.name << " " << w.form << " " << w.type);
    CHECK(w.type == w.name);
    CHECK(w.shape == extents{4, 256});
    CHECK(io::decode(w) == io::decode(*numbers.find(w.name)));
  }
}
