// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/message_words.hpp>

#include "parallel/pipeline_training.hpp"

using namespace pipeline_training;

TEST_CASE("a place between units is said by the layers around it, whichever of them have parameters") {
  auto net = network();
  std::vector<std::string> said;
  for (index_t u = 0; u <= net.units(); ++u) said.push_back(pl::parallel::place_before_unit(net, net.units(), u));
  CHECK(said == std::vector<std::string>{"before 'fc1'", "between 'fc1' and 'square'", "between 'fc1' and 'square'",
                                         "between 'square' and 'block.0'", "between 'block.0' and 'block.1'",
                                         "between 'block.1' and 'block.2'", "between 'block.2' and 'again'",
                                         "between 'block.2' and 'again'", "between 'again' and 'last'",
                                         "behind 'last'"});
  auto nothing = pl::nn::sequential(pl::nn::relu(), pl::nn::relu());
  CHECK(pl::parallel::place_before_unit(nothing, 2, 1) == "before unit 1");
}

TEST_CASE("a message's words are the same on either side") {
  auto net = network();
  auto p = layout("1f1b", 3, 1, 4);
  p.cuts = {3, 3};  // the stage in the middle is empty
  pl::parallel::stages const where(p, pl::parallel::unit_costs(net));
  using kind = pl::plan::action_kind;
  auto const words = [&](pl::plan::action const& a) { return pl::parallel::words_of_message(net, where, a, {6, 10}); };
  CHECK(words({kind::send_activation, 1, 2, 2}) ==
        "the activation between 'square' and 'block.0' (micro-batch 2, [6, 10], stage 1 to stage 2)");
  CHECK(words({kind::receive_activation, 2, 2, 1}) == words({kind::send_activation, 1, 2, 2}));
  CHECK(words({kind::send_gradient, 1, 3, 0}) ==
        "the gradient between 'square' and 'block.0' (micro-batch 3, [6, 10], stage 1 to stage 0)");
  CHECK(words({kind::receive_gradient, 0, 3, 1}) == words({kind::send_gradient, 1, 3, 0}));
}
