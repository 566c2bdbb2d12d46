// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The bit logic of all sparse forms: compressed rows, a bit per element, N of M. Needs no Kokkos.
#pragma once

#include <pleat/codec/detail/bitmask_bits.hpp>
#include <pleat/codec/detail/compressed_rows.hpp>
#include <pleat/codec/detail/n_m_bits.hpp>
