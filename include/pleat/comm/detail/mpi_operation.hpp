// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A communicator's operation that is under way in MPI: its requests, what MPI reads and writes meanwhile, and what
/// becomes of it when nobody waits for it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/comm/detail/local_core.hpp>
#include <pleat/comm/detail/mpi_words.hpp>
#include <pleat/comm/request.hpp>
#include <pleat/comm/types.hpp>

namespace pleat::comm::detail {

/// Core: mpi_core, which knows the communicator and who has not come.
template <class Core> struct mpi_operation final : pending {
  std::shared_ptr<Core> owner;  // set while under way
  call what;
  std::vector<MPI_Request> requests;
  std::vector<MPI_Status> statuses;
  std::vector<int> ints;         // counts and displacements that MPI reads until the end
  std::vector<std::byte> stage;  // where MPI forbids the overlap that the call allows
  bool over = false, lost = false;
  int code = MPI_SUCCESS;
  std::int64_t number = 0;
  double seconds = -1;

  inline void make_room(std::size_t n) {
    requests.reserve(n);
    statuses.reserve(n);
    ints.reserve(n);
    stage.reserve(1);  // of nothing, too, a byte is staged
  }
  MPI_Request* more() {
    requests.push_back(MPI_REQUEST_NULL);
    return &requests.back();
  }
  bool poll() {
    if (over) return true;
    int flag = 0;
    statuses.resize(requests.size());
    code = MPI_Testall(static_cast<int>(requests.size()), requests.data(), &flag, statuses.data());
    if (code == MPI_ERR_IN_STATUS)
      for (auto const& s : statuses)
        if (s.MPI_ERROR != MPI_SUCCESS && s.MPI_ERROR != MPI_ERR_PENDING) code = s.MPI_ERROR;
    over = flag != 0 || code != MPI_SUCCESS;
    return over;
  }
  void conclude() {
    owner->check(code, what);
    if (what.kind == call_kind::receive) {
      index_t came = 0;  // below 0: no whole number of elements
      for (auto& s : statuses) {
        int n = 0;
        MPI_Get_count(&s, mpi_type(what.out.type), &n);
        came = n == MPI_UNDEFINED || came < 0 ? -1 : came + n;
      }
      owner->check_count(what, came);
    }
    if (!stage.empty()) owner->unstage(what, stage.data());
  }
  bool test() override {
    if (!poll()) return false;
    conclude();
    return true;
  }
  void wait() override {
    if (!over && seconds < 0) {
      statuses.resize(requests.size());
      for (std::size_t i = 0; i < requests.size();
           ++i)  // Open MPI's Waitall hangs on an error where threads are multiple
        if (int const e = MPI_Wait(&requests[i], &statuses[i]); e != MPI_SUCCESS) code = e;
      over = true;
    } else if (!over) {
      wait_in_time();
    }
    conclude();
  }
  /// A receive can be taken back, and then the buffer is the caller's again.
  inline void cancel() noexcept {
    for (auto& r : requests)
      if (r != MPI_REQUEST_NULL) {
        MPI_Cancel(&r);
        MPI_Wait(&r, MPI_STATUS_IGNORE);
      }
    over = true;
  }
  inline void wait_in_time() {
    auto const limit = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    for (int i = 0; !poll(); ++i) {
      if (i < 100) continue;
      if (owner->arrivals) owner->arrivals->drain();
      std::this_thread::yield();
      if (std::chrono::steady_clock::now() < limit) continue;
      if (what.kind == call_kind::receive) cancel();
      lost = !over;
      owner->give_up(*this);
    }
  }
  /// Waits a little, unless something has been lost here before.
  [[nodiscard]] inline bool ends_soon(bool hopeless) {
    auto const limit = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    while (!poll()) {
      if (hopeless || std::chrono::steady_clock::now() > limit) return false;
      std::this_thread::yield();
    }
    return true;
  }
  void release() noexcept override {
    auto const keep = std::move(owner);
    if (!over && !lost) {
      if (mpi_is_over()) {
        lost = true;
      } else if (std::uncaught_exceptions() > 0 && what.kind == call_kind::receive) {
        cancel();
      } else if (std::uncaught_exceptions() > 0) {
        // MPI cannot take it back, and would write into memory that is about to go. The others have started it, too,
        // or will in a moment.
        lost = !ends_soon(keep->hopeless);
        keep->hopeless = keep->hopeless || lost;
      } else {
        owner = keep;
        try {
          wait();
        } catch (error const&) {  // the request's holder chose not to look
        }
        owner.reset();
      }
    }
    keep->operations.end(*this, !lost);
  }
};

}  // namespace pleat::comm::detail
