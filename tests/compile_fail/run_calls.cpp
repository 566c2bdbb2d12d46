// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the calls of a first program say to arguments that are missing, or one too many.
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/run/fit.hpp>
#include <pleat/run/launch.hpp>

namespace pl = pleat;
using net = pl::nn::linear<>;
using model = pl::parallel::model<net>;

auto built(net const& n, pl::world& w) { return pl::parallel::build(n, {.global_batch = 64}, w); }
auto fitted(model& m, pl::io::dataset const& d, pl::run::fit_options const& o) { return pl::run::fit(m, d, o); }

#if defined(WRONG_1)
// expect: run::launch calls your function once per rank, with that rank's world
int wrong(int argc, char** argv) {
  return pl::run::launch(argc, argv, [] {});
}
#elif defined(WRONG_2)
// expect: parallel::build needs a plan between the network and the world
auto wrong(net const& n, pl::world& w) { return pl::parallel::build(n, w); }
#elif defined(WRONG_3)
// expect: run::fit takes no loss
auto wrong(model& m, pl::io::dataset const& d) {
  return pl::run::fit(m, d, {.epochs = 1}, [](auto const& y, auto const&) { return y; });
}
#elif defined(WRONG_4)
// expect: run::fit takes no loss
auto wrong(model& m, pl::io::dataset const& d) {
  return pl::run::fit(m, d, [](auto const& y, auto const&) { return y; });
}
#endif
