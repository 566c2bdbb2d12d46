// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Images moved anew in every epoch: shifted, turned, stretched, bent.
#include <array>
#include <cmath>
#include <vector>

#include "parts.hpp"

namespace {

// A field of displacements that is smooth: cubic B-splines through random heights, four intervals along each axis
// (seven pixels of MNIST's). P. Simard, D. Steinkraus, J. Platt (ICDAR 2003) smooth noise with a Gaussian of four
// pixels, which is about as wide as these splines.
constexpr int intervals = 4, points = intervals + 3;
using heights = std::array<std::array<float, points>, points>;

// The place of one row or column among the points: which four they are, and their weights.
struct place {
  std::size_t first;
  std::array<float, 4> weight;
};

std::vector<place> places(pl::index_t extent) {
  std::vector<place> all;
  for (pl::index_t i = 0; i < extent; ++i) {
    float const t = intervals * (static_cast<float>(i) + 0.5f) / static_cast<float>(extent);
    auto const first = static_cast<std::size_t>(t);
    float const f = t - static_cast<float>(first), g = 1 - f;
    all.push_back(
        {first, {g * g * g / 6, ((3 * f - 6) * f * f + 4) / 6, ((3 * g - 6) * g * g + 4) / 6, f * f * f / 6}});
  }
  return all;
}

// The heights along one row of pixels.
std::array<float, points> along(heights const& h, place const& row) {
  std::array<float, points> line{};
  for (std::size_t k = 0; k < 4; ++k)
    for (std::size_t j = 0; j < points; ++j) line[j] += row.weight[k] * h[row.first + k][j];
  return line;
}
float at(std::array<float, points> const& line, place const& column) {
  float sum = 0;
  for (std::size_t k = 0; k < 4; ++k) sum += column.weight[k] * line[column.first + k];
  return sum;
}

pl::index_t floor_of(float v) {
  auto const i = static_cast<pl::index_t>(v);
  return i - (static_cast<float>(i) > v ? 1 : 0);
}

}  // namespace

moved_images::moved_images(pl::io::dataset const& from, movement most, char const* whose, std::uint64_t seed)
    : from_(&from), most_(most), purpose_(pl::random::hash(whose)), seed_(seed) {
  if (most_.moves()) moved_ = from;
  epoch(0);
}

void moved_images::epoch(pl::index_t e) {
  if (!most_.moves()) return;
  // Keyed by (seed, epoch, sample): the same images on every rank.
  pl::random::stream const draw(seed_, purpose_ + static_cast<std::uint64_t>(e));
  pl::index_t const channels = from_->sample[0], height = from_->sample[1], width = from_->sample[2],
                    n = from_->sample_size();
  auto const rows = places(height), columns = places(width);
  auto const choices = static_cast<std::uint64_t>(2 * most_.shift + 1);
  constexpr std::uint64_t draws = 5 + 2 * points * points;
  heights down_by{}, across_by{};
  for (pl::index_t s = 0; s < from_->size; ++s) {
    auto key = draws * static_cast<std::uint64_t>(s);
    auto const shift = [&] { return static_cast<float>(static_cast<int>(draw.below(key++, choices)) - most_.shift); };
    auto const within = [&](double limit) { return static_cast<float>(limit) * (2 * draw.uniform(key++) - 1); };
    float const dy = shift(), dx = shift(), angle = within(most_.turn * 3.14159265 / 180),
                across = 1 + within(most_.turn / 100), down = 1 + within(most_.turn / 100);
    bool const bends = most_.bend > 0;
    if (bends)
      for (auto* const h : {&down_by, &across_by})
        for (auto& row : *h)
          for (auto& v : row) v = within(most_.bend);
    // Pixel (y, x) comes from (v, u): bent, turned and stretched about the centre, then shifted; between pixels by
    // proportion.
    float const cosine = std::cos(angle), sine = std::sin(angle), cy = 0.5f * static_cast<float>(height - 1),
                cx = 0.5f * static_cast<float>(width - 1);
    for (pl::index_t c = 0; c < channels; ++c) {
      std::uint8_t const* const in = from_->pixels.data() + s * n + c * height * width;
      std::uint8_t* const out = moved_.pixels.data() + s * n + c * height * width;
      auto const pixel = [&](pl::index_t i, pl::index_t j) {
        return i >= 0 && i < height && j >= 0 && j < width ? static_cast<float>(in[i * width + j]) : 0.0f;
      };
      for (pl::index_t y = 0; y < height; ++y) {
        std::array<float, points> down_here{}, across_here{};
        if (bends)
          down_here = along(down_by, rows[static_cast<std::size_t>(y)]),
          across_here = along(across_by, rows[static_cast<std::size_t>(y)]);
        for (pl::index_t x = 0; x < width; ++x) {
          float fy = static_cast<float>(y) - cy - dy, fx = static_cast<float>(x) - cx - dx;
          if (bends) {
            auto const& column = columns[static_cast<std::size_t>(x)];
            fy += at(down_here, column), fx += at(across_here, column);
          }
          float const v = (cosine * fy + sine * fx) * down + cy, u = (cosine * fx - sine * fy) * across + cx;
          auto const i = floor_of(v), j = floor_of(u);
          float const b = v - static_cast<float>(i), a = u - static_cast<float>(j);
          out[y * width + x] =
              static_cast<std::uint8_t>((1 - b) * ((1 - a) * pixel(i, j) + a * pixel(i, j + 1)) +
                                        b * ((1 - a) * pixel(i + 1, j) + a * pixel(i + 1, j + 1)) + 0.5f);
        }
      }
    }
  }
}
