// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/plan/plan.hpp>
#include <pleat/plan/recompute.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

using pleat::plan::plan;

namespace {
std::string said(auto&& f) {
  try {
    f();
  } catch (pleat::error const& e) {
    return e.what();
  }
  return "nothing";
}
}  // namespace

TEST_CASE("a plan survives its own text") {
  plan p;
  p.global_batch = 96;
  p.data_ranks = 3;
  p.micro_batches = 2;
  p.deterministic = true;
  p.lanes = 16;
  p.overlap = false;
  p.bucket_bytes = 12345;
  p.tensor_ranks = 2;
  p.pipeline_ranks = 2;
  p.order = "tensor.rack.pipeline.data";
  p.own_axes = "rack=3";
  p.schedule = "interleaved";
  p.chunks = 3;
  p.cuts = {1, 1, 2, 5, 9};
  p.max_activations = 7;
  p.state_stage = 3;
  p.data_ranks = 12, p.state_ranks = 3, p.state_stride = 2;
  p.prefetch = 2;
  p.recompute = pleat::plan::recompute_choice::parse("selected,0:full,3-5:none,7:full");
  p.precision = pleat::plan::compute_precision::bf16;
  CHECK(plan::parse(p.to_string()) == p);
  CHECK(plan::parse(p.to_string()).hash() == p.hash());
  p.deterministic = false;  // a 16-bit wire is no deterministic one
  p.wire = pleat::plan::wire_format::bf16;
  CHECK(plan::parse(p.to_string()) == p);
  CHECK(plan::parse(plan{}.to_string()) == plan{});
  CHECK(plan{}.difference(p).find("cuts: by cost | 1 1 2 5 9\n") != std::string::npos);
}

TEST_CASE("a plan without the entries of a later version reads as it always did") {
  auto const p = plan::parse("pleat plan 1\nglobal_batch = 32\nmesh.data = 2\n");
  plan q;
  q.global_batch = 32;
  q.data_ranks = 2;
  CHECK(p == q);
}

TEST_CASE("ranks and stages follow from the mesh and the schedule") {
  plan p;
  p.data_ranks = 2;
  p.tensor_ranks = 3;
  p.pipeline_ranks = 4;
  CHECK(p.ranks() == 24);
  CHECK(p.stages() == 4);
  p.schedule = "zb-v";
  CHECK(p.stages() == 8);
  p.schedule = "interleaved";
  CHECK(p.chunks_per_rank() == 2);
  p.chunks = 3;
  CHECK(p.stages() == 12);
}

TEST_CASE("a layout that makes no sense is refused with the nearest one that does") {
  auto const refused = [](auto&& change) {
    plan p;
    p.data_ranks = 6;
    p.pipeline_ranks = 2;
    change(p);
    return said([&] { p.check(); });
  };
  auto const has = [](std::string const& text, char const* words) {
    INFO(text);
    CHECK(text.find(words) != std::string::npos);
  };
  has(refused([](plan& p) { p.tensor_ranks = 0; }), "mesh.tensor must be at least 1, found 0");
  has(refused([](plan& p) { p.pipeline_ranks = -2; }), "mesh.pipeline must be at least 1, found -2");
  has(refused([](plan& p) { p.order = "pipeline.data"; }),
      "mesh.order = pipeline.data does not name each axis of the mesh once: 2 of 3 axes are named. Use mesh.order = "
      "pipeline.data.tensor, outermost first");
  has(refused([](plan& p) { p.order = "pipeline.data.tensors"; }), "there is no axis 'tensors'");
  has(refused([](plan& p) { p.own_axes = "node=3"; }), "Use mesh.order = pipeline.node.data.tensor, outermost first");
  has(refused([](plan& p) { p.own_axes = "node=4", p.order = "pipeline.node.data.tensor"; }),
      "which their product 4 must divide; found 6. Use mesh.data = 8");
  has(refused([](plan& p) { p.own_axes = "data=2"; }),
      "mesh.own = data=2 names 'data', which a model has by itself: its ranks are in mesh.data. Use mesh.own = none, "
      "and "
      "say mesh.data for all its ranks; or call the axis otherwise");
  has(refused([](plan& p) { p.own_axes = "node=3,tensor=2,rack=1"; }),
      "Use mesh.own = node=3,rack=1, and say mesh.tensor");
  has(refused([](plan& p) { p.own_axes = "node"; }), "Use mesh.own = none");
  has(refused([](plan& p) { p.own_axes = "node=2,rack=3,order=rack.node"; }), "Say the order in mesh.order");
  has(refused([](plan& p) { p.schedule = "zb_h1"; }), "Use schedule = zb-h1");
  has(refused([](plan& p) { p.schedule = "g-pipe"; }), "Use schedule = gpipe");
  has(refused([](plan& p) { p.schedule = "csv:0123456789abcdef"; }), "nothing");
  has(refused([](plan& p) { p.chunks = -1; }), "Use chunks = 0");
  has(refused([](plan& p) { p.chunks = 2; }), "Use chunks = 1, or schedule = interleaved");
  has(refused([](plan& p) { p.schedule = "zb-v", p.chunks = 3; }), "Use chunks = 2");
  has(refused([](plan& p) {
        p.cuts = {1, 2};
      }),
      "2 stages (2 pipeline ranks of 1 stage) have 1 cuts between them, found 2");
  has(refused([](plan& p) {
        p.schedule = "zb-v", p.cuts = {3, 2, 4};
      }),
      "must not descend (each is the first unit of a stage), found '3 2 4'");
  has(refused([](plan& p) { p.cuts = {-1}; }), "found '-1'");
  has(refused([](plan& p) { p.max_activations = -1; }), "max_activations must not be negative, found -1");
  has(refused([](plan& p) { p.cuts = {0}; }), "nothing");
  has(refused([](plan& p) { p.state_stage = 4; }), "Use state_stage = 3");
  has(refused([](plan& p) { p.state_ranks = 4, p.state_stage = 1; }), "Use state_ranks = 3");
  has(refused([](plan& p) { p.state_ranks = 9, p.state_stage = 1; }), "Use state_ranks = 6");
  has(refused([](plan& p) { p.state_ranks = -1; }), "Use state_ranks = 0");
  has(refused([](plan& p) { p.state_ranks = 3; }),
      "state_ranks = 3 says how many ranks share one copy of the state, but state_stage = 0 shares nothing");
  has(refused([](plan& p) { p.state_ranks = 3, p.state_stage = 1; }), "nothing");
  has(said([] { (void)plan::parse("pleat plan 1\nmesh.data = 2\nstate_ranks = 2\n"); }),
      "state_stage = 0 shares nothing");
  // only looked at: of a checkpoint, by an older version
  CHECK(plan::parse("pleat plan 1\nmesh.data = 2\nstate_ranks = 2\n", false).state_ranks == 2);
  has(refused([](plan& p) { p.state_ranks = 2, p.state_stride = 2, p.state_stage = 1; }),
      "state_stride must divide the 3 copies that 6 data ranks hold with state_ranks = 2, found 2. Use state_stride = "
      "1");
  has(refused([](plan& p) { p.state_ranks = 3, p.state_stride = 3, p.state_stage = 1; }), "Use state_stride = 2");
  has(refused([](plan& p) { p.state_ranks = 3, p.state_stride = 2, p.state_stage = 1; }), "nothing");
  has(refused([](plan& p) { p.state_ranks = 2, p.state_stride = 3, p.state_stage = 3; }), "nothing");
  has(refused([](plan& p) { p.state_stride = 0; }), "state_stride must be at least 1, found 0. Use state_stride = 1");
  has(refused([](plan& p) { p.state_stride = 3, p.state_stage = 2; }),
      "state_stride = 3 leaves data ranks out, but state_ranks = 0 says all of them. Use state_ranks = 2, or "
      "state_stride = 1");
  has(refused([](plan& p) { p.state_stride = 4, p.state_stage = 2; }),
      "Use state_stride = 1, or state_ranks = 2 and state_stride = 3");
  has(refused([](plan& p) { p.state_stride = 2; }), "but state_stage = 0 shares nothing. Use state_stride = 1, or");
  has(refused([](plan& p) { p.prefetch = -1; }), "Use prefetch = 0");
  has(said([] { (void)plan::parse("pleat plan 1\nrecompute = full\nrecompute_units = 3 3\n"); }),
      "recompute_units must ascend from 0, found '3 3'");
  has(said([] { (void)plan::parse("pleat plan 1\nrecompute_units = 1\n"); }),
      "recompute_units = 1, but recompute = none");
  has(said([] { (void)plan::parse("pleat plan 1\nrecompute = 0:full\nrecompute_units = 1\n"); }),
      "recompute_units = 1, but recompute = 0:full. Use recompute_units = all");
  // only looked at: of a checkpoint, by an older version
  CHECK(plan::parse("pleat plan 1\nrecompute_units = 1\n", false).recompute ==
        pleat::plan::recompute_choice(pleat::plan::recompute_mode::none, {1}));
  has(said([] { (void)plan::parse("pleat plan 1\nrecompute = fully\n"); }),
      "line 2: 'recompute': there is no 'fully'; there are none, selected or full. Use recompute = full");
  has(said([] { (void)plan::parse("pleat plan 1\nprecision = fp16\n"); }), "Use precision = f16");
  has(said([] { (void)plan::parse("pleat plan 1\nwire = bf16\nlanes = 4\nwire = bf16\n", false); }),
      "line 4 says 'wire' a second time. Leave one of them out");
  has(said([] { (void)plan::parse("pleat plan 1\nwire = bf61\n"); }), "Use wire = bf16");
  has(said([] { (void)plan::parse("pleat plan 1\ncuts = 1 two\n"); }),
      "line 2: 'cuts' must be a whole number, found 'two'");
}

TEST_CASE("a plan's mesh lies in the order that it says, and its groups count as they always do") {
  plan p;
  p.data_ranks = 4;
  p.tensor_ranks = 2;
  p.pipeline_ranks = 2;
  CHECK(p.mesh().to_string() == "pipeline=2,data=4,tensor=2");  // tensor innermost
  auto const before = p.hash();
  p.order = "tensor.pipeline.data";
  CHECK(p.hash() != before);
  CHECK(plan{}.difference(p).find("mesh.order: pipeline.data.tensor | tensor.pipeline.data\n") != std::string::npos);
  auto const m = p.mesh();
  CHECK(m.to_string() == "pipeline=2,data=4,tensor=2,order=tensor.pipeline.data");
  CHECK(
      (m.stride(m.axis_of("data")) == 1 && m.stride(m.axis_of("pipeline")) == 4 && m.stride(m.axis_of("tensor")) == 8));
  CHECK(m.group(0, m.set("tensor"))[1] == 8);
  p.own_axes = "node=2";
  p.order = "node.pipeline.data.tensor";
  CHECK(p.ranks() == 16);
  CHECK(p.mesh().to_string() == "pipeline=2,node=2,data=2,tensor=2,order=node.pipeline.data.tensor");
}

TEST_CASE("a plan takes any mesh of a model's axes, in any order") {
  auto const taken = [](pleat::mesh const& m, char const* own = "") {
    plan p;
    p.set_mesh(m, own);
    p.check();
    CHECK(p.ranks() == m.size());
    auto const mine = p.mesh();  // lists its axes in its own order; where ranks are is the same
    for (int i = 0; i < m.axes(); ++i)
      if (m.extent(i) > 1) CHECK(mine.stride(mine.axis_of(m[i].name.view())) == m.stride(i));
    return p;
  };
  using pleat::mesh;
  mesh const three{{"data", 2}, {"tensor", 3}, {"pipeline", 4}};
  int orders = 0;
  for (auto const* order : {"pipeline,data,tensor", "pipeline,tensor,data", "data,pipeline,tensor",
                            "data,tensor,pipeline", "tensor,data,pipeline", "tensor,pipeline,data"}) {
    std::string said = order;
    for (char& c : said)
      if (c == ',') c = '.';
    CHECK(taken(three.ordered(order)).order == said);
    ++orders;
  }
  CHECK(orders == 6);
  CHECK(taken(mesh{{"tensor", 4}}).order == "pipeline.data.tensor");
  // one of one rank is anywhere
  CHECK(taken(mesh{{"data", 2}, {"tensor", 1}, {"pipeline", 1}}) == taken(mesh{{"tensor", 1}, {"data", 2}}));
  CHECK(taken(mesh{{"data", 2}, {"pipeline", 2}}).order == "tensor.data.pipeline");
  auto const p = taken(mesh{{"node", 2}, {"pipeline", 3}, {"data", 4}}, "node");
  CHECK((p.own_axes == "node=2" && p.data_ranks == 8 && p.order == "tensor.node.pipeline.data"));
  CHECK(plan::parse(p.to_string()) == p);
  CHECK(taken(mesh{{"pipeline", 3}, {"node", 2}, {"rack", 2}, {"data", 4}}, "rack,node").own_axes == "node=2,rack=2");

  CHECK(
      said([] {
        plan{}.set_mesh(mesh{{"data", 2}, {"expert", 2}});
      }) ==
      "pleat: plan::set_mesh: a model has no axis 'expert'; it has data, tensor and pipeline. Leave it out; or, if its "
      "ranks are to share the batch as those of data do, name it as an axis of your own: set_mesh(mesh, \"expert\")");
  CHECK(said([] { plan{}.set_mesh(mesh{{"data", 2}}, "node"); }).find("there is no axis 'node'") != std::string::npos);
}

TEST_CASE(
    "a text is a model's mesh: pipeline outermost wherever it is listed, of the others the last one innermost, unless "
    "it says the order") {
  auto const order = [](char const* text, int ranks) {
    plan p;
    p.set_mesh(pleat::plan::model_mesh(text, ranks));
    return std::to_string(p.data_ranks) + std::to_string(p.tensor_ranks) + std::to_string(p.pipeline_ranks) + " " +
           p.order;
  };
  for (auto const* text : {"data=2,tensor=2,pipeline=2", "pipeline=2,data=2,tensor=2", "data=2,pipeline=2,tensor=2",
                           "tensor=2,pipeline=2", "data=2,tensor=2,pipeline=2,order=pipeline.data.tensor"})
    CHECK(order(text, 8) == "222 pipeline.data.tensor");
  CHECK(order("tensor=2,data=2", 4) == "221 pipeline.tensor.data");
  CHECK(order("data=2,tensor=2", 4) == "221 pipeline.data.tensor");
  CHECK(order("pipeline=2,tensor=2,data=2", 8) == "222 pipeline.tensor.data");
  CHECK(order("tensor=2,data=*,pipeline=2", 12) == "322 pipeline.tensor.data");
  CHECK(order("data=2,pipeline=3,order=data.pipeline", 6) == "213 tensor.data.pipeline");
  CHECK(order("data=2,tensor=2,pipeline=2,order=tensor.data.pipeline", 8) == "222 tensor.data.pipeline");
  CHECK(order("", 3) == "311 pipeline.data.tensor");
  CHECK(order("pipeline=3", 3) == "113 pipeline.data.tensor");
  CHECK(said([] {
          (void)pleat::plan::model_mesh("pipeline=3,tensor=2", 8);
        }).find("'data=1,pipeline=3,tensor=2' has 6 ranks, there are 8") != std::string::npos);
}

TEST_CASE("two plans that differ in one entry differ in hash and name it") {
  plan const a;
  plan b = a;
  b.global_batch = 128;
  CHECK(a.hash() != b.hash());
  CHECK(a.difference(b) == "global_batch: 64 | 128\n");
  CHECK(a.difference(a).empty());
}

TEST_CASE("a text that is no plan is refused with its line") {
  CHECK(said([] { (void)plan::parse(""); }).find("empty") != std::string::npos);
  CHECK(said([] { (void)plan::parse("pleat plan 2\n"); }).find("newer version") != std::string::npos);
  CHECK(said([] {
          (void)plan::parse("pleat plan 1\nglobal_batch = many\n");
        }).find("line 2: 'global_batch' must be a whole number, found 'many'") != std::string::npos);
  CHECK(said([] { (void)plan::parse("pleat plan 1\n\nwheels = 4\n"); }).find("line 3: 'wheels'") != std::string::npos);
  CHECK(said([] { (void)plan::parse("pleat plan 1\noverlap = maybe\n"); }).find("true or false") != std::string::npos);
  CHECK(said([] { (void)plan::parse("pleat plan 1\nnonsense\n"); }).find("line 2") != std::string::npos);
}

TEST_CASE("a plan that cannot be carried out is refused with its number") {
  plan p;
  p.global_batch = 0;
  CHECK(said([&] { p.check(); }).find("global_batch must be at least 1, found 0") != std::string::npos);
  p = {};
  p.deterministic = true;
  p.data_ranks = 9;
  CHECK(said([&] { p.check(); }).find("Use lanes = 16") != std::string::npos);
  p.lanes = 12;
  CHECK(said([&] { p.check(); }).find("lanes = 12") != std::string::npos);
  CHECK(said([&] { p.check(); }).find("Use lanes = 16") != std::string::npos);
  p.data_ranks = 1;
  CHECK(said([&] { p.check(); }).find("Use lanes = 16") != std::string::npos);  // not fewer than were asked for
}

TEST_CASE("what is computed again is said of all units, of some, or of each its own; older files in two entries") {
  using pleat::plan::recompute_choice;
  using pleat::plan::recompute_mode;
  auto const modes = [](recompute_choice const& c) {
    std::string all;
    for (pleat::index_t u = 0; u < 8; ++u) all += name_of(c.of(u)).front();
    return all;
  };
  struct one {
    std::string text, modes, printed;
    pleat::index_t last;
  };
  for (auto const& o : {one{"none", "nnnnnnnn", "none", -1}, one{"full", "ffffffff", "full", -1},
                        one{"0:full,1-3:selected", "fsssnnnn", "0:full,1-3:selected", 3},
                        one{"selected,0:full,6:none", "fsssssns", "selected,0:full,6:none", 6},
                        one{"none,5:full", "nnnnnfnn", "5:full", 5},
                        one{"4:full,1:selected,2-3:full", "nsfffnnn", "1:selected,2-4:full", 4},
                        one{"full,2:full", "ffffffff", "full,2:full", 2},
                        one{"0-1000000000:selected", "ssssssss", "0-1000000000:selected", 1000000000}}) {
    INFO(o.text);
    auto const c = recompute_choice::parse(o.text);
    CHECK(modes(c) == o.modes);
    CHECK(c.to_string() == o.printed);
    CHECK(c.last() == o.last);
    CHECK(recompute_choice::parse(c.to_string()) == c);
    plan p;
    p.recompute = c;
    CHECK(plan::parse(p.to_string()) == p);
    CHECK((p.hash() == plan{}.hash()) == (o.text == "none"));
  }
  CHECK(modes(recompute_mode::selected) == "ssssssss");
  CHECK(modes({recompute_mode::full, {1, 2, 5}}) == "nffnnfnn");
  CHECK(modes({recompute_mode::full, {}}) == "ffffffff");
  recompute_choice c(recompute_mode::full, {0, 1, 2, 3, 4});
  c.set(1, 3, recompute_mode::selected);
  CHECK(modes(c) == "fssffnnn");
  c.set(2, 7, recompute_mode::none);
  CHECK(c.to_string() == "0:full,1:selected,2-6:none");
  // an older file's two entries, in either order
  for (std::string const entries :
       {"recompute = full\nrecompute_units = 1 2 5\n", "recompute_units = 1 2 5\nrecompute = full\n"})
    CHECK(modes(plan::parse("pleat plan 1\n" + entries).recompute) == "nffnnfnn");
  CHECK(modes(plan::parse("pleat plan 1\nrecompute = selected\nrecompute_units = all\n").recompute) == "ssssssss");
  struct bad {
    std::string text, says;
    bool mended = true;  // what it tells to use is a text
  };
  for (auto const& b :
       {bad{"0:ful", "there is no 'ful'; there are none, selected or full. Use recompute = 0:full"},
        bad{"1:none,2:fool,3:full", "Use recompute = 1:none,2:full,3:full"}, bad{"", "there is no ''"},
        bad{"full,", "'full,' has a comma too many. Use recompute = full"}, bad{",0:full", "Use recompute = 0:full"},
        bad{"0:full,,1:none", "Use recompute = 0:full,1:none"}, bad{"0:full,ful", "Use recompute = full,0:full"},
        bad{"0:full,selected",
            "'selected' comes behind units: what holds for all others is said first. Use "
            "recompute = selected,0:full"},
        bad{"full,selected", "'full,selected' says two modes for all units that are not named", false},
        bad{"selected,0:full,none", "says two modes", false}, bad{"0:none,0:full", "unit 0 is named twice", false},
        bad{"0:full,none,3:full", "Use recompute = none,0:full,3:full"},
        bad{"5-2:full", "'5-2:full' ends before it begins. Use recompute = 2-5:full"},
        bad{"x:full", "'x:full' does not begin with a unit", false},
        bad{"-1:full", "'-1:full' does not begin with a unit", false},
        bad{"1-:full", "does not begin with a unit", false},
        bad{"4294967296:full", "does not begin with a unit", false},
        bad{"0-4:full,3:none", "unit 3 is named twice. Name each unit once, as in 'recompute = 0:full", false}}) {
    INFO(b.text);
    try {
      (void)recompute_choice::parse(b.text);
      FAIL("not refused");
    } catch (pleat::error const& e) {
      INFO(e.what());
      CHECK(std::string(e.what()).find(b.says) != std::string::npos);
      if (!b.mended) continue;
      std::string const told = "Use recompute = ";
      REQUIRE(e.remedy().starts_with(told));
      CHECK_NOTHROW((void)recompute_choice::parse(e.remedy().substr(told.size())));
    }
  }
  CHECK(said([] { (void)recompute_choice::parse("ful", "--recompute "); }).find("Use --recompute full") !=
        std::string::npos);
  CHECK(said([] { (void)recompute_choice(recompute_mode::full, {-1}); }).find("there is no unit -1") !=
        std::string::npos);
}

TEST_CASE("who divides a copy of the state: every rank has one place, and every copy all pieces once") {
  for (pleat::index_t data : {1, 2, 4, 6, 8, 12})
    for (pleat::index_t ranks = 1; ranks <= data; ++ranks)
      for (pleat::index_t stride = 1; ranks * stride <= data; ++stride) {
        if (data % (ranks * stride) != 0) continue;
        plan p;
        p.data_ranks = data, p.state_stage = 1, p.state_ranks = ranks, p.state_stride = stride;
        p.check();
        auto const g = p.sharing();
        std::set<std::pair<pleat::index_t, pleat::index_t>> places;
        for (pleat::index_t r = 0; r < data; ++r) {
          places.emplace(g.copy_of(r), g.shard_of(r));
          CHECK(g.copy_of(r) < data / ranks);
          CHECK(g.shard_of(r) < ranks);
          if (g.shard_of(r) + 1 < ranks) {  // the next one is a stride away, in the same copy
            CHECK(g.copy_of(r + stride) == g.copy_of(r));
            CHECK(g.shard_of(r + stride) == g.shard_of(r) + 1);
          }
          auto const twin = g.first_twin_of(r);
          CHECK(g.copy_of(twin) == 0);
          CHECK(g.shard_of(twin) == g.shard_of(r));
        }
        CHECK(places.size() == static_cast<std::size_t>(data));
      }
  plan whole;
  whole.data_ranks = 6;
  CHECK(whole.sharing() == pleat::plan::state_group{1, 1});  // nothing is divided
  whole.state_stage = 1;
  CHECK(whole.sharing() == pleat::plan::state_group{6, 1});
}

TEST_CASE("numbers that no machine has are refused before anything is computed from them") {
  std::string const huge = "must be at most 2147483647, found ";
  auto const of = [](std::string const& entries) {
    return said([&] { (void)plan::parse("pleat plan 1\n" + entries); });
  };
  auto const has = [](std::string const& text, std::string const& words) {
    INFO(text);
    CHECK(text.find(words) != std::string::npos);
  };
  has(of("mesh.tensor = 4294967296\nmesh.pipeline = 4294967296\n"), "mesh.tensor " + huge + "4294967296");
  has(of("mesh.pipeline = 4611686018427387904\nschedule = interleaved\nchunks = 4\ncuts = 1\n"),
      "mesh.pipeline " + huge + "4611686018427387904");
  has(of("mesh.data = 4611686018427387904\nstate_stage = 1\nstate_ranks = 4611686018427387903\n"), "mesh.data " + huge);
  has(of("schedule = interleaved\nchunks = 2147483648\n"), "chunks " + huge);
  has(of("micro_batches = 2147483648\n"), "micro_batches " + huge);
  has(of("prefetch = 4294967296\n"), "prefetch " + huge);
  has(of("mesh.tensor = 65536\nmesh.pipeline = 32768\n"),
      "a mesh has at most 2147483647 ranks, found mesh.pipeline 32768 × mesh.data 1 × mesh.tensor 65536");
  has(of("mesh.tensor = 2147483647\nmesh.pipeline = 2147483647\nmesh.data = 2147483647\n"), "a mesh has at most");
  has(of("mesh.pipeline = 65536\nschedule = interleaved\nchunks = 65536\ncuts = 1\n"),
      "a pipeline has at most 2147483647 stages, found 65536 ranks × 65536 chunks");
  has(of("state_stage = 4294967299\n"), "line 2: 'state_stage' must be a small whole number, found '4294967299'");
  has(of("mesh.data = 2147483647\nstate_stage = 1\nstate_ranks = 2147483646\n"), "Use state_ranks = 1,");  // a prime
}

TEST_CASE("a plan that does as it is told is carried out") {
  for (std::string const entries : {"mesh.data = 100\ndeterministic = true\n",
                                    "mesh.data = 9\ndeterministic = true\n",
                                    "lanes = 12\ndeterministic = true\n",
                                    "state_stage = -1\n",
                                    "state_stage = 9\n",
                                    "mesh.data = 6\nstate_stage = 2\nstate_ranks = 4\n",
                                    "mesh.data = 6\nstate_stage = 2\nstate_ranks = 100\n",
                                    "mesh.data = 6\nstate_ranks = 4\n",
                                    "mesh.data = 6\nstate_ranks = -4\n",
                                    "mesh.data = 8\nstate_stage = 2\nstate_ranks = 2\nstate_stride = 3\n",
                                    "mesh.data = 8\nstate_stage = 2\nstate_stride = 3\n",
                                    "mesh.data = 8\nstate_stride = 2\n",
                                    "mesh.data = 8\nstate_stride = -2\n",
                                    "prefetch = -1\n",
                                    "chunks = -1\n",
                                    "chunks = 2\n",
                                    "schedule = zb-v\nchunks = 3\n",
                                    "schedule = zb_h1\n",
                                    "max_activations = -2\n",
                                    "deterministic = true\nwire = bf16\n",
                                    "mesh.order = data.tensor\n",
                                    "mesh.own = node=2\nmesh.data = 3\nmesh.order = pipeline.node.data.tensor\n",
                                    "mesh.own = node=2\nmesh.data = 4\n",
                                    "mesh.own = node\n",
                                    "mesh.own = data=2\nmesh.data = 2\n",
                                    "mesh.own = pipeline=2\nmesh.pipeline = 2\n",
                                    "recompute_units = 1\nrecompute = none\n",
                                    "lanes = 65\ndeterministic = true\n",
                                    "global_batch = 0\n",
                                    "micro_batches = -3\n",
                                    "bucket_bytes = 0\n",
                                    "mesh.tensor = 0\n"}) {
    std::string const text = "pleat plan 1\n" + entries;
    try {
      (void)plan::parse(text);
      FAIL("not refused: " + entries);
    } catch (pleat::error const& e) {
      INFO(e.what());
      auto const at = e.remedy().find(" = ");
      REQUIRE(at != std::string::npos);
      auto const begin = e.remedy().rfind(' ', at - 1) + 1,
                 end = std::min(e.remedy().find_first_of(" ,", at + 3), e.remedy().size());
      // The told line, in the place of the one of its key if there is one.
      auto const told = e.remedy().substr(begin, end - begin) + "\n", key = "\n" + told.substr(0, told.find(" = ") + 3);
      auto mended = text;
      if (auto const line = mended.find(key); line != std::string::npos)
        mended.erase(line + 1, mended.find('\n', line + 1) - line);
      CHECK_NOTHROW((void)plan::parse(mended + told));
    }
  }
}
