// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A form of one's own: weights stored as powers of two (a sign and an exponent in one byte), which run inside an
// unchanged network.
#include <pleat/pleat.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

namespace pl = pleat;

// [own_form]
template <class T> struct power_of_two {
  using value_type = T;
  static constexpr std::string_view name = "power_of_two";
  static constexpr bool trainable = false;

  template <class Space> struct storage {
    Kokkos::View<std::int8_t*, typename Space::memory_space> codes;  // 0: zero; else sign · (exponent + 64)
  };

  template <class Space>
  static void encode(pl::context<Space>& c, pl::extents const& shape, T const* values, storage<Space>& s) {
    std::vector<T> host(static_cast<std::size_t>(shape.size()));
    pl::copy_to_host(c, pl::tensor<T, Space>::wrap(const_cast<T*>(values), shape), host.data());
    std::vector<std::int8_t> codes(host.size());
    for (std::size_t i = 0; i < host.size(); ++i) {
      int const e = host[i] == 0 ? -64 : static_cast<int>(std::lround(std::log2(std::abs(host[i]))));
      codes[i] = e <= -63 ? std::int8_t{0} : static_cast<std::int8_t>((host[i] < 0 ? -1 : 1) * (std::min(e, 62) + 64));
    }
    s.codes = decltype(s.codes)("codes", codes.size());
    pl::copy_from_host(c, codes.data(), pl::tensor<std::int8_t, Space>::wrap(s.codes.data(), shape));
  }
  template <class Space>
  static void decode(pl::context<Space>& c, pl::extents const& shape, storage<Space> const& s, T* out) {
    pl::compute::for_each(c.space(), shape.size(), decode_body{s.codes.data(), out});
  }
  template <class Space>
  static void apply(pl::context<Space>& c, pl::extents const& shape, storage<Space> const& s, pl::index_t m, T const* x,
                    T* y, pl::compute::epilogue<T> const& after) {
    // decoded into pooled memory: the simplest thing that runs
    auto const w = pl::tensor<T, Space>::allocate(c, shape);
    decode(c, shape, s, w.data());
    pl::codec::detail::apply_dense(c, shape, static_cast<T const*>(w.data()), m, x, y, after);
  }
  template <class Space>
  static void apply_transposed(pl::context<Space>& c, pl::extents const& shape, storage<Space> const& s, pl::index_t m,
                               T const* dy, T* dx, T const* mask) {
    auto const w = pl::tensor<T, Space>::allocate(c, shape);
    decode(c, shape, s, w.data());
    pl::codec::detail::apply_dense_transposed(c, shape, static_cast<T const*>(w.data()), m, dy, dx, mask);
  }
  template <class Space> static pl::index_t bytes(pl::extents const& shape, storage<Space> const&) {
    return shape.size();
  }

  struct decode_body {
    std::int8_t const* code;
    T* out;
    PLEAT_INLINE void operator()(pl::index_t i) const {
      int const c = code[i];
      out[i] = c == 0 ? T(0) : c < 0 ? -std::ldexp(T(1), -c - 64) : std::ldexp(T(1), c - 64);
    }
  };
};
// [own_form]

int main(int argc, char** argv) {
  return pl::run::launch(argc, argv, [](pl::world& world) {
    using forms = pl::codec::forms<pl::codec::dense<float>, power_of_two<float>>;
    using linear = pl::nn::linear<forms>;
    auto const data = pl::io::load_digits(PLEAT_DIGITS);
    auto net = pl::nn::sequential(pl::nn::flatten(), linear("fc1", 64, 48), pl::nn::relu(), linear("fc2", 48, 10));
    auto model = pl::parallel::build(net, pl::plan::search(net, world, {.global_batch = 32}), world);
    pl::run::fit(model, data.train,
                 {.epochs = 10, .optimizer = pl::nn::adamw{.learning_rate = 3e-3}, .progress = false});
    double const before = pl::run::evaluate(model, data.test).error();

    pl::index_t bytes_before = 0, bytes_after = 0;
    model.net().for_each_parameter([&](auto& w) {
      bytes_before += w.bytes();
      if constexpr (std::is_same_v<typename std::remove_cvref_t<decltype(w)>::forms, forms>) {
        auto& storage = w.storage_of(pl::codec::form_tag<power_of_two<float>>{});
        power_of_two<float>::encode(model.context(), w.shape, w.data(), storage);
        w.template use_form<power_of_two<float>>();
      }
      bytes_after += w.bytes();
    });
    double const after = pl::run::evaluate(model, data.test).error();
    char line[160];
    std::snprintf(line, sizeof line, "test error %.1f %% in %lld bytes, %.1f %% in %lld bytes as powers of two",
                  100 * before, static_cast<long long>(bytes_before), 100 * after, static_cast<long long>(bytes_after));
    world.say(line);
    if (after > before + 0.1) throw pl::error{"own_form", "powers of two lost more than ten points"};
  });
}
