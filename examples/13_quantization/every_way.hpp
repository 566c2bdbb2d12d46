// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Training, and every way of quantizing what was trained, for one network type.
#pragma once

#include <pleat/codec/blocks.hpp>
#include <pleat/compress/gptq.hpp>
#include <pleat/compress/quantize_aware.hpp>

#include <iostream>

#include "../10_deep_compression/networks.hpp"
#include "options.hpp"

namespace shrink = pleat::compress;

template <class Net> bool divided_by_32(Net const& net) {
  bool any = false;
  pl::nn::for_each_parameter(net, [&](pl::nn::parameter const& w) {
    any = any || (w.shape.rank() >= 2 && pl::codec::columns_of(w.shape) % 32 == 0);
  });
  return any;
}

template <class Net> void every_way(Net net, options const& o, pl::world& world) {
  using int8 = pl::codec::int8<float>;
  using four = pl::codec::int4<float, 32>;
  auto const data = o.data.empty() ? pl::io::load_digits(PLEAT_DIGITS) : pl::io::mnist(o.data);
  pl::run::fit_options training;
  training.epochs = o.epochs;
  training.schedule = pl::nn::cosine{};
  training.optimizer = pl::nn::adamw{.learning_rate = 2e-3, .weight_decay = 0.1};
  training.progress = !o.quiet;
  auto model = pl::parallel::build(net, pl::plan::search(net, world, {.global_batch = 64, .deterministic = true}),
                                   world, {.seed = o.seed});
  pl::run::fit(model, data.train, training);
  auto again = training;  // for training with codes
  again.epochs = std::max<pl::index_t>(1, o.epochs / 4);
  again.optimizer = pl::nn::adamw{.learning_rate = 4e-4, .weight_decay = 0.1};

  // [quantization]
  shrink::calibration const some(data.train, o.samples);
  shrink::stage_list table;
  table.add(shrink::measure("float", model, data.test));
  auto const row = [&](std::string name, auto const& transform) {
    table.add(shrink::measure(std::move(name), model | transform, data.test));
  };
  row("int8", shrink::quantize<int8>{});
  row("int8, rows by mean-square", shrink::quantize<int8>{.observer = shrink::mean_square{}});
  for (shrink::observer const& ranges : {shrink::observer(shrink::min_max{}), shrink::observer(shrink::percentile{}),
                                         shrink::observer(shrink::kl_divergence{})})
    row("int8, static by " + shrink::name_of(ranges),
        shrink::quantize<int8>{.activations = shrink::static_activations{.data = some, .observer = ranges}});
  row("int8, gptq", shrink::gptq<int8>{.data = some});
  row("int8, trained",
      shrink::quantize_aware<int8>{.train = shrink::fine_tune(data.train, again)} | shrink::quantize<int8>{});
  if (!divided_by_32(net)) world.say("no columns are a multiple of 32: no rows in 4 bits");
  else {  // four bits where groups of 32 divide the columns, eight elsewhere
    auto const next = shrink::misfit::next;
    row("int4/int8", shrink::quantize<four, int8>{.misfit = next});
    row("int4/int8, gptq", shrink::gptq<four, int8>{.data = some, .misfit = next});
    row("int4/int8, trained",
        shrink::quantize_aware<four>{.train = shrink::fine_tune(data.train, again), .misfit = shrink::misfit::ignore} |
            shrink::quantize<four, int8>{.misfit = next});
  }
  // [quantization]
  if (world.root()) table.print(std::cout);
  if (world.root() && !o.json.empty()) table.write_json(o.json);
}
