#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# What a further form in a weight's set costs to compile: processor seconds, with the release flags and the umbrella's precompiled header, of a source
# that trains, saves, loads and asks a network of two linear layers, with sets of 3, 6 and 9 forms (the best of REPEAT, 2). The three of the second set
# bring a family of kernels each, those of the third have theirs there already.
#     scripts/form_time.sh [--check]: exit 1 if a further form of a family takes a second or more
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ -e build/release/CMakeCache.txt ]] || cmake --preset release >/dev/null
cmake --build --preset release --target pleat_umbrella >/dev/null
python3 - "${REPEAT:-2}" "${1:-}" <<'END'
import json, os, pathlib, shlex, subprocess, sys
repeat, check = int(sys.argv[1]), sys.argv[2] == "--check"
scratch = pathlib.Path("build/compile_time")
scratch.mkdir(parents=True, exist_ok=True)
# As the build compiles a program that uses the umbrella's precompiled header: the source of one of the examples, with another file in its place.
entry = next(e for e in json.loads(pathlib.Path("build/release/compile_commands.json").read_text()) if e["file"].endswith("12_prune/prune.cpp") and "cmake_pch" in e["command"])
words = shlex.split(entry["command"])
words = words[next(i for i, w in enumerate(words) if w.endswith("++")):]
source = scratch / "forms.cpp"
words = [str(source.resolve()) if w == entry["file"] else w for w in words]
words[words.index("-o") + 1] = "/dev/null"
for flag in ("-MD", "-MT", "-MF"):  # no list of dependencies
    if flag in words:
        at = words.index(flag)
        del words[at : at + (1 if flag == "-MD" else 2)]
forms = ["dense<float>", "masked<float>", "int8<float>", "q8_0<float>", "csr<float>", "codebook<float>", "q4_k<float>", "bf16<float>", "block_sparse<float, 4>"]
program = """#include <pleat/pleat.hpp>
#include <pleat/codec/blocks.hpp>
#include <pleat/codec/codebook.hpp>
#include <pleat/codec/reduced.hpp>
#include <pleat/codec/sparse.hpp>
namespace pl = pleat;
namespace codec = pl::codec;
using forms = codec::forms<%s>;
double program(pl::world& world, pl::io::split const& data) {
  auto m = pl::parallel::build(pl::nn::sequential(pl::nn::linear<forms>("fc1", 784, 256), pl::nn::relu<>(), pl::nn::linear<forms>("fc2", 256, 10)), pl::plan::plan{.global_batch = 32}, world);
  (void)pl::run::fit(m, data.train);
  pl::run::save(m, "model.safetensors");
  (void)pl::run::load(m, "model.safetensors");
  return pl::run::evaluate(m, data.test).error();
}
"""
def seconds(count):
    source.write_text(program % ", ".join("codec::" + f for f in forms[:count]))
    best = 1e9
    for _ in range(repeat):
        child = subprocess.Popen(words, cwd=entry["directory"])
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            sys.exit(" ".join(words) + " fails")
        best = min(best, usage.ru_utime + usage.ru_stime)
    return best

times = {n: seconds(n) for n in (3, 6, 9)}
for n, s in times.items():
    print(f"{n} forms {s:8.2f} s")
first, each = (times[6] - times[3]) / 3, (times[9] - times[6]) / 3
print(f"the first form of a family of kernels (q8_0, csr, codebook) {first:.2f} s, a further one (q4_k, bf16, block_sparse) {each:.2f} s of processor (aim: below 1)")
sys.exit(1 if check and each >= 1 else 0)
END
