#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Builds and runs the benchmark programs, one per room, and merges what they say into build/bench.json (Google Benchmark's own
# format). Products and networks in int8 run a second time as on a processor without AVX-512 (rows /isa:avx2). A room whose folder has a file `ranks` runs once per number in it, on that many MPI ranks. Where a Python has torch
# (PLEAT_PEER_PYTHON, else python3), bench/peers/pytorch_*.py run in the same run and add their rows under peer/; where ggml's libraries
# are found (PLEAT_GGML_LIB, or the package llama_cpp), so does bench/peers/ggml_matvec.py.
#   scripts/bench.sh [filter] [--no-peers] [further arguments of Google Benchmark]
# The filter is a regular expression on names: 'gemm/f32', 'train_step/mlp'.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
filter=. peers=yes
if [[ ${1:-} != "" && ${1:-} != -* ]]; then
  filter=$1
  shift
fi
if [[ ${1:-} == --no-peers ]]; then
  peers=no
  shift
fi
source scripts/setup.sh --
parts=build/bench.parts
rm -rf "$parts"
mkdir -p "$parts"
cmake --preset release >"$parts/build.log" 2>&1 || { cat "$parts/build.log" >&2; exit 1; }
targets=()
for folder in bench/*/; do
  room=$(basename "$folder")
  if compgen -G "$folder*_bench.cpp" >/dev/null; then targets+=("bench_$room"); fi
done
cmake --build --preset release -j "${PLEAT_JOBS:-$(nproc)}" --target "${targets[@]}" >>"$parts/build.log" 2>&1 || {
  tail -n 40 "$parts/build.log" >&2
  exit 1
}

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMP_PROC_BIND=${OMP_PROC_BIND:-false}
launch() {
  local flags=()
  if mpirun --version 2>&1 | grep -qE 'Open MPI|OpenRTE'; then flags=(--oversubscribe --bind-to none); fi
  mpirun "${flags[@]}" "$@"
}
# Has the program rows for the filter? Asked under the launcher that will run it: some rows exist on several ranks only.
has_rows() { [[ -n $("$@" "$program" --benchmark_list_tests --benchmark_filter="$filter" 2>/dev/null | grep -v '^Failed' | head -n1) ]]; }
for target in "${targets[@]}"; do
  program=build/release/bin/$target
  if [[ -e bench/${target#bench_}/ranks ]]; then
    for ranks in $(cat "bench/${target#bench_}/ranks"); do
      has_rows launch -n "$ranks" || continue
      echo "pleat: $target on $ranks ranks" >&2
      launch -n "$ranks" "$program" --benchmark_filter="$filter" --benchmark_out="$parts/$target.$ranks.json" --benchmark_out_format=json "$@"
    done
  elif has_rows; then
    echo "pleat: $target" >&2
    "$program" --benchmark_filter="$filter" --benchmark_out="$parts/$target.json" --benchmark_out_format=json "$@"
  fi
  if [[ $target == bench_compute || $target == bench_compress ]] && grep -qw avx512f /proc/cpuinfo 2>/dev/null; then
    int8=$("$program" --benchmark_list_tests --benchmark_filter="$filter" 2>/dev/null | grep -E '^(int8_gemm/[^/]+/threads:|gemm/f32_for_int8/|network/)' | paste -sd '|') || true
    if [[ -n $int8 ]]; then
      echo "pleat: $target, int8 with AVX2" >&2
      PLEAT_ISA=avx2 "$program" --benchmark_filter="^($int8)\$" --benchmark_out="$parts/$target.isa:avx2.json" --benchmark_out_format=json "$@"
    fi
  fi
done

python=${PLEAT_PEER_PYTHON:-python3}
if [[ $peers == yes ]]; then
  if "$python" -c 'import torch' 2>/dev/null; then
    for script in bench/peers/pytorch_*.py; do
      for threads in 1 2; do
        echo "pleat: $script, $threads threads" >&2
        "$python" "$script" --threads "$threads" --out "$parts/peer.$(basename "$script" .py).$threads.json" ||
          echo "pleat: $script failed; its rows are missing" >&2
      done
    done
  else
    echo "pleat: $python has no torch, so there are no rows of PyTorch's (set PLEAT_PEER_PYTHON)" >&2
  fi
  echo "pleat: bench/peers/ggml_matvec.py" >&2  # says by itself where there is no ggml
  "$python" bench/peers/ggml_matvec.py --out "$parts/peer.ggml_matvec.json" || echo "pleat: bench/peers/ggml_matvec.py failed; its rows are missing" >&2
fi

python3 - "$filter" build/bench.json "$parts"/*.json <<'END'
import json, os, re, sys
pattern, out, *files = sys.argv[1], sys.argv[2], *sys.argv[3:]
merged = {"context": {}, "benchmarks": []}
for file in sorted(files, key=lambda f: "/peer." in f):
    text = open(file).read()
    if not text.strip():
        continue
    part = json.loads(text)
    context = part.get("context", {})
    if "/peer." in file:  # the peers' versions, for the page
        merged["context"].setdefault("peers", {}).update({k: v for k, v in context.items() if k != "executable"})
    else:
        if "isa:avx2" in file:
            context.pop("isa", None)  # what the processor was told to leave unused
        merged["context"] = {**context, **merged["context"]}  # the first program's; and what only another one knows, such as its peer's version
    for row in part.get("benchmarks", []):
        if "isa:avx2" in file:
            row.update({key: row[key] + "/isa:avx2" for key in ("name", "run_name") if key in row})
        if "/peer." in file:
            row["name"] = row["name"] if row["name"].startswith("peer/") else "peer/" + row["name"]
            if not re.search(pattern, row["name"]):
                continue
        merged["benchmarks"].append(row)
for line in open("/proc/cpuinfo") if os.path.exists("/proc/cpuinfo") else ():
    if line.startswith("model name"):
        merged["context"]["cpu_model"] = line.split(":", 1)[1].strip()
        break
json.dump(merged, open(out, "w"), indent=1)
print(f"pleat: {len(merged['benchmarks'])} rows in {out}")
END
