// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A language model of train_gpt in smaller forms, each written, read back and run as it is stored: bits per character,
// divergence from float, bytes. The table of docs/compressed_language_model.md.
//
//   compress_gpt MODEL.safetensors --data input.txt --json figures.json
//   mpirun -n 2 compress_gpt MODEL.safetensors --data input.txt            the same figures
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <pleat/pleat.hpp>

#include <pleat/codec/blocks.hpp>
#include <pleat/codec/sparse.hpp>
#include <pleat/compress/gptq.hpp>
#include <pleat/compress/sparse_gpt.hpp>
#include <pleat/io/text.hpp>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <numbers>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "../07_language_model/card.hpp"
#include "../07_language_model/network.hpp"
#include "../command_line.hpp"
#include "../outputs.hpp"

namespace {

namespace pl = pleat;
namespace codec = pleat::codec;
namespace shrink = pleat::compress;

struct options {
  std::string in, data, json, keep;
  pl::index_t samples = 128, windows = 0, batch = 8;
  int threads = 0, thread_ranks = 0;
  std::string asked;  // a line an option: ranks compare it
};

/// A file that goes when nobody reads it any more, or when what reads it fails. An empty name: none.
struct passing_file {
  std::string path;
  explicit passing_file(std::string name) : path(std::move(name)) {}
  passing_file(passing_file const&) = delete;
  passing_file& operator=(passing_file const&) = delete;
  ~passing_file() {
    std::error_code failed;  // it is in the folder for such files
    if (!path.empty()) std::filesystem::remove(path, failed);
  }
};

/// What a layer's outputs miss over the samples, in the norm that GPTQ and SparseGPT lower, beside what rounding or
/// magnitudes cost.
struct output_norm {
  std::string weight;
  double ours = 0, plain = 0;
};

/// One line of the table.
struct row {
  std::string name;
  std::map<std::string, int> forms;  // of the blocks' matrices: how many are stored how
  double bits_per_character = 0;     // mean loss / ln 2
  double divergence = 0;             // mean over positions of KL(float ‖ this), nats
  double same_choice = 0;            // share of positions whose likeliest character is float's
  pl::index_t file_bytes = 0;
  double bits_per_weight = 0;        // of the blocks' matrices, as stored
  double characters_per_second = 0;  // of rank 0, as many windows at once as --batch says
  std::vector<output_norm> norms;    // of the weights that were moved against their errors
};

using sparse_2_4 = codec::n_m<float, 2, 4>;
using half_of_them = codec::bitmask<float>;
using q8 = shrink::quantize<codec::q8_0<float>>;
using q4 = shrink::quantize<codec::q4_0<float>>;
using q4_k = shrink::quantize<codec::q4_k<float>, codec::q4_0<float>>;
using four_bits = codec::int4<float, 32>;

auto widened(auto const& m) {
  return shrink::widen<shrink::prune, q8, q4_k, shrink::quantize<four_bits>, shrink::quantize<sparse_2_4>,
                       shrink::quantize<half_of_them>>(m);
}

/// What the validation text says about a model: one figure per window, summed over windows in their order, so that
/// ranks do not show.
class judge {
 public:
  judge(pl::io::token_dataset const& text, options const& o)
      : text_(&text), windows_(o.windows > 0 ? std::min(o.windows, text.size()) : text.size()), batch_(o.batch) {}

  /// The first model that is asked is what the others are compared with.
  template <class Model> void ask(Model const& m, row& r) {
    auto& ranks = m.ranks();
    auto const mine = pl::block_range(windows_, ranks.size(), ranks.rank());
    auto const classes = static_cast<std::size_t>(text_->vocabulary), window = static_cast<std::size_t>(text_->context);
    bool const first = reference_.empty();
    if (first) reference_.resize(static_cast<std::size_t>(mine.size()) * window * classes);
    std::vector<double> figures(3 * static_cast<std::size_t>(windows_));
    double seconds = 0;
    for (pl::index_t at = mine.begin; at < mine.end; at += batch_) {
      std::vector<pl::index_t> which;
      for (pl::index_t i = at; i < std::min(at + batch_, mine.end); ++i) which.push_back(i);
      std::vector<float> tokens(which.size() * window), scores(tokens.size() * classes);
      std::vector<std::int32_t> next(tokens.size());
      text_->gather(which, tokens.data(), next.data());
      auto x = Model::tensor_type::allocate(m.context(), {static_cast<pl::index_t>(which.size()), text_->context});
      pl::copy_from_host(m.context(), tokens.data(), x);
      m.context().fence();
      auto const begin = std::chrono::steady_clock::now();
      auto const y = m.predict(std::move(x));
      m.context().fence();
      seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      pl::copy_to_host(m.context(), y, scores.data());
      auto const was =
          std::span(reference_).subspan(static_cast<std::size_t>(at - mine.begin) * window * classes, scores.size());
      if (first) std::copy(scores.begin(), scores.end(), was.begin());
      for (std::size_t t = 0; t < tokens.size(); ++t) {
        auto* const to = &figures[3 * (static_cast<std::size_t>(at) + t / window)];
        compare(std::span<float const>(was).subspan(t * classes, classes),
                std::span<float const>(scores).subspan(t * classes, classes), static_cast<std::size_t>(next[t]), to);
      }
    }
    double const speed = seconds > 0 ? static_cast<double>(mine.size() * text_->context) / seconds : 0;
    ranks.all_reduce(std::span<double>(figures));  // one rank has each number: x + 0 is x
    double sum[3] = {0, 0, 0};
    for (std::size_t i = 0; i < figures.size(); ++i) sum[i % 3] += figures[i];
    double const positions = static_cast<double>(windows_) * static_cast<double>(text_->context);
    r.bits_per_character = sum[0] / positions / std::numbers::ln2;
    r.divergence = sum[1] / positions;
    r.same_choice = sum[2] / positions;
    r.characters_per_second = ranks.broadcast_value(speed);
  }

 private:
  /// log Σ exp
  static double normaliser(std::span<float const> s) {
    double const largest = *std::max_element(s.begin(), s.end());
    double sum = 0;
    for (float const x : s) sum += std::exp(static_cast<double>(x) - largest);
    return largest + std::log(sum);
  }
  /// Adds loss, KL(softmax(p) ‖ softmax(q)) and whether both prefer the same.
  static void compare(std::span<float const> p, std::span<float const> q, std::size_t label, double* to) {
    double const np = normaliser(p), nq = normaliser(q);
    double kl = 0;
    for (std::size_t i = 0; i < p.size(); ++i) {
      double const lp = static_cast<double>(p[i]) - np;
      kl += std::exp(lp) * (lp - (static_cast<double>(q[i]) - nq));
    }
    to[0] += nq - static_cast<double>(q[label]);
    to[1] += kl;
    to[2] +=
        std::max_element(p.begin(), p.end()) - p.begin() == std::max_element(q.begin(), q.end()) - q.begin() ? 1 : 0;
  }

  pl::io::token_dataset const* text_;
  pl::index_t windows_, batch_;
  std::vector<float> reference_;  // this rank's scores of the first model
};

template <class Model> void count_forms(Model const& m, row& r) {
  double bits = 0, numbers = 0;
  pl::nn::for_each_parameter(m.net(), [&](auto const& w) {
    if (w.shape.rank() < 2 || !w.name.starts_with("block.")) return;
    ++r.forms[std::string(w.form_name())];
    bits += 8 * static_cast<double>(w.bytes());
    numbers += static_cast<double>(w.size());
  });
  r.bits_per_weight = bits / numbers;
}

/// "12 matrices: 0.18 to 0.61 of the plain way's norm"
void print_norms(row const& r) {
  auto const [best, worst] = std::minmax_element(
      r.norms.begin(), r.norms.end(), [](auto const& a, auto const& b) { return a.ours / a.plain < b.ours / b.plain; });
  std::printf("%s: what the outputs of %zu matrices miss, over what the plain way's do: %.3f (%s) to %.3f (%s)\n",
              r.name.c_str(), r.norms.size(), best->ours / best->plain, best->weight.c_str(),
              worst->ours / worst->plain, worst->weight.c_str());
}

void print(std::vector<row> const& rows) {
  std::printf("%-28s %10s %12s %8s %12s %8s %10s  %s\n", "form", "bits/char", "KL, nats", "same", "file, bytes",
              "bits/w", "chars/s", "the blocks' matrices");
  for (auto const& r : rows) {
    std::string forms;
    for (auto const& [form, n] : r.forms) forms += (forms.empty() ? "" : ", ") + std::to_string(n) + " " + form;
    std::printf("%-28s %10.5f %12.3e %7.2f%% %12lld %8.3f %10.0f  %s\n", r.name.c_str(), r.bits_per_character,
                r.divergence, 100 * r.same_choice, static_cast<long long>(r.file_bytes), r.bits_per_weight,
                r.characters_per_second, forms.c_str());
  }
  for (auto const& r : rows)
    if (!r.norms.empty()) print_norms(r);
}

std::string json_of(std::vector<row> const& rows, int ranks) {
  nlohmann::json all{{"ranks", ranks}, {"rows", nlohmann::json::array()}};
  for (auto const& r : rows) {
    auto norms = nlohmann::json::array();
    for (auto const& n : r.norms) norms.push_back({{"weight", n.weight}, {"norm", n.ours}, {"plain_norm", n.plain}});
    all["rows"].push_back({{"name", r.name},
                           {"bits_per_character", r.bits_per_character},
                           {"divergence", r.divergence},
                           {"same_choice", r.same_choice},
                           {"bytes", r.file_bytes},
                           {"bits_per_weight", r.bits_per_weight},
                           {"characters_per_second", r.characters_per_second},
                           {"norms", norms},
                           {"forms", r.forms}});
  }
  return all.dump(2) + "\n";
}

void run(options const& o, pl::world& world) {
  std::string const call = "compress_gpt('" + o.in + "')";
  agree_on_options(world, o.asked);
  std::vector<named_file> const read{{"MODEL", o.in}, {"--data", o.data}};
  std::vector<named_file> written{{"--json", o.json}};
  demand_outputs(world, written, read);
  pl::io::safetensors_file const file(o.in);
  auto const said = file.metadata().find(gpt::card_key);
  if (said == file.metadata().end())
    throw pl::error{call, "the file holds no language model of train_gpt", "Give a file that train_gpt --out wrote"};
  auto const about = gpt::card::parse(said->second, o.in);
  if (about.sizes.width % 32 != 0)
    throw pl::error{call,
                    "its width of " + std::to_string(about.sizes.width) +
                        " is no multiple of 32, the block of q8_0, q4_0 and four bits by groups",
                    "Train one of width " + std::to_string((about.sizes.width + 31) / 32 * 32)};
  auto const text = pl::io::read_text(o.data, about.sizes.context);
  if (text.vocabulary.characters() != about.vocabulary.characters())
    throw pl::error{call, "'" + o.data + "' has other characters than the text that the model was trained on",
                    "Give the same text"};

  auto const plan =
      pl::plan::plan{.global_batch = 8 * world.size(), .data_ranks = world.size(), .deterministic = world.size() <= 8};
  auto dense = pl::parallel::build(gpt::network(about.sizes), plan, world);
  pl::run::load(dense, file, call);
  auto const model = widened(dense);
  using model_type = std::remove_const_t<decltype(model)>;

  auto const silent = [](std::string_view) {};
  shrink::calibration const samples(text.train, o.samples);
  judge validation(text.validation, o);
  std::vector<row> rows;
  std::string const folder = o.keep.empty() ? std::filesystem::temp_directory_path().string() : o.keep;
  std::uint64_t const number = world.comm.broadcast_value(
      static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()));
  auto const file_of = [&](std::string const& name) {
    std::string plain = o.keep.empty() ? "pleat-gpt-" + std::to_string(number) + "-" : "";
    for (char const c : name) plain += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
    return (std::filesystem::path(folder) / (plain + ".safetensors")).string();
  };
  std::vector<output_norm> norms;
  auto const heard = [&](shrink::gptq_result const& r) { norms.push_back({r.name, r.loss, r.rounding}); };
  auto const missed = [&](shrink::sparse_gpt_layer const& l) { norms.push_back({l.name, l.error, l.magnitude_error}); };
  auto const measure = [&](std::string const& name, std::function<void(model_type&)> const& change) {
    auto small = model.clone();
    change(small);
    // What is measured is what was written, read again.
    auto const path = file_of(name);
    auto again = model.clone();
    row r;
    r.name = name;
    {
      passing_file const goes(o.keep.empty() && world.root() ? path : std::string());
      pl::run::save(small, path, {.network = "gpt", .more = {{gpt::card_key, about.to_text()}, {"form", name}}});
      world.comm.barrier();  // rank 0 has written
      pl::run::load(again, path);
      r.file_bytes = static_cast<pl::index_t>(std::filesystem::file_size(path));
      world.comm.barrier();  // all have read
    }
    count_forms(again, r);
    validation.ask(again, r);
    r.norms = std::exchange(norms, {});
    rows.push_back(std::move(r));
  };
  auto const forms = [&](auto const& measure) {
    // [forms]
    measure("float", [](auto&) {});
    measure("q8_0", [&](auto& m) { q8{.on_note = silent}.run(m); });
    measure("q4_0", [&](auto& m) { q4{.on_note = silent}.run(m); });
    // rows that 256 does not divide: q4_0
    measure("q4_K, else q4_0", [&](auto& m) { q4_k{.misfit = shrink::misfit::next, .on_note = silent}.run(m); });
    measure("4 bits, rounded", [&](auto& m) { shrink::quantize<four_bits>{.on_note = silent}.run(m); });
    measure("4 bits, GPTQ",
            [&](auto& m) { shrink::gptq<four_bits>{.data = samples, .on_layer = heard, .on_note = silent}.run(m); });
    auto const store = [&](auto& m, auto form) {
      shrink::quantize<typename decltype(form)::type>{.on_note = silent}.run(m);
    };
    shrink::n_of_m const two_of_four{2, 4};
    measure("2:4, magnitude", [&](auto& m) {
      shrink::prune{.on_note = silent, .pattern = two_of_four}.run(m), store(m, codec::form_tag<sparse_2_4>{});
    });
    measure("2:4, SparseGPT", [&](auto& m) {
      shrink::sparse_gpt{.samples = samples, .pattern = two_of_four, .on_note = silent, .on_layer = missed}.run(m),
          store(m, codec::form_tag<sparse_2_4>{});
    });
    measure("50 %, magnitude", [&](auto& m) {
      shrink::prune{.sparsity = 0.5, .scope = shrink::scope::layer, .on_note = silent}.run(m),
          store(m, codec::form_tag<half_of_them>{});
    });
    measure("50 %, SparseGPT", [&](auto& m) {
      shrink::sparse_gpt{.sparsity = 0.5, .samples = samples, .on_note = silent, .on_layer = missed}.run(m),
          store(m, codec::form_tag<half_of_them>{});
    });
    // [forms]
  };
  // Their names alone, before anything is made: one of them may be the file that is read.
  forms([&](std::string const& name, auto const&) { written.push_back({"--keep", file_of(name)}); });
  demand_outputs(world, written, read, folder);
  forms(measure);
  if (!world.root()) return;
  print(rows);
  std::printf("the embedding, which is the output layer too, norms and biases stay float\n");
  if (!o.json.empty()) pl::io::write_file(o.json, json_of(rows, world.size()));
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("Puts a language model of train_gpt into smaller forms and says what each costs.");
  command_line::add_asked(app, o);
  app.add_option("model", o.in, "the file that train_gpt --out wrote")->required();
  app.add_option("--data", o.data, "the text that it was trained on")->required();
  app.add_option("--samples", o.samples, "windows of the training text that GPTQ and SparseGPT look at")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--windows", o.windows, "of the validation text (default: all)")->check(CLI::Range(0, 1000000000));
  app.add_option("--batch", o.batch, "windows at once")->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--keep", o.keep, "folder for the files (default: they are removed)")
      ->check(command_line::not_empty());
  app.add_option("--json", o.json, "file for the table")->check(command_line::not_empty());
  command_line::add_threads(app, o);
  if (auto const code = command_line::parse(app, argc, argv, [] {})) return *code;
  return pl::run::launch(argc, argv, [&](pl::world& world) { run(o, world); },
                         {.thread_ranks = o.thread_ranks, .threads = o.threads});
}
