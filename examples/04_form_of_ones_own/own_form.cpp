// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A form of one's own: weights stored as powers of two (a sign and an exponent in one byte), which run inside an
// unchanged network, travel through a file and are a word of a recipe.
//
//   own_form                    trains, stores every weight as powers of two, and evaluates before and after
//   own_form FILE.safetensors   also saves the small network, loads it into a new one, and evaluates that
#include <pleat/codec/scalar_quantized.hpp>
#include <pleat/pleat.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "../left_over.hpp"

namespace pl = pleat;

// [own_form]
// The nearest power of two. Zero stays zero, so that what was pruned stays pruned.
struct power_of_two {
  static constexpr std::string_view name = "power_of_two";
  using code = std::int8_t;  // 0: zero; else the sign, and 64 above the exponent

  static code encode(float w) {
    int e = 0;
    float const fraction = std::frexp(std::fabs(w), &e);  // in [1/2, 1), times 2^e; the middle of both ends is 3/4
    e = fraction < 0.75f ? e - 1 : e;
    if (w == 0 || e < -63) return 0;
    return static_cast<code>((w < 0 ? -1 : 1) * (std::min(e, 63) + 64));
  }
  PLEAT_INLINE static float decode(code c) {
    return c == 0 ? 0.0f : c < 0 ? -std::ldexp(1.0f, -c - 64) : std::ldexp(1.0f, c - 64);
  }
  static double bound(float w) {
    double const size = std::fabs(w);
    return size < 0x1p-63 || size > 0x1p63 ? size : size / 3;  // 3/4 becomes 1
  }
};
template <class T> using powers_of_two = pl::codec::scalar_quantized<T, power_of_two>;
// [own_form]

namespace {

auto network() {
  using linear = pl::nn::linear<pl::codec::forms<pl::codec::dense<float>, powers_of_two<float>>>;
  return pl::nn::sequential(pl::nn::flatten(), linear("fc1", 64, 48), pl::nn::relu(), linear("fc2", 48, 10));
}

}  // namespace

int main(int argc, char** argv) {
  return pl::run::launch(argc, argv, [&](pl::world& world) {
    std::string file;
    refuse_left_over(argc, argv, "own_form", "own_form [FILE.safetensors]", [&](std::string_view argument) {
      bool const takes = file.empty() && !argument.starts_with('-');
      if (takes) file = argument;
      return takes;
    });
    auto const data = pl::io::load_digits(PLEAT_DIGITS);
    auto const plan = pl::plan::search(network(), world, {.global_batch = 32});
    auto model = pl::parallel::build(network(), plan, world);
    pl::run::fit(model, data.train,
                 {.epochs = 10, .optimizer = pl::nn::adamw{.learning_rate = 3e-3}, .progress = false});
    auto small = model | pl::compress::quantize<powers_of_two<float>>{};

    auto const say = [&](char const* what, auto& m) {
      pl::index_t bytes = 0;
      m.net().for_each_parameter([&](auto const& w) { bytes += w.bytes(); });
      double const error = pl::run::evaluate(m, data.test).error();
      char line[120];
      std::snprintf(line, sizeof line, "%-18s test error %4.1f %% in %6lld bytes", what, 100 * error,
                    static_cast<long long>(bytes));
      world.say(line);
      return error;
    };
    double const before = say("floats", model), after = say("powers of two", small);
    if (after > before + 0.1)
      throw pl::error{"own_form", "powers of two lost more than ten points", "Look at encode and decode"};
    if (!file.empty()) {
      pl::run::save(small, file);
      auto loaded = pl::parallel::build(network(), plan, world);
      pl::run::load(loaded, file);
      if (say("loaded", loaded) != after)
        throw pl::error{"own_form", "the loaded network answers something else", "Look at what is written and read"};
    }
  });
}
