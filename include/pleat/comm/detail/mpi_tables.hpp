// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// MPI's words for element types and reductions, looked up.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include <pleat/base/config.hpp>
#include <pleat/comm/detail/mpi_words.hpp>
#include <pleat/comm/types.hpp>

namespace pleat::comm::detail {

/// One of a communicator: the reductions of half and bfloat16, which MPI does not know, are made when first asked for.
class mpi_tables {
 public:
  mpi_tables() {
    for (std::size_t t = 0; t < types_.size(); ++t) types_[t] = mpi_type(static_cast<dtype>(t));
    own_.fill(MPI_OP_NULL);
  }
  /// Before MPI ends.
  void free() noexcept {
    for (auto& op : own_)
      if (op != MPI_OP_NULL) MPI_Op_free(&op);
  }

  [[nodiscard]] MPI_Datatype type(dtype t) const noexcept { return types_[static_cast<std::size_t>(t)]; }
  /// Whether MPI has no reductions of this type.
  [[nodiscard]] static bool foreign(dtype t) noexcept { return t == dtype::f16 || t == dtype::bf16; }
  /// Of types that are not foreign.
  [[nodiscard]] MPI_Op op(reduction r) const noexcept { return mpi_[static_cast<std::size_t>(r)]; }
  /// \param rank for the words of a failure
  PLEAT_LAZY [[nodiscard]] MPI_Op op(brief c, int rank) {
    if (foreign(c.type)) [[unlikely]]
      return own(c.what(), rank);
    return op(c.op);
  }

 private:
  PLEAT_ONCE MPI_Op own(std::uint32_t what, int rank);

  std::array<MPI_Datatype, static_cast<std::size_t>(dtype::u64) + 1> types_;
  // in the order of `reduction`
  std::array<MPI_Op, 6> mpi_{MPI_SUM, MPI_MIN, MPI_MAX, MPI_PROD, MPI_BAND, MPI_BOR};
  std::array<MPI_Op, 8> own_;
};

template <class> MPI_Op mpi_tables::own(std::uint32_t what, int rank) {
  auto const c = brief::of(what, 0);
  static constexpr std::array<MPI_User_function*, 8> functions{
      mpi_combine<half, reduction::sum>,     mpi_combine<half, reduction::min>,
      mpi_combine<half, reduction::max>,     mpi_combine<half, reduction::prod>,
      mpi_combine<bfloat16, reduction::sum>, mpi_combine<bfloat16, reduction::min>,
      mpi_combine<bfloat16, reduction::max>, mpi_combine<bfloat16, reduction::prod>};
  auto const i = static_cast<std::size_t>(c.op) + (c.type == dtype::bf16 ? 4u : 0u);
  if (own_[i] == MPI_OP_NULL)
    if (int const code = MPI_Op_create(functions[i], 1, &own_[i]); code != MPI_SUCCESS)
      mpi_fail(code, std::string(name_of(c.kind)), rank);
  return own_[i];
}
PLEAT_COMPILED_ONCE(MPI_Op mpi_tables::own(std::uint32_t what, int rank));

}  // namespace pleat::comm::detail
