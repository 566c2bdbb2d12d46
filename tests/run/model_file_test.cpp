// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/run/model_file.hpp>

#include <pleat/codec/blocks.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/comm/local.hpp>
#include <pleat/io/gguf.hpp>
#include <pleat/nn/repeat.hpp>
#include <pleat/run/gguf.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>

#include <filesystem>
#include <mutex>

#include <support/count_allocations.hpp>
#include <support/scratch_folder.hpp>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
namespace io = pleat::io;
namespace run = pleat::run;
using int8 = pleat::codec::int8<float>;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

/// A file that is rewritten entry by entry: change(views, metadata) may do anything to it.
template <class F> io::safetensors_file edited(std::vector<std::byte> const& image, F&& change) {
  io::safetensors_file const file(image);
  std::vector<io::tensor_view> views;
  for (auto const& e : file.entries()) views.push_back({e.name, e.type, e.shape, file.bytes(e)});
  auto metadata = file.metadata();
  change(views, metadata);
  io::safetensors_writer writer;
  for (auto& v : views) writer.add(v);
  for (auto& [k, v] : metadata) writer.metadata(k, v);
  return io::safetensors_file(writer.bytes());
}

TEST_CASE("every form goes through a file bit for bit, and the same model gives the same bytes") {
  auto w = alone();
  auto const model = build(w);
  // dense, masked, int8
  auto const small = model | (compress::prune{.sparsity = 0.8, .ignore = {"fc1.*"}} |
                              compress::quantize<int8>{.ignore = {"fc1.*", "fc2.*"}});
  run::model_description const about{
      .network = "mlp:20-16-12-4", .input = run::input_normalisation{33.318f, 1 / 78.567f}, .more = {}};
  auto const image = run::file_image(small, about);
  CHECK((run::file_image(small, about) == image));

  auto other = build(w, 77) | (compress::prune{.sparsity = 0.1} | compress::quantize<int8>{});
  auto const read = run::load(other, io::safetensors_file(image));
  CHECK(read.network == about.network);
  CHECK(read.input == about.input);
  CHECK((run::file_image(other, about) == image));
  auto const a = values_of(small), b = values_of(other);
  for (std::size_t p = 0; p < a.size(); ++p) {
    CHECK(a[p].form == b[p].form);
    CHECK(a[p].values == b[p].values);
  }
  CHECK((a[0].form == "dense" && a[2].form == "masked" && a[4].form == "int8"));
  // What was loaded goes on learning: masks are back in the arena.
  auto const train = data(32);
  other.net().for_each_parameter([](auto& p) { p.requires_grad = p.trainable(); });
  auto tuned = other.clone();
  (void)run::fit(tuned, train, quiet(1));
  auto const t = values_of(tuned);
  for (std::size_t i = 0; i < a[2].values.size(); ++i)
    if (a[2].values[i] == 0) REQUIRE(t[2].values[i] == 0);
  CHECK(t[0].values != a[0].values);
}

TEST_CASE("every form goes through GGUF too, and errors travel with it") {
  auto w = alone();
  auto const model = build(w);
  auto const small = model | (compress::prune{.sparsity = 0.8, .ignore = {"fc1.*"}} |
                              compress::quantize<int8>{.ignore = {"fc1.*", "fc2.*"}});
  run::model_description about{.network = "mlp:20-16-12-4",
                               .input = run::input_normalisation{33.318f, 1 / 78.567f},
                               .more = {{"author", "someone"}}};
  about.errors["fc3.weight"].max = 0.25;
  about.errors["fc3.weight"].frobenius = 1.5;
  auto const path =
      (std::filesystem::temp_directory_path() / ("pleat_model_file_" + std::to_string(::getpid()) + ".gguf")).string();
  run::save_gguf(small, path, "pleat-mlp", about);
  auto other = build(w, 77) | (compress::prune{.sparsity = 0.1} | compress::quantize<int8>{});
  auto const read = run::load(other, io::weight_file(path));
  CHECK(run::describe_file(io::weight_file(path)).network == about.network);
  std::filesystem::remove(path);
  CHECK((run::file_image(other, about) == run::file_image(small, about)));
  CHECK(read.input == about.input);
  CHECK(read.more.at("author") == "someone");
  REQUIRE(read.errors.size() == 1);
  CHECK(read.errors.at("fc3.weight").max == 0.25);
  CHECK(read.errors.at("fc3.weight").frobenius == 1.5);
}

TEST_CASE("block types are ggml's own tensors in GGUF, and a foreign GGUF file loads") {
  auto w = alone();
  using q8_0 = pleat::codec::q8_0<float>;
  using q4_0 = pleat::codec::q4_0<float>;
  auto const net =
      pleat::nn::sequential(pleat::nn::linear("fc1", 64, 32), pleat::nn::relu(), pleat::nn::linear("fc2", 32, 4));
  pleat::plan::plan p;
  p.global_batch = 4;
  auto const model = pleat::parallel::build(net, p, w, {.seed = 3});
  auto const small =
      model | (compress::quantize<q8_0>{.ignore = {"fc2.*"}} | compress::quantize<q4_0>{.ignore = {"fc1.*"}});
  auto const path =
      (std::filesystem::temp_directory_path() / ("pleat_blocks_" + std::to_string(::getpid()) + ".gguf")).string();
  run::save_gguf(small, path, "pleat-mlp");
  auto other = small.clone();
  {
    io::gguf_file const file(path);
    CHECK(file.at("fc1.weight").type.name == "Q8_0");
    CHECK(file.at("fc1.weight").shape == pleat::extents{32, 64});
    CHECK(file.at("fc2.weight").type.name == "Q4_0");
    CHECK(file.at("fc2.bias").type.name == "F32");
    CHECK_FALSE(file.metadata().contains("pleat.form.fc1.weight"));
    CHECK(file.value<std::uint32_t>("general.quantization_version") == 2);
    // Nothing but tensors: as other programs write them.
    io::gguf_writer plain("other");
    for (auto const& e : file.entries()) plain.add({e.name, e.type, e.shape, file.bytes(e)});
    plain.write(path + ".plain");
  }
  for (auto const* end : {"", ".plain"}) {
    auto target = pleat::parallel::build(net, p, w, {.seed = 9}) |
                  (compress::quantize<q8_0>{.ignore = {"fc2.*"}} | compress::quantize<q4_0>{.ignore = {"fc1.*"}});
    (void)run::load(target, io::weight_file(path + end));
    CHECK((run::file_image(target) == run::file_image(small)));
  }
  // A type that is no form of the network's is named.
  auto dense = pleat::parallel::build(net, p, w, {.seed = 9});
  CHECK_THROWS_MATCHES(run::load(dense, io::weight_file(path)), pleat::error,
                       MessageMatches(ContainsSubstring(
                           "'fc1.weight' is stored in the form 'q8_0', the model's weight can take 'dense'")));
  // The road reads safetensors; which header says GGUF is in the error.
  CHECK_THROWS_MATCHES(
      run::load(dense, path), pleat::error,
      MessageMatches(ContainsSubstring("this is a GGUF file") && ContainsSubstring("<pleat/run/gguf.hpp>")));
  std::filesystem::remove(path);
  std::filesystem::remove(path + ".plain");
}

TEST_CASE("a model is written weight by weight: rank 0 has no more than one of them in memory, from any mesh") {
  pleat_test::scratch_folder const f;
  // Eight weights of 1 MiB.
  auto const net = pleat::nn::repeat("block", 8, pleat::nn::linear("fc", 512, 512));
  constexpr long mib = 1 << 20;
  for (pleat::index_t const stages : {1, 2}) {
    auto const path = f / (std::to_string(stages) + ".safetensors");
    pleat::comm::run_local(static_cast<int>(stages), [&](pleat::comm::communicator c) {
      pleat::world world(std::move(c), 1);
      auto const m = pleat::parallel::build(net, {.global_batch = 4, .pipeline_ranks = stages}, world, {.seed = 3});
      auto const write = [&] { run::save(m, path, {.network = "eight"}); };
      if (stages == 1) {
        auto const most = pleat_test::most_bytes_in(write);
        CHECK(most >= mib);
        CHECK(most < mib + mib / 4);  // names and headers are a few KiB
        CHECK((run::file_image(m, {.network = "eight"}) == io::read_file(path)));
        // A smaller type: the numbers once more, and twice what they become.
        CHECK(pleat_test::most_bytes_in([&] {
                run::save(m, f / "narrow.safetensors", {}, {.dense_as = pleat::dtype::bf16});
              }) < 3 * mib + mib / 4);
        CHECK((run::file_image(m, {}, {.dense_as = pleat::dtype::bf16}) == io::read_file(f / "narrow.safetensors")));
        return;
      }
      world.comm.barrier();  // nobody still builds while another counts
      if (world.root()) {
        // of both ranks, which are threads: the one that is sent, the one that comes
        CHECK(pleat_test::most_bytes_in(write) < 3 * mib);
      } else {
        write();
      }
    });
    CHECK((io::read_file(path) == io::read_file(f / "1.safetensors")));
  }
}

TEST_CASE("a model file that cannot be finished is heard of on every rank, and the old one stays") {
  pleat_test::scratch_folder const f;
  auto const path = f / "m.safetensors";
  io::write_file(path, "old");
  auto const net = pleat::nn::sequential(pleat::nn::linear("a", 4, 3), pleat::nn::linear("b", 3, 2));
  std::mutex guard;
  std::vector<std::string> said;
  pleat::comm::run_local(2, [&](pleat::comm::communicator c) {
    pleat::world world(std::move(c), 1);
    auto m = pleat::parallel::build(net, {.global_batch = 4, .pipeline_ranks = 2}, world, {.seed = 3});
    m.set_timeout(20);  // only where it hangs
    auto values = m.host_values();
    for (auto& v : values) v = 1e38f;  // none of half's numbers
    m.set_host_values(values);
    std::string mine;
    try {
      run::save(m, path, {}, {.dense_as = pleat::dtype::f16});
    } catch (pleat::error const& e) {
      mine = e.what();
    }
    std::lock_guard const lock(guard);
    said.push_back(mine);
  });
  CHECK(said[0] == said[1]);
  CHECK_THAT(said[0],
             ContainsSubstring("run::save: 'a.weight'") && ContainsSubstring("above the largest number of F16"));
  CHECK(io::read_file(path).size() == 3);
  CHECK(f.count() == 1);
}

TEST_CASE("a file that fits on one rank and not on another is refused on every rank, and nobody waits") {
  pleat_test::scratch_folder const f;
  auto const net = [](int width) {
    return pleat::nn::sequential(pleat::nn::linear("a", 4, width), pleat::nn::linear("b", width, 2));
  };
  auto w = alone();
  run::save(pleat::parallel::build(net(3), {.global_batch = 4}, w, {.seed = 3}), f / "0.safetensors");
  run::save(pleat::parallel::build(net(5), {.global_batch = 4}, w, {.seed = 3}), f / "1.safetensors");
  std::vector<std::string> said(2);
  pleat::comm::run_local(2, [&](pleat::comm::communicator c) {
    pleat::world world(std::move(c), 1);
    auto m = pleat::parallel::build(net(3), {.global_batch = 4, .data_ranks = 2}, world, {.seed = 3});
    m.set_timeout(20);  // only where it hangs
    auto const before = m.host_values();
    try {
      (void)run::load(m, f / (std::to_string(world.rank()) + ".safetensors"));  // each node has a folder of its own
    } catch (pleat::error const& e) {
      said[static_cast<std::size_t>(world.rank())] = e.what();
    }
    if (m.host_values() != before) throw std::runtime_error("the model has changed");
  });
  CHECK(said[0] == said[1]);
  CHECK_THAT(said[0], ContainsSubstring("1.safetensors'): 'a.weight' has shape [3, 4] in the network"));
}

TEST_CASE("a type that dense weights cannot be written in is refused, whoever writes") {
  auto w = alone();
  auto const model = build(w);
  pleat_test::scratch_folder const dir;
  for (auto const type : {pleat::dtype::i8, pleat::dtype::u8, pleat::dtype::i64}) {
    run::file_options const how{.dense_as = type};
    auto const refused =
        MessageMatches(ContainsSubstring("dense parameters cannot be written as " + std::string(name_of(type))));
    CHECK_THROWS_MATCHES(run::file_image(model, {}, how), pleat::error, refused);
    CHECK_THROWS_MATCHES(run::save(model, dir / "m.safetensors", {}, how), pleat::error, refused);
    CHECK_THROWS_MATCHES(run::save_gguf(model, dir / "m.gguf", "mlp", {}, how), pleat::error, refused);
  }
  CHECK_FALSE(std::filesystem::exists(dir / "m.safetensors"));
}

TEST_CASE("a weight that was frozen by its form alone learns again in a form that can") {
  auto w = alone();
  auto const dense = run::file_image(build(w)), small = run::file_image(build(w) | compress::quantize<int8>{});
  auto net = network();
  pleat::nn::freeze(net, "fc2.weight");
  auto model = pleat::parallel::build(net, build(w).plan(), w, {.seed = 3}) | compress::quantize<int8>{};
  auto const learn = [&] {
    std::string names;
    pleat::nn::for_each_parameter(model.net(), [&](pleat::nn::parameter const& p) {
      if (p.requires_grad && p.name.ends_with("weight")) names += p.name + " ";
    });
    return names;
  };
  CHECK(learn().empty());
  for (int round = 0; round < 2; ++round) {
    (void)run::load(model, io::safetensors_file(dense));
    CHECK(learn() == "fc1.weight fc3.weight ");  // fc2 was frozen by hand
    CHECK(model.arena().entries()[static_cast<std::size_t>(model.arena().find("fc1.weight"))].requires_grad);
    (void)run::load(model, io::safetensors_file(small));
    CHECK(learn().empty());
  }
}

TEST_CASE("dense weights in other floating-point types, out and in") {
  auto w = alone();
  auto const model = build(w);
  for (auto const type : {pleat::dtype::bf16, pleat::dtype::f16, pleat::dtype::f64}) {
    auto const image = run::file_image(model, {}, {.dense_as = type});
    io::safetensors_file const file(image);
    for (auto const& e : file.entries()) CHECK(e.type == type);
    auto other = build(w, 5);
    (void)run::load(other, file);
    auto const a = values_of(model), b = values_of(other);
    for (std::size_t p = 0; p < a.size(); ++p)
      for (std::size_t i = 0; i < a[p].values.size(); ++i) {
        float const x = a[p].values[i];
        float const expected = type == pleat::dtype::bf16  ? static_cast<float>(pleat::bfloat16(x))
                               : type == pleat::dtype::f16 ? static_cast<float>(pleat::half(x))
                                                           : x;
        REQUIRE(b[p].values[i] == expected);
      }
    CHECK((run::file_image(other, {}, {.dense_as = type}) == image));
  }
  // Doubles are rounded once: just above the middle of 1 and the number after it they go up, though the nearest float
  // is the middle.
  static constexpr double middle[] = {1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-11 - 0x1p-40, 1 + 0x1p-8 + 0x1p-40,
                                      1 + 0x1p-8 - 0x1p-40};
  for (auto const type : {pleat::dtype::f16, pleat::dtype::bf16}) {
    pleat::codec::file_tensor part{
        "", pleat::dtype::f64, {4}, pleat::codec::detail::bytes_of(std::span<double const>(middle))};
    run::detail::convert_part("test", part, type);
    auto const bits = pleat::codec::detail::values_of<std::uint16_t>(part.bytes);
    if (type == pleat::dtype::f16) CHECK((bits[0] == 0x3c01 && bits[1] == 0x3c00));
    else CHECK((bits[2] == 0x3f81 && bits[3] == 0x3f80));
  }
  // What the narrower type cannot hold is said, and the model stays.
  auto target = build(w, 8);
  auto const untouched = run::file_image(target);
  auto const bad = edited(run::file_image(model, {}, {.dense_as = pleat::dtype::f64}), [](auto& views, auto&) {
    static constexpr double huge[] = {1, 2, 1e300, 3};
    for (auto& v : views)
      if (v.name == "fc3.bias") v.bytes = std::as_bytes(std::span(huge));
  });
  CHECK_THROWS_MATCHES(run::load(target, bad), pleat::error,
                       MessageMatches(ContainsSubstring("'fc3.bias': element 2 is above the largest number of F32")));
  CHECK((run::file_image(target) == untouched));
}

TEST_CASE("a dense model's file is plain: one F32 tensor per parameter, no forms in the metadata") {
  auto w = alone();
  auto const model = build(w);
  io::safetensors_file const file(run::file_image(model));
  CHECK(file.entries().size() == 6);
  REQUIRE(file.find("fc2.weight"));
  CHECK(file.at("fc2.weight").shape == extents{12, 16});
  CHECK(file.at("fc2.weight").type == pleat::dtype::f32);
  CHECK(file.metadata().size() == 1);
  CHECK(file.metadata().contains("pleat.version"));
}

TEST_CASE("files of other programs load: no metadata, any order") {
  auto w = alone();
  auto const model = build(w);
  auto const plain = edited(run::file_image(model), [](auto&, auto& metadata) { metadata.clear(); });
  auto other = build(w, 5) | compress::prune{.sparsity = 0.5};  // masked weights become dense again
  (void)run::load(other, plain);
  CHECK((run::file_image(other) == run::file_image(model)));
  CHECK(other.arena().entries()[0].mask_bits == nullptr);
}

TEST_CASE("what does not fit is said in a sentence, and the model stays as it was") {
  auto w = alone();
  auto const model = build(w);
  auto const image = run::file_image(model);
  auto target = build(w, 8);
  auto const untouched = run::file_image(target);
  auto const refused = [&](io::safetensors_file const& file, std::string const& words) {
    CHECK_THROWS_MATCHES(run::load(target, file), pleat::error, MessageMatches(ContainsSubstring(words)));
    CHECK((run::file_image(target) == untouched));
  };
  float const number = 1;
  std::span<std::byte const> const four = std::as_bytes(std::span(&number, 1));
  refused(edited(image, [](auto& v, auto&) { v.erase(v.begin()); }), "the file has no 'fc1.bias' of shape [16]");
  refused(edited(image,
                 [&](auto& v, auto&) {
                   v.push_back({"fc9.weight", pleat::dtype::f32, {1}, four});
                 }),
          "'fc9.weight', which the network has no parameter for");
  refused(edited(image,
                 [&](auto& v, auto&) {
                   v.push_back({"fc1.weightless", pleat::dtype::f32, {1}, four});
                 }),
          "'fc1.weightless'");
  refused(
      edited(image,
             [](auto& v, auto&) {
               for (auto& t : v)
                 if (t.name == "fc1.weight") t.shape = {20, 16};
             }),
      "'fc1.weight' has shape [16, 20] in the network and [20, 16] in the file. Build the network with the shapes of "
      "the file, or give the data that it was trained on (--data)");
  refused(edited(image,
                 [](auto& v, auto&) {
                   for (auto& t : v)
                     if (t.name == "fc1.weight") t.type = pleat::dtype::i32;
                 }),
          "I32");
  refused(edited(image,
                 [&](auto& v, auto&) {
                   v.push_back({"fc1.weight.extra", pleat::dtype::f32, {1}, four});
                 }),
          "do not say in which form");

  auto const small = model | compress::prune{.sparsity = 0.9};
  auto const masked = run::file_image(small);
  refused(io::safetensors_file(masked), "is stored in the form 'masked', the model's weight can take 'dense'");
  auto wide = build(w, 8) | compress::prune{.sparsity = 0.5};
  auto const before = run::file_image(wide);
  auto const refused_wide = [&](io::safetensors_file const& file, std::string const& words) {
    CHECK_THROWS_MATCHES(run::load(wide, file), pleat::error, MessageMatches(ContainsSubstring(words)));
    CHECK((run::file_image(wide) == before));
  };
  auto const metadata = [&](std::string const& key, std::string const& value) {
    return edited(masked, [&](auto&, auto& m) { m[key] = value; });
  };
  refused_wide(metadata("pleat.form.fc1.weight", "codebook"), "'codebook'");
  refused_wide(metadata("pleat.form.fc1.weight", "dense"), "");
  refused_wide(metadata("pleat.form.fc1.weight", std::string(100000, 'x')), "is stored in the form");
  refused_wide(metadata("pleat.shape.fc1.weight", "[999999999999, 20]"), "the file says [999999999999, 20]");
  refused_wide(edited(masked, [](auto&, auto& m) { m.erase("pleat.shape.fc1.weight"); }), "nothing about it");
  refused_wide(edited(masked, [](auto&, auto& m) { m.erase("pleat.form.fc2.weight"); }), "do not say in which form");
  refused_wide(metadata("pleat.format", "2"), "by version 2 of pleat's rules, this pleat knows 1 at most");
}

TEST_CASE("the description survives, and nonsense in it is refused") {
  auto w = alone();
  auto const model = build(w);
  auto const image = run::file_image(model, {.network = "net \"a\"\n",
                                             .input = run::input_normalisation{0.1f, 3e-8f},
                                             .more = {{"author", "someone"}, {"pleat.form.fc1.weight", "int8"}}});
  auto const d = run::describe_file(io::safetensors_file(image));
  CHECK(d.network == "net \"a\"\n");
  CHECK(d.input == run::input_normalisation{0.1f, 3e-8f});
  CHECK(d.more.at("author") == "someone");
  CHECK_FALSE(d.more.contains("pleat.form.fc1.weight"));  // a caller cannot lie about forms
  for (std::string const bad : {"", "abc", "1e99", "nan", "inf", "1 ", "0x10"})
    CHECK_THROWS_MATCHES(run::describe_file(edited(image, [&](auto&, auto& m) { m["pleat.input.scale"] = bad; })),
                         pleat::error, MessageMatches(ContainsSubstring("'pleat.input.scale'")));
}

TEST_CASE("a file is written whole or not at all, on every rank alike") {
  pleat_test::scratch_folder const folder;
  auto const path = folder / "m.safetensors";
  std::vector<std::string> said(3);
  std::vector<char> same(3);  // assertions are for one thread
  pleat::comm::run_local(3, [&](pleat::comm::communicator c) {
    auto const rank = static_cast<std::size_t>(c.rank());
    pleat::world w(std::move(c), 1);
    auto model = build(w);
    run::save(model, path);
    try {
      run::save(model, folder / "missing/m.safetensors");
    } catch (pleat::error const& e) {
      said[rank] = e.what();
    }
    w.comm.barrier();
    auto other = build(w, 4);
    (void)run::load(other, path);
    same[rank] = run::file_image(other) == run::file_image(model);
  });
  CHECK(same == std::vector<char>{1, 1, 1});
  for (auto const& s : said) CHECK_THAT(s, ContainsSubstring("missing"));
  CHECK(folder.count() == 1);
}

}  // namespace
