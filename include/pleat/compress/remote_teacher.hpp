// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A teacher on ranks of its own: students send sample numbers, scores stream back while the student computes.
///
/// The ranks of one communicator divide into students [0, students) and teachers [students, size). Student s asks teacher rank
/// students + s mod teachers. A question is two messages (how many samples; their numbers), the answer one (scores); a question of −1
/// samples is a farewell.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/comm/communicator.hpp>
#include <pleat/compress/teacher.hpp>

namespace pleat::compress {

namespace detail {
inline constexpr int question_tag = comm::user_tags - 3, samples_tag = comm::user_tags - 4, answer_tag = comm::user_tags - 5;

inline void demand_division(char const* call, comm::communicator const& all, int students) {
  if (students < 1 || students >= all.size())
    throw error{call, std::to_string(students) + " students among " + std::to_string(all.size()) + " ranks: both students and teachers need at least one"};
}
}  // namespace detail

/// The teacher as a student's rank sees it: questions go to a rank that runs `serve_students`. Training must end (or `done` be called),
/// so that the teacher's rank goes home.
/// \param all      the communicator of all ranks; it must outlive the teacher
/// \param students how many of its ranks learn, counted from 0; this is one of them
/// \param classes  scores of a sample
[[nodiscard]] inline teacher remote_teacher(comm::communicator& all, int students, index_t classes, double weight = 1) {
  detail::demand_division("compress::remote_teacher", all, students);
  if (all.rank() >= students) throw error{"compress::remote_teacher", "rank " + std::to_string(all.rank()) + " is a teacher's, students are the ranks below " + std::to_string(students)};
  if (classes < 1) throw error{"compress::remote_teacher", "a teacher of " + std::to_string(classes) + " classes"};
  struct under_way {
    std::vector<index_t> samples;
    std::vector<float> scores;
    comm::request answer;
    bool asked = false;
  };
  int const peer = students + all.rank() % (all.size() - students);
  auto const now = std::make_shared<under_way>();
  auto const announce = [&all, peer, classes, now](question const& q) {
    if (now->asked) now->answer.wait();  // nobody took the last answer
    now->samples.assign(q.samples.begin(), q.samples.end());
    now->scores.resize(q.samples.size() * static_cast<std::size_t>(classes));
    auto n = static_cast<index_t>(q.samples.size());
    all.send(std::span<index_t>(&n, 1), peer, detail::question_tag);
    now->asked = n > 0;
    if (n == 0) return;
    all.send(now->samples, peer, detail::samples_tag);
    now->answer = all.ireceive(now->scores, peer, detail::answer_tag);
  };
  teacher::source s;
  s.name = "rank " + std::to_string(peer);
  s.announce = announce;
  s.ask = [now, announce](question const& q, answer& a) {
    a = {};
    if (q.samples.empty()) return;  // announced
    if (!now->asked || !std::equal(q.samples.begin(), q.samples.end(), now->samples.begin(), now->samples.end())) announce(q);
    now->answer.wait();
    now->asked = false;
    a.scores = now->scores;
  };
  s.done = [&all, peer] {
    index_t n = -1;
    all.send(std::span<index_t>(&n, 1), peer, detail::question_tag);
  };
  return teacher(std::move(s), weight);
}

/// A teacher's rank: answers its students until each has said farewell. `from` is usually a model on this rank alone; `data` is the
/// students' data set.
/// \returns how many samples were asked for
inline index_t serve_students(teacher const& from, io::dataset const& data, comm::communicator& all, int students) {
  detail::demand_division("compress::serve_students", all, students);
  if (all.rank() < students) throw error{"compress::serve_students", "rank " + std::to_string(all.rank()) + " is a student's, teachers are the ranks from " + std::to_string(students)};
  std::vector<int> mine;
  for (int s = all.rank() - students; s < students; s += all.size() - students) mine.push_back(s);
  std::vector<index_t> samples;
  answer said;
  index_t served = 0;
  while (!mine.empty())
    for (std::size_t i = 0; i < mine.size();) {  // students learn in step, so their questions come in turn
      index_t n = 0;
      all.receive(std::span<index_t>(&n, 1), mine[i], detail::question_tag);
      if (n < 0) {
        mine.erase(mine.begin() + static_cast<std::ptrdiff_t>(i));
        continue;
      }
      if (n > 0) {
        samples.resize(static_cast<std::size_t>(n));
        all.receive(samples, mine[i], detail::samples_tag);
        from.ask({&data, samples, {}}, said);
        all.send(said.scores, mine[i], detail::answer_tag);
      }
      served += n;
      ++i;
    }
  return served;
}

}  // namespace pleat::compress
