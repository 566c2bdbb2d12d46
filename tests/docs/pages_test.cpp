// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The text of the pages: every fragment between two tags is cut into README.md or docs/ by scripts/snippets.py. So each
// of them compiles and runs here, on the digits that pleat ships.
#include <pleat/compress/picture.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/io/dataset_file.hpp>
#include <pleat/pleat.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;

namespace {

/// The pages name files of the repository as a reader in its root would, and write where nobody minds: a folder that is
/// removed.
struct in_a_copy_of_the_root {
  std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::path folder = std::filesystem::temp_directory_path() / ("pleat-pages-" + std::to_string(::getpid()));
  in_a_copy_of_the_root() {
    char const* source = std::getenv("PLEAT_SOURCE_DIR");
    std::filesystem::create_directories(folder);
    std::filesystem::create_directory_symlink(std::filesystem::absolute(source ? source : ".") / "examples",
                                              folder / "examples");
    std::filesystem::current_path(folder);
  }
  ~in_a_copy_of_the_root() {
    std::error_code ignored;
    std::filesystem::current_path(before, ignored);
    std::filesystem::remove_all(folder, ignored);
  }
};

// [small_net]
auto small_net() {
  return pl::nn::sequential(pl::nn::flatten(), pl::nn::linear("fc1", 64, 48), pl::nn::relu(),
                            pl::nn::linear("fc2", 48, 10));
}
// [small_net]

// [first_program]
void program(pl::world& world) {
  auto const data = pl::io::load_digits("examples/data/digits");
  auto const net = small_net();
  auto model = pl::parallel::build(net, pl::plan::search(net, world, {.global_batch = 64}), world, {.seed = 1});
  pl::run::fit(model, data.train, {.epochs = 5, .validation = &data.test});
  auto const answers = pl::run::evaluate(model, data.test);
  world.say("test error " + std::to_string(100 * answers.error()) + " %");  // heard from rank 0 only
}
// [first_program]

// A transform of one's own: every weight below a bound becomes zero. It adds no form, so the model's type stays.
// [own_transform]
struct threshold {
  using fusable_transform = void;
  static constexpr bool writes_weights = true;
  static constexpr char const* what = "threshold";
  float bound = 0.01f;

  template <class Net> void run(pl::parallel::model<Net>& m) const {
    m.net().for_each_parameter([&](auto& w) {
      if (w.shape.rank() < 2 || !w.in_arena) return;  // weights, not biases
      auto const t = pl::tensor<float, space>::wrap(w.data(), w.shape);
      std::vector<float> values(static_cast<std::size_t>(w.size()));
      pl::copy_to_host(m.context(), t, values.data());
      for (auto& v : values)
        if (std::abs(v) < bound) v = 0;
      pl::copy_from_host(m.context(), values.data(), t);
    });
  }
};
// [own_transform]

}  // namespace

TEST_CASE("README: ten lines") {
  in_a_copy_of_the_root const here;
  pl::world world(pl::comm::communicator(pl::comm::self{}));
  // [ten_lines]
  auto data = pl::io::load_digits("examples/data/digits");
  auto net = pl::nn::sequential(pl::nn::flatten(), pl::nn::linear("fc1", 64, 300), pl::nn::relu(),
                                pl::nn::linear("fc2", 300, 10));
  auto plan = pl::plan::search(net, world, {.global_batch = 64});
  auto model = pl::parallel::build(net, plan, world, {.seed = 1});
  auto train = pl::run::fit_options{.epochs = 10, .optimizer = pl::nn::adamw{.learning_rate = 3e-3}};
  pl::run::fit(model, data.train, train);

  auto small = model | (pl::compress::prune{.sparsity = 0.9} | pl::compress::fine_tune(data.train, train) |
                        pl::compress::quantize<>{});
  pl::compress::report(model, small, data.test);  // a table: error, bytes on disk, latency
  pl::run::save(small, "small.safetensors");
  // [ten_lines]
  CHECK(std::filesystem::file_size("small.safetensors") > 0);
  CHECK(pl::run::evaluate(small, data.test).error() < 0.1);  // ten classes: chance is 0.9
}

// Chen et al., "Symbolic Discovery of Optimization Algorithms", arXiv:2302.06675: the sign of a mean of gradients.
// [own_optimizer]
template <class T> struct lion_rule {  // moves one element: a named functor, for T float and double
  T beta1, beta2;
  PLEAT_INLINE void operator()(pl::compute::update_element<T, 1>& e) const {
    T const mean = pl::compute::fma(beta1, e.state[0], (1 - beta1) * e.gradient);
    T const sign = mean > 0 ? T(1) : mean < 0 ? T(-1) : T(0);
    e.state[0] = pl::compute::fma(beta2, e.state[0], (1 - beta2) * e.gradient);
    e.value = pl::compute::fma(-e.rate, pl::compute::fma(e.decay, e.value, sign), e.value);
  }
};

struct lion {
  static constexpr std::string_view name = "lion";                       // checkpoints remember it
  static constexpr std::array<std::string_view, 1> buffers{"momentum"};  // what it keeps, a number per element each
  double learning_rate = 1e-4, weight_decay = 0.01;
  double beta1 = 0.9, beta2 = 0.99;
  template <class T> lion_rule<T> rule(pl::nn::update_step) const { return {T(beta1), T(beta2)}; }
};

struct one_cycle {  // up to the optimizer's rate, and down again
  static constexpr char const* name = "one_cycle";
  double top = 0.3, ends = 0.05;  // where the top is; the factor at both ends
  double operator()(pl::index_t step, pl::index_t steps) const {
    double const t = double(step + 1) / double(steps), up = t < top ? t / top : (1 - t) / (1 - top);
    return ends + (1 - ends) * up;
  }
};
// [own_optimizer]

TEST_CASE("extending: an optimizer and a schedule of one's own") {
  in_a_copy_of_the_root const here;
  std::vector<double> errors(3);
  std::vector<std::uint64_t> sums(3);
  for (int const ranks : {1, 2})
    pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
      pl::world world(std::move(c));
      auto const data = pl::io::load_digits("examples/data/digits");
      auto const net = small_net();
      auto plan = pl::plan::search(net, world, {.global_batch = 64, .deterministic = true});
      plan.state_stage = ranks - 1;
      auto model = pl::parallel::build(net, plan, world, {.seed = 1});
      // [own_optimizer_used]
      pl::run::fit(model, data.train, {.epochs = 5, .optimizer = lion{.learning_rate = 3e-3}, .schedule = one_cycle{}});
      // [own_optimizer_used]
      auto const sum = model.checksum();
      if (world.root()) sums[std::size_t(ranks)] = sum;
      auto const error = pl::run::evaluate(model, data.test).error();
      if (world.root()) errors[std::size_t(ranks)] = error;
    });
  CHECK(errors[1] < 0.1);  // ten classes: chance is 0.9
  CHECK(errors[1] == errors[2]);
  CHECK(sums[1] == sums[2]);
}

TEST_CASE("getting started: a program on any number of ranks") {
  in_a_copy_of_the_root const here;
  std::string said;
  pl::comm::run_local(2, [&](pl::comm::communicator c) {
    pl::world world(std::move(c));
    world.set_sink([&](std::string_view line) { said = line; });
    program(world);
  });
  CHECK(said.starts_with("test error "));
  CHECK(std::stod(said.substr(11)) < 30);  // percent; ten classes: chance is 90
}

TEST_CASE("getting started: data of one's own") {
  in_a_copy_of_the_root const here;
  pl::world world(pl::comm::communicator(pl::comm::self{}));
  // y = (a + b, a·b)
  std::vector<float> x, y;
  for (pl::index_t i = 0; i < 512; ++i) {
    float const a = static_cast<float>(i % 32) / 16 - 1, b = static_cast<float>(i / 32) / 8 - 1;
    x.insert(x.end(), {a, b});
    y.insert(y.end(), {a + b, a * b});
  }
  pl::io::safetensors_writer file;
  file.add<float>("inputs", {512, 2}, x);
  file.add<float>("targets", {512, 2}, y);
  file.write("flow.safetensors");
  // [own_data]
  auto const flow = pl::io::read_dataset("flow.safetensors");  // {.mean = …, .deviation = …} scales the inputs
  auto const net =
      pl::nn::sequential(pl::nn::linear("in", 2, 32), pl::nn::tanh_activation(), pl::nn::linear("out", 32, 2));
  auto model = pl::parallel::build(net, pl::plan::search(net, world, {.global_batch = 64}), world);
  pl::run::fit(model, flow, {.epochs = 60, .optimizer = pl::nn::adamw{.learning_rate = 1e-2}});
  double const error = pl::run::evaluate(model, flow).error();  // ‖output − target‖ / ‖target‖
  // [own_data]
  CHECK(error < 0.2);  // a plane through them leaves the products, a seventh of the squares: 0.38
}

TEST_CASE("getting started: the loop of one's own") {
  in_a_copy_of_the_root const here;
  using pl::index_t;
  auto const data = pl::io::load_digits("examples/data/digits");
  pl::world world(pl::comm::communicator(pl::comm::self{}));
  auto model = pl::parallel::build(
      small_net(), pl::plan::search(small_net(), world, {.global_batch = 64, .micro_batches = 2}), world, {.seed = 1});
  double first = 0, last = 0;
  // [own_loop]
  pl::nn::optimizer_state<float, space> optimizer(model.context(), model.arena(),
                                                  pl::nn::sgd{.learning_rate = 0.05, .momentum = 0.9});
  pl::io::sampler const sampler(data.train.size, model.plan().global_batch, {.seed = model.seed()});
  pl::run::batch_loader<float, space> loader(data.train);

  for (index_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<index_t> const order = sampler.order(epoch);  // the same on every rank
    for (index_t b = 0; b < sampler.batches_per_epoch(); ++b) {
      pl::index_range const batch = sampler.batch(b);
      model.zero_grad(batch.size());  // begins a step of so many samples, over all ranks
      for (auto const& micro : model.share().micro_batches()) {
        index_t const begin = batch.begin + model.share().rows().begin + micro.rows.begin;
        std::span<index_t const> const samples(order.data() + begin, static_cast<std::size_t>(micro.rows.size()));
        auto const these = loader.load(model.context(), samples);
        auto [y, saved] = model.forward(these.x);
        auto loss =
            model.cross_entropy(y, these.labels);  // model.mean_square(y, these.targets) where there are targets
        model.backward(saved, loss.dy);
      }
      model.reduce();  // the gradient, summed over all ranks
      model.step(optimizer);
      last = model.loss();  // the mean over the whole batch
    }
    if (epoch == 0) first = last;
  }
  // [own_loop]
  CHECK(last < first);
}

TEST_CASE("determinism: how to check") {
  in_a_copy_of_the_root const here;
  auto const data = pl::io::load_digits("examples/data/digits");
  // [determinism]
  auto const trained_on = [&](int ranks) {
    std::vector<std::byte> file;
    pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
      pl::world world(std::move(c));
      auto net = small_net();
      auto plan = pl::plan::search(net, world, {.global_batch = 64, .deterministic = true, .lanes = 8});
      auto model = pl::parallel::build(net, plan, world, {.seed = 1});
      pl::run::fit(model, data.train, {.epochs = 1, .progress = false});
      if (world.root()) file = pl::run::file_image(model);  // the bytes that save would write
    });
    return file;
  };
  CHECK(trained_on(1) == trained_on(3));
  // [determinism]
}

TEST_CASE("extending: a transform of one's own") {
  in_a_copy_of_the_root const here;
  auto const data = pl::io::load_digits("examples/data/digits");
  pl::world world(pl::comm::communicator(pl::comm::self{}));
  auto const model = pl::parallel::build(small_net(), pl::plan::search(small_net(), world), world, {.seed = 1});
  auto const small = model | threshold{.bound = 0.02f};
  auto const before = pl::compress::measure("before", model, data.test),
             after = pl::compress::measure("after", small, data.test);
  CHECK(after.nonzeros < before.nonzeros);
  CHECK(std::string(threshold::what) == "threshold");
}

TEST_CASE("rooms: freezing, groups, schedules, stages") {
  in_a_copy_of_the_root const here;
  auto const data = pl::io::load_digits("examples/data/digits");
  pl::world world(pl::comm::communicator(pl::comm::self{}));
  // [groups]
  auto net = small_net();
  pl::nn::freeze(net, "fc1.*");  // gradients still flow through it
  auto model = pl::parallel::build(net, pl::plan::search(net, world, {.global_batch = 64}), world);
  pl::run::fit(model, data.train,
               {.epochs = 1,
                .optimizer = pl::nn::adamw{.learning_rate = 1e-3},
                .schedule = pl::nn::cosine{.warm_up_steps = 20},
                .groups = {{.pattern = "*", .max_rank = 1, .weight_decay = 0.0},  // no decay on biases
                           {.pattern = "fc2.*", .learning_rate_scale = 0.5}},
                .clip_norm = 1.0,
                .progress = false});
  // [groups]
  pl::compress::measure_options const quick{.repeats = 3};
  // [stages]
  pl::compress::stage_list stages;
  stages.add(pl::compress::measure("trained", model, data.test, quick));
  auto small = model | (pl::compress::prune{.sparsity = 0.8} | pl::compress::quantize<>{})
                           .recorded(pl::compress::record_stages(stages, data.test, quick));
  stages.print(std::cout);
  stages.errors().print(std::cout);  // of every weight: what each step did to it, and what it had promised
  std::string const picture = pl::compress::svg(stages);
  // [stages]
  CHECK(stages.stages().size() == 3);
  CHECK(picture.find("quantize int8") != std::string::npos);
}

TEST_CASE("rooms: a model file is loaded into a network that can take its forms") {
  in_a_copy_of_the_root const here;
  auto const data = pl::io::load_digits("examples/data/digits");
  pl::world world(pl::comm::communicator(pl::comm::self{}));
  auto const trained = pl::parallel::build(small_net(), pl::plan::search(small_net(), world), world, {.seed = 1});
  auto const small = trained | (pl::compress::prune{.sparsity = 0.5} | pl::compress::quantize<>{});
  // [model_file]
  pl::run::save(small, "small.safetensors",
                {.network = "small", .input = pl::run::input_normalisation{data.train.mean, data.train.scale}});

  using forms = pl::codec::forms<pl::codec::dense<float>, pl::codec::masked<float>, pl::codec::int8<float>>;
  using linear = pl::nn::linear<forms>;  // what the file may hold
  auto net = pl::nn::sequential(pl::nn::flatten(), linear("fc1", 64, 48), pl::nn::relu(), linear("fc2", 48, 10));
  auto again = pl::parallel::build(net, pl::plan::search(net, world), world);
  pl::run::load(again, "small.safetensors");
  // [model_file]
  CHECK(pl::run::evaluate(again, data.test).confusion == pl::run::evaluate(small, data.test).confusion);
}
