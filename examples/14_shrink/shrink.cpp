// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A model's file, made smaller by a recipe.
//
//   shrink IN.safetensors OUT.safetensors --recipe "prune(0.9)|fine_tune(3)|int8" --data DIR
//   shrink --words                                                        what a recipe may say
#include <pleat/compress/layer_picture.hpp>
#include <pleat/compress/record_errors.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <map>

#include "../other_files.hpp"
#include "../outputs.hpp"
#include "network.hpp"
#include "words.hpp"

namespace {

pl::io::split read_data(options const& o) {
  return o.data.empty() ? pl::io::load_digits(PLEAT_DIGITS) : pl::io::mnist(o.data);
}

void cook(kitchen& k, pl::compress::recipe_step const& s) {
  auto const& w = *s.word;
  if (w.masks || w.resizes) prune_step(k, s);
  else if (w.trains_codes || w.name == "gptq") code_step(k, s);
  else if (w.trains || w.folds) train_step(k, s);
  else if (w.shares || w.needs_shared) share_step(k, s);
  else if (w.name.ends_with("low_rank")) factor_step(k, s);
  else quantize_step(k, s);
}

pl::compress::recipe_state state_of(model const& m) {
  pl::compress::recipe_state s;
  pl::nn::for_each_parameter(m.net(), [&](auto const& w) {
    s.masked = s.masked || w.form_name() == "masked";
    s.shared = s.shared || w.form_name() == "coded";
    s.codes = s.codes || w.form_name() == "fake_quantized";
    s.encoded = s.encoded || !w.trainable();
    s.factored =
        s.factored || w.form_name() == "low_rank" || w.form_name() == "sparse_low_rank" || w.form_name() == "factors";
    s.kept_factors = s.kept_factors || w.form_name() == "spatial_low_rank";
  });
  return s;
}

// What the file is to say of its weights: how far each is from what it is compared with, and since when that is.
void describe(pl::run::model_description& about, pl::compress::error_ledger const& errors) {
  about.errors.clear();
  std::map<std::string, std::string> since;
  for (auto const& e : errors.stages().back().weights) {
    if (e.total.max > 0) about.errors[e.weight] = e.total;
    if (!e.since.empty()) since[e.since] += " " + e.weight;
  }
  std::string text;
  for (auto const& [stage, names] : since) text += (text.empty() ? "" : "; ") + stage + ":" + names;
  if (!text.empty()) about.more["errors_since"] = text;
}

// Everything in a step that is to fit names of weights.
std::vector<std::string> patterns_of(pl::compress::recipe_step const& s) {
  auto all = s.names("ignore");
  for (auto const& group : s.lists_of_names("groups")) all.insert(all.end(), group.begin(), group.end());
  for (auto const& [pattern, bits] : widths_of(s)) all.push_back(pattern);
  return all;
}

// A name that is meant for some weight and fits none is a misspelt one, and would leave out nothing.
void demand_names(std::vector<pl::compress::recipe_step> const& steps,
                  std::vector<pl::io::stored_weight> const& weights) {
  std::vector<std::string> all, norms;
  for (auto const& w : weights) {
    all.push_back(w.name);
    if (w.name.ends_with(".running_mean")) norms.push_back(w.name.substr(0, w.name.rfind('.')));
  }
  for (auto const& s : steps)
    for (auto const& pattern : patterns_of(s))
      if (auto const& names = s.word->folds && !norms.empty() ? norms : all;
          std::none_of(names.begin(), names.end(), [&](auto const& n) { return pl::nn::matches(pattern, n); }))
        throw pl::error{
            "compress::recipe",
            "'" + s.to_string() + "': '" + pattern + "' fits no name of the file, which has " +
                pl::compress::detail::listed(names),
            "Say names as they are, or with * and ?, e.g. " + names.front().substr(0, names.front().rfind('.')) + ".*"};
}

// A NaN in a bias, or in a weight that no step touches, would go through every step unseen.
void demand_finite(std::vector<pl::io::stored_weight> const& weights, std::string const& path) {
  for (auto const& w : weights)
    for (auto const& p : w.parts) {
      auto const check = [&](auto of) {
        decltype(of) x{};
        for (std::size_t i = 0; i + sizeof x <= p.bytes.size(); i += sizeof x) {
          std::memcpy(&x, p.bytes.data() + i, sizeof x);
          if (auto const v = static_cast<pl::wide_t<decltype(of)>>(x); !std::isfinite(v))
            throw pl::error{"shrink '" + path + "'",
                            "element " + std::to_string(i / sizeof x) + " of '" + w.name + p.suffix + "' is " +
                                (std::isnan(v) ? "NaN" : "infinite"),
                            "Train again with a lower learning rate"};
        }
      };
      if (p.type == pl::dtype::f32) check(float{});
      if (p.type == pl::dtype::f64) check(double{});
      if (p.type == pl::dtype::bf16) check(pl::bfloat16{});
      if (p.type == pl::dtype::f16) check(pl::half{});
    }
}

// What was trained for one form cannot be stored in another alone, and is refused before anything is trained; and a
// scale that was trained with is kept, so a step may not ask for none.
void judge_trained_codes(std::vector<pl::compress::recipe_step> const& steps) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (!steps[i].word->trains_codes) continue;
    auto const next = std::find_if(steps.begin() + static_cast<std::ptrdiff_t>(i), steps.end(),
                                   [](auto const& s) { return s.word->encodes; });
    if (next != steps.end() && next->word->name == "int8" && steps[i].text("activations") == "static" &&
        next->text("activations") == "dynamic")
      throw pl::error{"compress::recipe",
                      "'" + next->to_string() + "' asks for dynamic activations after '" + steps[i].to_string() +
                          "', which trains with static ones, and those are kept",
                      "Leave out activations=dynamic, or activations=static where codes are trained"};
    auto const form = steps[i].text("form", "int8");
    if (next != steps.end() && std::none_of(next, steps.end(), [&](auto const& s) {
          return s.word->encodes && s.word->name == form && s.text("group", "32") == steps[i].text("group", "32") &&
                 s.text("scales") != "tensor";
        }))
      throw pl::error{"compress::recipe",
                      "'" + steps[i].to_string() + "' trains codes of " + form + ", and '" + next->to_string() +
                          "' stores other ones",
                      "Say the same form and group behind it, as in quantize_aware(int4)|int4"};
  }
}

void print(std::vector<output_norm> const& norms) {
  if (norms.empty()) return;
  std::printf("\n%-36s %-20s %12s %12s %9s\n", "what the outputs miss, in its norm", "weight", "plain way's",
              "the step's", "quotient");
  for (auto const& n : norms)
    std::printf("%-36s %-20s %12.4g %12.4g %9.3f\n", n.step.c_str(), n.weight.c_str(), n.plain, n.ours,
                n.ours / n.plain);
  std::fflush(stdout);
}

void run(options const& o, pl::world& world) {
  namespace shrink = pl::compress;
  agree_on_options(world, o.asked);
  auto const steps = shrink::read_recipe(o.recipe, known_words());
  shrink::check_order(steps);
  pl::comm::on_root(world.comm, [&] {
    std::vector<named_file> read{{"IN", o.in}};
    for (auto const& s : steps)
      if (s.values.contains("teacher")) read.push_back({"teacher", s.values.at("teacher")});
    demand_other_files({{"OUT", o.out}, {"--json", o.json}, {"--svg", o.svg}}, read);
  });
  demand_outputs(world, {o.out, o.json, o.svg});
  auto const data = read_data(o);
  pl::io::weight_file const file(o.in);
  auto const weights = weights_of(file);
  auto const net = network_of(weights, data.test, o.in);
  auto const plan = pl::plan::search(net, world, {.global_batch = o.batch, .deterministic = o.deterministic});
  auto m = pl::parallel::build(net, plan, world, {.seed = o.seed});
  auto about = pl::run::load(m, weights, file.metadata(), "shrink '" + o.in + "'");
  if (about.input && (about.input->mean != data.test.mean || about.input->scale != data.test.scale))
    world.say("note: the file's inputs were normalised otherwise than this data is");
  shrink::check_order(steps, state_of(m));
  demand_names(steps, weights);
  demand_finite(weights, o.in);
  judge_trained_codes(steps);
  auto const as_it_came = m.clone();
  auto const open = [&](std::string const& path) {
    pl::io::weight_file const other(path);
    auto const its = weights_of(other);
    demand_finite(its, path);
    auto made = std::make_unique<model>(pl::parallel::build(network_of(its, data.test, path), plan, world));
    (void)pl::run::load(*made, its, other.metadata(), "shrink '" + path + "'");
    return made;
  };
  kitchen k{m, as_it_came, data, o, open};
  k.reads_only = true;
  for (auto const& s : steps) {
    s.heard.clear();
    cook(k, s);
    shrink::demand_heard(s);
  }
  k.reads_only = false;
  if (o.says_samples && !k.looks)
    throw pl::error{"shrink --samples", "no step of '" + o.recipe + "' looks at samples",
                    "Leave --samples out; they count with taylor, wanda, sparse_gpt, gptq, activations=static and "
                    "low_rank(samples=1)"};
  shrink::error_ledger errors;
  shrink::record_errors const record(errors);
  record.begin(std::as_const(m));
  shrink::stage_list stages;
  stages.add(shrink::measure("as it came", m, data.test));
  std::string spelled;
  for (auto const& s : steps) {
    cook(k, s);
    spelled += (spelled.empty() ? "" : "|") + s.to_string();
    record.add(s.to_string(), k.leaves, std::as_const(m));
    auto measured = shrink::measure(s.to_string(), m, data.test);
    measured.errors = errors.stages().back().weights;
    stages.add(std::move(measured));
  }
  describe(about, errors);
  about.more["recipe"] = spelled;
  pl::run::save(m, o.out, about);
  if (world.root()) {
    stages.print(std::cout);
    std::cout << '\n';
    errors.print(std::cout);
    print(k.norms);
    if (!o.svg.empty()) shrink::write_layers_svg(stages, o.svg, o.in + ": " + spelled);
  }
  world.comm.barrier();  // rank 0 has written
  // What was written, run as it is stored.
  auto const e = pl::run::evaluate(*open(o.out), data.test);
  auto all = stages.stages();
  all.back().bytes = static_cast<std::int64_t>(std::filesystem::file_size(o.out));
  char line[200];  // and a path, which may be long
  std::snprintf(
      line, sizeof line, ": %lld -> %lld bytes, %.1fx smaller; test error %.2f -> %.2f %%, run from the file",
      static_cast<long long>(all.front().bytes), static_cast<long long>(all.back().bytes),
      static_cast<double>(all.front().bytes) / static_cast<double>(std::max<std::int64_t>(1, all.back().bytes)),
      100 * all.front().test_error, 100 * e.error());
  world.say(o.out + line);
  write_figures(all, spelled, e.error(), k.norms, o, world);
}

void list_words(pl::world& world) {
  for (auto const& w : known_words()) {
    std::string keys;
    for (auto const& k : w.keys)
      keys += (keys.empty() ? "" : ", ") +
              (std::find(w.required.begin(), w.required.end(), k) != w.required.end() ? k : "[" + k + "]");
    world.say(w.name + (keys.empty() ? "" : "(" + keys + ")") + "\n    " + w.says);
  }
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  if (auto const code = parse(argc, argv, o)) return *code;
  return pl::run::launch(argc, argv, [&](pl::world& world) { o.words ? list_words(world) : run(o, world); },
                         {.thread_ranks = o.thread_ranks, .threads = o.threads});
}
