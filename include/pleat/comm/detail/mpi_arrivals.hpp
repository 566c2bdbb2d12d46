// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Who came to a collective of MPI ranks that has a time-out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/comm/detail/mpi_words.hpp>

namespace pleat::comm::detail {

/// Who has entered which timed collective: every rank tells every other by one small message.
class mpi_arrivals {
 public:
  PLEAT_ONCE explicit mpi_arrivals(MPI_Comm of);
  mpi_arrivals(mpi_arrivals const&) = delete;
  mpi_arrivals& operator=(mpi_arrivals const&) = delete;
  ~mpi_arrivals() { close(); }
  PLEAT_ONCE void close();

  /// This rank enters a timed collective. \returns its number
  PLEAT_ONCE std::int64_t announce() {
    auto const number = ++mine_;
    auto const slot = static_cast<std::size_t>(number) % window;
    auto* const first = sends_.data() + slot * static_cast<std::size_t>(size_);
    MPI_Waitall(size_, first, MPI_STATUSES_IGNORE);
    outbox_[slot] = number;
    for (int r = 0; r < size_; ++r)
      if (r != rank_) MPI_Isend(&outbox_[slot], 1, MPI_INT64_T, r, 0, comm_, first + r);
    return number;
  }
  PLEAT_ONCE void drain();
  PLEAT_ONCE [[nodiscard]] std::vector<int> absent(std::int64_t number) const {
    std::vector<int> who;
    for (int r = 0; r < size_; ++r)
      if (r != rank_ && seen_[static_cast<std::size_t>(r)] < number) who.push_back(r);
    return who;
  }

 private:
  static constexpr std::size_t window = 16;
  PLEAT_ONCE void listen(int r) {
    auto const i = static_cast<std::size_t>(r);
    MPI_Irecv(&inbox_[i], 1, MPI_INT64_T, r, 0, comm_, &receives_[i]);
  }
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 0;
  std::int64_t mine_ = 0;
  std::array<std::int64_t, window> outbox_{};
  std::vector<std::int64_t> inbox_, seen_;
  std::vector<int> done_;
  std::vector<MPI_Request> receives_, sends_;
};

template <class> mpi_arrivals::mpi_arrivals(MPI_Comm of) {
  MPI_Comm_dup(of, &comm_);
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
  auto const n = static_cast<std::size_t>(size_);
  inbox_.resize(n);
  seen_.resize(n);
  receives_.assign(n, MPI_REQUEST_NULL);
  done_.resize(n);
  sends_.assign(n * window, MPI_REQUEST_NULL);
  for (int r = 0; r < size_; ++r)
    if (r != rank_) listen(r);
}
PLEAT_COMPILED_ONCE(mpi_arrivals::mpi_arrivals(MPI_Comm of));

template <class> void mpi_arrivals::close() {
  if (mpi_is_over()) return;
  for (auto& r : receives_)
    if (r != MPI_REQUEST_NULL) {
      MPI_Cancel(&r);
      MPI_Wait(&r, MPI_STATUS_IGNORE);
    }
  for (auto& s : sends_)  // eight bytes that nobody may ever fetch: MPI keeps them, we do not wait
    if (s != MPI_REQUEST_NULL) MPI_Request_free(&s);
  MPI_Comm_free(&comm_);
}
PLEAT_COMPILED_ONCE(void mpi_arrivals::close());

template <class> void mpi_arrivals::drain() {
  int n = 0;
  MPI_Testsome(size_, receives_.data(), &n, done_.data(), MPI_STATUSES_IGNORE);
  for (int i = 0; n != MPI_UNDEFINED && i < n; ++i) {
    int const r = done_[static_cast<std::size_t>(i)];
    seen_[static_cast<std::size_t>(r)] = inbox_[static_cast<std::size_t>(r)];
    listen(r);
  }
}
PLEAT_COMPILED_ONCE(void mpi_arrivals::drain());

}  // namespace pleat::comm::detail
