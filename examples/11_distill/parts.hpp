// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the sources of the program share.
#pragma once

#include <pleat/compress/distill.hpp>
#include <pleat/compress/remote_teacher.hpp>
#include <pleat/compress/target_cache.hpp>
#include <pleat/pleat.hpp>

#include <memory>
#include <optional>
#include <string>

#include "../print.hpp"
#include "options.hpp"

namespace pl = pleat;

// MNIST from --data, or the shipped digits; with --validation, training images are in the test images' place.
pl::io::split read_data(options const& o);

// A data set whose images are moved anew in every epoch: what `fit` looks at, and what it calls at an epoch's end.
class moved_images {
 public:
  // \param whose another name has other images
  moved_images(pl::io::dataset const& from, movement most, char const* whose, std::uint64_t seed);
  pl::io::dataset const& data() const { return most_.moves() ? moved_ : *from_; }
  void epoch(pl::index_t e);  // of those that follow, counted from 0

 private:
  pl::io::dataset const* from_;
  pl::io::dataset moved_;
  movement most_;
  std::uint64_t purpose_, seed_;
};

// fit's settings for so many epochs, with images that move on.
pl::run::fit_options training(options const& o, pl::index_t epochs, moved_images& images);

struct learned {
  pl::index_t errors = 0, parameters = 0;
  double seconds = 0;
};

// Numbers of a network; its arena is larger where parameters start at borders of their own.
pl::index_t parameters_of(auto const& model) {
  pl::index_t sum = 0;
  for (auto const& e : model.arena().entries())
    if (e.name != pl::nn::loss_entry) sum += e.shape.size();
  return sum;
}

// The teacher of this rank, trained on the ranks of `world` or loaded; the network lives in `model`.
struct trained_teacher {
  std::shared_ptr<void> model;
  std::optional<pl::compress::teacher> teacher;
  learned result;
};
trained_teacher train_teacher(options const& o, pl::io::split const& data, pl::world& world);

// A student of a teacher, or of labels alone.
learned train_student(options const& o, pl::io::split const& data, std::optional<pl::compress::teacher> const& teacher,
                      pl::world& world);
pl::run::evaluation evaluate_student(options const& o, pl::io::split const& data, pl::world& world);

struct figures {
  std::optional<learned> teacher, baseline, student;
  std::optional<pl::compress::top_scores> targets;  // without the scores
  pl::index_t test = 0, streamed = 0;
};
void write_figures(figures const& f, options const& o, pl::world const& world);
void write_evaluation(pl::run::evaluation const& e, options const& o, pl::world const& world);
