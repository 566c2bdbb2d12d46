// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Encoders and products of every form, on every instruction set: the same bits. A process has one instruction set, so
// others do the rest.
#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/blocks.hpp>
#include <pleat/codec/codebook.hpp>
#include <pleat/codec/fake_quantized.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/codec/int8_integer.hpp>
#include <pleat/codec/factors.hpp>
#include <pleat/codec/low_rank.hpp>
#include <pleat/codec/masked.hpp>
#include <pleat/codec/reduced.hpp>
#include <pleat/codec/sparse.hpp>
#include <pleat/codec/spatial_low_rank.hpp>

#include <catch2/catch_test_macros.hpp>

#include <codec/codec_support.hpp>

#include <cstdio>
#include <span>
#include <string>

#include <unistd.h>

namespace {

using namespace codec_test;
namespace codec = pleat::codec;

struct digest {
  std::uint64_t h = 0xcbf29ce484222325u;
  void add(std::span<std::byte const> bytes) {
    for (auto b : bytes) h = (h ^ static_cast<std::uint64_t>(b)) * 0x100000001b3u;
  }
  void add(std::vector<float> const& v) { add(std::as_bytes(std::span<float const>(v))); }
};

/// The stored bytes, what they decode to, and products forward and back.
template <class F> std::string line_of(pleat::context<space>& c) {
  digest d;
  extents const shape{37, 256};
  for (double zeros : {0.0, 0.9}) {
    encoded<F> const w(c, shape, sparse_numbers(shape.size(), zeros, 1));
    for (auto const& p : F::to_file(c, shape, w.storage)) d.add(p.bytes);
    d.add(w.decode(c));
    for (index_t m : {1, 3, 20}) {
      auto const x = numbers(m * 256, 2), dy = numbers(m * 37, 3), bias = numbers(37, 4);
      std::vector<float> y(static_cast<std::size_t>(m * 37)), dx(static_cast<std::size_t>(m * 256));
      F::apply(c, shape, w.storage, m, x.data(), y.data(),
               {.bias = bias.data(), .act = pleat::compute::activation::relu});
      F::apply_transposed(c, shape, w.storage, m, dy.data(), dx.data(), static_cast<float const*>(nullptr));
      d.add(y), d.add(dx);
    }
  }
  char text[80];
  std::snprintf(text, sizeof text, "%s=%016llx\n", std::string(F::name).c_str(), static_cast<unsigned long long>(d.h));
  return text;
}

/// Kernels of convolutions, and the gradients of learned steps.
std::string line_of_kernels(pleat::context<space>& c) {
  digest d;
  extents const shape{12, 6, 5, 3};
  encoded<codec::spatial_low_rank<float>> w(shape);
  auto const values = numbers(shape.size(), 1);
  codec::spatial_low_rank<float>::encode_with(c, shape, values.data(), {.rank = 3}, w.storage);
  for (auto const& p : codec::spatial_low_rank<float>::to_file(c, shape, w.storage)) d.add(p.bytes);
  d.add(w.decode(c));
  pleat::compute::conv2d_shape const g{2, 6, 11, 9, 12, 5, 3};
  auto const x = numbers(2 * 6 * 11 * 9, 2), bias = numbers(12, 3);
  std::vector<float> y(static_cast<std::size_t>(2 * 12 * 7 * 7));
  codec::spatial_low_rank<float>::convolve(c, g, w.storage, x.data(), bias.data(), y.data(),
                                           pleat::compute::activation::relu);
  d.add(y);

  using fake = codec::fake_quantized<float>;
  extents const matrix{37, 256};
  encoded<fake> const learned = [&] {
    encoded<fake> f(c, matrix, numbers(matrix.size(), 4));
    f.storage.grid = {-8, 7, 32, false};
    fake::set_steps(c, matrix, std::vector<float>(static_cast<std::size_t>(f.storage.grid.steps(matrix)), 0.09f),
                    f.storage);
    return f;
  }();
  auto gradient = numbers(matrix.size(), 5);
  std::vector<float> of_steps(static_cast<std::size_t>(learned.storage.grid.steps(matrix)));
  fake::step_gradients(c, matrix, learned.storage, gradient.data(), of_steps.data());
  d.add(gradient), d.add(of_steps), d.add(learned.decode(c));

  codec::codebook_options const no_index{.index_bits = 0};
  encoded<codec::coded<float>> all(matrix);
  auto const numbers_of_all = numbers(matrix.size(), 6);
  codec::coded<float>::encode_with(c, matrix, numbers_of_all.data(), no_index, all.storage);
  for (auto const& p : codec::coded<float>::to_file(c, matrix, all.storage)) d.add(p.bytes);
  d.add(all.decode(c));
  char text[80];
  std::snprintf(text, sizeof text, "kernels=%016llx\n", static_cast<unsigned long long>(d.h));
  return text;
}

std::string line_of_integers(pleat::context<space>& c) {
  digest d;
  extents const shape{37, 256};
  auto const bias = numbers(37, 4);
  encoded<codec::int8<float>> const w(c, shape, numbers(shape.size(), 1));
  auto const r = codec::requantizer<space>::make(c, shape, w.storage, 1 / 127.0f, 0.05f, bias.data(),
                                                 pleat::compute::activation::none);
  for (index_t m : {1, 3, 20}) {
    std::vector<std::int8_t> x(static_cast<std::size_t>(m * 256)), y(static_cast<std::size_t>(m * 37));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::int8_t>(static_cast<int>(i * 37 % 255) - 127);
    codec::apply_integer(c, shape, w.storage, r, m, x.data(), y.data());
    d.add(std::as_bytes(std::span<std::int8_t const>(y)));
  }
  char text[80];
  std::snprintf(text, sizeof text, "integers=%016llx\n", static_cast<unsigned long long>(d.h));
  return text;
}

template <class... Fs> std::string lines_of(pleat::context<space>& c) { return (line_of<Fs>(c) + ...); }

std::string all_lines() {
  auto c = make_context();
  return lines_of<codec::dense<float>, codec::masked<float>, codec::int8<float>, codec::bf16<float>, codec::f16<float>,
                  codec::q8_0<float>, codec::q4_0<float>, codec::q4_1<float>, codec::q5_0<float>, codec::q5_1<float>,
                  codec::q4_k<float>, codec::q6_k<float>, codec::int4<float, 32>, codec::int4<float, 128>,
                  codec::csr<float>, codec::bitmask<float>, codec::block_sparse<float, 4>, codec::n_m<float, 2, 4>,
                  codec::codebook<float>, codec::coded<float>, codec::low_rank<float>, codec::sparse_low_rank<float>,
                  codec::factors<float>, codec::fake_quantized<float>>(c) +
         line_of_kernels(c) + line_of_integers(c);
}

}  // namespace

// A child process of the test below, with PLEAT_ISA set.
TEST_CASE("print the digests of all forms", "[.form_digest]") {
  std::printf("\nisa=%s\n%s", pleat::isa::name(pleat::isa::best()), all_lines().c_str());
  std::fflush(stdout);
}

TEST_CASE("every form has the same bits on every instruction set") {
  std::string const expected = all_lines();
  char self[4096];
  auto const length = readlink("/proc/self/exe", self, sizeof self - 1);
  REQUIRE(length > 0);
  self[length] = 0;
  for (char const* level : {"scalar", "avx2", "avx512"}) {
    std::string const command = "PLEAT_ISA=" + std::string(level) + " '" + self + "' '[.form_digest]' 2>&1";
    std::FILE* const child = popen(command.c_str(), "r");
    REQUIRE(child != nullptr);
    std::string said;
    char buffer[256];
    while (std::fgets(buffer, sizeof buffer, child) != nullptr) said += buffer;
    CHECK(pclose(child) == 0);
    if (std::string(level) == "scalar") CHECK(said.find("isa=scalar") != std::string::npos);
    for (std::size_t at = 0; at < expected.size();) {
      auto const end = expected.find('\n', at) + 1;
      INFO(level << ": " << expected.substr(at, end - at) << said);
      CHECK(said.find(expected.substr(at, end - at)) != std::string::npos);
      at = end;
    }
  }
}
