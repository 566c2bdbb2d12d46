// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "options.hpp"

#include "../command_line.hpp"

std::optional<int> parse(int argc, char** argv, options& o) {
  CLI::App app(
      "Trains a large network, then a small one on what the large one says. The settings are the recipe of "
      "docs/distillation.md, for MNIST; the "
      "shipped digits fill their 8x8 pixels, and are not moved unless you say so.");
  app.add_option("--out", o.out,
                 "folder for teacher.safetensors, student.safetensors, report.json and the targets of --top-k")
      ->check(command_line::not_empty());
  app.add_option("--teacher", o.teacher, "load this teacher instead of training one")->check(command_line::not_empty());
  app.add_option("--evaluate", o.evaluate, "load this student and evaluate it, nothing else")
      ->check(command_line::not_empty());
  app.add_option("--teacher-epochs", o.teacher_epochs)->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--epochs", o.epochs, "of the student; 0: the teacher alone")
      ->check(CLI::Range(0, 100000))
      ->capture_default_str();
  app.add_option("--teacher-width", o.teacher_width, "units in each of the teacher's two hidden layers")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--width", o.width, "units in each of the student's two hidden layers")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--temperature", o.temperature, "of the soft targets")
      ->check(command_line::positive())
      ->capture_default_str();
  app.add_option("--hard-weight", o.hard_weight, "of the labels; the soft targets get the rest")
      ->check(command_line::number(0, 1))
      ->capture_default_str();
  app.add_option("--learning-rate", o.learning_rate)->check(command_line::positive())->capture_default_str();
  app.add_option("--weight-decay", o.weight_decay)->check(command_line::not_negative())->capture_default_str();
  app.add_option("--dropout", o.dropout, "of the teacher's hidden units")
      ->check(command_line::number(0.0, 0.99))
      ->capture_default_str();
  app.add_option("--input-dropout", o.input_dropout, "of the teacher's inputs")
      ->check(command_line::number(0.0, 0.99))
      ->capture_default_str();
  app.add_option("--shift", o.move.shift, "the teacher's images are moved by up to so many pixels, anew in every epoch")
      ->check(CLI::Range(0, 8))
      ->capture_default_str();
  app.add_option("--turn", o.move.turn, "and turned by up to so many degrees, and stretched by as many per cent")
      ->check(command_line::number(0.0, 45.0))
      ->capture_default_str();
  app.add_option(
         "--bend", o.move.bend,
         "and bent: points a quarter of an image apart move by up to so many pixels, those between follow smoothly")
      ->check(command_line::number(0.0, 8.0))
      ->capture_default_str();
  app.add_option("--student-bend", o.student_move.bend,
                 "the student's images too (0 with --top-k and --teacher-ranks, which look at images as they are)")
      ->check(command_line::number(0.0, 8.0))
      ->capture_default_str();
  app.add_option("--student-turn", o.student_move.turn, "the student's images too (0 with those)")
      ->check(command_line::number(0.0, 45.0))
      ->capture_default_str();
  app.add_option("--student-shift", o.student_move.shift,
                 "the student's images too (0 with those); the teacher looks at the moved ones")
      ->check(CLI::Range(0, 8))
      ->capture_default_str();
  app.add_option("--top-k", o.top_k,
                 "the teacher runs once: the k largest scores of each sample go to disk (0: all), and the student "
                 "learns from there")
      ->check(CLI::Range(0, 1000000));
  app.add_option("--teacher-ranks", o.teacher_ranks,
                 "this many ranks, the last ones, hold the teacher and stream its scores to the others")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  app.add_option("--validation", o.validation,
                 "hold out so many training images, the last ones, and judge by them in place of the test images: for "
                 "choosing settings")
      ->check(CLI::Range(0, 1000000));
  app.add_flag("--baseline", o.baseline, "train the same student without a teacher too, for comparison");
  command_line::add_common(app, o);
  return command_line::parse(app, argc, argv, [&] {
    auto const still = [&](bool where, char const* option, auto& most) {
      if (where && app.count(option) == 0) most = 0;
    };
    bool const small = o.data.empty(), as_they_are = small || o.top_k >= 0 || o.teacher_ranks > 0;
    still(small, "--shift", o.move.shift), still(small, "--turn", o.move.turn), still(small, "--bend", o.move.bend);
    still(as_they_are, "--student-shift", o.student_move.shift),
        still(as_they_are, "--student-turn", o.student_move.turn),
        still(as_they_are, "--student-bend", o.student_move.bend);
    bool const moved = o.student_move.moves();
    if (moved && o.top_k >= 0)
      throw CLI::ValidationError(
          "--top-k holds scores of images as they are: it needs --student-shift 0, --student-turn 0 and --student-bend "
          "0");
    if (moved && o.teacher_ranks > 0)
      throw CLI::ValidationError(
          "--teacher-ranks look at images as they are: they need --student-shift 0, --student-turn 0 and "
          "--student-bend 0");
    if (o.epochs == 0 && o.teacher_ranks > 0)
      throw CLI::ValidationError("--teacher-ranks needs a student that learns: --epochs above 0");
    if (o.teacher_ranks > 0 && o.top_k >= 0)
      throw CLI::ValidationError("--teacher-ranks and --top-k are two ways to reach the teacher: choose one");
  });
}
