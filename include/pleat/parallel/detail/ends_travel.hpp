// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What travels to memory that is about to go ends first.
#pragma once

namespace pleat::parallel::detail {

/// The first base of what is assigned to: what travels to memory that is about to go ends first.
template <class Model> struct ends_travel {
  ends_travel() = default;
  ends_travel(ends_travel&&) noexcept {}
  ends_travel& operator=(ends_travel&& from) noexcept {
    if (this != &from) static_cast<Model*>(this)->end_travel();
    return *this;
  }
};

}  // namespace pleat::parallel::detail
