// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "keeping.hpp"

template std::optional<std::pair<pleat::index_t, std::string>> gpt::resume<float>(std::string const&, model_of<float>&,
                                                                                  optimizer_of<float>&, card const&,
                                                                                  std::string const&);
template void gpt::keep<float>(std::string const&, model_of<float> const&, optimizer_of<float> const&, pl::index_t,
                               card const&, std::string const&);
template void gpt::write_model<float>(std::string const&, model_of<float> const&, card const&);
template void gpt::write_step_trace<float>(std::string const&, model_of<float> const&);
template std::vector<double> gpt::unit_times<float>(sizes const&, pleat::plan::plan const&, pleat::world&);
