// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One pruned matrix in every form, in one file for `inspect`: what each form costs and loses. No network, no Kokkos:
// bit logic and files.
//
//   every_form forms.safetensors && inspect forms.safetensors
#include <pleat/base/random.hpp>
#include <pleat/io/decode.hpp>
#include <pleat/io/weight_file.hpp>

#include <cmath>
#include <iostream>
#include <string>
#include <vector>

namespace io = pleat::io;

int main(int argc, char** argv) try {
  if (argc != 2)
    throw pleat::error{"every_form", "expected one argument, found " + std::to_string(argc - 1),
                       "Name the file to write"};
  // Normal numbers (Box and Muller) of which the largest tenth survives.
  pleat::extents const shape{256, 1024};
  pleat::random::stream const draw(5, 1);
  std::vector<float> values(static_cast<std::size_t>(shape.size()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    constexpr std::uint64_t steps = std::uint64_t{1} << 30;
    double const a = static_cast<double>(draw.below(2 * i, steps) + 1) / static_cast<double>(steps),
                 b = static_cast<double>(draw.below(2 * i + 1, steps)) / static_cast<double>(steps);
    double const x = std::sqrt(-2 * std::log(a)) * std::cos(6.283185307179586 * b);
    values[i] = std::fabs(x) > 1.6449 ? static_cast<float>(0.05 * x) : 0.0f;
  }

  io::safetensors_writer file;
  file.add<float>("dense", shape, values);
  std::vector<std::vector<pleat::codec::file_tensor>> kept;  // the writer looks at them until the file is written
  for (std::string const form : {"bf16", "f16", "q8_0", "q6_K", "q5_1", "q5_0", "q4_K", "q4_1", "q4_0", "int4_g32",
                                 "int4_g128", "csr", "block_1x4", "bitmask", "2:4", "codebook", "coded"}) {
    io::detail::with_bit_logic(form, [&]<class Bits>() { kept.push_back(Bits::encode(shape, values, {})); });
    io::stored_weight weight{form, form, {}, shape, {}, {}};
    for (auto const& p : kept.back()) weight.parts.push_back({p.suffix, p.type, p.shape, p.bytes});
    weight.error = pleat::codec::measure_error(values, io::decode(weight));
    io::add_weight(file, weight);
  }
  file.write(argv[1]);
  return 0;
} catch (std::exception const& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
