// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the sources of the job share. Plain data: only the sources with a network in them include all of pleat.
#pragma once

#include <pleat/comm/world.hpp>
#include <pleat/compress/stages.hpp>
#include <pleat/io/dataset.hpp>
#include <pleat/run/reports.hpp>

#include <string>
#include <vector>

#include "../print.hpp"
#include "options.hpp"

namespace pleat::run {
struct model_description;
}
namespace pl = pleat;

pl::io::split read_data(options const& o);  // the main program reads it, once, and hands it on

// Runs the job that the options ask for, on the network that they name; one source file for each, so that they compile
// side by side.
void run_mlp(std::string const& network, pl::io::split const& data, options const& o, pl::world& world);
void run_lenet_5(std::string const& network, pl::io::split const& data, options const& o, pl::world& world);

// Every figure as JSON, into --json FILE and --out DIR/report.json.
void write_figures(std::string const& network, pl::run::fit_report const& trained,
                   std::vector<pl::compress::stage> const& stages, options const& o, pl::world const& world);
// The stages as a picture, into --out DIR/report.svg.
void write_picture(std::string const& network, std::string const& data, pl::compress::stage_list const& stages,
                   options const& o, pl::world const& world);
// On numbers that are shifted or scaled in another way than those a model was trained on, every answer would be wrong
// without a word: that is refused.
void demand_input_of(pl::run::model_description const& trained, pl::io::dataset const& data, options const& o);
// A line, and --json FILE.
void write_served(pl::run::evaluation const& e, pl::run::serve_report const& served, options const& o,
                  pl::world const& world);
