// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts.hpp"

// PLEAT_DIGITS is where the build found the shipped digits; an installed program is told by --data.
pl::io::split read_data(options const& o) {
  return o.data.empty() ? pl::io::load_digits(PLEAT_DIGITS) : pl::io::mnist(o.data);
}

pl::io::dataset with_shifts(pl::io::dataset const& d, int shift) {
  pl::io::dataset all = d;
  pl::index_t const height = d.sample[1], width = d.sample[2], n = height * width;
  if (d.sample[0] != 1 || shift == 0) return all;
  for (int dy = -1; dy <= 1; ++dy)
    for (int dx = -1; dx <= 1; ++dx) {
      if ((dx == 0) == (dy == 0)) continue;  // up, down, left, right
      for (pl::index_t s = 0; s < d.size; ++s) {
        std::uint8_t const* const from = d.pixels.data() + s * n;
        for (pl::index_t y = 0; y < height; ++y)
          for (pl::index_t x = 0; x < width; ++x) {
            pl::index_t const v = y - dy * shift, u = x - dx * shift;
            all.pixels.push_back(v >= 0 && v < height && u >= 0 && u < width ? from[v * width + u] : std::uint8_t{0});
          }
      }
      all.labels.insert(all.labels.end(), d.labels.begin(), d.labels.end());
      all.size += d.size;
    }
  return all;
}

void write_figures(figures const& f, options const& o, pl::world const& world) {
  if (!world.root()) return;
  nlohmann::json j{{"network", f.network},
                   {"seed", o.seed},
                   {"error_before", f.error_before},
                   {"error_after", f.error_after},
                   {"bytes_before", f.bytes_before},
                   {"bytes_after", f.bytes_after},
                   {"ratio", f.ratio()},
                   {"seconds", f.seconds},
                   {"ranks", world.size()},
                   {"process", ::getpid()},
                   {"evaluation", nlohmann::json::parse(f.evaluation)},
                   {"deterministic", o.deterministic},
                   {"stages", nlohmann::json::parse(pl::compress::stage_list(f.stages).json())},
                   {"layers", nlohmann::json::array()}};
  for (auto const& l : f.layers)
    j["layers"].push_back(
        {{"name", l.name}, {"elements", l.elements}, {"kept", l.kept}, {"num_bits", l.num_bits}, {"bytes", l.bytes}});
  for (auto const& path : {o.json, o.out.empty() ? std::string() : o.out + "/report.json"})
    if (!path.empty()) pl::io::write_file(path, j.dump(2) + "\n");
}

void write_evaluation(pl::run::evaluation const& e, options const& o, pl::world const& world) {
  if (o.json.empty() || !world.root()) return;
  nlohmann::json const j{{"error_after", e.error()},
                         {"errors", e.errors},
                         {"samples", e.samples},
                         {"ranks", world.size()},
                         {"process", ::getpid()}};
  pl::io::write_file(o.json, j.dump(2) + "\n");
}

namespace {

// A launcher tells its ranks in the environment that they are ranks. The new process is none.
bool from_launcher(std::string_view variable) {
  if (variable.starts_with("OMPI_ALLOW_RUN_AS_ROOT")) return false;
  for (auto const* prefix : {"OMPI_", "ORTE_", "PRTE_", "OPAL_", "PMIX_", "PMI_", "HYDI_", "MPI_LOCAL", "SLURM_"})
    if (variable.starts_with(prefix)) return true;
  return false;
}

// Runs a program to its end. \throws pl::error if it cannot be started or does not end with 0
void run_alone(std::vector<std::string> words) {
  std::string const call = "a new process of " + words.front();
  std::vector<char*> arguments, environment;
  for (auto& w : words) arguments.push_back(w.data());
  for (char** v = environ; *v; ++v)
    if (!from_launcher(*v)) environment.push_back(*v);
  arguments.push_back(nullptr), environment.push_back(nullptr);
  std::cout.flush();
  std::fflush(nullptr);
  pid_t child = 0;
  int const failed = ::posix_spawnp(&child, arguments.front(), nullptr, nullptr, arguments.data(), environment.data());
  if (failed)
    throw pl::error{call, std::string("it cannot be started: ") + std::strerror(failed),
                    "Start this program by a path that leads to it"};
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw pl::error{call,
                    WIFEXITED(status) ? "it ended with the status " + std::to_string(WEXITSTATUS(status))
                                      : "signal " + std::to_string(WTERMSIG(status)) + " ended it",
                    "What it said before says why"};
}

}  // namespace

std::string compressed_file(options const& o, std::string const& network) {
  return o.out.empty() ? "deep_compression-" + network + ".safetensors" : o.out + "/compressed.safetensors";
}
std::string evaluation_file(std::string const& path) {
  return std::filesystem::path(path).replace_extension(".evaluation.json").string();
}

evaluated evaluate_in_new_process(std::string const& path, options const& o, pl::world& world) {
  evaluated e;
  pl::comm::on_root(world.comm, [&] {
    auto const file = evaluation_file(path);
    std::filesystem::remove(file);  // an older one is no answer
    std::vector<std::string> words{o.program, "--evaluate", path, "--json", file};
    if (!o.data.empty()) words.insert(words.end(), {"--data", o.data});
    if (o.threads > 0) words.insert(words.end(), {"--threads", std::to_string(o.threads)});
    run_alone(std::move(words));
    auto const text = pl::io::read_file(file);
    e.json.assign(reinterpret_cast<char const*>(text.data()), text.size());
    e.error = nlohmann::json::parse(e.json).at("error_after").get<double>();
  });
  e.error = world.comm.broadcast_value(e.error);
  return e;
}
