// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <nlohmann/json.hpp>

#include <cmath>

#include "parts.hpp"

// PLEAT_DIGITS is where the build found the shipped digits; an installed program is told by --data.
pl::io::split read_data(options const& o) { return o.data.empty() ? pl::io::load_digits(PLEAT_DIGITS) : pl::io::mnist(o.data); }

moved_images::moved_images(pl::io::dataset const& from, int most, double turn, std::uint64_t seed) : from_(&from), most_(most), turn_(turn), seed_(seed) {
  if (moves()) moved_ = from;
  epoch(0);
}

void moved_images::epoch(pl::index_t e) {
  if (!moves()) return;
  // Keyed by (seed, epoch, sample): the same images on every rank.
  pl::random::stream const draw(seed_, pl::random::hash("examples::moved_images") + static_cast<std::uint64_t>(e));
  pl::index_t const channels = from_->sample[0], height = from_->sample[1], width = from_->sample[2], n = from_->sample_size();
  auto const choices = static_cast<std::uint64_t>(2 * most_ + 1);
  for (pl::index_t s = 0; s < from_->size; ++s) {
    auto const key = static_cast<std::uint64_t>(8 * s);
    auto const shift = [&](std::uint64_t i) { return static_cast<float>(static_cast<int>(draw.below(key + i, choices)) - most_); };
    auto const within = [&](std::uint64_t i, double limit) { return static_cast<float>(limit) * (2 * draw.uniform(key + i) - 1); };
    float const dy = shift(0), dx = shift(1), angle = within(2, turn_ * 3.14159265 / 180), across = 1 + within(3, turn_ / 100), down = 1 + within(4, turn_ / 100);
    // Pixel (y, x) comes from (v, u): turned and stretched about the centre, then shifted; between pixels by proportion.
    float const cosine = std::cos(angle), sine = std::sin(angle), cy = 0.5f * static_cast<float>(height - 1), cx = 0.5f * static_cast<float>(width - 1);
    for (pl::index_t c = 0; c < channels; ++c) {
      std::uint8_t const* const in = from_->pixels.data() + s * n + c * height * width;
      std::uint8_t* const out = moved_.pixels.data() + s * n + c * height * width;
      for (pl::index_t y = 0; y < height; ++y)
        for (pl::index_t x = 0; x < width; ++x) {
          float const fy = static_cast<float>(y) - cy - dy, fx = static_cast<float>(x) - cx - dx;
          float const v = (cosine * fy + sine * fx) * down + cy, u = (cosine * fx - sine * fy) * across + cx;
          float const v0 = std::floor(v), u0 = std::floor(u), b = v - v0, a = u - u0;
          auto const at = [&](pl::index_t i, pl::index_t j) { return i >= 0 && i < height && j >= 0 && j < width ? static_cast<float>(in[i * width + j]) : 0.0f; };
          auto const i = static_cast<pl::index_t>(v0), j = static_cast<pl::index_t>(u0);
          out[y * width + x] = static_cast<std::uint8_t>((1 - b) * ((1 - a) * at(i, j) + a * at(i, j + 1)) + b * ((1 - a) * at(i + 1, j) + a * at(i + 1, j + 1)) + 0.5f);
        }
    }
  }
}

pl::run::fit_options training(options const& o, pl::index_t epochs, moved_images& images) {
  pl::run::fit_options f;
  f.epochs = epochs;
  f.schedule = pl::nn::cosine{};
  f.optimizer = pl::nn::adamw{.learning_rate = o.learning_rate};
  f.progress = !o.quiet;
  f.on_event = [&images](pl::run::event const& e) {
    if (e.what == pl::run::event::kind::epoch) images.epoch(e.epoch);
  };
  return f;
}

void write_figures(figures const& f, options const& o, pl::world const& world) {
  if (!world.root()) return;
  auto const network = [&](learned const& l) {
    return nlohmann::json{{"errors", l.errors}, {"test_error", static_cast<double>(l.errors) / static_cast<double>(f.test)}, {"parameters", l.parameters}, {"seconds", l.seconds}};
  };
  nlohmann::json j{{"student", network(f.student)}, {"samples", f.test}, {"temperature", o.temperature}, {"hard_weight", o.hard_weight}, {"seed", o.seed}, {"ranks", world.size()}, {"deterministic", o.deterministic}};
  if (f.teacher) j["teacher"] = network(*f.teacher);
  if (f.baseline) j["baseline"] = network(*f.baseline);
  if (f.targets) j["targets"] = {{"top_k", f.targets->k}, {"classes", f.targets->classes}, {"dropped_mean", f.targets->dropped_mean}, {"dropped_max", f.targets->dropped_max}};
  if (f.streamed > 0) j["streamed"] = f.streamed;
  for (auto const& path : {o.json, o.out.empty() ? std::string() : o.out + "/report.json"})
    if (!path.empty()) pl::io::write_file(path, j.dump(2) + "\n");
}

void write_evaluation(pl::run::evaluation const& e, options const& o, pl::world const& world) {
  if (o.json.empty() || !world.root()) return;
  nlohmann::json const j{{"errors", e.errors}, {"test_error", e.error()}, {"samples", e.samples}, {"ranks", world.size()}};
  pl::io::write_file(o.json, j.dump(2) + "\n");
}
