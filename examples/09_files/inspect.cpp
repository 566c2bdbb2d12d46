// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a file holds: the weights of a safetensors or GGUF file or of a checkpoint folder, with form, shape, bytes,
// effective bits and error.
//
//   inspect small.safetensors
//   inspect small.safetensors --against large.safetensors       measures the error against another file's weights of the same names, and lists names that only one of them has
//   inspect model.gguf --json figures.json                      the same figures for programs (without a path: to the standard output)
#include <pleat/io/checkpoint.hpp>
#include <pleat/io/decode.hpp>
#include <pleat/io/weight_file.hpp>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <sys/stat.h>

#include <cstdio>
#include <iostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../other_files.hpp"

namespace pl = pleat;
namespace io = pleat::io;

namespace {

struct options {
  std::string file, against, json;
  bool check = false, metadata = false;
};

/// Text that a terminal can show: control characters are not for a file to send.
std::string shown(std::string const& text, std::size_t most) {
  std::string out;
  io::detail::append_json_string(out, text);
  out = out.substr(1, out.size() - 2);
  if (out.size() <= most) return out;
  std::size_t cut = most - 3;
  while (cut > 0 && (static_cast<unsigned char>(out[cut]) & 0xc0u) == 0x80u) --cut;
  return out.substr(0, cut) + "...";
}
std::string number(char const* format, double v) {
  char text[40];
  std::snprintf(text, sizeof text, format, v);
  return text;
}

/// One weight's figures; the error is the file's own or measured.
nlohmann::json figures(io::stored_weight const& w, options const& o, io::weight_file const* against) {
  auto shape = nlohmann::json::array();
  for (auto n : w.shape) shape.push_back(n);
  nlohmann::json j{{"name", w.name},
                   {"form", w.form},
                   {"type", w.type},
                   {"shape", shape},
                   {"elements", w.shape.size()},
                   {"bytes", w.bytes()},
                   {"effective_bits", w.effective_bits()}};
  auto parts = nlohmann::json::array();
  for (auto const& p : w.parts)
    parts.push_back({{"suffix", p.suffix}, {"type", name_of(p.type)}, {"bytes", p.bytes.size()}});
  j["parts"] = parts;
  auto error = w.error;
  std::string source = "file";
  if (against || o.check) {
    auto const* const other = against ? against->find(w.name) : nullptr;
    bool const can = io::can_decode(w.form) && (!other || io::can_decode(other->form));
    j["decodable"] = io::can_decode(w.form);
    if (can) {
      auto const values = io::decode(w, "inspect");
      if (other && other->shape == w.shape) {
        error = pl::codec::measure_error(io::decode(*other, "inspect"), values);
        source = "measured";
      }
    }
  }
  if (error) j["error"] = {{"max", error->max}, {"frobenius", error->frobenius}, {"source", source}};
  return j;
}

struct table {
  std::vector<std::vector<std::string>> rows;
  void print() const {
    std::vector<std::size_t> width;
    for (auto const& r : rows) {
      width.resize(std::max(width.size(), r.size()), 0);
      for (std::size_t c = 0; c < r.size(); ++c) width[c] = std::max(width[c], r[c].size());
    }
    for (auto const& r : rows) {
      std::string line;
      for (std::size_t c = 0; c < r.size(); ++c) {
        auto const gap = std::string(width[c] - r[c].size(), ' ');
        line += c < 3 ? r[c] + gap + "  " : gap + r[c] + "  ";  // names to the left, numbers to the right
      }
      std::cout << line.substr(0, line.find_last_not_of(' ') + 1) << '\n';
    }
  }
};

/// The weights of one file, and their sums.
nlohmann::json look(std::span<io::stored_weight const> weights, options const& o, io::weight_file const* against) {
  auto list = nlohmann::json::array();
  std::uint64_t bytes = 0;
  pl::index_t elements = 0;
  for (auto const& w : weights) {
    list.push_back(figures(w, o, against));
    bytes += w.bytes();
    if (__builtin_add_overflow(elements, w.shape.size(), &elements))
      throw pl::error{"inspect", "the weights claim more numbers together than 63 bits can count",
                      pl::remedy::copy_again};
  }
  return {{"weights", list},
          {"elements", elements},
          {"bytes", bytes},
          {"effective_bits", elements > 0 ? 8.0 * static_cast<double>(bytes) / static_cast<double>(elements) : 0.0}};
}
void print(nlohmann::json const& j) {
  table t;
  t.rows.push_back({"name", "form", "type", "shape", "bytes", "bits", "max error", "Frobenius"});
  for (auto const& w : j["weights"]) {
    std::string shape = "[";
    for (auto const& n : w["shape"]) shape += (shape.size() > 1 ? ", " : "") + std::to_string(n.get<pl::index_t>());
    bool const error = w.contains("error");
    t.rows.push_back({shown(w["name"], 60), w["form"].get<std::string>().empty() ? "(none)" : shown(w["form"], 20),
                      w["type"], shape + "]", std::to_string(w["bytes"].get<std::uint64_t>()),
                      number("%.4g", w["effective_bits"]), error ? number("%.3e", w["error"]["max"]) : "",
                      error ? number("%.3e", w["error"]["frobenius"]) : ""});
  }
  t.print();
  std::cout << j["weights"].size() << " weights, " << j["elements"] << " numbers in " << j["bytes"]
            << " bytes: " << number("%.4g", j["effective_bits"]) << " bits each\n";
}

/// The names without a counterpart, on both sides: what was not compared.
void compare_names(nlohmann::json& j, std::vector<std::string> const& here, io::weight_file const& against) {
  std::set<std::string> const mine(here.begin(), here.end());
  j["only_here"] = nlohmann::json::array();
  j["only_there"] = nlohmann::json::array();
  for (auto const& name : mine)
    if (!against.find(name)) j["only_here"].push_back(name);
  for (auto const& w : against.weights())
    if (!mine.contains(w.name)) j["only_there"].push_back(w.name);
}
void print_names(nlohmann::json const& j) {
  for (auto const& [key, words] : {std::pair{"only_here", "only here"}, std::pair{"only_there", "only there"}}) {
    std::string line;
    for (auto const& name : j[key]) line += (line.empty() ? " " : ", ") + shown(name, 60);
    if (!line.empty()) std::cout << words << " (" << j[key].size() << "):" << line << '\n';
  }
}

int run(options const& o) {
  if (o.json != "-") demand_other_files({{"--json", o.json}}, {{"FILE", o.file}, {"--against", o.against}});
  struct stat s {};
  bool const folder = ::stat(o.file.c_str(), &s) == 0 && S_ISDIR(s.st_mode);
  nlohmann::json j{{"file", o.file}};
  std::optional<io::weight_file> against;
  if (!o.against.empty()) against.emplace(o.against);
  io::weight_file const* const other = against ? &*against : nullptr;
  bool const words = o.json != "-";
  std::vector<std::string> names;
  if (folder) {
    auto const c = io::load_checkpoint(o.file);
    if (!c.notice.empty()) std::cerr << c.notice << '\n';
    j["format"] = "checkpoint";
    j["step"] = c.step;
    for (auto const& [name, value] : c.state) j["state"][name] = value;
    if (words) std::cout << "checkpoint, step " << c.step << '\n';
    for (auto const& [name, group] : c.tensors) {
      auto const weights = io::weights_of(group, "inspect");
      for (auto const& w : weights) names.push_back(w.name);
      j["groups"][name] = look(weights, o, other);
      if (words) {
        std::cout << "\ngroup " << name << '\n';
        print(j["groups"][name]);
      }
    }
  } else {
    io::weight_file const f(o.file);
    for (auto const& w : f.weights()) names.push_back(w.name);
    j.update(look(f.weights(), o, other));
    j["format"] = f.format();
    j["file_bytes"] = static_cast<std::uint64_t>(s.st_size);
    j["metadata"] = nlohmann::json::object();
    for (auto const& [key, value] : f.metadata())
      if (io::detail::first_not_utf8(value) == std::string_view::npos) j["metadata"][key] = value;
    if (words) {
      std::cout << f.format() << ", " << s.st_size << " bytes\n";
      if (o.metadata)
        for (auto const& [key, value] : f.metadata()) std::cout << shown(key, 60) << ": " << shown(value, 100) << '\n';
      print(j);
    }
  }
  if (other) {
    compare_names(j, names, *other);
    if (words) print_names(j);
  }
  if (o.json == "-") std::cout << j.dump(2) << '\n';
  else if (!o.json.empty()) io::write_file(o.json, j.dump(2) + "\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app(
      "Lists the weights of a safetensors or GGUF file, or of a checkpoint folder: form, shape, bytes, effective bits, "
      "error");
  app.add_option("file", o.file, "the file, or the folder of a checkpoint")->required()->type_name("FILE");
  app.add_option("--against", o.against,
                 "measure the error against the weights of the same names in this file; list the names that only one "
                 "of them has")
      ->type_name("FILE");
  app.add_flag("--check", o.check, "decode every weight that can be decoded: what the file claims is tried");
  app.add_flag("--metadata", o.metadata, "print the text entries of the metadata");
  app.add_option(
         "--json", o.json,
         "write the figures as JSON to this path; without a path or with '-' to the standard output, without the table")
      ->expected(0, 1)
      ->default_str("-")
      ->type_name("PATH");
  CLI11_PARSE(app, argc, argv);
  if (app.count("--json") > 0 && o.json.empty()) o.json = "-";
  try {
    int const code = run(o);
    if (std::fflush(stdout) != 0 || !std::cout.flush())
      throw pl::error{"standard output", "what was printed could not be written",
                      "Free some space, or print to somewhere else"};
    return code;
  } catch (std::exception const& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
