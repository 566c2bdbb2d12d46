// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/blocks.hpp>

#include <pleat/io/file.hpp>
#include <pleat/nn/linear.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <codec/codec_support.hpp>
#include <io/support.hpp>

#include <cstring>
#include <limits>

namespace {

using namespace codec_test;
namespace codec = pleat::codec;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using codec::detail::byte_t;

/// FNV-1a, 64 bits.
std::uint64_t hash_of(std::vector<std::byte> const& bytes) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (auto b : bytes) h = (h ^ static_cast<std::uint64_t>(b)) * 0x100000001b3u;
  return h;
}

/// Inputs that every machine computes alike: no libm. 64 rows of 512: small integers over powers of two; uniform;
/// sparse; shifted; ties; tiny.
std::vector<float> golden_input() {
  std::vector<float> v(64 * 512);
  std::uint32_t state = 12345;
  for (std::size_t i = 0; i < v.size(); ++i) {
    state = state * 1664525u + 1013904223u;
    float const u = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-31f;
    std::size_t const kind = i / 512 % 8;
    v[i] = kind == 0   ? u
           : kind == 1 ? u * u * u * 4
           : kind == 2 ? (state >> 16 & 7 ? 0.0f : u)
           : kind == 3 ? u + 3.0f
           : kind == 4 ? static_cast<float>(static_cast<int>(state >> 20 & 31) - 16) * 0.25f
           : kind == 5 ? u * 1e-5f
           : kind == 6 ? u * 1000.0f
                       : (i % 512 < 256 ? 0.0f : 0.37f);
  }
  return v;
}

template <class F> struct golden;
// FNV-1a of what ggml's own reference quantizers (quantize_row_*_ref, ggml 0.13.1 and 0.21.0) write for golden_input():
// ggml_golden.c prints them.
template <> struct golden<codec::q8_0<float>> {
  static constexpr std::uint64_t hash = 0x30249565838055d4u;
};
template <> struct golden<codec::q4_0<float>> {
  static constexpr std::uint64_t hash = 0x22f8cf799095d6a3u;
};
template <> struct golden<codec::q4_1<float>> {
  static constexpr std::uint64_t hash = 0x657b9b34ff77c773u;
};
template <> struct golden<codec::q5_0<float>> {
  static constexpr std::uint64_t hash = 0x9395df6a8f3bc72cu;
};
template <> struct golden<codec::q5_1<float>> {
  static constexpr std::uint64_t hash = 0xec11741ebc1d4888u;
};
template <> struct golden<codec::q4_k<float>> {
  static constexpr std::uint64_t hash = 0x89aa30adc47d6b44u;
};
template <> struct golden<codec::q6_k<float>> {
  static constexpr std::uint64_t hash = 0xfe38305783e0054cu;
};

#define GGML_FORMS                                                                                    \
  codec::q8_0<float>, codec::q4_0<float>, codec::q4_1<float>, codec::q5_0<float>, codec::q5_1<float>, \
      codec::q4_k<float>, codec::q6_k<float>
using int4_32 = codec::int4<float, 32>;
#define BLOCK_FORMS GGML_FORMS, codec::int4<float>, int4_32

TEMPLATE_TEST_CASE("the bytes are those of ggml's reference quantizers", "", GGML_FORMS) {
  auto c = make_context();
  extents const shape{64, 512};
  encoded<TestType> const w(c, shape, golden_input());
  auto const parts = TestType::to_file(c, shape, w.storage);
  REQUIRE(parts.size() == 1);
  CHECK(parts[0].suffix == ".blocks");
  CHECK(parts[0].bytes.size() == static_cast<std::size_t>(TestType::bytes(shape, w.storage)));
  CHECK(hash_of(parts[0].bytes) == golden<TestType>::hash);
  // And on every instruction set.
  using format = typename TestType::bits::format;
  auto const values = golden_input();
  std::vector<std::byte> bytes(parts[0].bytes.size());
  codec::detail::encode_row_body<format> const body{values.data(), reinterpret_cast<byte_t*>(bytes.data()), 512};
  codec::detail::run_scalar(0, 64, body);
  CHECK(bytes == parts[0].bytes);
#if defined(__x86_64__)
  if (!codec::detail::searched<format> && pleat::isa::best() != pleat::isa::level::scalar) {
    std::fill(bytes.begin(), bytes.end(), std::byte{0});
    codec::detail::run_avx2(0, 64, body);
    CHECK(bytes == parts[0].bytes);
  }
#endif
}

/// Blocks that decide between encoders: ties, zeros of both signs, subnormal steps, magnitudes that two elements share,
/// one sign alone.
std::vector<float> delicate_blocks(index_t blocks) {
  auto v = numbers(blocks * 32, 11);
  for (std::size_t i = 0; i < v.size(); ++i) {
    float const whole = static_cast<float>(static_cast<int>(v[i] * 8));
    switch (i / 32 % 8) {
      case 0:
        v[i] = whole;
        break;
      case 1:
        v[i] = v[i] > 0 ? 0.0f : -0.0f;
        break;
      case 2:
        v[i] *= 1e-38f;
        break;
      case 3:
        v[i] *= 1e-42f;
        break;
      case 4:
        v[i] = v[i] > 0 ? v[i] : -0.0f;
        break;
      case 5:
        v[i] = whole * 0.5f;
        break;
      case 6:
        v[i] = -std::fabs(v[i]) * 1e3f;
        break;
      default:
        break;
    }
  }
  return v;
}

TEMPLATE_TEST_CASE("every encoder of a format writes the same bytes, whatever comes in", "", GGML_FORMS, int4_32) {
  using format = typename TestType::bits::format;
  index_t const blocks = 2048;  // of 32
  auto const x = delicate_blocks(blocks);
  index_t const bytes = blocks * 32 / format::block * format::bytes;
  std::vector<byte_t> portable(static_cast<std::size_t>(bytes)), chosen(portable.size());
  codec::detail::run_scalar(0, blocks / 8, codec::detail::encode_row_body<format>{x.data(), portable.data(), 256});
  codec::detail::block_logic<format>::encode_into({blocks / 8, 256}, x, {}, chosen.data());
  CHECK(chosen == portable);
  if constexpr (format::block == 32)  // zeros of either sign are +0 to the reference, which starts from it
    if constexpr (!format::has_base)
      CHECK(codec::detail::load16(portable.data() + format::bytes) ==
            (format::offset == 128 || format::name == "int4_g32" ? 0x0000 : 0x8000));
#if defined(__x86_64__)
  if (pleat::isa::best() != pleat::isa::level::scalar) {
    std::vector<byte_t> vectors(portable.size());
    codec::detail::encode_blocks_avx2(format{}, x.data(), blocks * 32 / format::block, vectors.data());
    CHECK(vectors == portable);
  }
#endif
}

/// `blocks` super-blocks of one kind; magnitudes up to about `scale`.
std::vector<float> searched_blocks(int kind, index_t blocks, float scale, std::uint64_t purpose) {
  auto v = numbers(blocks * 256, purpose);
  for (std::size_t i = 0; i < v.size(); ++i) {
    float const x = v[i], whole = static_cast<float>(static_cast<int>(x * 8));
    std::size_t const piece = i / 16;
    switch (kind) {
      case 0:
        break;  // both signs
      case 1:
        v[i] = std::fabs(x) + 0.5f;
        break;  // no minimum
      case 2:
        v[i] = -std::fabs(x) - 0.5f;
        break;  // all below zero
      case 3:
        v[i] = whole * 0.125f;
        break;  // ties between candidates
      case 4:
        v[i] = piece % 3 == 0 ? 0.0f : piece % 3 == 1 ? -0.37f : 0.37f;
        break;  // constant pieces
      case 5:
        v[i] = x > 0.9f ? x : x > 0 ? 0.0f : -0.0f;
        break;  // mostly zeros of both signs
      case 6:
        v[i] = x * (piece % 5 == 0 ? 1.0f : piece % 5 == 1 ? 1e-3f : 1e-8f);
        break;  // pieces whose scale vanishes beside others
      case 7:
        v[i] = i % 32 == 7 ? 100.0f * x : x;
        break;  // an outlier
      case 8:
        v[i] = i % 2 ? -v[i - 1] / scale : x;
        break;  // magnitudes that two share
      case 9:
        v[i] = 3.0f + x * 1e-6f;
        break;  // nearly constant: the fit is ill-conditioned
      case 10:
        v[i] = -3.0f + x * 1e-6f;
        break;
      case 11:
        v[i] = i % 16 ? 0.0f : x;
        break;  // one number a piece
      case 12:
        v[i] = x * x * x * x * x;
        break;
      default:
        v[i] = 0.0f;
        break;
    }
    v[i] *= scale;
  }
  return v;
}

TEMPLATE_TEST_CASE("searches of many pieces side by side write the bytes of the search of each by itself", "",
                   codec::q4_k<float>, codec::q6_k<float>) {
  using format = typename TestType::bits::format;
  for (float const scale : {1e-45f, 1e-42f, 1e-39f, 3e-38f, 1e-30f, 1e-20f, 1e-16f, 1e-12f, 1e-6f, 1.0f, 1e3f, 2.5e6f})
    for (int kind = 0; kind < 14; ++kind)
      for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        index_t const blocks =
            8 - static_cast<index_t>(seed);  // vectors take four at a time: three, two and one are left
        auto const x = searched_blocks(kind, blocks,
                                       kind == 7                 ? scale * 0.01f
                                       : kind == 9 || kind == 10 ? scale * 0.25f
                                                                 : scale,
                                       100 * seed + static_cast<std::uint64_t>(kind));
        std::vector<byte_t> alone(static_cast<std::size_t>(blocks * format::bytes)), chosen(alone.size());
        codec::detail::run_scalar(0, blocks, codec::detail::encode_row_body<format>{x.data(), alone.data(), 256});
        INFO("kind " << kind << ", scale " << scale << ", seed " << seed);
        REQUIRE_NOTHROW(codec::detail::block_logic<format>::encode_into({blocks, 256}, x, {}, chosen.data()));
        REQUIRE(chosen == alone);
#if defined(__x86_64__)
        if (pleat::isa::best() == pleat::isa::level::scalar) continue;
        std::vector<byte_t> eight(alone.size());
        codec::detail::encode_blocks_avx2(format{}, x.data(), blocks, eight.data());
        REQUIRE(eight == alone);
#endif
      }
}

TEMPLATE_TEST_CASE(
    "without a search every level writes the same bytes, threads too, and the bound of the stored scales holds", "",
    codec::q4_k<float>, codec::q6_k<float>) {
  using format = typename TestType::bits::format;
  using logic = codec::detail::block_logic<format>;
  for (float const scale : {1e-45f, 1e-42f, 1e-39f, 3e-38f, 1e-30f, 1e-16f, 1e-6f, 1.0f, 1e3f, 2.5e6f})
    for (int kind = 0; kind < 14; ++kind) {
      constexpr index_t blocks = 5;
      auto const x = searched_blocks(kind, blocks,
                                     kind == 7                 ? scale * 0.01f
                                     : kind == 9 || kind == 10 ? scale * 0.25f
                                                               : scale,
                                     static_cast<std::uint64_t>(kind) + 7);
      extents const shape{blocks, 256};
      INFO("kind " << kind << ", scale " << scale);
      std::vector<byte_t> alone(static_cast<std::size_t>(blocks * format::bytes)), chosen(alone.size());
      codec::detail::run_scalar(0, blocks, codec::detail::encode_plain_body<format>{x.data(), alone.data()});
      REQUIRE_NOTHROW(logic::encode_into(shape, x, {.search = false}, chosen.data()));
      REQUIRE(chosen == alone);
#if defined(__x86_64__)
      if (pleat::isa::best() != pleat::isa::level::scalar) {
        codec::detail::encode_plain_avx2(format{}, x.data(), blocks, chosen.data());
        REQUIRE(chosen == alone);
      }
#endif
      auto const parts = logic::encode(shape, x, {.search = false});
      std::vector<float> decoded(x.size());
      for (std::size_t i = 0; i < x.size(); ++i)
        decoded[i] =
            codec::detail::block_value<format>(alone.data() + i / 256 * format::bytes, static_cast<int>(i % 256));
      auto const measured = codec::measure_error(x, decoded), predicted = logic::predict(shape, x, parts);
      CHECK(measured.max <= predicted.max);
      CHECK(measured.frobenius <= predicted.frobenius);
    }
  extents const shape{300, 512};
  auto const values = numbers(shape.size(), 12);
  auto const alone = logic::encode(shape, values, {.search = false})[0].bytes;
  pleat::context<space> c(pleat::make_instance<space>(3));
  encoded<TestType> w(c, shape, values);
  auto const error_of = [&] { return codec::measure_error(values, w.decode(c)).frobenius; };
  double const searched = error_of();
  TestType::encode_with(c, shape, values.data(), {.search = false}, w.storage);
  CHECK(std::memcmp(w.storage.block.data(), alone.data(), alone.size()) == 0);
  CHECK(error_of() > searched);
  // Numbers over a whole range, of which half a step of range/15 (two magnitudes/62) is the most there is to lose, beside
  // what a scale of 6 (8) bits may be too short by: half of 1/63 (1/128) of the largest, fifteen (31) times.
  double const most = codec::measure_error(values, w.decode(c)).max;
  CHECK(most <= (format::multipliers ? 1.0 / 62 + 31.0 / 31 / 256 : 2.0 / 30 + 2.0 / 126 + 1.0 / 126) * 1.01);
}

TEMPLATE_TEST_CASE("threads encode what one does, and refuse the same number", "", BLOCK_FORMS) {
  using logic = codec::detail::block_logic<typename TestType::bits::format>;
  extents const shape{300, 512};  // groups of 32,768 numbers: several for each thread
  auto values = numbers(shape.size(), 12);
  std::vector<byte_t> alone(static_cast<std::size_t>(shape[0] * logic::row_bytes(shape)));
  logic::encode_into(shape, values, {}, alone.data());
  for (int const threads : {1, 2, 3}) {
    pleat::context<space> c(pleat::make_instance<space>(threads));
    encoded<TestType> const w(c, shape, values);
    CHECK(std::memcmp(w.storage.block.data(), alone.data(), alone.size()) == 0);
    auto bad = values;
    bad[200 * 512 + 70] = 3e38f,
                    bad[299 * 512] = 3e38f;  // the first of two, though another thread may see the other one before
    encoded<TestType> none(shape);
    CHECK_THROWS_MATCHES(TestType::encode(c, shape, bad.data(), none.storage), pleat::error,
                         MessageMatches(ContainsSubstring("the numbers from row 200, column ")));
    bad[100 * 512 + 9] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_MATCHES(TestType::encode(c, shape, bad.data(), none.storage), pleat::error,
                         MessageMatches(ContainsSubstring("row 100, column 9 is nan")));
  }
}

TEST_CASE("the peer's quantizers write the same bytes", "[peer]") {
  auto const interpreter = io_test::python_with("numpy, gguf");
  if (interpreter.empty()) SKIP("no python3 with the packages gguf and numpy (PLEAT_PYTHON names another one)");
  io_test::scratch const dir;
  auto values = golden_input();
  auto const more = numbers(64 * 512, 9);
  values.insert(values.end(), more.begin(), more.end());
  extents const shape{128, 512};
  pleat::io::write_file(dir / "values", std::as_bytes(std::span<float const>(values)));
  pleat::io::write_file(dir / "peer.py", R"py(
import sys, numpy, gguf
x = numpy.fromfile(sys.argv[1] + "/values", dtype=numpy.float32).reshape(128, 512)
for name in ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]:
    gguf.quants.quantize(x, gguf.GGMLQuantizationType[name]).tofile(sys.argv[1] + "/" + name.lower())
)py");
  REQUIRE(std::system((interpreter + " " + (dir / "peer.py") + " " + dir.path() + " 2>&1").c_str()) == 0);
  auto const same = [&]<class F>() {
    INFO(F::name);
    auto const ours = codec::detail::block_logic<F>::encode(shape, values, {});
    CHECK(ours[0].bytes == pleat::io::read_file(dir / std::string(F::name)));
  };
  same.operator()<codec::detail::q8_0_format>();
  same.operator()<codec::detail::q4_0_format>();
  same.operator()<codec::detail::q4_1_format>();
  same.operator()<codec::detail::q5_0_format>();
  same.operator()<codec::detail::q5_1_format>();
}

TEST_CASE("ggml's library writes the same bytes, searched forms too", "[ggml]") {
  // By ctypes: bench/peers/ggml_matvec.py says where the library is looked for.
  auto const interpreter = io_test::python_with("ctypes");
  char const* const root = std::getenv("PLEAT_SOURCE_DIR");
  std::string const peers = std::string(root ? root : ".") + "/bench/peers";
  io_test::scratch const dir;
  pleat::io::write_file(dir / "peer.py", R"py(
import ctypes, pathlib, sys
folder, sys.path[:0] = pathlib.Path(sys.argv[1]), [sys.argv[2]]
import ggml_matvec
found = ggml_matvec.load()
if not found:
    sys.exit(3)
if len(sys.argv) == 3:
    sys.exit(0)
ggml_matvec.declare(*found)
values = (folder / "values").read_bytes()
columns = 512
rows = len(values) // 4 // columns
for name, number, size, block in (("q8_0", 8, 34, 32), ("q4_0", 2, 18, 32), ("q4_1", 3, 20, 32), ("q5_0", 6, 22, 32), ("q5_1", 7, 24, 32), ("q4_K", 12, 144, 256), ("q6_K", 14, 210, 256)):
    out = ctypes.create_string_buffer(rows * columns // block * size)
    written = found[0].ggml_quantize_chunk(number, ctypes.cast(ctypes.c_char_p(values), ctypes.c_void_p), ctypes.cast(out, ctypes.c_void_p), 0, rows, columns, None)
    assert written == len(out), (name, written, len(out))
    (folder / name).write_bytes(out.raw)
)py");
  std::string const call = interpreter + " -B " + (dir / "peer.py") + " " + dir.path() + " " + peers;
  if (interpreter.empty() || std::system((call + " >/dev/null 2>&1").c_str()) != 0)
    SKIP("no shared library of ggml (PLEAT_GGML_LIB names the folder of libggml-base.so)");
  auto values = golden_input();
  for (int kind = 0; kind < 14; ++kind)  // as many super-blocks for each, of magnitudes that a scale can hold
    for (float const scale : {1e-6f, 1e-2f, 1.0f, 1e3f}) {
      auto const more =
          searched_blocks(kind, 8, kind == 7 ? scale * 0.01f : scale, 300 + static_cast<std::uint64_t>(kind));
      values.insert(values.end(), more.begin(), more.end());
    }
  extents const shape{static_cast<index_t>(values.size()) / 512, 512};
  pleat::io::write_file(dir / "values", std::as_bytes(std::span<float const>(values)));
  REQUIRE(std::system((call + " write 2>&1").c_str()) == 0);
  auto const same = [&]<class F>() {
    INFO(F::name);
    auto const ours = codec::detail::block_logic<F>::encode(shape, values, {});
    auto const theirs = pleat::io::read_file(dir / std::string(F::name));
    REQUIRE(ours[0].bytes.size() == theirs.size());
    CHECK(std::mismatch(theirs.begin(), theirs.end(), ours[0].bytes.begin()).first - theirs.begin() ==
          std::ssize(theirs));
  };
  same.operator()<codec::detail::q8_0_format>();
  same.operator()<codec::detail::q4_0_format>();
  same.operator()<codec::detail::q4_1_format>();
  same.operator()<codec::detail::q5_0_format>();
  same.operator()<codec::detail::q5_1_format>();
  same.operator()<codec::detail::q4_k_format>();
  same.operator()<codec::detail::q6_k_format>();
}

TEMPLATE_TEST_CASE("errors stay within the predicted norms, whatever comes in", "", BLOCK_FORMS) {
  auto c = make_context();
  extents const shape{8, 512};
  auto const n = static_cast<std::size_t>(shape.size());
  std::vector<std::vector<float>> inputs{numbers(shape.size(), 1), std::vector<float>(n, 0.0f),
                                         std::vector<float>(n, 0.37f), std::vector<float>(n, -3e-39f),
                                         sparse_numbers(shape.size(), 0.9, 3)};
  for (float scale : {1e-44f, 1e-39f, 1e-20f, 1e-7f, 1e3f, 3e4f}) {
    inputs.push_back(numbers(shape.size(), 5));
    for (float& v : inputs.back()) v *= scale;
  }
  inputs.push_back(numbers(shape.size(), 6));
  for (std::size_t i = 0; i < n; i += 32) inputs.back()[i] = 100;  // one outlier a piece
  for (auto const& values : inputs) {
    encoded<TestType> const w(c, shape, values);
    auto const measured = codec::measure_error(values, w.decode(c));
    auto const predicted = TestType::bits::predict(shape, values, TestType::to_file(c, shape, w.storage));
    CHECK(measured.max <= predicted.max);
    CHECK(measured.frobenius <= predicted.frobenius);
    float amax = 0;
    for (float v : values) amax = std::max(amax, std::fabs(v));
    // The prediction says something: never more than the plain step of the coarsest (4 bits: d at the end of the
    // range), and the rounding of a subnormal scale times the largest code.
    CHECK(predicted.max <= 0.25 * static_cast<double>(amax) + 256 * 0x1p-24);
  }
}

TEMPLATE_TEST_CASE(
    "products run on the stored blocks: within the bound of the activations' codes, and the same bits for every batch",
    "", BLOCK_FORMS) {
  auto c = make_context();
  // Rows for vectors of eight, of sixteen and of twice sixteen, with some left over; columns for one and for several
  // panels.
  auto const [n, at_least] = GENERATE(std::pair<index_t, index_t>{37, 512}, std::pair<index_t, index_t>{21, 256},
                                      std::pair<index_t, index_t>{5, 768}, std::pair<index_t, index_t>{33, 1280},
                                      std::pair<index_t, index_t>{18, 352});
  index_t const block = TestType::bits::format::block,
                k = (at_least + block - 1) / block *
                    block;  // the last: eleven short blocks, a column that is walked by fours has three left
  extents const shape{n, k};
  CAPTURE(n, k);
  encoded<TestType> const w(c, shape, numbers(shape.size(), 1));
  auto const decoded = w.decode(c);
  auto const x = numbers(9 * k, 2), bias = numbers(n, 3);
  pleat::compute::epilogue<float> const after{.bias = bias.data(), .act = pleat::compute::activation::relu};
  std::vector<float> all(static_cast<std::size_t>(9 * n));
  TestType::apply(c, shape, w.storage, 9, x.data(), all.data(), after);
  auto const exact = product(shape, decoded, 9, x);
  for (index_t i = 0; i < 9; ++i)
    for (index_t j = 0; j < n; ++j) {
      double bound = 0,
             magnitude = 0;  // Σ amax/254·Σ|ŵ| over pieces; and (2·k/32 + 4) roundings of sums below Σ|x·ŵ|·(1 + …)
      for (index_t q = 0; q < k; q += 32) {
        double amax = 0, weights = 0;
        for (index_t l = q; l < q + 32; ++l) {
          amax = std::max(amax, static_cast<double>(std::fabs(x[static_cast<std::size_t>(i * k + l)])));
          weights += std::fabs(decoded[static_cast<std::size_t>(j * k + l)]);
        }
        bound += amax / 254 * weights;
        magnitude += 2 * amax * weights;
      }
      double const y = std::max(
          0.0, exact[static_cast<std::size_t>(i * n + j)] + static_cast<double>(bias[static_cast<std::size_t>(j)]));
      CHECK(std::abs(y - static_cast<double>(all[static_cast<std::size_t>(i * n + j)])) <=
            bound * (1 + 1e-5) + magnitude * static_cast<double>(k / 16 + 4) * 0x1p-24);
    }
  for (index_t m : {1, 2, 3, 4, 5, 8}) {
    std::vector<float> some(static_cast<std::size_t>(m * n));
    TestType::apply(c, shape, w.storage, m, x.data(), some.data(), after);
    CHECK(std::memcmp(some.data(), all.data(), some.size() * sizeof(float)) == 0);
  }
  // The definition, element by element: what a device and a machine without vector units compute.
  using format = typename TestType::bits::format;
  std::vector<signed char> codes(static_cast<std::size_t>(9 * k));
  std::vector<float> scale(static_cast<std::size_t>(9 * k / 32)), sum(scale.size());
  std::vector<std::int32_t> start(2 * scale.size());
  codec::detail::quantize_pieces_body const quantize{x.data(),     format::offset, codes.data(),
                                                     scale.data(), start.data(),   sum.data()};
  for (index_t q = 0; q < 9 * k / 32; ++q) quantize(q);
  codec::detail::block_product const p{
      n, k, 9, w.storage.view.row_bytes, w.storage.view.blocks, codes.data(), scale.data(), start.data(), sum.data()};
  for (index_t i = 0; i < 9; ++i)
    for (index_t j = 0; j < n; ++j)
      CHECK(codec::detail::finish(after, i, j, codec::detail::block_element<format>(p, i, j)) ==
            all[static_cast<std::size_t>(i * n + j)]);
}

TEMPLATE_TEST_CASE("files: the same bytes again; slices are rows of them; claims are checked", "", BLOCK_FORMS) {
  auto c = make_context();
  extents const shape{6, 2, 256};
  encoded<TestType> const w(c, shape, numbers(shape.size(), 4));
  auto const parts = TestType::to_file(c, shape, w.storage);
  encoded<TestType> back(shape);
  TestType::from_file(c, shape, parts, back.storage);
  CHECK(TestType::to_file(c, shape, back.storage)[0].bytes == parts[0].bytes);

  CHECK(TestType::granularity(shape) == codec::cut_unit{1, TestType::bits::format::block});
  encoded<TestType> part(extents{3, 2, 256});
  TestType::slice(c, shape, w.storage, 2, 5, part.storage);
  auto const all = w.decode(c), some = part.decode(c);
  CHECK(std::equal(some.begin(), some.end(), all.begin() + 2 * 512));
  CHECK_THROWS_MATCHES(TestType::slice(c, shape, w.storage, 2, 7, part.storage), pleat::error,
                       MessageMatches(ContainsSubstring("no whole pieces")));

  auto const refused = [&](auto const& bad, char const* words) {
    CHECK_THROWS_MATCHES(TestType::from_file(c, shape, bad, back.storage), pleat::error,
                         MessageMatches(ContainsSubstring(words)));
  };
  auto bad = parts;
  bad[0].bytes.pop_back();
  refused(bad, "bytes");
  bad = parts, bad[0].shape = {6, 1};
  refused(bad, "expected a tensor '.blocks'");
  bad = parts, bad[0].suffix = ".block";
  refused(bad, "'.block'");
  bad = parts, bad[0].bytes[TestType::bits::format::halves_at] = std::byte{0},
  bad[0].bytes[TestType::bits::format::halves_at + 1] = std::byte{0x7c};
  refused(bad, "scale of block 0 is NaN or infinite");
  refused(std::vector<codec::file_tensor>{}, "found none");
}

TEMPLATE_TEST_CASE("what a block format cannot hold is refused by name", "", BLOCK_FORMS) {
  auto c = make_context();
  extents const shape{2, 512};
  auto values = numbers(shape.size(), 7);
  encoded<TestType> w(shape);
  auto const refused = [&](std::vector<float> const& v, extents const& e, char const* words) {
    CHECK_THROWS_MATCHES(TestType::encode(c, e, v.data(), w.storage), pleat::error,
                         MessageMatches(ContainsSubstring(words)));
  };
  values[515] = std::numeric_limits<float>::quiet_NaN();
  refused(values, shape, "row 1, column 3 is nan");
  values[515] = -std::numeric_limits<float>::infinity();
  refused(values, shape, "row 1, column 3 is -inf");
  values[515] = 3e38f;
  refused(values, shape, "too large: their scale is above 65504");
  refused(numbers(2 * 100, 1), {2, 100}, "has 100 columns, expected a multiple of");
  std::vector<float> y(2);
  CHECK_THROWS_MATCHES(TestType::apply(c, shape, w.storage, 1, values.data(), y.data(), {}), pleat::error,
                       MessageMatches(ContainsSubstring("never encoded")));
}

TEST_CASE("NaN in the activations is no plausible answer; an empty batch is none") {
  auto c = make_context();
  extents const shape{3, 64};
  encoded<codec::q8_0<float>> const w(c, shape, numbers(192, 1));
  auto x = numbers(5 * 64, 2);
  x[70] = std::numeric_limits<float>::infinity();
  std::vector<float> y(15);
  codec::q8_0<float>::apply(c, shape, w.storage, 5, x.data(), y.data(), {});
  for (std::size_t j = 0; j < 15; ++j) CHECK(std::isnan(y[j]) == (j / 3 == 1));
  codec::q8_0<float>::apply(c, shape, w.storage, 0, x.data(), y.data(), {});
}

TEST_CASE("a layer runs in a block format, forward and the way back to its input") {
  auto c = make_context();
  using form = codec::q4_k<float>;
  using layer = pleat::nn::linear<codec::forms<codec::dense<float>, codec::q8_0<float>, form>, space>;
  layer l("fc", 256, 5, {.bias = false});
  auto const values = numbers(5 * 256, 1);
  l.for_each_parameter([&](auto& w) {
    if constexpr (std::remove_cvref_t<decltype(w)>::forms::template contains<form>) {
      form::encode(c, w.shape, values.data(), w.storage_of(codec::form_tag<form>{}));
      w.template use_form<form>();
    }
  });
  CHECK(l.weight().form_name() == "q4_K");
  CHECK(l.weight().bytes() == 5 * 144);
  pleat::nn::pass<space> p;
  p.where = &c;
  auto x = numbers(3 * 256, 2), dy = numbers(15, 3);
  auto const y = l.forward(p, pleat::tensor<float, space>::wrap(x.data(), {3, 256})).y;
  std::vector<float> decoded(5 * 256);
  l.weight().decode(c, decoded.data());
  auto const exact = product({5, 256}, decoded, 3, x);
  for (std::size_t i = 0; i < 15; ++i) CHECK(std::abs(y.data()[i] - exact[i]) <= 256.0 / 254);
  typename layer::saved s;
  s.x = pleat::tensor<float, space>::wrap(x.data(), {3, 256});
  s.in = {3, 256};
  auto const dx = l.backward_input(p, s, pleat::tensor<float, space>::wrap(dy.data(), {3, 5}));
  for (index_t k = 0; k < 256; ++k) {
    double sum = 0;
    for (index_t j = 0; j < 5; ++j)
      sum += static_cast<double>(dy[static_cast<std::size_t>(j)]) *
             static_cast<double>(decoded[static_cast<std::size_t>(j * 256 + k)]);
    CHECK(std::abs(dx.data()[k] - sum) <= 5 * 5 * 0x1p-24 * 1.2);
  }
}

}  // namespace
