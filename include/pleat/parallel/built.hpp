// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a plan says that must be true of the network: looked at when a model is built, never ignored. Needs no Kokkos.
#pragma once

#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/plan/plan.hpp>
#include <pleat/tensor/dtype.hpp>

namespace pleat::parallel {

/// What a network computes in is its type; the plan says it too, because bytes follow from it and every rank must mean
/// the same.
/// \param type the network's value_type
/// \throws error if they differ
PLEAT_ONCE void demand_precision(plan::plan const& p, dtype type) {
  using plan::compute_precision;
  bool const fits = p.precision == compute_precision::bf16  ? type == dtype::bf16
                    : p.precision == compute_precision::f16 ? type == dtype::f16
                                                            : type != dtype::bf16 && type != dtype::f16;
  if (fits) return;
  std::string const says = "the plan says precision = " + std::string(name_of(p.precision)) +
                           ", the network's layers are of type " + std::string(name_of(type));
  if (p.precision == compute_precision::f32)
    throw error{"parallel::build", says, "Use precision = " + std::string(type == dtype::bf16 ? "bf16" : "f16")};
  throw error{
      "parallel::build", says,
      "Make the network of pleat::" + std::string(p.precision == compute_precision::bf16 ? "bfloat16" : "half") +
          ", or use precision = f32"};
}
PLEAT_COMPILED_ONCE(void demand_precision(plan::plan const& p, dtype type));

}  // namespace pleat::parallel
