// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/dataset.hpp>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::scratch;
using io_test::words;
using pleat::extents;
using pleat::index_t;
namespace io = pleat::io;

namespace {

io::idx_array ramp(extents shape, int modulus) {
  io::idx_array a{pleat::dtype::u8, shape, std::vector<std::byte>(static_cast<std::size_t>(shape.size()))};
  for (std::size_t i = 0; i < a.bytes.size(); ++i)
    a.bytes[i] = static_cast<std::byte>(i % static_cast<std::size_t>(modulus));
  return a;
}

/// Four files of a tiny MNIST: 6 training and 3 test images of 2×3.
void tiny(scratch const& dir, bool dots, bool packed) {
  auto const put = [&](std::string const& stem, std::string const& end, io::idx_array const& a) {
    auto const path = dir / (stem + (dots ? "." : "-") + end + (packed ? ".gz" : ""));
    if (packed) io::write_file(path, io::gzip(io::encode_idx(a)));
    else io::write_idx(path, a);
  };
  put("train-images", "idx3-ubyte", ramp({6, 2, 3}, 251));
  put("train-labels", "idx1-ubyte", ramp({6}, 10));
  put("t10k-images", "idx3-ubyte", ramp({3, 2, 3}, 7));
  put("t10k-labels", "idx1-ubyte", ramp({3}, 10));
}

/// examples/data/digits of the source tree: under ctest by PLEAT_SOURCE_DIR, else upwards from where the program was
/// started.
std::string digits_folder() {
  if (char const* const root = std::getenv("PLEAT_SOURCE_DIR")) return std::string(root) + "/examples/data/digits";
  std::string up;
  for (int level = 0; level < 6; ++level, up += "../")
    if (std::filesystem::is_directory(up + "examples/data/digits")) return up + "examples/data/digits";
  return "examples/data/digits";
}

/// Mean and deviation of all normalised values.
std::pair<double, double> moments(io::dataset const& d) {
  std::vector<index_t> all(static_cast<std::size_t>(d.size));
  std::iota(all.begin(), all.end(), 0);
  std::vector<float> x(all.size() * static_cast<std::size_t>(d.sample_size()));
  d.gather(all, x.data(), nullptr);
  double sum = 0, squares = 0;
  for (float const v : x) sum += v, squares += static_cast<double>(v) * v;
  double const n = static_cast<double>(x.size()), mean = sum / n;
  return {mean, std::sqrt(squares / n - mean * mean)};
}

}  // namespace

TEST_CASE("four IDX files become a training and a test set, in every spelling", "[io][dataset]") {
  for (bool const dots : {false, true})
    for (bool const packed : {false, true}) {
      scratch const dir;
      tiny(dir, dots, packed);
      auto const s = io::mnist(dir.path());
      CHECK(s.train.size == 6);
      CHECK(s.test.size == 3);
      CHECK(s.train.sample == extents{1, 2, 3});
      CHECK(s.train.classes == 10);
      CHECK(s.train.labels == std::vector<std::int32_t>{0, 1, 2, 3, 4, 5});
      CHECK(s.train.pixels.size() == 36);
      CHECK(s.train.name == "mnist train");
      CHECK(s.test.name == "mnist test");
    }
}

TEST_CASE("gather normalises the rows that it is asked for", "[io][dataset]") {
  io::dataset d;
  d.name = "made";
  d.sample = {1, 9, 17};  // 153 values: two whole blocks and a rest
  d.size = 5;
  d.classes = 10;
  d.mean = 33.25f;
  d.scale = 0.0127f;
  for (index_t i = 0; i < d.size * d.sample_size(); ++i) d.pixels.push_back(static_cast<std::uint8_t>(i * 37));
  d.labels = {4, 3, 2, 1, 0};
  std::vector<index_t> const rows = {3, 0, 3};
  std::vector<float> x(3 * 153 + 1, -99.0f);
  std::vector<std::int32_t> y(3);
  d.gather(rows, x.data(), y.data());
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (std::size_t k = 0; k < 153; ++k)
      REQUIRE(x[r * 153 + k] == (static_cast<float>(d.pixels[static_cast<std::size_t>(rows[r]) * 153 + k]) - 33.25f) *
                                    0.0127f);  // bit for bit
  CHECK(x.back() == -99.0f);
  CHECK(y == std::vector<std::int32_t>{1, 4, 1});
  d.gather({}, nullptr, nullptr);
  for (index_t const bad : {index_t{-1}, index_t{5}, std::numeric_limits<index_t>::max()})
    CHECK_THAT(words([&] {
                 d.gather({&bad, 1}, x.data(), nullptr);
               }),
               ContainsSubstring("sample " + std::to_string(bad) + " of 'made', which has 5"));
}

TEST_CASE("every instruction set gives the same bits", "[io][dataset]") {
  std::vector<std::uint8_t> in(1000);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::uint8_t>(i * 89 + i / 7);
  std::vector<float> a(in.size()), b(in.size());
  io::detail::normalise_blocks(in.data(), a.data(), 1000, 33.3285f, 0.012728f);
  io::detail::normalise(in.data(), b.data(), 1000, 33.3285f, 0.012728f);
  CHECK(a == b);
}

TEST_CASE("a missing folder or file is named with what was looked for", "[io][dataset]") {
  scratch const dir;
  CHECK_THAT(words([&] { (void)io::mnist(dir / "none"); }),
             ContainsSubstring("io::mnist('" + (dir / "none") + "'): there is no such folder"));
  CHECK_THAT(words([&] { (void)io::mnist(dir.path()); }),
             ContainsSubstring("none of the files 'train-images-idx3-ubyte', 'train-images-idx3-ubyte.gz', "
                               "'train-images.idx3-ubyte', 'train-images.idx3-ubyte.gz' is in the folder"));
  tiny(dir, false, false);
  std::filesystem::remove(dir / "t10k-labels-idx1-ubyte");
  CHECK_THAT(words([&] { (void)io::mnist(dir.path()); }), ContainsSubstring("t10k-labels-idx1-ubyte"));
  CHECK_THAT(words([&] { (void)io::mnist(dir / "train-labels-idx1-ubyte"); }), ContainsSubstring("this is no folder"));
}

TEST_CASE("data that do not fit each other are refused", "[io][dataset]") {
  scratch const dir;
  tiny(dir, false, false);
  io::write_idx(dir / "train-labels-idx1-ubyte", ramp({5}, 10));
  CHECK_THAT(words([&] { (void)io::mnist(dir.path()); }),
             ContainsSubstring("expected 6 labels, one for each image") && ContainsSubstring("found 5"));
  io::write_idx(dir / "train-labels-idx1-ubyte", ramp({6, 1}, 10));
  CHECK_THAT(words([&] { (void)io::mnist(dir.path()); }),
             ContainsSubstring("expected labels, U8 of rank 1; found U8 [6, 1]"));
  auto labels = ramp({6}, 10);
  labels.bytes[4] = std::byte{10};
  io::write_idx(dir / "train-labels-idx1-ubyte", labels);
  CHECK_THAT(words([&] { (void)io::mnist(dir.path()); }),
             ContainsSubstring("label 10 of sample 4 (byte 12), expected 0 to 9"));
  tiny(dir, false, false);
  io::write_idx(dir / "train-images-idx3-ubyte", ramp({6, 6}, 10));
  CHECK_THAT(words([&] { (void)io::mnist(dir.path()); }),
             ContainsSubstring("expected images, U8 of rank 3 or 4; found U8 [6, 6]"));
  tiny(dir, false, false);
  io::write_idx(dir / "t10k-images-idx3-ubyte", ramp({3, 2, 2}, 10));
  CHECK_THAT(words([&] { (void)io::mnist(dir.path()); }),
             ContainsSubstring("training images are [1, 2, 3], test images [1, 2, 2]"));
  // A set of nothing would be 0 % wrong.
  for (auto const& none : {pleat::extents{0, 2, 3}, pleat::extents{6, 0, 3}}) {
    tiny(dir, false, false);
    io::write_idx(dir / "train-images-idx3-ubyte", ramp(none, 10));
    io::write_idx(dir / "train-labels-idx1-ubyte", ramp({none[0]}, 10));
    CHECK_THAT(words([&] { (void)io::mnist(dir.path()); }),
               ContainsSubstring("expected samples, found a file of " + none.to_string() + " with none"));
  }
}

TEST_CASE("the shipped digits are complete", "[io][dataset]") {
  auto const s = io::load_digits(digits_folder());
  CHECK(s.train.size == 1442);
  CHECK(s.test.size == 355);
  CHECK(s.train.sample == extents{1, 8, 8});
  std::vector<int> per_class(10);
  for (auto const* d : {&s.train, &s.test})
    for (auto const label : d->labels) ++per_class[static_cast<std::size_t>(label)];
  CHECK(per_class == std::vector<int>{178, 182, 177, 183, 181, 182, 181, 179, 174, 180});  // as the source says
  CHECK(*std::max_element(s.train.pixels.begin(), s.train.pixels.end()) == 16);
  // The constants are the moments rounded to 0.005: mean within 0.005/6.02, deviation within 0.005/6.02 of 1, and float
  // rounding.
  auto const [mean, deviation] = moments(s.train);
  CHECK(std::abs(mean) < 0.001);
  CHECK(std::abs(deviation - 1) < 0.001);
}

TEST_CASE("MNIST itself", "[io][dataset][data]") {
  char const* const root = std::getenv("PLEAT_DATA_DIR");
  if (!root) SKIP("PLEAT_DATA_DIR is not set: the real MNIST was not read");
  auto const s = io::mnist(std::string(root) + "/mnist");
  CHECK(s.train.size == 60'000);
  CHECK(s.test.size == 10'000);
  CHECK(s.train.sample == extents{1, 28, 28});
  CHECK(std::vector<std::int32_t>(s.train.labels.begin(), s.train.labels.begin() + 5) ==
        std::vector<std::int32_t>{5, 0, 4, 1, 9});
  CHECK(std::vector<std::int32_t>(s.test.labels.begin(), s.test.labels.begin() + 5) ==
        std::vector<std::int32_t>{7, 2, 1, 0, 4});
  // Constants rounded to 0.00005: mean within 0.00005/0.3081, deviation within 0.00005/0.3081 of 1.
  auto const [mean, deviation] = moments(s.train);
  CHECK(std::abs(mean) < 0.0002);
  CHECK(std::abs(deviation - 1) < 0.0002);
}
