// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Words that MPI and pleat have for the same things: errors, element types, reductions. The only door to mpi.h.
#pragma once

#include <mpi.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/comm/detail/combine.hpp>
#include <pleat/comm/types.hpp>

namespace pleat::comm::detail {

PLEAT_ONCE [[nodiscard]] bool mpi_is_over() noexcept {
  int over = 0, begun = 0;
  MPI_Initialized(&begun);
  MPI_Finalized(&over);
  return !begun || over;
}
PLEAT_COMPILED_ONCE(bool mpi_is_over() noexcept);

/// MPICH before 4.2.1 reads from the address that is MPI_IN_PLACE where the root of a blocking MPI_Reduce is not rank 0
/// and works in place.
#if defined(MPICH_NUMVERSION) && MPICH_NUMVERSION < 40201000
inline constexpr bool mpi_reduces_in_place = false;
#else
inline constexpr bool mpi_reduces_in_place = true;
#endif
/// MPICH asks MPI_COMM_WORLD's error handler, not the communicator's, where a request ends with an error.
#if defined(MPICH_NUMVERSION)
inline constexpr bool mpi_requests_fail_on_world = true;
#else
inline constexpr bool mpi_requests_fail_on_world = false;
#endif

PLEAT_ONCE [[noreturn, gnu::cold]] void mpi_fail(int code, std::string call, int rank) {
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  std::replace(text, text + length, '\n', ';');  // MPICH's stack of calls, one a line
  throw error{std::move(call), "MPI says: " + std::string(text, static_cast<std::size_t>(length)),
              "The communicator cannot be trusted any more", rank};
}

PLEAT_LAZY [[nodiscard]] inline MPI_Datatype mpi_type(dtype t) noexcept {
  switch (t) {
    case dtype::boolean:
    case dtype::u8:
      return MPI_UINT8_T;
    case dtype::i8:
      return MPI_INT8_T;
    case dtype::i16:
      return MPI_INT16_T;
    case dtype::u16:
    case dtype::f16:
    case dtype::bf16:
      return MPI_UINT16_T;
    case dtype::i32:
      return MPI_INT32_T;
    case dtype::u32:
      return MPI_UINT32_T;
    case dtype::f32:
      return MPI_FLOAT;
    case dtype::f64:
      return MPI_DOUBLE;
    case dtype::i64:
      return MPI_INT64_T;
    case dtype::u64:
      return MPI_UINT64_T;
  }
  return MPI_BYTE;
}

/// Whether a message that came is what `b` expects. Open MPI keeps the number of bytes in the status itself; asking it
/// by MPI_Get_count costs a hundredth of the shortest message.
PLEAT_LAZY [[nodiscard]] inline bool fills(MPI_Status const& s, buffer const& b,
                                           [[maybe_unused]] MPI_Datatype type) noexcept {
#if defined(OPEN_MPI)
  return s._ucount == static_cast<std::size_t>(b.bytes());
#else
  int came = 0;
  MPI_Get_count(&s, type, &came);
  return came == b.count;
#endif
}

/// MPI knows no 16-bit floats: they travel as integers and are combined two at a time in float, rounded after each.
template <class T, reduction Op> void mpi_combine(void* in, void* inout, int* count, MPI_Datatype*) {
  auto const* a = static_cast<T const*>(in);
  auto* b = static_cast<T*>(inout);
  for (int i = 0; i < *count; ++i) b[i] = T(combine<Op>(static_cast<float>(a[i]), static_cast<float>(b[i])));
}

}  // namespace pleat::comm::detail
