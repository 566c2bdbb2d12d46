// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Pipeline schedules as data: makes one or reads a table, checks it, simulates a step, prints and draws who computes
// what when.
//
//   schedule --kind zb-h1 --stages 4 --micro-batches 8                    figures and a drawing in letters
//   schedule --kind 1f1b --stages 4 --micro-batches 8 --svg 1f1b.svg      a picture
//   schedule --kind zb-v --stages 4 --micro-batches 8 --csv zb-v.csv      the lists as a table
//   schedule --check mine.csv                                             a schedule of one's own
#include <pleat/plan/schedule_check.hpp>
#include <pleat/plan/schedule_csv.hpp>
#include <pleat/plan/schedule_passes.hpp>
#include <pleat/plan/schedule_picture.hpp>
#include <pleat/plan/schedules.hpp>
#include <pleat/plan/simulate.hpp>

#include "../command_line.hpp"
#include "../other_files.hpp"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

namespace pl = pleat;
namespace plan = pleat::plan;

namespace {

struct options {
  std::string kind = "1f1b", check, csv, svg, json;
  pl::index_t stages = 4, micro_batches = 8, chunks = 0, max_activations = 0;
  std::vector<double> times{1, 1, 1};
  double latency = 0;
  bool messages = false, blocking = false, any_weight_order = false;
};

std::string read_file(std::string const& path) {
  if (std::filesystem::is_directory(path))
    throw pl::error{"schedule", "'" + path + "' is a folder", "Name a table in it"};
  std::ifstream file(path, std::ios::binary);
  if (!file) throw pl::error{"schedule", "cannot read '" + path + "'", "Name a table that is there and may be read"};
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(std::string const& path, std::string const& text) {
  std::ofstream file(path, std::ios::binary);
  if (!(file << text) || !file.flush())
    throw pl::error{"schedule", "cannot write '" + path + "'",
                    "Name a file in a folder that is there, on a disk with room"};
}

/// The most stages that one rank has.
pl::index_t chunks_of(plan::schedule const& s) {
  std::size_t most = 1;
  for (pl::index_t r = 0; r < s.ranks(); ++r) most = std::max(most, s.stages_of(r).size());
  return static_cast<pl::index_t>(most);
}

nlohmann::json figures(plan::schedule const& s, plan::figures const& f, std::string const& name, double chunks) {
  auto peaks = nlohmann::json::array(), pieces = nlohmann::json::array(), busy = nlohmann::json::array();
  for (auto const& r : f.ranks) {
    pieces.push_back(r.peak_activations);
    double const whole = static_cast<double>(r.peak_activations) / chunks;
    if (whole == std::floor(whole)) peaks.push_back(static_cast<pl::index_t>(whole));
    else peaks.push_back(whole);
    busy.push_back(r.busy);
  }
  return {{"kind", name},
          {"stages", s.ranks()},
          {"micro_batches", s.micro_batches},
          {"chunks", static_cast<pl::index_t>(chunks)},
          {"makespan", f.makespan},
          {"period", f.period},
          {"idle_share", f.idle_share},
          {"idle_share_of_makespan", f.idle_share_of_makespan},
          {"peak_activations", peaks},
          {"peak_activations_of_chunks", pieces},
          {"messages", f.messages},
          {"busy", busy}};
}

int run(options const& o, bool checking) {
  demand_other_files({{"--csv", o.csv}, {"--svg", o.svg}, {"--json", o.json}}, {{"--check", o.check}});
  // pieces of work, forward and backward, that are checked and drawn within seconds
  constexpr pl::index_t most = 1 << 17;
  pl::index_t const pieces = o.stages * o.micro_batches * std::max<pl::index_t>(o.chunks, 1);
  if (!checking && pieces > most)
    throw pl::error{"schedule",
                    std::to_string(o.stages) + " stages x " + std::to_string(o.micro_batches) + " micro-batches" +
                        (o.chunks > 1 ? " x " + std::to_string(o.chunks) + " chunks" : "") + " are more than " +
                        std::to_string(most) + ", which this program makes",
                    pieces / o.micro_batches > most
                        ? "Use fewer stages or chunks"
                        : "A step of fewer micro-batches looks alike: use --micro-batches " +
                              std::to_string(std::max<pl::index_t>(1, o.micro_batches / (pieces / most + 1)))};
  auto s = checking ? plan::parse_schedule(read_file(o.check))
                    : plan::make_schedule(plan::parse_schedule_kind(o.kind), o.stages, o.micro_batches, o.chunks);
  std::string const name = checking ? o.check : o.kind;
  plan::check_options const demands{.ascending_weights = !o.any_weight_order, .max_activations = o.max_activations};
  plan::check(s, demands);
  if (!s.communicates() && (o.messages || o.blocking)) {
    s = plan::with_messages(s);
    plan::check(s, demands);
  }

  // Times are of a rank's whole share of the network; a chunk takes its part. Whole numbers are simulated, so that
  // figures stay exact.
  auto const chunks = static_cast<double>(chunks_of(s));
  auto step =
      plan::simulate(s, {.forward = {o.times[0]}, .backward_input = {o.times[1]}, .backward_weight = {o.times[2]}},
                     {.latency = o.latency * chunks, .blocking = o.blocking});
  for (auto* lists : {&step.start, &step.end})
    for (auto& list : *lists)
      for (auto& t : list) t /= chunks;
  auto& f = step.result;
  f.makespan /= chunks, f.period /= chunks;
  for (auto& r : f.ranks) r.start /= chunks, r.end /= chunks, r.busy /= chunks;

  auto const json = figures(s, f, name, chunks);
  if (!o.csv.empty()) write_file(o.csv, plan::to_csv(s));
  if (!o.svg.empty())
    write_file(o.svg, plan::draw_svg(
                          s, step,
                          name + ": " + std::to_string(s.ranks()) + " ranks, " + std::to_string(s.micro_batches) +
                              " micro-batches" +
                              (chunks > 1 ? ", " + std::to_string(static_cast<int>(chunks)) + " chunks each" : "")));
  if (!o.json.empty()) write_file(o.json, json.dump(2) + "\n");
  if (checking) std::cout << name << ": complete, in order, free of deadlock\n";
  std::cout << plan::draw_text(s, step);
  for (char const* key : {"makespan", "period", "idle_share", "peak_activations", "messages"})
    std::printf("%-18s%s\n", key, json.at(key).dump().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("Makes, checks, simulates and draws a pipeline schedule.");
  std::vector<std::string> const kinds(plan::schedule_names.begin(), plan::schedule_names.end());
  auto* const kind = app.add_option("--kind", o.kind)->check(CLI::IsMember(kinds))->capture_default_str();
  auto* const stages =
      app.add_option("--stages", o.stages, "ranks of the pipeline")->check(CLI::Range(1, 4096))->capture_default_str();
  auto* const micro_batches =
      app.add_option("--micro-batches", o.micro_batches)->check(CLI::Range(1, 1000000))->capture_default_str();
  auto* const chunks =
      app.add_option("--chunks", o.chunks, "stages per rank (interleaved; default 2)")->check(CLI::Range(1, 1024));
  app.add_option("--times", o.times,
                 "f,b,w: what forward, the input half and the weight half of backward take on a rank; a whole backward "
                 "takes b + w, a chunk its part")
      ->delimiter(',')
      ->expected(3)
      ->check(command_line::number(0, 1e9))
      ->default_str("1,1,1");
  app.add_option("--latency", o.latency, "what a message takes")
      ->check(command_line::number(0, 1e9))
      ->capture_default_str();
  app.add_flag("--messages", o.messages, "add sends and receives to the lists");
  app.add_flag("--blocking", o.blocking, "sends wait for their receives");
  app.add_option("--max-activations", o.max_activations, "refuse a schedule with more in flight on a rank")
      ->check(CLI::Range(1, 1000000000));
  app.add_flag("--any-weight-order", o.any_weight_order, "weight work need not ascend in micro-batch");
  auto* const check = app.add_option("--check", o.check,
                                     "a table to check instead: a row per rank, a cell per action, as --csv writes it");
  for (auto* const made : {kind, stages, micro_batches, chunks}) check->excludes(made);  // the table says all of them
  app.add_option("--csv", o.csv, "file for the lists");
  app.add_option("--svg", o.svg, "file for the picture");
  app.add_option("--json", o.json, "file for the figures");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(o, check->count() > 0);
  } catch (std::exception const& e) {
    std::cerr << e.what() << "\n";
    return 1;
  }
}
