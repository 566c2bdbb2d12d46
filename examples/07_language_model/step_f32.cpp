// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "stepping.hpp"

template gpt::step_result gpt::train_step<float>(model_of<float>&, window_source<model_of<float>>&,
                                                 optimizer_of<float>&, pl::index_t, double, double);
