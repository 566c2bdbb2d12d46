// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/run/onnx.hpp>

#include <pleat/codec/blocks.hpp>
#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/comm/world.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/activations.hpp>
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/branch.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/dropout.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/layer_norm.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/pooling.hpp>
#include <pleat/nn/repeat.hpp>
#include <pleat/nn/residual.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/parallel/tensor_recipe.hpp>
#include <pleat/io/decode.hpp>
#include <pleat/io/weight_file.hpp>
#include <pleat/run/gguf.hpp>
#include <pleat/run/model_file.hpp>

#include <cmath>
#include <cstdio>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <io/support.hpp>

namespace {

namespace io = pleat::io;
namespace nn = pleat::nn;
namespace run = pleat::run;
namespace codec = pleat::codec;
namespace compress = pleat::compress;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using pleat::extents;
using pleat::index_t;
using int8 = codec::int8<float>;

pleat::world alone() { return pleat::world(pleat::comm::communicator(pleat::comm::self{}), 1); }
template <class Net> auto build(Net net, pleat::world& w) {
  pleat::plan::plan p;
  p.global_batch = 4;
  return pleat::parallel::build(std::move(net), p, w, {.seed = 3});
}
std::vector<float> inputs(index_t n) {
  std::vector<float> v(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = std::sin(static_cast<float>(i * i % 1000) * 0.37f) * 1.5f;
  return v;
}
template <class Net>
std::vector<float> answers(pleat::parallel::model<Net> const& m, extents const& shape, std::vector<float> const& x) {
  using Space = typename pleat::parallel::model<Net>::execution_space;
  auto t = pleat::tensor<float, Space>::allocate(m.context(), shape);
  pleat::copy_from_host(m.context(), x.data(), t);
  auto const y = m.predict(std::move(t));
  std::vector<float> out(static_cast<std::size_t>(y.size()));
  pleat::copy_to_host(m.context(), y, out.data());
  return out;
}

/// Runs ONNX Runtime beside the model. |difference| ≤ tolerance · (1 + largest |y|): both compute in float, in sums of
/// another order. For sums of k terms the difference is at most about 2·k·2⁻²⁴ of Σ|x·w|; k ≤ 400 here, and Σ|x·w|
/// within 20 of what results: 10⁻³ is above it.
struct peer {
  std::string interpreter = io_test::python_with("numpy, onnx, onnxruntime, safetensors.numpy");
  io_test::scratch dir;

  template <class Net>
  std::vector<std::string> agrees(pleat::parallel::model<Net> const& m, extents const& sample, float tolerance = 1e-3f,
                                  run::onnx_options const& options = {}) {
    std::vector<index_t> list{3};
    list.insert(list.end(), sample.begin(), sample.end());
    extents const shape{std::span<index_t const>(list)};
    auto const x = inputs(shape.size()), y = answers(m, shape, x);
    auto notes = run::export_onnx(m, dir / "m.onnx", sample, options);
    io::safetensors_writer w;
    w.add<float>("x", shape, x);
    w.add<float>("y", {static_cast<index_t>(y.size())}, y);
    w.add<float>("tolerance", {}, std::span<float const>(&tolerance, 1));
    w.write(dir / "m.safetensors");
    io::write_file(dir / "peer.py", R"py(
import sys, numpy, onnx, onnxruntime
from safetensors.numpy import load_file
onnx.checker.check_model(onnx.load(sys.argv[1]), full_check=True)
s = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
t = load_file(sys.argv[2])
assert s.get_inputs()[0].shape[0] == "batch", s.get_inputs()[0].shape
y = s.run(["output"], {"input": t["x"]})[0]
worst = abs(y.flatten() - t["y"]).max()
assert worst <= t["tolerance"] * (1 + abs(t["y"]).max()), (worst, abs(t["y"]).max())
assert abs(t["y"]).max() > 1e-3
)py");
    CHECK(std::system((interpreter + " " + (dir / "peer.py") + " " + (dir / "m.onnx") + " " + (dir / "m.safetensors"))
                          .c_str()) == 0);
    return notes;
  }
};

/// A layer of one's own that reads its weights on the host when it is exported.
struct own_shift {
  static constexpr auto mixes = nn::mixing::weights;
  using value_type = float;
  using execution_space = Kokkos::DefaultExecutionSpace;
  using tensor = pleat::tensor<float, execution_space>;
  using pass = nn::pass<execution_space>;
  struct saved {};
  nn::values<float, execution_space> shift;

  explicit own_shift(index_t features) : shift("own.shift", extents{features}, nn::initializer::constant(2)) {}
  extents shape(extents in) const { return in; }
  nn::step<saved, tensor> forward(pass const& p, tensor x) const {
    auto y = tensor::allocate(*p.where, x.shape());
    pleat::compute::copy(p.space(), x.size(), static_cast<float const*>(x.data()), y.data());
    pleat::compute::add_bias(p.space(), x.batch(), shift.size(), static_cast<float const*>(shift.data()), y.data(),
                             shift.size());
    return {y, {}};
  }
  std::string to_onnx(io::onnx_graph& graph, std::string x, extents) const {
    std::vector<float> const values(shift.data(), shift.data() + shift.size());  // read where they are
    return graph.node(
        "Add", {std::move(x), graph.constant("own.shift", io::detail::onnx_float, {shift.size()}, values)}, "own");
  }
  void for_each_parameter(auto&& f) { f(shift); }
};

}  // namespace

TEST_CASE("ONNX Runtime gives our answers: dense networks of every layer that has words", "[run][onnx][peer]") {
  peer p;
  if (p.interpreter.empty())
    SKIP("no python3 with the packages onnx, onnxruntime, safetensors and numpy (PLEAT_PYTHON names another one)");
  auto w = alone();
  SECTION("a perceptron, images as rows") {
    CHECK(p.agrees(build(nn::sequential(nn::linear("fc1", 16, 32), nn::relu(), nn::dropout("drop", 0.5),
                                        nn::linear("fc2", 32, 5, {.bias = false})),
                         w),
                   {1, 4, 4})
              .empty());
  }
  SECTION("convolutions and pooling") {
    (void)p.agrees(
        build(nn::sequential(
                  nn::conv2d("conv1", 1, 6, 5, {.padding = 2}), nn::relu(), nn::max_pool2d(2),
                  nn::conv2d("conv2", 6, 8, {3, 2},
                             {.stride = {2, 1}, .padding = {1, 0}, .dilation = {1, 2}, .groups = 2, .bias = false}),
                  nn::avg_pool2d(3, {.stride = 1, .padding = 1, .count_include_pad = false}), nn::flatten(),
                  nn::linear("fc", 8 * 4 * 6, 10)),
              w),
        {1, 16, 16});
  }
  SECTION("residuals, branches, repeats, norms, activations") {
    auto const block = nn::residual(
        nn::sequential(nn::layer_norm("norm", 12), nn::linear("up", 12, 24), nn::gelu(), nn::linear("down", 24, 12)));
    (void)p.agrees(
        build(nn::sequential(nn::linear("in", 7, 12), nn::batch_norm("bn", 12), nn::tanh_activation(),
                             nn::repeat("block", 2, block),
                             nn::branch(nn::merge::concatenate, nn::linear("a", 12, 3), nn::silu()), nn::gelu_tanh(),
                             nn::branch(nn::merge::sum, nn::linear("b", 15, 4), nn::linear("c", 15, 4)), nn::sigmoid()),
              w),
        {7});
  }
  SECTION("positions as rows") {
    (void)p.agrees(build(nn::sequential(nn::layer_norm("norm", 6), nn::linear("fc1", 6, 9), nn::gelu(),
                                        nn::linear("fc2", 9, 6, {.bias = false})),
                         w),
                   {5, 6});
  }
}

TEST_CASE("ONNX Runtime gives our answers: 8-bit weights with QuantizeLinear and DequantizeLinear",
          "[run][onnx][peer]") {
  peer p;
  if (p.interpreter.empty())
    SKIP("no python3 with the packages onnx, onnxruntime, safetensors and numpy (PLEAT_PYTHON names another one)");
  auto w = alone();
  auto const net =
      nn::sequential(nn::conv2d("conv", 1, 4, 3), nn::relu(), nn::flatten(), nn::linear("fc", 4 * 6 * 6, 10));
  auto const small = build(net, w) | compress::quantize<int8>{};
  // Our product quantizes activations to 8 bits row by row, the exported one multiplies floats by the same weights:
  // each activation differs by at most amax/254, the sum of 144 by no more than 144 · amax/254 · 0.084 (largest weight
  // 1/√144) ≈ 0.05 · amax.
  CHECK(p.agrees(small, {1, 8, 8}, 0.05f).empty());
  CHECK(p.agrees(small, {1, 8, 8}, 0.08f, {.input_ranges = {{"conv", 1.5f}, {"fc", 2.5f}}}).empty());
}

TEST_CASE("ONNX Runtime gives our answers: blocks of 8 and of 4 bits", "[run][onnx][peer]") {
  peer p;
  if (p.interpreter.empty())
    SKIP("no python3 with the packages onnx, onnxruntime, safetensors and numpy (PLEAT_PYTHON names another one)");
  auto w = alone();
  auto const model = build(nn::sequential(nn::linear("fc", 64, 10)), w);
  using blocks = compress::quantize<codec::q8_0<float>, codec::q4_0<float>, codec::int4<float, 32>>;
  for (char const* form : {"q8_0", "q4_0", "int4_g32"}) {
    INFO(form);
    // Activations become codes of 8 bits by pieces of 32 in our product and stay float in the exported one: each
    // differs by at most amax/254 ≤ 1.5/254. Of 64 with weights of at most 1/√64 (a code more where a block rounds away
    // from zero: 1/7 of it in 4 bits) the sum is within 64 · 1.5/254 · 8/7 · 1/8 < 0.055.
    CHECK(p.agrees(model | blocks{.forms = {{"*", form}}}, {64}, 0.055f).empty());
  }
}

TEST_CASE("PyTorch reads our weights and gives our answers, and we read its and give its", "[run][torch]") {
  auto const interpreter = io_test::python_with("torch, safetensors.torch");
  if (interpreter.empty()) SKIP("no python3 with the packages torch and safetensors (PLEAT_PYTHON names another one)");
  auto w = alone();
  auto const model = build(
      nn::sequential(nn::conv2d("conv1", 1, 6, 5, {.padding = 2}), nn::relu(), nn::max_pool2d(2),
                     nn::conv2d("conv2", 6, 8, {3, 2},
                                {.stride = {2, 1}, .padding = {1, 0}, .dilation = {1, 2}, .groups = 2, .bias = false}),
                     nn::avg_pool2d(3, {.stride = 1, .padding = 1, .count_include_pad = false}), nn::flatten(),
                     nn::linear("fc", 8 * 4 * 6, 10)),
      w);
  io_test::scratch const dir;
  extents const shape{3, 1, 16, 16};
  auto const x = inputs(shape.size()), y = answers(model, shape, x);
  run::save(model, dir / "ours.safetensors");
  run::save(model, dir / "half.safetensors", {}, {.dense_as = pleat::dtype::bf16});
  io::safetensors_writer asked;
  asked.add<float>("x", shape, x);
  asked.add<float>("y", {3, 10}, y);
  asked.write(dir / "asked.safetensors");
  io::write_file(dir / "peer.py", R"py(
import sys, torch
from safetensors.torch import load_file, save_file
class net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = torch.nn.Conv2d(6, 8, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2, bias=False)
        self.fc = torch.nn.Linear(8 * 4 * 6, 10)
    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.conv1(x)), 2)
        return self.fc(torch.nn.functional.avg_pool2d(self.conv2(x), 3, 1, 1, count_include_pad=False).flatten(1))
torch.manual_seed(5)
torch.set_num_threads(1)
folder, theirs, ours = sys.argv[1] + "/", net(), net()
asked, state = load_file(folder + "asked.safetensors"), load_file(folder + "ours.safetensors")
print(ours.load_state_dict(state, strict=True))
with torch.no_grad():
    y = ours(asked["x"])
    # Both add floats in an order of their own, of at most 193 terms whose magnitudes sum up to less than 20 of what results.
    worst, largest = (y - asked["y"]).abs().max().item(), y.abs().max().item()
    assert worst <= 1e-3 * (1 + largest) and largest > 1e-3, (worst, largest)
    half = load_file(folder + "half.safetensors")
    assert half.keys() == state.keys()
    for name, values in half.items():
        assert values.dtype == torch.bfloat16 and torch.equal(values, state[name].bfloat16()), name
    save_file(theirs.state_dict(), folder + "theirs.safetensors")
    save_file({"y": theirs(asked["x"])}, folder + "told.safetensors")
)py");
  REQUIRE(std::system((interpreter + " -B " + (dir / "peer.py") + " " + dir.path() + " 2>&1").c_str()) == 0);
  auto again = model.clone();
  run::load(again, dir / "theirs.safetensors");
  auto const ours = answers(again, shape, x);
  std::vector<float> theirs(ours.size());
  io::safetensors_file(dir / "told.safetensors").copy<float>("y", theirs);
  for (std::size_t i = 0; i < ours.size(); ++i)
    CHECK(std::fabs(ours[i] - theirs[i]) <= 1e-3f * (1 + std::fabs(theirs[i])));
  CHECK(ours != y);  // other weights, other answers
}

TEST_CASE("the page's lines: every file of one model", "[run][onnx]") {
  io_test::scratch const dir;
  auto w = alone();
  auto const model = build(nn::sequential(nn::linear("fc1", 16, 32), nn::relu(), nn::linear("fc2", 32, 5)), w);
  auto const small = model | compress::quantize<int8>{};
  auto const folder = dir.path() + "/";
  // [files]
  run::save(model, folder + "large.safetensors", {.network = "mlp:16-32-5"});
  run::save(model, folder + "half.safetensors", {}, {.dense_as = pleat::dtype::bf16});  // for PyTorch
  run::save(small, folder + "small.safetensors");
  run::save_gguf(small, folder + "small.gguf", "pleat-mlp");
  for (auto const& words : run::export_onnx(small, folder + "small.onnx", {16})) std::puts(words.c_str());

  auto again = small.clone();
  run::load(again, io::weight_file(folder + "small.gguf"));  // or safetensors: the file says which

  io::weight_file const file(folder + "small.safetensors");  // without a network
  for (auto const& weight : file.weights())
    std::printf("%s: %s, %.3g bits a number, the first is %g\n", weight.name.c_str(), weight.form.c_str(),
                weight.effective_bits(), io::decode(weight)[0]);
  // [files]
  CHECK((run::file_image(again) == run::file_image(small)));
  CHECK(file.weights().size() == 4);
  CHECK(run::describe_file(folder + "large.safetensors").network == "mlp:16-32-5");
}

TEST_CASE("the exported file is the same from every mesh", "[run][onnx]") {
  io_test::scratch const dir;
  auto const net =
      pleat::parallel::tensor_parallel(nn::sequential(nn::flatten(), nn::linear("fc1", 16, 12),
                                                      nn::batch_norm("norm", 12), nn::relu(), nn::linear("fc2", 12, 5)),
                                       {pleat::parallel::column("fc1.*"), pleat::parallel::row("fc2.*")});
  std::vector<std::byte> reference;
  for (auto const& p : {pleat::plan::plan{.global_batch = 4}, pleat::plan::plan{.global_batch = 4, .data_ranks = 2},
                        pleat::plan::plan{.global_batch = 4, .tensor_ranks = 3},
                        pleat::plan::plan{.global_batch = 4, .pipeline_ranks = 2},
                        pleat::plan::plan{.global_batch = 4, .data_ranks = 2, .tensor_ranks = 2, .pipeline_ranks = 2},
                        pleat::plan::plan{.global_batch = 4, .data_ranks = 2, .state_stage = 3}}) {
    INFO(p.to_string());
    auto const path = dir / "m.onnx";
    pleat::comm::run_local(static_cast<int>(p.ranks()), [&](pleat::comm::communicator c) {
      pleat::world world(std::move(c), 1);
      world.set_sink({});
      auto const m = pleat::parallel::build(net, p, world, {.seed = 3});
      m.set_timeout(20);  // only where it hangs
      (void)run::export_onnx(m, path, {1, 4, 4});
    });
    auto const bytes = io::read_file(path);
    std::remove(path.c_str());
    if (reference.empty()) reference = bytes;
    CHECK((bytes == reference));
  }
  // Where rank 0 cannot write, all hear of it.
  std::vector<std::string> said(2);
  pleat::comm::run_local(2, [&](pleat::comm::communicator c) {
    pleat::world world(std::move(c), 1);
    auto const m = pleat::parallel::build(net, {.global_batch = 4, .pipeline_ranks = 2}, world, {.seed = 3});
    said[static_cast<std::size_t>(world.rank())] = io_test::words([&] {
      (void)run::export_onnx(m, dir / "nowhere/m.onnx", {1, 4, 4});
    });
  });
  CHECK(said[0] == said[1]);
  CHECK_THAT(said[0], ContainsSubstring("nowhere"));
}

TEST_CASE(
    "a layer of one's own writes itself where its parameters are whole, and is refused on every rank where they are "
    "not",
    "[run][onnx]") {
  io_test::scratch const dir;
  auto const net = nn::sequential(nn::linear("fc", 4, 3), own_shift(3), nn::linear("last", 3, 2));
  auto const with = [&](pleat::plan::plan const& p, auto const& network) {
    std::vector<std::string> said(static_cast<std::size_t>(p.ranks()));
    pleat::comm::run_local(static_cast<int>(p.ranks()), [&](pleat::comm::communicator c) {
      pleat::world world(std::move(c), 1);
      world.set_sink({});
      auto const m = pleat::parallel::build(network, p, world, {.seed = 3});
      m.set_timeout(20);  // only where it hangs
      said[static_cast<std::size_t>(world.rank())] =
          io_test::words([&] { (void)run::export_onnx(m, dir / "own.onnx", {4}); });
    });
    return said;
  };
  std::vector<std::byte> alone_bytes;
  for (auto const& p :
       {pleat::plan::plan{.global_batch = 4}, pleat::plan::plan{.global_batch = 4, .data_ranks = 2, .state_stage = 3},
        pleat::plan::plan{.global_batch = 4, .tensor_ranks = 2}}) {
    INFO(p.to_string());
    for (auto const& s : with(p, net)) CHECK(s.empty());
    auto const bytes = io::read_file(dir / "own.onnx");
    std::remove((dir / "own.onnx").c_str());
    if (alone_bytes.empty()) alone_bytes = bytes;
    CHECK((bytes == alone_bytes));
  }
  float const two[3] = {2, 2, 2};  // what its values begin with, as the file has them
  std::string_view const text(reinterpret_cast<char const*>(alone_bytes.data()), alone_bytes.size());
  CHECK(text.find("own.shift") != std::string_view::npos);
  CHECK(text.find(std::string_view(reinterpret_cast<char const*>(two), sizeof two)) != std::string_view::npos);

  pleat::plan::plan staged{.global_batch = 4, .pipeline_ranks = 2};
  staged.cuts = {1};
  auto const elsewhere = with(staged, net);
  CHECK_THAT(elsewhere[0], ContainsSubstring("'own.shift' is not here"));
  CHECK(elsewhere[1] == elsewhere[0]);
  auto const cut = with({.global_batch = 4, .tensor_ranks = 3},
                        pleat::parallel::tensor_parallel(net, {pleat::parallel::column("own.*")}));
  CHECK_THAT(cut[0], ContainsSubstring("'own.shift' is one of 3 parts over the tensor axis"));
  for (auto const& s : cut) CHECK(s == cut[0]);
}

TEST_CASE(
    "a bias in integers is within half a unit, in rows of zeros too; one that does not fit stays float, and it is said",
    "[run][onnx]") {
  std::vector<float> const scales{0.01f, 0, 0.002f, 0}, bias{0.3f, 0.4f, -0.5f, 0};
  auto const b = run::detail::integer_bias(bias, scales, 0.02f);
  REQUIRE(b.codes.size() == 4);
  for (std::size_t i = 0; i < 4; ++i)  // half the largest unit of the layer, and float's rounding of the unit
    CHECK(std::fabs(static_cast<double>(b.codes[i]) * static_cast<double>(b.units[i]) - static_cast<double>(bias[i])) <=
          0.5 * 0.01 * 0.02 + 0x1p-23);
  CHECK(run::detail::integer_bias({0.5f}, {1e-6f / 127}, 1 / 127.0f).codes.empty());
  CHECK(run::detail::integer_bias({0.5f}, {0}, 1e-38f).codes.empty());  // a unit of 0
  CHECK(run::detail::integer_bias({0, 1e-3f}, {0, 0}, 1).codes ==
        std::vector<std::int32_t>{0, 0});  // nothing but zeros: units of 1/127

  auto w = alone();
  auto m = build(nn::sequential(nn::linear("fc", 4, 2)), w);
  m.net().for_each_parameter([&](auto& p) {
    std::vector<float> const values = p.shape.rank() == 2 ? std::vector<float>{1e-6f, 1e-6f, 1e-6f, 1e-6f, 1, 1, 1, 1}
                                                          : std::vector<float>{0.5f, 0.5f};
    pleat::copy_from_host(m.context(), values.data(),
                          pleat::tensor<float, typename decltype(m)::execution_space>::wrap(p.data(), p.shape));
  });
  auto const graph = run::to_onnx(m | compress::quantize<int8>{}, {4}, {.input_ranges = {{"fc", 1.0f}}});
  REQUIRE(graph.notes().size() == 1);
  CHECK_THAT(graph.notes()[0], ContainsSubstring("'fc.bias' is written as float"));
}

TEST_CASE("folded norms and bodies that were taken out leave nothing in the export", "[run][onnx]") {
  auto w = alone();
  auto bn = nn::batch_norm("bn", 6);
  bn.set_identity(true);
  nn::residual body(nn::sequential(nn::linear("inner", 6, 6), nn::relu()));
  body.remove_body();
  auto const cut = build(nn::sequential(nn::linear("a", 4, 6), bn, body, nn::relu(), nn::linear("b", 6, 3)), w);
  auto const plain = build(nn::sequential(nn::linear("a", 4, 6), nn::relu(), nn::linear("b", 6, 3)), w);
  CHECK((run::to_onnx(cut, {4}).bytes() == run::to_onnx(plain, {4}).bytes()));
}

TEST_CASE("what cannot be exported is said", "[run][onnx]") {
  auto w = alone();
  auto const m = build(nn::sequential(nn::linear("fc", 4, 3), nn::relu()), w);
  CHECK_THROWS_MATCHES(run::to_onnx(m, {5}), pleat::error,
                       MessageMatches(ContainsSubstring("expected samples of 4 elements")));
  for (float bad : {0.0f, -1.0f, std::nanf(""), HUGE_VALF})
    CHECK_THROWS_MATCHES(run::to_onnx(m, {4}, {.input_ranges = {{"fc", bad}}}), pleat::error,
                         MessageMatches(ContainsSubstring("the range of the input of 'fc' is")));
  for (auto const* name : {"fc1", "relu", ""})
    CHECK_THROWS_MATCHES(run::to_onnx(m, {4}, {.input_ranges = {{"fc", 1.0f}, {name, 1.0f}}}), pleat::error,
                         MessageMatches(ContainsSubstring("input_ranges names '" + std::string(name) +
                                                          "', and no layer with a product is called so. It has fc")));
  auto const rms = build(nn::sequential(nn::rms_norm("norm", 4), nn::linear("fc", 4, 3)), w);
  CHECK_THROWS_MATCHES(run::to_onnx(rms, {4}), pleat::error,
                       MessageMatches(ContainsSubstring("a layer of the kind 'rms_norm' has no words in ONNX here") &&
                                      ContainsSubstring("to_onnx(")));
  CHECK(run::to_onnx(m, {4}).bytes() == run::to_onnx(m, {4}).bytes());
  auto const holds = [](std::vector<std::byte> const& b, std::string_view words) {
    return std::string_view(reinterpret_cast<char const*>(b.data()), b.size()).find(words) != std::string_view::npos;
  };
  auto const small = m | compress::quantize<int8>{};
  CHECK((holds(run::to_onnx(small, {4}).bytes(), "DequantizeLinear")));
  auto const ranges = run::to_onnx(small, {4}, {.input_ranges = {{"fc", 1.0f}}}).bytes();
  CHECK((holds(ranges, "fc.input_codes") && holds(ranges, "fc.bias.codes") &&
         !holds(run::to_onnx(small, {4}).bytes(), "fc.input_codes")));
}
