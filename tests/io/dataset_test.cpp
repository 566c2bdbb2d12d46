// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/dataset.hpp>
#include <pleat/io/dataset_file.hpp>

#include <cmath>
#include <cstdlib>
#include <cstring>
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
  for (float const deviation : {0.0F, -1.0F, std::numeric_limits<float>::quiet_NaN()})
    CHECK_THAT(
        words([&] {
          (void)io::read_idx_pair(dir / "train-images-idx3-ubyte", dir / "train-labels-idx1-ubyte",
                                  {.name = "odd", .deviation = deviation});
        }),
        ContainsSubstring("expected a mean within 1e30 and a deviation between 1e-30 and 1e30, found a mean of "));
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

namespace {
template <class T> std::vector<T> counted(index_t n, double first, double step) {
  std::vector<T> v(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<T>(first + step * static_cast<double>(i));
  return v;
}
/// A file of 4 samples of 2×3: what is not named is left out.
template <class X, class Y>
void write_samples(std::string const& path, std::vector<X> const& inputs, char const* name, extents const& shape,
                   std::vector<Y> const& judged) {
  io::safetensors_writer w;
  w.add<X>("inputs", {static_cast<index_t>(inputs.size()) / 6, 2, 3}, inputs);
  w.add<Y>(name, shape, judged);
  w.write(path);
}
}  // namespace

TEST_CASE("floats with targets, floats with labels and bytes with labels come from one file", "[io][dataset]") {
  scratch const dir;
  auto const path = dir / "flow.safetensors";
  auto const x = counted<float>(24, -3, 0.25);
  auto const t = counted<float>(8, 10, -0.5);
  std::vector<index_t> const asked{3, 0, 3};
  std::vector<float> rows(18), goals(6);
  std::vector<std::int32_t> classes(3);

  write_samples(path, x, "targets", {4, 2}, t);
  auto const flow = io::read_dataset(path, {.mean = 0.5f, .deviation = 4});
  flow.demand_whole();
  CHECK(flow.regression());
  CHECK((flow.size == 4 && flow.sample == extents{2, 3} && flow.target == extents{2} && flow.classes == 0));
  flow.gather(asked, rows.data(), nullptr);
  flow.gather_targets(asked, goals.data());
  for (std::size_t r = 0; r < asked.size(); ++r) {
    auto const s = static_cast<std::size_t>(asked[r]);
    for (std::size_t i = 0; i < 6; ++i) CHECK(rows[6 * r + i] == (x[6 * s + i] - 0.5f) * 0.25f);
    for (std::size_t i = 0; i < 2; ++i) CHECK(goals[2 * r + i] == t[2 * s + i]);
  }
  // a copy shares the file's memory; picked samples have their own, and the same values
  CHECK(io::dataset(flow).values.data() == flow.values.data());
  auto const some = flow.pick(asked);
  CHECK((some.size == 3 && some.values.data() != flow.values.data()));
  std::vector<float> again(18);
  some.gather(std::vector<index_t>{0, 1, 2}, again.data(), nullptr);
  CHECK(again == rows);
  CHECK(std::vector<float>(some.targets.begin(), some.targets.end()) == goals);
  CHECK_THAT(words([&] { flow.gather_targets(std::vector<index_t>{4}, goals.data()); }),
             ContainsSubstring("sample 4 of '" + path + "', which has 4"));
  CHECK_THAT(words([&] { flow.demand_classes("compress::distill"); }), ContainsSubstring("needs a class for each"));

  // one number per sample; another target is another set
  write_samples(path, x, "targets", {4}, counted<float>(4, 1, 1));
  auto const single = io::read_dataset(path);
  CHECK((single.target == extents{1} && single.mean == 0 && single.scale == 1));
  write_samples(path, x, "targets", {4}, counted<float>(4, 1, 2));
  CHECK(single.fingerprint() != io::read_dataset(path).fingerprint());

  for (int const type : {0, 1, 2}) {
    if (type == 0) write_samples(path, x, "labels", {4}, counted<std::uint8_t>(4, 0, 2));
    if (type == 1) write_samples(path, x, "labels", {4}, counted<std::int32_t>(4, 0, 2));
    if (type == 2) write_samples(path, x, "labels", {4}, counted<std::int64_t>(4, 0, 2));
    auto const d = io::read_dataset(path);
    CHECK((!d.regression() && d.classes == 7));
    CHECK(io::read_dataset(path, {.classes = 9}).classes == 9);
    d.gather(asked, rows.data(), classes.data());
    CHECK(classes == std::vector<std::int32_t>{6, 0, 6});
    CHECK_THAT(words([&] { (void)io::read_dataset(path, {.classes = 6}); }),
               ContainsSubstring("label 6 of sample 3, expected 0 to 5"));
  }
  // floats that do not lie on multiples of four bytes: another writer's header may have any length
  write_samples(path, x, "targets", {4, 2}, t);
  auto file = io::read_file(path);
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), 8);
  file.insert(file.begin() + 8 + static_cast<std::ptrdiff_t>(header), std::byte{' '});
  ++header;
  std::memcpy(file.data(), &header, 8);
  io::write_file(path, file);
  auto const apart = io::read_dataset(path);
  CHECK(std::vector<float>(apart.values.begin(), apart.values.end()) == x);
  CHECK(std::vector<float>(apart.targets.begin(), apart.targets.end()) == t);
  auto taken = apart;
  auto const into = std::move(taken.values);
  CHECK((taken.values.empty() && into.size() == x.size()));

  auto const bytes = counted<std::uint8_t>(24, 0, 10);
  write_samples(path, bytes, "labels", {4}, counted<std::uint8_t>(4, 0, 1));
  auto const b = io::read_dataset(path, {.mean = 127.5f, .deviation = 255});
  CHECK((b.pixels == bytes && b.values.empty()));
}

TEST_CASE("a file that is no data set is refused in a sentence", "[io][dataset]") {
  scratch const dir;
  auto const path = dir / "bad.safetensors";
  auto const said = [&](io::dataset_spec const& spec = {}) {
    return io_test::advice([&] { (void)io::read_dataset(path, spec); });
  };
  auto const x = counted<float>(24, 0, 1);
  auto const y = counted<float>(4, 0, 1);
  write_samples(path, x, "outputs", {4}, y);
  CHECK_THAT(said(), ContainsSubstring("there is neither 'labels' nor 'targets'"));
  write_samples(path, x, "targets", {2, 2}, y);
  CHECK_THAT(said(), ContainsSubstring("the counts of samples differ"));
  write_samples(path, x, "labels", {4}, y);
  CHECK_THAT(said(), ContainsSubstring("'labels' is F32 [4]"));
  write_samples(path, x, "targets", {4}, counted<double>(4, 0, 1));
  CHECK_THAT(said(), ContainsSubstring("'targets' is F64 [4]"));
  write_samples(path, counted<double>(24, 0, 1), "targets", {4}, y);
  CHECK_THAT(said(), ContainsSubstring("'inputs' is F64 [4, 2, 3]"));
  write_samples(path, std::vector<float>{}, "targets", {0}, std::vector<float>{});
  CHECK_THAT(said(), ContainsSubstring("no samples"));
  write_samples(path, x, "labels", {4}, counted<std::int64_t>(4, -1, 1));
  CHECK_THAT(said(), ContainsSubstring("label -1 of sample 0"));
  write_samples(path, x, "targets", {4}, y);
  for (io::dataset_spec const& spec :
       {io::dataset_spec{.deviation = 0}, io::dataset_spec{.deviation = NAN}, io::dataset_spec{.mean = INFINITY}})
    CHECK_THAT(said(spec), ContainsSubstring("expected a finite mean and a deviation above 0"));
  io::safetensors_writer w;
  w.add<float>("inputs", {4, 6}, x);
  w.add<float>("targets", {4}, y);
  w.add<std::uint8_t>("labels", {4}, counted<std::uint8_t>(4, 0, 1));
  w.write(path);
  CHECK_THAT(said(), ContainsSubstring("there are both 'labels' and 'targets'"));
  io::dataset d;
  d.name = "hand-made", d.size = 2, d.sample = {3}, d.pixels.resize(5);
  CHECK_THAT(words([&] { d.demand_whole(); }), ContainsSubstring("2 samples of 3 bytes, found 5"));
  d.pixels.resize(6);
  CHECK_THAT(words([&] { d.demand_whole(); }), ContainsSubstring("2 samples of 1 label, found 0"));
  d.demand_whole(false);  // requests need none
  d.values = x;
  CHECK_THAT(words([&] { d.demand_whole(); }), ContainsSubstring("has both pixels and values"));
  d.values = {}, d.labels = {0, 0}, d.targets = y;
  CHECK_THAT(words([&] { d.demand_whole(); }), ContainsSubstring("has labels beside targets"));
  auto w2 = io::windows_of({"text", 5, 2, 1, {0, 1, 2, 3}});
  w2.demand_whole();
  for (auto const& spoil : {+[](io::dataset& w) { w.sample = {1}; }, +[](io::dataset& w) { w.size = 3; },
                            +[](io::dataset& w) { w.target = {1}; }, +[](io::dataset& w) { w.classes = 4; }}) {
    auto spoilt = w2;
    spoil(spoilt);
    CHECK_THAT(words([&] { spoilt.demand_whole(); }), ContainsSubstring("is windows of a text"));
  }
  CHECK_THAT(words([&] { (void)io::read_dataset(path, {.classes = -3}); }), ContainsSubstring("-3 classes"));
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
