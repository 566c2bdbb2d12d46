// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>

#include <pleat/compute/embedding.hpp>

#include <cmath>
#include <limits>

#include "compute/vector_support.hpp"

using namespace vector_support;
namespace compute = pleat::compute;
using compute::lanes;

namespace {

guarded<float> random_tokens(index_t rows, index_t vocabulary, std::uint64_t seed) {
  auto t = numbers<float>(rows, seed, 0, static_cast<double>(vocabulary));
  for (index_t i = 0; i < rows; ++i) t[i] = std::min(std::floor(t[i]), static_cast<float>(vocabulary - 1));
  return t;
}

/// The definition of lanes.hpp, as plain as it can be said.
guarded<float> expected(index_t vocabulary, index_t columns, guarded<float> const& tokens, guarded<float> const& dy,
                        guarded<float> const& before, lanes const& cut) {
  guarded<float> out(vocabulary * columns);
  for (index_t v = 0; v < vocabulary; ++v)
    for (index_t j = 0; j < columns; ++j) {
      std::vector<float> sums(static_cast<std::size_t>(cut.count));
      for (int l = 0; l < cut.count; ++l) {
        float s = cut.accumulate && cut.count == 1 ? before[v * columns + j] : 0;
        for (index_t r = cut.begin(l); r < cut.end(l); ++r)
          if (tokens[r] == static_cast<float>(v)) s += dy[r * columns + j];
        sums[static_cast<std::size_t>(l)] = s;
      }
      for (std::size_t n = sums.size(); n > 1; n /= 2)
        for (std::size_t l = 0; l < n / 2; ++l) sums[l] = sums[2 * l] + sums[2 * l + 1];
      out[v * columns + j] = sums[0];
    }
  return out;
}

}  // namespace

TEST_CASE("the gradient of a table follows lanes.hpp on both paths", "[compute][embedding]") {
  for (index_t const vocabulary : {1, 7, 300})
    for (index_t const columns : {1, 32, 45}) {
      index_t const rows = 96;
      auto const tokens = random_tokens(rows, vocabulary, 1);
      auto const dy = numbers<float>(rows * columns, 2);
      std::vector<lanes> cuts = {lanes::whole(rows), lanes::whole(rows, true), lanes::whole(0), lanes::whole(0, true)};
      lanes four;
      four.count = 4;
      four.row = {5, 40, 40, 90, 96};
      cuts.push_back(four);
      for (auto const& cut : cuts) {
        CAPTURE(vocabulary, columns, cut.count, cut.accumulate, cut.rows());
        auto const before = numbers<float>(vocabulary * columns, 3);
        auto const right = expected(vocabulary, columns, tokens, dy, before, cut);
        for (int threads : {1, 2}) {
          auto out = before;
          compute::embed_gradient(instance(threads), vocabulary, columns, tokens.data(), dy.data(), out.data(), cut);
          CHECK(out.same_bits(right));
          CHECK(out.intact());
        }
        auto out = before;
        compute::detail::embed_gradient_on_space(instance(2), vocabulary, columns, tokens.data(), dy.data(), out.data(),
                                                 cut);
        instance(2).fence();
        CHECK(out.same_bits(right));
      }
    }
}

TEST_CASE("tokens look rows up and positions are added", "[compute][embedding]") {
  index_t const rows = 12, columns = 33, vocabulary = 9, positions = 4;
  auto const tokens = random_tokens(rows, vocabulary, 4), table = numbers<float>(vocabulary * columns, 5),
             places = numbers<float>(positions * columns, 6);
  guarded<float> y(rows * columns), z(rows * columns);
  compute::embed(instance(1), rows, positions, columns, tokens.data(), table.data(), places.data(), y.data());
  compute::embed(instance(1), rows, positions, columns, tokens.data(), table.data(), static_cast<float const*>(nullptr),
                 z.data());
  bool same = true;
  for (index_t r = 0; r < rows; ++r)
    for (index_t j = 0; j < columns; ++j) {
      float const row = table[static_cast<index_t>(tokens[r]) * columns + j];
      same = same && y[r * columns + j] == row + places[r % positions * columns + j] && z[r * columns + j] == row;
    }
  CHECK(same);
  CHECK((y.intact() && z.intact()));
}

TEST_CASE("the first number that is no token is found", "[compute][embedding]") {
  auto tokens = random_tokens(9000, 65, 7);
  index_t at = 0;
  compute::first_bad_token(instance(2), 9000, tokens.data(), 65, &at);
  CHECK(at == compute::no_bad_label);
  for (float const bad :
       {65.0f, -1.0f, 0.5f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e38f}) {
    auto t = tokens;
    t[8765] = t[4321] = bad;
    compute::first_bad_token(instance(2), 9000, t.data(), 65, &at);
    CHECK(at == 4321);
  }
}
