// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/record_errors.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/codec/blocks.hpp>
#include <pleat/codec/reduced.hpp>
#include <pleat/codec/sparse.hpp>
#include <pleat/compress/gptq.hpp>
#include <pleat/codec/factors.hpp>
#include <pleat/compress/low_rank.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compress/share_weights.hpp>
#include <pleat/parallel/tensor_recipe.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>

#include <cmath>
#include <limits>
#include <mutex>

namespace {

using namespace compress_test;
namespace codec = pleat::codec;
namespace compress = pleat::compress;
namespace par = pleat::parallel;
using compress::error_kind;

/// Weights that can take every form that the recipes below name: one model type for all of them.
using all_forms =
    codec::forms<codec::dense<float>, codec::masked<float>, codec::int8<float>, codec::bf16<float>, codec::q8_0<float>,
                 codec::q4_k<float>, codec::int4<float, 32>, codec::csr<float>, codec::n_m<float, 2, 4>,
                 codec::coded<float>, codec::low_rank<float>, codec::sparse_low_rank<float>, codec::factors<float>>;
using linear = pleat::nn::linear<all_forms>;
auto wide_network() {
  return pleat::nn::sequential(linear("a", 20, 256), pleat::nn::relu(), linear("b", 256, 32), pleat::nn::relu(),
                               linear("c", 32, 4));
}
auto wide_model(pleat::world& w) {
  pleat::plan::plan p;
  p.global_batch = 16;
  p.data_ranks = w.size();
  p.deterministic = true;
  return par::build(wide_network(), p, w, {.seed = 3});
}
using wide = decltype(wide_model(std::declval<pleat::world&>()));

/// Runs transforms in place and records each; what every weight was and became.
template <class... Ts> void run(wide& m, compress::record_errors const& record, Ts const&... steps) {
  record.begin(m);
  ((steps.run(m), record(steps, std::as_const(m))), ...);
}

enum class input { random, constant, zero, huge, tiny };
std::vector<float> numbers(input kind, std::size_t n) {
  pleat::random::stream const s(7, 2);
  std::vector<float> v(n);
  for (std::size_t i = 0; i < n; ++i) {
    auto const u = static_cast<float>(s.uniform(i)) * 2 - 1;
    v[i] = kind == input::random     ? u
           : kind == input::constant ? 0.3f
           : kind == input::zero     ? 0.0f
           : kind == input::huge     ? u * 1e37f
                                     : u * 1e-41f;
  }
  return v;
}

/// What a ledger must be against what the weights were and are: bounds that hold, add up, and are measured rightly.
template <class Net>
void check(compress::error_ledger const& l, std::vector<parameter_values> const& before, par::model<Net> const& after) {
  CHECK(l.holds());
  for (auto const& p : values_of(after)) {
    if (!is_weight(p)) continue;
    auto const& was = *std::find_if(before.begin(), before.end(), [&](auto const& b) { return b.name == p.name; });
    auto const direct = codec::measure_error(was.values, p.values);
    auto const* const e = l.find(p.name);
    REQUIRE(e);
    INFO(p.name << " in " << p.form);
    CHECK(e->form == p.form);
    CHECK(e->total.max == direct.max);
    // other chains of at most 8192 sums
    CHECK(std::abs(e->total.frobenius - direct.frobenius) <= 1e-12 * direct.frobenius);
    double max = 0, frobenius = 0, measured = 0;
    for (auto const& s : l.stages())
      for (auto const& w : s.weights)
        if (w.weight == p.name && w.kind != error_kind::exact) {
          max += w.kind == error_kind::bounded ? w.predicted.max : w.measured.max;
          frobenius += w.kind == error_kind::bounded ? w.predicted.frobenius : w.measured.frobenius;
          measured += w.measured.frobenius;
        }
    CHECK((e->bound.max == max && e->bound.frobenius == frobenius));
    CHECK(direct.max <= max * (1 + 1e-12));
    CHECK(direct.frobenius <= measured * (1 + 1e-12));  // the triangle inequality
    CHECK(measured <= frobenius * (1 + 1e-12));         // every stage within its promise
  }
}

template <class... Ts> void try_recipe(input kind, Ts const&... steps) {
  auto w = alone();
  auto m = wide_model(w);
  for (auto const& [name, n] : {std::pair{"a.weight", 5120u}, {"b.weight", 8192u}, {"c.weight", 128u}})
    set_values(m, name, numbers(kind, n));
  auto const before = values_of(m);
  compress::error_ledger l;
  run(m, compress::record_errors(l), steps...);
  REQUIRE(l.stages().size() == sizeof...(steps));
  check(l, before, m);
}

auto const quiet_note = [](std::string_view) {};
template <class F> auto as(std::vector<std::string> ignore = {}) {
  return compress::quantize<F>{.misfit = compress::misfit::ignore, .ignore = std::move(ignore), .on_note = quiet_note};
}

TEST_CASE("bounds hold along recipes whatever comes in, and the sum of the stages' bounds is that of the whole") {
  auto const kind = GENERATE(input::random, input::constant, input::zero, input::huge, input::tiny);
  CAPTURE(static_cast<int>(kind));
  compress::prune const half{.sparsity = 0.5, .on_note = quiet_note}, most{.sparsity = 0.9, .on_note = quiet_note};
  try_recipe(kind, half, most, as<codec::int8<float>>());
  try_recipe(kind, half, as<codec::bf16<float>>());
  try_recipe(kind, most, as<codec::csr<float>>());
  try_recipe(kind, as<codec::n_m<float, 2, 4>>());
  try_recipe(kind, half, compress::share_weights{.num_bits = 3, .on_note = quiet_note}, compress::entropy_code{});
  try_recipe(kind, compress::low_rank{.rule = compress::by_rank{3}, .ignore = {"c.*"}, .on_note = quiet_note},
             as<codec::int8<float>>());
  try_recipe(kind, half,
             compress::sparse_low_rank{
                 .rule = compress::by_rank{2}, .sparse_share = 0.2, .ignore = {"c.*"}, .on_note = quiet_note},
             as<codec::int8<float>>());
  if (kind == input::huge) return;  // scales of 16 bits have no such numbers: encoders refuse
  try_recipe(kind, half, as<codec::q8_0<float>>());
  try_recipe(kind, compress::low_rank{.rule = compress::by_rank{9}, .ignore = {"c.*"}, .on_note = quiet_note},
             as<codec::q8_0<float>>({"a.*"}), as<codec::bf16<float>>());  // R of b, then L of b, and a's
  try_recipe(kind, as<codec::q4_k<float>>(), as<codec::int4<float, 32>>());
}

TEST_CASE(
    "what is promised says something: exactly what pruning takes, about half a step of codes, the singular values that "
    "go") {
  auto w = alone();
  auto m = wide_model(w);
  compress::error_ledger l;
  auto const before = values_of(m);
  run(m, compress::record_errors(l), compress::prune{.sparsity = 0.5}, as<codec::int8<float>>({"b.*"}),
      compress::sparse_low_rank{.rule = compress::by_rank{16}, .sparse_share = 0.05, .ignore = {"a.*", "c.*"}});
  for (auto const& e : l.stages()[0].weights)
    CHECK((e.kind == error_kind::bounded && e.measured.max == e.predicted.max &&
           std::abs(e.measured.frobenius - e.predicted.frobenius) <= 1e-12 * e.predicted.frobenius));
  auto const& coded = l.stages()[1].weights;
  REQUIRE((coded[0].weight == "a.weight" && coded[0].kind == error_kind::bounded));
  // 5120 numbers: one is near the middle between two codes
  CHECK(coded[0].measured.max > 0.9 * coded[0].predicted.max);
  // a step of s: within s/2, s/√12 in the mean; zeros are exact
  CHECK(coded[0].predicted.frobenius < 3 * coded[0].measured.frobenius);
  CHECK((coded[1].kind == error_kind::exact && coded[1].predicted.max == 0));  // b was ignored
  auto const& thin = l.stages()[2].weights;
  CHECK((thin[0].kind == error_kind::exact && thin[2].kind == error_kind::exact));
  REQUIRE(thin[1].kind == error_kind::bounded);
  CHECK(thin[1].predicted.frobenius < 1.01 * thin[1].measured.frobenius);
  check(l, before, m);
}

TEST_CASE("GPTQ promises nothing, and what it did is measured; training begins anew; a frozen weight stays exact") {
  auto w = alone();
  auto m = wide_model(w);
  auto const train = data(48);
  compress::error_ledger l;
  compress::record_errors const record(l);
  run(m, record, compress::prune{.sparsity = 0.5, .on_note = quiet_note}, compress::fine_tune(train, quiet(1)));
  auto const trained = values_of(m);
  run(m, record,
      compress::gptq<codec::int4<float, 32>>{.data = compress::calibration(train, 16),
                                             .misfit = compress::misfit::ignore,
                                             .ignore = {"c.*"},
                                             .on_note = quiet_note},
      compress::fine_tune(train, quiet(1)));
  REQUIRE(l.stages().size() == 4);
  for (auto const& e : l.stages()[1].weights)
    CHECK((e.kind == error_kind::trained && e.measured.max > 0 && e.total.max == 0 && e.bound.max == 0 &&
           e.since == "fine_tune"));
  auto const& coded = l.stages()[2].weights;
  CHECK((coded[1].weight == "b.weight" && coded[1].kind == error_kind::measured && coded[1].form == "int4_g32" &&
         coded[1].bound.max == coded[1].measured.max));
  CHECK((coded[0].kind == error_kind::exact));  // 20 columns have no groups of 32
  auto const& last = l.stages()[3].weights;
  CHECK((last[1].kind == error_kind::exact && last[1].total.max == coded[1].total.max));
  CHECK(last[2].kind == error_kind::trained);
  auto const now = values_of(m);
  for (std::size_t i = 0; i < now.size(); ++i)
    if (now[i].name == "b.weight")
      CHECK(l.find("b.weight")->total.max == codec::measure_error(trained[i].values, now[i].values).max);
  CHECK(l.holds());
}

TEST_CASE("a transform that says nothing is measured; a broken promise is found") {
  auto w = alone();
  auto m = wide_model(w);
  compress::error_ledger l;
  compress::record_errors const record(l);
  record.begin(m);
  compress::prune{.sparsity = 0.5}.run(m);
  auto v = values_of(m)[0].values;
  for (auto& x : v) x *= 1.5f;  // what lived grew: no pruning does that
  set_values(m, "a.weight", v);
  record.add("honest", error_kind::measured, std::as_const(m));
  CHECK((l.find("a.weight")->kind == error_kind::measured && l.holds()));
  for (auto& x : v) x *= 1.5f;
  set_values(m, "a.weight", v);
  record.add("boastful", error_kind::bounded, std::as_const(m));
  CHECK_FALSE(l.holds());
}

TEST_CASE("a second recipe goes on where the first one ended; with another model it is refused") {
  auto w = alone();
  auto const m = build(w);
  compress::error_ledger l;
  compress::record_errors const record(l);
  auto const one = m | (compress::prune{.sparsity = 0.5} | compress::prune{.sparsity = 0.6}).recorded(record);
  auto const two = one | (compress::prune{.sparsity = 0.7} | compress::prune{.sparsity = 0.8}).recorded(record);
  REQUIRE(l.stages().size() == 4);
  CHECK(l.find("fc1.weight")->since.empty());  // it is compared with what it was before both
  CHECK_THROWS_WITH(m | (compress::prune{.sparsity = 0.5} | compress::prune{.sparsity = 0.6}).recorded(record),
                    Catch::Matchers::ContainsSubstring("other numbers in 'fc1.weight'") &&
                        Catch::Matchers::ContainsSubstring("a record and a ledger of its own"));
  CHECK(l.stages().size() == 4);
  // What changed a model in between has to be told.
  auto other = two.clone();
  auto v = values_of(other)[0].values;
  v[3] += 1;
  set_values(other, "fc1.weight", v);
  CHECK_THROWS(record.begin(other));
  record.add("by hand", error_kind::measured, other);
  CHECK_NOTHROW(record.begin(other));
  // NaN is not another number than it was; a number of the other sign is, zero too.
  v[3] = std::numeric_limits<float>::quiet_NaN();
  v[4] = 0;
  set_values(other, "fc1.weight", v);
  record.add("it went wrong", error_kind::measured, other);
  CHECK_NOTHROW(record.begin(other));
  v[4] = -0.0f;
  set_values(other, "fc1.weight", v);
  CHECK_THROWS(record.begin(other));
}

TEST_CASE("a record of whole weights is not continued with shards of them, nor the other way round") {
  pleat::comm::run_local(2, [](pleat::comm::communicator c) {
    pleat::world w(std::move(c), 1);
    w.set_sink({});
    pleat::plan::plan p{.global_batch = 16, .data_ranks = 2};
    p.state_stage = 3;
    auto const sharded = par::build(network(), p, w, {.seed = 3});
    auto const whole = sharded.unsharded();
    auto const hears = [&](auto&& f, std::string const& words) {
      std::string said;
      try {
        f();
      } catch (pleat::error const& e) {
        said = e.what();
      }
      if (said.find(words) == said.npos) throw pleat::error{"test", "heard '" + said + "'"};
    };
    compress::error_ledger l, k;
    compress::record_errors const first(l), second(k);
    first.begin(whole);
    hears([&] { first.add("sharded", error_kind::measured, sharded); },
          "began with parameters whole on every rank, and the model has them sharded over 2 ranks");
    second.begin(sharded);
    second.add("nothing", error_kind::measured, sharded);
    hears([&] { second.begin(whole); },
          "began with parameters sharded over 2 ranks, and the model has them whole on every rank");
  });
}

TEST_CASE("weights of other extents begin anew, and those that went are named once") {
  auto w = alone();
  compress::error_ledger l;
  compress::record_errors const record(l);
  record.begin(build(w));  // fc1 [16, 20], fc2 [12, 16], fc3 [4, 12]
  auto const small = par::build(
      pleat::nn::sequential(pleat::nn::linear("fc1", 20, 8), pleat::nn::relu(), pleat::nn::linear("fc2", 8, 12)),
      pleat::plan::plan{.global_batch = 16}, w, {.seed = 3});
  record.add("cut", error_kind::measured, small);
  record.add("again", error_kind::measured, small);
  REQUIRE(l.stages()[0].weights.size() == 3);
  for (auto const& e : l.stages()[0].weights) CHECK((e.kind == error_kind::resized && e.measured.max == 0));
  CHECK(l.find("fc3.weight")->form.empty());
  REQUIRE(l.stages()[1].weights.size() == 2);
  CHECK((l.stages()[1].weights[0].kind == error_kind::exact && l.stages()[1].weights[0].since == "cut" &&
         l.stages()[1].weights[0].norm > 0));
}

template <class T> void prune_of() {
  using narrow = pleat::nn::linear<codec::forms<codec::dense<T>>>;
  auto w = alone();
  pleat::plan::plan p{.global_batch = 16};
  if (std::is_same_v<T, pleat::bfloat16>) p.precision = pleat::plan::compute_precision::bf16;
  auto const model = par::build(
      pleat::nn::sequential(narrow("fc1", 20, 16), pleat::nn::relu<T>(), narrow("fc2", 16, 4)), p, w, {.seed = 3});
  compress::error_ledger l;
  (void)(model |
         (compress::prune{.sparsity = 0.5} | compress::prune{.sparsity = 0.9}).recorded(compress::record_errors(l)));
  CHECK(l.holds());
  for (auto const& s : l.stages())
    for (auto const& e : s.weights)
      CHECK((e.kind == error_kind::bounded && e.measured.max > 0 && e.measured.max == e.predicted.max &&
             e.total.frobenius <= e.norm));
}

TEST_CASE("networks of 16-bit numbers and of doubles have ledgers too") {
  prune_of<pleat::bfloat16>();
  prune_of<double>();
}

/// One ledger per rank of a mesh.
std::vector<compress::error_ledger> over(int data_ranks, int tensor, int stages, int state = 0) {
  std::vector<compress::error_ledger> all(static_cast<std::size_t>(data_ranks * tensor * stages));
  pleat::comm::run_local(data_ranks * tensor * stages, [&](pleat::comm::communicator c) {
    auto const rank = static_cast<std::size_t>(c.rank());
    pleat::world w(std::move(c), 1);
    pleat::plan::plan p;
    p.global_batch = 16;
    p.data_ranks = data_ranks;
    p.tensor_ranks = tensor;
    p.pipeline_ranks = stages;
    p.state_stage = state;
    p.deterministic = true;
    auto const m =
        par::build(par::tensor_parallel(network(), {par::column("fc1.*"), par::row("fc2.*")}), p, w, {.seed = 3});
    (void)(m | (compress::prune{.sparsity = 0.6} | compress::quantize<>{.ignore = {"fc3.*"}})
                   .recorded(compress::record_errors(all[rank])));
  });
  return all;
}

TEST_CASE("the same ledger on every rank and every mesh: maxima of maxima, sums of squares") {
  auto const one = over(1, 1, 1)[0];
  CHECK(one.holds());
  CHECK(one.find("fc1.weight")->measured.max > 0);
  for (auto const& [d, t, s, state] : {std::array{2, 1, 1, 0},
                                       {3, 1, 1, 0},
                                       {4, 1, 1, 0},
                                       {1, 2, 1, 0},
                                       {1, 3, 1, 0},
                                       {1, 4, 1, 0},
                                       {1, 1, 2, 0},
                                       {2, 1, 2, 0},
                                       {1, 2, 2, 0},
                                       {2, 1, 1, 3},
                                       {2, 2, 1, 3},
                                       {2, 1, 2, 3}}) {
    CAPTURE(d, t, s, state);
    auto const all = over(d, t, s, state);
    for (auto const& l : all) CHECK(l.json() == all[0].json());
    if (t == 1) {
      CHECK(all[0].json() == one.json());
      continue;
    }
    REQUIRE(all[0].stages().size() == one.stages().size());
    for (std::size_t i = 0; i < one.stages().size(); ++i)
      for (std::size_t j = 0; j < one.stages()[i].weights.size(); ++j) {
        auto const &a = one.stages()[i].weights[j], &b = all[0].stages()[i].weights[j];
        CHECK((a.weight == b.weight && a.form == b.form && a.kind == b.kind && a.since == b.since));
        for (auto const& [x, y] :
             {std::pair{a.predicted, b.predicted}, {a.measured, b.measured}, {a.bound, b.bound}, {a.total, b.total}}) {
          CHECK(x.max == y.max);
          // at most 320 squares in another order: 320·2⁻⁵³, twice
          CHECK(std::abs(x.frobenius - y.frobenius) <= 1e-13 * x.frobenius);
        }
        CHECK(std::abs(a.norm - b.norm) <= 1e-13 * a.norm);
      }
  }
}

}  // namespace
