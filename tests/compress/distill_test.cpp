// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/distill.hpp>
#include <pleat/compress/remote_teacher.hpp>
#include <pleat/compress/target_cache.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/compress/criteria.hpp>
#include <pleat/compress/fine_tune.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/nn/embedding.hpp>
#include <pleat/parallel/place.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>
#include <compress/mesh_support.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <numeric>
#include <span>
#include <stdexcept>

#include <unistd.h>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
namespace nn = pleat::nn;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

pleat::plan::plan plan_for(pleat::world& w) {
  pleat::plan::plan p;
  p.global_batch = 16;
  p.data_ranks = w.size();
  p.deterministic = true;
  return p;
}
auto student(pleat::world& w, std::uint64_t seed = 8) {
  return pleat::parallel::build(nn::sequential(nn::linear("a", 20, 6), nn::relu(), nn::linear("b", 6, 4)), plan_for(w),
                                w, {.seed = seed});
}
auto hinted(pleat::world& w, index_t width = 16, index_t unit = 2) {
  return pleat::parallel::build(
      nn::sequential(nn::linear("a", 20, 6), nn::relu(), compress::hint("hint", 6, width, unit), nn::linear("b", 6, 4)),
      plan_for(w), w, {.seed = 8});
}
auto trained(pleat::world& w, pleat::io::dataset const& d, index_t epochs = 6) {
  auto m = build(w);
  (void)pleat::run::fit(m, d, quiet(epochs));
  return m;
}
compress::distill_options lessons(index_t epochs, double temperature = 4, double hard = 0.1) {
  return {.temperature = temperature, .hard_weight = hard, .fit = quiet(epochs)};
}
struct scratch {
  std::string path;
  explicit scratch(char const* name)
      : path((std::filesystem::temp_directory_path() / ("pleat-distill-" + std::to_string(::getpid()) + "-" + name))
                 .string()) {}
  ~scratch() { std::filesystem::remove(path); }
};
std::vector<std::byte> bytes_of(std::string const& path) {
  auto const s = pleat::io::mapped_file(path);
  return {s.bytes().begin(), s.bytes().end()};
}

/// Σ over samples and classes of (p_teacher − p_student)², at temperature 1.
template <class A, class B> double apart(A const& a, B const& b, pleat::io::dataset const& d) {
  std::vector<index_t> all(static_cast<std::size_t>(d.size));
  for (index_t i = 0; i < d.size; ++i) all[static_cast<std::size_t>(i)] = i;
  compress::answer x, y;
  compress::teacher(a).ask({&d, all, {}}, x);
  compress::teacher(b).ask({&d, all, {}}, y);
  double sum = 0;
  for (std::size_t s = 0; s < all.size(); ++s) {
    auto const prob = [&](std::vector<float> const& v, std::size_t j) {
      double total = 0;
      for (std::size_t i = 0; i < 4; ++i) total += std::exp(static_cast<double>(v[4 * s + i]));
      return std::exp(static_cast<double>(v[4 * s + j])) / total;
    };
    for (std::size_t j = 0; j < 4; ++j) sum += std::pow(prob(x.scores, j) - prob(y.scores, j), 2);
  }
  return sum;
}

/// What is said where a teacher teaches a student of other ranks, one with hints, and a file of targets.
std::string refusals(pleat::world& w, compress::teacher const& t, pleat::io::dataset const& train) {
  std::string words;
  auto const refused = [&](auto&& f) {
    try {
      f();
    } catch (pleat::error const& e) {
      words += std::string(e.what()) + "\n";
    }
  };
  refused([&] { (void)(student(w) | compress::distill(train, {t}, lessons(1))); });
  refused([&] { (void)(hinted(w) | compress::distill(train, {t}, lessons(1))); });
  refused([&] { (void)compress::cache_targets(t, train, w.comm, "nowhere"); });
  return words;
}

/// How far, relatively, Σ exp of a row may be off whose two smallest scores came from the float log Σ exp of both: that
/// is rounded (a score and log 2 at most), so is log 2 (to a unit in the last place, two roundings), and their
/// difference, each by 2⁻²⁴; a hundredth for what exp makes of it.
double off(std::span<float const> row) {
  double most = 0;
  for (float const s : row) most = std::max(most, std::abs(static_cast<double>(s)));
  return 1.01 * 0x1p-24 * (2 * most + 3 * std::log(2.0));
}

TEST_CASE("a student comes to say what its teacher says, without labels too") {
  auto w = alone();
  auto train = data(320);
  auto const large = trained(w, train);
  auto const before = student(w);
  bool const labels = GENERATE(true, false);
  if (!labels) train.labels.assign(train.labels.size(), -1);
  auto const after = before | compress::distill(train, {compress::teacher(large)}, lessons(20, 2, labels ? 0.1 : 0.0));
  CHECK(apart(large, after, train) < 0.1 * apart(large, before, train));
}

TEST_CASE("at hard weight 1 the loss is the labels' own") {
  auto w = alone();
  auto const train = data(64);
  auto const large = trained(w, train, 1);
  auto plain = student(w), taught = student(w);
  auto const a = pleat::run::fit(plain, train, quiet(2));
  auto const b = compress::distill(train, {compress::teacher(large)}, lessons(2, 4, 1)).fit(taught);
  // the same gradient up to the rounding of one product per element, through eight steps of Adam whose moves are 1e-3
  for (std::size_t e = 0; e < 2; ++e) CHECK(std::fabs(a.epoch_loss[e] - b.epoch_loss[e]) < 1e-4 * a.epoch_loss[e]);
}

TEST_CASE("the same bits on 1, 2, 3 and 4 ranks, from a model, from disk, with hints, and from ranks elsewhere") {
  auto const train = data(80);
  scratch file("ranks");
  auto const learn = [&](pleat::world& w) {
    auto const large = trained(w, train, 2);
    compress::cache_targets(compress::teacher(large), train, w.comm, file.path, 4);
    w.comm.barrier();
    auto const cached = compress::cached_teacher(file.path, train, 0.5);
    auto const of_two = student(w) | compress::distill(train, {compress::teacher(large), cached}, lessons(2));
    auto const with_hint = hinted(w) | compress::distill(train, {compress::teacher(large)}, lessons(2));
    auto image = pleat::run::file_image(of_two);
    for (auto const b : pleat::run::file_image(with_hint)) image.push_back(b);
    for (auto const b : bytes_of(file.path)) image.push_back(b);
    w.comm.barrier();
    return image;
  };
  auto one = alone();
  auto const reference = learn(one);
  for (int const n : {2, 3, 4}) {
    std::vector<std::vector<std::byte>> images(static_cast<std::size_t>(n));
    pleat::comm::run_local(n, [&](pleat::comm::communicator c) {
      auto const r = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      images[r] = learn(w);
    });
    for (auto const& image : images) CHECK(image == reference);
  }

  auto const large = trained(one, train, 2);
  auto const here =
      pleat::run::file_image(student(one) | compress::distill(train, {compress::teacher(large)}, lessons(2)));
  for (auto const& [ranks, students] : {std::pair{2, 1}, {3, 2}, {4, 3}, {4, 1}}) {
    std::vector<std::vector<std::byte>> images(static_cast<std::size_t>(ranks));
    std::vector<index_t> served(static_cast<std::size_t>(ranks));
    pleat::comm::run_local(ranks, [&, students = students](pleat::comm::communicator all) {
      auto const r = static_cast<std::size_t>(all.rank());
      bool const learns = all.rank() < students;
      pleat::world mine(all.split(learns ? 0 : 1 + all.rank(), all.rank()), 1);
      if (learns)
        images[r] = pleat::run::file_image(
            student(mine) | compress::distill(train, {compress::remote_teacher(all, students, 4)}, lessons(2)));
      else {
        auto const own = trained(mine, train, 2);  // deterministic: the same teacher everywhere
        served[r] = compress::serve_students(compress::teacher(own), train, all, students);
      }
    });
    for (int r = 0; r < students; ++r) CHECK(images[static_cast<std::size_t>(r)] == here);
    CHECK(served[static_cast<std::size_t>(students)] > 0);
  }
}

TEST_CASE(
    "a student in stages or sharded has the bytes of one rank's; cut over the tensor axis it learns the same, but for "
    "the order of sums") {
  auto const train = data(80);
  auto const taught = [&](mesh const& l, bool hard, bool descent = false, index_t epochs = 2) {
    return file_over(l, [&](pleat::world& w) {
      pleat::world self(pleat::comm::communicator(pleat::comm::self{}), 1);
      auto const large = trained(self, train, 2);
      namespace par = pleat::parallel;
      auto m =
          par::build(par::tensor_parallel(nn::sequential(nn::linear("a", 20, 6), nn::relu(), nn::linear("b", 6, 4)),
                                          {par::column("a.*"), par::row("b.*")}),
                     plan_of(l), w, {.seed = 8});
      auto options = lessons(epochs, 4, hard ? 0.5 : 0);
      if (descent) options.fit.optimizer = nn::sgd{.learning_rate = 0.05};
      return std::move(m) |
             (compress::prune{.sparsity = 0.5} | compress::distill(train, {compress::teacher(large)}, options));
    });
  };
  for (bool const hard : {false, true}) {
    auto const one = taught({}, hard);
    REQUIRE(one.size() > 500);
    for (mesh const& l : {mesh{1, 1, 2}, {2, 1, 2}, {2, 1, 1, 1}, {3, 1, 1, 2}, {2, 1, 1, 3}, {4, 1, 1, 3}}) {
      CAPTURE(l.data, l.stages, l.state, hard);
      CHECK((taught(l, hard) == one));
    }
    auto w = alone();
    auto a = student(w) | compress::prune{}, b = student(w) | compress::prune{};
    (void)pleat::run::load(b, opened(taught({}, hard, true, 1)));
    auto const halfway = values_of(b);
    (void)pleat::run::load(a, opened(taught({}, hard, true)));
    auto const x = values_of(a);
    for (mesh const& l : {mesh{1, 2}, {1, 3}, {2, 2}, {1, 2, 2}}) {
      CAPTURE(l.data, l.tensor, l.stages, hard);
      (void)pleat::run::load(b, opened(taught(l, hard, true)));
      auto const y = values_of(b);
      // Plain descent, which does not divide by gradients: a difference stays one of rounding. Pixels are at most 1.7
      // and weights at first 0.23 and 0.41, so a score is a sum of six terms of at most 20·1.7·0.23·0.41 = 3.2, which
      // another order changes by at most 6·20·2⁻²⁴ = 7e-6. The slope of either loss in the scores changes by no more
      // than they do, a gradient by at most 8 times that (as large are b's inputs): 6e-5. Ten steps of 0.05 make 3e-5
      // of it; three times that leaves room for weights that grow. What five steps of training do is far more.
      float apart = 0, moved = 0;
      for (std::size_t p = 0; p < x.size(); ++p)
        for (std::size_t i = 0; i < x[p].values.size(); ++i) {
          CHECK((x[p].values[i] == 0) == (y[p].values[i] == 0));
          apart = std::max(apart, std::abs(x[p].values[i] - y[p].values[i]));
          moved = std::max(moved, std::abs(x[p].values[i] - halfway[p].values[i]));
        }
      CHECK(apart < 1e-4f);
      CHECK(moved > 1e-2f);
    }
  }
}

static_assert(compress::tells_settings<compress::distill>);

TEST_CASE("windows of a text prune, tune and teach position by position, with the same bits on any number of ranks") {
  std::string text;
  for (std::uint64_t i = 0; i < 400; ++i) text += (i * i * 2654435761u >> 9) % 2 ? "ab" : "ac";
  auto const train = pleat::io::windows_of(pleat::io::split_text(text, 4).train);
  auto const bigrams = [&](pleat::world& w, std::uint64_t seed) {
    return pleat::parallel::build(nn::sequential(nn::embedding("e", 3, 8), nn::linear("out", 8, 3)), plan_for(w), w,
                                  {.seed = seed, .input = pleat::extents{16, 4}});
  };
  auto one = alone();
  auto large = bigrams(one, 3);
  (void)pleat::run::fit(large, train, quiet(6));
  auto const before = pleat::run::evaluate(bigrams(one, 8), train).loss;
  auto taught = bigrams(one, 8), plain = bigrams(one, 8), labelled = bigrams(one, 8);
  (void)compress::distill(train, {compress::teacher(large)}, lessons(12, 1, 0)).fit(taught);
  // what it was told without a label is near what its teacher knows: most of the way from where it began
  auto const known = pleat::run::evaluate(large, train).loss;
  CHECK(pleat::run::evaluate(taught, train).loss - known < 0.1 * (before - known));
  // at hard weight 1 the loss is the labels' own, up to one rounding per element through the steps of Adam
  auto const a = pleat::run::fit(plain, train, quiet(2));
  auto const b = compress::distill(train, {compress::teacher(large)}, lessons(2, 4, 1)).fit(labelled);
  for (std::size_t e = 0; e < 2; ++e) CHECK(std::fabs(a.epoch_loss[e] - b.epoch_loss[e]) < 1e-4 * a.epoch_loss[e]);

  auto const learn = [&](pleat::world& w) {
    auto teacher = bigrams(w, 3);
    (void)pleat::run::fit(teacher, train, quiet(2));
    compress::taylor criterion;
    criterion.data = &train, criterion.subset_size = 32;
    compress::prune_by<compress::taylor> half{.sparsity = 0.5, .criterion = criterion};
    half.on_note = [](std::string_view) {};
    auto const tuned = teacher | (half | compress::fine_tune(train, quiet(1)));
    auto student = bigrams(w, 8);
    compress::distill(train, {compress::teacher(tuned)}, lessons(1)).run(student);
    scratch const file(("windows" + std::to_string(w.comm.size())).c_str());
    (void)compress::cache_targets(compress::teacher(tuned), train, w.comm, file.path, 2, 7);
    auto reader = bigrams(w, 8);
    compress::distill(train, {compress::cached_teacher(file.path, train)}, lessons(1)).run(reader);
    auto image = pleat::run::file_image(tuned);
    for (auto const& more : {pleat::run::file_image(student), bytes_of(file.path), pleat::run::file_image(reader)})
      image.insert(image.end(), more.begin(), more.end());
    w.comm.barrier();  // before the file goes
    return image;
  };
  auto const reference = learn(one);
  for (int const n : {2, 3}) {
    std::vector<std::vector<std::byte>> images(static_cast<std::size_t>(n));
    pleat::comm::run_local(n, [&](pleat::comm::communicator c) {
      auto const r = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      images[r] = learn(w);
    });
    for (auto const& image : images) CHECK(image == reference);
  }
}

TEST_CASE("a teacher of windows on disk: all scores teach its bits, the largest few keep the sum at every position") {
  std::string text;
  for (std::uint64_t i = 0; i < 200; ++i) text += (i * i * 2654435761u >> 9) % 2 ? "ab" : "ac";
  auto const of = [&](index_t context) { return pleat::io::windows_of(pleat::io::split_text(text, context).train); };
  auto const train = of(4);
  auto w = alone();
  auto const bigrams = [&](std::uint64_t seed) {
    return pleat::parallel::build(nn::sequential(nn::embedding("e", 3, 8), nn::linear("out", 8, 3)), plan_for(w), w,
                                  {.seed = seed, .input = pleat::extents{16, 4}});
  };
  auto large = bigrams(3);
  (void)pleat::run::fit(large, train, quiet(3));
  scratch all("all-windows"), some("some-windows"), images("images");
  auto const kept = compress::cache_targets(compress::teacher(large), train, w.comm, all.path);
  CHECK((kept.positions == 4 && kept.samples == train.size && kept.dropped_max == 0));
  CHECK(static_cast<index_t>(kept.scores.size()) == train.size * 4 * 3);
  auto const taught = [&](compress::teacher const& t) {
    auto student = bigrams(8);
    compress::distill(train, {t}, lessons(2)).run(student);
    return pleat::run::file_image(student);
  };
  CHECK((taught(compress::cached_teacher(all.path, train)) == taught(compress::teacher(large))));
  // Window 5 before window 2: each position has its own row, and what one score leaves is shared by two.
  (void)compress::cache_targets(compress::teacher(large), train, w.comm, some.path, 1, 5);
  compress::answer exact, rough;
  std::vector<index_t> const two{5, 2};
  compress::teacher(large).ask({&train, two, {}}, exact);
  compress::cached_teacher(some.path, train).ask({&train, two, {}}, rough);
  REQUIRE((exact.scores.size() == 24 && rough.scores.size() == 24));
  for (std::size_t row = 0; row < 24; row += 3) {
    double a = 0, b = 0;
    for (std::size_t j = row; j < row + 3; ++j)
      a += std::exp(static_cast<double>(exact.scores[j])), b += std::exp(static_cast<double>(rough.scores[j]));
    CHECK(std::fabs(a - b) <= off(std::span(rough.scores).subspan(row, 3)) * a);
    auto const top = std::max_element(exact.scores.begin() + static_cast<std::ptrdiff_t>(row),
                                      exact.scores.begin() + static_cast<std::ptrdiff_t>(row + 3)) -
                     exact.scores.begin();
    CHECK(rough.scores[static_cast<std::size_t>(top)] == exact.scores[static_cast<std::size_t>(top)]);
  }
  // Other windows of the same text, images, and numbers that nobody gave.
  auto const refused = [&](auto&& f, std::string const& words) {
    CHECK_THROWS_MATCHES(f(), pleat::error, MessageMatches(ContainsSubstring(words)));
  };
  refused([&] { (void)compress::read_targets(some.path, of(5)); }, "windows of 4 tokens, those of");
  auto shifted = *train.windows;
  shifted.stride = 2, shifted.tokens.resize(static_cast<std::size_t>((train.size - 1) * 2 + 5), 0);
  auto const other = pleat::io::windows_of(shifted);
  REQUIRE(other.size == train.size);
  refused([&] { (void)compress::read_targets(some.path, other); }, "the targets belong to another data set");
  refused([&] { (void)compress::read_targets(some.path, data(24)); }, "the file holds targets of windows of a text");
  auto const pictures = data(24);
  auto const whole = build(w);
  (void)compress::cache_targets(compress::teacher(whole), pictures, w.comm, images.path);
  refused([&] { (void)compress::read_targets(images.path, train); }, "is windows of a text");
  auto forged = compress::read_targets(some.path, train);
  forged.scores[4 * 2 + 3] = std::numeric_limits<float>::quiet_NaN();
  compress::write_targets(some.path, forged, train);
  refused([&] { (void)compress::read_targets(some.path, train); }, "of sample 2, position 3 is NaN or infinite");
  compress::teacher const odd(
      compress::teacher::source{.name = "odd", .ask = [](compress::question const& q, compress::answer& a) {
                                  a.scores.assign(q.samples.size() * 3, 0.0f);  // as if a window were one sample
                                }});
  refused([&] { (void)compress::cache_targets(odd, train, w.comm, all.path, 0, 3); },
          "9 scores for 3 samples of 4 positions");
}

TEST_CASE("a teacher that is cut as its student is teaches the bytes that a whole one teaches") {
  namespace par = pleat::parallel;
  auto const train = data(80);
  std::vector<par::placement_rule> const outputs{par::column("fc*")};  // whose sums are one rank's: the scores' bits
  auto const cut_teacher = [&](pleat::world& w, auto const& large, index_t tensor) {
    pleat::plan::plan p;
    p.global_batch = 16;
    p.data_ranks = w.size() / tensor;
    p.tensor_ranks = tensor;
    p.deterministic = true;
    return par::place(large, par::tensor_parallel(large.net(), outputs), p, w);
  };
  auto const cut_student = [&](pleat::world& w, mesh const& l) {
    return par::build(par::tensor_parallel(nn::sequential(nn::linear("a", 20, 6), nn::relu(), nn::linear("b", 6, 4)),
                                           {par::column("a.*"), par::row("b.*")}),
                      plan_of(l), w, {.seed = 8});
  };
  for (mesh const& l : {mesh{1, 2}, {1, 3}, {2, 2}, {1, 2, 2}}) {
    CAPTURE(l.data, l.tensor, l.stages);
    auto const taught = [&](bool cut) {
      return file_over(l, [&](pleat::world& w) {
        pleat::world self(pleat::comm::communicator(pleat::comm::self{}), 1);
        auto const large = trained(self, train, 2);
        auto const parts = cut_teacher(w, large, l.tensor);
        auto const t = cut ? compress::teacher(parts) : compress::teacher(large);
        return cut_student(w, l) | compress::distill(train, {t}, lessons(2));
      });
    };
    CHECK((taught(true) == taught(false)));
  }
  // Ranks that would not ask together, features, and files: said on every rank.
  std::vector<std::string> said(2);
  pleat::comm::run_local(2, [&](pleat::comm::communicator c) {
    auto& words = said[static_cast<std::size_t>(c.rank())];
    pleat::world self(pleat::comm::communicator(pleat::comm::self{}), 1), w(std::move(c), 1);
    w.set_sink({});
    auto const parts = cut_teacher(w, build(self), 2);
    compress::teacher const t(parts);
    words = refusals(w, t, train);
  });
  for (auto const& s : said) {
    CHECK_THAT(s, ContainsSubstring("is cut over other ranks than the student"));
    CHECK_THAT(s, ContainsSubstring("cut over the tensor axis) gives scores only"));
    CHECK_THAT(s, ContainsSubstring("no rank can ask it for samples of its own"));
  }
}

TEST_CASE("a teacher in stages or of sharded parameters teaches the bytes that a whole one teaches, on any placement") {
  namespace par = pleat::parallel;
  auto const train = data(83);  // the last batch has fewer samples than ranks
  auto const taught = [&](mesh const& of_student, mesh const& of_teacher, bool with_other = false) {
    return file_over(of_student, [&](pleat::world& w) {
      pleat::world self(pleat::comm::communicator(pleat::comm::self{}), 1);
      auto const large = trained(self, train, 2);
      std::vector<compress::teacher> teachers;
      bool const apart = of_teacher.ranks() > 1;
      auto t = plan_of(of_teacher);
      t.bucket_bytes = 256, t.prefetch = 0;  // layers are gathered anew for every question: whoever asks none is missed
      auto const parts =
          par::place(large, par::tensor_parallel(large.net(), {par::column("fc*")}), t, apart ? w : self);
      if (with_other) teachers.emplace_back(large, 0.5);
      teachers.push_back(apart ? compress::teacher(parts) : compress::teacher(large));
      auto p = plan_of(of_student);
      p.micro_batches = 2;
      auto m =
          par::build(par::tensor_parallel(nn::sequential(nn::linear("a", 20, 6), nn::relu(), nn::linear("b", 6, 4)),
                                          {par::column("a.*"), par::row("b.*")}),
                     p, w, {.seed = 8});
      return std::move(m) | compress::distill(train, teachers, lessons(2));
    });
  };
  auto const one = taught({}, {});
  auto const of_two = taught({}, {}, true);
  CHECK(one != of_two);
  // student, teacher: data, tensor, stages, state
  for (auto const& [s, t] : {std::pair<mesh, mesh>{{2}, {2, 1, 1, 3}},
                             {{3, 1, 1, 3}, {3, 1, 1, 3}},
                             {{2, 1, 2}, {2, 1, 2}},
                             {{1, 1, 2}, {1, 1, 2, 3}},
                             {{2, 1, 2, 3}, {2, 1, 2, 3}},
                             {{1, 1, 3}, {3, 1, 1, 3}},
                             {{4}, {4, 1, 1, 3}},
                             {{2, 2}, {2, 2, 1, 3}},
                             {{1, 2}, {1, 1, 2}}}) {
    CAPTURE(s.data, s.tensor, s.stages, s.state, t.data, t.tensor, t.stages, t.state);
    CHECK((taught(s, t) == (s.tensor > 1 ? taught(s, {}) : one)));  // cut, sums have another order
  }
  CHECK(taught({2, 1, 1, 3}, {2, 1, 1, 3}, true) == of_two);
  // Ranks that would have other samples; features; files: said on every rank.
  std::vector<std::string> said(2);
  pleat::comm::run_local(2, [&](pleat::comm::communicator c) {
    auto& words = said[static_cast<std::size_t>(c.rank())];
    pleat::world w(std::move(c), 1);
    w.set_sink({});
    w.comm.set_timeout(30);
    auto const staged = par::build(network(), plan_of({1, 1, 2}), w, {.seed = 3});
    compress::teacher const t(staged);
    words = refusals(w, t, train);
  });
  for (auto const& s : said) {
    CHECK_THAT(s, ContainsSubstring("is in stages, and ranks that answer together have other samples"));
    CHECK_THAT(s, ContainsSubstring("the first teacher (a model, in stages) gives scores only"));
    CHECK_THAT(s, ContainsSubstring("is in stages: no rank can ask it for samples of its own"));
  }
}

TEST_CASE(
    "training that fails sends the teachers' ranks home: at a step, with an answer under way, before it begins; one "
    "student alone too") {
  auto const train = data(80);
  enum class failure { at_a_step, with_an_answer_under_way, before_it_begins, of_one_student };
  for (auto const how :
       {failure::at_a_step, failure::with_an_answer_under_way, failure::before_it_begins, failure::of_one_student}) {
    CAPTURE(static_cast<int>(how));
    std::vector<std::string> said(3);
    index_t served = -1;
    auto const lesson = [&](pleat::comm::communicator all) {
      all.set_timeout(30);  // who waits for ever fails
      int const rank = all.rank();
      pleat::world mine(all.split(rank < 2 ? 0 : 1, rank), 1);
      if (rank == 2) {
        auto const own = build(mine);
        served = compress::serve_students(compress::teacher(own), train, all, 2);
        return;
      }
      auto options = lessons(2);
      if (how == failure::at_a_step || (how == failure::of_one_student && rank == 1))
        options.fit.before_step = [n = 0]() mutable {
          if (++n == 2) throw std::runtime_error("enough");
        };
      if (how == failure::before_it_begins) options.temperature = 0;
      std::vector<compress::teacher> teachers;
      if (how == failure::with_an_answer_under_way)
        teachers.push_back(
            compress::teacher({.name = "silent", .ask = [](compress::question const&, compress::answer&) {
                                 throw std::runtime_error("enough");
                               }}));
      teachers.push_back(compress::remote_teacher(all, 2, 4));
      auto m = student(mine);
      try {
        compress::distill const kept(train, teachers, options);  // lives while the error is told
        teachers.clear();
        (void)kept.fit(m);
      } catch (std::exception const& e) {
        said[static_cast<std::size_t>(rank)] = e.what();
        if (how == failure::of_one_student) throw;
      }
    };
    if (how == failure::of_one_student) {
      CHECK_THROWS_MATCHES(pleat::comm::run_local(3, lesson), std::runtime_error,
                           MessageMatches(ContainsSubstring("enough")));
      CHECK(said[1] == "enough");
      CHECK_THAT(said[0], ContainsSubstring("rank 1"));  // it ended early
      continue;
    }
    pleat::comm::run_local(3, lesson);
    CHECK((served >= 0 && served < 80));
    for (std::size_t r = 0; r < 2; ++r)
      CHECK_THAT(said[r],
                 ContainsSubstring(how == failure::before_it_begins ? "the temperature must be positive" : "enough"));
  }
}

namespace {
struct refusing {
  using fusable_transform = void;
  template <class Net> void run(pleat::parallel::model<Net>&) const { throw std::runtime_error("not this one"); }
};
}  // namespace

TEST_CASE("a pipeline that ends before its distillation sends the teachers' ranks home, and who asks them says so") {
  auto const train = data(80);
  std::vector<std::string> refused(2), late(2);
  index_t served = -1;
  pleat::comm::run_local(3, [&](pleat::comm::communicator all) {
    all.set_timeout(20);  // who waits for ever fails
    int const rank = all.rank();
    pleat::world mine(all.split(rank < 2 ? 0 : 1, rank), 1);
    if (rank == 2) {
      auto const own = build(mine);
      served = compress::serve_students(compress::teacher(own), train, all, 2);
      all.barrier();
      return;
    }
    auto const kept = compress::remote_teacher(all, 2, 4);
    auto m = student(mine);
    auto const words = [](auto&& f) -> std::string {
      try {
        f();
      } catch (std::exception const& e) {
        return e.what();
      }
      return {};
    };
    auto const r = static_cast<std::size_t>(rank);
    refused[r] = words([&] { (void)(m | (refusing{} | compress::distill(train, {kept}, lessons(1)))); });
    all.barrier();  // the teacher's rank comes here when it has gone home
    late[r] = words([&] { (void)(m | compress::distill(train, {kept}, lessons(1))); });
  });
  CHECK(served == 0);
  for (auto const& s : refused) CHECK(s == "not this one");
  for (auto const& s : late)
    CHECK_THAT(s, ContainsSubstring("the teacher on rank 2 has been told that nobody asks any more"));
}

TEST_CASE("cached targets of data that differ between ranks are refused on every rank, and nobody waits") {
  auto const train = data(80), fewer = data(40);
  scratch file("differ");
  std::vector<std::string> said(2);
  for (bool const empty : {false, true}) {
    auto const none = data(0);
    pleat::comm::run_local(2, [&](pleat::comm::communicator all) {
      all.set_timeout(20);  // who waits for ever fails
      auto w = alone();
      auto const large = build(w);
      auto const& mine = all.rank() == 0 ? train : empty ? none : fewer;
      try {
        (void)compress::cache_targets(compress::teacher(large), mine, all, file.path);
      } catch (pleat::error const& e) {
        said[static_cast<std::size_t>(all.rank())] = e.what();
      }
    });
    for (auto const& s : said)
      CHECK_THAT(s, ContainsSubstring(empty ? "is empty" : "compress::cache_targets") &&
                        ContainsSubstring(empty ? "Give it the samples" : "40 samples there, 80 samples here"));
  }
}

TEST_CASE("targets that are asked for in one batch, however large, are those of many") {
  auto const train = data(80);
  scratch file("batch");
  std::array<std::vector<float>, 2> many, one;
  pleat::comm::run_local(2, [&](pleat::comm::communicator all) {
    auto w = alone();
    auto const model = build(w);
    compress::teacher const large(model);
    auto const r = static_cast<std::size_t>(all.rank());
    many[r] = compress::cache_targets(large, train, all, file.path, 0, 7).scores;
    one[r] = compress::cache_targets(large, train, all, file.path, 0, std::numeric_limits<index_t>::max()).scores;
  });
  CHECK((many[0].size() == 320 && one == many && many[0] == many[1]));
}

TEST_CASE("all scores on disk teach like the model, the largest few nearly") {
  auto w = alone();
  auto const train = data(80);
  auto const large = trained(w, train, 2);
  scratch all("all"), some("some");
  auto const whole = compress::cache_targets(compress::teacher(large), train, w.comm, all.path);
  auto const top = compress::cache_targets(compress::teacher(large), train, w.comm, some.path, 2);
  CHECK(whole.dropped_max == 0);
  CHECK((top.dropped_mean > 0 && top.dropped_mean <= top.dropped_max && top.dropped_max < 0.5));
  auto const direct = student(w) | compress::distill(train, {compress::teacher(large)}, lessons(2));
  CHECK(pleat::run::file_image(student(w) | compress::distill(train, {compress::cached_teacher(all.path, train)},
                                                              lessons(2))) == pleat::run::file_image(direct));
  auto const near = student(w) | compress::distill(train, {compress::cached_teacher(some.path, train)}, lessons(2));
  CHECK(apart(near, direct, train) < 0.1 * apart(student(w), direct, train));
  // What the largest two leave is shared evenly: the sum of exponentials stays.
  compress::answer exact, rough;
  std::vector<index_t> const first{5};
  compress::teacher(large).ask({&train, first, {}}, exact);
  compress::cached_teacher(some.path, train).ask({&train, first, {}}, rough);
  double a = 0, b = 0;
  for (std::size_t j = 0; j < 4; ++j)
    a += std::exp(static_cast<double>(exact.scores[j])), b += std::exp(static_cast<double>(rough.scores[j]));
  CHECK(std::fabs(a - b) <= off(std::span(rough.scores).first(4)) * a);
}

TEST_CASE("a file of targets that was altered, or is another's, is refused by name") {
  auto w = alone();
  auto const train = data(24);
  auto const large = trained(w, train, 1);
  scratch file("bad");
  compress::cache_targets(compress::teacher(large), train, w.comm, file.path, 2);
  CHECK_THROWS_MATCHES(compress::cache_targets(compress::teacher(large), train, w.comm, file.path, 2, 0), pleat::error,
                       MessageMatches(ContainsSubstring("batch is 0, expected at least one")));
  auto const good = bytes_of(file.path);
  auto const refused = [&](std::vector<std::byte> const& bytes, std::string const& words) {
    pleat::io::write_file(file.path, std::span<std::byte const>(bytes));
    CHECK_THROWS_MATCHES(compress::read_targets(file.path, train), pleat::error,
                         MessageMatches(ContainsSubstring(words)));
  };
  auto const replaced = [&](std::string_view from, std::string_view to) {
    std::string text(reinterpret_cast<char const*>(good.data()), good.size());
    auto const at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
    std::vector<std::byte> b(text.size());
    std::memcpy(b.data(), text.data(), text.size());
    return b;
  };
  CHECK_NOTHROW(compress::read_targets(file.path, train));
  for (std::size_t n = 0; n < good.size(); n += 13) {  // cut anywhere
    pleat::io::write_file(file.path, std::span<std::byte const>(good).first(n));
    CHECK_THROWS_AS(compress::read_targets(file.path, train), pleat::error);
  }
  auto flipped = good;
  flipped[good.size() - 30] ^= std::byte{1};
  refused(flipped, "it was altered or damaged");
  refused(replaced("\"pleat.targets\":\"1\"", "\"pleat.targets\":\"7\""), "of version 7");
  refused(replaced("\"pleat.targets\":\"1\"", "\"pleat.tirgets\":\"1\""), "this is no file of targets");
  refused(replaced("\"pleat.targets.classes\":\"4\"", "\"pleat.targets.classes\":\"1\""),
          "expected [samples, k] with k from 1 to 1");
  pleat::io::write_file(file.path, std::span<std::byte const>(good));
  auto other = train;
  other.pixels[7] ^= 1;
  CHECK_THROWS_MATCHES(compress::read_targets(file.path, other), pleat::error,
                       MessageMatches(ContainsSubstring("belong to another data set")));
  CHECK_THROWS_MATCHES(compress::read_targets(file.path, data(25)), pleat::error,
                       MessageMatches(ContainsSubstring("targets of 24 samples")));
  // Good checksums of bad numbers.
  auto const forged = [&](auto&& change, std::string const& words) {
    auto t = compress::read_targets(file.path, train);
    change(t);
    scratch f("forged");
    compress::write_targets(f.path, t, train);
    CHECK_THROWS_MATCHES(compress::read_targets(f.path, train), pleat::error, MessageMatches(ContainsSubstring(words)));
  };
  forged([](auto& t) { t.labels[3] = 4; }, "class 4 of sample 1, expected 0 to 3");
  forged([](auto& t) { t.labels[3] = t.labels[2]; }, "of sample 1 is there twice");
  forged([](auto& t) { t.scores[2] = std::numeric_limits<float>::quiet_NaN(); },
         "a score of sample 1 is NaN or infinite");
  forged([](auto& t) { t.scores[3] = t.scores[2] + 1; }, "the scores of sample 1 do not descend");
  forged([](auto& t) { t.rest[1] = std::numeric_limits<float>::infinity(); }, "what is left of sample 1 is NaN");
}

TEST_CASE("scores that lie far apart leave what files can hold") {
  auto w = alone();
  auto const train = data(8);
  compress::teacher const far({.name = "far", .ask = [](compress::question const& q, compress::answer& a) {
                                 a = {};
                                 for ([[maybe_unused]] auto const i : q.samples)
                                   a.scores.insert(a.scores.end(), {1000.0f, 0.0f, -1.0f, -2.0f});
                               }});
  scratch const f("far");
  (void)compress::cache_targets(far, train, w.comm, f.path, 1);
  auto const read = compress::read_targets(f.path, train);
  for (float const rest : read.rest) CHECK(rest == static_cast<float>(std::log(1 + std::exp(-1.0) + std::exp(-2.0))));
  CHECK(read.rest.size() == 8);
  CHECK(read.dropped_max == 0);
}

TEST_CASE("hints: the student's features come nearer, the gradient is right, nothing is left behind") {
  auto w = alone();
  auto const train = data(160);
  auto const large = trained(w, train, 3);
  auto const fit_with = [&](double weight) {
    auto m = hinted(w);
    auto o = lessons(8, 4, 0.1);
    o.feature_weight = weight;
    auto const r = compress::distill(train, {compress::teacher(large)}, o).fit(m);
    return std::pair(r.epoch_loss, pleat::run::file_image(compress::without_hints(m)));
  };
  auto const [with, image] = fit_with(1);
  auto const [without, other] = fit_with(0);
  CHECK(with.front() > without.front());  // the features' part counts
  CHECK(with.back() < with.front());
  CHECK(image != other);  // and is learned from
  auto const bare = compress::without_hints(hinted(w));
  auto const names = values_of(bare);
  CHECK(std::none_of(names.begin(), names.end(), [](auto const& p) { return p.name.starts_with("hint"); }));
  // Without a teacher it is transparent.
  auto h = hinted(w);
  auto plain = student(w);
  (void)pleat::run::fit(h, train, quiet(1));
  (void)pleat::run::fit(plain, train, quiet(1));
  CHECK(apart(h, plain, train) == 0);
}

TEST_CASE("the gradient of the features' loss is its derivative, for the adapter and for what lies below") {
  using dense = pleat::codec::forms<pleat::codec::dense<double>>;
  auto w = alone();
  auto m = pleat::parallel::build(nn::sequential(nn::linear<dense>("a", 3, 2), compress::hint<double>("h", 2, 4, 1)),
                                  plan_for(w), w, {.seed = 2});
  using tensor = typename decltype(m)::tensor_type;
  auto& c = m.context();
  auto const tensor_of = [&](extents const& e, double step) {
    std::vector<double> v;
    for (index_t i = 0; i < e.size(); ++i) v.push_back(std::sin(step * static_cast<double>(i + 1)));
    auto t = tensor::allocate(c, e);
    pleat::copy_from_host(c, v.data(), t);
    return t;
  };
  auto& board = m.net().layer<1>().board();
  board.target = tensor_of({5, 4}, 0.9);
  board.weight = 3;
  auto const lost = [&] {
    m.zero_grad(5);
    (void)m.forward(tensor_of({5, 3}, 0.7));
    std::vector<double> rows(5);
    pleat::copy_to_host(c, board.rows, rows.data());
    return std::accumulate(rows.begin(), rows.end(), 0.0);
  };
  m.zero_grad(5);
  auto out = m.forward(tensor_of({5, 3}, 0.7));
  auto dy = tensor::allocate(c, out.y.shape());
  pleat::compute::fill(c.space(), dy.size(), 0.0, dy.data());
  m.backward(out.saved, dy);
  m.reduce();
  std::vector<double> gradient;
  m.net().for_each_parameter([&](auto& p) {
    std::vector<double> g(static_cast<std::size_t>(p.size()));
    pleat::copy_to_host(c, tensor::wrap(p.gradient(), p.shape), g.data());
    gradient.insert(gradient.end(), g.begin(), g.end());
  });
  std::size_t next = 0;
  m.net().for_each_parameter([&](auto& p) {
    for (index_t i = 0; i < p.size(); ++i, ++next) {
      double const was = p.data()[i], h = 1e-6;
      p.data()[i] = was + h;
      double const up = lost();
      p.data()[i] = was - h;
      double const down = lost();
      p.data()[i] = was;
      // the loss is quadratic in each element: only rounding, 1e-16·L/h with L < 10
      INFO(p.name << " " << i);
      CHECK(std::fabs(gradient[next] - (up - down) / (2 * h)) < 1e-8);
    }
  });
  CHECK(*std::max_element(gradient.begin(), gradient.end()) > 1e-3);
  board = {};  // its tensors belong to the model's context
}

TEST_CASE("a pruned teacher may be its own student: zeros stay zeros") {
  auto w = alone();
  auto const train = data(160);
  auto const large = trained(w, train);
  auto const small =
      large | (compress::prune{.sparsity = 0.8} | compress::distill(train, {compress::teacher(large)}, lessons(4)));
  CHECK(weight_zeros(small) >= std::llround(0.8 * static_cast<double>(weights)));
  CHECK(apart(small, large, train) < apart(large | compress::prune{.sparsity = 0.8}, large, train));
}

TEST_CASE("a teacher's score that is no number is refused by teacher, sample and class, on every rank") {
  auto const train = data(48);
  for (float const bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()})
    for (int const ranks : {1, 2}) {
      std::vector<std::string> said(static_cast<std::size_t>(ranks));
      pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
        auto const rank = static_cast<std::size_t>(c.rank());
        pleat::world w(std::move(c), 1);
        w.comm.set_timeout(30);
        auto const large = build(w);
        compress::teacher const good(large);
        compress::teacher const sick({.name = "sick", .ask = [&](compress::question const& q, compress::answer& a) {
                                        good.ask(q, a);
                                        for (std::size_t i = 0; i < q.samples.size(); ++i)
                                          if (q.samples[i] == 17) a.scores[4 * i + 2] = bad;
                                      }});
        auto m = student(w);
        try {
          (void)compress::distill(train, {good, sick}, lessons(1)).fit(m);
        } catch (pleat::error const& e) {
          said[rank] = e.what();
        }
      });
      std::string const words = "teacher 1 gives class 2 of sample 17 the score " + std::to_string(bad);
      for (auto const& s : said) CHECK_THAT(s, ContainsSubstring(words));
    }
}

TEST_CASE("what a teacher that all ask at once has to say to one rank, every rank hears, and nobody waits") {
  auto const train = data(32);
  for (bool const everywhere : {true, false}) {
    std::vector<std::string> said(3);
    pleat::comm::run_local(3, [&](pleat::comm::communicator c) {
      auto const r = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      auto m = student(w);
      m.set_timeout(20);  // only where it hangs
      compress::teacher::source s;
      s.name = "a test's";
      if (everywhere || r == 1) s.at_once = {0, 1, 2}, s.parted = "of sharded parameters";
      s.ask = [r](compress::question const& q, compress::answer& a) {
        if (r == 1) throw pleat::error{"teacher", "the second rank's layer is ill", "Look after it"};
        a.scores.assign(q.samples.size() * 4, 0);
      };
      try {
        (void)compress::distill(train, {compress::teacher(s)}, lessons(1)).fit(m);
      } catch (pleat::error const& e) {
        said[r] = e.what();
      }
    });
    for (auto const& words : said) CHECK_THAT(words, ContainsSubstring("the second rank's layer is ill"));
  }
}

TEST_CASE("what one rank cannot load for a teacher that answers together, or has not of its data, all hear") {
  namespace par = pleat::parallel;
  auto const train = data(32);
  for (mesh const& l : {mesh{3, 1, 1, 3}, mesh{1, 1, 3, 0}, mesh{1, 1, 2, 3}, mesh{1, 2, 2, 0}}) {
    CAPTURE(l.data, l.stages, l.state);
    auto const ranks = static_cast<std::size_t>(l.ranks());
    std::vector<std::string> said(ranks), of_data(ranks);
    pleat::comm::run_local(l.ranks(), [&](pleat::comm::communicator c) {
      auto const r = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      w.set_sink({});
      w.comm.set_timeout(20);  // only where it hangs; of the models, too, that are made of it
      auto p = plan_of(l);
      p.bucket_bytes = 256, p.prefetch = 0;
      auto const large = par::build(network(), p, w, {.seed = 3});
      auto m = par::build(nn::sequential(nn::linear("a", 20, 6), nn::relu(), nn::linear("b", 6, 4)), plan_of(l), w,
                          {.seed = 8});
      compress::teacher const whole(large);
      std::vector<index_t> const beyond(8, 99);
      compress::teacher const t({.name = "a model",
                                 .ask =
                                     [&](compress::question const& q, compress::answer& a) {
                                       if (r != 1) return whole.ask(q, a);
                                       whole.ask({q.data, std::span(beyond).first(q.samples.size()), {}}, a);
                                     },
                                 .at_once = whole.at_once(),
                                 .parted = whole.parted()});
      auto mine = train;
      if (r == 1) mine.labels.pop_back();
      auto const words_of = [&](pleat::io::dataset const& d, compress::teacher const& from) -> std::string {
        try {
          (void)compress::distill(d, {from}, lessons(1)).fit(m);
        } catch (pleat::error const& e) {
          return e.what();
        }
        return {};
      };
      said[r] = words_of(train, t);
      of_data[r] = words_of(mine, whole);
    });
    for (auto const& words : said) CHECK_THAT(words, ContainsSubstring("sample 99 of 'stripes', which has 32"));
    for (auto const& words : of_data) CHECK_THAT(words, ContainsSubstring("has 32 samples of 1 label, found 31"));
  }
}

TEST_CASE("what cannot teach or learn is refused in words") {
  auto w = alone();
  auto const train = data(32);
  auto const large = build(w);
  auto const refused = [&](auto&& f, std::string const& words) {
    CHECK_THROWS_MATCHES(f(), pleat::error, MessageMatches(ContainsSubstring(words)));
  };
  refused([&] { compress::distill(train, {}); }, "the list of teachers is empty");
  for (double const t : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                         1e308, 1e20, 1e-20, 1e-300})
    refused([&] { compress::distill(train, {compress::teacher(large)}, lessons(1, t)); },
            "the temperature must be positive");
  refused([&] { compress::distill(train, {compress::teacher(large)}, lessons(1, 4, 1.5)); },
          "hard_weight must lie in [0, 1]");
  refused([&] { compress::distill(train, {compress::teacher(large)}, {.feature_weight = -1}); },
          "feature_weight must not be negative");
  refused([&] { compress::teacher(large, 0); }, "a teacher's weight must be positive");
  refused([&] { (void)(hinted(w, 17) | compress::distill(train, {compress::teacher(large)}, lessons(1))); },
          "the teacher has 16 elements per sample after unit 2, the hint says 17");
  refused([&] { (void)(hinted(w, 16, 9) | compress::distill(train, {compress::teacher(large)}, lessons(1))); },
          "a feature after unit 9 of a teacher of 5 units");
  refused([&] { compress::hint("h", 0, 1, 1); }, "must be positive");
  auto five = pleat::parallel::build(nn::sequential(nn::linear("c", 20, 5)), plan_for(w), w, {});
  refused(
      [&] {
        (void)(student(w) | compress::distill(train, {compress::teacher(large), compress::teacher(five)}, lessons(1)));
      },
      "teacher 1 (a model) has 5 classes, the student 4");
  scratch file("refuse");
  refused([&] { compress::cache_targets(compress::teacher(large), train, w.comm, file.path, 5); },
          "top_k is 5, the teacher has 4 classes");
  refused([&] { compress::cache_targets(compress::teacher(large), train, w.comm, file.path, -1); }, "top_k is -1");
  refused([&] { compress::cache_targets(compress::teacher(large), data(0), w.comm, file.path); }, "is empty");
  compress::cache_targets(compress::teacher(large), train, w.comm, file.path);
  refused(
      [&] { (void)(hinted(w) | compress::distill(train, {compress::cached_teacher(file.path, train)}, lessons(1))); },
      "gives scores only");
  refused([&] { (void)compress::remote_teacher(w.comm, 1, 4); }, "both students and teachers need at least one");
  refused([&] { compress::serve_students(compress::teacher(large), train, w.comm, 0); },
          "both students and teachers need at least one");
}

}  // namespace
