// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/distill.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/for_each.hpp>
#include <pleat/compute/norm.hpp>
#include <pleat/compute/optimizer.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/compute/softmax.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <unistd.h>

#include "vector_support.hpp"

namespace {

using namespace vector_support;
namespace compute = pleat::compute;

struct count_body {
  int* y;
  PLEAT_INLINE void operator()(index_t i) const { y[i] += 1; }
};

/// Runs every vector kernel on awkward sizes and hashes all results.
template <class T> std::uint64_t digest_of_kernels(host const& space) {
  using namespace pleat::compute;
  std::uint64_t h = 0xcbf29ce484222325u;
  for (index_t const n : {1, 63, 1000, 70001}) {
    auto const x = numbers<T>(n, 1, -6, 6), b = numbers<T>(n, 2, -2, 2);
    guarded<T> y(n), d(n), r(4);
    auto const add_up = [&] { h = digest(digest(h, y), d); };
    relu(space, n, x.data(), y.data());
    relu_backward(space, n, y.data(), b.data(), d.data());
    add_up();
    gelu(space, n, x.data(), y.data());
    gelu_backward(space, n, x.data(), b.data(), d.data());
    add_up();
    gelu_with_slope(space, n, x.data(), y.data(), d.data());
    add_up();
    gelu_tanh(space, n, x.data(), y.data());
    gelu_tanh_backward(space, n, x.data(), b.data(), d.data());
    add_up();
    silu_with_slope(space, n, x.data(), y.data(), d.data());
    add_up();
    tanh_activation(space, n, x.data(), y.data());
    tanh_activation_backward(space, n, y.data(), b.data(), d.data());
    add_up();
    sigmoid(space, n, x.data(), y.data());
    sigmoid_backward(space, n, y.data(), b.data(), d.data());
    axpy(space, n, T(0.3), x.data(), y.data());
    add_up();
    sum(space, n, x.data(), r.data());
    dot(space, n, x.data(), b.data(), r.data() + 1);
    squared_norm(space, n, x.data(), r.data() + 2);
    max_abs(space, n, x.data(), r.data() + 3);
    h = digest(h, r);
    for (index_t const columns : {1, 10, 33}) {
      index_t const rows = n / columns;
      if (rows == 0) continue;
      guarded<std::int32_t> labels(rows);
      for (index_t i = 0; i < rows; ++i) labels[i] = static_cast<std::int32_t>(i % columns);
      softmax_rows(space, rows, columns, x.data(), columns, y.data(), columns);
      cross_entropy(space, rows, columns, x.data(), labels.data(), T(0.125), d.data(), static_cast<T*>(nullptr),
                    nullptr);
      add_up();
      mean_square(space, rows, columns, x.data(), b.data(), T(0.125), d.data(), y.data());
      add_up();
      lanes cut = lanes::whole(rows);
      cut.count = 4;
      for (int l = 0; l <= 4; ++l) cut.row[static_cast<std::size_t>(l)] = rows * l / 4;
      column_sum(space, columns, x.data(), columns, y.data(), cut);
      index_t const channels = 3, pixels = columns, batch = rows / 3;
      if (batch < 4) continue;
      for (int l = 0; l <= 4; ++l) cut.row[static_cast<std::size_t>(l)] = batch * l / 4;
      guarded<T> m(4 * channels), v(4 * channels), sa(4 * channels), sb(4 * channels);
      norm_shape const shape{channels, pixels};
      batch_norm_statistics(space, shape, x.data(), cut, m.data(), v.data());
      batch_norm_forward(space, batch, shape, x.data(), cut, m.data(), v.data(), T(1e-5), b.data(), b.data() + 3,
                         y.data());
      batch_norm_backward_sums(space, shape, x.data(), b.data(), cut, m.data(), v.data(), T(1e-5), sa.data(),
                               sb.data());
      batch_norm_backward(space, batch, shape, x.data(), b.data(), cut, m.data(), v.data(), T(1e-5), b.data(),
                          sa.data(), sb.data(), static_cast<T const*>(nullptr), d.data());
      h = digest(digest(digest(h, m), v), sb);
      add_up();
    }
    if constexpr (std::is_same_v<T, float>) {
      std::vector<std::int32_t> labels;
      for (index_t r = 0; r < n / 10; ++r) labels.push_back(static_cast<std::int32_t>(r % 11));  // 10 is no class
      guarded<T> z = x, work(n), p(n), d(n), loss(n / 10);
      soft_targets(space, n / 10, 10, b.data(), T(3), T(1), false, work.data(), p.data());
      distillation(space, n / 10, 10, z.data(), labels.data(), p.data(), T(3), T(0.3), T(0.7), T(1) / 96, d.data(),
                   loss.data());
      h = digest(digest(h, d), loss);
    }
    update_chunk const chunks[2] = {{0, n / 2, 1, 0.01f, false, nullptr}, {n / 2, n, 0.5f, 0, false, nullptr}};
    guarded<T> w = x, m(n), v(n);
    for (int step = 1; step < 4; ++step) {
      sgd_settings<T> s;
      s.momentum = T(0.9);
      s.nesterov = step == 3;
      sgd_update(space, chunks, 2, n, s, w.data(), b.data(), m.data());
    }
    h = digest(digest(h, w), m);
    for (int step = 1; step < 4; ++step) {
      adam_settings<T> s;
      s.correction1 = T(1 - std::pow(0.9, step));
      s.correction2 = T(1 - std::pow(0.999, step));
      s.decoupled = step != 2;
      adam_update(space, chunks, 2, n, s, w.data(), b.data(), y.data(), v.data());
      fill(space, n, T(0.1), y.data());
    }
    h = digest(digest(h, w), v);
  }
  return h;
}

std::string digest_text() {
  char text[80];
  std::snprintf(text, sizeof text, "digest=%016llx,%016llx",
                static_cast<unsigned long long>(digest_of_kernels<float>(instance(2))),
                static_cast<unsigned long long>(digest_of_kernels<double>(instance(2))));
  return text;
}

}  // namespace

// A child process of the test below, with PLEAT_ISA set.
TEST_CASE("print the digest of all vector kernels", "[.vector_digest]") {
  std::printf("\n%s\n", digest_text().c_str());
  std::fflush(stdout);
}

TEST_CASE("every instruction set and every number of threads gives the same bits", "[compute][for_each]") {
  CHECK(digest_of_kernels<float>(instance(1)) == digest_of_kernels<float>(instance(2)));
  CHECK(digest_of_kernels<double>(instance(1)) == digest_of_kernels<double>(instance(2)));
  std::string const expected = digest_text();
  char self[4096];
  auto const length = readlink("/proc/self/exe", self, sizeof self - 1);
  REQUIRE(length > 0);
  self[length] = 0;
  for (char const* level : {"scalar", "avx2", "avx512"}) {
    std::string const command = "PLEAT_ISA=" + std::string(level) + " '" + self + "' '[.vector_digest]' 2>&1";
    std::FILE* const child = popen(command.c_str(), "r");
    REQUIRE(child != nullptr);
    std::string said;
    char buffer[256];
    while (std::fgets(buffer, sizeof buffer, child) != nullptr) said += buffer;
    CHECK(pclose(child) == 0);
    INFO(level << " said: " << said);
    CHECK(said.find(expected) != std::string::npos);
  }
}

TEST_CASE("for_each visits every index exactly once on any number of threads", "[compute][for_each]") {
  for (int const threads : {1, 2})
    for (index_t const n : {0, 1, 7, 64, 65, 127, 600001}) {
      guarded<int> y(n);
      compute::for_each(instance(threads), n, count_body{y.data()});
      compute::for_each_row(instance(threads), n, count_body{y.data()}, 1);
      compute::detail::loop_portable(instance(threads), n, count_body{y.data()});
      bool all = true;
      for (index_t i = 0; i < n; ++i) all = all && y[i] == 3;
      CHECK(all);
      CHECK(y.intact());
    }
}

TEST_CASE("the portable loop gives the bits of the vectorised loops", "[compute][for_each]") {
  index_t const n = 10007;
  auto const x = numbers<float>(n, 3, -5, 5);
  guarded<float> a(n), b(n);
  using body = compute::detail::map_body<compute::detail::gelu_value, float>;
  compute::for_each(instance(1), n, body{x.data(), a.data()});
  compute::detail::loop_portable(instance(2), n, body{x.data(), b.data()});
  CHECK(a.same_bits(b));
}

namespace {
std::vector<std::string> launches;
void hear_launch(char const* name, std::uint32_t, std::uint64_t*) { launches.emplace_back(name); }
}  // namespace

TEST_CASE("a tool hears a launch by its functor, and who has no tool pays for no name", "[compute][for_each]") {
  CHECK(pleat::launch_label<count_body>() == "pleat");
  auto const before = Kokkos::Tools::Experimental::get_callbacks();
  Kokkos::Tools::Experimental::set_begin_parallel_for_callback(hear_launch);
  index_t const n = 600001;  // enough for two threads, so that there is a launch
  guarded<int> y(n);
  compute::for_each(instance(2), n, count_body{y.data()});
  compute::detail::loop_portable(instance(2), n, count_body{y.data()});
  guarded<float> x(1), z(1);
  compute::detail::loop_portable(instance(1), 1,
                                 compute::detail::map_body<compute::detail::gelu_value, float>{x.data(), z.data()});
  Kokkos::Tools::Experimental::set_callbacks(before);
  std::size_t const loops = instance(2).concurrency() > 1 ? 2 : 1;  // on one thread for_each is a call and no launch
  REQUIRE(launches.size() == loops + 1);
  for (std::size_t i = 0; i < loops; ++i) {
    INFO(launches[i]);
    CHECK(launches[i].ends_with("::count_body"));
  }
  CHECK(launches[loops].find("map_body<pleat::compute::detail::gelu_value, float>") != std::string::npos);
  CHECK(pleat::launch_label<count_body>() == "pleat");
}

TEST_CASE("work below the cut-off is a call on the calling thread, and above it as many tasks as pay",
          "[compute][for_each]") {
  using compute::serial_cutoff, compute::tasks_for;
  auto const two = instance(2), four = instance(4);
  CHECK(tasks_for(four, 0) == 1);
  CHECK(tasks_for(four, serial_cutoff - 1) == 1);
  CHECK(tasks_for(four, serial_cutoff) == std::min(2, four.concurrency()));
  CHECK(tasks_for(four, serial_cutoff * 1.5) == std::min(3, four.concurrency()));
  CHECK(tasks_for(two, serial_cutoff * 1e6) == two.concurrency());

  // What Kokkos is asked to run in parallel.
  launches.clear();
  auto const before = Kokkos::Tools::Experimental::get_callbacks();
  Kokkos::Tools::Experimental::set_begin_parallel_for_callback(hear_launch);
  Kokkos::Tools::Experimental::set_begin_parallel_reduce_callback(hear_launch);
  Kokkos::Tools::Experimental::set_begin_parallel_scan_callback(hear_launch);
  auto const n = static_cast<index_t>(serial_cutoff);
  guarded<int> y(n);
  for (index_t const few : {index_t{10}, n - 1}) compute::for_each(two, few, count_body{y.data()});
  compute::for_each_row(two, 10, count_body{y.data()}, serial_cutoff / 10 - 1);
  auto const x = numbers<float>(100, 1, -1, 1);
  guarded<float> out(100);
  compute::relu(two, 100, x.data(), out.data());
  compute::sum(two, 100, x.data(), out.data());
  compute::softmax_rows(two, 10, 10, x.data(), 10, out.data(), 10);
  auto const quiet = launches;
  compute::for_each(two, n, count_body{y.data()});
  compute::for_each_row(two, 10, count_body{y.data()}, serial_cutoff / 10);
  Kokkos::Tools::Experimental::set_callbacks(before);
  CHECK(quiet == std::vector<std::string>{});
  CHECK(launches.size() == (two.concurrency() > 1 ? 2 : 0));
}
