// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/distill.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <cmath>
#include <vector>

#include "vector_support.hpp"

namespace {

using namespace vector_support;
namespace compute = pleat::compute;

std::vector<double> softmax_of(double const* x, index_t n, double temperature) {
  double m = x[0] / temperature, s = 0;
  for (index_t j = 0; j < n; ++j) m = std::max(m, x[j] / temperature);
  std::vector<double> p(static_cast<std::size_t>(n));
  for (index_t j = 0; j < n; ++j) s += p[static_cast<std::size_t>(j)] = std::exp(x[j] / temperature - m);
  for (auto& v : p) v /= s;
  return p;
}

/// The loss as it is defined, in double.
double defined(double const* z, double const* teacher, std::int32_t label, index_t n, double temperature, double hard) {
  auto const q = softmax_of(z, n, temperature), p = softmax_of(teacher, n, temperature), one = softmax_of(z, n, 1);
  double divergence = 0;
  for (index_t j = 0; j < n; ++j)
    if (p[static_cast<std::size_t>(j)] > 0)
      divergence +=
          p[static_cast<std::size_t>(j)] * std::log(p[static_cast<std::size_t>(j)] / q[static_cast<std::size_t>(j)]);
  return (label >= 0 ? -hard * std::log(one[static_cast<std::size_t>(label)]) : 0.0) +
         (1 - hard) * temperature * temperature * divergence;
}

struct lesson {
  guarded<double> d, loss;
};
lesson taught(guarded<double> const& z, guarded<double> const& teacher, guarded<std::int32_t> const& labels,
              index_t rows, index_t classes, double temperature, double hard, double scale = 1) {
  guarded<double> p(rows * classes), work(rows * classes);
  lesson l{guarded<double>(rows * classes), guarded<double>(rows)};
  compute::soft_targets(instance(1), rows, classes, teacher.data(), temperature, 1.0, false, work.data(), p.data());
  compute::distillation(instance(1), rows, classes, z.data(), labels.data(), p.data(), temperature, hard, 1 - hard,
                        scale, l.d.data(), l.loss.data());
  CHECK((p.intact() && work.intact() && l.d.intact() && l.loss.intact()));
  return l;
}

}  // namespace

TEST_CASE("the distillation loss and its gradient are those of the definition", "[compute][distill]") {
  for (index_t const classes : {2, 10, 33})
    for (double const temperature : {0.5, 1.0, 4.0, 20.0})
      for (double const hard : {0.0, 0.1, 1.0}) {
        index_t const rows = 7;
        auto z = numbers<double>(rows * classes, 1, -5, 5);
        auto const teacher = numbers<double>(rows * classes, 2, -5, 5);
        guarded<std::int32_t> labels(rows);
        for (index_t r = 0; r < rows; ++r) labels[r] = r == 3 ? -1 : static_cast<std::int32_t>(r % classes);
        auto const got = taught(z, teacher, labels, rows, classes, temperature, hard, 0.25);
        for (index_t r = 0; r < rows; ++r) {
          double const* const t = teacher.data() + r * classes;
          double* const x = z.data() + r * classes;
          double const loss = defined(x, t, labels[r], classes, temperature, hard);
          // KL ≤ ~30 nats, rounded some tens of times
          CHECK(std::fabs(got.loss[r] - loss) <= 1e-12 * (1 + temperature * temperature * 30));
          for (index_t j = 0; j < classes; ++j) {
            // central differences: h²/6·L''' ≤ 1e-10·T², rounding 1e-16·L/h ≤ 1e-16·400·30/1e-5
            double const h = 1e-5, was = x[j];
            x[j] = was + h;
            double const up = defined(x, t, labels[r], classes, temperature, hard);
            x[j] = was - h;
            double const down = defined(x, t, labels[r], classes, temperature, hard);
            x[j] = was;
            CHECK(std::fabs(got.d[r * classes + j] - 0.25 * (up - down) / (2 * h)) <= 1e-7);
          }
        }
      }
}

TEST_CASE("at a large temperature the gradient is that of matching centred logits", "[compute][distill]") {
  index_t const classes = 10;
  auto z = numbers<double>(classes, 1, -1, 1), t = numbers<double>(classes, 2, -1, 1);
  for (auto* v : {&z, &t}) {
    double mean = 0;
    for (index_t j = 0; j < classes; ++j) mean += (*v)[j] / static_cast<double>(classes);
    for (index_t j = 0; j < classes; ++j) (*v)[j] -= mean;
  }
  guarded<std::int32_t> labels(1);
  labels[0] = 0;
  double const temperature = 1e4;
  auto const got = taught(z, t, labels, 1, classes, temperature, 0.0);
  // T·(softmax(z/T) − softmax(t/T)) = (z − t)/N + O(1/T)
  for (index_t j = 0; j < classes; ++j)
    CHECK(std::fabs(got.d[j] - (z[j] - t[j]) / static_cast<double>(classes)) <= 4 / temperature);
}

TEST_CASE("a student that agrees has no gradient; several teachers' opinions add up; threads change no bit",
          "[compute][distill]") {
  index_t const rows = 300, classes = 10;
  auto const z = numbers<float>(rows * classes, 1, -8, 8), other = numbers<float>(rows * classes, 3, -8, 8);
  guarded<std::int32_t> labels(rows);
  for (index_t r = 0; r < rows; ++r) labels[r] = -1;
  guarded<float> p(rows * classes), work(rows * classes), d(rows * classes), loss(rows), q(rows * classes);
  compute::soft_targets(instance(2), rows, classes, z.data(), 3.0f, 1.0f, false, work.data(), p.data());
  compute::distillation(instance(2), rows, classes, z.data(), labels.data(), p.data(), 3.0f, 0.5f, 0.5f, 1.0f, d.data(),
                        loss.data());
  // both sides are softmax of the same numbers, once by a product with the reciprocal and once by a division: T·2 ε
  for (index_t i = 0; i < rows * classes; ++i) CHECK(std::fabs(d[i]) <= 3 * 4 * 1.2e-7f);

  compute::soft_targets(instance(1), rows, classes, z.data(), 3.0f, 0.25f, false, work.data(), p.data());
  compute::soft_targets(instance(1), rows, classes, other.data(), 3.0f, 0.75f, true, work.data(), p.data());
  compute::soft_targets(instance(2), rows, classes, z.data(), 3.0f, 0.25f, false, work.data(), q.data());
  compute::soft_targets(instance(2), rows, classes, other.data(), 3.0f, 0.75f, true, work.data(), q.data());
  CHECK(p.same_bits(q));
  for (index_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (index_t j = 0; j < classes; ++j) sum += static_cast<double>(p[r * classes + j]);
    CHECK(std::fabs(sum - 1) <= 10 * 1.2e-7);
  }
}
