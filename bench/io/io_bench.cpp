// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Files of 64 MiB of floats in a temporary folder, and batches gathered at random. read_idx/…, gather/<batch>,
// safetensors/write, …/read, checkpoint/save, …/load. Rates are bytes of numbers per second; writing includes the flush
// to the disk, reading finds the file in the system's cache. peer/read_file/safetensors/read: the bytes of that file
// alone.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <pleat/base/random.hpp>
#include <pleat/io/checkpoint.hpp>
#include <pleat/io/dataset.hpp>
#include <pleat/io/idx.hpp>
#include <pleat/io/safetensors.hpp>
#include <pleat/io/sampler.hpp>

namespace {

namespace io = pleat::io;
using pleat::index_t;

/// A folder that goes when the program ends.
struct scratch_folder {
  std::string path = [] {
    std::string t = (std::filesystem::temp_directory_path() / "pleat-bench-XXXXXX").string();
    if (!::mkdtemp(t.data())) throw pleat::error{"bench_io", "there is no room for a temporary folder at " + t};
    return t;
  }();
  ~scratch_folder() { std::filesystem::remove_all(path); }
};
std::string in_scratch(std::string const& name) {
  static scratch_folder const folder;
  return folder.path + "/" + name;
}

constexpr index_t side = 4096;
std::vector<float> const& numbers() {
  static std::vector<float> const x = [] {
    std::vector<float> v(static_cast<std::size_t>(side * side));
    pleat::random::stream const r(1, 2);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = r.uniform(i);
    return v;
  }();
  return x;
}
void rate(benchmark::State& state, std::size_t bytes) {
  state.counters["bytes"] =
      benchmark::Counter(static_cast<double>(bytes), benchmark::Counter::kIsIterationInvariantRate);
}
std::size_t size_of_numbers() { return numbers().size() * sizeof(float); }

io::safetensors_writer writer() {
  io::safetensors_writer w;
  w.add<float>("weight", {side, side}, numbers());
  return w;
}

void read_idx(benchmark::State& state) {
  io::idx_array a;
  a.shape = {side, side};
  a.bytes.resize(static_cast<std::size_t>(side * side));
  auto const path = in_scratch("images");
  io::write_idx(path, a);
  for (auto _ : state) benchmark::DoNotOptimize(io::read_idx(path).bytes.data());
  rate(state, a.bytes.size());
}

void gather(benchmark::State& state, index_t batch) {
  io::dataset d;
  d.sample = {1, 28, 28};
  d.size = 60000;
  d.classes = 10;
  d.pixels.assign(static_cast<std::size_t>(d.size * d.sample_size()), 1);
  d.labels.assign(static_cast<std::size_t>(d.size), 0);
  auto const order = io::sampler(d.size, batch).order(0);
  std::vector<float> x(static_cast<std::size_t>(batch * d.sample_size()));
  std::vector<std::int32_t> y(static_cast<std::size_t>(batch));
  index_t first = 0;
  for (auto _ : state) {
    d.gather(std::span(order).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(batch)), x.data(),
             y.data());
    benchmark::ClobberMemory();
    first = (first + batch) % (d.size / batch * batch);
  }
  rate(state, x.size() * sizeof(float));
}

void write_safetensors(benchmark::State& state) {
  auto const w = writer();
  for (auto _ : state) w.write(in_scratch("written.safetensors"));
  rate(state, size_of_numbers());
}
void read_safetensors(benchmark::State& state) {
  auto const path = in_scratch("read.safetensors");
  writer().write(path);
  std::vector<float> out(numbers().size());
  for (auto _ : state) {
    io::safetensors_file const file(path);
    file.copy<float>("weight", out);
    benchmark::ClobberMemory();
  }
  rate(state, size_of_numbers());
}
void read_bytes(benchmark::State& state) {
  auto const path = in_scratch("read.safetensors");
  writer().write(path);
  for (auto _ : state) benchmark::DoNotOptimize(io::read_file(path).data());
  rate(state, size_of_numbers());
}

io::checkpoint_view view() {
  return {.state = {{"step", "1"}},
          .tensors = {{"parameters", {io::view_of<float>("weight", {side, side}, numbers())}}}};
}
void save_checkpoint(benchmark::State& state) {
  auto const what = view();
  index_t step = 0;
  for (auto _ : state) io::save_checkpoint(in_scratch("saved"), ++step, what);
  rate(state, size_of_numbers());
}
void load_checkpoint(benchmark::State& state) {
  io::save_checkpoint(in_scratch("loaded"), 1, view());
  for (auto _ : state) benchmark::DoNotOptimize(io::load_checkpoint(in_scratch("loaded")).tensors.size());
  rate(state, size_of_numbers());
}

int const registered = [] {
  auto const timed = [](auto* b) { b->UseRealTime()->Unit(benchmark::kMillisecond); };
  timed(benchmark::RegisterBenchmark("read_idx/4096x4096", read_idx));
  for (index_t const batch : {index_t{64}, index_t{256}})
    benchmark::RegisterBenchmark(("gather/" + std::to_string(batch)).c_str(),
                                 [=](benchmark::State& s) { gather(s, batch); });
  timed(benchmark::RegisterBenchmark("safetensors/write", write_safetensors));
  timed(benchmark::RegisterBenchmark("safetensors/read", read_safetensors));
  timed(benchmark::RegisterBenchmark("checkpoint/save", save_checkpoint));
  timed(benchmark::RegisterBenchmark("checkpoint/load", load_checkpoint));  // every sum is verified
  timed(benchmark::RegisterBenchmark("peer/read_file/safetensors/read", read_bytes));
  return 0;
}();

}  // namespace
