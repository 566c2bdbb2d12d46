// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <nlohmann/json.hpp>

#include <type_traits>

#include "parts.hpp"

namespace {

// The last `n` training images in the place of the test images.
void hold_out(pl::io::split& s, pl::index_t n) {
  auto& all = s.train;
  if (n >= all.size)
    throw pl::error{"--validation",
                    std::to_string(n) + " of " + std::to_string(all.size) +
                        " training images held out: nothing is left to learn from",
                    "Hold out fewer"};
  auto const part = [](auto const& values, pl::index_t from, pl::index_t to) {
    return std::remove_cvref_t<decltype(values)>(values.begin() + from, values.begin() + to);
  };
  pl::index_t const rest = all.size - n, size = all.sample_size();
  s.test = all;
  s.test.name = all.name + ", held out";
  s.test.size = n;
  s.test.pixels = part(all.pixels, rest * size, all.size * size);
  s.test.labels = part(all.labels, rest, all.size);
  all.size = rest;
  all.pixels.resize(static_cast<std::size_t>(rest * size));
  all.labels.resize(static_cast<std::size_t>(rest));
}

char const* judge(options const& o) { return o.validation > 0 ? "held-out training images" : "test images"; }

}  // namespace

// PLEAT_DIGITS is where the build found the shipped digits; an installed program is told by --data.
pl::io::split read_data(options const& o) {
  auto s = o.data.empty() ? pl::io::load_digits(PLEAT_DIGITS) : pl::io::mnist(o.data);
  if (o.validation > 0) hold_out(s, o.validation);
  return s;
}

pl::run::fit_options training(options const& o, pl::index_t epochs, moved_images& images) {
  pl::run::fit_options f;
  f.epochs = epochs;
  f.schedule = pl::nn::cosine{};
  f.optimizer = pl::nn::adamw{.learning_rate = o.learning_rate, .weight_decay = o.weight_decay};
  f.progress = !o.quiet;
  f.on_event = [&images](pl::run::event const& e) {
    if (e.what == pl::run::event::kind::epoch) images.epoch(e.epoch);
  };
  return f;
}

void write_figures(figures const& f, options const& o, pl::world const& world) {
  if (!world.root()) return;
  auto const network = [&](learned const& l) {
    return nlohmann::json{{"errors", l.errors},
                          {"test_error", static_cast<double>(l.errors) / static_cast<double>(f.test)},
                          {"parameters", l.parameters},
                          {"seconds", l.seconds}};
  };
  auto const moved = [](movement const& m) {
    return nlohmann::json{{"shift", m.shift}, {"turn", m.turn}, {"bend", m.bend}};
  };
  nlohmann::json j{{"judged_by", judge(o)},           {"samples", f.test}, {"temperature", o.temperature},
                   {"hard_weight", o.hard_weight},    {"seed", o.seed},    {"ranks", world.size()},
                   {"deterministic", o.deterministic}};
  j["moved"] = {{"teacher", moved(o.move)}, {"student", moved(o.student_move)}};
  if (f.teacher) j["teacher"] = network(*f.teacher);
  if (f.student) j["student"] = network(*f.student);
  if (f.baseline) j["baseline"] = network(*f.baseline);
  if (f.targets)
    j["targets"] = {{"top_k", f.targets->k},
                    {"classes", f.targets->classes},
                    {"dropped_mean", f.targets->dropped_mean},
                    {"dropped_max", f.targets->dropped_max}};
  if (f.streamed > 0) j["streamed"] = f.streamed;
  for (auto const& path : {o.json, o.out.empty() ? std::string() : o.out + "/report.json"})
    if (!path.empty()) pl::io::write_file(path, j.dump(2) + "\n");
}

void write_evaluation(pl::run::evaluation const& e, options const& o, pl::world const& world) {
  if (o.json.empty() || !world.root()) return;
  nlohmann::json const j{{"judged_by", judge(o)},
                         {"errors", e.errors},
                         {"test_error", e.error()},
                         {"samples", e.samples},
                         {"ranks", world.size()}};
  pl::io::write_file(o.json, j.dump(2) + "\n");
}
