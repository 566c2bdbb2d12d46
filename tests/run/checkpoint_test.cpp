// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/run/checkpoint.hpp>

#include <pleat/codec/masked.hpp>

#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include <catch2/catch_test_macros.hpp>

#include <pleat/run/model_file.hpp>

#include "checkpoint_support.hpp"
#include "support/empty_parameter.hpp"

namespace pl = pleat;
using namespace checkpoint_test;

namespace {

std::vector<layout> const layouts = {
    {1, 1, 1, 0}, {1, 3, 1, 0}, {1, 2, 1, 1},    {1, 3, 1, 2}, {1, 4, 1, 3},       {1, 4, 1, 3, 2},
    {2, 1, 1, 0}, {2, 2, 1, 3}, {4, 2, 1, 2},    {3, 1, 1, 0}, {1, 1, 2, 0},       {1, 1, 3, 0},
    {1, 2, 3, 1}, {2, 2, 2, 3}, {1, 4, 2, 2, 2}, {8, 1, 1, 0}, {1, 4, 1, 1, 2, 2}, {1, 8, 1, 3, 2, 2}};

/// Loads the newest checkpoint of `from` under a layout, and does something with what has become of it.
template <class Forms, class F> void resumed(layout const& l, std::string const& from, F&& then) {
  pl::comm::run_local(l.ranks(), [&](pl::comm::communicator c) {
    trained t(network<Forms>(), std::move(c), l);
    auto const at = pl::run::load_checkpoint(from, t.model, t.optimizer);
    if (!at) throw std::runtime_error("no checkpoint in " + from);
    then(t, *at);
  });
}

/// A checkpoint of training on one rank.
void train_alone(std::string const& to, int steps) {
  trained t(network<dense>(), pl::comm::communicator(pl::comm::self{}), {});
  t.steps(0, steps);
  pl::run::save_checkpoint(to, t.model, t.optimizer, steps);
}

std::string sentence(auto&& f) {
  try {
    f();
  } catch (std::exception const& e) {
    return e.what();
  }
  return "";
}

/// What every rank of a layout says when it loads; all must say the same.
std::string said_by_all(layout const& l, std::string const& from, std::uint64_t seed = 3) {
  std::mutex guard;
  std::set<std::string> said;
  pl::comm::run_local(l.ranks(), [&](pl::comm::communicator c) {
    trained t(network<dense>(), std::move(c), l, seed);
    std::string what;
    try {
      auto const at = pl::run::load_checkpoint(from, t.model, t.optimizer);
      what = at ? "step " + std::to_string(at->step) + " " + at->remark : "nothing";
    } catch (pl::error const& e) {
      what = e.call() + ": " + e.problem();
    }
    std::lock_guard const lock(guard);
    said.insert(what);
  });
  REQUIRE(said.size() == 1);
  return *said.begin();
}

void change_byte(std::string const& path, std::size_t at) {
  std::fstream f(path, std::ios::binary | std::ios::in | std::ios::out);
  f.seekg(static_cast<std::streamoff>(at));
  char c = 0;
  f.get(c);
  f.seekp(static_cast<std::streamoff>(at));
  f.put(static_cast<char>(c ^ 4));
}

}  // namespace

TEST_CASE("a checkpoint of any layout is loaded under any other, and saved again it has the same bytes") {
  folder const f;
  train_alone(f / "alone", 3);
  auto const expected = files(f / "alone/step-3");
  auto const manifest = manifest_without_plan(f / "alone/step-3");
  REQUIRE(expected.size() == 3);
  // From each layout to every other one: first a checkpoint of every layout, then all pairs.
  for (std::size_t i = 0; i < layouts.size(); ++i)
    resumed<dense>(layouts[i], f / "alone", [&](auto& t, auto const& at) {
      pl::run::save_checkpoint(f / std::to_string(i), t.model, t.optimizer, at.step);
    });
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    INFO(layouts[i].words());
    auto const step = f / (std::to_string(i) + "/step-3");
    REQUIRE((files(step) == expected));
    REQUIRE(manifest_without_plan(step) == manifest);
    for (std::size_t j = 0; j < layouts.size(); ++j) {
      if (j == i) continue;
      INFO("to " << layouts[j].words());
      resumed<dense>(layouts[j], f / std::to_string(i), [&](auto& t, auto const& at) {
        pl::run::save_checkpoint(f / "again", t.model, t.optimizer, at.step);
      });
      REQUIRE((files(f / "again/step-3") == expected));
      std::filesystem::remove_all(f / "again");
    }
  }
}

namespace {
auto network_with_empty_parameters() {
  namespace nn = pl::nn;
  using empty = pleat_test::empty_parameters;
  return nn::sequential(empty("first"), nn::linear("fc1", 12, 10), nn::relu(), empty("second"), empty("third"),
                        nn::linear("fc2", 10, 5), empty("last"));
}
/// Trains steps [from, to) under a layout, after a checkpoint if there is one, and saves another and the model; what
/// the model's file holds.
std::string train_with_empty_parameters(layout const& l, std::string const& in, int from, int to) {
  pl::comm::run_local(l.ranks(), [&](pl::comm::communicator c) {
    trained t(network_with_empty_parameters(), std::move(c), l);
    if (from > 0 && !pl::run::load_checkpoint(in, t.model, t.optimizer))
      throw std::runtime_error("no checkpoint in " + in);
    t.steps(from, to);
    pl::run::save_checkpoint(in, t.model, t.optimizer, to);
    pl::run::save(t.model, in + "/model.safetensors", {.network = "empty"});
    // a file without elements is read, too
    trained other(network_with_empty_parameters(), pl::comm::communicator(pl::comm::self{}), {}, 5);
    t.world.comm.barrier();
    (void)pl::run::load(other.model, in + "/model.safetensors");
    t.world.comm.barrier();
  });
  std::ifstream file(in + "/model.safetensors", std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}
}  // namespace

TEST_CASE("parameters without elements go through checkpoints and model files, from any layout to any other") {
  folder const whole, cut;
  auto const reference = train_with_empty_parameters({}, whole.path(), 0, 3);
  CHECK(reference.find("first.matrix") != std::string::npos);
  CHECK(reference.find("\"shape\":[3,0]") != std::string::npos);
  for (auto const& [before, after] : std::vector<std::pair<layout, layout>>{{{1, 1, 1}, {1, 3, 1}},
                                                                            {{1, 3, 1}, {1, 2, 1, 3}},
                                                                            {{1, 2, 1, 3}, {1, 3, 1, 1}},
                                                                            {{2, 1, 1}, {1, 1, 1}},
                                                                            {{1, 1, 1}, {4, 1, 1}}}) {
    INFO(before.words() << " -> " << after.words());
    (void)train_with_empty_parameters(before, cut.path(), 0, 2);
    CHECK(train_with_empty_parameters(after, cut.path(), 2, 3) == reference);
  }
}

TEST_CASE("training goes on under another layout with the same bits") {
  folder const f;
  train_alone(f / "alone", 4);
  auto const expected = files(f / "alone/step-4");
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    if (layouts[i].tensor > 1) continue;  // a tensor split changes sums
    auto next = layouts[(i + 5) % layouts.size()];
    next.tensor = 1;
    INFO("from " << layouts[i].words() << " to " << next.words());
    pl::comm::run_local(layouts[i].ranks(), [&](pl::comm::communicator c) {
      trained t(network<dense>(), std::move(c), layouts[i]);
      t.steps(0, 2);
      pl::run::save_checkpoint(f / "on", t.model, t.optimizer, 2);
    });
    resumed<dense>(next, f / "on", [&](auto& t, auto const& at) {
      if (at.step != 2 || t.model.steps() != 2 || t.optimizer.steps() != 2) throw std::runtime_error("other counters");
      t.steps(2, 4);
      t.model.demand_equal_replicas();
      pl::run::save_checkpoint(f / "on", t.model, t.optimizer, 4);
    });
    CHECK((files(f / "on/step-4") == expected));
    std::filesystem::remove_all(f / "on");
  }
}

TEST_CASE("what is drawn at random is part of a checkpoint: a run that goes on from another step draws otherwise") {
  folder const f;
  train_alone(f / "alone", 2);
  auto const goes_on = [&](index_t at_step) {
    resumed<dense>({1, 2, 1, 1}, f / "alone", [&](auto& t, auto const&) {
      t.model.set_steps(at_step);
      t.steps(2, 4);
      pl::run::save_checkpoint(f / "on", t.model, t.optimizer, 4);
    });
    auto const bytes = files(f / "on/step-4").at("parameters.safetensors");
    std::filesystem::remove_all(f / "on");
    return bytes;
  };
  auto const same = goes_on(2);
  CHECK((goes_on(2) == same));
  CHECK((goes_on(3) != same));
}

TEST_CASE("16-bit values keep their masters under every layout") {
  using forms = pl::codec::forms<pl::codec::dense<pl::bfloat16>>;
  folder const f;
  {
    trained t(network<forms>(), pl::comm::communicator(pl::comm::self{}), {});
    auto const n = static_cast<std::size_t>(t.model.arena().size());
    std::vector<float> wide(n, 0);
    std::vector<pl::bfloat16> values(n);
    for (auto const& e : t.model.arena().entries())
      if (e.name != pl::nn::loss_entry)
        for (index_t i = e.begin; i < e.end; ++i) {
          wide[static_cast<std::size_t>(i)] = 1.f / static_cast<float>(i + 3);  // not a bfloat16
          values[static_cast<std::size_t>(i)] = pl::bfloat16(wide[static_cast<std::size_t>(i)]);
        }
    t.model.set_host_values(values);
    pl::copy_from_host(t.model.context(), wide.data(),
                       pl::tensor<float, space>::wrap(t.model.arena().masters(), {static_cast<index_t>(n)}));
    pl::run::save_checkpoint(f / "alone", t.model, t.optimizer, 1);
  }
  auto const expected = files(f / "alone/step-1");
  REQUIRE(expected.contains("masters.safetensors"));
  for (auto const& l : {layout{1, 3, 1, 3}, layout{2, 2, 2, 1}, layout{1, 4, 1, 2, 2}}) {
    INFO(l.words());
    resumed<forms>(l, f / "alone", [&](auto& t, auto const& at) {
      pl::run::save_checkpoint(f / "again", t.model, t.optimizer, at.step);
    });
    CHECK((files(f / "again/step-1") == expected));
    std::filesystem::remove_all(f / "again");
  }
}

TEST_CASE("16-bit values go on with the bits that their masters have, where the optimizer keeps nothing else") {
  using forms = pl::codec::forms<pl::codec::dense<pl::bfloat16>>;
  // Steps far below a unit in the last place of most values: they are in the masters alone.
  auto const train = [](auto& t, auto& optimizer, int from, int to) {
    pipeline_training::samples<std::remove_cvref_t<decltype(t.model.net())>> source{&t.model, 0, false};
    for (int s = from; s < to; ++s) {
      source.step = s;
      t.model.zero_grad(24);
      t.model.walk(source);
      t.model.reduce();
      t.model.step(optimizer);
    }
  };
  using state = pl::nn::optimizer_state<pl::bfloat16, space>;
  pl::nn::sgd const plain{.learning_rate = 1e-3};
  folder const f;
  {
    trained t(network<forms>(), pl::comm::communicator(pl::comm::self{}), {});
    state optimizer(t.model.context(), t.model.arena(), plain);
    train(t, optimizer, 0, 4);
    pl::run::save_checkpoint(f / "half", t.model, optimizer, 4);
    train(t, optimizer, 4, 8);
    pl::run::save_checkpoint(f / "whole", t.model, optimizer, 8);
  }
  auto const expected = files(f / "whole/step-8");
  REQUIRE(expected.contains("masters.safetensors"));
  for (auto const& l : {layout{}, layout{1, 3, 1, 3}, layout{2, 2, 1, 1}}) {
    INFO(l.words());
    pl::comm::run_local(l.ranks(), [&](pl::comm::communicator c) {
      trained t(network<forms>(), std::move(c), l);
      state optimizer(t.model.context(), t.model.arena(), plain);
      if (!pl::run::load_checkpoint(f / "half", t.model, optimizer)) throw std::runtime_error("no checkpoint");
      train(t, optimizer, 4, 8);
      pl::run::save_checkpoint(f / "again", t.model, optimizer, 8);
    });
    CHECK((files(f / "again/step-8") == expected));
    std::filesystem::remove_all(f / "again");
  }
}

TEST_CASE("masks of pruned weights are part of a checkpoint") {
  using masked = pl::codec::masked<float>;
  using forms = pl::codec::forms<pl::codec::dense<float>, masked>;
  folder const f;
  {
    trained t(network<forms>(), pl::comm::communicator(pl::comm::self{}), {});
    t.model.net().for_each_parameter([&](auto& w) {
      if constexpr (std::remove_cvref_t<decltype(w)>::forms::template contains<masked>) {
        if (w.shape.rank() < 2 || !w.tied_to.empty() || w.name == "last.weight") return;
        std::vector<std::uint8_t> bits(static_cast<std::size_t>(w.size() + 7) / 8, 0);
        for (index_t i = 0; i < w.size(); ++i)
          if (i % 3 != 0 || i % 7 == 0) bits[static_cast<std::size_t>(i / 8)] |= static_cast<std::uint8_t>(1u << i % 8);
        masked::encode_with_mask(t.model.context(), w.shape, w.data(), bits,
                                 w.storage_of(pl::codec::form_tag<masked>{}));
        w.template use_form<masked>();
      }
    });
    t.model.refresh_masks();
    pl::run::save_checkpoint(f / "alone", t.model, t.optimizer, 1);
  }
  auto const expected = files(f / "alone/step-1");
  REQUIRE(expected.contains("masks.safetensors"));
  for (auto const& l : layouts) {
    INFO(l.words());
    // The network that loads was never pruned: it gets the masks, and keeps them through a step.
    resumed<forms>(l, f / "alone", [&](auto& t, auto const& at) {
      pl::run::save_checkpoint(f / "again", t.model, t.optimizer, at.step);
      t.steps(1, 2);
      pl::run::save_checkpoint(f / "later", t.model, t.optimizer, 2);
    });
    CHECK((files(f / "again/step-1") == expected));
    auto const later = files(f / "later/step-2");
    CHECK(later.at("masks.safetensors") == expected.at("masks.safetensors"));
    CHECK(later.at("parameters.safetensors") != expected.at("parameters.safetensors"));
    auto const c = pl::io::load_checkpoint(f / "later");
    index_t dead = 0;
    for (auto const& e : c.group("masks").entries()) {
      auto const alive = c.group("masks").bytes(e), values = c.group("parameters").bytes(e.name);
      for (std::size_t i = 0; i < alive.size(); ++i) {
        float v = 0;
        std::memcpy(&v, values.data() + 4 * i, 4);
        if (alive[i] != std::byte{0}) continue;
        REQUIRE(v == 0);
        ++dead;
      }
    }
    CHECK(dead > 100);
    std::filesystem::remove_all(f / "again");
    std::filesystem::remove_all(f / "later");
  }
  // A network that cannot be pruned, and one that is where the checkpoint is not.
  pl::world alone(pl::comm::communicator(pl::comm::self{}), 1);
  CHECK(said_by_all({1, 2, 1, 1}, f / "alone").find("'fc1.weight' was saved pruned, and here it cannot be") !=
        std::string::npos);
}

TEST_CASE("the loss scale and words of the program's own come back") {
  folder const f;
  pl::comm::run_local(2, [&](pl::comm::communicator c) {
    trained t(network<dense>(), std::move(c), {1, 2, 1, 1});
    pl::parallel::loss_scale scale;
    scale.set(1000.1 + 0.2, 17, 3);
    pl::run::save_checkpoint(f.path(), t.model, t.optimizer, 9, {.scale = &scale, .more = {{"epoch", "4 é"}}});
  });
  resumed<dense>({2, 1, 1, 0}, f.path(), [&](auto& t, auto const& at) {
    if (at.step != 9 || at.more != std::map<std::string, std::string>{{"epoch", "4 é"}})
      throw std::runtime_error("other words");
    pl::parallel::loss_scale scale;
    (void)pl::run::load_checkpoint(f.path(), t.model, t.optimizer, {.scale = &scale});
    if (scale.value() != 1000.1 + 0.2 || scale.good_steps() != 17 || scale.skipped() != 3)
      throw std::runtime_error("another loss scale");
  });
}

namespace {
/// Rewrites the lines of a manifest, and its checksum.
void edit_manifest(std::string const& step, std::function<std::string(std::string const&)> const& line_of) {
  std::ifstream in(step + "/manifest", std::ios::binary);
  std::string all;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("end ")) continue;
    if (auto const now = line_of(line); !now.empty()) all += now + "\n";
  }
  all += "end " + pl::io::checksum::hex(pl::io::checksum_of(std::as_bytes(std::span(all.data(), all.size())))) + "\n";
  pl::io::write_file(step + "/manifest", all);
}
}  // namespace

TEST_CASE(
    "the loss scale of a model of half goes along unasked; without one, or with one that cannot be, nothing is "
    "loaded") {
  using forms = pl::codec::forms<pl::codec::dense<pl::half>>;
  folder const f;
  pl::comm::run_local(2, [&](pl::comm::communicator c) {
    trained t(network<forms>(), std::move(c), {1, 2, 1, 1});
    t.model.scaling()->set(4096, 17, 3);
    pl::run::save_checkpoint(f.path(), t.model, t.optimizer, 9);
  });
  resumed<forms>({2, 1, 1, 0}, f.path(), [&](auto& t, auto const&) {
    auto const& s = *t.model.scaling();
    if (s.value() != 4096 || s.good_steps() != 17 || s.skipped() != 3)
      throw std::runtime_error("another loss scale: " + std::to_string(s.value()));
  });
  auto const refused = [&](std::string const& key, std::string const& value) {
    std::filesystem::remove_all(f / "edited");
    std::filesystem::create_directory(f / "edited");
    std::filesystem::copy(f / "step-9", f / "edited/step-9");
    edit_manifest(f / "edited/step-9", [&](std::string const& line) {
      if (!line.starts_with("state \"" + key + "\"")) return line;
      return value.empty() ? std::string() : "state \"" + key + "\" \"" + value + "\"";
    });
    std::mutex guard;
    std::set<std::string> said;
    pl::comm::run_local(2, [&](pl::comm::communicator c) {
      trained t(network<forms>(), std::move(c), {1, 2, 1, 1}, 3);
      t.steps(0, 1);
      auto const before = t.model.checksum();
      auto const s = sentence([&] { (void)pl::run::load_checkpoint(f / "edited", t.model, t.optimizer); });
      if (t.model.checksum() != before || t.model.steps() != 1 || t.optimizer.steps() != 1 ||
          t.model.scaling()->value() != 65536)
        throw std::runtime_error("something was handed over: " + s);
      std::lock_guard const lock(guard);
      said.insert(s);
    });
    REQUIRE(said.size() == 1);
    return *said.begin();
  };
  CHECK(refused("loss_scale", "").find("it has no loss scale, and training in f16 goes on with one") !=
        std::string::npos);
  for (std::string const bad : {"inf", "nan", "-inf", "0", "0.5", "1e30", "4096x", "x", " 1"})
    CHECK(refused("loss_scale", bad)
              .find("the state 'loss_scale' is '" + bad + "', expected a number from 1 to 16777216") !=
          std::string::npos);
  for (std::string const key : {"loss_scale_good_steps", "loss_scale_skipped", "steps", "cursor"})
    for (std::string const bad : {"9223372036854775808", "-1", "1.5", "99999999999999999999"})
      CHECK(refused(key, bad).find("the state '" + key + "' is '" + bad + "', expected a whole number below 2^63") !=
            std::string::npos);
}

TEST_CASE("missing, truncated and altered parts are refused on every rank alike, and the one before is taken") {
  folder const f;
  train_alone(f / "c", 1);
  train_alone(f / "c", 2);
  auto const keep = [&] {
    std::filesystem::remove_all(f / "d");
    std::filesystem::copy(f / "c", f / "d", std::filesystem::copy_options::recursive);
  };
  for (auto const& l : {layout{1, 3, 1, 1}, layout{2, 2, 2, 3}})
    for (std::string const file :
         {"manifest", "parameters.safetensors", "optimizer-1.safetensors", "optimizer-2.safetensors"}) {
      auto const path = f / ("d/step-2/" + file);
      auto const size = std::filesystem::file_size(f / ("c/step-2/" + file));
      std::vector<std::size_t> const places{0, 9, size / 5, size / 2, size - 1};
      for (int how = 0; how < static_cast<int>(places.size()) + 3; ++how) {
        keep();
        if (how == 0) std::filesystem::remove(path);
        if (how == 1) std::filesystem::resize_file(path, size - 1);
        if (how == 2) std::filesystem::resize_file(path, size + 1);
        if (how > 2) change_byte(path, places[static_cast<std::size_t>(how - 3)]);
        INFO(l.words() << ", " << file << ", damage " << how);
        auto const said = said_by_all(l, f / "d");
        CHECK(said.starts_with("step 1 passed over a damaged checkpoint ("));
        CHECK(said.find(path) != std::string::npos);
        CHECK(said.ends_with("going on from '" + (f / "d/step-1") + "', step 1"));
        std::filesystem::remove_all(f / "d/step-1");
        auto const worse = said_by_all(l, f / "d");
        CHECK(worse.find("no checkpoint of 2 is whole (") != std::string::npos);
      }
    }
  CHECK(said_by_all({1, 2, 1, 0}, f / "nowhere") == "nothing");
  CHECK(said_by_all({2, 2, 1, 2}, f / "c", 8).find("it was saved with seed 3, this run has 8") != std::string::npos);
}

TEST_CASE("a damaged array is named, with its bytes") {
  folder const f;
  train_alone(f.path(), 1);
  auto const path = f / "step-1/optimizer-2.safetensors";
  std::uint64_t begin = 0;
  {
    pl::io::safetensors_file const file(path);
    begin = file.header().size() + file.at("block.1.in.weight").begin;
  }
  change_byte(path, begin + 7);
  auto const said = said_by_all({2, 2, 2, 3}, f.path());
  CHECK(said.find("the checksum of 'block.1.in.weight', bytes " + std::to_string(begin) + " to " +
                  std::to_string(begin + 4 * 140) + ", is ") != std::string::npos);
  CHECK(said.find("it is damaged") != std::string::npos);
  CHECK(sentence([&] { (void)pl::io::load_checkpoint(f.path()); }).find("the checksum of 'block.1.in.weight'") !=
        std::string::npos);
}

TEST_CASE("a foreign network is refused on every rank") {
  folder const f;
  train_alone(f.path(), 1);
  auto const refused = [&](auto make) {
    std::mutex guard;
    std::set<std::string> said;
    pl::comm::run_local(4, [&](pl::comm::communicator c) {
      trained t(make(), std::move(c), {2, 2, 1, 1});
      auto const s = sentence([&] { (void)pl::run::load_checkpoint(f.path(), t.model, t.optimizer); });
      std::lock_guard const lock(guard);
      said.insert(s);
    });
    REQUIRE(said.size() == 1);
    return *said.begin();
  };
  namespace nn = pl::nn;
  CHECK(refused([] {
          return nn::sequential(nn::linear("fc1", 12, 11), nn::relu(), nn::linear("last", 11, 5));
        }).find("'fc1.weight' is F32 [10, 12] there and F32 [11, 12] here") != std::string::npos);
  CHECK(refused([] {
          return nn::sequential(nn::linear("other", 12, 10), nn::relu(), nn::linear("last", 10, 5));
        }).find("there is no parameter 'other.weight' in it") != std::string::npos);
  CHECK(refused([] {
          return nn::sequential(nn::linear("fc1", 12, 10), nn::relu(), nn::linear("last", 10, 5));
        }).find("it has 15 parameters, this network has 4") != std::string::npos);
}

TEST_CASE("checkpoints of the first format are read under any layout") {
  folder const f;
  train_alone(f / "c", 2);
  auto const expected = files(f / "c/step-2");
  // The same files with the manifest that the first version wrote.
  std::string text = "pleat checkpoint 1\nstep 2\n";
  for (auto const& [name, content] : expected)
    text += "file " + name + " " + std::to_string(content.size()) + " " +
            pl::io::checksum::hex(pl::io::checksum_of(std::as_bytes(std::span(content.data(), content.size())))) + "\n";
  std::ifstream in(f / "c/step-2/manifest");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("state ")) text += line + "\n";
  text +=
      "end " + pl::io::checksum::hex(pl::io::checksum_of(std::as_bytes(std::span(text.data(), text.size())))) + "\n";
  pl::io::write_file(f / "c/step-2/manifest", text);
  for (auto const& l : {layout{}, layout{2, 2, 2, 3}, layout{1, 3, 1, 1}}) {
    resumed<dense>(l, f / "c", [&](auto& t, auto const& at) {
      pl::run::save_checkpoint(f / "again", t.model, t.optimizer, at.step);
    });
    CHECK((files(f / "again/step-2") == expected));
    std::filesystem::remove_all(f / "again");
  }
  change_byte(f / "c/step-2/optimizer-1.safetensors", 2000);
  CHECK(said_by_all({2, 2, 1, 1}, f / "c").find("the checksum of bytes 0 to") != std::string::npos);
}

TEST_CASE("a save in the background holds what was there when it began") {
  for (auto const& l : {layout{}, layout{1, 3, 1, 1}, layout{2, 2, 2, 3}}) {
    folder const f;
    INFO(l.words());
    pl::comm::run_local(l.ranks(), [&](pl::comm::communicator c) {
      trained t(network<dense>(), std::move(c), l);
      pl::run::checkpoint_writer background(f / "b", {.keep = 3, .asynchronous = true}),
          foreground(f / "f", {.keep = 3});
      for (int s = 0; s < 3; ++s) {
        t.steps(s, s + 1);
        background.save(t.model, t.optimizer, s);
        foreground.save(t.model, t.optimizer, s);
      }
      t.steps(3, 4);
      background.wait();
      background.wait();  // nothing is under way: nothing happens
    });
    for (int s = 0; s < 3; ++s) {
      auto const step = "/step-" + std::to_string(s);
      CHECK((files(f / "b" + step) == files(f / "f" + step)));
      CHECK(manifest_without_plan(f / "b" + step) == manifest_without_plan(f / "f" + step));
      CHECK(pl::io::detail::names_in(f / "b" + step) == pl::io::detail::names_in(f / "f" + step));
    }
  }
}

TEST_CASE("a save that fails is said on every rank, whoever saw it, and the one before stays") {
  folder const f;
  pl::io::write_file(f / "file", "x");
  for (bool const asynchronous : {false, true}) {
    std::mutex guard;
    std::set<std::string> said;
    pl::comm::run_local(4, [&](pl::comm::communicator c) {
      trained t(network<dense>(), std::move(c), {2, 2, 1, 1});
      pl::run::checkpoint_writer writer(f / "file", {.asynchronous = asynchronous});
      auto const s = sentence([&] {
        writer.save(t.model, t.optimizer, 1);
        writer.wait();
      });
      std::lock_guard const lock(guard);
      said.insert(s);
    });
    REQUIRE(said.size() == 1);
    CHECK(said.begin()->find("cannot make the folder '" + (f / "file") + "'") != std::string::npos);
  }
}

namespace {
/// Thread ranks that do something when rank 0 has told all of them a text: in a save, the folder is made and nobody has
/// written yet.
class interrupted {
 public:
  using what = std::function<void(int rank)>;
  interrupted(pl::comm::local inner, int rank, what const& then)
      : inner_(std::move(inner)), world_rank_(rank), then_(&then) {}
  [[nodiscard]] static constexpr char const* name() noexcept { return "local"; }
  [[nodiscard]] int rank() const noexcept { return inner_.rank(); }
  [[nodiscard]] int size() const noexcept { return inner_.size(); }
  void run(pl::comm::call const& c) {
    inner_.run(c);
    if (c.kind == pl::comm::call_kind::broadcast && c.out.count > 1) (*then_)(world_rank_);
  }
  [[nodiscard]] pl::comm::request start(pl::comm::call const& c) { return inner_.start(c); }
  void progress() { inner_.progress(); }
  void set_timeout(double seconds) noexcept { inner_.set_timeout(seconds); }
  [[nodiscard]] std::unique_ptr<interrupted> split(int color, int key) {
    auto part = inner_.split(color, key);
    return part ? std::make_unique<interrupted>(std::move(*part), world_rank_, *then_) : nullptr;
  }

 private:
  pl::comm::local inner_;
  int world_rank_;
  what const* then_;
};
}  // namespace

TEST_CASE("a save in the background that rank 0 fails in says on every rank what stopped rank 0") {
  folder const f;
  layout const l{1, 3, 1, 1};
  std::string const file = f / "step-2.tmp/parameters.safetensors";
  interrupted::what const then = [&](int rank) {
    if (!std::filesystem::exists(std::filesystem::symlink_status(f / "step-2.tmp"))) return;
    if (rank == 0) {  // it can open its file no more, and takes the folder away
      std::filesystem::remove(file);
      std::filesystem::create_symlink(file, file);
    } else {  // the others come when it is gone
      for (int i = 0; std::filesystem::exists(f / "step-2.tmp"); ++i) {
        if (i > 60000) throw std::runtime_error("rank 0 has not given up its folder");
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
  };
  auto const core = std::make_shared<pl::comm::detail::local_core>(l.ranks());
  std::vector<std::string> said(static_cast<std::size_t>(l.ranks()));
  std::vector<std::thread> threads;
  for (int r = 0; r < l.ranks(); ++r)
    threads.emplace_back([&, r] {
      said[static_cast<std::size_t>(r)] = sentence([&] {
        trained t(network<dense>(), pl::comm::communicator(interrupted(pl::comm::local(core, r), r, then)), l);
        pl::run::checkpoint_writer writer(f.path(), {.asynchronous = true});
        writer.save(t.model, t.optimizer, 1);
        writer.wait();
        writer.save(t.model, t.optimizer, 2);
        writer.wait();
      });
    });
  for (auto& t : threads) t.join();
  for (auto const& s : said) {
    INFO(s);
    CHECK(s.find("Too many levels of symbolic links") != std::string::npos);
  }
  CHECK(said_by_all(l, f.path()) == "step 1 ");
}
