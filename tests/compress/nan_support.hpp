// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What one rank finds in its part of a weight, all have to hear: the model for it, and who heard what.
#pragma once

#include <pleat/parallel/tensor_recipe.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace compress_test {

/// f(model) on two ranks that hold half of fc1's rows and of fc2's columns each; element 5 of rank 1's part of either
/// is NaN in turn. It must throw on both, in words that name the weight and hold `of_fc1` or `of_fc2`. In the whole
/// [16, 20] of fc1 the element is in row 8, column 5 (place 165), in the whole [12, 16] of fc2 in row 0, column 13.
template <class F> void check_nan_on_one_part(std::string const& of_fc1, std::string const& of_fc2, F const& f) {
  std::pair<std::string, std::string> const expected[] = {{"fc1.weight", of_fc1}, {"fc2.weight", of_fc2}};
  for (auto const& e : expected) {
    auto const& name = e.first;
    std::vector<std::string> said(2);
    pleat::comm::run_local(2, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      w.comm.set_timeout(30);  // who was left alone says so
      pleat::plan::plan p;
      p.global_batch = 16;
      p.tensor_ranks = 2;
      namespace par = pleat::parallel;
      auto m =
          par::build(par::tensor_parallel(network(), {par::column("fc1.*"), par::row("fc2.*")}), p, w, {.seed = 3});
      if (rank == 1)
        for (auto& part : values_of(m))
          if (part.name == name) {
            part.values[5] = std::numeric_limits<float>::quiet_NaN();
            set_values(m, name, part.values);
          }
      try {
        f(m);
      } catch (pleat::error const& e) {
        said[rank] = e.what();
      }
    });
    for (auto const& s : said) {
      CHECK_THAT(s, Catch::Matchers::ContainsSubstring("'" + name + "'"));
      CHECK_THAT(s, Catch::Matchers::ContainsSubstring(e.second));
    }
  }
}

}  // namespace compress_test
