// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Writes text with a model that train_gpt has trained, one character at a time:
//
//   sample CHECKPOINTS --tokens 200 --temperature 0.8 --top-k 20 --prompt "ROMEO:"
//   mpirun -n 4 sample MODEL.safetensors --mesh tensor=2,pipeline=2    a model that is too large for one rank, whichever mesh trained it
#include <pleat/io/checkpoint.hpp>
#include <pleat/parallel.hpp>
#include <pleat/run/launch.hpp>
#include <pleat/run/model_file.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <optional>
#include <string_view>
#include <vector>

#include "card.hpp"
#include "layout.hpp"
#include "network.hpp"
#include "options.hpp"

namespace {

namespace pl = pleat;

/// What is said about the model and where its parameters are.
struct stored {
  gpt::card about;
  std::optional<pl::io::checkpoint> checkpoint;
  std::optional<pl::io::safetensors_file> file;

  [[nodiscard]] pl::io::safetensors_file const& parameters() const {
    return file ? *file : checkpoint->group("parameters");
  }
};

[[nodiscard]] stored open(std::string const& from, bool loud) {
  stored s;
  std::string const call = "sample('" + from + "')";
  if (std::filesystem::is_directory(from)) {
    if (!pl::io::has_checkpoint(from))
      throw pl::error{call, "there is no checkpoint in this folder",
                      "Give the folder that train_gpt --checkpoint wrote to"};
    auto const text = pl::io::read_file(from + "/" + gpt::card_file);
    s.about = gpt::card::parse({reinterpret_cast<char const*>(text.data()), text.size()}, from + "/" + gpt::card_file);
    s.checkpoint.emplace(pl::io::load_checkpoint(from));
    if (loud && !s.checkpoint->notice.empty()) std::fprintf(stderr, "%s\n", s.checkpoint->notice.c_str());
    return s;
  }
  s.file.emplace(from);
  auto const said = s.file->metadata().find(gpt::card_key);
  if (said == s.file->metadata().end())
    throw pl::error{call, "the file holds no language model of train_gpt", "Give a file that train_gpt --out wrote"};
  s.about = gpt::card::parse(said->second, from);
  return s;
}

/// The next token from the scores of all: the i-th draw of a seed is a pure function of both.
[[nodiscard]] std::uint16_t draw(std::vector<float> const& scores, gpt::sample_options const& o, std::uint64_t i) {
  std::vector<std::uint16_t> rank(scores.size());
  std::iota(rank.begin(), rank.end(), std::uint16_t{0});
  std::stable_sort(rank.begin(), rank.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
  if (o.temperature == 0) return rank[0];
  if (o.top_k > 0) rank.resize(std::min(rank.size(), static_cast<std::size_t>(o.top_k)));
  std::vector<double> weight;
  double sum = 0;
  for (auto const t : rank)
    weight.push_back(std::exp((static_cast<double>(scores[t]) - static_cast<double>(scores[rank[0]])) / o.temperature)),
        sum += weight.back();
  double left = static_cast<double>(pl::random::stream(o.seed, pl::random::hash("sample")).uniform(i)) * sum;
  for (std::size_t k = 0; k < rank.size(); ++k)
    if ((left -= weight[k]) < 0) return rank[k];
  return rank.back();
}

// [write]
void write(gpt::sample_options const& o, pl::world& world) {
  if (o.timeout > 0 && world.size() > 1) world.comm.set_timeout(o.timeout);
  auto const from = open(o.from, world.root());
  auto const& [sizes, vocabulary] = from.about;
  auto text = vocabulary.encode(o.prompt);
  // as after the end of a line
  if (text.empty()) text.push_back(static_cast<std::uint16_t>(std::max(0, vocabulary.token('\n'))));
  auto model = pl::parallel::build(pl::parallel::megatron(gpt::network(sizes)), gpt::lay_out(o, world.size()), world);
  pl::run::load(model, from.parameters(), "sample('" + o.from + "')");
  auto const say = [&](std::string_view s) {
    if (world.root()) std::fwrite(s.data(), 1, s.size(), stdout), std::fflush(stdout);
  };
  say(o.prompt);
  for (std::int64_t i = 0; i < o.tokens; ++i) {
    std::size_t const seen = std::min(text.size(), static_cast<std::size_t>(sizes.context));
    std::vector<float> const tokens(text.end() - static_cast<std::ptrdiff_t>(seen), text.end());
    auto x = decltype(model)::tensor_type::allocate(model.context(), {1, static_cast<pl::index_t>(seen)});
    pl::copy_from_host(model.context(), tokens.data(), x);
    auto const y = model.predict(std::move(x));  // on every rank, the same bits
    std::vector<float> scores(static_cast<std::size_t>(y.size()));
    pl::copy_to_host(model.context(), y, scores.data());
    scores.erase(scores.begin(), scores.end() - sizes.vocabulary);  // those after the last character
    text.push_back(draw(scores, o, static_cast<std::uint64_t>(i)));
    say(std::string_view(vocabulary.characters()).substr(text.back(), 1));
  }
  say("\n");
}
// [write]

}  // namespace

int main(int argc, char** argv) {
  gpt::sample_options o;
  if (auto const code = gpt::parse(argc, argv, o)) return *code;
  return pl::run::launch(argc, argv, [&](pl::world& world) { write(o, world); },
                         {.thread_ranks = o.thread_ranks, .threads = o.threads});
}
