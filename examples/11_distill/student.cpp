// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The small network.
#include "parts.hpp"

namespace {

auto network(options const& o, pl::io::dataset const& d) {
  namespace nn = pl::nn;
  return nn::sequential(nn::linear("fc1", d.sample_size(), o.width), nn::relu(), nn::linear("fc2", o.width, o.width),
                        nn::relu(), nn::linear("fc3", o.width, d.classes));
}

}  // namespace

learned train_student(options const& o, pl::io::split const& data, std::optional<pl::compress::teacher> const& teacher,
                      pl::world& world) {
  auto const net = network(o, data.train);
  auto const plan = pl::plan::search(net, world, {.global_batch = o.batch, .deterministic = o.deterministic});
  moved_images images(data.train, o.student_move, "student's images", o.seed);
  auto student = pl::parallel::build(net, plan, world, {.seed = o.seed});
  learned l;
  if (teacher) {
    // [distill]
    pl::compress::distill const lessons(
        images.data(), {*teacher},
        {.temperature = o.temperature, .hard_weight = o.hard_weight, .fit = training(o, o.epochs, images)});
    l.seconds = lessons.fit(student).seconds;  // or: auto taught = student | lessons
    // [distill]
  } else {
    l.seconds = pl::run::fit(student, images.data(), training(o, o.epochs, images)).seconds;
  }
  l.errors = pl::run::evaluate(student, data.test).errors;
  l.parameters = parameters_of(student);
  if (teacher && !o.out.empty())
    pl::run::save(student, o.out + "/student.safetensors",
                  {"distill-student", pl::run::input_normalisation{data.train.mean, data.train.scale}, {}});
  return l;
}

pl::run::evaluation evaluate_student(options const& o, pl::io::split const& data, pl::world& world) {
  auto const net = network(o, data.test);
  auto model = pl::parallel::build(net, pl::plan::search(net, world), world);
  pl::run::load(model, o.evaluate);
  return pl::run::evaluate(model, data.test);
}
