// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The large network: dropout and moved images keep it from learning the training set by heart.
#include "parts.hpp"

trained_teacher train_teacher(options const& o, pl::io::split const& data, pl::world& world) {
  namespace nn = pl::nn;
  auto const h = o.teacher_width;
  auto net = nn::sequential(nn::flatten(), nn::dropout("drop0", o.input_dropout),
                            nn::linear("fc1", data.train.sample_size(), h), nn::relu(), nn::dropout("drop1", o.dropout),
                            nn::linear("fc2", h, h), nn::relu(), nn::dropout("drop2", o.dropout),
                            nn::linear("fc3", h, data.train.classes));
  using model = pl::parallel::model<decltype(net)>;
  auto const plan = pl::plan::search(net, world, {.global_batch = o.batch, .deterministic = o.deterministic});
  auto const m = std::make_shared<model>(pl::parallel::build(net, plan, world, {.seed = o.seed}));
  trained_teacher t;
  if (o.teacher.empty()) {
    moved_images images(data.train, o.move, "teacher's images", o.seed);
    t.result.seconds = pl::run::fit(*m, images.data(), training(o, o.teacher_epochs, images)).seconds;
    if (!o.out.empty())
      pl::run::save(*m, o.out + "/teacher.safetensors",
                    {"distill-teacher", pl::run::input_normalisation{data.train.mean, data.train.scale}, {}});
  } else {
    pl::run::load(*m, o.teacher);
  }
  t.result.errors = pl::run::evaluate(*m, data.test).errors;
  t.result.parameters = parameters_of(*m);
  t.teacher.emplace(*m);
  t.model = m;
  return t;
}
