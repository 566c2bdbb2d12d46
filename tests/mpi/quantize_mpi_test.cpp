// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Calibration, GPTQ and training with codes on 1 to 4 MPI ranks: the bytes of one rank.
#include <support/collective.hpp>

#include <pleat/codec/blocks.hpp>
#include <pleat/comm/mpi.hpp>
#include <pleat/compress/gptq.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compress/quantize_aware.hpp>

#include <compress/compress_support.hpp>

using namespace pleat_test;
namespace shrink = pleat::compress;  // zlib has a function `compress`

namespace {

using int8 = pleat::codec::int8<float>;

/// What a model on these ranks becomes, as files; the same model type for all, so that they compile once.
std::vector<std::vector<std::byte>> images(pleat::comm::communicator ranks) {
  pleat::world w(std::move(ranks), 1);
  w.set_sink({});
  auto const train = compress_test::data(60);
  auto const model = compress_test::build(w);
  std::vector<std::vector<std::byte>> all;
  for (shrink::observer const& o : {shrink::observer(shrink::percentile{99}), shrink::observer(shrink::mean_square{}),
                                    shrink::observer(shrink::kl_divergence{})})
    all.push_back(pleat::run::file_image(
        model | shrink::quantize<int8>{.observer = o,
                                       .activations = shrink::static_activations{
                                           .data = shrink::calibration(train, 50), .observer = o, .batch = 7}}));
  all.push_back(pleat::run::file_image(model | shrink::gptq<int8>{.data = shrink::calibration(train, 50)}));
  all.push_back(pleat::run::file_image(
      model | (shrink::quantize_aware<int8>{.train = shrink::fine_tune(train, compress_test::quiet(1))} |
               shrink::quantize<int8>{})));
  return all;
}

}  // namespace

TEST_CASE("mpi: quantized models have the bytes of one rank") {
  auto const one = images(pleat::comm::communicator(pleat::comm::self{}));
  auto const here = images(pleat::comm::mpi::duplicate(MPI_COMM_WORLD));
  REQUIRE(one.size() == here.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    INFO("image " << i);
    COLLECTIVE_CHECK(one[i] == here[i]);
    COLLECTIVE_CHECK(one[i].size() > 500);
  }
}
