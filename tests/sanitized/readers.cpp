// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Damaged files under the address and the undefined-behaviour sanitizer, whatever the build's own flags: every reader
// and the bit logic of the forms that a file holds. What comes of each damage is a value or a pleat::error; anything
// else, and more than 256 MiB at a time, ends the program. The damage is a function of a number alone: a run that
// failed fails again.  readers [factor]: that many times the damage.
#include <pleat/io/checkpoint_manifest.hpp>
#include <pleat/io/decode.hpp>
#include <pleat/io/gguf.hpp>
#include <pleat/io/idx.hpp>
#include <pleat/io/safetensors.hpp>
#include <pleat/io/weights.hpp>
#include <pleat/io/weights_gguf.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <io/support.hpp>

// Leaks are not looked for: that asks for more than every machine allows.
extern "C" char const* __asan_default_options() {
  return "detect_leaks=0:max_allocation_size_mb=256:allocator_may_return_null=0";
}

namespace {

namespace io = pleat::io;
namespace bits = pleat::codec::detail;
using pleat::extents;
using pleat::index_t;
using bytes = std::vector<std::byte>;
using parts = std::vector<pleat::codec::file_tensor>;

/// Everything that was read adds to it: a reader's result is looked at, byte by byte.
std::uint64_t looked_at = 0;
void look(std::span<std::byte const> b) {
  for (auto x : b) looked_at = looked_at * 31 + static_cast<std::uint64_t>(x);
}
void look(std::string_view s) { look(std::as_bytes(std::span(s.data(), s.size()))); }
void look(std::vector<float> const& v) { look(std::as_bytes(std::span(v.data(), v.size()))); }

double factor = 1;
bool good = true;

/// f(number) for `times` damages. A reader that refuses nothing, or everything, was not tested.
template <class F> void damage(std::string const& what, int times, F&& f) {
  long read = 0, refused = 0;
  for (std::uint64_t n = 0; n < static_cast<std::uint64_t>(times * factor); ++n) {
    try {
      f(n);
      ++read;
    } catch (pleat::error const& e) {
      ++refused;
      look(e.what());
    } catch (std::exception const& e) {
      std::printf("%s, damage %lu: not a pleat::error: %s\n", what.c_str(), static_cast<unsigned long>(n), e.what());
      good = false;
      return;
    }
  }
  std::printf("%-28s %7ld read, %7ld refused\n", what.c_str(), read, refused);
  if (read == 0 || refused == 0) good = false, std::printf("%s: expected some of each\n", what.c_str());
}

/// One to three numbers of 8, 16 or 32 bits become others, often extreme ones; the length stays.
void alter(bytes& b, pleat::random::stream const& draw, std::uint64_t& at) {
  if (b.empty()) return;
  for (auto hits = 1 + draw.below(at++, 3); hits > 0; --hits) {
    std::size_t const width = std::size_t{1} << draw.below(at++, 3);
    if (b.size() < width) continue;
    std::size_t place = draw.below(at++, b.size() / width) * width;
    if (draw.below(at++, 4) == 0) place = b.size() - width;
    std::uint32_t value = 0;
    std::memcpy(&value, b.data() + place, width);
    std::uint32_t const others[] = {0,           1,         0x7f,      0xff,      0x7fffffff,    0x80000000u,
                                    0xffffffffu, value + 1, value - 1, value * 2, draw.bits(at), 0x7f800000u};
    value = others[draw.below(++at, std::size(others))];
    ++at;
    std::memcpy(b.data() + place, &value, width);
  }
}
bytes altered(bytes b, std::uint64_t number) {
  pleat::random::stream const draw(2027, number);
  std::uint64_t at = 0;
  alter(b, draw, at);
  return b;
}

std::vector<float> numbers(index_t n, int every) {
  pleat::random::stream const s(7, static_cast<std::uint64_t>(every));
  std::vector<float> v(static_cast<std::size_t>(n), 0.0f);
  for (std::size_t i = 0; i < v.size(); i += static_cast<std::size_t>(every)) v[i] = 2 * s.uniform(i) - 1;
  return v;
}

/// Parts lie with room behind them, where vector code may read: a code beyond its codebook is seen from what it decodes
/// to.
void demand_shared_values(std::vector<float> const& decoded, parts const& p) {
  auto const* book = bits::find_part(p, ".codebook");
  if (!book) return;
  auto values = bits::values_of<float>(book->bytes);
  bool const zeros = bits::find_part(p, ".restart") != nullptr;  // coded: what has no code is zero
  for (float const v : decoded)
    if (!(zeros && v == 0) && std::find(values.begin(), values.end(), v) == values.end())
      throw std::logic_error("decoded " + std::to_string(v) + ", which is in no codebook");
}

/// One of the parts is altered; every fourth time cut, too.
void alter_one(parts& p, std::uint64_t seed, std::uint64_t n) {
  pleat::random::stream const draw(seed, n);
  std::uint64_t at = 0;
  auto& one = p[draw.below(at++, p.size())];
  if (n % 4 == 3) one.bytes.resize(draw.below(at++, one.bytes.size() + 1));
  alter(one.bytes, draw, at);
}

/// The parts of a stored weight, one of them altered, through check and decode.
template <class Bits>
void damage_form(std::string const& what, extents const& shape, parts const& whole, int times = 1000) {
  damage(what, times, [&](std::uint64_t n) {
    auto p = whole;
    alter_one(p, 2028, n);
    auto const decoded = io::detail::decode_bits<Bits>(shape, p);
    demand_shared_values(decoded, p);
    look(decoded);
  });
}
template <class Bits>
parts damage_encoded(std::string const& what, extents const& shape, int every, typename Bits::options const& o = {},
                     int times = 1000) {
  auto const whole = Bits::encode(shape, numbers(shape.size(), every), o);
  damage_form<Bits>(what, shape, whole, times);
  return whole;
}

void everything() {
  // Arrays and their compressed form.
  io::idx_array const image{pleat::dtype::u8, {20, 8, 8}, bytes(1280, std::byte{3})};
  auto const idx = io::encode_idx(image);
  damage("idx", 4000,
         [&](std::uint64_t n) { look(io::decode_idx(n % 2 ? altered(idx, n) : io_test::damaged(idx, n)).bytes); });
#if defined(PLEAT_HAS_ZLIB)
  auto const packed = io::gzip(idx);
  damage("idx.gz", 2500, [&](std::uint64_t n) { look(io::decode_idx(io_test::damaged(packed, n)).bytes); });
  damage("gzip", 2500,
         [&](std::uint64_t n) { look(io::gunzip(n % 2 ? altered(packed, n) : io_test::damaged(packed, n), 1 << 20)); });
  damage("idx.gz, packed afterwards", 1500,
         [&](std::uint64_t n) { look(io::decode_idx(io::gzip(altered(idx, n))).bytes); });
#endif

  // Stored forms: streams of symbols, codebook indices, sparse rows, blocks.
  extents const shape{24, 64}, wide{4, 512};
  parts const coded = damage_encoded<bits::coded_logic>("coded, relative indices", shape, 5, {.entries = 8});
  damage_encoded<bits::coded_logic>("coded, no index", shape, 1, {.entries = 16, .index_bits = 0});
  damage_encoded<bits::coded_logic>("coded, plain bits", shape, 3,
                                    {.entries = 4, .rows_per_group = 5, .index_bits = 8, .entropy = false});
  parts const book = damage_encoded<bits::codebook_logic>("codebook", shape, 1, {.entries = 5, .rows_per_group = 7});
  parts const csr = damage_encoded<bits::compressed_rows_logic<1>>("csr", shape, 7);
  damage_encoded<bits::compressed_rows_logic<4>>("block_1x4", shape, 7);
  damage_encoded<bits::bitmask_logic>("bitmask", shape, 3);
  damage_encoded<bits::n_m_logic<2, 4>>("2:4", shape, 1);
  parts const q4 = damage_encoded<bits::block_logic<bits::q4_k_format>>("q4_K", wide, 1);
  damage_encoded<bits::block_logic<bits::q6_k_format>>("q6_K", wide, 1);

  auto const blocks = [&]<class... Format>(std::type_identity<Format>...) {
    (damage_encoded<bits::block_logic<Format>>(std::string(bits::block_logic<Format>::name), wide, 1, {}, 300), ...);
  };
  blocks(std::type_identity<bits::q8_0_format>{}, std::type_identity<bits::q4_0_format>{},
         std::type_identity<bits::q4_1_format>{}, std::type_identity<bits::q5_0_format>{},
         std::type_identity<bits::q5_1_format>{}, std::type_identity<bits::int4_format<32>>{},
         std::type_identity<bits::int4_format<256>>{});
  damage_encoded<bits::n_m_logic<1, 4>>("1:4", shape, 1, {}, 300);
  damage_encoded<bits::n_m_logic<4, 8>>("4:8", shape, 1, {}, 300);
  damage_encoded<bits::reduced_logic<pleat::bfloat16>>("bf16", shape, 1, {}, 300);
  damage_encoded<bits::reduced_logic<pleat::half>>("f16", shape, 1, {}, 300);
  damage_encoded<bits::low_rank_logic<false>>("low_rank", shape, 1, {.rank = 3}, 300);
  damage_encoded<bits::low_rank_logic<true>>("sparse_low_rank", shape, 1, {.rank = 3, .sparse_share = 0.1}, 300);
  damage_encoded<bits::spatial_logic>("spatial_low_rank", {6, 4, 3, 3}, 1, {.rank = 3}, 300);
  auto const part = [](char const* suffix, extents const& e, auto const& values) {
    auto const raw = std::as_bytes(std::span(values));
    return pleat::codec::file_tensor{suffix,
                                     pleat::dtype_of<typename std::remove_cvref_t<decltype(values)>::value_type>,
                                     e,
                                     {raw.begin(), raw.end()}};
  };
  std::vector<std::int8_t> codes(24 * 64);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::int8_t>(i % 255 - 127);
  parts const int8{part(".codes", shape, codes), part(".scale", {24}, numbers(24, 1)),
                   part(".input_scale", {1}, std::vector<float>{0.5f})};
  auto positive = int8;
  for (std::size_t i = 0; i < 24; ++i) positive[1].bytes[4 * i + 3] &= std::byte{0x7f};  // scales are not negative
  damage("int8", 1000, [&](std::uint64_t n) {
    auto p = positive;
    alter_one(p, 2029, n);
    look(io::detail::decode_int8(shape, p));
  });

  // Models of symbols by themselves.
  std::vector<std::uint8_t> tables;
  bits::write_model(bits::best_model({900, 60, 30, 10, 0, 3}, 1, true), tables);
  bits::write_model({bits::coder::range, 4, {1, 2000, 2000, 95}}, tables);
  bytes const tables_as_bytes(reinterpret_cast<std::byte const*>(tables.data()),
                              reinterpret_cast<std::byte const*>(tables.data()) + tables.size());
  damage("models of symbols", 4000, [&](std::uint64_t n) {
    auto const b = n % 2 ? altered(tables_as_bytes, n) : io_test::damaged(tables_as_bytes, n);
    std::size_t at = 0;
    for (int i = 0; i < 2; ++i) {
      auto const t = bits::decode_table(
          bits::read_model("models", {reinterpret_cast<std::uint8_t const*>(b.data()), b.size()}, at));
      look(std::as_bytes(std::span(t.data(), t.size())));
    }
  });

  // Files of weights: what passes as a file is read as weights, and what passes as weights is decoded.
  auto const weight = [](char const* name, char const* form, extents const& e, parts const& p) {
    io::stored_weight w{name, form, {}, e, {}, {}};
    for (auto const& one : p) w.parts.push_back({one.suffix, one.type, one.shape, one.bytes});
    return w;
  };
  auto const dense = numbers(64, 1);
  auto const decode = [](std::vector<io::stored_weight> const& weights) {
    for (auto const& w : weights) {
      look(w.name), look(w.form);
      for (auto const& p : w.parts) look(p.bytes);
      if (w.shape.size() > 100'000) continue;  // what io::decode does not believe
      if (w.form == "coded") look(io::detail::decode_bits<bits::coded_logic>(w.shape, w.copy()));
      if (w.form == "codebook") look(io::detail::decode_bits<bits::codebook_logic>(w.shape, w.copy()));
      if (w.form == "csr") look(io::detail::decode_bits<bits::compressed_rows_logic<1>>(w.shape, w.copy()));
      if (w.form == "q4_K") look(io::detail::decode_bits<bits::block_logic<bits::q4_k_format>>(w.shape, w.copy()));
    }
  };
  io::safetensors_writer s;
  s.add<float>("dense", {8, 8}, dense);
  io::add_weight(s, weight("a", "coded", shape, coded));
  io::add_weight(s, weight("b", "codebook", shape, book));
  io::add_weight(s, weight("c", "csr", shape, csr));
  io::add_weight(s, weight("d", "q4_K", wide, q4));
  auto const tensors = s.bytes();
  damage("safetensors", 4000, [&](std::uint64_t n) {
    io::safetensors_file const f(n % 2 ? altered(tensors, n) : io_test::damaged(tensors, n));
    for (auto const& e : f.entries()) look(f.bytes(e));
    decode(io::weights_of(f));
  });
  io::gguf_writer g("test");
  g.metadata("tokens", io::gguf_array(std::vector<std::string>(20, "word")));
  g.metadata("ids", io::gguf_array(std::vector<std::int32_t>{1, 2, 3}));
  g.metadata("yes", true);
  g.add<float>("dense", {8, 8}, dense);
  io::add_weight(g, weight("d", "q4_K", wide, q4));
  auto const gguf = g.bytes();
  damage("gguf", 5000, [&](std::uint64_t n) {
    io::gguf_file const f(n % 2 ? altered(gguf, n) : io_test::damaged(gguf, n));
    for (auto const& e : f.entries()) look(f.bytes(e));
    decode(io::weights_of(f));
  });

  // A manifest's own checksum keeps damage out: it is signed again.
  io::detail::checkpoint_manifest m;
  m.step = 1200;
  m.state = {{"seed", "1"}, {"plan", "data = 2"}};
  m.parts = {{"parameters.safetensors", 1066432, "0123456789abcdef", {1, 2, 3}},
             {"moments.safetensors", 12, "0123456789abcdef", {}}};
  auto const manifest = m.to_string("manifest");
  auto const body = io_test::bytes_of(manifest.substr(0, manifest.rfind("end ")));
  damage("manifest", 5000, [&](std::uint64_t n) {
    auto const b = io_test::damaged(body, n);
    std::string text(reinterpret_cast<char const*>(b.data()), b.size());
    if (n % 8 != 0) text += "end " + io::checksum::hex(io::checksum_of(b)) + "\n";
    auto const back = io::detail::checkpoint_manifest::parse(text, "manifest");
    for (auto const& [key, value] : back.state) look(key), look(value);
    for (auto const& p : back.parts) look(p.name), look(p.sum);
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) factor = std::atof(argv[1]);
  try {
    everything();
  } catch (std::exception const& e) {
    std::printf("without any damage: %s\n", e.what());
    return 1;
  }
  std::printf("%s (%016llx)\n", good ? "readers are sound" : "readers are NOT sound",
              static_cast<unsigned long long>(looked_at));
  return good ? 0 : 1;
}
