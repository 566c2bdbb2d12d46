#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Builds and runs the benchmark programs, one per room, and merges what they say into build/bench.json (Google Benchmark's own
# format). Products and networks in int8 run a second time as on a processor without AVX-512 (rows /isa:avx2). Where a Python has torch
# (PLEAT_PEER_PYTHON, else python3), bench/peers/pytorch_*.py add their rows under peer/; where ggml's libraries are found (PLEAT_GGML_LIB, or
# the package llama_cpp), so does bench/peers/ggml_matvec.py.
#   scripts/bench.sh [filter] [--no-peers] [--passes N] [further arguments of Google Benchmark]
# The filter is a regular expression on names: 'gemm/f32', 'train_step/mlp'. Everything runs N times (3), all programs and then all peers, so that
# the runs of a row lie minutes apart; the best of them is the row (scripts/bench_merge.py). In each a row looks for its fastest call for
# --benchmark_min_time (0.02 s) of processor time; a peer's for five times as long on the clock, as rows of Google Benchmark take with the calls
# by which it finds how many to make. A room whose folder has a file `ranks` runs once per number in it, on that many MPI ranks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
filter=. peers=yes passes=3 window=0.02 further=()
if [[ ${1:-} != "" && ${1:-} != -* ]]; then
  filter=$1
  shift
fi
while (($#)); do
  case $1 in
    --no-peers) peers=no ;;
    --passes) passes=${2:?--passes wants a number} && shift ;;
    --benchmark_min_time=*) window=${1#*=} ;;
    *) further+=("$1") ;;
  esac
  shift
done
source scripts/setup.sh --
parts=build/bench.parts
rm -rf "$parts"
mkdir -p "$parts"
cmake --preset release >"$parts/build.log" 2>&1 || { cat "$parts/build.log" >&2; exit 1; }
rooms=()
for folder in bench/*/; do
  if compgen -G "$folder*_bench.cpp" >/dev/null; then rooms+=("$(basename "$folder")"); fi
done
cmake --build --preset release -j "${PLEAT_JOBS:-$(nproc)}" --target "${rooms[@]/#/bench_}" >>"$parts/build.log" 2>&1 || {
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
# names FILTER COMMAND...: the rows that a program has. Asked under the launcher that will run it: some rows exist on several ranks only.
names() { "${@:2}" --benchmark_list_tests --benchmark_filter="$1" 2>/dev/null | grep -v '^Failed' || true; }
# measure PART FILTER COMMAND...
measure() {
  [[ -n $(names "${@:2}") ]] || return 0
  echo "pleat: pass $pass of $passes, $1" >&2
  "${@:3}" --benchmark_filter="$2" --benchmark_min_time="$window" --benchmark_out="$parts/$pass/$1.json" --benchmark_out_format=json "${further[@]}"
}
measure_ours() {
  local room program ranks int8
  for room in "${rooms[@]}"; do
    program=build/release/bin/bench_$room
    if [[ ! -e bench/$room/ranks ]]; then
      measure "bench_$room" "$filter" "$program"
    else
      for ranks in $(cat "bench/$room/ranks"); do measure "bench_$room.$ranks" "$filter" launch -n "$ranks" "$program"; done
    fi
    if [[ $room == compute || $room == compress ]] && grep -qw avx512f /proc/cpuinfo 2>/dev/null; then
      int8=$(names "$filter" "$program" | { grep -E '^(int8_gemm/[^/]+/threads:|gemm/f32_for_int8/|network/)' || true; } | paste -sd '|')
      if [[ -n $int8 ]]; then measure "bench_$room.isa:avx2" "^($int8)\$" env PLEAT_ISA=avx2 "$program"; fi
    fi
  done
}

python=${PLEAT_PEER_PYTHON:-python3}
pytorch=no
if [[ $peers == yes ]]; then
  if "$python" -c 'import torch' 2>/dev/null; then
    pytorch=yes
  else
    echo "pleat: $python has no torch, so there are no rows of PyTorch's (set PLEAT_PEER_PYTHON)" >&2
  fi
fi
# measure_peer SCRIPT [--threads N]
measure_peer() {
  echo "pleat: pass $pass of $passes, bench/peers/$1.py ${*:2}" >&2
  "$python" "bench/peers/$1.py" "${@:2}" --filter "$filter" --seconds "$(awk "BEGIN { print 5 * $window }")" --out "$parts/$pass/peer.$1${3:+.$3}.json" ||
    echo "pleat: bench/peers/$1.py failed; its rows are missing" >&2
}
measure_peers() {
  local threads
  if [[ $pytorch == yes ]]; then
    for threads in 1 2; do
      measure_peer pytorch_conv --threads "$threads"
      measure_peer pytorch_steps --threads "$threads"
    done
    measure_peer pytorch_layers
  fi
  measure_peer ggml_matvec  # says by itself where there is no ggml
}

for pass in $(seq "$passes"); do
  mkdir "$parts/$pass"
  measure_ours
  if [[ $peers == yes ]]; then measure_peers; fi
done
python3 scripts/bench_merge.py build/bench.json "$parts"/*/*.json
