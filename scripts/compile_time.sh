#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# What including pleat costs: seconds (the best of REPEAT, 3) and peak memory to compile, with the release flags, one file that
# includes only the third-party headers of the umbrella; only the umbrella, with headers alone and where pleat::kernels is linked; each room's door (and what it adds to those before it); and each source of the main job, as the
# build compiles it. The umbrella's precompiled header, which programs of one source share and the main job does not take, has a row of its own. Then the clock: the main
# job's program from nothing on two cores, as ninja builds and links it without ccache where pleat::kernels is there.
# Aims: umbrella / third-party ≤ 1.5; each source of the main job ≤ 15 s; its program by the clock ≤ 15 s.
#    scripts/compile_time.sh [--check]: exit 1 if an aim is missed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
flags=build/release/tests/plain_flags.rsp
[[ -e $flags ]] || { cmake --preset release >/dev/null && cmake --build --preset release --target pleat_flags >/dev/null; }
cmake --build --preset release --target pleat_umbrella pleat_kernels >/dev/null
compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' build/release/CMakeCache.txt)
scratch=build/compile_time
mkdir -p "$scratch"
python3 - "$compiler" "$flags" "$scratch" "${REPEAT:-3}" "${1:-}" <<'END'
import json, os, pathlib, re, shlex, subprocess, sys, time
compiler, flags, scratch, repeat, check = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
sys.path.insert(0, "tests/headers")
import check_headers
root = pathlib.Path("include")

def time_of(words):
    best, memory = 1e9, 0
    for _ in range(repeat):
        child = subprocess.Popen(words)
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            sys.exit(" ".join(words) + " fails")
        best = min(best, usage.ru_utime + usage.ru_stime)
        memory = max(memory, usage.ru_maxrss / 1024)
    return best, memory

def of_text(name, text):
    source = scratch / (name + ".cpp")
    source.write_text(text)
    return time_of([compiler, f"@{flags}", "-c", str(source), "-o", "/dev/null"])

def allocated(text):
    """Megabytes that g++ asks for on the way, which other work on the machine does not change; 0 of another compiler."""
    source = scratch / "allocated.cpp"
    source.write_text(text)
    said = subprocess.run([compiler, f"@{flags}", "-ftime-report", "-c", str(source), "-o", "/dev/null"], capture_output=True, text=True).stderr
    found = re.search(r"TOTAL\s*:.*?(\d+)M\s*$", said, re.M)
    return int(found[1]) if found else 0

def row(name, seconds, memory, note=""):
    print(f"{name:<28}{seconds:8.2f} s {memory:7.0f} MB  {note}", flush=True)

missed = []
headers_alone = "#undef PLEAT_ONCE_ELSEWHERE\n"  # as a program without pleat::kernels compiles them; the flags are of one that links it
umbrella = root / "pleat/pleat.hpp"
ours, others = check_headers.closure(root, "pleat/pleat.hpp", {}) if umbrella.exists() else (set(), ["Kokkos_Core.hpp"])
third = [o for o in others if not o.startswith("pleat/")]
libraries = [o for o in third if o in ("Kokkos_Core.hpp", "mpi.h", "zlib.h") or "Kokkos" in o]
including = lambda headers: "".join(f"#if __has_include(<{o}>)\n#include <{o}>\n#endif\n" for o in headers)
print(f"{'one translation unit':<28}{'processor':>10} {'peak':>10}")
alone, memory = of_text("libraries", including(libraries))
row("Kokkos, MPI, zlib alone", alone, memory)
base, memory = of_text("third_party", including(third))
row("with the std headers", base, memory, f"all {len(third)} headers that are not pleat's")
if umbrella.exists():
    seconds, memory = of_text("umbrella", headers_alone + "#include <pleat/pleat.hpp>\n")
    ratio = seconds / base
    row("pleat/pleat.hpp", seconds, memory, f"{ratio:.2f} of the headers that are not pleat's (aim 1.50), {seconds / alone:.2f} of the libraries alone; {len(ours)} headers")
    if ratio > 1.5: missed.append("umbrella")
    seconds, memory = of_text("umbrella_and_kernels", "#include <pleat/pleat.hpp>\n")
    row("… where kernels are linked", seconds, memory, f"{seconds / base:.2f}: it also declares what pleat::kernels has compiled")
# Each door alone, in the order of the umbrella; and what it adds to a file that has the doors before it, so that the parts of the ratio are seen.
doors = [d for d in check_headers.INCLUDE.findall(umbrella.read_text()) if d.count("/") == 1] if umbrella.exists() else []
whole = so_far = allocated(including(third))
for k, door in enumerate(doors):
    seconds, memory = of_text("door", headers_alone + including([door]))
    with_it = allocated(headers_alone + including(third + doors[:k + 1]))
    row(door, seconds, memory, f"adds {(with_it - so_far) / whole:.2f} to the doors before it (of what g++ allocates)" if whole else "")
    so_far = with_it
if whole: print(f"g++ allocates {whole} MB for the headers that are not pleat's, {so_far} MB with all doors: {so_far / whole:.2f}")
# The main job's sources with their own flags, as the build compiles them side by side.
def as_built(entry):
    words = shlex.split(entry["command"])
    begin = next(i for i, w in enumerate(words) if w == compiler)
    words[words.index("-o") + 1] = str(scratch / "made")
    return time_of(words[begin:])

total, longest = 0, 0
for entry in json.loads(pathlib.Path("build/release/compile_commands.json").read_text()):
    source = pathlib.Path(entry["file"])
    if "pleat_umbrella.dir" in entry["file"]:
        row("the umbrella, precompiled", *as_built(entry), "once for all programs of one source")
    if "examples/01_train_shrink_run/" in entry["command"].split(" -o ")[1]:
        seconds, memory = as_built(entry)
        row("main program and figures" if "unity" in source.stem else source.name, seconds, memory, "aim 15 s")
        total, longest = total + seconds, max(longest, seconds)
if total:
    for made in pathlib.Path("build/release/examples/01_train_shrink_run").rglob("*.o"):
        made.unlink()
    begin = time.monotonic()
    subprocess.run(["cmake", "--build", "--preset", "release", "-j2", "--target", "train_shrink_run"], check=True, stdout=subprocess.DEVNULL, env=os.environ | {"CCACHE_DISABLE": "1"})
    wall = time.monotonic() - begin
    print(f"the main job's program: {total:.1f} s of processor, its longest source {longest:.1f} s; by the clock {wall:.1f} s on two cores (aim 15 s; the load is {os.getloadavg()[0]:.1f})")
    if longest > 15: missed.append("a source of the main job")
    if wall > 15: missed.append("the main job's program")
if missed:
    print("pleat: missed:", ", ".join(missed))
sys.exit(1 if missed and check == "--check" else 0)
END
