// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "validation.hpp"

template double gpt::validation_loss<float>(model_of<float> const&, pl::io::token_dataset const&, pl::index_t,
                                            pl::index_t);
