// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A teacher on ranks of its own: students send sample numbers, scores stream back while the student computes.
///
/// The ranks of one communicator divide into students [0, students) and teachers [students, size). Student s asks
/// teacher rank students + s mod teachers. A question is two messages (how many samples; their numbers), the answer one
/// (scores); a question of −1 samples is a farewell.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <pleat/comm/communicator.hpp>
#include <pleat/compress/teacher.hpp>

namespace pleat::compress {

namespace detail {
inline constexpr int question_tag = comm::tags::questions, samples_tag = comm::tags::samples,
                     answer_tag = comm::tags::scores;

inline void demand_division(char const* call, comm::communicator const& all, int students) {
  if (students < 1 || students >= all.size())
    throw error{call,
                std::to_string(students) + " students among " + std::to_string(all.size()) +
                    " ranks: both students and teachers need at least one",
                "Start more ranks, or fewer students: the ranks that are left teach"};
}

/// A student's talk with its teacher's rank.
class conversation {
 public:
  conversation(comm::communicator& all, int peer) : all_(&all), peer_(peer) {}
  conversation(conversation const&) = delete;
  conversation& operator=(conversation const&) = delete;
  ~conversation() {
    try {
      end();
    } catch (std::exception const&) {  // the teacher has gone before
    }
  }

  /// \throws error after the farewell: nobody is there who would answer
  void announce(question const& q, index_t classes) {
    if (ended_)
      throw error{"compress::remote_teacher",
                  "the teacher on rank " + std::to_string(peer_) +
                      " has been told that nobody asks any more, and has gone home",
                  "Make a teacher for each training, and let its ranks call serve_students for each"};
    hear();  // nobody took the last answer
    samples.assign(q.samples.begin(), q.samples.end());
    scores.resize(q.samples.size() * static_cast<std::size_t>(classes * q.data->positions()));
    auto n = static_cast<index_t>(q.samples.size());
    all_->send(std::span<index_t>(&n, 1), peer_, question_tag);
    if (n == 0) return;
    all_->send(samples, peer_, samples_tag);
    under_way_ = all_->ireceive(scores, peer_, answer_tag);
    asked = true;
  }
  void hear() {
    if (std::exchange(asked, false)) under_way_.wait();
  }
  /// A farewell, once; after the answer that is still to come.
  void end() {
    if (std::exchange(ended_, true)) return;
    auto const farewell = [&] {
      index_t n = -1;
      all_->send(std::span<index_t>(&n, 1), peer_, question_tag);
    };
    try {
      hear();
    } catch (...) {  // an answer that did not come is no reason to keep the teacher
      farewell();
      throw;
    }
    farewell();
  }

  std::vector<index_t> samples;
  std::vector<float> scores;
  bool asked = false;

 private:
  comm::communicator* all_;
  int peer_;
  bool ended_ = false;
  comm::request under_way_;  // ends before what it writes to
};
}  // namespace detail

/// The teacher as a student's rank sees it: questions go to a rank that runs `serve_students`. That rank goes home
/// after `done`, which `distill` calls however training ends, also where a pipeline ends before it begins; or when the
/// last copy of this teacher goes. Asked after that it throws.
/// \param all      the communicator of all ranks; it must outlive the teacher
/// \param students how many of its ranks learn, counted from 0; this is one of them
/// \param classes  scores of a sample (of each position of a window)
[[nodiscard]] inline teacher remote_teacher(comm::communicator& all, int students, index_t classes, double weight = 1) {
  detail::demand_division("compress::remote_teacher", all, students);
  if (all.rank() >= students)
    throw error{"compress::remote_teacher",
                "rank " + std::to_string(all.rank()) + " is a teacher's, students are the ranks below " +
                    std::to_string(students),
                "Let those ranks call serve_students"};
  if (classes < 1)
    throw error{"compress::remote_teacher", "a teacher of " + std::to_string(classes) + " classes",
                "Say how many scores the teacher gives for a sample"};
  int const peer = students + all.rank() % (all.size() - students);
  auto const now = std::make_shared<detail::conversation>(all, peer);
  auto const announce = [classes, now](question const& q) { now->announce(q, classes); };
  teacher::source s;
  s.name = "rank " + std::to_string(peer);
  s.announce = announce;
  s.ask = [now, announce](question const& q, answer& a) {
    a = {};
    if (q.samples.empty()) return;  // announced
    if (!now->asked || !std::equal(q.samples.begin(), q.samples.end(), now->samples.begin(), now->samples.end()))
      announce(q);
    now->hear();
    a.scores = now->scores;
  };
  s.done = [now] { now->end(); };
  return teacher(std::move(s), weight);
}

/// A teacher's rank: answers its students in the order in which their questions come, until each has said farewell.
/// `from` is usually a model on this rank alone; `data` is the students' data set.
/// \returns how many samples were asked for
inline index_t serve_students(teacher const& from, io::dataset const& data, comm::communicator& all, int students) {
  detail::demand_division("compress::serve_students", all, students);
  if (all.rank() < students)
    throw error{"compress::serve_students",
                "rank " + std::to_string(all.rank()) + " is a student's, teachers are the ranks from " +
                    std::to_string(students),
                "Let those ranks learn: give distill a remote_teacher"};
  from.demand_alone("compress::serve_students");
  using clock = std::chrono::steady_clock;
  struct pupil {
    int rank = 0;
    bool gone = false;
    index_t n = 0;         // samples of the question that comes next
    comm::request asks{};  // posted early, so that no farewell has to wait for another student's question
  };
  std::deque<pupil> mine;  // never moves what a receive writes to
  auto const listen = [&](pupil& p) {
    p.asks = all.ireceive(std::span<index_t>(&p.n, 1), p.rank, detail::question_tag);
  };
  for (int s = all.rank() - students; s < students; s += all.size() - students) mine.push_back({s});
  for (auto& p : mine) listen(p);
  std::vector<index_t> samples;
  answer said;
  index_t served = 0;
  std::size_t left = mine.size();
  for (auto idle = clock::now(); left > 0;) {
    bool asked = false;
    for (auto& p : mine) {
      if (p.gone || !p.asks.test()) continue;
      asked = true;
      p.gone = p.n < 0;
      if (p.gone) {
        --left;
        continue;
      }
      if (p.n > 0) {
        samples.resize(static_cast<std::size_t>(p.n));
        all.receive(samples, p.rank, detail::samples_tag);
        from.ask({&data, samples, {}}, said);
        all.send(said.scores, p.rank, detail::answer_tag);
      }
      served += p.n;
      listen(p);
    }
    if (asked) {
      idle = clock::now();
    } else if (all.timeout() >= 0 && std::chrono::duration<double>(clock::now() - idle).count() > all.timeout()) {
      for (auto& p : mine)
        if (!p.gone) p.asks.wait();  // who does not come is named
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
  return served;
}

}  // namespace pleat::compress
