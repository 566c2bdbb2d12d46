// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A student that learns from a teacher, as a program.
//
//   distill --data DIR --out out --json figures.json                the recipe: teacher 784-1200-1200-10, student 784-800-800-10
//   distill                                                         the same on the shipped digits, in seconds
//   distill --data DIR --teacher out/teacher.safetensors --top-k 5  the teacher runs once, five scores of each sample go to disk
//   mpirun -n 3 distill --data DIR --teacher-ranks 1                two ranks learn, the third streams the teacher's scores
//   distill --data DIR --evaluate out/student.safetensors           in a new process
#include "../outputs.hpp"
#include "parts.hpp"

namespace {

void say(figures const& f, options const& o, pl::world const& world) {
  auto const line = [&](char const* who, learned const& l) {
    print(world, "%-22s %5lld errors (%.2f %%)  %9lld parameters  %7.1f s", who, static_cast<long long>(l.errors),
          100.0 * static_cast<double>(l.errors) / static_cast<double>(f.test), static_cast<long long>(l.parameters),
          l.seconds);
  };
  if (o.validation > 0) {
    print(world, "judged by %lld training images that were held out, not by the test images",
          static_cast<long long>(f.test));
    if (!o.teacher.empty())
      print(world,
            "the teacher is from a file: whether it has learned from the images that are held out here, nobody knows");
  }
  if (f.teacher) line("teacher", *f.teacher);
  if (f.baseline) line("student, labels alone", *f.baseline);
  if (f.student) line("student, distilled", *f.student);
  if (f.targets)
    print(world, "targets: %lld of %lld scores kept; the others have %.3g of the probability on average, %.3g at most",
          static_cast<long long>(f.targets->k), static_cast<long long>(f.targets->classes), f.targets->dropped_mean,
          f.targets->dropped_max);
}

// Without --out targets go to where the program was started.
std::string targets_file(options const& o) { return (o.out.empty() ? "." : o.out) + "/targets.safetensors"; }

// report.json may be --json: they say the same.
std::vector<named_file> written_by(options const& o) {
  std::vector<named_file> files;
  if (o.evaluate.empty()) {
    if (o.epochs > 0) files = files_in("--out", o.out, {"student.safetensors"});
    if (o.teacher.empty() && !o.out.empty()) files.push_back({"--out", o.out + "/teacher.safetensors"});
    if (o.top_k >= 0) files.push_back({"--top-k", targets_file(o)});
  }
  files.push_back({"--json", o.json});
  return files;
}

// What the student would refuse is not heard of after the teacher's training.
void demand_lessons(options const& o, pl::io::dataset const& train) {
  if (o.top_k > train.classes)
    throw pl::error{"--top-k",
                    std::to_string(o.top_k) + " scores of each sample are asked for, a teacher of this data has " +
                        std::to_string(train.classes),
                    "Keep no more scores than there are classes, or say --top-k 0 for all"};
  if (o.epochs > 0)
    (void)pl::compress::distill(train, {pl::compress::teacher(pl::compress::teacher::source{.name = "to come"})},
                                {.temperature = o.temperature, .hard_weight = o.hard_weight});
}

// Students on the first ranks, the teacher on the last ones: each of those has a teacher of its own.
void on_two_groups(options const& o, pl::io::split const& data, pl::world& world) {
  int const students = world.size() - o.teacher_ranks;
  if (students < 1)
    throw pl::error{"--teacher-ranks",
                    std::to_string(o.teacher_ranks) + " of " + std::to_string(world.size()) +
                        " ranks teach: nobody is left to learn",
                    "Start more ranks, or let fewer teach"};
  bool const learns = world.rank() < students;
  pl::world group(world.comm.split(learns ? 0 : 1, world.rank()), world.threads);
  figures f;
  f.test = data.test.size;
  std::int64_t result[3] = {0, 0, 0};  // the teachers' first rank tells the students'
  if (learns) {
    world.comm.broadcast(std::span<std::int64_t>(result), students);
    f.teacher = learned{result[0], result[1], 0};
    auto const t = std::optional(pl::compress::remote_teacher(world.comm, students, data.train.classes));
    f.student = train_student(o, data, t, group);
  } else {
    group.set_sink({});
    auto const t = train_teacher(o, data, group);
    result[0] = t.result.errors, result[1] = t.result.parameters;
    world.comm.broadcast(std::span<std::int64_t>(result), students);
    f.streamed = pl::compress::serve_students(*t.teacher, data.train, world.comm, students);
  }
  f.streamed = world.comm.all_reduce_value(f.streamed);
  if (o.baseline && learns) f.baseline = train_student(o, data, std::nullopt, group);
  if (learns) {
    say(f, o, group);
    write_figures(f, o, group);
  }
}

void on_one_group(options const& o, pl::io::split const& data, pl::world& world) {
  auto t = train_teacher(o, data, world);
  figures f;
  f.test = data.test.size;
  f.teacher = t.result;
  auto teacher = t.teacher;
  if (o.top_k >= 0) {
    auto const path = targets_file(o);
    f.targets = pl::compress::cache_targets(*teacher, data.train, world.comm, path, o.top_k);
    f.targets->scores = {}, f.targets->labels = {}, f.targets->rest = {};
    teacher = pl::compress::cached_teacher(path, data.train);
    t.model.reset();  // it is not needed any more
  }
  if (o.baseline && o.epochs > 0) f.baseline = train_student(o, data, std::nullopt, world);
  if (o.epochs > 0) f.student = train_student(o, data, teacher, world);
  say(f, o, world);
  write_figures(f, o, world);
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  if (auto const code = parse(argc, argv, o)) return *code;
  return pl::run::launch(
      argc, argv,
      [&](pl::world& world) {
        agree_on_options(world, o.asked);
        demand_outputs(world, written_by(o), {{"--teacher", o.teacher}, {"--evaluate", o.evaluate}}, o.out);
        auto const data = read_data(o);
        if (o.evaluate.empty()) {
          demand_lessons(o, data.train);
          return o.teacher_ranks > 0 ? on_two_groups(o, data, world) : on_one_group(o, data, world);
        }
        auto const e = evaluate_student(o, data, world);
        print(world, "%s: %s %.2f %% (%lld of %lld wrong)", o.evaluate.c_str(),
              o.validation > 0 ? "error on held-out training images" : "test error", 100 * e.error(),
              static_cast<long long>(e.errors), static_cast<long long>(e.samples));
        write_evaluation(e, o, world);
      },
      {.thread_ranks = o.thread_ranks, .threads = o.threads});
}
