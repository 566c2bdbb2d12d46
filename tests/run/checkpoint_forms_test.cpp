// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Models of which some weights are encoded, through checkpoints: from any layout to any other.
#include <pleat/run/take_forms.hpp>

#include <pleat/codec/blocks.hpp>
#include <pleat/codec/codebook.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/codec/factors.hpp>
#include <pleat/codec/low_rank.hpp>
#include <pleat/codec/masked.hpp>
#include <pleat/codec/sparse.hpp>
#include <pleat/io/checksum.hpp>
#include <pleat/io/file.hpp>
#include <pleat/run/model_file.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <set>
#include <stdexcept>

#include "run/checkpoint_support.hpp"

namespace {

using namespace checkpoint_test;
namespace codec = pl::codec;
namespace nn = pl::nn;
namespace par = pl::parallel;
using Catch::Matchers::ContainsSubstring;
using stored = codec::forms<codec::dense<float>, codec::masked<float>, codec::int8<float>, codec::q8_0<float>,
                            codec::csr<float>, codec::coded<float>, codec::low_rank<float>, codec::factors<float>>;
using form_names = std::vector<std::pair<std::string, std::string>>;

/// 96 and 64 inputs of `c` and `d` are 3 and 2 blocks of 32: over 3 and 4 ranks some have none.
template <class Forms> auto network_of() {
  auto net = nn::sequential(nn::linear<Forms>("a", 12, 40), nn::relu<>(), nn::linear<Forms>("b", 40, 96), nn::relu<>(),
                            nn::linear<Forms>("c", 96, 64), nn::relu<>(), nn::linear<Forms>("d", 64, 32), nn::relu<>(),
                            nn::linear<Forms>("e", 32, 20), nn::relu<>(), nn::linear<Forms>("f", 20, 12), nn::relu<>(),
                            nn::linear<Forms>("g", 12, 16), nn::relu<>(), nn::linear<Forms>("last", 16, 5));
  return par::tensor_parallel(std::move(net), {par::column("b.*"), par::row("c.*"), par::column("d.*"), par::row("e.*"),
                                               par::column("f.*"), par::row("g.*")});
}
/// One weight in each form; `a`, `last` and the biases train, `f` in part.
form_names const forms{{"b.weight", "csr"},      {"c.weight", "q8_0"}, {"d.weight", "coded"},
                       {"e.weight", "low_rank"}, {"f.weight", "int8"}, {"g.weight", "factors"}};

using net_type = decltype(network_of<stored>());

/// A model whose weights are encoded where they are named, and an optimizer for it.
struct runner : trained<net_type> {
  using base = trained<net_type>;
  runner(pl::comm::communicator c, layout const& l) : base(network_of<stored>(), std::move(c), l) {}

  void renew() { optimizer = decltype(optimizer)(model.context(), model.arena(), nn::adamw{.learning_rate = 0.01}); }
  void encode(form_names const& wanted) {
    auto net = model.net();
    for (auto const& want : wanted)
      net.for_each_parameter([&, &name = want.first, &form = want.second](auto& w) {
        using all = typename std::remove_cvref_t<decltype(w)>::forms;
        if constexpr (all::template contains<codec::csr<float>>) {
          if (w.name != name) return;
          codec::visit_form<all>(all::index(form), [&](auto tag) {
            using F = typename decltype(tag)::type;
            if constexpr (!F::trainable) {
              std::vector<float> v(static_cast<std::size_t>(w.size()));
              pl::copy_to_host(model.context(), pl::tensor<float, space>::wrap(w.data(), w.shape), v.data());
              for (std::size_t i = 0; i < v.size(); i += 3) v[i] = 0;
              auto const values = pl::tensor<float, space>::allocate(model.context(), w.shape);
              pl::copy_from_host(model.context(), v.data(), values);
              F::encode(model.context(), w.shape, static_cast<float const*>(values.data()), w.storage_of(tag));
              w.template use_form<F>();
              w.requires_grad = false;
            }
          });
        }
      });
    model = model.rebuild(net);
    renew();
  }
  /// As a program goes on.
  pl::run::resume_point go_on(std::string const& folder) {
    // [forms]
    pl::run::take_forms(folder, model);
    optimizer =
        pl::nn::optimizer_state<float, space>(model.context(), model.arena(), pl::nn::adamw{.learning_rate = 0.01});
    auto const at = pl::run::load_checkpoint(folder, model, optimizer);
    // [forms]
    if (!at) throw std::runtime_error("there is no checkpoint");
    return *at;
  }
};

/// What a model on one rank has after two steps, and after four.
void train_alone(folder const& f) {
  runner r(pl::comm::communicator(pl::comm::self{}), {});
  r.encode(forms);
  r.steps(0, 2);
  pl::run::save_checkpoint(f / "half", r.model, r.optimizer, 2);
  r.steps(2, 4);
  pl::run::save_checkpoint(f / "whole", r.model, r.optimizer, 4);
}

std::vector<layout> const layouts{{1, 3, 1, 0}, {1, 2, 1, 1}, {1, 3, 1, 2}, {1, 4, 1, 3}, {2, 1, 1, 0}, {2, 2, 1, 3},
                                  {3, 1, 1, 0}, {1, 1, 2, 0}, {1, 1, 3, 0}, {1, 1, 4, 0}, {1, 2, 2, 3}, {2, 1, 2, 0}};

/// What every rank of two has to say to f(runner); all must say the same.
template <class F> std::string said(F&& f, layout const& l = {1, 1, 2, 0}) {
  std::mutex guard;
  std::set<std::string> all;
  pl::comm::run_local(l.ranks(), [&](pl::comm::communicator c) {
    runner r(std::move(c), l);
    std::string what;
    try {
      f(r);
    } catch (pl::error const& e) {
      what = e.call() + ": " + e.problem() + " " + e.remedy();
    }
    std::lock_guard const lock(guard);
    all.insert(what);
  });
  REQUIRE(all.size() == 1);
  return *all.begin();
}

}  // namespace

TEST_CASE(
    "encoded weights: a checkpoint of any layout is loaded under any other, and saved again it has the same bytes") {
  folder const f;
  train_alone(f);
  auto const half = files(f / "half/step-2"), whole = files(f / "whole/step-4");
  REQUIRE(half.contains("encoded.safetensors"));
  CHECK(half.at("encoded.safetensors") == whole.at("encoded.safetensors"));
  CHECK(half.at("parameters.safetensors") != whole.at("parameters.safetensors"));
  auto const c = pl::io::load_checkpoint(f / "half");
  CHECK(c.state.at("form.c.weight") == "q8_0\n.blocks");
  for (auto const& [name, form] : forms) CHECK(!c.group("parameters").find(name));
  std::string before = f / "half";
  for (auto const& l : layouts) {
    INFO(l.words());
    std::string const here = f / "from " + l.words();
    pl::comm::run_local(l.ranks(), [&](pl::comm::communicator comm) {
      runner r(std::move(comm), l);
      auto const at = r.go_on(before);  // what the layout before has written
      if (at.step != 2 || !at.remark.empty())
        throw std::runtime_error("step " + std::to_string(at.step) + " " + at.remark);
      pl::run::save_checkpoint(here, r.model, r.optimizer, 2);
      r.steps(2, 4);
      pl::run::save_checkpoint(f / "later", r.model, r.optimizer, 4);
    });
    CHECK((files(here + "/step-2") == half));
    auto const later = files(f / "later/step-4");
    CHECK((later.at("encoded.safetensors") == half.at("encoded.safetensors")));
    // a tensor split changes sums
    CHECK((later.at("parameters.safetensors") == whole.at("parameters.safetensors")) == (l.tensor == 1));
    std::filesystem::remove_all(f / "later");
    before = here;
  }
}

TEST_CASE("factors from files and checkpoints are cut where the dense weight was, or at the blocks of the right one") {
  using factors = codec::factors<float>;
  folder const f;
  for (auto const& one : {std::pair<std::string, index_t>{"int8", 48}, {"bf16", 48}, {"dense", 48}, {"q8_0", 64}}) {
    auto const& right = one.first;
    index_t const border = one.second;
    INFO(right);
    std::string const file = f / "file " + right, at = f / "folder " + right;
    {
      runner r(pl::comm::communicator(pl::comm::self{}), {});
      auto net = r.model.net();
      net.for_each_parameter([&](auto& w) {
        if constexpr (std::remove_cvref_t<decltype(w)>::forms::template contains<factors>) {
          if (w.name != "c.weight") return;
          factors::encode_with(r.model.context(), w.shape, static_cast<float const*>(w.data()),
                               {{.rank = 4}, "int8", right}, w.storage_of(codec::form_tag<factors>{}));
          w.template use_form<factors>();
          w.requires_grad = false;
        }
      });
      r.model = r.model.rebuild(net);
      r.renew();
      pl::run::save(r.model, file);
      pl::run::save_checkpoint(at, r.model, r.optimizer, 1);
    }
    for (bool const from_file : {true, false})
      pl::comm::run_local(2, [&](pl::comm::communicator c) {
        pl::index_range const here = c.rank() == 0 ? pl::index_range{0, border} : pl::index_range{border, 96};
        runner r(std::move(c), {1, 1, 2, 0});
        if (from_file) pl::run::load(r.model, file);
        else (void)r.go_on(at);
        r.model.any_net().for_each_parameter([&](nn::any_weight<float, space>& w) {
          if (w.name == "c.weight" && w.box()[1] != here)
            throw std::runtime_error(right + (from_file ? " file " : " checkpoint ") + w.box().to_string());
        });
        pl::run::save(r.model, f / "again");
      });
    auto const bytes = [](std::string const& path) {
      std::ifstream in(path, std::ios::binary);
      return std::string(std::istreambuf_iterator<char>(in), {});
    };
    CHECK((bytes(f / "again") == bytes(file)));
  }
}

TEST_CASE("encoded weights: the forms may come from a transform, and in the background") {
  folder const f;
  train_alone(f);
  pl::comm::run_local(3, [&](pl::comm::communicator c) {
    runner r(std::move(c), {1, 3, 1, 1});
    auto other = r.model.host_values();  // other contents of the same forms
    for (auto& x : other) x *= 0.5f;
    r.model.set_host_values(other);
    r.encode(forms);
    if (!pl::run::load_checkpoint(f / "half", r.model, r.optimizer)) throw std::runtime_error("there is no checkpoint");
    pl::run::checkpoint_writer writer(f / "again", {.asynchronous = true});
    writer.save(r.model, r.optimizer, 2);
    writer.wait();
  });
  CHECK((files(f / "again/step-2") == files(f / "half/step-2")));
}

TEST_CASE("encoded weights: form sets and forms that do not fit are refused in words, on every rank") {
  folder const f;
  train_alone(f);
  CHECK_THAT(said([&](runner& r) { (void)pl::run::load_checkpoint(f / "half", r.model, r.optimizer); }),
             ContainsSubstring("'b.weight' was saved in the form 'csr', and has the form 'dense' here") &&
                 ContainsSubstring("run::take_forms(folder, model)"));
  CHECK(said([&](runner& r) {
          r.encode({{"c.weight", "csr"}});  // it takes the checkpoint's
          (void)r.go_on(f / "half");
        }).empty());
  CHECK_THAT(said([&](runner& r) {
               r.encode({{"a.weight", "csr"}});
               (void)r.go_on(f / "half");
             }),
             ContainsSubstring("'a.weight' was saved as the numbers that are trained, and has the form 'csr' here") &&
                 ContainsSubstring("encode it afterwards"));
  std::string words;
  try {
    using narrow = codec::forms<codec::dense<float>, codec::csr<float>, codec::int8<float>>;
    trained t(network_of<narrow>(), pl::comm::communicator(pl::comm::self{}), {});
    (void)pl::run::take_forms(f / "half", t.model);
  } catch (pl::error const& e) {
    words = e.what();
  }
  CHECK_THAT(words, ContainsSubstring(
                        "'c.weight' was saved in the form 'q8_0', the model's weight can take 'dense', 'csr', 'int8'"));
  try {
    trained t(network<stored>(), pl::comm::communicator(pl::comm::self{}), {});
    (void)pl::run::take_forms(f / "half", t.model);
    words = "";
  } catch (pl::error const& e) {
    words = e.what();
  }
  CHECK_THAT(words, ContainsSubstring("is no parameter of this network"));
  // Parts that were encoded each by itself are no parts of one weight.
  CHECK_THAT(said([&](runner& r) {
               r.encode({{"c.weight", "coded"}});
               pl::run::save_checkpoint(f / "parts", r.model, r.optimizer, 1);
             }),
             ContainsSubstring("'c.weight': the parts have codebooks of their own"));
  CHECK(!std::filesystem::exists((f / "parts") + "/step-1"));
}

TEST_CASE("encoded weights that are damaged make all ranks pass over the checkpoint") {
  folder const f;
  {
    runner r(pl::comm::communicator(pl::comm::self{}), {});
    r.encode(forms);
    pl::run::save_checkpoint(f / "two", r.model, r.optimizer, 1);
    r.steps(0, 1);
    pl::run::save_checkpoint(f / "two", r.model, r.optimizer, 2);
  }
  auto const size = std::filesystem::file_size((f / "two") + "/step-2/encoded.safetensors");
  for (std::size_t const from_end : {std::size_t{1}, std::size_t{3000}, static_cast<std::size_t>(size) / 2}) {
    {
      std::fstream file((f / "two") + "/step-2/encoded.safetensors", std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(-static_cast<std::streamoff>(from_end), std::ios::end);
      char const was = static_cast<char>(file.get());
      file.seekp(-static_cast<std::streamoff>(from_end), std::ios::end);
      file.put(static_cast<char>(was ^ 4));
    }
    for (layout const& l : {layout{1, 3, 1, 0}, {2, 1, 2, 0}}) {
      pl::comm::run_local(l.ranks(), [&](pl::comm::communicator c) {
        runner r(std::move(c), l);
        auto const at = r.go_on(f / "two");
        if (at.step != 1 || at.remark.find("encoded.safetensors") == std::string::npos ||
            at.remark.find("damaged") == std::string::npos)
          throw std::runtime_error("step " + std::to_string(at.step) + ": " + at.remark);
      });
    }
  }
}

TEST_CASE("encoded weights: a checkpoint of an older version leaves those that the model has") {
  folder const f;
  train_alone(f);
  std::string const step = f / "half/step-2";
  std::ifstream in(step + "/manifest", std::ios::binary);
  std::string all;
  for (std::string line; std::getline(in, line);)
    if (!line.starts_with("end ") && !line.starts_with("state \"form.") &&
        line.find(" encoded.safetensors") == std::string::npos)
      all += line + "\n";
  all += "end " + pl::io::checksum::hex(pl::io::checksum_of(std::as_bytes(std::span(all.data(), all.size())))) + "\n";
  pl::io::write_file(step + "/manifest", all);
  std::string const words = said(
      [&](runner& r) {
        r.encode(forms);
        auto const at = pl::run::load_checkpoint(f / "half", r.model, r.optimizer);
        if (!at || at->step != 2) throw std::runtime_error("not loaded");
        throw pl::error{"remark", at->remark};
      },
      {1, 2, 1, 0});
  CHECK_THAT(words, ContainsSubstring(
                        "remark: weights in encoded forms are not in this checkpoint: 6 of them stay what they are"));
}
