// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// One round of everything that a training step may ask of a communicator, blocking and as requests. Buffers are made
/// once.
#pragma once

#include <span>
#include <vector>

#include <pleat/comm/communicator.hpp>

namespace pleat_test {

using namespace pleat;

class steady_round {
 public:
  explicit steady_round(comm::communicator& c)
      : c_(c),
        p_(static_cast<std::size_t>(c.size())),
        counts_(p_, n),
        wide_(n * p_, 1.0f),
        narrow_(n, 1.0f),
        out_(n * p_),
        sixteen_(n) {}

  void blocking() {
    c_.barrier();
    c_.broadcast(narrow_);
    c_.all_reduce(narrow_);
    c_.all_reduce(sixteen_);
    c_.reduce(narrow_, std::span(out_).first(n));
    c_.reduce_scatter(wide_, std::span(out_).first(n));
    c_.reduce_scatter_v(wide_, std::span(out_).first(n), counts_);
    c_.all_gather(narrow_, out_);
    c_.all_gather_v(narrow_, out_, {counts_, {}});
    c_.all_to_all(wide_, out_);
    c_.all_to_all_v(wide_, {counts_, {}}, out_, {counts_, {}});
    auto r = c_.ireceive(std::span(out_).first(n), left(), 3);
    c_.send(narrow_, right(), 3);
    r.wait();
  }
  void requests() {
    c_.ibarrier().wait();
    auto a = c_.iall_reduce(narrow_);
    auto b = c_.ireduce_scatter(wide_, std::span(out_).first(n));
    c_.progress();
    (void)a.test();
    b.wait();
    a.wait();
    c_.ibroadcast(narrow_).wait();
    c_.iall_gather(narrow_, out_).wait();
    c_.iall_gather_v(narrow_, out_, {counts_, {}}).wait();
    c_.iall_to_all_v(wide_, {counts_, {}}, out_, {counts_, {}}).wait();
    auto r = c_.ireceive(std::span(out_).first(n), left(), 4);
    auto s = c_.isend(narrow_, right(), 4);
    r.wait();
    s.wait();
  }

 private:
  static constexpr index_t n = 16;
  int right() const { return (c_.rank() + 1) % c_.size(); }
  int left() const { return (c_.rank() + c_.size() - 1) % c_.size(); }
  comm::communicator& c_;
  std::size_t p_;
  std::vector<index_t> counts_;
  std::vector<float> wide_, narrow_, out_;
  std::vector<half> sixteen_;
};

}  // namespace pleat_test
